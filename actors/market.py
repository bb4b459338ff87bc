"""One market of a fixture: its selections and prices, its status and its result.

What is journaled is what the house says. Which bets are on their way and what they may cost is in
the market's book (`actors.book`), in memory only.

A market is suspended for *causes*: a feed that is silent, the trader, too much liability. It takes
bets again when the last of them is gone, and the status behind them is open. `status` is always
what is to be shown: while a cause stands, an open market's is suspended.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, Several, ref
from actors.bet import PriceChange, Settling
from actors.book import (
    HOLD_MS,
    WHOLE,
    Book,
    Confirmed,
    Hold,
    Line,
    Offer,
    liability_at,
    liability_of,
)
from actors.fixture import MAX_MARKETS, UNLIMITED, Fixture
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import LOST, VOID, Outcome, Result, Window
from actors.slips.outcomes import finished
from actors.terms import NO_TERMS, Gone, MarketTerms, Off, taken_off
from ledger.money import MAX_MINOR, Money

MAX_BET_DELAY_MS = 12_000
MAX_SELECTIONS = 20_000
MAX_CAUSES = 20
"""Causes for which a market can be suspended at a time."""
MAX_CAUSE_LENGTH = 64
MAX_HEDGES = 1_000
"""Hedges that one market's record can hold."""
MAX_REOFFER_MS = 60_000
LIABILITY = "liability"
STALE = "stale"
TRADER = "trader"
VOIDED = "voided"
"""Causes that the house itself has; a feed's is its own name, such as `producer/3`."""
MAX_TIED = 1_000
CLOCKS_MS = 2_000
"""By how much the clocks of a market and of a wallet may differ, when bets of a time are void."""


class MarketStatus(enum.StrEnum):
    OPEN = "open"
    SUSPENDED = "suspended"
    CLOSED = "closed"
    SETTLED = "settled"
    CANCELLED = "cancelled"


TRADABLE = (MarketStatus.OPEN, MarketStatus.SUSPENDED)
"""While a market may have prices."""


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """In minor units of the market's currency. 0 is no limit, but for the first three."""

    min_stake_minor: int = 10
    max_stake_minor: int = 500_000
    max_liability_minor: int = 5_000_000
    """For each selection."""
    max_market_liability_minor: int = 0
    """For the worst case over all ways the market may come out."""
    refer_above_minor: int = 0
    """Stakes above it are neither taken nor refused: a trader is asked."""
    reoffer_ms: int = 0
    """How long what is offered in place of a refused stake can be taken; at 0 nothing is."""
    max_age_ms: int = 0
    """How old prices may be before play,"""
    max_age_in_play_ms: int = 0
    """and in play. Older ones are not given, whatever the status says."""
    refer_up_to_minor: int = 0
    """The largest stake that a trader is asked about; above it nobody is."""
    max_slip_liability_minor: int = 50_000_000
    """What all slips with a leg on a selection may cost together, beside its singles: each counts
    in full on every leg, though all of them have to win for it. Its room is its own, so that a
    long accumulator for pennies leaves that of the singles as it is."""


class Selection(msgspec.Struct, array_like=True):
    name: str
    odds: int = 0
    """Zero while there is no price."""
    withdrawn: bool = False
    base_odds: int = 0
    """The price that the feed or the trader gave, where the house moved it since; else 0."""


class Hedge(msgspec.Struct, frozen=True, array_like=True):
    """A bet that the house has made on a selection elsewhere, so that its winning costs less."""

    at_ms: int
    selection_id: str
    stake_minor: int
    odds: int
    wins_minor: int
    """What it wins beyond its stake, commission taken off."""
    exchange: str
    reference: str
    """The exchange's own name for it."""


class HedgeOrder(msgspec.Struct, frozen=True, array_like=True):
    """A bet that the house is about to make elsewhere: written down before it is asked for."""

    at_ms: int
    selection_id: str
    stake_minor: int
    odds: int
    """The shortest price it is wanted at."""
    exchange: str


