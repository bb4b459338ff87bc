"""The journal in Postgres: the blocks of one flush are one INSERT, committed with fsync."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from ledger.answers import keyed_entries
from ledger.blocks import EMPTY, Block, Head
from ledger.database import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S, unavailable
from ledger.journal import FirstAnswer, Snapshot
from ledger.queries import Queries

_sql = Queries("journal")

_GRACE_S = 1.0
"""Postgres gives an append up before we do: then it is known not to be in."""
_SCAN_BLOCKS = 64
"""How many blocks a search for an answer takes at a time."""


class PostgresJournal:
    """Reads go through the pool; appends have a connection of the pool to themselves.

    Appends are made one after the other. What waits meanwhile belongs into the next block.
    """

    def __init__(self, pool: asyncpg.Pool, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """The pool has to have a connection besides that for appends."""
        self._pool = pool
        self._timeout_s = timeout_s
        self._appending = asyncio.Lock()
        self._writer: Any = None

    async def head(self, partition: str) -> Head:
        rows = await self._fetch("head", _sql.head, partition)
        return Head(*rows[0]) if rows else EMPTY

    async def append(self, blocks: Sequence[Block]) -> frozenset[str]:
        columns = (
            [block.partition for block in blocks],
            [block.seq for block in blocks],
            [block.prev_hash for block in blocks],
            [block.hash for block in blocks],
            [block.recorded_at_ms for block in blocks],
            [block.count for block in blocks],
            [block.body for block in blocks],
        )
        async with self._appending:
            try:
                with unavailable("append"):
                    if not self._writer_is_open():
                        await self._open_writer()
                    rows = await self._writer.fetch(
                        _sql.append, *columns, timeout=self._timeout_s + _GRACE_S
                    )
            except BaseException:
                # Also when cancelled: the statement may still be under way on this connection.
                self._drop_writer()
                raise
        return frozenset(partition for (partition,) in rows)

    async def blocks(self, partition: str, after_seq: int, limit: int) -> list[Block]:
        rows = await self._fetch("blocks", _sql.blocks, partition, after_seq, limit)
        return [Block(*row) for row in rows]

    async def checkpoint(self, partition: str) -> int:
        rows = await self._fetch("checkpoint", _sql.checkpoint, partition)
        return rows[0][0] if rows else 0

    async def snapshots(self, partition: str, refs: Collection[str]) -> Mapping[str, Snapshot]:
        rows = await self._fetch("snapshots", _sql.snapshots, partition, list(refs))
        return {row["ref"]: Snapshot(*row) for row in rows}

    async def save(self, partition: str, snapshots: Sequence[Snapshot], checkpoint: int) -> None:
        await self._fetch(
            "save",
            _sql.save,
            partition,
            [snapshot.ref for snapshot in snapshots],
            [snapshot.seq for snapshot in snapshots],
            [snapshot.body for snapshot in snapshots],
            checkpoint,
        )

    async def first_answer(self, partition: str, owner: str, key: str) -> FirstAnswer | None:
        # One statement says how far the projector is and what it has: an answer that is not
        # among it can only be in a later block, whatever the projector does meanwhile.
        rows = await self._fetch("first_answer", _sql.projected_answer, partition, owner, key)
        seq, fingerprint, answer = rows[0]
        if answer is not None:
            return FirstAnswer(fingerprint, answer)
        while rows:
            rows = await self._fetch(
                "first_answer", _sql.blocks_that_contain, partition, seq, key, _SCAN_BLOCKS
            )
            for seq, body in rows:  # noqa: B007 - the next page is above the last seq
                for entry in keyed_entries(body):
                    if (entry.owner, entry.key) == (owner, key):
                        return entry.first_answer
        return None

    async def close(self) -> None:
        """Give the connection for appends back; the pool is its owner's to close."""
        async with self._appending:
            if self._writer is not None:
                await self._pool.release(self._writer)
                self._writer = None

    async def _fetch(self, doing: str, query: str, *arguments: Any) -> list[Any]:
        with unavailable(doing):
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                rows: list[Any] = await connection.fetch(query, *arguments, timeout=self._timeout_s)
                return rows

    def _writer_is_open(self) -> bool:
        # A connection that broke has gone back to the pool by itself, and says so.
        with suppress(asyncpg.InterfaceError):
            return self._writer is not None and not self._writer.is_closed()
        return False

    async def _open_writer(self) -> None:
        self._writer = await self._pool.acquire(timeout=CONNECT_TIMEOUT_S)
        await self._writer.execute(_sql.prepare_writer, str(round(self._timeout_s * 1_000)))

    def _drop_writer(self) -> None:
        """Close the connection without a word to the server, so that it is never used again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(asyncpg.InterfaceError):
                writer.terminate()
