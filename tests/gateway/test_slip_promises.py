"""What is promised of a slip: an offer in place of a refused one, and a trader's word; and of
customers whose bets go to a trader."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, slip
from tests.gateway.test_risk import kim as kim
from tests.gateway.test_risk import market, waiting
from tests.gateway.trading import Trader

REFER = {"refer_above_minor": 300, "refer_up_to_minor": 5_000}


def asked(on: list[str], stake: int, kind: str = "double", **changes: Any) -> dict[str, Any]:
    legs = [{"market_id": one, "selection_id": "home", "odds": 25_000} for one in on]
    return {"kind": kind, "legs": legs, "stake_minor": stake, "currency": "GBP", **changes}


async def on(desk: Desk, *limits: dict[str, int]) -> list[str]:
    return [await market(desk, **one) for one in limits]


def taking(body: dict[str, Any], problem: Any) -> dict[str, Any]:
    """The slip that takes what a problem offers."""
    prices = problem["offer_leg_odds"]
    legs = [{**leg, "odds": odds} for leg, odds in zip(body["legs"], prices, strict=True)]
    stake, offer_id = problem["offer_stake_minor"], problem["offer_id"]
    return {**body, "legs": legs, "stake_minor": stake, "offer_id": offer_id}


# Offers


@pytest.mark.parametrize(
    ("limits", "kind", "stake", "code", "offered"),
    [
        ([{}, {"max_stake_minor": 400}], "double", 900, "stake_above_limit", 400),
        # In whole minor units a line: 142 on each of seven.
        ([{"max_stake_minor": 1_000}, {}, {}], "patent", 1_400, "stake_above_limit", 994),
        # A double at 6.25 costs 5.25 a unit on each leg.
        ([{}, {"max_slip_liability_minor": 1_000}], "double", 900, "liability_limit", 190),
        ([{"max_market_liability_minor": 2_000}, {}], "double", 900, "liability_limit", 380),
        # Several say no, each for its own reason: the least of them all counts.
        (
            [{"max_stake_minor": 400}, {"max_slip_liability_minor": 1_000}],
            "double",
            900,
            "stake_above_limit",
            190,
        ),
        # Too little would be left, one of them makes no offers, or a trader's word is no offer.
        ([{"min_stake_minor": 200}, {"max_slip_liability_minor": 1_000}], "double", 900, "", 0),
        ([{"reoffer_ms": 0}, {"max_stake_minor": 400}], "double", 900, "stake_above_limit", 0),
        ([REFER, {"max_stake_minor": 400}], "double", 900, "stake_above_limit", 300),
    ],
)
async def test_the_largest_stake_that_every_leg_takes_is_offered(
    desk: Desk, limits: list[dict[str, int]], kind: str, stake: int, code: str, offered: int
) -> None:
    player = await desk.player()
    body = asked(await on(desk, *limits), stake, kind)
    problem = (await player.post("/v1/slips", body)).problem(409, code or "liability_limit")
    assert problem.get("offer_stake_minor", 0) == offered
    if offered:
        assert problem["offer_leg_odds"] == [25_000] * len(limits)
        # And not one more on each line.
        lines = 7 if kind == "patent" else 1
        above = {**body, "stake_minor": offered + lines}
        other = await desk.player()
        assert (await other.post("/v1/slips", above)).status == 409
        assert (await player.post("/v1/slips", taking(body, problem))).status == 201


async def test_an_offer_of_a_slip_is_for_one_bet_of_one_player(desk: Desk) -> None:
    markets = await on(desk, {}, {"max_stake_minor": 400})
    player, other = await desk.player(), await desk.player()
    body, key = asked(markets, 900), uuid4().hex
    problem = (await player.post("/v1/slips", body, key)).problem(409, "stake_above_limit")
    again = (await player.post("/v1/slips", body, key)).problem(409, "stake_above_limit")
    assert again["offer_id"] == problem["offer_id"]
    offer = taking(body, problem)
    for who, wrong in [
        (other, offer),
        (player, {**offer, "stake_minor": 399}),
        (player, {**offer, "legs": offer["legs"][::-1]}),
        (player, {**offer, "offer_id": f"x.{offer['offer_id'].split('.')[1]}"}),
    ]:
        (await who.post("/v1/slips", wrong)).problem(409, "reoffer_expired")
    both = {**offer, "referral_id": "r"}
    (await player.post("/v1/slips", both)).problem(400, "invalid_request")

    # The price that was promised, whatever it is now.
    await desk.prices(markets[0], home=18_000)
    key = uuid4().hex
    sent = await asyncio.gather(*(player.post("/v1/slips", offer, key) for _ in range(3)))
    assert {one.status for one in sent} == {201}
    assert len({one["bet_id"] for one in sent}) == 1
    assert [leg["odds"] for leg in sent[0]["legs"]] == [25_000, 25_000]
    (await player.post("/v1/slips", offer)).problem(409, "reoffer_expired")
    assert await player.cash() == 10_000 - 400


async def test_prices_that_moved_are_offered_as_they_are_now(desk: Desk) -> None:
    markets = await on(desk, {}, {}, {})
    await desk.prices(markets[1], home=24_000)
    await desk.prices(markets[2], home=26_000)
    player = await desk.player()
    body = asked(markets, 500, "treble")
    problem = (await player.post("/v1/slips", body)).problem(409, "price_changed")
    assert problem["leg"] == 1
    assert problem["offer_leg_odds"] == [25_000, 24_000, 26_000]
    placed = await player.post("/v1/slips", taking(body, problem))
    assert [leg["odds"] for leg in placed["legs"]] == [25_000, 24_000, 26_000]
    # Whatever the price, a market that is not open is not to be had.
    problem = (await player.post("/v1/slips", body)).problem(409, "price_changed")
    await desk.status(markets[0], "suspended")
    gone = taking(body, problem)
    (await player.post("/v1/slips", gone)).problem(409, "market_suspended")


async def test_offers_race_and_no_limit_is_overrun(desk: Desk) -> None:
    markets = await on(desk, {}, {"max_slip_liability_minor": 1_000})
    players = [await desk.player() for _ in range(4)]
    body = asked(markets, 900)
    offers = []
    for player in players:
        problem = (await player.post("/v1/slips", body)).problem(409, "liability_limit")
        assert problem["offer_stake_minor"] == 190  # promised to all of them, held for none
        offers.append(taking(body, problem))
    answers = await asyncio.gather(
        *(one.post("/v1/slips", offer) for one, offer in zip(players, offers, strict=True))
    )
    assert sorted(one.status for one in answers) == [201, 409, 409, 409]
    assert {one.json["code"] for one in answers if one.status == 409} == {"liability_limit"}
    refused = next(one for one in answers if one.status == 409)
    assert "offer_id" not in refused.json  # nothing is offered in place of an offer


# Referrals


async def test_a_slip_is_referred_accepted_at_less_and_taken_once(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    markets = await on(desk, REFER, {})
    await desk.prices(markets[1], home=26_000)
    player, other = await desk.player(), await desk.player()
    stream = await player.stream(logged_in=True)
    body, key = asked(markets, 900, accept="better"), uuid4().hex
    told = (await player.post("/v1/slips", body, key)).problem(409, "referred")
    again = (await player.post("/v1/slips", body, key)).problem(409, "referred")
    assert again["referral_id"] == told["referral_id"]
    assert "prices" not in told
    news = (await stream.next("referral_update"))["referral"]
    assert [leg["odds"] for leg in news["slip"]["legs"]] == [25_000, 26_000]
    assert news["slip"]["potential_payout_minor"] == 900 * 65 // 10
    row = await waiting(kim, told["referral_id"])
    assert row["player_id"] == player.player_id
    assert row["referral"]["slip"]["lines"] == {"kind": "double", "folds": [2], "lines": 1}
    assert [
        (leg["fixture_name"], leg["odds"], leg["selections"][0]["selection_name"])
        for leg in row["legs"]
    ] == [("Reds v Blues", 25_000, "Home"), ("Reds v Blues", 26_000, "Home")]

    path = f"referrals/{told['referral_id']}/accept"
    (await kim.act(path, {"odds": 24_000})).problem(409, "out_of_bounds")
    taken = asked(markets, 600, referral_id=told["referral_id"])
    taken["legs"][1]["odds"] = 26_000
    (await player.post("/v1/slips", taken)).problem(409, "referral_over")
    accepted = await kim.act(path, {"stake_minor": 600})
    assert accepted["referral"]["accepted_stake_minor"] == 600
    assert (await stream.next("referral_update"))["referral"]["state"] == "accepted"
    await stream.close()

    await desk.prices(markets[0], home=18_000)
    for who, wrong, status, code in [
        (player, {**taken, "stake_minor": 900}, 409, "referral_over"),
        (player, {**taken, "legs": taken["legs"][::-1]}, 409, "referral_over"),
        (other, taken, 404, "unknown_referral"),
    ]:
        (await who.post("/v1/slips", wrong)).problem(status, code)
    key = uuid4().hex
    sent = await asyncio.gather(*(player.post("/v1/slips", taken, key) for _ in range(3)))
    assert {(one.status, one["bet_id"]) for one in sent} == {(201, sent[0]["bet_id"])}
    assert [leg["odds"] for leg in sent[0]["legs"]] == [25_000, 26_000]
    (await player.post("/v1/slips", taken)).problem(409, "referral_over")
    assert await player.cash() == 10_000 - 600
    shown = (await player.get(f"/v1/referrals/{told['referral_id']}")).json
    assert (shown["state"], shown["bet_id"]) == ("taken", sent[0]["bet_id"])
    [listed] = (await player.get("/v1/referrals"))["items"]
    assert listed["slip"] == shown["slip"]
    report = await verify(backend.pools["gb"], "gb")
    assert report.ok, report


async def test_a_slip_that_a_trader_refuses_or_nobody_answers_comes_to_nothing(
    desk: Desk, kim: Trader
) -> None:
    markets = await on(desk, {}, REFER)
    player = await desk.player()
    told = (await player.post("/v1/slips", asked(markets, 900))).problem(409, "referred")
    await waiting(kim, told["referral_id"])
    assert (await kim.act(f"referrals/{told['referral_id']}/refuse"))["referral"]["state"] == (
        "refused"
    )
    taken = asked(markets, 900, referral_id=told["referral_id"])
    (await player.post("/v1/slips", taken)).problem(409, "referral_over")
    # Accepted, and its time is out.
    told = (await player.post("/v1/slips", asked(markets, 900))).problem(409, "referred")
    await waiting(kim, told["referral_id"])
    await kim.act(f"referrals/{told['referral_id']}/accept", {"valid_ms": 1})
    taken = asked(markets, 900, referral_id=told["referral_id"])

    async def over() -> bool:
        return (await player.get(f"/v1/referrals/{told['referral_id']}"))["state"] == "expired"

    await until(over, "its time is out")
    (await player.post("/v1/slips", taken)).problem(409, "referral_over")
    # Above what a trader is asked about, nobody is.
    answer = await player.post("/v1/slips", asked(markets, 5_001))
    assert answer.problem(409, "stake_above_limit")["offer_stake_minor"] == 300
    assert await player.cash() == 10_000


# Customers whose bets go to a trader


@pytest.mark.parametrize(
    ("factor", "stake", "code"),
    [
        (1_000, 200, "stake_above_limit"),  # above the share of 100, and no trader's business
        (1_000, 201, "referred"),
        (0, 201, "referred"),
        (10_000, 201, "referred"),
    ],
)
async def test_stakes_of_a_customer_go_to_a_trader(
    desk: Desk, kim: Trader, factor: int, stake: int, code: str
) -> None:
    markets = await on(desk, {"max_stake_minor": 1_000}, {"max_stake_minor": 1_000})
    player = await desk.player()
    said = await kim.act(
        f"customers/{player.player_id}/factors", {"factor": factor, "refer_above_minor": 200}
    )
    assert said["refer_above_minor"] == 200
    assert (await kim.read(f"customers/{player.player_id}"))["refer_above_minor"] == 200
    single = slip(markets[0], stake_minor=stake)
    for path, body in [("/v1/bets", single), ("/v1/slips", asked(markets, stake))]:
        told = (await player.post(path, body)).problem(409, code)
        if code == "referred":
            await waiting(kim, told["referral_id"])
            await kim.act(f"referrals/{told['referral_id']}/accept")
            taken = {**body, "referral_id": told["referral_id"]}
            assert (await player.post(path, taken)).status == 201
        else:
            assert told["offer_stake_minor"] == 100
