"""Placing a slip: every market is asked for room at once, then the wallet for the stake.

As with a single (`actors.placement`) a market's yes is only a hold, and the bet is the wallet's
decision alone. A slip has one hold for each of its selections; one no of a market releases all.
Selections that are joined have one price, which is the house's own (`actors.same_game`): their
markets only say that they can be had.

Where a market has too little room, or a price has moved, another stake or the prices of now may be
offered, as of a single: each market then keeps its leg's price for the player for some seconds,
under an id that says for what slip it is. Nothing is held for it, and what a market may lose is
looked at again when it is taken. What needs a trader's word is referred, as a whole. Neither is for
a slip with a bonus on it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Protocol, cast

import msgspec

from actors.base import Question, Reason, Refused
from actors.bet import BetView, Leg, PriceChange, less
from actors.book import Confirmed, hold_id
from actors.cashout import CashedOut, CashOut, known_about, slip_of
from actors.errors import NothingDone
from actors.fixture import FixtureView, GetFixture
from actors.holds import (
    AskRoom,
    ConfirmHold,
    Held,
    HoldLeg,
    KeepOffer,
    LegRoom,
    LookAgain,
    OfferKept,
    ReadAgain,
    ReleaseHold,
)
from actors.market import GetPrice, PriceView
from actors.multiple import PlaceSlip, SlipPlaced, carried, stake_of
from actors.odds import MAX_ODDS
from actors.placement import (
    BOOK,
    Agreed,
    Answer,
    LiabilityNotKnown,
    Router,
    Waiter,
    agreed_to,
    take_agreed,
)
from actors.risk.customer import ORDINARY, Factors
from actors.risk.referral import terms_of
from actors.same_game import joint_odds, leg_of
from actors.slips.bonus import Bonus, given
from actors.slips.cashout import CashOutRules, Offer
from actors.slips.exposure import largest_stake
from actors.slips.settling import Known, look
from actors.slips.slip import Selection, Slip, as_said, refuse
from actors.wallet import GetWallet, WalletView
from ledger.money import Money

MAX_ROUNDS = 3
"""Times that markets are asked for room while prices rise."""


OFFERED = (Reason.STAKE_ABOVE_LIMIT, Reason.LIABILITY_LIMIT, Reason.PRICE_CHANGED)
"""Refusals in whose place there may be an offer."""

PRICES_GOOD_MS = 2_000
"""How old the prices may be by which a bet is bought back."""


class Watch(Waiter, Protocol):
    def now_ms(self) -> int: ...


class SlipRequest(msgspec.Struct, frozen=True):
    """A slip as the player asks for it; its odds are the prices that the player was shown.

    With the id of an offer or of a referral it is what was promised, as in `BetRequest`.
    """

    slip: Slip
    currency: str
    policy: PriceChange
    factors: Factors = ORDINARY
    bonus_id: str = ""
    """That the player wants to use for it."""
    offer_id: str = ""
    referral_id: str = ""

    @property
    def promised(self) -> bool:
        return bool(self.offer_id or self.referral_id)


class _Asked(msgspec.Struct, frozen=True):
    """One selection of the slip, and which hold it has."""

    leg: int
    fixture_id: str
    market_id: str
    selection_id: str
    odds: int
    """0 at the starting price; where selections are joined, the price of all of them."""
    hold_id: str
    joined: bool


class _On(msgspec.Struct, frozen=True):
    """What was asked for, by whom, and the bonus that is on it."""

    request: SlipRequest
    bonus: Bonus | None
    licence: str
    player_id: str
    bet_id: str
    agreed: Agreed | None = None

    def with_bonus(self, slip: Slip) -> Slip:
        """Where the bonus does not fit it, without: then the wallet says no."""
        on_it = given(slip, self.bonus) if self.bonus else slip
        return slip if isinstance(on_it, Refused) else on_it

    def as_held(self, slip: Slip, asked: Sequence[_Asked], held: Sequence[Held]) -> Slip:
        """With what its markets said yes to, a boost at those prices."""
        return self.with_bonus(_as_held(slip, asked, held))


class _HeldSlip(msgspec.Struct, frozen=True):
    """What all markets said yes to: the slip at the prices that it got."""

    slip: Slip
    yes: list[Held]


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
    slip = await on_terms(router, request.slip)
    asked = _selections(slip, bet_id)
    held: _HeldSlip | Refused | None = refuse(slip)
    if held is None:
        on = await _on(router, request, slip, bet_id, licence, player_id)
        held = on if isinstance(on, Refused) else await _hold_all(router, clock, on, slip, asked)
    legs, expires_at_ms, refused = tuple[Leg, ...](), 0, None
    if isinstance(held, Refused):
        if held.reason is Reason.LIABILITY_UNKNOWN:
            raise LiabilityNotKnown(bet_id)
        refused = held
        if held.reason is Reason.REFERRAL_NEEDED:
            # In the answer that is kept, so that whoever asks again is referred once.
            refused = _with(held, referral_id=bet_id)
        elif held.reason in OFFERED and not (request.promised or request.bonus_id):
            attempt = _digest(player_id.encode(), key.encode(), fingerprint)
            refused = _with(held, **await _offer(router, request, slip, asked, attempt, player_id))
    else:
        slip = held.slip
        legs = tuple(_leg(one, yes) for one, yes in zip(asked, held.yes, strict=True))
        expires_at_ms = min(yes.expires_at_ms for yes in held.yes)
    # Where nothing was asked of the markets, the wallet says what is wrong with the slip.
    command = PlaceSlip(
        player_id, bet_id, request.currency, slip, legs, expires_at_ms, refused, request.bonus_id
    )
    try:
        answer = await router.ask(licence, player_id, command, key=key, fingerprint=fingerprint)
    except NothingDone:
        if command.legs:
            _give_back(router, request, asked)
        raise
    # When there was no answer at all the holds stay: it is not known whether the bet was placed.
    placed: SlipPlaced | Refused = answer.reply
    if isinstance(held, _HeldSlip):
        if isinstance(placed, SlipPlaced) and placed.bet_id == bet_id:
            costs = carried(slip, {})
            for one, yes in zip(asked, held.yes, strict=True):
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
    elif request.promised and isinstance(placed, Refused):
        # The wallet's no is one to every sending of the request.
        _release(router, asked)
    return placed


async def _on(
    router: Router, request: SlipRequest, slip: Slip, bet_id: str, licence: str, player_id: str
) -> _On | Refused:
    """With the bonus or the promise that it names, or why that can't be had."""
    bonus = None
    if request.bonus_id:
        bonus = await bonus_of(router, licence, player_id, request.bonus_id)
    unfit = given(slip, bonus) if isinstance(bonus, Bonus) else bonus
    if isinstance(unfit, Refused):
        return unfit
    assert not isinstance(bonus, Refused)
    if request.offer_id and not request.offer_id.endswith(f".{_name_of(slip)}"):
        return Refused(Reason.REOFFER_EXPIRED)
    agreed: Agreed | None = None
    if request.referral_id:
        wanted = terms_of(slip, request.currency)
        told = await agreed_to(
            router, licence, player_id, request.referral_id, wanted, bet_id=bet_id
        )
        if isinstance(told, Refused):
            return told
        agreed = told
    return _On(request, bonus, licence, player_id, bet_id, agreed)


