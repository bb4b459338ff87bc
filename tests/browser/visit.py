"""What the tests of the player page do with it, and what staff do meanwhile."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import aiohttp
from playwright.async_api import Locator, Page, expect

from grandstand.platform import Platform

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
MOST_TABS = 120
PASSWORD = "correct horse battery"


class Desk:
    """What staff do to one fixture with one market, over the staff API."""

    def __init__(
        self, platform: Platform, http: aiohttp.ClientSession, sport: str | None = None
    ) -> None:
        self.name = f"Rovers v Wharf {uuid4().hex[:6]}"
        self.fixture_id = f"page-{uuid4().hex[:12]}"
        self.market_id = f"{self.fixture_id}:result"
        self.sport = sport or f"sport-{uuid4().hex[:8]}"
        self._url = platform.base_url
        self._token = platform.staff_token
        self._http = http

    async def post(self, path: str, body: dict[str, Any], *, of: str = "staff") -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": uuid4().hex}
        url = f"{self._url}/v1/{of}/{path}"
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()

    async def act(self, path: str, **body: Any) -> None:
        """At the trader's desk."""
        await self.post(path, body | {"reason": "Because the test says so"}, of="desk")

    async def waiting(self) -> str:
        """The referral that waits for a trader with a leg on this fixture."""
        headers = {"Authorization": f"Bearer {self._token}"}
        while True:  # until the ledger has it
            async with self._http.get(f"{self._url}/v1/desk/referrals", headers=headers) as answer:
                for one in (await answer.json())["items"]:
                    if self.fixture_id in [leg["fixture_id"] for leg in one.get("legs", ())]:
                        return str(one["referral"]["referral_id"])

    async def open(self) -> None:
        fixture = {
            "fixture_id": self.fixture_id,
            "sport": self.sport,
            "competition": "Harbour League",
            "name": self.name,
            "starts_at": "2030-01-01T12:00:00Z",
        }
        prices = {"rovers": 25_000, "draw": 32_000, "wharf": 29_000}
        market = {
            "market_key": "result",
            "name": "Match result",
            "kind": "match_result",
            "selections": [
                {"selection_id": key, "name": key.title(), "odds": odds}
                for key, odds in prices.items()
            ],
            "limits": {"max_stake_minor": 10_000},
        }
        await self.post("fixtures", fixture)
        await self.post(f"fixtures/{self.fixture_id}/markets", market)

    async def market(self, key: str, kind: str, odds: dict[str, int], **terms: Any) -> str:
        """Another market of the fixture."""
        selections = [
            {"selection_id": of, "name": of.title(), "odds": price or None}
            for of, price in odds.items()
        ]
        body = {"market_key": key, "name": key.title(), "kind": kind, "selections": selections}
        await self.post(f"fixtures/{self.fixture_id}/markets", body | {"terms": terms})
        return f"{self.fixture_id}:{key}"

    async def price(self, selection_id: str, odds: int) -> None:
        await self.post(f"markets/{self.market_id}/prices", {"odds": {selection_id: odds}})

    async def status(self, status: str, *, bet_delay_ms: int = 0) -> None:
        change = {"status": status, "in_play": bet_delay_ms > 0, "bet_delay_ms": bet_delay_ms}
        await self.post(f"markets/{self.market_id}/status", change)

    async def result(self, winner: str) -> None:
        results = {
            key: {"outcome": "won" if key == winner else "lost"}
            for key in ("rovers", "draw", "wharf")
        }
        await self.post(f"markets/{self.market_id}/result", {"results": results})


class Visit:
    """A page somebody has open, and what its console complained of."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.base_url = base_url
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and self._heard(line.text))

    def _heard(self, text: str) -> None:
        # A refusal is an answer, but browsers take it for a failure to load something.
        if "status of 409" not in text:
            self.complaints.append(text)

    async def open(self) -> None:
        await self.page.goto(self.base_url)
        await expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")

    async def register(self) -> None:
        page = self.page
        await page.click("#register")
        dialog = page.get_by_role("dialog", name="Register")
        await dialog.get_by_label("Full name").fill("Robin Hale")
        await dialog.get_by_label("Date of birth").fill("1990-05-17")
        await dialog.get_by_label("E-mail").fill(f"{uuid4().hex}@example.com")
        await dialog.get_by_label("Password").fill(PASSWORD)
        await dialog.get_by_role("button", name="Create account").click()
        await expect(self.balance).to_have_text("£0.00")

    async def deposit(self, pounds: str) -> None:
        await self.go("Account")
        await self.page.get_by_role("textbox", name="Amount").fill(pounds)
        await self.page.locator(".payments .primary").click()

    async def go(self, name: str) -> None:
        await self.page.get_by_role("navigation").get_by_role("link", name=name).click()

    async def choose_sport(self, desk: Desk, fixtures: int = 1) -> None:
        await self.page.locator(f'[data-sport="{desk.sport}"]').click()
        await expect(self.page.locator(".card")).to_have_count(fixtures)

    async def come_with(self, pounds: str, *desks: Desk) -> None:
        """Register, deposit, and look at the fixtures of these."""
        await self.open()
        await self.register()
        await self.deposit(pounds)
        await expect(self.balance).to_have_text(f"£{pounds}.00")
        await self.go("Sports")
        await self.choose_sport(desks[0], len(desks))

    @property
    def balance(self) -> Locator:
        return self.page.locator("#balance")

    @property
    def place(self) -> Locator:
        return self.page.locator("#place")

    def price(self, selection_id: str, desk: Desk | None = None) -> Locator:
        market = f'[data-market="{desk.market_id}"]' if desk else ""
        return self.page.locator(f'.price{market}[data-selection="{selection_id}"]')

    def multiple(self, kind: str) -> Locator:
        return self.page.locator(f'.multi[data-kind="{kind}"]')

    async def stake(self, kind: str, pounds: str) -> None:
        """On each line of a bet of that kind."""
        await self.multiple(kind).get_by_role("textbox").fill(pounds)

    def bet(self, text: str) -> Locator:
        """In the list of bets, the one that says so."""
        return self.page.locator(".bet", has_text=text)


async def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(MOST_TABS):
        if await target.evaluate("node => node === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{target} can't be reached with the keyboard")


async def assert_no_sideways_scroll(page: Page) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{wide} px too wide"
