"""One partition in memory: its actors, what they decided and is not durable yet, and its replay.

Deciding and applying are synchronous: between reading an actor and writing it nothing else runs.
The actors run ahead of the journal; whoever is answered waits for the block that the answer rests
on. Questions too: a read never shows what could still be lost. Where a flush fails, the whole
partition is dropped and opened again from the journal.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from actors.base import Command, Event, Refused
from actors.entries import (
    KINDS,
    AnyEvent,
    Entry,
    Opened,
    answer_of,
    decode_entries,
    encode_entries,
)
from actors.errors import Unavailable
from actors.runtime.clock import Clock
from actors.runtime.keys import KeySet, hash_of
from actors.runtime.wire import Item, Reply, Status
from ledger.blocks import Block, Head, check, seal
from ledger.journal import Journal, JournalUnavailable, Snapshot

MAX_WAITING = 2_000
"""Entries that may wait for one partition's flush; more are turned away."""
RECENT_ANSWERS = 2 * MAX_WAITING
"""First answers kept in memory, and as many that were looked up. As many as may wait and be under
way, so that none is forgotten before it is durable and can be looked up."""
REPLAY_PAGE = 256
"""Blocks read at a time when a partition is opened."""
OPEN_ATTEMPTS = 20
"""Times an opening is tried when another owner keeps writing."""

_encoder = msgspec.msgpack.Encoder()
_snapshot_decoders = {
    kind: msgspec.msgpack.Decoder(tuple[actor, bytes])  # type: ignore[valid-type]
    for kind, actor in KINDS.items()
}
_event_decoder = msgspec.msgpack.Decoder(AnyEvent)


class Seat:
    """An actor in memory, and the keys it has seen."""

    __slots__ = ("actor", "keys")

    def __init__(self, actor: Any, keys: KeySet) -> None:
        self.actor = actor  # any of `KINDS`: which one, its address says
        self.keys = keys

    @classmethod
    def blank(cls, ref: str) -> Seat:
        return cls(KINDS[ref.split("/", 1)[0]](), KeySet())

    @classmethod
    def restored(cls, snapshot: Snapshot) -> Seat:
        actor, keys = _snapshot_decoders[snapshot.ref.split("/", 1)[0]].decode(snapshot.body)
        return cls(actor, KeySet(keys))

    def snapshot(self, ref: str, seq: int) -> Snapshot:
        return Snapshot(ref, seq, _encoder.encode((self.actor, self.keys.packed())))


class Remembered(msgspec.Struct, frozen=True):
    """The first answer under a key."""

    fingerprint: bytes
    answer: AnyEvent


class Sealed(msgspec.Struct, frozen=True):
    """A block on its way to the journal, who waits for it, and what to tell the world after."""

    block: Block
    entries: list[Entry]
    done: asyncio.Future[int]
    snapshots: list[Snapshot]


