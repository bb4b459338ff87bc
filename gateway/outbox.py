"""What waits to be sent to one socket, and what becomes of it when the reader is slow.

While few frames wait, every change goes out as its own frame, which was encoded once for all
sockets. Above a first bound, price changes of a fixture that follow each other become one *run*:
the latest price of each selection. Above a second bound the reader is given up.
"""

from __future__ import annotations

from collections import deque

import msgspec

from gateway.frames import Prices

CONFLATE_ABOVE = 64
"""Waiting frames above which prices are conflated."""
MAX_FRAMES = 2_000
MAX_BYTES = 8 * 1024 * 1024
"""Of waiting frames; a snapshot of a large fixture is some 100 KiB."""

_encode = msgspec.json.Encoder().encode


class Change(msgspec.Struct, frozen=True):
    """A change of a fixture, as it goes to everybody."""

    fixture_id: str
    seq: int
    frame: bytes
    prices: Prices | None


class Run:
    """Price changes of one fixture without a gap, of which only the latest prices are kept."""

    __slots__ = ("first", "fixture_id", "markets")

    def __init__(self, prices: Prices) -> None:
        self.fixture_id = prices.fixture_id
        self.first = prices.seq
        self.markets: dict[str, Prices] = {}
        self.add(prices)

    def add(self, prices: Prices) -> None:
        earlier = self.markets.pop(prices.market_id, None)
        odds = {**earlier.odds, **prices.odds} if earlier else prices.odds
        # The market that changed last comes last.
        self.markets[prices.market_id] = msgspec.structs.replace(prices, odds=odds)

    def frames(self) -> list[bytes]:
        """One frame a market. Each says from where to where it goes on, without a gap, though
        what it tells of may have happened in another one's stretch."""
        frames = []
        from_seq = self.first
        for prices in self.markets.values():
            frames.append(_encode(msgspec.structs.replace(prices, from_seq=from_seq)))
            from_seq = prices.seq + 1
        return frames


class Latest:
    """A frame that makes an earlier one of its kind worthless, such as a balance."""

    __slots__ = ("frame", "name")

    def __init__(self, name: str, frame: bytes) -> None:
        self.name = name
        self.frame = frame


class Outbox:
    def __init__(
        self,
        conflate_above: int = CONFLATE_ABOVE,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._conflate_above = conflate_above
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._waiting: deque[bytes | Run | Latest] = deque()
        self._bytes = 0
        self._runs: dict[str, Run] = {}
        """By fixture, where nothing else of the fixture waits behind it."""
        self._latest: dict[str, Latest] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def too_full(self) -> bool:
        return len(self._waiting) > self._max_frames or self._bytes > self._max_bytes

    def put(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._bytes += len(frame)

    def put_snapshot(self, fixture_id: str, frame: bytes) -> None:
        self._runs.pop(fixture_id, None)
        self.put(frame)

    def put_change(self, change: Change) -> None:
        if change.prices is None or len(self._waiting) < self._conflate_above:
            self._runs.pop(change.fixture_id, None)
            self.put(change.frame)
            return
        run = self._runs.get(change.fixture_id)
        if run is not None:
            run.add(change.prices)
        else:
            run = self._runs[change.fixture_id] = Run(change.prices)
            self._waiting.append(run)

    def put_latest(self, name: str, frame: bytes) -> None:
        latest = self._latest.get(name)
        if latest is not None:
            latest.frame = frame
        else:
            latest = self._latest[name] = Latest(name, frame)
            self._waiting.append(latest)

    def take(self) -> list[bytes]:
        """The frames to send next; none when nothing waits."""
        if not self._waiting:
            return []
        first = self._waiting.popleft()
        if isinstance(first, bytes):
            self._bytes -= len(first)
            return [first]
        if isinstance(first, Latest):
            del self._latest[first.name]
            return [first.frame]
        if self._runs.get(first.fixture_id) is first:
            del self._runs[first.fixture_id]
        return first.frames()
