"""What every process of the evening is told, in a folder that the director makes.

plan.json    the programme
stage.json   where the platform is, who plays, on what, and when it begins
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
    starts_at_s: float
    """Of the machine's monotonic clock, which all its processes share."""

    def __post_init__(self) -> None:
        check_loopback(self.base_url)

    def now_s(self) -> float:
        """Seconds since the evening began; negative before."""
        return time.monotonic() - self.starts_at_s

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
