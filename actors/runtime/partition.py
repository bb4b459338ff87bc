"""One partition in memory: its actors, what they decided and is not durable yet, and its replay.

Deciding and applying are synchronous: between reading an actor and writing it nothing else runs.
The actors run ahead of the journal; whoever is answered waits for the block that the answer rests
on. Questions too: a read never shows what could still be lost. Where a flush fails, the whole
partition is dropped and opened again from the journal.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from actors.base import Command, Event, Refused, Several
from actors.entries import (
    KINDS,
    AnyEvent,
    Entry,
    Opened,
    answer_of,
    decode_entries,
    encode_entries,
)
from actors.runtime.clock import Clock
from actors.runtime.keys import KeySet, hash_of
from actors.runtime.wire import Item, Reply, Status, decode_event
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
OVERTAKEN = "another owner has opened the partition"

_encoder = msgspec.msgpack.Encoder()
_snapshot_decoders = {
    kind: msgspec.msgpack.Decoder(tuple[actor, bytes])  # type: ignore[valid-type]
    for kind, actor in KINDS.items()
}


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
    """The first answer under a key, and the block that it is in."""

    fingerprint: bytes
    answer: AnyEvent
    seq: int
    """Of one that was looked up: the end of the chain then, since its own is not known."""


class Sealed(msgspec.Struct, frozen=True):
    """A block on its way to the journal, what is in it, and the snapshots taken with it."""

    block: Block
    entries: list[Entry]
    snapshots: list[Snapshot]


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """A partition at rest, for its next owner: what is in memory and in no snapshot."""

    head: Head
    """Everything in memory is durable in this block."""
    opened_at_ms: int
    dirty_since_ms: int
    dirty: list[str]
    """Actors that have changed since their snapshots."""
    seats: list[Snapshot]
    """Those, and the ones with something that no snapshot has."""
    unsaved: dict[str, bytes]
    """That something, by the actor's address."""


