"""The price ladder for whole arrays: the same steps as `actors.odds`, by looking them up.

The steps are the exchanges' usual increments of decimal prices (`actors.odds.down_to_ladder`), 350
of them from 1.01 to 1000. Odds are in whole ten-thousandths.
"""

from __future__ import annotations

import enum

import numpy as np

from actors.odds import MAX_ODDS, ONE, SHORTEST_STEP, down_to_ladder
from actors.pricing.ragged import Floats, Ints

_SLACK = 1e-9
"""Above the error of the floats, far below a ten-thousandth of the longest price."""


class Rounding(enum.StrEnum):
    """To which step a price between two goes."""

    DOWN = "down"
    """To the shorter one, in the house's favour."""
    NEAREST = "nearest"
    """To the nearer one; from the middle, to the shorter one."""


def _next_step(step: int) -> int:
    """The shortest odds that come down to more than `step`."""
    short, long = step, 2 * step
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (short, middle) if down_to_ladder(middle) > step else (middle, long)
    return long


def _steps() -> Ints:
    steps = [SHORTEST_STEP]
    while steps[-1] < MAX_ODDS:
        steps.append(_next_step(steps[-1]))
    return np.array(steps, np.int64)


STEPS = _steps()
"""Every price there is, shortest first."""


def step_of(odds: Ints) -> Ints:
    """How many steps of the ladder are below the one that each price comes down to.

    1.01 is 0, 1000 the last; what is outside the ladder has its ends. Two steps' numbers say how
    far a price has moved, which their difference in odds does not.
    """
    found: Ints = np.searchsorted(STEPS, odds, side="right") - 1
    return np.maximum(found, 0)


def to_ladder(odds: Ints, rounding: Rounding = Rounding.DOWN) -> Ints:
    """Each price on the ladder, never below 1.01 or above 1000."""
    down = step_of(odds)
    if rounding is Rounding.DOWN:
        return STEPS[down]
    up = np.minimum(down + 1, STEPS.size - 1)
    return np.where(STEPS[up] - odds < odds - STEPS[down], STEPS[up], STEPS[down])


def whole_odds(implied: Floats) -> Ints:
    """Odds in whole ten-thousandths of implied probabilities, the rest dropped.

    A probability that came from odds gives them back: what floats lose on the way is allowed for.
    Above certainty the odds are below 1, and no price; past the longest price they are that.
    """
    exact = np.floor(ONE / implied * (1.0 + _SLACK))
    return np.minimum(exact, MAX_ODDS).astype(np.int64)
