"""What the projector makes of blocks: the rows of one step, in memory.

    batch = Batch(); batch.add(block) ...    decode, expand to transfers, note what is touched
    tables = Tables(); tables.<rows> = ...   the rows touched, as the database has them now
    tables.fold(batch)                       events become rows

Nothing here touches the database: `ledger.projector` reads the rows before and writes them after.
Only columns that the journal alone decides are made, so that the same journal makes the same rows.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from actors.base import Refused
from actors.bet import (
    BetPlaced,
    BetSettled,
    BetState,
    HoldResolved,
    Leg,
    SettlementReversed,
    VersionNoted,
)
from actors.bonus import BonusGiven, BonusUsed, BonusWithdrawn
from actors.book import Line
from actors.cashout import CashedOut
from actors.declaring import ResultDeclared, SelectionWithdrawn, SettlementCompleted
from actors.entries import AnyEvent, Entry, Opened, answer_of, decode_entries
from actors.fixture import EventLimitsChanged, FixtureCreated, FixtureEvent, ModelSet, PhaseChanged
from actors.hedging import HedgeLapsed, HedgeOrdered, HedgeRecorded
from actors.market import MarketEvent, MarketStatus
from actors.multiple import Exposed, LegSettled, SlipPlaced
from actors.outcomes import (
    PlacedVoided,
    ResultRolledBack,
    SelectionAdded,
    SelectionsDecided,
    VoidRolledBack,
)
from actors.player import EmailClaimed, LoggedIn, LoginFailed, PlayerRegistered
from actors.results import LOST, VOID, Result, Window
from actors.risk.alerts import AlertRaised
from actors.risk.customer import FactorsSet
from actors.risk.referral import (
    ReferralAccepted,
    ReferralAsked,
    ReferralEvent,
    ReferralRefused,
    ReferralState,
    ReferralTaken,
    Terms,
)
from actors.slips.settling import Known
from actors.slips.slip import Slip
from actors.staff import MemberEvent
from actors.stop import StopEvent
from actors.terms import NO_TERMS, MarketTerms
from actors.trading import (
    LimitsChanged,
    MarketOpened,
    PricesChanged,
    PricesGivenBack,
    PricesHeld,
    StatusChanged,
)
from actors.wallet import (
    DepositCompleted,
    DepositFailed,
    DepositRequested,
    Direction,
    WithdrawalCompleted,
    WithdrawalFailed,
    WithdrawalRequested,
)
from ledger.accounts import PLAYER_KINDS, AccountKind, Transfer
from ledger.blocks import Block

PaymentEvent = (
    DepositRequested
    | DepositCompleted
    | DepositFailed
    | WithdrawalRequested
    | WithdrawalCompleted
    | WithdrawalFailed
)


HedgeEvent = HedgeOrdered | HedgeLapsed | HedgeRecorded


class LedgerFault(Exception):
    """The journal says something that cannot be. The projector stops; it never skips."""


# What the blocks say


class Outcome(msgspec.Struct):
    """One entry of the journal with its transfers, event by event."""

    partition: str
    seq: int
    number: int
    """Counts the entries of the block from 0."""
    entry: Entry
    transfers: list[tuple[Transfer, ...]]


class Batch:
    """The outcomes of some blocks, and which rows they touch."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.accounts: set[tuple[str, str]] = set()
        """Names and currencies."""
        self.payments: set[tuple[str, str]] = set()
        """Players and payment ids."""
        self.hedges: set[tuple[str, str]] = set()
        """Markets and hedge ids."""
        self.touched: defaultdict[str, set[str]] = defaultdict(set)
        """Ids of bets, fixtures and markets."""

    def add(self, block: Block) -> None:
        """Take a block whose place in the chain has been checked."""
        place = f"{block.partition} block {block.seq}"
        try:
            entries = decode_entries(block.body)
        except msgspec.MsgspecError as error:
            raise LedgerFault(f"{place} can't be read: {error}") from error
        if len(entries) != block.count:
            raise LedgerFault(f"{place} says {block.count} entries and holds {len(entries)}")
        for number, entry in enumerate(entries):
            transfers = [event.transfers(block.partition) for event in entry.events]
            self.outcomes.append(Outcome(block.partition, block.seq, number, entry, transfers))
            for event in entry.events:
                self._touch(event)
            for moved in transfers:
                for transfer in moved:
                    self.accounts.add((transfer.debit, transfer.currency))
                    self.accounts.add((transfer.credit, transfer.currency))

    def _touch(self, event: AnyEvent) -> None:
        if type(event) is BetPlaced or type(event) is SlipPlaced:
            pass  # it begins the bet: there is nothing of it yet
        elif isinstance(
            event, BetSettled | SettlementReversed | VersionNoted | LegSettled | CashedOut
        ):
            self.touched["bet"].add(event.bet_id)
        elif isinstance(event, PaymentEvent):
            self.payments.add((event.player_id, event.payment_id))
        elif isinstance(event, ReferralEvent):
            self.touched["referral"].add(event.referral_id)
        elif isinstance(event, HedgeEvent):
            self.hedges.add((event.market_id, event.hedge_id))
        elif isinstance(event, FixtureEvent):
            self.touched["fixture"].add(event.fixture_id)
        elif isinstance(event, MarketEvent):
            self.touched["fixture"].add(event.fixture_id)
            self.touched["market"].add(event.market_id)


