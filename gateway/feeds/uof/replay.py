"""Recordings of the Unified Odds Feed: written, and said again to the book as if they came now.

A recording is one of

- a file of JSON lines, plain or packed with gzip: `{"at": 1700000000000, "key": "hi.-.live.odds_\
change.1.sr:match.7.-", "xml": "<odds_change ..."}`, where `at` is when the message arrived,
- a folder of XML files, a message each, called `<at>_<key>.xml` or, where several arrive in one
  millisecond, `<at>_<n>_<key>.xml`; they are read by `at`, then by name.

A document of the API (`fixtures_fixture`, `market_descriptions`, `player_profile`,
`competitor_profile`) stands in it like a message, with an empty key or `api`. Answers may stand
anywhere: a recording is read twice, first for what its events and markets are called and whether
all of it can be read. An event that no document names is called by its id.

A recording can't be asked for a recovery. It holds those that were made when it was recorded, so
a request gets the number of that producer's next `snapshot_complete`; a producer that has none
left stays down, and its markets suspended.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import re
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import msgspec
import structlog

from gateway.feeds.feed import FeedCommand, Step, check_run
from gateway.feeds.uof.descriptions import Card, parse_answer
from gateway.feeds.uof.identity import RoutingKey
from gateway.feeds.uof.local import Delivery
from gateway.feeds.uof.messages import (
    EventMessage,
    SnapshotComplete,
    UofError,
    parse,
)
from gateway.feeds.uof.producers import Recover
from gateway.feeds.uof.session import AskFixture, Session

log = structlog.get_logger()

SPORTS = {
    "1": "Football",
    "2": "Basketball",
    "3": "Baseball",
    "4": "Ice Hockey",
    "5": "Tennis",
    "6": "Handball",
    "12": "Rugby",
    "16": "American Football",
    "19": "Snooker",
    "20": "Table Tennis",
    "21": "Cricket",
    "22": "Darts",
    "23": "Volleyball",
}
"""By the number in a routing key, where no document says more."""
_API = "api"
"""In the place of a routing key, for what the API answered."""
_FILE = re.compile(r"(\d{1,15})_(?:(\d+)_)?([^_].*|)\.xml")


class RecordingError(ValueError):
    """The recording can't be read: which file, which line, and why."""


class _Line(msgspec.Struct):
    at: int
    key: str
    xml: str


_decoder = msgspec.json.Decoder(_Line)


