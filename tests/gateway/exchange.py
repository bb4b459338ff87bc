"""A small exchange for tests: it speaks the stream's protocol over TCP, and misbehaves when told.

What happens at it is a list of changes, as a recording holds them. It keeps its own state of every
market, in plain dictionaries and by other code than the product's, makes images of it, and knows
what has changed since each of its clocks. Publish times are those of now: recordings are old.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from decimal import Decimal
from pathlib import Path
from typing import Any

from actors.runtime.clock import WallClock

BEAT_S = 0.05
"""How often it says that there is nothing new."""
BY_PRICE = ("atb", "atl", "spb", "spl", "trd")
BY_LEVEL = ("batb", "batl", "bdatb", "bdatl")
VALUES = ("ltp", "tv", "spn", "spf")


def recorded_changes(*paths: Path) -> list[list[dict]]:
    """The changes of recordings, in the order of their time: one list for each message."""
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [line["mc"] for line in sorted(lines, key=lambda line: line["pt"]) if line.get("mc")]


def apply(state: dict[str, dict], change: dict) -> None:
    """Take one market's change into `state`, in the plainest way there is."""
    market = state.setdefault(change["id"], {"definition": None, "tv": None, "runners": {}})
    if change.get("img"):
        market["runners"], market["tv"] = {}, None
    market["definition"] = change.get("marketDefinition", market["definition"])
    market["tv"] = change.get("tv", market["tv"])
    for said in change.get("rc", ()):
        key = (said["id"], said.get("hc", 0))
        runner = market["runners"].setdefault(key, {})
        for name in BY_PRICE + BY_LEVEL:
            for *place, size in said.get(name, ()):
                at = place[0]
                ladder = runner.setdefault(name, {})
                ladder.pop(at, None)
                if size:
                    ladder[at] = [*place, size]
        for name in VALUES:
            if name in said:
                runner[name] = said[name]


def image(market_id: str, market: dict) -> dict:
    """The whole market as one change. What is empty is left out, as the exchange does."""
    change: dict[str, Any] = {"id": market_id, "img": True, "rc": []}
    if market["definition"] is not None:
        change["marketDefinition"] = market["definition"]
    if market["tv"] is not None:
        change["tv"] = market["tv"]
    for (runner_id, hc), runner in market["runners"].items():
        said: dict[str, Any] = {"id": runner_id} | ({"hc": hc} if hc else {})
        for name, held in runner.items():
            if name in VALUES:
                said[name] = held
            elif held:
                said[name] = list(held.values())
        change["rc"].append(said)
    return change


def plain(state: dict[str, dict]) -> dict[str, dict]:
    """`state` in the form of the product's `MarketBook.image`, for comparison."""

    def number(value: object) -> Decimal:
        return Decimal(str(value))

    found: dict[str, dict] = {}
    for market_id, market in state.items():
        runners: dict[str, object] = {}
        for (runner_id, hc), runner in market["runners"].items():
            held: dict[str, object] = {}
            for name in BY_PRICE + BY_LEVEL:
                rows = sorted(tuple(map(number, row)) for row in runner.get(name, {}).values())
                held |= {name: rows} if rows else {}
            for name in VALUES:
                held |= {name: number(runner[name])} if name in runner else {}
            if held:
                runners[f"{runner_id}_{number(hc).normalize():f}" if hc else str(runner_id)] = held
        tv = None if market["tv"] is None else number(market["tv"])
        found[market_id] = {"": tv, **runners}
    return found


def known(board: Any) -> dict[str, dict]:
    """The same of what a client has on its board."""

    def as_numbers(image: dict) -> dict:
        values = {name: Decimal(image[name]) for name in VALUES if name in image}
        return {name: list(rows) for name, rows in image.items()} | values

    found: dict[str, dict] = {}
    for market_id, market in board.markets.items():
        image = market.book.image()
        tv = image.pop("")
        runners = {of: as_numbers(held) for of, held in image.items()}
        found[market_id] = {"": None if tv is None else Decimal(tv), **runners}
    return found


