"""Registering and logging in.

Registering takes two decisions in two partitions: the e-mail address is claimed for a new player
id, then that player is registered. A request that broke off in between is finished by repeating
it with its key, since the first answer to the claim names the player; or by registering again with
the same address and password.
"""

from __future__ import annotations

from actors.base import Reason, Refused
from actors.player import (
    ClaimEmail,
    CredentialView,
    EmailClaimed,
    GetCredential,
    GetPlayer,
    LoggedIn,
    PlayerRegistered,
    PlayerView,
    RecordLogin,
    RegisterPlayer,
)
from actors.runtime.keys import fingerprint
from gateway import api, keys
from gateway.http import granted
from gateway.problems import Problem
from gateway.services import Services

EARLIEST_BIRTH = 1900
"""A year before it is a slip of the hand."""


async def register(
    services: Services, registration: api.Registration, key: str, address: str
) -> api.Profile:
    """A new player with a wallet. The password is no part of what the key stands for."""
    if registration.birth_date.year < EARLIEST_BIRTH:
        raise Problem(
            "invalid_request", f"A birth date before {EARLIEST_BIRTH} - at `$.birth_date`."
        )
    email = registration.email.lower()
    await services.limits.attempt("register", address, _who(email))
    asked = fingerprint("register", [registration.name, registration.birth_date.isoformat(), email])
    password_hash = await services.passwords.hash(registration.password)
    claim = ClaimEmail(
        email,
        keys.new_id(),
        password_hash,
        registration.birth_date,
        services.licence.minimum_age.value,
    )
    scope = services.licence.code
    answer = await services.router.ask(scope, email, claim, key=key, fingerprint=asked)
    if isinstance(answer.reply, Refused) and answer.reply.reason is Reason.EMAIL_TAKEN:
        player_id = await _claimed_by_the_same(services, email, registration.password)
    else:
        player_id = granted(answer.reply, EmailClaimed, services).player_id
    answer = await services.router.ask(
        scope,
        player_id,
        RegisterPlayer(
            player_id,
            scope,
            registration.name,
            email,
            registration.birth_date,
            services.licence.currency,
        ),
        key=key,
        fingerprint=asked,
    )
    if isinstance(answer.reply, Refused) and answer.reply.reason is Reason.ALREADY_REGISTERED:
        raise Problem(Reason.EMAIL_TAKEN)
    registered = granted(answer.reply, PlayerRegistered, services)
    return api.Profile(
        registered.player_id,
        registered.name,
        registered.email,
        registered.birth_date,
        registered.licence,
        registered.currency,
        api.time_text(registered.at_ms),
    )


async def _claimed_by_the_same(services: Services, email: str, password: str) -> str:
    """For whom the address is claimed, to whoever knows the password.

    If that player was never registered, because the first attempt broke off, it can be done now.
    """
    view = (await services.router.ask(services.licence.code, email, GetCredential(email))).reply
    known = isinstance(view, CredentialView)
    if not await services.passwords.verify(view.password_hash if known else None, password):
        raise Problem(Reason.EMAIL_TAKEN)
    player_id: str = view.player_id
    return player_id


async def log_in(
    services: Services, credentials: api.Credentials, address: str, device: str
) -> tuple[api.NewSession, str]:
    """A session for whoever knows the password, and a token for the device that was used.

    An unknown address is told the same as a wrong password, after the same work. That makes it no
    secret who has an account: registering says that an address is taken. Against trying passwords
    stand the limits on attempts, which a wrong password does not change for its owner elsewhere.
    """
    email = credentials.email.lower()
    who = _who(email)
    number = services.devices.number(device, who)
    await services.limits.attempt("login", address, who, number)
    scope = services.licence.code
    view = (await services.router.ask(scope, email, GetCredential(email))).reply
    known = view.password_hash if isinstance(view, CredentialView) else None
    if not await services.passwords.verify(known, credentials.password):
        raise Problem(Reason.BAD_CREDENTIALS)
    recorded = (await services.router.ask(scope, email, RecordLogin(email))).reply
    granted(recorded, LoggedIn, services)
    await services.limits.came_in(address, who)
    token, session = await services.sessions.create(view.player_id)
    told = api.NewSession(token, session.player_id, api.time_text(session.expires_at_ms))
    return told, services.devices.new(who, number)


def _who(email: str) -> str:
    """As attempts are counted for: staff have log-ins of their own."""
    return f"player/{email}"


async def profile(services: Services, player_id: str) -> api.Profile:
    answer = await services.router.ask(services.licence.code, player_id, GetPlayer(player_id))
    player = granted(answer.reply, PlayerView, services)
    return api.Profile(
        player.player_id,
        player.name,
        player.email,
        player.birth_date,
        player.licence,
        services.licence.currency,
        api.time_text(player.registered_at_ms),
    )
