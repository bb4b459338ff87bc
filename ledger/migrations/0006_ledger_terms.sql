-- What a market offers beside a win at the price shown, and what its bets then came to.

-- As JSON: fixed when it is opened. Null where there is nothing of the kind.
alter table market add column terms text;

alter table selection
-- How the place part came out, where the market has one.
add column place_outcome text,
add column place_tied integer,
add column place_places integer,
-- Null until it is known.
add column starting_odds bigint,
-- Of a withdrawn one, where that takes something off the others: the first version of prices that
-- knows of it, its price before, and its reduction factor in ten-thousandths.
add column gone_version bigint,
add column gone_odds bigint,
add column reduction bigint;

-- What is known of a leg, as JSON: of a slip's once it is settled, of a single where a withdrawal
-- takes something off its price.
alter table leg add column known text;