async def on_terms(router: Router, slip: Slip) -> Slip:
    """The slip, each-way on the terms of its markets, which are fixed and so can be asked first."""
    if not slip.each_way:
        return slip
    views = await _prices(router, [(leg.fixture_id, *leg.selections[0]) for leg in slip.legs])
    legs = (
        msgspec.structs.replace(leg, each_way=view.terms.each_way if view else None)
        for leg, view in zip(slip.legs, views, strict=True)
    )
    return msgspec.structs.replace(slip, legs=tuple(legs))


async def bonus_of(router: Router, licence: str, player_id: str, bonus_id: str) -> Bonus | Refused:
    """The bonus, if the player can use it now."""
    wallet = (await router.ask(licence, player_id, GetWallet(player_id))).reply
    if not isinstance(wallet, WalletView):
        return Refused(Reason.UNKNOWN_PLAYER)
    found = (bonus for bonus in wallet.bonuses if bonus.bonus_id == bonus_id)
    return next(found, Refused(Reason.UNKNOWN_BONUS))


async def _prices(
    router: Router, selections: Sequence[tuple[str, str, str]]
) -> list[PriceView | None]:
    """Each selection as it is now, by its fixture, its market and itself; None where there is
    none."""
    asking = [router.ask(BOOK, one[0], GetPrice(*one)) for one in selections]
    replies = [answer.reply for answer in await asyncio.gather(*asking)]
    return [reply if isinstance(reply, PriceView) else None for reply in replies]


