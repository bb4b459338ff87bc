"""How the simulated matches and races go, and what each outcome is worth while they do.

Each sport plays by a simple model of chance, and its prices come from the same model: what is left
of the game, given the score. So they are honest: nobody who only looks at the board can beat them.
Football's is the goal model of `actors.pricing`, American football's its model of points.

The probabilities here are floats; they become odds in whole ten-thousandths, margin taken, before
they leave the feed.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from random import Random
from statistics import NormalDist

import msgspec
import numpy as np

from actors.fixture import MatchModel
from actors.odds import ONE
from actors.pricing import goals, points
from actors.results import LOST, WON, Outcome, Result
from actors.slips.outcomes import QUARTERS, handicap, over, under
from gateway.feeds import teams

Chances = dict[str, float]
"""Probability by selection id."""


class Offer(msgspec.Struct, frozen=True):
    """A market of a match."""

    key: str
    name: str
    kind: str
    selections: dict[str, str]
    line_quarters: int | None = None
    """The line of a total, or home's start in a handicap."""
    winners: int = 1


class Look(msgspec.Struct, frozen=True):
    """The match at a moment when something may have changed."""

    after_ms: int
    """Since the start."""
    score: str
    pause_ms: int = 0
    """Something has just happened: nobody prices the match for so long. It is over before the
    next look."""
    results: dict[str, dict[str, Result]] = {}
    """Of the markets decided by it, by key."""
    last: bool = False
    """It can be seen now how it ends: nothing is priced any more until the results come."""


