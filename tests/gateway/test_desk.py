"""The trader's desk over HTTP and its own WebSocket."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from actors.stop import GetStop, StopView
from actors.trading import ChangePrices, MovePrices, PricesChanged
from gateway import keys
from gateway.coordinator import BY
from gateway.desk import stream as desk_stream
from gateway.desk.history import times_of
from gateway.desk.stream import DeskStream
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, slip
from tests.gateway.test_terms import EACH_WAY, race, single, withdraw
from tests.gateway.test_terms import slip as race_slip
from tests.gateway.trading import REASON, Trader, member
from tests.patience import PATIENCE_S

MARKETS = 500
PER_FIXTURE = 10
SOCKETS = 20
STOPS = 3


@pytest.fixture
async def kim(desk: Desk) -> Trader:
    """A head trader."""
    return await member(desk, "head_trader")


async def status_of(desk: Desk, market_id: str) -> str:
    fixture = (await desk.get(f"/v1/fixtures/{market_id.split(':')[0]}")).json
    found = {market["market_id"]: market["status"] for market in fixture["markets"]}
    return str(found[market_id])


async def shown(kim: Trader, market_id: str) -> Any:
    """A market as the desk shows it."""
    event = (await kim.read(f"fixtures/{market_id.split(':')[0]}")).json
    return next(one for one in event["fixture"]["markets"] if one["market_id"] == market_id)


# The board


async def test_the_board_shows_what_a_trader_looks_at(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    await desk.prices(market_id, home=26_000)
    player = await desk.player()
    placed = await player.post("/v1/bets", slip(market_id, odds=26_000))
    assert placed.status == 201

    async def bet_is_shown() -> bool:
        market = await shown(kim, market_id)
        return bool(market["known"] and market["handle_minor"] == 500 and market["holds"] == 0)

    await until(bet_is_shown, "the bet is in the book")
    market = await shown(kim, market_id)
    home, draw, _ = market["selections"]
    assert home == {
        "selection_id": "home",
        "name": "Reds",
        "odds": 26_000,
        "withdrawn": False,
        "bets": 1,
        "stakes_minor": 500,
        "liability_minor": 800,
    }
    assert (draw["bets"], draw["odds"]) == (0, 32_000)
    assert (market["worst_minor"], market["selection_count"]) == (800, 3)
    assert (market["status"], market["causes"], market["stale"]) == ("open", {}, False)
    assert market["source"] == "staff"  # the machine's token has priced it
    assert market["priced_at"] <= (await kim.read(f"fixtures/{fixture_id}")).json["now"]
    limits = (await kim.read(f"fixtures/{fixture_id}")).json["limits"][market_id]
    assert (limits["min_stake_minor"], limits["max_liability_minor"]) == (10, 5_000_000)


async def test_the_board_is_filtered_and_comes_in_pages(desk: Desk, kim: Trader) -> None:
    word = f"Word{uuid4().hex[:8]}"
    fixture_ids = []
    for number in range(3):
        created = await desk.staff.post(
            "/v1/staff/fixtures",
            {
                "sport": f"sport-{word}",
                "competition": f"{word} Cup",
                "name": f"Reds v Blues {number}",
                "starts_at": f"2030-01-0{number + 1}T15:00:00Z",
            },
        )
        fixture_ids.append(created["fixture_id"])
    suspended = await desk.market(fixture_ids[1])
    await desk.status(suspended, "suspended")
    await desk.staff.post(f"/v1/staff/fixtures/{fixture_ids[2]}/phase", {"phase": "ended"})

    async def listed(query: str) -> list[str]:
        page = (await kim.read(f"board?{query}")).json
        return [one["fixture_id"] for one in page["items"]]

    async def all_are_there() -> bool:
        return await listed(f"sport=sport-{word}&phase=ended") == fixture_ids[2:]

    await until(all_are_there, "the ledger has them")
    assert await listed(f"text={word.lower()}%20CUP") == fixture_ids[:2]  # not what is over
    assert await listed(f"text={fixture_ids[0]}") == fixture_ids[:1]
    assert await listed(f"text={word}&status=suspended") == fixture_ids[1:2]
    assert await listed(f"text={word}&status=closed") == []
    first = (await kim.read(f"board?text={word}&limit=1")).json
    assert [one["fixture_id"] for one in first["items"]] == fixture_ids[:1]
    rest = (await kim.read(f"board?text={word}&limit=1&cursor={first['next_cursor']}")).json
    assert [one["fixture_id"] for one in rest["items"]] == fixture_ids[1:2]
    assert rest["next_cursor"] is None


async def test_a_page_is_told_of_what_changes(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    socket = await kim.watch(fixture_id)
    await socket.until(lambda markets: market_id in markets and markets[market_id]["known"])
    assert socket.markets[market_id]["selections"][0]["odds"] == 25_000

    await desk.prices(market_id, home=24_000)
    await socket.until(lambda markets: markets[market_id]["selections"][0]["odds"] == 24_000)
    await desk.status(market_id, "suspended")
    await socket.until(lambda markets: markets[market_id]["status"] == "suspended")
    await desk.status(market_id, "open")
    player = await desk.player()
    await player.post("/v1/bets", slip(market_id, odds=24_000))
    await socket.until(lambda markets: markets[market_id]["handle_minor"] == 500)
    assert socket.markets[market_id]["worst_minor"] == 700
    await socket.ws.close()


async def test_many_changes_are_few_frames(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    socket = await kim.watch(fixture_id)
    await socket.until(lambda markets: market_id in markets and markets[market_id]["known"])
    before, began = socket.frames, time.monotonic()
    for odds in range(20_000, 30_000, 100):
        await desk.prices(market_id, home=odds)
    await socket.until(lambda markets: markets[market_id]["selections"][0]["odds"] == 29_900)
    took_s = time.monotonic() - began
    # Four a second, and a few that were on their way or tell of other tests' referrals.
    assert socket.frames - before <= 4 * took_s + 5
    await socket.ws.close()


async def test_a_page_that_can_not_be_told_any_more_is_let_go(
    desk: Desk, kim: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on to show what is not so any more, and call itself live."""
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    socket = await kim.watch(fixture_id)
    await socket.until(lambda markets: market_id in markets)

    async def too_slow(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(DeskStream, "_say", too_slow)
    await desk.prices(market_id, home=24_000)
    async with asyncio.timeout(PATIENCE_S):
        while (await socket.ws.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert socket.ws.closed


async def test_a_page_has_to_say_who_it_is(desk: Desk, kim: Trader) -> None:
    for said, code in (
        ({"type": "login", "token": "made up"}, 4001),
        ({"type": "watch", "fixtures": []}, 4001),
        ({"type": "nonsense"}, 4000),
    ):
        ws = await kim.http.ws_connect(
            f"{kim.base}/v1/desk/stream", protocols=("grandstand.desk.v1",)
        )
        await ws.send_json(said)
        while not ws.closed:
            await ws.receive(timeout=PATIENCE_S)
        assert ws.close_code == code, said
    (await kim.read("stream")).problem(426, "upgrade_required")


async def test_strangers_take_no_place_of_a_member_s(
    kim: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_stream, "MAX_SOCKETS", 1)
    monkeypatch.setattr(desk_stream, "MAX_STRANGERS", 3)
    strangers = [
        await kim.http.ws_connect(f"{kim.base}/v1/desk/stream", protocols=("grandstand.desk.v1",))
        for _ in range(5)
    ]
    # The oldest two are gone; the others may still say who they are.
    for ws in strangers[:2]:
        assert (await ws.receive(timeout=PATIENCE_S)).type is not aiohttp.WSMsgType.TEXT
        assert ws.closed
    await strangers[2].send_json({"type": "login", "token": kim.token})
    assert (await strangers[2].receive_json(timeout=PATIENCE_S))["type"] == "welcome"
    # That is the one member there is room for.
    (await kim.read("stream")).problem(503, "too_many_sockets")
    for ws in strangers[2:]:
        await ws.close()


# Prices, status, limits


async def test_prices_are_moved_by_hand(desk: Desk, kim: Trader, backend: Backend) -> None:
    market_id = await desk.market()
    moved = await kim.act(
        f"markets/{market_id}/prices", {"odds": {"home": 22_000}, "reason": "Team news"}, key="m1"
    )
    assert moved["odds"] == {"home": 22_000}
    again = await kim.act(
        f"markets/{market_id}/prices", {"odds": {"home": 22_000}, "reason": "Team news"}, key="m1"
    )
    assert again.json == moved.json
    assert (await shown(kim, market_id))["selections"][0]["odds"] == 22_000
    nonsense = await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 9_999}})
    assert "$.odds.home" in nonsense.problem(400, "invalid_request")["detail"]
    unknown = await kim.act(f"markets/{market_id}/prices", {"odds": {"nobody": 22_000}})
    unknown.problem(404, "unknown_selection")

    async def says_who_and_why() -> bool:
        lines = (await kim.read(f"audit?market_id={market_id}"))["items"]
        told = [(one["by"], one["reason"]) for one in lines if one["events"] == ["PricesHeld"]]
        return (f"staff/{kim.login}", "Team news") in told

    await until(says_who_and_why, "the audit has it")
    assert (await shown(kim, market_id))["source"] == "staff"  # whose prices of the others are


