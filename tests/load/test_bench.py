"""The bench's own sums, and its measurements in small, so that they do not rot."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from array import array
from collections import Counter
from typing import Any

import orjson
import pytest
from aiohttp import web

from loadtest.bench import inside_commands, push
from loadtest.bench.contest import Round, group_of, median
from loadtest.bench.processes import Strangers, memory_for, own_seconds, serving
from loadtest.bench.push import FIRST_ODDS, Watcher, changes, odds_of
from loadtest.load import HOST, Load, Sample, Slips, place_all
from tests.patience import PATIENCE_S

# Sums


def turn(placed: int, latency_s: float, cpu_us: float) -> Round:
    sample = Sample()
    sample.placed, sample.seconds = placed, 2.0
    sample.latencies = array("d", [latency_s] * placed)
    sample.refused = Counter({"overloaded": placed // 10})
    return Round("http", 256, None, sample, placed, {"gateways": cpu_us, "postgres": 1.0})


def test_what_is_quoted_is_the_median_of_the_rounds() -> None:
    middle = median([turn(100, 0.010, 30.0), turn(500, 0.500, 300.0), turn(200, 0.020, 40.0)])
    assert middle["bets_per_s"] == 100.0
    assert middle["p50_ms"] == pytest.approx(20.0)
    assert middle["cpu_us"] == {"gateways": 40.0, "postgres": 1.0}
    assert middle["refused"] == {"overloaded": 80}  # refusals are not smoothed away
    assert middle["rounds"] == [50, 250, 100]


@pytest.mark.parametrize(
    ("process", "group"),
    [
        ("gateway-1", "gateways"),
        ("shard-book-0", "market shards"),
        ("shard-gb-0", "wallet shards"),
        ("projector-gb", "projectors"),
        ("postgres", "postgres"),
        ("raylet", "Ray"),
        ("gcs", "Ray"),
        ("dashboard-agent", "Ray"),
        ("peer-wallet-3", "wallet actors"),
        ("directory", "others"),
    ],
)
def test_every_process_belongs_to_a_part(process: str, group: str) -> None:
    assert group_of(process) == group


def test_there_is_room_for_nobody_but_not_for_everybody() -> None:
    assert not memory_for(10**6)


# Servers


async def test_a_server_is_up_when_it_is_loaded_and_gone_afterwards() -> None:
    def load() -> tuple[int, float, int]:
        with serving("loadtest.limit") as server:
            slips = Slips(["ann"], ["f:m"])
            placed = asyncio.run(place_all(Load(server.port, slips, connections=4, bets=200)))
            return placed.placed, server.cpu_seconds(), server.port

    placed, cpu_s, port = await asyncio.to_thread(load)
    assert placed == 200
    assert cpu_s > 0
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(HOST, port)


async def test_a_server_that_ends_at_once_is_an_error() -> None:
    def start() -> None:
        with serving("loadtest.no_such_module"):
            pass

    with pytest.raises(RuntimeError, match="ended before it served"):
        await asyncio.to_thread(start)


def test_our_own_work_and_that_of_our_children_is_not_a_strangers() -> None:
    before, strangers = own_seconds(), Strangers()
    _work(0.3)
    script = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert own_seconds() - before >= 0.55  # clock ticks are 10 ms
    assert strangers.cores() >= 0.0


def _work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


# The price push


def test_sender_and_counter_agree_on_what_is_sent() -> None:
    one = itertools.islice(changes(["a:m", "b:m"], ["s0", "s1"]), 50)
    other = itertools.islice(changes(["a:m", "b:m"], ["s0", "s1"]), 50)
    assert list(one) == list(other)
    assert len({odds_of(number) for number in range(10_000)}) == 10_000


async def test_a_watcher_notes_every_price_of_every_frame() -> None:
    asked: list[Any] = []
    frames = [
        '{"type":"snapshot","fixture":{}}',
        prices({"s0": odds_of(0)}),
        prices({"s1": odds_of(1), "s2": odds_of(2)}),  # what a slow reader gets
        prices({"s0": odds_of(70_000)}),
    ]

    async def stream(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=("grandstand.v1",))
        await ws.prepare(request)
        asked.append(orjson.loads((await ws.receive()).data))
        await ws.send_str('{"type":"ok","id":1}')
        for frame in frames:
            await ws.send_str(frame)
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/v1/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    arrivals, numbers = array("d"), array("q")
    began = time.perf_counter()
    try:
        watcher = Watcher(["f-1", "f-2"], arrivals, numbers)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: watcher, HOST, runner.addresses[0][1])
        async with asyncio.timeout(PATIENCE_S):
            await watcher.subscribed
            while not watcher.lost:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        await runner.cleanup()
    assert asked == [{"type": "subscribe", "id": 1, "fixtures": ["f-1", "f-2"]}]
    assert list(numbers) == [0, 1, 2, 70_000]
    assert all(began <= at <= time.perf_counter() for at in arrivals)


def prices(odds: dict[str, int]) -> str:
    frame = {"type": "prices", "fixture_id": "f-1", "seq": 2, "market_id": "f-1:m", "odds": odds}
    return orjson.dumps(frame).decode()


def test_odds_stay_what_the_api_takes() -> None:
    assert odds_of(0) == FIRST_ODDS > 10_000
    assert odds_of(push.DISTINCT - 1) <= 10_000_000


# One shard from inside


async def test_the_stories_of_one_shard_can_be_told() -> None:
    told = await asyncio.to_thread(
        inside_commands.measure, list(inside_commands.STORIES), 15_000, 5_000
    )
    grow = told["grow"]
    assert (grow["few"]["count"], grow["all"]["count"]) == (5_000, 5_000)
    assert grow["few"]["per_s"] > 0
    assert grow["few"]["shard_us"] > 0
    assert told["memory"]["wallets"] > 5_000
    assert 100 < told["memory"]["bytes"] < 20_000
    with pytest.raises(ValueError, match="wallets are needed"):
        inside_commands.measure(["grow"], 100, 100)
    assert 0 < told["cold"]["p50_ms"] <= told["cold"]["p99_ms"]
    assert told["beyond"]["count"] == 1_000
    assert told["beyond"]["wallets"] == 15_000
    assert told["reopen"]["together_ms"] > 0
