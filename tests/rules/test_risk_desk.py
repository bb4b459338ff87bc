"""Prices that move with liability, and suspensions at a hard limit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Refused
from actors.bet import PriceChange
from actors.book import Line
from actors.fixture import Fixture
from actors.holds import HoldStake
from actors.market import GetExposure, GetMarket, Limits, Market, MarketStatus
from actors.odds import MAX_ODDS, ONE, SHORTEST_STEP, down_to_ladder
from actors.risk.desk import Curve, decide_moves, moved_prices
from actors.trading import ChangePrices, MovePrices, OpenMarket, Resume, Suspend
from ledger.money import Money

NOW = 1_800_000_000_000
CURVE = Curve(((5_000, 0), (10_000, 500)), suspend_at=9_000, resume_below=7_000)


@pytest.mark.parametrize(
    ("share", "shift"),
    [(0, 0), (4_999, 0), (5_000, 0), (7_500, 250), (7_501, 250), (10_000, 500), (99_999, 500)],
)
def test_a_curve_is_straight_between_its_points(share: int, shift: int) -> None:
    assert CURVE.shift(share) == shift


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": ((5_000, 0), (5_000, 1))},
        {"points": ((5_000, 2), (6_000, 1))},
        {"points": ((5_000, ONE),)},
        {"points": ((-1, 0),)},
        {"suspend_at": 5_000, "resume_below": 5_001},
    ],
)
def test_a_curve_that_does_not_rise_is_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"rise|resumed"):
        Curve(**wrong)


@pytest.mark.parametrize(
    ("odds", "shifts", "moved"),
    [
        # 50 % and 50 %, five points more for a: 55 of 105, so 1.909, and 50 of 105, so 2.1
        ({"a": 20_000, "b": 20_000}, {"a": 500, "b": 0}, {"a": 19_000, "b": 21_000}),
        ({"a": 20_000, "b": 20_000}, {"a": 500, "b": 500}, {"a": 20_000, "b": 20_000}),
        ({"a": 19_530, "b": 20_130}, {"a": 0, "b": 0}, {"a": 19_530, "b": 20_130}),
        # b lengthens by less than a step, and is not on the ladder: it stays
        ({"a": 19_000, "b": 60_100}, {"a": 10, "b": 0}, {"a": 18_900, "b": 60_100}),
        ({"a": 10_100, "b": 200_000}, {"a": 900, "b": 0}, {"a": 10_100, "b": 210_000}),
    ],
)
def test_moved_prices(odds: dict[str, int], shifts: dict[str, int], moved: Any) -> None:
    assert moved_prices(odds, shifts) == moved


def test_selections_that_stand_for_themselves_move_alone() -> None:
    odds = {"a": 20_000, "b": 20_000}
    assert moved_prices(odds, {"a": 500, "b": 0}, normal=False) == {"a": 18_100, "b": 20_000}


prices = st.lists(st.integers(11_500, 1_000_000), min_size=2, max_size=12)


def margin(odds: dict[str, int]) -> Fraction:
    return sum((Fraction(ONE, price) for price in odds.values()), Fraction(0))


@settings(deadline=None)
@given(prices, st.lists(st.integers(0, 1_000), min_size=12, max_size=12), st.booleans())
def test_the_margin_stays_or_rises_by_the_rounding(
    given_odds: list[int], shifts: list[int], normal: bool
) -> None:
    odds = {str(number): price for number, price in enumerate(given_odds)}
    by = dict(zip(odds, shifts, strict=False))
    moved = moved_prices(odds, by, normal=normal)
    assert moved.keys() == odds.keys()
    assert all(SHORTEST_STEP <= price <= MAX_ODDS for price in moved.values())
    if min(moved.values()) > SHORTEST_STEP:
        assert margin(moved) > margin(odds) - Fraction(1, 10**9)
    if not any(by.values()):
        assert moved == odds
    for name, price in moved.items():
        assert price in (odds[name], down_to_ladder(price))
        if not by[name] and normal:
            assert price >= down_to_ladder(odds[name])  # the others lengthen
        if not normal:
            assert price <= odds[name]


@settings(deadline=None)
@given(prices, st.integers(1, 1_000), st.data())
def test_who_has_taken_most_room_is_shortened_and_nobody_else(
    given_odds: list[int], shift: int, data: Any
) -> None:
    odds = {str(number): price for number, price in enumerate(given_odds)}
    who = data.draw(st.sampled_from(sorted(odds)))
    moved = moved_prices(odds, {name: shift if name == who else 0 for name in odds})
    assert moved[who] <= odds[who]
    assert all(moved[name] >= down_to_ladder(odds[name]) for name in odds if name != who)


# With a market


def opened(**limits: int) -> tuple[Market, Fixture]:
    fixture, market = Fixture(fixture_id="f"), Market()
    names = {name: name.upper() for name in "abc"}
    rules = Limits(**({"max_liability_minor": 10_000} | limits))
    do(OpenMarket("f", "f:m", "M", "m", "GBP", names, rules), market, fixture)
    do(ChangePrices("f", "f:m", dict.fromkeys(names, 29_000)), market, fixture)
    return market, fixture


def do(command: Any, *actors: Any, now_ms: int = NOW) -> None:
    event = command.decide(now_ms, *actors)
    assert not isinstance(event, Refused), event
    event.apply(*actors)


def decide(market: Market, fixture: Fixture, curve: Curve = CURVE, now_ms: int = NOW) -> Any:
    exposure = GetExposure("f:m").answer(now_ms, market, fixture)
    view = GetMarket("f", "f:m").answer(now_ms, market, fixture)
    assert not isinstance(exposure, Refused)
    assert not isinstance(view, Refused)
    return decide_moves(exposure, view, curve)


def test_liability_moves_prices_once_and_they_come_back_when_it_goes() -> None:
    market, fixture = opened()
    assert decide(market, fixture) == []
    money = Money(4_000, "GBP")
    hold = HoldStake("f", "f:m", "a", "b1", "gb", "p", money, 29_000, PriceChange.NONE)
    hold.answer(NOW, market, fixture)
    (move,) = decide(market, fixture)  # 76 % of its room
    assert move == MovePrices("f", "f:m", {"a": 27_600, "b": 29_600, "c": 29_600}, 1)
    do(move, market, fixture)
    assert decide(market, fixture) == []
    market.book.release("b1")
    (back,) = decide(market, fixture)
    assert back.odds == dict.fromkeys("abc", 29_000)
    do(back, market, fixture)
    assert decide(market, fixture) == []


def test_the_feed_s_next_price_is_moved_again() -> None:
    market, fixture = opened()
    market.book.lines["a"] = Line(1, 4_000, 7_600)
    do(decide(market, fixture)[0], market, fixture)
    do(ChangePrices("f", "f:m", {"a": 25_000}), market, fixture)
    (move,) = decide(market, fixture)
    assert move.odds["a"] < 25_000
    assert move.odds_version == 3


@pytest.mark.parametrize(
    ("liability", "causes", "wanted"),
    [
        (8_999, {}, None),
        (9_000, {}, Suspend),
        (9_000, {"liability": 1}, None),
        (7_000, {"liability": 1}, None),
        (6_999, {"liability": 1}, Resume),
        (6_999, {}, None),
    ],
)
def test_a_market_is_suspended_at_a_hard_limit(
    liability: int, causes: dict[str, int], wanted: Any
) -> None:
    market, fixture = opened()
    market.book.lines["b"] = Line(1, 0, liability)
    market.causes = causes
    market.status = MarketStatus.SUSPENDED if causes else MarketStatus.OPEN
    found = [one for one in decide(market, fixture) if not isinstance(one, MovePrices)]
    assert found == ([wanted("f", "f:m", "liability")] if wanted else [])


def test_the_whole_market_s_limit_suspends_it_too() -> None:
    market, fixture = opened(max_market_liability_minor=5_000)
    market.book.lines["b"] = Line(1, 0, 4_500)
    assert Suspend("f", "f:m", "liability") in decide(market, fixture)


def test_prices_that_are_too_old_suspend_and_new_ones_resume() -> None:
    market, fixture = opened(max_age_ms=1_000)
    assert decide(market, fixture, now_ms=NOW + 1_000) == []
    (stale,) = decide(market, fixture, now_ms=NOW + 1_001)
    assert stale == Suspend("f", "f:m", "stale")
    do(stale, market, fixture)
    assert decide(market, fixture, now_ms=NOW + 1_001) == []
    do(ChangePrices("f", "f:m", {}), market, fixture, now_ms=NOW + 2_000)
    assert decide(market, fixture, now_ms=NOW + 2_000) == [Resume("f", "f:m", "stale")]


def test_nothing_is_decided_about_what_is_not_known_or_over() -> None:
    market, fixture = opened()
    market.book.lines["a"] = Line(1, 0, 9_500)
    assert decide(market, fixture)
    market.status = MarketStatus.CLOSED
    assert decide(market, fixture) == []
    market.status, market.book.known = MarketStatus.OPEN, False
    assert decide(market, fixture) == []


def test_withdrawn_selections_and_those_without_a_price_are_not_moved() -> None:
    market, fixture = opened()
    market.book.lines["a"] = Line(1, 0, 8_000)
    market.selections["b"].withdrawn = True
    market.selections["c"] = msgspec.structs.replace(market.selections["c"], odds=0)
    assert decide(market, fixture) == []  # a alone has the whole probability that there is
