"""The requests that come most often, answered where they are parsed.

aiohttp's own way from a parsed request to a written answer (a request object, a task in a task,
the resolving of its path, a response with its headers) costs more than placing the bet. So a route
that is declared `express` is answered here when the request is the plain form of it: whole in one
piece, alone on its connection, HTTP/1.1, kept alive, without query, upgrade, compression or
chunks. Every other form of it goes the usual way, and so does every other route: the parser, the
endpoint, the problems and the figures are the same for both.

    Connection    aiohttp's protocol, which hands such a request to
    Express       which answers it
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.hdrs import EXPECT
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11, RawRequestMessage

from gateway import problems
from gateway.http import Boundary, Endpoint, problem_of, problem_parts
from gateway.services import Services

MAX_WAITING = 64 * 1024
"""Bytes that a connection may send ahead while its request is being answered."""
LONGEST_S = 150.0
"""A connection is never taken for idle so soon after an express request came on it."""
_JSON = "application/json"


class Express:
    """Answers the routes that are declared `express`."""

    def __init__(self, services: Services, boundary: Boundary, endpoints: list[Endpoint]) -> None:
        self._clock = services.clock
        self._metrics = services.metrics
        self._boundary = boundary
        self._endpoints = {
            (endpoint.route.method, endpoint.route.path): endpoint for endpoint in endpoints
        }
        self._second = 0
        self._heads: dict[tuple[int, str], bytes] = {}

    def protocol(self, server: web.Server, **options: Any) -> Callable[[], Connection]:
        """What makes a protocol for each connection of `server`."""
        loop = asyncio.get_running_loop()
        return lambda: Connection(self, server, loop=loop, **options)

    def endpoint(self, message: RawRequestMessage) -> Endpoint | None:
        """Who answers the request, if it is one for here."""
        if (
            message.should_close
            or message.upgrade
            or message.chunked
            or message.compression
            or message.version != HttpVersion11
            or EXPECT in message.headers
        ):
            return None
        return self._endpoints.get((message.method, message.path))

    async def answer(self, endpoint: Endpoint, message: RawRequestMessage, body: bytes) -> bytes:
        """The whole answer, head and body."""
        started = time.perf_counter()
        route = endpoint.route
        self._boundary.begin()
        try:
            status = route.status
            content_type = _JSON
            more: dict[str, str] = {}
            try:
                text = await endpoint.reply(message.headers, body)
            except Exception as error:
                problem, request_id = problem_of(error, f"{route.method} {route.path}")
                status, more, text = problem_parts(problem, request_id)
                content_type = problems.CONTENT_TYPE
        finally:
            self._boundary.end()
        self._metrics.counts.request(
            route.path, route.method, status, time.perf_counter() - started
        )
        if self.closing:
            more = {**more, "Connection": "close"}
        lines = "".join(f"\r\n{name}: {value}" for name, value in more.items())
        head = self._head(status, content_type)
        return b"%b%d%b\r\n\r\n%b" % (head, len(text), lines.encode("latin-1"), text)

    @property
    def closing(self) -> bool:
        """Whether connections are closed after their answer."""
        return self._boundary.draining

    def _head(self, status: int, content_type: str) -> bytes:
        """All that is the same for a second."""
        second = self._clock.now_ms() // 1000
        if second != self._second:
            self._second = second
            self._heads.clear()
        head = self._heads.get((status, content_type))
        if head is None:
            head = self._heads[status, content_type] = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                f"Content-Type: {content_type}\r\n"
                "Cache-Control: no-store\r\n"
                f"Date: {formatdate(second, usegmt=True)}\r\n"
                f"Server: {SERVER_SOFTWARE}\r\n"
                "Content-Length: "
            ).encode("latin-1")
        return head


class Switch:
    """Stands in front of a connection's parser, and takes out what is for express."""

    __slots__ = ("_connection", "_parser", "message_consumed", "pause_reading", "set_upgraded")

    def __init__(self, parser: Any, connection: Connection) -> None:
        self._parser = parser
        self._connection = connection
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        parsed: tuple[Any, bool, bytes] = self._parser.feed_data(data)
        messages = parsed[0]
        if len(messages) == 1 and self._connection.take(*messages[0]):
            self.message_consumed()
            return (), parsed[1], parsed[2]
        return parsed

    def feed_eof(self) -> Any:
        return self._parser.feed_eof()


class Connection(web.RequestHandler):
    """A connection of aiohttp's server, idle as far as that knows while it is answered here."""

    __slots__ = ("_answering", "_express", "_stopped", "_waiting", "on_writable")

    def __init__(self, express: Express, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._express = express
        self._answering: asyncio.Task[None] | None = None
        self._waiting = b""
        """What came while a request was being answered."""
        self._stopped = False
        self.on_writable: Callable[[], None] | None = None
        """Told when the client has read so much that it may be written to again."""
        self._parser = Switch(self._parser, self)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._answering is None:
            super().data_received(data)
            return
        self._waiting += data
        if len(self._waiting) > MAX_WAITING:  # also a second time: the parser may have resumed it
            self._stopped = True
            self._pause_transport_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.on_writable = None
        super().connection_lost(exc)

    def take(self, message: Any, payload: Any) -> bool:
        """Answer a request that was parsed just now, if it is one for express."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages or not payload.is_eof():
            return False
        endpoint = self._express.endpoint(message)
        if endpoint is None:
            return False
        loop = self._loop
        self._next_keepalive_close_time = loop.time() + LONGEST_S
        body = payload.read_nowait()
        self._answering = loop.create_task(self._answer(endpoint, message, body))
        return True

    async def _answer(self, endpoint: Endpoint, message: RawRequestMessage, body: bytes) -> None:
        answer = await self._express.answer(endpoint, message, body)
        transport = self.transport
        if transport is None:
            return  # the client has gone, and what it asked for is done all the same
        transport.write(answer)
        if self._express.closing:
            self.force_close()
            return
        if self._paused:
            with contextlib.suppress(ConnectionError):
                await self._drain_helper()
        self._answering = None
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            self.data_received(waiting)
        if self._stopped and self._answering is None:
            self._stopped = False
            # Where aiohttp has stopped reading for reasons of its own, it goes on by itself.
            if not (self._buffer_paused or self._reading_paused):
                self._resume_transport_reading()
