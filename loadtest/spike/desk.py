"""A desk of the staff or of the auditor: requests over one kept-alive connection, as documented."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import orjson

from loadtest.load import HOST, content_length, retry_after_s
from loadtest.spike.stage import Stage

ATTEMPTS = 30
AGAIN_S = 0.5
TIMEOUT_S = 20.0
LIMIT = 16 * 1024 * 1024
"""Bytes of an answer's head that are looked through; bodies are read by their length."""


class Refused(Exception):
    """The answer was a problem that another try won't change."""

    def __init__(self, path: str, status: int, answer: dict[str, Any]) -> None:
        super().__init__(f"{path}: {status} {answer.get('code')}: {answer.get('detail')}")
        self.status = status
        self.code = str(answer.get("code", status))


class NoAnswer(Exception):
    """However often it was asked."""


class Desk:
    """One request at a time. What is turned away for now, or gets no answer, is sent again under
    the same key; `turned_away` counts how often that was."""

    def __init__(self, stage: Stage) -> None:
        self.turned_away = 0
        self._port = stage.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, token: str) -> dict[str, Any]:
        return await self._persist("GET", path, token, b"", "")

    async def post(self, path: str, body: Any, token: str) -> dict[str, Any]:
        return await self._persist("POST", path, token, orjson.dumps(body), uuid4().hex)

    async def _persist(
        self, method: str, path: str, token: str, body: bytes, key: str
    ) -> dict[str, Any]:
        """Raises `Refused` or `NoAnswer`."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    status, answer, pause_s = await self._once(head.encode() + b"\r\n" + body)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                self.close()
                status, answer, pause_s = 0, {}, AGAIN_S
            if status in (0, 429, 503):
                self.turned_away += 1
                await asyncio.sleep(pause_s)
                continue
            if status >= 400:
                raise Refused(path, status, answer)
            return answer
        raise NoAnswer(f"{method} {path}: none of {ATTEMPTS} attempts was answered")

    async def _once(self, request: bytes) -> tuple[int, dict[str, Any], float]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=LIMIT)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(content_length(head, len(head) - 4))
        answer: dict[str, Any] = orjson.loads(body or b"{}")
        return int(head[9:12]), answer, retry_after_s(head)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
