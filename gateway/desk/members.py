"""Members of the staff: letting them in, and who they are."""

from __future__ import annotations

import asyncio
import hmac

import msgspec

from actors.base import Reason, Refused
from actors.runtime.addresses import BOOK
from actors.staff import GetMember, MemberView, RecordStaffLogin, Role, StaffLoggedIn
from gateway import api, problems
from gateway.desk import api as desk_api
from gateway.problems import Problem
from gateway.services import Services
from gateway.sessions import expired
from ledger.desk_reads import DeskReads

MACHINE = "staff"
"""Who the machine's own token is, in the audit."""


class Staff(msgspec.Struct, frozen=True):
    """Who asks."""

    login: str
    """Empty for the machine's own token, which is an admin without a name."""
    name: str
    role: Role
    digest: str

    @property
    def by(self) -> str:
        return f"{MACHINE}/{self.login}" if self.login else MACHINE


async def enter(services: Services, token: str, least: Role) -> Staff:
    """Who has the token, if the role is enough. Raises `unauthenticated` or `forbidden`."""
    machines = services.settings.staff_token.encode()
    if hmac.compare_digest(machines, token.encode("utf-8", "surrogateescape")):
        return Staff("", "The machine", Role.ADMIN, "")
    session = await services.staff_sessions.find(token)
    member = await _member(services, session.login)
    if member is None or member.disabled:
        raise expired()
    if member.credential_version != session.credential_version:
        raise expired()
    if not member.role.covers(least):
        raise Problem("forbidden", facts={"role": member.role, "needed": least})
    return Staff(member.login, member.name, member.role, session.digest)


async def _member(services: Services, login: str) -> MemberView | None:
    reply = (await services.router.ask(BOOK, login, GetMember(login))).reply
    return reply if isinstance(reply, MemberView) else None


async def log_in(
    services: Services, credentials: desk_api.StaffCredentials, address: str, device: str
) -> tuple[desk_api.StaffSession, str]:
    """A session for whoever knows the password, and a token for the device that was used; an
    unknown log-in takes as long as a wrong password."""
    login = credentials.login.lower()
    who = f"staff/{login}"
    number = services.devices.number(device, who)
    await services.limits.attempt("staff", address, who, number)
    member = await _member(services, login)
    known = member.password_hash if member else None
    right = await services.passwords.verify(known, credentials.password)
    if member is None or not right:
        raise Problem("bad_credentials")
    recorded = (await services.router.ask(BOOK, login, RecordStaffLogin(login))).reply
    if isinstance(recorded, Refused):
        raise problems.refused(recorded)
    assert isinstance(recorded, StaffLoggedIn)
    await services.limits.came_in(address, who)
    token, expires_at_ms = await services.staff_sessions.create(login, member.credential_version)
    told = desk_api.StaffSession(
        token, login, member.name, member.role, api.time_text(expires_at_ms)
    )
    return told, services.devices.new(who, number)


async def all_members(services: Services) -> list[desk_api.Member]:
    """Who there is, as the actors say; whoever was added a moment ago may be missing."""
    logins = await DeskReads.beside(services.book).members()
    found = await asyncio.gather(*(_member(services, login) for login in logins))
    return [member_json(member) for member in found if member is not None]


async def the_member(services: Services, login: str) -> desk_api.Member:
    """Raises the problem `unknown_member`."""
    member = await _member(services, login)
    if member is None:
        raise Problem(Reason.UNKNOWN_MEMBER)
    return member_json(member)


def member_json(member: MemberView) -> desk_api.Member:
    return desk_api.Member(
        member.login,
        member.name,
        member.role,
        member.disabled,
        api.time_text(member.added_at_ms),
    )
