"""What is stored and what travels: every kind is known to its union, and stored bytes stay legible.

`golden_entries.json` holds, for each kind of event, the body of a block as an earlier release wrote
it. Lines are added for new kinds and never changed: a journal can't be rewritten. Where fields were
added to a kind there is one body for each form it has had, as it is written now the last.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import (
    bet,
    bonus,
    cashout,
    declaring,
    fixture,
    hedging,
    holds,
    multiple,
    outcomes,
    player,
    staff,
    stop,
    trading,
    wallet,
)
from actors.base import Command, Event, Message, Question, Reason, Refused, Several
from actors.bet import Leg
from actors.entries import AnyEvent, Entry, Opened, answer_of, decode_entries, encode_entries
from actors.fixture import EventLimit, Phase
from actors.market import Hedge, HedgeOrder, Limits, MarketStatus
from actors.results import LOST, VOID, WON, Outcome, Result, Window
from actors.risk import alerts, customer, referral
from actors.runtime.wire import (
    AnyCommand,
    AnyMessage,
    AnyQuestion,
    AnyView,
    Item,
    Notice,
    Reply,
    Status,
    decode_items,
    decode_notice,
    decode_replies,
    encode_items,
    encode_notice,
    encode_replies,
)
from actors.slips import slip as slips
from actors.slips.bonus import Bonus, BonusKind
from actors.slips.kinds import Kind
from actors.slips.settling import Known
from actors.slips.slip import Slip
from ledger.answers import keyed_entries
from ledger.money import Money

AT = 1_800_000_000_000
GOLDEN = Path(__file__).parent / "golden_entries.json"
TEN = Money(1_000, "GBP")
LEG = Leg("f", "f:m", "a", 25_000, 3, "A - B", "Winner", "A", True)
SLIP = Slip(
    (slips.Leg("f", "f:m", "a", 25_000), slips.Leg("g", "g:m", "a", 25_000)), Kind.DOUBLE, 1_000
)
EXPOSED = multiple.Exposed("f", "f:m", "a", 1, 5_250)

TERMS = referral.Terms("f", "f:m", "a", TEN, 25_000)

SAMPLES: dict[str, Event] = {
    type(event).__name__: event
    for event in [
        Opened(AT, "shard-gb-0"),
        Refused(Reason.PRICE_CHANGED, "moved", {"odds": 25_000, "status": MarketStatus.OPEN}),
        player.EmailClaimed(AT, "a@x.org", "p", "$argon2id$"),
        player.LoggedIn(AT, "a@x.org", "p"),
        player.LoginFailed(AT, "a@x.org", "p", 5, AT + 1),
        player.PlayerRegistered(AT, "p", "gb", "Zoë", "a@x.org", "2000-02-29", "GBP"),
        wallet.DepositRequested(AT, "p", "x", TEN, "bogus", "card"),
        wallet.DepositCompleted(AT, "p", "x", TEN, "bogus", "r", 400, 600),
        wallet.DepositFailed(AT, "p", "x", "declined"),
        wallet.WithdrawalRequested(AT, "p", "x", TEN, "bogus", "bank", 0),
        wallet.WithdrawalCompleted(AT, "p", "x", TEN, "bogus", "r"),
        wallet.WithdrawalFailed(AT, "p", "x", TEN, "declined", 400, 600),
        bet.BetPlaced(AT, "p", "b", TEN, (LEG,), 9_000, 1_000, 4),
        bet.BetSettled(AT, "p", "b", TEN, "f:m", "a", Result(Outcome.WON, 3, 2), 2, 1_667, 1, 2, 3),
        bet.SettlementReversed(AT, "p", "b", TEN, 1, 2_000, 500, 0, 1_000),
        bet.VersionNoted(AT, "p", "b", TEN, "f:m", "a", 3),
        bet.HoldResolved(AT, "b", False),
        multiple.SlipPlaced(
            AT, "p", "b", TEN, SLIP, (LEG, LEG), 6_250, (EXPOSED,), 9_000, 1_000, 4
        ),
        multiple.LegSettled(
            AT,
            "p",
            "b",
            TEN,
            "f:m",
            "a",
            Known(Result(Outcome.WON, 3, 2)),
            2,
            bet.BetState.OPEN,
            0,
            4_167,
            0,
            0,
            0,
            0,
            0,
            (EXPOSED,),
            9_000,
            1_000,
        ),
        cashout.CashedOut(
            AT, "p", "b", TEN, 1_000, 900, 100, 900, 0, 6_250, SLIP, (EXPOSED,), 9_800, 0
        ),
        bonus.BonusGiven(AT, "p", Bonus("x", BonusKind.BOOST, 1_000, AT + 1, 2_500)),
        bonus.BonusUsed(AT, "p", "x", "b"),
        bonus.BonusWithdrawn(AT, "p", "x"),
        fixture.FixtureCreated(AT, "f", 1, "soccer", "cup", "A - B", AT),
        fixture.PhaseChanged(AT, "f", 2, Phase.IN_PLAY, "1-0"),
        fixture.ModelSet(AT, "f", 2, fixture.MatchModel(15_000, 12_000, -500, 1, 0, 2, 60, 0, 1)),
        trading.MarketOpened(
            AT,
            "f",
            "f:m",
            3,
            "Winner",
            "win",
            "GBP",
            {"a": "A", "b": "B"},
            Limits(1, 2, 3),
            MarketStatus.SUSPENDED,
        ),
        trading.PricesChanged(AT, "f", "f:m", 4, 1, {"a": 25_000, "b": 0}, 7),
        trading.StatusChanged(AT, "f", "f:m", 5, MarketStatus.OPEN, True, 2_000),
        declaring.SelectionWithdrawn(AT, "f", "f:m", 6, 1, "b"),
        declaring.ResultDeclared(AT, "f", "f:m", 7, 2, {"a": WON, "b": VOID}, False),
        declaring.SettlementCompleted(AT, "f", "f:m", 8, 2),
        outcomes.SelectionsDecided(
            AT, "f", "f:m", 9, 3, {"a": WON}, 1, {"a": Result(Outcome.WON, 3, 2)}, {"a": 25_000}
        ),
        outcomes.ResultRolledBack(AT, "f", "f:m", 10, 4, ["a"], {"b": LOST}),
        outcomes.PlacedVoided(AT, "f", "f:m", 11, 5, Window(AT, None)),
        outcomes.VoidRolledBack(AT, "f", "f:m", 12, 6, Window(None, AT)),
        outcomes.SelectionAdded(AT, "f", "f:m", 13, "c", "C", 2),
        trading.LimitsChanged(AT, "f", "f:m", 8, Limits(1, 2, 3, 4, 5, 6, 7, 8)),
        hedging.HedgeRecorded(
            AT, "f", "f:m", 8, "h", Hedge(AT, "a", 1_000, 25_000, 1_470, "bogus", "r")
        ),
        fixture.EventLimitsChanged(
            AT, "f", 8, {"event": EventLimit(9), "g": EventLimit(8, ("m",))}
        ),
        referral.ReferralAsked(AT, "p", "r", TERMS, AT + 1),
        referral.ReferralAccepted(AT, "p", "r", TERMS, AT + 2),
        referral.ReferralRefused(AT, "p", "r"),
        referral.ReferralTaken(AT, "p", "r", "b", TERMS, AT + 2),
        customer.FactorsSet(AT, "p", 5_000, {"match_result": 2_500}),
        alerts.AlertRaised(
            AT, "a", alerts.Pattern.STAKE_ABOVE_HABIT, "player/p", AT - 1, {"stake_minor": 900}
        ),
        hedging.HedgeOrdered(AT, "f", "f:m", 8, "h", HedgeOrder(AT, "a", 1_000, 25_000, "bogus")),
        hedging.HedgeLapsed(AT, "f", "f:m", 8, "h", "no"),
        staff.MemberAdded(AT, "kim", "Kim Doe", staff.Role.TRADER, "$argon2id$"),
        staff.RoleChanged(AT, "kim", staff.Role.HEAD_TRADER),
        staff.PasswordSet(AT, "kim", "$argon2id$", 2),
        staff.MemberDisabled(AT, "kim"),
        staff.MemberEnabled(AT, "kim"),
        staff.StaffLoggedIn(AT, "kim"),
        staff.StaffLoginFailed(AT, "kim", 5, AT + 1),
        stop.StopOrdered(AT, "s", stop.Reach.SOURCE, "feed"),
        stop.StopLifted(AT, "s"),
        trading.PricesHeld(AT, "f", "f:m", 14, 8, {"a": 20_000, "b": 0}, "staff/kim", AT + 1),
        trading.PricesGivenBack(AT, "f", "f:m", 15, 9, {"a": 25_000}),
    ]
}


def entry_of(event: Any) -> Entry:
    return Entry("wallet/p", "key-1", bytes(range(16)), AT, (event,), "staff")


def kinds_of(base: type) -> Iterator[type]:
    """Subclasses that stand for something: those without subclasses of their own."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("actors"):
            if kind.__subclasses__():
                yield from kinds_of(kind)
            else:
                yield kind


