"""The board of the trader's desk: fixtures and markets as a trader looks at them.

What the house says comes from the market's actor, or from the hub's copy of it; what bets make of
it from the market's book; who has priced it last from the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from msgspec import UNSET

from actors.fixture import Fixture
from actors.market import Exposure, GetExposure, HandPrice, Limits, Market, MarketStatus
from actors.results import Window
from actors.runtime.addresses import BOOK, fixture_of
from gateway import api
from gateway.desk import api as desk_api
from gateway.fixtures import (
    Parts,
    ask_parts,
    came_out,
    fixture_of_view,
    market_of_view,
    terms_json,
)
from gateway.problems import Problem
from gateway.services import Services
from ledger.desk_reads import DeskReads

BOARD_MARKETS = 40
"""Markets of one fixture that the board shows."""
BOARD_SELECTIONS = 20
"""Selections of one market that the board shows."""

_NOT_SETTLED = (MarketStatus.OPEN, MarketStatus.SUSPENDED, MarketStatus.CLOSED)
_NO_BETS = Exposure("", False, {}, 0)


async def board(services: Services, query: desk_api.BoardQuery) -> desk_api.BoardPage:
    """A page of it, each fixture as of this moment."""
    fixture_ids, next_cursor = await DeskReads.beside(services.book).board(
        query.sport or None,
        query.phase or None,
        query.text or None,
        query.status or None,
        query.cursor,
        query.limit,
    )
    found = await asyncio.gather(
        *(_shown(services, fixture_id, whole=False) for fixture_id in fixture_ids)
    )
    now = api.time_text(services.clock.now_ms())
    return desk_api.BoardPage(next_cursor, now, [fixture for fixture, _ in found])


async def event(services: Services, fixture_id: str) -> desk_api.DeskEvent:
    """One fixture with all its markets. Raises the problem `unknown_fixture`."""
    fixture, parts = await _shown(services, fixture_id, whole=True)
    limits = {
        market.market_id: limits_json(market.limits, market.limits_version)
        for market in parts.markets
    }
    return desk_api.DeskEvent(api.time_text(services.clock.now_ms()), fixture, limits)


async def _shown(
    services: Services, fixture_id: str, *, whole: bool
) -> tuple[desk_api.DeskFixture, Parts]:
    parts = await ask_parts(services, fixture_id)
    now_ms = services.clock.now_ms()
    markets = {one.market_id: market_of_view(one, now_ms) for one in parts.markets}
    fixture = fixture_of_view(parts.fixture)
    fixture.seq = parts.lowest
    shown = markets_shown(fixture, markets, whole=whole)
    exposures, sources = await asyncio.gather(
        exposures_of(services, shown), DeskReads.beside(services.book).sources(shown)
    )
    rows = [
        market_row(markets[market_id], exposures.get(market_id), sources, now_ms, whole=whole)
        for market_id in shown
    ]
    return fixture_row(fixture, rows), parts


def markets_shown(fixture: Fixture, markets: Mapping[str, Market], *, whole: bool) -> list[str]:
    """The ids of those in their order: all, or the first few that are not settled."""
    known = [market_id for market_id in fixture.markets if market_id in markets]
    if whole:
        return known
    return [one for one in known if markets[one].status in _NOT_SETTLED][:BOARD_MARKETS]


async def exposures_of(services: Services, market_ids: Iterable[str]) -> dict[str, Exposure]:
    """What each market's book says; a market that does not answer is left out."""
    market_ids = list(market_ids)
    answers = await asyncio.gather(
        *(
            services.router.ask(BOOK, fixture_of(market_id), GetExposure(market_id))
            for market_id in market_ids
        ),
        return_exceptions=True,
    )
    found = {}
    for market_id, answer in zip(market_ids, answers, strict=True):
        if isinstance(answer, BaseException):
            continue
        if isinstance(answer.reply, Exposure):
            found[market_id] = answer.reply
    return found


async def known_market(services: Services, market_id: str) -> Parts:
    """The market's fixture with all of it. Raises the problem `unknown_market`."""
    parts = await ask_parts(services, fixture_of(market_id))
    if market_id not in parts.fixture.markets:
        raise Problem("unknown_market")
    return parts


# Rows


def fixture_row(fixture: Fixture, markets: list[desk_api.DeskMarket]) -> desk_api.DeskFixture:
    return desk_api.DeskFixture(
        fixture.fixture_id,
        fixture.sport,
        fixture.competition,
        fixture.name,
        api.time_text(fixture.starts_at_ms),
        fixture.phase,
        fixture.score,
        fixture.seq,
        len(fixture.markets),
        markets,
    )


def market_row(
    market: Market,
    exposure: Exposure | None,
    sources: Mapping[str, str],
    now_ms: int,
    *,
    whole: bool,
) -> desk_api.DeskMarket:
    book = exposure or _NO_BETS
    ids = list(market.selections)
    if not whole:
        # Of a long market those that can be bet on, such as the scores that can still come.
        ids = sorted(ids, key=lambda one: not market.odds_at(one, now_ms))[:BOARD_SELECTIONS]
    return desk_api.DeskMarket(
        market.market_id,
        market.name,
        market.kind,
        market.status,
        market.in_play,
        market.bet_delay_ms,
        {cause: api.time_text(since_ms) for cause, since_ms in market.causes.items()},
        sources.get(market.market_id, ""),
        api.time_text(market.priced_at_ms) if market.priced_at_ms else UNSET,
        market.stale(now_ms),
        market.odds_version,
        market.result_version,
        book.known,
        book.holds,
        book.worst_minor,
        sum(line.stakes_minor for line in book.lines.values()),
        len(market.selections),
        [_selection_row(market, selection_id, book, now_ms) for selection_id in ids],
        terms_json(market.terms),
        [_void_json(window) for window in market.windows] or UNSET,
    )


def _void_json(window: Window) -> desk_api.VoidTimes:
    return desk_api.VoidTimes(
        *(UNSET if ms is None else api.time_text(ms) for ms in (window.from_ms, window.until_ms))
    )


def _selection_row(
    market: Market, selection_id: str, book: Exposure, now_ms: int
) -> desk_api.DeskSelection:
    selection, hand = market.selections[selection_id], market.hand_at(selection_id, now_ms)
    line, hedge = book.lines.get(selection_id), book.hedged.get(selection_id)
    return desk_api.DeskSelection(
        selection_id,
        selection.name,
        market.odds_at(selection_id, now_ms),
        selection.withdrawn,
        line.bets if line else 0,
        line.stakes_minor if line else 0,
        line.liability_minor if line else 0,
        selection.base_odds or UNSET,
        hedge.liability_minor if hedge else UNSET,
        *came_out(market, selection_id),
        UNSET if hand is None else _hand_json(hand),
        selection_id in market.unrenewed or UNSET,
    )


def _hand_json(hand: HandPrice) -> desk_api.HeldByHand:
    until = api.time_text(hand.until_ms) if hand.until_ms else UNSET
    return desk_api.HeldByHand(hand.by, api.time_text(hand.since_ms), hand.feed_odds, until)


def limits_json(limits: Limits, version: int) -> desk_api.DeskLimits:
    return desk_api.DeskLimits(
        limits.min_stake_minor,
        limits.max_stake_minor,
        limits.max_liability_minor,
        limits.max_market_liability_minor,
        limits.refer_above_minor,
        limits.reoffer_ms,
        limits.max_age_ms,
        limits.max_age_in_play_ms,
        limits.refer_up_to_minor,
        limits.max_slip_liability_minor,
        version,
    )
