"""A bet of several lines in its player's wallet: legs in any order, corrected, bought back."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.bet import Bet, BetState, Leg, Settling
from actors.cashout import CashedOut, CashOut, known_about, slip_of
from actors.entries import Entry, decode_entries, encode_entries
from actors.multiple import (
    LegSettled,
    PlaceSlip,
    SettleLeg,
    SlipPlaced,
    carried,
    known_of,
)
from actors.odds import ONE
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.slips import slip as slips
from actors.slips.bonus import Bonus, BonusKind
from actors.slips.cashout import CashOutRules, Offer, offer
from actors.slips.kinds import Kind
from actors.slips.slip import Slip, folds_in, lines_in
from actors.wallet import Wallet
from ledger.accounts import Transfer

NOW = 1_800_000_000_000
HALF_WON, HALF_LOST = Result(Outcome.HALF_WON), Result(Outcome.HALF_LOST)
DEAD_HEAT = Result(Outcome.WON, 2, 1)
RESULTS = (WON, LOST, VOID, HALF_WON, HALF_LOST, DEAD_HEAT)
KINDS = {1: Kind.SINGLE, 2: Kind.DOUBLE, 3: Kind.PATENT, 4: Kind.LUCKY_15, 5: Kind.CANADIAN}
RULES = CashOutRules()
PLACED = Settling("a", LOST, 2, place=WON)


def leg(number: int, odds: int = 20_000) -> slips.Leg:
    return slips.Leg(f"f{number}", f"f{number}:m", "a", odds)


def slip(kind: Kind, *odds: int, stake: int) -> Slip:
    return Slip(tuple(leg(number, price) for number, price in enumerate(odds)), kind, stake)


def place(of: Slip, **changes: Any) -> PlaceSlip:
    legs = tuple(
        Leg(one.fixture_id, one.market_id, one.selection_id, one.odds, 1, "A v B", "Winner", "A")
        for one in of.legs
    )
    return msgspec.structs.replace(PlaceSlip("p", "b", "GBP", of, legs, NOW), **changes)


class Player:
    """A wallet and its slip, and the accounts that the events' transfers make beside them."""

    def __init__(self, of: Slip, cash: int = 1_000_000, bonus: Bonus | None = None) -> None:
        held = (bonus,) if bonus else ()
        self.wallet, self.bet = Wallet("p", "GBP", cash, version=1, bonuses=held), Bet()
        self.accounts = {"cash/p": cash}
        self.exposure: dict[tuple[str, str], int] = {}
        self.version = 0
        self.do(place(of, bonus_id=bonus.bonus_id if bonus else ""))

    def do(self, command: Any) -> Any:
        cast = (self.wallet, self.bet)[: len(command.cast())]
        decided = command.decide(NOW, *cast)
        *first, event = decided if isinstance(decided, tuple) else (decided,)
        if not isinstance(event, Refused):
            entry = Entry("wallet/p", "k", b"f", NOW, (*first, event))
            assert decode_entries(encode_entries([entry])) == [entry]
            for one in first:  # the bonus is used
                one.apply(self.wallet)
            event.apply(self.wallet, self.bet)
            for change in event.exposed:
                at = change.market_id, change.selection_id
                self.exposure[at] = self.exposure.get(at, 0) + change.liability_minor
            for transfer in event.transfers("gb-00"):
                self._move(transfer)
            self._agrees()
        return event

    def _move(self, transfer: Transfer) -> None:
        accounts, amount = self.accounts, transfer.amount_minor
        accounts[transfer.debit] = accounts.get(transfer.debit, 0) - amount
        accounts[transfer.credit] = accounts.get(transfer.credit, 0) + amount

    def _agrees(self) -> None:
        """The wallet is what the transfers made of it, and nothing is below zero."""
        wallet, accounts = self.wallet, self.accounts
        assert wallet.cash_minor == accounts.get("cash/p", 0) >= 0
        assert wallet.held_minor == accounts.get("held/p", 0) >= 0
        assert wallet.debt_minor == -accounts.get("debt/p", 0) >= 0
        open_ = self.bet.state is BetState.OPEN
        expected = carried(self.bet.slip, known_of(self.bet.legs, self.bet.facts)) if open_ else {}
        assert {at: cost for at, cost in self.exposure.items() if cost} == expected

    def result(self, number: int, result: Result, version: int = 0) -> Any:
        self.version += 1
        on = Settling("a", result, version or self.version)
        return self.do(SettleLeg("p", "b", f"f{number}:m", on))

    def cash_out(self, odds: list[int], part: int) -> Any:
        made = offer(slip_of(self.bet), known_about(self.bet), odds, part, RULES, NOW)
        if isinstance(made, Refused):
            return made
        return self.do(CashOut("p", "b", made, tuple(odds), RULES))


