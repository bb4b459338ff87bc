"""The directory as an actor: it says who has what, and moves partitions from one to another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog

from actors.runtime import cluster
from actors.runtime.addresses import is_any_shard
from actors.runtime.clock import now_ms
from actors.runtime.directory import Directory, Holdings, Scope
from actors.runtime.hosts.hosted import Hosted
from actors.runtime.router import ShardBusy, ShardUnreachable, View

log = structlog.get_logger()

LEARN_TIMEOUT_S = 2.0
READY_TIMEOUT_S = 1.0
MOVE_TIMEOUT_S = 5.0
"""How long either side of a move may take."""
TELL_TIMEOUT_S = 2.0


class Moved(msgspec.Struct, frozen=True):
    """How a move went."""

    partition: str
    shard: str
    """Who has the partition now."""
    packed_bytes: int
    """What was handed over; 0: it was opened from the journal."""
    pause_ms: float
    """From when the former owner began to hand over until the new one had opened it."""


class DirectoryHost(Hosted):
    """The directory as an actor. One that was started again asks the shards what they have."""

    def __init__(self, scopes: list[Scope]) -> None:
        super().__init__()
        self._directory = Directory(scopes, version=now_ms())
        self._transport = cluster.RayTransport()
        self._ready = asyncio.ensure_future(self._learn())

    async def _learn(self) -> None:
        if not cluster.was_restarted():
            return
        names = {shard for scope in self._directory.scopes.values() for shard in scope.shards}
        names |= {name for name in await cluster.names() if is_any_shard(name)}
        answers = await _all(self._held(name) for name in sorted(names))
        said: dict[str, Holdings | None] = dict(zip(sorted(names), answers, strict=True))
        heard = [held for held in said.values() if held is not None]
        # Whatever our clock says: nobody must take our word for an older one.
        newest = max((held.version for held in heard), default=0)
        self._directory.version = max(self._directory.version, newest)
        self._directory.learn(
            {name: held.partitions for name, held in said.items() if held is not None}
        )

    async def _held(self, shard: str) -> Holdings | None:
        held: Holdings | None = await self._ask(shard, LEARN_TIMEOUT_S, "held")
        return held

    async def _ask(self, shard: str, timeout_s: float, method: str, *arguments: Any) -> Any:
        """What a shard answers, or None if it does not."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._transport.host(shard).call(method, *arguments)
        except (ShardUnreachable, ShardBusy, TimeoutError) as missing:
            log.warning("shard_did_not_answer", shard=shard, asked=method, why=str(missing))
            return None

    async def view(self) -> View:
        await self._ready
        return self._directory.view()

    async def holdings(self, shard: str) -> Holdings:
        """What a shard has, as it asks itself from time to time."""
        await self._ready
        return self._directory.holdings(shard)

    async def move(self, partition: str, shard: str) -> Moved:
        """Move a partition to another shard while it is in use. Raises `UnknownShard`.

        The former owner makes durable what waits and packs the partition, the new one opens it,
        and routers, who are told by the former owner that it is not there any more, find it here.
        If the new owner does not answer it stays where it was.
        """
        await self._ready
        directory = self._directory
        directory.check(partition, shard)
        source = directory.shards[partition]
        if source == shard or not await self._ask(shard, READY_TIMEOUT_S, "ready"):
            return Moved(partition, source, 0, 0.0)
        directory.begin(partition, shard)
        arrived, packed = source, b""
        loop = asyncio.get_running_loop()
        try:
            lighten = self._ask(source, MOVE_TIMEOUT_S, "lighten", partition)
            await lighten
            began = loop.time()
            version = directory.version
            hand_over = self._ask(source, MOVE_TIMEOUT_S, "hand_over", partition, version)
            packed = await hand_over or b""
            version = directory.version
            take = self._ask(shard, MOVE_TIMEOUT_S, "take", partition, packed, version)
            if await take:
                arrived = shard
        finally:
            directory.end(partition, arrived)
        pause_ms = 1000 * (loop.time() - began)
        log.info("partition_moved", partition=partition, to=arrived, pause_ms=f"{pause_ms:.1f}")
        if arrived == source:
            await self._tell([source])
        return Moved(partition, arrived, len(packed), round(pause_ms, 1))

    async def replace(self, shard: str, owners: Mapping[str, str]) -> None:
        """Give partitions of a shard that does not answer to others, without asking it.

        The journal fences it off, should it wake; and when it asks here what it has it learns that
        it has nothing.
        """
        await self._ready
        directory = self._directory
        for partition, owner in owners.items():
            if directory.shards.get(partition) == shard and partition not in directory.moving:
                directory.move(partition, owner)
        await self._tell(set(owners.values()))

    async def _tell(self, shards: Iterable[str]) -> None:
        await _all(
            self._ask(shard, TELL_TIMEOUT_S, "assign", self._directory.holdings(shard))
            for shard in shards
        )


async def _all(work: Iterable[Any]) -> list[Any]:
    return list(await asyncio.gather(*work))
