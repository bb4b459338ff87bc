"""A projector as an actor."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import structlog

from actors.runtime.hosts.hosted import RETRY_S, Hosted, until_open
from ledger.blocks import BrokenChain
from ledger.projector import Projector
from ledger.tables import LedgerFault

log = structlog.get_logger()

FAULT_S = 30.0
"""How long a projector waits after a fault before it looks again."""
IDLE_S = 0.02
"""How long it rests at least."""
MAX_REST_S = 0.1
"""The longest it rests between two steps."""
NICENESS = 10
"""Where there are not cores enough for everybody, those who answer people go first. A process of
niceness 10 still has a tenth of what the others have each, so that it never starves."""


class ProjectorHost(Hosted):
    """Makes one scope's ledger from its journal, for ever."""

    def __init__(self, scope: str, dsn: str) -> None:
        super().__init__()
        self._scope = scope
        self._dsn = dsn
        self._blocks = 0
        self._trouble = ""
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        os.nice(NICENESS)
        pool = await until_open(self._dsn, 2)
        projector = Projector(pool, self._scope)
        loop = asyncio.get_running_loop()
        rest_s = IDLE_S
        while True:
            began = loop.time()
            try:
                done = await projector.step()
            except (BrokenChain, LedgerFault) as fault:
                # A ledger that can't be made must not be made wrong: somebody has to look. The
                # gateways see the lag and say that they are not ready.
                self._trouble = str(fault)
                log.error("projector_stopped", scope=self._scope, why=str(fault))
                await asyncio.sleep(FAULT_S)
                continue
            except Exception as failure:
                log.warning("projector_waits", scope=self._scope, why=str(failure))
                await asyncio.sleep(RETRY_S)
                continue
            self._trouble = ""
            self._blocks += done
            # As long as the step took: steps grow with load, and the projector leaves at least half
            # a core to those who answer people. Without a rest each step takes a few bets only.
            # Where there was nothing to do, longer each time: looking fifty times a second for
            # nothing is a twentieth of a core.
            rest_s = max(IDLE_S, loop.time() - began) if done else 2 * rest_s
            rest_s = min(rest_s, MAX_REST_S)
            await asyncio.sleep(rest_s)

    async def status(self) -> dict[str, Any]:
        return {"scope": self._scope, "blocks": self._blocks, "trouble": self._trouble}
