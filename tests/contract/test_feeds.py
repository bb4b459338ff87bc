"""What every feed promises, and the pump that carries it; a new feed is tested by being there."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import msgspec
import pytest

from actors.base import Reason
from actors.declaring import DeclareResult, WithdrawSelection
from actors.errors import Faulty, KeyReused, Overloaded, Unavailable
from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import Limits, MarketStatus
from actors.odds import MAX_ODDS, SHORTEST_STEP, down_to_ladder
from actors.outcomes import AddSelection, SettleSelections
from actors.results import LOST, VOID, WON
from actors.risk.limits import LimitTable
from actors.trading import (
    ChangePrices,
    ChangeStatus,
    GiveBackPrices,
    HoldPrices,
    MarketOpened,
    OpenMarket,
    PricesChanged,
    Resume,
    Suspend,
)
from gateway.feeds import all_feeds, feed
from gateway.feeds.feed import Feed, Step
from gateway.feeds.pump import MAX_WAITING, Tally, pump, retire
from tests.rehearsal import Rehearsal

START_MS = 1_800_000_000_000
OPEN = MarketStatus.OPEN


class FakeClock:
    """Sleeping moves it; every sleep gives way to the others."""

    def __init__(self) -> None:
        self.at_s = START_MS / 1_000
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return int(self.at_s * 1_000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at_s += seconds
        await asyncio.sleep(0)


class Trouble(Rehearsal):
    """A book behind a bad line: it may not answer, before or after having done what was asked."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = Random(seed)

    async def ask(self, *args, **named):
        await asyncio.sleep(0)
        luck = self.rng.random()
        if luck < 0.1:
            raise Overloaded("full")
        answer = await super().ask(*args, **named)
        if luck > 0.9:
            raise Unavailable("lost on the way back")
        return answer


class Told:
    """A source that says what it is given."""

    name = "told"
    keys = "told/r"
    live = False

    def __init__(self, *steps: Step) -> None:
        self.said = steps

    async def steps(self) -> AsyncIterator[Step]:
        for step in self.said:
            yield step


@pytest.fixture(params=all_feeds().values(), ids=all_feeds().keys())
def any_feed(request: pytest.FixtureRequest) -> Feed:
    return request.param


def opened(any_feed: Feed, folder: Path, run: str = "r1"):
    return any_feed.open(any_feed.sample(folder), run, START_MS)


async def steps_of(source) -> list[Step]:
    return [step async for step in source.steps()]


# What every feed promises


def test_feeds_are_found_by_name():
    assert {"betfair", "simulated"} <= all_feeds().keys()
    with pytest.raises(KeyError, match=r"no feed 'nothing'; there are .*betfair"):
        feed("nothing")


async def test_the_same_run_says_the_same(any_feed, tmp_path):
    first = await steps_of(opened(any_feed, tmp_path))
    assert first
    assert await steps_of(opened(any_feed, tmp_path)) == first


async def test_another_run_makes_other_fixtures_under_other_keys(any_feed, tmp_path):
    runs = [opened(any_feed, tmp_path, run) for run in ("r1", "r2")]
    fixtures = [
        {command.fixture_id for step in await steps_of(source) for command in step.commands}
        for source in runs
    ]
    assert not fixtures[0] & fixtures[1]
    assert runs[0].keys != runs[1].keys
    assert all(name.startswith(any_feed.prefix) for name in fixtures[0] | fixtures[1])


async def test_every_command_is_accepted_and_every_fixture_ends_with_all_results(
    any_feed, tmp_path
):
    book = Rehearsal()
    at_ms = 0
    for step in await steps_of(opened(any_feed, tmp_path)):
        assert step.commands
        assert step.at_ms >= at_ms
        at_ms = step.at_ms
        for command in step.commands:
            book.do(command)
    assert book.refused == []
    assert book.fixtures
    for fixture in book.fixtures.values():
        assert fixture.phase is Phase.ENDED
        assert fixture.markets
    for market in book.markets.values():
        assert market.status in (MarketStatus.CLOSED, MarketStatus.CANCELLED)
        assert market.results.keys() == market.selections.keys()


