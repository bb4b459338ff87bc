"""The WebSocket: what is pushed, what is asked, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import redis.exceptions

from actors.runtime.announcer import ValkeyAnnouncer
from gateway.app import Gateway
from gateway.outbox import Outbox
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, Socket, slip
from tests.patience import PATIENCE_S


async def test_a_fixture_from_snapshot_to_settlement(desk: Desk) -> None:
    fixture_id = await desk.fixture()
    socket = await desk.stream()
    assert (await socket.ask("subscribe", fixtures=[fixture_id]))["type"] == "ok"
    snapshot = await socket.next("snapshot")
    assert (snapshot["fixture"]["seq"], snapshot["fixture"]["markets"]) == (1, [])
    market_id = await desk.market(fixture_id)
    await desk.prices(market_id, home=26_000)
    await desk.status(market_id, "suspended")
    await desk.staff.post(f"/v1/staff/fixtures/{fixture_id}/phase", {"phase": "in_play"})
    await desk.result(market_id, home="won", draw="lost", away="lost")
    frames = [await socket.next() for _ in range(7)]
    assert [(frame["type"], frame["seq"]) for frame in frames] == [
        ("market", 2),
        ("prices", 3),
        ("prices", 4),
        ("status", 5),
        ("phase", 6),
        ("result", 7),
        ("settled", 8),
    ]
    assert {frame["fixture_id"] for frame in frames} == {fixture_id}
    assert frames[2]["odds"] == {"home": 26_000}
    assert frames[5]["results"]["home"] == {"outcome": "won", "tied": 1, "places": 1}
    assert frames[6]["status"] == "settled"
    # The copy that the hub folds is what the actors say.
    again = await desk.stream()
    await again.ask("subscribe", fixtures=[fixture_id])
    fixture = await desk.get(f"/v1/fixtures/{fixture_id}")
    assert (await again.next("snapshot"))["fixture"] == fixture.json
    assert (await socket.ask("unsubscribe", fixtures=[fixture_id]))["type"] == "ok"
    await socket.close()
    await again.close()


async def test_going_on_where_one_was(desk: Desk) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    socket = await desk.stream()
    await socket.ask("subscribe", fixtures=[fixture_id])
    seq = (await socket.next("snapshot"))["fixture"]["seq"]
    returning = await desk.stream()
    for odds in (26_000, 27_000):
        await desk.prices(market_id, home=odds)
        await socket.next("prices")
    subscribe = {"fixtures": [fixture_id], "from": {fixture_id: seq}}
    await returning.ask("subscribe", **subscribe)
    assert [(await returning.next())["seq"] for _ in range(2)] == [seq + 1, seq + 2]
    # Nothing was missed: nothing is sent.
    current = await desk.stream()
    await current.ask("subscribe", fixtures=[fixture_id], **{"from": {fixture_id: seq + 2}})
    assert (await current.ask("ping"))["type"] == "pong"
    assert current.pushed == []
    # Longer ago than is kept, or never: a snapshot.
    for since in (0, seq + 100):
        lost = await desk.stream()
        await lost.ask("subscribe", fixtures=[fixture_id], **{"from": {fixture_id: since}})
        assert (await lost.next())["type"] == "snapshot"
        await lost.close()
    for one in (socket, returning, current):
        await one.close()


async def test_the_lobby_hears_of_new_fixtures_and_phases(desk: Desk) -> None:
    socket = await desk.stream()
    await socket.ask("subscribe", fixtures=["*"])
    fixture_id = await desk.fixture()
    while (frame := await socket.next("fixture"))["fixture"]["fixture_id"] != fixture_id:
        pass
    assert frame["fixture"]["name"] == "Reds v Blues"
    await desk.staff.post(f"/v1/staff/fixtures/{fixture_id}/phase", {"phase": "in_play"})
    while (frame := await socket.next("phase"))["fixture_id"] != fixture_id:
        pass
    assert frame["phase"] == "in_play"
    await socket.close()


async def test_bets_and_balance_of_ones_own(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player()
    socket = await player.stream(logged_in=True)
    assert (await socket.next("balance"))["wallet"]["cash_minor"] == 10_000
    answer = await socket.ask("bet", key=uuid4().hex, bet=slip(market_id))
    assert (answer["type"], answer["status"]) == ("bet", 201)
    assert answer["bet"]["cash_after_minor"] == 9_500
    update = await socket.next("bet_update")
    assert update["bet"]["bet_id"] == answer["bet"]["bet_id"]
    while (await socket.next("balance"))["wallet"]["cash_minor"] != 9_500:
        pass
    await desk.result(market_id, home="won", draw="lost", away="lost")
    assert (await socket.next("bet_update"))["bet"]["state"] == "won"
    while (await socket.next("balance"))["wallet"]["cash_minor"] != 10_750:
        pass
    # What happens elsewhere is told too, and nobody else's.
    stranger = await (await desk.player()).stream(logged_in=True)
    await stranger.next("balance")
    await player.deposit(1)
    while (await socket.next("balance"))["wallet"]["cash_minor"] != 10_751:
        pass
    await stranger.ask("ping")
    assert stranger.pushed == []
    await socket.close()
    await stranger.close()


async def test_problems_are_answers(desk: Desk) -> None:
    market_id = await desk.market()
    nobody = await desk.stream()

    async def code(socket: Socket, type_: str, **fields: Any) -> str:
        frame = await socket.ask(type_, **fields)
        assert frame["type"] == "problem", frame
        assert frame["problem"]["status"] >= 400
        assert frame["problem"]["title"]
        found: str = frame["problem"]["code"]
        return found

    assert await code(nobody, "bet", key="k", bet=slip(market_id)) == "unauthenticated"
    assert await code(nobody, "subscribe", fixtures=["none"]) == "unknown_fixture"
    player = await (await desk.player()).stream(logged_in=True)
    assert await code(player, "login", token="another") == "already_logged_in"
    assert await code(player, "bet", key="", bet=slip(market_id)) == "idempotency_key_invalid"
    assert (
        await code(player, "bet", key="k", bet=slip(market_id, stake_minor=0)) == "invalid_request"
    )
    assert await code(player, "bet", key="k", bet=7) == "invalid_request"
    assert await code(player, "bet", key="k", bet=slip(market_id, odds=30_000)) == "price_changed"
    many = [f"none-{number}" for number in range(500)]
    assert await code(player, "subscribe", fixtures=many) == "unknown_fixture"
    fixture_id = market_id.partition(":")[0]
    await player.ask("subscribe", fixtures=[fixture_id])
    assert await code(player, "subscribe", fixtures=many) == "too_many_subscriptions"
    assert (await player.ask("ping"))["type"] == "pong"
    await nobody.close()
    await player.close()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "{",
        "[]",
        "{}",
        '{"type":"ping"}',
        '{"type":"ping","id":-1}',
        '{"type":"ping","id":1,"more":2}',
        '{"type":"shout","id":1}',
        '{"type":"subscribe","id":1}',
        '{"type":"subscribe","id":1,"markets":[]}',
        '{"type":"subscribe","id":1,"markets":["a"]}',
        '{"type":"subscribe","id":1,"fixtures":[]}',
        '{"type":"subscribe","id":1,"fixtures":["a b"]}',
        '{"type":"subscribe","id":1,"fixtures":["a"],"from":{"a":-1}}',
        '{"type":"subscribe","id":1,"fixtures":["é'.ljust(300, "é") + '"]}',
    ],
)
async def test_a_malformed_frame_ends_the_socket(desk: Desk, frame: str) -> None:
    socket = await desk.stream()
    await socket.ws.send_str(frame)
    assert await socket.close_code() == 4000


async def test_other_ends(desk: Desk) -> None:
    binary = await desk.stream()
    await binary.ws.send_bytes(b'{"type":"ping","id":1}')
    assert await binary.close_code() == 4003
    huge = await desk.stream()
    await huge.ws.send_str("x" * 70_000)
    assert await huge.close_code() == 1009
    made_up = await desk.stream()
    frame = await made_up.ask("login", token="made up")
    assert frame["problem"]["code"] == "unauthenticated"
    assert await made_up.close_code() == 4001
    async with desk.http.ws_connect(f"{desk.base}/v1/stream") as other:
        await other.receive(timeout=PATIENCE_S)
        assert other.close_code == 4003


async def test_logging_out_ends_ones_sockets(desk: Desk) -> None:
    player = await desk.registered()
    socket = await player.stream(logged_in=True)
    await player.ask("DELETE", "/v1/sessions/current")
    assert await socket.close_code() == 4001


async def test_a_slow_reader_gets_less_and_then_nothing(
    backend: Backend, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.stream.Outbox", lambda encode: Outbox(4, 20, 100_000, encode=encode)
    )
    monkeypatch.setattr("gateway.stream.STUCK_S", PATIENCE_S)
    gateway = backend.gateway()
    await gateway.start()
    try:
        desk = Desk(http, await gateway.port())
        fixture_id = await desk.fixture()
        market_id = await desk.market(fixture_id)
        slow = await desk.stream()
        await slow.ask("subscribe", fixtures=[fixture_id])
        seq = (await slow.next("snapshot"))["fixture"]["seq"]
        (stream,) = gateway.services.streams._streams
        # What the loop tells a protocol whose client does not read.
        stream._connection.pause_writing()
        for odds in range(30):
            await desk.prices(market_id, home=26_000 + odds)
        (following,) = gateway.services.hub._fixtures.values()
        await until(lambda: following.fixture.seq == seq + 30, "all changes arrived")
        assert stream.queued <= 5
        stream._connection.resume_writing()
        known, odds = seq, 0
        while known < seq + 30:
            frame = await slow.next("prices")
            assert frame.get("from_seq", frame["seq"]) == known + 1
            known, odds = frame["seq"], frame["odds"]["home"]
        assert odds == 26_029
        # What can't be conflated fills it up.
        stream._connection.pause_writing()
        for _ in range(300):  # several may be told in one turn, and then wait as one
            await desk.status(market_id, "open")
            if not len(gateway.services.streams):
                break
        await until(lambda: not len(gateway.services.streams), "the slow reader was given up")
        assert await slow.close_code() in (4008, 1006)
        figures = gateway.services.metrics.text().decode()
        assert 'grandstand_gateway_sockets_closed_total{code="4008"} 1.0' in figures
    finally:
        await gateway.drain(1)


async def test_lost_notices_are_made_good(
    backend: Backend, gateway: Gateway, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture_id = await desk.fixture()
    market_id = await desk.market(fixture_id)
    socket = await desk.stream()
    await socket.ask("subscribe", fixtures=[fixture_id])
    await socket.next("snapshot")
    monkeypatch.setattr(ValkeyAnnouncer, "announce", lambda self, notices: None)
    await desk.prices(market_id, home=26_000)
    monkeypatch.undo()
    await desk.prices(market_id, home=27_000)
    fixture = (await socket.next("snapshot"))["fixture"]
    assert fixture["markets"][0]["selections"][0]["odds"] == 27_000
    # From there the changes go on without a gap.
    await desk.prices(market_id, home=28_000)
    assert (await socket.next())["seq"] == fixture["seq"] + 1
    await socket.close()


async def test_a_broken_connection_to_valkey_is_made_good(
    backend: Backend, gateway: Gateway, desk: Desk
) -> None:
    market_id = await desk.market()
    fixture_id = market_id.partition(":")[0]
    player = await desk.player()
    socket = await player.stream(logged_in=True)
    await socket.ask("subscribe", fixtures=[fixture_id])
    await socket.next("snapshot")
    await gateway.services.valkey.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    snapshot = await socket.next("snapshot")
    await desk.prices(market_id, home=26_000)
    frame = await socket.next("prices")
    assert frame["seq"] == snapshot["fixture"]["seq"] + 1
    await socket.close()


async def test_a_fixture_that_never_stands_still(desk: Desk) -> None:
    """The actors' answers are then of different moments; the snapshot is of one all the same."""
    fixture_id = await desk.fixture()
    markets = [await desk.market(fixture_id, f"m{number}") for number in range(5)]
    done = asyncio.Event()

    async def trade(market_id: str) -> None:
        odds = 20_000
        while not done.is_set():
            odds += 1
            await desk.prices(market_id, home=odds)

    traders = [asyncio.create_task(trade(market_id)) for market_id in markets]
    try:
        for _ in range(5):
            socket = await desk.stream()
            await socket.ask("subscribe", fixtures=[fixture_id])
            fixture = (await socket.next("snapshot"))["fixture"]
            seen = {market["market_id"]: market for market in fixture["markets"]}
            seq = fixture["seq"]
            for _ in range(20):
                frame = await socket.next("prices")
                # A client that is late is told of several changes at once: from which, is said.
                conflated = "from_seq" in frame
                assert frame.get("from_seq", frame["seq"]) == seq + 1
                seq = frame["seq"]
                before = seen[frame["market_id"]]["odds_version"]
                after = frame["odds_version"]
                assert after > before if conflated else after == before + 1
                seen[frame["market_id"]]["odds_version"] = frame["odds_version"]
            await socket.close()
            await asyncio.sleep(0.02)
    finally:
        done.set()
        await asyncio.gather(*traders)


