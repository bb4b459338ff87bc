"""Who may come to the desk, and what their role lets them do there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from actors.staff import Role
from gateway.http import Auth
from gateway.routes import all_routes
from ledger.rebuild import rebuild
from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import PASSWORD, Desk
from tests.gateway.trading import REASON, Trader, member

LADDER = [role.value for role in Role]


async def test_from_being_added_to_logging_out(desk: Desk) -> None:
    kim = await member(desk, "trader")
    me = (await kim.read("me")).json
    assert (me["login"], me["role"]) == (kim.login, "trader")
    assert (me["currency"], me["minor_digits"]) == ("GBP", 2)
    assert (await kim.ask("DELETE", "/v1/desk/sessions/current")).status == 204
    (await kim.read("me")).problem(401, "unauthenticated")


async def test_the_machines_token_is_an_admin_without_a_name(desk: Desk) -> None:
    machine = Trader(desk.http, desk.port, desk.staff.token)
    assert (await machine.read("me")).json["role"] == "admin"
    assert (await machine.ask("DELETE", "/v1/desk/sessions/current")).status == 204
    assert (await machine.read("me")).status == 200  # nothing of it can be logged out


@pytest.mark.parametrize("has", LADDER)
async def test_a_route_lets_in_those_of_its_role_and_above(desk: Desk, has: str) -> None:
    """Every route of the desk, as it is declared. What is asked is nonsense: whether somebody may
    ask it comes first."""
    kim = await member(desk, has)
    for route in all_routes():
        if route.auth is not Auth.DESK or route.name == "deskLogOut":
            continue
        path = route.path
        for name, value in (
            ("fixture_id", "none"),
            ("market_id", "none:none"),
            ("stop_id", "0" * 20),
            ("login", "nobody-there"),
            ("entry_id", "book-00.1.0"),
            ("referral_id", "nothing-asked"),
            ("player_id", "nobody-there"),
            ("bonus_id", "nothing-given"),
            ("hedge_id", "nothing-laid-off"),
        ):
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, "a part of the path has no value here yet"
        body: Any = {} if route.method == "POST" else None
        answer = await kim.ask(route.method, path, body, key=uuid4().hex)
        allowed = LADDER.index(has) >= LADDER.index(route.role.value)
        if allowed:
            assert answer.status not in (401, 403), (route.name, answer.raw)
        else:
            problem = answer.problem(403, "forbidden")
            assert (problem["role"], problem["needed"]) == (has, route.role.value)


async def test_players_and_nobody_are_not_staff(desk: Desk) -> None:
    player = await desk.registered()
    for somebody in (desk, player):
        (await somebody.get("/v1/desk/board")).problem(401, "unauthenticated")
    # and the desk's sessions are nothing to players' routes, nor to the machine's
    kim = await member(desk, "admin")
    (await kim.get("/v1/wallet")).problem(401, "unauthenticated")
    refused = await kim.post("/v1/staff/markets/a:b/prices", {"odds": {"a": 0}})
    refused.problem(401, "unauthenticated")


async def test_a_new_password_ends_the_sessions_of_the_old_one(desk: Desk) -> None:
    kim, ann = await member(desk, "viewer"), await member(desk, "admin")
    for _ in range(7):
        wrong = {"login": kim.login, "password": "not the password"}
        (await desk.ask("POST", "/v1/desk/sessions", wrong)).problem(401, "bad_credentials")
    assert (await kim.read("me")).status == 200
    right = {"login": kim.login, "password": PASSWORD}
    assert (await desk.ask("POST", "/v1/desk/sessions", right)).status == 201
    body = {"password": "another password"}
    assert (await ann.act(f"staff/{kim.login}/password", body)).status == 200
    (await kim.read("me")).problem(401, "unauthenticated")
    (await desk.ask("POST", "/v1/desk/sessions", right)).problem(401, "bad_credentials")


async def test_an_unknown_log_in_is_told_what_a_wrong_password_is(desk: Desk) -> None:
    nobody = {"login": "nobody-there", "password": PASSWORD}
    (await desk.ask("POST", "/v1/desk/sessions", nobody)).problem(401, "bad_credentials")


async def test_a_log_in_that_no_database_can_be_asked_for_is_refused(desk: Desk) -> None:
    odd = {"login": "kim\0doe", "password": PASSWORD}
    (await desk.ask("POST", "/v1/desk/sessions", odd)).problem(400, "invalid_request")


async def test_a_role_counts_from_the_next_request(desk: Desk) -> None:
    ann, kim = await member(desk, "admin"), await member(desk, "admin")
    assert (await kim.read("staff")).status == 200
    changed = await ann.act(f"staff/{kim.login}/role", {"role": "viewer"})
    assert changed["role"] == "viewer"
    (await kim.read("staff")).problem(403, "forbidden")
    assert (await kim.read("board")).status == 200
    again = await ann.act(f"staff/{kim.login}/role", {"role": "viewer"})
    again.problem(409, "wrong_status")


async def test_who_is_disabled_is_out(desk: Desk) -> None:
    ann, kim = await member(desk, "admin"), await member(desk, "head_trader")
    socket = await kim.watch()
    assert (await ann.act(f"staff/{kim.login}/disable"))["disabled"] is True
    (await kim.read("me")).problem(401, "unauthenticated")
    right = {"login": kim.login, "password": PASSWORD}
    (await desk.ask("POST", "/v1/desk/sessions", right)).problem(403, "member_disabled")
    assert (await ann.act(f"staff/{kim.login}/enable"))["disabled"] is False
    assert (await kim.read("me")).status == 200
    await socket.ws.close()


async def test_staff_are_listed_once_each(desk: Desk) -> None:
    ann = await member(desk, "admin")
    kim = await member(desk, "viewer")

    async def is_listed() -> bool:
        logins = [one["login"] for one in (await ann.read("staff"))["items"]]
        assert len(logins) == len(set(logins))
        return {ann.login, kim.login} <= set(logins)

    await until(is_listed, "both are listed")
    assert "password" not in (await ann.read("staff")).raw.decode()


@pytest.mark.parametrize("reason", [None, "", "ab", " abc", "abc ", "a\nbc", "x" * 201, "a\0bc"])
async def test_every_change_needs_a_reason(desk: Desk, reason: str | None) -> None:
    ann = await member(desk, "admin")
    body = {} if reason is None else {"reason": reason}
    for path in (f"staff/{ann.login}/disable", "stops"):
        refused = await ann.post(f"/v1/desk/{path}", body)
        refused.problem(400, "invalid_request")
    assert (await ann.read("me")).status == 200


async def test_a_change_of_staff_is_done_once(desk: Desk) -> None:
    ann = await member(desk, "admin")
    login = f"new-{uuid4().hex[:8]}"
    body = {"login": login, "name": "New One", "role": "viewer", "password": PASSWORD}
    first = await ann.act("staff", body, key="add-once")
    assert (await ann.act("staff", body, key="add-once")).json == first.json
    (await ann.act("staff", body)).problem(409, "already_exists")
    other = await ann.act("staff", body | {"reason": "another one"}, key="add-once")
    other.problem(422, "idempotency_key_reused")


async def test_the_audit_says_who_and_why(desk: Desk, backend: Backend) -> None:
    ann, kim = await member(desk, "admin"), await member(desk, "viewer")
    await ann.act(f"staff/{kim.login}/disable", {"reason": "Left on Friday"})
    found: list[Any] = []

    async def is_written() -> bool:
        lines = (await ann.read("audit"))["items"]
        found[:] = [one for one in lines if one["about"] == f"staff/{kim.login}"]
        return len(found) >= 2

    await until(is_written, "the audit has it")
    disabled, added = found
    assert (disabled["by"], disabled["reason"]) == (f"staff/{ann.login}", "Left on Friday")
    assert disabled["events"] == ["MemberDisabled"]
    assert (added["by"], added["reason"]) == ("staff", REASON)
    full = (await ann.read(f"audit/{added['entry_id']}")).json
    assert full["events"][0]["event"] == "MemberAdded"
    assert full["events"][0]["role"] == "viewer"
    assert "password_hash" not in full["events"][0]
    (await ann.read("audit/book-00.999999.0")).problem(404, "not_found")


async def test_the_books_are_clean_with_all_of_it(desk: Desk, backend: Backend) -> None:
    """The audit with its reasons is what the journal says, and is made again from it the same."""
    ann, kim = await member(desk, "admin"), await member(desk, "trader")
    market_id = await desk.market()
    await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 22_000}, "reason": "Team news"})
    stop = await kim.act("stops", {"reach": "market", "target": market_id})
    await kim.act(f"stops/{stop['stop_id']}/lift")
    await ann.act(f"staff/{kim.login}/disable")
    pool = backend.pools["book"]

    async def all_projected() -> bool:
        heads = await backend.reads["book"].heads()
        positions = await backend.reads["book"].positions()
        return all(positions.get(name, 0) >= seq for name, seq in heads.items())

    await until(all_projected, "the ledger has caught up")
    report = await verify(pool, "book")
    assert report.ok, report
    assert report.check("audit").counted > 5
    again = await rebuild(pool, "book")
    assert again.ok, again