class Match(abc.ABC):
    """A match from the day it is announced to its end."""

    sport: str
    competition: str
    name: str
    bet_delay_ms = 2_000
    opinion_ms = (5_000, 11_000)
    """Prices before the start change that often."""
    reprice_ms = 0
    """How long prices in play stand at least while nothing has happened."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.offers: list[Offer] = []
        """The markets open now. A new one may come while the match is played."""

    @abc.abstractmethod
    def chances(self) -> dict[str, Chances]:
        """As things stand, for each of `offers` by its key."""

    @abc.abstractmethod
    def reconsider(self) -> str:
        """Before the start, opinions change a little. The selection withdrawn now, if any."""

    @abc.abstractmethod
    def play(self) -> Iterator[Look]:
        """From the first moment to the last, in which all markets left are decided."""

    def model(self) -> MatchModel | None:
        """What the house prices selections together by, where it does."""
        return None

    def decide(self, key: str, winner: str) -> dict[str, dict[str, Result]]:
        """Take a market off the offers and say who has won it."""
        offer = next(offer for offer in self.offers if offer.key == key)
        self.offers.remove(offer)
        return {key: {of: WON if of == winner else LOST for of in offer.selections}}

    def decide_line(self, offer: Offer, home: int, away: int) -> dict[str, dict[str, Result]]:
        """The same of a total or a handicap, by a score that will not change any more."""
        self.offers.remove(offer)
        line = offer.line_quarters
        assert line is not None
        if "over" in offer.selections:
            return {offer.key: {"over": over(home + away, line), "under": under(home + away, line)}}
        return {
            offer.key: {"home": handicap(home, away, line), "away": handicap(away, home, -line)}
        }

    def passed(self, scored: int) -> dict[str, dict[str, Result]]:
        """Decide the totals that so many goals or points are already over in full."""
        results: dict[str, dict[str, Result]] = {}
        for offer in list(self.offers):
            line = offer.line_quarters
            if line is not None and "over" in offer.selections and over(scored, line) == WON:
                results |= self.decide_line(offer, scored, 0)
        return results

    def drift(self, value: float, by: float) -> float:
        return value * math.exp(self.rng.gauss(0, by))


def total(line_quarters: int, what: str) -> Offer:
    line = f"{line_quarters / QUARTERS:g}"
    names = {"over": f"Over {line}", "under": f"Under {line}"}
    return Offer(f"total-{line}", f"Total {what} {line}", f"total_{what}", names, line_quarters)


def spread(line_quarters: int, home: str, away: str) -> Offer:
    line = line_quarters / QUARTERS
    names = {"home": f"{home} {_signed(line)}", "away": f"{away} {_signed(-line)}"}
    key = f"handicap{line:+g}".replace("+", "-plus-")
    return Offer(key, f"Handicap {_signed(line)}", "handicap", names, line_quarters)


def _signed(line: float) -> str:
    return f"{line:+g}" if line else "0"


class Football(Match):
    """The final score is one of the goal model's, and each goal of it falls when the model expects
    goals to: so at every moment what is still to come is what the model says of it."""

    sport = "Football"
    competition = "Isles Championship"
    opinion_ms = (9_000, 18_000)
    reprice_ms = 9_000
    MINUTE_MS = 3_000
    GOAL_PAUSE_MS = 4_000
    HALF_TIME_MS = 6_000
    TEMPO = goals.USUAL_TEMPO
    HALVES = tuple(goals.HALF_MINUTES + added for added in TEMPO.added_minutes)
    """With the minutes that are added to each, which the model counts on."""
    RHO = -0.06
    TOTALS = (6, 10, 14)
    """1.5, 2.5 and 3.5 goals; and the quarter line nearest to even."""
    HANDICAPS = (-1, 0, 1)
    """Beside the line nearest to even, in quarters."""
    SCORES_UP_TO = 4

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.home, self.away = teams.football(rng)
        self.name = f"{self.home} v {self.away}"
        self.rates = [self._rate(1.5, 0.35), self._rate(1.2, 0.35)]
        self.goals = [0, 0]
        self.minutes = 0
        """Played, in both halves."""
        scores = self._scores()
        quarter = _nearest(range(1, 40, 2), lambda line: scores.over_under(line)[0])
        level = _nearest(range(-16, 17), lambda line: scores.handicap(line)[0])
        sides = {"home": self.home, "draw": "Draw", "away": self.away}
        exact = {_exact(score): _called(score) for score in scores.correct_score(self.SCORES_UP_TO)}
        self.offers = [
            Offer("result", "Match result", "match_result", sides),
            *(total(line, "goals") for line in sorted((*self.TOTALS, quarter))),
            *(spread(level + beside, self.home, self.away) for beside in self.HANDICAPS),
            Offer("both", "Both teams to score", "both_to_score", {"yes": "Yes", "no": "No"}),
            self._next_goal(),
            Offer("score", "Correct score", "correct_score", exact),
        ]

    def _rate(self, rate: float, by: float) -> float:
        return min(max(self.drift(rate, by), 0.2), 5.0)

    def _next_goal(self) -> Offer:
        number = sum(self.goals) + 1
        return Offer(
            f"goal-{number}",
            f"Goal {number}",
            "next_goal",
            {"home": self.home, "none": "No goal", "away": self.away},
        )

    def reconsider(self) -> str:
        self.rates = [self._rate(rate, 0.02) for rate in self.rates]
        return ""

    def _moment(self) -> goals.Moment:
        """At half-time it is the second half's minute 45."""
        (home, away), first = self.goals, self.HALVES[0]
        if self.minutes < first:
            return goals.Moment(home, away, 1, self.minutes)
        return goals.Moment(home, away, 2, goals.HALF_MINUTES + self.minutes - first)

    def _expected(self) -> goals.GoalModel:
        home, away = self.rates
        return goals.GoalModel(home, away, self.RHO)

    def _scores(self) -> goals.Scores:
        return goals.final_scores(self._expected(), self._moment(), self.TEMPO)

    def model(self) -> MatchModel:
        now = self._moment()
        home, away = (round(rate * ONE) for rate in self.rates)
        rho, minute = round(self.RHO * ONE), int(now.minute)
        return MatchModel(home, away, rho, now.home_goals, now.away_goals, now.half, minute)

    def chances(self) -> dict[str, Chances]:
        scores = self._scores()
        left = goals.still_expected(self._expected(), self._moment(), self.TEMPO)
        none = float(scores.more[0, 0])
        first = (1 - none) * left[0] / sum(left)
        exact = scores.correct_score(self.SCORES_UP_TO)
        all_chances: dict[str, Chances] = {}
        for offer in self.offers:
            line = offer.line_quarters or 0
            fair: tuple[float, ...]
            match offer.kind:
                case "match_result":
                    fair = scores.match_result()
                case "total_goals":
                    fair = scores.over_under(line)
                case "handicap":
                    fair = scores.handicap(line)
                case "both_to_score":
                    fair = scores.both_score()
                case "next_goal":
                    fair = (first, none, 1 - none - first)
                case _:
                    fair = tuple(exact.values())
            all_chances[offer.key] = dict(zip(offer.selections, fair, strict=True))
        return all_chances

    def play(self) -> Iterator[Look]:
        now_ms = 0
        yield Look(now_ms, self._score())
        scorers = self._scorers()
        end = sum(self.HALVES)
        while self.minutes < end:
            now_ms += self.MINUTE_MS
            self.minutes += 1
            sides = [side for minute, side in scorers if minute == self.minutes]
            if not sides:
                yield Look(now_ms, self._score(), last=self.minutes == end)
            for number, side in enumerate(sides, 1):
                last = self.minutes == end and number == len(sides)
                yield self._goal(side, now_ms, last)
                now_ms += self.GOAL_PAUSE_MS
                if number < len(sides):
                    now_ms += self.MINUTE_MS
            if self.minutes == self.HALVES[0]:
                now_ms += self.HALF_TIME_MS
        yield Look(now_ms + self.MINUTE_MS, self._score(), 0, self._whistle())

    def _scorers(self) -> list[tuple[int, int]]:
        """The minutes of all goals, and whose they are."""
        more = self._scores().more
        drawn = int(np.searchsorted(np.cumsum(more.ravel()), self.rng.random() * more.sum()))
        home, away = divmod(min(drawn, more.size - 1), more.shape[1])
        first, second = self.HALVES
        shares = [minute / first / 2 for minute in range(first + 1)]
        shares += [(1 + minute / second) / 2 for minute in range(1, second + 1)]
        behind = [self.TEMPO.played(share) for share in shares]
        weights = [later - earlier for earlier, later in itertools.pairwise(behind)]
        minutes = range(1, first + second + 1)
        return sorted(
            (minute, side)
            for side, count in enumerate((home, away))
            for minute in self.rng.choices(minutes, weights, k=count)
        )

    def _goal(self, scorer: int, now_ms: int, last: bool) -> Look:
        results = self.decide(self._next_goal().key, ("home", "away")[scorer])
        self.goals[scorer] += 1
        results |= self.passed(sum(self.goals))
        if all(self.goals) and self.offered("both"):
            results |= self.decide("both", "yes")
        if max(self.goals) > self.SCORES_UP_TO and self.offered("score"):
            results |= self.decide("score", _exact(None))
        if not last:
            self.offers.append(self._next_goal())
        return Look(now_ms, self._score(), self.GOAL_PAUSE_MS, results, last)

    def offered(self, key: str) -> bool:
        return any(offer.key == key for offer in self.offers)

    def _whistle(self) -> dict[str, dict[str, Result]]:
        home, away = self.goals
        winners = {"result": "home" if home > away else "away" if home < away else "draw"}
        winners |= {"both": "no", "score": _exact((home, away)), self._next_goal().key: "none"}
        decided: dict[str, dict[str, Result]] = {}
        for offer in list(self.offers):
            if offer.line_quarters is not None:
                decided |= self.decide_line(offer, home, away)
            else:
                decided |= self.decide(offer.key, winners[offer.key])
        return decided

    def _score(self) -> str:
        moment = self._moment()
        shown = min(int(moment.minute), goals.HALF_MINUTES * moment.half)
        return f"{self.goals[0]}-{self.goals[1]} {shown}'"


