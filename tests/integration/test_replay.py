"""The three recordings through the real platform, with bets placed while they run.

The recordings are not part of the project: where they are absent, this says so and skips.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.runtime import cluster
from actors.runtime.clock import WallClock
from actors.runtime.router import Router
from gateway.feeds import feed
from gateway.feeds.betfair import Recording, Settings
from gateway.feeds.pump import Tally, pump
from grandstand.platform import Platform
from tests.integration.house import House, eventually
from tests.integration.test_kills import assert_ledger

FEEDS = Path(__file__).parents[3] / "shared" / "data" / "feeds"
STAKE = 100

pytestmark = pytest.mark.skipif(not FEEDS.is_dir(), reason=f"the recordings are not there: {FEEDS}")


@pytest.mark.parametrize(
    ("files", "winners", "removed"),
    [
        (("BASIC-1.132153978",), {"1.132153978": 1}, 2),
        (("1.197931750", "1.197931751"), {"1.197931750": 1, "1.197931751": 2}, 0),
    ],
    ids=["horse race", "greyhounds, win and place"],
)
async def test_recording_settles_the_bets_placed_while_it_runs(
    house: House,
    platform: Platform,
    files: tuple[str, ...],
    winners: dict[str, int],
    removed: int,
) -> None:
    settings = Settings(tuple(str(FEEDS / name) for name in files))
    source = feed("betfair").open(settings, uuid4().hex[:8], 0)
    assert isinstance(source, Recording)
    router = Router(cluster.RayTransport(), WallClock())
    tally = Tally()
    # No step is more than a few hundredths of a second from the next: some ten seconds in all.
    replaying = asyncio.ensure_future(
        pump(source, router, WallClock(), speed=60, max_gap_s=0.03, tally=tally)
    )
    player = await house.player(1_000_000)
    bets: dict[str, tuple[str, str]] = {}

    async def bet_on_everything() -> None:
        """A bet on every selection that has a price now."""
        fixture_id = await found_fixture(house, source)
        if fixture_id is None:
            return
        fixture = await house.want(200, "GET", f"/v1/fixtures/{fixture_id}")
        for market in fixture["markets"]:
            for selection in market["selections"]:
                place = (market["market_id"], selection["selection_id"])
                if not selection["odds"]:
                    continue
                status, bet = await player.bet(
                    *place, stake_minor=STAKE, odds=selection["odds"], accept="any"
                )
                if status == 201:
                    bets[bet["bet_id"]] = place

    while not replaying.done():
        await bet_on_everything()
    await replaying
    assert not tally.refused
    assert {market_id.rpartition(":")[2] for market_id, _ in bets.values()} == set(winners)
    assert len(source.summary.winners) == sum(winners.values())
    assert source.summary.removed_runners == removed

    async def all_settled() -> Any:
        return not await player.bets("?state=open&limit=200")

    await eventually(all_settled, "every bet is settled")
    settled = {bet["bet_id"]: bet for bet in await player.bets()}
    fixture_id = await found_fixture(house, source)
    fixture = await house.want(200, "GET", f"/v1/fixtures/{fixture_id}")
    assert fixture["phase"] == "ended"
    for market in fixture["markets"]:
        outcomes = {
            selection["selection_id"]: selection["result"]["outcome"]
            for selection in market["selections"]
        }
        key = market["market_id"].rpartition(":")[2]
        assert list(outcomes.values()).count("won") == winners[key]
        assert market["status"] == "settled"
        for bet_id, (market_id, selection_id) in bets.items():
            if market_id != market["market_id"]:
                continue
            bet = settled[bet_id]
            assert bet["state"] == outcomes[selection_id]
            leg = bet["legs"][0]
            left = Fraction(leg["odds"] * STAKE, 10_000)
            for reduction in leg.get("reductions", ()):
                left *= Fraction(10_000 - reduction, 10_000)
            full = int(left + Fraction(1, 2))
            # A place pays full odds to each of its winners.
            assert bet["payout_minor"] == {"won": full, "lost": 0, "void": STAKE}[bet["state"]]
    await assert_ledger(platform)


async def found_fixture(house: House, source: Recording) -> str | None:
    """The fixture of this replay, as soon as it is on the board."""
    for phase in ("scheduled", "in_play", "ended"):
        page = await house.want(200, "GET", f"/v1/fixtures?phase={phase}&limit=200")
        for fixture in page["items"]:
            if fixture["fixture_id"].endswith(f"-{source.run}"):
                return str(fixture["fixture_id"])
    return None
