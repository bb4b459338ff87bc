"""A player's own balance and bets, to the sockets that the player has on this gateway.

Shards publish a block of players in one piece; a gateway listens to the partitions of those players
who have sockets here, and opens of each piece only what is theirs. What is published may be lost:
the wallet's version tells, and the actors are asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from actors.bet import BetEvent, BetPlaced
from actors.entries import AnyEvent
from actors.errors import NoAnswer
from actors.risk.referral import ReferralEvent
from actors.runtime.announcer import players_channel
from actors.runtime.wire import decode_event, decode_news
from actors.wallet import GetWallet, WalletEvent, WalletView
from gateway import api, frames
from gateway.bets import find_bet, placed_bet
from gateway.channels import Channel, Channels
from gateway.http import granted
from gateway.problems import Problem
from gateway.referrals import referral_json, view_of
from gateway.socket import json_frame, text_frame
from gateway.wallets import wallet_json

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

RECENT = 256
"""Bets of one player that are remembered as told."""
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
ATTEMPTS = 5
"""Times a player's balance and bets are asked for after a change, before it is left."""


class OwnListener(Protocol):
    """A socket of the player. Nothing here waits for it."""

    def frame(self, frame: bytes) -> None: ...

    def balance(self, frame: bytes) -> None: ...


class Watching:
    """One player's wallet and bets, for the sockets that the player has here."""

    def __init__(self, players: Players, player_id: str) -> None:
        self.player_id = player_id
        self.listeners: set[OwnListener] = set()
        self.interested = 0
        self._players = players
        self._bets: dict[str, None] = {}
        self._referrals: dict[str, None] = {}
        self._recent: dict[str, None] = {}
        """Bets of whose placing the sockets have been told."""
        self._wallet: WalletView | None = None
        self._wallet_changed = False
        self._neighbours: Neighbours | None = None
        self._asking: asyncio.Task[None] | None = None
        self.opening: asyncio.Task[None] = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        self._neighbours = await self._players.neighbours_of(self.player_id)
        await self._neighbours.enter(self)

    async def close(self) -> None:
        for task in (self.opening, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._neighbours is not None:
            await self._neighbours.leave(self)

    def add(self, listener: OwnListener) -> None:
        self.listeners.add(listener)
        self.refresh()

    def refresh(self) -> None:
        """Tell the balance as it is now."""
        self._wallet_changed = True
        self._ask()

    def received(self, event: AnyEvent) -> None:
        """Something has happened to the player."""
        if isinstance(event, BetPlaced):
            self._placed(event)
        elif isinstance(event, BetEvent):
            self._bets[event.bet_id] = None
            self._wallet_changed = True
        elif isinstance(event, ReferralEvent):
            self._referrals[event.referral_id] = None
        elif isinstance(event, WalletEvent):
            self._wallet_changed = True
        if self._wallet_changed or self._referrals:
            self._ask()

    def placed_here(self, event: BetPlaced, bet: bytes) -> None:
        """A bet was placed through this gateway just now: `bet` is what its player was answered.

        The notice of it comes later, and finds that it was told already. Should anything have
        happened in between, the notices tell it in their order.
        """
        wallet = self._wallet
        if wallet is not None and event.wallet_version == wallet.version + 1:
            self._told(event.bet_id)
            self._show(text_frame(b'{"type":"bet_update","bet":%b}' % bet))
            self._count(event, wallet)

    def _placed(self, event: BetPlaced) -> None:
        """Of all that happens the most frequent, and it says everything: nobody has to be asked."""
        if event.bet_id in self._recent:
            return
        self._told(event.bet_id)
        self._show_bet(placed_bet(event, event.legs[0].odds))
        wallet = self._wallet
        if wallet is None or event.wallet_version > wallet.version + 1:
            self._wallet_changed = True  # something was missed
        elif event.wallet_version == wallet.version + 1:
            self._count(event, wallet)

    def _told(self, bet_id: str) -> None:
        if len(self._recent) >= RECENT:
            del self._recent[next(iter(self._recent))]
        self._recent[bet_id] = None

    def _count(self, event: BetPlaced, wallet: WalletView) -> None:
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
        while (self._wallet_changed or self._bets or self._referrals) and failures < ATTEMPTS:
            bets, self._bets = self._bets, {}
            referrals, self._referrals = self._referrals, {}
            self._wallet_changed = False
            try:
                for bet_id in bets:
                    await self._tell_bet(bet_id)
                for referral_id in referrals:
                    await self._tell_referral(referral_id)
                await self._tell_balance()
            except (NoAnswer, Problem) as error:
                log.info("own_push_failed", why=repr(error))
                self._bets = {**bets, **self._bets}
                self._referrals = {**referrals, **self._referrals}
                self._wallet_changed = True
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    async def _tell_bet(self, bet_id: str) -> None:
        self._show_bet(await find_bet(self._players.services, self.player_id, bet_id))

    async def _tell_referral(self, referral_id: str) -> None:
        view = await view_of(self._players.services, self.player_id, referral_id)
        self._show(json_frame(frames.ReferralUpdate(referral_json(view))))

    async def _tell_balance(self) -> None:
        services = self._players.services
        question = GetWallet(self.player_id)
        answer = await services.router.ask(services.licence.code, self.player_id, question)
        wallet = granted(answer.reply, WalletView, services)
        if self._wallet is None or wallet.version >= self._wallet.version:
            self._wallet = wallet
        self._show_balance(self._wallet)

    def _show_bet(self, bet: api.Bet) -> None:
        self._show(json_frame(frames.BetUpdate(bet)))

    def _show(self, frame: bytes) -> None:
        for listener in self.listeners:
            listener.frame(frame)

    def _show_balance(self, wallet: WalletView) -> None:
        frame = json_frame(frames.Balance(wallet_json(wallet)))
        for listener in self.listeners:
            listener.balance(frame)


class Neighbours:
    """The watched players of one partition, and the channel that they share."""

    def __init__(self, channels: Channels, partition: str) -> None:
        self.watched: dict[str, Watching] = {}
        self._channels = channels
        self._name = players_channel(partition)
        self._channel: Channel | None = None
        self._changing = asyncio.Lock()

    async def enter(self, watching: Watching) -> None:
        """Return when whatever happens to the player from now on is heard.

        Raises `TimeoutError` when Valkey does not answer.
        """
        self.watched[watching.player_id] = watching
        async with self._changing:
            if self._channel is None:
                self._channel = await self._channels.listen(
                    self._name, self._received, self._missed
                )

    async def leave(self, watching: Watching) -> None:
        if self.watched.get(watching.player_id) is watching:
            del self.watched[watching.player_id]
        async with self._changing:
            if not self.watched and self._channel is not None:
                channel, self._channel = self._channel, None
                await self._channels.leave(self._name, channel)

    def _received(self, payload: bytes) -> None:
        for player_id, sealed in decode_news(payload).events:
            watching = self.watched.get(player_id)
            if watching is not None:
                watching.received(decode_event(sealed))

    def _missed(self) -> None:
        for watching in self.watched.values():
            watching.refresh()


class Players:
    """Every player who is watched here."""

    services: Services

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._watched: dict[str, Watching] = {}
        self._neighbours: dict[str, Neighbours] = {}
        """By partition. As many as there are, at most: they stay."""
        self._closing: set[asyncio.Task[None]] = set()

    async def neighbours_of(self, player_id: str) -> Neighbours:
        [partition] = await self.services.router.partitions(self.services.licence.code, [player_id])
        neighbours = self._neighbours.get(partition)
        if neighbours is None:
            neighbours = self._neighbours[partition] = Neighbours(self._channels, partition)
        return neighbours

    async def watch(self, player_id: str, listener: OwnListener) -> Watching:
        """Send the balance, now and whenever it changes, and bets as they change."""
        watching = self._watched.get(player_id)
        if watching is None:
            watching = self._watched[player_id] = Watching(self, player_id)
        watching.interested += 1
        try:
            await asyncio.shield(watching.opening)
        except BaseException:
            self.unwatch(watching, listener)
            raise
        return watching

    def unwatch(self, watching: Watching, listener: OwnListener) -> None:
        watching.listeners.discard(listener)
        watching.interested -= 1
        if not watching.interested:
            if self._watched.get(watching.player_id) is watching:
                del self._watched[watching.player_id]
            task = asyncio.ensure_future(watching.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        for watching in list(self._watched.values()):
            await watching.close()
        self._watched.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)
