"""Everything the API says no to: each with its code, none as a 500, and nothing is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from yarl import URL

from actors.base import Reason
from gateway.limits import Pace
from gateway.problems import KINDS, Problem
from gateway.settings import GatewaySettings
from tests.gateway.backend import STAFF_TOKEN, Backend
from tests.gateway.desk import Desk, payment, registration, slip

BETS = "/v1/bets"
DEPOSITS = "/v1/wallet/deposits"
PLAYERS = "/v1/players"
FIXTURES = "/v1/staff/fixtures"


def test_every_reason_has_a_status() -> None:
    assert {str(reason) for reason in Reason} <= set(KINDS)


def new_fixture(**changes: Any) -> dict[str, Any]:
    return {
        "sport": "football",
        "competition": "Cup",
        "name": "A v B",
        "starts_at": "2030-01-01T15:00:00Z",
        **changes,
    }


BAD_BODIES = [
    # path, body, what the detail has to name
    (BETS, {}, "market_id"),
    (BETS, [], "object"),
    (BETS, slip("f:m", stake_minor=0), "stake_minor"),
    (BETS, slip("f:m", stake_minor=-5), "stake_minor"),
    (BETS, slip("f:m", stake_minor=10.5), "stake_minor"),
    (BETS, slip("f:m", stake_minor=10.0), "stake_minor"),
    (BETS, slip("f:m", stake_minor="10"), "stake_minor"),
    (BETS, slip("f:m", stake_minor=True), "stake_minor"),
    (BETS, slip("f:m", stake_minor=10**15 + 1), "stake_minor"),
    (BETS, slip("f:m", stake_minor=10**30), "stake_minor"),
    (BETS, slip("f:m", odds=10_000), "odds"),
    (BETS, slip("f:m", odds=10_000_001), "odds"),
    (BETS, slip("f:m", currency="gbp"), "currency"),
    (BETS, slip("f:m", accept="worse"), "accept"),
    (BETS, slip("f:m", hurry=True), "hurry"),
    (BETS, slip("no-colon"), "market_id"),
    (BETS, slip("f:m\n"), "market_id"),
    (BETS, slip("f:m", selection_id="a/b"), "selection_id"),
    (DEPOSITS, payment(0), "amount_minor"),
    (DEPOSITS, payment(1.5), "amount_minor"),
    (DEPOSITS, payment(None), "amount_minor"),
    (DEPOSITS, payment(10**16), "amount_minor"),
    (PLAYERS, registration("nobody"), "email"),
    (PLAYERS, registration("a b@example.com"), "email"),
    (PLAYERS, registration("a@b.example", password="short"), "password"),
    (PLAYERS, registration("a@b.example", password="x" * 129), "password"),
    (PLAYERS, registration("a@b.example", birth_date="1990-02-30"), "birth_date"),
    (PLAYERS, registration("a@b.example", birth_date="1890-02-20"), "birth_date"),
    (PLAYERS, registration("a@b.example", name=""), "name"),
    (PLAYERS, registration("a@b.example", name="a\0b"), "name"),
    (PLAYERS, registration("a@b.example", name="two\nlines"), "name"),
]

BAD_STAFF_BODIES = [
    (FIXTURES, new_fixture(starts_at="2030-01-01T15:00:00"), "starts_at"),
    (FIXTURES, new_fixture(starts_at="9999-12-31T23:59:59-23:59"), "starts_at"),
    (FIXTURES, new_fixture(starts_at="0001-01-01T00:00:00Z"), "starts_at"),
    (FIXTURES, new_fixture(fixture_id=".."), "fixture_id"),
    (FIXTURES, new_fixture(fixture_id="a:b"), "fixture_id"),
    ("/v1/staff/markets/f:m/prices", {"odds": {}}, "odds"),
    ("/v1/staff/markets/f:m/prices", {"odds": {"a": 5_000}}, "odds"),
    ("/v1/staff/markets/f:m/prices", {"odds": {"a b": 25_000}}, "odds"),
    ("/v1/staff/markets/f:m/status", {"status": "settled"}, "status"),
    ("/v1/staff/markets/f:m/status", {"status": "open", "bet_delay_ms": 30_001}, "bet_delay_ms"),
    ("/v1/staff/markets/f:m/result", {"results": {"a": {"outcome": "maybe"}}}, "results"),
    (
        "/v1/staff/markets/f:m/result",
        {"results": {"a": {"outcome": "lost", "tied": 2}}},
        "results.a",
    ),
    (
        "/v1/staff/markets/f:m/result",
        {"results": {"a": {"outcome": "won", "tied": 1, "places": 2}}},
        "results.a",
    ),
    (
        "/v1/staff/fixtures/f/markets",
        {
            "market_key": "m",
            "name": "M",
            "kind": "k",
            "selections": [{"selection_id": "a", "name": "A"}] * 2,
        },
        "selections",
    ),
    (
        "/v1/staff/fixtures/f/markets",
        {
            "market_key": "m",
            "name": "M",
            "kind": "k",
            "selections": [{"selection_id": "a", "name": "A"}],
            "limits": {"min_stake_minor": 100, "max_stake_minor": 50},
        },
        "limits",
    ),
]


@pytest.fixture(scope="module")
async def somebody(gateway: Any, http: Any) -> Desk:
    return await Desk(http, await gateway.port()).player()


@pytest.mark.parametrize(("path", "body", "named"), BAD_BODIES)
async def test_bad_bodies(somebody: Desk, path: str, body: Any, named: str) -> None:
    problem = (await somebody.post(path, body)).problem(400, "invalid_request")
    assert named in problem["detail"]
    assert (await somebody.get("/v1/wallet"))["version"] == 3


@pytest.mark.parametrize(("path", "body", "named"), BAD_STAFF_BODIES)
async def test_bad_bodies_of_staff(desk: Desk, path: str, body: Any, named: str) -> None:
    problem = (await desk.staff.post(path, body)).problem(400, "invalid_request")
    assert named in problem["detail"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{]",
        b"nonsense",
        b'{"market_id": "\xff"}',
        b'{"market_id": "\\ud800"}',
        b"[" * 60_000,
    ],
)
async def test_what_is_not_json(somebody: Desk, raw: bytes) -> None:
    answer = await somebody.ask("POST", BETS, raw=raw, key="k")
    assert answer.status == 400
    problem = answer.problem(400, answer.json["code"])
    assert problem["code"] in ("malformed_json", "invalid_request")
    if raw[:1] != b"[":
        assert "byte" in problem["detail"].lower()


async def test_what_is_not_a_request_for_this(somebody: Desk) -> None:
    body = slip("f:m")
    raw = json.dumps(body).encode()
    (await somebody.ask("POST", BETS, body)).problem(400, "idempotency_key_missing")
    for key in ("", " ", "two words", "k" * 129, "ключ"):
        answer = await somebody.ask("POST", BETS, body, headers={"Idempotency-Key": key})
        answer.problem(400, "idempotency_key_invalid")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
        answer = await somebody.ask("POST", BETS, raw=raw, key="k", headers={"Content-Type": kind})
        answer.problem(415, "unsupported_media_type")
    huge = b'{"market_id":"' + b"x" * 70_000 + b'"}'
    (await somebody.ask("POST", BETS, raw=huge, key="k")).problem(413, "body_too_large")
    (await somebody.get("/v1/nothing")).problem(404, "not_found")
    (await somebody.get("/v1/bets/")).problem(404, "not_found")
    wrong = await somebody.ask("PUT", BETS, body, key="k")
    wrong.problem(405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, POST"
    (await somebody.get("/v1/stream")).problem(426, "upgrade_required")


@pytest.mark.parametrize(
    ("path", "code", "named"),
    [
        ("/v1/bets?limit=0", "invalid_request", "limit"),
        ("/v1/bets?limit=201", "invalid_request", "limit"),
        ("/v1/bets?limit=ten", "invalid_request", "limit"),
        ("/v1/bets?state=lost", "invalid_request", "state"),
        ("/v1/bets?colour=red", "invalid_request", "colour"),
        ("/v1/bets?limit=1&limit=2", "invalid_request", "twice"),
        ("/v1/bets?cursor=nonsense", "invalid_cursor", "cursor"),
        ("/v1/wallet/statement?cursor=%00", "invalid_cursor", "cursor"),
        ("/v1/wallet/payments?cursor=AAAA", "invalid_cursor", "cursor"),
        ("/v1/fixtures?phase=soon", "invalid_request", "phase"),
        ("/v1/fixtures?sport=a%0Ab", "invalid_request", "sport"),
        ("/v1/fixtures?cursor=kwE", "invalid_cursor", "cursor"),
        ("/v1/bets/a%2Fb", "invalid_request", "bet_id"),
        ("/v1/fixtures/a%00b", "invalid_request", "fixture_id"),
        ("/v1/fixtures/" + "x" * 65, "invalid_request", "fixture_id"),
    ],
)
async def test_bad_paths_and_queries(somebody: Desk, path: str, code: str, named: str) -> None:
    url = URL(somebody.base + path, encoded=True)
    headers = {"Authorization": f"Bearer {somebody.token}"}
    async with somebody.http.get(url, headers=headers) as response:
        document = json.loads(await response.read())
    assert (response.status, document["code"]) == (400, code)
    assert named in document["detail"].lower()


async def test_who_may_not(desk: Desk, somebody: Desk) -> None:
    for path in ("/v1/me", "/v1/wallet", BETS, "/v1/bets/some-bet"):
        (await desk.get(path)).problem(401, "unauthenticated")
        refused = await desk.with_token("made-up").get(path)
        refused.problem(401, "unauthenticated")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    for scheme in (f"Basic {somebody.token}", somebody.token, "Bearer", "Bearer "):
        answer = await desk.ask("GET", "/v1/me", headers={"Authorization": scheme})
        answer.problem(401, "unauthenticated")
    # A player is not staff, and staff are no player.
    (await somebody.post(FIXTURES, new_fixture())).problem(401, "unauthenticated")
    (await desk.staff.get("/v1/me")).problem(401, "unauthenticated")


async def test_what_actors_refuse(desk: Desk, somebody: Desk) -> None:
    market_id = await desk.market()
    cases = [
        (slip("none:none"), 404, "unknown_market"),
        (slip(market_id, selection_id="none"), 404, "unknown_selection"),
        (slip(market_id, currency="EUR"), 409, "currency_mismatch"),
        (slip(market_id, stake_minor=9), 409, "stake_too_small"),
        (slip(market_id, stake_minor=500_001), 409, "stake_above_limit"),
        (slip(market_id, stake_minor=20_000), 409, "insufficient_funds"),
        (slip(market_id, odds=26_000), 409, "price_changed"),
        (slip(market_id, odds=26_000, accept="better"), 409, "price_changed"),
    ]
    for body, status, code in cases:
        (await somebody.post(BETS, body)).problem(status, code)
    changed = (await somebody.post(BETS, slip(market_id, odds=24_000))).problem(
        409, "price_changed"
    )
    assert (changed["odds"], changed["odds_version"]) == (25_000, 1)
    await desk.status(market_id, "suspended")
    (await somebody.post(BETS, slip(market_id))).problem(409, "market_suspended")
    await desk.status(market_id, "closed")
    (await somebody.post(BETS, slip(market_id))).problem(409, "market_closed")
    assert await somebody.cash() == 10_000
    # A fact named as a member that every problem has keeps its value under another name.
    await desk.result(market_id, home="won", draw="lost", away="lost")
    refused = await desk.prices(market_id, home=30_000)
    assert refused.problem(409, "wrong_status")["current_status"] in ("closed", "settled")
    incomplete = await desk.result(await desk.market(), home="won")
    assert incomplete.problem(409, "incomplete_result")["selection_id"] == "draw"
    (await desk.get("/v1/fixtures/none")).problem(404, "unknown_fixture")
    (await somebody.post(DEPOSITS, payment(5, currency="EUR"))).problem(409, "currency_mismatch")
    (await somebody.post(DEPOSITS, payment(5, processor="none"))).problem(400, "unknown_processor")
    (await somebody.post(DEPOSITS, payment(5, method="none"))).problem(400, "unknown_method")


async def test_somebody_elses_bet_is_not_there(desk: Desk, somebody: Desk) -> None:
    market_id = await desk.market()
    bettor = await desk.player()
    bet_id = (await bettor.post(BETS, slip(market_id)))["bet_id"]
    (await somebody.get(f"/v1/bets/{bet_id}")).problem(404, "unknown_bet")
    assert all(bet["bet_id"] != bet_id for bet in (await somebody.get(BETS))["items"])


async def test_registering_twice_and_too_young(desk: Desk) -> None:
    player = await desk.registered()
    again = registration(player.email.upper(), password="another password")
    (await desk.post(PLAYERS, again)).problem(409, "email_taken")
    (await desk.post(PLAYERS, registration(player.email))).problem(409, "email_taken")
    young = await desk.post(PLAYERS, registration("young@example.com", birth_date="2020-01-01"))
    assert young.problem(403, "under_age")["minimum_age"] == 18


async def test_too_many_attempts(backend: Backend, http: Any) -> None:
    gateway = backend.gateway(attempts_per_login=3, attempts_per_address=5, proxies=1)
    await gateway.start()
    try:
        desk = Desk(http, await gateway.port())

        async def attempt(email: str, address: str) -> int:
            body = {"email": email, "password": "whatever it is"}
            headers = {"X-Forwarded-For": f"1.1.1.1, {address}"}
            answer = await desk.ask("POST", "/v1/sessions", body, headers=headers)
            if answer.status == 429:
                answer.problem(429, "rate_limited")
                assert int(answer.headers["Retry-After"]) > 0
            return answer.status

        assert [await attempt("a@limit.example", "10.1.0.1") for _ in range(4)] == [401] * 3 + [429]
        assert [await attempt(f"{n}@limit.example", "10.1.0.1") for n in "bcd"] == [401, 401, 429]
        assert await attempt("a@limit.example", "10.1.0.2") == 401
    finally:
        await gateway.drain(1)


async def test_a_player_who_bets_too_fast(
    backend: Backend, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = backend.gateway(bets_per_minute=3)
    await gateway.start()
    # Within one moment, however long the test takes.
    check = gateway.services.pace.check
    monkeypatch.setattr(gateway.services.pace, "check", lambda player_id, _: check(player_id, 0))
    try:
        desk = Desk(http, await gateway.port())
        market_id = await desk.market()
        player, other = await desk.player(), await desk.player()
        bets = [slip(market_id)] * 3 + [slip("none:none")]
        answers = [await player.post(BETS, bet) for bet in bets]
        assert [answer.status for answer in answers] == [201, 201, 201, 429]
        answers[-1].problem(429, "rate_limited")
        assert answers[-1].headers["Retry-After"] == "20"
        socket = await player.stream(logged_in=True)
        refused = await socket.ask("bet", key="k", bet=slip(market_id))
        assert refused["problem"]["code"] == "rate_limited"
        assert refused["problem"]["retry_after_s"] == 20
        await socket.close()
        assert (await other.post(BETS, slip(market_id))).status == 201
        assert await player.cash() == 10_000 - 3 * 500
    finally:
        await gateway.drain(1)


def test_a_pace_comes_back_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(60)
    for _ in range(60):
        pace.check("ann", 1_000_000)
    for now_ms, wait_s in ((1_000_000, 1), (1_000_999, 1)):
        with pytest.raises(Problem) as refused:
            pace.check("ann", now_ms)
        assert refused.value.headers["Retry-After"] == str(wait_s)
    pace.check("ann", 1_001_000)
    monkeypatch.setattr("gateway.limits.MAX_PACED", 2)
    pace.check("ben", 1_001_000)
    pace.check("cyd", 1_001_000 + 2_000)  # ben is forgotten, ann is not
    assert set(pace._ends) == {"ann", "cyd"}
    for _ in range(1_000):
        Pace(0).check("ann", 0)


async def test_an_unexpected_failure_shows_nothing_of_itself(
    backend: Backend, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = backend.gateway()
    await gateway.start()
    try:
        desk = Desk(http, await gateway.port())

        async def fail(*_: Any) -> Any:
            raise RuntimeError("the secret inside")

        monkeypatch.setattr(gateway.services.router, "ask", fail)
        answer = await desk.get("/v1/fixtures/f")
        problem = answer.problem(500, "internal_error")
        assert b"secret" not in answer.raw
        assert len(problem["request_id"]) == 16
    finally:
        monkeypatch.undo()
        await gateway.drain(1)


def test_settings_that_are_no_good() -> None:
    good = {"valkey_url": "redis://x", "staff_token": STAFF_TOKEN}
    for change, named in (
        ({"staff_token": "short"}, "staff_token"),
        ({"session_idle_s": 0}, "session_idle_s"),
        ({"attempts_per_address": 1}, "attempts_per_address"),
        ({"password_threads": 0}, "password_threads"),
        ({"bets_per_minute": -1}, "bets_per_minute"),
    ):
        with pytest.raises(ValueError, match=named):
            GatewaySettings(**{**good, **change})  # type: ignore[arg-type]
