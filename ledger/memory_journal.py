"""The journal in memory: for tests and for simulation. It passes the contract of the real one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from ledger.answers import keyed_entries
from ledger.blocks import EMPTY, Block, Head
from ledger.journal import FirstAnswer, JournalUnavailable, Snapshot


class MemoryJournal:
    """Blocks and snapshots in dictionaries. Nothing awaits: each method is one step."""

    def __init__(self) -> None:
        self._chains: defaultdict[str, list[Block]] = defaultdict(list)
        self._snapshots: defaultdict[str, dict[str, Snapshot]] = defaultdict(dict)
        self._checkpoints: defaultdict[str, int] = defaultdict(int)
        self._answers: dict[tuple[str, str, str], FirstAnswer] = {}
        # How many blocks of a partition have been looked through for answers.
        self._indexed: defaultdict[str, int] = defaultdict(int)
        self._failure: str | None = None

    def fail_next_append(self, *, after_commit: bool) -> None:
        """Make the next append raise, with its blocks in the journal or not."""
        self._failure = "after the commit" if after_commit else "before the commit"

    async def head(self, partition: str) -> Head:
        chain = self._chains[partition]
        return chain[-1].head if chain else EMPTY

    async def append(self, blocks: Sequence[Block]) -> frozenset[str]:
        failure, self._failure = self._failure, None
        if failure == "before the commit":
            raise JournalUnavailable(f"append: told to fail {failure}")
        written = set()
        for block in blocks:
            chain = self._chains[block.partition]
            if block.seq == len(chain) + 1:
                chain.append(block)
                written.add(block.partition)
        if failure:
            raise JournalUnavailable(f"append: told to fail {failure}")
        return frozenset(written)

    async def blocks(self, partition: str, after_seq: int, limit: int) -> list[Block]:
        return self._chains[partition][after_seq : after_seq + limit]

    async def checkpoint(self, partition: str) -> int:
        return self._checkpoints[partition]

    async def snapshots(self, partition: str, refs: Collection[str]) -> Mapping[str, Snapshot]:
        kept = self._snapshots[partition]
        return {ref: kept[ref] for ref in refs if ref in kept}

    async def save(self, partition: str, snapshots: Sequence[Snapshot], checkpoint: int) -> None:
        kept = self._snapshots[partition]
        for snapshot in snapshots:
            if snapshot.ref not in kept or snapshot.seq > kept[snapshot.ref].seq:
                kept[snapshot.ref] = snapshot
        self._checkpoints[partition] = max(self._checkpoints[partition], checkpoint)

    async def first_answer(self, partition: str, owner: str, key: str) -> FirstAnswer | None:
        chain = self._chains[partition]
        for block in chain[self._indexed[partition] :]:
            for entry in keyed_entries(block.body):
                self._answers.setdefault((partition, entry.owner, entry.key), entry.first_answer)
        self._indexed[partition] = len(chain)
        return self._answers.get((partition, owner, key))
