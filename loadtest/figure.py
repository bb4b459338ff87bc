"""Bets per second of a running platform, over HTTP and WebSocket, beside a bare aiohttp handler.

    grandstand up                                       in one terminal
    python -m loadtest.figure --connections 64          in another

Closed loop: each connection places its next bet when the last one was answered. The load comes
from this process, on the same machine, and only ever goes to loopback. A bet is the whole bet:
token, market held, wallet decided, block committed, hold confirmed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import uvloop

from loadtest.client import Connection

PLAYERS = 40
MARKETS = 20
CASH_MINOR = 100_000_000
MAX_SECONDS = 60


class Sample:
    """What one run measured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.latencies: list[float] = []
        self.refused: dict[str, int] = {}
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class House:
    """Players with money and markets to bet on, made over the API."""

    def __init__(self, base_url: str, staff_token: str, http: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.http = http
        self.staff_token = staff_token
        self.tokens: list[str] = []
        self.markets: list[str] = []

    async def post(self, path: str, body: Any, token: str = "") -> Any:
        headers = {"Idempotency-Key": uuid4().hex}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        while True:
            async with self.http.post(self.base_url + path, json=body, headers=headers) as response:
                answer = await response.json(content_type=None)
                if response.status == 429:  # so many log-ins from one address are held up
                    await asyncio.sleep(float(response.headers["Retry-After"]))
                    continue
                if response.status >= 400:
                    raise SystemExit(f"{path}: {response.status} {answer}")
                return answer

    async def prepare(self, kept: dict[str, list[str]]) -> None:
        """Use the house of an earlier run if its tokens still open the door, or make one.

        Registrations are limited by address, so many runs in a row could not each have their own.
        """
        if kept:
            self.tokens, self.markets = kept["tokens"], kept["markets"]
            if await self._opens():
                return
            self.tokens, self.markets = [], []
        await self._make()

    async def _opens(self) -> bool:
        for token in self.tokens:
            headers = {"Authorization": f"Bearer {token}"}
            async with self.http.get(f"{self.base_url}/v1/wallet", headers=headers) as response:
                if response.status != 200:
                    return False
        return True

    async def _make(self) -> None:
        run = uuid4().hex[:8]
        for number in range(PLAYERS):
            login = {"email": f"load-{run}-{number}@example.com", "password": "loadtest-only"}
            person = {"name": "Load", "birth_date": "1990-01-01", **login}
            await self.post("/v1/players", person)
            token = (await self.post("/v1/sessions", login))["token"]
            deposit = {
                "amount_minor": CASH_MINOR,
                "currency": "GBP",
                "processor": "bogus",
                "method": "bogus-approved",
            }
            await self.post("/v1/wallet/deposits", deposit, token)
            self.tokens.append(token)
        for number in range(MARKETS):
            fixture_id = f"load-{run}-{number}"
            fixture = {
                "fixture_id": fixture_id,
                "sport": "Load",
                "competition": "Load",
                "name": f"Load {number}",
                "starts_at": "2035-01-01T00:00:00Z",
            }
            await self.post("/v1/staff/fixtures", fixture, self.staff_token)
            market = {
                "market_key": "m",
                "name": "Winner",
                "kind": "win",
                "selections": [
                    {"selection_id": "a", "name": "A", "odds": 20_000},
                    {"selection_id": "b", "name": "B", "odds": 20_000},
                ],
                "limits": {
                    "min_stake_minor": 1,
                    "max_stake_minor": 1_000,
                    "max_liability_minor": 10**12,
                },
            }
            path = f"/v1/staff/fixtures/{fixture_id}/markets"
            await self.post(path, market, self.staff_token)
            self.markets.append(f"{fixture_id}:m")

    def bet(self, number: int) -> dict[str, Any]:
        return {
            "market_id": self.markets[number % len(self.markets)],
            "selection_id": "a",
            "stake_minor": 10,
            "currency": "GBP",
            "odds": 20_000,
            "accept": "none",
        }


async def over_http(name: str, port: int, house: House, connections: int, seconds: float) -> Sample:
    sample = Sample(name)
    until = time.perf_counter() + seconds
    began = time.perf_counter()

    async def client(number: int) -> None:
        connection = await Connection.open("127.0.0.1", port)
        token = house.tokens[number % len(house.tokens)]
        head = (
            f"POST /v1/bets HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid4().hex}-"
        )
        body = orjson.dumps(house.bet(number))
        count = 0
        while time.perf_counter() < until:
            count += 1
            sent = time.perf_counter()
            status, answer = await connection.request(f"{head}{count}\r\n".encode(), body)
            _note(sample, sent, status, answer)
        connection.close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    sample.seconds = time.perf_counter() - began
    return sample


async def over_websocket(port: int, house: House, connections: int, seconds: float) -> Sample:
    sample = Sample("WebSocket")
    sockets = []
    for number in range(connections):
        socket_ = await house.http.ws_connect(
            f"http://127.0.0.1:{port}/v1/stream", protocols=["grandstand.v1"]
        )
        token = house.tokens[number % len(house.tokens)]
        await socket_.send_json({"type": "login", "id": 0, "token": token})
        sockets.append(socket_)
    began = time.perf_counter()
    until = began + seconds

    async def client(number: int) -> None:
        prefix = uuid4().hex
        count = 0
        while time.perf_counter() < until:
            count += 1
            frame = {
                "type": "bet",
                "id": count,
                "key": f"{prefix}-{count}",
                "bet": house.bet(number),
            }
            sent = time.perf_counter()
            await sockets[number].send_str(orjson.dumps(frame).decode())
            while True:
                # Balances and other sockets' bets arrive here too: they are part of the load.
                answer = orjson.loads(await sockets[number].receive_str())
                if answer.get("id") == count:
                    break
            status = answer.get("status") or answer.get("problem", {}).get("status", 0)
            _note(sample, sent, status, orjson.dumps(answer.get("problem", {})))

    await asyncio.gather(*(client(number) for number in range(connections)))
    sample.seconds = time.perf_counter() - began
    await asyncio.gather(*(socket_.close() for socket_ in sockets))
    return sample


def _note(sample: Sample, sent: float, status: int, answer: bytes) -> None:
    if status == 201:
        sample.latencies.append(time.perf_counter() - sent)
    else:
        code = orjson.loads(answer or b"{}").get("code", str(status))
        sample.refused[code] = sample.refused.get(code, 0) + 1


async def measure(
    base_url: str, staff_token: str, kept: dict[str, list[str]], connections: int, seconds: float
) -> dict[str, list[str]]:
    """Print the table; returns the players and markets, for the next run."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        house = House(base_url, staff_token, http)
        await house.prepare(kept)
        port = int(base_url.rsplit(":", 1)[1])
        samples = [
            await _over_limit(house, connections, seconds),
            await over_http("HTTP", port, house, connections, seconds),
            await over_websocket(port, house, connections, seconds),
        ]
    limit = samples[0].rate
    print(f"{connections} connections, {seconds:.0f} s each, closed loop")
    print("| what | bets/s | of the limit | p50 ms | p99 ms | refused |")
    print("| --- | --- | --- | --- | --- | --- |")
    for sample in samples:
        refused = ", ".join(f"{code} {count}" for code, count in sample.refused.items()) or "0"
        print(
            f"| {sample.name} | {sample.rate:,.0f} | {sample.rate / limit:.2f} "
            f"| {sample.percentile_ms(0.5):.1f} | {sample.percentile_ms(0.99):.1f} | {refused} |"
        )
    return {"tokens": house.tokens, "markets": house.markets}


async def _over_limit(house: House, connections: int, seconds: float) -> Sample:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "loadtest.limit", str(port))
    try:
        for _ in range(100):
            try:
                (await Connection.open("127.0.0.1", port)).close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        return await over_http("bare aiohttp handler", port, house, connections, seconds)
    finally:
        server.terminate()
        await server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default=".grandstand", help="data folder of the platform")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    chosen = parser.parse_args()
    try:
        run = json.loads((Path(chosen.data) / "run.json").read_text())
    except OSError:
        raise SystemExit(f"no platform runs on {chosen.data}: start `grandstand up`") from None
    seconds = min(chosen.seconds, MAX_SECONDS)
    kept_file = Path(chosen.data) / "loadtest.json"
    kept = json.loads(kept_file.read_text()) if kept_file.exists() else {}
    kept = uvloop.run(
        measure(run["base_url"], run["staff_token"], kept, chosen.connections, seconds)
    )
    kept_file.touch(mode=0o600)
    kept_file.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
