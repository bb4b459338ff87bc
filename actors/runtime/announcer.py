"""Publishes what has become durable, for the gateways' sockets, through Valkey.

Publishing is a hint: whoever follows a fixture or a player sees by the sequence numbers when
something was missed, and asks again. So the queue here is bounded, and the oldest notices are
dropped when Valkey does not keep up.
"""

from __future__ import annotations

import asyncio
import enum
import functools
from collections import deque
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors.base import Event
from actors.bet import BetEvent
from actors.entries import AnyEvent
from actors.fixture import FixtureCreated, FixtureEvent, PhaseChanged
from actors.market import MarketEvent
from actors.player import PlayerRegistered
from actors.runtime.addresses import scope_of
from actors.runtime.wire import Notice, encode_notice
from actors.wallet import WalletEvent

log = structlog.get_logger()

MAX_QUEUED = 10_000
PAUSE_S = 0.5
_PUBLISH = """
for i = 1, #ARGV, 2 do
    redis.call('publish', ARGV[i], ARGV[i + 1])
end
"""
"""One command and one reply for many notices: taking the replies apart cost more than sending."""
LOBBY = "fixtures"


def fixture_channel(fixture_id: str) -> str:
    return f"fixture/{fixture_id}"


def player_channel(licence: str, player_id: str) -> str:
    return f"player/{licence}/{player_id}"


class ValkeyAnnouncer:
    """One task sends what waits, many notices in one round trip."""

    def __init__(self, url: str) -> None:
        self._valkey: Redis = Redis.from_url(url)
        self._publish = self._valkey.register_script(_PUBLISH)
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=MAX_QUEUED)
        self._work = asyncio.Event()
        self._sender = asyncio.ensure_future(self._send_forever())

    def announce(self, notices: list[Notice]) -> None:
        for notice in notices:
            for channel, events in _by_channel(notice).items():
                part = Notice(notice.at_ms, notice.partition, notice.block_seq, tuple(events))
                self._queue.append((channel, encode_notice(part)))
        self._work.set()

    async def _send_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(500, len(self._queue)))]
                try:
                    await self._publish(args=[part for notice in batch for part in notice])
                except (RedisError, OSError) as lost:
                    log.warning("notices_lost", count=len(batch), why=str(lost))
                    await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        self._sender.cancel()
        await self._valkey.aclose()


def _by_channel(notice: Notice) -> dict[str, list[AnyEvent]]:
    """The events of a notice, by where they are published; some go nowhere."""
    scope = scope_of(notice.partition)
    channels: dict[str, list[AnyEvent]] = {}
    for event in notice.events:
        for channel in _channels_of(_audience_of(type(event)), event, scope):
            channels.setdefault(channel, []).append(event)
    return channels


def _channels_of(audience: Audience, event: Any, scope: str) -> tuple[str, ...]:
    if audience is Audience.PLAYER:
        return (player_channel(scope, event.player_id),)
    if audience is Audience.FIXTURE:
        return (fixture_channel(event.fixture_id),)
    if audience is Audience.LOBBY:
        return fixture_channel(event.fixture_id), LOBBY
    return ()


class Audience(enum.Enum):
    NOBODY = enum.auto()
    PLAYER = enum.auto()
    FIXTURE = enum.auto()
    LOBBY = enum.auto()
    """Who follows the fixture, and who follows the list of fixtures."""


@functools.cache
def _audience_of(kind: type[Event]) -> Audience:
    # Kept by type: what an event is a kind of takes longer to find out than to publish it.
    if issubclass(kind, FixtureCreated | PhaseChanged):
        return Audience.LOBBY
    if issubclass(kind, FixtureEvent | MarketEvent):
        return Audience.FIXTURE
    if issubclass(kind, WalletEvent | BetEvent | PlayerRegistered):
        return Audience.PLAYER
    return Audience.NOBODY
