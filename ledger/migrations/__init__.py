"""Migrations: numbered SQL files, each applied once, in order.

A file is named `<number>_<schema>[_<what>].sql` and speaks of that schema without naming it. All
that are missing are applied in one transaction: a database is either as it was or up to date. A
file that has been applied anywhere is never edited again; the next change is the next number.

`ledger rebuild` applies the files of the schema `ledger` once more, to a schema of another name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import asyncpg
import msgspec

from ledger.queries import Queries

_sql = Queries("migrations")


class MigrationRefused(Exception):
    """The database is not one that this release can bring up to date; nothing was changed."""


class Migration(msgspec.Struct, frozen=True):
    number: int
    name: str
    schema: str
    text: str

    @property
    def checksum(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()


def read_migrations(folder: Path = Path(__file__).parent) -> list[Migration]:
    """The migrations of this release, by number."""
    migrations = []
    for number, file in enumerate(sorted(folder.glob("*.sql")), start=1):
        digits, schema, *_ = file.stem.split("_")
        if int(digits) != number:
            raise MigrationRefused(f"{file.name} stands where number {number} should")
        migrations.append(Migration(number, file.stem, schema, file.read_text()))
    return migrations


async def migrate(connection: asyncpg.Connection, migrations: list[Migration]) -> list[str]:
    """Bring the database up to date; returns the names of what was applied.

    Of two that start at once, one waits for the other. Raises `MigrationRefused`, in one line,
    where the database is of a later release or was made by files that have been edited since.
    """
    async with connection.transaction():
        await connection.execute(_sql.wait_for_other_starters)
        await connection.execute(_sql.create_schemas)
        applied = await connection.fetch(_sql.applied)
        for row in applied:
            _check(row["number"], row["name"], row["checksum"], migrations)
        missing = migrations[len(applied) :]
        for migration in missing:
            await apply(connection, migration, migration.schema)
            await connection.execute(
                _sql.record, migration.number, migration.name, migration.checksum
            )
    return [migration.name for migration in missing]


def _check(number: int, name: str, checksum: bytes, migrations: list[Migration]) -> None:
    if number > len(migrations):
        raise MigrationRefused(
            f"the database has migration {name}, and this release ends at number "
            f"{len(migrations)}: start a release at least as new as the one that migrated it"
        )
    known = migrations[number - 1]
    if known.checksum != checksum:
        raise MigrationRefused(
            f"migration {known.name} is not the file that was applied to this database ({name}): "
            "restore it, and put the change into a new migration"
        )


async def apply(connection: asyncpg.Connection, migration: Migration, schema: str) -> None:
    """Run one migration with its names meant in `schema`, inside the caller's transaction."""
    await connection.fetchval(_sql.set_schema, schema)
    await connection.execute(migration.text)
