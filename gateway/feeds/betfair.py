"""Recordings of the Betfair Exchange Stream, said again to the book as if they happened now.

A recording is a file of JSON lines, plain or packed with gzip or bzip2, as the historic data is
sold and as stream recorders write it. Only messages of `op: mcm` count.

*Prices.* An exchange's best price to back is what the market thinks of a runner; ours is a margin
below it. It is, for each runner, the first of these that the recording has:

1. the longest price in `atb` (available to back, by price),
2. level 0 of `batb`, then of `bdatb` (the same by level, the latter with virtual bets),
3. `ltp`, the last price traded, where the recording carries no ladder for the runner at all.

A ladder that has run empty means that nobody offers a price, and then we offer none: the last
traded price would be the one from before the goal. With margin m a price p becomes
1 + (p - 1) * (1 - m), computed in integers, and is rounded down to the ladder (never below 1.01).

*Names.* Streams carry none until the market closes, or never. So a recording is read twice: first
for what its markets are called, who runs in them and when they start, as last said, and whether
all its lines can be read, before anything is sent; then for what happens. A runner that joins
later is on the board from the beginning, without a price.

*Results.* Runners that are removed (also vacant traps, and hidden ones) are withdrawn as soon as
that is seen: bets on them are void. When a market closes, WINNER has won and LOSER has lost;
PLACED has won where places are what is bet on. More winners than `numberOfWinners` are a dead
heat, in which all of them share. A market without a winner is cancelled, unless its number of
winners is open (0) and all have lost. A result may be corrected by a later message.

Left out, each with a warning: markets of another betting type than ODDS (Asian handicaps and
lines), and EACH_WAY markets.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import heapq
import re
import zlib
import zoneinfo
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import structlog

from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import (
    MAX_BET_DELAY_MS,
    ChangePrices,
    ChangeStatus,
    DeclareResult,
    MarketStatus,
    OpenMarket,
    WithdrawSelection,
)
from actors.odds import ONE, down_to_ladder
from actors.results import LOST, VOID, WON, Outcome, Result
from gateway.feeds.feed import Feed, FeedCommand, Step, check_run

log = structlog.get_logger()

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
GREYHOUNDS = "4339"
RACING = ("7", GREYHOUNDS)

KINDS = {
    "MATCH_ODDS": "match_result",
    "PLACE": "place",
    "OTHER_PLACE": "place",
    "WIN": "win",
}
"""The trade's word for a market type; all other types keep their own, in lower case."""
GONE = ("REMOVED", "REMOVED_VACANT", "HIDDEN")
DECIDED = ("WINNER", "LOSER", "PLACED")


class RecordingError(ValueError):
    """The recording can't be read: which file, which line, and why."""


class Settings(msgspec.Struct, frozen=True):
    files: tuple[str, ...]
    """Paths. Markets of one event that were recorded apart become one fixture when their
    recordings are replayed together."""
    margin_bp: int = 500
    """What is kept of each price's profit, in hundredths of a percent."""
    currency: str = "GBP"


class Summary(msgspec.Struct):
    """What a recording held, counted while it was replayed."""

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

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            log.warning("recording", what=text)


class BetfairFeed(Feed):
    name = "betfair"
    prefix = "bf-"
    settings = Settings

    def open(self, settings: Settings, run: str, start_ms: int) -> Recording:
        """Reads all files to their end: best done in a thread. A recording has its own time."""
        return Recording(settings, run)

    def sample(self, folder: Path) -> Settings:
        path = folder / "sample.jsonl"
        path.write_text(_SAMPLE)
        return Settings((str(path),))


