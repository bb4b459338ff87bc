"""A person with an account: who they are, and the credential they log in with.

The player lives in the partition of the player id, beside the wallet. The credential lives in the
partition of the e-mail address, so that "one address, one account" is one actor's decision; it
is made first and names the player who is then registered.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.wallet import Wallet


def age_on(birth_date: dt.date, day: dt.date) -> int:
    """Whole years on `day`; somebody born on 29 February is a year older on 1 March."""
    had_birthday = (day.month, day.day) >= (birth_date.month, birth_date.day)
    return day.year - birth_date.year - (0 if had_birthday else 1)


def day_of(at_ms: int) -> dt.date:
    """The UTC date of a moment."""
    return dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC).date()


# The credential


class Credential(Actor):
    email: str = ""
    player_id: str = ""
    password_hash: str = ""


class CredentialView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What checking a password needs. It never leaves the server."""

    player_id: str
    password_hash: str


class GetCredential(Question, frozen=True, array_like=True, tag=True):
    email: str

    def cast(self) -> tuple[str, ...]:
        return (ref("credential", self.email),)

    def answer(self, now_ms: int, credential: Credential) -> CredentialView | Refused:
        if not credential.player_id:
            return Refused(Reason.BAD_CREDENTIALS)
        return CredentialView(credential.player_id, credential.password_hash)


class ClaimEmail(Command, frozen=True, array_like=True, tag=True):
    """Take an e-mail address for a player about to be registered."""

    email: str
    player_id: str
    password_hash: str
    """argon2id, in its own encoded form."""
    birth_date: dt.date
    minimum_age: int
    """The licence's, in years."""

    def cast(self) -> tuple[str, ...]:
        return (ref("credential", self.email),)

    def decide(self, now_ms: int, credential: Credential) -> Event:
        if age_on(self.birth_date, day_of(now_ms)) < self.minimum_age:
            return Refused(Reason.UNDER_AGE, facts={"minimum_age": self.minimum_age})
        if credential.player_id:
            return Refused(Reason.EMAIL_TAKEN)
        return EmailClaimed(now_ms, self.email, self.player_id, self.password_hash)


class RecordLogin(Command, frozen=True, array_like=True, tag=True):
    """Note that somebody came in with the right password.

    Wrong ones are counted at the door (`gateway.limits`), by whence they come: were they counted
    here, whoever knows an address could lock its owner out.
    """

    email: str

    def cast(self) -> tuple[str, ...]:
        return (ref("credential", self.email),)

    def decide(self, now_ms: int, credential: Credential) -> Event:
        if not credential.player_id:
            return Refused(Reason.BAD_CREDENTIALS)
        return LoggedIn(now_ms, self.email, credential.player_id)


class CredentialEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    email: str
    player_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("credential", self.email),)


class EmailClaimed(CredentialEvent, frozen=True, array_like=True, tag=True):
    password_hash: str

    def apply(self, credential: Credential) -> None:
        credential.email = self.email
        credential.player_id = self.player_id
        credential.password_hash = self.password_hash


class LoggedIn(CredentialEvent, frozen=True, array_like=True, tag=True):
    def apply(self, credential: Credential) -> None:
        pass


class LoginFailed(CredentialEvent, frozen=True, array_like=True, tag=True):
    """Of journals from before wrong passwords were counted at the door. No such lock stands any
    more."""

    failed: int
    locked_until_ms: int

    def apply(self, credential: Credential) -> None:
        pass


# The player


class Player(Actor):
    player_id: str = ""
    licence: str = ""
    name: str = ""
    email: str = ""
    birth_date: str = ""
    registered_at_ms: int = 0


class PlayerView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    player_id: str
    licence: str
    name: str
    email: str
    birth_date: str
    registered_at_ms: int


class GetPlayer(Question, frozen=True, array_like=True, tag=True):
    player_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("player", self.player_id),)

    def answer(self, now_ms: int, player: Player) -> PlayerView | Refused:
        if not player.player_id:
            return Refused(Reason.UNKNOWN_PLAYER)
        return PlayerView(
            player.player_id,
            player.licence,
            player.name,
            player.email,
            player.birth_date,
            player.registered_at_ms,
        )


class RegisterPlayer(Command, frozen=True, array_like=True, tag=True):
    """Register the player for whom an address was claimed, and open the wallet."""

    player_id: str
    licence: str
    name: str
    email: str
    birth_date: dt.date
    currency: str

    def cast(self) -> tuple[str, ...]:
        return (ref("player", self.player_id), ref("wallet", self.player_id))

    def decide(self, now_ms: int, player: Player, wallet: Wallet) -> Event:
        if player.player_id:
            return Refused(Reason.ALREADY_REGISTERED)
        return PlayerRegistered(
            now_ms,
            self.player_id,
            self.licence,
            self.name,
            self.email,
            self.birth_date.isoformat(),
            self.currency,
        )


class PlayerRegistered(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    player_id: str
    licence: str
    name: str
    email: str
    birth_date: str
    currency: str

    def cast(self) -> tuple[str, ...]:
        return (ref("player", self.player_id), ref("wallet", self.player_id))

    def apply(self, player: Player, wallet: Wallet) -> None:
        player.player_id = self.player_id
        player.licence = self.licence
        player.name = self.name
        player.email = self.email
        player.birth_date = self.birth_date
        player.registered_at_ms = self.at_ms
        wallet.player_id = self.player_id
        wallet.currency = self.currency
        wallet.version += 1
