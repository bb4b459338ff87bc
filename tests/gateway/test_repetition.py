"""The same key, whatever happens: once, and the first answer again."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from actors.errors import Unavailable
from actors.player import ClaimEmail, RegisterPlayer
from actors.runtime.router import Answer as RouterAnswer
from actors.wallet import GetPayment, PaymentView
from gateway import cashier
from gateway.app import Gateway
from gateway.payments.processor import Approved, Declined, NoAnswer, Order
from gateway.sessions import digest_of
from tests.gateway.backend import Ahead, Backend
from tests.gateway.desk import PASSWORD, Answer, Desk, payment, registration, slip


async def test_the_first_answer_again(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player()
    key = uuid4().hex
    first = await player.post("/v1/bets", slip(market_id), key)
    await desk.prices(market_id, home=30_000)
    again = await player.post("/v1/bets", slip(market_id), key)
    assert (again.status, again.json) == (first.status, first.json)
    other = await player.post("/v1/bets", slip(market_id, stake_minor=600), key)
    other.problem(422, "idempotency_key_reused")
    # One key is for one thing, also across resources.
    deposit = await player.post("/v1/wallet/deposits", payment(100), key)
    deposit.problem(422, "idempotency_key_reused")
    assert await player.cash() == 9_500


async def test_a_refusal_is_an_answer_too(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player(100)
    key = uuid4().hex
    first = await player.post("/v1/bets", slip(market_id), key)
    await player.deposit(10_000)
    again = await player.post("/v1/bets", slip(market_id), key)
    assert again.json == first.json
    again.problem(409, "insufficient_funds")


async def test_twenty_at_once_are_one_bet(desk: Desk) -> None:
    market_id = await desk.market()
    player = await desk.player()
    key = uuid4().hex
    over_http = [player.post("/v1/bets", slip(market_id), key) for _ in range(10)]
    socket = await player.stream(logged_in=True)
    numbers = [await socket.send("bet", key=key, bet=slip(market_id)) for _ in range(10)]
    answers = await asyncio.gather(*over_http)
    frames = [await socket.answer(number) for number in numbers]
    assert {answer["bet_id"] for answer in answers} == {frame["bet"]["bet_id"] for frame in frames}
    assert len({answer.raw for answer in answers}) == 1
    assert frames[0]["bet"] == answers[0].json
    assert await player.cash() == 9_500
    assert len((await player.get("/v1/bets"))["items"]) == 1
    await socket.close()


async def test_registering_with_the_same_key(desk: Desk) -> None:
    key, email = uuid4().hex, f"{uuid4().hex[:8]}@example.com"
    answers = await asyncio.gather(
        *(desk.post("/v1/players", registration(email), key) for _ in range(3))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.raw for answer in answers}) == 1
    other = await desk.post("/v1/players", registration(email, name="Bob"), key)
    other.problem(422, "idempotency_key_reused")


class Interrupted:
    """A router that loses one kind of message before it is carried out, the first time."""

    def __init__(self, gateway: Gateway, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lost = 0
        ask = gateway.services.router.ask

        async def asking(scope: str, routing_id: str, message: Any, **more: Any) -> Any:
            if isinstance(message, kind) and not self.lost:
                self.lost += 1
                raise Unavailable("told to")
            return await ask(scope, routing_id, message, **more)

        monkeypatch.setattr(gateway.services.router, "ask", asking)


@pytest.mark.parametrize("same_key", [True, False])
async def test_a_registration_that_broke_off_is_finished(
    gateway: Gateway, desk: Desk, monkeypatch: pytest.MonkeyPatch, same_key: bool
) -> None:
    Interrupted(gateway, RegisterPlayer, monkeypatch)
    key, email = uuid4().hex, f"{uuid4().hex[:8]}@example.com"
    broken = await desk.post("/v1/players", registration(email), key)
    broken.problem(503, "unavailable")
    assert broken.headers["Retry-After"] == "1"
    key = key if same_key else uuid4().hex
    done = await desk.post("/v1/players", registration(email), key)
    assert done.status == 201, done.raw
    assert (await desk.post("/v1/players", registration(email), key)).raw == done.raw
    login = await desk.ask("POST", "/v1/sessions", {"email": email, "password": PASSWORD})
    assert login["player_id"] == done["player_id"]


async def test_a_claim_that_broke_off_is_made_again(
    gateway: Gateway, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    Interrupted(gateway, ClaimEmail, monkeypatch)
    key, email = uuid4().hex, f"{uuid4().hex[:8]}@example.com"
    (await desk.post("/v1/players", registration(email), key)).problem(503, "unavailable")
    assert (await desk.post("/v1/players", registration(email), key)).status == 201


@pytest.fixture
def answers(backend: Backend) -> Iterator[Callable[[], None]]:
    """To be called when the processor shall answer for what it was silent about."""

    def answers() -> None:
        backend.processors_ahead_ms = 61_000

    yield answers
    backend.processors_ahead_ms = 0


class Counting:
    """A processor that counts how often it is asked, and approves or never answers."""

    name = "counting"
    methods = ("approved", "silent", "declined")

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def move(self, order: Order) -> Approved | Declined:
        self.asked[order.payment_id] += 1
        if order.method == "silent":
            raise NoAnswer("as ever")
        if order.method == "declined":
            return Declined("not_today")
        return Approved(f"counted-{order.payment_id}")


@contextlib.asynccontextmanager
async def another(backend: Backend, player: Desk, **more: Any) -> AsyncIterator[Desk]:
    """The same player at another gateway."""
    gateway = backend.gateway(**more)
    await gateway.start()
    try:
        yield Desk(player.http, await gateway.port(), player.token)
    finally:
        await gateway.drain(1)


async def test_a_payment_goes_on_where_it_stopped(desk: Desk, answers: Callable[[], None]) -> None:
    player = await desk.registered()
    key = uuid4().hex
    for _ in range(2):
        pending = await player.post("/v1/wallet/deposits", payment(700, "bogus-timeout"), key)
        payment_id = pending.problem(503, "payment_pending")["payment_id"]
    assert await player.cash() == 0
    answers()
    done = await player.post("/v1/wallet/deposits", payment(700, "bogus-timeout"), key)
    assert (done["payment_id"], done["cash_after_minor"]) == (payment_id, 700)
    assert (await player.post("/v1/wallet/deposits", payment(700, "bogus-timeout"), key)).raw == (
        done.raw
    )
    other = await player.post("/v1/wallet/deposits", payment(701, "bogus-timeout"), key)
    other.problem(422, "idempotency_key_reused")
    assert await player.cash() == 700


@pytest.mark.parametrize("direction", ["deposits", "withdrawals"])
async def test_a_payment_begun_at_one_gateway_goes_on_at_another(
    backend: Backend, desk: Desk, answers: Callable[[], None], direction: str
) -> None:
    player = await desk.player(1_000)
    path, body, key = f"/v1/wallet/{direction}", payment(700, "bogus-timeout"), uuid4().hex
    async with another(backend, player) as elsewhere:
        pending = (await player.post(path, body, key)).problem(503, "payment_pending")
        again = (await elsewhere.post(path, body, key)).problem(503, "payment_pending")
        assert again["payment_id"] == pending["payment_id"]
        answers()
        done = await elsewhere.post(path, body, key)
        assert (done.status, done["payment_id"]) == (201, pending["payment_id"])
        assert (await player.post(path, body, key)).raw == done.raw
        # Nobody asks a processor any more, whatever it would say now.
        backend.processors_ahead_ms = 0
        assert (await player.post(path, body, key)).raw == done.raw
        assert (await elsewhere.post(path, body, key)).raw == done.raw


@pytest.mark.parametrize("direction", ["deposits", "withdrawals"])
@pytest.mark.parametrize("method", ["approved", "declined"])
async def test_a_payment_outlives_its_processor(
    backend: Backend, desk: Desk, direction: str, method: str
) -> None:
    player = await desk.player(1_000)
    counting = Counting()
    path, key = f"/v1/wallet/{direction}", uuid4().hex
    body = payment(700, method, processor="counting")
    async with another(backend, player, processors={"counting": counting}) as there:
        first = await there.post(path, body, key)
        again = await there.post(path, body, key)
        # The desk's gateway has never had that processor.
        elsewhere = await player.post(path, body, key)
    assert (again.status, again.raw) == (elsewhere.status, elsewhere.raw)
    assert (again.status, again.raw) == (first.status, first.raw)
    assert first.status == {"approved": 201, "declined": 409}[method]
    assert list(counting.asked.values()) == [1]


async def test_a_payment_without_a_processor_stays_pending(backend: Backend, desk: Desk) -> None:
    player = await desk.registered()
    body, key = payment(700, "silent", processor="counting"), uuid4().hex
    async with another(backend, player, processors={"counting": Counting()}) as there:
        pending = await there.post("/v1/wallet/deposits", body, key)
    elsewhere = await player.post("/v1/wallet/deposits", body, key)
    assert elsewhere.problem(503, "payment_pending") == pending.problem(503, "payment_pending")


@pytest.mark.parametrize("change", [{"processor": "counting"}, {"method": "none"}])
async def test_that_there_is_no_such_processor_is_an_answer_too(
    backend: Backend, desk: Desk, change: dict[str, str]
) -> None:
    player = await desk.registered()
    body, key = {**payment(700), **change}, uuid4().hex
    first = await player.post("/v1/wallet/deposits", body, key)
    first.problem(400, f"unknown_{next(iter(change))}")
    serving = Counting()
    serving.methods = ("bogus-approved", "none")  # type: ignore[assignment]
    processors = {"counting": serving, "bogus": serving}
    async with another(backend, player, processors=processors) as there:
        again = await there.post("/v1/wallet/deposits", body, key)
        assert (again.status, again.raw) == (first.status, first.raw)
        assert (await there.post("/v1/wallet/deposits", body)).status == 201
    assert await player.cash() == 700


async def test_a_former_owner_that_knows_of_no_request_is_not_believed(
    gateway: Gateway, desk: Desk, answers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await desk.registered()
    key = uuid4().hex
    await player.post("/v1/wallet/deposits", payment(700, "bogus-timeout"), key)
    ask = gateway.services.router.ask

    async def asking(scope: str, routing_id: str, message: Any, **more: Any) -> Any:
        answer = await ask(scope, routing_id, message, **more)
        if isinstance(message, GetPayment):
            return RouterAnswer(PaymentView(False), answer.partition, 1)
        return answer

    monkeypatch.setattr(gateway.services.router, "ask", asking)
    answers()
    done = await player.post("/v1/wallet/deposits", payment(700, "bogus-timeout"), key)
    assert (done.status, done["cash_after_minor"]) == (201, 700)


@pytest.mark.parametrize("direction", ["deposits", "withdrawals"])
async def test_a_payment_nobody_repeats_is_swept_up(
    gateway: Gateway, desk: Desk, answers: Callable[[], None], direction: str
) -> None:
    player = await desk.player(1_000)
    key = uuid4().hex
    pending = await player.post(f"/v1/wallet/{direction}", payment(700, "bogus-timeout"), key)
    pending.problem(503, "payment_pending")
    assert (await player.get("/v1/wallet/payments"))["items"][0]["state"] == "pending"
    answers()
    both = await asyncio.gather(*(cashier.Sweep(gateway.services).once(-1_000) for _ in range(2)))
    assert both[0] >= 1
    after = {"deposits": 1_700, "withdrawals": 300}[direction]
    assert await player.cash() == after
    assert (await player.get("/v1/wallet/payments"))["items"][0]["state"] == "completed"
    # Whoever comes back after all gets the answer.
    answer = await player.post(f"/v1/wallet/{direction}", payment(700, "bogus-timeout"), key)
    assert (answer.status, answer["cash_after_minor"]) == (201, after)


async def test_a_sweep_goes_on_where_the_last_one_stopped(
    backend: Backend, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payments that stay stuck, more than a sweep takes, keep nobody from the younger ones."""
    monkeypatch.setattr(cashier, "SWEPT_PAGE", 2)
    monkeypatch.setattr(cashier, "PAGES_AT_ONCE", 2)
    counting = Counting()
    gateway = backend.gateway(processors={"counting": counting})
    await gateway.start()
    try:
        player = await Desk(desk.http, await gateway.port()).registered()
        body = payment(10, "silent", processor="counting")
        mine = set()
        for _ in range(7):
            pending = await player.post("/v1/wallet/deposits", body)
            mine.add(pending.problem(503, "payment_pending")["payment_id"])
        assert (await player.get("/v1/wallet/payments"))["up_to_date"]
        counting.asked.clear()
        sweep = cashier.Sweep(gateway.services)
        for number in range(1, 21):
            assert await sweep.once(-1_000) == 0
            assert counting.asked.total() <= 4 * number
        # All had their turn, and the same number of turns.
        turns = [counting.asked[payment_id] for payment_id in mine]
        assert min(turns) > 1
        assert max(turns) - min(turns) <= 1
    finally:
        await gateway.drain(1)


