"""What a trader does about risk, decided purely.

    limits      which limits a new market of a class gets
    desk        prices that move as liability builds, and suspensions at a hard limit
    hedge       what to lay off elsewhere
    referral    bets that wait for a trader's word
    alerts      patterns in what is bet that somebody should look at

What a market and its fixture may lose is kept by themselves (`actors.book`, `actors.fixture`).
Nothing here is sent by itself: a coordinator asks the markets, calls these, and sends what they
say.
"""
