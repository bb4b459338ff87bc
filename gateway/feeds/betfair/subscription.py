"""Where we stand with the exchange: up to which moment we know everything, or why we do not.

A subscription begins with an image of all its markets, or, resumed by the clocks of the last one
(`initialClk` and `clk`), with what has changed since; then it goes on with changes, and with
heartbeats while there are none. A message may come in segments, which count when the last one is
there: a connection that is lost in between has said nothing.

The exchange numbers nothing that we could count. What shows that we are out of step is a message
that was published before the last one and that we have not heard, a segment out of its place, or
a change before the beginning. Then nothing we know is sure: the clocks are forgotten, and the next
subscription begins with an image. A message that is heard again is recognised and left out.

Nothing here waits or looks at a clock: time is an argument, in milliseconds since the Unix epoch.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from gateway.feeds.betfair.messages import MarketChange, Message

REMEMBERED = 512
"""Messages by which a repeated one is recognised."""
MAX_SEGMENTED = 50_000
"""Changes of markets in one message, however many segments it has."""
CATCH_UP_MS = 60_000
"""The longest wait for the beginning of a subscription."""
LONGEST_HEARTBEAT_MS = 30_000
"""The exchange's own bound."""
MISSED = 2
"""Heartbeats in a row that may be missing, and half a second for the way."""
SLACK_MS = 500

NOT_CONNECTED = "not connected"
CATCHING_UP = "catching up"
LATE = "the exchange says that its data is late"


class OutOfStep(Exception):
    """What is said contradicts what was said before, or can't be understood."""


class Batch(msgspec.Struct, frozen=True):
    """Changes to be taken in together."""

    changes: list[MarketChange]
    image: bool
    """These are all the markets there are."""


class Standing(msgspec.Struct, frozen=True):
    trouble: str
    """Why nothing that we know can be relied on; empty when it can."""
    as_of_ms: int
    """All is known that happened until then, by the exchange's clock."""


