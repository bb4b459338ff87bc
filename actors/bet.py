"""One bet, from the moment its stake is taken, a neighbour of its player's wallet.

What is decided here are singles: one leg. Bets of several lines are the same actor, with a slip
(`actors.multiple`), and both can be bought back (`actors.cashout`).

A single settles by the version of its market's result. A higher version reverses what the last one
paid and pays again, or leaves it open again where no result stands any more; an equal or lower one
is refused, so that settling twice, late or out of order changes nothing. A version that changes
nothing for the bet is noted all the same, or an older one could still come late and count.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, Several, ref
from actors.results import VOID, Result, Window, is_void_by, payout_minor
from actors.slips import slip as slips
from actors.slips.kinds import Kind
from actors.slips.settling import Known, settle
from actors.slips.slip import Selection, Slip
from actors.terms import Off
from actors.wallet import Wallet, transfers_in
from ledger.accounts import AccountKind, Transfer, account_of
from ledger.money import MAX_MINOR, Money


class PriceChange(enum.StrEnum):
    """Which changes of the price the player takes without being asked again."""

    NONE = "none"
    BETTER = "better"
    ANY = "any"


class BetState(enum.StrEnum):
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    VOID = "void"
    HALF_WON = "half_won"
    HALF_LOST = "half_lost"
    PARTLY_WON = "partly_won"
    """Of several lines some have paid."""
    CASHED_OUT = "cashed_out"
    """Bought back in full: no result changes it any more."""


class Leg(msgspec.Struct, frozen=True, array_like=True):
    """A selection and the price it was taken at, with the names a wager record has to show."""

    fixture_id: str
    market_id: str
    selection_id: str
    odds: int
    """0 at the starting price; of a selection under a joint price its own."""
    odds_version: int
    fixture_name: str
    market_name: str
    selection_name: str
    in_play: bool = False

    @property
    def selection(self) -> Selection:
        return self.market_id, self.selection_id


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a leg, and by which version of its market's result; 0 while nothing is."""

    known: Known = Known()
    version: int = 0


class Bet(Actor):
    bet_id: str = ""
    player_id: str = ""
    currency: str = ""
    stake_minor: int = 0
    legs: tuple[Leg, ...] = ()
    placed_at_ms: int = 0
    state: BetState = BetState.OPEN
    payout_minor: int = 0
    result_version: int = 0
    """Version of the market's result that the bet was last told of; 0 before the first."""
    settled_at_ms: int = 0
    cashed_out_minor: int = 0
    """Paid for the parts that were bought back, beside `payout_minor`, which is for the rest."""
    bought_minor: int = 0
    """Of the stake, bought back; `stake_minor` is the rest."""
    slip: Slip | None = None
    """Of several lines: what is left of it. `legs` has one for each of its selections."""
    facts: tuple[Fact, ...] = ()
    """Of each leg of a slip; of a single in a dead heat, or once a withdrawal takes something off
    its price."""
    corrections: int = 0
    """How often a result that it was settled by was another one later."""


# What may be asked


class BetView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    bet_id: str
    player_id: str
    currency: str
    stake_minor: int
    legs: tuple[Leg, ...]
    placed_at_ms: int
    state: BetState
    payout_minor: int
    result_version: int
    settled_at_ms: int
    cashed_out_minor: int = 0
    bought_minor: int = 0
    slip: Slip | None = None
    facts: tuple[Fact, ...] = ()
    corrections: int = 0


class GetBet(Question, frozen=True, array_like=True, tag=True):
    player_id: str
    bet_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("bet", self.bet_id),)

    def answer(self, now_ms: int, bet: Bet) -> BetView | Refused:
        # Somebody else's bet is answered as if there were none.
        if not bet.bet_id or bet.player_id != self.player_id:
            return Refused(Reason.UNKNOWN_BET)
        return BetView(
            bet.bet_id,
            bet.player_id,
            bet.currency,
            bet.stake_minor,
            bet.legs,
            bet.placed_at_ms,
            bet.state,
            bet.payout_minor,
            bet.result_version,
            bet.settled_at_ms,
            bet.cashed_out_minor,
            bet.bought_minor,
            bet.slip,
            bet.facts,
            bet.corrections,
        )


