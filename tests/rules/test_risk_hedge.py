"""What to lay off: the worst case comes under the target, with the least stakes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Refused
from actors.book import Line
from actors.declaring import WithdrawSelection
from actors.fixture import Fixture
from actors.hedging import RecordHedge, wins_of
from actors.market import Exposure, GetExposure, GetMarket, Market, MarketView
from actors.risk.hedge import LayOff, Proposal, Quote, propose
from actors.trading import OpenMarket

NOW = 1_800_000_000_000
PLENTY = 10**9


def opened(lines: dict[str, tuple[int, int]], winners: int = 1) -> tuple[Market, Fixture]:
    """A market with liabilities and kept stakes, and a selection on which nobody has bet."""
    fixture, market = Fixture(fixture_id="f"), Market()
    names = {name: name.upper() for name in [*lines, "z"]}
    opening = OpenMarket("f", "f:m", "M", "m", "GBP", names, winners=winners)
    opening.decide(NOW, market, fixture).apply(market, fixture)
    market.book.rebase(
        {}, {name: Line(1, stakes, liability) for name, (liability, stakes) in lines.items()}
    )
    return market, fixture


def seen(market: Market, fixture: Fixture) -> tuple[Exposure, MarketView]:
    exposure = GetExposure("f:m").answer(NOW, market, fixture)
    view = GetMarket("f", "f:m").answer(NOW, market, fixture)
    assert not isinstance(exposure, Refused)
    assert not isinstance(view, Refused)
    return exposure, view


def made(market: Market, fixture: Fixture, proposal: Proposal) -> int:
    """The worst case when the orders are recorded."""
    for number, order in enumerate(proposal.orders):
        command = RecordHedge(
            "f",
            "f:m",
            f"{number}",
            order.selection_id,
            order.stake_minor,
            order.odds,
            order.commission,
            "bogus",
            "r",
        )
        command.decide(NOW, market, fixture).apply(market, fixture)
    return market.book.worst_minor


def test_one_selection_is_laid_off() -> None:
    market, fixture = opened({"a": (10_000, 5_000), "b": (1_000, 2_000)})
    exposure, view = seen(market, fixture)
    quotes = [Quote("a", 30_000, PLENTY), Quote("a", 20_000, PLENTY)]
    proposal = propose(exposure, view, quotes, 4_000)
    # a loses 8,000: each unit on it at 3.0 wins 2. Where b wins the house has 4,000 to give away.
    assert proposal == Proposal((LayOff("a", 2_000, 30_000, 0),), 8_000, 4_000)
    assert made(market, fixture, proposal) == 4_000


def test_a_hedge_that_hurts_elsewhere_is_hedged_too() -> None:
    market, fixture = opened({"a": (10_000, 0), "b": (9_000, 0)})
    exposure, view = seen(market, fixture)
    quotes = [Quote(name, 40_000, PLENTY) for name in "ab"]
    proposal = propose(exposure, view, quotes, 6_000)
    stakes = {order.selection_id: order.stake_minor for order in proposal.orders}
    # With H on both: a 10,000 - 4h + H, b 9,000 - 4h + H, both 6,000: H = 3,500, a 1,875, b 1,625.
    assert abs(stakes["a"] - 1_875) <= 3
    assert abs(stakes["b"] - 1_625) <= 3
    assert made(market, fixture, proposal) == proposal.after_minor <= 6_000


@pytest.mark.parametrize(
    ("quotes", "target", "least"),
    [
        ([], 0, 10_000),
        ([Quote("b", 30_000, PLENTY)], 0, 10_000),  # of no help
        ([Quote("a", 30_000, 1_000)], 0, 8_000),  # not enough of it
        ([Quote("a", 30_000, 1_000, 1_000)], 0, 8_200),  # less commission
        ([Quote("a", 30_000, PLENTY)], 0, 3_334),  # then the others lose as much
        ([Quote("a", 30_000, PLENTY)], 10_000, 10_000),
    ],
)
def test_what_can_be_reached(quotes: list[Quote], target: int, least: int) -> None:
    exposure, view = seen(*opened({"a": (10_000, 0), "b": (0, 0)}))
    proposal = propose(exposure, view, quotes, target)
    assert proposal.before_minor == 10_000
    assert least <= proposal.after_minor <= least + 6


@pytest.mark.parametrize("winners", [0, 2])
def test_nothing_is_proposed_where_several_win(winners: int) -> None:
    exposure, view = seen(*opened({"a": (10_000, 0), "b": (0, 0)}, winners))
    assert propose(exposure, view, [Quote("a", 30_000, PLENTY)], 0).orders == ()


def test_a_withdrawn_selection_needs_no_hedge() -> None:
    market, fixture = opened({"a": (10_000, 0), "b": (3_000, 500)})
    withdraw = WithdrawSelection("f", "f:m", "a").decide(NOW, market, fixture)
    assert not isinstance(withdraw, Refused)
    withdraw.apply(market, fixture)
    exposure, view = seen(market, fixture)
    proposal = propose(exposure, view, [Quote("a", 30_000, PLENTY)], 0)
    assert (proposal.orders, proposal.before_minor) == ((), 3_000)


amounts = st.tuples(st.integers(0, 100_000), st.integers(0, 60_000))
offers = st.tuples(
    st.integers(10_500, 200_000), st.sampled_from([0, 50, 5_000, PLENTY]), st.integers(0, 1_000)
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(amounts, min_size=1, max_size=5),
    st.lists(offers, min_size=5, max_size=5),
    st.integers(0, 60_000),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_what_is_proposed_is_what_comes_of_it(
    lines: list[Any], prices: list[Any], target: int, quoted: list[bool]
) -> None:
    market, fixture = opened(dict(zip("abcde", lines, strict=False)))
    exposure, view = seen(market, fixture)
    quotes = [
        Quote(name, odds, size, commission)
        for name, (odds, size, commission), has in zip("abcde", prices, quoted, strict=True)
        if has
    ]
    sizes = {quote.selection_id: quote.size_minor for quote in quotes}
    proposal = propose(exposure, view, quotes, target)
    assert proposal.before_minor == exposure.worst_minor
    assert all(0 < order.stake_minor <= sizes[order.selection_id] for order in proposal.orders)
    assert made(market, fixture, proposal) == proposal.after_minor <= proposal.before_minor


@settings(deadline=None, max_examples=100)
@given(
    st.integers(20_000, 100_000),
    st.integers(0, 60_000),
    st.integers(12_000, 100_000),
    st.integers(0, 19_000),
)
def test_no_smaller_stake_would_do(liability: int, kept: int, odds: int, target: int) -> None:
    """Where one selection has a price, against what any other stake on it comes to."""
    exposure, view = seen(*opened({"a": (liability, 0), "b": (0, kept)}))
    proposal = propose(exposure, view, [Quote("a", odds, PLENTY)], target)
    stake = sum(order.stake_minor for order in proposal.orders)

    def worst(stake: int) -> int:
        # If b wins the stakes on it go back, and the hedge is lost.
        return max(0, liability - kept - wins_of(stake, odds, 0), stake)

    # Losing on a falls with the stake and losing on b rises: the best is where they meet.
    low, high = 0, liability
    while low < high:
        middle = (low + high) // 2
        if liability - kept - wins_of(middle, odds, 0) > middle:
            low = middle + 1
        else:
            high = middle
    rounding = 2 + 20_000 // (odds - 10_000)  # how much stake it takes to win a unit more
    assert proposal.after_minor == worst(stake) <= max(target, worst(low)) + rounding
    smaller = stake - rounding
    assert smaller <= 0 or worst(smaller) > proposal.after_minor - rounding
    assert smaller <= 0 or worst(smaller) > target
