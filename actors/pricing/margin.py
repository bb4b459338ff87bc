"""Margin: how other people's is taken off prices, and how the house's is put on.

An implied probability is what decimal odds o say by themselves, 1 / o. Those of a market add up to
its overround, 1.05 with five per cent of margin. Five models say how the margin lies on favourites
and longshots; each is solved in both directions, so that removing what was applied gives back the
same probabilities. With q implied and p fair:

    multiplicative  q = c * p. The same share of every price.
    additive        q = p + d. The same amount of every price.
    power           q = p ** k. Vovk and Zhdanov, "Prediction with expert advice for the Brier
                    game" (2009); Clarke, Kovalchik and Ingram, "Adjusting bookmaker's odds to
                    allow for overround" (2017). Never outside 0 to 1.
    Shin            a share z of the money comes from those who know the winner. Shin, "Measuring
                    the incidence of insider trading in a market for state-contingent claims"
                    (1993); solved for p after Jullien and Salanie, "Measuring the incidence of
                    insider trading: a comment on Shin" (1994).
    odds ratio      q / (1 - q) = c * p / (1 - p). Cheung, "Fixed-odds betting and traditional
                    odds" (2015). Never outside 0 to 1.

Multiplicative, additive and Shin can take a favourite past certainty (q above 1): such a selection
gets no price (`actors.pricing.engine`), and its margin can still be removed.

`winners` is how many selections win, and with them what fair probabilities add up to: 1 in most
markets, 2 in double chance, 3 where three places are paid. Overround is always told for one winner.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.pricing.ragged import Floats, Ints, Markets

TOLERANCE = 1e-13
"""How far the probabilities of a solved market may be from their sum, for each selection."""
MAX_STEPS = 100
FLOOR = 1e-7
"""What the additive model leaves a runner from whom it would take everything."""


class Model(enum.StrEnum):
    MULTIPLICATIVE = "multiplicative"
    ADDITIVE = "additive"
    POWER = "power"
    SHIN = "shin"
    ODDS_RATIO = "odds_ratio"


class Margin(msgspec.Struct, frozen=True, array_like=True):
    """What the house puts on one class of market.

    `overround` is in ten-thousandths: 10_500 is a book of 105 per cent. `longest` is the longest
    price there is to be had, in ten-thousandths too. Raises ValueError outside of reason.
    """

    model: Model
    overround: int
    longest: int = MAX_ODDS

    def __post_init__(self) -> None:
        if not ONE // 2 <= self.overround < 2 * ONE:
            raise ValueError(f"an overround of {self.overround} ten-thousandths")
        if not MIN_ODDS <= self.longest <= MAX_ODDS:
            raise ValueError(f"{self.longest} is no price")


class Margins(msgspec.Struct, frozen=True):
    """Margins by sport and market class, the most specific first.

    `by_class` has keys such as "football/match_result"; `by_sport` such as "football".
    """

    usual: Margin = Margin(Model.POWER, 10_600)
    by_sport: Mapping[str, Margin] = {}
    by_class: Mapping[str, Margin] = {}

    def of(self, sport: str, market_class: str) -> Margin:
        named = self.by_class.get(f"{sport}/{market_class}")
        return named or self.by_sport.get(sport) or self.usual


def implied(odds: Ints) -> Floats:
    """The probabilities that odds in ten-thousandths say. Raises ValueError where one is no price.

    Odds no longer than evens on both sides of a coin say 0.5 each; with margin they add up to more.
    """
    if odds.size and not (odds.min() >= MIN_ODDS and odds.max() <= MAX_ODDS):
        raise ValueError(f"odds are from {MIN_ODDS} to {MAX_ODDS}")
    return ONE / odds


def overround(markets: Markets, implied: Floats, winners: float | Floats = 1.0) -> Floats:
    """What each market's implied probabilities add up to, for one winner: 1.0 is a fair book."""
    return markets.total(implied) / winners


def remove(
    markets: Markets, implied: Floats, model: Model, winners: float | Floats = 1.0
) -> Floats:
    """Fair probabilities, which add up to `winners`, of prices with somebody's margin on them.

    An overround below 1, a book in the players' favour, is taken off the same way. Raises
    ValueError where an implied probability is not above 0 (power and odds ratio: and below 1),
    where as many win as run, or where Shin's model is asked about more than one winner.
    """
    target = np.full(len(markets), winners, np.float64)
    return _moved(markets, implied, model, target, winners)


