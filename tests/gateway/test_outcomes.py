"""Results bit by bit and taken back, and bets void by when they were made, over HTTP."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from actors.bet import PriceChange
from actors.holds import Held, HoldStake, ReleaseHold
from ledger.money import Money
from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Answer, Desk, slip
from tests.gateway.test_coordinator import view
from tests.gateway.test_slips import asked, pays
from tests.gateway.test_terms import PRICES, race, single
from tests.gateway.trading import member


async def change(desk: Desk, market: str, path: str, body: Any = None, **more: Any) -> Answer:
    return await desk.staff.post(f"/v1/staff/markets/{market}/{path}", body or {}, **more)


async def decide(desk: Desk, market: str, **outcomes: str) -> Answer:
    results = {of: {"outcome": outcome} for of, outcome in outcomes.items()}
    return await change(desk, market, "result/selections", {"results": results})


async def bet(player: Desk, market: str, of: str = "home", odds: int = 25_000) -> str:
    answer = await player.post("/v1/bets", slip(market, selection_id=of, odds=odds))
    bet_id: str = answer["bet_id"]
    return bet_id


async def shown(desk: Desk, market: str) -> dict[str, Any]:
    """Status, results and liability, once every bet is settled by them."""
    fixture = (await desk.get(f"/v1/fixtures/{market.rpartition(':')[0]}")).json
    (found,) = [one for one in fixture["markets"] if one["market_id"] == market]
    results = {one["selection_id"]: one.get("result") for one in found["selections"]}
    return {"status": found["status"], **{of: r and r["outcome"] for of, r in results.items()}}


async def liability(desk: Desk, market: str, **expected: int) -> None:
    async def there() -> bool:
        book = (await desk.staff.get(f"/v1/staff/markets/{market}/exposure")).json
        lines = {of: line["liability_minor"] for of, line in book["selections"].items()}
        return bool(book["known"]) and {of: n for of, n in lines.items() if n} == expected

    await until(there, f"{market} can lose {expected}")


async def settled(backend: Backend, market: str) -> None:
    """Every bet is told of every version."""

    async def done() -> bool:
        found = await view(backend, market)
        return found.settled_version == found.result_version

    await until(done, f"{market} is settled")


async def test_some_selections_are_decided_and_then_none(desk: Desk) -> None:
    market, player = await desk.market(), await desk.player()
    on_home, on_away = await bet(player, market), await bet(player, market, "away", 29_000)
    told = await decide(desk, market, home="won")
    assert (told["version"], told["cancelled"]) == (1, False)
    assert told["results"] == {"home": {"outcome": "won", "tied": 1, "places": 1}}
    await pays(player, on_home, "won", 1_250)
    assert (await player.get(f"/v1/bets/{on_away}"))["state"] == "open"
    assert await shown(desk, market) == {
        "status": "closed",
        "home": "won",
        "draw": None,
        "away": None,
    }
    await liability(desk, market, away=950)
    (await player.post("/v1/bets", slip(market))).problem(409, "market_closed")
    (await decide(desk, market, home="won")).problem(409, "wrong_status")

    # The winnings are spent, and the result is taken back: what is gone is owed.
    assert (
        await player.post(
            "/v1/wallet/withdrawals",
            {
                "amount_minor": 10_250,
                "currency": "GBP",
                "processor": "bogus",
                "method": "bogus-approved",
            },
        )
    ).status == 201
    undone = await change(desk, market, "result/rollback", key="undo")
    assert (undone["version"], undone["undecided"], undone["results"]) == (2, ["home"], {})
    assert (await change(desk, market, "result/rollback", key="undo")).json == undone.json
    (await change(desk, market, "result/rollback")).problem(409, "wrong_status")
    await pays(player, on_home, "open", 0)
    wallet = (await player.get("/v1/wallet")).json
    assert (wallet["cash_minor"], wallet["held_minor"], wallet["debt_minor"]) == (0, 1_000, 1_250)
    statement = (await player.get("/v1/wallet/statement"))["items"]
    assert {entry["kind"] for entry in statement} >= {"payout", "stake", "withdrawal"}
    assert await shown(desk, market) == {
        "status": "suspended",
        "home": None,
        "draw": None,
        "away": None,
    }
    await liability(desk, market, home=750, away=950)

    # It opens again, and is decided otherwise: the debt is paid first.
    assert (await desk.status(market, "open")).status == 200
    other = await desk.player()
    late = await bet(other, market)
    await desk.result(market, home="lost", draw="lost", away="won")
    await pays(player, on_home, "lost", 0)
    await pays(player, on_away, "won", 1_450)
    await pays(other, late, "lost", 0)
    wallet = (await player.get("/v1/wallet")).json
    assert (wallet["cash_minor"], wallet["held_minor"], wallet["debt_minor"]) == (200, 0, 0)


async def test_a_cancellation_is_taken_back(desk: Desk) -> None:
    market, player = await desk.market(), await desk.player()
    placed = await bet(player, market)
    assert (await change(desk, market, "withdrawals", {"selection_id": "draw"})).status == 200
    assert (await change(desk, market, "cancel")).status == 200
    await pays(player, placed, "void", 500)
    (await decide(desk, market, home="won")).problem(409, "wrong_status")
    undone = await change(desk, market, "result/rollback")
    assert sorted(undone["undecided"]) == ["away", "home"]
    await pays(player, placed, "open", 0)
    assert (await shown(desk, market))["draw"] == "void"
    await desk.result(market, home="won", away="lost")
    await pays(player, placed, "won", 1_250)


async def test_bets_of_a_time_are_void_and_others_are_not(desk: Desk) -> None:
    market, player = await desk.market(), await desk.player()
    before = await bet(player, market)
    until_ = (await player.get(f"/v1/bets/{before}"))["placed_at"]
    placed = of_ms(until_)
    after = await bet(player, market)
    assert of_ms((await player.get(f"/v1/bets/{after}"))["placed_at"]) > placed
    body = {"until": until_}
    voided = await change(desk, market, "voids", body, key="void")
    assert voided["version"] == 1
    assert (await change(desk, market, "voids", body, key="void")).json == voided.json
    (await change(desk, market, "voids", body)).problem(409, "wrong_status")
    await pays(player, before, "void", 500)
    assert (await player.get(f"/v1/bets/{after}"))["state"] == "open"
    await liability(desk, market, home=750)
    assert (await shown(desk, market))["status"] == "open"

    # It stays so with a result, until it is undone.
    await desk.result(market, home="won", draw="lost", away="lost")
    await pays(player, after, "won", 1_250)
    await pays(player, before, "void", 500)
    assert (await change(desk, market, "voids/rollback", body)).status == 200
    await pays(player, before, "won", 1_250)
    (await change(desk, market, "voids/rollback", body)).problem(409, "wrong_status")
    statement = [entry["kind"] for entry in (await player.get("/v1/wallet/statement"))["items"]]
    # Who was right all the time sees nothing of it.
    assert (statement.count("payout"), statement.count("reversal")) == (3, 1)
    assert await player.cash() == 10_000 + 2 * 750


async def test_a_slip_that_a_version_leaves_open_can_still_be_bought_back(
    desk: Desk, backend: Backend
) -> None:
    markets = [await desk.market(), await desk.market()]
    player = await desk.player()
    placed = (await player.post("/v1/slips", asked("double", markets, 400)))["bet_id"]
    path = f"/v1/bets/{placed}/cash-out"
    offered = (await player.get(path))["amount_minor"]
    assert (
        await change(desk, markets[0], "voids", {"until": "2020-01-01T00:00:00Z"})
    ).status == 200
    await settled(backend, markets[0])
    assert (await player.get(path))["amount_minor"] == offered
    assert (await desk.result(markets[1], home="won", draw="lost", away="lost")).status == 200
    await settled(backend, markets[1])
    assert (await change(desk, markets[1], "result/rollback")).status == 200
    await settled(backend, markets[1])
    assert (await desk.status(markets[1], "open")).status == 200
    assert (await player.get(path))["amount_minor"] == offered


async def test_a_slip_whose_leg_is_being_corrected_is_not_bought_back(
    desk: Desk, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be paid as if the leg had won that it still knows as won."""
    markets = [await desk.market(), await desk.market()]
    player = await desk.player()
    placed = (await player.post("/v1/slips", asked("double", markets, 400)))["bet_id"]
    path = f"/v1/bets/{placed}/cash-out"
    assert (await desk.result(markets[0], home="won", draw="lost", away="lost")).status == 200
    await settled(backend, markets[0])
    assert (await player.get(path))["amount_minor"] > 400

    async def nothing() -> list[Any]:
        return []

    with monkeypatch.context() as still:  # the settlement stands still
        still.setattr(backend.cluster, "unsettled", nothing)
        assert (await desk.result(markets[0], home="lost", draw="won", away="lost")).status == 200
        (await player.get(path)).problem(409, "cash_out_suspended")
    await pays(player, placed, "lost", 0)


