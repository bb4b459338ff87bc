"""The coordinator of risk as a process, and what it goes by: the journals, an exchange, settings.

Its questions and commands travel like everybody's, and so are lost, late and doubled with the
network's. What it hears of bets is read from the journals: some reads tell it again what it knew,
and, while bet news are muddled, leave out for ever what a player has done.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from actors.entries import decode_entries
from actors.placement import BOOK
from actors.risk.alerts import Rules
from actors.risk.desk import Curve
from actors.risk.hedge import Quote
from actors.risk.settings import CurveClasses, HedgeSettings, ReferralSettings, RiskSettings
from actors.runtime.router import Router
from actors.runtime.simulated.database import Database, SimulatedReads
from actors.runtime.simulated.loop import SimulatedClock, current
from actors.runtime.simulated.network import Network, Transport
from actors.runtime.simulated.simulation import Simulation
from gateway import customers, referrals
from gateway.coordinator import Coordinator
from gateway.exchanges.bogus import EXCHANGE
from gateway.exchanges.exchange import BackOrder, Matched, NoAnswer, Unmatched
from ledger.desk_reads import StandingStop
from ledger.journal import JournalUnavailable
from ledger.money import Money
from ledger.risk_reads import BLOCKS, NewBlock
from ledger.tables import CustomerRow

RETRY_S = 1.0
LICENCE = "gb"


def draw_settings(chance: Random) -> RiskSettings:
    """Alerts and referrals are of the size of an evening."""
    suspend_at = chance.choice((0, 7_000, 9_500))
    curve = Curve(((2_000, 0), (10_000, 1_500)), suspend_at, suspend_at * 3 // 4)
    hedges = HedgeSettings("bogus", chance.random() < 0.7, 5_000, 3_000, 10)
    return RiskSettings(
        curves=CurveClasses(otherwise=curve),
        hedges=hedges,
        referrals=ReferralSettings(4_000, 2_500, 3),
        alerts=Rules(
            accounts=2,
            accounts_window_ms=5_000,
            habit_bets=3,
            habit_factor=3,
            habit_min_minor=1_000,
        ),
    )


class Exchange:
    """An exchange: each order once, and the same answer to whoever asks again."""

    name = "bogus"

    def __init__(self, simulation: Simulation) -> None:
        self.made: dict[str, tuple[BackOrder, Matched | Unmatched, float]] = {}
        """By hedge id, with the moment in virtual seconds."""
        self.asked_s = 0.0
        """When somebody last gave an order."""
        self.slow = 0.0
        self._simulation = simulation
        self._random = simulation.random("exchange")

    async def quotes(self, market_id: str, currency: str, odds: Mapping[str, int]) -> list[Quote]:
        await asyncio.sleep(0.02 * self._random.random())
        if self._random.random() < self.slow:
            raise NoAnswer("the exchange thinks about it")
        return await EXCHANGE.quotes(market_id, currency, odds)

    async def back(self, order: BackOrder) -> Matched | Unmatched:
        self.asked_s = self._simulation.loop.now_s
        await asyncio.sleep(0.02 * self._random.random())
        if self._random.random() < self.slow:
            raise NoAnswer("the order was lost")
        if order.hedge_id not in self.made:
            at_s = self._simulation.loop.now_s
            self.made[order.hedge_id] = order, await self._answer(order), at_s
        if self._random.random() < self.slow:
            # Longer than anybody waits, or not at all.
            await asyncio.sleep(self._random.choice((0.0, 1.0, 30.0)))
            raise NoAnswer("the exchange's answer was lost")
        return self.made[order.hedge_id][1]

    async def _answer(self, order: BackOrder) -> Matched | Unmatched:
        draw = self._random.random()
        if draw < 0.1:
            return Unmatched("nobody_wants_it")
        if draw < 0.3:  # the rest lapses
            some = Money(self._random.randrange(order.stake.minor + 1), order.stake.currency)
            return Matched(some, order.odds, 200, f"some-{order.hedge_id}")
        return await EXCHANGE.back(order)


class News:
    """What goes wrong with what is heard of the journals; chances for each read."""

    def __init__(self, simulation: Simulation) -> None:
        self.doubled = 0.0
        self.lost = 0.0
        self.missed = 0
        """Blocks that nobody was told of."""
        self.note = simulation.note
        self.random = simulation.random("news")

    def happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance


class RiskReads(SimulatedReads):
    """What `ledger.risk_reads` and `ledger.desk_reads` say, of the simulated rows and journal."""

    def __init__(self, database: Database, news: News) -> None:
        super().__init__(database)
        self._news = news

    @classmethod
    def beside(cls, reads: RiskReads) -> RiskReads:
        return reads

    async def journal_ends(self, before_ms: int) -> dict[str, int]:
        def read() -> dict[str, int]:
            chains = self._database.journal._chains
            return {
                name: sum(block.recorded_at_ms < before_ms for block in chains[name])
                for name in self._database.partitions
            }

        return await self._database.do("journal ends", read)

    async def new_blocks(self, known: Mapping[str, int]) -> list[NewBlock]:
        before = dict(known)
        if self._news.happens(self._news.doubled):
            self._news.note("news doubled", self._database.scope)
            before = {name: max(0, seq - 3) for name, seq in before.items()}

        def read() -> list[NewBlock]:
            chains = self._database.journal._chains
            return [
                NewBlock(name, block.seq, decode_entries(block.body))
                for name, seq in before.items()
                for block in chains[name][seq : seq + BLOCKS]
            ]

        blocks = await self._database.do("new blocks", read)
        # Of the book's own nothing is lost: by those it knows what it has begun itself.
        if blocks and self._database.scope != BOOK and self._news.happens(self._news.lost):
            self._news.note("news lost", self._database.scope, len(blocks))
            self._news.missed += len(blocks)
            return [NewBlock(one.partition, one.seq, []) for one in blocks]
        return blocks

    async def tradable_markets(self) -> list[str]:
        def read() -> list[str]:
            rows = sorted(self._ledger.markets.items())
            return [name for name, row in rows if row.status in ("open", "suspended")]

        return await self._database.do("markets", read)

    async def ordered_hedges(self) -> list[str]:
        def read() -> list[str]:
            rows = self._ledger.hedges.items()
            return sorted({market_id for (market_id, _), row in rows if row.state == "ordered"})

        return await self._database.do("ordered hedges", read)

    async def exposed_markets(self) -> list[str]:
        def read() -> list[str]:
            lines = self._ledger.exposure.items()
            return sorted({market_id for (market_id, _), line in lines if line.bets})

        return await self._database.do("exposed", read)

    async def standing_stops(self) -> Sequence[StandingStop]:
        """Nobody orders a stop of an evening."""
        return await self._database.do("stops", tuple)

    async def tradable(
        self, fixture_id: str | None = None, *, or_decided: bool = False
    ) -> list[tuple[str, str]]:
        raise AssertionError("there is no stop that reaches anything")

    async def tradable_of_source(self, source: str) -> list[tuple[str, str]]:
        raise AssertionError("there is no stop that reaches anything")

    async def registered(self, player_ids: Sequence[str]) -> dict[str, int]:
        def read() -> dict[str, int]:
            known = self._ledger.registered
            return {name: known[name] for name in player_ids if name in known}

        return await self._database.do("registered", read)

    async def habits(self, player_ids: Sequence[str], before_ms: int) -> dict[str, tuple[int, int]]:
        def read() -> dict[str, tuple[int, int]]:
            found = {}
            for player_id in player_ids:
                stakes = [
                    bet.stake_minor + bet.bought_minor
                    for bet in self._ledger.bets.values()
                    if bet.player_id == player_id and bet.placed_at_ms < before_ms
                ]
                if stakes:
                    found[player_id] = (len(stakes), sum(stakes))
            return found

        return await self._database.do("habits", read)

    async def count_waiting(self, player_id: str, now_ms: int) -> int:
        def read() -> int:
            return sum(
                row.player_id == player_id and row.state == "waiting" and row.expires_at_ms > now_ms
                for row in self._ledger.referrals.values()
            )

        return await self._database.do("count waiting", read)

    async def customers(self, since_ms: int, after: str, limit: int) -> list[CustomerRow]:
        def read() -> list[CustomerRow]:
            rows = sorted(self._ledger.customers.values(), key=lambda row: str(row.player_id))
            since = [row for row in rows if row.changed_at_ms >= since_ms and row.player_id > after]
            return since[:limit]

        return await self._database.do("customers", read)


class Risk:
    """One process, as `grandstand.hosts.RiskHost` is; what it remembers is forgotten with it."""

    def __init__(
        self,
        network: Network,
        settings: RiskSettings,
        book: RiskReads,
        players: RiskReads,
        exchange: Exchange,
    ) -> None:
        self._numbers = itertools.count(1)
        self._process = current()
        self._task = asyncio.ensure_future(self._run(network, settings, book, players, exchange))

    def new_id(self) -> str:
        return f"hedge-{self._process.incarnation}-{next(self._numbers)}"

    async def _run(
        self,
        network: Network,
        settings: RiskSettings,
        book: RiskReads,
        players: RiskReads,
        exchange: Exchange,
    ) -> None:
        clock = SimulatedClock()
        router = Router(Transport(network), clock)
        while True:
            coordinator = Coordinator(
                settings,
                router,
                clock,
                book,
                book,
                {LICENCE: players},
                {exchange.name: exchange},
                self.new_id,
            )
            try:
                await coordinator.run()
            except JournalUnavailable:
                await asyncio.sleep(RETRY_S)


def read_from_rows(simulation: Simulation) -> None:
    """Gateways read of customers and referrals what the simulated ledger has."""
    replaced: Any = RiskReads
    for module in (customers, referrals):
        simulation.replace(module, "RiskReads", replaced)
