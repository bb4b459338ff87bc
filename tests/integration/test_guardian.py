"""The process that stands above `grandstand up`: it tries again, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runtime import cluster
from grandstand.commands import up
from grandstand.guardian import AGAIN, ATTEMPTS
from grandstand.platform import StartFailed, start_failure
from grandstand.settings import Settings

WORK = f"""
import subprocess, sys, time
from pathlib import Path
from grandstand.guardian import guarded
noted = Path(sys.argv[1])

def work():
    # It outlives its parent, as some of Ray's processes do.
    orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with noted.open("a") as file:
        print(orphan.pid, file=file)
    attempts = noted.read_text().count("\\n")
    if sys.argv[2] == "wait":
        print("waiting", flush=True)
        time.sleep(600)
    return {AGAIN} if attempts < int(sys.argv[2]) else 7

sys.exit(guarded(work))
"""


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def guarded(noted: Path, succeeds_at: int) -> int:
    command = [sys.executable, "-c", WORK, str(noted), str(succeeds_at)]
    return subprocess.run(command, timeout=60, check=False).returncode


def test_work_that_asks_for_it_is_begun_again(tmp_path: Path) -> None:
    noted = tmp_path / "attempts"
    assert guarded(noted, 2) == 7
    orphans = [int(line) for line in noted.read_text().split()]
    assert len(orphans) == 2
    assert not any(map(is_there, orphans))


def test_not_for_ever(tmp_path: Path) -> None:
    noted = tmp_path / "attempts"
    assert guarded(noted, 100) == AGAIN
    assert len(noted.read_text().split()) == ATTEMPTS


def test_who_is_told_to_end_is_not_begun_again(tmp_path: Path) -> None:
    noted = tmp_path / "attempts"
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(noted), "wait"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "waiting\n"
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(60) == 128 + signal.SIGTERM
    (orphan,) = map(int, noted.read_text().split())
    assert not is_there(orphan)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("The current node timed out during startup. This could happen because", AGAIN),
        ("The port is taken", 1),
    ],
)
def test_another_attempt_is_asked_for_where_ray_was_slow(
    said: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray as it fails on a machine that has too much else to do, and as it fails for good."""

    def init(**_: object) -> None:
        raise RuntimeError(said)

    def run(_: Settings, folder: Path) -> None:
        try:
            cluster.start(folder, 0, 1)
        except cluster.ClusterError as failure:
            raise start_failure(failure, folder) from failure

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(up, "_run", run)
    assert up._up(Settings(data=tmp_path / "data")) == status
    with pytest.raises(StartFailed, match=f"Ray did not start: {said}"):
        run(Settings(), tmp_path)


TOLD_AGAIN = """
import os, signal, sys
from grandstand.commands import up

stop, again = up.Stop(), []

def trace(frame, event, arg):
    # In the middle of the handler of the signal before.
    if len(again) < 20:
        again.append(event)
        os.kill(os.getpid(), signal.SIGINT)
    return trace

up._on_signals(stop)
sys.settrace(trace)
os.kill(os.getpid(), signal.SIGTERM)
stop.is_set()
sys.settrace(None)
sys.exit(0 if stop.is_set() and len(again) > 2 else 10 + len(again))
"""


def test_one_signal_more_while_one_is_handled_hangs_nothing() -> None:
    """A terminal's Ctrl-C comes twice, to everybody in the foreground and through the guardian."""
    with subprocess.Popen([sys.executable, "-c", TOLD_AGAIN]) as told:
        try:
            assert told.wait(60) == 0
        finally:
            told.kill()
