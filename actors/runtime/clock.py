"""The one clock. Everything else is told what time it is."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time for those who wait; simulated in tests."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    """The machine's clock, which is not allowed to go back, and the event loop's sleep."""

    def __init__(self) -> None:
        self._latest_ms = 0

    def now_ms(self) -> int:
        now = time.time_ns() // 1_000_000
        if now > self._latest_ms:
            self._latest_ms = now
        return self._latest_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def now_ms() -> int:
    """Milliseconds since the Unix epoch, UTC, by the machine's clock."""
    return time.time_ns() // 1_000_000