class Market(Actor, dict=True):
    market_id: str = ""
    fixture_id: str = ""
    name: str = ""
    kind: str = ""
    """The trade's name for the type of market, such as "match_result" or "win"."""
    currency: str = ""
    status: MarketStatus = MarketStatus.OPEN
    in_play: bool = False
    bet_delay_ms: int = 0
    longest_delay_ms: int = 0
    """The longest bet delay the market has ever had: how long a hold of it can have lived."""
    limits: Limits = Limits()
    selections: dict[str, Selection] = msgspec.field(default_factory=dict)
    odds_version: int = 0
    source_sequence: int = 0
    """The last sequence number of the feed that prices this market."""
    results: dict[str, Result] = msgspec.field(default_factory=dict)
    result_version: int = 0
    settled_version: int = 0
    """The last result version by which every bet has been settled."""
    winners: int = 1
    """How many selections win: 0 where each of them stands for itself."""
    priced_at_ms: int = 0
    """When the feed or the trader last said what the prices are."""
    causes: dict[str, int] = msgspec.field(default_factory=dict)
    """For what the market is suspended, and since when."""
    behind: MarketStatus = MarketStatus.OPEN
    """The status that comes back when the last cause is gone, while one keeps it suspended."""
    hedges: dict[str, Hedge] = msgspec.field(default_factory=dict)
    terms: MarketTerms = NO_TERMS
    places: dict[str, Result] = msgspec.field(default_factory=dict)
    """How the place part came out, where the terms have one."""
    starting_odds: dict[str, int] = msgspec.field(default_factory=dict)
    gone: dict[str, Gone] = msgspec.field(default_factory=dict)
    """Withdrawals, where the terms say that they take something off the others' prices."""
    hedge_orders: dict[str, HedgeOrder] = msgspec.field(default_factory=dict)
    """On their way to an exchange, which may have made them or not."""
    windows: tuple[Window, ...] = ()
    """When bets were accepted that are void, whatever the result."""
    windows_version: int = 0
    """The result version in which they last changed."""
    reopened_version: int = 0
    """The last result version by which settled bets may be open again."""

    def __post_init__(self) -> None:
        self._open_book(Book())  # an attribute outside the fields: it is in no snapshot

    def woke(self) -> None:
        self._open_book(Book())

    def _open_book(self, book: Book) -> None:
        self.book = book
        self.fit_book()

    def fit_book(self) -> None:
        """Tell the book what decides the worst case and is the market's own."""
        gone = {name for name, selection in self.selections.items() if selection.withdrawn}
        hedged: dict[str, Line] = {}
        for hedge in self.hedges.values():
            line = hedged.setdefault(hedge.selection_id, Line())
            line.bets += 1
            line.stakes_minor += hedge.stake_minor
            line.liability_minor += hedge.wins_minor
        # Places are paid, too: as if each were a win, which is never too little.
        winners = max(self.winners, self.terms.places) if self.winners else 0
        self.book.fit(winners, gone, hedged)

    def unsaved(self) -> bytes:
        return b"" if self.may_rest() else self.book.packed()

    def regain(self, unsaved: bytes) -> None:
        self._open_book(Book.unpacked(unsaved))

    def may_rest(self) -> bool:
        if not self.market_id:
            return True  # somebody asked for a market that there is not
        return self.finished and self.settled_version == self.result_version and not self.book.holds

    @property
    def finished(self) -> bool:
        return self.status in (MarketStatus.SETTLED, MarketStatus.CANCELLED)

    @property
    def status_behind(self) -> MarketStatus:
        """The status as it would be without any cause."""
        held_up = self.causes and self.status is MarketStatus.SUSPENDED
        return self.behind if held_up else self.status

    @property
    def worst_minor(self) -> int | None:
        """The most that the market can lose; None while its bets are not all known."""
        if self.finished:
            return 0
        return self.book.worst_minor if self.knows_liability else None

    @property
    def knows_liability(self) -> bool:
        """Whether the book has all bets in it: also those that are being opened again."""
        return self.book.known and self.settled_version >= self.reopened_version

    def stale(self, now_ms: int) -> bool:
        """Whether the prices are too old to be given. Nothing has to happen for them to become so:
        it is looked at with every bet."""
        limits = self.limits
        aging = limits.max_age_in_play_ms if self.in_play else limits.max_age_ms
        return aging != 0 and now_ms - self.priced_at_ms > aging

    def refuse_price(
        self,
        selection_id: str,
        asked: int,
        policy: PriceChange,
        now_ms: int,
        promised: bool = False,
    ) -> Refused | None:
        """Why a bet at `asked` odds can't be had now: the ladder of placing, up to the price.

        A promised price is not looked at, but the market has to be open and to have one.
        """
        if not self.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        selection = self.selections.get(selection_id)
        if selection is None:
            return Refused(Reason.UNKNOWN_SELECTION)
        if self.status is MarketStatus.SUSPENDED:
            return Refused(Reason.MARKET_SUSPENDED)
        if self.status is not MarketStatus.OPEN:
            return Refused(Reason.MARKET_CLOSED)
        if self.windows and self._voids_now(now_ms):
            return Refused(Reason.MARKET_SUSPENDED)
        if not asked and not selection.withdrawn:  # at the starting price
            offered = self.terms.starting_price and not self.in_play
            return None if offered else Refused(Reason.STARTING_PRICE_UNAVAILABLE)
        if selection.withdrawn or not MIN_ODDS <= selection.odds <= MAX_ODDS:
            return Refused(Reason.SELECTION_UNAVAILABLE)
        limits = self.limits
        aging = limits.max_age_in_play_ms if self.in_play else limits.max_age_ms
        if aging and now_ms - self.priced_at_ms > aging:
            return Refused(Reason.PRICE_STALE)
        moved = selection.odds != asked and not promised
        better = selection.odds > asked
        if (
            moved
            and policy is not PriceChange.ANY
            and not (better and policy is PriceChange.BETTER)
        ):
            return Refused(
                Reason.PRICE_CHANGED,
                facts={"odds": selection.odds, "odds_version": self.odds_version},
            )
        return None

    @property
    def voids_on(self) -> bool:
        """Whether bets are void until that is undone."""
        return any(window.until_ms is None for window in self.windows)

    def _voids_now(self, now_ms: int) -> bool:
        """Whether a bet that is accepted now is void: by its wallet's clock, which may be slow."""
        return any(
            window.covers(now_ms)
            or (window.until_ms is not None and window.covers(now_ms - CLOCKS_MS))
            for window in self.windows
        )

    def refuse_room(self, hold: Hold, fixture: Fixture) -> Refused | None:
        """Why there is no room for the bet, with the largest stake there is room for; or None.

        `LIABILITY_UNKNOWN` where a limit of the fixture needs a market that is still being read.
        """
        book, limits = self.book, self.limits
        cost = hold.liability_minor or liability_of(hold.stake_minor, hold.odds)
        line = book.lines.get(hold.selection_id)
        if hold.liability_minor:
            limit = limits.max_slip_liability_minor
            room = limit - (line.slips_minor if line else 0)
        else:
            limit = limits.max_liability_minor
            room = limit - (line.singles_minor if line else 0)
            if book.hedged and hold.selection_id in book.hedged:
                room += book.hedged[hold.selection_id].liability_minor
        if limits.max_market_liability_minor or fixture.limits:
            cap = fixture.cap_of(self)
            if cap is None:
                return Refused(Reason.LIABILITY_UNKNOWN)
            cap = min(cap, limits.max_market_liability_minor or UNLIMITED)
            room = min(room, book.room(hold.selection_id, cap))
        if hold.customer_factor < WHOLE:
            share = limit * hold.customer_factor // WHOLE
            room = min(room, share - book.taken.get(hold.player_id, 0))
        if cost <= room:
            return None
        room = max(0, room)
        if hold.liability_minor:
            stake_minor = room * hold.stake_minor // hold.liability_minor
        else:
            stake_minor = room * ONE // (hold.odds - ONE)
        return Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": stake_minor})

    def only_withdrawn(self) -> bool:
        """Whether no result is known but that of withdrawn selections, which are void."""
        return all(self.selections[selection_id].withdrawn for selection_id in self.results)

    @property
    def decided(self) -> bool:
        """Whether the result of every selection is known."""
        return len(self.results) == len(self.selections)

    @property
    def result_of_withdrawn(self) -> Result:
        return LOST if self.terms.ante_post else VOID

    def settling(self, selection_id: str, version: int) -> Settling:
        """By what the bets on a selection are settled, of which that version was the last word."""
        # Of a cancelled market every bet is void, that on who did not run ante-post, too.
        cancelled = self.status is MarketStatus.CANCELLED
        withdrawn = self.selections[selection_id].withdrawn and not cancelled
        return Settling(
            selection_id,
            self.results.get(selection_id),
            version,
            withdrawn,
            self.places.get(selection_id),
            self.starting_odds.get(selection_id, 0),
            None if withdrawn else taken_off(self.terms, self.gone.values()),
            self.windows,
        )


