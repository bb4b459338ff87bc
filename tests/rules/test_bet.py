"""A bet: taking the stake, settling by versions, and what a correction takes back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Reason, Refused
from actors.bet import (
    Bet,
    BetPlaced,
    BetSettled,
    BetState,
    BetView,
    GetBet,
    HoldResolved,
    Leg,
    PlaceBet,
    ResolveHold,
    SettleBet,
    SettlementReversed,
)
from actors.results import LOST, VOID, WON, Outcome, Result, payout_minor
from actors.slips.settling import Known
from actors.wallet import Wallet
from ledger.accounts import Transfer
from ledger.money import MAX_MINOR, Money

NOW = 1_800_000_000_000
LEG = Leg("f", "f:m", "a", 25_000, 3, "A - B", "Winner", "A")
HALF_WON = Result(Outcome.HALF_WON)
HALF_LOST = Result(Outcome.HALF_LOST)


def gbp(minor: int) -> Money:
    return Money(minor, "GBP")


def wallet(cash: int = 0, *, held: int = 0, debt: int = 0) -> Wallet:
    return Wallet("p", "GBP", cash, held, debt_minor=debt, version=1)


def place(stake: Money, expires_ms: int = NOW, refused: Refused | None = None) -> PlaceBet:
    return PlaceBet("p", "b", stake, (LEG,), expires_ms, refused)


def placed(stake: int = 1_000, cash: int = 1_000) -> tuple[Wallet, Bet]:
    """A wallet and its open bet."""
    cast = (wallet(cash), Bet())
    event = place(gbp(stake)).decide(NOW, cast[0])
    event.apply(*cast)
    return cast


def settle(cast: tuple[Wallet, Bet], result: Result, version: int) -> tuple[Any, ...]:
    """Settle, and apply what is decided."""
    decision = SettleBet("p", "b", "f:m", "a", result, version).decide(NOW, *cast)
    events = decision if isinstance(decision, tuple) else (decision,)
    for event in events:
        if not isinstance(event, Refused):
            event.apply(*cast)
    return events


NO = Refused(Reason.MARKET_CLOSED)


@pytest.mark.parametrize(
    ("command", "state", "refused"),
    [
        # each line breaks its own rule and every rule below it
        (place(Money(9, "EUR"), NOW - 1, NO), Wallet(), Refused(Reason.UNKNOWN_PLAYER)),
        (place(Money(9, "EUR"), NOW - 1, NO), wallet(), NO),
        (
            place(Money(9, "EUR"), NOW - 1),
            wallet(8),
            Refused(Reason.CURRENCY_MISMATCH, facts={"currency": "GBP"}),
        ),
        (
            place(gbp(9), NOW - 1),
            wallet(8, held=100),
            Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": 8}),
        ),
        (place(gbp(9), NOW - 1), wallet(9), Refused(Reason.HOLD_EXPIRED)),
    ],
)
def test_the_wallet_refuses_a_bet(command: PlaceBet, state: Wallet, refused: Refused) -> None:
    assert command.decide(NOW, state) == refused


def test_a_bet_takes_its_stake_up_to_the_last_penny_and_moment() -> None:
    event = place(gbp(9), NOW).decide(NOW, wallet(9, held=1))
    assert event == BetPlaced(NOW, "p", "b", gbp(9), (LEG,), 0, 10, 2)
    assert event.transfers("gb-00") == (Transfer("cash/p", "held/p", 9, "GBP"),)


def test_a_player_in_debt_may_bet_with_what_cash_there_is() -> None:
    assert isinstance(place(gbp(9)).decide(NOW, wallet(9, debt=5)), BetPlaced)


@pytest.mark.parametrize(
    ("version", "market_id", "selection_id", "bet", "refused"),
    [
        (1, "f:other", "a", Bet(), Refused(Reason.UNKNOWN_BET)),
        (1, "f:other", "a", None, Refused(Reason.NOT_A_LEG)),
        (1, "f:m", "b", None, Refused(Reason.NOT_A_LEG)),
        (0, "f:m", "a", None, Refused(Reason.SUPERSEDED, facts={"version": 0})),
    ],
)
def test_a_settlement_that_does_not_fit_is_refused(
    version: int, market_id: str, selection_id: str, bet: Bet | None, refused: Refused
) -> None:
    state, open_bet = placed()
    command = SettleBet("p", "b", market_id, selection_id, WON, version)
    assert command.decide(NOW, state, open_bet if bet is None else bet) == refused


@pytest.mark.parametrize(
    ("result", "state", "cash"),
    [
        (WON, BetState.WON, 2_500),
        (HALF_WON, BetState.HALF_WON, 1_750),
        (VOID, BetState.VOID, 1_000),
        (HALF_LOST, BetState.HALF_LOST, 500),
        (LOST, BetState.LOST, 0),
        (Result(Outcome.WON, 2, 1), BetState.WON, 1_250),  # a dead heat of two
        (Result(Outcome.WON, 3, 1), BetState.WON, 833),  # a dead heat can lose money
    ],
)
def test_an_open_bet_is_settled_at_once(result: Result, state: BetState, cash: int) -> None:
    cast = placed()
    (event,) = settle(cast, result, 1)
    # What was shared is kept with the bet: its player is shown it.
    known = Known(result) if result.tied > 1 else None
    assert event == BetSettled(
        NOW, "p", "b", gbp(1_000), "f:m", "a", result, 1, cash, 0, cash, 0, known
    )
    assert (cast[0].cash_minor, cast[0].held_minor, cast[0].debt_minor) == (cash, 0, 0)
    assert (cast[1].state, cast[1].payout_minor, cast[1].result_version) == (state, cash, 1)


def test_the_stake_goes_to_the_house_and_the_payout_comes_from_it() -> None:
    cast = placed()
    (event,) = settle(cast, WON, 1)
    assert event.transfers("gb-07") == (
        Transfer("held/p", "revenue/gb-07", 1_000, "GBP"),
        Transfer("revenue/gb-07", "cash/p", 2_500, "GBP"),
    )


def test_a_lost_bet_moves_nothing_but_its_stake() -> None:
    (event,) = settle(placed(), LOST, 1)
    assert event.transfers("gb-07") == (Transfer("held/p", "revenue/gb-07", 1_000, "GBP"),)


def test_a_payout_is_never_larger_than_an_amount_can_be() -> None:
    cast = placed(MAX_MINOR, MAX_MINOR)
    (event,) = settle(cast, WON, 1)
    assert event.payout_minor == MAX_MINOR


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_same_or_an_older_version_changes_nothing(version: int) -> None:
    cast = placed()
    settle(cast, WON, 3)
    before = msgspec.structs.astuple(cast[0]), msgspec.structs.astuple(cast[1])
    assert settle(cast, LOST, version) == (Refused(Reason.SUPERSEDED, facts={"version": 3}),)
    assert (msgspec.structs.astuple(cast[0]), msgspec.structs.astuple(cast[1])) == before


def test_a_correction_takes_back_and_pays_again() -> None:
    cast = placed()
    settle(cast, WON, 1)
    reversed_, settled = settle(cast, HALF_LOST, 2)
    assert reversed_ == SettlementReversed(NOW, "p", "b", gbp(1_000), 1, 2_500, 0, 0, 1_000)
    assert (settled.payout_minor, settled.cash_after_minor, settled.held_after_minor) == (
        500,
        500,
        0,
    )
    assert (cast[0].cash_minor, cast[0].held_minor, cast[0].debt_minor) == (500, 0, 0)


def test_what_is_spent_becomes_a_debt() -> None:
    cast = placed()
    settle(cast, WON, 1)
    cast[0].cash_minor = 300  # the rest was spent
    reversed_, settled = settle(cast, LOST, 2)
    assert (reversed_.taken_minor, reversed_.owed_minor) == (300, 2_200)
    assert reversed_.transfers("gb-00") == (
        Transfer("cash/p", "revenue/gb-00", 300, "GBP"),
        Transfer("debt/p", "revenue/gb-00", 2_200, "GBP"),
        Transfer("revenue/gb-00", "held/p", 1_000, "GBP"),
    )
    assert settled.debt_repaid_minor == 0
    assert (cast[0].cash_minor, cast[0].debt_minor) == (0, 2_200)


def test_a_debt_is_repaid_by_the_next_payout_first() -> None:
    cast = placed()
    settle(cast, WON, 1)
    cast[0].cash_minor = 300
    settle(cast, LOST, 2)
    reversed_, settled = settle(cast, WON, 3)
    assert (reversed_.taken_minor, reversed_.owed_minor) == (0, 0)
    assert (settled.debt_repaid_minor, settled.cash_after_minor) == (2_200, 300)
    assert settled.transfers("gb-00")[1:] == (
        Transfer("revenue/gb-00", "debt/p", 2_200, "GBP"),
        Transfer("revenue/gb-00", "cash/p", 300, "GBP"),
    )
    assert (cast[0].cash_minor, cast[0].debt_minor) == (300, 0)


results = st.sampled_from([WON, LOST, VOID, HALF_WON, HALF_LOST, Result(Outcome.WON, 3, 2)])


@settings(deadline=None)
@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(results, st.integers(0, 8), st.integers(0, 5_000)), max_size=8),
)
def test_what_counts_is_the_highest_version_in_whatever_order_they_come(
    stake: int, told: list[tuple[Result, int, int]]
) -> None:
    cast = placed(stake, stake)
    highest, last, spent = 0, None, 0
    for result, version, spend in told:
        settle(cast, result, version)
        if version > highest:
            highest, last = version, result
        out = min(spend, cast[0].cash_minor)
        cast[0].cash_minor -= out
        spent += out
    payout = payout_minor(stake, LEG.odds, last) if last else 0
    assert cast[1].payout_minor == payout
    assert cast[1].state == (last.outcome if last else BetState.OPEN)
    assert cast[0].held_minor == (0 if last else stake)
    assert cast[0].cash_minor - cast[0].debt_minor == payout - spent
    assert min(cast[0].cash_minor, cast[0].debt_minor) >= 0


def test_only_its_player_sees_a_bet() -> None:
    cast = placed()
    view = GetBet("p", "b").answer(NOW, cast[1])
    assert isinstance(view, BetView)
    assert (view.bet_id, view.stake_minor, view.state) == ("b", 1_000, BetState.OPEN)
    assert GetBet("q", "b").answer(NOW, cast[1]) == Refused(Reason.UNKNOWN_BET)
    assert GetBet("p", "b").answer(NOW, Bet()) == Refused(Reason.UNKNOWN_BET)


@pytest.mark.parametrize(
    ("bet", "expires_ms", "placed"),
    [
        (Bet(bet_id="b"), NOW + 1, True),
        (Bet(bet_id="b"), NOW - 1, True),
        # up to the very moment at which PlaceBet would still be taken, nothing is final
        (Bet(), NOW + 1, None),
        (Bet(), NOW, None),
        (Bet(), NOW - 1, False),
    ],
)
def test_what_became_of_a_hold(bet: Bet, expires_ms: int, placed: bool | None) -> None:
    told = ResolveHold("p", "b", expires_ms).decide(NOW, bet)
    if placed is None:
        assert isinstance(told, Refused)
    else:
        assert told == HoldResolved(NOW, "b", placed)
    late = isinstance(place(gbp(1), expires_ms).decide(NOW, wallet(1)), Refused)
    assert isinstance(told, HoldResolved) == (late or placed is True)
