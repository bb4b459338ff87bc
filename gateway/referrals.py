"""Bets that wait for a trader: asking for the player, answering for the trader.

A market that wants a trader's word refuses with `referral_needed`, and the player is told
`referred`: nothing is held, and no money moves. The referral is named after the attempt, in the
answer that is kept under its key, so that asking again refers once. What a trader has accepted is
taken like any other bet, with `referral_id`. Of a slip all of that is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from actors.base import Reason, Refused
from actors.market import GetPrice, PriceView
from actors.placement import BetRequest
from actors.risk.referral import (
    AcceptReferral,
    GetReferral,
    Refer,
    ReferralAccepted,
    ReferralAsked,
    ReferralCommand,
    ReferralEvent,
    ReferralRefused,
    ReferralState,
    ReferralView,
    RefuseReferral,
    Terms,
)
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.slips.settling import settle
from actors.slips.slip import Selection, Slip
from gateway import api, risk_api
from gateway.http import Call, granted
from gateway.lines import lines_json
from gateway.problems import Problem
from gateway.services import Services
from ledger.risk_reads import NameRow, RiskReads
from ledger.tables import ReferralRow

_from_json = msgspec.json.Decoder(Slip)

# The player's side


async def refer(
    services: Services, player_id: str, request: BetRequest, refused: Refused
) -> Problem:
    """Ask a trader about a bet that its market will not take alone: what the player is told."""
    odds = int(refused.facts["odds"])
    asked = Terms(request.fixture_id, request.market_id, request.selection_id, request.stake, odds)
    version = refused.facts.get("odds_version")  # of a former release there is none
    versions = {} if version is None else {request.market_id: int(version)}
    referral_id = str(refused.facts["referral_id"])
    return await refer_terms(services, player_id, asked, referral_id, versions)


async def refer_slip(services: Services, player_id: str, asked: Terms, refused: Refused) -> Problem:
    """The same of a slip, at the prices that it would be placed at."""
    assert asked.slip is not None
    markets = [market_id for leg in asked.slip.legs for market_id, _ in leg.selections]
    said = map(int, str(refused.facts.get("versions", "")).split())
    versions = dict(zip(markets, said, strict=False))
    referral_id = str(refused.facts["referral_id"])
    return await refer_terms(services, player_id, asked, referral_id, versions)


async def refer_terms(
    services: Services, player_id: str, asked: Terms, referral_id: str, versions: dict[str, int]
) -> Problem:
    """Of a single or of a slip, by these versions of its prices."""
    settings = services.settings.risk.referrals
    await services.up_to_date(player_id)  # or those of a moment ago are not counted
    now_ms = services.clock.now_ms()
    reads = RiskReads.beside(services.ledger)
    scope = services.licence.code
    if await reads.count_waiting(player_id, now_ms) >= settings.at_once:
        # One of those that wait is asked for again where its answer was lost.
        question = GetReferral(player_id, referral_id)
        known = (await services.router.ask(scope, player_id, question)).reply
        if isinstance(known, Refused):
            facts: dict[str, int | str] = {"max_referrals": settings.at_once}
            return Problem("too_many_referrals", facts=facts)
    command = Refer(player_id, referral_id, asked, settings.wait_ms, versions)
    reply = (await services.router.ask(scope, player_id, command)).reply
    if isinstance(reply, Refused) and reply.reason is Reason.ALREADY_EXISTS:  # its key came again
        expires_at_ms = (await view_of(services, player_id, referral_id)).expires_at_ms
    else:
        expires_at_ms = granted(reply, ReferralAsked, services).expires_at_ms
    return Problem(
        "referred",
        facts={
            "referral_id": referral_id,
            "referral_expires_at": api.time_text(expires_at_ms),
        },
    )


async def view_of(services: Services, player_id: str, referral_id: str) -> ReferralView:
    """Raises the problem `unknown_referral`, for somebody else's too."""
    question = GetReferral(player_id, referral_id)
    answer = await services.router.ask(services.licence.code, player_id, question)
    return granted(answer.reply, ReferralView, services)


def referral_json(view: ReferralView) -> api.Referral:
    accepted = view.accepted
    return api.Referral(
        view.referral_id,
        view.state,
        view.asked.market_id,
        view.asked.selection_id,
        view.asked.stake.minor,
        view.asked.stake.currency,
        view.asked.odds,
        api.time_text(view.asked_at_ms),
        api.time_text(view.expires_at_ms),
        accepted.stake.minor if accepted else UNSET,
        accepted.odds if accepted and accepted.slip is None else UNSET,
        view.bet_id or UNSET,
        _slip_json(view.asked.slip),
    )


def referral_of_row(row: ReferralRow, now_ms: int) -> api.Referral:
    return api.Referral(
        row.referral_id,
        _state_of(row, now_ms),
        row.market_id,
        row.selection_id,
        row.stake_minor,
        row.currency,
        row.odds,
        api.time_text(row.asked_at_ms),
        api.time_text(row.expires_at_ms),
        UNSET if row.accepted_stake_minor is None else row.accepted_stake_minor,
        UNSET if row.accepted_odds is None or row.slip else row.accepted_odds,
        row.bet_id or UNSET,
        _slip_json(_slip_of(row)),
    )


def _slip_of(row: ReferralRow) -> Slip | None:
    return _from_json.decode(row.slip) if row.slip else None


def _slip_json(slip: Slip | None) -> api.ReferredSlip | UnsetType:
    if slip is None:
        return UNSET
    legs = [
        api.ReferredLeg(
            leg.market_id,
            leg.selection_id,
            leg.odds,
            leg.banker or UNSET,
            [api.JoinedSelection(*one) for one in leg.joined] or UNSET,
        )
        for leg in slip.legs
    ]
    return api.ReferredSlip(lines_json(slip), legs, settle(slip, {}).most_minor)


