"""Stops that stand, and what comes under them only later.

Whoever orders a stop suspends what there is by then (`gateway.desk.actions`). Who opens a market
afterwards suspends it for the same cause before it has a price (`Opening`), if he can know of the
stop already. What he could not know, and what a stopped source prices that was not its own before,
the coordinator of risk finds in the book's journal as it grows (`Standing`), and what an order has
left out that broke off; and it lets go what was suspended for a stop that was lifted meanwhile.

Each time the stop itself is asked: its markets are suspended while it stands, and resumed once it
does not. Whichever was heard last, the lift is heard after it, and so nothing stays suspended for a
stop that nobody can lift any more. What is remembered here may be lost: it is found again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog

from actors.entries import Entry
from actors.errors import NoAnswer
from actors.placement import BOOK, Router
from actors.runtime.addresses import fixture_of
from actors.runtime.clock import Clock
from actors.stop import GetStop, Reach, StopLifted, StopOrdered, StopView, cause_of
from actors.trading import (
    MarketOpened,
    PricesChanged,
    PricesHeld,
    SwitchedMarkets,
    SwitchMarkets,
)
from ledger.desk_reads import StandingStop, is_of
from ledger.journal import JournalUnavailable

log = structlog.get_logger()

SWEEP_MS = 3_000
"""How long after a stop was ordered or lifted the ledger is asked what it reaches: it is behind,
and whoever ordered it gives it two seconds."""
KNOWN_MS = 1_000
"""For how long who opens markets goes by the same list of stops."""
AT_ONCE = 50
"""Fixtures that are told at a time."""

Place = tuple[str, str]
"""A fixture and a market of it."""


class Reads(Protocol):
    async def standing_stops(self) -> Sequence[StandingStop]: ...

    async def tradable(
        self, fixture_id: str | None = None, *, or_decided: bool = False
    ) -> list[Place]: ...

    async def tradable_of_source(self, source: str) -> list[Place]: ...


async def reached(reads: Reads, stop: StopView) -> list[Place]:
    """Fixtures and markets that are to be suspended, as the ledger knows them."""
    match stop.reach:
        case Reach.MARKET:
            return [(fixture_of(stop.target), stop.target)]
        case Reach.EVENT:
            return await reads.tradable(stop.target)
        case Reach.SOURCE:
            return await reads.tradable_of_source(stop.target)
        case Reach.EVERYTHING:
            return await reads.tradable()


async def stopped(reads: Reads, stop: StopView) -> list[Place]:
    """Those among which all are that the stop has suspended. Who has priced a market may have
    changed since, and it may have a result: were that taken back, the cause would be there still,
    and nobody could lift it."""
    if stop.reach is Reach.MARKET:
        return [(fixture_of(stop.target), stop.target)]
    fixture_id = stop.target if stop.reach is Reach.EVENT else None
    return await reads.tradable(fixture_id, or_decided=True)


def comes_under(stop: StopView, fixture_id: str, by: str, *, new: bool) -> bool:
    """Whether a market does that `by` has just opened (`new`) or priced."""
    match stop.reach:
        case Reach.MARKET:
            return False  # it was there before
        case Reach.EVENT:
            return new and fixture_id == stop.target
        case Reach.SOURCE:
            return is_of(by, stop.target)
        case Reach.EVERYTHING:
            return new


class Opening:
    """For who opens markets: what suspends a new one, to be done before it has its first price.

    It knows the stops that the ledger knows, as of a second ago; `Standing` finds the rest.
    """

    def __init__(self, router: Router, clock: Clock, reads: Reads) -> None:
        self._router = router
        self._clock = clock
        self._reads = reads
        self._rows: Sequence[StandingStop] = ()
        self._read_at_ms = 0
        self._reading = asyncio.Lock()

    async def causes(self, fixture_id: str, by: str) -> list[str]:
        """Of a market that `by` opens. Raises `NoAnswer` and `JournalUnavailable`."""
        async with self._reading:
            now_ms = self._clock.now_ms()
            if now_ms >= self._read_at_ms + KNOWN_MS:
                self._rows = await self._reads.standing_stops()
                self._read_at_ms = now_ms
        found = []
        for row in self._rows:
            stop = (await self._router.ask(BOOK, row.stop_id, GetStop(row.stop_id))).reply
            assert isinstance(stop, StopView), stop
            if not stop.lifted_at_ms and comes_under(stop, fixture_id, by, new=True):
                found.append(cause_of(stop.stop_id))
        return found


class Standing:
    """The stops of one book; the coordinator of risk hears and steps for it.

    `done` is counted up: `stopped` markets that were opened under a stop, and those `let_go`.
    """

    def __init__(self, router: Router, clock: Clock, reads: Reads, done: Counter[str]) -> None:
        self._router = router
        self._clock = clock
        self._reads = reads
        self._done = done
        self._stops: dict[str, StopView] = {}
        self._unread: set[str] = set()
        """Of which only the id is known yet."""
        self._sweeps: dict[str, int] = {}
        """When the ledger is to be asked what a stop reaches."""
        self._due: defaultdict[str, set[Place]] = defaultdict(set)
        """By stop, what is to be switched now."""
        self._under: dict[str, set[Place]] = {}
        """By stop, what was switched for it on the way: no more than all markets of the book that
        were opened or priced while it stands."""

    async def start(self) -> None:
        """Raises `JournalUnavailable`."""
        self._unread = {row.stop_id for row in await self._reads.standing_stops()}

    def hear(self, entries: Iterable[Entry]) -> None:
        """What is new in the book. Of what was read together the stops come first: which of two
        partitions was written first can't be seen."""
        entries = list(entries)
        for entry in entries:
            for event in entry.events:
                match event:
                    case StopOrdered():
                        stop = StopView(event.stop_id, event.reach, event.target, event.at_ms, 0)
                        self._stands(stop, self._clock.now_ms() + SWEEP_MS)
                    case StopLifted():
                        self._unread.discard(event.stop_id)
                        self._stops.pop(event.stop_id, None)
                        self._due[event.stop_id] |= self._under.pop(event.stop_id, set())
                        self._sweeps[event.stop_id] = self._clock.now_ms() + SWEEP_MS
                    case _:
                        pass
        if not self._stops:
            return
        for entry in entries:
            for event in entry.events:
                match event:
                    case MarketOpened():
                        self._comes_under((event.fixture_id, event.market_id), entry.by, new=True)
                    case PricesChanged(moved=False) | PricesHeld():
                        self._comes_under((event.fixture_id, event.market_id), entry.by, new=False)
                    case _:
                        pass

    def _stands(self, stop: StopView, sweep_ms: int) -> None:
        self._stops[stop.stop_id] = stop
        self._under.setdefault(stop.stop_id, set())
        self._sweeps[stop.stop_id] = sweep_ms

    def _comes_under(self, place: Place, by: str, *, new: bool) -> None:
        """The market was opened by somebody, or priced by him."""
        for stop_id, stop in self._stops.items():
            reaches = comes_under(stop, place[0], by, new=new)
            if reaches and place not in self._under[stop_id]:
                self._under[stop_id].add(place)
                self._due[stop_id].add(place)

    async def step(self) -> None:
        """Switch what is due. What can't be said or read now is due again."""
        now_ms = self._clock.now_ms()
        sweeps = {name for name, due_ms in self._sweeps.items() if due_ms <= now_ms}
        due = {name for name, places in self._due.items() if places}
        for stop_id in self._unread | due | sweeps:
            try:
                await self._attend(stop_id, sweep=stop_id in sweeps)
            except (NoAnswer, JournalUnavailable) as missing:
                log.warning("stop_waits", stop=stop_id, why=str(missing))

    async def _attend(self, stop_id: str, *, sweep: bool) -> None:
        stop = (await self._router.ask(BOOK, stop_id, GetStop(stop_id))).reply
        assert isinstance(stop, StopView), stop
        if stop_id in self._unread:
            self._unread.discard(stop_id)
            if not stop.lifted_at_ms:
                self._stands(stop, self._clock.now_ms())
        await self._switch(stop, self._due.pop(stop_id, set()))
        if sweep:
            find = stopped if stop.lifted_at_ms else reached
            await self._switch(stop, await find(self._reads, stop))
            del self._sweeps[stop_id]

    async def _switch(self, stop: StopView, places: Iterable[Place]) -> None:
        """Suspend the markets for the stop, or resume them if it is lifted. Those of which no
        answer comes are due again."""
        fixtures: defaultdict[str, list[str]] = defaultdict(list)
        for fixture_id, market_id in places:
            fixtures[fixture_id].append(market_id)
        told = list(fixtures.items())
        for start in range(0, len(told), AT_ONCE):
            await asyncio.gather(
                *(self._tell(stop, *fixture) for fixture in told[start : start + AT_ONCE])
            )

    async def _tell(self, stop: StopView, fixture_id: str, market_ids: list[str]) -> None:
        resume = bool(stop.lifted_at_ms)
        message = SwitchMarkets(fixture_id, market_ids, cause_of(stop.stop_id), resume)
        try:
            answer = (await self._router.ask(BOOK, fixture_id, message, by="risk")).reply
        except NoAnswer as missing:
            log.warning("stop_waits", stop=stop.stop_id, fixture=fixture_id, why=missing.why)
            self._due[stop.stop_id] |= {(fixture_id, market_id) for market_id in market_ids}
            return
        assert isinstance(answer, SwitchedMarkets)
        if answer.changed:
            self._done["let_go" if resume else "stopped"] += answer.changed
            log.info(
                "markets_let_go" if resume else "markets_stopped",
                stop=stop.stop_id,
                fixture=fixture_id,
                markets=answer.changed,
            )
