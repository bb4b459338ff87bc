"""The trader's desk: who works there, what they see, what they do, and what came of it.

api         what it takes and gives, as types
members     staff and their roles; sessions: who is logged in
board       events and markets as a trader looks at them
stream      the same, live
actions     stops, prices, statuses, limits: wishes become commands
preview     what a result would pay, and settling by it
history     liability and prices over time
"""
