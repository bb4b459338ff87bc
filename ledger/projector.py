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
from itertools import islice
from typing import Any

import asyncpg
import msgspec

from actors.bet import BetState
from ledger.blocks import EMPTY, Block, Head, check
from ledger.database import CONNECT_TIMEOUT_S, unavailable
from ledger.queries import Queries
from ledger.tables import (
    AccountRow,
    Batch,
    BetRow,
    CustomerRow,
    FixtureRow,
    HedgeRow,
    LedgerFault,
    LegChange,
    MarketRow,
    PaymentRow,
    ReferralRow,
    SelectionChange,
    SelectionRow,
    Tables,
)

_sql = Queries("projector")

MAX_BLOCKS = 512
MAX_BYTES = 512 * 1024
"""Of bodies in one step, which are 1,700 bets. Who waits for the projector waits for a step."""
FAR_BEHIND = 4
"""Steps are so many times as large after one that was full."""
MAX_KEPT = 50_000
"""Accounts, and open bets, that are kept in memory between steps: 20 and 40 MB."""


class Projector:
    """Writes the ledger of one scope. Any number may exist; one at a time works."""

    def __init__(self, pool: asyncpg.Pool, scope: str, *, schema: str = "ledger") -> None:
        """`schema` is where the tables are; `ledger rebuild` has a second set of them."""
        self._pool = pool
        self._scope = scope
        self._schema = schema
        self._kept = _Kept()
        self._max_bytes = MAX_BYTES

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
                    taken, position = await self._step(connection, ceilings or {})
                except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
                    raise LedgerFault(f"{self._scope}: the tables refuse it: {error}") from error
            self._kept.position = position  # only now is it committed
        return taken

    async def _step(self, connection: Any, ceilings: Mapping[str, int]) -> tuple[int, _Position]:
        await connection.execute(_sql.take_turn, self._schema)
        position = _Position(await connection.fetch(_sql.positions))
        self._kept.expect(position)
        blocks = [
            Block(*row)
            for row in await connection.fetch(
                _sql.next_blocks,
                EMPTY.seq,
                list(ceilings.keys()),
                list(ceilings.values()),
                MAX_BLOCKS,
                self._max_bytes,
            )
        ]
        full = sum(len(block.body) for block in blocks) > self._max_bytes / 2
        self._max_bytes = MAX_BYTES * (FAR_BEHIND if full else 1)
        if not blocks:
            return 0, position
        batch = Batch()
        heads, recorded = position.heads, {}
        for block in blocks:
            heads[block.partition] = check(heads.get(block.partition, EMPTY), block)
            recorded[block.partition] = block.recorded_at_ms
            batch.add(block)
        tables = await _load(connection, batch, self._kept)
        known = set(tables.accounts)
        tables.fold(batch)
        await _store(connection, tables, known)
        partitions = sorted(recorded)
        await connection.execute(
            _sql.move_positions,
            partitions,
            [heads[partition].seq for partition in partitions],
            [heads[partition].hash for partition in partitions],
            [recorded[partition] for partition in partitions],
        )
        self._kept.keep(tables)
        return len(blocks), position


class _Position:
    """How far the ledger is made in every partition, and in which set of tables."""

    def __init__(self, rows: Sequence[tuple[int, str, int, bytes]]) -> None:
        self.tables = rows[0][0] if rows else None
        self.heads = {partition: Head(seq, digest) for _, partition, seq, digest in rows}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Position) and (self.tables, self.heads) == (
            other.tables,
            other.heads,
        )

    __hash__ = None  # type: ignore[assignment]


class _Kept:
    """Rows as the last step left them, so that they need not be read again by the next one.

    They are good for as long as nobody else moves the positions, and the step that used them was
    committed: `position` says after which.
    """

    def __init__(self) -> None:
        self.position: _Position | None = None
        self.accounts: dict[tuple[str, str], AccountRow] = {}
        self.bets: dict[str, tuple[BetRow, tuple[str, str, int]]] = {}
        """Open bets, each with its market, selection and odds."""

    def expect(self, position: _Position) -> None:
        """Forget everything unless the tables are as the last step left them.

        Until the next commit nothing counts: folding changes these rows in place.
        """
        if position != self.position:
            self.accounts.clear()
            self.bets.clear()
        self.position = None

    def keep(self, tables: Tables) -> None:
        self.accounts |= tables.accounts
        for bet in tables.bets.values():
            if bet.state == BetState.OPEN:
                self.bets[bet.bet_id] = bet, tables.legs[bet.bet_id]
            else:
                self.bets.pop(bet.bet_id, None)
        _drop_oldest(self.accounts)
        _drop_oldest(self.bets)


def _drop_oldest(rows: dict[Any, Any]) -> None:
    for key in list(islice(rows, max(0, len(rows) - MAX_KEPT))):
        del rows[key]