class Recording:
    """One or more recordings merged into one stream, read from the first message to the last.

    Raises `RecordingError` for a line that can't be read; only the last may be cut off.
    """

    name = BetfairFeed.name

    def __init__(self, settings: Settings, run: str) -> None:
        check_run(run)
        if not settings.files:
            raise RecordingError("no recording was given")
        if not 0 <= settings.margin_bp < ONE:
            raise ValueError(f"margin_bp is {settings.margin_bp}; it is from 0 to 9999")
        self.settings = settings
        self.run = run
        self.summary = Summary()
        self._paths = [Path(name) for name in settings.files]
        self._cards, digest = _survey(self._paths, self.summary)
        # Named by its content: another recording replayed in the same run has other keys.
        self.keys = f"{self.name}/{run}/{digest}"

    async def steps(self) -> AsyncIterator[Step]:
        for step in self.convert():
            yield step

    def convert(self) -> Iterator[Step]:
        """The same without waiting."""
        replay = _Replay(self._cards, self.settings, self.run, self.summary)
        at_ms = 0
        for message in _merged(self._paths, self.summary):
            if message.op != "mcm":
                continue
            self.summary.messages += 1
            at_ms = max(at_ms, message.pt)
            commands = tuple(replay.hear(message))
            if commands:
                yield Step(at_ms, commands)
        commands = tuple(replay.finish())
        if commands:
            yield Step(at_ms, commands)


# What the lines hold, as far as we need it

Name = str | None


class _Runner(msgspec.Struct, rename="camel"):
    id: int | str
    hc: Decimal = Decimal(0)
    status: str = "ACTIVE"
    sort_priority: int = 0
    name: Name = None


class _Definition(msgspec.Struct, rename="camel"):
    event_id: Name = None
    event_type_id: Name = None
    event_name: Name = None
    competition_name: Name = None
    venue: Name = None
    name: Name = None
    country_code: Name = None
    timezone: Name = None
    market_type: Name = None
    betting_type: Name = None
    market_time: datetime | None = None
    number_of_winners: int | None = None
    status: str = "OPEN"
    in_play: bool = False
    bet_delay: int = 0
    runners: list[_Runner] = []


class _RunnerChange(msgspec.Struct):
    id: int | str
    hc: Decimal | None = None
    atb: list[tuple[Decimal, Decimal]] | None = None
    batb: list[tuple[Decimal, Decimal, Decimal]] | None = None
    bdatb: list[tuple[Decimal, Decimal, Decimal]] | None = None
    ltp: Decimal | None = None


class _MarketChange(msgspec.Struct, rename="camel"):
    id: str
    img: bool = False
    market_definition: _Definition | None = None
    rc: list[_RunnerChange] | None = None


class _Message(msgspec.Struct):
    op: str = ""
    pt: int = 0
    """Milliseconds since the Unix epoch."""
    mc: list[_MarketChange] | None = None


_decoder = msgspec.json.Decoder(_Message)
_LONGEST = Decimal(1_000)
_ID = re.compile(r"[A-Za-z0-9_.-]{1,36}")
"""So that an event and a run fit into a fixture id."""


def selection_id(runner_id: int | str, hc: Decimal | None) -> str:
    """The runner, and its handicap where it has one: "123_-1.5"."""
    if not hc or not hc.is_finite():
        return str(runner_id)
    return f"{runner_id}_{hc.normalize():f}"


def our_odds(price: Decimal, margin_bp: int) -> int:
    """The exchange's price with our margin taken off its profit, on the ladder; 0 for none."""
    if not price.is_finite():
        return 0
    exchange = int(min(price, _LONGEST) * ONE)
    if exchange <= ONE:
        return 0
    return down_to_ladder(ONE + (exchange - ONE) * (10_000 - margin_bp) // 10_000)


class Ladder:
    """What an exchange has said of one runner's prices to back, kept up by its changes."""

    def __init__(self) -> None:
        self.by_price: dict[Decimal, Decimal] | None = None
        self.best: dict[Decimal, Decimal] | None = None
        self.display: dict[Decimal, Decimal] | None = None
        self.traded: Decimal | None = None

    def hear(self, change: _RunnerChange) -> None:
        if change.atb is not None:
            self.by_price = self.by_price if self.by_price is not None else {}
            for price, size in change.atb:
                if size > 0:
                    self.by_price[price] = size
                else:
                    self.by_price.pop(price, None)
        if change.batb is not None:
            self.best = _levels(self.best, change.batb)
        if change.bdatb is not None:
            self.display = _levels(self.display, change.bdatb)
        if change.ltp is not None:
            self.traded = change.ltp

    def price(self) -> Decimal:
        """The price to go by, as the page above has it; 0 for none."""
        if self.by_price is not None:
            return max(self.by_price, default=Decimal(0))
        for levels in (self.best, self.display):
            if levels is not None:
                # Level 0 is the best one; the next in line while it is being replaced.
                return levels[min(levels)] if levels else Decimal(0)
        return self.traded or Decimal(0)


def _levels(
    levels: dict[Decimal, Decimal] | None, changes: list[tuple[Decimal, Decimal, Decimal]]
) -> dict[Decimal, Decimal]:
    levels = levels if levels is not None else {}
    for level, price, size in changes:
        if size > 0:
            levels[level] = price
        else:
            levels.pop(level, None)
    return levels


# The first reading: what the markets are


class _Card(msgspec.Struct):
    """A market as the recording as a whole describes it."""

    market_id: str
    definition: _Definition
    """The last one, completed by what earlier ones said and it leaves out."""
    runners: dict[str, _Runner]
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
    def starts_at_ms(self) -> int:
        time = self.definition.market_time
        if time is None:
            return 0
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)


