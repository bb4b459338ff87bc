"""What is counted, put together from several processes, and what is concluded from it."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadtest.load import Sample as EarlyBets
from loadtest.load import text_frame
from loadtest.spike import pictures, story
from loadtest.spike import tally as tallies
from loadtest.spike.books import SLOTS, Books
from loadtest.spike.evening import Played, Use
from loadtest.spike.frames import NoStream, Reader
from loadtest.spike.gauges import Sample, together
from loadtest.spike.night import Night, Pace
from loadtest.spike.plan import Plan
from loadtest.spike.slips import Slip
from loadtest.spike.tally import Evening, Histogram, Line, Tally
from tests.load.scenery import PLAN, stage

ONE, TWO, THREE = "bet-1", "bet-2", "bet-3"


def test_a_percentile_is_at_most_four_per_cent_off() -> None:
    chance = random.Random(3)
    delays = sorted(chance.expovariate(1 / 20) + 0.2 for _ in range(5_000))
    histogram = Histogram()
    for delay in delays:
        histogram.add(delay)
    for share in (0.5, 0.9, 0.99):
        true = delays[int(share * len(delays)) - 1]
        assert true <= (histogram.percentile_ms(share) or 0) <= true * 1.05
    assert Histogram().percentile_ms(0.5) is None


def test_several_processes_are_counted_together(tmp_path: Path) -> None:
    for name, bets in (("a", [ONE]), ("b", [TWO, THREE])):
        with (tmp_path / f"{name}.tally").open("wb") as file:
            tally = Tally(file)
            for bet_id in bets:
                tally.count(4.2, "placed/http/hot")
                tally.delay(4.2, "bet/http/hot", 10)
                tally.bet(4.9, bet_id)
            tally.count(5.0, "placed/http/hot")
            tally.flush()
    with (tmp_path / "b.tally").open("ab") as file:
        file.write(b'{"second": 6, "cou')  # cut off with its process
    evening = tallies.read(tmp_path)
    assert evening.counts["placed/http/hot"] == {4: 3, 5: 2}
    assert evening.delay(["bet/http/hot"], 4, 5).count == 3
    assert evening.delay(["bet/http/hot"], 5, 9).count == 0
    assert sorted(evening.bets) == [ONE, TWO, THREE]


def night(tmp_path: Path) -> Night:
    file = (tmp_path / "night.tally").open("wb")
    return Night(PLAN, stage(), Tally(file), random.Random(1))


def counted(tmp_path: Path, night: Night) -> dict[str, int]:
    night.tally.flush()
    evening = tallies.read(tmp_path)
    return {name: number.total() for name, number in evening.counts.items()}


SLIP = Slip("hot", "key", {"market_id": "f0:m", "selection_id": "s0"})


@pytest.mark.parametrize(
    ("status", "answer", "what"),
    [
        (201, {"bet_id": ONE, "legs": [{"odds": 21_000}]}, {"placed/http/hot": 1}),
        (409, {"code": "price_changed", "odds": 21_000}, {"refused/price_changed": 1}),
        (0, {}, {"unanswered": 1}),
    ],
)
def test_each_bet_has_one_end(
    tmp_path: Path, status: int, answer: dict[str, Any], what: dict[str, int]
) -> None:
    playing = night(tmp_path)
    with playing.asked("http", SLIP) as asked:
        asked.answered(status, answer)
    asked.close()
    assert counted(tmp_path, playing) == what


def test_a_bet_that_is_cut_off_is_unanswered(tmp_path: Path) -> None:
    playing = night(tmp_path)
    with pytest.raises(KeyboardInterrupt), playing.asked("http", SLIP):
        raise KeyboardInterrupt
    assert counted(tmp_path, playing) == {"unanswered": 1}


@pytest.mark.parametrize("busy_s", [0.0, 3.0])
def test_a_player_keeps_the_pace_or_goes_on_at_once(busy_s: float) -> None:
    now_s = 100.0
    pace = Pace(2.0, random.Random(5), lambda: now_s)
    now_s += pace.wait_s()
    began_s = now_s
    for _ in range(500):
        now_s += busy_s
        now_s += pace.wait_s()
    assert (now_s - began_s) / 500 == pytest.approx(max(2.0, busy_s), rel=0.05)


# The platform's own figures


def test_gateways_are_added_up_and_the_platform_is_counted_once() -> None:
    text = (
        "# HELP grandstand_gateway_sockets WebSocket connections\n"
        "grandstand_gateway_sockets 500.0\n"
        'grandstand_lane_depth{shard="shard-gb-0"} 7.0\n'
        'grandstand_ledger_lag_ms{scope="gb"} 120.0\n'
        'grandstand_shards{scope="gb"} 2.0\n'
        "python_gc_objects 3.0\n"
    )
    sample = Sample(1.0, together([text, text]))
    assert sample.total("grandstand_gateway_sockets") == 1_000
    assert sample.by("grandstand_lane_depth", "shard") == {"shard-gb-0": 14}
    assert sample.by("grandstand_ledger_lag_ms", "scope") == {"gb": 120}
    assert sample.by("grandstand_shards", "scope") == {"gb": 2}
    assert sample.total("python_gc_objects") is None


# Frames


def server_frame(payload: bytes) -> bytes:
    """A client's frame without the mask, as servers send it."""
    masked = text_frame(payload)
    start = len(masked) - len(payload) - 4
    head = bytearray(masked[:start])
    head[1] &= 0x7F
    return bytes(head) + payload


