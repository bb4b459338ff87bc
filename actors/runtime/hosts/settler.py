"""The settlement as an actor."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from actors.bet import SettledBets
from actors.errors import NoAnswer
from actors.runtime import cluster
from actors.runtime.addresses import BOOK
from actors.runtime.clock import WallClock
from actors.runtime.hosts.hosted import RETRY_S, HostConfig, Hosted, ledgers_of, until_open
from actors.runtime.router import Router
from actors.settlement import settle
from ledger.reads import LedgerReads

log = structlog.get_logger()

IDLE_S = 0.1
"""How long the settlement rests between two looks."""


class SettlerHost(Hosted):
    """Settles every market that has a result, whoever declared it and whenever."""

    def __init__(self, config: HostConfig) -> None:
        super().__init__()
        self._config = config
        self._settled = 0
        self._payout_minor = 0
        self._task = asyncio.ensure_future(self._run())

    def _note(self, done: SettledBets) -> None:
        self._settled += done.settled
        self._payout_minor += done.payout_minor

    async def _run(self) -> None:
        clock = WallClock()
        router = Router(cluster.RayTransport(), clock)
        book = LedgerReads(await until_open(self._config.databases[BOOK], 2))
        ledgers = await ledgers_of(self._config)
        under_way: dict[str, asyncio.Task[None]] = {}

        async def settle_one(declared: Any) -> None:
            try:
                done = await settle(router, clock, ledgers, declared, self._note)
                log.info("market_settled", market=declared.market_id, bets=done.bets)
            except NoAnswer as missing:
                log.info("settlement_waits", market=declared.market_id, why=missing.why)
            except Exception:
                log.exception("settlement_failed", market=declared.market_id)
                await asyncio.sleep(RETRY_S)
            finally:
                under_way.pop(declared.market_id, None)

        while True:
            try:
                for declared in await book.unsettled():
                    if declared.market_id not in under_way:
                        task = asyncio.ensure_future(settle_one(declared))
                        under_way[declared.market_id] = task
            except Exception as failure:
                log.warning("results_not_read", why=str(failure))
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(IDLE_S)

    async def status(self) -> dict[str, Any]:
        """Since this process began, counted while settlements are under way."""
        return {"settled": self._settled, "payout_minor": self._payout_minor}
