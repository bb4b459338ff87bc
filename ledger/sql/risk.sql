-- What the desk and the coordinator of risk read.

-- name: waiting_referrals
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
where state = 'waiting' and expires_at_ms > $1
order by expires_at_ms, referral_id
limit $2

-- name: referral
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
where referral_id = $1

-- name: referrals_of
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
where player_id = $1 and (asked_at_ms, referral_id) < ($2::bigint, $3::text)
order by asked_at_ms desc, referral_id desc
limit $4

-- name: count_waiting
select count(*) from referral where player_id = $1 and state = 'waiting' and expires_at_ms > $2

-- name: names
-- What markets and their selections are called, and the prices of now.
select
    market.market_id,
    selection.selection_id,
    fixture.name as fixture_name,
    market.name as market_name,
    selection.name as selection_name,
    selection.odds
from unnest($1::text[], $2::text[]) as asked (market_id, selection_id)
inner join selection using (market_id, selection_id)
inner join market using (market_id)
inner join fixture using (fixture_id)

-- name: customers
-- Those who were changed since, and are at any rate known; in the order of their ids.
select player_id, factor, kinds, changed_at_ms, refer_above_minor
from customer
where changed_at_ms >= $1 and player_id > $2
order by player_id
limit $3

-- name: alerts
select alert_id, pattern, subject, at_ms, facts
from alert
where
    ($1::text is null or pattern = $1)
    and (at_ms, alert_id) < ($2::bigint, $3::text)
order by at_ms desc, alert_id desc
limit $4

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
where
    ($1::text is null or market_id = $1)
    and (ordered_at_ms, hedge_id) < ($2::bigint, $3::text)
order by ordered_at_ms desc, hedge_id desc
limit $4

-- name: ordered_hedges
-- Markets with a hedge of which it is not known whether it was made.
select distinct market_id from hedge where state = 'ordered' order by market_id limit $1

-- name: markets_at_risk
-- Markets that can be bet on and on which somebody has, or may have, bet.
select market_id from market where status in ('open', 'suspended') order by market_id

-- name: exposed
select distinct market_id from exposure where bets > 0

-- name: registered
select player_id, registered_at_ms from player where player_id = any($1::text[])

-- name: habits
-- Of each player how many bets there were before a moment, of the last so many, and their stakes.
select asked.player_id, count(*) as bets, sum(last.stake_minor)::bigint as stakes_minor
from unnest($1::text[]) as asked (player_id)
cross join lateral (
    select stake_minor + bought_minor as stake_minor
    from bet
    where bet.player_id = asked.player_id and placed_at_ms < $2
    order by placed_at_ms desc, bet_id desc
    limit $3
) as last
group by asked.player_id

-- name: journal_ends
-- Of every partition the last block that was recorded before a moment: what came after it is new.
select
    partition,
    coalesce(
        (
            select seq
            from journal.block
            where block.partition = partition.partition and recorded_at_ms < $1
            order by seq desc
            limit 1
        ),
        $2
    ) as seq
from journal.partition as partition

-- name: new_blocks
-- The next blocks of each partition after those that are known.
select next.partition, next.seq, next.body
from unnest($1::text[], $2::bigint[]) as known (partition, seq)
cross join lateral (
    select block.partition, block.seq, block.body
    from journal.block
    where block.partition = known.partition and block.seq > known.seq
    order by block.seq
    limit $3
) as next
order by next.partition, next.seq
