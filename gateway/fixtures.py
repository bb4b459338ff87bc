"""A fixture with its markets, as the actors have it now and as JSON shows it."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import UNSET

from actors.fixture import Fixture, FixtureView, GetFixture
from actors.market import GetMarket, Limits, Market, MarketView, Selection
from actors.results import Result
from actors.runtime.addresses import BOOK
from gateway import api
from gateway.http import granted
from gateway.services import Services
from ledger.reads import FixtureRow, MarketRow

ATTEMPTS = 3
"""Times a fixture is asked for again when it changed between two answers."""


class Parts(msgspec.Struct, frozen=True):
    """Answers about one fixture, each as of its own `seq`."""

    fixture: FixtureView
    markets: list[MarketView]

    @property
    def lowest(self) -> int:
        return min([self.fixture.seq, *(market.seq for market in self.markets)])

    @property
    def highest(self) -> int:
        return max([self.fixture.seq, *(market.seq for market in self.markets)])


async def ask_parts(services: Services, fixture_id: str) -> Parts:
    """Raises the problem `unknown_fixture`."""
    answer = await services.router.ask(BOOK, fixture_id, GetFixture(fixture_id))
    fixture = granted(answer.reply, FixtureView, services)
    answers = await asyncio.gather(
        *(
            services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
            for market_id in fixture.markets
        )
    )
    return Parts(fixture, [granted(answer.reply, MarketView, services) for answer in answers])


async def fresh_fixture(services: Services, fixture_id: str) -> api.Fixture:
    """The fixture now. Should it change faster than it can be read, its `seq` is that of the
    oldest part: a stream that goes on from there repeats changes, and leaves none out."""
    parts = await ask_parts(services, fixture_id)
    for _ in range(ATTEMPTS - 1):
        if parts.lowest == parts.highest:
            break
        parts = await ask_parts(services, fixture_id)
    fixture = fixture_of_view(parts.fixture)
    fixture.seq = parts.lowest
    markets = {market.market_id: market_of_view(market) for market in parts.markets}
    return fixture_json(fixture, markets)


def fixture_of_view(view: FixtureView) -> Fixture:
    return Fixture(
        view.fixture_id,
        view.sport,
        view.competition,
        view.name,
        view.starts_at_ms,
        view.phase,
        view.score,
        list(view.markets),
        view.seq,
    )


def market_of_view(view: MarketView, now_ms: int = 0) -> Market:
    """A copy of the actor, for folding events into and for showing. Without `now_ms` it does not
    know how old its prices are."""
    priced = now_ms and any(selection.odds for selection in view.selections)
    market = Market(
        market_id=view.market_id,
        fixture_id=view.fixture_id,
        name=view.name,
        kind=view.kind,
        currency=view.currency,
        status=view.status,
        in_play=view.in_play,
        bet_delay_ms=view.bet_delay_ms,
        limits=view.limits,
        odds_version=view.odds_version,
        result_version=view.result_version,
        settled_version=view.settled_version,
        winners=view.winners,
        priced_at_ms=now_ms - view.price_age_ms if priced else 0,
        causes=dict(view.causes),
    )
    for selection in view.selections:
        market.selections[selection.selection_id] = Selection(
            selection.name, selection.odds, selection.withdrawn, selection.base_odds
        )
        if selection.result is not None:
            market.results[selection.selection_id] = selection.result
    return market


def fixture_json(fixture: Fixture, markets: dict[str, Market]) -> api.Fixture:
    return api.Fixture(
        fixture.fixture_id,
        fixture.sport,
        fixture.competition,
        fixture.name,
        api.time_text(fixture.starts_at_ms),
        fixture.phase,
        fixture.score,
        fixture.seq,
        [market_json(markets[market_id]) for market_id in fixture.markets if market_id in markets],
    )


def market_json(market: Market) -> api.Market:
    return api.Market(
        market.market_id,
        market.name,
        market.kind,
        market.status,
        market.in_play,
        market.bet_delay_ms,
        market.odds_version,
        limits_json(market.limits),
        [
            api.Selection(
                selection_id,
                selection.name,
                selection.odds,
                selection.withdrawn,
                result_json(market.results[selection_id])
                if selection_id in market.results
                else UNSET,
            )
            for selection_id, selection in market.selections.items()
        ],
    )


def fixture_of_row(row: FixtureRow) -> api.Fixture:
    """From the ledger, which may be a moment behind."""
    return api.Fixture(
        row.fixture_id,
        row.sport,
        row.competition,
        row.name,
        api.time_text(row.starts_at_ms),
        row.phase,
        row.score,
        row.seq,
        [_market_of_row(market) for market in row.markets],
    )


def _market_of_row(row: MarketRow) -> api.Market:
    return api.Market(
        row.market_id,
        row.name,
        row.kind,
        row.status,
        row.in_play,
        row.bet_delay_ms,
        row.odds_version,
        api.StakeLimits(row.min_stake_minor, row.max_stake_minor),
        [
            api.Selection(
                selection.selection_id,
                selection.name,
                selection.odds,
                selection.withdrawn,
                UNSET if selection.result is None else result_json(selection.result),
            )
            for selection in row.selections
        ],
    )


def limits_json(limits: Limits) -> api.StakeLimits:
    return api.StakeLimits(limits.min_stake_minor, limits.max_stake_minor)


def result_json(result: Result) -> api.SelectionResult:
    return api.SelectionResult(result.outcome, result.tied, result.places)
