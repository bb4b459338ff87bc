"""Results from scores and finishing positions, and of several selections under one price."""

from __future__ import annotations

from collections.abc import Sequence

from actors.results import LOST, VOID, WON, Outcome, Result

QUARTERS = 4
"""Handicaps and totals are whole quarters of a goal or point: -0.75 is -3, 2.5 is 10."""

_HALF_WON = Result(Outcome.HALF_WON)
_HALF_LOST = Result(Outcome.HALF_LOST)


def handicap(own: int, other: int, line: int) -> Result:
    """A side that scored `own` against `other`, with an Asian handicap of `line` quarters.

    On a quarter line half the stake is on each neighbour, so a margin of one quarter wins or loses
    half. In play the trade counts from the score at which the bet was struck: the caller
    passes what was scored since.
    """
    return _by_margin(QUARTERS * (own - other) + line)


def over(scored: int, line: int) -> Result:
    """More than `line` quarters in all, for an Asian total."""
    return _by_margin(QUARTERS * scored - line)


def under(scored: int, line: int) -> Result:
    return _by_margin(line - QUARTERS * scored)


def _by_margin(quarters: int) -> Result:
    if quarters >= 2:
        return WON
    if quarters == 1:
        return _HALF_WON
    if quarters == 0:
        return VOID
    return _HALF_LOST if quarters == -1 else LOST


def finished(position: int, tied: int, places: int) -> Result:
    """A bet on one of the first `places`, by a runner that shared `position` with others.

    `tied` is how many finished there, itself included. Two that tie for third, with three places,
    share one of them: a dead heat of (2, 1). For the win there is one place.
    Raises ValueError where there is no such position.
    """
    if position < 1 or tied < 1 or places < 1:
        raise ValueError(f"{tied} at position {position} with {places} places")
    left = places - position + 1
    if left <= 0:
        return LOST
    return WON if tied <= left else Result(Outcome.WON, tied, left)


def same_game(results: Sequence[Result | None]) -> Result | None:
    """One result for selections that were sold under one joint price; None while it is open.

    One that is lost loses at once. Where none is lost but one is not won in full (void, half, dead
    heat), the leg is void: nobody has a joint price for what is left of it.
    """
    if any(result is not None and result.outcome is Outcome.LOST for result in results):
        return LOST
    in_doubt = [result for result in results if result is None or not in_full(result)]
    if not in_doubt:
        return WON
    return None if None in in_doubt else VOID


def in_full(result: Result) -> bool:
    """Whether the selection won, and did not share that with more than there were places for."""
    return result.outcome is Outcome.WON and result.tied == result.places
