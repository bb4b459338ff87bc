"""A partition handed from one shard to the next: nothing lost, nothing replayed, nobody fooled."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.bet import PriceChange
from actors.book import Confirmed
from actors.fixture import CreateFixture
from actors.holds import ConfirmHold, HoldStake
from actors.market import GetExposure
from actors.runtime.partition import Partition
from actors.runtime.shard import Shard
from actors.runtime.wire import Item, Status
from actors.trading import ChangePrices, OpenMarket
from ledger.money import Money
from tests.simulation.still import quiet
from tests.simulation.test_partition import (
    NAME,
    Bench,
    bench,
    complete,
    deposit,
    look,
    register,
)

__all__ = ["bench"]  # the fixture, which tests take by its name

MARKET = "match:result"


async def move(bench: Bench, source: Shard, target: Shard) -> bytes:
    """As the directory has it done."""
    source.mine = lambda _: False
    handing_over = asyncio.ensure_future(source.hand_over(NAME))
    await quiet()
    packed = handing_over.result()
    assert await target.take(NAME, packed)
    return packed


def item(message: Any, key: str = "") -> Item:
    return Item(NAME, message, key, b"f" if key else b"")


def hold(bet_id: str, stake: int = 1_000) -> Item:
    money = Money(stake, "GBP")
    return item(
        HoldStake("match", MARKET, "home", bet_id, "gb", "p", money, 20_000, PriceChange.NONE)
    )


async def a_market(bench: Bench, shard: Shard) -> None:
    for command in (
        CreateFixture("match", "Football", "League", "A v B", 2_000_000_000_000),
        OpenMarket("match", MARKET, "Result", "match_result", "GBP", {"home": "A", "away": "B"}),
        ChangePrices("match", MARKET, {"home": 20_000, "away": 20_000}),
    ):
        await bench.ask(shard, item(command, type(command).__name__))


async def test_everything_is_there_and_nothing_is_replayed(bench: Bench) -> None:
    first, second = await bench.shard("one"), bench.unopened("two")
    await bench.ask(first, register())
    await bench.ask(first, deposit("k1"))
    await bench.ask(first, complete("k1"))
    before = {ref: seat.snapshot(ref, 0).body for ref, seat in first.partitions[NAME].seats.items()}
    read = 0
    blocks = bench.journal.blocks

    async def counted(*arguments: Any) -> Any:
        nonlocal read
        read += 1
        return await blocks(*arguments)

    bench.journal.blocks = counted  # type: ignore[method-assign]
    assert await move(bench, first, second)
    assert read == 0
    opened = second.partitions[NAME]
    assert {ref: seat.snapshot(ref, 0).body for ref, seat in opened.seats.items()} == before
    # What was not saved by the one is still to be saved by the other.
    assert opened.dirty == set(before)
    reply = await bench.reply(second, look())
    assert reply.answer.cash_minor == 100
    # The first answer is found, though it was given elsewhere.
    again = await bench.reply(second, deposit("k1"))
    assert again.status is Status.ANSWERED
    assert (await bench.reply(second, deposit("k1", 7, print_=b"2"))).status is Status.KEY_REUSED
    assert (await bench.reply(first, look())).status is Status.NOT_HERE


async def test_what_was_taken_is_durable_and_answered_before_it_leaves(bench: Bench) -> None:
    first, second = await bench.shard("one"), bench.unopened("two")
    await bench.ask(first, register())
    bench.journal.appends.clear()
    taken = bench.later(first, deposit("k1"))
    await quiet()
    next_block = bench.later(first, deposit("k2"))
    await quiet()
    first.mine = lambda _: False
    handing_over = asyncio.ensure_future(first.hand_over(NAME))
    await quiet()
    assert not handing_over.done()
    too_late = bench.later(first, deposit("k3"))
    await quiet()
    assert too_late.result()[0].status is Status.NOT_HERE
    bench.journal.appends.set()
    await quiet()
    assert [one.result()[0].status for one in (taken, next_block)] == [Status.ANSWERED] * 2
    assert await second.take(NAME, handing_over.result())
    assert bench.journal.keys() == ["register-p", "k1", "k2"]


async def test_a_market_keeps_its_book(bench: Bench) -> None:
    first, second = await bench.shard("one"), bench.unopened("two")
    await a_market(bench, first)
    for bet_id in ("b1", "b2"):
        assert (await bench.reply(first, hold(bet_id))).status is Status.ANSWERED
    confirmed = Confirmed("gb-01", 7, "home", 1_000, 20_000)
    await bench.ask(first, item(ConfirmHold(MARKET, "b1", confirmed)))
    before = (await bench.reply(first, item(GetExposure(MARKET)))).answer
    assert before.known
    assert (before.holds, before.lines["home"].bets) == (1, 2)
    await move(bench, first, second)
    assert (await bench.reply(second, item(GetExposure(MARKET)))).answer == before
    # It takes bets at once, and what it is told twice it counts once.
    assert (await bench.reply(second, hold("b3"))).status is Status.ANSWERED
    await bench.ask(second, item(ConfirmHold(MARKET, "b1", confirmed)))
    after = (await bench.reply(second, item(GetExposure(MARKET)))).answer
    assert (after.holds, after.lines["home"].bets) == (2, 3)


async def test_a_market_that_was_saved_long_ago_keeps_its_book_too(bench: Bench) -> None:
    """Nothing of it is to be saved, so only its book makes that it is packed."""
    first, second = await bench.shard("one"), bench.unopened("two")
    await a_market(bench, first)
    await bench.ask(first, hold("b1"))
    first.partitions[NAME].dirty_since_ms = 0
    await bench.ask(first, item(ChangePrices("match", MARKET, {"home": 20_000}), "again"))
    await quiet()
    assert not first.partitions[NAME].dirty
    await move(bench, first, second)
    answer = (await bench.reply(second, item(GetExposure(MARKET)))).answer
    assert (answer.known, answer.holds) == (True, 1)


async def test_who_was_written_over_in_between_is_replayed(bench: Bench) -> None:
    """What was packed is of a block that is not the last any more: it counts for nothing."""
    first, second = await bench.shard("one"), bench.unopened("two")
    await a_market(bench, first)
    await bench.ask(first, hold("b1"))
    first.mine = lambda _: False
    packed = await first.hand_over(NAME)
    between = await bench.shard("between")
    await bench.ask(between, register(), deposit("k1"))
    await quiet()
    assert await second.take(NAME, packed)
    answer = (await bench.reply(second, item(GetExposure(MARKET)))).answer
    assert not answer.known
    assert (await bench.reply(second, look())).answer.player_id == "p"


async def test_a_shard_that_was_fenced_off_has_nothing_to_hand_over(bench: Bench) -> None:
    first, other = await bench.shard("one"), bench.unopened("other")
    await bench.ask(first, register())
    other.open(NAME)
    await quiet()
    waiting = bench.later(first, deposit("k1"))
    handing_over = asyncio.ensure_future(first.hand_over(NAME))
    await quiet()
    assert handing_over.result() == b""
    assert waiting.result()[0].status in (Status.UNKNOWN, Status.NOT_HERE)
    assert bench.journal.keys() == ["register-p"]


async def test_handing_over_what_is_not_here_gives_nothing(bench: Bench) -> None:
    shard = bench.unopened("one")
    assert await shard.hand_over(NAME) == b""
    assert NAME not in shard.partitions


async def test_lightening_leaves_little_to_pack(bench: Bench) -> None:
    first, second = await bench.shard("one"), bench.unopened("two")
    for number in range(120):
        await bench.ask(first, register(f"p{number}"))
    heavy = len(Partition.pack(first.partitions[NAME]))
    lightening = asyncio.ensure_future(first.lighten(NAME))
    await quiet()
    await bench.ask(first, register("last"))
    while not lightening.done():
        bench.clock.advance(10)
        await quiet()
    assert len(await move(bench, first, second)) < heavy / 10
    for name in ("p0", "p119", "last"):
        assert (await bench.reply(second, look(name))).answer.player_id == name
