"""Several selections of one match under the house's one price, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Answer, Desk
from tests.gateway.test_slips import declare, pays


async def match(desk: Desk, *, told: bool = True) -> dict[str, str]:
    """A fixture with a market of each kind, and what to expect of it."""
    fixture_id = await desk.fixture()
    if told:
        answer = await tell(desk, fixture_id)
        assert answer.status == 200, answer.raw
    return {
        "result": await desk.market(fixture_id, "result"),
        "total": await market(desk, fixture_id, "total_goals", ("over", "under"), 10),
        "both": await market(desk, fixture_id, "both_to_score", ("yes", "no")),
        "whole": await market(desk, fixture_id, "total", ("over", "under"), 12),
        "other": await market(desk, fixture_id, "next_goal", ("home", "away")),
    }


async def tell(desk: Desk, fixture_id: str, home: int = 15_000, **more: Any) -> Answer:
    path = f"/v1/staff/fixtures/{fixture_id}/model"
    return await desk.staff.post(path, {"home": home, "away": 12_000, **more})


async def market(
    desk: Desk, fixture_id: str, kind: str, selections: tuple[str, ...], line: int | None = None
) -> str:
    opened = await desk.staff.post(
        f"/v1/staff/fixtures/{fixture_id}/markets",
        {
            "market_key": kind,
            "name": kind,
            "kind": kind,
            "selections": [{"selection_id": of, "name": of, "odds": 19_000} for of in selections],
            "terms": {} if line is None else {"line_quarters": line},
        },
    )
    market_id: str = opened["market_id"]
    return market_id


def joined(*selections: tuple[str, str], **more: Any) -> dict[str, Any]:
    each = [{"market_id": market, "selection_id": of} for market, of in selections]
    return {**each[0], "joined": each[1:], **more}


def slip(*legs: dict[str, Any], kind: str = "single", stake: int = 1_000) -> dict[str, Any]:
    return {"kind": kind, "legs": list(legs), "stake_minor": stake, "currency": "GBP"}


async def test_quoted_placed_settled_and_settled_again(desk: Desk) -> None:
    on, player = await match(desk), await desk.player()
    leg = joined((on["result"], "home"), (on["total"], "over"), (on["both"], "yes"))
    quote = await player.ask("POST", "/v1/slips/quote", slip(leg))
    (odds,) = quote["odds"]
    # Shorter than the product of the three, 2.5 x 1.9 x 1.9: they hang together.
    assert 40_000 < odds < 90_000
    assert quote["potential_payout_minor"] == odds // 10
    placed = await player.post("/v1/slips", slip(leg | {"odds": odds}), key="it")
    assert placed.status == 201, placed.raw
    assert [(of["leg"], of["joint"]) for of in placed["legs"]] == [(0, odds)] * 3
    again = await player.post("/v1/slips", slip(leg | {"odds": odds}), key="it")
    assert again.json == placed.json
    bet_id = placed["bet_id"]
    await declare(desk, on["result"])
    await over(desk, on["total"], "over")
    await pays(player, bet_id, "open", 0)
    await over(desk, on["both"], "yes", "no")
    await pays(player, bet_id, "won", odds // 10)
    await over(desk, on["both"], "no", "yes")
    await pays(player, bet_id, "lost", 0)
    await declare(desk, on["result"], "void")
    await over(desk, on["both"], "yes", "no")
    # Nobody has a price for what is left of it.
    await pays(player, bet_id, "void", 1_000)
    listed = (await player.get("/v1/bets"))["items"][0]
    assert listed == (await player.get(f"/v1/bets/{bet_id}")).json


async def over(desk: Desk, market: str, won: str, lost: str = "under") -> None:
    answer = await desk.result(market, **{won: "won", lost: "lost"})
    assert answer.status == 200, answer.raw


async def test_with_a_leg_of_another_match(desk: Desk) -> None:
    on, other, player = await match(desk), await desk.market(), await desk.player()
    leg = joined((on["result"], "home"), (on["total"], "over"))
    single = {"market_id": other, "selection_id": "home", "odds": 25_000}
    quote = await player.ask("POST", "/v1/slips/quote", slip(leg, single, kind="double"))
    odds = quote["odds"][0]
    assert quote["odds"] == [odds, 25_000]
    body = slip(leg | {"odds": odds}, single, kind="double")
    placed = await player.post("/v1/slips", body)
    await declare(desk, other)
    await declare(desk, on["result"])
    await over(desk, on["total"], "over")
    await pays(player, placed["bet_id"], "won", odds * 25 // 100)


async def test_the_price_is_the_houses(desk: Desk) -> None:
    on, player = await match(desk), await desk.player()
    leg = joined((on["result"], "home"), (on["total"], "over"))
    (odds,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    for asked in (odds + 1_000, odds - 1_000):
        refused = await player.post("/v1/slips", slip(leg | {"odds": asked}))
        problem = refused.problem(409, "price_changed")
        assert (problem["leg"], problem["odds"]) == (0, odds)
    body = slip(leg | {"odds": odds - 1_000}) | {"accept": "better"}
    better = await player.post("/v1/slips", body)
    assert better["legs"][0]["joint"] == odds
    # More goals are expected of home: it is likelier now.
    await tell(desk, on["result"].partition(":")[0], 20_000)
    refused = await player.post("/v1/slips", slip(leg | {"odds": odds}))
    assert refused.problem(409, "price_changed")["odds"] < odds
    # None of the markets asks for its own price, but each has to be open.
    await desk.status(on["total"], "suspended")
    (now,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    refused = await player.post("/v1/slips", slip(leg | {"odds": now}))
    refused.problem(409, "market_suspended")
    exposure = await desk.staff.get(f"/v1/staff/markets/{on['result']}/exposure")
    assert exposure["holds"] == 0


async def test_what_the_model_does_not_know_stays_correlated(desk: Desk) -> None:
    on, player = await match(desk), await desk.player()
    untold = await match(desk, told=False)
    for legs in (
        joined((on["result"], "home"), (on["other"], "home")),
        joined((on["result"], "home"), (on["whole"], "over")),
        joined((on["result"], "home"), (on["result"], "draw")),
        joined((untold["result"], "home"), (untold["total"], "over")),
    ):
        quoted = await player.ask("POST", "/v1/slips/quote", slip(legs))
        quoted.problem(409, "correlated_legs")
        placed = await player.post("/v1/slips", slip(legs | {"odds": 50_000}))
        placed.problem(409, "correlated_legs")
    elsewhere = joined((on["result"], "home"), (untold["total"], "over"), odds=50_000)
    (await player.post("/v1/slips", slip(elsewhere))).problem(400, "invalid_request")
    unpriced = joined((on["result"], "home"), (on["total"], "over"))
    (await player.post("/v1/slips", slip(unpriced))).problem(400, "invalid_request")
    assert await player.cash() == 10_000


async def test_what_happens_takes_the_price_away(desk: Desk) -> None:
    on, player = await match(desk), await desk.player()
    fixture_id = on["result"].partition(":")[0]
    leg = joined((on["result"], "home"), (on["total"], "over"))
    path = f"/v1/staff/fixtures/{fixture_id}/phase"
    await desk.staff.post(path, {"phase": "in_play", "score": "0-0"})
    no = await player.ask("POST", "/v1/slips/quote", slip(leg))
    no.problem(409, "correlated_legs")
    await tell(desk, fixture_id, minute=20)
    (before,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    await desk.staff.post(path, {"phase": "in_play", "score": "1-0"})
    await tell(desk, fixture_id, minute=20, home_goals=1)
    (after,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    assert after < before
    await desk.staff.post(path, {"phase": "ended", "score": "1-0"})
    (await tell(desk, fixture_id)).problem(409, "wrong_status")


async def test_in_play_the_price_is_looked_at_again(desk: Desk) -> None:
    on, player = await match(desk), await desk.player()
    fixture_id = on["result"].partition(":")[0]
    path = f"/v1/staff/fixtures/{fixture_id}/phase"
    await desk.staff.post(path, {"phase": "in_play", "score": "0-0"})
    for name in ("result", "total"):
        await desk.status(on[name], "open", in_play=True, bet_delay_ms=1_000)
    await tell(desk, fixture_id)
    leg = joined((on["result"], "home"), (on["total"], "over"))
    (odds,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    body = slip(leg | {"odds": odds})
    placed = await player.post("/v1/slips", body)
    assert placed["legs"][0]["joint"] == odds

    async def holds() -> list[int]:
        books = [await desk.staff.get(f"/v1/staff/markets/{on[of]}/exposure") for of in on]
        return [book["holds"] for book in books]

    async def held() -> bool:
        return sum(await holds()) == 2

    waiting = asyncio.ensure_future(player.post("/v1/slips", body))
    await until(held, "both markets hold it")
    await tell(desk, fixture_id, 20_000)
    problem = (await waiting).problem(409, "price_changed")
    assert problem["odds"] < odds
    assert sum(await holds()) == 0


async def test_bought_back_at_the_joint_price_of_now(desk: Desk, backend: Backend) -> None:
    on, player = await match(desk), await desk.player()
    leg = joined((on["result"], "home"), (on["total"], "over"))
    (odds,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    placed = await player.post("/v1/slips", slip(leg | {"odds": odds}))
    path = f"/v1/bets/{placed['bet_id']}/cash-out"
    assert (await player.get(path))["amount_minor"] == 950
    await tell(desk, on["result"].partition(":")[0], 20_000)
    (now,) = (await player.ask("POST", "/v1/slips/quote", slip(leg)))["odds"]
    offer = await player.get(path)
    assert offer["amount_minor"] == 950 * odds // now
    taken = await player.post(path, {"offer": offer["offer"]})
    assert (taken["amount_minor"], taken["state"]) == (offer["amount_minor"], "cashed_out")
    for scope in ("gb", "book"):
        reads = backend.reads[scope]

        async def caught_up(reads: Any = reads) -> bool:
            return bool(await reads.heads() == await reads.positions())

        await until(caught_up, "the ledger has everything")
        report = await verify(backend.pools[scope], scope)
        assert report.ok, report
