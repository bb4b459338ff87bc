"""Everything is suspended at once: from the trader's request to the last of many sockets.

Each socket follows some fixtures. The clock begins before the request for a stop of everything and
ends when the last socket has heard of the last market that it follows; then the stop is lifted, so
that the next round finds every market open.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from array import array
from typing import Any
from uuid import uuid4

import aiohttp

from loadtest.bench.contest import Seed
from loadtest.bench.push import Watcher, watch
from loadtest.house import House

ROUNDS = 5
PATIENCE_S = 20.0
LOOK_S = 0.002


async def measure(house: House, seed: Seed, *, sockets: int, fixtures: int) -> dict[str, Any]:
    """Milliseconds of each round, and how many markets and frames there were.

    Raises RuntimeError where a stop is not taken or lifted, TimeoutError where a socket never hears
    of a market.
    """
    watchers = await watch(house, seed, sockets, fixtures, array("d"), array("q"))
    markets = {market: market.rpartition(":")[0] for market in seed.markets}
    followed = [
        {market for market, fixture in markets.items() if fixture in watcher.fixtures}
        for watcher in watchers
    ]
    headers = {"Authorization": f"Bearer {house.staff_token}"}
    took_ms, stopped = [], 0
    try:
        async with aiohttp.ClientSession(house.base_url, headers=headers) as http:
            for _ in range(ROUNDS):
                for watcher in watchers:
                    watcher.suspended.clear()
                began = time.perf_counter()
                stop = await _post(http, "/v1/desk/stops", {"reach": "everything"})
                last = await _last_heard(watchers, followed)
                took_ms.append(1000 * (last - began))
                stopped = stop["markets"]
                await _post(http, f"/v1/desk/stops/{stop['stop_id']}/lift", {})
    finally:
        for watcher in watchers:
            watcher.close()
    return {
        "sockets": sockets,
        "markets": stopped,
        "frames": sum(map(len, followed)),
        "rounds_ms": took_ms,
        "median_ms": statistics.median(took_ms),
        "worst_ms": max(took_ms),
    }


async def _last_heard(watchers: list[Watcher], followed: list[set[str]]) -> float:
    """When the last of them had heard of everything that it follows."""
    pending = list(zip(watchers, followed, strict=True))
    async with asyncio.timeout(PATIENCE_S):
        while pending:
            await asyncio.sleep(LOOK_S)
            if any(watcher.lost for watcher, _ in pending):
                raise RuntimeError("a socket was closed before it had heard of the stop")
            pending = [(one, markets) for one, markets in pending if markets - one.suspended.keys()]
    return max(max(one.suspended.values()) for one in watchers)


async def _post(http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    key = {"Idempotency-Key": uuid4().hex}
    async with http.post(path, json={"reason": "bench", **body}, headers=key) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
        told: dict[str, Any] = await answer.json()
        return told
