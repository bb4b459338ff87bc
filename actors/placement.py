"""Placing a bet: the market is asked for room, then the wallet for the stake.

The market's answer is only a hold, in memory, which runs out by itself. The bet is the wallet's
decision, journaled once, with the player. So whatever is lost between the two, a bet exists
exactly if its player's partition says so, and a hold of which nothing more was heard is resolved
by asking there (`resolve_hold`).
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import msgspec

from actors.base import Command, Question, Reason, Refused, Several
from actors.bet import BetPlaced, HoldResolved, Leg, PlaceBet, PriceChange, ResolveHold
from actors.book import Confirmed, Hold, bet_of
from actors.errors import NothingDone
from actors.holds import ConfirmHold, Held, HoldStake, HoldWatched, LookAgain, ReleaseHold
from actors.risk.customer import ORDINARY, Factors
from actors.risk.referral import (
    GetReferral,
    ReferralState,
    ReferralTaken,
    ReferralView,
    TakeReferral,
    Terms,
)
from actors.wallet import GetWallet, WalletView
from ledger.money import Money

BOOK = "book"


class Answer(Protocol):
    @property
    def reply(self) -> Any: ...
    @property
    def partition(self) -> str: ...
    @property
    def block_seq(self) -> int: ...


class Router(Protocol):
    """What placement and settlement need of the way to the actors."""

    async def ask(
        self,
        scope: str,
        routing_id: str,
        message: Command | Question | Several,
        *,
        key: str = "",
        fingerprint: bytes = b"",
        by: str = "",
        why: str = "",
    ) -> Answer: ...

    def tell(self, scope: str, routing_id: str, message: Question) -> None: ...


class Waiter(Protocol):
    async def sleep(self, seconds: float) -> None: ...


class BetRequest(msgspec.Struct, frozen=True):
    """A single bet as the player asks for it; `odds` is the price that the player was shown.

    With the id of an offer or of a referral its stake and odds are what was promised, and `bet_id`
    has to be the same whenever it is asked for again: a promise is kept for one bet.
    """

    fixture_id: str
    market_id: str
    selection_id: str
    stake: Money
    odds: int
    policy: PriceChange
    offer_id: str = ""
    referral_id: str = ""
    factors: Factors = ORDINARY

    @property
    def promised(self) -> bool:
        return bool(self.offer_id or self.referral_id)


class Agreed(msgspec.Struct, frozen=True):
    """A trader's yes to a bet."""

    until_ms: int
    versions: dict[str, int]
    """Of the prices of its markets, by which the trader has said it."""


class LiabilityNotKnown(Exception):
    """The market has just come back and still reads its liability. Nothing was done."""


async def place(
    router: Router,
    clock: Waiter,
    request: BetRequest,
    *,
    bet_id: str,
    licence: str,
    player_id: str,
    key: str,
    fingerprint: bytes,
) -> BetPlaced | Refused:
    """Place a bet or say why not; `bet_id` is new, and is the bet's if it is not a repetition.

    The wallet is always asked, also when the market has refused: the first answer to `key` is
    kept there and is the one that counts.
    """
    held = await _hold(router, clock, request, bet_id, licence, player_id)
    if isinstance(held, Refused):
        if held.reason is Reason.LIABILITY_UNKNOWN:
            raise LiabilityNotKnown(request.market_id)
        if held.reason is Reason.REFERRAL_NEEDED:
            # In the answer that is kept, so that whoever asks again is referred once.
            facts = {**held.facts, "referral_id": bet_id}
            held = msgspec.structs.replace(held, facts=facts)
        command = PlaceBet(player_id, bet_id, request.stake, (), 0, held)
    else:
        leg = Leg(
            request.fixture_id,
            request.market_id,
            request.selection_id,
            held.odds,
            held.odds_version,
            held.fixture_name,
            held.market_name,
            held.selection_name,
            held.in_play,
        )
        command = PlaceBet(player_id, bet_id, request.stake, (leg,), held.expires_at_ms)
    try:
        answer = await router.ask(licence, player_id, command, key=key, fingerprint=fingerprint)
    except NothingDone:
        _give_back(router, request, bet_id)
        raise
    # When there was no answer at all the hold stays: it is not known whether the bet was placed.
    placed: BetPlaced | Refused = answer.reply
    if isinstance(placed, BetPlaced) and placed.bet_id == bet_id:
        if isinstance(held, Held):
            bet = Confirmed(
                answer.partition,
                answer.block_seq,
                request.selection_id,
                request.stake.minor,
                held.odds,
            )
            router.tell(BOOK, request.fixture_id, ConfirmHold(request.market_id, bet_id, bet))
    elif isinstance(held, Held) or request.promised:
        # The wallet's no is one to every sending of the request.
        router.tell(BOOK, request.fixture_id, ReleaseHold(request.market_id, bet_id))
    return placed


