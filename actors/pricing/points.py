"""American football, from the points expected: spread, total and moneyline of one match.

The margin of victory is normal around the spread, with a standard deviation of 13.86 points: Stern,
"On the probability of winning a football game" (1991). The total is normal around its line, with
13.4 (7,276 matches of the NFL from 1999 to 2025, by nflanalytic.com from nflverse's game log). Both
are whole numbers: each has the mass from half a point below to half a point above it, so a whole
line is hit, and void, as often as it should be but for key numbers (3 and 7), which are not
modelled here.

In play the margin moves like a Brownian motion: what is still to come after a share t of the match
is normal, with 1 - t of the expectancy and of the variance (Stern, "A Brownian motion model for the
progress of sports scores", 1994). The total is taken the same way.

A match that is level after regular time goes on: where no tie is possible, its probability goes to
the margins that an overtime of 10 minutes has by the same model.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from actors.pricing.lines import Chances, Count, over
from actors.pricing.ragged import Floats

MAX_LEAD = 120
"""Points of margin that are reckoned with, either way; the widest win in the NFL was by 73."""
MAX_TOTAL = 240
MAX_EXPECTED_LEAD = 60.0
MATCH_MINUTES = 60.0
OVERTIME_MINUTES = 10.0


class PointModel(msgspec.Struct, frozen=True, array_like=True):
    """What is expected of a match before it begins, in points; deviations are standard ones.

    `home_lead` is by how much home is expected to win: 3.5 where its spread is -3.5. Raises
    ValueError out of bounds.
    """

    home_lead: float
    total: float
    lead_deviation: float = 13.86
    total_deviation: float = 13.4
    ties: bool = False
    """Whether a match may end level."""

    def __post_init__(self) -> None:
        if not abs(self.home_lead) <= MAX_EXPECTED_LEAD:
            raise ValueError(f"nobody is expected to win by {self.home_lead}")
        if not 0.0 < self.total <= MAX_TOTAL / 2:
            raise ValueError(f"nobody expects {self.total} points")
        if not all(1.0 <= width <= 40.0 for width in (self.lead_deviation, self.total_deviation)):
            raise ValueError("a deviation is from 1 to 40 points")


class Clock(msgspec.Struct, frozen=True, array_like=True):
    """Where a match stands: points, and minutes of regular time that are still to play.

    In overtime none are left. Raises ValueError where that can't be.
    """

    home_points: int = 0
    away_points: int = 0
    minutes_left: float = MATCH_MINUTES

    def __post_init__(self) -> None:
        if not (self.home_points >= 0 <= self.away_points):
            raise ValueError("points are not negative")
        too_wide = abs(self.home_points - self.away_points) > MAX_LEAD
        if too_wide or self.home_points + self.away_points > MAX_TOTAL:
            raise ValueError("no such score")
        if not 0.0 <= self.minutes_left <= MATCH_MINUTES:
            raise ValueError(f"a match has {MATCH_MINUTES} minutes")


START = Clock()


class Points:
    """How likely every final margin and total are; the markets are fair, and add up to 1."""

    __slots__ = ("lead", "total")

    def __init__(self, lead: Count, total: Count) -> None:
        self.lead = lead
        """Of home's points over away's."""
        self.total = total

    def moneyline(self) -> tuple[float, float]:
        """Home and away; void where a tie is possible and happens."""
        return self.spread(0)

    def spread(self, line_quarters: int) -> tuple[float, float]:
        """Home with this start (-14 is -3.5 points), and away with the opposite."""
        chances = self.spread_chances(line_quarters)
        return chances.fair, chances.reversed().fair

    def spread_chances(self, line_quarters: int) -> Chances:
        """What home's side of a spread does: won, void where the line is hit, or lost."""
        return over(self.lead, -line_quarters)

    def over_under(self, line_quarters: int) -> tuple[float, float]:
        """More points and fewer."""
        chances = over(self.total, line_quarters)
        return chances.fair, chances.reversed().fair


def final_points(model: PointModel, clock: Clock = START) -> Points:
    """How likely every final margin and total are at some moment; without one, before the match."""
    left = clock.minutes_left / MATCH_MINUTES
    lead = _lead(model, clock.home_points - clock.away_points, left)
    now = clock.home_points + clock.away_points
    more = _whole(model.total * left, model.total_deviation * math.sqrt(left), 0, MAX_TOTAL)
    return Points(lead, Count(now, more))


def _lead(model: PointModel, now: int, left: float) -> Count:
    mean, deviation = now + model.home_lead * left, model.lead_deviation * math.sqrt(left)
    mass = _whole(mean, deviation, -MAX_LEAD, MAX_LEAD)
    if model.ties:
        return Count(-MAX_LEAD, mass)
    share = OVERTIME_MINUTES / MATCH_MINUTES
    extra = _whole(
        model.home_lead * share,
        model.lead_deviation * math.sqrt(share),
        -MAX_LEAD,
        MAX_LEAD,
    )
    level = mass[MAX_LEAD]
    extra[MAX_LEAD] = mass[MAX_LEAD] = 0.0
    return Count(-MAX_LEAD, mass + level * extra / extra.sum())


def _whole(mean: float, deviation: float, least: int, most: int) -> Floats:
    """A normal in whole numbers; all beyond the ends is theirs. Without deviation it is a point."""
    if deviation == 0.0:
        mass = np.zeros(most - least + 1)
        mass[min(max(round(mean), least), most) - least] = 1.0
        return mass
    scale = deviation * math.sqrt(2.0)
    edges = [math.erf((number + 0.5 - mean) / scale) for number in range(least, most)]
    return np.diff(np.array([-1.0, *edges, 1.0])) / 2.0
