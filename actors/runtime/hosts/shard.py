"""A shard as an actor, and a spare, which is one that waits for somebody else's death."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec
import structlog

from actors.runtime import cluster
from actors.runtime.addresses import BOOK, scope_of
from actors.runtime.announcer import ValkeyAnnouncer
from actors.runtime.clock import WallClock
from actors.runtime.directory import Held, Holdings
from actors.runtime.hosts.hosted import RETRY_S, HostConfig, Hosted, ledgers_of, until_open
from actors.runtime.keeper import Keeper
from actors.runtime.lanes import Address, LaneServer
from actors.runtime.router import Router, ShardBusy, ShardUnreachable
from actors.runtime.shard import Shard, ShardStatus
from ledger.postgres_journal import PostgresJournal
from ledger.reads import LedgerReads

log = structlog.get_logger()

OWNERSHIP_S = 1.0
OWNERSHIP_TIMEOUT_S = 2.0
LEASE_MS = 5_000
"""How long a shard answers after it was last sure of what is its own: one that stood still, or
can't reach the journal, makes sure before it answers again. `keeper.SLACK_MS` is above it."""
DIRECTORY_TIMEOUT_S = 2.0
POOL = 6
"""Connections of a shard to each of its databases."""
PULSE_S = 0.25
EVENTS = 3
"""The busiest events that a shard names."""


class Report(msgspec.Struct, frozen=True):
    """What a shard says of itself, for the controller and for people."""

    name: str
    scope: str
    """What it has partitions of, or had last."""
    partitions: list[str]
    actors: int
    waiting: int
    """Entries that are not on their way to the journal yet."""
    cpu: float
    """Share of one core, over about a second."""
    lag_ms: float
    """How late its loop was of late, at worst."""
    rates: Mapping[str, float]
    """Messages a second, by partition."""
    events: Mapping[str, float]
    """The same for the busiest markets, by a sample."""
    process_id: int
    node: str


