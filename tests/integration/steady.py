"""Bets without a pause and without a second attempt: whatever is not a 201 is remembered."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any
from uuid import uuid4

import aiohttp

from tests.integration.house import House, Player, bet_body, eventually

STAKE = 100


class Steady:
    """Players who bet on some markets for as long as the block runs.

    async with Steady(house, players, market_ids) as steady:
        ...
    assert steady.failures == []
    """

    def __init__(self, house: House, players: list[Player], market_ids: list[str]) -> None:
        self.house = house
        self.players = players
        self.market_ids = market_ids
        self.placed: dict[str, list[str]] = {player.player_id: [] for player in players}
        self.failures: list[tuple[int, Any]] = []
        self.delays_s: list[float] = []
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Steady:
        self._tasks = [asyncio.ensure_future(self._play(player)) for player in self.players]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _failure: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    @property
    def count(self) -> int:
        return sum(map(len, self.placed.values()))

    async def some_more(self, bets: int = 30) -> None:
        """Until that many more are placed."""
        enough = self.count + bets

        async def placed() -> bool:
            return self.count >= enough

        await eventually(placed, f"{bets} more bets are placed")

    async def _play(self, player: Player) -> None:
        loop = asyncio.get_running_loop()
        turn = 0
        while not self._over:
            market_id = self.market_ids[turn % len(self.market_ids)]
            turn += 1
            headers = {"Authorization": f"Bearer {player.token}", "Idempotency-Key": uuid4().hex}
            began = loop.time()
            try:
                async with self.house.http.post(
                    self.house.base_url + "/v1/bets",
                    json=bet_body(market_id, stake_minor=STAKE),
                    headers=headers,
                ) as response:
                    answer = await response.json(content_type=None)
                    if response.status == 201:
                        self.placed[player.player_id].append(answer["bet_id"])
                    else:
                        self.failures.append((response.status, answer))
            except aiohttp.ClientError as failure:
                self.failures.append((0, str(failure)))
            self.delays_s.append(loop.time() - began)

    async def check(self) -> None:
        """Every bet that was answered is there, once, and nothing else is."""
        for player in self.players:
            await player.caught_up()
            there = [bet["bet_id"] for bet in await player.bets()]
            assert sorted(there) == sorted(self.placed[player.player_id])
