"""Accounts and transfers."""

from __future__ import annotations

import pytest

from ledger.accounts import (
    PLAYER_KINDS,
    AccountKind,
    Transfer,
    UnbalancedTransfer,
    account_of,
)
from ledger.money import MAX_MINOR


@pytest.mark.parametrize("kind", list(AccountKind))
@pytest.mark.parametrize("owner", ["p1", "gb-07", "gb-07/bogus"])
def test_an_account_says_its_kind(kind, owner):
    assert account_of(kind, owner) == f"{kind.value}/{owner}"


def test_a_players_money_and_the_houses_are_told_apart():
    assert {kind.value for kind in PLAYER_KINDS} == {"cash", "held", "withdrawing"}


@pytest.mark.parametrize("amount", [1, 100, MAX_MINOR])
def test_a_transfer_is_a_positive_amount_between_two_accounts(amount):
    transfer = Transfer("cash/p1", "held/p1", amount, "GBP")
    assert transfer.amount_minor == amount


@pytest.mark.parametrize("amount", [0, -1, -MAX_MINOR, MAX_MINOR + 1])
def test_any_other_amount_is_no_transfer(amount):
    with pytest.raises(UnbalancedTransfer, match=str(amount)):
        Transfer("cash/p1", "held/p1", amount, "GBP")


def test_an_account_does_not_pay_itself():
    with pytest.raises(UnbalancedTransfer, match="cash/p1 pays itself"):
        Transfer("cash/p1", "cash/p1", 1, "GBP")
