"""`grandstand seed`, and the peer of the bench that is made of Ray actors, on the real platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from actors.runtime import cluster
from grandstand.commands.seed import Plan, Seeded, SeedFailed, sow
from grandstand.platform import Platform, RunFile, read_run_file
from loadtest.bench import peer
from loadtest.bench.processes import serving
from loadtest.load import Load, Slips, place_all
from tests.integration.house import House

CASH_MINOR = 1_000


@pytest.fixture
def run_file(platform: Platform) -> RunFile:
    run = read_run_file(platform.folder)
    assert run is not None
    return run


async def seeded(run_file: RunFile, **changed: object) -> Seeded:
    plan = {
        "run": f"seed-{uuid4().hex[:8]}",
        "players": 12,
        "fixtures": 3,
        "markets_per_fixture": 2,
        "selections": 2,
        "cash_minor": CASH_MINOR,
    }
    return await sow(cluster.RayTransport(), run_file, Plan(**(plan | changed)))


async def test_seeded_players_have_money_and_a_session_and_can_bet(
    run_file: RunFile, house: House
) -> None:
    made = await seeded(run_file)
    assert (len(made.players), len(made.fixtures), len(made.markets)) == (12, 3, 6)
    for token in made.tokens:
        wallet = await house.want(200, "GET", "/v1/wallet", token=token)
        assert wallet["cash_minor"] == CASH_MINOR
    port = int(run_file.base_url.rpartition(":")[2])
    slips = Slips(made.tokens, made.markets, selections=made.selections, odds=made.odds)
    over_http = await place_all(Load(port, slips, connections=4, bets=24, record=True, retry=True))
    over_sockets = await place_all(
        Load(port, slips, connections=4, bets=24, transport="websocket", record=True, retry=True)
    )
    for sample in (over_http, over_sockets):
        assert not sample.refused
        assert len({answer.bet_id for answer in sample.answers}) == 24
    held = 0
    for token in made.tokens:
        wallet = await house.want(200, "GET", "/v1/wallet", token=token)
        held += wallet["held_minor"]
        assert wallet["cash_minor"] + wallet["held_minor"] == CASH_MINOR
    assert held == 48 * 10


async def test_the_same_run_again_finds_everything_there(run_file: RunFile, house: House) -> None:
    first = await seeded(run_file)
    again = await seeded(run_file, run=first.run)
    assert (again.players, again.markets) == (first.players, first.markets)
    assert set(again.tokens).isdisjoint(first.tokens)
    for token in (*first.tokens, *again.tokens):  # and nobody was given money twice
        wallet = await house.want(200, "GET", "/v1/wallet", token=token)
        assert wallet["cash_minor"] == CASH_MINOR


async def test_what_is_refused_is_said(run_file: RunFile) -> None:
    with pytest.raises(SeedFailed, match="OpenMarket was refused"):
        await seeded(run_file, fixtures=1, selections=0)


async def test_the_actor_per_wallet_peer_takes_each_stake_once(
    run_file: RunFile,
    fresh_database: Callable[[], Awaitable[str]],
    tmp_path: Path,
) -> None:
    dsn = await fresh_database()
    players, tokens, markets = ["ann", "bob"], ["a", "b"], ["f:m"]
    await peer.prepare(dsn, players, markets, ["s0"], 20_000, 0)
    file = tmp_path / "seed.json"
    file.write_text(
        json.dumps({"players": players, "tokens": tokens, "odds": 20_000, "cash_minor": 100})
    )
    arguments = (run_file.gcs_address, dsn, str(file), "2")

    def place() -> tuple[int, int, dict[str, int]]:
        with serving("loadtest.bench.wallet_actors", *arguments) as server:
            slips = Slips(tokens, markets, selections=["s0"], stake_minor=30)
            done = asyncio.run(place_all(Load(server.port, slips, connections=8, bets=40)))
        return done.placed, sum(done.refused.values()), dict(done.refused)

    # Each has 100: three bets of 30 are all that can pass, however they race.
    assert await asyncio.to_thread(place) == (6, 34, {"insufficient_funds": 34})
    pool = await peer.open_pool(dsn, 1)
    try:
        rows = await pool.fetch("select wallet_id, count(*) from bet group by 1 order by 1")
        assert [tuple(row) for row in rows] == [("ann", 3), ("bob", 3)]
        assert await pool.fetchval("select sum(amount_minor)::bigint from transfer") == 180
    finally:
        await pool.close()
