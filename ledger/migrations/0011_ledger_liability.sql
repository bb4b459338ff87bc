-- Liability over time: how the totals of `exposure` came to be what they are.

-- What bets have added to a selection's totals, and taken off them, within each ten seconds; what
-- stood at a time is the sum of all up to then.
create table exposure_change (
    market_id text not null,
    -- Times in milliseconds, by ten seconds: `at_ms / 10000`.
    slot bigint not null,
    selection_id text not null,
    -- When the last of it was.
    last_ms bigint not null,
    bets bigint not null,
    stakes_minor bigint not null,
    liability_minor bigint not null,
    slips_minor bigint not null,
    primary key (market_id, slot, selection_id)
)
-- Room to update in place, as in `exposure`.
with (fillfactor = 70);

-- Of what is there already it is not known by when it came: its series begin with it as it is, at
-- the last block that made it. `ledger rebuild` makes them whole.
insert into exposure_change
select
    exposure.market_id,
    now.last_ms / 10000,
    exposure.selection_id,
    now.last_ms,
    exposure.bets,
    exposure.stakes_minor,
    exposure.liability_minor,
    exposure.slips_minor
from exposure
cross join (select max(recorded_at_ms) as last_ms from projected) as now
where exposure.bets <> 0 or exposure.liability_minor <> 0;
