"""A house on the real platform."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from grandstand.platform import Platform
from tests.integration.house import House


@pytest.fixture
async def house(platform: Platform) -> AsyncIterator[House]:
    async with aiohttp.ClientSession() as http:
        yield House(platform.base_url, platform.staff_token, http)
