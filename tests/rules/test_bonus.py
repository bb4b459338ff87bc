"""Bonuses in a wallet: given, used once by a slip they fit, and what they cost the house."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.base import Reason, Refused
from actors.bet import Bet, Leg, Settling
from actors.bonus import (
    MAX_BONUSES,
    MAX_VALID_MS,
    BonusGiven,
    BonusUsed,
    BonusWithdrawn,
    GiveBonus,
    WithdrawBonus,
)
from actors.cashout import CashedOut, CashOut, known_about
from actors.multiple import LegSettled, PlaceSlip, SettleLeg, SlipPlaced
from actors.odds import ONE
from actors.results import LOST, VOID, WON
from actors.slips import bonus as bonuses
from actors.slips import slip as slips
from actors.slips.bonus import MAX_BOOST, Bonus, BonusKind
from actors.slips.cashout import CashOutRules, Offer, offer
from actors.slips.kinds import Kind
from actors.slips.slip import Slip, refuse
from actors.wallet import GetWallet, Wallet, WalletView

NOW = 1_800_000_000_000
FREE = Bonus("x", BonusKind.FREE_STAKE, 1_000, NOW + 1_000)
BOOST = Bonus("x", BonusKind.BOOST, 300, NOW + 1_000, 2_500)


def wallet(*held: Bonus, cash: int = 5_000) -> Wallet:
    return Wallet("p", "GBP", cash, version=1, bonuses=held)


def slip(*odds: int, kind: Kind = Kind.ACCUMULATOR, stake: int = 1_000, **more: Any) -> Slip:
    legs = tuple(slips.Leg(f"f{n}", f"f{n}:m", "a", price) for n, price in enumerate(odds))
    return Slip(legs, kind, stake, **more)


def place(of: Slip, bonus_id: str = "x", **changes: Any) -> PlaceSlip:
    legs = tuple(
        Leg(leg.fixture_id, leg.market_id, leg.selection_id, leg.odds, 1, "A v B", "Winner", "A")
        for leg in of.legs
    )
    return replace(PlaceSlip("p", "b", "GBP", of, legs, NOW, bonus_id=bonus_id), **changes)


@pytest.mark.parametrize(
    ("changes", "held", "reason"),
    [
        ({"currency": "EUR"}, (), Reason.CURRENCY_MISMATCH),
        ({"bonus": replace(FREE, amount_minor=0)}, (), Reason.OUT_OF_BOUNDS),
        ({"bonus": replace(FREE, boost=1)}, (), Reason.OUT_OF_BOUNDS),
        ({"bonus": replace(BOOST, boost=0)}, (), Reason.OUT_OF_BOUNDS),
        ({"bonus": replace(BOOST, boost=MAX_BOOST + 1)}, (), Reason.OUT_OF_BOUNDS),
        ({"bonus": replace(FREE, expires_at_ms=NOW)}, (), Reason.OUT_OF_BOUNDS),
        ({"bonus": replace(FREE, expires_at_ms=NOW + MAX_VALID_MS + 1)}, (), Reason.OUT_OF_BOUNDS),
        ({}, (BOOST,), Reason.ALREADY_EXISTS),
        ({}, [replace(FREE, bonus_id=f"{n}") for n in range(MAX_BONUSES)], Reason.TOO_MANY_BONUSES),
    ],
)
def test_what_is_not_given(changes: dict[str, Any], held: Any, reason: Reason) -> None:
    refused = replace(GiveBonus("p", "GBP", FREE), **changes).decide(NOW, wallet(*held))
    assert isinstance(refused, Refused)
    assert refused.reason is reason


def test_what_has_expired_makes_room() -> None:
    old = [replace(FREE, bonus_id=f"{n}", expires_at_ms=NOW - 1) for n in range(MAX_BONUSES)]
    of = wallet(*old)
    event = GiveBonus("p", "GBP", FREE).decide(NOW, of)
    assert isinstance(event, BonusGiven)
    event.apply(of)
    assert of.bonuses == (FREE,)


def test_it_is_withdrawn_once() -> None:
    of = wallet(FREE)
    event = WithdrawBonus("p", "x").decide(NOW, of)
    assert isinstance(event, BonusWithdrawn)
    event.apply(of)
    assert WithdrawBonus("p", "x").decide(NOW, of) == Refused(Reason.UNKNOWN_BONUS)


@pytest.mark.parametrize(
    ("command", "held", "reason"),
    [
        (place(slip(20_000, free_stake=True)), (), Reason.UNKNOWN_BONUS),
        (
            place(slip(20_000, 20_000, free_stake=True)),
            (replace(FREE, expires_at_ms=NOW - 1),),
            Reason.BONUS_EXPIRED,
        ),
        (place(slip(20_000, 20_000, stake=1_001)), (FREE,), Reason.STAKE_ABOVE_LIMIT),
        (place(slip(20_000, 20_000)), (FREE,), Reason.BOOST_UNAVAILABLE),
        (place(slip(20_000, 20_000, boosted_odds=60_000)), (BOOST,), Reason.BOOST_UNAVAILABLE),
        (place(slip(20_000, 20_000, free_stake=True), ""), (FREE,), Reason.BOOST_UNAVAILABLE),
        (place(slip(20_000, 20_000, boosted_odds=60_000), ""), (BOOST,), Reason.BOOST_UNAVAILABLE),
        (place(slip(20_000, 20_000, kind=Kind.SINGLE)), (BOOST,), Reason.BOOST_UNAVAILABLE),
        (place(slip(0, 20_000)), (BOOST,), Reason.BOOST_UNAVAILABLE),
    ],
)
def test_what_it_is_not_used_for(command: PlaceSlip, held: Any, reason: Reason) -> None:
    if len(command.slip.legs) == 1:
        command = replace(command, slip=replace(command.slip, kind=Kind.SINGLE))
    refused = command.decide(NOW, wallet(*held))
    assert isinstance(refused, Refused)
    assert refused.reason is reason


@given(st.lists(st.integers(10_001, 10**6), min_size=1, max_size=4), st.integers(1, MAX_BOOST))
def test_a_boost_is_never_below_the_price(odds: list[int], boost: int) -> None:
    of = slip(*odds, kind=Kind.SINGLE if len(odds) == 1 else Kind.ACCUMULATOR)
    on = bonuses.given(of, replace(BOOST, boost=boost))
    if isinstance(on, Refused):
        return
    assert refuse(on) is None
    product = 1
    for price in odds:
        product *= price
    one = ONE ** len(odds)
    exact = ONE * one * ONE + (product - one) * (ONE + boost) * ONE
    assert 0 <= on.boosted_odds * one * ONE - exact < one * ONE
    assert bonuses.given(on, replace(BOOST, boost=boost)) == on


class House:
    """One player's slip with a bonus, and every account that its events move money on."""

    def __init__(self, of: Slip, bonus: Bonus) -> None:
        self.wallet, self.bet = wallet(bonus), Bet()
        self.accounts = Counter({"cash/p": 5_000})
        self.version = 0
        events = place(of).decide(NOW, self.wallet)
        assert isinstance(events, tuple)
        used, placed = events
        assert used == BonusUsed(NOW, "p", "x", "b")
        assert isinstance(placed, SlipPlaced)
        used.apply(self.wallet)
        self._apply(placed)
        assert placed.wallet_version == self.wallet.version
        again = place(of).decide(NOW, self.wallet)
        assert again == Refused(Reason.UNKNOWN_BONUS)

    def _apply(self, event: Any) -> None:
        event.apply(self.wallet, self.bet)
        for transfer in event.transfers("gb-00"):
            self.accounts[transfer.debit] -= transfer.amount_minor
            self.accounts[transfer.credit] += transfer.amount_minor
        assert self.accounts["cash/p"] == self.wallet.cash_minor
        assert self.accounts["held/p"] == self.wallet.held_minor
        assert self.accounts["debt/p"] == -self.wallet.debt_minor
        assert sum(self.accounts.values()) == 5_000

    def result(self, number: int, result: Any) -> None:
        self.version += 1
        on = Settling("a", result, self.version)
        event = SettleLeg("p", "b", f"f{number}:m", on).decide(NOW, self.wallet, self.bet)
        assert isinstance(event, LegSettled)
        self._apply(event)

    def cash_out(self, part: int) -> int:
        assert self.bet.slip is not None
        known, prices = known_about(self.bet), tuple(leg.odds for leg in self.bet.slip.legs)
        made = offer(self.bet.slip, known, prices, part, CashOutRules(), NOW)
        assert isinstance(made, Offer)
        command = CashOut("p", "b", made, prices, CashOutRules())
        event = command.decide(NOW, self.wallet, self.bet)
        assert isinstance(event, CashedOut)
        self._apply(event)
        return event.amount_minor


