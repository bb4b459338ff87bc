"""Histories for the ledger: real actors decide, and blocks are cut from what they say.

No shard, no clock: a history is made of its seed alone, so that a failure can be made again.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from actors.base import Command, Event, Refused
from actors.bet import Bet, BetPlaced, Leg, PlaceBet, SettleBet
from actors.declaring import (
    CompleteSettlement,
    DeclareResult,
    ResultDeclared,
    SelectionWithdrawn,
    WithdrawSelection,
)
from actors.entries import Entry, Opened, encode_entries
from actors.fixture import ChangePhase, CreateFixture, Fixture, Phase
from actors.market import Market, MarketStatus
from actors.outcomes import (
    AddSelection,
    PlacedVoided,
    ResultRolledBack,
    RollBackResult,
    RollBackVoid,
    SelectionsDecided,
    SettleSelections,
    VoidPlaced,
    VoidRolledBack,
)
from actors.player import ClaimEmail, Credential, Player, RecordLogin, RegisterPlayer
from actors.results import LOST, WON, Outcome, Result, Window
from actors.runtime.addresses import BOOK, fixture_of, partition_of, partitions_of
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from actors.wallet import (
    CompleteDeposit,
    CompleteWithdrawal,
    FailDeposit,
    FailWithdrawal,
    RequestDeposit,
    RequestWithdrawal,
    Wallet,
)
from ledger.blocks import EMPTY, Block, Head, seal
from ledger.money import Money

KINDS: dict[str, type] = {
    "player": Player,
    "credential": Credential,
    "wallet": Wallet,
    "bet": Bet,
    "fixture": Fixture,
    "market": Market,
}
START_MS = 1_700_000_000_000


class History:
    """The scopes `book` and `gb`, `partitions` of each, from the first block on."""

    def __init__(self, seed: int = 1, partitions: int = 2) -> None:
        self.random = random.Random(seed)
        self.partitions = partitions
        self.now_ms = START_MS
        self.actors: dict[str, Any] = {}
        self.bets: dict[str, BetPlaced] = {}
        self.players: list[str] = []
        self._heads: defaultdict[str, Head] = defaultdict(lambda: EMPTY)
        self._waiting: defaultdict[str, list[Entry]] = defaultdict(list)
        self._numbers = 0
        for scope in (BOOK, "gb"):
            for partition in partitions_of(scope, partitions):
                opened = Opened(self.now_ms, "shard")
                self._waiting[partition].append(Entry("", "", b"", self.now_ms, (opened,)))

    def tell(
        self, scope: str, routing_id: str, command: Command, *, key: str = "", by: str = ""
    ) -> Event:
        """Have it decided and applied; the entry waits for the next flush."""
        self.now_ms += self.random.randrange(1, 50)
        decided = command.decide(self.now_ms, *map(self.actor, command.cast()))
        events = decided if isinstance(decided, tuple) else (decided,)
        for event in events:
            event.apply(*map(self.actor, event.cast()))
        if key or not isinstance(events[-1], Refused):
            owner = command.cast()[0]
            partition = partition_of(scope, routing_id, self.partitions)
            entry = Entry(owner, key, b"\x01" * 16, self.now_ms, events, by)  # type: ignore[arg-type]
            self._waiting[partition].append(entry)
        return events[-1]

    def actor(self, address: str) -> Any:
        if address not in self.actors:
            self.actors[address] = KINDS[address.split("/")[0]]()
        return self.actors[address]

    def flush(self, scope: str) -> list[Block]:
        """The next block of each partition of the scope that has something to say."""
        blocks = []
        for partition in partitions_of(scope, self.partitions):
            entries = self._waiting.pop(partition, [])
            if entries:
                body = encode_entries(entries)
                block = seal(partition, self._heads[partition], self.now_ms, len(entries), body)
                self._heads[partition] = block.head
                blocks.append(block)
        return blocks

    def name(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}-{self._numbers:05}"

    # Players

    def register(self) -> str:
        player_id = self.name("player")
        email, birth = f"{player_id}@example.com", dt.date(1990, 1, 31)
        claim = ClaimEmail(email, player_id, "$argon2id$secret", birth, 18)
        self.tell("gb", email, claim, key=self.name("key"))
        player = RegisterPlayer(player_id, "gb", f"Ann {player_id}", email, birth, "GBP")
        self.tell("gb", player_id, player)
        self.tell("gb", email, RecordLogin(email))
        self.players.append(player_id)
        return player_id

    def deposit(self, player_id: str, minor: int, fate: str = "completed") -> str:
        payment_id, amount = self.name("payment"), Money(minor, "GBP")
        request = RequestDeposit(player_id, payment_id, amount, "bogus", "card")
        self.tell("gb", player_id, request, key=self.name("key"))
        if fate == "completed":
            self.tell("gb", player_id, CompleteDeposit(player_id, payment_id, "ref"), by="bogus")
        elif fate == "failed":
            self.tell("gb", player_id, FailDeposit(player_id, payment_id, "no"), by="bogus")
        return payment_id

    def withdraw(self, player_id: str, minor: int, fate: str = "completed") -> str:
        payment_id, amount = self.name("payment"), Money(minor, "GBP")
        request = RequestWithdrawal(player_id, payment_id, amount, "bogus", "card")
        if isinstance(self.tell("gb", player_id, request, key=self.name("key")), Refused):
            return payment_id
        if fate == "completed":
            self.tell("gb", player_id, CompleteWithdrawal(player_id, payment_id, "ref"))
        elif fate == "failed":
            self.tell("gb", player_id, FailWithdrawal(player_id, payment_id, "no"))
        return payment_id

    # The book

    def fixture(self, sport: str = "football", markets: int = 2, selections: int = 3) -> str:
        fixture_id = self.name("fixture")
        starts_at_ms = self.now_ms + self.random.randrange(10**8)
        create = CreateFixture(fixture_id, sport, "Cup", f"Game {fixture_id}", starts_at_ms)
        self.tell(BOOK, fixture_id, create, key=self.name("key"), by="desk")
        for number in range(markets):
            market_id = f"{fixture_id}:m{number}"
            names = {f"s{n}": f"Selection {n}" for n in range(selections)}
            self.book(OpenMarket(fixture_id, market_id, f"Market {number}", "winner", "GBP", names))
            self.price(market_id)
        return fixture_id

    def book(self, command: Any) -> Event:
        return self.tell(BOOK, command.fixture_id, command, by="desk")

    def price(self, market_id: str) -> None:
        odds = {
            selection_id: self.random.randrange(10_100, 90_000, 100)
            for selection_id, selection in self.actor(f"market/{market_id}").selections.items()
            if not selection.withdrawn
        }
        self.book(ChangePrices(fixture_of(market_id), market_id, odds))

    def settle(self, market_id: str, results: dict[str, Result], cancelled: bool = False) -> None:
        """Declare, settle every bet whose result is new and say so."""
        fixture_id = fixture_of(market_id)
        declared = self.book(DeclareResult(fixture_id, market_id, results, cancelled))
        assert isinstance(declared, ResultDeclared)
        self.settle_bets(market_id, declared.results, declared.version)

    def undo(self, command: Any) -> None:
        """Or do by halves, as `actors.outcomes` has it; and settle every bet by that."""
        changed = self.book(command)
        selections: Iterable[str] = self.actor(f"market/{command.market_id}").selections
        if isinstance(changed, SelectionsDecided):
            selections = changed.results
        elif isinstance(changed, ResultRolledBack):
            selections = changed.undecided
        else:
            assert isinstance(changed, PlacedVoided | VoidRolledBack)
        self.settle_bets(command.market_id, selections, changed.version)

    def withdraw_selection(self, market_id: str, selection_id: str) -> None:
        """Remove a runner, and give the stakes back."""
        withdrawn = self.book(WithdrawSelection(fixture_of(market_id), market_id, selection_id))
        assert isinstance(withdrawn, SelectionWithdrawn)
        self.settle_bets(market_id, [selection_id], withdrawn.version)

    def settle_bets(self, market_id: str, selections: Iterable[str], version: int) -> None:
        market = self.actor(f"market/{market_id}")
        by = {selection_id: market.settling(selection_id, version) for selection_id in selections}
        for placed in self.bets.values():
            selection_id = placed.legs[0].selection_id
            if placed.legs[0].market_id == market_id and selection_id in by:
                on = by[selection_id]
                settle = SettleBet(
                    placed.player_id,
                    placed.bet_id,
                    market_id,
                    selection_id,
                    on.result,
                    version,
                    on.off,
                    on.windows,
                )
                self.tell("gb", placed.player_id, settle, by="settlement")
        self.book(CompleteSettlement(fixture_of(market_id), market_id, version))

    # Bets

    def bet(self, player_id: str, market_id: str, selection_id: str, minor: int) -> str:
        market = self.actor(f"market/{market_id}")
        selection, fixture_id = market.selections[selection_id], fixture_of(market_id)
        leg = Leg(
            fixture_id,
            market_id,
            selection_id,
            selection.odds,
            market.odds_version,
            f"Game {fixture_id}",
            market.name,
            selection.name,
        )
        bet_id = self.name("bet")
        place = PlaceBet(player_id, bet_id, Money(minor, "GBP"), (leg,), self.now_ms + 10_000)
        event = self.tell("gb", player_id, place, key=self.name("key"))
        if isinstance(event, BetPlaced):
            self.bets[bet_id] = event
        return bet_id


def busy_day(history: History, players: int = 12, rounds: int = 6) -> None:
    """Something of everything: bets, voids, a withdrawal of a runner, results put right, debts."""
    chance = history.random
    for number in range(players):
        player_id = history.register()
        fates = ("completed", "completed", "failed", "pending")
        history.deposit(player_id, 10_000 + number)
        history.deposit(player_id, 500, fates[number % 4])
        history.withdraw(player_id, 300, fates[(number + 1) % 4])
    for _ in range(rounds):
        fixture_id = history.fixture(sport=chance.choice(["football", "racing"]))
        first, second = f"{fixture_id}:m0", f"{fixture_id}:m1"
        for _ in range(3 * players):
            market_id = chance.choice([first, second])
            selection_id = chance.choice(["s0", "s1", "s2"])
            stake = chance.choice([10, 250, 1_000, 99_999_999])
            history.bet(chance.choice(history.players), market_id, selection_id, stake)
            if chance.random() < 0.2:
                history.price(market_id)
        history.withdraw_selection(first, "s2")
        status = ChangeStatus(fixture_id, second, MarketStatus.SUSPENDED, True, 5_000)
        history.book(status)
        history.tell(BOOK, fixture_id, ChangePhase(fixture_id, Phase.IN_PLAY, "1-0"), by="desk")
        history.settle(first, {"s0": WON, "s1": LOST})
        history.settle(second, {"s0": Result(Outcome.WON, 2, 1), "s1": WON, "s2": LOST})
        for player_id in history.players:
            # Whoever has won takes it away, so that some of the corrections below make debts.
            cash = history.actor(f"wallet/{player_id}").cash_minor
            if cash and chance.random() < 0.5:
                history.withdraw(player_id, cash)
        history.settle(second, {"s0": LOST, "s1": Result(Outcome.HALF_LOST), "s2": WON})
        if chance.random() < 0.5:
            history.settle(second, {}, cancelled=True)
        history.tell(BOOK, fixture_id, ChangePhase(fixture_id, Phase.ENDED, "1-0"), by="desk")
        history.deposit(chance.choice(history.players), 2_000)
    last = history.fixture()
    for _ in range(players):
        history.bet(chance.choice(history.players), f"{last}:m0", "s0", 20)
    undo_some(history)


def undo_some(history: History) -> None:
    """Of a race: a runner that joins late, one that does not run, and then everything is undone,
    at least once; and a part of it done again."""
    chance = history.random
    fixture_id = history.fixture("racing", 1)
    market_id = f"{fixture_id}:m0"
    on = (fixture_id, market_id)
    names = {"s0": "A", "s1": "B", "s2": "C"}
    other = f"{fixture_id}:race"
    history.book(OpenMarket(fixture_id, other, "Race", "win", "GBP", names))
    history.price(other)
    for place in (market_id, other):
        for _ in range(20):
            player_id = history.register()
            history.deposit(player_id, 1_000)
            history.bet(player_id, place, chance.choice(["s0", "s1", "s2"]), 700)
            if chance.random() < 0.3:
                history.price(place)
    history.book(AddSelection(*on, "late", "Late"))
    history.price(market_id)
    began_ms = history.now_ms
    for number in range(10):
        history.bet(history.players[-1 - number], market_id, chance.choice(["late", "s0"]), 100)
    history.undo(SettleSelections(*on, {"s0": WON}))
    for player_id in history.players[-50:]:
        # Whoever has won takes it away, and owes it when the result is taken back.
        cash = history.actor(f"wallet/{player_id}").cash_minor
        if cash and chance.random() < 0.5:
            history.withdraw(player_id, cash)
    history.undo(VoidPlaced(*on, Window(began_ms, None)))
    history.undo(RollBackResult(*on))
    history.withdraw_selection(market_id, "s2")
    history.undo(SettleSelections(*on, {"s0": LOST}))
    history.undo(SettleSelections(*on, {"s0": Result(Outcome.HALF_WON), "s1": LOST}))
    history.undo(VoidPlaced(*on, Window(None, began_ms - 500)))
    history.undo(RollBackVoid(*on, Window(began_ms, None)))
    history.settle(market_id, {"s0": WON, "s1": LOST, "late": LOST})
    history.withdraw_selection(other, "s2")
    for _ in range(2):
        history.settle(other, {"s0": WON, "s1": LOST})
        history.undo(RollBackResult(fixture_id, other))
    history.undo(VoidPlaced(fixture_id, other, Window(began_ms - 900, began_ms)))
    history.settle(other, {}, cancelled=True)
    history.undo(RollBackResult(fixture_id, other))