def _selections(slip: Slip, bet_id: str) -> list[_Asked]:
    pairs = chain.from_iterable(
        ((number, leg, selection) for selection in leg.selections)
        for number, leg in enumerate(slip.legs)
    )
    return [
        _Asked(number, leg.fixture_id, *selection, leg.odds, hold_id(bet_id, at), bool(leg.joined))
        for at, (number, leg, selection) in enumerate(pairs)
    ]


async def _hold_all(
    router: Router,
    clock: Waiter,
    on: _On,
    slip: Slip,
    asked: Sequence[_Asked],
) -> _HeldSlip | Refused:
    """A yes of every market, or the first no in the order of the legs; then nothing is held."""
    policy = on.request.policy
    priced = await _at_joint_prices(router, slip, on.request)
    if isinstance(priced, Refused):
        return priced
    priced = on.with_bonus(priced)
    held = await _hold_enough(router, on, asked, priced)
    if isinstance(held, Refused):
        return held
    got = on.as_held(priced, asked, held)
    delay_ms = max(yes.bet_delay_ms for yes in held)
    if not (delay_ms or on.agreed):
        return _HeldSlip(got, held)
    # Who can't pay must not keep others out of the markets for as long as the delay is; nor use up
    # what a trader has agreed to.
    wallet = (await router.ask(on.licence, on.player_id, GetWallet(on.player_id))).reply
    if isinstance(wallet, WalletView) and wallet.cash_minor < stake_of(priced):
        _give_back(router, on.request, asked)
        return Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": wallet.cash_minor})
    if on.agreed:
        refused = await take_agreed(
            router, on.licence, on.player_id, on.request.referral_id, on.bet_id
        )
        if refused:
            _give_back(router, on.request, asked)
            return refused
    if not delay_ms:
        return _HeldSlip(got, held)
    if any(yes.bet_delay_ms < delay_ms for yes in held):
        # The leg with the longest delay is waited for by all: theirs must not run out meanwhile.
        held = await _hold_enough(router, on, asked, got, delay_ms)
        if isinstance(held, Refused):
            return held
        got = on.as_held(got, asked, held)
    await clock.sleep(delay_ms / 1000)
    looks = [
        LookAgain(
            one.fixture_id,
            one.market_id,
            one.hold_id,
            one.odds,
            _policy(one, policy),
        )
        for one in asked
    ]
    again = await _ask_all(router, on, asked, slip, looks)
    if isinstance(again, Refused):
        return again
    priced = await _at_joint_prices(router, slip, on.request)
    if isinstance(priced, Refused):
        _give_back(router, on.request, asked)
        return priced
    now = on.as_held(priced, asked, again)
    if not _costs_no_more(got, now):
        again = await _hold_enough(router, on, asked, now)
        if isinstance(again, Refused):
            return again
        now = on.as_held(priced, asked, again)
    return _HeldSlip(now, again)


