"""The road between router and shard: one connection from each process to each shard.

Ray places the shards, watches over them and starts them again; it also tells where a shard listens
(`ShardHost.address`). What is said all the time, batches and their replies, goes over a connection
of its own: a call through Ray costs about a millisecond of CPU on its two sides, a frame here a
few hundredths of one.

A connection begins with the shard's secret, made anew by each process of the shard and told by Ray
only, so that nobody else on the network gets a word in. After that, both ways:

    length  4 bytes, big endian, of what follows the number
    number  4 bytes, big endian, of the batch; a reply has the number of its batch
    body    a batch, or its replies; an empty body says that the batch could not be dealt with

Replies come in any order. When a connection ends, everything that waits on it ends with it, at
once: whoever waits for a shard that has died knows so within a millisecond.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import structlog

from actors.runtime.router import ShardAbsent, ShardUnreachable

log = structlog.get_logger()

_HEAD = struct.Struct(">II")
MAX_FRAME = 64 * 1024 * 1024
"""Bytes; whoever announces more is cut off."""
MAX_PENDING = 256
"""Batches of one connection at work at once; a connection with more is not read from."""
SILENCE_MS = 5_000
"""After so long without a sign of life from the other machine a connection has ended."""
CONNECT_TIMEOUT_S = 2.0
CONNECT_WAIT_S = 0.1
"""A batch waits so long for a connection, and is then sent where its partition is by then."""
BACKLOG = 1_024


class Address(msgspec.Struct, frozen=True, array_like=True):
    """Where a shard listens, and what it wants to hear first."""

    host: str
    port: int
    secret: str


class Frames(asyncio.Protocol):
    """Cuts what arrives into frames; `frame` is told of each."""

    longest = MAX_FRAME
    """Bytes that one may have."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._arrived = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are of no class of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        _notice_silence(self.transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        arrived = self._arrived
        arrived += data
        at = 0
        while len(arrived) - at >= _HEAD.size:
            length, number = _HEAD.unpack_from(arrived, at)
            if length > self.longest:
                self.abort()
                return
            end = at + _HEAD.size + length
            if len(arrived) < end:
                break
            self.frame(number, bytes(arrived[at + _HEAD.size : end]))
            at = end
        if at:
            del arrived[:at]

    def frame(self, number: int, body: bytes) -> None:
        raise NotImplementedError

    def send(self, number: int, body: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_HEAD.pack(len(body), number) + body)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def _notice_silence(connection: socket.socket) -> None:
    """A machine that lost its power says no goodbye: find out within some seconds."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)


# The shard's side


class LaneServer:
    """Listens for batches, and answers each with what `deliver` makes of it."""

    def __init__(self, deliver: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._deliver = deliver
        self._secret = secrets.token_urlsafe(32)
        self._server: asyncio.Server | None = None
        self._connections: set[_ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str) -> Address:
        """Accept connections on a free port of `host`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _ServerConnection(self), host, 0, backlog=BACKLOG
        )
        port = self._server.sockets[0].getsockname()[1]
        return Address(host, port, self._secret)

    async def close(self) -> None:
        """Accept nothing more and end every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()

    def knows(self, secret: bytes) -> bool:
        return hmac.compare_digest(secret, self._secret.encode())

    def entered(self, connection: _ServerConnection) -> None:
        self._connections.add(connection)

    def left(self, connection: _ServerConnection) -> None:
        self._connections.discard(connection)

    def take(self, connection: _ServerConnection, number: int, batch: bytes) -> None:
        task = asyncio.ensure_future(self._answer(connection, number, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: _ServerConnection, number: int, batch: bytes) -> None:
        try:
            replies = await self._deliver(batch)
        except Exception:
            log.exception("batch_failed")
            replies = b""
        connection.reply(number, replies)


class _ServerConnection(Frames):
    def __init__(self, server: LaneServer) -> None:
        super().__init__()
        self._server = server
        self._known = False
        self._pending = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.entered(self)

    def connection_lost(self, why: Exception | None) -> None:
        self._server.left(self)

    def frame(self, number: int, body: bytes) -> None:
        if not self._known:
            self._known = self._server.knows(body)
            if not self._known:
                log.warning("stranger_cut_off")
                self.abort()
            return
        self._pending += 1
        if self._pending == MAX_PENDING and self.transport is not None:
            self.transport.pause_reading()
        self._server.take(self, number, body)

    def reply(self, number: int, replies: bytes) -> None:
        self._pending -= 1
        if self._pending == MAX_PENDING - 1 and self.transport is not None:
            self.transport.resume_reading()
        self.send(number, replies)


# The router's side


class LaneClient:
    """Connections to shards, made when they are needed."""

    def __init__(self, address_of: Callable[[str], Awaitable[Address]]) -> None:
        """`address_of` says where a shard listens now, or raises `ShardUnreachable`."""
        self._address_of = address_of
        self._connections: dict[str, asyncio.Task[_ClientConnection]] = {}

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        """Carry a batch to a shard and its replies back.

        Raises `ShardAbsent` where there is no connection: nothing was done. Raises
        `ShardUnreachable` where the connection ended: it is not known what was done.
        """
        connecting = self._connections.get(shard)
        if connecting is None or _has_ended(connecting):
            connecting = asyncio.ensure_future(self._connect(shard))
            self._connections[shard] = connecting
        if not (await asyncio.wait({connecting}, timeout=CONNECT_WAIT_S))[0]:
            raise ShardAbsent(f"{shard}: no connection yet")
        return await connecting.result().carry(batch)

    async def _connect(self, shard: str) -> _ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                address = await self._address_of(shard)
                _, connection = await loop.create_connection(
                    lambda: _ClientConnection(shard), address.host, address.port
                )
        except (OSError, ShardUnreachable, TimeoutError) as missing:
            why = str(missing) or "no connection in time"
            raise ShardAbsent(f"{shard}: {why}") from None
        connection.send(0, address.secret.encode())
        return connection

    def close(self) -> None:
        for connecting in self._connections.values():
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().abort()
            else:
                connecting.cancel()
        self._connections.clear()


def _has_ended(connecting: asyncio.Task[_ClientConnection]) -> bool:
    if not connecting.done():
        return False
    return connecting.cancelled() or connecting.exception() is not None or connecting.result().ended


class _ClientConnection(Frames):
    longest = 0xFFFF_FFFF
    """The shard is who it says; and its replies to one batch may be many large markets."""

    def __init__(self, shard: str) -> None:
        super().__init__()
        self.ended = False
        self._shard = shard
        self._number = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    async def carry(self, batch: bytes) -> bytes:
        if self.ended:
            raise ShardAbsent(f"{self._shard}: the connection ended")
        self._number = self._number % 0xFFFF_FFFF + 1
        number = self._number
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        self.send(number, batch)
        try:
            return await reply
        finally:
            self._waiting.pop(number, None)

    def frame(self, number: int, body: bytes) -> None:
        reply = self._waiting.get(number)
        if reply is None or reply.done():
            return  # given up meanwhile
        if body:
            reply.set_result(body)
        else:
            reply.set_exception(ShardUnreachable(f"{self._shard} could not deal with the batch"))

    def connection_lost(self, why: Exception | None) -> None:
        self.ended = True
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(ShardUnreachable(f"{self._shard}: the connection ended"))
