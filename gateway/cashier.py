"""Deposits and withdrawals: the wallet notes the request, the processor moves the money, the wallet
notes what came of it.

Each step has a key. A request repeated with the client's key, on whichever gateway, goes on where
it stopped; what nobody repeats is taken up by `Sweep`. The processor is asked by the payment's id,
which is that of the first request, and moves the money once. Of its answers the first that the
wallet recorded is the one that counts: from then on every repetition gets it from the wallet, and
no processor is asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from actors.base import Reason, Refused
from actors.errors import NoAnswer as ActorsDidNotAnswer
from actors.placement import Answer
from actors.runtime.keys import fingerprint
from actors.wallet import (
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
    PaymentView,
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
from ledger.reads import PaymentRow

log = structlog.get_logger()

STUCK_MS = 60_000
"""A payment pending for so long has been given up by whoever asked for it."""
SWEPT_PAGE = 100
PAGES_AT_ONCE = 5
"""Pages of one sweep; the next one goes on behind them."""
SWEEPERS = 8

_Told = CompleteDeposit | FailDeposit | CompleteWithdrawal | FailWithdrawal


async def deposit(
    services: Services, player_id: str, request: api.PaymentRequest, key: str
) -> api.PaymentDone:
    command = RequestDeposit(
        player_id,
        keys.new_id(),
        Money(request.amount_minor, request.currency),
        request.processor,
        request.method,
    )
    answer = await _request(services, request, command, key, _fingerprint("deposit", request))
    requested = granted(answer.reply, DepositRequested, services)
    answered = await _outcome(services, Direction.DEPOSIT, command, requested, answer.block_seq)
    if isinstance(answered, DepositFailed):
        raise _declined(answered.payment_id, answered.code)
    completed = granted(answered, DepositCompleted, services)
    return _done(completed.payment_id, completed.amount, completed.cash_after_minor)


async def withdraw(
    services: Services, player_id: str, request: api.PaymentRequest, key: str
) -> api.PaymentDone:
    command = RequestWithdrawal(
        player_id,
        keys.new_id(),
        Money(request.amount_minor, request.currency),
        request.processor,
        request.method,
    )
    answer = await _request(services, request, command, key, _fingerprint("withdrawal", request))
    requested = granted(answer.reply, WithdrawalRequested, services)
    answered = await _outcome(services, Direction.WITHDRAWAL, command, requested, answer.block_seq)
    if isinstance(answered, WithdrawalFailed):
        raise _declined(answered.payment_id, answered.code)
    completed = granted(answered, WithdrawalCompleted, services)
    # The cash went down when the withdrawal was asked for, and completing it moved none.
    return _done(completed.payment_id, completed.amount, requested.cash_after_minor)


class Sweep:
    """Takes up payments that nobody has finished, a share of them at a time.

    Several gateways may do it at once: the keys and the processor see to it that each is done once.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._cursor: str | None = None
        self._room = asyncio.Semaphore(SWEEPERS)

    async def once(self, older_than_ms: int = STUCK_MS) -> int:
        """Take up the next few hundred, the oldest again when all had their turn; how many were
        finished. A payment that stays stuck so keeps nobody from the others."""
        before_ms = self._services.clock.now_ms() - older_than_ms
        finished = 0
        for _ in range(PAGES_AT_ONCE):
            stuck, self._cursor = await self._services.ledger.stuck_payments(
                before_ms, self._cursor, SWEPT_PAGE
            )
            finished += sum(await asyncio.gather(*(self._take_up(payment) for payment in stuck)))
            if self._cursor is None:
                break
        return finished

    async def _take_up(self, payment: PaymentRow) -> bool:
        order = Order(
            payment.payment_id,
            payment.player_id,
            payment.direction,
            Money(payment.amount_minor, payment.currency),
            payment.method,
            payment.requested_at_ms,
        )
        async with self._room:
            try:
                await _carry_out(self._services, payment.processor, order)
            except (Problem, ActorsDidNotAnswer) as later:
                log.warning("payment_stuck", payment_id=order.payment_id, why=str(later))
                return False
            except Exception:
                log.exception("payment_stuck", payment_id=order.payment_id)
                return False
        return True


