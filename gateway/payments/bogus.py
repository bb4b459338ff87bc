"""A processor that moves no money: for development, demonstrations and tests.

The method chosen says what happens. It remembers nothing, so that it says the same from every
gateway: what it answers follows from the order, and when from the time of its request.

    bogus-approved    approved at once
    bogus-declined    declined at once
    bogus-slow        approved, two seconds after the request
    bogus-timeout     no answer in the first second after the request, approved from then on
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.runtime.clock import now_ms
from gateway.payments.processor import Approved, Declined, NoAnswer, Order

SLOW_S = 2.0
SILENT_S = 1.0
"""Below the time after which a client is told to ask again."""


class Bogus:
    name = "bogus"
    methods = ("bogus-approved", "bogus-declined", "bogus-slow", "bogus-timeout")

    def __init__(
        self,
        slow_s: float = SLOW_S,
        silent_s: float = SILENT_S,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._slow_s = slow_s
        self._silent_s = silent_s
        self._now_ms = now_ms

    async def move(self, order: Order) -> Approved | Declined:
        waited_s = max(0, self._now_ms() - order.requested_at_ms) / 1000
        if order.method == "bogus-declined":
            return Declined("bogus_says_no")
        if order.method == "bogus-timeout" and waited_s < self._silent_s:
            raise NoAnswer("as the method promised")
        if order.method == "bogus-slow" and waited_s < self._slow_s:
            await asyncio.sleep(self._slow_s - waited_s)
        return Approved(f"bogus-{order.payment_id}")


PROCESSOR = Bogus()
