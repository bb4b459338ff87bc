"""Buying a slip back before it is decided, all of it or a part of its stake.

A single is offered stake x (price at placement / price now) x (1 - margin). On a slip with several
lines, every open leg counts as its price at placement over its price now, every known leg as its
factor, and the offer is for the lines that are still open: what decided lines pay is the player's
already. The margin is taken once, on the sum, and the amount is rounded once, down: bought back
penny by penny, a bet is not worth more than at once. No offer is above what the open lines can
still pay.

A part is a share of the stake in whole minor units. What is left is a slip with the rest of the
stake; its unit may be a fraction of a minor unit, which settles exactly. The part that was bought
back is final: later corrections settle the rest only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec
from msgspec.structs import replace

from actors.base import Reason, Refused
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.slips.settling import (
    Factor,
    Known,
    OpenAs,
    Side,
    View,
    as_lost,
    look,
    place_price,
    settle,
    units,
)
from actors.slips.slip import Selection, Slip
from actors.slips.sums import Ratio


class CashOutRules(msgspec.Struct, frozen=True, array_like=True):
    margin: int = 500
    """In ten-thousandths of the fair value."""
    valid_ms: int = 5_000

    def __post_init__(self) -> None:
        if not 0 <= self.margin < ONE or self.valid_ms < 0:
            raise ValueError("a margin is a share, and an offer is valid for some time")


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """What is paid for `stake_minor` of a slip's stake, beside what its decided lines have paid."""

    stake_minor: int
    amount_minor: int
    expires_at_ms: int
    of_stake_minor: int
    """The slip's whole stake when this was offered."""
    paid_minor: int
    """What its decided lines paid then."""
    prices: tuple[int, ...]
    """Odds of each leg at that moment; 0 for legs that were known."""


class CashedOut(msgspec.Struct, frozen=True, array_like=True):
    stake_minor: int
    amount_minor: int
    """To be paid now."""
    closed_minor: int
    """All that the part bought back has been paid: its share of decided lines, and the amount.

    With what `settle` says of the rest, that is everything the slip has paid."""
    rest: Slip | None
    """None where nothing is left."""


def offer(
    slip: Slip,
    known: Mapping[Selection, Known],
    prices: Sequence[int],
    stake_minor: int,
    rules: CashOutRules,
    now_ms: int,
) -> Offer | Refused:
    """Offer to buy back that much of the stake.

    `prices` has for each leg the odds now, 0 where it is suspended or has no price; of a same-game
    multiple the joint price of what is open in it. Those of known legs are not looked at. A place
    part is valued at the place terms of the price now. Raises ValueError for fewer or more prices
    than legs.
    """
    if not 0 < stake_minor <= slip.stake_minor:
        return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": slip.stake_minor})
    standing = settle(slip, known)
    if not standing.lines_open:
        return Refused(Reason.NOTHING_OPEN)
    view = look(slip, known, MAX_ODDS)
    asked = []
    for number, (price, _) in enumerate(zip(prices, slip.legs, strict=True)):
        is_open = any(side.results[number] is None for side in view.sides)
        if is_open and not (MIN_ODDS <= price <= MAX_ODDS and _has_price(slip, known, number)):
            return Refused(Reason.CASH_OUT_SUSPENDED, facts={"leg": number})
        asked.append(price if is_open else 0)
    value = _worth(view, _at(slip, asked)) - _worth(view, as_lost)
    share = value * (ONE - rules.margin) * stake_minor / (ONE * slip.stake_minor)
    most = (standing.most_minor - standing.paid_minor) * stake_minor // slip.stake_minor
    offered = min(share.numerator // share.denominator, most)
    if offered <= 0:
        return Refused(Reason.CASH_OUT_TOO_SMALL)
    return Offer(
        stake_minor,
        offered,
        now_ms + rules.valid_ms,
        slip.stake_minor,
        standing.paid_minor,
        tuple(asked),
    )


def accept(
    slip: Slip,
    known: Mapping[Selection, Known],
    prices: Sequence[int],
    taken: Offer,
    rules: CashOutRules,
    now_ms: int,
) -> CashedOut | Refused:
    """Take an offer, by the prices of this moment; in play, after the bet delay.

    The slip has to stand as it stood then. Where prices have moved so that it is worth more, the
    player is paid what it is worth now; where it is worth less, the offer is refused with what
    would be paid now.
    """
    if now_ms > taken.expires_at_ms:
        return Refused(Reason.OFFER_EXPIRED)
    standing = settle(slip, known)
    if (slip.stake_minor, standing.paid_minor) != (taken.of_stake_minor, taken.paid_minor):
        return Refused(Reason.OFFER_OUTDATED)
    fresh = offer(slip, known, prices, taken.stake_minor, rules, now_ms)
    if isinstance(fresh, Refused):
        return fresh
    if [bool(price) for price in fresh.prices] != [bool(price) for price in taken.prices]:
        return Refused(Reason.OFFER_OUTDATED)
    if fresh.amount_minor < taken.amount_minor:
        return Refused(Reason.PRICE_CHANGED, facts={"amount_minor": fresh.amount_minor})
    # From here the part is bought back.
    left = slip.stake_minor - fresh.stake_minor
    if not left:
        closed = standing.paid_minor + fresh.amount_minor
        return CashedOut(fresh.stake_minor, fresh.amount_minor, closed, None)
    rest = replace(
        slip,
        stake_minor=left,
        payout_cap_minor=slip.payout_cap_minor * left // slip.stake_minor,
        boost_cap_minor=slip.boost_cap_minor * left // slip.stake_minor,
    )
    closed = standing.paid_minor - settle(rest, known).paid_minor + fresh.amount_minor
    # What the part gained where the rest's caps were rounded down must not come on top of the cap.
    cap = min(rest.payout_cap_minor, slip.payout_cap_minor - closed)
    rest = replace(rest, payout_cap_minor=cap)
    return CashedOut(fresh.stake_minor, fresh.amount_minor, closed, rest)


def _has_price(slip: Slip, known: Mapping[Selection, Known], number: int) -> bool:
    """Whether there is a price of placement to compare with."""
    leg = slip.legs[number]
    if not leg.at_starting_price:
        return True
    fact = known.get((leg.market_id, leg.selection_id))
    return fact is not None and fact.starting_odds > 0


def _worth(view: View, open_as: OpenAs) -> Fraction:
    """What the slip pays with its open legs taken for that, in minor units, exactly."""

    def exact(sides: list[Side]) -> Fraction:
        num, den = units(view, sides, open_as)
        return Fraction(view.slip.stake_minor * num, view.lines * den)

    worth = exact(view.sides)
    if view.unboosted:
        worth = min(worth, exact(view.unboosted) + view.slip.boost_cap_minor)
    return min(worth, Fraction(view.slip.payout_cap_minor))


def _at(slip: Slip, prices: Sequence[int]) -> OpenAs:
    """Open legs taken for their price at placement over the price now: what they are worth."""

    def open_as(number: int, place: bool, price: Ratio) -> Factor:
        now = (prices[number], ONE)
        terms = slip.legs[number].each_way
        if place and terms:
            now = place_price(now, terms)
        # The chance of winning is 1 / now; that much of the stake would be returned.
        return Factor(price[0] * now[1], price[1] * now[1], price[1] * now[0])

    return open_as
