"""Prices held by hand: whatever feed, traders and time do, no price that is too old is given."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.base import Reason, Refused
from actors.bet import PriceChange
from actors.book import Line
from actors.declaring import WithdrawSelection
from actors.entries import Entry, decode_entries, encode_entries
from actors.fixture import Fixture
from actors.holds import AskRoom, Held, HoldLeg, HoldStake, LookAgain
from actors.market import (
    STALE,
    Exposure,
    GetMarket,
    GetPrice,
    HandPrice,
    Limits,
    Market,
    MarketStatus,
    Selection,
)
from actors.risk.desk import Curve, decide_moves
from actors.terms import MarketTerms
from actors.trading import (
    MAX_HAND_MS,
    ChangePrices,
    ChangeStatus,
    GiveBackPrices,
    HoldPrices,
    MovePrices,
    OpenMarket,
    PricesChanged,
    PricesGivenBack,
    PricesHeld,
    Resume,
    Suspend,
)
from ledger.money import Money

NOW = 1_800_000_000_000
S = 1_000
KIM = "staff/kim"
LIMITS = Limits(max_age_ms=60 * S, max_age_in_play_ms=5 * S)


def fixture() -> Fixture:
    return Fixture(fixture_id="f", name="A - B", seq=7)


def market(**state: Any) -> Market:
    """Priced by its feed now: a at 2.5, b at 3."""
    made = Market(
        **{
            "market_id": "f:m",
            "fixture_id": "f",
            "name": "Winner",
            "currency": "GBP",
            "limits": LIMITS,
            "selections": {"a": Selection("A", 25_000), "b": Selection("B", 30_000)},
            "odds_version": 4,
            "source_sequence": 9,
            "priced_at_ms": NOW,
            **state,
        }
    )
    made.book.known = made.book.whole = True
    return made


def do(command: Any, of: Market, now_ms: int = NOW) -> Any:
    beside = fixture()
    decided = command.decide(now_ms, of, beside)
    events = decided if isinstance(decided, tuple) else (decided,)
    for event in events if not isinstance(events[0], Refused) else ():
        event.apply(of, beside)
    return events[-1]


def hold(odds: dict[str, int], for_s: int = 0) -> HoldPrices:
    return HoldPrices("f", "f:m", odds, KIM, for_s * S)


def back(*names: str) -> GiveBackPrices:
    return GiveBackPrices("f", "f:m", list(names))


def feed(age_s: int = 0, **odds: int) -> ChangePrices:
    return ChangePrices("f", "f:m", odds, age_ms=age_s * S)


def bet(of: Market, name: str, now_ms: int, odds: int = 25_000) -> int | Reason:
    """The price a bet at any price gets, or why none."""
    money = Money(100, "GBP")
    question = HoldStake("f", "f:m", name, "bet", "gb", "p", money, odds, PriceChange.ANY)
    answer = question.answer(now_ms, of, fixture())
    of.book.release("bet")
    return answer.odds if isinstance(answer, Held) else answer.reason


def legs(of: Market, name: str, now_ms: int) -> set[int | Reason]:
    """The same of a leg of a slip: as it is asked for, as it is offered, and under one price with
    others that a trader has agreed to."""
    leg = HoldLeg(
        "f", "f:m", name, "bet", "gb", "p", Money(100, "GBP"), 25_000, PriceChange.ANY, 150
    )
    joined = msgspec.structs.replace(leg, joined=True, agreed_until_ms=now_ms)
    asked: tuple[Any, ...] = (leg, AskRoom("f", "f:m", name, "p", 25_000), joined)
    found = set()
    for question in asked:
        answer = question.answer(now_ms, of, fixture())
        of.book.release("bet")
        found.add(answer.reason if isinstance(answer, Refused) else answer.odds)
    return found


def view(of: Market, now_ms: int) -> Any:
    return GetMarket("f", "f:m").answer(now_ms, of, fixture())


# What is held


def test_the_feed_does_not_move_what_is_held_and_is_remembered() -> None:
    of = market()
    held = do(hold({"a": 20_000}), of)
    assert held == PricesHeld(NOW, "f", "f:m", 8, 5, {"a": 20_000}, KIM, 0)
    said = do(feed(a=26_000, b=31_000), of, NOW + S)
    assert (said.odds, said.behind) == ({"b": 31_000}, {"a": 26_000})
    do(feed(), of, NOW + 2 * S)
    assert (bet(of, "a", NOW + 2 * S), bet(of, "b", NOW + 2 * S)) == (20_000, 31_000)
    shown = view(of, NOW + 2 * S).selections[0]
    assert (shown.odds, shown.hand) == (20_000, HandPrice(26_000, KIM, NOW, 0))
    given = do(back(), of, NOW + 3 * S)
    assert given == PricesGivenBack(NOW + 3 * S, "f", "f:m", 8, 8, {"a": 26_000})
    assert (bet(of, "a", NOW + 3 * S), of.held) == (26_000, {})


def test_a_price_that_the_house_has_moved_comes_back_as_the_feed_said_it() -> None:
    of = market()
    do(MovePrices("f", "f:m", {"a": 23_000}, 4), of)
    do(hold({"a": 20_000}), of)
    do(hold({"a": 19_000}), of)
    assert of.held["a"].feed_odds == 25_000
    do(back("a"), of)
    assert of.selections["a"] == Selection("A", 25_000)


def test_a_held_price_is_not_moved_by_the_house() -> None:
    of = market()
    do(hold({"a": 20_000}), of)
    refused = do(MovePrices("f", "f:m", {"a": 19_000}, 5), of)
    assert (refused.reason, refused.message) == (Reason.WRONG_STATUS, "its price is held by hand")
    full = Line(1, 1_000, LIMITS.max_liability_minor)
    (move,) = decide_moves(Exposure("f:m", True, {"b": full}, 0), view(of, NOW), Curve())
    assert isinstance(move, MovePrices)
    assert move.odds.keys() == {"b"}
    assert move.odds["b"] < 30_000
    assert decide_moves(Exposure("f:m", True, {"a": full}, 0), view(of, NOW), Curve()) == []


# Its age


def test_a_price_by_hand_makes_no_other_one_younger() -> None:
    of = market()
    do(hold({"a": 20_000}), of, NOW + 50 * S)
    assert bet(of, "b", NOW + 60 * S) == 30_000
    for name in "ab":
        assert bet(of, name, NOW + 60 * S + 1) is Reason.PRICE_STALE
    assert view(of, NOW + 61 * S).stale


def test_a_market_with_every_price_held_by_hand_needs_no_feed() -> None:
    of = market()
    do(hold({"a": 20_000, "b": 21_000}), of)
    late = NOW + 3_600 * S
    assert (bet(of, "a", late), view(of, late).stale, view(of, late).by_hand) == (20_000, False, 1)
    # What the feed has behind it is too old, and so is all of the market once one is given back.
    do(back("b"), of, late)
    assert bet(of, "a", late) is bet(of, "b", late) is Reason.PRICE_STALE
    do(feed(b=32_000), of, late)
    assert (bet(of, "a", late), bet(of, "b", late)) == (20_000, 32_000)


def test_what_the_feed_has_no_price_for_does_not_count() -> None:
    of = market()
    do(feed(b=0), of)
    do(hold({"a": 20_000}), of)
    assert bet(of, "a", NOW + 3_600 * S) == 20_000
    do(hold({"a": 0}), of)
    assert bet(of, "a", NOW) is Reason.SELECTION_UNAVAILABLE
    assert view(of, NOW + 61 * S).stale


@pytest.mark.parametrize(
    ("command", "after_s", "expected"),
    [
        (None, 29, 20_000),
        (None, 30, 25_000),
        (None, 61, Reason.PRICE_STALE),
        (feed(a=27_000), 29, 20_000),
        (feed(a=27_000), 30, 27_000),
        (feed(20, b=31_000), 41, Reason.PRICE_STALE),
        (feed(a=0), 30, Reason.SELECTION_UNAVAILABLE),
        (hold({"a": 21_000}, 40), 39, 21_000),
        (hold({"a": 21_000}, 40), 40, 25_000),
    ],
)
def test_when_its_time_is_over_a_bet_is_decided_as_if_it_were_given_back(
    command: Any, after_s: int, expected: int | Reason
) -> None:
    of = market()
    do(hold({"a": 20_000}, 30), of)
    if command:
        do(command, of)
    late = NOW + after_s * S
    assert bet(of, "a", late, 21_000) == expected
    assert legs(of, "a", late) == {expected}
    stale = expected is Reason.PRICE_STALE
    price = GetPrice("f", "f:m", "a").answer(late, of, fixture())
    assert price.odds == (expected if isinstance(expected, int) else 0)
    shown = view(of, late)
    assert shown.stale is stale
    over = after_s >= 30 and not isinstance(command, HoldPrices)
    assert shown.run_out == (("a",) if over or after_s == 40 else ())
    assert (shown.selections[0].hand is None) is bool(shown.run_out)


def test_a_price_that_runs_out_during_the_delay_is_looked_at_again() -> None:
    of = market(in_play=True, bet_delay_ms=3 * S)
    do(hold({"a": 20_000}, 2), of)
    money = Money(100, "GBP")
    first = HoldStake("f", "f:m", "a", "bet", "gb", "p", money, 20_000, PriceChange.NONE)
    assert isinstance(first.answer(NOW, of, fixture()), Held)
    again = LookAgain("f", "f:m", "bet", 20_000, PriceChange.NONE)
    answer = again.answer(NOW + 3 * S, of, fixture())
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.facts["odds"]) == (Reason.PRICE_CHANGED, 25_000)


def test_what_has_run_out_is_written_down_by_the_feed_or_by_the_house() -> None:
    of = market()
    do(hold({"a": 20_000}, 30), of)
    (given,) = decide_moves(Exposure("f:m", True, {}, 0), view(of, NOW + 30 * S), Curve())
    assert given == GiveBackPrices("f", "f:m", ["a"], run_out=True)
    early = given.decide(NOW + 29 * S, of, fixture())
    assert isinstance(early, Refused)
    assert early.reason is Reason.WRONG_STATUS
    said = do(feed(b=31_000), of, NOW + 30 * S)
    assert isinstance(said, PricesChanged)
    assert (said.odds, said.behind, of.held) == ({"a": 25_000, "b": 31_000}, {}, {})
    do(hold({"a": 20_000}, 30), of)
    assert do(given, of, NOW + 30 * S).odds == {"a": 25_000}


def test_the_house_suspends_what_has_become_too_old_beside_what_is_held() -> None:
    of, none = market(), Exposure("f:m", True, {}, 0)
    do(hold({"a": 20_000}), of)
    assert decide_moves(none, view(of, NOW + 61 * S), Curve()) == [Suspend("f", "f:m", STALE)]
    do(Suspend("f", "f:m", STALE), of, NOW + 61 * S)
    do(hold({"b": 20_000}), of, NOW + 62 * S)
    assert decide_moves(none, view(of, NOW + 62 * S), Curve()) == [Resume("f", "f:m", STALE)]


def test_a_runner_that_is_withdrawn_is_held_no_more() -> None:
    of = market(terms=MarketTerms(reduction_factors=True))
    do(hold({"a": 20_000}, 30), of)
    gone = do(WithdrawSelection("f", "f:m", "a"), of, NOW + 31 * S)
    assert (gone.gone.odds, of.held) == (25_000, {})


CLOSED = {"status": MarketStatus.CLOSED}


@pytest.mark.parametrize(
    ("command", "of", "reason"),
    [
        (hold({}), Market(), Reason.UNKNOWN_MARKET),
        (hold({}), market(), Reason.OUT_OF_BOUNDS),
        (hold({"x": 20_000}), market(**CLOSED), Reason.UNKNOWN_SELECTION),
        (hold({"a": 10_000}), market(**CLOSED), Reason.OUT_OF_BOUNDS),
        (hold({"a": 10_000_001}), market(), Reason.OUT_OF_BOUNDS),
        (hold({"a": 0}, MAX_HAND_MS // S + 1), market(**CLOSED), Reason.OUT_OF_BOUNDS),
        (hold({"a": 0}, -1), market(), Reason.OUT_OF_BOUNDS),
        (hold({"a": 0}), market(**CLOSED), Reason.WRONG_STATUS),
        (
            hold({"a": 0}),
            market(selections={"a": Selection("A", withdrawn=True)}),
            Reason.WRONG_STATUS,
        ),
        (back("x"), Market(), Reason.UNKNOWN_MARKET),
        (back("x"), market(), Reason.UNKNOWN_SELECTION),
        (back("a"), market(), Reason.WRONG_STATUS),
        (back(), market(), Reason.WRONG_STATUS),
    ],
)
def test_it_is_refused(command: Any, of: Market, reason: Reason) -> None:
    assert command.decide(NOW, of, fixture()).reason is reason


# Any sequence of it all

NAMES = "abc"
ODDS = st.sampled_from((0, 15_000, 20_000, 25_000, 30_000))
SOME = st.dictionaries(st.sampled_from(NAMES), ODDS, max_size=3)


class Hands(RuleBasedStateMachine):
    """Against a model that goes through all that was ever said, at every moment anew."""

    @initialize(before=st.sampled_from((0, 20 * S)), in_play=st.sampled_from((0, 5 * S)))
    def open(self, before: int, in_play: int) -> None:
        self.now = NOW
        self.market, self.fixture = Market(), Fixture(fixture_id="f", name="A - B")
        self.events: list[Any] = []
        self.said: list[tuple[int, dict[str, int]]] = []
        """By the feed: as of when, and what."""
        self.hands: list[tuple[int, dict[str, int]]] = []
        """By hand: until when (0: without end), and what."""
        self.moved: dict[str, int] = {}
        self.ages = (before, in_play)
        names = {name: name.upper() for name in NAMES}
        limits = Limits(max_age_ms=before, max_age_in_play_ms=in_play)
        self.do(OpenMarket("f", "f:m", "M", "m", "GBP", names, limits))

    def do(self, command: Any) -> Any:
        event = command.decide(self.now, self.market, self.fixture)
        if not isinstance(event, Refused):
            event.apply(self.market, self.fixture)
            self.events.append(event)
        return event

    # The model

    def hand(self, name: str) -> int | None:
        """The price that is held, if one is."""
        for until_ms, odds in reversed(self.hands):
            if name in odds:
                return None if odds[name] < 0 or 0 < until_ms <= self.now else odds[name]
        return None

    def shown(self, name: str) -> int:
        hand = self.hand(name)
        if hand is not None:
            return hand
        feed = next((odds[name] for _, odds in reversed(self.said) if name in odds), 0)
        return self.moved.get(name, feed)

    def expected(self, name: str) -> int | Reason:
        shown = {other: self.shown(other) for other in NAMES}
        if not shown[name]:
            return Reason.SELECTION_UNAVAILABLE
        limit = self.ages[self.market.in_play]
        fresh = not limit or (bool(self.said) and self.now - self.said[-1][0] <= limit)
        by_hand = all(self.hand(other) is not None for other in NAMES if shown[other])
        return shown[name] if fresh or by_hand else Reason.PRICE_STALE

    # What happens

    @rule(ms=st.sampled_from((1, 999, 1 * S, 4 * S, 5 * S, 16 * S, 60 * S)))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(odds=SOME, age_ms=st.sampled_from((0, 0, 1, 3 * S)))
    def the_feed_speaks(self, odds: dict[str, int], age_ms: int) -> None:
        assert isinstance(self.do(ChangePrices("f", "f:m", odds, 0, age_ms)), PricesChanged)
        self.said.append((self.now - age_ms, odds))
        for name in odds:
            self.moved.pop(name, None)

    @rule(odds=SOME.filter(bool), for_ms=st.sampled_from((0, 1 * S, 4 * S, 30 * S)))
    def somebody_holds(self, odds: dict[str, int], for_ms: int) -> None:
        assert isinstance(self.do(HoldPrices("f", "f:m", odds, KIM, for_ms)), PricesHeld)
        self.hands.append((self.now + for_ms if for_ms else 0, odds))
        for name in odds:
            self.moved.pop(name, None)

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True), run_out=st.booleans())
    def somebody_gives_back(self, names: list[str], run_out: bool) -> None:
        event = self.do(GiveBackPrices("f", "f:m", names, run_out))
        held = [name for name in NAMES if self.hand(name) is not None]
        if isinstance(event, Refused):
            given = [] if run_out else [name for name in names or NAMES if name in held]
            assert not given or set(names) - set(held)
            return
        if not run_out:
            self.hands.append((0, dict.fromkeys(event.odds, -1)))

    @rule(name=st.sampled_from(NAMES), odds=st.sampled_from((14_000, 18_000)))
    def the_house_moves(self, name: str, odds: int) -> None:
        shown = self.shown(name)
        event = self.do(MovePrices("f", "f:m", {name: odds}, self.market.odds_version))
        if not isinstance(event, Refused):
            assert self.hand(name) is None
            assert shown
            self.moved[name] = odds

    @rule(in_play=st.booleans())
    def play_begins_or_is_interrupted(self, in_play: bool) -> None:
        self.do(ChangeStatus("f", "f:m", MarketStatus.OPEN, in_play, 0))

    @rule()
    def it_comes_back_from_a_snapshot(self) -> None:
        self.market = msgspec.msgpack.decode(msgspec.msgpack.encode(self.market), type=Market)
        self.market.book.known = True

    @invariant()
    def a_bet_gets_the_price_that_is_right_or_none(self) -> None:
        if not hasattr(self, "market"):
            return
        found = {name: bet(self.market, name, self.now) for name in NAMES}
        assert found == {name: self.expected(name) for name in NAMES}
        of_legs = {name: legs(self.market, name, self.now) for name in NAMES}
        assert of_legs == {name: {price} for name, price in found.items()}
        seen = view(self.market, self.now)
        assert {one.selection_id: one.odds for one in seen.selections} == {
            name: self.shown(name) for name in NAMES
        }

    def teardown(self) -> None:
        """Played back from the journal it is the same market."""
        if not hasattr(self, "market"):
            return
        again, beside = Market(), Fixture(fixture_id="f", name="A - B")
        entries = [Entry("market/f:m", "", b"", NOW, (event,)) for event in self.events]
        for entry in decode_entries(encode_entries(entries)):
            entry.events[0].apply(again, beside)
        assert again == self.market


TestHands = Hands.TestCase
TestHands.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