async def test_twenty_deposits_at_once_are_one(desk: Desk) -> None:
    player = await desk.registered()
    key = uuid4().hex
    answers = await asyncio.gather(
        *(player.post("/v1/wallet/deposits", payment(300, "bogus-slow"), key) for _ in range(20))
    )
    assert {answer.status for answer in answers} == {201}
    assert await player.cash() == 300


async def test_staff_repeat_themselves(desk: Desk) -> None:
    async def twice(path: str, body: Any) -> Answer:
        key = uuid4().hex
        first = await desk.staff.post(path, body, key)
        again = await desk.staff.post(path, body, key)
        assert (first.status, first.raw) == (again.status, again.raw)
        assert first.status in (200, 201), first.raw
        return first

    created = await twice(
        "/v1/staff/fixtures",
        {
            "sport": "tennis",
            "competition": "Open",
            "name": "A v B",
            "starts_at": "2030-01-01T15:00:00Z",
        },
    )
    fixture_id = created["fixture_id"]
    market = await twice(
        f"/v1/staff/fixtures/{fixture_id}/markets",
        {
            "market_key": "win",
            "name": "Winner",
            "kind": "win",
            "selections": [
                {"selection_id": "a", "name": "A", "odds": 15_000},
                {"selection_id": "b", "name": "B"},
            ],
        },
    )
    assert [one["odds"] for one in market["selections"]] == [15_000, 0]
    market_id = market["market_id"]
    await twice(f"/v1/staff/markets/{market_id}/prices", {"odds": {"b": 30_000}})
    await twice(f"/v1/staff/markets/{market_id}/status", {"status": "suspended"})
    await twice(f"/v1/staff/fixtures/{fixture_id}/phase", {"phase": "in_play"})
    results = {"a": {"outcome": "won"}, "b": {"outcome": "lost"}}
    await twice(f"/v1/staff/markets/{market_id}/result", {"results": results})


async def test_an_expired_session(backend: Backend, http: Any) -> None:
    clock = Ahead()
    gateway = backend.gateway(clock=clock, session_idle_s=600)
    await gateway.start()
    try:
        desk = Desk(http, await gateway.port())
        player = await desk.registered()
        assert (await player.get("/v1/me")).status == 200
        socket = await player.stream(logged_in=True)
        # Valkey forgets it by itself, in ten minutes: here they pass at once.
        name = f"session/{digest_of(player.token)}"
        assert 0 < await gateway.services.valkey.pttl(name) <= 600_000
        await gateway.services.valkey.pexpire(name, 1)
        clock.ahead_ms = 600_000
        assert await socket.close_code() == 4001
        (await player.get("/v1/me")).problem(401, "unauthenticated")
    finally:
        await gateway.drain(1)
