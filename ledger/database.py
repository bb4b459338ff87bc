"""Databases: one for each scope, with the schemas `journal` (the truth) and `ledger` (made of it).

create_database(admin_dsn, "grandstand_gb")     once, by who may
prepare(dsn, "gb", partitions=16)               at every start: migrates, says the count
open_pool(dsn)                                  connections for one process
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from ledger.journal import JournalUnavailable
from ledger.migrations import migrate, read_migrations
from ledger.queries import Queries

_sql = Queries("database")

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
"""For one statement. What it did is not known then."""


class WrongDatabase(Exception):
    """The database belongs to another scope."""


async def create_database(admin_dsn: str, name: str) -> None:
    """Create the database unless there is one of that name; `admin_dsn` is of any other.

    It sorts by code point, alike on every machine, and never by a locale that may be upgraded.
    """
    connection = await asyncpg.connect(admin_dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        if not await connection.fetchval(_sql.database_exists, name):
            await connection.execute(await connection.fetchval(_sql.create_database, name))
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # somebody else was quicker
    finally:
        await connection.close()


async def prepare(dsn: str, scope: str, partitions: int) -> int:
    """Bring the database up to date, and return how many partitions it has.

    The count given when the database was new stays for ever, because where an actor's events are
    depends on it; another one asked for later is ignored. Raises `WrongDatabase`, and
    `ledger.migrations.MigrationRefused`.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        await migrate(connection, read_migrations())
        await connection.execute(_sql.claim_scope, scope, partitions)
        owner, count = await connection.fetchrow(_sql.scope)
    finally:
        await connection.close()
    if owner != scope:
        raise WrongDatabase(f"the database is that of {owner!r}, not of {scope!r}")
    return int(count)


async def open_pool(
    dsn: str,
    *,
    max_size: int = 10,
    application: str = "grandstand",
    command_timeout_s: float = COMMAND_TIMEOUT_S,
) -> asyncpg.Pool:
    """Connections for one process; tables without a schema are those of `ledger`."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_timeout_s,
        server_settings={
            "application_name": application,
            "search_path": "ledger",
            # Queries are short: compiling one takes longer than running it.
            "jit": "off",
        },
    )


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turn whatever goes wrong between here and the database into `JournalUnavailable`."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        # The class says more than the text of a timeout, which is empty.
        raise JournalUnavailable(f"{doing}: {type(error).__name__} {error}".rstrip()) from error
