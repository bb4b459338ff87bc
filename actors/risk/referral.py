"""A bet that waits for a trader's word.

A market that answers `referral_needed` has neither taken nor refused the bet. It is referred: the
trader may accept it, at a smaller stake or another price where that seems better, or refuse it,
and has a time limit for it. No money is held while it waits. What was accepted can be had for some
seconds, once: `TakeReferral` says on what terms, and `HoldStake` with `agreed_until_ms` has the
markets honour them. The limits of liability hold for it like for any other bet. A slip keeps the
prices it was referred at; its stake may be less, as much on each line.

A trader's yes is to prices as they were: where a runner was withdrawn since, and that takes
something off, the market does not honour it. So the yes says which versions of the prices it knew;
one that comes before a market's prices were said again knew those of before, and one to the price
that was asked for those of that time.

A referral is a neighbour of its player, because the book names nobody.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.slips.slip import Slip, as_said, refuse
from ledger.money import MAX_MINOR, Money

MAX_WAIT_MS = 300_000
"""The longest that a player waits for a trader."""
MAX_VALID_MS = 60_000
"""The longest that accepted terms can be had."""


class ReferralState(enum.StrEnum):
    WAITING = "waiting"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    TAKEN = "taken"
    EXPIRED = "expired"
    """Is never stored: time says it."""


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """A stake on a selection at a price; or on a slip, whose first leg they then are."""

    fixture_id: str
    market_id: str
    selection_id: str
    stake: Money
    odds: int
    slip: Slip | None = None

    def is_same(self, other: Terms) -> bool:
        """Whether a player who asks for the one has asked for the other."""
        if self.slip is None or other.slip is None:
            return self == other
        return self.stake == other.stake and as_said(self.slip) == as_said(other.slip)


def terms_of(slip: Slip, currency: str) -> Terms:
    """Those of a bet on a slip."""
    leg = slip.legs[0]
    stake = Money(slip.stake_minor, currency)
    return Terms(leg.fixture_id, leg.market_id, leg.selection_id, stake, leg.odds, slip)


class Referral(Actor):
    referral_id: str = ""
    player_id: str = ""
    asked: Terms | None = None
    state: ReferralState = ReferralState.WAITING
    asked_at_ms: int = 0
    expires_at_ms: int = 0
    """Until then a trader can decide, and after that the player can take what was accepted."""
    accepted: Terms | None = None
    bet_id: str = ""
    """The bet that took it."""
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    """As in `AcceptReferral`."""
    asked_versions: dict[str, int] = msgspec.field(default_factory=dict)
    """As in `Refer`."""

    def state_at(self, now_ms: int) -> ReferralState:
        open_ = self.state in (ReferralState.WAITING, ReferralState.ACCEPTED)
        return ReferralState.EXPIRED if open_ and now_ms > self.expires_at_ms else self.state


# What may be asked


class ReferralView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    referral_id: str
    player_id: str
    asked: Terms
    state: ReferralState
    asked_at_ms: int
    expires_at_ms: int
    accepted: Terms | None
    bet_id: str
    versions: dict[str, int] = {}
    """As in `AcceptReferral`."""


class GetReferral(Question, frozen=True, array_like=True, tag=True):
    player_id: str
    referral_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("referral", self.referral_id),)

    def answer(self, now_ms: int, referral: Referral) -> ReferralView | Refused:
        # Somebody else's is answered as if there were none.
        if referral.asked is None or referral.player_id != self.player_id:
            return Refused(Reason.UNKNOWN_REFERRAL)
        return ReferralView(
            referral.referral_id,
            referral.player_id,
            referral.asked,
            referral.state_at(now_ms),
            referral.asked_at_ms,
            referral.expires_at_ms,
            referral.accepted,
            referral.bet_id,
            referral.versions,
        )


class ReferralCommand(Command, frozen=True, array_like=True, tag=True):
    player_id: str
    referral_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("referral", self.referral_id),)

    def refuse(self, now_ms: int, referral: Referral, wanted: ReferralState) -> Refused | None:
        """Why nothing can become of it any more."""
        if not referral.referral_id or referral.player_id != self.player_id:
            return Refused(Reason.UNKNOWN_REFERRAL)
        state = referral.state_at(now_ms)
        if state is not wanted:
            return Refused(Reason.REFERRAL_OVER, facts={"state": state})
        return None


class Refer(ReferralCommand, frozen=True, array_like=True, tag=True):
    """Ask a trader about a bet that a market neither took nor refused."""

    asked: Terms
    wait_ms: int
    """How long the player waits for the answer."""
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    """Of the prices in each of its markets, by which it was asked for."""

    def decide(self, now_ms: int, referral: Referral) -> Event:
        if referral.referral_id:
            return Refused(Reason.ALREADY_EXISTS)
        if not 0 < self.wait_ms <= MAX_WAIT_MS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_wait_ms": MAX_WAIT_MS})
        if not 0 < self.asked.stake.minor <= MAX_MINOR:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": MAX_MINOR})
        slip = self.asked.slip
        wrong = refuse(slip) if slip else _refuse_odds(self.asked.odds)
        return wrong or ReferralAsked(
            now_ms,
            self.player_id,
            self.referral_id,
            self.asked,
            now_ms + self.wait_ms,
            self.versions,
        )


class AcceptReferral(ReferralCommand, frozen=True, array_like=True, tag=True):
    """The trader's yes, to at most the stake that was asked for, at a price of the trader's; a slip
    keeps its prices."""

    stake_minor: int
    odds: int
    valid_ms: int
    """How long the player can take it."""
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    """Of the prices in each of its markets, as they were a moment before."""

    def decide(self, now_ms: int, referral: Referral) -> Event:
        refused = self.refuse(now_ms, referral, ReferralState.WAITING)
        if refused:
            return refused
        assert referral.asked is not None
        stake = referral.asked.stake
        if not 0 < self.stake_minor <= stake.minor:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_stake_minor": stake.minor})
        wrong = self._refuse_terms(referral.asked)
        if wrong:
            return wrong
        if not 0 < self.valid_ms <= MAX_VALID_MS:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_valid_ms": MAX_VALID_MS})
        versions = self.versions
        if self.odds == referral.asked.odds:
            asked = referral.asked_versions
            versions = {of: min(now, asked.get(of, now)) for of, now in versions.items()}
        slip = referral.asked.slip
        accepted = msgspec.structs.replace(
            referral.asked,
            stake=Money(self.stake_minor, stake.currency),
            odds=self.odds,
            slip=slip and msgspec.structs.replace(slip, stake_minor=self.stake_minor),
        )
        return ReferralAccepted(
            now_ms,
            self.player_id,
            self.referral_id,
            accepted,
            now_ms + self.valid_ms,
            versions,
        )

    def _refuse_terms(self, asked: Terms) -> Refused | None:
        """Why the price or the stake can't be had on what was asked for."""
        if asked.slip is None:
            return _refuse_odds(self.odds)
        if self.odds != asked.odds:
            return Refused(Reason.OUT_OF_BOUNDS, "a slip keeps its prices", {"odds": asked.odds})
        return refuse(msgspec.structs.replace(asked.slip, stake_minor=self.stake_minor))


