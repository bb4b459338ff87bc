"""Where an actor lives: its scope, and the partition of that scope.

A scope is `book` (fixtures and markets, which name nobody) or the code of a licence. Each has its
own database, partitions and shards. The partition follows from the *routing id*: the player id for
player, wallet and bets; the e-mail address for a credential; the fixture id for a fixture and its
markets. So neighbours meet in one partition, and a market's id starts with its fixture's.
"""

from __future__ import annotations

import functools
import zlib

from actors.placement import BOOK as BOOK  # a scope beside those of the licences


def partition_name(scope: str, number: int) -> str:
    """Such as `gb-07`."""
    return f"{scope}-{number:02d}"


@functools.lru_cache(100_000)
def partition_of(scope: str, routing_id: str, count: int) -> str:
    """The partition of `scope` that a routing id belongs to; `count` never changes."""
    return partitions_of(scope, count)[zlib.crc32(routing_id.encode()) % count]


@functools.cache
def partitions_of(scope: str, count: int) -> tuple[str, ...]:
    return tuple(partition_name(scope, number) for number in range(count))


def scope_of(partition: str) -> str:
    return partition.rpartition("-")[0]


def fixture_of(market_id: str) -> str:
    """The fixture a market belongs to: market ids are `<fixture id>:<market key>`."""
    return market_id.rpartition(":")[0]


def shard_name(scope: str, number: int) -> str:
    """Such as `shard-gb-0`: a shard that was started for one scope."""
    return f"shard-{scope}-{number}"


def spare_name(number: int) -> str:
    """Such as `spare-0`: a shard without a scope, until it stands in for one that died."""
    return f"spare-{number}"


def home_of(shard: str) -> str:
    """The scope that a shard was started for; empty for a spare."""
    return shard.removeprefix("shard-").rpartition("-")[0] if is_shard(shard) else ""


def is_shard(name: str) -> bool:
    """Whether it is the name of a shard with a home."""
    return name.startswith("shard-")


def is_any_shard(name: str) -> bool:
    """Whether it is the name of a shard or of a spare."""
    return is_shard(name) or name.startswith("spare-")


def number_of(shard: str) -> int:
    return int(shard.rpartition("-")[2])
