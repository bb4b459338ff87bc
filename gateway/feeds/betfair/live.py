"""The stream itself: a connection that is kept up, and what comes over it turned into steps.

A line is a JSON object that ends with CRLF. The exchange greets (`connection`), we authenticate
and subscribe, and it answers each with a `status`; from then on it sends changes, and a heartbeat
when there are none. Whatever goes wrong (the connection is lost, a line is too long or can't be
read, heartbeats are missing, messages are out of step, the exchange refuses), the markets are
suspended first; then the connection is made anew, after a pause that doubles each time, and the
subscription is resumed by its clocks. Markets open again when it has caught up.

Some refusals don't get better by asking again, such as an unknown application key. Then all
markets are suspended, `failure` says what is to be done, and the source comes to its end.

Neither the application key nor the session token is ever logged, even when the exchange repeats
them in an error message.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator

import msgspec
import structlog

from actors.runtime.clock import Clock, WallClock
from gateway.feeds.betfair.board import Summary
from gateway.feeds.betfair.guard import GuardedBoard
from gateway.feeds.betfair.messages import (
    Authentication,
    DataFilter,
    MarketSubscription,
    Message,
)
from gateway.feeds.betfair.settings import Settings, check_live, check_margin, read_secret
from gateway.feeds.betfair.subscription import OutOfStep, Subscription
from gateway.feeds.feed import FeedCommand, Step, check_run

log = structlog.get_logger()

REVIEW_MS = 250
"""How often the age of every market is looked at."""
HANDSHAKE_S = 10.0
"""For the connection, the greeting and the answer to the authentication, each."""

_decoder = msgspec.json.Decoder(Message)


class Remedy(enum.Enum):
    """What helps when the exchange refuses."""

    AGAIN = "ask again"
    LATER = "ask again after the longest pause"
    IMAGE = "ask again without clocks"
    SESSION = "log in again"
    NOTHING = "somebody has to change the configuration"


ERRORS = {
    "NO_APP_KEY": (Remedy.NOTHING, "no application key was sent: see `app_key`"),
    "INVALID_APP_KEY": (Remedy.NOTHING, "the exchange doesn't know the application key"),
    "NO_SESSION": (Remedy.SESSION, "no session token was sent: see `session`"),
    "INVALID_SESSION_INFORMATION": (Remedy.SESSION, "the session has expired or never was"),
    "NOT_AUTHORIZED": (Remedy.NOTHING, "the application key has no right to the stream"),
    "INVALID_INPUT": (Remedy.NOTHING, "the filter or the fields are not what the exchange takes"),
    "INVALID_REQUEST": (Remedy.NOTHING, "the exchange doesn't understand the request"),
    "SUBSCRIPTION_LIMIT_EXCEEDED": (
        Remedy.NOTHING,
        "the filter finds more markets than the account may subscribe to: narrow it",
    ),
    "MAX_CONNECTION_LIMIT_EXCEEDED": (
        Remedy.LATER,
        "the account has as many connections as it may: another one has to end first",
    ),
    "TOO_MANY_REQUESTS": (Remedy.LATER, "too many requests in a short time"),
    "INVALID_CLOCK": (Remedy.IMAGE, "the exchange can't resume from where we were"),
    "CONNECTION_FAILED": (Remedy.AGAIN, "the exchange has lost a connection of its own"),
    "UNEXPECTED_ERROR": (Remedy.AGAIN, "something failed at the exchange"),
    "TIMEOUT": (Remedy.AGAIN, "the exchange has waited for us for too long"),
}
"""What helps, and what to tell people, by error code. What is unknown is tried again, later."""


class Trouble(Exception):
    """This connection can't go on."""

    def __init__(self, why: str, remedy: Remedy = Remedy.AGAIN) -> None:
        super().__init__(why)
        self.remedy = remedy


