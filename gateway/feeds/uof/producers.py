"""Whether what a producer of the feed has said can be believed: alive, current and without gaps.

Each producer (live odds, prematch odds, virtuals) says every few seconds that it is alive, and
whether we are `subscribed`: if not, messages may have been lost. Whoever has lost messages asks
the API for a recovery, and has everything again when a `snapshot_complete` carries the number of
that very request. The rules, each of which the feed's documentation has:

- Silent for 20 s (`inactivity_ms`): down, and a recovery is needed when it is heard again.
- `subscribed="0"`: down, a recovery is needed.
- The newest of its messages is 20 s old when it arrives (`max_lag_ms`): delayed. Nothing is lost,
  so it is believed again when its messages are young again.
- A recovery asks for what was missed since the last time all was well, or for everything where
  that is longer ago than the producer can look back (`window_ms`: live 600 minutes, prematch 4,320,
  virtuals 180).
- At most one request in 30 s; a recovery without end after 1,200 s is asked for again.

A request is not a recovery. While the API is down a request fails, or nobody answers it: then the
state is still DOWN and the request is repeated. Only the API's yes, or the answer itself, makes it
RECOVERING; and silence or another loss meanwhile makes all of it void.

Prices are believed by the *epoch* they were heard in: the number of requests made so far. What was
said before a recovery was asked for is not believed after it, unless the recovery says it again.

Time is an argument, in milliseconds; `now_ms` is ours, `timestamp` the feed's.
"""

from __future__ import annotations

import enum

import msgspec

SECOND_MS = 1_000
MINUTE_MS = 60_000


class Kind(enum.StrEnum):
    LIVE = "live"
    PREMATCH = "prematch"
    VIRTUAL = "virtual"


WINDOWS_MS = {
    Kind.LIVE: 600 * MINUTE_MS,
    Kind.PREMATCH: 4_320 * MINUTE_MS,
    Kind.VIRTUAL: 180 * MINUTE_MS,
}
"""How far back a recovery can go."""


class ProducerInfo(msgspec.Struct, frozen=True):
    product: int
    path: str
    """Its name in the addresses of the API."""
    kind: Kind

    @property
    def rank(self) -> int:
        """Of two that price the same market, the higher one has it: live before all others."""
        return 1 if self.kind is Kind.LIVE else 0


PRODUCERS = (
    ProducerInfo(1, "liveodds", Kind.LIVE),
    ProducerInfo(3, "pre", Kind.PREMATCH),
    ProducerInfo(6, "vf", Kind.VIRTUAL),
)
"""Those of most bookmakers; the account's own are in the API's list of producers."""


class Rules(msgspec.Struct, frozen=True):
    """All in milliseconds."""

    inactivity_ms: int = 20 * SECOND_MS
    max_lag_ms: int = 20 * SECOND_MS
    max_ahead_ms: int = 2 * SECOND_MS
    """How far the feed's clock may be ahead of ours."""
    between_requests_ms: int = 30 * SECOND_MS
    longest_recovery_ms: int = 1_200 * SECOND_MS
    answer_ms: int = 30 * SECOND_MS
    """How long the API may take to say yes to a request."""


class State(enum.Enum):
    DOWN = "down"
    """Messages may be missing, and nothing is done about it yet."""
    ASKED = "asked"
    """A recovery was requested; the API has not said yes."""
    RECOVERING = "recovering"
    UP = "up"


class Recover(msgspec.Struct, frozen=True):
    """Ask the API for a recovery of a producer."""

    product: int
    request_id: int
    after_ms: int | None
    """Everything since then, by the feed's clock; None: all there is."""


