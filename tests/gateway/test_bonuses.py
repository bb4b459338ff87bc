"""Bonuses over HTTP: given and withdrawn by staff, seen and used once by their player."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from actors.runtime.clock import now_ms
from gateway import api
from tests.gateway.desk import Answer, Desk
from tests.gateway.test_slips import asked, declare, markets, pays
from tests.gateway.trading import member

TOMORROW = api.time_text(now_ms() + 24 * 3_600_000)


def bonus(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "free_stake",
        "amount_minor": 500,
        "currency": "GBP",
        "expires_at": TOMORROW,
        "reason": "a welcome",
        **changes,
    }


async def give(by: Desk, player: Desk, key: str | None = None, **changes: Any) -> Answer:
    path = f"/v1/desk/players/{player.player_id}/bonuses"
    return await by.post(path, bonus(**changes), key)


async def test_only_staff_give_and_only_the_player_uses(desk: Desk) -> None:
    player, other, on = await desk.player(), await desk.player(), await markets(desk, 2)
    (await give(player, player)).problem(401, "unauthenticated")
    (await give(await member(desk, "trader"), player)).problem(403, "forbidden")
    head = await member(desk, "head_trader")
    key = uuid4().hex
    given = await give(head, player, key)
    assert given.status == 201, given.raw
    assert (await give(head, player, key)).json == given.json
    (await give(head, player, key, amount_minor=501)).problem(422, "idempotency_key_reused")
    held = await player.get("/v1/bonuses")
    assert held["items"] == [given.json]
    slip = asked("double", on, 500, bonus_id=given["bonus_id"])
    (await other.post("/v1/slips", slip)).problem(404, "unknown_bonus")
    (await other.ask("POST", "/v1/slips/quote", slip)).problem(404, "unknown_bonus")
    quote = await player.ask("POST", "/v1/slips/quote", slip)
    assert quote["potential_payout_minor"] == 2_625  # 5.00 at 6.25, without the stake
    for field in ("free_stake", "boosted_odds", "boost_cap_minor"):
        wrong = await player.post("/v1/slips", asked("double", on, 500) | {field: 1})
        wrong.problem(400, "invalid_request")
    placed = await player.post("/v1/slips", slip, key="it")
    assert (placed["free_stake"], placed["cash_after_minor"]) == (True, 10_000)
    assert (await player.post("/v1/slips", slip, key="it")).json == placed.json
    (await player.post("/v1/slips", slip)).problem(404, "unknown_bonus")
    for market in on:
        await declare(desk, market)
    await pays(player, placed["bet_id"], "won", 2_625)
    assert await player.cash() == 12_625


async def test_a_boost_is_at_the_price_that_is_got(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    boost = await give(desk.staff, player, kind="boost", boost=2_000, amount_minor=10_000)
    slip = asked("double", on, 500, bonus_id=boost["bonus_id"], accept="any")
    quote = await player.ask("POST", "/v1/slips/quote", slip)
    assert quote["boosted_odds"] == 73_000  # 1 + 5.25 x 1.2
    await desk.prices(on[0], home=20_000)
    placed = await player.post("/v1/slips", slip)
    assert placed["boosted_odds"] == 58_000  # 1 + 4 x 1.2
    assert placed["potential_payout_minor"] == 2_900
    other = await give(desk.staff, player, kind="boost", boost=2_000)
    three = asked("trixie", [*on, *await markets(desk, 1)], 400, bonus_id=other["bonus_id"])
    (await player.post("/v1/slips", three | {"accept": "any"})).problem(409, "boost_unavailable")
    exposure = await desk.staff.get(f"/v1/staff/markets/{on[1]}/exposure")
    assert exposure["holds"] == 0


async def test_what_is_withdrawn_or_too_much(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    given = await give(desk.staff, player)
    rich = asked("double", on, 501, bonus_id=given["bonus_id"])
    refused = (await player.post("/v1/slips", rich)).problem(409, "stake_above_limit")
    assert refused["max_stake_minor"] == 500
    path = f"/v1/desk/players/{player.player_id}/bonuses/{given['bonus_id']}/withdraw"
    reason = {"reason": "given to the wrong player"}
    assert (await desk.staff.post(path, reason)).status == 204
    (await desk.staff.post(path, reason)).problem(404, "unknown_bonus")
    assert (await player.get("/v1/bonuses"))["items"] == []
    (await give(desk.staff, player, boost=100)).problem(409, "out_of_bounds")
    (await give(desk.staff, player, currency="EUR")).problem(409, "currency_mismatch")
    late = api.time_text(now_ms() - 1)
    (await give(desk.staff, player, expires_at=late)).problem(409, "out_of_bounds")
    nobody = player.with_token("")
    nobody.player_id = "nobody"
    (await give(desk.staff, nobody)).problem(404, "unknown_player")
