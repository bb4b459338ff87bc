"""What a trader or a feed does with a market while bets are taken: it is opened and priced, its
limits and its status change, it is suspended for causes and let go, prices are held by hand and
given back to the feed.

A feed says prices with `ChangePrices`, a trader with `HoldPrices`. What the feed says of a
selection whose price is held is kept behind it, and shown again when that is given back or its time
is over, which counts by the market's own clock with every bet (`Market.odds_at`). The age of the
market is that of the feed's word alone: so what is given back is as old as that, and a price held
by hand makes no other one younger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from actors.base import Event, Reason, Refused, Several, ref
from actors.fixture import MAX_MARKETS, Fixture
from actors.market import (
    MAX_BET_DELAY_MS,
    MAX_SELECTIONS,
    TRADABLE,
    VOIDED,
    WITHDRAWAL,
    DeskEvent,
    HandPrice,
    Limits,
    Market,
    MarketCommand,
    MarketEvent,
    MarketStatus,
    Selection,
)
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.terms import NO_TERMS, MarketTerms
from ledger.money import MAX_MINOR

MAX_CAUSES = 100
"""Causes for which a market can be suspended at a time. The desk has it refuse a stop long before:
what is suspended for too many would not be held by the next, once those are lifted."""
MAX_CAUSE_LENGTH = 64
MAX_REOFFER_MS = 60_000
MAX_HAND_MS = 24 * 3_600_000
"""For how long a price can be held by hand, where it is not until it is given back."""


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
    """Some limits of the market, by the names of `Limits`; the others stay.

    One that is lower than what the market can lose already takes nothing back: it takes only bets
    that do not make it worse. With `expected_version` it is refused where the limits have changed
    since they were that version, and told how they are.
    """

    changes: dict[str, int]
    expected_version: int | None = None

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        version, present = market.limits_version, msgspec.structs.asdict(market.limits)
        if self.expected_version is not None and self.expected_version != version:
            facts: dict[str, int | str] = {"version": version, **present}
            return Refused(Reason.VERSION_CONFLICT, "the limits have changed since", facts)
        unknown = self.changes.keys() - present.keys()
        if unknown:
            return Refused(Reason.OUT_OF_BOUNDS, f"there is no limit {min(unknown)}")
        limits = Limits(**present | self.changes)
        wrong = wrong_in(limits)
        if wrong:
            return Refused(Reason.OUT_OF_BOUNDS, wrong)
        place = self.fixture_id, self.market_id
        return LimitsChanged(now_ms, *place, fixture.seq, limits, version + 1)


class ChangePrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """What a feed says: new prices of some selections; 0 takes a price off the board. Without any,
    those that there are were said again: they are as good as new.

    A feed numbers its changes with `sequence`, which then does the work of a key: what is not
    above the last one is refused. Who has no numbers sends 0 and a key instead. Prices of
    selections that are held by hand are kept behind those.

    Where a runner was withdrawn each price has to be said again, also one that is the same: with
    the last of them that cause of a suspension is gone.
    """

    odds: dict[str, int]
    sequence: int = 0
    age_ms: int = 0
    """How old the oldest of what these prices are made of is already."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event | tuple[Event, ...]:
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
        shown, behind = self.odds, {}
        if market.held:
            # What has run out is given back with it.
            gone = {name: hand for name, hand in market.held.items() if hand.over(now_ms)}
            behind = {
                name: odds
                for name, odds in self.odds.items()
                if name in market.held and name not in gone
            }
            shown = {name: hand.feed_odds for name, hand in gone.items()}
            shown |= {name: odds for name, odds in self.odds.items() if name not in behind}
        said = prices_changed(
            now_ms,
            self,
            market,
            fixture,
            shown,
            sequence=self.sequence,
            age_ms=self.age_ms,
            behind=behind,
        )
        return _renewed(now_ms, self, market, fixture, said) if market.unrenewed else said


