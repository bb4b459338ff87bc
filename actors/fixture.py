"""A sporting event: a match or a race, and the markets it has.

The trade calls it an event; here the word is *fixture*, because an event is what has happened.
A fixture's `seq` rises by one with everything that happens to it or to one of its markets, so that
whoever follows it can tell when something was missed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.odds import ONE

MODEL_AGE_MS = 60_000
MAX_MARKETS = 1_000
"""Markets that one fixture may have."""
MAX_LIMITS = 50
"""Limits that one fixture may have, each of them looked at for every bet on one of its markets."""
UNLIMITED = 10**18
"""More than everything there is, in minor units."""


class Phase(enum.StrEnum):
    SCHEDULED = "scheduled"
    IN_PLAY = "in_play"
    ENDED = "ended"
    CANCELLED = "cancelled"


_NEXT = {
    Phase.SCHEDULED: {Phase.IN_PLAY, Phase.ENDED, Phase.CANCELLED},
    Phase.IN_PLAY: {Phase.IN_PLAY, Phase.ENDED, Phase.CANCELLED},
    Phase.ENDED: set(),
    Phase.CANCELLED: set(),
}


class MatchModel(msgspec.Struct, frozen=True, array_like=True):
    """What is expected of a football match, and where it stands (`actors.pricing.goals`)."""

    home: int
    """Goals expected of each side before the match, times 10,000."""
    away: int
    rho: int = 0
    """Of Dixon and Coles, times 10,000."""
    home_goals: int = 0
    away_goals: int = 0
    half: int = 1
    minute: int = 0
    home_reds: int = 0
    away_reds: int = 0

    @property
    def possible(self) -> bool:
        """Whether a match can be like that: every score has a probability, and reason ends."""
        home, away, rho = self.home, self.away, self.rho
        return (
            100 <= min(home, away) <= max(home, away) <= 90_000
            and -4_000 <= rho <= 4_000
            and min(rho * home, rho * away) >= -ONE * ONE
            and rho * home * away <= ONE**3
            and min(self.home_goals, self.away_goals) >= 0
            and max(self.home_goals, self.away_goals) <= 50
            and self.half in (1, 2)
            and 45 * (self.half - 1) <= self.minute <= 45 * self.half + 30
            and min(self.home_reds, self.away_reds) >= 0
            and max(self.home_reds, self.away_reds) <= 4
        )


class EventLimit(msgspec.Struct, frozen=True, array_like=True):
    """What several markets of a fixture may lose together: the sum of their worst cases."""

    max_liability_minor: int
    market_ids: tuple[str, ...] = ()
    """A group whose results hang together; empty for all markets of the fixture."""


class Neighbour(Protocol):
    """A market, as far as its fixture looks at it."""

    market_id: str

    @property
    def worst_minor(self) -> int | None:
        """The most it can lose; None while that is not known."""
        ...


class Fixture(Actor, dict=True):
    fixture_id: str = ""
    sport: str = ""
    competition: str = ""
    name: str = ""
    starts_at_ms: int = 0
    phase: Phase = Phase.SCHEDULED
    score: str = ""
    """What a scoreboard would show now: "2-1 67'"; empty when nothing is known."""
    markets: list[str] = msgspec.field(default_factory=list)
    seq: int = 0
    limits: dict[str, EventLimit] = msgspec.field(default_factory=dict)
    """By the name of the group they are for."""

    model: MatchModel | None = None
    """What is known for prices of several selections together, until something happens."""
    model_at_ms: int = 0

    def __post_init__(self) -> None:
        # Its markets as they are in memory, for their liability; in no snapshot.
        self.beside: dict[str, Neighbour] = {}

    def woke(self) -> None:
        self.beside = {}

    def strangers(self) -> list[str]:
        """Markets that some limit needs to know and that have not been met yet."""
        if not self.limits or self.over:
            return []
        named: set[str] = set()
        for limit in self.limits.values():
            named.update(limit.market_ids or self.markets)
        return sorted(named - self.beside.keys())

    def cap_of(self, market: Neighbour) -> int | None:
        """What the market's worst case may be, so that no limit of the fixture is overrun.

        None while the worst case of another one is not known. `UNLIMITED` where no limit names it.
        """
        market_id = market.market_id
        self.beside[market_id] = market
        cap = UNLIMITED
        for limit in self.limits.values():
            market_ids: Iterable[str] = limit.market_ids or self.markets
            if limit.market_ids and market_id not in limit.market_ids:
                continue
            others = 0
            for other_id in market_ids:
                if other_id != market_id:
                    other = self.beside.get(other_id)
                    worst = None if other is None else other.worst_minor
                    if worst is None:
                        return None
                    others += worst
            cap = min(cap, max(0, limit.max_liability_minor - others))
        return cap

    def model_now(self, now_ms: int) -> MatchModel | None:
        """In play it is good for a minute: a match goes on also while nothing happens."""
        old = self.phase is Phase.IN_PLAY and now_ms - self.model_at_ms > MODEL_AGE_MS
        return None if old or self.over else self.model

    @property
    def over(self) -> bool:
        return self.phase in (Phase.ENDED, Phase.CANCELLED)

    def may_rest(self) -> bool:
        return not self.fixture_id or self.over


# What may be asked


class FixtureView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    fixture_id: str
    sport: str
    competition: str
    name: str
    starts_at_ms: int
    phase: Phase
    score: str
    markets: list[str]
    seq: int
    model: MatchModel | None = None
    """While it is good."""


class GetFixture(Question, frozen=True, array_like=True, tag=True):
    fixture_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("fixture", self.fixture_id),)

    def answer(self, now_ms: int, fixture: Fixture) -> FixtureView | Refused:
        if not fixture.fixture_id:
            return Refused(Reason.UNKNOWN_FIXTURE)
        return FixtureView(
            fixture.fixture_id,
            fixture.sport,
            fixture.competition,
            fixture.name,
            fixture.starts_at_ms,
            fixture.phase,
            fixture.score,
            list(fixture.markets),
            fixture.seq,
            fixture.model_now(now_ms),
        )


class CreateFixture(Command, frozen=True, array_like=True, tag=True):
    fixture_id: str
    sport: str
    competition: str
    name: str
    starts_at_ms: int

    def cast(self) -> tuple[str, ...]:
        return (ref("fixture", self.fixture_id),)

    def decide(self, now_ms: int, fixture: Fixture) -> Event:
        if fixture.fixture_id:
            return Refused(Reason.ALREADY_EXISTS)
        return FixtureCreated(
            now_ms,
            self.fixture_id,
            1,
            self.sport,
            self.competition,
            self.name,
            self.starts_at_ms,
        )


class ChangePhase(Command, frozen=True, array_like=True, tag=True):
    """Move the fixture on, or show another score in the same phase."""

    fixture_id: str
    phase: Phase
    score: str = ""

    def cast(self) -> tuple[str, ...]:
        return (ref("fixture", self.fixture_id),)

    def decide(self, now_ms: int, fixture: Fixture) -> Event:
        if not fixture.fixture_id:
            return Refused(Reason.UNKNOWN_FIXTURE)
        if self.phase not in _NEXT[fixture.phase]:
            return Refused(Reason.WRONG_STATUS, facts={"phase": fixture.phase})
        return PhaseChanged(now_ms, self.fixture_id, fixture.seq + 1, self.phase, self.score)


class SetModel(Command, frozen=True, array_like=True, tag=True):
    """Say what to expect of the match now. It holds until the phase or the score changes."""

    fixture_id: str
    model: MatchModel

    def cast(self) -> tuple[str, ...]:
        return (ref("fixture", self.fixture_id),)

    def decide(self, now_ms: int, fixture: Fixture) -> Event:
        if not fixture.fixture_id:
            return Refused(Reason.UNKNOWN_FIXTURE)
        if fixture.over:
            return Refused(Reason.WRONG_STATUS, facts={"phase": fixture.phase})
        if not self.model.possible:
            return Refused(Reason.OUT_OF_BOUNDS, "no match can be like that")
        return ModelSet(now_ms, self.fixture_id, fixture.seq, self.model)


class ChangeEventLimits(Command, frozen=True, array_like=True, tag=True):
    """Say what the fixture, and groups of its markets, may lose; in place of what was said before.

    A limit that is below what the markets can lose already takes nothing back: they take only bets
    that do not make it worse.
    """

    fixture_id: str
    limits: dict[str, EventLimit]

    def cast(self) -> tuple[str, ...]:
        return (ref("fixture", self.fixture_id),)

    def decide(self, now_ms: int, fixture: Fixture) -> Event:
        if not fixture.fixture_id:
            return Refused(Reason.UNKNOWN_FIXTURE)
        if len(self.limits) > MAX_LIMITS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_limits": MAX_LIMITS})
        markets = set(fixture.markets)
        for limit in self.limits.values():
            if not 0 <= limit.max_liability_minor <= UNLIMITED:
                return Refused(Reason.OUT_OF_BOUNDS, facts={"max_liability_minor": UNLIMITED})
            unknown = sorted(set(limit.market_ids) - markets)
            if unknown:
                return Refused(Reason.UNKNOWN_MARKET, facts={"market_id": unknown[0]})
        return EventLimitsChanged(now_ms, self.fixture_id, fixture.seq, self.limits)


# What can happen to it


class FixtureEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    fixture_id: str
    seq: int
    """The fixture's `seq` after it."""

    def cast(self) -> tuple[str, ...]:
        return (ref("fixture", self.fixture_id),)


