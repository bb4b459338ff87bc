"""The feed's line on a real RabbitMQ, set up as the one of the Unified Odds Feed is: an account is
a token without a password, with a virtual host and a topic exchange that it may only read."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.feeds.uof.live import EXCHANGE, AmqpLine, Arrived, LiveSettings
from tests.conftest import free_port
from tests.patience import PATIENCE_S

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one on the path: that would change the user first."""
TOKEN = "token-of-the-account"
KEYS = (
    "hi.-.live.odds_change.1.sr:match.7.-",
    "hi.-.live.bet_settlement.1.sr:match.7.4",
    "hi.-.live.odds_change.1.sr:match.8.5",
    "-.-.-.alive.-.-.-.-",
    "-.-.-.snapshot_complete.-.-.-.4",
    "-.-.-.snapshot_complete.-.-.-.5",
)
"""The fifth and the sixth part from the end name a session: ours is 4, 5 is somebody else's."""

pytestmark = pytest.mark.skipif(
    not SERVER.exists() or shutil.which("epmd") is None,
    reason="no RabbitMQ (Debian and Ubuntu: apt-get install rabbitmq-server)",
)


class Broker:
    """A RabbitMQ of its own, which asks the test who may come in."""

    def __init__(self, folder: Path, gatekeeper: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "line@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }
        (folder / "plugins").write_text("[rabbitmq_auth_backend_http].\n")
        ask = f"http://127.0.0.1:{gatekeeper}"
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "auth_backends.1 = http\n"
            f"auth_http.user_path = {ask}/user\n"
            f"auth_http.vhost_path = {ask}/vhost\n"
            f"auth_http.resource_path = {ask}/resource\n"
            f"auth_http.topic_path = {ask}/topic\n"
            f"load_definitions = {folder / 'definitions.json'}\n"
        )
        vhost = "/unifiedfeed/1"
        exchange = {"name": EXCHANGE, "vhost": vhost, "type": "topic", "durable": True}
        exchange |= {"auto_delete": False, "internal": False, "arguments": {}}
        (folder / "definitions.json").write_text(
            json.dumps({"vhosts": [{"name": vhost}], "exchanges": [exchange]})
        )
        self._names: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if self._names is None:
            # Else the server would start one that outlives it.
            self._names = subprocess.Popen(["epmd"], env=self._environment, **quiet)  # type: ignore[call-overload]
        log = (self._folder / "output").open("ab")
        self._server = subprocess.Popen(
            [str(SERVER)],
            env=self._environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()

    def kill(self) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        self.kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait()

    async def publisher(self) -> Any:
        """A connection of the one who speaks, as soon as there is a broker."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await aio_pika.connect(
                        host="127.0.0.1",
                        port=self.port,
                        login="sportradar",
                        password="",
                        virtualhost="/unifiedfeed/1",
                    )
                except (OSError, aio_pika.exceptions.AMQPError):
                    assert self._server is not None
                    assert self._server.poll() is None, (self._folder / "output").read_text()
                    await asyncio.sleep(0.2)


class Gatekeeper:
    """Says to the broker who may do what: the account reads, and only the publisher writes."""

    def __init__(self) -> None:
        self.turned_away: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        if self._may(request.path, asked):
            return web.Response(text="allow")
        self.turned_away.append(asked)
        return web.Response(text="deny")

    def _may(self, path: str, asked: dict[str, str]) -> bool:
        if asked["username"] == "sportradar":
            return True
        if path == "/user":
            return (asked["username"], asked["password"]) == (TOKEN, "")
        own = asked.get("name", "").startswith("amq.gen")  # a queue with a name of the server's
        return path in ("/vhost", "/topic") or own or asked["permission"] == "read"


@pytest.fixture
async def gatekeeper() -> AsyncIterator[tuple[Gatekeeper, int]]:
    keeper = Gatekeeper()
    app = web.Application()
    app.router.add_get("/{what}", keeper.answer)
    server = TestServer(app)
    await server.start_server()
    assert server.port
    yield keeper, server.port
    await server.close()


@pytest.fixture
def broker(tmp_path: Path, gatekeeper: tuple[Gatekeeper, int]) -> Iterator[Broker]:
    broker = Broker(tmp_path, gatekeeper[1])
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def settings_of(broker: Broker, token: str = TOKEN) -> LiveSettings:
    return LiveSettings(token, 1, host="127.0.0.1", port=broker.port, node_id=4, tls=False)


class Reader:
    """Reads a line into a list until it is cut."""

    def __init__(self, line: AmqpLine) -> None:
        self.arrived: list[Arrived] = []
        self.all = asyncio.Event()
        self.task = asyncio.create_task(self._read(line))

    async def _read(self, line: AmqpLine) -> None:
        async for arrived in line.messages():
            self.arrived.append(arrived)
            if arrived[1] == b"last":
                self.all.set()


async def say_all(publisher: Any, reader: Reader) -> None:
    """Say everything once the reader's queue is bound, which a first message shows."""
    channel = await publisher.channel()
    exchange = await channel.get_exchange(EXCHANGE)
    async with asyncio.timeout(PATIENCE_S):
        while not reader.arrived:
            await exchange.publish(aio_pika.Message(b"first"), "-.-.-.alive.-.-.-.-")
            await asyncio.sleep(0.05)
    for number, key in enumerate(KEYS):
        await exchange.publish(aio_pika.Message(b"%d" % number), key)
    await exchange.publish(aio_pika.Message(b"last"), "-.-.-.alive.-.-.-.-")
    async with asyncio.timeout(PATIENCE_S):
        await reader.all.wait()


async def test_a_line_brings_what_is_for_its_session_in_order_and_ends_when_it_is_cut(
    broker: Broker, gatekeeper: tuple[Gatekeeper, int]
) -> None:
    publisher = await broker.publisher()
    line = AmqpLine(settings_of(broker))
    reader = Reader(line)
    await say_all(publisher, reader)
    told = [(key, body) for key, body in reader.arrived if body not in (b"first", b"last")]
    assert told == [(KEYS[at], b"%d" % at) for at in (0, 1, 3, 4)]
    assert gatekeeper[0].turned_away == []

    # The broker dies: the line ends with an exception, and can be had again.
    broker.kill()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises((ConnectionError, aio_pika.exceptions.AMQPError)):
            await reader.task
    with pytest.raises((ConnectionError, aio_pika.exceptions.AMQPError)):
        await anext(line.messages())
    broker.start()
    publisher = await broker.publisher()
    again = Reader(line)
    await say_all(publisher, again)
    assert [body for _, body in again.arrived if body.isdigit()] == [b"0", b"1", b"3", b"4"]
    again.task.cancel()
    await asyncio.gather(again.task, return_exceptions=True)

    # A token that the broker does not know.
    with pytest.raises(aio_pika.exceptions.AMQPError):
        await anext(AmqpLine(settings_of(broker, "another")).messages())
    assert [asked["username"] for asked in gatekeeper[0].turned_away] == ["another"]
    await publisher.close()
