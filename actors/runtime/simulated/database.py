"""A simulated database of one scope: the journal in memory, and the ledger that is made of it.

Each statement has three moments: it is sent, it is carried out, all at once, and its answer comes
back. Between them time goes by, the sender may die, and things go wrong: it is not carried out; it
is, and the answer is lost; it is carried out seconds later, when its sender has long been told
that it failed. What is carried out stays, whoever dies.

The ledger's rows are folded by `ledger.tables`, as the real projector's are, from what a step of
the projector has read, and are behind the journal for as long as that takes.
"""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec

from actors.book import Line
from actors.runtime.simulated.loop import VirtualLoop, current
from actors.terms import Gone, taken_off
from actors.wallet import Direction
from ledger.blocks import EMPTY, Block, Head, check
from ledger.journal import FirstAnswer, JournalUnavailable, Snapshot
from ledger.memory_journal import MemoryJournal
from ledger.reads import BetToSettle, Declared, PaymentRow, settling_of
from ledger.tables import Batch, Tables, terms_of, windows_of

T = TypeVar("T")

GIVE_UP_S = 10.0
"""For one statement, as `ledger.database.COMMAND_TIMEOUT_S`."""
MAX_BLOCKS = 24
"""Of one step of the projector."""


class DatabaseFaults(msgspec.Struct, frozen=True):
    """What goes wrong; chances for each statement."""

    refused: float = 0.0
    """It is not carried out, and its sender is told that it failed."""
    unheard: float = 0.0
    """It is carried out, and its sender is told that it failed."""
    afterwards: float = 0.0
    """It is carried out only after its sender was told that it failed."""
    slow: float = 0.0
    slowest_s: float = 3.0


NO_FAULTS = DatabaseFaults()


class Database:
    """What all who are connected see."""

    def __init__(
        self,
        scope: str,
        partitions: Sequence[str],
        loop: VirtualLoop,
        random: Random,
        note: Callable[..., None],
    ) -> None:
        self.scope = scope
        self.partitions = tuple(partitions)
        self.loop = loop
        self.random = random
        self.note = note
        self.journal = MemoryJournal()
        self.ledger = Rows()
        self.faults = NO_FAULTS
        self.down = False
        self.cut: set[str] = set()
        """Names of the processes that can't reach it."""

    async def do(self, what: str, work: Callable[[], T]) -> T:
        """Carry out one statement. Raises `JournalUnavailable`: it may have been carried out."""
        answer: asyncio.Future[tuple[bool, Any]] = self.loop.create_future()
        faults, draw = self.faults, self.random.random()
        sent_s, back_s = self._latency_s(), self._latency_s()
        if faults.slow and self.random.random() < faults.slow:
            sent_s += faults.slowest_s * self.random.random()
        if current().name in self.cut:
            draw, faults = 0.0, DatabaseFaults(refused=1.0)
        if draw < faults.refused:
            self.note("statement fails", self.scope, what)
            self._outside(sent_s, _settle, answer, False, "told to fail")
        elif draw < faults.refused + faults.afterwards:
            self.note("statement comes late", self.scope, what)
            self._outside(sent_s, _settle, answer, False, "no answer yet")
            late_s = sent_s + faults.slowest_s * self.random.random()
            self._outside(late_s, self._carry_out, None, what, work, back_s)
        elif draw < faults.refused + faults.afterwards + faults.unheard:
            self._outside(sent_s, self._carry_out, None, what, work, back_s)
            self.note("answer lost", self.scope, what)
            self._outside(sent_s + back_s, _settle, answer, False, "the answer was lost")
        else:
            self._outside(sent_s, self._carry_out, answer, what, work, back_s)
        if sent_s > GIVE_UP_S / 2:
            self._outside(GIVE_UP_S, _settle, answer, False, "no answer in time")
        done, result = await answer
        if not done:
            raise JournalUnavailable(f"{what}: {result}")
        return result  # type: ignore[no-any-return]

    def _carry_out(
        self,
        answer: asyncio.Future[tuple[bool, Any]] | None,
        what: str,
        work: Callable[[], Any],
        back_s: float,
    ) -> None:
        outcome: tuple[bool, Any]
        if self.down:
            outcome = (False, "the database is down")
        else:
            try:
                outcome = (True, work())
            except JournalUnavailable as unavailable:
                outcome = (False, str(unavailable))
        if answer is not None:
            self._outside(back_s, _settle, answer, *outcome)

    def _outside(self, after_s: float, work: Callable[..., None], *arguments: Any) -> None:
        context = self.loop.outside.context.copy()
        self.loop.call_later(after_s, work, *arguments, context=context)

    def _latency_s(self) -> float:
        return 0.0001 + 0.002 * self.random.random() ** 3


