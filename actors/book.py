"""A market's book: the stakes held for bets on their way, and the liability of those placed.

It is kept in memory only. A bet is journaled once, with its player, so a market that comes back
from the journal reads its liability from the ledger again before it takes another bet;
`runtime.keeper` does that, and asks what became of holds that ran out unanswered.

`liability` of a selection is what the house pays out, beyond the stakes themselves, if it wins. The
*worst case* of a market is what it can lose over all ways it may come out: what the winners pay,
less the stakes on the others. Only stakes of placed bets are taken off, because a bet that is only
held may still come to nothing; so no hold that is given back can make the worst case worse.
"""

from __future__ import annotations

import heapq

import msgspec

from actors.odds import MIN_ODDS, ONE

HOLD_MS = 5_000
"""How long a held stake waits for its bet, beyond the bet delay, in milliseconds."""
MAX_OFFERS = 1_000
"""Players whose offers one book remembers; the oldest offer is forgotten first."""
MAX_CUSTOMERS = 10_000
"""Customers with less room than others that one book remembers, the longest ago forgotten first."""
WHOLE = 10_000
"""A customer factor that changes nothing: factors are in ten-thousandths."""


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
    promised: bool = False
    """The price was promised to the player: it does not move with the market."""
    customer_factor: int = WHOLE
    result_version: int = 0
    """Of the market, when it said yes: by later ones the bet may have to be settled."""

    @property
    def cost_minor(self) -> int:
        return self.liability_minor or liability_of(self.stake_minor, self.odds)


class Offer(msgspec.Struct, array_like=True):
    """Terms on which a player may have a bet, in place of one that was refused.

    No room is kept for it: the limits are looked at again when it is taken.
    """

    offer_id: str
    """That of the bet that was refused."""
    selection_id: str
    stake_minor: int
    odds: int
    valid_until_ms: int
    bet_id: str = ""
    """The bet that took it; no other can."""


class Line(msgspec.Struct, array_like=True):
    """Open bets on one selection: how many, their stakes, and the liability they make."""

    bets: int = 0
    stakes_minor: int = 0
    """Of singles: what the house keeps for certain if the selection does not win."""
    liability_minor: int = 0
    slips_minor: int = 0
    """Of the liability, that of bets of several legs, each counted in full."""

    @property
    def singles_minor(self) -> int:
        return self.liability_minor - self.slips_minor

    def add(self, stake_minor: int, odds: int, liability_minor: int = 0) -> None:
        self.bets += 1
        self.stakes_minor += 0 if liability_minor else stake_minor
        self.liability_minor += liability_minor or liability_of(stake_minor, odds)
        self.slips_minor += liability_minor

    def take(self, stake_minor: int, odds: int, liability_minor: int = 0) -> None:
        self.bets -= 1
        self.stakes_minor -= 0 if liability_minor else stake_minor
        self.liability_minor -= liability_minor or liability_of(stake_minor, odds)
        self.slips_minor -= liability_minor


