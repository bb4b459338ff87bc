"""Patterns in what is bet: each of them seen, nothing else, and all memory bounded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.risk.alerts import Alert, Pattern, Placed, Priced, Rules, Watch

NOW = 1_800_000_000_000
OLD = NOW - 400 * 24 * 3_600_000
RULES = Rules(
    habit_min_minor=1_000,
    new_account_ms=1_000_000,
    accounts=3,
    accounts_window_ms=10_000,
    habit_bets=3,
    habit_factor=10,
    price_window_ms=5_000,
    price_share=1_000,
    max_selections=5,
    max_players=5,
    max_markets=5,
    max_recent=10,
)


def bet(at_ms: int = 0, player: str = "p", **more: Any) -> Placed:
    at_ms += NOW
    placed = Placed(at_ms, f"{player}-{at_ms}", player, OLD, "f:m", "a", 100, 25_000)
    return msgspec.structs.replace(placed, **more)


def newcomer(at_ms: int, player: str, **more: Any) -> Placed:
    return bet(at_ms, player, registered_at_ms=NOW - 1_000_000 + 50_000, **more)


def patterns(watch: Watch, *bets: Placed) -> list[list[Pattern]]:
    return [[alert.pattern for alert in watch.placed(one)] for one in bets]


def test_many_new_accounts_on_one_selection() -> None:
    watch = Watch(RULES)
    assert patterns(watch, newcomer(0, "p"), newcomer(1, "q"), newcomer(2, "p")) == [[], [], []]
    (alert,) = watch.placed(newcomer(10_000, "r"))
    assert alert == Alert(
        Pattern.NEW_ACCOUNTS,
        "selection/f:m/a",
        NOW + 10_000,
        {"accounts": 3, "last_bet_id": f"r-{NOW + 10_000}"},
    )
    # Said once in a window, which began with the minute; in the next it may be said again.
    assert patterns(watch, *(newcomer(11_000, one) for one in "stuv")) == [[], [], [], []]
    assert patterns(watch, *(newcomer(20_000, one) for one in "stu")) == [
        [],
        [],
        [Pattern.NEW_ACCOUNTS],
    ]


def test_the_habit_of_who_stakes_little_is_not_watched() -> None:
    watch = Watch(RULES)
    assert patterns(watch, *(bet(number, stake_minor=10_000**number) for number in range(4))) == [
        [] for _ in range(4)
    ]
    assert not watch.knows("p")
    watch.know("p", 64, 6_400)
    assert patterns(watch, bet(stake_minor=1_001)) == [[Pattern.STAKE_ABOVE_HABIT]]


@pytest.mark.parametrize(
    "bets",
    [
        [bet(0, "p"), bet(1, "q"), bet(2, "r")],  # they have been here for long
        [newcomer(0, "p"), newcomer(1, "q"), newcomer(10_001, "r")],  # the first is too long ago
        [newcomer(0, "p"), newcomer(1, "q"), newcomer(2, "r", selection_id="b")],
        [newcomer(0, "p"), newcomer(1, "q"), newcomer(2, "r", market_id="f:n")],
        # the last one has been here for long enough by now
        [newcomer(45_000, "p"), newcomer(46_000, "q"), newcomer(50_001, "r")],
    ],
)
def test_new_accounts_that_are_no_pattern(bets: list[Placed]) -> None:
    assert patterns(Watch(RULES), *bets) == [[], [], []]


@pytest.mark.parametrize(
    ("stakes", "alarming"),
    [
        ([100, 100, 100, 1_000], False),  # ten times the usual is not above it
        ([100, 100, 100, 1_001], True),
        ([100, 100, 1_001], False),  # no habit yet
        ([100, 300, 200, 2_001], True),
        ([1, 1, 1, 1_000, 1_001], False),  # what was alarming once is part of the habit
    ],
)
def test_a_stake_far_above_the_habit(stakes: list[int], alarming: bool) -> None:
    watch = Watch(RULES)
    watch.know("p", 0, 0)
    *_, last = (watch.placed(bet(number, stake_minor=stake)) for number, stake in enumerate(stakes))
    assert [alert.pattern for alert in last] == [Pattern.STAKE_ABOVE_HABIT] * alarming
    if alarming:
        usual = sum(stakes[:-1]) // (len(stakes) - 1)
        assert last[0].facts["usual_minor"] == usual
        assert last[0].subject == "player/p"


def test_a_habit_is_forgotten_slowly() -> None:
    watch = Watch(RULES)
    watch.know("p", 0, 0)
    for number in range(200):
        assert watch.placed(bet(number, stake_minor=10)) == []
    for number in range(500):
        watch.placed(bet(number, stake_minor=1_000))
    assert watch.placed(bet(stake_minor=9_000)) == []


@pytest.mark.parametrize(
    ("after_ms", "odds", "alarming"),
    [
        (5_000, {"a": 22_500}, True),
        (5_001, {"a": 22_500}, False),
        (0, {"a": 22_501}, False),
        (0, {"a": 30_000}, False),
        (0, {"a": 0}, False),  # off the board says nothing
        (0, {"b": 10_100}, False),
    ],
)
def test_a_bet_just_before_a_price_change(
    after_ms: int, odds: dict[str, int], alarming: bool
) -> None:
    watch = Watch(RULES)
    watch.placed(bet(-1, "q", selection_id="c"))
    watch.placed(bet())
    found = watch.priced(Priced(NOW + after_ms, "f:m", odds))
    assert [alert.subject for alert in found] == ["player/p"] * alarming
    if alarming:
        assert found[0].facts == {
            "market_id": "f:m",
            "selection_id": "a",
            "bets": 1,
            "stakes_minor": 100,
            "odds": 25_000,
            "odds_after": 22_500,
            "last_bet_id": f"p-{NOW}",
        }
        assert watch.priced(Priced(NOW + after_ms, "f:m", {"a": 20_000})) == []  # said once
    assert watch.priced(Priced(NOW, "f:n", odds)) == []


def test_bets_of_one_player_are_one_alert() -> None:
    watch = Watch(RULES)
    for at_ms, player in [(0, "p"), (1, "q"), (2, "p")]:
        watch.placed(bet(at_ms, player))
    found = watch.priced(Priced(NOW + 3, "f:m", {"a": 15_000}))
    assert {alert.subject: alert.facts["bets"] for alert in found} == {"player/p": 2, "player/q": 1}


stream = st.lists(
    st.tuples(
        st.integers(0, 8_000),
        st.integers(0, 20),
        st.integers(0, 12),
        st.integers(1, 5_000),
        st.booleans(),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(stream)
def test_memory_is_bounded_whatever_comes(script: list[Any]) -> None:
    watch, at_ms = Watch(RULES), 0
    for passed_ms, player, market, stake, new in script:
        at_ms += passed_ms
        one = (newcomer if new else bet)(at_ms, f"p{player}", stake_minor=stake)
        if not watch.knows(one.player_id):
            watch.know(one.player_id, 0, 0)
        watch.placed(msgspec.structs.replace(one, market_id=f"f:{market}"))
        if stake % 5 == 0:
            watch.priced(Priced(NOW + at_ms, f"f:{market}", {"a": 10_100}))
        for memory in (watch._newcomers, watch._habits, watch._recent):
            assert len(memory) <= 5
        for newcomers in watch._newcomers.values():
            assert len(newcomers.recent) <= 10
        for recent in watch._recent.values():
            assert len(recent) <= 10
