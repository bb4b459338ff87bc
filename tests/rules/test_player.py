"""Who may register, who may log in, and how often it may be tried."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from actors.base import Command, Reason, Refused
from actors.player import (
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
        (RecordLogin("a@x.org"), (Credential(),), Reason.BAD_CREDENTIALS, {}),
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
        (RecordLogin("a@x.org"), (taken(),), LoggedIn(NOW, "a@x.org", "p0")),
        (
            RegisterPlayer("p", "gb", "Ann", "a@x.org", ADULT, "GBP"),
            (Player(), Wallet()),
            PlayerRegistered(NOW, "p", "gb", "Ann", "a@x.org", "2000-01-01", "GBP"),
        ),
    ],
)
def test_done(command: Command, cast: tuple[Any, ...], event: Any) -> None:
    assert command.decide(NOW, *cast) == event


def test_a_lock_of_an_old_journal_stands_no_more() -> None:
    credential = taken()
    LoginFailed(NOW, "a@x.org", "p0", 5, NOW + 900_000).apply(credential)
    assert credential == taken()
    assert RecordLogin("a@x.org").decide(NOW, credential) == LoggedIn(NOW, "a@x.org", "p0")


def test_a_claimed_address_shows_what_checking_a_password_needs() -> None:
    credential = Credential()
    unknown = GetCredential("a@x.org").answer(NOW, credential)
    assert unknown == Refused(Reason.BAD_CREDENTIALS)
    claim().decide(NOW, credential).apply(credential)
    assert GetCredential("a@x.org").answer(NOW, credential) == CredentialView("p", "hash")


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
