"""The kinds of bet: which folds each has, and how many lines that makes.

A *fold* is the number of free legs in a line: 2 for doubles, 3 for trebles. A *line* is one bet of
the slip, with the unit stake on it. Legs marked as bankers are in every line beside the fold, so
2 of 4 with one banker is six lines of three legs each.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from itertools import pairwise
from math import comb


class Kind(enum.StrEnum):
    SINGLE = "single"
    """Each leg by itself."""
    DOUBLE = "double"
    """Every pair of legs; of two legs, the one double."""
    TREBLE = "treble"
    ACCUMULATOR = "accumulator"
    """All legs in one line: the n-fold."""
    TRIXIE = "trixie"
    PATENT = "patent"
    YANKEE = "yankee"
    LUCKY_15 = "lucky_15"
    CANADIAN = "canadian"
    """Also called Super Yankee."""
    LUCKY_31 = "lucky_31"
    HEINZ = "heinz"
    LUCKY_63 = "lucky_63"
    SUPER_HEINZ = "super_heinz"
    GOLIATH = "goliath"
    SYSTEM = "system"
    """The folds are the player's choice: one or several of 1 to n."""


_SMALL = {Kind.SINGLE: 1, Kind.DOUBLE: 2, Kind.TREBLE: 3}

# Full cover: the legs it has, and its smallest fold; every fold from that up to all legs.
_FULL_COVER = {
    Kind.TRIXIE: (3, 2),
    Kind.PATENT: (3, 1),
    Kind.YANKEE: (4, 2),
    Kind.LUCKY_15: (4, 1),
    Kind.CANADIAN: (5, 2),
    Kind.LUCKY_31: (5, 1),
    Kind.HEINZ: (6, 2),
    Kind.LUCKY_63: (6, 1),
    Kind.SUPER_HEINZ: (7, 2),
    Kind.GOLIATH: (8, 2),
}


def folds_of(kind: Kind, legs: int, chosen: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The folds of a bet of that kind on `legs` free legs, rising; empty where the two don't fit.

    `chosen` are the folds of a system, rising and each once. No other kind has any to choose.
    """
    if kind is Kind.SYSTEM:
        rising = all(low < high for low, high in pairwise(chosen))
        fits = chosen and rising and chosen[0] >= 1 and chosen[-1] <= legs
        return chosen if fits else ()
    if chosen or legs < 1:
        return ()
    if kind is Kind.ACCUMULATOR:
        return (legs,)
    if kind in _SMALL:
        fold = _SMALL[kind]
        return (fold,) if fold <= legs else ()
    exactly, smallest = _FULL_COVER[kind]
    return tuple(range(smallest, legs + 1)) if legs == exactly else ()


def lines_of(folds: Iterable[int], legs: int) -> int:
    """How many lines those folds make of `legs` free legs."""
    return sum(comb(legs, fold) for fold in folds)