# What placement asks, without a trace in the journal


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


class HoldStake(Question, frozen=True, array_like=True, tag=True):
    """Take room in the book for a bet about to be placed."""

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
    kind_factors: dict[str, int] = msgspec.field(default_factory=dict)
    """Customer factors for markets of some kinds, in place of the one for all."""

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> Held | Refused:
        had = market.book.release(self.bet_id) if self.bet_id in market.book.holds else None
        answer = self._answer(now_ms, market, fixture)
        if had and isinstance(answer, Refused):
            # Asked again, because the first answer was lost: what it has had did not count against
            # it. But maybe that answer was not lost, and its bet is on its way to the wallet.
            market.book.put_back(had)
        elif had:
            again = market.book.holds[self.bet_id]
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
        if promised and not self._keeps(now_ms, book):
            return Refused(Reason.REOFFER_EXPIRED)
        stake_minor, limits = self.stake.minor, market.limits
        if stake_minor < limits.min_stake_minor:
            return refused or Refused(
                Reason.STAKE_TOO_SMALL, facts={"min_stake_minor": limits.min_stake_minor}
            )
        odds = self.odds if promised else market.selections[self.selection_id].odds
        hold = Hold(
            self.bet_id,
            self.player_id,
            self.licence,
            self.selection_id,
            stake_minor,
            odds,
            now_ms + max(market.bet_delay_ms, min(self.wait_ms, MAX_BET_DELAY_MS)) + HOLD_MS,
        )
        factor = self.kind_factors.get(market.kind, self.customer_factor)
        ordinary = not promised and factor == WHOLE and not self.liability_minor
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
                return self._with_offer(now_ms, hold, market, fixture, refused)
        if not market.knows_liability:
            return Refused(Reason.LIABILITY_UNKNOWN)
        refused = market.refuse_room(hold, fixture)
        if refused:
            return self._with_offer(now_ms, hold, market, fixture, refused)
        # From here the room is taken.
        book.hold(hold)
        if self.offer_id:
            book.offers[self.player_id].bet_id = self.bet_id
        return _held(market, fixture, hold)

    def _keeps(self, now_ms: int, book: Book) -> bool:
        """Whether what was promised is what is asked for, and in time."""
        if not MIN_ODDS <= self.odds <= MAX_ODDS:
            return False
        if self.agreed_until_ms:
            return now_ms <= self.agreed_until_ms
        offer = book.offers.get(self.player_id)
        return (
            offer is not None
            and offer.offer_id == self.offer_id
            and offer.selection_id == self.selection_id
            and offer.stake_minor == self.stake.minor
            and offer.odds == self.odds
            and offer.bet_id in ("", self.bet_id)
            and now_ms <= offer.valid_until_ms
        )

    def _refuse_stake(self, hold: Hold, limits: Limits) -> Refused | None:
        """Why the stake is too large, unless it was promised."""
        most, refer = limits.max_stake_minor, limits.refer_above_minor
        if hold.promised:
            return None
        if hold.customer_factor != WHOLE:
            most = min(most * hold.customer_factor // WHOLE, MAX_MINOR)
        if refer:
            most = min(most, refer)
            # Who may have less than others is not referred, but told so; so is who asks for more
            # than a trader is asked about, or for a slip, of which a market sees one leg.
            up_to = limits.refer_up_to_minor or MAX_MINOR
            single = not hold.liability_minor and hold.customer_factor >= WHOLE
            if single and refer < hold.stake_minor <= up_to:
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

        Nothing is offered in place of an offer; nor of a bet of several legs, for the others would
        have to be offered, too.
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
        odds = hold.odds if hold.promised else market.selections[hold.selection_id].odds
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


class SelectionView(msgspec.Struct, frozen=True, array_like=True):
    selection_id: str
    name: str
    odds: int
    withdrawn: bool
    result: Result | None
    base_odds: int = 0
    """As in `Selection`."""
    place: Result | None = None
    starting_odds: int = 0
    gone: Gone | None = None


class MarketView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    market_id: str
    fixture_id: str
    name: str
    kind: str
    currency: str
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int
    limits: Limits
    selections: list[SelectionView]
    odds_version: int
    result_version: int
    settled_version: int
    seq: int
    """The fixture's `seq` that this view is as of."""
    causes: dict[str, int] = {}
    """For what it is suspended, and since when."""
    price_age_ms: int = 0
    """How long ago the prices were last said; 0 also where they never were."""
    stale: bool = False
    """The prices are too old: no bet is taken, though the status may be open."""
    winners: int = 1
    terms: MarketTerms = NO_TERMS
    over: bool = False
    """The event is over, whatever the market's status."""
    windows: tuple[Window, ...] = ()
    """When bets were accepted that are void."""
    source_sequence: int = 0
    """The last sequence number of the feed that prices it."""

    @property
    def off(self) -> Off | None:
        """What withdrawals take off prices, as of now."""
        return taken_off(self.terms, [one.gone for one in self.selections if one.gone])


class GetMarket(Question, frozen=True, array_like=True, tag=True):
    fixture_id: str
    market_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> MarketView | Refused:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        return MarketView(
            market.market_id,
            market.fixture_id,
            market.name,
            market.kind,
            market.currency,
            market.status,
            market.in_play,
            market.bet_delay_ms,
            market.limits,
            [
                SelectionView(
                    selection_id,
                    selection.name,
                    selection.odds,
                    selection.withdrawn,
                    market.results.get(selection_id),
                    selection.base_odds,
                    market.places.get(selection_id),
                    market.starting_odds.get(selection_id, 0),
                    market.gone.get(selection_id),
                )
                for selection_id, selection in market.selections.items()
            ],
            market.odds_version,
            market.result_version,
            market.settled_version,
            fixture.seq,
            dict(market.causes),
            max(0, now_ms - market.priced_at_ms) if market.priced_at_ms else 0,
            market.stale(now_ms),
            market.winners,
            market.terms,
            fixture.over,
            market.windows,
            market.source_sequence,
        )


class PriceView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What one selection can be had at, and what its price goes by."""

    odds: int
    """0 where no bet on it is taken now."""
    bet_delay_ms: int
    off: Off | None
    """What withdrawals take off prices of its market, as of now."""
    kind: str
    terms: MarketTerms
    settling: bool = False
    """Bets on its market are not all told of its result yet, nor of when they are void."""


class GetPrice(Question, frozen=True, array_like=True, tag=True):
    """Of one selection, where its market has many."""

    fixture_id: str
    market_id: str
    selection_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> PriceView | Refused:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        selection = market.selections.get(self.selection_id)
        if selection is None:
            return Refused(Reason.UNKNOWN_SELECTION)
        takes_bets = market.status is MarketStatus.OPEN and not fixture.over
        good = takes_bets and not selection.withdrawn and not market.stale(now_ms)
        return PriceView(
            selection.odds if good else 0,
            market.bet_delay_ms if market.in_play else 0,
            taken_off(market.terms, market.gone.values()),
            market.kind,
            market.terms,
            market.settled_version < market.result_version,
        )


class Exposure(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A market's book as the desk sees it."""

    market_id: str
    known: bool
    lines: dict[str, Line]
    holds: int
    worst_minor: int = 0
    """The most that the market can lose."""
    kept: dict[str, int] = {}
    """Stakes of placed singles, which the house keeps if another selection wins."""
    hedged: dict[str, Line] = {}
    """What was laid off: bets, stakes, and as liability what they win."""
    ordered: dict[str, HedgeOrder] = {}
    """Hedges of which it is not known yet whether they were made."""


class GetExposure(Question, frozen=True, array_like=True, tag=True):
    """Whoever asks makes the market known to its fixture, whose limits may need that."""

    market_id: str

    def cast(self) -> tuple[str, ...]:
        fixture_id = self.market_id.rpartition(":")[0]
        return (ref("market", self.market_id), ref("fixture", fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> Exposure | Refused:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        fixture.beside[market.market_id] = market
        book = market.book
        return Exposure(
            market.market_id,
            book.known,
            dict(book.lines),
            len(book.holds),
            book.worst_minor,
            dict(book.kept),
            dict(book.hedged),
            dict(market.hedge_orders),
        )


# What the trader or a feed commands


class MarketCommand(Command, frozen=True, array_like=True, tag=True):
    fixture_id: str
    market_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))


class OpenMarket(MarketCommand, frozen=True, array_like=True, tag=True):
    """A new market, without prices yet."""

    name: str
    kind: str
    currency: str
    selections: dict[str, str]
    """Names by selection id, in the order they are shown."""
    limits: Limits = Limits()
    status: MarketStatus = MarketStatus.OPEN
    winners: int = 1
    """How many selections win: 0 where each of them stands for itself."""
    terms: MarketTerms = NO_TERMS

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not fixture.fixture_id:
            return Refused(Reason.UNKNOWN_FIXTURE)
        if market.market_id:
            return Refused(Reason.ALREADY_EXISTS)
        wrong = wrong_in(self.limits)
        if wrong:
            return Refused(Reason.OUT_OF_BOUNDS, wrong)
        if not 0 < len(self.selections) <= MAX_SELECTIONS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_selections": MAX_SELECTIONS})
        if not 0 <= self.winners <= len(self.selections):
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_winners": len(self.selections)})
        contradiction = self.terms.contradiction(len(self.selections))
        if contradiction:
            return Refused(Reason.OUT_OF_BOUNDS, contradiction)
        if not fixture.over and len(fixture.markets) < MAX_MARKETS:
            return MarketOpened(
                now_ms,
                self.fixture_id,
                self.market_id,
                fixture.seq + 1,
                self.name,
                self.kind,
                self.currency,
                self.selections,
                self.limits,
                self.status,
                self.winners,
                self.terms,
            )
        return Refused(
            Reason.WRONG_STATUS, facts={"phase": fixture.phase, "markets": len(fixture.markets)}
        )


def wrong_in(limits: Limits) -> str:
    """What is wrong with limits, or nothing."""
    if not 0 < limits.min_stake_minor <= limits.max_stake_minor <= MAX_MINOR:
        return "the limits of the stake contradict themselves"
    if not 0 <= limits.reoffer_ms <= MAX_REOFFER_MS:
        return f"an offer is valid for at most {MAX_REOFFER_MS} ms"
    if 0 < limits.refer_up_to_minor < limits.refer_above_minor:
        return "no stake would be referred"
    if any(limit < 0 for limit in msgspec.structs.astuple(limits)):
        return "a limit is below zero"
    return ""


class ChangeLimits(MarketCommand, frozen=True, array_like=True, tag=True):
    """All limits of the market, in place of those before.

    One that is lower than what the market can lose already takes nothing back: it takes only bets
    that do not make it worse.
    """

    limits: Limits

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        wrong = wrong_in(self.limits)
        if wrong:
            return Refused(Reason.OUT_OF_BOUNDS, wrong)
        return LimitsChanged(now_ms, self.fixture_id, self.market_id, fixture.seq, self.limits)


class ChangePrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """New prices of some selections; 0 takes a price off the board. Without any, those that there
    are were said again: they are as good as new.

    A feed numbers its changes with `sequence`, which then does the work of a key: what is not
    above the last one is refused. A trader's change carries 0 and a key instead.
    """

    odds: dict[str, int]
    sequence: int = 0
    age_ms: int = 0
    """How old the oldest of what these prices are made of is already."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.sequence and self.sequence <= market.source_sequence:
            return Refused(Reason.STALE_SEQUENCE, facts={"sequence": market.source_sequence})
        for selection_id in self.odds:
            if selection_id not in market.selections:
                return Refused(Reason.UNKNOWN_SELECTION, facts={"selection_id": selection_id})
        if self.age_ms < 0:
            return Refused(Reason.OUT_OF_BOUNDS, "prices do not come from the future")
        if market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        return PricesChanged(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.odds_version + 1,
            self.odds,
            self.sequence or market.source_sequence,
            age_ms=self.age_ms,
        )


class MovePrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """Move prices as liability builds (`actors.risk.desk`), away from those that were given.

    Decided on a version of the prices: when those have changed since, it has to be decided again.
    Prices do not get younger by it.
    """

    odds: dict[str, int]
    odds_version: int

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.odds_version != market.odds_version:
            return Refused(Reason.SUPERSEDED, facts={"odds_version": market.odds_version})
        for selection_id, odds in self.odds.items():
            selection = market.selections.get(selection_id)
            if selection is None:
                return Refused(Reason.UNKNOWN_SELECTION, facts={"selection_id": selection_id})
            if not selection.odds or not MIN_ODDS <= odds <= MAX_ODDS:
                return Refused(Reason.OUT_OF_BOUNDS, facts={"selection_id": selection_id})
        if market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        return PricesChanged(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.odds_version + 1,
            self.odds,
            market.source_sequence,
            True,
        )


class Suspend(MarketCommand, frozen=True, array_like=True, tag=True):
    """Take no bets for a cause, until it is gone and every other one is, too."""

    cause: str

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if not 0 < len(self.cause) <= MAX_CAUSE_LENGTH:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_length": MAX_CAUSE_LENGTH})
        if market.finished or self.cause in market.causes:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        if len(market.causes) >= MAX_CAUSES:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_causes": MAX_CAUSES})
        causes = market.causes | {self.cause: now_ms}
        return status_changed(now_ms, self, market, fixture, market.status_behind, causes)


class Resume(MarketCommand, frozen=True, array_like=True, tag=True):
    """The cause is gone. If it was the last, the status is again what it would be without."""

    cause: str

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.cause not in market.causes:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        if self.cause == VOIDED and market.voids_on:
            return Refused(Reason.WRONG_STATUS, "bets accepted from here on are void")
        causes = {cause: at_ms for cause, at_ms in market.causes.items() if cause != self.cause}
        return status_changed(now_ms, self, market, fixture, market.status_behind, causes)


class SwitchedMarkets(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """How many of the markets are otherwise than before."""

    changed: int


class SwitchMarkets(Several, frozen=True, array_like=True, tag=True):
    """`Suspend` or `Resume` for many markets of one fixture, which are neighbours."""

    fixture_id: str
    market_ids: list[str]
    cause: str
    resume: bool = False

    def cast(self) -> tuple[str, ...]:
        markets = dict.fromkeys(self.market_ids)
        return (ref("fixture", self.fixture_id), *(ref("market", name) for name in markets))

    def each(self) -> Iterator[Suspend | Resume]:
        switch = Resume if self.resume else Suspend
        for market_id in self.market_ids:
            yield switch(self.fixture_id, market_id, self.cause)

    def sum_up(self, answers: Sequence[Event]) -> SwitchedMarkets:
        return SwitchedMarkets(sum(not isinstance(answer, Refused) for answer in answers))


def status_changed(
    now_ms: int,
    command: MarketCommand,
    market: Market,
    fixture: Fixture,
    behind: MarketStatus,
    causes: dict[str, int],
    in_play: bool | None = None,
    bet_delay_ms: int | None = None,
) -> StatusChanged:
    """The status that follows from the one behind the causes, and from those."""
    held_up = behind is MarketStatus.OPEN and causes
    return StatusChanged(
        now_ms,
        command.fixture_id,
        command.market_id,
        fixture.seq + 1,
        MarketStatus.SUSPENDED if held_up else behind,
        market.in_play if in_play is None else in_play,
        market.bet_delay_ms if bet_delay_ms is None else bet_delay_ms,
        behind if held_up else None,
        causes,
    )


class ChangeStatus(MarketCommand, frozen=True, array_like=True, tag=True):
    """Open, suspend or close the market; say whether it is in play and with what bet delay.

    A market that is suspended for a cause is not opened by it, but will be when the cause is gone.
    """

    status: MarketStatus
    in_play: bool
    bet_delay_ms: int

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        movable = (*TRADABLE, MarketStatus.CLOSED)
        if market.status not in movable or self.status not in movable:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        if not 0 <= self.bet_delay_ms <= MAX_BET_DELAY_MS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_bet_delay_ms": MAX_BET_DELAY_MS})
        if self.status is not MarketStatus.CLOSED and not market.only_withdrawn():
            return Refused(Reason.WRONG_STATUS, "a market with a result stays closed")
        causes = market.causes
        return status_changed(
            now_ms, self, market, fixture, self.status, causes, self.in_play, self.bet_delay_ms
        )


class WithdrawSelection(MarketCommand, frozen=True, array_like=True, tag=True):
    """A runner is removed: bets on it are void (ante-post lost), and the others run on.

    Where that takes something off the others' prices, it is by the price that the runner has now,
    or by `odds` where its price was taken off before; or by `reduction`, its factor. It then has to
    happen before the result: what bets on the others are settled by is known with that.
    """

    selection_id: str
    odds: int = 0
    reduction: int = 0
    """In ten-thousandths."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        selection = market.selections.get(self.selection_id)
        if selection is None:
            return Refused(Reason.UNKNOWN_SELECTION)
        if selection.withdrawn or market.finished:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        gone = None
        if market.terms.deducts:
            if not market.only_withdrawn():
                return Refused(Reason.WRONG_STATUS, "the result is declared")
            if not (0 <= self.odds <= MAX_ODDS and 0 <= self.reduction < ONE):
                return Refused(Reason.OUT_OF_BOUNDS, facts={"max_odds": MAX_ODDS})
            odds = self.odds or selection.odds
            gone = Gone(market.odds_version + 1, odds, self.reduction)
        return SelectionWithdrawn(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.result_version + 1,
            self.selection_id,
            gone,
            self.selection_id in market.results,
        )


class DeclareResult(MarketCommand, frozen=True, array_like=True, tag=True):
    """How every selection came out, as known now. Declared again, it corrects the last one.

    The results of all selections are needed, but for withdrawn ones, which stay as they are; so are
    those of the place part where the terms have one, and the starting price of each selection that
    pays at it. `cancelled` voids the whole market and needs none.

    Of selections whose place in the finish is in `positions`, from 1, both results follow from
    that: one wins, and who share a position are in a dead heat.
    """

    results: dict[str, Result]
    cancelled: bool = False
    places: dict[str, Result] = msgspec.field(default_factory=dict)
    starting_odds: dict[str, int] = msgspec.field(default_factory=dict)
    positions: dict[str, int] = msgspec.field(default_factory=dict)

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        given = (*self.results, *self.places, *self.starting_odds, *self.positions)
        for selection_id in given:
            if selection_id not in market.selections:
                return Refused(Reason.UNKNOWN_SELECTION, facts={"selection_id": selection_id})
        terms = market.terms
        won, placed = self.results, self.places
        if self.positions:
            try:
                won = won | _finished(market, self.positions, market.winners or 1)
                placed = placed | _finished(market, self.positions, terms.places)
            except ValueError as wrong:
                return Refused(Reason.OUT_OF_BOUNDS, str(wrong))
        results = _complete(market, won, cancelled=self.cancelled)
        places = _complete(market, placed, cancelled=self.cancelled) if terms.places else {}
        starting = market.starting_odds | self.starting_odds if terms.starting_price else {}
        for selection_id, result in results.items():
            if result is None or places.get(selection_id, VOID) is None:
                return Refused(Reason.INCOMPLETE_RESULT, facts={"selection_id": selection_id})
            both = (result, places.get(selection_id))
            wrong_price = refuse_starting_odds(market, selection_id, both, starting)
            if wrong_price:
                return wrong_price
        changed = {
            selection_id: result
            for selection_id, result in results.items()
            if result is not None
            and (
                result != market.results.get(selection_id)
                or places.get(selection_id) != market.places.get(selection_id)
                or starting.get(selection_id) != market.starting_odds.get(selection_id)
            )
        }
        same = self.cancelled == (market.status is MarketStatus.CANCELLED)
        if not changed and same and market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, "that is the result already")
        return ResultDeclared(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.result_version + 1,
            changed,
            self.cancelled,
            {name: result for name, result in places.items() if result and name in changed},
            {name: odds for name, odds in starting.items() if name in changed},
        )


