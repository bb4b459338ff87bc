"""Keeps the books of a shard's markets: what memory alone knows is checked against the ledger.

A market that came back from the journal has an empty book. It takes bets again when the keeper has
read its liability: the journal's heads are noted, the ledger is waited for until it has passed
them, and its totals are taken as of where it then is. Holds granted before the crash may still
become bets, so the totals are read once more after the last of those must have run out.

A hold that has run out unanswered is resolved by asking the player's partition what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import structlog

from actors.bet import HoldFate
from actors.book import HOLD_MS, Hold, Line
from actors.market import Market
from actors.placement import fate_of_hold
from actors.runtime.clock import Clock
from actors.runtime.errors import NoAnswer
from actors.runtime.partition import Partition
from actors.runtime.router import Router
from actors.runtime.shard import Shard

log = structlog.get_logger()

PERIOD_S = 0.1
SLACK_MS = 3_000
"""Between the clocks of two machines, and for a former owner that has not noticed yet."""
MAX_CONFIRMED = 2_000
"""Bets a book remembers one by one before it reads the ledger's totals again."""
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

    async def run(self) -> None:
        """Step for ever; a step that fails is made again."""
        while True:
            try:
                await self.step()
            except NoAnswer as missing:
                log.info("keeper_waits", why=missing.why)
            except Exception:
                log.exception("keeper_failed", shard=self.shard.name)
            await self.clock.sleep(PERIOD_S)

    async def step(self) -> None:
        for partition in list(self.shard.partitions.values()):
            markets: list[Market] = list(partition.actors("market"))
            placed = await self._fates(markets)
            now_ms = self.clock.now_ms()
            stale = [
                market
                for market in markets
                if market.market_id in placed or _wants_totals(market, partition, now_ms)
            ]
            for start in range(0, len(stale), MAX_MARKETS_READ):
                await self._read(partition, stale[start : start + MAX_MARKETS_READ])
            for market in markets:
                for bet_id in placed.get(market.market_id, ()):
                    market.book.release(bet_id)

    async def _fates(self, markets: list[Market]) -> dict[str, list[str]]:
        """Release the holds whose bets were never placed; return those that were, by market."""
        now_ms = self.clock.now_ms()
        placed: dict[str, list[str]] = {}
        for market in markets:
            expired = [hold for hold in market.book.holds.values() if hold.expires_at_ms < now_ms]
            for hold in expired:
                fate = await self._fate(hold)
                if fate.placed:
                    placed.setdefault(market.market_id, []).append(hold.bet_id)
                elif fate.final:
                    market.book.release(hold.bet_id)
        return placed

    async def _fate(self, hold: Hold) -> HoldFate:
        try:
            return await fate_of_hold(self.router, hold)
        except NoAnswer:
            return HoldFate(placed=False, final=False)

    async def _read(self, partition: Partition, markets: list[Market]) -> None:
        # Every licence's bets count: the liability of a market is the whole house's.
        now_ms = self.clock.now_ms()
        heads: dict[str, int] = {}
        lines: dict[str, dict[str, Line]] = {market.market_id: {} for market in markets}
        for ledger in self.ledgers.values():
            wanted = await ledger.heads()
            while True:
                positions, totals = await ledger.liabilities(list(lines))
                if all(positions.get(name, 0) >= seq for name, seq in wanted.items()):
                    break
                await self.clock.sleep(PERIOD_S)
            heads |= positions
            for market_id, selections in totals.items():
                for selection_id, line in selections.items():
                    total = lines[market_id].setdefault(selection_id, Line())
                    total.bets += line.bets
                    total.stakes_minor += line.stakes_minor
                    total.liability_minor += line.liability_minor
        if partition.failed is None:
            for market in markets:
                market.book.rebase(heads, lines[market.market_id])
                market.book.whole |= now_ms > _whole_from_ms(market, partition)


def _whole_from_ms(market: Market, partition: Partition) -> int:
    """When the last hold granted before the partition was opened must have run out."""
    return partition.opened_at_ms + HOLD_MS + market.longest_delay_ms + SLACK_MS


def _wants_totals(market: Market, partition: Partition, now_ms: int) -> bool:
    book = market.book
    if not market.market_id or (market.may_rest() and not book.holds):
        return False
    if not book.known or len(book.confirmed) > MAX_CONFIRMED:
        return True
    return not book.whole and now_ms > _whole_from_ms(market, partition)