def _settle(answer: asyncio.Future[tuple[bool, Any]], done: bool, result: Any) -> None:
    if not answer.done():
        answer.set_result((done, result))


def _now(coroutine: Any) -> Any:
    """The result of a coroutine that awaits nothing, as those of the memory journal."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the memory journal waits for something")


class SimulatedJournal:
    """The journal port, by statements to a simulated database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._appending = asyncio.Lock()

    async def head(self, partition: str) -> Head:
        head: Head = await self._do("head", lambda journal: journal.head(partition))
        return head

    async def append(self, blocks: Sequence[Block]) -> frozenset[str]:
        blocks = list(blocks)
        async with self._appending:
            return await self.database.do("append", lambda: self._append(blocks))

    def _append(self, blocks: list[Block]) -> frozenset[str]:
        written: frozenset[str] = _now(self.database.journal.append(blocks))
        for block in blocks:
            event = "committed" if block.partition in written else "fenced off"
            self.database.note(event, block.partition, block.seq, block.body)
        return written

    async def blocks(self, partition: str, after_seq: int, limit: int) -> list[Block]:
        blocks: list[Block] = await self._do(
            "blocks", lambda journal: journal.blocks(partition, after_seq, limit)
        )
        return blocks

    async def checkpoint(self, partition: str) -> int:
        seq: int = await self._do("checkpoint", lambda journal: journal.checkpoint(partition))
        return seq

    async def snapshots(self, partition: str, refs: Collection[str]) -> Mapping[str, Snapshot]:
        refs = sorted(refs)
        found: Mapping[str, Snapshot] = await self._do(
            "snapshots", lambda journal: journal.snapshots(partition, refs)
        )
        return found

    async def save(self, partition: str, snapshots: Sequence[Snapshot], checkpoint: int) -> None:
        kept = list(snapshots)
        await self._do("save", lambda journal: journal.save(partition, kept, checkpoint))

    async def first_answer(self, partition: str, owner: str, key: str) -> FirstAnswer | None:
        first: FirstAnswer | None = await self._do(
            "first_answer", lambda journal: journal.first_answer(partition, owner, key)
        )
        return first

    async def close(self) -> None:
        pass

    async def _do(self, what: str, work: Callable[[MemoryJournal], Any]) -> Any:
        return await self.database.do(what, lambda: _now(work(self.database.journal)))


