"""What the trader's desk reads from the ledger: its board, histories, the audit, and what bets on
a market come to.

As in `ledger.reads`, everything is behind the journal by the projector's lag, lists come in pages
with an opaque cursor, and every method raises `JournalUnavailable` when the database is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.hedging import MAX_HEDGES
from actors.market import Hedge
from actors.results import Window
from ledger.queries import Queries
from ledger.reads import MAX_POINTS, BadCursor, LedgerReads, _bounded, _page, _place

_sql = Queries("desk")

_NEWEST = (2**63 - 1, "")
_SOONEST = (-(2**63), "")
MAX_MEMBERS = 500
MAX_STOPS = 200
MAX_ALIKE = 200_000
"""Kinds of single bets on one market that are reckoned one by one."""


class PriceRow(msgspec.Struct, frozen=True):
    odds_version: int
    selection_id: str
    odds: int
    at_ms: int


class AuditRow(msgspec.Struct, frozen=True):
    """One entry of the journal: what became of one command."""

    partition: str
    seq: int
    number: int
    owner: str
    """The address of the first actor concerned, such as `market/<id>`."""
    by: str
    why: str
    at_ms: int
    events: list[str]
    """The names of what happened."""


class LiabilityChange(msgspec.Struct, frozen=True):
    """What bets on a selection have added and taken off in a part of the time."""

    part: int
    selection_id: str
    last_ms: int
    """When the last of them did."""
    stakes_minor: int
    liability_minor: int


class StandingStop(msgspec.Struct, frozen=True):
    stop_id: str
    by: str
    why: str
    at_ms: int


class TotalRow(msgspec.Struct, frozen=True):
    selection_id: str
    of_lines: bool
    """Bets of several lines, with a leg on the selection."""
    bets: int
    stakes_minor: int
    paid_minor: int
    legs_known: int
    """Moves with each leg, on any market, that such a bet learns of; 0 of singles."""


class AlikeRow(msgspec.Struct, frozen=True):
    """Singles with the same stake on the same selection at the same price."""

    selection_id: str
    odds: int
    odds_version: int
    stake_minor: int
    voided: bool
    """They were accepted when bets are void."""
    bets: int


def is_of(by: str, source: str) -> bool:
    """Whether who has priced something is that source, or a part of that feed."""
    return by == source or (source.startswith("feed:") and by.startswith(f"{source}/"))


class DeskReads(LedgerReads):
    """Reads of one scope's ledger: of the book's all but `liability_series` and what is `..._on` a
    market, which are of a licence's."""

    @classmethod
    def beside(cls, reads: LedgerReads) -> DeskReads:
        """On the same connections."""
        return cls(reads._pool)

    # The board

    async def board(
        self,
        sport: str | None,
        phase: str | None,
        text: str | None,
        status: str | None,
        cursor: str | None,
        limit: int,
    ) -> tuple[list[str], str | None]:
        """Ids of fixtures, soonest first; without a `phase`, of those not over.

        `text` is looked for in names, competitions and ids; `status` is that of any market.
        """
        limit = _bounded(limit)
        after = _place(cursor, _SOONEST)
        rows = await self._fetch("board", _sql.board, sport, phase, text, status, *after, limit + 1)
        found = [(starts_at_ms, fixture_id) for starts_at_ms, fixture_id in rows]
        found, next_cursor = _page(found, limit, lambda row: row)
        return [fixture_id for _, fixture_id in found], next_cursor

    async def tradable(
        self, fixture_id: str | None = None, *, or_decided: bool = False
    ) -> list[tuple[str, str]]:
        """Fixture and market ids of what can be suspended, of one fixture or of all: what is open,
        or may be opened again. Or may have been suspended, and has a result by now that can still
        be taken back."""
        rows = await self._fetch("tradable", _sql.tradable, fixture_id, or_decided)
        return [tuple(row) for row in rows]

    async def tradable_of_source(self, source: str) -> list[tuple[str, str]]:
        """The same of the markets that `source` has priced last, whoever has moved that since as
        liability built; or in which, as one of the staff, it may hold a price by hand."""
        places = await self.tradable()
        priced_by = await self.sources([market_id for _, market_id in places])
        held = {owner for (owner,) in await self._fetch("held_by", _sql.held_by, source)}
        return [
            place
            for place in places
            if is_of(priced_by.get(place[1], ""), source) or f"market/{place[1]}" in held
        ]

    async def sources(self, market_ids: list[str]) -> dict[str, str]:
        """Who has priced each market last; none for one that was never priced. Moves of the house
        as liability builds are none."""
        return dict(await self._fetch("sources", _sql.sources, market_ids))

    # Over time

    async def price_history(
        self, market_id: str, cursor: str | None, limit: int
    ) -> tuple[list[PriceRow], str | None]:
        """Newest first."""
        limit = _bounded(limit)
        rows = await self._fetch(
            "price_history", _sql.price_history, market_id, *_place(cursor, _NEWEST), limit + 1
        )
        return _page(
            [PriceRow(*row) for row in rows],
            limit,
            lambda row: (row.odds_version, row.selection_id),
        )

    async def liability_series(self, market_id: str, points: int) -> list[LiabilityChange]:
        """What changed in each of at most `points` equal parts of the time, oldest first: what
        stood at the end of a part is the sum of all up to it."""
        points = max(1, min(points, MAX_POINTS))
        rows = await self._fetch("liability_series", _sql.liability_series, market_id, points)
        return [LiabilityChange(*row) for row in rows]

    async def hedges_made(self, market_id: str) -> list[Hedge]:
        """Of the book: what was laid off of a market, oldest first."""
        rows = await self._fetch("hedges_made", _sql.hedges_made, market_id, MAX_HEDGES)
        return [Hedge(*row) for row in rows]

    # Who did what

    async def audit_of(
        self,
        owners: list[str],
        beginning: str | None,
        staff_only: bool,
        cursor: str | None,
        limit: int,
    ) -> tuple[list[AuditRow], str | None]:
        """What happened to these actors, newest first, and to those whose address begins like
        that; by staff only, or by anybody."""
        limit = _bounded(limit)
        # The first address that does not begin like that: its last character is one further on.
        end = beginning[:-1] + chr(ord(beginning[-1]) + 1) if beginning else ""
        rows = await self._fetch(
            "audit_of",
            _sql.audit_of,
            owners,
            beginning or "",
            end,
            staff_only,
            *_audit_place(cursor),
            limit + 1,
        )
        return _audit_page(rows, limit)

    async def audit_of_staff(
        self, cursor: str | None, limit: int
    ) -> tuple[list[AuditRow], str | None]:
        """All that staff did in this scope, newest first."""
        limit = _bounded(limit)
        rows = await self._fetch(
            "audit_of_staff", _sql.audit_of_staff, *_audit_place(cursor), limit + 1
        )
        return _audit_page(rows, limit)

    async def members(self) -> list[str]:
        """The log-ins of all staff there ever were, in their order."""
        rows = await self._fetch("members", _sql.members, MAX_MEMBERS)
        return [owner.partition("/")[2] for (owner,) in rows]

    async def standing_stops(self) -> list[StandingStop]:
        """Stops that have not been lifted, the newest of them."""
        return (await self.stops_page(None, MAX_STOPS))[0]

    async def stops_page(
        self, cursor: str | None, limit: int
    ) -> tuple[list[StandingStop], str | None]:
        """Stops that have not been lifted, newest first."""
        limit = _bounded(limit)
        rows = await self._fetch(
            "standing_stops", _sql.standing_stops, *_place(cursor, _NEWEST), limit + 1
        )
        found = [
            StandingStop(owner.partition("/")[2], by, why, at_ms) for at_ms, owner, by, why in rows
        ]
        return _page(found, limit, lambda row: (row.at_ms, f"stop/{row.stop_id}"))

    # What bets on a market come to

    async def totals_on(self, market_id: str) -> list[TotalRow]:
        """Bets that were not bought back, by selection; a slip with two legs here counts twice."""
        rows = await self._fetch("totals_on", _sql.totals_on, market_id)
        return [TotalRow(*row) for row in rows]

    async def singles_on(
        self, market_id: str, windows: Sequence[Window] = ()
    ) -> tuple[list[AlikeRow], bool]:
        """Singles, those that are alike together, and whether these are all."""
        rows = await self._fetch(
            "singles_on",
            _sql.singles_on,
            market_id,
            MAX_ALIKE + 1,
            [window.from_ms for window in windows],
            [window.until_ms for window in windows],
        )
        return [AlikeRow(*row) for row in rows[:MAX_ALIKE]], len(rows) <= MAX_ALIKE

    async def slips_on(self, market_id: str, limit: int) -> tuple[list[tuple[str, str]], int]:
        """Players and ids of bets of several lines with a leg on the market, the first so many of
        them, and how many there are."""
        rows = await self._fetch("slips_on", _sql.slips_on, market_id, limit)
        found = [(player_id, bet_id) for player_id, bet_id, _ in rows]
        return found, rows[0][2] if rows else 0


