"""The wallet: balance, statement, deposits and withdrawals."""

from __future__ import annotations

from msgspec import UNSET

from actors.base import Reason
from actors.wallet import GetWallet, WalletView
from gateway import api, cashier
from gateway.http import Auth, Call, Route, granted
from gateway.wallets import wallet_json


async def wallet(call: Call) -> api.Wallet:
    services = call.services
    question = GetWallet(call.player_id)
    answer = await services.router.ask(services.licence.code, call.player_id, question)
    return wallet_json(granted(answer.reply, WalletView, services))


async def statement(call: Call) -> api.Statement:
    query: api.PageQuery = call.query
    up_to_date = await call.services.up_to_date(call.player_id)
    rows, next_cursor = await call.services.ledger.statement(
        call.player_id, query.cursor, query.limit
    )
    items = [
        api.StatementLine(
            row.entry_id,
            api.time_text(row.at_ms),
            row.kind,
            row.amount_minor,
            row.balance_after_minor,
            row.currency,
            row.reference,
        )
        for row in rows
    ]
    return api.Statement(next_cursor, up_to_date, items)


async def payments(call: Call) -> api.Payments:
    query: api.PageQuery = call.query
    up_to_date = await call.services.up_to_date(call.player_id)
    rows, next_cursor = await call.services.ledger.payments(
        call.player_id, query.cursor, query.limit
    )
    items = [
        api.PaymentLine(
            row.payment_id,
            row.direction,
            row.state,
            row.amount_minor,
            row.currency,
            row.processor,
            row.method,
            api.time_text(row.requested_at_ms),
            UNSET if row.answered_at_ms is None else api.time_text(row.answered_at_ms),
            UNSET if row.code is None else row.code,
        )
        for row in rows
    ]
    return api.Payments(next_cursor, up_to_date, items)


async def deposit(call: Call) -> api.PaymentDone:
    return await cashier.deposit(call.services, call.player_id, call.body, call.key)


async def withdraw(call: Call) -> api.PaymentDone:
    return await cashier.withdraw(call.services, call.player_id, call.body, call.key)


_PAYMENT_CODES = (
    "unknown_processor",
    "unknown_method",
    "payment_pending",
    Reason.PAYMENT_DECLINED,
    Reason.CURRENCY_MISMATCH,
    Reason.TOO_MANY_PAYMENTS,
    Reason.PAYMENT_NOT_PENDING,
    Reason.UNKNOWN_PLAYER,
)

ROUTES = [
    Route(
        method="GET",
        path="/v1/wallet",
        handle=wallet,
        name="wallet",
        summary="The balance, as of this moment",
        tag="Wallet",
        reply=api.Wallet,
        auth=Auth.PLAYER,
        codes=(Reason.UNKNOWN_PLAYER,),
        express=True,
    ),
    Route(
        method="GET",
        path="/v1/wallet/statement",
        handle=statement,
        name="statement",
        summary="Every change of the cash, newest first",
        tag="Wallet",
        query=api.PageQuery,
        reply=api.Statement,
        auth=Auth.PLAYER,
        codes=("invalid_cursor",),
    ),
    Route(
        method="GET",
        path="/v1/wallet/payments",
        handle=payments,
        name="payments",
        summary="Deposits and withdrawals, newest first",
        tag="Wallet",
        query=api.PageQuery,
        reply=api.Payments,
        auth=Auth.PLAYER,
        codes=("invalid_cursor",),
    ),
    Route(
        method="POST",
        path="/v1/wallet/deposits",
        handle=deposit,
        name="deposit",
        summary="Pay in",
        tag="Wallet",
        body=api.PaymentRequest,
        reply=api.PaymentDone,
        status=201,
        auth=Auth.PLAYER,
        keyed=True,
        codes=(*_PAYMENT_CODES, Reason.BALANCE_LIMIT),
    ),
    Route(
        method="POST",
        path="/v1/wallet/withdrawals",
        handle=withdraw,
        name="withdraw",
        summary="Pay out",
        tag="Wallet",
        body=api.PaymentRequest,
        reply=api.PaymentDone,
        status=201,
        auth=Auth.PLAYER,
        keyed=True,
        codes=(*_PAYMENT_CODES, Reason.INSUFFICIENT_FUNDS, Reason.DEBT_OUTSTANDING),
    ),
]
