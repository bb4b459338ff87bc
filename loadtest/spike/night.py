"""What the players of one Locust process share: the programme, the prices seen, the counting."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from loadtest.spike import stage as stages
from loadtest.spike.plan import PhaseName, Plan
from loadtest.spike.slips import Slip, Slips
from loadtest.spike.stage import Stage
from loadtest.spike.tally import Tally


class Night:
    """`chance` is the system's: workers are forked, and must not choose the same keys."""

    def __init__(self, plan: Plan, stage: Stage, tally: Tally, chance: random.Random) -> None:
        self.plan = plan
        self.stage = stage
        self.tally = tally
        self.chance = chance
        self.slips = Slips(plan, stage, chance)

    @classmethod
    def of_environment(cls) -> Night:
        """As the director set it."""
        folder = Path(os.environ[stages.FOLDER])
        plan, stage = stages.read(folder)
        return cls(plan, stage, stages.open_tally(folder, "locust"), random.SystemRandom())

    def phase(self) -> PhaseName:
        return self.plan.phase_at(self.stage.now_s())

    def pace(self, every_s: float) -> Pace:
        return Pace(every_s, self.chance, time.monotonic)

    def token(self) -> str:
        return self.chance.choice(self.stage.tokens)

    def asked(self, way: str, slip: Slip) -> Asked:
        return Asked(self, way, slip)

    def measured(self, name: str, took_s: float) -> None:
        self.tally.delay(self.stage.now_s(), name, 1000 * took_s)

    def turned_away(self, problem: dict[str, Any]) -> None:
        """Not now: the player will ask again. Without a problem there was no answer at all."""
        self.tally.count(self.stage.now_s(), f"again/{problem.get('code', 'no_answer')}")

    def paid_out(self, status: int, answer: dict[str, Any], amount: int, took_s: float) -> None:
        now_s = self.stage.now_s()
        if status in (200, 201):
            self.tally.delay(now_s, "withdrawal", 1000 * took_s)
            self.tally.count(now_s, "withdrawn")
            self.tally.count(now_s, "withdrawn_minor", amount)
        else:
            self.tally.count(now_s, f"refused/{answer.get('code', 'no_answer')}")


class Pace:
    """When one player does the next thing: every so often on average, and never in step with
    others, also after everybody had to wait."""

    def __init__(self, every_s: float, chance: random.Random, clock_s: Callable[[], float]) -> None:
        self._every_s = every_s
        self._chance = chance
        self._clock_s = clock_s
        self._due_s = clock_s() - every_s * chance.random()

    def wait_s(self) -> float:
        """How long to wait from now. Whoever is late goes on at once, and catches up nothing."""
        self._due_s += self._every_s * self._chance.uniform(0.5, 1.5)
        now_s = self._clock_s()
        self._due_s = max(self._due_s, now_s)
        return self._due_s - now_s


class Asked:
    """One bet that was asked for, until its final answer."""

    def __init__(self, night: Night, way: str, slip: Slip) -> None:
        self.slip = slip
        self.final = False
        self._night = night
        self._way = way
        self._began = time.perf_counter()
        self._closed = False

    def __enter__(self) -> Asked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, what: object, where: TracebackType | None
    ) -> None:
        self.close()

    def answered(self, status: int, answer: dict[str, Any]) -> float:
        """The bet, or the problem; status 0 when no answer came. Seconds since it was first
        asked for, pauses included: what a player waits."""
        took_s = time.perf_counter() - self._began
        if not status:
            return took_s
        self.final = True
        now_s, tally = self._night.stage.now_s(), self._night.tally
        what = f"{self._way}/{self.slip.kind}"
        if status == 201:
            tally.delay(now_s, f"bet/{what}", 1000 * took_s)
            tally.count(now_s, f"placed/{what}")
            tally.bet(now_s, answer["bet_id"])
            self._night.slips.learn(self.slip, answer["legs"][0]["odds"])
        else:
            tally.count(now_s, f"refused/{answer.get('code', status)}")
            if "odds" in answer:
                self._night.slips.learn(self.slip, answer["odds"])
        return took_s

    def close(self) -> None:
        """No more is done for it. What became of it is then not known, if there was no answer."""
        if not self.final and not self._closed:
            self._night.tally.count(self._night.stage.now_s(), "unanswered")
        self._closed = True
