"""What happens to fixtures and their markets, to all who follow them.

Shards publish what has become durable. A gateway listens to what its own sockets want, keeps a
copy of each such fixture by folding the same events that the actors fold, and encodes each change
once for all its sockets. What is published may be lost; `seq` tells, and the copy is then made
anew from the actors' answers.

Sockets are told of fixtures and markets in turns: at once after a quiet moment, else a little
later, with all that has come in the meantime in one write a socket. Where telling takes long the
turns are further apart, so that it never takes more than a share of the gateway's time, and prices
that changed several times between two of them are told once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from msgspec import UNSET

from actors.base import Reason
from actors.declaring import ResultDeclared, SelectionWithdrawn, SettlementCompleted
from actors.errors import NoAnswer
from actors.fixture import Fixture, FixtureCreated, FixtureEvent, PhaseChanged
from actors.market import Market, MarketEvent
from actors.outcomes import (
    PlacedVoided,
    ResultRolledBack,
    SelectionAdded,
    SelectionsDecided,
    VoidRolledBack,
)
from actors.runtime.announcer import LOBBY, fixture_channel
from actors.runtime.wire import decode_notice
from actors.trading import (
    MarketOpened,
    PricesChanged,
    PricesGivenBack,
    PricesHeld,
    StatusChanged,
)
from gateway import frames
from gateway.channels import Channel, Channels
from gateway.fixtures import (
    Parts,
    ask_parts,
    fixture_json,
    fixture_of_view,
    market_json,
    market_of_view,
    results_json,
    selection_json,
)
from gateway.outbox import Change, conflated
from gateway.problems import Problem
from gateway.socket import json_frame

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

RECENT = 256
"""Changes of a fixture kept for those who come back."""
MAX_HELD_BACK = 10_000
"""Changes that wait while a fixture is read anew."""
PATIENCE_S = 0.5
"""How long to wait for changes that the actors' answers say there were."""
FIRST_SYNC_S = 5.0
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)

TURN_S = 0.01
"""Between two turns in which sockets are told of changes, at least;"""
PAUSES = 4
"""as many times as long as the last turn took, if that is more;"""
MAX_TURN_S = 0.1
"""at most."""


BookEvent = FixtureEvent | MarketEvent
MarketDelta = (
    frames.Prices
    | frames.Status
    | frames.Withdrawn
    | frames.Results
    | frames.SelectionAdded
    | frames.Settled
)


def _together(changes: list[Change], conflate: bool) -> bytes:
    """The frames of changes, as one piece for every socket."""
    if not conflate or len(changes) == 1:
        return b"".join(change.frame for change in changes)
    return b"".join(
        one.frame if isinstance(one, Change) else json_frame(one) for one in conflated(changes)
    )


def _for_market(market_id: str, changes: list[Change], known: int) -> list[Change]:
    """Changes of one market for those who know it up to `known` and follow only that."""
    told = []
    for change in changes:
        assert isinstance(change.delta, MarketDelta)
        delta = msgspec.structs.replace(change.delta, from_seq=known + 1)
        prices = delta if isinstance(delta, frames.Prices) else None
        told.append(Change(market_id, change.seq, json_frame(delta), prices, delta))
        known = change.seq
    return told


class Listener(Protocol):
    """A socket. Nothing here waits for it."""

    def snapshot(self, topic: str, frame: bytes) -> None: ...

    def changes(self, topic: str, changes: list[Change], frames: bytes) -> None:
        """`frames` are the changes as they go over the wire, to be sent by the next `flush`."""
        ...

    def flush(self) -> None: ...

    def frame(self, frame: bytes) -> None: ...


