"""Several sources of one market become one fair probability for each selection.

In this order, for all markets of a batch at once:

1. A source that says nothing about a market, or said it too long ago, is not heard.
2. One that prices every selection has its own margin removed. Where its overround is beyond reason
   it is a mistake, and not heard.
3. One that prices only some selections is believed about those against each other: they share what
   the complete sources together leave for them, and the rest is as the complete ones have it. With
   no complete source, those are taken for complete whose prices are a whole book by themselves:
   what such a one leaves out, it holds for impossible, as the scores of a match that are past, and
   nobody's price of that is believed. Otherwise there is no price: nobody can say what the missing
   selections are worth.
4. Of three or more sources, the one furthest from their median is dropped while it is further than
   the limit. Two that contradict each other by more than that leave no price: one of them is wrong,
   and nobody knows which.
5. What is left is pooled by weight. A linear pool is the mean of the probabilities; the log-odds
   pool the mean of their log-odds, moved alike until they add up. Genest and Zidek, "Combining
   probability distributions: a critique and an annotated bibliography" (1986); Satopaa and others,
   "Combining multiple probability predictions using a simple logit model" (2014).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.pricing.margin import Model, remove
from actors.pricing.ragged import Flags, Floats, Ints, Markets

MAX_WEIGHT = 1_000
LEAST = 1e-7
"""Pooled probabilities stay this far from 0 and 1, so that none of them is infinite in log-odds."""
MAX_DROPPED = 16
"""Rounds in which an outlier is looked for."""


class Pool(enum.StrEnum):
    LINEAR = "linear"
    LOG_ODDS = "log_odds"


class Source(msgspec.Struct, frozen=True, array_like=True):
    """How one source is heard. A model's own probabilities have no margin: any `removal` does."""

    weight: int = 1
    max_age_ms: int = 10_000
    removal: Model = Model.POWER
    max_age_in_play_ms: int = 0
    """0: in play no other than before."""

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"a weight is from 1 to {MAX_WEIGHT}")
        if self.max_age_ms <= 0 or self.max_age_in_play_ms < 0:
            raise ValueError("a price is good for some time")

    def good_for_ms(self, in_play: bool) -> int:
        """How old its prices may be."""
        return (in_play and self.max_age_in_play_ms) or self.max_age_ms


class Blending(msgspec.Struct, frozen=True):
    """Who is heard, and what is done with them.

    `removals` say by what model margins are taken off, by "sport/class" or by sport; a source's own
    elsewhere. `outlier` is a difference of probabilities; `overrounds` are those (of one winner)
    between which a source's prices can be meant. Raises ValueError where the bounds contradict
    themselves.
    """

    sources: Mapping[str, Source]
    pool: Pool = Pool.LOG_ODDS
    outlier: float = 0.08
    overrounds: tuple[float, float] = (0.9, 2.0)
    removals: Mapping[str, Model] = {}

    def removal(self, sport: str, market_class: str) -> Model | None:
        """The model of a class of market; None: each source's own."""
        return self.removals.get(f"{sport}/{market_class}") or self.removals.get(sport)

    def __post_init__(self) -> None:
        if not 0.0 < self.outlier <= 1.0 or not 0.0 < self.overrounds[0] < self.overrounds[1]:
            raise ValueError("the bounds of the blend contradict themselves")


class Heard(enum.IntEnum):
    """What became of one source in one market."""

    ABSENT = 0
    USED = 1
    STALE = 2
    IMPLAUSIBLE = 3
    PARTIAL = 4
    """It prices some selections, but nothing says what the others are worth."""
    OUTLIER = 5
    CONTRADICTED = 6


class Blend(NamedTuple):
    probabilities: Floats
    """Fair, one a selection; those of a market without a price are not a number."""
    heard: NDArray[np.int8]
    """`Heard` by source (in the order given) and market."""
    priced: Flags
    """Whether there is a price at all, by market."""


