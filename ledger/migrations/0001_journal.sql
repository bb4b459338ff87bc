-- The journal: blocks, which are the truth, and the snapshots that spare reading all of them.

-- The one row says whose database this is, and into how many partitions its actors are cut.
-- Neither ever changes: which actor is in which partition depends on the count.
create table scope (
    one boolean primary key default true check (one),
    name text not null,
    partitions integer not null check (partitions > 0)
);

create view partition as
select
    scope.name || '-' || lpad(number::text, greatest(2, length(number::text)), '0') as partition
from scope, generate_series(0, scope.partitions - 1) as number;

-- The primary key is the fence: of two owners that write the same block, one is told so.
create table block (
    partition text not null,
    seq bigint not null check (seq > 0),
    prev_hash bytea not null check (length(prev_hash) = 32),
    hash bytea not null check (length(hash) = 32),
    recorded_at_ms bigint not null,
    count integer not null,
    body bytea not null,
    primary key (partition, seq)
);
-- A flush waits for its body to be stored. Uncompressed, a block of 1,000 bets takes 1.7 ms to
-- commit; with Postgres's own compression it takes 4.6 ms.
alter table block alter column body set storage external;

-- Against mistakes: whoever means harm can drop the trigger, and is found by the chain.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the journal is only ever added to';
end $$;
create trigger append_only before update or delete or truncate on block
for each statement execute function refuse_change();

create table snapshot (
    partition text not null,
    ref text not null,
    seq bigint not null,
    body bytea not null,
    primary key (partition, ref)
);

create table checkpoint (
    partition text primary key,
    seq bigint not null
);