async def _hold_enough(
    router: Router,
    on: _On,
    asked: Sequence[_Asked],
    slip: Slip,
    wait_ms: int = 0,
) -> list[Held] | Refused:
    """Room for what the slip costs at the prices that it gets, until `wait_ms` have passed.

    Each market knows its own price alone. Where prices rise, the slip costs more on every leg than
    was asked for at first: then all are asked again.
    """
    stake = Money(slip.stake_minor, on.request.currency)
    for _ in range(MAX_ROUNDS):
        costs = carried(slip, {})
        holds = [
            HoldLeg(
                one.fixture_id,
                one.market_id,
                one.selection_id,
                one.hold_id,
                on.licence,
                on.player_id,
                stake,
                one.odds if one.joined else slip.legs[one.leg].odds,
                _policy(one, on.request.policy),
                costs[one.market_id, one.selection_id],
                customer_factor=on.request.factors.of_all,
                offer_id=on.request.offer_id,
                agreed_until_ms=on.agreed.until_ms if on.agreed else 0,
                wait_ms=wait_ms,
                kind_factors=on.request.factors.by_kind,
                refer_above_minor=on.request.factors.refer_above_minor,
                agreed_version=on.agreed.versions.get(one.market_id, 0) if on.agreed else 0,
                joined=one.joined,
                referable=not on.request.bonus_id,
            )
            for one in asked
        ]
        held = await _ask_all(router, on, asked, slip, holds)
        if isinstance(held, Refused):
            return held
        got = on.as_held(slip, asked, held)
        if _costs_no_more(slip, got):
            return held
        slip = got
    _give_back(router, on.request, asked)
    odds = slip.legs[asked[0].leg].odds
    return Refused(Reason.PRICE_CHANGED, facts={"leg": asked[0].leg, "odds": odds})


def _costs_no_more(asked: Slip, got: Slip) -> bool:
    """Whether room for the one is room for the other."""
    room = carried(asked, {})
    return all(cost <= room[selection] for selection, cost in carried(got, {}).items())


def _policy(one: _Asked, policy: PriceChange) -> PriceChange:
    """What a market is told: of joined selections its own price is not the one that counts."""
    return PriceChange.ANY if one.joined else policy


# Several selections under one price


async def _at_joint_prices(router: Router, slip: Slip, request: SlipRequest) -> Slip | Refused:
    """The slip with what is joined at the house's price now, if the player takes that; or at the
    price that was promised."""
    if request.promised:
        return slip
    now, policy = await joined(router, slip), request.policy
    if isinstance(now, Refused):
        return now
    for number, (leg, then) in enumerate(zip(slip.legs, now.legs, strict=True)):
        better = then.odds > leg.odds and policy is PriceChange.BETTER
        if then.odds != leg.odds and policy is not PriceChange.ANY and not better:
            return Refused(Reason.PRICE_CHANGED, facts={"leg": number, "odds": then.odds})
    return now


async def joined(router: Router, slip: Slip) -> Slip | Refused:
    """The slip with what is joined at the house's price now, whatever was asked for."""
    legs = list(slip.legs)
    for number, leg in enumerate(legs):
        if leg.joined:
            odds = await _price_together(router, leg.fixture_id, leg.selections)
            if not odds:
                why = "there is no price for them together"
                return Refused(Reason.CORRELATED_LEGS, why, {"leg": number})
            legs[number] = msgspec.structs.replace(leg, odds=odds)
    return msgspec.structs.replace(slip, legs=tuple(legs))


async def _price_together(router: Router, fixture_id: str, selections: Sequence[Selection]) -> int:
    """What the house asks for those selections of a fixture together; 0 where it does not."""
    views = await _prices(router, [(fixture_id, *selection) for selection in selections])
    return await _joint_price(router, fixture_id, selections, views)


