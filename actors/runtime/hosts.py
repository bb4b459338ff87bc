"""What runs on the cluster: the directory, the shards, the projectors and the settlement.

Plain classes that Ray turns into actors (`cluster.spawn`). Each one starts its work in its
constructor, so that an actor which Ray starts again after a death is at work without being called.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import asyncpg
import msgspec
import structlog

from actors.errors import NoAnswer
from actors.runtime import cluster, logs
from actors.runtime.addresses import BOOK
from actors.runtime.announcer import ValkeyAnnouncer
from actors.runtime.clock import WallClock, now_ms
from actors.runtime.directory import Directory, Scope
from actors.runtime.keeper import Keeper
from actors.runtime.router import Router, ShardBusy, ShardUnreachable, View
from actors.runtime.shard import Shard, ShardStatus
from actors.settlement import settle
from ledger.blocks import BrokenChain
from ledger.database import open_pool
from ledger.postgres_journal import PostgresJournal
from ledger.projector import Projector
from ledger.reads import LedgerReads
from ledger.tables import LedgerFault

log = structlog.get_logger()

RETRY_S = 0.5
FAULT_S = 30.0
"""How long a projector waits after a fault before it looks again."""
IDLE_S = 0.02
"""How long a projector or the settlement rests at least, and when there is nothing to do."""
MAX_REST_S = 0.1
"""The longest a projector rests between two steps."""
OWNERSHIP_S = 1.0
OWNERSHIP_TIMEOUT_S = 2.0
MAX_UNCHECKED = 2
"""Checks of ownership in a row that may fail: with the two figures above, the time for which a
former owner that can't reach the journal may go on answering. `keeper.SLACK_MS` is above it."""
DIRECTORY_TIMEOUT_S = 2.0
LEARN_TIMEOUT_S = 2.0


class HostConfig(msgspec.Struct, frozen=True):
    """What every host is told: databases by scope, and where Valkey is."""

    databases: dict[str, str]
    """A Postgres address (DSN) for `book` and for each licence."""
    valkey_url: str
    max_actors: int

    @property
    def licences(self) -> dict[str, str]:
        return {scope: dsn for scope, dsn in self.databases.items() if scope != BOOK}


async def until_open(dsn: str, size: int) -> asyncpg.Pool:
    """A pool, as soon as Postgres answers."""
    while True:
        try:
            return await open_pool(dsn, max_size=size)
        except (OSError, asyncpg.PostgresError, TimeoutError) as failure:
            log.warning("postgres_not_there", why=str(failure))
            await asyncio.sleep(RETRY_S)


async def ledgers_of(config: HostConfig) -> dict[str, LedgerReads]:
    """The ledgers of all licences, to read from."""
    return {
        licence: LedgerReads(await until_open(dsn, 4)) for licence, dsn in config.licences.items()
    }


class Hosted:
    """What every host has, and answers."""

    def __init__(self) -> None:
        logs.configure()

    async def process_id(self) -> int:
        return os.getpid()


class DirectoryHost(Hosted):
    """The directory as an actor. One that was started again asks the shards what they have."""

    def __init__(self, scopes: list[Scope]) -> None:
        super().__init__()
        self._directory = Directory(scopes, version=now_ms())
        self._transport = cluster.RayTransport()
        self._ready = asyncio.ensure_future(self._learn())

    async def _learn(self) -> None:
        if not cluster.was_restarted():
            return
        shards = [shard for scope in self._directory.scopes.values() for shard in scope.shards]
        await asyncio.gather(*(self._learn_from(shard) for shard in shards))

    async def _learn_from(self, shard: str) -> None:
        try:
            async with asyncio.timeout(LEARN_TIMEOUT_S):
                self._directory.learn(shard, await self._transport.host(shard).call("hosting"))
        except (ShardUnreachable, TimeoutError):
            log.warning("shard_did_not_say", shard=shard)

    async def view(self) -> View:
        await self._ready
        return self._directory.view()

    async def partitions_of(self, shard: str) -> list[str]:
        await self._ready
        return self._directory.partitions_of(shard)

    async def move(self, partition: str, shard: str) -> None:
        """Give a partition to another shard. The former owner is told, and fenced off anyway."""
        await self._ready
        former = self._directory.shards[partition]
        self._directory.move(partition, shard)
        for name in (former, shard):
            try:
                await self._transport.host(name).call("assign", self.partitions_now(name))
            except ShardUnreachable:
                log.warning("shard_not_told", shard=name, partition=partition)

    def partitions_now(self, shard: str) -> list[str]:
        return self._directory.partitions_of(shard)


