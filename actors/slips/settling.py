"""What a slip pays, by what is known of its legs so far: the one function that settles anything.

A leg makes a *factor* of the stake that comes to it: its price when it wins, (price + 1) / 2 for a
half win, 1 for a void, 1/2 for a half loss, 0 when it loses; in a dead heat the stake is divided
first. A line pays the unit stake times the factors of its legs, and the slip pays the sum of its
lines. Everything is exact until then. **The sum is rounded once, half up, to minor units**: not
each line, nor each half of an each-way bet. What is paid while legs are open is the same sum over
the lines that are decided, so that payments one after the other come to the last sum exactly.

A correction is no other case: ask again with the corrected results.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from math import comb, prod
from typing import NamedTuple

import msgspec

from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import LOST, VOID, Outcome, Result
from actors.slips.deductions import after_deduction, after_reductions
from actors.slips.outcomes import in_full, same_game
from actors.slips.slip import EachWay, Leg, Selection, Slip, folds_in, lines_in
from actors.slips.sums import Ratio, sum_over_lines
from ledger.money import divide_half_up

MAX_WITHDRAWN = 100
"""Runners of one market that may be removed."""
ASSUMED_STARTING_ODDS = 1_010_000
"""100/1. What a starting price is taken for until it is known, in what a slip can pay and in what
the house can lose: it is longer once in thousands of runners, and then the house pays it."""


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one selection, as it concerns one slip.

    `deduction` and `reductions` are for withdrawals after the slip's price was taken
    (`deductions.Rule4.deduction`), in ten-thousandths.
    """

    result: Result | None = None
    place: Result | None = None
    """How the place part came out, where the bet is each-way."""
    withdrawn: bool = False
    """It takes no part: the leg is void, or lost where it is ante-post, whatever `result` says."""
    starting_odds: int = 0
    """0 until they are known."""
    deduction: int = 0
    reductions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.starting_odds and not MIN_ODDS <= self.starting_odds <= MAX_ODDS:
            raise ValueError(f"{self.starting_odds} is no starting price")
        if not all(0 <= share < ONE for share in (self.deduction, *self.reductions)):
            raise ValueError("a withdrawal leaves something of a price")
        if len(self.reductions) > MAX_WITHDRAWN:
            raise ValueError(f"more than {MAX_WITHDRAWN} withdrawals")


class State(enum.StrEnum):
    """What became of the slip. A slip of one leg has the outcome of that leg."""

    OPEN = "open"
    WON = "won"
    """Every line paid."""
    PARTLY_WON = "partly_won"
    """Some lines paid and some are lost; also an each-way bet of which only the place part won."""
    LOST = "lost"
    VOID = "void"
    """Every leg was void. A free stake then pays nothing: whoever gave it may give it again."""
    HALF_WON = "half_won"
    HALF_LOST = "half_lost"


class Settlement(msgspec.Struct, frozen=True, array_like=True):
    """Amounts are in minor units, with what was paid before included."""

    state: State
    paid_minor: int
    """By the lines that are decided; all there is to pay once the state is not open."""
    most_minor: int
    """If every open leg wins. While a starting price is open it is assumed."""
    lines: int
    lines_paid: int
    lines_open: int


def settle(
    slip: Slip,
    known: Mapping[Selection, Known],
    assumed_starting_odds: int = ASSUMED_STARTING_ODDS,
) -> Settlement:
    """Settle a slip by what is known so far. Refused slips (`slip.refuse`) must not come here."""
    view = look(slip, known, assumed_starting_odds)
    lines_paid = lines_open = 0
    for side in view.sides:
        decided, possible = _lines_alive(view, side)
        lines_paid += decided
        lines_open += possible - decided
    paid = _pays(view, as_lost) if lines_paid else 0
    most = _pays(view, as_won) if lines_open else paid
    state = State.OPEN if lines_open else _final(view, lines_paid)
    return Settlement(state, paid, most, view.lines, lines_paid, lines_open)


def potential_minor(slip: Slip, assumed_starting_odds: int = ASSUMED_STARTING_ODDS) -> int:
    """The most that the slip can pay, in minor units, as of its placement."""
    return settle(slip, {}, assumed_starting_odds).most_minor


