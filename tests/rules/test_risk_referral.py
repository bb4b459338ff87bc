"""A referral: asked once, decided once and in time, taken once and in time; never any money."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.risk.referral import (
    MAX_VALID_MS,
    MAX_WAIT_MS,
    AcceptReferral,
    GetReferral,
    Refer,
    Referral,
    ReferralAccepted,
    ReferralAsked,
    ReferralRefused,
    ReferralState,
    ReferralTaken,
    RefuseReferral,
    TakeReferral,
    Terms,
    terms_of,
)
from actors.slips.kinds import Kind
from actors.slips.slip import EachWay, Leg, Slip
from ledger.money import Money

NOW = 1_800_000_000_000
ASKED = Terms("f", "f:m", "a", Money(5_000, "GBP"), 25_000)
GRANTED = Terms("f", "f:m", "a", Money(3_000, "GBP"), 24_000)

REFER = Refer("p", "r", ASKED, 60_000)
ACCEPT = AcceptReferral("p", "r", 3_000, 24_000, 10_000)
REFUSE = RefuseReferral("p", "r")
TAKE = TakeReferral("p", "r", "bet")


def do(command: Any, of: Referral, now_ms: int = NOW) -> Any:
    event = command.decide(now_ms, of)
    if not isinstance(event, Refused):
        event.apply(of)
        assert event.transfers("gb-00") == ()
    return event


def after(*commands: Any) -> Referral:
    of = Referral()
    for command in commands:
        assert not isinstance(do(command, of), Refused), command
    return of


def test_a_yes_to_the_price_that_was_asked_for_knows_what_was_known_then() -> None:
    asked = msgspec.structs.replace(REFER, versions={"f:m": 3})
    now = msgspec.structs.replace(ACCEPT, versions={"f:m": 7, "f:n": 8})
    as_asked = msgspec.structs.replace(now, odds=ASKED.odds)
    assert do(now, after(asked)).versions == {"f:m": 7, "f:n": 8}
    assert do(as_asked, after(asked)).versions == {"f:m": 3, "f:n": 8}
    assert do(as_asked, after(REFER)).versions == {"f:m": 7, "f:n": 8}  # of a former release


def test_the_way_of_a_referral() -> None:
    of = Referral()
    assert do(REFER, of) == ReferralAsked(NOW, "p", "r", ASKED, NOW + 60_000)
    granted = do(ACCEPT, of, NOW + 60_000)
    assert granted == ReferralAccepted(NOW + 60_000, "p", "r", GRANTED, NOW + 70_000)
    taken = do(TAKE, of, NOW + 70_000)
    assert taken == ReferralTaken(NOW + 70_000, "p", "r", "bet", GRANTED, NOW + 70_000)
    view = GetReferral("p", "r").answer(NOW + 99_000, of)
    assert not isinstance(view, Refused)
    assert (view.state, view.accepted, view.bet_id) == (ReferralState.TAKEN, GRANTED, "bet")
    assert do(REFUSE, after(REFER)) == ReferralRefused(NOW, "p", "r")


@pytest.mark.parametrize(
    ("command", "of", "now_ms", "reason", "facts"),
    [
        (REFER, after(REFER), NOW, Reason.ALREADY_EXISTS, {}),
        (Refer("p", "r", ASKED, 0), Referral(), NOW, Reason.OUT_OF_BOUNDS, None),
        (Refer("p", "r", ASKED, MAX_WAIT_MS + 1), Referral(), NOW, Reason.OUT_OF_BOUNDS, None),
        (
            Refer("p", "r", msgspec.structs.replace(ASKED, odds=10_000), 1),
            Referral(),
            NOW,
            Reason.OUT_OF_BOUNDS,
            None,
        ),
        (
            Refer("p", "r", msgspec.structs.replace(ASKED, stake=Money(0, "GBP")), 1),
            Referral(),
            NOW,
            Reason.OUT_OF_BOUNDS,
            None,
        ),
        (ACCEPT, Referral(), NOW, Reason.UNKNOWN_REFERRAL, {}),
        (REFUSE, Referral(), NOW, Reason.UNKNOWN_REFERRAL, {}),
        (TAKE, Referral(), NOW, Reason.UNKNOWN_REFERRAL, {}),
        (AcceptReferral("q", "r", 1, 24_000, 1), after(REFER), NOW, Reason.UNKNOWN_REFERRAL, {}),
        (TakeReferral("q", "r", "b"), after(REFER, ACCEPT), NOW, Reason.UNKNOWN_REFERRAL, {}),
        (ACCEPT, after(REFER), NOW + 60_001, Reason.REFERRAL_OVER, {"state": "expired"}),
        (REFUSE, after(REFER), NOW + 60_001, Reason.REFERRAL_OVER, {"state": "expired"}),
        (ACCEPT, after(REFER, ACCEPT), NOW, Reason.REFERRAL_OVER, {"state": "accepted"}),
        (REFUSE, after(REFER, ACCEPT), NOW, Reason.REFERRAL_OVER, {"state": "accepted"}),
        (ACCEPT, after(REFER, REFUSE), NOW, Reason.REFERRAL_OVER, {"state": "refused"}),
        (TAKE, after(REFER), NOW, Reason.REFERRAL_OVER, {"state": "waiting"}),
        (TAKE, after(REFER, REFUSE), NOW, Reason.REFERRAL_OVER, {"state": "refused"}),
        (TAKE, after(REFER, ACCEPT), NOW + 10_001, Reason.REFERRAL_OVER, {"state": "expired"}),
        (
            TakeReferral("p", "r", "other"),
            after(REFER, ACCEPT, TAKE),
            NOW,
            Reason.REFERRAL_OVER,
            {"state": "taken"},
        ),
        (AcceptReferral("p", "r", 5_001, 24_000, 1), after(REFER), NOW, Reason.OUT_OF_BOUNDS, None),
        (AcceptReferral("p", "r", 0, 24_000, 1), after(REFER), NOW, Reason.OUT_OF_BOUNDS, None),
        (AcceptReferral("p", "r", 1, 10_000, 1), after(REFER), NOW, Reason.OUT_OF_BOUNDS, None),
        (
            AcceptReferral("p", "r", 1, 24_000, MAX_VALID_MS + 1),
            after(REFER),
            NOW,
            Reason.OUT_OF_BOUNDS,
            None,
        ),
    ],
)
def test_nothing_becomes_of_it(
    command: Any, of: Referral, now_ms: int, reason: Reason, facts: dict[str, str] | None
) -> None:
    refused = command.decide(now_ms, of)
    assert isinstance(refused, Refused)
    assert refused.reason is reason
    assert facts is None or refused.facts == facts


def test_the_bet_that_took_it_is_answered_again_whenever_it_asks() -> None:
    of = after(REFER, ACCEPT, TAKE)
    again = do(TAKE, of, NOW + 99_000)
    assert (again.accepted, again.valid_until_ms) == (GRANTED, NOW + 10_000)
    assert isinstance(do(TakeReferral("p", "r", ""), after(REFER), NOW), Refused)


def test_somebody_else_s_referral_is_none() -> None:
    unknown = Refused(Reason.UNKNOWN_REFERRAL)
    assert GetReferral("q", "r").answer(NOW, after(REFER)) == unknown
    assert GetReferral("p", "r").answer(NOW, Referral()) == unknown
    view = GetReferral("p", "r").answer(NOW + 60_001, after(REFER))
    assert not isinstance(view, Refused)
    assert view.state is ReferralState.EXPIRED


# Slips

PATENT = Slip(
    tuple(Leg(name, f"{name}:m", "x", 20_000, each_way=EachWay(3, 5)) for name in "abc"),
    Kind.PATENT,
    700,
)
REFER_SLIP = Refer("p", "r", terms_of(PATENT, "GBP"), 60_000)


def test_a_slip_is_accepted_at_less_on_each_line_and_at_its_prices() -> None:
    of = after(REFER_SLIP)
    for stake, odds, reason in [
        (701, 20_000, Reason.OUT_OF_BOUNDS),
        (699, 20_000, Reason.UNEVEN_STAKE),
        (70, 21_000, Reason.OUT_OF_BOUNDS),
    ]:
        refused = do(AcceptReferral("p", "r", stake, odds, 10_000), of)
        assert isinstance(refused, Refused)
        assert refused.reason is reason
    granted = do(AcceptReferral("p", "r", 70, 20_000, 10_000), of)
    less = msgspec.structs.replace(PATENT, stake_minor=70)
    assert granted.accepted == terms_of(less, "GBP")


def test_a_slip_that_can_t_be_a_bet_is_not_referred() -> None:
    for wrong, reason in [
        (msgspec.structs.replace(PATENT, stake_minor=701), Reason.UNEVEN_STAKE),
        (msgspec.structs.replace(PATENT, legs=PATENT.legs[:2]), Reason.WRONG_LEG_COUNT),
    ]:
        refused = Refer("p", "r", terms_of(wrong, "GBP"), 1).decide(NOW, Referral())
        assert isinstance(refused, Refused)
        assert refused.reason is reason


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"payout_cap_minor": 1_000}, True),  # the house's own
        ({"legs": tuple(msgspec.structs.replace(leg, each_way=None) for leg in PATENT.legs)}, True),
        ({"stake_minor": 707}, False),
        ({"kind": Kind.TRIXIE}, False),
        ({"each_way": True}, False),
        ({"legs": PATENT.legs[::-1]}, False),
        ({"legs": (*PATENT.legs[:2], Leg("c", "c:m", "x", 20_100))}, False),
        ({"legs": (*PATENT.legs[:2], Leg("c", "c:m", "y", 20_000))}, False),
        ({"legs": (*PATENT.legs[:2], Leg("c", "c:m", "x", 20_000, banker=True))}, False),
    ],
)
def test_what_counts_as_the_same_slip(change: Any, same: bool) -> None:
    other = terms_of(msgspec.structs.replace(PATENT, **change), "GBP")
    assert terms_of(PATENT, "GBP").is_same(other) is same
    assert not ASKED.is_same(other)


moves = st.tuples(
    st.sampled_from([REFER, ACCEPT, REFUSE, TAKE, TakeReferral("p", "r", "other")]),
    st.integers(0, 40_000),
)


@settings(deadline=None)
@given(st.lists(moves, max_size=10))
def test_at_most_one_bet_and_only_on_what_a_trader_accepted_in_time(script: list[Any]) -> None:
    of, now_ms = Referral(), NOW
    events: list[tuple[int, Any]] = []
    for command, passed_ms in script:
        now_ms += passed_ms
        event = do(command, of, now_ms)
        if not isinstance(event, Refused):
            events.append((now_ms, event))
    at = {type(event).__name__: when for when, event in reversed(events)}
    bets = {event.bet_id for _, event in events if isinstance(event, ReferralTaken)}
    assert len(bets) <= 1
    if "ReferralAccepted" in at:
        assert at["ReferralAccepted"] <= at["ReferralAsked"] + 60_000
        assert "ReferralRefused" not in at
    if bets:
        assert at["ReferralTaken"] <= at["ReferralAccepted"] + 10_000
