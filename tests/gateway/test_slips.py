"""Slips of every kind over HTTP: placed, settled leg by leg, corrected, bought back."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from actors.slips.cashout import Offer
from actors.slips.kinds import Kind
from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk

# How many legs, lines, and what a stake of 1.00 a line pays when all win at 2.5, and when the
# first one loses: sums of products, by hand.
KINDS: dict[str, tuple[int, int, int, int]] = {
    "single": (2, 2, 500, 250),
    "double": (2, 1, 625, 0),
    "treble": (3, 1, 1_563, 0),
    "accumulator": (4, 1, 3_906, 0),
    "trixie": (3, 4, 3_438, 625),
    "patent": (3, 7, 4_188, 1_125),
    "yankee": (4, 11, 13_906, 3_438),
    "lucky_15": (4, 15, 14_906, 4_188),
    "canadian": (5, 26, 51_172, 13_906),
    "lucky_31": (5, 31, 52_422, 14_906),
    "heinz": (6, 57, 182_227, 51_172),
    "lucky_63": (6, 63, 183_727, 52_422),
    "super_heinz": (7, 120, 641_543, 182_227),
    "goliath": (8, 247, 2_249_775, 641_543),
}


def test_every_kind_is_here() -> None:
    assert {*KINDS, "system"} == {kind.value for kind in Kind}


async def markets(desk: Desk, count: int) -> list[str]:
    return list(await asyncio.gather(*(desk.market() for _ in range(count))))


def asked(kind: str, markets: list[str], stake: int, **changes: Any) -> dict[str, Any]:
    legs = [{"market_id": one, "selection_id": "home", "odds": 25_000} for one in markets]
    return {"kind": kind, "legs": legs, "stake_minor": stake, "currency": "GBP", **changes}


async def declare(desk: Desk, market: str, home: str = "won") -> None:
    other = "lost" if home == "won" else "won"
    outcomes = {"home": home, "draw": other, "away": "lost"}
    if home == "void":
        outcomes = dict.fromkeys(outcomes, "void")
    answer = await desk.result(market, **outcomes)
    assert answer.status == 200, answer.raw


async def pays(player: Desk, bet_id: str, state: str, payout: int) -> dict[str, Any]:
    """Wait until the bet is in that state and has paid that."""
    seen: dict[str, Any] = {}

    async def there() -> bool:
        seen.update((await player.get(f"/v1/bets/{bet_id}")).json)
        return (seen["state"], seen["payout_minor"]) == (state, payout)

    try:
        await until(there, "it pays")
    except AssertionError:
        raise AssertionError(f"{state} {payout}, but {seen}") from None
    return seen


async def stands(player: Desk, bet_id: str, outcomes: list[str]) -> None:
    """Wait until every leg is known, which may be after it was decided what is paid."""

    async def there() -> bool:
        legs = (await player.get(f"/v1/bets/{bet_id}"))["legs"]
        return [leg.get("outcome") for leg in legs] == outcomes

    await until(there, f"{bet_id} has legs {outcomes}")


@pytest.mark.parametrize("kind", KINDS)
async def test_placed_settled_and_settled_again(desk: Desk, kind: str) -> None:
    legs, lines, all_won, first_lost = KINDS[kind]
    player, on = await desk.player(100_000), await markets(desk, legs)
    slip = asked(kind, on, 100 * lines)
    quote = await player.ask("POST", "/v1/slips/quote", slip)
    assert (quote["lines"]["lines"], quote["line_stake_minor"]) == (lines, 100)
    assert quote["potential_payout_minor"] == all_won
    placed = await player.post("/v1/slips", slip, key="it")
    assert placed.status == 201, placed.raw
    assert placed["cash_after_minor"] == 100_000 - 100 * lines
    assert placed["potential_payout_minor"] == all_won
    again = await player.post("/v1/slips", slip, key="it")
    assert again.json == placed.json
    bet_id = placed["bet_id"]
    for market in on[1:]:
        await declare(desk, market)
    await declare(desk, on[0], "lost")
    alive = legs - 1
    state = "lost" if not first_lost else "partly_won"
    await pays(player, bet_id, state, first_lost)
    await stands(player, bet_id, ["lost"] + ["won"] * alive)
    await declare(desk, on[0], "won")
    await pays(player, bet_id, "won", all_won)
    assert await player.cash() == 100_000 - 100 * lines + all_won
    await declare(desk, on[0], "lost")
    await pays(player, bet_id, state, first_lost)
    assert await player.cash() == 100_000 - 100 * lines + first_lost
    listed = (await player.get("/v1/bets"))["items"][0]
    assert listed == (await player.get(f"/v1/bets/{bet_id}")).json


async def test_a_system_with_a_banker(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 4)
    slip = asked("system", on, 300, folds=[2])
    slip["legs"][0]["banker"] = True
    placed = await player.post("/v1/slips", slip)
    assert placed["lines"] == {"kind": "system", "folds": [2], "lines": 3}
    assert placed["legs"][0]["banker"] is True
    for market in on[:3]:
        await declare(desk, market)
    # The banker and one pair have won: 2.5 x 2.5 x 2.5.
    await pays(player, placed["bet_id"], "open", 1_563)
    await declare(desk, on[3], "lost")
    await pays(player, placed["bet_id"], "partly_won", 1_563)


async def test_a_withdrawn_runner_is_void_and_the_rest_goes_on(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    placed = await player.post("/v1/slips", asked("double", on, 100))
    await desk.staff.post(f"/v1/staff/markets/{on[0]}/withdrawals", {"selection_id": "home"})
    await declare(desk, on[1])
    await pays(player, placed["bet_id"], "won", 250)


async def test_what_can_not_be_a_slip(desk: Desk) -> None:
    player = await desk.player()
    fixture = await desk.fixture()
    on = [await desk.market(fixture, "winner"), await desk.market(fixture, "half")]
    other = await markets(desk, 2)
    refused = await player.post("/v1/slips", asked("double", on, 100))
    refused.problem(409, "correlated_legs")
    (await player.post("/v1/slips", asked("trixie", other, 100))).problem(409, "wrong_leg_count")
    twice = await player.post("/v1/slips", asked("single", [other[0], other[0]], 100))
    twice.problem(409, "duplicate_leg")
    three = [*other, on[0]]
    (await player.post("/v1/slips", asked("patent", three, 100))).problem(409, "uneven_stake")
    rich = asked("double", other, 20_000)
    assert (await player.post("/v1/slips", rich)).problem(409, "insufficient_funds")
    moved = asked("double", other, 100)
    moved["legs"][1]["odds"] = 30_000
    problem = (await player.post("/v1/slips", moved)).problem(409, "price_changed")
    assert (problem["leg"], problem["odds"]) == (1, 25_000)
    await desk.status(other[1], "suspended")
    refused = await player.post("/v1/slips", asked("double", other, 100))
    assert refused.problem(409, "market_suspended")["leg"] == 1
    assert await player.cash() == 10_000
    exposure = await desk.staff.get(f"/v1/staff/markets/{other[0]}/exposure")
    assert exposure["holds"] == 0


async def test_what_a_slip_may_cost_is_in_the_books(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    await player.post("/v1/slips", asked("double", on, 100))

    async def lines() -> list[Any]:
        found = [await desk.staff.get(f"/v1/staff/markets/{one}/exposure") for one in on]
        return [(one["holds"], one["selections"]["home"]["liability_minor"]) for one in found]

    async def there() -> bool:
        return await lines() == [(0, 525), (0, 525)]

    await until(there, "both markets carry what the double can cost")


async def test_bought_back_in_part_then_the_rest_settled(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    placed = await player.post("/v1/slips", asked("double", on, 1_000))
    bet_id = placed["bet_id"]
    await desk.prices(on[0], home=20_000)
    offer = await player.get(f"/v1/bets/{bet_id}/cash-out?stake_minor=400")
    assert offer["amount_minor"] == 475  # 4.00 x (2.5 / 2.0) x (2.5 / 2.5) x 0.95
    path = f"/v1/bets/{bet_id}/cash-out"
    taken = await player.post(path, {"offer": offer["offer"]}, key="out")
    assert (taken["amount_minor"], taken["state"]) == (475, "open")
    assert taken["cash_after_minor"] == 9_000 + 475
    assert (await player.post(path, {"offer": offer["offer"]}, key="out")).json == taken.json
    stale = await player.post(path, {"offer": offer["offer"]})
    stale.problem(409, "offer_outdated")
    for market in on:
        await declare(desk, market)
    bet = await pays(player, bet_id, "won", 475 + 3_750)
    assert (bet["stake_minor"], bet["cashed_out_minor"]) == (1_000, 475)
    assert await player.cash() == 9_000 + 475 + 3_750
    gone = await player.get(path)
    gone.problem(409, "nothing_open")


async def test_a_single_is_bought_back(desk: Desk) -> None:
    player, market = await desk.player(), await desk.market()
    placed = await player.post(
        "/v1/bets",
        {"market_id": market, "selection_id": "home", "stake_minor": 500, "currency": "GBP"}
        | {"odds": 25_000},
    )
    path = f"/v1/bets/{placed['bet_id']}/cash-out"
    offer = await player.get(path)
    assert offer["amount_minor"] == 475
    await desk.prices(market, home=30_000)
    worse = (await player.post(path, {"offer": offer["offer"]})).problem(409, "price_changed")
    assert worse["amount_minor"] == 395
    await desk.prices(market, home=20_000)
    taken = await player.post(path, {"offer": offer["offer"]})
    assert (taken["amount_minor"], taken["state"]) == (593, "cashed_out")  # better than offered
    await declare(desk, market)
    await asyncio.sleep(0.3)
    bet = await pays(player, placed["bet_id"], "cashed_out", 593)
    assert bet["potential_payout_minor"] == 593
    assert await player.cash() == 9_500 + 593


async def test_no_price_no_offer(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    placed = await player.post("/v1/slips", asked("double", on, 100))
    await desk.status(on[1], "suspended")
    path = f"/v1/bets/{placed['bet_id']}/cash-out"
    assert (await player.get(path)).problem(409, "cash_out_suspended")["leg"] == 1
    bad = await player.post(path, {"offer": "bm9uc2Vuc2U="})
    bad.problem(400, "invalid_request")
    stranger = await desk.player()
    (await stranger.get(path)).problem(404, "unknown_bet")


async def test_the_ledger_agrees(desk: Desk, backend: Backend) -> None:
    """After everything above, and what is still open here."""
    player, on = await desk.player(), await markets(desk, 3)
    placed = await player.post("/v1/slips", asked("patent", on, 700))
    await declare(desk, on[0])
    await pays(player, placed["bet_id"], "open", 250)
    offer = await player.get(f"/v1/bets/{placed['bet_id']}/cash-out?stake_minor=333")
    taken = await player.post(f"/v1/bets/{placed['bet_id']}/cash-out", {"offer": offer["offer"]})
    assert taken.status == 200, taken.raw

    async def caught_up() -> bool:
        heads = await backend.reads["gb"].heads()
        return heads == await backend.reads["gb"].positions()

    await until(caught_up, "the ledger has everything")
    report = await verify(backend.pools["gb"], "gb")
    assert report.ok, report


# What a review found


async def test_nothing_is_bought_back_once_the_event_is_over(desk: Desk) -> None:
    player, fixture = await desk.player(), await desk.fixture()
    market = await desk.market(fixture)
    placed = await player.post("/v1/bets", bet_on(market))
    path = f"/v1/bets/{placed['bet_id']}/cash-out"
    offer = await player.get(path)
    ended = {"phase": "ended", "score": "0-3"}
    assert (await desk.staff.post(f"/v1/staff/fixtures/{fixture}/phase", ended)).status == 200
    (await player.get(path)).problem(409, "cash_out_suspended")
    late = await player.post(path, {"offer": offer["offer"]})
    late.problem(409, "cash_out_suspended")


async def test_an_offer_that_we_never_made_is_no_offer(desk: Desk) -> None:
    """Numbers that no message can carry would fail whoever travels in the same batch."""
    player, market = await desk.player(), await desk.market()
    placed = await player.post("/v1/bets", bet_on(market))
    path = f"/v1/bets/{placed['bet_id']}/cash-out"
    for made_up in (
        Offer(500, 1, 2**64 - 1, 500, 0, (25_000,)),
        Offer(500, -1, 0, 500, 0, (25_000,)),
        Offer(2**63, 1, 0, 500, 0, (25_000,)),
        Offer(500, 1, 0, 500, 0, (25_000,) * 100),
    ):
        text = base64.urlsafe_b64encode(msgspec.msgpack.encode(made_up)).decode()
        (await player.post(path, {"offer": text})).problem(400, "invalid_request")


async def test_penny_by_penny_is_not_more(desk: Desk) -> None:
    player, market = await desk.player(), await desk.market()
    placed = await player.post("/v1/bets", bet_on(market, stake_minor=200))
    await desk.prices(market, home=47_000)
    path = f"/v1/bets/{placed['bet_id']}/cash-out"
    assert (await player.get(path))["amount_minor"] == 101  # 2.00 x 2.5 / 4.7 x 0.95
    (await player.get(f"{path}?stake_minor=1")).problem(409, "cash_out_too_small")


async def test_a_leg_without_delay_waits_for_one_with_a_long_one(desk: Desk) -> None:
    player, on = await desk.player(), await markets(desk, 2)
    await desk.status(on[1], "open", in_play=True, bet_delay_ms=6_000)
    placed = await player.post("/v1/slips", asked("double", on, 100))
    assert placed.status == 201, placed.raw


def bet_on(market: str, stake_minor: int = 500) -> dict[str, Any]:
    return {
        "market_id": market,
        "selection_id": "home",
        "stake_minor": stake_minor,
        "currency": "GBP",
        "odds": 25_000,
    }
