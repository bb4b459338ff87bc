"""Bonuses: given to a player by staff or a bonus engine, and used once, by a slip that names one.

They are kept with the wallet, so that whether one is still to be had is decided where the bet is
(`actors.multiple.PlaceSlip`). Giving one moves no money. What is won on a free stake comes from the
house's bonus account, in place of its revenue, and a correction goes back there.
"""

from __future__ import annotations

from actors.base import Command, Event, Reason, Refused, ref
from actors.slips.bonus import MAX_BOOST, Bonus, BonusKind
from actors.wallet import Wallet, WalletEvent
from ledger.money import MAX_MINOR

MAX_BONUSES = 20
"""That a player may have at once; those that have expired are not counted."""
MAX_VALID_MS = 366 * 24 * 3_600_000


class GiveBonus(Command, frozen=True, array_like=True, tag=True):
    player_id: str
    currency: str
    bonus: Bonus

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        bonus = self.bonus
        if not wallet.opened:
            return Refused(Reason.UNKNOWN_PLAYER)
        if self.currency != wallet.currency:
            return Refused(Reason.CURRENCY_MISMATCH, facts={"currency": wallet.currency})
        if not 0 < bonus.amount_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_amount_minor": MAX_MINOR})
        boosts = bonus.kind is BonusKind.BOOST
        if not (0 < bonus.boost <= MAX_BOOST if boosts else bonus.boost == 0):
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_boost": MAX_BOOST})
        if not 0 < bonus.expires_at_ms - now_ms <= MAX_VALID_MS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_valid_ms": MAX_VALID_MS})
        if wallet.bonus(bonus.bonus_id):
            return Refused(Reason.ALREADY_EXISTS)
        if len(wallet.bonuses_at(now_ms)) >= MAX_BONUSES:
            return Refused(Reason.TOO_MANY_BONUSES, facts={"max_bonuses": MAX_BONUSES})
        # From here it is the player's.
        return BonusGiven(now_ms, self.player_id, bonus)


class WithdrawBonus(Command, frozen=True, array_like=True, tag=True):
    """Take one back that was not used."""

    player_id: str
    bonus_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        if wallet.bonus(self.bonus_id) is None:
            return Refused(Reason.UNKNOWN_BONUS)
        return BonusWithdrawn(now_ms, self.player_id, self.bonus_id)


# What can happen to them


class BonusGiven(WalletEvent, frozen=True, array_like=True, tag=True):
    bonus: Bonus

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.bonuses = (*wallet.bonuses_at(self.at_ms), self.bonus)


class BonusUsed(WalletEvent, frozen=True, array_like=True, tag=True):
    """Just before the bet that it is used for."""

    bonus_id: str
    bet_id: str

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.bonuses = without(wallet.bonuses, self.bonus_id)


class BonusWithdrawn(WalletEvent, frozen=True, array_like=True, tag=True):
    bonus_id: str

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.bonuses = without(wallet.bonuses, self.bonus_id)


def without(bonuses: tuple[Bonus, ...], bonus_id: str) -> tuple[Bonus, ...]:
    return tuple(bonus for bonus in bonuses if bonus.bonus_id != bonus_id)
