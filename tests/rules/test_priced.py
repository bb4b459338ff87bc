"""Feeds through the odds engine: what the book is told, how old it is, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bet import PriceChange
from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import Limits, MarketStatus
from actors.odds import ONE
from actors.outcomes import AddSelection, RollBackResult, SettleSelections
from actors.pricing.margin import Model
from actors.results import LOST, WON
from actors.runtime.clock import WallClock
from actors.terms import MarketTerms
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.feed import Step
from gateway.feeds.priced import (
    FEED,
    LEAD,
    Called,
    Desk,
    FeedSettings,
    MarginSettings,
    Priced,
    Settings,
)
from tests.patience import PATIENCE_S
from tests.rehearsal import Rehearsal

T = 1_800_000_000_000
S = 1_000
BEFORE_MS, IN_PLAY_MS = 60 * S, 9 * S
F, M = "f", "f:m"
OPEN, SUSPENDED, CLOSED = MarketStatus.OPEN, MarketStatus.SUSPENDED, MarketStatus.CLOSED
REDUCING = MarketTerms(reduction_factors=True)
MULTIPLICATIVE = MarginSettings(Model.MULTIPLICATIVE, 10_500)


def heard(**more) -> FeedSettings:
    return FeedSettings(
        "simulated",
        max_age_ms=BEFORE_MS,
        max_age_in_play_ms=IN_PLAY_MS,
        removal=Model.MULTIPLICATIVE,
        **more,
    )


def asked(*others: str, **more) -> Settings:
    return Settings(heard(), {name: heard() for name in others}, MULTIPLICATIVE, **more)


def create() -> CreateFixture:
    return CreateFixture(F, "Football", "Cup", "A v B", T)


def opening(market_id: str = M, of: str = "ab", winners: int = 1, **limits: int) -> OpenMarket:
    names = {one: one.upper() for one in of}
    return OpenMarket(
        F, market_id, "Win", "win", "GBP", names, Limits(**limits), SUSPENDED, winners
    )


def prices(market_id: str = M, age_ms: int = 0, **odds: int) -> ChangePrices:
    return ChangePrices(F, market_id, odds, 1, age_ms)


def status(now: MarketStatus, in_play: bool = False) -> ChangeStatus:
    return ChangeStatus(F, M, now, in_play, 0)


class Room:
    """A desk and the book behind it."""

    def __init__(self, given: Settings | None = None) -> None:
        self.desk = Desk(given or asked())
        self.book = Rehearsal()

    def hear(self, after_ms: int, *commands, source: str = LEAD) -> list:
        return self.do(
            after_ms, self.desk.hear([(source, Step(T + after_ms, commands))], T + after_ms)
        )

    def do(self, after_ms: int, said) -> list:
        self.book.now_ms = T + after_ms
        for command in said:
            self.book.do(command)
        assert not self.book.refused
        return list(said)

    def begin(self, *, of: str = "ab", **limits: int) -> None:
        self.hear(0, create(), opening(of=of, **limits))

    @property
    def odds(self) -> dict[str, int]:
        return {of: one.odds for of, one in self.book.markets[M].selections.items()}


# One feed


def test_the_feed_s_margin_comes_off_and_ours_goes_on():
    room = Room()
    room.begin()
    # 120 per cent of 0.5 and 0.5; 105 per cent of it is 1.9047.
    said = room.hear(10, prices(a=16_667, b=16_667), status(OPEN))
    assert said == [prices(a=19_000, b=19_000), status(OPEN)]


def test_margins_and_removals_are_by_sport_and_kind():
    given = Settings(
        heard(),
        margins={
            "Football": MarginSettings(Model.MULTIPLICATIVE, 12_500),
            "Football/win": MarginSettings(Model.MULTIPLICATIVE, 11_000),
        },
        removals={"Football/win": Model.POWER},
    )
    room = Room(given)
    room.begin()
    room.hear(10, prices(a=12_500, b=40_000))
    # 0.8 and 0.25 are, as powers, 0.782 and 0.218; 110 per cent of that is 1.162 and 4.176.
    assert room.odds == {"a": 11_600, "b": 41_000}


def test_only_what_changed_is_said_under_numbers_that_rise_by_one():
    room = Room()
    room.begin(of="abc")
    room.hear(10, prices(a=25_000, b=30_000, c=35_000))
    assert room.hear(20, prices(a=25_000)) == []
    (moved,) = room.hear(30, prices(b=30_500))
    assert moved.sequence == 2
    assert "b" in moved.odds
    assert room.book.markets[M].source_sequence == 2


def test_new_prices_are_there_before_the_market_opens():
    room = Room()
    room.begin()
    room.hear(10, prices(a=19_000, b=19_000), status(OPEN))
    # The feed says two things about the price, and opens in between.
    said = room.hear(
        20, status(SUSPENDED), prices(a=15_000), status(OPEN), prices(a=12_500, b=40_000)
    )
    assert [type(command).__name__ for command in said] == [
        "ChangeStatus",
        "ChangePrices",
        "ChangeStatus",
    ]
    assert said[1].odds["a"] < 13_000


def test_a_closed_market_is_owed_its_prices():
    room = Room()
    room.begin()
    room.hear(10, prices(a=19_000, b=19_000), status(OPEN))
    room.hear(20, status(CLOSED))
    assert room.hear(30, prices(a=15_000, b=27_000)) == []
    said = room.hear(40, status(OPEN))
    assert [getattr(command, "status", "") for command in said] == [SUSPENDED, "", OPEN]
    assert room.odds["a"] < 16_000
    room.hear(50, DeclareResult(F, M, {"a": WON, "b": LOST}))
    assert room.hear(60, prices(a=19_000, b=19_000)) == []
    room.hear(70, ChangePhase(F, Phase.ENDED))
    assert room.hear(80, prices(a=15_000, b=27_000)) == []
    assert room.desk.due_ms() is None


def test_who_joins_late_has_a_price_when_the_book_knows_of_him():
    room = Room()
    room.begin()
    room.hear(10, prices(a=19_000, b=19_000), status(OPEN))
    # Said at once with what was said before.
    steps = [
        Step(T + 20, (prices(a=18_500),)),
        Step(T + 21, (AddSelection(F, M, "c", "C"), prices(a=25_000, b=30_000, c=35_000))),
    ]
    room.do(21, room.desk.hear([(LEAD, step) for step in steps], T + 21))
    assert all(room.odds.values())
    assert len(room.odds) == 3


def test_a_result_that_is_taken_back_leaves_a_market_that_takes_prices():
    room = Room()
    room.begin()
    room.hear(10, prices(a=19_000, b=19_000), status(OPEN))
    room.hear(20, SettleSelections(F, M, {"a": LOST}))
    assert room.hear(30, prices(a=15_000, b=27_000)) == []
    said = room.hear(40, RollBackResult(F, M))
    assert [type(command).__name__ for command in said] == ["RollBackResult", "ChangePrices"]
    assert room.odds["a"] < 16_000
    room.hear(50, prices(a=19_000, b=19_000), status(OPEN))
    assert room.odds == {"a": 19_000, "b": 19_000}


def test_who_does_not_run_leaves_a_book_of_the_others():
    room = Room()
    room.begin(of="abc")
    room.hear(10, prices(a=40_000, b=20_000, c=40_000))
    out = WithdrawSelection(F, M, "c")
    # Withdrawn with a quarter of the book, and nobody has said what the others are worth.
    room.hear(20, out)
    assert room.odds == {"a": 0, "b": 0, "c": 0}
    room.hear(30, prices(a=30_000, b=15_000))
    assert room.odds == {"a": 28_400, "b": 14_200, "c": 0}
    room.hear(40, WithdrawSelection(F, M, "b"))
    assert room.odds == {"a": 0, "b": 0, "c": 0}
    assert room.hear(50, prices(a=11_000)) == []


OUT = WithdrawSelection(F, M, "c")


@pytest.mark.parametrize(
    "steps",
    [
        [(status(SUSPENDED), OUT, prices(a=40_000, b=13_333), status(OPEN))],
        [(OUT, prices(a=40_000, b=13_333))],
        [(OUT,), (prices(a=40_000, b=13_333),)],
        [(prices(a=40_000, b=13_333, c=0),), (OUT,), (prices(a=40_000, b=13_333),)],
        [(status(CLOSED),), (OUT,), (prices(a=40_000, b=13_333),), (status(OPEN),)],
    ],
)
def test_after_a_withdrawal_prices_that_are_the_same_are_said_again(steps):
    room = Room()
    room.hear(0, create(), msgspec.structs.replace(opening(of="abc"), terms=REDUCING))
    room.hear(10, prices(a=40_000, b=20_000, c=40_000), status(OPEN))
    before = room.odds["a"]
    for number, step in enumerate(steps):
        room.hear(20 + number, *step)
    market = room.book.markets[M]
    assert (market.status, market.unrenewed) == (OPEN, [])
    assert (room.odds["a"], room.odds["c"]) == (before, 0)


def test_what_a_whole_book_leaves_out_is_impossible_and_the_rest_is_priced():
    room = Room()
    room.begin(of="abc")
    room.hear(10, prices(a=25_000, b=30_000, c=35_000))
    room.hear(20, prices(a=19_000, b=19_000, c=0))
    assert room.odds == {"a": 19_000, "b": 19_000, "c": 0}
    # Less than a whole book may be anything.
    room.hear(30, prices(a=30_000, b=19_000, c=0))
    assert room.odds == {"a": 0, "b": 0, "c": 0}


def test_markets_without_a_number_of_winners_are_passed_on():
    room = Room()
    room.hear(0, create(), opening(winners=0))
    assert room.hear(10, prices(a=16_667, b=16_667)) == [prices(a=16_667, b=16_667)]


def test_several_winners():
    room = Room()
    room.hear(0, create(), opening(of="abcd", winners=2))
    room.hear(10, prices(a=16_000, b=16_000, c=16_000, d=16_000))
    assert set(room.odds.values()) == {19_000}


# Age


def test_the_book_counts_from_the_oldest_source_in_the_price():
    room = Room(asked("other"))
    room.begin()
    room.hear(0, prices(a=19_000, b=19_000), status(OPEN))
    (said,) = room.hear(50 * S, prices(a=17_000, b=22_000), source="other")
    assert said.age_ms == 50 * S
    market = room.book.markets[M]
    assert not market.stale(T + 60 * S)
    assert market.stale(T + 60 * S + 1)
    (said,) = room.hear(55 * S, prices(age_ms=2 * S), source=LEAD)
    assert said.age_ms == 5 * S


def test_a_source_that_is_silent_is_not_heard_any_more_and_nobody_leaves_no_price():
    room = Room(asked("other"))
    room.begin()
    room.hear(0, prices(a=19_000, b=19_000), status(OPEN))
    room.hear(30 * S, prices(a=17_000, b=22_000), source="other")
    both = dict(room.odds)
    assert room.desk.due_ms() == T + BEFORE_MS + 1
    room.do(BEFORE_MS + 1, room.desk.hear((), T + BEFORE_MS + 1))
    assert room.odds["a"] < both["a"]
    due_ms = room.desk.due_ms()
    assert due_ms == T + 90 * S + 1
    room.do(90 * S + 1, room.desk.hear((), due_ms))
    assert room.odds == {"a": 0, "b": 0}
    assert room.desk.due_ms() is None


def test_in_play_prices_grow_old_sooner():
    room = Room()
    room.begin()
    room.hear(0, prices(a=19_000, b=19_000), status(OPEN))
    room.hear(1 * S, status(OPEN, in_play=True))
    assert room.desk.due_ms() == T + IN_PLAY_MS + 1
    assert room.book.markets[M].limits.max_age_in_play_ms == IN_PLAY_MS
    room.hear(20 * S, status(OPEN, in_play=True))
    assert room.odds == {"a": 0, "b": 0}


def test_what_is_only_confirmed_is_said_before_the_book_finds_it_too_old():
    room = Room()
    room.begin(max_age_ms=30 * S)
    room.hear(0, prices(a=19_000, b=19_000), status(OPEN))
    told = 0
    for after_ms in range(S, 100 * S, S):
        told += len(room.hear(after_ms, prices(age_ms=500)))
        assert not room.book.markets[M].stale(T + after_ms)
    assert 8 <= told <= 10
    assert room.book.markets[M].source_sequence == told + 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 20 * S),
            st.sampled_from([LEAD, "one", "two"]),
            st.sampled_from(["price", "again", "open", "suspend", "play"]),
            st.sampled_from([(19_000, 19_000), (18_000, 20_000), (20_000, 0), (30_000, 13_000)]),
        ),
        max_size=40,
    )
)
def test_nothing_can_be_bet_on_that_no_source_vouches_for(steps):
    """Whoever is silent, suspended, late or contradicted; looked at before and after each word."""
    room = Room(asked("one", "two"))
    room.begin()
    vouched = {LEAD: 0, "one": 0, "two": 0}
    room.hear(0, prices(a=19_000, b=19_000), status(OPEN))
    now, in_play = 0, False
    for gap_ms, source, what, (a, b) in steps:
        now += gap_ms
        while (due_ms := room.desk.due_ms()) is not None and due_ms < T + now:
            room.do(due_ms - T, room.desk.hear((), due_ms))
        check(room, now, vouched, in_play)
        match what:
            case "price":
                command = prices(a=a, b=b)
            case "again":
                command = prices()
            case "play":
                in_play = in_play or source == LEAD
                command = status(OPEN, in_play=in_play)
            case _:
                command = status(OPEN if what == "open" else SUSPENDED, in_play)
        if what in ("price", "again"):
            vouched[source] = now
        elif what != "suspend":
            vouched[source] = vouched[source] if source == LEAD else now
        room.hear(now, command, source=source)
        check(room, now, vouched, in_play)


def check(room: Room, now: int, vouched: dict[str, int], in_play: bool) -> None:
    market = room.book.markets[M]
    limit_ms = IN_PLAY_MS if market.in_play else BEFORE_MS
    for of in "ab":
        odds = market.selections[of].odds
        if market.refuse_price(of, odds, PriceChange.NONE, T + now) is None:
            assert now - max(vouched.values()) <= limit_ms
            assert T + now - room.desk.engine.as_of_ms(M) <= limit_ms
    if all(one.odds for one in market.selections.values()):
        assert sum(ONE / one.odds for one in market.selections.values()) >= 1.05


# Several feeds


def test_other_feeds_may_call_things_otherwise():
    other = heard(markets={"bf:1": Called(M, {"7": "a", "8": "b"})})
    room = Room(Settings(heard(), {"other": other}, MULTIPLICATIVE))
    room.begin()
    room.hear(0, prices(a=19_000, b=19_000))
    alone = dict(room.odds)
    room.hear(10, ChangePrices("bf", "bf:1", {"7": 18_000, "8": 20_000}, 5), source="other")
    assert room.odds["a"] < alone["a"]
    assert room.hear(20, ChangePrices("bf", "bf:2", {"7": 18_000}, 5), source="other") == []
    assert room.hear(30, CreateFixture("x", "", "", "", 0), source="other") == []


def test_what_another_feed_has_suspended_it_has_no_price_for():
    room = Room(asked("other"))
    room.begin()
    room.hear(0, prices(a=19_000, b=19_000))
    alone = dict(room.odds)
    room.hear(10, prices(a=18_000, b=20_000), source="other")
    both = dict(room.odds)
    room.hear(20, status(SUSPENDED), source="other")
    assert room.odds == alone != both
    room.hear(30, prices(b=20_500), source="other")
    assert room.odds == alone
    room.hear(40, status(OPEN), source="other")
    assert room.odds["a"] < alone["a"]


def test_feeds_that_contradict_each_other_leave_no_price():
    room = Room(asked("other"))
    room.begin()
    room.hear(0, prices(a=19_000, b=19_000))
    room.hear(10, prices(a=13_000, b=35_000), source="other")
    assert room.odds == {"a": 0, "b": 0}


class Said:
    name = "said"
    keys = "said/r"

    def __init__(self, *steps: Step, live: bool = False, fails: bool = False) -> None:
        self.said, self.live, self.fails = steps, live, fails
        self.closed = asyncio.Event()

    async def steps(self) -> AsyncIterator[Step]:
        try:
            for step in self.said:
                yield step
            if self.fails:
                raise ConnectionError("gone")
            if self.live:
                await asyncio.Event().wait()
        finally:
            self.closed.set()


FIRST = Step(T, (create(), opening(), prices(a=19_000, b=19_000), status(OPEN)))


async def test_recordings_are_merged_by_their_times_and_grow_old_by_them():
    lead = Said(FIRST, Step(T + 100 * S, (prices(a=19_000),)))
    other = Said(*(Step(T + n * S, (prices(a=18_000, b=20_000),)) for n in (0, 40)))
    source = Priced(asked("other"), {LEAD: lead, "other": other})
    steps = [step async for step in source.steps()]
    # Of one moment both are heard together; at 60 s and 40 s + 60 s they are too old.
    assert [step.at_ms - T for step in steps] == [0, 60 * S + 1, 100 * S]
    assert source.keys == "priced/said/r"
    with pytest.raises(ValueError, match="no time in common"):
        Priced(asked("other"), {LEAD: Said(), "other": Said(live=True)})


async def test_live_feeds_that_fall_silent_take_their_prices_with_them():
    now_ms = WallClock().now_ms()
    lead = Said(Step(now_ms, FIRST.commands), live=True)
    running = Priced(Settings(FeedSettings("simulated", max_age_ms=200)), {LEAD: lead}).steps()
    async with asyncio.timeout(PATIENCE_S):
        assert len((await anext(running)).commands) == 4
        gone = await anext(running)
    assert gone.at_ms > now_ms + 200
    assert [command.odds for command in gone.commands] == [{"a": 0, "b": 0}]
    await running.aclose()
    assert lead.closed.is_set()


async def test_the_lead_goes_on_without_another_feed_that_has_failed():
    sources = {LEAD: Said(FIRST, live=True), "other": Said(live=True, fails=True)}
    running = Priced(asked("other"), sources).steps()
    async with asyncio.timeout(PATIENCE_S):
        assert len((await anext(running)).commands) == 4
        waiting = asyncio.ensure_future(anext(running))
        await sources["other"].closed.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert sources[LEAD].closed.is_set()


async def test_what_the_lead_has_failed_of_is_told():
    source = Priced(asked(), {LEAD: Said(FIRST, live=True, fails=True)})
    with pytest.raises(ConnectionError, match="gone"):
        async for _ in source.steps():
            pass


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"lead": {"feed": "nothing"}}, "lead: no feed 'nothing'"),
        ({"lead": {"feed": "priced"}}, "prices are made once"),
        ({"lead": {"feed": "simulated", "settings": {"fixtures": "many"}}}, "lead: Expected `int`"),
        ({"lead": {"feed": "simulated"}, "margin": {"overround": 1}}, "an overround of 1 "),
        ({"lead": {"feed": "simulated"}, "others": {"lead": {"feed": "simulated"}}}, "'lead'"),
        ({"lead": {"feed": "simulated", "max_age_ms": 0}}, "good for some time"),
        ({"lead": {"feed": "simulated"}, "min_steps": 0}, "1 to 10 steps"),
    ],
)
def test_bad_settings_are_refused_by_name(given, why):
    told = msgspec.json.decode(msgspec.json.encode(given), type=Settings)
    with pytest.raises(ValueError, match=why):
        FEED.open(told, "r", T)
