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
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import redis
import structlog

from actors.runtime import cluster
from actors.runtime.directory import Scope
from actors.runtime.hosts import (
    DirectoryHost,
    HostConfig,
    ProjectorHost,
    SettlerHost,
    ShardHost,
)
from actors.runtime.router import ShardBusy, ShardUnreachable
from gateway.settings import GatewaySettings
from grandstand.hosts import FeedHost, GatewayHost
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
READY_S = 90.0
"""How long the actors may take until all of them serve."""
DRAIN_S = 10.0
RAY_FOLDER = Path("/tmp")  # short on purpose: it begins the paths of Ray's sockets
DATABASE = "grandstand_"


class StartFailed(Exception):
    """The platform can't start; one line that says why and what to do."""


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

    def start(self) -> None:
        for server in (self.postgres, self.valkey):
            if server is not None:
                server.start()
        if self.settings.redis:
            _check_redis(self.settings.redis)

    def stop(self) -> None:
        for server in (self.valkey, self.postgres):
            if server is not None:
                server.stop()

    def revive(self) -> None:
        """Start again what has died. Its clients find it on the same port."""
        for server in (self.postgres, self.valkey):
            if server is not None and not server.is_running():
                log.error("server_died", server=type(server).__name__)
                server.start()

    @property
    def valkey_url(self) -> str:
        return self.settings.redis or (self.valkey.url() if self.valkey else "")

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
        host = "127.0.0.1" if self.settings.host == "0.0.0.0" else self.settings.host
        return f"http://{host}:{self.settings.port}"

    def start(
        self, step: Callable[[str], Any], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Bring everything up.

        Raises `StartFailed`, or `Interrupted` once `stopped` says so; what was started is then
        stopped again.
        """
        _check_disk(self.folder)
        _check_port(self.settings.host, self.settings.port, "GRANDSTAND_PORT")
        _check_port("127.0.0.1", self.settings.dashboard_port, "GRANDSTAND_DASHBOARD_PORT")
        _forget_dead_rays()
        try:
            self._start(step, stopped)
        except BaseException as failure:
            self.stop(step)
            raise _as_start_failure(failure, self.folder) from failure

    def _start(self, step: Callable[[str], Any], stopped: Callable[[], bool]) -> None:
        step("Postgres, Valkey and Ray")
        with ThreadPoolExecutor(1) as beside:
            prepared = beside.submit(self._start_servers)
            ray_folder = self._ray_folder
            ray_folder.mkdir(mode=0o700)
            cpus = max(2, os.cpu_count() or 2)
            try:
                self.node = cluster.start(ray_folder, self.settings.dashboard_port, cpus)
            finally:
                counts = prepared.result()
        step("Actors")
        config = self._config
        self._spawn(config, counts)
        self._until_ready(stopped)
        run = RunFile(
            os.getpid(),
            self.base_url,
            self.staff_token,
            self.node.gcs_address,
            self.node.dashboard_url,
            config.databases,
            self.settings.licences,
        )
        _write_private(self._run_file, msgspec.json.encode(run))

    def _start_servers(self) -> dict[str, int]:
        self.servers.start()
        return asyncio.run(self.servers.prepare())

    @property
    def _config(self) -> HostConfig:
        return HostConfig(
            self.servers.databases(), self.servers.valkey_url, self.settings.actors_in_memory
        )

    def _spawn(self, config: HostConfig, counts: dict[str, int]) -> None:
        scopes = [
            Scope(
                scope,
                counts[scope],
                tuple(f"shard-{scope}-{number}" for number in range(self.settings.shards)),
            )
            for scope in self.settings.scopes
        ]
        cluster.spawn(DirectoryHost, cluster.DIRECTORY, scopes)
        for scope in scopes:
            for shard in scope.shards:
                self._shards.append(cluster.spawn(ShardHost, shard, shard, scope.name, config))
        gateway = GatewaySettings(
            valkey_url=config.valkey_url,
            staff_token=self.staff_token,
            host=self.settings.host,
            port=self.settings.port,
            own_port=0,
            proxies=self.settings.proxies,
            attempts_per_login=self.settings.attempts_per_login,
            attempts_per_address=self.settings.attempts_per_address,
        )
        for number in range(self.settings.gateways):
            name = f"gateway-{number}"
            arguments = (gateway, self.settings.licences[0], config)
            self._gateways.append(cluster.spawn(GatewayHost, name, *arguments))
        for scope in scopes:
            dsn = config.databases[scope.name]
            cluster.spawn(ProjectorHost, f"projector-{scope.name}", scope.name, dsn)
        cluster.spawn(SettlerHost, "settlement", config)

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
        ports = [host.call_now("own_port") for host in self._gateways]
        return [f"http://{self.settings.host}:{port}/metrics" for port in ports]

    def start_feed(self) -> None:
        """The simulated feed that moves the demonstration's prices."""
        currency = licence(self.settings.licences[0]).currency
        arguments = (self.settings.demo_fixtures, currency, self._config)
        self._feeds.append(cluster.spawn(FeedHost, "feed-simulated", *arguments))

    def watch(self) -> None:
        """Look after the servers; to be called about once a second."""
        self.servers.revive()

    def stop(self, step: Callable[[str], Any]) -> None:
        """Drain and stop everything that was started, whatever state it is in."""
        step("Draining")
        with contextlib.suppress(FileNotFoundError):
            self._run_file.unlink()
        if self.node is not None:
            for host in (*self._feeds, *self._gateways, *self._shards):
                with contextlib.suppress(ShardUnreachable, ShardBusy):
                    host.call_now("drain", timeout_s=DRAIN_S)
            step("Stopping Ray")
            cluster.stop()
            self.node = None
            shutil.rmtree(self._ray_folder, ignore_errors=True)
        step("Stopping Valkey and Postgres")
        self.servers.stop()


def _as_start_failure(failure: BaseException, folder: Path) -> BaseException:
    """What a person can act on; anything else is a fault of ours and stays what it is."""
    if isinstance(failure, StartFailed):
        return failure
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


def _check_redis(url: str) -> None:
    """Raises `StartFailed` where nobody answers at an address that was set."""
    try:
        redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3).ping()
    except (redis.RedisError, ValueError, OSError) as problem:
        raise StartFailed(f"GRANDSTAND_REDIS: {problem}") from problem


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
