"""A board full of sport that never ends, invented and played on the spot.

For a machine without a feed: every few minutes a visitor sees a match announced, priced, started,
interrupted by goals, ended and settled. A football match takes five minutes, a race one. The same
seed and start give the same matches with the same prices, to the last point.

For the odds engine (`priced.py`) the prices can be fair, as the models have them; and a rival house
looks at the same matches with an opinion and a margin of its own.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import msgspec

from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, Phase, SetModel
from actors.market import Limits, MarketStatus
from actors.odds import MAX_ODDS, MIN_ODDS, ONE, SHORTEST_STEP, down_to_ladder
from actors.terms import MarketTerms
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.feed import Feed, FeedCommand, Step, check_run
from gateway.feeds.matches import SPORTS, Chances, Look, Match, Offer

OVERROUND = 1.06
"""The implied probabilities of a market, added up: what the house keeps is in it."""
RIVAL_KINDS = ("match_result", "winner", "win")
"""The kinds of market that a rival prices,"""
RIVAL_STRAYS = 0.06
"""and how far it strays from the models, in log-odds."""
LIMITS = Limits(max_age_ms=60_000, max_age_in_play_ms=30_000)
"""Of every market. When a feed is gone, its prices are good for so long."""
CONFIRM_SHARE = 3
"""Prices that have not changed are said again when the third part of that has passed."""
MOST_FIXTURES = 500
FIRST_START_MS = 2_000
FIRST_STARTS_APART_MS = 4_000
QUEUE_MS = 480_000
"""Starts of the first board's other fixtures are spread over so long."""
NOTICE_MS = (90_000, 420_000)
"""How long before its start a later fixture is announced."""


class Settings(msgspec.Struct, frozen=True):
    seed: int = 1
    fixtures: int = 16
    """On the board at any time: 16 make about 10 price changes a second."""
    total: int | None = None
    """Fixtures after which no new one is announced; None for ever."""
    currency: str = "GBP"
    overround: int = 10_600
    """In ten-thousandths: 10,600 is a book of 106 per cent, 10,000 a fair one."""
    on_ladder: bool = True
    """Prices come down to our ladder; those for the odds engine do not have to."""
    rival: str = ""
    """The name of another house: it says prices only, of the main markets, as it sees them."""


class SimulatedFeed(Feed):
    name = "simulated"
    prefix = "sim-"
    settings = Settings

    def open(self, settings: Settings, run: str, start_ms: int) -> Board:
        return Board(settings, run, start_ms)

    def sample(self, folder: Path) -> Settings:
        return Settings(fixtures=5, total=10)


