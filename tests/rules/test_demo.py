"""The demonstration's board: simulated matches at prices that the house makes itself."""

from __future__ import annotations

from collections import defaultdict

import pytest

from actors.market import MarketStatus
from actors.odds import ONE
from actors.pricing.blend import Heard
from gateway.feeds.priced import FEED, LEAD, Priced
from gateway.feeds.simulated import LIMITS, RIVAL_KINDS
from grandstand import demo
from tests.rehearsal import Rehearsal

START_MS = 1_800_000_000_000
MINUTES = 8
EVERY_MS = 15_000


@pytest.fixture(scope="module")
async def evening() -> tuple[list[tuple[str, str, float, set[str]]], Rehearsal]:
    """Now and then of every open market that prices all its selections: its sport, its kind, its
    overround, and who is heard in it. And the book at the end."""
    source = FEED.open(demo.board(5, 16, "GBP"), "demo", START_MS)
    assert isinstance(source, Priced)
    book, seen, look_ms = Rehearsal(), [], START_MS + EVERY_MS
    async for step in source.steps():
        if step.at_ms > START_MS + MINUTES * 60_000:
            break
        book.now_ms = step.at_ms
        for command in step.commands:
            book.do(command)
        if step.at_ms < look_ms:
            continue
        look_ms = step.at_ms + EVERY_MS
        for market in book.markets.values():
            running = [one for one in market.selections.values() if not one.withdrawn]
            if market.status is not MarketStatus.OPEN or not any(one.odds for one in running):
                continue
            assert not market.stale(step.at_ms)
            if all(one.odds for one in running):
                heard = source.desk.engine.heard(market.market_id)
                used = {name for name, code in heard.items() if code is Heard.USED}
                whole = sum(ONE / one.odds for one in running) / market.winners
                sport = book.fixtures[market.fixture_id].sport
                seen.append((sport, market.kind, whole, used))
    return seen, book


async def test_every_sport_has_its_margin_on_it(evening):
    seen, book = evening
    assert not book.refused
    by_class = defaultdict(list)
    for sport, kind, whole, _ in seen:
        by_class[sport, kind].append(whole)
    assert {sport for sport, _ in by_class} == {
        "Football",
        "American Football",
        "Tennis",
        "Basketball",
        "Horse Racing",
    }
    for (sport, kind), books in by_class.items():
        margins = demo.MARGINS
        margin = margins.get(f"{sport}/{kind}") or margins.get(sport) or demo.USUAL
        asked = margin.overround / ONE
        # Rounded down to the ladder a book is never below what is asked for.
        assert min(books) >= asked - 1e-9, (sport, kind)
        assert sum(books) / len(books) < asked + 0.04, (sport, kind)


async def test_who_wins_is_a_blend_and_the_rest_is_the_models(evening):
    seen, _ = evening
    everybody = {LEAD, *demo.RIVALS}
    blended = [used == everybody for _, kind, _, used in seen if kind in RIVAL_KINDS]
    # But where one of them leaves somebody out who can hardly lose, or strays too far.
    assert sum(blended) > 0.95 * len(blended) > 0
    assert all(used == {LEAD} for _, kind, _, used in seen if kind not in RIVAL_KINDS)


def test_the_rivals_grow_old_as_the_board_does():
    for heard in (demo.board(1, 3, "GBP").lead, *demo.board(1, 3, "GBP").others.values()):
        assert heard.max_age_ms == LIMITS.max_age_ms
        assert heard.max_age_in_play_ms == LIMITS.max_age_in_play_ms
