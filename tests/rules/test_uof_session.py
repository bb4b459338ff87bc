"""From messages to commands: nothing stale is ever open, and results are what the feed meant."""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors import outcomes
from actors.declaring import DeclareResult
from actors.fixture import Phase
from actors.market import MarketStatus
from actors.results import LOST, VOID, WON, Outcome, Result, Window, payout_minor
from actors.runtime.clock import WallClock
from actors.trading import ChangeStatus
from gateway.feeds.feed import FeedCommand, Step
from gateway.feeds.pump import pump
from gateway.feeds.uof import messages as uof
from gateway.feeds.uof.descriptions import Card, shipped
from gateway.feeds.uof.messages import EventStatus, OutcomeResult
from gateway.feeds.uof.messages import MarketStatus as Status
from gateway.feeds.uof.producers import (
    MINUTE_MS,
    PRODUCERS,
    WINDOWS_MS,
    Kind,
    Producer,
    Recover,
    Rules,
    State,
)
from gateway.feeds.uof.results import Incoherent, dead_heat, result_of
from gateway.feeds.uof.session import Ages, AskEvent, AskFixture, Options, Session, check
from tests.rehearsal import Rehearsal

T = 1_800_000_000_000
S = 1_000
LIVE, PRE = 1, 3
EVENT = "sr:match:7"
CARD = Card(EVENT, "1", "Football", "Cup", "Ayr v Bath", T, ("Ayr", "Bath"))
FIXTURE = "uof-sr_-match_-7-r"
TOTAL = f"{FIXTURE}:18__total_.2.5"


class House:
    """A session and the book it talks to."""

    def __init__(self, options: Options = Options(), *, named: bool = True) -> None:  # noqa: B008
        self.now = T
        self.session = Session(options, shipped(), "r")
        self.book = Rehearsal()
        self.said: list[FeedCommand] = []
        self.undoing: list[FeedCommand] = []
        """All but what every market has."""
        self.asked: list = []
        self.named = named

    def listen(self) -> None:
        for request in self.session.requests():
            self.asked.append(request)
            if isinstance(request, AskFixture) and self.named:
                self.session.answered(CARD, self.now)
        for said in self.session.take():
            if type(said).__module__ == outcomes.__name__:
                self.undoing.append(said)
            self.said.append(said)
            self.book.now_ms = self.now
            self.book.do(said)

    def hear(self, message: uof.Message) -> None:
        self.session.hear(message, self.now)
        self.listen()

    def wait(self, ms: int) -> None:
        """Time passes, and the session is told whenever it wants to be."""
        end = self.now + ms
        while (due := self.session.due_ms(self.now)) is not None and due <= end:
            self.now = due
            self.session.tick(due)
            self.listen()
        self.now = end
        self.session.tick(end)
        self.listen()

    def alive(self, product: int = LIVE, subscribed: bool = True) -> None:
        self.hear(uof.Alive(product, self.now, subscribed))

    def last_recovery(self, product: int) -> Recover | None:
        asked = [a for a in self.asked if isinstance(a, Recover) and a.product == product]
        return asked[-1] if asked else None

    def complete(self, product: int = LIVE) -> None:
        request = self.last_recovery(product)
        assert request
        self.session.accepted(request)
        self.hear(uof.SnapshotComplete(product, self.now, request.request_id))

    def up(self, *products: int) -> House:
        for product in products or (LIVE,):
            self.alive(product)
            self.complete(product)
        self.wait(1)
        return self

    def odds(self, over: int = 19_000, status: Status = Status.ACTIVE, **more) -> None:
        self.hear(odds(self.now, over, status, **more))

    def pass_alive(self, ms: int, *products: int) -> None:
        """Time passes and the producers go on saying that they are alive."""
        end = self.now + ms
        while self.now < end:
            self.wait(min(5 * S, end - self.now))
            for product in products or (LIVE,):
                self.alive(product)

    @property
    def status(self) -> MarketStatus:
        return self.book.markets[TOTAL].status

    @property
    def price(self) -> int:
        return self.book.markets[TOTAL].selections["12"].odds

    def results(self) -> dict[str, Result]:
        return self.book.markets[TOTAL].results


def odds(
    at: int,
    over: int = 19_000,
    status: Status | None = Status.ACTIVE,
    *,
    product: int = LIVE,
    request: int | None = None,
    event: EventStatus | None = None,
    outcomes: tuple[str, ...] = ("12", "13"),
) -> uof.OddsChange:
    shown = uof.SportEventStatus(event, None, "1", "0", "", ()) if event is not None else None
    selections = tuple(uof.Selection(of, over if of == "12" else 20_000, True) for of in outcomes)
    market = uof.MarketOdds(18, "total=2.5", status, None, selections)
    return uof.OddsChange(product, at, EVENT, request, shown, None, None, (market,))


