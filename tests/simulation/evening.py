"""One evening under one seed: players bet and pay, traders trade, and everything goes wrong.

`Evening(seed).play()` plays it on the simulated platform, heals all that is broken, and waits until
nobody has anything to do any more. What everybody was told is kept for the checker.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import msgspec

from actors import holds
from actors.base import Command, Reason, Refused
from actors.bet import BetPlaced, GetBet, PriceChange
from actors.book import Book, Hold, Offer
from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, Fixture, Phase
from actors.market import (
    Exposure,
    GetExposure,
    GetMarket,
    Limits,
    Market,
    MarketStatus,
    MarketView,
)
from actors.multiple import SlipPlaced
from actors.outcomes import (
    AddSelection,
    RollBackResult,
    RollBackVoid,
    SelectionAdded,
    SettleSelections,
    VoidPlaced,
)
from actors.placement import BetRequest
from actors.player import RegisterPlayer
from actors.results import LOST, VOID, WON, Outcome, Result, Window
from actors.risk.customer import SetFactors
from actors.risk.desk import decide_moves
from actors.risk.referral import AcceptReferral, RefuseReferral
from actors.runtime.addresses import BOOK, fixture_of, partition_of
from actors.runtime.router import ShardUnreachable
from actors.runtime.simulated.database import DatabaseFaults
from actors.runtime.simulated.loop import START_MS, NeverEnds, Process
from actors.runtime.simulated.network import DIRECTORY, NetworkFaults, Server
from actors.runtime.simulated.simulation import Simulation
from actors.slip_placement import SlipRequest, at_prices
from actors.slips import slip as slips
from actors.slips.kinds import Kind
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from actors.wallet import GetWallet
from ledger.money import Money
from tests.simulation.gateways import AGAIN, ANSWER, REUSED, Bank, Gateway, name_ids_by_process
from tests.simulation.risk import (
    LICENCE,
    Exchange,
    News,
    Risk,
    RiskReads,
    draw_settings,
    read_from_rows,
)

RISK = "risk"
GATEWAYS = ("gateway-0", "gateway-1")
BOUNDS: dict[str, float] = {
    # So low that evenings as short as these reach them.
    "actors.runtime.partition.MAX_WAITING": 40,
    "actors.runtime.partition.RECENT_ANSWERS": 80,
    "actors.runtime.partition.REPLAY_PAGE": 3,
    "actors.runtime.shard.SNAPSHOT_DIRTY": 4,
    "actors.runtime.keeper.MAX_CONFIRMED": 3,
    "actors.runtime.keeper.MAX_AGE_MS": 2_000,
    "actors.settlement.PAGE": 3,
    # So rare that a quiet minute costs little.
    "actors.runtime.keeper.PERIOD_S": 0.3,
    "actors.runtime.router.PAUSE_S": 0.08,
    "actors.settlement.PAUSE_S": 0.2,
    "actors.runtime.hosts.projector.IDLE_S": 0.15,
    "actors.runtime.hosts.projector.MAX_REST_S": 0.3,
    "actors.runtime.hosts.settler.IDLE_S": 0.3,
    "actors.runtime.hosts.shard.PULSE_S": 30.0,
    "actors.runtime.hosts.controller.LOOK_S": 0.5,
    "gateway.coordinator.PERIOD_S": 0.8,
    "gateway.coordinator.EXCHANGE_S": 4.0,
    "gateway.coordinator.AFRESH_MS": 2_000,
    "gateway.coordinator.HOLDS_MS": 2_500,
    "gateway.coordinator.UNHEARD_MS": 2_500,
    "gateway.customers.READ_S": 3.0,
}
RESULTS = (WON, LOST, VOID, Result(Outcome.HALF_WON), Result(Outcome.HALF_LOST))
STAKES = (10, 333, 333, 1_000, 1_000, 1_000, 4_000, 4_000, 4_000, 4_000, 5, 25_000)
"""Among them one that is too small and one that is too large."""
DEAD_HEAT = Result(Outcome.WON, 3, 2)
QUIET_S = 120.0
"""Virtual time in which everything has to come to rest once all is healed."""


class Wrong(AssertionError):
    """A promise that was not kept."""


@dataclass(eq=False)
class Op:
    """One thing a client wants, however often it has to ask for it, and all it was told."""

    number: int
    method: str
    arguments: tuple[Any, ...]
    key: str
    owner: str
    scope: str
    routing_id: str
    answers: list[Any] = field(default_factory=list)
    reused: int = 0

    @property
    def answered(self) -> bool:
        return bool(self.answers) or self.reused > 0

    @property
    def request(self) -> Any:
        return self.arguments


@dataclass(frozen=True)
class Yes:
    """A market's yes, as somebody saw it who looked over its shoulder."""

    at_s: float
    bet_id: str
    book: int
    """Which of the books there ever were gave it, in the order of their first yes."""
    heads: dict[str, int]
    """Up to which block of each partition the ledger was that the book had read last."""
    whole: bool
    """Whether that was after all holds of before had run out."""
    stake_minor: int
    promised: bool
    factor: int
    """What the customer may have, in ten-thousandths of what others may."""
    hedged_minor: int
    """What the hedges win that the book knew of."""


@dataclass(frozen=True)
class Plan:
    """What goes wrong in an evening, drawn from its seed."""

    duration_s: float
    ops: int
    kinds: tuple[str, ...]
    """Of faults; each comes up again and again."""
    every_s: float
    network: NetworkFaults
    database: DatabaseFaults
    news_doubled: float
    news_lost: float