def _complete(
    market: Market, given: dict[str, Result], *, cancelled: bool
) -> dict[str, Result | None]:
    """The result of every selection; None where it is missing."""
    return {
        selection_id: VOID
        if cancelled
        else market.result_of_withdrawn
        if selection.withdrawn
        else given.get(selection_id)
        for selection_id, selection in market.selections.items()
    }


def _finished(market: Market, positions: dict[str, int], places: int) -> dict[str, Result]:
    """What the positions make of bets on the first so many. Raises ValueError for wrong ones."""
    if not places:
        return {}
    ran = {name: at for name, at in positions.items() if not market.selections[name].withdrawn}
    tied = Counter(ran.values())
    if any(count > MAX_TIED for count in tied.values()):
        raise ValueError(f"more than {MAX_TIED} at one position")
    return {name: finished(at, tied[at], places) for name, at in ran.items()}


def refuse_starting_odds(
    market: Market,
    selection_id: str,
    results: tuple[Result | None, Result | None],
    starting_odds: dict[str, int],
) -> Refused | None:
    """What is wrong with a starting price, for these results of the win and of the place part."""
    facts: dict[str, int | str] = {"selection_id": selection_id}
    # What pays more than a refund needs its price.
    pays = any(one and one.outcome in (Outcome.WON, Outcome.HALF_WON) for one in results)
    odds = starting_odds.get(selection_id)
    if odds is None and pays and market.terms.starting_price:
        return Refused(Reason.INCOMPLETE_RESULT, "its starting price is missing", facts)
    if odds is not None and not MIN_ODDS <= odds <= MAX_ODDS:
        return Refused(Reason.OUT_OF_BOUNDS, facts=facts)
    return None


