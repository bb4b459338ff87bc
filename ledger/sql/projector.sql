-- What the projector reads and writes. Tables without a schema are in the one it was told.

-- name: take_turn
-- One projector at a time, until the end of the transaction. Should the machine fail, the last
-- steps may be lost: their positions with them, so they are made again from the journal.
select
    set_config('search_path', $1::text, true),
    set_config('synchronous_commit', 'off', true),
    -- Each row by its primary key, however large the table. Left to itself, Postgres reads all of
    -- a table that it takes for small, for every step.
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    pg_advisory_xact_lock(hashtext('projector of ' || $1::text))

-- name: next_blocks
-- The next blocks of every partition in turn: the first of each, then the second of each. At
-- least one, however large; then as many as the bytes allow.
with candidate as (
    select
        next.partition,
        next.seq,
        sum(next.bytes) over (order by next.seq - next.position, next.partition) - next.bytes
            as bytes_before
    from journal.partition
    left join projected using (partition)
    left join unnest($2::text[], $3::bigint[]) as ceiling (partition, seq) using (partition)
    cross join lateral (
        select
            block.partition,
            block.seq,
            coalesce(projected.seq, $1) as position,
            octet_length(block.body) as bytes
        from journal.block
        where
            block.partition = partition.partition
            and block.seq > coalesce(projected.seq, $1)
            and (ceiling.seq is null or block.seq <= ceiling.seq)
        order by block.seq
        limit greatest(16, $4 / (select partitions from journal.scope))
    ) as next
)
select
    block.partition,
    block.seq,
    block.prev_hash,
    block.hash,
    block.recorded_at_ms,
    block.count,
    block.body
from candidate
-- One look into the index for each: left to itself, Postgres reads and sorts the whole journal.
cross join lateral (
    select *
    from journal.block
    where block.partition = candidate.partition and block.seq = candidate.seq
    limit 1
) as block
where candidate.bytes_before < $5
order by block.partition, block.seq

-- name: positions
-- All of them, and which table they are in: `ledger rebuild` may have put another in its place.
select tableoid::bigint, partition, seq, hash from projected

-- name: move_positions
insert into projected (partition, seq, hash, recorded_at_ms)
select * from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[])
on conflict (partition) do update set
    seq = excluded.seq,
    hash = excluded.hash,
    recorded_at_ms = excluded.recorded_at_ms

-- name: accounts
select account, currency, kind, owner, balance_minor, version
from account
inner join unnest($1::text[], $2::text[]) as touched (account, currency)
    using (account, currency)

-- name: change_accounts
update account set
    balance_minor = changed.balance_minor,
    version = changed.version
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    as changed (account, currency, balance_minor, version)
where account.account = changed.account and account.currency = changed.currency

-- name: bets
select
    bet.bet_id,
    bet.player_id,
    bet.currency,
    bet.stake_minor,
    bet.placed_at_ms,
    bet.state,
    bet.payout_minor,
    bet.result_version,
    bet.settled_at_ms,
    bet.slip,
    bet.most_minor,
    bet.bought_minor,
    bet.cashed_out_minor,
    bet.corrections,
    leg.market_id,
    leg.selection_id,
    leg.odds
from bet
inner join leg on leg.bet_id = bet.bet_id and leg.number = 0
where bet.bet_id = any($1::text[])

-- name: change_bets
update bet set
    state = changed.state,
    payout_minor = changed.payout_minor,
    result_version = changed.result_version,
    settled_at_ms = changed.settled_at_ms,
    corrections = changed.corrections
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[])
    as changed (bet_id, state, payout_minor, result_version, settled_at_ms, corrections)
where bet.bet_id = changed.bet_id

-- name: change_slips
-- What only slips have, and bets of which a part was bought back.
update bet set
    stake_minor = changed.stake_minor,
    slip = changed.slip,
    most_minor = changed.most_minor,
    bought_minor = changed.bought_minor,
    cashed_out_minor = changed.cashed_out_minor
from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    as changed (bet_id, stake_minor, slip, most_minor, bought_minor, cashed_out_minor)
where bet.bet_id = changed.bet_id

-- name: change_legs
update leg set
    outcome = changed.outcome,
    result_version = changed.result_version,
    known = changed.known
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
    as changed (bet_id, market_id, selection_id, outcome, result_version, known)
