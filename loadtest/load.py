"""Bets by the thousand, over HTTP or WebSocket, from one process that costs little itself.

    slips = Slips(tokens, markets)
    load = Load(port, slips, connections=256)                     closed loop
    load = Load(port, slips, connections=256, rate=2_000)         open loop, bets/s
    load = Load(port, slips, connections=256, bets=100_000)       so many (`place_all`)
    sample = await run(load, seconds=5, warmup=1)
    sample.per_second, sample.percentile_ms(0.99), sample.refused

Closed loop: a connection places its next bet when the last one was answered. Open loop: bets fall
due at random moments (Poisson) whatever became of those before, and latency counts from the moment
a bet fell due, also while it waited for a connection: a server that stalls can't hide it.

A load that runs while something else happens is started and stopped by hand; `cut` takes what was
counted so far, and `retry=True` repeats with the same key whatever has no answer, as the
documentation tells clients to.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import random
import struct
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast
from uuid import uuid4

HOST = "127.0.0.1"
TICK_S = 0.001
"""How often an open loop looks at what has fallen due: its latencies are up to this too long."""
SWEEP_S = 0.25
RECONNECT_S = 0.05
OPEN_S = 10.0
GRACE_S = 15.0
"""How long `stop` waits for the bets that are under way."""

Transport = Literal["http", "websocket"]
KEY_BYTES = 32

now = time.perf_counter


class Slips:
    """Bets to place, as bytes made beforehand: every wallet and every market in turn, shuffled.

    Over HTTP each bet is the next wallet's; a WebSocket is one wallet's, and connection n logs in
    with `tokens[n]`. Each `Slips` has keys of its own.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        markets: Sequence[str],
        *,
        selections: Sequence[str] = ("s0", "s1"),
        odds: int = 20_000,
        stake_minor: int = 10,
        currency: str = "GBP",
        accept: str = "none",
        seed: int = 0,
    ) -> None:
        if not tokens or not markets:
            raise ValueError("a load needs at least one token and one market")
        self.tokens = list(tokens)
        self._prefix = uuid4().hex[: KEY_BYTES - 8].encode()
        self._count = itertools.count()
        order = random.Random(seed)
        bodies = [
            json.dumps(
                {
                    "market_id": market,
                    "selection_id": selection,
                    "stake_minor": stake_minor,
                    "currency": currency,
                    "odds": odds,
                    "accept": accept,
                },
                separators=(",", ":"),
            ).encode()
            for market in markets
            for selection in selections
        ]
        order.shuffle(bodies)
        heads = [
            b"POST /v1/bets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + token.encode() + b"\r\nIdempotency-Key: "
            for token in tokens
        ]
        order.shuffle(heads)
        tails = [b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]
        self._heads = itertools.cycle(heads)
        self._tails = itertools.cycle(tails)
        self._bodies = itertools.cycle(bodies)

    def key(self) -> bytes:
        return b"%b%08x" % (self._prefix, next(self._count))

    def http(self) -> bytes:
        """The next bet as a whole request."""
        return next(self._heads) + self.key() + next(self._tails)

    def websocket(self) -> bytes:
        """The next bet as a whole frame, of whoever is logged in on the socket."""
        key, body = self.key(), next(self._bodies)
        return text_frame(b'{"type":"bet","id":1,"key":"%b","bet":%b}' % (key, body))


class Answered(NamedTuple):
    """One bet's end, kept where `record` asks for it."""

    at: float
    """`time.perf_counter()` of the answer."""
    latency_s: float
    code: str
    """Empty for a bet that was placed, else why not."""
    bet_id: str


class Failed(NamedTuple):
    """One attempt without an answer, which a client repeats."""

    at: float
    code: str


