"""Odds as whole ten-thousandths: the price ladder and the text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.odds import MAX_ODDS, MIN_ODDS, ONE, down_to_ladder, text


@pytest.mark.parametrize(
    ("odds", "step"),
    [
        # Betfair's increments: up to 2 by 0.01, to 3 by 0.02, to 4 by 0.05, and so on
        (10_100, 10_100),
        (10_199, 10_100),
        (19_999, 19_900),
        (20_000, 20_000),
        (20_100, 20_000),
        (20_200, 20_200),
        (30_000, 30_000),
        (30_499, 30_000),
        (30_500, 30_500),
        (40_999, 40_000),
        (41_000, 41_000),
        (61_999, 60_000),
        (62_000, 62_000),
        (104_999, 100_000),
        (105_000, 105_000),
        (209_999, 200_000),
        (210_000, 210_000),
        (319_999, 300_000),
        (320_000, 320_000),
        (549_999, 500_000),
        (550_000, 550_000),
        (1_099_999, 1_000_000),
        (1_100_000, 1_100_000),
        (9_999_999, 9_900_000),
        (MAX_ODDS, MAX_ODDS),
        # outside the ladder: its ends
        (MIN_ODDS, 10_100),
        (0, 10_100),
        (MAX_ODDS + 1, MAX_ODDS),
    ],
)
def test_a_price_comes_down_to_the_ladder(odds: int, step: int) -> None:
    assert down_to_ladder(odds) == step


@given(st.integers(10_100, MAX_ODDS))
def test_the_ladder_is_never_above_the_price_and_stays_where_it_is(odds: int) -> None:
    step = down_to_ladder(odds)
    assert step <= odds
    assert down_to_ladder(step) == step


@pytest.mark.parametrize(
    ("odds", "shown"),
    [
        (25_000, "2.5"),
        (19_100, "1.91"),
        (20_000, "2"),
        (100_000, "10"),
        (10_001, "1.0001"),
        (MAX_ODDS, "1000"),
    ],
)
def test_odds_read_as_decimal_prices(odds: int, shown: str) -> None:
    assert text(odds) == shown


@given(st.integers(MIN_ODDS, MAX_ODDS))
def test_the_text_says_exactly_the_odds(odds: int) -> None:
    assert Decimal(text(odds)) * ONE == odds
