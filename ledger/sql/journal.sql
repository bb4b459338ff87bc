-- The journal port over Postgres.

-- name: head
select seq, hash from journal.block where partition = $1 order by seq desc limit 1

-- name: prepare_writer
-- Acknowledged is durable, whatever the server's default; and an append whose client has given
-- up does not go on waiting, to get in when nobody expects it any more.
select set_config('synchronous_commit', 'on', false), set_config('statement_timeout', $1, false)

-- name: append
-- A block that is there already, by whomever, is left alone, and its partition is not returned.
insert into journal.block (partition, seq, prev_hash, hash, recorded_at_ms, count, body)
select *
from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::int[], $7::bytea[])
on conflict do nothing
returning partition

-- name: blocks
select partition, seq, prev_hash, hash, recorded_at_ms, count, body
from journal.block
where partition = $1 and seq > $2
order by seq
limit $3

-- name: checkpoint
select seq from journal.checkpoint where partition = $1

-- name: snapshots
select ref, seq, body from journal.snapshot where partition = $1 and ref = any($2::text[])

-- name: save
with kept as (
    insert into journal.snapshot as old (partition, ref, seq, body)
    select $1, ref, seq, body
    from unnest($2::text[], $3::bigint[], $4::bytea[]) as new (ref, seq, body)
    on conflict (partition, ref) do update set seq = excluded.seq, body = excluded.body
    where excluded.seq > old.seq
)
insert into journal.checkpoint as old (partition, seq) values ($1, $5)
on conflict (partition) do update set seq = excluded.seq where excluded.seq > old.seq

-- name: projected_answer
select position.seq, answer.fingerprint, answer.answer
from (
    select coalesce((select seq from ledger.projected where partition = $1), 0) as seq
) as position
left join ledger.answer on answer.partition = $1 and answer.owner = $2 and answer.key = $3

-- name: blocks_that_contain
-- msgpack writes a string as its UTF-8 bytes, so a body without them has no entry of that key.
select seq, body
from journal.block
where partition = $1 and seq > $2 and position(convert_to($3, 'UTF8') in body) > 0
order by seq
limit $4