async def test_draining(backend: Backend, http: aiohttp.ClientSession) -> None:
    gateway = backend.gateway(own_port=0)
    running = asyncio.create_task(gateway.run())
    await until(lambda: bool(gateway._listening), "it listens")
    desk = Desk(http, await gateway.port())
    market_id = await desk.market()
    player = await desk.player()
    await desk.status(market_id, "open", in_play=True, bet_delay_ms=1_500)
    socket = await player.stream(logged_in=True)
    over_http = asyncio.create_task(player.post("/v1/bets", slip(market_id)))
    number = await socket.send("bet", key=uuid4().hex, bet=slip(market_id))
    await until(lambda: gateway._boundary.in_flight >= 2, "a bet is on its way")
    os.kill(os.getpid(), signal.SIGTERM)
    # What was under way ends as if nothing were the matter, and then it is over.
    assert (await socket.answer(number))["type"] == "bet"
    assert await socket.close_code() == 1001
    assert (await over_http).status == 201
    await asyncio.wait_for(running, PATIENCE_S)
    with pytest.raises(aiohttp.ClientConnectionError):
        await desk.get("/livez")


async def test_a_gateway_without_valkey_says_so(backend: Backend) -> None:
    gateway = backend.gateway(valkey_url="redis://127.0.0.1:1/0")
    with pytest.raises(redis.exceptions.ConnectionError):
        await gateway.start()
    await gateway.drain(0)


