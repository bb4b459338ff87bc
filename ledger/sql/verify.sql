-- What the verifier asks. Each fault of the books comes as one line of text, all are counted.

-- name: claim
-- Any number may verify at once, but not while a rebuild changes the tables under their names.
select pg_try_advisory_lock_shared(hashtext('ledger rebuild'))

-- name: give_back
select pg_advisory_unlock_shared(hashtext('ledger rebuild'))

-- name: scope
select name from journal.scope

-- name: counts
-- How much there is to look at in the checks below.
select
    (select count(*) from account) as accounts,
    (select 2 * count(*) from transfer) as postings,
    (select count(distinct currency) from account) as currencies

-- name: partitions
-- Those of the scope, and any other that somebody wrote blocks of.
with recursive written as (
    (select partition from journal.block order by partition limit 1)
    union all
    select (
        select block.partition
        from journal.block
        where block.partition > written.partition
        order by block.partition
        limit 1
    )
    from written
    where written.partition is not null
)
select
    partition,
    known.partition is not null as known,
    coalesce(projected.seq, 0) as seq,
    projected.hash
from journal.partition as known
full join (select partition from written where partition is not null) as written using (partition)
left join projected using (partition)
order by partition

-- name: blocks
select partition, seq, prev_hash, hash, recorded_at_ms, count, body
from journal.block
where partition = $1
order by seq

-- name: stray_positions
select projected.partition || ' is projected, and is no partition of this scope'
from projected
left join journal.partition using (partition)
where partition.partition is null

-- name: unbalanced_currencies
select currency || ': all balances together are ' || sum(balance_minor) || ' instead of 0'
from account
group by currency
having sum(balance_minor) <> 0

-- name: balances_without_postings
select
    account || ' ' || currency || ': balance ' || balance_minor || ' at version ' || version
    || ', and its ' || coalesce(count, 0) || ' postings make ' || coalesce(sum, 0)
from account
full join (
    select account, currency, sum(amount_minor) as sum, count(*) as count
    from posting
    group by account, currency
) as posted using (account, currency)
where (balance_minor, version) is distinct from (sum, count)

-- name: broken_postings
select
    account || ' ' || currency || ' version ' || version || ': '
    || balance_before_minor || ' + ' || amount_minor || ' = ' || balance_after_minor
    || ' after version ' || version_before || ' left ' || balance_left
from (
    select
        *,
        lag(version, 1, 0::bigint) over followed as version_before,
        lag(balance_after_minor, 1, 0::bigint) over followed as balance_left
    from posting
    window followed as (partition by account, currency order by version)
) as chain
where
    version <> version_before + 1
    or balance_before_minor <> balance_left
    or balance_after_minor <> balance_before_minor + amount_minor

-- name: accounts_out_of_bounds
select account || ' is at ' || balance_minor || ' ' || currency
from account
where
    (balance_minor < 0 and kind in ('cash', 'held', 'withdrawing'))
    or (balance_minor > 0 and kind = 'debt')

-- name: exposure_without_changes
-- All that bets have added and taken off over time makes the totals of now.
select market_id || ' ' || selection_id || ': its changes over time do not make its totals'
from exposure
full join (
    select
        market_id,
        selection_id,
        sum(bets) as bets,
        sum(stakes_minor) as stakes_minor,
        sum(liability_minor) as liability_minor,
        sum(slips_minor) as slips_minor
    from exposure_change
    group by market_id, selection_id
) as made using (market_id, selection_id)
where
    coalesce(exposure.bets, 0) <> coalesce(made.bets, 0)
    or coalesce(exposure.stakes_minor, 0) <> coalesce(made.stakes_minor, 0)
    or coalesce(exposure.liability_minor, 0) <> coalesce(made.liability_minor, 0)
    or coalesce(exposure.slips_minor, 0) <> coalesce(made.slips_minor, 0)

-- name: written
-- What was written of each partition, to be held against what its entries make. A sum of amounts
-- stays numeric: there may be more in it than a bigint holds.
select
    partition,
    coalesce(transfers, 0) as transfers,
    coalesce(moved_minor, 0) as moved_minor,
    coalesce(entries, 0) as entries,
    coalesce(answers, 0) as answers
from (
    select partition, count(*) as transfers, sum(amount_minor) as moved_minor
    from transfer
    group by partition
) as moved
full join (select partition, count(*) as entries from audit group by partition) as audited
    using (partition)
full join (select partition, count(*) as answers from answer group by partition) as answered
    using (partition)

