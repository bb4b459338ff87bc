"""The ledger on real Postgres: what the projector makes, and that verify and rebuild prove it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from actors.runtime.addresses import BOOK
from ledger.accounts import Transfer
from ledger.blocks import EMPTY, BrokenChain, seal
from ledger.database import WrongDatabase, open_pool, prepare
from ledger.journal import JournalUnavailable
from ledger.migrations import MigrationRefused, migrate, read_migrations
from ledger.postgres_journal import PostgresJournal
from ledger.projector import Projector
from ledger.reads import LedgerReads
from ledger.rebuild import rebuild
from ledger.report import LedgerBusy
from ledger.tables import LedgerFault
from ledger.verify import verify
from tests.integration.history import History, busy_day

TABLES = (
    *("account", "answer", "audit", "bet", "exposure", "fixture", "leg", "market", "payment"),
    *("player", "price_change", "projected", "selection", "transfer"),
    *("alert", "customer", "exposure_change", "hedge", "referral"),
)
OF_THE_DESK = ("alert", "customer", "hedge", "referral")
"""Tables that nothing of the day is in."""


@asynccontextmanager
async def ledger_of(scope: str, fresh_database, partitions: int = 2) -> AsyncIterator[asyncpg.Pool]:
    dsn = await fresh_database()
    assert await prepare(dsn, scope, partitions) == partitions
    async with await open_pool(dsn) as pool:
        yield pool


async def append(pool: asyncpg.Pool, history: History, scope: str) -> None:
    journal = PostgresJournal(pool)
    blocks = history.flush(scope)
    assert await journal.append(blocks) == {block.partition for block in blocks}
    await journal.close()


async def project(pool: asyncpg.Pool, scope: str) -> int:
    projector, taken = Projector(pool, scope), 0
    while step := await projector.step():
        taken += step
    return taken


async def dump(pool: asyncpg.Pool) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    return {
        table: sorted(row for (row,) in await pool.fetch(f"select t::text from {table} t"))  # noqa: S608
        for table in TABLES
    }


@pytest.fixture(scope="module")
def day() -> tuple[list, list]:
    """Blocks of the book and of gb: the day cut at uneven places."""
    history = History(seed=7)
    blocks: tuple[list, list] = ([], [])
    tell, number = history.tell, 0

    def tell_and_cut(*arguments, **options):
        nonlocal number
        event, number = tell(*arguments, **options), number + 1
        if number % 37 == 0:
            blocks[0].append(history.flush(BOOK))
            blocks[1].append(history.flush("gb"))
        return event

    history.tell = tell_and_cut
    busy_day(history)
    blocks[0].append(history.flush(BOOK))
    blocks[1].append(history.flush("gb"))
    return blocks


@pytest.fixture(params=[BOOK, "gb"])
def scope(request) -> str:
    return request.param


@pytest.fixture
async def pool(scope, day, fresh_database) -> AsyncIterator[asyncpg.Pool]:
    """A database with the day's journal, projected."""
    async with ledger_of(scope, fresh_database) as pool:
        await write(pool, day, scope)
        await project(pool, scope)
        yield pool


async def write(pool: asyncpg.Pool, day, scope: str) -> None:
    journal = PostgresJournal(pool)
    for blocks in day[0 if scope == BOOK else 1]:
        assert await journal.append(blocks) == {block.partition for block in blocks}
    await journal.close()


gb_only = pytest.mark.parametrize("scope", ["gb"], indirect=True)
book_only = pytest.mark.parametrize("scope", [BOOK], indirect=True)


# The projector


async def test_the_books_are_right(pool, scope):
    report = await verify(pool, scope)
    assert report.ok, [(check.name, check.detail) for check in report.checks if not check.ok]
    assert report.check("chain").counted > 10
    if scope == "gb":
        for name in ("wallets", "bets", "exposure", "postings", "pending_payments"):
            assert report.check(name).counted > 5, name
        assert await pool.fetchval("select count(*) from account where kind = 'debt'") > 0
    else:
        for name in ("fixtures", "markets", "selections"):
            assert report.check(name).counted > 5, name


