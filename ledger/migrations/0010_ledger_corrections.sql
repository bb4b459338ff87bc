-- How often a bet was settled anew because a result was corrected.

alter table bet add column corrections integer not null default 0;

-- Of singles the reversals of before are known: each has put the stake back among those held.
update bet
set corrections = reversed.times
from (
    select reference, count(*) as times
    from transfer
    where kind = 'reversal' and credit like 'held/%'
    group by reference
) as reversed
where bet.bet_id = reversed.reference and bet.slip is null;

alter table bet alter column corrections drop default;
