"""What happened in each second, in every process that makes load, and put together at the end.

Each process counts for itself and writes a line of JSON for every second that is over: a run that
is cut off has lost a second at most, and nobody waits for anybody.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec

STEP = 1.04
"""Each bucket of a histogram is so much wider than the one before: a percentile is at most 4 per
cent off."""
LEAST_MS = 0.1
_LOG_STEP = math.log(STEP)


class Histogram:
    """Delays in milliseconds, in buckets that grow with the delay."""

    def __init__(self, buckets: dict[int, int] | None = None) -> None:
        self.buckets: Counter[int] = Counter(buckets or {})

    def add(self, delay_ms: float) -> None:
        bucket = math.ceil(math.log(delay_ms / LEAST_MS) / _LOG_STEP) if delay_ms > LEAST_MS else 0
        self.buckets[bucket] += 1

    def merge(self, other: Histogram) -> None:
        self.buckets.update(other.buckets)

    @property
    def count(self) -> int:
        return self.buckets.total()

    def percentile_ms(self, share: float) -> float | None:
        """The delay that `share` of all stay under; None where nothing was measured."""
        if not self.buckets:
            return None
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return LEAST_MS * STEP**bucket
        raise AssertionError("the buckets add up to the count")


class Line(msgspec.Struct):
    """One second of one process."""

    second: int
    """Since the evening began."""
    delays: dict[str, dict[int, int]] = {}
    """Histogram by what was measured."""
    counts: dict[str, int] = {}
    bets: list[str] = []
    """Ids of the bets that were acknowledged."""


class Tally:
    """Counts of the second that is now; `now_s` of each call is seconds since the evening began."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._second: int | None = None
        self._clear()

    def _clear(self) -> None:
        self._delays: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._counts: Counter[str] = Counter()
        self._bets: list[str] = []

    def delay(self, now_s: float, name: str, delay_ms: float) -> None:
        self._turn(now_s)
        self._delays[name].add(delay_ms)

    def count(self, now_s: float, name: str, number: int = 1) -> None:
        self._turn(now_s)
        self._counts[name] += number

    def bet(self, now_s: float, bet_id: str) -> None:
        self._turn(now_s)
        self._bets.append(bet_id)

    def _turn(self, now_s: float) -> None:
        second = math.floor(now_s)
        if self._second is None:
            self._second = second
        elif second > self._second:
            self.flush()
            self._second = second

    def flush(self) -> None:
        """Write what is there. Also to be called at the end."""
        if self._second is not None and (self._delays or self._counts or self._bets):
            delays = {name: dict(one.buckets) for name, one in self._delays.items()}
            line = Line(self._second, delays, dict(self._counts), self._bets)
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
        self._clear()


class Evening:
    """All tallies of a run, by second."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.delays: defaultdict[str, defaultdict[int, Histogram]] = defaultdict(
            lambda: defaultdict(Histogram)
        )
        self.counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.bets: list[str] = []
        for line in lines:
            self.add(line)

    def add(self, line: Line) -> None:
        for name, buckets in line.delays.items():
            self.delays[name][line.second].merge(Histogram(buckets))
        for name, number in line.counts.items():
            self.counts[name][line.second] += number
        self.bets.extend(line.bets)

    def names(self, prefix: str) -> list[str]:
        """What was measured or counted under names that begin so."""
        return sorted(name for name in {*self.delays, *self.counts} if name.startswith(prefix))

    def delay(self, names: Iterable[str], from_s: float, to_s: float) -> Histogram:
        """The delays of all seconds that lie whole between the two."""
        merged = Histogram()
        for name in names:
            for second, histogram in self.delays.get(name, {}).items():
                if from_s <= second and second + 1 <= to_s:
                    merged.merge(histogram)
        return merged

    def total(self, name: str) -> int:
        return self.counts[name].total() if name in self.counts else 0


def read(folder: Path) -> Evening:
    """Everything that the processes of a run wrote into the folder."""
    return Evening(_lines(folder))


def _lines(folder: Path) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(Line)
    for path in sorted(folder.glob("*.tally")):
        for raw in path.read_bytes().splitlines():
            try:
                yield decoder.decode(raw)
            except msgspec.DecodeError:
                continue  # cut off in the middle of its last line
