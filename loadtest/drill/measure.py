"""The arithmetic of a drill: gaps, the time until all is normal again, what was lost or doubled.

Times are seconds, of `time.perf_counter()`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

STEP_S = 0.1
SECOND = round(1 / STEP_S)
NORMAL_S = 3
"""Seconds in a row that have to be normal."""
ENOUGH = 0.7
"""Of the bets that fall due in a second, the share that has to be accepted in it. Bets fall due at
random moments: at 250/s a second has less than this by chance once in days."""
MAX_FAILED = 0.01
"""Of a normal second's attempts, the share that may fail."""


class Books(NamedTuple):
    """What clients were told, beside what is there."""

    lost: int
    """Bets that were acknowledged, and are not there."""
    doubled: int
    """Bets that are there, and that nobody was told of although every request has its answer."""


def longest_gap(moments: Iterable[float], start: float, end: float) -> float:
    """The longest stretch between `start` and `end` in which nothing happened."""
    inside = sorted(moment for moment in moments if start <= moment <= end)
    edges = [start, *inside, end]
    return max(later - earlier for earlier, later in itertools.pairwise(edges))


def until_normal(
    accepted: Iterable[float], failed: Iterable[float], rate: float, struck: float, end: float
) -> float | None:
    """Seconds from the blow until every second is normal, to the end; None if they are not three.

    A second is normal when about as many bets were accepted in it as fall due at `rate` a second,
    and almost no attempt failed. Zero when nothing was disturbed. Looked at in steps of 100 ms. A
    blow may take a while to be felt: so what counts is when it became normal for the last time.
    """
    good = timeline(accepted, struck, end)
    bad = timeline(failed, struck, end)
    first = len(good) - SECOND + 1
    while first > 0 and _is_normal(good, bad, first - 1, rate):
        first -= 1
    return first * STEP_S if first + NORMAL_S * SECOND <= len(good) else None


def _is_normal(good: list[int], bad: list[int], first: int, rate: float) -> bool:
    """Whether the second that begins with that step is."""
    accepted, failed = sum(good[first : first + SECOND]), sum(bad[first : first + SECOND])
    return accepted >= ENOUGH * rate and failed <= MAX_FAILED * (accepted + failed)


def timeline(moments: Iterable[float], start: float, end: float) -> list[int]:
    """How many in each 100 ms from `start` on; the last, incomplete one is left out."""
    counts = [0] * int((end - start) / STEP_S + 1e-9)
    for moment in moments:
        at = int((moment - start) // STEP_S)
        if 0 <= at < len(counts):
            counts[at] += 1
    return counts


def compare(acknowledged: Sequence[str], there: Sequence[str], unanswered: int = 0) -> Books:
    """Bet ids that were answered to requests, and those that the platform lists, of all players.

    Two requests that were answered with one bet count as one lost. A request that was never
    answered may have placed its bet: so many unknown bets are no fault.
    """
    listed = Counter(there)
    told = set(acknowledged)
    lost = len(acknowledged) - sum(1 for bet_id in told if listed[bet_id])
    unknown = sum(count for bet_id, count in listed.items() if bet_id not in told)
    repeated = sum(listed[bet_id] - 1 for bet_id in told if listed[bet_id] > 1)
    return Books(lost, max(0, unknown - unanswered) + repeated)
