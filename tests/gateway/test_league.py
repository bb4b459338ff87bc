"""A day of a league as UOF messages, with players betting on it: once well, once over a bad line.

Publisher, XML, session and commands are the real ones, and so are partitions, Postgres, projector
and settlement. What the bad line does not change is how any bet comes out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from actors.base import Command, Refused
from actors.bet import BetPlaced, BetState, BetView, GetBet, PriceChange
from actors.declaring import DeclareResult
from actors.fixture import ChangePhase, Phase
from actors.market import GetMarket, MarketStatus, MarketView
from actors.multiple import SlipPlaced
from actors.outcomes import RollBackResult, RollBackVoid, SettleSelections, VoidPlaced
from actors.placement import BetRequest, LiabilityNotKnown, place
from actors.player import RegisterPlayer
from actors.results import LOST, WON, Window
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.slip_placement import SlipRequest, place_slip
from actors.slips.kinds import Kind
from actors.slips.slip import Leg, Slip
from actors.trading import ChangePrices
from actors.wallet import CompleteDeposit, GetWallet, RequestDeposit, WalletView
from gateway.feeds.feed import FeedCommand, Step
from gateway.feeds.simulated import Board
from gateway.feeds.simulated import Settings as BoardSettings
from gateway.feeds.uof.descriptions import shipped
from gateway.feeds.uof.local import CALM, Faults, Local, Outage
from gateway.feeds.uof.session import Options, Session
from ledger.money import Money
from ledger.verify import verify
from tests.gateway.backend import Backend, until

T = 1_800_000_000_000
BOARD = BoardSettings(seed=11, fixtures=5, total=5)
BAD = Faults(
    seed=3,
    drop=0.03,
    duplicate=0.05,
    reorder=0.05,
    outages=(Outage(product=1, from_ms=400_000, until_ms=460_000),),
)
CASH_MINOR = 1_000_000
STAKE_MINOR = 500
EVER = Window(None, T + 10**12)
"""From the first bet to one that nobody will make, by whatever clock."""
AT_MOST = 250
"""Tries to place one bet: a market may be suspended for a while."""


def with_second_thoughts(steps: Iterator[Step]) -> Iterator[Step]:
    """The same day, on which results come in part and wrong first, are taken back, and bets of a
    time are void, for good or not."""
    decided = 0
    for step in steps:
        for command in step.commands:
            if isinstance(command, DeclareResult) and not command.cancelled:
                decided += 1
                for commands in _second_thoughts(command, decided):
                    yield Step(step.at_ms, commands)
            else:
                yield Step(step.at_ms, (command,))


def _second_thoughts(right: DeclareResult, number: int) -> Iterator[tuple[FeedCommand, ...]]:
    on = (right.fixture_id, right.market_id)
    one = next(iter(right.results))
    wrong = {one: LOST if right.results[one] == WON else WON}
    other = DeclareResult(*on, right.results | wrong)
    void, undone = VoidPlaced(*on, EVER), RollBackVoid(*on, EVER)
    kinds: list[tuple[FeedCommand, ...]] = [
        (SettleSelections(*on, wrong), RollBackResult(*on), right),
        (void, right),
        (right, RollBackResult(*on), void, other, undone, right),
        (DeclareResult(*on, {}, True), RollBackResult(*on), right),
        (right,),
    ]
    # One at a time, as they would be said.
    yield from ((command,) for command in kinds[number % len(kinds)])


class Day:
    """One run: what the feed says goes to the book, and players bet as soon as they can."""

    def __init__(self, backend: Backend, run: str, faults: Faults) -> None:
        self.cluster = backend.cluster
        self.run, self.faults = run, faults
        self.players = [f"{run}-player-{number}" for number in range(4)]
        self.phases: dict[str, Phase] = {}
        self.wanted: dict[str, int] = {}
        """Markets with prices on which somebody wants to bet, and how often it was tried."""
        self.bets: dict[str, Any] = {}
        """Accepted bets by a name that is the same in both runs."""
        self.said: set[type] = set()

    async def play(self) -> None:
        for player in self.players:
            await self._open(player)
        board = Board(BOARD, self.run, T)
        session = Session(Options(), shipped(), self.run)
        source = Local(with_second_thoughts(board.play()), session, T, self.faults)
        number = 0
        for _, commands in source.play():
            for command in commands:
                number += 1
                self.said.add(type(command))
                await self._say(command, number)
            for market_id in list(self.wanted):
                await self._bet_on(market_id)

    async def _open(self, player: str) -> None:
        born = dt.date(1990, 1, 1)
        register = RegisterPlayer(player, "gb", "P", f"{player}@example.com", born, "GBP")
        money = Money(CASH_MINOR, "GBP")
        for key, command in (
            ("r", register),
            ("d", RequestDeposit(player, "x", money, "bogus", "card")),
            ("c", CompleteDeposit(player, "x", "ref")),
        ):
            await self.cluster.router.ask("gb", player, command, key=key, fingerprint=b"f")

    async def _say(self, command: Any, number: int) -> None:
        key = "" if isinstance(command, ChangePrices) else f"{self.run}/{number}"
        asked = fingerprint(type(command).__name__, repr(command))
        assert isinstance(command, Command)
        await self.cluster.router.ask(
            BOOK,
            command.fixture_id,  # type: ignore[attr-defined]
            command,
            key=key,
            fingerprint=asked if key else b"",
            by="feed:uof",
        )
        if isinstance(command, ChangePhase):
            self.phases[command.fixture_id] = command.phase
        new = isinstance(command, ChangePrices) and command.market_id not in self.wanted
        if new and self._name(command.market_id) not in self.bets:
            self.wanted[command.market_id] = 0

    def _name(self, market_id: str) -> str:
        return market_id.replace(f"-{self.run}:", ":")

    async def _bet_on(self, market_id: str) -> None:
        """A single on the first two selections, before the match begins."""
        fixture_id = fixture_of(market_id)
        self.wanted[market_id] += 1
        before = self.phases.get(fixture_id, Phase.SCHEDULED) is Phase.SCHEDULED
        if not before or self.wanted[market_id] > AT_MOST:
            del self.wanted[market_id]
            return
        question = GetMarket(fixture_id, market_id)
        view = (await self.cluster.router.ask(BOOK, fixture_id, question)).reply
        assert isinstance(view, MarketView)
        if view.status is not MarketStatus.OPEN or view.in_play:
            return
        for selection in view.selections[:2]:
            if selection.odds:
                await self._single(view, selection.selection_id, selection.odds)
        if any(name.startswith(self._name(market_id)) for name in self.bets):
            self.wanted.pop(market_id)
            self.bets[self._name(market_id)] = None
            await self._double(view)

    async def _single(self, view: MarketView, selection_id: str, odds: int) -> None:
        name = f"{self._name(view.market_id)} {selection_id}"
        request = BetRequest(
            view.fixture_id,
            view.market_id,
            selection_id,
            Money(STAKE_MINOR, "GBP"),
            odds,
            PriceChange.ANY,
        )
        player = self._player(name)
        try:
            placed = await place(
                self.cluster.router,
                self.cluster.clock,
                request,
                bet_id=uuid4().hex,
                licence="gb",
                player_id=player,
                key=uuid4().hex,
                fingerprint=b"f",
            )
        except LiabilityNotKnown:
            return
        if isinstance(placed, BetPlaced):
            self.bets[name] = (placed.bet_id, player, placed.legs[0].odds)

    async def _double(self, view: MarketView) -> None:
        """The first selection here with the first of another match's market, where one is open."""
        first = view.selections[0]
        for other in list(self.wanted):
            if fixture_of(other) == view.fixture_id:
                continue
            question = GetMarket(fixture_of(other), other)
            there = (await self.cluster.router.ask(BOOK, fixture_of(other), question)).reply
            name = f"double {self._name(view.market_id)} {self._name(other)}"
            if there.status is MarketStatus.OPEN and there.selections[0].odds and first.odds:
                legs = tuple(
                    Leg(one.fixture_id, one.market_id, leg.selection_id, leg.odds)
                    for one, leg in ((view, first), (there, there.selections[0]))
                )
                slip = Slip(legs, Kind.DOUBLE, STAKE_MINOR)
                player = self._player(name)
                placed = await place_slip(
                    self.cluster.router,
                    self.cluster.clock,
                    SlipRequest(slip, "GBP", PriceChange.ANY),
                    bet_id=uuid4().hex,
                    licence="gb",
                    player_id=player,
                    key=uuid4().hex,
                    fingerprint=b"f",
                )
                if isinstance(placed, SlipPlaced):
                    odds = tuple(leg.odds for leg in placed.legs)
                    self.bets[name] = (placed.bet_id, player, odds)
                    return

    def _player(self, name: str) -> str:
        return self.players[sum(name.encode()) % len(self.players)]

    def placed(self) -> Iterator[tuple[str, tuple[str, str, Any]]]:
        return ((name, bet) for name, bet in self.bets.items() if bet)

    async def settled(self) -> dict[str, BetView]:
        """Every bet as it is when nothing is open any more."""
        views: dict[str, BetView] = {}

        async def all_settled() -> bool:
            if await self.cluster.unsettled():
                return False
            for name, (bet_id, player, _) in self.placed():
                if name not in views:
                    view = (
                        await self.cluster.router.ask("gb", player, GetBet(player, bet_id))
                    ).reply
                    if isinstance(view, Refused) or view.state is BetState.OPEN:
                        return False
                    views[name] = view
            return True

        await until(all_settled, "all bets are settled")
        return views

    async def cash(self) -> int:
        total = 0
        for player in self.players:
            view = (await self.cluster.router.ask("gb", player, GetWallet(player))).reply
            assert isinstance(view, WalletView)
            assert view.held_minor == 0
            total += view.cash_minor
        return total