async def test_what_is_void_is_not_bought_back_before_it_knows(
    desk: Desk, backend: Backend
) -> None:
    """A bet at a wrong price is worth the more: its player must not be quicker than we are."""
    market, player = await desk.market(), await desk.player()
    fixture_id, router = market.rpartition(":")[0], backend.cluster.router
    placed = await bet(player, market)
    path = f"/v1/bets/{placed}/cash-out"
    assert (await player.get(path)).status == 200
    # A bet that is on its way holds up the settlement.
    money = Money(100, "GBP")
    hold = HoldStake(fixture_id, market, "home", "b", "gb", "p", money, 25_000, PriceChange.NONE)
    assert isinstance((await router.ask("book", fixture_id, hold)).reply, Held)
    body = {"until": (await player.get(f"/v1/bets/{placed}"))["placed_at"]}
    assert (await change(desk, market, "voids", body)).status == 200
    assert (await shown(desk, market))["status"] == "open"
    (await player.get(path)).problem(409, "cash_out_suspended")
    router.tell("book", fixture_id, ReleaseHold(market, "b"))
    await pays(player, placed, "void", 500)


async def test_bets_that_would_be_void_are_not_taken(desk: Desk) -> None:
    market, player = await desk.market(), await desk.player()
    body = {"from": "2020-01-01T00:00:00Z"}
    placed = await bet(player, market)
    assert (await change(desk, market, "voids", body)).status == 200
    await pays(player, placed, "void", 500)
    assert (await shown(desk, market))["status"] == "suspended"
    assert (await desk.status(market, "open"))["status"] == "suspended"
    (await player.post("/v1/bets", slip(market))).problem(409, "market_suspended")
    assert (await change(desk, market, "voids/rollback", body)).status == 200
    assert (await shown(desk, market))["status"] == "open"
    await pays(player, placed, "open", 0)
    await liability(desk, market, home=750)
    await bet(player, market)


