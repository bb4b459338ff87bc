"""No limit is ever overrun: of a selection, a market, an event or a group of markets.

The book is held against a model that goes through every way a market can come out, bet by bet.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from msgspec.structs import asdict

from actors.base import Reason, Refused
from actors.bet import PriceChange
from actors.book import MAX_CUSTOMERS, WHOLE, Book, Confirmed, Hold, Line, liability_of
from actors.declaring import WithdrawSelection
from actors.fixture import (
    MAX_LIMITS,
    UNLIMITED,
    ChangeEventLimits,
    EventLimit,
    EventLimitsChanged,
    Fixture,
)
from actors.hedging import RecordHedge, wins_of
from actors.holds import ConfirmHold, Held, HoldStake, LookAgain, ReleaseHold
from actors.market import GetExposure, GetMarket, Limits, Market, MarketStatus
from actors.risk.limits import LimitTable
from actors.trading import ChangeLimits, ChangePrices, MovePrices, OpenMarket, Resume, Suspend
from ledger.money import Money

NOW = 1_800_000_000_000
NAMES = "abc"
PRICES = (10_500, 15_000, 20_000, 25_000, 40_000)


def opened(winners: dict[str, int], limits: Limits) -> tuple[Fixture, dict[str, Market]]:
    """A fixture with markets of three selections each, all at 2.5."""
    fixture = Fixture(fixture_id="f", name="A - B")
    markets = {}
    for key, count in winners.items():
        market_id = f"f:{key}"
        names = {name: name.upper() for name in NAMES}
        command = OpenMarket("f", market_id, key, key, "GBP", names, limits, winners=count)
        market = markets[market_id] = Market()
        do(command, market, fixture)
        do(ChangePrices("f", market_id, dict.fromkeys(NAMES, 25_000)), market, fixture)
    return fixture, markets


def do(command: Any, *actors: Any, now_ms: int = NOW) -> Any:
    event = command.decide(now_ms, *actors)
    if not isinstance(event, Refused):
        event.apply(*actors)
    return event


def hold_on(market: Market, bet_id: str, selection: str, stake: int, **more: Any) -> HoldStake:
    money = Money(stake, "GBP")
    odds = market.selections[selection].odds
    question = HoldStake(
        "f", market.market_id, selection, bet_id, "gb", "p", money, odds, PriceChange.ANY
    )
    return msgspec.structs.replace(question, **more)


# What a market can lose


class Bet(msgspec.Struct):
    market_id: str
    selection: str
    stake: int
    liability: int
    single: bool = True
    block: int = 0
    """0 while only held."""


def outcomes(winners: int, live: set[str]) -> list[set[str]]:
    counts = range(len(live) + 1) if not winners else range(winners + 1)
    return [
        set(chosen) for count in counts for chosen in itertools.combinations(sorted(live), count)
    ]


def lost(market: Market, bets: list[Bet], won: set[str], live: set[str]) -> int:
    """What the house loses when exactly these win; a held bet is placed only if that is worse."""
    total = 0
    for bet in bets:
        if bet.selection in live:
            if bet.selection in won:
                total += bet.liability
            elif bet.block and bet.single:
                total -= bet.stake
    for hedge in market.hedges.values():
        if hedge.selection_id in live:
            wins = hedge.selection_id in won
            total += -hedge.wins_minor if wins else hedge.stake_minor
    return total


def worst_by_hand(market: Market, bets: list[Bet]) -> int:
    live = {name for name, selection in market.selections.items() if not selection.withdrawn}
    if market.winners:
        return max(0, *(lost(market, bets, won, live) for won in outcomes(market.winners, live)))
    # Each for itself, and each may be void for itself.
    worst = 0
    for name in live:
        of_it = [bet for bet in bets if bet.selection == name]
        alone = Market(hedges={k: h for k, h in market.hedges.items() if h.selection_id == name})
        worst += max(0, lost(alone, of_it, {name}, {name}), lost(alone, of_it, set(), {name}))
    return worst


def test_the_worst_case_of_a_market_by_example() -> None:
    fixture, markets = opened({"m": 1}, Limits())
    market = markets["f:m"]
    for number, (name, stake) in enumerate([("a", 1_000), ("b", 400)]):
        assert isinstance(
            hold_on(market, f"{number}", name, stake).answer(NOW, market, fixture), Held
        )
    assert market.book.worst_minor == 1_500  # a wins; the stake on b is not sure to come
    ConfirmHold("f:m", "1", Confirmed("gb-00", 1, "b", 400, 25_000)).answer(NOW, market)
    assert market.book.worst_minor == 1_100
    do(RecordHedge("f", "f:m", "h", "a", 100, 30_000, 0, "bogus", "r"), market, fixture)
    assert market.book.worst_minor == 900  # a: 1,500 - 200 - 400; b: 600 + 100
    do(WithdrawSelection("f", "f:m", "b"), market, fixture)
    assert market.book.worst_minor == 1_300  # the stake on b goes back


def test_a_hedge_makes_room_on_its_selection() -> None:
    fixture, markets = opened({"m": 1}, Limits(max_liability_minor=1_500))
    market = markets["f:m"]
    assert isinstance(hold_on(market, "1", "a", 1_000).answer(NOW, market, fixture), Held)
    assert hold_on(market, "2", "a", 200).answer(NOW, market, fixture).facts == {
        "max_stake_minor": 0
    }
    do(RecordHedge("f", "f:m", "h", "a", 100, 40_000, 0, "bogus", "r"), market, fixture)
    assert isinstance(hold_on(market, "2", "a", 200).answer(NOW, market, fixture), Held)


@pytest.mark.parametrize(
    ("stake", "odds", "commission", "wins"),
    [(100, 25_000, 0, 150), (100, 25_000, 200, 147), (1, 19_999, 0, 0), (333, 15_000, 500, 158)],
)
def test_what_a_hedge_wins_is_rounded_down(
    stake: int, odds: int, commission: int, wins: int
) -> None:
    assert wins_of(stake, odds, commission) == wins


@pytest.mark.parametrize("over", [1_199, 900, 0])
def test_where_a_limit_is_overrun_already_bets_on_the_other_side_are_welcome(over: int) -> None:
    fixture, markets = opened({"m": 1}, Limits())
    market = markets["f:m"]
    hold_on(market, "1", "a", 1_000).answer(NOW, market, fixture)
    limits = Limits(max_market_liability_minor=max(1, over))
    do(ChangeLimits("f", "f:m", asdict(limits)), market, fixture)
    assert hold_on(market, "2", "a", 10).answer(NOW, market, fixture).reason is (
        Reason.LIABILITY_LIMIT
    )
    assert isinstance(hold_on(market, "3", "b", 1_000).answer(NOW, market, fixture), Held)
    assert market.book.worst_minor == 1_500
    # One penny more on b would make that the worst.
    refused = hold_on(market, "4", "b", 10).answer(NOW, market, fixture)
    assert refused.facts == {"max_stake_minor": 0}


def test_a_refusal_says_the_largest_stake_that_every_limit_has_room_for() -> None:
    fixture, markets = opened({"m": 1, "n": 1}, Limits(max_liability_minor=3_000))
    market, other = markets.values()
    do(ChangeEventLimits("f", {"event": EventLimit(2_000)}), fixture)
    ask = hold_on(market, "1", "a", 2_000)
    assert ask.answer(NOW, market, fixture).facts == {"max_stake_minor": 1_333}  # 2,000 / 1.5
    assert isinstance(hold_on(other, "2", "a", 500).answer(NOW, other, fixture), Held)
    assert ask.answer(NOW, market, fixture).facts == {"max_stake_minor": 833}  # 1,250 / 1.5
    do(ChangeLimits("f", "f:m", {"max_liability_minor": 300}), market, fixture)
    assert ask.answer(NOW, market, fixture).facts == {"max_stake_minor": 200}


def test_limits_that_somebody_else_has_changed_since_are_not_overwritten_unseen() -> None:
    fixture, markets = opened({"m": 1}, Limits())
    market = markets["f:m"]
    do(ChangeLimits("f", "f:m", {"max_stake_minor": 900}, 0), market, fixture)
    late = ChangeLimits("f", "f:m", {"min_stake_minor": 20}, 0)
    now = {"version": 1, **asdict(Limits(10, 900))}
    refused = Refused(Reason.VERSION_CONFLICT, "the limits have changed since", now)
    assert late.decide(NOW, market, fixture) == refused
    assert (
        market.limits_version == GetMarket("f", "f:m").answer(NOW, market, fixture).limits_version
    )
    for version in (1, None):  # who does not say which changes nothing else, at least
        do(ChangeLimits("f", "f:m", {"min_stake_minor": 20}, version), market, fixture)
        assert market.limits == Limits(20, 900)
    assert market.limits_version == 3
    unknown = ChangeLimits("f", "f:m", {"max_joy": 1}).decide(NOW, market, fixture)
    assert unknown == Refused(Reason.OUT_OF_BOUNDS, "there is no limit max_joy")


def test_a_group_counts_its_own_markets_only() -> None:
    fixture, markets = opened({"m": 1, "n": 1, "o": 1}, Limits())
    m, n, o = markets.values()
    limits = {"goals": EventLimit(1_500, ("f:m", "f:n"))}
    do(ChangeEventLimits("f", limits), fixture)
    assert isinstance(hold_on(m, "1", "a", 1_000).answer(NOW, m, fixture), Held)
    assert hold_on(n, "2", "a", 10).answer(NOW, n, fixture).reason is Reason.LIABILITY_LIMIT
    assert isinstance(hold_on(o, "3", "a", 1_000).answer(NOW, o, fixture), Held)


def test_what_an_event_can_lose_is_not_known_before_all_its_markets_are() -> None:
    fixture, markets = opened({"m": 1, "n": 1}, Limits())
    market, other = markets.values()
    do(ChangeEventLimits("f", {"event": EventLimit(2_000)}), fixture)
    fixture.woke()  # on another shard: its markets are somewhere in the journal
    assert fixture.strangers() == ["f:m", "f:n"]
    ask = hold_on(market, "1", "a", 100)
    assert ask.answer(NOW, market, fixture) == Refused(Reason.LIABILITY_UNKNOWN)
    assert fixture.strangers() == ["f:n"]
    other.book.known = False
    GetExposure("f:n").answer(NOW, other, fixture)
    assert ask.answer(NOW, market, fixture) == Refused(Reason.LIABILITY_UNKNOWN)
    other.book.known = True
    assert isinstance(ask.answer(NOW, market, fixture), Held)
    other.book.known = False
    other.status = MarketStatus.SETTLED  # nothing can be lost on it any more
    assert isinstance(ask.answer(NOW, market, fixture), Held)
    assert not Fixture(markets=["f:m"]).strangers()


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ({"g": EventLimit(5, ("f:m", "f:x"))}, (Reason.UNKNOWN_MARKET, {"market_id": "f:x"})),
        ({"g": EventLimit(-1)}, (Reason.OUT_OF_BOUNDS, {"max_liability_minor": UNLIMITED})),
        (
            {f"{number}": EventLimit(5) for number in range(MAX_LIMITS + 1)},
            (Reason.OUT_OF_BOUNDS, {"max_limits": MAX_LIMITS}),
        ),
    ],
)
def test_limits_of_an_event_are_refused(limits: dict[str, EventLimit], refused: Any) -> None:
    fixture, _ = opened({"m": 1}, Limits())
    reason, facts = refused
    command = ChangeEventLimits("f", limits)
    assert command.decide(NOW, fixture) == Refused(reason, facts=facts)
    assert command.decide(NOW, Fixture()).reason is Reason.UNKNOWN_FIXTURE


def test_followers_are_not_told_of_limits() -> None:
    fixture, markets = opened({"m": 1}, Limits())
    seq = fixture.seq
    told = do(ChangeEventLimits("f", {"event": EventLimit(5)}), fixture)
    assert told == EventLimitsChanged(NOW, "f", seq, {"event": EventLimit(5)})
    do(ChangeLimits("f", "f:m", asdict(Limits(1, 2, 3))), markets["f:m"], fixture)
    assert (fixture.seq, markets["f:m"].limits) == (seq, Limits(1, 2, 3))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(0),
        Limits(10, 9),
        Limits(10, 10**12 + 1),
        Limits(max_liability_minor=-1),
        Limits(max_market_liability_minor=-1),
        Limits(reoffer_ms=60_001),
        Limits(max_age_ms=-1),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: Limits) -> None:
    fixture, markets = opened({"m": 1}, Limits())
    event = ChangeLimits("f", "f:m", asdict(limits)).decide(NOW, markets["f:m"], fixture)
    assert event.reason is Reason.OUT_OF_BOUNDS
    command = OpenMarket("f", "f:x", "x", "x", "GBP", {"a": "A"}, limits)
    assert command.decide(NOW, Market(), fixture).reason is Reason.OUT_OF_BOUNDS


def test_a_market_has_no_more_winners_than_selections() -> None:
    fixture, _ = opened({}, Limits())
    for winners, reason in [(-1, Reason.OUT_OF_BOUNDS), (2, Reason.OUT_OF_BOUNDS)]:
        command = OpenMarket("f", "f:x", "x", "x", "GBP", {"a": "A"}, winners=winners)
        assert command.decide(NOW, Market(), fixture).reason is reason


@pytest.mark.parametrize(
    ("command", "reason", "facts"),
    [
        (RecordHedge("f", "f:m", "h", "x", 0, 1, -1, "e", "r"), Reason.UNKNOWN_SELECTION, {}),
        (RecordHedge("f", "f:m", "old", "a", 0, 1, -1, "e", "r"), Reason.ALREADY_EXISTS, {}),
        (
            RecordHedge("f", "f:m", "h", "a", 0, 1, -1, "e", "r"),
            Reason.OUT_OF_BOUNDS,
            {"max_stake_minor": 10**12},
        ),
        (RecordHedge("f", "f:m", "h", "a", 5, 10_000, 0, "e", "r"), Reason.OUT_OF_BOUNDS, {}),
        (RecordHedge("f", "f:m", "h", "a", 5, 20_000, 10_001, "e", "r"), Reason.OUT_OF_BOUNDS, {}),
    ],
)
def test_a_hedge_is_not_recorded(command: RecordHedge, reason: Reason, facts: Any) -> None:
    fixture, markets = opened({"m": 1}, Limits())
    market = markets["f:m"]
    do(RecordHedge("f", "f:m", "old", "b", 5, 20_000, 0, "e", "r"), market, fixture)
    refused = command.decide(NOW, market, fixture)
    assert (refused.reason, refused.facts) == (reason, facts)
    assert command.decide(NOW, Market(), fixture).reason is Reason.UNKNOWN_MARKET


def test_hedges_are_in_the_snapshot_and_the_book_that_comes_back_knows_them() -> None:
    fixture, markets = opened({"m": 1}, Limits())
    market = markets["f:m"]
    do(RecordHedge("f", "f:m", "h", "a", 100, 25_000, 0, "e", "r"), market, fixture)
    do(WithdrawSelection("f", "f:m", "b"), market, fixture)
    hold_on(market, "1", "a", 1_000).answer(NOW, market, fixture)
    hold_on(market, "2", "c", 1_000, customer_factor=5_000).answer(NOW, market, fixture)
    ConfirmHold("f:m", "2", Confirmed("gb-00", 1, "c", 1_000, 25_000)).answer(NOW, market)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(market), type=Market)
    assert again.book.hedged == {"a": Line(1, 100, 150)}
    again.regain(market.unsaved())
    for name in ("hedged", "gone", "winners", "lines", "taken", "worst_minor"):
        assert getattr(again.book, name) == getattr(market.book, name), name
    again.woke()
    assert (again.book.hedged, again.book.gone) == ({"a": Line(1, 100, 150)}, {"b"})


# Customers


def test_a_customer_factor_scales_the_largest_stake_both_ways() -> None:
    fixture, markets = opened({"m": 1}, Limits(max_stake_minor=1_000, max_liability_minor=10**9))
    market = markets["f:m"]
    for factor, most in [(1_000, 100), (WHOLE, 1_000), (25_000, 2_500)]:
        refused = hold_on(market, "1", "a", most + 1, customer_factor=factor)
        answer = refused.answer(NOW, market, fixture)
        assert answer == Refused(Reason.STAKE_ABOVE_LIMIT, facts={"max_stake_minor": most})
        taken = hold_on(market, "1", "a", most, customer_factor=factor)
        assert isinstance(taken.answer(NOW, market, fixture), Held)


def test_a_limited_customer_takes_a_share_of_the_room_however_often_he_comes() -> None:
    fixture, markets = opened({"m": 1}, Limits(max_liability_minor=15_000))
    market = markets["f:m"]

    def ask(bet_id: str, selection: str = "a", **more: Any) -> Any:
        more = {"customer_factor": 2_000} | more
        return hold_on(market, bet_id, selection, 1_000, **more).answer(NOW, market, fixture)

    assert isinstance(ask("1"), Held)
    assert isinstance(ask("1"), Held)  # asked twice
    assert isinstance(ask("2"), Held)
    assert ask("3").facts == {"max_stake_minor": 0}  # 3,000 of 15,000 are his
    assert ask("3", "b").facts == {"max_stake_minor": 0}  # on all selections together
    assert isinstance(ask("4", player_id="q"), Held)
    assert isinstance(ask("5", customer_factor=WHOLE, player_id="r"), Held)
    ReleaseHold("f:m", "2").answer(NOW, market)
    assert isinstance(ask("6"), Held)
    for bet_id in ("1", "6"):
        ConfirmHold("f:m", bet_id, Confirmed("gb-00", 1, "a", 1_000, 25_000)).answer(NOW, market)
    assert ask("7").facts == {"max_stake_minor": 0}
    assert market.book.taken == {"p": 3_000, "q": 1_500}


def test_more_than_everybody_s_room_is_nobody_s() -> None:
    fixture, markets = opened({"m": 1}, Limits(max_liability_minor=1_500))
    market = markets["f:m"]
    answer = hold_on(market, "1", "a", 1_001, customer_factor=50_000).answer(NOW, market, fixture)
    assert answer == Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": 1_000})


def test_a_book_remembers_so_many_customers() -> None:
    book = Book()
    for number in range(MAX_CUSTOMERS + 5):
        hold = Hold(f"b{number}", f"p{number}", "gb", "a", 10, 20_000, NOW, customer_factor=1)
        book.hold(hold)
    assert len(book.taken) == MAX_CUSTOMERS
    assert "p4" not in book.taken
    book.release("b0")  # forgotten, which does no harm
    assert book.taken["p5"] == 10


def test_limits_by_class() -> None:
    table = LimitTable(Limits(1, 2, 3), {"correct_score": Limits(4, 5, 6)})
    assert table.of("correct_score") == Limits(4, 5, 6)
    assert table.of("match_result") == Limits(1, 2, 3)


def test_what_only_says_how_long_prices_live_gets_the_limits_of_its_class() -> None:
    table = LimitTable(Limits(1, 2, 3, max_age_ms=7), {"correct_score": Limits(4, 5, 6)})
    lives = Limits(max_age_ms=8, max_age_in_play_ms=9)
    assert table.beside(lives, "correct_score") == Limits(
        4, 5, 6, max_age_ms=8, max_age_in_play_ms=9
    )
    assert table.beside(Limits(), "totals") == Limits(1, 2, 3, max_age_ms=7)
    own = Limits(1, 1, 1, max_age_ms=8)
    assert table.beside(own, "totals") == own


# However they race


class Race(RuleBasedStateMachine):
    """Holds, confirmations, expiries, prices, limits and hedges in any order.

    A limit can be lowered, a hedge made and a runner withdrawn while the market can lose more than
    then is allowed; nothing is taken back, but from there on it may only get less.
    """

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(1, 10**6, 6_000, 5_000, reoffer_ms=5_000, max_slip_liability_minor=8_000)
        self.fixture, self.markets = opened({"one": 1, "two": 2, "each": 0}, limits)
        groups = {
            "event": EventLimit(9_000),
            "pair": EventLimit(5_500, ("f:one", "f:two")),
        }
        do(ChangeEventLimits("f", groups), self.fixture)
        self.bets: dict[str, Bet] = {}
        self.blocks = 0
        self.hedges = 0
        self.offers: list[HoldStake] = []
        self.now_ms = NOW
        self.allowed: dict[Any, int] = {}
        self._allow_what_is()

    # What is measured, and what is allowed

    def _limits(self) -> dict[Any, int]:
        found: dict[Any, int] = {}
        for market_id, market in self.markets.items():
            for name in NAMES:
                found[market_id, name] = market.limits.max_liability_minor
                found[market_id, name, "slips"] = market.limits.max_slip_liability_minor
            found[market_id] = market.limits.max_market_liability_minor or UNLIMITED
        for name, limit in self.fixture.limits.items():
            found["limit", name] = limit.max_liability_minor
        return found

    def _measured(self) -> dict[Any, int]:
        found: dict[Any, int] = {}
        for market_id, market in self.markets.items():
            bets = [bet for bet in self.bets.values() if bet.market_id == market_id]
            for name in NAMES:
                wins = sum(h.wins_minor for h in market.hedges.values() if h.selection_id == name)
                mine = [bet for bet in bets if bet.selection == name]
                found[market_id, name] = sum(b.liability for b in mine if b.single) - wins
                found[market_id, name, "slips"] = sum(b.liability for b in mine if not b.single)
            found[market_id] = worst_by_hand(market, bets)
        for name, limit in self.fixture.limits.items():
            markets = limit.market_ids or self.markets
            found["limit", name] = sum(found[market_id] for market_id in markets)
        return found

    def _allow_what_is(self) -> None:
        limits, measured = self._limits(), self._measured()
        self.allowed = {key: max(limit, measured[key]) for key, limit in limits.items()}

    # Rules

    @rule(
        target=holds,
        market_id=st.sampled_from(["f:one", "f:two", "f:each"]),
        selection=st.sampled_from(NAMES),
        stake=st.integers(1, 4_000),
        slip=st.sampled_from([0, 0, 0, 1_000, 7_000]),
        factor=st.sampled_from([WHOLE, WHOLE, 3_000, 20_000]),
        player=st.sampled_from("pqr"),
    )
    def hold(
        self, market_id: str, selection: str, stake: int, slip: int, factor: int, player: str
    ) -> str:
        bet_id = f"b{len(self.bets)}-{self.blocks}-{self.now_ms}"
        self.now_ms += 1
        market = self.markets[market_id]
        question = hold_on(
            market,
            bet_id,
            selection,
            stake,
            liability_minor=slip,
            customer_factor=factor,
            player_id=player,
        )
        answer = question.answer(self.now_ms, market, self.fixture)
        if isinstance(answer, Held):
            self._held(bet_id, question, answer)
        elif "offer_id" in answer.facts:
            self.offers.append(
                msgspec.structs.replace(
                    question,
                    bet_id=f"{bet_id}-offered",
                    stake=Money(answer.facts["offer_stake_minor"], "GBP"),
                    odds=answer.facts["offer_odds"],
                    offer_id=answer.facts["offer_id"],
                )
            )
        return bet_id

    def _held(self, bet_id: str, question: HoldStake, held: Held) -> None:
        stake = question.stake.minor
        single = not question.liability_minor
        liability = liability_of(stake, held.odds) if single else question.liability_minor
        self.bets[bet_id] = Bet(question.market_id, question.selection_id, stake, liability, single)

    @rule(target=holds, late_ms=st.sampled_from([0, 0, 1_000, 6_000]), which=st.integers(0, 9))
    def take_an_offer(self, late_ms: int, which: int) -> str:
        if not self.offers:
            return ""
        question = self.offers.pop(which % len(self.offers))
        self.now_ms += late_ms
        answer = question.answer(self.now_ms, self.markets[question.market_id], self.fixture)
        if not isinstance(answer, Held):
            return ""
        self._held(question.bet_id, question, answer)
        return question.bet_id

    @rule(bet_id=holds, odds=st.sampled_from(PRICES))
    def look_again(self, bet_id: str, odds: int) -> None:
        bet = self.bets.get(bet_id)
        if bet is None or bet.block:
            return
        market = self.markets[bet.market_id]
        if not market.selections[bet.selection].withdrawn:
            do(ChangePrices("f", bet.market_id, {bet.selection: odds}), market, self.fixture)
        question = LookAgain("f", bet.market_id, bet_id, odds, PriceChange.ANY)
        answer = question.answer(self.now_ms, market, self.fixture)
        if not isinstance(answer, Held):
            # The room of what was promised is the wallet's to give back.
            if bet_id not in market.book.holds:
                del self.bets[bet_id]
            return
        bet.liability = market.book.holds[bet_id].cost_minor
        if bet.single:
            assert bet.liability == liability_of(bet.stake, answer.odds)

    @rule(bet_id=consumes(holds), told=st.booleans())
    def place(self, bet_id: str, told: bool) -> None:
        """The wallet's yes; the market may not be told, and asks when the hold has run out."""
        bet = self.bets.get(bet_id)
        if bet is None or bet.block:
            return
        self.blocks += 1
        market = self.markets[bet.market_id]
        hold = market.book.holds[bet_id]
        bet.block = self.blocks
        if not told:
            self._read_again(market)
            market.book.release(bet_id)
            return
        liability = 0 if bet.single else bet.liability
        confirmed = Confirmed("gb-00", self.blocks, bet.selection, bet.stake, hold.odds, liability)
        ConfirmHold(bet.market_id, bet_id, confirmed).answer(self.now_ms, market)

    @rule(bet_id=consumes(holds))
    def release(self, bet_id: str) -> None:
        bet = self.bets.get(bet_id)
        if bet is not None and not bet.block:
            ReleaseHold(bet.market_id, bet_id).answer(self.now_ms, self.markets[bet.market_id])
            del self.bets[bet_id]

    @rule(market_id=st.sampled_from(["f:one", "f:two", "f:each"]))
    def read_again(self, market_id: str) -> None:
        self._read_again(self.markets[market_id])

    def _read_again(self, market: Market) -> None:
        lines: dict[str, Line] = {}
        for bet in self.bets.values():
            if bet.market_id == market.market_id and bet.block:
                line = lines.setdefault(bet.selection, Line())
                line.bets += 1
                line.stakes_minor += bet.stake if bet.single else 0
                line.liability_minor += bet.liability
        market.book.rebase({"gb-00": self.blocks}, lines)

    @rule(
        market_id=st.sampled_from(["f:one", "f:two", "f:each"]),
        selection=st.sampled_from(NAMES),
        odds=st.sampled_from(PRICES),
        by_house=st.booleans(),
    )
    def price(self, market_id: str, selection: str, odds: int, by_house: bool) -> None:
        market = self.markets[market_id]
        command: Any = ChangePrices("f", market_id, {selection: odds})
        if by_house:
            command = MovePrices("f", market_id, {selection: odds}, market.odds_version)
        if not market.selections[selection].withdrawn:
            assert not isinstance(do(command, market, self.fixture), Refused)

    @rule(market_id=st.sampled_from(["f:one", "f:each"]), cause=st.sampled_from("xy"))
    def switch(self, market_id: str, cause: str) -> None:
        market = self.markets[market_id]
        if market.causes:
            cause = next(iter(market.causes))
        kind = Resume if market.causes else Suspend
        assert not isinstance(do(kind("f", market_id, cause), market, self.fixture), Refused)

    @rule(
        market_id=st.sampled_from(["f:one", "f:two", "f:each"]),
        selection=st.integers(500, 9_000),
        market=st.sampled_from([0, 1_000, 4_000, 9_000]),
        slips=st.integers(500, 12_000),
        event=st.integers(1_000, 12_000),
        seldom=st.integers(0, 3),
    )
    def change_limits(
        self, market_id: str, selection: int, market: int, slips: int, event: int, seldom: int
    ) -> None:
        if seldom:
            return
        limits = Limits(
            1, 10**6, selection, market, reoffer_ms=5_000, max_slip_liability_minor=slips
        )
        do(ChangeLimits("f", market_id, asdict(limits)), self.markets[market_id], self.fixture)
        groups = self.fixture.limits | {"event": EventLimit(event)}
        do(ChangeEventLimits("f", groups), self.fixture)
        self._allow_what_is()

    @rule(
        market_id=st.sampled_from(["f:one", "f:two", "f:each"]),
        selection=st.sampled_from(NAMES),
        stake=st.integers(1, 2_000),
        odds=st.sampled_from(PRICES),
    )
    def hedge(self, market_id: str, selection: str, stake: int, odds: int) -> None:
        self.hedges += 1
        command = RecordHedge(
            "f", market_id, f"{self.hedges}", selection, stake, odds, 200, "e", "r"
        )
        assert not isinstance(do(command, self.markets[market_id], self.fixture), Refused)
        self._allow_what_is()

    @rule(market_id=st.sampled_from(["f:two", "f:each"]), seldom=st.integers(0, 5))
    def withdraw(self, market_id: str, seldom: int) -> None:
        market = self.markets[market_id]
        if not seldom and not market.selections["c"].withdrawn:
            do(WithdrawSelection("f", market_id, "c"), market, self.fixture)
            self._allow_what_is()

    @rule()
    def move_to_another_shard(self) -> None:
        """With its book; the fixture has to meet its markets again."""
        self.fixture.woke()
        for market_id, market in list(self.markets.items()):
            again = msgspec.msgpack.decode(msgspec.msgpack.encode(market), type=Market)
            again.regain(market.unsaved())
            self.markets[market_id] = again
            GetExposure(market_id).answer(self.now_ms, again, self.fixture)

    # What always holds

    @invariant()
    def nothing_exceeds_its_limit(self) -> None:
        limits, measured = self._limits(), self._measured()
        for key, most in self.allowed.items():
            assert measured[key] <= most, (key, measured[key], most)
            self.allowed[key] = max(limits[key], min(most, measured[key]))

    @invariant()
    def the_book_knows_it_exactly(self) -> None:
        for market_id, market in self.markets.items():
            bets = [bet for bet in self.bets.values() if bet.market_id == market_id]
            assert market.book.worst_minor == worst_by_hand(market, bets)
            for name in NAMES:
                liability = sum(bet.liability for bet in bets if bet.selection == name)
                assert market.book.line(name).liability_minor == liability


TestRace = Race.TestCase
TestRace.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


def test_the_desk_sees_causes_ages_and_the_worst_case() -> None:
    fixture, markets = opened({"m": 1}, Limits(max_age_ms=1_000))
    market = markets["f:m"]
    hold_on(market, "1", "a", 1_000).answer(NOW, market, fixture)
    do(Suspend("f", "f:m", "feed"), market, fixture, now_ms=NOW + 5)
    view = GetMarket("f", "f:m").answer(NOW + 1_001, market, fixture)
    assert (view.status, view.causes) == (MarketStatus.SUSPENDED, {"feed": NOW + 5})
    assert (view.price_age_ms, view.stale, view.winners) == (1_001, True, 1)
    exposure = GetExposure("f:m").answer(NOW, market, fixture)
    assert (exposure.worst_minor, exposure.kept, exposure.hedged) == (1_500, {}, {})
