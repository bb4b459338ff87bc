"""The chain: whatever is changed, dropped or put in breaks it, and at that place."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.blocks import EMPTY, GENESIS, Block, BrokenChain, Head, check, seal


def chain(*bodies: bytes, partition: str = "gb-00") -> list[Block]:
    blocks: list[Block] = []
    for body in bodies:
        head = blocks[-1].head if blocks else EMPTY
        blocks.append(seal(partition, head, 1_000 + len(blocks), 1, body))
    return blocks


def follow(blocks: list[Block]) -> Head:
    head = EMPTY
    for block in blocks:
        head = check(head, block)
    return head


def test_the_first_block_follows_nothing():
    block = seal("gb-00", EMPTY, 1_000, 3, b"body")
    assert (block.seq, block.prev_hash, block.count) == (1, GENESIS, 3)
    assert len(block.hash) == 32


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_a_chain_leads_to_its_last_block(bodies):
    blocks = chain(*bodies)
    assert follow(blocks) == (blocks[-1].head if blocks else EMPTY)


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"TWO"},
        {"recorded_at_ms": 1_002},
        {"count": 2},
        {"hash": bytes(32)},
        {"partition": "gb-01"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_block_is_found(change):
    blocks = chain(b"one", b"two", b"three")
    blocks[1] = msgspec.structs.replace(blocks[1], **change)
    with pytest.raises(BrokenChain, match="block 2 is not what was written"):
        follow(blocks)


def test_a_change_that_is_sealed_again_is_found_at_the_next_block():
    blocks = chain(b"one", b"two", b"three")
    blocks[1] = seal("gb-00", blocks[0].head, 1_001, 1, b"TWO")
    with pytest.raises(BrokenChain, match="block 3 does not name the hash"):
        follow(blocks)


def test_a_missing_block_is_found():
    blocks = chain(b"one", b"two", b"three")
    del blocks[1]
    with pytest.raises(BrokenChain, match="block 3: block 2 is missing"):
        follow(blocks)


def test_two_blocks_that_change_places_are_found():
    first, second, third = chain(b"one", b"two", b"three")
    with pytest.raises(BrokenChain, match="block 3: block 2 is missing"):
        follow([first, third, second])


def test_the_same_bytes_cut_elsewhere_are_another_block():
    # The partition's name and the body must not run into each other.
    left = seal("gb-0", EMPTY, 1, 1, b"1x")
    right = seal("gb-01", EMPTY, 1, 1, b"x")
    assert left.hash != right.hash
