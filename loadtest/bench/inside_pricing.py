"""The odds engine measured from inside: selections priced a second, on one core.

    python -m loadtest.bench.inside_pricing --markets 20000 --runs 7

No process but this one and no thread but its own. Every story is run several times and its median
told, in selections a second of this process' CPU:

    arithmetic   fair probabilities to odds: margin and ladder, on arrays, for each margin model
    engine       quotes of one source, and of three, as dicts into the engine, changed prices out:
                 margin off, blend, margin on, ladder, comparison
    goals        matches in play, one or ten at a time: final scores, every market, their prices
    feed         steps of one feed in, the book's commands out (`gateway/feeds/priced.py`): what
                 the market was, a quote, the engine, a numbered `ChangePrices` with its age; all
                 markets in one batch, and the 7 markets of a match at a time
    fit          the expectancies of a match from its 1X2 and total (matches a second)
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from actors.fixture import CreateFixture
from actors.pricing.blend import Blending, Source
from actors.pricing.engine import Engine, Setup, price
from actors.pricing.goals import GoalModel, Moment, derived, final_scores, fit
from actors.pricing.ladder import to_ladder, whole_odds
from actors.pricing.margin import Margin, Margins, Model, apply
from actors.pricing.ragged import Floats, Markets
from actors.trading import ChangePrices, OpenMarket
from gateway.feeds.feed import FeedCommand, Step
from gateway.feeds.priced import LEAD, Desk
from gateway.feeds.priced import FeedSettings as HeardSettings
from gateway.feeds.priced import Settings as FeedSettings

SIZES = (3, 2, 2, 2, 3, 8, 26)
"""Selections of markets, over and over: a match's main markets, a race and a correct score."""
BOOK = 1.06
MATCHES = 200
FITS = 50


def fair_book(markets: Markets, seed: int) -> Floats:
    """Probabilities of everything from a heavy favourite to a longshot."""
    draw = np.random.default_rng(seed)
    weights = np.exp(draw.normal(0.0, 1.2, markets.selections))
    book: Floats = weights / markets.total(weights)[markets.of]
    return book


def per_second(selections: int, runs: int, story: Callable[[int], None]) -> float:
    """The median of all runs but a first one, by CPU time."""
    rates = []
    for run in range(runs + 1):
        began = time.process_time()
        story(run)
        rates.append(selections / (time.process_time() - began))
    return statistics.median(rates[1:])


def sizes_of(count: int) -> list[int]:
    return [SIZES[number % len(SIZES)] for number in range(count)]


# The stories


def arithmetic(model: Model, count: int, runs: int) -> float:
    markets = Markets(sizes_of(count))
    fair = fair_book(markets, 1)
    margins = [Margin(model, 10_600)] * count
    winners = np.ones(count)

    def story(run: int) -> None:
        price(markets, fair, margins, winners)

    return per_second(markets.selections, runs, story)


def through_the_engine(sources: int, count: int, runs: int) -> float:
    names = [f"feed{number}" for number in range(sources)]
    blending = Blending({name: Source() for name in names})
    engine = Engine(Margins(), blending)
    sizes = sizes_of(count)
    markets = Markets(sizes)
    setups = [
        Setup(f"m{number}", "football", "any", tuple(f"s{place}" for place in range(size)))
        for number, size in enumerate(sizes)
    ]
    for setup in setups:
        engine.open(setup)
    quotes = [_quoted(markets, setups, seed) for seed in range(runs + 1)]

    def story(run: int) -> None:
        for name in names:
            for market_id, odds in quotes[run]:
                engine.quote(market_id, name, odds, run)
        engine.reprice(run)

    return per_second(markets.selections, runs, story)


def _quoted(
    markets: Markets, setups: Sequence[Setup], seed: int
) -> list[tuple[str, dict[str, int]]]:
    """Somebody's prices of all markets, each time a little different."""
    fair = fair_book(markets, 1)
    moved = fair * np.exp(np.random.default_rng(seed).normal(0.0, 0.02, fair.size))
    moved /= markets.total(moved)[markets.of]
    implied = np.minimum(apply(markets, moved, Model.POWER, BOOK), 0.99)
    odds = iter(to_ladder(whole_odds(implied)).tolist())
    return [
        (setup.market_id, {selection: next(odds) for selection in setup.selections})
        for setup in setups
    ]


