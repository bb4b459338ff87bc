"""What every host is told, has, and answers."""

from __future__ import annotations

import asyncio
import os

import asyncpg
import msgspec
import structlog

from actors.runtime import cluster, collector, logs
from actors.runtime.addresses import BOOK
from ledger.database import open_pool
from ledger.reads import LedgerReads

log = structlog.get_logger()

RETRY_S = 0.5


class HostConfig(msgspec.Struct, frozen=True):
    """What every host is told: databases by scope, and where Valkey is."""

    databases: dict[str, str]
    """A Postgres address (DSN) for `book` and for each licence."""
    valkey_url: str
    max_actors: int
    grows: bool = False
    """Whether Ray adds a node when an actor finds no place."""

    @property
    def licences(self) -> dict[str, str]:
        return {scope: dsn for scope, dsn in self.databases.items() if scope != BOOK}


class Hosted:
    """What every host has, and answers."""

    def __init__(self) -> None:
        logs.configure()
        collector.calm()

    async def process_id(self) -> int:
        return os.getpid()

    async def node(self) -> str:
        """The address of the machine it is on."""
        return cluster.node_address()


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