def blend(
    markets: Markets,
    rule: Blending,
    names: Sequence[str],
    implied: Floats,
    age_ms: Ints,
    winners: float | Floats = 1.0,
    removals: Sequence[Model | None] | None = None,
    in_play: Flags | None = None,
) -> Blend:
    """One fair probability a selection of what all sources say.

    `removals` and `in_play` are of each market: by what model margins come off (None: by each
    source's own), and which age limit there is.

    `implied[s, i]` is what source `names[s]` implies for selection i, not a number where it says
    nothing; `age_ms[s, m]` how long ago it spoke of market m. What comes from the future is not
    heard either, since it would never grow old: a negative age is as old as a positive one. Raises
    ValueError for a source that the rule does not know, or implied probabilities outside 0 to 1.
    """
    unknown = [name for name in names if name not in rule.sources]
    if unknown:
        raise ValueError(f"no such source: {unknown[0]}")
    total = np.full(len(markets), winners, np.float64)
    said = ~np.isnan(implied)
    if not np.where(said, (implied > 0.0) & (implied < 1.0), True).all():
        raise ValueError("an implied probability is between 0 and 1")
    heard = np.zeros((len(names), len(markets)), np.int8)
    fair = np.full(implied.shape, np.nan)
    going = np.zeros(len(markets), bool) if in_play is None else in_play
    for row, name in enumerate(names):
        source = rule.sources[name]
        some = markets.total(said[row].astype(np.float64))
        heard[row] = np.where(some > 0, Heard.PARTIAL, Heard.ABSENT)
        good_for_ms = np.where(going, source.good_for_ms(True), source.good_for_ms(False))
        stale = (heard[row] != Heard.ABSENT) & (np.abs(age_ms[row]) > good_for_ms)
        complete = (some == markets.sizes) & ~stale
        heard[row, stale] = Heard.STALE
        models = [source.removal if model is None else model for model in removals or ()]
        _hear_complete(
            markets,
            rule,
            models or [source.removal],
            implied[row],
            complete,
            total,
            fair[row],
            heard[row],
        )
    gaps = _hear_whole(markets, rule, names, implied, total, removals, fair, heard)
    if len(names) > 1:
        _hear_partial(markets, rule, names, implied, fair, heard)
        _drop_outliers(markets, rule, fair, heard)
    blended = _pooled(markets, rule, names, fair, heard, total)
    if gaps is not None:
        # Nobody's price of what another one holds for impossible.
        left_out = (gaps & (heard == Heard.USED)[:, markets.of]).any(axis=0)
        blended.probabilities[left_out] = LEAST
    return blended


def _hear_complete(
    markets: Markets,
    rule: Blending,
    models: Sequence[Model],
    implied: Floats,
    complete: Flags,
    winners: Floats,
    fair: Floats,
    heard: NDArray[np.int8],
) -> None:
    """Takes the margin off where a source prices everything; writes `fair` and `heard`.

    `models` are by market, or one for all.
    """
    if not complete.any():
        return
    low, high = rule.overrounds
    books = markets.total(np.where(np.isnan(implied), 0.0, implied)) / winners
    meant = complete & (low <= books) & (books <= high)
    heard[complete & ~meant] = Heard.IMPLAUSIBLE
    if not meant.any():
        return
    heard[meant] = Heard.USED
    for model in dict.fromkeys(models):
        using = meant & np.array([one is model for one in models])
        # Shin's model knows one winner only; elsewhere the power model is nearest to it.
        plain = using & ((winners == 1.0) | (model is not Model.SHIN))
        for chosen, by in ((plain, model), (using & ~plain, Model.POWER)):
            if chosen.any():
                picked, theirs = markets.pick(chosen)
                fair[theirs] = remove(picked, implied[theirs], by, winners[chosen])


def _hear_whole(
    markets: Markets,
    rule: Blending,
    names: Sequence[str],
    implied: Floats,
    winners: Floats,
    removals: Sequence[Model | None] | None,
    fair: Floats,
    heard: NDArray[np.int8],
) -> NDArray[np.bool_] | None:
    """Where nobody prices everything, those whose prices are a whole book by themselves.

    Writes `fair` and `heard`; which selections each of them leaves out, or None without one.
    """
    partial = heard == Heard.PARTIAL
    if not partial.any():
        return None
    lacking = ~(heard == Heard.USED).any(axis=0)
    if not (lacking & partial.any(axis=0)).any():
        return None
    gaps = np.zeros(implied.shape, bool)
    for row, name in enumerate(names):
        known = ~np.isnan(implied[row])
        enough = markets.total(np.where(known, implied[row], 0.0)) >= winners
        several = markets.total(known.astype(np.float64)) > np.maximum(winners, 1.0)
        whole = lacking & (heard[row] == Heard.PARTIAL) & enough & several
        if not whole.any():
            continue
        gaps[row] = whole[markets.of] & ~known
        filled = np.where(known, implied[row], LEAST)
        own = rule.sources[name].removal
        models = [own if model is None else model for model in removals or ()] or [own]
        _hear_complete(markets, rule, models, filled, whole, winners, fair[row], heard[row])
    return gaps if gaps.any() else None


