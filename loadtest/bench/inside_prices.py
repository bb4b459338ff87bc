"""A feed for the price-push story: price changes at a fixed rate, through the router.

    python -m loadtest.bench.inside_prices <gcs address> <changes/s> <seconds>      markets on stdin

Prints the moment of the first change, by the machine's monotonic clock. Change n falls due n
intervals later and carries n in its price (`push.odds_of`), so whoever receives a price knows when
it was to be sent. Ends with a line of what became of the changes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from actors.base import Refused
from actors.errors import NoAnswer
from actors.runtime import cluster
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.clock import WallClock
from actors.runtime.router import Router
from actors.trading import ChangePrices
from loadtest.bench.push import LEAD_S, changes, odds_of

TICK_S = 0.001


async def send(
    markets: list[str], selections: list[str], rate: float, seconds: float
) -> dict[str, Any]:
    router = Router(cluster.RayTransport(), WallClock())
    what = changes(markets, selections)
    told = {"accepted": 0, "refused": 0, "no_answer": 0}
    under_way: set[asyncio.Task[None]] = set()

    async def change(number: int) -> None:
        market_id, selection_id = next(what)
        fixture_id = fixture_of(market_id)
        odds = {selection_id: odds_of(number)}
        command = ChangePrices(fixture_id, market_id, odds, sequence=number + 1)
        try:
            answer = await router.ask(BOOK, fixture_id, command, by="bench")
        except NoAnswer:
            told["no_answer"] += 1
        else:
            told["refused" if isinstance(answer.reply, Refused) else "accepted"] += 1

    await router.refresh()
    began = time.perf_counter() + LEAD_S
    print(began, flush=True)
    number = 0
    while number < rate * seconds:
        due = began + number / rate
        if due > time.perf_counter():
            await asyncio.sleep(TICK_S)
            continue
        task = asyncio.create_task(change(number))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
    await asyncio.gather(*under_way)
    return told


def main() -> None:
    address, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    asked = json.load(sys.stdin)
    cluster.connect(address)
    try:
        told = uvloop.run(send(asked["markets"], asked["selections"], rate, seconds))
    finally:
        cluster.stop()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
