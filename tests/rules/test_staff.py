"""Members of the staff: roles, lock-out, and what a stop and a preview refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.base import Command, Reason, Refused
from actors.declaring import DeclareResult, ResultDeclared
from actors.entries import Entry, decode_entries, encode_entries
from actors.fixture import Fixture
from actors.market import Limits, Market, MarketStatus
from actors.previewed import DeclarePreviewed
from actors.results import LOST, VOID, WON
from actors.staff import (
    AddMember,
    ChangeRole,
    DisableMember,
    EnableMember,
    GetMember,
    Member,
    MemberAdded,
    MemberDisabled,
    MemberEnabled,
    MemberView,
    PasswordSet,
    RecordStaffLogin,
    Role,
    RoleChanged,
    SetPassword,
    StaffLoggedIn,
    StaffLoginFailed,
)
from actors.stop import (
    MAX_STOP_ID,
    GetStop,
    LiftStop,
    OrderStop,
    Reach,
    Stop,
    StopLifted,
    StopOrdered,
    StopView,
    cause_of,
)
from actors.trading import MarketOpened

NOW = 1_800_000_000_000


def kim(**state: Any) -> Member:
    return Member("kim", "Kim Doe", Role.TRADER, "hash", 1, **state)


LADDER = ["viewer", "trader", "head_trader", "admin"]


@pytest.mark.parametrize("has", LADDER)
@pytest.mark.parametrize("least", LADDER)
def test_a_role_covers_those_below_it(has: str, least: str) -> None:
    assert Role(has).covers(Role(least)) is (LADDER.index(has) >= LADDER.index(least))


@pytest.mark.parametrize(
    ("command", "member", "reason", "facts"),
    [
        (AddMember("kim", "Kim", Role.VIEWER, "h"), kim(), Reason.ALREADY_EXISTS, {}),
        # one who was disabled keeps the log-in: its past acts are under it
        (AddMember("kim", "K", Role.VIEWER, "h"), kim(disabled=True), Reason.ALREADY_EXISTS, {}),
        (ChangeRole("kim", Role.ADMIN), Member(), Reason.UNKNOWN_MEMBER, {}),
        (ChangeRole("kim", Role.TRADER), kim(), Reason.WRONG_STATUS, {"role": "trader"}),
        (SetPassword("kim", "h"), Member(), Reason.UNKNOWN_MEMBER, {}),
        (DisableMember("kim"), Member(), Reason.UNKNOWN_MEMBER, {}),
        (DisableMember("kim"), kim(disabled=True), Reason.MEMBER_DISABLED, {}),
        (EnableMember("kim"), Member(), Reason.UNKNOWN_MEMBER, {}),
        (RecordStaffLogin("kim"), Member(), Reason.BAD_CREDENTIALS, {}),
        (RecordStaffLogin("kim"), kim(disabled=True), Reason.MEMBER_DISABLED, {}),
    ],
)
def test_refused(command: Command, member: Member, reason: Reason, facts: dict[str, Any]) -> None:
    assert command.decide(NOW, member) == Refused(reason, facts=facts)


def test_nobody_is_enabled_who_was_not_disabled() -> None:
    refused = EnableMember("kim").decide(NOW, kim())
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.WRONG_STATUS


@pytest.mark.parametrize(
    ("command", "member", "event"),
    [
        (
            AddMember("kim", "Kim Doe", Role.TRADER, "hash"),
            Member(),
            MemberAdded(NOW, "kim", "Kim Doe", Role.TRADER, "hash"),
        ),
        (ChangeRole("kim", Role.ADMIN), kim(), RoleChanged(NOW, "kim", Role.ADMIN)),
        (SetPassword("kim", "new"), kim(), PasswordSet(NOW, "kim", "new", 2)),
        (DisableMember("kim"), kim(), MemberDisabled(NOW, "kim")),
        (EnableMember("kim"), kim(disabled=True), MemberEnabled(NOW, "kim")),
        (RecordStaffLogin("kim"), kim(), StaffLoggedIn(NOW, "kim")),
    ],
)
def test_done(command: Command, member: Member, event: Any) -> None:
    assert command.decide(NOW, member) == event


def test_what_checking_a_password_needs() -> None:
    assert GetMember("kim").answer(NOW, Member()) == Refused(Reason.UNKNOWN_MEMBER)
    view = MemberView("kim", "Kim Doe", Role.TRADER, "hash", 1, False, 0)
    assert GetMember("kim").answer(NOW, kim()) == view


def test_a_lock_of_an_old_journal_stands_no_more() -> None:
    member = kim()
    StaffLoginFailed(NOW, "kim", 5, NOW + 900_000).apply(member)
    assert member == kim()


class Naive:
    """A member in the plainest words."""

    def __init__(self) -> None:
        self.role = "trader"
        self.password = "first"
        self.passwords = 1
        self.disabled = False


class MemberMachine(RuleBasedStateMachine):
    """Whatever is done in whatever order, the member is what the naive one is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.member = Member()
        self.naive = Naive()
        self.do(AddMember("kim", "Kim Doe", Role.TRADER, "first"))

    def do(self, command: Command) -> Any:
        event: Any = command.decide(self.now, self.member)
        if not isinstance(event, Refused):
            event.apply(self.member)
        return event

    @rule(minutes=st.integers(0, 20))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * 60_000

    @rule(role=st.sampled_from(LADDER))
    def role(self, role: str) -> None:
        self.do(ChangeRole("kim", Role(role)))
        self.naive.role = role

    @rule(disabled=st.booleans())
    def switch(self, disabled: bool) -> None:
        self.do(DisableMember("kim") if disabled else EnableMember("kim"))
        self.naive.disabled = disabled

    @rule(password=st.sampled_from(["first", "second"]))
    def new_password(self, password: str) -> None:
        self.do(SetPassword("kim", password))
        self.naive.password = password
        self.naive.passwords += 1

    @rule()
    def log_in(self) -> None:
        answer = self.do(RecordStaffLogin("kim"))
        if self.naive.disabled:
            assert answer.reason is Reason.MEMBER_DISABLED
        else:
            assert isinstance(answer, StaffLoggedIn)

    @invariant()
    def agree(self) -> None:
        view: Any = GetMember("kim").answer(self.now, self.member)
        naive = self.naive
        assert (view.role, view.password_hash) == (naive.role, naive.password)
        assert (view.credential_version, view.disabled) == (naive.passwords, naive.disabled)


