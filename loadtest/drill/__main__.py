"""`make drill`: the drills in turn, and their report."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

import uvloop

from loadtest.drill.drills import DRILLS, HOUSES, NeedsRoot
from loadtest.drill.report import write
from loadtest.drill.stage import Drill, Outcome, carry_out
from loadtest.report import RESULTS

RATE = 250.0


def main() -> None:
    names = [drill.name for drill in DRILLS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {','.join(names)}; all when empty")
    parser.add_argument("--rate", type=float, default=RATE, help="bets a second")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the report goes")
    chosen = parser.parse_args()
    wanted = [name for name in chosen.only.split(",") if name] or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no drill {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    # So that what was started is stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    began = time.monotonic()
    outcomes, skipped = run([drill for drill in DRILLS if drill.name in wanted], chosen.rate)
    seconds = time.monotonic() - began
    page = write(chosen.results, outcomes, skipped, chosen.rate, seconds)
    print(f"{len(outcomes)} drills in {seconds:.0f} s: {page}")
    bad = [outcome.drill.name for outcome in outcomes if not outcome.safe]
    if bad:
        sys.exit(f"lost, doubled or not clean after: {', '.join(bad)}")


def run(drills: list[Drill], rate: float) -> tuple[list[Outcome], dict[str, str]]:
    """Carry them out; what they came to, and why some were not done."""
    outcomes: list[Outcome] = []
    skipped: dict[str, str] = {}
    for kind, house in HOUSES.items():
        mine = [drill for drill in drills if drill.house == kind]
        if not mine:
            continue
        print(f"starting a platform ({kind})", flush=True)
        try:
            with house(len(mine)) as stage:
                for drill in mine:
                    outcomes.append(uvloop.run(carry_out(stage, drill, rate)))
                    print(line(outcomes[-1]), flush=True)
        except NeedsRoot as why:
            for drill in mine:
                skipped[drill.name] = str(why)
                print(f"{drill.name:14} {why}", flush=True)
    return outcomes, skipped


def line(outcome: Outcome) -> str:
    """One drill in a terminal."""
    normal = "never" if outcome.normal_s is None else f"{outcome.normal_s:.1f} s"
    safe = "safe" if outcome.safe else f"NOT SAFE {outcome.books} {outcome.ledger}"
    return (
        f"{outcome.drill.name:14} {safe}; {outcome.accepted:,} bets, longest gap "
        f"{outcome.gap_s:.2f} s, of a partition {outcome.partition_gap_s:.2f} s, "
        f"normal after {normal}; {sum(outcome.failed.values()):,} attempts failed; "
        f"target {outcome.target}"
    )


if __name__ == "__main__":
    main()
