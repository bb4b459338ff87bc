"""Why a slip or a cash-out was refused.

The codes are stable. Those that `actors.base.Reason` has as well mean the same there.
"""

from __future__ import annotations

import enum

import msgspec


class SlipReason(enum.StrEnum):
    OUT_OF_BOUNDS = "out_of_bounds"
    STAKE_ABOVE_LIMIT = "stake_above_limit"
    PRICE_CHANGED = "price_changed"
    # the slip
    TOO_MANY_LEGS = "too_many_legs"
    WRONG_LEG_COUNT = "wrong_leg_count"
    """The kind or its folds do not fit the number of legs that are not bankers."""
    DUPLICATE_LEG = "duplicate_leg"
    CORRELATED_LEGS = "correlated_legs"
    EACH_WAY_UNAVAILABLE = "each_way_unavailable"
    BOOST_UNAVAILABLE = "boost_unavailable"
    UNEVEN_STAKE = "uneven_stake"
    """The stake is not a whole number of minor units on each line."""
    # cash-out
    NOTHING_OPEN = "nothing_open"
    CASH_OUT_SUSPENDED = "cash_out_suspended"
    CASH_OUT_TOO_SMALL = "cash_out_too_small"
    OFFER_EXPIRED = "offer_expired"
    OFFER_OUTDATED = "offer_outdated"
    """The slip is no longer the one that the offer was for."""


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """An expected no."""

    reason: SlipReason
    facts: dict[str, int | str] = {}
    """What the caller needs for the next attempt, such as the amount now offered."""
