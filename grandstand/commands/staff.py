"""`grandstand staff`: who may come to the trader's desk. The first member is made with it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from actors.staff import Role
from grandstand.client import Api
from grandstand.commands import console, running
from grandstand.commands.player import problems

app = typer.Typer(help="Staff of the running platform, as its admin.", no_args_is_help=True)

Login = Annotated[str, typer.Argument(help="The member's log-in: lower case, without spaces.")]
Why = Annotated[str, typer.Option(help="Why, for the audit.")]
NewPassword = Annotated[
    str,
    typer.Option(
        help="10 characters or more.",
        envvar="STAFF_PASSWORD",
        prompt=True,
        confirmation_prompt=True,
        hide_input=True,
    ),
]


def _admin() -> Api:
    run = running()
    return Api(run.base_url, run.staff_token)


@app.command()
def add(
    login: Login,
    name: Annotated[str, typer.Option(help="Full name.")],
    password: NewPassword,
    role: Annotated[Role, typer.Option(help="What the member may do.")] = Role.TRADER,
    why: Why = "Added on the command line",
) -> None:
    """Add a member of the staff, who then logs in at /trader."""
    body = {"login": login, "name": name, "role": role, "password": password, "reason": why}
    with problems():
        member = _admin().post("/v1/desk/staff", body)
        console.print(f"{member['name']} is {member['role']} {member['login']}")


@app.command("list")
def list_() -> None:
    """List all members there ever were."""
    table = Table("log-in", "name", "role", "added", "")
    with problems():
        for member in _admin().get("/v1/desk/staff")["items"]:
            state = "disabled" if member["disabled"] else ""
            table.add_row(
                member["login"], member["name"], member["role"], member["added_at"], state
            )
    console.print(table)


@app.command()
def role(
    login: Login,
    role: Annotated[Role, typer.Argument(help="What the member may do from now on.")],
    why: Why = "Changed on the command line",
) -> None:
    """Give a member another role."""
    with problems():
        _admin().post(f"/v1/desk/staff/{login}/role", {"role": role, "reason": why})
        console.print(f"{login} is {role.value} now")


@app.command()
def password(login: Login, password: NewPassword, why: Why = "Set on the command line") -> None:
    """Set a new password: it ends the member's sessions."""
    with problems():
        _admin().post(f"/v1/desk/staff/{login}/password", {"password": password, "reason": why})
        console.print(f"{login} has a new password")


@app.command()
def disable(login: Login, why: Why = "Disabled on the command line") -> None:
    """Keep a member out from now on."""
    with problems():
        _admin().post(f"/v1/desk/staff/{login}/disable", {"reason": why})
        console.print(f"{login} is disabled")


@app.command()
def enable(login: Login, why: Why = "Enabled on the command line") -> None:
    """Let a member who was disabled in again."""
    with problems():
        _admin().post(f"/v1/desk/staff/{login}/enable", {"reason": why})
        console.print(f"{login} is enabled")