async def test_ids_are_names_and_odds_are_on_the_ladder(any_feed, tmp_path):
    name = re.compile(r"[A-Za-z0-9_.-]{1,64}")
    for step in await steps_of(opened(any_feed, tmp_path)):
        for command in step.commands:
            assert name.fullmatch(command.fixture_id)
            if isinstance(command, OpenMarket):
                fixture_id, _, key = command.market_id.rpartition(":")
                assert fixture_id == command.fixture_id
                assert name.fullmatch(key)
                assert all(map(name.fullmatch, command.selections))
                assert all(command.selections.values())
            if isinstance(command, ChangePrices):
                assert command.age_ms >= 0
                for odds in command.odds.values():
                    assert odds == 0 or SHORTEST_STEP <= odds <= MAX_ODDS
                    assert odds == 0 or odds == down_to_ladder(odds)


async def test_prices_are_numbered_and_really_change(any_feed, tmp_path):
    sequences: dict[str, int] = {}
    shown: dict[str, dict[str, int]] = {}
    again: dict[str, set[str]] = {}
    """What may be said again though it is the same: it is from before a withdrawal."""
    for step in await steps_of(opened(any_feed, tmp_path)):
        for command in step.commands:
            if isinstance(command, WithdrawSelection):
                again[command.market_id] = set(shown.get(command.market_id, ()))
            if isinstance(command, ChangePrices):
                before = sequences.get(command.market_id, 0)
                assert command.sequence == before + 1
                sequences[command.market_id] = command.sequence
                board = shown.setdefault(command.market_id, {})
                assert command.odds or any(board.values()), "nothing can't be said again"
                same = {of for of, odds in command.odds.items() if board.get(of, 0) == odds}
                waited_for = again.setdefault(command.market_id, set())
                assert same <= waited_for
                waited_for -= command.odds.keys()
                board.update(command.odds)


@pytest.mark.parametrize("run", ["", "a b", "x" * 25, "é"])
def test_a_bad_run_is_refused(any_feed, tmp_path, run):
    with pytest.raises(ValueError, match="can't be a run"):
        opened(any_feed, tmp_path, run)


# What the pump adds


async def test_a_bad_line_and_a_restart_do_no_harm(any_feed, tmp_path):
    smooth, rough = Rehearsal(), Trouble(7)
    await pump(opened(any_feed, tmp_path), smooth, FakeClock(), speed=0)
    tally = await pump(opened(any_feed, tmp_path), rough, FakeClock(), speed=0)
    assert tally.retries
    events = len(rough.events)
    again = await pump(opened(any_feed, tmp_path), rough, FakeClock(), speed=0)
    assert len(rough.events) == events
    for tallied in (tally, again):
        assert not tallied.refused
    for market_id, market in smooth.markets.items():
        same = rough.markets[market_id]
        assert (same.results, same.status) == (market.results, market.status)
        assert same.selections == market.selections
        assert same.result_version == market.result_version
    assert {f.fixture_id: f.phase for f in rough.fixtures.values()} == {
        f.fixture_id: f.phase for f in smooth.fixtures.values()
    }


async def test_a_feed_cut_short_is_retired(any_feed, tmp_path):
    source = opened(any_feed, tmp_path)
    steps = (await steps_of(source))[:3]
    book, clock = Rehearsal(), FakeClock()
    await pump(Told(*steps), book, clock, speed=0)
    fixture_ids = [*book.fixtures, "unknown"]
    tally = await retire(book, clock, fixture_ids)
    assert not tally.refused
    known = [book.fixtures[fixture_id] for fixture_id in fixture_ids[:-1]]
    assert {fixture.phase for fixture in known} == {Phase.CANCELLED}
    markets = [market for market in book.markets.values() if market.market_id]
    assert {market.status for market in markets} == {MarketStatus.CANCELLED}
    assert all(set(market.results.values()) == {VOID} for market in markets)
    events = len(book.events)
    await retire(book, clock, fixture_ids)
    assert len(book.events) == events


