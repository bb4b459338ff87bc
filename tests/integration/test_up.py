"""`grandstand up` as a person meets it: it starts, is stopped, and is found again as it was."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from grandstand.platform import Platform, StartFailed
from grandstand.settings import Settings
from tests.conftest import free_port
from tests.integration.house import House
from tests.patience import PATIENCE_S

GRANDSTAND = [sys.executable, "-c", "from grandstand.cli import app; app()"]
READY_S = 300.0
"""On a busy machine; on a quiet one it takes about eight."""


class Command:
    """`grandstand` with its own data folder and ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("GRANDSTAND_")
        } | {
            "GRANDSTAND_DATA": str(folder / "data"),
            "GRANDSTAND_PORT": str(free_port()),
            "GRANDSTAND_DASHBOARD_PORT": str(free_port()),
            "GRANDSTAND_GATEWAYS": "1",
            "GRANDSTAND_PARTITIONS": "2",
            "GRANDSTAND_DEMO_FIXTURES": "4",
            "COLUMNS": "200",
        }
        self.up: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.environment['GRANDSTAND_PORT']}"

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*GRANDSTAND, *words],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=READY_S,
            check=False,
        )

    def start(self) -> str:
        """Start the platform and return what it printed when it was up."""
        printed = self.folder / "printed"
        with printed.open("wb") as output:
            self.up = subprocess.Popen(
                [*GRANDSTAND, "up"],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self.up.poll() is None:
            if "Ctrl-C" in printed.read_text():
                return printed.read_text()
            time.sleep(0.1)
        raise AssertionError(f"the platform did not come up: {printed.read_text()}")

    def children(self) -> set[int]:
        """The process and all its descendants."""
        assert self.up is not None
        found = {self.up.pid}
        parents = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(folder.name)] = int(fields[1])
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop the platform as Ctrl-C does, and return its exit status."""
        assert self.up is not None
        self.up.send_signal(number)
        return self.up.wait(READY_S)


@pytest.fixture
def command(server_folder: Path) -> Iterator[Command]:
    folder = Path(tempfile.mkdtemp(prefix="up-", dir=server_folder))
    folder.chmod(0o755)
    command = Command(folder)
    yield command
    if command.up is not None and command.up.poll() is None:
        try:
            command.stop()
        finally:
            command.up.kill()  # who does not end by himself; his children end with him


def gone(pids: set[int]) -> bool:
    """Whether none of the processes runs any more, waiting a little."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.timeout(2 * READY_S)
async def test_up_stopped_and_up_again(command: Command) -> None:
    printed = command.start()
    for told in (
        "Player page",
        "Trader page",
        "API documentation",
        "Ray dashboard",
        "its token",
        "Staff token",
    ):
        assert told in printed

    second = command.run("up")
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "already runs on" in second.stderr

    verified = command.run("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    shown = command.run("player", "show", "ada@example.com")
    assert "cash 500.00 GBP" in shown.stdout
    listed = command.run("market", "list")
    assert "open" in listed.stdout

    async with aiohttp.ClientSession() as http:
        house = House(command.base_url, "", http)
        player = await house.player(12_345)
        async with http.get(f"{command.base_url}/") as page:
            assert "Grandstand" in await page.text()

        everything = command.children()
        assert len(everything) > 10
        assert command.stop() == 0
        assert gone(everything)
        # Nothing runs, and the books can be proved all the same.
        assert command.run("ledger", "verify").returncode == 0
        assert command.run("ledger", "rebuild").returncode == 0

        command.start()
        login = {"email": player.email, "password": player.password}
        session = await house.want(201, "POST", "/v1/sessions", login)
        wallet = await house.want(200, "GET", "/v1/wallet", token=session["token"])
        assert wallet["cash_minor"] == 12_345
    everything = command.children()
    assert command.stop(signal.SIGTERM) == 0
    assert gone(everything)


@pytest.mark.timeout(2 * READY_S)
def test_killed_platform_leaves_no_orphan_and_starts_again(command: Command) -> None:
    command.start()
    run = msgspec.json.decode((command.folder / "data" / "run.json").read_bytes())
    everything = command.children()
    os.kill(run["pid"], signal.SIGKILL)
    assert command.up is not None
    assert command.up.wait(PATIENCE_S) == 128 + signal.SIGKILL
    assert gone(everything)

    command.start()
    everything = command.children()
    # The guardian killed: what it guarded is told so, drains and stops.
    assert command.stop(signal.SIGKILL) == -signal.SIGKILL
    assert gone(everything)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"GRANDSTAND_PROT": "1"}, "GRANDSTAND_PROT is not a setting"),
        ({"GRANDSTAND_PORT": "eighty"}, "GRANDSTAND_PORT='eighty'"),
        ({"GRANDSTAND_PORT": "0"}, "GRANDSTAND_PORT=0: from 1 to 65535"),
        ({"GRANDSTAND_HOST": "::1"}, "an IPv4 address is needed"),
        ({"GRANDSTAND_LICENCES": "xx"}, "no licence 'xx'"),
        ({"GRANDSTAND_STAFF_TOKEN": "short"}, "at least 16 characters"),
        ({"GRANDSTAND_POSTGRES_XX": "postgresql://"}, "no scope 'xx'"),
        ({"GRANDSTAND_DATA": "/proc/nowhere"}, "/proc/nowhere"),
        ({"GRANDSTAND_DATA": "/etc/passwd"}, "that is not a folder"),
        ({"GRANDSTAND_DATA": ""}, "GRANDSTAND_DATA is empty"),
    ],
)
def test_bad_settings_are_one_clear_line(
    command: Command, environment: dict[str, str], told: str
) -> None:
    done = command.run("up", **environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_taken_port_is_one_clear_line(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = command.run("up", GRANDSTAND_PORT=str(port))
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 can't be had" in done.stderr
    assert done.stderr.count("\n") == 1


def test_full_disk_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("grandstand.platform.MIN_FREE_BYTES", 10**18)
    platform = Platform(Settings(port=free_port(), dashboard_port=free_port()), tmp_path)
    with pytest.raises(StartFailed, match=r"the disk that holds .* is almost full"):
        platform.start(lambda _: None)


def test_nothing_runs_and_nothing_is_there(command: Command, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    recording.write_text("{}")
    assert "there is no data" in command.run("ledger", "verify").stderr
    assert "no platform runs on" in command.run("replay", str(recording)).stderr
    assert "no platform runs on" in command.run("market", "list").stderr
    assert "there is no file" in command.run("replay", "nowhere").stderr


@pytest.mark.parametrize("words", [(), ("up",), ("replay",), ("ledger",), ("player",), ("market",)])
def test_every_command_explains_itself(command: Command, words: tuple[str, ...]) -> None:
    done = command.run(*words, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
