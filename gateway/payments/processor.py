"""The port to whoever moves money between a player's bank and the house."""

from __future__ import annotations

from typing import Protocol

import msgspec

from actors.wallet import Direction
from ledger.money import Money


class Order(msgspec.Struct, frozen=True):
    """What a processor is asked to do, once for each `payment_id`, however often it is asked."""

    payment_id: str
    player_id: str
    direction: Direction
    amount: Money
    method: str
    requested_at_ms: int


class Approved(msgspec.Struct, frozen=True):
    """The money has moved. `reference` is the processor's own name for it."""

    reference: str


class Declined(msgspec.Struct, frozen=True):
    """No money has moved, and none will. `code` says why, in the processor's words."""

    code: str


class NoAnswer(Exception):
    """Whether the money moves is not known yet: the same order has to be given again."""


class Processor(Protocol):
    @property
    def name(self) -> str:
        """In every payment's record, so for ever; lower case, short."""
        ...

    @property
    def methods(self) -> tuple[str, ...]:
        """What a player can choose: cards, banks, wallets."""
        ...

    async def move(self, order: Order) -> Approved | Declined:
        """Take or pay the money. Asked again with the same payment id, the same answer.

        Raises `NoAnswer`; may take long, and be cancelled, which says nothing about the money.
        """
        ...