async def test_a_held_price_stays_until_it_is_given_back(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    market_id = await desk.market()
    path = f"markets/{market_id}/prices"
    player = await desk.player()
    stream = await desk.stream()
    assert (await stream.ask("subscribe", fixtures=[market_id.split(":")[0]]))["type"] == "ok"
    watching = await kim.watch(market_id.split(":")[0], whole=True)
    await kim.act(path, {"odds": {"home": 22_000, "away": 0}, "for_s": 3_600})
    # The feed's word is neither shown nor had.
    fed = await desk.prices(market_id, home=26_000, draw=33_000)
    assert fed["odds"] == {"draw": 33_000}
    home, draw, away = (await shown(kim, market_id))["selections"]
    hand = home["hand"]
    assert (home["odds"], hand["by"], hand["feed_odds"]) == (22_000, f"staff/{kim.login}", 26_000)
    assert hand["since"] < hand["until"]
    assert (draw["odds"], "hand" in draw, away["odds"]) == (33_000, False, 0)
    assert away["hand"]["feed_odds"] == 29_000
    changed = (await player.post("/v1/bets", slip(market_id, odds=26_000))).problem(
        409, "price_changed"
    )
    assert changed["odds"] == 22_000
    assert (await player.post("/v1/bets", slip(market_id, odds=22_000))).status == 201

    # Seen live by traders, too: the gateway's own copy is as the market is.
    def behind(markets: dict[str, Any]) -> dict[str, int]:
        """What the feed says behind prices that are held, as the page knows it."""
        selections = markets[market_id]["selections"] if market_id in markets else []
        return {
            one["selection_id"]: one["hand"]["feed_odds"] for one in selections if "hand" in one
        }

    await watching.until(lambda markets: behind(markets) == {"home": 26_000, "away": 29_000})
    (await kim.act(f"{path}/give-back", {"selection_ids": ["draw"]})).problem(409, "wrong_status")
    (await kim.act(f"{path}/give-back", {"selection_ids": ["x"]})).problem(404, "unknown_selection")
    given = await kim.act(f"{path}/give-back", {"selection_ids": ["home"]}, key="g1")
    assert given["odds"] == {"home": 26_000}
    again = await kim.act(f"{path}/give-back", {"selection_ids": ["home"]}, key="g1")
    assert again.json == given.json
    assert (await kim.act(f"{path}/give-back"))["odds"] == {"away": 29_000}
    await watching.until(lambda markets: behind(markets) == {})
    told: dict[str, int] = {}
    while told != {"home": 26_000, "draw": 33_000, "away": 29_000}:
        told |= (await stream.next("prices"))["odds"]
    (await kim.act(path, {"odds": {"home": 22_000}, "for_s": 86_401})).problem(
        400, "invalid_request"
    )
    viewer = await member(desk, "viewer")
    (await viewer.act(f"{path}/give-back")).problem(403, "forbidden")


async def holds(kim: Trader, market_id: str) -> bool:
    """Whether the ledger knows that somebody has held a price there."""
    lines = (await kim.read(f"audit?market_id={market_id}"))["items"]
    return any(one["events"] == ["PricesHeld"] for one in lines)


async def test_a_status_by_hand_keeps_the_bet_delay(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    await desk.status(market_id, "open", in_play=True, bet_delay_ms=3_000)
    closed = await kim.act(f"markets/{market_id}/status", {"status": "closed"})
    assert (closed["status"], closed["in_play"], closed["bet_delay_ms"]) == ("closed", True, 3_000)


async def test_limits_that_are_left_out_stay(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    path = f"markets/{market_id}/limits"
    changed = await kim.act(path, {"max_stake_minor": 1_000, "max_age_ms": 60_000})
    limits = changed["limits"]
    assert (limits["max_stake_minor"], limits["max_age_ms"]) == (1_000, 60_000)
    assert (limits["min_stake_minor"], limits["max_liability_minor"]) == (10, 5_000_000)
    player = await desk.player()
    refused = await player.post("/v1/bets", slip(market_id, stake_minor=1_001))
    assert refused.problem(409, "stake_above_limit")["max_stake_minor"] == 1_000
    (await kim.act(path)).problem(400, "invalid_request")
    (await kim.act(path, {"min_stake_minor": 2_000})).problem(409, "out_of_bounds")
    (await kim.act("markets/a:b/limits", {"max_age_ms": 1})).problem(404, "unknown_market")


async def test_limits_changed_by_two_at_once_are_seen_before_they_are_overwritten(
    desk: Desk, kim: Trader
) -> None:
    market_id = await desk.market()
    path = f"markets/{market_id}/limits"

    async def as_read() -> Any:
        event = (await kim.read(f"fixtures/{market_id.split(':')[0]}")).json
        return event["limits"][market_id]

    read = await as_read()
    assert read["version"] == 0
    mine = await kim.act(path, {"max_stake_minor": 1_000, "version": 0}, key="l1")
    assert mine["limits"]["version"] == 1
    # Repeated it is the same answer, not a conflict with itself.
    again = await kim.act(path, {"max_stake_minor": 1_000, "version": 0}, key="l1")
    assert again.json == mine.json
    late = await kim.act(path, {"max_stake_minor": 2_000, "version": read["version"]})
    now = late.problem(409, "version_conflict")
    assert {name: now[name] for name in read} == await as_read() == mine["limits"]
    seen = await kim.act(path, {"max_stake_minor": 2_000, "version": now["version"]})
    assert (seen["limits"]["max_stake_minor"], seen["limits"]["version"]) == (2_000, 2)
    # Who knows of no versions changes what he says, and nothing else.
    old = await kim.act(path, {"min_stake_minor": 20})
    assert (old["limits"]["max_stake_minor"], old["limits"]["version"]) == (2_000, 3)


# Stops


async def test_a_market_is_stopped_and_let_go(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    stop = await kim.act("stops", {"reach": "market", "target": market_id}, key="s1")
    assert (stop.status, stop["markets"]) == (201, 1)
    assert await status_of(desk, market_id) == "suspended"
    causes = (await shown(kim, market_id))["causes"]
    assert list(causes) == [f"stop/{stop['stop_id']}"]
    again = await kim.act("stops", {"reach": "market", "target": market_id}, key="s1")
    assert (again["stop_id"], again["markets"]) == (stop["stop_id"], 0)

    async def stands() -> bool:
        standing = {one["stop_id"]: one for one in (await kim.read("stops"))["items"]}
        mine = standing.get(stop["stop_id"])
        return mine is not None and mine["reason"] == REASON

    await until(stands, "the stop is listed")
    lifted = await kim.act(f"stops/{stop['stop_id']}/lift")
    assert lifted["markets"] == 1
    assert lifted["lifted_at"] >= lifted["ordered_at"]
    assert await status_of(desk, market_id) == "open"
    (await kim.act(f"stops/{stop['stop_id']}/lift")).problem(409, "wrong_status")
    # Asked again with its key, the stop is not ordered anew.
    late = await kim.act("stops", {"reach": "market", "target": market_id}, key="s1")
    assert (late["markets"], "lifted_at" in late.json) == (0, True)
    assert await status_of(desk, market_id) == "open"


async def test_a_stop_lets_go_only_what_it_has_suspended(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    open_, by_hand, stopped_before, closed_later = [
        await desk.market(fixture_id, key) for key in ("a", "b", "c", "d")
    ]
    await desk.status(by_hand, "suspended")
    before = await kim.act("stops", {"reach": "market", "target": stopped_before})
    ann = await member(desk, "trader")

    async def all_are_known() -> bool:
        board = (await kim.read(f"board?text={fixture_id}"))["items"]
        return bool(board) and len(board[0]["markets"]) == 4

    await until(all_are_known, "the ledger has the markets")
    stop = await ann.act("stops", {"reach": "event", "target": fixture_id})
    assert stop["markets"] == 4
    await desk.status(closed_later, "closed")
    lifted = await ann.act(f"stops/{stop['stop_id']}/lift")
    assert lifted["markets"] == 4
    found = {one: await status_of(desk, one) for one in (open_, by_hand, stopped_before)}
    assert found == {open_: "open", by_hand: "suspended", stopped_before: "suspended"}
    # The one closed meanwhile stays so, and opens without a trace of the stop.
    assert await status_of(desk, closed_later) == "closed"
    await desk.status(closed_later, "open")
    assert await status_of(desk, closed_later) == "open"
    await kim.act(f"stops/{before['stop_id']}/lift")
    assert await status_of(desk, stopped_before) == "open"


async def test_a_stop_too_many_names_those_that_could_be_lifted(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    order = {"reach": "market", "target": market_id}
    stops = [(await kim.act("stops", order, key=f"k{n}"))["stop_id"] for n in range(5)]

    async def all_known() -> bool:
        return set(stops) <= {one["stop_id"] for one in (await kim.read("stops"))["items"]}

    await until(all_known, "the ledger has the stops")
    refused = (await kim.act("stops", order)).problem(409, "too_many_stops")
    assert set(refused["stops"].split(", ")) == set(stops)
    # One again is no other, even one that was lifted and has another in its place;
    await kim.act(f"stops/{stops[0]}/lift")
    lifted, stops[0] = stops[0], (await kim.act("stops", order, key="k5"))["stop_id"]
    await until(all_known, "the ledger has the last stop")
    for again, key in ((lifted, "k0"), (stops[4], "k4")):
        assert (await kim.act("stops", order, key=key))["stop_id"] == again
    # and another target is.
    event = {"reach": "event", "target": market_id.split(":")[0]}
    stops.append((await kim.act("stops", event))["stop_id"])
    for stop_id in stops:
        assert await status_of(desk, market_id) == "suspended"
        await kim.act(f"stops/{stop_id}/lift")
    assert await status_of(desk, market_id) == "open"


async def test_what_a_source_prices_is_stopped(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    mine, others = await desk.market(fixture_id, "mine"), await desk.market(fixture_id, "others")
    await kim.act(f"markets/{mine}/prices", {"odds": {"home": 22_000}})

    await until(lambda: holds(kim, mine), "the ledger knows who has priced it")
    stop = await kim.act("stops", {"reach": "source", "target": f"staff/{kim.login}"})
    assert stop["markets"] == 1
    assert await status_of(desk, mine) == "suspended"
    assert await status_of(desk, others) == "open"
    # Somebody else prices it meanwhile: it is let go all the same.
    await desk.prices(mine, home=23_000)
    assert (await kim.act(f"stops/{stop['stop_id']}/lift"))["markets"] == 1
    assert await status_of(desk, mine) == "open"


async def test_a_source_is_stopped_though_the_house_has_moved_its_prices(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    market_id = await desk.market()
    fixture_id = market_id.split(":")[0]
    await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 22_000}})
    moved = MovePrices(fixture_id, market_id, {"draw": 21_000}, 2)
    answer = await backend.cluster.router.ask("book", fixture_id, moved, by=BY)
    assert isinstance(answer.reply, PricesChanged)

    async def is_known() -> bool:
        history = (await kim.read(f"markets/{market_id}/prices")).json
        points = history["selections"].get("draw")
        return bool(points) and points[-1]["odds"] == 21_000

    await until(is_known, "the ledger has the move")
    assert (await shown(kim, market_id))["source"] == "staff"
    stop = await kim.act("stops", {"reach": "source", "target": f"staff/{kim.login}"})
    assert stop["markets"] == 1
    assert await status_of(desk, market_id) == "suspended"


@pytest.mark.parametrize("reach", ["event", "source"])
async def test_what_was_closed_does_not_open_under_a_stop(
    desk: Desk, kim: Trader, reach: str
) -> None:
    """As a feed does with a market that it calls inactive for a while."""
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 22_000}})
    await desk.status(market_id, "closed")

    async def is_known() -> bool:
        board = (await kim.read(f"board?text={fixture_id}&status=closed"))["items"]
        return bool(board)

    await until(is_known, "the ledger knows that it is closed")
    target = fixture_id if reach == "event" else f"staff/{kim.login}"
    stop = await kim.act("stops", {"reach": reach, "target": target})
    await desk.status(market_id, "open")
    assert await status_of(desk, market_id) == "suspended"
    await kim.act(f"stops/{stop['stop_id']}/lift")
    assert await status_of(desk, market_id) == "open"


async def test_nothing_stays_stopped_for_a_stop_that_was_lifted_meanwhile(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    fixture_id = await desk.fixture()
    target = {"reach": "event", "target": fixture_id}
    stop_id = keys.id_from(f"staff/{kim.login} meanwhile")
    async with backend.behind():
        market_id = await desk.market(fixture_id, "late")
        stopping = asyncio.create_task(kim.act("stops", target, key="meanwhile"))

        async def is_ordered() -> bool:
            found = await backend.cluster.router.ask("book", stop_id, GetStop(stop_id))
            return isinstance(found.reply, StopView)

        await until(is_ordered, "the stop is written down")
        assert (await kim.act(f"stops/{stop_id}/lift")).status == 200
    assert "lifted_at" in (await stopping).json
    assert await status_of(desk, market_id) == "open"


async def test_a_result_that_is_taken_back_brings_no_stop_with_it(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    stop = await kim.act("stops", {"reach": "event", "target": fixture_id})
    assert stop["markets"] == 1
    await desk.result(market_id, home="won", draw="lost", away="lost")

    async def is_settled() -> bool:
        return bool((await kim.read(f"board?text={fixture_id}&status=settled"))["items"])

    await until(is_settled, "the ledger has it settled")
    assert (await kim.act(f"stops/{stop['stop_id']}/lift")).status == 200
    path = f"/v1/staff/markets/{market_id}/result/rollback"
    assert (await desk.staff.post(path, {})).status == 200
    await desk.status(market_id, "open")
    assert await status_of(desk, market_id) == "open"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"reach": "everything", "target": "x"}, 400, "invalid_request"),
        ({"reach": "event"}, 400, "invalid_request"),
        ({"reach": "event", "target": "nothing"}, 404, "unknown_fixture"),
        ({"reach": "market", "target": "no:thing"}, 404, "unknown_market"),
        ({"reach": "market", "target": f"{'f' * 64}:{'m' * 64}"}, 404, "unknown_market"),
        ({"reach": "source", "target": "feed:nobody"}, 404, "unknown_source"),
        ({"reach": "source", "target": "staff/nobody"}, 404, "unknown_source"),
        ({"reach": "source", "target": "uof"}, 404, "unknown_source"),
        ({"reach": "galaxy"}, 400, "invalid_request"),
    ],
)
async def test_a_stop_of_nothing(kim: Trader, body: Any, status: int, code: str) -> None:
    (await kim.act("stops", body)).problem(status, code)


