"""The starting price, selections of one match together, and what a settled bet says of itself, in a
real browser, on the real stack."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from actors.runtime.clock import now_ms
from gateway import api
from tests.browser.visit import PHONE, Desk, Visit, assert_no_sideways_scroll, tab_to

pytestmark = pytest.mark.browser

PRICE = re.compile(r"^[2-9]\.\d\d$")
RUNNERS = {"falcon": 80_000, "thistle": 22_500, "comet": 40_000, "dusk": 0}


async def race(desk: Desk) -> str:
    """With every kind of terms; the last of its runners has no price yet."""
    return await desk.market(
        "win",
        "win",
        RUNNERS,
        each_way={"places": 2, "divisor": 4},
        starting_price=True,
        rule_4={},
    )


async def finish(desk: Desk, market: str, **positions: int) -> None:
    results = {
        of: {"position": positions.get(of, 4), "starting_odds": 50_000} for of in ("falcon", "dusk")
    } | {"comet": {"position": positions.get("comet", 3), "starting_odds": 45_000}}
    await desk.post(f"markets/{market}/result", {"results": results})


def runner(visit: Visit, market: str, name: str) -> Locator:
    return visit.page.locator(f'.price[data-market="{market}"][data-selection="{name}"]')


async def choose(visit: Visit, market: str, *names: str) -> None:
    for name in names:
        await runner(visit, market, name).click()


async def test_starting_price_deductions_and_corrections(visit: Visit, desk: Desk) -> None:
    page, market = visit.page, await race(desk)
    await visit.come_with("100", desk)
    await page.locator(".expand").click()
    # One is taken at its price, one at the starting price; the last has only that.
    await choose(visit, market, "falcon")
    await page.get_by_role("textbox", name="Stake on Falcon").fill("10")
    await expect(runner(visit, market, "dusk")).to_contain_text("SP")
    await visit.place.click()
    await expect(page.locator(".receipt")).to_contain_text("£80.00")
    await choose(visit, market, "comet")
    line = page.locator(".line")
    await line.get_by_label("At the starting price").check()
    await expect(line.locator(".line-price")).to_have_text("SP")
    await line.get_by_role("textbox").fill("4")
    await line.get_by_label("Each-way: 2 places at 1/4 of the odds").check()
    await expect(page.locator(".returns")).to_have_text("£8.00 in all. Pays by the starting price")
    await expect(page.locator(".totals")).to_contain_text("by the starting price")
    await visit.place.click()
    receipt = page.locator(".receipt").first
    await expect(receipt).to_contain_text("SP")
    await expect(visit.balance).to_have_text("£82.00")
    await choose(visit, market, "dusk")
    await page.get_by_role("textbox", name="Stake on Dusk").fill("2")
    await visit.place.click()
    await expect(visit.balance).to_have_text("£80.00")

    # At 2.25 a withdrawal takes 40p in the pound. Two share the first place.
    await desk.post(f"markets/{market}/withdrawals", {"selection_id": "thistle"})
    await visit.go("My bets")
    await expect(visit.bet("Comet")).to_contain_text("by the starting price")
    await finish(desk, market, falcon=1, comet=1, dusk=4)
    # Falcon: half of 10 at 1 + 7 x 0.6. Comet: half of 4 at 4.5, and 4 at 1 + 3.5 / 4.
    await expect(visit.balance).to_have_text("£122.50")
    await page.get_by_role("button", name="Settled").click()
    falcon, comet = visit.bet("Falcon"), visit.bet("Comet")
    await expect(falcon).to_contain_text("Rule 4: 40p in the pound is taken off")
    await expect(falcon).to_contain_text("Dead heat: 2 shared 1 place, so 1/2 of the stake")
    await expect(comet).to_contain_text("at SP, 4.50")
    await expect(comet).to_contain_text("Dead heat: 2 shared 1 place")
    await expect(falcon).not_to_contain_text("corrected")
    await finish(desk, market, falcon=1, comet=2, dusk=4)
    await expect(page.locator("#toasts")).to_contain_text("Result corrected. Bet won: Falcon")
    await expect(falcon).to_contain_text("£52.00")
    await expect(falcon).to_contain_text("it was settled again")
    await expect(falcon).not_to_contain_text("Dead heat")
    await expect(falcon).to_contain_text("Rule 4: 40p")
    await page.reload()
    await page.get_by_role("button", name="Settled").click()
    await expect(falcon).to_contain_text("it was settled again")
    assert visit.complaints == []


async def test_selections_of_one_match_together(visit: Visit, desks: list[Desk]) -> None:
    page, desk = visit.page, desks[0]
    goals = await desk.market("goals", "total", {"over": 19_000, "under": 19_000}, line_quarters=10)
    await expects(desk, 15_000)
    await visit.come_with("100", *desks)
    await page.locator(f'[data-fixture="{desk.fixture_id}"] .expand').click()
    await visit.price("rovers", desk).click()
    await choose(visit, goals, "over")
    # The model calls the sides home and away: it has no price for one that is named otherwise.
    await expect(page.locator(".clash")).to_contain_text("Rovers and Over are of one match")
    await page.get_by_role("button", name="Remove Rovers").click()
    result = await desk.market("score", "match_result", {"home": 25_000, "away": 29_000})
    await choose(visit, result, "home")
    joint = page.locator(".joint")
    await expect(joint).to_contain_text("Over + Home")
    price = joint.locator(".line-price strong")
    await expect(price).to_have_text(PRICE)
    first = await price.text_content()
    assert first is not None
    alone = visit.multiple("single")
    await expect(alone).to_contain_text("Same-game multiple")
    await alone.get_by_role("textbox").fill("10")
    await expect(alone).to_contain_text(f"pays at most £{float(first) * 10:.2f}")

    # More goals are expected: what is quoted falls, and waits for a yes.
    await expects(desk, 20_000)
    await expect(joint).to_contain_text("The price has fallen since.")
    await expect(visit.place).to_be_disabled()
    await joint.get_by_role("button", name="Accept").click()
    now = await price.text_content()
    assert now is not None
    assert float(now) < float(first)
    # With a leg of another match it makes a double.
    await visit.price("rovers", desks[1]).click()
    await visit.stake("double", "2")
    await expect(visit.multiple("double")).to_contain_text("pays at most")
    await visit.place.click()
    receipt = page.locator(".receipt")
    await expect(receipt).to_contain_text(f"Price together{now}")
    await expect(visit.balance).to_have_text("£98.00")
    await page.get_by_role("link", name="See my bets").click()
    bet = visit.bet("Double")
    await expect(bet.locator(".bet-joint")).to_contain_text(f"Together at {now}")
    results = {"over": {"outcome": "won"}, "under": {"outcome": "lost"}}
    await desk.post(f"markets/{goals}/result", {"results": results})
    await expect(bet.locator('.leg-outcome[data-outcome="won"]')).to_have_count(1)
    results = {"home": {"outcome": "void"}, "away": {"outcome": "void"}}
    await desk.post(f"markets/{result}/result", {"results": results})
    await expect(bet).to_contain_text("Void: counted as 1.00.")
    assert visit.complaints == []


async def expects(desk: Desk, home: int) -> None:
    await desk.post(f"fixtures/{desk.fixture_id}/model", {"home": home, "away": 12_000})


async def test_bought_back_in_full_is_a_list_of_its_own(visit: Visit, desk: Desk) -> None:
    """By keyboard, on a phone."""
    page, key = visit.page, visit.page.keyboard
    market = await race(desk)
    await page.set_viewport_size(PHONE)
    await visit.come_with("20", desk)
    await page.locator(".expand").click()
    await tab_to(page, runner(visit, market, "comet"))
    await key.press("Enter")
    await page.locator("#open-slip").click()
    await tab_to(page, page.get_by_label("At the starting price"))
    await key.press("Space")
    await expect(page.locator(".line-price")).to_have_text("SP")
    await assert_no_sideways_scroll(page)
    await key.press("Space")
    await tab_to(page, page.get_by_role("textbox", name="Stake on Comet"))
    await key.type("5")
    await tab_to(page, visit.place)
    await key.press("Enter")
    await expect(page.locator(".receipt")).to_contain_text("£20.00")
    await page.get_by_role("link", name="See my bets").click()
    bet = visit.bet("Comet")
    await bet.locator(".cash-out-open").click()
    await bet.get_by_role("button", name="Take £4.75").click()
    await expect(bet).to_have_count(0)
    cashed = page.get_by_role("button", name="Cashed out", exact=True)
    await tab_to(page, cashed)
    await key.press("Enter")
    await expect(cashed).to_have_attribute("aria-pressed", "true")
    await expect(bet).to_contain_text("Cashed out")
    await expect(bet).to_contain_text("£4.75")
    await page.get_by_role("button", name="Settled").click()
    await expect(page.locator(".nothing:visible")).to_have_text("No settled bets yet.")
    await assert_no_sideways_scroll(page)
    assert visit.complaints == []


async def test_a_free_stake_is_used_once(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    await visit.come_with("20", *desks)
    await give_free_stake(visit, desks[0])
    await page.reload()
    await visit.choose_sport(desks[0], len(desks))
    for desk in desks[:2]:
        await visit.price("rovers", desk).click()
    bonus = page.get_by_label("Bonus")
    await bonus.select_option(index=1)
    await visit.stake("double", "30")
    await expect(page.locator(".why")).to_have_text("The largest stake here is £25.00.")
    await visit.stake("double", "25")
    # 25 at 6.25, without the stake; the balance need not cover it.
    await expect(page.locator(".totals")).to_contain_text("£25.00, free")
    await expect(page.locator(".totals")).to_contain_text("£131.25")
    await visit.place.click()
    receipt = page.locator(".receipt")
    await expect(receipt).to_contain_text("Free stake£25.00")
    await expect(receipt).to_contain_text("£131.25")
    await expect(visit.balance).to_have_text("£20.00")
    await expect(bonus).to_be_hidden()
    await page.get_by_role("link", name="See my bets").click()
    await expect(visit.bet("Double")).to_contain_text("Free stake£25.00")
    for desk in desks[:2]:
        await desk.result("rovers")
    await expect(visit.balance).to_have_text("£151.25")
    assert visit.complaints == []


async def give_free_stake(visit: Visit, desk: Desk) -> None:
    session = "JSON.parse(sessionStorage.getItem('grandstand.session')).player_id"
    player_id = await visit.page.evaluate(session)
    body = {"kind": "free_stake", "amount_minor": 2_500, "currency": "GBP", "reason": "a welcome"}
    expires_at = api.time_text(now_ms() + 24 * 3_600_000)
    await desk.post(f"../desk/players/{player_id}/bonuses", body | {"expires_at": expires_at})
