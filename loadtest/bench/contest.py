"""The contest: who places how many of the same bet, under the same load, in the same minutes.

All contestants are up all the time and play in turn, round after round (A B C, A B C), since a
machine that does other things as well is slow for minutes, not for seconds. What is quoted is the
median of the rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from loadtest.bench import peer
from loadtest.bench.processes import Server, serving
from loadtest.bench.sql import queries
from loadtest.house import House
from loadtest.load import Load, Sample, Slips, Transport, run

_sql = queries("contest")

CATCH_UP_S = 60.0
CASH_MINOR = 100_000_000
ACTORS_READY_S = 300.0
PEER_DATABASE = "bench_peer"
RAY_PARTS = ("gcs", "raylet", "dashboard", "autoscaler", "log-monitor", "runtime-env-agent")


class Seed(NamedTuple):
    """What `grandstand seed` made, and the file it is in."""

    file: Path
    tokens: list[str]
    players: list[str]
    markets: list[str]
    fixtures: list[str]
    selections: list[str]
    odds: int


def sow(house: House, players: int, fixtures: int, selections: int = 2, name: str = "seed") -> Seed:
    file = house.folder / f"{name}.json"
    house.grandstand(
        *("seed", "--players", str(players), "--fixtures", str(fixtures)),
        *("--selections", str(selections), "--cash", str(CASH_MINOR), "--out", str(file)),
        timeout_s=600,
    )
    made = json.loads(file.read_text())
    return Seed(file, *(made[field] for field in Seed._fields[1:]))


class Contestant(NamedTuple):
    """`cpu` says what each group of its processes has used so far, in seconds."""

    name: str
    title: str
    port: int
    transport: Transport
    slips: Callable[[], Slips]
    cpu: Callable[[], dict[str, float]]
    settled: Callable[[], Any]
    """Awaited after a run: what it left to do later is done, and belongs to its cost."""


class Round(NamedTuple):
    """One contestant's turn."""

    contestant: str
    connections: int
    rate: float | None
    """Bets a second that fell due; None in the closed loop."""
    sample: Sample
    placed: int
    """With the warm-up and the end."""
    cpu_us: dict[str, float]
    """Microseconds of CPU a bet, by group of processes."""

    def figures(self) -> dict[str, Any]:
        sample = self.sample
        return {
            "contestant": self.contestant,
            "connections": self.connections,
            "rate": self.rate,
            "bets_per_s": sample.per_second,
            "p50_ms": sample.percentile_ms(0.5),
            "p99_ms": sample.percentile_ms(0.99),
            "p999_ms": sample.percentile_ms(0.999),
            "refused": dict(sample.refused),
            "backlog": sample.backlog,
            "cpu_us": self.cpu_us,
        }


async def turn(
    contestant: Contestant,
    connections: int,
    seconds: float,
    *,
    rate: float | None = None,
    warmup: float = 1.0,
) -> Round:
    """Load one contestant and count what it costs."""
    before = await asyncio.to_thread(contestant.cpu)
    ours = time.process_time()
    load = Load(
        contestant.port,
        contestant.slips(),
        connections=connections,
        transport=contestant.transport,
        rate=rate,
    )
    sample = await run(load, seconds, warmup)
    placed = load.total.placed
    ours = time.process_time() - ours
    await contestant.settled()
    after = await asyncio.to_thread(contestant.cpu)
    cpu = {group: after[group] - before.get(group, 0.0) for group in after}
    cpu["load generator"] = ours
    each = {group: 1e6 * used / max(1, placed) for group, used in cpu.items()}
    return Round(contestant.name, connections, rate, sample, placed, each)


def median(rounds: Sequence[Round]) -> dict[str, Any]:
    """The figures of the rounds of one contestant under one load, each its median."""
    figures = [one.figures() for one in rounds]
    middle: dict[str, Any] = dict(figures[0])
    for name in ("bets_per_s", "p50_ms", "p99_ms", "p999_ms", "backlog"):
        middle[name] = statistics.median(one[name] for one in figures)
    groups = {group for one in figures for group in one["cpu_us"]}
    middle["cpu_us"] = {
        group: statistics.median(one["cpu_us"].get(group, 0.0) for one in figures)
        for group in sorted(groups)
    }
    middle["refused"] = {
        code: sum(one["refused"].get(code, 0) for one in figures)
        for code in sorted({code for one in figures for code in one["refused"]})
    }
    middle["rounds"] = [round(one["bets_per_s"]) for one in figures]
    return middle