async def test_a_part_of_a_feed_is_stopped_alone_or_with_its_feed(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    before_play, in_play = await desk.market(), await desk.market()
    for market_id, producer in ((before_play, 3), (in_play, 1)):
        prices = ChangePrices(market_id.split(":")[0], market_id, {"home": 22_000}, 1)
        by = f"feed:betfair/{producer}"
        answer = await backend.cluster.router.ask("book", prices.fixture_id, prices, by=by)
        assert isinstance(answer.reply, PricesChanged)

        async def is_known(market_id: str = market_id, by: str = by) -> bool:
            return bool((await shown(kim, market_id))["source"] == by)

        await until(is_known, "the ledger has the prices")
    alone = await kim.act("stops", {"reach": "source", "target": "feed:betfair/1"})
    assert (alone.status, alone["markets"]) == (201, 1)
    assert await status_of(desk, in_play) == "suspended"
    assert await status_of(desk, before_play) == "open"
    both = await kim.act("stops", {"reach": "source", "target": "feed:betfair"})
    assert both["markets"] == 2
    assert await status_of(desk, before_play) == "suspended"
    for stop in (alone, both):
        assert (await kim.act(f"stops/{stop['stop_id']}/lift")).status == 200
    assert await status_of(desk, in_play) == "open"


async def test_a_source_is_stopped_before_it_prices_anything(kim: Trader) -> None:
    for source in ("feed:uof", f"staff/{kim.login}"):
        stop = await kim.act("stops", {"reach": "source", "target": source})
        assert (stop.status, stop["markets"]) == (201, 0)
        assert (await kim.act(f"stops/{stop['stop_id']}/lift")).status == 200


async def test_everything_is_suspended_for_less_than_a_second_of_cpu(
    desk: Desk, kim: Trader
) -> None:
    """From the trader's request to the last of many sockets, with 500 markets.

    Each socket hears of each market. What is limited is the CPU of this one process, in which the
    gateway, the shards and the clients are, at the best of a few stops: how long it takes by the
    clock depends on what else the machine does, and is for `make bench` to say.
    """
    fixture_ids = await asyncio.gather(*(desk.fixture() for _ in range(MARKETS // PER_FIXTURE)))
    market_ids = set(
        await asyncio.gather(
            *(
                desk.market(fixture_id, f"m{number}")
                for fixture_id in fixture_ids
                for number in range(PER_FIXTURE)
            )
        )
    )
    sockets = []
    for _ in range(SOCKETS):
        socket = await desk.stream()
        assert (await socket.ask("subscribe", fixtures=fixture_ids))["type"] == "ok"
        socket.pushed.clear()
        sockets.append(socket)

    async def all_have(socket: Any, status: str) -> None:
        waiting = set(market_ids)
        while waiting:
            frame = await socket.next("status", "snapshot")
            if frame["type"] == "status" and frame["status"] == status:
                waiting.discard(frame["market_id"])

    cpu_s: list[float] = []
    while len(cpu_s) < STOPS and min(cpu_s, default=1.0) >= 1.0:
        began = time.process_time()
        suspended = asyncio.gather(*(all_have(socket, "suspended") for socket in sockets))
        stop = await kim.act("stops", {"reach": "everything", "reason": "Panic"})
        await suspended
        cpu_s.append(time.process_time() - began)
        assert stop["markets"] >= MARKETS
        opened = asyncio.gather(*(all_have(socket, "open") for socket in sockets))
        lifted = await kim.act(f"stops/{stop['stop_id']}/lift")
        await opened
        assert lifted["markets"] >= MARKETS
    for socket in sockets:
        await socket.close()
    assert min(cpu_s) < 1.0, cpu_s
    assert await status_of(desk, next(iter(market_ids))) == "open"


async def test_a_stop_finds_what_the_ledger_does_not_know_yet(
    desk: Desk, kim: Trader, backend: Backend
) -> None:
    fixture_id = await desk.fixture()
    async with backend.behind():
        market_id = await desk.market(fixture_id, "late")
        stopping = asyncio.create_task(kim.act("stops", {"reach": "event", "target": fixture_id}))
        await asyncio.sleep(0.2)
        assert not stopping.done()
    stop = await stopping
    assert stop["markets"] == 1
    assert await status_of(desk, market_id) == "suspended"


# Settling


async def placed(desk: Desk, market_id: str, **changes: Any) -> Desk:
    player = await desk.player()
    assert (await player.post("/v1/bets", slip(market_id, **changes))).status == 201
    return player


def outcomes(**results: str) -> dict[str, Any]:
    return {"results": {name: {"outcome": outcome} for name, outcome in results.items()}}


HOME_WON = outcomes(home="won", draw="lost", away="lost")
DRAW_WON = outcomes(home="lost", draw="won", away="lost")


async def test_a_preview_says_to_the_penny_what_is_then_paid(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    winner = await placed(desk, market_id, stake_minor=333)
    same = await placed(desk, market_id, stake_minor=333)
    loser = await placed(desk, market_id, selection_id="away", odds=29_000)
    path = f"markets/{market_id}/settlement"
    seen = (await kim.post(f"/v1/desk/{path}/preview", HOME_WON)).json
    assert seen["up_to_date"] is True
    assert seen["selections"]["home"] == {
        "bets": 2,
        "stakes_minor": 666,
        "paid_minor": 0,
        "payout_minor": 2 * 833,  # 3.33 at 2.5 is 8.325, a half rounded up, for each
        "slips": 0,
        "slips_change_minor": 0,
        "slips_open": 0,
    }
    assert seen["selections"]["away"]["payout_minor"] == 0
    assert (seen["bets"], seen["stakes_minor"], seen["payout_minor"]) == (3, 1_166, 1_666)
    assert (seen["change_minor"], seen["whole"], seen["currency"]) == (1_666, True, "GBP")
    assert await status_of(desk, market_id) == "open"  # nothing was changed
    before = [await one.cash() for one in (winner, same, loser)]
    settled = await kim.act(path, HOME_WON | {"preview": seen["preview"]}, key="settle-1")
    assert settled["version"] == 1
    for one in (winner, same, loser):
        await one.settled((await one.get("/v1/bets"))["items"][0]["bet_id"])
    after = [await one.cash() for one in (winner, same, loser)]
    assert sum(after) - sum(before) == seen["change_minor"]
    # The same request again is answered as before, though the preview is of the past.
    again = await kim.act(path, HOME_WON | {"preview": seen["preview"]}, key="settle-1")
    assert again.json == settled.json

    # Settled again, the preview says what is taken back, and what is paid.
    seen = (await kim.post(f"/v1/desk/{path}/preview", DRAW_WON)).json
    assert (seen["result_version"], seen["paid_minor"], seen["payout_minor"]) == (1, 1_666, 0)
    assert seen["change_minor"] == -1_666
    corrected = await kim.act(path, DRAW_WON | {"preview": seen["preview"]})
    assert corrected["version"] == 2

    async def taken_back() -> bool:
        return [await one.cash() for one in (winner, same, loser)] == before

    await until(taken_back, "what was paid is taken back")
    (await kim.post(f"/v1/desk/{path}/preview", DRAW_WON)).problem(409, "wrong_status")


async def test_a_preview_is_good_for_nothing_else(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    await placed(desk, market_id)
    path = f"markets/{market_id}/settlement"
    seen = (await kim.post(f"/v1/desk/{path}/preview", HOME_WON)).json["preview"]
    # another result, and another market
    other = await kim.act(path, DRAW_WON | {"preview": seen})
    other.problem(409, "preview_outdated")
    elsewhere = f"markets/{await desk.market()}/settlement"
    (await kim.act(elsewhere, HOME_WON | {"preview": seen})).problem(409, "preview_outdated")
    # another bet since
    await placed(desk, market_id)
    (await kim.act(path, HOME_WON | {"preview": seen})).problem(409, "preview_outdated")
    # and another settlement since, by somebody else
    seen = (await kim.post(f"/v1/desk/{path}/preview", HOME_WON)).json["preview"]
    await desk.result(market_id, home="lost", draw="lost", away="won")
    (await kim.act(path, HOME_WON | {"preview": seen})).problem(409, "preview_outdated")
    seen = (await kim.post(f"/v1/desk/{path}/preview", HOME_WON)).json["preview"]
    assert (await kim.act(path, HOME_WON | {"preview": seen}))["version"] == 2


async def test_a_preview_is_refused_as_the_result_would_be(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    path = f"/v1/desk/markets/{market_id}/settlement/preview"
    (await kim.post(path, outcomes(home="won"))).problem(409, "incomplete_result")
    (await kim.post(path, outcomes(nobody="won"))).problem(404, "unknown_selection")
    tied = {"results": {"home": {"outcome": "lost", "tied": 2, "places": 1}}}
    assert (
        "$.results.home" in (await kim.post(path, tied)).problem(400, "invalid_request")["detail"]
    )
    elsewhere = "/v1/desk/markets/a:b/settlement/preview"
    (await kim.post(elsewhere, HOME_WON)).problem(404, "unknown_market")


async def test_a_market_is_cancelled_with_a_preview(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    player = await placed(desk, market_id)
    path = f"markets/{market_id}/settlement"
    seen = (await kim.post(f"/v1/desk/{path}/preview", {"cancelled": True})).json
    assert (seen["cancelled"], seen["payout_minor"], seen["stakes_minor"]) == (True, 500, 500)
    done = await kim.act(path, {"cancelled": True, "preview": seen["preview"]})
    assert done["cancelled"] is True

    async def given_back() -> bool:
        return await player.cash() == 10_000

    await until(given_back, "the stake is given back")


async def test_a_result_in_part_is_previewed_and_the_rest_stays_open(
    desk: Desk, kim: Trader
) -> None:
    market_id = await desk.market()
    out = await placed(desk, market_id, selection_id="away", odds=29_000)
    still = await placed(desk, market_id)
    path, part = f"markets/{market_id}/settlement", outcomes(away="void") | {"in_part": True}
    preview = f"/v1/desk/{path}/preview"
    (await kim.post(preview, {"in_part": True})).problem(409, "incomplete_result")
    both = {"in_part": True, "cancelled": True}
    assert "$.in_part" in (await kim.post(preview, both)).problem(400, "invalid_request")["detail"]
    place = {"results": {"away": {"position": 1}}, "in_part": True}
    (await kim.post(preview, place)).problem(400, "invalid_request")
    seen = (await kim.post(preview, part)).json
    assert (seen["bets"], seen["payout_minor"], seen["change_minor"]) == (2, 500, 500)
    undecided = {of for of, line in seen["selections"].items() if line.get("undecided")}
    assert undecided == {"home", "draw"}
    # Of a whole result nobody has seen anything.
    void = outcomes(home="void", draw="void", away="void") | {"preview": seen["preview"]}
    (await kim.act(path, void)).problem(409, "preview_outdated")
    body = part | {"preview": seen["preview"]}
    done = await kim.act(path, body, key="part")
    assert (done["version"], list(done["results"])) == (1, ["away"])
    assert (await kim.act(path, body, key="part")).json == done.json
    await out.settled((await out.get("/v1/bets"))["items"][0]["bet_id"])
    assert await out.cash() == 10_000
    assert (await still.get("/v1/bets"))["items"][0]["state"] == "open"
    assert (await shown(kim, market_id))["status"] == "closed"

    rest = outcomes(home="won", draw="lost", away="void")
    seen = (await kim.post(preview, rest)).json
    assert (seen["change_minor"], seen["paid_minor"]) == (1_250, 500)
    await kim.act(path, rest | {"preview": seen["preview"]})
    await still.settled((await still.get("/v1/bets"))["items"][0]["bet_id"])
    assert await still.cash() == 9_500 + 1_250


async def test_a_preview_reckons_bets_of_several_lines(desk: Desk, kim: Trader) -> None:
    """A double: nothing is paid while its other leg is open, and all of it by the last one."""
    first, second = await desk.market(), await desk.market()
    player = await desk.player()
    double = {
        "kind": "double",
        "legs": [
            {"market_id": market_id, "selection_id": "home", "odds": 25_000}
            for market_id in (first, second)
        ],
        "stake_minor": 1_000,
        "currency": "GBP",
    }
    assert (await player.post("/v1/slips", double)).status == 201

    async def seen(market_id: str, wanted: Any) -> Any:
        path = f"/v1/desk/markets/{market_id}/settlement/preview"
        return (await kim.post(path, wanted)).json

    one = await seen(first, HOME_WON)
    assert (one["slips"], one["slips_reckoned"], one["slips_change_minor"]) == (1, 1, 0)
    assert (one["bets"], one["change_minor"], one["whole"]) == (0, 0, True)
    # It says plainly that the bet stays open, with how many legs, and for how much.
    (stays,) = one["each_slip"]
    assert (one["slips_open"], stays["state"], stays["legs_open"]) == (1, "open", 1)
    assert (stays["payout_minor"], stays["most_minor"]) == (0, 6_250)
    await kim.act(f"markets/{first}/settlement", HOME_WON | {"preview": one["preview"]})

    async def leg_is_known() -> bool:
        market = await shown(kim, first)
        return bool(market["status"] == "settled")

    await until(leg_is_known, "the first leg is settled")
    two = await seen(second, HOME_WON)
    assert two["slips_change_minor"] == two["change_minor"] == 6_250
    assert two["selections"]["home"]["slips"] == 1
    (pays,) = two["each_slip"]
    assert (pays["kind"], pays["player_id"]) == ("double", player.player_id)
    assert (two["slips_open"], pays["state"], pays["payout_minor"]) == (0, "won", 6_250)
    assert (await seen(second, DRAW_WON))["slips_change_minor"] == 0
    await kim.act(f"markets/{second}/settlement", HOME_WON | {"preview": two["preview"]})

    async def paid() -> bool:
        return await player.cash() == 10_000 - 1_000 + 6_250

    await until(paid, "the double is paid")
    # Settled again: what was paid for it would be taken back.
    back = await seen(first, DRAW_WON)
    assert back["slips_change_minor"] == -6_250


async def test_a_preview_is_outdated_by_another_leg_of_its_slips(desk: Desk, kim: Trader) -> None:
    first, second = await desk.market(), await desk.market()
    player = await desk.player()
    legs = [
        {"market_id": market_id, "selection_id": "home", "odds": 25_000}
        for market_id in (first, second)
    ]
    double = {"kind": "double", "legs": legs, "stake_minor": 1_000, "currency": "GBP"}
    placed = await player.post("/v1/slips", double)
    path = f"markets/{first}/settlement"
    seen = (await kim.post(f"/v1/desk/{path}/preview", HOME_WON)).json
    assert seen["change_minor"] == 0
    await desk.result(second, home="won", draw="lost", away="lost")

    async def second_is_known() -> bool:
        bet = await player.get(f"/v1/bets/{placed['bet_id']}")
        return bool(bet["legs"][1].get("outcome") == "won")

    await until(second_is_known, "the second leg is known")
    late = await kim.act(path, HOME_WON | {"preview": seen["preview"]})
    late.problem(409, "preview_outdated")
    assert (await kim.post(f"/v1/desk/{path}/preview", HOME_WON))["change_minor"] == 6_250


async def test_a_preview_reckons_every_kind_of_term(desk: Desk, kim: Trader) -> None:
    """Each-way, starting prices and deductions, by positions: to the penny what is then paid."""
    terms: dict[str, Any] = {"rule_4": {}, "starting_price": True, **EACH_WAY}
    market_id, other = await race(desk, **terms), await race(desk, **EACH_WAY)
    player = await desk.player()
    await single(player, market_id, "a")
    on = (market_id, "a")
    bodies = [
        race_slip("single", 2_000, on, each_way=True),
        race_slip("double", 400, on, (other, "a"), each_way=True),
        {
            "kind": "single",
            "legs": [{"market_id": market_id, "selection_id": "a", "sp": True}],
            "stake_minor": 100,
            "currency": "GBP",
        },
    ]
    for body in bodies:
        assert (await player.post("/v1/slips", body)).status == 201
    await withdraw(desk, market_id, "b")  # 40p in the pound
    path = f"markets/{market_id}/settlement"
    finish = {of: {"position": at} for at, of in enumerate("acde", 1)}
    for changed, expected in (
        # 10.00 at 8.0 less 40 per cent of its winnings; each way at 5.2 and 2.05; 1.00 at 6.5.
        ({}, (5_200, 7_250 + 650, 1)),
        # Second: the place alone is paid, and the single and what was at the starting price lost.
        ({"a": {"position": 2}, "c": {"position": 1, "starting_odds": 40_000}}, (0, 2_050, 1)),
    ):
        results = finish | {"a": {"position": 1, "starting_odds": 65_000}} | changed
        for of in "acd":  # each is placed at least
            results[of] = {"starting_odds": 50_000} | results[of]
        seen = (await kim.post(f"/v1/desk/{path}/preview", {"results": results})).json
        assert (
            seen["payout_minor"],
            sum(one["payout_minor"] for one in seen["each_slip"]),
            seen["slips_open"],
        ) == expected
        at_sp = [one for one in seen["each_slip"] if one["starting_price"]]
        assert [one["each_way"] for one in at_sp] == [False]
        before = await player.cash()
        settled = await kim.act(path, {"results": results, "preview": seen["preview"]})
        assert settled["places"]["a"]["outcome"] == "won"

        async def paid(wanted: int = before + seen["change_minor"]) -> bool:
            return await player.cash() == wanted

        await until(paid, "what was previewed is paid")


# Over time, and the audit


async def test_prices_over_time(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    for odds in (24_000, 23_000):
        await desk.prices(market_id, home=odds)
    await desk.prices(market_id, away=31_000)
    path = f"markets/{market_id}/prices"

    async def all_known() -> bool:
        series = (await kim.read(path))["selections"]
        return len(series.get("away", [])) == 2

    await until(all_known, "the ledger has them")
    history = (await kim.read(path)).json
    found = {
        name: [point["odds"] for point in points] for name, points in history["selections"].items()
    }
    assert found == {
        "home": [25_000, 24_000, 23_000],
        "draw": [32_000],
        "away": [29_000, 31_000],
    }
    times = [point["at"] for point in history["selections"]["home"]]
    assert times == sorted(times)
    # In pages, from the newest backwards, and nothing twice.
    pages, cursor = [], ""
    while cursor is not None:
        page = (await kim.read(f"{path}?limit=2{cursor and f'&cursor={cursor}'}")).json
        pages.append(page)
        cursor = page["next_cursor"]
    points = [
        (name, point["at"], point["odds"])
        for page in pages
        for name, series in page["selections"].items()
        for point in series
    ]
    assert len(points) == len(set(points)) == 6
    (await kim.read("markets/a:b/prices")).problem(404, "unknown_fixture")
    (await kim.read(f"markets/{market_id}x/prices")).problem(404, "unknown_market")


async def test_liability_over_time(desk: Desk, kim: Trader, backend: Backend) -> None:
    """Its last point is what the market itself says, whatever bets do, and any gateway tells the
    same, also one that has only just started."""
    market_id, other = await desk.market(), await desk.market()
    player = await placed(desk, market_id)

    async def agrees() -> bool:
        told = (await kim.read(f"markets/{market_id}/liability?points=2")).json
        market = await shown(kim, market_id)
        lines = {
            one["selection_id"]: (one["stakes_minor"], one["liability_minor"])
            for one in market["selections"]
            if one["selection_id"] in told["selections"]
        }
        last = {
            name: (series["stakes_minor"][-1], series["liability_minor"][-1])
            for name, series in told["selections"].items()
        }
        same = last == lines and told["worst_minor"][-1:] == [market["worst_minor"]]
        return bool(market["known"] and not market["holds"] and same)

    await until(agrees, "a single is in the series")
    legs = [
        {"market_id": one, "selection_id": "home", "odds": 25_000} for one in (market_id, other)
    ]
    double = {"kind": "double", "legs": legs, "stake_minor": 1_000, "currency": "GBP"}
    assert (await player.post("/v1/slips", double)).status == 201
    await until(agrees, "a double is in the series")
    away = await player.post(
        "/v1/bets", slip(market_id, selection_id="away", odds=29_000, stake_minor=1_000)
    )
    path = f"/v1/bets/{away['bet_id']}/cash-out"
    offer = await player.get(f"{path}?stake_minor=400")
    assert (await player.post(path, {"offer": offer["offer"]})).status < 300
    await until(agrees, "what is left of a bet that was bought back is in the series")
    hedge = {"selection_id": "home", "stake_minor": 300, "odds": 26_000, "commission": 200}
    hedge |= {"exchange": "elsewhere", "reference": "slip 7"}
    assert (await kim.act(f"markets/{market_id}/hedges", hedge)).status == 201
    await until(agrees, "a hedge is in the worst case")
    told = (await kim.read(f"markets/{market_id}/liability")).json
    home = told["selections"]["home"]
    assert home["liability_minor"][-1] == 750 + 5_250  # the double counts in full
    assert len(home["stakes_minor"]) == len(told["at"]) == len(told["worst_minor"])
    assert told["at"] == sorted(told["at"])
    another = backend.gateway()
    await another.start()
    try:
        there = Trader(kim.http, await another.port(), kim.token)
        assert (await there.read(f"markets/{market_id}/liability")).json == told
    finally:
        await another.drain(1)
    await desk.result(market_id, home="lost", draw="won", away="lost")

    async def empty() -> bool:
        series = (await kim.read(f"markets/{market_id}/liability")).json["selections"]
        return not any(one["liability_minor"][-1] for one in series.values())

    await until(empty, "nothing is left when all is settled")
    (await kim.read("markets/a:b/liability")).problem(404, "unknown_market")


@pytest.mark.parametrize(
    ("points", "selections", "times"),
    [(240, 3, 240), (500, 400, 500), (240, 2_000, 100), (240, 20_000, 10), (2, 0, 2)],
)
def test_a_long_market_is_told_of_at_fewer_times(points: int, selections: int, times: int) -> None:
    assert times_of(points, selections) == times


async def test_a_result_is_taken_back_and_bets_of_a_time_are_void(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    player = await placed(desk, market_id)
    await desk.result(market_id, home="lost", draw="won", away="lost")

    async def has(minor: int) -> bool:
        return await player.cash() == minor

    (await (await member(desk, "trader")).act(f"markets/{market_id}/result/rollback")).problem(
        403, "forbidden"
    )
    path = f"markets/{market_id}/result/rollback"
    undone = await kim.act(path, key="undo")
    assert (undone["version"], sorted(undone["undecided"])) == (2, ["away", "draw", "home"])
    assert (await kim.act(path, key="undo")).json == undone.json
    (await kim.act(path)).problem(409, "wrong_status")
    times = {"from": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}
    assert (await kim.act(f"markets/{market_id}/voids", times))["version"] == 3
    assert (await shown(kim, market_id))["voids"] == [
        {"from": "2020-01-01T00:00:00.000Z", "until": "2099-01-01T00:00:00.000Z"}
    ]
    await until(lambda: has(10_000), "the stake is given back")
    nothing: dict[str, str] = {}
    (await kim.act(f"markets/{market_id}/voids", nothing)).problem(409, "out_of_bounds")
    back = await kim.act(f"markets/{market_id}/voids/rollback", times)
    assert back["version"] == 4
    await until(lambda: has(9_500), "the bet is open again")
    assert "voids" not in await shown(kim, market_id)
    (await kim.act(f"markets/{market_id}/voids/rollback", times)).problem(409, "wrong_status")
    lines = (await kim.read(f"audit?market_id={market_id}&limit=3"))["items"]
    assert {line["by"] for line in lines} == {f"staff/{kim.login}"}
    assert {line["reason"] for line in lines} == {REASON}


async def test_a_runner_is_withdrawn_by_name_and_reason(desk: Desk, kim: Trader) -> None:
    market_id, player = await race(desk, rule_4={}), await desk.player()
    bet_id = await single(player, market_id, "a")
    path, body = f"markets/{market_id}/withdrawals", {"selection_id": "b"}
    (await (await member(desk, "trader")).act(path, body)).problem(403, "forbidden")
    gone = await kim.act(path, body, key="out")
    assert (gone["selection_id"], gone["odds"], gone["version"]) == ("b", 22_500, 1)
    assert (gone["suspended_for"], gone["unrenewed"]) == ("withdrawal", ["a", "c", "d", "e"])
    assert (await kim.act(path, body, key="out")).json == gone.json
    (await kim.act(path, body | {"odds": 40_000}, key="out")).problem(422, "idempotency_key_reused")
    (await kim.act(path, body)).problem(409, "wrong_status")
    (await kim.act(path, {"selection_id": "z"})).problem(404, "unknown_selection")
    market = await shown(kim, market_id)
    assert (market["status"], list(market["causes"])) == ("suspended", ["withdrawal"])
    assert [one["selection_id"] for one in market["selections"] if one["withdrawn"]] == ["b"]
    assert (await player.get(f"/v1/bets/{bet_id}"))["state"] == "open"
    # By another price where it is said; and without such terms nothing is taken off.
    assert (await kim.act(path, {"selection_id": "c", "odds": 25_000}))["odds"] == 25_000
    other = await desk.market()
    plain = await kim.act(f"markets/{other}/withdrawals", {"selection_id": "away"})
    assert plain["version"] == 1
    assert not {"odds", "suspended_for", "unrenewed"} & set(plain.json)
    assert await status_of(desk, other) == "open"

    async def said() -> bool:
        lines = (await kim.read(f"audit?market_id={market_id}"))["items"]
        by = [(one["by"], one["reason"]) for one in lines if "SelectionWithdrawn" in one["events"]]
        return by == [(f"staff/{kim.login}", REASON)] * 2

    await until(said, "both stand in the audit")


async def test_stops_that_stand_come_in_pages(desk: Desk, kim: Trader) -> None:
    market_id = await desk.market()
    ordered = []
    for _ in range(3):
        stop = await kim.act("stops", {"reach": "market", "target": market_id})
        ordered.append(stop["stop_id"])

    async def there() -> bool:
        items = (await kim.read("stops?limit=200"))["items"]
        return {one["stop_id"] for one in items} >= set(ordered)

    await until(there, "the ledger has the stops")
    found, cursor = [], ""
    while cursor is not None:
        page = (await kim.read(f"stops?limit=1{cursor and '&cursor='}{cursor}")).json
        found += [one["stop_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert [one for one in found if one in ordered] == ordered[::-1]
    assert len(found) == len(set(found))
    for stop_id in ordered:
        await kim.act(f"stops/{stop_id}/lift")
    (await kim.read("stops?cursor=nonsense")).problem(400, "invalid_cursor")


async def test_an_events_audit_has_its_markets(desk: Desk, kim: Trader) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    other = await desk.market()
    await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 22_000}})
    await kim.act(f"markets/{other}/prices", {"odds": {"home": 22_000}})
    await desk.result(market_id, home="won", draw="lost", away="lost")

    async def lines(query: str) -> list[Any]:
        items: list[Any] = (await kim.read(f"audit?{query}"))["items"]
        return items

    async def settled() -> bool:
        found = await lines(f"fixture_id={fixture_id}&everybody=true")
        return found[0]["events"] == ["SettlementCompleted"]

    await until(settled, "the settlement is in the audit")
    by_all = await lines(f"fixture_id={fixture_id}&everybody=true")
    assert by_all[0]["by"] == "settlement"
    by_staff = await lines(f"fixture_id={fixture_id}")
    assert [one["events"] for one in by_staff] == [
        ["ResultDeclared"],
        ["PricesHeld"],
        ["PricesChanged"],
        ["MarketOpened"],
        ["FixtureCreated"],
    ]
    assert {one["about"] for one in by_staff} == {f"market/{market_id}", f"fixture/{fixture_id}"}
    of_market = await lines(f"market_id={market_id}")
    assert [one["entry_id"] for one in of_market] == [one["entry_id"] for one in by_staff[:4]]
    page = (await kim.read(f"audit?fixture_id={fixture_id}&limit=2")).json
    rest = (await kim.read(f"audit?fixture_id={fixture_id}&cursor={page['next_cursor']}")).json
    assert page["items"] + rest["items"] == by_staff
    both = await kim.read(f"audit?fixture_id={fixture_id}&market_id={market_id}")
    both.problem(400, "invalid_request")
    (await kim.read("audit?cursor=nonsense")).problem(400, "invalid_cursor")