async def _joint_price(
    router: Router,
    fixture_id: str,
    selections: Sequence[Selection],
    views: Sequence[PriceView | None],
) -> int:
    """The same, where they are known as they are now."""
    legs = []
    for view, (_, selection_id) in zip(views, selections, strict=True):
        known = leg_of(view.kind, selection_id, view.terms.line_quarters) if view else None
        if known is None:
            return 0
        legs.append(known)
    fixture = (await router.ask(BOOK, fixture_id, GetFixture(fixture_id))).reply
    if not isinstance(fixture, FixtureView) or fixture.model is None:
        return 0
    return joint_odds(fixture.model, legs)


async def _ask_all(
    router: Router,
    on: _On,
    asked: Sequence[_Asked],
    slip: Slip,
    questions: Sequence[HoldLeg | LookAgain],
) -> list[Held] | Refused:
    """A yes of every market; else what is held is given back."""
    answers = await _replies(router, asked, questions)
    if isinstance(answers, BaseException):
        _give_back(router, on.request, asked)
        raise answers
    replies: list[Held | Refused] = answers
    held = [reply for reply in replies if isinstance(reply, Held)]
    if len(held) == len(replies):
        return held
    _give_back(router, on.request, asked)
    # What no stake or price could mend comes first, and last what a trader could.
    noes = [
        (one.leg, reply)
        for one, reply in zip(asked, replies, strict=True)
        if isinstance(reply, Refused)
    ]
    leg, refused = min(noes, key=lambda no: _mended(no[1].reason))
    facts: dict[str, int | str] = {"leg": leg}
    if refused.reason is Reason.REFERRAL_NEEDED:
        facts["prices"] = _prices_got(slip, asked, replies)
        facts["versions"] = _versions_got(replies)
    return msgspec.structs.replace(refused, facts=facts | refused.facts)


async def _replies(
    router: Router, asked: Sequence[_Asked], questions: Sequence[Question]
) -> list[Any] | BaseException:
    """What their markets answer, or why one of them did not."""
    asking = [
        router.ask(BOOK, one.fixture_id, question)
        for one, question in zip(asked, questions, strict=True)
    ]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    failure = next((answer for answer in answers if isinstance(answer, BaseException)), None)
    return failure or [answer.reply for answer in cast(list[Answer], answers)]


def _mended(reason: Reason) -> int:
    return 2 if reason is Reason.REFERRAL_NEEDED else int(reason in OFFERED)


def _as_held(slip: Slip, asked: Sequence[_Asked], held: Sequence[Held]) -> Slip:
    """At the prices that it got, and with what its markets say of those who do not run."""
    got = {one.leg: (one, yes) for one, yes in zip(asked, held, strict=True)}
    legs = []
    for number, leg in enumerate(slip.legs):
        one, yes = got[number]
        odds = leg.odds if one.joined or not one.odds else yes.odds
        legs.append(msgspec.structs.replace(leg, odds=odds, ante_post=yes.ante_post))
    return msgspec.structs.replace(slip, legs=tuple(legs))


def _leg(one: _Asked, held: Held) -> Leg:
    return Leg(
        one.fixture_id,
        one.market_id,
        one.selection_id,
        held.odds if one.odds else 0,
        held.odds_version,
        held.fixture_name,
        held.market_name,
        held.selection_name,
        held.in_play,
    )


def _release(router: Router, asked: Sequence[_Asked]) -> None:
    for one in asked:
        router.tell(BOOK, one.fixture_id, ReleaseHold(one.market_id, one.hold_id))


def _give_back(router: Router, request: SlipRequest, asked: Sequence[_Asked]) -> None:
    """Not of what was promised, as with a single (`placement`)."""
    if not request.promised:
        _release(router, asked)


# What can be had in its place


