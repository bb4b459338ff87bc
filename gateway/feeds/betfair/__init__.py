"""The Betfair Exchange Stream: recordings of it said again as if they happened now, or live.

Both are read by the same code, and what differs is where the lines come from:

- `messages.py` what the lines hold,
- `cache.py` what is known of a market, kept up by its changes,
- `board.py` what that means for our own markets,
- `recording.py` files of lines, read from the first to the last,
- `subscription.py` where we stand with the exchange: clocks, segments, what is out of step,
- `guard.py` a board that suspends what it knows too little of, or knows too late,
- `catalogue.py` what live markets are called,
- `live.py` the connection.
"""

from __future__ import annotations

from pathlib import Path

from gateway.feeds.betfair.board import PREFIX, Summary, our_odds
from gateway.feeds.betfair.live import Live
from gateway.feeds.betfair.messages import MarketFilter
from gateway.feeds.betfair.recording import SAMPLE, Recording, RecordingError
from gateway.feeds.betfair.settings import AgeLimits, LiveSettings, Settings
from gateway.feeds.feed import Feed

__all__ = [
    "FEED",
    "AgeLimits",
    "Live",
    "LiveSettings",
    "MarketFilter",
    "Recording",
    "RecordingError",
    "Settings",
    "Summary",
    "our_odds",
]


class BetfairFeed(Feed):
    name = "betfair"
    prefix = PREFIX
    settings = Settings

    def open(self, settings: Settings, run: str, start_ms: int) -> Recording | Live:
        """Recordings are read to their end: best done in a thread. They have their own time."""
        if settings.live is None:
            return Recording(settings, run)
        return Live(settings, run, start_ms)

    def sample(self, folder: Path) -> Settings:
        path = folder / "sample.jsonl"
        path.write_text(SAMPLE)
        return Settings((str(path),))


FEED = BetfairFeed()