def _nearest(lines: Iterable[int], fair: Callable[[int], float]) -> int:
    """The line whose two sides are most alike."""
    return min(lines, key=lambda line: abs(fair(line) - 0.5))


def _exact(score: tuple[int, int] | None) -> str:
    return f"{score[0]}-{score[1]}" if score else "other"


def _called(score: tuple[int, int] | None) -> str:
    return _exact(score) if score else "Any other"


class PointsGame(Match):
    """Points come in plays of fixed worth, each at a constant rate; what is left of a whole game
    is close to normal. A game that is level at the end goes on until it isn't."""

    plays: tuple[tuple[int, float], ...]
    """What a play is worth, and how many of them an average side makes in a game."""
    minutes: int
    """Of a game, in four quarters."""
    spread_of_strength: float
    pause_ms: int
    """After every score; 0 where scores are too many to stop for."""
    MINUTE_MS = 5_000
    QUARTER_PAUSE_MS = 3_000
    OVERTIME_LIMIT = 60
    """Minutes after which the home side is given a point, so that every game ends."""
    spreads_beside: tuple[int, ...] = (0,)
    totals_beside: tuple[int, ...] = (0,)
    """Lines, in quarters from the main one of each, which lies between two whole scores."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.home, self.away = teams.franchises(rng)
        self.name = f"{self.home} v {self.away}"
        self.strengths = [self.drift(1.02, self.spread_of_strength), 1.0]
        self.points = [0, 0]
        self.minute = 0
        mean = sum(worth * rate for worth, rate in self.plays)
        home_by = round((self.strengths[0] - 1) * mean)
        main = round(QUARTERS * (-home_by + (0.5 if home_by >= 0 else -0.5)))
        self.spreads = [
            spread(main + beside, self.home, self.away) for beside in self.spreads_beside
        ]
        main = round(QUARTERS * (round(mean * sum(self.strengths)) + 0.5))
        self.totals = [total(main + beside, "points") for beside in self.totals_beside]
        self.offers = [
            Offer("winner", "Winner", "winner", {"home": self.home, "away": self.away}),
            *self.spreads,
            *self.totals,
        ]

    def reconsider(self) -> str:
        self.strengths = [self.drift(strength, 0.006) for strength in self.strengths]
        return ""

    def chances(self) -> dict[str, Chances]:
        # In overtime, a good minute is left as far as anybody knows.
        left = max(self.minutes - self.minute, 1) / self.minutes
        mean = sum(worth * rate for worth, rate in self.plays) * left
        variance = sum(worth**2 * rate for worth, rate in self.plays) * left
        home, away = (strength * mean for strength in self.strengths)
        deviation = math.sqrt(variance * sum(self.strengths))
        lead = self.points[0] - self.points[1] + home - away
        end = sum(self.points) + home + away
        all_chances: dict[str, Chances] = {}
        for offer in self.offers:
            line = (offer.line_quarters or 0) / QUARTERS
            if offer.kind == "total_points":
                above = _above((end - line) / deviation)
            else:
                above = _above((lead + line) / deviation)
            all_chances[offer.key] = dict(zip(offer.selections, (above, 1 - above), strict=True))
        return all_chances

    def play(self) -> Iterator[Look]:
        now_ms = 0
        yield Look(now_ms, self._score())
        while self.minute < self.minutes or self.points[0] == self.points[1]:
            now_ms += self.MINUTE_MS
            self.minute += 1
            scored = self._minute()
            if self.minute == self.minutes + self.OVERTIME_LIMIT:
                self.points[0] += self.points[0] == self.points[1]
            results = self.passed(sum(self.points))
            pause_ms = self.pause_ms if scored else 0
            if self.minute % (self.minutes // 4) == 0 and self.minute <= self.minutes:
                pause_ms = self.QUARTER_PAUSE_MS
            over = self.minute >= self.minutes and self.points[0] != self.points[1]
            yield Look(now_ms, self._score(), pause_ms, results, over)
            now_ms += pause_ms
        yield Look(now_ms + self.MINUTE_MS, self._score(), 0, self._buzzer())

    def _minute(self) -> bool:
        before = sum(self.points)
        for side, strength in enumerate(self.strengths):
            for worth, rate in self.plays:
                self.points[side] += worth * _sample(self.rng, strength * rate / self.minutes)
        return sum(self.points) > before

    def _buzzer(self) -> dict[str, dict[str, Result]]:
        home, away = self.points
        decided: dict[str, dict[str, Result]] = {}
        for offer in list(self.offers):
            if offer.line_quarters is not None:
                decided |= self.decide_line(offer, home, away)
            else:
                decided |= self.decide(offer.key, "home" if home > away else "away")
        return decided

    def _score(self) -> str:
        quarter = min(self.minute * 4 // self.minutes + 1, 4)
        period = f"Q{quarter}" if self.minute <= self.minutes else "OT"
        return f"{self.points[0]}-{self.points[1]} {period}"


class Basketball(PointsGame):
    sport = "Basketball"
    competition = "Continental Circuit"
    plays = ((1, 15.0), (2, 29.0), (3, 11.0))
    minutes = 48
    spread_of_strength = 0.06
    pause_ms = 0


class AmericanFootball(PointsGame):
    """Priced by the model of points, with the deviation that its plays have."""

    sport = "American Football"
    competition = "Frontier Conference"
    plays = ((7, 2.5), (3, 1.8))
    minutes = 60
    spread_of_strength = 0.25
    pause_ms = 4_000
    spreads_beside = (-12, 0, 2, 12)
    totals_beside = (-14, 0, 14)

    def chances(self) -> dict[str, Chances]:
        mean = sum(worth * rate for worth, rate in self.plays)
        variance = sum(worth**2 * rate for worth, rate in self.plays)
        home, away = (strength * mean for strength in self.strengths)
        deviation = math.sqrt(variance * sum(self.strengths))
        model = points.PointModel(home - away, home + away, deviation, deviation)
        left = max(self.minutes - self.minute, 0)
        clock = points.Clock(self.points[0], self.points[1], left)
        end = points.final_points(model, clock)
        all_chances: dict[str, Chances] = {}
        for offer in self.offers:
            line = offer.line_quarters or 0
            fair = end.over_under(line) if offer.kind == "total_points" else end.spread(line)
            all_chances[offer.key] = dict(zip(offer.selections, fair, strict=True))
        return all_chances


class Tennis(Match):
    """Best of three sets, point by point; each player wins a point on serve at a constant rate."""

    sport = "Tennis"
    competition = "Harbour Open"
    bet_delay_ms = 1_000
    POINT_MS = 2_000
    GAME_PAUSE_MS = 1_500
    SET_PAUSE_MS = 5_000

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.players = teams.tennis(rng)
        self.name = " v ".join(self.players)
        self.serves = (0.63 + rng.gauss(0, 0.03), 0.63 + rng.gauss(0, 0.03))
        self.sets = [0, 0]
        self.games = [0, 0]
        self.points = [0, 0]
        self.server = rng.randrange(2)
        self.finished_sets: list[str] = []
        self.offers = [Offer("winner", "Match winner", "winner", self._sides()), self._set()]

    def _sides(self) -> dict[str, str]:
        return {"home": self.players[0], "away": self.players[1]}

    def _set(self) -> Offer:
        number = sum(self.sets) + 1
        return Offer(f"set-{number}", f"Set {number} winner", "set_winner", self._sides())

    def reconsider(self) -> str:
        home, away = (serve + self.rng.gauss(0, 0.002) for serve in self.serves)
        self.serves = (min(max(home, 0.5), 0.8), min(max(away, 0.5), 0.8))
        return ""

    def chances(self) -> dict[str, Chances]:
        this_set = _win_set(self.serves, *self.games, *self.points, self.server)
        won, lost = self.sets[0] + 1, self.sets[1] + 1
        # Who serves first in the next set is nearly even; take the one who serves now.
        match = this_set * self._win_match(won, self.sets[1])
        match += (1 - this_set) * self._win_match(self.sets[0], lost)
        all_chances = {
            "winner": {"home": match, "away": 1 - match},
            self._set().key: {"home": this_set, "away": 1 - this_set},
        }
        return {offer.key: all_chances[offer.key] for offer in self.offers}

    def _win_match(self, home: int, away: int) -> float:
        if home == 2 or away == 2:
            return float(home == 2)
        new_set = _win_set(self.serves, 0, 0, 0, 0, self.server)
        return new_set * self._win_match(home + 1, away) + (1 - new_set) * self._win_match(
            home, away + 1
        )

    def play(self) -> Iterator[Look]:
        now_ms = 0
        yield Look(now_ms, self._score())
        while True:
            now_ms += self.POINT_MS
            winner = self._point()
            if winner is None:
                yield Look(now_ms, self._score())
                continue
            results = self._set_over(winner)
            if not self.offers:
                yield Look(now_ms, " ".join(self.finished_sets), 0, results)
                return
            yield Look(now_ms, self._score(), self.SET_PAUSE_MS, results)
            now_ms += self.SET_PAUSE_MS

    def _point(self) -> int | None:
        """Play one point; who has won the set by it."""
        tie_break = self.games == [6, 6]
        server = _tie_break_server(self.server, sum(self.points)) if tie_break else self.server
        holds = self.rng.random() < self.serves[server]
        scorer = server if holds else 1 - server
        self.points[scorer] += 1
        target = 7 if tie_break else 4
        if max(self.points) < target or abs(self.points[0] - self.points[1]) < 2:
            return None
        self.games[scorer] += 1
        self.points = [0, 0]
        self.server = 1 - self.server
        if self.games[scorer] == 7 or (self.games[scorer] == 6 and self.games[1 - scorer] <= 4):
            return scorer
        return None

    def _set_over(self, winner: int) -> dict[str, dict[str, Result]]:
        side = ("home", "away")[winner]
        results = self.decide(self._set().key, side)
        self.finished_sets.append(f"{self.games[0]}-{self.games[1]}")
        self.sets[winner] += 1
        self.games = [0, 0]
        if self.sets[winner] == 2:
            return results | self.decide("winner", side)
        self.offers.append(self._set())
        return results

    def _score(self) -> str:
        games = " ".join([*self.finished_sets, f"{self.games[0]}-{self.games[1]}"])
        if self.games == [6, 6]:
            return f"{games} ({self.points[0]}-{self.points[1]})"
        home, away = self.points
        if min(home, away) >= 3:
            call = "40-40" if home == away else "Ad-40" if home > away else "40-Ad"
        else:
            call = f"{(0, 15, 30, 40)[home]}-{(0, 15, 30, 40)[away]}"
        return f"{games} ({call})"


class HorseRace(Match):
    """How far each runner gets is normal around its ability; the race shows it bit by bit."""

    sport = "Horse Racing"
    bet_delay_ms = 1_000
    SECONDS = 60
    PHOTO_MS = 5_000
    """Before the end, when it can be seen who wins."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        count = rng.randint(7, 11)
        names = teams.horses(rng, count)
        self.runners = {str(number): name for number, name in enumerate(names, 1)}
        self.places = 3 if count >= 8 else 2
        self.competition = teams.course(rng)
        self.name = f"{self.competition}: {rng.choice(names).split()[1]} Stakes"
        self.reach = {of: rng.gauss(0, 0.7) for of in self.runners}
        self.left = 1.0
        self.withdrawn = ""
        self.offers = [
            Offer("win", "Win", "win", self.runners),
            Offer(
                "place",
                f"Place (first {self.places})",
                "place",
                self.runners,
                winners=self.places,
            ),
        ]

    def reconsider(self) -> str:
        if not self.withdrawn and self.rng.random() < 0.01:
            self.withdrawn = self.rng.choice(list(self.reach))
            del self.reach[self.withdrawn]
            return self.withdrawn
        self.reach = {of: reach + self.rng.gauss(0, 0.03) for of, reach in self.reach.items()}
        return ""

    def chances(self) -> dict[str, Chances]:
        """By looking at each runner's race at a few dozen equally likely points of its own."""
        deviation = math.sqrt(self.left)
        win: Chances = {}
        place: Chances = {}
        for of, reach in self.reach.items():
            win[of] = place[of] = 0.0
            others = [other for runner, other in self.reach.items() if runner != of]
            for quantile in _QUANTILES:
                ends = reach + quantile * deviation
                # ahead[n]: the chance that n others get further, while n is a place.
                ahead = [1.0] + [0.0] * (self.places - 1)
                for other in others:
                    further = _above((other - ends) / deviation)
                    for n in range(self.places - 1, 0, -1):
                        ahead[n] += (ahead[n - 1] - ahead[n]) * further
                    ahead[0] *= 1 - further
                win[of] += ahead[0] / len(_QUANTILES)
                place[of] += sum(ahead) / len(_QUANTILES)
        return {"win": _scaled(win, 1), "place": _scaled(place, self.places)}

    def play(self) -> Iterator[Look]:
        yield Look(0, "They're off")
        step = 1 / self.SECONDS
        for second in range(1, self.SECONDS):
            self._gallop(step)
            at_ms = second * 1_000
            if at_ms < self.SECONDS * 1_000 - self.PHOTO_MS:
                yield Look(at_ms, f"{self._leader()} leads")
            elif at_ms == self.SECONDS * 1_000 - self.PHOTO_MS:
                yield Look(at_ms, f"{self._leader()} leads", last=True)
        self._gallop(step)
        # As close as the camera can see: what is level then is a dead heat.
        ends = {of: round(reach, 2) for of, reach in self.reach.items()}
        self.offers = []
        first = [self.runners[of] for of, end in ends.items() if end == max(ends.values())]
        results = {"win": finish(ends, 1), "place": finish(ends, self.places)}
        yield Look(self.SECONDS * 1_000, " and ".join(first), 0, results)

    def _gallop(self, step: float) -> None:
        self.left = max(self.left - step, step)
        for of in self.reach:
            self.reach[of] += self.rng.gauss(0, math.sqrt(step))

    def _leader(self) -> str:
        return self.runners[max(self.reach, key=lambda of: self.reach[of])]