class RefuseReferral(ReferralCommand, frozen=True, array_like=True, tag=True):
    """The trader's no."""

    def decide(self, now_ms: int, referral: Referral) -> Event:
        refused = self.refuse(now_ms, referral, ReferralState.WAITING)
        return refused or ReferralRefused(now_ms, self.player_id, self.referral_id)


class TakeReferral(ReferralCommand, frozen=True, array_like=True, tag=True):
    """The player takes what was accepted, for one bet; which asks again, is answered again."""

    bet_id: str

    def decide(self, now_ms: int, referral: Referral) -> Event:
        mine = referral.player_id == self.player_id and referral.bet_id == self.bet_id != ""
        if mine and referral.accepted is not None:
            return self._taken(now_ms, referral, referral.accepted)
        refused = self.refuse(now_ms, referral, ReferralState.ACCEPTED)
        if refused:
            return refused
        assert referral.accepted is not None
        return self._taken(now_ms, referral, referral.accepted)

    def _taken(self, now_ms: int, referral: Referral, accepted: Terms) -> ReferralTaken:
        return ReferralTaken(
            now_ms, self.player_id, self.referral_id, self.bet_id, accepted, referral.expires_at_ms
        )


def _refuse_odds(odds: int) -> Refused | None:
    if MIN_ODDS <= odds <= MAX_ODDS:
        return None
    return Refused(Reason.OUT_OF_BOUNDS, facts={"max_odds": MAX_ODDS})


# What can happen to it


class ReferralEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    player_id: str
    referral_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("referral", self.referral_id),)


class ReferralAsked(ReferralEvent, frozen=True, array_like=True, tag=True):
    asked: Terms
    expires_at_ms: int
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    """As in `Refer`."""

    def apply(self, referral: Referral) -> None:
        referral.referral_id = self.referral_id
        referral.player_id = self.player_id
        referral.asked = self.asked
        referral.asked_at_ms = self.at_ms
        referral.expires_at_ms = self.expires_at_ms
        referral.asked_versions = self.versions


class ReferralAccepted(ReferralEvent, frozen=True, array_like=True, tag=True):
    accepted: Terms
    valid_until_ms: int
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    """As in `AcceptReferral`."""

    def apply(self, referral: Referral) -> None:
        referral.state = ReferralState.ACCEPTED
        referral.versions = self.versions
        referral.accepted = self.accepted
        referral.expires_at_ms = self.valid_until_ms


class ReferralRefused(ReferralEvent, frozen=True, array_like=True, tag=True):
    def apply(self, referral: Referral) -> None:
        referral.state = ReferralState.REFUSED


class ReferralTaken(ReferralEvent, frozen=True, array_like=True, tag=True):
    """What the market is told comes from here: the terms, and until when they hold."""

    bet_id: str
    accepted: Terms
    valid_until_ms: int

    def apply(self, referral: Referral) -> None:
        referral.state = ReferralState.TAKEN
        referral.bet_id = self.bet_id
