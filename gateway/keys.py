"""Ids that the gateway makes, and the keys of what it does on a client's behalf.

A client's key is visible ASCII without a space. The gateway's own have a space in them, so that no
client can use up one of them.
"""

from __future__ import annotations

import hashlib

from uuid_utils import uuid7


def new_id() -> str:
    """A UUIDv7: ids sort by the time they were made."""
    return str(uuid7())


def id_from(key: str) -> str:
    """The same id for the same key, for a thing whose place follows from its id."""
    return hashlib.blake2b(key.encode(), digest_size=10).hexdigest()


def following(key: str, step: str) -> str:
    """The key of a later step of what `key` began."""
    return f"{key} {step}"


def answer_of(payment_id: str) -> str:
    """The key under which the answer of a payment's processor is recorded, whoever asked it."""
    return f"payment {payment_id}"