def stop(at: int, groups=("all",), status=Status.SUSPENDED, product=LIVE) -> uof.BetStop:
    return uof.BetStop(product, at, EVENT, None, groups, status)


def settled(at: int, certainty: int = 1, **results: tuple) -> uof.BetSettlement:
    """`o12=(result, void_factor, dead_heat_factor)`."""
    outcomes = tuple(OutcomeResult(of[1:], *(*given, "", "")[:3]) for of, given in results.items())
    market = uof.MarketResult(18, "total=2.5", None, outcomes)
    return uof.BetSettlement(LIVE, at, EVENT, None, uof.Certainty(certainty), (market,))


NAMED = (uof.MarketName(18, "total=2.5", None),)


def unsettled(at: int) -> uof.RollbackBetSettlement:
    return uof.RollbackBetSettlement(LIVE, at, EVENT, None, NAMED)


def cancelled(at: int, start=None, end=None, by: str = "") -> uof.BetCancel:
    return uof.BetCancel(LIVE, at, EVENT, None, start, end, by, NAMED)


def uncancelled(at: int, start=None, end=None) -> uof.RollbackBetCancel:
    return uof.RollbackBetCancel(LIVE, at, EVENT, None, start, end, NAMED)


OVER_WON = {"o12": (1,), "o13": (0,)}


# What a settlement means


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((1, "", ""), WON),
        ((0, "", ""), LOST),
        ((-1, "", ""), None),
        ((1, "0.5", ""), Result(Outcome.HALF_WON)),
        ((0, "0.5", ""), Result(Outcome.HALF_LOST)),
        ((1, "1", ""), VOID),
        ((0, "1.0", ""), VOID),
        ((-1, "1", ""), VOID),
        ((1, "0", ""), WON),
        ((1, "", "0.5"), Result(Outcome.WON, 2, 1)),
        ((1, "", "0.3333"), Result(Outcome.WON, 3, 1)),
        ((1, "", "0.667"), Result(Outcome.WON, 3, 2)),
        ((1, "", "1.0"), WON),
        ((0, "", "0.5"), LOST),
    ],
)
def test_what_a_settlement_means(given, expected):
    assert result_of(OutcomeResult("1", *given)) == expected


@pytest.mark.parametrize(
    "given", [(1, "0.25", ""), (1, "", "0"), (1, "", "1.5"), (1, "0.5", "0.5"), (0, "2", "")]
)
def test_factors_that_mean_nothing(given):
    with pytest.raises(Incoherent):
        result_of(OutcomeResult("1", *given))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(4, 10))
def test_a_dead_heat_written_as_a_decimal_is_found_again(places, tied, digits):
    share = Fraction(min(places, tied), max(places, tied))
    written = f"{float(share):.{digits}f}"
    assert dead_heat(written) == share


def test_what_a_stake_of_ten_at_2_5_is_paid():
    paid = {
        (1, "", ""): 2_500, (0, "", ""): 0, (1, "0.5", ""): 1_750, (0, "0.5", ""): 500,
        (1, "1", ""): 1_000, (1, "", "0.5"): 1_250,
    }  # fmt: skip
    for given_, minor in paid.items():
        result = result_of(OutcomeResult("1", *given_))
        assert result is not None
        assert payout_minor(1_000, 25_000, result) == minor


# A producer


def producer(product: int = LIVE) -> Producer:
    info = next(info for info in PRODUCERS if info.product == product)
    return Producer(info, Rules())


def test_a_producer_is_believed_only_after_its_own_recovery():
    one = producer()
    assert not one.wants(T)
    one.alive(T, True, T)
    assert not one.believed(T)
    assert one.ask(7, T) == Recover(LIVE, 7, None)
    one.snapshot_complete(6, T)
    assert not one.believed(T)
    one.accepted(7)
    one.snapshot_complete(7, T + S)
    assert one.believed(T + S)


def test_a_recovery_believed_to_have_started_while_the_api_was_down_is_asked_for_again():
    for outcome in ("failed", "no answer"):
        one = producer()
        one.alive(T, True, T)
        one.ask(1, T)
        if outcome == "failed":
            one.failed(1)
        for n in range(1, 6):
            one.alive(T + n * 10 * S, True, T + n * 10 * S)
            if one.wants(T + n * 10 * S):
                break
        assert n * 10 * S == 30 * S
        one.ask(2, T + 30 * S)
        one.snapshot_complete(1, T + 30 * S)
        assert not one.believed(T + 30 * S)
        one.snapshot_complete(2, T + 31 * S)
        assert one.believed(T + 31 * S)


