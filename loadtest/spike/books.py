"""What the ledger says in the end: every player's every bet, read as the player reads them."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from loadtest.spike.desk import Desk
from loadtest.spike.stage import Stage

SLOTS = 4
READERS = 8
PAGE = 200
MAX_PAGES = 10_000
"""Of one player."""
BEHIND_S = 0.5
MAX_BEHIND = 60
"""Times that a list may say it is not up to date yet."""


class NotUpToDate(Exception):
    """The ledger did not catch up with the journal."""


class Books(msgspec.Struct):
    """All bets of all players."""

    ids: set[str] = msgspec.field(default_factory=set)
    states: Counter[str] = msgspec.field(default_factory=Counter)
    markets: Counter[str] = msgspec.field(default_factory=Counter)
    """Bets by market."""
    open_markets: Counter[str] = msgspec.field(default_factory=Counter)
    """Those of them that are open."""
    stakes_minor: int = 0
    payouts_minor: int = 0
    settled: Counter[int] = msgspec.field(default_factory=Counter)
    """Bets settled, by slot: `SLOTS` of them are a second, counted from 1970."""
    first_settled_s: float | None = None
    last_settled_s: float | None = None

    def add(self, bet: dict[str, Any]) -> None:
        if bet["bet_id"] in self.ids:
            raise AssertionError(f"bet {bet['bet_id']} is in two lists")
        self.ids.add(bet["bet_id"])
        self.states[bet["state"]] += 1
        market_id = bet["legs"][0]["market_id"]
        self.markets[market_id] += 1
        if bet["state"] == "open":
            self.open_markets[market_id] += 1
        self.stakes_minor += bet["stake_minor"]
        self.payouts_minor += bet["payout_minor"]
        if "settled_at" in bet:
            at_s = seconds_of(bet["settled_at"])
            self.settled[math.floor(at_s * SLOTS)] += 1
            self.first_settled_s = min(at_s, self.first_settled_s or at_s)
            self.last_settled_s = max(at_s, self.last_settled_s or at_s)


def seconds_of(time: str) -> float:
    """RFC 3339 as seconds since 1970."""
    return dt.datetime.fromisoformat(time).timestamp()


async def read(stage: Stage) -> Books:
    """Read everything. Raises `NotUpToDate`."""
    books = Books()
    players = iter(stage.tokens)
    await asyncio.gather(*(_reader(stage, books, players) for _ in range(READERS)))
    return books


async def _reader(stage: Stage, books: Books, tokens: Iterable[str]) -> None:
    desk = Desk(stage)
    try:
        for token in tokens:
            cursor = ""
            for _ in range(MAX_PAGES):
                page = await _page(desk, token, cursor)
                for bet in page["items"]:
                    books.add(bet)
                cursor = page["next_cursor"]
                if not cursor:
                    break
    finally:
        desk.close()


async def _page(desk: Desk, token: str, cursor: str) -> dict[str, Any]:
    path = f"/v1/bets?limit={PAGE}" + (f"&cursor={cursor}" if cursor else "")
    for _ in range(MAX_BEHIND):
        page = await desk.get(path, token)
        if page["up_to_date"]:
            return page
        await asyncio.sleep(BEHIND_S)
    raise NotUpToDate("the ledger is behind the journal, and does not catch up")
