"""What is to be reached, beside what was measured. Whether it was is computed, never written.

A report that has targets keeps them in its `data` under `targets`, as rows of this form; the
README's table is made of the rows of all reports (`tools/readme_table.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CONNECTIONS = 256
OF_LIMIT = 0.6
OF_ROWS = 4.0
OF_ROWS_HOT = 10.0
SOCKET_OF_LIMIT = 1.3
COMMANDS_PER_S = 60_000
SETTLED_PER_S = 20_000
TAIL = 5.0
MEDIAN_MS = 15.0
PUSH_MS = 250.0
STOP_MS = 1_000.0
WALLET_BYTES = 2_048
GROWTH = 0.15


def row(what: str, target: str, measured: str, met: bool) -> dict[str, Any]:
    return {"what": what, "target": target, "measured": measured, "met": met}


def targets(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of whatever a run of the bench has measured; what it left out has none."""
    return [*_contest(data), *_open_loop(data), *_inside(data)]


def rate_of(data: Mapping[str, Any], contestant: str, connections: int = CONNECTIONS) -> float:
    """Bets a second in the closed loop; 0 where that was not measured."""
    for line in data.get("contest", ()):
        if (line["contestant"], line["connections"], line["rate"]) == (
            contestant,
            connections,
            None,
        ):
            return float(line["bets_per_s"])
    return 0.0


def saturated(data: Mapping[str, Any], contestant: str) -> float:
    """The most bets a second that a contestant reached in the closed loop."""
    return max(
        (
            line["bets_per_s"]
            for line in data.get("contest", ())
            if line["contestant"] == contestant and line["rate"] is None
        ),
        default=0.0,
    )


def _contest(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    limit = rate_of(data, "limit")
    wanted = (
        ("HTTP bets, 256 connections, against the limit", "http", limit, OF_LIMIT, " of it"),
        (
            "HTTP bets against the row-lock peer, spread",
            "http",
            rate_of(data, "rows"),
            OF_ROWS,
            " times",
        ),
        (
            "HTTP bets against the row-lock peer, one hot market",
            "http-hot",
            rate_of(data, "rows-hot"),
            OF_ROWS_HOT,
            " times",
        ),
        (
            "WebSocket bets against the HTTP limit, 256 connections",
            "ws",
            limit,
            SOCKET_OF_LIMIT,
            " times",
        ),
    )
    for what, name, other, least, unit in wanted:
        ours = rate_of(data, name)
        if ours and other:
            share = ours / other
            shown = f"{share:.2f} ({ours:,.0f} to {other:,.0f}/s)"
            yield row(what, f"at least {least:g}{unit}", shown, share >= least)


def _open_loop(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    half = data.get("half", {}).get("http")
    if half:
        p50, p99 = half["p50_ms"], half["p99_ms"]
        yield row(
            "p99 of HTTP bets at half the saturated rate",
            f"at most {TAIL:g} times p50; p50 under {MEDIAN_MS:g} ms",
            f"{p99 / p50:.1f} times; p50 {p50:.1f} ms, p99 {p99:.1f} ms at {half['rate']:,.0f}/s",
            p99 <= TAIL * p50 and p50 < MEDIAN_MS,
        )
    settled = data.get("settlement")
    if settled:
        yield row(
            f"settlement of {settled['bets']:,} bets, while bets go on",
            f"at least {SETTLED_PER_S:,} bets/s",
            f"{settled['bets_per_s']:,.0f} bets/s",
            settled["bets_per_s"] >= SETTLED_PER_S,
        )
    push = data.get("push")
    if push:
        yield row(
            f"price push, {push['changes_per_s']:,.0f} changes/s to {push['sockets']:,} sockets "
            f"subscribed to {push['selections']} selections each",
            f"p99 under {PUSH_MS:g} ms",
            f"p99 {push['p99_ms']:.1f} ms, p50 {push['p50_ms']:.1f} ms",
            push["p99_ms"] < PUSH_MS and not push["sockets_lost"],
        )
    stop = data.get("stop")
    if stop:
        yield row(
            f"everything suspended, {stop['markets']:,} markets, to the last of "
            f"{stop['sockets']:,} sockets",
            f"under {STOP_MS / 1000:g} s",
            f"{stop['median_ms']:.0f} ms, worst of {len(stop['rounds_ms'])}: "
            f"{stop['worst_ms']:.0f} ms",
            stop["worst_ms"] < STOP_MS,
        )


def _inside(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    inside = data.get("inside", {})
    grow = inside.get("grow")
    if grow:
        few = grow["few"]
        yield row(
            "commands through decide, apply and journal, no HTTP, one shard",
            f"at least {COMMANDS_PER_S:,}/s",
            f"{few['per_s']:,.0f}/s",
            few["per_s"] >= COMMANDS_PER_S,
        )
    memory = inside.get("memory")
    if memory:
        yield row(
            "memory of an idle wallet in a shard",
            "under 2 KiB",
            f"{memory['bytes']:,.0f} bytes ({memory['per_gib']:,} wallets per GiB)",
            memory["bytes"] < WALLET_BYTES,
        )
    if grow:
        few, many = grow["few"], grow["all"]
        growth = many["cpu_us"] / few["cpu_us"] - 1
        yield row(
            f"cost per bet from {few['wallets']:,} to {many['wallets']:,} wallets",
            f"grows under {GROWTH:.0%}",
            f"{growth:+.0%} ({few['cpu_us']:.1f} to {many['cpu_us']:.1f} us of CPU)",
            growth < GROWTH,
        )