class Partition:
    """`head` is durable; `entries` is the open block on top of it and of the one in flight."""

    def __init__(self, name: str, journal: Journal) -> None:
        self.name = name
        self.journal = journal
        self.opened_at_ms = 0
        self.head = Head(0, b"")
        self.seats: OrderedDict[str, Seat] = OrderedDict()  # the least recently used first
        self.entries: list[Entry] = []
        self.dirty: set[str] = set()
        self.dirty_since_ms = 0
        self.saving: set[str] = set()
        self.loading: Counter[str] = Counter()
        self.failed: str | None = None
        self._opened_done: asyncio.Future[int] = _future()
        self._in_flight: Sealed | None = None
        self._recent: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        # Apart from those, which they must not push out before they are durable.
        self._looked_up: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._forgotten = 0
        self._absent: dict[tuple[str, str], int] = {}

    # Opening

    @classmethod
    async def open(cls, name: str, journal: Journal, shard: str, clock: Clock) -> Partition:
        """Fence off the former owner, then bring back what is not in a snapshot.

        Raises `JournalUnavailable` when the journal can't be reached or somebody else keeps
        opening the partition, and `BrokenChain` when its blocks were tampered with.
        """
        self = cls(name, journal)
        self.head = await self._fence(shard, clock.now_ms())
        # Only now: until the fence was there, the former owner may have granted holds.
        self.opened_at_ms = self.dirty_since_ms = clock.now_ms()
        # The former owner can append no more, but the last snapshots it took may be saved while
        # they are read here; they end at the checkpoint that they moved, so begin again from there.
        while not await self._replay_after(await journal.checkpoint(name)):
            pass
        for seat in self.seats.values():
            seat.actor.woke()
        return self

    async def _fence(self, shard: str, now_ms: int) -> Head:
        opened = Entry("partition", "", b"", now_ms, (Opened(now_ms, shard),))
        body = encode_entries([opened])
        for _ in range(OPEN_ATTEMPTS):
            head = await self.journal.head(self.name)
            block = seal(self.name, head, now_ms, 1, body)
            if self.name in await self.journal.append([block]):
                return block.head
        raise JournalUnavailable(f"{self.name}: another owner keeps writing")

    async def _replay_after(self, checkpoint: int) -> bool:
        """Whether the checkpoint stayed where it was while snapshots were read."""
        self.seats.clear()
        self.dirty.clear()
        self._recent.clear()
        self._looked_up.clear()
        position = checkpoint
        previous: Head | None = None
        while position < self.head.seq:
            blocks = await self.journal.blocks(self.name, position, REPLAY_PAGE)
            if not blocks:
                raise JournalUnavailable(f"{self.name}: block {position + 1} can't be read")
            entries = self._entries_of(blocks, previous)
            await self._load({ref for entry in entries for ref in _touched(entry)})
            if await self.journal.checkpoint(self.name) != checkpoint:
                return False
            for entry in entries:
                self._apply(entry)
            previous = blocks[-1].head
            position = previous.seq
        return True

    def _entries_of(self, blocks: list[Block], previous: Head | None) -> list[Entry]:
        decoded: list[Entry] = []
        for block in blocks:
            previous = check(previous or Head(block.seq - 1, block.prev_hash), block)
            decoded += decode_entries(block.body)
        return decoded

    # Bringing actors into memory

    def missing(self, item: Item) -> bool:
        """Whether `bring` has something to do before the item can be decided."""
        cast = item.message.cast()
        return any(ref not in self.seats for ref in cast) or self._unsure(item, cast[0])

    async def bring(self, items: Iterable[Item]) -> None:
        """Load whatever of the items' casts is not in memory, and look up keys seen before."""
        items = list(items)
        await self._load({ref for item in items for ref in item.message.cast()})
        for item in items:
            owner = item.message.cast()[0]
            if self._unsure(item, owner):
                forgotten = self._forgotten
                first = await self.journal.first_answer(self.name, owner, item.key)
                if first is None:
                    self._absent[owner, item.key] = forgotten
                else:
                    answer = _event_decoder.decode(first.answer)
                    self._looked_up[owner, item.key] = Remembered(first.fingerprint, answer)
                    if len(self._looked_up) > RECENT_ANSWERS:
                        self._looked_up.popitem(last=False)

    def _unsure(self, item: Item, owner: str) -> bool:
        """The key's hash was seen before, but what was answered is not in memory."""
        if not item.key or self._first(owner, item.key):
            return False
        seat = self.seats.get(owner)
        if seat is None or hash_of(item.key) not in seat.keys:
            return False
        # An absence looked up counts only while nothing has been forgotten since.
        return self._absent.get((owner, item.key)) != self._forgotten

    async def _load(self, refs: set[str]) -> None:
        refs = {ref for ref in refs if ref not in self.seats}
        if not refs:
            return
        # Somebody else may bring the same actor while we wait, and change it; it must then not
        # leave memory before we are back, or we would put an old snapshot in its place.
        self.loading.update(refs)
        try:
            snapshots = await self.journal.snapshots(self.name, refs)
            for ref in refs:
                if ref not in self.seats:
                    snapshot = snapshots.get(ref)
                    self.seats[ref] = Seat.restored(snapshot) if snapshot else Seat.blank(ref)
        finally:
            self.loading.subtract(refs)
            self.loading += Counter()  # forgets the zeros

    # Deciding

    def decide(self, item: Item, now_ms: int) -> Reply:
        """Answer one item; its cast is on stage. The reply may leave once `durable` says so."""
        message = item.message
        seats = [self.seats[ref] for ref in message.cast()]
        for ref in message.cast():
            self.seats.move_to_end(ref)
        if not isinstance(message, Command):
            answer = message.answer(now_ms, *[seat.actor for seat in seats])
            return Reply(Status.ANSWERED, 0, answer)
        owner = message.cast()[0]
        if item.key:
            first = self._first(owner, item.key)
            if first is not None:
                if first.fingerprint != item.fingerprint:
                    return Reply(Status.KEY_REUSED)
                return Reply(Status.ANSWERED, 0, first.answer)
        if len(self.entries) >= MAX_WAITING:
            return Reply(Status.OVERLOADED)
        decision = message.decide(now_ms, *[seat.actor for seat in seats])
        events: tuple[Any, ...] = decision if isinstance(decision, tuple) else (decision,)
        if not item.key and isinstance(events[0], Refused):
            return Reply(Status.ANSWERED, 0, events[0])  # nothing to keep: it is safe to repeat
        entry = Entry(owner, item.key, item.fingerprint, now_ms, events, item.by)
        self._apply(entry)
        self.entries.append(entry)
        return Reply(Status.ANSWERED, 0, answer_of(entry))

    def _apply(self, entry: Entry) -> None:
        for event in entry.events:
            cast = event.cast()
            event.apply(*[self._seat_for(ref, event).actor for ref in cast])
            self.dirty.update(cast)
        if entry.key:
            self.seats[entry.owner].keys.add(hash_of(entry.key))
            self.dirty.add(entry.owner)
            self._remember(entry.owner, entry.key, Remembered(entry.fingerprint, answer_of(entry)))

    def _seat_for(self, ref: str, event: Event) -> Seat:
        seat = self.seats.get(ref)
        if seat is None:
            if not event.births:
                raise LookupError(f"{ref} is not on stage for {type(event).__name__}")
            seat = self.seats[ref] = Seat.blank(ref)
        return seat

    def _first(self, owner: str, key: str) -> Remembered | None:
        return self._recent.get((owner, key)) or self._looked_up.get((owner, key))

    def _remember(self, owner: str, key: str, first: Remembered) -> None:
        self._absent.pop((owner, key), None)
        self._recent[owner, key] = first
        if len(self._recent) > RECENT_ANSWERS:
            self._recent.popitem(last=False)
            self._forgotten += 1
            self._absent.clear()

    # Becoming durable

    def durable(self) -> asyncio.Future[int] | None:
        """What an answer given now has to wait for; None when all it rests on is durable.

        The result is the `seq` of the block; `Unavailable` is raised when it was not committed.
        """
        if self.entries:
            return self._opened_done
        return self._in_flight.done if self._in_flight else None

    @property
    def wants_flush(self) -> bool:
        return bool(self.entries) and self._in_flight is None

    def seal(self, now_ms: int, snapshot: bool) -> Sealed:
        """Close the open block. With `snapshot`, take down every actor that has changed.

        Just after sealing, memory is exactly what the journal holds with this block in: the
        only moment at which a snapshot is of one position for all.
        """
        block = seal(self.name, self.head, now_ms, len(self.entries), encode_entries(self.entries))
        snapshots: list[Snapshot] = []
        if snapshot:
            snapshots = [self.seats[ref].snapshot(ref, block.seq) for ref in sorted(self.dirty)]
            self.saving = self.dirty
            self.dirty = set()
            self.dirty_since_ms = now_ms
        self._in_flight = Sealed(block, self.entries, self._opened_done, snapshots)
        self.entries = []
        self._opened_done = _future()
        return self._in_flight

    def committed(self, sealed: Sealed) -> None:
        """The block is in the journal: let the answers go."""
        self.head = sealed.block.head
        self._in_flight = None
        sealed.done.set_result(sealed.block.seq)

    def fail(self, why: str) -> None:
        """Drop everything. Whoever waits is told that the outcome is not known."""
        if self.failed is not None:
            return
        self.failed = why
        for done in (self._opened_done, self._in_flight.done if self._in_flight else None):
            if done is not None and not done.done():
                done.set_exception(Unavailable(why))
                done.exception()  # waited for or not: it is not an unhandled error
        self.seats.clear()

    # Leaving memory

    async def save(self, sealed: Sealed) -> None:
        """Write the snapshots taken with a block; what can't be written is dirty again."""
        try:
            await self.journal.save(self.name, sealed.snapshots, sealed.block.seq)
        except BaseException as failure:
            # Whatever it was: the next checkpoint must not pass over these.
            self.dirty |= self.saving
            if not isinstance(failure, JournalUnavailable):
                raise
        finally:
            self.saving = set()

    def passivate(self, keep: int) -> int:
        """Let the least recently used go until `keep` are left; how many went.

        Only those may go that are the same in their snapshot, and that may rest.
        """
        surplus = len(self.seats) - keep
        if surplus <= 0:
            return 0
        gone = 0
        for ref in list(self.seats):
            if gone == surplus:
                break
            busy = ref in self.dirty or ref in self.saving or ref in self.loading
            if not busy and self.seats[ref].actor.may_rest():
                del self.seats[ref]
                gone += 1
        return gone

    def actors(self, kind: str) -> Iterator[Any]:
        """Those of one kind that are in memory."""
        prefix = kind + "/"
        return (seat.actor for ref, seat in self.seats.items() if ref.startswith(prefix))


def _touched(entry: Entry) -> Iterator[str]:
    for event in entry.events:
        yield from event.cast()
    if entry.key:
        yield entry.owner


def _future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()
