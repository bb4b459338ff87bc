"""The platform, broken on purpose: each variant breaks one promise, and has to be caught.

Each is told how to replace an attribute for the time of an evening.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from actors import settlement
from actors.base import Command, Question, Reason, Refused
from actors.bet import HoldResolved, PlaceBet, ResolveHold, SettleBet, VersionNoted
from actors.book import Book, Confirmed, Hold
from actors.hedging import OrderHedge, RecordHedge
from actors.holds import HoldStake
from actors.market import Market, MarketView
from actors.risk.referral import Referral, ReferralTaken
from actors.runtime import keeper
from actors.runtime.partition import Packed, Partition, Sealed
from actors.runtime.simulated.database import Rows, SimulatedJournal
from actors.runtime.wire import Item, Reply
from actors.wallet import Wallet
from gateway import coordinator
from gateway.coordinator import Coordinator
from gateway.exchanges.exchange import BackOrder
from ledger.blocks import Block, Head
from ledger.money import Money
from tests.simulation.evening import Evening

Replace = Callable[[Any, str, Any], None]
Variant = Callable[[Replace], None]


def answers_before_the_commit(replace: Replace) -> None:
    decide = Partition.decide

    def hasty(self: Partition, item: Item, now_ms: int) -> Reply | None:
        reply = decide(self, item, now_ms)
        durable = isinstance(item.message, Question) or reply is None
        return reply if durable else msgspec.structs.replace(reply, block_seq=self.head.seq)

    replace(Partition, "decide", hasty)


def reads_do_not_wait_for_what_they_show(replace: Replace) -> None:
    decide = Partition.decide

    def hasty(self: Partition, item: Item, now_ms: int) -> Reply | None:
        reply = decide(self, item, now_ms)
        if reply is None or not isinstance(item.message, Question):
            return reply
        return msgspec.structs.replace(reply, block_seq=self.head.seq)

    replace(Partition, "decide", hasty)


def nobody_is_fenced_off(replace: Replace) -> None:
    append = SimulatedJournal.append

    async def always(self: SimulatedJournal, blocks: list[Block]) -> frozenset[str]:
        await append(self, blocks)
        return frozenset(block.partition for block in blocks)

    replace(SimulatedJournal, "append", always)


def keys_are_not_checked(replace: Replace) -> None:
    replace(Partition, "_first", lambda *_: None)
    replace(Partition, "_unsure", lambda *_: False)


def keys_are_checked_after_deciding(replace: Replace) -> None:
    decide = Partition.decide

    def late(self: Partition, item: Item, now_ms: int) -> Reply | None:
        if isinstance(item.message, Command) and item.key:
            owner = item.message.cast()[0]
            first = self._first(owner, item.key)
            if first is not None and first.fingerprint == item.fingerprint:
                decide(self, msgspec.structs.replace(item, key=""), now_ms)
        return decide(self, item, now_ms)

    replace(Partition, "decide", late)


def keys_are_forgotten_with_the_process(replace: Replace) -> None:
    replace(Partition, "_unsure", lambda *_: False)


def fingerprints_are_not_compared(replace: Replace) -> None:
    first_of = Partition._first

    def any_request(self: Partition, owner: str, key: str) -> Any:
        first = first_of(self, owner, key)
        return first and msgspec.structs.replace(first, fingerprint=_Equal())

    replace(Partition, "_first", any_request)


class _Equal:
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def holds_are_never_released(replace: Replace) -> None:
    replace(Book, "release", lambda *_: None)


def confirmed_bets_are_forgotten(replace: Replace) -> None:
    def forgetful(self: Book, bet_id: str, bet: Confirmed) -> None:
        self.release(bet_id)

    replace(Book, "confirm", forgetful)


def holds_count_for_nothing(replace: Replace) -> None:
    replace(Market, "refuse_room", lambda *_: None)


def a_hold_is_final_by_anybodys_clock(replace: Replace) -> None:
    def final(self: ResolveHold, now_ms: int, bet: Any) -> HoldResolved:
        return HoldResolved(now_ms, self.bet_id, False)

    replace(ResolveHold, "decide", final)
    replace(keeper, "MAX_AGE_MS", 10**9)  # which would put it right again


def the_wallet_takes_bets_whose_hold_has_run_out(replace: Replace) -> None:
    decide = PlaceBet.decide

    def patient(self: PlaceBet, now_ms: int, wallet: Wallet) -> Any:
        return decide(self, min(now_ms, self.hold_expires_at_ms), wallet)

    replace(PlaceBet, "decide", patient)


def the_stake_need_not_be_there(replace: Replace) -> None:
    decide = PlaceBet.decide

    def generous(self: PlaceBet, now_ms: int, wallet: Wallet) -> Any:
        decision = decide(self, now_ms, wallet)
        poor = isinstance(decision, Refused) and decision.reason is Reason.INSUFFICIENT_FUNDS
        if not poor or self.refused or now_ms > self.hold_expires_at_ms:
            return decision
        rich = msgspec.structs.replace(wallet, cash_minor=10**9)
        return decide(self, now_ms, rich)

    replace(PlaceBet, "decide", generous)


def settlements_have_no_version(replace: Replace) -> None:
    decide = SettleBet.decide

    def careless(self: SettleBet, now_ms: int, wallet: Any, bet: Any) -> Any:
        before, bet.result_version = bet.result_version, 0
        try:
            return decide(self, now_ms, wallet, bet)
        finally:
            bet.result_version = before

    replace(SettleBet, "decide", careless)


def versions_that_change_nothing_are_not_noted(replace: Replace) -> None:
    replace(VersionNoted, "apply", lambda *_: None)


def bets_are_taken_while_they_would_be_void(replace: Replace) -> None:
    replace(Market, "_voids_now", lambda *_: False)


def the_settlement_does_not_wait_for_holds(replace: Replace) -> None:
    replace(settlement, "_no_more_bets", _nothing)


def the_settlement_does_not_wait_for_the_ledger(replace: Replace) -> None:
    replace(settlement, "_caught_up", _nothing)


def a_new_owner_trusts_its_book_at_once(replace: Replace) -> None:
    replace(keeper, "_whole_from_ms", lambda *_: 0)
    _instead_of_others(replace, "kill_a_shard")


def snapshots_are_saved_before_the_commit(replace: Replace) -> None:
    seal = Partition.seal

    def early(self: Partition, now_ms: int, snapshot: bool) -> Sealed:
        sealed = seal(self, now_ms, snapshot)
        if sealed.snapshots:
            saving = self.journal.save(self.name, sealed.snapshots, sealed.block.seq)
            task = asyncio.ensure_future(saving)
            task.add_done_callback(lambda task: task.exception())
        return sealed

    replace(Partition, "seal", early)


def a_failed_block_is_taken_for_written(replace: Replace) -> None:
    append = SimulatedJournal.append

    async def hopeful(self: SimulatedJournal, blocks: list[Block]) -> frozenset[str]:
        try:
            return await append(self, blocks)
        except Exception:
            return frozenset(block.partition for block in blocks)

    replace(SimulatedJournal, "append", hopeful)


def what_is_handed_over_need_not_be_durable(replace: Replace) -> None:
    """Neither waited for by its old owner, nor compared with the journal by the new one."""
    unpack = Partition._unpack

    def trusting(self: Partition, body: bytes, before: Head) -> bool:
        packed = msgspec.msgpack.decode(body, type=Packed)
        packed = msgspec.structs.replace(packed, head=before)
        return unpack(self, msgspec.msgpack.encode(packed), before)

    replace(Partition, "at_rest", property(lambda self: True))
    replace(Partition, "_unpack", trusting)
    _instead_of_others(replace, "move_a_partition")


def the_projector_forgets_how_far_it_came(replace: Replace) -> None:
    store = Rows.store

    def twice(self: Rows, tables: Any) -> None:
        store(self, tables)
        for place, line in tables.exposure.items():
            if line.bets > 1:
                self.exposure[place].bets += 1

    replace(Rows, "store", twice)


def hedges_are_written_down_after_they_are_made(replace: Replace) -> None:
    order = Coordinator._hedge

    async def hasty(self: Coordinator, market: Any, exposure: Any) -> bool:
        if exposure.ordered:
            return await order(self, market, exposure)
        before, self._router = self._router, _MakesFirst(self, market)
        try:
            return await order(self, market, exposure)
        finally:
            self._router = before

    replace(Coordinator, "_hedge", hasty)


class _MakesFirst:
    """A way to the actors that gives an order to the exchange before it is written down."""

    def __init__(self, coordinator: Coordinator, market: MarketView) -> None:
        self._router = coordinator._router
        self._exchanges = coordinator._exchanges
        self._currency = market.currency

    async def ask(self, scope: str, routing_id: str, message: Any, **options: Any) -> Any:
        if isinstance(message, OrderHedge):
            stake = Money(message.stake_minor, self._currency)
            place = (message.hedge_id, message.market_id, message.selection_id)
            await self._exchanges[message.exchange].back(BackOrder(*place, stake, message.odds, 0))
        return await self._router.ask(scope, routing_id, message, **options)


def a_hedge_is_recorded_as_often_as_it_is_said(replace: Replace) -> None:
    decide = RecordHedge.decide

    def again(self: RecordHedge, now_ms: int, market: Market, fixture: Any) -> Any:
        known = market.hedges.pop(self.hedge_id, None)
        try:
            return decide(self, now_ms, market, fixture)
        finally:
            if known:
                market.hedges[self.hedge_id] = known

    replace(RecordHedge, "decide", again)


def an_offer_is_never_used_up(replace: Replace) -> None:
    keeps = HoldStake._keeps

    def generous(self: HoldStake, now_ms: int, book: Book) -> bool:
        offer = book.offers.get(self.player_id)
        if offer:
            offer.bet_id = ""
        return keeps(self, now_ms, book)

    replace(HoldStake, "_keeps", generous)


def a_referral_is_never_used_up(replace: Replace) -> None:
    replace(ReferralTaken, "apply", lambda *_: None)


def what_a_trader_accepted_can_be_had_for_ever(replace: Replace) -> None:
    replace(Referral, "state_at", lambda self, _now_ms: self.state)


def what_is_promised_needs_no_room(replace: Replace) -> None:
    refuse = Market.refuse_room

    def generous(self: Market, hold: Hold, fixture: Any) -> Refused | None:
        return None if hold.promised else refuse(self, hold, fixture)

    replace(Market, "refuse_room", generous)


def the_desk_does_not_hear_of_bets(replace: Replace) -> None:
    replace(Coordinator, "_touch", lambda *_: None)
    replace(coordinator, "HOLDS_MS", 10**9)
    replace(coordinator, "UNHEARD_MS", 10**9)


def _instead_of_others(replace: Replace, kind: str) -> None:
    """Have most of what goes wrong be of that kind: else it is too seldom to be seen soon."""
    go_wrong = Evening._go_wrong

    def mostly(self: Evening, other: str) -> None:
        go_wrong(self, kind if self.chance.random() < 0.8 else other)

    replace(Evening, "_go_wrong", mostly)


async def _nothing(*_: Any) -> None:
    pass


VARIANTS: dict[str, Variant] = {
    name: variant
    for name, variant in list(globals().items())
    if not name.startswith("_")
    and getattr(variant, "__annotations__", {}).get("replace") == "Replace"
}
