"""Settlement and projector measured from inside: real shards, journal and ledger in one process.

    python -m loadtest.bench.inside_ledger --bets 100000 --players 10000

Without gateways and Ray, so that what is left is the cost of the ledger itself. Postgres is a fresh
one in a temporary folder. CPU is counted apart for this process (shards, settlement and projector,
one at a time) and for Postgres, in microseconds a bet.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gc
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import msgspec
import uvloop
from uuid_utils import uuid7

from actors.bet import Leg, PlaceBet
from actors.declaring import DeclareResult
from actors.fixture import CreateFixture
from actors.player import RegisterPlayer
from actors.results import LOST, WON, Result
from actors.runtime.addresses import BOOK
from actors.runtime.clock import WallClock
from actors.runtime.directory import Directory, Scope
from actors.runtime.keeper import Keeper
from actors.runtime.local import LocalTransport
from actors.runtime.router import Router
from actors.runtime.shard import Shard, Silent
from actors.settlement import settle
from actors.trading import ChangePrices, OpenMarket
from actors.wallet import CompleteDeposit, RequestDeposit
from grandstand.servers.postgres import EmbeddedPostgres
from ledger.database import create_database, open_pool, prepare
from ledger.money import Money
from ledger.postgres_journal import PostgresJournal
from ledger.projector import Projector
from ledger.reads import LedgerReads

LICENCE = "gb"
PARTITIONS = 16
FIXTURE = "bench-final"
MARKET = f"{FIXTURE}:winner"
STAKE_MINOR = 100
CASH_MINOR = 100_000_000
AT_ONCE = 1_000
"""Commands under way at once while the scene is set."""
LIVE_PERIOD_S = 0.005
"""While bets are settled, another one is placed every so often."""
TICKS = os.sysconf("SC_CLK_TCK")


class Cost(msgspec.Struct):
    """What something took, and for how many bets."""

    what: str
    bets: int
    seconds: float = 0.0
    python_s: float = 0.0
    postgres_s: float = 0.0

    @property
    def row(self) -> dict[str, Any]:
        """Bets a second, and microseconds of CPU a bet."""
        each = 1e6 / self.bets
        return {
            "what": self.what,
            "bets": self.bets,
            "seconds": round(self.seconds, 2),
            "bets_per_s": round(self.bets / self.seconds),
            "python_us": round(self.python_s * each, 1),
            "postgres_us": round(self.postgres_s * each, 1),
            "cpu_us": round((self.python_s + self.postgres_s) * each, 1),
        }


class Stage:
    """Shards of the book and of one licence in this process, over a real Postgres."""

    def __init__(self, postgres: EmbeddedPostgres, max_actors: int) -> None:
        self.postgres = postgres
        self.max_actors = max_actors
        self.random = Random(1)
        self.clock = WallClock()
        self.directory = Directory(
            [Scope(scope, PARTITIONS, (f"shard-{scope}-0",)) for scope in (BOOK, LICENCE)]
        )
        self.transport = LocalTransport(self.directory)
        self.router = Router(self.transport, self.clock)
        self.players: list[str] = []
        self.pools: dict[str, Any] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        for scope in (BOOK, LICENCE):
            name = f"bench_{scope}"
            await create_database(self.postgres.dsn("postgres"), name)
            dsn = self.postgres.dsn(name)
            await prepare(dsn, scope, PARTITIONS)
            self.pools[scope] = await open_pool(dsn, max_size=8)
        self.ledger = LedgerReads(self.pools[LICENCE])
        self.book = LedgerReads(self.pools[BOOK])
        for scope in (BOOK, LICENCE):
            await self.start_shard(scope)
        keeper = Keeper(
            self.transport.shards[f"shard-{BOOK}-0"],
            self.router,
            {LICENCE: self.ledger},
            self.clock,
        )
        self._keeper = asyncio.ensure_future(keeper.run())

    async def start_shard(self, scope: str) -> None:
        name = f"shard-{scope}-0"
        journal = PostgresJournal(self.pools[scope])
        shard = Shard(name, journal, self.clock, _always, _surely, Silent(), self.max_actors)
        self.transport.shards[name] = shard
        for partition in self.directory.partitions_of(name):
            shard.open(partition)
        while shard.opening:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stop_shard(self, scope: str) -> None:
        shard = self.transport.shards.pop(f"shard-{scope}-0")
        await shard.drain()
        await shard.journal.close()  # type: ignore[attr-defined]

    async def close(self) -> None:
        if self._keeper:
            self._keeper.cancel()
        for scope in (BOOK, LICENCE):
            await self.stop_shard(scope)
        for pool in self.pools.values():
            await pool.close()

    # Setting the scene

    async def make_players(self, count: int) -> None:
        self.players = [f"player-{uuid4().hex}" for _ in range(count)]
        await self._all(self._make_player(player_id) for player_id in self.players)

    async def _make_player(self, player_id: str) -> None:
        birth = dt.date(1990, 1, 31)
        email = f"{player_id}@example.com"
        register = RegisterPlayer(player_id, LICENCE, "Ann", email, birth, "GBP")
        await self.router.ask(LICENCE, player_id, register)
        amount = Money(CASH_MINOR, "GBP")
        request = RequestDeposit(player_id, "first", amount, "bogus", "card")
        await self.router.ask(LICENCE, player_id, request, key=uuid4().hex, fingerprint=b"1" * 16)
        complete = CompleteDeposit(player_id, "first", "reference")
        await self.router.ask(LICENCE, player_id, complete)

    async def make_market(self, selections: int) -> None:
        ask = self.router.ask
        create = CreateFixture(FIXTURE, "Football", "Cup", "Final", 1_900_000_000_000)
        await ask(BOOK, FIXTURE, create)
        names = {f"s{number}": f"Selection {number}" for number in range(selections)}
        await ask(BOOK, FIXTURE, OpenMarket(FIXTURE, MARKET, "Winner", "winner", "GBP", names))
        odds = dict.fromkeys(names, 20_000)
        await ask(BOOK, FIXTURE, ChangePrices(FIXTURE, MARKET, odds))

    async def place(self, bets: int, selections: int) -> None:
        await self._all(self.bet(f"s{number % selections}") for number in range(bets))

    async def bet(self, selection_id: str, market_id: str = MARKET) -> None:
        """A bet whose market was asked before: the wallet's part of it."""
        player_id = self.random.choice(self.players)
        leg = Leg(FIXTURE, market_id, selection_id, 20_000, 1, "Final", "Winner", "A selection")
        until = self.clock.now_ms() + 60_000
        stake = Money(STAKE_MINOR, "GBP")
        bet = PlaceBet(player_id, str(uuid7()), stake, (leg,), until)
        await self.router.ask(LICENCE, player_id, bet, key=uuid4().hex, fingerprint=b"1" * 16)

    async def _all(self, work: Any) -> None:
        """Do all of it, some at a time."""
        work = iter(work)

        async def worker() -> None:
            for one in work:
                await one

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def declare(self, selections: int) -> None:
        results: dict[str, Result] = {
            f"s{number}": LOST if number % 2 else WON for number in range(selections)
        }
        await self.router.ask(BOOK, FIXTURE, DeclareResult(FIXTURE, MARKET, results))

    # Measuring

    @contextmanager
    def measured(self, what: str, bets: int) -> Iterator[Cost]:
        cost = Cost(what, bets)
        gc.collect()
        began, python, postgres = time.perf_counter(), time.process_time(), self._postgres_cpu()
        yield cost
        cost.seconds = time.perf_counter() - began
        cost.python_s = time.process_time() - python
        cost.postgres_s = self._postgres_cpu() - postgres

    def _postgres_cpu(self) -> float:
        """CPU seconds of the server and its processes, those that have ended included."""
        total = 0
        for pid in (self.postgres.pid, *_children_of(self.postgres.pid)):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            mine = sum(map(int, fields[11:13]))
            ended = sum(map(int, fields[13:15])) if pid == self.postgres.pid else 0
            total += mine + ended
        return total / TICKS

    async def project(self, scope: str) -> int:
        projector, blocks = Projector(self.pools[scope], scope), 0
        while taken := await projector.step():
            blocks += taken
        return blocks