class Producer:
    def __init__(self, info: ProducerInfo, rules: Rules) -> None:
        self.info = info
        self.rules = rules
        self.state = State.DOWN
        self.epoch = 0
        """Requests made so far."""
        self.request_id = 0
        """Of the last one."""
        self.alive_ms: int | None = None
        """When it was last heard to be alive; None while it is silent."""
        self.newest = 0
        """The newest timestamp of all its messages."""
        self.good = 0
        """The timestamp up to which nothing is missing; 0 while that is never."""
        self.asked_ms: int | None = None
        """When a recovery was last requested."""
        self.asked_at = 0
        """The same by the feed's clock: the newest timestamp heard before."""

    def delayed(self, now_ms: int) -> bool:
        return now_ms - self.newest >= self.rules.max_lag_ms

    def believed(self, now_ms: int) -> bool:
        """Whether its markets may be open, for prices of the present epoch."""
        return self.state is State.UP and not self.silent(now_ms) and not self.delayed(now_ms)

    def silent(self, now_ms: int) -> bool:
        return self.alive_ms is None or now_ms - self.alive_ms >= self.rules.inactivity_ms

    # What is heard

    def message(self, timestamp: int, now_ms: int) -> None:
        """Any message of it has arrived. One from the future tells nothing but that."""
        self.newest = max(self.newest, now_ms if self.ahead(timestamp, now_ms) else timestamp)

    def ahead(self, timestamp: int, now_ms: int) -> bool:
        """Whether a timestamp is further ahead of our clock than clocks differ."""
        return timestamp - now_ms > self.rules.max_ahead_ms

    def alive(self, timestamp: int, subscribed: bool, now_ms: int) -> None:
        self.tick(now_ms)
        self.message(timestamp, now_ms)
        self.alive_ms = now_ms
        if subscribed:
            if self.state is State.UP and not self.ahead(timestamp, now_ms):
                self.good = max(self.good, timestamp)
        elif timestamp > self.asked_at:
            # What was lost before the last request was asked for with it.
            self.state = State.DOWN

    def snapshot_complete(self, request_id: int, now_ms: int) -> None:
        self.tick(now_ms)
        if request_id != self.request_id or self.state not in (State.ASKED, State.RECOVERING):
            return  # somebody else's, or of a request that is void
        self.state = State.UP
        self.good = max(self.good, self.asked_at)

    def lost(self) -> None:
        """The line was cut. No recovery is asked for before it is heard on a new one: what the
        recovery brings would be lost too."""
        self.alive_ms = None
        self.state = State.DOWN

    # What the API says

    def accepted(self, request_id: int) -> None:
        if request_id == self.request_id and self.state is State.ASKED:
            self.state = State.RECOVERING

    def failed(self, request_id: int) -> None:
        """The API refused, could not be reached, or did not answer."""
        if request_id == self.request_id and self.state is State.ASKED:
            self.state = State.DOWN

    # What time does

    def tick(self, now_ms: int) -> None:
        """What has run out by now."""
        if self.silent(now_ms):
            self.alive_ms = None
            self.state = State.DOWN
        if self.asked_ms is not None:
            passed_ms = now_ms - self.asked_ms
            too_long = (
                self.rules.answer_ms
                if self.state is State.ASKED
                else self.rules.longest_recovery_ms
            )
            if self.state in (State.ASKED, State.RECOVERING) and passed_ms >= too_long:
                self.state = State.DOWN

    def wants(self, now_ms: int) -> bool:
        """Whether a recovery is to be requested now."""
        if self.state is not State.DOWN or self.silent(now_ms):
            return False
        return self.asked_ms is None or now_ms - self.asked_ms >= self.rules.between_requests_ms

    def ask(self, request_id: int, now_ms: int) -> Recover:
        """The request that is wanted, and the beginning of another epoch."""
        assert self.wants(now_ms)
        self.state = State.ASKED
        self.epoch += 1
        self.request_id = request_id
        self.asked_ms = now_ms
        self.asked_at = self.newest
        after_ms = self.good if now_ms - self.good < WINDOWS_MS[self.info.kind] else None
        return Recover(self.info.product, request_id, after_ms)

    def due_ms(self, now_ms: int) -> int | None:
        """When something changes if nothing is heard; None for never. Always after `now_ms`."""
        rules = self.rules
        moments: list[int] = []
        if self.alive_ms is not None:
            moments.append(self.alive_ms + rules.inactivity_ms)
            moments.append(self.newest + rules.max_lag_ms)
        if self.asked_ms is not None:
            moments.append(self.asked_ms + rules.between_requests_ms)
            if self.state is State.ASKED:
                moments.append(self.asked_ms + rules.answer_ms)
            if self.state is State.RECOVERING:
                moments.append(self.asked_ms + rules.longest_recovery_ms)
        return min((moment for moment in moments if moment > now_ms), default=None)
