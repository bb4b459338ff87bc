"""Placing a slip: every market is asked for room at once, then the wallet for the stake.

As with a single (`actors.placement`) a market's yes is only a hold, and the bet is the wallet's
decision alone. A slip has one hold for each of its selections; one no of a market releases all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import cast

import msgspec

from actors.base import Reason, Refused
from actors.bet import Leg, PriceChange
from actors.book import Confirmed, hold_id
from actors.cashout import CashedOut, CashOut
from actors.errors import NothingDone
from actors.market import (
    ConfirmHold,
    GetMarket,
    Held,
    HoldStake,
    LookAgain,
    MarketStatus,
    MarketView,
    ReadAgain,
    ReleaseHold,
)
from actors.multiple import PlaceSlip, SlipPlaced, carried, with_odds
from actors.placement import BOOK, Answer, LiabilityNotKnown, Router, Waiter
from actors.slips.cashout import CashOutRules, Offer
from actors.slips.slip import Slip, refuse
from actors.wallet import GetWallet, WalletView
from ledger.money import Money

MAX_ROUNDS = 3
"""Times that markets are asked for room while prices rise."""


class SlipRequest(msgspec.Struct, frozen=True):
    """A slip as the player asks for it; its odds are the prices that the player was shown."""

    slip: Slip
    currency: str
    policy: PriceChange


class _Asked(msgspec.Struct, frozen=True):
    """One selection of the slip, and which hold it has."""

    leg: int
    fixture_id: str
    market_id: str
    selection_id: str
    odds: int
    hold_id: str


async def place_slip(
    router: Router,
    clock: Waiter,
    request: SlipRequest,
    *,
    bet_id: str,
    licence: str,
    player_id: str,
    key: str,
    fingerprint: bytes,
) -> SlipPlaced | Refused:
    """Place a slip or say why not; `bet_id` is new, and is the bet's if it is not a repetition.

    The wallet is always asked, for the first answer to `key` is kept there. Raises
    `LiabilityNotKnown` where a market is not ready: nothing was done.
    """
    slip = request.slip
    asked = _selections(slip, bet_id)
    held: list[Held] | Refused = []
    if refuse(slip) is None:
        held = await _hold_all(router, clock, request, asked, licence, player_id)
    if isinstance(held, Refused):
        if held.reason is Reason.LIABILITY_UNKNOWN:
            raise LiabilityNotKnown(bet_id)
        command = PlaceSlip(player_id, bet_id, request.currency, slip, (), 0, held)
    elif not held:  # the wallet says what is wrong with it
        command = PlaceSlip(player_id, bet_id, request.currency, slip, (), 0)
    else:
        slip = _as_held(slip, asked, held)
        legs = tuple(_leg(one, yes) for one, yes in zip(asked, held, strict=True))
        expires_at_ms = min(yes.expires_at_ms for yes in held)
        command = PlaceSlip(player_id, bet_id, request.currency, slip, legs, expires_at_ms)
    try:
        answer = await router.ask(licence, player_id, command, key=key, fingerprint=fingerprint)
    except NothingDone:
        if command.legs:
            _release(router, asked)
        raise
    # When there was no answer at all the holds stay: it is not known whether the bet was placed.
    placed: SlipPlaced | Refused = answer.reply
    if command.legs:
        if isinstance(placed, SlipPlaced) and placed.bet_id == bet_id:
            costs = carried(slip, {})
            for one, yes in zip(asked, cast(list[Held], held), strict=True):
                bet = Confirmed(
                    answer.partition,
                    answer.block_seq,
                    one.selection_id,
                    slip.stake_minor,
                    yes.odds,
                    costs[one.market_id, one.selection_id],
                )
                router.tell(BOOK, one.fixture_id, ConfirmHold(one.market_id, one.hold_id, bet))
        else:
            _release(router, asked)
    return placed


def _selections(slip: Slip, bet_id: str) -> list[_Asked]:
    pairs = chain.from_iterable(
        ((number, leg, selection) for selection in leg.selections)
        for number, leg in enumerate(slip.legs)
    )
    return [
        _Asked(number, leg.fixture_id, *selection, leg.odds, hold_id(bet_id, at))
        for at, (number, leg, selection) in enumerate(pairs)
    ]


async def _hold_all(
    router: Router,
    clock: Waiter,
    request: SlipRequest,
    asked: Sequence[_Asked],
    licence: str,
    player_id: str,
) -> list[Held] | Refused:
    """A yes of every market, or the first no in the order of the legs; then nothing is held."""
    held = await _hold_enough(router, request, asked, licence, player_id, request.slip)
    if isinstance(held, Refused):
        return held
    delay_ms = max(yes.bet_delay_ms for yes in held)
    if not delay_ms:
        return held
    # Who can't pay must not keep others out of the markets for as long as the delay is.
    wallet = (await router.ask(licence, player_id, GetWallet(player_id))).reply
    if isinstance(wallet, WalletView) and wallet.cash_minor < request.slip.stake_minor:
        _release(router, asked)
        return Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": wallet.cash_minor})
    await clock.sleep(delay_ms / 1000)
    looks = [
        LookAgain(one.fixture_id, one.market_id, one.hold_id, one.odds, request.policy)
        for one in asked
    ]
    again = await _ask_all(router, asked, looks)
    before = _as_held(request.slip, asked, held)
    if isinstance(again, Refused) or _costs_no_more(before, _as_held(before, asked, again)):
        return again
    return await _hold_enough(router, request, asked, licence, player_id, before)


async def _hold_enough(
    router: Router,
    request: SlipRequest,
    asked: Sequence[_Asked],
    licence: str,
    player_id: str,
    slip: Slip,
) -> list[Held] | Refused:
    """Room for what the slip costs at the prices that it gets.

    Each market knows its own price alone. Where prices rise, the slip costs more on every leg than
    was asked for at first: then all are asked again.
    """
    stake = Money(slip.stake_minor, request.currency)
    for _ in range(MAX_ROUNDS):
        costs = carried(slip, {})
        holds = [
            HoldStake(
                one.fixture_id,
                one.market_id,
                one.selection_id,
                one.hold_id,
                licence,
                player_id,
                stake,
                one.odds,
                request.policy,
                costs[one.market_id, one.selection_id],
            )
            for one in asked
        ]
        held = await _ask_all(router, asked, holds)
        if isinstance(held, Refused):
            return held
        got = _as_held(slip, asked, held)
        if _costs_no_more(slip, got):
            return held
        slip = got
    _release(router, asked)
    odds = slip.legs[asked[0].leg].odds
    return Refused(Reason.PRICE_CHANGED, facts={"leg": asked[0].leg, "odds": odds})


def _costs_no_more(asked: Slip, got: Slip) -> bool:
    """Whether room for the one is room for the other."""
    room = carried(asked, {})
    return all(cost <= room[selection] for selection, cost in carried(got, {}).items())


async def _ask_all(
    router: Router, asked: Sequence[_Asked], questions: Sequence[HoldStake | LookAgain]
) -> list[Held] | Refused:
    asking = [
        router.ask(BOOK, one.fixture_id, question)
        for one, question in zip(asked, questions, strict=True)
    ]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    failure = next((answer for answer in answers if isinstance(answer, BaseException)), None)
    replies = [] if failure else [answer.reply for answer in cast(list[Answer], answers)]
    no = next((number for number, reply in enumerate(replies) if not isinstance(reply, Held)), None)
    if failure is None and no is None:
        return replies
    _release(router, asked)
    if failure is not None:
        raise failure
    assert no is not None
    refused: Refused = replies[no]
    facts = {"leg": asked[no].leg, **refused.facts}
    return msgspec.structs.replace(refused, facts=facts)


def _as_held(slip: Slip, asked: Sequence[_Asked], held: Sequence[Held]) -> Slip:
    """At the prices that it got."""
    odds = {one.leg: yes.odds for one, yes in zip(asked, held, strict=True)}
    return with_odds(slip, [odds[number] for number in range(len(slip.legs))])


def _leg(one: _Asked, held: Held) -> Leg:
    return Leg(
        one.fixture_id,
        one.market_id,
        one.selection_id,
        held.odds,
        held.odds_version,
        held.fixture_name,
        held.market_name,
        held.selection_name,
        held.in_play,
    )


def _release(router: Router, asked: Sequence[_Asked]) -> None:
    for one in asked:
        router.tell(BOOK, one.fixture_id, ReleaseHold(one.market_id, one.hold_id))


# Cashing out


async def prices_now(router: Router, legs: Sequence[Leg]) -> tuple[list[int], int]:
    """Odds of each leg now, 0 where there are none, and the longest bet delay of their markets."""
    asking = [
        router.ask(BOOK, leg.fixture_id, GetMarket(leg.fixture_id, leg.market_id)) for leg in legs
    ]
    odds, delay_ms = [], 0
    for leg, answer in zip(legs, await asyncio.gather(*asking), strict=True):
        market = answer.reply
        price = 0
        open_ = isinstance(market, MarketView) and market.status is MarketStatus.OPEN
        if open_ and not market.stale:
            delay_ms = max(delay_ms, market.bet_delay_ms if market.in_play else 0)
            for selection in market.selections:
                if selection.selection_id == leg.selection_id and not selection.withdrawn:
                    price = selection.odds
        odds.append(price)
    return odds, delay_ms


async def cash_out(
    router: Router,
    clock: Waiter,
    *,
    licence: str,
    player_id: str,
    bet_id: str,
    legs: Sequence[Leg],
    offer: Offer,
    rules: CashOutRules,
    key: str,
    fingerprint: bytes,
) -> CashedOut | Refused:
    """Take an offer at the prices of now; in play, at those after the bet delay."""
    odds, delay_ms = await prices_now(router, legs)
    if delay_ms:
        await clock.sleep(delay_ms / 1000)
        odds, _ = await prices_now(router, legs)
        # What was in time when it was asked for does not become late by our own waiting.
        offer = msgspec.structs.replace(offer, expires_at_ms=offer.expires_at_ms + delay_ms)
    command = CashOut(player_id, bet_id, offer, tuple(odds), rules)
    answer = await router.ask(licence, player_id, command, key=key, fingerprint=fingerprint)
    bought: CashedOut | Refused = answer.reply
    if isinstance(bought, CashedOut):
        for change in bought.exposed:
            router.tell(BOOK, change.fixture_id, ReadAgain(change.market_id))
    return bought
