"""A market's result bit by bit, and undone: the second half of the story of `actors.market`.

Selections are decided while others are not (`SettleSelections`), a result is taken back and its
bets are open again (`RollBackResult`), bets that were accepted in a certain time are void, whatever
the result (`VoidPlaced`, undone by `RollBackVoid`), and a selection joins late (`AddSelection`).

Each of them but the last is a new version of the market's result, and bets are told that version:
what it makes of a bet follows from the result and from the times in which bets are void, and from
nothing that was before. So it does not matter which versions a bet has missed.

Bets that are opened again take room in the book. Until all of them are, and the ledger has been
read since, the market takes no others.
"""

from __future__ import annotations

import msgspec

from actors.base import Event, Reason, Refused
from actors.declaring import refuse_starting_odds, take_results
from actors.fixture import Fixture
from actors.market import (
    MAX_SELECTIONS,
    VOIDED,
    Market,
    MarketCommand,
    MarketEvent,
    MarketStatus,
    Selection,
)
from actors.results import Result, Window
from actors.trading import status_changed

MAX_WINDOWS = 100
"""Times at once in which a market's bets are void."""


class SettleSelections(MarketCommand, frozen=True, array_like=True, tag=True):
    """How some selections came out, while others are undecided: bets on these settle now, and the
    market is closed. Said again with another result, it corrects.

    The results of the place part belong to it where the terms have one, and the starting price of
    each selection that pays at it. Withdrawn selections stay as they are.
    """

    results: dict[str, Result]
    places: dict[str, Result] = msgspec.field(default_factory=dict)
    starting_odds: dict[str, int] = msgspec.field(default_factory=dict)

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        for selection_id in (*self.results, *self.places, *self.starting_odds):
            if selection_id not in market.selections:
                return Refused(Reason.UNKNOWN_SELECTION, facts={"selection_id": selection_id})
        if not self.results:
            return Refused(Reason.INCOMPLETE_RESULT, "there is no result in it")
        if market.status is MarketStatus.CANCELLED:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        starting = market.starting_odds | self.starting_odds if market.terms.starting_price else {}
        places = self.places if market.terms.places else {}
        results = {
            selection_id: result
            for selection_id, result in self.results.items()
            if not market.selections[selection_id].withdrawn
        }
        for selection_id, result in results.items():
            place = places.get(selection_id)
            if market.terms.places and place is None:
                return Refused(Reason.INCOMPLETE_RESULT, facts={"selection_id": selection_id})
            wrong = refuse_starting_odds(market, selection_id, (result, place), starting)
            if wrong:
                return wrong
        changed = {
            selection_id: result
            for selection_id, result in results.items()
            if result != market.results.get(selection_id)
            or places.get(selection_id) != market.places.get(selection_id)
            or starting.get(selection_id) != market.starting_odds.get(selection_id)
        }
        if not changed:
            return Refused(Reason.WRONG_STATUS, "that is the result already")
        return SelectionsDecided(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.result_version + 1,
            changed,
            len(market.results.keys() | changed.keys()),
            {of: place for of, place in places.items() if of in changed},
            {of: odds for of, odds in starting.items() if of in changed},
        )


class RollBackResult(MarketCommand, frozen=True, array_like=True, tag=True):
    """There is no result: every bet that was settled by it, or voided by a cancellation of the
    whole market, is open again, but where bets of its time are void. The market is suspended, and
    may open. Selections withdrawn before stay withdrawn, with what that takes off the others;
    starting prices are to be said again."""

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        undecided = [of for of in market.results if not market.selections[of].withdrawn]
        if not undecided and market.status is not MarketStatus.CANCELLED:
            return Refused(Reason.WRONG_STATUS, "there is no result")
        gone = market.result_of_withdrawn
        restored = {
            of: gone
            for of, result in market.results.items()
            if market.selections[of].withdrawn and result != gone
        }
        return ResultRolledBack(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.result_version + 1,
            undecided,
            restored,
        )


