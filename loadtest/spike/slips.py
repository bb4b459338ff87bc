"""What a player bets on: half of all on the match of the night, some on the large market."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from loadtest.spike.plan import Plan
from loadtest.spike.stage import Stage

HOT, LARGE, OTHER = "hot", "large", "other"
STAKE_MINOR = 10
FAVOURITE_SHARE = 0.6
"""Of the bets on the match of the night: those on its winner-to-be."""
CHOOSY_SHARE = 0.15
"""Of all bets: those that take no price worse than the one last seen."""
LATE_S = 1.0
"""How long after the whistle some still try."""


class Slip(msgspec.Struct, frozen=True):
    """A bet to be placed, under one key however often it has to be asked."""

    kind: str
    key: str
    body: dict[str, Any]


class Slips:
    """Chooses bets, and remembers the prices that the answers told."""

    def __init__(self, plan: Plan, stage: Stage, chance: random.Random) -> None:
        self._plan = plan
        self._stage = stage
        self._chance = chance
        self._seen: dict[tuple[str, str], int] = {}

    def next(self, now_s: float) -> Slip:
        kind = self._kind(now_s)
        market_id, selection_id = self._where(kind)
        choosy = self._chance.random() < CHOOSY_SHARE
        body = {
            "market_id": market_id,
            "selection_id": selection_id,
            "stake_minor": STAKE_MINOR,
            "currency": self._stage.currency,
            "odds": self._seen.get((market_id, selection_id), self._stage.odds),
            "accept": "better" if choosy else "any",
        }
        return Slip(kind, f"{self._chance.getrandbits(128):032x}", body)

    def learn(self, slip: Slip, odds: int) -> None:
        """The price is this now, as an answer said."""
        self._seen[slip.body["market_id"], slip.body["selection_id"]] = odds

    def _kind(self, now_s: float) -> str:
        dice = self._chance.random()
        if dice < self._plan.hot_share:
            return HOT if now_s < self._plan.whistle_s + LATE_S else OTHER
        if dice < self._plan.hot_share + self._plan.large_share and self._plan.large_in_use(now_s):
            return LARGE
        return OTHER

    def _where(self, kind: str) -> tuple[str, str]:
        stage = self._stage
        if kind == HOT:
            favourite = self._chance.random() < FAVOURITE_SHARE
            return stage.hot_market, stage.selections[0 if favourite else 1]
        if kind == LARGE:
            return stage.large_market, self._chance.choice(stage.large_selections)
        return self._chance.choice(stage.markets[1:]), self._chance.choice(stage.selections)
