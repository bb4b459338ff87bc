"""The simulated cluster: what `actors.runtime.cluster` is on Ray, on virtual time and with faults.

Hosts are put on it by name, called by name, killed, started again, paused and cut off. A call has
two legs, and each may be lost, late or doubled; whoever waits for a process that dies is told so.
What is called gets a copy of what was sent, as it would over a wire.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import msgspec

from actors.runtime.router import ShardAbsent, ShardUnreachable, View
from actors.runtime.simulated.loop import Process, VirtualLoop, current

DIRECTORY = "directory"
SILENCE_S = 12.0
"""After so long even a call that was lost without a sign ends, as a broken connection does."""


class NetworkFaults(msgspec.Struct, frozen=True):
    """What goes wrong on the way; chances for each leg of each call."""

    lost: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    latest_s: float = 4.0
    """How late what is late is at most."""


NO_FAULTS = NetworkFaults()


class Server(msgspec.Struct, eq=False):
    """One incarnation of a host, and who waits for it."""

    process: Process
    host: Any
    waiting: dict[asyncio.Future[Any], None]


class Network:
    """Everybody's way to everybody, and the machine on which hosts are started."""

    def __init__(self, loop: VirtualLoop, random: Random, note: Callable[..., None]) -> None:
        self.loop = loop
        self.random = random
        self.note = note
        self.faults = NO_FAULTS
        self.servers: dict[str, Server] = {}
        self.former: dict[str, Server] = {}
        """Hosts that were replaced and go on: a call by name may reach one or the other."""
        self.cut: set[tuple[str, str]] = set()
        """Pairs of names between which nothing gets through."""
        self._makers: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {}
        self._incarnations: dict[str, int] = {}

    # Life and death

    def spawn(
        self, host: Callable[..., Any], name: str, *arguments: Any, ahead_ms: int = 0
    ) -> Host:
        """Put a host on the cluster; it is started again with the same arguments when it dies."""
        self._makers[name] = (host, arguments, ahead_ms)
        self.begin(name)
        return Host(self, name)

    def begin(self, name: str) -> None:
        """Start the host of that name, beside a former one that may still be running."""
        if name not in self._makers:
            return
        maker, arguments, ahead_ms = self._makers[name]
        incarnation = self._incarnations[name] = self._incarnations.get(name, 0) + 1
        process = Process(name, incarnation, ahead_ms)
        self.note("started", str(process))
        # The constructor runs at once, but in the new process: what it begins belongs to that.
        host = process.context.copy().run(maker, *arguments)
        self.servers[name] = Server(process, host, {})

    def kill(self, name: str, *, again_after_s: float | None) -> None:
        """End a host between two steps; None: it is not started again."""
        server = self.servers.pop(name, None)
        if server is not None:
            self.note("killed", str(server.process))
            self.end(server)
        if again_after_s is not None:
            self._outside(again_after_s, self._begin_again, name)

    def _begin_again(self, name: str) -> None:
        if name not in self.servers:
            self.begin(name)

    def end(self, server: Server) -> None:
        """It runs no more, and those who wait for it hear of it."""
        self.loop.kill(server.process)
        for answer in list(server.waiting):
            self._fail(answer, f"{server.process} died")

    def remove(self, name: str) -> None:
        """End a host for good."""
        self._makers.pop(name, None)
        self.kill(name, again_after_s=None)

    def names(self) -> list[str]:
        """Of all hosts that are there, or are to be started again."""
        return list(self._makers)

    # Calls

    async def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a host's method and wait for what comes. Raises `ShardUnreachable`."""
        source = current()
        answer: asyncio.Future[Any] = self.loop.create_future()
        server = self.servers.get(name)
        if name in self.former and self.random.random() < 0.5:
            server = self.former[name]
        if server is None:
            await asyncio.sleep(self._latency_s())
            raise ShardAbsent(f"{name} is not there")
        body = pickle.dumps(arguments)
        self.note("call", str(source), str(server.process), method, arguments)
        if self._is_cut(source, name) or self._lost():
            self.note("lost", str(source), str(server.process), method)
            self._give_up_later(answer, name)
        else:
            for _ in range(1 + self._happens(self.faults.doubled)):
                arrive = partial(self._arrive, answer, source, server, method, body)
                self._outside(self._travel_s(), arrive)
        outcome = await answer
        if isinstance(outcome, BaseException):
            raise outcome
        return pickle.loads(outcome)

    def _arrive(
        self, answer: asyncio.Future[Any], source: Process, server: Server, method: str, body: bytes
    ) -> None:
        if not server.process.alive:
            self._fail(answer, f"{server.process} is dead")
            return
        server.waiting[answer] = None
        try:
            work = getattr(server.host, method)(*pickle.loads(body))
        except Exception as failure:
            self._settle(answer, ShardUnreachable(f"{server.process}: {failure!r}"))
            return
        self.note("arrived", str(source), str(server.process), method)
        task = self.loop.start(server.process, work)
        replied = partial(self._replied, answer, source, server, method)
        task.add_done_callback(replied, context=self.loop.outside.context.copy())

    def _replied(
        self,
        answer: asyncio.Future[Any],
        source: Process,
        server: Server,
        method: str,
        task: asyncio.Task[Any],
    ) -> None:
        failure = None if task.cancelled() else task.exception()
        if task.cancelled() or failure is not None:
            self.note("failed", str(server.process), method, repr(failure))
            outcome: Any = ShardUnreachable(f"{server.process}: {failure!r}")
        else:
            outcome = pickle.dumps(task.result())
        if self._is_cut(source, server.process.name) or self._lost():
            self.note("reply lost", str(server.process), str(source), method)
            server.waiting.pop(answer, None)
            self._give_up_later(answer, server.process.name)
            return
        self._outside(self._travel_s(), self._back, answer, server, outcome)

    def _back(self, answer: asyncio.Future[Any], server: Server, outcome: Any) -> None:
        server.waiting.pop(answer, None)
        self._settle(answer, outcome)

    def _fail(self, answer: asyncio.Future[Any], why: str) -> None:
        self._outside(self._latency_s(), self._settle, answer, ShardUnreachable(why))

    def _give_up_later(self, answer: asyncio.Future[Any], name: str) -> None:
        """Lost: some learn it soon, by a broken connection, others only when they lose patience."""
        after_s = SILENCE_S if self.random.random() < 0.3 else 20 * self._latency_s()
        lost = ShardUnreachable(f"{name}: the connection broke")
        self._outside(after_s, self._settle, answer, lost)

    def _settle(self, answer: asyncio.Future[Any], outcome: Any) -> None:
        if not answer.done():
            answer.set_result(outcome)

    # Chance

    def _outside(self, after_s: float, work: Callable[..., None], *arguments: Any) -> None:
        """Do something that belongs to no process, after some time."""
        context = self.loop.outside.context.copy()
        self.loop.call_later(after_s, work, *arguments, context=context)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance

    def _lost(self) -> bool:
        return self._happens(self.faults.lost)

    def _latency_s(self) -> float:
        return 0.0002 + 0.003 * self.random.random() ** 3

    def _travel_s(self) -> float:
        if self._happens(self.faults.late):
            return self.faults.latest_s * self.random.random()
        return self._latency_s()

    def _is_cut(self, source: Process, name: str) -> bool:
        return bool(self.cut) and (
            (source.name, name) in self.cut or (name, source.name) in self.cut
        )


