"""Blocks: what one flush of one partition made durable, each chained to the one before.

A block's hash covers its partition, its sequence number, the hash before it, the time, the count
and the body. Whoever changes, drops or inserts a block breaks the chain at that place.
"""

from __future__ import annotations

import hashlib
import struct

import msgspec

GENESIS = bytes(32)
"""The hash before the first block of every partition."""


class Head(msgspec.Struct, frozen=True):
    """The end of a partition's chain: `seq` 0 and `GENESIS` when there is no block yet."""

    seq: int
    hash: bytes


EMPTY = Head(0, GENESIS)


class Block(msgspec.Struct, frozen=True):
    """`count` entries of one partition, encoded in `body`; `seq` starts at 1."""

    partition: str
    seq: int
    prev_hash: bytes
    hash: bytes
    recorded_at_ms: int
    count: int
    body: bytes

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


class BrokenChain(Exception):
    """A block that does not follow from the one before it."""


def hash_of(
    partition: str, seq: int, prev_hash: bytes, recorded_at_ms: int, count: int, body: bytes
) -> bytes:
    digest = hashlib.sha256(prev_hash)
    digest.update(struct.pack(">QQQ", seq, recorded_at_ms, count))
    digest.update(partition.encode())
    digest.update(b"\0")
    digest.update(body)
    return digest.digest()


def seal(partition: str, head: Head, recorded_at_ms: int, count: int, body: bytes) -> Block:
    """The block that follows `head`."""
    seq = head.seq + 1
    digest = hash_of(partition, seq, head.hash, recorded_at_ms, count, body)
    return Block(partition, seq, head.hash, digest, recorded_at_ms, count, body)


def check(head: Head, block: Block) -> Head:
    """Follow the chain by one block, or raise `BrokenChain` with the place."""
    place = f"{block.partition} block {block.seq}"
    if block.seq != head.seq + 1:
        raise BrokenChain(f"{place}: block {head.seq + 1} is missing")
    if block.prev_hash != head.hash:
        raise BrokenChain(f"{place} does not name the hash of the block before it")
    if block.hash != hash_of(
        block.partition, block.seq, block.prev_hash, block.recorded_at_ms, block.count, block.body
    ):
        raise BrokenChain(f"{place} is not what was written: its hash differs")
    return block.head
