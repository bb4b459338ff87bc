"""`grandstand market`: what a trader does, from the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from actors import odds as prices
from actors.runtime.addresses import fixture_of
from grandstand.client import Api
from grandstand.commands import console, fail, running
from grandstand.commands.player import problems

app = typer.Typer(help="Markets of the running platform, as staff.", no_args_is_help=True)

MarketId = Annotated[str, typer.Argument(help="The market's id, as `market list` shows it.")]


def _staff() -> Api:
    run = running()
    return Api(run.base_url, run.staff_token)


def _find(market_id: str) -> dict[str, Any]:
    fixture = _staff().get(f"/v1/fixtures/{fixture_of(market_id)}")
    markets: dict[str, dict[str, Any]] = {
        market["market_id"]: market for market in fixture["markets"]
    }
    if market_id not in markets:
        fail(f"there is no market {market_id}")
    return markets[market_id]


@app.command("list")
def list_(
    sport: Annotated[str, typer.Option(help="Only this sport.")] = "",
    phase: Annotated[
        str, typer.Option(help="scheduled, in_play, ended or cancelled; all when empty.")
    ] = "",
) -> None:
    """List fixtures and their markets, the soonest first."""
    query = {name: value for name, value in (("sport", sport), ("phase", phase)) if value}
    table = Table("fixture", "phase", "market", "status", "prices")
    table.columns[2].no_wrap = True  # to be copied whole into the next command
    with problems():
        fixtures = _staff().get("/v1/fixtures", **query)["items"]
        ids = [market["market_id"] for fixture in fixtures for market in fixture["markets"]]
        table.columns[2].min_width = max(map(len, ids), default=0)
        for fixture in fixtures:
            for market in fixture["markets"]:
                shown = "  ".join(
                    f"{selection['name']} {prices.text(selection['odds'])}"
                    for selection in market["selections"][:4]
                )
                table.add_row(
                    f"{fixture['name']} ({fixture['sport']})",
                    f"{fixture['phase']} {fixture['score']}".strip(),
                    market["market_id"],
                    market["status"],
                    shown,
                )
    console.print(table)


@app.command()
def show(market_id: MarketId) -> None:
    """Show one market: prices, results, and the liability of each selection."""
    with problems():
        market = _find(market_id)
        exposure = _staff().get(f"/v1/staff/markets/{market_id}/exposure")
        lines = exposure["selections"]
        console.print(f"{market['name']}: {market['status']}")
        table = Table("selection", "name", "price", "result", "bets", "liability (minor units)")
        for selection in market["selections"]:
            line = lines.get(selection["selection_id"], {})
            result = selection.get("result") or {}
            table.add_row(
                selection["selection_id"],
                selection["name"],
                prices.text(selection["odds"]),
                result.get("outcome", ""),
                str(line.get("bets", 0)),
                str(line.get("liability_minor", 0)),
            )
        console.print(table)


@app.command()
def suspend(market_id: MarketId) -> None:
    """Stop bets on a market."""
    _set_status(market_id, "suspended")


@app.command("open")
def open_(market_id: MarketId) -> None:
    """Take bets on a suspended market again."""
    _set_status(market_id, "open")


@app.command()
def close(market_id: MarketId) -> None:
    """Take no more bets on a market."""
    _set_status(market_id, "closed")


def _set_status(market_id: str, status: str) -> None:
    with problems():
        market = _find(market_id)
        body = {
            "status": status,
            "in_play": market["in_play"],
            "bet_delay_ms": market["bet_delay_ms"],
        }
        _staff().post(f"/v1/staff/markets/{market_id}/status", body)
        console.print(f"{market_id} is {status}")


@app.command()
def price(
    market_id: MarketId,
    selection_id: Annotated[str, typer.Argument(help="The selection's id.")],
    odds: Annotated[int, typer.Argument(help="Decimal odds times 10,000; 0 takes it off.")],
) -> None:
    """Move the price of a selection."""
    with problems():
        _staff().post(f"/v1/staff/markets/{market_id}/prices", {"odds": {selection_id: odds}})
        console.print(f"{selection_id} is {prices.text(odds)}")


@app.command()
def settle(
    market_id: MarketId,
    winner: Annotated[list[str], typer.Option(help="A winning selection; may be repeated.")],
) -> None:
    """Declare the winners; every other selection has lost, and withdrawn ones are void."""
    with problems():
        market = _find(market_id)
        ids = [selection["selection_id"] for selection in market["selections"]]
        unknown = [selection_id for selection_id in winner if selection_id not in ids]
        if unknown:
            fail(f"{market_id} has no selection {unknown[0]}; it has {', '.join(ids)}")
        results = {
            selection_id: {"outcome": "won" if selection_id in winner else "lost"}
            for selection_id in ids
        }
        _staff().post(f"/v1/staff/markets/{market_id}/result", {"results": results})
        console.print(f"{market_id}: {', '.join(winner)} won; bets are being settled")


@app.command()
def cancel(market_id: MarketId) -> None:
    """Void the market: every stake is given back."""
    with problems():
        _staff().post(f"/v1/staff/markets/{market_id}/cancel", {})
        console.print(f"{market_id} is cancelled; stakes are being given back")
