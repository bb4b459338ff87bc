"""The routes: a file a resource, each with one constant, `ROUTES`. A new one is found by being
here."""

from __future__ import annotations

import importlib
import pkgutil

from gateway.http import Route


def all_routes() -> list[Route]:
    """Every route of this package, file by file in the order of their names."""
    found: list[Route] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        found += importlib.import_module(f"{__name__}.{module.name}").ROUTES
    return found
