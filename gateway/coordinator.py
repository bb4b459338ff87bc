"""The coordinator of risk: what a desk would do all day, done by itself.

    prices move as liability builds, and come back       `actors.risk.desk`
    markets are suspended at the hard limit, and resumed
    markets whose prices are past their age are suspended, and resumed when they are not
    liability above a share of its limit is laid off      `actors.risk.hedge`, `gateway.exchanges`
    what is opened under a stop is suspended for it       `gateway.standing`
    patterns in what is bet are kept as alerts            `gateway.alarms`

It reads the journals as they grow, and so knows which markets have changed; only those are asked
how they stand, each at most once a second. It decides nothing on what it has read: the market is
asked again before each step, and refuses what was decided on prices that are not the last.

What it remembers may be lost at any moment. A hedge is therefore written down before an exchange is
asked for it (`OrderHedge`): whoever comes after finds the order, gives the same one under the same
id, and records what the exchange answers, once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from actors.base import Command, Reason, Refused
from actors.bet import BetPlaced, BetSettled
from actors.book import WHOLE, liability_of
from actors.cashout import CashedOut
from actors.declaring import ResultDeclared
from actors.entries import AnyEvent, Entry
from actors.errors import NoAnswer
from actors.fixture import UNLIMITED
from actors.hedging import LapseHedge, OrderHedge, RecordHedge
from actors.market import (
    LIABILITY,
    STALE,
    TRADABLE,
    DeskEvent,
    Exposure,
    GetExposure,
    GetMarket,
    HedgeOrder,
    Limits,
    MarketEvent,
    MarketView,
)
from actors.odds import MAX_ODDS
from actors.outcomes import ResultRolledBack
from actors.placement import BOOK, Router
from actors.risk.desk import decide_moves
from actors.risk.hedge import loses_at_most_minor, propose
from actors.risk.settings import RiskSettings, hedge_target_minor
from actors.runtime.addresses import fixture_of
from actors.runtime.clock import Clock
from actors.runtime.keys import fingerprint
from actors.trading import (
    LimitsChanged,
    MarketOpened,
    MovePrices,
    PricesChanged,
    PricesGivenBack,
    PricesHeld,
    StatusChanged,
    Suspend,
)
from gateway import alarms, standing
from gateway.alarms import Alarms
from gateway.exchanges.exchange import BackOrder, Exchange, Matched, Unmatched
from gateway.exchanges.exchange import NoAnswer as NoExchange
from ledger.journal import JournalUnavailable
from ledger.money import Money

log = structlog.get_logger()

PERIOD_S = 0.2
"""Between two looks at the journals."""
WARM_UP_MS = 120_000
"""How much of the past is read at the start: what alerts go by, and what the ledger may lack."""
LOOK_MS = 1_000
"""Between two looks at one market. Its limits it keeps by itself, with every bet."""
ENOUGH = 100
"""The share of a market's limit, in ten-thousandths, that may be bet before it is looked at again
so soon."""
AFRESH_MS = 5_000
"""Between two looks at a market on which less than that was bet."""
HOLDS_MS = 10_000
"""When a market with holds is looked at though nothing was heard: nobody says that one ran out."""
UNHEARD_MS = 60_000
"""And one with bets: its book may learn from the ledger, after the news, of what was bought back or
settled. There are many of these."""
AGAIN_MS = 1_000
"""When a market is asked again that did not answer, or does not know its liability yet."""
AT_ONCE = 50
"""Markets that are asked at a time; a few hundred a second."""
EXCHANGE_S = 20.0
"""How long an exchange may take to answer."""
LAPSED_MS = 60_000
"""How long nothing more is laid off of a market after an exchange would not have it."""
BY = "risk"


class NewBlock(Protocol):
    @property
    def partition(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def entries(self) -> list[Entry]: ...


class Journal(Protocol):
    """One scope's journal, as it grows."""

    async def journal_ends(self, before_ms: int) -> Mapping[str, int]:
        """The last block of every partition that was recorded before a moment."""
        ...

    async def new_blocks(self, known: Mapping[str, int]) -> Sequence[NewBlock]:
        """What came after the blocks that are known of each partition, a few at a time."""
        ...


class Book(Journal, Protocol):
    async def tradable_markets(self) -> Sequence[str]: ...

    async def ordered_hedges(self) -> Sequence[str]: ...


