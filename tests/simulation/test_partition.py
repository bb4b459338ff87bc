"""One partition and its shard: when answers leave, what a repetition gets, who may write.

The journal is in memory and can be made to wait, to fail, and to lose its answer.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from actors.base import Reason, Refused
from actors.entries import decode_entries
from actors.errors import Overloaded
from actors.market import GetMarket
from actors.player import RegisterPlayer
from actors.runtime import partition as partition_module
from actors.runtime import shard as shard_module
from actors.runtime.partition import Partition, Seat
from actors.runtime.router import Router, View
from actors.runtime.shard import Shard, Silent
from actors.runtime.wire import Item, Notice, Reply, Status
from actors.wallet import (
    CompleteDeposit,
    DepositRequested,
    GetWallet,
    RequestDeposit,
    WalletView,
)
from ledger.blocks import Block, BrokenChain
from ledger.journal import Journal, JournalUnavailable
from ledger.memory_journal import MemoryJournal
from ledger.money import Money
from tests.simulation.still import VirtualClock, quiet

NAME = "gb-00"
ADULT = dt.date(1990, 1, 1)


class GatedJournal(MemoryJournal):
    """Appends and saves wait while their gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.appends = asyncio.Event()
        self.saves = asyncio.Event()
        self.appends.set()
        self.saves.set()
        self.lookups = 0
        self.down = False

    async def append(self, blocks: Any) -> frozenset[str]:
        await self.appends.wait()
        return await super().append(blocks)

    async def save(self, partition: str, snapshots: Any, checkpoint: int) -> None:
        await self.saves.wait()
        if self.down:
            raise JournalUnavailable("told to")
        await super().save(partition, snapshots, checkpoint)

    async def snapshots(self, partition: str, refs: Any) -> Any:
        if self.down:
            raise JournalUnavailable("told to")
        return await super().snapshots(partition, refs)

    async def first_answer(self, partition: str, owner: str, key: str) -> Any:
        self.lookups += 1
        return await super().first_answer(partition, owner, key)

    def entries(self, name: str = NAME) -> list[Any]:
        return [entry for block in self._chains[name] for entry in decode_entries(block.body)]

    def keys(self, name: str = NAME) -> list[str]:
        return [entry.key for entry in self.entries(name) if entry.key]


class Noted(Silent):
    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def announce(self, notices: list[Notice]) -> None:
        self.notices += notices


