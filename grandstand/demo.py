"""The demonstration: two players with money, registered through the front door.

Every request carries a fixed key, so that seeding a platform that has been seeded changes nothing.
"""

from __future__ import annotations

import msgspec

from grandstand.client import Api

PASSWORD = "grandstand-demo"
"""Of the demonstration's players. Anybody can read it here: never seed them in production."""


class DemoPlayer(msgspec.Struct, frozen=True):
    name: str
    email: str
    deposit_minor: int


PLAYERS = (
    DemoPlayer("Ada Grandstand", "ada@example.com", 50_000),
    DemoPlayer("Ben Grandstand", "ben@example.com", 20_000),
)


async def seed(base_url: str, currency: str) -> None:
    """Register the players and give them money, unless that has been done."""
    for player in PLAYERS:
        person = {
            "name": player.name,
            "birth_date": "1990-01-01",
            "email": player.email,
            "password": PASSWORD,
        }
        deposit = {
            "amount_minor": player.deposit_minor,
            "currency": currency,
            "processor": "bogus",
            "method": "bogus-approved",
        }
        login = {"email": player.email, "password": PASSWORD}
        nobody = Api(base_url)
        key = f"demo-register-{player.email}"
        await nobody.request("POST", "/v1/players", body=person, key=key)
        session = await nobody.request("POST", "/v1/sessions", body=login)
        themselves = Api(base_url, session["token"])
        key = f"demo-deposit-{player.email}"
        await themselves.request("POST", "/v1/wallet/deposits", body=deposit, key=key)