async def _offer(
    router: Router,
    request: SlipRequest,
    slip: Slip,
    asked: Sequence[_Asked],
    attempt: str,
    player_id: str,
) -> dict[str, int | str]:
    """Have the markets keep what can be had in place of a refused slip, and say it; or nothing."""
    factors = request.factors
    questions = [
        AskRoom(
            one.fixture_id,
            one.market_id,
            one.selection_id,
            player_id,
            one.odds,
            factors.of_all,
            factors.by_kind,
            factors.refer_above_minor,
        )
        for one in asked
    ]
    rooms = await _replies(router, asked, questions)
    if isinstance(rooms, BaseException) or not all(isinstance(one, LegRoom) for one in rooms):
        return {}
    offered = await _at_prices(router, slip, asked, rooms)
    if isinstance(offered, Refused):
        return {}
    most_minor = min(slip.stake_minor, *(room.max_stake_minor for room in rooms))
    room = {
        (one.market_id, one.selection_id): room.liability_minor
        for one, room in zip(asked, rooms, strict=True)
    }
    stake_minor = largest_stake(offered, room, most_minor)
    valid_ms = min(room.valid_ms for room in rooms)
    if not valid_ms or stake_minor < max(1, *(room.min_stake_minor for room in rooms)):
        return {}
    offered = msgspec.structs.replace(offered, stake_minor=stake_minor)
    # Asked again, because the first answer was lost, it is the same offer: the one that is kept
    # under the key has to be good.
    offer_id = f"{attempt}.{_name_of(offered)}"
    keeping = [
        KeepOffer(
            one.fixture_id,
            one.market_id,
            one.selection_id,
            player_id,
            offer_id,
            stake_minor,
            offered.legs[one.leg].odds,
            one.joined,
            valid_ms,
        )
        for one in asked
    ]
    kept = await _replies(router, asked, keeping)
    if isinstance(kept, BaseException) or not all(isinstance(one, OfferKept) for one in kept):
        return {}
    return {
        "offer_id": offer_id,
        "offer_stake_minor": stake_minor,
        "offer_prices": prices_text(leg.odds for leg in offered.legs),
        "offer_valid_until_ms": min(one.valid_until_ms for one in kept),
    }


async def _at_prices(
    router: Router, slip: Slip, asked: Sequence[_Asked], rooms: Sequence[LegRoom]
) -> Slip | Refused:
    """The slip at the prices of now."""
    legs = list(slip.legs)
    for one, room in zip(asked, rooms, strict=True):
        if not one.joined:
            legs[one.leg] = msgspec.structs.replace(legs[one.leg], odds=room.odds)
    return await joined(router, msgspec.structs.replace(slip, legs=tuple(legs)))


def _name_of(slip: Slip) -> str:
    """By what the player says of it: who takes an offer has to say the same."""
    return _digest(msgspec.msgpack.encode(as_said(slip)))


def _digest(*parts: bytes) -> str:
    return hashlib.blake2b(b" ".join(parts), digest_size=12).hexdigest()


def _with(refused: Refused, **more: int | str) -> Refused:
    return msgspec.structs.replace(refused, facts={**refused.facts, **more})


def _prices_got(slip: Slip, asked: Sequence[_Asked], replies: Sequence[Held | Refused]) -> str:
    """Of each leg the price that it would have; a market that wants a trader's word says it."""
    odds = [leg.odds for leg in slip.legs]
    for one, reply in zip(asked, replies, strict=True):
        if one.odds and not one.joined:
            got = reply.odds if isinstance(reply, Held) else int(reply.facts["odds"])
            odds[one.leg] = got
    return prices_text(odds)


def _versions_got(replies: Sequence[Held | Refused]) -> str:
    """Of the prices of each selection's market."""
    said = (
        reply.odds_version if isinstance(reply, Held) else reply.facts["odds_version"]
        for reply in replies
    )
    return " ".join(map(str, said))


def prices_text(odds: Iterable[int]) -> str:
    """Prices leg by leg, for the facts of a refusal."""
    return " ".join(map(str, odds))


