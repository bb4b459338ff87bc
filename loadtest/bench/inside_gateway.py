"""CPU time of a gateway for each bet, with nothing behind it: what HTTP and WebSocket cost.

    python -m loadtest.bench.inside_gateway --connections 64

The gateway is real, with a Valkey for its sessions; in place of the actors stands a router that
says yes in the next turn of the loop. Beside it runs the bare aiohttp handler that is the limit.
Server and load are pinned to a core each, and what is counted is the server's own CPU time, so the
figures hold also while the machine is busy; of several short rounds the cheapest counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import uvloop

from actors.bet import BetPlaced, GetBet, PlaceBet
from actors.errors import Unavailable
from actors.holds import Held, HoldStake
from actors.runtime import collector
from actors.runtime.clock import WallClock
from actors.runtime.router import Answer, View
from actors.wallet import GetWallet, WalletView
from gateway.app import Gateway
from gateway.settings import GatewaySettings
from grandstand.servers.valkey import EmbeddedValkey
from jurisdictions import licence
from loadtest.client import Connection

MARKET = "load-0:m"
PLAYERS = 200


class Yes:
    """A router behind which everybody says yes."""

    def __init__(self) -> None:
        self.view: View | None = View(1, {"book": 1, "gb": 1}, {"book-00": "s", "gb-00": "s"})
        self._clock = WallClock()
        self._versions: Counter[str] = Counter()

    async def refresh(self) -> View:
        assert self.view is not None
        return self.view

    async def partitions(self, scope: str, routing_ids: Sequence[str]) -> list[str]:
        return [f"{scope}-00"] * len(routing_ids)

    def queued(self) -> int:
        return 0

    def depths(self) -> dict[str, int]:
        return {}

    def tell(self, scope: str, routing_id: str, message: Any) -> None:
        pass

    async def ask(self, scope: str, routing_id: str, message: Any, **_: Any) -> Answer:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        loop.call_soon(done.set_result, self._reply(message))
        return Answer(await done, f"{scope}-00", 1)

    def _reply(self, message: Any) -> Any:
        match message:
            case HoldStake():
                return Held(20_000, 1, 0, 1 << 60, "Reds v Blues", "Match result", "Reds", False)
            case PlaceBet():
                self._versions[message.player_id] += 1
                return BetPlaced(
                    self._clock.now_ms(),
                    message.player_id,
                    message.bet_id,
                    message.stake,
                    message.legs,
                    1_000_000,
                    10,
                    self._versions[message.player_id],
                )
            case GetWallet():
                return WalletView(
                    message.player_id, "GBP", 1_000_000, 10, 0, 0, self._versions[message.player_id]
                )
            case GetBet():
                raise Unavailable("not here")
        raise AssertionError(message)


async def serve(valkey_url: str) -> None:
    """A gateway, until it is killed. Prints its port and the tokens of its players."""
    settings = GatewaySettings(
        valkey_url=valkey_url, staff_token="x" * 32, port=0, sweep_interval_s=0
    )
    gateway = Gateway(settings, licence=licence("gb"), router=Yes(), reads={}, clock=WallClock())
    await gateway.start()
    tokens = [
        (await gateway.services.sessions.create(f"player-{number}"))[0] for number in range(PLAYERS)
    ]
    collector.calm()
    print(json.dumps({"port": await gateway.port(), "tokens": tokens}), flush=True)
    await asyncio.Event().wait()


def bet() -> bytes:
    return orjson.dumps(
        {
            "market_id": MARKET,
            "selection_id": "a",
            "stake_minor": 10,
            "currency": "GBP",
            "odds": 20_000,
            "accept": "none",
        }
    )


async def over_http(port: int, tokens: list[str], connections: int, seconds: float) -> int:
    """Bets answered with 201 in a closed loop."""
    until = time.perf_counter() + seconds
    body, answered = bet(), 0

    async def client(number: int) -> None:
        nonlocal answered
        connection = await Connection.open("127.0.0.1", port)
        head = (
            "POST /v1/bets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {tokens[number % len(tokens)]}\r\n"
            f"Idempotency-Key: key-{number}-"
        )
        count = 0
        while time.perf_counter() < until:
            count += 1
            status, answer = await connection.request(f"{head}{count}\r\n".encode(), body)
            if status != 201:
                raise SystemExit(f"{status} {answer!r}")
            answered += 1
        connection.close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    return answered


class Socket(asyncio.Protocol):
    """A WebSocket client that places its next bet when it has read the answer to the last."""

    def __init__(self, token: str, until: float) -> None:
        self.token = token
        self.until = until
        self.answered = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(
            b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: grandstand.v1\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise SystemExit(head.decode())
            self._open, self._buffer = True, rest
            self._say(b'{"type":"login","id":0,"token":"%s"}' % self.token.encode())
        while (frame := self._frame()) is not None:
            if b'"problem"' in frame:
                raise SystemExit(frame.decode())
            if b'"id":' in frame[:40]:
                self._next()

    def _frame(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        length, start = buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(buffer[2:4], "big"), 4
        if len(buffer) < start + length:
            return None
        self._buffer = buffer[start + length :]
        return buffer[start : start + length]

    def _next(self) -> None:
        if time.perf_counter() > self.until:
            self._transport.close()
            return
        self.answered += 1
        frame = b'{"type":"bet","id":%d,"key":"%s-%d","bet":%s}'
        key = self.token[:16].encode()
        self._say(frame % (self.answered, key, self.answered, bet()))

    def _say(self, text: bytes) -> None:
        """Masked, as a client has to, with a mask that changes nothing."""
        length = len(text)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        self._transport.write(b"\x81" + size + bytes(4) + text)

    def connection_lost(self, why: Exception | None) -> None:
        self.closed.set_result(None)


async def over_websocket(port: int, tokens: list[str], connections: int, seconds: float) -> int:
    """Bets answered over WebSocket in a closed loop."""
    until, sockets = time.perf_counter() + seconds, []
    for number in range(connections):
        token = tokens[number % len(tokens)]
        _, socket = await asyncio.get_running_loop().create_connection(
            lambda token=token: Socket(token, until),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        sockets.append(socket)
    for socket in sockets:
        await socket.closed
    return sum(socket.answered for socket in sockets)


def cpu_s(process: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(process: int, core: int) -> None:
    os.sched_setaffinity(process, {core % (os.cpu_count() or 1)})


def measure(connections: int, seconds: float, what: list[str], rounds: int = 3) -> dict[str, float]:
    """Microseconds of the server's CPU for each bet, in the cheapest of the rounds."""
    pin(0, 1)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="gateway-alone-") as folder:
        valkey = EmbeddedValkey(Path(folder))
        valkey.start()
        module = [sys.executable, "-m", "loadtest.bench.inside_gateway"]
        server = subprocess.Popen(
            [*module, "--serve", valkey.url()], stdout=subprocess.PIPE, text=True
        )
        limit = subprocess.Popen([sys.executable, "-m", "loadtest.limit", "18999"])
        try:
            pin(server.pid, 0)
            pin(limit.pid, 0)
            assert server.stdout is not None
            told = json.loads(next(line for line in server.stdout if line.startswith("{")))
            runs = {
                "limit": (limit.pid, over_http, 18999),
                "http": (server.pid, over_http, told["port"]),
                "websocket": (server.pid, over_websocket, told["port"]),
            }
            for name in what * rounds:
                process, load, port = runs[name]
                uvloop.run(load(port, told["tokens"], connections, 0.3))
                before = cpu_s(process)
                answered = uvloop.run(load(port, told["tokens"], connections, seconds))
                spent = cpu_s(process) - before
                figures[name] = min(figures.get(name, math.inf), 1e6 * spent / answered)
                print(
                    f"{name:10} {1e6 * spent / answered:7.1f} us CPU a bet  "
                    f"{answered / seconds:8,.0f}/s  busy {100 * spent / seconds:.0f} %",
                    file=sys.stderr,
                )
        finally:
            for process_ in (server, limit):
                process_.kill()
                process_.wait()
            valkey.stop()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--what", nargs="*", default=["limit", "http", "websocket"])
    parser.add_argument("--serve", metavar="VALKEY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
    else:
        figures = measure(options.connections, options.seconds, options.what, options.rounds)
        for name, us in figures.items():
            print(f"{name:10} {us:6.1f} us CPU a bet")


if __name__ == "__main__":
    main()
