"""The wallet of one player: cash, held stakes, and money on its way in or out.

State, then what may be asked of it, then what can happen to it. Amounts are whole minor units of
the wallet's one currency. Bets are actors of their own (`actors.bet`), neighbours of the wallet.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.slips.bonus import Bonus
from ledger.accounts import AccountKind, Transfer, account_of
from ledger.money import MAX_MINOR, Money

MAX_PENDING_PAYMENTS = 20
"""Deposits and withdrawals a player may have under way at once."""


class Direction(enum.StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class Payment(msgspec.Struct, frozen=True, array_like=True):
    """A deposit or withdrawal that the processor has not answered for yet."""

    direction: Direction
    amount_minor: int
    processor: str
    method: str
    requested_at_ms: int


class Wallet(Actor):
    player_id: str = ""
    currency: str = ""
    cash_minor: int = 0
    held_minor: int = 0
    withdrawing_minor: int = 0
    debt_minor: int = 0
    """Owed by the player after a resettlement; paid off first by whatever comes in."""
    version: int = 0
    """How many events have changed the wallet."""
    pending: dict[str, Payment] = msgspec.field(default_factory=dict)
    bonuses: tuple[Bonus, ...] = ()
    """Given and not used; some may have expired."""

    @property
    def opened(self) -> bool:
        return self.version > 0

    def pending_payment(self, payment_id: str, direction: Direction) -> Payment | None:
        """The payment under way of that id, if it goes that way."""
        payment = self.pending.get(payment_id)
        return payment if payment is not None and payment.direction is direction else None

    def bonus(self, bonus_id: str) -> Bonus | None:
        return next((one for one in self.bonuses if one.bonus_id == bonus_id), None)

    def bonuses_at(self, now_ms: int) -> tuple[Bonus, ...]:
        return tuple(one for one in self.bonuses if now_ms <= one.expires_at_ms)

    def receive(self, amount_minor: int) -> None:
        """Add to the cash, the debt first."""
        repaid = min(amount_minor, self.debt_minor)
        self.debt_minor -= repaid
        self.cash_minor += amount_minor - repaid


def transfers_in(
    source: str, player_id: str, amount: Money, debt_repaid_minor: int
) -> tuple[Transfer, ...]:
    """`amount` from `source` to a player: to the debt what repays it, to the cash the rest."""
    to_debt = (
        Transfer(
            source, account_of(AccountKind.DEBT, player_id), debt_repaid_minor, amount.currency
        )
        if debt_repaid_minor
        else None
    )
    to_cash = (
        Transfer(
            source,
            account_of(AccountKind.CASH, player_id),
            amount.minor - debt_repaid_minor,
            amount.currency,
        )
        if amount.minor > debt_repaid_minor
        else None
    )
    return tuple(transfer for transfer in (to_debt, to_cash) if transfer)


# What may be asked


class WalletView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A wallet as its owner sees it."""

    player_id: str
    currency: str
    cash_minor: int
    held_minor: int
    withdrawing_minor: int
    debt_minor: int
    version: int
    bonuses: tuple[Bonus, ...] = ()
    """That can still be used."""


class GetWallet(Question, frozen=True, array_like=True, tag=True):
    player_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)

    def answer(self, now_ms: int, wallet: Wallet) -> WalletView | Refused:
        if not wallet.opened:
            return Refused(Reason.UNKNOWN_PLAYER)
        return WalletView(
            wallet.player_id,
            wallet.currency,
            wallet.cash_minor,
            wallet.held_minor,
            wallet.withdrawing_minor,
            wallet.debt_minor,
            wallet.version,
            wallet.bonuses_at(now_ms),
        )


class PaymentView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Whether a payment waits for the processor's answer: not yet asked for, it does not either."""

    pending: bool


class GetPayment(Question, frozen=True, array_like=True, tag=True):
    player_id: str
    payment_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)

    def answer(self, now_ms: int, wallet: Wallet) -> PaymentView:
        return PaymentView(self.payment_id in wallet.pending)