class Sample:
    """What was counted in a stretch of time. Latencies are seconds, of bets that were placed."""

    def __init__(self) -> None:
        self.placed = 0
        self.refused: Counter[str] = Counter()
        """Bets answered with a no, and those that got no answer, by code."""
        self.attempts_failed: Counter[str] = Counter()
        """Attempts that were repeated."""
        self.latencies = array("d")
        self.answers: list[Answered] = []
        self.failures: list[Failed] = []
        self.backlog = 0
        """Open loop: the most bets that waited for a free connection at once."""
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        """What this process used, load generator and all."""

    @property
    def per_second(self) -> float:
        return self.placed / self.seconds if self.seconds else 0.0

    @property
    def generator_us(self) -> float:
        """CPU of the load generator for each bet, in microseconds."""
        return 1e6 * self.cpu_seconds / self.placed if self.placed else 0.0

    def percentile_ms(self, share: float) -> float:
        return 1000 * percentile(sorted(self.latencies), share)

    def add(self, other: Sample) -> None:
        """Count another stretch of the same thing in."""
        self.placed += other.placed
        self.refused += other.refused
        self.attempts_failed += other.attempts_failed
        self.latencies.extend(other.latencies)
        self.answers += other.answers
        self.failures += other.failures
        self.backlog = max(self.backlog, other.backlog)
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Load:
    """Connections, and what is on its way over them."""

    def __init__(
        self,
        port: int,
        slips: Slips,
        *,
        connections: int,
        transport: Transport = "http",
        rate: float | None = None,
        bets: int | None = None,
        retry: bool = False,
        retry_pause_s: float | None = None,
        timeout_s: float = 10.0,
        record: bool = False,
        seed: int = 0,
    ) -> None:
        """`rate` makes it an open loop, `bets` ends a closed one. `retry_pause_s`: instead of what
        `Retry-After` says."""
        self.port = port
        self.slips = slips
        self.retry = retry
        self.retry_pause_s = retry_pause_s
        self.timeout_s = timeout_s
        self.record = record
        self.running = False
        self.total = Sample()
        """Everything that `cut` has taken."""
        self._transport = transport
        self._size = connections
        self._rate = rate
        self._left = math.inf if bets is None else bets
        self._random = random.Random(seed)
        self._sample = Sample()
        self._cut_at = 0.0
        self._cut_cpu = 0.0
        self._connections: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._backlog: deque[float] = deque()
        self._next_due = 0.0
        self._ticker: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, log in where that is needed, and begin. Raises OSError or TimeoutError."""
        kind = HttpConnection if self._transport == "http" else SocketConnection
        self._connections = [kind(self, number) for number in range(self._size)]
        for some in _by(self._connections, 64):
            await asyncio.gather(*(connection.open() for connection in some))
        self.running = True
        self._cut_at, self._cut_cpu = now(), time.process_time()
        self._sweeper = asyncio.ensure_future(self._sweep())
        if self._rate is None:
            for connection in self._connections:
                self._next(connection, now())
        else:
            self._idle.extend(self._connections)
            self._next_due = now()
            self._tick()

    def cut(self) -> Sample:
        """What was counted since the last cut, or since the start."""
        sample, self._sample = self._sample, Sample()
        at, cpu = now(), time.process_time()
        sample.seconds, self._cut_at = at - self._cut_at, at
        sample.cpu_seconds, self._cut_cpu = cpu - self._cut_cpu, cpu
        self.total.add(sample)
        return sample

    async def stop(self) -> Sample:
        """Place nothing more, wait for what is under way, disconnect; the rest of the count.

        What is not answered after 15 s counts as `unanswered`.
        """
        self.running = False
        if self._ticker is not None:
            self._ticker.cancel()
        self._backlog.clear()
        until = now() + GRACE_S
        while any(one.busy for one in self._connections) and now() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for task in (self._sweeper, *self._background):
            if task is not None:
                task.cancel()
        for connection in self._connections:
            if connection.busy:
                connection.busy = False
                self.finished(connection, "unanswered", "")
            connection.close()
        await asyncio.sleep(0)
        return self.cut()

    async def finish(self) -> None:
        """Wait until all of `bets` have been placed or refused."""
        while self._left > 0 or any(one.busy for one in self._connections):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    # What connections tell

    def placed(self, connection: Connection, body: bytes) -> None:
        sample, at = self._sample, now()
        latency = at - connection.due
        sample.placed += 1
        sample.latencies.append(latency)
        if self.record:
            sample.answers.append(Answered(at, latency, "", bet_id_of(body)))
        if self.running:
            self._next(connection, at)

    def finished(self, connection: Connection, code: str, bet_id: str) -> None:
        """The bet will not be placed."""
        at = now()
        self._sample.refused[code] += 1
        if self.record:
            self._sample.answers.append(Answered(at, at - connection.due, code, bet_id))
        if self.running and connection.ready:
            self._next(connection, at)

    def failed(self, connection: Connection, code: str, pause_s: float) -> None:
        """No answer, or one that says to try again."""
        if not self.retry:
            self.finished(connection, code, "")
            return
        self._sample.attempts_failed[code] += 1
        if self.record:
            self._sample.failures.append(Failed(now(), code))
        pause_s = pause_s if self.retry_pause_s is None else self.retry_pause_s
        self._spawn(self._again(connection, pause_s))

    def lost(self, connection: Connection) -> None:
        """The connection has gone; what was on its way over it has no answer."""
        if connection.busy:
            if self.retry:
                self.failed(connection, "disconnected", RECONNECT_S)
            else:
                connection.busy = False
                self.finished(connection, "disconnected", "")
                self._spawn(self._reopen(connection))
        elif self.running:
            with contextlib.suppress(ValueError):
                self._idle.remove(connection)
            self._spawn(self._reopen(connection))

    # Going on

    def _next(self, connection: Connection, at: float) -> None:
        if self._rate is None:
            if self._left > 0:
                self._left -= 1
                connection.place(at)
        elif self._backlog:
            connection.place(self._backlog.popleft())
        else:
            self._idle.append(connection)

    def _tick(self) -> None:
        at = now()
        assert self._rate is not None
        while self._next_due <= at:
            connection = self._take_idle()
            if connection is not None:
                connection.place(self._next_due)
            else:
                self._backlog.append(self._next_due)
            self._next_due += self._random.expovariate(self._rate)
        self._sample.backlog = max(self._sample.backlog, len(self._backlog))
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _take_idle(self) -> Connection | None:
        """A connection that waits for a bet. One that is about to be lost comes back by `lost`."""
        while self._idle:
            connection = self._idle.popleft()
            if connection.usable:
                return connection
        return None

    async def _again(self, connection: Connection, pause_s: float) -> None:
        """Send the same bytes, and so the same key, until there is an answer."""
        await asyncio.sleep(pause_s)
        while not connection.ready:
            try:
                await connection.open()
            except (OSError, TimeoutError) as failure:
                code = "not_connected" if isinstance(failure, OSError) else "timeout"
                self._sample.attempts_failed[code] += 1
                if self.record:
                    self._sample.failures.append(Failed(now(), code))
                await asyncio.sleep(RECONNECT_S)
        connection.repeat()

    async def _reopen(self, connection: Connection) -> None:
        while self.running and not connection.ready:
            try:
                await connection.open()
            except (OSError, TimeoutError):
                await asyncio.sleep(RECONNECT_S)
        if self.running and connection.ready and not connection.busy:
            self._next(connection, now())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _sweep(self) -> None:
        """Give up attempts that take too long: the connection is cut, which tells `lost`."""
        while True:
            await asyncio.sleep(SWEEP_S)
            at = now()
            for connection in self._connections:
                if connection.busy and connection.ready and at - connection.sent > self.timeout_s:
                    connection.abort()


class Connection(asyncio.Protocol):
    """One bet at a time."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.due = 0.0
        self.sent = 0.0
        self.busy = False
        """A bet is under way, or waits to be repeated."""
        self.ready = False
        self._bytes = b""
        self._buffer = b""
        self._pipe: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        return self.ready and self._pipe is not None and not self._pipe.is_closing()

    async def open(self) -> None:
        raise NotImplementedError

    def place(self, due: float) -> None:
        """Place the next bet, which fell due at that moment."""
        raise NotImplementedError

    def repeat(self) -> None:
        self._send()

    def _send(self) -> None:
        assert self._pipe is not None
        self.busy = True
        self.sent = now()
        self._pipe.write(self._bytes)

    def abort(self) -> None:
        if self._pipe is not None:
            self._pipe.abort()

    def close(self) -> None:
        self.ready = False
        if self._pipe is not None:
            self._pipe.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipe = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, why: Exception | None) -> None:
        was_ready, self.ready, self._buffer = self.ready, False, b""
        if was_ready:
            self.load.lost(self)


