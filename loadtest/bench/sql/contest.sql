-- What the bench asks the platform's Postgres itself.

-- name: durability_off
-- Which of the settings that make an acknowledged commit durable is off.
select string_agg(name, ', ')
from pg_settings
where name in ('fsync', 'synchronous_commit', 'full_page_writes') and setting <> 'on'

-- name: drop_peers
drop database if exists bench_peer with (force)

-- name: create_peers
create database bench_peer

-- name: behind
-- Whether any partition has a block that is not projected yet.
select exists (
    select from journal.partition as each
    join lateral (
        select seq from journal.block where partition = each.partition order by seq desc limit 1
    ) as head on true
    left join ledger.projected as done on done.partition = each.partition
    where head.seq > coalesce(done.seq, 0)
)

-- name: bets_in_ledger
select count(*) from ledger.bet

-- name: bets_of_peers
select count(*) from bet