def _audit_place(cursor: str | None) -> tuple[int, str, int, int]:
    at_ms, name = _place(cursor, _NEWEST)
    if cursor is None:
        return at_ms, "", 0, 0
    partition, _, numbers = name.partition(".")
    seq, _, number = numbers.partition(".")
    if not (seq.isdecimal() and number.isdecimal()) or max(len(seq), len(number)) > 9:
        raise BadCursor("the cursor is not one of this list")
    return at_ms, partition, int(seq), int(number)


def newest_of(
    pages: Sequence[tuple[list[AuditRow], str | None]], limit: int
) -> tuple[list[AuditRow], str | None]:
    """Pages of several scopes as one. Partitions are called otherwise in each, so that one cursor
    is a place in all of them."""
    rows = [row for page, _ in pages for row in page]
    rows.sort(key=lambda row: (row.at_ms, row.partition, row.seq, row.number), reverse=True)
    limit = _bounded(limit)
    if len(rows) == limit and any(cursor for _, cursor in pages):
        rows.append(rows[-1])  # stands for those that were not read
    return _page(rows, limit, _audit_row_place)


def _audit_page(rows: list[Any], limit: int) -> tuple[list[AuditRow], str | None]:
    found = [AuditRow(*row) for row in rows]
    return _page(found, limit, _audit_row_place)


def _audit_row_place(row: AuditRow) -> tuple[int, str]:
    return row.at_ms, f"{row.partition}.{row.seq}.{row.number}"