async def _load(connection: Any, batch: Batch, kept: _Kept) -> Tables:
    """The rows that the batch touches, as they are now."""
    tables = Tables()
    touched = batch.touched
    missing = []
    for place in batch.accounts:
        kept_account = kept.accounts.get(place)
        if kept_account is None:
            missing.append(place)
        else:
            tables.accounts[place] = kept_account
    if missing:
        names, currencies = zip(*sorted(missing), strict=True)
        for row in await connection.fetch(_sql.accounts, names, currencies):
            account = AccountRow(*row)
            tables.accounts[account.account, account.currency] = account
    unknown = []
    for bet_id in touched["bet"]:
        if bet_id in kept.bets:
            tables.bets[bet_id], tables.legs[bet_id] = kept.bets[bet_id]
        else:
            unknown.append(bet_id)
    if unknown:
        for *row, market_id, selection_id, odds in await connection.fetch(
            _sql.bets, sorted(unknown)
        ):
            bet = BetRow(*row)
            tables.bets[bet.bet_id] = bet
            tables.legs[bet.bet_id] = (market_id, selection_id, odds)
    if batch.payments:
        players, payments = zip(*sorted(batch.payments), strict=True)
        for row in await connection.fetch(_sql.payments, players, payments):
            payment = PaymentRow(*row)
            tables.payments[payment.player_id, payment.payment_id] = payment
    if touched["referral"]:
        for row in await connection.fetch(_sql.referrals, sorted(touched["referral"])):
            tables.referrals[row["referral_id"]] = ReferralRow(*row)
    if batch.hedges:
        hedged, hedges = zip(*sorted(batch.hedges), strict=True)
        for row in await connection.fetch(_sql.hedges, hedged, hedges):
            hedge = HedgeRow(*row)
            tables.hedges[hedge.market_id, hedge.hedge_id] = hedge
    if touched["fixture"]:
        for row in await connection.fetch(_sql.fixtures, sorted(touched["fixture"])):
            tables.fixtures[row["fixture_id"]] = FixtureRow(*row)
    if touched["market"]:
        for row in await connection.fetch(_sql.markets, sorted(touched["market"])):
            tables.markets[row["market_id"]] = MarketRow(*row)
    return tables


async def _store(connection: Any, tables: Tables, known: set[tuple[str, str]]) -> None:
    """Write everything, in bulk: rows that are new by COPY, rows that changed by one statement.

    `known` are the accounts that there were before.
    """
    for table, rows in tables.added.items():
        if rows:
            await connection.copy_records_to_table(table, records=rows)
    new_bets = {bet.bet_id for bet in tables.new_bets}
    await _copy(connection, "bet", tables.new_bets)
    await _copy(connection, "selection", tables.new_selections.values())
    changed_bets = [bet for bet in tables.bets.values() if bet.bet_id not in new_bets]
    if changed_bets:
        await connection.execute(
            _sql.change_bets,
            [bet.bet_id for bet in changed_bets],
            [bet.state for bet in changed_bets],
            [bet.payout_minor for bet in changed_bets],
            [bet.result_version for bet in changed_bets],
            [bet.settled_at_ms for bet in changed_bets],
            [bet.corrections for bet in changed_bets],
        )
    shaped = [bet for bet in changed_bets if bet.slip is not None or bet.bought_minor]
    if shaped:
        await connection.execute(
            _sql.change_slips,
            [bet.bet_id for bet in shaped],
            [bet.stake_minor for bet in shaped],
            [bet.slip for bet in shaped],
            [bet.most_minor for bet in shaped],
            [bet.bought_minor for bet in shaped],
            [bet.cashed_out_minor for bet in shaped],
        )
    await _change(connection, _sql.change_legs, LegChange, tables.leg_changes.values())
    new_accounts = [row for place, row in tables.accounts.items() if place not in known]
    await _copy(connection, "account", new_accounts)
    if known:
        changed_accounts = [tables.accounts[place] for place in known]
        await connection.execute(
            _sql.change_accounts,
            [account.account for account in changed_accounts],
            [account.currency for account in changed_accounts],
            [account.balance_minor for account in changed_accounts],
            [account.version for account in changed_accounts],
        )
    await _change(connection, _sql.put_payments, PaymentRow, tables.payments.values())
    await _change(connection, _sql.put_referrals, ReferralRow, tables.referrals.values())
    await _change(connection, _sql.put_customers, CustomerRow, tables.customers.values())
    await _change(connection, _sql.put_hedges, HedgeRow, tables.hedges.values())
    await _change(connection, _sql.put_fixtures, FixtureRow, tables.fixtures.values())
    await _change(connection, _sql.put_markets, MarketRow, tables.markets.values())
    await _change(
        connection, _sql.change_selections, SelectionChange, tables.selection_changes.values()
    )
    if tables.changes:
        lines = [
            (
                *place,
                tables.changed_at_ms[place],
                line.bets,
                line.stakes_minor,
                line.liability_minor,
                line.slips_minor,
            )
            for place, line in sorted(tables.changes.items())
        ]
        await connection.execute(_sql.add_exposure, *zip(*lines, strict=True))


async def _copy(
    connection: Any,
    table: str,
    rows: Iterable[AccountRow] | Iterable[BetRow] | Iterable[SelectionRow],
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
