"""Feeds through the odds engine: what they say of prices goes in, and the house's prices come out.

    {"lead": {"feed": "uof", "settings": {"live": {...}, "options": {"on_ladder": false}}},
     "others": {"exchange": {"feed": "betfair", "settings": {"margin_bp": 0, "live": {...}},
                             "max_age_ms": 60000, "max_age_in_play_ms": 5000,
                             "markets": {"bf-30-live:1.7": {"market": "uof-...:1",
                                                            "selections": {"47972": "1"}}}}},
     "margins": {"Football": {"model": "power", "overround": 10500}},
     "removals": {"Horse Racing": "shin"}}

One feed leads: fixtures and markets, their status and their results are what it says. Its prices,
and those of the others for the same markets, are sources of `actors.pricing.engine`, which takes
their margins off, blends them, puts the house's on and rounds. A feed whose prices are the house's
own already is run by itself, without this.

Markets of the same id are the same market; where the feeds call them otherwise, `markets` says
which is which. What another feed has suspended it has no price for.

*Age.* What comes out is as old as the oldest source in it, and says so to the book. A source that
has grown too old is not heard any more; without one, the prices go off the board by themselves.
When sources have only confirmed what they said, the book is told that too, before its limit.

The same steps give the same commands again: what happens is a function of what the feeds say and
when. Live feeds are heard as they come; others are merged by the times that they tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import Limits, MarketStatus
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.outcomes import AddSelection, RollBackResult, SettleSelections
from actors.pricing.blend import Blending, Pool
from actors.pricing.blend import Source as Weighed
from actors.pricing.engine import Engine, Publishing, Setup
from actors.pricing.ladder import Rounding
from actors.pricing.margin import Margin, Margins, Model
from actors.runtime.clock import Clock, WallClock
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds import feed as feed_named
from gateway.feeds.feed import Feed, FeedCommand, Source, Step, check_run

log = structlog.get_logger()

LEAD = "lead"
MAX_OTHERS = 15
MAX_HEARD = 1_000
"""Steps of live feeds that wait to be priced; beyond, the feeds wait."""
CONFIRM_SHARE = 3
"""The book is told that prices still hold when the third part of its limit has passed."""


class Called(msgspec.Struct, frozen=True):
    """How another feed's market is called here."""

    market: str
    selections: dict[str, str] = {}
    """Ours by the other feed's; what is not in it has the same id here."""


class FeedSettings(msgspec.Struct, frozen=True):
    """One feed, and how it is heard."""

    feed: str
    settings: msgspec.Raw = msgspec.Raw(b"{}")
    """Its own."""
    weight: int = 1
    max_age_ms: int = 3_600_000
    """How old its prices may be: since it said them, or said that they hold."""
    max_age_in_play_ms: int = 120_000
    removal: Model = Model.POWER
    """How its margin comes off, where `removals` do not say."""
    markets: dict[str, Called] = {}


class MarginSettings(msgspec.Struct, frozen=True):
    model: Model = Model.POWER
    overround: int = 10_600
    """In ten-thousandths: 10,600 is a book of 106 per cent."""
    longest: int = MAX_ODDS
    """The longest price there is, in ten-thousandths."""


class Settings(msgspec.Struct, frozen=True):
    lead: FeedSettings
    others: dict[str, FeedSettings] = {}
    """By names for them, under which they are in the log."""
    margin: MarginSettings = MarginSettings()
    """Where `margins` do not say."""
    margins: dict[str, MarginSettings] = {}
    """By "<sport>/<kind of market>", or by sport."""
    removals: dict[str, Model] = {}
    """How the sources' margins come off, by the same."""
    pool: Pool = Pool.LOG_ODDS
    outlier: float = 0.08
    overrounds: tuple[float, float] = (0.9, 2.0)
    """Between which a source's prices can be meant."""
    min_steps: int = 1
    """A longer price is told when it is so many steps of the ladder away."""
    rounding: Rounding = Rounding.DOWN


