"""`grandstand up`: the whole platform on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import aiohttp
import structlog
import typer
from rich.panel import Panel
from rich.table import Table

from actors.runtime import cluster
from grandstand.client import ApiProblem, Unreachable
from grandstand.commands import complain, console, settings
from grandstand.demo import PASSWORD, PLAYERS, seed
from grandstand.guardian import AGAIN, guarded
from grandstand.platform import (
    Interrupted,
    Platform,
    StartedTooSlowly,
    StartFailed,
    data_folder,
    sole_owner,
)
from grandstand.servers import ServerError
from grandstand.settings import Settings
from jurisdictions import licence

log = structlog.get_logger()

WATCH_S = 0.2
"""How often the platform is looked after."""


class Stop:
    """Whether somebody has asked to stop. Handlers of signals set it, so it has no lock, as events
    of `threading` have: one signal more in the middle of it would wait for itself for ever."""

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        self._asked = True

    def is_set(self) -> bool:
        return self._asked


def up() -> None:
    """Start the platform here: servers, actors, gateways, and a demonstration.

    Settings come from GRANDSTAND_... variables (the README has the table). Data is kept in
    GRANDSTAND_DATA, and found again at the next start. Ctrl-C drains and stops everything.
    """
    chosen = settings()
    raise typer.Exit(guarded(lambda: _up(chosen)))


def _up(chosen: Settings) -> int:
    """Run until told to stop; the exit status."""
    try:
        folder = data_folder(chosen)
        folder.mkdir(parents=True, exist_ok=True)
        with sole_owner(folder):
            _run(chosen, folder)
    except StartedTooSlowly as problem:
        complain(f"{problem} This machine is busy.")
        return AGAIN
    except (StartFailed, ServerError, ApiProblem, Unreachable) as problem:
        return complain(problem)
    except PermissionError as problem:
        return complain(f"{problem.filename} can't be written; set GRANDSTAND_DATA")
    except OSError as problem:
        return complain(f"{problem.strerror or problem}: {problem.filename or chosen.data}")
    return 0


def _run(chosen: Settings, folder: Path) -> None:
    stop = Stop()
    _on_signals(stop)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory((folder / "up.log").open("a")))
    started = time.monotonic()
    platform = Platform(chosen, folder)
    with _Progress() as progress:
        try:
            platform.start(progress.step, stop.is_set)
        except Interrupted:
            return
        _on_signals(stop)  # again: Ray has put its own in their place
        try:
            if chosen.demo and not stop.is_set():
                progress.step("Demonstration: players, money, fixtures")
                currency = licence(chosen.licences[0]).currency
                platform.start_feed()
                asyncio.run(_demonstrate(platform.base_url, currency, stop))
        except BaseException:
            platform.stop(progress.step)
            raise
    if not stop.is_set():
        _welcome(platform, chosen, folder, time.monotonic() - started)
    while not stop.is_set():
        try:
            platform.watch()
        except Exception as failure:
            log.error("servers_not_revived", why=str(failure))
        time.sleep(WATCH_S)
    console.print()
    with _Progress() as progress:
        platform.stop(progress.step)
    console.print("Everything is stopped.")


def _on_signals(stop: Stop) -> None:
    """Ctrl-C and SIGTERM both drain."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


async def _demonstrate(base_url: str, currency: str, stop: Stop) -> None:
    """Seed the players and wait for the first fixtures, until told to stop."""
    seeding = asyncio.ensure_future(_seed_and_wait(base_url, currency))
    while not seeding.done():
        await asyncio.wait([seeding], timeout=0.2)
        if stop.is_set():
            seeding.cancel()
            return
    await seeding


async def _seed_and_wait(base_url: str, currency: str) -> None:
    try:
        await seed(base_url, currency)
    except ApiProblem as problem:
        # Somebody starts too often, or guesses at them: they are there from before.
        if problem.code not in ("rate_limited", "bad_credentials"):
            raise
    await _until_fixtures(base_url)


async def _until_fixtures(base_url: str) -> None:
    """Wait until the board shows something, a few seconds at most."""
    async with aiohttp.ClientSession(base_url) as client:
        for _ in range(50):
            async with client.get("/v1/fixtures?limit=1") as response:
                if response.ok and (await response.json())["items"]:
                    return
            await asyncio.sleep(0.2)


class _Progress:
    """A line for each step: what is being done, then how long it took."""

    def __init__(self) -> None:
        self._status = console.status("")
        self._text = ""
        self._began = time.monotonic()

    def __enter__(self) -> _Progress:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._finish(failed=kind is not None)
        self._status.stop()

    def step(self, text: str) -> None:
        self._finish(failed=False)
        self._text = text
        self._began = time.monotonic()
        self._status.update(f"{text} …")

    def _finish(self, failed: bool) -> None:
        if self._text:
            mark = "[red]✗[/]" if failed else "[green]✓[/]"
            console.print(f" {mark} {self._text}  [dim]{time.monotonic() - self._began:.1f} s[/]")
        self._text = ""


def _welcome(platform: Platform, chosen: Settings, folder: Path, seconds: float) -> None:
    assert platform.node is not None
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")  # a token that is cut off is of no use
    table.add_row("Player page", f"[bold]{platform.base_url}/[/]")
    if chosen.demo:
        for player in PLAYERS:
            table.add_row("", f"log in as {player.email}, password {PASSWORD}")
    table.add_row("Trader page", f"{platform.base_url}/trader")
    table.add_row("", "[dim]grandstand staff add makes the first member[/]")
    table.add_row("API documentation", f"{platform.base_url}/docs")
    for number, url in enumerate(platform.metrics_urls()):
        table.add_row("" if number else "Metrics", url)
    table.add_row("Staff token", platform.staff_token)
    table.add_row("Ray dashboard", platform.node.dashboard_url)
    table.add_row("  its token", cluster.dashboard_token())
    table.add_row("Data", str(folder))
    console.print(
        Panel(
            table,
            title=f"Grandstand is up after {seconds:.0f} s",
            subtitle="Ctrl-C drains and stops everything",
            expand=False,
        ),
        soft_wrap=True,
    )
