"""One market of a fixture: its selections and prices, its status and its result, and how it looks.

What is done with it is elsewhere: `actors.holds`, `actors.trading`, `actors.declaring`,
`actors.outcomes` and `actors.hedging`.

What is journaled is what the house says. Which bets are on their way and what they may cost is in
the market's book (`actors.book`), in memory only.

A market is suspended for *causes*: a feed that is silent, the trader, too much liability. It takes
bets again when the last of them is gone, and the status behind them is open. `status` is always
what is to be shown: while a cause stands, an open market's is suspended.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.bet import PriceChange, Settling
from actors.book import WHOLE, Book, Hold, Line, liability_of
from actors.fixture import UNLIMITED, Fixture
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import LOST, VOID, Result, Window
from actors.terms import NO_TERMS, Gone, MarketTerms, Off, taken_off

MAX_BET_DELAY_MS = 12_000
MAX_SELECTIONS = 20_000
LIABILITY = "liability"
STALE = "stale"
TRADER = "trader"
VOIDED = "voided"
WITHDRAWAL = "withdrawal"
"""Causes that the house itself has; a feed's is its own name, such as `producer/3`."""
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


class HandPrice(msgspec.Struct, frozen=True, array_like=True):
    """Somebody holds the price of a selection: what the feed says of it is kept, and not shown."""

    feed_odds: int
    """What the feed said last, and what is shown when it is given back; 0: no price."""
    by: str
    since_ms: int
    until_ms: int = 0
    """From then on it counts as given back, by the market's clock; 0: until somebody does it."""

    def over(self, now_ms: int) -> bool:
        return 0 < self.until_ms <= now_ms


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
    """When the feed last said what the prices are."""
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
    held: dict[str, HandPrice] = msgspec.field(default_factory=dict)
    """By selection, prices that are held by hand: those whose time is over, too, until that is
    written down."""
    limits_version: int = 0
    """How often the limits were changed."""
    unrenewed: list[str] = msgspec.field(default_factory=list)
    """While it is suspended for a withdrawal: selections whose price is from before that."""

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

    @property
    def gone_version(self) -> int:
        """Prices below that version are from before a withdrawal that takes something off them."""
        return max((one.odds_version for one in self.gone.values()), default=0)

    def stale(self, now_ms: int) -> bool:
        """Whether the prices are too old to be given. Nothing has to happen for them to become so:
        it is looked at with every bet."""
        limits = self.limits
        aging = limits.max_age_in_play_ms if self.in_play else limits.max_age_ms
        return aging != 0 and now_ms - self.priced_at_ms > aging and not self.by_hand(now_ms)

    def by_hand(self, now_ms: int) -> bool:
        """Whether there are prices, and all of them are held by hand: then none gets old."""
        if not self.held:
            return False
        priced = False
        for name in self.selections:
            if self.odds_at(name, now_ms):
                if self.hand_at(name, now_ms) is None:
                    return False
                priced = True
        return priced

    def hand_at(self, selection_id: str, now_ms: int) -> HandPrice | None:
        """By whom the price of a selection is held, if it is."""
        hand = self.held.get(selection_id)
        return None if hand is None or hand.over(now_ms) else hand

    def odds_at(self, selection_id: str, now_ms: int) -> int:
        """The price of a selection: the feed's last one, where the time of a price held by hand
        has run out and nobody has written that down yet. Whether it is too old is not looked at."""
        if self.held:
            hand = self.held.get(selection_id)
            if hand is not None and hand.over(now_ms):
                return hand.feed_odds
        return self.selections[selection_id].odds

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
        odds = self.odds_at(selection_id, now_ms) if self.held else selection.odds
        if selection.withdrawn or not MIN_ODDS <= odds <= MAX_ODDS:
            return Refused(Reason.SELECTION_UNAVAILABLE)
        limits = self.limits
        aging = limits.max_age_in_play_ms if self.in_play else limits.max_age_ms
        if aging and now_ms - self.priced_at_ms > aging and not self.by_hand(now_ms):
            return Refused(Reason.PRICE_STALE)
        moved = odds != asked and not promised
        better = odds > asked
        if (
            moved
            and policy is not PriceChange.ANY
            and not (better and policy is PriceChange.BETTER)
        ):
            return Refused(
                Reason.PRICE_CHANGED,
                facts={"odds": odds, "odds_version": self.odds_version},
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
    hand: HandPrice | None = None
    """While the price is held by hand."""


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
    limits_version: int = 0
    run_out: tuple[str, ...] = ()
    """Selections whose price was held by hand until a time that is over, where it is not written
    down yet that they are given back. They are shown as if it were."""
    unrenewed: tuple[str, ...] = ()
    """As in `Market`."""

    @property
    def by_hand(self) -> bool:
        """As in `Market`."""
        priced = [one for one in self.selections if one.odds]
        return bool(priced) and all(one.hand for one in priced)

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
        run_out = tuple(name for name, hand in market.held.items() if hand.over(now_ms))
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
                    market.odds_at(selection_id, now_ms),
                    selection.withdrawn,
                    market.results.get(selection_id),
                    selection.base_odds,
                    market.places.get(selection_id),
                    market.starting_odds.get(selection_id, 0),
                    market.gone.get(selection_id),
                    market.hand_at(selection_id, now_ms),
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
            market.limits_version,
            run_out,
            tuple(market.unrenewed),
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
    odds_version: int = 0
    """Of its market's prices; where this one is from before a withdrawal, one of before that."""


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
            market.odds_at(self.selection_id, now_ms) if good else 0,
            market.bet_delay_ms if market.in_play else 0,
            taken_off(market.terms, market.gone.values()),
            market.kind,
            market.terms,
            market.settled_version < market.result_version,
            market.gone_version - 1
            if self.selection_id in market.unrenewed
            else market.odds_version,
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


class MarketCommand(Command, frozen=True, array_like=True, tag=True):
    fixture_id: str
    market_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))


class MarketEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    fixture_id: str
    market_id: str
    seq: int
    """The fixture's `seq` after it."""

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))


class DeskEvent(MarketEvent, frozen=True, array_like=True, tag=True):
    """The desk's own: followers of the fixture are not told, and `seq` stays."""
