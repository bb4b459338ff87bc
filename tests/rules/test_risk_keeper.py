"""An event's limit after a restart: the keeper wakes the markets that nobody has asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.base import Reason, Refused
from actors.bet import PriceChange
from actors.fixture import ChangeEventLimits, CreateFixture, EventLimit
from actors.market import (
    ChangePrices,
    Held,
    HoldStake,
    OpenMarket,
    RecordHedge,
    SwitchedMarkets,
    SwitchMarkets,
)
from actors.runtime.addresses import BOOK
from actors.runtime.local import LocalCluster
from ledger.memory_journal import MemoryJournal
from ledger.money import Money

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
        async with asyncio.timeout(10):
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
