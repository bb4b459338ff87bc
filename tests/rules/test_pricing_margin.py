"""Margins: published vectors, hand-made ones, and every model against a naive one by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.odds import MAX_ODDS, MIN_ODDS
from actors.pricing.ladder import whole_odds
from actors.pricing.margin import Margin, Margins, Model, apply, implied, overround, remove
from actors.pricing.ragged import Markets

BOUNDED = (Model.POWER, Model.ODDS_RATIO)


def fair_of(odds: list[int], model: Model, winners: float = 1.0) -> list[float]:
    book = implied(np.array(odds))
    return remove(Markets([len(odds)]), book, model, winners).tolist()


# Known cases


def test_shin_as_its_python_package_publishes_it() -> None:
    # pypi.org/project/shin: odds 2.6, 2.4, 4.3
    assert fair_of([26_000, 24_000, 43_000], Model.SHIN) == pytest.approx(
        [0.37299406033208965, 0.4047794109200184, 0.2222265287474275], abs=1e-11
    )


def test_the_power_model_as_a_forum_of_traders_works_it_out() -> None:
    # Bet Angel's forum, thread 24173: a book of 125 per cent made fair, to about a thousandth.
    fair = fair_of([11_500, 50_000, 100_000, 200_000, 500_000, 1_000_000], Model.POWER)
    told = [1.21, 9.12, 23.63, 61.23, 215.54, 558.47]
    assert [1 / chance for chance in fair] == pytest.approx(told, rel=2e-3)


def test_a_power_of_two_undone_by_hand() -> None:
    # 0.36, 0.25 and 0.39 are fair; their square roots are 0.6, 0.5 and the root of 0.39.
    prices = np.array([0.6, 0.5, math.sqrt(0.39)])
    assert remove(Markets([3]), prices, Model.POWER).tolist() == pytest.approx([0.36, 0.25, 0.39])
    back = apply(Markets([3]), np.array([0.36, 0.25, 0.39]), Model.POWER, prices.sum())
    assert back.tolist() == pytest.approx(prices.tolist())


def test_shin_forward_by_hand() -> None:
    # Two equal runners and z = 0.02: sqrt(0.01 + 0.98 / 4) each, so the book is four times 0.255.
    prices = apply(Markets([2]), np.array([0.5, 0.5]), Model.SHIN, 1.02)
    assert prices.tolist() == pytest.approx([0.51, 0.51])
    # Uneven ones: z = 0.05 at 0.8 and 0.2, by the formula itself.
    roots = [math.sqrt(0.05 * p + 0.95 * p * p) for p in (0.8, 0.2)]
    told = [root * sum(roots) for root in roots]
    prices = apply(Markets([2]), np.array([0.8, 0.2]), Model.SHIN, sum(told))
    assert prices.tolist() == pytest.approx(told)


@given(st.floats(0.02, 0.97), st.floats(0.0, 0.2))
def test_shin_and_additive_are_the_same_for_two_runners(one: float, margin: float) -> None:
    # Clarke, Kovalchik and Ingram (2017) show it.
    other = 1.0 + margin - one
    if not other < 0.98:
        return
    market, prices = Markets([2]), np.array([one, other])
    shin, additive = (remove(market, prices, model) for model in (Model.SHIN, Model.ADDITIVE))
    assert shin.tolist() == pytest.approx(additive.tolist(), abs=1e-9)


@given(st.floats(0.01, 0.98), st.floats(0.01, 0.98))
def test_the_odds_ratio_of_two_runners_has_a_closed_form(one: float, other: float) -> None:
    # The odds of the two fair ones are each other's inverse, so c is the root of the product.
    first, second = one / (1 - one), other / (1 - other)
    c = math.sqrt(first * second)
    fair = remove(Markets([2]), np.array([one, other]), Model.ODDS_RATIO)
    assert fair.tolist() == pytest.approx([first / (first + c), second / (second + c)], abs=1e-9)


def test_multiplicative_and_additive_by_hand() -> None:
    assert fair_of([18_000, 22_500], Model.MULTIPLICATIVE) == pytest.approx([5 / 9, 4 / 9])
    # 1/1.6 + 1/2 = 1.125: a sixteenth off each.
    assert fair_of([16_000, 20_000], Model.ADDITIVE) == pytest.approx([0.5625, 0.4375])


def test_the_additive_model_leaves_nobody_below_nothing() -> None:
    # A third of 0.2 would take a thousand-to-one shot below zero: the others carry its part.
    fair = remove(Markets([3]), np.array([0.6, 0.599, 0.001]), Model.ADDITIVE)
    assert 0.0 < fair[2] < 1e-6
    assert fair[0] - fair[1] == pytest.approx(0.001)
    assert fair.sum() == pytest.approx(1.0)


def test_markets_do_not_touch_each_other() -> None:
    one, two = [26_000, 24_000, 43_000], [19_100, 19_100]
    for model in Model:
        both = remove(Markets([3, 2]), implied(np.array(one + two)), model).tolist()
        assert both == pytest.approx(fair_of(one, model) + fair_of(two, model), abs=1e-12)


def test_two_winners_add_up_to_two() -> None:
    # Double chance of a fair 0.5, 0.3, 0.2 with five per cent on each.
    prices = np.array([0.84, 0.735, 0.525])
    fair = remove(Markets([3]), prices, Model.MULTIPLICATIVE, 2.0)
    assert fair.tolist() == pytest.approx([0.8, 0.7, 0.5])
    assert overround(Markets([3]), prices, 2.0).tolist() == pytest.approx([1.05])


# Every model in both directions


@st.composite
def books(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    """Markets of two to forty runners, with favourites near certainty and shots of 10,000 to 1."""
    sizes = draw(st.lists(st.integers(2, 40), min_size=1, max_size=4))
    fair: list[float] = []
    for size in sizes:
        weights = draw(st.lists(st.floats(0.0, 9.0), min_size=size, max_size=size))
        grown = [math.exp(weight) for weight in weights]
        fair += [weight / sum(grown) for weight in grown]
    return sizes, np.array(fair)


@settings(max_examples=60, deadline=None)
@given(book=books(), margin=st.floats(0.0, 0.3), model=st.sampled_from(Model))
def test_removing_what_was_applied_gives_the_probabilities_back(
    book: tuple[list[int], np.ndarray], margin: float, model: Model
) -> None:
    sizes, fair = book
    markets = Markets(sizes)
    prices = apply(markets, fair, model, 1.0 + margin)
    assert markets.total(prices).tolist() == pytest.approx([1.0 + margin] * len(sizes), abs=1e-9)
    if model in BOUNDED:
        assert prices.max() < 1.0
    back = remove(markets, prices, model)
    assert back.tolist() == pytest.approx(fair.tolist(), rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    odds=st.lists(st.integers(MIN_ODDS, MAX_ODDS), min_size=2, max_size=30),
    model=st.sampled_from(Model),
)
def test_applying_what_was_removed_gives_the_odds_back(odds: list[int], model: Model) -> None:
    # Whatever the book was: far above one, or in the players' favour.
    markets, prices = Markets([len(odds)]), implied(np.array(odds))
    book = overround(markets, prices)
    fair = remove(markets, prices, model)
    assert markets.total(fair).tolist() == pytest.approx([1.0], abs=1e-9)
    if fair.min() < 2e-7 or fair.max() > 1.0 - 1e-9:
        return  # the additive model's floor, and certainty: their prices are not to be had back
    back = whole_odds(apply(markets, fair, model, book))
    assert np.all(np.abs(back - np.array(odds)) <= 1 + np.array(odds) // 10**6)


def bisected(rising: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


def naive(prices: list[float], model: Model) -> list[float]:
    """One market, in plain Python, by halving."""
    book = sum(prices)
    if model is Model.MULTIPLICATIVE:
        return [price / book for price in prices]
    if model is Model.ADDITIVE:
        return [price - (book - 1) / len(prices) for price in prices]
    if model is Model.POWER:
        k = bisected(lambda k: 1 - sum(price**k for price in prices), 0.0, 1e4)
        return [price**k for price in prices]
    if model is Model.ODDS_RATIO:
        odds = [price / (1 - price) for price in prices]
        c = bisected(lambda c: 1 - sum(each / (each + c) for each in odds), 1e-9, 1e9)
        return [each / (each + c) for each in odds]

    def without(z: float) -> list[float]:
        # As it stands in the papers.
        return [
            (math.sqrt(z * z + 4 * (1 - z) * price * price / book) - z) / (2 * (1 - z))
            for price in prices
        ]

    return without(bisected(lambda z: 1 - sum(without(z)), 0.0, 0.999999))


@settings(max_examples=60, deadline=None)
@given(
    prices=st.lists(st.floats(0.02, 0.9), min_size=2, max_size=8),
    model=st.sampled_from(Model),
)
def test_each_model_is_the_naive_one(prices: list[float], model: Model) -> None:
    book = sum(prices)
    if model is Model.SHIN and not 1.0 < book < 1.6:
        return
    expected = naive(prices, model)
    if min(expected) < 1e-6 or not math.isclose(sum(expected), 1.0, abs_tol=1e-6):
        return
    fair = remove(Markets([len(prices)]), np.array(prices), model)
    assert fair.tolist() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("model", Model)
def test_very_many_runners_and_very_long_prices(model: Model) -> None:
    markets = Markets([1_000, 2])
    fair = np.concatenate([np.full(1_000, 0.001), [0.999_999, 0.000_001]])
    prices = apply(markets, fair, model, 1.2)
    # So near to certainty a float says no more than this of what is left.
    back = remove(markets, prices, model)
    assert back.tolist() == pytest.approx(fair.tolist(), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("model", [Model.POWER, Model.SHIN, Model.ODDS_RATIO])
def test_longshots_carry_more_of_the_margin(model: Model) -> None:
    # The favourite-longshot bias: what the multiplicative model has not.
    fair = np.array([0.7, 0.25, 0.05])
    loaded = apply(Markets([3]), fair, model, 1.1) / fair
    assert loaded[0] < loaded[1] < loaded[2]


# What is refused


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan])
def test_what_is_no_probability_is_an_error(model: Model, bad: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        remove(Markets([2]), np.array([0.6, bad]), model)
    with pytest.raises(ValueError, match="probability"):
        apply(Markets([2]), np.array([0.6, bad]), model, 1.05)


@pytest.mark.parametrize("model", BOUNDED)
def test_certainty_is_an_error_where_it_can_not_be_moved(model: Model) -> None:
    with pytest.raises(ValueError, match="below 1"):
        remove(Markets([2]), np.array([1.0, 0.1]), model)
    with pytest.raises(ValueError, match="add up"):
        apply(Markets([2]), np.array([0.5, 0.5]), model, 2.0)


def test_markets_that_can_not_be_are_errors() -> None:
    with pytest.raises(ValueError, match="two selections"):
        Markets([3, 1])
    with pytest.raises(ValueError, match="as run"):
        remove(Markets([2]), np.array([0.6, 0.5]), Model.POWER, 2.0)
    with pytest.raises(ValueError, match="one winner"):
        remove(Markets([3]), np.array([0.9, 0.8, 0.5]), Model.SHIN, 2.0)
    with pytest.raises(ValueError, match="one winner"):
        apply(Markets([3]), np.array([0.8, 0.7, 0.5]), Model.SHIN, 1.05, 2.0)
    with pytest.raises(ValueError, match="2 values"):
        remove(Markets([3]), np.array([0.6, 0.5]), Model.POWER)


@pytest.mark.parametrize("odds", [0, 10_000, MAX_ODDS + 1])
def test_what_is_no_price_implies_nothing(odds: int) -> None:
    with pytest.raises(ValueError, match="odds are from"):
        implied(np.array([20_000, odds]))


# Configuration


def test_the_most_specific_margin_holds() -> None:
    usual, sport, own = (Margin(Model.POWER, overround) for overround in (10_600, 10_500, 10_400))
    margins = Margins(usual, {"football": sport}, {"football/total": own})
    assert margins.of("football", "total") is own
    assert margins.of("football", "odd_even") is sport
    assert margins.of("tennis", "total") is usual


@pytest.mark.parametrize("overround", [0, 4_999, 20_000])
def test_a_margin_out_of_reason_is_an_error(overround: int) -> None:
    with pytest.raises(ValueError, match="overround"):
        Margin(Model.POWER, overround)
    with pytest.raises(ValueError, match="no price"):
        Margin(Model.POWER, 10_500, MAX_ODDS + 1)
