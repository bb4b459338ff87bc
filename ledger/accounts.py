"""Double entry: the accounts there are, and the transfers between them.

A transfer takes a positive amount from one account and gives it to another, so the sum over all
accounts of one currency is always zero. A player's accounts are never below zero; a house account
may be. House accounts are split by partition, so that none is hot and each is written by exactly
one partition.
"""

from __future__ import annotations

import enum

import msgspec

from ledger.money import MAX_MINOR


class AccountKind(enum.StrEnum):
    """What an account is for. The first three are the player's money; the rest are the house's."""

    CASH = "cash"  # what a player may bet or withdraw
    HELD = "held"  # stakes of a player's open bets
    WITHDRAWING = "withdrawing"  # asked for by the player, not yet paid out
    DEBT = "debt"  # what a player owes after a resettlement: at most zero
    REVENUE = "revenue"  # stakes lost to the house less winnings paid by it
    BONUS = "bonus"  # what is won on free stakes: at most zero
    PROCESSOR = "processor"  # money at a payment processor: what came in less what went out


PLAYER_KINDS = frozenset({AccountKind.CASH, AccountKind.HELD, AccountKind.WITHDRAWING})
"""Accounts that may never be below zero."""


def account_of(kind: AccountKind, owner: str) -> str:
    """The account's name: its kind and its owner, such as `cash/<player id>`.

    The owner of a player's account is the player id; of a house account, the partition, and for
    `processor` the partition and the processor's name.
    """
    return kind + "/" + owner  # an enum in an f-string takes four times as long


class UnbalancedTransfer(ValueError):
    """A transfer that is not a positive amount between two accounts."""


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """`amount_minor` of `currency` leaves `debit` and arrives at `credit`."""

    debit: str
    credit: str
    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if not 0 < self.amount_minor <= MAX_MINOR:
            raise UnbalancedTransfer(f"an amount of {self.amount_minor} is not a transfer")
        if self.debit == self.credit:
            raise UnbalancedTransfer(f"{self.debit} pays itself")
