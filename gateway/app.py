"""A gateway: everything put together, started, and drained.

Several gateways of one machine share a port (SO_REUSEPORT): the kernel deals connections out among
them. Each is one process and one event loop; none keeps anything that another could not take over.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import msgspec
import redis.asyncio
import structlog
from aiohttp import web
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.runtime.addresses import BOOK
from actors.runtime.clock import Clock, WallClock
from gateway import cashier, openapi
from gateway.channels import Channels
from gateway.customers import Customers
from gateway.desk.sessions import StaffSessions
from gateway.desk.stream import DeskStreams
from gateway.devices import Devices
from gateway.express import Express
from gateway.health import Readiness
from gateway.http import MAX_BODY, Boundary, Endpoint
from gateway.limits import Limits, Pace
from gateway.looks import Look
from gateway.metrics import Metrics
from gateway.pages import file_of, read_pages
from gateway.passwords import Passwords
from gateway.payments import Processor, all_processors
from gateway.push import Hub
from gateway.routes import all_routes
from gateway.services import CATCH_UP_S, Router, Services
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from gateway.stream import Streams
from gateway.watching import Players
from jurisdictions import Licence
from ledger.reads import LedgerReads

log = structlog.get_logger()

BACKLOG = 4_096
"""Connections that may wait to be accepted."""
KEEPALIVE_S = 75.0
VALKEY_CONNECTIONS = 64
VALKEY_TIMEOUT_S = 3.0
DRAIN_S = 30.0


class Gateway:
    """One gateway for the players of one licence.

    gateway = Gateway(settings, licence=..., router=..., reads={"book": ..., "gb": ...})
    await gateway.start()
    ...
    await gateway.drain()
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        licence: Licence,
        router: Router,
        reads: Mapping[str, LedgerReads],
        processors: Mapping[str, Processor] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`processors`: those of `gateway.payments` unless others are given. Nothing is connected
        before `start`."""
        self._settings = settings
        clock = clock or WallClock()
        valkey = connect(settings.valkey_url)
        self._channels = Channels(valkey)
        routes = all_routes()
        pages = read_pages()
        pages["openapi.json"] = file_of(
            "openapi.json", msgspec.json.encode(openapi.document(routes, _version()))
        )
        services = Services(
            settings=settings,
            licence=licence,
            clock=clock,
            router=router,
            reads=reads,
            valkey=valkey,
            sessions=Sessions(
                valkey,
                self._channels,
                clock,
                licence.code,
                settings.session_idle_s * 1000,
                settings.session_max_s * 1000,
            ),
            staff_sessions=StaffSessions(
                valkey, clock, settings.session_idle_s * 1000, settings.session_max_s * 1000
            ),
            devices=Devices(settings.staff_token, clock),
            book_is_new=Look(lambda: reads[BOOK].all_caught_up(CATCH_UP_S)),
            ledger_is_new=Look(lambda: reads[licence.code].all_caught_up(CATCH_UP_S)),
            limits=Limits(valkey, settings.attempts_per_login, settings.attempts_per_address),
            pace=Pace(settings.bets_per_minute),
            passwords=Passwords(settings.password_threads),
            processors=all_processors() if processors is None else processors,
            hub=Hub(self._channels),
            players=Players(self._channels),
            customers=Customers(),
            streams=Streams(),
            desk_streams=DeskStreams(),
            readiness=Readiness(),
            pages=pages,
            metrics=Metrics(),
        )
        self.services = services
        services.hub.services = services
        services.players.services = services
        services.customers.services = services
        services.streams.services = services
        services.desk_streams.services = services
        services.readiness.services = services
        self._boundary = Boundary(services)
        endpoints = [Endpoint(route, services) for route in routes]
        self._express = Express(
            services, self._boundary, [one for one in endpoints if one.route.express]
        )
        self._runner = web.AppRunner(
            build(endpoints, self._boundary), handle_signals=False, shutdown_timeout=1.0
        )
        self._listening: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._drained = False
        _watch(services)

    async def start(self) -> None:
        """Return when connections are accepted. Raises what Valkey or the port has against it."""
        services = self.services
        await services.valkey.ping()
        self._channels.start()
        await services.sessions.start()
        await services.hub.start()
        await services.customers.start()
        services.streams.start()
        await self._runner.setup()
        await self._listen(self._settings.port, shared=True)
        if self._settings.own_port is not None:
            await self._listen(self._settings.own_port, shared=False)
        if self._settings.sweep_interval_s:
            self._sweeper = asyncio.create_task(self._sweep(), name="gateway-sweep")
        log.info("gateway_started", port=await self.port(), own_port=await self.own_port())

    async def _listen(self, port: int, *, shared: bool) -> None:
        listening = socket.create_server(
            (self._settings.host, port),
            family=socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET,
            backlog=BACKLOG,
            reuse_port=shared,
        )
        listening.setblocking(False)
        assert self._runner.server is not None
        protocol = self._express.protocol(
            self._runner.server, access_log=None, keepalive_timeout=KEEPALIVE_S, logger=log
        )
        loop = asyncio.get_running_loop()
        self._listening.append(await loop.create_server(protocol, sock=listening, backlog=BACKLOG))

    async def port(self) -> int:
        """The port shared with other gateways."""
        return _port(self._listening[0])

    async def own_port(self) -> int | None:
        """The port of this one alone, where the settings ask for one."""
        return _port(self._listening[1]) if len(self._listening) > 1 else None

    async def drain(self, timeout_s: float = DRAIN_S) -> None:
        """Accept nothing more, say goodbye to sockets (1001), let requests under way end, stop.

        Whatever is not done after `timeout_s` is cut off.
        """
        if self._drained:
            return
        self._drained = True
        deadline = time.monotonic() + timeout_s
        services = self.services
        services.readiness.draining = True
        self._boundary.draining = True
        for listening in self._listening:
            listening.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await services.desk_streams.stop()
        await services.streams.drain(timeout_s)
        await self._boundary.idle(max(0.0, deadline - time.monotonic()))
        if self._boundary.in_flight:
            log.warning("requests_cut_off", requests=self._boundary.in_flight)
        await self._runner.cleanup()
        await services.streams.stop()
        await services.hub.stop()
        await services.players.stop()
        await services.customers.stop()
        await self._channels.stop()
        services.passwords.close()
        await services.valkey.aclose()
        log.info("gateway_drained")

    async def run(self) -> None:
        """Start, and drain when the process is told to end (SIGTERM or SIGINT).

        For a gateway that is the whole of its process; a host that has signals of its own calls
        `start` and `drain`.
        """
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, told.set)
        try:
            await self.start()
            await told.wait()
        finally:
            await self.drain()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(name)

    async def _sweep(self) -> None:
        """Take up stuck payments now and then; not all gateways at the same moment."""
        sweep = cashier.Sweep(self.services)
        while True:
            await asyncio.sleep(self._settings.sweep_interval_s * random.uniform(0.5, 1.5))
            try:
                await sweep.once()
            except Exception:
                log.exception("sweep_failed")


def build(endpoints: list[Endpoint], boundary: Boundary) -> web.Application:
    """The aiohttp application: one layer around the routes, and the routes."""
    application = web.Application(
        client_max_size=MAX_BODY, middlewares=[boundary.middleware()], logger=log
    )
    for endpoint in endpoints:
        route = endpoint.route
        application.router.add_route(route.method, route.path, endpoint.answer)
    return application


def connect(url: str) -> redis.asyncio.Redis:
    """Valkey for a gateway: a bounded pool that fails fast, since whoever waits has a client."""
    return redis.asyncio.Redis(
        connection_pool=redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=VALKEY_CONNECTIONS,
            timeout=VALKEY_TIMEOUT_S,
            socket_connect_timeout=VALKEY_TIMEOUT_S,
            socket_timeout=VALKEY_TIMEOUT_S,
            # A connection that Valkey has closed meanwhile is made again once.
            retry=Retry(NoBackoff(), 1),
        )
    )


def _watch(services: Services) -> None:
    """Figures that are read when they are asked for."""
    gauge = services.metrics.gauge
    gauge("sockets", "WebSocket connections", lambda: len(services.streams))
    gauge("frames_waiting", "Frames queued for all sockets", lambda: services.streams.queued)
    gauge("fixtures_followed", "Fixtures kept for sockets", lambda: services.hub.followed)
    gauge("messages_waiting", "Messages queued for shards", services.router.queued)
    elsewhere = services.metrics.elsewhere
    elsewhere.depths = services.router.depths
    elsewhere.owners = lambda: services.router.view.shards if services.router.view else {}
    gauge("passwords_waiting", "Passwords queued for a thread", lambda: services.passwords.waiting)


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _version() -> str:
    with contextlib.suppress(PackageNotFoundError):
        return version_of("grandstand")
    return "0"
