"""Players: registering, and who one is."""

from __future__ import annotations

from actors.base import Reason
from gateway import accounts, api
from gateway.http import Auth, Call, Route


async def register(call: Call) -> api.Profile:
    return await accounts.register(call.services, call.body, call.key, call.address)


async def me(call: Call) -> api.Profile:
    return await accounts.profile(call.services, call.player_id)


ROUTES = [
    Route(
        method="POST",
        path="/v1/players",
        handle=register,
        name="register",
        summary="Register a player and open the wallet",
        tag="Players",
        body=api.Registration,
        reply=api.Profile,
        status=201,
        keyed=True,
        codes=(Reason.EMAIL_TAKEN, Reason.UNDER_AGE, "rate_limited"),
    ),
    Route(
        method="GET",
        path="/v1/me",
        handle=me,
        name="me",
        summary="Whose session this is",
        tag="Players",
        reply=api.Profile,
        auth=Auth.PLAYER,
        codes=(Reason.UNKNOWN_PLAYER,),
    ),
]
