"""Who may register, who may log in, and how often it may be tried."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from actors.base import Command, Reason, Refused
from actors.player import (
    LOCK_MS,
    MAX_FAILED_LOGINS,
    ClaimEmail,
    Credential,
    CredentialView,
    EmailClaimed,
    GetCredential,
    GetPlayer,
    LoggedIn,
    LoginFailed,
    Player,
    PlayerRegistered,
    PlayerView,
    RecordLogin,
    RegisterPlayer,
    age_on,
    day_of,
)
from actors.wallet import Wallet

NOW = int(dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC).timestamp() * 1000)
ADULT = dt.date(2000, 1, 1)


def claim(birth_date: dt.date = ADULT) -> ClaimEmail:
    return ClaimEmail("a@x.org", "p", "hash", birth_date, 18)


def taken(**state: Any) -> Credential:
    return Credential("a@x.org", "p0", "hash", **state)


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        (dt.date(2008, 3, 1), dt.date(2026, 2, 28), 17),  # the day before
        (dt.date(2008, 3, 1), dt.date(2026, 3, 1), 18),  # the birthday itself
        (dt.date(2008, 2, 29), dt.date(2026, 2, 28), 17),  # a leap day's child
        (dt.date(2008, 2, 29), dt.date(2026, 3, 1), 18),
        (dt.date(2008, 2, 29), dt.date(2028, 2, 29), 20),
        (dt.date(2026, 1, 1), dt.date(2026, 1, 1), 0),
    ],
)
def test_age_in_whole_years(born: dt.date, day: dt.date, age: int) -> None:
    assert age_on(born, day) == age


def test_the_day_is_that_of_utc() -> None:
    midnight = int(dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp() * 1000)
    assert day_of(midnight) == dt.date(2026, 3, 1)
    assert day_of(midnight - 1) == dt.date(2026, 2, 28)


@pytest.mark.parametrize(
    ("command", "cast", "reason", "facts"),
    [
        # too young comes first: it says nothing about who has the address
        (claim(dt.date(2008, 3, 2)), (taken(),), Reason.UNDER_AGE, {"minimum_age": 18}),
        (claim(), (taken(),), Reason.EMAIL_TAKEN, {}),
        (RecordLogin("a@x.org", True), (Credential(),), Reason.BAD_CREDENTIALS, {}),
        *[  # locked: even the right password is not looked at
            (
                RecordLogin("a@x.org", right),
                (taken(locked_until_ms=NOW + 1),),
                Reason.LOGIN_LOCKED,
                {"locked_until_ms": NOW + 1},
            )
            for right in (True, False)
        ],
        (
            RegisterPlayer("p", "gb", "Ann", "a@x.org", ADULT, "GBP"),
            (Player(player_id="p"), Wallet()),
            Reason.ALREADY_REGISTERED,
            {},
        ),
    ],
)
def test_refused(
    command: Command, cast: tuple[Any, ...], reason: Reason, facts: dict[str, Any]
) -> None:
    assert command.decide(NOW, *cast) == Refused(reason, facts=facts)


@pytest.mark.parametrize(
    ("command", "cast", "event"),
    [
        (
            claim(dt.date(2008, 3, 1)),
            (Credential(),),
            EmailClaimed(NOW, "a@x.org", "p", "hash"),
        ),
        (RecordLogin("a@x.org", True), (taken(failed=4),), LoggedIn(NOW, "a@x.org", "p0")),
        (
            RecordLogin("a@x.org", True),
            (taken(locked_until_ms=NOW),),  # the lock has just passed
            LoggedIn(NOW, "a@x.org", "p0"),
        ),
        (
            RecordLogin("a@x.org", False),
            (taken(failed=MAX_FAILED_LOGINS - 2),),
            LoginFailed(NOW, "a@x.org", "p0", MAX_FAILED_LOGINS - 1, 0),
        ),
        (
            RecordLogin("a@x.org", False),
            (taken(failed=MAX_FAILED_LOGINS - 1),),
            LoginFailed(NOW, "a@x.org", "p0", MAX_FAILED_LOGINS, NOW + LOCK_MS),
        ),
        (
            RegisterPlayer("p", "gb", "Ann", "a@x.org", ADULT, "GBP"),
            (Player(), Wallet()),
            PlayerRegistered(NOW, "p", "gb", "Ann", "a@x.org", "2000-01-01", "GBP"),
        ),
    ],
)
def test_done(command: Command, cast: tuple[Any, ...], event: Any) -> None:
    assert command.decide(NOW, *cast) == event


def login(credential: Credential, right: bool, now_ms: int) -> str:
    event: Any = RecordLogin("a@x.org", right).decide(now_ms, credential)
    if not isinstance(event, Refused):
        event.apply(credential)
    return type(event).__name__


def test_five_wrong_passwords_lock_the_login_for_a_while() -> None:
    credential = taken()
    for _ in range(MAX_FAILED_LOGINS):
        assert login(credential, False, NOW) == "LoginFailed"
    assert login(credential, True, NOW) == "Refused"
    assert login(credential, True, NOW + LOCK_MS - 1) == "Refused"
    assert login(credential, True, NOW + LOCK_MS) == "LoggedIn"


def test_after_a_lock_there_are_as_many_attempts_as_before() -> None:
    credential = taken()
    for _ in range(MAX_FAILED_LOGINS):
        login(credential, False, NOW)
    later = NOW + LOCK_MS
    for _ in range(MAX_FAILED_LOGINS - 1):
        assert login(credential, False, later) == "LoginFailed"
    assert login(credential, True, later) == "LoggedIn"


def test_a_right_password_forgets_the_wrong_ones() -> None:
    credential = taken()
    for _ in range(3 * MAX_FAILED_LOGINS):
        for _ in range(MAX_FAILED_LOGINS - 1):
            assert login(credential, False, NOW) == "LoginFailed"
        assert login(credential, True, NOW) == "LoggedIn"


def test_a_claimed_address_shows_what_checking_a_password_needs() -> None:
    credential = Credential()
    unknown = GetCredential("a@x.org").answer(NOW, credential)
    assert unknown == Refused(Reason.BAD_CREDENTIALS)
    claim().decide(NOW, credential).apply(credential)
    assert GetCredential("a@x.org").answer(NOW, credential) == CredentialView("p", "hash", 0)
    locked = taken(locked_until_ms=NOW + 1)
    assert GetCredential("a@x.org").answer(NOW, locked) == CredentialView("p0", "hash", NOW + 1)
    assert GetCredential("a@x.org").answer(NOW + 1, locked) == CredentialView("p0", "hash", 0)


def test_registering_opens_the_wallet_in_the_same_step() -> None:
    player, wallet = Player(), Wallet()
    assert GetPlayer("p").answer(NOW, player) == Refused(Reason.UNKNOWN_PLAYER)
    command = RegisterPlayer("p", "gb", "Ann", "a@x.org", ADULT, "GBP")
    event: Any = command.decide(NOW, player, wallet)
    event.apply(player, wallet)
    assert event.transfers("gb-00") == ()
    view = PlayerView("p", "gb", "Ann", "a@x.org", "2000-01-01", NOW)
    assert GetPlayer("p").answer(NOW, player) == view
    assert (wallet.opened, wallet.currency, wallet.cash_minor) == (True, "GBP", 0)
