"""A market of a hundred thousand bets is settled while players go on betting on others."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import aiohttp

from loadtest.bench.contest import Seed
from loadtest.house import House
from loadtest.load import Load, Sample, Slips, place_all

CONNECTIONS = 256
LIVE_RATE = 200.0
"""Bets a second that go on, on other markets."""
BEFORE_S = 3.0
LOOK_S = 0.02
PATIENCE_S = 180.0


async def measure(house: House, seed: Seed, final: Seed, bets: int) -> dict[str, Any]:
    """Place the bets on `final`'s one market, declare its result, and wait for the last payout.

    `seed`'s players bet, on `seed`'s markets when they go on.
    """
    market = final.markets[0]
    slips = Slips(seed.tokens, [market], selections=final.selections, odds=final.odds)
    load = Load(
        house.port, slips, connections=CONNECTIONS, transport="websocket", bets=bets, retry=True
    )
    placed = await place_all(load)
    if placed.refused:
        raise RuntimeError(f"bets on {market} were refused: {dict(placed.refused)}")
    live = Load(
        house.port,
        Slips(seed.tokens, seed.markets[1:], selections=seed.selections, odds=seed.odds),
        connections=64,
        rate=LIVE_RATE,
    )
    await live.start()
    try:
        await asyncio.sleep(BEFORE_S)
        before = live.cut()
        seconds = await _settle(house, final)
        during = live.cut()
    finally:
        await live.stop()
    return {
        "bets": placed.placed,
        "placed_per_s": placed.per_second,
        "seconds": seconds,
        "bets_per_s": placed.placed / seconds,
        "live_rate": LIVE_RATE,
        "live_before": _latency(before),
        "live_during": _latency(during),
        "acknowledged": load.total.placed + live.total.placed,
    }


async def _settle(house: House, final: Seed) -> float:
    """Seconds from the word that the result was taken to the market that is settled."""
    fixture_id, market_id = final.fixtures[0], final.markets[0]
    headers = {"Authorization": f"Bearer {house.staff_token}"}
    results = {
        selection: {"outcome": "lost" if number % 2 else "won"}
        for number, selection in enumerate(final.selections)
    }
    async with aiohttp.ClientSession(house.base_url, headers=headers) as http:
        key = {"Idempotency-Key": uuid4().hex}
        path = f"/v1/staff/markets/{market_id}/result"
        async with http.post(path, json={"results": results}, headers=key) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
        began = time.perf_counter()
        while time.perf_counter() < began + PATIENCE_S:
            async with http.get(f"/v1/fixtures/{fixture_id}") as answer:
                fixture = await answer.json()
            if fixture["markets"][0]["status"] == "settled":
                return time.perf_counter() - began
            await asyncio.sleep(LOOK_S)
    raise TimeoutError(f"{market_id} was not settled within {PATIENCE_S:.0f} s")


def _latency(sample: Sample) -> dict[str, float]:
    return {
        "bets_per_s": sample.per_second,
        "p50_ms": sample.percentile_ms(0.5),
        "p99_ms": sample.percentile_ms(0.99),
        "refused": sum(sample.refused.values()),
    }