def test_what_a_free_stake_wins_is_the_bonus_accounts() -> None:
    house = House(slip(20_000, 30_000, free_stake=True), FREE)
    assert dict(house.accounts) == {"cash/p": 5_000}
    bought = house.cash_out(400)
    house.result(0, WON)
    house.result(1, WON)
    assert house.accounts["bonus/gb-00"] == -bought - 3_000  # 600 at 6.0, without the stake
    house.result(1, LOST)
    assert house.accounts["bonus/gb-00"] == -bought
    house.result(1, WON)
    house.result(0, VOID)
    assert house.accounts["bonus/gb-00"] == -bought - 1_200
    assert house.accounts["revenue/gb-00"] == 0


def test_a_boost_is_paid_from_revenue_up_to_its_cap() -> None:
    of = bonuses.given(slip(20_000, 20_000), BOOST)
    assert isinstance(of, Slip)
    assert of.boosted_odds == 47_500
    house = House(of, BOOST)
    house.result(0, WON)
    house.result(1, WON)
    assert house.wallet.cash_minor == 5_000 - 1_000 + 4_300
    assert house.accounts["bonus/gb-00"] == 0


def test_who_asks_sees_what_can_be_used() -> None:
    old = replace(BOOST, bonus_id="old", expires_at_ms=NOW - 1)
    view = GetWallet("p").answer(NOW, wallet(FREE, old))
    assert isinstance(view, WalletView)
    assert view.bonuses == (FREE,)
