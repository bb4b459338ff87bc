-- What the migration runner asks. Everything happens in one transaction.

-- name: wait_for_other_starters
select pg_advisory_xact_lock(hashtext('grandstand migrations'))

-- name: create_schemas
create schema if not exists journal;
create schema if not exists ledger;
create table if not exists journal.migration (
    number integer primary key,
    name text not null,
    checksum bytea not null,
    applied_at timestamptz not null default now()
);

-- name: applied
select number, name, checksum from journal.migration order by number

-- name: record
insert into journal.migration (number, name, checksum) values ($1, $2, $3)

-- name: set_schema
select set_config('search_path', $1, true)