class ResolveHold(Command, frozen=True, array_like=True, tag=True):
    """Asked by a market about a hold that ran out unanswered: was its bet placed?

    The wallet refuses a bet whose hold has run out by the clock of the wallet's own shard; so it
    is that clock, and no other, that says when "not placed" is final. What is final is written
    down: a former owner of the partition, which does not know of the bet, can't write any more.
    """

    player_id: str
    bet_id: str
    hold_expires_at_ms: int

    def cast(self) -> tuple[str, ...]:
        return (ref("bet", self.bet_id),)

    def decide(self, now_ms: int, bet: Bet) -> Event:
        placed = bet.bet_id != ""
        if not placed and now_ms <= self.hold_expires_at_ms:
            return Refused(Reason.WRONG_STATUS, "its hold has not run out here")
        return HoldResolved(now_ms, self.bet_id, placed)


class PlaceBet(Command, frozen=True, array_like=True, tag=True):
    """Take the stake of a bet whose market has been asked.

    Where the market refused, `refused` says so: the wallet is told all the same, because the
    first answer to the player's key is kept there, whichever actor gave it.
    """

    player_id: str
    bet_id: str
    stake: Money
    legs: tuple[Leg, ...]
    hold_expires_at_ms: int
    refused: Refused | None = None

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        if not wallet.opened:
            return Refused(Reason.UNKNOWN_PLAYER)
        if self.refused:
            return self.refused
        if not 0 < self.stake.minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        if self.stake.currency != wallet.currency:
            return Refused(Reason.CURRENCY_MISMATCH, facts={"currency": wallet.currency})
        if self.stake.minor > wallet.cash_minor:
            return Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": wallet.cash_minor})
        if now_ms > self.hold_expires_at_ms:
            return Refused(Reason.HOLD_EXPIRED)
        # From here the stake is taken.
        return BetPlaced(
            now_ms,
            self.player_id,
            self.bet_id,
            self.stake,
            self.legs,
            wallet.cash_minor - self.stake.minor,
            wallet.held_minor + self.stake.minor,
            wallet.version + 1,
        )


class SettleBet(Command, frozen=True, array_like=True, tag=True):
    """Settle the leg in one market by a version of its result. The version is its key.

    Without a result the bet is open, unless it was accepted while bets are void.
    """

    player_id: str
    bet_id: str
    market_id: str
    selection_id: str
    result: Result | None
    version: int
    off: Off | None = None
    windows: tuple[Window, ...] = ()

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id), ref("bet", self.bet_id))

    def decide(self, now_ms: int, wallet: Wallet, bet: Bet) -> Event | tuple[Event, ...]:
        if not bet.bet_id:
            return Refused(Reason.UNKNOWN_BET)
        leg = bet.legs[0]
        if (leg.market_id, leg.selection_id) != (self.market_id, self.selection_id):
            return Refused(Reason.NOT_A_LEG)
        if self.version <= bet.result_version or bet.state is BetState.CASHED_OUT:
            return Refused(Reason.SUPERSEDED, facts={"version": bet.result_version})
        # From here the bet is settled by this version, the money of the last one taken back first.
        result = VOID if is_void_by(self.windows, bet.placed_at_ms) else self.result
        known, payout = None, 0
        if result is not None:
            if self.off is not None:
                known = less(leg, Known(result), self.off)
            elif result.tied != result.places:
                known = Known(result)  # its player is shown what was shared
            payout = single_pays(leg, bet.stake_minor, result, known)
        stake = Money(bet.stake_minor, bet.currency)
        if self._changes_nothing(bet, result, payout, known):
            return self._noted(now_ms, stake)
        if bet.state is BetState.OPEN:
            assert result is not None
            cash, debt, held = wallet.cash_minor, wallet.debt_minor, wallet.held_minor
            return self._settled(now_ms, stake, result, payout, cash, debt, held, known)
        taken = min(bet.payout_minor, wallet.cash_minor)
        owed = bet.payout_minor - taken
        reversed_ = SettlementReversed(
            now_ms,
            self.player_id,
            self.bet_id,
            stake,
            bet.result_version,
            taken,
            owed,
            wallet.cash_minor - taken,
            wallet.held_minor + bet.stake_minor,
        )
        if result is None:
            return reversed_, self._noted(now_ms, stake)
        cash, debt = wallet.cash_minor - taken, wallet.debt_minor + owed
        held = wallet.held_minor + bet.stake_minor
        return reversed_, self._settled(now_ms, stake, result, payout, cash, debt, held, known)

    def _changes_nothing(
        self, bet: Bet, result: Result | None, payout: int, known: Known | None
    ) -> bool:
        if result is None or bet.state is BetState.OPEN:
            return result is None and bet.state is BetState.OPEN
        was_known = bet.facts[0].known if bet.facts else None
        now = (BetState(result.outcome), payout, known)
        return (bet.state, bet.payout_minor, was_known) == now

    def _noted(self, now_ms: int, stake: Money) -> VersionNoted:
        return VersionNoted(
            now_ms,
            self.player_id,
            self.bet_id,
            stake,
            self.market_id,
            self.selection_id,
            self.version,
        )

    def _settled(
        self,
        now_ms: int,
        stake: Money,
        result: Result,
        payout: int,
        cash: int,
        debt: int,
        held: int,
        known: Known | None,
    ) -> BetSettled:
        """`cash`, `debt` and `held` are the wallet's just before."""
        repaid = min(payout, debt)
        return BetSettled(
            now_ms,
            self.player_id,
            self.bet_id,
            stake,
            self.market_id,
            self.selection_id,
            result,
            self.version,
            payout,
            repaid,
            cash + payout - repaid,
            held - stake.minor,
            known,
        )