async def test_the_same_journal_makes_the_same_rows_however_it_is_cut(
    pool, scope, day, fresh_database, monkeypatch
):
    monkeypatch.setattr("ledger.projector.MAX_BYTES", 1)
    async with ledger_of(scope, fresh_database) as other:
        await write(other, day, scope)
        assert await project(other, scope) > 10
        assert await dump(other) == await dump(pool)


async def test_two_projectors_write_nothing_twice(pool, scope, day, fresh_database, monkeypatch):
    monkeypatch.setattr("ledger.projector.MAX_BYTES", 5_000)
    async with ledger_of(scope, fresh_database) as other:
        await write(other, day, scope)
        await asyncio.gather(*(project(other, scope) for _ in range(4)))
        assert await dump(other) == await dump(pool)


async def test_a_projector_that_is_done_takes_nothing(pool, scope):
    before = await dump(pool)
    assert await Projector(pool, scope).step() == 0
    assert await dump(pool) == before


async def documents(pool: asyncpg.Pool, event: str) -> list[str]:
    """What the audit has of an event, in full."""
    rows = await pool.fetch(
        "select partition, seq, number from audit where $1 = any(events) order by 1, 2, 3", event
    )
    found = [await LedgerReads(pool).document(*row) for row in rows]
    assert None not in found
    return found


@gb_only
async def test_no_password_hash_is_in_the_audit(pool):
    claimed = await documents(pool, "EmailClaimed")
    assert claimed
    assert not [document for document in claimed if "argon2" in document]


@gb_only
async def test_an_entry_reads_like_what_happened(pool):
    row = await pool.fetchrow("select owner, events from audit where 'BetPlaced' = any(events)")
    assert row["owner"].startswith("wallet/player-")
    assert row["events"] == ["BetPlaced"]
    (first, *_) = await documents(pool, "BetPlaced")
    assert first.startswith('[{"event":"BetPlaced","at_ms":')
    assert '"stake":{"minor":' in first
    assert '"selection_name":"Selection ' in first
    assert await LedgerReads(pool).document("gb-00", 1, 1_000) is None
    assert await LedgerReads(pool).document("gb-00", 1_000, 0) is None


async def test_a_broken_chain_stops_the_projector(fresh_database):
    history = History()
    history.register()
    async with ledger_of("gb", fresh_database) as pool:
        await append(pool, history, "gb")
        await project(pool, "gb")
        before = await dump(pool)
        history.register()
        for block in history.flush("gb"):
            forged = seal(block.partition, block.head, 1, block.count, block.body)
            journal = PostgresJournal(pool)
            await journal.append([forged])
            await journal.close()
        with pytest.raises(BrokenChain, match="is missing"):
            await Projector(pool, "gb").step()
        assert await dump(pool) == before


async def test_a_balance_below_zero_stops_the_projector(fresh_database, monkeypatch):
    history = History()
    player_id = history.register()
    async with ledger_of("gb", fresh_database) as pool:
        await append(pool, history, "gb")
        await project(pool, "gb")
        before = await dump(pool)
        history.deposit(player_id, 1_000)
        await append(pool, history, "gb")
        stolen = Transfer(f"cash/{player_id}", "revenue/gb-00", 5, "GBP")
        monkeypatch.setattr(
            "actors.wallet.DepositCompleted.transfers", lambda event, partition: (stolen,)
        )
        for _ in range(2):  # it does not skip
            with pytest.raises(LedgerFault, match=f"cash/{player_id} would be -5 GBP, below zero"):
                await Projector(pool, "gb").step()
        assert await dump(pool) == before


async def test_a_wrong_count_stops_the_projector(fresh_database):
    history = History()
    async with ledger_of("gb", fresh_database) as pool:
        (block, _) = history.flush("gb")
        journal = PostgresJournal(pool)
        await journal.append([seal(block.partition, EMPTY, 1, 9, block.body)])
        await journal.close()
        with pytest.raises(LedgerFault, match="says 9 entries and holds 1"):
            await Projector(pool, "gb").step()