class Evening:
    def __init__(
        self, seed: int, *, broken: Callable[[Any], None] | None = None, verbose: bool = False
    ) -> None:
        """`broken` breaks something in the platform, given a way to replace attributes."""
        self.seed = seed
        self._broken = broken
        chance = self.chance = _random(seed, "evening")
        partitions = {BOOK: chance.choice((1, 2)), LICENCE: chance.choice((1, 2, 3))}
        shards = {BOOK: chance.choice((1, 2)), LICENCE: chance.choice((1, 2, 2))}
        controlled = chance.random() < 0.5
        spares = chance.choice((0, 1)) if controlled else 0
        names = [
            DIRECTORY,
            "controller",
            "spare-0",
            "settlement",
            RISK,
            *(f"shard-{scope}-{n}" for scope, count in shards.items() for n in range(count)),
            *GATEWAYS,
        ]
        # What the design allows for between two clocks is `keeper.SLACK_MS` less the time for
        # which a former owner may not notice: about a second.
        self.skew_ms = skew_ms = chance.choice((0, 0, 20, 400))
        ahead_ms = {name: chance.randint(-skew_ms, skew_ms) for name in names}
        self.plan = self._draw_plan()
        self.simulation = Simulation(
            seed,
            licence=LICENCE,
            partitions=partitions,
            shards=shards,
            ahead_ms=ahead_ms,
            bounds=BOUNDS,
            max_actors=chance.choice((6, 24, 200)),
            spares=spares,
            controlled=controlled,
            verbose=verbose,
        )
        self.network = self.simulation.network
        self.loop = self.simulation.loop
        self.bank = Bank(self.simulation)
        self.exchange = Exchange(self.simulation)
        self.news = News(self.simulation)
        self.risk = draw_settings(chance)
        self.clients = Process("clients")
        self.players = [f"p{n}" for n in range(chance.choice((2, 3, 5)))]
        fixtures = [f"match{n}" for n in range(chance.choice((1, 2, 2)))]
        self.markets = {
            f"{fixture}:m{n}": ["a", "b", "c"][: chance.choice((2, 3))]
            for fixture in fixtures
            for n in range(chance.choice((1, 2, 3)))
        }
        self.limit_minor = chance.choice((5_000, 12_000, 60_000))
        self.refer_above_minor = chance.choice((0, 3_000))
        self.reoffer_ms = chance.choice((0, 1_500, 6_000))
        self.prices: dict[tuple[str, str], int] = {}
        self.ops: list[Op] = []
        self.views: list[Any] = []
        """Whatever was read and is of one moment: wallets, bets, markets."""
        self.moments: list[Yes] = []
        self.offered: dict[str, int] = {}
        """Until when each offer was good; one that is made again is so for longer."""
        self.faults: list[str] = []
        self.usurped: list[Server] = []
        self.unavailable = 0
        self.exposures: dict[str, Exposure] = {}
        self.moves_left: dict[str, list[Command]] = {}
        """By market, what the coordinator should still have told it in the end."""
        self._books: dict[int, int] = {}
        self._kept: list[Book] = []
        self._numbers = iter(range(1, 1_000_000))
        self._last_bets: list[asyncio.Future[None]] = []
        self._healing = False
        self._kind = ""
        self._paused: list[Server] = []

    def _draw_plan(self) -> Plan:
        chance = self.chance
        kinds = tuple(kind for kind in KINDS if chance.random() < 0.45)
        if chance.random() < 0.06:
            kinds = ()
        network, database = NetworkFaults(), DatabaseFaults()
        if kinds and chance.random() < 0.6:
            network = NetworkFaults(
                lost=chance.choice((0.0, 0.02, 0.1)),
                late=chance.choice((0.0, 0.05, 0.2)),
                doubled=chance.choice((0.0, 0.05, 0.2)),
                latest_s=chance.choice((0.1, 2.0, 8.0)),
            )
        if kinds and chance.random() < 0.6:
            database = DatabaseFaults(
                refused=chance.choice((0.0, 0.06)),
                unheard=chance.choice((0.0, 0.06)),
                afterwards=chance.choice((0.0, 0.06)),
                slow=chance.choice((0.0, 0.05, 0.2)),
                slowest_s=chance.choice((0.2, 3.0)),
            )
        return Plan(
            duration_s=chance.uniform(3, 14),
            ops=chance.choice((15, 30, 50)),
            kinds=kinds,
            every_s=chance.choice((0.4, 1.5, 4.0)),
            network=network,
            database=database,
            news_doubled=chance.choice((0.0, 0.1, 0.4)) if kinds else 0.0,
            news_lost=chance.choice((0.0, 0.0, 0.1)) if kinds else 0.0,
        )

    # An evening's life

    def __enter__(self) -> Evening:
        self.simulation.__enter__()
        name_ids_by_process(self.simulation)
        read_from_rows(self.simulation)
        if self._broken:
            try:
                self._broken(self.simulation.replace)
            except BaseException:
                self.simulation.__exit__(None, None, None)
                raise
        self._look_over_shoulders()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.simulation.__exit__(kind, failure, where)

    def play(self) -> None:
        """The whole evening. Raises `Wrong` where it never comes to rest."""
        try:
            self.simulation.run(self._evening())
        except NeverEnds as never:
            raise Wrong(str(never)) from never

    async def _evening(self) -> None:
        book, players = (
            RiskReads(self.simulation.databases[scope], self.news) for scope in (BOOK, LICENCE)
        )
        for name in GATEWAYS:
            self.simulation.spawn(
                Gateway, name, self.network, self.bank, LICENCE, players, self.risk
            )
        self.simulation.spawn(Risk, RISK, self.network, self.risk, book, players, self.exchange)
        work = self.loop.start(self.clients, self._open_the_house())
        await self._within(work, 60, "the house never opens")
        self.network.faults = self.plan.network
        for database in self.simulation.databases.values():
            database.faults = self.plan.database
        self.bank.slow = self.exchange.slow = 0.1 if self.plan.kinds else 0.0
        self.news.doubled, self.news.lost = self.plan.news_doubled, self.plan.news_lost
        trouble = self.loop.start(self.loop.outside, self._trouble())
        busy = self.loop.start(self.clients, self._busy())
        await asyncio.wait({busy}, timeout=self.plan.duration_s + 10)
        trouble.cancel()
        self.heal()
        await self._within(busy, QUIET_S, "the clients never end")
        work = self.loop.start(self.clients, self._rest())
        await self._within(work, QUIET_S, "it never comes to rest")

    async def _within(self, work: asyncio.Task[Any], seconds: float, otherwise: str) -> None:
        done, _ = await asyncio.wait({work}, timeout=seconds)
        if not done:
            raise Wrong(f"{otherwise}: {self.unfinished()}")
        work.result()

    def unfinished(self) -> str:
        waiting = [f"{op.method} {op.key}" for op in self.ops if not op.answered]
        return f"{len(waiting)} without an answer ({', '.join(waiting[:3])}), {self._open_ends()}"

    def _look_over_shoulders(self) -> None:
        """Keep every yes of a market, and every offer: they are in no journal."""
        say_yes = holds._held

        def seen(market: Market, fixture: Fixture, hold: Hold) -> holds.Held:
            book = market.book
            if id(book) not in self._books:
                self._books[id(book)] = len(self._books)
                self._kept.append(book)  # or its id could be another's
            hedged = book.hedged.get(hold.selection_id)
            yes = Yes(
                self.loop.now_s,
                hold.bet_id,
                self._books[id(book)],
                dict(book.heads),
                book.whole,
                hold.stake_minor,
                hold.promised,
                hold.customer_factor,
                hedged.liability_minor if hedged else 0,
            )
            self.moments.append(yes)
            return say_yes(market, fixture, hold)

        give = Book.offer

        def given(book: Book, player_id: str, offer: Offer) -> None:
            give(book, player_id, offer)
            until_ms = self.offered.get(offer.offer_id, 0)
            self.offered[offer.offer_id] = max(until_ms, offer.valid_until_ms)

        self.simulation.replace(holds, "_held", seen)
        self.simulation.replace(Book, "offer", given)

    # Opening

    async def _open_the_house(self) -> None:
        ops = [self._register(player) for player in self.players]
        for fixture in sorted({fixture_of(market) for market in self.markets}):
            ops.append(self.command(CreateFixture(fixture, "soccer", "cup", "A - B", START_MS)))
        await self._until_answered(ops)
        ops = []
        for market, selections in self.markets.items():
            room = self.limit_minor
            limits = Limits(
                10,
                20_000,
                room,
                refer_above_minor=self.refer_above_minor,
                reoffer_ms=self.reoffer_ms,
                max_slip_liability_minor=room,
            )
            names = dict.fromkeys(selections, "name")
            fixture = fixture_of(market)
            ops.append(self.command(OpenMarket(fixture, market, "m", "win", "GBP", names, limits)))
        await self._until_answered(ops)
        ops = [
            self._price(market, dict.fromkeys(names, 0)) for market, names in self.markets.items()
        ]
        for player in self.players:
            ops.append(self.pay("deposit", player, self.chance.choice((4_000, 60_000, 90_000))))
        await self._until_answered(ops)

    def _register(self, player: str) -> Op:
        born = dt.date(1990, 1, 1)
        command = RegisterPlayer(player, LICENCE, player, f"{player}@x.org", born, "GBP")
        return self.command(command)

    async def _until_answered(self, ops: list[Op]) -> None:
        await asyncio.gather(*(self.pursue(op, 1_000) for op in ops))

    # What clients want

    def op(self, method: str, arguments: tuple[Any, ...], key: str, *whose: str) -> Op:
        number = next(self._numbers)
        op = Op(number, method, arguments, key or f"key{number}", *whose)
        self.ops.append(op)
        return op

    def command(self, command: Command, key: str = "") -> Op:
        owner = command.cast()[0]
        player = getattr(command, "player_id", None)
        scope = LICENCE if player else BOOK
        routing_id = player or command.fixture_id  # type: ignore[attr-defined]
        return self.op("command", (scope, routing_id, command), key, owner, scope, routing_id)

    def pay(self, direction: str, player: str, amount: int, key: str = "") -> Op:
        arguments = (direction, player, amount)
        return self.op("pay", arguments, key, f"wallet/{player}", LICENCE, player)

    def bet(self, player: str, request: BetRequest, key: str = "") -> Op:
        return self.op("place", (player, request), key, f"wallet/{player}", LICENCE, player)

    def slip(self, player: str, request: SlipRequest) -> Op:
        return self.op("place_slip", (player, request), "", f"wallet/{player}", LICENCE, player)

    def buy_back(self, player: str, bet_id: str, part: int) -> Op:
        arguments = (player, bet_id, part)
        return self.op("buy_back", arguments, "", f"wallet/{player}", LICENCE, player)

    async def pursue(self, op: Op, attempts: int) -> None:
        """Ask, and ask again with the same key, through whichever gateway."""
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(self.chance.uniform(0.05, 0.6))
            outcome = await self._once(op)
            if outcome:
                return

    async def _once(self, op: Op) -> bool:
        gateway = self.chance.choice(GATEWAYS)
        try:
            async with asyncio.timeout(9.0):
                told, answer = await self.network.call(gateway, op.method, *op.arguments, op.key)
        except (ShardUnreachable, TimeoutError):
            self.unavailable += 1
            return False
        if told == AGAIN:
            self.unavailable += answer != "liability_unknown"
            return False
        self.simulation.note("told", op.key, op.method, told, answer)
        if told == ANSWER:
            op.answers.append(answer)
        else:
            assert told == REUSED
            op.reused += 1
        return True

    async def _busy(self) -> None:
        """All evening long, somebody wants something."""
        chance, ends_s = self.chance, self.loop.now_s + self.plan.duration_s
        began_s = self.loop.now_s
        tasks = []
        for n in range(self.plan.ops):
            late = (self.loop.now_s - began_s) / self.plan.duration_s
            wish = self._wish(late)
            tasks.append(asyncio.ensure_future(wish))
            if chance.random() < 0.6:
                left_s = max(0.0, ends_s - self.loop.now_s) / (self.plan.ops - n)
                await asyncio.sleep(chance.uniform(0, 3) * left_s)
        await asyncio.gather(*tasks)
        await asyncio.gather(*self._last_bets)

    async def _wish(self, late: float) -> None:
        chance = self.chance
        draw = chance.random()
        attempts = chance.choice((1, 2, 30))
        player = chance.choice(self.players)
        if draw < 0.12:
            await self._slip(self._some_slip(player), attempts)
        elif draw < 0.16:
            await self._buy_back(attempts)
        elif draw < 0.50:
            await self._crowd(chance.choice((1, 1, 2, 5)), attempts)
        elif draw < 0.58:
            direction = chance.choice(("deposit", "withdrawal"))
            await self.pursue(self.pay(direction, player, chance.choice((1, 700, 9_000))), attempts)
        elif draw < 0.68:
            await self._look(player)
        elif draw < 0.74:
            await self.pursue(chance.choice(self.ops), attempts)
        elif draw < 0.78:
            await self._reuse(chance.choice(self.ops), attempts)
        elif draw < 0.80:
            factor = chance.choice((0, 2_000, 10_000, 30_000))
            await self.pursue(self.command(SetFactors(player, factor, {})), attempts)
        elif draw < 0.86 or (late < 0.7 and chance.random() < 0.9):
            await self.pursue(self._trade(late), attempts)
        elif draw < 0.93:
            await self._result(attempts)
        else:
            await self._bit_by_bit(attempts)

    async def _crowd(self, count: int, attempts: int, market: str = "") -> None:
        """Some bets at once."""
        bets = [self._some_bet(self.chance.choice(self.players), market) for _ in range(count)]
        await asyncio.gather(
            *(self._bet(bet, attempts) for bet in bets),
            *(self._peep(bet.routing_id) for bet in bets),
        )

    async def _bet(self, bet: Op, attempts: int) -> None:
        """A bet, and what comes of it if it is not taken as it is."""
        await self.pursue(bet, attempts)
        if not bet.answers or not isinstance(bet.answers[0], Refused):
            return
        refused = bet.answers[0]
        if "offer_id" in refused.facts:
            await self._take_offer(bet, refused, attempts)
        elif refused.reason is Reason.REFERRAL_NEEDED:
            await self._ask_a_trader(bet, refused, attempts)

    async def _slip(self, slip: Op, attempts: int) -> None:
        """A slip, and now and then twice at once what is offered in its place."""
        await self.pursue(slip, attempts)
        if not slip.answers or not isinstance(slip.answers[0], Refused):
            return
        facts, (player, asked) = slip.answers[0].facts, slip.arguments
        if "offer_id" not in facts:
            return
        chance = self.chance
        await asyncio.sleep(chance.choice((0.0, 0.0, 0.3, self.reoffer_ms / 1_000 + 0.5)))
        stake_minor = int(facts["offer_stake_minor"])
        less = msgspec.structs.replace(asked.slip, stake_minor=stake_minor)
        wanted = msgspec.structs.replace(
            asked,
            slip=at_prices(less, str(facts["offer_prices"])),
            offer_id=str(facts["offer_id"]),
        )
        takers = [self.slip(player, wanted) for _ in range(chance.choice((1, 2)))]
        await asyncio.gather(*(self.pursue(taker, attempts) for taker in takers))

    async def _take_offer(self, bet: Op, refused: Refused, attempts: int) -> None:
        """What was offered: mostly in time, and now and then twice at once."""
        chance, (player, asked) = self.chance, bet.arguments
        valid_s = self.reoffer_ms / 1_000
        await asyncio.sleep(chance.choice((0.0, 0.0, 0.3, valid_s - 0.01, valid_s + 0.5)))
        facts = refused.facts
        wanted = msgspec.structs.replace(
            asked,
            stake=Money(int(facts["offer_stake_minor"]), "GBP"),
            odds=int(facts["offer_odds"]),
            offer_id=str(facts["offer_id"]),
        )
        await self._take(player, wanted, attempts)

    async def _ask_a_trader(self, bet: Op, refused: Refused, attempts: int) -> None:
        """Who says yes, at terms of his own, or no, or nothing in time."""
        chance, (player, asked) = self.chance, bet.arguments
        wait_s, valid_ms = self.risk.referrals.wait_ms / 1_000, self.risk.referrals.valid_ms
        referral_id, odds = str(refused.facts["referral_id"]), int(refused.facts["odds"])
        await asyncio.sleep(chance.choice((0.0, 0.2, 1.0, wait_s, wait_s + 0.5)))
        draw = chance.random()
        if draw < 0.1:
            return
        if draw < 0.25:
            await self.pursue(self.command(RefuseReferral(player, referral_id)), attempts)
        stake = asked.stake.minor if chance.random() < 0.5 else 1 + asked.stake.minor // 2
        odds = odds if chance.random() < 0.7 else 20_000
        yes = self.command(AcceptReferral(player, referral_id, stake, odds, valid_ms))
        await self.pursue(yes, attempts)
        await asyncio.sleep(chance.choice((0.0, 0.0, 0.5, valid_ms / 1_000 - 0.01, 3.0)))
        terms = (stake, odds) if chance.random() < 0.9 else (asked.stake.minor, odds + 100)
        wanted = msgspec.structs.replace(
            asked, stake=Money(terms[0], "GBP"), odds=terms[1], referral_id=referral_id
        )
        await self._take(player, wanted, attempts)

    async def _take(self, player: str, wanted: BetRequest, attempts: int) -> None:
        """What was promised; with two keys it would be two bets."""
        count = self.chance.choice((1, 2))
        takers = [self.bet(player, wanted) for _ in range(count)]
        await asyncio.gather(*(self.pursue(taker, attempts) for taker in takers))

    async def _peep(self, player: str) -> None:
        """Look at the wallet while the bet is on its way to the journal."""
        await asyncio.sleep(self.chance.uniform(0.001, 0.006))
        await self.read(LICENCE, player, GetWallet(player))

    def _some_bet(self, player: str, market: str = "") -> Op:
        chance = self.chance
        market = market or chance.choice(list(self.markets))
        selection = chance.choice(self.markets[market])
        on_board = self.prices.get((market, selection), 0)
        odds = on_board if on_board and chance.random() < 0.8 else chance.choice((15_000, 25_000))
        stake = Money(chance.choice(STAKES), "GBP")
        policy = chance.choice((PriceChange.ANY, PriceChange.ANY, PriceChange.BETTER))
        fixture = fixture_of(market)
        return self.bet(player, BetRequest(fixture, market, selection, stake, odds, policy))

    def _some_slip(self, player: str) -> Op:
        """Legs on different fixtures where there are some, else singles on one slip."""
        chance = self.chance
        by_fixture: dict[str, list[str]] = {}
        for market in self.markets:
            by_fixture.setdefault(fixture_of(market), []).append(market)
        on = [chance.choice(markets) for markets in by_fixture.values()]
        kind = Kind.DOUBLE
        if len(on) < 2 or chance.random() < 0.2:
            kind, on = Kind.SINGLE, chance.sample(sorted(self.markets), min(2, len(self.markets)))
        elif chance.random() < 0.3:
            kind = Kind.SYSTEM
        legs = []
        for market in on:
            selection = chance.choice(self.markets[market])
            on_board = self.prices.get((market, selection), 0)
            odds = on_board if on_board and chance.random() < 0.9 else 25_000
            legs.append(slips.Leg(fixture_of(market), market, selection, odds))
        folds = tuple(range(1, len(legs) + 1)) if kind is Kind.SYSTEM else ()
        slip = slips.Slip(tuple(legs), kind, 1, folds)
        stake = chance.choice((30, 333, 1_000)) * slips.lines_in(slip)
        policy = chance.choice((PriceChange.ANY, PriceChange.BETTER, PriceChange.NONE))
        slip = msgspec.structs.replace(slip, stake_minor=stake)
        return self.slip(player, SlipRequest(slip, "GBP", policy))

    async def _buy_back(self, attempts: int) -> None:
        placed = [
            answer
            for op in self.ops[-40:]
            for answer in op.answers
            if isinstance(answer, BetPlaced | SlipPlaced)
        ]
        if placed:
            bet = self.chance.choice(placed)
            part = self.chance.choice((1, 100, 10**9))
            await self.pursue(self.buy_back(bet.player_id, bet.bet_id, part), attempts)

    async def _reuse(self, old: Op, attempts: int) -> None:
        """The same key for something else."""
        if old.method in ("place", "place_slip", "pay"):
            player = old.routing_id
            other = self._some_bet(player) if self.chance.random() < 0.5 else None
            if other is None:
                other = self.pay("deposit", player, 1 + self.chance.randrange(3))
            other.key = old.key
            await self.pursue(other, attempts)

    async def _look(self, player: str) -> None:
        chance = self.chance
        draw = chance.random()
        placed = [
            answer
            for op in self.ops[-20:]
            for answer in op.answers
            if isinstance(answer, BetPlaced | SlipPlaced)
        ]
        question: Any = GetWallet(player)
        scope, routing_id = LICENCE, player
        if placed and draw < 0.3:
            bet = chance.choice(placed)
            question, routing_id = GetBet(bet.player_id, bet.bet_id), bet.player_id
        elif draw < 0.5:
            market = chance.choice(list(self.markets))
            scope, routing_id = BOOK, fixture_of(market)
            question = GetMarket(routing_id, market)
        await self.read(scope, routing_id, question)

    async def read(self, scope: str, routing_id: str, question: Any) -> Any:
        gateway = self.chance.choice(GATEWAYS)
        try:
            async with asyncio.timeout(9.0):
                told, view = await self.network.call(gateway, "ask", scope, routing_id, question)
        except (ShardUnreachable, TimeoutError):
            self.unavailable += 1
            return None
        if told != ANSWER:
            self.unavailable += 1
            return None
        self.views.append(view)
        return view

    # What traders want

    def _price(self, market: str, old: dict[str, int]) -> Op:
        odds = {name: self.chance.choice((12_000, 15_000, 25_000, 51_000)) for name in old}
        for name, price in odds.items():
            self.prices[market, name] = price
        return self.command(ChangePrices(fixture_of(market), market, odds))

    def _trade(self, late: float) -> Op:
        chance = self.chance
        market = chance.choice(list(self.markets))
        draw = chance.random()
        if draw < 0.6:
            return self._price(market, dict.fromkeys(chance.sample(self.markets[market], 1), 0))
        if draw < 0.95:
            status = chance.choice((*[MarketStatus.OPEN] * 4, MarketStatus.SUSPENDED))
            delay_ms = chance.choice((0, 300, 2_000))
            in_play = chance.random() < 0.5
            return self.command(ChangeStatus(fixture_of(market), market, status, in_play, delay_ms))
        phase = Phase.ENDED if late > 0.8 else Phase.IN_PLAY
        return self.command(ChangePhase(fixture_of(market), phase, "1-0"))

    async def _result(self, attempts: int) -> None:
        chance = self.chance
        market = chance.choice(list(self.markets))
        fixture = fixture_of(market)
        selections = self.markets[market]
        draw = chance.random()
        if chance.random() < 0.7:
            await self._last_moment(market, attempts)
        if draw < 0.25:
            command: Command = WithdrawSelection(fixture, market, chance.choice(selections))
        elif draw < 0.35:
            command = DeclareResult(fixture, market, {}, True)
        else:
            some = (*RESULTS, DEAD_HEAT)
            results = {name: chance.choice(some) for name in selections}
            command = DeclareResult(fixture, market, results)
        await self.pursue(self.command(command), attempts)
        if draw > 0.7:
            # Winnings are spent, and the result is corrected.
            await asyncio.sleep(chance.uniform(0, 15))
            for player in self.players:
                view = await self.read(LICENCE, player, GetWallet(player))
                if view is not None and not isinstance(view, Refused) and view.cash_minor:
                    await self.pursue(self.pay("withdrawal", player, view.cash_minor), 2)
            results = {name: chance.choice(RESULTS) for name in selections}
            await self.pursue(self.command(DeclareResult(fixture, market, results)), attempts)

    async def _bit_by_bit(self, attempts: int) -> None:
        """Some selections are decided, results are taken back, bets of a time are void."""
        chance = self.chance
        market = chance.choice(list(self.markets))
        fixture = fixture_of(market)
        draw = chance.random()
        if chance.random() < 0.4:
            await self._last_moment(market, attempts)
        if draw < 0.15:
            name = f"late{next(self._numbers)}"
            op = self.command(AddSelection(fixture, market, name, name))
            await self.pursue(op, attempts)
            if any(isinstance(answer, SelectionAdded) for answer in op.answers):
                self.markets[market].append(name)
                await self.pursue(self._price(market, {name: 0}), attempts)
        elif draw < 0.5:
            await self._void(market, attempts)
        else:
            await self._take_back(market, attempts)

    async def _take_back(self, market: str, attempts: int) -> None:
        """Some selections are decided, and mostly not after all: everybody bets again."""
        chance, fixture = self.chance, fixture_of(market)
        some = chance.sample(self.markets[market], chance.choice((1, 1, 2)))
        results = {name: chance.choice((*RESULTS, DEAD_HEAT)) for name in some}
        await self.pursue(self.command(SettleSelections(fixture, market, results)), attempts)
        await asyncio.sleep(chance.uniform(0, 6))
        if chance.random() < 0.7:
            await self.pursue(self.command(RollBackResult(fixture, market)), attempts)
            reopened = ChangeStatus(fixture, market, MarketStatus.OPEN, False, 0)
            await self.pursue(self.command(reopened), attempts)
            await self._crowd(4, attempts, market)

    async def _void(self, market: str, attempts: int) -> None:
        """Bets of a time are void, and sometimes not after all. It may reach into now."""
        chance, fixture = self.chance, fixture_of(market)
        now_ms = START_MS + int(self.loop.now_s * 1_000)
        from_ms = now_ms - chance.choice((0, 1_000, 5_000, 20_000))
        until_ms = from_ms + chance.choice((500, 1_000, 5_000, 22_000))
        window = Window(
            from_ms if chance.random() < 0.8 else None, until_ms if chance.random() < 0.8 else None
        )
        await self.pursue(self.command(VoidPlaced(fixture, market, window)), attempts)
        if window.until_ms is None or chance.random() < 0.4:
            await asyncio.sleep(chance.uniform(0, 6))
            await self.pursue(self.command(RollBackVoid(fixture, market, window)), attempts)
            await self._crowd(2, attempts, market)

    async def _last_moment(self, market: str, attempts: int) -> None:
        """Everybody bets just before the whistle; now and then the market's shard does not live
        to hear it."""
        chance = self.chance
        last = asyncio.ensure_future(self._crowd(chance.choice((2, 4)), attempts, market))
        self._last_bets.append(last)
        await asyncio.sleep(chance.choice((0.0, 0.002, 0.004, 0.01)))
        if "kill_a_shard" in self.plan.kinds and chance.random() < 0.5 and not self._healing:
            name = self._owner_of(BOOK, fixture_of(market))
            self._kind = "kill_a_shard"
            self.fault(f"{name} is killed at the whistle")
            self.network.kill(name, again_after_s=self._again_after_s())

    def _owner_of(self, scope: str, routing_id: str) -> str:
        """The shard that has it, by the directory's last word."""
        partitions = self.simulation.databases[scope].partitions
        return self._owner(partition_of(scope, routing_id, len(partitions)))

    def _owner(self, partition: str) -> str:
        for name in self.simulation.shards:
            server = self.network.servers.get(name)
            shard = getattr(server.host, "_shard", None) if server else None
            if shard is not None and partition in shard.partitions:
                return name
        return next(name for name in self.simulation.shards if partition.rpartition("-")[0] in name)

    # What goes wrong

    async def _trouble(self) -> None:
        kinds = self.plan.kinds
        while kinds:
            await asyncio.sleep(self.chance.expovariate(1 / self.plan.every_s))
            self._go_wrong(self.chance.choice(kinds))

    def _go_wrong(self, kind: str) -> None:
        self._kind = kind
        getattr(self, f"_{kind}")()

    def fault(self, what: str) -> None:
        self.faults.append(f"{self.loop.now_s:.3f} {self._kind}: {what}")
        self.simulation.note("FAULT", what)

    def _again_after_s(self) -> float:
        return self.chance.choice((0.1, 1.0, 4.0))

    def _kill_a_shard(self) -> None:
        self._kill_between_steps(self.chance.choice(self.simulation.shards))

    def _kill_a_gateway(self) -> None:
        self._kill_between_steps(self.chance.choice(GATEWAYS))

    def _kill_a_projector(self) -> None:
        self._kill_between_steps(f"projector-{self.chance.choice((BOOK, LICENCE))}")

    def _kill_the_settlement(self) -> None:
        self._kill_between_steps("settlement")

    def _kill_the_risk(self) -> None:
        self._kill_between_steps(RISK)

    def _kill_the_directory(self) -> None:
        self._kill_between_steps(DIRECTORY)

    def _kill_between_steps(self, name: str) -> None:
        """Kill a process after some of its steps from now, so that it is in the middle."""
        server = self.network.servers.get(name)
        if server is None:
            return
        again_after_s, kind = self._again_after_s(), self._kind

        def kill() -> None:
            self._kind = kind
            if not self._healing and self.network.servers.get(name) is server:
                self.fault(f"{name} is killed")
                self.network.kill(name, again_after_s=again_after_s)

        self.loop.after_steps(server.process, self.chance.choice((1, 2, 3, 5, 8, 13, 21)), kill)

    def _pause_something(self) -> None:
        """SIGSTOP, and SIGCONT later; sometimes it has been replaced meanwhile."""
        name = self.chance.choice(
            (*self.simulation.shards, *GATEWAYS, "settlement", "projector-gb", RISK)
        )
        server = self.network.servers.get(name)
        if server is None or server.process.paused:
            return
        for_s = self.chance.choice((0.3, 2.0, 7.0, 14.0))
        self.fault(f"{name} stands still for {for_s} s")
        self.loop.pause(server.process)
        self._paused.append(server)
        self._later(for_s, lambda: self.loop.resume(server.process))

    def _usurp_a_shard(self) -> None:
        """A second process of the name, while the first goes on, cut off from the directory."""
        self._start_a_second(self.chance.choice(self.simulation.shards))

    def _usurp_the_risk(self) -> None:
        """Two coordinators do no harm."""
        self._start_a_second(RISK)

    def _start_a_second(self, name: str) -> None:
        server = self.network.servers.get(name)
        if server is None or self.usurped:
            return
        self.fault(f"{name} is started a second time")
        former = server.process
        former.name = f"former {name}"
        self.network.cut.add((former.name, DIRECTORY))
        self.usurped.append(server)
        self.network.begin(name)
        self.network.former[name] = server
        self._later(self.chance.choice((1.0, 6.0)), lambda: self._silence(name))

    def _silence(self, name: str) -> None:
        server = self.network.former.pop(name, None)
        if server is not None:
            self.network.cut.discard((server.process.name, DIRECTORY))
            self.usurped.remove(server)
            self.network.end(server)

    def _move_a_partition(self) -> None:
        """To another shard, while it is in use; now and then with bets under way in it."""
        chance = self.chance
        scope = chance.choice(self.simulation.scopes)
        partition = f"{scope.name}-{chance.randrange(scope.partitions):02d}"
        shards = (*scope.shards, *self.simulation.spares)
        others = [name for name in shards if name != self._owner(partition)]
        if not others:
            return
        shard = chance.choice(others)
        self.fault(f"{partition} is moved to {shard}")
        after_s = 0.0
        if chance.random() < 0.7:
            after_s = chance.choice((0.0, 0.004, 0.008, 0.012))
            self._last_bets.append(self.loop.start(self.clients, self._crowd(4, 30)))
        self.loop.start(self.clients, self._move(partition, shard, after_s))

    async def _move(self, partition: str, shard: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            async with asyncio.timeout(20):
                await self.network.call(DIRECTORY, "move", partition, shard)
        except (ShardUnreachable, TimeoutError):
            self.simulation.note("move not answered", partition)

    def _cut_off_a_shard(self) -> None:
        name = self.chance.choice(self.simulation.shards)
        other = self.chance.choice((DIRECTORY, *GATEWAYS, RISK, "database"))
        for_s = self.chance.choice((0.5, 3.0, 9.0))
        self.fault(f"{name} and {other} can't reach each other for {for_s} s")
        if other == "database":
            for database in self.simulation.databases.values():
                database.cut.add(name)
                self._later(for_s, lambda cut=database.cut: cut.discard(name))
        else:
            self.network.cut.add((name, other))
            self._later(for_s, lambda: self.network.cut.discard((name, other)))

    def _stop_a_database(self) -> None:
        scope = self.chance.choice((BOOK, LICENCE))
        database = self.simulation.databases[scope]
        for_s = self.chance.choice((0.3, 2.0, 8.0))
        self.fault(f"the database of {scope} is down for {for_s} s")
        database.down = True

        def up() -> None:
            database.down = False

        self._later(for_s, up)

    def _slow_a_database(self) -> None:
        database = self.simulation.databases[self.chance.choice((BOOK, LICENCE))]
        for_s = self.chance.choice((1.0, 5.0))
        self.fault(f"the database of {database.scope} is slow for {for_s} s")
        database.faults = msgspec.structs.replace(self.plan.database, slow=0.6, slowest_s=0.5)

        def quick() -> None:
            if not self._healing:
                database.faults = self.plan.database

        self._later(for_s, quick)

    def _later(self, after_s: float, work: Callable[[], None]) -> None:
        context = self.loop.outside.context.copy()
        self.loop.call_later(after_s, work, context=context)

    def heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.simulation.note("HEALED")
        self._healing = True
        self.network.faults = NetworkFaults()
        self.network.cut.clear()
        self.bank.slow = self.exchange.slow = 0.0
        self.news.doubled = self.news.lost = 0.0
        for name in list(self.network.former):
            self._silence(name)
        for server in self._paused:
            self.loop.resume(server.process)
        for database in self.simulation.databases.values():
            database.faults = DatabaseFaults()
            database.down = False
            database.cut.clear()

    # Coming to rest

    async def _rest(self) -> None:
        await self._until_answered([op for op in self.ops if not op.answered])
        await self._quiet()
        # Whatever was not heard, after so long all books have been read once more.
        await asyncio.sleep(2 * BOUNDS["actors.runtime.keeper.MAX_AGE_MS"] / 1_000)
        await self._quiet()
        for market in self.markets:
            await self._see_risk(market)
        await self._quiet()
        first = len(self.views)
        for player in self.players:
            await self._last_read(LICENCE, player, GetWallet(player))
        self.last_views = self.views[first:]

    async def _quiet(self) -> None:
        for _ in range(int(2 * QUIET_S)):
            if not self._open_ends():
                return
            await asyncio.sleep(0.5)

    def _open_ends(self) -> list[str]:
        """What still has to happen by itself."""
        ends = []
        for scope, database in self.simulation.databases.items():
            reads = RiskReads(database, self.news)
            if reads._heads() != reads._positions():
                ends.append(f"the ledger of {scope} is behind")
            ends += [f"{one.market_id} is not settled" for one in reads._unsettled()]
        pending = [row for row in self.ledger.payments.values() if row.state == "pending"]
        ends += [f"payment {row.payment_id} is pending" for row in pending]
        if self.loop.now_s - self.exchange.asked_s < 3:
            ends.append("the exchange was asked a moment ago")
        owners: set[str] = set()
        for server in self.network.servers.values():
            shard = getattr(server.host, "_shard", None)
            for partition in shard.partitions.values() if shard else ():
                if partition.name in owners:  # a former owner answers until it looks again
                    ends.append(f"{partition.name} is open twice")
                owners.add(partition.name)
                for market in partition.actors("market"):
                    for hedge_id in market.hedge_orders:
                        ends.append(f"{hedge_id} is ordered")
                    if market.book.holds:
                        ends.append(f"{market.market_id} has holds")
                    if market.book.outdated and not market.may_rest():
                        ends.append(f"{market.market_id} has to read its book again")
                    if not market.book.whole and not market.may_rest():
                        ends.append(f"{market.market_id} may have forgotten holds")
        return ends

    @property
    def ledger(self) -> Any:
        return self.simulation.databases[LICENCE].ledger

    async def _see_risk(self, market: str) -> None:
        """Its book, and what is left to do for the coordinator, which is given time for it."""
        fixture = fixture_of(market)
        for _ in range(20):
            view: MarketView = await self._last_read(BOOK, fixture, GetMarket(fixture, market))
            exposure = self.exposures[market] = await self._exposure(market, view)
            curve = self.risk.curves.of(view.kind)
            left = self.moves_left[market] = decide_moves(exposure, view, curve)
            if not left:
                return
            await asyncio.sleep(0.5)

    async def _exposure(self, market: str, view: MarketView) -> Exposure:
        """The market's book; one that was asleep is given time to read its liability."""
        over = all(selection.result for selection in view.selections)
        for _ in range(60):
            exposure: Exposure = await self._last_read(
                BOOK, fixture_of(market), GetExposure(market)
            )
            if exposure.known or over:  # a market that is over reads no totals any more
                return exposure
            await asyncio.sleep(0.5)
        raise Wrong(f"{market} never knows its liability: {exposure}")

    async def _last_read(self, scope: str, routing_id: str, question: Any) -> Any:
        for _ in range(100):
            view = await self.read(scope, routing_id, question)
            if view is not None:
                return view
            await asyncio.sleep(0.5)
        raise Wrong(f"{question} is never answered")


KINDS = tuple(
    name.removeprefix("_")
    for name in vars(Evening)
    if name.startswith(
        ("_kill_a", "_kill_the", "_pause_", "_usurp_", "_move_a", "_cut_", "_stop_", "_slow_")
    )
)


def _random(seed: int, purpose: str) -> Any:
    from random import Random

    return Random(f"{seed} {purpose}")
