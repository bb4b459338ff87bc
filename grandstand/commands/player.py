"""`grandstand player`: register players, move their money, look at what they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from grandstand.client import Api, ApiProblem, Unreachable
from grandstand.commands import console, fail, running
from grandstand.demo import PASSWORD
from ledger.money import Money

app = typer.Typer(help="Players of the running platform.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The player's e-mail address.")]
Password = Annotated[str, typer.Option(help="The player's password.", envvar="PLAYER_PASSWORD")]
Amount = Annotated[int, typer.Argument(help="In minor units: 1000 is 10.00.", min=1)]


@contextmanager
def problems() -> Iterator[None]:
    """Turn what the API says into one line."""
    try:
        yield
    except (ApiProblem, Unreachable) as problem:
        fail(problem)


def _log_in(email: str, password: str) -> Api:
    base_url = running().base_url
    session = Api(base_url).post("/v1/sessions", {"email": email, "password": password})
    return Api(base_url, session["token"])


def _wallet(api: Api) -> dict[str, Any]:
    wallet: dict[str, Any] = api.get("/v1/wallet")
    return wallet


@app.command()
def register(
    email: Email,
    name: Annotated[str, typer.Option(help="Full name.")],
    birth_date: Annotated[str, typer.Option(help="YYYY-MM-DD.")],
    password: Password = PASSWORD,
) -> None:
    """Register a player."""
    body = {"name": name, "birth_date": birth_date, "email": email, "password": password}
    with problems():
        player = Api(running().base_url).post("/v1/players", body)
        console.print(f"{player['name']} is player {player['player_id']}")


@app.command()
def show(email: Email, password: Password = PASSWORD) -> None:
    """Show the balance and the latest bets."""
    with problems():
        api = _log_in(email, password)
        wallet = _wallet(api)
        currency = wallet["currency"]
        cash, held = Money(wallet["cash_minor"], currency), Money(wallet["held_minor"], currency)
        console.print(f"cash {cash.text()} {currency}, held {held.text()}")
        table = Table("placed", "bet", "stake", "state", "payout")
        for bet in api.get("/v1/bets", limit="10")["items"]:
            leg = bet["legs"][0]
            table.add_row(
                bet["placed_at"],
                f"{leg['selection_name']}, {leg['market_name']}, {leg['fixture_name']}",
                Money(bet["stake_minor"], currency).text(),
                bet["state"],
                Money(bet["payout_minor"], currency).text(),
            )
        console.print(table)


def _pay(email: str, password: str, amount_minor: int, method: str, where: str) -> None:
    with problems():
        api = _log_in(email, password)
        body = {
            "amount_minor": amount_minor,
            "currency": _wallet(api)["currency"],
            "processor": "bogus",
            "method": method,
        }
        done = api.post(f"/v1/wallet/{where}", body)
        cash = Money(_wallet(api)["cash_minor"], done["currency"])
        console.print(f"{done['state']}; cash {cash.text()} {cash.currency}")


@app.command()
def deposit(
    email: Email,
    amount: Amount,
    password: Password = PASSWORD,
    method: Annotated[str, typer.Option(help="A method of the bogus processor.")] = (
        "bogus-approved"
    ),
) -> None:
    """Deposit through the bogus processor."""
    _pay(email, password, amount, method, "deposits")


@app.command()
def withdraw(
    email: Email,
    amount: Amount,
    password: Password = PASSWORD,
    method: Annotated[str, typer.Option(help="A method of the bogus processor.")] = (
        "bogus-approved"
    ),
) -> None:
    """Withdraw through the bogus processor."""
    _pay(email, password, amount, method, "withdrawals")
