"""One shard measured from inside: commands through decide, apply and journal, without HTTP.

    python -m loadtest.bench.inside_commands --wallets 1000000

A real shard and a real Postgres with fsync, and nothing else: batches come encoded, as from a
router, and go back encoded when they are durable. Each story runs in a process of its own over the
same journal, so that what one leaves in memory is not counted for the next:

    grow        register players and give them money; bets of the first 10,000, then of all of them
    reopen      the partitions again, after that shard was killed
    memory      what a wallet at rest takes in memory
    cold        how long a wallet that is not in memory takes to be there
    beyond      bets of all of them, where only a fifth may be in memory
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import datetime as dt
import gc
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from actors.bet import BetPlaced, Leg, PlaceBet
from actors.player import RegisterPlayer
from actors.runtime import shard as shards
from actors.runtime.addresses import partition_of, partitions_of
from actors.runtime.clock import WallClock, now_ms
from actors.runtime.keys import fingerprint
from actors.runtime.shard import Shard, Silent
from actors.runtime.wire import Item, Status, decode_items, decode_replies, encode_items
from actors.wallet import CompleteDeposit, GetWallet, RequestDeposit, WalletView
from gateway import keys
from grandstand.servers.postgres import EmbeddedPostgres
from ledger.database import create_database, open_pool, prepare
from ledger.money import Money
from ledger.postgres_journal import PostgresJournal
from loadtest.bench.processes import cpu_seconds
from loadtest.house import tree
from loadtest.load import percentile

MODULE = "loadtest.bench.inside_commands"
SCOPE = "gb"
PARTITIONS = 16
BATCH = 500
IN_FLIGHT = 4
"""Batches under way at once, as from a few gateways under load."""
FEW = 10_000
CASH_MINOR = 10**9
HOLD_MS = 3_600_000
LOOKS = 2_000
"""Cold wallets that are brought into memory one by one."""
LAST = 2_000
"""Players who come last, so that every partition has something to flush."""
FIRST = 2_000
IN_MEMORY = 100_000
"""Wallets in memory by which their size is measured."""
STORY_S = 1_800


class Asked(NamedTuple):
    """What a story is told."""

    dsn: str
    postgres: int
    """The pid of the server, whose CPU is counted too."""
    wallets: int
    bets: int


class Meter:
    """Seconds, and CPU of this process and of Postgres, since it was made."""

    def __init__(self, asked: Asked) -> None:
        self._postgres = asked.postgres
        self._began = time.perf_counter()
        self._python = time.process_time()
        self._server = self._server_cpu()

    def per(self, count: int) -> dict[str, float]:
        """What one of so many took, in microseconds of CPU, and how many there were a second."""
        seconds = time.perf_counter() - self._began
        python_us = 1e6 * (time.process_time() - self._python) / count
        postgres_us = 1e6 * (self._server_cpu() - self._server) / count
        return {
            "count": count,
            "seconds": seconds,
            "per_s": count / seconds,
            "shard_us": python_us,
            "postgres_us": postgres_us,
            "cpu_us": python_us + postgres_us,
        }

    def _server_cpu(self) -> float:
        return sum(cpu_seconds(pid) for pid in tree(self._postgres))


# What is sent


def players(count: int) -> Iterator[str]:
    for number in range(count):
        yield keys.id_from(f"bench player {number}")


def _item(player_id: str, message: Any, key: str = "", asked: bytes = b"") -> Item:
    return Item(partition_of(SCOPE, player_id, PARTITIONS), message, key, asked)


def _bet(player_id: str, until_ms: int) -> Item:
    leg = Leg("bench-1", "bench-1:m0", "s0", 20_000, 1, "Home v Away", "Match result", "Home")
    bet = PlaceBet(player_id, keys.new_id(), Money(10, "GBP"), (leg,), until_ms)
    slip = ("bench-1:m0", "s0", 10, "GBP", 20_000, "none")
    return _item(player_id, bet, keys.new_id(), fingerprint("bet", slip))


def bet_batches(ids: Sequence[str], bets: int) -> list[bytes]:
    """Bets of players drawn at random, encoded beforehand: that is the router's work."""
    draw = random.Random(1)
    until_ms = now_ms() + HOLD_MS
    return [
        encode_items([_bet(draw.choice(ids), until_ms) for _ in range(BATCH)])
        for _ in range(bets // BATCH)
    ]


# The shard


@contextlib.asynccontextmanager
async def shard_of(asked: Asked, max_actors: int) -> AsyncIterator[Shard]:
    """A shard with every partition open."""
    pool = await open_pool(asked.dsn, max_size=6)
    shard = Shard(
        "shard-bench-0", PostgresJournal(pool), WallClock(), _mine, _still, Silent(), max_actors
    )
    for partition in partitions_of(SCOPE, PARTITIONS):
        shard.open(partition)
    while shard.opening:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    gc.collect()
    gc.freeze()
    yield shard


async def deliver(shard: Shard, batches: Sequence[bytes], expected: type) -> int:
    """Send batches, some at a time, and count the answers of that kind; others are an error.

    What the shard asks to be sent again, for want of memory, is sent again.
    """
    waiting = iter(batches)
    answered = 0

    async def worker() -> None:
        nonlocal answered
        for batch in waiting:
            left = batch
            while left:
                replies = decode_replies(await shard.deliver(left))
                again = [at for at, reply in enumerate(replies) if reply.status is Status.OPENING]
                for reply in replies:
                    if isinstance(reply.answer, expected):
                        answered += 1
                    elif reply.status is not Status.OPENING:
                        raise RuntimeError(f"the shard said {reply}")
                left = _some_of(left, again)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return answered


def _some_of(batch: bytes, places: Sequence[int]) -> bytes:
    if not places:
        return b""
    items = decode_items(batch)
    return encode_items([items[at] for at in places])


async def warm(shard: Shard, ids: Sequence[str]) -> None:
    """Bring these wallets into memory."""
    looks = [
        encode_items([_item(one, GetWallet(one)) for one in ids[at : at + BATCH]])
        for at in range(0, len(ids), BATCH)
    ]
    await deliver(shard, looks, WalletView)


# The stories


async def grow(asked: Asked) -> dict[str, Any]:
    """The cost of a bet with few wallets and with many, all in the memory of the same shard."""
    ids = list(players(asked.wallets))
    few = ids[: min(FEW, len(ids))]
    async with shard_of(asked, 4 * asked.wallets + 4 * asked.bets) as shard:
        await register(shard, few)
        with_few = await bets_of(shard, asked, few)
        meter = Meter(asked)
        await register(shard, ids[len(few) :])
        building = meter.per(3 * (asked.wallets - len(few)))
        with_all = await bets_of(shard, asked, ids)
        # From here to the end: everything into snapshots, so that the next stories find it cold.
        shards.SNAPSHOT_DIRTY = 1
        await asyncio.sleep(0.1)
        await register(shard, [f"last-{number}" for number in range(LAST)])
        await shard.drain()
    return {"few": with_few, "all": with_all, "building": building}


async def register(shard: Shard, ids: Sequence[str]) -> None:
    """Players with money."""
    birth = dt.date(1990, 1, 1)
    money = Money(CASH_MINOR, "GBP")
    pages = iter(range(0, len(ids), BATCH))

    async def worker() -> None:
        for at in pages:
            some = ids[at : at + BATCH]
            names = [(one, f"{one}@example.com") for one in some]
            await _insist(
                shard,
                [
                    _item(one, RegisterPlayer(one, SCOPE, "B", email, birth, "GBP"), "r")
                    for one, email in names
                ],
            )
            asks = [RequestDeposit(one, "d", money, "bogus", "card") for one in some]
            await _insist(shard, [_item(one.player_id, one, "d") for one in asks])
            done = [CompleteDeposit(one, "d", "ref") for one in some]
            await _insist(shard, [_item(one.player_id, one, "c") for one in done])

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def bets_of(shard: Shard, asked: Asked, ids: Sequence[str]) -> dict[str, Any]:
    batches = bet_batches(ids, asked.bets)
    # The snapshots of whatever was done before.
    while any(one.saving for one in shard.partitions.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    gc.collect()
    gc.freeze()
    meter, blocks = Meter(asked), shard.blocks
    placed = await deliver(shard, batches, BetPlaced)
    figures: dict[str, Any] = meter.per(placed)
    figures["wallets"] = len(ids)
    figures["entries_per_block"] = placed / max(1, shard.blocks - blocks)
    return figures


async def _insist(shard: Shard, items: list[Item]) -> None:
    """Have all of it done: where memory is short an actor may leave before its turn."""
    while items:
        replies = await shard.answer(items)
        again = [
            item
            for item, reply in zip(items, replies, strict=True)
            if reply.status in (Status.OPENING, Status.OVERLOADED)
        ]
        if any(reply.status > Status.OVERLOADED for reply in replies):
            raise RuntimeError(f"the shard said {replies}")
        if again:
            await asyncio.sleep(0.01)
        items = again


async def beyond(asked: Asked) -> dict[str, Any]:
    """The process ends as if it was killed, with snapshots still to take."""
    ids = list(players(asked.wallets))
    less = asked._replace(bets=asked.bets // 5)
    async with shard_of(asked, asked.wallets // 5) as shard:
        return await bets_of(shard, less, ids)


async def reopen(asked: Asked) -> dict[str, Any]:
    """How long each partition takes, one after the other, and all of them at once."""
    pool = await open_pool(asked.dsn, max_size=6)

    async def opened(shard: Shard, partitions: Sequence[str]) -> float:
        began = time.perf_counter()
        for partition in partitions:
            shard.open(partition)
        while shard.opening:  # noqa: ASYNC110
            await asyncio.sleep(0.0005)
        return 1000 * (time.perf_counter() - began)

    def another() -> Shard:
        journal = PostgresJournal(pool)
        return Shard("shard-bench-0", journal, WallClock(), _mine, _still, Silent(), 10**6)

    partitions = partitions_of(SCOPE, PARTITIONS)
    first = another()
    each = sorted([await opened(first, [partition]) for partition in partitions])
    together_ms = await opened(another(), partitions)
    return {
        "p50_ms": percentile(each, 0.5),
        "worst_ms": each[-1],
        "together_ms": together_ms,
        "replayed_actors": sum(len(one.seats) for one in first.partitions.values()),
    }


async def memory(asked: Asked) -> dict[str, Any]:
    """By the resident memory of the process, before and after so many wallets were brought in."""
    count = min(IN_MEMORY, asked.wallets // 2)
    ids = list(players(count + FIRST))
    async with shard_of(asked, 4 * asked.wallets) as shard:
        await warm(shard, ids[:FIRST])  # what the first of everything takes, and its garbage
        there = sum(len(one.seats) for one in shard.partitions.values())
        before = _resident_bytes()
        await warm(shard, ids[FIRST:])
        count = sum(len(one.seats) for one in shard.partitions.values()) - there
        each = (_resident_bytes() - before) / count
    return {"wallets": count, "bytes": each, "per_gib": round(1024**3 / each) if each > 0 else 0}


async def cold(asked: Asked) -> dict[str, Any]:
    """One at a time, and in batches."""
    draw = random.Random(2)
    numbers = draw.sample(range(asked.wallets), min(asked.wallets, 6 * LOOKS))
    ids = [keys.id_from(f"bench player {number}") for number in numbers]
    async with shard_of(asked, asked.wallets) as shard:
        there = {ref for one in shard.partitions.values() for ref in one.seats}
        ids = [player_id for player_id in ids if f"wallet/{player_id}" not in there]
        times = []
        for player_id in ids[: min(LOOKS, len(ids) // 2)]:
            began = time.perf_counter()
            await shard.deliver(encode_items([_item(player_id, GetWallet(player_id))]))
            times.append(1000 * (time.perf_counter() - began))
        rest = ids[len(times) :]
        meter = Meter(asked)
        await warm(shard, rest)
        together = meter.per(len(rest))
    times.sort()
    return {
        "p50_ms": percentile(times, 0.5),
        "p99_ms": percentile(times, 0.99),
        "batched_per_s": together["per_s"],
        "batched_cpu_us": together["cpu_us"],
    }


STORIES: dict[str, Callable[[Asked], Coroutine[Any, Any, dict[str, Any]]]] = {
    "grow": grow,
    "memory": memory,
    "cold": cold,
    "beyond": beyond,
    "reopen": reopen,
}


def _mine(partition: str) -> bool:
    return True


async def _still(partition: str) -> bool:
    return True


def _resident_bytes() -> int:
    """What is used, with what was freed given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# Running them


@contextlib.contextmanager
def database() -> Iterator[tuple[str, int]]:
    """A fresh Postgres in a temporary folder: the address of a scope's database, and its pid."""
    folder = Path(tempfile.mkdtemp(prefix="bench-inside-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        asyncio.run(create_database(postgres.dsn("postgres"), "bench"))
        dsn = postgres.dsn("bench")
        asyncio.run(prepare(dsn, SCOPE, PARTITIONS))
        yield dsn, postgres.pid
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(stories: Sequence[str], wallets: int, bets: int) -> dict[str, dict[str, Any]]:
    """Tell the stories in order; the figures of each by its name.

    Raises RuntimeError with what a story that failed has printed.
    """
    if wallets <= FEW + FIRST:
        raise ValueError(f"more than {FEW + FIRST:,} wallets are needed")
    found = {}
    with database() as (dsn, pid):
        for story in stories:
            asked = json.dumps(Asked(dsn, pid, wallets, bets)._asdict())
            done = subprocess.run(
                [sys.executable, "-m", MODULE, "--story", story],
                input=asked,
                capture_output=True,
                text=True,
                timeout=STORY_S,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{story}: {done.stderr[-4000:]}")
            found[story] = json.loads(done.stdout.splitlines()[-1])
            print(f"  {story}: {json.dumps(found[story])}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wallets", type=int, default=100_000)
    parser.add_argument("--bets", type=int, default=100_000)
    parser.add_argument("--stories", default=",".join(STORIES))
    parser.add_argument("--story", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.story:
        asked = Asked(**json.load(sys.stdin))
        print(json.dumps(uvloop.run(STORIES[chosen.story](asked))), flush=True)
        os._exit(0)  # as if killed: what the shard still had to do is left to the next
    try:
        told = measure(chosen.stories.split(","), chosen.wallets, chosen.bets)
    except ValueError as wrong:
        parser.error(str(wrong))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
