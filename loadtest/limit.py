"""The limit: a bare aiohttp handler that parses a bet and answers, and does nothing else.

What Grandstand reaches is quoted as a share of this, taken in the same run on the same machine.
"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop
from aiohttp import web


async def bet(request: web.Request) -> web.Response:
    asked = orjson.loads(await request.read())
    return web.Response(
        status=201,
        body=orjson.dumps({"bet_id": "none", "state": "open", "asked": asked}),
        content_type="application/json",
    )


async def serve(port: int) -> None:
    app = web.Application()
    app.router.add_post("/v1/bets", bet)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
