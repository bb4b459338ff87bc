"""What is made of patterns: each is raised once, and never more than somebody can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from actors.bet import BetPlaced, Leg
from actors.risk.alerts import RaiseAlert, Rules
from gateway.alarms import SETTLE_MS, Alarms
from ledger.money import Money

NOW = 1_800_000_000_000 // 60_000 * 60_000
STAKE = Money(100, "GBP")


class Nobody:
    """Players of whom the ledger knows nothing: they have registered a moment ago."""

    async def registered(self, player_ids: Sequence[str]) -> Mapping[str, int]:
        return {}

    async def habits(
        self, player_ids: Sequence[str], before_ms: int
    ) -> Mapping[str, tuple[int, int]]:
        return {}


class Kept:
    def __init__(self) -> None:
        self.alerts: list[RaiseAlert] = []

    async def ask(self, scope: str, routing_id: str, message: Any, **_: Any) -> None:
        self.alerts.append(message)

    def tell(self, scope: str, routing_id: str, message: Any) -> None:
        raise AssertionError("nothing is told")


def bet(at_ms: int, selection: str) -> BetPlaced:
    leg = Leg("f", "f:m", selection, 25_000, 1, "A - B", "Winner", selection)
    return BetPlaced(at_ms, f"p{at_ms}", f"b{at_ms}", STAKE, (leg,), 0, 100, 1)


async def test_no_more_is_raised_than_somebody_can_read() -> None:
    done: Counter[str] = Counter()
    kept = Kept()
    rules = Rules(accounts=1, max_a_minute=3)
    alarms = Alarms("gb", rules, kept, Nobody(), done)
    for at_ms in range(5):
        alarms.hear(bet(NOW + at_ms, f"s{at_ms}"))
    alarms.hear(bet(NOW + 60_000, "s5"))  # in the next minute there is room again
    await alarms.look(NOW + 60_000 + SETTLE_MS)
    assert alarms._raising is not None
    await alarms._raising
    assert [one.facts["last_bet_id"] for one in kept.alerts] == [
        f"b{NOW + at_ms}" for at_ms in (0, 1, 2, 60_000)
    ]
    assert done == {"alerts_left_out": 2}
    assert alarms.raised == {"new_accounts": 4}