@pytest.mark.parametrize("size", [1, 7, 125, 126, 70_000])
@pytest.mark.parametrize("piece", [1, 5, 1_000_000])
def test_frames_are_whole_however_they_arrive(size: int, piece: int) -> None:
    if piece == 1 and size > 1_000:
        piece = 997
    sent = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    sent += server_frame(b"x" * size) + server_frame(b"end")
    reader, got = Reader(), []
    for at in range(0, len(sent), piece):
        got += reader.feed(sent[at : at + piece])
    assert got == [(1, b"x" * size), (1, b"end")]


def test_no_stream_without_an_upgrade() -> None:
    with pytest.raises(NoStream, match="503"):
        Reader().feed(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


# The books


def bet(bet_id: str, state: str = "open", market_id: str = "f0:m") -> dict[str, Any]:
    settled = {"settled_at": "2026-11-22T10:00:01.600Z"} if state != "open" else {}
    return {
        "bet_id": bet_id,
        "state": state,
        "stake_minor": 10,
        "payout_minor": 20 if state == "won" else 0,
        "legs": [{"market_id": market_id}],
        **settled,
    }


def played(told: list[str], found: list[dict[str, Any]], unanswered: int = 0) -> Played:
    """An evening of a few bets, and everything else that a report shows."""
    plan = Plan()
    lines = [
        Line(
            second,
            {
                "bet/http/hot": {120: 30},
                "bet/websocket/other": {130: 30},
                "push": {100: 50},
                "large/opened": {90: 1},
                "large/price": {80: 2},
            },
            {
                "placed/http/hot": 30,
                "placed/websocket/other": 30,
                "placed/websocket/large": 2,
                "withdrawn": 3,
                "refused/price_changed": 4,
                "again/overloaded": 1,
            },
        )
        for second in range(int(plan.end_s))
    ]
    lines.append(Line(0, bets=told, counts={"unanswered": unanswered} if unanswered else {}))
    samples = [
        Sample(
            float(second),
            {
                'grandstand_lane_depth{shard="shard-gb-0"}': float(second),
                'grandstand_shards{scope="gb"}': 2.0,
                'grandstand_partitions{shard="shard-gb-0"}': 16.0,
                'grandstand_ledger_lag_ms{scope="gb"}': 40.0,
                "grandstand_gateway_frames_waiting": 3.0,
            },
        )
        for second in range(int(plan.end_s))
    ]
    books = Books()
    for one in found:
        books.add(one)
    uses = [Use(phase.from_s, {"shard-gb-0": phase.from_s / 2}) for phase in plan.phases]
    uses.append(Use(plan.end_s, {"shard-gb-0": plan.end_s / 2}))
    began_s = (books.first_settled_s or 0) - plan.whistle_s - 1
    return Played(
        plan,
        Evening(lines),
        samples,
        uses,
        {"whistle": plan.whistle_s},
        {"open bets": 1.0},
        EarlyBets(),
        books,
        began_s,
        "every check is ok",
        books.markets["f0:m"],
        books.open_markets["f0:m"],
    )


def test_whole_when_all_that_was_told_is_there_and_settled() -> None:
    evening = played([ONE, TWO], [bet(ONE, "won"), bet(TWO, market_id="f1:m")])
    assert story.is_whole(evening)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([ONE, TWO], [bet(ONE, "won")]),  # acknowledged, and not there
        ([ONE, ONE], [bet(ONE, "won")]),  # two bets answered as one
        ([ONE], [bet(ONE, "won"), bet(TWO, "won")]),  # a bet that nobody asked for
        ([ONE], [bet(ONE)]),  # not settled
    ],
)
def test_not_whole(told: list[str], found: list[dict[str, Any]]) -> None:
    assert not story.is_whole(played(told, found))


def test_a_bet_whose_answer_was_lost_may_be_there() -> None:
    assert story.is_whole(played([ONE], [bet(ONE, "won"), bet(TWO, "won")], unanswered=1))


def test_a_bet_in_two_lists_is_an_error() -> None:
    books = Books()
    books.add(bet(ONE))
    with pytest.raises(AssertionError, match="two lists"):
        books.add(bet(ONE))


def test_times_of_settlement_are_counted_in_slots() -> None:
    books = Books()
    books.add(bet(ONE, "won"))
    (slot,) = books.settled
    assert slot / SLOTS <= (books.first_settled_s or 0) < (slot + 1) / SLOTS


@pytest.mark.parametrize(
    "draw",
    [
        pictures.rate,
        pictures.latency,
        pictures.push,
        pictures.large,
        pictures.queues,
        pictures.shards,
        pictures.partitions,
        pictures.lag,
        pictures.payouts,
        pictures.refusals,
        pictures.processors,
    ],
)
def test_every_plot_shows_something(draw: Any) -> None:
    figure = draw(played([ONE], [bet(ONE, "won")]))
    drawn = [y for trace in figure.data for y in trace.y if y]
    assert drawn
    assert all(y > 0 for y in drawn)


def test_the_report_names_every_part() -> None:
    report = story.tell(played([ONE], [bet(ONE, "won")]), took_s=1.0)
    text = report.markdown()
    assert "This platform does not tell" not in text
    for heading in ("Bets a second", "Latency", "Queues", "Shards", "Projector lag", "Payouts"):
        assert heading in text
    assert report.data["whole"]
    assert Counter(phase["phase"]["name"] for phase in report.data["phases"]).total() == 6
