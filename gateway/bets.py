"""Placing a bet and showing one: the same over HTTP and over the stream."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from actors.base import Reason, Refused
from actors.bet import BetPlaced, BetState, BetView, GetBet, Leg
from actors.multiple import known_of
from actors.placement import BetRequest, LiabilityNotKnown, place
from actors.results import WON, Result, payout_minor
from actors.runtime.addresses import fixture_of
from actors.runtime.keys import fingerprint
from actors.slips.settling import Known, settle
from actors.slips.slip import Leg as SlipLeg
from actors.slips.slip import Slip
from gateway import api, keys, problems
from gateway.http import granted
from gateway.lines import lines_json
from gateway.problems import Problem
from gateway.referrals import refer
from gateway.services import Services
from ledger.money import MAX_MINOR, Money
from ledger.reads import BetRow, LegRow

_from_json = msgspec.json.Decoder(Known)


async def place_bet(services: Services, player_id: str, slip: api.Slip, key: str) -> api.Bet:
    """Take the stake and answer with the bet, durable. Raises `Problem`."""
    placed, _ = await take_bet(services, player_id, slip, key)
    return placed_bet(placed, slip.odds)


async def take_bet(
    services: Services, player_id: str, slip: api.Slip, key: str
) -> tuple[BetPlaced, bool]:
    """The same, as what has happened, and whether it did so now: it did not if `key` was used
    for it before."""
    services.pace.check(player_id, services.clock.now_ms())
    offer_id, referral_id = slip.offer_id or "", slip.referral_id or ""
    request = BetRequest(
        fixture_of(slip.market_id),
        slip.market_id,
        slip.selection_id,
        Money(slip.stake_minor, slip.currency),
        slip.odds,
        slip.accept,
        offer_id,
        referral_id,
        services.customers.factors_of(player_id),
    )
    what = (
        slip.market_id,
        slip.selection_id,
        slip.stake_minor,
        slip.currency,
        slip.odds,
        slip.accept,
    )
    if offer_id or referral_id:
        # A promise is kept for one bet, which has to be the same when it is asked for again; and
        # another one for another request under the same key, which is refused as such.
        asked = fingerprint("bet", (*what, offer_id, referral_id))
        bet_id = keys.id_from(f"{player_id} {key} {asked.hex()}")
    else:
        asked = fingerprint("bet", what)
        bet_id = keys.new_id()
    try:
        placed = await place(
            services.router,
            services.clock,
            request,
            bet_id=bet_id,
            licence=services.licence.code,
            player_id=player_id,
            key=key,
            fingerprint=asked,
        )
    except LiabilityNotKnown:
        services.metrics.bet("liability_unknown")
        raise Problem("liability_unknown", retry_after_s=1) from None
    if isinstance(placed, Refused):
        if placed.reason is Reason.REFERRAL_NEEDED:
            problem = await refer(services, player_id, request, placed)
        else:
            problem = problems.refused(placed)
        services.metrics.bet(problem.code)
        raise problem
    services.metrics.bet("placed")
    return placed, placed.bet_id == bet_id


async def find_bet(services: Services, player_id: str, bet_id: str) -> api.Bet:
    """As it is now. Somebody else's is unknown."""
    question = GetBet(player_id, bet_id)
    answer = await services.router.ask(services.licence.code, player_id, question)
    bet = granted(answer.reply, BetView, services)
    return bet_json(bet)


def placed_bet(placed: BetPlaced, asked: int) -> api.Bet:
    legs = [leg_json(leg, asked) for leg in placed.legs]
    return api.Bet(
        placed.bet_id,
        BetState.OPEN,
        placed.stake.minor,
        placed.stake.currency,
        potential_payout(placed.stake.minor, placed.legs[0].odds),
        0,
        api.time_text(placed.at_ms),
        legs,
        cash_after_minor=placed.cash_after_minor,
    )


