"""An event's limit after a restart: the keeper wakes the markets that nobody has asked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec

from actors.base import Reason, Refused
from actors.bet import HoldResolved, PriceChange
from actors.book import Hold
from actors.fixture import ChangeEventLimits, CreateFixture, EventLimit
from actors.hedging import RecordHedge
from actors.holds import Held, HoldStake
from actors.market import Market, Selection
from actors.runtime.addresses import BOOK
from actors.runtime.clock import WallClock
from actors.runtime.keeper import Keeper
from actors.runtime.local import LocalCluster
from actors.trading import ChangePrices, OpenMarket, SwitchedMarkets, SwitchMarkets
from ledger.memory_journal import MemoryJournal
from ledger.money import Money
from tests.patience import PATIENCE_S

ODDS = {"a": 25_000, "b": 25_000}


async def told(cluster: LocalCluster, message: Any, key: str = "") -> Any:
    return (await cluster.router.ask(BOOK, "f", message, key=key)).reply


def hold(market_id: str, stake: int = 100) -> HoldStake:
    money = Money(stake, "GBP")
    return HoldStake("f", market_id, "a", "bet", "gb", "p", money, 25_000, PriceChange.NONE)


async def test_a_limit_of_an_event_wakes_the_markets_that_it_has_to_know() -> None:
    async with LocalCluster(MemoryJournal(), shards=1) as cluster:
        await told(cluster, CreateFixture("f", "soccer", "cup", "A - B", 0), "k1")
        for key in "mn":
            market_id = f"f:{key}"
            names = {name: name.upper() for name in ODDS}
            await told(cluster, OpenMarket("f", market_id, key, key, "GBP", names), f"open {key}")
            await told(cluster, ChangePrices("f", market_id, ODDS), f"price {key}")
        hedge = RecordHedge("f", "f:n", "h", "b", 700, 20_000, 0, "bogus", "r")
        assert not isinstance(await told(cluster, hedge, "k2"), Refused)
        limits = {"event": EventLimit(1_000)}
        await told(cluster, ChangeEventLimits("f", limits), "k3")
        cluster.kill_shard("shard-book-0")
        cluster.start_shard("shard-book-0")
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(answer := await told(cluster, hold("f:m")), Refused):
                assert answer.reason is Reason.LIABILITY_UNKNOWN
        assert isinstance(answer, Held)
        # The hedge on the other market has lost 700 of the 1,000 where b does not win.
        refused = await told(cluster, hold("f:m", 300))
        assert refused == Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": 200})


async def test_many_markets_are_suspended_by_one_message_and_the_hold_is_refused() -> None:
    async with LocalCluster(MemoryJournal(), shards=1) as cluster:
        await told(cluster, CreateFixture("f", "soccer", "cup", "A - B", 0), "k1")
        for key in "mn":
            market_id = f"f:{key}"
            await told(cluster, OpenMarket("f", market_id, key, key, "GBP", {"a": "A"}), key)
            await told(cluster, ChangePrices("f", market_id, {"a": 25_000}), f"price {key}")
        switch = SwitchMarkets("f", ["f:m", "f:n"], "producer/3")
        assert await told(cluster, switch) == SwitchedMarkets(2)
        assert await told(cluster, switch) == SwitchedMarkets(0)
        for key in "mn":
            refused = await told(cluster, hold(f"f:{key}"))
            assert refused.reason is Reason.MARKET_SUSPENDED
        back = SwitchMarkets("f", ["f:m", "f:n"], "producer/3", True)
        assert await told(cluster, back) == SwitchedMarkets(2)
        assert isinstance(await told(cluster, hold("f:n")), Held)


class Wallets:
    """Says what became of each hold; `meanwhile` happens before it does."""

    def __init__(self, placed: bool, meanwhile: Any = None) -> None:
        self.placed = placed
        self.meanwhile = meanwhile

    async def ask(self, *_: Any, **__: Any) -> Any:
        if self.meanwhile:
            self.meanwhile()
        return SimpleNamespace(reply=HoldResolved(0, "bet", self.placed))


async def look_after(markets: list[Market], wallets: Wallets) -> None:
    """One step of a keeper whose markets these are, beside a ledger without bets."""
    shard: Any = None
    partition: Any = SimpleNamespace(
        actors=lambda kind: markets if kind == "market" else [], opened_at_ms=0, failed=None
    )
    router: Any = wallets
    await Keeper(shard, router, {}, WallClock()).step(partition)


def market_with(held: Hold) -> Market:
    of = Market("f:m", "f", selections={"a": Selection("A", 25_000)})
    of.book.known = of.book.whole = True
    of.book.hold(held)
    return of


async def test_a_hold_given_again_while_its_fate_is_asked_for_stays() -> None:
    first = Hold("bet", "p", "gb", "a", 100, 25_000, 1)
    of = market_with(first)
    again = msgspec.structs.replace(first, expires_at_ms=10**15)
    await look_after([of], Wallets(False, lambda: of.book.hold(again)))
    assert of.book.holds == {"bet": again}
    await look_after([of], Wallets(False))
    assert of.book.holds == {"bet": again}
    assert of.book.lines["a"].liability_minor == 150


async def test_what_a_customer_with_less_room_has_taken_is_not_forgotten_with_the_hold() -> None:
    of = market_with(Hold("bet", "p", "gb", "a", 100, 25_000, 1, customer_factor=5_000))
    assert of.book.taken == {"p": 150}
    await look_after([of], Wallets(True))
    assert (of.book.holds, of.book.taken) == ({}, {"p": 150})
    of = market_with(Hold("bet", "p", "gb", "a", 100, 25_000, 1, customer_factor=5_000))
    await look_after([of], Wallets(False))
    assert (of.book.holds, of.book.taken) == ({}, {})