def single(leg: Leg, stake_minor: int) -> Slip:
    """A single as a slip, for what is worked out alike of both."""
    one = slips.Leg(leg.fixture_id, leg.market_id, leg.selection_id, leg.odds)
    return Slip((one,), Kind.SINGLE, stake_minor)


def single_pays(leg: Leg, stake_minor: int, result: Result, known: Known | None) -> int:
    """What a single pays in minor units; `known` where there is more to it than the result."""
    if known is None:
        return min(payout_minor(stake_minor, leg.odds, result), MAX_MINOR)
    return settle(single(leg, stake_minor), {leg.selection: known}).paid_minor


def less(leg: Leg, known: Known, off: Off) -> Known:
    """The same, with what withdrawals since the leg's price take off it."""
    deduction, reductions = off.deduction(leg.odds_version), off.reductions_of(leg.odds_version)
    return msgspec.structs.replace(known, deduction=deduction, reductions=reductions)


class Settling(msgspec.Struct, frozen=True, array_like=True):
    """A selection, how it came out, and the version of that: what its bets are settled by."""

    selection_id: str
    result: Result | None
    """None: it is open, or open again."""
    version: int
    withdrawn: bool = False
    """It takes no part, which is another thing than void for who bet on it ante-post."""
    place: Result | None = None
    """How the place part came out, where the market has one."""
    starting_odds: int = 0
    off: Off | None = None
    """What withdrawals of others take off its prices."""
    windows: tuple[Window, ...] = ()
    """When bets on it were accepted that are void."""

    def for_bet_of(self, placed_at_ms: int) -> Settling:
        """The same as it is for a bet that was accepted then."""
        if not is_void_by(self.windows, placed_at_ms):
            return self
        return Settling(self.selection_id, VOID, self.version, place=VOID)

    def known_of(self, leg: Leg) -> Known:
        """What is known of it, as it concerns a bet with that leg."""
        if self.result is None:
            return Known()
        known = Known(self.result, self.place, self.withdrawn, self.starting_odds)
        # What is to be had at the starting price was priced at the off, after every withdrawal.
        return known if self.off is None or not leg.odds else less(leg, known, self.off)


class SettledBets(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What became of many settlements. The bets that are in neither count were settled before, or
    are open again."""

    settled: int
    payout_minor: int
    wrong: list[str]
    """Ids of bets that refused as no bet ever should."""
    elsewhere: list[tuple[str, str]] = []
    """Fixtures and markets whose books change with it."""


class SettleBets(Several, frozen=True, array_like=True, tag=True):
    """`SettleBet` for many bets on one market, whose players are neighbours."""

    market_id: str
    selections: tuple[Settling, ...]
    bets: list[tuple[str, str, int]]
    """Player, bet, and which of `selections` it was on."""

    def cast(self) -> tuple[str, ...]:
        wallets = {ref("wallet", player_id): None for player_id, _, _ in self.bets}
        return (*wallets, *(ref("bet", bet_id) for _, bet_id, _ in self.bets))

    def each(self) -> Iterator[SettleBet]:
        for player_id, bet_id, number in self.bets:
            on = self.selections[number]
            yield SettleBet(
                player_id,
                bet_id,
                self.market_id,
                on.selection_id,
                on.result,
                on.version,
                on.off,
                on.windows,
            )

    def sum_up(self, answers: Sequence[Event]) -> SettledBets:
        settled = payout = 0
        wrong = []
        for (_, bet_id, _), answer in zip(self.bets, answers, strict=True):
            if isinstance(answer, BetSettled):
                settled += 1
                payout += answer.payout_minor
            elif isinstance(answer, VersionNoted):
                pass
            elif not (isinstance(answer, Refused) and answer.reason is Reason.SUPERSEDED):
                wrong.append(bet_id)
        return SettledBets(settled, payout, wrong)


# What can happen to it


class HoldResolved(Event, frozen=True, array_like=True, tag=True):
    """Its hold has run out: the bet was placed, or it will never be."""

    at_ms: int
    bet_id: str
    placed: bool

    def cast(self) -> tuple[str, ...]:
        return ()

    def apply(self) -> None:
        pass


class BetEvent(Event, frozen=True, array_like=True, tag=True):
    """Something that happened to a bet and its player's wallet."""

    at_ms: int
    player_id: str
    bet_id: str
    stake: Money

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id), ref("bet", self.bet_id))


