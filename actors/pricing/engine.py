"""The prices of many markets: what was last published, and what is to be published now.

    engine.open(Setup("f1:1x2", "football", "match_result", ("home", "draw", "away")))
    engine.quote("f1:1x2", "feed", {"home": 21_000, "draw": 34_000, "away": 37_000}, at_ms)
    engine.reprice(now_ms)   -> [Repriced("f1:1x2", {"home": 20_000, ...})]

What sources say is kept, and `reprice` does the rest for all markets of which something is new, and
for those whose sources have grown too old: blend, move by liability, margin, ladder. It gives back
prices only where they differ from the last; 0 takes one off the board, the way
`actors.trading.ChangePrices` takes it. Who applies the answer need not tell the engine.

A selection has no price where it can't win or can't lose, where the margin takes it past 1.01, and
where no source is heard. The arithmetic is on arrays, in two functions without state, `price` and
`due`; the class around them only keeps what they need.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from actors.odds import MAX_ODDS, MIN_ODDS, ONE, SHORTEST_STEP
from actors.pricing.blend import Blending, Heard, blend
from actors.pricing.ladder import Rounding, step_of, to_ladder, whole_odds
from actors.pricing.margin import Margin, Margins, Model, apply, remove
from actors.pricing.ragged import Flags, Floats, Ints, Markets
from actors.pricing.shift import Curve, shift

OFF = 1e-6
"""Nearer than this to 0 or 1, an outcome is impossible or certain and has no price."""
SUM_SLACK = 1e-6
"""How far a model's probabilities may be from their sum, or one of them outside 0 to 1."""
MAX_SELECTIONS = 1_000
NEVER_MS = 2**62
LEAST_AGING = 1_000
"""Moments at which something grows old that are kept whether they still hold or not."""


class Publishing(msgspec.Struct, frozen=True, array_like=True):
    """When a price that differs from the last is worth telling.

    A market is published as a whole, all that differs in it, so that it always is the book of one
    moment. It is, when one of its prices has moved by `min_steps` of the ladder; with
    `shorten_at_once`, when one has got shorter at all, since only a price that is too long costs
    the house; and whenever a price comes or goes. Rounded to the nearest step, a book may fall
    a little short of its overround; rounded down it never does.
    """

    min_steps: int = 1
    shorten_at_once: bool = True
    rounding: Rounding = Rounding.DOWN

    def __post_init__(self) -> None:
        if not 1 <= self.min_steps <= 10:
            raise ValueError("a price waits for 1 to 10 steps")


EVERY_CHANGE = Publishing()
NO_CURVE = Curve()


class Setup(msgspec.Struct, frozen=True, array_like=True):
    """One market to be priced. Raises ValueError where nothing could be won or lost in it."""

    market_id: str
    sport: str
    market_class: str
    selections: tuple[str, ...]
    winners: int = 1
    """How many selections win: 2 in double chance, the places in a place market."""

    def __post_init__(self) -> None:
        if not 2 <= len(set(self.selections)) == len(self.selections) <= MAX_SELECTIONS:
            raise ValueError("a market has at least two selections, and each once")
        if not 1 <= self.winners < len(self.selections):
            raise ValueError("fewer win than run")


class Repriced(NamedTuple):
    """Prices of one market that differ from the last, in ten-thousandths; 0 is none."""

    market_id: str
    odds: dict[str, int]
    as_of_ms: int = 0
    """When the oldest of the sources that are in them spoke; without one, when that was found."""


class _Said(NamedTuple):
    implied: list[float]
    at_ms: int


class _Prices:
    """What the engine knows of one market."""

    __slots__ = (
        "as_of_ms",
        "fresh_until_ms",
        "heard",
        "in_play",
        "margin",
        "number",
        "published",
        "removal",
        "said",
        "setup",
        "shares",
    )

    def __init__(self, setup: Setup, margin: Margin, removal: Model | None, number: int) -> None:
        self.setup = setup
        self.margin = margin
        self.removal = removal
        self.number = number
        self.in_play = False
        self.as_of_ms = 0
        self.said: dict[str, _Said] = {}
        self.shares: list[float] | None = None
        self.published = [0] * len(setup.selections)
        self.fresh_until_ms = NEVER_MS
        self.heard: dict[str, Heard] = {}