def _pays(view: View, open_as: OpenAs) -> int:
    """What the slip pays with its open legs taken for that, in minor units."""
    paid = _rounded(view, view.sides, open_as)
    if view.unboosted:
        # Whole caps: the least of the rounded is the least, rounded.
        paid = min(paid, _rounded(view, view.unboosted, open_as) + view.slip.boost_cap_minor)
    return min(paid, view.slip.payout_cap_minor)


def _rounded(view: View, sides: list[Side], open_as: OpenAs) -> int:
    """The one rounding."""
    num, den = units(view, sides, open_as)
    return divide_half_up(view.slip.stake_minor * num, view.lines * den)


def _final(view: View, lines_paid: int) -> State:
    results = [result for side in view.sides for result in side.results]
    if len(results) == 1 and results[0] is not None:
        return State(results[0].outcome)
    if not lines_paid:
        return State.LOST
    if all(result is not None and result.outcome is Outcome.VOID for result in results):
        return State.VOID
    return State.WON if lines_paid == view.lines else State.PARTLY_WON


def _lost(result: Result | None) -> bool:
    return result is not None and result.outcome is Outcome.LOST


def _lines_alive(view: View, side: Side) -> tuple[int, int]:
    """How many lines of a side are decided and pay, and how many do if every open leg wins."""
    paid = alive = 0
    all_bankers_paid = True
    for result, leg in zip(side.results, view.slip.legs, strict=True):
        if leg.banker:
            if _lost(result):
                return 0, 0
            all_bankers_paid = all_bankers_paid and result is not None
        elif not _lost(result):
            alive += 1
            paid += result is not None
    possible = sum(comb(alive, fold) for fold in view.folds)
    return (sum(comb(paid, fold) for fold in view.folds) if all_bankers_paid else 0), possible


# How a slip is looked at


class Factor(NamedTuple):
    """What comes of one unit of stake on a leg: `paid` of `parts`, of which `stake` is returned.

    What a free stake wins on a line is the product of `paid` less the product of `stake`. So in a
    half win or a dead heat only that part of the stake is kept back which would be returned.
    """

    paid: int
    stake: int
    parts: int


class Side(msgspec.Struct, frozen=True):
    """The win lines of a slip, or its place lines: for each leg its price and result."""

    prices: list[Ratio]
    results: list[Result | None]


class View(msgspec.Struct, frozen=True):
    """A slip with what is known of its legs."""

    slip: Slip
    folds: tuple[int, ...]
    lines: int
    """Each-way counted as two."""
    sides: list[Side]
    unboosted: list[Side]
    """The same at the prices without boosts; empty where the slip has none."""


OpenAs = Callable[[int, bool, Ratio], Factor]
"""What to take an open leg for: by its number, whether in the place lines, and its price there."""


def as_lost(number: int, place: bool, price: Ratio) -> Factor:
    return _NOTHING


def as_won(number: int, place: bool, price: Ratio) -> Factor:
    return Factor(price[0], price[1], price[1])


def look(slip: Slip, known: Mapping[Selection, Known], assumed_starting_odds: int) -> View:
    boosts = slip.boosted_odds or any(leg.boosted_odds for leg in slip.legs)
    return View(
        slip,
        folds_in(slip),
        lines_in(slip),
        _sides(slip, known, assumed_starting_odds, boosted=True),
        _sides(slip, known, assumed_starting_odds, boosted=False) if boosts else [],
    )


def units(view: View, sides: list[Side], open_as: OpenAs) -> Ratio:
    """What all lines pay with the open legs taken for that, in stakes on one line, exactly."""
    total, total_den = 0, 1
    for place, side in enumerate(sides):
        factors = factors_of(side, bool(place), open_as)
        bankers, free = apart(view.slip, factors)
        num = _sum(bankers, free, view.folds, 0)
        if view.slip.free_stake:
            num -= _sum(bankers, free, view.folds, 1)
        den = prod([factor.parts for factor in factors])
        total, total_den = total * den + num * total_den, total_den * den
    return total, total_den