class Following:
    """A copy of one fixture for those who follow it."""

    def __init__(self, hub: Hub, fixture_id: str) -> None:
        self.fixture_id = fixture_id
        self.listeners: set[Listener] = set()
        """Of the fixture and all its markets."""
        self.market_listeners: dict[str, set[Listener]] = {}
        """Of single markets, by market."""
        self.interested = 0
        """Listeners, and those who still wait to become one."""
        self.fixture = Fixture()
        self.markets: dict[str, Market] = {}
        self._hub = hub
        self._recent: deque[Change] = deque(maxlen=RECENT)
        self._untold: list[Change] = []
        self._untold_at_ms: list[int] = []
        self._seqs: dict[str, int] = {}
        """By market, the `seq` up to which those who follow it know all that happened to it."""
        self._held_back: dict[int, BookEvent] = {}
        self._arrived = asyncio.Event()
        self._opened = False
        self._synced = False
        self._again = False
        """Something was missed while the copy was being made."""
        self._snapshot: bytes | None = None
        self._channel: Channel | None = None
        self._syncing: asyncio.Task[None] | None = None
        self.opening: asyncio.Task[None] = asyncio.ensure_future(self._open())

    @property
    def channel_name(self) -> str:
        return fixture_channel(self.fixture_id)

    async def _open(self) -> None:
        async with asyncio.timeout(FIRST_SYNC_S):
            self._channel = await self._hub.channels.listen(
                self.channel_name, self._received, self._lost
            )
            await self._sync()
        self._opened = True
        if self._again:
            self._lost()

    async def close(self) -> None:
        for task in (self.opening, self._syncing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._channel is not None:
            await self._hub.channels.leave(self.channel_name, self._channel)

    def add(self, listener: Listener, since: int | None) -> None:
        """From here the listener gets every change; before that, what it has missed."""
        self._tell_now()
        self.listeners.add(listener)
        missed = self._since(since) if since is not None else None
        if missed is None:
            listener.snapshot(self.fixture_id, self.snapshot())
        elif missed:
            listener.changes(self.fixture_id, missed, b"".join(one.frame for one in missed))

    def add_to_market(self, market_id: str, listener: Listener, since: int | None) -> None:
        """The same for one market. Who has the whole fixture is told of the market with that.

        Raises the problem `unknown_market`.
        """
        if market_id not in self.markets:
            raise Problem(Reason.UNKNOWN_MARKET)
        self._tell_now()
        self.market_listeners.setdefault(market_id, set()).add(listener)
        if listener in self.listeners:
            return
        missed = self._since(since) if since is not None else None
        if since is None or missed is None:
            listener.snapshot(market_id, self._market_snapshot(market_id))
            return
        changes = [
            one
            for one in missed
            if isinstance(one.delta, MarketDelta) and one.delta.market_id == market_id
        ]
        if changes:
            told = _for_market(market_id, changes, since)
            listener.changes(market_id, told, b"".join(one.frame for one in told))

    def remove(self, listener: Listener) -> None:
        self.listeners.discard(listener)

    def remove_from_market(self, market_id: str, listener: Listener) -> None:
        listeners = self.market_listeners.get(market_id)
        if listeners is not None:
            listeners.discard(listener)
            if not listeners:
                del self.market_listeners[market_id]

    def _since(self, seq: int) -> list[Change] | None:
        """The changes after `seq`, or None where they are not all known any more."""
        if seq == self.fixture.seq:
            return []
        missed = [change for change in self._recent if change.seq > seq]
        if seq > self.fixture.seq or not missed or missed[0].seq != seq + 1:
            return None
        return missed

    def snapshot(self) -> bytes:
        if self._snapshot is None:
            fixture = fixture_json(self.fixture, self.markets)
            self._snapshot = json_frame(frames.Snapshot(fixture))
        return self._snapshot

    def _market_snapshot(self, market_id: str) -> bytes:
        market = market_json(self.markets[market_id])
        return json_frame(frames.MarketSnapshot(self.fixture_id, self.fixture.seq, market))

    # Telling

    def tell(self, conflate: bool = False) -> set[Listener]:
        """Tell what has not been told yet; who got anything has to be flushed."""
        if not self._untold:
            return set()
        changes, self._untold = self._untold, []
        told = set(self.listeners)
        if told:
            together = _together(changes, conflate)
            for listener in told:
                listener.changes(self.fixture_id, changes, together)
        told |= self._tell_markets(changes, conflate)
        for at_ms in self._untold_at_ms:
            self._hub.observe_delay(at_ms)
        self._untold_at_ms.clear()
        return told

    def _tell_now(self) -> None:
        for listener in self.tell():
            listener.flush()

    def _tell_markets(self, changes: list[Change], conflate: bool) -> set[Listener]:
        told: set[Listener] = set()
        by_market: dict[str, list[Change]] = {}
        for change in changes:
            if isinstance(change.delta, MarketDelta):
                by_market.setdefault(change.delta.market_id, []).append(change)
        for market_id, of_market in by_market.items():
            listeners = self.market_listeners.get(market_id, set()) - self.listeners
            if listeners:
                mine = _for_market(market_id, of_market, self._seqs.get(market_id, 0))
                together = _together(mine, conflate)
                for listener in listeners:
                    listener.changes(market_id, mine, together)
                told |= listeners
            self._seqs[market_id] = of_market[-1].seq
        return told

    # Keeping up

    def _received(self, payload: bytes) -> None:
        for event in decode_notice(payload).events:
            if isinstance(event, BookEvent) and event.fixture_id == self.fixture_id:
                self._take(event)

    def _take(self, event: BookEvent) -> None:
        if not self._synced:
            if len(self._held_back) < MAX_HELD_BACK:
                self._held_back[event.seq] = event
            self._arrived.set()
        elif event.seq == self.fixture.seq + 1:
            self._pass_on(event)
        elif event.seq > self.fixture.seq:
            self._held_back[event.seq] = event
            self._lost()

    def _pass_on(self, event: BookEvent) -> None:
        self._fold(event)
        delta = delta_of(event, self.markets)
        if delta is None:
            return
        prices = delta if isinstance(delta, frames.Prices) else None
        change = Change(self.fixture_id, event.seq, json_frame(delta), prices, delta)
        self._recent.append(change)
        if not self._untold:
            self._hub.has_news(self)
        self._untold.append(change)
        self._untold_at_ms.append(event.at_ms)

    def _fold(self, event: BookEvent) -> None:
        """Apply the event to the copy, as it was applied to the actors."""
        self._snapshot = None
        if isinstance(event, FixtureEvent):
            event.apply(self.fixture)
            return
        market = self.markets.get(event.market_id)
        if market is None:
            market = self.markets[event.market_id] = Market()
        event.apply(market, self.fixture)

    def _lost(self) -> None:
        """Something was missed: read the fixture anew, and start everybody from there."""
        self._again = True
        self._synced = False
        if not self._opened or (self._syncing is not None and not self._syncing.done()):
            return
        self._syncing = asyncio.ensure_future(self._resync())

    async def _resync(self) -> None:
        self._hub.services.metrics.resyncs.inc()
        attempt = 0
        while self._again:
            self._again = False
            try:
                await self._sync()
                continue
            except (NoAnswer, Problem, OSError) as error:
                log.warning("resync_failed", fixture_id=self.fixture_id, why=repr(error))
            self._again = True
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1

    async def _sync(self) -> None:
        """Make the copy anew.

        The actors answer one after the other while the fixture goes on changing, so the answers
        may be of different moments. The changes between the earliest and the latest of them are
        published, or were while we asked; with those every part is brought to the same moment.
        """
        while True:
            parts = await ask_parts(self._hub.services, self.fixture_id)
            if await self._has_between(parts.lowest, parts.highest):
                break
        self._tell_now()
        self._put_together(parts)
        for listener in self.listeners:
            listener.snapshot(self.fixture_id, self.snapshot())
        for market_id, listeners in self.market_listeners.items():
            if listeners - self.listeners and market_id in self.markets:
                frame = self._market_snapshot(market_id)
                for listener in listeners - self.listeners:
                    listener.snapshot(market_id, frame)
        self._synced = True
        held_back, self._held_back = self._held_back, {}
        for seq in sorted(held_back):
            self._take(held_back[seq])

    async def _has_between(self, lowest: int, highest: int) -> bool:
        """Whether every change above `lowest` up to `highest` is here, or comes soon."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while any(seq not in self._held_back for seq in range(lowest + 1, highest + 1)):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def _put_together(self, parts: Parts) -> None:
        self.fixture = fixture_of_view(parts.fixture)
        now_ms = self._hub.services.clock.now_ms()
        self.markets = {one.market_id: market_of_view(one, now_ms) for one in parts.markets}
        as_of = {market.market_id: market.seq for market in parts.markets}
        for seq in range(parts.lowest + 1, parts.highest + 1):
            event = self._held_back[seq]
            part_seq = (
                as_of.get(event.market_id, 0)
                if isinstance(event, MarketEvent)
                else parts.fixture.seq
            )
            if seq > part_seq:
                self._fold(event)
        self.fixture.seq = parts.highest
        self._seqs = dict.fromkeys(self.markets, parts.highest)
        self._recent.clear()
        self._snapshot = None


class Hub:
    """All that this gateway's sockets watch."""

    services: Services

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self._fixtures: dict[str, Following] = {}
        self._lobby: set[Listener] = set()
        self._lobby_channel: Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._news: set[Following] = set()
        """Those with something untold."""
        self._telling: asyncio.Handle | None = None
        self._tell_at = 0.0
        """By the loop's clock: not before then is anybody told of changes again."""
        self._pause_s = TURN_S

    def observe_delay(self, at_ms: int) -> None:
        delay_ms = max(0, self.services.clock.now_ms() - at_ms)
        self.services.metrics.push_delay.observe(delay_ms / 1000)

    @property
    def followed(self) -> int:
        return len(self._fixtures)

    async def start(self) -> None:
        self._lobby_channel = await self.channels.listen(LOBBY, self._heard, lambda: None)

    def has_news(self, following: Following) -> None:
        """Its listeners will be told in the next turn."""
        self._news.add(following)
        if self._telling is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._tell_at:
                self._telling = loop.call_soon(self._tell)
            else:
                self._telling = loop.call_at(self._tell_at, self._tell)

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._telling = None
        news, self._news = self._news, set()
        listeners: set[Listener] = set()
        for following in news:
            listeners |= following.tell(conflate=self._pause_s > TURN_S)
        for listener in listeners:
            listener.flush()
        ended = time.monotonic()
        self._pause_s = min(max(TURN_S, (ended - began) * PAUSES), MAX_TURN_S)
        self._tell_at = ended + self._pause_s

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        for following in self._fixtures.values():
            await following.close()
        self._fixtures.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    # Fixtures

    async def follow(self, fixture_id: str) -> Following:
        """The up-to-date copy of a fixture, to be given back with `unfollow`.

        Raises the problem `unknown_fixture`, `NoAnswer` of the actors, or `TimeoutError`.
        """
        following = self._fixtures.get(fixture_id)
        if following is None:
            following = self._fixtures[fixture_id] = Following(self, fixture_id)
        following.interested += 1
        try:
            await asyncio.shield(following.opening)
        except BaseException:
            self.unfollow(following)
            raise
        return following

    def unfollow(self, following: Following, listener: Listener | None = None) -> None:
        if listener is not None:
            following.remove(listener)
        following.interested -= 1
        if not following.interested:
            if self._fixtures.get(following.fixture_id) is following:
                del self._fixtures[following.fixture_id]
            self._close(following)

    # The lobby

    def enter(self, listener: Listener) -> None:
        self._lobby.add(listener)

    def exit(self, listener: Listener) -> None:
        self._lobby.discard(listener)

    def _heard(self, payload: bytes) -> None:
        if not self._lobby:
            return
        for event in decode_notice(payload).events:
            if isinstance(event, FixtureCreated):
                fixture = Fixture()
                event.apply(fixture)
                frame = json_frame(frames.FixtureAdded(fixture_json(fixture, {})))
                for listener in self._lobby:
                    listener.frame(frame)
            elif isinstance(event, PhaseChanged):
                frame = json_frame(
                    frames.PhaseDelta(event.fixture_id, event.seq, event.phase, event.score)
                )
                following = self._fixtures.get(event.fixture_id)
                followers = following.listeners if following else set()
                for listener in self._lobby - followers:
                    listener.frame(frame)

    def _close(self, watched: Following) -> None:
        task = asyncio.ensure_future(watched.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def delta_of(event: BookEvent, markets: dict[str, Market]) -> frames.Delta | None:
    """What followers are told of an event that was just folded in; None of a fixture's birth."""
    fixture_id, seq = event.fixture_id, event.seq
    match event:
        case StatusChanged() | PlacedVoided() | VoidRolledBack():
            # Which bets are void is told to their players; here nothing shows but the status.
            market = markets[event.market_id]
            return frames.Status(
                fixture_id,
                seq,
                event.market_id,
                market.status,
                market.in_play,
                market.bet_delay_ms,
            )
        case PricesChanged() | PricesHeld() | PricesGivenBack():
            return frames.Prices(fixture_id, seq, event.market_id, event.odds_version, event.odds)
        case PhaseChanged():
            return frames.PhaseDelta(fixture_id, seq, event.phase, event.score)
        case MarketOpened():
            return frames.MarketAdded(fixture_id, seq, market_json(markets[event.market_id]))
        case SelectionWithdrawn():
            return frames.Withdrawn(fixture_id, seq, event.market_id, event.selection_id)
        case ResultDeclared() | SelectionsDecided():
            status = markets[event.market_id].status
            return frames.Results(
                fixture_id,
                seq,
                event.market_id,
                results_json(event.results),
                status,
                places=results_json(event.places) or UNSET,
                starting_odds=event.starting_odds or UNSET,
            )
        case ResultRolledBack():
            status = markets[event.market_id].status
            results, undecided = results_json(event.results), event.undecided
            return frames.Results(
                fixture_id, seq, event.market_id, results, status, undecided=undecided
            )
        case SelectionAdded():
            selection = selection_json(markets[event.market_id], event.selection_id)
            return frames.SelectionAdded(fixture_id, seq, event.market_id, selection)
        case SettlementCompleted():
            status = markets[event.market_id].status
            return frames.Settled(fixture_id, seq, event.market_id, status)
        case _:
            return None
