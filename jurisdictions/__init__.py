"""Licences: one file each. A new one is found by being here."""

from __future__ import annotations

import importlib
import pkgutil

from jurisdictions.licence import Licence

__all__ = ["Licence", "all_licences", "licence"]


def all_licences() -> dict[str, Licence]:
    """Every licence of this package by its code; each file exports one constant, `LICENCE`."""
    found: dict[str, Licence] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "licence":
            continue
        licence = importlib.import_module(f"{__name__}.{module.name}").LICENCE
        found[licence.code] = licence
    return found


def licence(code: str) -> Licence:
    """The licence of that code; `KeyError` names those there are."""
    licences = all_licences()
    if code not in licences:
        raise KeyError(f"no licence {code!r}; there are {', '.join(sorted(licences))}")
    return licences[code]