class ShardHost(Hosted):
    """A shard as an actor."""

    def __init__(self, name: str, scope: str, config: HostConfig) -> None:
        super().__init__()
        self.name = name
        self._scope = scope
        self._config = config
        self._assigned: set[str] = set()
        self._directory = cluster.Host(cluster.DIRECTORY)
        self._shard: Shard | None = None
        self._ready = asyncio.ensure_future(self._start())
        self._tasks: list[asyncio.Task[Any]] = []

    async def _start(self) -> Shard:
        clock = WallClock()
        pool = await until_open(self._config.databases[self._scope], 6)
        announcer = ValkeyAnnouncer(self._config.valkey_url)
        shard = Shard(
            self.name,
            PostgresJournal(pool),
            clock,
            self._assigned.__contains__,
            self._still_mine,
            announcer,
            self._config.max_actors,
        )
        while not await self._ask_directory():
            await clock.sleep(RETRY_S)
        for partition in sorted(self._assigned):
            shard.open(partition)
        if self._scope == BOOK:
            ledgers = await ledgers_of(self._config)
            router = Router(cluster.RayTransport(), clock)
            keeper = Keeper(shard, router, ledgers, clock)
            self._tasks.append(asyncio.ensure_future(keeper.run()))
        self._tasks.append(asyncio.ensure_future(self._check_ownership(shard)))
        self._shard = shard
        return shard

    async def _ask_directory(self) -> bool:
        """Learn which partitions are ours; whether the directory answered."""
        try:
            async with asyncio.timeout(DIRECTORY_TIMEOUT_S):
                ours = await self._directory.call("partitions_of", self.name)
        except (ShardUnreachable, ShardBusy, TimeoutError) as missing:
            log.warning("directory_not_there", why=str(missing))
            return False
        self._assigned.clear()
        self._assigned.update(ours)
        return True

    async def _still_mine(self, partition: str) -> bool:
        # Without an answer, what was said last counts: the journal keeps two owners apart.
        await self._ask_directory()
        return partition in self._assigned

    async def _check_ownership(self, shard: Shard) -> None:
        """Once a second, find out what has been given to others, by the directory and the journal.

        Whoever can't reach the journal for some seconds can't know, and serves nothing: what it
        has in memory may be the past.
        """
        unchecked = 0
        while True:
            await asyncio.sleep(OWNERSHIP_S)
            if await self._ask_directory():
                self._follow(shard)
            try:
                async with asyncio.timeout(OWNERSHIP_TIMEOUT_S):
                    await shard.check_ownership()
                unchecked = 0
            except Exception as failure:
                unchecked += 1
                log.warning("ownership_not_checked", why=str(failure))
            if unchecked >= MAX_UNCHECKED:
                shard.drop_all("it can't be found out whether it is still ours")

    def _follow(self, shard: Shard) -> None:
        """Serve what is ours, and nothing else."""
        for partition in set(shard.partitions) - self._assigned:
            shard.close(partition)
        for partition in sorted(self._assigned):
            shard.open(partition)

    async def deliver(self, batch: bytes) -> bytes:
        if self._shard is None:
            await asyncio.shield(self._ready)
        assert self._shard is not None
        return await self._shard.deliver(batch)

    async def assign(self, partitions: list[str]) -> None:
        """These are the shard's partitions from now on."""
        shard = await asyncio.shield(self._ready)
        self._assigned.clear()
        self._assigned.update(partitions)
        self._follow(shard)

    async def ready(self) -> bool:
        """Whether every partition of the shard is open."""
        return self._shard is not None and self._assigned <= set(self._shard.partitions)

    async def hosting(self) -> list[str]:
        """The partitions that are open here now."""
        return sorted(self._shard.partitions) if self._shard else []

    async def status(self) -> ShardStatus:
        shard = await asyncio.shield(self._ready)
        return shard.status()

    async def drain(self) -> None:
        """Let what waits become durable, then serve nothing more."""
        shard = await asyncio.shield(self._ready)
        await shard.drain()


class ProjectorHost(Hosted):
    """Makes one scope's ledger from its journal, for ever."""

    def __init__(self, scope: str, dsn: str) -> None:
        super().__init__()
        self._scope = scope
        self._dsn = dsn
        self._blocks = 0
        self._trouble = ""
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        pool = await until_open(self._dsn, 2)
        projector = Projector(pool, self._scope)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                done = await projector.step()
            except (BrokenChain, LedgerFault) as fault:
                # A ledger that can't be made must not be made wrong: somebody has to look. The
                # gateways see the lag and say that they are not ready.
                self._trouble = str(fault)
                log.error("projector_stopped", scope=self._scope, why=str(fault))
                await asyncio.sleep(FAULT_S)
                continue
            except Exception as failure:
                log.warning("projector_waits", scope=self._scope, why=str(failure))
                await asyncio.sleep(RETRY_S)
                continue
            self._trouble = ""
            self._blocks += done
            # As long as the step took: steps grow with load, and the projector leaves at least half
            # a core to those who answer people. Without a rest each step takes a few bets only.
            await asyncio.sleep(min(max(IDLE_S, loop.time() - began), MAX_REST_S))

    async def status(self) -> dict[str, Any]:
        return {"scope": self._scope, "blocks": self._blocks, "trouble": self._trouble}


class SettlerHost(Hosted):
    """Settles every market that has a result, whoever declared it and whenever."""

    def __init__(self, config: HostConfig) -> None:
        super().__init__()
        self._config = config
        self._settled = 0
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        clock = WallClock()
        router = Router(cluster.RayTransport(), clock)
        book = LedgerReads(await until_open(self._config.databases[BOOK], 2))
        ledgers = await ledgers_of(self._config)
        under_way: dict[str, asyncio.Task[None]] = {}

        async def settle_one(declared: Any) -> None:
            try:
                done = await settle(router, clock, ledgers, declared)
                self._settled += done.bets
                log.info("market_settled", market=declared.market_id, bets=done.bets)
            except NoAnswer as missing:
                log.info("settlement_waits", market=declared.market_id, why=missing.why)
            except Exception:
                log.exception("settlement_failed", market=declared.market_id)
                await asyncio.sleep(RETRY_S)
            finally:
                under_way.pop(declared.market_id, None)

        while True:
            try:
                for declared in await book.unsettled():
                    if declared.market_id not in under_way:
                        task = asyncio.ensure_future(settle_one(declared))
                        under_way[declared.market_id] = task
            except Exception as failure:
                log.warning("results_not_read", why=str(failure))
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(IDLE_S * 5)

    async def status(self) -> dict[str, Any]:
        return {"settled": self._settled}
