"""The trader's page in a real browser, on the real stack.

The desk's rules have tests of their own; here it is that a trader can do all of it, sees what came
of it, and how soon players do.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import structlog
from playwright.async_api import Browser, Locator, Route, expect

from grandstand.platform import Platform
from tests.browser.trading import WHY, TraderVisit
from tests.browser.visit import DESKTOP, PHONE, Desk, assert_no_sideways_scroll, tab_to
from tests.gateway.backend import until
from tests.gateway.desk import PASSWORD
from tests.gateway.desk import Desk as Client
from tests.patience import PATIENCE_MS

log = structlog.get_logger()

pytestmark = pytest.mark.browser

ACTIONS = (
    *("Prices", "Stop", "Stop event", "Stop everything", "Settle", "Limits", "Close"),
    *("Hedge", "Void bets", "Withdraw"),
)


@pytest.fixture
async def trader(platform: Platform, browser: Browser) -> AsyncIterator[TraderVisit]:
    context = await browser.new_context(viewport=DESKTOP)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    async with aiohttp.ClientSession() as http:
        yield TraderVisit(page, platform, http)
    await context.close()


async def has_cash(player: Client, minor: int) -> None:
    async def there() -> bool:
        return await player.cash() == minor

    await until(there, f"{minor} are there")


def button(within: Locator, name: str) -> Locator:
    return within.get_by_role("button", name=name, exact=True)


# Who may do what


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("viewer", ()),
        ("trader", ("Prices", "Stop", "Stop event", "Stop everything", "Close")),
        ("head_trader", ACTIONS),
    ],
)
async def test_a_role_sees_what_it_may_do(
    trader: TraderVisit, desk: Desk, role: str, offered: tuple[str, ...]
) -> None:
    await trader.log_in(role)
    await trader.open_event(desk)
    page = trader.page
    await expect(page.locator(".menu-name")).to_contain_text(trader.login)
    for name in ACTIONS:
        await expect(button(page.locator("body"), name)).to_have_count(int(name in offered))
    await expect(page.get_by_role("link", name="Staff")).to_be_hidden()
    # What is hidden is refused as well, as the server says it.
    settling = f"/v1/desk/markets/{desk.market_id}/limits"
    if role != "head_trader":
        assert await trader.refused(settling, {"max_stake_minor": 1, "reason": WHY}) == 403
        trader.complaints = [it for it in trader.complaints if "status of 403" not in it]
    if role == "viewer":
        await page.keyboard.press("!")
        await expect(trader.dialog).to_have_count(0)
    assert trader.complaints == []


async def test_a_wrong_password_and_a_session_that_ends(trader: TraderVisit) -> None:
    page = trader.page
    login = await trader.member("trader")
    await page.goto(f"{trader.base_url}/trader")
    await page.get_by_label("Log-in").fill(login)
    await page.get_by_label("Password").fill("not the password")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("The log-in or the password is wrong.")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Board")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Board")).to_be_visible()
    # An admin has them out: the page says so at what it asks next, which may be before we ask it.
    await trader.machine.post(f"/v1/desk/staff/{login}/disable", {"reason": WHY})
    await page.evaluate("location.hash = '#/audit'")
    await expect(page.get_by_role("heading", name="Log in to the desk")).to_be_visible()
    await expect(page.locator(".login .notice").first).to_be_visible()
    assert [it for it in trader.complaints if "status of 401" not in it] == []


async def test_who_comes_after_another_has_buttons_of_their_own(
    trader: TraderVisit, desk: Desk
) -> None:
    page, order = trader.page, {"reach": "market", "target": desk.market_id, "reason": WHY}
    stop_id = (await trader.machine.post("/v1/desk/stops", order))["stop_id"]
    event = page.locator("#page-board .event").first
    stop = page.locator(f'[data-stop="{stop_id}"]')
    logins = {role: await trader.member(role) for role in ("viewer", "trader")}
    # In one tab, which is not loaded anew in between.
    await page.goto(f"{trader.base_url}/trader")
    for role, login in logins.items():
        await page.get_by_label("Log-in").fill(login)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        # What can't be read as an address breaks no page.
        await page.evaluate("location.hash = '#/risk/%zz'")
        await expect(page.get_by_label("Player")).to_have_value("%zz")
        for place, row, name in (("", event, "Stop event"), ("stops", stop, "Lift")):
            await page.evaluate(f"location.hash = '#/{place}'")
            await expect(row).to_be_visible()
            await expect(button(row, name)).to_be_visible(visible=role == "trader")
        await button(page.locator("#who"), "Log out").click()
        await expect(page.get_by_role("heading", name="Log in to the desk")).to_be_visible()
    await trader.machine.post(f"/v1/desk/stops/{stop_id}/lift", {"reason": WHY})
    assert [it for it in trader.complaints if "status of 40" not in it] == []


async def test_an_admin_adds_a_member(trader: TraderVisit) -> None:
    page = trader.page
    await trader.log_in("admin")
    await trader.go("Staff")
    await expect(page.locator(f'tr[data-login="{trader.login}"]')).to_contain_text("Admin")
    await page.get_by_role("button", name="Add a member").click()
    login = f"new-{trader.login[-8:]}"
    await trader.dialog.get_by_label("Log-in").fill(login)
    await trader.dialog.get_by_label("Full name").fill("Sam Poe")
    await trader.dialog.get_by_label("Role").select_option("viewer")
    await trader.dialog.get_by_label("Password").fill(PASSWORD)
    await trader.say_why("Add")
    await trader.done()
    await expect(page.locator(f'tr[data-login="{login}"]')).to_contain_text("Viewer")
    assert trader.complaints == []


# The board


async def test_the_board_is_live(trader: TraderVisit, desk: Desk) -> None:
    await trader.log_in("viewer")
    await trader.find(desk)
    row = trader.row(desk)
    prices = row.locator(".chip-price")
    await expect(prices).to_have_text(["Rovers 2.50", "Draw 3.20", "Wharf 2.90"])
    await expect(row).to_contain_text("staff")
    # Nothing is asked for again from here on: what changes comes over the WebSocket.
    await trader.page.route("**/v1/desk/board*", lambda route: route.abort())
    await desk.price("rovers", 24_000)
    await expect(prices.first).to_have_text("Rovers 2.40")
    await expect(row.locator('[data-label="Age"]')).to_have_text("now")
    await trader.placed(desk, 2_000, on="wharf")
    await expect(row.locator('[data-label="Handle"]')).to_have_text("£20")
    await expect(row.locator('[data-label="Worst case"]')).to_have_text("£38")
    await desk.status("suspended")
    await expect(trader.status(desk)).to_have_text("Suspended")
    await desk.status("open", bet_delay_ms=4_000)
    await expect(trader.status(desk)).to_have_text("Open")


# Stops


async def test_stops_reach_players(trader: TraderVisit, desk: Desk) -> None:
    """A market, an event, a source and everything; from the click to a player's socket, and each
    lifted again. How soon is logged: it depends on what else the machine does, and `make bench`
    measures it."""
    page = trader.page
    await trader.log_in("trader")
    # Priced by the trader, it has a source of its own.
    headers = trader.machine.with_token(
        await page.evaluate('JSON.parse(sessionStorage.getItem("grandstand.desk")).token')
    )
    priced = await headers.post(
        f"/v1/desk/markets/{desk.market_id}/prices", {"odds": {"rovers": 26_000}, "reason": WHY}
    )
    assert priced.status == 200, priced.raw
    await trader.find(desk)
    await expect(trader.row(desk)).to_contain_text(f"staff/{trader.login}")
    watching = await trader.subscribed(desk)
    took_s = {}

    async def stop(reach: str, confirm: str) -> None:
        began = await trader.say_why(confirm, f"Stop of {reach}")
        took_s[reach] = await watching.until("suspended") - began
        await trader.done()

    async def lift(text: str) -> None:
        await trader.go("Stops")
        stop = page.locator(".stops li", has_text=text)
        await button(stop, "Lift").click()
        await trader.say_why("Lift it", "All clear")
        await watching.until("open")
        await trader.done()
        await expect(stop).to_have_count(0)

    try:
        await button(trader.row(desk), "Stop").click()
        await stop("market", "Suspend")
        await expect(trader.status(desk)).to_have_text("Suspended: stopped by the desk")
        await lift("Stop of market")

        await trader.find(desk)
        await expect(trader.status(desk)).to_have_text("Open")
        await button(page.locator(".event"), "Stop event").click()
        await stop("event", "Suspend")
        await lift("Stop of event")

        await button(page.locator("main"), "Stop a source").click()
        await trader.dialog.get_by_label("Source").fill(f"staff/{trader.login}")
        await stop("source", "Suspend its markets")
        await lift("Stop of source")

        await button(page.locator("body"), "Stop everything").click()
        await stop("everything", "Suspend every market")
        await expect(page.locator("#toasts")).to_contain_text("Suspended:")
        await lift("Stop of everything")
    finally:
        # Whatever went wrong: nothing stays stopped for the tests after this one.
        for one in (await trader.machine.get("/v1/desk/stops"))["items"]:
            path = f"/v1/desk/stops/{one['stop_id']}/lift"
            await trader.machine.post(path, {"reason": WHY})
    await watching.close()
    log.info("stops_reached_a_player", took_s=took_s)
    assert set(took_s) == {"market", "event", "source", "everything"}
    assert trader.complaints == []


# One market


async def test_prices_by_hand_and_limits(trader: TraderVisit, desk: Desk) -> None:
    await trader.log_in("head_trader")
    await trader.open_event(desk)
    panel, dialog = trader.panel(desk), trader.dialog
    await button(panel, "Prices").click()
    await dialog.get_by_label("Rovers").fill("2,30")
    await trader.say_why("Hold prices")
    await expect(dialog.locator(".is-wrong")).to_contain_text("Write a decimal price")
    await dialog.get_by_label("Rovers").fill("2.30")
    await dialog.get_by_label("Reason").fill("")
    await button(dialog, "Hold prices").click()
    await expect(dialog.locator(".is-wrong")).to_contain_text("Say why")
    await trader.say_why("Hold prices", "Team news")
    await trader.done()
    rovers = panel.locator('tr[data-selection="rovers"]')
    await expect(rovers).to_contain_text("2.30")
    await expect(panel).to_contain_text(f"by hand staff/{trader.login}")
    # What the feed says meanwhile stands behind it.
    await desk.price("rovers", 26_000)
    await expect(rovers).to_contain_text(f"Held by {trader.login}; feed 2.60")
    await expect(rovers).to_contain_text("2.30")

    await button(panel, "Limits").click()
    await dialog.get_by_label("Largest stake").fill("25")
    # Somebody else is quicker: what he has made of them is shown, and not overwritten.
    path = f"/v1/desk/markets/{desk.market_id}/limits"
    other = await trader.machine.post(path, {"min_stake_minor": 50, "reason": WHY})
    assert other.status == 200, other.raw
    await trader.say_why("Change limits", "Little known")
    await expect(dialog.get_by_role("alert")).to_contain_text("The limits have changed since")
    await expect(dialog.get_by_label("Smallest stake")).to_have_value("0.50")
    await dialog.get_by_label("Largest stake").fill("25")
    await trader.say_why("Change limits", "Little known")
    await trader.done()
    player = await trader.client.player()
    body = {"market_id": desk.market_id, "selection_id": "rovers", "odds": 23_000}
    refused = await player.post("/v1/bets", body | {"stake_minor": 2_501, "currency": "GBP"})
    assert refused.problem(409, "stake_above_limit")["max_stake_minor"] == 2_500
    await button(panel, "Limits").click()
    await expect(dialog.get_by_label("Largest stake")).to_have_value("25.00")
    await trader.page.keyboard.press("Escape")

    # Given back with the keyboard alone.
    await trader.page.keyboard.press("g")
    await expect(dialog.get_by_role("checkbox")).to_be_focused()
    await trader.page.keyboard.press("Tab")
    await trader.page.keyboard.type("All clear")
    await trader.page.keyboard.press("Enter")
    await trader.done()
    await expect(rovers).to_have_text(re.compile(r"^\s*Rovers\s*2\.60"))

    # Who did what, and why.
    audit = trader.page.locator(".history .audit li", has_text="Little known")
    line = audit.filter(has_text="Limits changed")  # beside the change that came too late
    await expect(line).to_contain_text(trader.login)
    await expect(line).to_contain_text("“Little known”")
    await trader.go("Audit")
    moved = trader.page.locator("#page-audit .audit li", has_text=trader.login).filter(
        has_text="Prices held"
    )
    await expect(moved).to_contain_text(f"market/{desk.market_id}")
    await expect(moved).to_contain_text("“Team news”")
    await moved.get_by_role("button", name="Details").click()
    await expect(moved.locator("pre")).to_contain_text('"rovers": 23000')
    # A refusal is an answer of the player's API; nothing else was complained of.
    assert trader.complaints == []


async def test_what_is_wanted_again_after_a_lost_answer_is_done_once(
    trader: TraderVisit, desk: Desk
) -> None:
    """And a form that was changed meanwhile is something else."""
    page, dialog, keys = trader.page, trader.dialog, list[str]()
    busy = {"code": "unavailable", "title": "Busy", "status": 503}

    async def lose(route: Route) -> None:
        if route.request.method != "POST":  # the prices over time
            await route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        await route.fetch()  # it is done, and nobody hears of it
        await route.fulfill(status=503, json=busy, headers={"Retry-After": "0.01"})

    async def answered(rovers: str) -> str:
        """The key under which the form is sent, and answered with a yes."""
        await dialog.get_by_label("Rovers").fill(rovers)
        # Who finds better words for it does not want it twice.
        await dialog.get_by_label("Reason").fill("said in other words")
        async with page.expect_response(lambda it: it.request.method == "POST") as told:
            await button(dialog, "Hold prices").click()
        response = await told.value
        assert response.status == 200, await response.text()
        await trader.done()
        return response.request.headers["idempotency-key"]

    await trader.log_in("trader")
    await trader.open_event(desk)
    for price, same in (("2.20", True), ("2.10", False)):
        await page.route("**/markets/*/prices", lose)
        await button(trader.panel(desk), "Prices").click()
        await dialog.get_by_label("Rovers").fill("2.20")
        await dialog.get_by_label("Draw").fill("3.30" if same else "3.40")
        await trader.say_why("Hold prices")
        await expect(dialog.get_by_role("alert")).to_contain_text("very busy")
        await page.unroute("**/markets/*/prices")
        assert len(set(keys)) == 1
        assert (await answered(price) == keys.pop()) is same
        keys.clear()
    row = trader.panel(desk).locator('tr[data-selection="rovers"]')
    await expect(row).to_contain_text("2.10")


async def test_settled_with_a_preview_and_again(trader: TraderVisit, desks: list[Desk]) -> None:
    page, desk = trader.page, desks[0]
    winner = await trader.placed(desk, 1_000)
    loser = await trader.placed(desk, 500, on="wharf")
    doubled = await trader.doubled(desks[:2])
    await trader.log_in("head_trader")
    await trader.open_event(desk)
    panel, dialog = trader.panel(desk), trader.dialog
    await expect(panel.locator('tr[data-selection="rovers"]')).to_contain_text("2")

    await button(panel, "Settle").click()
    settle = dialog.locator('button[type="submit"]')
    await expect(settle).to_be_disabled()
    await dialog.get_by_label("Result of Rovers").select_option("won")
    await button(dialog, "Show what it pays").click()
    await expect(settle).to_have_text("Settle: pay £25.00")
    pays = dialog.locator(".pays")
    await expect(pays.get_by_role("row", name="Rovers")).to_contain_text("£25.00")
    await expect(pays.locator(".slips tbody tr")).to_contain_text(
        "Stays open: 1 of 2 legs, at most £25.00"
    )
    await expect(pays.locator(".sum")).to_contain_text("1 of several lines stays open")
    # Another result needs another look.
    await dialog.get_by_label("Result of Draw").select_option("void")
    await expect(settle).to_be_disabled()
    await dialog.get_by_label("Result of Draw").select_option("lost")
    await button(dialog, "Show what it pays").click()
    await expect(settle).to_be_enabled()
    # A bet that came since, too.
    late = await trader.placed(desk, 100)
    await trader.say_why("Settle: pay", "Result confirmed")
    await expect(dialog.get_by_role("alert")).to_contain_text("preview")
    await expect(settle).to_be_disabled()
    await button(dialog, "Show what it pays").click()
    await expect(settle).to_have_text("Settle: pay £27.50")
    await trader.say_why("Settle: pay", "Result confirmed")
    await trader.done()
    await expect(trader.status(desk)).to_have_text("Settled")
    for player, minor in ((winner, 11_500), (loser, 9_500), (late, 10_150), (doubled, 9_600)):
        await has_cash(player, minor)

    # The result was wrong: what was paid is taken back, and paid to others.
    await button(panel, "Settle again").click()
    await dialog.get_by_label("Result of Rovers").select_option("lost")
    await dialog.get_by_label("Result of Wharf").select_option("won")
    await button(dialog, "Show what it pays").click()
    await expect(settle).to_have_text("Settle: take back £13.00")
    await expect(pays.locator(".slips tbody tr")).to_contain_text("Lost")
    await trader.say_why("Settle: take back", "Result corrected")
    await trader.done()
    await expect(panel.locator('tr[data-selection="wharf"]')).to_contain_text("Won")
    for player, minor in ((winner, 9_000), (loser, 10_950), (late, 9_900), (doubled, 9_600)):
        await has_cash(player, minor)
    await expect(page.locator(".history .audit")).to_contain_text("“Result corrected”")
    assert trader.complaints == []


async def test_settled_in_part(trader: TraderVisit, desk: Desk) -> None:
    out, still = await trader.placed(desk, on="wharf"), await trader.placed(desk)
    await trader.log_in("head_trader")
    await trader.open_event(desk)
    panel, dialog = trader.panel(desk), trader.dialog
    await button(panel, "Settle").click()
    rovers, wharf = (dialog.get_by_label(f"Result of {of}") for of in ("Rovers", "Wharf"))
    await wharf.select_option("void")
    # What was said stays so; of the others nothing is known until it is.
    await dialog.get_by_label("In part").check()
    await expect(rovers).to_have_value("")
    await expect(wharf).to_have_value("void")
    await dialog.get_by_label("In part").uncheck()
    await expect(rovers).to_have_value("lost")
    await dialog.get_by_label("In part").check()
    await button(dialog, "Show what it pays").click()
    pays = dialog.locator(".pays")
    await expect(pays.get_by_role("row", name="Rovers")).to_contain_text("Stays open")
    await trader.say_why("Settle: pay £10.00", "Did not start")
    await trader.done()
    await has_cash(out, 10_000)
    await expect(panel.locator("tr td:last-child")).to_have_text(["", "", "Void"])
    await button(panel, "Settle again").click()
    await expect(wharf).to_have_value("void")
    await rovers.select_option("won")
    await button(dialog, "Show what it pays").click()
    await trader.say_why("Settle: pay £25.00", "Result confirmed")
    await trader.done()
    await has_cash(still, 9_000 + 2_500)
    await expect(button(panel, "Settle again")).to_be_visible()
    assert trader.complaints == []


async def test_a_race_is_settled_by_positions(trader: TraderVisit, desk: Desk) -> None:
    """Each-way terms and a starting price: the page asks for positions, and for that price."""
    await desk.post(
        f"fixtures/{desk.fixture_id}/markets",
        {
            "market_key": "win",
            "name": "Winner",
            "kind": "win",
            "selections": [
                {"selection_id": of, "name": of.title(), "odds": 80_000}
                for of in ("falcon", "thistle", "otter", "heron")
            ],
            "terms": {"each_way": {"places": 2, "divisor": 4}, "starting_price": True},
        },
    )
    market_id = f"{desk.fixture_id}:win"
    player = await trader.client.player()
    leg = {"market_id": market_id, "selection_id": "falcon"}
    for body in (
        {"legs": [leg | {"odds": 80_000}], "stake_minor": 2_000, "each_way": True},
        {"legs": [leg | {"sp": True}], "stake_minor": 100},
    ):
        slip = await player.post("/v1/slips", body | {"kind": "single", "currency": "GBP"})
        assert slip.status == 201, slip.raw
    await trader.log_in("head_trader")
    await trader.page.goto(f"{trader.base_url}/trader#/event/{desk.fixture_id}/win")
    panel = trader.page.locator(f'.panel[data-market="{market_id}"]')
    await button(panel, "Settle").click()
    dialog = trader.dialog
    for of, at in (("Thistle", "1"), ("Falcon", "2")):
        await dialog.get_by_label(f"Position, {of}").fill(at)
    await dialog.get_by_label("Starting price of Falcon").fill("6.5")
    await button(dialog, "Show what it pays").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("starting price is missing")
    await dialog.get_by_label("Starting price of Thistle").fill("3")
    await button(dialog, "Show what it pays").click()
    # The place alone: 10.00 at 1 + 7 / 4.
    slips = dialog.locator(".slips tbody")
    await expect(slips.get_by_role("row", name="Single each-way")).to_contain_text("£27.50")
    await expect(slips.get_by_role("row", name="Single at SP")).to_contain_text("Lost")
    await trader.say_why("Settle: pay £27.50", "Weighed in")
    await trader.done()
    await expect(panel.locator('tr[data-selection="falcon"]')).to_contain_text("Placed, SP 6.50")
    await has_cash(player, 10_000 - 2_100 + 2_750)
    assert trader.complaints == []


async def test_a_runner_is_withdrawn(trader: TraderVisit, desk: Desk) -> None:
    """With the keyboard alone where it takes something off by its price: why no bets are taken is
    said, and the market opened again. And where it takes its factor off."""
    page, dialog, keyboard = trader.page, trader.dialog, trader.page.keyboard
    prices = {"falcon": 30_000, "heron": 30_000, "otter": 30_000}
    by_rule = await desk.market("rule", "win", prices, rule_4={})
    by_factor = await desk.market("factor", "win", prices, reduction_factors=True)
    player = await trader.client.player()
    leg = {"market_id": by_rule, "selection_id": "heron", "odds": 30_000}
    bet = await player.post("/v1/bets", leg | {"stake_minor": 1_000, "currency": "GBP"})
    assert bet.status == 201, bet.raw
    await trader.log_in("head_trader")
    await trader.open_event(desk)
    panel = page.locator(f'.panel[data-market="{by_rule}"]')
    await button(panel, "Withdraw").focus()
    await keyboard.press("Enter")
    runner, last = dialog.get_by_label("Runner"), dialog.get_by_label("Price that it had")
    await expect(runner).to_be_focused()
    await keyboard.type("Heron")
    await expect(runner).to_have_value("heron")
    await expect(last).to_have_attribute("placeholder", "3.00")
    await keyboard.press("Tab")
    await keyboard.type("0")
    await keyboard.press("Enter")
    await expect(dialog.locator(".is-wrong")).to_contain_text("Write a price above 1")
    await keyboard.press("ControlOrMeta+a")
    await keyboard.type("2.5")
    await keyboard.press("Tab")
    await keyboard.type("Lame at the start")
    await keyboard.press("Enter")
    await trader.done()
    await expect(panel.locator('tr[data-selection="heron"]')).to_contain_text("Withdrawn")
    await expect(panel).to_contain_text("Suspended: a runner was withdrawn")
    await has_cash(player, 10_000)
    old = panel.get_by_text("(from before the withdrawal)")
    await expect(old).to_have_count(2)
    await desk.post(f"markets/{by_rule}/prices", {"odds": {"otter": 20_000}})
    await expect(old).to_have_count(1)
    await button(panel, "Open").click()
    await expect(dialog).to_contain_text("prices from before that can be bet at again, uncut")
    await trader.say_why("Open")
    await trader.done()
    await expect(old).to_have_count(0)
    await expect(panel.locator(".badge-status")).to_have_text("Open")
    # Who is out is not there any more to be withdrawn.
    await button(panel, "Withdraw").click()
    await expect(dialog.get_by_role("option")).to_have_text(["Falcon", "Otter"])
    await keyboard.press("Escape")
    await trader.done()
    # Who is about to open it as the next is withdrawn has to look again.
    at = {"status": "suspended", "in_play": False, "bet_delay_ms": 0}
    await desk.post(f"markets/{by_rule}/status", at)
    await button(panel, "Open").click()
    await desk.post(f"markets/{by_rule}/withdrawals", {"selection_id": "otter"})
    await expect(old).to_have_count(1)
    await trader.say_why("Open")
    await expect(dialog.get_by_role("alert")).to_contain_text("A runner was withdrawn meanwhile")
    await expect(panel.locator(".badge-status")).to_contain_text("Suspended")
    await keyboard.press("Escape")
    await trader.done()

    panel = page.locator(f'.panel[data-market="{by_factor}"]')
    await button(panel, "Withdraw").click()
    await trader.say_why("Withdraw")
    await expect(dialog.get_by_role("alert")).to_have_text("A factor can't be read.")
    await dialog.get_by_label("Reduction factor").fill("25.3")
    async with page.expect_request("**/withdrawals") as asked:
        await trader.say_why("Withdraw")
    body = {"selection_id": "falcon", "reduction": 2_530, "reason": WHY}
    assert (await asked.value).post_data_json == body
    await trader.done()
    await expect(panel).to_contain_text("Suspended: a runner was withdrawn")
    assert trader.complaints == []


async def test_prices_and_liability_are_drawn(trader: TraderVisit, desk: Desk) -> None:
    await trader.log_in("viewer")
    await trader.open_event(desk)
    plots = trader.page.locator(".plot")
    prices, liability = plots.nth(0), plots.nth(1)
    await expect(prices.locator("path.series")).to_have_count(3)
    await desk.price("rovers", 22_000)
    await expect(prices.locator("svg")).to_have_attribute(
        "aria-label",
        "Prices over time: Draw from 3.20 to 3.20; Wharf from 2.90 to 2.90; "
        "Rovers from 2.50 to 2.20",
    )
    # Its line has a step, and the axes their figures.
    assert "V" in str(await prices.locator("path.series-2").get_attribute("d"))
    assert await prices.locator("text.tick").count() >= 3
    await trader.placed(desk, 1_000, on="wharf")
    # The line of the selection, and that of the worst case.
    await expect(liability.locator("path.series")).to_have_count(2)
    await expect(liability.locator(".legend")).to_contain_text("Wharf £19")
    await expect(liability.locator(".legend")).to_contain_text("Worst case £19")
    # What was seen is no page's memory.
    await trader.page.reload()
    await expect(liability.locator(".legend")).to_contain_text("Wharf £19")
    assert trader.complaints == []


# Taking back, customers and hedges


async def test_a_result_is_taken_back_and_bets_are_void(trader: TraderVisit, desk: Desk) -> None:
    player = await trader.placed(desk, 1_000)
    await desk.result("wharf")
    await trader.log_in("head_trader")
    await trader.open_event(desk)
    panel, result = trader.panel(desk), trader.panel(desk).locator("tr td:last-child")
    await button(panel, "Take result back").click()
    await trader.say_why("Take it back")
    await trader.done()
    await expect(result).to_have_text(["", "", ""])
    await expect(button(panel, "Take result back")).to_be_hidden()
    await button(panel, "Void bets").click()
    await trader.dialog.get_by_label("Reason").fill(WHY)
    await button(trader.dialog, "Void these bets").click()
    await expect(trader.dialog.get_by_role("alert")).to_contain_text("settle the market")
    await trader.dialog.get_by_label("Accepted from").fill("2020-01-01T00:00")
    await trader.dialog.get_by_label("until").fill("2090-01-01T00:00")
    await button(trader.dialog, "Void these bets").click()
    await trader.done()
    await has_cash(player, 10_000)
    await button(panel, "Undo void").click()
    await expect(trader.dialog).to_contain_text("1 Jan 2020")
    await trader.say_why("Undo it")
    await trader.done()
    await has_cash(player, 9_000)
    await expect(button(panel, "Undo void")).to_be_hidden()
    assert trader.complaints == []


async def test_a_customer_is_limited_and_a_hedge_is_written_down(
    trader: TraderVisit, desk: Desk
) -> None:
    page = trader.page
    player = await trader.placed(desk, 1_000)
    await trader.log_in("head_trader")
    await trader.go("Risk")
    await page.get_by_label("Player").fill(player.player_id)
    await page.keyboard.press("Enter")
    customer = page.locator(".customer")
    await expect(customer).to_contain_text("100 %")
    await button(customer, "Change limits").click()
    await trader.dialog.get_by_label("Of everybody's limits").fill("25.5")
    await trader.dialog.get_by_label("For markets of some kinds").fill("win much")
    await trader.dialog.get_by_label("Reason").fill(WHY)
    await button(trader.dialog, "Change limits").click()
    await expect(trader.dialog.get_by_role("alert")).to_have_text("A kind can't be read.")
    await trader.dialog.get_by_label("For markets of some kinds").fill("correct_score 5")
    await button(trader.dialog, "Change limits").click()
    await trader.done()
    await expect(customer).to_contain_text("25.5 %")
    await expect(customer).to_contain_text("correct_score")
    await trader.open_event(desk)
    await button(trader.panel(desk), "Hedge").click()
    await expect(trader.dialog.locator(".pays")).to_contain_text("worst case by singles is £15.00")
    for label, text in {"Stake": "3", "Price": "2.6", "Where": "elsewhere"}.items():
        await trader.dialog.get_by_label(label, exact=True).fill(text)
    await trader.dialog.get_by_label("What it is called there").fill("slip 7")
    await trader.say_why("Write it down")
    await trader.done()
    row = trader.panel(desk).locator('tr[data-selection="rovers"]')
    await expect(row).to_contain_text("hedged £4.80")
    await trader.go("Risk")
    hedge = page.locator('[data-state="made"]', has_text=desk.market_id)
    await expect(hedge).to_contain_text("rovers: £3.00 at 2.60, elsewhere")
    assert trader.complaints == []


# Referrals


async def test_a_bet_waits_for_a_traders_word(trader: TraderVisit, desk: Desk) -> None:
    """Seen on another page, answered by an offer of less, and taken by the player; another is
    refused, and one that is answered elsewhere goes away by itself."""
    page, dialog = trader.page, trader.dialog
    limits = {"refer_above_minor": 2_000, "reason": WHY}
    path = f"/v1/desk/markets/{desk.market_id}/limits"
    assert (await trader.machine.post(path, limits)).status == 200
    await trader.log_in("trader")
    await expect(page.locator("#referred")).to_be_hidden()
    player = await trader.client.player()
    body = {"market_id": desk.market_id, "selection_id": "rovers", "odds": 25_000}
    body |= {"currency": "GBP", "stake_minor": 5_000}

    async def ask() -> str:
        told = (await player.post("/v1/bets", body)).problem(409, "referred")
        referral_id: str = told["referral_id"]
        return referral_id

    first = await ask()
    await expect(page.locator("#referred")).to_contain_text("1")
    await expect(page.locator("#toasts")).to_contain_text("A bet waits: £50.00 on Rovers.")
    await page.keyboard.press("r")
    card = page.locator(f'.referral[data-referral="{first}"]')
    await expect(card).to_contain_text(desk.name)
    await expect(card).to_contain_text(player.player_id)
    await expect(card).to_contain_text("Would win£75.00")
    await expect(card.locator(".left")).to_have_text(re.compile(r"^[1-9][0-9]* s$"))
    await desk.price("rovers", 24_000)
    await expect(card).to_contain_text("Price now2.40")
    await button(card, "Offer less").click()
    await dialog.get_by_label("Stake").fill("60")
    await trader.say_why("Offer")
    await expect(dialog.locator(".is-wrong")).to_contain_text("More than was asked for.")
    await dialog.get_by_label("Stake").fill("30")
    await dialog.get_by_label("Price").fill("2.4")
    await trader.say_why("Offer", "Half the room")
    await trader.done()
    await expect(card).to_have_count(0)
    await expect(page.locator("#referred")).to_be_hidden()
    taken = body | {"stake_minor": 3_000, "odds": 24_000, "referral_id": first}
    placed = await player.post("/v1/bets", taken)
    assert (placed["stake_minor"], placed["legs"][0]["odds"]) == (3_000, 24_000)

    body["odds"] = 24_000
    second, third = await ask(), await ask()
    await expect(page.locator(".referral")).to_have_count(2)
    await button(page.locator(f'.referral[data-referral="{second}"]'), "Refuse").click()
    await trader.say_why("Refuse", "Too much")
    await trader.done()
    await expect(page.locator(".referral")).to_have_count(1)
    assert (await player.get(f"/v1/referrals/{second}"))["state"] == "refused"
    await trader.machine.post(f"/v1/desk/referrals/{third}/accept", {"reason": WHY})
    await expect(page.locator(".referral")).to_have_count(0)
    await expect(page.get_by_text("No bet waits for a trader.")).to_be_visible()

    # A slip, of which there may be less, but at no other price.
    leg = {"market_id": desk.market_id, "selection_id": "rovers", "odds": 24_000}
    slip = {"kind": "single", "legs": [leg], "stake_minor": 5_000, "currency": "GBP"}
    told = (await player.post("/v1/slips", slip)).problem(409, "referred")
    await expect(page.locator(".referred-legs li")).to_contain_text("Rovers · Match result")
    card = page.locator(f'.referral[data-referral="{told["referral_id"]}"]')
    await expect(card).to_contain_text("Pays at most£120.00")
    await button(card, "Offer less").click()
    await expect(dialog.get_by_label("Price")).to_have_count(0)
    await dialog.get_by_label("Stake").fill("30")
    await trader.say_why("Offer", "Half the room")
    await trader.done()
    await expect(card).to_have_count(0)
    taken = slip | {"stake_minor": 3_000, "referral_id": told["referral_id"]}
    assert (await player.post("/v1/slips", taken)).status == 201
    assert trader.complaints == []


# Everybody's way


async def test_with_the_keyboard_alone(trader: TraderVisit, desk: Desk) -> None:
    """Logging in, finding the event, stopping its market and lifting the stop."""
    page, keyboard = trader.page, trader.page.keyboard
    login = await trader.member("trader")
    await page.goto(f"{trader.base_url}/trader")
    await expect(page.get_by_label("Log-in")).to_be_focused()
    await keyboard.type(login)
    await keyboard.press("Tab")
    await keyboard.type(PASSWORD)
    await keyboard.press("Enter")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await keyboard.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await keyboard.type(desk.name)
    await expect(page.locator(".event")).to_have_count(1)
    await tab_to(page, trader.row(desk).locator(".market-link"))
    await keyboard.press("p")
    dialog = trader.dialog
    await expect(dialog.get_by_label("Rovers")).to_be_focused()
    await keyboard.press("ControlOrMeta+a")
    await keyboard.type("2.6")
    await tab_to(page, dialog.get_by_label("Reason"))
    await keyboard.type("Team news")
    await keyboard.press("Enter")
    await trader.done()
    await expect(trader.row(desk)).to_contain_text("Rovers 2.60")
    # The focus is where it was, and the keys go on from there.
    await expect(trader.row(desk).locator(".market-link")).to_be_focused()
    await keyboard.press("s")
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await keyboard.type("Goalkeeper injured")
    await keyboard.press("Enter")
    await trader.done()
    await expect(trader.status(desk)).to_have_text("Suspended: stopped by the desk")
    await keyboard.press("t")
    stop = page.locator(".stops li", has_text=desk.market_id)
    await tab_to(page, button(stop, "Lift"))
    await keyboard.press("Enter")
    await keyboard.type("All clear")
    await keyboard.press("Enter")
    await trader.done()
    await expect(stop).to_have_count(0)
    await keyboard.press("?")
    await expect(dialog).to_contain_text("Stop everything")
    await keyboard.press("Escape")
    assert trader.complaints == []


async def test_a_phone_has_room_for_the_desk(trader: TraderVisit, desks: list[Desk]) -> None:
    page, desk = trader.page, desks[0]
    await trader.placed(desk)
    await trader.doubled(desks[:2])
    await page.set_viewport_size(PHONE)
    await trader.log_in("head_trader")
    await expect(page.locator(".event").first).to_be_visible()
    await assert_no_sideways_scroll(page)
    await trader.find(desk)
    await assert_no_sideways_scroll(page)
    await trader.open_event(desk)
    await expect(page.locator(".plot path.series")).not_to_have_count(0)
    await assert_no_sideways_scroll(page)
    for name in ("Prices", "Limits", "Hedge", "Void bets", "Withdraw", "Settle"):
        await button(trader.panel(desk), name).click()
        if name == "Settle":
            await trader.dialog.get_by_label("Result of Rovers").select_option("won")
            await button(trader.dialog, "Show what it pays").click()
            await expect(trader.dialog.locator(".slips tbody tr")).to_be_visible()
        await assert_no_sideways_scroll(page)
        await page.keyboard.press("Escape")
        await trader.done()
    for name in ("Referrals", "Risk", "Stops", "Audit"):
        await trader.go(name)
        await expect(page.get_by_role("heading", name=name)).to_be_visible()
        await assert_no_sideways_scroll(page)
    assert trader.complaints == []


async def test_nothing_moves_where_less_motion_is_wished(trader: TraderVisit, desk: Desk) -> None:
    page = trader.page
    await page.emulate_media(reduced_motion="reduce")
    await trader.log_in("trader")
    await trader.find(desk)
    await button(trader.row(desk), "Stop").click()
    moving = await page.evaluate("""
        [...document.querySelectorAll("*")].filter((node) => {
            const { animationName, transitionDuration } = getComputedStyle(node);
            return animationName !== "none" || parseFloat(transitionDuration) > 0;
        }).length
    """)
    assert moving == 0
