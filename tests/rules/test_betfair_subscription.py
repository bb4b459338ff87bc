"""Where the client stands with the exchange, and which markets may be open: without a network."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market import MarketStatus
from actors.trading import ChangePrices, ChangeStatus
from gateway.feeds.betfair import AgeLimits, LiveSettings, MarketFilter, Settings, Summary
from gateway.feeds.betfair.guard import (
    CROSSED,
    KEPT_MS,
    MISSING,
    TOO_OLD,
    UNMOVED,
    GuardedBoard,
    age_limit_ms,
)
from gateway.feeds.betfair.messages import MarketChange, Message
from gateway.feeds.betfair.subscription import (
    CATCH_UP_MS,
    CATCHING_UP,
    LATE,
    NOT_CONNECTED,
    Batch,
    OutOfStep,
    Standing,
    Subscription,
)
from tests.rehearsal import Rehearsal

NOW = 1_800_000_000_000
_decode = msgspec.json.Decoder(Message).decode


class Ear:
    """A subscription, and lines for it."""

    def __init__(self) -> None:
        self.of = Subscription(heartbeat_ms=1_000, conflate_ms=0)
        self.now_ms = NOW
        self.of.begin(NOW)

    def hear(self, **said: object) -> Batch | None:
        said = {"op": "mcm", "id": self.of.id, "pt": self.now_ms} | said
        line = json.dumps(said).encode()
        return self.of.hear(_decode(line), line, self.now_ms)

    def image(self, **more: object) -> Batch | None:
        clocks = {"initialClk": "i", "clk": "c0"}
        return self.hear(**{"ct": "SUB_IMAGE", "mc": [{"id": "1.1"}]} | clocks | more)

    @property
    def clocks(self) -> tuple[str | None, str | None]:
        return self.of.initial_clk, self.of.clk


def market(market_id: str = "1.1", **more: object) -> dict:
    return {"id": market_id} | more


# Clocks and images


def test_an_image_begins_a_subscription_and_changes_move_its_clock():
    ear = Ear()
    assert ear.of.standing() == Standing(CATCHING_UP, 0)
    batch = ear.image()
    assert batch is not None
    assert batch.image
    assert [change.img for change in batch.changes] == [True]  # whether it says so or not
    assert ear.clocks == ("i", "c0")
    assert ear.of.standing() == Standing("", NOW)
    ear.now_ms += 10
    batch = ear.hear(clk="c1", mc=[market()])
    assert batch is not None
    assert not batch.image
    assert [change.img for change in batch.changes] == [False]
    assert ear.clocks == ("i", "c1")


def test_heartbeats_move_the_clock_and_vouch_for_what_is_known():
    ear = Ear()
    assert ear.hear(ct="HEARTBEAT", clk="early") is None
    assert ear.clocks == (None, None)  # nothing is known yet that it could be the clock of
    ear.image()
    ear.now_ms += 1_000
    assert ear.hear(ct="HEARTBEAT", clk="c9") is None
    assert ear.clocks == ("i", "c9")
    assert ear.of.standing() == Standing("", NOW + 1_000)


def test_a_resumed_subscription_goes_on_from_its_clocks():
    ear = Ear()
    ear.image()
    ear.of.end()
    assert ear.of.standing().trouble == NOT_CONNECTED
    assert ear.of.begin(ear.now_ms) == 2
    assert ear.clocks == ("i", "c0")
    batch = ear.hear(ct="RESUB_DELTA", initialClk="i2", clk="c5", mc=[market()])
    assert batch is not None
    assert not batch.image
    assert ear.clocks == ("i2", "c5")
    assert ear.of.in_step


def test_what_a_former_subscription_still_says_is_nothing():
    ear = Ear()
    ear.image()
    ear.of.begin(NOW)
    assert ear.hear(id=1, clk="old", mc=[market()]) is None
    assert ear.clocks == ("i", "c0")
    assert not ear.of.in_step


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"mc": [{"id": "1.1"}]}, id="change"),
        pytest.param({"ct": "RESUB_DELTA", "mc": []}, id="resumed without having asked"),
        pytest.param({"ct": "SUB_IMAGE", "segmentType": "SEG", "mc": []}, id="segment"),
        pytest.param({"ct": "SUB_IMAGE", "segmentType": "SEG_END", "mc": []}, id="last segment"),
        pytest.param({"ct": "SUB_IMAGE", "pt": 0, "mc": []}, id="without time"),
    ],
)
def test_what_can_not_begin(said):
    with pytest.raises(OutOfStep):
        Ear().hear(**said)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"pt": NOW - 1, "mc": [{"id": "1.1"}]}, id="older than the last"),
        pytest.param({"pt": 0, "mc": [{"id": "1.1"}]}, id="without time"),
        pytest.param({"ct": "RESUB_DELTA", "mc": []}, id="resumed again"),
        pytest.param({"segmentType": "SEG", "mc": []}, id="segment without a first"),
    ],
)
def test_what_can_not_go_on(said):
    ear = Ear()
    ear.image()
    with pytest.raises(OutOfStep):
        ear.hear(**said)
    assert ear.clocks == ("i", "c0")


def test_a_heartbeat_that_was_overtaken_is_no_harm():
    ear = Ear()
    ear.image()
    assert ear.hear(ct="HEARTBEAT", clk="older", pt=NOW - 5) is None
    assert ear.clocks == ("i", "c0")
    assert ear.of.standing() == Standing("", NOW)


# Segments


def test_segments_count_when_the_last_is_there():
    ear = Ear()
    assert ear.image(segmentType="SEG_START", clk=None, mc=[market("1.1")]) is None
    assert ear.hear(ct="HEARTBEAT", clk="between") is None
    assert ear.hear(ct="SUB_IMAGE", segmentType="SEG", mc=[market("1.2")]) is None
    assert ear.clocks == (None, None)
    assert ear.of.standing().trouble == CATCHING_UP
    batch = ear.hear(ct="SUB_IMAGE", segmentType="SEG_END", clk="c3", mc=[market("1.3")])
    assert batch is not None
    assert [change.id for change in batch.changes] == ["1.1", "1.2", "1.3"]
    assert ear.clocks == ("i", "c3")


@pytest.mark.parametrize("second", [None, "SEG_START"])
def test_nothing_else_comes_between_segments(second):
    ear = Ear()
    ear.image(segmentType="SEG_START")
    with pytest.raises(OutOfStep, match="segment out of its place"):
        ear.image(segmentType=second, mc=[market("1.2")])


def test_segments_of_a_lost_connection_are_forgotten():
    ear = Ear()
    ear.image()
    ear.now_ms += 1
    ear.hear(segmentType="SEG_START", clk="c1", mc=[market("1.2")])
    ear.of.end()
    ear.of.begin(ear.now_ms)
    assert ear.clocks == ("i", "c0")
    batch = ear.hear(ct="RESUB_DELTA", clk="c2", mc=[market("1.3")])
    assert batch is not None
    assert [change.id for change in batch.changes] == ["1.3"]


# Repeated and reordered


_in_order = st.just([0, 1, 2, 3, 4])


@given(st.one_of(_in_order, st.permutations(range(5))), st.lists(st.integers(0, 4), max_size=4))
@settings(max_examples=100)
def test_every_order_is_either_the_right_one_or_noticed(order, again):
    ear = Ear()
    ear.image()
    taken = []
    try:
        for n in [*order, *again]:
            ear.now_ms = NOW + 10
            batch = ear.hear(pt=NOW + n, clk=f"c{n}", mc=[market(f"1.{n}")])
            taken += [change.id for change in batch.changes] if batch else []
    except OutOfStep:
        assert order != sorted(order)
    else:
        assert order == sorted(order)
        assert taken == [f"1.{n}" for n in range(5)]
        assert ear.of.repeats == len(again)
        assert ear.clocks == ("i", "c4")


# Ages


def test_a_fast_clock_does_not_keep_prices_fresh():
    ear = Ear()
    ear.image(pt=NOW + 3_600_000)
    assert ear.of.standing().as_of_ms == NOW


def test_conflation_makes_everything_older_by_as_much():
    ear = Ear()
    ear.image(conflateMs=700)
    assert ear.of.standing().as_of_ms == NOW - 700


def test_the_exchange_may_say_that_it_is_late():
    ear = Ear()
    ear.image()
    ear.hear(status=503, pt=0)
    assert ear.of.standing() == Standing(LATE, NOW)
    ear.now_ms += 100
    ear.hear(ct="HEARTBEAT")
    assert ear.of.standing() == Standing("", NOW + 100)


@pytest.mark.parametrize(
    ("granted", "silent_ms", "overdue"),
    [(None, 2_500, False), (None, 2_501, True), (500, 1_501, True), (5_000, 10_500, False)],
)
def test_heartbeats_that_are_missing(granted, silent_ms, overdue):
    ear = Ear()
    ear.image(heartbeatMs=granted)
    assert bool(ear.of.overdue(NOW + silent_ms)) == overdue


def test_an_image_that_does_not_come():
    ear = Ear()
    for _ in range(CATCH_UP_MS // 1_000):
        assert ear.of.overdue(ear.now_ms) == ""
        ear.now_ms += 1_000
        ear.hear(ct="HEARTBEAT")
    assert ear.of.overdue(ear.now_ms) == ""
    assert ear.of.overdue(ear.now_ms + 1) == "no image came for 60001 ms"


AGES = AgeLimits(early_ms=60_000, soon_ms=15_000, in_play_ms=5_000, unmoved_in_play_ms=180_000)


@pytest.mark.parametrize(
    ("in_play", "starts_in_ms", "limit_ms"),
    [
        (False, 600_001, 60_000),
        (False, 600_000, 15_000),
        (False, -1, 15_000),
        (False, None, 60_000),
        (True, 600_001, 5_000),
        (True, None, 5_000),
    ],
)
def test_the_age_limit_follows_the_phase(in_play, starts_in_ms, limit_ms):
    starts_at_ms = 0 if starts_in_ms is None else NOW + starts_in_ms
    assert age_limit_ms(AGES, in_play, starts_at_ms, NOW) == limit_ms


# The board


def definition(**more: object) -> dict:
    runners = [{"id": n, "status": "ACTIVE", "sortPriority": n} for n in (1, 2)]
    return {"eventId": "7", "marketType": "WIN", "status": "OPEN", "runners": runners} | more


class Desk:
    """A guarded board and the book that it speaks to."""

    def __init__(self, **more: object) -> None:
        live = LiveSettings(MarketFilter(), ages=AGES, **more)
        self.summary = Summary()
        self.board = GuardedBoard(Settings(), live, "t", self.summary)
        self.book = Rehearsal()
        self.now_ms = NOW
        self.said: list[object] = []

    def do(self, commands) -> None:
        self.said = list(commands)
        for command in self.said:
            self.book.do(command)
        assert self.book.refused == []

    def take(self, *changes: dict, image: bool = False, old_ms: int = 0) -> None:
        batch = Batch([msgspec.convert(c, MarketChange, strict=False) for c in changes], image)
        self.do(self.board.take(batch, Standing("", self.now_ms - old_ms), self.now_ms))

    def review(self, old_ms: int = 0, trouble: str = "") -> None:
        self.do(self.board.review(Standing(trouble, self.now_ms - old_ms), self.now_ms))

    def status(self, market_id: str = "1.1") -> MarketStatus:
        return self.book.markets[f"bf-7-t:{market_id}"].status

    def held(self, market_id: str = "1.1") -> str:
        return self.board.markets[market_id].held


def opening(market_id: str = "1.1", price: float = 2.0, **more: object) -> dict:
    return {
        "id": market_id,
        "img": True,
        "marketDefinition": definition(**more),
        "rc": [{"id": n, "batb": [[0, price, 10]]} for n in (1, 2)],
    }


def test_what_may_have_been_open_before_is_suspended_first_and_priced_anew():
    desk = Desk()
    desk.take(opening(), image=True)
    kinds = [type(command).__name__ for command in desk.said]
    assert kinds == ["CreateFixture", "OpenMarket", "ChangeStatus", "ChangePrices", "ChangeStatus"]
    prices = next(command for command in desk.said if isinstance(command, ChangePrices))
    assert prices.odds == {"1": 19_500, "2": 19_500}
    assert prices.sequence == 1
    assert [c.status for c in desk.said if isinstance(c, ChangeStatus)] == [
        MarketStatus.SUSPENDED,
        MarketStatus.OPEN,
    ]


def test_that_there_is_no_price_is_said_once():
    desk = Desk()
    change = opening()
    del change["rc"]
    desk.take(change, image=True)
    (prices,) = [command for command in desk.said if isinstance(command, ChangePrices)]
    assert prices.odds == {"1": 0, "2": 0}
    desk.take(market(rc=[{"id": 1, "ltp": 2}]))
    assert desk.said == []  # nobody offers it: the last price traded is not one


@pytest.mark.parametrize(
    ("phase", "limit_ms"),
    [
        ({"marketTime": "2099-01-01T00:00:00.000Z"}, AGES.early_ms),
        ({"marketTime": "2020-01-01T00:00:00.000Z"}, AGES.soon_ms),
        ({"inPlay": True}, AGES.in_play_ms),
    ],
)
def test_past_its_age_limit_a_market_is_suspended_until_it_is_known_again(phase, limit_ms):
    desk = Desk()
    desk.take(opening(**phase), image=True)
    desk.review(old_ms=limit_ms)
    assert desk.status() is MarketStatus.OPEN
    desk.review(old_ms=limit_ms + 1)
    assert (desk.status(), desk.held()) == (MarketStatus.SUSPENDED, TOO_OLD)
    desk.take(market(rc=[{"id": 1, "batb": [[0, 3, 10]]}]), old_ms=limit_ms + 1)
    assert desk.said == []  # not even a price: it is as old as the others
    desk.review()
    assert [type(command).__name__ for command in desk.said] == ["ChangePrices", "ChangeStatus"]
    assert desk.said[0].odds == {"1": 29_000}
    assert desk.status() is MarketStatus.OPEN


def test_in_play_a_market_has_to_move():
    desk = Desk()
    desk.take(opening(inPlay=True), opening("1.2"), image=True)
    desk.now_ms += AGES.unmoved_in_play_ms + 1
    desk.review()
    assert (desk.status(), desk.held()) == (MarketStatus.SUSPENDED, UNMOVED)
    assert desk.status("1.2") is MarketStatus.OPEN
    desk.take(market(rc=[{"id": 1, "ltp": 3}]))
    assert desk.status() is MarketStatus.OPEN


def test_a_market_that_contradicts_itself_is_suspended_and_an_image_wanted():
    desk = Desk()
    desk.take(opening(), image=True)
    desk.now_ms += 60_000
    desk.take(market(rc=[{"id": 1, "batl": [[0, 1.9, 10]]}]))
    assert (desk.status(), desk.held()) == (MarketStatus.SUSPENDED, CROSSED)
    assert not desk.board.wants_image(desk.now_ms + 5_000)
    assert desk.board.wants_image(desk.now_ms + 5_001)
    desk.take(market(rc=[{"id": 1, "batb": [[0, 1.8, 10]]}]))
    assert desk.status() is MarketStatus.OPEN
    assert not desk.board.wants_image(desk.now_ms + 5_001)


def test_a_market_that_is_in_no_image_any_more_is_suspended():
    desk = Desk()
    desk.take(opening(), opening("1.2"), image=True)
    desk.take(opening("1.2"), image=True)
    assert (desk.status(), desk.held()) == (MarketStatus.SUSPENDED, MISSING)
    assert desk.status("1.2") is MarketStatus.OPEN


def test_a_definition_from_before_is_out_of_step():
    desk = Desk()
    desk.take(opening(version=7), image=True)
    with pytest.raises(OutOfStep, match=r"1\.1 is described as it was before"):
        desk.take(market(marketDefinition=definition(version=6)))


def test_a_size_that_is_no_number_is_out_of_step():
    desk = Desk()
    desk.take(opening(), image=True)
    with pytest.raises(OutOfStep, match="not a number"):
        desk.take(market(rc=[{"id": 1, "atb": [[2, "NaN"]]}]))


def test_a_runner_that_joins_an_open_market_is_added():
    desk = Desk()
    desk.take(opening(), image=True)
    three = [{"id": n, "status": "ACTIVE"} for n in (1, 2, 3)]
    desk.take(
        market(marketDefinition=definition(runners=three), rc=[{"id": 3, "batb": [[0, 5, 1]]}])
    )
    late = desk.book.markets["bf-7-t:1.1"].selections["3"]
    assert late.odds > 40_000
    ended = [{"id": n, "status": s} for n, s in ((1, "LOSER"), (2, "LOSER"), (3, "WINNER"))]
    desk.take(market(marketDefinition=definition(runners=ended, status="CLOSED")))
    results = desk.book.markets["bf-7-t:1.1"].results
    won = {of: str(result.outcome) for of, result in results.items()}
    assert won == {"1": "lost", "2": "lost", "3": "won"}
    assert not desk.book.refused
    assert not desk.summary.warnings


def test_a_runner_that_joins_with_an_id_that_can_be_none_is_left_out():
    desk = Desk()
    desk.take(opening(), image=True)
    three = [{"id": n, "status": "ACTIVE"} for n in (1, 2, "3/4")]
    desk.take(market(marketDefinition=definition(runners=three)))
    assert "'3/4' can't be an id" in desk.summary.warnings[0]
    assert desk.book.markets["bf-7-t:1.1"].selections.keys() == {"1", "2"}


def test_names_come_from_the_catalogue_as_far_as_it_goes(tmp_path):
    path = tmp_path / "catalogue.json"
    entry = {
        "marketId": "1.1",
        "marketName": "1m Hcap",
        "event": {"id": "7", "name": "Ham 14th Jun"},
        "runners": [{"selectionId": 1, "runnerName": "First", "handicap": 0.0}],
    }
    path.write_text("not yet")
    desk = Desk(catalogue=str(path))
    desk.take(opening("1.2"), image=True)
    path.write_text(json.dumps([entry]))
    desk.take(opening("1.1"), opening("1.2"), image=True)
    named, unnamed = (desk.book.markets[f"bf-7-t:{market_id}"] for market_id in ("1.1", "1.2"))
    assert named.name == "1m Hcap"
    assert [s.name for s in named.selections.values()] == ["First", "Runner 2"]
    assert unnamed.name == "Win"


def test_a_fixture_ends_and_is_forgotten_an_hour_after_its_last_result():
    desk = Desk()
    desk.take(opening(), opening("1.2"), image=True)
    runners = [{"id": 1, "status": "WINNER"}, {"id": 2, "status": "LOSER"}]
    closed = definition(runners=runners, status="CLOSED")
    desk.take(market("1.1", marketDefinition=closed))
    desk.now_ms += KEPT_MS
    desk.review()
    assert len(desk.board.markets) == 2
    desk.take(market("1.2", marketDefinition=closed))
    desk.now_ms += KEPT_MS - 1
    desk.review()
    assert desk.book.fixtures["bf-7-t"].phase == "scheduled"
    desk.now_ms += KEPT_MS // 60
    desk.review()
    assert desk.book.fixtures["bf-7-t"].phase == "ended"
    assert desk.board.markets == desk.board.by_fixture == desk.board.phases == {}


_events = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.sampled_from([1.5, 2, 3]), st.integers(0, 70_000)),
        st.tuples(st.just("lay"), st.sampled_from([1.4, 2.5, 9]), st.integers(0, 70_000)),
        st.tuples(
            st.just("status"),
            st.sampled_from(["OPEN", "SUSPENDED", "INACTIVE", "CLOSED"]),
            st.booleans(),
        ),
        st.tuples(st.just("time"), st.integers(1, 200_000), st.integers(0, 70_000)),
        st.tuples(st.just("trouble"), st.just(0), st.just(0)),
        st.tuples(st.just("image"), st.sampled_from([1.5, 2, 3]), st.booleans()),
    ),
    max_size=25,
)


@given(_events)
@settings(max_examples=150)
def test_whatever_happens_only_the_newest_of_what_is_known_is_open(events):
    """An open market is open at the exchange too, fresh enough, and has exactly its prices."""
    desk = Desk()
    desk.take(opening(), image=True)
    status, in_play, back, lay, age_ms = "OPEN", False, 2.0, None, 0
    moved_ms, there, trouble = NOW, True, False
    for what, value, more in events:
        trouble, age_ms = False, 0
        if what == "price":
            back, age_ms, moved_ms, there = value, more, desk.now_ms, True
            rc = [{"id": n, "batb": [[0, value, 1]]} for n in (1, 2)]
            desk.take(market(rc=rc), old_ms=age_ms)
        elif what == "lay":
            lay, age_ms, moved_ms, there = value, more, desk.now_ms, True
            desk.take(market(rc=[{"id": 1, "batl": [[0, value, 1]]}]), old_ms=age_ms)
        elif what == "status":
            status, in_play, moved_ms, there = value, more, desk.now_ms, True
            desk.take(market(marketDefinition=definition(status=status, inPlay=in_play)))
        elif what == "time":
            desk.now_ms += value
            age_ms = more
            desk.review(old_ms=age_ms)
        elif what == "trouble":
            trouble = True
            desk.review(trouble="not connected")
        elif more:
            back, lay, moved_ms, there = value, None, desk.now_ms, True
            desk.take(opening(price=value, status=status, inPlay=in_play), image=True)
        else:
            there = False
            desk.take(image=True)
        limit_ms = AGES.in_play_ms if in_play else AGES.early_ms
        bettable = (
            status == "OPEN"
            and there
            and not trouble
            and age_ms <= limit_ms
            and not (in_play and desk.now_ms - moved_ms > AGES.unmoved_in_play_ms)
            and (lay is None or back < lay)
        )
        assert (desk.status() is MarketStatus.OPEN) == bettable
        if bettable:
            shown = desk.book.markets["bf-7-t:1.1"].selections
            ours = {1.5: 14_700, 2: 19_500, 3: 29_000}[back]
            assert [selection.odds for selection in shown.values()] == [ours, ours]
