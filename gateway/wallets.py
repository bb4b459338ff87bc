"""A wallet as JSON shows it."""

from __future__ import annotations

from actors.wallet import WalletView
from gateway import api
from ledger.money import minor_digits


def wallet_json(wallet: WalletView) -> api.Wallet:
    return api.Wallet(
        wallet.currency,
        minor_digits(wallet.currency),
        wallet.cash_minor,
        wallet.held_minor,
        wallet.withdrawing_minor,
        wallet.debt_minor,
        wallet.version,
    )
