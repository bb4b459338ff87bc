"""Price changes fanned out: so many changes a second, to so many sockets.

Each change is one selection's new price, sent through the router as a feed does. A socket follows
fixtures, so as many of them as have the wanted number of selections. The delay is from the moment
the change was due at the sender to the arrival of its frame, read by this process; what a slow
socket was spared, because a later price of the same selection replaced it, is counted apart.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

from loadtest.bench.contest import Seed
from loadtest.house import House
from loadtest.load import (
    CLOSE,
    HANDSHAKE,
    HOST,
    NO_MASK,
    PING,
    PONG,
    TEXT,
    next_frame,
    percentile,
    text_frame,
)

LEAD_S = 1.0
"""Between the sender's word and its first change."""
FIRST_ODDS = 10_001
DISTINCT = 9_000_000
"""Prices that differ from each other; a run has fewer changes."""
OPEN_S = 30.0
AFTER_S = 3.0
"""What is not there so long after the last change does not come any more."""


WARM_UP_S = 1.0
"""The changes of this long at the beginning are not counted."""


def changes(markets: Sequence[str], selections: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Which selection each change is of, the same for the sender and for who counts."""
    draw = random.Random(3)
    while True:
        yield draw.choice(markets), draw.choice(selections)


def odds_of(number: int) -> int:
    """The price that says which change it is."""
    return FIRST_ODDS + number % DISTINCT


class Watcher(asyncio.Protocol):
    """A socket that follows some fixtures and notes when each price came."""

    def __init__(
        self, fixtures: Sequence[str], arrivals: array[float], numbers: array[int]
    ) -> None:
        self.subscribed = asyncio.get_running_loop().create_future()
        self.lost = False
        self._subscribe = text_frame(
            json.dumps({"type": "subscribe", "id": 1, "fixtures": list(fixtures)}).encode()
        )
        self.fixtures = fixtures
        self._arrivals = arrivals
        self._numbers = numbers
        self._buffer = b""
        self._upgraded = False
        self._pipe: asyncio.Transport | None = None
        self.suspended: dict[str, float] = {}
        """When it last heard of each market that it was suspended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipe = cast(asyncio.Transport, transport)
        self._pipe.write(HANDSHAKE)

    def connection_lost(self, why: Exception | None) -> None:
        self.lost = True
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionResetError("closed before it followed"))

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def data_received(self, data: bytes) -> None:
        at = 0
        if self._buffer:
            data = self._buffer + data
        if not self._upgraded:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._buffer = data
                return
            self._upgraded = True
            assert self._pipe is not None
            self._pipe.write(self._subscribe)
        while (frame := next_frame(data, at)) is not None:
            kind, payload, at = frame
            if kind == TEXT:
                if payload.startswith(b'{"type":"prices"'):
                    self._priced(payload)
                elif payload.startswith(b'{"type":"status"'):
                    self._switched(payload)
                elif payload.startswith(b'{"type":"ok"') and not self.subscribed.done():
                    self.subscribed.set_result(None)
            elif kind in (PING, CLOSE):
                assert self._pipe is not None
                if kind == CLOSE:
                    self._pipe.abort()
                    return
                self._pipe.write(bytes((0x80 | PONG, 0x80 | len(payload))) + NO_MASK + payload)
        self._buffer = data[at:]

    def _switched(self, payload: bytes) -> None:
        told = json.loads(payload)
        if told["status"] == "suspended":
            self.suspended[told["market_id"]] = time.perf_counter()

    def _priced(self, payload: bytes) -> None:
        now = time.perf_counter()
        start = payload.index(b'"odds":{') + 8
        for price in payload[start : payload.index(b"}", start)].split(b","):
            self._arrivals.append(now)
            self._numbers.append(int(price[price.rindex(b":") + 1 :]) - FIRST_ODDS)


async def watch(
    house: House,
    seed: Seed,
    sockets: int,
    each: int,
    arrivals: array[float],
    numbers: array[int],
) -> list[Watcher]:
    """So many sockets, each of which follows `each` fixtures. Raises TimeoutError."""
    draw = random.Random(4)
    watchers = [
        Watcher(draw.sample(seed.fixtures, each), arrivals, numbers) for _ in range(sockets)
    ]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_S):
        for at in range(0, sockets, 50):
            some = watchers[at : at + 50]
            for watcher in some:
                await loop.create_connection(_is(watcher), HOST, house.port)
            await asyncio.gather(*(watcher.subscribed for watcher in some))
    return watchers


async def measure(
    house: House, seed: Seed, *, sockets: int, selections: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Delays in milliseconds, and how many arrivals there were of how many that were due."""
    each = max(1, selections // len(seed.selections))
    arrivals, numbers = array("d"), array("q")
    watchers = await watch(house, seed, sockets, each, arrivals, numbers)
    before = await asyncio.to_thread(house.cpu_seconds)
    ours = time.process_time()
    feed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.bench.inside_prices"),
        *(house.run["gcs_address"], str(rate), str(seconds)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=house.environment,
        limit=2**20,
    )
    try:
        assert feed.stdin is not None
        assert feed.stdout is not None
        markets = {"markets": seed.markets, "selections": seed.selections}
        feed.stdin.write(json.dumps(markets).encode())
        feed.stdin.write_eof()
        began = float(await feed.stdout.readline())
        told = json.loads(await feed.stdout.readline())
        await feed.wait()
    finally:
        if feed.returncode is None:
            feed.kill()
            await feed.wait()
    await asyncio.sleep(AFTER_S)
    ours = time.process_time() - ours
    after = await asyncio.to_thread(house.cpu_seconds)
    lost = sum(watcher.lost for watcher in watchers)
    for watcher in watchers:
        watcher.close()
    delays = sorted(
        1000 * (at - began - number / rate)
        for at, number in zip(arrivals, numbers, strict=True)
        if number >= WARM_UP_S * rate
    )
    due = _due(watchers, seed, int(WARM_UP_S * rate), int(rate * seconds))
    return {
        "sockets": sockets,
        "selections": each * len(seed.selections),
        "changes_per_s": rate,
        "due": due,
        "changes": told,
        "arrivals": len(delays),
        "replaced_share": max(0.0, 1 - len(delays) / due) if due else 0.0,
        "sockets_lost": lost,
        "p50_ms": percentile(delays, 0.5),
        "p99_ms": percentile(delays, 0.99),
        "p999_ms": percentile(delays, 0.999),
        "worst_ms": delays[-1] if delays else 0.0,
        "cpu_us_per_arrival": 1e6
        * (sum(after.values()) - sum(before.values()) + ours)
        / max(1, len(delays)),
    }


def _due(watchers: Sequence[Watcher], seed: Seed, first: int, last: int) -> int:
    """How many arrivals there would be if every change reached everybody who follows it."""
    followers = Counter(fixture for watcher in watchers for fixture in watcher.fixtures)
    sent = itertools.islice(changes(seed.markets, seed.selections), first, last)
    return sum(followers[market_id.rpartition(":")[0]] for market_id, _ in sent)


def _is(watcher: Watcher) -> Any:
    return lambda: watcher
