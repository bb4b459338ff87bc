"""The player page in a real browser, on the real stack.

Each test makes its own fixture, in a sport of its own, and its own player, so that nothing another
test left behind is in the way. Nothing sleeps: every step waits for what the page shows.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.visit import PHONE, Desk, Visit, assert_no_sideways_scroll, tab_to

pytestmark = pytest.mark.browser


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


async def test_a_list_that_is_late_is_read_again(visit: Visit, desk: Desk) -> None:
    """Made behind the fixtures, it may lack one that no stream will announce any more."""
    late = {"fixtures": 0, "sports": 0}

    async def lacks_all(route: Route) -> None:
        name = route.request.url.partition("?")[0].rpartition("/")[2]
        late[name] += 1
        answer = {"items": [], "next_cursor": None, "up_to_date": False}
        if late[name] > 4:
            await route.continue_()
        else:
            await route.fulfill(status=200, json=answer)

    await visit.page.route(re.compile("/v1/(fixtures|sports)"), lacks_all)
    await visit.open()
    await visit.choose_sport(desk)
    assert late["sports"] > 4


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
    await page.goto(f"{visit.base_url}/")
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
