"""A player's whole day on the real stack: over HTTP, and over the WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from tests.integration.house import House, bet_body, eventually, payment
from tests.patience import PATIENCE_S


async def test_day_over_http(house: House) -> None:
    player = await house.player()
    assert (await player.wallet())["cash_minor"] == 0

    deposited = await player.deposit(10_000)
    assert deposited["state"] == "completed"
    declined = payment(5_000, "bogus-declined")
    status, problem = await house.ask("POST", "/v1/wallet/deposits", declined, token=player.token)
    assert (status, problem["code"]) == (409, "payment_declined")
    assert (await player.wallet())["cash_minor"] == 10_000

    fixture_id, market_id = await house.market()
    board = await house.want(200, "GET", f"/v1/fixtures/{fixture_id}")
    assert board["markets"][0]["selections"][0]["odds"] == 20_000

    status, bet = await player.bet(market_id, stake_minor=4_000)
    assert (status, bet["state"]) == (201, "open")
    assert bet["potential_payout_minor"] == 8_000
    wallet = await player.wallet()
    assert (wallet["cash_minor"], wallet["held_minor"]) == (6_000, 4_000)

    status, problem = await player.bet(market_id, stake_minor=7_000)
    assert (status, problem["code"]) == (409, "insufficient_funds")

    # The price moves; what was shown is no longer to be had, and the player is told what is.
    await house.want(
        200,
        "POST",
        f"/v1/staff/markets/{market_id}/prices",
        {"odds": {"home": 18_000}},
        staff=True,
    )
    status, problem = await player.bet(market_id, stake_minor=1_000)
    assert (status, problem["code"], problem["odds"]) == (409, "price_changed", 18_000)
    status, second = await player.bet(market_id, stake_minor=1_000, accept="any")
    assert (status, second["legs"][0]["odds"]) == (201, 18_000)

    await house.result(market_id, home="won", draw="lost", away="lost")

    async def all_settled() -> Any:
        return len(await player.bets("?state=settled&limit=200")) == 2

    await eventually(all_settled, "both bets are settled")
    wallet = await player.wallet()
    assert (wallet["cash_minor"], wallet["held_minor"]) == (5_000 + 8_000 + 1_800, 0)

    # The result is corrected: what was paid is taken back.
    await house.result(market_id, home="lost", draw="won", away="lost")

    async def all_lost() -> Any:
        return [bet["state"] for bet in await player.bets()] == ["lost", "lost"]

    await eventually(all_lost, "both bets are settled again")
    assert (await player.wallet())["cash_minor"] == 5_000

    withdrawn = await house.want(
        201, "POST", "/v1/wallet/withdrawals", payment(3_000), token=player.token
    )
    assert withdrawn["state"] == "completed"
    wallet = await player.wallet()
    assert (wallet["cash_minor"], wallet["withdrawing_minor"]) == (2_000, 0)

    statement = await house.want(200, "GET", "/v1/wallet/statement", token=player.token)
    entries = statement["items"]
    assert entries[0]["balance_after_minor"] == 2_000
    assert sum(entry["amount_minor"] for entry in entries) == 2_000

    await house.want(204, "DELETE", "/v1/sessions/current", token=player.token)

    async def logged_out() -> Any:
        return (await house.ask("GET", "/v1/wallet", token=player.token))[0] == 401

    await eventually(logged_out, "the token is no longer good")


async def test_day_over_websocket(house: House) -> None:
    player = await house.player(10_000)
    fixture_id, market_id = await house.market()
    async with house.http.ws_connect(
        f"{house.base_url}/v1/stream", protocols=["grandstand.v1"]
    ) as socket:
        stream = Stream(socket)
        await stream.send({"type": "login", "id": 1, "token": player.token})
        await stream.until(lambda frame: frame["type"] == "ok" and frame["id"] == 1)
        await stream.send({"type": "subscribe", "id": 2, "fixtures": [fixture_id]})
        snapshot = await stream.until(lambda frame: frame["type"] == "snapshot")
        seq = snapshot["fixture"]["seq"]

        await house.want(
            200,
            "POST",
            f"/v1/staff/markets/{market_id}/prices",
            {"odds": {"home": 21_000}},
            staff=True,
        )
        prices = await stream.until(lambda frame: frame["type"] == "prices")
        assert (prices["seq"], prices["odds"]) == (seq + 1, {"home": 21_000})

        bet = bet_body(market_id, stake_minor=1_000, odds=21_000)
        await stream.send({"type": "bet", "id": 3, "key": "over-the-socket", "bet": bet})
        placed = await stream.until(lambda frame: frame.get("id") == 3)
        assert (placed["type"], placed["status"]) == ("bet", 201)
        # The same key over HTTP is the same bet.
        status, again = await house.ask(
            "POST", "/v1/bets", bet, token=player.token, key="over-the-socket"
        )
        assert (status, again["bet_id"]) == (201, placed["bet"]["bet_id"])
        balance = await stream.until(
            lambda frame: frame["type"] == "balance" and frame["wallet"]["held_minor"] == 1_000
        )
        assert balance["wallet"]["cash_minor"] == 9_000

        await house.result(market_id, home="won", draw="lost", away="lost")
        won = await stream.until(
            lambda frame: frame["type"] == "bet_update" and frame["bet"]["state"] == "won"
        )
        assert won["bet"]["payout_minor"] == 2_100
        await stream.until(
            lambda frame: frame["type"] == "balance" and frame["wallet"]["cash_minor"] == 11_100
        )


class Stream:
    """A socket that remembers what it has seen, so that no order of frames is assumed."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen: list[Any] = []

    async def send(self, frame: Any) -> None:
        await self.socket.send_json(frame)

    async def until(self, wanted: Any) -> Any:
        """The first frame, of those seen and those to come, that is wanted."""
        for frame in self.seen:
            if wanted(frame):
                self.seen.remove(frame)
                return frame
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame = await self.socket.receive_json()
                if wanted(frame):
                    return frame
                self.seen.append(frame)
