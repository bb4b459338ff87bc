"""What a player, wallet, bet, fixture and market decide: pure, synchronous, and hosted elsewhere.

Each file is one actor and reads in one order: state, commands with their decisions, events with
how they are applied and what money they move. `base` holds the words they share; `placement` and
`settlement` compose several actors; `runtime` hosts them.
"""
