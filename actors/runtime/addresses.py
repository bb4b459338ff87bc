"""Where an actor lives: its scope, and the partition of that scope.

A scope is `book` (fixtures and markets, which name nobody) or the code of a licence. Each has its
own database, partitions and shards. The partition follows from the *routing id*: the player id for
player, wallet and bets; the e-mail address for a credential; the fixture id for a fixture and its
markets. So neighbours meet in one partition, and a market's id starts with its fixture's.
"""

from __future__ import annotations

import zlib

BOOK = "book"


def partition_name(scope: str, number: int) -> str:
    """Such as `gb-07`."""
    return f"{scope}-{number:02d}"


def partition_of(scope: str, routing_id: str, count: int) -> str:
    """The partition of `scope` that a routing id belongs to; `count` never changes."""
    return partition_name(scope, zlib.crc32(routing_id.encode()) % count)


def partitions_of(scope: str, count: int) -> list[str]:
    return [partition_name(scope, number) for number in range(count)]


def scope_of(partition: str) -> str:
    return partition.rpartition("-")[0]


def fixture_of(market_id: str) -> str:
    """The fixture a market belongs to: market ids are `<fixture id>:<market key>`."""
    return market_id.rpartition(":")[0]
