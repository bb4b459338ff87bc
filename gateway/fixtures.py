"""A fixture with its markets, as the actors have it now and as JSON shows it."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import UNSET, UnsetType

from actors.fixture import Fixture, FixtureView, GetFixture
from actors.market import GetMarket, Limits, Market, MarketView, Selection
from actors.results import Result
from actors.runtime.addresses import BOOK
from actors.terms import NO_TERMS, MarketTerms
from gateway import api
from gateway.http import granted
from gateway.services import Services
from ledger.reads import FixtureRow, MarketRow
from ledger.tables import terms_of

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
        terms=view.terms,
        windows=view.windows,
        limits_version=view.limits_version,
        unrenewed=list(view.unrenewed),
    )
    for selection in view.selections:
        market.selections[selection.selection_id] = Selection(
            selection.name, selection.odds, selection.withdrawn, selection.base_odds
        )
        if selection.result is not None:
            market.results[selection.selection_id] = selection.result
        if selection.place is not None:
            market.places[selection.selection_id] = selection.place
        if selection.starting_odds:
            market.starting_odds[selection.selection_id] = selection.starting_odds
        if selection.gone is not None:
            market.gone[selection.selection_id] = selection.gone
        if selection.hand is not None:
            market.held[selection.selection_id] = selection.hand
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
        [selection_json(market, selection_id) for selection_id in market.selections],
        terms_json(market.terms),
    )


def selection_json(market: Market, selection_id: str) -> api.Selection:
    selection = market.selections[selection_id]
    return api.Selection(
        selection_id,
        selection.name,
        selection.odds,
        selection.withdrawn,
        *came_out(market, selection_id),
    )


def came_out(
    market: Market, selection_id: str
) -> tuple[api.SelectionResult | UnsetType, api.SelectionResult | UnsetType, int | UnsetType]:
    """A selection's result, that of its place part, and its starting price, where they are
    known."""
    return (
        _result_of(market.results.get(selection_id)),
        _result_of(market.places.get(selection_id)),
        market.starting_odds.get(selection_id, UNSET),
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
                _result_of(selection.result),
                _result_of(selection.place),
                selection.starting_odds or UNSET,
            )
            for selection in row.selections
        ],
        terms_json(terms_of(row.terms)),
    )


def limits_json(limits: Limits) -> api.StakeLimits:
    return api.StakeLimits(limits.min_stake_minor, limits.max_stake_minor)


def terms_json(terms: MarketTerms) -> api.Terms | UnsetType:
    """Nothing where a market offers nothing of the kind."""
    if terms == NO_TERMS:
        return UNSET
    rule = terms.rule_4
    return api.Terms(
        api.EachWayTerms(terms.places, terms.divisor) if terms.places else UNSET,
        terms.starting_price,
        terms.ante_post,
        api.DeductionRule(rule.cap_pence, rule.waive_5p) if rule else UNSET,
        terms.reduction_factors,
        UNSET if terms.line_quarters is None else terms.line_quarters,
    )


def results_json(results: dict[str, Result]) -> dict[str, api.SelectionResult]:
    return {name: result_json(result) for name, result in results.items()}


def _result_of(result: Result | None) -> api.SelectionResult | UnsetType:
    return UNSET if result is None else result_json(result)


def result_json(result: Result) -> api.SelectionResult:
    return api.SelectionResult(result.outcome, result.tied, result.places)