class ShardHost(Hosted):
    """A shard as an actor. Without a scope it is a spare: it can be given partitions of any."""

    def __init__(self, name: str, scope: str, config: HostConfig) -> None:
        super().__init__()
        self.name = name
        self._config = config
        self._scopes = (scope,) if scope else tuple(sorted(config.databases, reverse=True))
        self._scope = ""
        self._held = Held()
        self._directory = cluster.Host(cluster.DIRECTORY)
        self._clock = WallClock()
        self._pools: dict[str, asyncpg.Pool] = {}
        self._ledgers: dict[str, LedgerReads] = {}
        self._shard: Shard | None = None
        self._journal: PostgresJournal | None = None
        self._drained = False
        self._keeper: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._checked_ms = self._clock.now_ms()
        self._checking: asyncio.Task[None] | None = None
        self._pulse = Pulse()
        self._lanes = LaneServer(self.deliver)
        self._address = asyncio.ensure_future(self._lanes.listen(cluster.node_address()))
        self._ready = asyncio.ensure_future(self._start())
        self._tasks: list[asyncio.Task[Any]] = []

    async def _start(self) -> None:
        for scope in self._scopes:
            self._pools[scope] = await until_open(self._config.databases[scope], POOL)
        if BOOK in self._scopes:
            self._ledgers = await ledgers_of(self._config)
        self._announcer = ValkeyAnnouncer(self._config.valkey_url)
        while not await self._ask_directory():
            await self._clock.sleep(RETRY_S)
        self._checked_ms = self._clock.now_ms()  # what is opened now is fenced off
        await self._follow()
        self._tasks.append(asyncio.ensure_future(self._check_ownership()))
        self._tasks.append(asyncio.ensure_future(self._pulse.run(lambda: self._shard)))

    async def _serving(self, scope: str) -> Shard:
        """The shard; what was of another scope is left behind."""
        async with self._changing:
            if self._shard is None or scope != self._scope:
                if self._keeper is not None:
                    self._keeper.cancel()
                if self._shard is not None and self._journal is not None:
                    await self._shard.drain()
                    await self._journal.close()
                self._scope = scope
                self._shard = self._make(scope)
            return self._shard

    def _make(self, scope: str) -> Shard:
        self._journal = PostgresJournal(self._pools[scope])
        shard = Shard(
            self.name,
            self._journal,
            self._clock,
            lambda partition: scope_of(partition) == scope and partition in self._held,
            self._still_mine,
            self._announcer,
            self._config.max_actors,
        )
        if scope == BOOK:
            router = Router(cluster.RayTransport(), self._clock)
            keeper = Keeper(shard, router, self._ledgers, self._clock)
            self._keeper = asyncio.ensure_future(keeper.run())
        return shard

    # What is ours

    async def _ask_directory(self) -> bool:
        """Learn which partitions are ours; whether the directory answered."""
        try:
            async with asyncio.timeout(DIRECTORY_TIMEOUT_S):
                self._held.hear(await self._directory.call("holdings", self.name))
        except (ShardUnreachable, ShardBusy, TimeoutError) as missing:
            log.warning("directory_not_there", why=str(missing))
            return False
        return True

    async def _still_mine(self, partition: str) -> bool:
        # Without an answer, what was said last counts: the journal keeps two owners apart.
        await self._ask_directory()
        return scope_of(partition) == self._scope and partition in self._held

    async def _check_ownership(self) -> None:
        """Once a second, find out what was given to others, by the directory and the journal."""
        while True:
            await asyncio.sleep(OWNERSHIP_S)
            await self._checked()

    async def _checked(self) -> None:
        """Find it out now; those who want to know at the same time share one answer."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.ensure_future(self._check())
        await asyncio.shield(self._checking)

    async def _check(self) -> None:
        asked_ms = self._clock.now_ms()
        if await self._ask_directory():
            await self._follow()
        assert self._shard is not None
        try:
            async with asyncio.timeout(OWNERSHIP_TIMEOUT_S):
                await self._shard.check_ownership()
            self._checked_ms = asked_ms
        except Exception as failure:
            log.warning("ownership_not_checked", why=str(failure))
        if self._is_stale():
            # Whoever can't know serves nothing: what it has in memory may be the past.
            self._shard.drop_all("it can't be found out whether it is still ours")

    def _is_stale(self) -> bool:
        return self._clock.now_ms() - self._checked_ms > LEASE_MS

    async def _follow(self) -> None:
        """Serve what is ours, and nothing else."""
        scopes = {scope_of(partition) for partition in self._held.partitions}
        if self._scope in scopes:
            scopes = {self._scope}  # one at a time, and the directory knows it
        shard = await self._serving(min(scopes, default=self._scope or self._scopes[0]))
        for partition in sorted({*shard.partitions, *shard.opening} - self._held.partitions):
            shard.close(partition)
        for partition in sorted(self._held.partitions):
            if scope_of(partition) == self._scope:
                shard.open(partition)

    # What routers ask

    async def address(self) -> Address:
        """Where batches are taken."""
        return await asyncio.shield(self._address)

    async def deliver(self, batch: bytes) -> bytes:
        """Answer a batch; called by the lanes, not through Ray."""
        if self._shard is None:
            await asyncio.shield(self._ready)
        if self._is_stale():
            await self._checked()
        assert self._shard is not None
        return await self._shard.deliver(batch)

    # What the directory says

    async def assign(self, holdings: Holdings) -> bool:
        """These are the shard's partitions from now on; whether that was news."""
        await asyncio.shield(self._ready)
        if not self._held.hear(holdings):
            return False
        await self._follow()
        return True

    async def lighten(self, partition: str) -> None:
        """The partition is about to move: save what has changed, and go on serving it."""
        if self._shard is not None:
            await self._shard.lighten(partition)

    async def hand_over(self, partition: str, version: int) -> bytes:
        """Stop serving a partition and pack it; empty where it can't be packed."""
        await asyncio.shield(self._ready)
        assert self._shard is not None
        if not self._held.lose(partition, version):
            return b""
        return await self._shard.hand_over(partition)

    async def take(self, partition: str, packed: bytes, version: int) -> bool:
        """Open a partition that another shard has handed over; whether it is open."""
        await asyncio.shield(self._ready)
        scope = scope_of(partition)
        if any(scope_of(name) != scope for name in self._held.partitions):
            return False  # another database: we serve one at a time
        if not self._held.gain(partition, version):
            return False
        shard = await self._serving(scope)
        return await shard.take(partition, packed)

    async def held(self) -> Holdings:
        """What is open or opening here, and how new the word of it is."""
        shard = self._shard
        partitions = {*shard.partitions, *shard.opening} if shard else set()
        return Holdings(self._held.version, tuple(sorted(partitions)))

    # What the controller and the platform ask

    async def ready(self) -> bool:
        """Whether every partition of the shard is open."""
        if self._shard is None or self._drained:
            return False
        return self._held.partitions <= set(self._shard.partitions)

    async def hosting(self) -> list[str]:
        """The partitions that are open here now."""
        return sorted(self._shard.partitions) if self._shard else []

    async def status(self) -> ShardStatus:
        await asyncio.shield(self._ready)
        assert self._shard is not None
        return self._shard.status()

    async def report(self) -> Report:
        """How it goes."""
        await asyncio.shield(self._ready)
        assert self._shard is not None
        status = self._shard.status()
        return Report(
            self.name,
            self._scope,
            status.partitions,
            status.actors,
            status.waiting,
            round(self._pulse.cpu, 3),
            round(self._pulse.lag_ms, 1),
            self._pulse.rates,
            self._pulse.events,
            os.getpid(),
            cluster.node_address(),
        )

    async def drain(self) -> None:
        """Let what waits become durable, then serve nothing more."""
        await asyncio.shield(self._ready)
        assert self._shard is not None
        self._drained = True
        await self._shard.drain()


