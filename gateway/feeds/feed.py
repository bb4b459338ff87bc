"""What a feed is: it turns a source of sport into commands to the book, each at its time.

A feed sends nothing itself: the pump does, at the right moment and until it has arrived. So a feed
can be run to its end in a test without a clock, and what it says can be said again after a crash:
**the same feed with the same settings, run and start gives the same steps**, a live one excepted.
"""

from __future__ import annotations

import abc
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from actors.declaring import DeclareResult, WithdrawSelection
from actors.fixture import ChangePhase, CreateFixture, SetModel
from actors.outcomes import AddSelection, RollBackResult, RollBackVoid, SettleSelections, VoidPlaced
from actors.trading import ChangePrices, ChangeStatus, OpenMarket

FeedCommand = (
    CreateFixture
    | ChangePhase
    | SetModel
    | OpenMarket
    | AddSelection
    | ChangePrices
    | ChangeStatus
    | WithdrawSelection
    | SettleSelections
    | DeclareResult
    | RollBackResult
    | VoidPlaced
    | RollBackVoid
)


_RUN = re.compile(r"[A-Za-z0-9-]{1,24}")


def check_run(run: str) -> None:
    """Raises `ValueError` for a run that can't be part of a fixture id."""
    if not _RUN.fullmatch(run):
        raise ValueError(f"{run!r} can't be a run: letters, digits and dashes, at most 24")


class Step(msgspec.Struct, frozen=True):
    """What has to be said at one moment of the source's own time."""

    at_ms: int
    """Never before the step before it."""
    commands: tuple[FeedCommand, ...]
    """In order. Prices carry a `sequence` that rises by one within their market; those without any
    odds say that the last ones still hold."""
    parts: Mapping[str, str] = {}
    """By market which part of the source its prices are from, such as a producer, where it has
    parts: the author of the prices is then `feed:<name>/<part>`."""


class Source(Protocol):
    """One run of a feed, to be read once."""

    name: str
    """Of the feed; the journal shows "feed:<name>" as the author of what it commands."""
    keys: str
    """Where the keys of its commands begin; never the same for different steps."""
    live: bool
    """Whether it tells what happens now, and so something else each time that it is started. The
    times of its steps are then those of the clock."""

    def steps(self) -> AsyncIterator[Step]:
        """Everything the source has to say. A live one waits for it; the others do not."""
        ...


class Feed(abc.ABC):
    """Makes sources. Each file of this package exports one as `FEED`."""

    name: str
    prefix: str
    """How the ids of its fixtures begin."""
    settings: type[msgspec.Struct]

    def made(self, fixture_id: str, run: str | None = None) -> bool:
        """Whether a fixture is of this feed, and of that run of it."""
        ours = fixture_id.startswith(self.prefix)
        return ours and (run is None or fixture_id.endswith(f"-{run}"))

    @abc.abstractmethod
    def open(self, settings: Any, run: str, start_ms: int) -> Source:
        """A source with those `settings`. `run` is part of its fixture ids: letters, digits and
        dashes, at most 24. What has no time of its own starts at `start_ms`.

        Raises `ValueError` with what is wrong with the settings or with what they lead to.
        """

    @abc.abstractmethod
    def sample(self, folder: Path) -> Any:
        """Settings of a short run that comes to an end by itself, as the contract tests need it;
        files it takes are written to `folder`."""