class Engine:
    """Markets and their prices; configuration is given once."""

    def __init__(
        self,
        margins: Margins,
        blending: Blending,
        publishing: Publishing = EVERY_CHANGE,
        curve: Curve = NO_CURVE,
    ) -> None:
        self._margins = margins
        self._blending = blending
        self._publishing = publishing
        self._curve = curve
        self._markets: dict[str, _Prices] = {}
        self._opened = 0
        self._news: set[str] = set()
        self._aging: list[tuple[int, str]] = []
        """When a source of a market grows too old, soonest first; some have spoken since."""

    # What is told to it

    def open(self, setup: Setup) -> None:
        """A market to price from now on. Raises ValueError for one that is open already, or whose
        margin its kind can't have (Shin's with several winners).
        """
        if setup.market_id in self._markets:
            raise ValueError(f"{setup.market_id} is open already")
        margin = self._margins.of(setup.sport, setup.market_class)
        _check(setup, margin)
        removal = self._blending.removal(setup.sport, setup.market_class)
        self._opened += 1
        self._markets[setup.market_id] = _Prices(setup, margin, removal, self._opened)

    def close(self, market_id: str) -> None:
        """Forget a market. Raises KeyError for one that is not open, as all of these do."""
        del self._markets[market_id]
        self._news.discard(market_id)

    def withdraw(self, market_id: str, selection: str) -> None:
        """A selection does not run, and the others share what it was thought to be worth.

        Where that was much, what is left of a source's book is none that can be meant: then there
        is no price until the source has made a new one. Raises ValueError where what is left is no
        market, or there is no such selection.
        """
        market = self._markets[market_id]
        setup = market.setup
        place = setup.selections.index(selection)
        left = (*setup.selections[:place], *setup.selections[place + 1 :])
        setup = msgspec.structs.replace(setup, selections=left)
        _check(setup, market.margin)
        market.setup = setup
        for source, said in market.said.items():
            implied = [*said.implied[:place], *said.implied[place + 1 :]]
            market.said[source] = said._replace(implied=implied)
        market.shares = None
        # Not the list itself: it is the caller's to look at as well.
        market.published = [*market.published[:place], *market.published[place + 1 :]]
        self._news.add(market_id)

    def join(self, market_id: str, selection: str) -> None:
        """One more selection, of which no source has said anything yet. Raises ValueError where it
        is there, or too many are.
        """
        market = self._markets[market_id]
        setup = market.setup
        selections = (*setup.selections, selection)
        market.setup = msgspec.structs.replace(setup, selections=selections)
        for source, said in market.said.items():
            market.said[source] = said._replace(implied=[*said.implied, math.nan])
        market.shares = None
        market.published = [*market.published, 0]
        self._news.add(market_id)

    def play(self, market_id: str, in_play: bool) -> None:
        """Whether the market is in play, where sources grow old sooner."""
        market = self._markets[market_id]
        if market.in_play is not in_play:
            market.in_play = in_play
            self._news.add(market_id)

    def quote(self, market_id: str, source: str, odds: Mapping[str, int], at_ms: int) -> None:
        """A source's prices, all it has of this market now; 0 or left out is none.

        Raises ValueError for odds or a source that there is not. Selections that the market does
        not have are nobody's here, such as runners that were withdrawn.
        """
        implied = []
        for selection in self._markets[market_id].setup.selections:
            price = odds.get(selection, 0)
            if price and not MIN_ODDS <= price <= MAX_ODDS:
                raise ValueError(f"odds are from {MIN_ODDS} to {MAX_ODDS}")
            implied.append(ONE / price if price else math.nan)
        self._say(market_id, source, implied, at_ms)

    def model(
        self, market_id: str, source: str, probabilities: Mapping[str, float], at_ms: int
    ) -> None:
        """A model's fair probabilities of all selections, which add up to the market's winners.

        Raises ValueError where they don't, or where one is missing.
        """
        setup = self._markets[market_id].setup
        if len(probabilities) != len(setup.selections):
            raise ValueError("a model prices every selection")
        fair = [probabilities.get(selection, math.nan) for selection in setup.selections]
        if not all(-SUM_SLACK <= chance <= 1.0 + SUM_SLACK for chance in fair):
            raise ValueError("a probability is from 0 to 1")
        if not abs(math.fsum(fair) - setup.winners) <= SUM_SLACK:
            raise ValueError(f"the probabilities add up to {math.fsum(fair)}")
        within = [min(max(chance, OFF / 2), 1.0 - OFF / 2) for chance in fair]
        self._say(market_id, source, within, at_ms)

    def liability(self, market_id: str, shares: Mapping[str, float]) -> None:
        """How much of its limit each selection's liability takes, from -1 to 1; left out is 0."""
        market = self._markets[market_id]
        market.shares = [shares.get(selection, 0.0) for selection in market.setup.selections]
        self._news.add(market_id)

    def _say(self, market_id: str, source: str, implied: list[float], at_ms: int) -> None:
        if source not in self._blending.sources:
            raise ValueError(f"no such source: {source}")
        said = self._markets[market_id].said
        last = said.get(source)
        if last is not None and last.at_ms > at_ms:
            return  # overtaken on the way
        said[source] = _Said(implied, at_ms)
        self._news.add(market_id)

    # What it tells

    def due_ms(self) -> int | None:
        """When `reprice` is to be called if nothing is said before: some source is too old then."""
        while self._aging:
            until_ms, market_id = self._aging[0]
            market = self._markets.get(market_id)
            if market is not None and market.fresh_until_ms == until_ms:
                return until_ms + 1
            heapq.heappop(self._aging)
        return None

    def reprice(self, now_ms: int) -> list[Repriced]:
        """All prices that are to change now, in the order in which the markets were opened."""
        while (due_ms := self.due_ms()) is not None and due_ms <= now_ms:
            self._news.add(heapq.heappop(self._aging)[1])
        chosen = [self._markets[market_id] for market_id in self._news]
        self._news.clear()
        if not chosen:
            return []
        chosen.sort(key=lambda market: market.number)
        # From here on they are arrays.
        markets = Markets([len(market.setup.selections) for market in chosen])
        winners = np.array([market.setup.winners for market in chosen], np.float64)
        fair = self._blended(markets, chosen, winners, now_ms)
        fair = self._shifted(markets, chosen, winners, fair)
        margins = [market.margin for market in chosen]
        odds = price(markets, fair, margins, winners, self._publishing.rounding)
        published = _flat(market.published for market in chosen)
        told = due(markets, odds, published, self._publishing)
        return self._published(markets, chosen, odds, published, told)

    def published(self, market_id: str) -> dict[str, int]:
        """The prices as they were last given out; 0 is none."""
        market = self._markets[market_id]
        return dict(zip(market.setup.selections, market.published, strict=True))

    def as_of_ms(self, market_id: str) -> int:
        """When the oldest of the sources in its prices spoke, as of when it was last priced."""
        return self._markets[market_id].as_of_ms

    def heard(self, market_id: str) -> dict[str, Heard]:
        """What became of each source when the market was last priced."""
        return dict(self._markets[market_id].heard)

    def _blended(
        self, markets: Markets, chosen: Sequence[_Prices], winners: Floats, now_ms: int
    ) -> Floats:
        names = sorted({name for market in chosen for name in market.said})
        if not names:
            for market in chosen:
                market.heard, market.fresh_until_ms, market.as_of_ms = {}, NEVER_MS, now_ms
            return np.full(markets.selections, np.nan)
        implied = np.empty((len(names), markets.selections))
        age_ms = np.zeros((len(names), len(chosen)), np.int64)
        for row, name in enumerate(names):
            said: list[float] = []
            for column, market in enumerate(chosen):
                last = market.said.get(name)
                if last is None:
                    said.extend([math.nan] * len(market.setup.selections))
                else:
                    said.extend(last.implied)
                    age_ms[row, column] = now_ms - last.at_ms
            implied[row] = said
        removals = [market.removal for market in chosen]
        in_play = np.array([market.in_play for market in chosen])
        blended = blend(markets, self._blending, names, implied, age_ms, winners, removals, in_play)
        self._remember(chosen, names, blended.heard.tolist(), now_ms)
        return blended.probabilities

    def _remember(
        self, chosen: Sequence[_Prices], names: Sequence[str], heard: list[list[int]], now_ms: int
    ) -> None:
        """What became of the sources, and until when that holds."""
        silent, used = (int(Heard.ABSENT), int(Heard.STALE)), int(Heard.USED)
        sources = self._blending.sources
        for column, market in enumerate(chosen):
            market.heard = {}
            fresh_until_ms = as_of_ms = NEVER_MS
            for row, name in enumerate(names):
                said = market.said.get(name)
                if said is None:
                    continue
                code = heard[row][column]
                market.heard[name] = Heard(code)
                if code not in silent:
                    good_for_ms = sources[name].good_for_ms(market.in_play)
                    fresh_until_ms = min(fresh_until_ms, said.at_ms + good_for_ms)
                if code == used:
                    as_of_ms = min(as_of_ms, said.at_ms)
            market.as_of_ms = min(as_of_ms, now_ms)
            if fresh_until_ms != market.fresh_until_ms:
                market.fresh_until_ms = fresh_until_ms
                if fresh_until_ms != NEVER_MS:
                    heapq.heappush(self._aging, (fresh_until_ms, market.setup.market_id))
        if len(self._aging) > 4 * len(self._markets) + LEAST_AGING:
            self._aging = [
                (market.fresh_until_ms, market_id)
                for market_id, market in self._markets.items()
                if market.fresh_until_ms != NEVER_MS
            ]
            heapq.heapify(self._aging)

    def _shifted(
        self, markets: Markets, chosen: Sequence[_Prices], winners: Floats, fair: Floats
    ) -> Floats:
        """Moved by liability; what that adds is taken off all selections of the market alike."""
        exposed = np.array([market.shares is not None for market in chosen])
        exposed &= ~markets.any(np.isnan(fair))
        if not exposed.any():
            return fair
        picked, theirs = markets.pick(exposed)
        shares = np.array(
            [
                share
                for market, counts in zip(chosen, exposed.tolist(), strict=True)
                if counts
                for share in market.shares or ()
            ]
        )
        moved = shift(fair[theirs], shares, self._curve)
        fair = fair.copy()
        fair[theirs] = remove(picked, moved, Model.ODDS_RATIO, winners[exposed])
        return fair

    def _published(
        self,
        markets: Markets,
        chosen: Sequence[_Prices],
        odds: Ints,
        published: Ints,
        told: Flags,
    ) -> list[Repriced]:
        repriced: list[Repriced] = []
        now: list[int] = odds.tolist()
        changed: list[bool] = (odds != published).tolist()
        starts: list[int] = markets.starts.tolist()
        for column in np.flatnonzero(told).tolist():
            market = chosen[column]
            start = starts[column]
            selections = market.setup.selections
            end = start + len(selections)
            market.published = now[start:end]
            repriced.append(
                Repriced(
                    market.setup.market_id,
                    {
                        selection: price
                        for selection, price, new in zip(
                            selections, now[start:end], changed[start:end], strict=True
                        )
                        if new
                    },
                    market.as_of_ms,
                )
            )
        return repriced


