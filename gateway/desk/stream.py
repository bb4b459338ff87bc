"""The desk's own WebSocket: the fixtures that a trader's page shows, as they change.

Prices and statuses come from the hub's copies, as the players' do; liability is asked for once a
second, for the markets that somebody looks at. A page is told a few times a second at most, of each
market as it is by then: what happened in between is left out. There are few such sockets, so this
is aiohttp's plain way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import WSMsgType, web

from actors.errors import NoAnswer
from actors.market import Exposure
from actors.staff import Role
from gateway import api, frames, referrals, risk_api
from gateway.desk import api as desk_api
from gateway.desk import members
from gateway.desk.board import exposures_of, fixture_row, market_row, markets_shown
from gateway.http import MAX_BODY, problem_of
from gateway.outbox import Change
from gateway.problems import Problem
from gateway.push import Following
from ledger.desk_reads import DeskReads
from ledger.journal import JournalUnavailable

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

SUBPROTOCOL = "grandstand.desk.v1"
TURN_S = 0.25
"""Between two times that a page is told of changes."""
LOOK_S = 1.0
"""Between two looks at the liability of what is watched,"""
SOURCES_EVERY = 5
"""and as many of those between two looks at who prices it."""
RECHECK_S = 10.0
"""How often it is looked at whether the member may still be here."""
LOGIN_S = 10.0
"""How long a new socket has to say who it is."""
SEND_S = 10.0
"""A page that takes a frame for so long is given up."""
CLOSE_S = 1.0
"""And then has so long to hear that it is."""
HEARTBEAT_S = 30.0
MAX_SOCKETS = 200
"""Of members who have logged in."""
MAX_STRANGERS = 20
"""Of those who have not said yet who they are; one more, and the one that took longest goes."""

_encode = msgspec.json.Encoder().encode
_frame = msgspec.json.Decoder(desk_api.AnyDeskFrame)


class DeskStream:
    """One trader's page; a listener of the hub."""

    def __init__(self, services: Services, streams: DeskStreams, ws: web.WebSocketResponse) -> None:
        self.services = services
        self.following: dict[str, Following] = {}
        self.whole = False
        self._streams = streams
        self._ws = ws
        self._token = ""
        self._dirty: set[str] = set()
        self._changed = asyncio.Event()
        self._told: dict[str, bytes] = {}
        """What was last told of each market, by its id, and of each fixture without markets."""
        self._referrals: referrals.Waiting | None = None
        """Those that were told last."""

    # A listener of the hub: what it says in full is of no use here, only that it says something

    def snapshot(self, topic: str, frame: bytes) -> None:
        self.touch(topic)

    def changes(self, topic: str, changes: list[Change], frames: bytes) -> None:
        self.touch(topic)

    def flush(self) -> None:
        pass

    def frame(self, frame: bytes) -> None:
        pass

    def touch(self, fixture_id: str) -> None:
        """Something of the fixture has changed."""
        self._dirty.add(fixture_id)
        self._changed.set()

    # Its life

    async def run(self) -> None:
        """Until the socket is closed, by either side."""
        await self._log_in()
        self._streams.enter(self)
        telling = asyncio.create_task(self._tell_forever())
        checking = asyncio.create_task(self._check_forever())
        try:
            async for message in self._ws:
                if message.type is not WSMsgType.TEXT:
                    break
                await self._hear(message.data)
        finally:
            for task in (telling, checking):
                task.cancel()
            await asyncio.gather(telling, checking, return_exceptions=True)
            self._watch_none()

    async def _log_in(self) -> None:
        async with asyncio.timeout(LOGIN_S):
            message = await self._ws.receive()
        said = _frame.decode(message.data) if message.type is WSMsgType.TEXT else None
        if not isinstance(said, desk_api.DeskLogin):
            raise Problem("unauthenticated", "Send a login frame first.")
        staff = await members.enter(self.services, said.token, Role.VIEWER)
        self._token = said.token
        await self._say(desk_api.DeskWelcome(staff.login, staff.role))

    async def _hear(self, text: str) -> None:
        said = _frame.decode(text)
        if isinstance(said, desk_api.Watch):
            await self._watch(said)

    async def _watch(self, said: desk_api.Watch) -> None:
        hub = self.services.hub
        wanted = list(dict.fromkeys(said.fixtures))
        for fixture_id in set(self.following) - set(wanted):
            hub.unfollow(self.following.pop(fixture_id), self)
        new = [fixture_id for fixture_id in wanted if fixture_id not in self.following]
        found = await asyncio.gather(*(hub.follow(one) for one in new), return_exceptions=True)
        self.whole = said.whole
        self._told.clear()
        for fixture_id, one in zip(new, found, strict=True):
            if isinstance(one, Following):
                self.following[fixture_id] = one
                one.listeners.add(self)
        self._streams.look_soon()
        for fixture_id in self.following:
            self.touch(fixture_id)

    def _watch_none(self) -> None:
        for following in self.following.values():
            self.services.hub.unfollow(following, self)
        self.following.clear()

    async def _check_forever(self) -> None:
        """Close when the member may not be here any more."""
        while True:
            await asyncio.sleep(RECHECK_S)
            try:
                await members.enter(self.services, self._token, Role.VIEWER)
            except Problem as problem:
                await self.refuse(problem)
                return
            except Exception as error:
                log.warning("member_not_known", why=repr(error))

    # Telling

    async def _tell_forever(self) -> None:
        """Whoever can't be told any more is let go: he would take what he has for what is so."""
        try:
            await self._tell_what_changes()
        except Exception as error:
            problem_of(error, "desk stream")
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(CLOSE_S):
                    await self._ws.close(code=1011)
            # Who does not read does not hear that either.
            self.abort()

    def abort(self) -> None:
        """End the connection without a word."""
        if self._ws._req is not None and self._ws._req.transport is not None:
            self._ws._req.transport.abort()

    async def _tell_what_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            dirty, self._dirty = self._dirty, set()
            await self._tell_referrals()
            for fixture_id in dirty:
                following = self.following.get(fixture_id)
                if following is not None:
                    await self._tell(following)
            await asyncio.sleep(TURN_S)

    async def _tell_referrals(self) -> None:
        waiting = self._streams.referrals
        if waiting is not None and waiting != self._referrals:
            self._referrals = waiting
            now = api.time_text(self.services.clock.now_ms())
            told = risk_api.ReferralsNow(now, waiting.up_to_date, waiting.items)
            await self._say(told)

    def touch_referrals(self) -> None:
        """Others wait than were told last."""
        if self._streams.referrals != self._referrals:
            self._changed.set()

    async def _tell(self, following: Following) -> None:
        now_ms = self.services.clock.now_ms()
        streams, fixture = self._streams, following.fixture
        rows = []
        for market_id in markets_shown(fixture, following.markets, whole=self.whole):
            row = market_row(
                following.markets[market_id],
                streams.exposures.get(market_id),
                streams.sources,
                now_ms,
                whole=self.whole,
            )
            if self._is_new(market_id, row):
                rows.append(row)
        told = fixture_row(fixture, rows)
        of_itself = msgspec.structs.replace(told, seq=0, markets=[])
        if self._is_new(fixture.fixture_id, of_itself) or rows:
            await self._say(desk_api.FixtureNow(api.time_text(now_ms), told))

    def _is_new(self, name: str, row: msgspec.Struct) -> bool:
        encoded = _encode(row)
        if self._told.get(name) == encoded:
            return False
        self._told[name] = encoded
        return True

    async def _say(self, frame: desk_api.DeskTold) -> None:
        async with asyncio.timeout(SEND_S):
            await self._ws.send_str(_encode(frame).decode())

    async def refuse(self, problem: Problem) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):
            await self._say(desk_api.DeskProblem(problem.document()))
            async with asyncio.timeout(SEND_S):
                await self._ws.close(code=frames.NOT_LOGGED_IN)


