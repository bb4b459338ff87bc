"""Settling a market: every open bet on it, by a version of its result, once.

The result is the market's own event. What is left to do follows from the ledger alone, so that a
settlement that was cut off is simply begun again: bets that have been settled by this version, or
by a later one, refuse it.

Before bets are read there is a barrier: no bet on the settled selections may be on its way any
more (the market counts its holds), and the ledger has to contain every block that was there when
that was so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from actors.base import Reason, Refused
from actors.bet import BetSettled, SettleBet
from actors.market import CompleteSettlement, CountHolds, OpenHolds
from actors.placement import BOOK, Router, Waiter
from actors.results import Result

PAGE = 500
"""Bets read, and settled at the same time."""
PAUSE_S = 0.05


class Declared(Protocol):
    """Results of a market by which not every bet is known to be settled.

    `version` is the market's result version; beside each result stands the version in which it
    was last changed, by which its bets are settled. A correction of one selection so leaves the
    bets on the others alone.
    """

    @property
    def fixture_id(self) -> str: ...
    @property
    def market_id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def results(self) -> Mapping[str, tuple[Result, int]]: ...


class OpenBet(Protocol):
    @property
    def bet_id(self) -> str: ...
    @property
    def player_id(self) -> str: ...


class Bets(Protocol):
    """What the settlement reads in one licence's ledger."""

    async def heads(self) -> Mapping[str, int]:
        """The journal's end of every partition."""
        ...

    async def positions(self) -> Mapping[str, int]:
        """How far the ledger is made."""
        ...

    async def bets_to_settle(
        self, market_id: str, selection_id: str, version: int, limit: int, after: str
    ) -> Sequence[OpenBet]:
        """Bets on the selection settled by no version or a lower one, by id above `after`."""
        ...


class Settled(msgspec.Struct, frozen=True):
    """What one settlement did: bets settled, and their payout in minor units."""

    bets: int
    payout_minor: int


async def settle(
    router: Router,
    clock: Waiter,
    ledgers: Mapping[str, Bets],
    declared: Declared,
) -> Settled:
    """Settle every bet on the declared selections, in every licence, and tell the market.

    Raises what the router raises when it gets no answer; to be called again then.
    """
    await _no_more_bets(router, clock, declared)
    bets = payout = 0
    for licence, ledger in ledgers.items():
        await _caught_up(clock, ledger)
        for selection_id, (result, version) in declared.results.items():
            after = ""
            while page := await ledger.bets_to_settle(
                declared.market_id, selection_id, version, PAGE, after
            ):
                after = page[-1].bet_id
                commands = [
                    SettleBet(
                        bet.player_id, bet.bet_id, declared.market_id, selection_id, result, version
                    )
                    for bet in page
                ]
                sent = (_send(router, licence, command) for command in commands)
                answers = await asyncio.gather(*sent)
                settled = [answer for answer in answers if isinstance(answer, BetSettled)]
                bets += len(settled)
                payout += sum(answer.payout_minor for answer in settled)
    complete = CompleteSettlement(declared.fixture_id, declared.market_id, declared.version)
    await router.ask(BOOK, declared.fixture_id, complete, by="settlement")
    return Settled(bets, payout)


async def _send(router: Router, licence: str, command: SettleBet) -> BetSettled | Refused:
    reply = (await router.ask(licence, command.player_id, command, by="settlement")).reply
    if isinstance(reply, Refused) and reply.reason is not Reason.SUPERSEDED:
        raise AssertionError(f"bet {command.bet_id} refused its settlement: {reply.reason}")
    assert isinstance(reply, BetSettled | Refused)
    return reply


async def _no_more_bets(router: Router, clock: Waiter, declared: Declared) -> None:
    """Wait until no bet on the declared selections can be on its way."""
    question = CountHolds(declared.market_id, list(declared.results), declared.version)
    while True:
        holds = (await router.ask(BOOK, declared.fixture_id, question)).reply
        assert isinstance(holds, OpenHolds)
        if holds.whole and not holds.holds:
            return
        await clock.sleep(PAUSE_S)


async def _caught_up(clock: Waiter, ledger: Bets) -> None:
    """Wait until the ledger contains every block that is in the journal now."""
    heads = await ledger.heads()
    while True:
        positions = await ledger.positions()
        if all(positions.get(partition, 0) >= seq for partition, seq in heads.items()):
            return
        await clock.sleep(PAUSE_S)
