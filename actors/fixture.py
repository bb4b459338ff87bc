"""A sporting event: a match or a race, and the markets it has.

The trade calls it an event; here the word is *fixture*, because an event is what has happened.
A fixture's `seq` rises by one with everything that happens to it or to one of its markets, so that
whoever follows it can tell when something was missed.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref

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
