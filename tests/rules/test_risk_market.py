"""Causes of suspension, the age of prices, and what is offered in place of a refused stake."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.bet import PriceChange
from actors.book import MAX_OFFERS, Book, Offer
from actors.declaring import CompleteSettlement, DeclareResult, WithdrawSelection
from actors.fixture import EventLimitsChanged, Fixture
from actors.hedging import HedgeRecorded
from actors.holds import Held, HoldStake, LookAgain
from actors.market import GetMarket, Limits, Market, MarketStatus, Selection
from actors.results import LOST, WON
from actors.risk.referral import ReferralAsked
from actors.runtime.announcer import Audience, _audience_of
from actors.terms import MarketTerms
from actors.trading import (
    MAX_CAUSE_LENGTH,
    MAX_CAUSES,
    ChangePrices,
    ChangeStatus,
    LimitsChanged,
    MovePrices,
    PricesChanged,
    Resume,
    StatusChanged,
    Suspend,
    SwitchedMarkets,
    SwitchMarkets,
)
from ledger.money import Money

NOW = 1_800_000_000_000
NONE, BETTER, ANY = PriceChange.NONE, PriceChange.BETTER, PriceChange.ANY
OPEN, SUSPENDED, CLOSED, SETTLED, CANCELLED = MarketStatus
SECONDS = 1_000


def market(**state: Any) -> Market:
    made = Market(
        **{
            "market_id": "f:m",
            "fixture_id": "f",
            "name": "Winner",
            "currency": "GBP",
            "selections": {"a": Selection("A", 25_000), "b": Selection("B", 30_000)},
            "odds_version": 4,
            "priced_at_ms": NOW,
            **state,
        }
    )
    made.book.known = made.book.whole = True
    return made


def fixture() -> Fixture:
    return Fixture(fixture_id="f", name="A - B", seq=7)


def do(command: Any, of: Market, now_ms: int = NOW) -> Any:
    beside = fixture()
    decided = command.decide(now_ms, of, beside)
    events = decided if isinstance(decided, tuple) else (decided,)
    for event in events if not isinstance(events[0], Refused) else ():
        event.apply(of, beside)
    return events[-1]


def hold(stake: int = 100, odds: int = 25_000, bet_id: str = "bet", **more: Any) -> HoldStake:
    money = Money(stake, "GBP")
    question = HoldStake("f", "f:m", "a", bet_id, "gb", "p", money, odds, NONE)
    return msgspec.structs.replace(question, **more)


def ask(question: Any, of: Market, now_ms: int = NOW) -> Any:
    return question.answer(now_ms, of, fixture())


def suspend(cause: str) -> Suspend:
    return Suspend("f", "f:m", cause)


def resume(cause: str) -> Resume:
    return Resume("f", "f:m", cause)


def status(then: MarketStatus) -> ChangeStatus:
    return ChangeStatus("f", "f:m", then, False, 0)


# Causes


@pytest.mark.parametrize(
    ("commands", "shown", "causes"),
    [
        ([suspend("feed")], SUSPENDED, {"feed"}),
        ([suspend("feed"), resume("feed")], OPEN, set()),
        ([suspend("feed"), suspend("desk"), resume("feed")], SUSPENDED, {"desk"}),
        # the trader's own word stands behind the causes
        ([suspend("feed"), status(SUSPENDED), resume("feed")], SUSPENDED, set()),
        ([status(SUSPENDED), suspend("feed"), resume("feed")], SUSPENDED, set()),
        ([status(SUSPENDED), suspend("feed"), status(OPEN)], SUSPENDED, {"feed"}),
        ([status(SUSPENDED), suspend("feed"), status(OPEN), resume("feed")], OPEN, set()),
        ([suspend("feed"), status(CLOSED)], CLOSED, {"feed"}),
        ([suspend("feed"), status(CLOSED), resume("feed")], CLOSED, set()),
        ([suspend("feed"), status(CLOSED), status(OPEN)], SUSPENDED, {"feed"}),
        ([status(CLOSED), suspend("feed"), status(OPEN), resume("feed")], OPEN, set()),
    ],
)
def test_a_market_is_open_when_no_cause_stands_and_the_status_behind_is(
    commands: list[Any], shown: MarketStatus, causes: set[str]
) -> None:
    of = market()
    for command in commands:
        event = do(command, of)
        assert isinstance(event, StatusChanged)
        assert event.status is of.status  # what followers and the ledger's row are told
    assert (of.status, set(of.causes)) == (shown, causes)
    assert isinstance(ask(hold(), of), Held) is (shown is OPEN)
    view = GetMarket("f", "f:m").answer(NOW, of, fixture())
    assert isinstance(view, Refused) is False
    assert (view.status, set(view.causes)) == (shown, causes)


steps = st.sampled_from(
    [suspend("x"), suspend("y"), resume("x"), resume("y"), status(OPEN), status(SUSPENDED)]
)


@settings(deadline=None)
@given(st.lists(steps, max_size=12))
def test_causes_and_status_against_a_set_and_a_word(commands: list[Any]) -> None:
    of, causes, word = market(), set(), OPEN
    for command in commands:
        event = do(command, of)
        match command:
            case Suspend(cause=cause):
                assert isinstance(event, Refused) is (cause in causes)
                causes.add(cause)
            case Resume(cause=cause):
                assert isinstance(event, Refused) is (cause not in causes)
                causes.discard(cause)
            case ChangeStatus():
                word = command.status
        assert set(of.causes) == causes
        assert of.status is (SUSPENDED if causes else word)
        # Whoever folds the events alone, from what was shown before, comes to the same.
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(of), type=Market)
        assert (again.status, again.causes, again.behind) == (of.status, of.causes, of.behind)


def test_a_copy_made_from_a_view_follows_causes_that_it_never_heard_of() -> None:
    of = market()
    do(suspend("feed"), of)
    copy = market(status=of.status)
    event = resume("feed").decide(NOW, of, fixture())
    assert isinstance(event, StatusChanged)
    event.apply(copy, fixture())
    assert (copy.status, copy.causes) == (OPEN, {})


def test_a_settled_market_is_not_reopened_by_a_cause_that_goes() -> None:
    of = market()
    do(suspend("feed"), of)
    do(DeclareResult("f", "f:m", {"a": WON, "b": LOST}), of)
    do(resume("feed"), of)
    assert of.status is CLOSED
    of = market()
    do(suspend("feed"), of)
    do(DeclareResult("f", "f:m", {"a": WON, "b": LOST}), of)
    do(CompleteSettlement("f", "f:m", 1), of)
    do(resume("feed"), of)
    assert (of.status, of.causes) == (SETTLED, {})


def test_a_suspension_breaks_holds_whatever_its_cause() -> None:
    of = market(in_play=True, bet_delay_ms=2_000)
    assert isinstance(ask(hold(), of), Held)
    do(suspend("feed"), of)
    do(resume("feed"), of)
    again = LookAgain("f", "f:m", "bet", 25_000, NONE)
    assert ask(again, of).reason is Reason.MARKET_SUSPENDED


@pytest.mark.parametrize(
    ("command", "of", "reason"),
    [
        (suspend(""), Market(), Reason.UNKNOWN_MARKET),
        (suspend(""), market(status=SETTLED), Reason.OUT_OF_BOUNDS),
        (suspend("x" * (MAX_CAUSE_LENGTH + 1)), market(), Reason.OUT_OF_BOUNDS),
        (suspend("x"), market(status=SETTLED), Reason.WRONG_STATUS),
        (suspend("x"), market(status=CANCELLED), Reason.WRONG_STATUS),
        (suspend("0"), market(causes={"0": 1}), Reason.WRONG_STATUS),
        (
            suspend("x"),
            market(causes={str(number): 1 for number in range(MAX_CAUSES)}),
            Reason.OUT_OF_BOUNDS,
        ),
        (resume("x"), Market(), Reason.UNKNOWN_MARKET),
        (resume("x"), market(), Reason.WRONG_STATUS),
    ],
)
def test_a_cause_is_refused(command: Any, of: Market, reason: Reason) -> None:
    assert command.decide(NOW, of, fixture()).reason is reason


def test_a_cause_too_many_names_those_that_could_go() -> None:
    of = market(causes={f"stop/{number:03}": 1 for number in range(MAX_CAUSES)})
    refused = do(suspend("x"), of)
    assert refused.facts["max_causes"] == MAX_CAUSES
    assert refused.facts["causes"].split(", ") == sorted(of.causes)


def test_many_markets_are_switched_with_one_message() -> None:
    switch = SwitchMarkets("f", ["f:m", "f:n"], "producer/3")
    assert switch.cast() == ("fixture/f", "market/f:m", "market/f:n")
    assert list(switch.each()) == [
        Suspend("f", "f:m", "producer/3"),
        Suspend("f", "f:n", "producer/3"),
    ]
    back = msgspec.structs.replace(switch, resume=True)
    assert list(back.each())[1] == Resume("f", "f:n", "producer/3")
    answers = [Refused(Reason.WRONG_STATUS), do(suspend("x"), market())]
    assert switch.sum_up(answers) == SwitchedMarkets(1)


def test_the_public_hears_of_suspensions_and_nobody_of_limits() -> None:
    assert _audience_of(StatusChanged) is Audience.FIXTURE
    for kind in (EventLimitsChanged, LimitsChanged, HedgeRecorded):
        assert _audience_of(kind) is Audience.NOBODY
    assert _audience_of(ReferralAsked) is Audience.PLAYER


# The age of prices

AGES = Limits(max_age_ms=60 * SECONDS, max_age_in_play_ms=5 * SECONDS)


@pytest.mark.parametrize(
    ("in_play", "age_ms", "taken"),
    [
        (False, 60 * SECONDS, True),
        (False, 60 * SECONDS + 1, False),
        (True, 5 * SECONDS, True),
        (True, 5 * SECONDS + 1, False),
    ],
)
def test_an_old_price_is_not_given(in_play: bool, age_ms: int, taken: bool) -> None:
    of = market(limits=AGES, in_play=in_play)
    answer = ask(hold(), of, NOW + age_ms)
    assert isinstance(answer, Held) if taken else answer == Refused(Reason.PRICE_STALE)
    assert of.stale(NOW + age_ms) is not taken
    of.limits = Limits()
    assert isinstance(ask(hold(), of, NOW + age_ms), Held)


def test_a_price_that_gets_old_during_the_delay_is_not_given() -> None:
    of = market(limits=AGES, in_play=True, bet_delay_ms=3 * SECONDS)
    assert isinstance(ask(hold(), of, NOW + 3 * SECONDS), Held)
    again = LookAgain("f", "f:m", "bet", 25_000, ANY)
    assert ask(again, of, NOW + 6 * SECONDS).reason is Reason.PRICE_STALE
    assert not of.book.holds


def test_any_word_of_the_feed_makes_prices_young_again_and_the_house_s_own_moves_do_not() -> None:
    of = market(limits=AGES, in_play=True)
    late = NOW + 6 * SECONDS
    do(MovePrices("f", "f:m", {"a": 20_000}, 4), of, late)
    assert ask(hold(odds=20_000), of, late).reason is Reason.PRICE_STALE
    do(ChangePrices("f", "f:m", {}), of, late)
    assert isinstance(ask(hold(odds=20_000), of, late), Held)


# Moved prices


def test_a_moved_price_remembers_the_one_that_was_given() -> None:
    of = market()
    event = do(MovePrices("f", "f:m", {"a": 22_000}, 4), of)
    assert event == PricesChanged(NOW, "f", "f:m", 8, 5, {"a": 22_000}, 0, True)
    do(MovePrices("f", "f:m", {"a": 20_000}, 5), of)
    assert (of.selections["a"].odds, of.selections["a"].base_odds) == (20_000, 25_000)
    do(MovePrices("f", "f:m", {"a": 25_000}, 6), of)
    assert of.selections["a"].base_odds == 0
    do(MovePrices("f", "f:m", {"a": 20_000}, 7), of)
    do(ChangePrices("f", "f:m", {"a": 24_000}), of)
    assert (of.selections["a"].odds, of.selections["a"].base_odds) == (24_000, 0)


@pytest.mark.parametrize(
    ("command", "of", "reason"),
    [
        (MovePrices("f", "f:m", {"x": 1}, 1), Market(), Reason.UNKNOWN_MARKET),
        (MovePrices("f", "f:m", {"x": 1}, 3), market(status=CLOSED), Reason.SUPERSEDED),
        (MovePrices("f", "f:m", {"x": 1}, 4), market(status=CLOSED), Reason.UNKNOWN_SELECTION),
        (MovePrices("f", "f:m", {"a": 1}, 4), market(status=CLOSED), Reason.OUT_OF_BOUNDS),
        (
            MovePrices("f", "f:m", {"a": 20_000}, 4),
            market(selections={"a": Selection("A", 0)}),
            Reason.OUT_OF_BOUNDS,
        ),
        (MovePrices("f", "f:m", {"a": 20_000}, 4), market(status=CLOSED), Reason.WRONG_STATUS),
    ],
)
def test_prices_are_not_moved(command: MovePrices, of: Market, reason: Reason) -> None:
    assert command.decide(NOW, of, fixture()).reason is reason


# Offers

OFFERING = Limits(10, 500, 3_000, reoffer_ms=5 * SECONDS)


def offered(of: Market, stake: int = 600, **more: Any) -> HoldStake:
    """What the player may answer to the refusal."""
    refused = ask(hold(stake, **more), of)
    facts = refused.facts
    assert facts["offer_valid_until_ms"] == NOW + 5 * SECONDS
    assert facts["offer_stake_minor"] <= facts["max_stake_minor"]
    return hold(
        facts["offer_stake_minor"],
        facts["offer_odds"],
        "taking",
        **{"offer_id": facts["offer_id"], **more},
    )


@pytest.mark.parametrize(
    ("taken", "reason", "most"),
    [
        (0, Reason.STAKE_ABOVE_LIMIT, 500),
        (2_500, Reason.STAKE_ABOVE_LIMIT, 333),  # what is offered has to have room
        (2_985, Reason.STAKE_ABOVE_LIMIT, 10),
    ],
)
def test_a_smaller_stake_is_offered(taken: int, reason: Reason, most: int) -> None:
    of = market(limits=OFFERING)
    of.book.line("a").liability_minor = taken
    refused = ask(hold(600), of)
    assert (refused.reason, refused.facts) == (
        reason,
        {
            "max_stake_minor": 500,
            "offer_id": "bet",
            "offer_stake_minor": most,
            "offer_odds": 25_000,
            "offer_valid_until_ms": NOW + 5 * SECONDS,
        },
    )
    assert isinstance(ask(hold(most, bet_id="t", offer_id="bet"), of), Held)


def test_what_has_no_room_is_offered_as_far_as_it_has() -> None:
    of = market(limits=OFFERING)
    of.book.line("a").liability_minor = 2_500
    refused = ask(hold(400), of)
    assert refused.reason is Reason.LIABILITY_LIMIT
    assert refused.facts["offer_stake_minor"] == refused.facts["max_stake_minor"] == 333


@pytest.mark.parametrize(
    ("state", "question"),
    [
        ({"limits": Limits(10, 500, 3_000)}, hold(600)),  # nothing is offered
        ({"limits": OFFERING}, hold(600, liability_minor=900)),  # of several legs
        ({"limits": Limits(10, 500, 14, reoffer_ms=5)}, hold(600)),  # below the least stake
    ],
)
def test_nothing_is_offered(state: dict[str, Any], question: HoldStake) -> None:
    of = market(**state)
    assert set(ask(question, of).facts) == {"max_stake_minor"}
    assert not of.book.offers


def test_nothing_is_offered_by_a_book_that_does_not_know_its_room() -> None:
    of = market(limits=OFFERING)
    of.book.known = False
    assert set(ask(hold(600), of).facts) == {"max_stake_minor"}


def test_an_offer_is_had_at_its_price_though_the_market_has_moved() -> None:
    of = market(limits=OFFERING)
    taking = offered(of)
    do(ChangePrices("f", "f:m", {"a": 15_000}), of)
    held = ask(taking, of, NOW + 5 * SECONDS)
    assert (held.odds, of.book.holds["taking"].odds) == (25_000, 25_000)
    assert of.book.lines["a"].liability_minor == 750


def test_what_takes_off_prices_ends_offers_of_them_and_what_waits() -> None:
    state = {"terms": MarketTerms(reduction_factors=True), "in_play": True, "bet_delay_ms": 1_000}
    of = market(limits=OFFERING, **state)
    taking = offered(of)
    assert isinstance(ask(hold(bet_id="waits"), of), Held)
    do(WithdrawSelection("f", "f:m", "b", reduction=2_500), of)
    do(ChangePrices("f", "f:m", {"a": 25_000}), of)
    # With the version of now it would go uncut.
    assert ask(taking, of) == Refused(Reason.REOFFER_EXPIRED)
    again = LookAgain("f", "f:m", "waits", 25_000, NONE)
    assert ask(again, of, NOW + SECONDS) == Refused(Reason.MARKET_SUSPENDED)


def test_an_offer_stands_through_the_bet_delay() -> None:
    of = market(limits=OFFERING, in_play=True, bet_delay_ms=9 * SECONDS)
    assert isinstance(ask(offered(of), of), Held)
    do(ChangePrices("f", "f:m", {"a": 15_000}), of)
    again = LookAgain("f", "f:m", "taking", 25_000, NONE)
    assert ask(again, of, NOW + 9 * SECONDS).odds == 25_000


@pytest.mark.parametrize(
    ("change", "late_ms"),
    [
        ({}, 5 * SECONDS + 1),
        ({"player_id": "q"}, 0),
        ({"offer_id": "other"}, 0),
        ({"selection_id": "b"}, 0),
        ({"stake": Money(499, "GBP")}, 0),
        ({"stake": Money(501, "GBP")}, 0),
        ({"odds": 26_000}, 0),
        ({"odds": 10_000}, 0),
    ],
)
def test_only_what_was_offered_is_had_and_only_in_time(
    change: dict[str, Any], late_ms: int
) -> None:
    of = market(limits=OFFERING)
    taking = msgspec.structs.replace(offered(of), **change)
    assert ask(taking, of, NOW + late_ms) == Refused(Reason.REOFFER_EXPIRED)


def test_an_offer_is_had_once_and_asking_twice_is_once() -> None:
    of = market(limits=OFFERING)
    taking = offered(of)
    assert isinstance(ask(taking, of), Held)
    assert isinstance(ask(taking, of), Held)
    assert of.book.lines["a"].bets == 1
    other = msgspec.structs.replace(taking, bet_id="again")
    assert ask(other, of) == Refused(Reason.REOFFER_EXPIRED)


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (suspend("feed"), Reason.MARKET_SUSPENDED),
        (ChangePrices("f", "f:m", {"a": 0}), Reason.SELECTION_UNAVAILABLE),
        (status(CLOSED), Reason.MARKET_CLOSED),
    ],
)
def test_an_offer_does_not_open_a_market(meanwhile: Any, reason: Reason) -> None:
    of = market(limits=OFFERING)
    taking = offered(of)
    do(meanwhile, of)
    assert ask(taking, of).reason is reason


def test_an_offer_keeps_no_room() -> None:
    of = market(limits=OFFERING)
    taking = offered(of)
    of.book.line("a").liability_minor = 2_900
    assert ask(taking, of) == Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": 66})


def test_a_player_has_one_offer_and_a_book_so_many() -> None:
    of = market(limits=OFFERING)
    first = offered(of)
    offered(of, 700)
    assert len(of.book.offers) == 1
    assert isinstance(ask(first, of), Held)  # the same terms under the same id
    book = Book()
    for number in range(MAX_OFFERS + 3):
        book.offer(f"p{number}", Offer("o", "a", 10, 20_000, NOW))
    assert len(book.offers) == MAX_OFFERS
    assert "p2" not in book.offers
    assert Book.unpacked(book.packed()).offers == book.offers


# Referrals, as a market sees them


def test_a_large_stake_is_referred_and_had_when_a_trader_agreed() -> None:
    limits = Limits(10, 500, 10**6, refer_above_minor=300, reoffer_ms=5 * SECONDS)
    of = market(limits=limits)
    assert isinstance(ask(hold(300), of), Held)
    needed = Refused(
        Reason.REFERRAL_NEEDED, facts={"max_stake_minor": 300, "odds": 25_000, "odds_version": 4}
    )
    for stake in (301, 5_000):
        assert ask(hold(stake, bet_id="large"), of) == needed
    assert not of.book.offers
    agreed = hold(5_000, 24_000, "large", agreed_until_ms=NOW + 10)
    assert ask(agreed, of, NOW + 11) == Refused(Reason.REOFFER_EXPIRED)
    assert ask(agreed, of, NOW + 10).odds == 24_000


def test_a_customer_who_may_have_less_is_not_referred() -> None:
    of = market(limits=Limits(10, 500, 10**6, refer_above_minor=300))
    answer = ask(hold(301, customer_factor=2_000), of)
    assert answer == Refused(Reason.STAKE_ABOVE_LIMIT, facts={"max_stake_minor": 100})


def test_what_a_trader_agreed_to_is_within_the_limits_of_liability() -> None:
    of = market(limits=Limits(10, 500, 1_500))
    agreed = hold(1_001, bet_id="large", agreed_until_ms=NOW, customer_factor=1)
    assert ask(agreed, of) == Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": 1_000})
    fits = msgspec.structs.replace(agreed, stake=Money(1_000, "GBP"))
    assert isinstance(ask(fits, of), Held)


@pytest.mark.parametrize(("more", "left"), [({"agreed_until_ms": NOW + 10}, 150), ({}, 0)])
def test_a_look_that_fails_leaves_the_room_of_what_was_promised(
    more: dict[str, Any], left: int
) -> None:
    """Sent twice, it has one hold: the first may be at the wallet when the second looks again."""
    of = market(in_play=True, bet_delay_ms=2_000)
    assert isinstance(ask(hold(**more), of), Held)
    do(suspend("feed"), of)
    look = LookAgain("f", "f:m", "bet", 25_000, NONE)
    assert ask(look, of) == Refused(Reason.MARKET_SUSPENDED)
    assert of.book.lines["a"].liability_minor == left


def test_asking_again_does_not_mend_a_hold_that_a_suspension_broke() -> None:
    of = market(in_play=True, bet_delay_ms=2_000)
    assert isinstance(ask(hold(), of), Held)
    do(suspend("feed"), of)
    do(resume("feed"), of)
    assert isinstance(ask(hold(), of), Held)
    look = LookAgain("f", "f:m", "bet", 25_000, NONE)
    assert ask(look, of) == Refused(Reason.MARKET_SUSPENDED)
