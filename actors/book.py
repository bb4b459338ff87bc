"""A market's book: the stakes held for bets on their way, and the liability of those placed.

It is kept in memory only. A bet is journaled once, with its player, so a market that comes back
from the journal reads its liability from the ledger again before it takes another bet;
`runtime.keeper` does that, and asks what became of holds that ran out unanswered.

`liability` of a selection is what the house pays out, beyond the stakes themselves, if it wins.
"""

from __future__ import annotations

import msgspec

from actors.base import Reason, Refused
from actors.odds import MIN_ODDS, ONE

HOLD_MS = 5_000
"""How long a held stake waits for its bet, beyond the bet delay, in milliseconds."""


def hold_id(bet_id: str, number: int) -> str:
    """The name of a bet's hold: of a slip each selection has one."""
    return f"{bet_id}/{number}" if number else bet_id


def bet_of(hold_id: str) -> str:
    """The bet that a hold is for."""
    return hold_id.partition("/")[0]


class Hold(msgspec.Struct, array_like=True):
    """A stake on its way: room that is taken in the book until the wallet has answered."""

    bet_id: str
    player_id: str
    licence: str
    selection_id: str
    stake_minor: int
    odds: int
    expires_at_ms: int
    broken: bool = False
    """The market was suspended, if only for a moment, while the hold waited."""
    liability_minor: int = 0
    """What the bet can cost beyond its stake if this selection wins; 0: as a single's, by its odds.
    A bet of several legs says it, because one leg's stake and odds do not."""


class Line(msgspec.Struct, array_like=True):
    """Open bets on one selection: how many, their stakes, and the liability they make."""

    bets: int = 0
    stakes_minor: int = 0
    """Of singles: what the house keeps for certain if the selection does not win."""
    liability_minor: int = 0

    def add(self, stake_minor: int, odds: int, liability_minor: int = 0) -> None:
        self.bets += 1
        self.stakes_minor += 0 if liability_minor else stake_minor
        self.liability_minor += liability_minor or liability_of(stake_minor, odds)

    def take(self, stake_minor: int, odds: int, liability_minor: int = 0) -> None:
        self.bets -= 1
        self.stakes_minor -= 0 if liability_minor else stake_minor
        self.liability_minor -= liability_minor or liability_of(stake_minor, odds)


