"""Sessions of players: opaque tokens, of which only a hash is kept, in Valkey.

A session ends when nothing was asked with it for a while, when it is old, and when the player logs
out. A gateway believes for some seconds what Valkey said about a token, and asks again in the
background while the player goes on, many tokens in one round trip: a busy player waits for Valkey
once. A log-out is broadcast and ends that belief at once; were the broadcast lost with the
connection, the belief still ends by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import redis.asyncio
import structlog

from actors.runtime.clock import Clock
from gateway.channels import Channels
from gateway.problems import Problem

REVOKED = "sessions/revoked"
"""The channel on which the hash of a session that was ended is published."""
CACHE_MS = 30_000
"""How long what Valkey said is believed; a quarter of the idle time where that is less."""
REFRESH_MS = 15_000
"""What is as old as that when it is used is asked for again, without anybody waiting."""
MAX_CACHED = 50_000
MAX_ENDED = 10_000
"""Sessions that were ended lately; an answer that was on its way could bring one of them back."""
MAX_ASKED = 500
"""Sessions read in one round trip."""

# Answers what is stored of each session, and moves its end by ARGV[1] milliseconds from now.
_USE = """
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = redis.call('GETEX', key, 'PX', ARGV[1])
end
return found
"""

log = structlog.get_logger()


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


class Cached:
    """A session, until when it is believed, and from when on it is asked for again."""

    __slots__ = ("refresh_ms", "session", "until_ms")

    def __init__(self, session: Session, refresh_ms: int, until_ms: int) -> None:
        self.session = session
        self.refresh_ms = refresh_ms
        self.until_ms = until_ms


_encode = msgspec.msgpack.Encoder().encode
_stored = msgspec.msgpack.Decoder(Stored)


@lru_cache(maxsize=MAX_CACHED)
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
        self._cache: dict[str, Cached] = {}
        self._ended: dict[str, None] = {}
        self._script = valkey.register_script(_USE)
        self._asked: dict[str, asyncio.Future[Session]] = {}
        """By digest, those that nobody has begun to read yet."""
        self._asking: asyncio.Task[None] | None = None
        self._cache_ms = min(CACHE_MS, idle_ms // 4)
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

    def known(self, token: str) -> Session | None:
        """The session of a token that was used a moment ago: nobody has to be asked."""
        return self.recalled(digest_of(token))

    def recalled(self, digest: str) -> Session | None:
        """The same, by its digest."""
        cached = self._cache.get(digest)
        if cached is None:
            return None
        now_ms = self._clock.now_ms()
        if now_ms >= cached.until_ms:
            del self._cache[digest]
            return None
        if now_ms >= cached.refresh_ms:
            cached.refresh_ms = cached.until_ms
            self._ask(digest)
        return cached.session

    async def find(self, token: str) -> Session:
        """The session of a token, used by this. Raises the problem `unauthenticated`."""
        return await self.use(digest_of(token))

    async def use(self, digest: str) -> Session:
        """The same, of a session that is known already."""
        cached = self.recalled(digest)
        if cached is not None:
            return cached
        return await asyncio.shield(self._ask(digest))

    def _ask(self, digest: str) -> asyncio.Future[Session]:
        """What Valkey will say; those who ask in one turn of the loop, or during a round trip,
        are answered by the next one."""
        asked = self._asked.get(digest)
        if asked is None:
            asked = self._asked[digest] = asyncio.get_running_loop().create_future()
            # Nobody may be waiting for it, so nobody else looks at what went wrong.
            asked.add_done_callback(lambda done: done.exception())
            if self._asking is None:
                self._asking = asyncio.ensure_future(self._ask_all())
        return asked

    async def _ask_all(self) -> None:
        try:
            while self._asked:
                digests = list(self._asked)[:MAX_ASKED]
                batch = {digest: self._asked.pop(digest) for digest in digests}
                try:
                    names = [_name(digest) for digest in batch]
                    found: Any = await self._script(keys=names, args=[self._idle_ms])
                except Exception as error:
                    log.warning("sessions_not_read", sessions=len(batch), why=repr(error))
                    found = [error] * len(batch)
                for (digest, asked), raw in zip(batch.items(), found, strict=True):
                    try:
                        if isinstance(raw, Exception):
                            raise raw
                        session = self._open(digest, raw, self._idle_ms)
                    except Exception as error:
                        asked.set_exception(error)
                    else:
                        asked.set_result(session)
        finally:
            self._asking = None

    async def look(self, digest: str) -> Session:
        """The session as it is, without moving its end."""
        raw: Any = await self._valkey.get(_name(digest))
        return self._open(digest, raw, await self._valkey.pttl(_name(digest)))

    def _open(self, digest: str, raw: Any, left_ms: int) -> Session:
        self._cache.pop(digest, None)
        if raw is None or left_ms < 0 or digest in self._ended:
            raise expired()
        now_ms = self._clock.now_ms()
        stored = _stored.decode(raw)
        if stored.licence != self._licence or now_ms >= stored.ends_at_ms:
            raise expired()
        expires_at_ms = min(now_ms + left_ms, stored.ends_at_ms)
        session = Session(
            digest, stored.player_id, stored.licence, stored.ends_at_ms, expires_at_ms
        )
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        until_ms = min(now_ms + self._cache_ms, expires_at_ms)
        refresh_ms = now_ms + min(REFRESH_MS, self._cache_ms // 2)
        self._cache[digest] = Cached(session, refresh_ms, until_ms)
        return session

    async def end(self, digest: str) -> None:
        """Log out, on every gateway."""
        await self._valkey.delete(_name(digest))
        self._forget(digest)
        await self._valkey.publish(REVOKED, digest)

    def _revoked(self, payload: bytes) -> None:
        digest = payload.decode()
        self._forget(digest)
        self.on_revoked(digest)

    def _forget(self, digest: str) -> None:
        """Whatever Valkey may have said about it just before is not believed any more."""
        self._cache.pop(digest, None)
        if len(self._ended) >= MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[digest] = None


def _name(digest: str) -> str:
    return f"session/{digest}"
