"""One backend and one gateway for all tests here; each makes players and fixtures of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.app import Gateway
from grandstand.servers.postgres import EmbeddedPostgres
from grandstand.servers.valkey import EmbeddedValkey
from tests.gateway.backend import Backend
from tests.gateway.desk import Desk


@pytest.fixture(scope="session")
async def backend(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> AsyncIterator[Backend]:
    backend = await Backend.made(postgres, valkey)
    await backend.start()
    yield backend
    await backend.stop()


@pytest.fixture(scope="session")
async def gateway(backend: Backend) -> AsyncIterator[Gateway]:
    gateway = backend.gateway()
    await gateway.start()
    yield gateway
    await gateway.drain(2)


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
async def desk(gateway: Gateway, http: aiohttp.ClientSession) -> Desk:
    return Desk(http, await gateway.port())
