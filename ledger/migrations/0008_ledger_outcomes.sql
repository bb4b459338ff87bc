-- Bets that are void by when they were accepted, and results that are taken back.

alter table market
-- As JSON: the times in which accepted bets are void. Null where there are none.
add column windows text,
-- The version of the result in which they last changed; 0 before.
add column windows_version bigint not null default 0;
alter table market alter column windows_version drop default;
