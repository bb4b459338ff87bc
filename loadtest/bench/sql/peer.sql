-- A bet in three statements of one transaction, or in one call.

-- name: take_stake
update wallet set cash_minor = cash_minor - $2, held_minor = held_minor + $2
where wallet_id = $1 and cash_minor >= $2
returning cash_minor

-- name: insert_bet
with placed as (
    insert into bet (
        bet_id, wallet_id, key, market_id, selection_id, stake_minor, odds, cash_after_minor
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict (wallet_id, key) do nothing
    returning bet_id
)
insert into transfer (bet_id, number, debit, credit, amount_minor)
select bet_id, 0, 'cash/' || $2, 'held/' || $2, $6 from placed
returning bet_id

-- name: take_room
update selection
set stakes_minor = stakes_minor + $3,
    liability_minor = liability_minor + $3 * (odds - 10000) / 10000
where market_id = $1 and selection_id = $2 and status = 'open' and odds = $4
    and liability_minor + $3 * (odds - 10000) / 10000 <= max_liability_minor
returning odds

-- name: first_bet
select bet_id, cash_after_minor from bet where wallet_id = $1 and key = $2

-- name: call
select placed_bet, cash_after, refused from place_bet($1, $2, $3, $4, $5, $6, $7)

-- name: vacuum
vacuum analyze
