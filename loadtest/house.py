"""A platform of its own for a run: started as an operator starts it, looked at from outside.

    with House(shards=2) as house:
        house.base_url, house.staff_token, house.processes()

What this starts it also stops, with every process below it, on failure and Ctrl-C too. If the
caller is killed outright, the kernel tells the platform to stop.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

GRANDSTAND = [sys.executable, "-c", "from grandstand.cli import app; app()"]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
READY_S = 300.0
STOP_S = 60.0
VERIFY_S = 900.0
DASHBOARD_S = 10.0
"""How long the dashboard may take to say which actor is which process."""
OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Of an added node; the platform keeps nothing in it."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Processes that tell who they are by their command line.
KNOWN_BY_COMMAND = {
    "/bin/postgres ": "postgres",
    "/valkey-server ": "valkey",
    "/gcs/gcs_server ": "gcs",
    "/raylet/raylet ": "raylet",
    "/dashboard/dashboard.py ": "dashboard",
    "/_private/monitor.py ": "autoscaler",
    "/log_monitor.py ": "log-monitor",
    "ray::DashboardAgent": "dashboard-agent",
    "ray::RuntimeEnvAgent": "runtime-env-agent",
}

_prctl = ctypes.CDLL(None, use_errno=True).prctl
_PR_SET_PDEATHSIG = 1


class HouseError(Exception):
    """The platform did not come up, or a command beside it failed; with what it printed."""


class House:
    """`grandstand up` in a fresh folder and on free ports, without the demonstration."""

    def __init__(
        self, folder: Path | None = None, *, keep: bool = False, **settings: object
    ) -> None:
        """Nothing happens before `start()`, or `with`.

        `settings` become GRANDSTAND_... variables: `shards=2` is GRANDSTAND_SHARDS=2. Without
        `folder` a new one is made, and removed at the end unless `keep`.
        """
        self._fresh = folder is None
        self._keep = keep
        self.folder = Path(tempfile.mkdtemp(prefix="house-")) if folder is None else folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # Postgres has a user of its own
        self.data = self.folder / "data"
        self.port = int(str(settings.get("port") or free_port()))
        self.run: dict[str, Any] = {}
        """What the running platform tells the command lines beside it: its run.json."""
        self.environment = _environment(
            {
                "data": self.data,
                "dashboard_port": free_port(),
                "demo": "false",
                **settings,
                "port": self.port,
            }
        )
        self._up: subprocess.Popen[bytes] | None = None
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._names: dict[int, str] = {}

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def staff_token(self) -> str:
        return str(self.run["staff_token"])

    @property
    def pid(self) -> int:
        """Of `grandstand up`, below which everything runs."""
        assert self._up is not None
        return self._up.pid

    def start(self) -> None:
        """Bring it up and return when it serves; raises `HouseError` with what was printed."""
        try:
            self._up = self._spawn([*GRANDSTAND, "up"], "printed")
            self._until(self._is_up, self._up, READY_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop as Ctrl-C does, then make sure that nothing is left. Can be called again."""
        for node in self._nodes:
            kill_all(tree(node.pid))
            node.wait()
        self._nodes.clear()
        if self._up is not None:
            if self._up.poll() is None:
                everything = tree(self._up.pid)
                self._up.send_signal(signal.SIGINT)
                try:
                    self._up.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    kill_all(everything | tree(self._up.pid))
                    self._up.wait()
            self._up = None
        if self._fresh and not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add_node(
        self,
        cpus: int = 1,
        resources: dict[str, float] | None = None,
        labels: dict[str, str] | None = None,
    ) -> int:
        """Join another Ray node of this machine to the platform's; the pid of its process.

        Everything on the node is below that process: see `tree`, and `kill_node`.
        """
        before = self._alive_nodes()
        command = [
            *(*RAY, "start", "--block", "--address", self.run["gcs_address"]),
            *("--num-cpus", str(cpus), "--resources", json.dumps(resources or {})),
            *("--labels", ",".join(f"{name}={text}" for name, text in (labels or {}).items())),
            *("--object-store-memory", str(OBJECT_STORE_BYTES)),
            "--disable-usage-stats",
        ]
        node = self._spawn(command, f"node-{len(self._nodes) + 1}")
        self._nodes.append(node)
        self._until(lambda: self._alive_nodes() > before, node, READY_S)
        return node.pid

    def kill_node(self) -> None:
        """SIGKILL every process of the node that was added last, as if its machine lost power."""
        node = self._nodes.pop()
        kill_all(tree(node.pid))
        node.wait()

    def grandstand(self, *words: str, timeout_s: float = READY_S) -> str:
        """Run a command line beside the platform: what it printed.

        Raises `HouseError` when it fails.
        """
        done = subprocess.run(
            [*GRANDSTAND, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise HouseError(f"grandstand {' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def verify(self) -> str:
        """`grandstand ledger verify`: its table, or `HouseError` when anything is not clean."""
        return self.grandstand("ledger", "verify", timeout_s=VERIFY_S)

    def until_there(self, *names: str) -> None:
        """Wait until processes of these names run; raises `HouseError` when they don't come."""
        deadline = time.monotonic() + READY_S
        missing = set(names)
        while missing:
            # Where the dashboard is away nobody can be seen.
            with contextlib.suppress(OSError, KeyError, ValueError):
                missing = set(names) - set(self.processes())
            if time.monotonic() > deadline:
                raise HouseError(f"not there after {READY_S:.0f} s: {', '.join(sorted(missing))}")
            time.sleep(0.1)

    def processes(self) -> dict[str, int]:
        """The pid of each process by name: `shard-gb-0`, `gateway-0`, `postgres`, `gcs` and so on.

        Actors are named by Ray's dashboard, everything else by its command line.
        """
        names = {name: pid for pid, name in self._commands().items()}
        for actor in self._ask_dashboard("actors"):
            if actor["state"] == "ALIVE" and actor["name"]:
                names[actor["name"]] = int(actor["pid"])
        self._names |= {pid: name for name, pid in names.items()}
        return names

    def cpu_seconds(self) -> dict[str, float]:
        """CPU that each process has used, user and system, with its unnamed children and the dead.

        Take it before and after, and subtract.
        """
        # Where the dashboard is away the names of before still hold.
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.processes()
        parents = _parents()
        total: dict[str, float] = {}
        for pid in self.everything():
            name = self._group(pid, parents)
            total[name] = total.get(name, 0.0) + _cpu_seconds(pid)
        return total

    def everything(self) -> set[int]:
        """All processes of the platform, and of the nodes that were added."""
        roots = [self._up, *self._nodes]
        return {pid for root in roots if root is not None for pid in tree(root.pid)}

    def _group(self, pid: int, parents: dict[int, int]) -> str:
        """The name of a process, or of the nearest process above it that has one."""
        while pid not in self._names:
            above = parents.get(pid, 0)
            if above <= 1:
                return "other"
            pid = above
        return self._names[pid]

    def _commands(self) -> dict[int, str]:
        """Pids and names of those that are known by their command line; of several, the oldest."""
        parents = _parents()
        found = {self.pid: "guardian", int(self.run["pid"]): "up"}
        found |= {node.pid: f"node-{number}" for number, node in enumerate(self._nodes, 1)}
        for pid in sorted(self.everything(), reverse=True):
            command = _command(pid)
            for part, name in KNOWN_BY_COMMAND.items():
                # A server's own children have its command line for a moment.
                if part in command and part not in _command(parents.get(pid, 0)):
                    found[pid] = name
        return found

    def _alive_nodes(self) -> int:
        return sum(node["state"] == "ALIVE" for node in self._ask_dashboard("nodes"))

    def _ask_dashboard(self, what: str) -> list[dict[str, Any]]:
        url = f"{self.run['dashboard_url']}/api/v0/{what}?limit=1000"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {_ray_token()}"})
        with urllib.request.urlopen(request, timeout=DASHBOARD_S) as answer:
            rows: list[dict[str, Any]] = json.load(answer)["data"]["result"]["result"]
        return rows

    def _is_up(self) -> bool:
        try:
            self.run = json.loads((self.data / "run.json").read_text())
        except (OSError, ValueError):
            return False
        return True

    def _spawn(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        parent = os.getpid()

        def end_with_parent() -> None:
            _prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        with (self.folder / name).open("wb") as printed:
            return subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we stop it in order
                preexec_fn=end_with_parent,
            )

    def _until(
        self, condition: Callable[[], bool], process: subprocess.Popen[bytes], timeout_s: float
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while process.poll() is None and time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.1)
        printed = "\n".join(
            file.read_text(errors="replace") for file in self.folder.glob("*") if file.is_file()
        )
        raise HouseError(f"the platform did not come up:\n{printed}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(root: int) -> set[int]:
    """A process and all its descendants, as far as they run; empty when it has ended."""
    parents = _parents()
    if root not in parents:
        return set()
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def kill_all(pids: set[int]) -> None:
    """SIGKILL at once, like a power cut. Held still first, so that nobody starts another."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _environment(settings: dict[str, object]) -> dict[str, str]:
    """This one's, without its own settings of Grandstand; the table is given room."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GRANDSTAND_")}
    ours = {f"GRANDSTAND_{name.upper()}": str(value) for name, value in settings.items()}
    ray = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    return {**kept, **ray, **ours, "COLUMNS": "200"}


def _ray_token() -> str:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    return os.environ.get("RAY_AUTH_TOKEN") or Path(path).read_text().strip()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parents() -> dict[int, int]:
    """The parent of every process that runs; the dead who are not reaped don't count."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = _stat(int(folder.name))
            except OSError:
                continue  # ended while we looked
            if fields[0] not in "ZX":
                parents[int(folder.name)] = int(fields[1])
    return parents


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    try:
        return sum(int(ticks) for ticks in _stat(pid)[11:15]) / TICKS_PER_S
    except OSError:
        return 0.0
