"""Several Ray nodes: who is placed where, what a node's death does, and nodes that are added."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from actors.runtime.cluster import gateway_place, near, shard_place

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 400
"""On a busy machine; on a quiet one a rehearsal takes about twenty seconds."""


def config() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return found


def test_cluster_yaml_is_what_ray_wants() -> None:
    validate_config(prepare_config(config()))
    wrong = copy.deepcopy(config())
    wrong["available_node_types"]["head"]["resource"] = {}
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(wrong))


def test_cluster_yaml_has_a_place_for_everybody_and_no_shard_on_the_head() -> None:
    types = config()["available_node_types"]
    for place in (shard_place("gb"), shard_place("book"), gateway_place("gb"), near("gb")):
        fitting = [
            name
            for name, kind in types.items()
            if all(kind["resources"].get(what, 0) >= much for what, much in place.resources.items())
            and place.labels.items() <= kind.get("labels", {}).items()
        ]
        assert fitting, place
        assert config()["head_node_type"] not in fitting
    # Players' data may be nowhere else.
    for name, kind in types.items():
        if {"shard-gb", "gateway"} & set(kind["resources"]):
            assert kind["labels"] == {"licence": "gb"}, name


def rehearse(what: str) -> dict[str, Any]:
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    for inherited in ("RAY_REDIS_ADDRESS", "RAY_ADDRESS"):
        environment.pop(inherited, None)
    rehearsal = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.nodes", what],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said, trouble = rehearsal.communicate(timeout=TIMEOUT_S)
    except BaseException:
        rehearsal.terminate()  # it ends whatever it has started
        said, trouble = rehearsal.communicate(timeout=60)
        sys.stderr.write(said[-3_000:] + trouble[-6_000:])
        raise
    assert rehearsal.returncode == 0, said[-3_000:] + trouble[-6_000:]
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result


def check_places(types: dict[str, str]) -> None:
    """Each actor is on a node of the type that it belongs to."""
    wanted = {
        "directory": "head",
        "controller": "head",
        "shard-gb-0": "shards-gb",
        "shard-book-0": "shards-book",
        "gateway-0": "gateways-gb",
    }
    assert {name: types[name] for name in wanted} == wanted
    # What reads players' data is where it may be.
    for name in ("projector-gb", "settlement"):
        assert types[name] in ("shards-gb", "gateways-gb")


@pytest.mark.timeout(TIMEOUT_S + 20)
def test_shards_are_where_their_licence_allows_and_outlive_their_node() -> None:
    seen = rehearse("placement")
    check_places(seen["types"])
    assert seen["types"]["spare-0"] == "shards-gb"
    assert seen["apart"], "a spare is on another node than the one it stands in for"
    assert seen["failures"] == []
    assert seen["bets"] > seen["bets_before"]


@pytest.mark.timeout(TIMEOUT_S + 20)
def test_shards_that_find_no_place_make_ray_add_nodes() -> None:
    seen = rehearse("autoscaler")
    assert set(seen["came_up_with"]) == {"head", "shards-gb", "shards-book", "gateways-gb"}
    check_places(seen["types"])
    assert seen["types"]["shard-gb-1"] == "shards-gb"
    assert seen["apart"]
