"""Customer factors, what an operator sets about risk, and what an alert is named after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.base import Reason, Refused
from actors.book import WHOLE
from actors.market import Limits
from actors.player import Player
from actors.risk.alerts import Alert, Pattern, RaiseAlert, Raised, Rules, Watch, alert_id
from actors.risk.customer import (
    MAX_FACTOR,
    MAX_KINDS,
    Customer,
    CustomerView,
    FactorsSet,
    GetCustomer,
    SetFactors,
)
from actors.risk.settings import HedgeSettings, RiskSettings, hedge_target_minor, read_risk_settings
from grandstand.settings import SettingsError, read_settings
from ledger.money import MAX_MINOR

NOW = 1_800_000_000_000
PLAYER = Player(player_id="p")


def test_factors_are_set_all_at_once() -> None:
    customer = Customer()
    asked = GetCustomer("p").answer(NOW, customer, PLAYER)
    assert asked == CustomerView("p", WHOLE, {}, 0)
    for number, (factor, kinds) in enumerate(((5_000, {"win": 0}), (MAX_FACTOR, {}))):
        event = SetFactors("p", factor, kinds, 0, number).decide(NOW, customer, PLAYER)
        assert isinstance(event, FactorsSet)
        event.apply(customer)
        asked = GetCustomer("p").answer(NOW, customer, PLAYER)
        assert asked == CustomerView("p", factor, kinds, NOW, 0, number + 1)
    event = SetFactors("p", WHOLE, {}, 5_000).decide(NOW, customer, PLAYER)
    assert isinstance(event, FactorsSet)
    event.apply(customer)
    asked = GetCustomer("p").answer(NOW, customer, PLAYER)
    assert asked == CustomerView("p", WHOLE, {}, NOW, 5_000, number + 2)
    for above in (-1, MAX_MINOR + 1):
        assert isinstance(SetFactors("p", 1, {}, above).decide(NOW, customer, PLAYER), Refused)


def test_factors_that_somebody_else_has_set_since_are_not_overwritten_unseen() -> None:
    customer = Customer("p", 5_000, {"win": 1}, NOW, 700, 3)
    refused = SetFactors("p", 1, {}, 0, 2).decide(NOW, customer, PLAYER)
    now: dict[str, int | str] = {
        "version": 3,
        "factor": 5_000,
        "refer_above_minor": 700,
        "kinds.win": 1,
    }
    assert refused == Refused(Reason.VERSION_CONFLICT, "the factors have changed since", now)
    event = SetFactors("p", 1, {}).decide(NOW, customer, PLAYER)
    assert event == FactorsSet(NOW, "p", 1, {}, 0, 4)


@pytest.mark.parametrize(
    ("factor", "kinds"),
    [
        (-1, {}),
        (MAX_FACTOR + 1, {}),
        (WHOLE, {"win": -1}),
        (WHOLE, {"win": MAX_FACTOR + 1}),
        (WHOLE, {"": 1}),
        (WHOLE, {"k" * 65: 1}),
        (WHOLE, {f"k{number}": 1 for number in range(MAX_KINDS + 1)}),
    ],
)
def test_factors_out_of_bounds(factor: int, kinds: dict[str, int]) -> None:
    refused = SetFactors("p", factor, kinds).decide(NOW, Customer(), PLAYER)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OUT_OF_BOUNDS


def test_nobody_has_no_factors() -> None:
    unknown = Refused(Reason.UNKNOWN_PLAYER)
    assert SetFactors("p", 1, {}).decide(NOW, Customer(), Player()) == unknown
    assert GetCustomer("p").answer(NOW, Customer(), Player()) == unknown


# Settings


def test_what_is_left_out_is_as_it_is_by_itself() -> None:
    assert read_risk_settings(b"{}") == RiskSettings()
    text = b'{"limits": {"classes": {"correct_score": {"max_stake_minor": 20000}}}}'
    table = read_risk_settings(text).limit_table
    assert table.of("correct_score").max_stake_minor == 20_000
    assert table.of("correct_score").max_liability_minor == Limits().max_liability_minor
    assert table.of("win") == RiskSettings().limits.otherwise.limits


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("nonsense", "JSON is malformed"),
        ('{"limit": {}}', "unknown field `limit`"),
        ('{"limits": {"otherwise": {"max_stake_minor": 0}}}', "$.limits.otherwise"),
        ('{"limits": {"otherwise": {"refer_above_minor": 9, "refer_up_to_minor": 8}}}', "referred"),
        ('{"curves": {"otherwise": {"points": [[5, 1], [3, 2]]}}}', "$.curves.otherwise"),
        ('{"curves": {"classes": {"win": {"resume_below": 1}}}}', "$.curves.classes"),
        ('{"hedges": {"above": 10, "down_to": 20}}', "$.hedges"),
        ('{"hedges": {"min_stake_minor": 0}}', "$.hedges"),
        ('{"hedges": {"exchange": "nobody"}}', "there are bogus"),
        ('{"hedges": {"exchange": "", "place": true}}', "at no exchange"),
        ('{"referrals": {"wait_ms": 300001}}', "$.referrals"),
        ('{"referrals": {"valid_ms": 0}}', "$.referrals"),
        ('{"referrals": {"at_once": 0}}', "$.referrals"),
        ('{"alerts": {"accounts": 0}}', "accounts is below 1"),
        ('{"alerts": {"price_share": 10001}}', "price_share"),
        ('{"max_payout_minor": 0}', "a slip pays"),
    ],
)
def test_bad_settings_are_one_clear_line(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "risk.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"^GRANDSTAND_RISK=") as refused:
        read_settings({"GRANDSTAND_RISK": str(file)})
    assert wrong in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_settings({"GRANDSTAND_RISK": str(tmp_path / "risk.json")})


@pytest.mark.parametrize(
    ("limits", "worst", "target"),
    [
        (Limits(max_liability_minor=1_000), 600, None),
        (Limits(max_liability_minor=1_000), 601, 400),
        (Limits(max_liability_minor=9_000, max_market_liability_minor=1_000), 601, 400),
    ],
)
def test_when_and_how_much_is_laid_off(limits: Limits, worst: int, target: int | None) -> None:
    assert hedge_target_minor(HedgeSettings(above=6_000, down_to=4_000), limits, worst) == target


# Alerts that are kept


def test_an_alert_is_raised_once() -> None:
    raised = Raised()
    command = RaiseAlert("a", Pattern.STAKE_ABOVE_HABIT, "player/p", NOW, {"bet_id": "b"})
    command.decide(NOW, raised).apply(raised)
    assert raised.alert == Alert(Pattern.STAKE_ABOVE_HABIT, "player/p", NOW, {"bet_id": "b"})
    assert command.decide(NOW, raised) == Refused(Reason.ALREADY_EXISTS)


def alert(pattern: Pattern, at_ms: int = NOW, subject: str = "s", **facts: Any) -> Alert:
    return Alert(pattern, subject, at_ms, facts)


HABIT, CHANGE, NEW = (
    Pattern.STAKE_ABOVE_HABIT,
    Pattern.BEFORE_PRICE_CHANGE,
    Pattern.NEW_ACCOUNTS,
)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (alert(HABIT, bet_id="b"), alert(HABIT, NOW + 1, bet_id="b"), True),
        (alert(HABIT, bet_id="b"), alert(HABIT, bet_id="c"), False),
        (alert(NEW, last_bet_id="b"), alert(NEW, last_bet_id="c"), True),
        (alert(NEW), alert(NEW, NOW + Rules().accounts_window_ms), False),
        (alert(NEW), alert(NEW, subject="t"), False),
        (
            alert(CHANGE, market_id="m", selection_id="a", bets=1),
            alert(CHANGE, market_id="m", selection_id="a", bets=2),
            True,
        ),
        (
            alert(CHANGE, market_id="m", selection_id="a"),
            alert(CHANGE, NOW + 1, market_id="m", selection_id="a"),
            False,
        ),
    ],
)
def test_what_an_alert_is_named_after(one: Alert, other: Alert, same: bool) -> None:
    assert (alert_id(one, Rules()) == alert_id(other, Rules())) is same


def test_a_habit_from_elsewhere_takes_the_place_of_what_is_known() -> None:
    watch = Watch(Rules(habit_min_minor=0))
    watch.know("p", 640, 64_000)
    habit = watch._habits.get("p")
    assert habit is not None
    assert (habit.bets, habit.stakes_minor) == (64, 6_400)
