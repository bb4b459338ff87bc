"""Our own sport as the Unified Odds Feed would say it: a publisher of messages, and its API.

It reads the steps of any other feed of this package (the simulated board, as a rule) and writes
what a producer of odds would send: prematch odds by product 3 until the match begins, then a hand
over, and live odds by product 1; bet stops, settlements when something is decided (certainty 1) and
all of them again at the end (certainty 2). It is what the feed's API is too: it knows fixtures and
market descriptions, and answers recoveries with a snapshot and `snapshot_complete`.

So the whole path runs on one machine and can be tested: what comes out of the other end must be
what went in. Markets the real feed has keep their real numbers; races have numbers of ours, whose
descriptions the API has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from lxml import etree

from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import MarketStatus
from actors.odds import text as odds_text
from actors.outcomes import AddSelection, RollBackResult, RollBackVoid, SettleSelections, VoidPlaced
from actors.results import VOID, Outcome, Result, Window
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.feed import FeedCommand, Step
from gateway.feeds.uof.identity import RoutingKey
from gateway.feeds.uof.messages import MarketStatus as Status

LIVE, PREMATCH = 1, 3
ALIVE_MS = 10_000
"""Between two alives of a producer."""
WIN, PLACE = 900_001, 900_002
"""Markets of races, by numbers the real feed does not use."""

_SPORTS = {
    "Football": 1,
    "Basketball": 2,
    "Tennis": 5,
    "American Football": 16,
    "Horse Racing": 900,
}


class Sent(msgspec.Struct, frozen=True):
    """A message on its way."""

    at_ms: int
    key: str
    """The routing key."""
    body: bytes


class _Outgoing:
    """A market as it was last published."""

    def __init__(self, number: int, specifiers: str, outcomes: dict[str, str], name: str) -> None:
        self.number = number
        self.specifiers = specifiers
        self.outcomes = outcomes
        """The feed's outcome by our selection."""
        self.name = name
        self.odds: dict[str, int] = {}
        self.withdrawn: set[str] = set()
        self.status = Status.SUSPENDED
        self.results: dict[str, Result] | None = None
        self.partly: dict[str, Result] = {}
        """Of some selections, while others are undecided."""
        self.cancelled = False
        self.undone: list[tuple[str, int]] = []
        """What was taken back, result or cancellation, and when: it is said again to who asks."""
        self.windows: dict[Window, bool] = {}
        """Times of cancellations, and whether they stand."""
        self.certainty = 1
        self.product = PREMATCH


class _Fixture:
    def __init__(self, number: int, create: CreateFixture) -> None:
        self.create = create
        self.event_id = f"sr:match:{number}"
        self.competitors: dict[str, str] = {}
        """Names by URN."""
        self.markets: dict[str, _Outgoing] = {}
        self.phase = Phase.SCHEDULED
        self.score = ""
        self.stamp = 0

    @property
    def product(self) -> int:
        return PREMATCH if self.phase is Phase.SCHEDULED else LIVE