class Bench:
    """Shards on one journal, and a way to ask them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.journal = GatedJournal()
        self.announcer = Noted()
        self.shards: list[Shard] = []

    def unopened(self, name: str, max_actors: int = 1_000) -> Shard:
        async def still_mine(partition: str) -> bool:
            return shard.mine(partition)

        shard = Shard(
            name,
            self.journal,
            self.clock,
            lambda _: True,
            still_mine,
            self.announcer,
            max_actors,
        )
        self.shards.append(shard)
        return shard

    async def shard(self, name: str = "shard-1", max_actors: int = 1_000) -> Shard:
        """A shard that believes it has the partition, with the partition open."""
        shard = self.unopened(name, max_actors)
        shard.open(NAME)
        await quiet()
        return shard

    async def ask(self, shard: Shard, *items: Item) -> list[Reply]:
        """The replies, retried while the partition is being opened, as a router does."""
        asked = asyncio.ensure_future(shard.answer(list(items)))
        await quiet()
        assert asked.done(), "no answer"
        replies = asked.result()
        if all(reply.status is Status.OPENING for reply in replies):
            self.clock.advance(2_000)
            await quiet()
            return await self.ask(shard, *items)
        return replies

    async def reply(self, shard: Shard, item: Item) -> Reply:
        (reply,) = await self.ask(shard, item)
        return reply

    def later(self, shard: Shard, *items: Item) -> asyncio.Future[list[Reply]]:
        return asyncio.ensure_future(shard.answer(list(items)))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.journal.appends.set()
    bench.journal.saves.set()
    for shard in bench.shards:
        await shard.drain()


def register(player: str = "p") -> Item:
    command = RegisterPlayer(player, "gb", player, f"{player}@x.org", ADULT, "GBP")
    return Item(NAME, command, f"register-{player}", b"r")


def deposit(key: str, amount: int = 100, *, player: str = "p", print_: bytes = b"1") -> Item:
    """A deposit that is asked for: its payment has the name of its key."""
    money = Money(amount, "GBP")
    return Item(NAME, RequestDeposit(player, f"x-{key}", money, "bogus", "card"), key, print_)


def complete(key: str, player: str = "p") -> Item:
    return Item(NAME, CompleteDeposit(player, f"x-{key}", "r"), f"done-{key}", b"c")


def look(player: str = "p") -> Item:
    return Item(NAME, GetWallet(player))


async def state_of(journal: Journal) -> dict[str, bytes]:
    """Every actor that a new owner would have, encoded."""
    opened = await Partition.open(NAME, journal, "reader", VirtualClock())
    refs = set(opened.seats)
    for block in await journal.blocks(NAME, 0, 1_000_000):
        for entry in decode_entries(block.body):
            refs |= {ref for event in entry.events for ref in event.cast()}
    await opened._load(refs)
    return {ref: msgspec.msgpack.encode(seat.actor) for ref, seat in opened.seats.items()}


# Answers and the commit


async def test_a_reply_leaves_only_after_the_commit(bench: Bench) -> None:
    shard = await bench.shard()
    bench.journal.appends.clear()
    waiting = bench.later(shard, register())
    await quiet()
    assert not waiting.done()
    assert bench.journal.keys() == []
    bench.journal.appends.set()
    await quiet()
    assert waiting.result()[0].block_seq == 2
    assert bench.journal.keys() == ["register-p"]


async def test_what_waits_while_a_block_is_under_way_goes_together_in_the_next(
    bench: Bench,
) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.appends.clear()
    waits = []
    for number in range(5):
        waits.append(bench.later(shard, deposit(f"k{number}")))
        await quiet()
    bench.journal.appends.set()
    await quiet()
    assert [wait.result()[0].block_seq for wait in waits] == [3, 4, 4, 4, 4]
    assert shard.status().blocks == 3


async def test_a_read_waits_for_what_it_has_seen(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.appends.clear()
    bench.later(shard, deposit("k"))
    await quiet()
    read = bench.later(shard, look())
    await quiet()
    assert not read.done()
    bench.journal.appends.set()
    await quiet()
    assert read.result()[0].answer.version == 2


async def test_a_read_of_a_partition_at_rest_waits_for_nothing(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.appends.clear()
    reply = await bench.reply(shard, look())
    assert reply == Reply(Status.ANSWERED, 2, WalletView("p", "GBP", 0, 0, 0, 0, 1))


async def test_a_refusal_without_a_key_leaves_no_trace(bench: Bench) -> None:
    shard = await bench.shard()
    command = CompleteDeposit("p", "x", "r")
    reply = await bench.reply(shard, Item(NAME, command))
    assert reply.answer == Refused(Reason.PAYMENT_NOT_PENDING)
    assert len(bench.journal.entries()) == 1  # that of the opening


async def test_notices_are_of_what_is_durable(bench: Bench) -> None:
    shard = await bench.shard()
    bench.journal.appends.clear()
    bench.later(shard, register())
    await quiet()
    assert bench.announcer.notices == []
    bench.journal.appends.set()
    await quiet()
    (notice,) = bench.announcer.notices
    assert (notice.partition, notice.block_seq, len(notice.events)) == (NAME, 2, 1)


# Keys


async def test_the_same_key_gets_the_first_answer_and_does_nothing(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    first = await bench.reply(shard, deposit("k", 100))
    again = await bench.reply(shard, deposit("k", 999))  # the body is told by the fingerprint
    assert again.answer == first.answer
    assert bench.journal.keys() == ["register-p", "k"]


async def test_a_repetition_in_the_same_batch_gets_the_first_answer(bench: Bench) -> None:
    shard = await bench.shard()
    replies = await bench.ask(shard, register(), deposit("k"), deposit("k"), register())
    assert replies[1].answer == replies[2].answer
    assert replies[0].answer == replies[3].answer
    assert bench.journal.keys() == ["register-p", "k"]


async def test_the_same_key_for_something_else_is_refused(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register(), deposit("k"))
    reply = await bench.reply(shard, deposit("k", print_=b"other"))
    assert reply == Reply(Status.KEY_REUSED)


async def test_a_key_is_its_owners_own(bench: Bench) -> None:
    shard = await bench.shard()
    replies = await bench.ask(
        shard, register("p"), register("q"), deposit("k", player="p"), deposit("k", player="q")
    )
    assert [type(reply.answer) for reply in replies[2:]] == [DepositRequested] * 2


async def test_a_refusal_is_a_first_answer_too(bench: Bench) -> None:
    shard = await bench.shard()
    refused = await bench.reply(shard, deposit("k"))
    assert refused.answer == Refused(Reason.UNKNOWN_PLAYER)
    await bench.ask(shard, register())
    assert (await bench.reply(shard, deposit("k"))).answer == refused.answer


def restart(bench: Bench, shard: Shard) -> None:
    shard.close(NAME)
    shard.open(NAME)


def small(monkeypatch: pytest.MonkeyPatch, **bounds: int) -> None:
    for name, bound in bounds.items():
        module = shard_module if name.startswith("SNAPSHOT") else partition_module
        monkeypatch.setattr(module, name, bound)


@pytest.mark.parametrize("snapshot", [1, 10_000], ids=["from a snapshot", "from the tail"])
async def test_a_key_is_known_after_a_restart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, snapshot: int
) -> None:
    small(monkeypatch, SNAPSHOT_DIRTY=snapshot)
    shard = await bench.shard()
    await bench.ask(shard, register())
    first = await bench.reply(shard, deposit("k"))
    restart(bench, shard)
    await quiet()
    assert (await bench.reply(shard, deposit("k"))).answer == first.answer
    assert (await bench.reply(shard, deposit("k", print_=b"x"))).status is Status.KEY_REUSED
    assert bench.journal.keys() == ["register-p", "k"]
    assert (bench.journal.lookups > 0) == (snapshot == 1)


async def test_a_key_is_known_when_it_was_pushed_out_of_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, RECENT_ANSWERS=2)
    shard = await bench.shard()
    await bench.ask(shard, register())
    firsts = {key: await bench.reply(shard, deposit(key)) for key in "abcdef"}
    for _ in range(2):
        for key, first in firsts.items():
            assert (await bench.reply(shard, deposit(key))).answer == first.answer
    assert bench.journal.lookups >= 4
    assert bench.journal.keys() == ["register-p", *"abcdef"]


async def test_looking_up_old_keys_does_not_push_out_one_that_is_not_durable_yet(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, MAX_WAITING=2, RECENT_ANSWERS=4)
    shard = await bench.shard()
    await bench.ask(shard, register())
    for key in "abcdefgh":
        await bench.ask(shard, deposit(key))
    bench.journal.appends.clear()
    first = bench.later(shard, deposit("new"))
    await quiet()
    repeats = [bench.later(shard, deposit(key)) for key in "abcdefgh"]
    await quiet()
    again = bench.later(shard, deposit("new"))
    await quiet()
    bench.journal.appends.set()
    await quiet()
    assert again.result()[0].answer == first.result()[0].answer
    assert all(repeat.done() for repeat in repeats)
    assert bench.journal.keys().count("new") == 1


async def test_a_hash_that_two_keys_share_is_looked_up_and_found_to_be_new(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_module, "hash_of", lambda _: 7)
    shard = await bench.shard()
    await bench.ask(shard, register())
    for key in ("a", "b", "c", "a"):
        reply = await bench.reply(shard, deposit(key))
        assert reply.answer.payment_id == f"x-{key}"
    assert bench.journal.keys() == ["register-p", "a", "b", "c"]


# Failures of the journal


@pytest.mark.parametrize("after_commit", [False, True], ids=["before", "after"])
async def test_a_failed_commit_answers_nobody_and_a_repetition_does_it_once(
    bench: Bench, after_commit: bool
) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.fail_next_append(after_commit=after_commit)
    replies = await bench.ask(shard, deposit("k"), look(), deposit("l"))
    assert [reply.status for reply in replies] == [Status.UNKNOWN] * 3
    first = await bench.reply(shard, deposit("k"))
    assert isinstance(first.answer, DepositRequested)
    assert bench.journal.keys().count("k") == 1
    assert (await bench.reply(shard, look())).answer.version == (3 if after_commit else 2)


async def test_nothing_tentative_survives_a_failed_commit(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.fail_next_append(after_commit=False)
    await bench.ask(shard, deposit("k"), complete("k"))
    assert (await bench.reply(shard, look())).answer == WalletView("p", "GBP", 0, 0, 0, 0, 1)


async def test_a_partition_whose_journal_does_not_answer_opens_when_it_does(
    bench: Bench,
) -> None:
    bench.journal.fail_next_append(after_commit=True)
    shard = await bench.shard()
    assert shard.status().opening == [NAME]
    bench.clock.advance(1_000)
    await quiet()
    assert shard.status().partitions == [NAME]


async def test_actors_that_cannot_be_loaded_are_asked_for_again(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    restart(bench, shard)
    await quiet()
    bench.journal.down = True
    assert (await shard.answer([look("stranger")]))[0].status is Status.OPENING
    bench.journal.down = False
    reply = await bench.reply(shard, look("stranger"))
    assert reply.answer == Refused(Reason.UNKNOWN_PLAYER)


async def test_a_decision_that_raises_drops_what_is_tentative_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())

    def impossible(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CompleteDeposit, "decide", impossible)
    replies = await bench.ask(shard, deposit("k"), complete("k"), deposit("l"))
    statuses = [reply.status for reply in replies]
    assert statuses == [Status.UNKNOWN, Status.FAULTY, Status.OPENING]
    await quiet()
    assert (await bench.reply(shard, look())).answer.version == 1
    assert bench.journal.keys() == ["register-p"]


async def test_what_cannot_be_encoded_stops_its_partition_and_not_the_flusher(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.appends.clear()
    huge = bench.later(shard, deposit("k", 100))
    monkeypatch.setattr(partition_module, "encode_entries", lambda _: 1 / 0)
    bench.journal.appends.set()
    await quiet()
    assert huge.result()[0].status is Status.UNKNOWN
    monkeypatch.undo()
    bench.clock.advance(2_000)
    await quiet()
    assert (await bench.reply(shard, deposit("k"))).status is Status.ANSWERED


# One writer


async def test_the_former_owner_writes_nothing_and_answers_nothing_more(bench: Bench) -> None:
    former = await bench.shard("former")
    await bench.ask(former, register())
    owner = await bench.shard("owner")
    former.mine = lambda _: False
    lost = await bench.reply(former, deposit("k"))
    assert lost.status is Status.UNKNOWN
    assert (await bench.reply(former, deposit("k"))).status is Status.NOT_HERE
    assert (await bench.reply(former, look())).status is Status.NOT_HERE
    assert (await bench.reply(owner, deposit("k"))).status is Status.ANSWERED
    assert bench.journal.keys() == ["register-p", "k"]


async def test_the_former_owner_loses_a_block_that_was_under_way(bench: Bench) -> None:
    former = await bench.shard("former")
    await bench.ask(former, register())
    bench.journal.appends.clear()
    caught = bench.later(former, deposit("k"))
    await quiet()
    opening = asyncio.ensure_future(
        Partition.open(NAME, MemoryView(bench.journal), "owner", bench.clock)
    )
    await quiet()
    bench.journal.appends.set()
    await quiet()
    assert caught.result()[0].status is Status.UNKNOWN
    assert bench.journal.keys() == ["register-p"]
    assert opening.done()


class MemoryView(MemoryJournal):
    """The same journal by another way, which is not gated."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.__dict__.update(journal.__dict__)
        self._failure = None


