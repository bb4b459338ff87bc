"""Take the pictures of the trader's page for the documentation.

    python tools/trader_screenshots.py http://127.0.0.1:8080 results/pictures STAFF_TOKEN

Makes a member of the staff, and players who bet on a match that has not begun; waits until its
prices have moved and its liability has built; and writes `trader-board.png`,
`trader-event.png` and `trader-settle.png`, each of a phone as well (`trader-phone-board.png`).
Needs Playwright and a Chromium. What is to be kept is copied to `docs`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.async_api import Page, async_playwright, expect
from screenshots import DESKTOP, FLAGS, PATIENCE_MS, PHONE, shrink

from grandstand.client import Api, ApiProblem

LOGIN, PASSWORD, WHY = "kim.doe", "correct horse battery", "Pictures for the documentation"
STAKES = (4_000, 2_500, 6_000, 1_500, 8_000, 3_000)
POINTS, MOVES = 6, 4
POINT_S = 10.0
"""What the ledger keeps of liability over time is that far apart."""


async def main(base_url: str, folder: Path, token: str) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        sys.exit("no Chromium: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    machine = Api(base_url, token)
    await hire(machine)
    match, other, third = await upcoming(machine)
    await bet(machine, match, other)
    await machine.request(
        "POST",
        "/v1/desk/stops",
        body={"reach": "event", "target": third["fixture_id"], "reason": "Team news awaited"},
        key=uuid4().hex,
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for prefix, (width, height) in {"": DESKTOP, "phone-": PHONE}.items():
            viewport = {"width": width, "height": height}
            context = await browser.new_context(viewport=viewport, color_scheme="light")
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            await log_in(page, base_url)
            for name, take in {"board": board, "event": event, "settle": settle}.items():
                await take(page, base_url, match)
                picture = folder / f"trader-{prefix}{name}.png"
                await page.screenshot(path=picture)
                shrink(picture)
                print(f"{picture}  {picture.stat().st_size // 1024} KB")
            await context.close()
        await browser.close()


async def hire(machine: Api) -> None:
    body = {"name": "Kim Doe", "login": LOGIN, "role": "head_trader", "password": PASSWORD}
    try:
        await machine.request(
            "POST", "/v1/desk/staff", body=body | {"reason": WHY}, key=uuid4().hex
        )
    except ApiProblem as problem:
        if problem.code != "already_exists":
            raise
        path = f"/v1/desk/staff/{LOGIN}/password"
        new = {"password": PASSWORD, "reason": WHY}
        await machine.request("POST", path, body=new, key=uuid4().hex)


async def upcoming(machine: Api) -> list[dict[str, Any]]:
    """Three matches that have not begun, with a market that takes bets, once there are as many."""
    while True:
        page = await machine.request("GET", "/v1/desk/board", query={"phase": "scheduled"})
        open_ = [
            it for it in page["items"] if it["markets"] and it["markets"][0]["status"] == "open"
        ]
        football = [it for it in open_ if it["sport"] == "Football"]
        # The soonest may begin while its picture is taken.
        found: list[dict[str, Any]] = [
            it for it in football if it["competition"] == football[-1]["competition"]
        ][-3:]
        if len(found) == 3:
            return found
        await asyncio.sleep(1)


async def bet(machine: Api, match: dict[str, Any], other: dict[str, Any]) -> None:
    """Bets of several players, with pauses, so that liability builds over time and prices move."""
    players = [await player(machine) for _ in range(3)]
    legs = [
        {
            "market_id": it["markets"][0]["market_id"],
            "selection_id": it["markets"][0]["selections"][0]["selection_id"],
            "odds": 10_100,
        }
        for it in (match, other)
    ]
    double = {"kind": "double", "legs": legs, "stake_minor": 2_000, "currency": "GBP"}
    await players[0].request("POST", "/v1/slips", body=double | {"accept": "any"}, key=uuid4().hex)
    market = match["markets"][0]
    ids = [selection["selection_id"] for selection in market["selections"]]
    for number, (stake, one) in enumerate(zip(STAKES, itertools.cycle(players), strict=False)):
        body = {
            "market_id": market["market_id"],
            "selection_id": ids[(0, 0, 1, 2, 0, 2)[number] % len(ids)],
            "stake_minor": stake,
            "currency": "GBP",
            "odds": 10_100,
            "accept": "any",
        }
        await one.request("POST", "/v1/bets", body=body, key=uuid4().hex)
        await asyncio.sleep(POINT_S)
    while True:
        path = f"/v1/desk/markets/{market['market_id']}"
        prices = (await machine.request("GET", f"{path}/prices"))["selections"]
        points = (await machine.request("GET", f"{path}/liability"))["at"]
        if max(map(len, prices.values())) >= MOVES and len(points) >= POINTS:
            return
        await asyncio.sleep(POINT_S)


async def player(machine: Api) -> Api:
    anybody = Api(machine.base_url)
    email, password = f"robin-{uuid4().hex[:8]}@example.com", uuid4().hex
    profile = {"name": "Robin Hale", "birth_date": "1990-05-17", "email": email}
    await anybody.request(
        "POST", "/v1/players", body=profile | {"password": password}, key=uuid4().hex
    )
    session = await anybody.request(
        "POST", "/v1/sessions", body={"email": email, "password": password}
    )
    logged_in = Api(machine.base_url, session["token"])
    deposit = {"amount_minor": 50_000, "currency": "GBP"}
    deposit |= {"processor": "bogus", "method": "bogus-approved"}
    await logged_in.request("POST", "/v1/wallet/deposits", body=deposit, key=uuid4().hex)
    return logged_in


async def log_in(page: Page, base_url: str) -> None:
    await page.goto(f"{base_url}/trader")
    await page.get_by_label("Log-in").fill(LOGIN)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def board(page: Page, base_url: str, match: dict[str, Any]) -> None:
    """The events of its competition."""
    await page.locator("#search").fill(match["competition"])
    others = page.locator(".event", has_not_text=match["competition"])
    await expect(others).to_have_count(0)
    row = page.locator(f'.event[data-fixture="{match["fixture_id"]}"] .market-row').first
    await expect(row.locator('[data-label="Handle"]')).not_to_have_text("£0")
    await expect(page.locator('.badge-status[data-status="suspended"]').first).to_be_visible()
    await at_rest(page)


async def event(page: Page, base_url: str, match: dict[str, Any]) -> None:
    await page.goto(f"{base_url}/trader#/event/{match['fixture_id']}")
    await expect(page.locator(".plot path.series")).not_to_have_count(0)
    await expect(page.locator(".plot").nth(1).locator("path.series")).not_to_have_count(0)
    await at_rest(page)


async def settle(page: Page, base_url: str, match: dict[str, Any]) -> None:
    await page.get_by_role("button", name="Settle", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    await dialog.locator("select").first.select_option("won")
    await dialog.get_by_role("button", name="Show what it pays").click()
    await expect(dialog.locator(".slips tbody tr")).not_to_have_count(0)
    await dialog.get_by_label("Reason").fill("Result confirmed")
    await dialog.locator(".pays").evaluate("node => node.scrollIntoView({ block: 'end' })")
    await page.evaluate("document.activeElement.blur()")


async def at_rest(page: Page) -> None:
    await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    await expect(page.locator(".toast")).to_have_count(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base_url", help="of a running Grandstand with its demonstration")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("staff_token", help="the machine's own, as `grandstand up` shows it")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(arguments.base_url, arguments.folder, arguments.staff_token))
