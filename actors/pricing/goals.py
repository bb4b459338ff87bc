"""Football, from the goals expected of each side: one model prices every market of a match.

Goals are Poisson, and low scores are corrected: Dixon and Coles, "Modelling association football
scores and inefficiencies in the football betting market" (1997). With home and away expectancies
l and m, the scores 0-0, 0-1, 1-0 and 1-1 are multiplied by

    1 - l m rho,    1 + l rho,    1 + m rho,    1 - rho

which leaves both sides' goals Poisson. A rho below 0 makes 0-0 and 1-1 more likely.

In play the same law holds of the final score, given what has happened: the goals still to come are
Poisson with what is left of the expectancies, and the final score is corrected as above and scaled
to 1. So prices in play are those before the match with what is known taken in, and no price drifts
for no reason: averaged over what may happen next, each is what it is now.

How much is left of an expectancy at some moment (`Tempo`):
- Goals come faster as a match goes on: Dixon and Robinson, "A birth process model for association
  football matches" (1998). Here the rate grows evenly over the playing time, by so much that the
  first half has its share: 44 per cent, 1.16 of 2.64 goals in 5,100 matches of the Premier League
  (J. Grayson, "Are goals scored in the first half of a game predictive of goals scored in the
  second?", 2013).
- A side with a man more scores more: 1.88 times as much for one, while the side with a man less
  scores as before: Ridder, Cramer and Hopstaken, "Down to ten: estimating the effect of a red card
  in soccer" (1994). Others found less (Titman and others, 2015: 1.645), so it is configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.pricing.lines import Chances, Count, over
from actors.pricing.ragged import Floats

MAX_EXPECTED = 9.0
"""Of one side. Of what is beyond MAX_MORE goals then, not a millionth is left."""
MIN_EXPECTED = 0.01
MAX_MORE = 30
"""Goals of one side that are still reckoned with."""
MAX_SCORE = 50
MAX_REDS = 4
"""With fewer than seven players on a side there is no match (Law 3)."""
HALF_MINUTES = 45
LEAST_LEFT_MINUTES = 0.5
"""Until a half is whistled off, this much of it is always still to come."""
MAX_ADDED_MINUTES = 30
MAX_RHO = 0.4
_MORE = np.arange(MAX_MORE + 1)
_LEADS = (_MORE[:, None] - _MORE[None, :] + MAX_MORE).ravel()
_SUMS = (_MORE[:, None] + _MORE[None, :]).ravel()


class GoalModel(msgspec.Struct, frozen=True, array_like=True):
    """What is expected of a match before it begins: goals in regular time, and Dixon-Coles' rho.

    Raises ValueError where an expectancy is out of bounds, or where rho would make the probability
    of some score negative.
    """

    home: float
    away: float
    rho: float = 0.0

    def __post_init__(self) -> None:
        if not all(MIN_EXPECTED <= goals <= MAX_EXPECTED for goals in (self.home, self.away)):
            raise ValueError(f"{self.home} and {self.away} goals are not to be expected")
        low, high = rho_bounds(self.home, self.away)
        if not low <= self.rho <= high:
            raise ValueError(f"rho is from {low} to {high} here")


def rho_bounds(home: float, away: float) -> tuple[float, float]:
    """Between which every score has a probability (Dixon and Coles, 1997), and reason ends too."""
    return max(-1.0 / home, -1.0 / away, -MAX_RHO), min(1.0 / (home * away), 1.0, MAX_RHO)


class Tempo(msgspec.Struct, frozen=True, array_like=True):
    """How goals lie in a match, and what men sent off change. All of it is the trader's to set.

    `eleven` multiplies the goals of a side for each man it has more than the other, `ten` those of
    a side for each man less. `added_minutes` are usual ones, until the board says others.
    """

    first_half: float = 0.44
    eleven: float = 1.88
    ten: float = 1.0
    added_minutes: tuple[int, int] = (2, 5)

    def __post_init__(self) -> None:
        if not 0.25 <= self.first_half <= 0.75:
            raise ValueError("with an even growth, a half has a quarter to three quarters of goals")
        if not (1.0 <= self.eleven <= 4.0 and 0.25 <= self.ten <= 1.0):
            raise ValueError("a man more never scores less")
        if not all(0 <= minutes <= MAX_ADDED_MINUTES for minutes in self.added_minutes):
            raise ValueError("nobody adds that many minutes")

    def played(self, share: float) -> float:
        """The share of its goals that a match has behind it after a share of its time."""
        level = 4.0 * self.first_half - 1.0
        return level * share + (1.0 - level) * share * share


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """Where a match stands. `minute` counts on from 45 in the second half, as everybody tells it.

    `added_minutes` are those announced for this half, None before. At half-time it is half 2,
    minute 45. Raises ValueError where that can't be.
    """

    home_goals: int = 0
    away_goals: int = 0
    half: int = 1
    minute: float = 0.0
    added_minutes: int | None = None
    home_reds: int = 0
    away_reds: int = 0

    def __post_init__(self) -> None:
        if not all(0 <= goals <= MAX_SCORE for goals in (self.home_goals, self.away_goals)):
            raise ValueError("no such score")
        if not all(0 <= reds <= MAX_REDS for reds in (self.home_reds, self.away_reds)):
            raise ValueError("no match with so few players")
        if self.half not in (1, 2) or not self.minute >= HALF_MINUTES * (self.half - 1):
            raise ValueError("no such minute in that half")
        if not 0 <= (self.added_minutes or 0) <= MAX_ADDED_MINUTES:
            raise ValueError("nobody adds that many minutes")


KICK_OFF = Moment()
USUAL_TEMPO = Tempo()


def still_expected(model: GoalModel, moment: Moment, tempo: Tempo) -> tuple[float, float]:
    """The goals still to come of home and away, from this moment on."""
    added = moment.added_minutes
    length = HALF_MINUTES + (tempo.added_minutes[moment.half - 1] if added is None else added)
    gone = min(moment.minute - HALF_MINUTES * (moment.half - 1), length - LEAST_LEFT_MINUTES)
    left = 1.0 - tempo.played((moment.half - 1 + gone / length) / 2.0)
    more = moment.away_reds - moment.home_reds
    home = tempo.eleven**more if more > 0 else tempo.ten**-more
    away = tempo.eleven**-more if more < 0 else tempo.ten**more
    return model.home * left * home, model.away * left * away


class Scores:
    """How likely every final score is. `more[i, j]`: with i and j goals more than there are now."""

    __slots__ = ("away_goals", "home_goals", "lead", "more", "total")

    def __init__(self, home_goals: int, away_goals: int, more: Floats) -> None:
        self.home_goals = home_goals
        self.away_goals = away_goals
        self.more = more
        now = home_goals - away_goals
        self.lead = _count(now - MAX_MORE, _LEADS, more)
        """Of home's goals over away's."""
        self.total = _count(home_goals + away_goals, _SUMS, more)

    def at(self, home: int, away: int) -> float:
        """Of one final score."""
        i, j = home - self.home_goals, away - self.away_goals
        inside = 0 <= i <= MAX_MORE and 0 <= j <= MAX_MORE
        return float(self.more[i, j]) if inside else 0.0

    # The markets. All are fair, and add up to one, or to two where it is said.

    def match_result(self) -> tuple[float, float, float]:
        """Home, draw, away: the 1X2."""
        return self.lead.above(0), self.lead.at(0), self.lead.below(0)

    def double_chance(self) -> tuple[float, float, float]:
        """Home or draw, home or away, draw or away. Two of them win: they add up to 2."""
        home, draw, away = self.match_result()
        return home + draw, home + away, draw + away

    def draw_no_bet(self) -> tuple[float, float]:
        """Home and away, void at a draw: the handicap of nothing."""
        return self.handicap(0)

    def over_under(self, line_quarters: int) -> tuple[float, float]:
        """More goals and fewer, at any line."""
        chances = over(self.total, line_quarters)
        return chances.fair, chances.reversed().fair

    def handicap(self, line_quarters: int, since: tuple[int, int] = (0, 0)) -> tuple[float, float]:
        """Home with this start, and away giving it, at any line (Asian handicap).

        In play such bets often count only goals from the bet on: `since` is then the score at it.
        """
        chances = self.handicap_chances(line_quarters, since)
        return chances.fair, chances.reversed().fair

    def handicap_chances(self, line_quarters: int, since: tuple[int, int] = (0, 0)) -> Chances:
        """What home's side of a handicap does, half outcomes and all."""
        return over(self.lead, 4 * (since[0] - since[1]) - line_quarters)

    def both_score(self) -> tuple[float, float]:
        """Yes and no."""
        home = int(self.home_goals == 0)
        away = int(self.away_goals == 0)
        yes = float(self.more[home:, away:].sum())
        return yes, max(0.0, 1.0 - yes)

    def odd_even(self) -> tuple[float, float]:
        """An odd number of goals, and an even one (none is even)."""
        first = self.total.least % 2
        even = float(self.total.mass[first::2].sum())
        return max(0.0, 1.0 - even), even

    def correct_score(self, up_to: int) -> dict[tuple[int, int] | None, float]:
        """Every score up to so many goals a side, and under None any other."""
        sides = range(up_to + 1)
        named: dict[tuple[int, int] | None, float] = {
            (home, away): self.at(home, away) for home in sides for away in sides
        }
        return {**named, None: max(0.0, 1.0 - sum(named.values()))}