async def test_a_key_answered_twice_stops_the_projector(fresh_database):
    history = History()
    player_id = history.register()
    async with ledger_of("gb", fresh_database) as pool:
        history.name = lambda kind: "same"
        history.deposit(player_id, 1_000)
        history.deposit(player_id, 1_000)
        await append(pool, history, "gb")
        with pytest.raises(LedgerFault, match="answer_pkey"):
            await Projector(pool, "gb").step()


async def test_a_database_that_does_not_answer_is_unavailable(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 2)
    async with await open_pool(dsn) as pool, await open_pool(dsn, command_timeout_s=2.0) as hasty:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table projected in access exclusive mode")
            with pytest.raises(JournalUnavailable, match="projector of gb: TimeoutError"):
                await Projector(hasty, "gb").step()
        assert await Projector(hasty, "gb").step() == 0


# Tampering


BEHIND_THE_TRIGGERS = "set session_replication_role = replica; "

TAMPERING = {
    "a body changed": (
        "update journal.block set body = set_byte(body, length(body) / 2, 0) where seq = 3",
        {"chain"},
    ),
    "a block deleted": ("delete from journal.block where seq = 4", {"chain"}),
    "a time changed": ("update journal.block set recorded_at_ms = 1 where seq = 2", {"chain"}),
    "a block put in": (
        "insert into journal.block select 'gb-99', seq, prev_hash, hash, 0, 0, body "
        "from journal.block where seq = 1 limit 1",
        {"chain"},
    ),
    "the last blocks deleted": (
        "delete from journal.block where seq > 5",
        {"positions"},
    ),
    "a balance edited": (
        "update account set balance_minor = balance_minor + 1 where account = "
        "(select min(account) from account where kind = 'cash')",
        {"sums", "balances", "wallets"},
    ),
    "money moved between balances": (
        "update account set balance_minor = balance_minor + "
        "case when account = (select min(account) from account where kind = 'cash') "
        "then 100 else -100 end where account in (select min(account) from account "
        "where kind in ('cash', 'processor') group by kind)",
        {"balances", "wallets"},
    ),
    "a transfer deleted": (
        "delete from transfer where (partition, seq, number) = "
        "(select partition, seq, number from transfer order by 1, 2, 3 limit 1)",
        {"balances", "postings", "completeness", "transfers"},
    ),
    # Their sum is more than a bigint holds: they are found, and the verifier goes on.
    "transfers put in": (
        "insert into transfer select 'gb-00', 1, 1000 + n, 0, 0, 'deposit', 'forged', "
        "'processor/x', 'cash/x', 1000000000000000000, 'GBP', n, 0, n, 0 "
        "from generate_series(1, 20) as n",
        {"balances", "postings", "completeness", "transfers"},
    ),
    "a transfer's amount edited": (
        "update transfer set amount_minor = amount_minor + 1 where (partition, seq, number) = "
        "(select partition, seq, number from transfer order by 1, 2, 3 limit 1)",
        {"balances", "postings", "completeness", "transfers"},
    ),
    "a transfer given to somebody else": (
        "update transfer set credit = 'cash/thief' where (partition, seq, number) = "
        "(select partition, seq, number from transfer order by 1, 2, 3 limit 1)",
        {"balances", "postings", "transfers"},
    ),
    "a transfer said to be for another bet": (
        "update transfer set reference = 'another' where (partition, seq, number) = "
        "(select partition, seq, number from transfer order by 1, 2, 3 limit 1)",
        {"transfers"},
    ),
    "a transfer of a partition that is none": (
        "insert into transfer select 'gb-99', seq, number, entry, at_ms, kind, reference, "
        "'cash/x', 'held/x', 1, 'GBP', 1, -1, 1, 1 from transfer limit 1",
        {"transfers", "balances"},
    ),
    "a bet's state edited": (
        "update bet set state = 'won' where bet_id = "
        "(select min(bet_id) from bet where state = 'open')",
        {"bets"},
    ),
    "a bet's stake edited": (
        "update bet set stake_minor = 1 where bet_id = (select min(bet_id) from bet)",
        {"bets"},
    ),
    "a bet put in": (
        "insert into bet select 'forged', player_id, currency, stake_minor, placed_at_ms, 'won', "
        "1000000, 1, 1, null, 0, 0, 0, 0 from bet limit 1",
        {"bets"},
    ),
    "a bet deleted": ("delete from bet where bet_id = (select min(bet_id) from bet)", {"bets"}),
    "a price on a ticket edited": (
        "update leg set odds = odds + 1 where bet_id = (select min(bet_id) from leg)",
        {"legs"},
    ),
    "an exposure edited": (
        "update exposure set liability_minor = liability_minor + 1 where market_id = "
        "(select max(market_id) from exposure)",
        {"exposure"},
    ),
    "a change of the exposure edited": (
        "update exposure_change set stakes_minor = stakes_minor + 1 where market_id = "
        "(select max(market_id) from exposure_change)",
        {"exposure"},
    ),
    "a payment taken off the list": (
        "update payment set state = 'completed' where payment_id = "
        "(select min(payment_id) from payment where state = 'pending')",
        {"pending_payments"},
    ),
    "an e-mail address edited": (
        "update player set email = 'x@example.com' where player_id = "
        "(select min(player_id) from player)",
        {"players"},
    ),
    "an audit entry deleted": (
        "delete from audit where (partition, seq, number) = "
        "(select partition, seq, number from audit order by 1, 2, 3 limit 1)",
        {"audit", "completeness"},
    ),
    "an audit entry edited": (
        "update audit set owner = 'wallet/somebody-else' where (partition, seq, number) = "
        "(select partition, seq, number from audit order by 1, 2, 3 limit 1)",
        {"audit"},
    ),
    "a first answer edited": (
        "update answer set answer = '\\x00' where key = (select min(key) from answer)",
        {"answers"},
    ),
    "a player below zero": (
        "alter table account drop constraint players_are_never_below_zero; "
        "update account set balance_minor = -1 where account = "
        "(select min(account) from account where kind = 'cash')",
        {"bounds", "sums", "balances", "wallets"},
    ),
    "a position moved on": (
        "update projected set seq = seq + 100 where partition = 'gb-00'",
        {"positions"},
    ),
}


