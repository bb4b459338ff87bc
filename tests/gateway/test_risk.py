"""Offers, referrals, customer factors, hedges and alerts over HTTP and the sockets."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from actors.hedging import OrderHedge
from actors.risk.alerts import Pattern, RaiseAlert
from actors.runtime.addresses import fixture_of
from gateway.app import Gateway
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, slip
from tests.gateway.trading import REASON, Trader, member

NAMES = {"home": 25_000, "draw": 32_000, "away": 29_000}


@pytest.fixture
async def kim(desk: Desk) -> Trader:
    return await member(desk, "head_trader")


async def market(desk: Desk, **limits: int) -> str:
    opened = await desk.staff.post(
        f"/v1/staff/fixtures/{await desk.fixture()}/markets",
        {
            "market_key": "winner",
            "name": "Match result",
            "kind": "match_result",
            "selections": [
                {"selection_id": name, "name": name.title(), "odds": odds}
                for name, odds in NAMES.items()
            ],
            "limits": limits,
        },
    )
    return str(opened["market_id"])


def taking(problem: Any, market_id: str, **changes: Any) -> dict[str, Any]:
    """The slip that takes what a problem offers."""
    return slip(
        market_id,
        stake_minor=problem["offer_stake_minor"],
        odds=problem["offer_odds"],
        offer_id=problem["offer_id"],
        **changes,
    )


# Offers


async def test_a_smaller_stake_is_offered_and_taken_once(desk: Desk) -> None:
    market_id = await market(desk, max_stake_minor=400)
    player = await desk.player()
    large = slip(market_id, stake_minor=900)
    key = uuid4().hex
    refused = (await player.post("/v1/bets", large, key)).problem(409, "stake_above_limit")
    assert (refused["offer_stake_minor"], refused["offer_odds"]) == (400, 25_000)
    again = (await player.post("/v1/bets", large, key)).problem(409, "stake_above_limit")
    assert again["offer_id"] == refused["offer_id"]  # the same answer, and no other offer

    # Somebody else's offer is nobody's, and other terms are none of it.
    other = await desk.player()
    answer = await other.post("/v1/bets", taking(refused, market_id))
    answer.problem(409, "reoffer_expired")
    changed = {**taking(refused, market_id), "stake_minor": 399}
    (await player.post("/v1/bets", changed)).problem(409, "reoffer_expired")

    key = uuid4().hex
    placed = await player.post("/v1/bets", taking(refused, market_id), key)
    assert (placed.status, placed["stake_minor"]) == (201, 400)
    repeated = await player.post("/v1/bets", taking(refused, market_id), key)
    assert repeated["bet_id"] == placed["bet_id"]
    (await player.post("/v1/bets", taking(refused, market_id))).problem(409, "reoffer_expired")
    assert await player.cash() == 10_000 - 400


async def test_the_price_of_now_is_offered_and_kept_while_it_moves_on(desk: Desk) -> None:
    market_id = await market(desk)
    await desk.prices(market_id, home=24_000)
    player = await desk.player()
    refused = (await player.post("/v1/bets", slip(market_id))).problem(409, "price_changed")
    assert (refused["offer_stake_minor"], refused["offer_odds"]) == (500, 24_000)
    assert refused["odds"] == 24_000
    await desk.prices(market_id, home=18_000)
    placed = await player.post("/v1/bets", taking(refused, market_id))
    assert placed["legs"][0]["odds"] == 24_000


async def test_an_offer_runs_out(desk: Desk) -> None:
    market_id = await market(desk, max_stake_minor=400, reoffer_ms=1)
    player = await desk.player()
    large = slip(market_id, stake_minor=900)
    refused = (await player.post("/v1/bets", large)).problem(409, "stake_above_limit")

    async def over() -> bool:
        body = taking(refused, market_id)
        return bool((await player.post("/v1/bets", body)).json.get("code") == "reoffer_expired")

    await until(over, "the offer is over")


async def test_nothing_is_offered_where_the_market_does_not(desk: Desk) -> None:
    market_id = await market(desk, max_stake_minor=400, reoffer_ms=0)
    player = await desk.player()
    large = slip(market_id, stake_minor=900)
    refused = (await player.post("/v1/bets", large)).problem(409, "stake_above_limit")
    assert "offer_id" not in refused


async def test_an_offer_is_taken_over_the_stream(desk: Desk) -> None:
    market_id = await market(desk, max_stake_minor=400)
    player = await desk.player()
    socket = await player.stream(logged_in=True)
    large = slip(market_id, stake_minor=900)
    answer = await socket.ask("bet", key=uuid4().hex, bet=large)
    refused = answer["problem"]
    assert (answer["type"], refused["code"]) == ("problem", "stake_above_limit")
    answer = await socket.ask("bet", key=uuid4().hex, bet=taking(refused, market_id))
    assert (answer["type"], answer["bet"]["stake_minor"]) == ("bet", 400)
    await socket.close()


async def test_an_offer_and_a_referral_are_not_taken_together(desk: Desk) -> None:
    market_id = await market(desk)
    player = await desk.player()
    body = slip(market_id, offer_id="a", referral_id="b")
    (await player.post("/v1/bets", body)).problem(400, "invalid_request")


# Referrals


async def referred(player: Desk, market_id: str, stake: int = 900, **changes: Any) -> Any:
    body = slip(market_id, stake_minor=stake, **changes)
    return (await player.post("/v1/bets", body)).problem(409, "referred")


async def waiting(kim: Trader, referral_id: str) -> Any:
    """The referral, once it is on the desk."""
    found: list[Any] = []

    async def there() -> bool:
        items = (await kim.read("referrals"))["items"]
        found[:] = [one for one in items if one["referral"]["referral_id"] == referral_id]
        return bool(found)

    await until(there, "the referral is on the desk")
    return found[0]


async def test_a_bet_is_referred_accepted_at_less_and_taken_once(desk: Desk, kim: Trader) -> None:
    market_id = await market(desk, refer_above_minor=300, refer_up_to_minor=5_000)
    player = await desk.player()
    stream = await player.stream(logged_in=True)
    key = uuid4().hex
    large = slip(market_id, stake_minor=900)
    told = (await player.post("/v1/bets", large, key)).problem(409, "referred")
    again = (await player.post("/v1/bets", large, key)).problem(409, "referred")
    assert {again[name] for name in ("referral_id", "referral_expires_at")} == {
        told[name] for name in ("referral_id", "referral_expires_at")
    }
    referral_id = told["referral_id"]
    assert (await stream.next("referral_update"))["referral"]["state"] == "waiting"
    row = await waiting(kim, referral_id)
    assert (row["player_id"], row["fixture_name"], row["odds_now"]) == (
        player.player_id,
        "Reds v Blues",
        25_000,
    )
    assert await player.cash() == 10_000  # nothing is held

    # Not before a trader has said so.
    early = slip(market_id, stake_minor=900, referral_id=referral_id)
    (await player.post("/v1/bets", early)).problem(409, "referral_over")
    body = {"stake_minor": 600, "odds": 24_000}
    accepted = await kim.act(f"referrals/{referral_id}/accept", body)
    assert accepted["referral"]["state"] == "accepted"
    news = (await stream.next("referral_update"))["referral"]
    assert (news["state"], news["accepted_stake_minor"], news["accepted_odds"]) == (
        "accepted",
        600,
        24_000,
    )
    (await kim.act(f"referrals/{referral_id}/refuse")).problem(409, "referral_over")

    # What was agreed to and nothing else, by the player and nobody else, whatever the price is now.
    await desk.prices(market_id, home=20_000)
    (await player.post("/v1/bets", early)).problem(409, "referral_over")
    taken = slip(market_id, stake_minor=600, odds=24_000, referral_id=referral_id)
    other = await desk.player()
    (await other.post("/v1/bets", taken)).problem(404, "unknown_referral")
    key = uuid4().hex
    placed = await player.post("/v1/bets", taken, key)
    assert (placed["stake_minor"], placed["legs"][0]["odds"]) == (600, 24_000)
    assert (await player.post("/v1/bets", taken, key))["bet_id"] == placed["bet_id"]
    (await player.post("/v1/bets", taken)).problem(409, "referral_over")
    assert await player.cash() == 10_000 - 600

    shown = (await player.get(f"/v1/referrals/{referral_id}")).json
    assert (shown["state"], shown["bet_id"]) == ("taken", placed["bet_id"])
    [listed] = (await player.get("/v1/referrals"))["items"]
    assert (listed["referral_id"], listed["state"]) == (referral_id, "taken")
    (await other.get(f"/v1/referrals/{referral_id}")).problem(404, "unknown_referral")
    await stream.close()


async def test_a_referral_is_refused(desk: Desk, kim: Trader) -> None:
    market_id = await market(desk, refer_above_minor=300)
    player = await desk.player()
    told = await referred(player, market_id)
    await waiting(kim, told["referral_id"])
    viewer = await member(desk, "viewer")
    path = f"referrals/{told['referral_id']}"
    (await viewer.act(f"{path}/accept")).problem(403, "forbidden")
    assert (await kim.act(f"{path}/refuse"))["referral"]["state"] == "refused"
    assert (await player.get(f"/v1/referrals/{told['referral_id']}"))["state"] == "refused"
    (await kim.act("referrals/nobody/refuse")).problem(404, "unknown_referral")


async def test_who_can_not_pay_does_not_use_up_what_was_accepted(desk: Desk, kim: Trader) -> None:
    market_id = await market(desk, refer_above_minor=300)
    player = await desk.player(500)
    told = await referred(player, market_id)
    await waiting(kim, told["referral_id"])
    await kim.act(f"referrals/{told['referral_id']}/accept")
    taken = slip(market_id, stake_minor=900, referral_id=told["referral_id"])
    (await player.post("/v1/bets", taken)).problem(409, "insufficient_funds")
    await player.deposit(1_000)
    assert (await player.post("/v1/bets", taken)).status == 201


@pytest.mark.parametrize(
    ("limits", "stake", "code"),
    [
        ({"refer_above_minor": 300, "refer_up_to_minor": 800}, 801, "stake_above_limit"),
        ({"refer_above_minor": 300, "refer_up_to_minor": 800}, 800, "referred"),
        ({"refer_above_minor": 300, "refer_up_to_minor": 800}, 301, "referred"),
    ],
)
async def test_what_is_referred(desk: Desk, limits: dict[str, int], stake: int, code: str) -> None:
    market_id = await market(desk, **limits)
    player = await desk.player()
    answer = await player.post("/v1/bets", slip(market_id, stake_minor=stake))
    problem = answer.problem(409, code)
    if code != "referred":
        assert problem["offer_stake_minor"] == 300


async def test_so_many_referrals_of_a_player_wait_at_a_time(desk: Desk) -> None:
    market_id = await market(desk, refer_above_minor=300)
    player = await desk.player()
    for _ in range(4):
        await referred(player, market_id)
    bet = slip(market_id, stake_minor=900)
    told = (await player.post("/v1/bets", bet, key="fifth")).problem(409, "referred")
    answer = await player.post("/v1/bets", bet)
    assert answer.problem(409, "too_many_referrals")["max_referrals"] == 5
    # Of one that waits the answer was lost, and is the same again.
    again = (await player.post("/v1/bets", bet, key="fifth")).problem(409, "referred")
    assert again == told


async def test_the_desk_s_stream_tells_who_waits(desk: Desk, kim: Trader) -> None:
    market_id = await market(desk, refer_above_minor=300)
    page = await kim.watch()
    player = await desk.player()
    told = await referred(player, market_id)

    async def items_with(wanted: bool) -> None:
        while True:
            frame = await page.next()
            ids = [one["referral"]["referral_id"] for one in frame.get("items", ())]
            if frame["type"] == "referrals" and (told["referral_id"] in ids) is wanted:
                return

    await items_with(True)
    await kim.act(f"referrals/{told['referral_id']}/refuse")
    await items_with(False)
    await page.ws.close()


async def test_the_desk_is_told_where_the_list_of_who_waits_is_behind(
    backend: Backend, desk: Desk, kim: Trader
) -> None:
    player = await desk.player()
    page = await kim.watch()

    async def told(wanted: bool) -> None:
        while (await page.next()).get("up_to_date") is not wanted:
            pass

    async def late() -> bool:
        await player.deposit(1)
        return (await kim.read("referrals"))["up_to_date"] is False

    await told(True)
    async with backend.behind():
        await until(late, "the list is behind, and says so")
        await told(False)
    await told(True)
    await page.ws.close()


# Customers


async def test_a_customer_s_factor_limits_the_stake_and_nobody_sees_it(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    market_id = await market(desk, max_stake_minor=1_000)
    player = await desk.player()
    path = f"customers/{player.player_id}"
    assert (await kim.read(path)).json == {
        "player_id": player.player_id,
        "factor": 10_000,
        "kinds": {},
        "version": 0,
    }
    trader = await member(desk, "trader")
    (await trader.act(f"{path}/factors", {"factor": 5_000})).problem(403, "forbidden")
    said = await kim.act(f"{path}/factors", {"factor": 5_000, "kinds": {"win": 0}})
    assert (said["factor"], said["kinds"], said["version"]) == (5_000, {"win": 0}, 1)
    late = await kim.act(f"{path}/factors", {"factor": 1, "version": 0})
    now = late.problem(409, "version_conflict")
    assert (now["version"], now["factor"], now["kinds.win"]) == (1, 5_000, 0)
    refused = (await player.post("/v1/bets", slip(market_id, stake_minor=501))).problem(
        409, "stake_above_limit"
    )
    assert (refused["max_stake_minor"], refused["offer_stake_minor"]) == (500, 500)
    assert not [name for name in refused if "factor" in name]
    assert (await player.post("/v1/bets", slip(market_id, stake_minor=500))).status == 201
    assert "factor" not in (await player.get("/v1/players/me")).raw.decode()

    # For the kind of this market another one, which takes nothing at all.
    await kim.act(f"{path}/factors", {"factor": 20_000, "kinds": {"match_result": 0}})
    answer = await player.post("/v1/bets", slip(market_id, stake_minor=10))
    answer.problem(409, "stake_above_limit")

    # Another gateway has it from the ledger: also one that begins now.
    another = backend.gateway()
    await another.start()
    try:
        await until(
            lambda: another.services.customers.factors_of(player.player_id).of_all == 20_000,
            "the other gateway knows",
        )
    finally:
        await another.drain(1)
    await kim.act(f"{path}/factors", {"factor": 20_000})
    assert (await player.post("/v1/bets", slip(market_id, stake_minor=2_000))).status == 201
    (await kim.act("customers/nobody/factors", {"factor": 1})).problem(404, "unknown_player")
    (await kim.act(f"{path}/factors", {"factor": 100_001})).problem(400, "invalid_request")


async def test_what_staff_did_with_players_is_in_the_audit(desk: Desk, kim: Trader) -> None:
    player = await desk.player()
    await kim.act(f"customers/{player.player_id}/factors", {"factor": 5_000})
    await kim.act(f"markets/{await desk.market()}/prices", {"odds": {"home": 22_000}})
    found: list[Any] = []

    async def both_are_written() -> bool:
        lines = (await kim.read("audit"))["items"]
        found[:] = [one for one in lines if one["by"] == f"staff/{kim.login}"]
        return len(found) >= 2

    await until(both_are_written, "the audit has both")
    assert [one["events"] for one in found] == [["PricesHeld"], ["FactorsSet"]]
    assert found[1]["reason"] == REASON
    full = (await kim.read(f"audit/{found[1]['entry_id']}")).json
    assert full["events"][0]["factor"] == 5_000
    # One by one they are the same.
    first = (await kim.read("audit?limit=1")).json
    second = (await kim.read(f"audit?limit=1&cursor={first['next_cursor']}")).json
    assert first["items"] + second["items"] == (await kim.read("audit?limit=2")).json["items"]
    # What the player did, in blocks of that partition before it, is no business of theirs.
    partition, seq, _ = found[1]["entry_id"].split(".")
    before = range(max(1, int(seq) - 10), int(seq))
    entries = [await kim.read(f"audit/{partition}.{block}.0") for block in before]
    assert 404 in {entry.status for entry in entries}
    assert not any(b"PlayerRegistered" in entry.raw for entry in entries)


async def test_a_limited_customer_is_limited_on_slips_too(desk: Desk, kim: Trader) -> None:
    markets = [await market(desk, max_stake_minor=1_000) for _ in range(2)]
    player = await desk.player()
    await kim.act(f"customers/{player.player_id}/factors", {"factor": 1_000})
    body = {
        "kind": "double",
        "stake_minor": 200,
        "currency": "GBP",
        "legs": [{"market_id": one, "selection_id": "home", "odds": 25_000} for one in markets],
    }
    answer = (await player.post("/v1/slips", body)).problem(409, "stake_above_limit")
    assert answer["max_stake_minor"] == 100


# Hedges and alerts


async def test_hedges_are_listed_and_proposed(desk: Desk, kim: Trader, gateway: Gateway) -> None:
    market_id = await market(desk, max_liability_minor=1_000)
    router = gateway.services.router
    fixture_id = fixture_of(market_id)
    proposal = await kim.read(f"markets/{market_id}/hedge-proposal")
    assert (proposal["exchange"], proposal["orders"], proposal["before_minor"]) == ("bogus", [], 0)
    player = await desk.player()
    assert (await player.post("/v1/bets", slip(market_id, stake_minor=600))).status == 201
    proposal = (await kim.read(f"markets/{market_id}/hedge-proposal")).json
    assert proposal["before_minor"] == 900
    assert proposal["after_minor"] <= 400
    assert [one["selection_id"] for one in proposal["orders"]] == ["home"]

    order = OrderHedge(fixture_id, market_id, "h1", "home", 300, 25_000, "bogus")
    await router.ask("book", fixture_id, order)

    async def listed(state: str) -> bool:
        items = (await kim.read(f"hedges?market_id={market_id}"))["items"]
        return [(one["hedge_id"], one["state"]) for one in items] == [("h1", state)]

    await until(lambda: listed("ordered"), "the order is shown")
    # What became of an order may be said by hand, and a hedge without one recorded: once each.
    path = f"markets/{market_id}/hedges"
    made = {"selection_id": "home", "stake_minor": 300, "odds": 25_000, "commission": 200}
    made |= {"exchange": "bogus", "reference": "r", "hedge_id": "h1"}
    recorded = await kim.act(path, made, key="record")
    assert (recorded["hedge_id"], recorded["wins_minor"]) == ("h1", 441)
    assert (await kim.act(path, made, key="record")).json == recorded.json
    (await kim.act(path, made)).problem(409, "already_exists")
    await until(lambda: listed("made"), "the hedge is shown")
    order = OrderHedge(fixture_id, market_id, "h2", "home", 100, 25_000, "bogus")
    await router.ask("book", fixture_id, order)
    assert (await kim.act(f"{path}/h2/lapse"))["state"] == "lapsed"
    (await kim.act(f"{path}/h2/lapse")).problem(409, "wrong_status")
    by_hand = await kim.act(path, {k: v for k, v in made.items() if k != "hedge_id"})
    assert by_hand["state"] == "made"
    viewer = await member(desk, "viewer")
    (await viewer.act(path, made)).problem(403, "forbidden")


async def test_alerts_are_listed_newest_first(kim: Trader, gateway: Gateway) -> None:
    router, scope = gateway.services.router, gateway.services.licence.code
    names = [uuid4().hex for _ in range(3)]
    for at_ms, name in enumerate(names):
        raised = RaiseAlert(
            name, Pattern.STAKE_ABOVE_HABIT, f"player/{name}", 4_000_000_000_000 + at_ms, {"n": 1}
        )
        await router.ask(scope, name, raised)
    shown: list[str] = []

    async def there() -> bool:
        items = (await kim.read("alerts?limit=3&pattern=stake_above_habit"))["items"]
        shown[:] = [one["alert_id"] for one in items]
        return shown == names[::-1]

    await until(there, "the alerts are shown")
    others = (await kim.read("alerts?pattern=new_accounts"))["items"]
    assert not {one["alert_id"] for one in others} & set(names)
    (await kim.read("alerts?pattern=nonsense")).problem(400, "invalid_request")
