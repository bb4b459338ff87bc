"""The peer that gives every wallet a Ray actor of its own, and so an operating system process.

    python -m loadtest.bench.wallet_actors <port> <gcs address> <dsn> <seed.json> <wallets>

Written as such designs are: the wallet decides in memory, one bet after the other, writes the bet
to Postgres in one transaction, and answers when that is durable. Markets are one more actor, in
memory alone, which is less than Grandstand does. Some 100 MB for each wallet is why there are so
few of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import asyncpg
import orjson
import ray
import uvloop
from aiohttp import web
from uuid_utils.compat import uuid7

from loadtest.bench.peer import MAX_LIABILITY_MINOR
from loadtest.bench.sql import queries

_sql = queries("peer")

NAMESPACE = "bench-peer"
START_S = 240.0
CASH_MINOR = 100_000_000
"""What each wallet has where the file does not say so."""


class Market:
    """All markets: whether a bet may be had, and what it may cost."""

    def __init__(self, odds: int) -> None:
        self._odds = odds
        self._liability: dict[tuple[str, str], int] = {}

    async def hold(self, market_id: str, selection_id: str, stake_minor: int, odds: int) -> bool:
        at = market_id, selection_id
        liability = self._liability.get(at, 0) + stake_minor * (odds - 10_000) // 10_000
        if odds != self._odds or liability > MAX_LIABILITY_MINOR:
            return False
        self._liability[at] = liability
        return True


class Wallet:
    """One wallet, in a process."""

    def __init__(self, wallet_id: str, dsn: str, cash_minor: int) -> None:
        self._wallet_id = wallet_id
        self._dsn = dsn
        self._cash_minor = cash_minor
        self._answers: dict[str, tuple[str, int]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._connection: Any = None

    async def start(self) -> None:
        self._connection = await asyncpg.connect(self._dsn)

    async def place(
        self, key: str, market_id: str, selection_id: str, stake_minor: int, odds: int
    ) -> tuple[str, int] | None:
        """Bet and cash after it; None where the money does not suffice."""
        async with self._one_at_a_time:
            if key in self._answers:
                return self._answers[key]
            if stake_minor > self._cash_minor:
                return None
            bet_id: UUID = uuid7()
            cash = self._cash_minor - stake_minor
            row = (self._wallet_id, key, market_id, selection_id, stake_minor, odds, cash)
            await self._connection.fetchval(_sql["insert_bet"], bet_id, *row)
            self._cash_minor = cash
            self._answers[key] = str(bet_id), cash
            return self._answers[key]


async def serve(port: int, dsn: str, seed: dict[str, Any], count: int) -> None:
    options = {"num_cpus": 0, "max_concurrency": 1_000, "enable_task_events": False}
    market = ray.remote(Market).options(name="peer-market", **options).remote(seed["odds"])
    wallets: dict[str, Any] = {}
    for number, token in enumerate(seed["tokens"][:count]):
        player = seed["players"][number]
        named = ray.remote(Wallet).options(name=f"peer-wallet-{number}", **options)
        wallets[token] = named.remote(player, dsn, seed["cash_minor"])
    async with asyncio.timeout(START_S):
        await asyncio.gather(*(wallet.start.remote() for wallet in wallets.values()))

    async def bet(request: web.Request) -> web.Response:
        wallet = wallets[request.headers["Authorization"][7:]]
        asked = orjson.loads(await request.read())
        slip = asked["market_id"], asked["selection_id"], asked["stake_minor"], asked["odds"]
        if not await market.hold.remote(*slip):
            return web.Response(status=409, body=b'{"code":"market_refused"}')
        placed = await wallet.place.remote(request.headers["Idempotency-Key"], *slip)
        if placed is None:
            return web.Response(status=409, body=b'{"code":"insufficient_funds"}')
        answer = {**asked, "bet_id": placed[0], "state": "open", "cash_after_minor": placed[1]}
        return web.Response(status=201, body=orjson.dumps(answer), content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/bets", bet)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    port, address, dsn, seed_file, count = sys.argv[1:]
    seed = {"cash_minor": CASH_MINOR, **json.loads(Path(seed_file).read_text())}
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        uvloop.run(serve(int(port), dsn, seed, int(count)))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
