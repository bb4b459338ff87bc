"""Quarter lines, finishing positions, and what withdrawals take off a price."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.odds import MAX_ODDS, MIN_ODDS
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.slips.deductions import Rule4, Withdrawal, after_deduction, after_reductions
from actors.slips.outcomes import finished, handicap, over, same_game, under

HALF_WON = Result(Outcome.HALF_WON)
HALF_LOST = Result(Outcome.HALF_LOST)


@pytest.mark.parametrize(
    ("own", "other", "line", "result"),
    [
        (0, 0, 0, VOID),
        (1, 0, 0, WON),
        (0, 1, 0, LOST),
        (0, 0, -1, HALF_LOST),  # -0.25
        (1, 0, -1, WON),
        (0, 0, 1, HALF_WON),  # +0.25
        (0, 1, 1, LOST),
        (0, 0, -2, LOST),  # -0.5
        (1, 0, -2, WON),
        (1, 0, -3, HALF_WON),  # -0.75
        (0, 0, -3, LOST),
        (2, 0, -3, WON),
        (0, 1, 3, HALF_LOST),  # +0.75
        (1, 0, -4, VOID),  # -1
        (1, 0, -5, HALF_LOST),  # -1.25
        (2, 0, -5, WON),
        (31, 24, -28, VOID),  # -7 in American football
    ],
)
def test_an_asian_handicap(own: int, other: int, line: int, result: Result) -> None:
    assert handicap(own, other, line) == result


@pytest.mark.parametrize(
    ("scored", "line", "result_over", "result_under"),
    [
        (2, 10, LOST, WON),  # 2.5
        (3, 10, WON, LOST),
        (2, 8, VOID, VOID),  # 2
        (2, 9, HALF_LOST, HALF_WON),  # 2.25
        (3, 9, WON, LOST),
        (3, 11, HALF_WON, HALF_LOST),  # 2.75
        (2, 11, LOST, WON),
    ],
)
def test_an_asian_total(scored: int, line: int, result_over: Result, result_under: Result) -> None:
    assert (over(scored, line), under(scored, line)) == (result_over, result_under)


UNITS = {WON: 2, HALF_WON: 1, VOID: 0, HALF_LOST: -1, LOST: -2}


@given(own=st.integers(0, 200), other=st.integers(0, 200), line=st.integers(-400, 400))
def test_a_quarter_line_is_half_a_bet_on_each_neighbour(own: int, other: int, line: int) -> None:
    assert UNITS[handicap(own, other, line)] == -UNITS[handicap(other, own, -line)]
    if line % 2:
        below, above = handicap(own, other, line - 1), handicap(own, other, line + 1)
        assert {below, above} <= {WON, VOID, LOST}
        assert 2 * UNITS[handicap(own, other, line)] == UNITS[below] + UNITS[above]


@pytest.mark.parametrize(
    ("position", "tied", "places", "result"),
    [
        (1, 1, 1, WON),
        (2, 1, 1, LOST),
        (1, 2, 1, Result(Outcome.WON, 2, 1)),
        (1, 2, 3, WON),
        (3, 2, 3, Result(Outcome.WON, 2, 1)),
        (2, 3, 3, Result(Outcome.WON, 3, 2)),
        (4, 1, 3, LOST),
        (4, 5, 3, LOST),
    ],
)
def test_a_finishing_position(position: int, tied: int, places: int, result: Result) -> None:
    assert finished(position, tied, places) == result


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_position_that_there_is_not(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at position"):
        finished(*wrong)


@given(first=st.integers(1, 5), tied=st.integers(1, 6), places=st.integers(1, 6))
def test_places_are_paid_once_each(first: int, tied: int, places: int) -> None:
    """Runners before the tie have a place each, and those in it share what is left."""
    result = finished(first, tied, places)
    each = Fraction(result.places, result.tied) if result.outcome is Outcome.WON else 0
    assert min(first - 1, places) + each * tied == min(places, first - 1 + tied)


@pytest.mark.parametrize(
    ("results", "together"),
    [
        ([WON, WON], WON),
        ([WON, None], None),
        ([LOST, None], LOST),
        ([VOID, None], None),
        ([VOID, WON], VOID),
        ([VOID, LOST], LOST),
        ([HALF_WON, WON], VOID),
        ([Result(Outcome.WON, 2, 1), WON], VOID),
        ([Result(Outcome.WON, 2, 2), WON], WON),
    ],
)
def test_selections_under_one_price(results: list[Result | None], together: Result | None) -> None:
    assert same_game(results) == together


# Tattersalls' scale, fractional: what it says at both ends of each band
SCALE = [
    ("1/20", 90), ("1/9", 90), ("2/17", 85), ("2/11", 85), ("1/5", 80), ("1/4", 80), ("2/7", 75),
    ("3/10", 75), ("1/3", 70), ("2/5", 70), ("4/9", 65), ("8/15", 65), ("4/7", 60), ("8/13", 60),
    ("4/6", 55), ("4/5", 55), ("5/6", 50), ("20/21", 50), ("1/1", 45), ("6/5", 45), ("5/4", 40),
    ("6/4", 40), ("13/8", 35), ("7/4", 35), ("15/8", 30), ("9/4", 30), ("5/2", 25), ("3/1", 25),
    ("10/3", 20), ("4/1", 20), ("9/2", 15), ("11/2", 15), ("6/1", 10), ("9/1", 10), ("10/1", 5),
    ("14/1", 5), ("16/1", 0), ("100/1", 0),
]  # fmt: skip


@pytest.mark.parametrize(("fractional", "pence"), SCALE)
def test_rule_4_by_the_withdrawn_price(fractional: str, pence: int) -> None:
    exact = 10_000 * (1 + Fraction(fractional))
    # 2/11 is 1.1818...: prices come rounded either way
    assert Rule4().pence(exact.__floor__()) == pence
    assert Rule4().pence(exact.__ceil__()) == pence


@given(st.integers(MIN_ODDS, MAX_ODDS), st.integers(MIN_ODDS, MAX_ODDS))
def test_a_shorter_price_is_never_deducted_less(one: int, other: int) -> None:
    assert Rule4().pence(min(one, other)) >= Rule4().pence(max(one, other))


def gone(*withdrawn: tuple[int, int]) -> list[Withdrawal]:
    return [Withdrawal(at, odds) for at, odds in withdrawn]


@pytest.mark.parametrize(
    ("rule", "withdrawals", "deduction"),
    [
        (Rule4(), gone(), 0),
        (Rule4(), gone((2, 40_000)), 2_500),
        (Rule4(), gone((1, 40_000)), 0),  # withdrawn when the price was taken: it is in the price
        (Rule4(), gone((1, 11_000), (2, 40_000)), 2_500),
        (Rule4(), gone((2, 40_000), (3, 20_000)), 7_000),
        (Rule4(), gone((2, 20_000), (3, 11_000)), 9_000),  # 45p and 90p
        (Rule4(cap_pence=75), gone((2, 20_000), (3, 11_000)), 7_500),
        (Rule4(), gone((2, 150_000)), 500),
        (Rule4(waive_5p=True), gone((2, 150_000)), 0),
        (Rule4(waive_5p=True), gone((2, 150_000), (3, 150_000)), 1_000),
        (Rule4(waive_5p=True), gone((2, 100_000)), 1_000),
        (Rule4(bands=((20_000, 30),)), gone((2, 20_001)), 0),
    ],
)
def test_several_withdrawals_add_up_to_a_cap(
    rule: Rule4, withdrawals: list[Withdrawal], deduction: int
) -> None:
    assert rule.deduction(withdrawals, priced_at=1) == deduction


@pytest.mark.parametrize(
    "table",
    [
        {"bands": ((20_000, 30), (20_000, 20))},
        {"bands": ((20_000, 30), (15_000, 20))},
        {"bands": ((20_000, 100),)},
        {"bands": ((20_000, 0),)},
        {"cap_pence": 100},
        {"cap_pence": -1},
    ],
)
def test_a_table_that_cannot_be_is_an_error(table: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rise|leaves"):
        Rule4(**table)  # type: ignore[arg-type]


prices = st.integers(MIN_ODDS, MAX_ODDS)
shares = st.integers(0, 9_999)


@given(prices, shares)
def test_a_deduction_takes_a_share_of_the_winnings(odds: int, share: int) -> None:
    price = Fraction(odds, 10_000)
    left = Fraction(*after_deduction((odds, 10_000), share))
    assert left - 1 == (price - 1) * (1 - Fraction(share, 10_000))


@given(prices, st.lists(shares, max_size=4))
def test_reductions_take_shares_of_the_price_down_to_the_bottom(
    odds: int, reductions: list[int]
) -> None:
    price = exact = Fraction(odds, 10_000)
    for reduction in reductions:
        exact -= exact * Fraction(reduction, 10_000)
    left = Fraction(*after_reductions((odds, 10_000), reductions))
    assert left == max(exact, min(price, Fraction(101, 100)))
