"""The feed's word, turned into what the book is told: one object that is told messages and time.

For every market a session keeps what the feed last said of it, and what the book was last told.
Whatever happens, the difference between what the market should be now and what was said becomes
commands. So repeats say nothing, and what arrives late or twice can't undo what is newer.

A market is open only while **all** of this holds, and suspended otherwise:

- its last odds say active, and no bet stop of the same or a later moment covers it;
- the producer that priced it is believed: alive, not delayed, recovered (`producers.py`), and the
  price was said, or said again, since its last recovery was asked for;
- its price is not older than the limit of its phase;
- nothing of the same moment contradicts it;
- the event is on, its name is known, and the market has no result.

*Order.* What is older than what a market was last told is left out. Two messages of one moment
that differ are a contradiction: the market is suspended until something newer comes. A message
that can't be read, or is from the future, may have been a bet stop: all of its event is suspended
until newer odds come.

*Two producers.* A market belongs to who priced it last. Live odds take it from any other producer;
another takes it only after it was handed over (-2).

*Age.* When three quarters of the limit have passed the API is asked for the event again, so a
quiet market stays open by being confirmed. At the limit it is suspended. A market that should have
had a result by now is asked about too, less and less often: silent loss of a settlement heals.

*Results.* A result is complete when every selection that ever had a price has one; the others had
no bets and are void. Before that, what is known settles by itself and closes the market; a void
outcome among open ones is withdrawn, and the others run on. Of two results for one outcome, the
confirmed one counts, then the later. A rollback takes back what was said up to its moment, whenever
it arrives. A cancellation of a time voids the bets accepted in it, and is undone by name.

It is pure: time, request ids and answers are arguments. It neither waits nor sends.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import MAX_MARKETS, ChangePhase, CreateFixture, Phase
from actors.market import MAX_BET_DELAY_MS, Limits, MarketStatus
from actors.odds import down_to_ladder
from actors.outcomes import AddSelection, RollBackResult, RollBackVoid, SettleSelections, VoidPlaced
from actors.results import VOID, Result, Window
from actors.terms import MarketTerms
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.feed import FeedCommand
from gateway.feeds.uof import messages as said
from gateway.feeds.uof.descriptions import Answer, Card, Descriptions
from gateway.feeds.uof.identity import (
    RoutingKey,
    fixture_id,
    line_of,
    market_key,
    safe,
    winners_of,
)
from gateway.feeds.uof.messages import EventStatus
from gateway.feeds.uof.producers import (
    PRODUCERS,
    WINDOWS_MS,
    Kind,
    Producer,
    ProducerInfo,
    Recover,
    Rules,
)
from gateway.feeds.uof.results import Incoherent, result_of

SECOND_MS = 1_000
ASK_AGAIN_MS = 30 * SECOND_MS
"""Between two requests for one event, at least."""
CONFIRM_SHARE = 4
"""By what part of their age limit prices have to be newer than those the book knows of."""
ASK_SELDOM_MS = 3_600 * SECOND_MS
"""And between those of an event that does not answer, at most."""

SWEEP_MS = 3_600 * SECOND_MS
WHOLE = Window()
"""A cancellation of all bets there ever were: of the whole market."""
FORGET_MS = max(WINDOWS_MS.values())
"""Nothing that is older can come back with a recovery."""


class AskFixture(msgspec.Struct, frozen=True):
    """Ask the API what an event is."""

    event_id: str


class AskEvent(msgspec.Struct, frozen=True):
    """Ask the API for an event's odds, and for its results and cancellations, once more."""

    product: int
    event_id: str
    request_id: int


Request = Recover | AskFixture | AskEvent


class Ages(msgspec.Struct, frozen=True):
    """How old a price may become, in milliseconds."""

    prematch_ms: int = 3_600 * SECOND_MS
    in_play_ms: int = 120 * SECOND_MS


class Options(msgspec.Struct, frozen=True):
    currency: str = "GBP"
    bet_delay_ms: int = 2_000
    """In play."""
    certainty: int = 1
    """Results are declared when they are at least so certain: 1 live-scouted, 2 confirmed."""
    ages: Ages = Ages()
    on_ladder: bool = True
    """Prices come down to our ladder; those for the odds engine do not have to."""
    rules: Rules = Rules()
    producers: tuple[ProducerInfo, ...] = PRODUCERS