class Board:
    """Fixtures that come and go; when one ends, another of its sport is announced."""

    name = SimulatedFeed.name
    live = False

    def __init__(self, settings: Settings, run: str, start_ms: int) -> None:
        if not 1 <= settings.fixtures <= MOST_FIXTURES:
            raise ValueError(f"fixtures is {settings.fixtures}; it is from 1 to {MOST_FIXTURES}")
        if not ONE <= settings.overround < 2 * ONE:
            raise ValueError(f"overround is {settings.overround}; it is from {ONE} to {2 * ONE}")
        check_run(run)
        self.settings = settings
        self.run = run
        self.start_ms = start_ms
        self.keys = f"{self.name}/{run}" + (f"/{settings.rival}" if settings.rival else "")

    async def steps(self) -> AsyncIterator[Step]:
        for step in self.play():
            yield step

    def play(self) -> Iterator[Step]:
        """The same without waiting."""
        coming = [(step.at_ms, n, step, story) for n, step, story in self._first_board()]
        heapq.heapify(coming)
        announced = len(coming)
        total = self.settings.total
        while coming:
            at_ms, n, step, story = heapq.heappop(coming)
            if self.settings.rival:
                prices = tuple(said for said in step.commands if isinstance(said, ChangePrices))
                step = Step(at_ms, prices)
            if step.commands:
                yield step
            after = next(story, None)
            if after is not None:
                heapq.heappush(coming, (after.at_ms, n, after, story))
            elif total is None or announced < total:
                # Numbers go up by the board's size, so a place keeps its sport.
                later = n + self.settings.fixtures
                rng = Random(f"{self.settings.seed}/notice/{later}")
                created_ms = at_ms + 1_000
                story = self._story(later, created_ms, created_ms + rng.randint(*NOTICE_MS))
                first = next(story)
                heapq.heappush(coming, (first.at_ms, later, first, story))
                announced += 1

    def _first_board(self) -> Iterator[tuple[int, Step, Iterator[Step]]]:
        count = self.settings.fixtures
        if self.settings.total is not None:
            count = min(count, self.settings.total)
        at_once = -(-count // 3)
        for n in range(count):
            starts_ms = self.start_ms + FIRST_START_MS + n * FIRST_STARTS_APART_MS
            if n >= at_once:
                starts_ms += (n - at_once + 1) * QUEUE_MS // (count - at_once)
            story = self._story(n, self.start_ms, starts_ms)
            yield n, next(story), story

    def _story(self, n: int, created_ms: int, starts_ms: int) -> Iterator[Step]:
        rng = Random(f"{self.settings.seed}/{n}")
        sport = SPORTS[n % self.settings.fixtures % len(SPORTS)]
        fixture_id = f"{SimulatedFeed.prefix}{self.run}-{n}"
        return _Story(fixture_id, sport(rng), self.settings).tell(created_ms, starts_ms)


class _Story:
    """One fixture from its announcement to its end, as commands."""

    def __init__(self, fixture_id: str, match: Match, settings: Settings) -> None:
        self.fixture_id = fixture_id
        self.match = match
        self.settings = settings
        self.odds: dict[str, dict[str, int]] = {}
        """On the board now, by market key: the markets that are open."""
        self.sequences: dict[str, int] = {}
        self.said_ms: dict[str, int] = {}
        """When the prices were last said."""
        self.priced_ms = 0
        self.in_play = False
        self.score = ""

    def tell(self, created_ms: int, starts_ms: int) -> Iterator[Step]:
        match = self.match
        create = CreateFixture(
            self.fixture_id, match.sport, match.competition, match.name, starts_ms
        )
        first = (*self._new_markets(), *self._prices(created_ms), *self._resume())
        yield Step(created_ms, (create, *first, *self._model()))
        at_ms = created_ms + match.rng.randint(*match.opinion_ms)
        while at_ms < starts_ms:
            commands = [*self._withdraw(match.reconsider()), *self._prices(at_ms), *self._model()]
            if commands:
                yield Step(at_ms, tuple(commands))
            at_ms += match.rng.randint(*match.opinion_ms)
        self.in_play = True
        for look in match.play():
            yield from self._show(starts_ms, look)

    def _show(self, starts_ms: int, look: Look) -> Iterator[Step]:
        at_ms = starts_ms + look.after_ms
        commands: list[FeedCommand] = []
        if look.pause_ms or look.last:
            # Before anything else, so that nobody bets on what he has just seen.
            commands += self._suspend()
        for key, results in look.results.items():
            del self.odds[key]
            commands.append(DeclareResult(self.fixture_id, self._id(key), results))
        if not self.match.offers:
            commands.append(ChangePhase(self.fixture_id, Phase.ENDED, look.score))
            yield Step(at_ms, tuple(commands))
            return
        if look.score != self.score:
            self.score = look.score
            commands.append(ChangePhase(self.fixture_id, Phase.IN_PLAY, look.score))
        if look.last:
            yield Step(at_ms, tuple(commands))
            return
        if look.pause_ms:
            yield Step(at_ms, tuple(commands))
            at_ms += look.pause_ms
            commands = []
        paused = look.pause_ms or look.after_ms == 0
        if paused or look.results or at_ms - self.priced_ms >= self.match.reprice_ms:
            commands += [*self._new_markets(), *self._prices(at_ms)]
        if paused:
            commands += self._resume()
        commands += self._model()
        if commands:
            yield Step(at_ms, tuple(commands))

    def _id(self, key: str) -> str:
        return f"{self.fixture_id}:{key}"

    def _new_markets(self) -> Iterator[FeedCommand]:
        for offer in self.match.offers:
            if offer.key not in self.odds:
                self.odds[offer.key] = {}
                yield self._open(offer)

    def _open(self, offer: Offer) -> FeedCommand:
        return OpenMarket(
            self.fixture_id,
            self._id(offer.key),
            offer.name,
            offer.kind,
            self.settings.currency,
            dict(offer.selections),
            LIMITS,
            MarketStatus.SUSPENDED,
            offer.winners,
            MarketTerms(line_quarters=offer.line_quarters),
        )

    def _model(self) -> Iterator[FeedCommand]:
        model = self.match.model()
        if model is not None:
            yield SetModel(self.fixture_id, model)

    def _withdraw(self, of: str) -> Iterator[FeedCommand]:
        for key, odds in self.odds.items() if of else ():
            odds.pop(of, None)
            yield WithdrawSelection(self.fixture_id, self._id(key), of)

    def _prices(self, at_ms: int) -> Iterator[FeedCommand]:
        self.priced_ms = at_ms
        limit_ms = LIMITS.max_age_in_play_ms if self.in_play else LIMITS.max_age_ms
        for key, chances in self._seen().items():
            shown = self.odds[key]
            changed = {
                of: odds
                for of, chance in chances.items()
                if (odds := self._odds(chance)) != shown.get(of, 0)
            }
            shown.update(changed)
            old = at_ms - self.said_ms.get(key, at_ms) >= limit_ms // CONFIRM_SHARE
            if changed or (old and any(shown.values())):
                self.said_ms[key] = at_ms
                self.sequences[key] = self.sequences.get(key, 0) + 1
                yield ChangePrices(self.fixture_id, self._id(key), changed, self.sequences[key])

    def _odds(self, chance: float) -> int:
        settings = self.settings
        return odds_of(chance, settings.overround / ONE, on_ladder=settings.on_ladder)

    def _seen(self) -> dict[str, Chances]:
        """What the models say; or what a rival makes of that in the markets that it prices."""
        chances, rival = self.match.chances(), self.settings.rival
        if not rival:
            return chances
        kinds = {offer.key: offer.kind for offer in self.match.offers}
        return {
            key: _strayed(fair, f"{rival}/{self._id(key)}")
            for key, fair in chances.items()
            if kinds[key] in RIVAL_KINDS
        }

    def _suspend(self) -> Iterator[FeedCommand]:
        return self._status(MarketStatus.SUSPENDED)

    def _resume(self) -> Iterator[FeedCommand]:
        return self._status(MarketStatus.OPEN)

    def _status(self, status: MarketStatus) -> Iterator[FeedCommand]:
        delay_ms = self.match.bet_delay_ms if self.in_play else 0
        for key in self.odds:
            yield ChangeStatus(self.fixture_id, self._id(key), status, self.in_play, delay_ms)


def _strayed(chances: Chances, view: str) -> Chances:
    """The chances of a market as somebody sees them, who always strays the same way."""
    rng = Random(view)
    seen = {of: chance * math.exp(rng.gauss(0, RIVAL_STRAYS)) for of, chance in chances.items()}
    whole = sum(chances.values()) / (sum(seen.values()) or 1.0)
    return {of: min(chance * whole, 1.0) for of, chance in seen.items()}


def odds_of(chance: float, overround: float = OVERROUND, *, on_ladder: bool = True) -> int:
    """The odds of something with that chance, the overround in them; 0 where it is so certain
    that no price is left, or can't happen."""
    if chance <= 0:
        return 0
    odds = int(min(ONE / (chance * overround), MAX_ODDS))
    if not on_ladder:
        return odds if odds >= MIN_ODDS else 0
    return down_to_ladder(odds) if odds >= SHORTEST_STEP else 0


FEED = SimulatedFeed()
