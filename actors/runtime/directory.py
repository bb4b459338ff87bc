"""The directory: which shard has which partition.

What it says is a hint that the journal makes safe: a shard that believes it has a partition when
another has opened it can't write. So a directory that starts again need not remember; it begins
with the same division and asks the shards what they have.
"""

from __future__ import annotations

import msgspec

from actors.runtime.addresses import partitions_of, scope_of
from actors.runtime.router import View


class Scope(msgspec.Struct, frozen=True):
    """How many partitions a scope has, and the names of its shards."""

    name: str
    partitions: int
    shards: tuple[str, ...]


class UnknownShard(ValueError):
    """No shard of the partition's scope has that name."""


class Directory:
    """The view, and how it changes. `version` rises with every change."""

    def __init__(self, scopes: list[Scope], version: int = 1) -> None:
        self.scopes = {scope.name: scope for scope in scopes}
        self.version = version
        self.shards: dict[str, str] = {}
        for scope in scopes:
            for number, partition in enumerate(partitions_of(scope.name, scope.partitions)):
                self.shards[partition] = scope.shards[number % len(scope.shards)]

    def view(self) -> View:
        counts = {scope.name: scope.partitions for scope in self.scopes.values()}
        return View(self.version, counts, dict(self.shards))

    def partitions_of(self, shard: str) -> list[str]:
        return [partition for partition, owner in self.shards.items() if owner == shard]

    def move(self, partition: str, shard: str) -> None:
        """From now on `shard` has the partition."""
        if partition not in self.shards:
            raise UnknownShard(f"there is no partition {partition!r}")
        scope = self.scopes[scope_of(partition)]
        if shard not in scope.shards:
            raise UnknownShard(f"{scope.name} has no shard {shard!r}")
        if self.shards[partition] != shard:
            self.shards[partition] = shard
            self.version += 1

    def learn(self, shard: str, hosted: list[str]) -> None:
        """A shard says what it has open; after a restart that is what counts."""
        for partition in hosted:
            if partition in self.shards:
                self.move(partition, shard)