class Live:
    """One run of the stream. It goes on until it is told to `end`, or until nothing helps.

    Raises `ValueError` for settings that can't work or are not safe.
    """

    name = "betfair"
    live = True

    def __init__(
        self, settings: Settings, run: str, start_ms: int, clock: Clock | None = None
    ) -> None:
        check_run(run)
        if settings.live is None:
            raise ValueError("these settings are for recordings")
        if settings.files:
            raise ValueError("either recordings or the live stream, not both")
        check_margin(settings.margin_bp)
        check_live(settings.live)
        self.settings = settings.live
        self.run = run
        self._clock = clock or WallClock()
        # Never those of an earlier start: what is said now is something else.
        self.keys = f"{self.name}/{run}/live-{self._clock.now_ms()}"
        self.summary = Summary()
        self.subscription = Subscription(self.settings.heartbeat_ms, self.settings.conflate_ms)
        self.board = GuardedBoard(settings, self.settings, run, self.summary)
        self.connections = 0
        self.failure = ""
        """Why the source has come to its end, where nobody asked for it."""
        self._last_ms = start_ms
        self._reviewed_ms = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Suspend all markets, and come to the end."""
        self._ending.set()

    async def steps(self) -> AsyncIterator[Step]:
        pause_ms = self.settings.retry_ms
        while not self._ending.is_set():
            wire: _Wire | None = None
            in_step_ms = 0
            trouble = Trouble("told to end")
            try:
                wire = await self._connect()
                while not self._ending.is_set():
                    line = await wire.line(REVIEW_MS / 1_000)
                    if line is not None:
                        for step in self._step(self._hear(line)):
                            yield step
                    in_step_ms = in_step_ms or (
                        self._clock.now_ms() if self.subscription.in_step else 0
                    )
                    for step in self._step(self._review()):
                        yield step
            except OutOfStep as contradiction:
                trouble = Trouble(str(contradiction), Remedy.IMAGE)
            except Trouble as known:
                trouble = known
            except Exception as defect:
                # Ours. It is no reason to leave open what we have lost sight of.
                log.exception("betfair_defect")
                trouble = Trouble(f"a defect: {defect!r}", Remedy.IMAGE)
            finally:
                if wire is not None:
                    wire.close()
            # Nobody may bet on what we can't see, before anything else.
            self.subscription.end()
            for step in self._step(self.board.hold_all(self.subscription.trouble)):
                yield step
            if self._ending.is_set():
                return
            if self._is_final(trouble):
                self.failure = str(trouble)
                log.error("betfair_failed", why=self.failure)
                return
            if trouble.remedy is Remedy.IMAGE:
                self.subscription.forget()
            # Only a connection that was of some use makes the next pause a short one.
            if in_step_ms and self._clock.now_ms() - in_step_ms > pause_ms:
                pause_ms = self.settings.retry_ms
            if trouble.remedy is Remedy.LATER:
                pause_ms = self.settings.longest_retry_ms
            log.warning("betfair_lost", why=str(trouble), again_in_ms=pause_ms)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_ms / 1_000)
            pause_ms = min(2 * pause_ms, self.settings.longest_retry_ms)

    def _step(self, commands: Iterable[FeedCommand]) -> Iterator[Step]:
        said: list[FeedCommand] = []
        failed: Exception | None = None
        try:
            said.extend(commands)
        except Exception as failure:
            failed = failure
        if said:
            self._last_ms = max(self._last_ms, self._clock.now_ms())
            yield Step(self._last_ms, tuple(said))
        if failed is not None:
            # Not before: the board counts on it that what it has said is heard.
            raise failed

    def _is_final(self, trouble: Trouble) -> bool:
        if trouble.remedy is Remedy.SESSION:
            # Somebody may renew a token in a file; nobody can change our environment.
            return not self.settings.session.startswith("file:")
        return trouble.remedy is Remedy.NOTHING

    # What is said to us

    def _hear(self, line: bytes) -> Iterator[FeedCommand]:
        try:
            message = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OutOfStep(f"a line that can't be read: {error}") from None
        if message.op == "status":
            self._check_status(message)
        if message.op != "mcm":
            return
        self.summary.messages += 1
        now_ms = self._clock.now_ms()
        digest = hashlib.blake2b(line, digest_size=16).digest()
        was_in_step = self.subscription.in_step
        batch = self.subscription.hear(message, digest, now_ms)
        if batch is None:
            return
        if not was_in_step:
            log.info("betfair_in_step", markets=len(batch.changes), image=batch.image)
        yield from self.board.take(batch, self.subscription.standing(), now_ms)
        if not was_in_step:
            # Also those of which nothing new was said.
            yield from self.board.review(self.subscription.standing(), now_ms)

    def _review(self) -> Iterator[FeedCommand]:
        now_ms = self._clock.now_ms()
        overdue = self.subscription.overdue(now_ms)
        if overdue:
            raise Trouble(overdue)
        if now_ms - self._reviewed_ms < REVIEW_MS:
            return
        self._reviewed_ms = now_ms
        if self.board.wants_image(now_ms):
            raise OutOfStep("a market has contradicted itself for too long")
        yield from self.board.review(self.subscription.standing(), now_ms)

    def _check_status(self, message: Message) -> None:
        """Raises `Trouble` for anything but a success."""
        if message.status_code == "SUCCESS" and not message.connection_closed:
            return
        code = message.error_code or "no error code"
        remedy, advice = ERRORS.get(code, (Remedy.LATER, "an error that is not known here"))
        said = message.error_message or ""
        for where in (self.settings.app_key, self.settings.session):
            secret = read_secret(where)
            said = said.replace(secret, "***") if secret else said
        raise Trouble(f"{code}: {advice}" + (f" (it says: {said[:200]})" if said else ""), remedy)

    # What we say

    async def _connect(self) -> _Wire:
        """A connection that is authenticated, and whose subscription has been asked for."""
        settings = self.settings
        app_key, session = read_secret(settings.app_key), read_secret(settings.session)
        if not app_key:
            raise Trouble(f"there is no application key at {settings.app_key}", Remedy.NOTHING)
        if not session:
            raise Trouble(f"there is no session token at {settings.session}", Remedy.SESSION)
        tls = _tls(settings.tls, settings.ca_file)
        wire = await _Wire.open(settings.host, settings.port, tls, settings.max_line_bytes)
        self.connections += 1
        try:
            greeting = await self._answer(wire)
            if greeting.op != "connection":
                raise Trouble(f"it greets with {greeting.op!r}: that is no stream")
            log.info("betfair_connected", host=settings.host, connection=greeting.connection_id)
            wire.send(Authentication(0, app_key, session))
            answer = await self._answer(wire)
            if answer.op != "status":
                raise Trouble(f"it answers the authentication with {answer.op!r}")
            subscription_id = self.subscription.begin(self._clock.now_ms())
            wire.send(
                MarketSubscription(
                    subscription_id,
                    settings.market_filter,
                    DataFilter(settings.fields, settings.ladder_levels),
                    settings.conflate_ms,
                    settings.heartbeat_ms,
                    segmentation_enabled=True,
                    initial_clk=self.subscription.initial_clk,
                    clk=self.subscription.clk,
                )
            )
        except BaseException:
            wire.close()
            raise
        return wire

    async def _answer(self, wire: _Wire) -> Message:
        line = await wire.line(HANDSHAKE_S)
        if line is None:
            raise Trouble(f"no answer within {HANDSHAKE_S:g} s")
        try:
            message = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Trouble("an answer that can't be read: that is no stream") from None
        if message.op == "status":
            self._check_status(message)
        return message


def _tls(wanted: bool, ca_file: str) -> ssl.SSLContext | None:
    if not wanted:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise Trouble(f"the certificates of {ca_file} can't be read: {error}") from None


class _Wire:
    """Lines to and from the exchange. What has gone wrong with them is a `Trouble`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls, host: str, port: int, tls: ssl.SSLContext | None, max_line_bytes: int
    ) -> _Wire:
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                # The reader stops reading at twice the limit: what waits there has a bound too.
                return cls(
                    *await asyncio.open_connection(host, port, ssl=tls, limit=max_line_bytes)
                )
        except TimeoutError:
            raise Trouble(f"{host}:{port} does not answer") from None
        except OSError as error:
            raise Trouble(f"{host}:{port} can't be reached: {error}") from None

    async def line(self, timeout_s: float) -> bytes | None:
        """The next line, or None where there is none in time; then nothing of it is lost."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._reader.readuntil(b"\n")
        except TimeoutError:
            return None
        except asyncio.IncompleteReadError as cut:
            where = "in the middle of a line" if cut.partial else "after a line"
            raise Trouble(f"the connection was closed {where}") from None
        except asyncio.LimitOverrunError:
            raise Trouble("a line is longer than `max_line_bytes`", Remedy.LATER) from None
        except OSError as error:
            raise Trouble(f"the connection was lost: {error}") from None

    def send(self, message: msgspec.Struct) -> None:
        self._writer.write(msgspec.json.encode(message) + b"\r\n")

    def close(self) -> None:
        # Not gracefully: the other side may be silent for ever.
        self._writer.transport.abort()
