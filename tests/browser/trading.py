"""What the tests of the trader's page do with it: members of the staff, players, and the page."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import aiohttp
from playwright.async_api import Locator, Page, expect
from yarl import URL

from grandstand.platform import Platform
from tests.browser.visit import Desk, Visit
from tests.gateway.desk import PASSWORD, Socket
from tests.gateway.desk import Desk as Client

WHY = "Because the test says so"


class TraderVisit(Visit):
    """The trader's page in a browser, and around it what it looks at."""

    def __init__(self, page: Page, platform: Platform, http: aiohttp.ClientSession) -> None:
        super().__init__(page, platform.base_url)
        port = URL(platform.base_url).port
        assert port is not None
        self.client = Client(http, port)
        self.machine = self.client.with_token(platform.staff_token)
        self.login = ""

    # Around it

    async def member(self, role: str) -> str:
        """A new member of the staff: the log-in."""
        login = f"{role.replace('_', '-')}-{uuid4().hex[:8]}"
        body = {"login": login, "name": "Kim Doe", "role": role, "password": PASSWORD}
        added = await self.machine.post("/v1/desk/staff", body | {"reason": WHY})
        assert added.status == 201, added.raw
        return login

    async def placed(self, desk: Desk, stake_minor: int = 1_000, on: str = "rovers") -> Client:
        """A new player with a bet on the fixture, at the prices that it opens with."""
        player = await self.client.player()
        odds = {"rovers": 25_000, "draw": 32_000, "wharf": 29_000}[on]
        body = {"market_id": desk.market_id, "selection_id": on, "odds": odds}
        bet = await player.post("/v1/bets", body | {"stake_minor": stake_minor, "currency": "GBP"})
        assert bet.status == 201, bet.raw
        return player

    async def doubled(self, desks: list[Desk], stake_minor: int = 400) -> Client:
        """A new player with a double on the home sides of two fixtures."""
        player = await self.client.player()
        legs = [
            {"market_id": desk.market_id, "selection_id": "rovers", "odds": 25_000}
            for desk in desks
        ]
        body = {"kind": "double", "legs": legs, "stake_minor": stake_minor, "currency": "GBP"}
        slip = await player.post("/v1/slips", body)
        assert slip.status == 201, slip.raw
        return player

    async def subscribed(self, desk: Desk) -> Watching:
        """A player's socket that follows the fixture."""
        socket = await self.client.stream()
        assert (await socket.ask("subscribe", fixtures=[desk.fixture_id]))["type"] == "ok"
        return Watching(socket, desk.market_id)

    # The page

    async def log_in(self, role: str = "head_trader") -> None:
        self.login = await self.member(role)
        await self.page.goto(f"{self.base_url}/trader")
        await self.page.get_by_label("Log-in").fill(self.login)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")

    async def find(self, desk: Desk) -> None:
        """Have only that event on the board."""
        await self.go("Board")
        await self.page.locator("#search").fill(desk.name)
        await expect(self.page.locator(".event")).to_have_count(1)
        await expect(self.row(desk)).to_be_visible()

    async def open_event(self, desk: Desk) -> None:
        await self.page.goto(f"{self.base_url}/trader#/event/{desk.fixture_id}")
        await expect(self.panel(desk)).to_be_visible()

    def row(self, desk: Desk) -> Locator:
        return self.page.locator(f'.market-row[data-market="{desk.market_id}"]')

    def panel(self, desk: Desk) -> Locator:
        return self.page.locator(f'.panel[data-market="{desk.market_id}"]')

    def status(self, desk: Desk) -> Locator:
        """On the board or on the event's page, whichever is shown."""
        return self.page.locator(
            f':is(.market-row, .panel)[data-market="{desk.market_id}"]:visible .badge-status'
        )

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def say_why(self, button: str, why: str = WHY) -> float:
        """Give the reason and do it; when that was, on this process's clock."""
        await self.dialog.get_by_label("Reason").fill(why)
        began = time.monotonic()
        await self.dialog.get_by_role("button", name=button).click()
        return began

    async def done(self) -> None:
        await expect(self.dialog).to_have_count(0)

    async def refused(self, path: str, body: dict[str, Any]) -> int:
        """What the page's own session is answered when it asks for that all the same."""
        script = """async ([path, body]) => {
            const { token } = JSON.parse(sessionStorage.getItem("grandstand.desk"));
            const answer = await fetch(path, {
                method: "POST",
                headers: {
                    Authorization: `Bearer ${token}`,
                    "Content-Type": "application/json",
                    "Idempotency-Key": crypto.randomUUID(),
                },
                body: JSON.stringify(body),
            });
            return answer.status;
        }"""
        status: int = await self.page.evaluate(script, [path, body])
        return status


class Watching:
    """A player's socket, and what it has been told of one market."""

    def __init__(self, socket: Socket, market_id: str) -> None:
        self._socket = socket
        self._market_id = market_id

    async def until(self, status: str) -> float:
        """Read until the market has it; when that was."""
        while True:
            frame = await self._socket.next("status")
            if (frame["market_id"], frame["status"]) == (self._market_id, status):
                return time.monotonic()

    async def close(self) -> None:
        await self._socket.close()
