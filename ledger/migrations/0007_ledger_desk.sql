-- What the trader's desk reads of the audit, and why something was done.

alter table audit add column why text not null default '';
alter table audit alter column why drop default;

-- What happened to fixtures, markets, members of the staff and stops. Bets, which are most of the
-- audit, are owned by wallets and are not in it.
create index audit_by_owner on audit (owner, at_ms, partition, seq, number)
where owner >= 'fixture/' and owner < 'stop0';

-- What staff did, whatever it was about.
create index audit_by_staff on audit (at_ms, partition, seq, number)
where by >= 'staff' and by < 'stafg';

-- The markets that can be suspended, or have been: a few among all that there ever were.
create index market_unsettled_status on market (fixture_id, market_id)
where status in ('open', 'suspended', 'closed');