async def test_a_former_owner_that_is_only_read_finds_out_by_checking(bench: Bench) -> None:
    former = await bench.shard("former")
    await bench.ask(former, register())
    await bench.shard("owner")
    assert (await bench.reply(former, look())).status is Status.ANSWERED  # it can't know yet
    former.mine = lambda _: False
    await former.check_ownership()
    assert (await bench.reply(former, look())).status is Status.NOT_HERE


async def test_a_former_owner_answers_nothing_by_what_the_next_one_has_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would say of a bet that it stands in a block in which it does not stand yet, and a book
    that has read the ledger up to there would never count it."""
    small(monkeypatch, SNAPSHOT_DIRTY=1)
    former = await bench.shard("former")
    owner = await bench.shard("owner")
    await bench.ask(owner, register())
    placed = await bench.reply(owner, deposit("k"))
    assert placed.status is Status.ANSWERED
    former.mine = lambda _: False
    assert (await bench.reply(former, deposit("k"))).status is Status.NOT_HERE
    assert (await bench.reply(owner, deposit("k"))).answer == placed.answer


async def test_checking_leaves_an_owner_alone(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    await shard.check_ownership()
    bench.journal.appends.clear()
    waiting = bench.later(shard, deposit("k"))
    await quiet()
    await shard.check_ownership()
    bench.journal.appends.set()
    await quiet()
    assert waiting.result()[0].status is Status.ANSWERED


async def test_whoever_waits_is_told_when_the_partition_leaves(bench: Bench) -> None:
    shard = await bench.shard()
    bench.journal.appends.clear()
    waiting = bench.later(shard, register(), look())
    await quiet()
    shard.close(NAME)
    await quiet()
    assert [reply.status for reply in waiting.result()] == [Status.UNKNOWN] * 2


async def test_a_partition_that_leaves_and_comes_back_at_once_is_opened_once(
    bench: Bench,
) -> None:
    shard = bench.unopened("s")
    bench.journal.appends.clear()
    shard.open(NAME)
    await quiet()
    restart(bench, shard)
    await quiet()
    shard.open(NAME)
    await quiet()
    assert shard.status().opening == [NAME]
    bench.journal.appends.set()
    await quiet()
    assert shard.status().partitions == [NAME]
    assert len(bench.journal.entries()) == 1


@pytest.mark.parametrize("what", ["body", "prev_hash", "recorded_at_ms", "seq"])
async def test_a_journal_that_was_tampered_with_is_not_served(bench: Bench, what: str) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    await bench.ask(shard, deposit("k"))
    await bench.ask(shard, deposit("l"))
    shard.close(NAME)
    chain: list[Block] = bench.journal._chains[NAME]
    other: dict[str, Callable[[Any], Any]] = {
        "body": lambda body: body.replace(b"bogus", b"Bogus"),
        "prev_hash": lambda _: b"x" * 32,
        "recorded_at_ms": lambda at: at - 1,
        "seq": lambda seq: seq + 1,
    }
    changed = msgspec.structs.replace(chain[2], **{what: other[what](getattr(chain[2], what))})
    chain[2] = changed
    with pytest.raises(BrokenChain, match="gb-00 block"):
        await Partition.open(NAME, bench.journal, "s", bench.clock)
    shard.open(NAME)
    await quiet()
    assert shard.status().partitions == []
    assert (await shard.answer([look()]))[0].status is Status.OPENING


# Snapshots and leaving memory


async def busy(bench: Bench, shard: Shard, players: int = 4, rounds: int = 6) -> None:
    for player in range(players):
        await bench.ask(shard, register(f"p{player}"))
    for round_ in range(rounds):
        for player in range(players):
            key, who = f"k{round_}", f"p{player}"
            await bench.ask(shard, deposit(key, 100 + round_, player=who))
            await bench.ask(shard, complete(key, who))


@pytest.mark.parametrize("dirty", [1, 2, 3, 7])
async def test_a_snapshot_and_the_tail_are_the_same_as_the_whole_journal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, dirty: int
) -> None:
    small(monkeypatch, SNAPSHOT_DIRTY=dirty, REPLAY_PAGE=2)
    shard = await bench.shard()
    await busy(bench, shard)
    assert await bench.journal.checkpoint(NAME) > 0
    blank = MemoryJournal()
    await blank.append([])
    for block in await bench.journal.blocks(NAME, 0, 1_000):
        await blank.append([block])
    assert await state_of(bench.journal) == await state_of(blank)


async def test_an_old_change_is_snapshotted_when_its_time_has_come(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register())
    assert await bench.journal.checkpoint(NAME) == 0
    bench.clock.advance(shard_module.SNAPSHOT_AGE_MS)
    await bench.ask(shard, deposit("k"))
    assert await bench.journal.checkpoint(NAME) == 3


async def test_a_snapshot_that_could_not_be_saved_is_taken_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, SNAPSHOT_DIRTY=1)
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.down = True
    await bench.ask(shard, deposit("a"))
    saved = await bench.journal.checkpoint(NAME)
    bench.journal.down = False
    await bench.ask(shard, deposit("b"))
    await bench.ask(shard, deposit("c"))
    assert await bench.journal.checkpoint(NAME) > saved + 1
    assert b"x-a" in (await state_of(bench.journal))["wallet/p"]


async def test_snapshots_saved_while_the_next_owner_opens_are_not_applied_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, SNAPSHOT_DIRTY=1)
    shard = await bench.shard()
    await bench.ask(shard, register(), deposit("a"), deposit("b"))
    bench.journal.saves.clear()
    await bench.ask(shard, complete("a"))  # its snapshot is on its way
    shard.close(NAME)

    class SavedMeanwhile(MemoryView):
        async def snapshots(self, partition: str, refs: Any) -> Any:
            bench.journal.saves.set()
            await quiet()
            return await super().snapshots(partition, refs)

    opened = await Partition.open(NAME, SavedMeanwhile(bench.journal), "next", bench.clock)
    await opened._load({"wallet/p"})
    assert opened.seats["wallet/p"].actor.cash_minor == 100
    assert opened.seats["wallet/p"].actor.version == 4


async def test_memory_is_bounded_and_who_left_comes_back_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, SNAPSHOT_DIRTY=3, RECENT_ANSWERS=4)
    shard = await bench.shard(max_actors=6)
    await busy(bench, shard, players=12)
    assert shard.status().actors <= 6 + 3 + 2
    for player in range(12):
        reply = await bench.reply(shard, look(f"p{player}"))
        assert reply.answer.cash_minor == sum(100 + round_ for round_ in range(6))
        again = await bench.reply(shard, deposit("k0", player=f"p{player}"))
        assert again.answer.amount == Money(100, "GBP")
    assert len(bench.journal.keys()) == 12 * 13


async def test_reading_alone_does_not_fill_memory(bench: Bench) -> None:
    shard = await bench.shard(max_actors=20)
    for number in range(500):
        await bench.ask(shard, look(f"stranger{number}"))
        market = GetMarket("f", f"f:{number}")
        await bench.ask(shard, Item(NAME, market))
    assert shard.status().actors <= 20 + 20 // 8 + 3


async def test_what_is_not_in_a_snapshot_does_not_leave(bench: Bench) -> None:
    shard = await bench.shard(max_actors=1)
    await busy(bench, shard, players=3, rounds=1)
    partition = shard.partitions[NAME]
    assert partition.passivate(0) == 0
    assert {f"wallet/p{n}" for n in range(3)} <= set(partition.seats)


async def test_the_least_recently_used_leave_first(bench: Bench) -> None:
    shard = await bench.shard()
    for player in ("a", "b", "c"):
        await bench.ask(shard, look(player))
    await bench.ask(shard, look("a"))
    partition = shard.partitions[NAME]
    assert partition.passivate(2) == 1
    assert list(partition.seats) == ["wallet/c", "wallet/a"]


async def test_the_keys_of_an_actor_are_in_its_snapshot(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register(), deposit("k"))
    seat = shard.partitions[NAME].seats["wallet/p"]
    again = Seat.restored(seat.snapshot("wallet/p", 2))
    assert again.actor == seat.actor
    assert again.keys.packed() == seat.keys.packed()


# Bounds


async def test_a_full_partition_turns_commands_away_and_still_answers_old_keys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, MAX_WAITING=3, RECENT_ANSWERS=6)
    shard = await bench.shard()
    await bench.ask(shard, register())
    bench.journal.appends.clear()
    first = bench.later(shard, deposit("under way"))
    await quiet()
    batch = bench.later(shard, *[deposit(key) for key in "abcde"], deposit("a"), look())
    await quiet()
    bench.journal.appends.set()
    await quiet()
    statuses = [reply.status for reply in batch.result()]
    yes, full = Status.ANSWERED, Status.OVERLOADED
    assert statuses == [yes, yes, yes, full, full, yes, yes]
    assert first.result()[0].status is yes
    assert bench.journal.keys() == ["register-p", "under way", "a", "b", "c"]
    assert (await bench.reply(shard, deposit("d"))).status is yes


class OneShard:
    """The way to a bench's shard, which has all partitions there are."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        return await self.shard.deliver(batch)

    async def view(self) -> View:
        return View(1, {"gb": 1}, {NAME: self.shard.name})


