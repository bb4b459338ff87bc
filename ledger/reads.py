"""What the gateway and the coordinators read from the ledger: lists, totals and positions.

Everything here is behind the journal by the projector's lag. Who needs what a partition holds now
waits with `caught_up` first. Lists come in pages; `cursor` is opaque, and None is the start.
Every method raises `JournalUnavailable` when the database can't be reached.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec

from actors.bet import BetState, Settling
from actors.book import Line
from actors.entries import decode_entries
from actors.fixture import Phase
from actors.market import MarketStatus
from actors.results import Outcome, Result, Window
from actors.slips.slip import Slip
from actors.terms import Gone, Off, taken_off
from actors.wallet import Direction
from ledger.database import CONNECT_TIMEOUT_S, unavailable
from ledger.queries import Queries
from ledger.tables import terms_of, windows_of

_sql = Queries("reads")

MAX_POINTS = 1_000
"""Of one series over time."""
MAX_PAGE = 1_000
"""Rows that one call returns at most, however many are asked for."""
_FIRST_LOOK_S = 0.002
_LOOK_AGAIN_S = 0.05


class BadCursor(ValueError):
    """The cursor is not one that this list gave out."""


class LagView(msgspec.Struct, frozen=True):
    """How far the projector is behind the journal."""

    blocks: int
    ms: int
    """Age of the oldest block that is not projected, 0 when there is none."""


class LegRow(msgspec.Struct, frozen=True):
    fixture_id: str
    market_id: str
    selection_id: str
    odds: int
    odds_version: int
    fixture_name: str
    market_name: str
    selection_name: str
    in_play: bool
    outcome: Outcome | None = None
    """Of a slip's leg, once it is known."""
    known: str | None = None
    """As JSON, what is known of it besides (`slips.settling.Known`)."""


class BetRow(msgspec.Struct, frozen=True):
    bet_id: str
    player_id: str
    currency: str
    stake_minor: int
    placed_at_ms: int
    state: BetState
    payout_minor: int
    result_version: int
    settled_at_ms: int | None
    slip: Slip | None
    """Of a bet of several lines, what is left of it."""
    most_minor: int
    bought_minor: int
    cashed_out_minor: int
    corrections: int
    legs: tuple[LegRow, ...]


class StatementRow(msgspec.Struct, frozen=True):
    """One change of a player's cash."""

    entry_id: str
    at_ms: int
    kind: str
    """deposit, withdrawal, withdrawal_returned, stake, payout or reversal."""
    amount_minor: int
    """Below zero when cash went out."""
    balance_after_minor: int
    reference: str
    """The bet or the payment."""
    currency: str


class PaymentRow(msgspec.Struct, frozen=True):
    player_id: str
    payment_id: str
    direction: Direction
    state: str
    """pending, completed or failed."""
    amount_minor: int
    currency: str
    processor: str
    method: str
    reference: str | None
    code: str | None
    requested_at_ms: int
    answered_at_ms: int | None


class SelectionRow(msgspec.Struct, frozen=True):
    selection_id: str
    name: str
    odds: int
    withdrawn: bool
    result: Result | None
    place: Result | None = None
    starting_odds: int | None = None


class MarketRow(msgspec.Struct, frozen=True):
    market_id: str
    name: str
    kind: str
    currency: str
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int
    min_stake_minor: int
    max_stake_minor: int
    max_liability_minor: int
    odds_version: int
    result_version: int
    settled_version: int
    selections: tuple[SelectionRow, ...]
    terms: str | None = None
    """As JSON (`actors.terms.MarketTerms`)."""


class FixtureRow(msgspec.Struct, frozen=True):
    fixture_id: str
    sport: str
    competition: str
    name: str
    starts_at_ms: int
    phase: Phase
    score: str
    seq: int
    markets: tuple[MarketRow, ...]


