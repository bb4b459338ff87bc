"""The whole runtime in one process, without Ray: for tests, and for looking at it from inside.

The same partitions, shards, directory and router; only the way between them is a function call,
and what the ledger would say is folded from the journal, as far as it has come since the last time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.base import Event
from actors.bet import Bet, BetEvent, BetState
from actors.book import Line
from actors.declaring import ResultDeclared, SelectionWithdrawn
from actors.entries import decode_entries
from actors.errors import NoAnswer
from actors.fixture import Fixture
from actors.market import Market, MarketEvent
from actors.multiple import carried, known_of
from actors.outcomes import PlacedVoided, ResultRolledBack, SelectionsDecided, VoidRolledBack
from actors.runtime.addresses import BOOK, partitions_of
from actors.runtime.clock import Clock, WallClock
from actors.runtime.directory import Directory, Scope
from actors.runtime.keeper import Keeper
from actors.runtime.router import Router, ShardUnreachable, View
from actors.runtime.shard import Announcer, Shard, Silent
from actors.settlement import settle
from actors.wallet import Wallet
from ledger.journal import Journal
from ledger.reads import BetToSettle, Declared

PERIOD_S = 0.05


class Folded:
    """What is in some partitions of a journal, read once."""

    def __init__(self, journal: Journal, partitions: Sequence[str]) -> None:
        self.journal = journal
        self.partitions = partitions
        self.folded: dict[str, int] = {}
        """How many blocks of each partition."""

    async def follow(self) -> None:
        """Fold what has come since."""
        for name in self.partitions:
            for block in await self.journal.blocks(name, self.folded.get(name, 0), 1_000_000):
                # Somebody else may have read it at the same time.
                if block.seq > self.folded.get(name, 0):
                    self.folded[name] = block.seq
                    for entry in decode_entries(block.body):
                        for event in entry.events:
                            self.fold(event)

    def fold(self, event: Event) -> None:
        raise NotImplementedError


class FoldedBook(Folded):
    """The markets of the book, and of each selection in which result it last changed."""

    def __init__(self, journal: Journal, partitions: Sequence[str]) -> None:
        super().__init__(journal, partitions)
        self.markets: defaultdict[str, Market] = defaultdict(Market)
        self.versions: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._fixtures: defaultdict[str, Fixture] = defaultdict(Fixture)

    def fold(self, event: Event) -> None:
        if isinstance(event, MarketEvent):
            event.apply(self.markets[event.market_id], self._fixtures[event.fixture_id])
        changed: Iterable[str]
        match event:
            case ResultDeclared() | SelectionsDecided():
                changed = event.results
            case ResultRolledBack():
                changed = (*event.undecided, *event.results)
            case PlacedVoided() | VoidRolledBack():
                changed = self.markets[event.market_id].selections
            case SelectionWithdrawn():
                changed = (event.selection_id,)
            case _:
                return
        self.versions[event.market_id] |= dict.fromkeys(changed, event.version)


class FoldedLedger(Folded):
    """A licence's ledger as far as settlement and keeper read it, folded from the journal."""

    def __init__(self, journal: Journal, partitions: Sequence[str]) -> None:
        super().__init__(journal, partitions)
        self._wallets: defaultdict[str, Wallet] = defaultdict(Wallet)
        self._known: defaultdict[str, Bet] = defaultdict(Bet)

    async def heads(self) -> dict[str, int]:
        return {name: (await self.journal.head(name)).seq for name in self.partitions}

    async def positions(self) -> dict[str, int]:
        return await self.heads()

    def fold(self, event: Event) -> None:
        if isinstance(event, BetEvent):
            event.apply(self._wallets[event.player_id], self._known[event.bet_id])

    async def _bets(self) -> tuple[dict[str, int], list[Bet]]:
        """How far the journal is, and every bet as it has it now."""
        await self.follow()
        return dict(self.folded), list(self._known.values())

    async def bets_to_settle(
        self, market_id: str, first: str, last: str, after: tuple[str, str], limit: int
    ) -> list[BetToSettle]:
        _, bets = await self._bets()
        found = [
            BetToSettle(leg.selection_id, bet.bet_id, bet.player_id, version, bet.slip is not None)
            for bet in bets
            for leg, version in zip(bet.legs, _versions(bet), strict=True)
            if leg.market_id == market_id and first <= leg.selection_id <= last
        ]
        found.sort(key=lambda bet: (bet.selection_id, bet.bet_id))
        return [bet for bet in found if (bet.selection_id, bet.bet_id) > after][:limit]

    async def liabilities(
        self, market_ids: list[str]
    ) -> tuple[dict[str, int], dict[str, dict[str, Line]]]:
        positions, bets = await self._bets()
        lines: dict[str, dict[str, Line]] = {}
        for bet in bets:
            if bet.state is not BetState.OPEN:
                continue
            costs = carried(bet.slip, known_of(bet.legs, bet.facts)) if bet.slip else {}
            for leg in bet.legs:
                cost = costs.get((leg.market_id, leg.selection_id), 0)
                if leg.market_id in market_ids and (cost or not bet.slip):
                    line = lines.setdefault(leg.market_id, {}).setdefault(leg.selection_id, Line())
                    line.add(bet.stake_minor, leg.odds, cost)
        return positions, lines


