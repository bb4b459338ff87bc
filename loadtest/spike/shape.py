"""How many players there are at each second: the evening's curve, in Locust's words."""

from __future__ import annotations

from locust import LoadTestShape

from loadtest.spike.players import night

SPAWNED_A_SECOND = 100.0


class SuperBowl(LoadTestShape):  # type: ignore[misc,unused-ignore]
    """Follows the plan's rate; the two kinds of players keep their proportion by their weights."""

    def tick(self) -> tuple[int, float] | None:
        at_s = night.stage.now_s()
        if at_s >= night.plan.end_s:
            return None
        if at_s < 0:
            return 0, SPAWNED_A_SECOND
        return sum(night.plan.users_for(night.plan.rate_at(at_s))), SPAWNED_A_SECOND