@pytest.mark.timeout(400)
async def test_a_bad_line_changes_nothing_about_the_money(backend: Backend) -> None:
    calm, bad = Day(backend, "calm", CALM), Day(backend, "bad", BAD)
    for day in (calm, bad):
        await day.play()
    well, badly = await calm.settled(), await bad.settled()
    both = well.keys() & badly.keys()
    assert len(well) > 20
    # The match that begins at once has most markets, and over a bad line it is in play by then.
    assert len(both) > len(well) / 3
    assert any(name.startswith("double") for name in both)
    same_price = 0
    for day in (calm, bad):
        assert {SettleSelections, RollBackResult, VoidPlaced, RollBackVoid} <= day.said
    assert 1 < sum(view.state is BetState.VOID for view in well.values()) < len(well) / 2
    for name in both:
        one, other = well[name], badly[name]
        assert one.state is other.state, name
        if calm.bets[name][2] == bad.bets[name][2]:
            same_price += 1
            assert one.payout_minor == other.payout_minor, name
    assert same_price > len(both) / 3
    for day, views in ((calm, well), (bad, badly)):
        paid = sum(view.payout_minor - view.stake_minor for view in views.values())
        assert await day.cash() == len(day.players) * CASH_MINOR + paid

    async def caught_up() -> bool:
        for reads in backend.reads.values():
            if await reads.heads() != await reads.positions():
                return False
        return True

    await until(caught_up, "the ledgers have everything")
    for scope, pool in backend.pools.items():
        report = await verify(pool, scope)
        assert report.ok, report