class Publisher:
    def __init__(self) -> None:
        self.fixtures: dict[str, _Fixture] = {}
        self._by_event: dict[str, _Fixture] = {}

    # Messages

    def publish(self, step: Step) -> Iterator[Sent]:
        """What a step is as messages, in order: stops first, then results, then odds."""
        for fixture_id in dict.fromkeys(command.fixture_id for command in step.commands):
            commands = [c for c in step.commands if c.fixture_id == fixture_id]
            yield from self._fixture(fixture_id, commands, step.at_ms)

    def alive(self, at_ms: int, product: int, *, subscribed: bool = True) -> Sent:
        body = _xml("alive", product=product, timestamp=at_ms, subscribed=int(subscribed))
        return Sent(at_ms, str(RoutingKey.of("alive")), _bytes(body))

    def _fixture(self, fixture_id: str, commands: list[FeedCommand], at_ms: int) -> Iterator[Sent]:
        if isinstance(commands[0], CreateFixture):
            self._announce(commands[0])
            yield self._fixture_change(self.fixtures[fixture_id], at_ms)
        fixture = self.fixtures[fixture_id]
        before = fixture.phase
        changed: dict[str, _Outgoing] = {}
        settled: dict[str, _Outgoing] = {}
        stopped = False
        withdrawn: list[tuple[_Outgoing, str]] = []
        stateful: list[tuple[_Outgoing, FeedCommand]] = []
        for command in commands:
            match command:
                case OpenMarket():
                    changed[command.market_id] = self._open(fixture, command)
                case ChangePrices():
                    market = changed[command.market_id] = fixture.markets[command.market_id]
                    market.odds |= command.odds
                case ChangeStatus():
                    market = changed[command.market_id] = fixture.markets[command.market_id]
                    market.status = _STATUSES[command.status]
                    stopped = stopped or market.status is not Status.ACTIVE
                case WithdrawSelection():
                    market = changed[command.market_id] = fixture.markets[command.market_id]
                    market.withdrawn.add(command.selection_id)
                    withdrawn.append((market, command.selection_id))
                case SettleSelections():
                    market = changed[command.market_id] = fixture.markets[command.market_id]
                    market.partly |= command.results
                    market.status = Status.SUSPENDED
                    stateful.append((market, command))
                case RollBackResult():
                    market = changed[command.market_id] = fixture.markets[command.market_id]
                    market.status = Status.SUSPENDED
                    stateful.append((market, command))
                case VoidPlaced() | RollBackVoid():
                    market = fixture.markets[command.market_id]
                    market.windows[command.window] = isinstance(command, VoidPlaced)
                    stateful.append((market, command))
                case AddSelection():
                    market = changed[command.market_id] = fixture.markets[command.market_id]
                    market.outcomes = market.outcomes | {command.selection_id: command.selection_id}
                case DeclareResult():
                    market = settled[command.market_id] = fixture.markets[command.market_id]
                    market.results = dict.fromkeys(market.withdrawn, VOID) | command.results
                    market.partly = {}
                    market.cancelled = command.cancelled
                    market.status = Status.CANCELLED if command.cancelled else Status.SETTLED
                case ChangePhase():
                    fixture.phase, fixture.score = command.phase, command.score
        if before is Phase.SCHEDULED and fixture.phase is not before:
            yield self._handed_over(fixture, at_ms)
            changed = {of: m for of, m in fixture.markets.items() if m.results is None}
        elif stopped and all(m.status is not Status.ACTIVE for m in fixture.markets.values()):
            yield self._stop(fixture, at_ms)
        for market, selection in withdrawn:
            yield self._send(fixture, self._withdrawal(fixture, market, selection, at_ms), at_ms)
        for market, told in stateful:
            yield self._send(fixture, self._stateful(fixture, market, told, at_ms), at_ms)
        void = {of: market for of, market in settled.items() if market.cancelled}
        if settled.keys() - void.keys():
            named = {of: market for of, market in settled.items() if of not in void}
            yield self._send(fixture, self._settlement(fixture, named, at_ms), at_ms)
        if void:
            yield self._send(fixture, self._cancel(fixture, void, at_ms), at_ms)
        if changed or settled or fixture.phase is not before or fixture.score:
            yield self._send(fixture, self._odds(fixture, changed | settled, at_ms), at_ms)
        if fixture.phase is Phase.ENDED and before is not Phase.ENDED:
            done = {of: m for of, m in fixture.markets.items() if m.results and not m.cancelled}
            for market in done.values():
                market.certainty = 2
            yield self._send(fixture, self._settlement(fixture, done, at_ms), at_ms)

    def _send(self, fixture: _Fixture, root: etree._Element, at_ms: int) -> Sent:
        live = root.get("product") == str(LIVE)
        key = RoutingKey.of(
            str(root.tag),
            fixture.event_id,
            sport_id=str(_SPORTS.get(fixture.create.sport, 0)),
            pre=not live,
            live=live,
        )
        return Sent(at_ms, str(key), _bytes(root))

    def _root(
        self,
        tag: str,
        fixture: _Fixture,
        at_ms: int,
        product: int | None = None,
        request_id: int | None = None,
    ) -> etree._Element:
        # No two messages of an event are of one moment, so that their order can be told.
        fixture.stamp = max(fixture.stamp + 1, at_ms)
        root = _xml(
            tag,
            product=fixture.product if product is None else product,
            event_id=fixture.event_id,
            timestamp=fixture.stamp,
        )
        if request_id is not None:
            _set(root, request_id=request_id)
        return root

    def _fixture_change(self, fixture: _Fixture, at_ms: int) -> Sent:
        root = self._root("fixture_change", fixture, at_ms)
        _set(root, change_type=1, start_time=fixture.create.starts_at_ms)
        return self._send(fixture, root, at_ms)

    def _stop(self, fixture: _Fixture, at_ms: int) -> Sent:
        root = self._root("bet_stop", fixture, at_ms)
        _set(root, groups="all")
        return self._send(fixture, root, at_ms)

    def _handed_over(self, fixture: _Fixture, at_ms: int) -> Sent:
        root = self._root("odds_change", fixture, at_ms, PREMATCH)
        odds = etree.SubElement(root, "odds")
        for market in fixture.markets.values():
            if market.results is None:
                market.product = LIVE
                _market(odds, market, status=int(Status.HANDED_OVER))
        return self._send(fixture, root, at_ms)

    def _odds(
        self,
        fixture: _Fixture,
        markets: dict[str, _Outgoing],
        at_ms: int,
        request_id: int | None = None,
        product: int | None = None,
    ) -> etree._Element:
        root = self._root("odds_change", fixture, at_ms, product, request_id)
        root.append(_event_status(fixture))
        odds = etree.SubElement(root, "odds")
        for market in markets.values():
            element = _market(odds, market, status=int(market.status))
            for selection, outcome in market.outcomes.items():
                price = market.odds.get(selection, 0)
                active = bool(price) and selection not in market.withdrawn
                one = etree.SubElement(element, "outcome", id=outcome, active=str(int(active)))
                if active:
                    one.set("odds", odds_text(price))
        return root

    def _settlement(
        self,
        fixture: _Fixture,
        markets: dict[str, _Outgoing],
        at_ms: int,
        request_id: int | None = None,
        product: int | None = None,
    ) -> etree._Element:
        root = self._root("bet_settlement", fixture, at_ms, product, request_id)
        certain = max((market.certainty for market in markets.values()), default=1)
        _set(root, certainty=certain)
        outcomes = etree.SubElement(root, "outcomes")
        for market in markets.values():
            element = _market(outcomes, market)
            results: dict[str, Result | None] = dict(market.results or {})
            if market.results is None:
                results = {of: market.partly.get(of) for of in market.outcomes}
            for selection, result in results.items():
                _outcome(element, market.outcomes[selection], result)
        return root

    def _stateful(
        self, fixture: _Fixture, market: _Outgoing, command: FeedCommand, at_ms: int
    ) -> etree._Element:
        """A result in part, or something taken back, or bets of a time that are void or not."""
        match command:
            case RollBackResult():
                tag = "rollback_bet_cancel" if market.cancelled else "rollback_bet_settlement"
                root = self._root(tag, fixture, at_ms)
                _market(root, market)
                market.undone.append((tag, fixture.stamp))
                market.results, market.partly, market.cancelled = None, {}, False
                market.certainty = 1
                return root
            case VoidPlaced() | RollBackVoid():
                return self._window(fixture, market, command.window, at_ms)
        return self._settlement(fixture, {"": market}, at_ms)

    def _window(
        self, fixture: _Fixture, market: _Outgoing, window: Window, at_ms: int
    ) -> etree._Element:
        tag = "bet_cancel" if market.windows[window] else "rollback_bet_cancel"
        root = self._root(tag, fixture, at_ms)
        if window.from_ms is not None:
            _set(root, start_time=window.from_ms)
        if window.until_ms is not None:
            _set(root, end_time=window.until_ms)
        _market(root, market)
        return root

    def _withdrawal(
        self, fixture: _Fixture, market: _Outgoing, selection: str, at_ms: int
    ) -> etree._Element:
        root = self._root("bet_settlement", fixture, at_ms)
        _set(root, certainty=2)
        element = _market(etree.SubElement(root, "outcomes"), market)
        for of, outcome in market.outcomes.items():
            _outcome(element, outcome, VOID if of == selection else None)
        return root

    def _cancel(
        self,
        fixture: _Fixture,
        markets: dict[str, _Outgoing],
        at_ms: int,
        request_id: int | None = None,
    ) -> etree._Element:
        root = self._root("bet_cancel", fixture, at_ms, request_id=request_id)
        for market in markets.values():
            _market(root, market, void_reason=1)
        return root

    # The API

    def fixture_document(self, event_id: str) -> bytes | None:
        """What an event is; None for one that is not known."""
        fixture = self._by_event.get(event_id)
        if fixture is None:
            return None
        root = _xml("fixtures_fixture")
        create = fixture.create
        one = etree.SubElement(
            root,
            "fixture",
            id=event_id,
            name=create.name,
            start_time=_iso(create.starts_at_ms),
        )
        tournament = etree.SubElement(one, "tournament", id="sr:tournament:1")
        tournament.set("name", create.competition)
        sport = str(_SPORTS.get(create.sport, 0))
        etree.SubElement(tournament, "sport", id=f"sr:sport:{sport}", name=create.sport)
        listed = etree.SubElement(one, "competitors")
        sides = ("home", "away") if len(fixture.competitors) == 2 else ()
        for n, (urn, name) in enumerate(fixture.competitors.items()):
            element = etree.SubElement(listed, "competitor", id=urn, name=name)
            if sides:
                element.set("qualifier", sides[n])
        return _bytes(root)

    def descriptions_document(self) -> bytes:
        """The markets that the feed's own list does not have."""
        root = _xml("market_descriptions")
        for number, name in ((WIN, "Win"), (PLACE, "Place (first {places})")):
            etree.SubElement(root, "market", id=str(number), name=name, groups="all")
        return _bytes(root)

    def recover(
        self, product: int, request_id: int, after_ms: int | None, at_ms: int
    ) -> Iterator[Sent]:
        """A snapshot of a producer: current odds of its events, all results there are that it may
        owe, and the word that this was all. `after_ms` narrows nothing: too much is no harm."""
        for fixture in list(self.fixtures.values()):
            yield from self._snapshot(fixture, product, request_id, at_ms)
        root = _xml("snapshot_complete", product=product, request_id=request_id, timestamp=at_ms)
        yield Sent(at_ms, str(RoutingKey.of("snapshot_complete")), _bytes(root))

    def recover_event(
        self, product: int, event_id: str, request_id: int, at_ms: int
    ) -> Iterator[Sent]:
        """Odds and results of one event, once more."""
        fixture = self._by_event.get(event_id)
        if fixture is not None:
            yield from self._snapshot(fixture, product, request_id, at_ms)

    def _snapshot(
        self, fixture: _Fixture, product: int, request_id: int, at_ms: int
    ) -> Iterator[Sent]:
        mine = {of: m for of, m in fixture.markets.items() if m.product == product}
        settled = {of: m for of, m in mine.items() if m.results and not m.cancelled}
        void = {of: m for of, m in mine.items() if m.cancelled}
        for market in mine.values():
            for tag, stamp in market.undone:
                root = self._root(tag, fixture, at_ms, product)
                # As of then: results that were said since stand.
                _set(root, timestamp=stamp, request_id=request_id)
                _market(root, market)
                yield self._send(fixture, root, at_ms)
            for window in market.windows:
                root = self._window(fixture, market, window, at_ms)
                _set(root, product=product, request_id=request_id)
                yield self._send(fixture, root, at_ms)
            if market.partly:
                root = self._settlement(fixture, {"": market}, at_ms, request_id, product)
                yield self._send(fixture, root, at_ms)
        for certainty in (1, 2):
            some = {of: m for of, m in settled.items() if m.certainty == certainty}
            if some:
                root = self._settlement(fixture, some, at_ms, request_id, product)
                yield self._send(fixture, root, at_ms)
        if void:
            yield self._send(fixture, self._cancel(fixture, void, at_ms, request_id), at_ms)
        for market in mine.values():
            if market.results is None:
                for selection in sorted(market.withdrawn):
                    root = self._withdrawal(fixture, market, selection, at_ms)
                    yield self._send(fixture, root, at_ms)
        if mine:
            root = self._odds(fixture, mine, at_ms, request_id, product)
            yield self._send(fixture, root, at_ms)

    # Names

    def _announce(self, create: CreateFixture) -> None:
        number = len(self.fixtures) + 1
        fixture = _Fixture(number, create)
        self.fixtures[create.fixture_id] = self._by_event[fixture.event_id] = fixture

    def _open(self, fixture: _Fixture, command: OpenMarket) -> _Outgoing:
        key = command.market_id.rpartition(":")[2]
        number, specifiers, outcomes = _numbers(key, command, fixture.create.sport)
        names = command.selections
        if not outcomes:
            outcomes = {of: f"sr:competitor:{fixture.event_id[9:]}{int(of):03}" for of in names}
            fixture.competitors |= {outcomes[of]: name for of, name in names.items()}
        elif not fixture.competitors and {"home", "away"} <= names.keys():
            fixture.competitors = {
                f"sr:competitor:{fixture.event_id[9:]}{n:03}": names[side]
                for n, side in enumerate(("home", "away"))
            }
        market = _Outgoing(number, specifiers, outcomes, command.name)
        market.product = fixture.product
        fixture.markets[command.market_id] = market
        return market


