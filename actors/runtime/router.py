"""The way to the actors: a lane for each shard, in which what waits goes together.

A lane has a batch under way, and a second beside it once enough waits to be worth one. What
arrives meanwhile waits and goes with the next one, so batches grow with load and nothing waits when
there is none. Every queue has a bound.

What became of a batch may not be known: its shard died, or its partition failed. The router sends
such an item again, for as long as it has patience, if that is safe: a question, or a command with a
key, whose first answer is given again. So a client sees a shard's death as a delay.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import structlog

from actors.base import Question, Several
from actors.errors import Faulty, KeyReused, Overloaded, Unavailable
from actors.runtime.addresses import partition_of
from actors.runtime.clock import Clock
from actors.runtime.wire import (
    Item,
    Reply,
    Status,
    decode_replies,
    encode_items,
)

log = structlog.get_logger()

IN_FLIGHT = 2
"""Batches of one lane under way at once."""
WORTH_A_SECOND = 32
"""Items that have to wait before a batch is sent beside the one under way."""
MAX_BATCH = 1_000
MAX_QUEUED = 10_000
"""Items that may wait in one lane."""
MAX_QUEUED_FOR_ONE = 2_000
"""Items under way to one routing id: a hot match turns its own bets away, nobody else's."""
DELIVERY_TIMEOUT_S = 5.0
LOOK_S = 0.5
"""After so long without an answer the directory is asked whether the shard still has the work."""
PATIENCE_MS = 5_000
"""How long an item waits for a partition that is being opened, has moved, or failed."""
FIRST_PAUSE_S = 0.004
PAUSE_S = 0.02
"""Between attempts, at first and later: a partition that moves is away for some milliseconds."""


class View(msgspec.Struct, frozen=True, array_like=True):
    """The directory's answer: how many partitions each scope has, and which shard has which."""

    version: int
    counts: dict[str, int]
    shards: dict[str, str]
    """Shard by partition."""


class ShardUnreachable(Exception):
    """The shard did not take the batch, or died with it."""


class ShardAbsent(ShardUnreachable):
    """There is no way to the shard now. Nothing was done."""


class ShardBusy(Exception):
    """The shard has more batches waiting than it may. Nothing was done."""


class Transport(Protocol):
    """How a batch gets to a shard."""

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        """Raises `ShardBusy` or `ShardAbsent`: nothing was done. Raises `ShardUnreachable`: then
        it is not known what was done."""
        ...

    async def view(self) -> View:
        """What the directory says now."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """`block_seq`: the answer is durable in this block of `partition`, or in one before it."""

    reply: Any
    partition: str
    block_seq: int


def _encoded(batch: list[Waiting]) -> tuple[list[Waiting], bytes]:
    """The batch as bytes, without what can't be encoded: that fails alone."""
    try:
        return batch, encode_items([waiting.item for waiting in batch])
    except (OverflowError, TypeError, ValueError):
        good = []
        for waiting in batch:
            try:
                encode_items([waiting.item])
            except (OverflowError, TypeError, ValueError) as wrong:
                log.warning("item_not_encoded", item=type(waiting.item.message), why=str(wrong))
                waiting.answer(_FAULTY)
            else:
                good.append(waiting)
        return good, encode_items([waiting.item for waiting in good])


_NOT_HERE = Reply(Status.NOT_HERE)
_FAULTY = Reply(Status.FAULTY)
_OVERLOADED = Reply(Status.OVERLOADED)
_UNKNOWN = Reply(Status.UNKNOWN)


class Waiting:
    """An item in a lane; nobody waits for the answer of one that was only told."""

    __slots__ = ("done", "item")

    def __init__(self, item: Item, done: asyncio.Future[Reply] | None) -> None:
        self.item = item
        self.done = done

    def answer(self, reply: Reply) -> None:
        if self.done is None:
            if reply.status is not Status.ANSWERED:
                told = type(self.item.message).__name__
                log.info("not_told", message=told, status=reply.status.name)
        elif not self.done.done():
            self.done.set_result(reply)


