"""What settlement results mean."""

from __future__ import annotations

from fractions import Fraction

from actors.results import LOST, VOID, WON, Outcome, Result
from gateway.feeds.uof.messages import OutcomeResult


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