class OrderHedge(MarketCommand, frozen=True, array_like=True, tag=True):
    """Write down a hedge before an exchange is asked for it.

    Who is to carry it out may die at any moment: its successor finds the order, and gives the same
    one again under the same id, which an exchange answers as before. `RecordHedge` or `LapseHedge`
    ends it. One market has one order at a time.
    """

    hedge_id: str
    selection_id: str
    stake_minor: int
    odds: int
    exchange: str
    beside: int = -1
    """How many hedges of the market it was decided beside; with others it has to be decided again.
    -1: with any."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.selection_id not in market.selections:
            return Refused(Reason.UNKNOWN_SELECTION)
        if self.hedge_id in market.hedges or self.hedge_id in market.hedge_orders:
            return Refused(Reason.ALREADY_EXISTS)
        if market.hedge_orders or market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, "a hedge is under way, or the market is over")
        if self.beside not in (-1, len(market.hedges)):
            return Refused(Reason.SUPERSEDED, facts={"hedges": len(market.hedges)})
        if not 0 < self.stake_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        if not MIN_ODDS <= self.odds <= MAX_ODDS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_odds": MAX_ODDS})
        if len(market.hedges) >= MAX_HEDGES:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_hedges": MAX_HEDGES})
        order = HedgeOrder(now_ms, self.selection_id, self.stake_minor, self.odds, self.exchange)
        return HedgeOrdered(
            now_ms, self.fixture_id, self.market_id, fixture.seq, self.hedge_id, order
        )


class LapseHedge(MarketCommand, frozen=True, array_like=True, tag=True):
    """The exchange has not made the bet, and will not."""

    hedge_id: str
    code: str
    """Why, in the exchange's words."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.hedge_id not in market.hedge_orders:
            return Refused(Reason.WRONG_STATUS, "no such hedge is under way")
        return HedgeLapsed(
            now_ms, self.fixture_id, self.market_id, fixture.seq, self.hedge_id, self.code
        )


