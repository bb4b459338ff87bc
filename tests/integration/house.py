"""A small house to test in: players with money, a market, and clients that behave as they should.

A client repeats a request with the same key until it has an answer, as the API documentation tells
it to, and remembers everything it was told.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import aiohttp

from tests.patience import PATIENCE_S


class House:
    """One platform seen from outside, over HTTP."""

    def __init__(self, base_url: str, staff_token: str, http: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.http = http
        self.staff_headers = {"Authorization": f"Bearer {staff_token}"}

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        staff: bool = False,
        key: str | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON; repeated with the same key while there is no answer."""
        headers = dict(self.staff_headers) if staff else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if method == "POST":
            headers["Idempotency-Key"] = key or uuid4().hex
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with self.http.request(
                        method, self.base_url + path, json=body, headers=headers
                    ) as response:
                        answer = await response.json(content_type=None)
                        if response.status not in (429, 503):
                            return response.status, answer
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)

    async def want(self, status: int, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The JSON of an answer that must have this status."""
        got, answer = await self.ask(method, path, body, **how)
        assert got == status, f"{method} {path}: {got} {answer}"
        return answer

    async def player(self, cash_minor: int = 0) -> Player:
        """Somebody new, logged in, with that much money."""
        email = f"{uuid4().hex[:12]}@example.com"
        password = "correct horse battery"
        person = {
            "name": "Pat Punter",
            "birth_date": "1990-04-01",
            "email": email,
            "password": password,
        }
        registered = await self.want(201, "POST", "/v1/players", person)
        login = {"email": email, "password": password}
        session = await self.want(201, "POST", "/v1/sessions", login)
        player = Player(self, registered["player_id"], email, password, session["token"])
        if cash_minor:
            await player.deposit(cash_minor)
        return player

    async def market(
        self, selections: dict[str, int] | None = None, **limits: int
    ) -> tuple[str, str]:
        """A new fixture with one open market; their ids."""
        fixture_id = f"t-{uuid4().hex[:12]}"
        await self.want(
            201,
            "POST",
            "/v1/staff/fixtures",
            {
                "fixture_id": fixture_id,
                "sport": "Football",
                "competition": "Test league",
                "name": f"Home v Away {fixture_id}",
                "starts_at": "2030-01-01T12:00:00Z",
            },
            staff=True,
        )
        odds = selections or {"home": 20_000, "draw": 32_500, "away": 40_000}
        body: dict[str, Any] = {
            "market_key": "result",
            "name": "Match result",
            "kind": "match_result",
            "selections": [
                {"selection_id": selection, "name": selection.title(), "odds": price}
                for selection, price in odds.items()
            ],
        }
        if limits:
            body["limits"] = limits
        path = f"/v1/staff/fixtures/{fixture_id}/markets"
        await self.want(201, "POST", path, body, staff=True)
        return fixture_id, f"{fixture_id}:result"

    async def result(self, market_id: str, **outcomes: str) -> None:
        """Declare the outcome of each selection."""
        results = {selection: {"outcome": outcome} for selection, outcome in outcomes.items()}
        path = f"/v1/staff/markets/{market_id}/result"
        await self.want(200, "POST", path, {"results": results}, staff=True)


class Player:
    """One player and what was answered to them."""

    def __init__(self, house: House, player_id: str, email: str, password: str, token: str) -> None:
        self.house = house
        self.player_id = player_id
        self.email = email
        self.password = password
        self.token = token

    async def deposit(self, amount_minor: int) -> Any:
        return await self.house.want(
            201, "POST", "/v1/wallet/deposits", payment(amount_minor), token=self.token
        )

    async def wallet(self) -> Any:
        return await self.house.want(200, "GET", "/v1/wallet", token=self.token)

    async def caught_up(self) -> None:
        """Wait until the ledger has all that this player was told."""

        async def up_to_date() -> bool:
            page = await self.house.want(200, "GET", "/v1/bets?limit=1", token=self.token)
            return bool(page["up_to_date"])

        await eventually(up_to_date, "the ledger has caught up")

    async def bets(self, query: str = "?limit=200") -> list[Any]:
        """All bets, through as many pages as there are."""
        found: list[Any] = []
        cursor = ""
        while True:
            path = f"/v1/bets{query}{cursor}"
            page = await self.house.want(200, "GET", path, token=self.token)
            found += page["items"]
            if not page.get("next_cursor"):
                return found
            cursor = f"&cursor={page['next_cursor']}"

    async def bet(
        self,
        market_id: str,
        selection_id: str = "home",
        stake_minor: int = 100,
        odds: int = 20_000,
        accept: str = "none",
        key: str | None = None,
    ) -> tuple[int, Any]:
        body = bet_body(market_id, selection_id, stake_minor, odds, accept)
        return await self.house.ask("POST", "/v1/bets", body, token=self.token, key=key)


def payment(amount_minor: int, method: str = "bogus-approved") -> dict[str, Any]:
    return {
        "amount_minor": amount_minor,
        "currency": "GBP",
        "processor": "bogus",
        "method": method,
    }


def bet_body(
    market_id: str,
    selection_id: str = "home",
    stake_minor: int = 100,
    odds: int = 20_000,
    accept: str = "none",
) -> dict[str, Any]:
    return {
        "market_id": market_id,
        "selection_id": selection_id,
        "stake_minor": stake_minor,
        "currency": "GBP",
        "odds": odds,
        "accept": accept,
    }


async def eventually(condition: Any, what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait until an async condition holds, and return what it returned."""
    try:
        async with asyncio.timeout(timeout_s) as patience:
            while True:
                found = await condition()
                if found:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        if not patience.expired():
            raise
        raise AssertionError(f"not within {timeout_s:.0f} s: {what}") from None
