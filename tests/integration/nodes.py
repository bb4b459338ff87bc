"""The platform on several Ray nodes, all on this machine: a process of its own for each rehearsal.

    python -m tests.integration.nodes placement
    python -m tests.integration.nodes autoscaler

The nodes offer what `cluster.yaml` says of their types. The last line that is printed is JSON, for
`test_elastic_nodes.py`. In a process of its own since a process has one Ray; everything that was
started is stopped at the end, and nothing that was started by others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import ray
import yaml
from ray._private import state
from ray.cluster_utils import Cluster

from actors.runtime.cluster import CONTROLLER, DIRECTORY, Host
from actors.runtime.hosts.controller import Status
from actors.runtime.router import ShardUnreachable
from grandstand.guardian import guarded
from grandstand.platform import Platform
from grandstand.servers.postgres import EmbeddedPostgres
from grandstand.servers.valkey import EmbeddedValkey
from grandstand.settings import Settings
from ledger.database import create_database
from tests.conftest import free_port
from tests.integration.house import House
from tests.integration.steady import Steady
from tests.integration.test_kills import assert_ledger
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "cluster.yaml").read_text())
TYPES = CONFIG["available_node_types"]
SCOPES = ("book", "gb")
HEAD = "f" * 51 + "00000"
"""The id by which the fake provider knows the head."""
EXPECTED = {
    *("directory", "controller", "shard-gb-0", "shard-book-0", "gateway-0"),
    *("projector-gb", "projector-book", "settlement", "risk"),
}


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, Any]]:
    """Postgres and Valkey as a cluster finds them: by address."""
    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    try:
        postgres.start()
        valkey.start()
        for scope in SCOPES:
            asyncio.run(create_database(postgres.dsn("postgres"), scope))
        yield {
            "postgres": {scope: postgres.dsn(scope) for scope in SCOPES},
            "redis": valkey.url(),
        }
    finally:
        valkey.stop()
        postgres.stop()


@contextlib.contextmanager
def platform_on(
    address: str, folder: Path, where: dict[str, Any], **more: Any
) -> Iterator[Platform]:
    settings = Settings(
        ray=address,
        **where,
        port=free_port(),
        host="0.0.0.0",
        gateways=1,
        partitions=4,
        demo=False,
        **more,
    )
    data = folder / "data"
    data.mkdir()
    platform = Platform(settings, data)
    platform.start(lambda _: None)
    try:
        yield platform
    finally:
        platform.stop(lambda _: None)


def where_actors_are() -> dict[str, str]:
    """The node of each named actor that lives."""
    return {
        actor["Name"]: actor["Address"]["NodeID"]
        for actor in state.actors().values()
        if actor["Name"] and actor["State"] == "ALIVE"
    }


def types_of_nodes() -> dict[str, str]:
    """Which type of `cluster.yaml` each living node is, by what it offers."""
    found = {}
    for node in ray.nodes():
        if node["Alive"]:
            offered = {"shard-gb", "shard-book", "gateway"} & set(node["Resources"])
            kinds = [
                name
                for name, kind in TYPES.items()
                if offered == {"shard-gb", "shard-book", "gateway"} & set(kind["resources"])
            ]
            found[node["NodeID"]] = kinds[0]
    return found


async def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        with contextlib.suppress(ShardUnreachable):
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return time.monotonic() - began
        await asyncio.sleep(0.1)
    raise AssertionError(what)


async def status() -> Status:
    seen: Status = await Host(CONTROLLER).call("status")
    return seen


def placement(folder: Path) -> dict[str, Any]:
    """Who is where; then the node with the licence's shard is killed while bets are placed."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
    )
    nodes = {}
    try:
        for number, kind in enumerate(("shards-gb", "shards-gb", "shards-book", "gateways-gb")):
            offered = dict(TYPES[kind]["resources"])
            nodes[number] = cluster.add_node(
                num_cpus=offered.pop("CPU"),
                resources=offered,
                labels=dict(TYPES[kind].get("labels", {})),
                wait=False,
            )
        cluster.wait_for_nodes()
        with (
            servers(folder) as where,
            platform_on(cluster.address, folder, where, max_shards=2, spares=1) as platform,
        ):
            return asyncio.run(_placement(platform, cluster, list(nodes.values())))
    finally:
        cluster.shutdown()


