"""What happens, to whoever watches: fixtures to all their followers, balances and bets to owners.

Shards publish what has become durable. A gateway listens to what its own sockets want, keeps a
copy of each such fixture by folding the same events that the actors fold, and encodes each change
once for all its sockets. What is published may be lost; `seq` tells, and the copy is then made
anew from the actors' answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from actors.bet import BetEvent, BetPlaced
from actors.errors import NoAnswer
from actors.fixture import Fixture, FixtureCreated, FixtureEvent, PhaseChanged
from actors.market import (
    Market,
    MarketEvent,
    MarketOpened,
    PricesChanged,
    ResultDeclared,
    SelectionWithdrawn,
    SettlementCompleted,
    StatusChanged,
)
from actors.runtime.wire import decode_notice
from actors.wallet import GetWallet, WalletEvent, WalletView
from gateway import api, frames
from gateway.bets import find_bet, placed_bet
from gateway.channels import Channel, Channels
from gateway.fixtures import (
    Parts,
    ask_parts,
    fixture_json,
    fixture_of_view,
    market_json,
    market_of_view,
    result_json,
)
from gateway.http import granted
from gateway.outbox import Change
from gateway.problems import Problem
from gateway.wallets import wallet_json

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

LOBBY = "fixtures"
RECENT = 256
"""Changes of a fixture kept for those who come back."""
MAX_HELD_BACK = 10_000
"""Changes that wait while a fixture is read anew."""
PATIENCE_S = 0.5
"""How long to wait for changes that the actors' answers say there were."""
FIRST_SYNC_S = 5.0
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
OWN_ATTEMPTS = 5
"""Times a player's balance and bets are asked for after a change, before it is left."""

_encode = msgspec.json.Encoder().encode

BookEvent = FixtureEvent | MarketEvent


class Listener(Protocol):
    """A socket. Nothing here waits for it."""

    def snapshot(self, fixture_id: str, frame: bytes) -> None: ...

    def change(self, change: Change) -> None: ...

    def frame(self, frame: bytes) -> None: ...

    def balance(self, frame: bytes) -> None: ...


class Following:
    """A copy of one fixture for those who follow it."""

    def __init__(self, hub: Hub, fixture_id: str) -> None:
        self.fixture_id = fixture_id
        self.listeners: set[Listener] = set()
        self.interested = 0
        """Listeners, and those who still wait to become one."""
        self.fixture = Fixture()
        self.markets: dict[str, Market] = {}
        self._hub = hub
        self._recent: deque[Change] = deque(maxlen=RECENT)
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
        return f"fixture/{self.fixture_id}"

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
        self.listeners.add(listener)
        missed = self._since(since) if since is not None else None
        if missed is None:
            listener.snapshot(self.fixture_id, self.snapshot())
            return
        for change in missed:
            listener.change(change)

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
            self._snapshot = _encode(frames.Snapshot(fixture))
        return self._snapshot

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
        change = Change(self.fixture_id, event.seq, _encode(delta), prices)
        self._recent.append(change)
        for listener in self.listeners:
            listener.change(change)
        self._hub.observe_delay(event.at_ms)

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
        self._put_together(parts)
        for listener in self.listeners:
            listener.snapshot(self.fixture_id, self.snapshot())
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
        self.markets = {market.market_id: market_of_view(market) for market in parts.markets}
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
        self._recent.clear()
        self._snapshot = None


