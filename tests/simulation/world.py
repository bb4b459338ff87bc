"""A cluster in one loop whose time, journal and faults are ours, and clients that remember.

Nothing here sleeps: `quiet` lets the loop run until everybody waits, and only then does the clock
move on. So a run depends on its script alone.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest.mock import patch

from actors.base import Command, Question, Refused
from actors.bet import PriceChange
from actors.errors import KeyReused, Overloaded, Unavailable
from actors.fixture import CreateFixture
from actors.market import (
    ChangePrices,
    ChangeStatus,
    DeclareResult,
    Exposure,
    GetExposure,
    Limits,
    MarketStatus,
    OpenMarket,
    WithdrawSelection,
)
from actors.placement import BetRequest, LiabilityNotKnown, place
from actors.player import RegisterPlayer
from actors.results import Result
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.runtime.local import LocalCluster, LocalTransport
from actors.runtime.shard import Shard
from actors.wallet import (
    CompleteDeposit,
    CompleteWithdrawal,
    FailDeposit,
    FailWithdrawal,
    GetWallet,
    RequestDeposit,
    RequestWithdrawal,
    WalletView,
)
from ledger.blocks import Block
from ledger.journal import Snapshot
from ledger.memory_journal import MemoryJournal
from ledger.money import Money

SMALL = {
    "actors.runtime.partition.MAX_WAITING": 12,
    "actors.runtime.partition.RECENT_ANSWERS": 24,
    "actors.runtime.partition.REPLAY_PAGE": 3,
    "actors.runtime.shard.SNAPSHOT_DIRTY": 4,
}
"""Bounds so low that evenings as short as these reach them."""
MAX_ACTORS = 24
START_MS = 1_800_000_000_000
LICENCE = "gb"


class Wrong(AssertionError):
    """A promise that was not kept."""


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
    raise Wrong("the loop never comes to rest")


class SlowJournal(MemoryJournal):
    """Every call takes some turns of the loop, so that whatever can come in between does."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._random = Random(seed)

    async def _wait(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)

    async def head(self, partition: str) -> Any:
        await self._wait()
        return await super().head(partition)

    async def append(self, blocks: Any) -> frozenset[str]:
        await self._wait()
        written = await super().append(blocks)
        await self._wait()
        return written

    async def blocks(self, partition: str, after_seq: int, limit: int) -> list[Block]:
        await self._wait()
        return await super().blocks(partition, after_seq, limit)

    async def checkpoint(self, partition: str) -> int:
        await self._wait()
        return await super().checkpoint(partition)

    async def snapshots(self, partition: str, refs: Any) -> Any:
        await self._wait()
        return await super().snapshots(partition, refs)

    async def save(self, partition: str, snapshots: Any, checkpoint: int) -> None:
        kept: list[Snapshot] = list(snapshots)
        await self._wait()
        await super().save(partition, kept, checkpoint)
        await self._wait()

    async def first_answer(self, partition: str, owner: str, key: str) -> Any:
        await self._wait()
        return await super().first_answer(partition, owner, key)


class ForkedTransport(LocalTransport):
    """Messages may go to a former owner who has not heard that there is another one."""

    def __init__(self, directory: Any) -> None:
        super().__init__(directory)
        self.former: dict[str, Shard] = {}
        self.to_former = False

    async def deliver(self, shard: str, batch: bytes) -> bytes:
        if self.to_former and shard in self.former:
            return await self.former[shard].deliver(batch)
        return await super().deliver(shard, batch)


@dataclass
class Op:
    """One thing a client wants, however often it has to be asked for, and all it was told."""

    owner: str
    partition_of: tuple[str, str]
    """Scope and routing id."""
    key: str
    fingerprint: bytes
    send: Callable[[], Awaitable[Any]]
    request: Any = None
    answers: list[Any] = field(default_factory=list)
    reused: int = 0
    unknown: int = 0

    @property
    def answered(self) -> bool:
        return bool(self.answers) or self.reused > 0


