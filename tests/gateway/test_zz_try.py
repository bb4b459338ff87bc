"""Scratch: the trader page on the gateway backend, with pictures."""
import asyncio, shutil
from playwright.async_api import async_playwright, expect
from tests.gateway.trading import member
from tests.gateway.desk import PASSWORD, slip
from tests.gateway.conftest import *
import pytest

async def test_try(desk, gateway):
    kim = await member(desk, "admin")
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    await desk.market(fixture_id, "second")
    for odds in (24000, 23500, 26000):
        await desk.prices(market_id, home=odds)
        await asyncio.sleep(0.3)
    player = await desk.player()
    await player.post("/v1/bets", slip(market_id, odds=26000))
    other = await desk.market()
    async with async_playwright() as pw:
        browser = await pw.chromium.launch(executable_path=shutil.which("chromium"), args=["--headless","--no-sandbox","--disable-gpu"])
        for name,(w,hh),scheme in (("desktop",(1280,800),"light"),("phone",(375,760),"dark")):
            ctx = await browser.new_context(viewport={"width":w,"height":hh}, color_scheme=scheme)
            page = await ctx.new_page()
            page.set_default_timeout(8000)
            bad=[]
            page.on("pageerror", lambda e: bad.append(str(e)))
            page.on("console", lambda l: bad.append(l.text) if l.type in("error","warning") else None)
            try:
                await page.goto(f"{desk.base}/trader")
                await page.get_by_label("Log-in").fill(kim.login)
                await page.get_by_label("Password").fill(PASSWORD)
                await page.get_by_role("button", name="Log in").click()
                await expect(page.locator("#connection")).to_have_attribute("data-state","live", timeout=8000)
                await expect(page.locator(".event").first).to_be_visible()
                await page.wait_for_timeout(1500)
                await page.screenshot(path=f"/tmp/t-board-{name}.png")
                print(name, "board overflow", await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
                await page.goto(f"{desk.base}/trader#/event/{fixture_id}")
                await expect(page.locator(".panel")).to_have_count(2)
                if name=="desktop": await page.wait_for_timeout(6500)
                else: await page.wait_for_timeout(1500)
                await page.screenshot(path=f"/tmp/t-event-{name}.png", full_page=name=="phone")
                print(name, "event overflow", await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
                await page.locator(".panel").first.get_by_role("button", name="Settle").click()
                await page.locator(".outcomes select").first.select_option("won")
                await page.get_by_role("button", name="Show what it pays").click()
                await page.wait_for_timeout(800)
                await page.screenshot(path=f"/tmp/t-settle-{name}.png")
                await page.keyboard.press("Escape")
                await page.keyboard.press("?")
                await page.wait_for_timeout(200)
                await page.keyboard.press("Escape")
                for p in ("stops","audit","staff"):
                    await page.goto(f"{desk.base}/trader#/{p}")
                    await page.wait_for_timeout(500)
                    print(name, p, "overflow", await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
                await page.screenshot(path=f"/tmp/t-staff-{name}.png")
            finally:
                print(name, bad)
        await browser.close()