class Subscription:
    def __init__(self, heartbeat_ms: int, conflate_ms: int) -> None:
        self.id = 0
        self.initial_clk: str | None = None
        self.clk: str | None = None
        self.trouble = NOT_CONNECTED
        self.images = 0
        self.resumed = 0
        self.repeats = 0
        """Messages that were heard again."""
        self._asked_heartbeat_ms = self._heartbeat_ms = heartbeat_ms
        self._asked_conflate_ms = self._conflate_ms = conflate_ms
        self._late = False
        self._began_ms = self._heard_ms = 0
        self._published_ms = self._as_of_ms = 0
        self._heard: OrderedDict[bytes, None] = OrderedDict()
        self._segments: list[MarketChange] | None = None
        self._clocks: tuple[str | None, str | None] = (None, None)

    @property
    def in_step(self) -> bool:
        return not self.trouble

    def begin(self, now_ms: int) -> int:
        """A new subscription, to be asked for with `initial_clk` and `clk`; its id."""
        self.id += 1
        self.trouble = CATCHING_UP
        self._heartbeat_ms = self._asked_heartbeat_ms
        self._conflate_ms = self._asked_conflate_ms
        self._late = False
        self._began_ms = self._heard_ms = now_ms
        self._published_ms = 0
        self._heard.clear()
        self._segments = None
        return self.id

    def end(self) -> None:
        """The connection is lost; what was said stays true for the time that it was said of."""
        self.trouble = NOT_CONNECTED
        self._segments = None

    def forget(self) -> None:
        """The next subscription begins with an image."""
        self.initial_clk = self.clk = None

    def hear(self, message: Message, digest: bytes, now_ms: int) -> Batch | None:
        """What is to be taken in now. `digest` tells whether it is the same line as another.

        Raises `OutOfStep`.
        """
        if message.id is not None and message.id != self.id:
            return None  # of a subscription that we have given up
        self._heard_ms = now_ms
        if digest in self._heard:
            self.repeats += 1
            return None
        self._remember(digest)
        if message.heartbeat_ms is not None:
            self._heartbeat_ms = max(1, min(message.heartbeat_ms, LONGEST_HEARTBEAT_MS))
        if message.conflate_ms is not None:
            self._conflate_ms = max(0, message.conflate_ms)
        if message.ct == "HEARTBEAT" or (message.mc is None and message.ct is None):
            self._nothing_new(message, now_ms)
            return None
        if not message.pt:
            raise OutOfStep("a change without its time (pt)")
        if message.pt < self._published_ms:
            raise OutOfStep("a change from before the last one")
        changes = self._whole(message)
        if changes is None:
            return None
        self._begins_rightly(message.ct)
        # From here it is taken in.
        initial_clk, clk = self._clocks
        self._clocks = (None, None)
        self.initial_clk = initial_clk or self.initial_clk
        self.clk = clk or self.clk
        self.trouble = ""
        self._published(message, now_ms)
        image = message.ct == "SUB_IMAGE"
        if image:
            self.images += 1
            _replace(changes)
        elif message.ct:
            self.resumed += 1
        return Batch(changes, image)

    def standing(self) -> Standing:
        return Standing(self.trouble or (LATE if self._late else ""), self._as_of_ms)

    def overdue(self, now_ms: int) -> str:
        """Why this connection is to be given up; empty while it is not."""
        silent_ms = now_ms - self._heard_ms
        if silent_ms > MISSED * self._heartbeat_ms + SLACK_MS:
            return f"nothing was heard for {silent_ms} ms"
        if self.trouble == CATCHING_UP and now_ms - self._began_ms > CATCH_UP_MS:
            return f"no image came for {now_ms - self._began_ms} ms"
        return ""

    def _remember(self, digest: bytes) -> None:
        self._heard[digest] = None
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    def _nothing_new(self, message: Message, now_ms: int) -> None:
        if message.pt < self._published_ms:
            if message.pt == 0:
                self._late = message.status == 503
            return  # overtaken by a change: nothing is missing for it
        if self.in_step:
            self.clk = message.clk or self.clk
        self._published(message, now_ms)

    def _published(self, message: Message, now_ms: int) -> None:
        self._late = message.status == 503
        self._published_ms = message.pt
        # Not later than it is here: a clock that is fast would keep prices fresh for ever.
        self._as_of_ms = min(message.pt, now_ms) - self._conflate_ms

    def _whole(self, message: Message) -> list[MarketChange] | None:
        """All changes of a message, when its last segment is there."""
        changes = message.mc or []
        kind = message.segment_type
        if (kind in (None, "SEG_START")) != (self._segments is None):
            raise OutOfStep(f"a segment out of its place ({kind or 'none'})")
        if kind is not None:
            self._segments = changes = [*(self._segments or ()), *changes]
            if len(changes) > MAX_SEGMENTED:
                raise OutOfStep(f"more than {MAX_SEGMENTED} changes in the segments of one message")
        initial_clk, clk = self._clocks if self._segments is not None else (None, None)
        self._clocks = (message.initial_clk or initial_clk, message.clk or clk)
        if kind in ("SEG_START", "SEG"):
            # Segments of one message are published together, or one after the other.
            self._published_ms = message.pt
            return None
        self._segments = None
        return changes

    def _begins_rightly(self, ct: str | None) -> None:
        if self.trouble == CATCHING_UP and ct not in ("SUB_IMAGE", "RESUB_DELTA"):
            raise OutOfStep("a change before the beginning")
        if ct == "RESUB_DELTA" and (self.in_step or self.clk is None):
            raise OutOfStep("it resumes what was not asked for")


def _replace(changes: list[MarketChange]) -> None:
    """In an image each market replaces what was known of it, whether it says so or not."""
    seen: set[str] = set()
    for change in changes:
        if change.id not in seen:
            change.img = True
            seen.add(change.id)