def write(path: Path, deliveries: Iterable[Delivery]) -> None:
    """Record what was delivered, as JSON lines; packed where the name ends in `.gz`."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        for delivery in deliveries:
            line = _Line(delivery.at_ms, delivery.key, delivery.body.decode())
            file.write(msgspec.json.encode(line) + b"\n")


def write_folder(folder: Path, deliveries: Iterable[Delivery]) -> None:
    """Record what was delivered, each message in a file of its own."""
    for n, delivery in enumerate(deliveries):
        name = f"{delivery.at_ms}_{n:06}_{delivery.key or _API}.xml"
        (folder / name).write_bytes(delivery.body)


def read(path: Path) -> Iterator[Delivery]:
    """What a recording holds, in the order it arrived. Raises `RecordingError`."""
    return _folder(path) if path.is_dir() else _file(path)


def _folder(path: Path) -> Iterator[Delivery]:
    found: list[tuple[int, int, str, Path]] = []
    for file in path.glob("*.xml"):
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise RecordingError(f"{file}: not called <at>_<key>.xml")
        found.append((int(match[1]), int(match[2] or 0), match[3], file))
    for at_ms, _, key, file in sorted(found):
        yield Delivery(at_ms, "" if key == _API else key, file.read_bytes())


def _file(path: Path) -> Iterator[Delivery]:
    last_ms = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    one = _decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise RecordingError(f"{path}:{number}: {error}") from None
                # Time never goes back, whatever a recorder wrote.
                last_ms = max(last_ms, one.at)
                key = "" if one.key == _API else one.key
                yield Delivery(last_ms, key, one.xml.encode())
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: {error}") from None


class Replay:
    """One or more recordings merged into one, read from the first message to the last."""

    live = False

    def __init__(self, paths: Iterable[Path], session: Session, name: str, run: str) -> None:
        """Reads all of it once: best done in a thread. Raises `RecordingError`."""
        check_run(run)
        self.name = name
        self.session = session
        self._paths = list(paths)
        if not self._paths:
            raise RecordingError("no recording was given")
        self._cards: dict[str, Card] = {}
        self._answers: dict[int, deque[int]] = {}
        digest = hashlib.blake2b(digest_size=8)
        for delivery in self._deliveries():
            digest.update(b"%d/%s/" % (delivery.at_ms, delivery.key.encode()))
            digest.update(delivery.body)
            self._survey(delivery)
        # Named by its content: another recording replayed in the same run has other keys.
        self.keys = f"{name}/{run}/{digest.hexdigest()}"

    async def steps(self) -> AsyncIterator[Step]:
        for at_ms, said in self.play():
            yield Step(at_ms, tuple(said), self.session.parts)

    def play(self) -> Iterator[tuple[int, list[FeedCommand]]]:
        """The same without waiting."""
        session = self.session
        now_ms: int | None = None
        for delivery in self._deliveries():
            while now_ms is not None:
                due_ms = session.due_ms(now_ms)
                if due_ms is None or due_ms >= delivery.at_ms:
                    break
                now_ms = due_ms
                session.tick(now_ms)
                yield from self._take(now_ms)
            now_ms = delivery.at_ms
            if not delivery.key:
                continue
            try:
                message = parse(delivery.body)
            except UofError as error:
                log.warning("unreadable", key=delivery.key, why=str(error))
                session.unreadable(delivery.key, now_ms)
            else:
                session.hear(message, now_ms)
            yield from self._take(now_ms)
        if now_ms is not None:
            session.end(now_ms)
            yield from self._take(now_ms)

    def _take(self, now_ms: int) -> Iterator[tuple[int, list[FeedCommand]]]:
        for request in self.session.requests():
            if isinstance(request, AskFixture):
                card = self._cards.get(request.event_id)
                if card is not None:
                    self.session.answered(card, now_ms)
            elif isinstance(request, Recover):
                numbers = self._answers.get(request.product)
                if numbers:
                    self.session.renumber(request, numbers.popleft())
        said = self.session.take()
        if said:
            yield now_ms, said

    def _deliveries(self) -> Iterator[Delivery]:
        return heapq.merge(*map(read, self._paths), key=lambda delivery: delivery.at_ms)

    def _survey(self, delivery: Delivery) -> None:
        if not delivery.key:
            try:
                answer = parse_answer(delivery.body)
            except UofError as error:
                raise RecordingError(f"the answer recorded at {delivery.at_ms}: {error}") from None
            if isinstance(answer, Card):
                self._cards[answer.event_id] = answer
            else:
                self.session.answered(answer, delivery.at_ms)
            return
        try:
            message = parse(delivery.body)
        except UofError:
            return  # one that can't be read is part of what happened
        if isinstance(message, SnapshotComplete):
            numbers = self._answers.setdefault(message.product, deque())
            if message.request_id not in numbers:
                numbers.append(message.request_id)
        elif isinstance(message, EventMessage) and message.event_id not in self._cards:
            self._cards[message.event_id] = _nameless(message.event_id, delivery)


def _nameless(event_id: str, delivery: Delivery) -> Card:
    try:
        sport_id = RoutingKey.parse(delivery.key).sport_id
    except ValueError:
        sport_id = "-"
    sport = SPORTS.get(sport_id, f"Sport {sport_id}" if sport_id != "-" else "Sport")
    sides = ("Home", "Away")
    return Card(event_id, sport_id, sport, sport, event_id, delivery.at_ms, sides)
