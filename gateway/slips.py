"""Bets of several lines, and buying bets back."""

from __future__ import annotations

import base64
from typing import cast

import msgspec
from msgspec import UNSET

from actors.base import Reason, Refused
from actors.bet import BetState, BetView, GetBet
from actors.cashout import CashedOut, slip_of, worth_by
from actors.multiple import SlipPlaced
from actors.placement import LiabilityNotKnown
from actors.risk.referral import terms_of
from actors.runtime.addresses import fixture_of
from actors.runtime.keys import fingerprint
from actors.slip_placement import (
    SlipRequest,
    at_prices,
    bonus_of,
    cash_out,
    joined,
    on_terms,
    place_slip,
    prices_now,
)
from actors.slips.bonus import Bonus, given
from actors.slips.cashout import CashOutRules, Offer, offer
from actors.slips.settling import settle
from actors.slips.slip import MAX_LEGS, Leg, Slip, lines_in, refuse
from gateway import api, keys, problems
from gateway.bets import leg_json, selections_of, slip_leg_json
from gateway.http import granted
from gateway.lines import lines_json
from gateway.problems import Problem
from gateway.referrals import refer_slip
from gateway.services import Services
from ledger.money import MAX_MINOR

RULES = CashOutRules()
_offers = msgspec.msgpack.Decoder(Offer)


def slip_asked(body: api.NewSlip, *, quoting: bool = False) -> Slip:
    """The slip of a request, at the odds that the player was shown.

    `quoting`: what is joined may have none yet. Raises `Problem`.
    """
    legs = tuple(_leg_asked(number, leg, quoting) for number, leg in enumerate(body.legs))
    return Slip(legs, body.kind, body.stake_minor, tuple(body.folds), body.each_way)


def _capped(services: Services, slip: Slip) -> Slip:
    """No slip pays more than the house's settings say; what it can cost is bounded by that, too."""
    return msgspec.structs.replace(slip, payout_cap_minor=services.settings.risk.max_payout_minor)


def _leg_asked(number: int, leg: api.NewLeg, quoting: bool) -> Leg:
    to_be_priced = quoting and leg.joined and not leg.sp
    if bool(leg.odds) == leg.sp and not to_be_priced:
        raise Problem("invalid_request", f"Either odds or sp - at `$.legs[{number}]`.")
    fixture_id = fixture_of(leg.market_id)
    if any(fixture_of(other.market_id) != fixture_id for other in leg.joined):
        raise Problem("invalid_request", f"On another fixture - at `$.legs[{number}].joined`.")
    return Leg(
        fixture_id,
        leg.market_id,
        leg.selection_id,
        leg.odds or 0,
        leg.banker,
        joined=tuple((other.market_id, other.selection_id) for other in leg.joined),
    )


async def quote(services: Services, player_id: str, body: api.NewSlip) -> api.SlipQuote:
    """What the slip would be. Raises `Problem` for one that can't be a bet."""
    asked = _capped(services, slip_asked(body, quoting=True))
    slip = await on_terms(services.router, asked)
    priced = await joined(services.router, slip)
    wrong = priced if isinstance(priced, Refused) else refuse(priced)
    if wrong is None and body.bonus_id:
        code = services.licence.code
        bonus = await bonus_of(services.router, code, player_id, body.bonus_id)
        priced = given(cast(Slip, priced), bonus) if isinstance(bonus, Bonus) else bonus
    wrong = priced if isinstance(priced, Refused) else refuse(priced)
    if wrong:
        raise problems.refused(wrong)
    slip = cast(Slip, priced)
    return api.SlipQuote(
        lines_json(slip),
        slip.stake_minor,
        slip.stake_minor // lines_in(slip),
        settle(slip, {}).most_minor,
        body.currency,
        [leg.odds for leg in slip.legs],
        slip.boosted_odds or UNSET,
    )


async def take_slip(services: Services, player_id: str, body: api.NewSlip, key: str) -> api.Bet:
    """Take the stake and answer with the bet, durable. Raises `Problem`."""
    for _ in body.legs:  # each costs what a bet does
        services.pace.check(player_id, services.clock.now_ms())
    slip = slip_asked(body)
    asked = fingerprint("slip", _what_is_asked(slip, body))
    request = SlipRequest(
        _capped(services, slip),
        body.currency,
        body.accept,
        services.customers.factors_of(player_id),
        body.bonus_id or "",
        body.offer_id or "",
        body.referral_id or "",
    )
    # A promise is kept for one bet, as that of a single is (`gateway.bets`).
    promised = keys.id_from(f"{player_id} {key} {asked.hex()}") if request.promised else ""
    try:
        placed = await place_slip(
            services.router,
            services.clock,
            request,
            bet_id=promised or keys.new_id(),
            licence=services.licence.code,
            player_id=player_id,
            key=key,
            fingerprint=asked,
        )
    except LiabilityNotKnown:
        services.metrics.bet("liability_unknown")
        raise Problem("liability_unknown", retry_after_s=1) from None
    if isinstance(placed, Refused):
        problem = await _refused(services, player_id, request, placed)
        services.metrics.bet(problem.code)
        raise problem
    services.metrics.bet("placed")
    return slip_json(placed, [leg.odds for leg in slip.legs])


