"""The players of the evening, as Locust runs them: each is a greenlet that bets, and waits.

They do as the documentation tells clients to: a request that is turned away for now (429, 503) is
sent again after `Retry-After`, under the same key; so is one whose answer got lost.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import orjson
from locust import FastHttpUser, User, task

from loadtest.spike.frames import CLOSE, HANDSHAKE, PING, TEXT, Reader, pong, text_frame
from loadtest.spike.night import Asked, Night
from loadtest.spike.plan import PhaseName
from loadtest.spike.slips import Slip

ATTEMPTS = 20
"""Times that one bet is asked for. Longer than any outage the platform promises to get over."""
AGAIN_S = 1.0
"""The pause where no answer said how long."""
MAX_PAUSE_S = 5.0
TIMEOUT_S = 20.0
LOOK_SHARE = 0.05
"""How often a player over HTTP looks at the wallet after a bet."""
WITHDRAW_SHARE = 0.5
"""Of what players over HTTP do when the time of withdrawals has come."""
WITHDRAW_MINOR = (100, 5_000)

night = Night.of_environment()


class HttpPlayer(FastHttpUser):  # type: ignore[misc,unused-ignore]
    """Bets one at a time."""

    weight = night.plan.players_over("http")
    host = night.stage.base_url
    network_timeout = connection_timeout = TIMEOUT_S
    concurrency = 1

    def on_start(self) -> None:
        self.pace = night.pace(night.plan.pause_s / 2)
        gevent.sleep(self.pace.wait_s())
        self.token = {"Authorization": f"Bearer {night.token()}"}

    def wait_time(self) -> float:
        return self.pace.wait_s()

    @task  # type: ignore[untyped-decorator,unused-ignore]
    def act(self) -> None:
        seen_through(self._act)

    def _act(self) -> None:
        withdrawing = night.phase() is PhaseName.WITHDRAWALS
        if withdrawing and night.chance.random() < WITHDRAW_SHARE:
            self.withdraw()
            return
        self.bet()
        if night.chance.random() < LOOK_SHARE:
            self.look()

    def bet(self) -> None:
        slip = night.slips.next(night.stage.now_s())
        with night.asked("http", slip) as asked:
            status, answer = self._post("/v1/bets", slip.key, slip.body)
            asked.answered(status, answer)

    def withdraw(self) -> None:
        amount = night.chance.randint(*WITHDRAW_MINOR)
        body = {
            "amount_minor": amount,
            "currency": night.stage.currency,
            "processor": "bogus",
            "method": "bogus-approved",
        }
        key = f"{night.chance.getrandbits(128):032x}"
        began = time.perf_counter()
        status, answer = self._post("/v1/wallet/withdrawals", key, body)
        night.paid_out(status, answer, amount, time.perf_counter() - began)

    def look(self) -> None:
        began = time.perf_counter()
        with self.client.get("/v1/wallet", headers=self.token, catch_response=True) as response:
            if response.status_code == 200:
                night.measured("wallet", time.perf_counter() - began)
            response.success()

    def _post(self, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The first answer that is final; status 0 when there was none."""
        headers = {**self.token, "Idempotency-Key": key}
        for _ in range(ATTEMPTS):
            with self.client.post(path, json=body, headers=headers, catch_response=True) as got:
                status = got.status_code
                answer = _decoded(got.content) if status else {}
                pause = got.headers.get("Retry-After") if status else None
                got.success()  # what became of it is counted by us, by its code
            if status not in (0, 429, 503):
                return status, answer
            night.turned_away(answer)
            gevent.sleep(_pause_s(pause))
        return 0, {}