def liability_of(stake_minor: int, odds: int) -> int:
    """What a single costs the house beyond its stake, rounded up so that no limit is overrun."""
    return -(-stake_minor * (odds - ONE) // ONE)


def liability_at(liability_minor: int, stake_minor: int, asked: int, odds: int) -> int:
    """The liability that was given for a leg at `asked` odds, when the leg is had at `odds`.

    What a slip pays rises at most as much as the price of one of its legs does. When the price is
    shorter the liability stays as it was, so it is never too low. 0 stays 0. A leg at the starting
    price (asked for at 0) stays what it was assumed to be.
    """
    if not liability_minor or not asked or odds <= asked:
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
    offers: dict[str, Offer] = {}
    taken: dict[str, int] = {}


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
        self.reopened = 0
        """How often settled bets were opened again: who reads has to have begun after the last."""
        self.read_at_ms = 0
        """When the ledger was last read."""
        self.heads: dict[str, int] = {}
        self.confirmed: dict[str, Confirmed] = {}
        self.holds: dict[str, Hold] = {}
        self.lines: dict[str, Line] = {}
        self.offers: dict[str, Offer] = {}
        """By player: a new one takes the place of the last."""
        self.taken: dict[str, int] = {}
        """Liability of customers who may not take all the room, as far as this book remembers."""
        self.kept: dict[str, int] = {}
        """Stakes of placed singles by selection: the house keeps them if another one wins."""
        # What the market knows of itself, and tells its book.
        self.winners = 1
        self.gone: set[str] = set()
        """Withdrawn selections: they can't win, and their stakes go back."""
        self.hedged: dict[str, Line] = {}
        """What was laid off on each selection: its stakes, and as liability what it wins."""
        self._worst: int | None = None

    def packed(self) -> bytes:
        """Everything, for the shard that its market moves to."""
        return _encoder.encode(
            _Packed(
                self.known,
                self.whole,
                self.heads,
                self.confirmed,
                self.holds,
                self.lines,
                self.offers,
                self.taken,
            )
        )

    @classmethod
    def unpacked(cls, body: bytes) -> Book:
        packed = _decoder.decode(body)
        book = cls()
        book.known, book.whole = packed.known, packed.whole
        book.heads, book.confirmed = packed.heads, packed.confirmed
        book.holds, book.lines = packed.holds, packed.lines
        book.offers, book.taken = packed.offers, packed.taken
        book.kept = {name: line.stakes_minor for name, line in book.lines.items()}
        for hold in book.holds.values():
            book.kept[hold.selection_id] -= 0 if hold.liability_minor else hold.stake_minor
        return book

    def line(self, selection_id: str) -> Line:
        line = self.lines.get(selection_id)
        if line is None:
            line = self.lines[selection_id] = Line()
        return line

    def hold(self, hold: Hold) -> None:
        """Take room for a bet; one that had room already, asked for twice, has it once."""
        if hold.bet_id in self.holds:
            self.release(hold.bet_id)
        self.put_back(hold)

    def put_back(self, hold: Hold) -> None:
        """Give a bet the room again that was just released."""
        self.holds[hold.bet_id] = hold
        line = self.lines.get(hold.selection_id) or self.line(hold.selection_id)
        line.add(hold.stake_minor, hold.odds, hold.liability_minor)
        self._worst = None
        if hold.customer_factor < WHOLE:
            self._take(hold.player_id, hold.cost_minor)

    def release(self, bet_id: str) -> Hold | None:
        """The hold that there was, if any."""
        hold = self.holds.pop(bet_id, None)
        if hold is not None:
            self.line(hold.selection_id).take(hold.stake_minor, hold.odds, hold.liability_minor)
            self._worst = None
            if hold.customer_factor < WHOLE:
                self._take(hold.player_id, -hold.cost_minor)
        return hold

    def _take(self, player_id: str, liability_minor: int) -> None:
        # The one who comes again goes to the end of the line to be forgotten.
        left = max(0, self.taken.pop(player_id, 0) + liability_minor)
        if left:
            self.taken[player_id] = left
            if len(self.taken) > MAX_CUSTOMERS:
                del self.taken[next(iter(self.taken))]

    def confirm(self, bet_id: str, bet: Confirmed) -> None:
        """The bet is durable. Its hold may be forgotten here, but never the bet.

        Once the book is whole, who has no hold any more was counted when it went: its confirmation
        came twice, or so late that the bet was found in the ledger.
        """
        hold = self.holds.get(bet_id)
        if self.whole and hold is None:
            return
        self.release(bet_id)
        if hold is not None and hold.customer_factor < WHOLE:
            self._take(hold.player_id, hold.cost_minor)
        new = bet_id not in self.confirmed
        if new and bet.block_seq > self.heads.get(bet.partition, 0):
            self.confirmed[bet_id] = bet
            self._place(bet)

    def found(self, hold: Hold) -> None:
        """Its bet is in the ledger's totals: what has room for it has it no more."""
        held = self.release(hold.bet_id)
        if held is not None and held.customer_factor < WHOLE:
            self._take(held.player_id, held.cost_minor)

    def _place(self, bet: Confirmed) -> None:
        self.line(bet.selection_id).add(bet.stake_minor, bet.odds, bet.liability_minor)
        if not bet.liability_minor:
            self.kept[bet.selection_id] = self.kept.get(bet.selection_id, 0) + bet.stake_minor
        self._worst = None

    def rebase(self, heads: dict[str, int], ledger: dict[str, Line]) -> None:
        """Take the ledger's totals as of `heads`, and add what they can't contain."""
        self.heads = heads
        self.confirmed = {
            bet_id: bet
            for bet_id, bet in self.confirmed.items()
            if bet.block_seq > heads.get(bet.partition, 0)
        }
        self.lines = {
            selection_id: Line(line.bets, line.stakes_minor, line.liability_minor, line.slips_minor)
            for selection_id, line in ledger.items()
        }
        self.kept = {selection_id: line.stakes_minor for selection_id, line in ledger.items()}
        for bet in self.confirmed.values():
            self._place(bet)
        for hold in self.holds.values():
            self.line(hold.selection_id).add(hold.stake_minor, hold.odds, hold.liability_minor)
        self.known = True
        self._worst = None

    def reopen(self) -> None:
        """Bets are open again that this book does not know: it has to be read, before any other."""
        self.reopened += 1
        self.known = False

    def break_holds(self) -> None:
        """Bets that wait out their delay do not survive a suspension."""
        for hold in self.holds.values():
            hold.broken = True

    # Offers

    def offer(self, player_id: str, offer: Offer) -> None:
        self.offers.pop(player_id, None)
        self.offers[player_id] = offer
        if len(self.offers) > MAX_OFFERS:
            del self.offers[next(iter(self.offers))]

    # What it can cost

    def fit(self, winners: int, gone: set[str], hedged: dict[str, Line]) -> None:
        """Take what the market knows of itself; its book only remembers it."""
        self.winners, self.gone, self.hedged = winners, gone, hedged
        self._worst = None

    @property
    def worst_minor(self) -> int:
        """The most that the market can lose; never below 0, for it may be cancelled.

        `winners` is how many selections win, 0 where each stands for itself. Selections on which
        nobody has bet may win too. A dead heat and half a win pay less than a win.
        """
        if self._worst is None:
            if self.winners:
                pots, kept = self._pots()
                self._worst = max(0, sum(_highest(pots, self.winners)) - kept)
            else:
                self._worst = sum(self._alone(selection_id) for selection_id in self._selections())
        return self._worst

    def room(self, selection_id: str, limit: int) -> int:
        """How much the liability of a selection may rise while the worst case stays in `limit`.

        Where it is beyond the limit already, as after the limit was lowered, what does not make it
        worse is still welcome: bets on the other side balance the book.
        """
        if not self.winners:
            others = self.worst_minor - self._alone(selection_id)
            net = self._net(selection_id)
            return max(limit - others, self._alone(selection_id)) - net
        pots, kept = self._pots()
        own = pots.pop(selection_id, 0)
        others_first = _highest(pots, self.winners)
        return max(limit + kept - sum(others_first[:-1]), others_first[-1]) - own

    def _selections(self) -> set[str]:
        return (self.lines.keys() | self.hedged.keys()) - self.gone

    def _net(self, selection_id: str) -> int:
        """Liability less what hedges win."""
        line, hedge = self.lines.get(selection_id), self.hedged.get(selection_id)
        liability = line.liability_minor if line else 0
        return liability - (hedge.liability_minor if hedge else 0)

    def _stakes(self, selection_id: str) -> int:
        """Kept stakes less what was staked on hedges."""
        hedge = self.hedged.get(selection_id)
        return self.kept.get(selection_id, 0) - (hedge.stakes_minor if hedge else 0)

    def _pots(self) -> tuple[dict[str, int], int]:
        """What the house has to pay out if a selection wins, the stakes on it included; and all
        stakes there are."""
        pots, kept = {}, 0
        for selection_id in self._selections():
            stakes = self._stakes(selection_id)
            kept += stakes
            pots[selection_id] = self._net(selection_id) + stakes
        return pots, kept

    def _alone(self, selection_id: str) -> int:
        """The worst case of a selection that may win or lose whatever the others do."""
        return max(0, self._net(selection_id), -self._stakes(selection_id))


def _highest(pots: dict[str, int], count: int) -> list[int]:
    """The largest pots, as if there were always selections on which nobody has bet."""
    if count == 1:
        return [max(0, max(pots.values(), default=0))]
    largest = heapq.nlargest(count, (pot for pot in pots.values() if pot > 0))
    return largest + [0] * (count - len(largest))
