"""Bets of several lines and cashing out, in a real browser, on the real stack.

The rules have tests of their own; here it is that a player can do all of it, and sees what came of
it. Every selection that is taken stands at 2.5 unless a test moves it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from tests.browser.visit import Desk, Visit, assert_no_sideways_scroll, tab_to

pytestmark = pytest.mark.browser

NARROW = {"width": 375, "height": 812}


async def choose(visit: Visit, *desks: Desk) -> None:
    for desk in desks:
        await visit.price("rovers", desk).click()
    await expect(visit.page.locator(".line")).to_have_count(len(desks))


async def test_multiples_placed_with_one_click_and_settled(visit: Visit, desks: list[Desk]) -> None:
    page, on = visit.page, desks[:3]
    await visit.come_with("100", *desks)
    await choose(visit, *on)
    kinds = await page.locator(".multi").evaluate_all("nodes => nodes.map(it => it.dataset.kind)")
    assert kinds == ["treble", "double", "trixie", "patent", "system"]

    await page.get_by_role("textbox", name="Stake on Rovers").first.fill("2")
    await visit.stake("treble", "1")
    await visit.stake("trixie", "1")
    trixie = visit.multiple("trixie")
    await expect(trixie).to_contain_text("4 lines of £1.00: £4.00 · pays at most £34.38")
    await expect(visit.multiple("treble")).to_contain_text("pays at most £15.63")
    # 2 at 2.5, and both of these.
    await expect(page.locator(".totals")).to_contain_text("£55.01")
    await expect(visit.place).to_have_text("Place 3 bets · £7")

    # A price falls: all that has a line with it waits for a yes.
    await desks[1].price("rovers", 24_000)
    await expect(visit.place).to_be_disabled()
    await expect(page.locator(".why")).to_have_text("Accept the new price first.")
    await page.get_by_role("button", name="Accept 2.40").click()
    # 2.5 x 2.4 twice, 2.5 x 2.5, 2.5 x 2.4 x 2.5.
    await expect(trixie).to_contain_text("pays at most £33.25")
    await visit.place.click()
    await expect(page.locator(".outcome")).to_have_text("3 bets placed.")
    await expect(page.locator(".receipt")).to_have_count(3)
    await expect(page.locator(".receipt", has_text="Trixie")).to_contain_text("£33.25")
    await expect(page.locator(".line")).to_have_count(0)
    await expect(visit.balance).to_have_text("£93.00")

    await visit.go("My bets")
    await expect(page.locator('.bet[data-state="open"]')).to_have_count(3)
    await expect(visit.bet("Trixie")).to_contain_text("4 lines of £1.00")
    await desks[0].result("rovers")
    await expect(visit.balance).to_have_text("£98.00")
    await desks[1].result("rovers")
    # The first double of the Trixie has paid; the rest goes on.
    await expect(visit.bet("Trixie")).to_contain_text("Paid so far£6.00")
    await expect(visit.bet("Trixie").locator('[data-outcome="won"]')).to_have_count(2)
    await expect(visit.balance).to_have_text("£104.00")
    await desks[2].result("wharf")
    await expect(page.locator("#toasts")).to_contain_text("Bet lost: Treble")
    await expect(page.locator(".bet")).to_have_count(0)
    await page.get_by_role("button", name="Settled").click()
    await expect(visit.bet("Treble")).to_have_attribute("data-state", "lost")
    await expect(visit.bet("Trixie")).to_contain_text("Partly won")
    await expect(visit.bet("Trixie").locator('[data-outcome="lost"]')).to_have_count(1)
    await expect(visit.balance).to_have_text("£104.00")
    assert visit.complaints == []


async def test_a_system_with_a_banker(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    await visit.come_with("50", *desks)
    await choose(visit, *desks)
    await page.get_by_role("button", name="Banker: Rovers").first.click()
    assert await page.locator(".multi").count() == 2
    system = visit.multiple("system")
    await system.get_by_role("textbox").fill("1")
    await expect(system).to_contain_text("Choose how many selections are in a line.")
    await expect(visit.place).to_be_disabled()
    await system.get_by_text("2 of 3").click()
    # Three lines of 2.5 x 2.5 x 2.5.
    await expect(system).to_contain_text("3 lines of £1.00: £3.00 · pays at most £46.88")
    await visit.place.click()
    receipt = page.locator(".receipt")
    await expect(receipt).to_contain_text("System 2 of 3 with 1 banker")
    await page.get_by_role("link", name="See my bets").click()
    bet = visit.bet("System 2 of 3 with 1 banker")
    await expect(bet.locator(".tag")).to_have_text("Banker")
    for desk in desks[:3]:
        await desk.result("rovers")
    await expect(bet).to_contain_text("Paid so far£15.63")
    await expect(bet).to_contain_text("Can pay at most£46.88")
    await expect(visit.balance).to_have_text("£62.63")
    assert visit.complaints == []


async def test_less_is_offered_and_a_trader_is_asked(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    await visit.come_with("300", *desks)
    await choose(visit, *desks[:2])
    double = visit.multiple("double")
    promised = double.locator(".promised")
    await visit.stake("double", "150")
    await visit.place.click()
    await expect(promised).to_contain_text("Offered instead: £100.00 at 2.50, 2.50.")
    await desks[0].price("rovers", 24_000)
    await promised.get_by_role("button", name="Take £100.00").click()
    # At the price that was promised: 6.25 times.
    await expect(page.locator(".receipt")).to_contain_text("£625.00")
    await expect(visit.balance).to_have_text("£200.00")

    # Above what the market takes by itself a trader is asked, who takes less of it.
    await desks[1].act(f"markets/{desks[1].market_id}/limits", refer_above_minor=1_000)
    await choose(visit, *desks[:2])
    await visit.stake("double", "50")
    await visit.place.click()
    await expect(promised).to_contain_text("A trader is looking at this bet.")
    await expect(visit.place).to_be_disabled()
    await page.reload()
    await expect(promised).to_contain_text("A trader is looking at this bet.")
    await desks[1].act(f"referrals/{await desks[1].waiting()}/accept", stake_minor=2_000)
    await expect(promised).to_contain_text("A trader accepts £20.00 at 2.40, 2.50.")
    await promised.get_by_role("button", name="Take £20.00").click()
    await expect(page.locator(".receipt")).to_contain_text("£120.00")
    await expect(visit.balance).to_have_text("£180.00")
    assert visit.complaints == []


async def test_what_can_not_be_combined_is_said(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    await visit.come_with("50", *desks)
    await choose(visit, *desks[:2])
    await visit.price("wharf", desks[0]).click()
    clash = page.locator(".clash")
    await expect(clash).to_contain_text(f"Rovers and Wharf are of one match, {desks[0].name}")
    await expect(page.locator(".multi")).to_have_count(0)
    await expect(page.locator(".line.is-clashing")).to_have_count(2)
    await page.get_by_role("button", name="Remove Wharf").click()
    await expect(clash).to_be_hidden()
    await expect(visit.multiple("double")).to_be_visible()
    assert visit.complaints == []


async def test_one_bet_is_placed_and_the_other_refused(visit: Visit, desks: list[Desk]) -> None:
    """Each of them shows its own outcome, and what was refused can be tried again."""
    page = visit.page
    await visit.come_with("500", *desks)
    await choose(visit, *desks[:2])
    await page.get_by_role("textbox", name="Stake on Rovers").first.fill("5")
    await visit.stake("double", "150")
    await visit.place.click()
    await expect(page.locator(".outcome")).to_have_text("1 bet placed, 1 refused.")
    double = visit.multiple("double")
    await expect(double).to_contain_text("The largest stake on Rovers is £100.00.")
    await expect(visit.balance).to_have_text("£495.00")
    await visit.stake("double", "100")
    await visit.place.click()
    await expect(page.locator(".receipt", has_text="Double")).to_contain_text("£625.00")
    await expect(page.locator(".line")).to_have_count(0)
    await expect(visit.balance).to_have_text("£395.00")


async def test_a_price_that_moves_on_the_way_is_asked_about(
    visit: Visit, desks: list[Desk]
) -> None:
    """The server's no names the leg; both new prices are accepted with one click."""
    page = visit.page
    asked: list[int] = []

    async def drift_first(route: Any) -> None:
        if not asked:
            await desks[1].price("rovers", 24_000)
        asked.append(route.request.post_data_json["legs"][1]["odds"])
        await route.continue_()

    await page.route("**/v1/slips", drift_first)
    await visit.come_with("50", *desks)
    await choose(visit, *desks[:2])
    await visit.stake("double", "10")
    await visit.place.click()
    double = visit.multiple("double")
    await expect(double).to_contain_text("The price of Rovers moved before your bet was placed")
    await expect(visit.balance).to_have_text("£50.00")
    await desks[0].price("rovers", 20_000)
    await page.get_by_role("button", name="Accept all new prices").click()
    await expect(double).to_contain_text("pays at most £48.00")
    await visit.place.click()
    await expect(page.locator(".receipt")).to_contain_text("£48.00")
    assert asked == [25_000, 24_000]


