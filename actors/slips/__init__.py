"""Every bet that can be taken, as one slip: what it costs, may pay, pays, and is worth now.

`kinds` counts the lines, `slip` is the bet and why one is refused, `outcomes` and `deductions` turn
scores, finishing positions and withdrawals into what is known of a leg, `settling` is the one
function that pays, `exposure` says what the house may lose, and `cashout` buys a slip back.
`sums` is the arithmetic below: no line is ever written out.
"""
