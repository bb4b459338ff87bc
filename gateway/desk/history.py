"""Prices and liability over time.

Prices are in the ledger for ever. Liability is what the ledger's totals are from moment to moment,
and nobody keeps it; so a gateway takes samples while its desk is used, and keeps some hundred of
each market, the older the fewer. They go when the gateway goes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from gateway import api
from gateway.desk import api as desk_api
from ledger.desk_reads import DeskReads

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

SAMPLE_S = 5.0
MAX_SAMPLES = 120
"""Of one market. When they are full every other one goes, and the next are taken half as often."""
MAX_MARKETS = 1_000
"""Whose samples are kept: those with the bets of longest ago go first."""
MAX_SELECTIONS = 12
"""Of one market: those with the largest liability at the time of a sample."""


class Series:
    """Samples of one market."""

    __slots__ = ("at_ms", "gap_ms", "lines")

    def __init__(self) -> None:
        self.at_ms: list[int] = []
        self.lines: list[dict[str, tuple[int, int]]] = []
        """Stakes and liability by selection, for each of those times."""
        self.gap_ms = 0
        """How far two samples are apart at least; the last one is always the latest."""

    def take(self, now_ms: int, line: dict[str, tuple[int, int]]) -> None:
        if len(self.lines) > 1:
            goes_on = line == self.lines[-1] == self.lines[-2]
            if goes_on or now_ms - self.at_ms[-2] < self.gap_ms:
                self.at_ms[-1], self.lines[-1] = now_ms, line
                return
        self.at_ms.append(now_ms)
        self.lines.append(line)
        if len(self.at_ms) > MAX_SAMPLES:
            # The first and the last stay.
            del self.at_ms[1:-1:2], self.lines[1:-1:2]
            self.gap_ms = 2 * max(self.gap_ms, int(SAMPLE_S * 1000))


class Liabilities:
    """Samples of every market with open bets, once somebody uses the desk of this gateway."""

    services: Services

    def __init__(self) -> None:
        self._series: OrderedDict[str, Series] = OrderedDict()
        self._sampler: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Take samples from here on, if that has not begun before."""
        if self._sampler is None:
            self._sampler = asyncio.create_task(self._sample_forever(), name="desk-samples")

    async def stop(self) -> None:
        if self._sampler is not None:
            self._sampler.cancel()
            await asyncio.gather(self._sampler, return_exceptions=True)

    async def _sample_forever(self) -> None:
        while True:
            try:
                await self.sample()
            except Exception as error:
                log.warning("liability_not_sampled", why=repr(error))
            await asyncio.sleep(SAMPLE_S)

    async def sample(self) -> None:
        """Take one of every market with open bets, and of those that had some at the last."""
        rows = await DeskReads.beside(self.services.ledger).exposures()
        now_ms = self.services.clock.now_ms()
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for market_id, selection_id, stakes_minor, liability_minor in rows:
            found.setdefault(market_id, {})[selection_id] = (stakes_minor, liability_minor)
        for market_id, series in self._series.items():
            if market_id not in found:
                series.take(now_ms, {})
        for market_id, line in found.items():
            series = self._series.setdefault(market_id, Series())
            self._series.move_to_end(market_id)
            series.take(now_ms, _largest(line))
        while len(self._series) > MAX_MARKETS:
            self._series.popitem(last=False)

    def of(self, market_id: str) -> desk_api.LiabilityHistory:
        series = self._series.get(market_id) or Series()
        names = sorted({name for line in series.lines for name in line})
        nothing = (0, 0)
        return desk_api.LiabilityHistory(
            market_id,
            [api.time_text(at_ms) for at_ms in series.at_ms],
            {
                name: desk_api.LiabilitySeries(
                    [line.get(name, nothing)[0] for line in series.lines],
                    [line.get(name, nothing)[1] for line in series.lines],
                )
                for name in names
            },
        )


def _largest(line: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if len(line) <= MAX_SELECTIONS:
        return line
    names = sorted(line, key=lambda name: line[name][1], reverse=True)[:MAX_SELECTIONS]
    return {name: line[name] for name in names}


async def price_history(
    services: Services, market_id: str, cursor: str | None, limit: int
) -> desk_api.PriceHistory:
    """The last `limit` changes before the cursor, as a time series for each selection."""
    rows, next_cursor = await DeskReads.beside(services.book).price_history(
        market_id, cursor, limit
    )
    series: dict[str, list[desk_api.PricePoint]] = {}
    for row in reversed(rows):
        point = desk_api.PricePoint(api.time_text(row.at_ms), row.odds)
        series.setdefault(row.selection_id, []).append(point)
    return desk_api.PriceHistory(next_cursor, market_id, series)
