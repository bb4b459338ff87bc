"""The controller as it runs, on the simulated cluster: what it sees when seeing fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from actors.runtime.simulated.network import DIRECTORY
from actors.runtime.simulated.simulation import Simulation


async def counts(simulation: Simulation) -> Counter[str]:
    """How many partitions each shard has, as the directory has it."""
    view = await simulation.cluster.Host(DIRECTORY).call("view")
    return Counter(view.shards.values())


def test_a_look_that_failed_is_not_the_last_one() -> None:
    """Nobody foresaw the failure, and still the shard is seen to live and to die afterwards."""
    with Simulation(seed=1, spares=1) as simulation:

        async def night() -> None:
            await asyncio.sleep(10)
            at_home = await counts(simulation)
            transport = simulation.network.servers["controller"].host._transport
            deliver = transport.deliver
            looks: list[str] = []

            async def exhausted(shard: str, batch: bytes) -> Any:
                looks.append(shard)
                if len(looks) > 20:
                    transport.deliver = deliver
                raise RuntimeError("can't start new thread")

            transport.deliver = exhausted
            await asyncio.sleep(10)
            assert transport.deliver == deliver
            for shard in at_home:
                simulation.network.kill(shard, again_after_s=None)
                await asyncio.sleep(5)
                assert (await counts(simulation))["spare-0"] == at_home[shard]
                simulation.network.begin(shard)
                await asyncio.sleep(60)
                assert await counts(simulation) == at_home

        simulation.run(night())
        failed = [one for one in simulation.complaints if "shard_not_looked_at" in one]
        assert failed
        assert simulation.complaints == failed
