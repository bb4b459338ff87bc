"""Deposits and withdrawals: the wallet notes the request, the processor moves the money, the wallet
notes what came of it.

Each step has a key. A request repeated with the client's key, on whichever gateway, goes on where
it stopped and gets the first answer; what nobody repeats is taken up by `sweep`. The processor is
asked by the payment's id, which is that of the first request, and moves the money once. Of its
answers the first that the wallet recorded is the one that counts.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from actors.base import Reason
from actors.runtime.errors import NoAnswer as ActorsDidNotAnswer
from actors.runtime.keys import fingerprint
from actors.wallet import (
    CompleteDeposit,
    CompleteWithdrawal,
    DepositCompleted,
    DepositFailed,
    DepositRequested,
    Direction,
    FailDeposit,
    FailWithdrawal,
    RequestDeposit,
    RequestWithdrawal,
    WithdrawalCompleted,
    WithdrawalFailed,
    WithdrawalRequested,
)
from gateway import api, keys
from gateway.http import granted
from gateway.payments.processor import Approved, NoAnswer, Order
from gateway.problems import Problem
from gateway.services import Services
from ledger.money import Money

log = structlog.get_logger()

STUCK_MS = 60_000
"""A payment pending for so long has been given up by whoever asked for it."""
SWEPT_AT_ONCE = 100
SWEEPERS = 8


async def deposit(
    services: Services, player_id: str, request: api.PaymentRequest, key: str
) -> api.PaymentDone:
    check_method(services, request)
    command = RequestDeposit(
        player_id,
        keys.new_id(),
        Money(request.amount_minor, request.currency),
        request.processor,
        request.method,
    )
    reply = await _ask(services, player_id, command, key, _fingerprint("deposit", request))
    requested = granted(reply, DepositRequested, services)
    order = Order(
        requested.payment_id, player_id, Direction.DEPOSIT, requested.amount, requested.method
    )
    answered = await _carry_out(services, requested.processor, order)
    if isinstance(answered, DepositFailed):
        raise _declined(answered.payment_id, answered.code)
    completed = granted(answered, DepositCompleted, services)
    return _done(completed.payment_id, completed.amount, completed.cash_after_minor)


async def withdraw(
    services: Services, player_id: str, request: api.PaymentRequest, key: str
) -> api.PaymentDone:
    check_method(services, request)
    command = RequestWithdrawal(
        player_id,
        keys.new_id(),
        Money(request.amount_minor, request.currency),
        request.processor,
        request.method,
    )
    reply = await _ask(services, player_id, command, key, _fingerprint("withdrawal", request))
    requested = granted(reply, WithdrawalRequested, services)
    order = Order(
        requested.payment_id, player_id, Direction.WITHDRAWAL, requested.amount, requested.method
    )
    answered = await _carry_out(services, requested.processor, order)
    if isinstance(answered, WithdrawalFailed):
        raise _declined(answered.payment_id, answered.code)
    completed = granted(answered, WithdrawalCompleted, services)
    # The cash went down when the withdrawal was asked for, and completing it moved none.
    return _done(completed.payment_id, completed.amount, requested.cash_after_minor)


async def sweep(services: Services, older_than_ms: int = STUCK_MS) -> int:
    """Take up payments that nobody has finished; how many were. Several gateways may do it at
    once: the keys and the processor see to it that each is done once."""
    before_ms = services.clock.now_ms() - older_than_ms
    stuck = await services.ledger.stuck_payments(before_ms, SWEPT_AT_ONCE)
    room = asyncio.Semaphore(SWEEPERS)

    async def take_up(payment: Any) -> bool:
        order = Order(
            payment.payment_id,
            payment.player_id,
            Direction(payment.direction),
            Money(payment.amount_minor, payment.currency),
            payment.method,
        )
        async with room:
            try:
                await _carry_out(services, payment.processor, order)
            except (Problem, ActorsDidNotAnswer) as later:
                log.warning("payment_stuck", payment_id=order.payment_id, why=str(later))
                return False
            except Exception:
                log.exception("payment_stuck", payment_id=order.payment_id)
                return False
        return True

    return sum(await asyncio.gather(*(take_up(payment) for payment in stuck)))


def check_method(services: Services, request: api.PaymentRequest) -> None:
    processor = services.processors.get(request.processor)
    if processor is None:
        there_are = ", ".join(sorted(services.processors))
        raise Problem("unknown_processor", f"There are: {there_are}.")
    if request.method not in processor.methods:
        raise Problem("unknown_method", f"There are: {', '.join(processor.methods)}.")


async def _carry_out(services: Services, processor_name: str, order: Order) -> Any:
    """Have the money moved and the wallet told; the wallet's answer."""
    processor = services.processors.get(processor_name)
    if processor is None:
        raise Problem("unknown_processor", f"{processor_name} is not there any more.")
    try:
        async with asyncio.timeout(services.settings.processor_timeout_s):
            outcome = await processor.move(order)
    except (NoAnswer, TimeoutError):
        raise Problem(
            "payment_pending", facts={"payment_id": order.payment_id}, retry_after_s=2
        ) from None
    player_id, payment_id = order.player_id, order.payment_id
    command: CompleteDeposit | FailDeposit | CompleteWithdrawal | FailWithdrawal
    if order.direction is Direction.DEPOSIT:
        if isinstance(outcome, Approved):
            command = CompleteDeposit(player_id, payment_id, outcome.reference)
        else:
            command = FailDeposit(player_id, payment_id, outcome.code)
    elif isinstance(outcome, Approved):
        command = CompleteWithdrawal(player_id, payment_id, outcome.reference)
    else:
        command = FailWithdrawal(player_id, payment_id, outcome.code)
    # Without a fingerprint, so that the first answer counts, whatever a processor says later.
    return await _ask(services, player_id, command, keys.answer_of(payment_id), b"")


async def _ask(services: Services, player_id: str, command: Any, key: str, asked: bytes) -> Any:
    scope = services.licence.code
    answer = await services.router.ask(scope, player_id, command, key=key, fingerprint=asked)
    return answer.reply


def _fingerprint(name: str, request: api.PaymentRequest) -> bytes:
    return fingerprint(
        name, [request.amount_minor, request.currency, request.processor, request.method]
    )


def _declined(payment_id: str, code: str) -> Problem:
    return Problem(
        Reason.PAYMENT_DECLINED, facts={"payment_id": payment_id, "processor_code": code}
    )


def _done(payment_id: str, amount: Money, cash_after_minor: int) -> api.PaymentDone:
    return api.PaymentDone(payment_id, "completed", amount.minor, amount.currency, cash_after_minor)