def test_silence_of_twenty_seconds_needs_a_recovery_since_the_last_alive():
    one = producer()
    one.alive(T, True, T)
    one.ask(1, T)
    one.snapshot_complete(1, T)
    one.alive(T + 9 * S, True, T + 10 * S)
    assert one.believed(T + 30 * S - 1 - S)
    one.message(T + 29 * S, T + 29 * S)
    assert one.believed(T + 30 * S - 1)
    assert not one.believed(T + 30 * S)
    one.tick(T + 30 * S)
    assert not one.wants(T + 40 * S)  # it is still silent: nothing could come
    one.alive(T + 50 * S, True, T + 50 * S)
    assert one.ask(2, T + 50 * S) == Recover(LIVE, 2, T + 9 * S)


@pytest.mark.parametrize("info", PRODUCERS)
def test_a_recovery_goes_back_no_further_than_the_window(info):
    window_ms = {1: 600, 3: 4_320, 6: 180}[info.product] * MINUTE_MS
    assert WINDOWS_MS[info.kind] == window_ms
    for gone_ms, after_ms in ((window_ms - S, T), (window_ms + S, None)):
        one = Producer(info, Rules())
        one.alive(T, True, T)
        one.ask(1, T)
        one.snapshot_complete(1, T)
        one.alive(T + gone_ms, True, T + gone_ms)
        assert one.ask(2, T + gone_ms).after_ms == after_ms


def test_at_most_one_recovery_in_thirty_seconds_and_none_longer_than_1200():
    one = producer()
    asked = []
    for second in range(2_500):
        now = T + second * S
        if second % 10 == 0:
            one.alive(now, True, now)
        one.tick(now)
        if one.wants(now):
            asked.append(second)
            one.ask(len(asked), now)
            one.accepted(len(asked))
    assert asked == [0, 1_200, 2_400]
    one = producer()
    asked = []
    for second in range(100):
        now = T + second * S
        one.alive(now, False, now)
        if one.wants(now):
            asked.append(second)
            one.ask(len(asked), now)
    assert asked == [0, 30, 60, 90]


def test_a_loss_during_a_recovery_makes_it_void_but_not_one_from_before():
    one = producer()
    one.alive(T, False, T)
    one.ask(1, T)
    one.accepted(1)
    one.alive(T, False, T + 1)  # the same one, once more
    assert one.state is State.RECOVERING
    one.alive(T + 5 * S, False, T + 5 * S)
    one.snapshot_complete(1, T + 6 * S)
    assert not one.believed(T + 6 * S)


def test_nothing_is_asked_for_while_there_is_no_line():
    one = producer()
    one.alive(T, True, T)
    one.ask(1, T)
    one.snapshot_complete(1, T)
    one.lost()
    assert not one.believed(T + 1)
    assert not one.wants(T + 40 * S)
    one.alive(T + 50 * S, True, T + 50 * S)
    assert one.wants(T + 50 * S)


def test_delayed_messages_are_no_loss():
    one = producer()
    one.alive(T, True, T)
    one.ask(1, T)
    one.snapshot_complete(1, T)
    one.alive(T + 5 * S, True, T + 19 * S)
    assert not one.believed(T + 25 * S)
    one.alive(T + 30 * S, True, T + 31 * S)
    assert one.believed(T + 31 * S)


# A market


def test_a_market_opens_with_its_names_and_price():
    house = House().up()
    house.odds()
    assert house.status is MarketStatus.OPEN
    market = house.book.markets[TOTAL]
    assert (market.name, market.kind) == ("Total", "total")
    assert {of: one.name for of, one in market.selections.items()} == {
        "12": "over 2.5",
        "13": "under 2.5",
    }
    assert house.price == 19_000
    assert house.book.fixtures[FIXTURE].name == "Ayr v Bath"


def test_nothing_opens_before_the_snapshot_is_complete():
    house = House()
    house.alive()
    house.wait(1)
    house.odds()
    assert house.status is MarketStatus.SUSPENDED
    house.complete()
    assert house.status is MarketStatus.OPEN


def test_an_event_without_a_name_waits_for_it_and_asks_again():
    house = House(named=False).up()
    house.odds()
    assert not house.book.fixtures
    house.pass_alive(60 * S)
    assert sum(isinstance(asked, AskFixture) for asked in house.asked) == 3
    house.odds(21_000)
    house.session.answered(CARD, house.now)
    house.listen()
    assert (house.status, house.price) == (MarketStatus.OPEN, 21_000)


def test_silence_suspends_and_only_a_new_price_after_recovery_opens():
    house = House().up()
    house.odds()
    house.wait(20 * S)
    assert house.status is MarketStatus.SUSPENDED
    house.wait(20 * S)
    house.alive()
    assert house.last_recovery(LIVE).after_ms == T
    house.complete()
    assert house.status is MarketStatus.SUSPENDED  # the snapshot did not have it
    house.wait(1)
    house.odds(22_000)
    assert (house.status, house.price) == (MarketStatus.OPEN, 22_000)