def _survey(paths: Sequence[Path], summary: Summary) -> tuple[dict[str, _Card], str]:
    cards: dict[str, _Card] = {}
    seen: set[str] = set()
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        for message in _messages(path, summary, digest):
            for change in message.mc or () if message.op == "mcm" else ():
                seen.add(change.id)
                if change.market_definition is not None:
                    _describe(cards, change.id, change.market_definition)
    for market_id in sorted(seen - cards.keys()):
        summary.warn(f"market {market_id} has no marketDefinition: it is left out")
    for card in cards.values():
        betting = card.definition.betting_type or "ODDS"
        if not card.runners:
            card.skipped = "it has no runners"
        elif betting != "ODDS":
            card.skipped = f"betting type {betting} is not supported"
        elif card.market_type == "EACH_WAY":
            card.skipped = "each-way bets are not supported"
        if card.skipped:
            summary.warn(f"market {card.market_id} is left out: {card.skipped}")
    return cards, digest.hexdigest()


def _describe(cards: dict[str, _Card], market_id: str, definition: _Definition) -> None:
    card = cards.get(market_id)
    if card is None:
        card = cards[market_id] = _Card(market_id, definition, {})
    for field in definition.__struct_fields__:
        if getattr(definition, field) is None:
            setattr(definition, field, getattr(card.definition, field))
    card.definition = definition
    for runner in sorted(definition.runners, key=lambda runner: runner.sort_priority):
        known = card.runners.setdefault(selection_id(runner.id, runner.hc), runner)
        known.name = runner.name or known.name


def _merged(paths: Sequence[Path], summary: Summary) -> Iterator[_Message]:
    streams = [_messages(path, summary) for path in paths]
    return heapq.merge(*streams, key=lambda message: message.pt)