class Watching:
    """One player's wallet and bets, for the sockets that the player has here."""

    def __init__(self, hub: Hub, player_id: str) -> None:
        self.player_id = player_id
        self.listeners: set[Listener] = set()
        self.interested = 0
        self._hub = hub
        self._bets: dict[str, None] = {}
        self._wallet: WalletView | None = None
        self._wallet_changed = False
        self._channel: Channel | None = None
        self._asking: asyncio.Task[None] | None = None
        self.opening: asyncio.Task[None] = asyncio.ensure_future(self._open())

    @property
    def channel_name(self) -> str:
        return f"player/{self._hub.services.licence.code}/{self.player_id}"

    async def _open(self) -> None:
        self._channel = await self._hub.channels.listen(
            self.channel_name, self._received, self.refresh
        )

    async def close(self) -> None:
        for task in (self.opening, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._channel is not None:
            await self._hub.channels.leave(self.channel_name, self._channel)

    def add(self, listener: Listener) -> None:
        self.listeners.add(listener)
        self.refresh()

    def refresh(self) -> None:
        """Tell the balance as it is now."""
        self._wallet_changed = True
        self._ask()

    def _received(self, payload: bytes) -> None:
        for event in decode_notice(payload).events:
            if isinstance(event, BetPlaced) and event.player_id == self.player_id:
                self._placed(event)
            elif isinstance(event, BetEvent) and event.player_id == self.player_id:
                self._bets[event.bet_id] = None
                self._wallet_changed = True
            elif isinstance(event, WalletEvent) and event.player_id == self.player_id:
                self._wallet_changed = True
        if self._wallet_changed:
            self._ask()

    def _placed(self, event: BetPlaced) -> None:
        """Of all that happens the most frequent, and it says everything: nobody has to be asked."""
        self._show_bet(placed_bet(event, event.legs[0].odds))
        wallet = self._wallet
        if wallet is None or event.wallet_version > wallet.version + 1:
            self._wallet_changed = True  # something was missed
        elif event.wallet_version == wallet.version + 1:
            self._wallet = msgspec.structs.replace(
                wallet,
                cash_minor=event.cash_after_minor,
                held_minor=event.held_after_minor,
                version=event.wallet_version,
            )
            self._show_balance(self._wallet)

    def _ask(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        """Ask the actors and tell the sockets, until nothing has changed meanwhile."""
        failures = 0
        while (self._wallet_changed or self._bets) and failures < OWN_ATTEMPTS:
            bets, self._bets = self._bets, {}
            self._wallet_changed = False
            try:
                for bet_id in bets:
                    await self._tell_bet(bet_id)
                await self._tell_balance()
            except (NoAnswer, Problem) as error:
                log.info("own_push_failed", why=repr(error))
                self._bets = {**bets, **self._bets}
                self._wallet_changed = True
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    async def _tell_bet(self, bet_id: str) -> None:
        self._show_bet(await find_bet(self._hub.services, self.player_id, bet_id))

    async def _tell_balance(self) -> None:
        services = self._hub.services
        question = GetWallet(self.player_id)
        answer = await services.router.ask(services.licence.code, self.player_id, question)
        wallet = granted(answer.reply, WalletView, services)
        if self._wallet is None or wallet.version >= self._wallet.version:
            self._wallet = wallet
        self._show_balance(self._wallet)

    def _show_bet(self, bet: api.Bet) -> None:
        frame = _encode(frames.BetUpdate(bet))
        for listener in self.listeners:
            listener.frame(frame)

    def _show_balance(self, wallet: WalletView) -> None:
        frame = _encode(frames.Balance(wallet_json(wallet)))
        for listener in self.listeners:
            listener.balance(frame)


class Hub:
    """All that this gateway's sockets watch."""

    services: Services

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self._fixtures: dict[str, Following] = {}
        self._players: dict[str, Watching] = {}
        self._lobby: set[Listener] = set()
        self._lobby_channel: Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def observe_delay(self, at_ms: int) -> None:
        delay_ms = max(0, self.services.clock.now_ms() - at_ms)
        self.services.metrics.push_delay.observe(delay_ms / 1000)

    @property
    def followed(self) -> int:
        return len(self._fixtures)

    async def start(self) -> None:
        self._lobby_channel = await self.channels.listen(LOBBY, self._news, lambda: None)

    async def stop(self) -> None:
        watching: list[Following | Watching] = [*self._fixtures.values(), *self._players.values()]
        for watched in watching:
            await watched.close()
        self._fixtures.clear()
        self._players.clear()
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
            following.listeners.discard(listener)
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

    def _news(self, payload: bytes) -> None:
        if not self._lobby:
            return
        for event in decode_notice(payload).events:
            if isinstance(event, FixtureCreated):
                fixture = Fixture()
                event.apply(fixture)
                frame = _encode(frames.NewFixture(fixture_json(fixture, {})))
                for listener in self._lobby:
                    listener.frame(frame)
            elif isinstance(event, PhaseChanged):
                frame = _encode(
                    frames.PhaseNow(event.fixture_id, event.seq, event.phase, event.score)
                )
                following = self._fixtures.get(event.fixture_id)
                followers = following.listeners if following else set()
                for listener in self._lobby - followers:
                    listener.frame(frame)

    # Players

    async def watch(self, player_id: str, listener: Listener) -> Watching:
        """Send the balance, now and whenever it changes, and bets as they change."""
        watching = self._players.get(player_id)
        if watching is None:
            watching = self._players[player_id] = Watching(self, player_id)
        watching.interested += 1
        try:
            await asyncio.shield(watching.opening)
        except BaseException:
            self.unwatch(watching, listener)
            raise
        return watching

    def unwatch(self, watching: Watching, listener: Listener) -> None:
        watching.listeners.discard(listener)
        watching.interested -= 1
        if not watching.interested:
            if self._players.get(watching.player_id) is watching:
                del self._players[watching.player_id]
            self._close(watching)

    def _close(self, watched: Following | Watching) -> None:
        task = asyncio.ensure_future(watched.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def delta_of(event: BookEvent, markets: dict[str, Market]) -> frames.Delta | None:
    """What followers are told of an event that was just folded in; None of a fixture's birth."""
    fixture_id, seq = event.fixture_id, event.seq
    match event:
        case PricesChanged():
            return frames.Prices(fixture_id, seq, event.market_id, event.odds_version, event.odds)
        case StatusChanged():
            return frames.Status(
                fixture_id, seq, event.market_id, event.status, event.in_play, event.bet_delay_ms
            )
        case PhaseChanged():
            return frames.PhaseNow(fixture_id, seq, event.phase, event.score)
        case MarketOpened():
            return frames.MarketAdded(fixture_id, seq, market_json(markets[event.market_id]))
        case SelectionWithdrawn():
            return frames.Withdrawn(fixture_id, seq, event.market_id, event.selection_id)
        case ResultDeclared():
            results = {name: result_json(result) for name, result in event.results.items()}
            status = markets[event.market_id].status
            return frames.Results(fixture_id, seq, event.market_id, results, status)
        case SettlementCompleted():
            status = markets[event.market_id].status
            return frames.Settled(fixture_id, seq, event.market_id, status)
        case _:
            return None