class RecordHedge(MarketCommand, frozen=True, array_like=True, tag=True):
    """The house has laid off some of its liability: it has backed a selection elsewhere.

    It is a fact, so no limit refuses it. `hedge_id` is its key.
    """

    hedge_id: str
    selection_id: str
    stake_minor: int
    odds: int
    commission: int
    """What the exchange takes of the win, in ten-thousandths."""
    exchange: str
    reference: str

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.selection_id not in market.selections:
            return Refused(Reason.UNKNOWN_SELECTION)
        if self.hedge_id in market.hedges:
            return Refused(Reason.ALREADY_EXISTS)
        if not 0 < self.stake_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        if not MIN_ODDS <= self.odds <= MAX_ODDS or not 0 <= self.commission <= ONE:
            return Refused(Reason.OUT_OF_BOUNDS, "such a price or commission there is not")
        if len(market.hedges) >= MAX_HEDGES:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_hedges": MAX_HEDGES})
        return HedgeRecorded(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq,
            self.hedge_id,
            Hedge(
                now_ms,
                self.selection_id,
                self.stake_minor,
                self.odds,
                wins_of(self.stake_minor, self.odds, self.commission),
                self.exchange,
                self.reference,
            ),
        )


def wins_of(stake_minor: int, odds: int, commission: int) -> int:
    """What a hedge wins beyond its stake, commission taken off; rounded down, so that no limit is
    overrun."""
    return stake_minor * (odds - ONE) * (ONE - commission) // ONE**2


