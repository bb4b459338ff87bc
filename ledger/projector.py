"""The write-behind: turns blocks of the journal into the tables of the ledger.

    projector = Projector(pool, "gb")
    while True:
        taken = await projector.step()      # 0: nothing new, ask again in a moment

A step is one transaction: it takes the next blocks of all partitions, checks that each continues
its chain, folds them into rows (`ledger.tables`), writes those in bulk, and moves the positions.
Either all of it is in or nothing. A second projector of the same scope waits its turn and goes on
where the first one ended, so that nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from ledger.blocks import EMPTY, Block, Head, check
from ledger.database import CONNECT_TIMEOUT_S, unavailable
from ledger.queries import Queries
from ledger.tables import (
    AccountRow,
    Batch,
    BetRow,
    FixtureRow,
    LedgerFault,
    MarketRow,
    PaymentRow,
    SelectionChange,
    SelectionRow,
    Tables,
)

_sql = Queries("projector")

MAX_BLOCKS = 512
MAX_BYTES = 512 * 1024
"""Of bodies in one step. 1,700 bets are 512 KiB and take 0.16 s; steps four times as large make
10% more bets a second, and who waits for the projector waits four times as long."""


class Projector:
    """Writes the ledger of one scope. Any number may exist; one at a time works."""

    def __init__(self, pool: asyncpg.Pool, scope: str, *, schema: str = "ledger") -> None:
        """`schema` is where the tables are; `ledger rebuild` has a second set of them."""
        self._pool = pool
        self._scope = scope
        self._schema = schema

    async def step(self, ceilings: Mapping[str, int] | None = None) -> int:
        """Take the blocks that are next, at most up to `ceilings`; returns how many.

        Raises `JournalUnavailable` when the database can't be reached: nothing was written, or
        all of it was; call again. Raises `LedgerFault` or `ledger.blocks.BrokenChain` when the
        journal says something that cannot be: somebody has to look, and nothing is skipped.
        """
        with unavailable(f"projector of {self._scope}"):
            async with (
                self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection,
                connection.transaction(),
            ):
                try:
                    return await self._step(connection, ceilings or {})
                except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
                    raise LedgerFault(f"{self._scope}: the tables refuse it: {error}") from error

    async def _step(self, connection: Any, ceilings: Mapping[str, int]) -> int:
        await connection.execute(_sql.take_turn, self._schema)
        blocks = [
            Block(*row)
            for row in await connection.fetch(
                _sql.next_blocks,
                EMPTY.seq,
                list(ceilings.keys()),
                list(ceilings.values()),
                MAX_BLOCKS,
                MAX_BYTES,
            )
        ]
        if not blocks:
            return 0
        partitions = sorted({block.partition for block in blocks})
        heads = dict.fromkeys(partitions, EMPTY)
        for partition, seq, digest in await connection.fetch(_sql.positions, partitions):
            heads[partition] = Head(seq, digest)
        batch = Batch()
        for block in blocks:
            heads[block.partition] = check(heads[block.partition], block)
            batch.add(block)
        tables = await _load(connection, batch)
        tables.fold(batch)
        await _store(connection, tables)
        recorded = {block.partition: block.recorded_at_ms for block in blocks}
        await connection.execute(
            _sql.move_positions,
            partitions,
            [heads[partition].seq for partition in partitions],
            [heads[partition].hash for partition in partitions],
            [recorded[partition] for partition in partitions],
        )
        return len(blocks)


async def _load(connection: Any, batch: Batch) -> Tables:
    """The rows that the batch touches, as they are now."""
    tables = Tables()
    touched = batch.touched
    if batch.accounts:
        names, currencies = zip(*sorted(batch.accounts), strict=True)
        for row in await connection.fetch(_sql.accounts, names, currencies):
            account = AccountRow(*row)
            tables.accounts[account.account, account.currency] = account
    if touched["bet"]:
        for *row, market_id, selection_id, odds in await connection.fetch(
            _sql.bets, sorted(touched["bet"])
        ):
            bet = BetRow(*row)
            tables.bets[bet.bet_id] = bet
            tables.legs[bet.bet_id] = (market_id, selection_id, odds)
    if batch.payments:
        players, payments = zip(*sorted(batch.payments), strict=True)
        for row in await connection.fetch(_sql.payments, players, payments):
            payment = PaymentRow(*row)
            tables.payments[payment.player_id, payment.payment_id] = payment
    if touched["fixture"]:
        for row in await connection.fetch(_sql.fixtures, sorted(touched["fixture"])):
            tables.fixtures[row["fixture_id"]] = FixtureRow(*row)
    if touched["market"]:
        for row in await connection.fetch(_sql.markets, sorted(touched["market"])):
            tables.markets[row["market_id"]] = MarketRow(*row)
    return tables


async def _store(connection: Any, tables: Tables) -> None:
    """Write everything, in bulk: rows that are new by COPY, rows that changed by one statement."""
    for table, rows in tables.added.items():
        if rows:
            await connection.copy_records_to_table(table, records=rows)
    new_bets = {bet.bet_id for bet in tables.new_bets}
    await _copy(connection, "bet", tables.new_bets)
    await _copy(connection, "selection", tables.new_selections.values())
    changed = [bet for bet in tables.bets.values() if bet.bet_id not in new_bets]
    await _change(connection, _sql.change_bets, BetRow, changed)
    await _change(connection, _sql.put_accounts, AccountRow, tables.accounts.values())
    await _change(connection, _sql.put_payments, PaymentRow, tables.payments.values())
    await _change(connection, _sql.put_fixtures, FixtureRow, tables.fixtures.values())
    await _change(connection, _sql.put_markets, MarketRow, tables.markets.values())
    await _change(
        connection, _sql.change_selections, SelectionChange, tables.selection_changes.values()
    )
    if tables.exposure:
        lines = [
            (*place, line.bets, line.stakes_minor, line.liability_minor)
            for place, line in sorted(tables.exposure.items())
        ]
        await connection.execute(_sql.add_exposure, *zip(*lines, strict=True))


async def _copy(
    connection: Any, table: str, rows: Iterable[BetRow] | Iterable[SelectionRow]
) -> None:
    records = [msgspec.structs.astuple(row) for row in rows]
    if records:
        await connection.copy_records_to_table(table, records=records)


async def _change(
    connection: Any, query: str, kind: type[msgspec.Struct], rows: Iterable[msgspec.Struct]
) -> None:
    """Run a statement over columns of values, one for each field of the rows."""
    records = [msgspec.structs.astuple(row) for row in rows]
    if records:
        columns: Sequence[Sequence[Any]] = list(zip(*records, strict=True))
        assert len(columns) == len(kind.__struct_fields__)
        await connection.execute(query, *columns)
