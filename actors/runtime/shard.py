"""A shard: the host of some partitions of one scope, and the one who flushes them.

A batch is answered when everything in it is durable. All open blocks of the shard go to the
journal in one commit; while it is under way the next blocks fill. There is no timer: under load
batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from actors.entries import AnyEvent
from actors.errors import Unavailable
from actors.runtime.clock import Clock
from actors.runtime.partition import Partition, Sealed
from actors.runtime.wire import (
    Item,
    Notice,
    Reply,
    Status,
    decode_items,
    encode_replies,
)
from ledger.blocks import BrokenChain
from ledger.journal import Journal, JournalUnavailable

log = structlog.get_logger()

SNAPSHOT_DIRTY = 2_000
"""Changed actors of one partition after which it takes its snapshots."""
SNAPSHOT_AGE_MS = 30_000
"""The longest a change waits for its snapshot: with `SNAPSHOT_DIRTY`, what bounds a replay."""
REOPEN_PAUSE_S = 0.2
"""Between attempts to open a partition whose journal does not answer."""
FAULTY_PAUSE_S = 1.0
"""Before another attempt where an opening failed as it never should."""
BROKEN_PAUSE_S = 60.0
"""Between looks at a journal that was tampered with."""
MAX_LOADS = 5
"""Times a batch's actors are brought into memory before the item is given up as unavailable."""


class Announcer(Protocol):
    """Tells those who watch what has become durable. It never blocks and may lose a notice."""

    def announce(self, notices: list[Notice]) -> None: ...


class Silent:
    """An announcer for where nobody watches."""

    def announce(self, notices: list[Notice]) -> None:
        pass


class ShardStatus(msgspec.Struct, frozen=True, array_like=True):
    """What a shard is doing, for the dashboard and for metrics."""

    name: str
    partitions: list[str]
    opening: list[str]
    actors: int
    waiting: int
    blocks: int
    entries: int
    flush_ms: float
    """How long the last flush took, in milliseconds."""


