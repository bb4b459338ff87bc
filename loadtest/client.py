"""The smallest HTTP/1.1 client that can load a server without being the load itself.

One connection, one request at a time, bodies with a Content-Length: what the API sends.
"""

from __future__ import annotations

import asyncio
from typing import cast


class Disconnected(Exception):
    """The server closed the connection before it answered."""


class Connection(asyncio.Protocol):
    """A kept-alive connection; `request` is to be awaited before the next one is made."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def request(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Send a request whose head lacks only its length; status and body of the answer.

        `head` ends with the last header's line break.
        """
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + length + body)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.find(b"\r", at) if b"\r" in head[at:] else None])
        if len(self._buffer) < end + 4 + length:
            return
        body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = self._buffer[end + 4 + length :]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, why: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Disconnected(str(why)))