def create(fixture_id: str) -> CreateFixture:
    return CreateFixture(fixture_id, "Football", "Cup", "A v B", START_MS)


def open_market(fixture_id: str) -> OpenMarket:
    return OpenMarket(fixture_id, f"{fixture_id}:m", "Win", "win", "GBP", {"1": "A", "2": "B"})


def prices(fixture_id: str, sequence: int, **odds: int) -> ChangePrices:
    named = {of.removeprefix("of"): value for of, value in odds.items()}
    return ChangePrices(fixture_id, f"{fixture_id}:m", named, sequence)


@pytest.mark.parametrize(
    ("speed", "max_gap_s", "slept"),
    [
        (1, None, [10.0, 3_600.0]),
        (10, None, [1.0, 360.0]),
        (1, 2.0, [2.0, 2.0]),
        (10, 2.0, [1.0, 2.0]),
        (0, None, []),
        (0, 2.0, []),
    ],
)
async def test_speed_and_gaps(speed, max_gap_s, slept):
    steps = [
        Step(1_000, (create("a"),)),
        Step(11_000, (create("b"),)),
        Step(3_611_000, (create("c"),)),
    ]
    clock = FakeClock()
    await pump(Told(*steps), Rehearsal(), clock, speed=speed, max_gap_s=max_gap_s)
    assert clock.slept == pytest.approx(slept, abs=0.002)


async def test_speed_below_zero_is_refused():
    with pytest.raises(ValueError, match="speed is -1"):
        await pump(Told(), Rehearsal(), FakeClock(), speed=-1)


async def test_waiting_prices_go_as_one_change_but_never_past_another_command():
    suspend = ChangeStatus("a", "a:m", MarketStatus.SUSPENDED, False, 0)
    steps = [
        Step(
            0,
            (
                create("a"),
                open_market("a"),
                prices("a", 1, of1=20_000, of2=21_000),
                prices("a", 2, of1=22_000),
                prices("a", 3, of1=23_000),
                suspend,
                prices("a", 4, of1=24_000),
            ),
        )
    ]
    book = Rehearsal()
    tally = await pump(Told(*steps), book, FakeClock(), speed=0)
    changes = [event for event in book.events if isinstance(event, PricesChanged)]
    assert [(change.odds, change.source_sequence) for change in changes] == [
        ({"1": 23_000, "2": 21_000}, 3),
        ({"1": 24_000}, 4),
    ]
    assert type(book.events[-2]).__name__ == "StatusChanged"
    assert tally == Tally(steps=1, accepted=5, merged=2)


async def test_prices_of_a_part_of_a_source_have_it_as_their_author() -> None:
    authors: dict[str, str] = {}

    class Noting(Rehearsal):
        async def ask(self, scope, routing_id, message, *, by="", **named):
            authors[type(message).__name__ + routing_id] = by
            return await super().ask(scope, routing_id, message, by=by, **named)

    said = [
        (create(name), open_market(name), ChangePrices(name, f"{name}:m", {"1": 20_000}, 1))
        for name in ("a", "b")
    ]
    step = Step(0, (*said[0], *said[1]), {"a:m": "3"})
    await pump(Told(step), Noting(), FakeClock(), speed=0)
    assert authors["ChangePricesa"] == "feed:told/3"
    assert {by for what, by in authors.items() if what != "ChangePricesa"} == {"feed:told"}


