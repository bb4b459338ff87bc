"""The whole API, as it goes when all goes well."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from gateway.app import Gateway
from ledger.journal import JournalUnavailable
from ledger.reads import LagView
from tests.conftest import free_port
from tests.gateway.backend import Backend, until
from tests.gateway.desk import PASSWORD, Desk, payment, registration, slip


async def test_a_player_from_registration_to_log_out(desk: Desk) -> None:
    email = f"{uuid4().hex[:8]}@Example.com"
    profile = await desk.post("/v1/players", registration(email))
    assert profile.status == 201
    assert profile["email"] == email.lower()
    assert (profile["licence"], profile["currency"]) == ("gb", "GBP")
    login = await desk.ask("POST", "/v1/sessions", {"email": email, "password": PASSWORD})
    assert login.status == 201
    assert login["player_id"] == profile["player_id"]
    player = desk.with_token(login["token"])
    assert (await player.get("/v1/me")).json == profile.json
    assert (await player.get("/v1/wallet")).json == {
        "currency": "GBP",
        "minor_digits": 2,
        "cash_minor": 0,
        "held_minor": 0,
        "withdrawing_minor": 0,
        "debt_minor": 0,
        "version": 1,
    }
    assert (await player.ask("DELETE", "/v1/sessions/current")).status == 204
    (await player.get("/v1/me")).problem(401, "unauthenticated")


async def test_money_in_and_out(desk: Desk) -> None:
    player = await desk.registered()
    paid_in = await player.deposit(10_000)
    assert paid_in.status == 201
    assert (paid_in["state"], paid_in["cash_after_minor"]) == ("completed", 10_000)
    assert (await player.deposit(500, "bogus-slow"))["cash_after_minor"] == 10_500
    declined = (await player.deposit(500, "bogus-declined")).problem(409, "payment_declined")
    assert declined["processor_code"] == "bogus_says_no"
    out = await player.post("/v1/wallet/withdrawals", payment(4_000))
    assert (out.status, out["cash_after_minor"]) == (201, 6_500)
    refused = await player.post("/v1/wallet/withdrawals", payment(4_000, "bogus-declined"))
    refused.problem(409, "payment_declined")
    too_much = await player.post("/v1/wallet/withdrawals", payment(6_501))
    assert too_much.problem(409, "insufficient_funds")["cash_minor"] == 6_500
    assert await player.cash() == 6_500
    payments = await player.get("/v1/wallet/payments")
    assert payments["up_to_date"]
    assert [(one["direction"], one["state"]) for one in payments["items"]] == [
        ("withdrawal", "failed"),
        ("withdrawal", "completed"),
        ("deposit", "failed"),
        ("deposit", "completed"),
        ("deposit", "completed"),
    ]
    statement = await player.get("/v1/wallet/statement")
    assert statement["items"][0]["balance_after_minor"] == 6_500
    assert sum(line["amount_minor"] for line in statement["items"]) == 6_500


async def test_lists_come_in_pages(desk: Desk) -> None:
    player = await desk.registered()
    for amount_minor in (100, 200, 300):
        await player.deposit(amount_minor)
    first = await player.get("/v1/wallet/payments?limit=2")
    assert [one["amount_minor"] for one in first["items"]] == [300, 200]
    rest = await player.get(f"/v1/wallet/payments?limit=2&cursor={first['next_cursor']}")
    assert [one["amount_minor"] for one in rest["items"]] == [100]
    assert rest["next_cursor"] is None


async def test_a_fixture_from_creation_to_result(desk: Desk) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    await desk.prices(market_id, home=26_000, draw=0)
    changed = await desk.status(market_id, "open", in_play=True, bet_delay_ms=0)
    assert changed["in_play"] is True
    phase = await desk.staff.post(
        f"/v1/staff/fixtures/{fixture_id}/phase", {"phase": "in_play", "score": "1-0 12'"}
    )
    assert phase["score"] == "1-0 12'"
    withdrawn = await desk.staff.post(
        f"/v1/staff/markets/{market_id}/withdrawals", {"selection_id": "draw"}
    )
    assert withdrawn["version"] == 1
    fixture = await desk.get(f"/v1/fixtures/{fixture_id}")
    assert fixture["phase"] == "in_play"
    assert fixture["seq"] >= 7  # and 8 once the void bets are settled
    assert fixture["starts_at"] == "2030-01-01T15:00:00.000Z"
    market = fixture["markets"][0]
    assert {one["selection_id"]: one["odds"] for one in market["selections"]} == {
        "home": 26_000,
        "draw": 0,
        "away": 29_000,
    }
    assert market["selections"][1]["result"] == {"outcome": "void", "tied": 1, "places": 1}
    result = await desk.result(market_id, home="won", away="lost")
    assert result["results"]["home"] == {"outcome": "won", "tied": 1, "places": 1}

    # Public lists come from the ledger, a moment later.
    async def is_listed() -> bool:
        items = (await desk.get("/v1/fixtures?sport=football&phase=in_play"))["items"]
        return fixture_id in [one["fixture_id"] for one in items]

    await until(is_listed, "the fixture is listed")
    sports = (await desk.get("/v1/sports"))["items"]
    assert "football" in [one["sport"] for one in sports]


async def test_a_bet_from_placing_to_settlement(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player(10_000)
    placed = await player.post("/v1/bets", slip(market_id))
    assert placed.status == 201
    assert placed["state"] == "open"
    assert placed["potential_payout_minor"] == 1_250
    assert placed["cash_after_minor"] == 9_500
    assert placed["legs"][0]["market_name"] == "Match result"
    assert "asked" not in placed["legs"][0]
    one = await player.get(f"/v1/bets/{placed['bet_id']}")
    assert one.json == {
        name: value for name, value in placed.json.items() if name != "cash_after_minor"
    }
    # What was just done is in the lists: they wait for the ledger.
    assert (await player.get("/v1/bets?state=open"))["items"] == [one.json]
    exposure = await desk.staff.get(f"/v1/staff/markets/{market_id}/exposure")
    assert exposure["selections"]["home"]["liability_minor"] == 750
    await desk.result(market_id, home="won", draw="lost", away="lost")
    await player.settled(placed["bet_id"])
    settled = (await player.get("/v1/bets?state=settled"))["items"][0]
    assert (settled["state"], settled["payout_minor"]) == ("won", 1_250)
    assert settled["settled_at"] > settled["placed_at"]
    assert await player.cash() == 10_750


async def test_a_better_price_is_taken_and_said(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player()
    taken = await player.post("/v1/bets", slip(market_id, odds=24_000, accept="better"))
    assert (taken["legs"][0]["odds"], taken["legs"][0]["asked"]) == (25_000, 24_000)


async def test_a_cancelled_market_gives_the_stakes_back(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player(1_000)
    placed = await player.post("/v1/bets", slip(market_id))
    cancelled = await desk.staff.post(f"/v1/staff/markets/{market_id}/cancel", {})
    assert cancelled["cancelled"] is True
    await player.settled(placed["bet_id"])
    assert await player.cash() == 1_000


async def test_health_pages_and_figures(desk: Desk) -> None:
    await desk.fixture()
    assert (await desk.get("/livez")).json == {"live": True}
    ready = await desk.get("/readyz")
    assert ready.json["ready"], ready.json
    figures = (await desk.get("/metrics")).raw.decode()
    assert 'grandstand_gateway_requests_total{method="GET",route="/livez",status="200"}' in figures
    for scope in ("book", "gb"):
        assert f'grandstand_ledger_lag_blocks{{scope="{scope}"}} ' in figures
        assert f'grandstand_ledger_lag_ms{{scope="{scope}"}} ' in figures
    assert 'grandstand_shards{scope="gb"} 2.0' in figures
    assert 'grandstand_partitions{shard="shard-book-1"} 2.0' in figures
    assert 'grandstand_lane_depth{shard="shard-book-' in figures  # of whom it has asked
    assert "grandstand_settled_bets" not in figures  # nobody was asked
    for path, content in (("/", b"<!doctype html>"), ("/docs", b"Grandstand API")):
        page = await desk.get(path)
        assert page.status == 200
        assert content in page.raw
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    script = await desk.get("/assets/docs.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    again = await desk.ask(
        "GET", "/assets/docs.js", headers={"If-None-Match": script.headers["ETag"]}
    )
    assert (again.status, again.raw) == (304, b"")
    (await desk.get("/assets/../settings.py")).problem(404, "not_found")


async def test_the_lag_of_a_ledger_that_does_not_answer_is_not_shown(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lag() -> Any:
        raise JournalUnavailable("told to")

    monkeypatch.setattr(backend.reads["book"], "lag", lag)
    services = backend.gateway().services
    services.metrics.lags({"book": LagView(1, 2), "gb": LagView(3, 4)})
    assert 'grandstand_ledger_lag_blocks{scope="book"} 1.0' in services.metrics.text().decode()
    services.metrics.lags(await services.readiness.lags())
    figures = services.metrics.text().decode()
    assert 'grandstand_ledger_lag_ms{scope="gb"} ' in figures
    assert 'lag_ms{scope="book"}' not in figures


async def test_what_was_settled_is_asked_of_the_settlement(backend: Backend) -> None:
    readiness = backend.gateway().services.readiness
    asked = 0

    async def status() -> dict[str, int]:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise OSError("gone")
        return {"settled": 7, "payout_minor": 700}

    readiness.ask_settlement = status
    metrics = readiness.services.metrics
    metrics.elsewhere.settled = await readiness.settled()
    assert await readiness.settled() == {"settled": 7, "payout_minor": 700}
    assert asked == 1
    figures = metrics.text().decode()
    assert "grandstand_settled_bets_total 7.0" in figures
    assert "grandstand_settled_payout_minor_total 700.0" in figures
    readiness._settled._asked_at -= 10
    assert await readiness.settled() == {}


async def test_a_market_of_twenty_thousand_selections(desk: Desk) -> None:
    fixture_id = await desk.fixture()
    path = f"/v1/staff/fixtures/{fixture_id}/markets"
    many = [{"selection_id": f"s{n}", "name": f"Number {n}", "odds": 50_000} for n in range(20_001)]
    market = {"market_key": "many", "name": "Many", "kind": "win", "selections": many}
    (await desk.staff.post(path, market)).problem(400, "invalid_request")
    market["selections"] = many[:-1]
    opened = await desk.staff.post(path, market)
    assert len(opened["selections"]) == 20_000
    prices = {f"s{n}": 60_000 for n in range(20_000)}
    assert len((await desk.prices(f"{fixture_id}:many", **prices))["odds"]) == 20_000
    huge = {**market, "name": "x" * 5_000_000}
    problem = (await desk.staff.post(path, huge)).problem(413, "body_too_large")
    assert str(4 * 1024 * 1024) in problem["detail"]
    # Nobody else may send as much.
    (await desk.post("/v1/players", huge)).problem(413, "body_too_large")


async def test_a_list_that_is_behind_says_so(backend: Backend, desk: Desk) -> None:
    player = await desk.player()
    assert (await player.get("/v1/bets"))["up_to_date"]
    async with backend.behind():
        await player.deposit(100)
        assert (await player.get("/v1/wallet/payments"))["up_to_date"] is False


async def test_gateways_share_a_port_and_know_each_others_sessions(
    backend: Backend, gateway: Gateway, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By itself neither would ask again: what they hear of each other is all.
    for name in ("CACHE_MS", "REFRESH_MS"):
        monkeypatch.setattr(f"gateway.sessions.{name}", 600_000)
    monkeypatch.setattr(gateway.services.sessions, "_cache_ms", 600_000)
    other = backend.gateway(port=await gateway.port(), own_port=0)
    await other.start()
    try:
        player = await desk.player()
        own_port = await other.own_port()
        assert own_port
        there = Desk(desk.http, own_port, player.token)
        assert await there.cash() == 10_000
        await there.ask("DELETE", "/v1/sessions/current")

        async def is_over() -> bool:
            return (await player.get("/v1/me")).status == 401

        await until(is_over, "the first gateway heard of it")
    finally:
        await other.drain(1)


async def test_figures_are_on_the_gateways_own_port_only(backend: Backend, desk: Desk) -> None:
    gateway = backend.gateway(port=free_port(), own_port=0)
    await gateway.start()
    try:
        own_port = await gateway.own_port()
        assert own_port
        shared, own = (Desk(desk.http, port) for port in (await gateway.port(), own_port))
        for path, among_players, apart in (("/metrics", 404, 200), ("/livez", 200, 200)):
            assert (await shared.get(path)).status == among_players
            assert (await own.get(path)).status == apart
    finally:
        await gateway.drain(1)


async def test_how_the_shards_are_is_asked_of_the_controller(backend: Backend) -> None:
    readiness = backend.gateway().services.readiness

    async def figures() -> dict[str, dict[str, float]]:
        return {
            "cpu": {"shard-gb-0": 0.5},
            "waiting": {"shard-gb-0": 3.0},
            "all": {"spares": 1.0, "moves": 4.0},
            "new": {"shard-gb-0": 1.0},
        }

    readiness.ask_controller = figures
    metrics = readiness.services.metrics
    metrics.elsewhere.cluster = await readiness.shards()
    text = metrics.text().decode()
    assert 'grandstand_shard_cpu{shard="shard-gb-0"} 0.5' in text
    assert 'grandstand_shard_waiting{shard="shard-gb-0"} 3.0' in text
    assert "grandstand_spares 1.0" in text
    assert "grandstand_moves_total 4.0" in text
    assert "grandstand_shard_new" not in text