def matches_in_play(at_once: int, runs: int) -> float:
    """So many matches at a time: told to the engine as they stand, and priced together."""
    draw = random.Random(1)
    engine = Engine(Margins(), Blending({"model": Source(max_age_ms=1_000_000)}))
    model = GoalModel(1.5, 1.1, -0.08)
    markets = derived(final_scores(model))
    for match in range(at_once):
        for number, market in enumerate(markets):
            name = f"f{match}:m{number}"
            engine.open(Setup(name, "football", market.kind, market.selections, market.winners))
    moments = [
        Moment(draw.randrange(3), draw.randrange(3), 2, 45.0 + draw.random() * 45.0)
        for _ in range(MATCHES)
    ]

    def story(run: int) -> None:
        for turn, moment in enumerate(moments):
            for number, market in enumerate(derived(final_scores(model, moment))):
                chances = dict(zip(market.selections, market.probabilities, strict=True))
                engine.model(f"f{turn % at_once}:m{number}", "model", chances, run)
            if turn % at_once == at_once - 1:
                engine.reprice(run)

    return per_second(MATCHES * sum(len(market.selections) for market in markets), runs, story)


def through_a_feed(at_once: int, count: int, runs: int) -> float:
    """So many markets a step: what a feed says of them becomes what the book is told."""
    desk = Desk(FeedSettings(HeardSettings("simulated")))
    sizes = sizes_of(count)
    markets = Markets(sizes)
    setups = [
        Setup(f"f:m{number}", "Football", "any", tuple(f"s{place}" for place in range(size)))
        for number, size in enumerate(sizes)
    ]
    opened: list[FeedCommand] = [CreateFixture("f", "Football", "Cup", "A v B", 0)]
    for setup in setups:
        names = {of: of for of in setup.selections}
        opened.append(OpenMarket("f", setup.market_id, "Any", "any", "GBP", names))
    desk.hear([(LEAD, Step(0, tuple(opened)))], 0)
    said = []
    for seed in range(runs + 1):
        changes = [
            ChangePrices("f", market_id, odds, seed + 1)
            for market_id, odds in _quoted(markets, setups, seed)
        ]
        said.append(
            [
                Step(seed, tuple(changes[start : start + at_once]))
                for start in range(0, count, at_once)
            ]
        )

    def story(run: int) -> None:
        told = [desk.hear([(LEAD, step)], run) for step in said[run]]
        if not any(told):
            raise AssertionError("nothing was told")

    return per_second(markets.selections, runs, story)


def fits(runs: int) -> float:
    draw = random.Random(1)
    asked = []
    for _ in range(FITS):
        scores = final_scores(GoalModel(0.6 + 1.8 * draw.random(), 0.6 + 1.8 * draw.random(), -0.1))
        asked.append((scores.match_result(), scores.over_under(10)[0]))

    def story(run: int) -> None:
        for match_result, over in asked:
            fit(match_result, 10, over)

    return per_second(FITS, runs, story)


def main() -> None:
    reads = argparse.ArgumentParser(description=__doc__)
    reads.add_argument("--markets", type=int, default=20_000)
    reads.add_argument("--runs", type=int, default=7)
    asked = reads.parse_args()
    selections = sum(sizes_of(asked.markets))
    print(json.dumps({"markets": asked.markets, "selections": selections, "runs": asked.runs}))
    told = {f"arithmetic, {model}": arithmetic(model, asked.markets, asked.runs) for model in Model}
    told["engine, one source"] = through_the_engine(1, asked.markets, asked.runs)
    told["engine, three sources"] = through_the_engine(3, asked.markets, asked.runs)
    told["goals, a match at a time"] = matches_in_play(1, asked.runs)
    told["goals, ten at a time"] = matches_in_play(10, asked.runs)
    told["feed, all in one batch"] = through_a_feed(asked.markets, asked.markets, asked.runs)
    told["feed, a match at a time"] = through_a_feed(len(SIZES), asked.markets, asked.runs)
    for story, rate in told.items():
        print(f"{story:30} {rate:12,.0f} selections/s")
    print(f"{'fit':30} {fits(asked.runs):12,.0f} matches/s")


if __name__ == "__main__":
    main()