class Host:
    """A host on the cluster, called by name."""

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        self._network = network

    async def call(self, method: str, *arguments: Any) -> Any:
        return await self._network.call(self.name, method, *arguments)

    def remove(self) -> None:
        self._network.remove(self.name)


class Transport:
    """What a router needs, over the simulated network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def host(self, name: str) -> Host:
        return Host(self._network, name)

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        replies: bytes = await self._network.call(shard, "deliver", batch)
        return replies

    async def view(self) -> View:
        view: View = await self._network.call(DIRECTORY, "view")
        return view


class Cluster:
    """Stands where hosts expect the module `actors.runtime.cluster`."""

    DIRECTORY = DIRECTORY

    def __init__(self, network: Network) -> None:
        self._network = network

    def Host(self, name: str) -> Host:  # the name that the module has
        return Host(self._network, name)

    def RayTransport(self) -> Transport:
        return Transport(self._network)

    async def names(self) -> list[str]:
        return self._network.names()

    async def room_for(self, _scopes: Any) -> frozenset[str]:
        return frozenset()

    def was_restarted(self) -> bool:
        return current().incarnation > 1

    def node_address(self) -> str:
        return "simulated"


class Lanes:
    """Stands where a shard expects its `LaneServer`: here batches come as calls."""

    def __init__(self, *_: Any) -> None:
        pass

    async def listen(self, *_: Any) -> str:
        return "simulated"

    async def close(self) -> None:
        pass
