"""The platform on one machine: brought up in order, watched, and taken down again.

Servers first (Postgres, Valkey), Ray beside them, then the actors: directory, shards, projectors,
settlement, gateways. Whatever this starts it also stops, in the opposite order, also when starting
fails half way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import redis
import structlog

from actors.runtime import cluster
from actors.runtime.addresses import is_any_shard, shard_name, spare_name
from actors.runtime.controller import Bounds
from actors.runtime.directory import Scope
from actors.runtime.hosts import (
    ControllerHost,
    DirectoryHost,
    HostConfig,
    ProjectorHost,
    SettlerHost,
    ShardHost,
)
from actors.runtime.router import ShardBusy, ShardUnreachable
from gateway.settings import GatewaySettings
from grandstand.hosts import FeedHost, GatewayHost, RiskHost
from grandstand.servers import ServerError
from grandstand.servers.postgres import EmbeddedPostgres, usable_folder
from grandstand.servers.valkey import EmbeddedValkey
from grandstand.settings import Settings, new_token
from jurisdictions import licence
from ledger.database import WrongDatabase, create_database, prepare
from ledger.migrations import MigrationRefused

log = structlog.get_logger()

MIN_FREE_BYTES = 500 * 1024 * 1024
"""With less disk than this there is no start: a full disk stops every bet."""
SHARD_MB = 512
"""Memory that a shard is reckoned with, when it is asked how many a machine may have."""
READY_S = 90.0
"""How long the actors may take until all of them serve."""
DRAIN_S = 10.0
RAY_FOLDER = Path("/tmp")  # short on purpose: it begins the paths of Ray's sockets
DATABASE = "grandstand_"


class StartFailed(Exception):
    """The platform can't start; one line that says why and what to do."""


class StartedTooSlowly(StartFailed):
    """It may well start when it is tried again."""


class Interrupted(Exception):
    """Somebody asked to stop while the platform was still starting."""


class RunFile(msgspec.Struct, frozen=True):
    """What a running platform tells the command lines beside it; readable by its owner only."""

    pid: int
    base_url: str
    staff_token: str
    gcs_address: str
    dashboard_url: str
    databases: dict[str, str]
    licences: tuple[str, ...]
    valkey_url: str
    metrics_urls: list[str]
    """Each gateway's own figures."""


def data_folder(settings: Settings) -> Path:
    """Where the data is: as set, or elsewhere if Postgres could not enter there."""
    return usable_folder(settings.data.absolute())


def read_run_file(folder: Path) -> RunFile | None:
    """The platform that runs on this data, or None."""
    try:
        run = msgspec.json.decode((folder / "run.json").read_bytes(), type=RunFile)
        os.kill(run.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return run


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold the data folder; `StartFailed` when another platform runs on it."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartFailed(
                f"Grandstand already runs on {folder}; stop it, or set GRANDSTAND_DATA"
            ) from None
        yield


