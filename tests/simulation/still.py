"""Time that stands still, for tests that say themselves what happens when."""

from __future__ import annotations

import asyncio
import heapq
import itertools

START_MS = 1_800_000_000_000


class VirtualClock:
    """Time that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = START_MS
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + int(seconds * 1000), next(self._order), done))
        await done

    def advance(self, ms: int) -> None:
        """Move on, and wake at once whoever wanted to sleep until then."""
        self.now += ms
        while self._sleepers and self._sleepers[0][0] <= self.now:
            _, _, done = heapq.heappop(self._sleepers)
            if not done.done():
                done.set_result(None)


async def quiet() -> None:
    """Let the loop run until nobody has anything to do but wait."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(1_000_000):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("the loop never comes to rest")
