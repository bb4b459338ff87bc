"""Making the ledger again from the journal, beside the one there is, and comparing the two.

    the copy is built in the schema `ledger_rebuild` while the projector goes on
    the projector is held off, and the copy brought to the very position of the ledger
    every table is compared, row by row
    where they differ the copy takes the ledger's place, in one commit; else it is dropped

Bets go on all the while: the journal is only read.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from ledger.database import CONNECT_TIMEOUT_S
from ledger.migrations import apply, read_migrations
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.report import MAX_FAULTS, Check, LedgerBusy, Report

_sql = Queries("rebuild")

_COPY = "ledger_rebuild"
_NO_TIMEOUT = 24 * 3600.0
"""Seconds for a statement that reads a whole table."""


async def rebuild(pool: asyncpg.Pool, scope: str, *, replace: bool = False) -> Report:
    """Rebuild, compare, and put the copy in place if the ledger differed or `replace` asks.

    The report has a check for each table, with up to 20 rows that differ. Raises `LedgerBusy`, and
    what `Projector.step` raises.
    """
    async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        if not await connection.fetchval(_sql.claim):
            raise LedgerBusy(f"the ledger of {scope!r} is being verified or rebuilt already")
        try:
            await _create_copy(connection)
            copier = Projector(pool, scope, schema=_COPY)
            await _catch_up(connection, copier)
            return await _compare(connection, copier, replace)
        finally:
            await connection.execute(_sql.drop_copy, timeout=_NO_TIMEOUT)
            await connection.execute(_sql.give_back)


async def _create_copy(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute(_sql.drop_copy)  # of a rebuild that was killed
        await connection.execute(_sql.create_copy)
        for migration in read_migrations():
            if migration.schema == "ledger":
                await apply(connection, migration, _COPY)


async def _catch_up(connection: Any, copier: Projector) -> None:
    """Project up to where the ledger is now."""
    ceilings = dict(await connection.fetch(_sql.positions))
    while await copier.step(ceilings):
        pass


async def _compare(connection: Any, copier: Projector, replace: bool) -> Report:
    # One round more before the projector is held off, so that it is for the comparison alone.
    await _catch_up(connection, copier)
    for (statement,) in await connection.fetch(_sql.analyse_copy):
        await connection.execute(statement, timeout=_NO_TIMEOUT)
    async with connection.transaction():
        await connection.execute(_sql.hold_projector)
        await _catch_up(connection, copier)
        tables = [name for (name,) in await connection.fetch(_sql.tables)]
        report = Report.of([await _compare_table(connection, table) for table in tables])
        if replace or not report.ok:
            await connection.execute(_sql.swap, timeout=_NO_TIMEOUT)
    return report


async def _compare_table(connection: Any, table: str) -> Check:
    check = Check(table)
    if await connection.fetchval(_sql.is_missing, table):
        check.fault("the table is missing")
        return check
    check.counted, digest = await _digest(connection, "ledger", table)
    if (check.counted, digest) != await _digest(connection, _COPY, table):
        query = await connection.fetchval(_sql.differences_of, table)
        rows = connection.cursor(query, prefetch=MAX_FAULTS, timeout=_NO_TIMEOUT)
        async for line, what in rows:
            check.fault(f"{what}: {line}")
    return check


async def _digest(connection: Any, schema: str, table: str) -> tuple[int, str]:
    query = await connection.fetchval(_sql.digest_of, schema, table)
    count, digest = await connection.fetchrow(query, timeout=_NO_TIMEOUT)
    return count, digest
