"""What goes wrong in the drills, and on which kind of platform. An entry of `DRILLS` is one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from loadtest.drill.stage import PARTITIONS, Drill, Stage, staged
from loadtest.house import House, HouseError

SMALL_DISK_BYTES = 1024**3
PAGE_BYTES = 4096
DISK_FULL = "No space left on device"
NOTICED_S = 30.0
"""Postgres has some room set aside: it takes a while until it misses more."""
DISK_FULL_S = 4.0
PAUSED_S = 10.0
"""Long enough for somebody to notice and replace the shard before it wakes."""
SETTINGS: dict[str, Any] = {"shards": 1, "gateways": 2}


def kill(*names: str) -> Callable[[Stage], None]:
    """SIGKILL processes, all at once; others have to heal it."""
    return lambda stage: stage.kill(*names)


def stop_postgres(stage: Stage) -> None:
    """A clean, fast stop, as for an upgrade: clients are cut off."""
    [pid] = stage.pids("postgres")
    stage.mark("stopped")
    os.kill(pid, signal.SIGINT)


def pause_shard(stage: Stage) -> None:
    """A shard that hangs, is replaced, and wakes up believing that nothing has happened."""
    [pid] = stage.pids("shard-gb-0")
    stage.mark("paused")
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(PAUSED_S)
    finally:
        os.kill(pid, signal.SIGCONT)
        stage.mark("woken")


def kill_node(stage: Stage) -> None:
    """Every process of a Ray node at once, as if its machine lost power."""
    stage.mark("killed")
    stage.house.kill_node()


def fill_disk(stage: Stage) -> None:
    """A file takes all the room that Postgres has, and whatever becomes free; then it goes."""
    disk = stage.house.data / "postgres"
    ballast = disk / "ballast"
    stage.mark("full")
    noticed: float | None = None
    until = time.monotonic() + NOTICED_S
    try:
        with ballast.open("wb", buffering=0) as file:
            while time.monotonic() < until:
                _take(file, shutil.disk_usage(disk).free)
                if noticed is None and DISK_FULL in (disk / "postgres.log").read_text():
                    stage.mark("noticed")
                    noticed = time.monotonic()
                    until = noticed + DISK_FULL_S
                time.sleep(0.02)
    finally:
        ballast.unlink()
        stage.mark("freed")
    if noticed is None:
        raise HouseError(f"Postgres did not notice in {NOTICED_S:.0f} s that its disk is full")


def _take(file: FileIO, size: int) -> None:
    """Make the file longer by `size` bytes, or by half of it if others were faster."""
    while size >= PAGE_BYTES:
        try:
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
        except OSError:
            size //= 2
        else:
            return


DRILLS = (
    Drill(
        "shard",
        "SIGKILL of the shard of all players",
        "a warm spare takes its partitions; Ray starts the shard again",
        kill("shard-gb-0"),
        gap_s=2.0,
        partition_s=2.0,
    ),
    Drill(
        "book-shard",
        "SIGKILL of the shard of all markets",
        "a warm spare takes its partitions, and reads each market's liability from the ledger",
        kill("shard-book-0"),
        gap_s=2.0,
        partition_s=2.0,
    ),
    Drill(
        "paused",
        f"SIGSTOP of the shard of all players, which wakes after {PAUSED_S:.0f} s",
        "a warm spare takes its partitions; the sleeper is fenced off when it wakes",
        pause_shard,
    ),
    Drill(
        "gateway",
        "SIGKILL of one gateway of two",
        "clients connect again and reach the other; Ray starts it again",
        kill("gateway-0"),
    ),
    Drill(
        "projector",
        "SIGKILL of the projectors",
        "Ray starts them again; they go on behind the last block",
        kill("projector-*"),
    ),
    Drill(
        "directory",
        "SIGKILL of the directory",
        "Ray starts it again; it asks the shards what they have",
        kill("directory"),
    ),
    Drill(
        "settlement",
        "SIGKILL of the settlement",
        "Ray starts it again; it looks for results that are not settled",
        kill("settlement"),
    ),
    Drill(
        "risk",
        "SIGKILL of the coordinator of risk",
        "Ray starts it again; it finds the hedges that are ordered, and looks at every market",
        kill("risk"),
    ),
    Drill(
        "gcs",
        "SIGKILL of Ray's GCS",
        "`grandstand up` starts it again; it reads what it knew from Valkey",
        kill("gcs"),
    ),
    Drill(
        "gcs-shard",
        "SIGKILL of Ray's GCS and, with it, of the shard of all players",
        "a warm spare takes its partitions, without Ray",
        kill("gcs", "shard-gb-0"),
        partition_s=2.0,
    ),
    Drill(
        "valkey",
        "SIGKILL of Valkey",
        "`grandstand up` starts it again, and after it Ray's GCS, which ends without it",
        kill("valkey"),
    ),
    Drill(
        "postgres-stop",
        "Postgres is stopped",
        "`grandstand up` starts it again",
        stop_postgres,
        gap_s=None,
    ),
    Drill(
        "postgres",
        "SIGKILL of Postgres",
        "`grandstand up` starts it again; it recovers from its log",
        kill("postgres"),
        gap_s=None,
    ),
    Drill(
        "everything",
        "SIGKILL of all of these at once: shards, gateways, projectors, directory, settlement, "
        "GCS, Valkey, Postgres",
        "all of the above",
        kill(
            *("shard-*", "gateway-*", "projector-*", "directory", "settlement"),
            *("gcs", "valkey", "postgres"),
        ),
        gap_s=None,
    ),
    Drill(
        "node",
        "every process of a second Ray node is killed at once, shards and all",
        "warm spares of the first node take the partitions",
        kill_node,
        partition_s=2.0,
        house="nodes",
    ),
    Drill(
        "disk",
        f"the disk under Postgres is full, for {DISK_FULL_S:.0f} s from when it notices",
        "room is made; Postgres goes on, or is started again",
        fill_disk,
        gap_s=None,
        house="small disk",
    ),
)


@contextmanager
def plain(drills: int) -> Iterator[Stage]:
    """One machine, one shard a scope: whatever dies, all bets need it."""
    with staged(None, drills, **SETTINGS) as stage:
        yield stage


@contextmanager
def two_nodes(drills: int) -> Iterator[Stage]:
    """A second Ray node, on the same machine, whose shard has half of the players' partitions."""
    # The first node has no room for another shard, and nothing moves by itself.
    settings: dict[str, Any] = {**SETTINGS, "max_shards": 1, "spares": 1, "elastic": "false"}
    with staged(None, drills, prepare=_second_node, **settings) as stage:
        yield stage


