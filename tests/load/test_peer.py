"""The peers that the bench measures beside us are right as well as fast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from loadtest.bench import peer
from loadtest.bench.peer import STYLES, Place, Refused, Slip

ODDS = 20_000


@pytest.fixture(params=sorted(STYLES))
def place(request: pytest.FixtureRequest) -> Place:
    return STYLES[request.param]


@pytest.fixture
async def pool(fresh_database: Callable[[], Awaitable[str]]) -> AsyncIterator[asyncpg.Pool]:
    """One wallet with 100, one market with two selections."""
    dsn = await fresh_database()
    await peer.prepare(dsn, ["ann"], ["f:m"], ["s0", "s1"], ODDS, 100)
    pool = await peer.open_pool(dsn, 8)
    yield pool
    await pool.close()


def slip(key: str, stake_minor: int = 60, odds: int = ODDS) -> Slip:
    return Slip("ann", key, "f:m", "s0", stake_minor, odds)


async def state(pool: asyncpg.Pool) -> tuple[int, int, int, int, int, int]:
    """Cash, held, bets, moved by transfers, stakes and liability of the selection."""
    row = await pool.fetchrow(
        """
        select wallet.cash_minor, wallet.held_minor, (select count(*) from bet) as bets,
            (select coalesce(sum(amount_minor), 0)::bigint from transfer) as moved,
            selection.stakes_minor, selection.liability_minor
        from wallet, selection where selection.selection_id = 's0'
        """
    )
    return tuple(row)


async def test_a_bet_moves_the_money_and_raises_the_liability(
    pool: asyncpg.Pool, place: Place
) -> None:
    done = await place(pool, slip("a"))
    assert done.cash_after_minor == 40
    assert await state(pool) == (40, 60, 1, 60, 60, 60)


async def test_two_bets_that_race_for_one_balance_do_not_both_pass(
    pool: asyncpg.Pool, place: Place
) -> None:
    outcomes = await asyncio.gather(
        *(place(pool, slip(f"race-{number}")) for number in range(8)), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, Refused)]
    assert [str(one) for one in refused] == ["insufficient_funds"] * 7
    assert await state(pool) == (40, 60, 1, 60, 60, 60)


async def test_the_same_key_gives_the_first_bet_again_also_when_it_races(
    pool: asyncpg.Pool, place: Place
) -> None:
    outcomes = await asyncio.gather(*(place(pool, slip("same", 30)) for _ in range(6)))
    assert len({one.bet_id for one in outcomes}) == 1
    assert await state(pool) == (70, 30, 1, 30, 30, 30)


async def test_the_same_key_is_answered_also_when_the_money_is_gone(
    pool: asyncpg.Pool, place: Place
) -> None:
    first = await place(pool, slip("all", 100))
    assert await place(pool, slip("all", 100)) == first


async def test_what_the_market_refuses_leaves_no_trace(pool: asyncpg.Pool, place: Place) -> None:
    with pytest.raises(Refused, match="market_refused"):
        await place(pool, slip("a", odds=ODDS + 100))
    await pool.execute("update selection set max_liability_minor = 50")
    with pytest.raises(Refused, match="market_refused"):
        await place(pool, slip("b"))
    await pool.execute("update selection set max_liability_minor = 60, status = 'suspended'")
    with pytest.raises(Refused, match="market_refused"):
        await place(pool, slip("c"))
    assert await state(pool) == (100, 0, 0, 0, 0, 0)
