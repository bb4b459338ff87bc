"""The table of targets: computed from what was measured, and nothing in the README is typed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loadtest.bench.page import report
from loadtest.bench.targets import targets

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_table", ROOT / "tools/readme_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(contestant: str, bets_per_s: float, rate: float | None = None) -> dict[str, Any]:
    return {
        "contestant": contestant,
        "connections": 256,
        "rate": rate,
        "bets_per_s": bets_per_s,
        "p50_ms": 10.0,
        "p99_ms": 50.0,
        "p999_ms": 60.0,
        "backlog": 0,
        "refused": {},
        "cpu_us": {"server": 100.0, "load generator": 15.0},
    }


def measured() -> dict[str, Any]:
    """A run in which every target is just met."""
    rates = {"limit": 10_000, "http": 6_000, "ws": 13_000, "rows": 1_500, "function": 2_000}
    rates |= {"http-hot": 5_000, "rows-hot": 500}
    one = {"count": 1, "seconds": 1.0, "shard_us": 8.0, "postgres_us": 2.0, "entries_per_block": 9}
    live = {"bets_per_s": 200.0, "p50_ms": 5.0, "p99_ms": 9.0, "refused": 0}
    return {
        "contest": [*(line(*pair) for pair in rates.items()), line("http", 3_000, 3_000.0)],
        "half": {"http": line("http", 3_000, 3_000.0)},
        "settlement": {
            "bets": 100_000,
            "seconds": 5.0,
            "bets_per_s": 20_000.0,
            "live_before": live,
            "live_during": live,
        },
        "push": {
            "sockets": 1_000,
            "selections": 20,
            "changes_per_s": 1_000.0,
            "arrivals": 200_000,
            "replaced_share": 0.0,
            "sockets_lost": 0,
            "p50_ms": 20.0,
            "p99_ms": 249.9,
            "p999_ms": 300.0,
        },
        "stop": {
            "sockets": 1_000,
            "markets": 1_300,
            "frames": 20_000,
            "rounds_ms": [400.0, 500.0, 999.9],
            "median_ms": 500.0,
            "worst_ms": 999.9,
        },
        "inside": {
            "grow": {
                "few": one | {"wallets": 10_000, "per_s": 60_000.0, "cpu_us": 10.0},
                "all": one | {"wallets": 1_000_000, "per_s": 55_000.0, "cpu_us": 11.4},
                "building": one | {"per_s": 50_000.0, "cpu_us": 12.0},
            },
            "beyond": one | {"per_s": 9_000.0, "cpu_us": 60.0},
            "memory": {"bytes": 2_047.0, "per_gib": 524_544},
            "cold": {"p50_ms": 0.5, "p99_ms": 1.0, "batched_per_s": 9_000.0},
            "reopen": {"p50_ms": 50.0, "worst_ms": 90.0, "together_ms": 200.0},
        },
    }


def test_what_is_just_reached_is_met() -> None:
    rows = targets(measured())
    assert len(rows) == 11
    assert [one["what"] for one in rows if not one["met"]] == []


def spoil(path: str, value: float) -> dict[str, Any]:
    """The same run, with one figure changed: `contest.http` is a rate, the rest are keys."""
    run = measured()
    head, *keys = path.split(".")
    if head == "contest":
        for one in run["contest"]:
            if one["contestant"] == keys[0] and one["rate"] is None:
                one["bets_per_s"] = value
        return run
    at = run[head]
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    return run


@pytest.mark.parametrize(
    ("path", "value", "missed"),
    [
        ("contest.limit", 10_001, "against the limit"),
        ("contest.rows", 1_501, "row-lock peer, spread"),
        ("contest.rows-hot", 501, "row-lock peer, one hot market"),
        ("contest.ws", 12_999, "WebSocket bets"),
        ("half.http.p99_ms", 50.1, "half the saturated rate"),
        ("settlement.bets_per_s", 19_999.0, "settlement"),
        ("push.p99_ms", 250.0, "price push"),
        ("push.sockets_lost", 1, "price push"),
        ("stop.worst_ms", 1_000.0, "everything suspended"),
        ("inside.grow.few.per_s", 59_999.0, "decide, apply and journal"),
        ("inside.memory.bytes", 2_048.0, "memory of an idle wallet"),
        ("inside.grow.all.cpu_us", 11.51, "cost per bet"),
    ],
)
def test_what_falls_short_is_not_met(path: str, value: float, missed: str) -> None:
    rows = [one for one in targets(spoil(path, value)) if not one["met"]]
    assert any(missed in one["what"] for one in rows)


def test_a_run_that_left_something_out_says_nothing_of_it() -> None:
    run = measured()
    del run["push"], run["inside"]
    assert len(targets(run)) == 7


def test_the_report_shows_the_run() -> None:
    made = report(measured())
    text = made.markdown()
    assert "| Grandstand, HTTP | 256 | 6,000 | 0.60 |" in text
    assert made.data["targets"] == targets(measured())
    assert "Bets a second by connections" in made.html()


def test_the_readmes_figures_are_those_of_the_runs_that_are_kept(tool: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    runs = tool.read(ROOT / "docs" / "results")
    assert "bench" in runs
    assert tool.written(readme, tool.block(runs)) == readme, "run tools/readme_table.py"


def test_the_kept_targets_are_what_their_figures_say(tool: ModuleType) -> None:
    """Nobody has edited a verdict in the file either."""
    kept = tool.read(ROOT / "docs" / "results")["bench"]["data"]
    assert kept["targets"] == targets(kept)


def test_what_a_drill_and_an_evening_came_to_is_in_the_readme(tool: ModuleType) -> None:
    kept = tool.read(ROOT / "docs" / "results")
    drills = kept["drill"]["data"]["drills"]
    table = tool.block(kept)
    assert all(drill["what"] in table for drill in drills)
    assert "NOT CLEAN" not in table
    drills[0] |= {"ledger": "a balance is wrong", "lost": 3}
    kept["drill"]["data"]["skipped"] = {"disk": "no loop device"}
    kept["spike"]["data"]["books"]["missing"] = 7
    worse = tool.block(kept)
    assert "| 3 | 0 | NOT CLEAN |" in worse
    assert "- disk was not carried out: no loop device" in worse
    assert "7 are missing" in worse


def test_a_changed_figure_changes_the_readme(tool: ModuleType) -> None:
    run = {"title": "", "facts": {"commit": "abc"}, "data": measured()}
    run["data"]["targets"] = targets(run["data"])
    before = tool.block({"bench": run})
    assert "| yes |" in before
    run["data"]["targets"][0] |= {"measured": "0.59", "met": False}
    after = tool.block({"bench": run})
    assert "| 0.59 | no |" in after
    readme = f"# Title\n\n{tool.BEGIN}\nold\n{tool.END}\nmore\n"
    assert tool.written(readme, after).endswith(f"{tool.END}\nmore\n")
    assert "old" not in tool.written(readme, after)
    with pytest.raises(ValueError, match="needs one line"):
        tool.written("# Title\n", after)