def names(kinds: Any) -> set[str]:
    return {kind.__name__ for kind in kinds}


@pytest.mark.parametrize(
    ("base", "union"), [(Event, AnyEvent), (Command, AnyCommand), (Question, AnyQuestion)]
)
def test_every_kind_is_in_its_union(base: type, union: Any) -> None:
    # A question's answer shares the module of the question; a base class of events is no kind.
    assert names(kinds_of(base)) == names(typing.get_args(union))


def test_every_answer_of_a_question_can_travel() -> None:
    answers: set[str] = set()
    asked = [question.answer for question in typing.get_args(AnyQuestion)]
    asked += [
        several.sum_up for several in typing.get_args(AnyMessage) if issubclass(several, Several)
    ]
    for method in asked:
        returned = typing.get_type_hints(method)["return"]
        answers |= names(typing.get_args(returned) or (returned,))
    assert answers - {"Refused"} == names(typing.get_args(AnyView))


def test_every_tag_is_its_own() -> None:
    kinds = [*kinds_of(Event), *kinds_of(Command), *kinds_of(Question), *typing.get_args(AnyView)]
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(tags) == len(set(tags))
    assert all(isinstance(kind, type) and issubclass(kind, msgspec.Struct) for kind in kinds)


def test_there_is_a_sample_of_every_event() -> None:
    assert set(SAMPLES) == names(typing.get_args(AnyEvent))