async def _request(
    services: Services,
    request: api.PaymentRequest,
    command: RequestDeposit | RequestWithdrawal,
    key: str,
    asked: bytes,
) -> Answer:
    """The wallet's first answer to the request.

    Whether there is such a processor and method matters to a new key alone: a payment once asked
    for keeps its answer, also when its processor has gone. Only the wallet knows which keys are
    new, so it is the wallet that declines.
    """
    player_id = command.player_id
    problem = _unserved(services, request)
    if problem is None:
        answer = await _ask(services, player_id, command, key, asked)
    else:
        decline = DeclinePayment(player_id, command.payment_id, problem.code, problem.detail)
        answer = await _ask(services, player_id, decline, key, asked)
    reply = answer.reply
    if isinstance(reply, Refused) and reply.reason is Reason.PAYMENT_DECLINED:
        raise Problem(str(reply.facts["problem"]), reply.message)
    return answer


def _unserved(services: Services, request: api.PaymentRequest) -> Problem | None:
    processor = services.processors.get(request.processor)
    if processor is None:
        there_are = ", ".join(sorted(services.processors))
        return Problem("unknown_processor", f"There are: {there_are}.")
    if request.method not in processor.methods:
        return Problem("unknown_method", f"There are: {', '.join(processor.methods)}.")
    return None


async def _outcome(
    services: Services,
    direction: Direction,
    command: RequestDeposit | RequestWithdrawal,
    requested: DepositRequested | WithdrawalRequested,
    block_seq: int,
) -> Any:
    """What became of a payment that was requested: the answer that the wallet has, or a
    processor's."""
    player_id, payment_id = requested.player_id, requested.payment_id
    is_new = payment_id == command.payment_id
    if not is_new and await _is_answered(services, player_id, payment_id, block_seq):
        # Nothing is pending that this could fail: the answer recorded under its key comes back.
        fail = FailDeposit if direction is Direction.DEPOSIT else FailWithdrawal
        return await _tell(services, fail(player_id, payment_id, "answered_before"))
    order = Order(
        payment_id, player_id, direction, requested.amount, requested.method, requested.at_ms
    )
    return await _carry_out(services, requested.processor, order)


async def _is_answered(services: Services, player_id: str, payment_id: str, block_seq: int) -> bool:
    """Whether the wallet has an answer of a payment that was requested by `block_seq`.

    A partition's former owner that has not noticed yet may not know of the request, and must not
    be taken to say that it is over; its blocks end before.
    """
    answer = await _ask(services, player_id, GetPayment(player_id, payment_id), "", b"")
    view: PaymentView = answer.reply
    return not view.pending and answer.block_seq >= block_seq


async def _carry_out(services: Services, processor_name: str, order: Order) -> Any:
    """Have the money moved and the wallet told; the wallet's answer."""
    processor = services.processors.get(processor_name)
    try:
        if processor is None:
            raise NoAnswer(f"{processor_name} is not there any more")
        async with asyncio.timeout(services.settings.processor_timeout_s):
            outcome = await processor.move(order)
    except (NoAnswer, TimeoutError):
        raise Problem(
            "payment_pending", facts={"payment_id": order.payment_id}, retry_after_s=2
        ) from None
    player_id, payment_id = order.player_id, order.payment_id
    command: _Told
    if order.direction is Direction.DEPOSIT:
        if isinstance(outcome, Approved):
            command = CompleteDeposit(player_id, payment_id, outcome.reference)
        else:
            command = FailDeposit(player_id, payment_id, outcome.code)
    elif isinstance(outcome, Approved):
        command = CompleteWithdrawal(player_id, payment_id, outcome.reference)
    else:
        command = FailWithdrawal(player_id, payment_id, outcome.code)
    return await _tell(services, command)


async def _tell(services: Services, command: _Told) -> Any:
    """Tell the wallet what became of a payment; the first that it was told."""
    # Without a fingerprint, so that the first answer counts, whatever a processor says later.
    key = keys.answer_of(command.payment_id)
    return (await _ask(services, command.player_id, command, key, b"")).reply


async def _ask(services: Services, player_id: str, message: Any, key: str, asked: bytes) -> Answer:
    scope = services.licence.code
    return await services.router.ask(scope, player_id, message, key=key, fingerprint=asked)


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
