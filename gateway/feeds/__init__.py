"""Price feeds: one file each. A new one is found by being here."""

from __future__ import annotations

import importlib
import pkgutil

from gateway.feeds.feed import Feed

__all__ = ["Feed", "all_feeds", "feed"]

_NOT_FEEDS = {"feed", "pump", "matches", "teams"}
"""What feeds are made of."""


def all_feeds() -> dict[str, Feed]:
    """Every feed of this package by its name; each file exports one constant, `FEED`."""
    found: dict[str, Feed] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name in _NOT_FEEDS:
            continue
        feed: Feed = importlib.import_module(f"{__name__}.{module.name}").FEED
        found[feed.name] = feed
    return found


def feed(name: str) -> Feed:
    """The feed of that name; `KeyError` names those there are."""
    feeds = all_feeds()
    if name not in feeds:
        raise KeyError(f"no feed {name!r}; there are {', '.join(sorted(feeds))}")
    return feeds[name]
