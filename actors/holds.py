"""What placement asks of a market: room for a bet on its way, without a trace in the journal.

    HoldStake -> Held, LookAgain after a bet delay -> ConfirmHold or ReleaseHold

of a slip each leg's market with `HoldLeg`, and where one says no, for an offer in its place,

    AskRoom -> LegRoom, KeepOffer -> OfferKept

and what its settlement and its keeper ask of the holds that there are.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from actors.base import Question, Reason, Refused, ref
from actors.bet import PriceChange
from actors.book import HOLD_MS, WHOLE, Book, Confirmed, Hold, Offer, liability_at
from actors.fixture import Fixture
from actors.market import MAX_BET_DELAY_MS, Limits, Market
from actors.odds import MAX_ODDS, MIN_ODDS
from ledger.money import MAX_MINOR, Money


class Held(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The market's yes: the price the bet will have, and until when."""

    odds: int
    odds_version: int
    bet_delay_ms: int
    expires_at_ms: int
    fixture_name: str
    market_name: str
    selection_name: str
    in_play: bool
    ante_post: bool = False


class TakeRoom(Question, frozen=True, array_like=True, tag=True):
    """Take room in the book for a bet about to be placed."""

    watched: ClassVar[bool] = False
    """Whether more is said of it than of an ordinary single."""

    fixture_id: str
    market_id: str
    selection_id: str
    bet_id: str
    licence: str
    player_id: str
    stake: Money
    odds: int
    policy: PriceChange
    liability_minor: int = 0
    """What the bet can cost beyond its stake if this selection wins, with the leg at `odds`; 0: as
    a single's."""
    customer_factor: int = WHOLE
    """In ten-thousandths: how much of the largest stake the customer may have, and, below 10,000,
    of the room. Above it the stake may be larger, but the room is the same for all."""
    offer_id: str = ""
    """The offer that the player takes: its stake and price are those of the offer."""
    agreed_until_ms: int = 0
    """Until when a trader has agreed to this stake at this price (`actors.risk.referral`)."""
    wait_ms: int = 0
    """How long the bet waits for the bet delay of another of its markets."""
    kind_factors: dict[str, int] | None = None
    """Customer factors for markets of some kinds, in place of the one for all."""

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> Held | Refused:
        book = market.book
        if self.bet_id not in book.holds:
            return self._answer(now_ms, market, fixture)
        had = book.release(self.bet_id)
        assert had is not None
        answer = self._answer(now_ms, market, fixture)
        if isinstance(answer, Refused):
            # Asked again, because the first answer was lost: what it has had did not count against
            # it. But maybe that answer was not lost, and its bet is on its way to the wallet.
            book.put_back(had)
        else:
            again = book.holds[self.bet_id]
            again.result_version, again.broken = had.result_version, had.broken
        return answer

    def _answer(self, now_ms: int, market: Market, fixture: Fixture) -> Held | Refused:
        book = market.book
        promised = self.offer_id != "" or self.agreed_until_ms != 0
        refused = market.refuse_price(self.selection_id, self.odds, self.policy, now_ms, promised)
        changed = refused is not None and refused.reason is Reason.PRICE_CHANGED
        if refused and not (changed and market.limits.reoffer_ms):
            return refused
        if fixture.over:  # whatever its market says
            return Refused(Reason.MARKET_CLOSED)
        if self.stake.currency != market.currency:
            return refused or Refused(Reason.CURRENCY_MISMATCH, facts={"currency": market.currency})
        if promised:
            if self.agreed_until_ms and self._agreed_version < market.gone_version:
                # At the price of before it would go uncut, as if it knew of the withdrawal.
                why = "a runner was withdrawn since that price was given"
                return Refused(Reason.REOFFER_EXPIRED, why)
            if not self._keeps(now_ms, book):
                return Refused(Reason.REOFFER_EXPIRED)
        stake_minor, limits = self.stake.minor, market.limits
        if stake_minor < limits.min_stake_minor:
            return refused or Refused(
                Reason.STAKE_TOO_SMALL, facts={"min_stake_minor": limits.min_stake_minor}
            )
        if promised:
            odds = self._promised_odds(market, now_ms)
        else:
            odds = market.odds_at(self.selection_id, now_ms)
        hold = Hold(
            self.bet_id,
            self.player_id,
            self.licence,
            self.selection_id,
            stake_minor,
            odds,
            now_ms + max(market.bet_delay_ms, min(self.wait_ms, MAX_BET_DELAY_MS)) + HOLD_MS,
        )
        factor = self.customer_factor
        if self.kind_factors:
            factor = self.kind_factors.get(market.kind, factor)
        ordinary = (
            not promised and factor == WHOLE and not self.liability_minor and not self.watched
        )
        if not ordinary:
            hold.liability_minor = liability_at(self.liability_minor, stake_minor, self.odds, odds)
            hold.promised = promised
            hold.customer_factor = WHOLE if self.agreed_until_ms else factor
        hold.result_version = market.result_version
        if refused:
            return self._with_offer(now_ms, hold, market, fixture, refused)
        if stake_minor > limits.max_stake_minor or limits.refer_above_minor or not ordinary:
            refused = self._refuse_stake(hold, limits)
            if refused:
                if refused.reason is Reason.REFERRAL_NEEDED:
                    # A yes to what was asked for is one to the price of now, whenever it comes.
                    facts = refused.facts | {"odds_version": market.odds_version}
                    refused = msgspec.structs.replace(refused, facts=facts)
                return self._with_offer(now_ms, hold, market, fixture, refused)
        if not market.knows_liability:
            return Refused(Reason.LIABILITY_UNKNOWN)
        refused = market.refuse_room(hold, fixture)
        if refused:
            return self._with_offer(now_ms, hold, market, fixture, refused)
        # From here the room is taken; it had none.
        book.put_back(hold)
        if self.offer_id:
            book.offers[self._offer_place].bet_id = self.bet_id
        return _held(market, fixture, hold)

    def _keeps(self, now_ms: int, book: Book) -> bool:
        """Whether what was promised is what is asked for, and in time."""
        if not self._is_sound():
            return False
        if self.agreed_until_ms:
            return now_ms <= self.agreed_until_ms
        offer = book.offers.get(self._offer_place)
        return (
            offer is not None
            and offer.offer_id == self.offer_id
            and offer.selection_id == self.selection_id
            and offer.stake_minor == self.stake.minor
            and offer.odds == self.odds
            and offer.bet_id in ("", self.bet_id)
            and now_ms <= offer.valid_until_ms
        )

    @property
    def _agreed_version(self) -> int:
        """Of the market's prices, when a trader agreed; 0 where nobody has said."""
        return 0

    @property
    def _offer_place(self) -> str:
        """Where the book keeps the player's offer."""
        return self.player_id

    def _is_sound(self) -> bool:
        """Whether the price that was promised is one."""
        return MIN_ODDS <= self.odds <= MAX_ODDS

    def _promised_odds(self, market: Market, now_ms: int) -> int:
        return self.odds

    def _refer_above(self, factor: int, limits: Limits) -> int:
        """The stake above which a trader is asked; 0: none is."""
        # Who may have less than others is not referred, but told so.
        return limits.refer_above_minor if factor >= WHOLE else 0

    def _refuse_stake(self, hold: Hold, limits: Limits) -> Refused | None:
        """Why the stake is too large, unless it was promised."""
        if hold.promised:
            return None
        above = self._refer_above(hold.customer_factor, limits)
        most = _largest_stake(limits, hold.customer_factor)
        most = min(most, above) if above else most
        # Who asks for more than a trader is asked about is told so, too.
        if above and above < hold.stake_minor <= (limits.refer_up_to_minor or MAX_MINOR):
            facts: dict[str, int | str] = {"max_stake_minor": most, "odds": hold.odds}
            return Refused(Reason.REFERRAL_NEEDED, facts=facts)
        if hold.stake_minor > most:
            return Refused(Reason.STAKE_ABOVE_LIMIT, facts={"max_stake_minor": most})
        return None

    def _with_offer(
        self, now_ms: int, hold: Hold, market: Market, fixture: Fixture, refused: Refused
    ) -> Refused:
        """The refusal, with what can be had in its place: a smaller stake at the same price, or the
        price of now, with a smaller stake if it has to be.

        Nothing is offered in place of an offer; nor for one leg of a slip: the others have to be
        asked first (`AskRoom`, `KeepOffer`).
        """
        limits = market.limits
        wanted = refused.reason in (
            Reason.STAKE_ABOVE_LIMIT,
            Reason.LIABILITY_LIMIT,
            Reason.PRICE_CHANGED,
        )
        offering = limits.reoffer_ms and market.knows_liability and wanted
        if not offering or hold.promised or hold.liability_minor:
            return refused
        if refused.reason is Reason.PRICE_CHANGED:
            above = self._refuse_stake(hold, limits)
            most = int(above.facts["max_stake_minor"]) if above else hold.stake_minor
        else:
            most = int(refused.facts["max_stake_minor"])
        none = market.refuse_room(msgspec.structs.replace(hold, stake_minor=most), fixture)
        if none:
            most = int(none.facts.get("max_stake_minor", 0))
        if most < limits.min_stake_minor:
            return refused
        until_ms = now_ms + limits.reoffer_ms
        # Asked again, because the first answer was lost, it is the same offer: the one that is kept
        # under the key has to be good.
        last = market.book.offers.get(self.player_id)
        terms_now = (self.selection_id, most, hold.odds, "")
        same = last and terms_now == (
            last.selection_id,
            last.stake_minor,
            last.odds,
            last.bet_id,
        )
        offer_id = last.offer_id if last and same else self.bet_id
        if last and not same and last.offer_id.startswith(self.bet_id):
            # Other terms than it was told of a moment ago, which somebody else may have been, too.
            offer_id = f"{self.bet_id}-{most}-{hold.odds}"
        market.book.offer(
            self.player_id, Offer(offer_id, self.selection_id, most, hold.odds, until_ms)
        )
        terms = {
            "offer_id": offer_id,
            "offer_stake_minor": most,
            "offer_odds": hold.odds,
            "offer_valid_until_ms": until_ms,
        }
        return msgspec.structs.replace(refused, facts=refused.facts | terms)


