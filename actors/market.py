"""One market of a fixture: its selections and prices, its status and its result.

What is journaled is what the house says. Which bets are on their way and what they may cost is in
the market's book (`actors.book`), in memory only.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.bet import PriceChange
from actors.book import HOLD_MS, Book, Confirmed, Hold, Line, liability_at
from actors.fixture import MAX_MARKETS, Fixture
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.results import VOID, Result
from ledger.money import MAX_MINOR, Money

MAX_BET_DELAY_MS = 12_000
MAX_SELECTIONS = 20_000


class MarketStatus(enum.StrEnum):
    OPEN = "open"
    SUSPENDED = "suspended"
    CLOSED = "closed"
    SETTLED = "settled"
    CANCELLED = "cancelled"


TRADABLE = (MarketStatus.OPEN, MarketStatus.SUSPENDED)
"""While a market may have prices."""


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """All in minor units of the market's currency."""

    min_stake_minor: int = 10
    max_stake_minor: int = 500_000
    max_liability_minor: int = 5_000_000
    """For each selection."""


class Selection(msgspec.Struct, array_like=True):
    name: str
    odds: int = 0
    """Zero while there is no price."""
    withdrawn: bool = False


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

    def __post_init__(self) -> None:
        self.book = Book()  # an attribute outside the fields: it is in no snapshot

    def woke(self) -> None:
        self.book = Book()

    def unsaved(self) -> bytes:
        return b"" if self.may_rest() else self.book.packed()

    def regain(self, unsaved: bytes) -> None:
        self.book = Book.unpacked(unsaved)

    def may_rest(self) -> bool:
        if not self.market_id:
            return True  # somebody asked for a market that there is not
        return self.finished and self.settled_version == self.result_version and not self.book.holds

    @property
    def finished(self) -> bool:
        return self.status in (MarketStatus.SETTLED, MarketStatus.CANCELLED)

    def refuse_price(self, selection_id: str, asked: int, policy: PriceChange) -> Refused | None:
        """Why a bet at `asked` odds can't be had now: the ladder of placing, up to the price."""
        if not self.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        selection = self.selections.get(selection_id)
        if selection is None:
            return Refused(Reason.UNKNOWN_SELECTION)
        if self.status is MarketStatus.SUSPENDED:
            return Refused(Reason.MARKET_SUSPENDED)
        if self.status is not MarketStatus.OPEN:
            return Refused(Reason.MARKET_CLOSED)
        if selection.withdrawn or not MIN_ODDS <= selection.odds <= MAX_ODDS:
            return Refused(Reason.SELECTION_UNAVAILABLE)
        moved = selection.odds != asked
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

    def only_withdrawn(self) -> bool:
        """Whether no result is known but that of withdrawn selections, which are void."""
        return all(self.selections[selection_id].withdrawn for selection_id in self.results)


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

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id), ref("fixture", self.fixture_id))

    def answer(self, now_ms: int, market: Market, fixture: Fixture) -> Held | Refused:
        # Asked again, because the first answer was lost: what it has had does not count against it.
        had = market.book.release(self.bet_id)
        answer = self._answer(now_ms, market, fixture)
        if had and isinstance(answer, Refused):
            # The first answer may not have been lost: its bet may be on its way to the wallet.
            market.book.put_back(had)
        return answer

    def _answer(self, now_ms: int, market: Market, fixture: Fixture) -> Held | Refused:
        refused = market.refuse_price(self.selection_id, self.odds, self.policy)
        if refused:
            return refused
        if fixture.over:  # whatever its market says
            return Refused(Reason.MARKET_CLOSED)
        if self.stake.currency != market.currency:
            return Refused(Reason.CURRENCY_MISMATCH, facts={"currency": market.currency})
        limits = market.limits
        if self.stake.minor < limits.min_stake_minor:
            return Refused(
                Reason.STAKE_TOO_SMALL, facts={"min_stake_minor": limits.min_stake_minor}
            )
        if self.stake.minor > limits.max_stake_minor:
            return Refused(
                Reason.STAKE_ABOVE_LIMIT, facts={"max_stake_minor": limits.max_stake_minor}
            )
        if not market.book.known:
            return Refused(Reason.LIABILITY_UNKNOWN)
        odds = market.selections[self.selection_id].odds
        liability = liability_at(self.liability_minor, self.stake.minor, self.odds, odds)
        refused = market.book.refuse(
            self.selection_id, self.stake.minor, odds, limits.max_liability_minor, liability
        )
        if refused:
            return refused
        # From here the room is taken.
        expires_at_ms = now_ms + market.bet_delay_ms + HOLD_MS
        market.book.hold(
            Hold(
                self.bet_id,
                self.player_id,
                self.licence,
                self.selection_id,
                self.stake.minor,
                odds,
                expires_at_ms,
                liability_minor=liability,
            )
        )
        return _held(market, fixture, self.selection_id, expires_at_ms)


