-- Bets of several lines, and bets that were bought back.

alter table bet
-- Of a bet of several lines: what is left of it, as JSON. Null of a single.
add column slip text,
-- What it can still pay at most, with what it has paid; 0 of a single, whose odds say it.
add column most_minor bigint not null default 0,
-- Of the stake, bought back, and all that was paid for that; `stake_minor` is the rest.
add column bought_minor bigint not null default 0,
add column cashed_out_minor bigint not null default 0;
alter table bet
alter column most_minor drop default,
alter column bought_minor drop default,
alter column cashed_out_minor drop default;

-- A slip's legs are settled one by one: how, and by which version of their market's result; 0
-- before. Of a single its bet says both.
alter table leg
add column outcome text,
add column result_version bigint not null default 0;
alter table leg alter column result_version drop default;
