"""Which limits a new market gets: by its class, the kind of market that the trade calls it.

table = LimitTable(Limits(max_stake_minor=100_000), {"correct_score": Limits(10, 20_000)})
table.of("correct_score")
"""

from __future__ import annotations

import msgspec

from actors.market import Limits


class LimitTable(msgspec.Struct, frozen=True):
    """Limits by class of market, and those of every other class."""

    otherwise: Limits = Limits()
    classes: dict[str, Limits] = {}

    def of(self, kind: str) -> Limits:
        return self.classes.get(kind, self.otherwise)

    def beside(self, given: Limits, kind: str) -> Limits:
        """Those of the class, where whoever opens a market says no more than how long its prices
        live."""
        if msgspec.structs.replace(given, max_age_ms=0, max_age_in_play_ms=0) != Limits():
            return given
        limits = self.of(kind)
        return msgspec.structs.replace(
            limits,
            max_age_ms=given.max_age_ms or limits.max_age_ms,
            max_age_in_play_ms=given.max_age_in_play_ms or limits.max_age_in_play_ms,
        )