def _what_is_asked(slip: Slip, body: api.NewSlip) -> tuple[object, ...]:
    """What the key stands for: for ever, so nothing new in it where nothing new is asked for."""
    asked = (slip, body.currency, body.accept)
    if body.offer_id or body.referral_id:
        return (*asked, body.offer_id or "", body.referral_id or "")
    return (*asked, body.bonus_id) if body.bonus_id else asked


async def _refused(
    services: Services, player_id: str, request: SlipRequest, refused: Refused
) -> Problem:
    """What the player is told, a trader having been asked where one has to be."""
    if refused.reason is Reason.REFERRAL_NEEDED:
        slip = await on_terms(services.router, request.slip)
        wanted = terms_of(at_prices(slip, str(refused.facts["prices"])), request.currency)
        return await refer_slip(services, player_id, wanted, refused)
    problem = problems.refused(refused)
    prices = problem.facts.pop("offer_prices", None)
    if prices is not None:
        problem.facts["offer_leg_odds"] = [int(odds) for odds in str(prices).split()]
    return problem


def slip_json(placed: SlipPlaced, asked: list[int]) -> api.Bet:
    own = selections_of(placed.slip)
    legs = [
        slip_leg_json(leg_json(leg, None if of.joined else asked[number]), number, of)
        for leg, (number, of) in zip(placed.legs, own, strict=True)
    ]
    return api.Bet(
        placed.bet_id,
        BetState.OPEN,
        placed.slip.stake_minor,
        placed.stake.currency,
        placed.most_minor,
        0,
        api.time_text(placed.at_ms),
        legs,
        lines=lines_json(placed.slip),
        cash_after_minor=placed.cash_after_minor,
        free_stake=placed.slip.free_stake or UNSET,
        boosted_odds=placed.slip.boosted_odds or UNSET,
    )


# Cashing out


async def offer_for(
    services: Services, player_id: str, bet_id: str, stake_minor: int | None
) -> api.CashOutOffer:
    """What would be paid for the bet now, or for a part of it. Raises `Problem`."""
    services.pace.check(player_id, services.clock.now_ms())
    bet = await _bet(services, player_id, bet_id)
    now = await prices_now(services.router, bet)
    now_ms = services.clock.now_ms()
    part = stake_minor if stake_minor is not None else bet.stake_minor
    made: Offer | Refused
    if bet.state is BetState.OPEN:
        known = worth_by(bet, now.less)
        made = offer(slip_of(bet), known, now.odds, part, RULES, now_ms)
    else:
        raise Problem("nothing_open")
    if isinstance(made, Refused):
        raise problems.refused(made)
    return api.CashOutOffer(
        bet_id,
        made.stake_minor,
        made.amount_minor,
        bet.currency,
        api.time_text(made.expires_at_ms),
        base64.urlsafe_b64encode(msgspec.msgpack.encode(made)).decode(),
    )


async def take_offer(
    services: Services, player_id: str, bet_id: str, taken: str, key: str
) -> api.CashedOut:
    """Buy the bet back at what was offered, or more. Raises `Problem`."""
    try:
        given = _offers.decode(base64.urlsafe_b64decode(taken))
    except (ValueError, msgspec.MsgspecError):
        raise Problem("invalid_request", "That is no offer - at `$.offer`.") from None
    now_ms = services.clock.now_ms()
    services.pace.check(player_id, now_ms)
    amounts = (given.stake_minor, given.amount_minor, given.of_stake_minor, given.paid_minor)
    sound = all(0 <= amount <= MAX_MINOR for amount in amounts)
    if not sound or given.expires_at_ms > now_ms + RULES.valid_ms or len(given.prices) > MAX_LEGS:
        raise Problem("invalid_request", "That is no offer of ours - at `$.offer`.")
    bet = await _bet(services, player_id, bet_id)
    bought = await cash_out(
        services.router,
        services.clock,
        licence=services.licence.code,
        player_id=player_id,
        bet_id=bet_id,
        bet=bet,
        offer=given,
        rules=RULES,
        key=key,
        fingerprint=fingerprint("cash_out", (bet_id, taken)),
    )
    if isinstance(bought, Refused):
        raise problems.refused(bought)
    assert isinstance(bought, CashedOut)
    return api.CashedOut(
        bet_id,
        bought.bought_minor,
        bought.amount_minor,
        bought.stake.currency,
        BetState.CASHED_OUT if bought.rest is None else BetState.OPEN,
        bought.cash_after_minor,
    )


async def _bet(services: Services, player_id: str, bet_id: str) -> BetView:
    answer = await services.router.ask(services.licence.code, player_id, GetBet(player_id, bet_id))
    return granted(answer.reply, BetView, services)
