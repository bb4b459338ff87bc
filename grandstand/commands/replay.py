"""`grandstand replay`: recorded markets through the running platform."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from actors.runtime import cluster
from actors.runtime.addresses import BOOK
from actors.runtime.clock import now_ms
from gateway.feeds import feed
from gateway.feeds.betfair import Recording, RecordingError, Settings
from gateway.feeds.pump import MAX_GAP_S, Tally
from grandstand.commands import console, fail, running
from grandstand.commands.feed import speak

REFRESH_S = 0.5


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Betfair Exchange Stream recordings; those of one race, replayed together, "
            "become one fixture. They may be compressed (.gz, .bz2)."
        ),
    ],
    speed: Annotated[
        float, typer.Option(help="Times real time; 0 is as fast as it goes.", min=0)
    ] = 60.0,
    max_gap: Annotated[
        float, typer.Option(help="The longest silence in real seconds, whatever the speed.", min=0)
    ] = MAX_GAP_S,
    run: Annotated[
        str,
        typer.Option(
            help="Part of the fixtures' ids. The same again goes on, or finds it all said."
        ),
    ] = "",
) -> None:
    """Replay recordings: fixtures appear, prices move, they go in play and are settled.

    The platform has to be running (`grandstand up`). Bets that players place meanwhile are settled
    on the recorded winners. The price of a runner is the best one to back in the recording, else
    the last one traded, with a margin of five per cent taken from its profit.
    """
    for file in files:
        if not file.is_file():
            fail(f"there is no file {file}")
    platform = running()
    try:
        settings = Settings(tuple(str(file) for file in files))
        source = feed("betfair").open(settings, run or f"{now_ms():x}", 0)
        assert isinstance(source, Recording)
    except (RecordingError, ValueError) as problem:
        fail(problem)
    try:
        cluster.connect(platform.gcs_address)
    except cluster.ClusterError as problem:
        fail(problem)
    console.print(f"Replaying into {platform.base_url}, run {source.run}")
    try:
        refused = asyncio.run(_replay(source, speed, max_gap, platform.databases[BOOK]))
    except RecordingError as problem:
        fail(problem)
    except KeyboardInterrupt:
        fail(f"interrupted; its markets are suspended. --run {source.run} brings them to their end")
    finally:
        cluster.stop()
    if not source.summary.markets:
        fail("there is no market in it that can be replayed")
    if refused:
        raise typer.Exit(1)


async def _replay(source: Recording, speed: float, max_gap_s: float, book_dsn: str) -> bool:
    """Replay to the end, with a table that counts; whether anything was refused."""
    tally = Tally()
    try:
        with Live(console=console, auto_refresh=False) as live:

            def show() -> None:
                live.update(_table(source, tally), refresh=True)

            await speak(source, book_dsn, tally, show, REFRESH_S, speed=speed, max_gap_s=max_gap_s)
            show()
    finally:
        console.print()
    for warning in source.summary.warnings:
        console.print(f"[yellow]warning:[/] {warning}")
    return bool(tally.refused)


def _table(source: Recording, tally: Tally) -> Table:
    summary = source.summary
    table = Table.grid(padding=(0, 2))
    table.add_row("messages", f"{summary.messages:,}")
    table.add_row("markets", str(summary.markets))
    table.add_row("price changes", f"{summary.price_changes:,}")
    table.add_row("suspensions", str(summary.suspensions))
    table.add_row("removed runners", str(summary.removed_runners))
    table.add_row("winners", ", ".join(summary.winners) or "-")
    table.add_row("commands accepted", f"{tally.accepted:,}")
    if tally.said_before:
        table.add_row("said before", f"{tally.said_before:,}")
    if tally.refused:
        table.add_row("refused", ", ".join(f"{why} {n}" for why, n in tally.refused.items()))
    return table
