"""The trader: kick-off, prices that move several times a second, the large market, the whistle.

Prices are moved on a timetable, whatever became of the move before; one that is still under way
when the next falls due makes that one wait, and what could not be sent in time is counted.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import orjson

from loadtest.spike.desk import Desk, NoAnswer, Refused
from loadtest.spike.plan import Plan
from loadtest.spike.stage import Stage
from loadtest.spike.tally import Tally

LARGE_EVERY_S = 0.5
LARGE_AT_ONCE = 1_000
"""Prices of the large market that change in one go."""
STEP = 50
"""The widest step of a price, in ten-thousandths."""
SPREAD = 4_000
"""How far prices get from where they began."""


class Trader:
    def __init__(self, plan: Plan, stage: Stage, tally: Tally, cues: Path) -> None:
        self._plan = plan
        self._stage = stage
        self._tally = tally
        self._cues = cues
        self._chance = random.Random(7)
        self._sent: dict[tuple[str, int], float] = {}
        """When a change was sent, by fixture and by the price of its first selection, which is
        never the same twice."""
        self._desks: list[Desk] = []
        self.all_settled = asyncio.Event()

    def sent_s(self, fixture_id: str, odds: dict[str, int]) -> float | None:
        """When the change that shows these prices was sent off."""
        price = odds.get(self._stage.selections[0])
        return None if price is None else self._sent.get((fixture_id, price))

    async def work(self) -> None:
        """Everything that staff do in the evening, each at its time."""
        await self._until(self._plan.kick_off_s)
        await asyncio.gather(
            self._kick_off(),
            self._large_market(),
            self._whistle(),
            *(self._move(number) for number in range(len(self._stage.fixtures))),
        )

    async def close(self) -> None:
        for desk in self._desks:
            desk.close()
        again = sum(desk.turned_away for desk in self._desks)
        self._tally.count(self._stage.now_s(), "staff/again", again)

    def settled(self, market_id: str) -> None:
        """The crowd has seen that every bet on the market is settled."""
        if market_id == self._stage.hot_market and not self.all_settled.is_set():
            self.cue("settled")
            self.all_settled.set()

    def cue(self, what: str) -> None:
        """Note the moment at which something was done."""
        line = orjson.dumps({"at_s": self._stage.now_s(), "what": what})
        with self._cues.open("ab") as file:
            file.write(line + b"\n")

    async def _kick_off(self) -> None:
        """Everything is in play from here; without a bet delay, which would hide every other."""
        desk = self._desk()
        for fixture_id, market_id in zip(self._stage.fixtures, self._stage.markets, strict=True):
            phase = {"phase": "in_play", "score": "0-0"}
            await self._staff(desk, f"fixtures/{fixture_id}/phase", phase)
            status = {"status": "open", "in_play": True, "bet_delay_ms": 0}
            await self._staff(desk, f"markets/{market_id}/status", status)
        self.cue("kick_off")

    async def _move(self, number: int) -> None:
        """Move all prices of one fixture, several times a second, until the final whistle."""
        desk = self._desk()
        fixture_id, market_id = self._stage.fixtures[number], self._stage.markets[number]
        every_s = 1 / self._plan.changes_a_second
        due_s = self._plan.kick_off_s + every_s * number / len(self._stage.fixtures)
        first, *others = self._stage.selections
        walks = dict.fromkeys(others, self._stage.odds)
        change = 0
        while due_s < self._plan.whistle_s:
            await self._until(due_s)
            change += 1
            for selection_id in others:
                walks[selection_id] = self._walked(walks[selection_id])
            # The first price counts the changes: it tells which one a frame is of.
            odds = {first: self._stage.odds + change, **walks}
            sent_s = self._sent[fixture_id, odds[first]] = self._stage.now_s()
            if await self._staff(desk, f"markets/{market_id}/prices", {"odds": odds}) is not None:
                now_s = self._stage.now_s()
                self._tally.delay(now_s, "price", 1000 * (now_s - sent_s))
                self._tally.count(now_s, "prices", len(odds))
            due_s += every_s
            missed = math.ceil((self._stage.now_s() - due_s) / every_s) - 1
            if missed > 0:
                self._tally.count(self._stage.now_s(), "prices_not_sent", missed * len(odds))
                due_s += missed * every_s

    def _walked(self, odds: int) -> int:
        """A step up or down, back towards where it began when that is far."""
        home = self._stage.odds
        step = self._chance.randint(-STEP, STEP)
        return max(home - SPREAD, min(home + SPREAD, odds + step))

    async def _large_market(self) -> None:
        """Open it in the rise, and move its prices while it is in use."""
        stage, plan = self._stage, self._plan
        await self._until(plan.large_opens_s)
        desk = self._desk()
        began_s = stage.now_s()
        market = {
            "market_key": stage.large_market.partition(":")[2],
            "name": "Scorer of the last touchdown",
            "kind": "win",
            "selections": [
                {"selection_id": selection_id, "name": f"Player {selection_id}", "odds": stage.odds}
                for selection_id in stage.large_selections
            ],
            "limits": {
                "min_stake_minor": 1,
                "max_stake_minor": 1_000_000,
                "max_liability_minor": 10**12,
            },
        }
        path = f"fixtures/{stage.large_fixture}/markets"
        if await self._staff(desk, path, market) is None:
            return
        self._tally.delay(stage.now_s(), "large/opened", 1000 * (stage.now_s() - began_s))
        self.cue("large_market")
        at = 0
        while stage.now_s() < plan.whistle_s:
            due_s = stage.now_s() + LARGE_EVERY_S
            if plan.large_in_use(stage.now_s()):
                some = stage.large_selections[at : at + LARGE_AT_ONCE]
                at = (at + LARGE_AT_ONCE) % len(stage.large_selections)
                odds = {name: self._walked(stage.odds) for name in some}
                sent_s = stage.now_s()
                body = {"odds": odds}
                if await self._staff(desk, f"markets/{stage.large_market}/prices", body):
                    now_s = stage.now_s()
                    self._tally.delay(now_s, "large/price", 1000 * (now_s - sent_s))
                    self._tally.count(now_s, "large/prices", len(odds))
            await self._until(due_s)

    async def _whistle(self) -> None:
        """The match is over: its market is closed, and the result declared."""
        await self._until(self._plan.whistle_s)
        desk, stage = self._desk(), self._stage
        closed = {"status": "closed", "in_play": True, "bet_delay_ms": 0}
        await self._staff(desk, f"markets/{stage.hot_market}/status", closed)
        winner = stage.selections[0]
        results = {
            name: {"outcome": "won" if name == winner else "lost"} for name in stage.selections
        }
        self.cue("whistle")
        await self._staff(desk, f"markets/{stage.hot_market}/result", {"results": results})
        self.cue("result")
        await self._staff(
            desk, f"fixtures/{stage.hot_fixture}/phase", {"phase": "ended", "score": "24-17"}
        )

    def _desk(self) -> Desk:
        self._desks.append(Desk(self._stage))
        return self._desks[-1]

    async def _staff(self, desk: Desk, path: str, body: Any) -> dict[str, Any] | None:
        """The answer, or None after a no, which is counted by its code."""
        try:
            return await desk.post(f"/v1/staff/{path}", body, self._stage.staff_token)
        except (Refused, NoAnswer) as no:
            code = no.code if isinstance(no, Refused) else "no_answer"
            self._tally.count(self._stage.now_s(), f"staff/{code}")
            return None

    def _until(self, at_s: float) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(max(0.0, at_s - self._stage.now_s()))
