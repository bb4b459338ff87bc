"""The terms of a market: what is opened, what withdrawals take off, and what follows for bets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.bet import Bet, BetSettled, BetState, Leg, PriceChange, SettleBet, Settling
from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import Fixture
from actors.holds import Held, HoldLeg, HoldStake, HoldWatched
from actors.market import WITHDRAWAL, GetMarket, GetPrice, Market, MarketStatus
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.slips import slip as slips
from actors.slips.deductions import Rule4, Withdrawal
from actors.slips.kinds import Kind
from actors.slips.settling import ASSUMED_STARTING_ODDS, Known, settle
from actors.slips.slip import MAX_DIVISOR, EachWay, Slip
from actors.terms import NO_TERMS, Gone, MarketTerms, Off, taken_off
from actors.trading import (
    ChangePrices,
    ChangeStatus,
    GiveBackPrices,
    HoldPrices,
    MovePrices,
    OpenMarket,
    Resume,
    Suspend,
)
from actors.wallet import Wallet
from ledger.money import Money

NOW = 1_800_000_000_000
RULE_4 = MarketTerms(rule_4=Rule4())
PLACES = MarketTerms(places=2, divisor=4)
FACTORS = MarketTerms(reduction_factors=True)
PRICES = {"a": 80_000, "b": 22_500, "c": 40_000, "d": 50_000}
OPEN = (MarketStatus.OPEN, set[str]())
FOR_IT = (MarketStatus.SUSPENDED, {WITHDRAWAL})


class Race:
    """A market with four runners, at 8.0, 2.25, 4.0 and 5.0."""

    def __init__(self, terms: MarketTerms = NO_TERMS) -> None:
        self.market, self.fixture, self.now = Market(), Fixture("f", name="2.30", seq=1), NOW
        names = {of: of.upper() for of in "abcd"}
        self.do(OpenMarket("f", "f:m", "Winner", "win", "GBP", names, terms=terms))
        self.price(**PRICES)

    def do(self, command: Any) -> Any:
        decided = command.decide(self.now, self.market, self.fixture)
        events = decided if isinstance(decided, tuple) else (decided,)
        for event in events if not isinstance(events[0], Refused) else ():
            assert event.seq == self.fixture.seq + 1
            event.apply(self.market, self.fixture)
        return events[-1]

    def price(self, **odds: int) -> Any:
        return self.do(ChangePrices("f", "f:m", odds))

    def withdraw(self, of: str, **more: Any) -> Any:
        return self.do(WithdrawSelection("f", "f:m", of, **more))

    def declare(self, results: dict[str, Result] | None = None, **more: Any) -> Any:
        return self.do(DeclareResult("f", "f:m", results or {}, **more))

    def hold(
        self, odds: int, of: str = "a", policy: PriceChange = PriceChange.NONE, **more: Any
    ) -> Any:
        question = HoldStake(
            "f", "f:m", of, "b", "gb", "p", Money(100, "GBP"), odds, policy, **more
        )
        return question.answer(self.now, self.market, self.fixture)

    def open_by_hand(self) -> Any:
        return self.do(ChangeStatus("f", "f:m", MarketStatus.OPEN, False, 0, by_hand=True))

    @property
    def status(self) -> tuple[MarketStatus, set[str]]:
        return self.market.status, set(self.market.causes)


# What withdrawals take off

withdrawals = st.lists(
    st.tuples(st.integers(0, 20), st.just(0) | st.integers(MIN_ODDS, MAX_ODDS)),
    max_size=6,
    unique_by=lambda gone: gone[0],
)


@given(withdrawals, st.integers(0, 20), st.integers(5, 90), st.booleans())
def test_a_price_loses_what_was_withdrawn_after_it(
    gone: list[tuple[int, int]], priced: int, cap: int, waive: bool
) -> None:
    rule = Rule4(cap_pence=cap, waive_5p=waive)
    off = taken_off(MarketTerms(rule_4=rule), [Gone(version, odds) for version, odds in gone])
    known = [Withdrawal(version, odds) for version, odds in gone if odds]
    assert (off.deduction(priced) if off else 0) == rule.deduction(known, priced)


@given(withdrawals, st.integers(0, 20))
def test_factors_are_taken_one_after_the_other(gone: list[tuple[int, int]], priced: int) -> None:
    terms = MarketTerms(reduction_factors=True)
    factors = [Gone(version, 20_000, odds % 10_000) for version, odds in gone]
    off = taken_off(terms, factors)
    later = sorted((one.odds_version, one.reduction) for one in factors if one.reduction)
    expected = tuple(factor for version, factor in later if version > priced)
    assert (off.reductions_of(priced) if off else ()) == expected


def test_without_a_rule_nothing_is_taken() -> None:
    gone = [Gone(1, 11_000, 5_000)]
    for terms in (NO_TERMS, MarketTerms(ante_post=True), PLACES):
        assert taken_off(terms, gone) is None


def test_a_withdrawal_is_a_new_version_of_the_prices() -> None:
    race = Race(RULE_4)
    before = race.hold(80_000)
    event = race.withdraw("b")
    assert event.gone == Gone(2, 22_500)
    race.open_by_hand()
    after = race.hold(80_000)
    assert (before.odds_version, after.odds_version) == (1, 2)
    view = GetMarket("f", "f:m").answer(NOW, race.market, race.fixture)
    assert view.off == Off(((2, 4_000),))
    race.declare({"a": WON, "c": LOST, "d": LOST})
    assert race.market.settling("a", 2) == Settling("a", WON, 2, off=Off(((2, 4_000),)))
    assert race.market.settling("b", 1) == Settling("b", VOID, 1, withdrawn=True)


def test_where_nothing_is_taken_a_withdrawal_is_what_it_was() -> None:
    race = Race()
    event = race.withdraw("b", odds=30_000, reduction=1_000)
    assert event.gone is None
    assert race.status == OPEN
    assert race.market.odds_version == 1
    race.declare({"a": WON, "c": LOST, "d": LOST})
    assert race.market.settling("a", 2) == Settling("a", WON, 2)


def test_what_takes_something_off_comes_before_the_result() -> None:
    race = Race(RULE_4)
    assert race.withdraw("b", odds=MAX_ODDS + 1).reason is Reason.OUT_OF_BOUNDS
    assert race.withdraw("b", reduction=10_000).reason is Reason.OUT_OF_BOUNDS
    race.declare({"a": WON, "b": LOST, "c": LOST, "d": LOST})
    assert race.withdraw("b").reason is Reason.WRONG_STATUS
    without = Race()
    without.declare({"a": WON, "b": LOST, "c": LOST, "d": LOST})
    assert not isinstance(without.withdraw("b"), Refused)


def test_ante_post_it_is_lost_until_all_is_void() -> None:
    race = Race(MarketTerms(ante_post=True, places=2, divisor=4))
    assert race.hold(80_000).ante_post
    race.withdraw("b")
    assert (race.market.results["b"], race.market.places["b"]) == (LOST, LOST)
    rest = {"a": WON, "c": LOST, "d": LOST}
    assert race.declare(rest, places=rest).results == rest
    assert race.market.results["b"] == LOST
    assert race.declare(cancelled=True).results["b"] == VOID


# What can be bet between a withdrawal and the next prices

OPENED = ChangeStatus("f", "f:m", MarketStatus.OPEN, True, 0)
BY_HAND = msgspec.structs.replace(OPENED, by_hand=True)


@pytest.mark.parametrize("terms", [RULE_4, FACTORS])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], FOR_IT),
        ([ChangePrices("f", "f:m", {"a": 70_000, "c": 35_000})], FOR_IT),
        # That they still hold is no word of who does not know of it; nor that it is open.
        ([ChangePrices("f", "f:m", {}), OPENED], FOR_IT),
        ([MovePrices("f", "f:m", {"a": 70_000, "c": 35_000, "d": 45_000}, 2)], FOR_IT),
        ([msgspec.structs.replace(BY_HAND, status=MarketStatus.SUSPENDED)], FOR_IT),
        ([BY_HAND], OPEN),
        ([ChangePrices("f", "f:m", {"a": 80_000, "c": 40_000, "d": 0})], OPEN),
        (
            [
                ChangePrices("f", "f:m", {"a": 70_000, "c": 35_000}),
                HoldPrices("f", "f:m", {"d": 45_000}, "kim"),
            ],
            OPEN,
        ),
    ],
)
def test_what_opens_a_market_after_a_withdrawal(
    said: list[Any], expected: Any, terms: MarketTerms
) -> None:
    race = Race(terms)
    assert race.withdraw("b").renew == ["a", "c", "d"]
    assert race.status == FOR_IT
    assert race.hold(80_000).reason is Reason.MARKET_SUSPENDED
    for command in said:
        assert not isinstance(race.do(command), Refused)
    assert race.status == expected
    assert bool(race.market.unrenewed) is (expected == FOR_IT)


def test_a_withdrawal_from_a_market_that_is_not_open_counts_when_it_opens() -> None:
    race = Race(RULE_4)
    race.do(Suspend("f", "f:m", "stop/x"))
    race.withdraw("b")
    race.do(Resume("f", "f:m", "stop/x"))
    assert race.status == FOR_IT
    race.do(ChangeStatus("f", "f:m", MarketStatus.SUSPENDED, False, 0))
    race.price(a=70_000, c=35_000, d=45_000)
    assert race.status == (MarketStatus.SUSPENDED, set())
    race.do(OPENED)
    assert race.status == OPEN


def test_where_nobody_has_a_price_nothing_is_waited_for() -> None:
    race = Race(RULE_4)
    race.price(**dict.fromkeys(PRICES, 0))
    assert race.withdraw("b", odds=22_500).renew == []
    assert race.status == OPEN
    race.price(c=35_000)
    race.withdraw("a")
    assert race.status == FOR_IT
    race.withdraw("c")  # the last that had one
    assert race.status == OPEN


def test_who_was_withdrawn_is_not_waited_for_though_a_feed_has_priced_him_since() -> None:
    race = Race(RULE_4)
    race.withdraw("b")
    race.price(a=70_000, b=22_500, c=35_000, d=45_000)  # it has not heard of it yet
    assert race.withdraw("c").renew == ["a", "d"]
    race.price(a=60_000, d=40_000)
    assert race.status == OPEN


def test_behind_a_price_held_by_hand_none_of_before_a_withdrawal_is_kept() -> None:
    race = Race(RULE_4)
    race.do(HoldPrices("f", "f:m", {"a": 70_000}, "kim"))
    race.withdraw("b")
    race.do(HoldPrices("f", "f:m", {"a": 60_000, "c": 35_000, "d": 0}, "kim", for_ms=1_000))
    assert race.status == OPEN
    assert race.hold(60_000).odds == 60_000
    race.price(c=36_000)  # behind
    race.now += 1_000
    assert {of: race.market.odds_at(of, race.now) for of in "acd"} == {"a": 0, "c": 36_000, "d": 0}
    race.do(GiveBackPrices("f", "f:m", run_out=True))
    assert race.hold(60_000).reason is Reason.SELECTION_UNAVAILABLE
    assert race.hold(36_000, "c").odds == 36_000


SOME = st.dictionaries(st.sampled_from("acd"), st.integers(2, 9).map(lambda n: n * 10_000))
STEPS = st.one_of(
    st.tuples(st.just("feed"), SOME),
    st.tuples(st.just("hold"), SOME, st.sampled_from((0, 1_000))),
    st.tuples(st.just("move"), SOME),
    st.tuples(st.just("status"), st.sampled_from(("open", "suspended"))),
    st.sampled_from([("back",), ("wait",), ("withdraw",), ("stop",), ("lift",), ("by hand",)]),
)


@given(st.lists(STEPS, max_size=20))
def test_whatever_is_said_no_price_of_before_a_withdrawal_can_be_had(
    said: list[tuple[Any, ...]],
) -> None:
    race, runners = Race(RULE_4), iter("bcd")
    place = ("f", "f:m")
    known = {of: {odds} for of, odds in PRICES.items()}
    """By selection, what was said of it since the last withdrawal; all, once opened by hand."""
    for step in said:
        match step:
            case "feed", odds:
                race.price(**odds)
            case "hold", odds, for_ms:
                race.do(HoldPrices(*place, odds, "kim", for_ms))
            case "move", odds:
                race.do(MovePrices(*place, odds, race.market.odds_version))
            case "back", *_:
                race.do(GiveBackPrices(*place))
            case "wait", *_:
                race.now += 600
            case "stop", *_:
                race.do(Suspend(*place, "stop/x"))
            case "lift", *_:
                race.do(Resume(*place, "stop/x"))
            case "status", status:
                race.do(ChangeStatus(*place, MarketStatus(status), False, 0))
            case "by hand", *_:
                race.open_by_hand()
                known = {of: set(range(20_000, 100_000, 2_500)) for of in known}
            case "withdraw", *_:
                gone = next(runners, "")
                race.withdraw(gone)
                known = {of: set() for of in known if of != gone}
        for of, odds in step[1].items() if step[0] in ("feed", "hold", "move") else ():
            known.get(of, set()).add(odds)
        for of in known:
            held = race.hold(80_000, of, PriceChange.ANY)
            assert isinstance(held, Refused) or held.odds in known[of], of
        # It is suspended for that only as long as something is to be said again.
        assert (WITHDRAWAL in race.market.causes) is bool(race.market.unrenewed)


# What a trader has agreed to before a withdrawal


@pytest.mark.parametrize("kind", [HoldWatched, HoldLeg])
def test_what_a_trader_agreed_to_ends_with_a_withdrawal(kind: type[HoldWatched]) -> None:
    race, place = Race(RULE_4), ("f", "f:m", "a", "bet", "gb", "p", Money(100, "GBP"))

    def take(version: int) -> Any:
        taking = kind(*place, 80_000, PriceChange.NONE, agreed_until_ms=NOW, agreed_version=version)
        return taking.answer(NOW, race.market, race.fixture)

    assert isinstance(take(1), Held)
    race.market.book.release("bet")
    race.withdraw("b")
    race.price(a=70_000, c=35_000, d=45_000)
    refused = take(1)
    assert refused.reason is Reason.REOFFER_EXPIRED
    assert "withdrawn" in refused.message
    assert not race.market.book.holds
    # Agreed to since, though at the price of before: the trader knew.
    assert take(race.market.odds_version).odds == 80_000
    race.withdraw("c")
    race.open_by_hand()
    assert take(race.market.odds_version - 1).reason is Reason.REOFFER_EXPIRED


def test_a_yes_knows_of_a_withdrawal_when_its_price_was_said_since() -> None:
    race = Race(RULE_4)

    def known() -> dict[str, bool]:
        """Whether a yes to each of them is honoured, as far as its version says."""
        views = {of: GetPrice("f", "f:m", of).answer(NOW, race.market, race.fixture) for of in "ac"}
        return {of: view.odds_version >= race.market.gone_version for of, view in views.items()}

    assert known() == {"a": True, "c": True}
    race.withdraw("b")
    assert known() == {"a": False, "c": False}
    race.price(a=70_000)
    assert known() == {"a": True, "c": False}
    race.withdraw("d")
    assert known() == {"a": False, "c": False}
    race.open_by_hand()
    assert known() == {"a": True, "c": True}


# Singles that lose something

OFFS = st.builds(
    Off,
    st.lists(st.integers(1, 9), max_size=3, unique=True).map(
        lambda versions: tuple((version, 4_000) for version in sorted(versions))
    ),
    st.lists(st.integers(1, 9), max_size=3, unique=True).map(
        lambda versions: tuple((version, 1_500) for version in sorted(versions))
    ),
)
RESULTS = (
    WON,
    LOST,
    VOID,
    Result(Outcome.HALF_WON),
    Result(Outcome.HALF_LOST),
    Result(WON.outcome, 2, 1),
)


@given(
    st.integers(1, 10**6),
    st.integers(MIN_ODDS, 1_000_000),
    st.integers(0, 10),
    OFFS,
    st.sampled_from(RESULTS),
)
def test_a_single_is_settled_as_a_slip_of_one_leg(
    stake: int, odds: int, version: int, off: Off, result: Result
) -> None:
    leg = Leg("f", "f:m", "a", odds, version, "2.30", "Winner", "A")
    wallet = Wallet("p", "GBP", held_minor=stake, version=1)
    bet = Bet("b", "p", "GBP", stake, (leg,))
    event = SettleBet("p", "b", "f:m", "a", result, 1, off).decide(NOW, wallet, bet)
    assert isinstance(event, BetSettled)
    known = Settling("a", result, 1, off=off).known_of(leg)
    one = Slip((slips.Leg("f", "f:m", "a", odds),), Kind.SINGLE, stake)
    assert event.payout_minor == settle(one, {("f:m", "a"): known}).paid_minor
    assert event.known == known
    event.apply(wallet, bet)
    assert bet.state == BetState(result.outcome)
    assert bet.facts[0].known == known
    plain = SettleBet("p", "b", "f:m", "a", result, 1).decide(
        NOW, Wallet("p", "GBP", held_minor=stake), Bet("b", "p", "GBP", stake, (leg,))
    )
    assert isinstance(plain, BetSettled)
    assert event.payout_minor <= plain.payout_minor
    assert plain.known == (Known(result) if result.tied != result.places else None)


def test_at_the_starting_price_nothing_is_taken() -> None:
    on = Settling("a", WON, 1, starting_odds=70_000, off=Off(((9, 4_000),)))
    leg = Leg("f", "f:m", "a", 0, 1, "2.30", "Winner", "A")
    assert on.known_of(leg) == Known(WON, starting_odds=70_000)
    fixed = msgspec.structs.replace(leg, odds=80_000)
    assert on.known_of(fixed) == Known(WON, starting_odds=70_000, deduction=4_000)


# Results with places, positions and starting prices


def naive(positions: dict[str, int], of: str, places: int) -> Result:
    """Of as many places as are left at its position, its share."""
    ahead = sum(at < positions[of] for at in positions.values())
    tied = sum(at == positions[of] for at in positions.values())
    left = min(places - ahead, tied)
    return Result(Outcome.WON, tied, left) if left > 0 else LOST


@given(st.lists(st.integers(1, 4), min_size=4, max_size=4), st.integers(1, 3))
def test_results_follow_from_positions(order: list[int], places: int) -> None:
    # As a finish is told: who share second are both second, and the next is fourth.
    at = {
        of: 1 + sum(other < mine for other in order) for of, mine in zip("abcd", order, strict=True)
    }
    race = Race(MarketTerms(places=places, divisor=4))
    event = race.declare(positions=at)
    share = {of: naive(at, of, 1) for of in at}
    assert {of: same(result) for of, result in event.results.items()} == {
        of: same(result) for of, result in share.items()
    }
    assert {of: same(result) for of, result in event.places.items()} == {
        of: same(naive(at, of, places)) for of in at
    }


def same(result: Result) -> tuple[Outcome, float]:
    return result.outcome, result.places / result.tied


def test_who_did_not_run_ties_with_nobody() -> None:
    race = Race(PLACES)
    race.withdraw("b")
    event = race.declare(positions={"a": 1, "b": 1, "c": 2, "d": 2})
    assert event.results["a"] == WON
    assert race.market.results["b"] == VOID
    assert event.places["c"] == Result(Outcome.WON, 2, 1)


@pytest.mark.parametrize(
    ("terms", "more", "reason"),
    [
        (PLACES, {}, Reason.INCOMPLETE_RESULT),
        (PLACES, {"places": {"a": WON}}, Reason.INCOMPLETE_RESULT),
        (NO_TERMS, {"places": {"x": WON}}, Reason.UNKNOWN_SELECTION),
        (NO_TERMS, {"positions": {"x": 1}}, Reason.UNKNOWN_SELECTION),
        (NO_TERMS, {"starting_odds": {"x": 20_000}}, Reason.UNKNOWN_SELECTION),
        (NO_TERMS, {"positions": {"a": 0}}, Reason.OUT_OF_BOUNDS),
        (MarketTerms(starting_price=True), {}, Reason.INCOMPLETE_RESULT),
        (
            MarketTerms(starting_price=True),
            {"starting_odds": {"a": MIN_ODDS - 1}},
            Reason.OUT_OF_BOUNDS,
        ),
    ],
)
def test_what_is_no_result(terms: MarketTerms, more: dict[str, Any], reason: Reason) -> None:
    race = Race(terms)
    results = {"a": WON, "b": LOST, "c": LOST, "d": LOST}
    assert race.declare(results, **more).reason is reason


def test_a_correction_is_of_what_is_new() -> None:
    race = Race(MarketTerms(places=2, divisor=4, starting_price=True))
    won = {"a": WON, "b": LOST, "c": LOST, "d": LOST}
    first = {"places": won | {"b": WON}, "starting_odds": {"a": 70_000, "b": 30_000}}
    assert set(race.declare(won, **first).results) == set("abcd")
    assert race.declare(won, **first).reason is Reason.WRONG_STATUS
    other = first | {"places": won | {"c": WON}, "starting_odds": {"c": 30_000}}
    changed = race.declare(won, **other)
    assert (set(changed.results), set(changed.places)) == ({"b", "c"}, {"b", "c"})
    assert changed.starting_odds == {"b": 30_000, "c": 30_000}
    changed = race.declare(won, **other | {"starting_odds": {"a": 65_000}})
    assert (changed.results, changed.starting_odds) == ({"a": WON}, {"a": 65_000})


# Opening, and holding


@pytest.mark.parametrize(
    "wrong",
    [
        MarketTerms(places=5, divisor=4),
        MarketTerms(places=2),
        MarketTerms(divisor=4),
        MarketTerms(places=2, divisor=MAX_DIVISOR + 1),
        MarketTerms(rule_4=Rule4(), reduction_factors=True),
        MarketTerms(ante_post=True, rule_4=Rule4()),
        MarketTerms(ante_post=True, starting_price=True),
    ],
)
def test_terms_that_contradict_themselves(wrong: MarketTerms) -> None:
    names = dict.fromkeys("abcd", "A")
    command = OpenMarket("f", "f:m", "Winner", "win", "GBP", names, terms=wrong)
    refused = command.decide(NOW, Market(), Fixture("f"))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OUT_OF_BOUNDS


def test_deductions_are_for_so_many_runners() -> None:
    for count, fine in ((100, True), (101, False)):
        names = {str(number): "A" for number in range(count)}
        command = OpenMarket("f", "f:m", "Winner", "win", "GBP", names, terms=RULE_4)
        assert isinstance(command.decide(NOW, Market(), Fixture("f")), Refused) is not fine


def test_at_the_starting_price_room_is_taken_for_what_is_assumed() -> None:
    race = Race(MarketTerms(starting_price=True))
    one = Slip((slips.Leg("f", "f:m", "a", 0),), Kind.SINGLE, 100)
    most = settle(one, {}).most_minor
    assert most == 100 * ASSUMED_STARTING_ODDS // 10_000
    assert isinstance(race.hold(0, liability_minor=most - 100), Held)
    assert race.market.book.lines["a"].liability_minor == most - 100
    race.do(ChangePrices("f", "f:m", {"a": 0}))
    assert isinstance(race.hold(0, liability_minor=1), Held)  # also without a price
    assert Race().hold(0, liability_minor=1).reason is Reason.STARTING_PRICE_UNAVAILABLE
    race.market.in_play = True
    assert race.hold(0, liability_minor=1).reason is Reason.STARTING_PRICE_UNAVAILABLE
    race.withdraw("a")
    assert race.hold(0, liability_minor=1).reason is Reason.SELECTION_UNAVAILABLE


def test_each_way_terms_are_a_legs() -> None:
    assert PLACES.each_way == EachWay(2, 4)
    assert NO_TERMS.each_way is None


@pytest.mark.parametrize(("winners", "places", "counted"), [(1, 3, 3), (2, 0, 2), (0, 3, 0)])
def test_the_worst_case_counts_the_places_that_are_paid(
    winners: int, places: int, counted: int
) -> None:
    market, terms = Market(), MarketTerms(places=places, divisor=4 if places else 0)
    names = dict.fromkeys("abcd", "A")
    command = OpenMarket("f", "f:m", "Winner", "win", "GBP", names, winners=winners, terms=terms)
    command.decide(NOW, market, Fixture("f")).apply(market, Fixture("f"))
    assert market.book.winners == counted
    event = DeclareResult("f", "f:m", {}, positions={"a": 1, "b": 2, "c": 3, "d": 4}).decide(
        NOW, market, Fixture("f")
    )
    won = [of for of, result in event.results.items() if result == WON]  # type: ignore[attr-defined]
    assert len(won) == max(1, winners)
