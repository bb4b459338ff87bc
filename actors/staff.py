"""A member of the staff: who may do what at the desk, and the credential for it.

A member lives in the book's scope, in the partition of the log-in: staff belong to the house and
not to one of its licences. Roles are a ladder; whoever stands on a rung may do what is below it.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref


class Role(enum.StrEnum):
    VIEWER = "viewer"
    """Reads."""
    TRADER = "trader"
    """Prices, suspensions, referrals."""
    HEAD_TRADER = "head_trader"
    """Limits, settling and settling again."""
    ADMIN = "admin"
    """The staff themselves."""

    def covers(self, least: Role) -> bool:
        """Whether it is that role or one above it."""
        ladder = list(Role)
        return ladder.index(self) >= ladder.index(least)


class Member(Actor):
    login: str = ""
    name: str = ""
    role: Role = Role.VIEWER
    password_hash: str = ""
    credential_version: int = 0
    """Rises with every new password, and ends the sessions of those before."""
    disabled: bool = False
    added_at_ms: int = 0


# What may be asked


class MemberView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """With the hash, which never leaves the server."""

    login: str
    name: str
    role: Role
    password_hash: str
    credential_version: int
    disabled: bool
    added_at_ms: int


class GetMember(Question, frozen=True, array_like=True, tag=True):
    login: str

    def cast(self) -> tuple[str, ...]:
        return (ref("staff", self.login),)

    def answer(self, now_ms: int, member: Member) -> MemberView | Refused:
        if not member.login:
            return Refused(Reason.UNKNOWN_MEMBER)
        return MemberView(
            member.login,
            member.name,
            member.role,
            member.password_hash,
            member.credential_version,
            member.disabled,
            member.added_at_ms,
        )


# What may be commanded


class MemberCommand(Command, frozen=True, array_like=True, tag=True):
    login: str

    def cast(self) -> tuple[str, ...]:
        return (ref("staff", self.login),)


class AddMember(MemberCommand, frozen=True, array_like=True, tag=True):
    name: str
    role: Role
    password_hash: str
    """argon2id, in its own encoded form."""

    def decide(self, now_ms: int, member: Member) -> Event:
        if member.login:
            return Refused(Reason.ALREADY_EXISTS)
        return MemberAdded(now_ms, self.login, self.name, self.role, self.password_hash)


class ChangeRole(MemberCommand, frozen=True, array_like=True, tag=True):
    role: Role

    def decide(self, now_ms: int, member: Member) -> Event:
        if not member.login:
            return Refused(Reason.UNKNOWN_MEMBER)
        if member.role is self.role:
            return Refused(Reason.WRONG_STATUS, facts={"role": member.role})
        return RoleChanged(now_ms, self.login, self.role)


class SetPassword(MemberCommand, frozen=True, array_like=True, tag=True):
    """A new password: it ends the member's sessions."""

    password_hash: str

    def decide(self, now_ms: int, member: Member) -> Event:
        if not member.login:
            return Refused(Reason.UNKNOWN_MEMBER)
        version = member.credential_version + 1
        return PasswordSet(now_ms, self.login, self.password_hash, version)


class DisableMember(MemberCommand, frozen=True, array_like=True, tag=True):
    """Nothing can be done under the log-in from here on."""

    def decide(self, now_ms: int, member: Member) -> Event:
        if not member.login:
            return Refused(Reason.UNKNOWN_MEMBER)
        if member.disabled:
            return Refused(Reason.MEMBER_DISABLED)
        return MemberDisabled(now_ms, self.login)


class EnableMember(MemberCommand, frozen=True, array_like=True, tag=True):
    def decide(self, now_ms: int, member: Member) -> Event:
        if not member.login:
            return Refused(Reason.UNKNOWN_MEMBER)
        if not member.disabled:
            return Refused(Reason.WRONG_STATUS, "the member is not disabled")
        return MemberEnabled(now_ms, self.login)


class RecordStaffLogin(MemberCommand, frozen=True, array_like=True, tag=True):
    """Note that somebody came in with the right password; wrong ones are counted at the door
    (`gateway.limits`)."""

    def decide(self, now_ms: int, member: Member) -> Event:
        if not member.login:
            return Refused(Reason.BAD_CREDENTIALS)
        if member.disabled:
            return Refused(Reason.MEMBER_DISABLED)
        return StaffLoggedIn(now_ms, self.login)


# What can happen to it


class MemberEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    login: str

    def cast(self) -> tuple[str, ...]:
        return (ref("staff", self.login),)


class MemberAdded(MemberEvent, frozen=True, array_like=True, tag=True):
    name: str
    role: Role
    password_hash: str

    def apply(self, member: Member) -> None:
        member.login = self.login
        member.name = self.name
        member.role = self.role
        member.password_hash = self.password_hash
        member.credential_version = 1
        member.added_at_ms = self.at_ms


class RoleChanged(MemberEvent, frozen=True, array_like=True, tag=True):
    role: Role

    def apply(self, member: Member) -> None:
        member.role = self.role


class PasswordSet(MemberEvent, frozen=True, array_like=True, tag=True):
    password_hash: str
    credential_version: int

    def apply(self, member: Member) -> None:
        member.password_hash = self.password_hash
        member.credential_version = self.credential_version


class MemberDisabled(MemberEvent, frozen=True, array_like=True, tag=True):
    def apply(self, member: Member) -> None:
        member.disabled = True


class MemberEnabled(MemberEvent, frozen=True, array_like=True, tag=True):
    def apply(self, member: Member) -> None:
        member.disabled = False


class StaffLoggedIn(MemberEvent, frozen=True, array_like=True, tag=True):
    def apply(self, member: Member) -> None:
        pass


class StaffLoginFailed(MemberEvent, frozen=True, array_like=True, tag=True):
    """Of journals from before wrong passwords were counted at the door. No such lock stands any
    more."""

    failed: int
    locked_until_ms: int

    def apply(self, member: Member) -> None:
        pass