_STATUSES = {
    MarketStatus.OPEN: Status.ACTIVE,
    MarketStatus.SUSPENDED: Status.SUSPENDED,
    MarketStatus.CLOSED: Status.INACTIVE,
}
_TWO = {"home": "4", "away": "5"}
_HANDICAP = {"home": "1714", "away": "1715"}
_TOTAL = {"over": "12", "under": "13"}
_SCORES = {f"{n % 5}-{n // 5}": str(274 + 2 * n) for n in range(25)} | {"other": "324"}
_KINDS: dict[str, tuple[int, dict[str, str]]] = {
    "match_result": (1, {"home": "1", "draw": "2", "away": "3"}),
    "next_goal": (8, {"home": "6", "none": "7", "away": "8"}),
    "correct_score": (45, _SCORES),
    "total_goals": (18, _TOTAL),
    "both_to_score": (29, {"yes": "74", "no": "76"}),
    "set_winner": (202, _TWO),
    "handicap": (223, _HANDICAP),
    "total_points": (225, _TOTAL),
    "win": (WIN, {}),
    "place": (PLACE, {}),
}
_ASIAN = 16
"""The number of a handicap in football; other sports count overtime."""
_SPECIFIERS = {
    8: "goalnr",
    _ASIAN: "hcp",
    18: "total",
    202: "setnr",
    223: "hcp",
    225: "total",
    PLACE: "places",
}