def _messages(
    path: Path, summary: Summary, digest: hashlib.blake2b | None = None
) -> Iterator[_Message]:
    broken: tuple[int, str] | None = None
    last_ms = 0
    for number, line in enumerate(_lines(path, summary), 1):
        if digest:
            digest.update(line)
        if not line.strip():
            continue
        if broken:
            raise RecordingError(f"{path}:{broken[0]}: {broken[1]}")
        try:
            message = _decoder.decode(line)
        except msgspec.ValidationError as error:
            raise RecordingError(f"{path}:{number}: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            broken = (number, str(error))  # an error, unless it is the last line
            continue
        for change in message.mc or ():
            _check_ids(path, number, change)
        # Time never goes back, whatever a recorder wrote.
        message.pt = last_ms = max(last_ms, message.pt)
        if message.mc and not last_ms:
            raise RecordingError(f"{path}:{number}: no publish time (pt)")
        yield message
    if broken and not last_ms:
        raise RecordingError(f"{path}:{broken[0]}: {broken[1]}")
    if broken:
        summary.warn(f"{path}: line {broken[0]}, the last, is cut off and left out")


def _lines(path: Path, summary: Summary) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            start = raw.read(3)
            raw.seek(0)
            # By what the file is, not by what it is called: historic files have any name.
            if start[:2] == b"\x1f\x8b":
                with gzip.open(raw) as packed:
                    yield from packed
            elif start == b"BZh":
                with bz2.open(raw) as packed:
                    yield from packed
            else:
                yield from raw
    except EOFError:
        summary.warn(f"{path}: the packed file is cut off")
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _check_ids(path: Path, number: int, change: _MarketChange) -> None:
    definition = change.market_definition
    ids = [change.id]
    if definition is not None:
        ids += [selection_id(runner.id, runner.hc) for runner in definition.runners]
        ids += [definition.event_id] if definition.event_id else []
    for value in ids:
        if not _ID.fullmatch(value):
            raise RecordingError(f"{path}:{number}: {value!r} can't be an id")


# The second reading: what happens


class _Market:
    """One market on our board, and what the exchange has said of it so far."""

    def __init__(self, card: _Card, fixture_id: str) -> None:
        self.card = card
        self.fixture_id = fixture_id
        self.market_id = f"{fixture_id}:{card.market_id}"
        self.ladders: dict[str, Ladder] = {}
        self.definition: _Definition | None = None
        self.active: frozenset[str] = frozenset()
        self.open = False
        self.status = MarketStatus.SUSPENDED
        self.in_play = False
        self.bet_delay_ms = 0
        self.odds: dict[str, int] = {}
        self.sequence = 0
        self.withdrawn: set[str] = set()
        self.results: dict[str, Result] | None = None
        """As declared; empty for a cancelled market."""


class _Replay:
    def __init__(
        self, cards: dict[str, _Card], settings: Settings, run: str, summary: Summary
    ) -> None:
        self.settings = settings
        self.summary = summary
        self.markets: dict[str, _Market] = {}
        self.by_fixture: dict[str, list[_Market]] = {}
        self.phases: dict[str, Phase] = {}
        for card in cards.values():
            if not card.skipped:
                market = _Market(card, f"{BetfairFeed.prefix}{card.event}-{run}")
                self.markets[card.market_id] = market
                self.by_fixture.setdefault(market.fixture_id, []).append(market)

    def hear(self, message: _Message) -> Iterator[FeedCommand]:
        # First what every runner is worth now, then what it means: a market that opens again
        # does so with its new prices, wherever in the message they stand.
        touched: dict[str, set[str]] = {}
        for change in message.mc or ():
            market = self.markets.get(change.id)
            if market is None:
                continue
            if change.img:
                market.ladders.clear()
            runners = touched.setdefault(change.id, set())
            runners.update(market.card.runners if change.img else ())
            for runner in change.rc or ():
                of = selection_id(runner.id, runner.hc)
                runners.add(of)
                market.ladders.setdefault(of, Ladder()).hear(runner)
        for change in message.mc or ():
            if change.id in touched and change.market_definition is not None:
                market = self.markets[change.id]
                yield from self._defined(market, change.market_definition, message.pt)
        for market_id, runners in touched.items():
            market = self.markets[market_id]
            if market.open and market.results is None:
                yield from self._prices(market, runners)

    def _defined(
        self, market: _Market, definition: _Definition, at_ms: int
    ) -> Iterator[FeedCommand]:
        market.definition = definition
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
            # New prices first, so that nobody gets the old ones in between.
            yield from self._prices(market)
            yield from self._status(market, MarketStatus.OPEN)
        else:
            yield from self._status(market, MarketStatus.SUSPENDED)
            yield from self._prices(market)

    def _open(self, market: _Market, at_ms: int) -> Iterator[FeedCommand]:
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
            self.settings.currency,
            {of: _runner_name(card, of, runner) for of, runner in card.runners.items()},
            status=MarketStatus.SUSPENDED,
        )

    def _withdraw(self, market: _Market) -> Iterator[FeedCommand]:
        assert market.definition is not None
        for runner in market.definition.runners:
            of = selection_id(runner.id, runner.hc)
            if runner.status in GONE and of not in market.withdrawn:
                market.withdrawn.add(of)
                market.odds.pop(of, None)
                self.summary.removed_runners += 1
                yield WithdrawSelection(market.fixture_id, market.market_id, of)
            elif runner.status not in GONE and of in market.withdrawn:
                name = _runner_name(market.card, of, runner)
                self.summary.warn(
                    f"market {market.card.market_id}: {name} came back; it stays withdrawn"
                )

    def _status(self, market: _Market, status: MarketStatus) -> Iterator[FeedCommand]:
        assert market.definition is not None
        in_play = market.definition.in_play
        delay_ms = max(0, min(market.definition.bet_delay * 1_000, MAX_BET_DELAY_MS))
        if (status, in_play, delay_ms) == (market.status, market.in_play, market.bet_delay_ms):
            return
        if status is MarketStatus.SUSPENDED and market.status is MarketStatus.OPEN:
            self.summary.suspensions += 1
        market.status, market.in_play, market.bet_delay_ms = status, in_play, delay_ms
        yield ChangeStatus(market.fixture_id, market.market_id, status, in_play, delay_ms)

    def _prices(self, market: _Market, touched: set[str] | None = None) -> Iterator[FeedCommand]:
        """What has changed in price, of all selections or of those `touched`."""
        if market.status is MarketStatus.CLOSED:
            return
        changed: dict[str, int] = {}
        for of in market.card.runners:
            if touched is not None and of not in touched:
                continue
            odds = 0
            ladder = market.ladders.get(of)
            if ladder is not None and of in market.active and of not in market.withdrawn:
                odds = our_odds(ladder.price(), self.settings.margin_bp)
            if odds != market.odds.get(of, 0):
                changed[of] = odds
        if changed:
            market.odds.update(changed)
            market.sequence += 1
            self.summary.price_changes += len(changed)
            yield ChangePrices(market.fixture_id, market.market_id, changed, market.sequence)

    def _declare(self, market: _Market) -> Iterator[FeedCommand]:
        results = _results(market, self.summary)
        if results == market.results:
            return
        market.results = results
        for of, result in results.items():
            if result.outcome is Outcome.WON:
                name = _runner_name(market.card, of, market.card.runners[of])
                self.summary.winners.append(f"{market.card.market_id} {name}")
        yield DeclareResult(market.fixture_id, market.market_id, results, cancelled=not results)
        siblings = self.by_fixture[market.fixture_id]
        over = all(sibling.results is not None for sibling in siblings)
        if over and self.phases[market.fixture_id] is not Phase.ENDED:
            self.phases[market.fixture_id] = Phase.ENDED
            yield ChangePhase(market.fixture_id, Phase.ENDED)

    def finish(self) -> Iterator[FeedCommand]:
        """The recording is over: nothing may stay open that nobody prices any more."""
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


