"""The wallet: a table of each command's ladder, and money that never appears or disappears."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Command, Event, Reason, Refused
from actors.bet import Bet, BetState, Leg, PlaceBet, SettleBet, VersionNoted
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.wallet import (
    MAX_PENDING_PAYMENTS,
    CompleteDeposit,
    CompleteWithdrawal,
    DeclinePayment,
    DepositCompleted,
    DepositFailed,
    DepositRequested,
    Direction,
    FailDeposit,
    FailWithdrawal,
    GetPayment,
    GetWallet,
    Payment,
    PaymentView,
    RequestDeposit,
    RequestWithdrawal,
    Wallet,
    WalletView,
    WithdrawalCompleted,
    WithdrawalFailed,
    WithdrawalRequested,
)
from ledger.accounts import Transfer
from ledger.money import MAX_MINOR, Money

NOW = 1_800_000_000_000


def wallet(**state: Any) -> Wallet:
    defaults: dict[str, Any] = {"player_id": "p", "currency": "GBP", "version": 1}
    return Wallet(**(defaults | state))


def gbp(minor: int) -> Money:
    return Money(minor, "GBP")


def pending(direction: Direction, amount: int = 500) -> dict[str, Payment]:
    return {"x": Payment(direction, amount, "bogus", "card", NOW)}


def full() -> dict[str, Payment]:
    payment = Payment(Direction.DEPOSIT, 1, "bogus", "card", NOW)
    return {f"x{number}": payment for number in range(MAX_PENDING_PAYMENTS)}


def deposit(money: Money) -> RequestDeposit:
    return RequestDeposit("p", "x", money, "bogus", "card")


def withdrawal(money: Money) -> RequestWithdrawal:
    return RequestWithdrawal("p", "x", money, "bogus", "bank")


def refusal(decision: Any) -> tuple[Reason, dict[str, Any]]:
    assert isinstance(decision, Refused), decision
    return decision.reason, decision.facts


@pytest.mark.parametrize(
    ("command", "state", "reason", "facts"),
    [
        # each line breaks its own rule and every rule below it
        (deposit(Money(1, "EUR")), Wallet(), Reason.UNKNOWN_PLAYER, {}),
        (
            deposit(Money(MAX_MINOR, "EUR")),
            wallet(cash_minor=1, pending=full()),
            Reason.CURRENCY_MISMATCH,
            {"currency": "GBP"},
        ),
        (
            deposit(gbp(MAX_MINOR)),
            wallet(cash_minor=1, pending=full()),
            Reason.TOO_MANY_PAYMENTS,
            {},
        ),
        (deposit(gbp(MAX_MINOR)), wallet(cash_minor=1), Reason.BALANCE_LIMIT, {}),
        (withdrawal(Money(1, "EUR")), Wallet(), Reason.UNKNOWN_PLAYER, {}),
        (
            withdrawal(Money(9, "EUR")),
            wallet(debt_minor=7, pending=full()),
            Reason.CURRENCY_MISMATCH,
            {"currency": "GBP"},
        ),
        (
            withdrawal(gbp(9)),
            wallet(debt_minor=7, pending=full()),
            Reason.DEBT_OUTSTANDING,
            {"debt_minor": 7},
        ),
        (
            withdrawal(gbp(9)),
            wallet(cash_minor=8, held_minor=100, pending=full()),
            Reason.INSUFFICIENT_FUNDS,
            {"cash_minor": 8},
        ),
        (withdrawal(gbp(9)), wallet(cash_minor=9, pending=full()), Reason.TOO_MANY_PAYMENTS, {}),
        (
            DeclinePayment("p", "x", "unknown_method", "there is none"),
            wallet(),
            Reason.PAYMENT_DECLINED,
            {"problem": "unknown_method"},
        ),
        # what is not pending, or pending the other way, can't be answered
        *[
            (command("p", "x", "r"), wallet(pending=payments), Reason.PAYMENT_NOT_PENDING, {})
            for command, other in [
                (CompleteDeposit, Direction.WITHDRAWAL),
                (FailDeposit, Direction.WITHDRAWAL),
                (CompleteWithdrawal, Direction.DEPOSIT),
                (FailWithdrawal, Direction.DEPOSIT),
            ]
            for payments in ({}, pending(other))
        ],
    ],
)
def test_the_wallet_refuses(
    command: Command, state: Wallet, reason: Reason, facts: dict[str, Any]
) -> None:
    assert refusal(command.decide(NOW, state)) == (reason, facts)


@pytest.mark.parametrize(
    ("command", "state", "event"),
    [
        (
            deposit(gbp(MAX_MINOR)),
            wallet(),
            DepositRequested(NOW, "p", "x", gbp(MAX_MINOR), "bogus", "card"),
        ),
        (
            CompleteDeposit("p", "x", "r"),
            wallet(pending=pending(Direction.DEPOSIT), cash_minor=5),
            DepositCompleted(NOW, "p", "x", gbp(500), "bogus", "r", 0, 505),
        ),
        (  # what comes in pays the debt first
            CompleteDeposit("p", "x", "r"),
            wallet(pending=pending(Direction.DEPOSIT), debt_minor=400),
            DepositCompleted(NOW, "p", "x", gbp(500), "bogus", "r", 400, 100),
        ),
        (
            CompleteDeposit("p", "x", "r"),
            wallet(pending=pending(Direction.DEPOSIT), debt_minor=900),
            DepositCompleted(NOW, "p", "x", gbp(500), "bogus", "r", 500, 0),
        ),
        (
            FailDeposit("p", "x", "declined"),
            wallet(pending=pending(Direction.DEPOSIT)),
            DepositFailed(NOW, "p", "x", "declined"),
        ),
        (
            withdrawal(gbp(9)),
            wallet(cash_minor=9),
            WithdrawalRequested(NOW, "p", "x", gbp(9), "bogus", "bank", 0),
        ),
        (
            CompleteWithdrawal("p", "x", "r"),
            wallet(pending=pending(Direction.WITHDRAWAL), withdrawing_minor=500),
            WithdrawalCompleted(NOW, "p", "x", gbp(500), "bogus", "r"),
        ),
        (
            FailWithdrawal("p", "x", "declined"),
            wallet(pending=pending(Direction.WITHDRAWAL), withdrawing_minor=500),
            WithdrawalFailed(NOW, "p", "x", gbp(500), "declined", 0, 500),
        ),
        (  # a debt that came while the money was away is paid from what comes back
            FailWithdrawal("p", "x", "declined"),
            wallet(pending=pending(Direction.WITHDRAWAL), withdrawing_minor=500, debt_minor=30),
            WithdrawalFailed(NOW, "p", "x", gbp(500), "declined", 30, 470),
        ),
    ],
)
def test_the_wallet_does(command: Command, state: Wallet, event: Event) -> None:
    assert command.decide(NOW, state) == event


def test_money_asked_of_a_processor_is_not_there_yet() -> None:
    state = wallet()
    deposit(gbp(500)).decide(NOW, state).apply(state)
    assert (state.cash_minor, state.version) == (0, 2)
    assert state.pending["x"].amount_minor == 500


def test_money_asked_for_is_set_aside_at_once() -> None:
    state = wallet(cash_minor=500)
    withdrawal(gbp(500)).decide(NOW, state).apply(state)
    assert (state.cash_minor, state.withdrawing_minor) == (0, 500)
    assert refusal(withdrawal(gbp(1)).decide(NOW, state))[0] is Reason.INSUFFICIENT_FUNDS


def test_only_an_opened_wallet_shows_itself() -> None:
    assert refusal(GetWallet("p").answer(NOW, Wallet()))[0] is Reason.UNKNOWN_PLAYER
    state = wallet(cash_minor=1, held_minor=2, withdrawing_minor=3, debt_minor=4, version=5)
    assert GetWallet("p").answer(NOW, state) == WalletView("p", "GBP", 1, 2, 3, 4, 5)


@pytest.mark.parametrize("direction", Direction)
def test_a_payment_is_pending_until_it_is_answered(direction: Direction) -> None:
    state = wallet(pending=pending(direction), withdrawing_minor=500)
    assert GetPayment("p", "x").answer(NOW, state) == PaymentView(True)
    assert GetPayment("p", "y").answer(NOW, state) == PaymentView(False)
    command = {Direction.DEPOSIT: CompleteDeposit, Direction.WITHDRAWAL: FailWithdrawal}[direction]
    command("p", "x", "r").decide(NOW, state).apply(state)
    assert GetPayment("p", "x").answer(NOW, state) == PaymentView(False)


# One property for every event that touches a wallet

LEG = Leg("f", "f:m", "a", 25_000, 1, "fixture", "market", "selection")
amounts = st.integers(1, 5_000)
all_results = st.sampled_from(
    [
        WON,
        LOST,
        VOID,
        Result(Outcome.HALF_WON),
        Result(Outcome.HALF_LOST),
        Result(Outcome.WON, 3, 2),
    ]
)
steps = st.one_of(
    st.tuples(st.just("deposit"), amounts),
    st.tuples(st.just("withdraw"), amounts),
    st.tuples(st.just("answer"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("bet"), amounts, st.sampled_from([10_100, 25_000, 333_333])),
    st.tuples(st.just("settle"), st.integers(0, 10), all_results, st.integers(0, 6)),
    st.tuples(st.just("refused bet"), amounts),
)


def command_of(step: tuple[Any, ...], number: int, state: Wallet, bets: list[Bet]) -> Any:
    """The command of a step and the actors it concerns; None when there is nothing to do."""
    match step:
        case ("deposit", amount):
            return RequestDeposit("p", f"x{number}", gbp(amount), "bogus", "card"), (state,)
        case ("withdraw", amount):
            return RequestWithdrawal("p", f"x{number}", gbp(amount), "bogus", "bank"), (state,)
        case ("answer", which, ok) if state.pending:
            payment_id = sorted(state.pending)[which % len(state.pending)]
            kinds = {
                (Direction.DEPOSIT, True): CompleteDeposit,
                (Direction.DEPOSIT, False): FailDeposit,
                (Direction.WITHDRAWAL, True): CompleteWithdrawal,
                (Direction.WITHDRAWAL, False): FailWithdrawal,
            }
            direction = state.pending[payment_id].direction
            return kinds[direction, ok]("p", payment_id, "r"), (state,)
        case ("bet", stake, odds):
            legs = (msgspec.structs.replace(LEG, odds=odds),)
            return PlaceBet("p", f"b{number}", gbp(stake), legs, NOW), (state,)
        case ("settle", which, result, version) if bets:
            bet = bets[which % len(bets)]
            command = SettleBet("p", bet.bet_id, "f:m", "a", result, version)
            return command, (state, bet)
        case ("refused bet", stake):
            no = Refused(Reason.MARKET_CLOSED)
            return PlaceBet("p", f"b{number}", gbp(stake), (), 0, no), (state,)
    return None


def net_of(transfers: tuple[Transfer, ...]) -> Counter[str]:
    net: Counter[str] = Counter()
    for transfer in transfers:
        assert transfer.amount_minor > 0
        assert transfer.currency == "GBP"
        net[transfer.debit] -= transfer.amount_minor
        net[transfer.credit] += transfer.amount_minor
    return net


@settings(deadline=None, max_examples=300)
@given(st.lists(steps, max_size=40))
def test_what_is_applied_to_the_wallet_is_what_the_transfers_say(
    script: list[tuple[Any, ...]],
) -> None:
    state, bets = wallet(), []
    for number, step in enumerate(script):
        asked = command_of(step, number, state, bets)
        if asked is None:
            continue
        command, cast = asked
        decision = command.decide(NOW, *cast)
        for event in decision if isinstance(decision, tuple) else (decision,):
            if isinstance(event, Refused):
                assert event.transfers("gb-00") == ()
                continue
            before = msgspec.structs.replace(state)
            if event.births:
                bets.append(Bet())
                cast = (state, bets[-1])
            event.apply(*cast)
            net = net_of(event.transfers("gb-00"))
            assert state.cash_minor - before.cash_minor == net["cash/p"]
            assert state.held_minor - before.held_minor == net["held/p"]
            assert state.withdrawing_minor - before.withdrawing_minor == net["withdrawing/p"]
            assert before.debt_minor - state.debt_minor == net["debt/p"]
            assert sum(net.values()) == 0
            moved = not isinstance(event, VersionNoted)  # of which the wallet knows nothing
            assert state.version == before.version + moved
            # What the event states of the wallet after it is so.
            for field, now in [
                ("cash_after_minor", state.cash_minor),
                ("held_after_minor", state.held_minor),
                ("wallet_version", state.version),
            ]:
                assert getattr(event, field, now) == now, field
            purse = (state.cash_minor, state.held_minor, state.withdrawing_minor, state.debt_minor)
            assert min(purse) >= 0
    open_stakes = sum(bet.stake_minor for bet in bets if bet.state is BetState.OPEN)
    assert state.held_minor == open_stakes
    on_their_way = sum(
        payment.amount_minor
        for payment in state.pending.values()
        if payment.direction is Direction.WITHDRAWAL
    )
    assert state.withdrawing_minor == on_their_way
