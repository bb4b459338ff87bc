"""A gateway without its HTTP: its router, the real placement, the real cashier and the real sweep.

What it answers is what a client is told: an answer, a reused key, or that the client has to try
again.
"""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import msgspec

from actors.base import Command, Question, Reason, Refused
from actors.bet import BetState, BetView, GetBet
from actors.cashout import slip_of, worth_by
from actors.errors import Faulty, KeyReused, NoAnswer
from actors.placement import BetRequest, LiabilityNotKnown, place
from actors.risk.settings import RiskSettings
from actors.runtime.addresses import BOOK
from actors.runtime.keys import fingerprint
from actors.runtime.router import Router
from actors.runtime.simulated.loop import SimulatedClock, current
from actors.runtime.simulated.network import Network, Transport
from actors.runtime.simulated.simulation import Simulation
from actors.slip_placement import SlipRequest, cash_out, place_slip, prices_now
from actors.slips.cashout import CashOutRules, Offer, offer
from gateway import api, cashier, keys
from gateway.customers import Customers
from gateway.payments.processor import Approved, Declined, Order
from gateway.payments.processor import NoAnswer as ProcessorNoAnswer
from gateway.problems import Problem
from gateway.referrals import refer
from ledger.journal import JournalUnavailable
from tests.simulation.risk import RiskReads

ANSWER, REUSED, AGAIN = "answer", "key reused", "try again"
SWEEP_S = 2.0
STUCK_MS = 3_000
RULES = CashOutRules()


class Bank:
    """A payment processor: each payment once, and the same answer to whoever asks again."""

    methods = ("card",)
    name = "bogus"

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.random = simulation.random("bank")
        self.moved: dict[str, Order] = {}
        self.declined: set[str] = set()
        self.slow = 0.0

    async def move(self, order: Order) -> Approved | Declined:
        await asyncio.sleep(0.02 * self.random.random())
        if self.random.random() < self.slow:
            raise ProcessorNoAnswer("the bank thinks about it")
        if order.payment_id not in self.moved and order.payment_id not in self.declined:
            if self.random.random() < 0.1:
                self.declined.add(order.payment_id)
            else:
                self.moved[order.payment_id] = order
        if self.random.random() < self.slow:
            raise ProcessorNoAnswer("the bank's answer was lost")
        if order.payment_id in self.declined:
            return Declined("no")
        return Approved(f"bank-{order.payment_id}")


async def _as_late_as_it_is(_player_id: str) -> bool:
    """Nobody waits for the ledger: how many wait for a trader is then a guess, and no promise."""
    return False


