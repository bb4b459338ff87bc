"""Sessions of players: opaque tokens, of which only a hash is kept, in Valkey.

A session ends when nothing was asked with it for a while, when it is old, and when the player logs
out. A gateway believes for up to a second what Valkey said about a token, so that a busy player
costs one round trip a second and not one a bet; a log-out is broadcast and ends that second early.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
import redis.asyncio

from actors.runtime.clock import Clock
from gateway.channels import Channels
from gateway.problems import Problem

REVOKED = "sessions/revoked"
"""The channel on which the hash of a session that was ended is published."""
CACHE_MS = 1_000
MAX_CACHED = 20_000


class Session(msgspec.Struct, frozen=True):
    """Who a token is. `digest` stands for the token everywhere behind the door."""

    digest: str
    player_id: str
    licence: str
    ends_at_ms: int
    """However busy it is."""
    expires_at_ms: int
    """If nothing is asked with it until then."""


class Stored(msgspec.Struct, frozen=True, array_like=True):
    player_id: str
    licence: str
    ends_at_ms: int


_encode = msgspec.msgpack.Encoder().encode
_stored = msgspec.msgpack.Decoder(Stored)


def digest_of(token: str) -> str:
    """The token has 256 random bits: a fast hash is enough, there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def expired() -> Problem:
    return Problem(
        "unauthenticated",
        "The session is unknown or has ended: log in again.",
        headers={"WWW-Authenticate": 'Bearer realm="grandstand", error="invalid_token"'},
    )


class Sessions:
    """Raises redis errors when Valkey can't be reached: without it nobody is let in."""

    def __init__(
        self,
        valkey: redis.asyncio.Redis,
        channels: Channels,
        clock: Clock,
        licence: str,
        idle_ms: int,
        max_ms: int,
    ) -> None:
        self._valkey = valkey
        self._channels = channels
        self._clock = clock
        self._licence = licence
        self._idle_ms = idle_ms
        self._max_ms = max_ms
        self._cache: dict[str, tuple[Session, int]] = {}
        self.on_revoked: Callable[[str], None] = lambda digest: None
        """Told the digest of every session that a player ended, on whichever gateway."""

    async def start(self) -> None:
        await self._channels.listen(REVOKED, self._revoked, self._cache.clear)

    async def create(self, player_id: str) -> tuple[str, Session]:
        """A new session and its token, which nobody will see again."""
        token = secrets.token_urlsafe(32)
        now_ms = self._clock.now_ms()
        ends_at_ms = now_ms + self._max_ms
        digest = digest_of(token)
        stored = Stored(player_id, self._licence, ends_at_ms)
        lives_ms = min(self._idle_ms, self._max_ms)
        await self._valkey.set(_name(digest), _encode(stored), px=lives_ms)
        return token, Session(digest, player_id, self._licence, ends_at_ms, now_ms + lives_ms)

    async def find(self, token: str) -> Session:
        """The session of a token, used by this. Raises the problem `unauthenticated`."""
        return await self.use(digest_of(token))

    async def use(self, digest: str) -> Session:
        """The same, of a session that is known already."""
        now_ms = self._clock.now_ms()
        cached = self._cache.get(digest)
        if cached is not None and now_ms < cached[1]:
            return cached[0]
        self._cache.pop(digest, None)
        raw = await self._valkey.getex(_name(digest), px=self._idle_ms)
        return await self._open(digest, raw, self._idle_ms)

    async def look(self, digest: str) -> Session:
        """The session as it is, without moving its end."""
        raw = await self._valkey.get(_name(digest))
        return await self._open(digest, raw, await self._valkey.pttl(_name(digest)))

    async def _open(self, digest: str, raw: Any, left_ms: int) -> Session:
        if raw is None or left_ms < 0:
            raise expired()
        now_ms = self._clock.now_ms()
        stored = _stored.decode(raw)
        if stored.licence != self._licence:
            raise expired()
        if now_ms >= stored.ends_at_ms:
            await self.end(digest)
            raise expired()
        expires_at_ms = min(now_ms + left_ms, stored.ends_at_ms)
        session = Session(
            digest, stored.player_id, stored.licence, stored.ends_at_ms, expires_at_ms
        )
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[digest] = (session, min(now_ms + CACHE_MS, expires_at_ms))
        return session

    async def end(self, digest: str) -> None:
        """Log out, on every gateway."""
        await self._valkey.delete(_name(digest))
        self._cache.pop(digest, None)
        await self._valkey.publish(REVOKED, digest)

    def _revoked(self, payload: bytes) -> None:
        digest = payload.decode()
        self._cache.pop(digest, None)
        self.on_revoked(digest)


def _name(digest: str) -> str:
    return f"session/{digest}"
