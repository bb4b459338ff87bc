"""What Locust is given: `locust -f loadtest/spike/locustfile.py --headless`, by the director."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gevent
from locust import events

from loadtest.spike.players import HttpPlayer, SocketPlayer, night
from loadtest.spike.shape import SuperBowl

LOOK_S = 0.05

__all__ = ["HttpPlayer", "SocketPlayer", "SuperBowl"]


def _watch_itself() -> None:
    """How late this process is: what is measured here is late by as much."""
    while True:
        due_s = time.monotonic() + LOOK_S
        gevent.sleep(LOOK_S)
        if night.stage.now_s() >= 0:
            night.measured("locust/late", time.monotonic() - due_s)


@events.init.add_listener  # type: ignore[untyped-decorator,unused-ignore]
def _begin(**_: Any) -> None:
    gevent.spawn(_watch_itself)
    (Path(night.stage.folder) / "locust.ready").touch()


@events.quitting.add_listener  # type: ignore[untyped-decorator,unused-ignore]
def _write_the_last_second(**_: Any) -> None:
    night.tally.flush()
