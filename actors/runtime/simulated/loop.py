"""An event loop on virtual time, on which many processes live and die.

A *process* here is what a process of the operating system is to the real runtime: its callbacks
run in the order in which they became ready, as asyncio promises, and those of different processes
in any order, drawn from the seed. A process that is killed runs nothing more, not even a `finally`;
one that is paused runs nothing until it is resumed, and does not notice. Which process a callback
belongs to is in its context, which tasks and callbacks inherit.

Nothing sleeps and nothing is read from outside: when nobody has anything to do, time jumps to the
next timer. So a run follows from its seed alone.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_800_000_000_000
"""The moment at which every run begins, in milliseconds since the Unix epoch."""
MAX_STEPS = 2_000_000
"""Callbacks after which a run is said never to end."""


class NeverEnds(Exception):
    """Nobody has anything to do, and somebody still waits; or there is no end of work."""


class Killed(Exception):
    """What is awaited belonged to a process that was killed."""


class Process:
    """Something that can be killed or paused as a whole, with a clock of its own."""

    def __init__(self, name: str, incarnation: int = 1, ahead_ms: int = 0) -> None:
        self.name = name
        self.incarnation = incarnation
        self.ahead_ms = ahead_ms
        """How far its clock is ahead of the true time; below zero when it is behind."""
        self.alive = True
        self.paused = False
        self.ready: deque[Handle] = deque()
        self.fuse = 0
        """Steps until something is done to it; 0: nothing is."""
        self.at_end: Callable[[], None] = _nothing
        self.context = Context()
        self.context.run(_PROCESS.set, self)

    def __str__(self) -> str:
        return self.name if self.incarnation == 1 else f"{self.name}#{self.incarnation}"


_PROCESS: ContextVar[Process] = ContextVar("process")


def current() -> Process:
    """The process that the calling code runs in."""
    return _PROCESS.get()


class Handle:
    """A callback that waits for its turn."""

    __slots__ = ("args", "callback", "context", "dropped", "process", "when_s")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context, when_s: float
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.process = context[_PROCESS]
        self.when_s = when_s
        self.dropped = False

    def cancel(self) -> None:
        self.dropped = True

    def cancelled(self) -> bool:
        return self.dropped

    def when(self) -> float:
        return self.when_s


_AbstractLoop: Any = asyncio.AbstractEventLoop
"""Of its many methods only those are made that somebody calls."""


class VirtualLoop(_AbstractLoop):
    """As much of an event loop as code needs that talks to the world through ports."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now_s = 0.0
        self.steps = 0
        self.complaints: list[str] = []
        """Errors that nobody caught, in processes that were alive."""
        self.outside = Process("outside")
        """Whatever belongs to no process: the network, and who looks on."""
        self._runnable: list[Process] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._order = 0
        self._tasks: list[tuple[asyncio.Task[Any], Process]] = []
        self._prune_at = 2_000
        self._closed = False

    # Processes

    def start(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin work in a process."""
        return self.create_task(work, context=process.context.copy())

    def call_in(self, process: Process, callback: Callable[..., Any], *args: Any) -> None:
        """Have a callback run in a process."""
        self.call_soon(callback, *args, context=process.context.copy())

    def kill(self, process: Process) -> None:
        """It runs nothing more."""
        process.alive = False
        process.ready.clear()
        if process in self._runnable:
            self._runnable.remove(process)

    def pause(self, process: Process) -> None:
        process.paused = True
        if process in self._runnable:
            self._runnable.remove(process)

    def resume(self, process: Process) -> None:
        if process.paused and process.ready and process.alive:
            self._runnable.append(process)
        process.paused = False

    def after_steps(self, process: Process, count: int, action: Callable[[], None]) -> None:
        """Do something to a process between two of its steps, so many from now."""
        process.fuse, process.at_end = count, action

    # What asyncio asks of a loop

    def time(self) -> float:
        return self.now_s

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context or copy_context(), 0.0)
        self._make_ready(handle)
        return handle

    call_soon_threadsafe = call_soon  # there are no threads

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        handle = Handle(callback, args, context or copy_context(), when)
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[Any]:
        context = context or copy_context()
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "", context=context)
        # Kept, so that the coroutine of a dead process is not ended by the garbage collector,
        # at a moment that no seed decides.
        self._tasks.append((task, context[_PROCESS]))
        if len(self._tasks) > self._prune_at:
            self._tasks = [pair for pair in self._tasks if not pair[0].done() or _failed(pair[0])]
            self._prune_at = 2 * len(self._tasks) + 2_000
        return task

    def run_in_executor(
        self, _executor: Any, work: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """There are no threads: it is done at once."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(work(*args))
        except Exception as failure:
            future.set_exception(failure)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._closed:
            return
        future = context.get("future") or context.get("task")
        failure = context.get("exception")
        self.complaints.append(f"{context.get('message')}: {failure!r} in {_named(future)}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    # Running

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run until `work` is done. Raises `NeverEnds` if it can't be."""
        asyncio._set_running_loop(self)
        try:
            done = self.start(self.outside, work)
            while not done.done():
                if self._runnable:
                    self._step()
                elif self._timers:
                    self._jump()
                else:
                    raise NeverEnds("nobody has anything to do")
            self._hear_failures()
            return done.result()
        finally:
            asyncio._set_running_loop(None)

    def close(self) -> None:
        """End what is still under way; nothing of it runs or says anything more."""
        self._closed = True
        for task, _ in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _end(task)
        self._tasks.clear()
        self._timers.clear()
        self._runnable.clear()

    def _hear_failures(self) -> None:
        """What failed and was not noticed by anybody, as the garbage collector would find it."""
        for task, process in self._tasks:
            if process.alive and task.done() and _failed(task):
                failure = task.exception()
                self.complaints.append(f"{_named(task)} failed unnoticed: {failure!r}")

    def _make_ready(self, handle: Handle) -> None:
        process = handle.process
        if not process.alive or self._closed:
            return
        if not process.ready and not process.paused:
            self._runnable.append(process)
        process.ready.append(handle)

    def _step(self) -> None:
        runnable = self._runnable
        at = int(self.random.random() * len(runnable)) if len(runnable) > 1 else 0
        process = runnable[at]
        handle = process.ready.popleft()
        if not process.ready:
            runnable[at] = runnable[-1]
            runnable.pop()
        if handle.dropped:
            return
        try:
            handle.context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as failure:
            self.complaints.append(f"a callback in {process} failed: {failure!r}")
        self.steps += 1
        if process.fuse:
            process.fuse -= 1
            if not process.fuse:
                process.at_end()
        if self.steps > MAX_STEPS:
            raise NeverEnds(f"{MAX_STEPS} steps, and no end")

    def _jump(self) -> None:
        """Move on to the next timer, and to all that are due with it."""
        timers = self._timers
        self.now_s = max(self.now_s, timers[0][0])
        while timers and timers[0][0] <= self.now_s:
            handle = heapq.heappop(timers)[2]
            if not handle.dropped:
                self._make_ready(handle)


class SimulatedClock:
    """The clock of the process that made it."""

    def __init__(self) -> None:
        self._process = current()
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> int:
        return START_MS + int(self._loop.time() * 1000) + self._process.ahead_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _end(task: asyncio.Task[Any]) -> None:
    try:
        task.get_coro().close()
    except (RuntimeError, Exception):  # it awaits while it is ended: nobody minds any more
        return


def _nothing() -> None:
    pass


def _failed(task: asyncio.Task[Any]) -> bool:
    """Whether it failed and nobody has asked why."""
    return not task.cancelled() and bool(task._log_traceback)


def _named(future: Any) -> str:
    if isinstance(future, asyncio.Task):
        return str(getattr(future.get_coro(), "__qualname__", "a task"))
    return "a future"
