"""Passwords that are guessed at: the guesser is slowed down, and the owner comes in anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import pytest

from gateway.devices import COOKIE, LIVES_MS, Devices
from gateway.limits import STRANGERS, network_of
from tests.gateway.backend import Backend
from tests.gateway.desk import PASSWORD, Answer, Desk, registration
from tests.gateway.trading import member
from tests.simulation.still import VirtualClock

FEW = 3
"""Attempts at one account from one address."""
WRONG = "not the password"


class Door:
    """Where players or staff log in, from addresses of the test's choice."""

    def __init__(self, desk: Desk, path: str, name: str) -> None:
        self._desk, self._path, self._name = desk, path, name

    async def knock(
        self, who: str, address: str, password: str = WRONG, device: str = ""
    ) -> Answer:
        headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
        if device:
            headers["Cookie"] = f"{COOKIE}={device}"
        body = {self._name: who, "password": password}
        return await self._desk.ask("POST", self._path, body, headers=headers)

    async def comes_in(self, who: str, address: str, device: str = "") -> str:
        """Returns the token for the device."""
        answer = await self.knock(who, address, PASSWORD, device)
        assert answer.status == 201, answer.raw
        cookie: Any = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
        assert cookie["httponly"]
        assert cookie["secure"]
        assert (cookie["samesite"], cookie["path"]) == ("Strict", self._path)
        return str(cookie.value)

    async def is_slowed_down(self, who: str, address: str, password: str, device: str = "") -> None:
        answer = await self.knock(who, address, password, device)
        answer.problem(429, "rate_limited")
        assert 0 < int(answer.headers["Retry-After"]) <= 600 // FEW


async def _player(desk: Desk) -> str:
    return (await desk.registered()).email


async def _staff(desk: Desk) -> str:
    return (await member(desk, "trader")).login


@pytest.fixture(params=["player", "staff"])
async def house(
    request: pytest.FixtureRequest, backend: Backend, http: Any, desk: Desk
) -> AsyncIterator[tuple[Door, str]]:
    """The door of a gateway behind a proxy, and somebody who has not come in by it yet."""
    of_staff = request.param == "staff"
    who = await (_staff if of_staff else _player)(desk)
    gateway = backend.gateway(attempts_per_login=FEW, attempts_per_address=2 * FEW, proxies=1)
    await gateway.start()
    try:
        path, name = ("/v1/desk/sessions", "login") if of_staff else ("/v1/sessions", "email")
        yield Door(Desk(http, await gateway.port()), path, name), who
    finally:
        await gateway.drain(1)


async def _guess(door: Door, who: str, address: str) -> list[int]:
    """As often as it goes from many addresses of one network."""
    answers = [
        await door.knock(who, f"{address}.{number // FEW}") for number in range(STRANGERS * FEW + 1)
    ]
    return [answer.status for answer in answers]


async def test_guessing_slows_down_strangers_and_not_the_owner(house: tuple[Door, str]) -> None:
    door, who = house
    device = await door.comes_in(who, "10.0.0.1")
    # At home they were a stranger, too, the first time.
    assert await _guess(door, who, "10.6.6") == [401] * (STRANGERS * FEW - 1) + [429] * 2
    # The right password does not help a stranger,
    await door.is_slowed_down(who, "10.7.7.7", PASSWORD)
    # and the owner is none: at home, and elsewhere with the same device,
    await door.comes_in(who, "10.0.0.1")
    device = await door.comes_in(who, "10.8.8.8", device)
    # even at an address from which somebody has guessed until nothing went any more.
    await door.knock(who, "10.6.6.0")
    await door.comes_in(who, "10.6.6.0", device)


async def test_an_account_that_there_is_not_is_guessed_at_alike(house: tuple[Door, str]) -> None:
    door, who = house
    nobody = "nobody" if "@" not in who else "nobody@example.org"
    assert await _guess(door, nobody, "10.6.5") == await _guess(door, who, "10.6.4")


async def test_registering_is_no_other_way_to_guess(backend: Backend, http: Any) -> None:
    gateway = backend.gateway(attempts_per_login=FEW, proxies=1)
    await gateway.start()
    try:
        desk = Desk(http, await gateway.port())
        door = Door(desk, "/v1/sessions", "email")
        await door.knock("taken@guess.example", "10.11.0.1")
        headers, codes = {"X-Forwarded-For": "10.11.0.1"}, []
        for _ in range(FEW):
            body = registration("taken@guess.example")
            answer = await desk.ask("POST", "/v1/players", body, key=uuid4().hex, headers=headers)
            codes.append(answer.status)
        assert codes == [201, 409, 429]
        await door.is_slowed_down("taken@guess.example", "10.11.0.1", PASSWORD)
    finally:
        await gateway.drain(1)


async def test_a_device_has_few_attempts_too_and_is_one_accounts(house: tuple[Door, str]) -> None:
    door, who = house
    device = await door.comes_in(who, "10.0.0.2")
    # Of a wrong password as of a right one: nothing tells which it was.
    for _ in range(FEW):
        (await door.knock(who, "10.0.0.2", WRONG, device)).problem(401, "bad_credentials")
    await door.is_slowed_down(who, "10.0.0.2", PASSWORD, device)
    # Somebody else's device is a stranger, and so is one that nobody has given out.
    other = f"x{who}"
    for number in range(STRANGERS * FEW):
        await door.knock(other, f"10.9.{number}.1")
    forgeries = (device, device[:-1] + "x", "a.1.b", "\udcff.1.b", "." * 300, "a..b", "a.1")
    for forged in forgeries:
        sent = forged.encode("utf-8", "surrogateescape").decode("latin-1")
        await door.is_slowed_down(other, "10.9.9.9", WRONG, sent)


async def test_a_device_stays_the_same_one_however_often_it_comes_in(
    house: tuple[Door, str],
) -> None:
    door, who = house
    first = device = await door.comes_in(who, "10.0.0.3")
    for _ in range(FEW):
        device = await door.comes_in(who, "10.0.0.3", device)
    for token in (first, device):
        await door.is_slowed_down(who, "10.0.0.4", PASSWORD, token)
    # Many devices of one address have no more attempts than many strangers.
    others = [await door.comes_in(who, "10.0.0.5") for _ in range(FEW)]
    for other in others[: FEW - 1]:
        for _ in range(FEW):
            await door.knock(who, "10.0.0.6", WRONG, other)
    await door.is_slowed_down(who, "10.0.0.6", PASSWORD, others[-1])
    await door.comes_in(who, "10.0.0.7", others[-1])


async def test_the_addresses_of_one_network_are_one(house: tuple[Door, str]) -> None:
    door, who = house
    for number in range(FEW):
        (await door.knock(who, f"2001:db8::{number}")).problem(401, "bad_credentials")
    await door.is_slowed_down(who, "2001:db8::ffff:1", PASSWORD)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        (" 10.1.2.3:4711", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2::", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_what_an_address_counts_as(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_device_is_known_for_a_while_to_whoever_has_the_secret() -> None:
    clock = VirtualClock()
    devices = Devices("a secret of all gateways", clock)
    token = devices.new("player/a@x.org")
    number = devices.number(token, "player/a@x.org")
    assert number
    assert Devices("a secret of all gateways", clock).number(token, "player/a@x.org") == number
    assert not Devices("another one", clock).number(token, "player/a@x.org")
    assert not devices.number(token, "staff/a@x.org")
    clock.advance(LIVES_MS - 1)
    assert devices.number(token, "player/a@x.org") == number
    clock.advance(1)
    assert not devices.number(token, "player/a@x.org")