@pytest.mark.parametrize("name", SAMPLES)
def test_an_event_comes_back_from_a_block(name: str) -> None:
    entries = [entry_of(SAMPLES[name]), entry_of(SAMPLES["LoggedIn"])]
    again = decode_entries(encode_entries(entries))
    assert again == entries
    assert type(again[0].events[0]) is type(SAMPLES[name])
    assert answer_of(again[0]) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_what_an_earlier_release_stored_still_reads(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    written = encode_entries([entry_of(SAMPLES[name])]).hex()
    assert name in golden, f'add the line "{name}": ["{written}"]'
    for body in golden[name]:
        assert decode_entries(bytes.fromhex(body)) == [entry_of(SAMPLES[name])]


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_stored_has_not_changed(name: str) -> None:
    """Fields added at the end change these bytes: then add the new ones after the old."""
    golden = json.loads(GOLDEN.read_text())
    assert encode_entries([entry_of(SAMPLES[name])]).hex() == golden[name][-1]


def test_golden_bytes_have_no_kind_that_is_gone() -> None:
    assert set(json.loads(GOLDEN.read_text())) == set(SAMPLES)


def test_a_first_answer_is_found_without_knowing_events() -> None:
    events = (SAMPLES["SettlementReversed"], SAMPLES["BetSettled"])
    keyed = Entry("wallet/p", "k", b"f" * 16, AT, events)  # type: ignore[arg-type]
    unkeyed = Entry("wallet/p", "", b"", AT, (SAMPLES["BetSettled"],))  # type: ignore[arg-type]
    (found,) = keyed_entries(encode_entries([unkeyed, keyed]))
    assert (found.owner, found.key) == ("wallet/p", "k")
    assert found.first_answer.fingerprint == b"f" * 16
    decode = msgspec.msgpack.Decoder(AnyEvent).decode
    assert decode(found.first_answer.answer) == SAMPLES["BetSettled"]


def test_what_travels_comes_back() -> None:
    refused = Refused(Reason.MARKET_CLOSED)
    items = [
        Item("gb-00", bet.PlaceBet("p", "b", TEN, (LEG,), AT, None), "k", b"f", "staff"),
        Item("gb-00", bet.PlaceBet("p", "b", TEN, (), 0, refused), "k", b"f"),
        Item("book-00", holds.CountHolds("f:m", ["a"], 1)),
    ]
    assert decode_items(encode_items(items)) == items
    replies = [
        Reply(Status.ANSWERED, 3, event)
        for event in SAMPLES.values()  # type: ignore[arg-type]
    ]
    replies += [Reply(Status.UNKNOWN), Reply(Status.ANSWERED, 1, holds.Done())]
    assert decode_replies(encode_replies(replies)) == replies
    notice = Notice(AT, "gb-00", 3, tuple(SAMPLES.values()))  # type: ignore[arg-type]
    assert decode_notice(encode_notice(notice)) == notice


def test_every_message_names_its_cast() -> None:
    for base in (Command, Question, Event):
        for kind in kinds_of(base):
            assert kind.cast is not Message.cast, kind
