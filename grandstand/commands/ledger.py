"""`grandstand ledger`: prove the books, or make them again from the journal.

Both work beside a running platform, and without one: then the embedded Postgres is started for as
long as it takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from grandstand.commands import console, fail, run_async, settings
from grandstand.platform import (
    Servers,
    StartFailed,
    data_folder,
    read_run_file,
    sole_owner,
)
from grandstand.servers import ServerError
from ledger import rebuild as rebuilding
from ledger import verify as verification
from ledger.blocks import BrokenChain
from ledger.database import WrongDatabase, open_pool
from ledger.journal import JournalUnavailable
from ledger.projector import Projector
from ledger.report import LedgerBusy, Report
from ledger.tables import LedgerFault

app = typer.Typer(help="The ledger: prove it, or make it again.", no_args_is_help=True)

Scope = Annotated[str, typer.Option(help="Only this one: `book` or a licence's code.")]


@app.command()
def verify(scope: Scope = "") -> None:
    """Check every chain, every sum and every balance, and the tables against the journal.

    Exit status 0 when all is well, 1 when anything is not.
    """
    _report(scope, verification.verify)


@app.command()
def rebuild(
    scope: Scope = "",
    replace: Annotated[
        bool, typer.Option(help="Put the tables just made in place also when nothing differs.")
    ] = False,
) -> None:
    """Make the tables again from the first block, and compare them with those there are.

    Tables that differ are replaced by the ones just made, and the exit status is 1.
    """

    async def again(pool: asyncpg.Pool, name: str) -> Report:
        return await rebuilding.rebuild(pool, name, replace=replace)

    _report(scope, again)


def _report(scope: str, check: Callable[[asyncpg.Pool, str], Awaitable[Report]]) -> None:
    with _databases() as databases:
        if scope and scope not in databases:
            fail(f"there is no scope {scope!r}; there are {', '.join(databases)}")
        chosen = {scope: databases[scope]} if scope else databases
        try:
            reports = run_async(_check(chosen, check))
        except (OSError, asyncpg.PostgresError, WrongDatabase, JournalUnavailable) as problem:
            fail(f"the ledger can't be read: {problem}")
        except LedgerBusy as problem:
            fail(problem)
    table = Table("scope", "check", "looked at", "result")
    for name, report in reports.items():
        for one in report.checks:
            if one.ok and not one.counted:
                continue  # this scope has nothing of the kind
            result = "[green]ok[/]" if one.ok else f"[red]{one.found} wrong[/]\n{one.detail}"
            table.add_row(name, one.name, f"{one.counted:,}", result)
    console.print(table)
    if not all(report.ok for report in reports.values()):
        raise typer.Exit(1)
    console.print("All is well.")


async def _check(
    databases: dict[str, str], check: Callable[[asyncpg.Pool, str], Awaitable[Report]]
) -> dict[str, Report]:
    reports = {}
    for scope, dsn in databases.items():
        pool = await open_pool(dsn, max_size=4)
        try:
            await _catch_up(pool, scope)
            reports[scope] = await check(pool, scope)
        finally:
            await pool.close()
    return reports


async def _catch_up(pool: asyncpg.Pool, scope: str) -> None:
    """Make the ledger of blocks that came after its projector was stopped."""
    projector = Projector(pool, scope)
    try:
        while await projector.step():
            pass
    except (BrokenChain, LedgerFault) as fault:
        # What stops the projector is what the check is there to find: let it look.
        console.print(f"[yellow]{scope}: the ledger can't be brought up to date:[/] {fault}")


@contextmanager
def _databases() -> Iterator[dict[str, str]]:
    """Addresses of the databases: of the running platform, or with servers started for this."""
    chosen = settings()
    folder = data_folder(chosen)
    run = read_run_file(folder)
    if run is not None:
        yield run.databases
        return
    if chosen.needs_postgres and not _has_data(folder):
        fail(f"there is no data in {folder}: `grandstand up` makes it")
    try:
        with sole_owner(folder):
            servers = Servers(chosen, folder)
            if servers.postgres is not None:
                servers.postgres.start()
            try:
                yield servers.databases()
            finally:
                if servers.postgres is not None:
                    servers.postgres.stop()
    except (StartFailed, ServerError) as problem:
        fail(problem)


def _has_data(folder: Path) -> bool:
    return (folder / "postgres").is_dir()