def _hear_partial(
    markets: Markets,
    rule: Blending,
    names: Sequence[str],
    implied: Floats,
    fair: Floats,
    heard: NDArray[np.int8],
) -> None:
    """What a source leaves out is as the complete ones have it; writes `fair` and `heard`."""
    if not (heard == Heard.PARTIAL).any():
        return
    weights = _weights(rule, names, heard)
    base = (weights[:, markets.of] * np.nan_to_num(fair)).sum(axis=0)
    there = weights.sum(axis=0) > 0.0
    for row in range(len(names)):
        known = ~np.isnan(implied[row])
        said = np.where(known, implied[row], 0.0)
        # One selection alone says nothing against the others.
        several = markets.total(known.astype(np.float64)) >= 2
        chosen = (heard[row] == Heard.PARTIAL) & there & several
        if not chosen.any():
            continue
        room = markets.total(np.where(known, base, 0.0))
        shares = said * (room / np.maximum(markets.total(said), LEAST))[markets.of]
        filled = np.where(known, shares, base)
        fair[row] = np.where(chosen[markets.of], filled, fair[row])
        heard[row, chosen] = Heard.USED


def _drop_outliers(markets: Markets, rule: Blending, fair: Floats, heard: NDArray[np.int8]) -> None:
    """Writes `heard`, and takes out of `fair` what is not heard."""
    for _ in range(MAX_DROPPED):
        used = heard == Heard.USED
        count = used.sum(axis=0)
        if not (count > 1).any():
            return
        # The median of an even number of sources is half-way between two of them.
        ordered = np.sort(np.where(used[:, markets.of], fair, np.inf), axis=0)
        each = np.maximum(count, 1)[markets.of]
        place = np.arange(markets.selections)
        middle = (ordered[(each - 1) // 2, place] + ordered[each // 2, place]) / 2.0
        distance = np.zeros(used.shape)
        for row in range(used.shape[0]):
            off = np.where(used[row][markets.of], np.abs(fair[row] - middle), 0.0)
            distance[row] = markets.highest(off)
        worst = distance.argmax(axis=0)
        furthest = distance.max(axis=0)
        # Two are each half of their difference from the middle.
        split = (count == 2) & (2.0 * furthest > rule.outlier)
        heard[:, split] = np.where(used[:, split], Heard.CONTRADICTED, heard[:, split])
        out = (count > 2) & (furthest > rule.outlier)
        if not out.any():
            return
        heard[worst[out], np.flatnonzero(out)] = Heard.OUTLIER


def _weights(rule: Blending, names: Sequence[str], heard: NDArray[np.int8]) -> Floats:
    """The share of each source in each market; all 0 where nobody is heard."""
    heavy = np.array([rule.sources[name].weight for name in names], np.float64)
    weights = heavy[:, None] * (heard == Heard.USED)
    shares: Floats = weights / np.maximum(weights.sum(axis=0), 1.0)
    return shares


def _pooled(
    markets: Markets,
    rule: Blending,
    names: Sequence[str],
    fair: Floats,
    heard: NDArray[np.int8],
    winners: Floats,
) -> Blend:
    within = np.minimum(np.maximum(fair, LEAST), 1.0 - LEAST)
    if len(names) == 1:
        # What one says needs no pooling.
        priced: Flags = heard[0] == Heard.USED
        return Blend(np.where(priced[markets.of], within[0], np.nan), heard, priced)
    weights = _weights(rule, names, heard)
    priced = weights.sum(axis=0) > 0.0
    each = weights[:, markets.of]
    if rule.pool is Pool.LINEAR:
        pooled = np.where(each > 0.0, each * within, 0.0).sum(axis=0)
    else:
        log_odds = np.log(within) - np.log1p(-within)
        mean = np.where(each > 0.0, each * log_odds, 0.0).sum(axis=0)
        pooled = 1.0 / (1.0 + np.exp(-mean))
        several = (weights > 0.0).sum(axis=0) > 1
        if several.any():
            picked, theirs = markets.pick(several)
            pooled[theirs] = remove(picked, pooled[theirs], Model.ODDS_RATIO, winners[several])
    pooled[~priced[markets.of]] = np.nan
    return Blend(pooled, heard, priced)
