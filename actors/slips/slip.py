"""A slip: the legs, the lines made of them, and the stake on all of those lines together.

The stake is the total. Its unit, the stake on one line, is the stake over the lines: a whole number
of minor units when the slip is placed, and any exact fraction once a part has been cashed out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from actors.base import Reason, Refused
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.slips.kinds import Kind, folds_of, lines_of
from ledger.money import MAX_MINOR

MAX_LEGS = 63
"""Legs of a slip, and selections of it: the bound that betting tickets have in the trade."""
MAX_SYSTEM_LEGS = 20
"""Free legs where a slip has folds that are neither singles nor all legs: above a million lines."""
MAX_JOINED = 20
"""Selections of one leg under a joint price."""
MAX_DIVISOR = 20

Selection = tuple[str, str]
"""Market id and selection id."""


class EachWay(msgspec.Struct, frozen=True, array_like=True):
    """Terms of a leg's place part: how many places pay, and what the winnings are divided by."""

    places: int
    divisor: int


class Leg(msgspec.Struct, frozen=True, array_like=True):
    """One selection and its price.

    A same-game multiple is one leg: `joined` are its other selections, on the same fixture, and
    `odds` is the price of all of them together.
    """

    fixture_id: str
    market_id: str
    selection_id: str
    odds: int
    """Taken when the bet was placed; 0 for the starting price, which is known at the off."""
    banker: bool = False
    ante_post: bool = False
    """No refund when the runner is withdrawn: it loses. Nothing is deducted from its price."""
    boosted_odds: int = 0
    """A price above `odds` that replaces it; 0 without a boost."""
    each_way: EachWay | None = None
    joined: tuple[Selection, ...] = ()

    @property
    def at_starting_price(self) -> bool:
        return self.odds == 0

    @property
    def selections(self) -> tuple[Selection, ...]:
        return ((self.market_id, self.selection_id), *self.joined)


class Slip(msgspec.Struct, frozen=True, array_like=True):
    legs: tuple[Leg, ...]
    kind: Kind
    stake_minor: int
    """On all lines together; each-way it is half on the win lines and half on the place lines."""
    folds: tuple[int, ...] = ()
    """The folds of a system, rising; empty for every other kind."""
    each_way: bool = False
    free_stake: bool = False
    """The stake is not the player's and is not returned: only what is won on it."""
    payout_cap_minor: int = MAX_MINOR
    boosted_odds: int = 0
    """A price for the whole of a one-line slip, above that of its legs; 0 without a boost."""
    boost_cap_minor: int = MAX_MINOR
    """The most that boosts may add to the payout."""


def folds_in(slip: Slip) -> tuple[int, ...]:
    return folds_of(slip.kind, sum(not leg.banker for leg in slip.legs), slip.folds)


def lines_in(slip: Slip) -> int:
    """How many lines the slip has, each-way counted as two."""
    free = sum(not leg.banker for leg in slip.legs)
    return lines_of(folds_in(slip), free) * (2 if slip.each_way else 1)


def as_said(slip: Slip) -> Slip:
    """What the player says of it, without what its markets and the house's settings add."""
    legs = tuple(
        Leg(
            leg.fixture_id,
            leg.market_id,
            leg.selection_id,
            leg.odds,
            leg.banker,
            joined=leg.joined,
        )
        for leg in slip.legs
    )
    return Slip(legs, slip.kind, slip.stake_minor, slip.folds, slip.each_way)


def price_of_legs(legs: Sequence[Leg]) -> tuple[int, int]:
    """The product of the prices of the legs, their own boosts included, as an exact ratio."""
    num = den = 1
    for leg in legs:
        num, den = num * (leg.boosted_odds or leg.odds), den * ONE
    return num, den


