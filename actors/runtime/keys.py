"""Idempotency keys: what tells one request from another, and a small memory of keys seen."""

from __future__ import annotations

import functools
import hashlib
from array import array
from bisect import bisect_left
from typing import Any

import msgspec

_encoder = msgspec.msgpack.Encoder()
_EMPTY = array("Q")


def fingerprint(name: str, fields: Any) -> bytes:
    """16 bytes that stand for a request: its name and what the client sent, secrets left out."""
    return hashlib.blake2b(_encoder.encode((name, fields)), digest_size=16).digest()


@functools.lru_cache(maxsize=64)
def hash_of(key: str) -> int:
    """A key as 64 bits; asked for the same one when it is looked up and when it is kept."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


class KeySet:
    """The hashes of every key an actor has ever seen: 8 bytes each, in order.

    `key in seen` is never wrong when it says no. A yes is looked up in the journal: two keys may
    share a hash.
    """

    __slots__ = ("_hashes",)

    def __init__(self, packed: bytes = b"") -> None:
        # Most actors never have a key: they share one empty array.
        self._hashes = array("Q", packed) if packed else _EMPTY

    def __contains__(self, key_hash: int) -> bool:
        at = bisect_left(self._hashes, key_hash)
        return at < len(self._hashes) and self._hashes[at] == key_hash

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, key_hash: int) -> None:
        at = bisect_left(self._hashes, key_hash)
        if at == len(self._hashes) or self._hashes[at] != key_hash:
            if self._hashes is _EMPTY:
                self._hashes = array("Q")
            self._hashes.insert(at, key_hash)

    def packed(self) -> bytes:
        """The hashes as bytes of this machine's order (snapshots stay on one architecture)."""
        return self._hashes.tobytes()