class Players(Journal, alarms.Players, Protocol):
    async def exposed_markets(self) -> Sequence[str]: ...


class _Tail:
    """What is new in one scope's journal, in the order of each partition."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[str, int] = {}

    async def start(self, since_ms: int) -> None:
        self._known = dict(await self._journal.journal_ends(since_ms))

    async def next(self) -> list[Entry]:
        entries = []
        for block in await self._journal.new_blocks(self._known):
            self._known[block.partition] = block.seq
            entries += block.entries
        return entries


def _events(entries: Sequence[Entry]) -> Iterator[AnyEvent]:
    return (event for entry in entries for event in entry.events)


def _markets_of(event: AnyEvent) -> Sequence[str]:
    """Of which markets a player's bet is no more. Slips have a room of their own, by which nothing
    is moved; and the market of a settlement that is taken back has a result."""
    match event:
        case BetSettled():
            return (event.market_id,)
        case CashedOut():
            return [change.market_id for change in event.exposed]
        case _:
            return ()


class _Seen(msgspec.Struct):
    """Of a market that somebody has bet on, or that we have done something to: the last look."""

    at_ms: int = 0
    enough_minor: int = 0
    """The liability of new bets that makes another look urgent."""
    new_minor: int = 0


class _Aging(msgspec.Struct):
    """Of a market whose prices may be too old: all that says when they are."""

    limits: Limits
    in_play: bool = False
    priced_at_ms: int = 0

    @property
    def due_ms(self) -> int | None:
        """The first moment at which they are; None where they never are."""
        limit = self.limits.max_age_in_play_ms if self.in_play else self.limits.max_age_ms
        return self.priced_at_ms + limit + 1 if limit else None


def _enough_minor(limits: Limits) -> int:
    least = min(limits.max_liability_minor, limits.max_market_liability_minor or UNLIMITED)
    return least * ENOUGH // WHOLE


class Coordinator:
    """For one book and the players of its licences. One at a time is enough; two do no harm."""

    def __init__(
        self,
        settings: RiskSettings,
        router: Router,
        clock: Clock,
        book: Book,
        stops: standing.Reads,
        players: Mapping[str, Players],
        exchanges: Mapping[str, Exchange],
        new_id: Callable[[], str],
    ) -> None:
        self.done: Counter[str] = Counter()
        """What was done since the process began: `moves`, `suspensions`, `hedges` and so on."""
        self._standing = standing.Standing(router, clock, stops, self.done)
        self._settings = settings
        self._router = router
        self._clock = clock
        self._book = book
        self._players = players
        self._exchanges = exchanges
        self._new_id = new_id
        self._alarms = {
            licence: Alarms(licence, settings.alerts, router, reads, self.done)
            for licence, reads in players.items()
        }
        self._tails = {licence: _Tail(reads) for licence, reads in players.items()}
        self._book_tail = _Tail(book)
        self._due: dict[str, int] = {}
        """When each market that has to be looked at is; and in the order of that:"""
        self._queue: list[tuple[int, str]] = []
        self._looked: dict[str, _Seen] = {}
        self._aging: dict[str, _Aging] = {}
        self._hedging: dict[str, asyncio.Task[None]] = {}
        self._no_hedge_before: dict[str, int] = {}

    @property
    def alerts(self) -> Counter[str]:
        """Raised since the process began, by pattern."""
        total: Counter[str] = Counter()
        for one in self._alarms.values():
            total += one.raised
        return total

    async def run(self) -> None:
        """For ever, until it is cancelled. Raises what the ledgers raise at the start; to be called
        again then."""
        await self.start()
        try:
            while True:
                try:
                    await self.step()
                except (NoAnswer, JournalUnavailable) as missing:
                    log.warning("risk_waits", why=str(missing))
                    await self._clock.sleep(AGAIN_MS / 1_000)
                await self._clock.sleep(PERIOD_S)
        finally:
            for task in self._hedging.values():
                task.cancel()
            for one in self._alarms.values():
                one.stop()

    async def start(self) -> None:
        """Find the end of the journals, and every market that somebody may have to look at."""
        now_ms = self._clock.now_ms()
        for tail in (self._book_tail, *self._tails.values()):
            await tail.start(now_ms - WARM_UP_MS)
        await self._standing.start()
        urgent = set(await self._book.ordered_hedges())
        for reads in self._players.values():
            urgent.update(await reads.exposed_markets())
        for market_id in urgent:
            self._looked[market_id] = _Seen()
            self._look_at(market_id, now_ms)
        for market_id in await self._book.tradable_markets():
            if market_id not in urgent:
                self._look_at(market_id, now_ms + 1)

    async def step(self) -> None:
        """Hear what is new, and look at the markets that are due."""
        bet_on: Counter[str] = Counter()
        for licence, tail in self._tails.items():
            watched = self._alarms[licence]
            for event in _events(await tail.next()):
                watched.hear(event)
                if isinstance(event, BetPlaced):
                    leg = event.legs[0]
                    bet_on[leg.market_id] += liability_of(event.stake.minor, leg.odds or MAX_ODDS)
                else:
                    for market_id in _markets_of(event):
                        self._touch(market_id)
        for market_id, liability_minor in bet_on.items():
            self._touch(market_id, liability_minor)
        entries = await self._book_tail.next()
        for event in _events(entries):
            for one in self._alarms.values():
                one.hear(event)
            if isinstance(event, MarketEvent):
                self._market_event(event)
        # First what takes bets and must not.
        self._standing.hear(entries)
        await self._standing.step()
        for one in self._alarms.values():
            await one.look(self._clock.now_ms())
        due = self._take_due()
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._look(name) for name in due[start : start + AT_ONCE]))

    # What is heard

    def _market_event(self, event: MarketEvent) -> None:
        market_id = event.market_id
        aging = self._aging.get(market_id)
        match event:
            case MarketOpened():
                self._ages(market_id, _Aging(event.limits, priced_at_ms=event.at_ms))
            case PricesChanged() if not event.moved:
                if aging is not None:
                    aging.priced_at_ms = event.at_ms - event.age_ms
                    self._watch_age(market_id, aging)
                if market_id in self._looked:
                    self._touch(market_id)
            case StatusChanged():
                if aging is not None:
                    aging.in_play = event.in_play
                    self._watch_age(market_id, aging)
                elif event.status in TRADABLE:
                    # It may have been closed, and so forgotten, with a cause that is gone by now.
                    self._look_at(market_id, self._clock.now_ms())
                if STALE in event.causes or LIABILITY in event.causes:
                    self._looked.setdefault(market_id, _Seen())
            case LimitsChanged():
                if aging is not None:
                    aging.limits = event.limits
                self._touch(market_id)  # which sees its age, if it has one now
            case PricesHeld() | PricesGivenBack() | DeskEvent():
                self._touch(market_id)
            case ResultDeclared():
                self._forget(market_id)
            case ResultRolledBack():
                self._touch(market_id)
            case _:
                pass

    def _touch(self, market_id: str, new_minor: int | None = None) -> None:
        """Something has changed there: look at it, but not all the time. Of bets it is their
        liability that says how soon."""
        seen = self._looked.get(market_id)
        if seen is None:
            seen = self._looked[market_id] = _Seen()
        wait_ms = LOOK_MS
        if new_minor is not None:
            seen.new_minor += new_minor
            if seen.new_minor < seen.enough_minor:
                wait_ms = AFRESH_MS
        self._look_at(market_id, max(self._clock.now_ms(), seen.at_ms + wait_ms))

    def _look_at(self, market_id: str, due_ms: int) -> None:
        if due_ms < self._due.get(market_id, due_ms + 1):
            self._due[market_id] = due_ms
            heapq.heappush(self._queue, (due_ms, market_id))

    def _take_due(self) -> list[str]:
        """The markets whose time has come, a few of them at a time."""
        now_ms = self._clock.now_ms()
        taken: list[str] = []
        while self._queue and self._queue[0][0] <= now_ms and len(taken) < AT_ONCE:
            due_ms, market_id = heapq.heappop(self._queue)
            if self._due.get(market_id) == due_ms:
                del self._due[market_id]
                taken.append(market_id)
        return taken

    def _ages(self, market_id: str, aging: _Aging) -> None:
        if aging.limits.max_age_ms or aging.limits.max_age_in_play_ms:
            self._aging[market_id] = aging
            self._watch_age(market_id, aging)
        else:
            self._aging.pop(market_id, None)

    def _watch_age(self, market_id: str, aging: _Aging) -> None:
        if aging.due_ms is not None:
            self._look_at(market_id, max(aging.due_ms, self._clock.now_ms()))

    def _forget(self, market_id: str) -> None:
        self._aging.pop(market_id, None)
        self._looked.pop(market_id, None)
        self._due.pop(market_id, None)
        self._no_hedge_before.pop(market_id, None)

    # What is done

    async def _look(self, market_id: str) -> None:
        """See how a market stands, and do what follows."""
        now_ms = self._clock.now_ms()
        aging = self._aging.get(market_id)
        if aging is not None and market_id not in self._looked:
            # Nobody has bet: only its age is looked at, and mostly it was priced meanwhile.
            due_ms = aging.due_ms
            if due_ms is not None and now_ms < due_ms:
                self._look_at(market_id, due_ms)
                return
        try:
            again_ms = await self._stand(market_id, now_ms)
        except NoAnswer as missing:
            log.info("market_not_seen", market=market_id, why=missing.why)
            again_ms = AGAIN_MS
        except Exception:
            # Of one market: the others are looked at all the same.
            log.exception("market_not_looked_at", market=market_id)
            again_ms = 10 * AGAIN_MS
        if again_ms:
            self._look_at(market_id, now_ms + again_ms)

    async def _stand(self, market_id: str, now_ms: int) -> int:
        """Returns after how many milliseconds it has to be looked at again, 0 for no such need."""
        fixture_id = fixture_of(market_id)
        # Both with one message.
        seen, exposed = await asyncio.gather(
            self._router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id)),
            self._router.ask(BOOK, fixture_id, GetExposure(market_id)),
        )
        market, exposure = seen.reply, exposed.reply
        if not isinstance(market, MarketView):
            self._forget(market_id)
            return 0
        assert isinstance(exposure, Exposure)
        if exposure.ordered:
            self._hedge_beside(market, exposure)
        if market.status not in TRADABLE:
            self._forget(market_id)
            return 0
        # Of prices that are too old already there is nothing to wait for, nor of those that nobody
        # but a trader answers for.
        aging = _Aging(market.limits, market.in_play, now_ms - market.price_age_ms)
        if market.stale or market.by_hand:
            self._aging[market_id] = aging
        else:
            self._ages(market_id, aging)
        bet_on = bool(exposure.lines or exposure.hedged or market.causes)
        ends = [one.hand.until_ms for one in market.selections if one.hand and one.hand.until_ms]
        if bet_on or ends or market_id in self._looked:
            self._looked[market_id] = _Seen(now_ms, _enough_minor(market.limits))
        if not exposure.known:
            return AGAIN_MS
        curve = self._settings.curves.of(market.kind)
        for command in decide_moves(exposure, market, curve):
            if not await self._tell(fixture_id, command):
                return AGAIN_MS
        if bet_on and not exposure.ordered and now_ms >= self._no_hedge_before.get(market_id, 0):
            self._hedge_beside(market, exposure)
        waits = [until_ms - now_ms for until_ms in ends]
        if exposure.holds:
            waits.append(HOLDS_MS)
        elif market_id in self._looked:
            # Also where the book knows of no bet: it may have lost them, and find them again.
            waits.append(UNHEARD_MS)
        return max(1, min(waits)) if waits else 0

    async def _tell(self, fixture_id: str, command: Command) -> bool:
        """Whether it was done; if not, things stand otherwise than a moment ago."""
        reply = (await self._router.ask(BOOK, fixture_id, command, by=BY)).reply
        if isinstance(reply, Refused):
            log.info("risk_refused", command=type(command).__name__, why=reply.reason)
            return False
        match command:
            case MovePrices():
                self.done["moves"] += 1
            case Suspend(cause=cause):
                self.done["suspensions"] += 1
                log.info("market_suspended", market=command.market_id, cause=cause)
            case _:
                self.done["resumed"] += 1
        return True

    # Laying off

    def _hedge_beside(self, market: MarketView, exposure: Exposure) -> None:
        """An exchange may take long: nobody waits for it. One market has one hedge under way."""
        wanted = exposure.ordered or self._hedge_target_minor(market, exposure) is not None
        if market.market_id in self._hedging or not wanted:
            return
        task = asyncio.ensure_future(self._hedge_safely(market, exposure))
        self._hedging[market.market_id] = task
        task.add_done_callback(lambda _: self._hedging.pop(market.market_id, None))

    def _hedge_target_minor(self, market: MarketView, exposure: Exposure) -> int | None:
        """To what hedges are to bring the market's worst case; None where none are wanted."""
        settings = self._settings.hedges
        if not settings.exchange or market.winners != 1:
            return None
        return hedge_target_minor(settings, market.limits, loses_at_most_minor(exposure, market))

    async def _hedge_safely(self, market: MarketView, exposure: Exposure) -> None:
        now_ms = self._clock.now_ms()
        try:
            async with asyncio.timeout(EXCHANGE_S):
                if await self._hedge(market, exposure):
                    self._look_at(market.market_id, now_ms + LOOK_MS)
        except (NoAnswer, NoExchange, TimeoutError) as missing:
            log.info("hedge_waits", market=market.market_id, why=repr(missing))
            self._look_at(market.market_id, now_ms + AGAIN_MS)
        except Exception:
            log.exception("hedge_failed", market=market.market_id)
            self._look_at(market.market_id, now_ms + 10 * AGAIN_MS)

    async def _hedge(self, market: MarketView, exposure: Exposure) -> bool:
        """Finish what is ordered, or else order what is wanted. Whether anything was done."""
        for hedge_id, order in exposure.ordered.items():
            await self._carry_out(market, hedge_id, order)
            return True
        settings = self._settings.hedges
        target_minor = self._hedge_target_minor(market, exposure)
        if target_minor is None:
            return False
        odds = {one.selection_id: one.odds for one in market.selections if not one.withdrawn}
        exchange = self._exchanges[settings.exchange]
        quotes = await exchange.quotes(market.market_id, market.currency, odds)
        proposal = propose(exposure, market, quotes, target_minor)
        wanted = [one for one in proposal.orders if one.stake_minor >= settings.min_stake_minor]
        if not wanted:
            return False
        self.done["proposals"] += 1
        if not settings.place:
            log.info("hedge_proposed", market=market.market_id, orders=len(wanted))
            self._no_hedge_before[market.market_id] = self._clock.now_ms() + LAPSED_MS
            return False
        # The largest first: by it the others may become smaller, or none.
        largest = max(wanted, key=lambda one: one.stake_minor)
        command = OrderHedge(
            market.fixture_id,
            market.market_id,
            self._new_id(),
            largest.selection_id,
            largest.stake_minor,
            largest.odds,
            settings.exchange,
            sum(line.bets for line in exposure.hedged.values()),
        )
        # Under a key: else an order that came twice, the second time late, would be one again that
        # has lapsed since.
        asked = self._router.ask(
            BOOK,
            market.fixture_id,
            command,
            key=f"hedge {command.hedge_id}",
            fingerprint=fingerprint("hedge", command.hedge_id),
            by=BY,
        )
        ordered = (await asked).reply
        if isinstance(ordered, Refused):
            # Somebody else has ordered one, or has made one since, or the record is full.
            log.info("hedge_not_ordered", market=market.market_id, why=ordered.reason)
            return ordered.reason in (Reason.WRONG_STATUS, Reason.SUPERSEDED)
        await self._carry_out(market, command.hedge_id, ordered.order)
        return True

    async def _carry_out(self, market: MarketView, hedge_id: str, order: HedgeOrder) -> None:
        """Have the exchange make the bet that is written down, and write down what it says."""
        exchange = self._exchanges[order.exchange]
        stake = Money(order.stake_minor, market.currency)
        answer = await exchange.back(
            BackOrder(
                hedge_id, market.market_id, order.selection_id, stake, order.odds, order.at_ms
            )
        )
        if isinstance(answer, Matched) and not answer.stake.minor:
            answer = Unmatched("nothing_matched")  # all of it lapsed: there is no bet to record
        record: Command
        if isinstance(answer, Matched):
            record = RecordHedge(
                market.fixture_id,
                market.market_id,
                hedge_id,
                order.selection_id,
                answer.stake.minor,
                answer.odds,
                answer.commission,
                order.exchange,
                answer.reference,
            )
        else:
            record = LapseHedge(market.fixture_id, market.market_id, hedge_id, answer.code)
            self._no_hedge_before[market.market_id] = self._clock.now_ms() + LAPSED_MS
        reply = (await self._router.ask(BOOK, market.fixture_id, record, by=BY)).reply
        if isinstance(reply, Refused):
            # It was recorded before, by somebody whose answer was lost.
            log.info("hedge_not_recorded", hedge=hedge_id, why=reply.reason)
        else:
            self.done["hedges" if isinstance(answer, Matched) else "lapsed"] += 1
            log.info("hedge_recorded", market=market.market_id, hedge=hedge_id)
