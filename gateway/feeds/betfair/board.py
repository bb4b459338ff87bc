"""From what the exchange says of its markets to what is said to the book.

*Prices.* Ours is a margin below the exchange's (`cache.py` says which price that is). With margin m
a price p becomes 1 + (p - 1) * (1 - m), computed in integers, and is rounded down to the ladder
(never below 1.01). A suspension is said before the prices that come with it, and prices before the
reopening that comes with them, so that nobody gets the old ones in between.

*Results.* Runners that are removed (also vacant traps, and hidden ones) are withdrawn as soon as
that is seen: bets on them are void. In the winner of a horse race, prices of before are cut by the
runner's factor, from 2.5 per cent on. When a market closes, WINNER has won and LOSER has lost;
PLACED has won where places are what is bet on. More winners than `numberOfWinners` are a dead
heat, in which all of them share. A market without a winner is cancelled, unless its number of
winners is open (0) and all have lost. A result may be corrected by a later message.

Left out, each with a warning: markets of another betting type than ODDS (Asian handicaps and
lines), and EACH_WAY markets.
"""

from __future__ import annotations

import contextlib
import re
import zoneinfo
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import structlog

from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import MAX_BET_DELAY_MS, Limits, MarketStatus
from actors.odds import ONE, down_to_ladder
from actors.outcomes import AddSelection
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.slips.settling import MAX_WITHDRAWN
from actors.terms import MarketTerms
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.betfair.cache import MarketBook
from gateway.feeds.betfair.messages import Definition, MarketChange, Runner, is_id, selection_id
from gateway.feeds.feed import FeedCommand

log = structlog.get_logger()

PREFIX = "bf-"

SPORTS = {
    "1": "Soccer",
    "2": "Tennis",
    "3": "Golf",
    "4": "Cricket",
    "5": "Rugby Union",
    "6": "Boxing",
    "7": "Horse Racing",
    "8": "Motor Sport",
    "11": "Cycling",
    "1477": "Rugby League",
    "3503": "Darts",
    "4339": "Greyhound Racing",
    "6231": "Financial Bets",
    "6422": "Snooker",
    "6423": "American Football",
    "7511": "Baseball",
    "7522": "Basketball",
    "7524": "Ice Hockey",
    "61420": "Australian Rules",
    "468328": "Handball",
    "998917": "Volleyball",
    "26420387": "Mixed Martial Arts",
    "27454571": "Esports",
    "2152880": "Gaelic Games",
}
"""By event type id."""
HORSES = "7"
GREYHOUNDS = "4339"
RACING = (HORSES, GREYHOUNDS)
LEAST_REDUCTION = 250
"""In hundredths of a per cent: the exchange cuts no price for a runner of a smaller share."""

KINDS = {
    "MATCH_ODDS": "match_result",
    "PLACE": "place",
    "OTHER_PLACE": "place",
    "WIN": "win",
}
"""The trade's word for a market type; all other types keep their own, in lower case."""
_GOALS = re.compile(r"OVER_UNDER_(\d+)([05])")
GONE = ("REMOVED", "REMOVED_VACANT", "HIDDEN")
DECIDED = ("WINNER", "LOSER", "PLACED")


MAX_NOTES = 1_000
"""Warnings and winners that a summary keeps; a live stream goes on for months."""


class Summary(msgspec.Struct):
    """What a source held, counted on the way."""

    messages: int = 0
    fixtures: int = 0
    markets: int = 0
    price_changes: int = 0
    """Changes of one selection's price."""
    suspensions: int = 0
    removed_runners: int = 0
    winners: list[str] = []
    """"<market id> <runner>", in the order they were declared."""
    warnings: list[str] = []
    reductions: dict[str, int] = {}
    """By "<market id> <runner id>", for removed runners: by how much prices taken before are
    reduced, in hundredths of a per cent."""
    starting_prices: dict[str, int] = {}
    """By "<market id> <runner id>", where they are reconciled: odds in ten-thousandths."""

    def warn(self, text: str) -> None:
        if text not in self.warnings and len(self.warnings) < MAX_NOTES:
            self.warnings.append(text)
            log.warning("betfair", what=text)


_LONGEST = Decimal(1_000)


