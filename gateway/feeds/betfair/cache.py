"""What the exchange has said of a market, kept up by its changes.

A change says what is new, in absolute terms: the size that a price or a level has now, and 0 where
there is nothing any more. So a change that is heard twice in a row does no harm, while one that is
left out stays wrong until an image replaces everything.

*Prices.* An exchange's best price to back is what the market thinks of a runner. It is, for each
runner, the first of these that the source has:

1. the longest price in `atb` (available to back, by price),
2. level 0 of `batb`, then of `bdatb` (the same by level, the latter with virtual bets),
3. `ltp`, the last price traded, where the source carries no ladder for the runner at all.

A ladder that has run empty means that nobody offers a price, and then there is none: the last
traded price would be the one from before the goal.
"""

from __future__ import annotations

from decimal import Decimal

from gateway.feeds.betfair.messages import (
    ByLevel,
    ByPrice,
    Definition,
    MarketChange,
    RunnerChange,
    selection_id,
)

NONE = Decimal(0)

Prices = dict[Decimal, Decimal]
"""Sizes by price."""
Levels = dict[Decimal, tuple[Decimal, Decimal]]
"""Price and size by level."""


class RunnerBook:
    """All that is known of one runner. A ladder is None until the source first speaks of it."""

    def __init__(self, *, has_ladder: bool = False) -> None:
        self.has_ladder = has_ladder
        """Whether the source carries ladders for this runner, even if it shows none now."""
        self.atb: Prices | None = None
        self.atl: Prices | None = None
        self.spb: Prices | None = None
        self.spl: Prices | None = None
        self.trd: Prices | None = None
        self.batb: Levels | None = None
        self.batl: Levels | None = None
        self.bdatb: Levels | None = None
        self.bdatl: Levels | None = None
        self.ltp: Decimal | None = None
        self.tv: Decimal | None = None
        self.spn: Decimal | None = None
        self.spf: Decimal | None = None

    def hear(self, change: RunnerChange) -> None:
        self.atb = _by_price(self.atb, change.atb)
        self.atl = _by_price(self.atl, change.atl)
        self.spb = _by_price(self.spb, change.spb)
        self.spl = _by_price(self.spl, change.spl)
        self.trd = _by_price(self.trd, change.trd)
        self.batb = _by_level(self.batb, change.batb)
        self.batl = _by_level(self.batl, change.batl)
        self.bdatb = _by_level(self.bdatb, change.bdatb)
        self.bdatl = _by_level(self.bdatl, change.bdatl)
        self.ltp = self.ltp if change.ltp is None else change.ltp
        self.tv = self.tv if change.tv is None else change.tv
        self.spn = self.spn if change.spn is None else change.spn
        self.spf = self.spf if change.spf is None else change.spf
        offers = (self.atb, self.batb, self.bdatb)
        self.has_ladder = self.has_ladder or any(ladder is not None for ladder in offers)

    def price(self) -> Decimal:
        """The price to go by, as the page above has it; 0 for none."""
        if self.atb is not None:
            return max(self.atb, default=NONE)
        for levels in (self.batb, self.bdatb):
            if levels is not None:
                # Level 0 is the best one; the next in line while it is being replaced.
                return levels[min(levels)][0] if levels else NONE
        if self.has_ladder:
            return NONE
        return self.ltp or NONE

    def is_crossed(self) -> bool:
        """Whether somebody would back at a price at which, or below which, somebody lays.

        The exchange would have matched them. So what we know is not what it has: a removal was
        missed, and the price to back may be one that is gone. Virtual bets say nothing here.
        """
        if self.atb and self.atl:
            return max(self.atb) >= min(self.atl)
        if self.batb and self.batl:
            return self.batb[min(self.batb)][0] >= self.batl[min(self.batl)][0]
        return False

    def image(self) -> dict[str, object]:
        """All that it holds, in one form however it was heard; what is empty is left out."""
        prices = {name: getattr(self, name) for name in ("atb", "atl", "spb", "spl", "trd")}
        levels = {name: getattr(self, name) for name in ("batb", "batl", "bdatb", "bdatl")}
        values = {name: getattr(self, name) for name in ("ltp", "tv", "spn", "spf")}
        return {
            **{name: sorted(ladder.items()) for name, ladder in prices.items() if ladder},
            **{
                name: [(level, *ladder[level]) for level in sorted(ladder)]
                for name, ladder in levels.items()
                if ladder
            },
            # As text: not a number is never equal to itself.
            **{name: str(value) for name, value in values.items() if value is not None},
        }


class MarketBook:
    """All that is known of one market."""

    def __init__(self, *, has_ladders: bool = False) -> None:
        self.definition: Definition | None = None
        self.runners: dict[str, RunnerBook] = {}
        self.tv: Decimal | None = None
        self.conflated = False
        """Whether the last change was several made one."""
        self._has_ladders = has_ladders
        self._ladders: set[str] = set()

    def hear(self, change: MarketChange) -> set[str]:
        """Take the change in; the runners whose prices it is about."""
        touched: set[str] = set()
        if change.img:
            self._ladders |= {of for of, book in self.runners.items() if book.has_ladder}
            touched |= self.runners.keys()
            self.runners = {}
            self.tv = None
        self.conflated = change.con
        if change.market_definition is not None:
            self.definition = change.market_definition
        self.tv = self.tv if change.tv is None else change.tv
        for runner in change.rc or ():
            of = selection_id(runner.id, runner.hc)
            touched.add(of)
            book = self.runners.get(of)
            if book is None:
                has_ladder = self._has_ladders or of in self._ladders
                book = self.runners[of] = RunnerBook(has_ladder=has_ladder)
            book.hear(runner)
        return touched

    def is_crossed(self) -> bool:
        return any(book.is_crossed() for book in self.runners.values())

    def image(self) -> dict[str, object]:
        """As `RunnerBook.image`, by runner; with the market's own total under ""."""
        runners = {of: image for of, book in self.runners.items() if (image := book.image())}
        return {"": None if self.tv is None else str(self.tv), **dict(sorted(runners.items()))}


def _by_price(ladder: Prices | None, changes: ByPrice) -> Prices | None:
    if changes is None:
        return ladder
    ladder = {} if ladder is None else ladder
    for price, size in changes:
        if size > 0:
            ladder[price] = size
        else:
            ladder.pop(price, None)
    return ladder


def _by_level(ladder: Levels | None, changes: ByLevel) -> Levels | None:
    if changes is None:
        return ladder
    ladder = {} if ladder is None else ladder
    for level, price, size in changes:
        if size > 0:
            ladder[level] = (price, size)
        else:
            ladder.pop(level, None)
    return ladder
