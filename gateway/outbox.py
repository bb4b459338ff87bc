"""What waits to be sent to one socket, and what becomes of it when the reader is slow.

While few frames wait, every change goes out as its own frame, which was encoded once for all
sockets. Above a first bound, price changes of a topic that follow each other become one *run*:
the latest price of each selection. Above a second bound the reader is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
from msgspec import UNSET

from gateway.frames import Delta, Prices

CONFLATE_ABOVE = 64
"""Waiting frames above which prices are conflated."""
MAX_FRAMES = 2_000
MAX_BYTES = 8 * 1024 * 1024
"""Of waiting frames; a snapshot of a large fixture is some 100 KiB."""

_encode = msgspec.json.Encoder().encode


class Change:
    """A change of a topic, which is a fixture or a market, as it goes to all who follow it."""

    __slots__ = ("delta", "frame", "prices", "seq", "topic")

    def __init__(
        self,
        topic: str,
        seq: int,
        frame: bytes,
        prices: Prices | None,
        delta: Delta | None = None,
    ) -> None:
        self.topic = topic
        self.seq = seq
        self.frame = frame
        self.prices = prices
        """What it says of prices, if that is all it says: such changes can be conflated."""
        self.delta = delta


class Run:
    """Price changes of one topic without a gap, of which only the latest prices are kept."""

    __slots__ = ("first", "markets", "topic")

    def __init__(self, topic: str, prices: Prices) -> None:
        self.topic = topic
        self.first = prices.seq if prices.from_seq is UNSET else prices.from_seq
        self.markets: dict[str, Prices] = {}
        self.add(prices)

    def add(self, prices: Prices) -> None:
        earlier = self.markets.pop(prices.market_id, None)
        odds = {**earlier.odds, **prices.odds} if earlier else prices.odds
        # The market that changed last comes last.
        self.markets[prices.market_id] = msgspec.structs.replace(prices, odds=odds)

    def prices(self) -> list[Prices]:
        """One frame a market. Each says from where to where it goes on, without a gap, though
        what it tells of may have happened in another one's stretch."""
        frames = []
        from_seq = self.first
        for prices in self.markets.values():
            frames.append(msgspec.structs.replace(prices, from_seq=from_seq))
            from_seq = prices.seq + 1
        return frames


def conflated(changes: list[Change]) -> list[Prices | Change]:
    """Changes of one topic that follow each other, with each stretch of prices made as few frames
    as there are markets in it."""
    frames: list[Prices | Change] = []
    run: Run | None = None
    for change in changes:
        if change.prices is None:
            frames.extend([] if run is None else run.prices())
            frames.append(change)
            run = None
        elif run is None:
            run = Run(change.topic, change.prices)
        else:
            run.add(change.prices)
    frames.extend([] if run is None else run.prices())
    return frames


class Latest:
    """A frame that makes an earlier one of its kind worthless, such as a balance."""

    __slots__ = ("frame", "name")

    def __init__(self, name: str, frame: bytes) -> None:
        self.name = name
        self.frame = frame


class Outbox:
    """`encode` makes the bytes of a run's frames, which are to be like those that are put in."""

    def __init__(
        self,
        conflate_above: int = CONFLATE_ABOVE,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BYTES,
        encode: Callable[[Prices], bytes] = _encode,
    ) -> None:
        self._conflate_above = conflate_above
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._encode = encode
        self._waiting: deque[bytes | Run | Latest] = deque()
        self._bytes = 0
        self._runs: dict[str, Run] = {}
        """By topic, where nothing else of it waits behind."""
        self._latest: dict[str, Latest] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def too_full(self) -> bool:
        return len(self._waiting) > self._max_frames or self._bytes > self._max_bytes

    def put(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._bytes += len(frame)

    def put_snapshot(self, topic: str, frame: bytes) -> None:
        self._runs.pop(topic, None)
        self.put(frame)

    def put_change(self, change: Change) -> None:
        if change.prices is None or len(self._waiting) < self._conflate_above:
            self._runs.pop(change.topic, None)
            self.put(change.frame)
            return
        run = self._runs.get(change.topic)
        if run is not None:
            run.add(change.prices)
        else:
            run = self._runs[change.topic] = Run(change.topic, change.prices)
            self._waiting.append(run)

    def put_changes(self, topic: str, changes: list[Change], frames: bytes) -> None:
        """Changes of one topic that follow each other, which are `frames` when put one after the
        other: made once for all who are not behind."""
        if len(self._waiting) < self._conflate_above:
            self._runs.pop(topic, None)
            self.put(frames)
            return
        for change in changes:
            self.put_change(change)

    def put_latest(self, name: str, frame: bytes) -> None:
        latest = self._latest.get(name)
        if latest is not None:
            latest.frame = frame
        else:
            latest = self._latest[name] = Latest(name, frame)
            self._waiting.append(latest)

    def take_up_to(self, size: int) -> list[bytes]:
        """Frames of about so many bytes together, at least one if any waits."""
        taken: list[bytes] = []
        while self._waiting and size > 0:
            for frame in self.take():
                taken.append(frame)
                size -= len(frame)
        return taken

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
        if self._runs.get(first.topic) is first:
            del self._runs[first.topic]
        return [self._encode(prices) for prices in first.prices()]