def finish(ends: dict[str, float], places: int) -> dict[str, Result]:
    """Results by how far each got: those level for the last places share them."""
    results: dict[str, Result] = {}
    for of, end in ends.items():
        ahead = sum(other > end for other in ends.values())
        level = sum(other == end for other in ends.values())
        if ahead >= places:
            results[of] = LOST
        elif ahead + level <= places:
            results[of] = WON
        else:
            results[of] = Result(Outcome.WON, tied=level, places=places - ahead)
    return results


SPORTS: tuple[type[Match], ...] = (
    Football,
    Tennis,
    HorseRace,
    Basketball,
    AmericanFootball,
    Football,
    HorseRace,
    Tennis,
)
"""The mix on the board, in the order in which it fills."""


# Chance

_QUANTILES = tuple(NormalDist().inv_cdf((n + 0.5) / 16) for n in range(16))


def _sample(rng: Random, mean: float) -> int:
    """A Poisson number, by multiplying until the product has gone below e^-mean."""
    count, product, bound = 0, rng.random(), math.exp(-mean)
    while product > bound:
        count += 1
        product *= rng.random()
    return count


def _above(deviations: float) -> float:
    """The chance that a normal variable, so many deviations above zero on average, is above."""
    return 0.5 * (1 + math.erf(deviations / math.sqrt(2)))