def our_odds(price: Decimal, margin_bp: int) -> int:
    """The exchange's price with our margin taken off its profit, on the ladder; 0 for none."""
    if not price.is_finite():
        return 0
    exchange = int(min(price, _LONGEST) * ONE)
    if exchange <= ONE:
        return 0
    return down_to_ladder(ONE + (exchange - ONE) * (10_000 - margin_bp) // 10_000)


class Card(msgspec.Struct):
    """A market as the recording as a whole describes it."""

    market_id: str
    definition: Definition
    """The last one, completed by what earlier ones said and it leaves out."""
    runners: dict[str, Runner]
    skipped: str = ""
    """Why the market is left out."""

    @property
    def event(self) -> str:
        return self.definition.event_id or self.market_id

    @property
    def market_type(self) -> str:
        return (self.definition.market_type or "").upper()

    @property
    def kind(self) -> str:
        return KINDS.get(self.market_type, self.market_type.lower() or "market")

    @property
    def line_quarters(self) -> int | None:
        """The line of a total of goals, in quarters: 10 of OVER_UNDER_25."""
        goals = _GOALS.fullmatch(self.market_type)
        return 4 * int(goals[1]) + 4 * int(goals[2]) // 10 if goals else None

    @property
    def reduces(self) -> bool:
        """Whether prices taken before are cut by the factor of a runner that is removed."""
        racing = self.definition.event_type_id == HORSES and self.market_type == "WIN"
        return racing and len(self.runners) <= MAX_WITHDRAWN

    def describe(self, definition: Definition) -> None:
        """The market as it is said to be now, which may leave out what was said before."""
        for field in definition.__struct_fields__:
            if getattr(definition, field) is None:
                setattr(definition, field, getattr(self.definition, field))
        self.definition = definition
        for runner in sorted(definition.runners, key=lambda runner: runner.sort_priority):
            known = self.runners.setdefault(selection_id(runner.id, runner.hc), runner)
            known.name = runner.name or known.name

    def judge(self, summary: Summary) -> None:
        """Find out whether it can be offered, and warn if not."""
        betting = self.definition.betting_type or "ODDS"
        if not self.runners:
            self.skipped = "it has no runners"
        elif betting != "ODDS":
            self.skipped = f"betting type {betting} is not supported"
        elif self.market_type == "EACH_WAY":
            self.skipped = "each-way bets are not supported"
        if self.skipped:
            summary.warn(f"market {self.market_id} is left out: {self.skipped}")


# The second reading: what happens


class Market:
    """One market on our board, and what the exchange has said of it so far."""

    def __init__(self, card: Card, fixture_id: str, book: MarketBook) -> None:
        self.card = card
        self.book = book
        self.fixture_id = fixture_id
        self.market_id = f"{fixture_id}:{card.market_id}"
        self.active: frozenset[str] = frozenset()
        self.open = False
        self.held = ""
        """Why it is suspended whatever the exchange says, and its prices are not passed on."""
        self.status: MarketStatus | None = MarketStatus.SUSPENDED
        """As last said to the book; None while we don't know what was said before us."""
        self.in_play = False
        self.bet_delay_ms = 0
        self.odds: dict[str, int] = {}
        self.sequence = 0
        self.withdrawn: set[str] = set()
        self.renew: set[str] = set()
        """Selections whose price is said again though it is the same, when the exchange opens: it
        is from before one of them was withdrawn, and the book waits for it."""
        self.results: dict[str, Result] | None = None
        """As declared; empty for a cancelled market."""


class Board:
    """All markets of one run of the feed."""

    def __init__(
        self, cards: Iterable[Card], *, margin_bp: int, currency: str, run: str, summary: Summary
    ) -> None:
        self.margin_bp = margin_bp
        self.currency = currency
        self.run = run
        self.summary = summary
        self.markets: dict[str, Market] = {}
        """By the exchange's id."""
        self.by_fixture: dict[str, list[Market]] = {}
        self.phases: dict[str, Phase] = {}
        for card in cards:
            if not card.skipped:
                self._add(card, MarketBook())

    def _add(self, card: Card, book: MarketBook) -> Market:
        market = Market(card, f"{PREFIX}{card.event}-{self.run}", book)
        self.markets[card.market_id] = market
        self.by_fixture.setdefault(market.fixture_id, []).append(market)
        return market

    def hear(self, at_ms: int, changes: Iterable[MarketChange]) -> Iterator[FeedCommand]:
        """What is to be said after changes that were published together at `at_ms`."""
        # First what every runner is worth now, then what it means: a market that opens again
        # does so with its new prices, wherever among the changes they stand.
        changes = list(changes)
        yield from self._say(at_ms, changes, self._take_in(changes))

    def _take_in(self, changes: list[MarketChange]) -> dict[str, set[str]]:
        """The runners whose prices may be new, by market."""
        touched: dict[str, set[str]] = {}
        for change in changes:
            market = self.markets.get(change.id)
            if market is None:
                continue
            runners = touched.setdefault(change.id, set())
            runners |= market.book.hear(change)
            runners.update(market.card.runners if change.img else ())
        return touched

    def _say(
        self, at_ms: int, changes: list[MarketChange], touched: dict[str, set[str]]
    ) -> Iterator[FeedCommand]:
        for change in changes:
            if change.id in touched and change.market_definition is not None:
                market = self.markets[change.id]
                yield from self._defined(market, change.market_definition, at_ms)
        for market_id, runners in touched.items():
            market = self.markets[market_id]
            if market.open and market.results is None:
                yield from self._prices(market, runners, at_ms)

    def _defined(self, market: Market, definition: Definition, at_ms: int) -> Iterator[FeedCommand]:
        # Several may have come at once: each in its turn.
        market.book.definition = definition
        market.active = frozenset(
            selection_id(runner.id, runner.hc)
            for runner in definition.runners
            if runner.status == "ACTIVE"
        )
        if not market.open:
            yield from self._open(market, at_ms)
        if market.results is not None:
            if definition.status == "CLOSED":
                yield from self._declare(market)
            else:
                self.summary.warn(f"market {market.card.market_id} reopens: it stays closed")
            return
        yield from self._withdraw(market)
        if definition.in_play and self.phases[market.fixture_id] is Phase.SCHEDULED:
            self.phases[market.fixture_id] = Phase.IN_PLAY
            yield ChangePhase(market.fixture_id, Phase.IN_PLAY)
        if definition.status == "CLOSED":
            yield from self._status(market, MarketStatus.CLOSED)
            if _is_decided(definition):
                yield from self._declare(market)
        elif definition.status == "OPEN":
            if market.status is MarketStatus.CLOSED:
                yield from self._status(market, MarketStatus.SUSPENDED)
            yield from self._offer(market, at_ms)
        else:
            yield from self._status(market, MarketStatus.SUSPENDED)
            yield from self._prices(market, None, at_ms)

    def _offer(self, market: Market, at_ms: int) -> Iterator[FeedCommand]:
        """Open it, unless it is held."""
        if market.held:
            yield from self._status(market, MarketStatus.SUSPENDED)
            return
        # New prices first, so that nobody gets the old ones in between.
        yield from self._prices(market, None, at_ms)
        yield from self._status(market, MarketStatus.OPEN)

    def _open(self, market: Market, at_ms: int) -> Iterator[FeedCommand]:
        card = market.card
        if market.fixture_id not in self.phases:
            self.phases[market.fixture_id] = Phase.SCHEDULED
            self.summary.fixtures += 1
            cards = [sibling.card for sibling in self.by_fixture[market.fixture_id]]
            yield _fixture(market.fixture_id, cards, at_ms)
        market.open = True
        self.summary.markets += 1
        # Suspended until it is priced: the status follows.
        yield OpenMarket(
            market.fixture_id,
            market.market_id,
            _market_name(card),
            card.kind,
            self.currency,
            {of: _runner_name(card, of, runner) for of, runner in card.runners.items()},
            self._limits,
            MarketStatus.SUSPENDED,
            terms=MarketTerms(line_quarters=card.line_quarters, reduction_factors=card.reduces),
        )

    _limits = Limits()
    """A recording has no age: what it says was true once, and is said at any speed."""

    def _withdraw(self, market: Market) -> Iterator[FeedCommand]:
        definition = market.book.definition
        assert definition is not None
        exchange_id = market.card.market_id
        for runner in definition.runners:
            of = selection_id(runner.id, runner.hc)
            if of not in market.card.runners and not is_id(of):
                self.summary.warn(f"market {exchange_id}: runner {of!r} can't be an id")
                continue
            if of not in market.card.runners:
                market.card.runners[of] = runner
                name = _runner_name(market.card, of, runner)
                yield AddSelection(market.fixture_id, market.market_id, of, name)
            if runner.status in GONE and of not in market.withdrawn:
                if market.card.reduces and market.status is MarketStatus.OPEN:
                    # Whoever bets after it is not cut: not at the prices of before it.
                    yield from self._status(market, MarketStatus.SUSPENDED)
                market.withdrawn.add(of)
                market.odds.pop(of, None)
                if market.card.reduces:
                    market.renew = {name for name, odds in market.odds.items() if odds}
                self.summary.removed_runners += 1
                factor = runner.adjustment_factor
                reduction = 0
                if factor is not None and factor.is_finite() and 0 <= factor < 100:
                    reduction = self.summary.reductions[f"{exchange_id} {of}"] = int(factor * 100)
                if reduction < LEAST_REDUCTION:
                    reduction = 0
                yield WithdrawSelection(
                    market.fixture_id, market.market_id, of, reduction=reduction
                )
            elif runner.status not in GONE and of in market.withdrawn:
                name = _runner_name(market.card, of, runner)
                self.summary.warn(f"market {exchange_id}: {name} came back; it stays withdrawn")
            if definition.bsp_reconciled and runner.bsp is not None and runner.bsp.is_finite():
                self.summary.starting_prices[f"{exchange_id} {of}"] = int(runner.bsp * ONE)

    def _status(self, market: Market, status: MarketStatus) -> Iterator[FeedCommand]:
        assert market.book.definition is not None
        in_play = market.book.definition.in_play
        delay_ms = max(0, min(market.book.definition.bet_delay * 1_000, MAX_BET_DELAY_MS))
        if (status, in_play, delay_ms) == (market.status, market.in_play, market.bet_delay_ms):
            return
        if status is MarketStatus.SUSPENDED and market.status is MarketStatus.OPEN:
            self.summary.suspensions += 1
        market.status, market.in_play, market.bet_delay_ms = status, in_play, delay_ms
        yield ChangeStatus(market.fixture_id, market.market_id, status, in_play, delay_ms)

    def _prices(
        self, market: Market, touched: set[str] | None, at_ms: int
    ) -> Iterator[FeedCommand]:
        """What has changed in price, of all selections or of those `touched`."""
        if market.status is MarketStatus.CLOSED or market.held:
            return
        changed: dict[str, int] = {}
        definition = market.book.definition
        # While the exchange has it suspended, its prices are those of before the removal.
        renew = market.renew if definition and definition.status == "OPEN" else ()
        for of in market.card.runners:
            if touched is not None and of not in touched and of not in renew:
                continue
            odds = 0
            book = market.book.runners.get(of)
            if book is not None and of in market.active and of not in market.withdrawn:
                odds = our_odds(book.price(), self.margin_bp)
            if odds != market.odds.get(of, self._never_said):
                changed[of] = odds
                self.summary.price_changes += 1
            elif of in renew:
                changed[of] = odds
        if changed:
            market.odds.update(changed)
            market.renew -= changed.keys()
            market.sequence += 1
            yield ChangePrices(market.fixture_id, market.market_id, changed, market.sequence)

    _never_said = 0
    """The odds of a selection before anything was said of it."""

    def _declare(self, market: Market) -> Iterator[FeedCommand]:
        results = _results(market, self.summary)
        if results == market.results:
            return
        market.results = results
        for of, result in results.items():
            if result.outcome is Outcome.WON and len(self.summary.winners) < MAX_NOTES:
                name = _runner_name(market.card, of, market.card.runners[of])
                self.summary.winners.append(f"{market.card.market_id} {name}")
        yield DeclareResult(market.fixture_id, market.market_id, results, cancelled=not results)
        yield from self._decided(market)

    def _decided(self, market: Market) -> Iterator[FeedCommand]:
        """A market has its result: its fixture may be over."""
        siblings = self.by_fixture[market.fixture_id]
        if all(sibling.results is not None for sibling in siblings):
            yield from self._end(market.fixture_id)

    def _end(self, fixture_id: str) -> Iterator[FeedCommand]:
        if self.phases[fixture_id] is not Phase.ENDED:
            self.phases[fixture_id] = Phase.ENDED
            yield ChangePhase(fixture_id, Phase.ENDED)

    def finish(self) -> Iterator[FeedCommand]:
        """The source is over: nothing may stay open that nobody prices any more."""
        for market in self.markets.values():
            if not market.open or market.results is not None:
                continue
            if market.status is MarketStatus.CLOSED:
                self.summary.warn(
                    f"market {market.card.market_id} was closed without a result: it is cancelled"
                )
                yield from self._declare(market)
            else:
                self.summary.warn(
                    f"market {market.card.market_id}: the recording ends before the market does;"
                    " it stays suspended"
                )
                yield from self._status(market, MarketStatus.SUSPENDED)


def _is_decided(definition: Definition) -> bool:
    """Closed markets may still wait for their result, with all runners active."""
    statuses = {runner.status for runner in definition.runners}
    return not statuses.isdisjoint(DECIDED) or statuses.issubset(GONE)


def _results(market: Market, summary: Summary) -> dict[str, Result]:
    """The result of each selection that is not withdrawn; none at all for a void market."""
    assert market.book.definition is not None
    definition = market.book.definition
    places = definition.number_of_winners
    winning = ("WINNER", "PLACED") if market.card.kind == "place" else ("WINNER",)
    statuses = {
        of: status
        for runner in definition.runners
        if (of := selection_id(runner.id, runner.hc)) not in market.withdrawn
        for status in (runner.status,)
    }
    winners = [of for of, status in statuses.items() if status in winning]
    open_ended = places == 0 and set(statuses.values()) <= {"LOSER", "PLACED"}
    if not winners and not (open_ended and statuses):
        return {}
    won = WON
    if places and places < len(winners):
        won = Result(Outcome.WON, tied=len(winners), places=places)
    results: dict[str, Result] = {}
    for of, runner in market.card.runners.items():
        status = statuses.get(of)
        if of in market.withdrawn:
            continue
        if status in winning:
            results[of] = won
        elif status in DECIDED:
            results[of] = LOST
        else:
            results[of] = VOID
            summary.warn(
                f"market {market.card.market_id}: {_runner_name(market.card, of, runner)} has no"
                " result; it is void"
            )
    return results


# What to call things


def _fixture(fixture_id: str, cards: list[Card], at_ms: int) -> CreateFixture:
    card = min(cards, key=lambda card: (card.definition.starts_at_ms, card.market_id))
    definition = card.definition
    event_type = definition.event_type_id or ""
    sport = SPORTS.get(event_type, f"Sport {event_type}".strip())
    starts_at_ms = card.definition.starts_at_ms or at_ms
    name = definition.event_name or definition.venue or f"{sport} event {card.event}"
    competition = definition.competition_name or definition.country_code or sport
    if event_type in RACING:
        # The event of a race is the whole meeting; what is bet on is the race.
        place = definition.venue or definition.event_name
        if place and len({sibling.definition.starts_at_ms for sibling in cards}) == 1:
            name = f"{_local_time(starts_at_ms, definition.timezone)} {place}"
        competition = definition.event_name or definition.venue or competition
    return CreateFixture(fixture_id, sport, competition, name, starts_at_ms)


def _local_time(at_ms: int, timezone: str | None) -> str:
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    # With an unknown zone, or on a machine without zones, the race is named by UTC.
    with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError):
        moment = moment.astimezone(zoneinfo.ZoneInfo(timezone or "UTC"))
    return f"{moment:%H:%M}"


def _market_name(card: Card) -> str:
    if card.definition.name:
        return card.definition.name
    if card.kind == "place":
        return "To Be Placed"
    return card.market_type.replace("_", " ").title() or f"Market {card.market_id}"


def _runner_name(card: Card, of: str, runner: Runner) -> str:
    name = card.runners[of].name or runner.name or _generic_name(card, runner)
    if runner.hc and runner.hc.is_finite():
        return f"{name} {runner.hc.normalize():+f}"
    return name


def _generic_name(card: Card, runner: Runner) -> str:
    goals = _GOALS.fullmatch(card.market_type)
    if goals and runner.sort_priority in (1, 2):
        side = ("Under", "Over")[runner.sort_priority - 1]
        return f"{side} {goals[1]}.{goals[2]}"
    if card.market_type == "MATCH_ODDS" and runner.sort_priority in (1, 2, 3):
        return ("Home", "Away", "The Draw")[runner.sort_priority - 1]
    if card.definition.event_type_id == GREYHOUNDS and runner.sort_priority:
        return f"Trap {runner.sort_priority}"
    return f"Runner {runner.id}"