def at_prices(slip: Slip, text: str) -> Slip:
    """The slip at the prices that such a text says."""
    legs = (
        msgspec.structs.replace(leg, odds=int(odds))
        for leg, odds in zip(slip.legs, text.split(), strict=True)
    )
    return msgspec.structs.replace(slip, legs=tuple(legs))


# Cashing out


class Now(msgspec.Struct, frozen=True):
    """What the legs of a bet can be had at now."""

    odds: tuple[int, ...]
    """Of each leg of its slip; 0 where there are none."""
    less: tuple[Known, ...]
    """Of each selection, what withdrawals have taken off the price it was bet at."""
    delay_ms: int
    """The longest bet delay of their markets."""


async def prices_now(router: Router, bet: BetView | None) -> Now:
    """Of a bet that there is not, nothing.

    While one of its markets settles there is nothing to be had: the bet may be void, or a leg that
    it knows as won may have lost, and not know it yet. So what is known is asked for, too.
    """
    if bet is None:
        return Now((), (), 0)
    slip, known = slip_of(bet), known_about(bet)
    sides = look(slip, known, MAX_ODDS).sides
    asked = [(leg.fixture_id, *selection) for leg in slip.legs for selection in leg.selections]
    found = await _prices(router, asked)
    if any(view is None or view.settling for view in found):
        return Now((0,) * len(slip.legs), (Known(),) * len(bet.legs), 0)
    undecided = {
        selection
        for number, leg in enumerate(slip.legs)
        if any(side.results[number] is None for side in sides)
        for selection in leg.selections
        if selection not in known
    }
    views = {
        (one[1], one[2]): view
        for one, view in zip(asked, found, strict=True)
        if view is not None and (one[1], one[2]) in undecided
    }
    odds = []
    for leg in slip.legs:
        of = [selection for selection in leg.selections if selection in views]
        each = [views[selection].odds for selection in of]
        if len(of) > 1 and all(each):
            together = [views[selection] for selection in of]
            odds.append(await _joint_price(router, leg.fixture_id, of, together))
        else:
            odds.append(each[0] if len(each) == 1 else 0)
    less = tuple(_less(views.get(leg.selection), leg) for leg in bet.legs)
    delays = [view.bet_delay_ms for view in views.values()]
    return Now(tuple(odds), less, max(delays, default=0))


def _less(view: PriceView | None, leg: Leg) -> Known:
    off = view.off if view else None
    return less(leg, Known(), off) if off and leg.odds else Known()


async def cash_out(
    router: Router,
    clock: Watch,
    *,
    licence: str,
    player_id: str,
    bet_id: str,
    bet: BetView | None,
    offer: Offer,
    rules: CashOutRules,
    key: str,
    fingerprint: bytes,
) -> CashedOut | Refused:
    """Take an offer at the prices of now; in play, at those after the bet delay."""
    good_until_ms = clock.now_ms() + PRICES_GOOD_MS
    now = await prices_now(router, bet)
    if now.delay_ms:
        delay_ms = now.delay_ms
        await clock.sleep(delay_ms / 1000)
        good_until_ms = clock.now_ms() + PRICES_GOOD_MS
        now = await prices_now(router, bet)
        # What was in time when it was asked for does not become late by our own waiting.
        offer = msgspec.structs.replace(offer, expires_at_ms=offer.expires_at_ms + delay_ms)
    command = CashOut(
        player_id,
        bet_id,
        offer,
        now.odds,
        rules,
        less=now.less,
        prices_good_until_ms=good_until_ms,
    )
    answer = await router.ask(licence, player_id, command, key=key, fingerprint=fingerprint)
    bought: CashedOut | Refused = answer.reply
    if isinstance(bought, CashedOut):
        for change in bought.exposed:
            router.tell(BOOK, change.fixture_id, ReadAgain(change.market_id))
    return bought
