"""Slips of several lines, and cashing out."""

from __future__ import annotations

from actors.base import Reason
from gateway import api
from gateway.http import Auth, Call, Route
from gateway.routes.bets import PLACING_CODES
from gateway.slips import offer_for, quote, take_offer, take_slip


async def place(call: Call) -> api.Bet:
    return await take_slip(call.services, call.player_id, call.body, call.key)


async def price(call: Call) -> api.SlipQuote:
    return await quote(call.services, call.player_id, call.body)


async def cash_out_offer(call: Call) -> api.CashOutOffer:
    path: api.BetPath = call.path
    query: api.CashOutQuery = call.query
    return await offer_for(call.services, call.player_id, path.bet_id, query.stake_minor or None)


async def cash_out(call: Call) -> api.CashedOut:
    path: api.BetPath = call.path
    body: api.TakeOffer = call.body
    return await take_offer(call.services, call.player_id, path.bet_id, body.offer, call.key)


_SLIP_CODES = (
    Reason.TOO_MANY_LEGS,
    Reason.WRONG_LEG_COUNT,
    Reason.DUPLICATE_LEG,
    Reason.CORRELATED_LEGS,
    Reason.EACH_WAY_UNAVAILABLE,
    Reason.STARTING_PRICE_UNAVAILABLE,
    Reason.UNEVEN_STAKE,
    Reason.OUT_OF_BOUNDS,
    Reason.BOOST_UNAVAILABLE,
    Reason.UNKNOWN_BONUS,
)
_OFFER_CODES = (
    Reason.UNKNOWN_BET,
    Reason.NOTHING_OPEN,
    Reason.CASH_OUT_SUSPENDED,
    Reason.CASH_OUT_TOO_SMALL,
    Reason.OUT_OF_BOUNDS,
)

ROUTES = [
    Route(
        method="POST",
        path="/v1/slips",
        handle=place,
        name="placeSlip",
        summary="Place a bet of several lines, each-way, at the starting price, or joined",
        tag="Bets",
        body=api.NewSlip,
        reply=api.Bet,
        status=201,
        auth=Auth.PLAYER,
        keyed=True,
        codes=(
            *PLACING_CODES,
            *_SLIP_CODES,
            Reason.BONUS_EXPIRED,
            Reason.REOFFER_EXPIRED,
            Reason.UNKNOWN_REFERRAL,
            Reason.REFERRAL_OVER,
            "referred",
            "too_many_referrals",
            "rate_limited",
        ),
    ),
    Route(
        method="POST",
        path="/v1/slips/quote",
        handle=price,
        name="quoteSlip",
        summary="How many lines a slip has, what it can pay, and the price of what is joined",
        tag="Bets",
        body=api.NewSlip,
        reply=api.SlipQuote,
        auth=Auth.PLAYER,
        codes=(*_SLIP_CODES, Reason.STAKE_ABOVE_LIMIT),
    ),
    Route(
        method="GET",
        path="/v1/bets/{bet_id}/cash-out",
        handle=cash_out_offer,
        name="cashOutOffer",
        summary="What would be paid for a bet, or a part of it, at the prices of now",
        tag="Bets",
        path_type=api.BetPath,
        query=api.CashOutQuery,
        reply=api.CashOutOffer,
        auth=Auth.PLAYER,
        codes=_OFFER_CODES,
    ),
    Route(
        method="POST",
        path="/v1/bets/{bet_id}/cash-out",
        handle=cash_out,
        name="cashOut",
        summary="Take an offer; in play, the answer takes as long as the market's bet delay",
        tag="Bets",
        path_type=api.BetPath,
        body=api.TakeOffer,
        reply=api.CashedOut,
        auth=Auth.PLAYER,
        keyed=True,
        codes=(
            *_OFFER_CODES,
            Reason.OFFER_EXPIRED,
            Reason.OFFER_OUTDATED,
            Reason.PRICE_CHANGED,
        ),
    ),
]
