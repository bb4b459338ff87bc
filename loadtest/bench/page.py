"""The bench's report: tables and plots of what `__main__` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from loadtest.bench.targets import CONNECTIONS, rate_of, targets
from loadtest.report import Report, machine

TITLES = {
    "limit": "limit: bare aiohttp",
    "http": "Grandstand, HTTP",
    "ws": "Grandstand, WebSocket",
    "rows": "peer: row locks",
    "function": "peer: one function",
    "actors": "peer: actor per wallet",
}

SUMMARY = """\
The same bet, under the same load, from the same generator, in the same minutes. A bet of Grandstand
is the whole bet: token checked, market held, wallet decided, block committed with fsync, hold
confirmed, and projected to the ledger. Latencies in the open loop count from the moment a bet fell
due. The load generator shares the machine with everything it loads."""


def title_of(contestant: str) -> str:
    hot = contestant.endswith("-hot")
    return TITLES[contestant.removesuffix("-hot")] + (", one market" if hot else "")


def report(data: Mapping[str, Any]) -> Report:
    made = Report("What a bet costs", SUMMARY)
    made.facts(machine())
    made.facts(data.get("facts", {}))
    made.data.update(data)
    made.data["targets"] = targets(data)
    made.table(
        "Targets",
        ("what", "target", "measured", "met"),
        [(one["what"], one["target"], one["measured"], one["met"]) for one in made.data["targets"]],
    )
    lines: Sequence[Mapping[str, Any]] = data.get("contest", ())
    if lines:
        _rates(made, data, lines)
        _open_loop(made, lines)
        _costs(made, lines)
    _stories(made, data)
    made.text(METHOD)
    return made


def _rates(made: Report, data: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    closed = [line for line in lines if line["rate"] is None]
    made.table(
        "Closed loop",
        ("what", "connections", "bets/s", "of the limit", "p50 ms", "p99 ms", "p99.9 ms", "us/bet"),
        [
            (
                title_of(line["contestant"]),
                line["connections"],
                round(line["bets_per_s"]),
                _share(line, rate_of(data, "limit", line["connections"])),
                line["p50_ms"],
                line["p99_ms"],
                line["p999_ms"],
                round(sum(line["cpu_us"].values())),
            )
            for line in closed
        ],
        note="Medians of the rounds. us/bet is CPU of everything together, the load generator too. "
        "`of the limit` is the share of the bare handler at as many connections.",
    )
    figure = go.Figure()
    for name in dict.fromkeys(line["contestant"] for line in closed):
        some = sorted(
            (line for line in closed if line["contestant"] == name),
            key=lambda line: int(line["connections"]),
        )
        figure.add_scatter(
            x=[str(line["connections"]) for line in some],
            y=[line["bets_per_s"] for line in some],
            name=title_of(name),
            mode="lines+markers",
        )
    sizes = [str(size) for size in sorted({line["connections"] for line in closed})]
    figure.update_xaxes(title="connections", type="category", categoryarray=sizes)
    figure.update_yaxes(title="bets a second", rangemode="tozero")
    made.plot("Bets a second by connections", figure)
    tails = [line for line in closed if line["connections"] == CONNECTIONS]
    figure = go.Figure()
    for line in tails:
        figure.add_scatter(
            x=["p50", "p99", "p99.9"],
            y=[line["p50_ms"], line["p99_ms"], line["p999_ms"]],
            name=title_of(line["contestant"]),
            mode="lines+markers",
        )
    figure.update_yaxes(title="ms", type="log")
    made.plot(f"Latency by percentile, closed loop, {CONNECTIONS} connections", figure)


def _open_loop(made: Report, lines: Sequence[Mapping[str, Any]]) -> None:
    opened = [line for line in lines if line["rate"] is not None]
    if not opened:
        return
    made.table(
        "Open loop",
        ("what", "due/s", "bets/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 / p50", "waited at most"),
        [
            (
                title_of(line["contestant"]),
                round(line["rate"]),
                round(line["bets_per_s"]),
                line["p50_ms"],
                line["p99_ms"],
                line["p999_ms"],
                line["p99_ms"] / line["p50_ms"] if line["p50_ms"] else None,
                round(line["backlog"]),
            )
            for line in opened
        ],
        note="Bets fall due at random moments, at a share of the most that each reached in the "
        "closed loop. `waited at most`: bets that were due and found no free connection.",
    )
    figure = go.Figure()
    for line in opened:
        figure.add_scatter(
            x=["p50", "p99", "p99.9"],
            y=[line["p50_ms"], line["p99_ms"], line["p999_ms"]],
            name=f"{title_of(line['contestant'])} at {line['rate']:,.0f}/s",
            mode="lines+markers",
        )
    figure.update_yaxes(title="ms", type="log")
    made.plot("Latency by percentile, open loop", figure)


def _costs(made: Report, lines: Sequence[Mapping[str, Any]]) -> None:
    some = [
        line for line in lines if line["rate"] is None and line["connections"] == CONNECTIONS
    ] or [line for line in lines if line["rate"] is None]
    groups = sorted(
        {group for line in some for group, us in line["cpu_us"].items() if us >= 1},
        key=lambda group: -max(line["cpu_us"].get(group, 0.0) for line in some),
    )
    figure = go.Figure()
    for group in groups:
        figure.add_bar(
            y=[title_of(line["contestant"]) for line in some],
            x=[line["cpu_us"].get(group, 0.0) for line in some],
            name=group,
            orientation="h",
        )
    figure.update_layout(barmode="stack", height=120 + 44 * len(some))
    figure.update_xaxes(title="us of CPU a bet")
    figure.update_yaxes(autorange="reversed", automargin=True)
    made.plot(
        f"CPU a bet by process, {some[0]['connections']} connections",
        figure,
        note="Counted until the ledger has every bet, so projecting it is in it.",
    )
    made.table(
        "",
        ("us of CPU a bet", *groups),
        [
            (
                title_of(line["contestant"]),
                *(round(line["cpu_us"].get(group, 0.0), 1) for group in groups),
            )
            for line in some
        ],
    )


def _stories(made: Report, data: Mapping[str, Any]) -> None:
    settled = data.get("settlement")
    if settled:
        made.table(
            "Settlement, while players bet on other markets",
            ("", "bets/s", "p50 ms", "p99 ms", "refused"),
            [
                (name, live["bets_per_s"], live["p50_ms"], live["p99_ms"], live["refused"])
                for name, live in (
                    ("live bets before", settled["live_before"]),
                    ("live bets while settling", settled["live_during"]),
                )
            ],
            note=f"{settled['bets']:,} bets of one market were settled in "
            f"{settled['seconds']:.1f} s, {settled['bets_per_s']:,.0f} bets/s: from the answer "
            "that the result was taken to the market that says it is settled.",
        )
    push = data.get("push")
    if push:
        made.table(
            "Price push",
            ("changes/s", "sockets", "arrivals", "replaced", "p50 ms", "p99 ms", "p99.9 ms"),
            [
                (
                    round(push["changes_per_s"]),
                    push["sockets"],
                    push["arrivals"],
                    f"{push['replaced_share']:.1%}",
                    push["p50_ms"],
                    push["p99_ms"],
                    push["p999_ms"],
                )
            ],
            note="From the moment a change was due at the feed to the arrival of its frame. "
            "`replaced`: prices that a later one of the same selection overtook on the way, and "
            "those that never came.",
        )
    stop = data.get("stop")
    if stop:
        made.table(
            "Everything is suspended",
            ("markets", "sockets", "frames", "median ms", "worst ms"),
            [
                tuple(
                    stop[name] for name in ("markets", "sockets", "frames", "median_ms", "worst_ms")
                )
            ],
            note=f"{len(stop['rounds_ms'])} rounds, each from the trader's request to the last "
            "frame of the last socket; `frames` are those that sockets waited for.",
        )
    inside = data.get("inside", {})
    if "grow" in inside:
        made.table(
            "One shard from inside: no HTTP, no Ray; encoded batches in, durable replies out",
            ("what", "per second", "us shard", "us Postgres", "us together"),
            [
                (name, round(one["per_s"]), one["shard_us"], one["postgres_us"], one["cpu_us"])
                for name, one in (
                    ("registering, depositing", inside["grow"]["building"]),
                    (f"bets, {inside['grow']['few']['wallets']:,} wallets", inside["grow"]["few"]),
                    (f"bets, {inside['grow']['all']['wallets']:,} wallets", inside["grow"]["all"]),
                    ("bets, a fifth of those in memory", inside["beyond"]),
                )
            ],
        )
        cold, reopen, memory = inside["cold"], inside["reopen"], inside["memory"]
        made.table(
            "Memory, and coming back to it",
            ("what", "measured"),
            [
                ("a wallet at rest in memory", f"{memory['bytes']:,.0f} bytes"),
                ("wallets per GiB", memory["per_gib"]),
                ("a cold wallet, one at a time, p50", f"{cold['p50_ms']:.2f} ms"),
                ("a cold wallet, one at a time, p99", f"{cold['p99_ms']:.2f} ms"),
                ("cold wallets in batches", f"{cold['batched_per_s']:,.0f}/s"),
                ("a partition opened again after a kill, p50", f"{reopen['p50_ms']:.0f} ms"),
                ("all partitions of the shard at once", f"{reopen['together_ms']:.0f} ms"),
            ],
        )


def _share(line: Mapping[str, Any], limit: float) -> float | None:
    return line["bets_per_s"] / limit if limit else None


METHOD = """\
## How it was measured

- All contestants are up all the time and play in turn, several rounds; what is quoted are medians.
- The peers use the same Postgres, with fsync on, in a database of their own. Their pool and their
  number of processes are the best of those tried at the beginning of the run. They look tokens up
  in a dict in memory, where Grandstand asks its sessions.
- HTTP bets are of every wallet in turn; a WebSocket is one wallet's.
- After the run every bet that was acknowledged was counted in the ledger, and the ledger verified.
"""
