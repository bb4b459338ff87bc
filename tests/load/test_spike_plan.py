"""The programme: how many players there are when, and what is refused."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import msgspec
import pytest

from loadtest.spike.__main__ import chosen
from loadtest.spike.plan import PhaseName, quick
from loadtest.spike.slips import HOT, LARGE, OTHER, Slips
from loadtest.spike.stage import FAR_OFF_S, NotHere
from tests.load.scenery import PLAN, stage


def test_phases_follow_each_other_without_a_gap() -> None:
    phases = PLAN.phases
    assert [phase.name for phase in phases] == list(PhaseName)
    assert phases[0].from_s == 0
    assert all(one.to_s == other.from_s for one, other in itertools.pairwise(phases))
    assert phases[-1].to_s == PLAN.end_s


def test_the_rise_is_fifty_fold_within_a_minute_and_never_falls() -> None:
    rise = PLAN.phase(PhaseName.RISE)
    assert rise.to_s - rise.from_s <= 60
    assert PLAN.rate_at(rise.from_s) == PLAN.quiet_rate
    assert PLAN.rate_at(rise.to_s) == pytest.approx(50 * PLAN.quiet_rate)
    steps = [PLAN.rate_at(rise.from_s + second) for second in range(int(PLAN.rise_s))]
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("at_s", "rate"),
    [(0, 20), (29.9, 20), (60, 510), (100, 1000), (169, 1000), (171, 300), (259, 300), (270, 20)],
)
def test_the_rate_at_a_moment(at_s: float, rate: float) -> None:
    assert PLAN.rate_at(at_s) == pytest.approx(rate)


@pytest.mark.parametrize("rate", [1.0, 20.0, 333.0, 1000.0])
def test_as_many_players_as_make_the_rate(rate: float) -> None:
    over_http, over_websocket = PLAN.users_for(rate)
    made = over_http / (PLAN.pause_s / 2) + over_websocket * PLAN.slip / PLAN.pause_s
    # One player more or less of each kind is as near as it gets.
    assert made == pytest.approx(rate, abs=1 / PLAN.pause_s * 2 + PLAN.slip / PLAN.pause_s)


def test_windows_lie_in_steady_load_and_take_turns() -> None:
    windows = PLAN.large_windows()
    in_play = PLAN.phase(PhaseName.IN_PLAY)
    assert [window.large for window in windows] == [False, True, False, True]
    assert windows[0].from_s >= in_play.from_s + PLAN.settle_in_s
    assert windows[-1].to_s == pytest.approx(in_play.to_s)
    for window in windows:
        middle_s = (window.from_s + window.to_s) / 2
        assert PLAN.large_in_use(middle_s) is window.large
        assert PLAN.rate_at(middle_s) == PLAN.peak_rate


def test_the_large_market_opens_in_the_rise() -> None:
    assert PLAN.phase_at(PLAN.large_opens_s) is PhaseName.RISE
    assert not PLAN.large_in_use(PLAN.large_opens_s - 0.1)
    assert PLAN.large_in_use(PLAN.large_opens_s)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quiet_s": -1},
        {"quiet_rate": 0},
        {"hot_share": 1.5},
        {"quiet_rate": 1e6},
        {"sockets": 100_000},
        {"in_play_s": 10_000},
        {"large_selections": 20_001},
        {"fixtures": 1},
    ],
)
def test_what_can_not_be_played_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        msgspec.structs.replace(PLAN, **wrong)


def test_scale_changes_amounts_and_no_times() -> None:
    half = PLAN.scaled(0.5)
    assert (half.peak_rate, half.open_bets, half.sockets) == (500, 50_000, 500)
    assert half.end_s == PLAN.end_s


def test_variables_and_words_choose_the_plan() -> None:
    plan, _ = chosen(["--sockets", "30"], {"QUICK": "1", "SCALE": "0.5"})
    assert plan == msgspec.structs.replace(quick().scaled(0.5), sockets=30)
    assert chosen([], {"QUICK": "0", "SCALE": ""})[0] == PLAN


def test_a_wrong_word_ends_with_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chosen(["--hot-share", "2"], {})
    assert "hot_share is a share" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["http://example.com:80", "http://10.0.0.1", "http://[::2]:1"])
def test_only_this_machine_is_loaded(address: str) -> None:
    with pytest.raises((NotHere, msgspec.ValidationError)):
        stage(base_url=address)


def shares(at_s: float, number: int = 4_000) -> dict[str, float]:
    slips = Slips(PLAN, stage(), random.Random(1))
    kinds = [slips.next(at_s).kind for _ in range(number)]
    return {kind: kinds.count(kind) / number for kind in (HOT, LARGE, OTHER)}


def test_half_of_all_bets_go_to_one_market_until_its_whistle() -> None:
    assert shares(PLAN.kick_off_s + 1)[HOT] == pytest.approx(0.5, abs=0.03)
    assert shares(PLAN.whistle_s + 5) == {HOT: 0, LARGE: 0, OTHER: 1}


def test_the_large_market_is_bet_on_in_its_windows_only() -> None:
    for window in PLAN.large_windows():
        share = shares((window.from_s + window.to_s) / 2)[LARGE]
        assert share == pytest.approx(PLAN.large_share if window.large else 0, abs=0.02)


def test_a_player_asks_for_the_price_last_seen() -> None:
    slips = Slips(PLAN, stage(selections=["s0", "s1"]), random.Random(1))
    seen = next(slip for slip in iter(lambda: slips.next(0), None) if slip.kind == OTHER)
    slips.learn(seen, 23_000)
    wanted = (seen.body["market_id"], seen.body["selection_id"])
    later = [slips.next(0).body for _ in range(50)]
    assert {
        body["odds"] for body in later if (body["market_id"], body["selection_id"]) == wanted
    } == {23_000}


def test_all_begin_together_and_nobody_before(tmp_path: Path) -> None:
    director, player = (stage(folder=str(tmp_path)) for _ in range(2))
    assert player.now_s() == FAR_OFF_S
    director.begin(time.monotonic() - 5)
    assert 5 <= player.now_s() < 60
    assert player.begins_s == director.begins_s
