"""Sportradar's Unified Odds Feed: the live one, recordings of it, or our own sport said in it.

| file | |
| --- | --- |
| `messages.py` | what the feed says, and how XML is read |
| `identity.py` | specifiers, ids, routing keys |
| `descriptions.py` | names and events, from the API's documents |
| `producers.py` | who can be believed |
| `session.py` | messages in, commands out: the rules are here |
| `results.py` | what results mean |
| `live.py` | AMQP and HTTP |
| `replay.py` | recordings |
| `publisher.py`, `local.py` | our sport as UOF messages, over a line with faults |
| `speed.py` | `python -m gateway.feeds.uof.speed` measures |
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.feeds.feed import Feed, Source, check_run
from gateway.feeds.simulated import Board
from gateway.feeds.simulated import Settings as BoardSettings
from gateway.feeds.uof.descriptions import shipped
from gateway.feeds.uof.live import AmqpLine, HttpApi, Live, LiveSettings
from gateway.feeds.uof.local import CALM, Faults, Local, LocalSource
from gateway.feeds.uof.replay import Replay, write
from gateway.feeds.uof.session import Options, Session

__all__ = ["FEED", "Settings", "UofFeed"]


class Settings(msgspec.Struct, frozen=True):
    """One of `files`, `simulated` and `live` says where messages come from."""

    files: tuple[str, ...] = ()
    """Recordings: JSON lines, or folders of XML files."""
    simulated: BoardSettings | None = None
    """The simulated board, published as UOF messages."""
    faults: Faults = CALM
    """Of the line of the simulated board."""
    live: LiveSettings | None = None
    options: Options = Options()


class UofFeed(Feed):
    name = "uof"
    prefix = "uof-"
    settings = Settings

    def open(self, settings: Settings, run: str, start_ms: int) -> Source:
        """Reads recordings to their end: best done in a thread. They have a time of their own."""
        check_run(run)
        ways = (bool(settings.files), settings.simulated is not None, settings.live is not None)
        if sum(ways) != 1:
            raise ValueError("give either files, simulated or live")
        options = settings.options
        if settings.simulated is not None:
            board = Board(settings.simulated, run, start_ms)
            session = Session(options, shipped(), run)
            local = Local(board.play(), session, start_ms, settings.faults)
            return LocalSource(local, self.name, f"{self.name}/{run}/simulated")
        if settings.live is not None:
            # Above everything an earlier start has asked.
            session = Session(options, shipped(), run, first_request=start_ms // 1_000)
            return Live(
                session,
                AmqpLine(settings.live),
                HttpApi(settings.live, options.producers),
                self.name,
                run,
                start_ms,
            )
        session = Session(options, shipped(), run)
        return Replay(map(Path, settings.files), session, self.name, run)

    def sample(self, folder: Path) -> Settings:
        """A recording of six simulated fixtures."""
        path = folder / "sample.jsonl"
        if not path.exists():
            board = Board(BoardSettings(seed=7, fixtures=6, total=6), "sample", _SAMPLE_MS)
            local = Local(board.play(), Session(Options(), shipped(), "sample"), _SAMPLE_MS)
            local.delivered = []
            for _ in local.play():
                pass
            write(path, local.delivered)
        return Settings((str(path),))


_SAMPLE_MS = 1_700_000_000_000

FEED = UofFeed()
