"""The cluster answers by itself: partitions move while they are in use, spares take over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
from collections.abc import AsyncIterator
from typing import Any

from actors.runtime.addresses import BOOK, home_of
from actors.runtime.cluster import CONTROLLER, DIRECTORY, Host, names
from actors.runtime.controller import Bounds
from actors.runtime.hosts.controller import Status
from actors.runtime.router import ShardUnreachable
from grandstand.platform import Platform
from tests.integration.house import House, eventually
from tests.integration.steady import Steady
from tests.integration.test_kills import assert_ledger
from tests.patience import PATIENCE_S

PLAYERS = 6
MARKETS = 4
CASH = 900_000
PAUSE_MS = 1_000
"""Far above what a move takes (README). Half of the moves have to be as quick: a machine that turns
to something else in the middle of one fails no test."""


async def steady(house: House) -> Steady:
    players = [await house.player(CASH) for _ in range(PLAYERS)]
    markets = [(await house.market(max_liability_minor=10**9))[1] for _ in range(MARKETS)]
    return Steady(house, players, markets)


async def owners() -> dict[str, str]:
    """Who has what, as soon as the directory answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return dict((await Host(DIRECTORY).call("view")).shards)
            except ShardUnreachable:
                await asyncio.sleep(0.05)


async def status() -> Status:
    seen: Status = await Host(CONTROLLER).call("status")
    return seen


async def at_home() -> bool:
    """Whether no spare stands in for anybody, and every shard lives."""
    seen = await status()
    alive = all(shard.state == "live" for shard in seen.shards)
    return alive and all(home_of(owner) for owner in (await owners()).values())


async def test_every_partition_moves_back_and_forth_under_load(
    house: House, platform: Platform
) -> None:
    """Not one request fails, no market forgets its liability, and a move takes an instant."""
    await eventually(at_home, "every shard is there")
    playing = await steady(house)
    before = await owners()
    directory = Host(DIRECTORY)
    moved = []
    async with playing:
        await playing.some_more()
        for back in (False, True):
            for partition, owner in before.items():
                number = int(owner[-1]) if back else 1 - int(owner[-1])
                target = f"{owner[:-1]}{number}"
                moved.append(await directory.call("move", partition, target))
                assert moved[-1].shard == target
                await playing.some_more(3)
        await playing.some_more()
    assert playing.failures == []
    assert await owners() == before
    # Every partition was handed over: none had to be replayed.
    assert all(one.packed_bytes for one in moved)
    assert statistics.median(one.pause_ms for one in moved) < PAUSE_MS
    await playing.check()
    for market_id in playing.market_ids:
        path = f"/v1/staff/markets/{market_id}/exposure"
        exposure = await house.want(200, "GET", path, staff=True)
        assert exposure["known"]
    await assert_ledger(platform)


async def test_moving_where_it_can_not_be_changes_nothing(house: House) -> None:
    await eventually(at_home, "every shard is there")
    before = await owners()
    directory = Host(DIRECTORY)
    moved = await directory.call("move", "gb-00", "shard-gb-7")
    assert moved.shard == before["gb-00"]
    assert await owners() == before
    playing = await steady(house)
    async with playing:
        await playing.some_more()
    assert playing.failures == []


async def test_a_spare_stands_in_for_a_dead_shard_and_steps_back(
    house: House, platform: Platform
) -> None:
    await eventually(at_home, "every shard is there")
    playing = await steady(house)
    replaced = (await status()).replaced
    dead = (await owners())["gb-00"]  # who has nothing is not replaced
    async with playing:
        await playing.some_more()
        os.kill(await Host(dead).call("process_id"), signal.SIGKILL)

        async def stands_in() -> bool:
            return (await status()).replaced > replaced

        await eventually(stands_in, "the spare has what the dead one had")
        await playing.some_more()

        async def again() -> Any:
            return await at_home() and dead in (await owners()).values()

        await eventually(again, "the dead one is back, and has its partitions")
        await playing.some_more()
    # The router repeats what is safe to repeat: clients see a delay.
    assert playing.failures == []
    await playing.check()
    await assert_ledger(platform)


