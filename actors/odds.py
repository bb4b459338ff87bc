"""Odds as whole ten-thousandths of the decimal price, the way betting tickets carry them.

25_000 is 2.5: a stake of 10.00 pays 25.00 when it wins, the stake included.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

ONE = 10_000
MIN_ODDS = 10_001
"""The shortest price there is: it pays at least something on top of the stake."""
MAX_ODDS = 10_000_000
"""1000.0, the top of the usual price ladder."""

Odds = Annotated[
    int,
    msgspec.Meta(ge=MIN_ODDS, le=MAX_ODDS, description="Decimal odds times 10,000: 25000 is 2.5"),
]

# The usual increments of decimal prices: up to a price, in steps (both in ten-thousandths).
_LADDER = (
    (20_000, 100),
    (30_000, 200),
    (40_000, 500),
    (60_000, 1_000),
    (100_000, 2_000),
    (200_000, 5_000),
    (300_000, 10_000),
    (500_000, 20_000),
    (1_000_000, 50_000),
    (10_000_000, 100_000),
)
SHORTEST_STEP = 10_100
"""1.01, the bottom of the ladder."""


def down_to_ladder(odds: int) -> int:
    """The longest ladder price not above `odds`, and never below 1.01 or above 1000."""
    odds = max(SHORTEST_STEP, min(odds, MAX_ODDS))
    for top, step in _LADDER:
        if odds <= top:
            return odds - odds % step
    raise AssertionError("the ladder ends at MAX_ODDS")


def text(odds: int) -> str:
    """The decimal price as people read it: 25000 is "2.5", 19100 is "1.91"."""
    whole, part = divmod(odds, ONE)
    return f"{whole}.{part:04d}".rstrip("0").rstrip(".")