class CompleteSettlement(MarketCommand, frozen=True, array_like=True, tag=True):
    """Every bet has been settled by this version of the result."""

    version: int

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.version <= market.settled_version or self.version > market.result_version:
            return Refused(Reason.SUPERSEDED, facts={"version": market.settled_version})
        return SettlementCompleted(
            now_ms, self.fixture_id, self.market_id, fixture.seq + 1, self.version
        )


# What can happen to it


class MarketEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    fixture_id: str
    market_id: str
    seq: int
    """The fixture's `seq` after it."""

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))


class MarketOpened(MarketEvent, frozen=True, array_like=True, tag=True):
    name: str
    kind: str
    currency: str
    selections: dict[str, str]
    limits: Limits
    status: MarketStatus
    winners: int = 1
    terms: MarketTerms = NO_TERMS

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        fixture.markets.append(self.market_id)
        market.market_id = self.market_id
        market.fixture_id = self.fixture_id
        market.name = self.name
        market.kind = self.kind
        market.currency = self.currency
        market.status = self.status
        market.limits = self.limits
        market.winners = self.winners
        market.terms = self.terms
        market.selections = {
            selection_id: Selection(name) for selection_id, name in self.selections.items()
        }
        market.fit_book()
        fixture.beside[self.market_id] = market
        market.book.known = market.book.whole = True  # nobody can have bet on it yet
        market.book.read_at_ms = self.at_ms


