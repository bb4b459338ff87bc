"""The bets of the afternoon: placed on the match of the night before the evening begins.

A hundred thousand open bets can't come together in a few minutes at the rate at which one Locust
process bets, so they are placed ahead by the bench's own generator, as fast as the platform takes
them, and all are settled by the same whistle.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from loadtest.load import Load, Sample, Slips
from loadtest.spike.plan import Plan
from loadtest.spike.stage import Stage
from loadtest.spike.tally import Line

BEFORE = -1_000_000
"""The second under which these bets are counted: before everything."""
LONGEST_S = 300.0
LOOK_S = 0.05


class TooSlow(Exception):
    """The bets did not come together in time."""


async def place(plan: Plan, stage: Stage, folder: Path) -> Sample:
    """Place them; returns what it took. Raises `TooSlow`."""
    slips = Slips(
        stage.tokens,
        [stage.hot_market],
        selections=[*[stage.selections[0]] * 3, *[stage.selections[1]] * 2],
        odds=stage.odds,
        currency=stage.currency,
    )
    load = Load(
        stage.port,
        slips,
        connections=min(plan.early_sockets, plan.open_bets),
        transport="websocket",
        retry=True,
        record=True,
    )
    await load.start()
    try:
        async with asyncio.timeout(LONGEST_S):
            while load.total.placed < plan.open_bets:
                await asyncio.sleep(LOOK_S)
                load.cut()
    except TimeoutError:
        raise TooSlow(
            f"{load.total.placed:,} of {plan.open_bets:,} bets in {LONGEST_S:.0f} s: "
            f"{dict(load.total.refused + load.total.attempts_failed)}"
        ) from None
    finally:
        await load.stop()
    bets = [answer.bet_id for answer in load.total.answers if answer.bet_id]
    line = Line(BEFORE, counts={"placed/websocket/early": len(bets)}, bets=bets)
    (folder / "early.tally").write_bytes(msgspec.json.encode(line) + b"\n")
    return load.total