async def test_a_hot_actor_is_turned_away_by_the_router_and_nobody_else_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.router.MAX_QUEUED_FOR_ONE", 3)
    shard = await bench.shard()
    for player in ("p0", "p1"):
        await bench.ask(shard, register(player))
    router = Router(OneShard(shard), bench.clock)
    await router.refresh()
    asked = [asyncio.ensure_future(router.ask("gb", "p0", GetWallet("p0"))) for _ in range(5)]
    other = asyncio.ensure_future(router.ask("gb", "p1", GetWallet("p1")))
    await quiet()
    failures = [task.exception() for task in asked]
    assert [isinstance(failure, Overloaded) for failure in failures] == [False] * 3 + [True] * 2
    assert other.result().reply.player_id == "p1"


async def test_a_draining_shard_finishes_what_waits_and_takes_nothing_new(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, look("p"))
    bench.journal.appends.clear()
    waiting = bench.later(shard, register())
    await quiet()
    draining = asyncio.ensure_future(shard.drain())
    await quiet()
    late = bench.later(shard, deposit("k"))
    await quiet()
    assert late.result()[0].status is Status.NOT_HERE
    bench.journal.appends.set()
    await draining
    assert waiting.result()[0].status is Status.ANSWERED
    shard.close(NAME)
    shard.open(NAME)
    assert shard.status().opening == []