async def test_times_that_are_none_are_refused(desk: Desk) -> None:
    market = await desk.market()
    for body, status, code in (
        ({}, 400, "out_of_bounds"),
        (
            {"from": "2021-01-01T00:00:00Z", "until": "2020-01-01T00:00:00Z"},
            400,
            "out_of_bounds",
        ),
        ({"from": "2199-01-01T00:00:00Z"}, 400, "out_of_bounds"),
        ({"from": "yesterday"}, 400, "invalid_request"),
        ({"from": "2020-01-01T00:00:00"}, 400, "invalid_request"),
    ):
        answer = await change(desk, market, "voids", body)
        assert answer.status in (status, 409, 422), (body, answer.raw)
        answer.problem(answer.status, code)
    for path in ("result/rollback", "voids", "selections", "result/selections"):
        sent: Any = {
            "voids": {"until": "2020-01-01T00:00:00Z"},
            "selections": {"selection_id": "x", "name": "X"},
            "result/selections": {"results": {"x": {"outcome": "won"}}},
        }.get(path, {})
        (await change(desk, "no:market", path, sent)).problem(404, "unknown_market")
    told = await decide(desk, market, nobody="won")
    told.problem(404, "unknown_selection")
    positions = {"results": {"home": {"position": 1}}}
    (await change(desk, market, "result/selections", positions)).problem(400, "invalid_request")


async def test_a_selection_joins_late(desk: Desk) -> None:
    market, player = await desk.market(), await desk.player()
    socket = await desk.stream()
    await socket.ask("subscribe", fixtures=[market.rpartition(":")[0]])
    await socket.next("snapshot")
    body = {"selection_id": "nobody", "name": "No goal"}
    assert (await change(desk, market, "selections", body)).status == 201
    (await change(desk, market, "selections", body)).problem(409, "already_exists")
    frame = await socket.next()
    assert (frame["type"], frame["selection"]["name"]) == ("selection", "No goal")
    refused = slip(market, selection_id="nobody", odds=20_000)
    (await player.post("/v1/bets", refused)).problem(409, "selection_unavailable")
    await desk.prices(market, nobody=20_000)
    assert (await socket.next())["odds"] == {"nobody": 20_000}
    placed = await bet(player, market, "nobody", 20_000)
    (await desk.result(market, home="won", draw="lost", away="lost")).problem(
        409, "incomplete_result"
    )
    await decide(desk, market, nobody="won")
    assert list((await socket.next("result"))["results"]) == ["nobody"]
    await pays(player, placed, "won", 1_000)
    assert (await change(desk, market, "result/rollback")).status == 200
    frame = await socket.next("result")
    assert (frame["undecided"], frame["status"]) == (["nobody"], "suspended")
    await pays(player, placed, "open", 0)
    await socket.close()


