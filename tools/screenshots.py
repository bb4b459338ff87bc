"""Take the pictures of the player page for the documentation.

    python tools/screenshots.py http://127.0.0.1:8080 results/pictures

Git ignores that folder: those that are to be kept are copied to `docs`.

Registers players who bet on whatever is on the board, and writes `player-phone.png`,
`player-desktop.png`, `player-multiples.png` and `player-cash-out.png`. Needs Playwright and a
Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from playwright.async_api import Page, async_playwright, expect

PHONE, DESKTOP = (390, 844), (1280, 800)
VIEWS = {
    "phone": PHONE,
    "desktop": DESKTOP,
    "multiples": DESKTOP,
    "cash-out": PHONE,
}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000


async def main(base_url: str, folder: Path) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        sys.exit("no Chromium: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, (width, height) in VIEWS.items():
            picture = folder / f"player-{name}.png"
            viewport = {"width": width, "height": height}
            context = await browser.new_context(viewport=viewport, color_scheme="light")
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            await come_with_money(page, base_url)
            if name in ("phone", "desktop"):
                await take_board(page, picture, phone=name == "phone")
            elif name == "multiples":
                await take_multiples(page, picture)
            else:
                await take_cash_out(page, picture)
            await context.close()
            shrink(picture)
            print(f"{picture}  {picture.stat().st_size // 1024} KB")
        await browser.close()


async def come_with_money(page: Page, base_url: str) -> None:
    await page.goto(base_url)
    await register(page)
    await page.get_by_role("navigation").get_by_role("link", name="Account").click()
    await page.get_by_role("textbox", name="Amount").fill("250")
    await page.locator(".payments .primary").click()
    await expect(page.locator("#balance")).to_have_text("£250.00")
    await page.get_by_role("navigation").get_by_role("link", name="Sports").click()
    # The board moves meanwhile: any price will do.
    await page.get_by_text("Accept any").dispatch_event("click")


async def take_board(page: Page, picture: Path, *, phone: bool) -> None:
    """One bet placed, and another on the slip."""
    await page.locator(".price:enabled").first.click()
    if phone:
        await page.locator("#open-slip").click()
    await page.get_by_role("button", name="£10", exact=True).click()
    await page.locator("#place").click()
    await expect(page.locator(".receipt")).to_contain_text("Bet placed")
    if phone:
        await page.keyboard.press("Escape")
    else:
        await page.locator('.card .price:enabled[aria-pressed="false"]').nth(4).click()
        await page.get_by_role("button", name="£25", exact=True).click()
    await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    await expect(page.locator(".toast")).to_have_count(0)
    await expect(page.locator(".price.up, .price.down").first).to_be_visible()
    await page.screenshot(path=picture)


async def choose(page: Page, count: int) -> None:
    """A price of as many fixtures that have not begun, which are rarely suspended."""
    cards = page.locator(".phase-scheduled .card:has(.price:enabled)")
    for number in range(count):
        await cards.nth(number).locator(".price:enabled").first.click()
    await expect(page.locator(".line")).to_have_count(count)


async def take_multiples(page: Page, picture: Path) -> None:
    """Three selections, and what they make together."""
    await choose(page, 3)
    for kind, pounds in {"treble": "5", "trixie": "1"}.items():
        await page.locator(f'.multi[data-kind="{kind}"]').get_by_role("textbox").fill(pounds)
    await expect(page.locator(".totals")).not_to_contain_text("…")
    await page.locator(".multis").scroll_into_view_if_needed()
    await page.evaluate("""
        document.activeElement.blur();
        scrollTo(0, 0);
        document.querySelector(".slip-body").scrollTo(0, 1e6);
    """)
    await expect(page.locator(".toast")).to_have_count(0)
    await page.screenshot(path=picture)


async def take_cash_out(page: Page, picture: Path) -> None:
    """A treble and a single, and an offer for half of the treble."""
    await choose(page, 3)
    await page.locator("#open-slip").click()
    await page.get_by_role("textbox", name="Stake").first.fill("10")
    await page.locator('.multi[data-kind="treble"]').get_by_role("textbox").fill("8")
    await page.locator("#place").click()
    await expect(page.locator(".outcome")).to_have_text("2 bets placed.")
    await page.get_by_role("link", name="See my bets").click()
    treble = page.locator(".bet", has_text="Treble")
    await treble.locator(".cash-out-open").click()
    await treble.get_by_role("textbox").fill("4")
    await expect(treble).to_contain_text("stays on")
    await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    await expect(page.locator(".toast")).to_have_count(0)
    await page.screenshot(path=picture)


async def register(page: Page) -> None:
    await page.click("#register")
    dialog = page.get_by_role("dialog", name="Register")
    await dialog.get_by_label("Full name").fill("Robin Hale")
    await dialog.get_by_label("Date of birth").fill("1990-05-17")
    await dialog.get_by_label("E-mail").fill(f"robin-{uuid4().hex[:8]}@example.com")
    await dialog.get_by_label("Password").fill(uuid4().hex)
    await dialog.get_by_role("button", name="Create account").click()
    await expect(page.locator("#balance")).to_have_text("£0.00")


def shrink(picture: Path) -> None:
    """To a palette, where pngquant is installed."""
    if tool := shutil.which("pngquant"):
        command = [tool, "--force", "--skip-if-larger", "--output", str(picture), str(picture)]
        subprocess.run(command, check=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base_url", help="of a running Grandstand with its demonstration")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(arguments.base_url, arguments.folder))