def by_hand(of: Slip, results: list[Result]) -> int:
    """What it pays, line by line."""
    total = Fraction(0)
    for fold in folds_in(of):
        for line in combinations(range(len(of.legs)), fold):
            pays = Fraction(of.stake_minor, lines_in(of))
            for number in line:
                pays *= _factor(Fraction(of.legs[number].odds, ONE), results[number])
            total += pays
    return int(total + Fraction(1, 2))


def _factor(odds: Fraction, result: Result) -> Fraction:
    return {
        Outcome.WON: odds * result.places / result.tied,
        Outcome.HALF_WON: (odds + 1) / 2,
        Outcome.VOID: Fraction(1),
        Outcome.HALF_LOST: Fraction(1, 2),
        Outcome.LOST: Fraction(0),
    }[result.outcome]


prices = st.integers(10_100, 200_000)


@st.composite
def evenings(draw: st.DrawFn) -> tuple[Slip, list[tuple[int, Result]], list[Result]]:
    """A slip, what becomes known of it in which order, and how each leg stands in the end."""
    odds = draw(st.lists(prices, min_size=1, max_size=5))
    of = slip(KINDS[len(odds)], *odds, stake=0)
    of = msgspec.structs.replace(of, stake_minor=lines_in(of) * draw(st.integers(1, 5_000)))
    final = [draw(st.sampled_from(RESULTS)) for _ in odds]
    at_random = st.tuples(st.integers(0, len(odds) - 1), st.sampled_from(RESULTS))
    told = draw(st.lists(at_random, max_size=6))
    last = draw(st.permutations(list(enumerate(final))))
    return of, told + last, final


@settings(max_examples=200)
@given(evenings(), st.integers(0, 100_000))
def test_in_whatever_order_it_comes_to_the_same_money(
    evening: tuple[Slip, list[tuple[int, Result]], list[Result]], spent: int
) -> None:
    of, told, final = evening
    before = of.stake_minor + spent
    player = Player(of, before)
    for number, result in told:
        player.result(number, result)
    due = by_hand(of, final)
    wallet, bet = player.wallet, player.bet
    assert bet.payout_minor == due
    assert bet.state is not BetState.OPEN
    assert wallet.held_minor == 0
    assert wallet.cash_minor - wallet.debt_minor == before - of.stake_minor + due


@settings(max_examples=200)
@given(evenings(), st.data())
def test_buying_back_loses_and_makes_nothing(
    evening: tuple[Slip, list[tuple[int, Result]], list[Result]], data: st.DataObject
) -> None:
    of, told, _ = evening
    player = Player(of)
    bought = 0
    for number, result in told:
        if data.draw(st.booleans()):
            odds = [data.draw(prices) for _ in of.legs]
            part = data.draw(st.integers(1, max(1, player.bet.stake_minor)))
            if player.bet.stake_minor:
                event = player.cash_out(odds, part)
                if isinstance(event, CashedOut):
                    bought += event.bought_minor
                    assert event.cash_after_minor == player.wallet.cash_minor
        player.result(number, result)
    bet, wallet = player.bet, player.wallet
    assert bet.stake_minor + bet.bought_minor == of.stake_minor
    assert bet.bought_minor == bought
    paid = bet.payout_minor + bet.cashed_out_minor
    assert wallet.cash_minor - wallet.debt_minor == 1_000_000 - of.stake_minor + paid
    assert (bet.state is BetState.CASHED_OUT) == (bet.stake_minor == 0)
    assert wallet.held_minor == 0


