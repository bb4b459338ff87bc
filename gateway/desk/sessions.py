"""Sessions of staff: opaque tokens, of which only a hash is kept, in Valkey.

Staff are few, so nothing is believed for a while as it is of players (`gateway.sessions`): every
request asks Valkey for the session, and the member's actor whether it still counts. Whoever is
disabled, demoted or given another password is so with the next request.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import redis.asyncio

from actors.runtime.clock import Clock
from gateway.sessions import digest_of, expired


class StaffSession(msgspec.Struct, frozen=True, array_like=True):
    digest: str
    login: str
    credential_version: int
    """The member's when they logged in: a new password ends the session."""
    ends_at_ms: int
    """However busy it is."""


class StaffSessions:
    """Raises redis errors when Valkey can't be reached: without it nobody is let in."""

    def __init__(
        self, valkey: redis.asyncio.Redis, clock: Clock, idle_ms: int, max_ms: int
    ) -> None:
        self._valkey = valkey
        self._clock = clock
        self._idle_ms = min(idle_ms, max_ms)
        self._max_ms = max_ms

    async def create(self, login: str, credential_version: int) -> tuple[str, int]:
        """A token, which nobody will see again, and when it ends if it is not used."""
        token = secrets.token_urlsafe(32)
        now_ms = self._clock.now_ms()
        digest = digest_of(token)
        session = StaffSession(digest, login, credential_version, now_ms + self._max_ms)
        await self._valkey.set(_name(digest), msgspec.msgpack.encode(session), px=self._idle_ms)
        return token, now_ms + self._idle_ms

    async def find(self, token: str) -> StaffSession:
        """The session of a token, used by this. Raises the problem `unauthenticated`."""
        name = _name(digest_of(token))
        raw: Any = await self._valkey.getex(name, px=self._idle_ms)
        if raw is None:
            raise expired()
        session = msgspec.msgpack.decode(raw, type=StaffSession)
        if self._clock.now_ms() >= session.ends_at_ms:
            raise expired()
        return session

    async def end(self, digest: str) -> None:
        await self._valkey.delete(_name(digest))


def _name(digest: str) -> str:
    return f"staff-session/{digest}"