def apply(
    markets: Markets,
    probabilities: Floats,
    model: Model,
    overround: float | Floats,
    winners: float | Floats = 1.0,
) -> Floats:
    """Implied probabilities, which add up to `overround * winners`, of fair ones.

    Raises ValueError as `remove` does, and where power or odds ratio would have to make as many
    certain as run.
    """
    target = np.full(len(markets), np.multiply(overround, winners), np.float64)
    if model is Model.SHIN:
        _check(markets, probabilities, target, winners, below=np.inf)
        return _with_insiders(markets, probabilities, target, winners)
    return _moved(markets, probabilities, model, target, winners)


def _moved(
    markets: Markets, values: Floats, model: Model, target: Floats, winners: float | Floats
) -> Floats:
    """Probabilities moved along the model until they add up to `target`."""
    bounded = model in (Model.POWER, Model.ODDS_RATIO)
    _check(markets, values, target, winners, below=1.0 if bounded else np.inf)
    match model:
        case Model.MULTIPLICATIVE:
            return values * (target / markets.total(values))[markets.of]
        case Model.ADDITIVE:
            return _added(markets, values, target)
        case Model.POWER:
            return _powered(markets, values, target)
        case Model.ODDS_RATIO:
            return _odds_moved(markets, values, target)
        case Model.SHIN:
            return _without_insiders(markets, values, winners)


def _check(
    markets: Markets, values: Floats, target: Floats, winners: float | Floats, below: float
) -> None:
    if values.size != markets.selections:
        raise ValueError(f"{values.size} values for {markets.selections} selections")
    # Said this way round, what is not a number is refused too.
    if values.size and not (values.min() > 0 and values.max() < below):
        raise ValueError(f"a probability is above 0, and here below {below}")
    if (winners >= markets.sizes).any():
        raise ValueError("as many would win as run")
    if not (target > 0).all() or (below == 1.0 and (target >= markets.sizes).any()):
        raise ValueError("probabilities can't add up to that")


def _added(markets: Markets, values: Floats, target: Floats) -> Floats:
    """The same amount on each, but that nobody falls below the floor: the others carry his part.

    Who has fallen stays down, so the number of rounds is bounded by that of runners.
    """
    floor = np.minimum(values, FLOOR)
    down = np.zeros(values.size, bool)
    for _ in range(int(markets.sizes.max(initial=0)) + 1):
        fixed = markets.total(np.where(down, floor, values))
        carrying = np.maximum(markets.sizes - markets.total(down.astype(np.float64)), 1.0)
        moved = np.where(down, floor, values + ((target - fixed) / carrying)[markets.of])
        fallen = moved < floor
        if not fallen.any():
            return moved
        down |= fallen
    raise ArithmeticError("every runner fell below the floor")


def _powered(markets: Markets, values: Floats, target: Floats) -> Floats:
    """The logarithm of the sum of powers falls with the exponent and is convex, so that Newton's
    steps come from the left; the longest and the shortest price say where it must end. The first
    step is Halley's, which counts on the curve too and saves two of Newton's.
    """
    logs = np.log(values)
    aim = np.log(target)

    def miss(exponent: Floats) -> tuple[Floats, Floats]:
        powers = np.exp(exponent[markets.of] * logs)
        sums = markets.total(powers)
        return aim - np.log(sums), -markets.total(powers * logs) / sums

    room = np.log(markets.sizes / target)
    low, high = room / -markets.lowest(logs), room / -markets.highest(logs)
    sums = markets.total(values)
    shares = values / sums[markets.of]
    slope = markets.total(shares * logs)
    curve = markets.total(shares * logs * logs) - slope * slope
    newton = (aim - np.log(sums)) / slope
    with np.errstate(divide="ignore", invalid="ignore"):
        halley = newton / (1.0 + curve * newton / (2.0 * slope))
    exponent = _root(miss, low, high, 1.0 + halley, markets.sizes)
    powered: Floats = np.exp(exponent[markets.of] * logs)
    return powered


def _odds_moved(markets: Markets, values: Floats, target: Floats) -> Floats:
    """Every log-odds moved by the same."""
    log_odds = np.log(values) - np.log1p(-values)

    def miss(moved: Floats) -> tuple[Floats, Floats]:
        shares = 1.0 / (1.0 + np.exp(-(log_odds + moved[markets.of])))
        return markets.total(shares) - target, markets.total(shares * (1.0 - shares))

    # Were all runners like the favourite, or like the last, this would be the move.
    even = np.log(target) - np.log(markets.sizes - target)
    low, high = even - markets.highest(log_odds), even - markets.lowest(log_odds)
    moved = _root(miss, low, high, np.zeros(len(markets)), markets.sizes)
    shares: Floats = 1.0 / (1.0 + np.exp(-(log_odds + moved[markets.of])))
    return shares


