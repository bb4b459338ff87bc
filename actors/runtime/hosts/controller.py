"""The controller as an actor: it looks at every shard, and has done what `Controller` decides."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog

from actors.runtime import cluster
from actors.runtime.addresses import home_of, is_any_shard, scope_of
from actors.runtime.clock import now_ms
from actors.runtime.controller import (
    Action,
    AddShard,
    Bounds,
    Controller,
    DrainShard,
    IsolatePartition,
    MovePartition,
    Night,
    RemoveShard,
    ReplaceShard,
    Seen,
    State,
)
from actors.runtime.hosts.directory import Moved
from actors.runtime.hosts.hosted import HostConfig, Hosted
from actors.runtime.hosts.shard import Report, ShardHost
from actors.runtime.router import ShardBusy, ShardUnreachable, View
from actors.runtime.wire import encode_items

log = structlog.get_logger()

LOOK_S = 0.2
NAMES_S = 2.0
"""How often it is asked which shards there are, and where there is room for more."""
REPORT_S = 1.0
"""How often a shard is asked how it goes."""
SILENT_S = 1.5
"""A shard that does not answer for so long is silent."""
NOTHING = encode_items([])
STARTING_S = 20.0
"""How long a shard that was never heard may be on its way before it counts as silent."""
CALL_TIMEOUT_S = 12.0
DRAIN_TIMEOUT_S = 15.0
REMEMBERED = 100
"""Decisions that are shown."""


class Decision(msgspec.Struct, frozen=True):
    """Something that was done, and how it went."""

    at_ms: int
    action: str
    why: str
    outcome: str


class ShardSeen(msgspec.Struct, frozen=True):
    """A shard as `grandstand status` shows it."""

    name: str
    state: str
    scope: str
    partitions: list[str]
    """Its partitions, as the directory has it."""
    draining: bool
    report: Report | None
    """The last one there was."""


class Status(msgspec.Struct, frozen=True):
    """What the controller knows, for people and for metrics."""

    shards: list[ShardSeen]
    moves: int
    """Since this controller started."""
    longest_pause_ms: float
    """The longest that a partition did not serve while it moved."""
    replaced: int
    decisions: list[Decision]
    """The last ones, newest first."""


class _Watched:
    """One shard under observation."""

    def __init__(self, name: str, task: asyncio.Task[None], since_s: float) -> None:
        self.name = name
        self.task = task
        self.since_s = since_s
        self.state = State.STARTING
        self.was_live = False
        self.report: Report | None = None
        self.reported_s = -REPORT_S


class ControllerHost(Hosted):
    """Restartable: what it remembers is seen again within a minute."""

    def __init__(self, bounds: Bounds, config: HostConfig) -> None:
        super().__init__()
        self._config = config
        self._controller = Controller(bounds)
        self._directory = cluster.Host(cluster.DIRECTORY)
        self._transport = cluster.RayTransport()
        self._watched: dict[str, _Watched] = {}
        self._roomy: frozenset[str] = frozenset()
        self._view: View | None = None
        self._alarm = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._decisions: deque[Decision] = deque(maxlen=REMEMBERED)
        self._moves = 0
        self._replaced = 0
        self._longest_pause_ms = 0.0
        self._tasks = [
            asyncio.ensure_future(self._find_shards()),
            asyncio.ensure_future(self._run()),
        ]

    # Seeing

    async def _find_shards(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                names = {name for name in await cluster.names() if is_any_shard(name)}
                if self._view is not None:
                    names |= set(self._view.shards.values())
                self._roomy = (
                    frozenset(self._config.databases)
                    if self._config.grows
                    else await cluster.room_for(self._config.databases)
                )
                for name in sorted(names - set(self._watched)):
                    task = asyncio.ensure_future(self._watch(name))
                    self._watched[name] = _Watched(name, task, loop.time())
                for name in sorted(set(self._watched) - names):
                    self._watched.pop(name).task.cancel()
            except Exception as failure:
                log.warning("shards_not_listed", why=str(failure))
            await asyncio.sleep(NAMES_S)

    async def _watch(self, name: str) -> None:
        """Ask a shard several times a second whether it lives, on a connection as routers have.

        The end of that connection is seen at once; a call through Ray takes a second to fail.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            watched = self._watched.get(name)
            if watched is None:
                continue
            try:
                await self._look(watched)
            except Exception:
                # Nobody else looks: it would stay for ever what it was, alive or dead.
                log.exception("shard_not_looked_at", shard=name)

    async def _look(self, watched: _Watched) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(SILENT_S):
                await self._transport.deliver(watched.name, NOTHING)
            state = State.LIVE
        except (ShardUnreachable, ShardBusy):
            state = State.DEAD
        except TimeoutError:
            if loop.time() - began > SILENT_S + LOOK_S:
                return  # it is this loop that was late
            state = State.SILENT
        if state is State.LIVE:
            watched.was_live = True
            if loop.time() - watched.reported_s >= REPORT_S:
                watched.reported_s = loop.time()
                await self._hear(watched)
        elif not watched.was_live and loop.time() - watched.since_s < STARTING_S:
            state = State.STARTING
        if state is not watched.state:
            log.info("shard_is", shard=watched.name, state=state)
            watched.state = state
            self._alarm.set()

    async def _hear(self, watched: _Watched) -> None:
        try:
            async with asyncio.timeout(SILENT_S):
                watched.report = await cluster.Host(watched.name).call("report")
        except (ShardUnreachable, ShardBusy, TimeoutError) as missing:
            log.info("shard_did_not_report", shard=watched.name, why=str(missing))

    def _night(self, view: View) -> Night:
        return Night(
            now_ms(),
            tuple(_seen(watched) for _, watched in sorted(self._watched.items())),
            view.shards,
            self._roomy,
        )

    # Doing

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    self._view = await self._directory.call("view")
                if self._watched:
                    self._do(self._controller.decide(self._night(self._view)))
            except (ShardUnreachable, ShardBusy, TimeoutError) as missing:
                log.warning("directory_not_there", why=str(missing))
            except Exception:
                log.exception("controller_failed")
            self._alarm.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._alarm.wait()

    def _do(self, actions: list[Action]) -> None:
        """The dead are replaced at once; for the rest, one thing after the other."""
        urgent = [action for action in actions if isinstance(action, ReplaceShard)]
        for action in urgent:
            self._tasks.append(asyncio.ensure_future(self._carry_out([action])))
        rest = [action for action in actions if not isinstance(action, ReplaceShard)]
        if rest and (self._work is None or self._work.done()):
            self._work = asyncio.ensure_future(self._carry_out(rest))
        self._tasks = [task for task in self._tasks if not task.done()]

    async def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            try:
                outcome = await self._act(action)
            except Exception as failure:
                outcome = f"failed: {failure}"
            decision = Decision(now_ms(), _told(action), action.why, outcome)
            self._decisions.appendleft(decision)
            log.info("decided", action=decision.action, why=decision.why, outcome=outcome)

    async def _act(self, action: Action) -> str:
        match action:
            case MovePartition(partition, shard) | IsolatePartition(partition, shard):
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    moved: Moved = await self._directory.call("move", partition, shard)
                if moved.shard != shard:
                    return f"it stays on {moved.shard}"
                self._moves += 1
                self._longest_pause_ms = max(self._longest_pause_ms, moved.pause_ms)
                return f"pause {moved.pause_ms} ms, {moved.packed_bytes} bytes"
            case ReplaceShard(shard, owners):
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    await self._directory.call("replace", shard, dict(owners))
                self._replaced += 1
                return f"{len(owners)} partitions to {', '.join(sorted(set(owners.values())))}"
            case AddShard(shard):
                await add_shard(shard, self._config)
                return "started"
            case RemoveShard(shard):
                host = cluster.Host(shard)
                try:
                    async with asyncio.timeout(DRAIN_TIMEOUT_S):
                        await host.call("drain")
                except (ShardUnreachable, ShardBusy, TimeoutError) as missing:
                    # It has no partitions: what it did not save is in the journal.
                    log.warning("shard_not_drained", shard=shard, why=str(missing))
                await asyncio.to_thread(host.remove)
                return "gone"
            case DrainShard():
                return "its partitions leave"

    # Being asked

    async def add(self, shard: str) -> None:
        """Add a shard, as a person wants it."""
        await add_shard(shard, self._config)

    async def status(self) -> Status:
        owners = self._view.shards if self._view else {}
        shards = []
        for name, watched in sorted(self._watched.items()):
            mine = sorted(partition for partition, owner in owners.items() if owner == name)
            scope = scope_of(mine[0]) if mine else home_of(name)
            draining = name in self._controller.draining
            shards.append(ShardSeen(name, watched.state, scope, mine, draining, watched.report))
        return Status(
            shards, self._moves, self._longest_pause_ms, self._replaced, list(self._decisions)
        )

    async def figures(self) -> dict[str, dict[str, float]]:
        """For metrics: figures of each shard by name, and some of `all`."""
        live = [one for one in self._watched.values() if one.state is State.LIVE]
        reports = [one.report for one in live if one.report is not None]
        spares = [one for one in live if not home_of(one.name)]
        owners = set(self._view.shards.values()) if self._view else set()
        return {
            "cpu": {report.name: report.cpu for report in reports},
            "loop_lag_ms": {report.name: report.lag_ms for report in reports},
            "waiting": {report.name: float(report.waiting) for report in reports},
            "actors": {report.name: float(report.actors) for report in reports},
            "all": {
                "spares": float(sum(one.name not in owners for one in spares)),
                "moves": float(self._moves),
                "move_pause_ms": self._longest_pause_ms,
                "replaced": float(self._replaced),
            },
        }


async def add_shard(name: str, config: HostConfig) -> Any:
    """Put another shard, or a spare, on the cluster."""
    scope = home_of(name)
    # A spare may stand in for any: it has to be where players' data may be.
    place = cluster.shard_place(scope or min(config.licences))
    return await asyncio.to_thread(cluster.spawn, ShardHost, name, name, scope, config, place=place)


def _seen(watched: _Watched) -> Seen:
    report = watched.report
    if report is None or watched.state is not State.LIVE:
        return Seen(name=watched.name, state=watched.state)
    return Seen(
        name=watched.name,
        state=watched.state,
        cpu=report.cpu,
        lag_ms=report.lag_ms,
        waiting=report.waiting,
        rates=report.rates,
    )


def _told(action: Action) -> str:
    match action:
        case MovePartition(partition, shard):
            return f"move {partition} to {shard}"
        case IsolatePartition(partition, shard):
            return f"give {partition} a shard of its own, {shard}"
        case ReplaceShard(shard):
            return f"replace {shard}"
        case AddShard(shard):
            return f"add {shard}"
        case DrainShard(shard):
            return f"drain {shard}"
        case RemoveShard(shard):
            return f"remove {shard}"
