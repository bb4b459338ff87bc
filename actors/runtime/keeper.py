"""Keeps the books of a shard's markets: what memory alone knows is checked against the ledger.

A market that came back from the journal has an empty book. It takes bets again when the keeper has
read its liability: the journal's heads are noted, the ledger is waited for until it has passed
them, and its totals are taken as of where it then is. Holds granted before the crash may still
become bets, so the totals are read once more after the last of those must have run out.

A hold that has run out unanswered is resolved by asking the player's partition what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from actors.bet import HoldResolved
from actors.book import HOLD_MS, Hold, Line
from actors.errors import NoAnswer
from actors.fixture import Fixture
from actors.market import MAX_BET_DELAY_MS, GetExposure, Market
from actors.placement import resolve_hold
from actors.runtime.clock import Clock
from actors.runtime.partition import Partition
from actors.runtime.router import Router
from actors.runtime.shard import Shard
from actors.runtime.wire import Item

log = structlog.get_logger()

PERIOD_S = 0.1
SLACK_MS = 7_000
"""Between the clocks of two machines, and for a former owner that has not noticed yet."""
MAX_CONFIRMED = 2_000
"""Bets a book remembers one by one before it reads the ledger's totals again."""
MAX_AGE_MS = 60_000
"""After so long a book with bets in it is read again: it may have missed what changed them."""
LONGEST_WAIT_MS = MAX_BET_DELAY_MS
"""A slip's hold waits for the bet delay of whichever market is on it."""
MAX_FATES = 500
"""Holds whose fate is asked for at a time."""
MAX_MARKETS_READ = 500
"""Markets whose totals are read at a time."""


class Totals(Protocol):
    """What the keeper reads in one licence's ledger."""

    async def heads(self) -> Mapping[str, int]:
        """The journal's end of every partition."""
        ...

    async def liabilities(
        self, market_ids: list[str]
    ) -> tuple[Mapping[str, int], Mapping[str, Mapping[str, Line]]]:
        """How far the ledger is made, and, as of exactly there, the open bets of each market.

        Lines by market id and selection id.
        """
        ...


