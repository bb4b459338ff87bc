"""Settling a market: every open bet on it, by a version of its result, once.

The result is the market's own event. What is left to do follows from the ledger alone, so that a
settlement that was cut off is simply begun again: bets that have been settled by this version, or
by a later one, refuse it.

Before bets are read there is a barrier: no bet on the settled selections may be on its way any
more whose market had not heard of that version (the market counts its holds), and the ledger has to
contain every block that was there when that was so.

A selection may be undecided, as after a rollback: its bets are open again by that version, but for
those that were accepted while bets are void.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from actors.bet import SettleBets, SettledBets, Settling
from actors.declaring import CompleteSettlement
from actors.errors import Overloaded
from actors.holds import CountHolds, OpenHolds, ReadAgain
from actors.multiple import SettleSlips
from actors.placement import BOOK, Waiter
from actors.placement import Router as PlacementRouter

PAGE = 500
"""Bets that are read, and sent, at a time."""
PAGES_UNDER_WAY = 4
"""While these are settled the next one is read. With `PAGE`, the most that a player's own bet finds
before it in a shard."""
SLIPS_AT_ONCE = 50
PAUSE_S = 0.05
MAX_TURNED_AWAY = 200
"""Times in a row that a full queue is tried again before the settlement is given up for now; and
somebody who does not know a bet."""


class Router(PlacementRouter, Protocol):
    async def partitions(self, scope: str, routing_ids: Sequence[str]) -> list[str]:
        """The partition of each routing id."""
        ...


class Declared(Protocol):
    """What is known of a market's selections by which not every bet is known to be settled.

    `version` is the market's result version; with each selection comes the version in which it was
    last changed, by which its bets are settled. A correction of one selection so leaves the bets on
    the others alone.
    """

    @property
    def fixture_id(self) -> str: ...
    @property
    def market_id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def results(self) -> Mapping[str, Settling]: ...


class BetToSettle(Protocol):
    @property
    def selection_id(self) -> str: ...
    @property
    def bet_id(self) -> str: ...
    @property
    def player_id(self) -> str: ...
    @property
    def result_version(self) -> int: ...
    @property
    def of_lines(self) -> bool: ...


class Bets(Protocol):
    """What the settlement reads in one licence's ledger."""

    async def heads(self) -> Mapping[str, int]:
        """The journal's end of every partition."""
        ...

    async def positions(self) -> Mapping[str, int]:
        """How far the ledger is made."""
        ...

    async def bets_to_settle(
        self, market_id: str, first: str, last: str, after: tuple[str, str], limit: int
    ) -> Sequence[BetToSettle]:
        """Bets on the selections from `first` to `last`, by selection and bet id above `after`.

        With the version of the result that each was last settled by, 0 if by none.
        """
        ...


class Settled(msgspec.Struct):
    """What a settlement has done so far: bets settled, and their payout in minor units."""

    bets: int = 0
    payout_minor: int = 0


async def settle(
    router: Router,
    clock: Waiter,
    ledgers: Mapping[str, Bets],
    declared: Declared,
    note: Callable[[SettledBets], None] = lambda _: None,
) -> Settled:
    """Settle every bet on the declared selections, in every licence, and tell the market.

    `note` is told of each page as it is done. Raises what the router raises when it gets no answer;
    to be called again then.
    """
    await _no_more_bets(router, clock, declared)
    done = Settled()
    for licence, ledger in ledgers.items():
        await _caught_up(clock, ledger)
        async for settled in _settle_all(router, clock, licence, ledger, declared):
            done.bets += settled.settled
            done.payout_minor += settled.payout_minor
            note(settled)
    complete = CompleteSettlement(declared.fixture_id, declared.market_id, declared.version)
    await router.ask(BOOK, declared.fixture_id, complete, by="settlement")
    return done


