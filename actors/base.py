"""The words every actor is written in: command, question, event, refusal.

A *command* asks for a change: the partition brings its cast (the actors it names) on stage and
calls `decide`, which answers with events or with a refusal and changes nothing. An *event* is what
has happened: it is made durable, and `apply` folds it into the actors of its own cast. A *question*
changes nothing durable and is answered at once.

`decide`, `answer` and `apply` are synchronous, and time comes to them as an argument, in whole
milliseconds since the Unix epoch. Actors never call actors; those of one partition are on stage
together, so that a decision about two of them is one step.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import msgspec

from ledger.accounts import Transfer


def ref(kind: str, actor_id: str) -> str:
    """The address of an actor inside its partition, such as `wallet/<player id>`."""
    return f"{kind}/{actor_id}"


class Reason(enum.StrEnum):
    """Why a command was refused. The codes are stable: clients and reports depend on them."""

    # any command
    OUT_OF_BOUNDS = "out_of_bounds"
    # registering and logging in
    EMAIL_TAKEN = "email_taken"
    UNDER_AGE = "under_age"
    ALREADY_REGISTERED = "already_registered"
    BAD_CREDENTIALS = "bad_credentials"
    # wallet
    UNKNOWN_PLAYER = "unknown_player"
    CURRENCY_MISMATCH = "currency_mismatch"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_LIMIT = "balance_limit"
    DEBT_OUTSTANDING = "debt_outstanding"
    PAYMENT_NOT_PENDING = "payment_not_pending"
    PAYMENT_DECLINED = "payment_declined"
    TOO_MANY_PAYMENTS = "too_many_payments"
    # bonuses
    UNKNOWN_BONUS = "unknown_bonus"
    BONUS_EXPIRED = "bonus_expired"
    TOO_MANY_BONUSES = "too_many_bonuses"
    # placing
    UNKNOWN_FIXTURE = "unknown_fixture"
    UNKNOWN_MARKET = "unknown_market"
    UNKNOWN_SELECTION = "unknown_selection"
    MARKET_CLOSED = "market_closed"
    MARKET_SUSPENDED = "market_suspended"
    SELECTION_UNAVAILABLE = "selection_unavailable"
    PRICE_CHANGED = "price_changed"
    STAKE_TOO_SMALL = "stake_too_small"
    STAKE_ABOVE_LIMIT = "stake_above_limit"
    LIABILITY_UNKNOWN = "liability_unknown"
    LIABILITY_LIMIT = "liability_limit"
    HOLD_EXPIRED = "hold_expired"
    PRICE_STALE = "price_stale"
    REOFFER_EXPIRED = "reoffer_expired"
    REFERRAL_NEEDED = "referral_needed"
    # referrals
    UNKNOWN_REFERRAL = "unknown_referral"
    REFERRAL_OVER = "referral_over"
    # slips of several legs
    TOO_MANY_LEGS = "too_many_legs"
    WRONG_LEG_COUNT = "wrong_leg_count"
    DUPLICATE_LEG = "duplicate_leg"
    CORRELATED_LEGS = "correlated_legs"
    EACH_WAY_UNAVAILABLE = "each_way_unavailable"
    STARTING_PRICE_UNAVAILABLE = "starting_price_unavailable"
    BOOST_UNAVAILABLE = "boost_unavailable"
    UNEVEN_STAKE = "uneven_stake"
    # cashing out
    NOTHING_OPEN = "nothing_open"
    CASH_OUT_SUSPENDED = "cash_out_suspended"
    CASH_OUT_TOO_SMALL = "cash_out_too_small"
    OFFER_EXPIRED = "offer_expired"
    OFFER_OUTDATED = "offer_outdated"
    # bets and settlement
    UNKNOWN_BET = "unknown_bet"
    NOT_A_LEG = "not_a_leg"
    SUPERSEDED = "superseded"
    # the book
    ALREADY_EXISTS = "already_exists"
    WRONG_STATUS = "wrong_status"
    STALE_SEQUENCE = "stale_sequence"
    VERSION_CONFLICT = "version_conflict"
    INCOMPLETE_RESULT = "incomplete_result"
    # staff and the desk
    UNKNOWN_MEMBER = "unknown_member"
    MEMBER_DISABLED = "member_disabled"
    UNKNOWN_STOP = "unknown_stop"


class Actor(msgspec.Struct):
    """The state of one actor. A blank one is an actor to which nothing has happened yet."""

    def may_rest(self) -> bool:
        """Whether the actor may leave memory (it always comes back from its snapshot)."""
        return True

    def woke(self) -> None:
        """Called when the actor came back from the journal: what is not durable is forgotten."""

    def unsaved(self) -> bytes:
        """What is in no snapshot, and goes along when the partition moves to another shard."""
        return b""

    def regain(self, unsaved: bytes) -> None:
        """The same again, on the other shard; called in place of `woke`."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Whatever is addressed to actors or comes from them. On the wire an array led by its tag."""

    def cast(self) -> tuple[str, ...]:
        """Addresses of the actors concerned, in the order the methods below take them."""
        raise NotImplementedError


class Event(Message, frozen=True, array_like=True, tag=True):
    """What has happened. Once stored, fields are only ever added, at the end, with a default."""

    births: ClassVar[bool] = False
    """The event brings its last cast member into being: there is nothing of it to load."""

    def apply(self, *actors: Any) -> None:
        """Fold the event into its cast. It must not fail: the decision has been made."""
        raise NotImplementedError

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        """The money the event moves; house accounts are those of `partition`."""
        return ()


class Refused(Event, frozen=True, array_like=True, tag=True):
    """An expected no. A refusal of a command with a key is kept as that key's first answer."""

    reason: Reason
    message: str = ""
    facts: dict[str, int | str] = {}
    """What the caller needs for the next attempt, such as the current `odds`."""

    def cast(self) -> tuple[str, ...]:
        return ()

    def apply(self, *actors: Any) -> None:
        pass


class Command(Message, frozen=True, array_like=True, tag=True):
    """Asks for a change."""

    def decide(self, now_ms: int, *actors: Any) -> Event | tuple[Event, ...]:
        """What happens, or why not. Reads the actors and changes nothing."""
        raise NotImplementedError


class Question(Message, frozen=True, array_like=True, tag=True):
    """Asks for an answer; may change only what an actor keeps in memory (a market's holds)."""

    def answer(self, now_ms: int, *actors: Any) -> Any:
        raise NotImplementedError


class Several(Message, frozen=True, array_like=True, tag=True):
    """Commands for actors of one partition that travel as one message.

    Each is decided by itself, in order, after the one before it was applied, and is an entry of its
    own. They have no keys: only commands that are safe to repeat by themselves travel like this.
    """

    def each(self) -> Iterable[Command]:
        raise NotImplementedError

    def sum_up(self, answers: Sequence[Event]) -> Any:
        """One answer to all of them."""
        raise NotImplementedError