class Exchange:
    """Listens on this machine. Use it as a context."""

    def __init__(self, changes: list[list[dict]], *, tls: ssl.SSLContext | None = None) -> None:
        self.changes = changes
        self.published = 0
        """How many of the changes have happened; its clock."""
        self.oldest = 0
        """Clocks before this one are too old to resume from."""
        self.state: dict[str, dict] = {}
        self.requests: list[dict] = []
        """All that was asked, by all clients."""
        self.answers: dict[str, list[dict]] = {}
        """Statuses to answer the next requests with, by `op`; success when there is none."""
        self.silent = False
        """Say nothing any more, heartbeats neither."""
        self.late = False
        """Say 503 with everything."""
        self.lag_ms = 0
        """How old what is said claims to be."""
        self.away = False
        """Take no connections."""
        self.segmented = True
        """Images of several markets come in a segment for each."""
        self.cut_images = 0
        """How many images are broken off between two segments."""
        self.heartbeat_ms: int | None = None
        """To grant another rate than was asked for."""
        self._tls = tls
        self._now_ms = WallClock().now_ms
        self._pt = 0
        self._writer: asyncio.StreamWriter | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._subscription = 0

    async def __aenter__(self) -> Exchange:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._beating.cancel()
        self._server.close()
        self.drop()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def connected(self) -> bool:
        return self._writer is not None

    # What happens

    def happen(self, count: int = 1) -> list[bytes]:
        """The next changes happen; the lines that would say so, which are not sent."""
        lines = []
        for _ in range(count):
            changes = self.changes[self.published]
            self.published += 1
            for change in changes:
                apply(self.state, change)
            lines.append(self.line({"mc": changes, "clk": f"c{self.published}"}))
        return lines

    def publish(self, count: int = 1) -> None:
        """The next changes happen, and are said."""
        for line in self.happen(count):
            self.send(line)

    def rest(self) -> None:
        """All that is left happens, and is said."""
        self.publish(len(self.changes) - self.published)

    def heartbeat(self) -> None:
        self.send(self.line({"ct": "HEARTBEAT", "clk": f"c{self.published}"}))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self.heartbeat()

    def line(self, more: dict) -> bytes:
        # Never the same twice: then messages that change places can be told.
        self._pt = max(self._pt + 1, self._now_ms() - self.lag_ms)
        said = {"op": "mcm", "id": self._subscription, "pt": self._pt} | more
        said |= {"status": 503} if self.late else {}
        return json.dumps(said).encode() + b"\r\n"

    def send(self, line: bytes) -> None:
        if self._writer is not None and not self.silent:
            self._writer.write(line)

    def drop(self, part: bytes = b"") -> None:
        """Close the connection, after part of a line."""
        if self._writer is not None:
            self._writer.write(part)
            self._writer.close()
            self._writer = None

    # What is asked

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.close()
            return
        writer.write(b'{"op":"connection","connectionId":"test"}\r\n')
        try:
            while line := await reader.readline():
                assert line.endswith(b"\r\n")
                self._asked(json.loads(line), writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None

    def _asked(self, request: dict, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        answers = self.answers.get(request["op"], [])
        status = answers.pop(0) if answers else {"statusCode": "SUCCESS", "connectionClosed": False}
        writer.write(json.dumps({"op": "status", "id": request["id"]} | status).encode() + b"\r\n")
        if status.get("connectionClosed"):
            writer.close()
        elif request["op"] == "marketSubscription" and status["statusCode"] == "SUCCESS":
            self._subscription, self._writer = request["id"], writer
            self.silent = False
            self._begin(request)

    def _begin(self, request: dict) -> None:
        clk = request.get("clk")
        since = int(clk[1:]) if clk else -1
        clocks = {"initialClk": "i1", "clk": f"c{self.published}"}
        granted = {"heartbeatMs": self.heartbeat_ms} if self.heartbeat_ms else {}
        if self.oldest <= since:
            missed = [
                change for changes in self.changes[since : self.published] for change in changes
            ]
            self.send(self.line({"ct": "RESUB_DELTA", **clocks, **granted, "mc": missed}))
            return
        whole = [image(market_id, market) for market_id, market in self.state.items()]
        if not self.segmented or len(whole) < 2:
            self.send(self.line({"ct": "SUB_IMAGE", **clocks, **granted, "mc": whole}))
            return
        for n, market in enumerate(whole):
            kind = "SEG_START" if n == 0 else "SEG_END" if n == len(whole) - 1 else "SEG"
            # The clock comes with the last one: who misses that one must not resume from it.
            more = clocks | granted if kind == "SEG_END" else {}
            self.send(self.line({"ct": "SUB_IMAGE", "segmentType": kind, **more, "mc": [market]}))
            if self.cut_images and kind == "SEG":
                self.cut_images -= 1
                self.drop()
                return