@gb_only
@pytest.mark.parametrize("what", TAMPERING)
async def test_verify_finds(what, pool):
    change, found = TAMPERING[what]
    await pool.execute(BEHIND_THE_TRIGGERS + change)
    report = await verify(pool, "gb")
    wrong = {check.name for check in report.checks if not check.ok}
    assert found <= wrong, [(check.name, check.detail) for check in report.checks]
    # What is right besides is still said to be right, unless the journal itself was broken.
    if not found & {"chain", "positions"}:
        assert wrong == found, [(check.name, check.detail) for check in report.checks]


BOOK_TAMPERING = {
    "a price of the past edited": (
        "update price_change set odds = odds + 1 where (market_id, odds_version) = "
        "(select market_id, odds_version from price_change order by 1, 2 limit 1)",
        {"price_changes"},
    ),
    "a result edited": (
        "update selection set outcome = 'lost' where outcome = 'won'",
        {"selections"},
    ),
    "a market opened again": (
        "update market set status = 'open' where status = 'settled'",
        {"markets"},
    ),
    "a fixture deleted": (
        "delete from fixture where fixture_id = (select min(fixture_id) from fixture)",
        {"fixtures"},
    ),
}


@book_only
@pytest.mark.parametrize("what", BOOK_TAMPERING)
async def test_verify_finds_in_the_book(what, pool):
    change, found = BOOK_TAMPERING[what]
    await pool.execute(change)
    report = await verify(pool, BOOK)
    assert {check.name for check in report.checks if not check.ok} == found


