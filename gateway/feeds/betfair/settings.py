"""What the feed can be told: which recordings, or which live stream, and how to price it."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import msgspec

from actors.odds import ONE
from gateway.feeds.betfair.messages import MarketFilter

LADDERS = ("EX_BEST_OFFERS", "EX_BEST_OFFERS_DISP", "EX_ALL_OFFERS")
FIELDS = (
    *LADDERS,
    "EX_LTP",
    "EX_TRADED",
    "EX_TRADED_VOL",
    "EX_MARKET_DEF",
    "SP_TRADED",
    "SP_PROJECTED",
)
"""What a subscription can ask for."""


class AgeLimits(msgspec.Struct, frozen=True):
    """How old what is known of a market may be, in milliseconds, before it is suspended.

    The age counts from the moment that the exchange published its last message on any market, a
    heartbeat too: each says that nothing else has happened.
    """

    early_ms: int = 60_000
    soon_ms: int = 15_000
    """From ten minutes before the start."""
    in_play_ms: int = 5_000
    unmoved_in_play_ms: int = 180_000
    """In play a market's own prices have to move within this time; 0 is for ever."""


class LiveSettings(msgspec.Struct, frozen=True):
    """Where the stream is and what to ask it for.

    Secrets are not settings: `app_key` and `session` say where they are, "env:NAME" or
    "file:PATH". They are read each time that a connection is made, so a session token in a file
    may be renewed there by whoever logs in.
    """

    market_filter: MarketFilter
    host: str = "stream-api.betfair.com"
    port: int = 443
    tls: bool = True
    """Only a server on this machine may do without."""
    ca_file: str = ""
    """Certificates to trust instead of the system's."""
    app_key: str = "env:BETFAIR_APP_KEY"
    session: str = "env:BETFAIR_SESSION"
    fields: tuple[str, ...] = ("EX_BEST_OFFERS", "EX_MARKET_DEF")
    ladder_levels: int = 3
    conflate_ms: int = 0
    heartbeat_ms: int = 1_000
    ages: AgeLimits = AgeLimits()
    catalogue: str = ""
    """A file with what things are called: see `catalogue.py`."""
    retry_ms: int = 500
    """The first pause after a connection was lost. It doubles up to the longest."""
    longest_retry_ms: int = 60_000
    max_line_bytes: int = 16 * 1024 * 1024
    max_markets: int = 1_000


class Settings(msgspec.Struct, frozen=True):
    files: tuple[str, ...] = ()
    """Paths. Markets of one event that were recorded apart become one fixture when their
    recordings are replayed together."""
    margin_bp: int = 500
    """What is kept of each price's profit, in hundredths of a percent."""
    currency: str = "GBP"
    live: LiveSettings | None = None
    """The stream itself instead of recordings of it."""


def check_margin(margin_bp: int) -> None:
    if not 0 <= margin_bp < ONE:
        raise ValueError(f"margin_bp is {margin_bp}; it is from 0 to 9999")


def check_live(settings: LiveSettings) -> None:
    """Raises `ValueError` for what the exchange would refuse, and for what can't be safe."""
    unknown = [field for field in settings.fields if field not in FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no field of the stream; there are {', '.join(FIELDS)}")
    if "EX_MARKET_DEF" not in settings.fields:
        raise ValueError("fields need EX_MARKET_DEF: without it nobody knows what a market is")
    if not {*LADDERS, "EX_LTP"} & set(settings.fields):
        raise ValueError("fields have no price: EX_BEST_OFFERS or another ladder is needed")
    ages = settings.ages
    bounds = {
        "ladder_levels": (settings.ladder_levels, 1, 10),
        "conflate_ms": (settings.conflate_ms, 0, 120_000),
        "heartbeat_ms": (settings.heartbeat_ms, 500, 5_000),
        "port": (settings.port, 1, 65_535),
        "ages.early_ms": (ages.early_ms, 1, 3_600_000),
        "ages.soon_ms": (ages.soon_ms, 1, 3_600_000),
        "ages.in_play_ms": (ages.in_play_ms, 1, 3_600_000),
        "ages.unmoved_in_play_ms": (ages.unmoved_in_play_ms, 0, 86_400_000),
        "retry_ms": (settings.retry_ms, 1, settings.longest_retry_ms),
        "longest_retry_ms": (settings.longest_retry_ms, 1, 3_600_000),
        "max_line_bytes": (settings.max_line_bytes, 1_024, 1024 * 1024 * 1024),
        "max_markets": (settings.max_markets, 1, 100_000),
    }
    for name, (value, least, most) in bounds.items():
        if not least <= value <= most:
            raise ValueError(f"{name} is {value}; it is from {least} to {most}")
    if settings.heartbeat_ms + settings.conflate_ms >= ages.in_play_ms:
        raise ValueError(
            f"ages.in_play_ms is {ages.in_play_ms}: prices that are {settings.conflate_ms} ms late"
            f" and vouched for every {settings.heartbeat_ms} ms would always be too old"
        )
    if not settings.tls and not _is_this_machine(settings.host):
        raise ValueError(
            f"without tls the session token could be read on the way to {settings.host}"
        )
    for name, where in (("app_key", settings.app_key), ("session", settings.session)):
        if where.partition(":")[0] not in ("env", "file"):
            # Not shown: somebody may have put the secret itself here.
            raise ValueError(f'{name} says where the secret is: "env:NAME" or "file:PATH"')


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(where: str) -> str:
    """The secret that is there now; empty when there is none."""
    kind, _, place = where.partition(":")
    if kind == "env":
        return os.environ.get(place, "").strip()
    try:
        return Path(place).read_text().strip()
    except OSError:
        return ""
