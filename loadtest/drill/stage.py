"""The stage of the drills: a platform, players on it, and a steady stream of bets.

Bets fall due at a fixed rate whatever becomes of those before, over HTTP and WebSocket. Whatever
gets no answer is repeated with its key, after as long as `Retry-After` says.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from loadtest.drill import measure
from loadtest.house import House, HouseError
from loadtest.load import Answered, Load, Slips, Transport

PLAYERS = 120
"""For each drill, its own: so the books of one drill are those of its players."""
FIXTURES = 32
PARTITIONS = 16
"""Of each scope."""
HTTP_SHARE = 0.6
"""Of the bets; the others come over WebSocket."""
HTTP_CONNECTIONS = 400
"""Many, since a bet that waits for its answer keeps one."""
SOCKETS = PLAYERS
TIMEOUT_S = 10.0
"""After so long without an answer a client gives up an attempt, and tries again."""
BEFORE_S = 3.0
AFTER_S = 8.0
LOOK_S = 0.25
PATIENCE_S = 45.0
"""How long a drill may take to be normal again."""
LISTING_S = 60.0
LISTINGS_AT_ONCE = 8
KINDS: tuple[tuple[Transport, int, float], ...] = (
    ("http", HTTP_CONNECTIONS, HTTP_SHARE),
    ("websocket", SOCKETS, 1 - HTTP_SHARE),
)

now = time.perf_counter


class Mark(NamedTuple):
    """A moment of the drill, for the plot."""

    at: float
    what: str


class Drill(NamedTuple):
    """Something that goes wrong."""

    name: str
    what: str
    """One line: what is done to the platform."""
    heals: str
    """One line: what puts it right."""
    strike: Callable[[Stage], None]
    """Does it, in a thread, and undoes it where nobody else would."""
    gap_s: float | None = 5.0
    """The longest that acceptance may stop; None where the platform can't do without."""
    partition_s: float | None = None
    """The same of each partition."""
    house: str = "plain"
    """The kind of platform that it needs; see `drills.HOUSES`."""


class Outcome(NamedTuple):
    """What a drill came to. Seconds."""

    drill: Drill
    rate: float
    accepted: int
    failed: Counter[str]
    """Attempts without an answer, or with one that says to try again, by code."""
    refused: Counter[str]
    """Bets that were answered with a no."""
    unanswered: int
    gap_s: float
    partition_gap_s: float
    normal_s: float | None
    slowest_s: float
    """The longest that one bet waited for its answer, with all its repetitions."""
    books: measure.Books
    ledger: str
    """Empty when it is clean, else what `grandstand ledger verify` said."""
    timeline: list[int]
    """Bets accepted in each 100 ms, from `BEFORE_S` before the blow."""
    failures: list[int]
    marks: list[Mark]
    """Relative to the blow."""

    @property
    def safe(self) -> bool:
        """Nothing lost, nothing doubled, the ledger clean, and every request answered."""
        return not (any(self.books) or self.ledger or self.unanswered)

    @property
    def target(self) -> str:
        """Whether the drill's targets are met, in words."""
        misses = []
        for limit, took, of in (
            (self.drill.gap_s, self.gap_s, "all"),
            (self.drill.partition_s, self.partition_gap_s, "a partition"),
        ):
            if limit is not None and took > limit:
                misses.append(f"{of} stood still for {took:.1f} s, target {limit:.0f} s")
        if self.drill.gap_s is None:
            return "none"
        if self.normal_s is None:
            misses.append(f"not normal after {PATIENCE_S:.0f} s")
        return "not met: " + "; ".join(misses) if misses else "met"


class People:
    """Players with money and sessions, and markets, as `grandstand seed` made them."""

    def __init__(self, seeded: dict[str, Any]) -> None:
        self.markets: list[str] = seeded["markets"]
        self.players: list[str] = seeded["players"]
        self.tokens: list[str] = seeded["tokens"]
        self._used = 0

    def fresh(self) -> tuple[list[str], list[str]]:
        """Ids and tokens of players that no drill has had yet."""
        start, self._used = self._used, self._used + PLAYERS
        return self.players[start : self._used], self.tokens[start : self._used]


