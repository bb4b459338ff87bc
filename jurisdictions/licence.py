"""What a licence says. Every figure stands beside its source."""

from __future__ import annotations

import datetime as dt

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """A figure of a licence, the law it comes from, and since when it is in force."""

    value: int
    source: str
    since: dt.date


class Licence(msgspec.Struct, frozen=True):
    """One jurisdiction's rules, as far as Grandstand applies them."""

    code: str
    """Names the database, the partitions and the shards of the licence: lower case, short."""
    name: str
    currency: str
    """ISO 4217; wallets of the licence are opened in it."""
    minimum_age: Figure
    """In whole years."""