class PricesChanged(MarketEvent, frozen=True, array_like=True, tag=True):
    odds_version: int
    odds: dict[str, int]
    source_sequence: int
    moved: bool = False
    """By the house, as liability builds: what the prices would be without that is kept."""
    age_ms: int = 0
    """How old they were already when they were said."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.odds_version = self.odds_version
        market.source_sequence = self.source_sequence
        if not self.moved:
            market.priced_at_ms = self.at_ms - self.age_ms
        for selection_id, odds in self.odds.items():
            selection = market.selections[selection_id]
            base_odds = selection.base_odds or selection.odds
            selection.base_odds = base_odds if self.moved and odds != base_odds else 0
            selection.odds = odds


class StatusChanged(MarketEvent, frozen=True, array_like=True, tag=True):
    status: MarketStatus
    """What is to be shown: suspended while a cause stands before an open market."""
    in_play: bool
    bet_delay_ms: int
    behind: MarketStatus | None = None
    """The status without the causes; None: the same."""
    causes: dict[str, int] = msgspec.field(default_factory=dict)

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.status = self.status
        market.behind = self.behind or self.status
        market.causes = self.causes
        market.in_play = self.in_play
        market.bet_delay_ms = self.bet_delay_ms
        market.longest_delay_ms = max(market.longest_delay_ms, self.bet_delay_ms)
        if self.status is not MarketStatus.OPEN:
            market.book.break_holds()


class SelectionWithdrawn(MarketEvent, frozen=True, array_like=True, tag=True):
    version: int
    selection_id: str
    gone: Gone | None = None
    """What it takes off the others' prices follows from this; None where it takes nothing."""
    decided: bool = False
    """Its result was known already."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        selection = market.selections[self.selection_id]
        selection.withdrawn = True
        selection.odds = selection.base_odds = 0
        result = market.result_of_withdrawn
        market.results[self.selection_id] = result
        if market.terms.places:
            market.places[self.selection_id] = result
        if self.gone is not None:
            market.gone[self.selection_id] = self.gone
            market.odds_version = self.gone.odds_version
        market.result_version = self.version
        market.fit_book()


class ResultDeclared(MarketEvent, frozen=True, array_like=True, tag=True):
    """The market's result is complete, or corrected."""

    version: int
    results: dict[str, Result]
    """Of those selections only whose result is new: bets on the others are settled already."""
    cancelled: bool
    places: dict[str, Result] = msgspec.field(default_factory=dict)
    """Of the same, how the place part came out,"""
    starting_odds: dict[str, int] = msgspec.field(default_factory=dict)
    """and the starting prices that are known."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.results |= self.results
        market.places |= self.places
        market.starting_odds |= self.starting_odds
        market.result_version = self.version
        market.status = MarketStatus.CANCELLED if self.cancelled else MarketStatus.CLOSED
        market.book.break_holds()
        fixture.beside[self.market_id] = market


class SettlementCompleted(MarketEvent, frozen=True, array_like=True, tag=True):
    version: int

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        before, market.settled_version = market.settled_version, self.version
        # Not by an earlier result, which the settlement may finish after a correction of it.
        last = self.version == market.result_version
        if last and market.decided and market.status is MarketStatus.CLOSED:
            market.status = MarketStatus.SETTLED
        # Bets may be open again, or void while others are open: the ledger knows.
        market.book.outdated = True
        if before < market.reopened_version <= self.version:
            market.book.reopen()


class DeskEvent(MarketEvent, frozen=True, array_like=True, tag=True):
    """The desk's own: followers of the fixture are not told, and `seq` stays."""


class LimitsChanged(DeskEvent, frozen=True, array_like=True, tag=True):
    limits: Limits

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.limits = self.limits


class HedgeRecorded(DeskEvent, frozen=True, array_like=True, tag=True):
    hedge_id: str
    hedge: Hedge

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.hedge_orders.pop(self.hedge_id, None)
        market.hedges[self.hedge_id] = self.hedge
        market.fit_book()


class HedgeOrdered(DeskEvent, frozen=True, array_like=True, tag=True):
    hedge_id: str
    order: HedgeOrder

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.hedge_orders[self.hedge_id] = self.order


class HedgeLapsed(DeskEvent, frozen=True, array_like=True, tag=True):
    hedge_id: str
    code: str

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.hedge_orders.pop(self.hedge_id, None)
