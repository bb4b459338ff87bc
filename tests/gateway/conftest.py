"""One backend and one gateway for all tests here; each makes players and fixtures of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from actors.slips.cashout import CashOutRules
from gateway.app import Gateway
from grandstand.servers.postgres import EmbeddedPostgres
from grandstand.servers.valkey import EmbeddedValkey
from tests.gateway.backend import Backend
from tests.gateway.desk import Desk
from tests.patience import PATIENCE_MS, PATIENCE_S


@pytest.fixture(scope="session")
def no_haste() -> Iterator[None]:
    """What is given up, or has run out, after seconds: a busy machine may take longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.app.VALKEY_TIMEOUT_S", PATIENCE_S)
        patch.setattr("gateway.slips.RULES", CashOutRules(valid_ms=PATIENCE_MS))
        yield


@pytest.fixture(scope="session")
async def backend(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey, no_haste: None
) -> AsyncIterator[Backend]:
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
