"""The crowd: a thousand sockets that watch prices, and beside them the trader who moves them.

Both are in one process with one clock, so that the time from a change being sent off to its frame
being here is simply a difference. Started by the director as `python -m loadtest.spike.crowd DIR`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import orjson
import uvloop

from loadtest.load import HOST
from loadtest.spike import stage as stages
from loadtest.spike.frames import CLOSE, HANDSHAKE, PING, TEXT, Reader, pong, text_frame
from loadtest.spike.prices import Trader
from loadtest.spike.stage import Stage
from loadtest.spike.tally import Tally

AT_ONCE = 50
"""Sockets opened at a time."""
ATTEMPTS = 5
OPEN_S = 20.0
SETTLE_S = 300.0
"""How long the crowd waits for the last payout after the programme is over."""
AGAIN_S = 0.5
LOOK_S = 0.02


class Watcher(asyncio.Protocol):
    """One socket that follows one fixture, and measures how late its prices are."""

    def __init__(
        self, stage: Stage, tally: Tally, trader: Trader, fixture_id: str, lost: Callable[[], None]
    ) -> None:
        self.seq: int | None = None
        """The last change of the fixture that is known."""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stage = stage
        self._tally = tally
        self._trader = trader
        self._fixture_id = fixture_id
        self._lost = lost
        self._reader = Reader()
        self._pipe: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipe = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._pipe.write(HANDSHAKE)
        follow = {"type": "subscribe", "id": 1, "fixtures": [self._fixture_id]}
        self._pipe.write(text_frame(orjson.dumps(follow)))

    def data_received(self, data: bytes) -> None:
        assert self._pipe is not None
        for kind, payload in self._reader.feed(data):
            if kind == TEXT:
                self._hear(payload)
            elif kind == PING:
                self._pipe.write(pong(payload))
            elif kind == CLOSE:
                self._pipe.close()

    def connection_lost(self, why: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionResetError(str(why)))
            self.opened.exception()  # whoever still waits for it sees it
        self._lost()

    def _hear(self, payload: bytes) -> None:
        now_s = self._stage.now_s()
        frame = orjson.loads(payload)
        kind = frame["type"]
        if kind == "snapshot":
            if self.seq is not None:
                self._tally.count(now_s, "push/again")
            self.seq = frame["fixture"]["seq"]
            if not self.opened.done():
                self.opened.set_result(None)
        elif "seq" in frame:
            self._follow(now_s, frame.get("from_seq", frame["seq"]), frame["seq"])
            if kind == "prices":
                self._price(now_s, frame["odds"], "from_seq" in frame)
            elif kind == "settled":
                self._trader.settled(frame["market_id"])

    def _follow(self, now_s: float, first: int, last: int) -> None:
        if self.seq is None or first != self.seq + 1:
            self._tally.count(now_s, "push/gap")
        self.seq = last

    def _price(self, now_s: float, odds: dict[str, int], conflated: bool) -> None:
        self._tally.count(now_s, "push/frames")
        self._tally.count(now_s, "push/prices", len(odds))
        if conflated:
            self._tally.count(now_s, "push/conflated")
        sent_s = self._trader.sent_s(self._fixture_id, odds)
        if sent_s is not None:
            self._tally.delay(now_s, "push", 1000 * (now_s - sent_s))

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.abort()


class Crowd:
    """All watchers. One whose socket is lost comes back, and asks for everything anew."""

    def __init__(self, stage: Stage, tally: Tally, trader: Trader, size: int) -> None:
        self._stage = stage
        self._tally = tally
        self._trader = trader
        self._size = size
        self._watchers: dict[int, Watcher] = {}
        self._coming_back: set[asyncio.Task[None]] = set()
        self._closing = False

    async def gather(self) -> None:
        """Return when every socket has its first snapshot. Raises what kept one out for good."""
        room = asyncio.Semaphore(AT_ONCE)

        async def come(number: int) -> None:
            async with room:
                for tries_left in reversed(range(ATTEMPTS)):
                    try:
                        await self._open(number)
                        return
                    except (OSError, TimeoutError):
                        if not tries_left:
                            raise
                        await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*(come(number) for number in range(self._size)))

    async def _open(self, number: int) -> None:
        fixture_id = self._stage.fixtures[number % len(self._stage.fixtures)]
        watcher = Watcher(
            self._stage, self._tally, self._trader, fixture_id, lambda: self._gone(number)
        )
        async with asyncio.timeout(OPEN_S):
            await asyncio.get_running_loop().create_connection(
                lambda: watcher, HOST, self._stage.port
            )
            await watcher.opened
        self._watchers[number] = watcher

    def _gone(self, number: int) -> None:
        if self._closing or number not in self._watchers:
            return
        del self._watchers[number]
        self._tally.count(self._stage.now_s(), "push/lost_sockets")
        task = asyncio.ensure_future(self._come_back(number))
        self._coming_back.add(task)
        task.add_done_callback(self._coming_back.discard)

    async def _come_back(self, number: int) -> None:
        while not self._closing:
            await asyncio.sleep(AGAIN_S)
            try:
                await self._open(number)
                return
            except (OSError, TimeoutError):
                continue

    def disperse(self) -> None:
        self._closing = True
        for task in self._coming_back:
            task.cancel()
        for watcher in self._watchers.values():
            watcher.close()


async def attend(folder: Path) -> None:
    """The whole evening: gather, watch and trade, and go home."""
    plan, stage = stages.read(folder)
    tally = stages.open_tally(folder, "crowd")
    trader = Trader(plan, stage, tally, folder / "cues.jsonl")
    crowd = Crowd(stage, tally, trader, plan.sockets)
    try:
        await crowd.gather()
        (folder / "crowd.ready").touch()
        while stage.now_s() <= stages.FAR_OFF_S:  # noqa: ASYNC110 (another process says, by a file)
            await asyncio.sleep(LOOK_S)
        await trader.work()
        await asyncio.sleep(max(0.0, plan.end_s - stage.now_s()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await trader.all_settled.wait()
    finally:
        crowd.disperse()
        await trader.close()
        tally.flush()


if __name__ == "__main__":
    uvloop.run(attend(Path(sys.argv[1])))
