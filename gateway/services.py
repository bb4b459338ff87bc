"""What handlers are given. Everything comes in from outside; nothing is global."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import redis.asyncio

from actors import placement
from actors.runtime.addresses import BOOK, partition_of
from actors.runtime.clock import Clock
from actors.runtime.router import View
from gateway.desk.sessions import StaffSessions
from gateway.devices import Devices
from gateway.limits import Limits, Pace
from gateway.looks import Look
from gateway.metrics import Metrics
from gateway.passwords import Passwords
from gateway.payments.processor import Processor
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from jurisdictions import Licence
from ledger.reads import LedgerReads

if TYPE_CHECKING:
    from gateway.customers import Customers
    from gateway.desk.stream import DeskStreams
    from gateway.health import Readiness
    from gateway.pages import File
    from gateway.push import Hub
    from gateway.stream import Streams
    from gateway.watching import Players


CATCH_UP_S = 0.3
"""For so long a list waits for the ledger to have what was done before it was asked for."""


class Router(placement.Router, Protocol):
    """The way to the actors, as `actors.runtime.router.Router` is."""

    @property
    def view(self) -> View | None: ...

    async def refresh(self) -> View: ...

    async def partitions(self, scope: str, routing_ids: Sequence[str]) -> list[str]: ...

    def queued(self) -> int: ...

    def depths(self) -> Mapping[str, int]: ...


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway serves the players of one licence, and the book."""

    settings: GatewaySettings
    licence: Licence
    clock: Clock
    router: Router
    reads: Mapping[str, LedgerReads]
    """The ledger by scope: `book` and the licence's code."""
    valkey: redis.asyncio.Redis
    sessions: Sessions
    staff_sessions: StaffSessions
    limits: Limits
    devices: Devices
    book_is_new: Look
    """Whether the book's ledger has all that there was when it was asked,"""
    ledger_is_new: Look
    """and the players'."""
    pace: Pace
    passwords: Passwords
    processors: Mapping[str, Processor]
    hub: Hub
    players: Players
    customers: Customers
    streams: Streams
    desk_streams: DeskStreams
    readiness: Readiness
    pages: Mapping[str, File]
    metrics: Metrics

    @property
    def book(self) -> LedgerReads:
        return self.reads[BOOK]

    @property
    def ledger(self) -> LedgerReads:
        """The players' ledger."""
        return self.reads[self.licence.code]

    async def up_to_date(self, player_id: str) -> bool:
        """Wait, for two seconds at most, until the ledger has all that the player did by now."""
        view = self.router.view or await self.router.refresh()
        scope = self.licence.code
        return await self.ledger.caught_up(partition_of(scope, player_id, view.counts[scope]))
