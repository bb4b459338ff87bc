"""What tests of more than one kind need: real servers, and one platform for the whole session.

Starting Ray takes seconds, so the platform is shared: a test makes players and fixtures of its own
and leaves everything working, also when it kills something.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import hypothesis
import msgspec
import pytest

from actors.risk.settings import HedgeSettings
from grandstand.commands.up import WATCH_S
from grandstand.platform import Platform
from grandstand.servers.postgres import EmbeddedPostgres
from grandstand.servers.valkey import EmbeddedValkey
from grandstand.settings import Settings
from ledger.database import create_database
from tests.patience import LASTING

# A test is as slow as the machine; hypothesis would call that a failure where it is not CI.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that Postgres' own user can reach: pytest's are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="gs-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(server_folder / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fresh_database(postgres: EmbeddedPostgres) -> Callable[[], Awaitable[str]]:
    """Makes an empty database at each call and returns its address."""

    async def make() -> str:
        name = f"test_{uuid4().hex[:12]}"
        await create_database(postgres.dsn("postgres"), name)
        return postgres.dsn(name)

    return make


@pytest.fixture(scope="session")
def valkey(server_folder: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(server_folder / "valkey")
    server.start()
    yield server
    server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def platform(server_folder: Path) -> Iterator[Platform]:
    """The real stack: two shards a scope and a spare, two gateways, no demonstration."""
    settings = Settings(
        port=free_port(),
        dashboard_port=free_port(),
        shards=2,
        gateways=2,
        partitions=4,
        demo=False,
        # Tests move partitions themselves; the dead are replaced all the same.
        elastic=False,
        max_shards=3,
        # What is laid off is laid off at the bogus exchange.
        risk=msgspec.structs.replace(LASTING, hedges=HedgeSettings(place=True)),
    )
    folder = server_folder / "platform"
    folder.mkdir()
    platform = Platform(settings, folder)
    platform.start(lambda _: None)
    with looked_after(platform):
        yield platform
    platform.stop(lambda _: None)


@contextmanager
def looked_after(platform: Platform) -> Iterator[None]:
    """What has died is started again, as `grandstand up` does."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(WATCH_S):
            platform.watch()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