# Rows that change. Their fields are the columns, in the order the queries name them.


class AccountRow(msgspec.Struct):
    account: str
    currency: str
    kind: str
    owner: str
    balance_minor: int = 0
    version: int = 0


class BetRow(msgspec.Struct):
    bet_id: str
    player_id: str
    currency: str
    stake_minor: int
    placed_at_ms: int
    state: str = BetState.OPEN.value
    payout_minor: int = 0
    result_version: int = 0
    settled_at_ms: int | None = None
    slip: str | None = None
    """Of a bet of several lines, what is left of it, as JSON."""
    most_minor: int = 0
    bought_minor: int = 0
    cashed_out_minor: int = 0
    corrections: int = 0


class LegChange(msgspec.Struct):
    """How a leg of a slip came out, or that of a single in a dead heat, or that lost something by a
    withdrawal; or that it is undecided again, or nothing to be said of any more."""

    bet_id: str
    market_id: str
    selection_id: str
    outcome: str | None
    result_version: int
    known: str | None
    """As JSON."""


class PaymentRow(msgspec.Struct):
    player_id: str
    payment_id: str
    direction: str
    state: str
    amount_minor: int
    currency: str
    processor: str
    method: str
    reference: str | None
    code: str | None
    requested_at_ms: int
    answered_at_ms: int | None = None


class ReferralRow(msgspec.Struct):
    referral_id: str
    player_id: str
    fixture_id: str
    market_id: str
    selection_id: str
    stake_minor: int
    currency: str
    odds: int
    asked_at_ms: int
    state: str
    expires_at_ms: int
    accepted_stake_minor: int | None = None
    accepted_odds: int | None = None
    bet_id: str | None = None
    slip: str | None = None
    """As JSON; of a single, nothing."""


def columns_of(asked: Terms) -> tuple[str, str, str, int, str, int]:
    """What was asked for, as the columns of a referral from `fixture_id` to `odds`."""
    stake = asked.stake
    place = (asked.fixture_id, asked.market_id, asked.selection_id)
    return (*place, stake.minor, stake.currency, asked.odds)


class CustomerRow(msgspec.Struct):
    player_id: str
    factor: int
    kinds: str
    """As JSON."""
    changed_at_ms: int
    refer_above_minor: int


class HedgeRow(msgspec.Struct):
    market_id: str
    hedge_id: str
    selection_id: str
    exchange: str
    state: str
    """ordered, made or lapsed."""
    stake_minor: int
    odds: int
    wins_minor: int = 0
    reference: str | None = None
    """The exchange's own name for it, or why it was not made."""
    ordered_at_ms: int = 0
    answered_at_ms: int | None = None


class FixtureRow(msgspec.Struct):
    fixture_id: str
    sport: str
    competition: str
    name: str
    starts_at_ms: int
    phase: str
    score: str
    seq: int


class MarketRow(msgspec.Struct):
    market_id: str
    fixture_id: str
    opened_seq: int
    name: str
    kind: str
    currency: str
    status: str
    in_play: bool
    bet_delay_ms: int
    min_stake_minor: int
    max_stake_minor: int
    max_liability_minor: int
    odds_version: int
    source_sequence: int
    selection_count: int
    result_count: int
    result_version: int
    settled_version: int
    terms: str | None = None
    """As JSON."""
    windows: str | None = None
    """As JSON."""
    windows_version: int = 0