@gb_only
async def test_verify_lists_up_to_twenty_and_counts_the_rest(pool):
    await pool.execute("update bet set currency = 'EUR'")
    check = (await verify(pool, "gb")).check("bets")
    assert check.found == check.counted > 20
    assert len(check.faults) == 20
    assert check.detail.endswith(f"and {check.found - 20} more")
    assert "the ledger has currency EUR, the journal makes GBP" in check.faults[0]


# Rebuilding


async def test_a_rebuild_is_identical(pool, scope):
    before = await dump(pool)
    report = await rebuild(pool, scope)
    assert report.ok, [(check.name, check.detail) for check in report.checks if not check.ok]
    assert {check.name for check in report.checks} == {*TABLES, *OF_THE_DESK}
    assert report.check("audit").counted > 50
    assert await dump(pool) == before
    assert not await pool.fetchval("select to_regnamespace('ledger_rebuild') is not null")


async def test_a_rebuild_can_take_the_place_of_the_ledger(pool, scope):
    before, old = await dump(pool), await pool.fetchval("select 'account'::regclass::oid")
    assert (await rebuild(pool, scope, replace=True)).ok
    assert await dump(pool) == before
    assert await pool.fetchval("select 'account'::regclass::oid") != old
    assert await Projector(pool, scope).step() == 0


@gb_only
async def test_a_rebuild_puts_right_what_was_edited(pool):
    before = await dump(pool)
    await pool.execute(
        "update bet set stake_minor = 1 where bet_id = (select min(bet_id) from bet)"
    )
    await pool.execute("delete from answer where key = (select min(key) from answer)")
    report = await rebuild(pool, "gb")
    assert {check.name for check in report.checks if not check.ok} == {"bet", "answer"}
    assert [fault.split(":")[0] for fault in report.check("bet").faults] == [
        "only in the ledger",
        "only in the journal",
    ]
    assert report.check("answer").detail.startswith("only in the journal: (gb-")
    assert await dump(pool) == before
    assert (await verify(pool, "gb")).ok


@gb_only
async def test_a_rebuild_makes_a_table_that_is_gone(pool):
    before = await dump(pool)
    await pool.execute("drop table exposure")
    report = await rebuild(pool, "gb")
    assert report.check("exposure").detail == "the table is missing"
    assert await dump(pool) == before


async def test_a_rebuild_runs_beside_everything_else(fresh_database, monkeypatch):
    monkeypatch.setattr("ledger.projector.MAX_BYTES", 3_000)
    history = History(seed=3)
    busy_day(history, players=6, rounds=2)
    async with ledger_of("gb", fresh_database) as pool:
        await append(pool, history, "gb")
        done = asyncio.Event()

        async def play() -> None:
            while not done.is_set():
                history.deposit(history.random.choice(history.players), 100)
                await append(pool, history, "gb")
                await Projector(pool, "gb").step()

        playing = asyncio.ensure_future(play())
        try:
            for replace in (False, True, True):
                assert (await rebuild(pool, "gb", replace=replace)).ok
        finally:
            done.set()
            await playing
        await project(pool, "gb")
        assert (await verify(pool, "gb")).ok


async def test_a_rebuild_is_alone(fresh_database):
    async with ledger_of("gb", fresh_database) as pool, pool.acquire() as connection:
        await connection.execute("select pg_advisory_lock_shared(hashtext('ledger rebuild'))")
        with pytest.raises(LedgerBusy, match="'gb' is being verified or rebuilt already"):
            await rebuild(pool, "gb")
        assert (await verify(pool, "gb")).ok
        await connection.execute("select pg_advisory_unlock_all()")
        await connection.execute("select pg_advisory_lock(hashtext('ledger rebuild'))")
        for work in (rebuild, verify):
            with pytest.raises(LedgerBusy, match=r"being .*rebuilt"):
                await work(pool, "gb")


