"""Ray: starting it, putting hosts on it, and calling them.

Plain classes become Ray actors here, at the edge, by name. Their methods are never retried by Ray
(`max_task_retries=0`): a replayed call would meet a blank state. Only the caller repeats, with its
key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import redis

from actors.runtime.addresses import BOOK
from actors.runtime.lanes import Address, LaneClient
from actors.runtime.router import ShardBusy, ShardUnreachable, View

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
# Ray makes its workers nice, for batch work; ours answer people.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
from ray._private import ray_constants
from ray._private import state as ray_state
from ray._private import worker as ray_worker
from ray.exceptions import PendingCallsLimitExceeded, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

NAMESPACE = "grandstand"
DIRECTORY = "directory"
CONTROLLER = "controller"
RISK = "risk"
LICENCE = "licence"
"""The label of nodes on which data of a licence's players may be."""
MAX_PENDING_CALLS = 1_000
"""Batches that may wait for one actor, from one caller."""
CONCURRENT_CALLS = 1_000
OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Nothing goes through the object store but what Ray itself puts there."""


HEALTH_CHECKS = {
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 5_000,
    "health_check_failure_threshold": 3,
}
"""When Ray gives up a node: after 3 s when its machine refuses connections, and after 15 s of
silence, since a busy machine is slow to answer too. Its own figures are 15 s and 50 s."""


class ClusterError(Exception):
    """Ray can't be started or reached; one line that says why."""


class SlowStart(ClusterError):
    """Ray gives its own node 30 s to start, and can't be told otherwise: on a machine that has much
    else to do the next attempt may well succeed, in another process."""


class Node(msgspec.Struct, frozen=True):
    """A Ray that was started here, and where its dashboard is."""

    dashboard_url: str
    gcs_address: str


# The kernel ends the GCS when the *thread* that started it ends; this one lives with the process.
_starter = ThreadPoolExecutor(1, "gcs-starter")


class Store(msgspec.Struct, frozen=True):
    """A Redis in which Ray's control service (the GCS) keeps what it knows, so that it may die."""

    url: str
    """With user and password. Ray shows them on its command line: a user of its own is best."""
    namespace: str
    """Of this cluster, and of no other on that Redis."""


class Place(msgspec.Struct, frozen=True):
    """Where an actor may be: on nodes with these labels, where these resources are free."""

    resources: dict[str, float] = {}
    labels: dict[str, str] = {}


HEAD = Place({"node:__internal_head__": 0.001})
"""The head node, without which there is no cluster anyway."""


def near(licence: str) -> Place:
    """Where data of a licence's players may be: nothing of it leaves nodes with its label."""
    return Place({}, {LICENCE: licence})


def shard_place(scope: str, count: int = 1) -> Place:
    """For shards of that scope. The book names nobody, and may be on any node with room for it."""
    return Place({f"shard-{scope}": float(count)}, {} if scope == BOOK else {LICENCE: scope})


def gateway_place(licence: str) -> Place:
    return Place({"gateway": 1.0}, {LICENCE: licence})


def start(
    temp_folder: Path,
    dashboard_port: int,
    cpus: int,
    store: Store | None = None,
    place: Place | None = None,
) -> Node:
    """Start a Ray of our own on this machine; it ends with this process.

    `place` is what the machine offers.

    `temp_folder` has to be short: it is part of the paths of sockets, which end at 107 bytes.
    With a `store` a GCS that has died can be started again: see `revive`.
    """
    try:
        user, password = _keep_in(store)
        context = ray.init(
            address="local",
            namespace=NAMESPACE,
            num_cpus=cpus,
            resources=dict(place.resources) if place else None,
            labels=dict(place.labels) if place else None,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=dashboard_port,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(temp_folder),
            _redis_username=user,
            _redis_password=password,
            _system_config={
                "external_storage_namespace": store.namespace if store else "default",
                # A call to an actor that has died fails after this, and not after a second.
                "timeout_ms_task_wait_for_death_info": 100,
                **HEALTH_CHECKS,
            },
        )
    except Exception as failure:
        first_line = (str(failure).splitlines() or [type(failure).__name__])[0]
        slow = "timed out during startup" in first_line
        kind = SlowStart if slow else ClusterError
        raise kind(f"Ray did not start: {first_line}") from failure
    return Node(f"http://{context.dashboard_url}", context.address_info["gcs_address"])


def _keep_in(store: Store | None) -> tuple[str, str]:
    """Tell Ray where its GCS keeps what it knows; the user and password for it.

    What an earlier cluster has left there is removed: its actors must not come to life again.
    """
    if store is None:
        os.environ.pop("RAY_REDIS_ADDRESS", None)
        return "", ""
    where = urlsplit(store.url)
    if where.path not in ("", "/", "/0"):
        raise ClusterError("GRANDSTAND_RAY_REDIS: Ray keeps its records in database 0")
    with redis.Redis.from_url(store.url) as client:
        for key in client.scan_iter(f"RAY{store.namespace}@*"):
            client.delete(key)
    scheme = "rediss://" if where.scheme == "rediss" else ""
    os.environ["RAY_REDIS_ADDRESS"] = f"{scheme}{where.hostname}:{where.port or 6379}"
    return unquote(where.username or ""), unquote(where.password or "")


