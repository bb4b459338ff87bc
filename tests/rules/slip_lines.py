"""Slips line by line, in fractions: a slow model to hold the quick sums against, and slips to try.

It shares no arithmetic with `actors.slips`: every line is written out, and the price of each leg is
worked out as a person would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations
from math import floor, prod
from typing import NamedTuple

from hypothesis import strategies as st

from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import Outcome, Result
from actors.slips.kinds import Kind
from actors.slips.settling import ASSUMED_STARTING_ODDS, Known
from actors.slips.slip import EachWay, Leg, Selection, Slip
from ledger.money import MAX_MINOR

Facts = dict[Selection, Known]


class Line(NamedTuple):
    """One line: the legs in it, and whether it is a place line."""

    legs: tuple[int, ...]
    place: bool


SMALLEST = {
    Kind.TRIXIE: 2,
    Kind.PATENT: 1,
    Kind.YANKEE: 2,
    Kind.LUCKY_15: 1,
    Kind.CANADIAN: 2,
    Kind.LUCKY_31: 1,
    Kind.HEINZ: 2,
    Kind.LUCKY_63: 1,
    Kind.SUPER_HEINZ: 2,
    Kind.GOLIATH: 2,
}


def lines(slip: Slip) -> list[Line]:
    bankers = tuple(number for number, leg in enumerate(slip.legs) if leg.banker)
    free = [number for number, leg in enumerate(slip.legs) if not leg.banker]
    folds: tuple[int, ...] | range
    match slip.kind:
        case Kind.SINGLE:
            folds = (1,)
        case Kind.DOUBLE:
            folds = (2,)
        case Kind.TREBLE:
            folds = (3,)
        case Kind.ACCUMULATOR:
            folds = (len(free),)
        case Kind.SYSTEM:
            folds = slip.folds
        case _:
            folds = range(SMALLEST[slip.kind], len(free) + 1)
    return [
        Line(bankers + chosen, place)
        for place in ((False, True) if slip.each_way else (False,))
        for fold in folds
        for chosen in combinations(free, fold)
    ]


def price(slip: Slip, facts: Facts, number: int, place: bool, boosted: bool) -> Fraction:
    """The price that the leg is paid at; while its starting price is open, the longest there is."""
    leg = slip.legs[number]
    fact = facts.get((leg.market_id, leg.selection_id), Known())
    odds = leg.boosted_odds if boosted and leg.boosted_odds else leg.odds or fact.starting_odds
    odds = odds or ASSUMED_STARTING_ODDS
    paid = taken = Fraction(odds, 10_000)
    if not leg.ante_post and not leg.joined:
        paid = 1 + (paid - 1) * (1 - Fraction(fact.deduction, 10_000))
        before = paid
        for reduction in fact.reductions:
            paid *= 1 - Fraction(reduction, 10_000)
        if fact.reductions:
            paid = max(paid, min(before, Fraction(101, 100)))
    assert 1 < paid <= taken
    if place:
        assert leg.each_way
        return 1 + (paid - 1) / leg.each_way.divisor
    return paid


def result(slip: Slip, facts: Facts, number: int, place: bool) -> Result | None:
    leg = slip.legs[number]

    def of(selection: Selection) -> Result | None:
        fact = facts.get(selection, Known())
        if fact.withdrawn:
            return Result(Outcome.LOST if leg.ante_post else Outcome.VOID)
        known = fact.place if place else fact.result
        if leg.odds == 0 and fact.starting_odds == 0 and known is not None:
            return None if known.outcome in (Outcome.WON, Outcome.HALF_WON) else known
        return known

    if not leg.joined:
        return of((leg.market_id, leg.selection_id))
    parts = [of(selection) for selection in ((leg.market_id, leg.selection_id), *leg.joined)]
    if Result(Outcome.LOST) in parts:
        return Result(Outcome.LOST)
    if None in parts:
        return None
    full = all(part.outcome is Outcome.WON and part.tied == part.places for part in parts if part)
    return Result(Outcome.WON if full else Outcome.VOID)


def factor(odds: Fraction, known: Result) -> tuple[Fraction, Fraction]:
    """What one unit comes to, and how much of that is the stake."""
    match known.outcome:
        case Outcome.WON:
            share = Fraction(known.places, known.tied)
            return odds * share, share
        case Outcome.HALF_WON:
            return (odds + 1) / 2, Fraction(1)
        case Outcome.VOID:
            return Fraction(1), Fraction(1)
        case Outcome.HALF_LOST:
            return Fraction(1, 2), Fraction(1, 2)
        case Outcome.LOST:
            return Fraction(0), Fraction(0)


OpenPays = Callable[[int, bool, Fraction], tuple[Fraction, Fraction]]


class OnLeg(NamedTuple):
    """What one leg does to a line that it is in."""

    paid: Fraction
    kept: Fraction
    known: Result | None
    straight: bool
    """It may still win in full, or has, at the price it was taken at."""


def legs_as(
    slip: Slip, facts: Facts, open_pays: OpenPays, boosted: bool
) -> dict[tuple[int, bool], OnLeg]:
    found = {}
    for number, leg in enumerate(slip.legs):
        for place in (False, True) if slip.each_way else (False,):
            known = result(slip, facts, number, place)
            odds = price(slip, facts, number, place, boosted)
            own = Fraction(leg.boosted_odds if boosted and leg.boosted_odds else leg.odds, 10_000)
            in_full = known is None or known == Result(Outcome.WON, known.tied, known.tied)
            pair = open_pays(number, place, odds) if known is None else factor(odds, known)
            found[number, place] = OnLeg(*pair, known, in_full and odds == own)
    return found


def line_pays(
    slip: Slip, line: Line, legs: dict[tuple[int, bool], OnLeg], boosted: bool
) -> tuple[Fraction, str]:
    """Unit stakes that one line pays, and whether it is "open", "lost" or "paid"."""
    of_line = [legs[number, line.place] for number in line.legs]
    if any(leg.known is not None and leg.known.outcome is Outcome.LOST for leg in of_line):
        return Fraction(0), "lost"
    paid = prod((leg.paid for leg in of_line), start=Fraction(1))
    kept = prod((leg.kept for leg in of_line), start=Fraction(1))
    if boosted and slip.boosted_odds and all(leg.straight for leg in of_line):
        own = (slip.legs[number] for number in line.legs)
        product = prod(Fraction(leg.boosted_odds or leg.odds, 10_000) for leg in own)
        paid *= Fraction(slip.boosted_odds, 10_000) / product
    state = "open" if any(leg.known is None for leg in of_line) else "paid"
    return paid - kept if slip.free_stake else paid, state


def pays(
    slip: Slip,
    facts: Facts,
    open_pays: OpenPays,
    only: Callable[[Line], bool] = lambda line: True,
    states: tuple[str, ...] = ("open", "paid"),
) -> Fraction:
    """What those of the lines pay in minor units, capped."""
    every = lines(slip)
    unit = Fraction(slip.stake_minor, len(every))

    def total(boosted: bool) -> Fraction:
        sums = Fraction(0)
        legs = legs_as(slip, facts, open_pays, boosted)
        for line in filter(only, every):
            paid, state = line_pays(slip, line, legs, boosted)
            if state in states:
                sums += paid * unit
        return sums

    best = min(total(True), total(False) + slip.boost_cap_minor)
    return min(best, Fraction(slip.payout_cap_minor))


def won(number: int, place: bool, odds: Fraction) -> tuple[Fraction, Fraction]:
    return odds, Fraction(1)


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


def states(slip: Slip, facts: Facts) -> list[str]:
    legs = legs_as(slip, facts, won, True)
    return [line_pays(slip, line, legs, True)[1] for line in lines(slip)]


# Slips to try


@st.composite
def results(draw: st.DrawFn) -> Result:
    outcome = draw(st.sampled_from(Outcome))
    if outcome is not Outcome.WON or draw(st.integers(0, 3)):
        return Result(outcome)
    tied = draw(st.integers(1, 6))
    return Result(outcome, tied, draw(st.integers(1, tied)))


maybe_results = st.none() | results()
prices = st.integers(10_100, 300_000) | st.integers(MIN_ODDS, MAX_ODDS)
shares = st.sampled_from([0, 500, 2_500, 9_000]) | st.integers(0, ONE - 1)


@st.composite
def facts_of(draw: st.DrawFn, slip: Slip) -> Facts:
    """What may be known of some of its selections."""
    found: Facts = {}
    for leg in slip.legs:
        for selection in ((leg.market_id, leg.selection_id), *leg.joined):
            if not draw(st.integers(0, 4)):
                continue
            found[selection] = Known(
                draw(maybe_results),
                draw(maybe_results),
                draw(st.integers(0, 9)) == 0,
                draw(st.just(0) | prices),
                draw(st.just(0) | shares),
                tuple(draw(st.lists(shares, max_size=2))) if draw(st.booleans()) else (),
            )
    return found


def kinds_for(free: int) -> Iterator[Kind]:
    yield from (Kind.SINGLE, Kind.SYSTEM)
    if free >= 2:
        yield from (Kind.DOUBLE, Kind.ACCUMULATOR)
    if free >= 3:
        yield Kind.TREBLE


LEGS = {
    3: (Kind.TRIXIE, Kind.PATENT),
    4: (Kind.YANKEE, Kind.LUCKY_15),
    5: (Kind.CANADIAN, Kind.LUCKY_31),
    6: (Kind.HEINZ, Kind.LUCKY_63),
    7: (Kind.SUPER_HEINZ,),
    8: (Kind.GOLIATH,),
}


@st.composite
def slips(draw: st.DrawFn, *, most_legs: int = 8, starting_prices: bool = True) -> Slip:
    """Slips that are not refused, of every kind and with every flag."""
    free = draw(st.integers(1, most_legs))
    kind = draw(st.sampled_from([*kinds_for(free), *LEGS.get(free, ())]))
    folds: tuple[int, ...] = ()
    if kind is Kind.SYSTEM:
        folds = tuple(sorted(draw(st.sets(st.integers(1, free), min_size=1))))
    each_way = draw(st.booleans())
    bankers = draw(st.integers(0, 2)) if draw(st.booleans()) else 0
    legs = [
        draw(legs_numbered(number, number >= free, each_way, starting_prices))
        for number in range(free + bankers)
    ]
    legs = draw(st.permutations(legs))
    slip = Slip(tuple(legs), kind, 1, folds, each_way, draw(st.booleans()))
    count = len(lines(slip))
    boost = 0
    if count == 1 and all(leg.odds for leg in legs) and draw(st.booleans()):
        product = prod(Fraction(leg.boosted_odds or leg.odds, 10_000) for leg in legs)
        boost = floor(product * 10_000 * draw(st.fractions(1, 3))) + 1
    stake = count * draw(st.integers(1, 10_000))
    return Slip(
        tuple(legs),
        kind,
        stake,
        folds,
        each_way,
        slip.free_stake,
        draw(st.just(MAX_MINOR) | st.integers(stake, 50 * stake)),
        boost,
        draw(st.just(MAX_MINOR) | st.integers(0, stake)),
    )


@st.composite
def legs_numbered(
    draw: st.DrawFn, number: int, banker: bool, each_way: bool, starting_prices: bool
) -> Leg:
    fixture = f"f{number}"
    terms = EachWay(draw(st.integers(1, 6)), draw(st.integers(1, 6))) if each_way else None
    odds = draw(prices)
    if starting_prices and not draw(st.integers(0, 5)):
        return Leg(fixture, f"{fixture}:m", "a", 0, banker, each_way=terms)
    boosted = draw(st.just(0) | st.integers(odds, min(2 * odds, MAX_ODDS)))
    joined: tuple[Selection, ...] = ()
    if not each_way and not draw(st.integers(0, 5)):
        joined = tuple((f"{fixture}:{name}", "x") for name in "no"[: draw(st.integers(1, 2))])
    ante_post = draw(st.integers(0, 5)) == 0
    return Leg(fixture, f"{fixture}:m", "a", odds, banker, ante_post, boosted, terms, joined)