def cpu_s() -> float:
    """Seconds of CPU that this process has used."""
    return time.process_time()


class Pulse:
    """How busy a process is: smoothed over about a second."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self.lag_ms = 0.0
        self.rates: dict[str, float] = {}
        self.events: dict[str, float] = {}
        self._asked: dict[str, int] = {}

    async def run(self, shard_of: Any) -> None:
        loop = asyncio.get_running_loop()
        then, used = loop.time(), cpu_s()
        while True:
            await asyncio.sleep(PULSE_S)
            now, using = loop.time(), cpu_s()
            passed = now - then
            self.cpu += (min(1.0, (using - used) / passed) - self.cpu) / 4
            self.lag_ms = max(1000 * (passed - PULSE_S), self.lag_ms * 0.8)
            then, used = now, using
            shard = shard_of()
            if shard is not None:
                self._count(shard, passed)

    def _count(self, shard: Shard, passed: float) -> None:
        asked = {name: partition.asked for name, partition in shard.partitions.items()}
        for name, count in asked.items():
            # One that was opened anew has begun to count anew.
            more = max(0, count - self._asked.get(name, count))
            rate = self.rates.get(name, 0.0)
            self.rates[name] = rate + (more / passed - rate) / 4
        for gone in set(self.rates) - set(asked):
            del self.rates[gone]
        self._asked = asked
        sampled, shard.sampled = shard.sampled, {}
        for owner, count in sampled.items():
            if not owner.startswith("market/"):
                continue  # nobody's name gets into a report
            self.events[owner] = self.events.get(owner, 0.0) + count / passed / 4
        self.events = {owner: rate * 0.75 for owner, rate in self.events.items() if rate > 1.0}
        if len(self.events) > EVENTS:
            busiest = sorted(self.events, key=lambda owner: -self.events[owner])[:EVENTS]
            self.events = {owner: self.events[owner] for owner in busiest}