def check(options: Options) -> None:
    """Raises `ValueError` with what is wrong with them."""
    if not 0 <= options.bet_delay_ms <= MAX_BET_DELAY_MS:
        raise ValueError(
            f"bet_delay_ms is {options.bet_delay_ms}; it is from 0 to {MAX_BET_DELAY_MS}"
        )
    if options.certainty not in (1, 2):
        raise ValueError(f"certainty is {options.certainty}; it is 1 or 2")
    if min(options.ages.prematch_ms, options.ages.in_play_ms) <= 0:
        raise ValueError("a price has to have an age at which it is too old")
    if len({info.product for info in options.producers}) < max(1, len(options.producers)):
        raise ValueError("every producer is there once, and there is one at least")


class _Settled(msgspec.Struct, frozen=True):
    """What a settlement said of one outcome."""

    timestamp: int
    result: Result


class _Market:
    """One market as the feed has it, and as the book was told."""

    def __init__(self, number: int, specifiers: str, groups: tuple[str, ...]) -> None:
        self.number = number
        self.specifiers = specifiers
        self.groups = frozenset(groups) | {"all"}
        # What the feed said
        self.owner: Producer | None = None
        self.odds_at = 0
        """The timestamp of its last odds."""
        self.last: said.MarketOdds | None = None
        self.status = said.MarketStatus.SUSPENDED
        self.selections: dict[str, said.Selection] = {}
        """All outcomes ever heard of, as last said."""
        self.epoch = 0
        self.aged_from_ms = 0
        self.heard_ms = 0
        """When its last odds arrived, or were confirmed, by our clock."""
        self.latest: dict[int, int] = {}
        """The newest timestamp of odds by product, whether they counted or not."""
        self.doubtful = False
        self.settled: dict[str, dict[int, _Settled]] = {}
        """By outcome and certainty, the latest of each: whichever a rollback leaves may count."""
        self.unsettled_at = 0
        """Of the last rollback of a settlement."""
        self.cancelled: dict[Window, int] = {}
        """The timestamp of each cancellation."""
        self.uncancelled: dict[Window, int] = {}
        # What the book was told
        self.opened: dict[str, str] = {}
        """Selection ids by outcome, of the open market; empty before."""
        self.priced: set[str] = set()
        """Selections that ever had a price."""
        self.shown: dict[str, int] = {}
        self.vouched_ms = 0
        """As of when the prices are that the book has."""
        self.sequence = 0
        self.told: tuple[MarketStatus, bool, int] = (MarketStatus.SUSPENDED, False, 0)
        self.declared: tuple[bool, dict[str, Result]] | None = None
        """Cancelled, and the results."""
        self.partly: dict[str, Result] = {}
        """Of some selections, while others are undecided."""
        self.withdrawn: set[str] = set()
        self.voided: set[Window] = set()
        self.watch_ms: int | None = None
        """When it will be looked at again."""
        """The age limit by which that was planned."""

    def valid(self, window: Window) -> bool:
        return self.cancelled.get(window, 0) > self.uncancelled.get(window, 0)

    @property
    def void(self) -> bool:
        return self.valid(WHOLE)

    def results(self, certainty: int) -> dict[str, Result]:
        """By outcome, as far as they count now."""
        found: dict[str, Result] = {}
        for of, settled in self.settled.items():
            for sure in sorted(settled, reverse=True):
                if sure >= certainty and settled[sure].timestamp > self.unsettled_at:
                    found[of] = settled[sure].result
                    break
        return found

    @property
    def decided(self) -> bool:
        """Whether there is nothing left to wait for, as far as the feed has said."""
        return self.declared is not None


class _Event:
    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.card: Card | None = None
        self.created = False
        self.phase = Phase.SCHEDULED
        self.score = ""
        self.status: EventStatus | None = None
        self.status_at = 0
        self.shown_score = ""
        self.superceded = False
        self.stops: dict[str, dict[int, tuple[int, said.MarketStatus]]] = {}
        """The last bet stop by group and product."""
        self.blocked_at = 0
        """The moment at which something about it could not be read."""
        self.markets: dict[tuple[int, str], _Market] = {}
        self.asked: dict[int, int] = {}
        """When, by the number of the request: of those of the last hour."""
        self.asked_ms: int | None = None
        self.pause_ms = ASK_AGAIN_MS
        self.heard_ms = 0

    @property
    def live(self) -> bool:
        return self.phase is Phase.IN_PLAY

    @property
    def over(self) -> bool:
        return self.status in _OVER


_OVER = (
    EventStatus.ENDED,
    EventStatus.CLOSED,
    EventStatus.CANCELLED,
    EventStatus.ABANDONED,
    EventStatus.POSTPONED,
)
_ON = (EventStatus.LIVE, EventStatus.SUSPENDED, EventStatus.INTERRUPTED)


