"""What survives: kills while bets are being placed, and the ledger verified after each.

Every client repeats with its key until it is answered. Then every acknowledged bet is there once,
none twice, and the money adds up.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from ray._private import worker as ray_worker

from actors.runtime.clock import WallClock
from actors.runtime.cluster import Host
from actors.runtime.router import ShardUnreachable
from actors.runtime.shard import Shard, Silent
from actors.runtime.wire import Item, Status
from actors.wallet import GetWallet
from grandstand.platform import Platform
from ledger.database import open_pool
from ledger.postgres_journal import PostgresJournal
from ledger.verify import verify
from tests.integration.house import House, Player, eventually

PLAYERS = 6
BETS = 40
STAKE = 100


async def play(
    house: House, disturb: Callable[[], Awaitable[None]]
) -> tuple[list[Player], dict[str, dict[str, str]], str]:
    """Bets of several players at once, disturbed when a third of them is placed.

    Returns the players, for each player the bet id that was answered to each key, and the market.
    """
    _, market_id = await house.market()
    players = [await house.player(BETS * STAKE) for _ in range(PLAYERS)]
    answered: dict[str, dict[str, str]] = {player.player_id: {} for player in players}
    enough = asyncio.Event()

    async def bet_on(player: Player) -> None:
        for _ in range(BETS):
            key = uuid4().hex
            while True:
                status, answer = await player.bet(market_id, stake_minor=STAKE, key=key)
                if status == 201:
                    break
                # A bet whose hold ran out while the platform was away was not placed, and its
                # key will say so for ever: the player tries again with a new one.
                assert answer["code"] == "hold_expired", answer
                key = uuid4().hex
            answered[player.player_id][key] = answer["bet_id"]
            if sum(len(keys) for keys in answered.values()) > PLAYERS * BETS // 3:
                enough.set()

    async def disturb_then() -> None:
        await enough.wait()
        await disturb()

    await asyncio.gather(disturb_then(), *(bet_on(player) for player in players))
    return players, answered, market_id


async def check(
    house: House,
    platform: Platform,
    players: list[Player],
    answered: dict[str, dict[str, str]],
    market_id: str,
) -> None:
    for player in players:
        keys = answered[player.player_id]
        wallet = await player.wallet()
        assert (wallet["cash_minor"], wallet["held_minor"]) == (0, BETS * STAKE)
        there = [bet["bet_id"] for bet in await player.bets()]
        assert sorted(there) == sorted(keys.values())
        # A retry long after gets the first answer.
        key, bet_id = next(iter(keys.items()))
        status, again = await player.bet(market_id, stake_minor=STAKE, key=key)
        assert (status, again["bet_id"]) == (201, bet_id)

    async def book_agrees() -> Any:
        path = f"/v1/staff/markets/{market_id}/exposure"
        exposure = await house.want(200, "GET", path, staff=True)
        lines = [line for line in exposure["selections"].values() if line["bets"]]
        return exposure["holds"] == 0 and [line["bets"] for line in lines] == [PLAYERS * BETS]

    await eventually(book_agrees, "the market's liability is that of the bets placed")
    await house.result(market_id, home="won", draw="lost", away="lost")

    async def all_paid() -> Any:
        wallets = [await player.wallet() for player in players]
        return all(wallet["cash_minor"] == 2 * BETS * STAKE for wallet in wallets)

    await eventually(all_paid, "every bet is paid, once")
    await assert_ledger(platform)


async def assert_ledger(platform: Platform) -> None:
    """`grandstand ledger verify` in every scope, once the projector is up to date."""
    for scope, dsn in platform.servers.databases().items():
        pool = await open_pool(dsn, max_size=2)
        try:
            report = await verify(pool, scope)
        finally:
            await pool.close()
        assert report.ok, [(one.name, one.detail) for one in report.checks if not one.ok]


async def kill(name: str) -> None:
    """SIGKILL an actor's process."""
    await end(await Host(name).call("process_id"))


