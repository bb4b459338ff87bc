"""A player's own referrals: bets that a trader was asked about."""

from __future__ import annotations

from actors.base import Reason
from gateway import api
from gateway.http import Auth, Call, Route
from gateway.referrals import referral_json, referral_of_row, view_of
from gateway.risk_api import ReferralPath
from ledger.risk_reads import RiskReads


async def referrals(call: Call) -> api.Referrals:
    query: api.PageQuery = call.query
    services = call.services
    up_to_date = await services.up_to_date(call.player_id)
    rows, next_cursor = await RiskReads.beside(services.ledger).referrals_of(
        call.player_id, query.cursor, query.limit
    )
    now_ms = services.clock.now_ms()
    return api.Referrals(next_cursor, up_to_date, [referral_of_row(row, now_ms) for row in rows])


async def referral(call: Call) -> api.Referral:
    path: ReferralPath = call.path
    return referral_json(await view_of(call.services, call.player_id, path.referral_id))


ROUTES = [
    Route(
        method="GET",
        path="/v1/referrals",
        handle=referrals,
        name="referrals",
        summary="Bets that a trader was asked about, newest first",
        tag="Bets",
        query=api.PageQuery,
        reply=api.Referrals,
        auth=Auth.PLAYER,
        codes=("invalid_cursor",),
    ),
    Route(
        method="GET",
        path="/v1/referrals/{referral_id}",
        handle=referral,
        name="referral",
        summary="One of them, as of this moment",
        tag="Bets",
        path_type=ReferralPath,
        reply=api.Referral,
        auth=Auth.PLAYER,
        codes=(Reason.UNKNOWN_REFERRAL,),
    ),
]
