"""The way to the actors: a lane for each shard, in which what waits goes together.

A lane has a batch under way, and a second beside it once enough waits to be worth a call. What
arrives meanwhile waits and goes with the next one, so batches grow with load and nothing waits when
there is none. Every queue has a bound.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Any, Protocol

import msgspec
import structlog

from actors.base import Command, Question
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
"""Items that have to wait before a batch is sent beside the one under way. A call costs more than
all that is in a small batch: at 64 connections one call at a time has 19 items, two have 12."""
MAX_BATCH = 1_000
MAX_QUEUED = 10_000
"""Items that may wait in one lane."""
MAX_QUEUED_FOR_ONE = 2_000
"""Items under way to one routing id: a hot match turns its own bets away, nobody else's."""
DELIVERY_TIMEOUT_S = 15.0
PATIENCE_MS = 5_000
"""How long an item waits for a partition that is being opened or has moved."""
PAUSE_S = 0.05


class View(msgspec.Struct, frozen=True, array_like=True):
    """The directory's answer: how many partitions each scope has, and which shard has which."""

    version: int
    counts: dict[str, int]
    shards: dict[str, str]
    """Shard by partition."""


class ShardUnreachable(Exception):
    """The shard did not take the batch, or died with it."""


class ShardBusy(Exception):
    """The shard has more batches waiting than it may. Nothing was done."""


class Transport(Protocol):
    """How a batch gets to a shard."""

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        """Raises `ShardBusy`, or `ShardUnreachable`: then it is not known what was done."""
        ...

    async def view(self) -> View:
        """What the directory says now."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """`block_seq`: the answer is durable in this block of `partition`, or in one before it."""

    reply: Any
    partition: str
    block_seq: int


class Waiting:
    __slots__ = ("done", "item", "routing_id")

    def __init__(self, item: Item, routing_id: str, done: asyncio.Future[Reply]) -> None:
        self.item = item
        self.routing_id = routing_id
        self.done = done


class Lane:
    """What goes to one shard."""

    def __init__(self, shard: str, transport: Transport) -> None:
        self.shard = shard
        self.transport = transport
        self.queue: deque[Waiting] = deque()
        self.in_flight: set[asyncio.Task[None]] = set()

    def put(self, waiting: Waiting) -> None:
        if len(self.queue) >= MAX_QUEUED:
            raise Overloaded(f"the queue to {self.shard} is full")
        self.queue.append(waiting)
        if len(self.queue) in (1, WORTH_A_SECOND):
            # At the end of this turn of the loop, so that what arrives in it goes together.
            asyncio.get_running_loop().call_soon(self._send)

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
            encoded = encode_items([waiting.item for waiting in batch])
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                replies = decode_replies(await self.transport.deliver(self.shard, encoded))
        except ShardBusy:
            replies = [Reply(Status.OVERLOADED)] * len(batch)
        except (ShardUnreachable, TimeoutError) as unreachable:
            log.warning("shard_unreachable", shard=self.shard, why=str(unreachable))
            replies = [Reply(Status.UNKNOWN)] * len(batch)
        except Exception:
            log.exception("lane_failed", shard=self.shard)
            replies = [Reply(Status.UNKNOWN)] * len(batch)
        for waiting, reply in zip(batch, replies, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(reply)


class Router:
    """Finds the shard of a message and brings back the answer."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self.transport = transport
        self.clock = clock
        self.lanes: dict[str, Lane] = {}
        self.view: View | None = None
        self._refreshing: asyncio.Task[View] | None = None
        self._busy: Counter[str] = Counter()
        self._told: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        scope: str,
        routing_id: str,
        message: Command | Question,
        *,
        key: str = "",
        fingerprint: bytes = b"",
        by: str = "",
    ) -> Answer:
        """Send one message and wait for its answer, which is durable.

        `key` and `fingerprint` make a command safe to repeat. Raises `Unavailable`, `Overloaded`,
        `KeyReused` or `Faulty`; a refusal is an answer.
        """
        if self._busy[routing_id] >= MAX_QUEUED_FOR_ONE:
            raise Overloaded(f"too much waits for {routing_id}")
        self._busy[routing_id] += 1
        try:
            return await self._ask(scope, routing_id, message, key, fingerprint, by)
        finally:
            self._busy[routing_id] -= 1
            if not self._busy[routing_id]:
                del self._busy[routing_id]

    async def _ask(
        self, scope: str, routing_id: str, message: Any, key: str, fingerprint: bytes, by: str
    ) -> Answer:
        view = self.view or await self.refresh()
        partition = partition_of(scope, routing_id, view.counts[scope])
        item = Item(partition, message, key, fingerprint, by)
        give_up_ms = self.clock.now_ms() + PATIENCE_MS
        while True:
            reply = await self._deliver(item, routing_id)
            if reply.status is Status.ANSWERED:
                return Answer(reply.answer, partition, reply.block_seq)
            if reply.status is Status.KEY_REUSED:
                raise KeyReused(key)
            if reply.status is Status.OVERLOADED:
                raise Overloaded(f"too much waits for {partition}")
            if reply.status is Status.FAULTY:
                raise Faulty(f"{type(message).__name__} failed")
            if reply.status is Status.UNKNOWN:
                raise Unavailable(f"{partition} did not answer")
            # Nothing was done yet: the partition is opening, or is somewhere else.
            if self.clock.now_ms() >= give_up_ms:
                raise Unavailable(f"{partition} is not open")
            await self.clock.sleep(PAUSE_S)
            if reply.status is Status.NOT_HERE:
                await self.refresh()

    async def _deliver(self, item: Item, routing_id: str) -> Reply:
        assert self.view is not None
        shard = self.view.shards[item.partition]
        lane = self.lanes.get(shard)
        if lane is None:
            lane = self.lanes[shard] = Lane(shard, self.transport)
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        lane.put(Waiting(item, routing_id, done))
        return await done

    def tell(self, scope: str, routing_id: str, message: Question) -> None:
        """Send a message whose answer nobody waits for. It may be lost."""
        task = asyncio.ensure_future(self._tell(scope, routing_id, message))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell(self, scope: str, routing_id: str, message: Question) -> None:
        try:
            await self.ask(scope, routing_id, message)
        except (Unavailable, Overloaded, Faulty) as lost:
            log.info("not_told", message=type(message).__name__, why=str(lost))

    async def refresh(self) -> View:
        """Ask the directory again; those who ask at the same time share one answer."""
        if self._refreshing is None:
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
            self.view = view
        return self.view

    def _refreshed(self, task: asyncio.Task[View]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()

    def queued(self) -> int:
        """Items waiting in all lanes, for metrics."""
        return sum(len(lane.queue) for lane in self.lanes.values())
