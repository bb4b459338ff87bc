"""What the house allows a customer: factors on the limits that everybody else has.

A factor of 10,000 changes nothing. Below it the customer may stake less, and take only so
much of a selection's room; above it the customer may stake more, of the same room
(`actors.holds.HoldStake`). The customer's stakes above some amount may go to a trader, whatever the
factor; else who may have less than others is refused or offered less, and never referred. Staff
set it, with a reason, and the player never sees it: only the limits that follow.

The customer is a neighbour of the player, because the book names nobody.
"""

from __future__ import annotations

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.book import WHOLE
from actors.player import Player
from ledger.money import MAX_MINOR

MAX_FACTOR = 100_000
"""Ten times what others may have."""
MAX_KINDS = 50
MAX_KIND_LENGTH = 64


class Factors(msgspec.Struct, frozen=True):
    """In ten-thousandths; 0 takes no bets at all."""

    of_all: int = WHOLE
    by_kind: dict[str, int] = {}
    """In place of that, for markets of some kinds."""
    refer_above_minor: int = 0
    """Stakes above it go to a trader; at 0 only those that everybody's would."""


ORDINARY = Factors()


class Customer(Actor):
    player_id: str = ""
    factor: int = WHOLE
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    changed_at_ms: int = 0
    """0 while nobody has said anything about the customer."""
    refer_above_minor: int = 0
    version: int = 0
    """How often they were set."""


class CustomerView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    player_id: str
    factor: int
    kinds: dict[str, int]
    changed_at_ms: int
    refer_above_minor: int = 0
    version: int = 0


class GetCustomer(Question, frozen=True, array_like=True, tag=True):
    player_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("customer", self.player_id), ref("player", self.player_id))

    def answer(self, now_ms: int, customer: Customer, player: Player) -> CustomerView | Refused:
        if not player.player_id:
            return Refused(Reason.UNKNOWN_PLAYER)
        return CustomerView(
            self.player_id,
            customer.factor,
            customer.kinds,
            customer.changed_at_ms,
            customer.refer_above_minor,
            customer.version,
        )


class SetFactors(Command, frozen=True, array_like=True, tag=True):
    """All that is said of the customer, in place of what was said before: of `expected_version`,
    where it is given, or it is refused and told how things stand."""

    player_id: str
    factor: int
    kinds: dict[str, int]
    refer_above_minor: int = 0
    expected_version: int | None = None

    def cast(self) -> tuple[str, ...]:
        return (ref("customer", self.player_id), ref("player", self.player_id))

    def decide(self, now_ms: int, customer: Customer, player: Player) -> Event:
        if not player.player_id:
            return Refused(Reason.UNKNOWN_PLAYER)
        if self.expected_version is not None and self.expected_version != customer.version:
            facts: dict[str, int | str] = {
                "version": customer.version,
                "factor": customer.factor,
                "refer_above_minor": customer.refer_above_minor,
            }
            facts |= {f"kinds.{kind}": factor for kind, factor in customer.kinds.items()}
            return Refused(Reason.VERSION_CONFLICT, "the factors have changed since", facts)
        if not all(0 <= factor <= MAX_FACTOR for factor in (self.factor, *self.kinds.values())):
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_factor": MAX_FACTOR})
        if len(self.kinds) > MAX_KINDS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_kinds": MAX_KINDS})
        if not all(0 < len(kind) <= MAX_KIND_LENGTH for kind in self.kinds):
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_length": MAX_KIND_LENGTH})
        if not 0 <= self.refer_above_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        return FactorsSet(
            now_ms,
            self.player_id,
            self.factor,
            self.kinds,
            self.refer_above_minor,
            customer.version + 1,
        )


class FactorsSet(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    player_id: str
    factor: int
    kinds: dict[str, int]
    refer_above_minor: int = 0
    version: int = 0
    """How often they were set with it; 0 where nobody counted yet."""

    def cast(self) -> tuple[str, ...]:
        return (ref("customer", self.player_id),)

    def apply(self, customer: Customer) -> None:
        customer.player_id = self.player_id
        customer.factor = self.factor
        customer.kinds = self.kinds
        customer.changed_at_ms = self.at_ms
        customer.refer_above_minor = self.refer_above_minor
        customer.version = self.version