class Lane:
    """What goes to one shard."""

    def __init__(self, shard: str, router: Router) -> None:
        self.shard = shard
        self.router = router
        self.queue: deque[Waiting] = deque()
        self.in_flight: set[asyncio.Task[None]] = set()

    def put(self, waiting: Waiting) -> None:
        if len(self.queue) >= MAX_QUEUED:
            raise Overloaded(f"the queue to {self.shard} is full")
        self.queue.append(waiting)
        if len(self.queue) in (1, WORTH_A_SECOND):
            # At the end of this turn of the loop, so that what arrives in it goes together.
            self.router.loop.call_soon(self._send)

    def _send(self) -> None:
        while self._may_send():
            batch = [self.queue.popleft() for _ in range(min(MAX_BATCH, len(self.queue)))]
            task = asyncio.ensure_future(self._carry(batch))
            self.in_flight.add(task)
            task.add_done_callback(self._returned)

    def _may_send(self) -> bool:
        if not self.in_flight:
            return bool(self.queue)
        return len(self.in_flight) < IN_FLIGHT and len(self.queue) >= WORTH_A_SECOND

    def _returned(self, task: asyncio.Task[None]) -> None:
        self.in_flight.discard(task)
        self._send()

    async def _carry(self, batch: list[Waiting]) -> None:
        try:
            batch, encoded = _encoded(batch)
            replies = decode_replies(await self._deliver(encoded))
        except ShardBusy:
            replies = [_OVERLOADED] * len(batch)
        except ShardAbsent as absent:
            log.info("shard_absent", shard=self.shard, why=str(absent))
            replies = [_NOT_HERE] * len(batch)
        except (ShardUnreachable, TimeoutError) as unreachable:
            log.warning("shard_unreachable", shard=self.shard, why=str(unreachable))
            replies = [_UNKNOWN] * len(batch)
        except Exception:
            log.exception("lane_failed", shard=self.shard)
            replies = [_UNKNOWN] * len(batch)
        for waiting, reply in zip(batch, replies, strict=True):
            if waiting.done is None and reply.status in (Status.NOT_HERE, Status.OPENING):
                self.router.tell_again(waiting.item, reply)
            else:
                waiting.answer(reply)

    async def _deliver(self, encoded: bytes) -> bytes:
        """As the transport does it, but given up when the shard is out of work or out of time."""
        carrying = asyncio.ensure_future(self.router.transport.deliver(self.shard, encoded))
        give_up_at = self.router.loop.time() + DELIVERY_TIMEOUT_S
        try:
            while not (await asyncio.wait({carrying}, timeout=LOOK_S))[0]:
                if self.router.loop.time() >= give_up_at:
                    raise TimeoutError(f"no answer within {DELIVERY_TIMEOUT_S:.0f} s")
                looking = asyncio.ensure_future(self.router.has_work(self.shard))
                await asyncio.wait({carrying, looking}, return_when=asyncio.FIRST_COMPLETED)
                if looking.done() and not looking.result():
                    raise ShardUnreachable("its partitions were given to others")
                looking.cancel()
            return carrying.result()
        finally:
            carrying.cancel()

    def abandon(self) -> None:
        """The shard has no partitions any more: what waits for it finds another way."""
        waiting = list(self.queue)
        self.queue.clear()
        for one in waiting:
            one.answer(_NOT_HERE)


