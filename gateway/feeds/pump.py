"""Sends what a feed says to the book: at its time, in the order of each fixture, until it arrived.

A fixture has a lane of its own, in which one command is under way at a time, so a partition that
can't be reached holds up its own fixtures only. Prices that wait in a lane become one change for
each market: when the book is slower than the feed, players miss prices in between, never the last.

Commands are safe to send again. Prices carry a sequence number, and all others a key, `<keys of
the source>/<n>`, where n counts them; so a feed that starts again from the beginning after a crash
finds what it has already said, and goes on from there.

A live feed can't start from the beginning. What an earlier process of it has left on the board is
suspended and loses its prices before anything else, until the feed has said it again; and its
price changes are numbered on from those that each market has had, whatever the clocks say. A market
that is there already is brought to what the feed now says of it: who has joined since is added. Who
is there and is not named has no price; without a result of his own, bets on him are void.

While prices wait here they grow older, and say so.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import structlog

from actors.base import Command, Question, Reason, Refused
from actors.declaring import DeclareResult, WithdrawSelection
from actors.errors import Faulty, KeyReused, NoAnswer, Overloaded, Unavailable
from actors.fixture import ChangePhase, FixtureView, GetFixture, Phase
from actors.market import TRADABLE, GetMarket, MarketStatus, MarketView
from actors.outcomes import AddSelection, RollBackResult
from actors.placement import Router
from actors.results import VOID, Result
from actors.risk.limits import LimitTable
from actors.runtime.addresses import BOOK
from actors.runtime.clock import Clock
from actors.trading import ChangePrices, ChangeStatus, OpenMarket, Suspend
from gateway.feeds.feed import Feed, FeedCommand, Source
from gateway.standing import Opening
from ledger.journal import JournalUnavailable
from ledger.reads import LedgerReads

log = structlog.get_logger()

MAX_GAP_S = 2.0
"""The longest silence of a replay, in real seconds: nobody waits 32 hours for the next price."""
MAX_WAITING = 1_000
"""Commands that may wait in one lane. Beyond, the whole feed waits for this fixture."""
MAX_LOOKS = 600
LOOK_AGAIN_S = 0.1
"""How often the ledger is asked whether it has caught up, and with what pauses."""
PAGE = 100
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0

_SAID_BEFORE = (Reason.ALREADY_EXISTS, Reason.STALE_SEQUENCE)


class Tally(msgspec.Struct):
    """What became of a feed's commands."""

    steps: int = 0
    accepted: int = 0
    said_before: int = 0
    """Refused as stale or existing, as after a restart of the feed."""
    merged: int = 0
    """Price changes that went with a later one."""
    retries: int = 0
    taken_over: int = 0
    """Markets that an earlier process left open to bets, and that were suspended."""
    joined: int = 0
    """Selections that an earlier process had not told the book of."""
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """By reason; each of them is in the log too."""


async def pump(
    source: Source,
    router: Router,
    clock: Clock,
    *,
    speed: float = 1.0,
    max_gap_s: float | None = None,
    tally: Tally | None = None,
    limits: LimitTable | None = None,
    left: Iterable[str] = (),
    stops: Opening | None = None,
) -> Tally:
    """Say all that `source` has to say, and return when all of it has arrived.

    `left` are fixtures of the same live feed that an earlier process may have left on the board.
    `speed` multiplies the source's time; 0 is as fast as the book takes it. No two steps are
    more than `max_gap_s` real seconds apart (None: as far as the source says). `tally` is counted
    up on the way, for who wants to watch. `limits`: of markets for which the source says none;
    `stops`: under which a market that is opened may come. It can be cancelled, and started again
    with the same source.
    """
    if speed < 0:
        raise ValueError(f"speed is {speed}; it is 0 (as fast as possible) or above")
    tally = tally if tally is not None else Tally()
    due_ms = float(clock.now_ms())
    last_ms: int | None = None
    async with asyncio.TaskGroup() as lanes:
        sender = _Sender(source, router, clock, tally, lanes, limits, stops)
        await sender.take_over(left)
        async for step in source.steps():
            if speed and last_ms is not None:
                gap_ms = (step.at_ms - last_ms) / speed
                due_ms += gap_ms if max_gap_s is None else min(gap_ms, max_gap_s * 1_000)
                wait_ms = due_ms - clock.now_ms()
                if wait_ms > 0:
                    await clock.sleep(wait_ms / 1_000)
            last_ms = step.at_ms
            tally.steps += 1
            for command in step.commands:
                await sender.put(command, step.parts)
            if not speed:
                await sender.empty()
    return tally


