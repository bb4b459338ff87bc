"""Bets: placing them, and what became of them."""

from __future__ import annotations

from actors.base import Reason
from gateway import api
from gateway.bets import bet_json, find_bet, place_bet
from gateway.http import Auth, Call, Route


async def place(call: Call) -> api.Bet:
    return await place_bet(call.services, call.player_id, call.body, call.key)


async def bets(call: Call) -> api.Bets:
    query: api.BetsQuery = call.query
    up_to_date = await call.services.up_to_date(call.player_id)
    rows, next_cursor = await call.services.ledger.bets(
        call.player_id, query.state or None, query.cursor, query.limit
    )
    return api.Bets(next_cursor, up_to_date, [bet_json(row) for row in rows])


async def bet(call: Call) -> api.Bet:
    path: api.BetPath = call.path
    return await find_bet(call.services, call.player_id, path.bet_id)


PLACING_CODES = (
    Reason.UNKNOWN_PLAYER,
    Reason.UNKNOWN_MARKET,
    Reason.UNKNOWN_SELECTION,
    Reason.MARKET_CLOSED,
    Reason.MARKET_SUSPENDED,
    Reason.SELECTION_UNAVAILABLE,
    Reason.PRICE_CHANGED,
    Reason.PRICE_STALE,
    Reason.CURRENCY_MISMATCH,
    Reason.STAKE_TOO_SMALL,
    Reason.STAKE_ABOVE_LIMIT,
    Reason.LIABILITY_UNKNOWN,
    Reason.LIABILITY_LIMIT,
    Reason.INSUFFICIENT_FUNDS,
    Reason.HOLD_EXPIRED,
    Reason.PRICE_STALE,
)

ROUTES = [
    Route(
        method="POST",
        path="/v1/bets",
        handle=place,
        name="placeBet",
        summary="Place a single; in play, the answer takes as long as the market's bet delay",
        tag="Bets",
        body=api.Slip,
        reply=api.Bet,
        status=201,
        auth=Auth.PLAYER,
        keyed=True,
        codes=(
            *PLACING_CODES,
            Reason.REOFFER_EXPIRED,
            Reason.UNKNOWN_REFERRAL,
            Reason.REFERRAL_OVER,
            "referred",
            "too_many_referrals",
            "rate_limited",
        ),
        express=True,
    ),
    Route(
        method="GET",
        path="/v1/bets",
        handle=bets,
        name="bets",
        summary="The player's bets, newest first",
        tag="Bets",
        query=api.BetsQuery,
        reply=api.Bets,
        auth=Auth.PLAYER,
        codes=("invalid_cursor",),
    ),
    Route(
        method="GET",
        path="/v1/bets/{bet_id}",
        handle=bet,
        name="bet",
        summary="One bet, as of this moment",
        tag="Bets",
        path_type=api.BetPath,
        reply=api.Bet,
        auth=Auth.PLAYER,
        codes=(Reason.UNKNOWN_BET,),
    ),
]
