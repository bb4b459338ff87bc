"""The player page in a real browser, on the real stack.

Each test makes its own fixture, in a sport of its own, and its own player, so that nothing another
test left behind is in the way. Nothing sleeps: every step waits for what the page shows.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from grandstand.platform import Platform

pytestmark = pytest.mark.browser

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
PATIENCE_MS = 20_000
MOST_TABS = 80
PASSWORD = "correct horse battery"


# The browser, and the desk


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        why = "no Chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


class Desk:
    """What staff do to one fixture with one market, over the staff API."""

    def __init__(self, platform: Platform, http: aiohttp.ClientSession) -> None:
        self.name = f"Rovers v Wharf {uuid4().hex[:6]}"
        self.fixture_id = f"page-{uuid4().hex[:12]}"
        self.market_id = f"{self.fixture_id}:result"
        self.sport = f"sport-{uuid4().hex[:8]}"
        self._url = platform.base_url
        self._token = platform.staff_token
        self._http = http

    async def post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": uuid4().hex}
        url = f"{self._url}/v1/staff/{path}"
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()

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


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as http:
        desk = Desk(platform, http)
        await desk.open()
        yield desk


class Visit:
    """A page somebody has open, and what its console complained of."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._base_url = base_url
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))

    async def open(self) -> None:
        await self.page.goto(self._base_url)
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

    async def choose_sport(self, desk: Desk) -> None:
        await self.page.locator(f'[data-sport="{desk.sport}"]').click()
        await expect(self.page.locator(".card")).to_have_count(1)

    @property
    def balance(self) -> Locator:
        return self.page.locator("#balance")

    @property
    def place(self) -> Locator:
        return self.page.locator("#place")

    def price(self, selection_id: str) -> Locator:
        return self.page.locator(f'.price[data-selection="{selection_id}"]')


@pytest.fixture
async def visit(platform: Platform, browser: Browser) -> AsyncIterator[Visit]:
    context = await browser.new_context(viewport=DESKTOP)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield Visit(page, platform.base_url)
    await context.close()


async def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(MOST_TABS):
        if await target.evaluate("node => node === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{target} can't be reached with the keyboard")


# What players do


async def test_from_registering_to_being_paid(visit: Visit, desk: Desk) -> None:
    page = visit.page
    await visit.open()
    await visit.register()
    await visit.deposit("100")
    await expect(visit.balance).to_have_text("£100.00")
    await visit.go("Sports")
    await visit.choose_sport(desk)

    # A bet at the price that was shown.
    await visit.price("rovers").click()
    await page.get_by_role("textbox", name="Stake").fill("10.01")
    await expect(page.locator(".returns")).to_have_text("Pays £25.03 if it wins")
    await visit.place.click()
    receipt = page.locator(".receipt")
    await expect(receipt).to_contain_text("Bet placed")
    await expect(receipt).to_contain_text("£25.03")
    await expect(visit.balance).to_have_text("£89.99")
    await expect(page.locator("#held")).to_have_text("£10.01 in bets")
    await page.get_by_role("button", name="Clear").click()

    # The price moves while another is on the slip: the page asks before it bets.
    await visit.price("wharf").click()
    await page.get_by_role("textbox", name="Stake").fill("5")
    await expect(visit.place).to_be_enabled()
    await desk.price("wharf", 27_000)
    await expect(visit.price("wharf")).to_contain_text("2.70")
    await expect(page.locator(".line .was")).to_have_text("2.90")
    await expect(page.locator(".note")).to_contain_text("fallen")
    await expect(visit.place).to_be_disabled()
    await page.get_by_role("button", name="Accept 2.70").click()
    await visit.place.click()
    await expect(receipt).to_contain_text("£13.50")
    await expect(visit.balance).to_have_text("£84.99")

    await visit.go("My bets")
    await expect(page.locator('.bet[data-state="open"]')).to_have_count(2)
    await desk.result("rovers")
    await expect(page.locator("#toasts")).to_contain_text("Bet won: Rovers")
    await expect(visit.balance).to_have_text("£110.02")
    await expect(page.locator(".bet")).to_have_count(0)
    await page.get_by_role("button", name="Settled").click()
    await expect(page.locator('.bet[data-state="won"]')).to_contain_text("£25.03")
    await expect(page.locator('.bet[data-state="lost"]')).to_contain_text("£0.00")

    await visit.go("Account")
    rows = page.locator(".statement tbody tr")
    await expect(rows).to_have_count(4)
    await expect(rows.nth(0)).to_contain_text("+£25.03")
    await expect(rows.nth(0)).to_contain_text("£110.02")
    await expect(rows.nth(3)).to_contain_text("+£100.00")
    assert visit.complaints == []


