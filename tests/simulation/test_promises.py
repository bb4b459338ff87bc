"""What is promised (DESIGN.md), under random commands, faults and interleavings.

Everything that clients were told is compared with the journal by a checker that has its own rules
(`checker.py`); that it sees what is wrong is shown by breaking the code on purpose.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from actors.base import Refused
from actors.bet import PriceChange, SettleBet
from actors.book import HOLD_MS, Book
from actors.market import MarketStatus
from actors.placement import BetRequest
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.runtime.partition import Partition
from actors.runtime.shard import Shard
from tests.simulation.checker import check
from tests.simulation.world import BOOK, LICENCE, SlowJournal, World, Wrong, quiet

players = st.sampled_from(["p0", "p1", "p2"])
markets = st.sampled_from(["match:winner", "match:goals", "match:race", "match:corners"])
selections = st.sampled_from(["a", "b", "c"])
prices = st.sampled_from([10_100, 15_000, 19_100, 25_000, 51_000])
stakes = st.sampled_from([5, 10, 333, 4_000, 15_000, 20_000, 30_000])
amounts = st.sampled_from([1, 700, 20_000, 60_000])
outcomes = st.sampled_from(
    [
        WON,
        LOST,
        VOID,
        Result(Outcome.HALF_WON),
        Result(Outcome.HALF_LOST),
        Result(Outcome.WON, 3, 2),
    ]
)
shards = st.sampled_from([f"shard-{scope}-{n}" for scope in (BOOK, LICENCE) for n in range(2)])


class Evening(RuleBasedStateMachine):
    """Rules begin things; nothing runs but in `turns` and `time`, so that much is under way."""

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.world = self.run(self._begin(seed))

    async def _begin(self, seed: int) -> World:
        world = World(seed=seed)
        await world.begin()
        return world

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def _now(self, begin: Any) -> None:
        begin()

    def do(self, begin: Any) -> None:
        self.run(self._now(begin))

    # Players

    @rule(player=players, amount=amounts)
    def deposit(self, player: str, amount: int) -> None:
        self.do(lambda: self.world.deposit(player, amount))

    @rule(player=players, amount=amounts)
    def withdraw(self, player: str, amount: int) -> None:
        self.do(lambda: self.world.withdraw(player, amount))

    @rule(data=st.data(), ok=st.booleans())
    def answer_payment(self, data: st.DataObject, ok: bool) -> None:
        payment = data.draw(st.sampled_from(self.world.payments))
        self.do(lambda: self.world.answer_payment(*payment, ok=ok))

    @rule(
        player=players,
        market=markets,
        selection=selections,
        stake=stakes,
        odds=prices,
        policy=st.sampled_from(PriceChange),
        times=st.integers(1, 4),
    )
    def bet(self, times: int, **slip: Any) -> None:
        order = ("player", "market", "selection", "stake", "odds", "policy")
        for _ in range(times):
            self.do(lambda: self.world.bet(*(slip[name] for name in order)))

    @rule(seed=st.integers(0, 1_000_000), count=st.integers(3, 12))
    def a_crowd_bets(self, seed: int, count: int) -> None:
        """At prices that may well be on the board, so that most of these are placed."""
        chance = Random(seed)
        for _ in range(count):
            selection, odds = chance.choice([("a", 15_000), ("b", 25_000), ("c", 51_000)])
            slip = (
                chance.choice(self.world.players),
                chance.choice(self.world.markets),
                selection,
                chance.choice([10, 333, 1_000, 4_000]),
                odds,
                chance.choice([PriceChange.ANY, PriceChange.ANY, PriceChange.BETTER]),
            )
            self.do(lambda slip=slip: self.world.bet(*slip))

    @rule(player=players)
    def look(self, player: str) -> None:
        self.do(lambda: self.world.look(player))

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        op = data.draw(st.sampled_from(self.world.ops[-12:]))
        self.do(lambda: self.world.start(op))

    @rule(data=st.data(), amount=amounts)
    def use_a_key_again_for_something_else(self, data: st.DataObject, amount: int) -> None:
        old = data.draw(st.sampled_from(self.world.ops))
        if old.owner.startswith("wallet/"):
            player = old.owner.partition("/")[2]
            self.do(lambda: self.world.deposit(player, amount, key=old.key))

    # The house

    @property
    def late(self) -> bool:
        """Results come when there is something to settle."""
        return sum(isinstance(op.request, BetRequest) for op in self.world.ops) > 12

    @rule(
        market=markets,
        selection=selections,
        odds=st.sampled_from([12_000, 15_000, 25_000, 51_000, 0]),
    )
    def price(self, market: str, selection: str, odds: int) -> None:
        self.do(lambda: self.world.price(market, selection, odds))

    @rule(
        market=markets,
        status=st.sampled_from([MarketStatus.OPEN] * 3 + [MarketStatus.SUSPENDED]),
        in_play=st.booleans(),
        delay_ms=st.sampled_from([0, 1_000, 2_000]),
    )
    def status(self, market: str, status: MarketStatus, in_play: bool, delay_ms: int) -> None:
        self.do(lambda: self.world.status(market, status, in_play=in_play, delay_ms=delay_ms))

    @precondition(lambda self: self.late)
    @rule(market=markets, selection=selections)
    def withdraw_selection(self, market: str, selection: str) -> None:
        self.do(lambda: self.world.withdraw_selection(market, selection))

    @precondition(lambda self: self.late)
    @rule(market=markets, results=st.tuples(outcomes, outcomes, outcomes))
    def declare(self, market: str, results: tuple[Result, Result, Result]) -> None:
        named = dict(zip("abc", results, strict=True))
        self.do(lambda: self.world.declare(market, named))

    @precondition(lambda self: self.late)
    @rule(market=markets, before=st.tuples(*[outcomes] * 3), after=st.tuples(*[outcomes] * 3))
    def correct_a_result_when_the_winnings_are_spent(
        self, market: str, before: tuple[Result, ...], after: tuple[Result, ...]
    ) -> None:
        self.do(lambda: self.world.declare(market, dict(zip("abc", before, strict=True))))
        for _ in range(4):
            self.run(self.world.pass_time(6_000))
        self.run(self.world.spend_all())
        self.do(lambda: self.world.declare(market, dict(zip("abc", after, strict=True))))

    @precondition(lambda self: self.late)
    @rule(market=markets)
    def cancel(self, market: str) -> None:
        self.do(lambda: self.world.cancel(market))

    # What goes wrong

    @rule(after_commit=st.booleans())
    def fail_append(self, after_commit: bool) -> None:
        self.world.fail_next_append(after_commit=after_commit)

    @rule(shard=shards)
    def kill(self, shard: str) -> None:
        self.do(lambda: self.world.kill(shard))

    @rule(scope=st.sampled_from([BOOK, LICENCE]), number=st.integers(0, 3), to=st.integers(0, 1))
    def move(self, scope: str, number: int, to: int) -> None:
        self.do(lambda: self.world.move(f"{scope}-{number:02d}", f"shard-{scope}-{to}"))

    @rule(shard=shards)
    def usurp(self, shard: str) -> None:
        self.do(lambda: self.world.usurp(shard))

    @precondition(lambda self: self.world.transport.former)
    @rule(to_former=st.booleans())
    def ask_the_former_owner(self, to_former: bool) -> None:
        self.world.transport.to_former = to_former

    # And time goes by

    @rule(count=st.integers(1, 12))
    def turns(self, count: int) -> None:
        self.run(self.world.turns(count))

    @rule(ms=st.sampled_from([50, 200, 1_000, 6_000, 20_000]))
    def time(self, ms: int) -> None:
        self.run(self.world.pass_time(ms))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.run(self.world.end())
            self.run(check(self.world))
        finally:
            self.run(self.world.close())
            self.loop.close()


TestEvening = pytest.mark.timeout(300)(Evening.TestCase)
TestEvening.settings = settings(
    max_examples=int(os.environ.get("GRANDSTAND_EVENINGS", "100")),
    stateful_step_count=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


# Holds of which nothing more was heard


async def unheard(refused: bool) -> None:
    """A bet is placed or refused, and what became of it never gets back to its market."""
    world = World()
    try:
        await world.begin()
        world.router.tell = lambda *_: None  # type: ignore[method-assign]
        stake = 20_000 if refused else 500  # p2 has 6,000
        op = world.bet("p2", "match:goals", "a", stake, 15_000)
        await world.finish()
        assert isinstance(op.answers[0], Refused) is refused
        held = await world.exposure("match:goals")
        assert (held.holds, held.lines["a"].stakes_minor) == (1, stake)
        await world.pass_time(HOLD_MS + 1)
        await world.pass_time(200)
        resolved = await world.exposure("match:goals")
        stakes = 0 if refused else 500
        assert (resolved.holds, resolved.known) == (0, True)
        assert resolved.lines["a"].stakes_minor == stakes
        await world.end()
        await check(world)
    finally:
        await world.close()


@pytest.mark.parametrize("refused", [False, True], ids=["placed", "refused"])
def test_a_hold_of_which_nothing_was_heard_is_resolved_where_the_bet_is(refused: bool) -> None:
    asyncio.run(unheard(refused))


# The checker can fail


async def eventful(world: World) -> None:
    """One evening with everything in it that a broken promise needs to show."""
    await world.begin()
    # Many bets at once, one of them twice, and the journal fails with them under way.
    bets = [world.bet(f"p{n % 3}", "match:winner", "abc"[n % 3], 500, 15_000) for n in range(9)]
    await quiet()
    world.fail_next_append(after_commit=False)
    bets += [world.bet("p0", "match:goals", "b", 700, 25_000), world.deposit("p1", 900)]
    world.look("p1")
    await quiet()
    for op in bets:
        world.start(op)
    await world.finish()
    # The answer is lost, and asked for again with the same key after a restart.
    world.fail_next_append(after_commit=True)
    lost = world.withdraw("p2", 1_000)
    await world.finish()
    world.kill("shard-gb-0")
    world.kill("shard-gb-1")
    world.start(lost)
    await world.finish()
    # A former owner goes on writing.
    for name in ("shard-gb-0", "shard-gb-1"):
        world.usurp(name)
    await world.finish()
    world.transport.to_former = True
    for player in world.players:
        world.deposit(player, 111)
    await quiet()
    world.transport.to_former = False
    for player in world.players:
        world.deposit(player, 222)
    await world.finish()
    for player in world.players:
        world.look(player)
    # Results, the winnings are spent, and a correction; the first result is told again, late.
    world.declare("match:winner", {"a": WON, "b": LOST, "c": VOID})
    await world.finish()
    await world.pass_time(6_000)
    await world.pass_time(6_000)
    world.declare("match:winner", {"a": LOST, "b": WON, "c": VOID})
    await world.finish()
    await world.pass_time(6_000)
    await world.pass_time(6_000)
    for op in bets[:9]:
        placed = op.answers[0]
        late = SettleBet(placed.player_id, placed.bet_id, "match:winner", "a", WON, 1)
        if placed.legs and placed.legs[0].selection_id == "a":
            await world.ask_until_answered(LICENCE, placed.player_id, late)
    await world.end()


async def run_eventful(seed: int = 1, journal: SlowJournal | None = None) -> None:
    world = World(seed=seed, journal=journal)
    try:
        await asyncio.wait_for(asyncio.ensure_future(eventful(world)), 60)
        await check(world)
    finally:
        await world.close()


@pytest.mark.parametrize("seed", range(3))
def test_an_eventful_evening_keeps_every_promise(seed: int) -> None:
    asyncio.run(run_eventful(seed))


def answer_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: Shard, partition: Partition, wait: object) -> int:
        return partition.head.seq + 1

    monkeypatch.setattr(Shard, "_durable", at_once)


def no_fencing(monkeypatch: pytest.MonkeyPatch) -> None:
    append = SlowJournal.append

    async def always(self: SlowJournal, blocks: Any) -> frozenset[str]:
        await append(self, blocks)
        return frozenset(block.partition for block in blocks)

    monkeypatch.setattr(SlowJournal, "append", always)


def keys_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Partition, "_first", lambda *_: None)
    monkeypatch.setattr(Partition, "_unsure", lambda *_: False)


def holds_are_never_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book, "release", lambda *_: None)


def settlement_ignores_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = SettleBet.decide

    def careless(self: SettleBet, now_ms: int, wallet: Any, bet: Any) -> Any:
        before, bet.result_version = bet.result_version, 0
        try:
            return decide(self, now_ms, wallet, bet)
        finally:
            bet.result_version = before

    monkeypatch.setattr(SettleBet, "decide", careless)


@pytest.mark.parametrize(
    "broken",
    [
        answer_before_the_commit,
        no_fencing,
        keys_are_not_checked,
        holds_are_never_released,
        settlement_ignores_versions,
    ],
)
def test_the_checker_sees(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    with pytest.raises(Wrong):
        asyncio.run(run_eventful())
