"""A shard: the host of some partitions of one scope, and the one who flushes them.

A batch is answered when everything in it is durable. All open blocks of the shard go to the
journal in one commit; while it is under way the next blocks fill. There is no timer: under load
batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec
import structlog

from actors.entries import AnyEvent
from actors.runtime.clock import Clock
from actors.runtime.partition import OVERTAKEN, Partition, Sealed
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
DRAIN_S = 5.0
"""How long a shard that stops waits for the journal."""
LIGHT = 100
"""Changed actors that are packed in no time."""
LIGHTEN_LOOKS = 100
LIGHTEN_PAUSE_S = 0.002
"""With the figure above: how long snapshots are waited for before a partition moves."""
HAND_OVER_S = 3.0
"""How long the last block of a partition, or its opening, may take in a move."""
MAX_LOADS = 5
"""Times a batch's actors are brought into memory before the item is given up as unavailable."""


_OPENING = Reply(Status.OPENING)
_NOT_HERE = Reply(Status.NOT_HERE)
_FAULTY = Reply(Status.FAULTY)
_UNKNOWN = Reply(Status.UNKNOWN)


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
        self.leaving: dict[str, Partition] = {}
        self.draining = False
        self.sampled: dict[str, int] = {}
        """Items answered since somebody last looked, by the owner of the first in each batch."""
        self.blocks = 0
        self.entries = 0
        self.flush_ms = 0.0
        self._work = asyncio.Event()
        self._flushed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._saves: set[asyncio.Task[None]] = set()
        self._flusher = asyncio.ensure_future(self._flush_forever())

    # Having partitions

    def open(self, partition: str) -> None:
        """Begin to open a partition, unless it is open or being opened."""
        if partition in self.partitions or partition in self.opening or self.draining:
            return
        self.opening[partition] = asyncio.ensure_future(self._open(partition))

    async def _open(self, partition: str, packed: bytes = b"") -> None:
        try:
            # Asked each time: one who was fenced off must not fence the new owner in turn.
            while not self.draining and (packed or await self.still_mine(partition)):
                was_packed, packed = packed, b""
                try:
                    opened = await Partition.open(
                        partition, self.journal, self.name, self.clock, was_packed
                    )
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
            self._wake()

    async def lighten(self, name: str) -> None:
        """Save what has changed in a partition, while it is served: little is then left to pack."""
        partition = self.partitions.get(name)
        if partition is None or len(partition.dirty) < LIGHT:
            return
        partition.dirty_since_ms = 0  # so that its next flush takes snapshots
        for _ in range(LIGHTEN_LOOKS):
            if partition.failed or (partition.dirty_since_ms and not partition.saving):
                break
            await self.clock.sleep(LIGHTEN_PAUSE_S)

    async def hand_over(self, name: str) -> bytes:
        """Stop serving a partition that is to be another shard's, and pack it for that one.

        What was taken here becomes durable and is answered first. Empty where nothing can be
        packed: then it is opened from the journal.
        """
        partition = self.partitions.pop(name, None)
        if partition is None:
            self.close(name)
            return b""
        self.leaving[name] = partition
        try:
            async with asyncio.timeout(HAND_OVER_S):
                while partition.failed is None and not partition.at_rest:
                    self._work.set()
                    await asyncio.shield(self._flushed)
                while partition.saving:
                    await self.clock.sleep(LIGHTEN_PAUSE_S)
            return b"" if partition.failed else partition.pack()
        except TimeoutError:
            log.warning("partition_not_packed", partition=name)
            return b""
        finally:
            del self.leaving[name]
            partition.fail(f"{name} has left {self.name}")
            self._wake()

    async def take(self, name: str, packed: bytes) -> bool:
        """Open a partition as its former owner has packed it; whether it is open."""
        self.close(name)
        if not self.draining:
            opening = self.opening[name] = asyncio.ensure_future(self._open(name, packed))
            await asyncio.wait({opening}, timeout=HAND_OVER_S)
        return name in self.partitions

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
        """Answer items in their order, when everything that the answers rest on is durable."""
        if items:
            owner = items[0].message.cast()[0]
            self.sampled[owner] = self.sampled.get(owner, 0) + len(items)
        replies: list[Reply] = [_OPENING] * len(items)
        rests: list[Partition | None] = [None] * len(items)
        cold = self._decide_all(items, range(len(items)), replies, rests)
        for _ in range(MAX_LOADS):
            if not cold:
                break
            await self._bring(items[at] for at in cold)
            cold = self._decide_all(items, cold, replies, rests)
        tips: dict[Partition, int] = {}
        for partition, reply in zip(rests, replies, strict=True):
            if partition is not None:
                tips[partition] = max(reply.block_seq, tips.get(partition, 0))
        for partition, tip in tips.items():
            while partition.failed is None and partition.head.seq < tip:
                await asyncio.shield(self._flushed)
        # One that has failed, or left, has still kept what is durable.
        return [
            reply if partition is None or partition.head.seq >= reply.block_seq else _UNKNOWN
            for partition, reply in zip(rests, replies, strict=True)
        ]

    def _decide_all(
        self,
        items: list[Item],
        which: Iterable[int],
        replies: list[Reply],
        rests: list[Partition | None],
    ) -> list[int]:
        """Decide some of the items; those whose actors have to be brought first are returned.

        Nothing is awaited: each decision sees the one before.
        """
        now_ms = self.clock.now_ms()
        cold: list[int] = []
        for at in which:
            item = items[at]
            partition = self.partitions.get(item.partition)
            if partition is None or self.draining:
                replies[at] = self._not_open(item.partition)
                continue
            reply = self._decide(partition, item, now_ms)
            if reply is None:
                cold.append(at)
            else:
                replies[at] = reply
                if reply.status is Status.ANSWERED:
                    rests[at] = partition
        self._work.set()
        return cold

    def _not_open(self, partition: str) -> Reply:
        if self.draining or not self.mine(partition):
            return _NOT_HERE  # while draining it would never be flushed
        self.open(partition)
        return _OPENING

    def _decide(self, partition: Partition, item: Item, now_ms: int) -> Reply | None:
        try:
            return partition.decide(item, now_ms)
        except Exception as impossible:
            # A decision changes nothing, but we can't tell how far applying got: start again
            # from what is durable.
            log.exception("decision_failed", partition=item.partition, item=type(item.message))
            self._drop(partition, f"a decision failed: {impossible}")
            return _FAULTY

    async def _bring(self, items: Iterable[Item]) -> None:
        """Bring the actors of some items into memory; what can't be brought stays away."""
        cold: dict[str, list[Item]] = {}
        for item in items:
            cold.setdefault(item.partition, []).append(item)
        await asyncio.gather(*(self._bring_to(name, some) for name, some in cold.items()))

    async def _bring_to(self, name: str, items: list[Item]) -> None:
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
        if partition.failed == OVERTAKEN and self.partitions.get(name) is partition:
            self._drop(partition, OVERTAKEN)

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
        open_here = self.partitions | self.leaving
        due = self._due_for_snapshot(open_here.values(), now_ms)
        for name, partition in open_here.items():
            if partition.wants_flush:
                try:
                    sealed[name] = partition.seal(now_ms, partition is due)
                except Exception as impossible:
                    # What can't be encoded must not stop the flushes of the others.
                    log.exception("block_not_sealed", partition=name)
                    self._drop(partition, f"a block could not be sealed: {impossible}")
        if not sealed:
            return False
        flushed = {name: open_here[name] for name in sealed}
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
                self._drop(partition, OVERTAKEN)
                continue
            partition.committed(block)
            self._committed(partition, block, notices)
        self._wake()
        if notices:
            self.announcer.announce(notices)
        return True

    def _wake(self) -> None:
        """Let those who wait for a block look where their partition is now."""
        flushed, self._flushed = self._flushed, asyncio.get_running_loop().create_future()
        flushed.set_result(None)

    def _due_for_snapshot(self, partitions: Iterable[Partition], now_ms: int) -> Partition | None:
        """The partition that has waited longest for its snapshot; one in each flush.

        Encoding 2,000 actors takes 6 ms in which nobody is answered, and under a steady load all
        partitions come to their turn at the same time.
        """
        due = [
            partition
            for partition in partitions
            if partition.wants_flush and self._wants_snapshot(partition, now_ms)
        ]
        return min(due, key=lambda partition: partition.dirty_since_ms, default=None)

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
        self._wake()
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
            if partition.at_rest:
                mine = partition.head.seq
                head = await self.journal.head(name)
                if head.seq > mine and partition.head.seq == mine and partition.at_rest:
                    self._drop(partition, OVERTAKEN)

    def die(self, why: str) -> None:
        """As if the process had ended: nothing is answered or written any more."""
        self.draining = True
        self._flusher.cancel()
        for partition in self.partitions.values():
            partition.fail(why)
        self._wake()

    async def drain(self) -> None:
        """Take nothing new, let what waits become durable, and stop."""
        self.draining = True
        for task in self.opening.values():
            task.cancel()
        self._work.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not all(partition.at_rest for partition in self.partitions.values()):
                    await asyncio.shield(self._flushed)
        self._flusher.cancel()
        for partition in self.partitions.values():
            if not partition.at_rest:
                partition.fail(f"{self.name} has stopped")
        self._wake()
        await asyncio.gather(*self._saves, return_exceptions=True)