def test_a_price_said_during_the_recovery_opens_with_its_end():
    house = House().up()
    house.odds()
    house.alive(subscribed=False)
    assert house.status is MarketStatus.SUSPENDED
    house.wait(30 * S)
    house.alive(subscribed=False)
    request = house.last_recovery(LIVE).request_id
    house.wait(S)
    house.odds(23_000, request=request)
    assert house.status is MarketStatus.SUSPENDED
    house.complete()
    assert (house.status, house.price) == (MarketStatus.OPEN, 23_000)


def test_a_late_price_from_before_the_recovery_does_not_open():
    house = House().up()
    house.odds()
    house.wait(10 * S)
    house.alive(subscribed=False)
    late = house.now - S
    house.wait(25 * S)
    house.alive(subscribed=False)
    house.hear(odds(late, 50_000))
    house.complete()
    assert house.status is MarketStatus.SUSPENDED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.ACTIVE, MarketStatus.OPEN),
        (Status.INACTIVE, MarketStatus.CLOSED),
        (Status.SUSPENDED, MarketStatus.SUSPENDED),
        (Status.HANDED_OVER, MarketStatus.SUSPENDED),
        (Status.SETTLED, MarketStatus.CLOSED),
        (Status.CANCELLED, MarketStatus.CLOSED),
        (None, MarketStatus.OPEN),
    ],
)
def test_each_status_and_back(status, expected):
    house = House().up()
    house.odds()
    house.wait(1)
    house.odds(21_000, status)
    assert house.status is expected
    house.wait(1)
    house.odds(22_000)
    assert (house.status, house.price) == (MarketStatus.OPEN, 22_000)
    assert not house.book.refused


def test_a_bet_stop_suspends_and_is_not_undone_by_older_odds():
    house = House().up()
    house.odds()
    house.wait(2 * S)
    house.hear(stop(house.now))
    assert house.status is MarketStatus.SUSPENDED
    house.hear(odds(house.now - S, 30_000))
    house.hear(odds(house.now, 30_000))
    assert house.status is MarketStatus.SUSPENDED
    house.wait(1)
    house.odds(24_000)
    assert house.status is MarketStatus.OPEN
    house.hear(stop(house.now - 1, ("corners",)))
    house.hear(stop(house.now + 0, ("corners",)))
    assert house.status is MarketStatus.OPEN


def test_a_bet_stop_of_a_group_holds_for_a_market_that_comes_later_from_before():
    house = House().up()
    house.hear(stop(house.now, ("score",)))
    house.hear(odds(house.now - 1))
    assert house.status is MarketStatus.SUSPENDED


def test_a_price_that_comes_late_is_left_out():
    house = House().up()
    house.wait(5 * S)
    house.odds(19_000)
    house.hear(odds(house.now - S, 30_000))
    house.hear(odds(house.now - 2 * S, 30_000, Status.SUSPENDED))
    assert (house.status, house.price) == (MarketStatus.OPEN, 19_000)


def test_repeated_messages_say_nothing():
    house = House().up()
    message = odds(house.now)
    house.hear(message)
    events = len(house.book.events)
    for _ in range(3):
        house.wait(S)
        house.hear(message)
    assert len(house.book.events) == events


def test_a_contradiction_suspends_until_something_newer():
    house = House().up()
    house.odds(19_000)
    house.odds(21_000)
    assert house.status is MarketStatus.SUSPENDED
    house.wait(1)
    house.odds(21_000)
    assert (house.status, house.price) == (MarketStatus.OPEN, 21_000)


def test_an_outcome_that_is_not_said_again_has_no_price():
    house = House().up()
    house.odds()
    house.wait(1)
    house.odds(outcomes=("13",))
    assert house.price == 0


def test_something_unreadable_about_an_event_suspends_it():
    house = House().up()
    house.odds()
    house.wait(1)
    house.session.unreadable("hi.-.live.bet_stop.1.sr:match.7.-", house.now)
    house.listen()
    assert house.status is MarketStatus.SUSPENDED
    assert isinstance(house.asked[-1], AskEvent)
    house.wait(1)
    house.odds()
    assert house.status is MarketStatus.OPEN


def test_a_hand_over_waits_for_the_other_producer():
    house = House().up(PRE, LIVE)
    house.odds(product=PRE)
    house.wait(1)
    house.odds(status=Status.HANDED_OVER, product=PRE)
    assert house.status is MarketStatus.SUSPENDED
    house.wait(1)
    house.odds(25_000, product=LIVE, event=EventStatus.LIVE)
    assert (house.status, house.price) == (MarketStatus.OPEN, 25_000)
    market = house.book.markets[TOTAL]
    assert market.in_play
    assert market.bet_delay_ms == 2_000
    house.wait(1)
    house.odds(30_000, product=PRE)
    house.odds(30_000, Status.HANDED_OVER, product=PRE)
    assert (house.status, house.price) == (MarketStatus.OPEN, 25_000)
    # The producer that has it no more may fall silent.
    house.pass_alive(40 * S, LIVE)
    assert house.status is MarketStatus.OPEN


