"""One WebSocket: what its client says, and what waits to be told to it.

A frame that can't be understood ends the socket; one that is understood and refused is answered
with a problem. Bets go through the same function as those over HTTP, several at a time, and each is
answered under the id of its frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from gateway import api, frames
from gateway.bets import place_bet
from gateway.http import MAX_BODY, check_key, decode, problem_of
from gateway.outbox import Change, Outbox
from gateway.problems import Problem
from gateway.push import Following, Watching
from gateway.services import Services
from gateway.sessions import Session

log = structlog.get_logger()

HEARTBEAT_S = 30.0
MAX_FOLLOWED = 500
"""Fixtures that one socket may follow."""
MAX_BETS = 64
"""Bets of one socket on their way; reading stops until one is answered."""
STUCK_S = 20.0
"""A frame that can't be sent for so long ends the socket."""
CLOSE_S = 2.0
"""How long a client has to answer a close."""
SWEEP_S = 1.0

_encode = msgspec.json.Encoder().encode
_client_frame = msgspec.json.Decoder(frames.AnyClientFrame)
_slip = msgspec.json.Decoder(api.Slip)


class Stream:
    """A connected client; a listener of the hub."""

    def __init__(self, services: Services, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.services = services
        self.session: Session | None = None
        self.sending_since: float | None = None
        """A frame has been on its way to the network since then."""
        self.draining = False
        self._ws = ws
        self._request = request
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._following: dict[str, Following] = {}
        self._watching: Watching | None = None
        self._bets: set[asyncio.Task[None]] = set()
        self._closer: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Frames waiting to be sent."""
        return len(self._outbox)

    async def run(self) -> None:
        """Until the socket is closed, by either side."""
        writer = asyncio.create_task(self._write())
        try:
            while True:
                message = await self._ws.receive()
                if self._closer is not None and message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue  # too late
                if message.type is WSMsgType.TEXT:
                    self.services.metrics.received.inc()
                    await self._hear(message.data)
                elif message.type is WSMsgType.BINARY:
                    self.close(frames.PROTOCOL, "frames are JSON text")
                else:
                    break
        finally:
            self._leave()
            if self._bets:
                # They are decided whether or not anybody hears of it.
                await asyncio.wait(self._bets)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            if self._closer is not None:
                await self._closer

    def _leave(self) -> None:
        for following in self._following.values():
            self.services.hub.unfollow(following, self)
        self._following.clear()
        self.services.hub.exit(self)
        if self._watching is not None:
            self.services.hub.unwatch(self._watching, self)
            self._watching = None

    def close(self, code: int, reason: str) -> None:
        """Begin to close; the first reason is the one that is told."""
        if self._closer is None:
            self.services.metrics.closed.labels(str(code)).inc()
            self._closer = asyncio.ensure_future(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        if code != frames.TOO_SLOW:
            # The client reads why before it reads that it is over.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._all_sent.wait()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_S + 1):
                await self._ws.close(code=code, message=_short(reason), drain=False)
        # A client that does not read does not see the close either: let go of what it holds.
        transport = self._request.transport
        if transport is not None and code == frames.TOO_SLOW:
            transport.abort()

    async def drain(self, timeout_s: float) -> None:
        """Take no more bets, answer those on their way, say goodbye."""
        self.draining = True
        if self._bets:
            await asyncio.wait(self._bets, timeout=timeout_s)
        self.close(frames.DRAINING, "the server is being drained: connect again")
        assert self._closer is not None
        await self._closer

    # What the client says

    async def _hear(self, text: str) -> None:
        try:
            frame = _client_frame.decode(text)
        except (msgspec.DecodeError, UnicodeError) as wrong:
            self.close(frames.BAD_FRAME, str(wrong))
            return
        if isinstance(frame, frames.PlaceBet):
            while len(self._bets) >= MAX_BETS:
                await asyncio.wait(self._bets, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._bet(frame))
            self._bets.add(task)
            task.add_done_callback(self._bets.discard)
            return
        try:
            await self._touch()
            match frame:
                case frames.Login():
                    await self._login(frame)
                case frames.Subscribe():
                    await self._subscribe(frame)
                case frames.Unsubscribe():
                    self._unsubscribe(frame)
                case frames.Ping():
                    self._say(frames.Pong(frame.id))
        except Exception as error:
            self._refuse(frame, error)

    async def _touch(self) -> None:
        """Whatever is said keeps the session alive."""
        if self.session is not None:
            self.session = await self.services.sessions.use(self.session.digest)

    async def _login(self, frame: frames.Login) -> None:
        if self.session is not None:
            raise Problem("already_logged_in")
        session = await self.services.sessions.find(frame.token)
        watching = await self.services.hub.watch(session.player_id, self)
        self.session, self._watching = session, watching
        self._say(frames.Ok(frame.id))
        watching.add(self)

    async def _subscribe(self, frame: frames.Subscribe) -> None:
        wanted = [name for name in dict.fromkeys(frame.fixtures) if name != frames.EVERY_FIXTURE]
        new = [fixture_id for fixture_id in wanted if fixture_id not in self._following]
        if len(self._following) + len(new) > MAX_FOLLOWED:
            raise Problem("too_many_subscriptions", f"At most {MAX_FOLLOWED} at once.")
        following = await self._follow_all(new)
        self._say(frames.Ok(frame.id))
        if frames.EVERY_FIXTURE in frame.fixtures:
            self.services.hub.enter(self)
        for fixture_id in wanted:
            if fixture_id in following:
                self._following[fixture_id] = following[fixture_id]
            # One that is followed already is brought up to date again, if that is what is asked.
            self._following[fixture_id].add(self, frame.since.get(fixture_id))

    async def _follow_all(self, fixture_ids: list[str]) -> dict[str, Following]:
        """All of them, or none and the first problem."""
        hub = self.services.hub
        found = await asyncio.gather(
            *(hub.follow(fixture_id) for fixture_id in fixture_ids), return_exceptions=True
        )
        following = {
            fixture_id: one
            for fixture_id, one in zip(fixture_ids, found, strict=True)
            if isinstance(one, Following)
        }
        for fixture_id, one in zip(fixture_ids, found, strict=True):
            if isinstance(one, BaseException):
                for other in following.values():
                    hub.unfollow(other)
                if isinstance(one, Problem):
                    raise Problem(one.code, one.detail, facts={"fixture_id": fixture_id})
                raise one
        return following

    def _unsubscribe(self, frame: frames.Unsubscribe) -> None:
        for name in frame.fixtures:
            if name == frames.EVERY_FIXTURE:
                self.services.hub.exit(self)
            elif name in self._following:
                self.services.hub.unfollow(self._following.pop(name), self)
        self._say(frames.Ok(frame.id))

    async def _bet(self, frame: frames.PlaceBet) -> None:
        try:
            if self.session is None:
                raise Problem("unauthenticated", "Send a login frame first.")
            if self.draining:
                raise Problem("unavailable", retry_after_s=1)
            await self._touch()
            key = check_key(frame.key)
            slip = decode(_slip, frame.bet)
            bet = await place_bet(self.services, self.session.player_id, slip, key)
            self._say(frames.BetAnswer(frame.id, 201, bet))
        except Exception as error:
            self._refuse(frame, error)

    def _refuse(self, frame: frames.ClientFrame, error: Exception) -> None:
        problem, request_id = problem_of(error, f"stream {type(frame).__name__}")
        document = problem.document(request_id)
        if "Retry-After" in problem.headers:
            document["retry_after_s"] = int(problem.headers["Retry-After"])
        self._say(frames.ProblemFrame(frame.id, document))
        if problem.code == "unauthenticated" and (
            self.session is not None or isinstance(frame, frames.Login)
        ):
            self.close(frames.NOT_LOGGED_IN, problem.detail)

    # What the client is told

    def _say(self, answer: Any) -> None:
        self.frame(_encode(answer))

    def frame(self, frame: bytes) -> None:
        self._outbox.put(frame)
        self._queued()

    def snapshot(self, fixture_id: str, frame: bytes) -> None:
        self._outbox.put_snapshot(fixture_id, frame)
        self._queued()

    def change(self, change: Change) -> None:
        self._outbox.put_change(change)
        self._queued()

    def balance(self, frame: bytes) -> None:
        self._outbox.put_latest("balance", frame)
        self._queued()

    def _queued(self) -> None:
        self._all_sent.clear()
        self._wake.set()
        if self._outbox.too_full:
            self.close(frames.TOO_SLOW, "too much waits to be read")

    async def _write(self) -> None:
        try:
            while True:
                waiting = self._outbox.take()
                if not waiting:
                    self.sending_since = None
                    self._all_sent.set()
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                for frame in waiting:
                    self.sending_since = time.monotonic()
                    await self._ws.send_frame(frame, WSMsgType.TEXT)
                    self.services.metrics.sent.inc()
        except (ConnectionError, RuntimeError):
            pass  # the socket is closing; the reader sees it too
        finally:
            self.sending_since = None
            self._all_sent.set()


def _short(reason: str) -> bytes:
    """A close frame has room for 123 bytes, which have to be UTF-8."""
    return reason.encode("utf-8", "replace")[:120].decode("utf-8", "ignore").encode()


class Streams:
    """Every socket of this gateway."""

    services: Services

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._draining = False

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def queued(self) -> int:
        """Frames waiting in all of them."""
        return sum(stream.queued for stream in self._streams)

    def start(self) -> None:
        self.services.sessions.on_revoked = self._revoked
        self._sweeper = asyncio.create_task(self._sweep(), name="gateway-streams")

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    async def drain(self, timeout_s: float) -> None:
        self._draining = True
        await asyncio.gather(*(stream.drain(timeout_s) for stream in list(self._streams)))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The life of one socket."""
        if self._draining or len(self._streams) >= self.services.settings.max_sockets:
            raise Problem("too_many_sockets", retry_after_s=1)
        ws = web.WebSocketResponse(
            protocols=(frames.SUBPROTOCOL,),
            heartbeat=HEARTBEAT_S,
            timeout=CLOSE_S,
            # Each frame is encoded once for all sockets; compressed, it would be so for each.
            compress=False,
            max_msg_size=MAX_BODY,
        )
        if not ws.can_prepare(request).ok and "upgrade" not in (
            request.headers.get("Connection", "").lower()
        ):
            raise Problem("upgrade_required", headers={"Upgrade": "websocket"})
        await ws.prepare(request)
        if ws.ws_protocol != frames.SUBPROTOCOL:
            message = f"the subprotocol is {frames.SUBPROTOCOL}".encode()
            await ws.close(code=frames.PROTOCOL, message=message)
            return ws
        stream = Stream(self.services, ws, request)
        self._streams.add(stream)
        try:
            await stream.run()
        except Exception as error:
            # The handshake is long over: there is nobody to send a problem to.
            problem_of(error, "stream")
            await ws.close(code=WSCloseCode.INTERNAL_ERROR)
        finally:
            self._streams.discard(stream)
        return ws

    def _revoked(self, digest: str) -> None:
        for stream in self._streams:
            if stream.session is not None and stream.session.digest == digest:
                stream.close(frames.NOT_LOGGED_IN, "logged out")

    async def _sweep(self) -> None:
        """End sockets that take nothing any more, and those whose session has ended."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ms, now = self.services.clock.now_ms(), time.monotonic()
            for stream in list(self._streams):
                if stream.sending_since is not None and now - stream.sending_since > STUCK_S:
                    stream.close(frames.TOO_SLOW, "a frame could not be sent")
                elif stream.session is not None and stream.session.expires_at_ms <= now_ms:
                    await self._look_again(stream, stream.session)

    async def _look_again(self, stream: Stream, session: Session) -> None:
        """The session may have been used elsewhere, and go on."""
        try:
            stream.session = await self.services.sessions.look(session.digest)
        except Problem:
            stream.close(frames.NOT_LOGGED_IN, "the session has ended")
        except Exception as error:
            log.warning("session_not_known", why=repr(error))