def _sum(bankers: list[Factor], free: list[Factor], folds: tuple[int, ...], part: int) -> int:
    ratios = [(factor[part], factor.parts) for factor in free]
    return prod([factor[part] for factor in bankers]) * sum_over_lines(ratios, folds)


def factors_of(side: Side, place: bool, open_as: OpenAs) -> list[Factor]:
    return [
        open_as(number, place, price) if result is None else _factor(price, result)
        for number, (price, result) in enumerate(zip(side.prices, side.results, strict=True))
    ]


def apart(slip: Slip, factors: list[Factor]) -> tuple[list[Factor], list[Factor]]:
    """Those of the bankers, and those of the free legs."""
    bankers = [factor for factor, leg in zip(factors, slip.legs, strict=True) if leg.banker]
    free = [factor for factor, leg in zip(factors, slip.legs, strict=True) if not leg.banker]
    return bankers, free


def _factor(price: Ratio, result: Result) -> Factor:
    num, den = price
    match result.outcome:
        case Outcome.WON:
            return Factor(num * result.places, den * result.places, den * result.tied)
        case Outcome.HALF_WON:
            return Factor(num + den, 2 * den, 2 * den)
        case Outcome.VOID:
            return Factor(1, 1, 1)
        case Outcome.HALF_LOST:
            return Factor(1, 1, 2)
        case Outcome.LOST:
            return _NOTHING


_NOTHING = Factor(0, 0, 1)
_UNKNOWN = Known()


def _sides(
    slip: Slip, known: Mapping[Selection, Known], assumed: int, *, boosted: bool
) -> list[Side]:
    win, place = Side([], []), Side([], [])
    as_taken = True
    for leg in slip.legs:
        fact = known.get((leg.market_id, leg.selection_id), _UNKNOWN)
        price = _price(leg, fact, assumed, boosted)
        result = _result(leg, known) if leg.joined else _final_result(leg, fact, fact.result)
        win.prices.append(price)
        win.results.append(result)
        taken = (leg.boosted_odds if boosted else 0) or leg.odds
        same = price[0] * ONE == taken * price[1]
        as_taken = as_taken and same and (result is None or in_full(result))
        if slip.each_way and leg.each_way:
            place.prices.append(place_price(price, leg.each_way))
            place.results.append(_final_result(leg, fact, fact.place))
    if boosted and slip.boosted_odds and as_taken:
        # The price for the whole stands only while each leg may still win in full at its own: the
        # first leg's is raised to what makes the product that price.
        num, den = slip.boosted_odds, ONE
        for top, bottom in win.prices[1:]:
            num, den = num * bottom, den * top
        win.prices[0] = (num, den)
    return [win, place] if slip.each_way else [win]


def place_price(price: Ratio, terms: EachWay) -> Ratio:
    """1 + (price - 1) / divisor."""
    num, den = price
    return den * terms.divisor + num - den, den * terms.divisor


def _price(leg: Leg, fact: Known, assumed: int, boosted: bool) -> Ratio:
    if leg.at_starting_price:
        odds = fact.starting_odds or assumed
    else:
        odds = (leg.boosted_odds if boosted else 0) or leg.odds
    price = (odds, ONE)
    if leg.ante_post or leg.joined:
        return price
    if fact.deduction:
        price = after_deduction(price, fact.deduction)
    return after_reductions(price, fact.reductions) if fact.reductions else price


def _final_result(leg: Leg, fact: Known, result: Result | None) -> Result | None:
    """The result that the leg has to be settled by, None while something is missing for that."""
    if fact.withdrawn:
        return LOST if leg.ante_post else VOID
    if result is None:
        return None
    needs_price = result.outcome in (Outcome.WON, Outcome.HALF_WON)
    return None if needs_price and leg.at_starting_price and not fact.starting_odds else result


def _result(leg: Leg, known: Mapping[Selection, Known]) -> Result | None:
    """The result of a leg of several selections under one price."""
    facts = (known.get(selection, _UNKNOWN) for selection in leg.selections)
    return same_game([_final_result(leg, fact, fact.result) for fact in facts])
