"""The command line: `grandstand up`, `status`, `replay`, `ledger`, `player`, and so on."""

from __future__ import annotations

import typer

from grandstand.commands import feed, ledger, market, player, replay, seed, shard, staff, up

app = typer.Typer(
    help="Grandstand: a wallet and bet-processing server for licensed sportsbooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("replay")(replay.replay)
app.command("feed")(feed.feed)
app.command("seed")(seed.seed)
app.command("status")(shard.status)
app.add_typer(ledger.app, name="ledger")
app.add_typer(player.app, name="player")
app.add_typer(market.app, name="market")
app.add_typer(staff.app, name="staff")
app.add_typer(shard.app, name="shard")
