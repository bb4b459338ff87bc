"""Fixtures and their markets, and the stream of what happens to them."""

from __future__ import annotations

from aiohttp import web

from actors.base import Reason
from gateway import api
from gateway.fixtures import fixture_of_row, fresh_fixture
from gateway.http import Call, Route


async def sports(call: Call) -> api.Sports:
    return api.Sports([api.SportCount(*row) for row in await call.services.book.sports()])


async def fixtures(call: Call) -> api.Fixtures:
    query: api.FixturesQuery = call.query
    rows, next_cursor = await call.services.book.fixtures(
        query.sport or None, query.phase or None, query.cursor, query.limit
    )
    return api.Fixtures(next_cursor, [fixture_of_row(row) for row in rows])


async def fixture(call: Call) -> api.Fixture:
    path: api.FixturePath = call.path
    return await fresh_fixture(call.services, path.fixture_id)


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
        path="/v1/stream",
        handle=stream,
        name="stream",
        summary="WebSocket, subprotocol grandstand.v1: prices, own bets and balance, placing bets",
        tag="Fixtures",
        status=101,
        codes=("upgrade_required", "too_many_sockets"),
    ),
]
