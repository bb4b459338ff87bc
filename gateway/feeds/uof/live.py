"""The feed as it comes: messages over AMQP, requests over HTTP, the session in between.

The line is RabbitMQ behind TLS: a queue of our own, bound to the exchange `unifiedfeed` under the
routing keys that are wanted. Whenever the line was cut, every producer counts as down until it has
been recovered, because the queue went with the line. The API wants the account's token in a
header; what it answers is read like any other message. aio-pika comes with the extra `feeds`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
import msgspec
import structlog

from actors.runtime.clock import Clock, WallClock
from gateway.feeds.feed import Step, check_run
from gateway.feeds.uof.descriptions import parse_answer
from gateway.feeds.uof.messages import UofError, parse
from gateway.feeds.uof.producers import ProducerInfo, Recover
from gateway.feeds.uof.session import AskEvent, AskFixture, Request, Session

log = structlog.get_logger()

EXCHANGE = "unifiedfeed"
MAX_WAITING = 10_000
"""Messages that have arrived and were not looked at yet. Beyond, the line waits: its messages
become old, and markets are suspended for that."""
PREFETCH = 1_000
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
API_TIMEOUT_S = 20.0
MAX_ASKING = 8
"""Requests under way."""


class LiveSettings(msgspec.Struct, frozen=True):
    """Where the feed is; all of it is in the operator's account."""

    token: str
    bookmaker_id: int
    host: str = "stgmq.betradar.com"
    port: int = 5671
    api: str = "https://stgapi.betradar.com/v1"
    language: str = "en"
    node_id: int | None = None
    """Tells several sessions of one account apart: each gets its own recoveries only."""
    tls: bool = True
    """Off only for a broker on this machine."""


Arrived = tuple[str, bytes]
"""A routing key and a message."""


class Line(Protocol):
    def messages(self) -> AsyncIterator[Arrived]:
        """Messages until the line is cut, which is an exception."""
        ...


class Api(Protocol):
    async def ask(self, request: Request) -> list[bytes]:
        """The documents that answer it; none where the line answers. Raises `OSError`."""
        ...

    async def descriptions(self) -> bytes: ...

    async def close(self) -> None: ...


def bindings(node_id: int | None) -> tuple[str, ...]:
    """The routing keys of everything, without other sessions' recoveries."""
    if node_id is None:
        return ("#",)
    return (
        "*.*.*.*.*.*.*.-.#",
        f"*.*.*.*.*.*.*.{node_id}.#",
        "-.-.-.alive.#",
        f"-.-.-.snapshot_complete.-.-.-.{node_id}.#",
    )


class AmqpLine:
    """Raises `ValueError` where aio-pika is not installed."""

    def __init__(self, settings: LiveSettings) -> None:
        try:
            import aio_pika
            import aiormq.auth
        except ImportError:
            raise ValueError(
                "the live feed needs aio-pika: pip install 'grandstand[feeds]'"
            ) from None
        self._aio_pika: Any = aio_pika
        # It says "guest" where the password is empty, which the account's is.
        aiormq.auth.PlainAuth.encode = _plain  # type: ignore[assignment, method-assign]
        self._settings = settings

    async def messages(self) -> AsyncIterator[Arrived]:
        settings = self._settings
        connection = await self._aio_pika.connect(
            host=settings.host,
            port=settings.port,
            login=settings.token,
            password="",
            virtualhost=f"/unifiedfeed/{settings.bookmaker_id}",
            ssl=settings.tls,
            ssl_context=ssl.create_default_context() if settings.tls else None,
        )
        async with connection:
            channel = await connection.channel()
            # Acknowledged one by one, so that no more than these wait on our side.
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            for key in bindings(settings.node_id):
                await queue.bind(EXCHANGE, routing_key=key)
            async with queue.iterator() as arriving:
                async for message in arriving:
                    yield message.routing_key or "", message.body
                    await message.ack()
        raise ConnectionError("the line was cut")


def _plain(auth: Any) -> str:
    """What a client says of itself as PLAIN (RFC 4616): nobody else's name, user, password."""
    url = auth.connector.url
    return f"\0{url.user or ''}\0{url.password or ''}"


