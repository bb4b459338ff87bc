"""A processor that moves no money: for development, demonstrations and tests.

The method chosen says what happens, and the payment's id what was answered before:

    bogus-approved    approved at once
    bogus-declined    declined at once
    bogus-slow        approved, after a while
    bogus-timeout     no answer the first time, approved when asked again
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from gateway.payments.processor import Approved, Declined, NoAnswer, Order

SLOW_S = 2.0
MAX_REMEMBERED = 10_000


class Bogus:
    name = "bogus"
    methods = ("bogus-approved", "bogus-declined", "bogus-slow", "bogus-timeout")

    def __init__(self, slow_s: float = SLOW_S) -> None:
        self._slow_s = slow_s
        self._asked: OrderedDict[str, None] = OrderedDict()

    async def move(self, order: Order) -> Approved | Declined:
        asked_before = order.payment_id in self._asked
        self._asked[order.payment_id] = None
        if len(self._asked) > MAX_REMEMBERED:
            self._asked.popitem(last=False)
        if order.method == "bogus-declined":
            return Declined("bogus_says_no")
        if order.method == "bogus-timeout" and not asked_before:
            raise NoAnswer("as the method promised")
        if order.method == "bogus-slow" and not asked_before:
            await asyncio.sleep(self._slow_s)
        # The reference follows from the payment, so that it is the same from every gateway.
        return Approved(f"bogus-{order.payment_id}")


PROCESSOR = Bogus()
