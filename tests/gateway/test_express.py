"""Requests in their plain form go the short way, all others the usual one: same answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from gateway import express
from gateway.app import Gateway
from gateway.http import MAX_BODY
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, slip
from tests.patience import PATIENCE_S


class Wire:
    """A connection that says what bytes it wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, desk: Desk) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", desk.port))

    def say(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, json.loads(body)

    async def ended(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read(1) == b""

    def at(self, gateway: Gateway) -> express.Connection:
        """The gateway's end of it."""
        mine = self.writer.get_extra_info("sockname")
        (connection,) = (
            one
            for one in gateway._runner.server.connections  # type: ignore[union-attr]
            if one.transport is not None and one.transport.get_extra_info("peername") == mine
        )
        assert isinstance(connection, express.Connection)
        return connection

    async def rested(self, gateway: Gateway) -> None:
        """Once the gateway waits for its next request."""

        def waits() -> bool:
            waiter = self.at(gateway)._waiter
            return waiter is not None and not waiter.done()

        await until(waits, "the connection is idle")

    def close(self) -> None:
        self.writer.close()


def bet(player: Desk, market_id: str, *more: str, line: str = "POST /v1/bets HTTP/1.1") -> bytes:
    body = json.dumps(slip(market_id)).encode()
    head = [
        line,
        "Host: here",
        f"Authorization: Bearer {player.token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(more or (f"Idempotency-Key: {uuid4().hex}",)),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def wallet(player: Desk, path: str = "/v1/wallet") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {player.token}\r\n\r\n"
    ).encode()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that went the short way."""
    paths: list[str] = []
    answer = express.Express.answer

    async def noted(self: Any, endpoint: Any, message: Any, body: bytes) -> bytes:
        paths.append(message.path)
        return await answer(self, endpoint, message, body)

    monkeypatch.setattr(express.Express, "answer", noted)
    return paths


async def test_the_plain_form_goes_the_short_way(desk: Desk, taken: list[str]) -> None:
    player, market_id = await desk.player(), await desk.market()
    wire = await Wire.to(desk)
    for cash in (9_500, 9_000):
        wire.say(bet(player, market_id))
        status, headers, placed = await wire.answer()
        assert (status, placed["cash_after_minor"]) == (201, cash)
        assert headers["content-type"] == "application/json"
        assert headers["cache-control"] == "no-store"
        assert headers["date"].endswith("gmt")
        wire.say(wallet(player))
        assert (await wire.answer())[2]["cash_minor"] == cash
    assert taken == ["/v1/bets", "/v1/wallet"] * 2
    wire.close()


@pytest.mark.parametrize(
    "line",
    [
        "POST /v1/bets?a=b HTTP/1.1",
        "POST /v1/bets? HTTP/1.1",
        "POST http://here/v1/bets HTTP/1.1",
        "POST /v1/%62ets HTTP/1.1",
    ],
)
async def test_other_spellings_get_the_same_answer(
    gateway: Gateway, desk: Desk, taken: list[str], line: str
) -> None:
    player, market_id = await desk.player(), await desk.market()
    wire = await Wire.to(desk)
    wire.say(bet(player, market_id, line=line))
    status, _, placed = await wire.answer()
    assert (status, placed.get("cash_after_minor")) == (201, 9_500), placed
    # A connection that went the usual way goes the short one again, once it is idle.
    await wire.rested(gateway)
    wire.say(wallet(player))
    assert (await wire.answer())[2]["cash_minor"] == 9_500
    assert taken == ["/v1/wallet"]
    wire.close()


@pytest.mark.parametrize(
    "header", ["Connection: close", "Expect: 100-continue", "Content-Encoding: identity"]
)
async def test_requests_with_more_in_them(desk: Desk, header: str) -> None:
    player, market_id = await desk.player(), await desk.market()
    wire = await Wire.to(desk)
    wire.say(bet(player, market_id, f"Idempotency-Key: {uuid4().hex}", header))
    if header.startswith("Expect"):
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await wire.answer())[0] == 201
    if header == "Connection: close":
        assert await wire.ended()
    wire.close()


async def test_chunks_and_old_http(desk: Desk, taken: list[str]) -> None:
    player, market_id = await desk.player(), await desk.market()
    wire = await Wire.to(desk)
    body = json.dumps(slip(market_id)).encode()
    whole = bet(player, market_id)
    head = whole[: -len(body)].replace(
        b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"
    )
    wire.say(head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert (await wire.answer())[0] == 201
    wire.say(bet(player, market_id, line="POST /v1/bets HTTP/1.0"))
    assert (await wire.answer())[0] == 201
    assert await wire.ended()
    assert taken == []
    wire.close()


async def test_requests_in_a_row_are_answered_in_their_order(desk: Desk) -> None:
    """Sent ahead of the answers, of both kinds, in one piece and in many."""
    player, market_id = await desk.player(), await desk.market()
    for size in (100_000, 1_000, 97, 1):
        said = b"".join(
            bet(player, market_id) + wallet(player) + wallet(player, "/v1/me") for _ in range(5)
        )
        wire = await Wire.to(desk)
        for at in range(0, len(said), size):
            wire.say(said[at : at + size])
            if size < 100 and at % 4_000 < size:
                await asyncio.sleep(0)
        for _ in range(5):
            status, _, placed = await wire.answer()
            assert status == 201, placed
            assert (await wire.answer())[2]["cash_minor"] == placed["cash_after_minor"]
            assert (await wire.answer())[2]["player_id"] == player.player_id
        wire.close()


async def test_what_looks_like_a_request_in_a_body_is_none(
    gateway: Gateway, desk: Desk, taken: list[str]
) -> None:
    player, market_id = await desk.player(), await desk.market()
    inner = bet(player, market_id)
    wire = await Wire.to(desk)
    wire.say(
        f"POST /v1/sessions HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(inner)}\r\n\r\n".encode()
    )
    await asyncio.sleep(0.05)
    wire.say(inner)
    assert (await wire.answer())[0] == 415
    await wire.rested(gateway)
    wire.say(wallet(player))
    assert (await wire.answer())[2]["cash_minor"] == 10_000
    assert taken == ["/v1/wallet"]
    wire.close()


async def test_problems(gateway: Gateway, desk: Desk, taken: list[str]) -> None:
    player, market_id = await desk.player(), await desk.market()
    wire = await Wire.to(desk)
    good = bet(player, market_id)
    body = json.dumps(slip(market_id)).encode()
    key = b"Idempotency-Key"
    huge = b'{"more":"%b"}' % (b"x" * MAX_BODY)
    size, huge_size = (b"Content-Length: %d" % len(one) for one in (body, huge))
    cases = [
        (good.replace(b"Bearer ", b"Bearer x"), 401, "unauthenticated"),
        (good.replace(b"Authorization: Bearer", b"X: Y"), 401, "unauthenticated"),
        (good.replace(key, b"X-Key"), 400, "idempotency_key_missing"),
        (good.replace(key, b"Idempotency-Key: 1\r\n" + key), 400, "idempotency_key_invalid"),
        (good.replace(b"application/json", b"text/plain"), 415, "unsupported_media_type"),
        (good.replace(b'"home"', b'"h!me"'), 400, "invalid_request"),
        (good.replace(b"}", b"]"), 400, "malformed_json"),
        (good.replace(size, huge_size).replace(body, huge), 413, "body_too_large"),
        (good.replace(b"25000", b"99000"), 409, "price_changed"),
    ]
    for said, status, code in cases:
        await wire.rested(gateway)
        wire.say(said)
        found, headers, problem = await wire.answer()
        assert (found, problem["code"]) == (status, code), problem
        assert headers["content-type"] == "application/problem+json"
        if status == 401:
            assert headers["www-authenticate"].startswith("bearer")
    good = bet(player, market_id)
    await wire.rested(gateway)
    wire.say(good.replace(b"application/json", b"Application/JSON; charset=utf-8"))
    assert (await wire.answer())[0] == 201
    assert len(taken) >= len(cases)
    wire.close()


async def test_a_client_that_sends_ahead_without_end_is_held_up(
    gateway: Gateway, desk: Desk
) -> None:
    market_id = await desk.market()
    player = await desk.player(100_000_000)
    await desk.status(market_id, "open", in_play=True, bet_delay_ms=2_000)
    wire = await Wire.to(desk)
    wire.say(bet(player, market_id))
    await until(lambda: gateway._boundary.in_flight == 1, "it is on its way")
    requests = 5_000
    connection = wire.at(gateway)
    wire.say(wallet(player) * requests)
    await until(lambda: connection._stopped, "it is held up")
    assert connection._answering is not None
    assert len(connection._waiting) < 10 * express.MAX_WAITING
    assert (await wire.answer())[0] == 201
    for _ in range(requests):
        assert (await wire.answer())[0] == 200
    wire.close()


async def test_who_leaves_gets_the_bet_all_the_same(gateway: Gateway, desk: Desk) -> None:
    player, market_id = await desk.player(), await desk.market()
    await desk.status(market_id, "open", in_play=True, bet_delay_ms=200)
    wire = await Wire.to(desk)
    wire.say(bet(player, market_id))
    await until(lambda: gateway._boundary.in_flight == 1, "it is on its way")
    wire.writer.transport.abort()
    await until(lambda: gateway._boundary.in_flight == 0, "it is done")
    assert await player.cash() == 9_500


async def test_an_idle_connection_is_closed(
    backend: Backend, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.KEEPALIVE_S", 0.3)
    monkeypatch.setattr("gateway.express.LONGEST_S", 4.0)
    gateway = backend.gateway()
    await gateway.start()
    try:
        mine = Desk(desk.http, await gateway.port())
        # At the other gateway: here a connection would be closed between two requests.
        player, market_id = await desk.player(), await desk.market()
        await desk.status(market_id, "open", in_play=True, bet_delay_ms=450)
        silent, busy = await Wire.to(mine), await Wire.to(mine)
        busy.say(bet(player, market_id))
        assert await silent.ended()
        assert (await busy.answer())[0] == 201
        assert await busy.ended()
        silent.close()
        busy.close()
    finally:
        await gateway.drain(1)


async def test_draining_closes_after_the_answer(backend: Backend, desk: Desk) -> None:
    gateway = backend.gateway()
    await gateway.start()
    mine = Desk(desk.http, await gateway.port())
    player, market_id = await mine.player(), await mine.market()
    await mine.status(market_id, "open", in_play=True, bet_delay_ms=300)
    wire, idle = await Wire.to(mine), await Wire.to(mine)
    wire.say(bet(player, market_id))
    await until(lambda: gateway._boundary.in_flight == 1, "it is on its way")
    drained = asyncio.create_task(gateway.drain(PATIENCE_S))
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (201, "close")
    assert await wire.ended()
    assert await idle.ended()
    await drained
    wire.close()
    idle.close()
