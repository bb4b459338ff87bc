"""Idempotency keys: fingerprints of requests, and the set of keys an actor has seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.keys import KeySet, fingerprint, hash_of

hashes = st.integers(0, 2**64 - 1)


@given(st.lists(hashes), hashes)
def test_a_key_set_is_a_set(seen: list[int], other: int) -> None:
    keys = KeySet()
    for key_hash in seen:
        keys.add(key_hash)
    assert len(keys) == len(set(seen))
    assert all(key_hash in keys for key_hash in seen)
    assert (other in keys) == (other in seen)


@given(st.lists(hashes))
def test_a_key_set_comes_back_from_its_bytes(seen: list[int]) -> None:
    keys = KeySet()
    for key_hash in seen:
        keys.add(key_hash)
    again = KeySet(keys.packed())
    assert again.packed() == keys.packed()
    assert all(key_hash in again for key_hash in seen)
    assert len(keys.packed()) == 8 * len(set(seen))


def test_a_blank_key_set_has_seen_nothing() -> None:
    assert hash_of("") not in KeySet()
    assert len(KeySet()) == 0


def test_hashes_of_keys_are_stable_because_snapshots_hold_them() -> None:
    assert hash_of("key-1") == 0x40793637125647DF
    assert 0 <= hash_of("") < 2**64


def test_the_same_request_has_the_same_fingerprint() -> None:
    assert fingerprint("bet", {"stake": 5}) == fingerprint("bet", {"stake": 5})
    assert len(fingerprint("bet", None)) == 16


def test_fingerprints_are_stable_because_the_journal_holds_them() -> None:
    assert fingerprint("bet", [1, "a"]).hex() == "ed3155a9ee3d5c25120d31cd27f6f0dd"


def test_another_name_or_body_has_another_fingerprint() -> None:
    prints = {
        fingerprint(name, body)
        for name in ("bet", "deposit")
        for body in ({"stake": 5}, {"stake": 6}, {"stake": "5"}, None, [], "")
    }
    assert len(prints) == 12
