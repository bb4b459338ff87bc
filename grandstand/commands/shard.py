"""`grandstand status`, and `grandstand shard`: who has what, and moving it by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from actors.runtime import cluster
from actors.runtime.addresses import home_of, is_shard
from actors.runtime.hosts.controller import ShardSeen, Status
from actors.runtime.hosts.directory import Moved
from actors.runtime.router import ShardBusy, ShardUnreachable, View
from grandstand.commands import console, fail, running

app = typer.Typer(help="Shards of the running platform.", no_args_is_help=True)

SHOWN = 12
"""Decisions of the controller that `status` prints."""


@contextmanager
def _platform() -> Iterator[None]:
    """Beside the running platform; what goes wrong there is one line."""
    run = running()
    try:
        cluster.connect(run.gcs_address)
        yield
    except (cluster.ClusterError, ShardUnreachable, ShardBusy) as problem:
        fail(problem)
    finally:
        cluster.stop()


def _ask(host: str, method: str, *arguments: Any) -> Any:
    return cluster.Host(host).call_now(method, *arguments)


def status() -> None:
    """Show the shards, their partitions and spares, and what the controller did last."""
    with _platform():
        seen: Status = _ask(cluster.CONTROLLER, "status")
    table = Table("shard", "state", "process", "cpu", "loop lag", "waiting", "actors", "partitions")
    for shard in seen.shards:
        table.add_row(*_row(shard))
    console.print(table)
    console.print(
        f"moves: {seen.moves}, the longest pause {seen.longest_pause_ms:.0f} ms; "
        f"shards replaced: {seen.replaced}"
    )
    for decision in seen.decisions[:SHOWN]:
        at = dt.datetime.fromtimestamp(decision.at_ms / 1000, dt.UTC)
        console.print(
            f"[dim]{at:%H:%M:%S}[/] {decision.action}: {decision.why} [dim]({decision.outcome})[/]"
        )


def _row(shard: ShardSeen) -> tuple[str, ...]:
    state = "draining" if shard.draining else shard.state
    names = _in_ranges(shard.partitions)
    report = shard.report
    if report is None:
        return shard.name, state, "", "", "", "", "", names
    figures = (
        str(report.process_id),
        f"{report.cpu:.0%}",
        f"{report.lag_ms:.0f} ms",
        str(report.waiting),
        f"{report.actors:,}",
    )
    return shard.name, state, *figures, names


def _in_ranges(partitions: Sequence[str]) -> str:
    """`gb-00 to gb-03, gb-07`, so that a terminal has room for it."""
    ranges: list[list[str]] = []
    for name in sorted(partitions):
        scope, _, number = name.rpartition("-")
        if ranges and ranges[-1][-1] == f"{scope}-{int(number) - 1:0{len(number)}}":
            ranges[-1].append(name)
        else:
            ranges.append([name])
    return (
        ", ".join(some[0] if len(some) == 1 else f"{some[0]} to {some[-1]}" for some in ranges)
        or "none"
    )


@app.command()
def move(
    partitions: Annotated[str, typer.Argument(help="Such as gb-03, or several: gb-03,gb-07.")],
    shard: Annotated[str, typer.Argument(help="The shard that is to have them.")],
) -> None:
    """Move partitions to another shard, while they are in use."""
    with _platform():
        view: View = _ask(cluster.DIRECTORY, "view")
        if shard not in cluster.names_now():
            fail(f"there is no shard {shard}")
        for partition in partitions.split(","):
            if partition not in view.shards:
                fail(f"there is no partition {partition}")
            if home_of(shard) not in ("", partition.rpartition("-")[0]):
                fail(f"{shard} has none of the scope of {partition}")
            moved: Moved = _ask(cluster.DIRECTORY, "move", partition, shard)
            if moved.shard != shard:
                fail(f"{shard} did not take {partition}: it stays on {moved.shard}")
            console.print(f"{partition} is on {shard}; it paused for {moved.pause_ms:.0f} ms")


@app.command()
def add(
    shard: Annotated[str, typer.Argument(help="Its name, such as shard-gb-2.")],
) -> None:
    """Add a shard, where the cluster has a place for it; where not, it waits for one."""
    with _platform():
        view: View = _ask(cluster.DIRECTORY, "view")
        if not is_shard(shard) or home_of(shard) not in view.counts:
            scopes = ", ".join(sorted(view.counts))
            fail(f"{shard} is no name of a shard: shard-<scope>-<number>, of {scopes}")
        _ask(cluster.CONTROLLER, "add", shard)
    console.print(f"{shard} is on its way")
