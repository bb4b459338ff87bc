"""Servers that the bench starts beside the platform, and the CPU that processes use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loadtest.house import free_port, kill_all, tree

READY_S = 90.0
STOP_S = 10.0
RAY_PROCESS_BYTES = 110 * 1024**2
SPARE_BYTES = 4 * 1024**3
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_prctl = ctypes.CDLL(None, use_errno=True).prctl
_PR_SET_PDEATHSIG = 1


class Server:
    """Processes of a contestant that listen on one port."""

    def __init__(self, port: int, processes: list[subprocess.Popen[bytes]]) -> None:
        self.port = port
        self._processes = processes

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(pid) for one in self._processes for pid in tree(one.pid))


@contextlib.contextmanager
def serving(
    module: str, *arguments: str, processes: int = 1, ready_s: float = READY_S
) -> Iterator[Server]:
    """Run `python -m module <port> <arguments>` so many times, all on one free port, until the end.

    Raises TimeoutError where nobody listens after `ready_s`, RuntimeError when a process ended.
    """
    port = free_port()
    command = [sys.executable, "-m", module, str(port), *arguments]
    running = [
        subprocess.Popen(command, preexec_fn=_end_with_parent(), start_new_session=True)
        for _ in range(processes)
    ]
    try:
        _until_listening(module, port, running, ready_s)
        yield Server(port, running)
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
        for one in running:
            try:
                one.wait(STOP_S)
            except subprocess.TimeoutExpired:
                kill_all(tree(one.pid))
                one.wait()


def _end_with_parent() -> Callable[[], None]:
    """For between fork and exec: a bench that is killed leaves no server."""
    parent = os.getpid()

    def follow() -> None:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return follow


def _until_listening(
    module: str, port: int, running: list[subprocess.Popen[bytes]], ready_s: float
) -> None:
    # Its name alone: among its arguments are passwords.
    deadline = time.monotonic() + ready_s
    while time.monotonic() < deadline:
        if any(one.poll() is not None for one in running):
            raise RuntimeError(f"{module} ended before it served")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{module} did not listen within {ready_s:.0f} s")


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, in seconds."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_for(processes: int) -> bool:
    """Whether the machine has room for as many processes of Ray, and some to spare."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 >= processes * RAY_PROCESS_BYTES + SPARE_BYTES
    return False


class Strangers:
    """How much of the machine went to programs that are none of ours, since this was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._before = _busy_seconds() - own_seconds()

    def cores(self) -> float:
        """On average, in cores. A figure taken beside a busy stranger is worth little."""
        used = _busy_seconds() - own_seconds() - self._before
        return max(0.0, used / (time.perf_counter() - self._began))


def _busy_seconds() -> float:
    """CPU that was used on this machine since it started, by whomever."""
    user, nice, system, _, _, irq, softirq = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def own_seconds() -> float:
    """Of this process and all below it, those that have ended included."""
    total = 0
    for pid in tree(os.getpid()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended while we looked
        total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_S