async def _placement(platform: Platform, cluster: Cluster, nodes: list[Any]) -> dict[str, Any]:
    async def spare_is_there() -> bool:
        return any(one.name == "spare-0" and one.state == "live" for one in (await status()).shards)

    await until(spare_is_there, "the spare is there")
    await until(lambda: set(where_actors_are()) >= EXPECTED, "everybody is there")
    types, places = types_of_nodes(), where_actors_are()
    async with aiohttp.ClientSession() as http:
        house = House(platform.base_url, platform.staff_token, http)
        players = [await house.player(500_000) for _ in range(4)]
        _, market_id = await house.market(max_liability_minor=10**9)
        playing = Steady(house, players, [market_id])
        async with playing:
            await playing.some_more()
            victim = next(node for node in nodes if node.node_id == places["shard-gb-0"])
            before = playing.count
            killed = time.monotonic()
            cluster.remove_node(victim, allow_graceful=False)

            async def stands_in() -> bool:
                return "spare-0" in (await Host(DIRECTORY).call("view")).shards.values()

            replaced_s = await until(stands_in, "the spare has what was on the dead node")
            await playing.some_more()
            serving_s = time.monotonic() - killed
        await playing.check()
    await assert_ledger(platform)
    return {
        "types": {name: types[node] for name, node in places.items()},
        "apart": places["shard-gb-0"] != places["spare-0"],
        "bets_before": before,
        "bets": playing.count,
        "failures": playing.failures[:5],
        "worst_s": max(playing.delays_s),
        "replaced_s": replaced_s,
        "serving_s": serving_s,
    }


def autoscaler(folder: Path) -> dict[str, Any]:
    """From a head alone: what finds no place makes Ray add nodes."""
    port = free_port()
    address = f"{ray.util.get_node_ip_address()}:{port}"
    config = dict(CONFIG)
    config["provider"] = {
        "type": "fake_multinode",
        "gcs_address": address,
        "head_node_id": HEAD,
        # Its nodes are this machine: they have one address, and there is nothing to install.
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    config["available_node_types"] = {
        # The fake provider looks for a head of this name. One shard a node, so that a second one
        # needs a second node; and none before they are asked for.
        name.replace("head", "ray.head.default"): kind
        | {"min_workers": 0, "resources": {what: 1 for what in kind["resources"] if what != "CPU"}}
        for name, kind in TYPES.items()
    }
    config["available_node_types"]["shards-gb"]["resources"]["shard-gb"] = 1
    config["head_node_type"] = "ray.head.default"
    config["file_mounts"] = {}
    path = folder / "cluster.json"
    path.write_text(json.dumps(config))
    environment = os.environ | {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        "RAY_enable_autoscaler_v2": "0",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        # A node that comes up slowly, on a busy machine, is not to be started again.
        "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "120",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--num-cpus=0", f"--port={port}"),
        *("--include-dashboard=false", f"--temp-dir={folder / 'ray'}"),
        f"--autoscaling-config={path}",
    ]
    log_path = folder / "ray.log"
    with log_path.open("w") as log:
        head = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        asyncio.run(until(lambda: "runtime started" in log_path.read_text(), "the head is up", 180))
        with (
            servers(folder) as where,
            platform_on(address, folder, where, max_shards=2, spares=0) as platform,
        ):
            return asyncio.run(_autoscaler(platform))
    finally:
        _end(head)


async def _autoscaler(platform: Platform) -> dict[str, Any]:
    came_up_with = sorted(types_of_nodes().values())
    await Host(CONTROLLER).call("add", "shard-gb-1")
    added_s = await until(
        lambda: {*EXPECTED, "shard-gb-1"} <= set(where_actors_are()),
        "a node was added for the second shard",
        180,
    )
    places, types = where_actors_are(), types_of_nodes()
    return {
        "came_up_with": came_up_with,
        "added_s": added_s,
        "types": {name: types[node] for name, node in places.items()},
        "apart": places["shard-gb-0"] != places["shard-gb-1"],
    }


def _end(head: subprocess.Popen[bytes]) -> None:
    """End a head and the nodes that were started below it."""
    os.killpg(head.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)


def main() -> int:
    rehearsal = {"placement": placement, "autoscaler": autoscaler}[sys.argv[1]]
    # Short: it begins the paths of Ray's sockets.
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        # Also where Ray notes which cluster is this machine's: not ours, for others.
        os.environ["RAY_TMPDIR"] = name
        (Path(name) / "ray").mkdir()
        result = json.dumps(rehearsal(Path(name)))
    sys.stdout.write(result + "\n")
    return 0


if __name__ == "__main__":
    # Whatever a rehearsal that fails or is told to end leaves behind is ended too.
    sys.exit(guarded(main))
