"""`grandstand feed`: a source of sport, live or recorded, into the running platform."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from actors.base import Command, Question, Several
from actors.market import MarketStatus
from actors.runtime import cluster
from actors.runtime.addresses import BOOK
from actors.runtime.clock import Clock, WallClock, now_ms
from actors.runtime.router import Answer, Router, Transport
from actors.trading import ChangeStatus, OpenMarket
from gateway.feeds import all_feeds
from gateway.feeds import feed as feed_named
from gateway.feeds.feed import Feed, Source
from gateway.feeds.pump import Tally, pump, unfinished
from gateway.standing import Opening
from grandstand import commands
from grandstand.commands import console, fail, running
from ledger.database import open_pool
from ledger.desk_reads import DeskReads
from ledger.reads import LedgerReads

REFRESH_S = 5.0


def feed(
    name: Annotated[str, typer.Argument(help="Which one: " + ", ".join(sorted(all_feeds())))],
    settings: Annotated[
        Path, typer.Argument(help="A JSON file with its settings, as its module documents them.")
    ],
    run: Annotated[
        str,
        typer.Option(help="Part of the fixtures' ids: the same again goes on with the same ones."),
    ] = "live",
    speed: Annotated[
        float, typer.Option(help="Times real time; 0 is as fast as it goes.", min=0)
    ] = 1.0,
) -> None:
    """Say to the platform what a feed says, until it ends or Ctrl-C suspends its markets."""
    if not settings.is_file():
        fail(f"there is no file {settings}")
    try:
        kind = feed_named(name)
        told = msgspec.json.decode(settings.read_bytes(), type=kind.settings)
        source = kind.open(told, run, now_ms())
    except KeyError as unknown:
        fail(unknown.args[0])
    except (ValueError, msgspec.MsgspecError, OSError) as problem:
        fail(f"{settings}: {problem}")
    platform = running()
    try:
        cluster.connect(platform.gcs_address)
    except cluster.ClusterError as problem:
        fail(problem)
    console.print(f"{name} speaks to {platform.base_url}, run {run}; Ctrl-C ends it")
    try:
        tally = asyncio.run(_feed(source, speed, kind, run, platform.databases[BOOK]))
    except KeyboardInterrupt:
        fail(f"interrupted; its markets are suspended. --run {run} goes on with them")
    finally:
        cluster.stop()
    failure = getattr(source, "failure", "")
    if failure:
        fail(failure)
    if tally.refused:
        raise typer.Exit(1)


async def _feed(source: Source, speed: float, kind: Feed, run: str, book_dsn: str) -> Tally:
    """Until the source ends; a line now and then says how it goes."""
    tally = Tally()

    async def left(book: LedgerReads) -> list[str]:
        return await unfinished(book, kind, run) if source.live else []

    def show() -> None:
        console.print(_line(tally))

    await speak(source, book_dsn, tally, show, REFRESH_S, left=left, speed=speed)
    return tally


async def speak(
    source: Source,
    book_dsn: str,
    tally: Tally,
    show: Callable[[], None],
    refresh_s: float,
    *,
    left: Callable[[LedgerReads], Awaitable[list[str]]] | None = None,
    speed: float,
    max_gap_s: float | None = None,
) -> None:
    """Say to the running platform what a source says, and `show` how it goes now and then.

    `left` finds what an earlier process of a live feed may have left on the board. Where it is
    cancelled, all markets that were opened are suspended first.
    """
    clock = WallClock()
    router = NotingRouter(cluster.RayTransport(), clock)
    async with await open_pool(book_dsn, max_size=1) as pool:
        speaking = asyncio.ensure_future(
            pump(
                source,
                router,
                clock,
                speed=speed,
                max_gap_s=max_gap_s,
                tally=tally,
                limits=commands.settings().risk.limit_table,
                left=await left(LedgerReads(pool)) if left else (),
                stops=Opening(router, clock, DeskReads(pool)),
            )
        )
        try:
            while not speaking.done():
                await asyncio.wait([speaking], timeout=refresh_s)
                show()
        except asyncio.CancelledError:
            speaking.cancel()
            await router.suspend_all()
            raise
        await speaking


def _line(tally: Tally) -> str:
    refused = ", ".join(f"{why} {count}" for why, count in tally.refused.items())
    return (
        f"{tally.accepted:,} commands accepted, {tally.merged:,} merged, "
        f"{tally.said_before:,} said before, refused: {refused or 'none'}"
    )


class NotingRouter(Router):
    """A router that remembers the markets that were opened through it."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        super().__init__(transport, clock)
        self._opened: dict[str, str] = {}

    async def ask(
        self, scope: str, routing_id: str, message: Command | Question | Several, **how: Any
    ) -> Answer:
        if isinstance(message, OpenMarket):
            self._opened[message.market_id] = message.fixture_id
        return await super().ask(scope, routing_id, message, **how)

    async def suspend_all(self) -> None:
        """Nobody may bet at prices that stand still because nobody moves them any more."""
        for market_id, fixture_id in self._opened.items():
            suspend = ChangeStatus(fixture_id, market_id, MarketStatus.SUSPENDED, False, 0)
            key = f"feed-interrupted/{market_id}/{now_ms()}"
            await self.ask(BOOK, fixture_id, suspend, key=key, by="feed")
