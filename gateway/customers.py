"""Customer factors, as a gateway knows them: asked for with every bet, and so kept here.

They are said seldom and of few, so each gateway has all of them, and reads what is new once a
second. A change holds at once in the gateway that makes it, and in the others when their ledger
has it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from actors.risk.customer import ORDINARY, Factors
from ledger.risk_reads import RiskReads
from ledger.tables import CustomerRow

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

READ_S = 1.0
PAGE = 1_000
OVERLAP_MS = 600_000
"""What was said so long before the newest that is known is read again: partitions of the ledger are
not made in the order of time."""

_kinds = msgspec.json.Decoder(dict[str, int])


class Customers:
    """Whoever is not in here is as everybody is."""

    services: Services

    def __init__(self) -> None:
        self._factors: dict[str, tuple[int, Factors]] = {}
        """With when they were said."""
        self._newest_ms = 0
        self._reader: asyncio.Task[None] | None = None

    def factors_of(self, player_id: str) -> Factors:
        known = self._factors.get(player_id)
        return known[1] if known else ORDINARY

    def learn(self, player_id: str, factors: Factors, changed_at_ms: int) -> None:
        known = self._factors.get(player_id)
        if known is None or known[0] <= changed_at_ms:
            self._factors[player_id] = (changed_at_ms, factors)

    async def start(self) -> None:
        """Return when all are known that the ledger knows."""
        await self.read()
        self._reader = asyncio.create_task(self._read_forever(), name="customers")

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def read(self) -> None:
        """What is new since the last time."""
        reads = RiskReads.beside(self.services.ledger)
        since_ms, after = self._newest_ms - OVERLAP_MS, ""
        while rows := await reads.customers(since_ms, after, PAGE):
            for row in rows:
                self._learn_row(row)
            after = rows[-1].player_id

    def _learn_row(self, row: CustomerRow) -> None:
        factors = Factors(row.factor, _kinds.decode(row.kinds), row.refer_above_minor)
        self.learn(row.player_id, factors, row.changed_at_ms)
        self._newest_ms = max(self._newest_ms, row.changed_at_ms)

    async def _read_forever(self) -> None:
        while True:
            await asyncio.sleep(READ_S)
            try:
                await self.read()
            except Exception as error:
                log.warning("customers_not_read", why=repr(error))