async def test_markets_get_the_house_s_limits_where_the_source_says_none() -> None:
    own, ours = Limits(max_stake_minor=77), Limits(max_stake_minor=99)
    said = msgspec.structs.replace(open_market("b"), limits=own)
    steps = [Step(0, (create("a"), open_market("a"), create("b"), said))]
    book = Rehearsal()
    await pump(Told(*steps), book, FakeClock(), speed=0, limits=LimitTable(ours))
    opened = [event for event in book.events if isinstance(event, MarketOpened)]
    assert {event.fixture_id: event.limits for event in opened} == {"a": ours, "b": own}


async def test_a_fixture_that_cannot_be_reached_holds_up_no_other():
    class HalfDown(Rehearsal):
        up = asyncio.Event()

        async def ask(self, scope, routing_id, message, **named):
            if routing_id == "a" and not self.up.is_set():
                raise Unavailable("down")
            return await super().ask(scope, routing_id, message, **named)

    book = HalfDown()
    steps = [Step(n, (create("a"), create("b")) if n == 0 else ()) for n in range(2)]
    pumping = asyncio.create_task(pump(Told(*steps), book, FakeClock(), speed=0))
    for _ in range(20):
        await asyncio.sleep(0)
    assert "b" in book.fixtures
    assert "a" not in book.fixtures
    assert not pumping.done()
    book.up.set()
    tally = await pumping
    assert book.fixtures.keys() == {"a", "b"}
    assert tally.accepted == 2
    assert tally.retries


async def test_what_waits_for_one_fixture_has_a_bound():
    class Stuck(Rehearsal):
        go = asyncio.Event()

        async def ask(self, *args, **named):
            await self.go.wait()
            return await super().ask(*args, **named)

    said = 0

    class Counting(Told):
        async def steps(self):
            nonlocal said
            for step in self.said:
                said += 1
                yield step

    phase = [ChangePhase("a", Phase.IN_PLAY, str(n)) for n in range(2 * MAX_WAITING)]
    steps = [Step(0, (create("a"),)), *(Step(0, (change,)) for change in phase)]
    book = Stuck()
    pumping = asyncio.create_task(pump(Counting(*steps), book, FakeClock()))
    for _ in range(20):
        await asyncio.sleep(0)
    assert MAX_WAITING <= said <= MAX_WAITING + 3
    book.go.set()
    tally = await pumping
    assert tally.accepted == 2 * MAX_WAITING + 1
    assert book.fixtures["a"].score == str(2 * MAX_WAITING - 1)


async def test_refusals_and_failures_are_counted_and_the_feed_goes_on():
    class Failing(Rehearsal):
        async def ask(self, scope, routing_id, message, **named):
            if routing_id == "bad":
                raise Faulty("broken")
            if routing_id == "used":
                raise KeyReused("k")
            return await super().ask(scope, routing_id, message, **named)

    steps = [
        Step(0, (create("bad"), create("used"), create("a"), open_market("a"))),
        Step(1, (prices("a", 1, of1=20_000), prices("nowhere", 1, of1=20_000))),
        Step(2, (DeclareResult("a", "a:m", {}), DeclareResult("a", "a:m", {}, cancelled=True))),
    ]
    tally = await pump(Told(*steps), Failing(), FakeClock(), speed=0)
    assert tally.refused == {
        "Faulty": 1,
        "KeyReused": 1,
        Reason.UNKNOWN_MARKET: 1,
        Reason.INCOMPLETE_RESULT: 1,
    }
    assert tally.accepted == 4


async def test_keys_are_the_sources_own_and_prices_have_none():
    keys: list[SimpleNamespace] = []

    class Noting(Rehearsal):
        async def ask(self, scope, routing_id, message, *, key="", by="", **named):
            keys.append(SimpleNamespace(scope=scope, to=routing_id, key=key, by=by))
            return await super().ask(scope, routing_id, message, key=key, by=by)

    steps = [Step(0, (create("a"), open_market("a"), prices("a", 1, of1=20_000)))]
    await pump(Told(*steps), Noting(), FakeClock(), speed=0)
    assert {(note.scope, note.to, note.by) for note in keys} == {("book", "a", "feed:told")}
    assert [note.key for note in keys] == ["told/r/1", "told/r/2", ""]


