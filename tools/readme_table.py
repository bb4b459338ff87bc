#!/usr/bin/env python3
"""The README's figures, made from what runs have measured; nobody types one.

    tools/readme_table.py --take      copy results/*.json to docs/results, then write the README
    tools/readme_table.py             write the README from docs/results
    tools/readme_table.py --check     exit status 1 when the README says something else

Each run (`make bench`, `make simulate`, `make drill`, `make spike`) keeps a JSON file with its
facts and its targets. Those of docs/results are in the repository; a test compares.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
KEPT = ROOT / "docs" / "results"
RESULTS = ROOT / "results"
RUNS = ("bench", "simulate", "drill", "spike")
BEGIN = "<!-- measured: tools/readme_table.py writes what follows -->"
END = "<!-- measured: end -->"
MAX_BYTES = 200_000
"""What is kept in the repository stays small; plots are in the HTML reports."""

TITLES = {
    "limit": "limit: a bare aiohttp handler that parses the same JSON and answers",
    "rows": "peer: one transaction a bet, row by row",
    "function": "peer: one PL/pgSQL function a bet",
    "actors": "peer: an actor for each wallet",
    "http": "Grandstand over HTTP",
    "ws": "Grandstand over WebSocket",
}


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The runs that are there, by name."""
    return {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in RUNS
        if (folder / f"{name}.json").exists()
    }


def block(runs: dict[str, dict[str, Any]]) -> str:
    """Everything between the markers."""
    parts = []
    targets = [
        (
            f"`make {name}`",
            one["what"],
            one["target"],
            one["measured"],
            "yes" if one["met"] else "no",
        )
        for name, run in runs.items()
        for one in _targets(run)
    ]
    if targets:
        parts.append(_table(("run", "what", "target", "measured", "met"), targets))
    if "bench" in runs:
        parts.append(_rates(runs["bench"]["data"]))
    if "drill" in runs:
        parts.append(_drills(runs["drill"]["data"]))
    if "spike" in runs:
        parts.append(_evening(runs["spike"]["data"]))
    parts.append("\n".join(_origin(name, run) for name, run in runs.items()))
    return "\n\n".join(part for part in parts if part)


def _targets(run: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run.get("data", run).get("targets", [])
    return rows


def _rates(data: dict[str, Any]) -> str:
    """The contest at the number of connections that the targets are of."""
    lines = [
        line for line in data["contest"] if line["rate"] is None and line["connections"] == 256
    ]
    limit = next((line["bets_per_s"] for line in lines if line["contestant"] == "limit"), 0.0)
    rows = []
    for line in lines:
        hot = line["contestant"].endswith("-hot")
        title = TITLES[line["contestant"].removesuffix("-hot")]
        share = f"{line['bets_per_s'] / limit:.2f}" if limit else "-"
        rows.append(
            (
                title + (", all bets on one market" if hot else ""),
                f"{line['bets_per_s']:,.0f}",
                share,
                f"{line['p50_ms']:.1f}",
                f"{line['p99_ms']:.1f}",
                f"{sum(line['cpu_us'].values()):,.0f}",
            )
        )
    columns = ("256 connections", "bets/s", "of the limit", "p50 ms", "p99 ms", "us CPU a bet")
    return _table(columns, rows)


def _drills(data: dict[str, Any]) -> str:
    """What each drill did to players; what was not carried out is said below."""
    columns = ("`make drill`", "bets placed", "attempts failed", "stood still, s", "a partition, s")
    columns += ("normal after, s", "lost", "doubled", "ledger", "target")
    rows = [
        (
            drill["what"],
            f"{drill['accepted']:,}",
            f"{sum(drill['failed'].values()):,}",
            f"{drill['gap_s']:.1f}",
            f"{drill['partition_gap_s']:.1f}",
            "never" if drill["normal_s"] is None else f"{drill['normal_s']:.1f}",
            f"{drill['lost']:,}",
            f"{drill['doubled']:,}",
            "clean" if drill["ledger"] == "clean" else "NOT CLEAN",
            drill["target"],
        )
        for drill in data["drills"]
    ]
    left_out = [f"- {name} was not carried out: {why}" for name, why in data["skipped"].items()]
    return "\n\n".join(filter(None, [_table(columns, rows), "\n".join(left_out)]))


def _evening(data: dict[str, Any]) -> str:
    """The night of the final by its phases, and what happened beside the bets."""
    columns = ("`make spike`", "bets/s wanted", "bets/s", "p50 ms", "p99 ms", "p99.9 ms")
    rows = [
        (
            phase["phase"]["name"].replace("_", " "),
            f"{phase['wanted']:,.0f}",
            f"{phase['rate']:,.0f}",
            *(f"{phase[name]:.1f}" for name in ("p50", "p99", "p999")),
        )
        for phase in data["phases"]
    ]
    payouts, books, push = data["payouts"], data["books"], data["push_ms"]
    beside = (
        f"Meanwhile {payouts['bets']:,} open bets were settled in {payouts['seconds']:.1f} s, "
        f"prices reached sockets with p50 {push['0.5']:.0f} ms and p99 {push['0.99']:.0f} ms, "
        f"and {data['withdrawals']:,} withdrawals were made. {books['acknowledged']:,} bets were "
        f"acknowledged: {books['missing']:,} are missing in the ledger, {books['told_twice']:,} "
        f"were told twice. All told the night was {'clean' if data['whole'] else 'NOT CLEAN'}."
    )
    return f"{_table(columns, rows)}\n\n{beside}"


def _origin(name: str, run: dict[str, Any]) -> str:
    facts = run.get("facts", {})
    said = [str(facts[fact]) for fact in ("machine", "date", "commit") if fact in facts]
    if "other programs meanwhile" in facts:
        said.append(f"other programs took {facts['other programs meanwhile']} meanwhile")
    return f"- `make {name}`: {'; '.join(said) or 'nothing is known of the run'}"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def written(readme: str, made: str) -> str:
    """The README with the block in its place. Raises ValueError where there is no place."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"the README needs one line {BEGIN} and one line {END} after it")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def take() -> list[str]:
    """Copy what runs have left; the names of the runs. Raises ValueError where one is too big."""
    KEPT.mkdir(parents=True, exist_ok=True)
    taken = []
    for name in RUNS:
        source = RESULTS / f"{name}.json"
        if source.exists():
            if source.stat().st_size > MAX_BYTES:
                raise ValueError(f"{source} has more than {MAX_BYTES:,} bytes: keep less in it")
            shutil.copyfile(source, KEPT / source.name)
            taken.append(name)
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", action="store_true")
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    try:
        if chosen.take:
            print(f"taken: {', '.join(take()) or 'nothing'}")
        readme = README.read_text()
        fresh = written(readme, block(read(KEPT)))
    except (OSError, ValueError, KeyError) as wrong:
        print(f"readme_table: {wrong}", file=sys.stderr)
        return 1
    if chosen.check:
        if fresh != readme:
            print("the README does not say what docs/results does: run tools/readme_table.py")
        return int(fresh != readme)
    README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