def _state_of(row: ReferralRow, now_ms: int) -> ReferralState:
    """Nobody says that the time has run out: it is seen."""
    state = ReferralState(row.state)
    over = state in (ReferralState.WAITING, ReferralState.ACCEPTED) and now_ms > row.expires_at_ms
    return ReferralState.EXPIRED if over else state


# The trader's side


class Waiting(msgspec.Struct, frozen=True):
    """Referrals that wait for a trader, the most urgent first."""

    up_to_date: bool
    """Whether all are among them that were asked for, and none that was answered."""
    items: list[risk_api.DeskReferral]


async def waiting(services: Services) -> Waiting:
    up_to_date = await services.ledger_is_new()
    now_ms = services.clock.now_ms()
    rows = await RiskReads.beside(services.ledger).waiting_referrals(now_ms)
    return Waiting(up_to_date, await _desk_json(services, rows, now_ms))


async def _desk_json(
    services: Services, rows: Sequence[ReferralRow], now_ms: int
) -> list[risk_api.DeskReferral]:
    places = list({selection for row in rows for selection in _selections_of(row)})
    names = await RiskReads.beside(services.book).names(places) if places else {}
    return [_row_json(row, names, now_ms) for row in rows]


def _selections_of(row: ReferralRow) -> list[Selection]:
    slip = _slip_of(row)
    if slip is None:
        return [(row.market_id, row.selection_id)]
    return [selection for leg in slip.legs for selection in leg.selections]


def _row_json(
    row: ReferralRow, known: dict[Selection, NameRow], now_ms: int
) -> risk_api.DeskReferral:
    names, slip = known.get((row.market_id, row.selection_id)), _slip_of(row)
    return risk_api.DeskReferral(
        referral_of_row(row, now_ms),
        row.player_id,
        row.fixture_id,
        names.fixture_name if names else row.fixture_id,
        names.market_name if names else row.market_id,
        names.selection_name if names else row.selection_id,
        names.odds if names else 0,
        _legs_json(slip, known) if slip else UNSET,
    )


def _legs_json(slip: Slip, known: dict[Selection, NameRow]) -> list[risk_api.ReferralLeg]:
    found = []
    for leg in slip.legs:
        selections = []
        for market_id, selection_id in leg.selections:
            names = known.get((market_id, selection_id))
            selections.append(
                risk_api.ReferralSelection(
                    market_id,
                    selection_id,
                    names.market_name if names else market_id,
                    names.selection_name if names else selection_id,
                    names.odds if names else 0,
                )
            )
        first = known.get((leg.market_id, leg.selection_id))
        fixture_name = first.fixture_name if first else leg.fixture_id
        found.append(
            risk_api.ReferralLeg(
                leg.fixture_id, fixture_name, leg.odds, selections, leg.banker or UNSET
            )
        )
    return found


async def accept(
    call: Call, referral_id: str, body: risk_api.AcceptedReferral
) -> risk_api.DeskReferral:
    """What is left out is as the player asked for it."""
    row = await _row(call.services, referral_id)
    valid_ms = call.services.settings.risk.referrals.valid_ms
    command = AcceptReferral(
        row.player_id,
        referral_id,
        row.stake_minor if body.stake_minor is UNSET else body.stake_minor,
        row.odds if body.odds is UNSET else body.odds,
        valid_ms if body.valid_ms is UNSET else body.valid_ms,
        await _versions(call.services, row),
    )
    # Without the versions: asked again, it is the same.
    asked = (AcceptReferral.__name__, *msgspec.structs.astuple(command)[:-1])
    return await _answer(call, row, command, asked, body.reason, ReferralAccepted)


async def _versions(services: Services, row: ReferralRow) -> dict[str, int]:
    """Of its prices in all its markets, as they are now."""
    places = dict(_selections_of(row))
    answers = await asyncio.gather(
        *(
            services.router.ask(BOOK, fixture_of(place[0]), GetPrice(fixture_of(place[0]), *place))
            for place in places.items()
        )
    )
    views = (answer.reply for answer in answers)
    return {
        market_id: view.odds_version
        for market_id, view in zip(places, views, strict=True)
        if isinstance(view, PriceView)
    }


async def refuse(call: Call, referral_id: str, reason: str) -> risk_api.DeskReferral:
    row = await _row(call.services, referral_id)
    command = RefuseReferral(row.player_id, referral_id)
    return await _answer(call, row, command, command, reason, ReferralRefused)


async def _row(services: Services, referral_id: str) -> ReferralRow:
    row = await RiskReads.beside(services.ledger).referral(referral_id)
    if row is None:
        raise Problem(Reason.UNKNOWN_REFERRAL)
    return row


async def _answer(
    call: Call,
    row: ReferralRow,
    command: ReferralCommand,
    asked: Any,
    reason: str,
    kind: type[ReferralEvent],
) -> risk_api.DeskReferral:
    services = call.services
    answer = await services.router.ask(
        services.licence.code,
        row.player_id,
        command,
        key=call.key,
        fingerprint=fingerprint(type(command).__name__, (asked, reason)),
        by=call.staff.by,
        why=reason,
    )
    decided = granted(answer.reply, kind, services)
    row.state = ReferralState.REFUSED.value
    if isinstance(decided, ReferralAccepted):
        row.state = ReferralState.ACCEPTED.value
        row.accepted_stake_minor = decided.accepted.stake.minor
        row.accepted_odds = decided.accepted.odds
        row.expires_at_ms = decided.valid_until_ms
    [json] = await _desk_json(services, [row], decided.at_ms)
    return json