class BetToSettle(msgspec.Struct, frozen=True, gc=False):
    selection_id: str
    bet_id: str
    player_id: str
    result_version: int
    """The version of its market's result that it was last settled by, 0 if by none."""
    of_lines: bool
    """It is a slip, which has this as one of its legs."""


class Declared(msgspec.Struct, frozen=True):
    """What is known of a market's selections by which not every bet is known to be settled."""

    fixture_id: str
    market_id: str
    version: int
    results: dict[str, Settling]


_Row = TypeVar("_Row")

_legs = msgspec.json.Decoder(tuple[LegRow, ...])
_slip = msgspec.json.Decoder(Slip)
_markets = msgspec.json.Decoder(tuple[MarketRow, ...])
_gone = msgspec.json.Decoder(list[Gone])
_positions = msgspec.json.Decoder(dict[str, int])
_lines = msgspec.json.Decoder(list[tuple[str, str, int, int, int, int]])


async def _in_time(there: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Look until it is there, later and later; False when it is not so in time."""
    pause = _FIRST_LOOK_S
    try:
        async with asyncio.timeout(timeout_s):
            while not await there():
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LOOK_AGAIN_S)
    except TimeoutError:
        return False
    return True


class LedgerReads:
    """Reads of one scope's ledger."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    # Positions

    async def caught_up(self, partition: str, timeout_s: float = 2.0) -> bool:
        """Wait until the ledger has what the partition's journal holds at the time of the call.

        False when it has not come so far in time.
        """
        head = (await self._fetch("head", _sql.head, partition))[0][0]

        async def there() -> bool:
            position = (await self._fetch("position", _sql.position, partition))[0][0]
            return bool(position >= head)

        return await _in_time(there, timeout_s)

    async def all_caught_up(self, timeout_s: float = 2.0) -> bool:
        """The same of every partition of the scope."""
        heads = await self.heads()

        async def there() -> bool:
            positions = await self.positions()
            return all(positions.get(name, 0) >= seq for name, seq in heads.items())

        return await _in_time(there, timeout_s)

    async def heads(self) -> dict[str, int]:
        """The last block of every partition, 0 where there is none."""
        return dict(await self._fetch("heads", _sql.heads))

    async def positions(self) -> dict[str, int]:
        """The last block that is projected of every partition, 0 where there is none."""
        return dict(await self._fetch("positions", _sql.positions))

    async def lag(self) -> LagView:
        return LagView(*(await self._fetch("lag", _sql.lag))[0])

    async def document(self, partition: str, seq: int, number: int, by: str = "") -> str | None:
        """What an entry of the audit says in full: JSON, each event with its fields by name.

        Read from the journal, where it is kept. Password hashes are left out. None if there is no
        such entry, or it is by nobody whose name begins like `by`.
        """
        for (body,) in await self._fetch("document", _sql.block_body, partition, seq):
            entries = decode_entries(body)
            if 0 <= number < len(entries) and entries[number].by.startswith(by):
                events = entries[number].events
                named = [{"event": type(event).__name__, **_document(event)} for event in events]
                return msgspec.json.encode(named).decode()
        return None

    # Of one player

    async def bets(
        self, player_id: str, state: str | None, cursor: str | None, limit: int
    ) -> tuple[list[BetRow], str | None]:
        """Newest first; `state` is "open", "settled", "cashed_out" or None for all of them."""
        if state not in ("open", "settled", "cashed_out", None):
            raise ValueError(f"a bet is open, settled or cashed out, not {state!r}")
        limit = _bounded(limit)
        placed_at_ms, bet_id = _place(cursor, _NEWEST)
        rows = await self._fetch(
            "bets", _sql.bets, player_id, placed_at_ms, bet_id, limit + 1, state
        )
        return _page([_bet(row) for row in rows], limit, lambda bet: (bet.placed_at_ms, bet.bet_id))

    async def bet(self, player_id: str, bet_id: str) -> BetRow | None:
        """None also where the bet is somebody else's."""
        rows = await self._fetch("bet", _sql.bet, player_id, bet_id)
        return _bet(rows[0]) if rows else None

    async def statement(
        self, player_id: str, cursor: str | None, limit: int
    ) -> tuple[list[StatementRow], str | None]:
        """What changed the player's cash, newest first."""
        limit = _bounded(limit)
        version, _ = _place(cursor, _NEWEST)
        rows = await self._fetch("statement", _sql.statement, player_id, version, limit + 1)
        items = [(row["version"], StatementRow(*tuple(row)[1:])) for row in rows]
        page, after = _page(items, limit, lambda item: (item[0], ""))
        return [row for _, row in page], after

    async def payments(
        self, player_id: str, cursor: str | None, limit: int
    ) -> tuple[list[PaymentRow], str | None]:
        """Newest first."""
        limit = _bounded(limit)
        requested_at_ms, payment_id = _place(cursor, _NEWEST)
        rows = await self._fetch(
            "payments", _sql.payments, player_id, requested_at_ms, payment_id, limit + 1
        )
        return _page([_payment(row) for row in rows], limit, _place_of_payment)

    # Of all players

    async def stuck_payments(
        self, older_than_ms: int, cursor: str | None, limit: int
    ) -> tuple[list[PaymentRow], str | None]:
        """Payments still pending that were requested before a moment, the oldest first."""
        limit = _bounded(limit)
        requested_at_ms, payment_id = _place(cursor, _OLDEST)
        rows = await self._fetch(
            "stuck_payments",
            _sql.stuck_payments,
            older_than_ms,
            requested_at_ms,
            payment_id,
            limit + 1,
        )
        return _page([_payment(row) for row in rows], limit, _place_of_payment)

    async def bets_to_settle(
        self, market_id: str, first: str, last: str, after: tuple[str, str], limit: int
    ) -> list[BetToSettle]:
        """Bets on the selections from `first` to `last`, by selection and bet id above `after`."""
        rows = await self._fetch(
            "bets_to_settle",
            _sql.bets_to_settle,
            market_id,
            first,
            last,
            *after,
            _bounded(limit),
        )
        return [BetToSettle(*row) for row in rows]

    async def liabilities(
        self, market_ids: list[str]
    ) -> tuple[dict[str, int], dict[str, dict[str, Line]]]:
        """How far the ledger is made, and as of there the open bets of each market.

        Lines by market id and selection id.
        """
        row = (await self._fetch("liabilities", _sql.liabilities, market_ids))[0]
        lines: dict[str, dict[str, Line]] = {}
        for market_id, selection_id, *line in _lines.decode(row["lines"] or "[]"):
            lines.setdefault(market_id, {})[selection_id] = Line(*line)
        return _positions.decode(row["positions"] or "{}"), lines

    # The book

    async def price_series(
        self, market_id: str, selection_id: str, since_ms: int | None, until_ms: int, points: int
    ) -> list[tuple[int, int]]:
        """Times and odds, oldest first: what stood at `since_ms`, and all prices from there on;
        where they are more than `points`, the last in each of so many equal parts of the time. None
        is from the first price on."""
        rows = await self._fetch(
            "price_series",
            _sql.price_series,
            market_id,
            selection_id,
            since_ms,
            until_ms,
            max(1, min(points, MAX_POINTS)),
        )
        return [tuple(row) for row in rows]

    async def fixtures(
        self, sport: str | None, phase: str | None, cursor: str | None, limit: int
    ) -> tuple[list[FixtureRow], str | None]:
        """Soonest first, each with its markets, their selections and current odds."""
        limit = _bounded(limit)
        starts_at_ms, fixture_id = _place(cursor, _SOONEST)
        rows = await self._fetch(
            "fixtures", _sql.fixtures, sport, phase, starts_at_ms, fixture_id, limit + 1
        )
        return _page(
            [_fixture(row) for row in rows],
            limit,
            lambda fixture: (fixture.starts_at_ms, fixture.fixture_id),
        )

    async def sports(self) -> list[tuple[str, int]]:
        """Sports with fixtures that are yet to end, and how many."""
        return [tuple(row) for row in await self._fetch("sports", _sql.sports)]

    async def unsettled(self) -> list[Declared]:
        """Results by which not every bet is known to be settled, a market each."""
        rows = await self._fetch("unsettled", _sql.unsettled)
        found: dict[str, Declared] = {}
        off: Off | None = None
        windows: tuple[Window, ...] = ()
        for fixture_id, market_id, at, selection_id, *known, terms, voided, gone in rows:
            declared = found.get(market_id)
            if declared is None:
                declared = found[market_id] = Declared(fixture_id, market_id, at, {})
                off = taken_off(terms_of(terms), _gone.decode(gone) if gone else [])
                windows = windows_of(voided)
            if selection_id is not None:  # a version may have changed no result
                declared.results[selection_id] = settling_of(selection_id, known, off, windows)
        return list(found.values())

    async def _fetch(self, doing: str, query: str, *arguments: Any) -> list[Any]:
        with unavailable(doing):
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                rows: list[Any] = await connection.fetch(query, *arguments)
                return rows


_SECRET = frozenset({"password_hash"})
"""Fields that documents leave out."""


def _document(value: Any) -> Any:
    """The value with its structs as objects, field by field, without what is secret."""
    if isinstance(value, msgspec.Struct):
        return {
            name: _document(getattr(value, name))
            for name in value.__struct_fields__
            if name not in _SECRET
        }
    if isinstance(value, tuple | list):
        return [_document(item) for item in value]
    if isinstance(value, dict):
        return {key: _document(item) for key, item in value.items()}
    return value


def settling_of(
    selection_id: str, known: Sequence[Any], off: Off | None, windows: tuple[Window, ...]
) -> Settling:
    """From the columns of a selection, and what is known of its market."""
    outcome, tied, places, withdrawn, version, *place, starting_odds = known
    return Settling(
        selection_id,
        Result(Outcome(outcome), tied, places) if outcome else None,
        version,
        withdrawn,
        Result(Outcome(place[0]), *place[1:]) if place[0] else None,
        starting_odds,
        None if withdrawn else off,
        windows,
    )


def _bet(row: Any) -> BetRow:
    fields = list(row)
    fields[5] = BetState(fields[5])
    fields[9] = _slip.decode(fields[9]) if fields[9] else None
    fields[14] = _legs.decode(fields[14])
    return BetRow(*fields)


def _fixture(row: Any) -> FixtureRow:
    fields = list(row)
    fields[5] = Phase(fields[5])
    fields[8] = _markets.decode(fields[8])
    return FixtureRow(*fields)


def _payment(row: Any) -> PaymentRow:
    player_id, payment_id, direction, *columns = row
    return PaymentRow(player_id, payment_id, Direction(direction), *columns)


def _place_of_payment(payment: PaymentRow) -> tuple[int, str]:
    return payment.requested_at_ms, payment.payment_id


# Pages: a list is ordered by a number and an id, and a cursor is those of its last row

_NEWEST = (2**63 - 1, "")
_OLDEST = _SOONEST = (-(2**63), "")

_places = msgspec.msgpack.Decoder(tuple[int, str])


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _place(cursor: str | None, start: tuple[int, str]) -> tuple[int, str]:
    if cursor is None:
        return start
    try:
        number, name = _places.decode(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, msgspec.MsgspecError):
        raise BadCursor("the cursor is not one of this list") from None
    if not -(2**63) <= number < 2**63 or "\0" in name:
        raise BadCursor("the cursor is not one of this list")
    return number, name


def _page(
    rows: list[_Row], limit: int, place: Callable[[_Row], tuple[int, str]]
) -> tuple[list[_Row], str | None]:
    """Cut off the row above the limit, which only says that there are more."""
    if len(rows) <= limit:
        return rows, None
    last = msgspec.msgpack.encode(place(rows[limit - 1]))
    return rows[:limit], base64.urlsafe_b64encode(last).decode()
