"""The ladder on arrays is that of single odds; and prices move along a liability curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.odds import MAX_ODDS, MIN_ODDS, ONE, SHORTEST_STEP, down_to_ladder
from actors.pricing.ladder import STEPS, Rounding, step_of, to_ladder, whole_odds
from actors.pricing.shift import Curve, shift


def test_the_ladder_has_every_step_once() -> None:
    # The published increments: 99 steps to 2, then 50, 20, 20, 20, 20, 10, 10, 10 and 90.
    steps = STEPS.tolist()
    assert len(steps) == 1 + 99 + 50 + 20 + 20 + 20 + 20 + 10 + 10 + 10 + 90
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (SHORTEST_STEP, MAX_ODDS)
    assert all(down_to_ladder(step) == step for step in steps)


@given(st.lists(st.integers(0, MAX_ODDS + 50_000), min_size=1, max_size=200))
def test_down_is_exactly_the_ladder_of_single_odds(odds: list[int]) -> None:
    assert to_ladder(np.array(odds)).tolist() == [down_to_ladder(one) for one in odds]


def test_down_agrees_at_every_step_and_beside_it() -> None:
    near = np.concatenate([STEPS - 1, STEPS, STEPS + 1])
    assert to_ladder(near).tolist() == [down_to_ladder(one) for one in near.tolist()]


@given(st.integers(SHORTEST_STEP, MAX_ODDS))
def test_nearest_is_a_step_that_none_is_nearer_than(odds: int) -> None:
    nearest = int(to_ladder(np.array([odds]), Rounding.NEAREST)[0])
    steps = STEPS.tolist()
    assert nearest in steps
    assert abs(nearest - odds) == min(abs(step - odds) for step in steps)


@pytest.mark.parametrize(
    ("odds", "step"), [(19_950, 19_900), (19_951, 20_000), (30_250, 30_000), (30_251, 30_500)]
)
def test_the_middle_goes_to_the_shorter_price(odds: int, step: int) -> None:
    assert to_ladder(np.array([odds]), Rounding.NEAREST).tolist() == [step]


def test_steps_are_counted_from_the_bottom() -> None:
    assert step_of(np.array([0, 10_100, 10_199, 10_200, 20_000, 20_200, MAX_ODDS])).tolist() == [
        0, 0, 0, 1, 99, 100, 349,
    ]  # fmt: skip


@given(st.lists(st.integers(MIN_ODDS, MAX_ODDS), min_size=1, max_size=100))
def test_odds_come_back_whole_from_their_probabilities(odds: list[int]) -> None:
    whole = np.array(odds)
    assert whole_odds(ONE / whole).tolist() == odds
    # and from what floats make of them on the way
    assert whole_odds(1.0 - (1.0 - ONE / whole)).tolist() == pytest.approx(odds, abs=1)


@given(st.floats(1e-9, 2.0))
def test_the_rest_of_odds_is_dropped(implied: float) -> None:
    odds = int(whole_odds(np.array([implied]))[0])
    assert odds == pytest.approx(min(ONE / implied, MAX_ODDS), abs=1.0)
    assert odds <= ONE / implied * (1 + 2e-9)


# Liability

CURVE = Curve(((-0.5, -0.1), (0.2, 0.0), (0.6, 0.1), (1.0, 0.4)))


@pytest.mark.parametrize(
    ("share", "move"),
    [(-1.0, -0.1), (-0.5, -0.1), (0.2, 0.0), (0.4, 0.05), (0.6, 0.1), (0.8, 0.25), (1.0, 0.4)],
)
def test_the_curve_is_straight_between_its_points(share: float, move: float) -> None:
    moved = float(shift(np.array([0.3]), np.array([share]), CURVE)[0])
    assert np.log(moved / (1 - moved)) == pytest.approx(np.log(0.3 / 0.7) + move)


def test_the_moves_that_are_told() -> None:
    steep = Curve(((0.0, 0.0), (1.0, 0.2)))
    moved = shift(np.array([0.5, 0.01]), np.array([1.0, 1.0]), steep)
    assert moved.tolist() == pytest.approx([0.55, 0.0122], abs=2e-4)


@given(
    chances=st.tuples(st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6)),
    shares=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
)
def test_more_liability_never_makes_a_price_longer(
    chances: tuple[float, float], shares: tuple[float, float]
) -> None:
    low, high = (np.array([share]) for share in sorted(shares))
    less, more = (np.array([chance]) for chance in sorted(chances))
    assert 0.0 < shift(less, low, CURVE)[0] <= shift(less, high, CURVE)[0] < 1.0
    assert shift(less, low, CURVE)[0] <= shift(more, low, CURVE)[0]


@pytest.mark.parametrize(
    "points",
    [(), ((0.5, 0.0), (0.5, 0.1)), ((0.0, 0.1), (1.0, 0.0)), ((0.0, 0.0), (1.1, 0.1)), ((0, 6.0),)],
)
def test_a_curve_that_makes_no_sense_is_an_error(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"curve|longer|move"):
        Curve(points)