async def test_a_shard_that_was_stopped_and_replaced_wakes_and_harms_nothing(
    house: House, platform: Platform
) -> None:
    await eventually(at_home, "every shard is there")
    playing = await steady(house)
    silent = (await owners())["gb-01"]
    stopped = await Host(silent).call("process_id")
    replaced = (await status()).replaced
    async with playing:
        await playing.some_more()
        os.kill(stopped, signal.SIGSTOP)
        try:

            async def stands_in() -> bool:
                return (await status()).replaced > replaced

            await eventually(stands_in, "the spare has what the silent one had")
            await playing.some_more()
        finally:
            os.kill(stopped, signal.SIGCONT)

        async def again() -> Any:
            return await at_home() and silent in (await owners()).values()

        await eventually(again, "it woke, and was given its partitions anew")
        assert await Host(silent).call("process_id") == stopped
        await playing.some_more()
    assert playing.failures == []
    await playing.check()
    await assert_ledger(platform)


async def control(platform: Platform, bounds: Bounds) -> None:
    """Put a controller of these bounds in the place of the one there is."""
    await asyncio.to_thread(Host(CONTROLLER).remove)

    async def gone() -> bool:
        return CONTROLLER not in await names()

    await eventually(gone, "the former controller is gone")
    await asyncio.to_thread(platform.spawn_controller, bounds)


@contextlib.asynccontextmanager
async def controlled(platform: Platform, bounds: Bounds) -> AsyncIterator[None]:
    """With a controller of other bounds than the platform's own."""
    await control(platform, bounds)
    try:
        yield
    finally:
        await control(platform, Bounds(least=2, most=3, elastic=False))


async def test_a_busy_scope_gets_another_shard_which_leaves_when_it_is_quiet(
    house: House, platform: Platform
) -> None:
    await eventually(at_home, "every shard is there")
    playing = await steady(house)
    quick = {"hot_for_ms": 500, "settle_ms": 500, "quiet_for_ms": 1_000}
    async with playing:
        await playing.some_more()
        async with controlled(platform, Bounds(least=2, most=3, hot_cpu=0.01, **quick)):

            async def taken_in() -> bool:
                return "shard-gb-2" in (await owners()).values()

            await eventually(taken_in, "a third shard was added, and has partitions")
            await playing.some_more()
            assert "shard-gb-3" not in await names()
        async with controlled(platform, Bounds(least=2, most=3, hot_cpu=1.0, **quick)):

            async def removed() -> bool:
                return not {"shard-gb-2", "shard-book-2"} & set(await names())

            await eventually(removed, "it was drained and removed")
            await playing.some_more()
    assert playing.failures == []
    assert not any(owner.endswith("2") for owner in (await owners()).values())
    await playing.check()
    await assert_ledger(platform)


async def test_a_directory_killed_in_the_middle_of_moves_loses_no_partition(
    house: House, platform: Platform
) -> None:
    await eventually(at_home, "every shard is there")
    playing = await steady(house)
    before = await owners()
    async with playing:
        await playing.some_more()
        pid = await Host(DIRECTORY).call("process_id")
        moves = [
            asyncio.ensure_future(
                Host(DIRECTORY).call("move", partition, f"{owner[:-1]}{1 - int(owner[-1])}")
            )
            for partition, owner in before.items()
        ]
        await asyncio.wait(moves, return_when=asyncio.FIRST_COMPLETED)
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*moves, return_exceptions=True)

        async def served() -> bool:
            shards = set((await owners()).values())
            held = [name for shard in shards for name in await Host(shard).call("hosting")]
            return sorted(held) == sorted(before)

        await eventually(served, "every partition is open somewhere, once")
        await playing.some_more()
    # Markets whose partition nobody had in between have to read their liability again.
    unexpected = [
        (code, answer) for code, answer in playing.failures if answer["code"] != "liability_unknown"
    ]
    assert unexpected == []
    for partition, owner in before.items():
        await Host(DIRECTORY).call("move", partition, owner)
    await playing.check()
    await assert_ledger(platform)
    assert any(home_of(owner) == BOOK for owner in (await owners()).values())