-- name: transfers
-- Of the blocks after one and up to another.
select seq, number, entry, at_ms, kind, reference, debit, credit, amount_minor, currency,
    debit_version, debit_after_minor, credit_version, credit_after_minor
from transfer
where partition = $1 and seq > $2 and seq <= $3
order by seq, number

-- name: audit
select seq, number, owner, by, at_ms, events, why
from audit
where seq = any($1::bigint[]) and partition = $2
order by seq, number

-- name: answers
select owner, key, fingerprint, answer
from answer
where owner = any($1::text[]) and partition = $2
order by owner, key

-- name: price_changes
select market_id, odds_version, selection_id, odds, at_ms
from price_change
where market_id = any($1::text[])
order by market_id, odds_version, selection_id

-- name: wallets
-- A wallet that no money has ever reached has no account.
select
    player_id,
    coalesce(sum(balance_minor) filter (where kind = 'cash'), 0) as cash_minor,
    coalesce(sum(balance_minor) filter (where kind = 'held'), 0) as held_minor,
    coalesce(sum(balance_minor) filter (where kind = 'withdrawing'), 0) as withdrawing_minor,
    coalesce(-sum(balance_minor) filter (where kind = 'debt'), 0) as debt_minor
from unnest($1::text[]) as player_id
left join account
    on account.account in (
        'cash/' || player_id, 'held/' || player_id, 'withdrawing/' || player_id, 'debt/' || player_id
    )
group by player_id

-- name: bets
select bet_id, player_id, currency, stake_minor, placed_at_ms, state, payout_minor,
    result_version, coalesce(settled_at_ms, 0) as settled_at_ms, slip, most_minor, bought_minor,
    cashed_out_minor, corrections
from bet
where bet_id = any($1::text[])

-- name: legs
select bet_id, fixture_id, market_id, selection_id, odds, odds_version, fixture_name, market_name,
    selection_name, in_play, outcome, result_version, known
from leg
where bet_id = any($1::text[])
order by bet_id, number

-- name: players
select player_id, licence, name, email, birth_date::text as birth_date, registered_at_ms
from player
where player_id = any($1::text[])

-- name: pending_payments
select player_id, payment_id, direction, amount_minor, processor, method, requested_at_ms
from payment
where player_id = any($1::text[]) and state = 'pending'
order by player_id, payment_id

-- name: fixtures
select fixture_id, sport, competition, name, starts_at_ms, phase, score, seq
from fixture
where fixture_id = any($1::text[])

-- name: markets
select market_id, fixture_id, name, kind, currency, status, in_play, bet_delay_ms,
    min_stake_minor, max_stake_minor, max_liability_minor, odds_version, source_sequence,
    result_version, settled_version, terms, windows, windows_version
from market
where market_id = any($1::text[])

-- name: selections
select market_id, selection_id, name, odds, withdrawn, outcome, tied, places, place_outcome,
    place_tied, place_places, starting_odds, gone_version, gone_odds, reduction
from selection
where market_id = any($1::text[])
order by market_id, number

-- name: referrals
select referral_id, player_id, fixture_id, market_id, selection_id, stake_minor, currency, odds,
    asked_at_ms, state, expires_at_ms, accepted_stake_minor, accepted_odds, bet_id, slip
from referral
where referral_id = any($1::text[])

-- name: customers
select player_id, factor, kinds, changed_at_ms, refer_above_minor
from customer
where player_id = any($1::text[])

-- name: alerts
select alert_id, pattern, subject, at_ms, facts
from alert
where alert_id = any($1::text[])

-- name: hedges
-- The order of the ids is that of their bytes, as Python has it.
select market_id, hedge_id, selection_id, exchange, state, stake_minor
from hedge
where market_id = any($1::text[]) and state <> 'lapsed'
order by market_id, hedge_id collate "C"

-- name: exposure
select market_id, selection_id, bets, stakes_minor, liability_minor, slips_minor from exposure

-- name: totals
-- Rows that no actor of the journal has would not be asked for by any of the above.
select
    (select count(*) from transfer) as transfers,
    (select count(*) from audit) as audit,
    (select count(*) from answer) as answers,
    (select count(*) from price_change) as price_changes,
    (select count(*) from bet) as bets,
    (select count(*) from leg) as legs,
    (select count(*) from player) as players,
    (select count(*) from payment where state = 'pending') as pending_payments,
    (select count(*) from fixture) as fixtures,
    (select count(*) from market) as markets,
    (select count(*) from selection) as selections,
    (select count(*) from referral) as referrals,
    (select count(*) from customer) as customers,
    (select count(*) from alert) as alerts,
    (select count(*) from hedge where state <> 'lapsed') as hedges
