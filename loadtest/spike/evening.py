"""The director: brings up a platform, fills it, plays the evening, and looks into the books.

prepare    players, fixtures and markets; the bets of the afternoon
play       Locust's players, the crowd and the trader, each a process; figures each second
audit      every acknowledged bet in the ledger, and the ledger verified
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from loadtest.house import House, tree
from loadtest.load import Sample as EarlyBets
from loadtest.spike import books, early, gauges, tally
from loadtest.spike import stage as stages
from loadtest.spike.books import Books
from loadtest.spike.crowd import SETTLE_S
from loadtest.spike.desk import Desk
from loadtest.spike.plan import Plan
from loadtest.spike.stage import Stage
from loadtest.spike.tally import Evening

ROOT = Path(__file__).parents[2]
LARGE = "large"
READY_S = 120.0
"""How long Locust and the crowd may take to get ready."""
LEAD_S = 1.0
LEAVE_S = 30.0
CAUGHT_UP_S = 120.0
CAUGHT_UP_MS = 500.0
LOOK_S = 0.2
MACHINE = "the machine"
"""Under this name: all that the machine did, also for others."""
CASH_MINOR = 100_000_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Spoilt(Exception):
    """The evening could not be played to its end; one line that says why."""


class Seeded(msgspec.Struct):
    """What `grandstand seed` wrote."""

    run: str
    currency: str
    odds: int
    selections: list[str]
    fixtures: list[str]
    markets: list[str]
    tokens: list[str]


class Use(msgspec.Struct):
    """CPU seconds by process since each began, at one moment of the evening."""

    at_s: float
    cpu_s: dict[str, float]


class Played(msgspec.Struct):
    """Everything that is known of an evening when it is over."""

    plan: Plan
    evening: Evening
    samples: list[gauges.Sample]
    uses: list[Use]
    cues: dict[str, float]
    """When what was done, in seconds since the evening began."""
    prepared: dict[str, float]
    """Seconds that each step of the preparation took."""
    early: EarlyBets
    books: Books
    clock_offset_s: float
    """Seconds since 1970 at which the evening began."""
    verified: str
    hot_bets: int
    """Of all bets in the ledger: those on the match of the night,"""
    hot_open: int
    """and those of them that are still open, of which there must be none."""


Say = Callable[[str], None]


def play(plan: Plan, house: House, folder: Path, say: Say) -> Played:
    """Play it at a house that is up. Raises `Spoilt`, or what the house or its ledger raises."""
    prepared: dict[str, float] = {}
    with _timed(prepared, "players and markets"):
        say(f"{plan.players:,} players, {plan.fixtures} fixtures")
        seeded = _seed(plan, house, folder)
        stage = asyncio.run(_build(plan, house, seeded, folder))
    with _timed(prepared, "open bets"):
        say(f"{plan.open_bets:,} open bets on the match of the night")
        early_bets = asyncio.run(early.place(plan, stage, folder))
    with _timed(prepared, "ledger caught up"):
        asyncio.run(_until_caught_up(house))
    stages.write(folder, plan, stage)
    samples: list[gauges.Sample] = []
    uses: list[Use] = []
    asyncio.run(_perform(plan, stage, house, folder, samples, uses, say))
    say("the books: every acknowledged bet, and `ledger verify`")
    with _timed(prepared, "reading every bet back"):
        read = asyncio.run(books.read(stage))
    with _timed(prepared, "ledger verify"):
        verified = house.verify()
    return Played(
        plan,
        tally.read(folder),
        samples,
        uses,
        _cues(folder),
        prepared,
        early_bets,
        read,
        _wall_clock_s(folder) + stage.begins_s,
        verified,
        read.markets[stage.hot_market],
        read.open_markets[stage.hot_market],
    )


def _seed(plan: Plan, house: House, folder: Path) -> Seeded:
    out = folder / "seed.json"
    house.grandstand(
        *("seed", "--players", str(plan.players), "--fixtures", str(plan.fixtures)),
        *("--selections", str(plan.selections), "--cash", str(CASH_MINOR), "--out", str(out)),
    )
    return msgspec.json.decode(out.read_bytes(), type=Seeded)


async def _build(plan: Plan, house: House, seeded: Seeded, folder: Path) -> Stage:
    """The stage; and the fixture whose one market will be very large."""
    fixture_id = f"{seeded.run}-{LARGE}"
    stage = Stage(
        house.base_url,
        house.staff_token,
        seeded.currency,
        seeded.odds,
        seeded.fixtures,
        seeded.markets,
        seeded.selections,
        seeded.tokens,
        fixture_id,
        f"{fixture_id}:{LARGE}",
        [f"p{number}" for number in range(plan.large_selections)],
        str(folder),
    )
    fixture = {
        "fixture_id": fixture_id,
        "sport": "Load",
        "competition": "Load",
        "name": "The match of the night, all players",
        "starts_at": "2035-01-01T00:00:00Z",
    }
    staff = Desk(stage)
    await staff.post("/v1/staff/fixtures", fixture, stage.staff_token)
    staff.close()
    return stage


async def _until_caught_up(house: House) -> None:
    """The evening begins with every bet of before in the ledger."""
    lag_ms: float | None = None
    samples: list[gauges.Sample] = []
    watching = asyncio.ensure_future(gauges.watch(_metrics_urls(house), time.monotonic, samples))
    try:
        async with asyncio.timeout(CAUGHT_UP_S):
            while lag_ms is None or lag_ms > CAUGHT_UP_MS:
                await asyncio.sleep(LOOK_S)
                lag_ms = samples[-1].total("grandstand_ledger_lag_ms") if samples else None
    except TimeoutError:
        behind = "does not tell" if lag_ms is None else f"is {lag_ms / 1000:.0f} s behind"
        raise Spoilt(
            f"the ledger {behind}, {CAUGHT_UP_S:.0f} s after the bets of the afternoon"
        ) from None
    finally:
        await _cancelled(watching)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """End it; raises what it failed with before."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _perform(
    plan: Plan,
    stage: Stage,
    house: House,
    folder: Path,
    samples: list[gauges.Sample],
    uses: list[Use],
    say: Say,
) -> None:
    crowd = await _start(folder, "crowd", "-m", "loadtest.spike.crowd", str(folder))
    locust = await _start(folder, "locust", "-m", "locust", *_locust_options(plan, stage))
    ours = {"crowd and trader": crowd.pid, "locust": locust.pid, "director": os.getpid()}
    watching: asyncio.Task[None] | None = None
    try:
        await _until_ready(folder, crowd=crowd, locust=locust)
        stage.begin(time.monotonic() + LEAD_S)
        say(f"the evening: {plan.end_s:.0f} s")
        watching = asyncio.ensure_future(gauges.watch(_metrics_urls(house), stage.now_s, samples))
        for phase in plan.phases:
            await asyncio.sleep(max(0.0, phase.from_s - stage.now_s()))
            _check(folder, crowd=crowd, locust=locust)
            say(f"{phase.title}")
            uses.append(await asyncio.to_thread(_use, stage, house, ours))
        await asyncio.sleep(max(0.0, plan.end_s - stage.now_s()))
        uses.append(await asyncio.to_thread(_use, stage, house, ours))
        async with asyncio.timeout(LEAVE_S):
            await locust.wait()
        await _until_settled(plan, stage, folder, crowd)
    except TimeoutError:
        raise Spoilt(f"Locust did not end within {LEAVE_S:.0f} s of the evening") from None
    finally:
        if watching is not None:
            await _cancelled(watching)
        for process in (locust, crowd):
            await _end(process)
    _check(folder, crowd=crowd, locust=locust)