class Rows:
    """The ledger's tables, as far as somebody reads them."""

    def __init__(self) -> None:
        self.positions: dict[str, Head] = {}
        self.accounts: dict[tuple[str, str], Any] = {}
        self.bets: dict[str, Any] = {}
        self.legs: dict[str, tuple[str, str, int]] = {}
        self.versions: dict[tuple[str, str, str], int] = {}
        """Of each leg, by market, selection and bet: what settled it, where its bet is a slip."""
        self.payments: dict[tuple[str, str], Any] = {}
        self.fixtures: dict[str, Any] = {}
        self.markets: dict[str, Any] = {}
        self.selections: dict[tuple[str, str], Any] = {}
        self.registered: dict[str, int] = {}
        """When each player was."""
        self.customers: dict[str, Any] = {}
        self.referrals: dict[str, Any] = {}
        self.hedges: dict[tuple[str, str], Any] = {}
        self.exposure: defaultdict[tuple[str, str], Line] = defaultdict(Line)

    def load(self, batch: Batch) -> Tables:
        """The rows that a batch touches, as they are now."""
        tables = Tables()
        touched = batch.touched
        tables.accounts = _some(self.accounts, batch.accounts)
        tables.bets = _some(self.bets, touched["bet"])
        tables.legs = _some(self.legs, touched["bet"])
        tables.payments = _some(self.payments, batch.payments)
        tables.fixtures = _some(self.fixtures, touched["fixture"])
        tables.markets = _some(self.markets, touched["market"])
        tables.referrals = _some(self.referrals, touched["referral"])
        tables.hedges = _some(self.hedges, batch.hedges)
        return tables

    def store(self, tables: Tables) -> None:
        self.accounts |= tables.accounts
        self.bets |= tables.bets
        self.legs |= tables.legs
        for bet_id, _, _, market_id, selection_id, *_ in tables.added["leg"]:
            self.versions[market_id, selection_id, bet_id] = 0
        for leg in tables.leg_changes.values():
            self.versions[leg.market_id, leg.selection_id, leg.bet_id] = leg.result_version
        self.payments |= tables.payments
        self.fixtures |= tables.fixtures
        self.markets |= tables.markets
        self.registered |= {player_id: at_ms for player_id, *_, at_ms in tables.added["player"]}
        self.customers |= tables.customers
        self.referrals |= tables.referrals
        self.hedges |= tables.hedges
        self.selections |= tables.new_selections
        for place, change in tables.selection_changes.items():
            row = self.selections[place]
            for name in change.__struct_fields__[2:-1]:
                value = getattr(change, name)
                if value is not None or (change.undone and name in _OF_THE_RESULT):
                    setattr(row, name, value)
        for place, line in tables.exposure.items():
            total = self.exposure[place]
            total.bets += line.bets
            total.stakes_minor += line.stakes_minor
            total.liability_minor += line.liability_minor
            total.slips_minor += line.slips_minor


_OF_THE_RESULT = (
    "outcome",
    "tied",
    "places",
    "place_outcome",
    "place_tied",
    "place_places",
    "starting_odds",
)


def _some(rows: dict[Any, Any], keys: Collection[Any]) -> dict[Any, Any]:
    return {key: copy.copy(rows[key]) for key in sorted(keys) if key in rows}


class SimulatedProjector:
    """Stands where `ProjectorHost` expects the projector: its folding, its own way to the rows."""

    def __init__(self, database: Database, scope: str, **_: Any) -> None:
        self._database = database

    async def step(self, ceilings: Mapping[str, int] | None = None) -> int:
        """Take the next blocks. Between reading and writing another projector may have been
        quicker: then nothing is written, as a lock would have it."""
        before, blocks = await self._database.do("next blocks", self._next)
        if not blocks:
            return 0
        heads = dict(before)
        batch = Batch()
        for block in blocks:
            heads[block.partition] = check(heads.get(block.partition, EMPTY), block)
            batch.add(block)

        def write() -> None:
            ledger = self._database.ledger
            if ledger.positions != before:
                raise JournalUnavailable("another projector was quicker")
            tables = ledger.load(batch)
            tables.fold(batch)
            ledger.store(tables)
            ledger.positions = heads
            self._database.note("projected", self._database.scope, len(blocks))

        await self._database.do("project", write)
        return len(blocks)

    def _next(self) -> tuple[dict[str, Head], list[Block]]:
        positions = dict(self._database.ledger.positions)
        blocks: list[Block] = []
        room = 1 + int(MAX_BLOCKS * self._database.random.random())
        for partition in self._database.partitions:
            after = positions.get(partition, EMPTY).seq
            some: list[Block] = _now(
                self._database.journal.blocks(partition, after, room - len(blocks))
            )
            blocks += some
        return positions, blocks


