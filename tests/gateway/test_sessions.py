"""Sessions as one gateway sees them: what it believes, for how long, and when it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.exceptions

from gateway.app import Gateway
from gateway.problems import Problem
from gateway.sessions import CACHE_MS, REFRESH_MS, Session, Sessions
from tests.gateway.backend import Ahead, Backend, until


@pytest.fixture
async def clock() -> Ahead:
    return Ahead()


@pytest.fixture
async def gateway(backend: Backend, clock: Ahead) -> AsyncIterator[Gateway]:
    gateway = backend.gateway(clock=clock)
    await gateway.start()
    yield gateway
    await gateway.drain(1)


@pytest.fixture
def asked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sessions were read, in each round trip."""
    sizes: list[int] = []
    script = gateway.services.sessions._script

    async def counted(keys: list[str], args: list[Any]) -> Any:
        sizes.append(len(keys))
        return await script(keys=keys, args=args)

    monkeypatch.setattr(gateway.services.sessions, "_script", counted)
    return sizes


async def test_many_at_once_are_one_round_trip(gateway: Gateway, asked: list[int]) -> None:
    sessions = gateway.services.sessions
    tokens = [(await sessions.create(f"p{number}"))[0] for number in range(100)]
    assert sessions.known(tokens[0]) is None
    found = await asyncio.gather(*(sessions.find(token) for token in tokens * 3))
    assert [one.player_id for one in found] == [f"p{number}" for number in range(100)] * 3
    assert asked == [100]
    known = sessions.known(tokens[7])
    assert known is not None
    assert known.player_id == "p7"
    with pytest.raises(Problem):
        await sessions.find("made up")


async def test_a_busy_player_does_not_wait(
    gateway: Gateway, clock: Ahead, asked: list[int]
) -> None:
    sessions = gateway.services.sessions
    token, _ = await sessions.create("ann")
    first = await sessions.find(token)
    clock.ahead_ms = REFRESH_MS // 2
    assert sessions.known(token) is first
    await asyncio.sleep(0.02)
    assert asked == [1]
    clock.ahead_ms = REFRESH_MS + 100
    for _ in range(3):
        assert sessions.known(token) is first  # asked for again, once, without waiting

    def is_new() -> bool:
        return sessions.known(token) is not first

    await until(is_new, "the answer came")
    assert asked == [1, 1]
    renewed = sessions.known(token)
    assert renewed is not None
    assert renewed.expires_at_ms >= first.expires_at_ms + REFRESH_MS
    clock.ahead_ms += CACHE_MS
    assert sessions.known(token) is None


async def test_an_answer_on_its_way_does_not_bring_an_ended_session_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = gateway.services.sessions
    token, _ = await sessions.create("ann")
    digest = (await sessions.find(token)).digest
    script, held = sessions._script, asyncio.Event()

    async def late(keys: list[str], args: list[Any]) -> Any:
        said = await script(keys=keys, args=args)
        await held.wait()
        return said

    monkeypatch.setattr(sessions, "_script", late)
    sessions._cache.clear()
    finding = asyncio.create_task(sessions.find(token))
    await asyncio.sleep(0.05)
    await sessions.end(digest)
    held.set()
    with pytest.raises(Problem):
        await finding
    assert sessions.known(token) is None


async def test_without_valkey_nobody_new_is_let_in(
    gateway: Gateway, clock: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: Sessions = gateway.services.sessions
    token, _ = await sessions.create("ann")
    await sessions.find(token)

    async def gone(**_: Any) -> Any:
        raise redis.exceptions.ConnectionError("gone")

    monkeypatch.setattr(sessions, "_script", gone)
    clock.ahead_ms = REFRESH_MS + 1
    assert isinstance(sessions.known(token), Session)
    await asyncio.sleep(0.02)
    assert isinstance(sessions.known(token), Session)
    clock.ahead_ms = CACHE_MS + 1
    with pytest.raises(redis.exceptions.ConnectionError):
        await sessions.find(token)
    monkeypatch.undo()
    assert (await sessions.find(token)).player_id == "ann"