def test_a_patent_pays_as_its_legs_become_known() -> None:
    """Unit 1.00, won at 2, void at 3, open at 4: paid 5, most possible 29 (SPORTSBOOK facts)."""
    player = Player(slip(Kind.PATENT, 20_000, 30_000, 40_000, stake=700))
    player.result(0, WON)
    event = player.result(1, VOID)
    assert (event.payout_minor, event.most_minor, event.state) == (500, 2_900, BetState.OPEN)
    assert player.wallet.held_minor == 700
    assert player.result(2, LOST).state is BetState.PARTLY_WON
    assert player.wallet.held_minor == 0


def test_a_version_counts_once() -> None:
    player = Player(slip(Kind.DOUBLE, 20_000, 20_000, stake=100))
    assert isinstance(player.result(0, WON, version=3), LegSettled)
    for version in (3, 2):
        refused = player.result(0, LOST, version=version)
        assert refused == Refused(Reason.SUPERSEDED, facts={"version": 3})
    assert player.bet.facts[0].known.result == WON


@pytest.mark.parametrize(
    ("of", "was", "now", "corrects"),
    [
        ({}, Settling("a", WON, 1), Settling("a", LOST, 2), True),
        ({}, Settling("a", WON, 1), Settling("a", None, 2), True),
        ({}, Settling("a", None, 1), Settling("a", WON, 2), False),
        # void in a time, and then by the result; void, and then it did not run
        ({}, Settling("a", VOID, 1, place=VOID), Settling("a", VOID, 2), False),
        ({}, Settling("a", VOID, 1), Settling("a", VOID, 2, withdrawn=True), False),
        # which is lost where it was bet on ante-post
        ({"ante_post": True}, Settling("a", VOID, 1), Settling("a", VOID, 2, withdrawn=True), True),
        # who was placed concerns bets each-way
        ({}, Settling("a", LOST, 1, place=LOST), PLACED, False),
        ({"each_way": slips.EachWay(3, 5)}, Settling("a", LOST, 1, place=LOST), PLACED, True),
    ],
)
def test_what_is_a_correction(
    of: dict[str, Any], was: Settling, now: Settling, corrects: bool
) -> None:
    legs = tuple(msgspec.structs.replace(leg(number), **of) for number in range(2))
    player = Player(Slip(legs, Kind.DOUBLE, 100, each_way="each_way" in of))
    assert not player.do(SettleLeg("p", "b", "f0:m", was)).corrects
    assert player.do(SettleLeg("p", "b", "f0:m", now)).corrects is corrects


def test_what_was_paid_out_and_spent_becomes_a_debt() -> None:
    player = Player(slip(Kind.DOUBLE, 20_000, 30_000, stake=100), cash=100)
    player.result(0, WON)
    player.result(1, WON)
    assert player.wallet.cash_minor == 600
    player.wallet.cash_minor = player.accounts["cash/p"] = 50  # withdrawn
    event = player.result(1, LOST)
    assert (event.taken_minor, event.owed_minor) == (50, 550)
    assert player.wallet.debt_minor == 550
    again = player.result(1, WON)
    assert (again.more_minor, again.debt_repaid_minor) == (600, 550)


