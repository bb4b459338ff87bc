"""Exchanges to lay off liability at: one file each. A new one is found by being here."""

from __future__ import annotations

import importlib
import pkgutil

from gateway.exchanges.exchange import Exchange

__all__ = ["Exchange", "all_exchanges"]


def all_exchanges() -> dict[str, Exchange]:
    """Every exchange of this package by its name; each file exports one constant, `EXCHANGE`."""
    found: dict[str, Exchange] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "exchange":
            continue
        exchange: Exchange = importlib.import_module(f"{__name__}.{module.name}").EXCHANGE
        found[exchange.name] = exchange
    return found