def test_bets_have_to_wait_in_play_before_anything_opens():
    house = House().up()
    house.odds(event=EventStatus.LIVE)
    opened = [
        event
        for event in house.book.events
        if type(event).__name__ == "StatusChanged" and event.status is MarketStatus.OPEN
    ]
    assert all(event.in_play and event.bet_delay_ms for event in opened)
    assert house.book.fixtures[FIXTURE].phase is Phase.IN_PLAY


@pytest.mark.parametrize(
    ("event", "limit_ms"), [(EventStatus.NOT_STARTED, 60 * S), (EventStatus.LIVE, 20 * S)]
)
def test_a_price_has_an_age_limit_by_phase(event, limit_ms):
    ages = Ages(prematch_ms=60 * S, in_play_ms=20 * S)
    house = House(Options(ages=ages)).up(PRE)
    house.odds(product=PRE, event=event)
    house.pass_alive(limit_ms * 3 // 4, PRE)
    assert house.status is MarketStatus.OPEN
    asked = [one for one in house.asked if isinstance(one, AskEvent)]
    assert len(asked) == 1
    house.wait(limit_ms // 4 - 1)
    assert house.status is MarketStatus.OPEN
    house.wait(1)
    assert house.status is MarketStatus.SUSPENDED
    house.alive(PRE)
    house.odds(product=PRE, request=asked[0].request_id)
    assert house.status is MarketStatus.OPEN


def test_a_quiet_market_stays_open_when_it_is_confirmed():
    house = House(Options(ages=Ages(in_play_ms=60 * S))).up()
    said = odds(house.now)
    house.hear(said)
    for _ in range(60):
        house.pass_alive(5 * S)
        assert house.status is MarketStatus.OPEN
        for one in house.asked:
            if isinstance(one, AskEvent):
                house.hear(odds(said.timestamp, request=one.request_id))


# Results


def test_a_settlement_declares_once_and_a_confirmation_says_nothing():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(settled(house.now, **OVER_WON))
    assert house.results() == {"12": WON, "13": LOST}
    events = len(house.book.events)
    house.wait(1)
    house.hear(settled(house.now, 2, **OVER_WON))
    house.hear(settled(house.now - 1, 1, o12=(0,), o13=(1,)))
    house.odds(30_000)
    assert len(house.book.events) == events
    assert not house.book.refused


def test_a_corrected_result_corrects_and_a_late_first_one_does_not():
    house = House().up()
    house.odds()
    house.hear(settled(T + 9, o12=(0,), o13=(1,)))
    house.wait(10)
    house.hear(settled(T + 10, **OVER_WON))
    house.hear(settled(T + 5, o12=(0,), o13=(1,)))
    assert house.results() == {"12": WON, "13": LOST}


def test_results_wait_for_the_certainty_that_is_wanted():
    house = House(Options(certainty=2)).up()
    house.odds()
    house.wait(1)
    house.hear(settled(house.now, 1, **OVER_WON))
    house.odds(status=Status.SETTLED)
    assert not house.results()
    house.hear(settled(house.now, 2, **OVER_WON))
    assert house.results() == {"12": WON, "13": LOST}


def test_what_is_known_of_some_selections_settles_them_and_closes_the_market():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(settled(house.now, o12=(1, "0.5"), o13=(-1,)))
    half = Result(Outcome.HALF_WON)
    assert house.undoing == [outcomes.SettleSelections(FIXTURE, TOTAL, {"12": half})]
    assert house.results() == {"12": half}
    assert house.status is MarketStatus.CLOSED
    house.wait(1)
    house.hear(settled(house.now, o12=(1, "0.5"), o13=(0, "0.5")))
    assert house.results() == {"12": half, "13": Result(Outcome.HALF_LOST)}


def test_a_void_outcome_among_undecided_ones_is_a_withdrawal():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(settled(house.now, o12=(0, "1"), o13=(-1,)))
    assert house.book.markets[TOTAL].selections["12"].withdrawn
    assert house.status is MarketStatus.OPEN
    assert not house.undoing


def test_a_rollback_opens_bets_again_and_the_market_with_the_next_odds():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(settled(house.now, **OVER_WON))
    house.wait(1)
    house.hear(unsettled(house.now))
    assert house.undoing == [outcomes.RollBackResult(FIXTURE, TOTAL)]
    assert not house.results()
    assert house.status is MarketStatus.OPEN  # its odds had never been stopped
    house.wait(1)
    house.hear(settled(house.now, o12=(0,), o13=(1,)))
    assert house.results() == {"12": LOST, "13": WON}


def test_a_cancellation_voids_and_its_rollback_brings_the_result_back():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(settled(house.now, **OVER_WON))
    house.wait(1)
    house.hear(cancelled(house.now))
    assert house.status is MarketStatus.CANCELLED
    house.wait(1)
    house.hear(uncancelled(house.now))
    assert house.results() == {"12": WON, "13": LOST}
    assert house.status is MarketStatus.CLOSED


@pytest.mark.parametrize("window", [(T, T + 9), (None, T + 9), (T, None)])
def test_a_window_voids_the_bets_placed_in_it_and_leaves_the_market(window):
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(cancelled(house.now, *window))
    house.hear(cancelled(house.now, *window))
    assert house.undoing == [outcomes.VoidPlaced(FIXTURE, TOTAL, Window(*window))]
    assert house.book.markets[TOTAL].windows == (Window(*window),)
    # Without an end, every bet would be void that is made from here on.
    assert (house.status is MarketStatus.OPEN) is (window[1] is not None)
    house.wait(1)
    house.hear(uncancelled(house.now, T + 1, T + 2))
    house.hear(uncancelled(house.now, *window))
    assert house.undoing[1:] == [outcomes.RollBackVoid(FIXTURE, TOTAL, Window(*window))]
    assert not house.book.markets[TOTAL].windows
    assert house.status is MarketStatus.OPEN
    assert not house.book.refused


def test_an_outcome_that_joins_late_is_added_priced_and_settled():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(odds(house.now, outcomes=("12", "13", "99")))
    assert [type(said).__name__ for said in house.undoing] == ["AddSelection"]
    selection = house.book.markets[TOTAL].selections["99"]
    assert selection.odds == 20_000
    house.wait(1)
    house.hear(settled(house.now, **OVER_WON))
    assert house.status is MarketStatus.CLOSED
    assert house.results() == {"12": WON, "13": LOST}
    house.wait(1)
    house.hear(settled(house.now, **OVER_WON, o99=(0,)))
    assert house.results() == {"12": WON, "13": LOST, "99": LOST}
    assert not house.book.refused


async def test_started_again_it_settles_who_was_there_before_and_who_joined_meanwhile():
    """Two sessions after each other, through the pump into one book."""

    class Start:
        name, live = "uof", True

        def __init__(self, keys: str, house: House) -> None:
            self.keys, self.said = keys, tuple(house.said)

        async def steps(self):
            yield Step(T, self.said)

    before, after = House().up(), House().up()
    before.odds(outcomes=("12", "13", "98", "99"))
    after.odds(outcomes=("12", "13", "77"))
    after.wait(1)
    after.hear(settled(after.now, **OVER_WON, o77=(0,), o99=(0,)))
    book = Rehearsal()
    await pump(Start("1", before), book, WallClock(), speed=0)
    tally = await pump(Start("2", after), book, WallClock(), speed=0)
    market = book.markets[TOTAL]
    assert tally.joined == 1
    assert not tally.refused
    assert market.status is MarketStatus.CLOSED
    assert market.results == {"12": WON, "13": LOST, "77": LOST, "99": LOST, "98": VOID}


def test_an_event_that_moved_is_closed_for_good():
    house = House().up()
    house.odds()
    house.wait(1)
    house.hear(cancelled(house.now, by="sr:match:8"))
    house.wait(1)
    house.hear(uncancelled(house.now))
    house.odds()
    assert house.status is not MarketStatus.OPEN


HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["settle over", "settle under", "unsettle", "cancel", "uncancel"]),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=300, deadline=None)
@example([("settle over", 2), ("unsettle", 1), ("settle under", 1)], Random(7), 0)
@given(HISTORY, st.randoms(), st.integers(0, 3))
def test_results_do_not_depend_on_the_order_of_arrival(history, rng, repeats):
    """In order, then shuffled with repeats: the market ends with the same result."""
    messages = []
    for n, (what, certainty) in enumerate(history, 1):
        messages.append(
            {
                "settle over": settled(T + n, certainty, **OVER_WON),
                "settle under": settled(T + n, certainty, o12=(0,), o13=(1,)),
                "unsettle": unsettled(T + n),
                "cancel": cancelled(T + n),
                "uncancel": uncancelled(T + n),
            }[what]
        )
    shuffled = messages + [rng.choice(messages) for _ in range(repeats)]
    rng.shuffle(shuffled)
    ends = []
    for order in (messages, shuffled):
        house = House().up()
        house.odds()
        house.wait(S)
        for message in order:
            house.hear(message)
        assert not house.book.refused
        market = house.book.markets[TOTAL]
        ends.append((market.results, market.status is MarketStatus.CANCELLED))
    assert ends[0] == ends[1]
    assert ends[0] == _naive(history)


