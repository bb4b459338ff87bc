"""`make simulate`: evenings by the thousand, each under a seed of its own.

make simulate SEEDS=20000            that many; the result goes to results/simulate.json
make simulate SEEDS=500 FROM=7000    that many from another seed on
make simulate SEED=1234              that one again, with everything that happened in it
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.broken import VARIANTS, Variant
from tests.simulation.checker import check
from tests.simulation.evening import KINDS, Evening, Wrong

RESULT = Path("results/simulate.json")
LONG_RUN = 20_000
"""Seeds from which on a run's figures are kept there without being asked for."""


class Outcome(msgspec.Struct):
    """What became of one seed."""

    seed: int
    wrong: str
    """Which promise was not kept; empty if all were."""
    faults: list[str]
    plan: str
    steps: int
    virtual_s: float
    ops: int
    bets: int
    blocks: int
    trace_hash: str = ""


def play(
    seed: int, *, broken: Variant | None = None, verbose: bool = False, hashed: bool = False
) -> tuple[Outcome, Evening]:
    """One evening, played and checked."""
    bets = 0
    wrong = ""
    with Evening(seed, broken=broken, verbose=verbose) as evening:
        try:
            evening.play()
            bets = len(check(evening).slips)
        except Wrong as broken:
            wrong = str(broken)
        except Exception as failure:
            wrong = f"{type(failure).__name__}: {failure}"
            if verbose:
                raise
    simulation = evening.simulation
    blocks = sum(event == "committed" for _, event, _ in simulation.trace)
    outcome = Outcome(
        seed,
        wrong,
        evening.faults,
        str(evening.plan),
        simulation.loop.steps,
        simulation.loop.now_s,
        len(evening.ops),
        bets,
        blocks,
        simulation.trace_hash() if hashed else "",
    )
    return outcome, evening


