"""What every journal promises, asked of each one there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.base import Reason, Refused
from actors.entries import Entry, Opened, answer_of, encode_entries
from ledger.blocks import EMPTY, Block, Head, check, seal
from ledger.database import open_pool, prepare
from ledger.journal import FirstAnswer, Journal, JournalUnavailable, Snapshot
from ledger.memory_journal import MemoryJournal
from ledger.postgres_journal import PostgresJournal
from ledger.projector import Projector


class MemoryCase:
    """A memory journal, and how to break it."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()

    async def fail_before_commit(self, block: Block) -> None:
        self.journal.fail_next_append(after_commit=False)
        await self.journal.append([block])

    async def project(self) -> None:
        """There are no tables."""


class PostgresCase:
    """The real one."""

    def __init__(self, pool, other) -> None:
        self._pool = pool
        self._other = other
        self.journal = PostgresJournal(pool)

    async def fail_before_commit(self, block: Block) -> None:
        """Somebody else holds the same block open until Postgres gives the append up, which is
        soon here; the next append has as little time, and needs a hundredth of it."""
        self.journal._timeout_s = 2.0
        async with self._other.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(
                "insert into journal.block values ($1, $2, $3, $4, 0, 0, '')",
                block.partition,
                block.seq,
                block.prev_hash,
                block.hash,
            )
            try:
                await self.journal.append([block])
            finally:
                await transaction.rollback()

    async def project(self) -> None:
        while await Projector(self._other, "gb").step():
            pass


@pytest.fixture(params=["memory", "postgres"])
async def case(request, fresh_database) -> AsyncIterator[MemoryCase | PostgresCase]:
    if request.param == "memory":
        yield MemoryCase()
        return
    dsn = await fresh_database()
    await prepare(dsn, "gb", 2)
    async with await open_pool(dsn) as pool, await open_pool(dsn) as other:
        case = PostgresCase(pool, other)
        yield case
        await case.journal.close()


@pytest.fixture
def journal(case) -> Journal:
    return case.journal


def entry(owner: str = "wallet/p1", key: str = "", message: str = "") -> Entry:
    refused = Refused(Reason.INSUFFICIENT_FUNDS, message, {"cash_minor": 5})
    return Entry(owner, key, b"print of " + key.encode(), 1_000, (refused,))


def block_of(*entries: Entry, after: Head = EMPTY, partition: str = "gb-00") -> Block:
    body = encode_entries(list(entries))
    return seal(partition, after, 1_234, len(entries), body)


async def chain(journal: Journal, count: int, partition: str = "gb-00") -> list[Block]:
    blocks: list[Block] = []
    for number in range(count):
        after = blocks[-1].head if blocks else EMPTY
        blocks.append(block_of(entry(key=f"k{number}"), after=after, partition=partition))
        assert await journal.append([blocks[-1]]) == {partition}
    return blocks


async def test_a_new_partition_is_empty(journal):
    assert await journal.head("gb-00") == EMPTY
    assert await journal.blocks("gb-00", 0, 10) == []
    assert await journal.checkpoint("gb-00") == 0
    assert await journal.snapshots("gb-00", ["wallet/p1"]) == {}
    assert await journal.first_answer("gb-00", "wallet/p1", "k1") is None


async def test_blocks_come_back_as_they_went_in_and_in_order(journal):
    written = await chain(journal, 5)
    assert await journal.head("gb-00") == written[-1].head
    assert await journal.blocks("gb-00", 0, 10) == written
    assert await journal.blocks("gb-00", 2, 2) == written[2:4]
    assert await journal.blocks("gb-00", 5, 10) == []
    head = EMPTY
    for block in await journal.blocks("gb-00", 0, 10):
        head = check(head, block)


async def test_one_append_carries_many_partitions(journal):
    blocks = [block_of(entry(), partition=f"gb-{number:02}") for number in range(8)]
    assert await journal.append(blocks) == {block.partition for block in blocks}
    for block in blocks:
        assert await journal.head(block.partition) == block.head


async def test_an_append_of_nothing_is_nothing(journal):
    assert await journal.append([]) == frozenset()


async def test_a_large_body_comes_back(journal):
    block = block_of(*(entry(key=f"k{n}", message="x" * 100) for n in range(10_000)))
    assert await journal.append([block]) == {"gb-00"}
    assert await journal.blocks("gb-00", 0, 1) == [block]


async def test_a_former_owner_is_told_and_changes_nothing(journal):
    first = block_of(Entry("", "", b"", 1, (Opened(1, "new"),)))
    assert await journal.append([first]) == {"gb-00"}
    late = block_of(Entry("", "", b"", 2, (Opened(2, "old"),)))
    other = block_of(entry(), partition="gb-01")
    # What the other partition has to say is in all the same.
    assert await journal.append([late, other]) == {"gb-01"}
    assert await journal.blocks("gb-00", 0, 10) == [first]


async def test_of_many_owners_at_once_one_wins(journal):
    claims = [block_of(Entry("", "", b"", 1, (Opened(1, f"shard-{n}"),))) for n in range(10)]
    answers = await asyncio.gather(*(journal.append([claim]) for claim in claims))
    assert sorted(map(len, answers)) == [0] * 9 + [1]
    winner = claims[answers.index(frozenset({"gb-00"}))]
    assert await journal.blocks("gb-00", 0, 10) == [winner]