class LookAgain(Question, frozen=True, array_like=True, tag=True):
    """The bet delay has passed: is the price still to be had? A refusal gives the room back."""

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
        refused = market.refuse_price(hold.selection_id, self.odds, self.policy)
        market.book.release(self.bet_id)
        if hold.broken:
            return Refused(Reason.MARKET_SUSPENDED)
        if fixture.over:
            return Refused(Reason.MARKET_CLOSED)
        if refused:
            return refused
        odds = market.selections[hold.selection_id].odds
        liability = liability_at(hold.liability_minor, hold.stake_minor, hold.odds, odds)
        refused = market.book.refuse(
            hold.selection_id,
            hold.stake_minor,
            odds,
            market.limits.max_liability_minor,
            liability,
        )
        if refused:
            return refused
        hold.odds = odds
        hold.liability_minor = liability
        market.book.hold(hold)
        return _held(market, fixture, hold.selection_id, hold.expires_at_ms)


def _held(market: Market, fixture: Fixture, selection_id: str, expires_at_ms: int) -> Held:
    selection = market.selections[selection_id]
    return Held(
        selection.odds,
        market.odds_version,
        market.bet_delay_ms if market.in_play else 0,
        expires_at_ms,
        fixture.name,
        market.name,
        selection.name,
        market.in_play,
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
    """Asked by the settlement, which waits until no bet on these selections can come any more.

    A former owner that does not know of the result yet can't say: its successor may have holds.
    """

    market_id: str
    selection_ids: list[str]
    result_version: int = 0

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id),)

    def answer(self, now_ms: int, market: Market) -> OpenHolds:
        selections = set(self.selection_ids)
        holds = sum(hold.selection_id in selections for hold in market.book.holds.values())
        knows = market.result_version >= self.result_version
        return OpenHolds(knows and market.book.whole, holds)


class SelectionView(msgspec.Struct, frozen=True, array_like=True):
    selection_id: str
    name: str
    odds: int
    withdrawn: bool
    result: Result | None


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
                )
                for selection_id, selection in market.selections.items()
            ],
            market.odds_version,
            market.result_version,
            market.settled_version,
            fixture.seq,
        )


class Exposure(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A market's book as the desk sees it."""

    market_id: str
    known: bool
    lines: dict[str, Line]
    holds: int


class GetExposure(Question, frozen=True, array_like=True, tag=True):
    market_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("market", self.market_id),)

    def answer(self, now_ms: int, market: Market) -> Exposure | Refused:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        book = market.book
        return Exposure(market.market_id, book.known, dict(book.lines), len(book.holds))


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

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not fixture.fixture_id:
            return Refused(Reason.UNKNOWN_FIXTURE)
        if market.market_id:
            return Refused(Reason.ALREADY_EXISTS)
        limits = self.limits
        if not 0 < limits.min_stake_minor <= limits.max_stake_minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, "the limits of the stake contradict themselves")
        if not 0 < len(self.selections) <= MAX_SELECTIONS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_selections": MAX_SELECTIONS})
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
            )
        return Refused(
            Reason.WRONG_STATUS, facts={"phase": fixture.phase, "markets": len(fixture.markets)}
        )


class ChangePrices(MarketCommand, frozen=True, array_like=True, tag=True):
    """New prices of some selections; 0 takes a price off the board.

    A feed numbers its changes with `sequence`, which then does the work of a key: what is not
    above the last one is refused. A trader's change carries 0 and a key instead.
    """

    odds: dict[str, int]
    sequence: int = 0

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        if self.sequence and self.sequence <= market.source_sequence:
            return Refused(Reason.STALE_SEQUENCE, facts={"sequence": market.source_sequence})
        for selection_id in self.odds:
            if selection_id not in market.selections:
                return Refused(Reason.UNKNOWN_SELECTION, facts={"selection_id": selection_id})
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
        )


