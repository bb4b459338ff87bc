"""The journal port: where blocks become durable. Two backends pass one contract test.

`ledger.memory_journal` ships for tests and simulation, `ledger.postgres_journal` is the real one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from ledger.blocks import Block, Head


class JournalUnavailable(Exception):
    """The journal did not answer, or not with a yes: whether the blocks are in is not known."""


class Snapshot(msgspec.Struct, frozen=True):
    """An actor's encoded state, with everything up to block `seq` of its partition in it."""

    ref: str
    seq: int
    body: bytes


class FirstAnswer(msgspec.Struct, frozen=True):
    """What was recorded under a key: the fingerprint, and the answer as an encoded event."""

    fingerprint: bytes
    answer: bytes


class Journal(Protocol):
    """Every method raises `JournalUnavailable` when the store can't be reached."""

    async def head(self, partition: str) -> Head:
        """The end of the partition's chain."""
        ...

    async def append(self, blocks: Sequence[Block]) -> frozenset[str]:
        """Make one block of each of several partitions durable, in one commit.

        Returns the partitions whose block is in. A partition that is missing from the answer
        already had a block with that `seq`: somebody else has opened it, and this owner stops.
        """
        ...

    async def blocks(self, partition: str, after_seq: int, limit: int) -> list[Block]:
        """Blocks above `after_seq`, in order."""
        ...

    async def checkpoint(self, partition: str) -> int:
        """Every actor that changed in a block up to this one has a snapshot that contains it."""
        ...

    async def snapshots(self, partition: str, refs: Collection[str]) -> Mapping[str, Snapshot]:
        """The snapshots there are of the actors named."""
        ...

    async def save(self, partition: str, snapshots: Sequence[Snapshot], checkpoint: int) -> None:
        """Keep snapshots and move the checkpoint, in one commit; neither ever goes back."""
        ...

    async def first_answer(self, partition: str, owner: str, key: str) -> FirstAnswer | None:
        """What is durable under a key of `owner` (an actor's address), however long ago."""
        ...