def engine_of(settings: Settings) -> Engine:
    """Raises `ValueError` for settings that contradict themselves."""
    margins = {name: Margin(*msgspec.structs.astuple(m)) for name, m in settings.margins.items()}
    feeds = {LEAD: settings.lead, **settings.others}
    return Engine(
        Margins(
            Margin(*msgspec.structs.astuple(settings.margin)),
            {name: margin for name, margin in margins.items() if "/" not in name},
            {name: margin for name, margin in margins.items() if "/" in name},
        ),
        Blending(
            {
                name: Weighed(feed.weight, feed.max_age_ms, feed.removal, feed.max_age_in_play_ms)
                for name, feed in feeds.items()
            },
            settings.pool,
            settings.outlier,
            settings.overrounds,
            settings.removals,
        ),
        Publishing(settings.min_steps, rounding=settings.rounding),
    )


class _Market:
    """One market on its way through the engine."""

    __slots__ = (
        "as_of_ms",
        "fixture_id",
        "in_play",
        "limits",
        "market_id",
        "odds",
        "owed",
        "reduces",
        "renew",
        "selections",
        "sequence",
        "shut",
        "silent",
    )

    def __init__(self, opened: OpenMarket, limits: Limits) -> None:
        self.fixture_id = opened.fixture_id
        self.market_id = opened.market_id
        self.limits = limits
        self.selections = set(opened.selections)
        self.odds: dict[str, dict[str, int]] = {}
        """What each source has said, as it stands."""
        self.silent: set[str] = set()
        """Sources that have suspended it."""
        self.in_play = False
        self.shut = False
        """It takes no prices now: what is due is owed until it does."""
        self.owed: dict[str, int] = {}
        self.reduces = opened.terms.deducts
        self.renew = False
        """A runner was withdrawn: the book waits for all prices again, also those that are the
        same."""
        self.sequence = 0
        self.as_of_ms = 0
        """How new the prices are that the book was told."""

    def confirm_ms(self) -> int | None:
        """How much newer they have to be to be told so."""
        limit_ms = self.limits.max_age_in_play_ms if self.in_play else self.limits.max_age_ms
        return limit_ms // CONFIRM_SHARE if limit_ms else None


