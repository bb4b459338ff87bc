"""A sporting event: a match or a race, and the markets it has.

The trade calls it an event; here the word is *fixture*, because an event is what has happened.
A fixture's `seq` rises by one with everything that happens to it or to one of its markets, so that
whoever follows it can tell when something was missed.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.odds import ONE

MODEL_AGE_MS = 60_000
MAX_MARKETS = 1_000
"""Markets that one fixture may have."""


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


class Fixture(Actor):
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
    model: MatchModel | None = None
    """What is known for prices of several selections together, until something happens."""
    model_at_ms: int = 0

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