def group_of(process: str) -> str:
    """Which part of the platform a process of the house is."""
    if process.startswith("gateway"):
        return "gateways"
    if process.startswith("shard-book"):
        return "market shards"
    if process.startswith(("shard-", "spare")):
        return "wallet shards"
    if process.startswith("projector"):
        return "projectors"
    if process.startswith("peer-"):
        return "wallet actors"
    if process in ("postgres", "valkey"):
        return process
    if process.startswith(RAY_PARTS):
        return "Ray"
    return "others"


class Field:
    """All contestants, and what stands behind them."""

    def __init__(self, house: House, seed: Seed) -> None:
        self.house = house
        self.seed = seed
        self.placed: dict[str, int] = {}
        """Bets that each contestant acknowledged, in all rounds."""
        self.rounds: list[Round] = []
        self._stack = contextlib.ExitStack()
        self._names: dict[int, str] = {}

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def play(
        self,
        contestants: Sequence[Contestant],
        connections: int,
        seconds: float,
        rounds: int = 1,
        rate: float | None = None,
    ) -> None:
        for _ in range(rounds):
            for contestant in contestants:
                done = await turn(contestant, connections, seconds, rate=rate)
                self._acknowledged(contestant.name, done.placed)
                self.rounds.append(done)
                figures = done.figures()
                print(
                    f"  {contestant.title}, {connections} connections"
                    + (f", {rate:,.0f}/s due" if rate else "")
                    + f": {figures['bets_per_s']:,.0f}/s, p50 {figures['p50_ms']:.1f} ms, "
                    f"p99 {figures['p99_ms']:.1f} ms, CPU {sum(done.cpu_us.values()):.0f} us/bet"
                    + (f", refused {figures['refused']}" if figures["refused"] else ""),
                    flush=True,
                )

    def medians(self) -> list[dict[str, Any]]:
        """One line for each contestant and load, in the order of the first round."""
        grouped: dict[Any, list[Round]] = {}
        for one in self.rounds:
            grouped.setdefault((one.contestant, one.connections, one.rate), []).append(one)
        return [median(rounds) for rounds in grouped.values()]

    # The contestants

    def limit(self) -> Contestant:
        server = self._stack.enter_context(serving("loadtest.limit"))
        return Contestant(
            "limit",
            "limit: bare aiohttp",
            server.port,
            "http",
            lambda: self._slips(self.seed.markets),
            lambda: {"server": server.cpu_seconds()},
            _nothing,
        )

    def grandstand(self, transport: Transport, hot: bool = False) -> Contestant:
        markets = self.seed.markets[:1] if hot else self.seed.markets
        name = {"http": "http", "websocket": "ws"}[transport] + ("-hot" if hot else "")
        title = {"http": "Grandstand HTTP", "websocket": "Grandstand WebSocket"}[transport]
        return Contestant(
            name,
            title + (", one market" if hot else ""),
            self.house.port,
            transport,
            lambda: self._slips(markets),
            self.house_cpu,
            self.caught_up,
        )

    def peer_server(self, style: str, dsn: str, pool: int, processes: int) -> Server:
        arguments = (style, dsn, str(self.seed.file), str(pool))
        return self._stack.enter_context(
            serving("loadtest.bench.peer", *arguments, processes=processes)
        )

    def peer(self, style: str, server: Server, hot: bool = False) -> Contestant:
        markets = self.seed.markets[:1] if hot else self.seed.markets
        return Contestant(
            style + ("-hot" if hot else ""),
            f"peer {style}" + (", one market" if hot else ""),
            server.port,
            "http",
            lambda: self._slips(markets),
            lambda: {"server": server.cpu_seconds(), "postgres": self.house_cpu()["postgres"]},
            _nothing,
        )

    @contextlib.contextmanager
    def peer_for_a_while(
        self, style: str, dsn: str, pool: int, processes: int
    ) -> Iterator[Contestant]:
        arguments = (style, dsn, str(self.seed.file), str(pool))
        with serving("loadtest.bench.peer", *arguments, processes=processes) as server:
            yield self.peer(style, server)

    @contextlib.contextmanager
    def wallet_actors(self, dsn: str, wallets: int) -> Iterator[Contestant]:
        arguments = (self.house.run["gcs_address"], dsn, str(self.seed.file), str(wallets))
        module = "loadtest.bench.wallet_actors"
        with serving(module, *arguments, ready_s=ACTORS_READY_S) as server:

            def cpu() -> dict[str, float]:
                house = self.house_cpu()
                parts = {
                    name: house.get(name, 0.0) for name in ("postgres", "wallet actors", "Ray")
                }
                return {"server": server.cpu_seconds(), **parts}

            seed = self.seed
            yield Contestant(
                "actors",
                f"peer: {wallets} wallet actors",
                server.port,
                "http",
                lambda: Slips(
                    seed.tokens[:wallets],
                    seed.markets,
                    selections=seed.selections,
                    odds=seed.odds,
                ),
                cpu,
                _nothing,
            )

    async def try_out(self, contestant: Contestant, connections: int, seconds: float) -> Sample:
        """A turn that counts for nothing but the books."""
        load = Load(contestant.port, contestant.slips(), connections=connections)
        sample = await run(load, seconds, warmup=0.5)
        self._acknowledged(contestant.name, load.total.placed)
        return sample

    def _acknowledged(self, contestant: str, placed: int) -> None:
        self.placed[contestant] = self.placed.get(contestant, 0) + placed

    def _slips(self, markets: Sequence[str]) -> Slips:
        seed = self.seed
        return Slips(seed.tokens, markets, selections=seed.selections, odds=seed.odds)

    # What stands behind them

    async def peer_database(self) -> str:
        """A database for the peers in the platform's own Postgres: the same server, the same disk.

        Raises RuntimeError where that server would not keep what it acknowledges.
        """
        dsn: str = next(
            dsn for scope, dsn in self.house.run["databases"].items() if scope != "book"
        )
        connection = await asyncpg.connect(dsn)
        try:
            off = await connection.fetchval(_sql["durability_off"])
            if off:
                raise RuntimeError(f"Postgres has {off} off: nothing it says would count")
            await connection.execute(_sql["drop_peers"])
            await connection.execute(_sql["create_peers"])
        finally:
            await connection.close()
        peers = dsn.rpartition("/")[0] + "/" + PEER_DATABASE
        seed = self.seed
        await peer.prepare(
            peers, seed.players, seed.markets, seed.selections, seed.odds, CASH_MINOR
        )
        return peers

    def house_cpu(self) -> dict[str, float]:
        groups: dict[str, float] = {}
        for process, seconds in self.house.cpu_seconds().items():
            group = group_of(process)
            groups[group] = groups.get(group, 0.0) + seconds
        return groups

    async def caught_up(self) -> None:
        """Wait until the ledger has every block: projecting a bet is part of what it costs."""
        until = time.monotonic() + CATCH_UP_S
        for dsn in self.house.run["databases"].values():
            connection = await asyncpg.connect(dsn)
            try:
                while await connection.fetchval(_sql["behind"]):
                    if time.monotonic() > until:
                        raise TimeoutError(f"the ledger is {CATCH_UP_S:.0f} s behind")
                    await asyncio.sleep(0.02)
            finally:
                await connection.close()

    async def bets_in_ledger(self) -> int:
        total = 0
        for scope, dsn in self.house.run["databases"].items():
            if scope != "book":
                total += await _count(dsn, _sql["bets_in_ledger"])
        return total

    async def bets_of_peers(self, dsn: str) -> int:
        return await _count(dsn, _sql["bets_of_peers"])


async def _count(dsn: str, query: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def _nothing() -> None:
    pass
