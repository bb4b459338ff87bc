"""Totals and handicaps: what a bet on a line does, from the distribution of a whole number.

A line is told in whole quarters: 10 is 2.5, 9 is 2.25, -2 is a half given away. A quarter line is
two bets of half the stake on the two lines beside it, so it can be half won and half lost
(the facts are those of `actors.results`). A whole line is void when it is hit.

The fair price o of a bet that wins with probability w, half wins with hw, is void with v, half
loses with hl and loses with l is the one at which it pays back its stake on average:

    w o + hw (o + 1) / 2 + v + hl / 2 = 1     so     1 / o = W / (W + L)
    with W = w + hw / 2 and L = l + hl / 2

The other side of the line has L / (W + L). So the two add up to 1 like every fair market, and a
margin goes on as on any other.
"""

from __future__ import annotations

import msgspec
import numpy as np

from actors.pricing.ragged import Floats


class Chances(msgspec.Struct, frozen=True, array_like=True):
    """How likely each outcome of a bet is (`actors.results.Outcome`); together 1."""

    won: float
    half_won: float
    void: float
    half_lost: float
    lost: float

    @property
    def fair(self) -> float:
        """The fair implied probability; even where the stake is sure to come back."""
        won = self.won + self.half_won / 2.0
        lost = self.lost + self.half_lost / 2.0
        return won / (won + lost) if won + lost > 0.0 else 0.5

    def reversed(self) -> Chances:
        """Those of the other side of the same line."""
        return Chances(self.lost, self.half_lost, self.void, self.half_won, self.won)


class Count:
    """How likely each whole number from `least` on is: of goals or points, or of a lead in them."""

    __slots__ = ("_upto", "least", "mass")

    def __init__(self, least: int, mass: Floats) -> None:
        self.least = least
        self.mass = mass
        self._upto: list[float] = [0.0, *np.cumsum(mass).tolist()]

    def below(self, number: int) -> float:
        """How likely it is to end below this number."""
        return self._upto[min(max(number - self.least, 0), self.mass.size)]

    def above(self, number: int) -> float:
        return max(0.0, self._upto[-1] - self.below(number + 1))

    def at(self, number: int) -> float:
        place = number - self.least
        return float(self.mass[place]) if 0 <= place < self.mass.size else 0.0


def over(count: Count, line_quarters: int) -> Chances:
    """A bet that the number ends above the line. One on less has these, `reversed`.

    A handicap is a line on the lead: home with a start of 1.5 is over a lead of -1.5.
    """
    odd = line_quarters % 2
    low, high = (line_quarters - odd) // 2, (line_quarters + odd) // 2  # in halves
    won = count.above(high // 2)  # more than 2.5 goals are more than 2
    lost = count.below(-(-low // 2))
    if not odd:
        void = count.at(low // 2) if low % 2 == 0 else 0.0
        return Chances(won, 0.0, void, 0.0, lost)
    # One of the two lines is whole. Hit, it is void, while the other is won or lost.
    if low % 2 == 0:
        return Chances(won, 0.0, 0.0, count.at(low // 2), lost)
    return Chances(won, count.at(high // 2), 0.0, 0.0, lost)
