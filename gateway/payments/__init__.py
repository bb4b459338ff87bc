"""Payment processors: one file each. A new one is found by being here."""

from __future__ import annotations

import importlib
import pkgutil

from gateway.payments.processor import Processor

__all__ = ["Processor", "all_processors"]


def all_processors() -> dict[str, Processor]:
    """Every processor of this package by its name; each file exports one constant, `PROCESSOR`."""
    found: dict[str, Processor] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "processor":
            continue
        processor: Processor = importlib.import_module(f"{__name__}.{module.name}").PROCESSOR
        found[processor.name] = processor
    return found
