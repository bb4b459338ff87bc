"""Ray: starting it, putting hosts on it, and calling them.

Plain classes become Ray actors here, at the edge, by name. Their methods are never retried by Ray
(`max_task_retries=0`): a replayed call would meet a blank state. Only the caller repeats, with its
key.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from actors.runtime.router import ShardBusy, ShardUnreachable, View

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
# Ray makes its workers nice, for batch work; ours answer people.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
from ray.exceptions import PendingCallsLimitExceeded, RayError

NAMESPACE = "grandstand"
DIRECTORY = "directory"
MAX_PENDING_CALLS = 1_000
"""Batches that may wait for one actor, from one caller."""
CONCURRENT_CALLS = 1_000
OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Nothing goes through the object store but what Ray itself puts there."""


class ClusterError(Exception):
    """Ray can't be started or reached; one line that says why."""


class Node(msgspec.Struct, frozen=True):
    """A Ray that was started here, and where its dashboard is."""

    dashboard_url: str
    gcs_address: str


def start(temp_folder: Path, dashboard_port: int, cpus: int) -> Node:
    """Start a Ray of our own on this machine; it ends with this process.

    `temp_folder` has to be short: it is part of the paths of sockets, which end at 107 bytes.
    """
    try:
        context = ray.init(
            address="local",
            namespace=NAMESPACE,
            num_cpus=cpus,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=dashboard_port,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(temp_folder),
        )
    except Exception as failure:
        first_line = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise ClusterError(f"Ray did not start: {first_line}") from failure
    return Node(f"http://{context.dashboard_url}", context.address_info["gcs_address"])


def dashboard_token() -> str:
    """What Ray's dashboard asks for: Ray makes it once for each user and keeps it."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return os.environ.get("RAY_AUTH_TOKEN") or Path(path).read_text().strip()
    except OSError:
        return "none: Ray's token authentication is off"


def connect(gcs_address: str) -> None:
    """Join a running Ray as another driver, such as a command line beside `grandstand up`."""
    try:
        ray.init(
            address=gcs_address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR"
        )
    except Exception as failure:
        raise ClusterError(f"no Ray at {gcs_address}: is `grandstand up` running?") from failure


def stop() -> None:
    """Leave Ray; a Ray that was started here ends, with everything on it."""
    ray.shutdown()


def spawn(host: type, name: str, *arguments: Any) -> Host:
    """Put a host on the cluster as a detached actor that Ray starts again when it dies."""
    handle = (
        ray.remote(host)
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            max_restarts=-1,
            max_task_retries=0,
            max_pending_calls=MAX_PENDING_CALLS,
            max_concurrency=CONCURRENT_CALLS,
            num_cpus=0,
            # Not every call is to be reported to the dashboard's list of tasks.
            enable_task_events=False,
        )
        .remote(*arguments)
    )
    return Host(name, handle)


class Host:
    """An actor on the cluster, called by name."""

    def __init__(self, name: str, handle: Any = None) -> None:
        self.name = name
        self._handle = handle

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method and wait. Raises `ShardBusy` or `ShardUnreachable`."""
        try:
            if self._handle is None:
                self._handle = await asyncio.to_thread(
                    ray.get_actor, self.name, namespace=NAMESPACE
                )
            return await getattr(self._handle, method).remote(*arguments)
        except PendingCallsLimitExceeded as full:
            raise ShardBusy(f"{self.name} has too many calls waiting") from full
        except (RayError, ValueError) as failure:
            self._handle = None  # it may be somewhere else when it comes back
            first_line = (str(failure).splitlines() or [""])[0]
            raise ShardUnreachable(f"{self.name}: {type(failure).__name__} {first_line}") from None

    def call_now(self, method: str, *arguments: Any, timeout_s: float = 30.0) -> Any:
        """Call a method from outside any event loop and wait at most `timeout_s`."""
        try:
            if self._handle is None:
                self._handle = ray.get_actor(self.name, namespace=NAMESPACE)
            return ray.get(getattr(self._handle, method).remote(*arguments), timeout=timeout_s)
        except (RayError, ValueError) as failure:
            self._handle = None
            first_line = (str(failure).splitlines() or [""])[0]
            raise ShardUnreachable(f"{self.name}: {type(failure).__name__} {first_line}") from None

    def remove(self) -> None:
        """End the actor for good."""
        handle = self._handle or ray.get_actor(self.name, namespace=NAMESPACE)
        ray.kill(handle, no_restart=True)


def was_restarted() -> bool:
    """Whether the actor that asks has died and been started again by Ray."""
    return bool(ray.get_runtime_context().was_current_actor_reconstructed)


class RayTransport:
    """Batches to shards, and the directory's view, over Ray."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}

    def host(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(name)
        return host

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        replies: bytes = await self.host(shard).call("deliver", batch)
        return replies

    async def view(self) -> View:
        view: View = await self.host(DIRECTORY).call("view")
        return view
