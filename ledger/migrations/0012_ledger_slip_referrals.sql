-- Slips that wait for a trader, and customers whose bets go to one.

-- The slip as JSON; null for a single.
alter table referral add column slip text;

-- The customer's stakes above it are referred; 0: only those that everybody's would be.
alter table customer add column refer_above_minor bigint not null default 0;
alter table customer alter column refer_above_minor drop default;
