-- What a rebuild asks. Schemas have names only known here: format() makes the statements.

-- name: claim
-- Kept by this connection until it is given back.
select pg_try_advisory_lock(hashtext('ledger rebuild'))

-- name: give_back
select pg_advisory_unlock(hashtext('ledger rebuild'))

-- name: hold_projector
-- The lock that every step of the projector of `ledger` takes, until the end of the transaction.
select pg_advisory_xact_lock(hashtext('projector of ledger'))

-- name: positions
-- Of every partition: one that the ledger has nothing of yet has a ceiling too, which is 0.
select partition, coalesce(projected.seq, 0)
from journal.partition
left join ledger.projected using (partition)

-- name: drop_copy
-- What is left of the copy, or of the tables that it has replaced.
drop schema if exists ledger_rebuild, ledger_replaced cascade

-- name: create_copy
create schema ledger_rebuild

-- name: tables
select table_name::text
from information_schema.tables
where table_schema = 'ledger_rebuild' and table_type = 'BASE TABLE'
order by 1

-- name: is_missing
select to_regclass(format('ledger.%I', $1::text)) is null

-- name: analyse_copy
select format('analyze ledger_rebuild.%I', table_name)
from information_schema.tables
where table_schema = 'ledger_rebuild' and table_type = 'BASE TABLE'

-- name: digest_of
-- Rows have primary keys, so a table is a set: the sum of 128 bits of hash for each row, in
-- whatever order, says whether two are the same.
select format(
    'select count(*), coalesce(sum(hashtextextended(line, 0)), 0)::text || '' '' '
    '|| coalesce(sum(hashtextextended(line, 1)), 0)::text '
    'from (select stored::text as line from %I.%I as stored) as lines',
    $1::text,
    $2::text
)

-- name: differences_of
-- In the order of the rows' text, so that a row and what it should be stand together.
select format(
    'select line, what from ('
    '(select stored::text as line, ''only in the ledger'' as what from ledger.%1$I as stored '
    'except select stored::text, ''only in the ledger'' from ledger_rebuild.%1$I as stored) '
    'union all '
    '(select stored::text, ''only in the journal'' from ledger_rebuild.%1$I as stored '
    'except select stored::text, ''only in the journal'' from ledger.%1$I as stored)'
    ') as differences order by line, what',
    $1::text
)

-- name: swap
-- Only names change, which waits for nobody: who is reading the old tables reads on.
alter schema ledger rename to ledger_replaced;
alter schema ledger_rebuild rename to ledger;