def final_scores(model: GoalModel, moment: Moment = KICK_OFF, tempo: Tempo = USUAL_TEMPO) -> Scores:
    """How likely every final score is at some moment; without one, before the match."""
    home, away = still_expected(model, moment, tempo)
    more = np.outer(_poisson(home), _poisson(away))
    _correct(more, model, moment.home_goals, moment.away_goals)
    return Scores(moment.home_goals, moment.away_goals, more / more.sum())


def _poisson(expected: float) -> Floats:
    terms = np.empty(MAX_MORE + 1)
    terms[0] = np.exp(-expected)
    terms[1:] = expected / _MORE[1:]
    product: Floats = terms.cumprod()
    return product


def _correct(more: Floats, model: GoalModel, home_goals: int, away_goals: int) -> None:
    """The final scores up to 1-1 that can still be reached, corrected as before the match."""
    home, away, rho = model.home, model.away, model.rho
    factors = {
        (0, 0): 1.0 - home * away * rho,
        (0, 1): 1.0 + home * rho,
        (1, 0): 1.0 + away * rho,
        (1, 1): 1.0 - rho,
    }
    for (i, j), factor in factors.items():
        if i >= home_goals and j >= away_goals:
            more[i - home_goals, j - away_goals] *= factor


def _count(least: int, places: NDArray[np.intp], more: Floats) -> Count:
    mass: Floats = np.bincount(places, more.ravel()).astype(np.float64)
    return Count(least, mass)


