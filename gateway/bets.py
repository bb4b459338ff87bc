"""Placing a bet and showing one: the same over HTTP and over the stream."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from actors.base import Refused
from actors.bet import BetPlaced, BetState, BetView, GetBet, Leg
from actors.multiple import known_of
from actors.placement import BetRequest, LiabilityNotKnown, place
from actors.results import WON, payout_minor
from actors.runtime.addresses import fixture_of
from actors.runtime.keys import fingerprint
from actors.slips.settling import settle
from actors.slips.slip import Slip, folds_in, lines_in
from gateway import api, keys, problems
from gateway.http import granted
from gateway.problems import Problem
from gateway.services import Services
from ledger.money import MAX_MINOR, Money
from ledger.reads import BetRow, LegRow


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
    bet_id = keys.new_id()
    request = BetRequest(
        fixture_of(slip.market_id),
        slip.market_id,
        slip.selection_id,
        Money(slip.stake_minor, slip.currency),
        slip.odds,
        slip.accept,
    )
    asked = fingerprint(
        "bet",
        (
            slip.market_id,
            slip.selection_id,
            slip.stake_minor,
            slip.currency,
            slip.odds,
            slip.accept,
        ),
    )
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
        services.metrics.bet(placed.reason)
        raise problems.refused(placed, services.clock.now_ms())
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
    lines: api.Lines | UnsetType = UNSET
    if bet.slip is None:
        most = potential_payout(bet.stake_minor, bet.legs[0].odds)
    else:
        most = _most(bet)
        lines = lines_json(bet.slip)
        legs = _legs_of_slip(bet, bet.slip, legs)
    closed = bet.cashed_out_minor
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
    )


def _most(bet: BetView | BetRow) -> int:
    """What a slip can still pay at most."""
    if isinstance(bet, BetRow):
        return bet.most_minor
    assert bet.slip is not None
    if bet.state is BetState.CASHED_OUT:
        return 0
    return settle(bet.slip, known_of(bet.legs, bet.facts)).most_minor


def lines_json(slip: Slip) -> api.Lines:
    return api.Lines(slip.kind, list(folds_in(slip)), lines_in(slip))


def _legs_of_slip(bet: BetView | BetRow, slip: Slip, legs: list[api.Leg]) -> list[api.Leg]:
    """With what only legs of slips have."""
    if isinstance(bet, BetRow):
        outcomes = [leg.outcome for leg in bet.legs]
    else:
        results = [fact.known.result for fact in bet.facts]
        outcomes = [result.outcome if result else None for result in results]
    bankers = [leg.banker for leg in slip.legs for _ in leg.selections]
    return [
        msgspec.structs.replace(leg, outcome=outcome or UNSET, banker=banker or UNSET)
        for leg, outcome, banker in zip(legs, outcomes, bankers, strict=True)
    ]


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
