-- What the trader's desk reads. Those of the audit repeat the bounds of its partial indexes, so
-- that Postgres sees that it may use them.

-- name: board
-- Fixtures by what the desk filters by, soonest first. Without a phase, those not over.
select starts_at_ms, fixture_id
from fixture
where
    ($1::text is null or sport = $1)
    and case when $2::text is null then phase in ('scheduled', 'in_play') else phase = $2 end
    and (
        $3::text is null
        or strpos(lower(name || ' ' || competition || ' ' || fixture_id), lower($3)) > 0
    )
    and (
        $4::text is null
        or exists (
            select from market where market.fixture_id = fixture.fixture_id and status = $4
        )
    )
    and (starts_at_ms, fixture_id) > ($5::bigint, $6::text)
order by starts_at_ms, fixture_id
limit $7

-- name: tradable
-- The markets that can be suspended, of one fixture or of all: while the event is on also those
-- closed, which may be opened again. With $2 also those with a result, which may be taken back:
-- they may have been suspended before.
select fixture_id, market_id
from market
inner join fixture using (fixture_id)
where
    (
        status in ('open', 'suspended')
        or (phase in ('scheduled', 'in_play') and ($2::boolean or status = 'closed'))
    )
    and ($1::text is null or fixture_id = $1)
order by fixture_id, market_id

-- name: sources
-- Who has priced each market last; not the house itself, as liability builds.
select asked.market_id, priced.by
from unnest($1::text[]) as asked (market_id)
cross join lateral (
    select by
    from audit
    where
        owner >= 'fixture/'
        and owner < 'stop0'
        and owner = 'market/' || asked.market_id
        and 'PricesChanged' = any(events)
        and by <> 'risk'
    order by at_ms desc, partition desc, seq desc, number desc
    limit 1
) as priced

-- name: held_by
-- Markets in which one of the staff has ever held a price by hand, and may do so still.
select distinct owner
from audit
where by >= 'staff' and by < 'stafg' and by = $1 and 'PricesHeld' = any(events)

-- name: price_history
select odds_version, selection_id, odds, at_ms
from price_change
where market_id = $1 and (odds_version, selection_id) < ($2::bigint, $3::text)
order by odds_version desc, selection_id desc
limit $4

-- name: liability_series
-- What has changed in the totals of a market's selections, in at most $2 equal parts of the time in
-- which there were changes: of each part the sum, and when the last change was.
with span as (
    select min(slot) as first, (max(slot) - min(slot)) / $2::bigint + 1 as slots
    from exposure_change
    where market_id = $1
)

select
    (slot - first) / slots as part,
    selection_id,
    max(last_ms) as last_ms,
    sum(stakes_minor)::bigint as stakes_minor,
    sum(liability_minor)::bigint as liability_minor
from exposure_change
cross join span
where market_id = $1
group by part, selection_id
order by part, selection_id

-- name: hedges_made
-- What was laid off of a market, in the order in which it was.
select answered_at_ms, selection_id, stake_minor, odds, wins_minor, exchange, reference
from hedge
where market_id = $1 and state = 'made'
order by answered_at_ms, hedge_id
limit $2

-- name: audit_of
-- What happened to some actors, and to the markets whose ids begin like that.
select partition, seq, number, owner, by, why, at_ms, events
from audit
where
    owner >= 'fixture/'
    and owner < 'stop0'
    and (owner = any($1::text[]) or (owner >= $2 and owner < $3))
    and (not $4::boolean or (by >= 'staff' and by < 'stafg'))
    and (at_ms, partition, seq, number) < ($5::bigint, $6::text, $7::bigint, $8::integer)
order by at_ms desc, partition desc, seq desc, number desc
limit $9

-- name: audit_of_staff
select partition, seq, number, owner, by, why, at_ms, events
from audit
where
    by >= 'staff'
    and by < 'stafg'
    and (at_ms, partition, seq, number) < ($1::bigint, $2::text, $3::bigint, $4::integer)
order by at_ms desc, partition desc, seq desc, number desc
limit $5

-- name: members
select distinct owner
from audit
where owner >= 'fixture/' and owner < 'stop0' and owner >= 'staff/' and owner < 'staff0'
order by owner
limit $1

-- name: standing_stops
-- Those that have not been lifted, newest first.
select ordered.at_ms, ordered.owner, ordered.by, ordered.why
from audit as ordered
where
    ordered.owner >= 'fixture/'
    and ordered.owner < 'stop0'
    and ordered.owner >= 'stop/'
    and 'StopOrdered' = any(ordered.events)
    and (ordered.at_ms, ordered.owner) < ($1::bigint, $2::text)
    and not exists (
        select
        from audit as lifted
        where
            lifted.owner >= 'fixture/'
            and lifted.owner < 'stop0'
            and lifted.owner = ordered.owner
            and 'StopLifted' = any(lifted.events)
    )
order by ordered.at_ms desc, ordered.owner desc
limit $3

-- name: totals_on
-- Of every selection of a market: bets, stakes and what they have been paid, by whether they are
-- of several lines. `legs_known` moves with each leg, on any market, that such a bet learns of.
select
    leg.selection_id,
    bet.slip is not null as of_lines,
    count(*) as bets,
    sum(bet.stake_minor)::bigint as stakes_minor,
    sum(case when bet.state = 'open' and bet.slip is null then 0 else bet.payout_minor end)::bigint
        as paid_minor,
    coalesce(
        sum((select sum(own.result_version) from leg as own where own.bet_id = bet.bet_id))
            filter (where bet.slip is not null),
        0
    )::bigint as legs_known
from leg
inner join bet using (bet_id)
where leg.market_id = $1 and bet.state <> 'cashed_out'
group by leg.selection_id, bet.slip is not null
order by leg.selection_id, of_lines

-- name: singles_on
-- Bets that are alike pay alike: each kind once, with how many there are. From $3 to $4 are the
-- times in which accepted bets are void; null is no bound.
select
    leg.selection_id, leg.odds, leg.odds_version, bet.stake_minor, voided.voided, count(*) as bets
from leg
inner join bet using (bet_id)
cross join lateral (
    select exists (
        select
        from unnest($3::bigint[], $4::bigint[]) as voided (from_ms, until_ms)
        where
            bet.placed_at_ms >= coalesce(from_ms, bet.placed_at_ms)
            and bet.placed_at_ms <= coalesce(until_ms, bet.placed_at_ms)
    ) as voided
) as voided
where leg.market_id = $1 and bet.slip is null and bet.state <> 'cashed_out'
group by leg.selection_id, leg.odds, leg.odds_version, bet.stake_minor, voided.voided
limit $2

-- name: slips_on
-- With how many there are in all. A bet may have several legs on the market.
select bet.player_id, bet.bet_id, count(*) over () as slips
from leg
inner join bet using (bet_id)
where leg.market_id = $1 and bet.slip is not null and bet.state <> 'cashed_out'
group by bet.player_id, bet.bet_id
order by bet.bet_id
limit $2
