"""One price over time: whoever moved it is in it, and a long history comes in as many points as
are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from actors.base import Command
from actors.runtime.addresses import BOOK, fixture_of
from actors.trading import ChangePrices, MovePrices, PricesChanged
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk
from tests.gateway.trading import member


async def say(backend: Backend, market_id: str, command: Command, by: str) -> PricesChanged:
    answer = await backend.cluster.router.ask(BOOK, fixture_of(market_id), command, by=by)
    assert isinstance(answer.reply, PricesChanged)
    return answer.reply


async def series(desk: Desk, market_id: str, selection_id: str = "home", **more: Any) -> list[int]:
    query = "&".join(f"{name}={value}" for name, value in more.items())
    path = f"/v1/markets/{market_id}/prices?selection_id={selection_id}&{query}".rstrip("&")
    found = (await desk.get(path)).json
    times = [point["at"] for point in found["points"]]
    assert times == sorted(times)
    return [point["odds"] for point in found["points"]]


async def test_moves_by_a_feed_by_risk_and_by_hand_are_all_in_it(
    backend: Backend, desk: Desk
) -> None:
    market_id = await desk.market()
    fixture_id = fixture_of(market_id)
    fed = ChangePrices(fixture_id, market_id, {"home": 24_000}, 1, 50)
    version = (await say(backend, market_id, fed, "feed:priced")).odds_version
    await say(backend, market_id, ChangePrices(fixture_id, market_id, {}, 2), "feed:priced")
    moved = MovePrices(fixture_id, market_id, {"home": 23_000}, version + 1)
    await say(backend, market_id, moved, "risk")
    trader = await member(desk, "trader")
    act = {"odds": {"home": 22_000}, "reason": "by hand"}
    assert (await trader.act(f"markets/{market_id}/prices", act)).status == 200

    async def all_there() -> bool:
        return len(await series(desk, market_id)) == 4

    await until(all_there, "the ledger has them")
    assert await series(desk, market_id) == [25_000, 24_000, 23_000, 22_000]
    assert await series(desk, market_id, "draw") == [32_000]
    assert await series(desk, market_id, until="2001-01-01T00:00:00Z") == []
    assert await series(desk, market_id, since="2001-01-01T00:00:00Z", points=2) == [22_000]
    # What stood when it began is where it begins.
    assert await series(
        desk, market_id, since="2100-01-01T00:00:00Z", until="2101-01-01T00:00:00Z"
    ) == [22_000]


async def test_a_long_history_has_the_last_price_of_each_part(backend: Backend, desk: Desk) -> None:
    market_id = await desk.market()
    fixture_id = fixture_of(market_id)
    for number in range(1, 201):
        odds = {"home": 30_000 + 100 * number}  # each of them once
        await say(backend, market_id, ChangePrices(fixture_id, market_id, odds, number), "feed:x")

    async def all_there() -> bool:
        return (await series(desk, market_id, points=1_000))[-1] == 50_000

    await until(all_there, "the ledger has them")
    whole = await series(desk, market_id, points=1_000)
    few = await series(desk, market_id, points=5)
    assert 1 <= len(few) <= 5 < len(whole)
    assert few[-1] == whole[-1] == 50_000
    assert [odds for odds in whole if odds in set(few)] == few


@pytest.mark.parametrize(
    ("market", "query", "status", "code"),
    [
        ("", "selection_id=nobody", 404, "unknown_selection"),
        ("x", "selection_id=home", 404, "unknown_market"),
        ("", "points=5", 400, "invalid_request"),
        ("", "selection_id=home&points=1", 400, "invalid_request"),
        ("", "selection_id=home&points=1001", 400, "invalid_request"),
        ("", "selection_id=home&since=yesterday", 400, "invalid_request"),
        ("", "selection_id=home&since=2001-01-01T00:00:00", 400, "invalid_request"),
        (
            "",
            "selection_id=home&since=2002-01-01T00:00:00Z&until=2001-01-01T00:00:00Z",
            400,
            "invalid_request",
        ),
    ],
)
async def test_what_can_t_be_asked(
    desk: Desk, market: str, query: str, status: int, code: str
) -> None:
    market_id = await desk.market() + market
    (await desk.get(f"/v1/markets/{market_id}/prices?{query}")).problem(status, code)
