"""A market: the ladder of placing, the trader's commands, and a book that counts every bet once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.bet import PriceChange
from actors.book import HOLD_MS, Book, Confirmed, Hold, Line, liability_of
from actors.declaring import (
    CompleteSettlement,
    DeclareResult,
    ResultDeclared,
    SelectionWithdrawn,
    SettlementCompleted,
    WithdrawSelection,
)
from actors.fixture import MAX_MARKETS, Fixture, Phase
from actors.holds import ConfirmHold, CountHolds, Held, HoldStake, LookAgain, OpenHolds, ReleaseHold
from actors.market import (
    GetExposure,
    GetMarket,
    Limits,
    Market,
    MarketStatus,
    MarketView,
    Selection,
)
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.trading import ChangePrices, ChangeStatus, OpenMarket, PricesChanged, StatusChanged
from ledger.money import Money

NOW = 1_800_000_000_000
NONE, BETTER, ANY = PriceChange.NONE, PriceChange.BETTER, PriceChange.ANY
LIMITS = Limits(
    min_stake_minor=10,
    max_stake_minor=1_000,
    max_liability_minor=3_000,
    max_slip_liability_minor=3_000,
)
OPEN, SUSPENDED, CLOSED, SETTLED, CANCELLED = MarketStatus


def fixture(**state: Any) -> Fixture:
    return Fixture(**({"fixture_id": "f", "name": "A - B", "seq": 7} | state))


def market(odds: int = 25_000, *, known: bool = True, **state: Any) -> Market:
    defaults: dict[str, Any] = {
        "market_id": "f:m",
        "fixture_id": "f",
        "name": "Winner",
        "currency": "GBP",
        "limits": LIMITS,
        "selections": {"a": Selection("A", odds), "b": Selection("B", 30_000)},
        "odds_version": 4,
    }
    made = Market(**(defaults | state))
    made.book.known = made.book.whole = known
    return made


def hold(
    stake: int = 100,
    odds: int = 25_000,
    policy: PriceChange = NONE,
    *,
    selection: str = "a",
    currency: str = "GBP",
    bet_id: str = "bet",
) -> HoldStake:
    money = Money(stake, currency)
    return HoldStake("f", "f:m", selection, bet_id, "gb", "p", money, odds, policy)


def ask(question: Any, of: Market, now_ms: int = NOW) -> Any:
    return question.answer(now_ms, of, fixture())


def after(of: Market, *commands: Any) -> Market:
    """The market, when commands have been carried out."""
    beside = fixture()
    for command in commands:
        event = command.decide(NOW, of, beside)
        assert not isinstance(event, Refused), event
        before = beside.seq
        event.apply(of, beside)
        assert beside.seq == before + 1
    return of


@pytest.mark.parametrize("phase", [Phase.ENDED, Phase.CANCELLED])
def test_no_bet_on_a_fixture_that_is_over_whatever_its_market_says(phase: Phase) -> None:
    open_market = market()
    beside = fixture()
    assert isinstance(hold(bet_id="early").answer(NOW, open_market, beside), Held)
    beside.phase = phase
    assert hold().answer(NOW, open_market, beside).reason is Reason.MARKET_CLOSED
    again = LookAgain("f", "f:m", "early", 25_000, NONE)
    assert again.answer(NOW, open_market, beside).reason is Reason.MARKET_CLOSED
    assert open_market.book.holds == {}


def status(then: MarketStatus, *, in_play: bool = False, delay_ms: int = 0) -> ChangeStatus:
    return ChangeStatus("f", "f:m", then, in_play, delay_ms)


def price(odds: int) -> ChangePrices:
    return ChangePrices("f", "f:m", {"a": odds})


DECLARE = DeclareResult("f", "f:m", {"a": WON, "b": LOST})


# Placing


@pytest.mark.parametrize(
    ("question", "state", "reason", "facts"),
    [
        # each line breaks its own rule and every rule below it
        (hold(1, 9, selection="x"), Market(), Reason.UNKNOWN_MARKET, {}),
        (hold(1, 9, selection="x"), market(status=SUSPENDED), Reason.UNKNOWN_SELECTION, {}),
        (hold(1, 9), market(0, status=SUSPENDED), Reason.MARKET_SUSPENDED, {}),
        *[
            (hold(1, 9), market(0, status=over), Reason.MARKET_CLOSED, {})
            for over in (CLOSED, SETTLED, CANCELLED)
        ],
        (hold(1, 9), market(0), Reason.SELECTION_UNAVAILABLE, {}),
        (
            hold(1, 9),
            market(selections={"a": Selection("A", 25_000, withdrawn=True)}),
            Reason.SELECTION_UNAVAILABLE,
            {},
        ),
        (hold(1, ONE), market(ONE), Reason.SELECTION_UNAVAILABLE, {}),  # pays no more than it takes
        (hold(1, 9), market(MAX_ODDS + 1), Reason.SELECTION_UNAVAILABLE, {}),
        (
            hold(1, 24_999, currency="EUR"),
            market(known=False),
            Reason.PRICE_CHANGED,
            {"odds": 25_000, "odds_version": 4},
        ),
        (
            hold(1, currency="EUR"),
            market(known=False),
            Reason.CURRENCY_MISMATCH,
            {"currency": "GBP"},
        ),
        (hold(9), market(known=False), Reason.STAKE_TOO_SMALL, {"min_stake_minor": 10}),
        (hold(1_001), market(known=False), Reason.STAKE_ABOVE_LIMIT, {"max_stake_minor": 1_000}),
        (
            hold(1_000, MAX_ODDS),
            market(MAX_ODDS, known=False),
            Reason.LIABILITY_UNKNOWN,
            {},
        ),
        (hold(1_000, 50_000), market(50_000), Reason.LIABILITY_LIMIT, {"max_stake_minor": 750}),
    ],
)
def test_a_market_refuses_a_stake(
    question: HoldStake, state: Market, reason: Reason, facts: dict[str, Any]
) -> None:
    assert ask(question, state) == Refused(reason, facts=facts)
    assert not state.book.holds


@pytest.mark.parametrize(
    ("asked", "now", "policy", "taken"),
    [
        (25_000, 25_000, NONE, True),
        (25_000, 25_001, NONE, False),
        (25_000, 24_999, NONE, False),
        (25_000, 25_000, BETTER, True),
        (25_000, 25_001, BETTER, True),
        (25_000, 24_999, BETTER, False),
        (25_000, 25_001, ANY, True),
        (25_000, MIN_ODDS, ANY, True),
    ],
)
def test_price_policies(asked: int, now: int, policy: PriceChange, taken: bool) -> None:
    answer = ask(hold(100, asked, policy), market(now))
    if taken:
        assert (answer.odds, answer.odds_version) == (now, 4)  # a better price is given
    else:
        assert answer.reason is Reason.PRICE_CHANGED


def test_a_hold_says_the_price_and_until_when() -> None:
    state = market(in_play=True, bet_delay_ms=2_000)
    held = ask(hold(), state)
    assert held == Held(25_000, 4, 2_000, NOW + 2_000 + HOLD_MS, "A - B", "Winner", "A", True)
    assert state.book.lines["a"] == Line(1, 100, 150)


def test_a_bet_delay_is_waited_out_in_play_only() -> None:
    assert ask(hold(), market(bet_delay_ms=2_000)).bet_delay_ms == 0


@pytest.mark.parametrize(
    ("stake", "odds", "liability"),
    [
        (100, 25_000, 150),
        (1, 10_001, 1),  # a ten-thousandth of a penny is a penny: no limit is overrun
        (333, 15_000, 167),
        (334, 15_000, 167),
        (10_000, 10_001, 1),
        (10_001, 10_001, 2),
    ],
)
def test_liability_is_rounded_up(stake: int, odds: int, liability: int) -> None:
    assert liability_of(stake, odds) == liability


@given(st.integers(1, 10**9), st.integers(MIN_ODDS, MAX_ODDS))
def test_liability_is_never_below_the_exact_amount(stake: int, odds: int) -> None:
    exact = Fraction(stake * (odds - ONE), ONE)
    assert exact <= liability_of(stake, odds) < exact + 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(10, 1_000), st.integers(MIN_ODDS, 300_000)), max_size=30),
    st.integers(MIN_ODDS, 300_000),
)
def test_a_refused_stake_is_told_the_largest_that_has_room(
    taken: list[tuple[int, int]], odds: int
) -> None:
    state = market(odds, limits=Limits(1, 10**10, 100_000))
    for number, (stake, at) in enumerate(taken):
        state.selections["a"].odds = at
        ask(hold(stake, at, bet_id=f"b{number}"), state)
        assert state.book.line("a").liability_minor <= 100_000
    state.selections["a"].odds = odds
    refused = ask(hold(10**10, odds, bet_id="last"), state)
    assert refused.reason is Reason.LIABILITY_LIMIT
    room = refused.facts["max_stake_minor"]
    if room:
        assert isinstance(ask(hold(room, odds, bet_id="fits"), state), Held)
        state.book.release("fits")
    too_much = ask(hold(room + 1, odds, bet_id="more"), state)
    assert isinstance(too_much, Refused)


# Looking again after the delay


def look(odds: int = 25_000, policy: PriceChange = NONE) -> LookAgain:
    return LookAgain("f", "f:m", "bet", odds, policy)


def waiting(policy: PriceChange = NONE) -> Market:
    state = market(in_play=True, bet_delay_ms=2_000)
    assert isinstance(ask(hold(policy=policy), state), Held)
    return state


def test_the_price_is_still_there_after_the_delay() -> None:
    state = waiting()
    held = ask(look(), state, NOW + 2_000)
    assert (held.odds, held.expires_at_ms) == (25_000, NOW + 2_000 + HOLD_MS)
    assert state.book.lines["a"] == Line(1, 100, 150)


@pytest.mark.parametrize(
    ("now", "policy", "odds"),
    [(26_000, BETTER, 26_000), (24_000, ANY, 24_000), (26_000, ANY, 26_000)],
)
def test_the_bet_gets_the_price_after_the_delay(now: int, policy: PriceChange, odds: int) -> None:
    state = after(waiting(policy), price(now))
    assert ask(look(policy=policy), state).odds == odds
    assert state.book.lines["a"] == Line(1, 100, liability_of(100, odds))
    assert state.book.holds["bet"].odds == odds


@pytest.mark.parametrize(
    ("meanwhile", "policy", "reason"),
    [
        ([price(24_000)], BETTER, Reason.PRICE_CHANGED),
        ([price(26_000)], NONE, Reason.PRICE_CHANGED),
        ([price(0)], ANY, Reason.SELECTION_UNAVAILABLE),
        ([status(SUSPENDED)], ANY, Reason.MARKET_SUSPENDED),
        # suspended for a moment only: the bet has missed something all the same
        ([status(SUSPENDED), status(OPEN)], ANY, Reason.MARKET_SUSPENDED),
        ([status(CLOSED)], ANY, Reason.MARKET_SUSPENDED),
        ([DECLARE], ANY, Reason.MARKET_SUSPENDED),
        ([WithdrawSelection("f", "f:m", "a")], ANY, Reason.SELECTION_UNAVAILABLE),
        ([price(400_000)], ANY, Reason.LIABILITY_LIMIT),
    ],
)
def test_what_happens_during_the_delay_gives_the_room_back(
    meanwhile: list[Any], policy: PriceChange, reason: Reason
) -> None:
    state = after(waiting(policy), *meanwhile)
    assert ask(look(policy=policy), state).reason is reason
    assert not state.book.holds
    assert state.book.lines["a"] == Line()


def test_a_hold_that_is_gone_has_expired() -> None:
    assert ask(look(), market()) == Refused(Reason.HOLD_EXPIRED)


def test_a_suspension_breaks_only_the_holds_that_wait() -> None:
    state = after(waiting(), status(SUSPENDED), status(OPEN))
    assert isinstance(ask(hold(bet_id="later"), state), Held)
    assert (state.book.holds["bet"].broken, state.book.holds["later"].broken) == (True, False)


# The trader's commands


@pytest.mark.parametrize(
    ("command", "state", "reason", "facts"),
    [
        (price(2), Market(), Reason.UNKNOWN_MARKET, {}),
        (
            ChangePrices("f", "f:m", {"x": 2}, 5),
            market(status=CLOSED, source_sequence=5),
            Reason.STALE_SEQUENCE,
            {"sequence": 5},
        ),
        (
            ChangePrices("f", "f:m", {"x": 2}, 6),
            market(status=CLOSED, source_sequence=5),
            Reason.UNKNOWN_SELECTION,
            {"selection_id": "x"},
        ),
        (price(2), market(status=CLOSED), Reason.WRONG_STATUS, {"status": "closed"}),
        (status(OPEN), Market(), Reason.UNKNOWN_MARKET, {}),
        (status(OPEN), market(status=SETTLED), Reason.WRONG_STATUS, {"status": "settled"}),
        (status(SETTLED), market(), Reason.WRONG_STATUS, {"status": "open"}),
        (status(CANCELLED), market(), Reason.WRONG_STATUS, {"status": "open"}),
        (WithdrawSelection("f", "f:m", "x"), Market(), Reason.UNKNOWN_MARKET, {}),
        (
            WithdrawSelection("f", "f:m", "x"),
            market(status=SETTLED),
            Reason.UNKNOWN_SELECTION,
            {},
        ),
        (
            WithdrawSelection("f", "f:m", "a"),
            market(status=SETTLED),
            Reason.WRONG_STATUS,
            {"status": "settled"},
        ),
        (DECLARE, Market(), Reason.UNKNOWN_MARKET, {}),
        (
            DeclareResult("f", "f:m", {"x": WON}),
            market(),
            Reason.UNKNOWN_SELECTION,
            {"selection_id": "x"},
        ),
        (
            DeclareResult("f", "f:m", {"b": WON}),
            market(),
            Reason.INCOMPLETE_RESULT,
            {"selection_id": "a"},
        ),
        (CompleteSettlement("f", "f:m", 1), Market(), Reason.UNKNOWN_MARKET, {}),
        (CompleteSettlement("f", "f:m", 1), market(), Reason.SUPERSEDED, {"version": 0}),
        (
            CompleteSettlement("f", "f:m", 2),
            market(result_version=3, settled_version=2),
            Reason.SUPERSEDED,
            {"version": 2},
        ),
    ],
)
def test_the_market_refuses(
    command: Any, state: Market, reason: Reason, facts: dict[str, Any]
) -> None:
    assert command.decide(NOW, state, fixture()) == Refused(reason, facts=facts)


@pytest.mark.parametrize(
    ("state", "beside", "reason"),
    [
        (market(), Fixture(), Reason.UNKNOWN_FIXTURE),
        (market(), fixture(phase=Phase.ENDED), Reason.ALREADY_EXISTS),
        (Market(), fixture(phase=Phase.ENDED), Reason.WRONG_STATUS),
        (Market(), fixture(phase=Phase.CANCELLED), Reason.WRONG_STATUS),
        (Market(), fixture(markets=["m"] * MAX_MARKETS), Reason.WRONG_STATUS),
    ],
)
def test_a_market_is_not_opened(state: Market, beside: Fixture, reason: Reason) -> None:
    command = OpenMarket("f", "f:m", "Winner", "win", "GBP", {"a": "A"})
    assert command.decide(NOW, state, beside).reason is reason


def test_a_new_market_takes_bets_at_once_because_nobody_can_have_bet() -> None:
    state = after(
        Market(), OpenMarket("f", "f:m", "Winner", "win", "GBP", {"a": "A"}, LIMITS), price(25_000)
    )
    assert isinstance(ask(hold(), state), Held)


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (
            ChangePrices("f", "f:m", {"a": 0}, 9),
            PricesChanged(NOW, "f", "f:m", 8, 5, {"a": 0}, 9),
        ),
        (price(20_000), PricesChanged(NOW, "f", "f:m", 8, 5, {"a": 20_000}, 3)),
        (
            status(SUSPENDED, in_play=True, delay_ms=1_000),
            StatusChanged(NOW, "f", "f:m", 8, SUSPENDED, True, 1_000),
        ),
        (WithdrawSelection("f", "f:m", "a"), SelectionWithdrawn(NOW, "f", "f:m", 8, 1, "a")),
        (DECLARE, ResultDeclared(NOW, "f", "f:m", 8, 1, {"a": WON, "b": LOST}, False)),
        (
            DeclareResult("f", "f:m", {}, True),
            ResultDeclared(NOW, "f", "f:m", 8, 1, {"a": VOID, "b": VOID}, True),
        ),
    ],
)
def test_the_market_does(command: Any, event: Any) -> None:
    assert command.decide(NOW, market(source_sequence=3), fixture()) == event


# Results


def test_a_withdrawn_selection_is_void_whatever_is_declared() -> None:
    state = after(market(), WithdrawSelection("f", "f:m", "a"), DECLARE)
    assert state.results == {"a": VOID, "b": LOST}
    assert (state.status, state.result_version) == (CLOSED, 2)


def test_the_others_run_on_when_a_selection_is_withdrawn() -> None:
    state = after(market(), WithdrawSelection("f", "f:m", "a"))
    assert state.status is OPEN
    assert isinstance(ask(hold(odds=30_000, selection="b"), state), Held)
    assert isinstance(after(state, status(SUSPENDED), status(OPEN)), Market)


def test_a_market_with_a_result_stays_closed() -> None:
    state = after(market(), DECLARE)
    for then in (OPEN, SUSPENDED):
        assert status(then).decide(NOW, state, fixture()).reason is Reason.WRONG_STATUS
    assert isinstance(status(CLOSED).decide(NOW, state, fixture()), StatusChanged)


def test_the_same_result_twice_is_refused_and_another_is_a_correction() -> None:
    state = after(market(), DECLARE)
    assert DECLARE.decide(NOW, state, fixture()).reason is Reason.WRONG_STATUS
    after(state, DeclareResult("f", "f:m", {"a": LOST, "b": LOST}))
    assert (state.results, state.result_version) == ({"a": LOST, "b": LOST}, 2)


def test_a_market_is_settled_when_every_selection_is_by_its_last_result() -> None:
    state = after(market(), WithdrawSelection("f", "f:m", "a"), CompleteSettlement("f", "f:m", 1))
    assert (state.status, state.settled_version) == (OPEN, 1)
    after(state, DECLARE)
    assert state.status is CLOSED
    after(state, CompleteSettlement("f", "f:m", 2))
    assert (state.status, state.settled_version) == (SETTLED, 2)


def test_a_settlement_of_a_result_that_was_corrected_meanwhile_settles_nothing_yet() -> None:
    state = after(market(), DECLARE, DeclareResult("f", "f:m", {"a": LOST, "b": WON}))
    event = SettlementCompleted(NOW, "f", "f:m", 8, 1)
    event.apply(state, fixture())
    assert (state.status, state.settled_version) == (CLOSED, 1)


def test_a_settled_market_can_be_corrected_and_a_cancelled_one_restored() -> None:
    state = after(market(), DECLARE, CompleteSettlement("f", "f:m", 1))
    after(state, DeclareResult("f", "f:m", {}, True), CompleteSettlement("f", "f:m", 2))
    assert (state.status, state.results) == (CANCELLED, {"a": VOID, "b": VOID})
    after(state, DECLARE)
    assert (state.status, state.results) == (CLOSED, {"a": WON, "b": LOST})


@pytest.mark.parametrize(
    ("state", "rests"),
    [
        (Market(), True),  # somebody asked for a market that there is not
        (market(), False),
        (market(status=CLOSED), False),
        (market(status=SETTLED, result_version=2, settled_version=1), False),
        (market(status=SETTLED, result_version=2, settled_version=2), True),
        (market(status=CANCELLED, result_version=1, settled_version=1), True),
    ],
)
def test_only_what_is_over_leaves_memory(state: Market, rests: bool) -> None:
    assert state.may_rest() is rests
    state.book.hold(Hold("b", "p", "gb", "a", 1, 25_000, NOW))
    assert state.may_rest() is (rests and not state.market_id)


def test_the_book_is_in_no_snapshot() -> None:
    state = market()
    ask(hold(), state)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=Market)
    assert (again.book.known, again.book.whole, again.book.holds) == (False, False, {})
    state.woke()
    assert (state.book.known, state.book.holds) == (False, {})


# The book


def held_by(bet_id: str, stake: int = 100) -> Hold:
    return Hold(bet_id, "p", "gb", "a", stake, 25_000, NOW)


def confirmed(block_seq: int, stake: int = 100) -> Confirmed:
    return Confirmed("gb-00", block_seq, "a", stake, 25_000)


def test_a_confirmed_hold_stays_in_the_book_as_a_bet() -> None:
    book = Book()
    book.hold(held_by("b"))
    book.confirm("b", confirmed(5))
    assert (book.lines["a"], book.holds) == (Line(1, 100, 150), {})


def test_a_released_hold_leaves_nothing_and_only_once() -> None:
    book = Book()
    book.hold(held_by("b"))
    book.release("b")
    book.release("b")
    assert book.lines["a"] == Line()


@pytest.mark.parametrize(
    ("known_to_ledger", "counted"),
    [
        (4, 2),  # the bet is in block 5: the ledger does not have it yet
        (5, 1),  # it has: only what the ledger says
    ],
)
def test_a_bet_is_counted_once_whether_confirmed_before_or_after_the_ledger_is_read(
    known_to_ledger: int, counted: int
) -> None:
    ledger = {"a": Line(1, 100, 150)}
    before, later = Book(), Book()
    before.confirm("b", confirmed(5))
    before.rebase({"gb-00": known_to_ledger}, ledger)
    later.rebase({"gb-00": known_to_ledger}, ledger)
    later.confirm("b", confirmed(5))
    assert before.lines["a"].bets == later.lines["a"].bets == counted
    assert ledger == {"a": Line(1, 100, 150)}  # the ledger's lines are not the book's own


def test_heads_of_another_partition_say_nothing() -> None:
    book = Book()
    book.rebase({"gb-01": 99}, {})
    book.confirm("b", confirmed(5))
    assert book.lines["a"].bets == 1


def test_holds_survive_a_reading_of_the_ledger() -> None:
    book = Book()
    book.hold(held_by("b"))
    book.rebase({"gb-00": 9}, {"a": Line(2, 200, 300)})
    assert book.lines["a"] == Line(3, 300, 450)
    book.confirm("b", confirmed(10))
    assert book.lines["a"] == Line(3, 300, 450)


moves = st.one_of(
    st.tuples(st.just("hold"), st.integers(1, 500)),
    st.tuples(st.just("place"), st.integers(0, 9)),
    st.tuples(st.just("refuse"), st.integers(0, 9)),
    st.tuples(st.just("confirm"), st.integers(0, 9)),
    st.tuples(st.just("project"), st.integers(0, 9)),
    st.tuples(st.just("rebase"), st.just(0)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(moves, max_size=60))
def test_no_bet_is_missed_and_none_is_counted_twice_once_all_is_told(
    script: list[tuple[str, int]],
) -> None:
    """Bets become durable in blocks, the ledger follows behind, and confirmations come late."""
    book, stakes = Book(), {}
    holds: list[str] = []
    unconfirmed: dict[str, Confirmed] = {}
    blocks: list[tuple[str, int]] = []
    projected = 0
    for number, (move, which) in enumerate(script):
        match move:
            case "hold":
                bet_id = f"b{number}"
                stakes[bet_id] = which
                book.hold(held_by(bet_id, which))
                holds.append(bet_id)
            case "place" if holds:
                bet_id = holds.pop(which % len(holds))
                blocks.append((bet_id, stakes[bet_id]))
                unconfirmed[bet_id] = confirmed(len(blocks), stakes[bet_id])
            case "refuse" if holds:
                book.release(holds.pop(which % len(holds)))
            case "confirm" if unconfirmed:
                bet_id = sorted(unconfirmed)[which % len(unconfirmed)]
                book.confirm(bet_id, unconfirmed.pop(bet_id))
            case "project":
                projected = min(len(blocks), projected + which)
            case "rebase":
                known = Line()
                for _, stake in blocks[:projected]:
                    known.add(stake, 25_000)
                book.rebase({"gb-00": projected}, {"a": known})
        # Never less than there is: a limit can't be overrun.
        exposed = sum(stake for _, stake in blocks) + sum(stakes[bet_id] for bet_id in holds)
        assert book.line("a").stakes_minor >= exposed
    for bet_id, bet in unconfirmed.items():
        book.confirm(bet_id, bet)
    for bet_id in holds:
        book.release(bet_id)
    expected = Line()
    for _, stake in blocks:
        expected.add(stake, 25_000)
    assert book.line("a") == expected


def test_the_settlement_counts_holds_of_its_selections_only() -> None:
    state = market()
    ask(hold(bet_id="1"), state)
    ask(hold(odds=30_000, selection="b", bet_id="2"), state)
    state.result_version = 1
    ask(hold(bet_id="later"), state)  # of which the market knows that it is none of that version
    count = CountHolds("f:m", ["a"], 1)
    assert count.answer(NOW, state) == OpenHolds(True, 1)
    assert CountHolds("f:m", ["a"], 2).answer(NOW, state).holds == 2
    ReleaseHold("f:m", "1").answer(NOW, state)
    assert count.answer(NOW, state) == OpenHolds(True, 0)
    ConfirmHold("f:m", "2", confirmed(3)).answer(NOW, state)
    assert CountHolds("f:m", ["a", "b"], 1).answer(NOW, state) == OpenHolds(True, 0)


def test_a_former_owner_that_has_not_heard_of_the_result_cannot_say_that_no_bet_will_come() -> None:
    state = market()
    assert not CountHolds("f:m", ["a"], 1).answer(NOW, state).whole
    after(state, DECLARE)
    assert CountHolds("f:m", ["a"], 1).answer(NOW, state).whole


def test_what_the_desk_and_the_public_see() -> None:
    state = after(market(), DECLARE)
    view = GetMarket("f", "f:m").answer(NOW, state, fixture())
    assert isinstance(view, MarketView)
    assert [(s.selection_id, s.odds, s.result) for s in view.selections] == [
        ("a", 25_000, WON),
        ("b", 30_000, LOST),
    ]
    assert (view.status, view.seq, view.result_version) == (CLOSED, 7, 1)
    state.book.hold(held_by("b"))
    exposure = ask(GetExposure("f:m"), state)
    assert (exposure.known, exposure.holds, exposure.lines) == (True, 1, {"a": Line(1, 100, 150)})
    unknown = Refused(Reason.UNKNOWN_MARKET)
    assert GetMarket("f", "f:m").answer(NOW, Market(), fixture()) == unknown
    assert ask(GetExposure("f:m"), Market()) == unknown


# Bets of several legs


def leg(liability: int, odds: int = 25_000, policy: PriceChange = NONE, bet_id: str = "bet") -> Any:
    return msgspec.structs.replace(
        hold(100, odds, policy, bet_id=bet_id), liability_minor=liability
    )


def test_a_bet_of_several_legs_takes_the_room_that_it_says_it_can_cost() -> None:
    state = market()
    assert isinstance(ask(leg(2_900), state), Held)
    assert state.book.lines["a"] == Line(1, 0, 2_900, 2_900)
    # What has room is told as a stake: 100 left of 3,000, and a stake of 100 costs 2,900.
    refused = Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": 3})
    assert ask(leg(2_900, bet_id="other"), state) == refused
    # A single's room is another one.
    assert isinstance(ask(hold(1_000, bet_id="single"), state), Held)
    assert state.book.lines["a"] == Line(2, 1_000, 4_400, 2_900)
    state.book.release("single")
    ConfirmHold(
        "f:m", "bet", Confirmed("gb-00", 5, "a", 100, 25_000, liability_minor=2_900)
    ).answer(NOW, state)
    assert (state.book.lines["a"], state.book.holds) == (Line(1, 0, 2_900, 2_900), {})
    state.book.rebase({"gb-00": 4}, {})
    assert state.book.lines["a"] == Line(1, 0, 2_900, 2_900)
    state.book.rebase({"gb-00": 5}, {})
    assert state.book.lines == {}


@pytest.mark.parametrize(
    ("asked", "now", "liability"),
    [
        (25_000, 25_000, 900),
        (25_000, 20_000, 900),  # never too low: the other legs may be singles of the same slip
        (25_000, 30_000, 1_100),  # 1,000 x 30,000 / 25,000, less the stake
        (25_000, 25_001, 901),
    ],
)
def test_a_longer_price_of_one_leg_costs_more_by_as_much(
    asked: int, now: int, liability: int
) -> None:
    state = market(now)
    ask(leg(900, asked, ANY), state)
    assert state.book.lines["a"] == Line(1, 0, liability, liability)
    state = market(asked, in_play=True, bet_delay_ms=2_000)
    ask(leg(900, asked, ANY), state)
    assert isinstance(ask(look(policy=ANY), after(state, price(now))), Held)
    assert state.book.lines["a"] == Line(1, 0, liability, liability)
    state.book.release("bet")
    assert state.book.lines["a"] == Line()


@pytest.mark.parametrize(
    ("results", "winners", "fits"),
    [
        ({"a": WON, "b": LOST, "c": LOST}, 1, True),
        ({"a": WON, "b": WON, "c": LOST}, 1, False),
        ({"a": WON, "b": WON, "c": LOST}, 2, True),
        ({"a": WON, "b": WON, "c": WON}, 0, True),  # each stands for itself
        ({"a": Result(Outcome.WON, 2, 1), "b": Result(Outcome.WON, 2, 1), "c": LOST}, 1, True),
        ({"a": Result(Outcome.WON, 3, 2), "b": WON, "c": LOST}, 1, False),
        ({"a": VOID, "b": VOID, "c": VOID}, 1, True),
    ],
)
def test_by_hand_no_more_win_than_can(results: dict[str, Result], winners: int, fits: bool) -> None:
    selections = {name: Selection(name) for name in results}
    state = market(selections=selections, winners=winners)
    declare = DeclareResult("f", "f:m", results, by_hand=True)
    declared = declare.decide(NOW, state, fixture())
    if fits:
        assert isinstance(declared, ResultDeclared)
    else:
        why = "more selections win than can"
        assert declared == Refused(Reason.OUT_OF_BOUNDS, why, {"winners": winners})
    # A feed's word is taken: somebody else has settled by it.
    by_feed = DeclareResult("f", "f:m", results).decide(NOW, state, fixture())
    assert isinstance(by_feed, ResultDeclared)
