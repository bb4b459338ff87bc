-- What risk decides about bets and customers, and what it has noticed.

-- Bets that were neither taken nor refused. `waiting` also where the time has run out since.
create table referral (
    referral_id text primary key,
    player_id text not null,
    fixture_id text not null,
    market_id text not null,
    selection_id text not null,
    stake_minor bigint not null,
    currency text not null,
    odds bigint not null,
    asked_at_ms bigint not null,
    state text not null,
    expires_at_ms bigint not null,
    -- The trader's terms, once accepted, and the bet that took them.
    accepted_stake_minor bigint,
    accepted_odds bigint,
    bet_id text
);
create index referral_waiting on referral (expires_at_ms) where state = 'waiting';
create index referral_of_player on referral (player_id, asked_at_ms, referral_id);

-- Customers of whom somebody has said something; in ten-thousandths, and as JSON by kind.
create table customer (
    player_id text primary key,
    factor bigint not null,
    kinds text not null,
    changed_at_ms bigint not null
);
create index customer_by_time on customer (changed_at_ms, player_id);

create table alert (
    alert_id text primary key,
    pattern text not null,
    subject text not null,
    at_ms bigint not null,
    -- As JSON.
    facts text not null
);
create index alert_by_time on alert (at_ms, alert_id);

-- What the house has laid off: ordered, made or lapsed. Of one that was made outside, without an
-- order, the order is what was made.
create table hedge (
    market_id text not null,
    hedge_id text not null,
    selection_id text not null,
    exchange text not null,
    state text not null,
    stake_minor bigint not null,
    odds bigint not null,
    wins_minor bigint not null,
    reference text,
    ordered_at_ms bigint not null,
    answered_at_ms bigint,
    primary key (market_id, hedge_id)
);
create index hedge_ordered on hedge (market_id) where state = 'ordered';
create index hedge_by_time on hedge (ordered_at_ms, hedge_id);

-- Of the liability, that of slips: their room is their own. Of what is there already it is all that
-- open singles do not make, each rounded up.
alter table exposure add column slips_minor bigint not null default 0;
alter table exposure alter column slips_minor drop default;
update exposure set slips_minor = liability_minor - coalesce(
    (
        select sum(div(bet.stake_minor::numeric * (leg.odds - 10000) + 9999, 10000))
        from leg
        inner join bet using (bet_id)
        where
            leg.market_id = exposure.market_id
            and leg.selection_id = exposure.selection_id
            and bet.slip is null
            and bet.state = 'open'
    ),
    0
)
where liability_minor <> 0;
