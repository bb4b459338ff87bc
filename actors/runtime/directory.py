"""The directory: which shard has which partition.

What it says is a hint that the journal makes safe: a shard that believes it has a partition when
another has opened it can't write. So a directory that starts again need not remember; it begins
with the same division and asks the shards what they have.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.runtime.addresses import home_of, partitions_of, scope_of
from actors.runtime.router import View


class Scope(msgspec.Struct, frozen=True):
    """How many partitions a scope has, and the names of the shards that it begins with."""

    name: str
    partitions: int
    shards: tuple[str, ...]


class Holdings(msgspec.Struct, frozen=True, array_like=True):
    """What the directory says to a shard: these are yours. The highest version counts."""

    version: int
    partitions: tuple[str, ...]
    moving: tuple[str, ...] = ()
    """Partitions on their way from one shard to another: neither opens or closes them because of
    what is said here."""


class UnknownShard(ValueError):
    """There is no such partition, or that shard can't have it."""


class Directory:
    """The view, and how it changes. `version` rises with every change."""

    def __init__(self, scopes: list[Scope], version: int = 1) -> None:
        self.scopes = {scope.name: scope for scope in scopes}
        self.version = version
        self.shards: dict[str, str] = {}
        self.moving: dict[str, str] = {}
        """Where a partition is on its way to."""
        for scope in scopes:
            for number, partition in enumerate(partitions_of(scope.name, scope.partitions)):
                self.shards[partition] = scope.shards[number % len(scope.shards)]

    def view(self) -> View:
        counts = {scope.name: scope.partitions for scope in self.scopes.values()}
        return View(self.version, counts, dict(self.shards))

    def partitions_of(self, shard: str) -> list[str]:
        return [partition for partition, owner in self.shards.items() if owner == shard]

    def holdings(self, shard: str) -> Holdings:
        moving = tuple(sorted(self.moving))
        mine = tuple(name for name in self.partitions_of(shard) if name not in self.moving)
        return Holdings(self.version, mine, moving)

    def move(self, partition: str, shard: str) -> None:
        """From now on `shard` has the partition."""
        self.check(partition, shard)
        if self.shards[partition] != shard:
            self.shards[partition] = shard
            self.version += 1

    def begin(self, partition: str, shard: str) -> None:
        """The partition is on its way to `shard`: until `end`, it is left alone."""
        self.check(partition, shard)
        if partition in self.moving:
            raise UnknownShard(f"{partition} is on its way already")
        self.moving[partition] = shard
        self.version += 1

    def end(self, partition: str, shard: str) -> None:
        """It has arrived at `shard`, or stays there."""
        self.moving.pop(partition, None)
        self.shards[partition] = shard
        self.version += 1

    def check(self, partition: str, shard: str) -> None:
        """Raises `UnknownShard` unless the shard may have the partition."""
        if partition not in self.shards:
            raise UnknownShard(f"there is no partition {partition!r}")
        scope = scope_of(partition)
        if home_of(shard) not in ("", scope):
            raise UnknownShard(f"{shard!r} is no shard of {scope}")
        has = [*self.partitions_of(shard), *(on for on, to in self.moving.items() if to == shard)]
        if any(scope_of(name) != scope for name in has):
            raise UnknownShard(f"{shard!r} stands in for a shard of another scope")

    def learn(self, hosted: dict[str, Iterable[str]]) -> None:
        """What the shards say they have open; after a restart that is what counts.

        What nobody has stays with whom it was given at first, if that one answers, and goes to
        another of its scope if not. A partition that two have open (one of them does not know yet
        that it was fenced off) goes to either: the journal tells them apart.
        """
        if not hosted:
            return
        found = {
            partition: shard
            for shard, partitions in hosted.items()
            for partition in partitions
            if partition in self.shards and home_of(shard) in ("", scope_of(partition))
        }
        for partition, shard in self.shards.items():
            if partition not in found and shard not in hosted:
                others = [name for name in sorted(hosted) if home_of(name) == scope_of(partition)]
                if others:
                    found[partition] = others[len(found) % len(others)]
        self.shards |= found
        self.version += 1


class Held:
    """What one shard has heard of the directory about what is its own; the newest word counts."""

    def __init__(self) -> None:
        self.version = 0
        self.partitions: set[str] = set()

    def __contains__(self, partition: str) -> bool:
        return partition in self.partitions

    def hear(self, said: Holdings) -> bool:
        """Whether it was news, or at least not older than what was heard before."""
        if said.version < self.version:
            return False
        self.version = said.version
        self.partitions = set(said.partitions) | (self.partitions & set(said.moving))
        return True

    def gain(self, partition: str, version: int) -> bool:
        if version < self.version:
            return False
        self.version = version
        self.partitions.add(partition)
        return True

    def lose(self, partition: str, version: int) -> bool:
        if version < self.version:
            return False
        self.version = version
        self.partitions.discard(partition)
        return True