class Gateway:
    """One process; what it was doing is forgotten with it."""

    def __init__(
        self, network: Network, bank: Bank, licence: str, reads: RiskReads, risk: RiskSettings
    ) -> None:
        self.licence = licence
        self.clock = SimulatedClock()
        self.router = Router(Transport(network), self.clock)
        self._numbers = itertools.count(1)
        self._process = current()
        self._services: Any = SimpleNamespace(
            router=self.router,
            clock=self.clock,
            licence=SimpleNamespace(code=licence),
            settings=SimpleNamespace(processor_timeout_s=3.0, risk=risk),
            processors={bank.name: bank},
            ledger=reads,
            up_to_date=_as_late_as_it_is,
        )
        self._customers = Customers()
        self._customers.services = self._services
        self._sweeper = asyncio.ensure_future(self._sweep())
        self._reader = asyncio.ensure_future(self._know_customers())

    def new_id(self) -> str:
        """Sorts by time, as a UUIDv7 does."""
        return f"{self.clock.now_ms()}-{self._process}-{next(self._numbers)}"

    async def place(self, player_id: str, request: BetRequest, key: str) -> tuple[str, Any]:
        return await _told(self._place(player_id, request, key))

    async def _place(self, player_id: str, request: BetRequest, key: str) -> Any:
        """As `gateway.bets.take_bet`, but that the actors' own answer is told."""
        factors = self._customers.factors_of(player_id)
        placed = await place(
            self.router,
            self.clock,
            msgspec.structs.replace(request, factors=factors),
            bet_id=promised_bet(player_id, request, key) or self.new_id(),
            licence=self.licence,
            player_id=player_id,
            key=key,
            fingerprint=asked_for(request),
        )
        if isinstance(placed, Refused) and placed.reason is Reason.REFERRAL_NEEDED:
            problem = await refer(self._services, player_id, request, placed)
            assert problem.code in ("referred", "too_many_referrals"), problem.code
        return placed

    async def place_slip(self, player_id: str, request: SlipRequest, key: str) -> tuple[str, Any]:
        return await _told(
            place_slip(
                self.router,
                self.clock,
                request,
                bet_id=promised_bet(player_id, request, key) or self.new_id(),
                licence=self.licence,
                player_id=player_id,
                key=key,
                fingerprint=asked_for(request),
            )
        )

    async def buy_back(self, player_id: str, bet_id: str, part: int, key: str) -> tuple[str, Any]:
        """What is offered at this moment is taken at once."""
        return await _told(self._buy_back(player_id, bet_id, part, key))

    async def _buy_back(self, player_id: str, bet_id: str, part: int, key: str) -> Any:
        # The offer is not the client's request: whatever it says, the request is the same.
        asked = fingerprint("buy_back", (bet_id, part))
        bet = (await self.router.ask(self.licence, player_id, GetBet(player_id, bet_id))).reply
        made: Any = None
        if isinstance(bet, BetView) and bet.state is BetState.OPEN:
            stake = min(bet.stake_minor, part)
            now = await prices_now(self.router, bet)
            known = worth_by(bet, now.less)
            made = offer(slip_of(bet), known, now.odds, stake, RULES, self.clock.now_ms())
        if not isinstance(made, Offer):
            made = Offer(1, 0, 0, 0, 0, ())  # for the answer that the key may have
        return await cash_out(
            self.router,
            self.clock,
            licence=self.licence,
            player_id=player_id,
            bet_id=bet_id,
            bet=bet if isinstance(bet, BetView) else None,
            offer=made,
            rules=RULES,
            key=key,
            fingerprint=asked,
        )

    async def pay(
        self, direction: str, player_id: str, amount_minor: int, key: str
    ) -> tuple[str, Any]:
        request = api.PaymentRequest(amount_minor, "GBP", "bogus", "card")
        work = cashier.deposit if direction == "deposit" else cashier.withdraw
        return await _told(work(self._services, player_id, request, key))

    async def command(
        self, scope: str, routing_id: str, command: Command, key: str
    ) -> tuple[str, Any]:
        print_ = fingerprint(type(command).__name__, repr(command))
        return await _told(
            self._reply(self.router.ask(scope, routing_id, command, key=key, fingerprint=print_))
        )

    async def ask(self, scope: str, routing_id: str, question: Question) -> tuple[str, Any]:
        return await _told(self._reply(self.router.ask(scope, routing_id, question)))

    async def _reply(self, asked: Any) -> Any:
        return (await asked).reply

    async def _know_customers(self) -> None:
        while True:
            try:
                await self._customers.start()
                return
            except JournalUnavailable:
                await self.clock.sleep(SWEEP_S)

    async def _sweep(self) -> None:
        sweep = cashier.Sweep(self._services)
        while True:
            await self.clock.sleep(SWEEP_S)
            try:
                await sweep.once(STUCK_MS)
            except Exception as failure:
                if type(failure).__name__ != "JournalUnavailable":
                    raise


def asked_for(request: BetRequest | SlipRequest) -> bytes:
    kind = "slip" if isinstance(request, SlipRequest) else "bet"
    return fingerprint(kind, repr(request))


def promised_bet(player_id: str, request: BetRequest | SlipRequest, key: str) -> str:
    """The id of the bet that may take what was promised, if anything was."""
    if not request.promised:
        return ""
    return keys.id_from(f"{player_id} {key} {asked_for(request).hex()}")


async def _told(work: Any) -> tuple[str, Any]:
    try:
        return ANSWER, await work
    except KeyReused:
        return REUSED, None
    except NoAnswer:
        return AGAIN, None
    except LiabilityNotKnown:
        return AGAIN, "liability_unknown"
    except Faulty as faulty:
        return AGAIN, str(faulty)
    except JournalUnavailable as missing:
        return AGAIN, str(missing)
    except Problem as problem:
        if problem.kind.status in (503, 429):
            return AGAIN, problem.code
        return ANSWER, ("problem", str(problem.code), dict(sorted(problem.facts.items())))


def name_ids_by_process(simulation: Simulation) -> None:
    """Ids of payments are drawn at random otherwise."""
    numbers = itertools.count(1)

    def new_id() -> str:
        return f"{int(simulation.loop.now_s * 1000):09d}-{current()}-{next(numbers)}"

    simulation.replace(cashier.keys, "new_id", new_id)


__all__ = [
    "AGAIN",
    "ANSWER",
    "BOOK",
    "REUSED",
    "Bank",
    "Gateway",
    "name_ids_by_process",
    "promised_bet",
]