class ChangeStatus(MarketCommand, frozen=True, array_like=True, tag=True):
    """Open, suspend or close the market; say whether it is in play and with what bet delay."""

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
        return StatusChanged(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            self.status,
            self.in_play,
            self.bet_delay_ms,
        )


class WithdrawSelection(MarketCommand, frozen=True, array_like=True, tag=True):
    """A runner is removed: bets on it are void, and the others run on."""

    selection_id: str

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        selection = market.selections.get(self.selection_id)
        if selection is None:
            return Refused(Reason.UNKNOWN_SELECTION)
        if selection.withdrawn or market.finished:
            return Refused(Reason.WRONG_STATUS, facts={"status": market.status})
        return SelectionWithdrawn(
            now_ms,
            self.fixture_id,
            self.market_id,
            fixture.seq + 1,
            market.result_version + 1,
            self.selection_id,
        )


class DeclareResult(MarketCommand, frozen=True, array_like=True, tag=True):
    """How every selection came out, as known now. Declared again, it corrects the last one.

    The results of all selections are needed, but for withdrawn ones, which stay void. `cancelled`
    voids the whole market and needs none.
    """

    results: dict[str, Result]
    cancelled: bool = False

    def decide(self, now_ms: int, market: Market, fixture: Fixture) -> Event:
        if not market.market_id:
            return Refused(Reason.UNKNOWN_MARKET)
        for selection_id in self.results:
            if selection_id not in market.selections:
                return Refused(Reason.UNKNOWN_SELECTION, facts={"selection_id": selection_id})
        results = {
            selection_id: VOID
            if self.cancelled or selection.withdrawn
            else self.results.get(selection_id)
            for selection_id, selection in market.selections.items()
        }
        missing = [selection_id for selection_id, result in results.items() if result is None]
        if missing:
            return Refused(Reason.INCOMPLETE_RESULT, facts={"selection_id": missing[0]})
        changed = {
            selection_id: result
            for selection_id, result in results.items()
            if result is not None and result != market.results.get(selection_id)
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
        )


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
        market.selections = {
            selection_id: Selection(name) for selection_id, name in self.selections.items()
        }
        market.book.known = market.book.whole = True  # nobody can have bet on it yet
        market.book.read_at_ms = self.at_ms


class PricesChanged(MarketEvent, frozen=True, array_like=True, tag=True):
    odds_version: int
    odds: dict[str, int]
    source_sequence: int

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.odds_version = self.odds_version
        market.source_sequence = self.source_sequence
        for selection_id, odds in self.odds.items():
            market.selections[selection_id].odds = odds


class StatusChanged(MarketEvent, frozen=True, array_like=True, tag=True):
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.status = self.status
        market.in_play = self.in_play
        market.bet_delay_ms = self.bet_delay_ms
        market.longest_delay_ms = max(market.longest_delay_ms, self.bet_delay_ms)
        if self.status is not MarketStatus.OPEN:
            market.book.break_holds()


class SelectionWithdrawn(MarketEvent, frozen=True, array_like=True, tag=True):
    version: int
    selection_id: str

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        selection = market.selections[self.selection_id]
        selection.withdrawn = True
        selection.odds = 0
        market.results[self.selection_id] = VOID
        market.result_version = self.version


class ResultDeclared(MarketEvent, frozen=True, array_like=True, tag=True):
    """The market's result is complete, or corrected."""

    version: int
    results: dict[str, Result]
    """Of those selections only whose result is new: bets on the others are settled already."""
    cancelled: bool

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.results |= self.results
        market.result_version = self.version
        market.status = MarketStatus.CANCELLED if self.cancelled else MarketStatus.CLOSED
        market.book.break_holds()


class SettlementCompleted(MarketEvent, frozen=True, array_like=True, tag=True):
    version: int

    def apply(self, market: Market, fixture: Fixture) -> None:
        fixture.seq = self.seq
        market.settled_version = self.version
        # Not by an earlier result, which the settlement may finish after a correction of it.
        last = self.version == market.result_version
        complete = len(market.results) == len(market.selections)
        if last and complete and market.status is MarketStatus.CLOSED:
            market.status = MarketStatus.SETTLED
