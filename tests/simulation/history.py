"""The journal told a second time, by code of its own.

It is read as bare lists, event by event, with rules written down here once more: an error in the
actors' own `apply` or `transfers` shows as a difference.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from actors.entries import decode_entries
from ledger.blocks import Block
from tests.simulation.evening import Wrong


def claim(true: bool, why: str) -> None:
    if not true:
        raise Wrong(why)


def factor_of(odds: int, outcome: str, tied: int, places: int) -> Fraction:
    price = Fraction(odds, 10_000)
    return {
        "won": price * places / tied,
        "half_won": (price + 1) / 2,
        "void": Fraction(1),
        "half_lost": Fraction(1, 2),
        "lost": Fraction(0),
    }[outcome]


def naive_payout(stake: int, odds: int, outcome: str, tied: int, places: int) -> int:
    exact = stake * factor_of(odds, outcome, tied, places)
    return int(exact + Fraction(1, 2))  # both are positive: int() rounds down


@dataclass
class Purse:
    currency: str
    cash: int = 0
    held: int = 0
    withdrawing: int = 0
    debt: int = 0
    version: int = 1
    pending: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def now(self) -> tuple[int, int, int, int]:
        return self.cash, self.held, self.withdrawing, self.debt


@dataclass
class Slip:
    player: str
    market: str
    selection: str
    odds: int
    odds_version: int
    stake: int
    place: tuple[str, int]
    """Partition and block that it is durable in."""
    at_ms: int = 0
    settled: int = 0
    """The version of the result by which it is settled; 0 while open."""
    highest: int = 0
    """The last version that it was told of."""
    payout: int = 0
    closed: int = 0
    """Paid for what was bought back."""
    outcome: str = ""
    past: set[tuple[str, int, int]] = field(default_factory=lambda: {("open", 0, 0)})
    """Every state it was ever in between two commands: state, payout, version."""

    @property
    def risk(self) -> int:
        """What it costs the house beyond its stake, if it wins."""
        return -(-self.stake * (self.odds - 10_000) // 10_000)


@dataclass
class Carrier:
    """What a bet weighs on one selection; the least it ever did, since a book may know later."""

    market: str
    selection: str
    place: tuple[str, int]
    risk: int
    of_slip: bool
    """Slips have a room of their own."""
    changes: list[tuple[int, int]] = field(default_factory=list)
    """What it weighs from a block of its partition on."""

    def now(self, risk: int, seq: int) -> None:
        self.risk = min(self.risk, risk)
        self.changes.append((seq, risk))

    def as_of(self, seq: int) -> int:
        """What it weighs in a ledger that is made up to that block."""
        return next((risk for at, risk in reversed(self.changes) if at <= seq), 0)


@dataclass
class Multi:
    """A bet of several lines, each line written out."""

    player: str
    legs: list[tuple[str, str, int, int]]
    """Market, selection, odds and their version."""
    folds: tuple[int, ...]
    stake: int
    place: tuple[str, int]
    at_ms: int
    known: dict[int, tuple[list[Any], int]] = field(default_factory=dict)
    """Result and version, by the number of the leg."""
    told: dict[int, int] = field(default_factory=dict)
    """The last version that each leg was told of."""
    paid: int = 0
    closed: int = 0
    bought: int = 0
    state: str = "open"
    past: set[tuple[str, int, int]] = field(default_factory=lambda: {("open", 0, 0)})

    @property
    def lines(self) -> list[tuple[int, ...]]:
        numbers = range(len(self.legs))
        return [line for fold in self.folds for line in itertools.combinations(numbers, fold)]

    def worth(self, line: tuple[int, ...], open_wins: bool) -> Fraction:
        """Of one unit."""
        product = Fraction(1)
        for number in line:
            if number in self.known:
                product *= factor_of(self.legs[number][2], *self.known[number][0])
            else:
                product *= Fraction(self.legs[number][2], 10_000) if open_wins else 0
        return product

    @property
    def unit(self) -> Fraction:
        return Fraction(self.stake, len(self.lines))

    def pays(self, open_wins: bool = False) -> int:
        exact = sum((self.worth(line, open_wins) for line in self.lines), Fraction(0)) * self.unit
        return int(exact + Fraction(1, 2))

    @property
    def is_open(self) -> bool:
        return self.state != "cashed_out" and any(
            any(number not in self.known for number in line) and self.worth(line, True)
            for line in self.lines
        )

    def risks(self) -> dict[tuple[str, str], int]:
        """What each open leg carries: the lines it is in, if every open leg wins."""
        if not self.is_open:
            return {}
        found = {}
        for number, (market, selection, *_) in enumerate(self.legs):
            if number in self.known:
                continue
            # A line with a lost leg is decided: its stake is the house's whatever happens.
            alive = [line for line in self.lines if number in line and self.worth(line, True)]
            won = sum((self.worth(line, True) for line in alive), Fraction(0))
            exact = (won - len(alive)) * self.unit
            found[market, selection] = max(1, -(-exact.numerator // exact.denominator))
        return found

    def final(self) -> str:
        outcomes = [self.known[number][0][0] for number in range(len(self.legs))]
        if len(outcomes) == 1:
            return str(outcomes[0])
        paying = [bool(self.worth(line, False)) for line in self.lines]
        if not any(paying):
            return "lost"
        if all(outcome == "void" for outcome in outcomes):
            return "void"
        return "won" if all(paying) else "partly_won"


@dataclass
class Board:
    """A market, as its fixture's events made it."""

    limit: int
    """Of the singles on each selection."""
    slip_limit: int
    max_stake: int
    refer_above: int
    results: dict[str, list[Any]] = field(default_factory=dict)
    changed_by: dict[str, int] = field(default_factory=dict)
    """The version in which each result was last changed."""
    withdrawn: set[str] = field(default_factory=set)
    windows: list[list[int | None]] = field(default_factory=list)
    """From when until when accepted bets are void."""
    windows_by: int = 0
    version: int = 0
    settled_version: int = 0
    odds_version: int = 0
    prices: dict[str, int] = field(default_factory=dict)
    seen: set[tuple[str, int, int]] = field(default_factory=set)
    """Selection, price and price version that were ever on the board."""
    versions: set[int] = field(default_factory=lambda: {0})
    """Of results, as they were one after the other."""

    def result(self, selection: str, accepted_at_ms: int) -> list[Any] | None:
        """How a bet on it comes out that was accepted then; None while it is open."""
        for begin, end in self.windows:
            if (begin or 0) <= accepted_at_ms <= (10**15 if end is None else end):
                return ["void", 1, 1]
        return self.results.get(selection)

    def last_word(self, selection: str) -> int:
        """The last version that bets on it have to be told of."""
        return max(self.changed_by.get(selection, 0), self.windows_by)


