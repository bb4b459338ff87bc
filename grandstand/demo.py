"""The demonstration: two players with money, registered through the front door, and a board.

Every request carries a fixed key, so that seeding a platform that has been seeded changes nothing.

The board's prices are the house's own, as the odds engine makes them. Football is priced by the
model of goals, American football by that of points. Who wins is priced by two rival houses as well:
their margins come off, what they say is blended with the models, and ours goes on.
"""

from __future__ import annotations

import msgspec

from actors.odds import ONE
from actors.pricing.margin import Model
from gateway.feeds import priced, simulated
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


RIVALS = {"northern": 10_500, "harbour": 10_900}
"""The rivals' overrounds, in ten-thousandths."""
USUAL = priced.MarginSettings()
MARGINS = {
    "Football": priced.MarginSettings(overround=10_500),
    "Football/correct_score": priced.MarginSettings(overround=11_500),
    "American Football": priced.MarginSettings(overround=10_450),
    "Horse Racing": priced.MarginSettings(Model.SHIN, 11_200),
    "Horse Racing/place": priced.MarginSettings(Model.POWER, 11_200),
}
"""Where the board keeps another margin than the usual one."""


def board(seed: int, fixtures: int, currency: str) -> priced.Settings:
    """What the feed `priced` makes the demonstration's board of."""

    def heard(weight: int, overround: int, rival: str = "") -> priced.FeedSettings:
        seen = simulated.Settings(
            seed, fixtures, None, currency, overround, on_ladder=bool(rival), rival=rival
        )
        return priced.FeedSettings(
            simulated.FEED.name,
            msgspec.Raw(msgspec.json.encode(seen)),
            weight,
            simulated.LIMITS.max_age_ms,
            simulated.LIMITS.max_age_in_play_ms,
        )

    return priced.Settings(
        heard(2, ONE),
        {name: heard(1, overround, name) for name, overround in RIVALS.items()},
        margin=USUAL,
        margins=MARGINS,
        removals={"Horse Racing": Model.SHIN},
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
