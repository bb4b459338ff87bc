"""The documentation page in a real browser: everything that the document has is drawn."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
from playwright.async_api import async_playwright, expect

from tests.gateway.desk import Desk

pytestmark = pytest.mark.browser


async def test_the_page_draws_the_whole_document(desk: Desk) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        assert not os.environ.get("CI"), "no Chromium"
        pytest.skip("no Chromium: apt-get install chromium")
    document = (await desk.get("/v1/openapi.json")).json
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page()
        complaints: list[Any] = []
        page.on("pageerror", lambda error: complaints.append(error))
        page.on("console", lambda said: complaints.append(said.text))
        # The `type` of a problem leads to it.
        await page.goto(f"{desk.base}/docs#insufficient_funds")
        row = page.locator("#insufficient_funds")
        await expect(row).to_contain_text("409")
        await expect(row).to_be_in_viewport()
        for operations in document["paths"].values():
            for operation in operations.values():
                article = page.locator(f"[id='{operation['operationId']}']")
                await expect(article).to_contain_text(operation["summary"])
        for name in document["components"]["schemas"]:
            await expect(page.locator(f"[id='schema-{name}']")).to_have_count(1)
        hrefs = await page.eval_on_selector_all(
            "a[href^='#']", "links => links.map(link => link.getAttribute('href').slice(1))"
        )
        ids = await page.eval_on_selector_all("[id]", "those => those.map(one => one.id)")
        assert set(hrefs) <= set(ids)
        assert len(ids) == len(set(ids))
        assert "[object" not in await page.inner_text("body")
        await page.set_viewport_size({"width": 360, "height": 740})
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, "the page is wider than a telephone"
        assert complaints == []
        await browser.close()