class HttpConnection(Connection):
    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_S):
            await loop.create_connection(lambda: self, HOST, self.load.port)
        self.ready = True

    def place(self, due: float) -> None:
        self.due = due
        self._bytes = self.load.slips.http()
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + content_length(data, end):
            self._buffer = data
            return
        self._buffer = b""
        if not self.busy:
            return
        self.busy = False
        if data.startswith(b"201", 9):
            self.load.placed(self, data)
            return
        status = int(data[9:12])
        code = code_of(data[end + 4 :]) or str(status)
        if status in (429, 503):
            self.busy = self.load.retry
            self.load.failed(self, code, retry_after_s(data[:end]))
        else:
            self.load.finished(self, code, "")


class SocketConnection(Connection):
    """A WebSocket of `grandstand.v1`, logged in."""

    def __init__(self, load: Load, number: int) -> None:
        super().__init__(load, number)
        self._opened: asyncio.Future[None] | None = None
        self._upgraded = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._opened, self._upgraded = loop.create_future(), False
        async with asyncio.timeout(OPEN_S):
            await loop.create_connection(lambda: self, HOST, self.load.port)
            assert self._pipe is not None
            self._pipe.write(HANDSHAKE)
            await self._opened
        self.ready = True

    def place(self, due: float) -> None:
        self.due = due
        self._bytes = self.load.slips.websocket()
        self._send()

    def connection_lost(self, why: Exception | None) -> None:
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(ConnectionResetError("closed before the log-in"))
        super().connection_lost(why)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            if not data.startswith(b"101", 9):
                self.abort()
                return
            self._upgraded = True
            data = data[end + 4 :]
            token = self.load.slips.tokens[self.number % len(self.load.slips.tokens)]
            assert self._pipe is not None
            self._pipe.write(text_frame(b'{"type":"login","id":0,"token":"%b"}' % token.encode()))
        at = 0
        while (frame := next_frame(data, at)) is not None:
            kind, payload, at = frame
            if kind == TEXT:
                self._heard(payload)
            elif kind == PING:
                assert self._pipe is not None
                self._pipe.write(bytes((0x80 | PONG, 0x80 | len(payload))) + NO_MASK + payload)
            elif kind == CLOSE:
                self.abort()
                return
        self._buffer = data[at:]

    def _heard(self, payload: bytes) -> None:
        # Balances and bets of the same player's other sockets arrive too: part of the load.
        if payload.startswith(b'{"type":"bet",'):
            if self.busy:
                self.busy = False
                self.load.placed(self, payload)
        elif payload.startswith(b'{"type":"problem"'):
            self._refused(payload)
        elif payload.startswith(b'{"type":"ok"') and self._opened and not self._opened.done():
            self._opened.set_result(None)

    def _refused(self, payload: bytes) -> None:
        problem = json.loads(payload)["problem"]
        if not self.busy:
            self.abort()  # the log-in
            return
        self.busy = False
        if problem.get("status") in (429, 503):
            self.busy = self.load.retry
            self.load.failed(self, problem["code"], float(problem.get("retry_after_s", 1)))
        else:
            self.load.finished(self, problem["code"], "")