class VoidPlaced(MarketCommand, frozen=True, array_like=True, tag=True):
    """Bets on this market accepted in a certain time are void, whether they are open or settled,
    and stay so when a result comes. Others are left as they are.

    Where the time has no end, the market takes no bets until that is undone. A bet was accepted
    when its stake was taken, by the clock that the player's record shows.
    """

    window: Window

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event | tuple[Event, ...]:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        from_ms, until_ms = self.window.from_ms, self.window.until_ms
        if from_ms is None and until_ms is None:
            return Refused(Reason.OUT_OF_BOUNDS, "to void every bet is to cancel the market")
        if from_ms is not None and until_ms is not None and from_ms > until_ms:
            return Refused(Reason.OUT_OF_BOUNDS, "that time ends before it begins")
        if from_ms is not None and from_ms > now_ms:
            return Refused(Reason.OUT_OF_BOUNDS, "that time has not begun")
        if self.window in market.windows:
            return Refused(Reason.WRONG_STATUS, "those bets are void already")
        if len(market.windows) >= MAX_WINDOWS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_windows": MAX_WINDOWS})
        causes, seq = market.causes, fixture.seq
        suspended: tuple[Event, ...] = ()
        if until_ms is None and VOIDED not in causes:
            causes = causes | {VOIDED: now_ms}
            suspended = (
                status_changed(now_ms, self, market, fixture, market.status_behind, causes),
            )
        return *suspended, PlacedVoided(
            now_ms,
            self.fixture_id,
            self.market_id,
            seq + len(suspended) + 1,
            market.result_version + 1,
            self.window,
        )


class RollBackVoid(MarketCommand, frozen=True, array_like=True, tag=True):
    """`VoidPlaced` of the same time is undone: its bets are open again, or settled by the market's
    result where it has one."""

    window: Window

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event | tuple[Event, ...]:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.window not in market.windows:
            return Refused(Reason.WRONG_STATUS, "no bets of that time are void")
        others = [window for window in market.windows if window != self.window]
        resumed: tuple[Event, ...] = ()
        if VOIDED in market.causes and all(window.until_ms is not None for window in others):
            causes = {cause: since for cause, since in market.causes.items() if cause != VOIDED}
            resumed = (status_changed(now_ms, self, market, fixture, market.status_behind, causes),)
        return *resumed, VoidRolledBack(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + len(resumed) + 1,
            market.result_version + 1,
            self.window,
        )


class AddSelection(MarketCommand, frozen=True, array_like=True, tag=True):
    """The market has one more selection than when it was opened; it has no price yet."""

    selection_id: str
    name: str

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.selection_id in market.selections:
            return Refused(Reason.ALREADY_EXISTS)
        if market.finished or (market.decided and not market.only_withdrawn()):
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        count = len(market.selections) + 1
        if count > MAX_SELECTIONS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_selections": MAX_SELECTIONS})
        contradiction = market.terms.contradiction(count)
        if contradiction:
            return Refused(Reason.OUT_OF_BOUNDS, contradiction)
        return SelectionAdded(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            self.selection_id,
            self.name,
            count - 1,
        )


# What can happen to it


class SelectionsDecided(MarketEvent, frozen=True, array_like=True, tag=True):
    """The results of some selections are known, or corrected."""

    version: int
    results: dict[str, Result]
    """Those that are new."""
    known: int
    """Of how many selections the result is known with it."""
    places: dict[str, Result] = msgspec.field(default_factory=dict)
    starting_odds: dict[str, int] = msgspec.field(default_factory=dict)

    def apply(self, market: Market, fixture: Fixture) -> None:
        take_results(self, market, fixture)
        market.status = MarketStatus.CLOSED


class ResultRolledBack(MarketEvent, frozen=True, array_like=True, tag=True):
    """The market has no result any more."""

    version: int
    undecided: list[str]
    """Selections whose result was known."""
    results: dict[str, Result]
    """Of withdrawn ones that were cancelled with the others, what it is again."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        for selection_id in self.undecided:
            del market.results[selection_id]
            market.places.pop(selection_id, None)
            market.starting_odds.pop(selection_id, None)
        market.results |= self.results
        if market.terms.places:
            market.places |= self.results
        market.result_version = market.reopened_version = self.version
        market.status = market.behind = MarketStatus.SUSPENDED
        fixture.beside[self.market_id] = market


class PlacedVoided(MarketEvent, frozen=True, array_like=True, tag=True):
    """Bets of a certain time are void."""

    version: int
    window: Window

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.windows = (*market.windows, self.window)
        _change_windows(market, self.version)


class VoidRolledBack(MarketEvent, frozen=True, array_like=True, tag=True):
    """They are not."""

    version: int
    window: Window

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.windows = tuple(window for window in market.windows if window != self.window)
        market.reopened_version = self.version
        _change_windows(market, self.version)


def _change_windows(market: Market, version: int) -> None:
    market.windows_version = market.result_version = version
    if market.status is MarketStatus.SETTLED:
        market.status = MarketStatus.CLOSED  # until every bet is settled by this version
    market.book.break_holds()


class SelectionAdded(MarketEvent, frozen=True, array_like=True, tag=True):
    selection_id: str
    name: str
    number: int
    """Its place among the others, from 0."""

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.selections[self.selection_id] = Selection(self.name)
