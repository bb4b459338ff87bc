"""Everything behind a gateway, in one process: real Postgres, Valkey, ledger and partitions.

Only Ray is missing: the shards run here (`LocalCluster`). Their journal is kept in memory, from
which the cluster settles, and copied block by block to Postgres, from which the ledger is made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from actors.runtime.announcer import ValkeyAnnouncer
from actors.runtime.clock import now_ms
from actors.runtime.local import LocalCluster
from gateway.app import Gateway
from gateway.payments import Processor
from gateway.payments.bogus import Bogus
from gateway.settings import GatewaySettings
from grandstand.servers.postgres import EmbeddedPostgres
from grandstand.servers.valkey import EmbeddedValkey
from jurisdictions import licence
from ledger.blocks import Block
from ledger.database import create_database, open_pool, prepare
from ledger.memory_journal import MemoryJournal
from ledger.postgres_journal import PostgresJournal
from ledger.projector import Projector
from ledger.reads import LedgerReads
from tests.patience import LASTING, PATIENCE_S

STAFF_TOKEN = "the staff's token of the tests"
SCOPES = ("book", "gb")
PARTITIONS = 4


class Ahead:
    """The wall clock, moved on at will."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return now_ms() + self.ahead_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class CopiedJournal(MemoryJournal):
    """A journal in memory, each block of which is also in its scope's database."""

    def __init__(self, copies: dict[str, PostgresJournal]) -> None:
        super().__init__()
        self._copies = copies

    async def append(self, blocks: Sequence[Block]) -> frozenset[str]:
        written = await super().append(blocks)
        for scope, copy in self._copies.items():
            mine = [
                block
                for block in blocks
                if block.partition in written and block.partition.startswith(f"{scope}-")
            ]
            if mine:
                await copy.append(mine)
        return written


class PatientReads(LedgerReads):
    """A ledger that is waited for until it has everything, however long that takes: a list that is
    behind would be an answer too."""

    patient = True

    async def caught_up(self, partition: str, timeout_s: float = 2.0) -> bool:
        return await super().caught_up(partition, PATIENCE_S if self.patient else timeout_s)

    async def all_caught_up(self, timeout_s: float = 2.0) -> bool:
        return await super().all_caught_up(PATIENCE_S if self.patient else timeout_s)


class Backend:
    def __init__(self, valkey: EmbeddedValkey, dsns: dict[str, str]) -> None:
        self.valkey = valkey
        self.dsns = dsns
        self.processors_ahead_ms = 0
        """How far the processor's clock is ahead: `bogus-timeout` answers a minute after."""
        self._projecting = asyncio.Event()
        self._projecting.set()
        self._steps = 0
        """Of projectors, that are under way."""

    @classmethod
    async def made(cls, postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> Backend:
        dsns = {}
        for scope in SCOPES:
            await create_database(postgres.dsn("postgres"), f"gateway_{scope}")
            dsns[scope] = postgres.dsn(f"gateway_{scope}")
            await prepare(dsns[scope], scope, PARTITIONS)
        return cls(valkey, dsns)

    async def start(self) -> None:
        self.pools = {scope: await open_pool(dsn) for scope, dsn in self.dsns.items()}
        self.reads = {scope: PatientReads(pool) for scope, pool in self.pools.items()}
        self.copies = {scope: PostgresJournal(pool) for scope, pool in self.pools.items()}
        self.announcer = ValkeyAnnouncer(self.valkey.url())
        self.cluster = LocalCluster(
            CopiedJournal(self.copies), partitions=PARTITIONS, announcer=self.announcer
        )
        await self.cluster.__aenter__()
        self.projectors = [
            asyncio.create_task(self._project(Projector(pool, scope)))
            for scope, pool in self.pools.items()
        ]

    async def stop(self) -> None:
        await self.cluster.__aexit__(None, None, None)
        for projector in self.projectors:
            projector.cancel()
        await asyncio.gather(*self.projectors, return_exceptions=True)
        await self.announcer.close()
        for copy in self.copies.values():
            await copy.close()
        for pool in self.pools.values():
            await pool.close()

    async def _project(self, projector: Projector) -> None:
        while True:
            await self._projecting.wait()
            self._steps += 1
            found = await projector.step()
            self._steps -= 1
            if not found:
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def behind(self) -> AsyncIterator[None]:
        """The ledger stands still for as long as the block runs, and nobody waits long for it."""
        self._projecting.clear()
        try:
            await until(lambda: not self._steps, "the steps that are under way have ended")
            for reads in self.reads.values():
                reads.patient = False
            yield
        finally:
            for reads in self.reads.values():
                reads.patient = True
            self._projecting.set()

    def processor(self) -> Processor:
        """A bogus processor that knows of no other."""
        return Bogus(slow_s=0.05, silent_s=60, now_ms=lambda: now_ms() + self.processors_ahead_ms)

    def gateway(
        self,
        *,
        clock: object = None,
        processors: Mapping[str, Processor] | None = None,
        **settings: object,
    ) -> Gateway:
        """A gateway that has not been started, with settings and processors of its own."""
        given = {
            "valkey_url": self.valkey.url(),
            "staff_token": STAFF_TOKEN,
            "port": 0,
            # What is counted here is forgotten at once, also by a gateway that allows fewer.
            "attempts_per_login": 100_000,
            "attempts_per_address": 100_000,
            "sweep_interval_s": 0.0,
            "risk": LASTING,
            **settings,
        }
        return Gateway(
            GatewaySettings(**given),  # type: ignore[arg-type]
            licence=licence("gb"),
            router=self.cluster.router,
            reads=self.reads,
            processors={"bogus": self.processor()} if processors is None else processors,
            clock=clock,  # type: ignore[arg-type]
        )


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, timeout_s: float = PATIENCE_S
) -> None:
    """Wait for something that happens by itself."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                answer = condition()
                if await answer if isinstance(answer, Awaitable) else answer:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it did not happen in {timeout_s} s: {what}") from None
