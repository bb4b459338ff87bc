"""What a slip may cost the house, as each of its selections has to carry it.

A single costs its stake times (odds - 1) if its selection wins, and that is what the book holds
against a selection. Of a slip with several legs, each open selection is given what the house would
lose on all lines that it is in if it wins **and every other open leg wins too**: the worst there
is. The same loss is so counted on each of the legs, each of which has to win for it. Held against a
limit for each selection, that limit can't be overrun, however the other results come; in return
the sum over selections is more than can be lost. What all of them can cost at once is the slip's
most possible payout less its stake.

Lines without the selection are left out: the house wins or loses on them whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import msgspec

from actors.results import Outcome
from actors.slips.settling import (
    ASSUMED_STARTING_ODDS,
    Factor,
    Known,
    Side,
    View,
    apart,
    as_won,
    factors_of,
    look,
)
from actors.slips.slip import Selection, Slip, lines_in
from actors.slips.sums import Ratio, sum_over_lines, sums_by_leg

_FINE = 10**12
"""A stake on each line so large that what it costs, rounded up, is as good as exact."""
_NO_CAP = 10**300


def liabilities(
    slip: Slip,
    known: Mapping[Selection, Known] | None = None,
    assumed_starting_odds: int = ASSUMED_STARTING_ODDS,
) -> dict[Selection, int]:
    """What each open selection has to carry, in minor units, rounded up.

    Of a same-game multiple each selection carries the whole. Once legs are known it is asked again:
    a leg that won, or is void, makes the others' share exact, and one that lost makes it less.
    """
    view = look(slip, known or {}, assumed_starting_odds)
    payouts = _payouts(view, view.sides)
    plain = _payouts(view, view.unboosted) if view.unboosted else payouts
    staked_lines = _lines_with(view)
    found: dict[Selection, int] = {}
    for number, leg in enumerate(slip.legs):
        if all(side.results[number] is not None for side in view.sides):
            continue
        # All in minor units over the lines, and the stake on the leg's own lines taken off.
        staked = 0 if slip.free_stake else slip.stake_minor * staked_lines[number]
        costs = [_ceil(slip.payout_cap_minor * view.lines - staked, view.lines)]
        for (num, den), extra in ((payouts[number], 0), (plain[number], slip.boost_cap_minor)):
            exact = slip.stake_minor * num + (extra * view.lines - staked) * den
            costs.append(_ceil(exact, view.lines * den))
        found |= dict.fromkeys(leg.selections, max(0, min(costs)))
    return found


def largest_stake(slip: Slip, rooms: Mapping[Selection, int], most_minor: int) -> int:
    """The largest stake up to `most_minor` that leaves every selection within its room, the same
    whole number of minor units on each line; 0 where there is none.

    What a selection carries rises with the stake until the cap on payouts binds, and falls from
    there, for the stake is then more and the payout is not. So a stake that is too large is brought
    down at once to what the part that rises allows.
    """
    if min(rooms.values(), default=1) < 1:
        return 0
    lines = lines_in(slip)
    large = _FINE * lines
    rising = liabilities(msgspec.structs.replace(slip, stake_minor=large, payout_cap_minor=_NO_CAP))
    unit = min(most_minor, slip.payout_cap_minor) // lines
    while unit > 0:
        costs = liabilities(msgspec.structs.replace(slip, stake_minor=unit * lines))
        over = [selection for selection, cost in costs.items() if cost > rooms[selection]]
        if not over:
            return unit * lines
        unit = min([unit - 1, *(rooms[one] * _FINE // rising[one] for one in over)])
    return 0


def _payouts(view: View, sides: list[Side]) -> list[Ratio]:
    """For each leg what the lines pay that it is in and open in, in unit stakes, if all is won."""
    totals = [(0, 1)] * len(view.slip.legs)
    for place, side in enumerate(sides):
        factors = factors_of(side, bool(place), as_won)
        den = prod([factor.parts for factor in factors])
        paid = _by_leg(view, factors, 0)
        kept = _by_leg(view, factors, 1) if view.slip.free_stake else [0] * len(paid)
        for number, result in enumerate(side.results):
            if result is None:
                other, other_den = totals[number]
                num = (paid[number] - kept[number]) * other_den + other * den
                totals[number] = (num, den * other_den)
    return totals


def _lines_with(view: View) -> list[int]:
    """For each leg how many lines it is in and open in, of those that may still pay."""
    totals = [0] * len(view.slip.legs)
    for side in view.sides:
        lost = [result is not None and result.outcome is Outcome.LOST for result in side.results]
        lines = _by_leg(view, [Factor(0 if gone else 1, 0, 1) for gone in lost], 0)
        for number, result in enumerate(side.results):
            if result is None:
                totals[number] += lines[number]
    return totals


def _by_leg(view: View, factors: list[Factor], part: int) -> list[int]:
    """For each leg the sum over its lines of that part of the factors: a numerator over them all.

    A banker is in every line.
    """
    bankers, free = apart(view.slip, factors)
    ratios = [(factor[part], factor.parts) for factor in free]
    sure = prod([factor[part] for factor in bankers])
    whole = sure * sum_over_lines(ratios, view.folds)
    each = iter(sums_by_leg(ratios, view.folds))
    return [whole if leg.banker else sure * next(each) for leg in view.slip.legs]


def _ceil(num: int, den: int) -> int:
    """Rounded up, so that no limit is overrun."""
    return -(-num // den)