class SocketPlayer(User):  # type: ignore[misc,unused-ignore]
    """Sends a few bets at once over one WebSocket, and reads until each is answered."""

    weight = night.plan.players_over("websocket")

    def on_start(self) -> None:
        self.pace = night.pace(night.plan.pause_s)
        gevent.sleep(self.pace.wait_s())
        self._socket: socket.socket | None = None
        self._frames: list[tuple[int, bytes]] = []
        self._number = 0
        self._token = night.token()

    def on_stop(self) -> None:
        self._close()

    def wait_time(self) -> float:
        return self.pace.wait_s()

    @task  # type: ignore[untyped-decorator,unused-ignore]
    def bet(self) -> None:
        seen_through(self._bet)

    def _bet(self) -> None:
        slips = [night.slips.next(night.stage.now_s()) for _ in range(night.plan.slip)]
        waiting = [night.asked("websocket", slip) for slip in slips]
        try:
            for _ in range(ATTEMPTS):
                pause_s = AGAIN_S
                try:
                    pause_s = self._place([asked for asked in waiting if not asked.final])
                except OSError:
                    self._close()
                    night.turned_away({})
                if all(asked.final for asked in waiting):
                    return
                gevent.sleep(pause_s)
        finally:
            for asked in waiting:
                asked.close()

    def _place(self, bets: list[Asked]) -> float:
        """Ask for the bets and read until each has an answer; how long to wait with those that
        were turned away for now. Raises `OSError` when the socket breaks."""
        sock = self._connected()
        by_id: dict[int, Asked] = {}
        frames = []
        for asked in bets:
            self._number += 1
            by_id[self._number] = asked
            frames.append(_bet_frame(self._number, asked.slip))
        sock.sendall(b"".join(frames))
        pause_s = 0.0
        while by_id:
            answer = self._read(sock)
            if answer.get("id") not in by_id:
                continue  # balances, bets that were settled, and the like
            asked = by_id.pop(answer["id"])
            problem: dict[str, Any] = answer.get("problem") or {}
            status = problem["status"] if problem else answer["status"]
            if status in (429, 503):
                night.turned_away(problem)
                pause_s = max(pause_s, _pause_s(problem.get("retry_after_s")))
                continue
            took_s = asked.answered(status, problem or answer["bet"])
            self.environment.events.request.fire(
                request_type="WebSocket",
                name="bet",
                response_time=1000 * took_s,
                response_length=0,
                exception=None,
                context={},
            )
        return pause_s

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._reader = Reader()
            self._frames = []
            sock = socket.create_connection(("127.0.0.1", night.stage.port), TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = sock
            sock.sendall(HANDSHAKE)
            while not self._reader.open:
                self._receive(sock)
            login = {"type": "login", "id": 0, "token": self._token}
            sock.sendall(text_frame(orjson.dumps(login)))
            while (answer := self._read(sock)).get("id") != 0:
                pass
            if answer["type"] != "ok":
                raise OSError(f"not logged in: {answer}")
        return self._socket

    def _read(self, sock: socket.socket) -> dict[str, Any]:
        """The next text frame."""
        while True:
            while self._frames:
                kind, payload = self._frames.pop(0)
                if kind == TEXT:
                    frame: dict[str, Any] = orjson.loads(payload)
                    return frame
                if kind == PING:
                    sock.sendall(pong(payload))
                elif kind == CLOSE:
                    raise OSError("the server closed the socket")
            self._receive(sock)

    def _receive(self, sock: socket.socket) -> None:
        data = sock.recv(65_536)
        if not data:
            raise OSError("the server hung up")
        self._frames += self._reader.feed(data)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def seen_through(work: Callable[[], None]) -> None:
    """Do it in a greenlet of its own. Locust sends players home at any moment, in the middle of a
    bet too, and its answer is to be heard all the same."""
    doing = gevent.spawn(work)
    try:
        doing.get()
    except gevent.GreenletExit:
        doing.join(TIMEOUT_S)
        raise


def _bet_frame(number: int, slip: Slip) -> bytes:
    frame = {"type": "bet", "id": number, "key": slip.key, "bet": slip.body}
    return text_frame(orjson.dumps(frame))


def _decoded(content: bytes | None) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = orjson.loads(content or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return answer


def _pause_s(retry_after: str | int | None) -> float:
    """As told, a little apart from each other, so that not all come back in one moment."""
    told_s = AGAIN_S if retry_after is None else float(retry_after)
    return min(told_s, MAX_PAUSE_S) * night.chance.uniform(1.0, 1.25)