def _scaled(chances: Chances, to: int) -> Chances:
    factor = to / sum(chances.values())
    return {of: min(chance * factor, 1.0) for of, chance in chances.items()}


@lru_cache(maxsize=100_000)
def _win_set(
    serves: tuple[float, float], home: int, away: int, mine: int, theirs: int, server: int
) -> float:
    """The home player's chance to win a set from `home`-`away` games and the points of this one."""
    if (home, away) == (6, 6):
        return _win_tie_break(serves, mine, theirs, server)
    if home == 7 or (home == 6 and away <= 4):
        return 1.0
    if away == 7 or (away == 6 and home <= 4):
        return 0.0
    held = serves[server] if server == 0 else 1 - serves[server]
    game = _win_game(held, mine, theirs)
    return game * _win_set(serves, home + 1, away, 0, 0, 1 - server) + (1 - game) * _win_set(
        serves, home, away + 1, 0, 0, 1 - server
    )


def _win_game(point: float, mine: int, theirs: int) -> float:
    """The chance to win a game when every point is won with the chance `point`."""
    if mine >= 3 and theirs >= 3:
        deuce = point**2 / (point**2 + (1 - point) ** 2)
        if mine == theirs:
            return deuce
        return point + (1 - point) * deuce if mine > theirs else point * deuce
    if mine == 4:
        return 1.0
    if theirs == 4:
        return 0.0
    return point * _win_game(point, mine + 1, theirs) + (1 - point) * _win_game(
        point, mine, theirs + 1
    )


def _win_tie_break(serves: tuple[float, float], mine: int, theirs: int, first: int) -> float:
    if max(mine, theirs) >= 7 and abs(mine - theirs) >= 2:
        return float(mine > theirs)
    if mine == theirs >= 6:
        # From here each serves one point of every two; two in a row wins.
        both = serves[0] * (1 - serves[1])
        neither = (1 - serves[0]) * serves[1]
        return both / (both + neither)
    server = _tie_break_server(first, mine + theirs)
    point = serves[0] if server == 0 else 1 - serves[1]
    return point * _win_tie_break(serves, mine + 1, theirs, first) + (1 - point) * _win_tie_break(
        serves, mine, theirs + 1, first
    )


def _tie_break_server(first: int, played: int) -> int:
    """One point, then two by turns."""
    return first if (played + 1) // 2 % 2 == 0 else 1 - first