def _second_node(house: House) -> None:
    house.add_node(cpus=1, resources={"shard-gb": 1}, labels={"licence": "gb"})
    house.grandstand("shard", "add", "shard-gb-1")
    house.until_there("shard-gb-1")
    half = ",".join(f"gb-{number:02d}" for number in range(0, PARTITIONS, 2))
    house.grandstand("shard", "move", half, "shard-gb-1")


@contextmanager
def small_disk(drills: int) -> Iterator[Stage]:
    """Postgres on a disk of its own, in memory; only root can make one."""
    if os.geteuid() != 0:
        raise NeedsRoot("making a small disk needs root: run this drill as root")
    nobody = pwd.getpwnam("nobody")  # whom Postgres runs as under root
    folder = Path(tempfile.mkdtemp(prefix="drill-disk-"))
    disk = folder / "data" / "postgres"
    disk.mkdir(parents=True)
    owner = f"uid={nobody.pw_uid},gid={nobody.pw_gid},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES},{owner}", "drill", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
        try:
            with staged(folder, drills, **SETTINGS) as stage:
                yield stage
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True, capture_output=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class NeedsRoot(Exception):
    """The drill can't be carried out by this user; one line that says why."""


HOUSES = {"plain": plain, "nodes": two_nodes, "small disk": small_disk}