async def _start(folder: Path, name: str, *words: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, stages.FOLDER: str(folder), "PYTHONPATH": str(ROOT)}
    with (folder / f"{name}.log").open("wb") as printed:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
        )


async def _until_ready(folder: Path, **processes: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not all((folder / f"{name}.ready").exists() for name in processes):
                _check(folder, **processes)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise Spoilt(f"Locust and the crowd did not get ready within {READY_S:.0f} s") from None


def _locust_options(plan: Plan, stage: Stage) -> list[str]:
    file = Path(__file__).with_name("locustfile.py")
    options = ["-f", str(file), "--headless", "--host", stage.base_url, "--only-summary"]
    options += ["--stop-timeout", "20", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
    if plan.processes > 1:
        options += ["--processes", str(plan.processes)]
    return options


def _check(folder: Path, **processes: asyncio.subprocess.Process) -> None:
    """Raises `Spoilt` with what a process said before it failed."""
    for name, process in processes.items():
        if process.returncode not in (None, 0):
            said = (folder / f"{name}.log").read_text(errors="replace")[-2_000:]
            raise Spoilt(f"{name} ended with {process.returncode}:\n{said}")


async def _until_settled(
    plan: Plan, stage: Stage, folder: Path, crowd: asyncio.subprocess.Process
) -> None:
    """The crowd goes home when it has seen that the match of the night is settled."""
    try:
        async with asyncio.timeout(SETTLE_S + LEAVE_S):
            await crowd.wait()
    except TimeoutError:
        pass
    if "settled" not in _cues(folder):
        _check(folder, crowd=crowd)
        after_s = stage.now_s() - plan.whistle_s
        raise Spoilt(f"the bets were not all settled {after_s:.0f} s after the whistle")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(LEAVE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _metrics_urls(house: House) -> list[str]:
    """Of every gateway; where they are not told, of whichever the shared port gives."""
    urls: list[str] = house.run.get("metrics_urls") or [f"{house.base_url}/metrics"]
    return urls


def _use(stage: Stage, house: House, ours: dict[str, int]) -> Use:
    cpu_s = house.cpu_seconds()
    for name, pid in ours.items():
        cpu_s[name] = sum(_cpu_s(one) for one in ({pid} if pid == os.getpid() else tree(pid)))
    cpu_s[MACHINE] = _machine_s()
    return Use(stage.now_s(), cpu_s)


def _machine_s() -> float:
    """CPU seconds of everything on the machine since it started, whoever's they are."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _idle, _waiting, *interrupts = map(int, file.readline().split()[1:8])
    return (user + nice + system + sum(interrupts)) / TICKS_PER_S


def _cpu_s(pid: int) -> float:
    """User and system time of a process; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:13]) / TICKS_PER_S


def _cues(folder: Path) -> dict[str, float]:
    path = folder / "cues.jsonl"
    if not path.exists():
        return {}
    cues: list[dict[str, Any]] = [
        msgspec.json.decode(line) for line in path.read_bytes().splitlines()
    ]
    return {cue["what"]: cue["at_s"] for cue in cues}


def _wall_clock_s(folder: Path) -> float:
    """What is to be added to the monotonic clock to get seconds since 1970, to a few ms.

    Asked of a file's time, since the platform's clock is this machine's too.
    """
    mark = folder / "clock"
    mark.write_bytes(b"")
    now_s = time.monotonic()
    return mark.stat().st_mtime - now_s


@contextlib.contextmanager
def _timed(table: dict[str, float], name: str) -> Any:
    began = time.monotonic()
    yield
    table[name] = time.monotonic() - began