def _with_insiders(
    markets: Markets, fair: Floats, target: Floats, winners: float | Floats
) -> Floats:
    """Shin's prices: q = sqrt(z p + (1 - z) p^2) times their sum, whose square is the overround.

    The share of insiders z is in 0 to 1. A book below 100 per cent has no share of them, and beyond
    that of nobody else it can't grow: what is left to do either way is done multiplicatively.
    """
    _one_winner(winners)

    def roots(share: Floats) -> Floats:
        each = share[markets.of]
        taken: Floats = np.sqrt(fair * (fair + each * (1.0 - fair)))
        return taken

    def miss(share: Floats) -> tuple[Floats, Floats]:
        taken = roots(share)
        slope = fair * (1.0 - fair) / np.maximum(2.0 * taken, FLOOR)
        return markets.total(taken) - np.sqrt(within), markets.total(slope)

    nobody, everybody = np.zeros(len(markets)), np.ones(len(markets))
    least = markets.total(roots(nobody)) ** 2
    most = markets.total(roots(everybody)) ** 2
    within = np.clip(target, least, most)
    start = 2.0 * (np.sqrt(within) - 1.0) / (markets.sizes - 1)
    taken = roots(_root(miss, nobody, everybody, start, markets.sizes))
    prices: Floats = taken * (target / markets.total(taken))[markets.of]
    return prices


def _without_insiders(markets: Markets, prices: Floats, winners: float | Floats) -> Floats:
    """Shin's fair probabilities: those for which the share of insiders makes them add up to 1."""
    _one_winner(winners)
    sums = markets.total(prices)
    book = sums[markets.of]
    squared = prices * prices / book
    # Past a share of 1 the squares alone say it; and below a book of 1 the prices themselves do.
    beyond = markets.total(squared) > 1.0
    below = sums <= 1.0
    solved = ~(beyond | below)
    fair = np.where(beyond[markets.of], squared * book, prices)
    if solved.any():
        some, theirs = markets.pick(solved)
        fair[theirs] = _insiders_solved(some, squared[theirs])
    return fair / markets.total(fair)[markets.of]


def _insiders_solved(markets: Markets, squared: Floats) -> Floats:
    def shares(insiders: Floats) -> tuple[Floats, Floats, Floats]:
        each = insiders[markets.of]
        root = np.sqrt(each * each + 4.0 * (1.0 - each) * squared)
        return 2.0 * squared / (each + root), each, root

    def miss(insiders: Floats) -> tuple[Floats, Floats]:
        fair, each, root = shares(insiders)
        slope = fair / (each + root) * (root + each - 2.0 * squared) / root
        return 1.0 - markets.total(fair), markets.total(slope)

    nobody, everybody = np.zeros(len(markets)), np.ones(len(markets))
    return shares(_root(miss, nobody, everybody, nobody, markets.sizes))[0]


def _one_winner(winners: float | Floats) -> None:
    if not np.all(np.asarray(winners) == 1.0):
        raise ValueError("Shin's model is of markets with one winner")


def _root(
    miss: Callable[[Floats], tuple[Floats, Floats]],
    low: Floats,
    high: Floats,
    start: Floats,
    sizes: Ints,
) -> Floats:
    """Where rising functions, one a market, are zero between `low` and `high`.

    `miss` gives values and slopes. A step is Newton's, but half-way between the bounds where that
    would leave them or the last one brought little: so it ends, and ends soon. Raises
    ArithmeticError where it has not ended after MAX_STEPS, which no market has made it do.
    """
    low, high = low.copy(), high.copy()
    at = np.minimum(np.maximum(start, low), high)
    last = np.full(at.shape, np.inf)
    enough = TOLERANCE * sizes
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(MAX_STEPS):
            missed, slope = miss(at)
            distance = np.abs(missed)
            far = distance > enough
            if far.any():
                # Bounds that meet are as near as floats come.
                far &= high - low > 4e-16 * np.abs(at)
            if not far.any():
                return at
            below = missed < 0
            np.copyto(low, at, where=below)
            np.copyto(high, at, where=~below)
            stepped = at - missed / slope
            good = (stepped >= low) & (stepped <= high) & (2.0 * distance < last)
            if good.all():
                last = distance
            else:
                stepped = np.where(good, stepped, (low + high) / 2.0)
                last = np.where(good, distance, np.inf)
            at = np.where(far, stepped, at)
    raise ArithmeticError("a margin was not solved")
