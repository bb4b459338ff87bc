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
from collections.abc import Iterator

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors.base import Event
from actors.bet import BetEvent
from actors.entries import AnyEvent
from actors.fixture import EventLimitsChanged, FixtureCreated, FixtureEvent, ModelSet, PhaseChanged
from actors.market import DeskEvent, MarketEvent
from actors.player import PlayerRegistered
from actors.risk.referral import ReferralEvent
from actors.runtime.wire import News, Notice, encode_news, encode_notice
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


def players_channel(partition: str) -> str:
    """One for all players of a partition: nobody has to find out who is watched, and a block is
    published in one piece."""
    return f"players/{partition}"


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
            self._queue.extend(published(notice))
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


def published(notice: Notice) -> Iterator[tuple[str, bytes]]:
    """What is said of a block, by channel; some events are said to nobody."""
    players: list[tuple[str, AnyEvent]] = []
    channels: dict[str, list[AnyEvent]] = {}
    for event in notice.events:
        audience = _audience_of(type(event))
        if audience is Audience.PLAYER:
            players.append((event.player_id, event))  # type: ignore[union-attr]
        elif audience is not Audience.NOBODY:
            channel = fixture_channel(event.fixture_id)  # type: ignore[union-attr]
            channels.setdefault(channel, []).append(event)
            if audience is Audience.LOBBY:
                channels.setdefault(LOBBY, []).append(event)
    if players:
        news = News(notice.at_ms, notice.partition, notice.block_seq, players)
        yield players_channel(notice.partition), encode_news(news)
    for channel, events in channels.items():
        part = Notice(notice.at_ms, notice.partition, notice.block_seq, tuple(events))
        yield channel, encode_notice(part)


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
    if issubclass(kind, EventLimitsChanged | ModelSet | DeskEvent):
        return Audience.NOBODY
    if issubclass(kind, FixtureEvent | MarketEvent):
        return Audience.FIXTURE
    if issubclass(kind, WalletEvent | BetEvent | PlayerRegistered | ReferralEvent):
        return Audience.PLAYER
    return Audience.NOBODY
