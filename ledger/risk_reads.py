"""What the desk reads of referrals, customers, hedges and alerts, and what the coordinator of risk
goes by. As in `ledger.reads`: behind the journal by the projector's lag, in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from actors.entries import Entry, decode_entries
from ledger.blocks import EMPTY
from ledger.queries import Queries
from ledger.reads import _NEWEST, LedgerReads, _bounded, _page, _place
from ledger.tables import CustomerRow, HedgeRow, ReferralRow

_sql = Queries("risk")

MAX_REFERRALS = 200
"""Waiting ones that are shown at a time."""
MAX_ORDERED = 10_000
HABIT_BETS = 64
"""Of a player's last bets, that make a habit."""
BLOCKS = 64
"""Of one partition, that are read at a time."""


class NameRow(msgspec.Struct, frozen=True):
    market_id: str
    selection_id: str
    fixture_name: str
    market_name: str
    selection_name: str
    odds: int


class AlertRow(msgspec.Struct, frozen=True):
    alert_id: str
    pattern: str
    subject: str
    at_ms: int
    facts: str
    """As JSON."""


class NewBlock(msgspec.Struct, frozen=True):
    partition: str
    seq: int
    entries: list[Entry]


class RiskReads(LedgerReads):
    """Reads of one scope's ledger: hedges and names are the book's, all else is a licence's."""

    @classmethod
    def beside(cls, reads: LedgerReads) -> RiskReads:
        """On the same connections."""
        return cls(reads._pool)

    # Referrals and customers

    async def waiting_referrals(self, now_ms: int) -> list[ReferralRow]:
        """Those whose time is shortest first."""
        rows = await self._fetch("waiting_referrals", _sql.waiting_referrals, now_ms, MAX_REFERRALS)
        return [ReferralRow(*row) for row in rows]

    async def referral(self, referral_id: str) -> ReferralRow | None:
        rows = await self._fetch("referral", _sql.referral, referral_id)
        return ReferralRow(*rows[0]) if rows else None

    async def referrals_of(
        self, player_id: str, cursor: str | None, limit: int
    ) -> tuple[list[ReferralRow], str | None]:
        """Newest first."""
        limit = _bounded(limit)
        rows = await self._fetch(
            "referrals_of", _sql.referrals_of, player_id, *_place(cursor, _NEWEST), limit + 1
        )
        return _page(
            [ReferralRow(*row) for row in rows],
            limit,
            lambda row: (row.asked_at_ms, row.referral_id),
        )

    async def count_waiting(self, player_id: str, now_ms: int) -> int:
        """How many of the player's referrals wait for a trader."""
        count: int = (await self._fetch("count", _sql.count_waiting, player_id, now_ms))[0][0]
        return count

    async def customers(self, since_ms: int, after: str, limit: int) -> list[CustomerRow]:
        """Customers of whom something was said since, by their ids above `after`."""
        rows = await self._fetch("customers", _sql.customers, since_ms, after, limit)
        return [CustomerRow(*row) for row in rows]

    # The book's

    async def names(self, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], NameRow]:
        """What selections are called, by their market and themselves."""
        markets, selections = [place[0] for place in places], [place[1] for place in places]
        rows = await self._fetch("names", _sql.names, markets, selections)
        return {(row[0], row[1]): NameRow(*row) for row in rows}

    async def hedges(
        self, market_id: str | None, cursor: str | None, limit: int
    ) -> tuple[list[HedgeRow], str | None]:
        """Newest first."""
        limit = _bounded(limit)
        rows = await self._fetch(
            "hedges", _sql.hedges, market_id, *_place(cursor, _NEWEST), limit + 1
        )
        return _page(
            [HedgeRow(*row) for row in rows], limit, lambda row: (row.ordered_at_ms, row.hedge_id)
        )

    async def ordered_hedges(self) -> list[str]:
        """Markets with a hedge of which it is not known whether it was made."""
        rows = await self._fetch("ordered_hedges", _sql.ordered_hedges, MAX_ORDERED)
        return [market_id for (market_id,) in rows]

    async def tradable_markets(self) -> list[str]:
        return [row[0] for row in await self._fetch("markets", _sql.markets_at_risk)]

    # Alerts

    async def alerts(
        self, pattern: str | None, cursor: str | None, limit: int
    ) -> tuple[list[AlertRow], str | None]:
        """Newest first."""
        limit = _bounded(limit)
        rows = await self._fetch(
            "alerts", _sql.alerts, pattern, *_place(cursor, _NEWEST), limit + 1
        )
        return _page([AlertRow(*row) for row in rows], limit, lambda row: (row.at_ms, row.alert_id))

    async def exposed_markets(self) -> list[str]:
        """Markets with open bets."""
        return [row[0] for row in await self._fetch("exposed", _sql.exposed)]

    async def registered(self, player_ids: Sequence[str]) -> dict[str, int]:
        """When players were registered."""
        return dict(await self._fetch("registered", _sql.registered, list(player_ids)))

    async def habits(self, player_ids: Sequence[str], before_ms: int) -> dict[str, tuple[int, int]]:
        """How many bets each player made of late, before a moment, and their stakes together."""
        rows = await self._fetch("habits", _sql.habits, list(player_ids), before_ms, HABIT_BETS)
        return {row[0]: (row[1], row[2]) for row in rows}

    # The journal

    async def journal_ends(self, before_ms: int) -> dict[str, int]:
        """The last block of every partition that was recorded before a moment."""
        return dict(await self._fetch("ends", _sql.journal_ends, before_ms, EMPTY.seq))

    async def new_blocks(self, known: Mapping[str, int]) -> list[NewBlock]:
        """What came after the blocks that are known of each partition, a few at a time."""
        rows = await self._fetch(
            "new_blocks", _sql.new_blocks, list(known), list(known.values()), BLOCKS
        )
        return [NewBlock(partition, seq, decode_entries(body)) for partition, seq, body in rows]
