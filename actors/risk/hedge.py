"""What to lay off elsewhere, so that the worst case of a market comes under a target.

The house backs a selection at an exchange: if it wins, the exchange pays; if not, the stake is
lost. So a hedge helps where the selection wins and costs wherever another one does, and hedging one
may call for hedging the next. The least stakes are found that leave no way of coming out that loses
more than the target.

With losses L (in minor units, below 0 for a profit), prices that pay p for 1 staked, stakes h and
their sum H, selection s then loses L - h * p + H. For that to be at most T it takes
h >= (L + H - T) / p, or nothing; and H is the sum of those, one linear equation for each set of
selections that need a hedge.

What slips may cost is left out: a leg alone costs nothing, and to lay off each of them in full
would cost more than they do. For markets with one winner. Where several win, or each selection
stands for itself, nothing is proposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil

import msgspec

from actors.hedging import wins_of
from actors.market import Exposure, MarketView
from actors.odds import ONE


class Quote(msgspec.Struct, frozen=True):
    """What an exchange gives on a selection, and on how much."""

    selection_id: str
    odds: int
    size_minor: int
    commission: int = 0
    """What it takes of a win, in ten-thousandths."""


class LayOff(msgspec.Struct, frozen=True):
    """A bet for the house to make."""

    selection_id: str
    stake_minor: int
    odds: int
    commission: int


class Proposal(msgspec.Struct, frozen=True):
    orders: tuple[LayOff, ...]
    before_minor: int
    after_minor: int
    """The worst case when all of them are made: above the target where the exchange has too little,
    or prices that are too short."""


def propose(
    exposure: Exposure, market: MarketView, quotes: Sequence[Quote], target_minor: int
) -> Proposal:
    """The least to lay off so that the worst case is at most `target_minor`, or else the least that
    can be reached. At most one quote of each selection is looked at, the longest."""
    if market.winners != 1 or not exposure.known:
        return Proposal((), exposure.worst_minor, exposure.worst_minor)
    losses = _losses(exposure, market)
    before = max(0, max(losses.values()))
    if before <= target_minor:
        return Proposal((), before, before)
    best: dict[str, Quote] = {}
    for quote in quotes:
        known = best.get(quote.selection_id)
        if quote.selection_id in losses and (known is None or quote.odds > known.odds):
            best[quote.selection_id] = quote
    # The lowest target that can be reached; before itself always can, with nothing to do.
    orders: tuple[LayOff, ...] = ()
    low, high = max(0, target_minor), before
    while low < high:
        middle = (low + high) // 2
        found = _reach(losses, best, middle)
        if found is None:
            low = middle + 1
        else:
            high, orders = middle, found
    return Proposal(orders, before, max(0, _worst(losses, orders)))


def loses_at_most_minor(exposure: Exposure, market: MarketView) -> int:
    """What the house loses in the worst case, with what was laid off: what a hedge brings down. Of
    markets with one winner."""
    return max(0, max(_losses(exposure, market).values()))


_NOBODY = ""
"""A selection without bets and without a quote, which may win too."""


def _losses(exposure: Exposure, market: MarketView) -> dict[str, int]:
    """What the house loses if a selection wins; below 0 what it earns."""
    pots, kept = {_NOBODY: 0}, 0
    for selection in market.selections:
        name = selection.selection_id
        if selection.withdrawn:
            continue
        line, hedge = exposure.lines.get(name), exposure.hedged.get(name)
        stakes = exposure.kept.get(name, 0) - (hedge.stakes_minor if hedge else 0)
        wins = hedge.liability_minor if hedge else 0
        kept += stakes
        pots[name] = (line.singles_minor if line else 0) - wins + stakes
    return {name: pot - kept for name, pot in pots.items()}


def _reach(
    losses: Mapping[str, int], quotes: Mapping[str, Quote], target_minor: int
) -> tuple[LayOff, ...] | None:
    """Orders after which nothing loses more than the target, or None."""
    # Stakes are rounded up, and lost wherever another one wins; what a stake wins is rounded down.
    for slack_minor in range(len(quotes) + 2):
        orders = _aim(losses, quotes, target_minor - slack_minor)
        if orders is None:
            return None
        if _worst(losses, orders) <= target_minor:
            return tuple(orders)
    return None


def _aim(
    losses: Mapping[str, int], quotes: Mapping[str, Quote], aim_minor: int
) -> list[LayOff] | None:
    """Orders after which, but for roundings, nothing loses more than is aimed at, or None."""
    pays = {
        name: 1 + Fraction((quote.odds - ONE) * (ONE - quote.commission), ONE**2)
        for name, quote in quotes.items()
    }
    staked = Fraction(0)
    hedged: set[str] = set()
    while True:
        needy = {name for name, loss in losses.items() if loss + staked > aim_minor}
        if needy == hedged:
            break
        hedged = needy
        rest = 1 - sum(1 / pays[name] for name in hedged & quotes.keys())
        if rest <= 0 or not hedged <= quotes.keys():
            return None  # there is no price, or what they pay together does not cover the stakes
        needs = sum(((losses[name] - aim_minor) / pays[name] for name in hedged), Fraction(0))
        staked = needs / rest
    orders = []
    for name in sorted(hedged):
        quote = quotes[name]
        stake_minor = ceil((losses[name] + staked - aim_minor) / pays[name])
        if stake_minor > quote.size_minor:
            return None
        orders.append(LayOff(name, stake_minor, quote.odds, quote.commission))
    return orders


def _worst(losses: Mapping[str, int], orders: Sequence[LayOff]) -> int:
    """The largest loss when the orders are made."""
    after = dict(losses)
    for order in orders:
        after[order.selection_id] -= order.stake_minor + wins_of(
            order.stake_minor, order.odds, order.commission
        )
    return max(after.values()) + sum(order.stake_minor for order in orders)