def refuse(slip: Slip, correlated: Collection[frozenset[str]] = ()) -> Refused | None:
    """Why the slip can't be a bet, whatever its prices are now. The ladder is the precedence.

    Two legs on one fixture never share a line, and neither do two legs of one of the `correlated`
    groups: sets of ids of fixtures and markets, such as a tournament's outright and its final.
    """
    if len(slip.legs) > MAX_LEGS:
        return Refused(Reason.TOO_MANY_LEGS, facts={"max_legs": MAX_LEGS})
    selections = [selection for leg in slip.legs for selection in leg.selections]
    if len(selections) > MAX_LEGS or any(len(leg.selections) > MAX_JOINED for leg in slip.legs):
        return Refused(Reason.TOO_MANY_LEGS, facts={"max_selections": MAX_LEGS})
    for number, leg in enumerate(slip.legs):
        if not _priced(leg):
            return Refused(Reason.OUT_OF_BOUNDS, facts={"leg": number})
    free = sum(not leg.banker for leg in slip.legs)
    folds = folds_in(slip)
    if not folds or (slip.kind is Kind.ACCUMULATOR and len(slip.legs) < 2):
        return Refused(Reason.WRONG_LEG_COUNT, facts={"legs": free})
    if free > MAX_SYSTEM_LEGS and folds not in ((1,), (free,)):
        return Refused(Reason.TOO_MANY_LEGS, facts={"max_legs": MAX_SYSTEM_LEGS})
    if len(set(selections)) < len(selections):
        return Refused(Reason.DUPLICATE_LEG)
    for group in _groups(slip.legs, correlated):
        if _meet(group, folds):
            return Refused(Reason.CORRELATED_LEGS, facts={"legs": len(group)})
    if slip.each_way and not all(leg.each_way for leg in slip.legs):
        return Refused(Reason.EACH_WAY_UNAVAILABLE)
    if not _boostable(slip, lines_in(slip)):
        return Refused(Reason.BOOST_UNAVAILABLE)
    if not 0 < slip.stake_minor <= MAX_MINOR:
        return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
    if not (0 < slip.payout_cap_minor <= MAX_MINOR and 0 <= slip.boost_cap_minor <= MAX_MINOR):
        return Refused(Reason.OUT_OF_BOUNDS, facts={"max_cap_minor": MAX_MINOR})
    # A refund never meets the cap.
    if slip.stake_minor > slip.payout_cap_minor:
        return Refused(Reason.STAKE_ABOVE_LIMIT, facts={"max_stake_minor": slip.payout_cap_minor})
    lines = lines_in(slip)
    if slip.stake_minor % lines:
        return Refused(Reason.UNEVEN_STAKE, facts={"lines": lines})
    return None


def _priced(leg: Leg) -> bool:
    """Whether the price and the flags of a leg make sense together."""
    terms = leg.each_way
    if terms and (leg.joined or terms.places < 1 or not 1 <= terms.divisor <= MAX_DIVISOR):
        return False
    if leg.at_starting_price:
        return not (leg.ante_post or leg.boosted_odds or leg.joined)
    if not MIN_ODDS <= leg.odds <= MAX_ODDS:
        return False
    return not leg.boosted_odds or leg.odds <= leg.boosted_odds <= MAX_ODDS


def _boostable(slip: Slip, lines: int) -> bool:
    """A price for the whole slip replaces the one line there is, and is never a worse one."""
    if not slip.boosted_odds:
        return True
    if lines != 1 or any(leg.at_starting_price for leg in slip.legs):
        return False
    num, den = price_of_legs(slip.legs)
    return num * ONE <= slip.boosted_odds * den


def _groups(legs: tuple[Leg, ...], correlated: Collection[frozenset[str]]) -> list[list[Leg]]:
    """Legs that depend on each other, in groups of two or more."""
    by_fixture: dict[str, list[Leg]] = {}
    for leg in legs:
        by_fixture.setdefault(leg.fixture_id, []).append(leg)
    groups = list(by_fixture.values())
    if correlated:
        names = [{leg.fixture_id, *(market for market, _ in leg.selections)} for leg in legs]
        for ids in correlated:
            groups.append([leg for leg, own in zip(legs, names, strict=True) if own & ids])
    return [group for group in groups if len(group) > 1]


def _meet(group: list[Leg], folds: tuple[int, ...]) -> bool:
    """Whether two of them are in one line: free legs only meet in doubles and more."""
    return folds[-1] > 1 or any(leg.banker for leg in group)
