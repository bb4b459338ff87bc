"""`grandstand seed`: players with money and sessions, and markets to bet on, for load tests.

Through the real commands and the real router: what is seeded is journaled, and verified like the
rest. Only what would cost an argon2 each is shared: all players have one password hash.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import redis.asyncio
import typer
import uvloop

from actors.base import Command, Refused
from actors.errors import NoAnswer
from actors.fixture import CreateFixture
from actors.market import Limits
from actors.player import ClaimEmail, RegisterPlayer
from actors.runtime import cluster
from actors.runtime.addresses import BOOK
from actors.runtime.clock import WallClock, now_ms
from actors.runtime.keys import fingerprint
from actors.runtime.router import Router, Transport
from actors.trading import ChangePrices, OpenMarket
from actors.wallet import CompleteDeposit, RequestDeposit
from gateway import keys
from gateway.channels import Channels
from gateway.passwords import Passwords
from gateway.sessions import Sessions
from grandstand.commands import console, fail, running
from grandstand.platform import RunFile
from jurisdictions import Licence, licence
from ledger.money import MAX_MINOR, Money

PASSWORD = "grandstand-seed"
"""Of every seeded player. Anybody can read it here: never seed a platform with real players."""
ODDS = 20_000
BIRTH = dt.date(1990, 1, 1)
STARTS_IN_MS = 30 * 24 * 3600 * 1000
SESSION_MS = 12 * 3600 * 1000
AT_ONCE = 1_500
"""Players under way at a time: enough to fill batches, and below every queue's bound."""
SESSIONS_AT_ONCE = 64
PATIENCE_S = 60.0
PAUSE_S = 0.1

T = TypeVar("T")


class Seeded(msgspec.Struct, frozen=True):
    """What was made, for whoever loads the platform. `markets[n]` is of `fixtures[n // per]`,
    where `per` is markets per fixture; every market has the same selections at the same odds."""

    run: str
    currency: str
    odds: int
    selections: list[str]
    fixtures: list[str]
    markets: list[str]
    players: list[str]
    tokens: list[str]
    """`tokens[n]` is a session of `players[n]`."""


class Plan(msgspec.Struct, frozen=True):
    """How much of everything."""

    run: str
    players: int
    fixtures: int
    markets_per_fixture: int
    selections: int
    cash_minor: int


class SeedFailed(Exception):
    """The platform refused or did not answer; one line that says what."""


def seed(
    players: Annotated[int, typer.Option(min=0, help="Players to register.")] = 1_000,
    fixtures: Annotated[int, typer.Option(min=0, help="Fixtures to create.")] = 20,
    markets_per_fixture: Annotated[int, typer.Option(min=1, help="Markets of each.")] = 1,
    selections: Annotated[int, typer.Option(min=1, help="Selections of each market.")] = 2,
    cash: Annotated[
        int, typer.Option(min=0, max=MAX_MINOR, help="Each player's money, in minor units.")
    ] = 100_000_000,
    run: Annotated[
        str, typer.Option(help="Part of every id. The same again finds all of it there.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write ids and tokens to this JSON file.")
    ] = None,
) -> None:
    """Make players with money and sessions, and open markets, on the running platform.

    For load tests on a platform of their own: all players share one public password.
    """
    platform = running()
    plan = Plan(
        run or f"seed-{now_ms():x}", players, fixtures, markets_per_fixture, selections, cash
    )
    try:
        cluster.connect(platform.gcs_address)
    except cluster.ClusterError as problem:
        fail(problem)
    began = time.monotonic()
    try:
        seeded = uvloop.run(sow(cluster.RayTransport(), platform, plan))
    except (SeedFailed, redis.exceptions.RedisError) as problem:
        fail(problem)
    finally:
        cluster.stop()
    if out is not None:
        out.touch(mode=0o600)
        out.write_bytes(msgspec.json.encode(seeded))
    console.print(
        f"{players:,} players and {len(seeded.markets):,} markets "
        f"in {time.monotonic() - began:.1f} s, run {plan.run}"
    )