@dataclass
class Promise:
    """A referral: what a trader has agreed to, and the bet that took it."""

    player: str
    asked: list[Any]
    """Fixture, market, selection, stake and odds."""
    until_ms: int
    state: str = "waiting"
    accepted: list[Any] | None = None
    bet: str = ""


@dataclass
class LaidOff:
    """A hedge: the order for it, and what became of that."""

    market: str
    selection: str
    stake: int
    odds: int
    ordered: tuple[str, int]
    """Partition and block that it was written ahead in."""
    became: str = ""
    made_stake: int = 0
    wins: int = 0
    reference: str = ""
    place: tuple[str, int] = ("", 0)
    """Where it was recorded."""


class History:
    """The fold of all chains."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, str], list[Any]] = {}
        """By partition, owner and key."""
        self.purses: dict[str, Purse] = {}
        self.past: dict[tuple[str, int], tuple[int, int, int, int]] = {}
        """What each wallet was at each of its versions."""
        self.slips: dict[str, Slip] = {}
        self.multis: dict[str, Multi] = {}
        self.carriers: dict[str, Carrier] = {}
        """By the name of the hold."""
        self.boards: dict[str, Board] = {}
        self.seqs: dict[str, int] = {}
        self.accounts: Counter[tuple[str, str]] = Counter()
        self.referrals: dict[str, Promise] = {}
        self.hedges: dict[str, LaidOff] = {}
        self.alerts: dict[str, dict[str, Any]] = {}
        """Their facts."""
        self.factors: dict[str, set[int]] = {}
        """That customers ever had."""
        self.payments: dict[str, str] = {}
        """What became of each payment: pending, completed or failed."""
        self._moves: Counter[str] = Counter()
        self._place = ("", 0)

    # Reading

    def read(self, chain: list[Block]) -> None:
        last = bytes(32)
        for number, block in enumerate(chain, 1):
            covered = struct.pack(">QQQ", number, block.recorded_at_ms, block.count)
            covered += block.partition.encode() + b"\0" + block.body
            digest = hashlib.sha256(last + covered).digest()
            claim(block.seq == number, f"{block.partition} block {number} is missing")
            claim(block.hash == digest, f"{block.partition} block {number} is not chained")
            last = digest
            self._place = (block.partition, number)
            entries = msgspec.msgpack.decode(block.body)
            typed = decode_entries(block.body)
            claim(len(entries) == block.count, f"{block.partition} block {number}: its count")
            for raw, entry in zip(entries, typed, strict=True):
                self._entry(block.partition, raw)
                for raw_event, event in zip(raw[4], entry.events, strict=True):
                    self._moves = Counter()
                    self._event(block.partition, raw_event)
                    self._compare(block.partition, raw_event[0], event)

    def _entry(self, partition: str, raw: list[Any]) -> None:
        owner, key = raw[0], raw[1]
        if key:
            claim((partition, owner, key) not in self.entries, f"{owner} did {key!r} twice")
            self.entries[partition, owner, key] = raw

    def _compare(self, partition: str, tag: str, event: Any) -> None:
        """The transfers of an event have to be the moves that this checker made."""
        stated: Counter[str] = Counter()
        for transfer in event.transfers(partition):
            claim(transfer.amount_minor > 0, f"{tag}: a transfer of {transfer.amount_minor}")
            stated[transfer.debit] -= transfer.amount_minor
            stated[transfer.credit] += transfer.amount_minor
            self.accounts[transfer.debit, transfer.currency] -= transfer.amount_minor
            self.accounts[transfer.credit, transfer.currency] += transfer.amount_minor
        made = {account: amount for account, amount in self._moves.items() if amount}
        told = {account: amount for account, amount in stated.items() if amount}
        claim(sum(made.values()) == 0, f"{tag} makes or loses money: {made}")
        claim(made == told, f"{tag} moves {made}, its transfers say {told}")

    def _event(self, partition: str, event: list[Any]) -> None:
        tag, fields = event[0], event[1:]
        getattr(self, f"_{tag}", self._nothing)(partition, *fields)

    def _nothing(self, *_: Any) -> None:
        pass

    # Wallets

    def _purse(self, player: str) -> Purse:
        claim(player in self.purses, f"{player} has no wallet")
        return self.purses[player]

    def _did(self, player: str) -> None:
        purse = self.purses[player]
        purse.version += 1
        claim(min(purse.now) >= 0, f"{player} is below zero: {purse.now}")
        self.past[player, purse.version] = purse.now

    def _move(self, player: str, **amounts: int) -> None:
        purse = self._purse(player)
        for name, amount in amounts.items():
            setattr(purse, name, getattr(purse, name) + amount)
            self._moves[f"{name}/{player}"] += -amount if name == "debt" else amount

    def _income(self, player: str, amount: int) -> int:
        """Into the debt first, then into the cash; what was repaid."""
        repaid = min(amount, self._purse(player).debt)
        self._move(player, debt=-repaid, cash=amount - repaid)
        return repaid

    def _PlayerRegistered(self, _p: str, _at: int, player: str, *rest: Any) -> None:
        claim(player not in self.purses, f"{player} is registered twice")
        self.purses[player] = Purse(rest[-1])
        self.past[player, 1] = (0, 0, 0, 0)

    def _DepositRequested(
        self, _p: str, _at: int, player: str, payment: str, money: Any, *_: Any
    ) -> None:
        pending = self._purse(player).pending
        claim(payment not in pending, f"payment {payment} is asked for twice")
        pending[payment] = ("deposit", money[0])
        self.payments[payment] = "pending"
        self._did(player)

    def _settle_payment(
        self, player: str, payment: str, direction: str, amount: int, became: str
    ) -> None:
        known = self._purse(player).pending.pop(payment, None)
        self.payments[payment] = became
        claim(known == (direction, amount), f"payment {payment} is {known}, not {direction}")

    def _DepositCompleted(
        self,
        p: str,
        _at: int,
        player: str,
        payment: str,
        money: Any,
        processor: str,
        _reference: str,
        repaid: int,
        cash_after: int,
    ) -> None:
        self._settle_payment(player, payment, "deposit", money[0], "completed")
        claim(self._income(player, money[0]) == repaid, f"deposit {payment}: the debt repaid")
        self._moves[f"processor/{p}/{processor}"] -= money[0]
        claim(self._purse(player).cash == cash_after, f"deposit {payment}: the cash after")
        self._did(player)

    def _DepositFailed(self, _p: str, _at: int, player: str, payment: str, _code: str) -> None:
        known = self._purse(player).pending.pop(payment, None)
        claim(known is not None and known[0] == "deposit", f"{payment} is no pending deposit")
        self.payments[payment] = "failed"
        self._did(player)

    def _WithdrawalRequested(
        self,
        _p: str,
        _at: int,
        player: str,
        payment: str,
        money: Any,
        _processor: str,
        _method: str,
        cash_after: int,
    ) -> None:
        self._purse(player).pending[payment] = ("withdrawal", money[0])
        self.payments[payment] = "pending"
        self._move(player, cash=-money[0], withdrawing=money[0])
        claim(self._purse(player).cash == cash_after, f"withdrawal {payment}: the cash after")
        self._did(player)

    def _WithdrawalCompleted(
        self, p: str, _at: int, player: str, payment: str, money: Any, processor: str, _ref: str
    ) -> None:
        self._settle_payment(player, payment, "withdrawal", money[0], "completed")
        self._move(player, withdrawing=-money[0])
        self._moves[f"processor/{p}/{processor}"] += money[0]
        self._did(player)

    def _WithdrawalFailed(
        self,
        _p: str,
        _at: int,
        player: str,
        payment: str,
        money: Any,
        _code: str,
        repaid: int,
        cash_after: int,
    ) -> None:
        self._settle_payment(player, payment, "withdrawal", money[0], "failed")
        self._move(player, withdrawing=-money[0])
        claim(self._income(player, money[0]) == repaid, f"withdrawal {payment}: the debt repaid")
        claim(self._purse(player).cash == cash_after, f"withdrawal {payment}: the cash after")
        self._did(player)

    # Bets

    def _BetPlaced(
        self,
        _p: str,
        at_ms: int,
        player: str,
        bet: str,
        stake: Any,
        legs: list[Any],
        cash_after: int,
        held_after: int,
        version: int,
    ) -> None:
        claim(bet not in self.slips, f"bet {bet} is placed twice")
        _, market, selection, odds, odds_version = legs[0][:5]
        slip = Slip(player, market, selection, odds, odds_version, stake[0], self._place, at_ms)
        self.slips[bet] = slip
        self._carry(bet, market, selection, slip.risk, of_slip=False)
        self._move(player, cash=-stake[0], held=stake[0])
        self._did(player)
        purse = self._purse(player)
        after = (purse.cash, purse.held, purse.version)
        claim(after == (cash_after, held_after, version), f"bet {bet}: the wallet after")

    def _BetSettled(
        self,
        p: str,
        _at: int,
        player: str,
        bet: str,
        stake: Any,
        market: str,
        selection: str,
        result: list[Any],
        version: int,
        payout: int,
        repaid: int,
        cash_after: int,
        held_after: int,
        *_: Any,
    ) -> None:
        slip = self.slips[bet]
        claim((slip.player, slip.stake) == (player, stake[0]), f"{bet} settles another bet")
        claim((slip.market, slip.selection) == (market, selection), f"{bet} has another leg")
        claim(slip.settled == 0, f"{bet} is settled twice")
        claim(version > slip.highest, f"{bet} is settled by {version} after {slip.highest}")
        claim(payout == naive_payout(slip.stake, slip.odds, *result), f"{bet} pays {payout}")
        slip.settled = slip.highest = version
        slip.payout, slip.outcome = payout, result[0]
        slip.past.add((result[0], payout, version))
        self._weighs(bet, 0)
        self._move(player, held=-slip.stake)
        claim(self._income(player, payout) == repaid, f"{bet}: the debt repaid")
        self._moves[f"revenue/{p}"] += slip.stake - payout
        purse = self._purse(player)
        claim((purse.cash, purse.held) == (cash_after, held_after), f"{bet}: the wallet after")
        self._did(player)

    def _SettlementReversed(
        self,
        p: str,
        _at: int,
        player: str,
        bet: str,
        _stake: Any,
        version: int,
        taken: int,
        owed: int,
        cash_after: int,
        held_after: int,
    ) -> None:
        slip = self.slips[bet]
        claim(slip.settled == version > 0, f"{bet} was not settled by {version}")
        claim(taken + owed == slip.payout, f"{bet}: {taken} and {owed} of {slip.payout}")
        self._move(player, cash=-taken, debt=owed, held=slip.stake)
        self._moves[f"revenue/{p}"] += slip.payout - slip.stake
        slip.settled, slip.payout, slip.outcome = 0, 0, ""
        self._weighs(bet, slip.risk)
        purse = self._purse(player)
        claim((purse.cash, purse.held) == (cash_after, held_after), f"{bet}: the wallet after")
        claim(owed == 0 or purse.cash == 0, f"{bet}: owed while there was cash")
        self._did(player)

    def _VersionNoted(
        self,
        _p: str,
        _at: int,
        player: str,
        bet: str,
        _stake: Any,
        market: str,
        selection: str,
        version: int,
    ) -> None:
        slip = self.slips[bet]
        claim(slip.player == player, f"{bet} is somebody else's")
        claim((slip.market, slip.selection) == (market, selection), f"{bet} has another leg")
        claim(version > slip.highest, f"{bet} notes {version} after {slip.highest}")
        slip.highest = version
        slip.settled = version if slip.outcome else 0
        slip.past.add((slip.outcome or "open", slip.payout, version))

    # Slips

    def _carry(self, hold: str, market: str, selection: str, risk: int, of_slip: bool) -> None:
        carrier = Carrier(market, selection, self._place, risk, of_slip)
        carrier.now(risk, self._place[1])
        self.carriers[hold] = carrier

    def _weighs(self, hold: str, risk: int) -> None:
        self.carriers[hold].now(risk, self._place[1])

    def _weigh(self, bet: str, multi: Multi) -> None:
        risks = multi.risks()
        for number, (market, selection, *_) in enumerate(multi.legs):
            name = f"{bet}/{number}" if number else bet
            risk = risks.get((market, selection), 0)
            if name in self.carriers:
                self._weighs(name, risk)
            else:
                self._carry(name, market, selection, risk, of_slip=True)

    def _exposes(
        self, bet: str, before: dict[Any, int], after: dict[Any, int], told: list[Any]
    ) -> None:
        made = {
            place: (
                (place in after) - (place in before),
                after.get(place, 0) - before.get(place, 0),
            )
            for place in {*before, *after}
        }
        made = {place: change for place, change in made.items() if any(change)}
        said = {(market, selection): (bets, risk) for _, market, selection, bets, risk, _ in told}
        claim(made == said, f"{bet} changes the exposure by {said}, not {made}")

    def _SlipPlaced(
        self,
        _p: str,
        at_ms: int,
        player: str,
        bet: str,
        stake: Any,
        slip: list[Any],
        legs: list[Any],
        most: int,
        exposed: list[Any],
        cash_after: int,
        held_after: int,
        version: int,
    ) -> None:
        claim(bet not in self.slips and bet not in self.multis, f"slip {bet} is placed twice")
        folds = {"double": (2,), "single": (1,), "system": tuple(slip[3])}[slip[1]]
        on = [(leg[1], leg[2], leg[3], leg[4]) for leg in legs]
        priced = [tuple(leg[1:4]) for leg in slip[0]]
        claim(priced == [leg[:3] for leg in on], f"slip {bet} and its legs differ")
        multi = self.multis[bet] = Multi(player, on, folds, slip[2], self._place, at_ms)
        claim(stake[0] == multi.stake, f"slip {bet} takes {stake[0]}, not {multi.stake}")
        claim(most == multi.pays(open_wins=True), f"slip {bet} may pay {most}")
        self._exposes(bet, {}, multi.risks(), exposed)
        self._weigh(bet, multi)
        self._move(player, cash=-stake[0], held=stake[0])
        self._did(player)
        purse = self._purse(player)
        after = (purse.cash, purse.held, purse.version)
        claim(after == (cash_after, held_after, version), f"slip {bet}: the wallet after")

    def _LegSettled(
        self,
        p: str,
        _at: int,
        player: str,
        bet: str,
        _stake: Any,
        market: str,
        selection: str,
        known: list[Any],
        version: int,
        state: str,
        payout: int,
        most: int,
        given: int,
        more: int,
        repaid: int,
        taken: int,
        owed: int,
        exposed: list[Any],
        cash_after: int,
        held_after: int,
        corrects: bool,
    ) -> None:
        multi = self.multis[bet]
        (number,) = [at for at, leg in enumerate(multi.legs) if leg[:2] == (market, selection)]
        claim(version > multi.told.get(number, 0), f"{bet}: {market} by {version} again")
        was_open, paid, before = multi.state == "open", multi.paid, multi.risks()
        was = multi.known.pop(number, None)
        claim(corrects == (was is not None and was[0] != known[0]), f"{bet}: a correction or not")
        multi.told[number] = version
        if known[0] is not None:
            multi.known[number] = known[0], version
        multi.paid, multi.state = payout, state
        claim(payout == multi.pays(), f"{bet} pays {payout}, not {multi.pays()}")
        claim(most == multi.pays(open_wins=True), f"{bet} may pay {most}")
        is_open = multi.is_open
        if len(multi.known) == len(multi.legs):
            claim(state == multi.final(), f"{bet} is {state}, not {multi.final()}")
        claim(is_open == (state == "open"), f"{bet} is {state}")
        claim(given == multi.stake * (was_open - is_open), f"{bet} gives {given} of its stake")
        claim(more - taken - owed == payout - paid, f"{bet}: {more}, {taken}, {owed}")
        self._exposes(bet, before, multi.risks(), exposed)
        self._weigh(bet, multi)
        multi.past.add((state, payout, 0))
        self._move(player, held=-given)
        claim(self._income(player, more) == repaid, f"{bet}: the debt repaid")
        self._move(player, cash=-taken, debt=owed)
        self._moves[f"revenue/{p}"] += given - more + taken + owed
        purse = self._purse(player)
        claim((purse.cash, purse.held) == (cash_after, held_after), f"{bet}: the wallet after")
        claim(owed == 0 or purse.cash == 0, f"{bet}: owed while there was cash")
        self._did(player)

    def _CashedOut(
        self,
        p: str,
        _at: int,
        player: str,
        bet: str,
        stake: Any,
        bought: int,
        amount: int,
        repaid: int,
        closed: int,
        payout: int,
        _most: int,
        rest: Any,
        exposed: list[Any],
        cash_after: int,
        held_after: int,
    ) -> None:
        claim(amount > 0 and bought == stake[0] > 0, f"{bet} is bought back for {amount}")
        multi, single = self.multis.get(bet), self.slips.get(bet)
        if multi is not None:
            claim(multi.state == "open", f"{bet} is {multi.state} and is bought back")
            before = multi.risks()
            multi.stake -= bought
            multi.bought += bought
            multi.closed += closed
            if rest is None:
                multi.state = "cashed_out"
            due = multi.pays() if multi.stake else 0
            claim(payout == due, f"{bet} has paid {payout} after it, not {due}")
            claim(closed == multi.paid - payout + amount, f"{bet} closes {closed}")
            claim((multi.stake == 0) == (rest is None), f"{bet} has {multi.stake} left")
            multi.paid = payout
            multi.past.add((multi.state, payout, 0))
            self._exposes(bet, before, multi.risks(), exposed)
            self._weigh(bet, multi)
        else:
            assert single is not None
            claim(not single.settled, f"{bet} is settled and is bought back")
            single.stake -= bought
            single.closed += closed
            claim(closed == amount and payout == 0, f"{bet} closes {closed}")
            claim((single.stake == 0) == (rest is None), f"{bet} has {single.stake} left")
            if rest is None:
                single.outcome = "cashed_out"
                single.past.add(("cashed_out", 0, single.highest))
            self._weighs(bet, single.risk)
        self._move(player, held=-bought)
        claim(self._income(player, amount) == repaid, f"{bet}: the debt repaid")
        self._moves[f"revenue/{p}"] += bought - amount
        purse = self._purse(player)
        claim((purse.cash, purse.held) == (cash_after, held_after), f"{bet}: the wallet after")
        self._did(player)

    # Referrals, customers and alerts

    def _referral(self, referral: str, player: str, wanted: str) -> Promise:
        claim(referral in self.referrals, f"{referral} was never asked for")
        known = self.referrals[referral]
        claim(known.player == player, f"{referral} is {known.player}'s, not {player}'s")
        claim(known.state == wanted, f"{referral} is {known.state}, not {wanted}")
        return known

    def _ReferralAsked(
        self,
        _p: str,
        _at: int,
        player: str,
        referral: str,
        asked: list[Any],
        until_ms: int,
        *_: Any,
    ) -> None:
        claim(referral not in self.referrals, f"{referral} is asked for twice")
        self.referrals[referral] = Promise(player, asked, until_ms)

    def _ReferralAccepted(
        self,
        _p: str,
        at_ms: int,
        player: str,
        referral: str,
        accepted: list[Any],
        until_ms: int,
        *_: Any,
    ) -> None:
        known = self._referral(referral, player, "waiting")
        claim(at_ms <= known.until_ms, f"{referral} is accepted too late")
        claim(accepted[:3] == known.asked[:3], f"{referral} is accepted for another bet")
        claim(accepted[3][0] <= known.asked[3][0], f"{referral} is accepted for more")
        known.state, known.accepted, known.until_ms = "accepted", accepted, until_ms

    def _ReferralRefused(self, _p: str, at_ms: int, player: str, referral: str) -> None:
        known = self._referral(referral, player, "waiting")
        claim(at_ms <= known.until_ms, f"{referral} is refused too late")
        known.state = "refused"

    def _ReferralTaken(
        self,
        _p: str,
        at_ms: int,
        player: str,
        referral: str,
        bet: str,
        accepted: list[Any],
        until_ms: int,
    ) -> None:
        known = self.referrals.get(referral)
        if known is None or known.state != "taken":
            known = self._referral(referral, player, "accepted")
            claim(at_ms <= known.until_ms, f"{referral} is taken too late")
            known.state, known.bet = "taken", bet
        claim(known.bet == bet, f"{referral} is taken for {known.bet} and for {bet}")
        terms = (accepted, until_ms)
        claim(terms == (known.accepted, known.until_ms), f"{referral} is taken at {terms}")

    def _FactorsSet(self, _p: str, _at: int, player: str, factor: int, *_: Any) -> None:
        self.factors.setdefault(player, set()).add(factor)

    def _AlertRaised(
        self, _p: str, _at: int, alert: str, _pattern: str, _subject: str, _n: int, facts: Any
    ) -> None:
        claim(alert not in self.alerts, f"alert {alert} is raised twice")
        self.alerts[alert] = facts

    # Hedges

    def _HedgeOrdered(
        self, _p: str, _at: int, _f: str, market: str, _seq: int, hedge: str, order: list[Any]
    ) -> None:
        claim(hedge not in self.hedges, f"{hedge} is ordered twice")
        under_way = [
            name for name, one in self.hedges.items() if one.market == market and not one.became
        ]
        claim(not under_way, f"{hedge} is ordered while {under_way} are under way")
        _, selection, stake, odds, _ = order
        self.hedges[hedge] = LaidOff(market, selection, stake, odds, self._place)

    def _HedgeRecorded(
        self, _p: str, _at: int, _f: str, market: str, _seq: int, hedge: str, made: list[Any]
    ) -> None:
        claim(hedge in self.hedges, f"{hedge} was made and never ordered")
        known = self.hedges[hedge]
        _, selection, stake, odds, wins, _, reference = made
        claim(not known.became, f"{hedge} is {known.became} and is recorded again")
        of = (known.market, known.selection)
        claim(of == (market, selection), f"{hedge} was ordered for {of}")
        claim(0 < stake <= known.stake and odds >= known.odds, f"{hedge} is not as it was ordered")
        claim(wins <= stake * (odds - 10_000) // 10_000, f"{hedge} wins {wins}")
        known.became, known.made_stake, known.reference = "made", stake, reference
        known.wins, known.place = wins, self._place

    def _HedgeLapsed(
        self, _p: str, _at: int, _f: str, _m: str, _seq: int, hedge: str, _code: str
    ) -> None:
        claim(hedge in self.hedges, f"{hedge} has lapsed and was never ordered")
        known = self.hedges[hedge]
        claim(not known.became, f"{hedge} is {known.became} and lapses")
        known.became = "lapsed"

    # Fixtures and markets

    def _next(self, fixture: str, seq: int) -> None:
        claim(seq == self.seqs.get(fixture, 0) + 1, f"{fixture} jumps to {seq}")
        self.seqs[fixture] = seq

    def _FixtureCreated(self, _p: str, _at: int, fixture: str, seq: int, *_: Any) -> None:
        self._next(fixture, seq)

    _PhaseChanged = _FixtureCreated

    def _MarketOpened(
        self,
        _p: str,
        _at: int,
        fixture: str,
        market: str,
        seq: int,
        _name: str,
        _kind: str,
        _currency: str,
        _selections: Any,
        limits: list[int],
        _status: str,
        *_: Any,
    ) -> None:
        self._next(fixture, seq)
        claim(market not in self.boards, f"{market} is opened twice")
        self.boards[market] = Board(limits[2], limits[9], limits[1], limits[4])

    def _PricesChanged(
        self,
        _p: str,
        _at: int,
        fixture: str,
        market: str,
        seq: int,
        version: int,
        odds: dict[str, int],
        _sequence: int,
        *_: Any,
    ) -> None:
        self._next(fixture, seq)
        board = self.boards[market]
        claim(version == board.odds_version + 1, f"{market}: prices jump to {version}")
        board.odds_version = version
        board.prices |= odds
        board.seen |= {(name, price, version) for name, price in board.prices.items()}

    def _StatusChanged(
        self, _p: str, _at: int, fixture: str, _market: str, seq: int, *_: Any
    ) -> None:
        self._next(fixture, seq)

    def _next_result(self, fixture: str, market: str, seq: int, version: int) -> Board:
        self._next(fixture, seq)
        board = self.boards[market]
        claim(version == board.version + 1, f"{market}: the result jumps to {version}")
        board.version = version
        return board

    def _SelectionWithdrawn(
        self,
        _p: str,
        _at: int,
        fixture: str,
        market: str,
        seq: int,
        version: int,
        selection: str,
        *_: Any,
    ) -> None:
        board = self._next_result(fixture, market, seq, version)
        board.withdrawn.add(selection)
        board.results[selection] = ["void", 1, 1]
        board.changed_by[selection] = version

    def _ResultDeclared(
        self,
        _p: str,
        _at: int,
        fixture: str,
        market: str,
        seq: int,
        version: int,
        results: dict[str, Any],
        _cancelled: bool,
        *_: Any,
    ) -> None:
        board = self._next_result(fixture, market, seq, version)
        board.results |= results  # those that changed
        board.changed_by |= dict.fromkeys(results, version)

    def _SelectionsDecided(
        self,
        _p: str,
        _at: int,
        fixture: str,
        market: str,
        seq: int,
        version: int,
        results: dict[str, Any],
        known: int,
        *_: Any,
    ) -> None:
        board = self._next_result(fixture, market, seq, version)
        claim(not board.withdrawn & results.keys(), f"{market}: {results} of withdrawn ones")
        board.results |= results
        board.changed_by |= dict.fromkeys(results, version)
        claim(known == len(board.results), f"{market}: {known} results are {board.results}")

    def _ResultRolledBack(
        self,
        _p: str,
        _at: int,
        fixture: str,
        market: str,
        seq: int,
        version: int,
        undecided: list[str],
        results: dict[str, Any],
    ) -> None:
        board = self._next_result(fixture, market, seq, version)
        had = board.results.keys() - board.withdrawn
        claim(set(undecided) == had, f"{market}: {undecided} are rolled back, not {had}")
        claim(not results, f"{market}: withdrawn ones were void all the time")
        for selection in undecided:
            del board.results[selection]
            board.changed_by[selection] = version

    def _PlacedVoided(
        self, _p: str, _at: int, fixture: str, market: str, seq: int, version: int, window: Any
    ) -> None:
        board = self._next_result(fixture, market, seq, version)
        board.windows.append(window)
        board.windows_by = version

    def _VoidRolledBack(
        self, _p: str, _at: int, fixture: str, market: str, seq: int, version: int, window: Any
    ) -> None:
        board = self._next_result(fixture, market, seq, version)
        board.windows.remove(window)
        board.windows_by = version

    def _SelectionAdded(self, _p: str, _at: int, fixture: str, _m: str, seq: int, *_: Any) -> None:
        self._next(fixture, seq)

    def _SettlementCompleted(
        self, _p: str, _at: int, fixture: str, market: str, seq: int, version: int
    ) -> None:
        self._next(fixture, seq)
        board = self.boards[market]
        claim(board.settled_version < version <= board.version, f"{market}: settled by {version}")
        board.settled_version = version