async def test_a_slip_under_way_outlives_a_reload(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    keys: list[str] = []
    reloaded = False

    async def cut_off(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()
        if reloaded:
            await route.continue_()
        else:
            await route.abort()

    await page.route("**/v1/slips", cut_off)
    await visit.come_with("50", *desks)
    await choose(visit, *desks[:2])
    await visit.stake("double", "10")
    await visit.place.click()
    await expect(visit.multiple("double")).to_contain_text("whether your bet was placed")
    await page.reload()
    reloaded = True
    await expect(page.locator(".receipt")).to_contain_text("£62.50")
    await expect(page.locator(".line")).to_have_count(0)
    await expect(visit.balance).to_have_text("£40.00")
    assert len(keys) >= 2
    assert len(set(keys)) == 1


async def test_a_slip_whose_answer_is_lost_is_placed_once(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    keys: list[str] = []

    async def cut_off(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = await route.fetch()
        if len(keys) == 1:
            await route.abort()
        else:
            await route.fulfill(response=answer)

    await page.route("**/v1/slips", cut_off)
    await visit.come_with("50", *desks)
    await choose(visit, *desks[:2])
    await visit.stake("double", "10")
    await visit.place.click()
    await expect(page.locator(".progress")).to_contain_text(["", "", "whether your bet was placed"])
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")
    await expect(visit.balance).to_have_text("£40.00")
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_each_way_where_the_market_has_terms(visit: Visit, desks: list[Desk]) -> None:
    """What is sent and shown; the terms are put into what the server says."""
    page = visit.page
    sent: list[dict[str, Any]] = []

    def with_terms(said: str | bytes) -> str:
        text = said if isinstance(said, str) else said.decode()
        market = f'"market_id":"{desks[0].market_id}"'
        return text.replace(market, f'{market},"terms":{{"each_way":{{"places":3,"divisor":4}}}}')

    async def listed(route: Any) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=with_terms(await answer.text()))

    def streamed(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda said: socket.send(with_terms(said)))

    async def take(route: Any) -> None:
        sent.append(route.request.post_data_json)
        problem = {"code": "each_way_unavailable", "status": 409, "detail": "Not here."}
        await route.fulfill(status=409, body=json.dumps(problem))

    await page.route("**/v1/fixtures?*", listed)
    await page.route_web_socket(re.compile("/v1/stream"), streamed)
    await page.route("**/v1/slips", take)
    await visit.come_with("50", *desks)
    await choose(visit, desks[0])
    await page.get_by_label("Each-way: 3 places at 1/4 of the odds").check()
    await page.get_by_role("textbox", name="Stake").fill("4")
    # 4 x 2.5 + 4 x (1 + 1.5 / 4), and the second of these alone.
    await expect(page.locator(".returns")).to_have_text(
        "£8.00 in all. Pays £15.50 if it wins, £5.50 if placed"
    )
    await visit.place.click()
    await expect(page.locator(".note")).to_have_text("Not here.")
    assert (sent[0]["kind"], sent[0]["stake_minor"], sent[0]["each_way"]) == ("single", 800, True)
    # A double is each-way only where both are.
    await visit.price("rovers", desks[1]).click()
    await expect(visit.multiple("double")).to_be_visible()
    await expect(page.locator(".check:visible")).to_have_count(1)

    async def own_bets(route: Any) -> None:
        leg = {
            "fixture_name": "Wynbeck 14:30",
            "market_name": "Winner",
            "odds": 50_000,
            "each_way": {"places": 3, "divisor": 5},
        }
        bet = {
            "bet_id": "each-way",
            "state": "partly_won",
            "stake_minor": 200,
            "payout_minor": 324,
            "potential_payout_minor": 324,
            "currency": "GBP",
            "placed_at": "2030-01-01T12:00:00.000Z",
            "lines": {"kind": "double", "folds": [2], "lines": 2, "each_way": True},
            "legs": [
                leg | {"selection_name": "Falcon", "outcome": "won", "place": "won"},
                leg | {"selection_name": "Thistle", "outcome": "lost", "place": "won"},
            ],
        }
        answer = {"items": [bet], "next_cursor": None, "up_to_date": True}
        await route.fulfill(status=200, body=json.dumps(answer))

    await page.route("**/v1/bets?*", own_bets)
    await visit.go("My bets")
    bet = visit.bet("Double each-way")
    await expect(bet.locator(".leg-outcome")).to_have_text(["Won", "Placed"])
    await expect(bet).to_contain_text("Each-way: 3 places at 1/5 of the odds")


# Cashing out


async def double_on(visit: Visit, desks: list[Desk], pounds: str) -> None:
    await visit.come_with("50", *desks)
    await choose(visit, *desks[:2])
    await visit.stake("double", pounds)
    await visit.place.click()
    await page_shows_receipt(visit.page)
    await visit.go("My bets")


async def page_shows_receipt(page: Page) -> None:
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")


async def test_cashed_out_in_part_and_then_the_rest(visit: Visit, desks: list[Desk]) -> None:
    page = visit.page
    await double_on(visit, desks, "10")
    bet = visit.bet("Double")
    # 10 x 0.95; then the first leg shortens to 2.0: 10 x 2.5 / 2.0 x 0.95.
    await expect(bet.locator(".cash-out-open")).to_have_text("Cash out £9.50")
    await desks[0].price("rovers", 20_000)
    await expect(bet.locator(".cash-out-open")).to_have_text("Cash out £11.87")

    await bet.locator(".cash-out-open").click()
    await bet.get_by_role("textbox").fill("4")
    await expect(bet).to_contain_text("You get £4.75 now, and £6.00 of the stake stays on.")
    await bet.get_by_role("button", name="Take £4.75").click()
    await expect(page.locator("#toasts")).to_contain_text("Cashed out £4.75. The rest")
    await expect(visit.balance).to_have_text("£44.75")
    await expect(bet).to_contain_text("Paid so far£4.75")
    await expect(bet.locator(".cash-out-open")).to_have_text("Cash out £7.12")

    await bet.locator(".cash-out-open").click()
    await bet.get_by_role("button", name="Take £7.12").click()
    await expect(page.locator(".bet")).to_have_count(0)
    await expect(visit.balance).to_have_text("£51.87")
    await page.get_by_role("button", name="Cashed out", exact=True).click()
    await expect(visit.bet("Double")).to_contain_text("Cashed out")
    await expect(visit.bet("Double")).to_contain_text("Paid£11.87")
    assert visit.complaints == []


async def test_why_there_is_no_offer_and_what_became_of_one(
    visit: Visit, desks: list[Desk]
) -> None:
    page = visit.page
    await double_on(visit, desks, "10")
    bet = visit.bet("Double")
    await expect(bet.locator(".cash-out-open")).to_have_text("Cash out £9.50")
    await desks[1].status("suspended")
    await expect(bet).to_contain_text("No offer at the moment: Rovers has no price")
    await desks[1].status("open")
    await expect(bet.locator(".cash-out-open")).to_have_text("Cash out £9.50")

    # Between the offer and the yes the price drifts: nothing is cashed out unasked.
    async def drift_first(route: Any) -> None:
        if route.request.method == "POST":
            await desks[0].price("rovers", 30_000)
        await route.continue_()

    await page.route("**/cash-out*", drift_first)
    await bet.locator(".cash-out-open").click()
    await bet.get_by_role("button", name="Take £9.50").click()
    await expect(bet).to_contain_text("it is now worth £7.91. Nothing was cashed out.")
    await expect(visit.balance).to_have_text("£40.00")
    await bet.get_by_role("button", name="Take £7.91").click()
    await expect(visit.balance).to_have_text("£47.91")


async def test_an_offer_runs_out(visit: Visit, desks: list[Desk]) -> None:
    """Before the eyes where no new one comes, and by the server's word where it is late."""
    page = visit.page
    await double_on(visit, desks, "10")
    bet = visit.bet("Double")
    await bet.locator(".cash-out-open").click()
    await expect(bet.get_by_role("button", name="Take £9.50")).to_be_enabled()

    async def never(route: Any) -> None:
        """No answer, and no end."""

    await page.route("**/cash-out*", never)
    waiting = bet.get_by_role("button", name="Waiting for an offer…")
    await expect(waiting).to_be_disabled()
    await page.unroute_all()

    late: list[str] = []

    async def too_late(route: Any) -> None:
        if route.request.method == "GET" or late:
            await route.continue_()
            return
        late.append(route.request.url)
        problem = {"code": "offer_expired", "status": 409, "detail": "The offer has expired."}
        await route.fulfill(status=409, body=json.dumps(problem))

    await page.route("**/cash-out*", too_late)
    await bet.get_by_role("button", name="Take £9.50").click()
    await expect(bet).to_contain_text("The offer had run out. Nothing was cashed out")
    await expect(visit.balance).to_have_text("£40.00")
    await bet.get_by_role("button", name="Take £9.50").click()
    await expect(visit.balance).to_have_text("£49.50")


async def test_an_offer_that_falls_under_the_finger_is_not_taken(
    visit: Visit, desks: list[Desk]
) -> None:
    page = visit.page
    await double_on(visit, desks, "10")
    bet = visit.bet("Double")
    await bet.locator(".cash-out-open").click()
    take = bet.get_by_role("button", name="Take £9.50")
    await expect(take).to_be_enabled()
    await take.evaluate(_PRESS_AS_IT_CHANGES)
    await desks[0].price("rovers", 30_000)
    await expect(bet).to_contain_text("The offer has just fallen. Press again to take it.")
    await expect(bet.get_by_role("button", name="Take £7.91")).to_be_enabled()
    await expect(visit.balance).to_have_text("£40.00")
    assert await page.evaluate("pressed")


_PRESS_AS_IT_CHANGES = """
(button) => {
  window.pressed = false;
  new MutationObserver(() => {
    if (window.pressed) return;
    window.pressed = true;
    button.click();
  }).observe(button, { childList: true, characterData: true, subtree: true });
}
"""


async def test_a_lost_answer_to_cashing_out_is_asked_for_again(
    visit: Visit, desks: list[Desk]
) -> None:
    page = visit.page
    keys: list[str] = []

    async def cut_off(route: Any) -> None:
        if route.request.method == "GET":
            await route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        answer = await route.fetch()
        if len(keys) == 1:
            await route.abort()
        else:
            await route.fulfill(response=answer)

    await double_on(visit, desks, "10")
    await page.route("**/cash-out*", cut_off)
    bet = visit.bet("Double")
    await bet.locator(".cash-out-open").click()
    await bet.get_by_role("button", name="Take £9.50").click()
    await expect(page.locator("#toasts")).to_contain_text("Cashed out £9.50.")
    await expect(visit.balance).to_have_text("£49.50")
    assert len(keys) == 2
    assert len(set(keys)) == 1


# However it is looked at


async def test_with_the_keyboard_alone(visit: Visit, desks: list[Desk]) -> None:
    """Four selections, a banker, a system; then a part of it is cashed out with the slider."""
    page, key = visit.page, visit.page.keyboard
    await visit.come_with("50", *desks)
    for desk in desks:
        await tab_to(page, visit.price("rovers", desk))
        await key.press("Enter")
    await expect(page.locator(".line")).to_have_count(4)
    await tab_to(page, page.get_by_role("button", name="Banker: Rovers").first)
    await key.press("Space")
    system = visit.multiple("system")
    await tab_to(page, system.get_by_role("textbox"))
    await key.type("2")
    await tab_to(page, system.get_by_role("checkbox", name="2 of 3"))
    shown = await system.get_by_text("2 of 3").evaluate("it => getComputedStyle(it).outlineStyle")
    assert shown == "solid"
    await key.press("Space")
    await expect(system).to_contain_text("3 lines of £2.00: £6.00 · pays at most £93.75")
    await tab_to(page, visit.place)
    await key.press("Enter")
    await page_shows_receipt(page)
    # What had the focus is gone with the selections; what was placed has it.
    await expect(page.locator(".done")).to_be_focused()
    await tab_to(page, page.get_by_role("link", name="See my bets"))
    await key.press("Enter")
    bet = visit.bet("System")
    await expect(bet.locator(".cash-out-open")).to_have_text("Cash out £5.70")
    await tab_to(page, bet.locator(".cash-out-open"))
    await key.press("Enter")
    await expect(bet.locator(".cash-out-panel")).to_be_focused()
    slider = bet.get_by_role("slider")
    await tab_to(page, slider)
    for _ in range(10):
        await key.press("ArrowLeft")
    await expect(slider).to_have_attribute("aria-valuetext", "£3.00 of £6.00")
    take = bet.get_by_role("button", name="Take £2.85")
    await expect(take).to_be_visible()
    await tab_to(page, take)
    await key.press("Enter")
    await expect(visit.balance).to_have_text("£46.85")
    await expect(bet.locator(".cash-out-open")).to_be_focused()
    await key.press("Enter")
    await key.press("Escape")
    await expect(bet.locator(".cash-out-panel")).to_be_hidden()
    assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_has_room_for_it(visit: Visit, desks: list[Desk], scheme: Any) -> None:
    page = visit.page
    await page.set_viewport_size(NARROW)
    await page.emulate_media(color_scheme=scheme)
    await visit.come_with("100", *desks)
    await choose(visit, *desks)
    await page.locator("#open-slip").click()
    await visit.stake("yankee", "1")
    await visit.stake("lucky_15", "1")
    await expect(visit.multiple("lucky_15")).to_contain_text("pays at most £149.06")
    await assert_no_sideways_scroll(page)
    await assert_readable(page, ".slip")
    for end in (page.locator(".line-name").first, visit.multiple("system")):
        await end.scroll_into_view_if_needed()
        await expect(end).to_be_in_viewport()
    await expect(visit.place).to_be_in_viewport()
    await visit.place.click()
    await expect(page.locator(".outcome")).to_have_text("2 bets placed.")
    await assert_no_sideways_scroll(page)
    await page.get_by_role("link", name="See my bets").click()
    bet = visit.bet("Yankee")
    await bet.locator(".cash-out-open").click()
    await expect(bet.get_by_role("button", name="Take £10.45")).to_be_visible()
    await assert_no_sideways_scroll(page)
    await assert_readable(page, "#page-bets")
    assert visit.complaints == []


async def assert_readable(page: Page, inside: str) -> None:
    """Every text in there has a contrast of 4.5 to 1 or better with what is behind it."""
    poor = await page.evaluate(_CONTRAST, inside)
    assert poor == []


_CONTRAST = """
(inside) => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((it) => it / 255)
      .map((it) => (it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      const alpha = parts(colour)[3];
      if (alpha === undefined || alpha === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  const walk = document.createTreeWalker(document.querySelector(inside), NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility() || node.closest(":disabled")) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${text.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


async def test_history_goes_on_page_by_page(visit: Visit, desk: Desk) -> None:
    page = visit.page
    await visit.come_with("50", desk)
    placed = await page.evaluate(_MANY, [desk.market_id, 23])
    assert placed == [201] * 23
    await visit.go("My bets")
    await expect(page.locator(".bet")).to_have_count(20)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".bet")).to_have_count(23)
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    await desk.result("rovers")
    await expect(page.locator(".bet")).to_have_count(0)
    await page.get_by_role("button", name="Settled").click()
    await expect(page.locator('.bet[data-state="won"]')).to_have_count(20)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator('.bet[data-state="won"]')).to_have_count(23)
    assert visit.complaints == []


_MANY = """
async ([market_id, count]) => {
  const { token } = JSON.parse(sessionStorage.getItem("grandstand.session"));
  const body = { market_id, selection_id: "rovers", stake_minor: 10, currency: "GBP", odds: 25000 };
  const place = (key) => fetch("/v1/bets", {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Idempotency-Key": `many-${key}`,
      "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const statuses = [];
  for (let at = 0; at < count; at++) statuses.push((await place(at)).status);
  return statuses;
}
"""