class _Waiting(NamedTuple):
    command: FeedCommand
    key: str
    since_ms: int
    by: str


class _Lane:
    """What waits to be sent for one fixture."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.room = asyncio.Event()
        self.done = asyncio.Event()

    def take(self) -> list[_Waiting]:
        """The next command; or all prices that come next, one change for each market."""
        first = self.waiting.popleft()
        if not isinstance(first.command, ChangePrices):
            return [first]
        prices = {first.command.market_id: first}
        while self.waiting and isinstance(later := self.waiting[0].command, ChangePrices):
            put = self.waiting.popleft()
            before = prices.get(later.market_id)
            if before is not None:
                assert isinstance(before.command, ChangePrices)
                odds = {**before.command.odds, **later.odds}
                put = put._replace(command=msgspec.structs.replace(later, odds=odds))
            prices[later.market_id] = put
        return list(prices.values())


class _Found(NamedTuple):
    """A market that an earlier process of a live feed has opened."""

    withdrawn: frozenset[str]
    unnamed: dict[str, Result]
    """Selections of which this process has not heard, each with the result that it has already, as
    who went out early; else bets on it are void."""


class _Sender:
    def __init__(
        self,
        source: Source,
        router: Router,
        clock: Clock,
        tally: Tally,
        tasks: asyncio.TaskGroup,
        limits: LimitTable | None,
        stops: Opening | None,
    ) -> None:
        self.by = f"feed:{source.name}"
        self.keys = source.keys
        self.live = source.live
        self.router = router
        self.clock = clock
        self.tally = tally
        self.tasks = tasks
        self.limits = limits
        self.stops = stops
        self.lanes: dict[str, _Lane] = {}
        self.keyed = 0
        self.numbered: dict[str, int] = {}
        """The number of the last prices that a market had before this process."""
        self.found: dict[str, _Found] = {}

    async def put(self, command: FeedCommand, parts: Mapping[str, str]) -> None:
        key, by = "", self.by
        if self.limits and isinstance(command, OpenMarket):
            limits = self.limits.beside(command.limits, command.kind)
            command = msgspec.structs.replace(command, limits=limits)
        if not isinstance(command, ChangePrices):
            self.keyed += 1
            key = f"{self.keys}/{self.keyed}"
        elif part := parts.get(command.market_id):
            by = f"{self.by}/{part}"
        lane = self.lanes.get(command.fixture_id)
        while lane is not None and len(lane.waiting) >= MAX_WAITING:
            lane.room.clear()
            await lane.room.wait()
            lane = self.lanes.get(command.fixture_id)
        if lane is None:
            lane = self.lanes[command.fixture_id] = _Lane()
            self.tasks.create_task(self._drain(command.fixture_id, lane))
        lane.waiting.append(_Waiting(command, key, self.clock.now_ms(), by))

    async def empty(self) -> None:
        """Wait until everything has arrived: the pace of a replay that has none of its own."""
        while self.lanes:
            await next(iter(self.lanes.values())).done.wait()

    async def _drain(self, fixture_id: str, lane: _Lane) -> None:
        while lane.waiting:
            before = len(lane.waiting)
            taken = lane.take()
            self.tally.merged += before - len(lane.waiting) - len(taken)
            for waiting in taken:
                await self._send(*waiting)
            lane.room.set()
        # Nothing was awaited since the lane was found empty: nobody can have added to it.
        del self.lanes[fixture_id]
        lane.done.set()

    async def _send(self, command: FeedCommand, key: str, since_ms: int, by: str) -> None:
        if isinstance(command, ChangePrices):
            waited_ms = max(0, self.clock.now_ms() - since_ms)
            command = msgspec.structs.replace(
                command,
                sequence=command.sequence + self.numbered.get(command.market_id, 0),
                age_ms=command.age_ms + waited_ms,
            )
        elif found := self.found.get(getattr(command, "market_id", "")):
            if isinstance(command, WithdrawSelection) and command.selection_id in found.withdrawn:
                self.tally.said_before += 1
                return
            if isinstance(command, AddSelection):
                found.unnamed.pop(command.selection_id, None)
            elif isinstance(command, RollBackResult):
                found.unnamed.update(dict.fromkeys(found.unnamed, VOID))
            elif isinstance(command, DeclareResult) and found.unnamed and not command.cancelled:
                results = found.unnamed | command.results
                command = msgspec.structs.replace(command, results=results)
        try:
            reply = await self._ask(command.fixture_id, command, key, by)
        except (KeyReused, Faulty) as failure:
            self._not_done(command, key, type(failure).__name__, str(failure))
            return
        if not isinstance(reply, Refused):
            self.tally.accepted += 1
            if self.stops and isinstance(command, OpenMarket):
                await self._hold_back(self.stops, command.fixture_id, command.market_id)
        elif reply.reason in _SAID_BEFORE:
            self.tally.said_before += 1
            if self.live and isinstance(command, OpenMarket):
                # Opened by an earlier process, or forgotten by the source: it numbers from 1 again.
                market = await self._take_over(command.fixture_id, command.market_id)
                if market is not None:
                    await self._bring_up(market, command)
        else:
            self._not_done(command, key, reply.reason, reply.message, facts=reply.facts)

    async def _hold_back(self, stops: Opening, fixture_id: str, market_id: str) -> None:
        """Its prices wait behind this one in the lane: under a stop it takes no bet at all."""
        try:
            causes = await stops.causes(fixture_id, self.by)
        except (NoAnswer, JournalUnavailable) as missing:
            # The coordinator of risk finds it in a moment.
            log.warning("stops_not_known", market_id=market_id, why=str(missing))
            return
        for cause in causes:
            # Refused where somebody was quicker.
            await self._ask(fixture_id, Suspend(fixture_id, market_id, cause))

    async def _ask(
        self, fixture_id: str, message: Command | Question, key: str = "", by: str = ""
    ) -> Any:
        by = by or self.by
        return await _ask(self.router, self.clock, fixture_id, message, key, by, self.tally)

    async def take_over(self, fixture_ids: Iterable[str]) -> None:
        """Suspend what is open of these fixtures, and take its prices off."""
        for fixture_id in fixture_ids:
            fixture = await self._ask(fixture_id, GetFixture(fixture_id))
            if isinstance(fixture, FixtureView):
                for market_id in fixture.markets:
                    await self._take_over(fixture_id, market_id)

    async def _take_over(self, fixture_id: str, market_id: str) -> MarketView | None:
        """The market as it was before, if there is one."""
        market = await self._ask(fixture_id, GetMarket(fixture_id, market_id))
        if not isinstance(market, MarketView):
            return None
        self.numbered[market_id] = market.source_sequence
        if market.status not in TRADABLE:
            return market
        # Also one that is suspended for a cause: it would open when that is gone.
        if market.status is MarketStatus.OPEN or market.causes:
            self.tally.taken_over += 1
            suspend = ChangeStatus(
                fixture_id, market_id, MarketStatus.SUSPENDED, market.in_play, market.bet_delay_ms
            )
            key = f"{self.keys}/taken-over/{market_id}/{market.odds_version}"
            await self._insist(suspend, key)
        # Also what is behind a price held by hand.
        priced = {one.selection_id: 0 for one in market.selections if one.odds or one.hand}
        if priced:
            # What the feed has no price for any more it need not say.
            self.numbered[market_id] += 1
            await self._insist(
                ChangePrices(fixture_id, market_id, priced, self.numbered[market_id])
            )
        return market

    async def _bring_up(self, market: MarketView, opened: OpenMarket) -> None:
        """Add to a market that was there before whom the feed names now and did not then."""
        fixture_id, market_id = market.fixture_id, market.market_id
        there = {one.selection_id for one in market.selections}
        withdrawn = frozenset(one.selection_id for one in market.selections if one.withdrawn)
        unnamed = {
            one.selection_id: one.result or VOID
            for one in market.selections
            if not one.withdrawn and one.selection_id not in opened.selections
        }
        self.found[market_id] = _Found(withdrawn, unnamed)
        if _decided(market):
            return
        for selection_id, name in opened.selections.items():
            if selection_id not in there:
                self.tally.joined += 1
                join = AddSelection(fixture_id, market_id, selection_id, name)
                await self._insist(join, f"{self.keys}/joined/{market_id}/{selection_id}")

    async def _insist(
        self, command: ChangeStatus | ChangePrices | AddSelection, key: str = ""
    ) -> None:
        try:
            reply = await self._ask(command.fixture_id, command, key)
        except (KeyReused, Faulty) as error:
            self._not_done(command, key, "faulty", repr(error))
            return
        if isinstance(reply, Refused):
            self._not_done(command, key, reply.reason, reply.message, facts=reply.facts)

    def _not_done(self, command: FeedCommand, key: str, reason: str, why: str, **more: Any) -> None:
        self.tally.refused[reason] += 1
        log.warning(
            "feed_command_refused",
            feed=self.by,
            command=type(command).__name__,
            fixture_id=command.fixture_id,
            market_id=getattr(command, "market_id", ""),
            key=key,
            reason=reason,
            why=why,
            **more,
        )


async def _ask(
    router: Router,
    clock: Clock,
    fixture_id: str,
    message: Command | Question,
    key: str,
    by: str,
    tally: Tally,
) -> Any:
    """The reply to one message, which is repeated until there is one."""
    pause_s, first, since_ms = FIRST_PAUSE_S, message, clock.now_ms()
    while True:
        try:
            return (await router.ask(BOOK, fixture_id, message, key=key, by=by)).reply
        except (Unavailable, Overloaded) as no_answer:
            tally.retries += 1
            if pause_s == FIRST_PAUSE_S:
                log.info("feed_waits", fixture_id=fixture_id, why=str(no_answer))
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if isinstance(first, ChangePrices):
                # Also while nobody takes them they grow older.
                age_ms = first.age_ms + max(0, clock.now_ms() - since_ms)
                message = msgspec.structs.replace(first, age_ms=age_ms)


async def unfinished(book: LedgerReads, feed: Feed, run: str | None = None) -> list[str]:
    """The fixtures of a feed that are not over, as the book's ledger has them; of one run, or all.

    Waits until the ledger has what was written before: whoever has just died may have opened some.
    """
    heads = await book.heads()
    for _ in range(MAX_LOOKS):
        positions = await book.positions()
        if all(positions.get(partition, 0) >= head for partition, head in heads.items()):
            break
        await asyncio.sleep(LOOK_AGAIN_S)
    else:
        raise Unavailable("the book's ledger is too far behind to say what is on the board")
    found: list[str] = []
    for phase in (Phase.SCHEDULED, Phase.IN_PLAY):
        cursor: str | None = None
        while True:
            page, cursor = await book.fixtures(None, phase, cursor, PAGE)
            found += [row.fixture_id for row in page if feed.made(row.fixture_id, run)]
            if cursor is None:
                break
    return found


async def retire(router: Router, clock: Clock, fixture_ids: Iterable[str]) -> Tally:
    """Take fixtures off the board that no feed will ever finish, as those of an earlier run.

    Markets without a complete result are cancelled, so that every bet on them is void; then the
    fixture is. What is over or unknown is left alone, so it may be done again.
    """
    tally = Tally()
    by = "feed:retire"

    async def send(fixture_id: str, command: FeedCommand, key: str) -> None:
        reply = await _ask(router, clock, fixture_id, command, key, by, tally)
        if isinstance(reply, Refused):
            tally.refused[reply.reason] += 1
            log.warning("not_retired", fixture_id=fixture_id, key=key, reason=reply.reason)
        else:
            tally.accepted += 1

    for fixture_id in fixture_ids:
        fixture = await _ask(router, clock, fixture_id, GetFixture(fixture_id), "", by, tally)
        if not isinstance(fixture, FixtureView):
            continue
        for market_id in fixture.markets:
            question = GetMarket(fixture_id, market_id)
            market = await _ask(router, clock, fixture_id, question, "", by, tally)
            if isinstance(market, MarketView) and not _decided(market):
                cancel = DeclareResult(fixture_id, market_id, {}, cancelled=True)
                await send(fixture_id, cancel, f"retire/{market_id}")
        if fixture.phase not in (Phase.ENDED, Phase.CANCELLED):
            command = ChangePhase(fixture_id, Phase.CANCELLED, fixture.score)
            await send(fixture_id, command, f"retire/{fixture_id}")
    return tally


def _decided(market: MarketView) -> bool:
    if market.status in (MarketStatus.SETTLED, MarketStatus.CANCELLED):
        return True
    with_result = all(selection.result is not None for selection in market.selections)
    return market.status is MarketStatus.CLOSED and with_result
