"""Members of the staff for tests, and what they do at the desk."""

from __future__ import annotations

import itertools
import json
from typing import Any
from uuid import uuid4

import aiohttp

from tests.gateway.desk import PASSWORD, Answer, Desk
from tests.patience import PATIENCE_S

REASON = "because the test says so"
_numbers = itertools.count()


class Trader(Desk):
    """Somebody at the desk."""

    login = ""

    async def act(self, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """A change, with a reason where none is given."""
        return await self.post(f"/v1/desk/{path}", {"reason": REASON, **(body or {})}, key)

    async def read(self, path: str) -> Answer:
        return await self.get(f"/v1/desk/{path}")

    async def watch(self, *fixtures: str, whole: bool = False) -> DeskSocket:
        ws = await self.http.ws_connect(
            f"{self.base}/v1/desk/stream", protocols=("grandstand.desk.v1",)
        )
        socket = DeskSocket(ws)
        await socket.say("login", token=self.token)
        assert (await socket.next())["type"] == "welcome"
        await socket.say("watch", fixtures=list(fixtures), whole=whole)
        return socket


class DeskSocket:
    """A page of the desk, as far as its stream goes: the markets as it knows them."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.markets: dict[str, Any] = {}
        self.frames = 0

    async def say(self, type_: str, **fields: Any) -> None:
        await self.ws.send_str(json.dumps({"type": type_, **fields}))

    async def next(self) -> Any:
        message = await self.ws.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame = json.loads(message.data)
        self.frames += 1
        if frame["type"] == "fixture":
            for market in frame["fixture"]["markets"]:
                self.markets[market["market_id"]] = market
        return frame

    async def until(self, condition: Any) -> None:
        """Read until it holds of the markets."""
        while not condition(self.markets):
            await self.next()


async def member(desk: Desk, role: str) -> Trader:
    """A new member of the staff, logged in."""
    login = f"{role.replace('_', '-')}-{next(_numbers)}-{uuid4().hex[:6]}"
    machine = Trader(desk.http, desk.port, desk.staff.token)
    body = {"login": login, "name": "Kim Doe", "role": role, "password": PASSWORD}
    assert (await machine.act("staff", body)).status == 201
    return await logged_in(desk, login)


async def logged_in(desk: Desk, login: str, password: str = PASSWORD) -> Trader:
    session = await desk.ask("POST", "/v1/desk/sessions", {"login": login, "password": password})
    trader = Trader(desk.http, desk.port, session["token"])
    trader.login = login
    return trader
