"""What a slip may cost, selection by selection, against its lines written out."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.book import liability_of
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.results import LOST, VOID, WON
from actors.slips.exposure import largest_stake, liabilities
from actors.slips.kinds import Kind
from actors.slips.settling import Known, settle
from actors.slips.slip import EachWay, Leg, Slip, lines_in
from tests.rules import slip_lines
from tests.rules.slip_lines import Line, facts_of, pays, slips, won

LEGS = tuple(
    Leg(name, f"{name}:m", "x", odds, each_way=EachWay(3, 5))
    for name, odds in (("a", 20_000), ("b", 30_000), ("c", 40_000))
)
A, B, C = (("a:m", "x"), ("b:m", "x"), ("c:m", "x"))


@pytest.mark.parametrize(
    ("slip", "known", "costs"),
    [
        (Slip(LEGS[:1], Kind.SINGLE, 100), {}, {A: 100}),
        (Slip(LEGS[:2], Kind.DOUBLE, 100), {}, {A: 500, B: 500}),
        (Slip(LEGS[:2], Kind.SINGLE, 200), {}, {A: 100, B: 200}),
        # a patent: A is in A, AB, AC and ABC, which pay 2 + 6 + 8 + 24 of four units
        (Slip(LEGS, Kind.PATENT, 700), {}, {A: 3_600, B: 4_100, C: 4_400}),
        (Slip(LEGS, Kind.PATENT, 700), {A: Known(WON), B: Known(VOID)}, {C: 2_000}),
        (Slip(LEGS, Kind.PATENT, 700), {A: Known(LOST), B: Known(LOST)}, {C: 300}),
        (Slip(LEGS[:2], Kind.DOUBLE, 100), {A: Known(LOST)}, {B: 0}),
        # the house has no stake to set against a free one's winnings
        (Slip(LEGS[:2], Kind.DOUBLE, 100, free_stake=True), {}, {A: 500, B: 500}),
        (Slip(LEGS[:2], Kind.DOUBLE, 100, payout_cap_minor=250), {}, {A: 150, B: 150}),
        # each-way at 4: the win pays 4, the place 1 + 3 / 5
        (Slip(LEGS[2:], Kind.SINGLE, 200, each_way=True), {}, {C: 360}),
        (Slip(LEGS[2:], Kind.SINGLE, 200, each_way=True), {C: Known(LOST)}, {C: 60}),
    ],
)
def test_each_selection_carries_its_lines(
    slip: Slip, known: slip_lines.Facts, costs: dict[tuple[str, str], int]
) -> None:
    assert liabilities(slip, known) == costs


@settings(max_examples=200, deadline=None)
@given(slip=slips(most_legs=6), data=st.data())
def test_liabilities_are_those_of_the_lines(slip: Slip, data: st.DataObject) -> None:
    known = data.draw(facts_of(slip))
    costs = liabilities(slip, known)
    unit = Fraction(slip.stake_minor, lines_in(slip))
    every = list(zip(slip_lines.lines(slip), slip_lines.states(slip, known), strict=True))
    expected = {}
    for number, leg in enumerate(slip.legs):

        def concerned(line: Line, number: int = number) -> bool:
            open_there = slip_lines.result(slip, known, number, line.place) is None
            return number in line.legs and open_there

        sides = (False, True) if slip.each_way else (False,)
        if all(slip_lines.result(slip, known, number, place) is not None for place in sides):
            continue
        staked = unit * sum(concerned(line) and state != "lost" for line, state in every)
        payout = pays(slip, known, won, only=concerned)
        cost = max(0, ceil(payout - (0 if slip.free_stake else staked)))
        expected |= dict.fromkeys(leg.selections, cost)
    assert costs == expected


@given(stake=st.integers(1, 10**9), odds=st.integers(MIN_ODDS, MAX_ODDS))
def test_a_single_is_held_as_the_book_holds_it(stake: int, odds: int) -> None:
    slip = Slip((Leg("f", "f:m", "a", odds),), Kind.SINGLE, stake)
    assert liabilities(slip) == {("f:m", "a"): liability_of(stake, odds)}


@settings(max_examples=100, deadline=None)
@given(slip=slips(most_legs=4), data=st.data())
def test_what_one_line_loses_is_on_each_of_its_legs(slip: Slip, data: st.DataObject) -> None:
    """However the others come out, a slip of one line never costs more than a leg carries."""
    slip = replace(slip, kind=Kind.ACCUMULATOR, folds=(), each_way=False)
    known = data.draw(facts_of(slip))
    staked = 0 if slip.free_stake else slip.stake_minor
    cost = settle(slip, known).paid_minor - staked
    # Starting prices may come out at the longest there is, and prices are never better than taken.
    assert all(cost <= carried for carried in liabilities(slip).values())


@pytest.mark.parametrize(
    ("slip", "rooms", "most", "stake"),
    [
        (Slip(LEGS[:2], Kind.DOUBLE, 1), {A: 500, B: 500}, 1_000, 100),
        (Slip(LEGS[:2], Kind.DOUBLE, 1), {A: 500, B: 499}, 1_000, 99),
        (Slip(LEGS[:2], Kind.DOUBLE, 1), {A: 500, B: 500}, 60, 60),
        (Slip(LEGS[:2], Kind.DOUBLE, 1), {A: 500, B: 0}, 60, 0),
        # a patent costs up to 44 for 7, which are its lines
        (Slip(LEGS, Kind.PATENT, 7), {A: 441, B: 441, C: 441}, 1_000, 70),
        (Slip(LEGS, Kind.PATENT, 7), {A: 441, B: 441, C: 441}, 6, 0),
        # Beyond the cap more stake costs less: all of 250 is paid whatever is staked above 42.
        (Slip(LEGS[:2], Kind.DOUBLE, 1, payout_cap_minor=250), {A: 150, B: 150}, 240, 240),
        (Slip(LEGS[:2], Kind.DOUBLE, 1, payout_cap_minor=250), {A: 150, B: 150}, 99, 30),
        (Slip(LEGS[:2], Kind.DOUBLE, 1, payout_cap_minor=250), {A: 999, B: 999}, 900, 250),
    ],
)
def test_the_largest_stake_there_is_room_for(
    slip: Slip, rooms: dict[tuple[str, str], int], most: int, stake: int
) -> None:
    assert largest_stake(slip, rooms, most) == stake


@settings(max_examples=100, deadline=None)
@given(slip=slips(most_legs=4), most=st.integers(0, 200), data=st.data())
def test_the_largest_stake_is_the_largest(slip: Slip, most: int, data: st.DataObject) -> None:
    slip = replace(
        slip,
        boosted_odds=0,
        free_stake=False,
        legs=tuple(replace(leg, boosted_odds=0) for leg in slip.legs),
    )
    rooms = {
        selection: data.draw(st.integers(0, 2_000))
        for leg in slip.legs
        for selection in leg.selections
    }
    lines = lines_in(slip)
    fits = [0]
    for stake in range(lines, min(most, slip.payout_cap_minor) + 1, lines):
        costs = liabilities(replace(slip, stake_minor=stake))
        if all(max(1, cost) <= rooms[one] for one, cost in costs.items()):
            fits.append(stake)
    assert largest_stake(slip, rooms, most) == fits[-1]
