"""Hosts that need more than the actors: the gateways, the coordinator of risk, and the feed of the
demonstration.

Plain classes that Ray turns into actors (`actors.runtime.cluster.spawn`), like those in
`actors.runtime.hosts`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from collections.abc import Callable
from typing import Any

import structlog

from actors.risk.settings import RiskSettings
from actors.runtime import cluster, collector
from actors.runtime.addresses import BOOK
from actors.runtime.clock import WallClock, now_ms
from actors.runtime.hosts import HostConfig, Hosted, until_open
from actors.runtime.router import Router
from gateway import keys
from gateway.app import Gateway
from gateway.coordinator import Coordinator
from gateway.exchanges import all_exchanges
from gateway.feeds import feed
from gateway.feeds.pump import Tally, pump, retire, unfinished
from gateway.settings import GatewaySettings
from gateway.standing import Opening
from grandstand import demo
from jurisdictions import licence
from ledger.desk_reads import DeskReads
from ledger.journal import JournalUnavailable
from ledger.reads import LedgerReads
from ledger.risk_reads import RiskReads

log = structlog.get_logger()

RETRY_S = 1.0
RISK_NICENESS = 10
"""Those who answer people go before those who look on, as with projectors."""
POOL = 8
"""Connections of one gateway to each database."""
DRAIN_S = 8.0


class GatewayHost(Hosted):
    """A gateway as an actor."""

    def __init__(self, settings: GatewaySettings, licence_code: str, config: HostConfig) -> None:
        super().__init__()
        self._settings = settings
        self._licence = licence(licence_code)
        self._config = config
        self._gateway: Gateway | None = None
        self._trouble = "is still starting"
        self._ending: asyncio.Task[None] | None = None
        self._task = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        reads = {
            scope: LedgerReads(await until_open(self._config.databases[scope], POOL))
            for scope in (BOOK, self._licence.code)
        }
        while True:
            clock = WallClock()
            router = Router(cluster.RayTransport(), clock)
            gateway = Gateway(
                self._settings, licence=self._licence, router=router, reads=reads, clock=clock
            )
            gateway.services.readiness.ask_settlement = self._settlement
            gateway.services.readiness.ask_controller = self._controller
            gateway.services.readiness.ask_risk = self._risk
            try:
                await gateway.start()
            except Exception as failure:
                self._trouble = str(failure)
                log.warning("gateway_not_started", why=str(failure))
                await gateway.drain(0.0)
                await asyncio.sleep(RETRY_S)
            else:
                self._gateway = gateway
                collector.calm()
                on_sigterm(self._told_to_end)
                return

    def _told_to_end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        """Drain, and be gone: Ray starts another one in its place."""
        log.info("gateway_told_to_end")
        await self.drain()
        os._exit(0)

    @staticmethod
    async def _settlement() -> dict[str, int]:
        done: dict[str, int] = await cluster.Host("settlement").call("status")
        return done

    @staticmethod
    async def _controller() -> dict[str, dict[str, float]]:
        seen: dict[str, dict[str, float]] = await cluster.Host(cluster.CONTROLLER).call("figures")
        return seen

    @staticmethod
    async def _risk() -> dict[str, dict[str, int]]:
        done: dict[str, dict[str, int]] = await cluster.Host(cluster.RISK).call("status")
        return done

    async def ready(self) -> bool:
        """Whether connections are accepted."""
        return self._gateway is not None

    async def own_port(self) -> int | None:
        """The port that no other gateway shares; None before it is ready."""
        return await self._gateway.own_port() if self._gateway else None

    async def status(self) -> dict[str, Any]:
        return {"trouble": "" if self._gateway else self._trouble}

    async def drain(self) -> None:
        """Say goodbye to sockets, let requests end, and accept nothing more."""
        self._task.cancel()
        if self._gateway is not None:
            await self._gateway.drain(DRAIN_S)


def on_sigterm(tell: Callable[[], None]) -> None:
    """Call `tell` in the running loop when the process gets SIGTERM.

    Python takes signals in the main thread only, which in a Ray worker waits in C++, where Ray's
    own handler ends the process at once. The fault handler's works in any thread: it writes to a
    file, here a pipe, what nobody reads for what it says.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def heard() -> None:
        os.read(reading, 65_536)
        tell()

    asyncio.get_running_loop().add_reader(reading, heard)
    faulthandler.register(signal.SIGTERM, writing, all_threads=False, chain=False)


class RiskHost(Hosted):
    """The coordinator of risk as an actor. One that was started again reads where things stand."""

    def __init__(self, settings: RiskSettings, config: HostConfig) -> None:
        super().__init__()
        self._settings = settings
        self._config = config
        self._coordinator: Coordinator | None = None
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        os.nice(RISK_NICENESS)
        book = RiskReads(await until_open(self._config.databases[BOOK], 2))
        players = {
            licence: RiskReads(await until_open(dsn, 2))
            for licence, dsn in self._config.licences.items()
        }
        clock = WallClock()
        router = Router(cluster.RayTransport(), clock)
        while True:
            self._coordinator = Coordinator(
                self._settings,
                router,
                clock,
                book,
                DeskReads.beside(book),
                players,
                all_exchanges(),
                keys.new_id,
            )
            try:
                await self._coordinator.run()
            except JournalUnavailable as missing:
                log.warning("risk_not_started", why=str(missing))
            except Exception:
                log.exception("risk_failed")
            await asyncio.sleep(RETRY_S)

    async def status(self) -> dict[str, dict[str, int]]:
        """What was done, and how many alerts were raised by pattern, since this began."""
        if self._coordinator is None:
            return {}
        return {"done": dict(self._coordinator.done), "alerts": dict(self._coordinator.alerts)}


class FeedHost(Hosted):
    """The demonstration's board, for ever: simulated matches at the house's own prices.

    What an earlier one left unfinished is taken off the board first: its markets are void.
    """

    def __init__(
        self, fixtures: int, currency: str, config: HostConfig, risk: RiskSettings
    ) -> None:
        super().__init__()
        self._settings = demo.board(now_ms() % 1_000_000, fixtures, currency)
        self._config = config
        self._limits = risk.limit_table
        self._tally = Tally()
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        clock = WallClock()
        router = Router(cluster.RayTransport(), clock)
        pool = await until_open(self._config.databases[BOOK], 1)
        stops = Opening(router, clock, DeskReads(pool))
        while True:
            try:
                await retire(router, clock, await unfinished(LedgerReads(pool), feed("simulated")))
                start_ms = now_ms()
                source = feed("priced").open(self._settings, f"{start_ms:x}", start_ms)
                await pump(
                    source, router, clock, tally=self._tally, limits=self._limits, stops=stops
                )
            except Exception:
                log.exception("feed_failed")
                await asyncio.sleep(RETRY_S)

    async def status(self) -> dict[str, Any]:
        return {"accepted": self._tally.accepted, "refused": dict(self._tally.refused)}

    async def drain(self) -> None:
        """Say nothing more."""
        self._task.cancel()
