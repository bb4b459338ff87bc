"""What the feed says that the book has no command for, and what settlement results mean.

Each action is exact about what has to become of bets. Until a command of the book does it, nobody
carries it out by himself: `Source` writes it to the log, where a trader sees it, and the market
stays closed. What the book can do (a whole result, a whole cancellation, a withdrawal) is said with
its own commands and is no action.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from actors.results import LOST, VOID, WON, Outcome, Result
from gateway.feeds.uof.messages import OutcomeResult


class BookAction(msgspec.Struct, frozen=True, array_like=True, tag=True):
    fixture_id: str
    market_id: str


class SettleSelections(BookAction, frozen=True, array_like=True, tag=True):
    """These selections have their result while others are undecided: bets on them settle now. The
    market is closed to bets. Said again with another result, it corrects."""

    results: dict[str, Result]


class RollBackResult(BookAction, frozen=True, array_like=True, tag=True):
    """There is no result: every bet that was settled by it, or voided by a cancellation of the
    whole market, is reversed and open again. The market is suspended, and may open. Selections
    withdrawn before stay withdrawn."""


class VoidPlaced(BookAction, frozen=True, array_like=True, tag=True):
    """Bets on this market accepted from `from_ms` to `until_ms`, both included, are void, whether
    they are open or settled, and stay so when a result comes. Others are left as they are."""

    from_ms: int | None
    """None: from the first."""
    until_ms: int | None
    """None: to the last."""


class RollBackVoid(BookAction, frozen=True, array_like=True, tag=True):
    """`VoidPlaced` of the same window is undone: its bets are open again, or settled by the
    market's result where it has one."""

    from_ms: int | None
    until_ms: int | None


class AddSelection(BookAction, frozen=True, array_like=True, tag=True):
    """The market has one more selection than when it was opened; it has no price yet."""

    selection_id: str
    name: str


# Results


class Incoherent(ValueError):
    """Factors that mean nothing together."""


def result_of(outcome: OutcomeResult) -> Result | None:
    """What a settlement says of one outcome; None for undecided yet. Raises `Incoherent`.

    | result | void factor | |
    | --- | --- | --- |
    | 1 | none | won, in a dead heat with the part of the stake that its factor says |
    | 1 | 0.5 | half won |
    | 0 | none | lost |
    | 0 | 0.5 | half lost |
    | any | 1 | void |
    """
    void = Fraction(outcome.void_factor or 0)
    if void == 1:
        return VOID
    if outcome.result < 0:
        return None
    if void not in (0, Fraction(1, 2)):
        raise Incoherent(f"void_factor is {outcome.void_factor}; it is 0, 0.5 or 1")
    heat = dead_heat(outcome.dead_heat_factor)
    if not outcome.result:
        # A factor on a loser says nothing about money.
        return LOST if void == 0 else Result(Outcome.HALF_LOST)
    if void == 0:
        return WON if heat == 1 else Result(Outcome.WON, heat.denominator, heat.numerator)
    if heat != 1:
        raise Incoherent("a dead heat of half a win")
    return Result(Outcome.HALF_WON)


def dead_heat(factor: str) -> Fraction:
    """The fraction meant by a decimal: the simplest that would be written like that.

    "0.5" is 1/2, "0.33" and "0.3333" are 1/3, "0.6667" is 2/3: places over those tied for them. ""
    is 1. Raises `Incoherent` for what is no share, or one of more than a thousand.
    """
    if not factor:
        return Fraction(1)
    value = Fraction(factor)
    if not 0 < value <= 1:
        raise Incoherent(f"dead_heat_factor is {factor}; it is above 0 and at most 1")
    half_unit = Fraction(1, 2 * 10 ** len(factor.partition(".")[2]))
    denominator = 1
    while denominator <= 1_000:
        share = Fraction(round(value * denominator), denominator)
        if share > 0 and abs(share - value) <= half_unit:
            return share
        denominator += 1
    raise Incoherent(f"dead_heat_factor is {factor}; no share of up to 1,000 is that")
