"""Several legs of one match in one bet: how likely they are together, by the model of the match.

Legs of one match depend on each other, so their prices can't be multiplied. But each of them is
decided by the final score, and the model (`actors.pricing.goals`) says how likely every score is:
the probability that all legs win is the sum over the scores at which they do, and exact.

Only legs that win or lose are taken. A line that can be hit gives the stake back, and what the
other legs are then worth is another bet; so totals and handicaps are on half lines here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from actors.odds import ONE, SHORTEST_STEP
from actors.pricing.goals import MAX_MORE, Scores
from actors.pricing.ladder import to_ladder, whole_odds
from actors.pricing.ragged import Flags, Ints

MAX_LEGS = 12
LEAST_PROBABILITY = 1e-4
"""What is less likely has no price: the model is not as good as that."""


class ResultLeg(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Home, draw or away; two of them are a double chance."""

    home: bool = False
    draw: bool = False
    away: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.home + self.draw + self.away <= 2:
            raise ValueError("one or two of the three")

    def wins(self, home: Ints, away: Ints) -> Flags:
        won: Flags = (
            (self.home & (home > away)) | (self.draw & (home == away)) | (self.away & (home < away))
        )
        return won


class TotalLeg(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """More or fewer goals than a half line: of both, or of one side. 10 quarters are 2.5."""

    line_quarters: int
    over: bool
    side: str = "both"

    def __post_init__(self) -> None:
        _half(self.line_quarters)
        if self.side not in ("both", "home", "away"):
            raise ValueError(f"{self.side!r} is no side")

    def wins(self, home: Ints, away: Ints) -> Flags:
        goals = {"both": home + away, "home": home, "away": away}[self.side]
        won: Flags = (4 * goals > self.line_quarters) == self.over
        return won


class HandicapLeg(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Home with a start of a half line, or away giving it."""

    line_quarters: int
    home: bool

    def __post_init__(self) -> None:
        _half(self.line_quarters)

    def wins(self, home: Ints, away: Ints) -> Flags:
        won: Flags = (4 * (home - away) + self.line_quarters > 0) == self.home
        return won


class BothScoreLeg(msgspec.Struct, frozen=True, array_like=True, tag=True):
    yes: bool

    def wins(self, home: Ints, away: Ints) -> Flags:
        won: Flags = ((home > 0) & (away > 0)) == self.yes
        return won


class OddEvenLeg(msgspec.Struct, frozen=True, array_like=True, tag=True):
    odd: bool

    def wins(self, home: Ints, away: Ints) -> Flags:
        won: Flags = ((home + away) % 2 == 1) == self.odd
        return won


class ScoreLeg(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The exact final score."""

    home: int
    away: int

    def wins(self, home: Ints, away: Ints) -> Flags:
        won: Flags = (home == self.home) & (away == self.away)
        return won


Leg = ResultLeg | TotalLeg | HandicapLeg | BothScoreLeg | OddEvenLeg | ScoreLeg


def _half(line_quarters: int) -> None:
    if line_quarters % 4 != 2:
        raise ValueError("a line that can be hit can't be combined with others of its match")


def together(scores: Scores, legs: Sequence[Leg]) -> float:
    """The probability that all legs win: 0 where they contradict each other.

    Raises ValueError with no leg, or more than MAX_LEGS.
    """
    if not 1 <= len(legs) <= MAX_LEGS:
        raise ValueError(f"from one to {MAX_LEGS} legs")
    more = np.arange(MAX_MORE + 1)
    home = (scores.home_goals + more)[:, None]
    away = (scores.away_goals + more)[None, :]
    winning = np.ones_like(scores.more, bool)
    for leg in legs:
        winning &= leg.wins(home, away)
    return float(scores.more[winning].sum())


def quote(scores: Scores, legs: Sequence[Leg], overround: int, longest: int) -> int:
    """The one price of all legs together in ten-thousandths, on the ladder; 0 where there is none.

    Each leg brings the house's margin: `overround` in ten-thousandths (10_500) once for each of
    them, as it would as a leg of an ordinary multiple. There is no price for what can't happen, or
    is too unlikely for the model, or so likely that even 1.01 would be too much. Raises ValueError
    as `together` does, or where the overround is below 1.
    """
    if overround < ONE:
        raise ValueError("a margin is not negative")
    fair = together(scores, legs)
    if fair < LEAST_PROBABILITY:
        return 0
    odds = int(whole_odds(np.array([fair * (overround / ONE) ** len(legs)]))[0])
    if odds < SHORTEST_STEP:
        return 0
    return int(to_ladder(np.array([min(odds, longest)]))[0])
