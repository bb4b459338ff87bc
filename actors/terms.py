"""What a market offers beside a win at the price that is shown, fixed when it is opened.

Each-way terms, the starting price, whether a bet stands for a runner that does not run, and what a
withdrawal takes off the prices of the others. A bet is made on the terms of its market; whoever
bets only says that it is each-way, or at the starting price.

A bet was made before a withdrawal if its price was: the market numbers its prices, a withdrawal is
a new number, and no clocks have to be compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.slips.deductions import Rule4, Withdrawal
from actors.slips.settling import MAX_WITHDRAWN
from actors.slips.slip import MAX_DIVISOR, EachWay


class MarketTerms(msgspec.Struct, frozen=True, array_like=True):
    places: int = 0
    """How many places the place part of an each-way bet is paid for; 0 where there is none."""
    divisor: int = 0
    """What its winnings are divided by: 4 for a quarter of the odds."""
    starting_price: bool = False
    """Bets can be had at the price that is known at the off."""
    ante_post: bool = False
    """A withdrawn runner loses, and nothing is taken off the others."""
    rule_4: Rule4 | None = None
    """By which rule a withdrawal takes off the winnings on the others; None: it does not."""
    reduction_factors: bool = False
    """Or by factors that come with the withdrawals."""
    line_quarters: int | None = None
    """The line of a total or a handicap, in quarters: 10 is 2.5."""

    @property
    def each_way(self) -> EachWay | None:
        return EachWay(self.places, self.divisor) if self.places else None

    @property
    def deducts(self) -> bool:
        return self.rule_4 is not None or self.reduction_factors

    def contradiction(self, selections: int) -> str:
        """What is wrong with them for so many selections, or nothing."""
        fits = 1 <= self.places <= selections and 1 <= self.divisor <= MAX_DIVISOR
        if (self.places or self.divisor) and not fits:
            return "those are no each-way terms"
        if self.rule_4 and self.reduction_factors:
            return "a withdrawal takes off by a rule or by factors"
        if self.ante_post and (self.starting_price or self.deducts):
            return "ante-post there is neither a starting price nor a deduction"
        if self.deducts and selections > MAX_WITHDRAWN:
            return f"deductions are for at most {MAX_WITHDRAWN} selections"
        return ""


NO_TERMS = MarketTerms()


class Gone(msgspec.Struct, frozen=True, array_like=True):
    """A withdrawal, as it concerns the bets on the others."""

    odds_version: int
    """Of the first prices that know of it."""
    odds: int
    """Its price before; 0 where there was none, and then no rule takes anything."""
    reduction: int = 0
    """Its factor, in ten-thousandths."""


class Off(msgspec.Struct, frozen=True, array_like=True):
    """What withdrawals take off a price, by its version."""

    deductions: tuple[tuple[int, int], ...] = ()
    """Versions, rising, and the share of winnings that a price from before that one loses."""
    reductions: tuple[tuple[int, int], ...] = ()
    """Versions, rising, and the factor by which each price from before that one is cut."""

    def deduction(self, odds_version: int) -> int:
        later = (share for version, share in self.deductions if version > odds_version)
        return next(later, 0)

    def reductions_of(self, odds_version: int) -> tuple[int, ...]:
        return tuple(share for version, share in self.reductions if version > odds_version)


def taken_off(terms: MarketTerms, withdrawn: Iterable[Gone]) -> Off | None:
    """What the withdrawals of a market take off prices; None where they take nothing."""
    if not terms.deducts:
        return None
    gone = sorted(withdrawn, key=lambda one: one.odds_version)
    if terms.reduction_factors:
        reductions = tuple((one.odds_version, one.reduction) for one in gone if one.reduction)
        return Off(reductions=reductions) if reductions else None
    assert terms.rule_4 is not None
    priced = [Withdrawal(one.odds_version, one.odds) for one in gone if one.odds]
    deductions = tuple((one.at, terms.rule_4.deduction(priced, one.at - 1)) for one in priced)
    return Off(deductions) if any(share for _, share in deductions) else None
