"""The peers: the same bet as one Postgres transaction a request, from aiohttp and asyncpg.

    python -m loadtest.bench.peer <port> rows|function <dsn> <seed.json> <pool>

`rows` locks rows statement by statement; `function` does all of it in one PL/pgSQL call. Both are
written as well as we can: statements prepared once per connection, no reset between two requests,
READ COMMITTED, the market's row locked last and so for the shortest time, the stake taken by a
conditional update instead of a read and a write, the key kept by a unique index. A token is looked
up in a dict in memory, where Grandstand asks its sessions.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson
import uvloop
from aiohttp import web
from uuid_utils.compat import uuid7

from loadtest.bench.sql import queries

MAX_LIABILITY_MINOR = 10**12
SCHEMA = Path(__file__).parent / "sql" / "schema.sql"

_sql = queries("peer")


class Slip(NamedTuple):
    wallet_id: str
    key: str
    market_id: str
    selection_id: str
    stake_minor: int
    odds: int


class Placed(NamedTuple):
    bet_id: UUID
    cash_after_minor: int


class Refused(Exception):
    """Ends the transaction; its text is the code."""


Place = Callable[[asyncpg.Pool, Slip], Awaitable[Placed]]


async def place_by_rows(pool: asyncpg.Pool, slip: Slip) -> Placed:
    """Wallet, bet and transfer, market: three statements in a transaction. Raises `Refused`."""
    bet_id = uuid7()
    async with pool.acquire() as connection:
        try:
            async with connection.transaction(isolation="read_committed"):
                cash = await connection.fetchval(
                    _sql["take_stake"], slip.wallet_id, slip.stake_minor
                )
                if cash is None:
                    raise Refused("insufficient_funds")
                row = (slip.wallet_id, slip.key, *slip[2:], cash)
                if await connection.fetchval(_sql["insert_bet"], bet_id, *row) is None:
                    raise Refused("repeated")
                room = (slip.market_id, slip.selection_id, slip.stake_minor, slip.odds)
                if await connection.fetchval(_sql["take_room"], *room) is None:
                    raise Refused("market_refused")
        except Refused as refused:
            return await _first(connection, slip, refused)
    return Placed(bet_id, cash)


async def place_by_function(pool: asyncpg.Pool, slip: Slip) -> Placed:
    """The same in one call, which is its own transaction. Raises `Refused`."""
    async with pool.acquire() as connection:
        try:
            row = await connection.fetchrow(_sql["call"], uuid7(), *slip)
        except asyncpg.RaiseError as raised:
            return await _first(connection, slip, Refused(str(raised)))
    if row["refused"] is not None:
        raise Refused(row["refused"])
    return Placed(row["placed_bet"], row["cash_after"])


async def _first(connection: Any, slip: Slip, refused: Refused) -> Placed:
    """The first answer to the key, if it is a repetition."""
    first = await connection.fetchrow(_sql["first_bet"], slip.wallet_id, slip.key)
    if first is None:
        raise refused
    return Placed(first["bet_id"], first["cash_after_minor"])


STYLES: dict[str, Place] = {"rows": place_by_rows, "function": place_by_function}


async def open_pool(dsn: str, size: int) -> asyncpg.Pool:
    async def no_reset(connection: Any) -> None:
        """asyncpg would ask the server to forget settings that nobody changes."""

    return await asyncpg.create_pool(dsn, min_size=size, max_size=size, reset=no_reset)


async def prepare(
    dsn: str,
    players: Sequence[str],
    markets: Sequence[str],
    selections: Sequence[str],
    odds: int,
    cash_minor: int,
) -> None:
    """Make the tables anew, with wallets and markets in them."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA.read_text())
        wallets = [(player, cash_minor, 0) for player in players]
        await connection.copy_records_to_table("wallet", records=wallets)
        rows = [
            (market, selection, "open", odds, 0, 0, MAX_LIABILITY_MINOR)
            for market in markets
            for selection in selections
        ]
        await connection.copy_records_to_table("selection", records=rows)
        await connection.execute(_sql["vacuum"])
    finally:
        await connection.close()


def application(place: Place, pool: asyncpg.Pool, wallets: dict[str, str]) -> web.Application:
    """`wallets`: by token."""

    async def bet(request: web.Request) -> web.Response:
        wallet_id = wallets.get(request.headers["Authorization"][7:])
        if wallet_id is None:
            return _problem(401, "unauthenticated")
        asked = orjson.loads(await request.read())
        slip = Slip(
            wallet_id,
            request.headers["Idempotency-Key"],
            asked["market_id"],
            asked["selection_id"],
            asked["stake_minor"],
            asked["odds"],
        )
        try:
            placed = await place(pool, slip)
        except Refused as refused:
            return _problem(409, str(refused))
        answer = {
            "bet_id": str(placed.bet_id),
            "state": "open",
            "stake_minor": slip.stake_minor,
            "market_id": slip.market_id,
            "selection_id": slip.selection_id,
            "odds": slip.odds,
            "cash_after_minor": placed.cash_after_minor,
        }
        return web.Response(status=201, body=orjson.dumps(answer), content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/bets", bet)
    return app


def _problem(status: int, code: str) -> web.Response:
    body = orjson.dumps({"code": code})
    return web.Response(status=status, body=body, content_type="application/problem+json")


async def serve(port: int, style: str, dsn: str, wallets: dict[str, str], size: int) -> None:
    pool = await open_pool(dsn, size)
    runner = web.AppRunner(application(STYLES[style], pool, wallets), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
    await asyncio.Event().wait()


def main() -> None:
    port, style, dsn, seed_file, size = sys.argv[1:]
    seed = json.loads(Path(seed_file).read_text())
    wallets = dict(zip(seed["tokens"], seed["players"], strict=True))
    uvloop.run(serve(int(port), style, dsn, wallets, int(size)))


if __name__ == "__main__":
    main()