def _is_decided(definition: _Definition) -> bool:
    """Closed markets may still wait for their result, with all runners active."""
    statuses = {runner.status for runner in definition.runners}
    return not statuses.isdisjoint(DECIDED) or statuses.issubset(GONE)


def _results(market: _Market, summary: Summary) -> dict[str, Result]:
    """The result of each selection that is not withdrawn; none at all for a void market."""
    assert market.definition is not None
    definition = market.definition
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


def _fixture(fixture_id: str, cards: list[_Card], at_ms: int) -> CreateFixture:
    card = min(cards, key=lambda card: (card.starts_at_ms, card.market_id))
    definition = card.definition
    event_type = definition.event_type_id or ""
    sport = SPORTS.get(event_type, f"Sport {event_type}".strip())
    starts_at_ms = card.starts_at_ms or at_ms
    name = definition.event_name or definition.venue or f"{sport} event {card.event}"
    competition = definition.competition_name or definition.country_code or sport
    if event_type in RACING:
        # The event of a race is the whole meeting; what is bet on is the race.
        place = definition.venue or definition.event_name
        if place and len({sibling.starts_at_ms for sibling in cards}) == 1:
            name = f"{_local_time(starts_at_ms, definition.timezone)} {place}"
        competition = definition.event_name or definition.venue or competition
    return CreateFixture(fixture_id, sport, competition, name, starts_at_ms)


