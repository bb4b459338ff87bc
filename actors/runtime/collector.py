"""Python's cycle collector, told what kind of process it is in.

A shard or a gateway keeps a great many long-lived objects and makes next to no cycles. Looking
through all of them again and again finds nothing, costs a fifth of the CPU and stops the process
for as long as it takes: half a second with a million wallets.
"""

from __future__ import annotations

import gc

YOUNG = 50_000
"""Objects made and not freed before the youngest are looked through (Python's own figure: 700)."""
MIDDLE = 50
OLD = 1_000


def calm() -> None:
    """Leave alone what is there now, and look through the rest seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
