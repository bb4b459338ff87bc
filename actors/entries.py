"""How what the actors decided is written down: entries, and the bytes they become.

One entry is one command's outcome: whose it was, its key, and its events. A block of the journal
holds the entries of one flush of one partition. The formats are for ever: an event stored once has
to be read by every later release.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors import (
    bet,
    bonus,
    cashout,
    declaring,
    fixture,
    hedging,
    market,
    multiple,
    outcomes,
    player,
    staff,
    stop,
    trading,
    wallet,
)
from actors.base import Actor, Event, Refused
from actors.risk import alerts, customer, referral

KINDS: dict[str, type[Actor]] = {
    "player": player.Player,
    "credential": player.Credential,
    "wallet": wallet.Wallet,
    "bet": bet.Bet,
    "fixture": fixture.Fixture,
    "market": market.Market,
    "referral": referral.Referral,
    "customer": customer.Customer,
    "alert": alerts.Raised,
    "staff": staff.Member,
    "stop": stop.Stop,
}
"""Every kind of actor there is, by how its address begins."""


class Opened(Event, frozen=True, array_like=True, tag=True):
    """Stands alone in the first block of a new owner: whoever wrote before is fenced off by it."""

    at_ms: int
    shard: str

    def cast(self) -> tuple[str, ...]:
        return ()

    def apply(self, *actors: Any) -> None:
        pass


AnyEvent = (
    Opened
    | Refused
    | player.EmailClaimed
    | player.LoggedIn
    | player.LoginFailed
    | player.PlayerRegistered
    | wallet.DepositRequested
    | wallet.DepositCompleted
    | wallet.DepositFailed
    | wallet.WithdrawalRequested
    | wallet.WithdrawalCompleted
    | wallet.WithdrawalFailed
    | bet.BetPlaced
    | bet.BetSettled
    | bet.SettlementReversed
    | bet.VersionNoted
    | bet.HoldResolved
    | multiple.SlipPlaced
    | multiple.LegSettled
    | cashout.CashedOut
    | bonus.BonusGiven
    | bonus.BonusUsed
    | bonus.BonusWithdrawn
    | fixture.FixtureCreated
    | fixture.PhaseChanged
    | fixture.EventLimitsChanged
    | fixture.ModelSet
    | trading.MarketOpened
    | trading.PricesChanged
    | trading.StatusChanged
    | declaring.SelectionWithdrawn
    | declaring.ResultDeclared
    | declaring.SettlementCompleted
    | trading.LimitsChanged
    | hedging.HedgeRecorded
    | outcomes.SelectionsDecided
    | outcomes.ResultRolledBack
    | outcomes.PlacedVoided
    | outcomes.VoidRolledBack
    | outcomes.SelectionAdded
    | referral.ReferralAsked
    | referral.ReferralAccepted
    | referral.ReferralRefused
    | referral.ReferralTaken
    | customer.FactorsSet
    | alerts.AlertRaised
    | hedging.HedgeOrdered
    | hedging.HedgeLapsed
    | staff.MemberAdded
    | staff.RoleChanged
    | staff.PasswordSet
    | staff.MemberDisabled
    | staff.MemberEnabled
    | staff.StaffLoggedIn
    | staff.StaffLoginFailed
    | stop.StopOrdered
    | stop.StopLifted
    | trading.PricesHeld
    | trading.PricesGivenBack
)
"""Every kind of event there is."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The outcome of one command.

    `owner` is the address of the first of the command's cast, within which `key` is unique; an
    empty key means that the command was safe to repeat by itself. `fingerprint` is of what the
    client asked, so that the same key with another request can be told apart. The last event is
    the answer.
    """

    owner: str
    key: str
    fingerprint: bytes
    at_ms: int
    events: tuple[AnyEvent, ...]
    by: str = ""
    """Who asked, where it was not the player: a member of staff, a feed, the settlement."""
    why: str = ""
    """The reason that a member of staff gave."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])


def encode_entries(entries: list[Entry]) -> bytes:
    """The body of a block."""
    return _encoder.encode(entries)


def decode_entries(body: bytes) -> list[Entry]:
    """The entries of a block's body."""
    return _decoder.decode(body)


def answer_of(entry: Entry) -> AnyEvent:
    """What the caller was told."""
    return entry.events[-1]