async def test_no_more_sockets_than_allowed(backend: Backend, http: aiohttp.ClientSession) -> None:
    gateway = backend.gateway(max_sockets=1)
    await gateway.start()
    try:
        desk = Desk(http, await gateway.port())
        first = await desk.stream()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await desk.stream()
        assert refused.value.status == 503
        await first.close()
    finally:
        await gateway.drain(1)


async def test_following_single_markets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.push.PAUSES", 0)  # each price is told by itself
    fixture_id = await desk.fixture()
    mine, other = [await desk.market(fixture_id, key) for key in ("mine", "other")]
    socket = await desk.stream()
    assert (await socket.ask("subscribe", markets=[mine]))["type"] == "ok"
    snapshot = await socket.next()
    assert (snapshot["type"], snapshot["market"]["market_id"]) == ("market_snapshot", mine)
    known = snapshot["seq"]
    assert known == (await desk.get(f"/v1/fixtures/{fixture_id}"))["seq"]
    frames = []
    for change in (
        desk.prices(mine, home=26_000),
        desk.prices(other, home=27_000),
        desk.staff.post(f"/v1/staff/fixtures/{fixture_id}/phase", {"phase": "in_play"}),
        desk.prices(mine, home=28_000),
        desk.status(mine, "suspended"),
        desk.result(mine, home="won", draw="lost", away="lost"),
    ):
        assert (await change).status < 300
    for _ in range(5):
        frame = await socket.next()
        assert (frame["market_id"], frame["from_seq"]) == (mine, known + 1)
        known = frame["seq"]
        frames.append((frame["type"], known - snapshot["seq"]))
    assert frames == [("prices", 1), ("prices", 4), ("status", 5), ("result", 6), ("settled", 7)]
    # Who comes back gets what was missed, or nothing, or a snapshot.
    returning = await desk.stream()
    await returning.ask("subscribe", markets=[mine], **{"from": {mine: snapshot["seq"] + 1}})
    missed = [await returning.next() for _ in range(4)]
    assert [(one["type"], one["from_seq"], one["seq"]) for one in missed] == [
        (kind, snapshot["seq"] + first, snapshot["seq"] + last)
        for kind, first, last in (
            ("prices", 2, 4),
            ("status", 5, 5),
            ("result", 6, 6),
            ("settled", 7, 7),
        )
    ]
    await returning.ask("subscribe", markets=[mine], **{"from": {mine: known}})
    assert (await returning.ask("ping"))["type"] == "pong"
    assert returning.pushed == []
    await returning.ask("subscribe", markets=[mine], **{"from": {mine: known + 50}})
    assert (await returning.next())["type"] == "market_snapshot"
    # Who has the fixture has the market with it, once.
    await returning.ask("subscribe", fixtures=[fixture_id], markets=[other])
    assert (await returning.next())["type"] == "snapshot"
    await desk.prices(other, home=29_000)
    frame = await returning.next()
    assert (frame["seq"], "from_seq" in frame) == (known + 1, False)
    await returning.ask("unsubscribe", fixtures=[fixture_id])
    await desk.prices(other, home=30_000)
    assert (await returning.next())["from_seq"] == known + 2
    await returning.ask("unsubscribe", markets=[mine, other])
    await desk.prices(other, home=31_000)
    assert (await returning.ask("ping"))["type"] == "pong"
    assert returning.pushed == []
    await socket.close()
    await returning.close()