def revive() -> bool:
    """Start the GCS again if it has died; whether it had. For who has started Ray with a store.

    Nobody else does: Ray leaves that to Kubernetes. It gets the same port and reads from the store
    what it knew; actors go on meanwhile, and only starting and finding actors has to wait.
    """
    node = ray_worker._global_node
    gcs = node.all_processes.get(ray_constants.PROCESS_TYPE_GCS_SERVER, [])
    if gcs and gcs[0].process.poll() is None:
        return False
    if gcs:
        node.kill_gcs_server(check_alive=False)
    _starter.submit(node.start_gcs_server).result()
    return True


def dashboard_token() -> str:
    """What Ray's dashboard asks for: Ray makes it once for each user and keeps it."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return os.environ.get("RAY_AUTH_TOKEN") or Path(path).read_text().strip()
    except OSError:
        return "none: Ray's token authentication is off"


def connect(gcs_address: str) -> Node:
    """Join a running Ray as another driver: a command line beside `grandstand up`, or that itself
    where Ray was started by others. `auto` is the Ray of this machine."""
    try:
        context = ray.init(
            address=gcs_address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR"
        )
    except Exception as failure:
        raise ClusterError(f"no Ray at {gcs_address}: is it running?") from failure
    return Node(f"http://{context.dashboard_url}", context.address_info["gcs_address"])


def stop() -> None:
    """Leave Ray; a Ray that was started here ends, with everything on it."""
    ray.shutdown()


def spawn(
    host: type, name: str, *arguments: Any, place: Place | None = None, apart: bool = False
) -> Host:
    """Put a host on the cluster as a detached actor that Ray starts again when it dies.

    One of that name that is there already is left as it is. Where `place` is full, it waits; on a
    cluster that grows, Ray adds a node for it. `apart`: on the node with the fewest shards, so that
    a spare does not die with those it is to stand in for.
    """
    place = place or Place()
    node = _emptiest_node(place) if apart else None
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
            resources=dict(place.resources) or None,
            label_selector=dict(place.labels) or None,
            scheduling_strategy=(
                NodeAffinitySchedulingStrategy(node, soft=True) if node else "SPREAD"
            ),
            get_if_exists=True,
            # Not every call is to be reported to the dashboard's list of tasks.
            enable_task_events=False,
        )
        .remote(*arguments)
    )
    return Host(name, handle)


def _emptiest_node(place: Place) -> str | None:
    """Of the nodes with room for `place`, the one with the smallest share of its shards taken."""
    free = ray_state.available_resources_per_node()
    taken: dict[str, float] = {}
    for node in ray.nodes():
        mine = free.get(node["NodeID"], {})
        fits = all(mine.get(name, 0.0) >= much for name, much in place.resources.items())
        if node["Alive"] and fits and place.labels.items() <= node["Labels"].items():
            taken[node["NodeID"]] = sum(
                much - mine.get(name, 0.0)
                for name, much in node["Resources"].items()
                if name.startswith("shard-")
            )
    return min(taken, key=lambda node: taken[node], default=None)


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
        """End the actor for good. Raises `ShardUnreachable` where there is none of that name."""
        try:
            ray.kill(self._handle or ray.get_actor(self.name, namespace=NAMESPACE))
        except (RayError, ValueError) as missing:
            raise ShardUnreachable(f"{self.name} is not there") from missing


def names_now() -> list[str]:
    """The names of all hosts that are on the cluster, or wait for a place."""
    found: list[str] = ray.util.list_named_actors()
    return found


async def names() -> list[str]:
    return await asyncio.to_thread(names_now)


async def room_for(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes for which another shard would find a place now."""
    free = await asyncio.to_thread(ray.available_resources)
    return frozenset(
        scope
        for scope in scopes
        if all(free.get(name, 0.0) >= much for name, much in shard_place(scope).resources.items())
    )


def remove_all() -> None:
    """End every host, on a Ray that goes on without us."""
    for name in names_now():
        with contextlib.suppress(ShardUnreachable):
            Host(name).remove()


def was_restarted() -> bool:
    """Whether the actor that asks has died and been started again by Ray."""
    return bool(ray.get_runtime_context().was_current_actor_reconstructed)


def node_address() -> str:
    """The address at which other nodes reach this one."""
    return str(ray.util.get_node_ip_address())


class RayTransport:
    """Batches to shards over connections of their own; Ray says where the shards are, and calls
    the directory."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._lanes = LaneClient(self._address_of)

    def host(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(name)
        return host

    async def _address_of(self, shard: str) -> Address:
        address: Address = await self.host(shard).call("address")
        return address

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        return await self._lanes.deliver(shard, batch)

    async def view(self) -> View:
        view: View = await self.host(DIRECTORY).call("view")
        return view
