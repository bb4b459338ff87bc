"""Legs of one match together: the naive sum over the scores, and what can't be combined."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.odds import MAX_ODDS, ONE, SHORTEST_STEP, down_to_ladder
from actors.pricing.goals import GoalModel, Moment, final_scores
from actors.pricing.same_game import (
    BothScoreLeg,
    HandicapLeg,
    Leg,
    OddEvenLeg,
    ResultLeg,
    ScoreLeg,
    TotalLeg,
    quote,
    together,
)

SCORES = final_scores(GoalModel(1.6, 1.1, -0.08))
half_lines = st.integers(-3, 4).map(lambda goals: 4 * goals + 2)
legs = st.one_of(
    st.sampled_from(
        [
            ResultLeg(home=True),
            ResultLeg(draw=True),
            ResultLeg(away=True),
            ResultLeg(home=True, draw=True),
            ResultLeg(home=True, away=True),
        ]
    ),
    st.builds(TotalLeg, half_lines, st.booleans(), st.sampled_from(["both", "home", "away"])),
    st.builds(HandicapLeg, half_lines, st.booleans()),
    st.builds(BothScoreLeg, st.booleans()),
    st.builds(OddEvenLeg, st.booleans()),
    st.builds(ScoreLeg, st.integers(0, 4), st.integers(0, 4)),
)


def wins(leg: Leg, home: int, away: int) -> bool:
    """One leg settled on one score."""
    match leg:
        case ResultLeg():
            return leg.home if home > away else leg.away if home < away else leg.draw
        case TotalLeg():
            goals = {"both": home + away, "home": home, "away": away}[leg.side]
            return (goals > leg.line_quarters / 4) == leg.over
        case HandicapLeg():
            return (home + leg.line_quarters / 4 > away) == leg.home
        case BothScoreLeg():
            return (min(home, away) > 0) == leg.yes
        case OddEvenLeg():
            return bool((home + away) % 2) == leg.odd
        case ScoreLeg():
            return (home, away) == (leg.home, leg.away)


@settings(max_examples=80, deadline=None)
@given(
    chosen=st.lists(legs, min_size=1, max_size=4),
    score=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_together_is_the_sum_over_the_scores_that_win(
    chosen: list[Leg], score: tuple[int, int]
) -> None:
    scores = final_scores(GoalModel(1.6, 1.1, -0.08), Moment(*score, 2, 60.0))
    expected = sum(
        scores.at(home, away)
        for home, away in itertools.product(range(34), repeat=2)
        if all(wins(leg, home, away) for leg in chosen)
    )
    assert together(scores, chosen) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(legs, min_size=1, max_size=4), legs)
def test_another_leg_never_makes_it_likelier(chosen: list[Leg], leg: Leg) -> None:
    assert together(SCORES, [*chosen, leg]) <= together(SCORES, chosen) + 1e-12


def test_known_combinations() -> None:
    home, draw, away = SCORES.match_result()
    assert together(SCORES, [ResultLeg(home=True)]) == pytest.approx(home)
    assert together(SCORES, [ResultLeg(draw=True, away=True)]) == pytest.approx(draw + away)
    # Who wins by one and a half wins: the second leg adds nothing.
    lead = HandicapLeg(-6, home=True)
    alone = together(SCORES, [lead])
    assert alone == pytest.approx(SCORES.handicap(-6)[0])
    assert together(SCORES, [lead, ResultLeg(home=True)]) == pytest.approx(alone)
    # A home win with both scoring and under 3.5 is 2-1, and nothing else.
    chosen = [ResultLeg(home=True), BothScoreLeg(yes=True), TotalLeg(14, over=False)]
    assert together(SCORES, chosen) == pytest.approx(SCORES.at(2, 1))
    # A goalless match in which both score is none.
    assert together(SCORES, [ScoreLeg(0, 0), BothScoreLeg(yes=True)]) == 0.0


def test_correlated_legs_are_not_worth_their_product() -> None:
    win, many = ResultLeg(home=True), TotalLeg(10, over=True)
    product = together(SCORES, [win]) * together(SCORES, [many])
    assert together(SCORES, [win, many]) > 1.1 * product


def test_the_price_has_a_margin_for_each_leg() -> None:
    chosen: list[Leg] = [ResultLeg(home=True), TotalLeg(10, over=True)]
    fair = together(SCORES, chosen)
    odds = quote(SCORES, chosen, 10_500, MAX_ODDS)
    assert odds == down_to_ladder(int(ONE / (fair * 1.05**2)))
    assert quote(SCORES, chosen, 10_500, 25_000) <= 25_000
    assert quote(SCORES, [ResultLeg(home=True)], ONE, MAX_ODDS) == down_to_ladder(
        int(ONE / SCORES.match_result()[0])
    )


def test_there_is_no_price_for_what_can_not_happen_or_must() -> None:
    assert quote(SCORES, [ScoreLeg(0, 0), BothScoreLeg(yes=True)], 10_500, MAX_ODDS) == 0
    assert quote(SCORES, [ScoreLeg(15, 15)], 10_500, MAX_ODDS) == 0
    sure = TotalLeg(4 * 20 + 2, over=False)
    assert together(SCORES, [sure]) * 1.05 * SHORTEST_STEP > ONE
    assert quote(SCORES, [sure], 10_500, MAX_ODDS) == 0


@pytest.mark.parametrize("line", [0, 1, 3, 4, -1, -4, 9])
def test_a_line_that_can_be_hit_is_not_combined(line: int) -> None:
    with pytest.raises(ValueError, match="hit"):
        TotalLeg(line, over=True)
    with pytest.raises(ValueError, match="hit"):
        HandicapLeg(line, home=True)


def test_what_is_no_slip_is_an_error() -> None:
    with pytest.raises(ValueError, match="legs"):
        together(SCORES, [])
    with pytest.raises(ValueError, match="legs"):
        together(SCORES, [OddEvenLeg(odd=True)] * 13)
    with pytest.raises(ValueError, match="three"):
        ResultLeg(home=True, draw=True, away=True)
    with pytest.raises(ValueError, match="side"):
        TotalLeg(10, True, "referee")
    with pytest.raises(ValueError, match="margin"):
        quote(SCORES, [OddEvenLeg(odd=True)], 9_999, MAX_ODDS)
