"""How many lines each kind of bet has, and which legs it fits."""

from __future__ import annotations

from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.slips.kinds import Kind, folds_of, lines_of
from actors.slips.sums import sum_over_lines, sums_by_leg


@pytest.mark.parametrize(
    ("kind", "legs", "chosen", "folds", "lines"),
    [
        # SPORTSBOOK.md, "Bets"
        (Kind.SINGLE, 1, (), (1,), 1),
        (Kind.TRIXIE, 3, (), (2, 3), 4),
        (Kind.PATENT, 3, (), (1, 2, 3), 7),
        (Kind.YANKEE, 4, (), (2, 3, 4), 11),
        (Kind.LUCKY_15, 4, (), (1, 2, 3, 4), 15),
        (Kind.CANADIAN, 5, (), (2, 3, 4, 5), 26),
        (Kind.LUCKY_31, 5, (), (1, 2, 3, 4, 5), 31),
        (Kind.HEINZ, 6, (), (2, 3, 4, 5, 6), 57),
        (Kind.LUCKY_63, 6, (), (1, 2, 3, 4, 5, 6), 63),
        (Kind.SUPER_HEINZ, 7, (), (2, 3, 4, 5, 6, 7), 120),
        (Kind.GOLIATH, 8, (), (2, 3, 4, 5, 6, 7, 8), 247),
        # the others
        (Kind.SINGLE, 5, (), (1,), 5),
        (Kind.DOUBLE, 2, (), (2,), 1),
        (Kind.DOUBLE, 4, (), (2,), 6),
        (Kind.TREBLE, 5, (), (3,), 10),
        (Kind.ACCUMULATOR, 63, (), (63,), 1),
        (Kind.SYSTEM, 5, (3,), (3,), 10),
        (Kind.SYSTEM, 6, (2, 4), (2, 4), 30),
        (Kind.SYSTEM, 20, tuple(range(1, 21)), tuple(range(1, 21)), 2**20 - 1),
    ],
)
def test_a_kind_has_its_folds_and_lines(
    kind: Kind, legs: int, chosen: tuple[int, ...], folds: tuple[int, ...], lines: int
) -> None:
    assert folds_of(kind, legs, chosen) == folds
    assert lines_of(folds, legs) == lines


@pytest.mark.parametrize(
    ("kind", "legs", "chosen"),
    [
        (Kind.SINGLE, 0, ()),
        (Kind.DOUBLE, 1, ()),
        (Kind.TREBLE, 2, ()),
        (Kind.ACCUMULATOR, 0, ()),
        (Kind.TRIXIE, 2, ()),
        (Kind.TRIXIE, 4, ()),
        (Kind.GOLIATH, 7, ()),
        (Kind.YANKEE, 4, (2,)),  # nothing to choose
        (Kind.SYSTEM, 4, ()),
        (Kind.SYSTEM, 4, (0, 1)),
        (Kind.SYSTEM, 4, (5,)),
        (Kind.SYSTEM, 4, (3, 2)),
        (Kind.SYSTEM, 4, (2, 2)),
    ],
)
def test_a_kind_that_does_not_fit_has_no_folds(
    kind: Kind, legs: int, chosen: tuple[int, ...]
) -> None:
    assert folds_of(kind, legs, chosen) == ()


@given(
    factors=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=7),
    data=st.data(),
)
def test_sums_over_lines_are_those_of_the_lines(
    factors: list[tuple[int, int]], data: st.DataObject
) -> None:
    folds = sorted(data.draw(st.sets(st.integers(1, len(factors)), min_size=1)))
    total, by_leg = 0, [0] * len(factors)
    for fold in folds:
        for line in combinations(range(len(factors)), fold):
            value = prod(
                num if number in line else den for number, (num, den) in enumerate(factors)
            )
            total += value
            for number in line:
                by_leg[number] += value
    assert sum_over_lines(factors, folds) == total
    assert sums_by_leg(factors, folds) == by_leg