async def test_a_failed_append_says_so_and_the_next_one_works(case, journal):
    block = block_of(entry())
    with pytest.raises(JournalUnavailable, match=r"^append: "):
        await case.fail_before_commit(block)
    assert await journal.head("gb-00") == EMPTY
    assert await journal.append([block]) == {"gb-00"}


async def test_snapshots_and_checkpoints_never_go_back(journal):
    await journal.save("gb-00", [Snapshot("a", 5, b"5"), Snapshot("b", 5, b"5")], 4)
    await journal.save("gb-00", [Snapshot("a", 3, b"3"), Snapshot("b", 6, b"6")], 2)
    assert await journal.snapshots("gb-00", ["a", "b", "c"]) == {
        "a": Snapshot("a", 5, b"5"),
        "b": Snapshot("b", 6, b"6"),
    }
    assert await journal.checkpoint("gb-00") == 4
    await journal.save("gb-00", [], 7)
    assert await journal.checkpoint("gb-00") == 7
    assert await journal.checkpoint("gb-01") == 0
    assert await journal.snapshots("gb-01", ["a"]) == {}


async def test_first_answers_are_found_before_and_after_they_are_projected(case, journal):
    second = Refused(Reason.BALANCE_LIMIT)
    twice = Entry("wallet/p1", "two", b"2", 1, (entry().events[0], second))
    first = block_of(Entry("", "", b"", 1, (Opened(1, "shard"),)), entry(key="one"), twice)
    later = block_of(entry(owner="wallet/p2", key="one", message="later"), after=first.head)
    for block in (first, later):
        await journal.append([block])
        for _ in ("not projected", "projected"):
            found = await journal.first_answer("gb-00", "wallet/p1", "one")
            assert found == FirstAnswer(b"print of one", msgspec.msgpack.encode(entry().events[0]))
            found = await journal.first_answer("gb-00", "wallet/p1", "two")
            assert found == FirstAnswer(b"2", msgspec.msgpack.encode(answer_of(twice)))
            for owner, key in (("wallet/p1", "on"), ("wallet/p1", ""), ("wallet/p3", "one")):
                assert await journal.first_answer("gb-00", owner, key) is None
            assert await journal.first_answer("gb-01", "wallet/p1", "one") is None
            await case.project()
    other = await journal.first_answer("gb-00", "wallet/p2", "one")
    assert other is not None
    assert b"later" in other.answer


async def test_an_answer_is_found_behind_many_blocks(journal):
    blocks = await chain(journal, 200)
    for number in (0, 63, 64, 65, 199):
        assert await journal.first_answer("gb-00", "wallet/p1", f"k{number}") is not None
    assert len(blocks) == 200


# Memory alone


async def test_memory_can_lose_the_answer_to_a_commit():
    journal = MemoryJournal()
    journal.fail_next_append(after_commit=True)
    block = block_of(entry())
    with pytest.raises(JournalUnavailable):
        await journal.append([block])
    assert await journal.head("gb-00") == block.head
    assert await journal.append([block]) == frozenset()


# Postgres alone


async def test_a_connection_that_is_cut_in_an_append_is_replaced(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 1)
    async with await open_pool(dsn) as pool, await open_pool(dsn) as other:
        journal = PostgresJournal(pool)
        block = block_of(entry())
        async with other.acquire() as connection, connection.transaction():
            await connection.execute("lock table journal.block in exclusive mode")
            append = asyncio.ensure_future(journal.append([block]))
            await _until_one_waits(other)
            await other.execute("select pg_terminate_backend(pid) from pg_locks where not granted")
            with pytest.raises(JournalUnavailable, match=r"^append: "):
                await append
        assert await journal.head("gb-00") == EMPTY
        assert await journal.append([block]) == {"gb-00"}
        await journal.close()


async def test_a_connection_that_is_cut_between_appends_is_replaced(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 1)
    async with await open_pool(dsn) as pool, await open_pool(dsn) as other:
        journal = PostgresJournal(pool)
        first = block_of(entry())
        await journal.append([first])
        await other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        while journal._writer_is_open():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
        assert await journal.append([block_of(entry(), after=first.head)]) == {"gb-00"}
        await journal.close()


async def test_a_cancelled_append_leaves_no_connection_in_doubt(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 1)
    async with await open_pool(dsn) as pool, await open_pool(dsn) as other:
        journal = PostgresJournal(pool)
        block = block_of(entry())
        async with other.acquire() as connection, connection.transaction():
            await connection.execute("lock table journal.block in exclusive mode")
            append = asyncio.ensure_future(journal.append([block]))
            await _until_one_waits(other)
            append.cancel()
            with pytest.raises(asyncio.CancelledError):
                await append
        # The statement may have gone through or not: whoever asks the head knows.
        head = await journal.head("gb-00")
        if head == EMPTY:
            assert await journal.append([block]) in ({"gb-00"}, frozenset())
        assert await journal.head("gb-00") == block.head
        await journal.close()


async def _until_one_waits(pool) -> None:
    waiting = "select exists (select from pg_locks where not granted)"
    while not await pool.fetchval(waiting):  # noqa: ASYNC110 - the event is in Postgres
        await asyncio.sleep(0.01)


async def test_the_journal_in_postgres_is_only_ever_added_to(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 1)
    async with await open_pool(dsn) as pool:
        journal = PostgresJournal(pool)
        await journal.append([block_of(entry())])
        for change in (
            "update journal.block set count = 2",
            "delete from journal.block",
            "truncate journal.block",
        ):
            with pytest.raises(Exception, match="only ever added to"):
                await pool.execute(change)
        await journal.close()