class DeskStreams:
    """Every socket of the desk on this gateway, and what they look at together."""

    services: Services

    def __init__(self) -> None:
        self.exposures: dict[str, Exposure] = {}
        """By market, of what is watched; as of the last look."""
        self.sources: dict[str, str] = {}
        self.referrals: referrals.Waiting | None = None
        """Those that wait for a trader; as of the last look, if somebody was there for it."""
        self._streams: set[DeskStream] = set()
        """Of members who have logged in."""
        self._strangers: dict[DeskStream, None] = {}
        """All others, the oldest first."""
        self._looker: asyncio.Task[None] | None = None
        self._look_now = asyncio.Event()

    async def stop(self) -> None:
        if self._looker is not None:
            self._looker.cancel()
            await asyncio.gather(self._looker, return_exceptions=True)
        for stream in [*self._streams, *self._strangers]:
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(SEND_S):
                    await stream._ws.close(code=frames.DRAINING)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The life of one socket."""
        if len(self._streams) >= MAX_SOCKETS:
            raise Problem("too_many_sockets", retry_after_s=1)
        ws = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), heartbeat=HEARTBEAT_S, max_msg_size=MAX_BODY, compress=False
        )
        if not ws.can_prepare(request).ok:
            raise Problem("upgrade_required", headers={"Upgrade": "websocket"})
        await ws.prepare(request)
        if ws.ws_protocol != SUBPROTOCOL:
            await ws.close(code=frames.PROTOCOL, message=f"it is {SUBPROTOCOL}".encode())
            return ws
        stream = DeskStream(self.services, self, ws)
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.abort()
        self._strangers[stream] = None
        try:
            await stream.run()
        except Problem as problem:
            await stream.refuse(problem)
        except (msgspec.DecodeError, UnicodeError) as wrong:
            await ws.close(code=frames.BAD_FRAME, message=str(wrong).encode()[:100])
        except Exception as error:
            problem_of(error, "desk stream")
            await ws.close(code=1011)
        finally:
            self._strangers.pop(stream, None)
            self._streams.discard(stream)
        return ws

    def enter(self, stream: DeskStream) -> None:
        """A member has logged in there."""
        self._strangers.pop(stream, None)
        self._streams.add(stream)
        if self._looker is None:
            self._looker = asyncio.create_task(self._look_forever(), name="desk-looks")

    def look_soon(self) -> None:
        """Something is watched that was not before."""
        self._look_now.set()

    async def _look_forever(self) -> None:
        looks = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look_now.wait()
            soon = self._look_now.is_set()
            self._look_now.clear()
            began = time.monotonic()
            try:
                await self._look(sources_too=soon or not looks % SOURCES_EVERY)
            except (NoAnswer, JournalUnavailable) as error:
                log.warning("desk_not_looked", why=repr(error))
            except Exception:
                log.exception("desk_look_failed")
            looks += 1
            # With so much watched that it takes long, it takes no more than half of the time.
            await asyncio.sleep(time.monotonic() - began)

    async def _look(self, *, sources_too: bool) -> None:
        """Ask for the liability of all that is watched, and have its pages told."""
        watched: dict[str, list[str]] = {}
        for stream in self._streams:
            for fixture_id, following in stream.following.items():
                shown = markets_shown(following.fixture, following.markets, whole=stream.whole)
                if len(shown) > len(watched.get(fixture_id, ())):
                    watched[fixture_id] = shown
        market_ids = [market_id for shown in watched.values() for market_id in shown]
        self.exposures = await exposures_of(self.services, market_ids)
        if sources_too:
            self.sources = await DeskReads.beside(self.services.book).sources(market_ids)
        self.referrals = await referrals.waiting(self.services) if self._streams else None
        for stream in self._streams:
            stream.touch_referrals()
            for fixture_id in stream.following:
                stream.touch(fixture_id)