class Stage:
    """A platform that is up, for drills that can share one."""

    def __init__(self, house: House, drills: int) -> None:
        self.house = house
        self.marks: list[Mark] = []
        file = house.folder / "seeded.json"
        players, fixtures = str(PLAYERS * drills), str(FIXTURES)
        house.grandstand("seed", "--players", players, "--fixtures", fixtures, "--out", str(file))
        self.people = People(json.loads(file.read_text()))
        self._names = set(house.processes())

    # For those who strike

    def mark(self, what: str) -> None:
        self.marks.append(Mark(now(), what))

    def pids(self, *names: str) -> list[int]:
        """Pids of processes by name, or by the beginning of it before a `*`.

        Raises `HouseError` where there is none of that name.
        """
        there = self.house.processes()
        found = []
        for name in names:
            start = name.removesuffix("*")
            some = [
                pid
                for one, pid in there.items()
                if one == name or (start != name and one.startswith(start))
            ]
            if not some:
                raise HouseError(
                    f"there is no process {name}; there are {', '.join(sorted(there))}"
                )
            found += some
        return found

    def kill(self, *names: str) -> None:
        """SIGKILL processes, all at once."""
        pids = self.pids(*names)
        self.mark("killed")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def until_whole(self) -> None:
        """Wait until every process that was there at the beginning is there again."""
        self.house.until_there(*self._names)


async def carry_out(stage: Stage, drill: Drill, rate: float) -> Outcome:
    """One drill: bets, the blow, bets until all is normal again, and the books."""
    await asyncio.to_thread(stage.until_whole)
    players, tokens = stage.people.fresh()
    crowd = Crowd(stage.house.port, tokens, stage.people.markets, rate)
    stage.marks.clear()
    await crowd.start()
    try:
        await asyncio.sleep(BEFORE_S)
        blow = asyncio.create_task(asyncio.to_thread(drill.strike, stage))
        await _until_marked(stage, blow)
        struck = stage.marks[0].at
        await _until_normal(crowd, blow, rate, struck)
        end = now()
    finally:
        await crowd.stop()
    await blow
    listed = await listing(stage.house.base_url, dict(zip(players, tokens, strict=True)))
    acknowledged = [answer for answer in crowd.answers if not answer.code]
    accepted = [answer.at for answer in acknowledged]
    unanswered = crowd.refused.pop("unanswered", 0)
    window = (struck - BEFORE_S / 2, end)
    return Outcome(
        drill=drill,
        rate=rate,
        accepted=len(acknowledged),
        failed=crowd.failed,
        refused=crowd.refused,
        unanswered=unanswered,
        gap_s=measure.longest_gap(accepted, *window),
        partition_gap_s=max(
            measure.longest_gap(moments, *window)
            for moments in by_partition(acknowledged, listed).values()
        ),
        normal_s=measure.until_normal(accepted, crowd.failures, rate, struck, end),
        slowest_s=max(answer.latency_s for answer in acknowledged),
        books=measure.compare(
            [answer.bet_id for answer in acknowledged],
            [bet_id for bets in listed.values() for bet_id, _ in bets],
            unanswered,
        ),
        ledger=await asyncio.to_thread(verified, stage.house),
        timeline=measure.timeline(accepted, struck - BEFORE_S, end),
        failures=measure.timeline(crowd.failures, struck - BEFORE_S, end),
        marks=[Mark(mark.at - struck, mark.what) for mark in stage.marks],
    )


async def _until_marked(stage: Stage, blow: asyncio.Task[None]) -> None:
    while not stage.marks:
        if blow.done():
            blow.result()
            raise HouseError("the drill has done nothing")
        await asyncio.sleep(0.01)


async def _until_normal(crowd: Crowd, blow: asyncio.Task[None], rate: float, struck: float) -> None:
    """Go on until the blow is over and all is normal since, for some seconds at least."""
    deadline = now() + PATIENCE_S
    over: float | None = None
    while now() < deadline:
        await asyncio.sleep(LOOK_S)
        crowd.cut()
        if not blow.done():
            continue
        if over is None:
            over = now()
        accepted = [answer.at for answer in crowd.answers if not answer.code]
        normal = measure.until_normal(accepted, crowd.failures, rate, over, now())
        if now() > struck + AFTER_S and normal is not None:
            return