def liability_of(stake_minor: int, odds: int) -> int:
    """What a single costs the house beyond its stake, rounded up so that no limit is overrun."""
    return -(-stake_minor * (odds - ONE) // ONE)


def liability_at(liability_minor: int, stake_minor: int, asked: int, odds: int) -> int:
    """The liability that was given for a leg at `asked` odds, when the leg is had at `odds`.

    What a slip pays rises at most as much as the price of one of its legs does. When the price is
    shorter the liability stays as it was, so it is never too low. 0 stays 0.
    """
    if not liability_minor or odds <= asked:
        return liability_minor
    payout = stake_minor + liability_minor
    return -(-payout * odds // max(asked, MIN_ODDS)) - stake_minor


class Confirmed(msgspec.Struct, frozen=True, array_like=True):
    """A placed bet that the ledger's totals may not contain yet, and where it is journaled."""

    partition: str
    block_seq: int
    selection_id: str
    stake_minor: int
    odds: int
    liability_minor: int = 0
    """As in `Hold`."""


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    known: bool
    whole: bool
    heads: dict[str, int]
    confirmed: dict[str, Confirmed]
    holds: dict[str, Hold]
    lines: dict[str, Line]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


class Book:
    """Holds and liability of one market, in memory.

    Liability is what the ledger knew at `heads` (a journal position for each partition of
    players), and the bets confirmed since, and the holds.

    `known`: the ledger has been read, and bets may be taken. `whole`: it has been read again after
    every hold of before has run out, so that no bet of before can be missing.
    """

    def __init__(self) -> None:
        self.known = False
        self.whole = False
        self.outdated = False
        """Bets that are in it became known elsewhere, or were bought back: the ledger knows."""
        self.read_at_ms = 0
        """When the ledger was last read."""
        self.heads: dict[str, int] = {}
        self.confirmed: dict[str, Confirmed] = {}
        self.holds: dict[str, Hold] = {}
        self.lines: dict[str, Line] = {}

    def packed(self) -> bytes:
        """Everything, for the shard that its market moves to."""
        fields = (self.known, self.whole, self.heads, self.confirmed, self.holds, self.lines)
        return _encoder.encode(_Packed(*fields))

    @classmethod
    def unpacked(cls, body: bytes) -> Book:
        packed = _decoder.decode(body)
        book = cls()
        book.known, book.whole = packed.known, packed.whole
        book.heads, book.confirmed = packed.heads, packed.confirmed
        book.holds, book.lines = packed.holds, packed.lines
        return book

    def line(self, selection_id: str) -> Line:
        line = self.lines.get(selection_id)
        if line is None:
            line = self.lines[selection_id] = Line()
        return line

    def hold(self, hold: Hold) -> None:
        """Take room for a bet; one that had room already, asked for twice, has it once."""
        self.release(hold.bet_id)
        self.put_back(hold)

    def put_back(self, hold: Hold) -> None:
        """Give a bet the room again that was just released."""
        self.holds[hold.bet_id] = hold
        self.line(hold.selection_id).add(hold.stake_minor, hold.odds, hold.liability_minor)

    def release(self, bet_id: str) -> Hold | None:
        """The hold that there was, if any."""
        hold = self.holds.pop(bet_id, None)
        if hold is not None:
            self.line(hold.selection_id).take(hold.stake_minor, hold.odds, hold.liability_minor)
        return hold

    def confirm(self, bet_id: str, bet: Confirmed) -> None:
        """The bet is durable. Its hold may be forgotten here, but never the bet.

        Once the book is whole, who has no hold any more was counted when it went: its confirmation
        came twice, or so late that the bet was found in the ledger.
        """
        if self.whole and bet_id not in self.holds:
            return
        self.release(bet_id)
        new = bet_id not in self.confirmed
        if new and bet.block_seq > self.heads.get(bet.partition, 0):
            self.confirmed[bet_id] = bet
            self.line(bet.selection_id).add(bet.stake_minor, bet.odds, bet.liability_minor)

    def rebase(self, heads: dict[str, int], ledger: dict[str, Line]) -> None:
        """Take the ledger's totals as of `heads`, and add what they can't contain."""
        self.heads = heads
        self.confirmed = {
            bet_id: bet
            for bet_id, bet in self.confirmed.items()
            if bet.block_seq > heads.get(bet.partition, 0)
        }
        self.lines = {
            selection_id: Line(line.bets, line.stakes_minor, line.liability_minor)
            for selection_id, line in ledger.items()
        }
        for bet in self.confirmed.values():
            self.line(bet.selection_id).add(bet.stake_minor, bet.odds, bet.liability_minor)
        for hold in self.holds.values():
            self.line(hold.selection_id).add(hold.stake_minor, hold.odds, hold.liability_minor)
        self.known = True

    def break_holds(self) -> None:
        """Bets that wait out their delay do not survive a suspension."""
        for hold in self.holds.values():
            hold.broken = True

    def refuse(
        self, selection_id: str, stake: int, odds: int, limit: int, liability_minor: int = 0
    ) -> Refused | None:
        """Why the liability of the selection leaves no room for that bet, or None."""
        line = self.lines.get(selection_id)
        taken = line.liability_minor if line else 0
        if taken + (liability_minor or liability_of(stake, odds)) <= limit:
            return None
        # The largest stake that still has room, so that the player can be told.
        room = max(0, limit - taken)
        room = room * stake // liability_minor if liability_minor else room * ONE // (odds - ONE)
        return Refused(Reason.LIABILITY_LIMIT, facts={"max_stake_minor": room})
