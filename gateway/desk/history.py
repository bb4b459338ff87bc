"""Prices and liability over time, both from the ledger: every gateway says the same, and says it
again after a restart."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import groupby

from actors.book import Line
from actors.market import GetMarket, Hedge, Market, MarketView
from actors.runtime.addresses import BOOK, fixture_of
from gateway import api
from gateway.desk import api as desk_api
from gateway.fixtures import market_of_view
from gateway.http import granted
from gateway.services import Services
from ledger.desk_reads import DeskReads, LiabilityChange

MAX_SELECTIONS = 12
"""Of one market, whose liability is told: those that had the largest."""
MAX_FIGURES = 200_000
"""Times by selections, that one answer is reckoned from: some 0.1 s of work. A longer market is
told of at fewer times."""


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


async def liability_history(
    services: Services, market_id: str, points: int
) -> desk_api.LiabilityHistory:
    """What open bets made of the market, at no more than `points` times. Raises `unknown_market`.

    Bets on their way are not in it: they are in no ledger yet.
    """
    fixture_id = fixture_of(market_id)
    answer = await services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
    market = market_of_view(granted(answer.reply, MarketView, services))
    points = times_of(points, len(market.selections))
    changes, hedges = await asyncio.gather(
        DeskReads.beside(services.ledger).liability_series(market_id, points),
        DeskReads.beside(services.book).hedges_made(market_id),
    )
    at_ms, lines, worst = await over_time(market, changes, hedges)
    nothing = Line()
    peaks = {
        name: max(line.get(name, nothing).liability_minor for line in lines)
        for name in {name for line in lines for name in line}
    }
    largest = sorted(peaks, key=lambda name: (-peaks[name], name))[:MAX_SELECTIONS]
    return desk_api.LiabilityHistory(
        market_id,
        [api.time_text(one) for one in at_ms],
        {
            name: desk_api.LiabilitySeries(
                [line.get(name, nothing).stakes_minor for line in lines],
                [line.get(name, nothing).liability_minor for line in lines],
            )
            for name in sorted(largest)
        },
        worst,
    )


def times_of(points: int, selections: int) -> int:
    """At how many times a market with so many selections is told of, where `points` are wished."""
    return max(2, min(points, MAX_FIGURES // max(1, selections)))


async def over_time(
    market: Market, changes: Sequence[LiabilityChange], hedges: Sequence[Hedge]
) -> tuple[list[int], list[dict[str, Line]], list[int]]:
    """Times, and for each of them the line of every selection with bets, and the worst case.

    The worst case is reckoned by a book as the market's own is, with the hedges made by then, on a
    copy of the market. Runners that were withdrawn since count as if they never ran. Between two
    times others have their turn.
    """
    at_ms: list[int] = []
    lines: list[dict[str, Line]] = []
    worst: list[int] = []
    line: dict[str, Line] = {}
    waiting = deque(hedges)

    def look(now_ms: int) -> None:
        while waiting and waiting[0].at_ms <= now_ms:
            hedge = waiting.popleft()
            market.hedges[f"{len(market.hedges)}"] = hedge
        market.fit_book()
        market.book.rebase({}, line)
        at_ms.append(now_ms)
        lines.append(line)
        worst.append(market.book.worst_minor)

    for _, part in groupby(changes, lambda change: change.part):
        line, now_ms = dict(line), 0
        for change in part:
            before = line.get(change.selection_id, Line())
            line[change.selection_id] = Line(
                0,
                before.stakes_minor + change.stakes_minor,
                before.liability_minor + change.liability_minor,
            )
            now_ms = max(now_ms, change.last_ms)
        look(now_ms)
        await asyncio.sleep(0)
    if waiting:
        look(waiting[-1].at_ms)
    return at_ms, lines, worst
