"""What the house gives a player to bet with, once: a free stake, or a better price.

A free stake is the house's money: only what is won on it is paid. A boost adds a share to the
winnings of a bet of one line, by a price for the whole of it. Where a leg then does not win in full
at its own price, the boost is gone (`settling`), and what it adds is capped.
"""

from __future__ import annotations

import enum

import msgspec
from msgspec.structs import replace

from actors.base import Reason, Refused
from actors.odds import ONE
from actors.slips.slip import Slip, lines_in, price_of_legs

MAX_BOOST = 10 * ONE
MAX_BOOSTED = 10**12
"""Above it a penny wins more than any bet may pay."""


class BonusKind(enum.StrEnum):
    FREE_STAKE = "free_stake"
    BOOST = "boost"


class Bonus(msgspec.Struct, frozen=True, array_like=True):
    bonus_id: str
    kind: BonusKind
    amount_minor: int
    """Of a free stake, the largest there is; what is not staked is lost. Of a boost, the most that
    it adds to the payout."""
    expires_at_ms: int
    boost: int = 0
    """What it adds to the winnings, in ten-thousandths of them."""


def given(slip: Slip, bonus: Bonus) -> Slip | Refused:
    """The slip with the bonus on it, at the prices that its legs have."""
    if bonus.kind is BonusKind.FREE_STAKE:
        if slip.stake_minor > bonus.amount_minor:
            facts: dict[str, int | str] = {"max_stake_minor": bonus.amount_minor}
            return Refused(Reason.STAKE_ABOVE_LIMIT, facts=facts)
        return replace(slip, free_stake=True)
    if lines_in(slip) != 1 or any(leg.at_starting_price for leg in slip.legs):
        return Refused(Reason.BOOST_UNAVAILABLE)
    num, den = price_of_legs(slip.legs)
    # Rounded up to a whole ten-thousandth: a boosted price is never below the price itself.
    boosted = -(-(den * ONE + (num - den) * (ONE + bonus.boost)) // den)
    if boosted > MAX_BOOSTED:
        return Refused(Reason.BOOST_UNAVAILABLE)
    return replace(slip, boosted_odds=boosted, boost_cap_minor=bonus.amount_minor)
