"""One look for a whole crowd.

Where the ledger is late every page asks again and again, and each would look at it some ten times
while it waits: the more there are, the later it gets. So a gateway looks once at a time for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Look:
    def __init__(self, look: Callable[[], Awaitable[bool]]) -> None:
        self._look = look
        self._running: asyncio.Task[bool] | None = None
        self._next: asyncio.Task[bool] | None = None

    async def __call__(self) -> bool:
        """What is seen from now on: a look that has begun already may have missed something, so
        all who come meanwhile share the next one. Raises what it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running), name="look")
            # Nobody may be waiting for it by then, so nobody else looks at what went wrong.
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[bool] | None) -> bool:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        return await self._look()