def _largest_stake(limits: Limits, factor: int) -> int:
    """That a customer may have without a trader's word."""
    most, refer = limits.max_stake_minor, limits.refer_above_minor
    if factor != WHOLE:
        most = min(most * factor // WHOLE, MAX_MINOR)
    return min(most, refer) if refer else most


class HoldStake(TakeRoom, frozen=True, array_like=True, tag=True):
    """For a single."""


class TakeRoomWatched(TakeRoom, frozen=True, array_like=True, tag=True):
    watched: ClassVar[bool] = True

    refer_above_minor: int = 0
    """The customer's stakes above it go to a trader, whatever the factor."""
    agreed_version: int = 0
    """Of the market's prices, when a trader agreed to the bet: a withdrawal since undoes that."""

    @property
    def _agreed_version(self) -> int:
        return self.agreed_version

    def _refer_above(self, factor: int, limits: Limits) -> int:
        of_all = TakeRoom._refer_above(self, factor, limits)
        return min(self.refer_above_minor or of_all, of_all or self.refer_above_minor)


class HoldWatched(TakeRoomWatched, frozen=True, array_like=True, tag=True):
    """For a single of a customer whose bets go to a trader, or that a trader has agreed to."""


class HoldLeg(TakeRoomWatched, frozen=True, array_like=True, tag=True):
    """For one selection of a slip; `stake` is that of all its lines."""

    joined: bool = False
    """It is under one price with others, which is the one that `odds` says and is promised."""
    referable: bool = True
    """Whether a trader is asked about the slip: not with a bonus on it."""

    @property
    def _offer_place(self) -> str:
        return _place_of_leg(self.player_id, self.selection_id)

    def _is_sound(self) -> bool:
        return not self.odds or TakeRoom._is_sound(self)

    def _promised_odds(self, market: Market, now_ms: int) -> int:
        return market.odds_at(self.selection_id, now_ms) if self.joined else self.odds

    def _refuse_stake(self, hold: Hold, limits: Limits) -> Refused | None:
        refused = TakeRoom._refuse_stake(self, hold, limits)
        if refused and refused.reason is Reason.REFERRAL_NEEDED and not self.referable:
            facts = {"max_stake_minor": refused.facts["max_stake_minor"]}
            return Refused(Reason.STAKE_ABOVE_LIMIT, facts=facts)
        return refused


def _place_of_leg(player_id: str, selection_id: str) -> str:
    """Where a book keeps the offer of a leg: beside those of singles and of other selections."""
    return f"{player_id} {selection_id}"


class LookAgain(Question, frozen=True, array_like=True, tag=True):
    """The bet delay has passed: is the price still to be had? A refusal gives the room back, but
    that of what was promised: its request may have come twice, and the first be at the wallet."""

    fixture_id: str
    market_id: str
    bet_id: str
    odds: int
    policy: PriceChange

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> Held | Refused:
        hold = market.book.holds.get(self.bet_id)
        if hold is None:
            return Refused(Reason.HOLD_EXPIRED)
        answer = self._answer(now_ms, market, fixture, hold)
        if hold.promised and isinstance(answer, Refused):
            market.book.put_back(hold)
        return answer

    def _answer(self, now_ms: int, market: Market, fixture: Fixture, hold: Hold) -> Held | Refused:
        refused = market.refuse_price(
            hold.selection_id, self.odds, self.policy, now_ms, hold.promised
        )
        market.book.release(self.bet_id)
        if hold.broken:
            return Refused(Reason.MARKET_SUSPENDED)
        if fixture.over:
            return Refused(Reason.MARKET_CLOSED)
        if refused:
            return refused
        odds = hold.odds if hold.promised else market.odds_at(hold.selection_id, now_ms)
        hold.liability_minor = liability_at(hold.liability_minor, hold.stake_minor, hold.odds, odds)
        hold.odds = odds
        refused = market.refuse_room(hold, fixture)
        if refused:
            return refused
        market.book.hold(hold)
        return _held(market, fixture, hold)


def _held(market: Market, fixture: Fixture, hold: Hold) -> Held:
    return Held(
        hold.odds,
        market.odds_version,
        market.bet_delay_ms if market.in_play else 0,
        hold.expires_at_ms,
        fixture.name,
        market.name,
        market.selections[hold.selection_id].name,
        market.in_play,
        market.terms.ante_post,
    )


# An offer in place of a slip


class LegRoom(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """On what terms a market would have a leg now."""

    odds: int
    min_stake_minor: int
    max_stake_minor: int
    liability_minor: int
    """What the leg may carry."""
    valid_ms: int
    """How long an offer is good; at 0 none is made."""


class AskRoom(Question, frozen=True, array_like=True, tag=True):
    """What room is there for a leg? Nothing is taken by it."""

    fixture_id: str
    market_id: str
    selection_id: str
    player_id: str
    odds: int
    """0 at the starting price; else any: the price of now is what is wanted."""
    customer_factor: int = WHOLE
    kind_factors: dict[str, int] = msgspec.field(default_factory=dict)
    refer_above_minor: int = 0

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> LegRoom | Refused:
        refused = market.refuse_price(self.selection_id, self.odds, PriceChange.ANY, now_ms)
        if refused:
            return refused
        if fixture.over:
            return Refused(Reason.MARKET_CLOSED)
        if not market.knows_liability:
            return Refused(Reason.LIABILITY_UNKNOWN)
        factor = self.kind_factors.get(market.kind, self.customer_factor)
        # Of a stake that costs as much as it is, the largest there is room for is the room.
        probe = Hold(
            "",
            self.player_id,
            "",
            self.selection_id,
            MAX_MINOR,
            0,
            0,
            liability_minor=MAX_MINOR,
            customer_factor=factor,
        )
        full = market.refuse_room(probe, fixture)
        if full and full.reason is not Reason.LIABILITY_LIMIT:
            return full
        limits = market.limits
        most = _largest_stake(limits, factor)
        return LegRoom(
            market.odds_at(self.selection_id, now_ms) if self.odds else 0,
            limits.min_stake_minor,
            min(most, self.refer_above_minor or most),
            int(full.facts["max_stake_minor"]) if full else MAX_MINOR,
            limits.reoffer_ms,
        )


class OfferKept(msgspec.Struct, frozen=True, array_like=True, tag=True):
    valid_until_ms: int


class KeepOffer(Question, frozen=True, array_like=True, tag=True):
    """Promise a leg's price to a player, with the stake of its whole slip. No room is taken."""

    fixture_id: str
    market_id: str
    selection_id: str
    player_id: str
    offer_id: str
    stake_minor: int
    odds: int
    joined: bool
    """As in `HoldLeg`."""
    valid_ms: int

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> OfferKept | Refused:
        policy = PriceChange.ANY if self.joined else PriceChange.NONE
        refused = market.refuse_price(self.selection_id, self.odds, policy, now_ms)
        if refused:
            return refused
        if fixture.over:
            return Refused(Reason.MARKET_CLOSED)
        place = _place_of_leg(self.player_id, self.selection_id)
        last = market.book.offers.get(place)
        if last and last.offer_id == self.offer_id and last.bet_id:
            return Refused(Reason.REOFFER_EXPIRED)  # taken meanwhile
        until_ms = now_ms + min(self.valid_ms, market.limits.reoffer_ms)
        offer = Offer(self.offer_id, self.selection_id, self.stake_minor, self.odds, until_ms)
        market.book.offer(place, offer)
        return OfferKept(until_ms)


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The question has been taken note of."""


class ReleaseHold(Question, frozen=True, array_like=True, tag=True):
    market_id: str
    bet_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id),)

    def answer(self, now_ms: int, market: Market) -> Done:
        market.book.release(self.bet_id)
        return Done()


class ConfirmHold(Question, frozen=True, array_like=True, tag=True):
    """The bet is durable in block `block_seq` of the player's partition."""

    market_id: str
    bet_id: str
    bet: Confirmed

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id),)

    def answer(self, now_ms: int, market: Market) -> Done:
        market.book.confirm(self.bet_id, self.bet)
        return Done()


class ReadAgain(Question, frozen=True, array_like=True, tag=True):
    """Slips with a leg here cost something else, since another leg is known or they were bought
    back. It may be lost: then the book is right when the keeper reads it for its age.
    """

    market_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id),)

    def answer(self, now_ms: int, market: Market) -> Done:
        market.book.outdated = True
        return Done()


class OpenHolds(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Holds whose bets may still be placed, and whether there can be others that were forgotten."""

    whole: bool
    holds: int


class CountHolds(Question, frozen=True, array_like=True, tag=True):
    """Asked by the settlement, which waits until no bet on these selections can come any more whose
    market did not know of that version of the result.

    A former owner that does not know of the result yet can't say: its successor may have holds.
    """

    market_id: str
    selection_ids: list[str]
    result_version: int

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id),)

    def answer(self, now_ms: int, market: Market) -> OpenHolds:
        selections = set(self.selection_ids)
        holds = sum(
            hold.selection_id in selections and hold.result_version < self.result_version
            for hold in market.book.holds.values()
        )
        knows = market.result_version >= self.result_version
        return OpenHolds(knows and market.book.whole, holds)