async def sow(transport: Transport, platform: RunFile, plan: Plan) -> Seeded:
    """Make everything of the plan. Raises `SeedFailed`."""
    law = licence(platform.licences[0])
    sower = Sower(Router(transport, WallClock()), law, plan)
    fixtures = [f"{plan.run}-{number}" for number in range(plan.fixtures)]
    markets = [
        f"{fixture_id}:m{number}"
        for fixture_id in fixtures
        for number in range(plan.markets_per_fixture)
    ]
    selections = [f"s{number}" for number in range(plan.selections)]
    password_hash = await Passwords(1).hash(PASSWORD)
    players = [keys.id_from(f"{plan.run} player {number}") for number in range(plan.players)]
    await _each(fixtures, sower.fixture, AT_ONCE)
    await _each(players, lambda player_id: sower.player(player_id, password_hash), AT_ONCE)
    return Seeded(
        plan.run,
        law.currency,
        ODDS,
        selections,
        fixtures,
        markets,
        players,
        await _sessions(platform.valkey_url, law, players),
    )


class Sower:
    """Each step under a key of its own, so that a step that got no answer is repeated safely."""

    def __init__(self, router: Router, law: Licence, plan: Plan) -> None:
        self._router = router
        self._law = law
        self._plan = plan

    async def fixture(self, fixture_id: str) -> None:
        starts_at_ms = now_ms() + STARTS_IN_MS
        await self._tell(
            BOOK, fixture_id, CreateFixture(fixture_id, "Load", "Load", fixture_id, starts_at_ms)
        )
        for number in range(self._plan.markets_per_fixture):
            await self._market(fixture_id, f"{fixture_id}:m{number}")

    async def _market(self, fixture_id: str, market_id: str) -> None:
        names = {f"s{number}": f"Selection {number}" for number in range(self._plan.selections)}
        limits = Limits(1, 1_000_000, MAX_MINOR)
        opened = OpenMarket(
            fixture_id, market_id, "Winner", "win", self._law.currency, names, limits
        )
        await self._tell(BOOK, fixture_id, opened)
        priced = ChangePrices(fixture_id, market_id, dict.fromkeys(names, ODDS))
        await self._tell(BOOK, fixture_id, priced)

    async def player(self, player_id: str, password_hash: str) -> None:
        scope = self._law.code
        email = f"{player_id}@example.com"
        age = self._law.minimum_age.value
        await self._tell(scope, email, ClaimEmail(email, player_id, password_hash, BIRTH, age))
        register = RegisterPlayer(player_id, scope, "Seeded", email, BIRTH, self._law.currency)
        await self._tell(scope, player_id, register)
        if self._plan.cash_minor:
            payment_id = keys.id_from(f"{player_id} deposit")
            money = Money(self._plan.cash_minor, self._law.currency)
            asked = RequestDeposit(player_id, payment_id, money, "bogus", "bogus-approved")
            await self._tell(scope, player_id, asked)
            await self._tell(scope, player_id, CompleteDeposit(player_id, payment_id, "seed"))

    async def _tell(self, scope: str, routing_id: str, command: Command) -> None:
        """Have it done, however often that has to be asked."""
        name = type(command).__name__
        key = f"seed {name}"  # of the actor that it is for
        asked = fingerprint("seed", name)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self._router.ask(
                    scope, routing_id, command, key=key, fingerprint=asked
                )
            except NoAnswer as missing:
                if time.monotonic() > deadline:
                    raise SeedFailed(
                        f"{name}: no answer for {PATIENCE_S:.0f} s: {missing}"
                    ) from None
                await asyncio.sleep(PAUSE_S)
                continue
            if isinstance(answer.reply, Refused):
                why = f"{answer.reply.reason} {answer.reply.message}".strip()
                raise SeedFailed(f"{name} was refused: {why}")
            return


async def _sessions(valkey_url: str, law: Licence, players: list[str]) -> list[str]:
    """A token for each player, as a log-in would give."""
    valkey: Any = redis.asyncio.Redis.from_url(valkey_url, max_connections=SESSIONS_AT_ONCE + 1)
    sessions = Sessions(valkey, Channels(valkey), WallClock(), law.code, SESSION_MS, SESSION_MS)
    tokens: dict[str, str] = {}

    async def mint(player_id: str) -> None:
        tokens[player_id], _ = await sessions.create(player_id)

    try:
        await _each(players, mint, SESSIONS_AT_ONCE)
    finally:
        await valkey.aclose()
    return [tokens[player_id] for player_id in players]


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do the work for every item, so many at a time; the first failure ends it."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(at_once)))