class Servers:
    """Postgres and Valkey, embedded unless settings say where others are."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.postgres = EmbeddedPostgres(folder / "postgres") if settings.needs_postgres else None
        self.valkey = None if settings.redis else EmbeddedValkey(folder / "valkey")
        self._revivers = ThreadPoolExecutor(2, "revivers")
        self._revivals: dict[type, Future[None]] = {}

    def start(self) -> None:
        self.start_valkey()
        if self.postgres is not None:
            self.postgres.start()

    def start_valkey(self) -> None:
        """Ray needs it, and nothing else of ours."""
        if self.valkey is not None:
            self.valkey.start()
        for setting, url in (
            ("GRANDSTAND_REDIS", self.settings.redis),
            ("GRANDSTAND_RAY_REDIS", self.settings.ray_redis),
        ):
            if url:
                _check_redis(setting, url)

    def stop(self) -> None:
        wait(self._revivals.values())
        for server in (self.valkey, self.postgres):
            if server is not None:
                server.stop()

    def revive(self) -> None:
        """Begin to start again what has died. Its clients find it on the same port.

        Nothing waits here: Postgres takes seconds to recover, and for ever where its disk is full.
        """
        for server in (self.valkey, self.postgres):
            if server is None or server.is_running():
                continue
            under_way = self._revivals.get(type(server))
            if under_way is None or under_way.done():
                self._revivals[type(server)] = self._revivers.submit(_start_again, server)

    @property
    def valkey_url(self) -> str:
        return self.settings.redis or (self.valkey.url() if self.valkey else "")

    @property
    def ray_url(self) -> str:
        """The Redis in which Ray keeps what it knows; empty where there is none for it."""
        return self.settings.ray_redis or (self.valkey.ray_url() if self.valkey else "")

    def databases(self) -> dict[str, str]:
        return {
            scope: self.settings.postgres.get(scope) or self._embedded(scope)
            for scope in self.settings.scopes
        }

    def _embedded(self, scope: str) -> str:
        assert self.postgres is not None
        return self.postgres.dsn(DATABASE + scope)

    async def prepare(self) -> dict[str, int]:
        """Databases made and migrated; how many partitions each scope has."""
        counts = {}
        for scope, dsn in self.databases().items():
            if scope not in self.settings.postgres and self.postgres is not None:
                await create_database(self.postgres.dsn("postgres"), DATABASE + scope)
            try:
                counts[scope] = await prepare(dsn, scope, self.settings.partitions)
            except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
                where = f"GRANDSTAND_POSTGRES_{scope.upper()}"
                raise StartFailed(
                    f"the database of {scope} can't be prepared ({where}): {problem}"
                ) from problem
        return counts


class Platform:
    """Everything `grandstand up` runs. `step` is told what is being done, for a display."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.servers = Servers(settings, folder)
        self.node: cluster.Node | None = None
        self.staff_token = settings.staff_token or _kept_token(folder / "staff_token")
        self._gateways: list[cluster.Host] = []
        self._shards: list[cluster.Host] = []
        self._feeds: list[cluster.Host] = []
        self._run_file = folder / "run.json"
        self._ray_folder = RAY_FOLDER / f"grandstand-{os.getpid()}"

    @property
    def base_url(self) -> str:
        """Where a gateway is; all of a machine are at the same address."""
        return f"http://{self._address_of(self._gateways[0])}:{self.settings.port}"

    def start(
        self, step: Callable[[str], Any], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Bring everything up.

        Raises `StartFailed`, or `Interrupted` once `stopped` says so; what was started is then
        stopped again.
        """
        _check_disk(self.folder)
        if not self.settings.ray:
            _check_port(self.settings.host, self.settings.port, "GRANDSTAND_PORT")
            _check_port("127.0.0.1", self.settings.dashboard_port, "GRANDSTAND_DASHBOARD_PORT")
        _forget_dead_rays()
        try:
            self._start(step, stopped)
        except BaseException as failure:
            self.stop(step)
            raise start_failure(failure, self.folder) from failure

    def _start(self, step: Callable[[str], Any], stopped: Callable[[], bool]) -> None:
        step("Postgres, Valkey and Ray")
        self.servers.start_valkey()
        with ThreadPoolExecutor(1) as beside:
            prepared = beside.submit(self._start_servers)
            try:
                self.node = self._start_ray()
            finally:
                counts = prepared.result()
        step("Actors")
        config = self._config
        self._spawn(config, counts)
        self._until_ready(stopped)
        # Nobody waits for these.
        self._spawn_helpers(config)
        run = RunFile(
            os.getpid(),
            self.base_url,
            self.staff_token,
            self.node.gcs_address,
            self.node.dashboard_url,
            config.databases,
            self.settings.licences,
            config.valkey_url,
            self.metrics_urls(),
        )
        _write_private(self._run_file, msgspec.json.encode(run))

    def _start_ray(self) -> cluster.Node:
        """A Ray of our own, or a place on the one that is there."""
        if self.settings.ray:
            return cluster.connect(self.settings.ray)
        self._ray_folder.mkdir(mode=0o700)
        cpus = max(2, os.cpu_count() or 2)
        return cluster.start(
            self._ray_folder,
            self.settings.dashboard_port,
            cpus,
            self._ray_store,
            self._offered,
        )

    @property
    def _offered(self) -> cluster.Place:
        """What this machine has room for, as nodes of a cluster say it in `cluster.yaml`."""
        settings = self.settings
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2
        bearable = memory_mb // 2 // SHARD_MB // len(settings.scopes)
        shards = max(settings.shards, min(settings.most_shards, bearable))
        resources = {"gateway": float(settings.gateways)}
        for scope in settings.scopes:
            # Spares are where players' data may be.
            spares = settings.spares if scope == settings.licences[0] else 0
            resources |= cluster.shard_place(scope, shards + spares).resources
        return cluster.Place(resources, {cluster.LICENCE: settings.licences[0]})

    @property
    def _ray_store(self) -> cluster.Store | None:
        if self.settings.ray or not self.servers.ray_url:
            return None
        # The same at every start on this data, so that what was left there is found and removed;
        # and nobody else's, wherever their data is.
        own = _kept_token(self.folder / "ray_namespace")
        namespace = hashlib.sha256(own.encode()).hexdigest()[:16]
        return cluster.Store(self.servers.ray_url, namespace)

    def _start_servers(self) -> dict[str, int]:
        self.servers.start()
        return asyncio.run(self.servers.prepare())

    @property
    def _config(self) -> HostConfig:
        return HostConfig(
            self.servers.databases(),
            self.servers.valkey_url,
            self.settings.actors_in_memory,
            # Where others have started Ray they say how far it grows.
            grows=bool(self.settings.ray),
        )

    def _spawn(self, config: HostConfig, counts: dict[str, int]) -> None:
        scopes = [
            Scope(
                scope,
                counts[scope],
                tuple(shard_name(scope, number) for number in range(self.settings.shards)),
            )
            for scope in self.settings.scopes
        ]
        licence_code = self.settings.licences[0]
        cluster.spawn(DirectoryHost, cluster.DIRECTORY, scopes, place=cluster.HEAD)
        for scope in scopes:
            place = cluster.shard_place(scope.name)
            for name in scope.shards:
                arguments = (name, scope.name, config)
                self._shards.append(cluster.spawn(ShardHost, name, *arguments, place=place))
        gateway = GatewaySettings(
            valkey_url=config.valkey_url,
            staff_token=self.staff_token,
            host=self.settings.host,
            port=self.settings.port,
            bets_per_minute=self.settings.bets_per_minute,
            proxies=self.settings.proxies,
            attempts_per_login=self.settings.attempts_per_login,
            attempts_per_address=self.settings.attempts_per_address,
            risk=self.settings.risk,
        )
        for number in range(self.settings.gateways):
            name = f"gateway-{number}"
            metrics_port = self.settings.metrics_port
            own = msgspec.structs.replace(gateway, own_port=metrics_port and metrics_port + number)
            place = cluster.gateway_place(licence_code)
            host = cluster.spawn(GatewayHost, name, own, licence_code, config, place=place)
            self._gateways.append(host)
        near = cluster.near(licence_code)
        for scope in scopes:
            dsn = config.databases[scope.name]
            name = f"projector-{scope.name}"
            cluster.spawn(ProjectorHost, name, scope.name, dsn, place=near)
        cluster.spawn(SettlerHost, "settlement", config, place=near)
        cluster.spawn(RiskHost, cluster.RISK, self.settings.risk, config, place=near)

    def _spawn_helpers(self, config: HostConfig) -> None:
        """The spares, and the controller."""
        spare = cluster.shard_place(self.settings.licences[0])
        for number in range(self.settings.spares):
            name = spare_name(number)
            cluster.spawn(ShardHost, name, name, "", config, place=spare, apart=True)
        bounds = Bounds(
            least=self.settings.shards,
            most=self.settings.most_shards,
            elastic=self.settings.elastic,
            hot_cpu=self.settings.hot_percent / 100,
        )
        self.spawn_controller(bounds)

    def spawn_controller(self, bounds: Bounds) -> None:
        arguments = (bounds, self._config)
        cluster.spawn(ControllerHost, cluster.CONTROLLER, *arguments, place=cluster.HEAD)

    def _until_ready(self, stopped: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S
        for host in (*self._shards, *self._gateways):
            while True:
                if stopped():
                    raise Interrupted
                try:
                    left = deadline - time.monotonic()
                    if host.call_now("ready", timeout_s=min(2.0, max(0.1, left))):
                        break
                except (ShardUnreachable, ShardBusy) as failure:
                    if time.monotonic() > deadline:
                        raise StartFailed(f"{host.name} does not come up: {failure}") from None
                if time.monotonic() > deadline:
                    raise StartFailed(f"{host.name} did not come up within {READY_S:.0f} s")
                time.sleep(0.1)

    def metrics_urls(self) -> list[str]:
        """Where each gateway's own figures are: the port they share gives those of any of them."""
        return [
            f"http://{self._address_of(host)}:{host.call_now('own_port')}/metrics"
            for host in self._gateways
        ]

    def _address_of(self, gateway: cluster.Host) -> str:
        if self.settings.host != "0.0.0.0":
            return self.settings.host
        return str(gateway.call_now("node")) if self.settings.ray else "127.0.0.1"

    def start_feed(self) -> None:
        """The simulated feed that moves the demonstration's prices."""
        currency = licence(self.settings.licences[0]).currency
        settings = self.settings
        arguments = (settings.demo_fixtures, currency, self._config, settings.risk)
        self._feeds.append(cluster.spawn(FeedHost, "feed-simulated", *arguments))

    def watch(self) -> None:
        """Look after the servers and Ray's GCS; to be called several times a second."""
        self.servers.revive()
        # The GCS ends itself when its Redis is away for some seconds.
        valkey = self.servers.valkey
        if self._ray_store and (valkey is None or valkey.is_running()) and cluster.revive():
            log.error("gcs_died")

    def stop(self, step: Callable[[str], Any]) -> None:
        """Drain and stop everything that was started, whatever state it is in."""
        step("Draining")
        with contextlib.suppress(FileNotFoundError):
            self._run_file.unlink()
        if self.node is not None:
            with contextlib.suppress(ShardUnreachable):
                cluster.Host(cluster.CONTROLLER).remove()  # or it would replace what drains
            shards = [cluster.Host(name) for name in cluster.names_now() if is_any_shard(name)]
            for host in (*self._feeds, *self._gateways, *shards):
                with contextlib.suppress(ShardUnreachable, ShardBusy):
                    host.call_now("drain", timeout_s=DRAIN_S)
            step("Stopping Ray")
            if self.settings.ray:
                cluster.remove_all()
            cluster.stop()
            self.node = None
            shutil.rmtree(self._ray_folder, ignore_errors=True)
        step("Stopping Valkey and Postgres")
        self.servers.stop()


def _start_again(server: EmbeddedPostgres | EmbeddedValkey) -> None:
    log.error("server_died", server=type(server).__name__)
    try:
        server.start()
    except (ServerError, OSError) as failure:
        log.error("server_not_revived", why=str(failure))


def start_failure(failure: BaseException, folder: Path) -> BaseException:
    """What a person can act on; anything else is a fault of ours and stays what it is."""
    if isinstance(failure, StartFailed):
        return failure
    if isinstance(failure, cluster.SlowStart):
        return StartedTooSlowly(str(failure))
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:
        return StartFailed(f"the disk that holds {folder} is full")
    if isinstance(
        failure,
        ServerError | cluster.ClusterError | WrongDatabase | MigrationRefused | PermissionError,
    ):
        return StartFailed(str(failure))
    if isinstance(failure, asyncpg.PostgresError | OSError):
        return StartFailed(f"the database can't be prepared: {failure}")
    return failure


def _forget_dead_rays() -> None:
    """Remove what platforms that were killed have left of Ray's files: logs, and sockets."""
    for folder in RAY_FOLDER.glob("grandstand-*"):
        pid = folder.name.rpartition("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _check_redis(setting: str, url: str) -> None:
    """Raises `StartFailed` where nobody answers at an address that was set."""
    try:
        redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3).ping()
    except (redis.RedisError, ValueError, OSError) as problem:
        raise StartFailed(f"{setting}: {problem}") from problem


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        megabytes = free // 1024**2
        raise StartFailed(
            f"the disk that holds {folder} is almost full: {megabytes} MB are free, "
            f"{MIN_FREE_BYTES // 1024**2} MB are needed"
        )


def _check_port(host: str, port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            raise StartFailed(
                f"port {port} on {host} can't be had ({failure.strerror}); set {setting}"
            ) from None


def _kept_token(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    token = new_token()
    _write_private(path, token.encode())
    return token


def _write_private(path: Path, content: bytes) -> None:
    """Written whole or not at all, readable by its owner only."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)
