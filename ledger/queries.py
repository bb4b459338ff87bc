"""Named queries out of the .sql files: Python never puts SQL together.

    sql = Queries("journal")              # reads ledger/sql/journal.sql
    await connection.fetch(sql.head, ...) # what stands below the line `-- name: head`

Where a statement has to name a database or a schema that is only known at run time, and which
Postgres takes no parameter for, a query makes that statement with Postgres's own `format()`,
which quotes; it is fetched first and then executed.
"""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Queries:
    """The queries of one file, each an attribute."""

    def __init__(self, name: str) -> None:
        self._file = f"{name}.sql"
        # What stands before the first name is the file's own introduction.
        _, *parts = _NAME.split((_FOLDER / self._file).read_text())
        self._texts = dict(zip(parts[::2], parts[1::2], strict=True))
        if 2 * len(self._texts) != len(parts):
            raise ValueError(f"{self._file} has two queries of one name")

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise AttributeError(f"{self._file} has no query named {name}") from None
