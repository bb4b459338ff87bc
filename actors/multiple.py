"""Bets of several lines: multiples, systems, full covers, each-way, same-game.

The same actor as a single (`actors.bet`), with a slip. Its legs become known one by one, in any
order, each by the version of its own market's result. After each of them the slip is settled again
by all that is known (`slips.settling`), and what that is more or less than was paid before moves.
So a correction is no other case, and neither is a version that comes late: it is refused.

The stake stays held until every line is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec

from actors.base import Command, Event, Reason, Refused, Several, ref
from actors.bet import Bet, BetEvent, BetState, Fact, Leg, SettledBets, Settling
from actors.bonus import BonusUsed
from actors.slips.bonus import given
from actors.slips.exposure import liabilities
from actors.slips.settling import Known, Settlement, settle
from actors.slips.slip import Selection, Slip, refuse
from actors.wallet import Wallet, transfers_in
from ledger.accounts import AccountKind, Transfer, account_of
from ledger.money import Money


class Exposed(msgspec.Struct, frozen=True, array_like=True):
    """By how much one selection's line in the exposure changes."""

    fixture_id: str
    market_id: str
    selection_id: str
    bets: int
    liability_minor: int
    stakes_minor: int = 0
    """Of singles, as in `book.Line`."""


Carried = dict[Selection, int]
"""What each open selection has to carry, in minor units."""


def stake_of(slip: Slip) -> int:
    """What the player puts down: nothing where the stake is given."""
    return 0 if slip.free_stake else slip.stake_minor


def house_account(stake: Money, partition: str) -> str:
    """Which of the house's accounts pays for a slip, by the stake that its player put down."""
    return account_of(AccountKind.REVENUE if stake.minor else AccountKind.BONUS, partition)


def known_of(legs: Sequence[Leg], facts: Sequence[Fact]) -> dict[Selection, Known]:
    """Of those selections that have a result: a version may have left others open."""
    return {
        (leg.market_id, leg.selection_id): fact.known
        for leg, fact in zip(legs, facts, strict=True)
        if fact.known.result is not None
    }


def carried(slip: Slip | None, known: Mapping[Selection, Known]) -> Carried:
    """What a slip weighs on each open selection while it is open itself.

    At least one: who carries it is counted.
    """
    if slip is None or not settle(slip, known).lines_open:
        return {}
    return {selection: max(1, cost) for selection, cost in liabilities(slip, known).items()}


def changes(legs: Sequence[Leg], before: Carried, after: Carried) -> tuple[Exposed, ...]:
    """What to add to the exposure, selection by selection."""
    fixtures = {leg.market_id: leg.fixture_id for leg in legs}
    found = []
    for selection in sorted(before.keys() | after.keys()):
        bets = (selection in after) - (selection in before)
        more = after.get(selection, 0) - before.get(selection, 0)
        if bets or more:
            found.append(Exposed(fixtures[selection[0]], *selection, bets, more))
    return tuple(found)


class PlaceSlip(Command, frozen=True, array_like=True, tag=True):
    """Take the stake of a slip whose markets have been asked, as `PlaceBet` does of a single.

    `legs` are the slip's selections in their order, with names. `refused` says which market said
    no; the slip is refused first for what is wrong with it whatever its markets say. Where that is
    its stake, `refused` says the same, and what can be had in its place.
    """

    player_id: str
    bet_id: str
    currency: str
    slip: Slip
    legs: tuple[Leg, ...]
    hold_expires_at_ms: int
    refused: Refused | None = None
    bonus_id: str = ""
    """The bonus that the slip has on it; it is used with this."""

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)

    def decide(self, now_ms: int, wallet: Wallet) -> Event | tuple[Event, ...]:
        if not wallet.opened:
            return Refused(Reason.UNKNOWN_PLAYER)
        wrong = refuse(self.slip)
        if wrong and not (self.refused and self.refused.reason is wrong.reason):
            return wrong
        if self.refused:
            return self.refused
        if self.currency != wallet.currency:
            return Refused(Reason.CURRENCY_MISMATCH, facts={"currency": wallet.currency})
        no_bonus = self._refuse_bonus(now_ms, wallet)
        if no_bonus:
            return no_bonus
        stake_minor = stake_of(self.slip)
        if stake_minor > wallet.cash_minor:
            return Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": wallet.cash_minor})
        if now_ms > self.hold_expires_at_ms:
            return Refused(Reason.HOLD_EXPIRED)
        # From here the stake is taken, and the bonus used.
        placed = SlipPlaced(
            now_ms,
            self.player_id,
            self.bet_id,
            Money(stake_minor, self.currency),
            self.slip,
            self.legs,
            settle(self.slip, {}).most_minor,
            changes(self.legs, {}, carried(self.slip, {})),
            wallet.cash_minor - stake_minor,
            wallet.held_minor + stake_minor,
            wallet.version + (2 if self.bonus_id else 1),
        )
        if not self.bonus_id:
            return placed
        return BonusUsed(now_ms, self.player_id, self.bonus_id, self.bet_id), placed

    def _refuse_bonus(self, now_ms: int, wallet: Wallet) -> Refused | None:
        """Why the slip can't have on it the bonus that it names."""
        if not self.bonus_id:
            # What the house gives it gives by a bonus only.
            unasked = self.slip.free_stake or self.slip.boosted_odds
            return Refused(Reason.BOOST_UNAVAILABLE) if unasked else None
        bonus = wallet.bonus(self.bonus_id)
        if bonus is None:
            return Refused(Reason.UNKNOWN_BONUS)
        if now_ms > bonus.expires_at_ms:
            return Refused(Reason.BONUS_EXPIRED)
        right = given(self.slip, bonus)
        if isinstance(right, Refused):
            return right
        return None if right == self.slip else Refused(Reason.BOOST_UNAVAILABLE)


