"""Results bit by bit, taken back, and bets void by when they were made.

The state machine plays a market and its bets. What it expects of a bet follows from the last result
and the times in which bets are void, and from nothing that was before: each bet is reckoned anew.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.base import Command, Event, Reason, Refused
from actors.bet import (
    Bet,
    BetSettled,
    BetState,
    Leg,
    PlaceBet,
    PriceChange,
    SettleBet,
    SettlementReversed,
    Settling,
    VersionNoted,
)
from actors.book import Hold
from actors.cashout import CashOut, known_about, slip_of
from actors.declaring import CompleteSettlement, DeclareResult, WithdrawSelection
from actors.entries import Entry, decode_entries, encode_entries
from actors.fixture import Fixture
from actors.holds import CountHolds, Held, HoldStake, OpenHolds
from actors.market import CLOCKS_MS, VOIDED, GetMarket, Market, MarketStatus, Selection
from actors.multiple import PlaceSlip, SettleLeg
from actors.outcomes import (
    MAX_WINDOWS,
    AddSelection,
    ResultRolledBack,
    RollBackResult,
    RollBackVoid,
    SettleSelections,
    VoidPlaced,
)
from actors.results import LOST, VOID, WON, Outcome, Result, Window, is_void_by
from actors.slips import slip as slips
from actors.slips.cashout import CashOutRules, offer
from actors.slips.deductions import Rule4
from actors.slips.kinds import Kind
from actors.slips.settling import Known
from actors.slips.slip import Slip
from actors.terms import MarketTerms
from actors.trading import ChangeStatus, Resume
from actors.wallet import Wallet
from ledger.money import Money

NOW = 1_800_000_000_000
ANY = PriceChange.ANY
HALF_LOST, DEAD_HEAT = Result(Outcome.HALF_LOST), Result(Outcome.WON, 2, 1)
RESULTS = (WON, LOST, VOID, HALF_LOST, DEAD_HEAT)
PAST = Window(None, NOW - 60_000)
OPEN, SUSPENDED, CLOSED, SETTLED, CANCELLED = MarketStatus


class House:
    """A market and its fixture."""

    def __init__(self, **state: Any) -> None:
        self.now = NOW
        self.fixture = Fixture(fixture_id="f", name="A - B", seq=7)
        selections = {of: Selection(of.upper(), 25_000) for of in "abc"}
        self.market = Market(
            market_id="f:m", fixture_id="f", currency="GBP", selections=selections, **state
        )
        self.market.book.known = self.market.book.whole = True

    def do(self, command: Any) -> Event:
        """The last event, or the refusal."""
        decision = command.decide(self.now, self.market, self.fixture)
        events = decision if isinstance(decision, tuple) else (decision,)
        if not isinstance(events[-1], Refused):
            entry = Entry("market/f:m", "k", b"f", NOW, events)
            assert decode_entries(encode_entries([entry])) == [entry]
            for event in events:
                before = self.fixture.seq
                event.apply(self.market, self.fixture)
                assert self.fixture.seq == before + 1
        return events[-1]

    def decide(self, **results: Result) -> Event:
        return self.do(SettleSelections("f", "f:m", results))

    def declare(self, **results: Result) -> Event:
        return self.do(DeclareResult("f", "f:m", results))

    def roll_back(self) -> Event:
        return self.do(RollBackResult("f", "f:m"))

    def void(self, from_ms: int | None, until_ms: int | None) -> Event:
        return self.do(VoidPlaced("f", "f:m", Window(from_ms, until_ms)))

    def unvoid(self, from_ms: int | None, until_ms: int | None) -> Event:
        return self.do(RollBackVoid("f", "f:m", Window(from_ms, until_ms)))

    def status(self, status: MarketStatus) -> Event:
        return self.do(ChangeStatus("f", "f:m", status, False, 0))

    def complete(self) -> Event:
        return self.do(CompleteSettlement("f", "f:m", self.market.result_version))

    def hold(self, bet_id: str = "b", at_ms: int | None = None) -> Held | Refused:
        money = Money(1_000, "GBP")
        question = HoldStake("f", "f:m", "a", bet_id, "gb", "p", money, 25_000, ANY)
        return question.answer(at_ms or self.now, self.market, self.fixture)


def reason_of(event: Any) -> Reason:
    assert isinstance(event, Refused), event
    return event.reason


# The market


def test_some_selections_have_a_result_and_the_market_is_closed() -> None:
    house = House()
    event = house.decide(a=WON)
    assert (event.results, event.known, event.version) == ({"a": WON}, 1, 1)  # type: ignore[attr-defined]
    market = house.market
    assert (market.status, market.results, market.decided) == (CLOSED, {"a": WON}, False)
    house.complete()
    assert market.status is CLOSED  # the others are undecided
    assert reason_of(house.status(OPEN)) is Reason.WRONG_STATUS
    house.decide(a=LOST, b=WON, c=LOST)
    assert (market.decided, market.result_version) == (True, 2)
    house.complete()
    assert market.status is SETTLED
    house.decide(b=DEAD_HEAT)
    assert market.status is CLOSED  # until its bets have been settled by the correction
    assert market.results == {"a": LOST, "b": DEAD_HEAT, "c": LOST}


def test_a_result_is_rolled_back_but_not_what_was_withdrawn() -> None:
    house = House()
    house.do(WithdrawSelection("f", "f:m", "c"))
    house.declare(a=WON, b=LOST)
    house.complete()
    market = house.market
    assert (market.status, market.may_rest()) == (SETTLED, True)
    event = house.roll_back()
    assert isinstance(event, ResultRolledBack)
    assert sorted(event.undecided) == ["a", "b"]
    assert (market.status, market.results) == (SUSPENDED, {"c": VOID})
    assert not market.may_rest()
    assert reason_of(house.roll_back()) is Reason.WRONG_STATUS
    house.status(OPEN)
    assert market.status is OPEN
    view = GetMarket("f", "f:m").answer(NOW, market, house.fixture)
    assert not isinstance(view, Refused)
    assert [one.result for one in view.selections] == [None, None, VOID]


def test_a_cancellation_is_rolled_back_and_who_did_not_run_ante_post_has_lost_again() -> None:
    house = House(terms=MarketTerms(ante_post=True, places=2, divisor=4))
    market = house.market
    house.do(WithdrawSelection("f", "f:m", "c"))
    assert (market.results, market.places) == ({"c": LOST}, {"c": LOST})
    house.do(DeclareResult("f", "f:m", {}, True))
    assert market.results["c"] == VOID
    house.roll_back()
    assert (market.results, market.places) == ({"c": LOST}, {"c": LOST})
    assert market.status is SUSPENDED


def test_what_a_withdrawal_takes_off_stays_and_starting_prices_go() -> None:
    house = House(terms=MarketTerms(rule_4=Rule4(), starting_price=True, places=2, divisor=4))
    market = house.market
    house.do(WithdrawSelection("f", "f:m", "c"))
    both = {"a": WON, "b": WON}
    incomplete = house.do(SettleSelections("f", "f:m", {"a": WON}, {"a": WON}))
    assert reason_of(incomplete) is Reason.INCOMPLETE_RESULT
    house.do(DeclareResult("f", "f:m", {"a": WON, "b": LOST}, False, both, {"a": 9, "b": 9}))
    assert not market.starting_odds
    prices = {"a": 30_000, "b": 50_000}
    house.do(DeclareResult("f", "f:m", {"a": WON, "b": LOST}, False, both, prices))
    settling = market.settling("a", 2)
    assert settling.off is not None
    house.roll_back()
    assert (market.starting_odds, market.places) == ({}, {"c": VOID})
    assert market.settling("a", 3) == Settling("a", None, 3, off=settling.off)
    assert house.market.gone.keys() == {"c"}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (SettleSelections("f", "f:m", {}), Reason.INCOMPLETE_RESULT),
        (SettleSelections("f", "f:m", {"x": WON}), Reason.UNKNOWN_SELECTION),
        (SettleSelections("f", "f:m", {"a": WON}, {"x": WON}), Reason.UNKNOWN_SELECTION),
        (RollBackResult("f", "f:m"), Reason.WRONG_STATUS),
        (VoidPlaced("f", "f:m", Window()), Reason.OUT_OF_BOUNDS),
        (VoidPlaced("f", "f:m", Window(2, 1)), Reason.OUT_OF_BOUNDS),
        (VoidPlaced("f", "f:m", Window(NOW + 1, None)), Reason.OUT_OF_BOUNDS),
        (RollBackVoid("f", "f:m", PAST), Reason.WRONG_STATUS),
        (AddSelection("f", "f:m", "a", "A"), Reason.ALREADY_EXISTS),
    ],
)
def test_what_is_refused(command: Command, reason: Reason) -> None:
    assert reason_of(House().do(command)) is reason


@pytest.mark.parametrize(
    "command",
    [
        SettleSelections("f", "f:m", {"a": WON}),
        RollBackResult("f", "f:m"),
        VoidPlaced("f", "f:m", PAST),
        RollBackVoid("f", "f:m", PAST),
        AddSelection("f", "f:m", "d", "D"),
    ],
)
def test_there_has_to_be_a_market(command: Any) -> None:
    assert reason_of(command.decide(NOW, Market(), Fixture())) is Reason.UNKNOWN_MARKET


def test_the_same_again_is_no_new_version() -> None:
    house = House()
    house.decide(a=WON)
    assert reason_of(house.decide(a=WON)) is Reason.WRONG_STATUS
    house.void(None, NOW - 1)
    assert reason_of(house.void(None, NOW - 1)) is Reason.WRONG_STATUS
    house.do(DeclareResult("f", "f:m", {}, True))
    assert reason_of(house.decide(a=WON)) is Reason.WRONG_STATUS
    for number in range(1, MAX_WINDOWS):
        house.void(number, NOW - 1)
    assert reason_of(house.void(NOW, NOW)) is Reason.OUT_OF_BOUNDS


def test_a_late_selection_has_no_price_and_needs_a_result() -> None:
    house = House()
    event = house.do(AddSelection("f", "f:m", "d", "D"))
    assert event.number == 3  # type: ignore[attr-defined]
    assert house.market.selections["d"] == Selection("D")
    whole = dict.fromkeys("abc", LOST)
    assert reason_of(house.declare(**whole)) is Reason.INCOMPLETE_RESULT
    house.declare(**whole, d=WON)
    assert reason_of(house.do(AddSelection("f", "f:m", "e", "E"))) is Reason.WRONG_STATUS
    many = House(terms=MarketTerms(rule_4=Rule4()))
    for number in range(97):
        assert not isinstance(many.do(AddSelection("f", "f:m", f"r{number}", "R")), Refused)
    assert reason_of(many.do(AddSelection("f", "f:m", "r97", "R"))) is Reason.OUT_OF_BOUNDS


# Bets on their way, and room


def test_a_time_without_an_end_takes_no_bets_until_it_is_undone() -> None:
    house = House()
    house.void(NOW - 5_000, None)
    market = house.market
    assert (market.status, list(market.causes)) == (SUSPENDED, [VOIDED])
    assert house.status(OPEN).status is SUSPENDED  # type: ignore[attr-defined]
    assert reason_of(house.do(Resume("f", "f:m", VOIDED))) is Reason.WRONG_STATUS
    house.void(NOW - 9_000, None)
    house.unvoid(NOW - 5_000, None)
    assert market.status is SUSPENDED
    house.unvoid(NOW - 9_000, None)
    assert (market.status, market.causes, market.windows) == (OPEN, {}, ())


@pytest.mark.parametrize(
    ("at_ms", "taken"), [(NOW, False), (NOW + CLOCKS_MS, False), (NOW + CLOCKS_MS + 1, True)]
)
def test_who_bets_just_after_such_a_time_waits_for_all_clocks_to_be_past_it(
    at_ms: int, taken: bool
) -> None:
    house = House()
    house.void(None, NOW)
    assert house.market.status is OPEN
    answer = house.hold(at_ms=at_ms)
    if taken:
        assert isinstance(answer, Held)
    else:
        assert reason_of(answer) is Reason.MARKET_SUSPENDED


def test_the_settlement_waits_for_the_bets_that_did_not_know_of_the_version_and_no_others() -> None:
    house = House()
    assert isinstance(house.hold("early"), Held)
    house.void(None, NOW - CLOCKS_MS - 1)
    assert isinstance(house.hold("late"), Held)
    count = CountHolds("f:m", ["a"], 1)
    assert count.answer(NOW, house.market) == OpenHolds(True, 1)
    # Asked again, because the answer was lost or not: it may be placed by the first one.
    assert isinstance(house.hold("early"), Held)
    assert count.answer(NOW, house.market) == OpenHolds(True, 1)
    house.market.book.release("early")
    assert count.answer(NOW, house.market) == OpenHolds(True, 0)


@pytest.mark.parametrize("undo", ["result", "void"])
def test_bets_that_are_open_again_take_room_before_others_are_taken(undo: str) -> None:
    house = House()
    if undo == "result":
        house.declare(a=WON, b=LOST, c=LOST)
        house.complete()
        house.roll_back()
        house.status(OPEN)
    else:
        house.void(None, NOW - 60_000)
        house.complete()
        house.unvoid(None, NOW - 60_000)
    market = house.market
    market.book.known = True  # as of before
    assert market.worst_minor is None
    assert reason_of(house.hold()) is Reason.LIABILITY_UNKNOWN
    house.complete()
    # Every bet is open again, and the ledger has to be read since.
    assert not market.book.known
    assert reason_of(house.hold()) is Reason.LIABILITY_UNKNOWN
    market.book.rebase({}, {})
    assert isinstance(house.hold(), Held)


def test_a_hold_travels_with_its_version() -> None:
    house = House()
    house.decide(b=LOST)
    house.roll_back()
    house.market.settled_version = 2
    house.status(OPEN)
    house.hold("b")
    other = Market()
    other.regain(house.market.unsaved())
    hold: Hold = other.book.holds["b"]
    assert hold.result_version == 2


# Single bets


class Player:
    """A wallet, its bets, and the accounts that transfers make beside it."""

    def __init__(self, cash: int = 100_000) -> None:
        self.wallet = Wallet("p", "GBP", cash, version=1)
        self.bets: dict[str, Bet] = {}
        self.accounts = {"cash/p": cash}

    def do(self, command: Any, now_ms: int = NOW) -> tuple[Event, ...]:
        bet = self.bets.setdefault(command.bet_id, Bet())
        decision = command.decide(now_ms, *(self.wallet, bet)[: len(command.cast())])
        events = decision if isinstance(decision, tuple) else (decision,)
        if isinstance(events[-1], Refused):
            return events
        entry = Entry("wallet/p", "k", b"f", now_ms, events)
        assert decode_entries(encode_entries([entry])) == [entry]
        for event in events:
            event.apply(self.wallet, bet)
            for transfer in event.transfers("gb-00"):
                amount = transfer.amount_minor
                self.accounts[transfer.debit] = self.accounts.get(transfer.debit, 0) - amount
                self.accounts[transfer.credit] = self.accounts.get(transfer.credit, 0) + amount
        wallet, accounts = self.wallet, self.accounts
        assert wallet.cash_minor == accounts["cash/p"] >= 0
        assert wallet.held_minor == accounts.get("held/p", 0) >= 0
        assert wallet.debt_minor == -accounts.get("debt/p", 0) >= 0
        return events

    def place(self, bet_id: str, selection: str = "a", at_ms: int = NOW) -> None:
        leg = Leg("f", "f:m", selection, 25_000, 1, "A v B", "Winner", "A")
        self.do(PlaceBet("p", bet_id, Money(1_000, "GBP"), (leg,), at_ms), at_ms)

    def place_double(self, bet_id: str, selection: str, at_ms: int = NOW) -> None:
        """With a leg on a market that is not decided."""
        on = (("f", "f:m", selection), ("g", "g:m", "x"))
        slip = Slip(tuple(slips.Leg(*leg, 25_000) for leg in on), Kind.DOUBLE, 1_000)
        legs = tuple(Leg(*leg, 25_000, 1, "A v B", "Winner", "A") for leg in on)
        self.do(PlaceSlip("p", bet_id, "GBP", slip, legs, at_ms), at_ms)

    def tell(self, bet_id: str, on: Settling, market_id: str = "f:m") -> tuple[Event, ...]:
        bet = self.bets[bet_id]
        if bet.slip is not None:
            return self.do(SettleLeg("p", bet_id, market_id, on))
        return self.do(
            SettleBet(
                "p",
                bet_id,
                market_id,
                on.selection_id,
                on.result,
                on.version,
                on.off,
                on.windows,
            )
        )


def names(events: tuple[Event, ...]) -> list[type]:
    return [type(event) for event in events]


def test_a_settled_bet_is_open_again_and_its_winnings_are_taken_back() -> None:
    player = Player()
    player.place("b")
    assert names(player.tell("b", Settling("a", WON, 1))) == [BetSettled]
    player.wallet.cash_minor = player.accounts["cash/p"] = 1_500  # the rest is spent
    assert names(player.tell("b", Settling("a", None, 2))) == [SettlementReversed, VersionNoted]
    bet, wallet = player.bets["b"], player.wallet
    assert (bet.state, bet.payout_minor, bet.result_version) == (BetState.OPEN, 0, 2)
    assert (bet.settled_at_ms, bet.facts) == (0, ())
    assert (wallet.cash_minor, wallet.held_minor, wallet.debt_minor) == (0, 1_000, 1_000)
    # What comes late does not count, and what is new pays the debt first.
    (late,) = player.tell("b", Settling("a", LOST, 1))
    assert reason_of(late) is Reason.SUPERSEDED
    player.tell("b", Settling("a", WON, 3))
    assert (wallet.cash_minor, wallet.held_minor, wallet.debt_minor) == (1_500, 0, 0)


def test_a_version_that_changes_nothing_moves_nothing_but_no_older_one_counts() -> None:
    player = Player()
    player.place("b")
    assert names(player.tell("b", Settling("a", None, 2))) == [VersionNoted]
    assert reason_of(player.tell("b", Settling("a", WON, 1))[0]) is Reason.SUPERSEDED
    player.tell("b", Settling("a", WON, 3))
    before = dict(player.accounts)
    assert names(player.tell("b", Settling("a", WON, 5, windows=(PAST,)))) == [VersionNoted]
    assert reason_of(player.tell("b", Settling("a", LOST, 4))[0]) is Reason.SUPERSEDED
    assert (player.accounts, player.bets["b"].state) == (before, BetState.WON)
    assert player.bets["b"].result_version == 5


@pytest.mark.parametrize(
    ("window", "void"),
    [
        (Window(NOW, NOW), True),
        (Window(None, NOW), True),
        (Window(NOW, None), True),
        (Window(NOW + 1, None), False),
        (Window(None, NOW - 1), False),
        (Window(NOW - 9, NOW + 9), True),
    ],
)
@pytest.mark.parametrize("result", [None, WON, LOST])
def test_who_bet_in_time_is_void_whatever_the_result(
    window: Window, void: bool, result: Result | None
) -> None:
    player = Player()
    player.place("b")
    player.tell("b", Settling("a", result, 1, windows=(window,)))
    state = BetState.VOID if void else BetState(result.outcome) if result else BetState.OPEN
    assert player.bets["b"].state is state
    player.tell("b", Settling("a", result, 2))
    assert player.bets["b"].state is (BetState(result.outcome) if result else BetState.OPEN)


def test_what_rule_4_took_off_is_forgotten_with_the_result() -> None:
    house, player = House(terms=MarketTerms(rule_4=Rule4())), Player()
    player.place("b")
    player.place_double("d", "a")
    house.market.odds_version = 1
    house.do(WithdrawSelection("f", "f:m", "c"))
    house.declare(a=WON, b=LOST)
    for bet_id in "bd":
        player.tell(bet_id, house.market.settling("a", 2))
        assert player.bets[bet_id].facts[0].known.deduction
    paid = player.bets["b"].payout_minor
    assert 1_000 < paid < 2_500
    house.roll_back()
    for bet_id in "bd":
        player.tell(bet_id, house.market.settling("a", 3))
    assert player.bets["b"].facts == ()
    assert player.bets["d"].facts[0].known == Known()
    house.do(WithdrawSelection("f", "f:m", "a"))
    player.tell("b", house.market.settling("a", 4))
    assert (player.bets["b"].state, player.bets["b"].payout_minor) == (BetState.VOID, 1_000)
    house.declare(b=WON)
    assert house.market.results == {"a": VOID, "b": WON, "c": VOID}


@pytest.mark.parametrize(("part", "rest"), [(10_000, 0), (4_000, 600)])
def test_what_was_bought_back_stays_bought(part: int, rest: int) -> None:
    player = Player()
    player.place("b")
    bet, rules = player.bets["b"], CashOutRules()
    made = offer(slip_of(bet), known_about(bet), [20_000], 1_000 * part // 10_000, rules, NOW)
    assert not isinstance(made, Refused)
    player.do(CashOut("p", "b", made, (20_000,), rules))
    cash = player.wallet.cash_minor
    for version, result in enumerate((WON, None, None, VOID), 1):
        player.tell("b", Settling("a", result, version))
    state = BetState.VOID if rest else BetState.CASHED_OUT
    assert (bet.state, player.wallet.cash_minor) == (state, cash + rest)


def test_a_slip_is_open_again_when_one_of_its_legs_is() -> None:
    player = Player()
    player.place_double("d", "a")
    player.tell("d", Settling("a", LOST, 1))
    bet = player.bets["d"]
    assert (bet.state, player.wallet.held_minor) == (BetState.LOST, 0)
    (event,) = player.tell("d", Settling("a", None, 2))
    assert (bet.state, player.wallet.held_minor) == (BetState.OPEN, 1_000)
    changed = {(at.market_id, at.bets) for at in event.exposed}  # type: ignore[attr-defined]
    assert changed == {("f:m", 1), ("g:m", 1)}
    player.tell("d", Settling("a", LOST, 3, windows=(Window(NOW, NOW),)))
    player.tell("d", Settling("x", WON, 1), "g:m")
    assert (bet.state, bet.payout_minor) == (
        BetState.PARTLY_WON,
        2_500,
    ) or bet.payout_minor == 2_500


# A market and its bets, against what each bet should be by the last result


class Evening(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.house, self.player = House(), Player(10**9)
        self.cash = self.player.wallet.cash_minor
        self.chance = Random(0)
        self.results: dict[str, Result] = {}
        self.windows: set[Window] = set()
        self.withdrawn: set[str] = set()
        self.names = ["a", "b", "c"]
        self.on: dict[str, tuple[str, int]] = {}
        """Selection and time of each bet."""
        self.last: dict[str, tuple[Settling, set[str]]] = {}
        """The last word on each selection, and the bets there were."""
        self.said: list[tuple[Settling, set[str]]] = []
        """All words, which may come late and twice."""
        self.other = False
        """Whether the other leg of the doubles has won."""

    def _said(self, names: list[str]) -> None:
        version = self.house.market.result_version
        for name in names:
            bets = {bet_id for bet_id, (on, _) in self.on.items() if on == name}
            word = (self.house.market.settling(name, version), bets)
            self.last[name] = word
            self.said.append(word)

    @rule(ms=st.integers(1, 4_000))
    def time_passes(self, ms: int) -> None:
        self.house.now += ms

    @initialize()
    def there_are_bets(self) -> None:
        for _ in range(2):
            self.everybody_bets()
            self.house.now += 3_000

    @rule()
    def everybody_bets(self) -> None:
        for name in self.names:
            for lines in (False, True):
                self._bet(name, lines)

    def _bet(self, name: str, lines: bool) -> None:
        now = self.house.now
        if self.house.market.refuse_price(name, 25_000, ANY, now, True):
            return
        bet_id = f"b{len(self.on)}"
        (self.player.place_double if lines else self.player.place)(bet_id, name, now)
        self.on[bet_id] = name, now
        if lines and self.other:
            self.player.tell(bet_id, Settling("x", WON, 1), "g:m")

    @rule()
    def the_market_is_opened(self) -> None:
        self.house.status(OPEN)

    @rule(data=st.data())
    def some_are_decided(self, data: st.DataObject) -> None:
        some = data.draw(
            st.dictionaries(st.sampled_from(self.names), st.sampled_from(RESULTS), min_size=1)
        )
        event = self.house.decide(**some)
        if not isinstance(event, Refused):
            new = {name: one for name, one in some.items() if name not in self.withdrawn}
            changed = [name for name, one in new.items() if self.results.get(name) != one]
            self.results |= new
            self._said(changed)

    @rule(data=st.data())
    def all_are_decided(self, data: st.DataObject) -> None:
        every = {name: data.draw(st.sampled_from(RESULTS)) for name in self.names}
        if not isinstance(self.house.declare(**every), Refused):
            self._becomes(every | dict.fromkeys(self.withdrawn, VOID))

    @rule()
    def it_is_cancelled(self) -> None:
        event = self.house.do(DeclareResult("f", "f:m", {}, True))
        if not isinstance(event, Refused):
            self._becomes(dict.fromkeys(self.names, VOID))

    @rule()
    def the_result_is_taken_back(self) -> None:
        if not isinstance(self.house.roll_back(), Refused):
            self._becomes(dict.fromkeys(self.withdrawn, VOID))
            self.house.status(OPEN)
            self.everybody_bets()

    def _becomes(self, results: dict[str, Result]) -> None:
        changed = [name for name in self.names if results.get(name) != self.results.get(name)]
        self.results = results
        self._said(changed)

    @rule(data=st.data())
    def one_is_withdrawn(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names))
        event = self.house.do(WithdrawSelection("f", "f:m", name))
        if not isinstance(event, Refused):
            self.withdrawn.add(name)
            self.results[name] = VOID
            self._said([name])

    @precondition(lambda self: len(self.names) < 5)
    @rule()
    def one_joins(self) -> None:
        name = f"late{len(self.names)}"
        if not isinstance(self.house.do(AddSelection("f", "f:m", name, "Late")), Refused):
            self.names.append(name)
            self.house.market.selections[name].odds = 25_000

    @rule(
        before=st.none() | st.integers(0, 9_000),
        length=st.none() | st.integers(0, 9_000),
    )
    def bets_of_a_time_are_void(self, before: int | None, length: int | None) -> None:
        begin = None if before is None else self.house.now - before
        end = None if length is None else (begin or self.house.now) + length
        if not isinstance(self.house.void(begin, end), Refused):
            self.windows.add(Window(begin, end))
            self._said(self.names)

    @precondition(lambda self: self.windows)
    @rule(data=st.data())
    def that_is_undone(self, data: st.DataObject) -> None:
        window = data.draw(st.sampled_from(sorted(self.windows, key=str)))
        event = self.house.do(RollBackVoid("f", "f:m", window))
        assert not isinstance(event, Refused)
        self.windows.remove(window)
        self._said(self.names)

    @precondition(lambda self: not self.other)
    @rule()
    def the_other_leg_wins(self) -> None:
        self.other = True
        for bet_id in self.on:
            if self.player.bets[bet_id].slip is not None:
                self.player.tell(bet_id, Settling("x", WON, 1), "g:m")

    @precondition(lambda self: self.said)
    @rule(data=st.data(), times=st.integers(1, 2))
    def some_word_is_heard(self, data: st.DataObject, times: int) -> None:
        on, bets = data.draw(st.sampled_from(self.said))
        for _ in range(times):
            for bet_id in sorted(bets):
                self.player.tell(bet_id, on)

    @rule()
    def the_settlement_is_complete(self) -> None:
        for on, bets in self.last.values():
            for bet_id in sorted(bets):
                self.player.tell(bet_id, on)
        for on, bets in self.said[-8:]:  # late, when everybody knows better
            for bet_id in sorted(bets):
                assert isinstance(self.player.tell(bet_id, on)[0], Refused)
        if self.house.market.result_version > self.house.market.settled_version:
            self.house.complete()
        for bet_id, (name, placed_at_ms) in self.on.items():
            self._is_right(self.player.bets[bet_id], name, placed_at_ms)
        self._is_paid()

    def _is_right(self, bet: Bet, name: str, placed_at_ms: int) -> None:
        result = VOID if is_void_by(self.windows, placed_at_ms) else self.results.get(name)
        pays, state = _outcome(result)
        if bet.slip is not None:
            if pays and not self.other:
                pays, state = None, BetState.OPEN
            elif result is not None and result.outcome is Outcome.LOST:
                pays, state = Fraction(0), BetState.LOST
            elif not self.other or pays is None:
                pays, state = None, BetState.OPEN
            else:
                pays *= Fraction(5, 2)
                state = BetState.WON
        assert bet.state is state, (name, result, bet)
        expected = int(1_000 * pays + Fraction(1, 2)) if pays is not None else 0
        assert bet.payout_minor == expected, (name, result, bet)

    def _is_paid(self) -> None:
        bets, wallet = self.player.bets.values(), self.player.wallet
        closed = [bet for bet in bets if bet.state is not BetState.OPEN]
        paid = sum(bet.payout_minor for bet in bets)
        assert wallet.cash_minor == self.cash - 1_000 * len(bets) + paid
        assert wallet.held_minor == 1_000 * (len(bets) - len(closed))

    @invariant()
    def the_market_is_as_it_was_said(self) -> None:
        market = self.house.market
        assert market.results == self.results
        assert set(market.windows) == self.windows
        if market.status is OPEN:
            assert market.only_withdrawn()
            assert all(window.until_ms is not None for window in self.windows)


def _outcome(result: Result | None) -> tuple[Fraction | None, BetState]:
    """What one unit at 2.5 pays."""
    if result is None:
        return None, BetState.OPEN
    pays = {
        Outcome.WON: Fraction(5, 2) * result.places / result.tied,
        Outcome.VOID: Fraction(1),
        Outcome.HALF_LOST: Fraction(1, 2),
        Outcome.LOST: Fraction(0),
    }[result.outcome]
    return pays, BetState(result.outcome)


TestEvening = Evening.TestCase
TestEvening.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


@given(
    at=st.integers(0, 50),
    windows=st.lists(
        st.builds(Window, st.none() | st.integers(0, 50), st.none() | st.integers(0, 50))
    ),
)
def test_a_bet_is_void_if_any_time_covers_it(at: int, windows: list[Window]) -> None:
    bounds = [
        (window.from_ms or 0, 99 if window.until_ms is None else window.until_ms)
        for window in windows
    ]
    assert is_void_by(windows, at) == any(at in range(low, high + 1) for low, high in bounds)