def _naive(history) -> tuple[dict[str, Result], bool]:
    """The same by going through the history once."""
    best: tuple[int, int, str] | None = None
    void = False
    for n, (what, certainty) in enumerate(history, 1):
        if what == "unsettle":
            best = None
        elif what in ("cancel", "uncancel"):
            void = what == "cancel"
        elif best is None or (certainty, n) >= best[:2]:
            best = (certainty, n, what)
    if void:
        return {"12": VOID, "13": VOID}, True
    if best is None:
        return {}, False
    over = best[2] == "settle over"
    return {"12": WON if over else LOST, "13": LOST if over else WON}, False


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"bet_delay_ms": -1}, "bet_delay_ms is -1"),
        ({"certainty": 3}, "certainty is 3"),
        ({"ages": Ages(0, 1)}, "too old"),
        ({"producers": PRODUCERS * 2}, "once"),
        ({"producers": ()}, "one at least"),
    ],
)
def test_bad_options_are_refused(more, why):
    with pytest.raises(ValueError, match=why):
        check(Options(**more))


# Nothing stale is ever open

AGES = Ages(prematch_ms=90 * S, in_play_ms=45 * S)


class StaleMachine(RuleBasedStateMachine):
    """Two producers and one market; messages come late, twice, in any order, or never.

    The model remembers everything that was ever heard and asked, and derives from all of it, each
    time anew, whether an open market could be justified at all."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(Options(ages=AGES))
        self.heard: list[tuple[int, uof.Message]] = []
        self.asks: list[tuple[int, int, Recover | AskEvent]] = []
        """When, after how many messages."""
        self.lost_line: list[int] = []
        self.taken = 0

    def _hear(self, message: uof.Message) -> None:
        self.heard.append((self.house.now, message))
        self.house.hear(message)
        self._note()

    def _note(self) -> None:
        for request in self.house.asked[self.taken :]:
            if not isinstance(request, AskFixture):
                self.asks.append((self.house.now, len(self.heard), request))
        self.taken = len(self.house.asked)

    @rule(seconds=st.sampled_from([0.001, 1, 4, 9, 12, 19, 25, 40]))
    def time(self, seconds):
        self.house.wait(int(seconds * S))
        self._note()

    @rule(product=st.sampled_from([LIVE, PRE]), late=st.sampled_from([0, 0, 0, 5, 25]))
    def alive(self, product, late):
        self._hear(uof.Alive(product, self.house.now - late * S, True))

    @initialize()
    def a_good_beginning(self):
        self.all_is_well()

    @rule()
    def all_is_well(self):
        for product in (PRE, LIVE):
            self.everything_is_well(product)

    @rule(times=st.integers(1, 10))
    def all_go_on_living(self, times):
        for _ in range(times):
            self.time(9)
            for product in (LIVE, PRE):
                self._hear(uof.Alive(product, self.house.now, True))

    @rule(product=st.sampled_from([LIVE, PRE]), late=st.sampled_from([0, 0, 10]))
    def lost(self, product, late):
        self._hear(uof.Alive(product, self.house.now - late * S, False))

    @rule(
        product=st.sampled_from([LIVE, PRE]),
        over=st.sampled_from([15_000, 19_000, 25_000]),
        status=st.sampled_from([Status.ACTIVE] * 4 + [Status.SUSPENDED, Status.HANDED_OVER]),
        late=st.sampled_from([0, 0, 0, 1, 8, 30, -1, -5]),
        answer=st.booleans(),
        event=st.sampled_from([None, None, EventStatus.NOT_STARTED, EventStatus.LIVE]),
    )
    def odds(self, product, over, status, late, answer, event):
        requests = [r for _, _, r in self.asks if r.product == product]
        request = requests[-1].request_id if answer and requests else None
        at = self.house.now - late * S
        self._hear(odds(at, over, status, product=product, request=request, event=event))

    @rule(product=st.sampled_from([LIVE, PRE]), late=st.sampled_from([0, 0, 1, 8]))
    def stop(self, product, late):
        self._hear(stop(self.house.now - late * S, product=product))

    @rule(product=st.sampled_from([LIVE, PRE]), which=st.sampled_from([-1, -1, -1, -2]))
    def snapshot(self, product, which):
        requests = [r for _, _, r in self.asks if isinstance(r, Recover) and r.product == product]
        if len(requests) >= -which:
            self._hear(uof.SnapshotComplete(product, self.house.now, requests[which].request_id))

    @rule(product=st.sampled_from([LIVE, PRE]))
    def everything_is_well(self, product):
        """What a good feed does: alive, the snapshot, and that it is complete."""
        self._hear(uof.Alive(product, self.house.now, True))
        self.odds(product, 19_000, Status.ACTIVE, 0, True, None)
        self.snapshot(product, -1)

    @rule()
    def api_fails(self):
        for _, _, request in self.asks[-1:]:
            self.house.session.failed(request)
            self.house.wait(0)

    @rule()
    def line_is_cut(self):
        self.lost_line.append(len(self.heard))
        self.house.session.disconnected(self.house.now)
        self.house.wait(0)
        self._note()

    @rule(n=st.integers(0, 200))
    def again(self, n):
        if self.heard:
            self._hear(self.heard[-1 - n % len(self.heard)][1])

    @invariant()
    def nothing_stale_is_open(self):
        market = self.house.book.markets.get(TOTAL)
        assert not self.house.book.refused
        if market is None or market.status is not MarketStatus.OPEN:
            return
        shown = {of: one.odds for of, one in market.selections.items()}
        reasons = {product: self._why_not(product, shown) for product in (LIVE, PRE)}
        assert "" in reasons.values(), reasons

    def _why_not(self, product: int, shown: dict[str, int]) -> str:
        """Why this producer can't be why the market is open with these prices; "" if it can."""
        now = self.house.now
        mine = [(n, at, m) for n, (at, m) in enumerate(self.heard) if m.product == product]
        future = [(n, at) for n, (at, m) in enumerate(self.heard) if m.timestamp > at + 2 * S]
        alives = [(n, at, m) for n, at, m in mine if isinstance(m, uof.Alive)]
        if not alives or now - alives[-1][1] >= 20 * S:
            return "silent"
        if now - max(min(m.timestamp, at + 2 * S) for _, at, m in mine) >= 20 * S:
            return "delayed"
        asks = [a for a in self.asks if isinstance(a[2], Recover) and a[2].product == product]
        if not asks:
            return "never recovered"
        asked_ms, index, request = asks[-1]
        done = [
            n
            for n, _, m in mine
            if isinstance(m, uof.SnapshotComplete)
            and m.request_id == request.request_id
            and n >= index
        ]
        if not done:
            return "not recovered"
        if any(cut >= index for cut in self.lost_line):
            return "cut"
        moments = [asked_ms, *(at for n, at, _ in alives if n >= index), now]
        if any(b - a >= 20 * S for a, b in itertools.pairwise(moments)):
            return "was silent"
        known = max(
            at if m.timestamp > at + 2 * S else m.timestamp for n, at, m in mine if n < index
        )
        if any(not m.subscribed and m.timestamp > known for n, _, m in alives if n >= index):
            return "lost something"
        prices = [
            (m.timestamp, n, m)
            for n, at, m in mine
            if isinstance(m, uof.OddsChange) and m.timestamp <= at + 2 * S
        ]
        if not prices:
            return "no price"
        newest = max(price[0] for price in prices)
        last = [price for price in prices if price[0] == newest]
        said = [m.markets[0] for *_, m in last]
        if all(one.status is not Status.ACTIVE for one in said):
            return "not active"
        if shown not in [{s.outcome_id: s.odds for s in one.selections} for one in said]:
            return "another price"
        if not any(
            n >= index and (newest > known or m.request_id == request.request_id)
            for _, n, m in last
        ):
            return "from before the recovery"
        if any(
            isinstance(m, uof.BetStop) and newest <= m.timestamp <= at + 2 * S for _, at, m in mine
        ):
            return "stopped"
        asked = {r.request_id: ms for ms, _, r in self.asks if r.product == product}
        first = min(n for _, n, _ in last)
        fresh = [n for _, n, m in last if n == first or m.request_id in asked]
        if any(newest <= at or max(fresh) < blind for blind, at in future):
            return "blind"
        states = [
            (m.timestamp, n, m.status.status)
            for n, (at, m) in enumerate(self.heard)
            if isinstance(m, uof.OddsChange) and m.status and m.timestamp <= at + 2 * S
        ]
        begun = states and max(states)[2] is EventStatus.LIVE
        limit_ms = 45 * S if product == LIVE or begun else 90 * S
        if now - max(max(newest, asked.get(m.request_id, 0)) for *_, m in last) >= limit_ms:
            return "too old"
        if product == PRE:
            live = [
                (m.timestamp, m.markets[0].status)
                for at, m in self.heard
                if isinstance(m, uof.OddsChange) and m.product == LIVE and m.timestamp <= at + 2 * S
            ]
            if live and max(live)[0] > newest and max(live)[1] is not Status.HANDED_OVER:
                return "live has it"
        return ""


StaleMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestNothingStale = StaleMachine.TestCase


def test_the_commands_that_open_come_after_the_prices():
    house = House().up()
    house.session.hear(odds(house.now), house.now)
    house.session.answered(CARD, house.now)
    said = house.session.take()
    names = [type(one).__name__ for one in said]
    assert names == ["CreateFixture", "OpenMarket", "ChangePrices", "ChangeStatus"]
    assert isinstance(said[-1], ChangeStatus)
    assert not any(isinstance(one, DeclareResult) for one in said)
    assert Kind.LIVE in WINDOWS_MS
