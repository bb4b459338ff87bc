"""How a server process is started, waited for and stopped.

A server outlives nothing: it is stopped by its owner, or by the kernel when the owner
dies, however that happens. It sits in a session of its own, so that a Ctrl-C in the
terminal reaches the owner alone, which then stops its servers in the right order.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from grandstand.servers import ServerError

LOOPBACK = "127.0.0.1"

_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_POLL_SECONDS = 0.01
# How long a server whose owner was killed may take to end before that is an error.
_CLAIM_SECONDS = 30
_PR_SET_PDEATHSIG = 1

# Looked up before any fork: a child may not load libraries between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl

# The kernel sends the death signal when the *thread* that forked ends, not the process.
# This thread lives as long as the process, whichever thread asks for a server.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")


@contextmanager
def claim(folder: Path) -> Iterator[int]:
    """Have `folder` to ourselves: yields a lock to hand to the server that will use it.

    The server and all it forks hold the lock too, until the last of them has ended. So two
    servers never write one folder, and a start right after a crash waits for what is left
    of the former server to finish.

    Raises ServerError if another server keeps the folder for 30 s.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not wait_until(lambda: _is_ours(lock), _CLAIM_SECONDS):
            raise ServerError(f"another server is running in {folder}: stop it first")
        yield lock
    finally:
        os.close(lock)


def _is_ours(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    lock: int,
    death_signal: signal.Signals,
    uid: int | None = None,
    gid: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in the claimed `folder`, its output appended to `log`; as `uid` if given.

    The child gets `death_signal` when this process ends, also by SIGKILL, and an
    environment without this one's settings (PGPORT, LD_PRELOAD and the like).

    Raises ServerError if the command cannot be run.
    """
    parent = os.getpid()

    def follow_parent_into_death() -> None:
        # Runs after setuid, which clears the death signal.
        _prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        # The parent may have died before the call above: then no signal will ever come.
        if os.getppid() != parent:
            os._exit(1)

    def fork() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                preexec_fn=follow_parent_into_death,
            )

    try:
        return _forker.submit(fork).result()
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"{Path(command[0]).name} cannot be run: {error}") from error


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Wait for `condition`, asked every 10 ms; False if it is still unmet at the end."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def stop(
    process: subprocess.Popen[bytes], *signals: tuple[signal.Signals, float]
) -> signal.Signals | None:
    """Send each signal in turn and give it its seconds, then SIGKILL; returns the one that did.

    None if the process had ended by itself.
    """
    if process.poll() is not None:
        return None
    for number, timeout_seconds in signals:
        process.send_signal(number)
        try:
            process.wait(timeout_seconds)
            return number
        except subprocess.TimeoutExpired:
            continue
    kill_tree(process)
    return signal.SIGKILL


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a server and its children at once, like a power cut; all are gone on return."""
    if process.poll() is not None:
        return
    # Held still first, so that no child is born between the listing and the kill.
    process.send_signal(signal.SIGSTOP)
    children = _children(process.pid)
    process.kill()
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    # Orphans are reaped by init, not by us: gone means no longer running.
    wait_until(lambda: not any(is_alive(child) for child in children), timeout_seconds=5)


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie, dead but not yet reaped, does not."""
    try:
        # The state is the first field after the name, which is in brackets and may hold any.
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _children(pid: int) -> list[int]:
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended while we looked
        if int(fields[1]) == pid:
            children.append(int(stat.parent.name))
    return children


def choose_port(wanted: int, last_used: Path) -> int:
    """The port to listen on: `wanted`; for 0 the one in the file `last_used`, or else a free one.

    Clients that were told a port yesterday find the server there today, where possible.

    Raises ServerError if `wanted` is taken.
    """
    if wanted:
        if not _is_free(wanted):
            raise ServerError(
                f"port {wanted} on {LOOPBACK} is taken: stop what listens there or choose another"
            )
        return wanted
    remembered = last_used.read_text().strip() if last_used.exists() else ""
    if remembered.isdigit() and _is_free(int(remembered)):
        return int(remembered)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections that linger after a stop don't hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def write_secret(file: Path, text: str) -> None:
    """Write `text` to a file that only its owner reads, whole or not at all."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(file)


def trim_log(log: Path) -> None:
    """Keep one former log when `log` has grown past 16 MB, so that logs are bounded."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def said_since(log: Path, offset: int) -> list[str]:
    """What a server has logged past `offset` bytes, at most its last 16 kB; for error messages."""
    with log.open("rb") as handle:
        handle.seek(max(offset, log.stat().st_size - 16_384))
        return [
            line for line in handle.read().decode(errors="replace").splitlines() if line.strip()
        ]
