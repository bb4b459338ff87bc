"""The bench's SQL, read by name as the ledger's is: `-- name: ...` begins a query."""

from __future__ import annotations

from pathlib import Path

MARK = "-- name: "


def queries(file: str) -> dict[str, str]:
    """The queries of `<file>.sql` beside this, by name."""
    text = (Path(__file__).parent / f"{file}.sql").read_text()
    parts = text.split(MARK)[1:]
    return {name: query.strip() for name, _, query in (part.partition("\n") for part in parts)}
