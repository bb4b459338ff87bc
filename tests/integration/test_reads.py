"""What the gateway reads from the ledger, held against the actors that the ledger was made from."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import groupby
from typing import Any

import asyncpg
import pytest

from actors.bet import BetState, Settling
from actors.book import Line
from actors.declaring import CompleteSettlement, DeclareResult, WithdrawSelection
from actors.outcomes import RollBackResult, RollBackVoid, SettleSelections, VoidPlaced
from actors.results import LOST, VOID, WON, Window
from actors.runtime.addresses import BOOK, partitions_of
from ledger.database import open_pool, prepare
from ledger.desk_reads import DeskReads
from ledger.postgres_journal import PostgresJournal
from ledger.projector import Projector
from ledger.reads import BadCursor, Declared, LagView, LedgerReads
from ledger.verify import verify
from tests.integration.history import START_MS, History, busy_day
from tests.patience import PATIENCE_S


class Ledger:
    """One scope: its database, and a way to bring it up to its history."""

    def __init__(self, pool: asyncpg.Pool, scope: str, history: History) -> None:
        self.pool, self.scope, self.history = pool, scope, history
        self.reads = LedgerReads(pool)

    async def write(self) -> None:
        journal = PostgresJournal(self.pool)
        await journal.append(self.history.flush(self.scope))
        await journal.close()

    async def project(self) -> None:
        while await Projector(self.pool, self.scope).step():
            pass


@pytest.fixture
async def ledgers(fresh_database) -> AsyncIterator[tuple[Ledger, Ledger]]:
    """The book's and gb's, of one history in which nothing has happened yet."""
    history, made = History(seed=5), []
    dsns = [await fresh_database(), await fresh_database()]
    async with await open_pool(dsns[0]) as first, await open_pool(dsns[1]) as second:
        for scope, dsn, pool in ((BOOK, dsns[0], first), ("gb", dsns[1], second)):
            await prepare(dsn, scope, history.partitions)
            made.append(Ledger(pool, scope, history))
        yield made[0], made[1]


@pytest.fixture
async def played(ledgers) -> tuple[History, LedgerReads, LedgerReads]:
    """A busy day, projected: the history, the book's reads and gb's."""
    book, gb = ledgers
    busy_day(gb.history)
    for ledger in ledgers:
        await ledger.write()
        await ledger.project()
    return gb.history, book.reads, gb.reads


async def all_pages(page: Callable[[str | None], Awaitable[tuple[list[Any], str | None]]]) -> list:
    rows, cursor = await page(None)
    while cursor is not None:
        more, cursor = await page(cursor)
        assert more
        rows += more
    return rows


def bets_of(history: History, player_id: str) -> list:
    bets = [history.actor(f"bet/{bet_id}") for bet_id in history.bets]
    return [bet for bet in bets if bet.player_id == player_id]


# Of one player


async def test_bets_come_newest_first_in_pages(played):
    history, _, reads = played
    for state in (None, "open", "settled"):
        for limit in (1, 3, 1_000):
            await check_bets(history, reads, state, limit)


async def check_bets(history: History, reads: LedgerReads, state: str | None, limit: int) -> None:
    for player_id in history.players[:4]:
        rows = await all_pages(lambda c, p=player_id: reads.bets(p, state, c, limit))
        expected = [
            bet
            for bet in bets_of(history, player_id)
            if state is None or (bet.state is BetState.OPEN) == (state == "open")
        ]
        expected.sort(key=lambda bet: (bet.placed_at_ms, bet.bet_id), reverse=True)
        assert [row.bet_id for row in rows] == [bet.bet_id for bet in expected]
        for row, bet in zip(rows, expected, strict=True):
            assert (row.state, row.payout_minor, row.stake_minor, row.currency) == (
                bet.state,
                bet.payout_minor,
                bet.stake_minor,
                bet.currency,
            )
            assert row.legs[0].market_name == bet.legs[0].market_name
            assert row.legs[0].odds == bet.legs[0].odds
            assert row.settled_at_ms == (bet.settled_at_ms or None)


async def test_a_bet_is_its_players_alone(played):
    history, _, reads = played
    bet_id, placed = next(iter(history.bets.items()))
    row = await reads.bet(placed.player_id, bet_id)
    assert row is not None
    assert (row.bet_id, len(row.legs)) == (bet_id, 1)
    assert await reads.bet("somebody", bet_id) is None
    assert await reads.bet(placed.player_id, "none") is None


async def test_a_state_that_is_none_is_refused(played):
    with pytest.raises(ValueError, match="open, settled or cashed out, not 'won'"):
        await played[2].bets("p", "won", None, 10)


async def test_a_statement_adds_up_to_the_cash(played):
    history, _, reads = played
    kinds = set()
    for player_id in history.players:
        rows = await all_pages(lambda c, p=player_id: reads.statement(p, c, 7))
        assert len({row.entry_id for row in rows}) == len(rows)
        assert [row.at_ms for row in rows] == sorted((row.at_ms for row in rows), reverse=True)
        balance = 0
        for row in reversed(rows):
            balance += row.amount_minor
            assert row.balance_after_minor == balance
        assert balance == history.actor(f"wallet/{player_id}").cash_minor
        kinds |= {(row.kind, row.amount_minor > 0) for row in rows}
    assert kinds == {
        ("deposit", True),
        ("withdrawal", False),
        ("withdrawal_returned", True),
        ("stake", False),
        ("payout", True),
        ("reversal", False),
    }
    assert await reads.statement("nobody", None, 10) == ([], None)


async def test_payments_come_newest_first_with_their_fate(ledgers):
    _, gb = ledgers
    history = gb.history
    player_id = history.register()
    expected = [
        (history.deposit(player_id, 5_000), "completed", "ref", None),
        (history.deposit(player_id, 100, "failed"), "failed", None, "no"),
        (history.deposit(player_id, 200, "pending"), "pending", None, None),
        (history.withdraw(player_id, 300), "completed", "ref", None),
        (history.withdraw(player_id, 400, "failed"), "failed", None, "no"),
        (history.withdraw(player_id, 500, "pending"), "pending", None, None),
    ]
    before_last = history.now_ms
    await gb.write()
    await gb.project()
    rows = await all_pages(lambda c: gb.reads.payments(player_id, c, 4))
    assert [(row.payment_id, row.state, row.reference, row.code) for row in rows] == expected[::-1]
    for older_than_ms, stuck in (
        (before_last + 1, [expected[2][0], expected[5][0]]),
        (before_last, [expected[2][0]]),
        (START_MS, []),
    ):
        for limit in (1, 10):
            found = await all_pages(
                lambda c, t=older_than_ms, n=limit: gb.reads.stuck_payments(t, c, n)
            )
            assert [row.payment_id for row in found] == stuck


async def test_a_cursor_that_was_never_given_is_refused(ledgers):
    book, gb = (ledger.reads for ledger in ledgers)
    for cursor in ("", "!", "abc", "k80=", "ksA=", "kwEC", "\u00e9", "\U0001f3c7"):
        for call in (
            gb.bets("p", None, cursor, 10),
            gb.statement("p", cursor, 10),
            gb.payments("p", cursor, 10),
            gb.stuck_payments(START_MS, cursor, 10),
            book.fixtures(None, None, cursor, 10),
        ):
            with pytest.raises(BadCursor):
                await call


# Settlement


async def test_bets_to_settle_come_by_selection_and_id_with_their_version(ledgers):
    _, gb = ledgers
    history = gb.history
    market_id = f"{history.fixture()}:m0"
    player_id = history.register()
    history.deposit(player_id, 100_000)
    bet_ids = [history.bet(player_id, market_id, f"s{n % 2}", 100) for n in range(10)]
    history.bet(player_id, market_id.replace("m0", "m1"), "s0", 100)
    await gb.write()
    await gb.project()

    async def to_settle(first: str, last: str) -> list[tuple[str, str, int]]:
        found, after = [], ("", "")
        while page := await gb.reads.bets_to_settle(market_id, first, last, after, 3):
            assert {bet.player_id for bet in page} == {player_id}
            found += [(bet.selection_id, bet.bet_id, bet.result_version) for bet in page]
            after = found[-1][:2]
        return found

    def on(selection_id: str, bets: list[str], version: int) -> list[tuple[str, str, int]]:
        return [(selection_id, bet_id, version) for bet_id in bets]

    s0, s1 = bet_ids[::2], bet_ids[1::2]
    assert await to_settle("s0", "s2") == on("s0", s0, 0) + on("s1", s1, 0)
    assert await to_settle("s1", "s1") == on("s1", s1, 0)
    assert await to_settle("s2", "s2") == []
    history.settle(market_id, {"s0": WON, "s1": LOST, "s2": LOST})
    await gb.write()
    await gb.project()
    assert await to_settle("s0", "s1") == on("s0", s0, 1) + on("s1", s1, 1)


async def test_liabilities_are_of_the_bets_still_open(played):
    history, _, reads = played
    expected: defaultdict[str, defaultdict[str, Line]] = defaultdict(lambda: defaultdict(Line))
    for bet_id in history.bets:
        bet = history.actor(f"bet/{bet_id}")
        leg = bet.legs[0]
        line = expected[leg.market_id][leg.selection_id]
        if bet.state is BetState.OPEN:
            line.add(bet.stake_minor, leg.odds)
    assert any(line.bets for lines in expected.values() for line in lines.values())
    assert (await reads.liabilities(list(expected)))[1] == expected


async def test_liabilities_are_as_of_their_positions(ledgers):
    _, gb = ledgers
    history = gb.history
    market_id = f"{history.fixture()}:m0"
    player_id = history.register()
    history.deposit(player_id, 100_000)
    await gb.write()
    await gb.project()
    positions, lines = await gb.reads.liabilities([market_id])
    assert (positions, lines) == (await gb.reads.positions(), {})
    placed = history.bets[history.bet(player_id, market_id, "s1", 100)]
    await gb.write()
    assert await gb.reads.liabilities([market_id]) == (positions, {})
    await gb.project()
    expected = Line()
    expected.add(100, placed.legs[0].odds)
    assert await gb.reads.liabilities([market_id]) == (
        await gb.reads.heads(),
        {market_id: {"s1": expected}},
    )
    assert (await gb.reads.liabilities(["none:m0"]))[1] == {}


async def test_liability_over_time_is_what_open_bets_made_then(ledgers):
    """However finely the time is cut: each sum is what the actors' open bets came to at its time,
    through settlements and those that were taken back, and the last is what stands now."""
    _, gb = ledgers
    history = gb.history
    stood: dict[int, dict[str, dict[str, tuple[int, int]]]] = {}
    tell = history.tell

    def tell_and_note(*arguments, **options):
        history.now_ms += history.random.randrange(20_000)
        event = tell(*arguments, **options)
        lines: defaultdict[str, defaultdict[str, Line]] = defaultdict(lambda: defaultdict(Line))
        for address, bet in history.actors.items():
            if address.startswith("bet/") and bet.legs and bet.state is BetState.OPEN:
                leg = bet.legs[0]
                lines[leg.market_id][leg.selection_id].add(bet.stake_minor, leg.odds)
        stood[history.now_ms] = {
            market_id: {name: (one.stakes_minor, one.liability_minor) for name, one in of.items()}
            for market_id, of in lines.items()
        }
        return event

    history.tell = tell_and_note
    busy_day(history)
    for ledger in ledgers:
        await ledger.write()
        await ledger.project()
    reads = DeskReads.beside(gb.reads)
    markets = {bet.legs[0].market_id for bet in history.bets.values()}
    _, now = await gb.reads.liabilities(list(markets))
    for market_id in markets:
        for points in (1, 7, 1_000):
            changes = await reads.liability_series(market_id, points)
            sums: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
            parts = [list(part) for _, part in groupby(changes, lambda change: change.part)]
            assert 0 < len(parts) <= points
            for part in parts:
                for change in part:
                    stakes, liability = sums[change.selection_id]
                    sums[change.selection_id] = (
                        stakes + change.stakes_minor,
                        liability + change.liability_minor,
                    )
                then = stood[max(change.last_ms for change in part)]
                assert {name: of for name, of in sums.items() if any(of)} == then.get(market_id, {})
            assert sums == {
                name: (line.stakes_minor, line.liability_minor)
                for name, line in now[market_id].items()
            }
    assert (await verify(gb.pool, "gb")).ok


async def test_unsettled_are_the_results_whose_bets_wait(ledgers):
    book, _ = ledgers
    history = book.history
    fixture_id = history.fixture()
    market_id = f"{fixture_id}:m0"

    async def unsettled() -> list[Declared]:
        await book.write()
        await book.project()
        return await book.reads.unsettled()

    assert await unsettled() == []
    history.book(WithdrawSelection(fixture_id, market_id, "s2"))
    assert await unsettled() == [
        Declared(fixture_id, market_id, 1, {"s2": Settling("s2", VOID, 1, True)})
    ]
    results = {"s0": WON, "s1": LOST}
    history.book(DeclareResult(fixture_id, market_id, results))
    assert await unsettled() == [
        Declared(
            fixture_id,
            market_id,
            2,
            {
                "s0": Settling("s0", WON, 2),
                "s1": Settling("s1", LOST, 2),
                "s2": Settling("s2", VOID, 1, True),
            },
        )
    ]
    history.book(CompleteSettlement(fixture_id, market_id, 1))
    assert await unsettled() == [
        Declared(
            fixture_id, market_id, 2, {"s0": Settling("s0", WON, 2), "s1": Settling("s1", LOST, 2)}
        )
    ]
    history.book(CompleteSettlement(fixture_id, market_id, 2))
    assert await unsettled() == []
    # A correction concerns the selections whose result is another one.
    history.book(DeclareResult(fixture_id, market_id, {"s0": WON, "s1": VOID}))
    assert await unsettled() == [
        Declared(fixture_id, market_id, 3, {"s1": Settling("s1", VOID, 3)})
    ]
    history.book(CompleteSettlement(fixture_id, market_id, 3))
    assert await unsettled() == []
    # The times in which bets are void concern all of them; what is taken back, those it had.
    window = Window(None, history.now_ms)
    history.book(VoidPlaced(fixture_id, market_id, window))
    history.book(RollBackResult(fixture_id, market_id))
    void, some = Settling("s2", VOID, 4, True, windows=(window,)), (window,)
    assert await unsettled() == [
        Declared(
            fixture_id,
            market_id,
            5,
            {
                "s0": Settling("s0", None, 5, windows=some),
                "s1": Settling("s1", None, 5, windows=some),
                "s2": void,
            },
        )
    ]
    history.book(CompleteSettlement(fixture_id, market_id, 4))
    history.book(SettleSelections(fixture_id, market_id, {"s1": WON}))
    assert (await unsettled())[0].results == {
        "s0": Settling("s0", None, 5, windows=some),
        "s1": Settling("s1", WON, 6, windows=some),
    }
    history.book(CompleteSettlement(fixture_id, market_id, 6))
    history.book(RollBackVoid(fixture_id, market_id, window))
    assert (await unsettled())[0].results == {
        "s0": Settling("s0", None, 7),
        "s1": Settling("s1", WON, 7),
        "s2": Settling("s2", VOID, 7, True),
    }
    assert (await verify(book.pool, BOOK)).ok


# The book


async def test_fixtures_come_soonest_first_with_all_they_have(played):
    history, reads, _ = played
    for sport in (None, "football", "racing", "chess"):
        for phase in (None, "scheduled", "ended"):
            for limit in (1, 4, 1_000):
                await check_fixtures(history, reads, sport, phase, limit)


async def check_fixtures(
    history: History, reads: LedgerReads, sport: str | None, phase: str | None, limit: int
) -> None:
    rows = await all_pages(lambda c: reads.fixtures(sport, phase, c, limit))
    expected = [
        fixture
        for address, fixture in history.actors.items()
        if address.startswith("fixture/")
        and sport in (None, fixture.sport)
        and phase in (None, fixture.phase)
    ]
    expected.sort(key=lambda fixture: (fixture.starts_at_ms, fixture.fixture_id))
    assert [row.fixture_id for row in rows] == [fixture.fixture_id for fixture in expected]
    for row, fixture in zip(rows, expected, strict=True):
        assert (row.name, row.phase, row.score, row.seq) == (
            fixture.name,
            fixture.phase,
            fixture.score,
            fixture.seq,
        )
        assert [market.market_id for market in row.markets] == fixture.markets
        for shown in row.markets:
            market = history.actor(f"market/{shown.market_id}")
            assert (shown.status, shown.odds_version, shown.in_play) == (
                market.status,
                market.odds_version,
                market.in_play,
            )
            assert (shown.max_stake_minor, shown.bet_delay_ms) == (
                market.limits.max_stake_minor,
                market.bet_delay_ms,
            )
            assert [
                (selection.selection_id, selection.name, selection.odds, selection.withdrawn)
                for selection in shown.selections
            ] == [
                (selection_id, selection.name, selection.odds, selection.withdrawn)
                for selection_id, selection in market.selections.items()
            ]
            assert {
                selection.selection_id: selection.result
                for selection in shown.selections
                if selection.result
            } == market.results


async def test_a_fixture_without_markets_is_listed(ledgers):
    book, _ = ledgers
    book.history.fixture(markets=0)
    await book.write()
    await book.project()
    ((row,), cursor) = await book.reads.fixtures(None, None, None, 10)
    assert (row.markets, cursor) == ((), None)


async def test_sports_count_fixtures_that_are_yet_to_end(played):
    history, reads, _ = played
    counts: defaultdict[str, int] = defaultdict(int)
    for address, fixture in history.actors.items():
        if address.startswith("fixture/") and not fixture.may_rest():
            counts[fixture.sport] += 1
    assert await reads.sports() == sorted(counts.items())


# Positions


async def test_positions_heads_and_lag(ledgers):
    _, gb = ledgers
    names = partitions_of("gb", 2)
    assert await gb.reads.heads() == await gb.reads.positions() == dict.fromkeys(names, 0)
    assert await gb.reads.lag() == LagView(0, 0)
    await gb.write()
    assert await gb.reads.heads() == dict.fromkeys(names, 1)
    assert await gb.reads.positions() == dict.fromkeys(names, 0)
    lag = await gb.reads.lag()
    assert lag.blocks == 2
    assert lag.ms > 0
    await gb.project()
    assert await gb.reads.positions() == dict.fromkeys(names, 1)
    assert await gb.reads.lag() == LagView(0, 0)


async def test_caught_up_waits_for_what_is_written_by_now(ledgers):
    _, gb = ledgers
    assert await gb.reads.caught_up("gb-00")
    await gb.write()
    assert not await gb.reads.caught_up("gb-00", timeout_s=0.05)
    waiting = asyncio.ensure_future(gb.reads.caught_up("gb-00", timeout_s=PATIENCE_S))
    await gb.project()
    assert await waiting