# Reading and writing bytes

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
NO_MASK = b"\0\0\0\0"
"""A client has to mask its frames; under this key, which the protocol allows, they stay as they
are. Masks are against proxies that would take a payload for a request; here there is none."""
HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: grandstand.v1\r\n\r\n"
)


def text_frame(payload: bytes) -> bytes:
    """A client's text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | TEXT, 0x80 | size))
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | TEXT, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | TEXT, 0x80 | 127, size)
    return head + NO_MASK + payload


def next_frame(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Kind and payload of a server's frame that begins at `at`, and where it ends; None of a part.

    The server sends every message in one frame, without compression.
    """
    if len(data) < at + 2:
        return None
    size, start = data[at + 1], at + 2
    if size == 126:
        start += 2
        size = int.from_bytes(data[at + 2 : start], "big")
    elif size == 127:
        start += 8
        size = int.from_bytes(data[at + 2 : start], "big")
    end = start + size
    if len(data) < end:
        return None
    return data[at] & 0x0F, data[start:end], end


def content_length(data: bytes, end: int) -> int:
    """What the head of an answer, which ends at `end`, says of the length of its body."""
    at = data.find(b"Content-Length: ", 0, end)
    if at < 0:
        at = data[:end].lower().find(b"content-length: ")
        if at < 0:
            return 0
    at += 16
    stop = data.find(b"\r", at, end)
    return int(data[at : stop if stop > 0 else end])


def retry_after_s(head: bytes) -> float:
    at = head.lower().find(b"retry-after: ")
    if at < 0:
        return 1.0
    said = head[at + 13 :].split(b"\r", 1)[0]
    return float(said) if said.isdigit() else 1.0


def bet_id_of(body: bytes) -> str:
    at = body.find(b'"bet_id":"')
    return "" if at < 0 else body[at + 10 : body.index(b'"', at + 10)].decode()


def code_of(body: bytes) -> str:
    """The stable code of a problem document; empty if it is none."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _by(items: list[Connection], size: int) -> Iterator[list[Connection]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def run(load: Load, seconds: float, warmup: float = 1.0) -> Sample:
    """Start, warm up, measure, stop. `load.total` has everything, with the warm-up and the end."""
    await load.start()
    try:
        await asyncio.sleep(warmup)
        load.cut()
        await asyncio.sleep(seconds)
        sample = load.cut()
    finally:
        await load.stop()
    return sample


async def place_all(load: Load) -> Sample:
    """Place the `bets` of a load, in a closed loop, and disconnect."""
    await load.start()
    try:
        await load.finish()
    finally:
        await load.stop()
    return load.total
