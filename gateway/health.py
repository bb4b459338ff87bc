"""Whether this gateway can do its work: what `/readyz` says, and how far the ledgers are behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

import structlog

from actors.fixture import GetFixture
from actors.runtime.addresses import BOOK
from actors.wallet import GetWallet
from gateway.services import Services
from ledger.journal import JournalUnavailable
from ledger.reads import LagView, LedgerReads

CHECK_S = 2.0
"""A part that has not answered for so long is not well."""
CACHE_S = 1.0
NOBODY = "readyz"
"""The id asked for: that there is none is an answer too, and all that is needed."""

AskSettlement = Callable[[], Awaitable[Mapping[str, int]]]
AskRisk = Callable[[], Awaitable[Mapping[str, Mapping[str, int]]]]
AskController = Callable[[], Awaitable[Mapping[str, Mapping[str, float]]]]

log = structlog.get_logger()

T = TypeVar("T")


async def _no_controller() -> Mapping[str, Mapping[str, float]]:
    return {}


async def _no_risk() -> Mapping[str, Mapping[str, int]]:
    return {}


async def _nobody() -> Mapping[str, int]:
    return {}


class Seldom(Generic[T]):
    """An answer that is asked for at most once a second, however many want it."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[T] | None = None
        self._asked_at = 0.0

    async def get(self) -> T:
        if self._asking is None or (
            self._asking.done() and time.monotonic() - self._asked_at > CACHE_S
        ):
            self._asked_at = time.monotonic()
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)


class Readiness:
    """Asks every part that requests depend on."""

    services: Services

    def __init__(self) -> None:
        self.draining = False
        self._parts = Seldom(self._ask_parts)
        self._lags = Seldom(self._ask_lags)
        self.ask_settlement: AskSettlement = _nobody
        """How to ask what has been settled; replaced where there is somebody to ask."""
        self._settled = Seldom(self._ask_settled)
        self.ask_controller: AskController = _no_controller
        """How to ask how the shards are; replaced likewise."""
        self._shards = Seldom(self._ask_shards)
        self.ask_risk: AskRisk = _no_risk
        """How to ask what the coordinator of risk has done; replaced likewise."""
        self._risk = Seldom(self._ask_risk)

    async def checks(self) -> dict[str, str]:
        """`ok` or what is wrong, for each part."""
        checks = dict(await self._parts.get())
        if self.draining:
            checks["gateway"] = "draining"
        return checks

    async def lags(self) -> dict[str, LagView]:
        """How far each scope's ledger is behind its journal; without those that don't say."""
        return await self._lags.get()

    async def settled(self) -> Mapping[str, int]:
        """What the settlement says that it has done; nothing when it does not answer."""
        return await self._settled.get()

    async def _ask_settled(self) -> Mapping[str, int]:
        try:
            async with asyncio.timeout(CHECK_S):
                return await self.ask_settlement()
        except Exception as error:
            log.info("settlement_silent", why=repr(error))
            return {}

    async def shards(self) -> Mapping[str, Mapping[str, float]]:
        """What the controller says of the shards, by figure; nothing when it does not answer."""
        return await self._shards.get()

    async def _ask_shards(self) -> Mapping[str, Mapping[str, float]]:
        try:
            async with asyncio.timeout(CHECK_S):
                return await self.ask_controller()
        except Exception as error:
            log.info("controller_silent", why=repr(error))
            return {}

    async def risk(self) -> Mapping[str, Mapping[str, int]]:
        """What the coordinator of risk says that it has done; nothing when it does not answer."""
        return await self._risk.get()

    async def _ask_risk(self) -> Mapping[str, Mapping[str, int]]:
        try:
            async with asyncio.timeout(CHECK_S):
                return await self.ask_risk()
        except Exception as error:
            log.info("risk_silent", why=repr(error))
            return {}

    async def _ask_parts(self) -> dict[str, str]:
        services = self.services
        scope = services.licence.code
        names = ("valkey", "book", "players", "book_ledger", "players_ledger")
        checks = await asyncio.gather(
            _check(self._valkey()),
            _check(services.router.ask(BOOK, NOBODY, GetFixture(NOBODY))),
            _check(services.router.ask(scope, NOBODY, GetWallet(NOBODY))),
            _check(self._lag(BOOK)),
            _check(self._lag(scope)),
        )
        return dict(zip(names, checks, strict=True))

    async def _ask_lags(self) -> dict[str, LagView]:
        async def lag(scope: str, reads: LedgerReads) -> tuple[str, LagView] | None:
            try:
                async with asyncio.timeout(CHECK_S):
                    return scope, await reads.lag()
            except (JournalUnavailable, TimeoutError):
                return None

        asked = (lag(scope, reads) for scope, reads in self.services.reads.items())
        return dict(said for said in await asyncio.gather(*asked) if said)

    async def _valkey(self) -> str:
        await self.services.valkey.ping()
        return "ok" if self.services.hub.channels.connected else "not subscribed"

    async def _lag(self, scope: str) -> str:
        lag = await self.services.reads[scope].lag()
        if lag.ms > self.services.settings.max_ledger_lag_ms:
            return f"{lag.ms} ms behind the journal"
        return "ok"


async def _check(asking: Awaitable[Any]) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            answer = await asking
    except TimeoutError:
        return f"no answer in {CHECK_S:.0f} s"
    except Exception as error:
        return type(error).__name__
    return answer if isinstance(answer, str) else "ok"
