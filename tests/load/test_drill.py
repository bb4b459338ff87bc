"""The arithmetic of the drills, and that it notices what it is there to notice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadtest.drill import measure
from loadtest.drill.drills import DRILLS, HOUSES
from loadtest.drill.measure import Books
from loadtest.drill.report import write
from loadtest.drill.stage import Drill, Mark, Outcome, by_partition, listing
from loadtest.load import Answered, Load, Slips

RATE = 100.0


def steady(start: float, end: float, rate: float = RATE) -> list[float]:
    """Evenly spaced moments."""
    return [start + number / rate for number in range(round((end - start) * rate))]


@pytest.mark.parametrize(
    ("moments", "gap"),
    [
        ([], 10.0),
        ([0.0, 10.0], 10.0),
        ([1.0, 2.0, 9.0], 7.0),
        ([9.0, 1.0, 2.0], 7.0),
        ([6.0], 6.0),
        ([4.0], 6.0),
        ([-5.0, 5.0, 99.0], 5.0),
    ],
)
def test_longest_gap_counts_the_edges(moments: list[float], gap: float) -> None:
    assert measure.longest_gap(moments, 0.0, 10.0) == gap


def test_undisturbed_is_normal_at_once() -> None:
    assert measure.until_normal(steady(-3, 12), [], RATE, 0.0, 12.0) == 0.0


def test_normal_again_when_bets_are_accepted_again() -> None:
    accepted = steady(-3, 0) + steady(4, 12)
    took = measure.until_normal(accepted, [], RATE, 0.0, 12.0)
    # The first second that has enough of them begins a little before the outage is over.
    assert took == pytest.approx(4.0 - (1 - measure.ENOUGH), abs=0.11)


def test_a_blow_that_is_felt_late_is_not_normal_before() -> None:
    accepted = steady(-3, 5) + steady(7, 15)
    took = measure.until_normal(accepted, [], RATE, 0.0, 15.0)
    assert took is not None
    assert took > 6


def test_failing_attempts_are_not_normal_though_bets_are_accepted() -> None:
    failed = steady(1, 3, rate=5)
    took = measure.until_normal(steady(-3, 12), failed, RATE, 0.0, 12.0)
    # One in a second is within bounds: the last two are at 2.6 and 2.8.
    assert took == pytest.approx(2.7, abs=0.15)


def test_half_the_rate_is_never_normal() -> None:
    assert measure.until_normal(steady(0, 12, RATE / 2), [], RATE, 0.0, 12.0) is None


def test_less_than_three_normal_seconds_are_none() -> None:
    accepted = steady(-3, 0) + steady(10, 12)
    assert measure.until_normal(accepted, [], RATE, 0.0, 12.0) is None


def test_timeline_leaves_out_what_is_incomplete() -> None:
    assert measure.timeline([-0.05, 0.0, 0.09, 0.1, 0.25, 0.31], 0.0, 0.35) == [2, 1, 1]


@pytest.mark.parametrize(
    ("acknowledged", "there", "unanswered", "books"),
    [
        (["a", "b"], ["b", "a"], 0, Books(0, 0)),
        (["a", "b"], ["a"], 0, Books(1, 0)),
        (["a"], ["a", "x"], 0, Books(0, 1)),
        (["a"], ["a", "a"], 0, Books(0, 1)),
        # Two requests that were told of the same bet: one of them has none.
        (["a", "a"], ["a"], 0, Books(1, 0)),
        # A bet without an answer may be there or not.
        (["a"], ["a", "x"], 1, Books(0, 0)),
        (["a"], ["a", "x", "y"], 1, Books(0, 1)),
        (["a"], [], 1, Books(1, 0)),
        ([], [], 0, Books(0, 0)),
    ],
)
def test_lost_and_doubled(
    acknowledged: list[str], there: list[str], unanswered: int, books: Books
) -> None:
    assert measure.compare(acknowledged, there, unanswered) == books


def test_a_partition_that_stands_still_shows_though_others_go_on() -> None:
    listed = {"one": [("a", "f:m"), ("b", "f:m")], "two": [("c", "g:m")]}
    answers = [Answered(at, 0.0, "", bet_id) for at, bet_id in ((1.0, "a"), (9.0, "b"), (5.0, "c"))]
    moments = by_partition(answers, listed)
    assert sorted(moments.values()) == [[1.0, 9.0], [1.0, 9.0], [5.0], [5.0]]


class Forger:
    """A platform that keeps every tenth bet from the books, and enters every fifteenth twice."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.books: list[str] = []
        self.enough = asyncio.Event()
        self.looks = 0

    async def place(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        if key not in self.told:
            bet_id = self.told[key] = f"bet-{len(self.told) + 1}"
            if len(self.told) % 10:
                self.books.append(bet_id)
            if len(self.told) % 15 == 0:
                self.books.append(f"{bet_id}-again")
        if len(self.told) >= 60:
            self.enough.set()
        return web.Response(body=orjson.dumps({"bet_id": self.told[key]}), status=201)

    async def list(self, request: web.Request) -> web.Response:
        """Two to a page, and behind at first."""
        self.looks += 1
        start = int(request.query.get("cursor", 0))
        items = [
            {"bet_id": bet_id, "legs": [{"market_id": "f:m"}]}
            for bet_id in self.books[start : start + 2]
        ]
        more = {"next_cursor": str(start + 2)} if start + 2 < len(self.books) else {}
        return web.json_response({"items": items, "up_to_date": self.looks > 3, **more})


async def test_planted_bets_are_found() -> None:
    forger = Forger()
    app = web.Application()
    app.router.add_post("/v1/bets", forger.place)
    app.router.add_get("/v1/bets", forger.list)
    async with TestServer(app) as server:
        load = Load(server.port or 0, Slips(["ann"], ["f:m"]), connections=2, record=True)
        await load.start()
        await forger.enough.wait()
        await load.stop()
        listed = await listing(f"http://127.0.0.1:{server.port}", {"ann": "token"})
    acknowledged = [answer.bet_id for answer in load.total.answers]
    assert len(acknowledged) == len(forger.told)
    found = measure.compare(acknowledged, [bet_id for bet_id, _ in listed["ann"]])
    assert found == Books(len(forger.told) // 10, len(forger.told) // 15)


def outcome(**changes: object) -> Outcome:
    drill = Drill("shard", "it is killed", "another stands in", lambda _: None, partition_s=2.0)
    fields = {
        "drill": drill,
        "rate": RATE,
        "accepted": 900,
        "failed": Counter(unavailable=3),
        "refused": Counter(),
        "unanswered": 0,
        "gap_s": 1.0,
        "partition_gap_s": 1.5,
        "normal_s": 1.2,
        "slowest_s": 2.0,
        "books": Books(0, 0),
        "ledger": "",
        "timeline": [10] * 100,
        "failures": [0] * 100,
        "marks": [Mark(0.0, "killed")],
    }
    return Outcome(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "safe"),
    [
        ({}, True),
        ({"books": Books(1, 0)}, False),
        ({"books": Books(0, 1)}, False),
        ({"ledger": "2 wrong"}, False),
        ({"unanswered": 1}, False),
        ({"gap_s": 60.0, "normal_s": None}, True),
    ],
)
def test_what_is_safe(changes: dict[str, object], safe: bool) -> None:
    assert outcome(**changes).safe is safe


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, "met"),
        ({"gap_s": 5.1}, "not met: all stood still for 5.1 s, target 5 s"),
        ({"partition_gap_s": 2.1}, "not met: a partition stood still for 2.1 s, target 2 s"),
        ({"normal_s": None}, "not met: not normal after 45 s"),
    ],
)
def test_targets_are_computed(changes: dict[str, object], target: str) -> None:
    assert outcome(**changes).target == target


def test_report_shows_what_was_lost(tmp_path: Path) -> None:
    bad = outcome(books=Books(2, 1), ledger="gb: 2 wrong")
    page = write(tmp_path, [outcome(), bad], {"disk": "needs root"}, RATE, 60.0)
    markdown = page.with_suffix(".md").read_text()
    assert "SOMETHING" in markdown
    assert "NOT CLEAN" in markdown
    assert "gb: 2 wrong" in markdown
    assert "needs root" in markdown
    clean = write(tmp_path, [outcome()], {}, RATE, 60.0)
    assert "SOMETHING" not in clean.with_suffix(".md").read_text()


def test_drills_have_names_of_their_own_and_houses_that_exist() -> None:
    names = [drill.name for drill in DRILLS]
    assert len(set(names)) == len(names)
    assert {drill.house for drill in DRILLS} == set(HOUSES)