async def test_prices_that_had_to_wait_say_how_old_they_are():
    class Slow(Rehearsal):
        waits = True

        async def ask(self, scope, routing_id, message, **named):
            if isinstance(message, ChangePrices) and self.waits:
                self.waits = False
                raise Unavailable("down")
            return await super().ask(scope, routing_id, message, **named)

    class Late(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(3.0)

    book = Slow()
    first = msgspec.structs.replace(prices("a", 1, of1=20_000), age_ms=500)
    steps = [Step(0, (create("a"), open_market("a"), first, prices("b", 1), prices("a", 2)))]
    await pump(Told(*steps), book, Late(), speed=0)
    changes = [event for event in book.events if isinstance(event, PricesChanged)]
    # Nobody took them for three seconds: those do not make them any younger.
    assert [change.age_ms for change in changes] == [3_000]
    assert changes[0].source_sequence == 2


# What a live feed finds on the board


class Anew(Told):
    """A live source: started again, it numbers from one and says only what is so now."""

    name = "anew"
    live = True

    def __init__(self, start: int, *steps: Step) -> None:
        super().__init__(*steps)
        self.keys = f"anew/{start}"


def status(fixture_id: str, now: MarketStatus) -> ChangeStatus:
    return ChangeStatus(fixture_id, f"{fixture_id}:m", now, True, 1_000)


async def test_what_a_killed_process_has_left_open_is_suspended_until_it_is_said_again():
    book, clock = Rehearsal(), FakeClock()
    said = [
        (create(name), open_market(name), prices(name, 7, of1=20_000, of2=19_000)) for name in "abc"
    ]
    opened = [(*commands, status(commands[0].fixture_id, OPEN)) for commands in said]

    class Killed(Anew):
        async def steps(self):
            async for step in super().steps():
                yield step
            raise RuntimeError("killed")

    with pytest.raises(ExceptionGroup):
        await pump(Killed(1, *(Step(0, all_of) for all_of in opened)), book, clock, speed=0)
    assert {market.status for market in book.markets.values()} == {OPEN}
    book.do(Suspend("b", "b:m", "trader"))
    book.do(DeclareResult("c", "c:m", {}, cancelled=True))
    before: list[MarketStatus] = []

    class Started(Anew):
        async def steps(self):
            # Nothing is said yet, and nothing can be bet on any more.
            before.extend(market.status_behind for market in book.markets.values())
            assert all(
                one.odds == 0 for of in "ab" for one in book.markets[f"{of}:m"].selections.values()
            )
            async for step in super().steps():
                yield step

    again = (create("a"), open_market("a"), prices("a", 1, of1=25_000), status("a", OPEN))
    tally = await pump(Started(2, Step(9, again)), book, clock, speed=0, left=["a", "b", "c", "x"])
    assert before == [MarketStatus.SUSPENDED, MarketStatus.SUSPENDED, MarketStatus.CANCELLED]
    a, b = book.markets["a:m"], book.markets["b:m"]
    assert tally.taken_over == 2
    assert not tally.refused
    # What the feed has said again is open; and what it has no price for now is not to be had.
    assert (a.status, a.selections["1"].odds, a.selections["2"].odds) == (OPEN, 25_000, 0)
    assert a.source_sequence == 9
    book.do(Resume("b", "b:m", "trader"))
    assert b.status is MarketStatus.SUSPENDED


async def test_what_an_earlier_process_said_behind_a_price_held_by_hand_is_taken_off_too():
    book, clock = Rehearsal(), FakeClock()
    first = (create("a"), open_market("a"), prices("a", 5, of1=20_000, of2=19_000))
    await pump(Anew(1, Step(0, first)), book, clock, speed=0)
    for odds in ({"1": 0}, {"2": 18_000}):
        book.do(HoldPrices("a", "a:m", odds, "staff/kim"))
    again = (create("a"), open_market("a"), prices("a", 1, of2=25_000))
    tally = await pump(Anew(2, Step(0, again)), book, clock, speed=0)
    assert not tally.refused
    market = book.markets["a:m"]
    assert [one.odds for one in market.selections.values()] == [0, 18_000]
    book.do(GiveBackPrices("a", "a:m"))
    # Of the first nothing is left, though nobody saw a price of it to take off.
    assert [one.odds for one in market.selections.values()] == [0, 25_000]


async def test_a_market_that_nobody_knew_to_be_there_is_taken_over_when_it_is_named():
    book, clock = Rehearsal(), FakeClock()
    first = (create("a"), open_market("a"), prices("a", 5, of1=20_000, of2=19_000))
    await pump(Anew(1, Step(0, (*first, status("a", OPEN)))), book, clock, speed=0)
    again = (create("a"), open_market("a"), prices("a", 1, of1=25_000))
    tally = await pump(Anew(2, Step(0, again)), book, clock, speed=0)
    market = book.markets["a:m"]
    assert tally.taken_over == 1
    assert market.status is MarketStatus.SUSPENDED
    assert [one.odds for one in market.selections.values()] == [25_000, 0]
    # A recording that is said again is not: it finds what it has said itself.
    tally = await pump(Told(Step(0, again)), book, clock, speed=0)
    assert tally.taken_over == 0


async def test_a_market_that_was_there_before_is_brought_to_what_the_feed_says_now():
    book, clock = Rehearsal(), FakeClock()

    def named(*selections: str) -> OpenMarket:
        return msgspec.structs.replace(
            open_market("a"), selections={of: f"Runner {of}" for of in selections}
        )

    first = (
        create("a"),
        named("1", "2", "3", "4", "5"),
        prices("a", 1, **{f"of{n}": 50_000 for n in range(1, 6)}),
        WithdrawSelection("a", "a:m", "2"),
        status("a", OPEN),
    )
    await pump(Anew(1, Step(0, first)), book, clock, speed=0)
    again = (
        named("1", "2", "6"),
        WithdrawSelection("a", "a:m", "2"),
        prices("a", 1, of1=20_000, of6=30_000),
        AddSelection("a", "a:m", "3", "Runner 3"),
        DeclareResult("a", "a:m", {"1": WON, "3": LOST, "6": LOST}),
    )
    tally = await pump(Anew(2, Step(9, again)), book, clock, speed=0)
    market = book.markets["a:m"]
    assert tally.joined == 1
    # The market, the withdrawal, and who was not named at first.
    assert tally.said_before == 3
    assert not tally.refused
    assert [(one.name, one.odds) for one in market.selections.values()] == [
        ("Runner 1", 20_000),
        ("Runner 2", 0),
        ("Runner 3", 0),
        ("Runner 4", 0),
        ("Runner 5", 0),
        ("Runner 6", 30_000),
    ]
    # Nobody will ever say how those came out whom the feed does not know any more.
    assert market.results == dict(zip("123456", (WON, VOID, LOST, VOID, VOID, LOST), strict=True))


async def test_who_went_out_before_a_restart_is_not_void_because_nobody_names_him_any_more():
    book, clock = Rehearsal(), FakeClock()
    of_three = msgspec.structs.replace(open_market("a"), selections={of: of for of in "123"})
    first = (create("a"), of_three, SettleSelections("a", "a:m", {"3": LOST}))
    await pump(Anew(1, Step(0, first)), book, clock, speed=0)
    again = (open_market("a"), DeclareResult("a", "a:m", {"1": WON, "2": LOST}))
    tally = await pump(Anew(2, Step(9, again)), book, clock, speed=0)
    assert not tally.refused
    assert book.markets["a:m"].results == {"1": WON, "2": LOST, "3": LOST}