async def test_single_markets_that_are_not_there(gateway: Gateway, desk: Desk) -> None:
    market_id = await desk.market()
    fixture_id = market_id.partition(":")[0]
    socket = await desk.stream()
    for markets, code, named in (
        ([market_id, f"{fixture_id}:none"], "unknown_market", f"{fixture_id}:none"),
        ([market_id, "none:none"], "unknown_fixture", "none"),
    ):
        problem = (await socket.ask("subscribe", markets=markets))["problem"]
        assert problem["code"] == code
        assert named in (problem.get("market_id"), problem.get("fixture_id"))
    await until(lambda: fixture_id not in gateway.services.hub._fixtures, "nothing is followed")
    many = [f"{fixture_id}:m{number}" for number in range(500)]
    await socket.ask("subscribe", markets=[market_id])
    problem = (await socket.ask("subscribe", markets=many))["problem"]
    assert problem["code"] == "too_many_subscriptions"
    await socket.close()


async def test_a_lost_notice_is_made_good_for_single_markets(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    market_id = await desk.market()
    socket = await desk.stream()
    await socket.ask("subscribe", markets=[market_id])
    await socket.next("market_snapshot")
    monkeypatch.setattr(ValkeyAnnouncer, "announce", lambda self, notices: None)
    await desk.prices(market_id, home=26_000)
    monkeypatch.undo()
    await desk.prices(market_id, home=27_000)
    again = await socket.next("market_snapshot")
    assert again["market"]["selections"][0]["odds"] == 27_000
    await desk.prices(market_id, home=28_000)
    assert (await socket.next())["from_seq"] == again["seq"] + 1
    await socket.close()


async def test_turns_that_take_long_tell_prices_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever follows the fixture or a market ends with the last prices, and misses nothing."""
    monkeypatch.setattr("gateway.push.PAUSES", 10_000)
    fixture_id = await desk.fixture()
    markets = [await desk.market(fixture_id, f"m{number}") for number in range(3)]
    everything, single = await desk.stream(), await desk.stream()
    await everything.ask("subscribe", fixtures=[fixture_id])
    await single.ask("subscribe", markets=[markets[0]])
    known = {everything: (await everything.next("snapshot"))["fixture"]["seq"]}
    known[single] = (await single.next("market_snapshot"))["seq"]
    last = known[everything] + 60
    for number in range(20):
        await asyncio.gather(*(desk.prices(one, home=26_000 + number) for one in markets))
    told = {everything: 0, single: 0}
    odds: dict[tuple[Socket, str], int] = {}
    for socket, end in ((everything, last), (single, last - 2)):
        while known[socket] < end:
            frame = await socket.next("prices")
            assert frame.get("from_seq", frame["seq"]) == known[socket] + 1
            known[socket] = frame["seq"]
            odds[socket, frame["market_id"]] = frame["odds"]["home"]
            told[socket] += 1
    assert set(odds.values()) == {26_019}
    assert told[everything] < 60
    assert told[single] < 20
    await everything.close()
    await single.close()


async def test_a_silent_client_is_asked_and_then_given_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("SWEEP_S", 0.05), ("HEARTBEAT_S", 0.2), ("SILENCE_S", 0.5)):
        monkeypatch.setattr(f"gateway.stream.{name}", seconds)
    silent = await desk.stream(autoping=False)
    answering = await desk.stream()
    listening = asyncio.create_task(answering.ws.receive())
    message = await silent.ws.receive(timeout=PATIENCE_S)
    assert message.type is aiohttp.WSMsgType.PING
    message = await silent.ws.receive(timeout=PATIENCE_S)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    await asyncio.sleep(0.5)
    assert not listening.done()
    listening.cancel()
    await answering.close()


async def test_bets_faster_than_they_are_answered(desk: Desk) -> None:
    """More at once than one socket may have on their way; all are answered, and each once."""
    market_id = await desk.market()
    player = await desk.player(1_000_000)
    socket = await player.stream(logged_in=True)
    await desk.status(market_id, "open", in_play=True, bet_delay_ms=100)
    numbers = [
        await socket.send("bet", key=uuid4().hex, bet=slip(market_id, stake_minor=10))
        for _ in range(150)
    ]
    pings = await socket.send("ping")
    answered = set()
    while len(answered) < 151:
        frame = await socket._receive()
        if "id" in frame:
            assert frame["type"] in ("bet", "pong"), frame
            answered.add(frame["id"])
    assert answered == {*numbers, pings}
    assert await player.cash() == 1_000_000 - 1_500
    await socket.close()


async def test_another_socket_of_the_player_hears_of_a_bet_once(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player()
    one, two = [await player.stream(logged_in=True) for _ in range(2)]
    for socket in (one, two):
        await socket.next("balance")
    key = uuid4().hex
    first = await one.ask("bet", key=key, bet=slip(market_id))
    again = await one.ask("bet", key=key, bet=slip(market_id))
    assert again["bet"] == first["bet"]
    over_http = await player.post("/v1/bets", slip(market_id))
    for socket in (one, two):
        told = []
        while len(told) < 2:
            told.append((await socket.next("bet_update"))["bet"]["bet_id"])
        assert told == [first["bet"]["bet_id"], over_http["bet_id"]]
        await socket.ask("ping")
        assert not [frame for frame in socket.pushed if frame["type"] == "bet_update"]
        await socket.close()
