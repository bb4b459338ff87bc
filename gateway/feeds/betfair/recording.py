"""Recordings of the stream, said again to the book as if they happened now.

A recording is a file of JSON lines, plain or packed with gzip or bzip2, as the historic data is
sold and as stream recorders write it. Only messages of `op: mcm` count.

*Names.* Streams carry none until the market closes, or never. So a recording is read twice: first
for what its markets are called, who runs in them and when they start, as last said, and whether
all its lines can be read, before anything is sent; then for what happens. A runner that joins
later is on the board from the beginning, without a price.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import heapq
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from gateway.feeds.betfair.board import Board, Card, Summary
from gateway.feeds.betfair.messages import Line, bad_id
from gateway.feeds.betfair.settings import Settings, check_margin
from gateway.feeds.feed import Step, check_run


class RecordingError(ValueError):
    """The recording can't be read: which file, which line, and why."""


class Recording:
    """One or more recordings merged into one stream, read from the first message to the last.

    Raises `RecordingError` for a line that can't be read; only the last may be cut off.
    """

    name = "betfair"
    live = False

    def __init__(self, settings: Settings, run: str) -> None:
        check_run(run)
        if not settings.files:
            raise RecordingError("no recording was given")
        check_margin(settings.margin_bp)
        self.settings = settings
        self.run = run
        self.summary = Summary()
        self._paths = [Path(name) for name in settings.files]
        self._cards, digest = _survey(self._paths, self.summary)
        # Named by its content: another recording replayed in the same run has other keys.
        self.keys = f"{self.name}/{run}/{digest}"

    async def steps(self) -> AsyncIterator[Step]:
        for step in self.convert():
            yield step

    def convert(self) -> Iterator[Step]:
        """The same without waiting."""
        board = Board(
            self._cards.values(),
            margin_bp=self.settings.margin_bp,
            currency=self.settings.currency,
            run=self.run,
            summary=self.summary,
        )
        at_ms = 0
        for line in _merged(self._paths, self.summary):
            if line.op != "mcm":
                continue
            self.summary.messages += 1
            at_ms = max(at_ms, line.pt)
            commands = tuple(board.hear(line.pt, line.mc or ()))
            if commands:
                yield Step(at_ms, commands)
        commands = tuple(board.finish())
        if commands:
            yield Step(at_ms, commands)


_decoder = msgspec.json.Decoder(Line)


def _survey(paths: Sequence[Path], summary: Summary) -> tuple[dict[str, Card], str]:
    cards: dict[str, Card] = {}
    seen: set[str] = set()
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        for message in _messages(path, summary, digest):
            for change in message.mc or () if message.op == "mcm" else ():
                seen.add(change.id)
                if change.market_definition is not None:
                    definition = change.market_definition
                    card = cards.setdefault(change.id, Card(change.id, definition, {}))
                    card.describe(definition)
    for market_id in sorted(seen - cards.keys()):
        summary.warn(f"market {market_id} has no marketDefinition: it is left out")
    for card in cards.values():
        card.judge(summary)
    return cards, digest.hexdigest()


def _merged(paths: Sequence[Path], summary: Summary) -> Iterator[Line]:
    streams = [_messages(path, summary) for path in paths]
    return heapq.merge(*streams, key=lambda message: message.pt)


def _messages(
    path: Path, summary: Summary, digest: hashlib.blake2b | None = None
) -> Iterator[Line]:
    broken: tuple[int, str] | None = None
    last_ms = 0
    for number, line in enumerate(_lines(path, summary), 1):
        if digest:
            digest.update(line)
        if not line.strip():
            continue
        if broken:
            raise RecordingError(f"{path}:{broken[0]}: {broken[1]}")
        try:
            message = _decoder.decode(line)
        except msgspec.ValidationError as error:
            raise RecordingError(f"{path}:{number}: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            broken = (number, str(error))  # an error, unless it is the last line
            continue
        for change in message.mc or ():
            bad = bad_id(change)
            if bad is not None:
                raise RecordingError(f"{path}:{number}: {bad!r} can't be an id")
        # Time never goes back, whatever a recorder wrote.
        message.pt = last_ms = max(last_ms, message.pt)
        if message.mc and not last_ms:
            raise RecordingError(f"{path}:{number}: no publish time (pt)")
        yield message
    if broken and not last_ms:
        raise RecordingError(f"{path}:{broken[0]}: {broken[1]}")
    if broken:
        summary.warn(f"{path}: line {broken[0]}, the last, is cut off and left out")


def _lines(path: Path, summary: Summary) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            start = raw.read(3)
            raw.seek(0)
            # By what the file is, not by what it is called: historic files have any name.
            if start[:2] == b"\x1f\x8b":
                with gzip.open(raw) as packed:
                    yield from packed
            elif start == b"BZh":
                with bz2.open(raw) as packed:
                    yield from packed
            else:
                yield from raw
    except EOFError:
        summary.warn(f"{path}: the packed file is cut off")
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


SAMPLE = """\
{"op":"connection","connectionId":"sample"}
{"op":"mcm","clk":"1","pt":1700000000000,"ct":"SUB_IMAGE","mc":[{"id":"1.1","img":true,\
"marketDefinition":{"eventId":"10","eventTypeId":"7","venue":"Sample Park","marketType":"WIN",\
"bettingType":"ODDS","marketTime":"2023-11-14T22:14:00.000Z","numberOfWinners":1,"betDelay":0,\
"inPlay":false,"status":"OPEN","runners":[{"id":1,"status":"ACTIVE","sortPriority":1},\
{"id":2,"status":"ACTIVE","sortPriority":2},{"id":3,"status":"ACTIVE","sortPriority":3}]},\
"rc":[{"id":1,"atb":[[2.5,10],[2.4,20]]},{"id":2,"batb":[[0,3.1,5]]},{"id":3,"ltp":8.0}]}]}
{"op":"mcm","clk":"2","pt":1700000001000,"ct":"HEARTBEAT"}
{"op":"mcm","clk":"3","pt":1700000002000,"mc":[{"id":"1.1","rc":[{"id":1,"atb":[[2.5,0]]}]}]}
{"op":"mcm","clk":"4","pt":1700000003000,"mc":[{"id":"1.1",\
"marketDefinition":{"eventId":"10","eventTypeId":"7","venue":"Sample Park","marketType":"WIN",\
"bettingType":"ODDS","marketTime":"2023-11-14T22:14:00.000Z","numberOfWinners":1,"betDelay":1,\
"inPlay":true,"status":"SUSPENDED","runners":[{"id":1,"status":"ACTIVE","sortPriority":1},\
{"id":2,"status":"ACTIVE","sortPriority":2},{"id":3,"status":"REMOVED","sortPriority":3}]}}]}
{"op":"mcm","clk":"5","pt":1700000004000,"mc":[{"id":"1.1",\
"marketDefinition":{"eventId":"10","eventTypeId":"7","venue":"Sample Park","marketType":"WIN",\
"bettingType":"ODDS","marketTime":"2023-11-14T22:14:00.000Z","numberOfWinners":1,"betDelay":1,\
"inPlay":true,"status":"CLOSED","name":"1m Sample","runners":[\
{"id":1,"status":"WINNER","sortPriority":1,"name":"First Runner"},\
{"id":2,"status":"LOSER","sortPriority":2,"name":"Second Runner"},\
{"id":3,"status":"REMOVED","sortPriority":3,"name":"Third Runner"}]}}]}
"""
"""A whole race in six lines."""