def _versions(bet: Bet) -> list[int]:
    """Of each leg the version of the result that it was settled by."""
    return [fact.version for fact in bet.facts] if bet.slip else [bet.result_version]


class LocalTransport:
    """Batches go by function call; a shard that was killed is unreachable."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.shards: dict[str, Shard] = {}

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        if shard not in self.shards:
            raise ShardUnreachable(f"{shard} is not there")
        return await self.shards[shard].deliver(batch)

    async def view(self) -> View:
        return self.directory.view()


class LocalCluster:
    """One process: `book` and one licence, on as many shards as asked for.

    async with LocalCluster(MemoryJournal()) as cluster:
        await cluster.router.ask(...)
    """

    def __init__(
        self,
        journal: Journal,
        *,
        licence: str = "gb",
        partitions: int = 4,
        shards: int = 2,
        clock: Clock | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        self.journal = journal
        self.licence = licence
        self.clock = clock or WallClock()
        self.announcer = announcer or Silent()
        self.scopes = [
            Scope(name, partitions, tuple(f"shard-{name}-{n}" for n in range(shards)))
            for name in (BOOK, licence)
        ]
        self.directory = Directory(self.scopes)
        self.transport = LocalTransport(self.directory)
        self.router = Router(self.transport, self.clock)
        self.ledgers = {licence: FoldedLedger(journal, partitions_of(licence, partitions))}
        self._book = FoldedBook(journal, partitions_of(BOOK, partitions))
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._settler: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LocalCluster:
        for scope in self.scopes:
            for name in scope.shards:
                self.start_shard(name)
        self._settler = asyncio.ensure_future(self._settle_forever())
        return self

    async def __aexit__(self, *_: Any) -> None:
        if self._settler:
            self._settler.cancel()
        for keeper in self._keepers.values():
            keeper.cancel()
        for shard in self.transport.shards.values():
            await shard.drain()

    def start_shard(self, name: str) -> Shard:
        """Start a shard, also one that was killed before."""
        mine = self._mine(name)

        async def still_mine(partition: str) -> bool:
            return mine(partition)

        shard = Shard(name, self.journal, self.clock, mine, still_mine, self.announcer)
        self.transport.shards[name] = shard
        for partition in self.directory.partitions_of(name):
            shard.open(partition)
        if name.startswith(f"shard-{BOOK}-"):
            keeper = Keeper(shard, self.router, self.ledgers, self.clock)
            self._keepers[name] = asyncio.ensure_future(keeper.run())
        return shard

    def _mine(self, name: str) -> Callable[[str], bool]:
        return lambda partition: self.directory.shards.get(partition) == name

    def kill_shard(self, name: str) -> None:
        """What was not durable is gone, and whoever waited is told so."""
        self.transport.shards.pop(name).die(f"{name} was killed")
        keeper = self._keepers.pop(name, None)
        if keeper:
            keeper.cancel()

    def move(self, partition: str, shard: str) -> None:
        """Give a partition to another shard of its scope."""
        former = self.directory.shards[partition]
        self.directory.move(partition, shard)
        self.transport.shards[former].close(partition)
        self.transport.shards[shard].open(partition)

    async def _settle_forever(self) -> None:
        while True:
            for declared in await self.unsettled():
                with contextlib.suppress(NoAnswer):
                    await settle(self.router, self.clock, self.ledgers, declared)
            await self.clock.sleep(PERIOD_S)

    async def unsettled(self) -> list[Declared]:
        """Markets with results by which not every bet is settled, folded from the journal."""
        await self._book.follow()
        return [
            _declared(market, self._book.versions[market.market_id])
            for market in self._book.markets.values()
            if market.settled_version < market.result_version
        ]


def _declared(market: Market, versions: dict[str, int]) -> Declared:
    results = {
        selection_id: market.settling(selection_id, version)
        for selection_id, version in versions.items()
        if version > market.settled_version
    }
    return Declared(market.fixture_id, market.market_id, market.result_version, results)
