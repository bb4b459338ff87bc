-- The peers' tables: a bet as most platforms of today keep it, one row of each thing.

drop schema public cascade;
create schema public;

create table wallet (
    wallet_id text primary key,
    cash_minor bigint not null check (cash_minor >= 0),
    held_minor bigint not null default 0
)
-- Room to update in place.
with (fillfactor = 50);

create table selection (
    market_id text not null,
    selection_id text not null,
    status text not null default 'open',
    odds bigint not null,
    stakes_minor bigint not null default 0,
    liability_minor bigint not null default 0,
    max_liability_minor bigint not null,
    primary key (market_id, selection_id)
)
with (fillfactor = 20);

create table bet (
    bet_id uuid primary key,
    wallet_id text not null,
    key text not null,
    market_id text not null,
    selection_id text not null,
    stake_minor bigint not null,
    odds bigint not null,
    state text not null default 'open',
    cash_after_minor bigint not null,
    placed_at timestamptz not null default now(),
    unique (wallet_id, key)
);

create table transfer (
    bet_id uuid not null,
    number integer not null,
    debit text not null,
    credit text not null,
    amount_minor bigint not null check (amount_minor > 0),
    at timestamptz not null default now(),
    primary key (bet_id, number)
);

-- The whole bet in one call. The market's row, which is the one that may be hot, is locked last.
-- Whatever is refused after something was written is raised, and so undone.
create function place_bet(
    the_bet uuid, the_wallet text, the_key text, the_market text, the_selection text,
    stake bigint, wanted_odds bigint, out placed_bet uuid, out cash_after bigint, out refused text
) language plpgsql as $$
begin
    update wallet set cash_minor = cash_minor - stake, held_minor = held_minor + stake
    where wallet_id = the_wallet and cash_minor >= stake
    returning cash_minor into cash_after;
    if not found then
        -- A repetition by somebody who has no money left is still a repetition.
        select bet_id, cash_after_minor into placed_bet, cash_after
        from bet where wallet_id = the_wallet and key = the_key;
        if not found then refused := 'insufficient_funds'; end if;
        return;
    end if;
    insert into bet (
        bet_id, wallet_id, key, market_id, selection_id, stake_minor, odds, cash_after_minor
    )
    values (
        the_bet, the_wallet, the_key, the_market, the_selection, stake, wanted_odds, cash_after
    )
    on conflict (wallet_id, key) do nothing;
    if not found then raise exception using message = 'repeated'; end if;
    insert into transfer (bet_id, number, debit, credit, amount_minor)
    values (the_bet, 0, 'cash/' || the_wallet, 'held/' || the_wallet, stake);
    update selection
    set stakes_minor = stakes_minor + stake,
        liability_minor = liability_minor + stake * (odds - 10000) / 10000
    where market_id = the_market and selection_id = the_selection
        and status = 'open' and odds = wanted_odds
        and liability_minor + stake * (odds - 10000) / 10000 <= max_liability_minor;
    if not found then raise exception using message = 'market_refused'; end if;
    placed_bet := the_bet;
end $$;