_packed_decoder = msgspec.msgpack.Decoder(Packed)


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
        self.asked = 0
        """Messages decided here, for those who watch the load."""
        self._in_flight: Sealed | None = None
        self._recent: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        # Apart from those, which they must not push out before they are durable.
        self._looked_up: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._forgotten = 0
        self._absent: dict[tuple[str, str], int] = {}

    # Opening

    @classmethod
    async def open(
        cls, name: str, journal: Journal, shard: str, clock: Clock, packed: bytes = b""
    ) -> Partition:
        """Fence off the former owner, then bring back what is not in a snapshot.

        With what the former owner has packed there is nothing to replay, and books need not be
        read from the ledger; unless somebody has written since.

        Raises `JournalUnavailable` when the journal can't be reached or somebody else keeps
        opening the partition, and `BrokenChain` when its blocks were tampered with.
        """
        self = cls(name, journal)
        before, self.head = await self._fence(shard, clock.now_ms())
        if packed and self._unpack(packed, before):
            return self
        # Only now: until the fence was there, the former owner may have granted holds.
        self.opened_at_ms = self.dirty_since_ms = clock.now_ms()
        # The former owner can append no more, but the last snapshots it took may be saved while
        # they are read here; they end at the checkpoint that they moved, so begin again from there.
        while not await self._replay_after(await journal.checkpoint(name)):
            pass
        for seat in self.seats.values():
            seat.actor.woke()
        return self

    async def _fence(self, shard: str, now_ms: int) -> tuple[Head, Head]:
        """The end of the chain before and after our block."""
        opened = Entry("partition", "", b"", now_ms, (Opened(now_ms, shard),))
        body = encode_entries([opened])
        for _ in range(OPEN_ATTEMPTS):
            head = await self.journal.head(self.name)
            block = seal(self.name, head, now_ms, 1, body)
            if self.name in await self.journal.append([block]):
                return head, block.head
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
            await self._load({ref for _, entry in entries for ref in _touched(entry)})
            if await self.journal.checkpoint(self.name) != checkpoint:
                return False
            for seq, entry in entries:
                self._apply(entry, seq)
            previous = blocks[-1].head
            position = previous.seq
        return True

    def _entries_of(self, blocks: list[Block], previous: Head | None) -> list[tuple[int, Entry]]:
        """Each with the block that it is in."""
        decoded: list[tuple[int, Entry]] = []
        for block in blocks:
            previous = check(previous or Head(block.seq - 1, block.prev_hash), block)
            decoded += [(block.seq, entry) for entry in decode_entries(block.body)]
        return decoded

    # Bringing actors into memory

    def missing(self, item: Item) -> bool:
        """Whether `bring` has something to do before the item can be decided."""
        return self._stage(item, item.message.cast()) is None

    async def bring(self, items: Iterable[Item]) -> None:
        """Load whatever of the items' casts is not in memory, and look up keys seen before.

        A snapshot from beyond the end of the chain is another owner's: the partition has failed
        then. It would know keys of answers that it can't place, and say too early a block of them.
        """
        items = list(items)
        newest = await self._load({ref for item in items for ref in item.message.cast()})
        if newest > self.tip:
            self.fail(OVERTAKEN)
            return
        for item in items:
            owner = item.message.cast()[0]
            if item.key and self._unsure(owner, item.key):
                forgotten = self._forgotten
                first = await self.journal.first_answer(self.name, owner, item.key)
                if first is None:
                    self._absent[owner, item.key] = forgotten
                else:
                    answer = decode_event(first.answer)
                    self._looked_up[owner, item.key] = Remembered(
                        first.fingerprint, answer, self.head.seq
                    )
                    if len(self._looked_up) > RECENT_ANSWERS:
                        self._looked_up.popitem(last=False)

    def _unsure(self, owner: str, key: str) -> bool:
        """The key's hash was seen before, but what was answered is not in memory."""
        seat = self.seats.get(owner)
        if seat is None or hash_of(key) not in seat.keys or self._first(owner, key):
            return False
        # An absence looked up counts only while nothing has been forgotten since.
        return self._absent.get((owner, key)) != self._forgotten

    async def _load(self, refs: set[str]) -> int:
        """The block of the newest snapshot that was read; 0 for none."""
        refs = {ref for ref in refs if ref not in self.seats}
        if not refs:
            return 0
        # Somebody else may bring the same actor while we wait, and change it; it must then not
        # leave memory before we are back, or we would put an old snapshot in its place.
        self.loading.update(refs)
        try:
            snapshots = await self.journal.snapshots(self.name, refs)
            for ref in sorted(refs):  # who is to leave memory first must not be left to hashing
                if ref not in self.seats:
                    snapshot = snapshots.get(ref)
                    self.seats[ref] = Seat.restored(snapshot) if snapshot else Seat.blank(ref)
        finally:
            self.loading.subtract(refs)
            self.loading += Counter()  # forgets the zeros
        return max((snapshot.seq for snapshot in snapshots.values()), default=0)

    # Deciding

    def decide(self, item: Item, now_ms: int) -> Reply | None:
        """Answer one item, or None if `bring` has to come first.

        The reply says in its `block_seq` what it rests on: it may leave once `head` is there.
        """
        message = item.message
        cast = message.cast()
        seats = self._stage(item, cast)
        if seats is None:
            return None
        self.asked += 1
        for ref in cast:
            self.seats.move_to_end(ref)
        if isinstance(message, Several):
            return self._decide_each(message, item, now_ms)
        if not isinstance(message, Command):
            answer = message.answer(now_ms, *[seat.actor for seat in seats])
            return Reply(Status.ANSWERED, self.tip, answer)
        owner = cast[0]
        if item.key:
            first = self._first(owner, item.key)
            if first is not None:
                if first.fingerprint != item.fingerprint:
                    return Reply(Status.KEY_REUSED)
                # Its own block: a market counts a bet by where it is, however often it is told.
                return Reply(Status.ANSWERED, first.seq, first.answer)
        if len(self.entries) >= MAX_WAITING:
            return Reply(Status.OVERLOADED)
        decision = message.decide(now_ms, *[seat.actor for seat in seats])
        events: tuple[Any, ...] = decision if isinstance(decision, tuple) else (decision,)
        if not item.key and isinstance(events[0], Refused):
            return Reply(Status.ANSWERED, self.tip, events[0])  # safe to repeat: nothing to keep
        entry = Entry(owner, item.key, item.fingerprint, now_ms, events, item.by, item.why)
        self.entries.append(entry)
        self._apply(entry, self.tip)
        return Reply(Status.ANSWERED, self.tip, events[-1])

    def _decide_each(self, several: Several, item: Item, now_ms: int) -> Reply:
        """Decide commands that travel together, one after the other."""
        if len(self.entries) >= MAX_WAITING:
            return Reply(Status.OVERLOADED)
        answers = []
        for command in several.each():
            cast = command.cast()
            decision = command.decide(now_ms, *[self.seats[ref].actor for ref in cast])
            events: tuple[Any, ...] = decision if isinstance(decision, tuple) else (decision,)
            answers.append(events[-1])
            if not isinstance(events[0], Refused):
                entry = Entry(cast[0], "", b"", now_ms, events, item.by, item.why)
                self.entries.append(entry)
                self._apply(entry, self.tip)
        return Reply(Status.ANSWERED, self.tip, several.sum_up(answers))

    def _stage(self, item: Item, cast: tuple[str, ...]) -> list[Seat] | None:
        """The cast in memory, with the item's key looked up; None if something is missing."""
        try:
            seats = [self.seats[ref] for ref in cast]
        except KeyError:
            return None
        return None if item.key and self._unsure(cast[0], item.key) else seats

    def _apply(self, entry: Entry, seq: int) -> None:
        there = self.seats.get
        for event in entry.events:
            cast = event.cast()
            event.apply(*[(there(ref) or self._seat_for(ref, event)).actor for ref in cast])
            self.dirty.update(cast)
        if entry.key:
            self.seats[entry.owner].keys.add(hash_of(entry.key))
            self.dirty.add(entry.owner)
            first = Remembered(entry.fingerprint, answer_of(entry), seq)
            self._remember(entry.owner, entry.key, first)

    def _seat_for(self, ref: str, event: Event) -> Seat:
        """A new one, for whom the event brings into being."""
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

    @property
    def tip(self) -> int:
        """The block that an answer given now rests on: it is durable once `head` is there."""
        return self.head.seq + (self._in_flight is not None) + bool(self.entries)

    @property
    def at_rest(self) -> bool:
        """Whether everything in memory is durable."""
        return not self.entries and self._in_flight is None

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
        self._in_flight = Sealed(block, self.entries, snapshots)
        self.entries = []
        return self._in_flight

    def committed(self, sealed: Sealed) -> None:
        """The block is in the journal: the answers that rest on it may go."""
        self.head = sealed.block.head
        self._in_flight = None

    def fail(self, why: str) -> None:
        """Drop everything. What rests on more than `head` is lost, or not known."""
        if self.failed is None:
            self.failed = why
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

    # Moving to another shard

    def pack(self) -> bytes:
        """Take down what is in memory only. It is at rest, and no snapshot is being saved."""
        assert self.at_rest
        assert not self.saving
        unsaved = {ref: seat.actor.unsaved() for ref, seat in self.seats.items()}
        unsaved = {ref: body for ref, body in unsaved.items() if body}
        seq = self.head.seq
        seats = [self.seats[ref].snapshot(ref, seq) for ref in sorted(self.dirty | set(unsaved))]
        return _encoder.encode(
            Packed(
                self.head,
                self.opened_at_ms,
                self.dirty_since_ms,
                sorted(self.dirty),
                seats,
                unsaved,
            )
        )

    def _unpack(self, body: bytes, before: Head) -> bool:
        """Whether it was packed at the block `before` our own: then everything is there."""
        packed = _packed_decoder.decode(body)
        if packed.head != before:
            return False
        for snapshot in packed.seats:
            seat = self.seats[snapshot.ref] = Seat.restored(snapshot)
            unsaved = packed.unsaved.get(snapshot.ref)
            if unsaved:
                seat.actor.regain(unsaved)
            else:
                seat.actor.woke()
        self.dirty = set(packed.dirty)
        self.dirty_since_ms = packed.dirty_since_ms
        # The holds that are waited for are those from before the former owner opened it.
        self.opened_at_ms = packed.opened_at_ms
        return True

    def actors(self, kind: str) -> Iterator[Any]:
        """Those of one kind that are in memory."""
        prefix = kind + "/"
        return (seat.actor for ref, seat in self.seats.items() if ref.startswith(prefix))


def _touched(entry: Entry) -> Iterator[str]:
    for event in entry.events:
        yield from event.cast()
    if entry.key:
        yield entry.owner
