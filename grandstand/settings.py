"""Settings, from environment variables that begin with `GRANDSTAND_`.

One that is not known, or not of its kind, is an error with its name in it: nothing is guessed.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from actors.risk.settings import RiskSettings, read_risk_settings
from actors.runtime.addresses import BOOK
from gateway.exchanges import all_exchanges
from jurisdictions import all_licences

PREFIX = "GRANDSTAND_"
POSTGRES = "GRANDSTAND_POSTGRES_"


class SettingsError(ValueError):
    """A setting is unknown or no good; one line that says which and why."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is read from `GRANDSTAND_<FIELD>`; see the table in the README."""

    data: Path = Path(".grandstand")
    """The folder in which embedded servers keep their data."""
    host: str = "127.0.0.1"
    """The address that the gateways listen on."""
    port: int = 8080
    proxies: int = 0
    """Trusted proxies in front of the gateways, whose X-Forwarded-For is believed."""
    attempts_per_login: int = 10
    """Log-ins and registrations from one address for one e-mail address, in ten minutes."""
    attempts_per_address: int = 100
    """The same from one address, whoever it is for."""
    bets_per_minute: int = 3_000
    """Of one player through one gateway; 0 is without limit."""
    metrics_port: int = 0
    """Of the first gateway's own port, where its figures are; the next ones have the next numbers.
    0 takes free ones."""
    gateways: int = 2
    """Gateway processes; they share the port."""
    shards: int = 1
    """Shard processes for each licence, and as many for the book: at the start, and at least."""
    max_shards: int = 0
    """How many of each the controller may make it; 0: as many as this machine has cores."""
    hot_percent: int = 60
    """Of a core: a shard that uses so much of it for some seconds is to be relieved."""
    spares: int = 1
    """Shard processes that wait until another one dies."""
    elastic: bool = True
    """Whether the controller adds, removes and fills shards; the dead it replaces in any case."""
    partitions: int = 16
    """For each scope. It counts when a scope's database is created, and never again."""
    licences: tuple[str, ...] = ("gb",)
    dashboard_port: int = 8265
    actors_in_memory: int = 200_000
    """For each shard; beyond it the least recently used leave memory."""
    staff_token: str = ""
    """Whoever has it is staff. When it is empty one is made and kept in the data folder."""
    demo: bool = True
    """Seed a demonstration: players with money and a simulated feed."""
    demo_fixtures: int = 16
    """Fixtures on the demonstration's board at one time."""
    ray: str = ""
    """Address of a Ray cluster to run on, `auto` for the one of this machine; a Ray of its own is
    started when it is empty."""
    redis: str = ""
    """Address of a Redis or Valkey; an embedded one is started when it is empty."""
    ray_redis: str = ""
    """Address of a Redis for Ray's own records, as a user of Ray's own: with it Ray outlives the
    death of its control service. The embedded one is used where this is empty."""
    risk: RiskSettings = RiskSettings()
    """From the JSON file that `GRANDSTAND_RISK` names."""
    postgres: dict[str, str] = {}
    """Addresses of databases by scope, from `GRANDSTAND_POSTGRES_<SCOPE>`; the others are made in
    an embedded server."""

    @property
    def scopes(self) -> tuple[str, ...]:
        return (BOOK, *self.licences)

    @property
    def most_shards(self) -> int:
        """Shards that a scope may have."""
        return self.max_shards or max(self.shards, os.cpu_count() or 1)

    @property
    def needs_postgres(self) -> bool:
        """Whether a scope is left to the embedded server."""
        return any(scope not in self.postgres for scope in self.scopes)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment, or a `SettingsError`."""
    fields: dict[str, Any] = {}
    postgres: dict[str, str] = {}
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    for variable, value in environment.items():
        if variable.startswith(POSTGRES):
            postgres[variable.removeprefix(POSTGRES).lower()] = value
        elif variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            if name not in known or name == "postgres":
                raise SettingsError(f"{variable} is not a setting that Grandstand knows")
            fields[name] = _parse(variable, name, value, known[name].type)
    settings = Settings(**fields, postgres=postgres)
    _check(settings)
    return settings


def _parse(variable: str, name: str, value: str, kind: Any) -> Any:
    if name == "data":
        if not value:
            raise SettingsError(f"{variable} is empty: a folder is needed")
        if Path(value).exists() and not Path(value).is_dir():
            raise SettingsError(f"{variable}={value!r}: that is not a folder")
        return Path(value)
    if name == "risk":
        return _read_risk(variable, value)
    if name == "licences":
        return tuple(code for code in value.replace(",", " ").split())
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as problem:
        raise SettingsError(f"{variable}={value!r}: {problem}") from None


def _read_risk(variable: str, value: str) -> RiskSettings:
    try:
        risk = read_risk_settings(Path(value).read_bytes())
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise SettingsError(f"{variable}={value!r}: {why}") from None
    exchanges = all_exchanges()
    if risk.hedges.exchange and risk.hedges.exchange not in exchanges:
        there = ", ".join(sorted(exchanges))
        raise SettingsError(
            f"{variable}={value!r}: no exchange {risk.hedges.exchange!r}; there are {there}"
        )
    if risk.hedges.place and not risk.hedges.exchange:
        raise SettingsError(f"{variable}={value!r}: hedges are to be placed, and at no exchange")
    return risk


def _check(settings: Settings) -> None:
    licences = all_licences()
    for code in settings.licences:
        if code not in licences:
            there = ", ".join(sorted(licences))
            raise SettingsError(f"GRANDSTAND_LICENCES: no licence {code!r}; there are {there}")
    if len(set(settings.licences)) != 1:
        raise SettingsError("GRANDSTAND_LICENCES: exactly one licence can be served so far")
    for scope in settings.postgres:
        if scope not in settings.scopes:
            raise SettingsError(f"{POSTGRES}{scope.upper()}: no scope {scope!r} is served")
    bounds = {
        "port": (1, 65_535),
        "dashboard_port": (1, 65_535),
        "gateways": (1, 64),
        "shards": (1, 256),
        "max_shards": (0, 256),
        "spares": (0, 16),
        "hot_percent": (1, 100),
        "partitions": (1, 4_096),
        "demo_fixtures": (1, 200),
        "actors_in_memory": (1_000, 100_000_000),
        "proxies": (0, 16),
        "bets_per_minute": (0, 1_000_000),
        "metrics_port": (0, 65_535 - settings.gateways),
        "attempts_per_login": (1, 100_000),
        "attempts_per_address": (settings.attempts_per_login, 1_000_000),
    }
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            raise SettingsError(f"{PREFIX}{name.upper()}={value}: from {least} to {most}")
    if settings.max_shards and settings.max_shards < settings.shards:
        raise SettingsError(
            f"GRANDSTAND_MAX_SHARDS={settings.max_shards}: GRANDSTAND_SHARDS={settings.shards} is "
            "more than that"
        )
    if settings.ray and (settings.needs_postgres or not settings.redis):
        # What is embedded listens on this machine alone.
        raise SettingsError(
            "GRANDSTAND_RAY is set: then GRANDSTAND_REDIS and a GRANDSTAND_POSTGRES_<SCOPE> for "
            f"each of {', '.join(settings.scopes)} are needed too, where every node reaches them"
        )
    try:
        ipaddress.IPv4Address(settings.host)
    except ValueError:
        raise SettingsError(
            f"GRANDSTAND_HOST={settings.host!r}: an IPv4 address is needed"
        ) from None
    if settings.staff_token and len(settings.staff_token) < 16:
        raise SettingsError("GRANDSTAND_STAFF_TOKEN: at least 16 characters are needed")


def new_token() -> str:
    """A secret of 256 bits."""
    return secrets.token_urlsafe(32)
