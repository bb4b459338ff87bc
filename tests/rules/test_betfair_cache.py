"""The cache of the exchange's markets against an exchange that keeps everything plainly."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feeds.betfair.cache import MarketBook, RunnerBook
from gateway.feeds.betfair.messages import MarketChange, RunnerChange
from tests.gateway.exchange import BY_LEVEL, BY_PRICE, VALUES, apply, image

_decode = msgspec.json.Decoder(MarketChange).decode

_price = st.sampled_from([1.01, 1.5, 2, 2.02, 8.8, 10, 1000])
_size = st.sampled_from([0, 0, 0.01, 2, 13002.5])
_by_price = st.lists(st.tuples(_price, _size), max_size=4)
_by_level = st.lists(st.tuples(st.integers(0, 3), _price, _size), max_size=4)
_value = st.sampled_from([0, 1.01, 8.8, 1000, "NaN", "Infinity"])
_runner = st.fixed_dictionaries(
    {"id": st.integers(1, 3)},
    optional={
        "hc": st.sampled_from([-1.5, 0, 0.5]),
        **dict.fromkeys(BY_PRICE, _by_price),
        **dict.fromkeys(BY_LEVEL, _by_level),
        **dict.fromkeys(VALUES, _value),
    },
)
_change = st.fixed_dictionaries(
    {"id": st.just("1.1")},
    optional={
        "rc": st.lists(_runner, max_size=4),
        "tv": st.sampled_from([0, 12.5]),
        "img": st.sampled_from([False, False, True]),
        "con": st.booleans(),
    },
)


def heard(*changes: dict) -> MarketBook:
    book = MarketBook()
    for change in changes:
        book.hear(_decode(json.dumps(change)))
    return book


@given(st.lists(_change, max_size=12))
@settings(max_examples=150)
def test_all_changes_together_are_the_image_of_what_the_exchange_has(changes):
    state: dict[str, dict] = {}
    for change in changes:
        apply(state, change)
    book = heard(*changes)
    from_image = heard(*(image(market_id, market) for market_id, market in state.items()))
    assert book.image() == from_image.image()
    assert book.conflated == (bool(changes) and changes[-1].get("con", False))


@given(st.lists(_change, min_size=1, max_size=8))
@settings(max_examples=60)
def test_a_change_heard_twice_in_a_row_is_heard_once(changes):
    twice = [change for change in changes for _ in range(2)]
    assert heard(*twice).image() == heard(*changes).image()


@given(_change, st.lists(_change, max_size=5))
@settings(max_examples=60)
def test_an_image_forgets_all_that_was_before(last, before):
    last = last | {"img": True}
    assert heard(*before, last).image() == heard(last).image()


@pytest.mark.parametrize("kind", BY_PRICE)
def test_a_size_of_nothing_removes_a_price(kind):
    first = {"id": "1.1", "rc": [{"id": 1, kind: [[2.5, 10], [3, 5]]}]}
    second = {"id": "1.1", "rc": [{"id": 1, kind: [[2.5, 0], [4, 1]]}]}
    assert heard(first, second).image()["1"] == {
        kind: [(Decimal(3), Decimal(5)), (Decimal(4), Decimal(1))]
    }


@pytest.mark.parametrize("kind", BY_LEVEL)
def test_a_level_is_replaced_and_a_size_of_nothing_removes_it(kind):
    first = {"id": "1.1", "rc": [{"id": 1, kind: [[0, 2.5, 10], [1, 2.4, 5], [2, 2.3, 1]]}]}
    second = {"id": "1.1", "rc": [{"id": 1, kind: [[0, 2.6, 7], [2, 0, 0]]}]}
    assert heard(first, second).image()["1"] == {
        kind: [
            (Decimal(0), Decimal("2.6"), Decimal(7)),
            (Decimal(1), Decimal("2.4"), Decimal(5)),
        ]
    }


def test_a_runner_whose_ladder_was_seen_once_is_never_priced_by_its_last_trade():
    first = {"id": "1.1", "rc": [{"id": 1, "atb": [[2.5, 10]], "ltp": 9}, {"id": 2, "ltp": 9}]}
    second = {"id": "1.1", "img": True, "rc": [{"id": 1, "ltp": 9}, {"id": 2, "ltp": 9}]}
    book = heard(first, second)
    assert book.runners["1"].price() == 0
    assert book.runners["2"].price() == 9


@pytest.mark.parametrize(
    ("said", "crossed"),
    [
        ({"atb": [[2.5, 10]], "atl": [[2.52, 10]]}, False),
        ({"atb": [[2.52, 10]], "atl": [[2.52, 10]]}, True),
        ({"atb": [[2.5, 1], [3, 1]], "atl": [[2.6, 1], [4, 1]]}, True),
        ({"batb": [[0, 2.5, 1]], "batl": [[0, 2.4, 1]]}, True),
        ({"batb": [[0, 2.5, 1]], "batl": [[0, 2.6, 1]]}, False),
        ({"bdatb": [[0, 2.5, 1]], "bdatl": [[0, 2.4, 1]]}, False),  # virtual bets may cross
        ({"atb": [[2.5, 10]]}, False),
        ({"atb": [[2.5, 10]], "atl": []}, False),
    ],
)
def test_a_price_to_back_at_or_above_one_to_lay_is_a_contradiction(said, crossed):
    runner = RunnerBook()
    runner.hear(msgspec.convert({"id": 1} | said, RunnerChange, strict=False))
    assert runner.is_crossed() == crossed