class Crowd:
    """Clients over HTTP and WebSocket, as one."""

    def __init__(self, port: int, tokens: list[str], markets: list[str], rate: float) -> None:
        self._loads = [
            Load(
                port,
                Slips(tokens, markets, seed=number),
                connections=connections,
                transport=transport,
                rate=share * rate,
                retry=True,
                timeout_s=TIMEOUT_S,
                record=True,
                seed=number,
            )
            for number, (transport, connections, share) in enumerate(KINDS)
        ]

    async def start(self) -> None:
        for load in self._loads:
            await load.start()

    def cut(self) -> None:
        for load in self._loads:
            load.cut()

    async def stop(self) -> None:
        await asyncio.gather(*(load.stop() for load in self._loads))

    @property
    def answers(self) -> list[Answered]:
        return [answer for load in self._loads for answer in load.total.answers]

    @property
    def failures(self) -> list[float]:
        return [failure.at for load in self._loads for failure in load.total.failures]

    @property
    def failed(self) -> Counter[str]:
        return sum((load.total.attempts_failed for load in self._loads), Counter[str]())

    @property
    def refused(self) -> Counter[str]:
        return sum((load.total.refused for load in self._loads), Counter[str]())


async def listing(base_url: str, tokens: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The bets of each player, as (bet id, market id), once the ledger has all of them."""
    found: dict[str, list[tuple[str, str]]] = {}
    waiting = iter(tokens.items())

    async def some(http: aiohttp.ClientSession) -> None:
        for player_id, token in waiting:
            found[player_id] = await _bets(http, {"Authorization": f"Bearer {token}"})

    async with asyncio.timeout(LISTING_S), aiohttp.ClientSession(base_url) as http:
        await asyncio.gather(*(some(http) for _ in range(LISTINGS_AT_ONCE)))
    return found


async def _bets(http: aiohttp.ClientSession, headers: dict[str, str]) -> list[tuple[str, str]]:
    """All pages of one player's bets; begun again until they are up to date."""
    while True:
        bets: list[tuple[str, str]] = []
        cursor, up_to_date = "", True
        while up_to_date:
            async with http.get(f"/v1/bets?limit=200{cursor}", headers=headers) as response:
                page = await response.json(content_type=None)
                up_to_date = response.ok and page["up_to_date"]
            if up_to_date:
                bets += [(bet["bet_id"], bet["legs"][0]["market_id"]) for bet in page["items"]]
                if not page.get("next_cursor"):
                    return bets
                cursor = f"&cursor={page['next_cursor']}"
        await asyncio.sleep(LOOK_S)


def by_partition(
    acknowledged: list[Answered], listed: dict[str, list[tuple[str, str]]]
) -> dict[str, list[float]]:
    """When bets were accepted, by the partition of the player and by that of the market's fixture.

    A bet needs both: a partition that stands still shows as a gap in its own list.
    """
    where = {
        bet_id: (f"player {_slice(player_id)}", f"book {_slice(market_id.partition(':')[0])}")
        for player_id, bets in listed.items()
        for bet_id, market_id in bets
    }
    found: dict[str, list[float]] = {}
    for answer in acknowledged:
        for partition in where.get(answer.bet_id, ()):
            found.setdefault(partition, []).append(answer.at)
    return found


def _slice(routing_id: str) -> int:
    """The partition of an id, as the platform finds it."""
    return zlib.crc32(routing_id.encode()) % PARTITIONS


def verified(house: House) -> str:
    """Empty when `grandstand ledger verify` is content, else what it said."""
    try:
        house.verify()
    except HouseError as fault:
        return str(fault)
    return ""


@contextmanager
def staged(
    folder: Path | None,
    drills: int,
    prepare: Callable[[House], None] | None = None,
    **settings: Any,
) -> Iterator[Stage]:
    """A platform with players for so many drills."""
    with House(folder, partitions=PARTITIONS, **settings) as house:
        if prepare is not None:
            prepare(house)
        yield Stage(house, drills)
