"""The port to an exchange, where the house backs what it has too much of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from actors.risk.hedge import Quote
from ledger.money import Money


class BackOrder(msgspec.Struct, frozen=True):
    """A bet the house wants to make, once for each `hedge_id`, however often it is asked for."""

    hedge_id: str
    market_id: str
    selection_id: str
    stake: Money
    odds: int
    """The shortest price it is wanted at."""
    requested_at_ms: int


class Matched(msgspec.Struct, frozen=True):
    """The bet is made. `stake` may be less than was asked for; the rest lapsed. With 0 there is no
    bet, as with `Unmatched`."""

    stake: Money
    odds: int
    commission: int
    """Of the win, in ten-thousandths."""
    reference: str
    """The exchange's own name for it."""


class Unmatched(msgspec.Struct, frozen=True):
    """No bet was made, and none will be. `code` says why, in the exchange's words."""

    code: str


class NoAnswer(Exception):
    """Whether the bet is made is not known yet: the same order has to be given again."""


class Exchange(Protocol):
    @property
    def name(self) -> str:
        """In every hedge's record, so for ever; lower case, short."""
        ...

    async def quotes(self, market_id: str, currency: str, odds: Mapping[str, int]) -> list[Quote]:
        """What can be had on the selections of a market now; `odds` are the house's own prices.

        Sizes are in minor units of the currency.
        Selections without an offer are left out. Raises `NoAnswer`.
        """
        ...

    async def back(self, order: BackOrder) -> Matched | Unmatched:
        """Make the bet, at the price asked for or a longer one. Asked again with the same hedge
        id, the same answer.

        Raises `NoAnswer`; may take long, and be cancelled, which says nothing about the bet.
        """
        ...
