"""What of a market's liability was laid off elsewhere: ordered first, then recorded or lapsed."""

from __future__ import annotations

from actors.base import Event, Reason, Refused
from actors.fixture import Fixture
from actors.market import TRADABLE, DeskEvent, Hedge, HedgeOrder, Market, MarketCommand
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from ledger.money import MAX_MINOR

MAX_HEDGES = 1_000
"""Hedges that one market's record can hold."""


class OrderHedge(MarketCommand, frozen=True, array_like=True, tag=True):
    """Write down a hedge before an exchange is asked for it.

    Who is to carry it out may die at any moment: its successor finds the order, and gives the same
    one again under the same id, which an exchange answers as before. `RecordHedge` or `LapseHedge`
    ends it. One market has one order at a time.
    """

    hedge_id: str
    selection_id: str
    stake_minor: int
    odds: int
    exchange: str
    beside: int = -1
    """How many hedges of the market it was decided beside; with others it has to be decided again.
    -1: with any."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.selection_id not in market.selections:
            return Refused(Reason.UNKNOWN_SELECTION)
        if self.hedge_id in market.hedges or self.hedge_id in market.hedge_orders:
            return Refused(Reason.ALREADY_EXISTS)
        if market.hedge_orders or market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, "a hedge is under way, or the market is over")
        if self.beside not in (-1, len(market.hedges)):
            return Refused(Reason.SUPERSEDED, facts={"hedges": len(market.hedges)})
        if not 0 < self.stake_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        if not MIN_ODDS <= self.odds <= MAX_ODDS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_odds": MAX_ODDS})
        if len(market.hedges) >= MAX_HEDGES:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_hedges": MAX_HEDGES})
        order = HedgeOrder(now_ms, self.selection_id, self.stake_minor, self.odds, self.exchange)
        return HedgeOrdered(
            now_ms, self.fixture_id, self.market_id, fixture.seq, self.hedge_id, order
        )


class LapseHedge(MarketCommand, frozen=True, array_like=True, tag=True):
    """The exchange has not made the bet, and will not."""

    hedge_id: str
    code: str
    """Why, in the exchange's words."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.hedge_id not in market.hedge_orders:
            return Refused(Reason.WRONG_STATUS, "no such hedge is under way")
        return HedgeLapsed(
            now_ms, self.fixture_id, self.market_id, fixture.seq, self.hedge_id, self.code
        )


class RecordHedge(MarketCommand, frozen=True, array_like=True, tag=True):
    """The house has laid off some of its liability: it has backed a selection elsewhere.

    It is a fact, so no limit refuses it. `hedge_id` is its key.
    """

    hedge_id: str
    selection_id: str
    stake_minor: int
    odds: int
    commission: int
    """What the exchange takes of the win, in ten-thousandths."""
    exchange: str
    reference: str

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.selection_id not in market.selections:
            return Refused(Reason.UNKNOWN_SELECTION)
        if self.hedge_id in market.hedges:
            return Refused(Reason.ALREADY_EXISTS)
        if not 0 < self.stake_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        if not MIN_ODDS <= self.odds <= MAX_ODDS or not 0 <= self.commission <= ONE:
            return Refused(Reason.OUT_OF_BOUNDS, "such a price or commission there is not")
        if len(market.hedges) >= MAX_HEDGES:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_hedges": MAX_HEDGES})
        return HedgeRecorded(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq,
            self.hedge_id,
            Hedge(
                now_ms,
                self.selection_id,
                self.stake_minor,
                self.odds,
                wins_of(self.stake_minor, self.odds, self.commission),
                self.exchange,
                self.reference,
            ),
        )


def wins_of(stake_minor: int, odds: int, commission: int) -> int:
    """What a hedge wins beyond its stake, commission taken off; rounded down, so that no limit is
    overrun."""
    return stake_minor * (odds - ONE) * (ONE - commission) // ONE**2


class HedgeRecorded(DeskEvent, frozen=True, array_like=True, tag=True):
    hedge_id: str
    hedge: Hedge

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.hedge_orders.pop(self.hedge_id, None)
        market.hedges[self.hedge_id] = self.hedge
        market.fit_book()


class HedgeOrdered(DeskEvent, frozen=True, array_like=True, tag=True):
    hedge_id: str
    order: HedgeOrder

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.hedge_orders[self.hedge_id] = self.order


class HedgeLapsed(DeskEvent, frozen=True, array_like=True, tag=True):
    hedge_id: str
    code: str

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.hedge_orders.pop(self.hedge_id, None)