async def run(bets: int, players: int, selections: int, cold: bool) -> dict[str, Any]:
    """Place, project, settle and project again; a row for each, with the latency of live bets."""
    # Told to end, it still stops Postgres and removes what it made.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    rows = []
    async with _stage() as stage:
        await stage.make_players(players)
        await stage.project(LICENCE)
        await stage.make_market(selections)
        with stage.measured("placed, without market and HTTP", bets) as cost:
            await stage.place(bets, selections)
        rows.append(cost.row)
        with stage.measured("placed bets projected", bets) as cost:
            await stage.project(LICENCE)
        rows.append(cost.row)
        if cold:
            # Not the book's: a market that came back waits until no hold of before can be left.
            await stage.stop_shard(LICENCE)
            await stage.start_shard(LICENCE)
        await stage.declare(selections)
        await stage.project(BOOK)
        await stage.project(LICENCE)
        (declared,) = await stage.book.unsettled()
        live = asyncio.ensure_future(_live(stage))
        with stage.measured("settled" + (" from cold" if cold else ""), bets) as cost:
            done = await settle(stage.router, stage.clock, {LICENCE: stage.ledger}, declared)
        live.cancel()
        assert done.bets == bets, done
        rows.append(cost.row | _latencies(await live))
        with stage.measured("settled bets projected", bets) as cost:
            await stage.project(LICENCE)
        rows.append(cost.row)
    return {"rows": rows}


async def _live(stage: Stage) -> list[float]:
    """Bets on another market, one every `LIVE_PERIOD_S`; how long each took, in seconds."""
    took: list[float] = []
    under_way: set[asyncio.Task[None]] = set()

    async def one() -> None:
        began = time.perf_counter()
        await stage.bet("s0", "bench-other:winner")
        took.append(time.perf_counter() - began)

    try:
        while True:
            task = asyncio.ensure_future(one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(LIVE_PERIOD_S)
    except asyncio.CancelledError:
        await asyncio.gather(*under_way)
        return took


def _latencies(took: list[float]) -> dict[str, Any]:
    took = sorted(took)
    at = {f"live_p{share}_ms": took[len(took) * share // 100] * 1000 for share in (50, 99)}
    return {"live_bets": len(took), **{name: round(ms, 1) for name, ms in at.items()}}


@asynccontextmanager
async def _stage(max_actors: int = 400_000) -> AsyncIterator[Stage]:
    folder = _folder()
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        stage = Stage(postgres, max_actors)
        await stage.prepare()
        try:
            yield stage
        finally:
            await stage.close()
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    """A new one that Postgres' own user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="bench-ledger-"))
    folder.chmod(0o755)
    return folder


def _children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _always(partition: str) -> bool:
    return True


async def _surely(partition: str) -> bool:
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bets", type=int, default=100_000)
    parser.add_argument("--players", type=int, default=10_000)
    parser.add_argument("--selections", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="with nothing in memory")
    asked = parser.parse_args()
    done = uvloop.run(run(asked.bets, asked.players, asked.selections, asked.cold))
    for row in done["rows"]:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