class World:
    """A fixture with four markets, some players, and what all clients were told."""

    def __init__(
        self, *, seed: int = 0, players: int = 3, journal: MemoryJournal | None = None
    ) -> None:
        self.clock = VirtualClock()
        self.journal = journal or SlowJournal(seed)
        self.cluster = LocalCluster(self.journal, licence=LICENCE, clock=self.clock)
        self.transport = ForkedTransport(self.cluster.directory)
        self.cluster.transport = self.transport
        self.cluster.router.transport = self.transport
        self.router = self.cluster.router
        self.players = [f"p{n}" for n in range(players)]
        self.markets = ["match:winner", "match:goals", "match:race", "match:corners"]
        self.selections = ["a", "b", "c"]
        self.max_liability = 80_000
        self.ops: list[Op] = []
        self.reads: list[WalletView] = []
        self.payments: list[tuple[str, str, str]] = []
        """Direction, player and id of each payment asked for."""
        self.book_disturbed = False
        """Holds may have been lost with a shard: the liability limit can be overrun a little."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._abandoned: list[asyncio.Task[None]] = []
        self._small = [patch(name, bound) for name, bound in SMALL.items()]
        self._start_shard = self.cluster.start_shard
        self.cluster.start_shard = self._small_shard  # type: ignore[method-assign]

    # A world's life

    def _small_shard(self, name: str) -> Shard:
        shard = self._start_shard(name)
        shard.max_actors = MAX_ACTORS
        return shard

    async def begin(self) -> None:
        for bound in self._small:
            bound.start()
        await self.cluster.__aenter__()
        for player_id in self.players:
            command = RegisterPlayer(
                player_id, LICENCE, player_id, f"{player_id}@x.org", dt.date(1990, 1, 1), "GBP"
            )
            self.command(LICENCE, player_id, command, owner=f"player/{player_id}")
        self.command(BOOK, "match", CreateFixture("match", "soccer", "cup", "A - B", START_MS))
        await self.finish()
        for market_id in self.markets:
            names = dict.fromkeys(self.selections, "name")
            limits = Limits(10, 20_000, self.max_liability)
            self.command(
                BOOK, "match", OpenMarket("match", market_id, "m", "win", "GBP", names, limits)
            )
        await self.finish()
        for market_id in self.markets:
            odds = dict(zip(self.selections, (15_000, 25_000, 51_000), strict=True))
            self.command(BOOK, "match", ChangePrices("match", market_id, odds))
        for player_id in self.players:
            self.deposit(player_id, 6_000 if player_id == "p2" else 200_000)
        await self.finish()
        for direction, player_id, payment_id in list(self.payments):
            self.answer_payment(direction, player_id, payment_id, ok=True)
        await self.finish()

    async def end(self) -> None:
        """Heal everything, repeat what was not answered, and let all holds run out."""
        self.transport.to_former = False
        for name in list(self.transport.former):
            self._silence_former(name)
        self.journal._failure = None
        await self.finish()
        # Long enough for every hold of before the last fault to run out, and be looked after.
        for _ in range(60):
            await self.pass_time(1_000)
        for _ in range(200):
            if not await self.cluster.unsettled():
                break
            await self.pass_time(200)
        else:
            raise Wrong("the settlement never ends")
        for partition, name in self.cluster.directory.shards.items():
            if partition not in self.transport.shards[name].partitions:
                raise Wrong(f"{partition} is never open on {name}")

    async def close(self) -> None:
        for bound in self._small:
            bound.stop()
        for task in [*self._tasks, *self._abandoned]:
            task.cancel()
        for former in self.transport.former.values():
            former._flusher.cancel()
        await self.cluster.__aexit__()
        leftover = asyncio.all_tasks() - {asyncio.current_task()}
        for task in leftover:
            task.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def pass_time(self, ms: int) -> None:
        await quiet()
        self.clock.advance(ms)
        await quiet()
        for shard in [*self.transport.shards.values(), *self.transport.former.values()]:
            await shard.check_ownership()
        await quiet()

    async def finish(self) -> None:
        """Until every client has an answer, repeating with the same key where it was lost."""
        for _ in range(2_000):
            await quiet()
            if not self._tasks:
                missing = [op for op in self.ops if not op.answered]
                if not missing:
                    return
                for op in missing:
                    self.start(op)
                await quiet()
            self.clock.advance(50)
        raise Wrong("somebody never gets an answer")

    # What clients do

    def start(self, op: Op) -> Op:
        """Ask, without waiting: what is started together runs together."""
        task = asyncio.ensure_future(self._attempt(op))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return op

    async def _attempt(self, op: Op) -> None:
        try:
            op.answers.append(await op.send())
        except (Unavailable, Overloaded, LiabilityNotKnown):
            op.unknown += 1
        except KeyReused:
            op.reused += 1

    def command(
        self, scope: str, routing_id: str, command: Command, *, key: str = "", owner: str = ""
    ) -> Op:
        key = key or f"k{next(self._numbers)}"
        print_ = fingerprint(type(command).__name__, repr(command))

        async def send() -> Any:
            answer = await self.router.ask(scope, routing_id, command, key=key, fingerprint=print_)
            return answer.reply

        op = Op(owner or command.cast()[0], (scope, routing_id), key, print_, send, command)
        self.ops.append(op)
        return self.start(op)

    def deposit(self, player_id: str, amount: int, key: str = "") -> Op:
        payment_id = f"pay{next(self._numbers)}"
        self.payments.append(("deposit", player_id, payment_id))
        money = Money(amount, "GBP")
        command = RequestDeposit(player_id, payment_id, money, "bogus", "card")
        return self.command(LICENCE, player_id, command, key=key)

    def withdraw(self, player_id: str, amount: int, key: str = "") -> Op:
        payment_id = f"pay{next(self._numbers)}"
        self.payments.append(("withdrawal", player_id, payment_id))
        money = Money(amount, "GBP")
        command = RequestWithdrawal(player_id, payment_id, money, "bogus", "bank")
        return self.command(LICENCE, player_id, command, key=key)

    def answer_payment(self, direction: str, player_id: str, payment_id: str, *, ok: bool) -> Op:
        kinds: dict[tuple[str, bool], Any] = {
            ("deposit", True): CompleteDeposit,
            ("deposit", False): FailDeposit,
            ("withdrawal", True): CompleteWithdrawal,
            ("withdrawal", False): FailWithdrawal,
        }
        return self.command(LICENCE, player_id, kinds[direction, ok](player_id, payment_id, "r"))

    def bet(
        self,
        player_id: str,
        market_id: str,
        selection_id: str,
        stake: int,
        odds: int,
        policy: PriceChange = PriceChange.ANY,
        key: str = "",
    ) -> Op:
        key = key or f"k{next(self._numbers)}"
        fixture_id = fixture_of(market_id)
        money = Money(stake, "GBP")
        request = BetRequest(fixture_id, market_id, selection_id, money, odds, policy)
        print_ = fingerprint("bet", repr(request))

        async def send() -> Any:
            return await place(
                self.router,
                self.clock,
                request,
                bet_id=f"bet{next(self._numbers):05d}",
                licence=LICENCE,
                player_id=player_id,
                key=key,
                fingerprint=print_,
            )

        op = Op(f"wallet/{player_id}", (LICENCE, player_id), key, print_, send, request)
        self.ops.append(op)
        return self.start(op)

    async def ask_until_answered(
        self, scope: str, routing_id: str, message: Command | Question
    ) -> Any:
        """For what is safe to repeat without a key."""
        for _ in range(100):
            asked = asyncio.ensure_future(self.router.ask(scope, routing_id, message))
            while not asked.done():
                await quiet()
                self.clock.advance(50)
            if not asked.exception():
                return asked.result().reply
        raise Wrong("no answer")

    def look(self, player_id: str) -> None:
        """Read a wallet; what comes is checked against what was durable."""

        async def read() -> None:
            try:
                answer = await self.router.ask(LICENCE, player_id, GetWallet(player_id))
            except (Unavailable, Overloaded):
                return
            self.reads.append(answer.reply)

        task = asyncio.ensure_future(read())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def spend_all(self) -> None:
        """Everybody asks for all of their cash."""
        first = len(self.reads)
        for player_id in self.players:
            self.look(player_id)
        await quiet()
        for view in self.reads[first:]:
            if view.cash_minor:
                self.withdraw(view.player_id, view.cash_minor)

    # What the house does

    def price(self, market_id: str, selection_id: str, odds: int) -> Op:
        return self.command(BOOK, "match", ChangePrices("match", market_id, {selection_id: odds}))

    def status(
        self, market_id: str, status: MarketStatus, *, in_play: bool = False, delay_ms: int = 0
    ) -> Op:
        command = ChangeStatus("match", market_id, status, in_play, delay_ms)
        return self.command(BOOK, "match", command)

    def withdraw_selection(self, market_id: str, selection_id: str) -> Op:
        return self.command(BOOK, "match", WithdrawSelection("match", market_id, selection_id))

    def declare(self, market_id: str, results: dict[str, Result]) -> Op:
        return self.command(BOOK, "match", DeclareResult("match", market_id, results))

    def cancel(self, market_id: str) -> Op:
        return self.command(BOOK, "match", DeclareResult("match", market_id, {}, True))

    async def exposure(self, market_id: str) -> Exposure:
        """The market's book; one that was asleep is given time to read its liability."""
        for _ in range(20):
            reply = await self.ask_until_answered(
                BOOK, fixture_of(market_id), GetExposure(market_id)
            )
            assert not isinstance(reply, Refused)
            if reply.known:
                break
            await self.pass_time(200)
        return reply

    # What goes wrong

    def fail_next_append(self, *, after_commit: bool) -> None:
        self.journal.fail_next_append(after_commit=after_commit)

    def kill(self, shard: str) -> None:
        """Kill a shard and start it again at once."""
        self.book_disturbed |= BOOK in shard
        self.cluster.kill_shard(shard)
        self.cluster.start_shard(shard)

    def move(self, partition: str, shard: str) -> None:
        self.book_disturbed |= BOOK in partition
        former = self.cluster.directory.shards[partition]
        if former != shard:
            self.cluster.move(partition, shard)

    def usurp(self, shard: str) -> None:
        """Start a second one, while the first goes on as if nothing had happened."""
        self.book_disturbed |= BOOK in shard
        self._silence_former(shard)
        self.transport.former[shard] = self.transport.shards[shard]
        keeper = self.cluster._keepers.pop(shard, None)
        if keeper:
            self._abandoned.append(keeper)
        self.cluster.start_shard(shard)

    def _silence_former(self, name: str) -> None:
        former = self.transport.former.pop(name, None)
        if former is None:
            return
        former.draining = True
        former._flusher.cancel()
        for partition in former.partitions.values():
            partition.fail("silenced")
        former.partitions.clear()
