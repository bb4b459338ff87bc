"""Prices as staff and traders give them over HTTP, and as they are answered."""

from __future__ import annotations

from collections.abc import Mapping

from actors.odds import MIN_ODDS
from actors.trading import PricesChanged, PricesGivenBack, PricesHeld
from gateway import api
from gateway.problems import Problem


def check(odds: Mapping[str, int]) -> None:
    """Raises the problem `invalid_request` for a price at which nothing can be won."""
    for selection_id, price in odds.items():
        if 0 < price < MIN_ODDS:
            raise Problem(
                "invalid_request",
                f"Odds are 0 or at least {MIN_ODDS} (1.0001) - at `$.odds.{selection_id}`.",
            )


def now(event: PricesChanged | PricesHeld | PricesGivenBack) -> api.PricesNow:
    return api.PricesNow(event.market_id, event.seq, event.odds_version, event.odds)
