"""`make spike`: a Super Bowl night, played at a platform of its own.

    plan.py        the programme: phases, rates, shares; what is so at each second
    evening.py     the director: starts everything, gives the cues, gathers, verifies
    locustfile.py  what Locust loads: `shape.py` (how many players) and `players.py` (what they do)
    crowd.py       sockets that watch prices, in a process of their own
    prices.py      the trader who moves the prices
    early.py       bets placed before the evening, as fast as they go
    gauges.py      the platform's own figures, read each second
    books.py       every player's bets, read from the ledger at the end
    tally.py       what happened in each second
    story.py       the report, and `pictures.py` its plots

Locust lives in gevent, and never shares a process with anything of ours that uses asyncio.
"""
