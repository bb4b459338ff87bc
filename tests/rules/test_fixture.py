"""A fixture: its phases, and the `seq` by which those who follow it see what they missed."""

from __future__ import annotations

from typing import Any

import pytest

from actors.base import Reason, Refused
from actors.fixture import (
    ChangePhase,
    CreateFixture,
    Fixture,
    FixtureCreated,
    FixtureView,
    GetFixture,
    Phase,
    PhaseChanged,
)

NOW = 1_800_000_000_000
CREATE = CreateFixture("f", "soccer", "cup", "A - B", NOW + 1)


def fixture(phase: Phase = Phase.SCHEDULED, **state: Any) -> Fixture:
    return Fixture(fixture_id="f", phase=phase, seq=1, **state)


def test_a_fixture_is_created_once() -> None:
    state = Fixture()
    event = CREATE.decide(NOW, state)
    assert event == FixtureCreated(NOW, "f", 1, "soccer", "cup", "A - B", NOW + 1)
    event.apply(state)
    assert CREATE.decide(NOW, state) == Refused(Reason.ALREADY_EXISTS)
    view = FixtureView("f", "soccer", "cup", "A - B", NOW + 1, Phase.SCHEDULED, "", [], 1)
    assert GetFixture("f").answer(NOW, state) == view


@pytest.mark.parametrize(
    ("phase", "then", "allowed"),
    [
        (Phase.SCHEDULED, Phase.SCHEDULED, False),
        (Phase.SCHEDULED, Phase.IN_PLAY, True),
        (Phase.SCHEDULED, Phase.ENDED, True),
        (Phase.SCHEDULED, Phase.CANCELLED, True),
        (Phase.IN_PLAY, Phase.SCHEDULED, False),
        (Phase.IN_PLAY, Phase.IN_PLAY, True),  # another score
        (Phase.IN_PLAY, Phase.ENDED, True),
        (Phase.IN_PLAY, Phase.CANCELLED, True),
        *[(over, then, False) for over in (Phase.ENDED, Phase.CANCELLED) for then in Phase],
    ],
)
def test_a_fixture_moves_on_and_never_back(phase: Phase, then: Phase, allowed: bool) -> None:
    decision = ChangePhase("f", then, "1-0").decide(NOW, fixture(phase))
    if allowed:
        assert decision == PhaseChanged(NOW, "f", 2, then, "1-0")
    else:
        assert decision == Refused(Reason.WRONG_STATUS, facts={"phase": phase})


def test_what_there_is_not_cannot_change_or_be_seen() -> None:
    unknown = Refused(Reason.UNKNOWN_FIXTURE)
    assert ChangePhase("f", Phase.IN_PLAY).decide(NOW, Fixture()) == unknown
    assert GetFixture("f").answer(NOW, Fixture()) == unknown


def test_everything_that_happens_raises_seq_by_one() -> None:
    state = Fixture()
    CREATE.decide(NOW, state).apply(state)
    for score in ("", "1-0", "1-1"):
        before = state.seq
        ChangePhase("f", Phase.IN_PLAY, score).decide(NOW, state).apply(state)
        assert (state.seq, state.score) == (before + 1, score)


@pytest.mark.parametrize(
    ("state", "rests"),
    [
        (Fixture(), True),  # somebody asked for a fixture that there is not
        (fixture(), False),
        (fixture(Phase.IN_PLAY), False),
        (fixture(Phase.ENDED), True),
        (fixture(Phase.CANCELLED), True),
    ],
)
def test_only_what_is_over_leaves_memory(state: Fixture, rests: bool) -> None:
    assert state.may_rest() is rests


def test_a_view_is_not_the_state_itself() -> None:
    state = fixture(markets=["f:a"])
    view = GetFixture("f").answer(NOW, state)
    state.markets.append("f:b")
    assert isinstance(view, FixtureView)
    assert view.markets == ["f:a"]