class Shard:
    """`mine` is what the directory last said of a partition; `still_mine` asks it again."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        clock: Clock,
        mine: Callable[[str], bool],
        still_mine: Callable[[str], Awaitable[bool]],
        announcer: Announcer,
        max_actors: int = 200_000,
    ) -> None:
        self.name = name
        self.journal = journal
        self.clock = clock
        self.mine = mine
        self.still_mine = still_mine
        self.announcer = announcer
        self.max_actors = max_actors
        self.partitions: dict[str, Partition] = {}
        self.opening: dict[str, asyncio.Task[None]] = {}
        self.draining = False
        self.blocks = 0
        self.entries = 0
        self.flush_ms = 0.0
        self._work = asyncio.Event()
        self._saves: set[asyncio.Task[None]] = set()
        self._flusher = asyncio.ensure_future(self._flush_forever())

    # Having partitions

    def open(self, partition: str) -> None:
        """Begin to open a partition, unless it is open or being opened."""
        if partition in self.partitions or partition in self.opening or self.draining:
            return
        self.opening[partition] = asyncio.ensure_future(self._open(partition))

    async def _open(self, partition: str) -> None:
        try:
            # Asked each time: one who was fenced off must not fence the new owner in turn.
            while not self.draining and await self.still_mine(partition):
                try:
                    opened = await Partition.open(partition, self.journal, self.name, self.clock)
                except JournalUnavailable as unavailable:
                    log.warning("partition_not_opened", partition=partition, why=str(unavailable))
                    await self.clock.sleep(REOPEN_PAUSE_S)
                except BrokenChain as broken:
                    # Never serve from a journal that was tampered with; a person has to look.
                    log.error("partition_broken", partition=partition, why=str(broken))
                    await self.clock.sleep(BROKEN_PAUSE_S)
                except Exception:
                    log.exception("partition_not_replayed", partition=partition)
                    await self.clock.sleep(FAULTY_PAUSE_S)
                else:
                    self.partitions[partition] = opened
                    log.info("partition_opened", partition=partition, seq=opened.head.seq)
                    return
        finally:
            # Closed and opened again meanwhile, it is another task's.
            if self.opening.get(partition) is asyncio.current_task():
                del self.opening[partition]

    def close(self, partition: str) -> None:
        """Stop serving a partition at once; what is not durable is dropped."""
        task = self.opening.pop(partition, None)
        if task is not None:
            task.cancel()
        gone = self.partitions.pop(partition, None)
        if gone is not None:
            gone.fail(f"{partition} has left {self.name}")

    def status(self) -> ShardStatus:
        partitions = self.partitions.values()
        return ShardStatus(
            self.name,
            sorted(self.partitions),
            sorted(self.opening),
            sum(len(partition.seats) for partition in partitions),
            sum(len(partition.entries) for partition in partitions),
            self.blocks,
            self.entries,
            self.flush_ms,
        )

    # Answering

    async def deliver(self, batch: bytes) -> bytes:
        """Answer a batch of encoded items with as many encoded replies, in the same order."""
        return encode_replies(await self.answer(decode_items(batch)))

    async def answer(self, items: list[Item]) -> list[Reply]:
        for _ in range(MAX_LOADS):
            missing = self._missing(items)
            if not missing:
                break
            await asyncio.gather(*(self._bring(name, some) for name, some in missing.items()))
        # From here to the end of the loop nothing is awaited: each decision sees the one before.
        now_ms = self.clock.now_ms()
        used: dict[str, Partition] = {}
        replies = [self._decide(item, now_ms, used) for item in items]
        waits = [(partition, partition.durable()) for partition in used.values()]
        self._work.set()
        durable = {
            partition.name: await self._durable(partition, wait) for partition, wait in waits
        }
        return [
            self._released(reply, durable.get(item.partition))
            for item, reply in zip(items, replies, strict=True)
        ]

    async def _durable(self, partition: Partition, wait: asyncio.Future[int] | None) -> int | None:
        """The block up to which the partition's answers are durable; None if they were lost."""
        if wait is None:
            return None if partition.failed else partition.head.seq
        try:
            return await asyncio.shield(wait)
        except Unavailable:
            return None

    def _missing(self, items: list[Item]) -> dict[str, list[Item]]:
        missing: dict[str, list[Item]] = {}
        for item in items:
            partition = self.partitions.get(item.partition)
            if partition is not None and partition.missing(item):
                missing.setdefault(item.partition, []).append(item)
        return missing

    async def _bring(self, name: str, items: list[Item]) -> None:
        partition = self.partitions.get(name)
        if partition is None:
            return  # dropped meanwhile
        # Where nothing is written no snapshot is taken, and reading alone must not fill memory.
        keep = self._keep()
        if len(partition.seats) > keep + keep // 8:
            partition.passivate(keep)
        try:
            await partition.bring(items)
        except JournalUnavailable as unavailable:
            log.warning("actors_not_loaded", partition=name, why=str(unavailable))

    def _decide(self, item: Item, now_ms: int, used: dict[str, Partition]) -> Reply:
        if self.draining:
            return Reply(Status.NOT_HERE)  # it would never be flushed
        partition = self.partitions.get(item.partition)
        if partition is None:
            if not self.mine(item.partition):
                return Reply(Status.NOT_HERE)
            self.open(item.partition)
            return Reply(Status.OPENING)
        if partition.missing(item):
            return Reply(Status.OPENING)  # the journal did not answer: try again soon
        used[item.partition] = partition
        try:
            return partition.decide(item, now_ms)
        except Exception as impossible:
            # A decision changes nothing, but we can't tell how far applying got: start again
            # from what is durable.
            log.exception("decision_failed", partition=item.partition, item=type(item.message))
            self._drop(partition, f"a decision failed: {impossible}")
            return Reply(Status.FAULTY)

    def _released(self, reply: Reply, durable: int | None) -> Reply:
        if reply.status is not Status.ANSWERED:
            return reply
        if durable is None:
            return Reply(Status.UNKNOWN)
        return Reply(Status.ANSWERED, durable, reply.answer)

    # Flushing

    async def _flush_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while await self._flush():
                pass

    async def _flush(self) -> bool:
        """One commit of all open blocks; whether there was anything."""
        now_ms = self.clock.now_ms()
        sealed: dict[str, Sealed] = {}
        for name, partition in list(self.partitions.items()):
            if partition.wants_flush:
                try:
                    sealed[name] = partition.seal(now_ms, self._wants_snapshot(partition, now_ms))
                except Exception as impossible:
                    # What can't be encoded must not stop the flushes of the others.
                    log.exception("block_not_sealed", partition=name)
                    self._drop(partition, f"a block could not be sealed: {impossible}")
        if not sealed:
            return False
        flushed = {name: self.partitions[name] for name in sealed}
        try:
            accepted = await self.journal.append([block.block for block in sealed.values()])
        except Exception as failure:
            # Whatever it was, it is not known whether the blocks are in.
            if not isinstance(failure, JournalUnavailable):
                log.exception("flush_failed", shard=self.name)
            for partition in flushed.values():
                self._drop(partition, f"the journal failed: {failure}")
            return True
        self.flush_ms = float(self.clock.now_ms() - now_ms)
        notices: list[Notice] = []
        for name, block in sealed.items():
            partition = flushed[name]
            if partition.failed is not None:
                continue
            if name not in accepted:
                self._drop(partition, "another owner has opened the partition")
                continue
            partition.committed(block)
            self._committed(partition, block, notices)
        if notices:
            self.announcer.announce(notices)
        return True

    def _wants_snapshot(self, partition: Partition, now_ms: int) -> bool:
        if partition.saving or not partition.dirty:
            return False
        old = now_ms - partition.dirty_since_ms >= SNAPSHOT_AGE_MS
        return old or len(partition.dirty) >= SNAPSHOT_DIRTY

    def _committed(self, partition: Partition, sealed: Sealed, notices: list[Notice]) -> None:
        self.blocks += 1
        self.entries += sealed.block.count
        events: tuple[AnyEvent, ...] = tuple(
            event for entry in sealed.entries for event in entry.events
        )
        block = sealed.block
        notices.append(Notice(block.recorded_at_ms, partition.name, block.seq, events))
        if sealed.snapshots:
            task = asyncio.ensure_future(self._save(partition, sealed))
            self._saves.add(task)
            task.add_done_callback(self._saves.discard)

    async def _save(self, partition: Partition, sealed: Sealed) -> None:
        await partition.save(sealed)
        partition.passivate(self._keep())

    def _keep(self) -> int:
        """Actors that each partition may have in memory."""
        return self.max_actors // max(1, len(self.partitions))

    def _drop(self, partition: Partition, why: str) -> None:
        """Fail-stop: forget what is tentative and open again from the journal, if still ours."""
        log.warning("partition_dropped", partition=partition.name, why=why)
        partition.fail(why)
        if self.partitions.get(partition.name) is partition:
            del self.partitions[partition.name]
        if self.mine(partition.name):
            self.open(partition.name)

    def drop_all(self, why: str) -> None:
        """Serve nothing of what is open; it is opened again when the journal answers."""
        for partition in list(self.partitions.values()):
            self._drop(partition, why)

    async def check_ownership(self) -> None:
        """Drop what another shard has opened meanwhile.

        A writer finds out by itself, at its next block; this is for partitions that are only
        read, which would else go on answering from the past.
        """
        for name, partition in list(self.partitions.items()):
            if partition.durable() is None:
                mine = partition.head.seq
                head = await self.journal.head(name)
                if head.seq > mine and partition.head.seq == mine and partition.durable() is None:
                    self._drop(partition, "another owner has opened the partition")

    async def drain(self) -> None:
        """Take nothing new, let what waits become durable, and stop."""
        self.draining = True
        for task in self.opening.values():
            task.cancel()
        for partition in list(self.partitions.values()):
            wait = partition.durable()
            if wait is not None:
                self._work.set()
                await asyncio.wait([wait], timeout=5)
        self._flusher.cancel()
        await asyncio.gather(*self._saves, return_exceptions=True)