TestMember = MemberMachine.TestCase
TestMember.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_why_is_written_down() -> None:
    entry = Entry("staff/kim", "", b"", NOW, (MemberDisabled(NOW, "kim"),), "staff/ann", "left us")
    assert decode_entries(encode_entries([entry])) == [entry]


# Stops


@pytest.mark.parametrize(
    ("command", "stop", "reason"),
    [
        (OrderStop("s", Reach.EVENT, "f"), Stop("s"), Reason.ALREADY_EXISTS),
        (OrderStop("", Reach.EVENT, "f"), Stop(), Reason.OUT_OF_BOUNDS),
        (OrderStop("s" * (MAX_STOP_ID + 1), Reach.EVENT, "f"), Stop(), Reason.OUT_OF_BOUNDS),
        (OrderStop("s", Reach.EVENT, ""), Stop(), Reason.OUT_OF_BOUNDS),
        (OrderStop("s", Reach.EVERYTHING, "f"), Stop(), Reason.OUT_OF_BOUNDS),
        (LiftStop("s"), Stop(), Reason.UNKNOWN_STOP),
        (LiftStop("s"), Stop("s", lifted_at_ms=NOW), Reason.WRONG_STATUS),
    ],
)
def test_a_stop_refused(command: Command, stop: Stop, reason: Reason) -> None:
    refused = command.decide(NOW, stop)
    assert isinstance(refused, Refused)
    assert refused.reason is reason


def test_a_stop_stands_until_it_is_lifted() -> None:
    stop = Stop()
    assert GetStop("s").answer(NOW, stop) == Refused(Reason.UNKNOWN_STOP)
    ordered: Any = OrderStop("s", Reach.SOURCE, "feed").decide(NOW, stop)
    assert ordered == StopOrdered(NOW, "s", Reach.SOURCE, "feed")
    ordered.apply(stop)
    assert GetStop("s").answer(NOW, stop) == StopView("s", Reach.SOURCE, "feed", NOW, 0)
    lifted: Any = LiftStop("s").decide(NOW + 5, stop)
    assert lifted == StopLifted(NOW + 5, "s")
    lifted.apply(stop)
    assert GetStop("s").answer(NOW, stop) == StopView("s", Reach.SOURCE, "feed", NOW, NOW + 5)


def test_the_longest_stop_still_makes_a_cause() -> None:
    assert len(cause_of("s" * MAX_STOP_ID)) == 64


# Results that were previewed


def opened() -> tuple[Market, Fixture]:
    market, fixture = Market(), Fixture("f")
    names = {"home": "Reds", "away": "Blues"}
    MarketOpened(
        NOW, "f", "f:m", 1, "Winner", "win", "GBP", names, Limits(), MarketStatus.OPEN
    ).apply(market, fixture)
    return market, fixture


def declare(version: int, **results: Any) -> DeclarePreviewed:
    return DeclarePreviewed("f", "f:m", DeclareResult("f", "f:m", results), version)


def test_a_preview_counts_for_the_result_it_was_made_of() -> None:
    market, fixture = opened()
    first: Any = declare(0, home=WON, away=LOST).decide(NOW, market, fixture)
    assert first == ResultDeclared(NOW, "f", "f:m", 2, 1, {"home": WON, "away": LOST}, False)
    first.apply(market, fixture)
    # A second trader has looked at the market as it was before.
    late = declare(0, home=LOST, away=WON).decide(NOW, market, fixture)
    assert late == Refused(Reason.SUPERSEDED, facts={"version": 1})
    again: Any = declare(1, home=LOST, away=WON).decide(NOW, market, fixture)
    assert (again.version, again.results) == (2, {"home": LOST, "away": WON})


def test_else_a_previewed_result_is_refused_as_any_other() -> None:
    market, fixture = opened()
    unknown = declare(0, home=WON).decide(NOW, Market(), fixture)
    assert unknown == Refused(Reason.UNKNOWN_MARKET)
    other = DeclareResult("f", "f:other", {"home": WON, "away": LOST})
    elsewhere = DeclarePreviewed("f", "f:m", other, 0).decide(NOW, market, fixture)
    assert elsewhere == Refused(Reason.OUT_OF_BOUNDS, "the result is of another market")
    part = declare(0, home=VOID).decide(NOW, market, fixture)
    assert isinstance(part, Refused)
    assert part.reason is Reason.INCOMPLETE_RESULT