async def test_the_wrong_scope_is_refused(fresh_database):
    async with ledger_of("gb", fresh_database) as pool:
        with pytest.raises(WrongDatabase, match="that of 'gb', not of 'book'"):
            await verify(pool, BOOK)


async def test_a_rebuild_waits_for_no_reader(pool, scope):
    async with pool.acquire() as reader, reader.transaction():
        await reader.execute("select from account")
        rebuilding = asyncio.ensure_future(rebuild(pool, scope, replace=True))
        # The new tables are in place while the reader is still in the old ones.
        old = await pool.fetchval("select 'projected'::regclass::oid")
        while await pool.fetchval("select 'projected'::regclass::oid") == old:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await Projector(pool, scope).step() == 0
        assert not rebuilding.done()
    assert (await rebuilding).ok


# The database


@gb_only
async def test_a_ledger_of_before_is_brought_up_to_date_as_it_would_be_made_now(
    pool, fresh_database
):
    """Tables as the second migration made them, filled with what the projector then wrote."""
    dsn = await fresh_database()
    writer = await asyncpg.connect(dsn, server_settings={"search_path": "ledger"})
    try:
        await migrate(writer, read_migrations()[:2])
        for table in (*TABLES, "posting"):
            columns = [
                name
                for (name,) in await writer.fetch(
                    "select column_name from information_schema.columns where table_schema = "
                    "'ledger' and table_name = $1 order by ordinal_position",
                    table,
                )
            ]
            if not columns:  # a table that was made later
                continue
            chosen = ", ".join("'[]'" if name == "document" else name for name in columns)
            rows = await pool.fetch(f"select {chosen} from {table}")  # noqa: S608
            await writer.copy_records_to_table(
                table, records=[tuple(row) for row in rows], columns=columns
            )
    finally:
        await writer.close()
    await prepare(dsn, "gb", 2)
    async with await open_pool(dsn) as upgraded:
        before, now = await dump(upgraded), await dump(pool)
        # Of totals that were there already only the sum is known, not by when they came.
        assert before.pop("exposure_change") != now.pop("exposure_change")
        assert before == now
        differs = "select count(*) from exposure full join (select market_id, selection_id, "
        differs += "sum(liability_minor) as made from exposure_change group by 1, 2) as changes "
        differs += "using (market_id, selection_id) where liability_minor <> coalesce(made, 0)"
        assert await upgraded.fetchval(differs) == 0


async def test_the_partition_count_stays_for_ever(fresh_database):
    dsn = await fresh_database()
    assert await prepare(dsn, "gb", 4) == 4
    assert await prepare(dsn, "gb", 16) == 4
    with pytest.raises(WrongDatabase, match="that of 'gb', not of 'book'"):
        await prepare(dsn, BOOK, 4)


async def test_many_starters_migrate_once(fresh_database):
    dsn = await fresh_database()
    assert await asyncio.gather(*(prepare(dsn, "gb", n) for n in (3, 3, 3))) == [3, 3, 3]


async def test_a_database_of_a_later_release_is_refused(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 1)
    connection = await asyncpg.connect(dsn)
    with pytest.raises(MigrationRefused, match="0002_ledger, and this release ends at number 1"):
        await migrate(connection, read_migrations()[:1])
    await connection.close()


async def test_an_edited_migration_is_refused(fresh_database):
    dsn = await fresh_database()
    await prepare(dsn, "gb", 1)
    connection = await asyncpg.connect(dsn)
    await connection.execute("update journal.migration set checksum = '\\x00' where number = 2")
    with pytest.raises(MigrationRefused, match="0002_ledger is not the file that was applied"):
        await migrate(connection, read_migrations())
    await connection.close()


def test_a_gap_in_the_numbers_is_refused(tmp_path):
    (tmp_path / "0001_journal.sql").write_text("")
    (tmp_path / "0003_ledger.sql").write_text("")
    with pytest.raises(MigrationRefused, match="stands where number 2 should"):
        read_migrations(tmp_path)
