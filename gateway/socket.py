"""A WebSocket of aiohttp's, with a short way in for text frames and a cheap way out.

aiohttp reads frames in C, and then hands each to whoever waits, which takes a task and a turn of
the loop. Here a text frame is first shown to the stream as it is read; what that does not take at
once waits for `receive` as usual, as do all other frames. On the way out a frame is bytes that are
made once, however many sockets they go to, and what goes to a socket together is written together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import Any

import msgspec
from aiohttp import WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WebSocketReader

from gateway import frames
from gateway.http import MAX_BODY

MAX_UNHEARD = 64 * 1024
"""Bytes of frames that wait for `receive`, above which nothing more is read."""
PING = b"\x89\x00"

_MEDIUM = Struct("!BBH").pack
_LARGE = Struct("!BBQ").pack
_json = msgspec.json.Encoder().encode


def text_frame(text: bytes) -> bytes:
    """A text as it goes over the wire from a server (RFC 6455, section 5.2): not masked."""
    length = len(text)
    if length < 126:
        return b"\x81%c%b" % (length, text)
    if length < 65_536:
        return _MEDIUM(0x81, 126, length) + text
    return _LARGE(0x81, 127, length) + text


def json_frame(frame: Any) -> bytes:
    """One of `gateway.frames` as it goes over the wire: made once, for whoever it is sent to."""
    return text_frame(_json(frame))


class Inbox(WebSocketDataQueue):
    """What a client has sent and nobody has heard yet."""

    def __init__(
        self, protocol: Any, loop: asyncio.AbstractEventLoop, hear: Callable[[bytes], bool]
    ) -> None:
        super().__init__(protocol, MAX_UNHEARD, loop=loop)
        self._hear = hear
        self.heard = True
        """Something has come since this was last set to False."""

    def feed_data(self, data: Any, size: int) -> None:
        self.heard = True
        if data[0] is WSMsgType.TEXT and self._hear(data[1]):
            return
        super().feed_data(data, size)


class Socket(web.WebSocketResponse):
    """Shows each text frame to `hear`, as bytes, which says whether it has taken it."""

    def __init__(self, hear: Callable[[bytes], bool], close_s: float) -> None:
        super().__init__(
            protocols=(frames.SUBPROTOCOL,),
            timeout=close_s,
            # Each frame is encoded once for all sockets; compressed, it would be so for each.
            compress=False,
            max_msg_size=MAX_BODY,
            decode_text=False,
        )
        self._hear = hear
        self.inbox: Inbox

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: Any) -> None:
        """As aiohttp's, with an inbox of ours and without a timer for each socket."""
        assert self._loop is not None
        self._ws_protocol = protocol
        self._writer = writer
        self.inbox = self._reader = Inbox(request.protocol, self._loop, self._hear)
        self._parser = WebSocketReader(
            self._reader, self._max_msg_size, compress=False, decode_text=False
        )
        request.protocol.set_parser(self._parser)
        request.protocol.keep_alive(False)
