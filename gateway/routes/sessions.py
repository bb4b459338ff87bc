"""Sessions: logging in and out."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from actors.base import Reason
from gateway import accounts, api
from gateway.http import Auth, Call, Route, with_device


async def log_in(call: Call) -> StreamResponse:
    told, device = await accounts.log_in(call.services, call.body, call.address, call.device)
    return with_device(told, device, call)


async def log_out(call: Call) -> None:
    assert call.session is not None
    await call.services.sessions.end(call.session.digest)


ROUTES = [
    Route(
        method="POST",
        path="/v1/sessions",
        handle=log_in,
        name="logIn",
        summary="Log in",
        tag="Players",
        body=api.Credentials,
        reply=api.NewSession,
        status=201,
        codes=(Reason.BAD_CREDENTIALS, "rate_limited"),
    ),
    Route(
        method="DELETE",
        path="/v1/sessions/current",
        handle=log_out,
        name="logOut",
        summary="Log out: the token is worth nothing from here on",
        tag="Players",
        status=204,
        auth=Auth.PLAYER,
    ),
]
