"""Buying a bet back before it is decided: a command to the wallet, like any other.

The offer is worked out by `slips.cashout` from the prices of the moment. Whoever sends the command
has asked the markets for these again, in play after the bet delay; here the player is paid what
the bet is worth now if that is at least what was offered. A part that was bought back is final:
results, and corrections of them, settle what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.base import Command, Event, Reason, Refused, ref
from actors.bet import Bet, BetEvent, BetState, BetView, single
from actors.book import liability_of
from actors.multiple import Exposed, carried, changes, house_account, known_of, stake_of
from actors.slips.cashout import CashedOut as Bought
from actors.slips.cashout import CashOutRules, Offer, accept
from actors.slips.settling import Known, settle
from actors.slips.slip import Selection, Slip
from actors.wallet import Wallet, transfers_in
from ledger.accounts import AccountKind, Transfer, account_of
from ledger.money import Money


def slip_of(bet: Bet | BetView) -> Slip:
    """A bet as a slip, whichever it is; that of a single has one leg."""
    if bet.slip is not None:
        return bet.slip
    return single(bet.legs[0], bet.stake_minor)


def known_about(bet: Bet | BetView) -> dict[Selection, Known]:
    return known_of(bet.legs, bet.facts) if bet.slip is not None else {}


def worth_by(bet: Bet | BetView, less: Sequence[Known]) -> dict[Selection, Known]:
    """What a bet is worth by: what is known, and what withdrawals take off where nothing is yet."""
    taken = {leg.selection: known for leg, known in zip(bet.legs, less, strict=False)}
    return taken | known_about(bet)


class CashOut(Command, frozen=True, array_like=True, tag=True):
    """Take an offer for a bet, or for a part of it.

    `prices` are those of its legs now, as `slips.cashout.offer` wants them. `refused` says why a
    market can't be asked; the wallet is told all the same, for the key.
    """

    player_id: str
    bet_id: str
    offer: Offer
    prices: tuple[int, ...]
    rules: CashOutRules
    refused: Refused | None = None
    less: tuple[Known, ...] = ()
    """Of each of the bet's selections, what withdrawals have taken off its price."""
    prices_good_until_ms: int = 0
    """After that the prices may be others: the command was too long on its way. 0: for ever."""

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id), ref("bet", self.bet_id))

    def decide(self, now_ms: int, wallet: Wallet, bet: Bet) -> Event:
        if not bet.bet_id or bet.player_id != self.player_id:
            return Refused(Reason.UNKNOWN_BET)
        if bet.state is not BetState.OPEN:
            return Refused(Reason.NOTHING_OPEN)
        if self.refused:
            return self.refused
        slip, known = slip_of(bet), known_about(bet)
        late = 0 < self.prices_good_until_ms < now_ms
        if late or len(self.prices) != len(slip.legs):
            return Refused(Reason.OFFER_OUTDATED)
        by = worth_by(bet, self.less)
        bought = accept(slip, by, self.prices, self.offer, self.rules, now_ms)
        if not isinstance(bought, Bought):
            return bought
        # From here the part is bought back.
        rest = bought.rest
        then = settle(rest, known) if rest else None
        given = bought.stake_minor if stake_of(slip) else 0
        repaid = min(bought.amount_minor, wallet.debt_minor)
        return CashedOut(
            now_ms,
            self.player_id,
            self.bet_id,
            Money(given, bet.currency),
            bought.stake_minor,
            bought.amount_minor,
            repaid,
            bought.closed_minor,
            then.paid_minor if then else 0,
            then.most_minor if then else 0,
            rest,
            _less(bet, slip, rest, known),
            wallet.cash_minor + bought.amount_minor - repaid,
            wallet.held_minor - given,
        )


def _less(
    bet: Bet, slip: Slip, rest: Slip | None, known: Mapping[Selection, Known]
) -> tuple[Exposed, ...]:
    """What the exposure loses."""
    if bet.slip is not None:
        return changes(bet.legs, carried(slip, known), carried(rest, known))
    (leg,) = bet.legs
    left = rest.stake_minor if rest else 0
    less = liability_of(left, leg.odds) - liability_of(slip.stake_minor, leg.odds)
    gone = -1 if rest is None else 0
    stakes = left - slip.stake_minor
    return (Exposed(leg.fixture_id, leg.market_id, leg.selection_id, gone, less, stakes),)


# What can happen to it


class CashedOut(BetEvent, frozen=True, array_like=True, tag=True):
    """`stake` is what of the held stake goes to the house; the amount comes from it."""

    bought_minor: int
    """Of the bet's stake."""
    amount_minor: int
    """Paid now."""
    debt_repaid_minor: int
    closed_minor: int
    """All that the part has been paid: its share of what decided lines had paid, and the amount."""
    payout_minor: int
    """What the rest has been paid."""
    most_minor: int
    rest: Slip | None
    exposed: tuple[Exposed, ...]
    cash_after_minor: int
    held_after_minor: int

    def apply(self, wallet: Wallet, bet: Bet) -> None:
        wallet.version += 1
        wallet.held_minor -= self.stake.minor
        wallet.receive(self.amount_minor)
        bet.stake_minor -= self.bought_minor
        bet.bought_minor += self.bought_minor
        bet.cashed_out_minor += self.closed_minor
        bet.payout_minor = self.payout_minor
        if self.rest is None:
            bet.state = BetState.CASHED_OUT
            bet.settled_at_ms = self.at_ms
        elif bet.slip is not None:
            bet.slip = self.rest

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        held = account_of(AccountKind.HELD, self.player_id)
        house = house_account(self.stake, partition)
        stake = (
            (Transfer(held, house, self.stake.minor, self.stake.currency),)
            if self.stake.minor
            else ()
        )
        amount = Money(self.amount_minor, self.stake.currency)
        return (*stake, *transfers_in(house, self.player_id, amount, self.debt_repaid_minor))