class Session:
    """Hears messages and answers of the API; says commands and requests."""

    def __init__(
        self,
        options: Options,
        descriptions: Descriptions,
        run: str,
        *,
        first_request: int = 1,
    ) -> None:
        """`first_request` is where request ids begin: a live session has to be above its own last
        ones."""
        check(options)
        self.options = options
        self.descriptions = descriptions
        self.run = run
        self.next_request = first_request
        self.events: dict[str, _Event] = {}
        self.producers = {info.product: Producer(info, options.rules) for info in options.producers}
        self._believed = dict.fromkeys(self.producers, False)
        self.tally: Counter[str] = Counter()
        """What was left out, and why."""
        self._said: list[FeedCommand] = []
        self._priced_by: dict[str, str] = {}
        """Of what is said next, the producer of each market's prices;"""
        self.parts: Mapping[str, str] = {}
        """and of what was taken last."""
        self._requests: list[Request] = []
        self._watch: list[tuple[int, str, tuple[int, str]]] = []
        """When to look at a market again."""
        self._nameless: dict[str, int] = {}
        """When the API was asked what an event is, of those that have no name yet."""
        self._swept_ms = 0

    # What comes out

    def take(self) -> list[FeedCommand]:
        """What the book has to be told, in order; each once."""
        taken, self._said = self._said, []
        self.parts, self._priced_by = self._priced_by, {}
        return taken

    def requests(self) -> list[Request]:
        """What the API has to be asked; each once."""
        taken, self._requests = self._requests, []
        return taken

    def due_ms(self, now_ms: int) -> int | None:
        """When `tick` has to be called if nothing is heard before; always after `now_ms`."""
        moments = [producer.due_ms(now_ms) for producer in self.producers.values()]
        if self._watch:
            moments.append(max(self._watch[0][0], now_ms + 1))
        if self._nameless:
            moments.append(max(min(self._nameless.values()) + ASK_AGAIN_MS, now_ms + 1))
        return min((moment for moment in moments if moment is not None), default=None)

    # What goes in

    def tick(self, now_ms: int) -> None:
        """Time has passed."""
        for producer in self.producers.values():
            producer.tick(now_ms)
            if producer.wants(now_ms):
                self._requests.append(producer.ask(self._request_id(), now_ms))
        self._trust(now_ms)
        for event_id, asked_ms in list(self._nameless.items()):
            if now_ms - asked_ms >= ASK_AGAIN_MS:
                self._ask_fixture(event_id, now_ms)
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._sweep(now_ms)
        while self._watch and self._watch[0][0] <= now_ms:
            at_ms, event_id, name = heapq.heappop(self._watch)
            event = self.events.get(event_id)
            market = event.markets.get(name) if event is not None else None
            if event is not None and market is not None and market.watch_ms == at_ms:
                market.watch_ms = None
                self._look(event, market, now_ms)

    def hear(self, message: said.Message, now_ms: int) -> None:
        """A message has arrived."""
        producer = self.producers.get(message.product)
        if producer is None:
            self.tally["unknown_product"] += 1
            return
        producer.tick(now_ms)
        producer.message(message.timestamp, now_ms)
        match message:
            case said.Alive():
                producer.alive(message.timestamp, message.subscribed, now_ms)
            case said.SnapshotComplete():
                producer.snapshot_complete(message.request_id, now_ms)
            case said.EventMessage():
                event = self._event(message.event_id, now_ms)
                if producer.ahead(message.timestamp, now_ms):
                    self.tally["from_the_future"] += 1
                    self._block(event, now_ms)
                else:
                    self._event_message(event, message, producer, now_ms)
                    self._tell_event(event)
        self.tick(now_ms)

    def unreadable(self, routing_key: str, now_ms: int) -> None:
        """Something has arrived that can't be read: it may have been a bet stop."""
        self.tally["unreadable"] += 1
        try:
            event_id = RoutingKey.parse(routing_key).event_id
        except ValueError:
            event_id = ""
        if event_id:
            self._block(self._event(event_id, now_ms), now_ms)
        self.tick(now_ms)

    def answered(self, answer: Answer, now_ms: int) -> None:
        """The API has answered with a document."""
        if isinstance(answer, Card):
            event = self._event(answer.event_id, now_ms)
            event.card = event.card or answer
            self._nameless.pop(answer.event_id, None)
            for market in event.markets.values():
                self._tell(event, market, now_ms)
            self._tell_event(event)
        elif isinstance(answer, list):
            self.descriptions.add(answer)
        else:
            self.descriptions.players |= answer
        self.tick(now_ms)

    def accepted(self, request: Request) -> None:
        """The API has said yes."""
        if isinstance(request, Recover):
            self.producers[request.product].accepted(request.request_id)

    def renumber(self, request: Recover, request_id: int) -> None:
        """The API has said yes, and will answer under another number, as a recording does."""
        producer = self.producers[request.product]
        if producer.request_id == request.request_id:
            producer.accepted(request.request_id)
            producer.request_id = request_id

    def failed(self, request: Request) -> None:
        """The API has said no, or nothing."""
        if isinstance(request, Recover):
            self.producers[request.product].failed(request.request_id)
        elif isinstance(request, AskEvent):
            event = self.events.get(request.event_id)
            if event is not None:
                event.asked.pop(request.request_id, None)

    def disconnected(self, now_ms: int) -> None:
        """The line was cut: nobody knows what was said meanwhile."""
        for producer in self.producers.values():
            producer.lost()
        self.tick(now_ms)

    def end(self, now_ms: int) -> None:
        """Nothing more will be heard: nothing stays open that nobody prices any more."""
        for producer in self.producers.values():
            producer.alive_ms = None
        self.tick(now_ms)
        self._requests.clear()

    # Messages of events

    def _event(self, event_id: str, now_ms: int) -> _Event:
        event = self.events.get(event_id)
        if event is None:
            event = self.events[event_id] = _Event(event_id)
            self._ask_fixture(event_id, now_ms)
        event.heard_ms = now_ms
        return event

    def _ask_fixture(self, event_id: str, now_ms: int) -> None:
        self._nameless[event_id] = now_ms
        self._requests.append(AskFixture(event_id))

    def _block(self, event: _Event, now_ms: int) -> None:
        """Suspend an event of which something was said that nobody can make out."""
        event.blocked_at = now_ms
        for market in event.markets.values():
            self._tell(event, market, now_ms)
            if market.owner is not None:
                self._ask_event(event, market.owner, now_ms)

    def _market(self, event: _Event, number: int, specifiers: str) -> _Market:
        market = event.markets.get((number, specifiers))
        if market is None:
            groups = self.descriptions.groups(number, specifiers)
            market = event.markets[number, specifiers] = _Market(number, specifiers, groups)
        return market

    def _event_message(
        self, event: _Event, message: said.EventMessage, producer: Producer, now_ms: int
    ) -> None:
        at = message.timestamp
        touched: Iterable[_Market]
        match message:
            case said.OddsChange():
                changed = self._event_status(event, message.status, at)
                # In play before anything opens: bets have to wait then.
                self._tell_event(event)
                touched = [
                    market
                    for odds in message.markets
                    if (market := self._odds(event, message, odds, producer, at, now_ms))
                ]
                if changed:
                    touched = event.markets.values()
                    for market in touched:
                        # Another phase has another age limit.
                        if market.watch_ms is not None:
                            self._watch_market(event, market, now_ms)
            case said.BetStop():
                for group in message.groups:
                    stops = event.stops.setdefault(group, {})
                    before = stops.get(producer.info.product, (0, None))
                    if at >= before[0]:
                        stops[producer.info.product] = (at, message.market_status)
                touched = event.markets.values()
            case said.BetSettlement():
                touched = [
                    self._settlement(event, result, int(message.certainty), at)
                    for result in message.markets
                ]
            case said.BetCancel():
                window = Window(message.start_ms, message.end_ms)
                touched = list(self._named(event, message.markets))
                for market in touched:
                    market.cancelled[window] = max(market.cancelled.get(window, 0), at)
                if message.superceded_by:
                    event.superceded = True
                    touched = event.markets.values()
            case said.RollbackBetCancel():
                window = Window(message.start_ms, message.end_ms)
                touched = list(self._named(event, message.markets))
                for market in touched:
                    market.uncancelled[window] = max(market.uncancelled.get(window, 0), at)
            case said.RollbackBetSettlement():
                touched = list(self._named(event, message.markets))
                for market in touched:
                    market.unsettled_at = max(market.unsettled_at, at)
            case said.FixtureChange():
                cancelled = message.change_type == _FIXTURE_CANCELLED
                if cancelled and at >= event.status_at:
                    event.status, event.status_at = EventStatus.CANCELLED, at
                touched = event.markets.values() if cancelled else ()
            case _:
                raise AssertionError(f"{type(message).__name__} is a message of no event")
        for market in touched:
            self._tell(event, market, now_ms)

    def _named(self, event: _Event, names: Iterable[said.MarketName]) -> Iterator[_Market]:
        for name in names:
            yield self._market(event, name.market_id, name.specifiers)

    def _event_status(self, event: _Event, status: said.SportEventStatus | None, at: int) -> bool:
        """Whether another phase has begun."""
        if status is None or at < event.status_at:
            return False
        event.status_at = at
        event.score = score_of(status, event.card.sport_id if event.card else "") or event.score
        before = event.status
        event.status = status.status if status.status is not None else before
        return event.status is not before

    def _odds(
        self,
        event: _Event,
        message: said.OddsChange,
        odds: said.MarketOdds,
        producer: Producer,
        at: int,
        now_ms: int,
    ) -> _Market | None:
        """The market, if it may have to be told something."""
        market = self._market(event, odds.market_id, odds.specifiers)
        owner, product = market.owner, producer.info.product
        if at < market.latest.get(product, 0):
            self.tally["late"] += 1
            return None
        market.latest[product] = at
        if owner is not None and owner is not producer:
            handed_over = market.status is said.MarketStatus.HANDED_OVER
            mine = producer.info.rank > owner.info.rank or handed_over
            if not mine or at <= market.odds_at or odds.status is said.MarketStatus.HANDED_OVER:
                self.tally["of_another_producer"] += 1
                return None
            # From here the market is this producer's, and nothing of before counts.
            market.status = said.MarketStatus.SUSPENDED
            market.epoch = 0
            market.doubtful = False
        elif at == market.odds_at and market.last != odds:
            self.tally["contradiction"] += 1
            market.doubtful = True
            return market
        elif at > market.odds_at:
            market.doubtful = False
        confirmed = at == market.odds_at
        market.owner = producer
        market.odds_at = at
        market.last = odds
        market.status = odds.status if odds.status is not None else market.status
        if odds.selections or market.status is said.MarketStatus.ACTIVE:
            # A price that is not said again is none.
            for of in market.selections:
                market.selections[of] = said.Selection(of, 0, False)
        for selection in odds.selections:
            market.selections[selection.outcome_id] = selection
        recovered = message.request_id is not None and message.request_id == producer.request_id
        if recovered or at > producer.asked_at:
            market.epoch = producer.epoch
        asked_ms = self._asked_ms(event, producer, message.request_id)
        if asked_ms is not None:
            # The answer to a question is not older than the question.
            event.pause_ms = ASK_AGAIN_MS
        if asked_ms is not None or not confirmed:
            market.heard_ms = now_ms
        born_ms = max(min(at, now_ms), asked_ms or 0)
        market.aged_from_ms = max(market.aged_from_ms, born_ms) if confirmed else born_ms
        # The look that is due may be one for a price that had grown old, and too late for this one.
        self._watch_market(event, market, now_ms)
        return market

    def _asked_ms(self, event: _Event, producer: Producer, request_id: int | None) -> int | None:
        if request_id is None:
            return None
        if request_id == producer.request_id:
            return producer.asked_ms
        return event.asked.get(request_id)

    def _settlement(
        self, event: _Event, results: said.MarketResult, certainty: int, at: int
    ) -> _Market:
        market = self._market(event, results.market_id, results.specifiers)
        for outcome in results.outcomes:
            try:
                result = result_of(outcome)
            except Incoherent:
                self.tally["incoherent_result"] += 1
                continue
            if result is None:
                continue
            settled = market.settled.setdefault(outcome.outcome_id, {})
            before = settled.get(certainty)
            if before is None or before.timestamp <= at:
                settled[certainty] = _Settled(at, result)
        return market

    # What the book is told

    def _tell(self, event: _Event, market: _Market, now_ms: int) -> None:
        """Whatever the book does not know of a market yet."""
        if not market.opened and not self._open(event, market):
            return
        fixture, market_id = self._ids(event, market)
        self._tell_voided(market, fixture, market_id)
        results = market.results(self.options.certainty)
        if market.declared is None:
            # An earlier process may have taken bets on what only the result names now.
            self._join(event, market, fixture, market_id, results)
        missing = self._missing(market, results)
        if market.void or (results and not missing):
            self._declare(market, fixture, market_id, results)
            return
        partly: dict[str, Result] = {}
        for of, result in results.items():
            selection = market.opened.get(of)
            if selection is None or selection in market.withdrawn:
                continue
            if result != VOID:
                partly[selection] = result
            else:
                market.withdrawn.add(selection)
                market.shown.pop(selection, None)
                self._said.append(WithdrawSelection(fixture, market_id, selection))
        if market.declared is not None or market.partly.keys() - partly.keys():
            # Taken back: whoever bets next bets on an open question.
            market.declared, market.partly = None, {}
            market.told = (MarketStatus.SUSPENDED, *market.told[1:])
            self._said.append(RollBackResult(fixture, market_id))
        self._join(event, market, fixture, market_id, market.selections)
        if partly:
            self._tell_status(event, market, fixture, market_id, MarketStatus.CLOSED)
            if partly != market.partly:
                market.partly = partly
                self._said.append(SettleSelections(fixture, market_id, partly))
            return
        status = self._status(event, market, now_ms)
        if status is MarketStatus.CLOSED:
            self._tell_status(event, market, fixture, market_id, status)
        elif status is MarketStatus.SUSPENDED:
            self._tell_status(event, market, fixture, market_id, status)
            self._tell_prices(event, market, fixture, market_id, now_ms)
        else:
            # New prices first, so that nobody gets the old ones in between.
            if market.told[0] is MarketStatus.CLOSED:
                self._tell_status(event, market, fixture, market_id, MarketStatus.SUSPENDED)
            self._tell_prices(event, market, fixture, market_id, now_ms)
            self._tell_status(event, market, fixture, market_id, status)

    def _ids(self, event: _Event, market: _Market) -> tuple[str, str]:
        fixture = fixture_id(event.event_id, self.run)
        return fixture, f"{fixture}:{market_key(market.number, market.specifiers)}"

    def _open(self, event: _Event, market: _Market) -> bool:
        if event.card is None or not market.selections or market.settled or market.cancelled:
            return False
        if event.over or event.superceded or market.status in _SHUT:
            return False  # nobody can have bet on it, and nobody will
        if sum(bool(one.opened) for one in event.markets.values()) >= MAX_MARKETS:
            self.tally["too_many_markets"] += 1
            return False
        self._create(event, event.card)
        fixture, market_id = self._ids(event, market)
        number, specifiers = market.number, market.specifiers
        outcomes = self.descriptions.outcome_ids(number, specifiers)
        outcomes = (*outcomes, *(of for of in market.selections if of not in outcomes))
        market.opened = {of: safe(of) for of in outcomes}
        self._said.append(
            OpenMarket(
                fixture,
                market_id,
                self.descriptions.market_name(number, specifiers, event.card),
                KINDS.get(number, f"uof_{number}"),
                self.options.currency,
                {
                    market.opened[of]: self.descriptions.outcome_name(
                        number, specifiers, of, event.card
                    )
                    for of in outcomes
                },
                Limits(
                    max_age_ms=self.options.ages.prematch_ms,
                    max_age_in_play_ms=self.options.ages.in_play_ms,
                ),
                MarketStatus.SUSPENDED,
                min(winners_of(number, specifiers), len(outcomes)),
                MarketTerms(line_quarters=line_of(specifiers)),
            )
        )
        return True

    def _create(self, event: _Event, card: Card) -> None:
        if event.created:
            return
        event.created = True
        fixture = fixture_id(event.event_id, self.run)
        self._said.append(
            CreateFixture(
                fixture,
                card.sport,
                card.competition or card.sport,
                card.name,
                card.starts_at_ms,
            )
        )
        self._tell_phase(event)

    def _join(
        self, event: _Event, market: _Market, fixture: str, market_id: str, named: Iterable[str]
    ) -> None:
        """Outcomes that were not there when the market was opened."""
        for of in [of for of in named if of not in market.opened]:
            assert event.card is not None
            self.tally["selection_added"] += 1
            name = self.descriptions.outcome_name(market.number, market.specifiers, of, event.card)
            market.opened[of] = safe(of)
            self._said.append(AddSelection(fixture, market_id, safe(of), name))

    def _status(self, event: _Event, market: _Market, now_ms: int) -> MarketStatus:
        """What the market should be now, as long as it has no result."""
        status = self._stopped(event, market) or market.status
        if status in _SHUT or event.superceded:
            return MarketStatus.CLOSED
        owner = market.owner
        if (
            status is said.MarketStatus.ACTIVE
            and owner is not None
            and owner.believed(now_ms)
            and market.epoch == owner.epoch
            and not market.doubtful
            and now_ms - market.aged_from_ms < self._limit_ms(event, market)
            and min(market.odds_at, market.heard_ms) > event.blocked_at
            and not event.over
        ):
            return MarketStatus.OPEN
        return MarketStatus.SUSPENDED

    def _stopped(self, event: _Event, market: _Market) -> said.MarketStatus | None:
        """The status a bet stop gave it after its last odds; None without one."""
        if not event.stops or market.owner is None:
            return None
        last = (-1, said.MarketStatus.SUSPENDED)
        for group in market.groups & event.stops.keys():
            for product, stop in event.stops[group].items():
                # A lower producer has no say in what a higher one prices.
                if self.producers[product].info.rank >= market.owner.info.rank:
                    last = max(last, stop)
        return last[1] if last[0] >= market.odds_at else None

    def _limit_ms(self, event: _Event, market: _Market) -> int:
        owner = market.owner
        live = event.live or event.status in _ON
        live = live or (owner is not None and owner.info.kind is Kind.LIVE)
        return self.options.ages.in_play_ms if live else self.options.ages.prematch_ms

    def _tell_status(
        self,
        event: _Event,
        market: _Market,
        fixture: str,
        market_id: str,
        status: MarketStatus,
    ) -> None:
        delay_ms = self.options.bet_delay_ms if event.live else 0
        told = (status, event.live, delay_ms)
        if told != market.told:
            market.told = told
            self._said.append(ChangeStatus(fixture, market_id, *told))

    def _tell_prices(
        self, event: _Event, market: _Market, fixture: str, market_id: str, now_ms: int
    ) -> None:
        changed: dict[str, int] = {}
        for of, selection_id in market.opened.items():
            if selection_id in market.withdrawn:
                continue
            selection = market.selections.get(of)
            odds = 0
            if selection is not None and selection.active and selection.odds:
                odds = selection.odds
                odds = down_to_ladder(odds) if self.options.on_ladder else odds
            if odds != market.shown.get(selection_id, 0):
                changed[selection_id] = odds
        # Prices that were only confirmed have to be said again before the book finds them too old.
        newer_ms = market.aged_from_ms - market.vouched_ms
        confirmed = newer_ms >= self._limit_ms(event, market) // CONFIRM_SHARE
        if changed or (confirmed and any(market.shown.values())):
            market.shown |= changed
            market.priced |= {of for of, odds in changed.items() if odds}
            market.sequence += 1
            market.vouched_ms = market.aged_from_ms
            age_ms = max(0, now_ms - market.aged_from_ms)
            self._said.append(ChangePrices(fixture, market_id, changed, market.sequence, age_ms))
            if market.owner is not None:
                self._priced_by[market_id] = str(market.owner.info.product)

    def _missing(self, market: _Market, results: dict[str, Result]) -> bool:
        """Whether a selection somebody may have bet on has no result."""
        return any(
            selection_id in market.priced
            and selection_id not in market.withdrawn
            and of not in results
            for of, selection_id in market.opened.items()
        )

    def _declare(
        self, market: _Market, fixture: str, market_id: str, results: dict[str, Result]
    ) -> None:
        void = market.void
        by_selection = {
            selection_id: results.get(of, VOID)
            for of, selection_id in market.opened.items()
            if selection_id not in market.withdrawn
        }
        now = (void, {} if void else by_selection)
        if now == market.declared:
            return
        market.declared, market.partly = now, {}
        market.told = (MarketStatus.CLOSED, *market.told[1:])
        self._said.append(DeclareResult(fixture, market_id, now[1], cancelled=void))

    def _tell_voided(self, market: _Market, fixture: str, market_id: str) -> None:
        for window in market.cancelled:
            if window == WHOLE:
                continue
            if market.valid(window) and window not in market.voided:
                market.voided.add(window)
                self._said.append(VoidPlaced(fixture, market_id, window))
            elif not market.valid(window) and window in market.voided:
                market.voided.discard(window)
                self._said.append(RollBackVoid(fixture, market_id, window))

    def _tell_event(self, event: _Event) -> None:
        if event.created:
            self._tell_phase(event)

    def _tell_phase(self, event: _Event) -> None:
        """The phase, and the score. The end is said when every result is there, or for good."""
        if event.phase in (Phase.ENDED, Phase.CANCELLED):
            return
        phase: Phase = event.phase
        if event.status in _ON:
            phase = Phase.IN_PLAY
        elif event.status is EventStatus.CANCELLED:
            phase = Phase.CANCELLED
        elif event.status in (EventStatus.ENDED, EventStatus.CLOSED) and (
            event.status is EventStatus.CLOSED
            or all(market.decided for market in event.markets.values() if market.opened)
        ):
            phase = Phase.ENDED
        if phase is event.phase and (event.score == event.shown_score or not event.live):
            return
        went_live = phase is Phase.IN_PLAY and event.phase is not phase
        event.phase, event.shown_score = phase, event.score
        self._said.append(ChangePhase(fixture_id(event.event_id, self.run), phase, event.score))
        if went_live:
            for market in event.markets.values():
                if market.opened and market.declared is None:
                    self._tell_status(event, market, *self._ids(event, market), market.told[0])

    # What time does

    def _trust(self, now_ms: int) -> None:
        """Who is believed now; whose markets open or are suspended by it."""
        changed = []
        for product, producer in self.producers.items():
            believed = producer.believed(now_ms)
            if believed is not self._believed[product]:
                self._believed[product] = believed
                changed.append(producer)
        if changed:
            for event in self.events.values():
                for market in event.markets.values():
                    if market.owner in changed:
                        self._tell(event, market, now_ms)

    def _watch_market(self, event: _Event, market: _Market, now_ms: int) -> None:
        limit_ms = self._limit_ms(event, market)
        moments = (
            market.aged_from_ms + limit_ms * 3 // 4,
            market.aged_from_ms + limit_ms,
            now_ms + max(limit_ms, event.pause_ms),
        )
        at_ms = next(moment for moment in moments if moment > now_ms)
        if market.watch_ms is not None and market.watch_ms <= at_ms:
            return
        market.watch_ms = at_ms
        name = (market.number, market.specifiers)
        heapq.heappush(self._watch, (at_ms, event.event_id, name))

    def _look(self, event: _Event, market: _Market, now_ms: int) -> None:
        """Is a market's price still good, and its result not overdue?"""
        if market.decided or event.superceded or not market.opened or market.owner is None:
            return
        self._tell(event, market, now_ms)
        if now_ms - market.aged_from_ms >= self._limit_ms(event, market) * 3 // 4:
            self._ask_event(event, market.owner, now_ms)
        self._watch_market(event, market, now_ms)

    def _ask_event(self, event: _Event, producer: Producer, now_ms: int) -> None:
        if event.asked_ms is not None and now_ms - event.asked_ms < event.pause_ms:
            return
        if not producer.believed(now_ms):
            return  # its recovery brings everything
        event.pause_ms = min(2 * event.pause_ms, ASK_SELDOM_MS)
        event.asked_ms = now_ms
        event.asked = {
            request: ms for request, ms in event.asked.items() if now_ms - ms < ASK_SELDOM_MS
        }
        request_id = self._request_id()
        event.asked[request_id] = now_ms
        self._requests.append(AskEvent(producer.info.product, event.event_id, request_id))

    def _sweep(self, now_ms: int) -> None:
        """Forget events that are over and that nothing was said of for longer than a recovery can
        bring back."""
        self._swept_ms = now_ms
        for event in list(self.events.values()):
            if now_ms - event.heard_ms >= FORGET_MS and (event.over or not event.created):
                del self.events[event.event_id]
                self._nameless.pop(event.event_id, None)

    def _request_id(self) -> int:
        self.next_request += 1
        return self.next_request - 1


