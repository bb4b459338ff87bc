"""How a selection came out, and what a bet on it pays."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from actors.odds import ONE
from ledger.money import divide_half_up


class Outcome(enum.StrEnum):
    """Half outcomes settle one half of the stake as won or lost and give back the other."""

    WON = "won"
    LOST = "lost"
    VOID = "void"
    HALF_WON = "half_won"
    HALF_LOST = "half_lost"


class Result(msgspec.Struct, frozen=True, array_like=True):
    """The outcome of one selection.

    In a dead heat `tied` winners share `places`: the stake is divided by tied / places, and the
    divided stake is paid at full odds. Two horses that tie for first are (2, 1).
    """

    outcome: Outcome
    tied: int = 1
    places: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.places <= self.tied <= 1_000:
            raise ValueError(f"{self.tied} cannot tie for {self.places} places")
        if self.tied != self.places and self.outcome is not Outcome.WON:
            raise ValueError("only a winner can be in a dead heat")


class Window(msgspec.Struct, frozen=True, array_like=True):
    """Bets accepted from one moment to another, both included, in milliseconds: they are void,
    however their selection came out."""

    from_ms: int | None = None
    """None: from the first."""
    until_ms: int | None = None
    """None: to the last."""

    def covers(self, at_ms: int) -> bool:
        after = self.from_ms is None or self.from_ms <= at_ms
        return after and (self.until_ms is None or at_ms <= self.until_ms)


def is_void_by(windows: Iterable[Window], accepted_at_ms: int) -> bool:
    return any(window.covers(accepted_at_ms) for window in windows)


WON = Result(Outcome.WON)
LOST = Result(Outcome.LOST)
VOID = Result(Outcome.VOID)


def payout_minor(stake_minor: int, odds: int, result: Result) -> int:
    """What a single pays back, its stake included, in minor units, a half rounded up.

    With decimal odds o a win pays o times the stake, a half win (o + 1) / 2, a void 1, a half
    loss 1/2; a dead heat pays o * places / tied. The amount is exact until its one rounding.
    """
    match result.outcome:
        case Outcome.WON:
            return divide_half_up(stake_minor * odds * result.places, ONE * result.tied)
        case Outcome.HALF_WON:
            return divide_half_up(stake_minor * (odds + ONE), 2 * ONE)
        case Outcome.VOID:
            return stake_minor
        case Outcome.HALF_LOST:
            return divide_half_up(stake_minor, 2)
        case Outcome.LOST:
            return 0
