"""The pages: the players' own, the API's documentation, and what they are made of."""

from __future__ import annotations

from aiohttp import web

from gateway.http import Call, Route
from gateway.problems import Problem


def _file(call: Call, name: str) -> web.Response:
    file = call.services.pages.get(name)
    if file is None:
        raise Problem("not_found")
    return file.response(call.request)


async def player_page(call: Call) -> web.Response:
    return _file(call, "index.html")


async def trader_page(call: Call) -> web.Response:
    return _file(call, "trader.html")


async def docs_page(call: Call) -> web.Response:
    return _file(call, "docs.html")


async def asset(call: Call) -> web.Response:
    return _file(call, f"assets/{call.request.match_info['name']}")


async def document(call: Call) -> web.Response:
    return _file(call, "openapi.json")


ROUTES = [
    Route(
        method="GET",
        path="/",
        handle=player_page,
        name="playerPage",
        summary="The players' page",
        tag="Pages",
        media_type="text/html",
    ),
    Route(
        method="GET",
        path="/trader",
        handle=trader_page,
        name="traderPage",
        summary="The traders' page",
        tag="Pages",
        media_type="text/html",
    ),
    Route(
        method="GET",
        path="/docs",
        handle=docs_page,
        name="docsPage",
        summary="This documentation",
        tag="Pages",
        media_type="text/html",
    ),
    Route(
        method="GET",
        path="/assets/{name:.+}",
        handle=asset,
        name="asset",
        summary="A part of a page",
        tag="Pages",
        documented=False,
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        handle=document,
        name="openapi",
        summary="This API as an OpenAPI 3.1 document",
        tag="Pages",
        reply=dict,
    ),
]