class Keeper:
    def __init__(
        self, shard: Shard, router: Router, ledgers: Mapping[str, Totals], clock: Clock
    ) -> None:
        self.shard = shard
        self.router = router
        self.ledgers = ledgers
        self.clock = clock
        self._at_work: dict[Partition, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look after every partition, each on its own: one that has to wait holds up no other."""
        try:
            while True:
                for partition in self.shard.partitions.values():
                    if partition not in self._at_work:
                        task = asyncio.ensure_future(self._look_after(partition))
                        self._at_work[partition] = task
                await self.clock.sleep(PERIOD_S)
        finally:
            for task in self._at_work.values():
                task.cancel()

    async def _look_after(self, partition: Partition) -> None:
        try:
            await self.step(partition)
        except NoAnswer as missing:
            log.info("keeper_waits", partition=partition.name, why=missing.why)
        except Exception:
            log.exception("keeper_failed", partition=partition.name)
        finally:
            del self._at_work[partition]

    async def step(self, partition: Partition) -> None:
        """Resolve the holds that have run out, and read the totals that are wanted."""
        await self._introduce(partition)
        markets: list[Market] = list(partition.actors("market"))
        placed = await self._fates(markets)
        now_ms = self.clock.now_ms()
        stale = {
            market.market_id: market
            for market in markets
            if _wants_totals(market, partition, now_ms)
        }
        stale |= {market.market_id: market for market, _ in placed}
        wanted = list(stale.values())
        for start in range(0, len(wanted), MAX_MARKETS_READ):
            await self._read(partition, wanted[start : start + MAX_MARKETS_READ])
        # Their bets are in the totals now.
        for market, hold in placed:
            market.book.found(hold)

    async def _introduce(self, partition: Partition) -> None:
        """Wake the markets whose liability a limit of their fixture needs: nobody else may ask for
        them."""
        fixtures: list[Fixture] = list(partition.actors("fixture"))
        items = [
            Item(partition.name, GetExposure(market_id))
            for fixture in fixtures
            for market_id in fixture.strangers()
        ][:MAX_MARKETS_READ]
        if items:
            await partition.bring(items)
            now_ms = self.clock.now_ms()
            for item in items:
                partition.decide(item, now_ms)

    async def _fates(self, markets: list[Market]) -> list[tuple[Market, Hold]]:
        """Release the holds whose bets were never placed; return those that were."""
        now_ms = self.clock.now_ms()
        expired = [
            (market, hold)
            for market in markets
            for hold in market.book.holds.values()
            if hold.expires_at_ms < now_ms
        ][:MAX_FATES]
        fates = await asyncio.gather(*(self._fate(hold) for _, hold in expired))
        placed = []
        for (market, hold), fate in zip(expired, fates, strict=True):
            if fate is None:
                continue
            if fate.placed:
                placed.append((market, hold))
            elif market.book.holds.get(hold.bet_id) is hold:
                # Not of one that was given meanwhile to the same bet: that is still to be placed.
                market.book.release(hold.bet_id)
        return placed

    async def _fate(self, hold: Hold) -> HoldResolved | None:
        try:
            return await resolve_hold(self.router, hold)
        except NoAnswer:
            return None

    async def _read(self, partition: Partition, markets: list[Market]) -> None:
        # Every licence's bets count: the liability of a market is the whole house's.
        now_ms = self.clock.now_ms()
        heads: dict[str, int] = {}
        lines: dict[str, dict[str, Line]] = {market.market_id: {} for market in markets}
        reopened = {}
        for market in markets:
            market.book.outdated = False  # whoever says so from here on means something later
            reopened[market.market_id] = market.book.reopened
        for ledger in self.ledgers.values():
            try:
                positions, totals = await self._totals(partition, ledger, list(lines))
            except BaseException:
                for market in markets:
                    market.book.outdated = True
                raise
            heads |= positions
            for market_id, selections in totals.items():
                for selection_id, line in selections.items():
                    total = lines[market_id].setdefault(selection_id, Line())
                    total.bets += line.bets
                    total.stakes_minor += line.stakes_minor
                    total.liability_minor += line.liability_minor
                    total.slips_minor += line.slips_minor
        if partition.failed is None:
            for market in markets:
                market.book.rebase(heads, lines[market.market_id])
                if market.book.reopened != reopened[market.market_id]:
                    market.book.known = False  # they may be open since these totals were read
                market.book.read_at_ms = now_ms
                market.book.whole |= now_ms > _whole_from_ms(market, partition)

    async def _totals(
        self, partition: Partition, ledger: Totals, market_ids: list[str]
    ) -> tuple[Mapping[str, int], Mapping[str, Mapping[str, Line]]]:
        """The totals as of where the ledger is once it has passed the journal's heads of now."""
        wanted = await ledger.heads()
        while True:
            positions, totals = await ledger.liabilities(market_ids)
            passed = all(positions.get(name, 0) >= seq for name, seq in wanted.items())
            if passed or partition.failed:
                return positions, totals
            await self.clock.sleep(PERIOD_S)


def _whole_from_ms(market: Market, partition: Partition) -> int:
    """When the last hold granted before the partition was opened must have run out."""
    longest_ms = max(market.longest_delay_ms, LONGEST_WAIT_MS)
    return partition.opened_at_ms + HOLD_MS + longest_ms + SLACK_MS


def _wants_totals(market: Market, partition: Partition, now_ms: int) -> bool:
    book = market.book
    if not market.market_id or (market.may_rest() and not book.holds):
        return False
    if not book.known or book.outdated or len(book.confirmed) > MAX_CONFIRMED:
        return True
    if book.lines and now_ms > book.read_at_ms + MAX_AGE_MS:
        return True
    return not book.whole and now_ms > _whole_from_ms(market, partition)
