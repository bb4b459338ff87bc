"""How a market ends: runners are withdrawn, the result is declared, and it is settled.

A result that comes in part, or is taken back, is in `actors.outcomes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol

import msgspec

from actors.base import Event, Reason, Refused
from actors.fixture import Fixture
from actors.market import (
    TRADABLE,
    WITHDRAWAL,
    Market,
    MarketCommand,
    MarketEvent,
    MarketStatus,
)
from actors.odds import MAX_ODDS, MIN_ODDS, ONE
from actors.results import VOID, Outcome, Result
from actors.slips.outcomes import finished
from actors.terms import Gone
from actors.trading import status_changed

MAX_TIED = 1_000


class WithdrawSelection(MarketCommand, frozen=True, array_like=True, tag=True):
    """A runner is removed: bets on it are void (ante-post lost), and the others run on.

    Where that takes something off the others' prices, it is by the price that the runner has now,
    or by `odds` where its price was taken off before; or by `reduction`, its factor. It then has to
    happen before the result: what bets on the others are settled by is known with that.

    Nor may anybody bet after it at a price from before it, which would not be cut: the market is
    suspended in the same step, until all its prices were said again or somebody opens it by hand.
    """

    selection_id: str
    odds: int = 0
    reduction: int = 0
    """In ten-thousandths."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event | tuple[Event, ...]:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        selection = market.selections.get(self.selection_id)
        if selection is None:
            return Refused(Reason.UNKNOWN_SELECTION)
        if selection.withdrawn:
            return Refused(Reason.WRONG_STATUS, "it is withdrawn already")
        if market.finished:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        gone = renew = None
        suspended: tuple[Event, ...] = ()
        if market.terms.deducts:
            if not market.only_withdrawn():
                return Refused(Reason.WRONG_STATUS, "the result is declared")
            if not (0 <= self.odds <= MAX_ODDS and 0 <= self.reduction < ONE):
                return Refused(Reason.OUT_OF_BOUNDS, facts={"max_odds": MAX_ODDS})
            odds = self.odds or market.odds_at(self.selection_id, now_ms)
            gone = Gone(market.odds_version + 1, odds, self.reduction)
            renew = [
                name
                for name, other in market.selections.items()
                # A feed may have priced who is gone, before it heard of that; and never again.
                if other.odds and not other.withdrawn and name != self.selection_id
            ]
            causes = {cause: since for cause, since in market.causes.items() if cause != WITHDRAWAL}
            if renew:
                causes[WITHDRAWAL] = market.causes.get(WITHDRAWAL, now_ms)
            if causes != market.causes:
                behind = market.status_behind
                suspended = (status_changed(now_ms, self, market, fixture, behind, causes),)
        withdrawn = SelectionWithdrawn(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + len(suspended) + 1,
            market.result_version + 1,
            self.selection_id,
            gone,
            self.selection_id in market.results,
            renew,
        )
        return (*suspended, withdrawn) if suspended else withdrawn


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
    by_hand: bool = False
    """It is refused if more selections win than can: a slip of the hand. A feed's word is taken."""

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
        if self.by_hand and market.winners and wins_in(results.values()) > market.winners:
            facts: dict[str, int | str] = {"winners": market.winners}
            return Refused(Reason.OUT_OF_BOUNDS, "more selections win than can", facts)
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


def wins_in(results: Iterable[Result | None]) -> Fraction:
    """How many wins they come to: who are in a dead heat share theirs."""
    whole = (one for one in results if one is not None and one.outcome is Outcome.WON)
    return sum((Fraction(one.places, one.tied) for one in whole), Fraction(0))


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


class SelectionWithdrawn(MarketEvent, frozen=True, array_like=True, tag=True):
    version: int
    selection_id: str
    gone: Gone | None = None
    """What it takes off the others' prices follows from this; None where it takes nothing."""
    decided: bool = False
    """Its result was known already."""
    renew: list[str] | None = None
    """Selections whose price is from before it, where that must not be bet at any more."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        selection = market.selections[self.selection_id]
        selection.withdrawn = True
        selection.odds = selection.base_odds = 0
        market.held.pop(self.selection_id, None)
        result = market.result_of_withdrawn
        market.results[self.selection_id] = result
        if market.terms.places:
            market.places[self.selection_id] = result
        if self.gone is not None:
            market.gone[self.selection_id] = self.gone
            market.odds_version = self.gone.odds_version
            # A price of before that is only taken now would go uncut, as if it knew of it.
            market.book.offers.clear()
            market.book.break_holds()
        if self.renew is not None:
            market.unrenewed = self.renew
            for name, hand in market.held.items():
                # What the feed said behind a price held by hand is from before it, too.
                market.held[name] = msgspec.structs.replace(hand, feed_odds=0)
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
        take_results(self, market, fixture)
        market.status = MarketStatus.CANCELLED if self.cancelled else MarketStatus.CLOSED


class Decided(Protocol):
    """An event by which results are known, with what belongs to them."""

    @property
    def market_id(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def results(self) -> dict[str, Result]: ...
    @property
    def places(self) -> dict[str, Result]: ...
    @property
    def starting_odds(self) -> dict[str, int]: ...


def take_results(event: Decided, market: Market, fixture: Fixture) -> None:
    """Fold the results in. What was on its way to a bet comes too late for them."""
    fixture.seq = event.seq
    market.results |= event.results
    market.places |= event.places
    market.starting_odds |= event.starting_odds
    market.result_version = event.version
    market.book.break_holds()
    fixture.beside[event.market_id] = market


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