# Every market of a match from one model


class Derived(NamedTuple):
    """One market that the model prices, the way the engine wants it."""

    kind: str
    """The trade's name: "match_result", "total" and so on."""
    line_quarters: int
    """0 where the kind has no line."""
    selections: tuple[str, ...]
    probabilities: tuple[float, ...]
    winners: int = 1


def derived(
    scores: Scores,
    totals: Sequence[int] = (2, 6, 10, 14, 18),
    handicaps: Sequence[int] = (-6, -4, -2, 0, 2, 4, 6),
    scores_up_to: int = 4,
) -> list[Derived]:
    """The markets of a match, with lines in quarters: 10 is over and under 2.5 goals."""
    exact = scores.correct_score(scores_up_to)
    return [
        Derived("match_result", 0, ("home", "draw", "away"), scores.match_result()),
        Derived(
            "double_chance",
            0,
            ("home_draw", "home_away", "draw_away"),
            scores.double_chance(),
            winners=2,
        ),
        Derived("draw_no_bet", 0, ("home", "away"), scores.draw_no_bet()),
        Derived("both_score", 0, ("yes", "no"), scores.both_score()),
        Derived("odd_even", 0, ("odd", "even"), scores.odd_even()),
        Derived(
            "correct_score",
            0,
            tuple("other" if score is None else f"{score[0]}-{score[1]}" for score in exact),
            tuple(exact.values()),
        ),
        *(Derived("total", line, ("over", "under"), scores.over_under(line)) for line in totals),
        *(Derived("handicap", line, ("home", "away"), scores.handicap(line)) for line in handicaps),
    ]


# From the market's prices back to the model