def _numbers(key: str, command: OpenMarket, sport: str) -> tuple[int, str, dict[str, str]]:
    """Market number, specifiers and outcomes of a market of the simulated board."""
    if command.kind == "winner":
        return (186 if sport == "Tennis" else 219), "", _TWO
    number, outcomes = _KINDS[command.kind]
    if command.kind == "handicap" and sport == "Football":
        number = _ASIAN
    name = _SPECIFIERS.get(number)
    if name is None:
        return number, "", outcomes
    text = command.name if number == PLACE else key.replace("-plus-", "+")
    value = re.findall(r"[+-]?\d+(?:\.\d+)?", text)[-1]
    return number, f"{name}={value.lstrip('+' if name == 'hcp' else '+-')}", outcomes


# XML


def _xml(tag: str, **attributes: object) -> etree._Element:
    root = etree.Element(tag)
    _set(root, **attributes)
    return root


def _set(element: etree._Element, **attributes: object) -> None:
    for name, value in attributes.items():
        element.set(name, str(value))


def _bytes(root: etree._Element) -> bytes:
    body: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, standalone=True)
    return body


def _market(above: etree._Element, market: _Outgoing, **attributes: object) -> etree._Element:
    element = etree.SubElement(above, "market", id=str(market.number))
    if market.specifiers:
        element.set("specifiers", market.specifiers)
    _set(element, **attributes)
    return element


