"""What every process of the evening is told, in a folder that the director makes.

plan.json    the programme
stage.json   where the platform is, who plays, and on what
*.ready      a process that has got ready
begins       when the evening begins, written once all are ready
*.tally      what each process counted
"""

from __future__ import annotations

import ipaddress
import os
import time
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from loadtest.spike import plan as plans
from loadtest.spike.plan import Plan
from loadtest.spike.tally import Tally

FOLDER = "GRANDSTAND_SPIKE_FOLDER"
"""The variable that names the folder to a process that is not given arguments of ours."""


FAR_OFF_S = -86_400.0


class NotHere(Exception):
    """The address is not this machine's: the load only ever goes to loopback."""


class Stage(msgspec.Struct, frozen=True, dict=True):
    """`fixtures[0]` is the match of the night; each fixture has one market beside it."""

    base_url: str
    staff_token: str
    currency: str
    odds: int
    """Of everything, at the start."""
    fixtures: list[str]
    markets: list[str]
    selections: list[str]
    tokens: list[str]
    large_fixture: str
    large_market: str
    large_selections: list[str]
    folder: str

    def __post_init__(self) -> None:
        check_loopback(self.base_url)

    def now_s(self) -> float:
        """Seconds since the evening began; negative before, and far off while nobody knows when."""
        begins_s = self._begins_s or self._read_begin()
        return FAR_OFF_S if begins_s is None else time.monotonic() - begins_s

    @property
    def begins_s(self) -> float:
        """By the machine's monotonic clock, which all its processes share."""
        assert self._begins_s is not None
        return self._begins_s

    @property
    def _begins_s(self) -> float | None:
        begins_s: float | None = self.__dict__.get("began")
        return begins_s

    def _read_begin(self) -> float | None:
        try:
            self.__dict__["began"] = float((Path(self.folder) / "begins").read_text())
        except FileNotFoundError:
            return None
        return self._begins_s

    def begin(self, at_s: float) -> None:
        """Tell everybody when."""
        begins = Path(self.folder) / "begins"
        fresh = begins.with_suffix(".new")
        fresh.write_text(repr(at_s))
        fresh.replace(begins)
        self._read_begin()

    @cached_property
    def port(self) -> int:
        return urlsplit(self.base_url).port or 80

    @property
    def hot_market(self) -> str:
        return self.markets[0]

    @property
    def hot_fixture(self) -> str:
        return self.fixtures[0]


def check_loopback(base_url: str) -> None:
    """Raises `NotHere`."""
    host = urlsplit(base_url).hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise NotHere(f"{base_url}: the spike only loads a platform on this machine (127.0.0.1)")


def write(folder: Path, plan: Plan, stage: Stage) -> None:
    """Its tokens are secrets: nobody else may read it."""
    plans.write(plan, folder / "plan.json")
    path = folder / "stage.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(stage))


def read(folder: Path) -> tuple[Plan, Stage]:
    stage = msgspec.json.decode((folder / "stage.json").read_bytes(), type=Stage)
    return plans.read(folder / "plan.json"), stage


def open_tally(folder: Path, who: str) -> Tally:
    """A tally of this process's own."""
    return Tally((folder / f"{who}-{os.getpid()}.tally").open("ab"))
