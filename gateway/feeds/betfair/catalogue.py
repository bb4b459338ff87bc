"""Names for the live stream, which carries none.

They are in what the exchange's `listMarketCatalogue` answers (with MARKET_PROJECTION fields EVENT,
COMPETITION and RUNNER_DESCRIPTION). Somebody asks for it now and then and leaves the answer, a
JSON list, in a file; it is read again when it has changed and a market comes up that needs it. A
market that is not in it gets the names that a recording without names has.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import structlog

from gateway.feeds.betfair.messages import Definition, selection_id

log = structlog.get_logger()

MAX_BYTES = 64 * 1024 * 1024


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Runner(msgspec.Struct, rename="camel"):
    selection_id: int
    runner_name: str = ""
    handicap: Decimal = Decimal(0)


class _Entry(msgspec.Struct, rename="camel"):
    market_id: str
    market_name: str = ""
    event: _Named = _Named()
    competition: _Named = _Named()
    runners: list[_Runner] = []


_decoder = msgspec.json.Decoder(list[_Entry])


class Catalogue:
    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._entries: dict[str, _Entry] = {}
        self._version: tuple[int, int] | None = None

    def complete(self, market_id: str, definition: Definition) -> None:
        """Fill in the names that the definition leaves out."""
        entry = self._read().get(market_id)
        if entry is None:
            return
        definition.name = definition.name or entry.market_name or None
        definition.event_name = definition.event_name or entry.event.name or None
        definition.competition_name = definition.competition_name or entry.competition.name or None
        names = {
            selection_id(runner.selection_id, runner.handicap): runner.runner_name
            for runner in entry.runners
        }
        for runner in definition.runners:
            runner.name = runner.name or names.get(selection_id(runner.id, runner.hc)) or None

    def _read(self) -> dict[str, _Entry]:
        if self._path is None:
            return self._entries
        try:
            found = self._path.stat()
            version = found.st_mtime_ns, found.st_size
            if version != self._version:
                self._version = version
                if found.st_size > MAX_BYTES:
                    raise ValueError(f"it has more than {MAX_BYTES} bytes")
                entries = _decoder.decode(self._path.read_bytes())
                self._entries = {entry.market_id: entry for entry in entries}
        except (OSError, ValueError, msgspec.DecodeError) as error:
            # Names are no reason to have no prices.
            log.warning("betfair_catalogue", path=str(self._path), why=str(error))
        return self._entries
