"""Which selections can be joined, and what the house asks for them together."""

from __future__ import annotations

from math import exp, factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.fixture import (
    MODEL_AGE_MS,
    ChangePhase,
    Fixture,
    GetFixture,
    MatchModel,
    ModelSet,
    Phase,
    SetModel,
)
from actors.odds import ONE
from actors.pricing.same_game import (
    BothScoreLeg,
    HandicapLeg,
    OddEvenLeg,
    ResultLeg,
    ScoreLeg,
    TotalLeg,
)
from actors.same_game import OVERROUND, joint_odds, leg_of

NOW = 1_800_000_000_000
MODEL = MatchModel(15_000, 12_000)


@pytest.mark.parametrize(
    ("kind", "selection", "line", "leg"),
    [
        ("match_result", "draw", None, ResultLeg(draw=True)),
        ("double_chance", "home_away", None, ResultLeg(home=True, away=True)),
        ("both_to_score", "yes", None, BothScoreLeg(True)),
        ("odd_even", "odd", None, OddEvenLeg(True)),
        ("total_goals", "over", 10, TotalLeg(10, over=True)),
        ("total_goals", "under", 6, TotalLeg(6, over=False)),
        ("handicap", "away", -6, HandicapLeg(-6, home=False)),
        ("correct_score", "2-1", None, ScoreLeg(2, 1)),
        # Not known: a line that can be hit, no line, another name, another kind.
        ("total_goals", "over", 8, None),
        ("total_goals", "over", 9, None),
        ("total_goals", "over", None, None),
        ("handicap", "over", 10, None),
        ("correct_score", "other", None, None),
        ("match_result", "reds", None, None),
        ("next_goal", "home", None, None),
    ],
)
def test_what_the_model_knows(kind, selection, line, leg):
    assert leg_of(kind, selection, line) == leg


def naive(model: MatchModel, wins) -> float:
    """Over every score, without a correction for low ones."""

    def goals(expected: float, number: int) -> float:
        return exp(-expected) * expected**number / factorial(number)

    return sum(
        goals(model.home / ONE, home) * goals(model.away / ONE, away)
        for home in range(25)
        for away in range(25)
        if wins(home, away)
    )


@given(st.integers(3_000, 30_000), st.integers(3_000, 30_000))
def test_the_price_is_that_of_both_and_not_their_product(home: int, away: int):
    model = MatchModel(home, away)
    legs = [ResultLeg(home=True), TotalLeg(10, over=True)]
    fair = naive(model, lambda h, a: h > a and h + a > 2)
    asked = fair * (OVERROUND / ONE) ** 2
    odds = joint_odds(model, legs)
    # Down to the ladder, whose steps are at most a tenth of the price.
    assert 0.9 / asked <= odds / ONE <= 1.000001 / asked


def test_what_contradicts_itself_has_no_price():
    assert joint_odds(MODEL, [ResultLeg(home=True), ResultLeg(draw=True)]) == 0
    assert joint_odds(MODEL, [TotalLeg(10, over=False), ScoreLeg(2, 1)]) == 0
    nearly_sure = MatchModel(15_000, 12_000, home_goals=5, half=2, minute=94)
    assert joint_odds(nearly_sure, [ResultLeg(home=True), TotalLeg(10, over=True)]) == 0


def test_in_play_it_goes_by_what_has_happened():
    legs = [ResultLeg(home=True), TotalLeg(10, over=True)]
    ahead = MatchModel(15_000, 12_000, home_goals=2, half=2, minute=50)
    assert joint_odds(ahead, legs) < joint_odds(MODEL, legs)
    late = MatchModel(15_000, 12_000, home_goals=2, half=2, minute=88)
    assert joint_odds(late, legs) > joint_odds(ahead, legs)


# What the fixture is told


@pytest.mark.parametrize(
    "wrong",
    [
        MatchModel(99, 12_000),
        MatchModel(15_000, 90_001),
        MatchModel(15_000, 12_000, 4_001),
        MatchModel(90_000, 90_000, 200),
        MatchModel(90_000, 12_000, -1_200),
        MatchModel(15_000, 12_000, half=2, minute=44),
        MatchModel(15_000, 12_000, half=3, minute=120),
        MatchModel(15_000, 12_000, home_goals=-1),
        MatchModel(15_000, 12_000, away_reds=5),
    ],
)
def test_no_match_is_like_that(wrong: MatchModel):
    fixture = Fixture("f", phase=Phase.SCHEDULED, seq=3)
    refused = SetModel("f", wrong).decide(NOW, fixture)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OUT_OF_BOUNDS


models = st.builds(
    MatchModel,
    st.integers(100, 90_000),
    st.integers(100, 90_000),
    st.integers(-4_000, 4_000),
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from((1, 2)),
    st.integers(0, 120),
    st.integers(0, 4),
    st.integers(0, 4),
)


@given(models)
def test_what_is_taken_can_be_priced_or_not_but_never_fails(model: MatchModel):
    if model.possible:
        assert joint_odds(model, [ResultLeg(home=True, draw=True)]) >= 0


def test_what_was_told_holds_until_something_happens():
    fixture = Fixture("f", phase=Phase.SCHEDULED, seq=3)

    def do(command) -> None:
        event = command.decide(NOW, fixture)
        assert not isinstance(event, Refused)
        event.apply(fixture)

    def known(at_ms: int = NOW) -> MatchModel | None:
        view = GetFixture("f").answer(at_ms, fixture)
        assert not isinstance(view, Refused)
        return view.model

    assert known() is None
    told = SetModel("f", MODEL).decide(NOW, fixture)
    assert told == ModelSet(NOW, "f", 3, MODEL)
    do(SetModel("f", MODEL))
    assert fixture.seq == 3
    assert known(NOW + 10 * MODEL_AGE_MS) == MODEL  # nothing happens before the match
    do(ChangePhase("f", Phase.IN_PLAY, "0-0"))
    assert known() is None
    do(SetModel("f", MODEL))
    assert known(NOW + MODEL_AGE_MS) == MODEL
    assert known(NOW + MODEL_AGE_MS + 1) is None
    do(ChangePhase("f", Phase.IN_PLAY, "1-0"))
    assert known() is None
    do(SetModel("f", MODEL))
    do(ChangePhase("f", Phase.ENDED, "1-0"))
    assert known() is None
    refused = SetModel("f", MODEL).decide(NOW, fixture)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.WRONG_STATUS
    refused = SetModel("f", MODEL).decide(NOW, Fixture())
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.UNKNOWN_FIXTURE