_SHUT = (
    said.MarketStatus.INACTIVE,
    said.MarketStatus.SETTLED,
    said.MarketStatus.CANCELLED,
)
_FIXTURE_CANCELLED = 3

KINDS = {
    1: "match_result",
    8: "next_goal",
    10: "double_chance",
    11: "draw_no_bet",
    16: "handicap",
    18: "total",
    29: "both_to_score",
    45: "correct_score",
    186: "winner",
    202: "set_winner",
    219: "winner",
    223: "handicap",
    225: "total_points",
}
"""The trade's word for a market; others are called by their number."""


_IN_SETS = ("5", "20", "23", "31", "34")
"""Tennis, table tennis, volleyball, badminton and beach volleyball."""


def score_of(status: said.SportEventStatus, sport_id: str) -> str:
    """What a scoreboard shows: "2-1 67:10", in sports of sets "6-4 3-2 (40-15)"; "" for nothing."""
    if sport_id in _IN_SETS and status.period_scores:
        shown = " ".join(f"{home}-{away}" for home, away in status.period_scores)
        if status.game_score is not None:
            shown = f"{shown} ({status.game_score[0]}-{status.game_score[1]})"
        return shown[:60]
    if not status.home_score or not status.away_score:
        return ""
    return f"{status.home_score}-{status.away_score} {status.match_time}".strip()[:60]