async def _hold(
    router: Router, clock: Waiter, request: BetRequest, bet_id: str, licence: str, player_id: str
) -> Held | Refused:
    agreed: Agreed | None = None
    if request.referral_id:
        wanted = Terms(
            request.fixture_id, request.market_id, request.selection_id, request.stake, request.odds
        )
        told = await agreed_to(
            router, licence, player_id, request.referral_id, wanted, bet_id=bet_id
        )
        if isinstance(told, Refused):
            return told
        agreed = told
    hold: HoldStake | HoldWatched = HoldStake(
        request.fixture_id,
        request.market_id,
        request.selection_id,
        bet_id,
        licence,
        player_id,
        request.stake,
        request.odds,
        request.policy,
        customer_factor=request.factors.of_all,
        offer_id=request.offer_id,
        agreed_until_ms=agreed.until_ms if agreed else 0,
        kind_factors=request.factors.by_kind or None,
    )
    if request.factors.refer_above_minor or agreed:
        said = msgspec.structs.asdict(hold)
        hold = HoldWatched(
            **said,
            refer_above_minor=request.factors.refer_above_minor,
            agreed_version=agreed.versions.get(request.market_id, 0) if agreed else 0,
        )
    held: Held | Refused = (await router.ask(BOOK, request.fixture_id, hold)).reply
    if not isinstance(held, Held) or not (held.bet_delay_ms or agreed):
        return held
    # Who can't pay must not keep others out of the market for as long as the delay is; nor use up
    # what a trader has agreed to.
    wallet = (await router.ask(licence, player_id, GetWallet(player_id))).reply
    if isinstance(wallet, WalletView) and wallet.cash_minor < request.stake.minor:
        _give_back(router, request, bet_id)
        return Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": wallet.cash_minor})
    if agreed:
        refused = await take_agreed(router, licence, player_id, request.referral_id, bet_id)
        if refused:
            _give_back(router, request, bet_id)
            return refused
    if not held.bet_delay_ms:
        return held
    await clock.sleep(held.bet_delay_ms / 1000)
    again = LookAgain(request.fixture_id, request.market_id, bet_id, request.odds, request.policy)
    answer = await router.ask(BOOK, request.fixture_id, again)
    return cast(Held | Refused, answer.reply)


def _give_back(router: Router, request: BetRequest, bet_id: str) -> None:
    """Not of what was promised: the same request may be under way a second time, and its bet at the
    wallet. That hold goes with the wallet's word, or runs out."""
    if not request.promised:
        router.tell(BOOK, request.fixture_id, ReleaseHold(request.market_id, bet_id))


# What a trader has agreed to, of a single or of a slip


async def agreed_to(
    router: Router, licence: str, player_id: str, referral_id: str, wanted: Terms, *, bet_id: str
) -> Agreed | Refused:
    """The trader's yes to just this bet, or why it can't be had on those terms."""
    question = GetReferral(player_id, referral_id)
    found = (await router.ask(licence, player_id, question)).reply
    if not isinstance(found, ReferralView):
        return cast(Refused, found)
    asked_again = found.state is ReferralState.TAKEN and found.bet_id == bet_id
    if found.accepted is None or not (asked_again or found.state is ReferralState.ACCEPTED):
        return Refused(Reason.REFERRAL_OVER, facts={"state": found.state})
    if not wanted.is_same(found.accepted):
        facts: dict[str, int | str] = {
            "stake_minor": found.accepted.stake.minor,
            "odds": found.accepted.odds,
        }
        return Refused(Reason.REFERRAL_OVER, "the trader has accepted other terms", facts)
    return Agreed(found.expires_at_ms, found.versions)


async def take_agreed(
    router: Router, licence: str, player_id: str, referral_id: str, bet_id: str
) -> Refused | None:
    """Use up what was agreed to, for that bet; or why not."""
    take = TakeReferral(player_id, referral_id, bet_id)
    taken = (await router.ask(licence, player_id, take)).reply
    return None if isinstance(taken, ReferralTaken) else cast(Refused, taken)


async def resolve_hold(router: Router, hold: Hold) -> HoldResolved | None:
    """Ask the player's partition about a hold that has run out unanswered; None: ask again."""
    bet_id = bet_of(hold.bet_id)
    command = ResolveHold(hold.player_id, bet_id, hold.expires_at_ms)
    told = (await router.ask(hold.licence, hold.player_id, command, by="book")).reply
    return told if isinstance(told, HoldResolved) else None
