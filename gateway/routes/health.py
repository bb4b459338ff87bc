"""What machines ask: alive, ready, and how it goes."""

from __future__ import annotations

from aiohttp import web

from gateway import api, metrics
from gateway.http import Call, Route, json_response
from gateway.problems import Problem


async def live(call: Call) -> api.Live:
    return api.Live(True)


async def ready(call: Call) -> web.Response:
    checks = await call.services.readiness.checks()
    well = all(check == "ok" for check in checks.values())
    return json_response(api.Ready(well, checks), 200 if well else 503)


async def figures(call: Call) -> web.Response:
    """On the gateway's own port where it has one: those of whichever gateway happens to answer on
    the shared port say nothing, and players come that way."""
    services = call.services
    if services.settings.own_port is not None and _port(call.request) == services.settings.port:
        raise Problem("not_found")
    services.metrics.lags(await services.readiness.lags())
    services.metrics.elsewhere.settled = await services.readiness.settled()
    services.metrics.elsewhere.cluster = await services.readiness.shards()
    services.metrics.elsewhere.risk = await services.readiness.risk()
    return web.Response(
        body=services.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE}
    )


def _port(request: web.Request) -> int:
    """On which the request came."""
    assert request.transport is not None
    return int(request.transport.get_extra_info("sockname")[1])


ROUTES = [
    Route(
        method="GET",
        path="/livez",
        handle=live,
        name="live",
        summary="The process answers",
        tag="Health",
        reply=api.Live,
    ),
    Route(
        method="GET",
        path="/readyz",
        handle=ready,
        name="ready",
        summary="Requests may be sent here; 503 while draining or cut off",
        tag="Health",
        reply=api.Ready,
        also=(503,),
    ),
    Route(
        method="GET",
        path="/metrics",
        handle=figures,
        name="metrics",
        summary="Figures of this gateway, for Prometheus; on its own port where it has one",
        tag="Health",
        media_type="text/plain",
    ),
]