# What a review found


async def test_an_actor_that_is_being_loaded_twice_is_never_older_than_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow read must not put an old snapshot over what another batch did meanwhile."""
    small(monkeypatch, SNAPSHOT_DIRTY=1)
    shard = await bench.shard()
    await bench.ask(shard, register(), deposit("a"))
    await bench.ask(shard, complete("a"))
    partition = shard.partitions[NAME]
    partition.passivate(0)
    assert not partition.seats
    slow = asyncio.Event()
    read = bench.journal.snapshots

    async def slowly(name: str, refs: Any) -> Any:
        found = await read(name, refs)
        await slow.wait()
        return found

    monkeypatch.setattr(bench.journal, "snapshots", slowly)
    late = bench.later(shard, look())
    await quiet()
    monkeypatch.setattr(bench.journal, "snapshots", read)
    await bench.ask(shard, deposit("b"))
    await bench.ask(shard, complete("b"))
    partition.passivate(0)
    slow.set()
    await quiet()
    assert late.result()[0].answer.cash_minor == 200


async def test_what_a_save_lost_is_saved_again_whatever_went_wrong(bench: Bench) -> None:
    shard = await bench.shard()
    await bench.ask(shard, register(), deposit("a"))
    partition = shard.partitions[NAME]

    class Broken(MemoryView):
        async def save(self, *_: Any) -> None:
            raise RuntimeError("a bug")

    dirty = set(partition.dirty)
    partition.decide(complete("a"), 0)
    sealed = partition.seal(0, snapshot=True)
    assert not partition.dirty
    partition.journal = Broken(bench.journal)
    with pytest.raises(RuntimeError):
        await partition.save(sealed)
    assert partition.dirty == dirty


async def test_who_was_fenced_off_asks_before_it_opens_again(bench: Bench) -> None:
    """Else the two would fence each other for ever, and nobody would be served."""
    former = await bench.shard("former")
    await bench.ask(former, register())
    owner = await bench.shard("owner")

    async def not_any_more(_: str) -> bool:
        return False

    # The former owner was not told: what it remembers says that the partition is its own.
    former.still_mine = not_any_more
    reply = (await bench.ask(former, deposit("x")))[0]
    assert reply.status is Status.UNKNOWN
    await quiet()
    assert former.status().partitions == []
    assert former.status().opening == []
    opened = len(bench.journal.entries())
    for _ in range(5):
        await former.check_ownership()
        await quiet()
    assert len(bench.journal.entries()) == opened
    await bench.ask(owner, deposit("y"))
    assert bench.journal.keys() == ["register-p", "y"]


async def test_a_partition_counts_from_when_its_fence_stood(bench: Bench) -> None:
    """Until then the former owner granted holds, which have to run out first."""
    bench.journal.appends.clear()
    opening = asyncio.ensure_future(Partition.open(NAME, bench.journal, "s", bench.clock))
    await quiet()
    bench.clock.now += 60_000
    bench.journal.appends.set()
    assert (await opening).opened_at_ms == bench.clock.now
