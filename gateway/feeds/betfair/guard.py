"""A board whose markets are open only while what is known of them is complete and fresh.

A market is *held*, that is suspended whatever the exchange last said of it, and without new
prices, while one of these is so:

1. the feed is not connected, or is catching up, or the exchange says that its own data is late;
2. the market was not in the last image: nobody tells us of it any more;
3. its prices contradict each other (a price to back not below a price to lay);
4. what we know is older than the limit for its phase: early, soon to start, or in play;
5. it is in play, and its own prices have not moved for longer than its limit.

When none is so any more, it gets its new prices, all in one change, and then opens. The book
has the same limits of age, for when this process is gone; so prices that have not changed are
said again before they are too old there, as long as the exchange vouches for them.

The markets may be on the board already, from before the feed was started again, and with prices
of that time. So each is suspended first, and every selection is priced anew; the pump numbers its
prices on from those of that time.

Time is an argument, in milliseconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import structlog

from actors.market import Limits, MarketStatus
from actors.trading import ChangePrices
from gateway.feeds.betfair.board import Board, Card, Market, Summary
from gateway.feeds.betfair.cache import MarketBook
from gateway.feeds.betfair.catalogue import Catalogue
from gateway.feeds.betfair.messages import MarketChange, bad_id
from gateway.feeds.betfair.settings import LADDERS, AgeLimits, LiveSettings, Settings
from gateway.feeds.betfair.subscription import Batch, OutOfStep, Standing
from gateway.feeds.feed import FeedCommand

log = structlog.get_logger()

SOON_MS = 600_000
"""How long before its start a market is soon to start."""
KEPT_MS = 3_600_000
"""How long a market is kept after its result, or after it was last heard of. A fixture ends when
all its markets have been decided for as long: more of them may come, and results be corrected."""
CONTRADICTS_MS = 5_000
"""How long a market's prices may contradict each other before an image is asked for,"""
IMAGE_EVERY_MS = 60_000
"""and how often that may be."""

MISSING = "it is not in the subscription any more"
CROSSED = "its prices contradict each other"
TOO_OLD = "what is known is too old"
UNMOVED = "it has not moved in play"


def age_limit_ms(ages: AgeLimits, in_play: bool, starts_at_ms: int, now_ms: int) -> int:
    """How old what is known of a market in that phase may be. Without a start it is early."""
    if in_play:
        return ages.in_play_ms
    if starts_at_ms and now_ms >= starts_at_ms - SOON_MS:
        return ages.soon_ms
    return ages.early_ms


class _Watch:
    """What a market is held for, as far as it is its own doing."""

    def __init__(self, now_ms: int) -> None:
        self.missing = False
        self.crossed_ms: int | None = None
        """Since when."""
        self.moved_ms = now_ms
        self.vouched_ms = 0
        """As of when the prices are that the book has."""
        self.kept_ms = now_ms
        """When it was last heard of without a result, or got its result."""