class SimulatedReads:
    """What `ledger.reads.LedgerReads` says, of the simulated rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger = database.ledger

    async def heads(self) -> dict[str, int]:
        return await self._database.do("heads", self._heads)

    def _heads(self) -> dict[str, int]:
        journal = self._database.journal
        return {name: _now(journal.head(name)).seq for name in self._database.partitions}

    async def positions(self) -> dict[str, int]:
        return await self._database.do("positions", self._positions)

    def _positions(self) -> dict[str, int]:
        positions = self._ledger.positions
        return {name: positions.get(name, EMPTY).seq for name in self._database.partitions}

    async def bets_to_settle(
        self, market_id: str, first: str, last: str, after: tuple[str, str], limit: int
    ) -> list[BetToSettle]:
        def read() -> list[BetToSettle]:
            found = sorted(
                (selection_id, bet_id, version)
                for (of, selection_id, bet_id), version in self._ledger.versions.items()
                if of == market_id and first <= selection_id <= last
            )
            page = [leg for leg in found if leg[:2] > after][:limit]
            return [self._to_settle(*leg) for leg in page]

        return await self._database.do("bets to settle", read)

    def _to_settle(self, selection_id: str, bet_id: str, version: int) -> BetToSettle:
        bet = self._ledger.bets[bet_id]
        of_lines = bet.slip is not None
        settled_by = version if of_lines else bet.result_version
        return BetToSettle(selection_id, bet_id, bet.player_id, settled_by, of_lines)

    async def liabilities(
        self, market_ids: list[str]
    ) -> tuple[dict[str, int], dict[str, dict[str, Line]]]:
        def read() -> tuple[dict[str, int], dict[str, dict[str, Line]]]:
            lines: dict[str, dict[str, Line]] = {}
            for (market_id, selection_id), line in self._ledger.exposure.items():
                if market_id in market_ids:
                    lines.setdefault(market_id, {})[selection_id] = copy.copy(line)
            return self._positions(), lines

        return await self._database.do("liabilities", read)

    async def unsettled(self) -> list[Declared]:
        return await self._database.do("unsettled", self._unsettled)

    def _unsettled(self) -> list[Declared]:
        found = []
        for market_id, market in sorted(self._ledger.markets.items()):
            if market.settled_version >= market.result_version:
                continue
            rows = [row for (of, _), row in self._ledger.selections.items() if of == market_id]
            gone = [
                Gone(row.gone_version, row.gone_odds, row.reduction)
                for row in rows
                if row.gone_version is not None
            ]
            off = taken_off(terms_of(market.terms), gone)
            windows = windows_of(market.windows)
            results = {
                row.selection_id: settling_of(row.selection_id, known, off, windows)
                for row in rows
                if (known := _known(row, market.windows_version))[4] > market.settled_version
            }
            declared = Declared(market.fixture_id, market_id, market.result_version, results)
            found.append(declared)
        return found

    async def stuck_payments(
        self, older_than_ms: int, cursor: str | None, limit: int
    ) -> tuple[list[PaymentRow], str | None]:
        def read() -> list[PaymentRow]:
            stuck = [
                row
                for row in self._ledger.payments.values()
                if row.state == "pending" and row.requested_at_ms < older_than_ms
            ]
            stuck.sort(key=lambda row: (row.requested_at_ms, row.payment_id))
            return [_payment(row) for row in stuck]

        rows = await self._database.do("stuck payments", read)
        return rows[:limit], None


def _known(row: Any, windows_version: int) -> tuple[Any, ...]:
    return (
        row.outcome,
        row.tied,
        row.places,
        row.withdrawn,
        max(row.result_version, windows_version),
        row.place_outcome,
        row.place_tied,
        row.place_places,
        row.starting_odds or 0,
    )


def _payment(row: Any) -> PaymentRow:
    player_id, payment_id, direction, *columns = msgspec.structs.astuple(row)
    return PaymentRow(player_id, payment_id, Direction(direction), *columns)