def _outcome(market: etree._Element, outcome: str, result: Result | None) -> None:
    """How a selection came out; None for undecided yet."""
    element = etree.SubElement(market, "outcome", id=outcome)
    if result is None:
        _set(element, result=-1)
        return
    won = result.outcome in (Outcome.WON, Outcome.HALF_WON)
    _set(element, result=int(won))
    if result.outcome is Outcome.VOID:
        _set(element, void_factor="1")
    elif result.outcome in (Outcome.HALF_WON, Outcome.HALF_LOST):
        _set(element, void_factor="0.5")
    if result.tied != result.places:
        _set(element, dead_heat_factor=f"{result.places / result.tied:.6f}")


def _event_status(fixture: _Fixture) -> etree._Element:
    phase, score = fixture.phase, fixture.score
    status = {Phase.SCHEDULED: 0, Phase.IN_PLAY: 1, Phase.ENDED: 4, Phase.CANCELLED: 5}[phase]
    element = _xml("sport_event_status", status=status, reporting=1, match_status=0)
    game = re.search(r"\((\w+)-(\w+)\)", score)
    scores = re.findall(r"(\d+)-(\d+)", score.partition("(")[0])
    if fixture.create.sport == "Tennis":
        won = [home > away for home, away in scores[:-1]]
        _set(element, home_score=sum(won), away_score=len(won) - sum(won))
        periods = etree.SubElement(element, "period_scores")
        for n, (home, away) in enumerate(scores, 1):
            _set(
                etree.SubElement(periods, "period_score", number=str(n)),
                home_score=home,
                away_score=away,
            )
        if game:
            _set(element, home_gamescore=game[1], away_gamescore=game[2])
    elif scores:
        _set(element, home_score=scores[0][0], away_score=scores[0][1])
        minute = re.search(r"(\d+)'", score)
        if minute:
            etree.SubElement(element, "clock", match_time=f"{minute[1]}:00")
    return element


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