class Desk:
    """Steps of all sources in, steps to the book out. It neither waits nor reads a clock."""

    def __init__(self, settings: Settings) -> None:
        self.engine = engine_of(settings)
        self._feeds = {LEAD: settings.lead, **settings.others}
        self._sports: dict[str, str] = {}
        self._markets: dict[str, _Market] = {}
        self._of_fixture: dict[str, list[str]] = {}
        self._as_they_are: set[str] = set()
        """Markets that can't be priced here."""
        self._walkovers: list[_Market] = []
        """Markets in which too few are left to be bet on, until the book knows."""
        self._unfinished: set[str] = set()
        """Those of this step whose new prices were not told yet."""

    def due_ms(self) -> int | None:
        """When `hear` is to be called if nothing is said before: something is too old then."""
        return self.engine.due_ms()

    def hear(self, heard: Iterable[tuple[str, Step]], at_ms: int) -> tuple[FeedCommand, ...]:
        """What the book is told at `at_ms` after steps of some sources, in their order."""
        heard = list(heard)
        if len(heard) > 1 and any(
            isinstance(command, AddSelection) for _, step in heard for command in step.commands
        ):
            # Who joins is to have joined before his price is said.
            return tuple(command for one in heard for command in self.hear([one], at_ms))
        # All prices are known before the first word of it: then no market opens with old ones.
        lead: list[FeedCommand] = []
        for source, step in heard:
            for command in step.commands:
                if source == LEAD:
                    lead.append(self._take_in(command, step.at_ms))
                else:
                    self._aside(source, command, step.at_ms)
        spoken = {c.market_id for c in lead if isinstance(c, (ChangePrices, OpenMarket))}
        # Whose prices are from before a withdrawal, if they are said before it.
        reduced = dict.fromkeys(
            c.market_id for c in lead if isinstance(c, WithdrawSelection) and self._reduces(c)
        )
        spoken.update(reduced)
        said: list[FeedCommand] = []
        due: dict[str, ChangePrices] = {}
        for prices in self._due(at_ms):
            if prices.market_id in spoken:
                due[prices.market_id] = prices  # it has a place among what is said
            else:
                said.append(prices)
        for command in lead:
            said += self._say(command, due, at_ms)
        for market_id in reduced:
            said += self._pay_in(due, market_id, at_ms)
        return tuple(said)

    def _reduces(self, command: WithdrawSelection) -> bool:
        """Whether it takes something off the prices of before."""
        market = self._markets.get(command.market_id)
        return market is not None and market.reduces

    # What is heard

    def _take_in(self, command: FeedCommand, at_ms: int) -> FeedCommand:
        """What the lead says; the command as the book is to be told it."""
        match command:
            case CreateFixture():
                self._sports[command.fixture_id] = command.sport
            case OpenMarket():
                return self._open(command)
            case ChangePrices():
                self._quote(LEAD, command, at_ms)
            case WithdrawSelection():
                self._withdraw(command)
            case AddSelection():
                market = self._markets.get(command.market_id)
                if market is not None and command.selection_id not in market.selections:
                    self.engine.join(command.market_id, command.selection_id)
                    market.selections.add(command.selection_id)
            case ChangeStatus():
                market = self._markets.get(command.market_id)
                if market is not None:
                    market.in_play = command.in_play
                    self.engine.play(command.market_id, command.in_play)
        return command

    def _open(self, command: OpenMarket) -> OpenMarket:
        market_id = command.market_id
        lead = self._feeds[LEAD]
        limits = command.limits
        limits = msgspec.structs.replace(
            limits,
            max_age_ms=limits.max_age_ms or lead.max_age_ms,
            max_age_in_play_ms=limits.max_age_in_play_ms or lead.max_age_in_play_ms,
        )
        if market_id not in self._markets and market_id not in self._as_they_are:
            sport = self._sports.get(command.fixture_id, "")
            selections = tuple(command.selections)
            try:
                setup = Setup(market_id, sport, command.kind, selections, command.winners)
                self.engine.open(setup)
            except ValueError as why:
                log.warning("priced_as_it_is", market_id=market_id, why=str(why))
                self._as_they_are.add(market_id)
            else:
                self._markets[market_id] = _Market(command, limits)
            self._of_fixture.setdefault(command.fixture_id, []).append(market_id)
        return msgspec.structs.replace(command, limits=limits)

    def _quote(self, source: str, command: ChangePrices, at_ms: int) -> None:
        market = self._markets.get(command.market_id)
        if market is None:
            return
        odds = market.odds.setdefault(source, {})
        for selection, price in command.odds.items():
            if selection in market.selections:
                bounded = price if price < MAX_ODDS else MAX_ODDS
                odds[selection] = bounded if price >= MIN_ODDS else 0
        if source not in market.silent:
            self.engine.quote(command.market_id, source, odds, at_ms - command.age_ms)
            self._unfinished.add(command.market_id)

    def _withdraw(self, command: WithdrawSelection) -> None:
        market = self._markets.get(command.market_id)
        if market is None or command.selection_id not in market.selections:
            return
        market.selections.discard(command.selection_id)
        market.owed.pop(command.selection_id, None)
        for odds in market.odds.values():
            odds.pop(command.selection_id, None)
        try:
            self.engine.withdraw(command.market_id, command.selection_id)
        except ValueError:
            # Too few are left to be bet on: nobody has a price any more.
            published = self.engine.published(command.market_id)
            market.owed = {of: 0 for of in market.selections if published[of]}
            self._walkovers.append(market)
            self._forget(command.market_id)

    def _aside(self, source: str, command: FeedCommand, at_ms: int) -> None:
        """What another source says."""
        if not isinstance(command, (ChangePrices, ChangeStatus)):
            return
        called = self._feeds[source].markets.get(command.market_id)
        market_id = called.market if called else command.market_id
        market = self._markets.get(market_id)
        if market is None:
            return
        if isinstance(command, ChangePrices):
            names = called.selections if called else {}
            odds = {names.get(of, of): price for of, price in command.odds.items()}
            heard = ChangePrices(market.fixture_id, market_id, odds, age_ms=command.age_ms)
            self._quote(source, heard, at_ms)
        elif command.status is MarketStatus.OPEN:
            if source in market.silent:
                market.silent.discard(source)
                self._quote(source, ChangePrices(market.fixture_id, market_id, {}), at_ms)
        elif source not in market.silent:
            market.silent.add(source)
            self.engine.quote(market_id, source, {}, at_ms)
            self._unfinished.add(market_id)

    # What is told

    def _due(self, at_ms: int) -> Iterator[ChangePrices]:
        """All prices that are to be told, and those that still hold."""
        for market in self._walkovers:
            if market.owed and not market.shut:
                yield self._prices(market, market.owed, at_ms, at_ms)
        self._walkovers.clear()
        for market_id, odds, as_of_ms in self.engine.reprice(at_ms):
            self._unfinished.discard(market_id)
            market = self._markets[market_id]
            if market.shut:
                market.owed |= odds
            else:
                yield self._prices(market, odds, as_of_ms, at_ms)
        for market_id in sorted(self._unfinished):
            market = self._markets[market_id]
            as_of_ms, confirm_ms = self.engine.as_of_ms(market_id), market.confirm_ms()
            priced = any(self.engine.published(market_id).values())
            newer = confirm_ms is not None and as_of_ms - market.as_of_ms >= confirm_ms
            # Or older: a source that was not heard when they were told is in them now.
            if (newer or as_of_ms < market.as_of_ms) and priced and not market.shut:
                yield self._prices(market, {}, as_of_ms, at_ms)
        self._unfinished.clear()

    def _prices(
        self, market: _Market, odds: dict[str, int], as_of_ms: int, at_ms: int
    ) -> ChangePrices:
        market.sequence += 1
        market.as_of_ms = as_of_ms
        age_ms = max(0, at_ms - as_of_ms)
        return ChangePrices(market.fixture_id, market.market_id, odds, market.sequence, age_ms)

    def _say(
        self, command: FeedCommand, due: dict[str, ChangePrices], at_ms: int
    ) -> Iterator[FeedCommand]:
        """The lead's own word, with the house's prices in the place of its own."""
        match command:
            case OpenMarket():
                yield command
                yield from self._pay_in(due, command.market_id, at_ms)
                return
            case ChangePrices() if command.market_id not in self._as_they_are:
                yield from self._pay_in(due, command.market_id, at_ms)
                return
            case ChangeStatus() if command.market_id in self._markets:
                yield from self._status(self._markets[command.market_id], command, due, at_ms)
                return
            case DeclareResult() | SettleSelections() if command.market_id in self._markets:
                yield from self._pay_in(due, command.market_id, at_ms)
                self._markets[command.market_id].shut = True
            case WithdrawSelection() if command.market_id in self._markets:
                self._markets[command.market_id].renew = self._reduces(command)
            case RollBackResult() if command.market_id in self._markets:
                yield command
                yield from self._reopened(self._markets[command.market_id], at_ms)
                return
            case ChangePhase() if command.phase in (Phase.ENDED, Phase.CANCELLED):
                for market_id in self._of_fixture.pop(command.fixture_id, ()):
                    due.pop(market_id, None)
                    self._forget(market_id)
                    self._as_they_are.discard(market_id)
                self._sports.pop(command.fixture_id, None)
        yield command

    def _status(
        self,
        market: _Market,
        command: ChangeStatus,
        due: dict[str, ChangePrices],
        at_ms: int,
    ) -> Iterator[FeedCommand]:
        if command.status is MarketStatus.CLOSED:
            yield from self._pay_in(due, market.market_id, at_ms)
            market.shut = True
        elif market.shut:
            # It has to be open to prices before it has them, and have them before bets come.
            if command.status is MarketStatus.OPEN:
                yield msgspec.structs.replace(command, status=MarketStatus.SUSPENDED)
            else:
                yield command
            yield from self._reopened(market, at_ms)
            if command.status is not MarketStatus.OPEN:
                return
        elif command.status is MarketStatus.OPEN:
            yield from self._pay_in(due, market.market_id, at_ms)
        yield command

    def _reopened(self, market: _Market, at_ms: int) -> Iterator[ChangePrices]:
        """It takes prices again: those that it was owed."""
        market.shut = False
        if market.owed or market.renew:
            odds, market.owed = self._again(market) | market.owed, {}
            yield self._prices(market, odds, self.engine.as_of_ms(market.market_id), at_ms)

    def _again(self, market: _Market) -> dict[str, int]:
        """What has to be said though it is the same: after a withdrawal, every price."""
        if not market.renew:
            return {}
        market.renew = False
        published = self.engine.published(market.market_id)
        return {selection: published[selection] for selection in sorted(market.selections)}

    def _pay_in(
        self, due: dict[str, ChangePrices], market_id: str, at_ms: int
    ) -> Iterator[ChangePrices]:
        """Prices of the same step, before the word that changes what they mean."""
        prices, market = due.pop(market_id, None), self._markets.get(market_id)
        if market is not None and market.renew and not market.shut:
            if prices is None:
                prices = self._prices(market, {}, self.engine.as_of_ms(market_id), at_ms)
            odds = self._again(market) | prices.odds
            prices = msgspec.structs.replace(prices, odds=odds)
        if prices is not None:
            yield prices

    def _forget(self, market_id: str) -> None:
        if self._markets.pop(market_id, None) is not None:
            self.engine.close(market_id)
            self._unfinished.discard(market_id)