class SelectionRow(msgspec.Struct):
    market_id: str
    selection_id: str
    number: int
    name: str
    odds: int = 0
    withdrawn: bool = False
    outcome: str | None = None
    tied: int | None = None
    places: int | None = None
    result_version: int = 0
    place_outcome: str | None = None
    place_tied: int | None = None
    place_places: int | None = None
    starting_odds: int | None = None
    gone_version: int | None = None
    gone_odds: int | None = None
    reduction: int | None = None


class SelectionChange(msgspec.Struct):
    """What became of a selection that is not in memory; None leaves a column as it is.

    Markets have up to 20,000 selections: to read them all for each change of price is too much.
    """

    market_id: str
    selection_id: str
    odds: int | None = None
    withdrawn: bool | None = None
    outcome: str | None = None
    tied: int | None = None
    places: int | None = None
    result_version: int | None = None
    place_outcome: str | None = None
    place_tied: int | None = None
    place_places: int | None = None
    starting_odds: int | None = None
    gone_version: int | None = None
    gone_odds: int | None = None
    reduction: int | None = None
    undone: bool = False
    """What was known of its result before is not any more: there None is none."""


# The words on a statement. `stake` and `payout` are what a player knows them by.
_WORDS: dict[type[msgspec.Struct], str] = {
    DepositCompleted: "deposit",
    WithdrawalRequested: "withdrawal",
    WithdrawalCompleted: "withdrawal_paid",
    WithdrawalFailed: "withdrawal_returned",
    BetPlaced: "stake",
    BetSettled: "payout",
    SettlementReversed: "reversal",
    SlipPlaced: "stake",
    LegSettled: "payout",
    CashedOut: "cash_out",
}

_BET_EVENTS = frozenset(
    {BetPlaced, BetSettled, SettlementReversed, SlipPlaced, LegSettled, CashedOut}
)

_TAKES_BACK = (AccountKind.HELD, AccountKind.REVENUE, AccountKind.BONUS)
"""What a settlement pays into is one of these only where it takes back."""

SLOT_MS = 10_000
"""The ten seconds of `exposure_change`."""

_encoder = msgspec.msgpack.Encoder()
_terms = msgspec.json.Decoder(MarketTerms)
_windows = msgspec.json.Decoder(tuple[Window, ...])


