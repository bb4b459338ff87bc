"""A very small Super Bowl, from nothing to its report, as `make spike` plays it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVENING = {
    "quiet-s": 4,
    "rise-s": 5,
    "in-play-s": 6,
    "payouts-s": 3,
    "withdrawals-s": 3,
    "calm-s": 1,
    "settle-in-s": 1,
    "quiet-rate": 3,  # of chance: twelve bets are wanted, and none has to be impossible
    "players": 40,
    "open-bets": 300,
    "early-sockets": 8,
    "fixtures": 4,
    "selections": 5,
    "sockets": 20,
    "large-selections": 2_000,
}


@pytest.mark.timeout(900)
def test_an_evening_is_played_and_every_bet_is_in_the_books(tmp_path: Path) -> None:
    words = [f"--{name}={value}" for name, value in EVENING.items()]
    command = [sys.executable, "-m", "loadtest.spike", "--out", str(tmp_path), *words]
    played = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr

    figures = json.loads((tmp_path / "spike.json").read_text())["data"]
    books = figures["books"]
    assert figures["whole"]
    assert books["missing"] == books["told_twice"] == books["hot_open"] == 0
    assert books["acknowledged"] >= EVENING["open-bets"]
    assert figures["payouts"]["bets"] >= EVENING["open-bets"]
    assert {
        phase["phase"]["name"]: phase["rate"] > 0 for phase in figures["phases"]
    } == dict.fromkeys(("quiet", "rise", "in_play", "payouts", "withdrawals", "calm"), True)
    assert figures["push_ms"]["0.5"] > 0
    assert figures["large"]["with_ms"]["0.5"] > 0
    assert figures["large"]["bets"] > 0
    assert figures["withdrawals"] > 0
    assert (tmp_path / "spike.html").stat().st_size > 1_000_000  # the plots' script is in it
    assert "This platform does not tell" not in (tmp_path / "spike.md").read_text()
