"""Fixtures and their markets, and the stream of what happens to them."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET

from actors.base import Reason
from actors.market import GetMarket, MarketView
from actors.runtime.addresses import BOOK, fixture_of
from gateway import api
from gateway.fixtures import fixture_of_row, fresh_fixture
from gateway.http import Call, Route, granted
from gateway.problems import Problem
from gateway.services import CATCH_UP_S


async def sports(call: Call) -> api.Sports:
    book = call.services.book
    up_to_date = await book.all_caught_up(CATCH_UP_S)
    return api.Sports(up_to_date, [api.SportCount(*row) for row in await book.sports()])


async def fixtures(call: Call) -> api.Fixtures:
    query: api.FixturesQuery = call.query
    book = call.services.book
    up_to_date = await book.all_caught_up(CATCH_UP_S)
    rows, next_cursor = await book.fixtures(
        query.sport or None, query.phase or None, query.cursor, query.limit
    )
    return api.Fixtures(next_cursor, up_to_date, [fixture_of_row(row) for row in rows])


async def fixture(call: Call) -> api.Fixture:
    path: api.FixturePath = call.path
    return await fresh_fixture(call.services, path.fixture_id)


async def prices(call: Call) -> api.PriceSeries:
    path: api.MarketPath = call.path
    query: api.SeriesQuery = call.query
    market_id, selection_id = path.market_id, query.selection_id
    fixture_id = fixture_of(market_id)
    answer = await call.services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
    market = granted(answer.reply, MarketView, call.services)
    if all(one.selection_id != selection_id for one in market.selections):
        raise Problem("unknown_selection")
    since_ms = None if query.since is UNSET else api.ms_of(query.since)
    until_ms = call.services.clock.now_ms() if query.until is UNSET else api.ms_of(query.until)
    if since_ms is not None and since_ms >= until_ms:
        raise Problem("invalid_request", "It ends before it begins.")
    rows = await call.services.book.price_series(
        market_id, selection_id, since_ms, until_ms, query.points
    )
    points = [api.PriceThen(api.time_text(at_ms), odds) for at_ms, odds in rows]
    return api.PriceSeries(market_id, selection_id, points)


async def stream(call: Call) -> web.StreamResponse:
    return await call.services.streams.serve(call.request)


ROUTES = [
    Route(
        method="GET",
        path="/v1/sports",
        handle=sports,
        name="sports",
        summary="Sports, and how many fixtures of each have not ended",
        tag="Fixtures",
        reply=api.Sports,
    ),
    Route(
        method="GET",
        path="/v1/fixtures",
        handle=fixtures,
        name="fixtures",
        summary="Fixtures with their markets, soonest first",
        tag="Fixtures",
        query=api.FixturesQuery,
        reply=api.Fixtures,
        codes=("invalid_cursor",),
    ),
    Route(
        method="GET",
        path="/v1/fixtures/{fixture_id}",
        handle=fixture,
        name="fixture",
        summary="One fixture, as of this moment",
        tag="Fixtures",
        path_type=api.FixturePath,
        reply=api.Fixture,
        codes=(Reason.UNKNOWN_FIXTURE, Reason.UNKNOWN_MARKET),
    ),
    Route(
        method="GET",
        path="/v1/markets/{market_id}/prices",
        handle=prices,
        name="market_prices",
        summary="One price over time, whoever changed it",
        tag="Fixtures",
        path_type=api.MarketPath,
        query=api.SeriesQuery,
        reply=api.PriceSeries,
        codes=(Reason.UNKNOWN_MARKET, Reason.UNKNOWN_SELECTION),
    ),
    Route(
        method="GET",
        path="/v1/stream",
        handle=stream,
        name="stream",
        summary="WebSocket, subprotocol grandstand.v1: prices, own bets and balance, placing bets",
        tag="Fixtures",
        status=101,
        codes=("upgrade_required", "too_many_sockets"),
    ),
]