async def _settle_all(
    router: Router, clock: Waiter, licence: str, ledger: Bets, declared: Declared
) -> AsyncIterator[SettledBets]:
    """Send page after page, a few under way at once, and say what became of each."""
    under_way: deque[asyncio.Task[list[SettledBets]]] = deque()
    slips = asyncio.Lock()
    try:
        async for page in _pages(ledger, declared):
            sending = _send(router, clock, licence, declared, page, slips)
            under_way.append(asyncio.ensure_future(sending))
            while len(under_way) >= PAGES_UNDER_WAY:
                for settled in await under_way.popleft():
                    yield settled
        while under_way:
            for settled in await under_way.popleft():
                yield settled
    finally:
        for task in under_way:
            task.cancel()


async def _pages(ledger: Bets, declared: Declared) -> AsyncIterator[list[BetToSettle]]:
    """The bets that this version settles, in pages.

    One query reads across selections: a market may have 20,000 of them with a few bets each.
    """
    if not declared.results:
        return
    first, last, after = min(declared.results), max(declared.results), ("", "")
    while page := await ledger.bets_to_settle(declared.market_id, first, last, after, PAGE):
        after = (page[-1].selection_id, page[-1].bet_id)
        open_ = [
            bet
            for bet in page
            if bet.selection_id in declared.results
            and bet.result_version < declared.results[bet.selection_id].version
        ]
        if open_:
            yield open_


async def _send(
    router: Router,
    clock: Waiter,
    licence: str,
    declared: Declared,
    page: list[BetToSettle],
    slips: asyncio.Lock,
) -> list[SettledBets]:
    """Settle a page: one message for the singles of each partition; its slips a few at a time."""
    partitions = await router.partitions(licence, [bet.player_id for bet in page])
    neighbours: defaultdict[tuple[str, bool], list[BetToSettle]] = defaultdict(list)
    for partition, bet in zip(partitions, page, strict=True):
        neighbours[partition, bet.of_lines].append(bet)
    of_slips = [bets for (_, of_lines), bets in neighbours.items() if of_lines]
    done = await asyncio.gather(
        *(
            _settle(router, clock, licence, declared, bets, SettleBets)
            for (_, of_lines), bets in neighbours.items()
            if not of_lines
        ),
        *(_settle_slips(router, clock, licence, declared, bets, slips) for bets in of_slips),
    )
    return [settled for some in done for settled in some]


async def _settle_slips(
    router: Router,
    clock: Waiter,
    licence: str,
    declared: Declared,
    bets: list[BetToSettle],
    slips: asyncio.Lock,
) -> list[SettledBets]:
    """A slip of 63 legs takes a thousand times what a single does, in which a shard does nothing
    else: so of slips there is one message under way."""
    done: list[SettledBets] = []
    for start in range(0, len(bets), SLIPS_AT_ONCE):
        async with slips:
            some = bets[start : start + SLIPS_AT_ONCE]
            done += await _settle(router, clock, licence, declared, some, SettleSlips)
    return done


async def _settle(
    router: Router,
    clock: Waiter,
    licence: str,
    declared: Declared,
    bets: list[BetToSettle],
    kind: type[SettleBets | SettleSlips],
) -> list[SettledBets]:
    numbers: dict[str, int] = {}
    each = [
        (bet.player_id, bet.bet_id, numbers.setdefault(bet.selection_id, len(numbers)))
        for bet in bets
    ]
    selections = tuple(declared.results[name] for name in numbers)
    message = kind(declared.market_id, selections, each)
    done: list[SettledBets] = []
    for _ in range(MAX_TURNED_AWAY):
        try:
            answer = await router.ask(licence, bets[0].player_id, message, by="settlement")
        except Overloaded:
            await clock.sleep(PAUSE_S)
            continue
        assert isinstance(answer.reply, SettledBets)
        done.append(answer.reply)
        for fixture_id, market_id in answer.reply.elsewhere:
            if market_id != declared.market_id:
                router.tell(BOOK, fixture_id, ReadAgain(market_id))
        if not answer.reply.wrong:
            return done
        # A former owner of the partition does not know of a bet, until it notices that it is one.
        await clock.sleep(PAUSE_S)
    if done:
        raise AssertionError(f"bets refused their settlement: {done[-1].wrong[:5]}")
    raise Overloaded(f"settling {declared.market_id}: the queue stays full")


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