class PaymentCommand(Command, frozen=True, array_like=True, tag=True):
    """A step of a deposit or withdrawal; `payment_id` is the same in all of them."""

    player_id: str
    payment_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)


class RequestDeposit(PaymentCommand, frozen=True, array_like=True, tag=True):
    """Note that money is asked of a processor; none moves before it answers."""

    amount: Money
    processor: str
    method: str

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        if not wallet.opened:
            return Refused(Reason.UNKNOWN_PLAYER)
        if not 0 < self.amount.minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_amount_minor": MAX_MINOR})
        if self.amount.currency != wallet.currency:
            return Refused(Reason.CURRENCY_MISMATCH, facts={"currency": wallet.currency})
        if len(wallet.pending) >= MAX_PENDING_PAYMENTS:
            return Refused(Reason.TOO_MANY_PAYMENTS)
        if wallet.cash_minor + self.amount.minor > MAX_MINOR:
            return Refused(Reason.BALANCE_LIMIT)
        return DepositRequested(
            now_ms, self.player_id, self.payment_id, self.amount, self.processor, self.method
        )


class CompleteDeposit(PaymentCommand, frozen=True, array_like=True, tag=True):
    """The processor has taken the money from the player."""

    reference: str
    """The processor's own name for the payment."""

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        payment = wallet.pending_payment(self.payment_id, Direction.DEPOSIT)
        if payment is None:
            return Refused(Reason.PAYMENT_NOT_PENDING)
        # The processor has the player's money: from here the deposit is taken, whatever it is.
        repaid = min(wallet.debt_minor, payment.amount_minor)
        return DepositCompleted(
            now_ms,
            self.player_id,
            self.payment_id,
            Money(payment.amount_minor, wallet.currency),
            payment.processor,
            self.reference,
            repaid,
            wallet.cash_minor + payment.amount_minor - repaid,
        )


class FailDeposit(PaymentCommand, frozen=True, array_like=True, tag=True):
    """The processor has refused."""

    code: str

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        payment = wallet.pending_payment(self.payment_id, Direction.DEPOSIT)
        if payment is None:
            return Refused(Reason.PAYMENT_NOT_PENDING)
        return DepositFailed(now_ms, self.player_id, self.payment_id, self.code)


class RequestWithdrawal(PaymentCommand, frozen=True, array_like=True, tag=True):
    """Set money aside to be paid out."""

    amount: Money
    processor: str
    method: str

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        if not wallet.opened:
            return Refused(Reason.UNKNOWN_PLAYER)
        if not 0 < self.amount.minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_amount_minor": MAX_MINOR})
        if self.amount.currency != wallet.currency:
            return Refused(Reason.CURRENCY_MISMATCH, facts={"currency": wallet.currency})
        if wallet.debt_minor:
            return Refused(Reason.DEBT_OUTSTANDING, facts={"debt_minor": wallet.debt_minor})
        if self.amount.minor > wallet.cash_minor:
            return Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": wallet.cash_minor})
        if len(wallet.pending) >= MAX_PENDING_PAYMENTS:
            return Refused(Reason.TOO_MANY_PAYMENTS)
        # From here the money is set aside.
        return WithdrawalRequested(
            now_ms,
            self.player_id,
            self.payment_id,
            self.amount,
            self.processor,
            self.method,
            wallet.cash_minor - self.amount.minor,
        )


class CompleteWithdrawal(PaymentCommand, frozen=True, array_like=True, tag=True):
    """The processor has paid the player."""

    reference: str

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        payment = wallet.pending_payment(self.payment_id, Direction.WITHDRAWAL)
        if payment is None:
            return Refused(Reason.PAYMENT_NOT_PENDING)
        return WithdrawalCompleted(
            now_ms,
            self.player_id,
            self.payment_id,
            Money(payment.amount_minor, wallet.currency),
            payment.processor,
            self.reference,
        )