class _Heard(NamedTuple):
    source: str
    step: Step | None
    """None: the source has come to its end."""
    failure: Exception | None = None


class Priced:
    """The steps of several sources, through one desk."""

    name = "priced"

    def __init__(
        self, settings: Settings, sources: Mapping[str, Source], clock: Clock | None = None
    ) -> None:
        """Raises `ValueError` where some of the sources are live and others are not."""
        kinds = {source.live for source in sources.values()}
        if len(kinds) > 1:
            raise ValueError("live feeds and recordings have no time in common")
        self.live = sources[LEAD].live
        self.keys = f"{self.name}/{sources[LEAD].keys}"
        self.desk = Desk(settings)
        self.sources = sources
        self._clock = clock or WallClock()
        self._parts: dict[str, str] = {}
        """By market where the lead has its prices from: its name, and its part."""

    @property
    def failure(self) -> str:
        """Why the lead has come to its end, where nobody asked for it."""
        return getattr(self.sources[LEAD], "failure", "")

    async def steps(self) -> AsyncIterator[Step]:
        steps = self._as_they_come() if self.live else self._merged()
        async with contextlib.aclosing(steps):
            async for step in steps:
                yield step

    async def _merged(self) -> AsyncGenerator[Step, None]:
        """By the times that the sources tell; of one moment, the lead is heard first."""
        order = list(self.sources)
        coming = {name: aiter(source.steps()) for name, source in self.sources.items()}
        waiting: dict[str, Step] = {}

        async def pull(name: str) -> None:
            step = await anext(coming[name], None)
            if step is not None:
                waiting[name] = step

        for name in order:
            await pull(name)
        while LEAD in waiting:
            at_ms = min(step.at_ms for step in waiting.values())
            for due in self._overdue(at_ms):
                yield due
            # What all of them say at one moment is one thing.
            heard: list[tuple[str, Step]] = []
            for name in order:
                while name in waiting and waiting[name].at_ms == at_ms:
                    heard.append((name, waiting.pop(name)))
                    await pull(name)
            said = self._say(heard, at_ms)
            if said.commands:
                yield said

    def _say(self, heard: Sequence[tuple[str, Step]], at_ms: int) -> Step:
        lead = self.sources[LEAD].name
        for name, step in heard:
            for command in step.commands if name == LEAD else ():
                if isinstance(command, ChangePrices):
                    part = step.parts.get(command.market_id)
                    self._parts[command.market_id] = f"{lead}/{part}" if part else lead
                elif isinstance(command, DeclareResult):
                    self._parts.pop(command.market_id, None)
        return Step(at_ms, self.desk.hear(heard, at_ms), self._parts)

    def _overdue(self, before_ms: int) -> Iterator[Step]:
        """What happens by itself until then."""
        while (due_ms := self.desk.due_ms()) is not None and due_ms < before_ms:
            said = self._say((), due_ms)
            if said.commands:
                yield said

    async def _as_they_come(self) -> AsyncGenerator[Step, None]:
        heard: asyncio.Queue[_Heard] = asyncio.Queue(MAX_HEARD)
        tasks = [
            asyncio.create_task(self._listen(name, source, heard))
            for name, source in self.sources.items()
        ]
        last_ms = 0
        try:
            while True:
                waiting = await self._wait(heard)
                last_ms = max(last_ms, self._clock.now_ms())
                steps = [(one.source, one.step) for one in waiting if one.step is not None]
                last_ms = max(last_ms, *(step.at_ms for _, step in steps)) if steps else last_ms
                said = self._say(steps, last_ms)
                if said.commands:
                    yield said
                for one in waiting:
                    if one.step is None and one.source == LEAD:
                        if one.failure is not None:
                            raise one.failure
                        return
                    if one.step is None:
                        # Its prices grow old, and the others go on.
                        log.error("source_ended", source=one.source, why=repr(one.failure))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self, heard: asyncio.Queue[_Heard]) -> list[_Heard]:
        """All that has come, at least one; or nothing, when something has grown too old."""
        due_ms = self.desk.due_ms()
        patience_s = None
        if due_ms is not None:
            patience_s = max(0.0, (due_ms - self._clock.now_ms()) / 1_000)
        waiting: list[_Heard] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                waiting.append(await heard.get())
        while not heard.empty():
            waiting.append(heard.get_nowait())
        return waiting

    async def _listen(self, name: str, source: Source, heard: asyncio.Queue[_Heard]) -> None:
        failure: Exception | None = None
        try:
            async for step in source.steps():
                await heard.put(_Heard(name, step))
        except Exception as defect:
            log.exception("source_failed", source=name)
            failure = defect
        await heard.put(_Heard(name, None, failure))