where
    leg.bet_id = changed.bet_id
    and leg.market_id = changed.market_id
    and leg.selection_id = changed.selection_id

-- name: payments
select
    player_id,
    payment_id,
    direction,
    state,
    amount_minor,
    currency,
    processor,
    method,
    reference,
    code,
    requested_at_ms,
    answered_at_ms
from payment
inner join unnest($1::text[], $2::text[]) as touched (player_id, payment_id)
    using (player_id, payment_id)

-- name: put_payments
insert into payment (
    player_id, payment_id, direction, state, amount_minor, currency,
    processor, method, reference, code, requested_at_ms, answered_at_ms
)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[]
)
on conflict (player_id, payment_id) do update set
    state = excluded.state,
    reference = excluded.reference,
    code = excluded.code,
    answered_at_ms = excluded.answered_at_ms

-- name: referrals
select
    referral_id,
    player_id,
    fixture_id,
    market_id,
    selection_id,
    stake_minor,
    currency,
    odds,
    asked_at_ms,
    state,
    expires_at_ms,
    accepted_stake_minor,
    accepted_odds,
    bet_id,
    slip
from referral
where referral_id = any($1::text[])

-- name: put_referrals
insert into referral (
    referral_id, player_id, fixture_id, market_id, selection_id, stake_minor, currency, odds,
    asked_at_ms, state, expires_at_ms, accepted_stake_minor, accepted_odds, bet_id, slip
)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
    $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[],
    $14::text[], $15::text[]
)
on conflict (referral_id) do update set
    state = excluded.state,
    expires_at_ms = excluded.expires_at_ms,
    accepted_stake_minor = excluded.accepted_stake_minor,
    accepted_odds = excluded.accepted_odds,
    bet_id = excluded.bet_id

-- name: put_customers
insert into customer (player_id, factor, kinds, changed_at_ms, refer_above_minor)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
on conflict (player_id) do update set
    factor = excluded.factor,
    kinds = excluded.kinds,
    changed_at_ms = excluded.changed_at_ms,
    refer_above_minor = excluded.refer_above_minor

-- name: hedges
select
    market_id,
    hedge_id,
    selection_id,
    exchange,
    state,
    stake_minor,
    odds,
    wins_minor,
    reference,
    ordered_at_ms,
    answered_at_ms
from hedge
inner join unnest($1::text[], $2::text[]) as touched (market_id, hedge_id)
    using (market_id, hedge_id)

-- name: put_hedges
insert into hedge (
    market_id, hedge_id, selection_id, exchange, state, stake_minor, odds, wins_minor, reference,
    ordered_at_ms, answered_at_ms
)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::text[], $10::bigint[], $11::bigint[]
)
on conflict (market_id, hedge_id) do update set
    selection_id = excluded.selection_id,
    exchange = excluded.exchange,
    state = excluded.state,
    stake_minor = excluded.stake_minor,
    odds = excluded.odds,
    wins_minor = excluded.wins_minor,
    reference = excluded.reference,
    answered_at_ms = excluded.answered_at_ms

-- name: fixtures
select fixture_id, sport, competition, name, starts_at_ms, phase, score, seq
from fixture
where fixture_id = any($1::text[])

-- name: put_fixtures
insert into fixture (fixture_id, sport, competition, name, starts_at_ms, phase, score, seq)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
    $8::bigint[]
)
on conflict (fixture_id) do update set
    phase = excluded.phase,
    score = excluded.score,
    seq = excluded.seq

-- name: markets
select
    market_id,
    fixture_id,
    opened_seq,
    name,
    kind,
    currency,
    status,
    in_play,
    bet_delay_ms,
    min_stake_minor,
    max_stake_minor,
    max_liability_minor,
    odds_version,
    source_sequence,
    selection_count,
    result_count,
    result_version,
    settled_version,
    terms,
    windows,
    windows_version
from market
where market_id = any($1::text[])