@contextmanager
def without_collector() -> Iterator[None]:
    """Cycles are collected between evenings and not in them: it is a fifth faster."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def seeds_until_caught(broken: Variant, most: int, likely: int = 0) -> Outcome | None:
    """A seed below `most` whose evening shows that something is broken: `likely`, or else the first
    from 0 on."""
    for seed in (likely, *range(most)):
        outcome, _ = play(seed, broken=broken)
        if outcome.wrong:
            return outcome
    return None


SLICE = 50
"""Evenings that a process plays before its cycles are collected and it is given others."""


def play_slice(seeds: range) -> tuple[list[Outcome], float]:
    """Some evenings, and the seconds of CPU that they took."""
    began = time.process_time()
    with without_collector():
        played = [play(seed)[0] for seed in seeds]
    return played, time.process_time() - began


def play_many(first: int, count: int, jobs: int) -> Iterator[tuple[list[Outcome], float]]:
    """Slices of evenings in the order of their seeds, played by that many processes."""
    last = first + count
    slices = [range(seed, min(seed + SLICE, last)) for seed in range(first, last, SLICE)]
    if jobs == 1:
        yield from map(play_slice, slices)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(play_slice, slices)


def explain(outcome: Outcome) -> str:
    """A failure as somebody needs it who is to find out why."""
    faults = "".join(f"\n    {fault}" for fault in outcome.faults)
    return (
        f"seed {outcome.seed}: {outcome.wrong}\n  {outcome.plan}\n  what went wrong:{faults}\n"
        f"  again, with everything that happened: make simulate SEED={outcome.seed}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description="Evenings under seeds.")
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that play them")
    parser.add_argument("--seed", type=int, help="this one alone, with its story")
    parser.add_argument("--hashes", action="store_true", help="print the hash of each trace")
    parser.add_argument("--broken", action="store_true", help="how soon broken variants are caught")
    parser.add_argument("--result", type=Path, help="where the figures go")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _tell(asked.seed)
    if asked.broken:
        return _break(asked.seeds)
    if asked.hashes:
        for seed in range(asked.first, asked.first + asked.seeds):
            print(seed, play(seed, hashed=True)[0].trace_hash)
        return 0
    # The figures that are shown are those of a long run; a short one must not replace them.
    long_run = RESULT if asked.seeds >= LONG_RUN else None
    return _run(asked.first, asked.seeds, asked.jobs, asked.result or long_run)


def _tell(seed: int) -> int:
    from tests.simulation.story import story

    outcome, evening = play(seed, verbose=True, hashed=True)
    for line in story(evening):
        print(line)
    print(f"trace {outcome.trace_hash}")
    if outcome.wrong:
        print(explain(outcome))
        return 1
    print(f"seed {seed}: every promise was kept")
    return 0


def _break(most: int) -> int:
    missed = 0
    for name, broken in VARIANTS.items():
        caught = seeds_until_caught(broken, most)
        missed += caught is None
        seen = f"{caught.seed + 1:4}  {caught.wrong.splitlines()[0][:140]}" if caught else "never"
        print(f"{name.replace('_', ' '):50} {seen}", flush=True)
    return 1 if missed else 0


def _run(first: int, count: int, jobs: int, result: Path | None) -> int:
    """Play the evenings. The result is written now and then, of what is done so far."""
    from loadtest.report import machine

    facts = machine()
    began = time.monotonic()
    cpu_s, done = 0.0, 0
    wrong: list[Outcome] = []
    totals: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for played, slice_cpu_s in play_many(first, count, jobs):
        cpu_s += slice_cpu_s
        done += len(played)
        for outcome in played:
            totals.update(
                steps=outcome.steps,
                virtual_s=int(outcome.virtual_s),
                requests=outcome.ops,
                bets=outcome.bets,
                blocks=outcome.blocks,
                faults=len(outcome.faults),
            )
            faults.update(kind_of(fault) for fault in outcome.faults)
            if outcome.wrong:
                wrong.append(outcome)
                print(explain(outcome), flush=True)
        if done % (5 * SLICE) == 0 or done == count:
            figures = {
                "facts": facts,
                "targets": [_target(done, totals, len(wrong))],
                "first_seed": first,
                "seeds": done,
                "wrong": [outcome.seed for outcome in wrong],
                "cpu_ms_per_seed": round(1000 * cpu_s / done, 1),
                "seconds": round(time.monotonic() - began, 1),
                "virtual_hours": round(totals["virtual_s"] / 3600, 1),
                **{name: totals[name] for name in ("requests", "bets", "blocks", "steps")},
                "faults": totals["faults"],
                "faults_by_kind": dict(sorted(faults.items())),
            }
            if result is not None:
                _write(result, figures)
            print(
                f"{done} of {count} seeds, {len(wrong)} wrong, "
                f"{1000 * cpu_s / done:.0f} ms of CPU each",
                file=sys.stderr,
                flush=True,
            )
    print(
        f"{count} seeds, {totals['requests']} requests, {totals['bets']} bets, "
        f"{totals['faults']} faults: {len(wrong)} wrong"
    )
    return 1 if wrong else 0


def _target(done: int, totals: Counter[str], wrong: int) -> dict[str, Any]:
    """The row of the README."""
    return {
        "what": "evenings under seeds, with everything going wrong",
        "target": f"at least {LONG_RUN:,}, every promise kept",
        "measured": f"{done:,} with {totals['bets']:,} bets and {totals['faults']:,} faults, "
        f"{wrong} wrong",
        "met": done >= LONG_RUN and not wrong,
    }


def _write(result: Path, report: dict[str, Any]) -> None:
    result.parent.mkdir(parents=True, exist_ok=True)
    part = result.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(report, indent=2) + "\n")
    part.replace(result)


def kind_of(fault: str) -> str:
    """The kind of a fault that an evening notes: `<when> <kind>: <what>`."""
    kind = fault.partition(" ")[2].partition(":")[0]
    assert kind in KINDS, fault
    return kind


if __name__ == "__main__":
    sys.exit(main())
