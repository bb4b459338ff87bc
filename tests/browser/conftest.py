"""A browser, and for each test a fixture on the board and a page to look at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright, expect

from grandstand.platform import Platform
from tests.browser.visit import DESKTOP, Desk, Visit
from tests.patience import PATIENCE_MS

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


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as http:
        desk = Desk(platform, http)
        await desk.open()
        yield desk


@pytest.fixture
async def desks(platform: Platform) -> AsyncIterator[list[Desk]]:
    """Four fixtures of one sport."""
    async with aiohttp.ClientSession() as http:
        first = Desk(platform, http)
        desks = [first, *(Desk(platform, http, first.sport) for _ in range(3))]
        for desk in desks:
            await desk.open()
        yield desks


@pytest.fixture
async def visit(platform: Platform, browser: Browser) -> AsyncIterator[Visit]:
    context = await browser.new_context(viewport=DESKTOP)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield Visit(page, platform.base_url)
    await context.close()
