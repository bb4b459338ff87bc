"""The load generator against servers that do what the real one does only on a bad day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from loadtest.load import (
    Load,
    Slips,
    bet_id_of,
    content_length,
    next_frame,
    percentile,
    place_all,
    retry_after_s,
    text_frame,
)
from tests.patience import PATIENCE_S

TOKENS = ["ann", "bob", "cat"]
MARKETS = ["f-1:m", "f-2:m"]

Answer = Callable[[web.Request, Any], Awaitable[web.Response]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """Listens on a free port; `answer` is given the request and its JSON."""

    async def bet(request: web.Request) -> web.Response:
        return await answer(request, orjson.loads(await request.read()))

    app = web.Application()
    app.router.add_post("/v1/bets", bet)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def placed(bet_id: str) -> web.Response:
    body = orjson.dumps({"bet_id": bet_id, "state": "open"})
    return web.Response(body=body, status=201, content_type="application/json")


def problem(status: int, code: str, **headers: str) -> web.Response:
    return web.json_response({"code": code, "status": status}, status=status, headers=headers)


# Percentiles and bytes


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([7.0], 0.999, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 0.999, 100.0),
        ([float(n) for n in range(1, 1001)], 0.999, 999.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_are_not_above(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_a_frame_that_was_made_is_read_again(size: int) -> None:
    made = text_frame(b"x" * size)
    # A server's frame is the same without the mask bit and its four bytes.
    head = len(made) - size - 4
    as_servers = bytes([made[0], made[1] & 0x7F]) + made[2:head] + made[head + 4 :]
    assert next_frame(as_servers, 0) == (1, b"x" * size, len(as_servers))
    assert next_frame(as_servers[:-1], 0) is None
    assert next_frame(b"yyy" + as_servers, 3) == (1, b"x" * size, len(as_servers) + 3)


def test_heads_are_read_whatever_their_case() -> None:
    head = b"HTTP/1.1 503 No\r\ncontent-length: 17\r\nRetry-After: 3"
    assert content_length(head + b"\r\n\r\n", len(head)) == 17
    assert content_length(b"HTTP/1.1 204 No\r\n\r\n", 15) == 0
    assert retry_after_s(head) == 3.0
    assert retry_after_s(b"HTTP/1.1 503 No") == 1.0
    assert bet_id_of(b'{"bet_id":"abc","x":1}') == "abc"
    assert bet_id_of(b"{}") == ""


# Over HTTP


async def test_every_wallet_and_market_has_its_turn_and_no_key_comes_twice() -> None:
    seen: list[tuple[str, str, str]] = []

    async def answer(request: web.Request, slip: Any) -> web.Response:
        token, key = request.headers["Authorization"], request.headers["Idempotency-Key"]
        seen.append((token.removeprefix("Bearer "), slip["market_id"], key))
        return placed(f"bet-{len(seen)}")

    async with server(answer) as port:
        load = Load(port, Slips(TOKENS, MARKETS), connections=4, bets=60, record=True)
        sample = await place_all(load)
    assert sample.placed == 60
    assert not sample.refused
    assert {answer.bet_id for answer in sample.answers} == {f"bet-{n}" for n in range(1, 61)}
    assert len({key for _, _, key in seen}) == 60
    for at, names in ((0, TOKENS), (1, MARKETS)):
        counts = [sum(one[at] == name for one in seen) for name in names]
        assert counts == [60 // len(names)] * len(names)


async def test_refusals_are_counted_by_their_code() -> None:
    async def answer(request: web.Request, slip: Any) -> web.Response:
        if slip["market_id"] == MARKETS[0]:
            return problem(409, "market_closed")
        return placed("bet")

    async with server(answer) as port:
        sample = await place_all(Load(port, Slips(TOKENS, MARKETS), connections=2, bets=40))
    assert sample.placed == 20
    assert sample.refused == {"market_closed": 20}


async def test_what_has_no_answer_is_repeated_with_its_key_until_it_has_one() -> None:
    attempts: dict[str, int] = {}

    async def answer(request: web.Request, slip: Any) -> web.Response:
        key = request.headers["Idempotency-Key"]
        attempts[key] = attempts.get(key, 0) + 1
        if attempts[key] == 1:
            return problem(503, "unavailable", **{"Retry-After": "1"})
        if attempts[key] == 2:
            assert request.transport is not None
            request.transport.abort()
        return placed(key)

    async with server(answer) as port:
        load = Load(
            port, Slips(TOKENS, MARKETS), connections=3, bets=9, retry=True, retry_pause_s=0.01
        )
        sample = await place_all(load)
    assert sample.placed == 9
    assert len(attempts) == 9
    assert set(attempts.values()) == {3}
    assert sample.attempts_failed == {"unavailable": 9, "disconnected": 9}
    assert not sample.refused


async def test_without_retry_a_lost_connection_is_a_bet_without_an_answer() -> None:
    count = 0

    async def answer(request: web.Request, slip: Any) -> web.Response:
        nonlocal count
        count += 1
        if count == 5:
            assert request.transport is not None
            request.transport.abort()
        return placed("bet")

    async with server(answer) as port:
        sample = await place_all(Load(port, Slips(TOKENS, MARKETS), connections=1, bets=10))
    assert sample.placed == 9
    assert sample.refused == {"disconnected": 1}


async def test_a_server_that_hangs_is_given_up_and_asked_again() -> None:
    first, hung = True, asyncio.Event()

    async def answer(request: web.Request, slip: Any) -> web.Response:
        nonlocal first
        if first:
            first = False
            await hung.wait()
        return placed("bet")

    async with server(answer) as port:
        load = Load(port, Slips(TOKENS, MARKETS), connections=1, bets=2, retry=True, timeout_s=2.0)
        async with asyncio.timeout(PATIENCE_S):
            sample = await place_all(load)
        hung.set()
    assert sample.placed == 2
    assert sample.attempts_failed == {"disconnected": 1}


# The open loop


async def test_the_open_loop_keeps_its_rate() -> None:
    """All that falls due is placed: a machine that is late makes no bet less of it."""

    async def answer(request: web.Request, slip: Any) -> web.Response:
        return placed("bet")

    async with server(answer) as port:
        load = Load(port, Slips(TOKENS, MARKETS), connections=16, rate=200.0)
        await load.start()
        begins_s = load._cut_at
        while load.total.placed < 200:
            await asyncio.sleep(0.05)
            load.cut()
        # Those that fell due and wait for a connection are placed, too.
        due_s, waiting = load._next_due - begins_s, len(load._backlog)
        under_way = sum(connection.busy for connection in load._connections)
        fell_due = load.total.placed + waiting + under_way
        await load.stop()
    # Poisson: a standard deviation of 14 in 200.
    assert 0.65 < fell_due / (200 * due_s) < 1.35
    assert load.total.placed == fell_due - waiting


async def test_a_stall_is_felt_by_every_bet_that_fell_due_in_it() -> None:
    """Whoever waits for a stalled server before asking again would see the stall once."""
    stall = asyncio.Event()

    async def answer(request: web.Request, slip: Any) -> web.Response:
        await stall.wait()
        return placed("bet")

    async with server(answer) as port:
        load = Load(port, Slips(TOKENS, MARKETS), connections=2, rate=200.0)
        await load.start()
        await asyncio.sleep(0.5)
        late = len(load._backlog)
        stall.set()
        while load.total.placed < late + 2:
            await asyncio.sleep(0.02)
            load.cut()
        await load.stop()
    waited = sum(latency > 0.2 for latency in load.total.latencies)
    # About 60 fell due in the first 0.3 s, though only two connections were asked on.
    assert waited > 25
    assert load.total.backlog >= late > 25


# Over WebSocket


@asynccontextmanager
async def socket_server(answer: Callable[[Any], Any]) -> AsyncIterator[int]:
    async def stream(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=("grandstand.v1",))
        await ws.prepare(request)
        async for message in ws:
            frame = orjson.loads(message.data)
            if frame["type"] == "login":
                said = {"type": "ok", "id": frame["id"], "token": frame["token"]}
            else:
                # What the real one also sends, unasked.
                await ws.send_str('{"type":"balance","wallet":{}}')
                said = answer(frame)
            await ws.send_str(orjson.dumps(said).decode())
        return ws

    app = web.Application()
    app.router.add_get("/v1/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_bets_over_websockets_are_counted_like_the_others() -> None:
    keys = set()

    def answer(frame: Any) -> Any:
        keys.add(frame["key"])
        if frame["bet"]["market_id"] == MARKETS[0]:
            document = {"code": "price_changed", "status": 409}
            return {"type": "problem", "id": frame["id"], "problem": document}
        bet = {"bet_id": frame["key"]}
        return {"type": "bet", "id": frame["id"], "status": 201, "bet": bet}

    async with socket_server(answer) as port:
        load = Load(
            port,
            Slips(TOKENS, MARKETS),
            connections=3,
            transport="websocket",
            bets=40,
            record=True,
        )
        sample = await place_all(load)
    assert sample.placed == 20
    assert sample.refused == {"price_changed": 20}
    assert len(keys) == 40
    assert {answer.bet_id for answer in sample.answers if not answer.code} <= keys
