"""A client of the API for tests: players, staff, and the stream."""

from __future__ import annotations

import itertools
import json
from typing import Any
from uuid import uuid4

import aiohttp

from tests.gateway.backend import STAFF_TOKEN, until
from tests.patience import PATIENCE_S

PASSWORD = "correct horse battery"
_numbers = itertools.count()


class Answer:
    """Status, headers and JSON of an answer; `problem` checks that it is a well-formed one."""

    def __init__(self, status: int, headers: Any, raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.raw = raw

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    def __getitem__(self, name: str) -> Any:
        assert self.status < 300, self.raw
        return self.json[name]

    def problem(self, status: int, code: str) -> dict[str, Any]:
        assert (self.status, self.headers["Content-Type"]) == (
            status,
            "application/problem+json",
        ), self.raw
        document: dict[str, Any] = self.json
        assert document["code"] == code, document
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        assert document["type"] == f"/docs#{code}"
        assert "Traceback" not in self.raw.decode()
        return document


class Desk:
    """Speaks HTTP to one gateway."""

    def __init__(self, http: aiohttp.ClientSession, port: int, token: str = "") -> None:
        self.http = http
        self.base = f"http://127.0.0.1:{port}"
        self.port = port
        self.token = token
        self.player_id = ""
        self.email = ""

    def with_token(self, token: str) -> Desk:
        return Desk(self.http, self.port, token)

    @property
    def staff(self) -> Desk:
        return self.with_token(STAFF_TOKEN)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if key is not None:
            sent["Idempotency-Key"] = key
        if body is not None or raw is not None:
            sent.setdefault("Content-Type", "application/json")
            raw = json.dumps(body).encode() if raw is None else raw
        async with self.http.request(method, self.base + path, data=raw, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def post(self, path: str, body: Any, key: str | None = None) -> Answer:
        """With a key of its own where none is given."""
        return await self.ask("POST", path, body, key=key or uuid4().hex)

    # Players

    async def registered(self) -> Desk:
        """A new player, logged in."""
        number = next(_numbers)
        email = f"player-{number}-{uuid4().hex[:6]}@example.com"
        profile = await self.post("/v1/players", registration(email))
        session = await self.ask("POST", "/v1/sessions", {"email": email, "password": PASSWORD})
        player = self.with_token(session["token"])
        player.player_id, player.email = profile["player_id"], email
        return player

    async def player(self, cash_minor: int = 10_000) -> Desk:
        """A new player, logged in, with money."""
        player = await self.registered()
        assert (await player.deposit(cash_minor)).status == 201
        return player

    async def deposit(self, amount_minor: int, method: str = "bogus-approved") -> Answer:
        return await self.post("/v1/wallet/deposits", payment(amount_minor, method))

    async def cash(self) -> int:
        cash: int = (await self.get("/v1/wallet"))["cash_minor"]
        return cash

    async def settled(self, bet_id: str) -> None:
        """Wait until a bet is open no more."""

        async def is_settled() -> bool:
            return bool((await self.get(f"/v1/bets/{bet_id}"))["state"] != "open")

        await until(is_settled, f"{bet_id} is settled")

    # Staff

    async def fixture(self) -> str:
        created = await self.staff.post(
            "/v1/staff/fixtures",
            {
                "sport": "football",
                "competition": "Test League",
                "name": "Reds v Blues",
                "starts_at": "2030-01-01T15:00:00Z",
            },
        )
        fixture_id: str = created["fixture_id"]
        return fixture_id

    async def market(self, fixture_id: str | None = None, key: str = "winner") -> str:
        """A market with three selections: home 2.5, draw 3.2, away 2.9."""
        fixture_id = fixture_id or await self.fixture()
        opened = await self.staff.post(
            f"/v1/staff/fixtures/{fixture_id}/markets",
            {
                "market_key": key,
                "name": "Match result",
                "kind": "match_result",
                "selections": [
                    {"selection_id": "home", "name": "Reds", "odds": 25_000},
                    {"selection_id": "draw", "name": "Draw", "odds": 32_000},
                    {"selection_id": "away", "name": "Blues", "odds": 29_000},
                ],
            },
        )
        market_id: str = opened["market_id"]
        return market_id

    async def prices(self, market_id: str, **odds: int) -> Answer:
        return await self.staff.post(f"/v1/staff/markets/{market_id}/prices", {"odds": odds})

    async def status(self, market_id: str, status: str, **more: Any) -> Answer:
        path = f"/v1/staff/markets/{market_id}/status"
        return await self.staff.post(path, {"status": status, **more})

    async def result(self, market_id: str, **outcomes: str) -> Answer:
        results = {selection: {"outcome": outcome} for selection, outcome in outcomes.items()}
        path = f"/v1/staff/markets/{market_id}/result"
        return await self.staff.post(path, {"results": results})

    # The stream

    async def stream(self, *, logged_in: bool = False, **options: Any) -> Socket:
        ws = await self.http.ws_connect(
            f"{self.base}/v1/stream", protocols=("grandstand.v1",), **options
        )
        socket = Socket(ws)
        if logged_in:
            assert (await socket.ask("login", token=self.token))["type"] == "ok"
        return socket


class Socket:
    """A WebSocket client: asks, and keeps what was pushed meanwhile."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.pushed: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    async def send(self, type_: str, **fields: Any) -> int:
        number = next(self._ids)
        await self.ws.send_str(json.dumps({"type": type_, "id": number, **fields}))
        return number

    async def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        number = await self.send(type_, **fields)
        return await self.answer(number)

    async def answer(self, number: int) -> dict[str, Any]:
        """The answer to the frame of that id; what is pushed before it is kept."""
        while True:
            frame = await self._receive()
            if frame.get("id") == number:
                return frame
            self.pushed.append(frame)

    async def next(self, *types: str) -> dict[str, Any]:
        """The next pushed frame of one of these types (of any, where none are given)."""
        while True:
            frame = self.pushed.pop(0) if self.pushed else await self._receive()
            if not types or frame["type"] in types:
                return frame

    async def _receive(self) -> dict[str, Any]:
        message = await self.ws.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: dict[str, Any] = json.loads(message.data)
        return frame

    async def close_code(self) -> int:
        """Read until the server closes, and with what code it does."""
        while True:
            message = await self.ws.receive(timeout=PATIENCE_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                assert self.ws.close_code is not None
                return self.ws.close_code
            self.pushed.append(json.loads(message.data))

    async def close(self) -> None:
        await self.ws.close()


def registration(email: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "Ann Example",
        "birth_date": "1990-05-17",
        "email": email,
        "password": PASSWORD,
        **changes,
    }


def payment(amount_minor: Any, method: str = "bogus-approved", **changes: Any) -> dict[str, Any]:
    return {
        "amount_minor": amount_minor,
        "currency": "GBP",
        "processor": "bogus",
        "method": method,
        **changes,
    }


def slip(market_id: str, **changes: Any) -> dict[str, Any]:
    """A bet of 5.00 on the home side at the price that markets open with."""
    return {
        "market_id": market_id,
        "selection_id": "home",
        "stake_minor": 500,
        "currency": "GBP",
        "odds": 25_000,
        **changes,
    }
