"""What travels between router and shard: a batch of items there, a list of replies back."""

from __future__ import annotations

import enum

import msgspec

from actors import (
    bet,
    bonus,
    cashout,
    declaring,
    fixture,
    hedging,
    holds,
    market,
    multiple,
    outcomes,
    player,
    previewed,
    staff,
    stop,
    trading,
    wallet,
)
from actors.entries import AnyEvent
from actors.risk import alerts, customer, referral

AnyCommand = (
    player.ClaimEmail
    | player.RecordLogin
    | player.RegisterPlayer
    | wallet.RequestDeposit
    | wallet.CompleteDeposit
    | wallet.FailDeposit
    | wallet.RequestWithdrawal
    | wallet.CompleteWithdrawal
    | wallet.FailWithdrawal
    | wallet.DeclinePayment
    | bet.PlaceBet
    | bet.SettleBet
    | bet.ResolveHold
    | multiple.PlaceSlip
    | multiple.SettleLeg
    | cashout.CashOut
    | bonus.GiveBonus
    | bonus.WithdrawBonus
    | fixture.CreateFixture
    | fixture.ChangePhase
    | fixture.ChangeEventLimits
    | fixture.SetModel
    | trading.OpenMarket
    | trading.ChangePrices
    | trading.HoldPrices
    | trading.GiveBackPrices
    | trading.ChangeStatus
    | declaring.WithdrawSelection
    | declaring.DeclareResult
    | declaring.CompleteSettlement
    | trading.ChangeLimits
    | trading.MovePrices
    | trading.Suspend
    | trading.Resume
    | hedging.OrderHedge
    | hedging.LapseHedge
    | hedging.RecordHedge
    | outcomes.SettleSelections
    | outcomes.RollBackResult
    | outcomes.VoidPlaced
    | outcomes.RollBackVoid
    | outcomes.AddSelection
    | referral.Refer
    | referral.AcceptReferral
    | referral.RefuseReferral
    | referral.TakeReferral
    | customer.SetFactors
    | alerts.RaiseAlert
    | previewed.DeclarePreviewed
    | staff.AddMember
    | staff.ChangeRole
    | staff.SetPassword
    | staff.DisableMember
    | staff.EnableMember
    | staff.RecordStaffLogin
    | stop.OrderStop
    | stop.LiftStop
)

AnyQuestion = (
    player.GetCredential
    | player.GetPlayer
    | wallet.GetWallet
    | wallet.GetPayment
    | bet.GetBet
    | fixture.GetFixture
    | holds.HoldStake
    | holds.HoldWatched
    | holds.HoldLeg
    | holds.AskRoom
    | holds.KeepOffer
    | holds.LookAgain
    | holds.ReleaseHold
    | holds.ConfirmHold
    | holds.ReadAgain
    | holds.CountHolds
    | market.GetMarket
    | market.GetPrice
    | market.GetExposure
    | referral.GetReferral
    | customer.GetCustomer
    | staff.GetMember
    | stop.GetStop
)

AnyView = (
    player.CredentialView
    | player.PlayerView
    | wallet.WalletView
    | wallet.PaymentView
    | bet.BetView
    | bet.SettledBets
    | fixture.FixtureView
    | holds.Held
    | holds.Done
    | holds.OpenHolds
    | holds.LegRoom
    | holds.OfferKept
    | market.MarketView
    | market.PriceView
    | market.Exposure
    | trading.SwitchedMarkets
    | referral.ReferralView
    | customer.CustomerView
    | staff.MemberView
    | stop.StopView
)

AnyMessage = (
    AnyCommand | AnyQuestion | bet.SettleBets | multiple.SettleSlips | trading.SwitchMarkets
)
AnyReply = AnyEvent | AnyView


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One message and whom it concerns. Questions have neither key nor fingerprint."""

    partition: str
    message: AnyMessage
    key: str = ""
    fingerprint: bytes = b""
    by: str = ""
    why: str = ""


class Status(enum.IntEnum):
    ANSWERED = 0
    NOT_HERE = 1  # another shard has the partition; nothing was done
    OPENING = 2  # the partition is being opened; nothing was done
    OVERLOADED = 3  # too much waits for the partition; nothing was done
    KEY_REUSED = 4  # the key was used for another request; nothing was done
    FAULTY = 5  # the decision raised; nothing was done
    UNKNOWN = 6  # the journal failed: it may or may not have been done


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """`block_seq`: everything the answer rests on is durable up to this block."""

    status: Status
    block_seq: int = 0
    answer: AnyReply | None = None


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """What has become durable, for those who watch: the payload of a published message."""

    at_ms: int
    partition: str
    block_seq: int
    events: tuple[AnyEvent, ...]


class News(msgspec.Struct, frozen=True, array_like=True):
    """What has become durable in one block of players: each event with whose it is."""

    at_ms: int
    partition: str
    block_seq: int
    events: list[tuple[str, AnyEvent]]


class SealedNews(msgspec.Struct, frozen=True, array_like=True):
    """The same as whoever watches a few of those players reads it: the others' stay encoded."""

    at_ms: int
    partition: str
    block_seq: int
    events: list[tuple[str, msgspec.Raw]]


_encoder = msgspec.msgpack.Encoder()
_items = msgspec.msgpack.Decoder(list[Item])
_replies = msgspec.msgpack.Decoder(list[Reply])
_notice = msgspec.msgpack.Decoder(Notice)
_news = msgspec.msgpack.Decoder(SealedNews)
_event = msgspec.msgpack.Decoder(AnyEvent)


def encode_items(items: list[Item]) -> bytes:
    return _encoder.encode(items)


def decode_items(batch: bytes) -> list[Item]:
    return _items.decode(batch)


def encode_replies(replies: list[Reply]) -> bytes:
    return _encoder.encode(replies)


def decode_replies(batch: bytes) -> list[Reply]:
    return _replies.decode(batch)


def encode_notice(notice: Notice) -> bytes:
    return _encoder.encode(notice)


def decode_notice(payload: bytes) -> Notice:
    return _notice.decode(payload)


def encode_news(news: News) -> bytes:
    return _encoder.encode(news)


def decode_news(payload: bytes) -> SealedNews:
    return _news.decode(payload)


def decode_event(sealed: bytes | msgspec.Raw) -> AnyEvent:
    event: AnyEvent = _event.decode(sealed)
    return event