def bet_json(bet: BetView | BetRow) -> api.Bet:
    """From the actor's answer or from the ledger's row, which agree."""
    settled_at: str | UnsetType = UNSET
    if bet.state is not BetState.OPEN and bet.settled_at_ms:
        settled_at = api.time_text(bet.settled_at_ms)
    legs = [leg_json(leg) for leg in bet.legs]
    known = _known(bet)
    lines: api.Lines | UnsetType = UNSET
    if bet.slip is None:
        most = potential_payout(bet.stake_minor, bet.legs[0].odds)
        legs = [_reduced(leg, known) for leg, known in zip(legs, known, strict=True)]
    else:
        most = _most(bet)
        lines = lines_json(bet.slip)
        legs = _legs_of_slip(bet.slip, legs, known)
    closed, slip = bet.cashed_out_minor, bet.slip
    return api.Bet(
        bet.bet_id,
        bet.state,
        bet.stake_minor + bet.bought_minor,
        bet.currency,
        most + closed,
        bet.payout_minor + closed,
        api.time_text(bet.placed_at_ms),
        legs,
        settled_at=settled_at,
        lines=lines,
        cashed_out_minor=closed or UNSET,
        free_stake=bool(slip and slip.free_stake) or UNSET,
        boosted_odds=(slip.boosted_odds if slip else 0) or UNSET,
        corrections=bet.corrections or UNSET,
    )


def _most(bet: BetView | BetRow) -> int:
    """What a slip can still pay at most."""
    if isinstance(bet, BetRow):
        return bet.most_minor
    assert bet.slip is not None
    if bet.state is BetState.CASHED_OUT:
        return 0
    return settle(bet.slip, known_of(bet.legs, bet.facts)).most_minor


def _known(bet: BetView | BetRow) -> list[Known]:
    """What is known of each leg; of a single only in a dead heat, or where a withdrawal took
    something off it."""
    if isinstance(bet, BetRow):
        return [_from_json.decode(leg.known) if leg.known else Known() for leg in bet.legs]
    return [fact.known for fact in bet.facts] or [Known()] * len(bet.legs)


def _legs_of_slip(slip: Slip, legs: list[api.Leg], known: list[Known]) -> list[api.Leg]:
    """With what only legs of slips have."""
    found = []
    for leg, (number, of), fact in zip(legs, selections_of(slip), known, strict=True):
        found.append(
            msgspec.structs.replace(
                _reduced(slip_leg_json(leg, number, of), fact),
                outcome=fact.result.outcome if fact.result else UNSET,
                place=fact.place.outcome if fact.place and of.each_way else UNSET,
                starting_odds=fact.starting_odds
                if of.at_starting_price and fact.starting_odds
                else UNSET,
            )
        )
    return found


def selections_of(slip: Slip) -> list[tuple[int, SlipLeg]]:
    """For each selection the leg that it is of, and its number."""
    return [(number, leg) for number, leg in enumerate(slip.legs) for _ in leg.selections]


def slip_leg_json(leg: api.Leg, number: int, of: SlipLeg) -> api.Leg:
    """With what the slip says of it."""
    terms = of.each_way
    return msgspec.structs.replace(
        leg,
        banker=of.banker or UNSET,
        joint=of.odds if of.joined else UNSET,
        leg=number if of.joined else UNSET,
        sp=of.at_starting_price or UNSET,
        each_way=api.EachWayTerms(terms.places, terms.divisor) if terms else UNSET,
        ante_post=of.ante_post or UNSET,
    )


def _reduced(leg: api.Leg, known: Known) -> api.Leg:
    return msgspec.structs.replace(
        leg,
        deduction=known.deduction or UNSET,
        reductions=list(known.reductions) or UNSET,
        withdrawn=known.withdrawn or UNSET,
        dead_heat=_dead_heat(known.result),
        place_dead_heat=_dead_heat(known.place) if leg.each_way else UNSET,
    )


def _dead_heat(result: Result | None) -> api.DeadHeat | UnsetType:
    if result is None or result.tied == result.places:
        return UNSET
    return api.DeadHeat(result.tied, result.places)


def leg_json(leg: Leg | LegRow, asked: int | None = None) -> api.Leg:
    return api.Leg(
        leg.fixture_id,
        leg.market_id,
        leg.selection_id,
        leg.odds,
        leg.fixture_name,
        leg.market_name,
        leg.selection_name,
        leg.in_play,
        asked=UNSET if asked is None or asked == leg.odds else asked,
    )


def potential_payout(stake_minor: int, odds: int) -> int:
    return min(payout_minor(stake_minor, odds, WON), MAX_MINOR)