async def end(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


async def test_wallet_shard_killed(house: House, platform: Platform) -> None:
    players, answered, market_id = await play(house, lambda: kill("shard-gb-0"))
    await check(house, platform, players, answered, market_id)


async def test_book_shards_killed(house: House, platform: Platform) -> None:
    async def both() -> None:
        await kill("shard-book-0")
        await kill("shard-book-1")

    players, answered, market_id = await play(house, both)
    await check(house, platform, players, answered, market_id)


async def test_directory_projector_and_settlement_killed(house: House, platform: Platform) -> None:
    async def all_of_them() -> None:
        for name in ("directory", "projector-gb", "projector-book", "settlement"):
            await kill(name)
        await kill("shard-gb-1")

    players, answered, market_id = await play(house, all_of_them)
    await check(house, platform, players, answered, market_id)


async def test_postgres_stopped_and_started(house: House, platform: Platform) -> None:
    postgres = platform.servers.postgres
    assert postgres is not None
    # SIGINT is its fast stop.
    players, answered, market_id = await play(house, lambda: end(postgres.pid, signal.SIGINT))
    await check(house, platform, players, answered, market_id)


async def test_postgres_killed(house: House, platform: Platform) -> None:
    postgres = platform.servers.postgres
    assert postgres is not None
    players, answered, market_id = await play(house, lambda: end(postgres.pid))
    await check(house, platform, players, answered, market_id)


async def test_valkey_killed(house: House, platform: Platform) -> None:
    valkey = platform.servers.valkey
    assert valkey is not None
    players, answered, market_id = await play(house, lambda: end(valkey.pid))
    await check(house, platform, players, answered, market_id)


async def test_gcs_and_a_shard_killed(house: House, platform: Platform) -> None:
    """Ray's own head: the actors go on without it, and it starts the dead one when it is back."""

    async def both() -> None:
        [gcs] = ray_worker._global_node.all_processes["gcs_server"]
        await end(gcs.process.pid)
        await kill("shard-gb-1")

    players, answered, market_id = await play(house, both)
    await check(house, platform, players, answered, market_id)

    async def there_again() -> Any:
        try:
            return await Host("shard-gb-1").call("process_id")
        except ShardUnreachable:
            return None

    await eventually(there_again, "Ray has started the shard again")


async def test_gateway_killed(house: House, platform: Platform) -> None:
    players, answered, market_id = await play(house, lambda: kill("gateway-0"))
    await check(house, platform, players, answered, market_id)


async def test_two_owners_of_every_partition(house: House, platform: Platform) -> None:
    """A second owner opens what the shards have; they fence it off in turn, and it stops."""
    pool = await open_pool(platform.servers.databases()["gb"], max_size=4)
    journal = PostgresJournal(pool)
    names = [f"gb-{number:02d}" for number in range(platform.settings.partitions)]
    told_otherwise = False

    async def still_mine(_: str) -> bool:
        return not told_otherwise

    intruder = Shard("intruder", journal, WallClock(), lambda _: True, still_mine, Silent())

    async def intrude() -> None:
        nonlocal told_otherwise
        for name in names:
            intruder.open(name)

        async def opened() -> bool:
            return not intruder.opening

        await eventually(opened, "the intruder has opened every partition")
        told_otherwise = True

    try:
        players, answered, market_id = await play(house, intrude)

        async def stopped() -> bool:
            await intruder.check_ownership()
            return not intruder.partitions and not intruder.opening

        await eventually(stopped, "the intruder was fenced off, and stopped")
        owner = Item(names[0], GetWallet(players[0].player_id))
        [reply] = await intruder.answer([owner])
        assert reply.status in (Status.NOT_HERE, Status.OPENING)
        await check(house, platform, players, answered, market_id)
    finally:
        await intruder.drain()
        await journal.close()
        await pool.close()


async def test_partition_moved_under_load(house: House, platform: Platform) -> None:
    """A gateway with an old view is told, and corrects itself; the older owner is fenced off."""

    directory = Host("directory")

    async def move_all() -> None:
        for number in range(platform.settings.partitions):
            await directory.call("move", f"gb-{number:02d}", "shard-gb-1")

    players, answered, market_id = await play(house, move_all)
    hosted = await Host("shard-gb-1").call("hosting")
    assert len(hosted) == platform.settings.partitions
    assert await Host("shard-gb-0").call("hosting") == []
    await check(house, platform, players, answered, market_id)
    # Nobody else gives a shard its part again: this platform is not elastic.
    for number in range(platform.settings.partitions):
        home = f"shard-gb-{number % platform.settings.shards}"
        assert (await directory.call("move", f"gb-{number:02d}", home)).shard == home