class FailWithdrawal(PaymentCommand, frozen=True, array_like=True, tag=True):
    """The processor has refused to pay: the money goes back to the cash."""

    code: str

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        payment = wallet.pending_payment(self.payment_id, Direction.WITHDRAWAL)
        if payment is None:
            return Refused(Reason.PAYMENT_NOT_PENDING)
        repaid = min(wallet.debt_minor, payment.amount_minor)
        return WithdrawalFailed(
            now_ms,
            self.player_id,
            self.payment_id,
            Money(payment.amount_minor, wallet.currency),
            self.code,
            repaid,
            wallet.cash_minor + payment.amount_minor - repaid,
        )


class DeclinePayment(PaymentCommand, frozen=True, array_like=True, tag=True):
    """Refuse a payment that there is no processor for, under the key of its request.

    Where that key has an answer already, it is given again.
    """

    code: str
    message: str

    def decide(self, now_ms: int, wallet: Wallet) -> Event:
        return Refused(Reason.PAYMENT_DECLINED, self.message, {"problem": self.code})


# What can happen to it


class WalletEvent(Event, frozen=True, array_like=True, tag=True):
    """Something that happened to one wallet and to nobody else."""

    at_ms: int
    player_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("wallet", self.player_id),)


class DepositRequested(WalletEvent, frozen=True, array_like=True, tag=True):
    payment_id: str
    amount: Money
    processor: str
    method: str

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.pending[self.payment_id] = Payment(
            Direction.DEPOSIT, self.amount.minor, self.processor, self.method, self.at_ms
        )


class DepositCompleted(WalletEvent, frozen=True, array_like=True, tag=True):
    payment_id: str
    amount: Money
    processor: str
    reference: str
    debt_repaid_minor: int
    cash_after_minor: int

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        del wallet.pending[self.payment_id]
        wallet.receive(self.amount.minor)

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        source = account_of(AccountKind.PROCESSOR, f"{partition}/{self.processor}")
        return transfers_in(source, self.player_id, self.amount, self.debt_repaid_minor)


class DepositFailed(WalletEvent, frozen=True, array_like=True, tag=True):
    payment_id: str
    code: str

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        del wallet.pending[self.payment_id]


class WithdrawalRequested(WalletEvent, frozen=True, array_like=True, tag=True):
    payment_id: str
    amount: Money
    processor: str
    method: str
    cash_after_minor: int

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.cash_minor -= self.amount.minor
        wallet.withdrawing_minor += self.amount.minor
        wallet.pending[self.payment_id] = Payment(
            Direction.WITHDRAWAL, self.amount.minor, self.processor, self.method, self.at_ms
        )

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        cash = account_of(AccountKind.CASH, self.player_id)
        withdrawing = account_of(AccountKind.WITHDRAWING, self.player_id)
        return (Transfer(cash, withdrawing, self.amount.minor, self.amount.currency),)


class WithdrawalCompleted(WalletEvent, frozen=True, array_like=True, tag=True):
    payment_id: str
    amount: Money
    processor: str
    reference: str

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.withdrawing_minor -= self.amount.minor
        del wallet.pending[self.payment_id]

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        withdrawing = account_of(AccountKind.WITHDRAWING, self.player_id)
        processor = account_of(AccountKind.PROCESSOR, f"{partition}/{self.processor}")
        return (Transfer(withdrawing, processor, self.amount.minor, self.amount.currency),)


class WithdrawalFailed(WalletEvent, frozen=True, array_like=True, tag=True):
    payment_id: str
    amount: Money
    code: str
    debt_repaid_minor: int
    cash_after_minor: int

    def apply(self, wallet: Wallet) -> None:
        wallet.version += 1
        wallet.withdrawing_minor -= self.amount.minor
        del wallet.pending[self.payment_id]
        wallet.receive(self.amount.minor)

    def transfers(self, partition: str) -> tuple[Transfer, ...]:
        source = account_of(AccountKind.WITHDRAWING, self.player_id)
        return transfers_in(source, self.player_id, self.amount, self.debt_repaid_minor)
