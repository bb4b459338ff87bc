"""One WebSocket: what its client says, and what waits to be told to it.

A frame that can't be understood ends the socket; one that is understood and refused is answered
with a problem. Bets go through the same function as those over HTTP, several at a time, and each is
answered under the id of its frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, cast

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import UNSET

from actors.base import Reason
from actors.runtime.addresses import fixture_of
from gateway import api, frames
from gateway.bets import placed_bet, take_bet
from gateway.express import Connection
from gateway.http import check_key, decode, problem_of
from gateway.outbox import Change, Outbox
from gateway.problems import Problem
from gateway.push import Following
from gateway.services import Services
from gateway.sessions import Session
from gateway.socket import PING, Socket, json_frame, text_frame
from gateway.watching import Watching

log = structlog.get_logger()

HEARTBEAT_S = 30.0
"""A client that says nothing for so long is asked whether it is there,"""
SILENCE_S = 45.0
"""and after so long it is not."""
MAX_FOLLOWED = 500
"""Fixtures and single markets that one socket may follow."""
MAX_BETS = 64
"""Bets of one socket on their way; reading stops until one is answered."""
WRITE_BYTES = 64 * 1024
"""Of waiting frames that go in one write, if there are as many."""
STUCK_S = 20.0
"""A client that reads nothing for so long, while something waits for it, is given up."""
CLOSE_S = 2.0
"""How long a client has to answer a close."""
SWEEP_S = 1.0

_encode = msgspec.json.Encoder().encode
_client_frame = msgspec.json.Decoder(frames.AnyClientFrame)
_slip = msgspec.json.Decoder(api.Slip)


class Stream:
    """A connected client; a listener of the hub."""

    def __init__(self, services: Services, connection: Connection) -> None:
        self.services = services
        self.session: Session | None = None
        self.draining = False
        self.stuck_since: float | None = None
        """The client has not read what it was sent since then, and more waits."""
        self.quiet_s = 0.0
        """How long ago the client was last heard of, about."""
        self._ws: Socket
        self._connection = connection
        self._open = False
        self._unheard = 0
        """Text frames in the inbox: what comes now has to wait for its turn."""
        self._outbox = Outbox(encode=json_frame)
        self._flushing = False
        self._all_sent: asyncio.Event | None = None
        """Somebody waits until the outbox is empty."""
        self._following: dict[str, Following] = {}
        self._markets: dict[str, Following] = {}
        """Followed by themselves; each holds its fixture."""
        self._watching: Watching | None = None
        self._bets: set[asyncio.Task[None]] = set()
        self._closer: asyncio.Task[None] | None = None
        connection.on_writable = self.flush

    @property
    def queued(self) -> int:
        """Frames waiting to be sent."""
        return len(self._outbox)

    async def run(self, ws: Socket) -> None:
        """Until the socket is closed, by either side."""
        self._ws = ws
        self._open = True
        try:
            while True:
                message = await ws.receive()
                if message.type is WSMsgType.TEXT:
                    if self._closer is None:
                        await self._hear_in_turn(message.data)
                    self._unheard -= 1
                elif message.type is WSMsgType.BINARY:
                    self.close(frames.PROTOCOL, "frames are JSON text")
                else:
                    break
        finally:
            self._leave()
            if self._bets:
                # They are decided whether or not anybody hears of it.
                await asyncio.wait(self._bets)
            if self._all_sent is not None:
                self._all_sent.set()
            if self._closer is not None:
                await self._closer

    def _leave(self) -> None:
        for following in self._following.values():
            self.services.hub.unfollow(following, self)
        self._following.clear()
        for market_id in list(self._markets):
            self._leave_market(market_id)
        self.services.hub.exit(self)
        if self._watching is not None:
            self.services.players.unwatch(self._watching, self)
            self._watching = None

    def close(self, code: int, reason: str) -> None:
        """Begin to close; the first reason is the one that is told."""
        if self._closer is None:
            self.services.metrics.closed.labels(str(code)).inc()
            self._closer = asyncio.ensure_future(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        if code != frames.TOO_SLOW and len(self._outbox):
            # The client reads why before it reads that it is over.
            self._all_sent = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._all_sent.wait()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_S + 1):
                await self._ws.close(code=code, message=_short(reason), drain=False)
        # A client that does not read does not see the close either: let go of what it holds.
        transport = self._connection.transport
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

    def hear(self, text: bytes) -> bool:
        """Take a frame as it is read, if it is a bet and nothing is before it; must not raise."""
        if self._closer is not None:
            return True  # too late
        if self._open and not self._unheard and len(self._bets) < MAX_BETS:
            frame = self._decoded(text)
            if frame is None:
                return True
            if isinstance(frame, frames.PlaceBet):
                self._begin(frame)
                return True
        self._unheard += 1
        return False

    def _decoded(self, text: bytes) -> frames.ClientFrame | None:
        self.services.metrics.counts.received += 1
        try:
            frame: frames.ClientFrame = _client_frame.decode(text)
            return frame
        except (msgspec.DecodeError, UnicodeError) as wrong:
            self.close(frames.BAD_FRAME, str(wrong))
            return None

    def _begin(self, frame: frames.PlaceBet) -> None:
        task = self._connection._loop.create_task(self._bet(frame))
        self._bets.add(task)
        task.add_done_callback(self._bets.discard)

    async def _hear_in_turn(self, text: bytes) -> None:
        frame = self._decoded(text)
        if frame is None:
            return
        if isinstance(frame, frames.PlaceBet):
            while len(self._bets) >= MAX_BETS:
                await asyncio.wait(self._bets, return_when=asyncio.FIRST_COMPLETED)
            self._begin(frame)
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
            digest, sessions = self.session.digest, self.services.sessions
            self.session = sessions.recalled(digest) or await sessions.use(digest)

    async def _login(self, frame: frames.Login) -> None:
        if self.session is not None:
            raise Problem("already_logged_in")
        session = await self.services.sessions.find(frame.token)
        watching = await self.services.players.watch(session.player_id, self)
        try:
            # It may have been ended meanwhile, when nobody knew that it is this socket's.
            session = await self.services.sessions.use(session.digest)
        except BaseException:
            self.services.players.unwatch(watching, self)
            raise
        self.session, self._watching = session, watching
        self._say(frames.Ok(frame.id))
        watching.add(self)

    async def _subscribe(self, frame: frames.Subscribe) -> None:
        fixtures, markets = _named(frame)
        new = [fixture_id for fixture_id in fixtures if fixture_id not in self._following]
        new_markets = [market_id for market_id in markets if market_id not in self._markets]
        followed = len(self._following) + len(self._markets)
        if followed + len(new) + len(new_markets) > MAX_FOLLOWED:
            raise Problem("too_many_subscriptions", f"At most {MAX_FOLLOWED} at once.")
        found = await self._follow_all([*new, *(fixture_of(one) for one in new_markets)])
        self._check_markets(found, new_markets)
        self._following.update(zip(new, found, strict=False))
        self._markets.update(zip(new_markets, found[len(new) :], strict=True))
        self._say(frames.Ok(frame.id))
        if frame.fixtures is not UNSET and frames.EVERY_FIXTURE in frame.fixtures:
            self.services.hub.enter(self)
        # What is followed already is brought up to date again, if that is what is asked.
        for fixture_id in fixtures:
            self._following[fixture_id].add(self, frame.since.get(fixture_id))
        for market_id in markets:
            self._markets[market_id].add_to_market(market_id, self, frame.since.get(market_id))
        self.flush()

    def _check_markets(self, found: list[Following], market_ids: list[str]) -> None:
        """All of them are there, or nothing is followed. `found` ends with their fixtures."""
        of_markets = found[len(found) - len(market_ids) :]
        for market_id, following in zip(market_ids, of_markets, strict=True):
            if market_id not in following.markets:
                for one in found:
                    self.services.hub.unfollow(one)
                raise Problem(Reason.UNKNOWN_MARKET, facts={"market_id": market_id})

    async def _follow_all(self, fixture_ids: list[str]) -> list[Following]:
        """All of them, each as often as it is named, or none and the first problem."""
        hub = self.services.hub
        found = await asyncio.gather(
            *(hub.follow(fixture_id) for fixture_id in fixture_ids), return_exceptions=True
        )
        following = [one for one in found if isinstance(one, Following)]
        for fixture_id, one in zip(fixture_ids, found, strict=True):
            if isinstance(one, BaseException):
                for other in following:
                    hub.unfollow(other)
                if isinstance(one, Problem):
                    raise Problem(one.code, one.detail, facts={"fixture_id": fixture_id})
                raise one
        return following

    def _unsubscribe(self, frame: frames.Unsubscribe) -> None:
        fixtures, markets = _named(frame)
        if frame.fixtures is not UNSET and frames.EVERY_FIXTURE in frame.fixtures:
            self.services.hub.exit(self)
        for fixture_id in fixtures:
            if fixture_id in self._following:
                self.services.hub.unfollow(self._following.pop(fixture_id), self)
        for market_id in markets:
            if market_id in self._markets:
                self._leave_market(market_id)
        self._say(frames.Ok(frame.id))

    def _leave_market(self, market_id: str) -> None:
        following = self._markets.pop(market_id)
        following.remove_from_market(market_id, self)
        self.services.hub.unfollow(following)

    async def _bet(self, frame: frames.PlaceBet) -> None:
        try:
            if self.session is None:
                raise Problem("unauthenticated", "Send a login frame first.")
            if self.draining:
                raise Problem("unavailable", retry_after_s=1)
            await self._touch()
            key = check_key(frame.key)
            slip = decode(_slip, frame.bet)
            placed, is_new = await take_bet(self.services, self.session.player_id, slip, key)
            bet = _encode(placed_bet(placed, slip.odds))
            self.frame(
                text_frame(b'{"type":"bet","id":%d,"status":201,"bet":%b}' % (frame.id, bet))
            )
            if is_new and self._watching is not None:
                self._watching.placed_here(placed, bet)
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
        self.frame(json_frame(answer))

    def frame(self, frame: bytes) -> None:
        self._outbox.put(frame)
        self._queued()

    def snapshot(self, topic: str, frame: bytes) -> None:
        self._outbox.put_snapshot(topic, frame)
        self._queued()

    def changes(self, topic: str, changes: list[Change], frames: bytes) -> None:
        self._outbox.put_changes(topic, changes, frames)
        if self._outbox.too_full:
            self._give_up()

    def balance(self, frame: bytes) -> None:
        self._outbox.put_latest("balance", frame)
        self._queued()

    def _queued(self) -> None:
        if not self._flushing:
            # At the end of this turn of the loop, so that what is said in it goes together.
            self._flushing = True
            self._connection._loop.call_soon(self._flush_soon)
        if self._outbox.too_full:
            self._give_up()

    def _give_up(self) -> None:
        self.close(frames.TOO_SLOW, "too much waits to be read")

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Write what waits, for as long as the client reads it."""
        connection, outbox = self._connection, self._outbox
        while len(outbox) and not connection.writing_paused:
            transport = connection.transport
            if transport is None or transport.is_closing() or self._ws.closed:
                break  # the reader sees it too
            waiting = outbox.take_up_to(WRITE_BYTES)
            transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))
            self.services.metrics.counts.sent += len(waiting)
        self.stuck_since = None
        if len(outbox) and connection.transport is not None:
            self.stuck_since = time.monotonic()
        elif self._all_sent is not None:
            self._all_sent.set()

    def ping(self) -> None:
        transport = self._connection.transport
        if transport is not None and not self._ws.closed:
            transport.write(PING)

    def check(self, now: float) -> None:
        """Once every `SWEEP_S`: whether the client is still there, and reads what it is sent."""
        if self.stuck_since is not None and now - self.stuck_since > STUCK_S:
            self.close(frames.TOO_SLOW, "a frame could not be sent")
        if self._ws.inbox.heard:
            self._ws.inbox.heard, self.quiet_s = False, 0.0
            return
        before, self.quiet_s = self.quiet_s, self.quiet_s + SWEEP_S
        if self.quiet_s > SILENCE_S and self._connection.transport is not None:
            self._connection.transport.abort()
        elif before < HEARTBEAT_S <= self.quiet_s:
            self.ping()


