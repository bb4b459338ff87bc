"""Prices that move as liability builds, and suspensions that nobody has to think of.

    decide_moves(exposure, market, curve)   ->   commands for that market

The more of its room a selection has taken, the shorter its price: a *curve* says by how much its
probability is shifted. The others lengthen, so that the margin of the market stays. Prices are
always moved from those that were given, never from moved ones; so the same liability makes the
same prices however often it is decided, and when it goes the prices come back.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.base import Command
from actors.market import LIABILITY, STALE, TRADABLE, Exposure, MarketView
from actors.odds import ONE, down_to_ladder
from actors.trading import GiveBackPrices, MovePrices, Resume, Suspend

_CERTAIN = 10**18
"""Probabilities are whole parts of this. What is lost by it is far below a step of the ladder."""


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the room taken, shifts of probability: all in ten-thousandths.

    Between two points the shift is on the line between them. Before the first point there is none,
    after the last one it stays. Raises `ValueError` for points that do not rise.
    """

    points: tuple[tuple[int, int], ...] = ((2_500, 0), (10_000, 500))
    suspend_at: int = 0
    """The share at which the market is suspended; 0: never."""
    resume_below: int = 0
    """And the one below which it takes bets again."""

    def __post_init__(self) -> None:
        rising = all(
            before[0] < after[0] and before[1] <= after[1]
            for before, after in zip(self.points, self.points[1:], strict=False)
        )
        if not rising or any(share < 0 or not 0 <= shift < ONE for share, shift in self.points):
            raise ValueError("shares rise from point to point, and shifts do not fall")
        if not 0 <= self.resume_below <= self.suspend_at:
            raise ValueError("a market is resumed at a lower share than it is suspended at")

    def shift(self, share: int) -> int:
        """By how much the probability of a selection rises that has taken that share."""
        last_share, last_shift = 0, 0
        for number, (at, shift) in enumerate(self.points):
            if share < at:
                if not number:
                    return 0
                rise = (shift - last_shift) * (share - last_share)
                return last_shift + rise // (at - last_share)
            last_share, last_shift = at, shift
        return last_shift


def decide_moves(exposure: Exposure, market: MarketView, curve: Curve) -> list[Command]:
    """What the market has to be told, given what it can lose; nothing while that is not known."""
    if not exposure.known or market.status not in TRADABLE:
        return []
    place = (market.fixture_id, market.market_id)
    commands: list[Command] = []
    shares = shares_of(exposure, market)
    fullest = max(shares.values(), default=0)
    if market.limits.max_market_liability_minor:
        worst = exposure.worst_minor * ONE // market.limits.max_market_liability_minor
        fullest = max(fullest, worst)
    causes = market.causes
    if LIABILITY in causes:
        if fullest < curve.resume_below or not curve.suspend_at:
            commands.append(Resume(*place, LIABILITY))
    elif curve.suspend_at and fullest >= curve.suspend_at:
        commands.append(Suspend(*place, LIABILITY))
    if market.stale is not (STALE in causes):
        switch = Suspend if market.stale else Resume
        commands.append(switch(*place, STALE))
    if market.run_out:
        # The prices are of another version then, and are looked at again.
        return [*commands, GiveBackPrices(*place, list(market.run_out), run_out=True)]
    given = {
        selection.selection_id: (selection.base_odds or selection.odds, selection.odds)
        for selection in market.selections
        if selection.odds and not selection.withdrawn
    }
    # What is held by hand stays; nor do others lengthen because it would have to shorten.
    held = {one.selection_id for one in market.selections if one.hand}
    shifts = {name: 0 if name in held else curve.shift(shares.get(name, 0)) for name in given}
    base = {name: odds for name, (odds, _) in given.items()}
    moved = moved_prices(base, shifts, normal=market.winners != 0)
    changed = {
        name: odds for name, odds in moved.items() if odds != given[name][1] and name not in held
    }
    if changed:
        commands.append(MovePrices(*place, changed, market.odds_version))
    return commands


def shares_of(exposure: Exposure, market: MarketView) -> dict[str, int]:
    """How much of its room each selection has taken, in ten-thousandths of the limit.

    By its singles: what slips may cost has a room of its own, and most of it never comes.
    """
    limit = max(1, market.limits.max_liability_minor)
    return {
        name: max(0, line.singles_minor - _won_by(exposure, name)) * ONE // limit
        for name, line in exposure.lines.items()
    }


def _won_by(exposure: Exposure, selection_id: str) -> int:
    hedge = exposure.hedged.get(selection_id)
    return hedge.liability_minor if hedge else 0


def moved_prices(
    odds: Mapping[str, int], shifts: Mapping[str, int], *, normal: bool = True
) -> dict[str, int]:
    """The odds with probabilities shifted, in ten-thousandths, on the price ladder.

    `normal`: the probabilities together stay what they were, so that others lengthen as one
    shortens. Rounding shortens prices, so the margin never gets less; but at the bottom of the
    ladder, 1.01, no price gets shorter. Without any shift the odds stay, on the ladder or not.
    """
    if not any(shifts.values()):
        return dict(odds)
    before = {name: _CERTAIN * ONE // price for name, price in odds.items()}
    after = {name: part + shifts[name] * _CERTAIN // ONE for name, part in before.items()}
    total, shifted = sum(before.values()), sum(after.values())
    moved = {}
    for name, price in odds.items():
        exact = _CERTAIN * ONE // after[name]
        if normal:
            exact = _CERTAIN * ONE * shifted // (after[name] * total)
        rounded = down_to_ladder(exact)
        # A price that was not on the ladder and is not to be shorter stays as it was.
        moved[name] = price if rounded < price <= exact else rounded
    return moved