class BetPlaced(BetEvent, frozen=True, array_like=True, tag=True):
    births: ClassVar[bool] = True

    legs: tuple[Leg, ...]
    cash_after_minor: int
    held_after_minor: int
    wallet_version: int

    def apply(self, wallet: Wallet, bet: Bet) -> None:
        wallet.version += 1
        wallet.cash_minor -= self.stake.minor
        wallet.held_minor += self.stake.minor
        bet.bet_id = self.bet_id
        bet.player_id = self.player_id
        bet.currency = self.stake.currency
        bet.stake_minor = self.stake.minor
        bet.legs = self.legs
        bet.placed_at_ms = self.at_ms

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        cash = account_of(AccountKind.CASH, self.player_id)
        held = account_of(AccountKind.HELD, self.player_id)
        return (Transfer(cash, held, self.stake.minor, self.stake.currency),)


class BetSettled(BetEvent, frozen=True, array_like=True, tag=True):
    """The stake goes to the house and the payout comes from it, also where they are equal."""

    market_id: str
    selection_id: str
    result: Result
    version: int
    payout_minor: int
    debt_repaid_minor: int
    cash_after_minor: int
    held_after_minor: int
    known: Known | None = None
    """In a dead heat, and where a withdrawal takes something off prices of the market: what was
    taken off this one."""

    def apply(self, wallet: Wallet, bet: Bet) -> None:
        wallet.version += 1
        wallet.held_minor -= self.stake.minor
        wallet.receive(self.payout_minor)
        bet.state = BetState(self.result.outcome)
        bet.payout_minor = self.payout_minor
        bet.result_version = self.version
        bet.settled_at_ms = self.at_ms
        bet.facts = () if self.known is None else (Fact(self.known, self.version),)

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        held = account_of(AccountKind.HELD, self.player_id)
        revenue = account_of(AccountKind.REVENUE, partition)
        stake = Transfer(held, revenue, self.stake.minor, self.stake.currency)
        payout = Money(self.payout_minor, self.stake.currency)
        return (stake, *transfers_in(revenue, self.player_id, payout, self.debt_repaid_minor))


class SettlementReversed(BetEvent, frozen=True, array_like=True, tag=True):
    """The last settlement is undone: the payout is taken back and the stake is held again.

    What the player no longer has becomes a debt, on an account of its own.
    """

    version: int
    taken_minor: int
    owed_minor: int
    cash_after_minor: int
    held_after_minor: int

    def apply(self, wallet: Wallet, bet: Bet) -> None:
        wallet.version += 1
        wallet.cash_minor -= self.taken_minor
        wallet.debt_minor += self.owed_minor
        wallet.held_minor += self.stake.minor
        bet.state = BetState.OPEN
        bet.corrections += 1
        bet.payout_minor = 0

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        currency = self.stake.currency
        cash = account_of(AccountKind.CASH, self.player_id)
        debt = account_of(AccountKind.DEBT, self.player_id)
        held = account_of(AccountKind.HELD, self.player_id)
        revenue = account_of(AccountKind.REVENUE, partition)
        taken = Transfer(cash, revenue, self.taken_minor, currency) if self.taken_minor else None
        owed = Transfer(debt, revenue, self.owed_minor, currency) if self.owed_minor else None
        stake = Transfer(revenue, held, self.stake.minor, currency)
        return tuple(transfer for transfer in (taken, owed, stake) if transfer)


class VersionNoted(BetEvent, frozen=True, array_like=True, tag=True):
    """A version of the result that leaves the bet as it is: settled, or open as it was before or
    has just become by a reversal. No older one counts from here on."""

    market_id: str
    selection_id: str
    version: int

    def apply(self, wallet: Wallet, bet: Bet) -> None:
        bet.result_version = self.version
        if bet.state is BetState.OPEN:
            bet.settled_at_ms = 0
            bet.facts = ()