def _check(setup: Setup, margin: Margin) -> None:
    if margin.model is Model.SHIN and setup.winners > 1:
        raise ValueError("Shin's model is of markets with one winner")
    if margin.overround * setup.winners >= ONE * len(setup.selections):
        raise ValueError("so much margin would make every selection certain")


def _flat(rows: Iterable[list[int]]) -> Ints:
    return np.array([value for row in rows for value in row], np.int64)


# The arithmetic


def price(
    markets: Markets,
    fair: Floats,
    margins: Sequence[Margin],
    winners: Floats,
    rounding: Rounding = Rounding.DOWN,
) -> Ints:
    """The house's odds of fair probabilities, in ten-thousandths on the ladder; 0 is no price.

    One margin and number of winners for each market. Probabilities that are not a number have no
    price, nor has their market. Raises ValueError as `actors.pricing.margin.apply` does.
    """
    odds = np.zeros(markets.selections, np.int64)
    priced = ~markets.any(np.isnan(fair))
    kinds = {margin: kind for kind, margin in enumerate(dict.fromkeys(margins))}
    kind_of = np.array([kinds[margin] for margin in margins])
    models = {margin.model for margin in kinds}
    overrounds = np.array([margin.overround / ONE for margin in kinds])[kind_of]
    longest = np.array([margin.longest for margin in kinds], np.int64)[kind_of]
    for model in models:
        using = np.array([margin.model is model for margin in kinds])[kind_of] & priced
        if not using.any():
            continue
        picked, theirs = markets.pick(using)
        within = np.minimum(np.maximum(fair[theirs], OFF), 1.0 - OFF)
        implied = apply(picked, within, model, overrounds[using], winners[using])
        offered = np.minimum(whole_odds(implied), longest[using][picked.of])
        sure = (within <= OFF) | (within >= 1.0 - OFF) | (offered < SHORTEST_STEP)
        odds[theirs] = np.where(sure, 0, to_ladder(offered, rounding))
    return odds


def due(markets: Markets, odds: Ints, published: Ints, rule: Publishing) -> Flags:
    """Whether each market is to be published: one of its prices has moved by enough."""
    moved = np.abs(step_of(odds) - step_of(published)) >= rule.min_steps
    came_or_went = (odds == 0) != (published == 0)
    shorter = (odds < published) & rule.shorten_at_once
    return markets.any((odds != published) & (moved | came_or_went | shorter))
