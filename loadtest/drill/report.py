"""The drills as one table, with a picture of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from loadtest.drill.measure import NORMAL_S, STEP_S
from loadtest.drill.stage import BEFORE_S, Outcome
from loadtest.report import Report, machine

SUMMARY = """\
Bets are placed all the while, at a fixed rate and over HTTP and WebSocket, by clients that repeat
with the same key whatever gets no answer. Then something is killed. Afterwards every bet that was
acknowledged is looked for, every bet that is there is looked for among those acknowledged, and
`grandstand ledger verify` goes through the books.
"""
COLUMNS = (
    "drill",
    "lost",
    "doubled",
    "ledger",
    "stood still, s",
    "a partition, s",
    "normal after, s",
    "slowest bet, s",
    "target",
    "attempts failed",
    "bets refused",
    "bets placed",
)
NOTE = f"""\
*Stood still*: the longest stretch without an accepted bet, of all bets, and then of those of one
partition's players or markets, where some tenths of a second between bets are nothing unusual.
*Normal after*: from the blow to the moment from which on, for {NORMAL_S} s and more, bets are
accepted as fast as they fall due and at most one attempt in a hundred fails in any second; a dash
is never. *Slowest bet*: from the moment it fell due to its answer, with all repetitions and the
second that `Retry-After` asks clients to wait. *Attempts failed*: requests without an answer, or
answered with "try again", by code; each was repeated. *Refused*: answered with a final no;
`hold_expired` means that the bet was not placed in time.
"""


def write(
    folder: Path,
    outcomes: Sequence[Outcome],
    skipped: dict[str, str],
    rate: float,
    seconds: float,
) -> Path:
    """results/drill.html, .md and .json; the path of the first."""
    report = Report("Drills", SUMMARY)
    report.facts(machine())
    safe = all(outcome.safe for outcome in outcomes)
    report.facts(
        {
            "load": f"{rate:,.0f} bets/s, open loop",
            "took": f"{seconds:.0f} s",
            "lost or doubled": "nothing" if safe else "SOMETHING: see the table",
        }
    )
    report.table("All drills", COLUMNS, [_row(outcome) for outcome in outcomes], NOTE)
    for name, why in skipped.items():
        report.text(f"**{name}** was not carried out: {why}.")
    for outcome in outcomes:
        drill = outcome.drill
        note = f"{_sentence(drill.what)} {_sentence(drill.heals)}"
        report.plot(drill.name, _figure(outcome), note)
        if outcome.ledger:
            report.text(f"```\n{outcome.ledger}\n```")
    report.data["drills"] = [_data(outcome) for outcome in outcomes]
    report.data["skipped"] = skipped
    return report.write(folder, "drill")


def _row(outcome: Outcome) -> list[object]:
    return [
        outcome.drill.name,
        outcome.books.lost,
        outcome.books.doubled,
        "NOT CLEAN" if outcome.ledger else "clean",
        round(outcome.gap_s, 1),
        round(outcome.partition_gap_s, 1),
        None if outcome.normal_s is None else round(outcome.normal_s, 1),
        round(outcome.slowest_s, 1),
        outcome.target,
        _by_code(outcome.failed),
        _by_code(outcome.refused),
        outcome.accepted,
    ]


def _by_code(counted: Counter[str]) -> str:
    return ", ".join(f"{code} {count:,}" for code, count in counted.most_common()) or "0"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _figure(outcome: Outcome) -> go.Figure:
    seconds = [round(number * STEP_S - BEFORE_S, 1) for number in range(len(outcome.timeline))]
    figure = go.Figure()
    figure.add_bar(x=seconds, y=outcome.timeline, name="bets accepted in 100 ms")
    figure.add_scatter(
        x=seconds, y=outcome.failures, name="attempts failed in 100 ms", mode="lines"
    )
    for mark in outcome.marks:
        figure.add_vline(x=mark.at, line_dash="dot", annotation_text=mark.what)
    figure.update_layout(bargap=0)
    figure.update_xaxes(title="seconds since the blow")
    return figure


def _data(outcome: Outcome) -> dict[str, object]:
    return {
        "drill": outcome.drill.name,
        "what": outcome.drill.what,
        "rate": outcome.rate,
        "accepted": outcome.accepted,
        "failed": dict(outcome.failed),
        "refused": dict(outcome.refused),
        "unanswered": outcome.unanswered,
        "gap_s": outcome.gap_s,
        "partition_gap_s": outcome.partition_gap_s,
        "normal_s": outcome.normal_s,
        "slowest_s": outcome.slowest_s,
        "lost": outcome.books.lost,
        "doubled": outcome.books.doubled,
        "ledger": outcome.ledger or "clean",
        "target": outcome.target,
        "timeline": outcome.timeline,
        "failures": outcome.failures,
        "marks": [list(mark) for mark in outcome.marks],
    }
