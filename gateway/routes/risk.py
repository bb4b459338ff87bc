"""Risk at the desk: referrals, customers' factors, hedges and alerts."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from actors.base import Reason
from actors.hedging import HedgeLapsed, HedgeRecorded, LapseHedge, RecordHedge
from actors.market import Exposure, GetExposure, GetMarket, MarketView
from actors.risk.alerts import Pattern
from actors.risk.customer import CustomerView, Factors, FactorsSet, GetCustomer, SetFactors
from actors.risk.hedge import Proposal, propose
from actors.risk.settings import hedge_target_minor
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.staff import Role
from gateway import api, keys, referrals, risk_api
from gateway.desk import api as desk_api
from gateway.desk.actions import command
from gateway.desk.routes import desk_route
from gateway.exchanges import all_exchanges
from gateway.exchanges.exchange import NoAnswer
from gateway.http import Call, Route, granted
from gateway.problems import Problem
from ledger.risk_reads import RiskReads

BY_HAND = "by_hand"
"""Why an order has lapsed that a trader has given up."""

_facts = msgspec.json.Decoder(dict[str, int | str])

# Referrals


async def waiting(call: Call) -> risk_api.DeskReferrals:
    found = await referrals.waiting(call.services)
    now = api.time_text(call.services.clock.now_ms())
    return risk_api.DeskReferrals(now, found.up_to_date, found.items)


async def accept(call: Call) -> risk_api.DeskReferral:
    path: risk_api.ReferralPath = call.path
    return await referrals.accept(call, path.referral_id, call.body)


async def refuse(call: Call) -> risk_api.DeskReferral:
    path: risk_api.ReferralPath = call.path
    return await referrals.refuse(call, path.referral_id, call.body.reason)


# Customers


async def customer(call: Call) -> risk_api.Customer:
    path: risk_api.PlayerPath = call.path
    services = call.services
    question = GetCustomer(path.player_id)
    answer = await services.router.ask(services.licence.code, path.player_id, question)
    view = granted(answer.reply, CustomerView, services)
    changed_at = api.time_text(view.changed_at_ms) if view.changed_at_ms else UNSET
    return risk_api.Customer(
        view.player_id,
        view.factor,
        view.kinds,
        changed_at,
        view.refer_above_minor or UNSET,
        view.version,
    )


async def set_factors(call: Call) -> risk_api.Customer:
    path: risk_api.PlayerPath = call.path
    body: risk_api.NewFactors = call.body
    services = call.services
    above = body.refer_above_minor or 0
    version = None if body.version is UNSET else body.version
    command = SetFactors(path.player_id, body.factor, body.kinds, above, version)
    # Keys from before these were there stand for the same as ever.
    compared = ({"above": above} if above else {}) | ({} if version is None else {"of": version})
    asked: tuple[object, ...] = (
        path.player_id,
        body.factor,
        sorted(body.kinds.items()),
        body.reason,
        *compared.items(),
    )
    answer = await services.router.ask(
        services.licence.code,
        path.player_id,
        command,
        key=call.key,
        fingerprint=fingerprint("SetFactors", asked),
        by=call.staff.by,
        why=body.reason,
    )
    done = granted(answer.reply, FactorsSet, services)
    factors = Factors(done.factor, done.kinds, done.refer_above_minor)
    services.customers.learn(done.player_id, factors, done.at_ms)
    return risk_api.Customer(
        done.player_id,
        done.factor,
        done.kinds,
        api.time_text(done.at_ms),
        done.refer_above_minor or UNSET,
        done.version,
    )


# Hedges


async def hedges(call: Call) -> risk_api.Hedges:
    query: risk_api.HedgesQuery = call.query
    rows, next_cursor = await RiskReads.beside(call.services.book).hedges(
        query.market_id or None, query.cursor, query.limit
    )
    return risk_api.Hedges(
        next_cursor,
        [
            risk_api.Hedge(
                row.hedge_id,
                row.market_id,
                row.selection_id,
                row.exchange,
                row.state,
                row.stake_minor,
                row.odds,
                row.wins_minor,
                api.time_text(row.ordered_at_ms),
                api.time_text(row.answered_at_ms) if row.answered_at_ms else UNSET,
                row.reference or UNSET,
            )
            for row in rows
        ],
    )


async def record_hedge(call: Call) -> risk_api.HedgeNow:
    path: api.MarketPath = call.path
    body: risk_api.MadeHedge = call.body
    # Without an order the id follows from the key, so that a repetition finds the same hedge.
    message = RecordHedge(
        fixture_of(path.market_id),
        path.market_id,
        body.hedge_id or keys.id_from(f"{call.staff.by} {call.key}"),
        body.selection_id,
        body.stake_minor,
        body.odds,
        body.commission,
        body.exchange,
        body.reference,
    )
    made = await command(call, message.fixture_id, message, HedgeRecorded, message, body.reason)
    return risk_api.HedgeNow(made.market_id, made.hedge_id, "made", made.hedge.wins_minor)


async def lapse_hedge(call: Call) -> risk_api.HedgeNow:
    path: risk_api.HedgePath = call.path
    reason: str = call.body.reason
    fixture_id = fixture_of(path.market_id)
    message = LapseHedge(fixture_id, path.market_id, path.hedge_id, BY_HAND)
    lapsed = await command(call, fixture_id, message, HedgeLapsed, message, reason)
    return risk_api.HedgeNow(lapsed.market_id, lapsed.hedge_id, "lapsed", 0)


async def proposal(call: Call) -> risk_api.HedgeProposal:
    path: api.MarketPath = call.path
    services = call.services
    settings = services.settings.risk.hedges
    fixture_id = fixture_of(path.market_id)
    asked = await services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, path.market_id))
    market = granted(asked.reply, MarketView, services)
    asked = await services.router.ask(BOOK, fixture_id, GetExposure(path.market_id))
    exposure = granted(asked.reply, Exposure, services)
    made = propose(exposure, market, (), 0)
    target_minor = hedge_target_minor(settings, market.limits, made.before_minor)
    if settings.exchange and target_minor is not None:
        odds = {one.selection_id: one.odds for one in market.selections}
        exchange = all_exchanges()[settings.exchange]
        try:
            quotes = await exchange.quotes(market.market_id, market.currency, odds)
        except NoAnswer:
            raise Problem("unavailable", "The exchange does not answer.", retry_after_s=1) from None
        made = propose(exposure, market, quotes, target_minor)
    else:
        made = Proposal((), made.before_minor, made.before_minor)
    return risk_api.HedgeProposal(
        market.market_id,
        settings.exchange,
        exposure.known,
        [
            risk_api.HedgeOrder(one.selection_id, one.stake_minor, one.odds, one.commission)
            for one in made.orders
        ],
        made.before_minor,
        made.after_minor,
        settings.place,
    )


# Alerts


async def alerts(call: Call) -> risk_api.Alerts:
    query: risk_api.AlertsQuery = call.query
    rows, next_cursor = await RiskReads.beside(call.services.ledger).alerts(
        query.pattern or None, query.cursor, query.limit
    )
    return risk_api.Alerts(
        next_cursor,
        [
            risk_api.Alert(
                row.alert_id,
                Pattern(row.pattern),
                row.subject,
                api.time_text(row.at_ms),
                _facts.decode(row.facts),
            )
            for row in rows
        ],
    )


def _route(method: str, path: str, handle: Any, name: str, summary: str, **more: Any) -> Route:
    return desk_route(method, path, handle, name, summary, tag="Desk: risk", **more)


_DECIDED = (Reason.UNKNOWN_REFERRAL, Reason.REFERRAL_OVER, Reason.OUT_OF_BOUNDS)

ROUTES = [
    _route(
        "GET",
        "referrals",
        waiting,
        "waitingReferrals",
        "Bets that wait for a trader's word, the most urgent first",
        reply=risk_api.DeskReferrals,
    ),
    _route(
        "POST",
        "referrals/{referral_id}/accept",
        accept,
        "acceptReferral",
        "Let the player have the bet, at a smaller stake or another price if need be",
        path_type=risk_api.ReferralPath,
        body=risk_api.AcceptedReferral,
        reply=risk_api.DeskReferral,
        role=Role.TRADER,
        codes=_DECIDED,
    ),
    _route(
        "POST",
        "referrals/{referral_id}/refuse",
        refuse,
        "refuseReferral",
        "Let the player not have the bet",
        path_type=risk_api.ReferralPath,
        body=desk_api.JustAction,
        reply=risk_api.DeskReferral,
        role=Role.TRADER,
        codes=_DECIDED,
    ),
    _route(
        "GET",
        "customers/{player_id}",
        customer,
        "customer",
        "What a customer is allowed of everybody's limits",
        path_type=risk_api.PlayerPath,
        reply=risk_api.Customer,
        codes=(Reason.UNKNOWN_PLAYER,),
    ),
    _route(
        "POST",
        "customers/{player_id}/factors",
        set_factors,
        "setFactors",
        "Allow a customer more or less than others; everywhere within two seconds",
        path_type=risk_api.PlayerPath,
        body=risk_api.NewFactors,
        reply=risk_api.Customer,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_PLAYER, Reason.OUT_OF_BOUNDS, Reason.VERSION_CONFLICT),
    ),
    _route(
        "GET",
        "hedges",
        hedges,
        "hedges",
        "What the house has laid off elsewhere, newest first",
        query=risk_api.HedgesQuery,
        reply=risk_api.Hedges,
        codes=("invalid_cursor",),
    ),
    _route(
        "POST",
        "markets/{market_id}/hedges",
        record_hedge,
        "recordHedge",
        "Write down what was laid off elsewhere by hand",
        path_type=api.MarketPath,
        body=risk_api.MadeHedge,
        reply=risk_api.HedgeNow,
        status=201,
        role=Role.HEAD_TRADER,
        codes=(
            Reason.UNKNOWN_MARKET,
            Reason.UNKNOWN_SELECTION,
            Reason.ALREADY_EXISTS,
            Reason.OUT_OF_BOUNDS,
        ),
    ),
    _route(
        "POST",
        "markets/{market_id}/hedges/{hedge_id}/lapse",
        lapse_hedge,
        "lapseHedge",
        "Say of an order that the exchange has not made it, and will not",
        path_type=risk_api.HedgePath,
        body=desk_api.JustAction,
        reply=risk_api.HedgeNow,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.WRONG_STATUS),
    ),
    _route(
        "GET",
        "markets/{market_id}/hedge-proposal",
        proposal,
        "hedgeProposal",
        "What to lay off of a market now",
        path_type=api.MarketPath,
        reply=risk_api.HedgeProposal,
        codes=(Reason.UNKNOWN_MARKET,),
    ),
    _route(
        "GET",
        "alerts",
        alerts,
        "alerts",
        "Patterns in what is bet that somebody should look at, newest first",
        query=risk_api.AlertsQuery,
        reply=risk_api.Alerts,
        codes=("invalid_cursor",),
    ),
]