def test_a_result_after_it_was_bought_back_changes_nothing() -> None:
    player = Player(slip(Kind.DOUBLE, 20_000, 30_000, stake=100))
    event = player.cash_out([15_000, 25_000], 100)
    assert event.rest is None
    assert event.amount_minor == 152  # 100 x (2.0 / 1.5) x (3.0 / 2.5) x 0.95
    before = player.wallet.cash_minor
    assert player.result(0, WON) == Refused(Reason.SUPERSEDED, facts={"version": 0})
    assert player.wallet.cash_minor == before
    assert player.do(
        CashOut("p", "b", Offer(1, 1, NOW, 1, 0, (0, 0)), (15_000, 25_000), RULES)
    ) == Refused(Reason.NOTHING_OPEN)


def test_what_is_refused_and_in_which_order() -> None:
    good = slip(Kind.DOUBLE, 20_000, 20_000, stake=100)
    uneven = slip(Kind.PATENT, 20_000, 20_000, 20_000, stake=100)
    no = Refused(Reason.MARKET_CLOSED, facts={"leg": 1})
    poor, rich = Wallet("p", "GBP", 99, version=1), Wallet("p", "GBP", 100, version=1)
    for command, wallet, reason in (
        (place(uneven, refused=no, currency="EUR"), Wallet(), Reason.UNKNOWN_PLAYER),
        (place(uneven, refused=no, currency="EUR"), poor, Reason.UNEVEN_STAKE),
        (place(good, refused=no, currency="EUR"), poor, Reason.MARKET_CLOSED),
        (place(good, currency="EUR", hold_expires_at_ms=NOW - 1), poor, Reason.CURRENCY_MISMATCH),
        (place(good, hold_expires_at_ms=NOW - 1), poor, Reason.INSUFFICIENT_FUNDS),
        (place(good, hold_expires_at_ms=NOW - 1), rich, Reason.HOLD_EXPIRED),
    ):
        refused = command.decide(NOW, wallet)
        assert isinstance(refused, Refused)
        assert refused.reason is reason
    assert isinstance(place(good).decide(NOW, rich), SlipPlaced)


def test_a_given_stake_is_not_the_players() -> None:
    given_away = msgspec.structs.replace(
        slip(Kind.DOUBLE, 20_000, 30_000, stake=100), free_stake=True
    )
    free = Bonus("x", BonusKind.FREE_STAKE, 100, NOW + 1)
    player = Player(given_away, cash=0, bonus=free)
    assert (player.wallet.cash_minor, player.wallet.held_minor) == (0, 0)
    player.result(0, WON)
    player.result(1, WON)
    assert player.wallet.cash_minor == 500


def test_a_boost_replaces_the_price_and_its_cap_holds() -> None:
    """Prices above the market's are given by the house: no request has a field for them."""
    of = slip(Kind.DOUBLE, 20_000, 30_000, stake=100)
    boosted = msgspec.structs.replace(of, boosted_odds=80_000, boost_cap_minor=150)
    boost = Bonus("x", BonusKind.BOOST, 150, NOW + 1, 4_000)
    player = Player(boosted, bonus=boost)
    player.result(0, WON)
    assert player.result(1, WON).payout_minor == 750  # 600 and the cap, not 800
    assert player.result(1, VOID).payout_minor == 200  # the price for both is gone with one
    assert player.result(1, WON).payout_minor == 750
    leg_of = msgspec.structs.replace(leg(0), boosted_odds=25_000)
    player = Player(msgspec.structs.replace(of, legs=(leg_of, leg(1, 30_000))))
    player.result(0, WON)
    assert player.result(1, WON).payout_minor == 750
    worse = msgspec.structs.replace(of, boosted_odds=59_999)
    refused = place(worse).decide(NOW, Wallet("p", "GBP", 1_000, version=1))
    assert refused == Refused(Reason.BOOST_UNAVAILABLE)


def test_somebody_elses_bet_is_not_bought_back() -> None:
    player = Player(slip(Kind.DOUBLE, 20_000, 30_000, stake=100))
    offer_ = Offer(100, 1, NOW, 100, 0, (20_000, 20_000))
    command = CashOut("q", "b", offer_, (20_000, 20_000), RULES)
    assert command.decide(NOW, player.wallet, player.bet) == Refused(Reason.UNKNOWN_BET)