def prices_changed(
    now_ms: int,
    command: MarketCommand,
    market: Market,
    fixture: Fixture,
    odds: dict[str, int],
    *,
    sequence: int = 0,
    moved: bool = False,
    age_ms: int = 0,
    behind: dict[str, int] | None = None,
) -> PricesChanged:
    """The next version of the market's prices."""
    return PricesChanged(
        now_ms,
        command.fixture_id,
        command.market_id,
        fixture.seq + 1,
        market.odds_version + 1,
        odds,
        sequence or market.source_sequence,
        moved,
        age_ms,
        behind or {},
    )


def _renewed(
    now_ms: int,
    command: MarketCommand,
    market: Market,
    fixture: Fixture,
    said: PricesChanged | PricesHeld | PricesGivenBack,
) -> Event | tuple[Event, ...]:
    """Prices that were said after a withdrawal: with the last of them the market is let go."""
    if any(selection_id not in said.odds for selection_id in market.unrenewed):
        return said
    causes = _without(WITHDRAWAL, market.causes)
    let_go = status_changed(now_ms, command, market, fixture, market.status_behind, causes)
    return let_go, msgspec.structs.replace(said, seq=said.seq + 1)


def _without(cause: str, causes: dict[str, int]) -> dict[str, int]:
    return {other: since_ms for other, since_ms in causes.items() if other != cause}


class HoldPrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """Hold prices of some selections by hand, until they are given back or some time is over; 0
    takes a selection off the board. What the feed says of them meanwhile is not shown.

    Whoever holds a price answers for its age. That of the other prices stays.
    """

    odds: dict[str, int]
    by: str
    for_ms: int = 0
    """0: until they are given back."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event | tuple[Event, ...]:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if not self.odds:
            return Refused(Reason.OUT_OF_BOUNDS, "there is no price in it")
        for selection_id, odds in self.odds.items():
            facts: dict[str, int | str] = {"selection_id": selection_id}
            selection = market.selections.get(selection_id)
            if selection is None:
                return Refused(Reason.UNKNOWN_SELECTION, facts=facts)
            if selection.withdrawn:
                return Refused(Reason.WRONG_STATUS, "the selection is withdrawn", facts)
            if odds and not MIN_ODDS <= odds <= MAX_ODDS:
                return Refused(Reason.OUT_OF_BOUNDS, facts=facts)
        if not 0 <= self.for_ms <= MAX_HAND_MS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_for_s": MAX_HAND_MS // 1000})
        if market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        unrenewed = [name for name in market.unrenewed if name in self.odds]
        held = PricesHeld(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.odds_version + 1,
            self.odds,
            self.by,
            now_ms + self.for_ms if self.for_ms else 0,
            [name for name in unrenewed if name not in market.held],
        )
        return _renewed(now_ms, self, market, fixture, held) if unrenewed else held


class GiveBackPrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """Prices held by hand are the feed's again: its last ones, as old as they are.

    All of them where none is named. `run_out`: only those whose time is over, which nobody has to
    ask for; it is then written down for those who look on.
    """

    selection_ids: list[str] = msgspec.field(default_factory=list)
    run_out: bool = False

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event | tuple[Event, ...]:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        for selection_id in self.selection_ids:
            facts: dict[str, int | str] = {"selection_id": selection_id}
            if selection_id not in market.selections:
                return Refused(Reason.UNKNOWN_SELECTION, facts=facts)
            if selection_id not in market.held:
                return Refused(Reason.WRONG_STATUS, "its price is not held by hand", facts)
        odds = {
            name: market.held[name].feed_odds
            for name in self.selection_ids or market.held
            if not self.run_out or market.held[name].over(now_ms)
        }
        if not odds:
            return Refused(Reason.WRONG_STATUS, "no price is held by hand")
        given = PricesGivenBack(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.odds_version + 1,
            odds,
        )
        return _renewed(now_ms, self, market, fixture, given) if market.unrenewed else given


class MovePrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """Move prices as liability builds (`actors.risk.desk`), away from those that were given.

    Decided on a version of the prices: when those have changed since, it has to be decided again.
    Prices do not get younger by it, and those held by hand are not moved.
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
            if selection_id in market.held:
                facts: dict[str, int | str] = {"selection_id": selection_id}
                return Refused(Reason.WRONG_STATUS, "its price is held by hand", facts)
        if market.status not in TRADABLE:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        return prices_changed(now_ms, self, market, fixture, self.odds, moved=True)


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
            standing = ", ".join(sorted(market.causes))
            facts: dict[str, int | str] = {"max_causes": MAX_CAUSES, "causes": standing}
            return Refused(Reason.OUT_OF_BOUNDS, "one of its causes has to go first", facts)
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
        causes = _without(self.cause, market.causes)
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
    A withdrawal is no cause any more where somebody opens the market by hand, and so takes bets at
    the prices that there are.
    """

    status: MarketStatus
    in_play: bool
    bet_delay_ms: int
    by_hand: bool = False

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
        if self.by_hand and self.status is MarketStatus.OPEN:
            causes = _without(WITHDRAWAL, causes)
        return status_changed(
            now_ms, self, market, fixture, self.status, causes, self.in_play, self.bet_delay_ms
        )


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
    behind: dict[str, int] = msgspec.field(default_factory=dict)
    """What the feed says of selections whose prices are held by hand: it is not shown."""

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
            if market.held:
                market.held.pop(selection_id, None)  # its time had run out
        if market.unrenewed and not self.moved:
            _renew(market, self.odds)
        for selection_id, odds in self.behind.items():
            hand = market.held.get(selection_id)
            # A copy that was made by a clock ahead of the market's has given it back already.
            if hand is not None:
                market.held[selection_id] = msgspec.structs.replace(hand, feed_odds=odds)


class PricesHeld(MarketEvent, frozen=True, array_like=True, tag=True):
    """Prices are held by hand, and so not the feed's."""

    odds_version: int
    odds: dict[str, int]
    by: str
    until_ms: int = 0
    """0: until they are given back."""
    unkept: list[str] = msgspec.field(default_factory=list)
    """Selections of which the feed's price is from before a withdrawal, and not kept behind."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.odds_version = self.odds_version
        _renew(market, self.odds)
        for selection_id, odds in self.odds.items():
            selection, before = market.selections[selection_id], market.held.get(selection_id)
            feed_odds = before.feed_odds if before else selection.base_odds or selection.odds
            if selection_id in self.unkept:
                feed_odds = 0
            market.held[selection_id] = HandPrice(feed_odds, self.by, self.at_ms, self.until_ms)
            selection.odds, selection.base_odds = odds, 0


class PricesGivenBack(MarketEvent, frozen=True, array_like=True, tag=True):
    """Prices held by hand are the feed's again: by somebody's word, or because time ran out."""

    odds_version: int
    odds: dict[str, int]

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.odds_version = self.odds_version
        for selection_id, odds in self.odds.items():
            selection = market.selections[selection_id]
            selection.odds, selection.base_odds = odds, 0
            market.held.pop(selection_id, None)
        _renew(market, self.odds)


def _renew(market: Market, said: dict[str, int]) -> None:
    market.unrenewed = [name for name in market.unrenewed if name not in said]


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
        if WITHDRAWAL not in self.causes:
            market.unrenewed = []
        market.in_play = self.in_play
        market.bet_delay_ms = self.bet_delay_ms
        market.longest_delay_ms = max(market.longest_delay_ms, self.bet_delay_ms)
        if self.status is not MarketStatus.OPEN:
            market.book.break_holds()


class LimitsChanged(DeskEvent, frozen=True, array_like=True, tag=True):
    limits: Limits
    version: int = 0
    """How often they were changed with it; 0 where nobody counted yet."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        market.limits = self.limits
        market.limits_version = self.version
