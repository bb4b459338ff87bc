"""What a server sends over a WebSocket, put together from the pieces in which it arrives."""

from __future__ import annotations

from loadtest.load import CLOSE, HANDSHAKE, NO_MASK, PING, PONG, TEXT, next_frame, text_frame

__all__ = ["CLOSE", "HANDSHAKE", "PING", "TEXT", "NoStream", "Reader", "pong", "text_frame"]


class NoStream(OSError):
    """The server did not agree to the upgrade; the first line of its answer."""


class Reader:
    """The answer to `HANDSHAKE` first, then frames."""

    def __init__(self) -> None:
        self.open = False
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are whole now, each with its kind. Raises `NoStream`."""
        data = self._rest + data if self._rest else data
        if not self.open:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = data
                return []
            if not head.startswith(b"101", 9):
                raise NoStream(head.split(b"\r\n", 1)[0].decode("latin-1"))
            self.open, data = True, rest
        frames, at = [], 0
        while (frame := next_frame(data, at)) is not None:
            kind, payload, at = frame
            frames.append((kind, payload))
        self._rest = data[at:]
        return frames


def pong(payload: bytes) -> bytes:
    """The answer to a ping."""
    return bytes((0x80 | PONG, 0x80 | len(payload))) + NO_MASK + payload
