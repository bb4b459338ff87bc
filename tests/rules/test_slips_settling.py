"""What a slip pays: published vectors as tables, and every sum against lines written out."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.odds import MAX_ODDS, MIN_ODDS
from actors.results import LOST, VOID, WON, Outcome, Result, payout_minor
from actors.slips.kinds import Kind
from actors.slips.settling import Known, Settlement, State, potential_minor, settle
from actors.slips.slip import EachWay, Leg, Slip, lines_in, refuse
from ledger.money import MAX_MINOR
from tests.rules import slip_lines
from tests.rules.slip_lines import Facts, facts_of, half_up, pays, slips, won

HALF_WON = Result(Outcome.HALF_WON)
HALF_LOST = Result(Outcome.HALF_LOST)


def slip_of(
    odds: list[int], kind: Kind = Kind.ACCUMULATOR, stake: int = 1_000, **more: object
) -> Slip:
    """Legs on fixtures f0, f1 and so on, at those prices."""
    legs = tuple(
        Leg(f"f{number}", f"f{number}:m", "a", price, each_way=EachWay(3, 5))
        for number, price in enumerate(odds)
    )
    return Slip(legs, kind, stake, **more)  # type: ignore[arg-type]


def facts(*known: Known | Result | None) -> Facts:
    """What is known of each leg in turn."""
    return {
        (f"f{number}:m", "a"): fact if isinstance(fact, Known) else Known(fact)
        for number, fact in enumerate(known)
        if fact is not None
    }


# Vectors of SPORTSBOOK.md, in pence. The first three are bodog.eu's quarter-ball page at a stake of
# 10: 157.575, 114.60 and 11.9375; the page rounds them in different ways, here a half goes up once.
QUARTER_BALL = [20_000, 22_000, 19_100, 25_000]


@pytest.mark.parametrize(
    ("slip", "known", "paid"),
    [
        (slip_of(QUARTER_BALL), facts(HALF_WON, WON, WON, WON), 15_758),
        (slip_of(QUARTER_BALL), facts(HALF_WON, HALF_WON, WON, WON), 11_460),
        (slip_of(QUARTER_BALL), facts(HALF_LOST, HALF_LOST, WON, WON), 1_194),
        # Rule 4: 10 at 8/1 with 25p returns 70; 10 at 2.25 with 80p returns 12.50
        (slip_of([90_000], Kind.SINGLE), facts(Known(WON, deduction=2_500)), 7_000),
        (slip_of([22_500], Kind.SINGLE), facts(Known(WON, deduction=8_000)), 1_250),
        # a dead heat divides the stake, and the divided stake is paid at full odds
        (slip_of([90_000], Kind.SINGLE), facts(Result(Outcome.WON, 2, 1)), 4_500),
        (slip_of([90_000, 20_000]), facts(Result(Outcome.WON, 2, 1), WON), 9_000),
        # each-way: 5 on the win at 11, 5 on the place at 1 + 10 / 5 = 3
        (slip_of([110_000], Kind.SINGLE, each_way=True), facts(Known(WON, WON)), 7_000),
        (slip_of([110_000], Kind.SINGLE, each_way=True), facts(Known(LOST, WON)), 1_500),
        (slip_of([110_000], Kind.SINGLE, each_way=True), facts(Known(LOST, LOST)), 0),
        (
            slip_of([110_000], Kind.SINGLE, each_way=True),
            facts(Known(LOST, Result(Outcome.WON, 2, 1))),
            750,
        ),
        # each-way double: win to win, place to place
        (
            slip_of([110_000, 60_000], each_way=True),
            facts(Known(WON, WON), Known(LOST, WON)),
            3_000,
        ),
        # an exchange's reduction factors come off the whole price: 8.0 less 25% is 6.0, and less
        # another 10% is 5.4; nothing goes below 1.01
        (slip_of([80_000], Kind.SINGLE), facts(Known(WON, reductions=(2_500,))), 6_000),
        (slip_of([80_000], Kind.SINGLE), facts(Known(WON, reductions=(2_500, 1_000))), 5_400),
        (slip_of([12_000], Kind.SINGLE), facts(Known(WON, reductions=(5_000,))), 1_010),
        (slip_of([10_050], Kind.SINGLE), facts(Known(WON, reductions=(5_000,))), 1_005),
        # starting price, and a result that waits for it
        (slip_of([0], Kind.SINGLE), facts(Known(WON, starting_odds=55_000)), 5_500),
        (slip_of([0], Kind.SINGLE), facts(Known(WON)), 0),
        # free stakes: what is won, and of a dead heat or half win only what is won on that part
        (slip_of([30_000], Kind.SINGLE, free_stake=True), facts(WON), 2_000),
        (slip_of([30_000], Kind.SINGLE, free_stake=True), facts(VOID), 0),
        (slip_of([30_000], Kind.SINGLE, free_stake=True), facts(HALF_WON), 1_000),
        (slip_of([30_000], Kind.SINGLE, free_stake=True), facts(HALF_LOST), 0),
        (slip_of([30_000], Kind.SINGLE, free_stake=True), facts(Result(Outcome.WON, 2, 1)), 1_000),
        (slip_of([30_000, 20_000], free_stake=True), facts(WON, VOID), 2_000),
        # a boost of the whole holds only while every leg wins in full at its own price
        (slip_of([20_000, 20_000], boosted_odds=50_000), facts(WON, WON), 5_000),
        (slip_of([20_000, 20_000], boosted_odds=50_000), facts(WON, VOID), 2_000),
        (
            slip_of([20_000, 20_000], boosted_odds=50_000),
            facts(WON, Known(WON, deduction=500)),
            3_900,
        ),
        (
            slip_of([20_000, 20_000], boosted_odds=50_000, boost_cap_minor=300),
            facts(WON, WON),
            4_300,
        ),
        # the cap is on the whole payout, and a refund is below it
        (slip_of([90_000], Kind.SINGLE, payout_cap_minor=2_000), facts(WON), 2_000),
        (slip_of([90_000], Kind.SINGLE, payout_cap_minor=2_000), facts(VOID), 1_000),
        # one rounding: two singles of 1.3334 on a penny each are 2.6668, not 1 and 1
        (slip_of([13_334, 13_334], Kind.SINGLE, stake=2), facts(WON, WON), 3),
    ],
)
def test_a_slip_pays(slip: Slip, known: Facts, paid: int) -> None:
    assert refuse(slip) is None
    assert settle(slip, known).paid_minor == paid


def test_a_patent_pays_as_its_legs_become_known() -> None:
    """Facts page: unit 1, won at 2, void at 3, open at 4: paid so far 5, most possible 29."""
    patent = slip_of([20_000, 30_000, 40_000], Kind.PATENT, 700)
    steps = [
        (facts(), Settlement(State.OPEN, 0, 5_900, 7, 0, 7)),
        (facts(WON), Settlement(State.OPEN, 200, 5_900, 7, 1, 6)),
        (facts(WON, VOID), Settlement(State.OPEN, 500, 2_900, 7, 3, 4)),
        (facts(WON, VOID, WON), Settlement(State.WON, 2_900, 2_900, 7, 7, 0)),
        # corrected: it lost after all
        (facts(WON, VOID, LOST), Settlement(State.PARTLY_WON, 500, 500, 7, 3, 0)),
    ]
    for known, settlement in steps:
        assert settle(patent, known) == settlement
    assert potential_minor(patent) == 5_900


@pytest.mark.parametrize(
    ("slip", "known", "state"),
    [
        (slip_of([20_000, 20_000]), facts(LOST, None), State.LOST),  # whatever the other does
        (slip_of([20_000, 20_000]), facts(WON, None), State.OPEN),
        (slip_of([20_000, 20_000]), facts(VOID, VOID), State.VOID),
        (slip_of([20_000, 20_000]), facts(VOID, WON), State.WON),
        (slip_of([20_000], Kind.SINGLE), facts(HALF_LOST), State.HALF_LOST),
        (slip_of([20_000], Kind.SINGLE), facts(Known(withdrawn=True)), State.VOID),
        (slip_of([20_000], Kind.SINGLE, each_way=True), facts(Known(LOST)), State.OPEN),
        (slip_of([20_000], Kind.SINGLE, each_way=True), facts(Known(LOST, WON)), State.PARTLY_WON),
        (slip_of([20_000, 20_000, 20_000], Kind.TRIXIE, 400), facts(LOST, None, LOST), State.LOST),
        (slip_of([20_000, 20_000, 20_000], Kind.TRIXIE, 400), facts(LOST, WON), State.OPEN),
        (slip_of([0], Kind.SINGLE), facts(LOST), State.LOST),  # needs no starting price
    ],
)
def test_the_state_of_a_slip(slip: Slip, known: Facts, state: State) -> None:
    assert settle(slip, known).state is state


def test_a_withdrawn_runner_loses_ante_post_and_nothing_is_deducted_there() -> None:
    leg = Leg("f0", "f0:m", "a", 90_000, ante_post=True)
    slip = Slip((leg,), Kind.SINGLE, 1_000)
    assert settle(slip, facts(Known(withdrawn=True))).state is State.LOST
    assert settle(slip, facts(Known(WON, deduction=2_500))).paid_minor == 9_000
    # the market was abandoned: that is a refund as anywhere
    assert settle(slip, facts(VOID)).paid_minor == 1_000


@pytest.mark.parametrize(
    ("first", "second", "state", "paid"),
    [
        (WON, WON, State.WON, 7_500),
        (WON, None, State.OPEN, 0),
        (LOST, None, State.LOST, 0),
        (VOID, None, State.OPEN, 0),
        (VOID, WON, State.VOID, 1_000),
        (VOID, LOST, State.LOST, 0),
        (WON, HALF_WON, State.VOID, 1_000),
    ],
)
def test_a_same_game_multiple_has_one_price(
    first: Result, second: Result | None, state: State, paid: int
) -> None:
    leg = Leg("f", "f:m", "a", 75_000, joined=(("f:goals", "over"),))
    slip = Slip((leg,), Kind.SINGLE, 1_000)
    known = {("f:m", "a"): Known(first), ("f:goals", "over"): Known(second)}
    settlement = settle(slip, known)
    assert (settlement.state, settlement.paid_minor) == (state, paid)


# Against lines written out


@settings(max_examples=300, deadline=None)  # the model writes out some 500 lines, each-way twice
@given(st.data())
def test_a_slip_pays_what_its_lines_do(data: st.DataObject) -> None:
    slip = data.draw(slips())
    known = data.draw(facts_of(slip))
    assert refuse(slip) is None
    assert lines_in(slip) == len(slip_lines.lines(slip))
    settlement = settle(slip, known)
    assert settlement.paid_minor == half_up(pays(slip, known, won, states=("paid",)))
    assert settlement.most_minor == half_up(pays(slip, known, won))
    states = slip_lines.states(slip, known)
    assert settlement.lines_paid == states.count("paid")
    assert settlement.lines_open == states.count("open")
    assert (settlement.state is State.OPEN) == ("open" in states)


@settings(max_examples=200)
@given(st.data())
def test_payments_only_grow_and_the_most_only_falls_as_legs_become_known(
    data: st.DataObject,
) -> None:
    # A starting price may come out longer or shorter than assumed, so those are left out here; and
    # withdrawals are known from the start, because a later one shortens prices that have been paid.
    slip = data.draw(slips(starting_prices=False))
    final = data.draw(facts_of(slip))
    known = {
        selection: Known(deduction=fact.deduction, reductions=fact.reductions)
        for selection, fact in final.items()
    }
    before = settle(slip, known)
    for selection in data.draw(st.permutations(sorted(final))):
        known[selection] = final[selection]
        after = settle(slip, known)
        assert before.paid_minor <= after.paid_minor <= after.most_minor <= before.most_minor
        before = after
    if before.state is not State.OPEN:
        assert before.paid_minor == before.most_minor


@given(
    stake=st.integers(1, MAX_MINOR),
    odds=st.integers(MIN_ODDS, MAX_ODDS),
    result=slip_lines.results(),
)
def test_a_slip_of_one_leg_is_the_single_there_was_before(
    stake: int, odds: int, result: Result
) -> None:
    settlement = settle(slip_of([odds], Kind.SINGLE, stake), facts(result))
    assert settlement.paid_minor == min(payout_minor(stake, odds, result), MAX_MINOR)
    assert settlement.state == result.outcome.value


@settings(max_examples=100)
@given(slip=slips(), data=st.data())
def test_the_order_of_legs_does_not_matter(slip: Slip, data: st.DataObject) -> None:
    known = data.draw(facts_of(slip))
    turned = replace(slip, legs=tuple(data.draw(st.permutations(slip.legs))))
    assert settle(turned, known) == settle(slip, known)


@settings(max_examples=100)
@given(slip=slips(), data=st.data())
def test_boosts_and_free_stakes_move_the_payout_one_way(slip: Slip, data: st.DataObject) -> None:
    known = data.draw(facts_of(slip))
    plain = replace(
        slip,
        boosted_odds=0,
        free_stake=False,
        legs=tuple(replace(leg, boosted_odds=0) for leg in slip.legs),
    )
    boosted = replace(slip, free_stake=False)
    free = replace(slip, free_stake=True)
    least = settle(plain, known).paid_minor
    most = settle(boosted, known).paid_minor
    assert least <= most <= least + slip.boost_cap_minor + 1
    assert settle(free, known).paid_minor <= most


def test_a_slip_at_every_bound_settles_exactly() -> None:
    legs = slip_of([MAX_ODDS] * 63)
    assert potential_minor(legs) == MAX_MINOR
    won_and_lost = settle(legs, facts(*[WON] * 62, LOST))
    assert (won_and_lost.state, won_and_lost.paid_minor) == (State.LOST, 0)
    voids = settle(legs, facts(*[VOID] * 62, Known(WON)))
    assert voids.paid_minor == 1_000_000
    short = slip_of([MIN_ODDS] * 63, stake=10**9)
    exact = 10**9 * Fraction(MIN_ODDS, 10_000) ** 63
    assert settle(short, facts(*[WON] * 63)).paid_minor == half_up(exact)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Known(starting_odds=10_000),
        lambda: Known(starting_odds=MAX_ODDS + 1),
        lambda: Known(deduction=10_000),
        lambda: Known(deduction=-1),
        lambda: Known(reductions=(0, 10_000)),
        lambda: Known(reductions=(1,) * 101),
    ],
)
def test_facts_that_cannot_be_are_errors(broken: object) -> None:
    with pytest.raises(ValueError, match=r"starting price|withdrawal"):
        broken()  # type: ignore[operator]
