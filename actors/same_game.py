"""Selections of one match under one price: what the house asks for them together.

The price comes from the model of the match (`actors.pricing.same_game`) and from nowhere else. What
the model goes by is told to the fixture (`fixture.SetModel`) by whoever follows the match: the
trader, or a feed. A market takes part if the model knows its kind, its selections and its line;
everything else on one fixture stays correlated, and is refused.
"""

from __future__ import annotations

import re

from actors.fixture import MatchModel
from actors.odds import MAX_ODDS, ONE
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
)

OVERROUND = 10_500
"""The house's margin for each of the selections, in ten-thousandths."""

_SCORE = re.compile(r"(\d{1,2})-(\d{1,2})")

_FIXED: dict[tuple[str, str], Leg] = {
    ("match_result", "home"): ResultLeg(home=True),
    ("match_result", "draw"): ResultLeg(draw=True),
    ("match_result", "away"): ResultLeg(away=True),
    ("double_chance", "home_draw"): ResultLeg(home=True, draw=True),
    ("double_chance", "home_away"): ResultLeg(home=True, away=True),
    ("double_chance", "draw_away"): ResultLeg(draw=True, away=True),
    ("both_to_score", "yes"): BothScoreLeg(True),
    ("both_to_score", "no"): BothScoreLeg(False),
    ("both_score", "yes"): BothScoreLeg(True),
    ("both_score", "no"): BothScoreLeg(False),
    ("odd_even", "odd"): OddEvenLeg(True),
    ("odd_even", "even"): OddEvenLeg(False),
}


def leg_of(kind: str, selection_id: str, line_quarters: int | None) -> Leg | None:
    """The selection as the model knows it, or None. A line that can be hit is not known."""
    if (kind, selection_id) in _FIXED:
        return _FIXED[kind, selection_id]
    if kind == "correct_score":
        score = _SCORE.fullmatch(selection_id)
        return ScoreLeg(int(score[1]), int(score[2])) if score else None
    if line_quarters is None or line_quarters % 4 != 2:
        return None
    if kind in ("total_goals", "total") and selection_id in ("over", "under"):
        return TotalLeg(line_quarters, over=selection_id == "over")
    if kind == "handicap" and selection_id in ("home", "away"):
        return HandicapLeg(line_quarters, home=selection_id == "home")
    return None


def joint_odds(model: MatchModel, legs: list[Leg]) -> int:
    """The price of all of them together, in ten-thousandths; 0 where the model has none."""
    try:
        goals = GoalModel(model.home / ONE, model.away / ONE, model.rho / ONE)
        moment = Moment(
            model.home_goals,
            model.away_goals,
            model.half,
            float(model.minute),
            home_reds=model.home_reds,
            away_reds=model.away_reds,
        )
        return quote(final_scores(goals, moment), legs, OVERROUND, MAX_ODDS)
    except ValueError:  # on the very edge of what a model can be, or too many legs
        return 0
