"""Several sources of one market become one fair probability for each selection.

In this order, for all markets of a batch at once:

1. A source that says nothing about a market, or said it too long ago, is not heard.
2. One that prices every selection has its own margin removed. Where its overround is beyond reason
   it is a mistake, and not heard.
3. One that prices only some selections is believed about those against each other: they share what
   the complete sources together leave for them, and the rest is as the complete ones have it. With
   no complete source there is no price: nobody can say what the missing selections are worth.
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

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"a weight is from 1 to {MAX_WEIGHT}")
        if self.max_age_ms <= 0:
            raise ValueError("a price is good for some time")


class Blending(msgspec.Struct, frozen=True):
    """Who is heard, and what is done with them.

    `outlier` is a difference of probabilities; `overrounds` are those (of one winner) between which
    a source's prices can be meant. Raises ValueError where the bounds contradict themselves.
    """

    sources: Mapping[str, Source]
    pool: Pool = Pool.LOG_ODDS
    outlier: float = 0.08
    overrounds: tuple[float, float] = (0.9, 2.0)

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
) -> Blend:
    """One fair probability a selection of what all sources say.

    `implied[s, i]` is what source `names[s]` implies for selection i, not a number where it says
    nothing; `age_ms[s, m]` how long ago it spoke of market m. What comes from the future is not
    heard either, since it would never grow old: a negative age is as old as a positive one. Raises
    ValueError for a source that the rule does not know, or implied probabilities outside 0 to 1.
    """
    unknown = [name for name in names if name not in rule.sources]
    if unknown:
        raise ValueError(f"no such source: {unknown[0]}")
    total = np.broadcast_to(winners, len(markets)) * 1.0
    with np.errstate(invalid="ignore"):
        if np.any((implied <= 0.0) | (implied >= 1.0)):
            raise ValueError("an implied probability is between 0 and 1")
    heard = np.zeros((len(names), len(markets)), np.int8)
    fair = np.full(implied.shape, np.nan)
    for row, name in enumerate(names):
        source = rule.sources[name]
        known = ~np.isnan(implied[row])
        some = markets.total(known.astype(np.float64))
        heard[row] = np.where(some > 0, Heard.PARTIAL, Heard.ABSENT)
        stale = (heard[row] != Heard.ABSENT) & (np.abs(age_ms[row]) > source.max_age_ms)
        complete = (some == markets.sizes) & ~stale
        heard[row, stale] = Heard.STALE
        _hear_complete(markets, rule, source, implied[row], complete, total, fair[row], heard[row])
    if len(names) > 1:
        _hear_partial(markets, rule, names, implied, fair, heard)
        _drop_outliers(markets, rule, fair, heard)
    return _pooled(markets, rule, names, fair, heard, total)


def _hear_complete(
    markets: Markets,
    rule: Blending,
    source: Source,
    implied: Floats,
    complete: Flags,
    winners: Floats,
    fair: Floats,
    heard: NDArray[np.int8],
) -> None:
    """Takes the margin off where a source prices everything; writes `fair` and `heard`."""
    if not complete.any():
        return
    low, high = rule.overrounds
    books = markets.total(np.nan_to_num(implied)) / winners
    meant = complete & (low <= books) & (books <= high)
    heard[complete & ~meant] = Heard.IMPLAUSIBLE
    if not meant.any():
        return
    heard[meant] = Heard.USED
    # Shin's model knows one winner only; elsewhere the power model is nearest to it.
    plain = meant & ((winners == 1.0) | (source.removal is not Model.SHIN))
    for chosen, model in ((plain, source.removal), (meant & ~plain, Model.POWER)):
        if chosen.any():
            picked, theirs = markets.pick(chosen)
            fair[theirs] = remove(picked, implied[theirs], model, winners[chosen])


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
    weights = _weights(rule, names, heard)
    priced: Flags = weights.sum(axis=0) > 0.0
    each = weights[:, markets.of]
    within = np.clip(fair, LEAST, 1.0 - LEAST)
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
