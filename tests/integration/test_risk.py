"""Risk on the real platform: a night of one market, with the coordinator killed again and again."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any
from uuid import uuid4

from actors.hedging import OrderHedge
from actors.runtime import cluster
from actors.runtime.clock import WallClock
from actors.runtime.router import Router, ShardUnreachable
from grandstand.platform import Platform
from tests.integration.house import House, eventually
from tests.integration.test_kills import assert_ledger

LIMIT = 100_000


async def process_id() -> int | None:
    """Of the coordinator, once it answers."""
    try:
        return int(await cluster.Host(cluster.RISK).call("process_id"))
    except ShardUnreachable:
        return None


async def test_liability_builds_while_the_coordinator_is_killed(
    house: House, platform: Platform
) -> None:
    fixture_id, market_id = await house.market(max_liability_minor=LIMIT, max_stake_minor=LIMIT)
    player = await house.player(1_000_000)

    async def market() -> Any:
        path = f"/v1/desk/fixtures/{fixture_id}"
        return (await house.want(200, "GET", path, staff=True))["fixture"]["markets"][0]

    async def bet(stake_minor: int) -> tuple[int, Any]:
        return await player.bet(market_id, stake_minor=stake_minor, accept="any")

    async def hedges() -> list[Any]:
        path = f"/v1/desk/hedges?market_id={market_id}&limit=200"
        found: list[Any] = (await house.want(200, "GET", path, staff=True))["items"]
        return found

    # Prices move before anything has to be laid off.
    status, _ = await bet(LIMIT // 2)
    assert status == 201

    async def moved() -> bool:
        home = (await market())["selections"][0]
        return home["odds"] < home["base_odds"] == 20_000 if "base_odds" in home else False

    await eventually(moved, "the price has moved")

    # An order that is written down and nothing more, as by a coordinator that has just died: the
    # next one finds it, has it made, and records it once.
    first = await eventually(process_id, "the coordinator answers")
    os.kill(first, signal.SIGSTOP)
    router = Router(cluster.RayTransport(), WallClock())
    order = OrderHedge(fixture_id, market_id, uuid4().hex, "home", 500, 20_000, "bogus")
    ordered = (await router.ask("book", fixture_id, order, by="risk")).reply
    assert ordered.hedge_id == order.hedge_id
    os.kill(first, signal.SIGKILL)

    async def recorded() -> bool:
        mine = [one for one in await hedges() if one["hedge_id"] == order.hedge_id]
        return [one["state"] for one in mine] == ["made"]

    await eventually(recorded, "the order of the one that died is recorded")

    # More is bet, and more laid off, while it dies again and again.
    async def build_up() -> None:
        for _ in range(30):
            status, answer = await bet(2_000)
            assert status == 201 or answer["code"] in (
                "liability_limit",
                "market_suspended",
                "hold_expired",
            ), answer
            await asyncio.sleep(0.05)

    async def kill_again() -> None:
        for _ in range(3):
            os.kill(await eventually(process_id, "it is back"), signal.SIGKILL)
            await eventually(process_id, "it is started again")

    await asyncio.gather(build_up(), kill_again())

    async def all_answered() -> bool:
        found = await hedges()
        return len(found) > 1 and all(one["state"] != "ordered" for one in found)

    await eventually(all_answered, "every order is answered")
    found = await hedges()
    assert len({one["hedge_id"] for one in found}) == len(found)

    # What the book counts is what was recorded, each once.
    def won(one: Any) -> int:
        return int(one["wins_minor"]) if one["state"] == "made" else 0

    async def agreed() -> bool:
        home = (await market())["selections"][0]
        return bool(home.get("hedged_minor") == sum(map(won, await hedges())))

    await eventually(agreed, "the book and the record agree")

    # Faster than it can be laid off, the limit is reached: no bet is taken, and all can see it.
    room = LIMIT * 4

    async def suspended() -> bool:
        nonlocal room
        if "liability" in (await market())["causes"]:
            return True
        status, answer = await bet(max(100, room))
        if status != 201 and "max_stake_minor" in answer:
            room = answer["max_stake_minor"]
        return False

    await eventually(suspended, "the market is suspended at its hard limit")
    await house.result(market_id, home="lost", draw="won", away="lost")
    await player.caught_up()
    await assert_ledger(platform)
