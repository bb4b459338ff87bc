"""The staff: logging in to the desk, and who may do what there."""

from __future__ import annotations

from typing import Any

from aiohttp.web import StreamResponse

from actors.base import Reason
from actors.runtime.addresses import BOOK
from actors.runtime.keys import fingerprint
from actors.staff import (
    AddMember,
    ChangeRole,
    DisableMember,
    EnableMember,
    MemberAdded,
    MemberCommand,
    MemberDisabled,
    MemberEnabled,
    PasswordSet,
    Role,
    RoleChanged,
    SetPassword,
)
from gateway.desk import api as desk_api
from gateway.desk import members
from gateway.desk.routes import desk_route
from gateway.http import Call, Route, granted, with_device
from ledger.money import minor_digits

_TAG = "Desk: staff"


async def log_in(call: Call) -> StreamResponse:
    told, device = await members.log_in(call.services, call.body, call.address, call.device)
    return with_device(told, device, call)


async def log_out(call: Call) -> None:
    if call.staff.digest:
        await call.services.staff_sessions.end(call.staff.digest)


async def who_am_i(call: Call) -> desk_api.WhoAmI:
    staff, currency = call.staff, call.services.licence.currency
    return desk_api.WhoAmI(staff.login, staff.name, staff.role, currency, minor_digits(currency))


async def all_members(call: Call) -> desk_api.Members:
    return desk_api.Members(await members.all_members(call.services))


async def add(call: Call) -> desk_api.Member:
    body: desk_api.NewMember = call.body
    hashed = await call.services.passwords.hash(body.password)
    message = AddMember(body.login, body.name, body.role, hashed)
    return await _do(call, message, MemberAdded, (body.name, body.role), body.reason)


async def change_role(call: Call) -> desk_api.Member:
    path: desk_api.MemberPath = call.path
    body: desk_api.NewRole = call.body
    message = ChangeRole(path.login, body.role)
    return await _do(call, message, RoleChanged, body.role, body.reason)


async def set_password(call: Call) -> desk_api.Member:
    path: desk_api.MemberPath = call.path
    body: desk_api.NewPassword = call.body
    hashed = await call.services.passwords.hash(body.password)
    message = SetPassword(path.login, hashed)
    return await _do(call, message, PasswordSet, None, body.reason)


async def disable(call: Call) -> desk_api.Member:
    path: desk_api.MemberPath = call.path
    message = DisableMember(path.login)
    return await _do(call, message, MemberDisabled, None, call.body.reason)


async def enable(call: Call) -> desk_api.Member:
    path: desk_api.MemberPath = call.path
    message = EnableMember(path.login)
    return await _do(call, message, MemberEnabled, None, call.body.reason)


async def _do(
    call: Call, message: MemberCommand, kind: type[Any], asked: Any, reason: str
) -> desk_api.Member:
    """Carry it out, and say what the member is then. Passwords are no part of what the key stands
    for."""
    what = fingerprint(type(message).__name__, (message.login, asked, reason))
    answer = await call.services.router.ask(
        BOOK,
        message.login,
        message,
        key=call.key,
        fingerprint=what,
        by=call.staff.by,
        why=reason,
    )
    granted(answer.reply, kind, call.services)
    return await members.the_member(call.services, message.login)


def _change(
    path: str,
    handle: Any,
    name: str,
    summary: str,
    body: Any,
    *codes: str,
    status: int = 200,
) -> Route:
    return desk_route(
        "POST",
        f"staff{path}",
        handle,
        name,
        summary,
        tag=_TAG,
        body=body,
        path_type=desk_api.MemberPath if "{login}" in path else None,
        reply=desk_api.Member,
        status=status,
        role=Role.ADMIN,
        codes=codes,
    )


ROUTES = [
    Route(
        method="POST",
        path="/v1/desk/sessions",
        handle=log_in,
        name="deskLogIn",
        summary="Log in to the desk",
        tag=_TAG,
        body=desk_api.StaffCredentials,
        reply=desk_api.StaffSession,
        status=201,
        codes=(
            Reason.BAD_CREDENTIALS,
            Reason.MEMBER_DISABLED,
            "rate_limited",
        ),
    ),
    desk_route(
        "DELETE",
        "sessions/current",
        log_out,
        "deskLogOut",
        "Log out of the desk",
        tag=_TAG,
        status=204,
    ),
    desk_route(
        "GET",
        "me",
        who_am_i,
        "deskMe",
        "Whose session this is, and what may be done with it",
        tag=_TAG,
        reply=desk_api.WhoAmI,
    ),
    desk_route(
        "GET",
        "staff",
        all_members,
        "staffMembers",
        "All members of the staff there ever were",
        tag=_TAG,
        reply=desk_api.Members,
        role=Role.ADMIN,
    ),
    _change(
        "",
        add,
        "addMember",
        "Add a member of the staff",
        desk_api.NewMember,
        Reason.ALREADY_EXISTS,
        status=201,
    ),
    _change(
        "/{login}/role",
        change_role,
        "changeRole",
        "Give a member another role: it counts from the next request on",
        desk_api.NewRole,
        Reason.UNKNOWN_MEMBER,
        Reason.WRONG_STATUS,
    ),
    _change(
        "/{login}/password",
        set_password,
        "setPassword",
        "Set a new password: it ends the member's sessions",
        desk_api.NewPassword,
        Reason.UNKNOWN_MEMBER,
    ),
    _change(
        "/{login}/disable",
        disable,
        "disableMember",
        "Disable a member, whose sessions end",
        desk_api.JustAction,
        Reason.UNKNOWN_MEMBER,
        Reason.MEMBER_DISABLED,
    ),
    _change(
        "/{login}/enable",
        enable,
        "enableMember",
        "Enable a member who was disabled",
        desk_api.JustAction,
        Reason.UNKNOWN_MEMBER,
        Reason.WRONG_STATUS,
    ),
]
