-- Making a scope's database, and saying whose it is.

-- name: database_exists
select exists (select from pg_database where datname = $1)

-- name: create_database
select format('create database %I template template0 encoding ''UTF8'' locale ''C''', $1::text)

-- name: claim_scope
insert into journal.scope (name, partitions) values ($1, $2) on conflict do nothing

-- name: scope
select name, partitions from journal.scope
