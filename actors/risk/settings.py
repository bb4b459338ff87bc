"""What an operator decides about risk, in one place: a JSON file with a default for every part.

    {
      "limits": {"classes": {"correct_score": {"max_stake_minor": 20000}}},
      "curves": {"otherwise": {"points": [[2500, 0], [10000, 500]], "suspend_at": 9500,
                               "resume_below": 8000}},
      "hedges": {"exchange": "bogus", "place": true}
    }

Amounts are in minor units, shares and factors in ten-thousandths, times in milliseconds. A class is
the trade's name for the kind of a market, such as `match_result`. What makes no sense is refused,
with its place in the file.
"""

from __future__ import annotations

import msgspec

from actors.market import Limits
from actors.odds import ONE
from actors.risk.alerts import Rules
from actors.risk.desk import Curve
from actors.risk.limits import LimitTable
from actors.risk.referral import MAX_VALID_MS, MAX_WAIT_MS
from actors.trading import wrong_in
from ledger.money import MAX_MINOR


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`actors.market.Limits` by name, and what they are where nothing is said."""

    min_stake_minor: int = 10
    max_stake_minor: int = 500_000
    max_liability_minor: int = 5_000_000
    max_market_liability_minor: int = 0
    refer_above_minor: int = 0
    reoffer_ms: int = 10_000
    max_age_ms: int = 0
    max_age_in_play_ms: int = 0
    refer_up_to_minor: int = 0
    max_slip_liability_minor: int = 50_000_000

    def __post_init__(self) -> None:
        wrong = wrong_in(self.limits)
        if wrong:
            raise ValueError(wrong)

    @property
    def limits(self) -> Limits:
        return Limits(*msgspec.structs.astuple(self))


class LimitClasses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    otherwise: LimitSettings = LimitSettings()
    classes: dict[str, LimitSettings] = {}


class CurveClasses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    otherwise: Curve = Curve(suspend_at=9_500, resume_below=8_000)
    classes: dict[str, Curve] = {}

    def of(self, kind: str) -> Curve:
        return self.classes.get(kind, self.otherwise)


class HedgeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the house lays off at an exchange, and how much."""

    exchange: str = "bogus"
    """By its name in `gateway.exchanges`; empty: none is asked, not even for a proposal."""
    place: bool = False
    """Whether what is proposed is also done."""
    above: int = 6_000
    """The share of its limit that a market's worst case has to be above,"""
    down_to: int = 4_000
    """and the one that hedges bring it to."""
    min_stake_minor: int = 100
    """Smaller ones are not worth an order."""

    def __post_init__(self) -> None:
        if not 0 <= self.down_to <= self.above:
            raise ValueError("hedges bring a market to a lower share than they begin at")
        if self.min_stake_minor < 1:
            raise ValueError("an order has a stake")


class ReferralSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wait_ms: int = 60_000
    """How long a player waits for a trader,"""
    valid_ms: int = 30_000
    """and how long what was accepted can be had."""
    at_once: int = 5
    """Referrals of one player that wait for a trader at a time."""

    def __post_init__(self) -> None:
        if not 0 < self.wait_ms <= MAX_WAIT_MS:
            raise ValueError(f"a player waits for at most {MAX_WAIT_MS} ms")
        if not 0 < self.valid_ms <= MAX_VALID_MS:
            raise ValueError(f"what was accepted can be had for at most {MAX_VALID_MS} ms")
        if self.at_once < 1:
            raise ValueError("at least one referral waits at a time")


class RiskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limits: LimitClasses = LimitClasses()
    curves: CurveClasses = CurveClasses()
    hedges: HedgeSettings = HedgeSettings()
    referrals: ReferralSettings = ReferralSettings()
    alerts: Rules = Rules()
    max_payout_minor: int = 100_000_000
    """The most that one slip pays."""

    def __post_init__(self) -> None:
        if not 0 < self.max_payout_minor <= MAX_MINOR:
            raise ValueError(f"a slip pays from 1 to {MAX_MINOR}")

    @property
    def limit_table(self) -> LimitTable:
        classes = self.limits.classes
        return LimitTable(
            self.limits.otherwise.limits, {kind: one.limits for kind, one in classes.items()}
        )


def hedge_target_minor(settings: HedgeSettings, limits: Limits, worst_minor: int) -> int | None:
    """To what hedges are to bring the worst case of a market; None where none are wanted."""
    limit = limits.max_market_liability_minor or limits.max_liability_minor
    if worst_minor * ONE <= limit * settings.above:
        return None
    return limit * settings.down_to // ONE


def read_risk_settings(text: bytes) -> RiskSettings:
    """Raises `ValueError`: one line that says what is wrong, and where."""
    try:
        return msgspec.json.decode(text, type=RiskSettings)
    except msgspec.DecodeError as wrong:
        raise ValueError(str(wrong)) from None
