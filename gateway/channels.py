"""Valkey's publish and subscribe, on one connection of a gateway.

What is published while nobody is connected is lost: that is why a channel has `missed`, which is
called when the connection was made again, before anything else arrives on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
import redis.exceptions
import structlog

log = structlog.get_logger()

PING_S = 5.0
"""A connection on which nothing arrives for so long is asked whether it is alive."""
READ_BYTES = 64 * 1024
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

Received = Callable[[bytes], None]
Missed = Callable[[], None]


class Channel:
    """Somebody's interest in a channel."""

    __slots__ = ("confirmed", "missed", "ready", "received")

    def __init__(self, received: Received, missed: Missed) -> None:
        self.received = received
        self.missed = missed
        self.ready = asyncio.Event()
        self.confirmed = False
        """It was subscribed to before: a confirmation now follows a broken connection."""


class Channels:
    """One owner a channel: `listen` a second time replaces the first."""

    def __init__(self, valkey: redis.asyncio.Redis) -> None:
        self._valkey = valkey
        self._channels: dict[str, Channel] = {}
        self._connection: redis.asyncio.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._telling = asyncio.Lock()
        self.connected = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="gateway-channels")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def listen(
        self, name: str, received: Received, missed: Missed, timeout_s: float = 5.0
    ) -> Channel:
        """Return when whatever is published from now on will be received.

        Raises `TimeoutError` when Valkey does not confirm it; the channel is then not listened to.
        """
        channel = self._channels[name] = Channel(received, missed)
        try:
            async with asyncio.timeout(timeout_s):
                await self._tell(name)
                self._wanted.set()
                await channel.ready.wait()
        except BaseException:
            await self.leave(name, channel)
            raise
        return channel

    async def leave(self, name: str, channel: Channel) -> None:
        """Stop listening. Whoever has begun to listen on the same channel since goes on."""
        if self._channels.get(name) is channel:
            del self._channels[name]
            await self._tell(name)

    async def _tell(self, name: str) -> None:
        """Make Valkey's list agree with ours; one at a time, so that the last word is the last."""
        async with self._telling:
            if self._connection is None or not self.connected:
                return  # all that is wanted will be subscribed to when there is a connection
            try:
                if name in self._channels:
                    await self._say("SUBSCRIBE", name)
                else:
                    await self._say("UNSUBSCRIBE", name)
            except (redis.exceptions.RedisError, OSError):
                # The reader sees it too, connects again, and subscribes to what is wanted then.
                self.connected = False

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                await self._wanted.wait()  # nothing is connected before somebody listens
                await self._read()
            except (redis.exceptions.RedisError, OSError) as error:
                log.warning("channels_lost", why=repr(error))
            except Exception:
                log.exception("channels_failed")
            was_connected, self.connected = self.connected, False
            attempt = 0 if was_connected else attempt + 1
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])

    async def _read(self) -> None:
        """Subscribe to all that is wanted and hand out what comes, until the connection breaks."""
        pool = self._valkey.connection_pool
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
            self._connection = connection
            wanted = list(self._channels)
            if wanted:
                await self._say("SUBSCRIBE", *wanted)
            self.connected = True
            # Whoever came while we connected is not among those.
            late = [name for name in self._channels if name not in wanted]
            if late:
                await self._say("SUBSCRIBE", *late)
            await self._receive(connection._reader)
        finally:
            self._connection = None
            await asyncio.shield(self._close(connection))

    async def _receive(self, stream: asyncio.StreamReader) -> None:
        """Many messages come in one piece, and are taken apart in C: the client's own way, one
        message at a time, costs several times as much as all that is done with it here."""
        parser = hiredis.Reader()
        asked = False
        while self.connected:
            try:
                async with asyncio.timeout(PING_S):
                    data = await stream.read(READ_BYTES)
            except TimeoutError:
                if asked:
                    raise redis.exceptions.ConnectionError("no answer to a ping") from None
                async with self._telling:
                    await self._say("PING")
                asked = True
                continue
            if not data:
                raise redis.exceptions.ConnectionError("the connection was closed")
            asked = False
            parser.feed(data)
            while (message := parser.gets()) is not False:
                self._handle(message)

    async def _say(self, *words: str) -> None:
        assert self._connection is not None
        await self._connection.send_command(*words, check_health=False)

    @staticmethod
    async def _close(connection: redis.asyncio.Connection) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await connection.disconnect()

    def _handle(self, message: Any) -> None:
        if not isinstance(message, list):
            return  # the answer to a ping
        kind, name = message[0], message[1]
        channel = self._channels.get(name.decode())
        if channel is None:
            return
        if kind == b"message":
            self._call(channel.received, message[2])
        elif kind == b"subscribe":
            channel.ready.set()
            if channel.confirmed:
                self._call(channel.missed)
            channel.confirmed = True

    def _call(self, listener: Callable[..., None], *arguments: Any) -> None:
        """A listener that fails must not silence the others."""
        try:
            listener(*arguments)
        except Exception:
            log.exception("listener_failed")