-- name: put_markets
insert into market (
    market_id, fixture_id, opened_seq, name, kind, currency, status, in_play, bet_delay_ms,
    min_stake_minor, max_stake_minor, max_liability_minor,
    odds_version, source_sequence, selection_count, result_count, result_version, settled_version,
    terms, windows, windows_version
)
select *
from unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::boolean[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::bigint[], $15::int[], $16::int[], $17::bigint[], $18::bigint[], $19::text[],
    $20::text[], $21::bigint[]
)
on conflict (market_id) do update set
    status = excluded.status,
    in_play = excluded.in_play,
    bet_delay_ms = excluded.bet_delay_ms,
    min_stake_minor = excluded.min_stake_minor,
    max_stake_minor = excluded.max_stake_minor,
    max_liability_minor = excluded.max_liability_minor,
    odds_version = excluded.odds_version,
    source_sequence = excluded.source_sequence,
    selection_count = excluded.selection_count,
    result_count = excluded.result_count,
    result_version = excluded.result_version,
    settled_version = excluded.settled_version,
    windows = excluded.windows,
    windows_version = excluded.windows_version

-- name: change_selections
-- What is null stays as it is, but what is known of the result of one that was undone first.
update selection set
    odds = coalesce(changed.odds, selection.odds),
    withdrawn = coalesce(changed.withdrawn, selection.withdrawn),
    outcome = case
        when changed.undone then changed.outcome
        else coalesce(changed.outcome, selection.outcome)
    end,
    tied = case
        when changed.undone then changed.tied
        else coalesce(changed.tied, selection.tied)
    end,
    places = case
        when changed.undone then changed.places
        else coalesce(changed.places, selection.places)
    end,
    result_version = coalesce(changed.result_version, selection.result_version),
    place_outcome = case
        when changed.undone then changed.place_outcome
        else coalesce(changed.place_outcome, selection.place_outcome)
    end,
    place_tied = case
        when changed.undone then changed.place_tied
        else coalesce(changed.place_tied, selection.place_tied)
    end,
    place_places = case
        when changed.undone then changed.place_places
        else coalesce(changed.place_places, selection.place_places)
    end,
    starting_odds = case
        when changed.undone then changed.starting_odds
        else coalesce(changed.starting_odds, selection.starting_odds)
    end,
    gone_version = coalesce(changed.gone_version, selection.gone_version),
    gone_odds = coalesce(changed.gone_odds, selection.gone_odds),
    reduction = coalesce(changed.reduction, selection.reduction)
from unnest(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::int[], $7::int[],
    $8::bigint[], $9::text[], $10::int[], $11::int[], $12::bigint[], $13::bigint[], $14::bigint[],
    $15::bigint[], $16::boolean[]
) as changed (
    market_id, selection_id, odds, withdrawn, outcome, tied, places, result_version,
    place_outcome, place_tied, place_places, starting_odds, gone_version, gone_odds, reduction,
    undone
)
where
    selection.market_id = changed.market_id
    and selection.selection_id = changed.selection_id

-- name: add_exposure
-- To the totals, and to what came when: one statement, for each step has to wait for each.
with changed as (
    select *
    from unnest(
        $1::text[], $2::text[], $3::bigint[], $4::bigint[],
        $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]
    ) as changed (
        market_id, selection_id, slot, last_ms, bets, stakes_minor, liability_minor, slips_minor
    )
),

over_time as (
    insert into exposure_change as old (
        market_id, selection_id, slot, last_ms, bets, stakes_minor, liability_minor, slips_minor
    )
    select * from changed
    on conflict (market_id, slot, selection_id) do update set
        last_ms = greatest(old.last_ms, excluded.last_ms),
        bets = old.bets + excluded.bets,
        stakes_minor = old.stakes_minor + excluded.stakes_minor,
        liability_minor = old.liability_minor + excluded.liability_minor,
        slips_minor = old.slips_minor + excluded.slips_minor
)

insert into exposure as old (
    market_id, selection_id, bets, stakes_minor, liability_minor, slips_minor
)
select
    market_id,
    selection_id,
    sum(bets),
    sum(stakes_minor),
    sum(liability_minor),
    sum(slips_minor)
from changed
group by market_id, selection_id
on conflict (market_id, selection_id) do update set
    bets = old.bets + excluded.bets,
    stakes_minor = old.stakes_minor + excluded.stakes_minor,
    liability_minor = old.liability_minor + excluded.liability_minor,
    slips_minor = old.slips_minor + excluded.slips_minor