class SettleLeg(Command, frozen=True, array_like=True, tag=True):
    """Take note of how one leg came out. The version of its market's result is its key."""

    player_id: str
    bet_id: str
    market_id: str
    on: Settling

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id), ref("bet", self.bet_id))

    def decide(self, now_ms: int, wallet: Wallet, bet: Bet) -> Event:
        if not bet.bet_id:
            return Refused(Reason.UNKNOWN_BET)
        number = _leg_on(bet, self.market_id, self.on.selection_id)
        if number is None:
            return Refused(Reason.NOT_A_LEG)
        fact = bet.facts[number]
        over = bet.state is BetState.CASHED_OUT
        if bet.slip is None or over or self.on.version <= fact.version:
            return Refused(Reason.SUPERSEDED, facts={"version": fact.version})
        # From here the leg is as this version has it, and the slip settled by all that is known.
        before = known_of(bet.legs, bet.facts)
        selection = (self.market_id, self.on.selection_id)
        fact_now = self.on.for_bet_of(bet.placed_at_ms).known_of(bet.legs[number])
        known = before | {selection: fact_now}
        now = settle(bet.slip, known)
        house = _stake_given(bet, now)
        more = now.paid_minor - bet.payout_minor
        taken = min(max(0, -more), wallet.cash_minor)
        repaid = min(max(0, more), wallet.debt_minor)
        return LegSettled(
            now_ms,
            self.player_id,
            self.bet_id,
            Money(stake_of(bet.slip), bet.currency),
            self.market_id,
            self.on.selection_id,
            fact_now,
            self.on.version,
            BetState(now.state),
            now.paid_minor,
            now.most_minor,
            house,
            max(0, more),
            repaid,
            taken,
            max(0, -more) - taken,
            changes(bet.legs, carried(bet.slip, before), carried(bet.slip, known)),
            wallet.cash_minor + max(0, more) - repaid - taken,
            wallet.held_minor - house,
            _corrects(bet.slip, fact.known, fact_now),
        )


def _leg_on(bet: Bet, market_id: str, selection_id: str) -> int | None:
    for number, leg in enumerate(bet.legs[: len(bet.facts)]):
        if (leg.market_id, leg.selection_id) == (market_id, selection_id):
            return number
    return None


def _corrects(slip: Slip, was: Known, now: Known) -> bool:
    """Whether a leg that was known comes out otherwise. Who was placed concerns slips each-way
    only, and who did not run those ante-post: for the others it is void like any other."""
    if was.result is None:
        return False
    if not slip.each_way:
        was, now = (msgspec.structs.replace(one, place=None) for one in (was, now))
    if not any(leg.ante_post for leg in slip.legs):
        was, now = (msgspec.structs.replace(one, withdrawn=False) for one in (was, now))
    return was != now


def _stake_given(bet: Bet, now: Settlement) -> int:
    """What of the stake goes to the house now; below zero where it comes back to be held."""
    assert bet.slip is not None
    was_open, is_open = bet.state is BetState.OPEN, bool(now.lines_open)
    return stake_of(bet.slip) * (was_open - is_open)


