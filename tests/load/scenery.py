"""A programme and a stage, for tests that play nothing."""

from __future__ import annotations

import msgspec

from loadtest.spike.plan import Plan
from loadtest.spike.stage import Stage

PLAN = Plan()


def stage(**changes: object) -> Stage:
    told = {
        "base_url": "http://127.0.0.1:8080",
        "staff_token": "x" * 16,
        "currency": "GBP",
        "odds": 20_000,
        "fixtures": ["f0", "f1"],
        "markets": ["f0:m", "f1:m"],
        "selections": ["s0", "s1", "s2"],
        "tokens": ["t"],
        "large_fixture": "l",
        "large_market": "l:large",
        "large_selections": ["p0", "p1"],
        "folder": "/nowhere",
    }
    return msgspec.convert({**told, **changes}, Stage)
