"""Prices move as liability builds: a curve from the share of a limit that is taken to a move.

The move is on the scale of log-odds, on which a longshot and a favourite move alike and nothing
becomes certain: with a move of 0.2, 50 per cent become 55, and 1 per cent becomes 1.22.
"""

from __future__ import annotations

import itertools

import msgspec
import numpy as np

from actors.pricing.ragged import Floats

MAX_MOVE = 5.0


class Curve(msgspec.Struct, frozen=True, array_like=True):
    """Points of (share of the limit, move of log-odds), straight between them, level outside them.

    Shares rise, from -1 (the house wins all that the limit allows if the selection does) to 1 (it
    loses that); moves never fall. Raises ValueError where they do, or where one is beyond MAX_MOVE.
    """

    points: tuple[tuple[float, float], ...] = ((0.0, 0.0),)

    def __post_init__(self) -> None:
        shares = [share for share, _ in self.points]
        moves = [move for _, move in self.points]
        if not shares or not all(-1.0 <= share <= 1.0 for share in shares):
            raise ValueError("a curve has points, and their shares are from -1 to 1")
        if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
            raise ValueError("the shares of a curve rise")
        if any(later < earlier for earlier, later in itertools.pairwise(moves)):
            raise ValueError("a price never gets longer as liability grows")
        if not all(abs(move) <= MAX_MOVE for move in moves):
            raise ValueError(f"a move is at most {MAX_MOVE}")


def shift(probability: Floats, liability_share: Floats, curve: Curve) -> Floats:
    """Probabilities (above 0, below 1) moved by their selections' share of the limit.

    Never falls as the share grows, nor as the probability does. What comes out adds up to more than
    before: the engine then takes it off all selections, so that the others get longer.
    """
    shares = [share for share, _ in curve.points]
    moves = [move for _, move in curve.points]
    grown = np.exp(np.interp(liability_share, shares, moves))
    moved: Floats = probability * grown / (1.0 - probability + probability * grown)
    return moved