class Router:
    """Finds the shard of a message and brings back the answer."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self.transport = transport
        self.clock = clock
        self.lanes: dict[str, Lane] = {}
        self.view: View | None = None
        self.loop: asyncio.AbstractEventLoop
        """Kept, once there is a view: Python asks the kernel each time it is asked for it."""
        self._refreshing: asyncio.Task[View] | None = None
        self._busy: dict[str, int] = {}
        self._told: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        scope: str,
        routing_id: str,
        message: Any,
        *,
        key: str = "",
        fingerprint: bytes = b"",
        by: str = "",
        why: str = "",
    ) -> Answer:
        """Send one command or question and wait for its answer, which is durable.

        `key` and `fingerprint` make a command safe to repeat; `by` and `why` stand in the audit.
        Raises `Unavailable`, `Overloaded`, `KeyReused` or `Faulty`; a refusal is an answer.
        """
        busy = self._busy
        under_way = busy.get(routing_id, 0)
        if under_way >= MAX_QUEUED_FOR_ONE:
            raise Overloaded(f"too much waits for {routing_id}")
        if self.view is None:
            await self.refresh()
            under_way = busy.get(routing_id, 0)
        busy[routing_id] = under_way + 1
        try:
            item = Item(self._partition(scope, routing_id), message, key, fingerprint, by, why)
            reply = await self._put(item)
            if reply.status is not Status.ANSWERED:
                reply = await self._insist(item, reply)
            return Answer(reply.answer, item.partition, reply.block_seq)
        finally:
            under_way = busy[routing_id] - 1
            if under_way:
                busy[routing_id] = under_way
            else:
                del busy[routing_id]

    async def partitions(self, scope: str, routing_ids: Sequence[str]) -> list[str]:
        """The partition of each: those that have the same one may be asked together."""
        if self.view is None:
            await self.refresh()
        return [self._partition(scope, routing_id) for routing_id in routing_ids]

    def tell(self, scope: str, routing_id: str, message: Any) -> None:
        """Send a question whose answer nobody waits for. It may be lost."""
        if self.view is None:
            return
        item = Item(self._partition(scope, routing_id), message)
        try:
            self._lane(item.partition).put(Waiting(item, None))
        except Overloaded as lost:
            log.info("not_told", message=type(message).__name__, why=str(lost))

    def tell_again(self, item: Item, reply: Reply) -> None:
        """What was told where its partition is not: try again, with the patience of a question."""
        task = asyncio.ensure_future(self._tell_again(item, reply))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell_again(self, item: Item, reply: Reply) -> None:
        try:
            await self._insist(item, reply)
        except (Unavailable, Overloaded, Faulty) as lost:
            log.info("not_told", message=type(item.message).__name__, why=str(lost))

    def _partition(self, scope: str, routing_id: str) -> str:
        assert self.view is not None
        return partition_of(scope, routing_id, self.view.counts[scope])

    def _lane(self, partition: str) -> Lane:
        assert self.view is not None
        shard = self.view.shards[partition]
        lane = self.lanes.get(shard)
        if lane is None:
            lane = self.lanes[shard] = Lane(shard, self)
        return lane

    def _put(self, item: Item) -> asyncio.Future[Reply]:
        done: asyncio.Future[Reply] = self.loop.create_future()
        self._lane(item.partition).put(Waiting(item, done))
        return done

    async def _insist(self, item: Item, reply: Reply) -> Reply:
        """Try again where that is safe, until there is an answer or patience ends."""
        give_up_ms = self.clock.now_ms() + PATIENCE_MS
        safe = bool(item.key) or isinstance(item.message, Question | Several)
        unknown = False
        pause_s = FIRST_PAUSE_S
        while reply.status is not Status.ANSWERED:
            if reply.status is Status.KEY_REUSED:
                raise KeyReused(item.key)
            if reply.status is Status.OVERLOADED and not unknown:
                raise Overloaded(f"too much waits for {item.partition}")
            if reply.status is Status.FAULTY and not unknown:
                raise Faulty(f"{type(item.message).__name__} failed")
            unknown |= reply.status is Status.UNKNOWN
            if unknown and not safe:
                raise Unavailable(f"{item.partition} did not answer")
            if self.clock.now_ms() >= give_up_ms:
                why = "did not answer" if unknown else "is not open"
                raise Unavailable(f"{item.partition} {why}")
            if reply.status is Status.OPENING or not await self._has_moved(item.partition):
                await self.clock.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S)
            try:
                reply = await self._put(item)
            except Overloaded:
                # Nothing was done this time; but an earlier one may have been.
                reply = _OVERLOADED
        return reply

    async def _has_moved(self, partition: str) -> bool:
        """Whether the directory says something new of the partition."""
        assert self.view is not None
        asked = self.view.shards[partition]
        return (await self.refresh()).shards[partition] != asked

    async def has_work(self, shard: str) -> bool:
        """Whether the directory still gives the shard any partition."""
        view = await self.refresh()
        return shard in view.shards.values()

    async def refresh(self) -> View:
        """Ask the directory again; those who ask at the same time share one answer."""
        if self._refreshing is None:
            self.loop = asyncio.get_running_loop()
            self._refreshing = asyncio.ensure_future(self._refresh())
            self._refreshing.add_done_callback(self._refreshed)
        return await asyncio.shield(self._refreshing)

    async def _refresh(self) -> View:
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                view = await self.transport.view()
        except (ShardUnreachable, ShardBusy, TimeoutError) as unreachable:
            if self.view is not None:
                return self.view  # an old view is corrected by the shards
            raise Unavailable(f"the directory does not answer: {unreachable}") from None
        if self.view is None or view.version >= self.view.version:
            self._take(view)
        assert self.view is not None
        return self.view

    def _take(self, view: View) -> None:
        self.view = view
        at_work = set(view.shards.values())
        for shard, lane in list(self.lanes.items()):
            if shard not in at_work:
                lane.abandon()

    def _refreshed(self, task: asyncio.Task[View]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()

    def queued(self) -> int:
        """Items waiting in all lanes, for metrics."""
        return sum(self.depths().values())

    def depths(self) -> dict[str, int]:
        """Items waiting, by the shard that they wait for."""
        return {shard: len(lane.queue) for shard, lane in self.lanes.items()}
