-- What the gateway and the coordinators read. Each has an index in the migrations.

-- name: head
select coalesce(max(seq), 0) from journal.block where partition = $1

-- name: position
select coalesce(max(seq), 0) from projected where partition = $1

-- name: heads
select
    partition,
    coalesce((select max(seq) from journal.block where block.partition = known.partition), 0)
from journal.partition as known

-- name: positions
select partition, coalesce(projected.seq, 0)
from journal.partition
left join projected using (partition)

-- name: block_body
select body from journal.block where partition = $1 and seq = $2

-- name: lag
-- The one place that looks at a clock: Postgres's, against the time that the block's shard wrote.
select
    coalesce(sum(head - position), 0)::bigint,
    coalesce(
        greatest(0, extract(epoch from clock_timestamp()) * 1000 - min(waiting_since_ms)), 0
    )::bigint
from (
    select
        coalesce(projected.seq, 0) as position,
        coalesce((select max(seq) from journal.block where partition = known.partition), 0)
            as head,
        (
            select recorded_at_ms
            from journal.block
            where partition = known.partition and seq > coalesce(projected.seq, 0)
            order by seq
            limit 1
        ) as waiting_since_ms
    from journal.partition as known
    left join projected using (partition)
) as partitions

-- name: bets
-- Of the index's two halves, open and not, the ones that are asked for are run: one, or both.
with page as (
    (
        select bet_id, placed_at_ms
        from bet
        where
            coalesce($5::text, 'open') = 'open'
            and case when state = 'open' then 1 else 0 end = 1
            and player_id = $1
            and (placed_at_ms, bet_id) < ($2::bigint, $3::text)
        order by placed_at_ms desc, bet_id desc
        limit $4
    )
    union all
    (
        select bet_id, placed_at_ms
        from bet
        where
            $5::text is distinct from 'open'
            and case when state = 'open' then 1 else 0 end = 0
            and ($5::text is null or (state = 'cashed_out') = ($5::text = 'cashed_out'))
            and player_id = $1
            and (placed_at_ms, bet_id) < ($2::bigint, $3::text)
        order by placed_at_ms desc, bet_id desc
        limit $4
    )
    order by placed_at_ms desc, bet_id desc
    limit $4
)
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
    (select json_agg(leg order by leg.number)::text from leg where leg.bet_id = bet.bet_id)
from page
inner join bet using (bet_id)
order by bet.placed_at_ms desc, bet.bet_id desc

-- name: bet
select
    bet_id,
    player_id,
    currency,
    stake_minor,
    placed_at_ms,
    state,
    payout_minor,
    result_version,
    settled_at_ms,
    slip,
    most_minor,
    bought_minor,
    cashed_out_minor,
    corrections,
    (select json_agg(leg order by leg.number)::text from leg where leg.bet_id = bet.bet_id)
from bet
where player_id = $1 and bet_id = $2

-- name: statement
-- What was taken from the cash and what was given to it, each from an index of its own.
select
    version,
    partition || '.' || seq || '.' || number,
    at_ms,
    kind,
    change_minor,
    balance_after_minor,
    reference,
    currency
from (
    (
        select
            *,
            debit_version as version,
            -amount_minor as change_minor,
            debit_after_minor as balance_after_minor
        from transfer
        where
            debit >= 'cash/'
            and debit < 'cash0'
            and debit = 'cash/' || $1::text
            and debit_version < $2
        order by debit_version desc
        limit $3
    )
    union all
    (
        select
            *,
            credit_version as version,
            amount_minor as change_minor,
            credit_after_minor as balance_after_minor
        from transfer
        where
            credit >= 'cash/'
            and credit < 'cash0'
            and credit = 'cash/' || $1::text
            and credit_version < $2
        order by credit_version desc
        limit $3
    )
) as posting
order by version desc
limit $3

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
where player_id = $1 and (requested_at_ms, payment_id) < ($2::bigint, $3::text)
order by requested_at_ms desc, payment_id desc
limit $4

-- name: stuck_payments
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
where
    state = 'pending'
    and requested_at_ms < $1
    and (requested_at_ms, payment_id) > ($2::bigint, $3::text)
order by requested_at_ms, payment_id
limit $4

-- name: bets_to_settle
-- The page is cut from the index of legs, and then each bet is looked up in its own.
select
    page.selection_id,
    page.bet_id,
    bet.player_id,
    case when bet.of_lines then page.result_version else bet.result_version end as result_version,
    bet.of_lines
