"""The simulated runtime itself: its loop, its network and its databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from actors.runtime.router import ShardUnreachable
from actors.runtime.simulated.database import Database, DatabaseFaults, SimulatedJournal
from actors.runtime.simulated.loop import NeverEnds, Process, SimulatedClock, VirtualLoop
from actors.runtime.simulated.network import Network, NetworkFaults
from ledger.blocks import EMPTY, seal
from ledger.journal import JournalUnavailable


def loop_of(seed: int = 1) -> VirtualLoop:
    return VirtualLoop(Random(seed))


# The loop


def test_time_jumps_and_nobody_waits() -> None:
    loop = loop_of()

    async def an_hour() -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run(an_hour()) == 3600


def test_a_process_is_in_order_and_processes_are_in_any() -> None:
    def run(seed: int) -> list[str]:
        loop = loop_of(seed)
        done: list[str] = []
        processes = [Process("a"), Process("b")]

        async def main() -> None:
            for number in range(20):
                for process in processes:
                    loop.call_in(process, done.append, f"{process.name}{number:02d}")
            await asyncio.sleep(1)

        loop.run(main())
        for name in "ab":
            of = [one for one in done if one.startswith(name)]
            assert of == sorted(of)
        return done

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_process_that_is_killed_runs_nothing_more() -> None:
    loop = loop_of()
    done: list[str] = []
    victim = Process("victim")

    async def work() -> None:
        try:
            await asyncio.sleep(1)
            done.append("woke")
        finally:
            done.append("tidied up")

    async def main() -> None:
        loop.start(victim, work())
        await asyncio.sleep(0.5)
        loop.kill(victim)
        await asyncio.sleep(5)

    loop.run(main())
    assert done == []
    assert loop.complaints == []


def test_a_process_is_killed_between_two_steps() -> None:
    loop = loop_of()
    steps: list[int] = []
    victim = Process("victim")

    async def work() -> None:
        for number in range(10):
            steps.append(number)
            await asyncio.sleep(0)

    async def main() -> None:
        loop.start(victim, work())
        loop.after_steps(victim, 4, lambda: loop.kill(victim))
        await asyncio.sleep(5)

    loop.run(main())
    assert steps == [0, 1, 2, 3]


def test_a_process_that_stands_still_does_not_notice() -> None:
    loop = loop_of()
    sleeper = Process("sleeper")
    woke: list[float] = []

    async def work() -> None:
        await asyncio.sleep(1)
        woke.append(loop.time())

    async def main() -> None:
        loop.start(sleeper, work())
        await asyncio.sleep(0.5)
        loop.pause(sleeper)
        await asyncio.sleep(9.5)
        assert woke == []
        loop.resume(sleeper)
        await asyncio.sleep(0.1)

    loop.run(main())
    assert woke == [10.0]


def test_clocks_differ_by_as_much_as_they_are_told_to() -> None:
    loop = loop_of()

    async def now() -> int:
        return SimulatedClock().now_ms()

    async def main() -> int:
        here = loop.start(Process("here", ahead_ms=300), now())
        there = loop.start(Process("there", ahead_ms=-200), now())
        return await here - await there

    assert loop.run(main()) == 500


def test_who_waits_for_nothing_is_told_so() -> None:
    loop = loop_of()

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(NeverEnds, match="nobody has anything to do"):
        loop.run(main())


def test_a_failure_that_nobody_hears_is_a_complaint() -> None:
    loop = loop_of()

    async def fail() -> None:
        raise ValueError("unheard")

    async def main() -> None:
        loop.start(Process("somebody"), fail())
        await asyncio.sleep(1)

    loop.run(main())
    assert len(loop.complaints) == 1
    assert "unheard" in loop.complaints[0]


# The network


class Echo:
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def say(self, word: str) -> str:
        self.heard.append(word)
        return word

    async def wait(self) -> None:
        await asyncio.sleep(100)


def network_of(loop: VirtualLoop, **faults: float) -> tuple[Network, Echo]:
    network = Network(loop, Random(1), lambda *_: None)
    echo = Echo()
    network.spawn(lambda: echo, "echo")
    network.faults = NetworkFaults(**faults)
    return network, echo


def on_the_network(work: Callable[[Network, Echo], Awaitable[None]], **faults: float) -> None:
    loop = loop_of()
    network, echo = network_of(loop, **faults)

    async def main() -> None:
        await work(network, echo)

    loop.run(main())


def test_a_call_is_answered() -> None:
    async def work(network: Network, echo: Echo) -> None:
        assert await network.call("echo", "say", "hello") == "hello"
        assert echo.heard == ["hello"]

    on_the_network(work)


def test_what_is_lost_is_not_answered() -> None:
    async def work(network: Network, echo: Echo) -> None:
        with pytest.raises(ShardUnreachable):
            await network.call("echo", "say", "hello")
        assert echo.heard == []

    on_the_network(work, lost=1.0)


def test_what_is_doubled_is_heard_twice_and_answered_once() -> None:
    async def work(network: Network, echo: Echo) -> None:
        assert await network.call("echo", "say", "hello") == "hello"
        await asyncio.sleep(1)
        assert echo.heard == ["hello", "hello"]

    on_the_network(work, doubled=1.0)


def test_what_is_late_overtakes_and_is_overtaken() -> None:
    async def work(network: Network, echo: Echo) -> None:
        words = [str(number) for number in range(20)]
        await asyncio.gather(*(network.call("echo", "say", word) for word in words))
        assert echo.heard != words
        assert sorted(echo.heard) == sorted(words)

    on_the_network(work, late=0.5)


def test_who_waits_for_a_process_that_dies_is_told_so() -> None:
    async def work(network: Network, echo: Echo) -> None:
        waiting = asyncio.ensure_future(network.call("echo", "wait"))
        await asyncio.sleep(1)
        network.kill("echo", again_after_s=2.0)
        with pytest.raises(ShardUnreachable):
            await waiting
        with pytest.raises(ShardUnreachable):
            await network.call("echo", "say", "too early")
        await asyncio.sleep(3)
        assert await network.call("echo", "say", "again") == "again"

    on_the_network(work)


def test_who_is_cut_off_reaches_nobody() -> None:
    async def work(network: Network, echo: Echo) -> None:
        network.cut.add(("outside", "echo"))
        with pytest.raises(ShardUnreachable):
            await network.call("echo", "say", "hello")
        network.cut.clear()
        assert await network.call("echo", "say", "hello") == "hello"

    on_the_network(work)


# The databases


def append(faults: DatabaseFaults) -> tuple[bool, int]:
    """Whether an append of one block said yes, and how many blocks there are in the end."""
    loop = loop_of()
    database = Database("gb", ["gb-00"], loop, Random(1), lambda *_: None)
    database.faults = faults

    async def main() -> bool:
        journal = SimulatedJournal(database)
        block = seal("gb-00", EMPTY, 1, 0, b"\x90")
        try:
            said: Any = await journal.append([block])
        except JournalUnavailable:
            said = None
        await asyncio.sleep(20)
        return said == {"gb-00"}

    said = loop.run(main())
    return said, len(database.journal._chains["gb-00"])


@pytest.mark.parametrize(
    ("faults", "outcome"),
    [
        (DatabaseFaults(), (True, 1)),
        (DatabaseFaults(slow=1.0), (True, 1)),
        (DatabaseFaults(refused=1.0), (False, 0)),
        (DatabaseFaults(unheard=1.0), (False, 1)),
        (DatabaseFaults(afterwards=1.0), (False, 1)),
    ],
    ids=["well", "slow", "refused", "unheard", "afterwards"],
)
def test_what_a_statement_did_and_what_its_sender_hears(
    faults: DatabaseFaults, outcome: tuple[bool, int]
) -> None:
    assert append(faults) == outcome