class GuardedBoard(Board):
    _never_said = -1  # none at all: also that there is no price has to be said once

    def __init__(self, settings: Settings, live: LiveSettings, run: str, summary: Summary) -> None:
        super().__init__(
            (), margin_bp=settings.margin_bp, currency=settings.currency, run=run, summary=summary
        )
        self._ages = live.ages
        self._max_markets = live.max_markets
        self._catalogue = Catalogue(live.catalogue)
        self._limits = Limits(
            max_age_ms=live.ages.early_ms, max_age_in_play_ms=live.ages.in_play_ms
        )
        self._as_of_ms = 0
        """When the exchange last said anything."""
        self._has_ladders = not set(LADDERS).isdisjoint(live.fields)
        self._watches: dict[str, _Watch] = {}
        self._left_out: set[str] = set()
        self._image_ms = 0
        self._tidied_ms = 0

    def take(self, batch: Batch, standing: Standing, now_ms: int) -> Iterator[FeedCommand]:
        """What is to be said after a batch of changes.

        Raises `OutOfStep`, before anything is said, where they contradict what is known.
        """
        self._check_versions(batch)
        self._as_of_ms = standing.as_of_ms
        for change in batch.changes:
            if change.id not in self.markets and change.market_definition is not None:
                self._begin(change, now_ms)
        if batch.image:
            self._image_ms = now_ms
            there = {change.id for change in batch.changes}
            for market_id, watch in self._watches.items():
                watch.missing = market_id not in there
        try:
            touched = self._take_in(batch.changes)
            for market_id in touched:
                self._look(market_id, now_ms)
        except ArithmeticError:
            raise OutOfStep("a price or a size that is not a number") from None
        reviewed = touched.keys() if not batch.image else self.markets.keys()
        released = []
        for market_id in reviewed:
            market = self.markets[market_id]
            why = self._why_held(market, standing, now_ms)
            if why:
                yield from self._hold(market, why)
            elif market.held:
                market.held = ""
                released.append(market)
        yield from self._say(now_ms, batch.changes, touched)
        for market in released:
            yield from self._refresh(market, now_ms)

    def review(self, standing: Standing, now_ms: int) -> Iterator[FeedCommand]:
        """Hold what has become too old meanwhile, and release what may be open again."""
        self._as_of_ms = standing.as_of_ms
        for market in self.markets.values():
            why = self._why_held(market, standing, now_ms)
            if why:
                yield from self._hold(market, why)
            elif market.held:
                market.held = ""
                yield from self._refresh(market, now_ms)
            elif market.status is MarketStatus.OPEN:
                yield from self._confirm(market, now_ms)
        if now_ms - self._tidied_ms >= KEPT_MS // 60:
            self._tidied_ms = now_ms
            yield from self._tidy(now_ms)

    def hold_all(self, why: str) -> Iterator[FeedCommand]:
        for market in self.markets.values():
            yield from self._hold(market, why)

    def wants_image(self, now_ms: int) -> bool:
        """Whether a market has contradicted itself for so long that a change must be missing."""
        if now_ms - self._image_ms < IMAGE_EVERY_MS:
            return False
        return any(
            watch.crossed_ms is not None and now_ms - watch.crossed_ms > CONTRADICTS_MS
            for watch in self._watches.values()
        )

    # What is known of the markets

    def _begin(self, change: MarketChange, now_ms: int) -> None:
        definition = change.market_definition
        assert definition is not None
        if change.id in self._left_out:
            return
        card = Card(change.id, definition, {})
        bad = bad_id(change)
        if bad is not None:
            card.skipped = f"{bad!r} can't be an id"
            self.summary.warn(f"market {change.id} is left out: {card.skipped}")
        elif len(self.markets) >= self._max_markets:
            self.summary.warn(f"there are more than {self._max_markets} markets: narrow the filter")
            return
        else:
            self._catalogue.complete(change.id, definition)
            card.describe(definition)
            card.judge(self.summary)
        if card.skipped:
            if len(self._left_out) >= self._max_markets:
                self._left_out.clear()  # it costs a warning each, which is said once
            self._left_out.add(change.id)
            return
        market = self._add(card, MarketBook(has_ladders=self._has_ladders))
        market.status = None
        self._watches[change.id] = _Watch(now_ms)

    def _check_versions(self, batch: Batch) -> None:
        for change in batch.changes:
            market = self.markets.get(change.id)
            known = market.book.definition if market is not None else None
            if known is None or change.market_definition is None or change.img:
                continue
            if 0 < change.market_definition.version < known.version:
                raise OutOfStep(f"market {change.id} is described as it was before")

    def _look(self, market_id: str, now_ms: int) -> None:
        watch, market = self._watches[market_id], self.markets[market_id]
        watch.missing = False
        watch.moved_ms = now_ms
        if market.results is None:
            watch.kept_ms = now_ms
        definition = market.book.definition
        trading = definition is not None and definition.status == "OPEN"
        if not trading or not market.book.is_crossed():
            watch.crossed_ms = None
        elif watch.crossed_ms is None:
            watch.crossed_ms = now_ms

    def _why_held(self, market: Market, standing: Standing, now_ms: int) -> str:
        watch, definition = self._watches[market.card.market_id], market.book.definition
        if standing.trouble:
            return standing.trouble
        if watch.missing or definition is None:
            return MISSING
        if watch.crossed_ms is not None:
            return CROSSED
        limit_ms = age_limit_ms(self._ages, definition.in_play, definition.starts_at_ms, now_ms)
        if now_ms - standing.as_of_ms > limit_ms:
            return TOO_OLD
        unmoved_ms = self._ages.unmoved_in_play_ms
        if definition.in_play and unmoved_ms and now_ms - watch.moved_ms > unmoved_ms:
            return UNMOVED
        return ""

    # What is said

    def _open(self, market: Market, at_ms: int) -> Iterator[FeedCommand]:
        yield from super()._open(market, at_ms)
        # It may have been open before we came, and with prices of that time.
        yield from self._status(market, MarketStatus.SUSPENDED)

    def _prices(
        self, market: Market, touched: set[str] | None, at_ms: int
    ) -> Iterator[FeedCommand]:
        for command in super()._prices(market, touched, at_ms):
            assert isinstance(command, ChangePrices)
            yield self._as_of(market, command, at_ms)

    def _as_of(self, market: Market, prices: ChangePrices, at_ms: int) -> ChangePrices:
        self._watches[market.card.market_id].vouched_ms = self._as_of_ms
        return msgspec.structs.replace(prices, age_ms=max(0, at_ms - self._as_of_ms))

    def _confirm(self, market: Market, now_ms: int) -> Iterator[FeedCommand]:
        """Say that prices still hold, when those that the book has are half as old as may be."""
        limits = self._limits
        limit_ms = limits.max_age_in_play_ms if market.in_play else limits.max_age_ms
        newer_ms = self._as_of_ms - self._watches[market.card.market_id].vouched_ms
        if newer_ms >= limit_ms // 2 and any(odds > 0 for odds in market.odds.values()):
            market.sequence += 1
            still = ChangePrices(market.fixture_id, market.market_id, {}, market.sequence)
            yield self._as_of(market, still, now_ms)

    def _hold(self, market: Market, why: str) -> Iterator[FeedCommand]:
        if market.held != why and why in (MISSING, CROSSED, UNMOVED):
            log.info("betfair_market_held", market_id=market.card.market_id, why=why)
        market.held = why
        if self._may_trade(market):
            yield from self._status(market, MarketStatus.SUSPENDED)

    def _refresh(self, market: Market, now_ms: int) -> Iterator[FeedCommand]:
        """Say what the exchange says of it now, after it was held."""
        definition = market.book.definition
        if definition is None or not self._may_trade(market):
            return
        if definition.status == "OPEN":
            yield from self._offer(market, now_ms)
        else:
            yield from self._status(market, MarketStatus.SUSPENDED)
            yield from self._prices(market, None, now_ms)

    @staticmethod
    def _may_trade(market: Market) -> bool:
        closed = market.status is MarketStatus.CLOSED
        return market.open and market.results is None and not closed

    def _decided(self, market: Market) -> Iterator[FeedCommand]:
        return iter(())  # its fixture ends later: see `_tidy`

    def _tidy(self, now_ms: int) -> Iterator[FeedCommand]:
        """End fixtures that are long over, and forget them, and who is long gone."""
        for fixture_id, markets in list(self.by_fixture.items()):
            watches = [self._watches[market.card.market_id] for market in markets]
            if any(now_ms - watch.kept_ms < KEPT_MS for watch in watches):
                continue
            decided = all(market.results is not None for market in markets)
            if not decided and not all(
                watch.missing or market.results is not None
                for market, watch in zip(markets, watches, strict=True)
            ):
                continue
            if decided:
                yield from self._end(fixture_id)
            else:
                self.summary.warn(f"fixture {fixture_id} has left the stream without all results")
            for market in markets:
                self._forget(market)
            del self.by_fixture[fixture_id]
            self.phases.pop(fixture_id, None)

    def _forget(self, market: Market) -> None:
        exchange_id = market.card.market_id
        del self.markets[exchange_id]
        del self._watches[exchange_id]
        for of in market.card.runners:
            self.summary.reductions.pop(f"{exchange_id} {of}", None)
            self.summary.starting_prices.pop(f"{exchange_id} {of}", None)
