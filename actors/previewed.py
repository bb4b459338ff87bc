"""A result that was previewed: it counts only if the market still has the result it had then.

Between the preview and the trader's yes somebody else may have settled the market. Then the preview
was of something else, and has to be made again.
"""

from __future__ import annotations

from actors.base import Event, Reason, Refused
from actors.declaring import DeclareResult
from actors.fixture import Fixture
from actors.market import Market, MarketCommand
from actors.outcomes import SettleSelections


class DeclarePreviewed(MarketCommand, frozen=True, array_like=True, tag=True):
    """A result, whole or in part, if its version is still the one that was looked at."""

    declare: DeclareResult | SettleSelections
    """Of the same market, or it is refused."""
    result_version: int

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.declare.market_id != self.market_id:
            return Refused(Reason.OUT_OF_BOUNDS, "the result is of another market")
        if market.result_version != self.result_version:
            return Refused(Reason.SUPERSEDED, facts={"version": market.result_version})
        return self.declare.decide(now_ms, market, fixture)
