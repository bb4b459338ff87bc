-- The ledger: everything here is made from the journal by the projector, and can be made again.
--
-- The same journal gives the same rows, byte for byte: no serial, no default, no now(). What
-- needs a name of its own is named by its place, which is the partition, the block's seq, and a
-- number within the block. Amounts are whole minor units, times whole milliseconds since 1970.
--
-- No schema is named: `ledger rebuild` makes these tables a second time beside the first.

-- How far the projector is in each partition: moved in the transaction that writes the rows.
create table projected (
    partition text primary key,
    seq bigint not null,
    hash bytea not null,
    recorded_at_ms bigint not null
);

-- Double entry ------------------------------------------------------------------------------

create table account (
    account text not null,
    currency text not null,
    kind text not null,
    owner text not null,
    balance_minor bigint not null,
    -- How many postings there are.
    version bigint not null,
    primary key (account, currency),
    constraint players_are_never_below_zero
    check (balance_minor >= 0 or kind not in ('cash', 'held', 'withdrawing')),
    constraint a_debt_is_at_most_zero check (balance_minor <= 0 or kind <> 'debt')
)
-- Room to update in place: the balance changes, and no index knows it.
with (fillfactor = 70);

create table transfer (
    partition text not null,
    seq bigint not null,
    -- Counts the transfers of the block from 0.
    number integer not null,
    -- Which of the block's entries moved the money: `audit.number`.
    entry integer not null,
    at_ms bigint not null,
    kind text not null,
    -- The bet or the payment it was for.
    reference text not null,
    debit text not null,
    credit text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    primary key (partition, seq, number)
);

-- Each transfer is posted twice: taken from the one account, given to the other.
create table posting (
    account text not null,
    version bigint not null,
    currency text not null,
    amount_minor bigint not null,
    balance_before_minor bigint not null,
    balance_after_minor bigint not null,
    partition text not null,
    seq bigint not null,
    number integer not null,
    primary key (account, version, currency),
    constraint a_balance_follows_from_the_one_before
    check (balance_after_minor = balance_before_minor + amount_minor)
);

-- Players -----------------------------------------------------------------------------------

create table player (
    player_id text primary key,
    licence text not null,
    name text not null,
    email text not null,
    birth_date date not null,
    currency text not null,
    registered_at_ms bigint not null
);

create table payment (
    player_id text not null,
    payment_id text not null,
    direction text not null,
    state text not null,
    amount_minor bigint not null,
    currency text not null,
    processor text not null,
    method text not null,
    -- The processor's own name for it, once completed.
    reference text,
    -- Why it failed, in the processor's words.
    code text,
    requested_at_ms bigint not null,
    answered_at_ms bigint,
    primary key (player_id, payment_id)
);
create index payment_by_time on payment (player_id, requested_at_ms, payment_id);
create index payment_pending on payment (requested_at_ms, payment_id) where state = 'pending';

create table bet (
    bet_id text primary key,
    player_id text not null,
    currency text not null,
    stake_minor bigint not null,
    placed_at_ms bigint not null,
    state text not null,
    payout_minor bigint not null,
    -- The version of the market's result that it was last settled by, 0 before.
    result_version bigint not null,
    settled_at_ms bigint
);
create index bet_by_time on bet (player_id, placed_at_ms, bet_id);
-- A few among the many that a player makes in a year.
create index bet_open on bet (player_id, placed_at_ms, bet_id) where state = 'open';

create table leg (
    bet_id text not null,
    number integer not null,
    fixture_id text not null,
    market_id text not null,
    selection_id text not null,
    odds bigint not null,
    odds_version bigint not null,
    fixture_name text not null,
    market_name text not null,
    selection_name text not null,
    in_play boolean not null,
    primary key (bet_id, number)
);
create index leg_by_selection on leg (market_id, selection_id, bet_id);

-- Totals of the bets still open, in this scope. A line stays, at zero, when all are settled.
create table exposure (
    market_id text not null,
    selection_id text not null,
    bets bigint not null,
    stakes_minor bigint not null,
    liability_minor bigint not null,
    primary key (market_id, selection_id)
)
with (fillfactor = 70);

-- The book ----------------------------------------------------------------------------------

create table fixture (
    fixture_id text primary key,
    sport text not null,
    competition text not null,
    name text not null,
    starts_at_ms bigint not null,
    phase text not null,
    score text not null,
    seq bigint not null
);
create index fixture_by_time on fixture (starts_at_ms, fixture_id);
create index fixture_by_phase on fixture (phase, starts_at_ms, fixture_id);
create index fixture_by_sport on fixture (sport, starts_at_ms, fixture_id);

create table market (
    market_id text primary key,
    fixture_id text not null,
    -- The fixture's seq when it was opened: the order in which markets are shown.
    opened_seq bigint not null,
    name text not null,
    kind text not null,
    currency text not null,
    status text not null,
    in_play boolean not null,
    bet_delay_ms bigint not null,
    min_stake_minor bigint not null,
    max_stake_minor bigint not null,
    max_liability_minor bigint not null,
    odds_version bigint not null,
    source_sequence bigint not null,
    -- How many selections there are, and of how many the result is known.
    selection_count integer not null,
    result_count integer not null,
    result_version bigint not null,
    settled_version bigint not null
);
create index market_by_fixture on market (fixture_id, opened_seq);
create index market_unsettled on market (market_id) where settled_version < result_version;

create table selection (
    market_id text not null,
    selection_id text not null,
    number integer not null,
    name text not null,
    odds bigint not null,
    withdrawn boolean not null,
    outcome text,
    tied integer,
    places integer,
    -- The version in which its result was last changed: what its bets are settled by. 0 before.
    result_version bigint not null,
    primary key (market_id, selection_id)
)
with (fillfactor = 80);

create table price_change (
    market_id text not null,
    odds_version bigint not null,
    selection_id text not null,
    odds bigint not null,
    at_ms bigint not null,
    primary key (market_id, odds_version, selection_id)
);

-- What was decided --------------------------------------------------------------------------

-- The first answer under every key, for ever: an encoded event.
create table answer (
    partition text not null,
    owner text not null,
    key text not null,
    fingerprint bytea not null,
    answer bytea not null,
    primary key (owner, key, partition)
);

-- Every entry of the journal, in words. Password hashes are left out.
create table audit (
    partition text not null,
    seq bigint not null,
    -- Counts the entries of the block from 0.
    number integer not null,
    owner text not null,
    by text not null,
    at_ms bigint not null,
    events text[] not null,
    document jsonb not null,
    primary key (partition, seq, number)
);
