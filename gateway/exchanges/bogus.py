"""An exchange where no money changes hands: for development, demonstrations and tests.

It always has a price a little longer than the house's, as an exchange with little margin would,
and takes bets up to 1,000.00 on each order. It remembers nothing, so that it says the same from
every gateway: what it answers follows from the order.

    odds above 100.0        no such price: unmatched
    a stake above 1,000.00  matched up to that
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.odds import ONE, down_to_ladder
from actors.risk.hedge import Quote
from gateway.exchanges.exchange import BackOrder, Matched, Unmatched
from ledger.money import Money, minor_digits

LONGEST = 1_000_000
COMMISSION = 200
"""Two in a hundred of a win."""
BETTER = 10_200
"""Its prices, in ten-thousandths of the house's."""
SIZE_MAJOR = 1_000


class Bogus:
    name = "bogus"

    async def quotes(self, market_id: str, currency: str, odds: Mapping[str, int]) -> list[Quote]:
        found = []
        for selection_id, price in odds.items():
            longer = down_to_ladder(price * BETTER // ONE)
            if price > 0 and longer <= LONGEST:
                found.append(Quote(selection_id, longer, _size(currency), COMMISSION))
        return found

    async def back(self, order: BackOrder) -> Matched | Unmatched:
        if order.odds > LONGEST:
            return Unmatched("bogus_has_no_such_price")
        currency = order.stake.currency
        stake = Money(min(order.stake.minor, _size(currency)), currency)
        return Matched(stake, order.odds, COMMISSION, f"bogus-{order.hedge_id}")


def _size(currency: str) -> int:
    size: int = SIZE_MAJOR * 10 ** minor_digits(currency)
    return size


EXCHANGE = Bogus()