class PricedFeed(Feed):
    name = "priced"
    prefix = ""
    settings = Settings

    def open(self, settings: Settings, run: str, start_ms: int) -> Source:
        check_run(run)
        if LEAD in settings.others or len(settings.others) > MAX_OTHERS:
            raise ValueError(f"at most {MAX_OTHERS} other feeds, and none of them is {LEAD!r}")
        sources: dict[str, Source] = {}
        for name, one in {LEAD: settings.lead, **settings.others}.items():
            if one.feed == self.name:
                raise ValueError("prices are made once")
            try:
                kind = feed_named(one.feed)
                told: Any = msgspec.json.decode(one.settings, type=kind.settings)
            except (KeyError, msgspec.MsgspecError) as wrong:
                raise ValueError(f"{name}: {wrong.args[0]}") from None
            sources[name] = kind.open(told, run, start_ms)
        return Priced(settings, sources)

    def sample(self, folder: Path) -> Settings:
        """The simulated board as two people see it."""
        board = {"fixtures": 3, "total": 3}
        return Settings(
            FeedSettings("simulated", msgspec.Raw(msgspec.json.encode(board))),
            {"other": FeedSettings("simulated", msgspec.Raw(msgspec.json.encode(board)), weight=2)},
        )


FEED = PricedFeed()