class HttpApi:
    def __init__(self, settings: LiveSettings, producers: tuple[ProducerInfo, ...]) -> None:
        self._settings = settings
        self._paths = {info.product: info.path for info in producers}
        self._http: aiohttp.ClientSession | None = None

    def addresses(self, request: Request) -> list[tuple[str, str]]:
        """Method and address of what a request is to the API."""
        api, settings = self._settings.api.rstrip("/"), self._settings
        node = f"&node_id={settings.node_id}" if settings.node_id is not None else ""
        match request:
            case Recover():
                after = f"after={request.after_ms}&" if request.after_ms is not None else ""
                path = self._paths[request.product]
                query = f"{after}request_id={request.request_id}{node}"
                return [("POST", f"{api}/{path}/recovery/initiate_request?{query}")]
            case AskEvent():
                path = f"{api}/{self._paths[request.product]}"
                rest = f"events/{request.event_id}/initiate_request"
                query = f"request_id={request.request_id}{node}"
                return [
                    ("POST", f"{path}/odds/{rest}?{query}"),
                    ("POST", f"{path}/stateful_messages/{rest}?{query}"),
                ]
            case AskFixture():
                event = f"sports/{settings.language}/sport_events/{request.event_id}"
                return [("GET", f"{api}/{event}/fixture.xml")]

    async def ask(self, request: Request) -> list[bytes]:
        answers = [await self._call(*address) for address in self.addresses(request)]
        return answers if isinstance(request, AskFixture) else []

    async def descriptions(self) -> bytes:
        api, language = self._settings.api.rstrip("/"), self._settings.language
        return await self._call("GET", f"{api}/descriptions/{language}/markets.xml")

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _call(self, method: str, address: str) -> bytes:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                headers={"x-access-token": self._settings.token},
                timeout=aiohttp.ClientTimeout(total=API_TIMEOUT_S),
            )
        try:
            async with self._http.request(method, address) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError(f"{method} {address}: {error}") from None
        if answer.status >= 300:
            raise ConnectionError(f"{method} {address}: {answer.status}")
        return body


class Live:
    """The live feed as a source. It ends when it is cancelled, and with everything suspended
    while it has no line."""

    live = True

    def __init__(
        self,
        session: Session,
        line: Line,
        api: Api,
        name: str,
        run: str,
        start_ms: int,
        clock: Clock | None = None,
    ) -> None:
        check_run(run)
        self.name = name
        # Its keys count from one at each start: they must not be those of the start before.
        self.keys = f"{name}/{run}/{start_ms}"
        self.session = session
        self._line = line
        self._api = api
        self._clock = clock or WallClock()
        self._arrived: asyncio.Queue[Arrived | None] = asyncio.Queue(MAX_WAITING)
        """None: the line was cut."""
        self._answers: asyncio.Queue[tuple[Request | None, list[bytes] | None]] = asyncio.Queue()
        """None of bytes: it failed."""
        self._something = asyncio.Event()
        self._asking = asyncio.Semaphore(MAX_ASKING)

    async def steps(self) -> AsyncIterator[Step]:
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._describe())}
        try:
            while True:
                now_ms = self._clock.now_ms()
                self._hear(now_ms)
                self.session.tick(now_ms)
                for request in self.session.requests():
                    task = asyncio.create_task(self._ask(request))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                commands = tuple(self.session.take())
                if commands:
                    yield Step(now_ms, commands, self.session.parts)
                    continue
                await self._wait(now_ms)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._api.close()

    def _hear(self, now_ms: int) -> None:
        """Everything that has arrived."""
        self._something.clear()
        while not self._arrived.empty():
            arrived = self._arrived.get_nowait()
            if arrived is None:
                self.session.disconnected(now_ms)
                continue
            key, body = arrived
            try:
                message = parse(body)
            except UofError as error:
                log.warning("unreadable", key=key, why=str(error))
                self.session.unreadable(key, now_ms)
            else:
                self.session.hear(message, now_ms)
        while not self._answers.empty():
            request, documents = self._answers.get_nowait()
            if documents is None:
                if request is not None:
                    self.session.failed(request)
                continue
            if request is not None:
                self.session.accepted(request)
            for document in documents:
                try:
                    self.session.answered(parse_answer(document), now_ms)
                except UofError as error:
                    log.warning("unreadable_answer", request=repr(request), why=str(error))

    async def _wait(self, now_ms: int) -> None:
        """Until something arrives or something is due."""
        due_ms = self.session.due_ms(now_ms)
        if due_ms is None:
            await self._something.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (due_ms - self._clock.now_ms()) / 1_000)):
                await self._something.wait()

    async def _listen(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async for arrived in self._line.messages():
                    await self._arrived.put(arrived)
                    self._something.set()
                    pause_s = FIRST_PAUSE_S
            except Exception as error:  # whatever a broker may come up with
                log.warning("line_cut", why=f"{type(error).__name__}: {error}")
            await self._arrived.put(None)
            self._something.set()
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _ask(self, request: Request) -> None:
        async with self._asking:
            try:
                documents: list[bytes] | None = await self._api.ask(request)
            except OSError as error:
                log.warning("api_failed", request=repr(request), why=str(error))
                documents = None
        self._answers.put_nowait((request, documents))
        self._something.set()

    async def _describe(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._answers.put_nowait((None, [await self._api.descriptions()]))
                self._something.set()
                return
            except OSError as error:
                log.warning("api_failed", request="descriptions", why=str(error))
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