def _named(frame: frames.Topics) -> tuple[list[str], list[str]]:
    """Fixtures and markets, each once."""
    fixtures = [] if frame.fixtures is UNSET else frame.fixtures
    markets = [] if frame.markets is UNSET else frame.markets
    named = [name for name in dict.fromkeys(fixtures) if name != frames.EVERY_FIXTURE]
    return named, list(dict.fromkeys(markets))


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
        stream = Stream(self.services, cast(Connection, request.protocol))
        ws = Socket(stream.hear, CLOSE_S)
        if not ws.can_prepare(request).ok and "upgrade" not in (
            request.headers.get("Connection", "").lower()
        ):
            raise Problem("upgrade_required", headers={"Upgrade": "websocket"})
        await ws.prepare(request)
        if ws.ws_protocol != frames.SUBPROTOCOL:
            message = f"the subprotocol is {frames.SUBPROTOCOL}".encode()
            await ws.close(code=frames.PROTOCOL, message=message)
            return ws
        self._streams.add(stream)
        try:
            await stream.run(ws)
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
                stream.check(now)
                if stream.session is not None and stream.session.expires_at_ms <= now_ms:
                    await self._look_again(stream, stream.session)

    async def _look_again(self, stream: Stream, session: Session) -> None:
        """The session may have been used elsewhere, and go on."""
        try:
            stream.session = await self.services.sessions.look(session.digest)
        except Problem:
            stream.close(frames.NOT_LOGGED_IN, "the session has ended")
        except Exception as error:
            log.warning("session_not_known", why=repr(error))