class SettleSlips(Several, frozen=True, array_like=True, tag=True):
    """`SettleLeg` for many slips with a leg on one market, whose players are neighbours."""

    market_id: str
    selections: tuple[Settling, ...]
    bets: list[tuple[str, str, int]]
    """Player, bet, and which of `selections` it has a leg on."""

    def cast(self) -> tuple[str, ...]:
        wallets = {ref("wallet", player_id): None for player_id, _, _ in self.bets}
        bets = {ref("bet", bet_id): None for _, bet_id, _ in self.bets}
        return (*wallets, *bets)

    def each(self) -> Iterator[SettleLeg]:
        for player_id, bet_id, number in self.bets:
            yield SettleLeg(player_id, bet_id, self.market_id, self.selections[number])

    def sum_up(self, answers: Sequence[Event]) -> SettledBets:
        settled = payout = 0
        wrong = []
        elsewhere: set[tuple[str, str]] = set()
        for (_, bet_id, _), answer in zip(self.bets, answers, strict=True):
            if isinstance(answer, LegSettled):
                settled += 1
                payout += answer.more_minor
                elsewhere |= {(change.fixture_id, change.market_id) for change in answer.exposed}
            elif not (isinstance(answer, Refused) and answer.reason is Reason.SUPERSEDED):
                wrong.append(bet_id)
        return SettledBets(settled, payout, wrong, sorted(elsewhere))


# What can happen to it


class SlipPlaced(BetEvent, frozen=True, array_like=True, tag=True):
    births: ClassVar[bool] = True

    slip: Slip
    legs: tuple[Leg, ...]
    most_minor: int
    """What it can pay at most."""
    exposed: tuple[Exposed, ...]
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
        bet.stake_minor = self.slip.stake_minor
        bet.slip = self.slip
        bet.legs = self.legs
        bet.facts = (Fact(),) * len(self.legs)
        bet.placed_at_ms = self.at_ms

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        if not self.stake.minor:
            return ()
        cash = account_of(AccountKind.CASH, self.player_id)
        held = account_of(AccountKind.HELD, self.player_id)
        return (Transfer(cash, held, self.stake.minor, self.stake.currency),)


class LegSettled(BetEvent, frozen=True, array_like=True, tag=True):
    """A leg is known, known otherwise than before, or open again, with all that follows for the
    slip."""

    market_id: str
    selection_id: str
    known: Known
    version: int
    state: BetState
    payout_minor: int
    """What the slip has paid with this."""
    most_minor: int
    given_minor: int
    """Of the held stake, to the house; below zero: back from it."""
    more_minor: int
    """Paid now."""
    debt_repaid_minor: int
    taken_minor: int
    """Taken back from the cash."""
    owed_minor: int
    """What should be taken back, but is not there any more."""
    exposed: tuple[Exposed, ...]
    cash_after_minor: int
    held_after_minor: int
    corrects: bool = False
    """The leg was known otherwise before."""

    def apply(self, wallet: Wallet, bet: Bet) -> None:
        wallet.version += 1
        wallet.held_minor -= self.given_minor
        wallet.receive(self.more_minor)
        wallet.cash_minor -= self.taken_minor
        wallet.debt_minor += self.owed_minor
        number = _leg_on(bet, self.market_id, self.selection_id)
        assert number is not None
        facts = list(bet.facts)
        facts[number] = Fact(self.known, self.version)
        bet.facts = tuple(facts)
        bet.state = self.state
        bet.corrections += self.corrects
        bet.payout_minor = self.payout_minor
        bet.settled_at_ms = 0 if self.state is BetState.OPEN else self.at_ms

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        currency = self.stake.currency
        cash = account_of(AccountKind.CASH, self.player_id)
        debt = account_of(AccountKind.DEBT, self.player_id)
        held = account_of(AccountKind.HELD, self.player_id)
        house = house_account(self.stake, partition)
        moved: list[Transfer] = []
        if self.given_minor > 0:
            moved.append(Transfer(held, house, self.given_minor, currency))
        if self.given_minor < 0:
            moved.append(Transfer(house, held, -self.given_minor, currency))
        if self.taken_minor:
            moved.append(Transfer(cash, house, self.taken_minor, currency))
        if self.owed_minor:
            moved.append(Transfer(debt, house, self.owed_minor, currency))
        paid = Money(self.more_minor, currency)
        return (*moved, *transfers_in(house, self.player_id, paid, self.debt_repaid_minor))