class Fitted(NamedTuple):
    model: GoalModel
    error: float
    """By how much the model misses the probability that it misses most."""


_FIT_STEPS = 60
_FIT_ENOUGH = 1e-9
_FIT_GOOD = 1e-8
_FIT_GAIN = 1e-4
"""A step that takes no more than this share off what is missed is the last: it is the bottom."""
_STRIDE = 0.4
"""The longest step, so that none lands where every match is goals galore."""
_FIT_STARTS = (0.0, -0.2, 0.2)
"""Of rho."""
_NUDGE = 1e-6


def fit(
    match_result: tuple[float, float, float],
    line_quarters: int,
    over_fair: float,
    rho: float | None = None,
) -> Fitted:
    """The expectancies that say these fair probabilities of 1X2, and of more goals than the line.

    Three numbers for three prices, so rho is found too unless it is given. Solved by Levenberg and
    Marquardt's steps (Marquardt, "An algorithm for least-squares estimation of nonlinear
    parameters", 1963) from a usual match, kept in bounds. Prices that no match can have leave an
    `error`: it is for the caller to say how much of one is too much. Raises ValueError where a
    probability is not between 0 and 1 or where those of the 1X2 do not add up to 1.
    """
    wanted = np.array([match_result[0], match_result[2], over_fair])
    if not np.all((wanted > 0.0) & (wanted < 1.0)) or abs(sum(match_result) - 1.0) > 1e-6:
        raise ValueError("fair probabilities are between 0 and 1, and add up")
    # First without looking for rho, which would run to its bounds from afar; then with it, and
    # from other places where that did not find the prices.
    level = _descended(np.array([0.3, 0.1, rho or 0.0]), wanted, line_quarters, 2)
    if rho is not None:
        return level
    best = level
    for start in _FIT_STARTS:
        at = np.array([np.log(level.model.home), np.log(level.model.away), start])
        found = _descended(at, wanted, line_quarters, 3)
        best = min(best, found, key=lambda fitted: fitted.error)
        if best.error < _FIT_GOOD:
            break
    return best


def _descended(start: Floats, wanted: Floats, line_quarters: int, free: int) -> Fitted:
    """Down from one place, with the first so many of its numbers free to move."""
    at = start
    missed = _missed(at, wanted, line_quarters)
    damping = 1e-3
    for _ in range(_FIT_STEPS):
        if np.abs(missed).max() < _FIT_ENOUGH or damping > 1e9:
            break
        slopes = np.empty((3, free))
        for column in range(free):
            nudged = at.copy()
            nudged[column] += _NUDGE
            slopes[:, column] = (_missed(nudged, wanted, line_quarters) - missed) / _NUDGE
        square = slopes.T @ slopes
        damped = square + damping * np.diag(np.diag(square) + 1e-9)
        tried = at.copy()
        tried[:free] -= np.clip(np.linalg.solve(damped, slopes.T @ missed), -_STRIDE, _STRIDE)
        tried = _bounded(tried, at[2] if free == 2 else None)
        then = _missed(tried, wanted, line_quarters)
        gained = missed @ missed - then @ then
        little = 0.0 <= gained < _FIT_GAIN * (missed @ missed)
        if gained > 0.0:
            at, missed, damping = tried, then, damping / 10.0
        else:
            damping *= 10.0
        if little:
            break
    return Fitted(_model(at), float(np.abs(missed).max()))


def _missed(at: Floats, wanted: Floats, line_quarters: int) -> Floats:
    scores = final_scores(_model(at))
    home, _, away = scores.match_result()
    return np.array([home, away, scores.over_under(line_quarters)[0]]) - wanted


def _model(at: Floats) -> GoalModel:
    """From logarithms of the expectancies, and rho."""
    home, away = (float(min(max(goals, MIN_EXPECTED), MAX_EXPECTED)) for goals in np.exp(at[:2]))
    low, high = rho_bounds(home, away)
    return GoalModel(home, away, float(min(max(at[2], low), high)))


def _bounded(at: Floats, rho: float | None) -> Floats:
    """The nearest place to it at which there is a match, with rho as it is given."""
    model = _model(at)
    return np.array([np.log(model.home), np.log(model.away), model.rho if rho is None else rho])