def _local_time(at_ms: int, timezone: str | None) -> str:
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    # With an unknown zone, or on a machine without zones, the race is named by UTC.
    with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError):
        moment = moment.astimezone(zoneinfo.ZoneInfo(timezone or "UTC"))
    return f"{moment:%H:%M}"


def _market_name(card: _Card) -> str:
    if card.definition.name:
        return card.definition.name
    if card.kind == "place":
        return "To Be Placed"
    return card.market_type.replace("_", " ").title() or f"Market {card.market_id}"


def _runner_name(card: _Card, of: str, runner: _Runner) -> str:
    name = card.runners[of].name or runner.name or _generic_name(card, runner)
    if runner.hc and runner.hc.is_finite():
        return f"{name} {runner.hc.normalize():+f}"
    return name


def _generic_name(card: _Card, runner: _Runner) -> str:
    goals = re.fullmatch(r"OVER_UNDER_(\d+)(\d)", card.market_type)
    if goals and runner.sort_priority in (1, 2):
        side = ("Under", "Over")[runner.sort_priority - 1]
        return f"{side} {goals[1]}.{goals[2]}"
    if card.market_type == "MATCH_ODDS" and runner.sort_priority in (1, 2, 3):
        return ("Home", "Away", "The Draw")[runner.sort_priority - 1]
    if card.definition.event_type_id == GREYHOUNDS and runner.sort_priority:
        return f"Trap {runner.sort_priority}"
    return f"Runner {runner.id}"


_SAMPLE = """\
{"op":"connection","connectionId":"sample"}
{"op":"mcm","clk":"1","pt":1700000000000,"ct":"SUB_IMAGE","mc":[{"id":"1.1","img":true,\
"marketDefinition":{"eventId":"10","eventTypeId":"7","venue":"Sample Park","marketType":"WIN",\
"bettingType":"ODDS","marketTime":"2023-11-14T22:14:00.000Z","numberOfWinners":1,"betDelay":0,\
"inPlay":false,"status":"OPEN","runners":[{"id":1,"status":"ACTIVE","sortPriority":1},\
{"id":2,"status":"ACTIVE","sortPriority":2},{"id":3,"status":"ACTIVE","sortPriority":3}]},\
"rc":[{"id":1,"atb":[[2.5,10],[2.4,20]]},{"id":2,"batb":[[0,3.1,5]]},{"id":3,"ltp":8.0}]}]}
{"op":"mcm","clk":"2","pt":1700000001000,"ct":"HEARTBEAT"}
{"op":"mcm","clk":"3","pt":1700000002000,"mc":[{"id":"1.1","rc":[{"id":1,"atb":[[2.5,0]]}]}]}
{"op":"mcm","clk":"4","pt":1700000003000,"mc":[{"id":"1.1",\
"marketDefinition":{"eventId":"10","eventTypeId":"7","venue":"Sample Park","marketType":"WIN",\
"bettingType":"ODDS","marketTime":"2023-11-14T22:14:00.000Z","numberOfWinners":1,"betDelay":1,\
"inPlay":true,"status":"SUSPENDED","runners":[{"id":1,"status":"ACTIVE","sortPriority":1},\
{"id":2,"status":"ACTIVE","sortPriority":2},{"id":3,"status":"REMOVED","sortPriority":3}]}}]}
{"op":"mcm","clk":"5","pt":1700000004000,"mc":[{"id":"1.1",\
"marketDefinition":{"eventId":"10","eventTypeId":"7","venue":"Sample Park","marketType":"WIN",\
"bettingType":"ODDS","marketTime":"2023-11-14T22:14:00.000Z","numberOfWinners":1,"betDelay":1,\
"inPlay":true,"status":"CLOSED","name":"1m Sample","runners":[\
{"id":1,"status":"WINNER","sortPriority":1,"name":"First Runner"},\
{"id":2,"status":"LOSER","sortPriority":2,"name":"Second Runner"},\
{"id":3,"status":"REMOVED","sortPriority":3,"name":"Third Runner"}]}}]}
"""
"""A whole race in six lines."""

FEED = BetfairFeed()