class Tables:
    """The rows of one step: those that change, loaded before, and those that are only added."""

    def __init__(self) -> None:
        self.accounts: dict[tuple[str, str], AccountRow] = {}
        self.bets: dict[str, BetRow] = {}
        self.legs: dict[str, tuple[str, str, int]] = {}
        """Of each bet: market, selection and odds."""
        self.payments: dict[tuple[str, str], PaymentRow] = {}
        self.referrals: dict[str, ReferralRow] = {}
        self.customers: dict[str, CustomerRow] = {}
        self.hedges: dict[tuple[str, str], HedgeRow] = {}
        self.fixtures: dict[str, FixtureRow] = {}
        self.markets: dict[str, MarketRow] = {}

        self.new_bets: list[BetRow] = []
        self.leg_changes: dict[tuple[str, str, str], LegChange] = {}
        self.new_selections: dict[tuple[str, str], SelectionRow] = {}
        self.selection_changes: dict[tuple[str, str], SelectionChange] = {}
        self.changes: defaultdict[tuple[str, str, int], Line] = defaultdict(Line)
        """What to add to the totals, by market, selection and ten seconds (`SLOT_MS`)."""
        self.changed_at_ms: dict[tuple[str, str, int], int] = {}
        """When the last of that was."""

        self.added: dict[str, list[tuple[Any, ...]]] = {
            "transfer": [],
            "player": [],
            "leg": [],
            "price_change": [],
            "alert": [],
            "answer": [],
            "audit": [],
        }
        """Complete rows by table."""

    @property
    def exposure(self) -> defaultdict[tuple[str, str], Line]:
        """What to add to the totals, whenever it was."""
        found: defaultdict[tuple[str, str], Line] = defaultdict(Line)
        for (market_id, selection_id, _), change in self.changes.items():
            line = found[market_id, selection_id]
            line.bets += change.bets
            line.stakes_minor += change.stakes_minor
            line.liability_minor += change.liability_minor
            line.slips_minor += change.slips_minor
        return found

    def fold(self, batch: Batch) -> None:
        """Turn events into rows. Raises `LedgerFault` for what cannot have happened."""
        block, number = ("", 0), 0
        for outcome in batch.outcomes:
            if block != (outcome.partition, outcome.seq):
                block, number = (outcome.partition, outcome.seq), 0
            for event, transfers in zip(outcome.entry.events, outcome.transfers, strict=True):
                kind = type(event)
                try:
                    # By type, and these first: almost every event is one of them.
                    if type(event) is BetPlaced:
                        self._bet_placed(event)
                    elif type(event) is BetSettled:
                        self._bet_settled(event)
                    else:
                        self._apply(event)
                except KeyError as error:
                    place = f"{outcome.partition} block {outcome.seq} entry {outcome.number}"
                    name = type(event).__name__
                    raise LedgerFault(f"{place}: {name} of an unknown {error}") from error
                if transfers:
                    reference = reference_of(event)
                    for transfer in transfers:
                        self._post(outcome, word_of(kind, transfer), reference, transfer, number)
                        number += 1
            self._note(outcome)

    # Money

    def _post(
        self, outcome: Outcome, kind: str, reference: str, transfer: Transfer, number: int
    ) -> None:
        """Write a transfer, and what it leaves on its two accounts."""
        amount, currency = transfer.amount_minor, transfer.currency
        debit = self._account(transfer.debit, currency)
        credit = self._account(transfer.credit, currency)
        debit.version += 1
        debit.balance_minor -= amount
        credit.version += 1
        credit.balance_minor += amount
        self.added["transfer"].append(
            (
                outcome.partition,
                outcome.seq,
                number,
                outcome.number,
                outcome.entry.at_ms,
                kind,
                reference,
                transfer.debit,
                transfer.credit,
                amount,
                currency,
                debit.version,
                debit.balance_minor,
                credit.version,
                credit.balance_minor,
            )
        )
        place = (outcome.partition, outcome.seq, number)
        if debit.balance_minor < 0 and debit.kind in PLAYER_KINDS:
            after = f"{debit.balance_minor} {currency}"
            raise LedgerFault(f"{place}: {debit.account} would be {after}, below zero")
        if credit.balance_minor > 0 and credit.kind == AccountKind.DEBT:
            after = f"{credit.balance_minor} {currency}"
            raise LedgerFault(f"{place}: {credit.account} would be {after}, above zero")

    def _account(self, name: str, currency: str) -> AccountRow:
        account = self.accounts.get((name, currency))
        if account is None:
            kind, _, owner = name.partition("/")
            account = AccountRow(name, currency, kind, owner)
            self.accounts[name, currency] = account
        return account

    # Entries

    def _note(self, outcome: Outcome) -> None:
        """Write what every entry leaves: its line in the audit, and its key's first answer."""
        entry = outcome.entry
        self.added["audit"].append(
            (
                outcome.partition,
                outcome.seq,
                outcome.number,
                entry.owner,
                entry.by,
                entry.at_ms,
                _names(*map(type, entry.events)),
                entry.why,
            )
        )
        if entry.key:
            answer = _encoder.encode(answer_of(entry))
            self.added["answer"].append(
                (outcome.partition, entry.owner, entry.key, entry.fingerprint, answer)
            )

    # Everything else

    def _apply(self, event: AnyEvent) -> None:
        match event:
            case BetPlaced():
                self._bet_placed(event)
            case BetSettled():
                self._bet_settled(event)
            case SettlementReversed():
                bet = self.bets[event.bet_id]
                bet.state = BetState.OPEN.value
                bet.payout_minor = 0
                bet.corrections += 1
                market_id, selection_id, odds = self.legs[bet.bet_id]
                self._line(market_id, selection_id, event.at_ms).add(bet.stake_minor, odds)
            case VersionNoted():
                bet = self.bets[event.bet_id]
                bet.result_version = event.version
                if bet.state == BetState.OPEN:
                    bet.settled_at_ms = None
                    leg = (event.bet_id, event.market_id, event.selection_id)
                    self.leg_changes[leg] = LegChange(*leg, None, 0, None)
            case SlipPlaced():
                self._slip_placed(event)
            case LegSettled():
                self._leg_settled(event)
            case CashedOut():
                self._cashed_out(event)
            case DepositRequested() | WithdrawalRequested():
                self._payment_requested(event)
            case DepositCompleted() | WithdrawalCompleted():
                payment = self.payments[event.player_id, event.payment_id]
                payment.state = "completed"
                payment.reference = event.reference
                payment.answered_at_ms = event.at_ms
            case DepositFailed() | WithdrawalFailed():
                payment = self.payments[event.player_id, event.payment_id]
                payment.state = "failed"
                payment.code = event.code
                payment.answered_at_ms = event.at_ms
            case PlayerRegistered():
                self.added["player"].append(
                    (
                        event.player_id,
                        event.licence,
                        event.name,
                        event.email,
                        dt.date.fromisoformat(event.birth_date),
                        event.currency,
                        event.at_ms,
                    )
                )
            case FixtureCreated():
                self.fixtures[event.fixture_id] = FixtureRow(
                    event.fixture_id,
                    event.sport,
                    event.competition,
                    event.name,
                    event.starts_at_ms,
                    "scheduled",
                    "",
                    event.seq,
                )
            case PhaseChanged():
                fixture = self.fixtures[event.fixture_id]
                fixture.seq = event.seq
                fixture.phase = event.phase.value
                fixture.score = event.score
            case MarketOpened():
                self._market_opened(event)
            case PricesChanged() | PricesHeld() | PricesGivenBack():
                market = self._market(event)
                market.odds_version = event.odds_version
                if isinstance(event, PricesChanged):
                    market.source_sequence = event.source_sequence
                for selection_id, odds in event.odds.items():
                    self._selection(event.market_id, selection_id).odds = odds
                    self.added["price_change"].append(
                        (event.market_id, event.odds_version, selection_id, odds, event.at_ms)
                    )
            case StatusChanged():
                market = self._market(event)
                market.status = event.status.value
                market.in_play = event.in_play
                market.bet_delay_ms = event.bet_delay_ms
            case LimitsChanged():
                market = self._market(event)
                market.min_stake_minor = event.limits.min_stake_minor
                market.max_stake_minor = event.limits.max_stake_minor
                market.max_liability_minor = event.limits.max_liability_minor
            case SelectionWithdrawn():
                market = self._market(event)
                market.result_version = event.version
                # A selection is withdrawn once; what is older than `decided` happened before the
                # rest of the results or after all.
                if not event.decided and market.result_count < market.selection_count:
                    market.result_count += 1
                selection = self._selection(event.market_id, event.selection_id)
                selection.withdrawn = True
                selection.odds = 0
                terms = terms_of(market.terms)
                result = LOST if terms.ante_post else VOID
                _set_result(selection, result, event.version)
                if terms.places:
                    _set_place(selection, result)
                if event.gone is not None:
                    market.odds_version = event.gone.odds_version
                    selection.gone_version = event.gone.odds_version
                    selection.gone_odds = event.gone.odds
                    selection.reduction = event.gone.reduction
            case ResultDeclared():
                market = self._market(event)
                market.result_version = event.version
                market.result_count = market.selection_count
                status = MarketStatus.CANCELLED if event.cancelled else MarketStatus.CLOSED
                market.status = status.value
                self._decide(event)
            case SelectionsDecided():
                market = self._market(event)
                market.result_version = event.version
                market.result_count = event.known
                market.status = MarketStatus.CLOSED.value
                self._decide(event)
            case ResultRolledBack():
                market = self._market(event)
                market.result_version = event.version
                market.result_count -= len(event.undecided)
                market.status = MarketStatus.SUSPENDED.value
                for selection_id in event.undecided:
                    self._undo(event.market_id, selection_id, event.version)
                places = terms_of(market.terms).places
                for selection_id, result in event.results.items():
                    selection = self._selection(event.market_id, selection_id)
                    _set_result(selection, result, event.version)
                    if places:
                        _set_place(selection, result)
            case PlacedVoided():
                market = self._market(event)
                windows = (*windows_of(market.windows), event.window)
                self._change_windows(market, windows, event.version)
            case VoidRolledBack():
                market = self._market(event)
                windows = windows_of(market.windows)
                windows = tuple(window for window in windows if window != event.window)
                self._change_windows(market, windows, event.version)
            case SelectionAdded():
                market = self._market(event)
                market.selection_count += 1
                place = (event.market_id, event.selection_id)
                self.new_selections[place] = SelectionRow(*place, event.number, event.name)
            case SettlementCompleted():
                market = self._market(event)
                market.settled_version = event.version
                last = event.version == market.result_version
                complete = market.result_count == market.selection_count
                if last and complete and market.status == MarketStatus.CLOSED:
                    market.status = MarketStatus.SETTLED.value
            case (
                EmailClaimed() | LoggedIn() | LoginFailed() | HoldResolved() | Refused() | Opened()
            ):
                pass  # in the audit only
            case EventLimitsChanged() | ModelSet():
                pass
            case HedgeOrdered() | HedgeLapsed() | HedgeRecorded():
                self._hedged(event)
            case ReferralAsked() | ReferralAccepted() | ReferralRefused() | ReferralTaken():
                self._referred(event)
            case FactorsSet():
                self.customers[event.player_id] = CustomerRow(
                    event.player_id,
                    event.factor,
                    json_of(event.kinds),
                    event.at_ms,
                    event.refer_above_minor,
                )
            case AlertRaised():
                self.added["alert"].append(
                    (
                        event.alert_id,
                        event.pattern.value,
                        event.subject,
                        event.noticed_at_ms,
                        json_of(event.facts),
                    )
                )
            case MemberEvent() | StopEvent():
                pass
            case BonusGiven() | BonusUsed() | BonusWithdrawn():
                pass
            case _:
                assert_never(event)

    def _bet_placed(self, event: BetPlaced) -> None:
        (leg,) = event.legs  # a bet is a single
        bet = BetRow(
            event.bet_id,
            event.player_id,
            event.stake.currency,
            event.stake.minor,
            event.at_ms,
        )
        self.bets[bet.bet_id] = bet
        self.new_bets.append(bet)
        self.legs[bet.bet_id] = (leg.market_id, leg.selection_id, leg.odds)
        self._line(leg.market_id, leg.selection_id, event.at_ms).add(bet.stake_minor, leg.odds)
        self._add_leg(bet.bet_id, 0, leg)

    def _add_leg(self, bet_id: str, number: int, leg: Leg) -> None:
        self.added["leg"].append(
            (
                bet_id,
                number,
                leg.fixture_id,
                leg.market_id,
                leg.selection_id,
                leg.odds,
                leg.odds_version,
                leg.fixture_name,
                leg.market_name,
                leg.selection_name,
                leg.in_play,
                None,
                0,
                None,
            )
        )

    def _bet_settled(self, event: BetSettled) -> None:
        bet = self.bets[event.bet_id]
        if bet.state == "open":
            market_id, selection_id, odds = self.legs[bet.bet_id]
            self._line(market_id, selection_id, event.at_ms).take(bet.stake_minor, odds)
        bet.state = event.result.outcome.value
        bet.payout_minor = event.payout_minor
        bet.result_version = event.version
        bet.settled_at_ms = event.at_ms
        if event.known is not None:
            self._know(event, event.known)
        elif bet.corrections:
            leg = (event.bet_id, event.market_id, event.selection_id)
            self.leg_changes[leg] = LegChange(*leg, None, 0, None)

    # Slips

    def _slip_placed(self, event: SlipPlaced) -> None:
        bet = BetRow(
            event.bet_id,
            event.player_id,
            event.stake.currency,
            event.slip.stake_minor,
            event.at_ms,
            slip=text_of(event.slip),
            most_minor=event.most_minor,
        )
        self.bets[bet.bet_id] = bet
        self.new_bets.append(bet)
        first = event.legs[0]
        self.legs[bet.bet_id] = (first.market_id, first.selection_id, first.odds)
        for number, leg in enumerate(event.legs):
            self._add_leg(bet.bet_id, number, leg)
        self._expose(event.exposed, event.at_ms, of_slip=True)

    def _leg_settled(self, event: LegSettled) -> None:
        bet = self.bets[event.bet_id]
        bet.state = event.state.value
        bet.payout_minor = event.payout_minor
        bet.most_minor = event.most_minor
        bet.settled_at_ms = None if event.state is BetState.OPEN else event.at_ms
        bet.corrections += event.corrects
        self._know(event, event.known)
        self._expose(event.exposed, event.at_ms, of_slip=True)

    def _know(self, event: BetSettled | LegSettled, known: Known) -> None:
        leg = (event.bet_id, event.market_id, event.selection_id)
        outcome = known.result.outcome.value if known.result else None
        self.leg_changes[leg] = LegChange(*leg, outcome, event.version, text_of(known))

    def _cashed_out(self, event: CashedOut) -> None:
        bet = self.bets[event.bet_id]
        bet.stake_minor -= event.bought_minor
        bet.bought_minor += event.bought_minor
        bet.cashed_out_minor += event.closed_minor
        bet.payout_minor = event.payout_minor
        if bet.slip is not None:
            bet.most_minor = event.most_minor
            bet.slip = text_of(event.rest) if event.rest else bet.slip
        if event.rest is None:
            bet.state = BetState.CASHED_OUT.value
            bet.settled_at_ms = event.at_ms
        self._expose(event.exposed, event.at_ms, of_slip=bet.slip is not None)

    def _expose(self, changes: Iterable[Exposed], at_ms: int, *, of_slip: bool) -> None:
        for change in changes:
            line = self._line(change.market_id, change.selection_id, at_ms)
            line.bets += change.bets
            line.stakes_minor += change.stakes_minor
            line.liability_minor += change.liability_minor
            line.slips_minor += change.liability_minor if of_slip else 0

    def _line(self, market_id: str, selection_id: str, at_ms: int) -> Line:
        place = (market_id, selection_id, at_ms // SLOT_MS)
        if at_ms > self.changed_at_ms.get(place, 0):
            self.changed_at_ms[place] = at_ms
        return self.changes[place]

    def _payment_requested(self, event: DepositRequested | WithdrawalRequested) -> None:
        deposit = isinstance(event, DepositRequested)
        self.payments[event.player_id, event.payment_id] = PaymentRow(
            event.player_id,
            event.payment_id,
            (Direction.DEPOSIT if deposit else Direction.WITHDRAWAL).value,
            "pending",
            event.amount.minor,
            event.amount.currency,
            event.processor,
            event.method,
            None,
            None,
            event.at_ms,
        )

    # Risk

    def _referred(
        self, event: ReferralAsked | ReferralAccepted | ReferralRefused | ReferralTaken
    ) -> None:
        if isinstance(event, ReferralAsked):
            self.referrals[event.referral_id] = ReferralRow(
                event.referral_id,
                event.player_id,
                *columns_of(event.asked),
                event.at_ms,
                ReferralState.WAITING.value,
                event.expires_at_ms,
                slip=text_of(event.asked.slip) if event.asked.slip else None,
            )
            return
        referral = self.referrals[event.referral_id]
        match event:
            case ReferralAccepted():
                referral.state = ReferralState.ACCEPTED.value
                referral.expires_at_ms = event.valid_until_ms
                referral.accepted_stake_minor = event.accepted.stake.minor
                referral.accepted_odds = event.accepted.odds
            case ReferralRefused():
                referral.state = ReferralState.REFUSED.value
            case ReferralTaken():
                referral.state = ReferralState.TAKEN.value
                referral.bet_id = event.bet_id

    def _hedged(self, event: HedgeOrdered | HedgeLapsed | HedgeRecorded) -> None:
        place = (event.market_id, event.hedge_id)
        match event:
            case HedgeOrdered():
                order = event.order
                self.hedges[place] = HedgeRow(
                    *place,
                    order.selection_id,
                    order.exchange,
                    "ordered",
                    order.stake_minor,
                    order.odds,
                    ordered_at_ms=event.at_ms,
                )
            case HedgeLapsed():
                lapsed = self.hedges[place]
                lapsed.state, lapsed.reference = "lapsed", event.code
                lapsed.answered_at_ms = event.at_ms
            case HedgeRecorded():
                hedge, ordered = event.hedge, self.hedges.get(place)
                self.hedges[place] = HedgeRow(
                    *place,
                    hedge.selection_id,
                    hedge.exchange,
                    "made",
                    hedge.stake_minor,
                    hedge.odds,
                    hedge.wins_minor,
                    hedge.reference,
                    ordered.ordered_at_ms if ordered else event.at_ms,
                    event.at_ms,
                )

    def _market_opened(self, event: MarketOpened) -> None:
        self.fixtures[event.fixture_id].seq = event.seq
        self.markets[event.market_id] = MarketRow(
            event.market_id,
            event.fixture_id,
            event.seq,
            event.name,
            event.kind,
            event.currency,
            event.status.value,
            False,
            0,
            event.limits.min_stake_minor,
            event.limits.max_stake_minor,
            event.limits.max_liability_minor,
            odds_version=0,
            source_sequence=0,
            selection_count=len(event.selections),
            result_count=0,
            result_version=0,
            settled_version=0,
            terms=None if event.terms == NO_TERMS else text_of(event.terms),
        )
        for number, (selection_id, name) in enumerate(event.selections.items()):
            row = SelectionRow(event.market_id, selection_id, number, name)
            self.new_selections[event.market_id, selection_id] = row

    def _market(
        self,
        event: PricesChanged
        | PricesHeld
        | PricesGivenBack
        | StatusChanged
        | SelectionWithdrawn
        | ResultDeclared
        | SettlementCompleted
        | LimitsChanged
        | SelectionsDecided
        | ResultRolledBack
        | PlacedVoided
        | VoidRolledBack
        | SelectionAdded,
    ) -> MarketRow:
        self.fixtures[event.fixture_id].seq = event.seq
        return self.markets[event.market_id]

    def _decide(self, event: ResultDeclared | SelectionsDecided) -> None:
        for selection_id, result in event.results.items():
            selection = self._selection(event.market_id, selection_id)
            _set_result(selection, result, event.version)
            if selection_id in event.places:
                _set_place(selection, event.places[selection_id])
            if selection_id in event.starting_odds:
                selection.starting_odds = event.starting_odds[selection_id]

    def _undo(self, market_id: str, selection_id: str, version: int) -> None:
        selection = self._selection(market_id, selection_id)
        selection.outcome = selection.tied = selection.places = None
        selection.place_outcome = selection.place_tied = selection.place_places = None
        selection.starting_odds = None
        selection.result_version = version
        if isinstance(selection, SelectionChange):
            selection.undone = True

    def _change_windows(self, market: MarketRow, windows: tuple[Window, ...], version: int) -> None:
        market.windows = text_of(windows) if windows else None
        market.windows_version = market.result_version = version
        if market.status == MarketStatus.SETTLED:
            market.status = MarketStatus.CLOSED.value

    def _selection(self, market_id: str, selection_id: str) -> SelectionRow | SelectionChange:
        place = (market_id, selection_id)
        if place in self.new_selections:
            return self.new_selections[place]
        if place not in self.selection_changes:
            self.selection_changes[place] = SelectionChange(market_id, selection_id)
        return self.selection_changes[place]


def _set_result(selection: SelectionRow | SelectionChange, result: Result, version: int) -> None:
    selection.outcome = result.outcome.value
    selection.tied = result.tied
    selection.places = result.places
    selection.result_version = version


def _set_place(selection: SelectionRow | SelectionChange, result: Result) -> None:
    selection.place_outcome = result.outcome.value
    selection.place_tied = result.tied
    selection.place_places = result.places


def word_of(event: type[msgspec.Struct], transfer: Transfer) -> str:
    """What is written of a transfer that such an event makes: what it is for."""
    word = _WORDS[event]
    # A settlement gives the stake to the house before the house pays.
    if word in ("payout", "cash_out"):
        if transfer.debit.startswith(AccountKind.HELD):
            return "settled_stake"
        if transfer.credit.startswith(_TAKES_BACK):
            return "reversal"
    return word


def reference_of(event: Any) -> str:
    """The bet or the payment that the money was for."""
    reference: str = event.bet_id if type(event) in _BET_EVENTS else event.payment_id
    return reference


def text_of(kept: Slip | Known | MarketTerms | tuple[Window, ...]) -> str:
    """What the ledger keeps as JSON."""
    return msgspec.json.encode(kept).decode()


def json_of(kept: dict[str, int] | dict[str, int | str]) -> str:
    """The same, of what has no order of its own: the keys are sorted."""
    return msgspec.json.encode(kept, order="sorted").decode()


def terms_of(text: str | None) -> MarketTerms:
    return _terms.decode(text) if text else NO_TERMS


def windows_of(text: str | None) -> tuple[Window, ...]:
    return _windows.decode(text) if text else ()


@functools.cache
def _names(*events: type) -> list[str]:
    return [event.__name__ for event in events]