async def test_what_is_in_the_way_is_said(visit: Visit, desk: Desk) -> None:
    page = visit.page
    await visit.open()
    await visit.register()
    await visit.deposit("200")
    await expect(visit.balance).to_have_text("£200.00")
    await visit.go("Sports")
    await visit.choose_sport(desk)
    await visit.price("draw").click()
    stake = page.get_by_role("textbox", name="Stake")

    await stake.fill("1,000")
    await expect(page.locator(".note")).to_contain_text("Leave out commas")
    await stake.fill("1.005")
    await expect(page.locator(".note")).to_contain_text("2 decimal places")
    await expect(visit.place).to_be_disabled()

    # Above the market's limit: one click corrects it.
    await stake.fill("150")
    await page.get_by_role("button", name="Stake £100.00").click()
    await expect(stake).to_have_value("100.00")
    await expect(visit.place).to_be_enabled()

    await desk.status("suspended")
    await expect(visit.price("wharf")).to_be_disabled()
    await expect(visit.place).to_be_disabled()
    await expect(page.locator(".note")).to_contain_text("Suspended")

    # In play, the bet waits out its delay before it is answered.
    await desk.status("open", bet_delay_ms=2_000)
    await expect(visit.place).to_be_enabled()
    await visit.place.click()
    await expect(page.locator(".progress")).to_contain_text("checking the price")
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")
    assert visit.complaints == []


async def test_a_bet_whose_answer_is_lost_is_placed_once(visit: Visit, desk: Desk) -> None:
    """The answers to the bet are cut off twice; the page asks with the same key until it knows."""
    page = visit.page
    keys: list[str] = []

    async def cut_off(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = await route.fetch()
        if len(keys) <= 2:
            await route.abort()
        else:
            await route.fulfill(response=answer)

    # Without the stream, so that the bet travels over HTTP, where an answer can be cut off.
    await page.route_web_socket(re.compile("/v1/stream"), lambda socket: socket.close())
    await page.route("**/v1/bets", cut_off)
    await page.goto(f"{visit._base_url}/")
    await visit.register()
    await visit.deposit("50")
    await expect(visit.balance).to_have_text("£50.00")
    await visit.go("Sports")
    await visit.choose_sport(desk)
    await visit.price("rovers").click()
    await page.get_by_role("textbox", name="Stake").fill("10")
    await visit.place.click()
    await expect(page.locator(".progress")).to_contain_text("whether your bet was placed")
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")
    await expect(visit.balance).to_have_text("£40.00")
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_bet_with_the_keyboard_alone(visit: Visit, desk: Desk) -> None:
    page = visit.page
    await visit.open()
    await visit.register()
    await visit.deposit("20")
    await expect(visit.balance).to_have_text("£20.00")
    await visit.go("Sports")
    await tab_to(page, page.locator(f'[data-sport="{desk.sport}"]'))
    await page.keyboard.press("Enter")
    await expect(page.locator(".card")).to_have_count(1)
    await tab_to(page, visit.price("rovers"))
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_role("textbox", name="Stake"))
    await page.keyboard.type("5")
    await tab_to(page, visit.place)
    await page.keyboard.press("Enter")
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")
    await expect(visit.balance).to_have_text("£15.00")
    assert visit.complaints == []


async def test_a_phone_has_room_for_all_of_it(visit: Visit, desk: Desk) -> None:
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.open()
    await visit.register()
    await visit.deposit("20")
    await expect(visit.balance).to_have_text("£20.00")
    await assert_no_sideways_scroll(page)
    await visit.go("Sports")
    await visit.choose_sport(desk)
    await visit.price("rovers").click()
    await assert_no_sideways_scroll(page)
    await page.locator("#open-slip").click()
    await page.get_by_role("button", name="£10", exact=True).click()
    await visit.place.click()
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")
    await assert_no_sideways_scroll(page)
    await page.get_by_role("link", name="See my bets").click()
    await expect(page.locator(".bet")).to_have_count(1)
    await assert_no_sideways_scroll(page)
    assert visit.complaints == []


async def assert_no_sideways_scroll(page: Page) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{wide} px too wide"