class FixtureCreated(FixtureEvent, frozen=True, array_like=True, tag=True):
    sport: str
    competition: str
    name: str
    starts_at_ms: int

    def apply(self, fixture: Fixture) -> None:
        fixture.seq = self.seq
        fixture.fixture_id = self.fixture_id
        fixture.sport = self.sport
        fixture.competition = self.competition
        fixture.name = self.name
        fixture.starts_at_ms = self.starts_at_ms


class PhaseChanged(FixtureEvent, frozen=True, array_like=True, tag=True):
    phase: Phase
    score: str

    def apply(self, fixture: Fixture) -> None:
        fixture.seq = self.seq
        fixture.phase = self.phase
        fixture.score = self.score
        fixture.model = None  # it was of the match as it stood


class ModelSet(FixtureEvent, frozen=True, array_like=True, tag=True):
    """The house's own: followers are not told, and `seq` stays."""

    model: MatchModel

    def apply(self, fixture: Fixture) -> None:
        fixture.model = self.model
        fixture.model_at_ms = self.at_ms


class EventLimitsChanged(FixtureEvent, frozen=True, array_like=True, tag=True):
    """The desk's own: followers are not told, and `seq` stays."""

    limits: dict[str, EventLimit]

    def apply(self, fixture: Fixture) -> None:
        fixture.limits = self.limits
