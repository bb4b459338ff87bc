"""Finding a first answer in the body of a block, without knowing what any event means.

The journal is below the actors and can't import them; all it needs of an entry's events is their
bytes. The shape is that of `actors.entries.Entry`, whose fields are only ever added to.
"""

from __future__ import annotations

import msgspec

from ledger.journal import FirstAnswer


class KeyedEntry(msgspec.Struct, frozen=True, array_like=True):
    """An entry with its events still encoded."""

    owner: str
    key: str
    fingerprint: bytes
    at_ms: int
    events: tuple[msgspec.Raw, ...]

    @property
    def first_answer(self) -> FirstAnswer:
        """The last event is what the caller was told."""
        return FirstAnswer(self.fingerprint, bytes(self.events[-1]))


_decoder = msgspec.msgpack.Decoder(list[KeyedEntry])


def keyed_entries(body: bytes) -> list[KeyedEntry]:
    """The entries of a block's body that have a key."""
    return [entry for entry in _decoder.decode(body) if entry.key]
