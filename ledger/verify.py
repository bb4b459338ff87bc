"""Proof of the ledger: the chains, the books in themselves, and the books against the journal.

    chain       every block follows from the one before, says what it holds, and can be read
    positions   the projector is not beyond the journal, and not in another one
    books       every currency sums to zero, balances follow from postings, each posting from the
                one before, and no account is on the wrong side of zero
    fold        the events, applied to the real actors, make the wallets, bets, markets, fixtures,
                players and exposure that the tables show; and the transfers, the audit, the
                first answers and the history of prices are what the entries say, row by row

All is read in one transaction, so a verifier sees one moment and may run beside everything else.
One partition is folded at a time, and transfers are compared as they come. No check ends at its
first fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from actors.base import Event
from actors.bet import Bet, BetState, Fact
from actors.book import Line
from actors.entries import KINDS, Entry, answer_of, decode_entries
from actors.fixture import Fixture
from actors.market import Market
from actors.multiple import carried, known_of
from actors.player import Player
from actors.risk.alerts import Raised
from actors.risk.referral import Referral
from actors.slips.settling import settle
from actors.terms import NO_TERMS
from actors.trading import PricesChanged, PricesGivenBack, PricesHeld
from actors.wallet import Wallet
from ledger.accounts import Transfer
from ledger.blocks import EMPTY, Block, BrokenChain, Head, check
from ledger.database import CONNECT_TIMEOUT_S, WrongDatabase
from ledger.queries import Queries
from ledger.report import Check, LedgerBusy, Report
from ledger.tables import columns_of, json_of, reference_of, text_of, word_of

_sql = Queries("verify")

_encoder = msgspec.msgpack.Encoder()

_NO_TIMEOUT = 24 * 3600.0
_PAGE = 500
"""Rows that are compared at a time."""
_MOVED = 2_000
"""Transfers that wait to be compared, and those of one block beyond."""


async def verify(pool: asyncpg.Pool, scope: str) -> Report:
    """Check everything there is to check, up to where the projector is now.

    Raises `ledger.database.WrongDatabase` where the database is not that of the scope, and
    `LedgerBusy` while the ledger is being rebuilt.
    """
    async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        if not await connection.fetchval(_sql.claim):
            raise LedgerBusy(f"the ledger of {scope!r} is being rebuilt")
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _verify(connection, scope)
        finally:
            await connection.execute(_sql.give_back)


async def _verify(connection: Any, scope: str) -> Report:
    owner = await connection.fetchval(_sql.scope)
    if owner != scope:
        raise WrongDatabase(f"the database is that of {owner!r}, not of {scope!r}")
    verifier = _Verifier(connection)
    await verifier.books()
    await verifier.journal()
    return Report.of(verifier.checks.values())


class _Fold:
    """What the entries of one partition make, when the real actors apply them."""

    def __init__(self, partition: str) -> None:
        self.partition = partition
        self.actors: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        """By kind and id."""
        self.moved: list[tuple[Any, ...]] = []
        """Transfers that were not compared yet, as they are written."""
        self._left: dict[tuple[str, str], list[int]] = {}
        """By account and currency how many postings there are, and the balance."""
        self._last = (0, 0)
        """The last transfer: its block, and its place there."""
        self.written: Counter[str] = Counter()
        """How many transfers, entries and answers, and the sum of what was moved."""
        self.audit: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
        """Rows by block."""
        self.answers: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        """Rows by owner."""
        self.prices: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        """Rows by market."""

    def add(self, seq: int, number: int, entry: Entry) -> None:
        self.written["entries"] += 1
        self.written["answers"] += bool(entry.key)
        names = [type(event).__name__ for event in entry.events]
        row = (seq, number, entry.owner, entry.by, entry.at_ms, names, entry.why)
        self.audit[seq].append(row)
        if entry.key:
            answer = _encoder.encode(answer_of(entry))
            self.answers[entry.owner].append((entry.owner, entry.key, entry.fingerprint, answer))
        for event in entry.events:
            if isinstance(event, PricesChanged | PricesHeld | PricesGivenBack):
                self.prices[event.market_id] += [
                    (event.market_id, event.odds_version, selection_id, odds, event.at_ms)
                    for selection_id, odds in event.odds.items()
                ]
            event.apply(*(self._actor(address) for address in event.cast()))
            for transfer in event.transfers(self.partition):
                self.written["transfers"] += 1
                self.written["moved_minor"] += transfer.amount_minor
                self._move(seq, number, entry.at_ms, event, transfer)

    def _move(self, seq: int, number: int, at_ms: int, event: Event, transfer: Transfer) -> None:
        last, place = self._last
        place = place + 1 if seq == last else 0
        self._last = (seq, place)
        amount, currency = transfer.amount_minor, transfer.currency
        debit = self._left.setdefault((transfer.debit, currency), [0, 0])
        credit = self._left.setdefault((transfer.credit, currency), [0, 0])
        debit[0] += 1
        debit[1] -= amount
        credit[0] += 1
        credit[1] += amount
        word, reference = word_of(type(event), transfer), reference_of(event)
        sides = (transfer.debit, transfer.credit, amount, currency)
        self.moved.append((seq, place, number, at_ms, word, reference, *sides, *debit, *credit))

    def _actor(self, address: str) -> Any:
        kind, _, actor_id = address.partition("/")
        actors = self.actors[kind]
        if actor_id not in actors:
            actors[actor_id] = KINDS[kind]()
        return actors[actor_id]


class _Verifier:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.checks: dict[str, Check] = {}
        self._exposure: defaultdict[tuple[str, str], Line] = defaultdict(Line)

    def check(self, name: str) -> Check:
        return self.checks.setdefault(name, Check(name))

    # The books in themselves

    async def books(self) -> None:
        counts = await self._fetchrow(_sql.counts)
        for name, counted, query in (
            ("sums", counts["currencies"], _sql.unbalanced_currencies),
            ("balances", counts["accounts"], _sql.balances_without_postings),
            ("postings", counts["postings"], _sql.broken_postings),
            ("bounds", counts["accounts"], _sql.accounts_out_of_bounds),
            ("positions", 0, _sql.stray_positions),
            ("exposure", 0, _sql.exposure_without_changes),
        ):
            check = self.check(name)
            check.counted = counted
            async for (fault,) in self._connection.cursor(query, timeout=_NO_TIMEOUT):
                check.fault(fault)

    # The journal, and the books against it

    async def journal(self) -> None:
        written = {row["partition"]: dict(row) for row in await self._fetch(_sql.written)}
        for partition, known, seq, digest in await self._fetch(_sql.partitions):
            if not known:
                self.check("chain").fault(f"{partition} has blocks, and is not of this scope")
            fold = await self._chain(partition, Head(seq, digest or EMPTY.hash))
            row = written.get(partition, {})
            for what in ("transfers", "moved_minor", "entries", "answers"):
                self.check("completeness").compare(
                    f"{partition} {what}", row.get(what, 0), fold.written[what]
                )
            await self._compare("audit", _sql.audit, fold.audit, _as_they_are, partition)
            await self._compare("answers", _sql.answers, fold.answers, sorted, partition)
            await self._compare("price_changes", _sql.price_changes, fold.prices, sorted)
            await self._wallets(fold.actors["wallet"])
            await self._players(fold.actors["player"])
            await self._bets(fold.actors["bet"])
            await self._fixtures(fold.actors["fixture"])
            await self._markets(fold.actors["market"])
            await self._risk(fold)
        await self._lines()
        await self._totals()

    async def _chain(self, partition: str, position: Head) -> _Fold:
        """Follow the chain to its end, folding what the projector has seen of it."""
        chain, folded, positions = self.check("chain"), self.check("fold"), self.check("positions")
        fold, head, compared = _Fold(partition), EMPTY, 0
        async for row in self._connection.cursor(
            _sql.blocks, partition, prefetch=16, timeout=_NO_TIMEOUT
        ):
            block = Block(*row)
            place = f"{partition} block {block.seq}"
            chain.counted += 1
            try:
                check(head, block)
            except BrokenChain as error:
                chain.fault(str(error))
            head = block.head  # one broken block is one fault
            try:
                entries = decode_entries(block.body)
            except msgspec.MsgspecError as error:
                chain.fault(f"{place} can't be read: {error}")
                continue
            if len(entries) != block.count:
                chain.fault(f"{place} says {block.count} entries and holds {len(entries)}")
            if block.seq == position.seq and block.hash != position.hash:
                positions.fault(f"{place} is not the block that was projected: its hash differs")
            for number, entry in enumerate(entries if block.seq <= position.seq else ()):
                folded.counted += 1
                try:
                    fold.add(block.seq, number, entry)
                # Whatever an event that never happened may do to an actor.
                except Exception as error:
                    folded.fault(f"{place}: {type(error).__name__} {error}")
            if len(fold.moved) >= _MOVED:
                compared = await self._transfers(fold, compared, block.seq)
        await self._transfers(fold, compared, position.seq)
        positions.counted += 1
        if position.seq > head.seq:
            positions.fault(
                f"{partition} is projected up to {position.seq}, its journal ends at {head.seq}"
            )
        return fold

    async def _transfers(self, fold: _Fold, after: int, upto: int) -> int:
        """Hold the transfers of some blocks against those that were written; the last block."""
        check, made = self.check("transfers"), fold.moved
        stored = await self._fetch(_sql.transfers, fold.partition, after, upto)
        if [tuple(row) for row in stored] == made:
            check.counted += len(made)
        else:
            by_block: defaultdict[int, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
            for row in stored:
                by_block[row[0]][0].append(row)
            for row in made:
                by_block[row[0]][1].append(row)
            for seq, (there, expected) in sorted(by_block.items()):
                _compare_rows(check, f"{fold.partition} block {seq}", there, expected)
        fold.moved = []
        return upto

    async def _wallets(self, wallets: dict[str, Wallet]) -> None:
        await self._compare(
            "wallets",
            _sql.wallets,
            wallets,
            lambda wallet: [
                (
                    wallet.player_id,
                    wallet.cash_minor,
                    wallet.held_minor,
                    wallet.withdrawing_minor,
                    wallet.debt_minor,
                )
            ],
        )
        await self._compare(
            "pending_payments",
            _sql.pending_payments,
            wallets,
            lambda wallet: [
                (
                    wallet.player_id,
                    payment_id,
                    payment.direction,
                    payment.amount_minor,
                    payment.processor,
                    payment.method,
                    payment.requested_at_ms,
                )
                for payment_id, payment in sorted(wallet.pending.items())
            ],
        )

    async def _players(self, players: dict[str, Player]) -> None:
        await self._compare(
            "players",
            _sql.players,
            players,
            lambda player: [
                (
                    player.player_id,
                    player.licence,
                    player.name,
                    player.email,
                    player.birth_date,
                    player.registered_at_ms,
                )
            ],
        )

    async def _bets(self, bets: dict[str, Bet]) -> None:
        for bet in bets.values():
            if bet.state is BetState.OPEN and bet.slip is not None:
                for selection, cost in carried(bet.slip, known_of(bet.legs, bet.facts)).items():
                    self._exposure[selection].add(0, 0, cost)
            elif bet.state is BetState.OPEN and bet.legs:
                leg = bet.legs[0]
                self._exposure[leg.market_id, leg.selection_id].add(bet.stake_minor, leg.odds)
        await self._compare(
            "bets",
            _sql.bets,
            bets,
            lambda bet: [
                (
                    bet.bet_id,
                    bet.player_id,
                    bet.currency,
                    bet.stake_minor,
                    bet.placed_at_ms,
                    bet.state,
                    bet.payout_minor,
                    bet.result_version,
                    bet.settled_at_ms,
                    text_of(bet.slip) if bet.slip else None,
                    _most(bet),
                    bet.bought_minor,
                    bet.cashed_out_minor,
                    bet.corrections,
                )
            ],
        )
        await self._compare("legs", _sql.legs, bets, _legs_of)

    async def _fixtures(self, fixtures: dict[str, Fixture]) -> None:
        await self._compare(
            "fixtures",
            _sql.fixtures,
            fixtures,
            lambda fixture: [
                (
                    fixture.fixture_id,
                    fixture.sport,
                    fixture.competition,
                    fixture.name,
                    fixture.starts_at_ms,
                    fixture.phase,
                    fixture.score,
                    fixture.seq,
                )
            ],
        )

    async def _markets(self, markets: dict[str, Market]) -> None:
        await self._compare(
            "markets",
            _sql.markets,
            markets,
            lambda market: [
                (
                    market.market_id,
                    market.fixture_id,
                    market.name,
                    market.kind,
                    market.currency,
                    market.status,
                    market.in_play,
                    market.bet_delay_ms,
                    market.limits.min_stake_minor,
                    market.limits.max_stake_minor,
                    market.limits.max_liability_minor,
                    market.odds_version,
                    market.source_sequence,
                    market.result_version,
                    market.settled_version,
                    None if market.terms == NO_TERMS else text_of(market.terms),
                    text_of(market.windows) if market.windows else None,
                    market.windows_version,
                )
            ],
        )
        await self._compare("selections", _sql.selections, markets, _selections_of)

    async def _risk(self, fold: _Fold) -> None:
        await self._compare("referrals", _sql.referrals, fold.actors["referral"], _referral_of)
        await self._compare(
            "customers",
            _sql.customers,
            fold.actors["customer"],
            lambda one: [
                (
                    one.player_id,
                    one.factor,
                    json_of(one.kinds),
                    one.changed_at_ms,
                    one.refer_above_minor,
                )
            ],
        )
        await self._compare("alerts", _sql.alerts, fold.actors["alert"], _alert_of)
        await self._compare("hedges", _sql.hedges, fold.actors["market"], _hedges_of)

    async def _lines(self) -> None:
        """Exposure is of all partitions together; a line without open bets is at zero."""
        check, expected = self.check("exposure"), self._exposure
        async for row in self._connection.cursor(_sql.exposure, timeout=_NO_TIMEOUT):
            market_id, selection_id, *stored = row
            line = expected.pop((market_id, selection_id), Line())
            made = [line.bets, line.stakes_minor, line.liability_minor, line.slips_minor]
            check.compare(f"{market_id} {selection_id}", stored, made)
        for (market_id, selection_id), line in expected.items():
            check.compare(f"{market_id} {selection_id}", None, line)

    async def _totals(self) -> None:
        for name, count in (await self._fetchrow(_sql.totals)).items():
            check = self.check(name)
            if count > check.counted:
                check.fault(f"{count - check.counted} more in the ledger than the journal makes")

    async def _compare(
        self,
        name: str,
        query: str,
        actors: Mapping[Any, Any],
        rows_of: Callable[[Any], list[tuple[Any, ...]]],
        *arguments: Any,
    ) -> None:
        """Hold the rows that actors should have against those there are, column by column.

        The query takes ids and `arguments`, and returns rows that start with an id.
        """
        check = self.check(name)
        ids = sorted(actors)
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            stored: defaultdict[Any, list[Any]] = defaultdict(list)
            # An id of a forged block may be one that Postgres can't even be asked for.
            known = [actor_id for actor_id in page if "\0" not in str(actor_id)]
            for row in await self._fetch(query, known, *arguments):
                stored[row[0]].append(row)
            for actor_id in page:
                made = rows_of(actors[actor_id])
                _compare_rows(check, actor_id, stored[actor_id], made)

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        rows: list[Any] = await self._connection.fetch(query, *arguments, timeout=_NO_TIMEOUT)
        return rows

    async def _fetchrow(self, query: str) -> Any:
        return await self._connection.fetchrow(query, timeout=_NO_TIMEOUT)


def _compare_rows(
    check: Check, actor_id: Any, stored: Sequence[Any], made: Sequence[tuple[Any, ...]]
) -> None:
    check.counted += len(made)
    if len(stored) != len(made):
        check.fault(f"{actor_id}: the ledger has {len(stored)} rows, the journal makes {len(made)}")
    for row, expected in zip(stored, made, strict=False):
        for (column, value), right in zip(row.items(), expected, strict=True):
            if value != right:
                check.fault(
                    f"{actor_id}: the ledger has {column} {value}, the journal makes {right}"
                )


def _as_they_are(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return rows


def _most(bet: Bet) -> int:
    """What a slip can pay at most by what is known of it."""
    if bet.slip is None or bet.state is BetState.CASHED_OUT:
        return 0
    return settle(bet.slip, known_of(bet.legs, bet.facts)).most_minor


def _legs_of(bet: Bet) -> list[tuple[Any, ...]]:
    facts = bet.facts or (Fact(),) * len(bet.legs)
    return [
        (
            bet.bet_id,
            *msgspec.structs.astuple(leg),
            fact.known.result and fact.known.result.outcome,
            fact.version,
            text_of(fact.known) if fact.version else None,
        )
        for leg, fact in zip(bet.legs, facts, strict=True)
    ]


def _referral_of(referral: Referral) -> list[tuple[Any, ...]]:
    asked, accepted = referral.asked, referral.accepted
    assert asked is not None
    return [
        (
            referral.referral_id,
            referral.player_id,
            *columns_of(asked),
            referral.asked_at_ms,
            referral.state,
            referral.expires_at_ms,
            accepted and accepted.stake.minor,
            accepted and accepted.odds,
            referral.bet_id or None,
            text_of(asked.slip) if asked.slip else None,
        )
    ]


def _alert_of(raised: Raised) -> list[tuple[Any, ...]]:
    alert = raised.alert
    assert alert is not None
    return [(raised.alert_id, alert.pattern, alert.subject, alert.at_ms, json_of(alert.facts))]


def _hedges_of(market: Market) -> list[tuple[Any, ...]]:
    """Those that lapsed are forgotten by their market."""
    ordered = [
        (market.market_id, hedge_id, one.selection_id, one.exchange, "ordered", one.stake_minor)
        for hedge_id, one in market.hedge_orders.items()
    ]
    made = [
        (market.market_id, hedge_id, one.selection_id, one.exchange, "made", one.stake_minor)
        for hedge_id, one in market.hedges.items()
    ]
    return sorted(ordered + made)


def _selections_of(market: Market) -> list[tuple[Any, ...]]:
    rows = []
    for selection_id, selection in market.selections.items():
        result, place = market.results.get(selection_id), market.places.get(selection_id)
        gone = market.gone.get(selection_id)
        rows.append(
            (
                market.market_id,
                selection_id,
                selection.name,
                selection.odds,
                selection.withdrawn,
                result and result.outcome,
                result and result.tied,
                result and result.places,
                place and place.outcome,
                place and place.tied,
                place and place.places,
                market.starting_odds.get(selection_id),
                *((gone.odds_version, gone.odds, gone.reduction) if gone else (None,) * 3),
            )
        )
    return rows