from (
    select selection_id, bet_id, result_version
    from leg
    where
        market_id = $1
        and selection_id between $2 and $3
        and (selection_id, bet_id) > ($4, $5)
    order by selection_id, bet_id
    limit $6
) as page
cross join lateral (
    select player_id, result_version, slip is not null as of_lines
    from bet
    where bet.bet_id = page.bet_id
    limit 1
) as bet
order by page.selection_id, page.bet_id

-- name: liabilities
-- One statement, so that totals and positions are those of one moment.
select
    (select json_object_agg(partition, seq) from projected)::text as positions,
    (
        select
            json_agg(
                json_build_array(
                    market_id, selection_id, bets, stakes_minor, liability_minor, slips_minor
                )
            )
        from exposure
        where market_id = any($1::text[])
    )::text as lines

-- name: fixtures
select
    fixture_id,
    sport,
    competition,
    name,
    starts_at_ms,
    phase,
    score,
    seq,
    (
        select coalesce(json_agg(listed order by listed.opened_seq), '[]')::text
        from (
            select
                market.*,
                (
                    select
                        coalesce(
                            json_agg(
                                json_build_object(
                                    'selection_id', selection_id,
                                    'name', selection.name,
                                    'odds', odds,
                                    'withdrawn', withdrawn,
                                    'result',
                                    case
                                        when outcome is not null
                                            then json_build_array(outcome, tied, places)
                                    end,
                                    'place',
                                    case
                                        when place_outcome is not null
                                            then
                                                json_build_array(
                                                    place_outcome, place_tied, place_places
                                                )
                                    end,
                                    'starting_odds', starting_odds
                                )
                                order by number
                            ),
                            '[]'
                        )
                    from selection
                    where selection.market_id = market.market_id
                ) as selections
            from market
            where market.fixture_id = fixture.fixture_id
        ) as listed
    ) as markets
from fixture
where
    ($1::text is null or sport = $1)
    and ($2::text is null or phase = $2)
    and (starts_at_ms, fixture_id) > ($3::bigint, $4::text)
order by starts_at_ms, fixture_id
limit $5

-- name: sports
select sport, count(*)
from fixture
where phase in ('scheduled', 'in_play')
group by sport
order by sport

-- name: unsettled
select
    market.fixture_id,
    market.market_id,
    market.result_version,
    selection.selection_id,
    selection.outcome,
    selection.tied,
    selection.places,
    -- Of a cancelled market every bet is void, that on who did not run ante-post, too.
    selection.withdrawn and market.status <> 'cancelled' as withdrawn,
    greatest(selection.result_version, market.windows_version) as version,
    selection.place_outcome,
    selection.place_tied,
    selection.place_places,
    coalesce(selection.starting_odds, 0) as starting_odds,
    market.terms,
    market.windows,
    case
        when market.terms is not null
            then (
                select json_agg(json_build_array(gone_version, gone_odds, reduction))::text
                from selection as withdrawn
                where withdrawn.market_id = market.market_id and gone_version is not null
            )
    end as gone
from market
left join selection
    on
        selection.market_id = market.market_id
        and greatest(selection.result_version, market.windows_version) > market.settled_version
where market.settled_version < market.result_version
order by market.market_id, selection.number

-- name: price_series
-- One selection's price over a stretch of time, which is cut into $5 equal parts: the price that
-- stood at its beginning, then the last one of every part. Without $3 it begins with the first.
-- Where there are no more than $5 of them, all are told, however close they are.
with stretch as (
    select
        coalesce(
            $3::bigint,
            (
                select min(at_ms) - 1
                from price_change
                where market_id = $1 and selection_id = $2
            )
        ) as begins_ms,
        $4::bigint as ends_ms
),

counted as (
    select
        at_ms,
        odds,
        odds_version,
        begins_ms,
        ends_ms,
        count(*) filter (where at_ms > begins_ms) over () as inside
    from price_change
    cross join stretch
    where market_id = $1 and selection_id = $2 and at_ms <= ends_ms
),

changes as (
    select
        at_ms,
        odds,
        odds_version,
        case
            when at_ms <= begins_ms then -1
            when inside <= $5::bigint then odds_version
            else (at_ms - begins_ms - 1) * $5::bigint / greatest(ends_ms - begins_ms, 1)
        end as part
    from counted
)

select distinct on (part) at_ms, odds
from changes
order by part, odds_version desc
