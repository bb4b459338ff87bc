"""What a bet pays: tables of known cases, and every payout against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import LOST, VOID, WON, Outcome, Result, payout_minor

HALF_WON = Result(Outcome.HALF_WON)
HALF_LOST = Result(Outcome.HALF_LOST)


def dead_heat(tied: int, places: int) -> Result:
    return Result(Outcome.WON, tied, places)


@pytest.mark.parametrize(
    ("stake", "odds", "result", "payout"),
    [
        # the five outcomes
        (1_000, 25_000, WON, 2_500),
        (1_000, 25_000, HALF_WON, 1_750),
        (1_000, 25_000, VOID, 1_000),
        (1_000, 25_000, HALF_LOST, 500),
        (1_000, 25_000, LOST, 0),
        # a half penny goes to the player, less than a half to the house
        (1, 15_000, WON, 2),
        (1, 14_999, WON, 1),
        (333, 15_000, WON, 500),
        (333, 14_999, WON, 499),
        (1, 25_000, HALF_LOST, 1),
        (333, 20_000, HALF_LOST, 167),
        (1, 20_000, HALF_WON, 2),
        (1, 19_999, HALF_WON, 1),
        # dead heats: the stake is divided, the divided stake is paid at full odds
        (1_000, 90_000, dead_heat(2, 1), 4_500),
        (1_000, 90_000, dead_heat(3, 2), 6_000),
        (1_000, 30_000, dead_heat(3, 1), 1_000),
        (1_000, 25_000, dead_heat(3, 1), 833),
        (1_000, 15_000, dead_heat(2, 1), 750),
        (100, 20_000, dead_heat(3, 1), 67),
        # the shortest and the longest price
        (10_000, MIN_ODDS, WON, 10_001),
        (1, MIN_ODDS, WON, 1),
        (1, MAX_ODDS, WON, 1_000),
        # legs of the published vectors (stake 10.00 at 2.0, 2.2, 1.91, 2.5), each as a single
        (1_000, 20_000, HALF_WON, 1_500),
        (1_000, 22_000, WON, 2_200),
        (1_000, 19_100, WON, 1_910),
        (1_000, 22_000, HALF_WON, 1_600),
        (1_000, 19_100, HALF_LOST, 500),
        # a patent's singles, unit 1 each: one won at 2, one void at 3
        (100, 20_000, WON, 200),
        (100, 30_000, VOID, 100),
    ],
)
def test_a_single_pays(stake: int, odds: int, result: Result, payout: int) -> None:
    assert payout_minor(stake, odds, result) == payout


@st.composite
def results(draw: st.DrawFn) -> Result:
    outcome = draw(st.sampled_from(Outcome))
    if outcome is not Outcome.WON:
        return Result(outcome)
    tied = draw(st.integers(1, 1_000))
    return Result(outcome, tied, draw(st.integers(1, tied)))


def exact(stake: int, odds: int, result: Result) -> Fraction:
    price = Fraction(odds, ONE)
    return (
        stake
        * {
            Outcome.WON: price * Fraction(result.places, result.tied),
            Outcome.HALF_WON: (price + 1) / 2,
            Outcome.VOID: Fraction(1),
            Outcome.HALF_LOST: Fraction(1, 2),
            Outcome.LOST: Fraction(0),
        }[result.outcome]
    )


@given(stake=st.integers(1, 10**12), odds=st.integers(MIN_ODDS, MAX_ODDS), result=results())
def test_a_payout_is_the_exact_amount_rounded_once_half_up(
    stake: int, odds: int, result: Result
) -> None:
    payout = payout_minor(stake, odds, result)
    assert -Fraction(1, 2) < payout - exact(stake, odds, result) <= Fraction(1, 2)


@given(stake=st.integers(1, 10**9), odds=st.integers(MIN_ODDS, MAX_ODDS), result=results())
def test_a_payout_never_exceeds_that_of_a_full_win(stake: int, odds: int, result: Result) -> None:
    assert 0 <= payout_minor(stake, odds, result) <= payout_minor(stake, odds, WON)


@pytest.mark.parametrize(
    ("outcome", "tied", "places"),
    [
        (Outcome.WON, 1, 2),  # more places than winners
        (Outcome.WON, 0, 0),
        (Outcome.WON, 2, 0),
        (Outcome.WON, 1_001, 1),
        (Outcome.LOST, 2, 1),  # only a winner can be in a dead heat
        (Outcome.VOID, 2, 1),
        (Outcome.HALF_WON, 3, 1),
    ],
)
def test_a_result_that_cannot_be_is_an_error(outcome: Outcome, tied: int, places: int) -> None:
    with pytest.raises(ValueError, match=r"cannot tie|dead heat"):
        Result(outcome, tied, places)