async def test_slips_and_terms_are_undone_and_done_again(desk: Desk, backend: Backend) -> None:
    """Each-way, at the starting price, less by Rule 4, and in a double."""
    each_way = {"places": 3, "divisor": 4}
    market = await race(desk, each_way=each_way, starting_price=True, rule_4={})
    other, player = await desk.market(), await desk.player()
    on_b = await single(player, market, "b")

    async def placed(kind: str, stake: int, *legs: dict[str, Any], **more: Any) -> str:
        body = {"kind": kind, "legs": legs, "stake_minor": stake, "currency": "GBP", **more}
        bet_id: str = (await player.post("/v1/slips", body))["bet_id"]
        return bet_id

    on_a = {"market_id": market, "selection_id": "a", "odds": PRICES["a"]}
    on_home = {"market_id": other, "selection_id": "home", "odds": 25_000}
    both_ways = await placed("single", 2_000, on_a, each_way=True)
    at_start = await placed("single", 500, {"market_id": market, "selection_id": "c", "sp": True})
    double = await placed("double", 1_000, on_a, on_home)
    assert (await change(desk, market, "withdrawals", {"selection_id": "d"})).status == 200
    assert (await desk.result(other, home="won", draw="lost", away="lost")).status == 200
    result: dict[str, dict[str, Any]] = {
        of: {"outcome": "lost", "place": {"outcome": "won"}, "starting_odds": 50_000}
        for of in "abce"
    }
    result["a"]["outcome"] = "won"

    async def finish() -> None:
        assert (await change(desk, market, "result", {"results": result})).status == 200
        # 8.0 less 20p in the pound of the winnings is 6.6, and 2.4 on the place.
        await pays(player, both_ways, "won", 6_600 + 2_400)
        await pays(player, double, "won", 16_500)
        await pays(player, at_start, "lost", 0)
        await pays(player, on_b, "lost", 0)

    await finish()
    cash = await player.cash()
    undone = await change(desk, market, "result/rollback")
    assert sorted(undone["undecided"]) == ["a", "b", "c", "e"]
    for bet_id in (both_ways, at_start, double, on_b):
        await pays(player, bet_id, "open", 0)
    stands = (await player.get(f"/v1/bets/{double}"))["legs"]
    assert [leg.get("outcome") for leg in stands] == [None, "won"]
    assert (await shown(desk, market))["d"] == "void"
    # Lost, it leaves the place; without what the terms want it is no result.
    some = {"a": result["a"] | {"outcome": "lost"}}
    assert (await change(desk, market, "result/selections", {"results": some})).status == 200
    await pays(player, double, "lost", 0)
    await pays(player, both_ways, "partly_won", 2_400)
    for missing in ("place", "starting_odds"):
        some = {"b": {name: said for name, said in result["b"].items() if name != missing}}
        answer = await change(desk, market, "result/selections", {"results": some})
        assert answer.problem(409, "incomplete_result")["selection_id"] == "b"
    await finish()
    assert await player.cash() == cash

    async def caught_up() -> bool:
        for reads in backend.reads.values():
            if await reads.heads() != await reads.positions():
                return False
        return True

    await until(caught_up, "the ledgers have everything")
    for scope, pool in backend.pools.items():
        report = await verify(pool, scope)
        assert report.ok, report


async def test_a_preview_knows_which_bets_are_void(desk: Desk) -> None:
    market, player = await desk.market(), await desk.player()
    before = await bet(player, market)
    in_time = {"until": (await player.get(f"/v1/bets/{before}"))["placed_at"]}
    after = await bet(player, market)
    assert (await change(desk, market, "voids", in_time)).status == 200
    await pays(player, before, "void", 500)
    trader = await member(desk, "head_trader")
    outcomes = {
        of: {"outcome": "won" if of == "home" else "lost"} for of in ("home", "draw", "away")
    }
    path = f"/v1/desk/markets/{market}/settlement/preview"
    seen = await trader.ask("POST", path, {"results": outcomes})
    assert seen["selections"]["home"]["payout_minor"] == 500 + 1_250
    await desk.result(market, home="won", draw="lost", away="lost")
    await pays(player, after, "won", 1_250)


def of_ms(text: str) -> int:
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(moment.timestamp() * 1_000)
