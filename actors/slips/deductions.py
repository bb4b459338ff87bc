"""What a withdrawal takes off the prices of those who still run.

Rule 4 (Tattersalls' Rules on Betting, rule 4(c)) takes a share of the winnings, by the price of
the withdrawn runner when it was withdrawn. Operators differ in the table, in the most that is taken
for several withdrawals (90p or 75p), and in whether a total of 5p is waived: all three are
configuration. An exchange instead has a reduction factor for each runner, which its removal takes
off the whole price of the others.

Both are shares in ten-thousandths: 25p in the pound is 2,500.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.odds import ONE, SHORTEST_STEP

PENNY = ONE // 100

# The longest price of each band, in ten-thousandths, rounded up where the fraction has no end.
# Decimal prices between two of the fractional ones belong to the longer band, which takes less.
TATTERSALLS = (
    (11_112, 90),  # 1/9 or shorter
    (11_819, 85),  # 2/17 to 2/11
    (12_500, 80),  # 1/5 to 1/4
    (13_000, 75),  # 2/7 to 3/10
    (14_000, 70),  # 1/3 to 2/5
    (15_334, 65),  # 4/9 to 8/15
    (16_154, 60),  # 4/7 to 8/13
    (18_000, 55),  # 4/6 to 4/5
    (19_524, 50),  # 5/6 to 20/21
    (22_000, 45),  # evens to 6/5
    (25_000, 40),  # 5/4 to 6/4
    (27_500, 35),  # 13/8 to 7/4
    (32_500, 30),  # 15/8 to 9/4
    (40_000, 25),  # 5/2 to 3/1
    (50_000, 20),  # 10/3 to 4/1
    (65_000, 15),  # 9/2 to 11/2
    (100_000, 10),  # 6/1 to 9/1
    (150_000, 5),  # 10/1 to 14/1
)


class Withdrawal(msgspec.Struct, frozen=True, array_like=True):
    """A runner that was withdrawn, and its odds at that moment.

    Moments are milliseconds, or versions of the market's prices: whatever prices are told by, too.
    """

    at: int
    odds: int


class Rule4(msgspec.Struct, frozen=True, array_like=True):
    """One operator's Rule 4: bands of (longest odds, pence in the pound), rising."""

    bands: tuple[tuple[int, int], ...] = TATTERSALLS
    cap_pence: int = 90
    waive_5p: bool = False
    """A total of 5p is not taken."""

    def __post_init__(self) -> None:
        longest = [odds for odds, _ in self.bands]
        if longest != sorted(set(longest)):
            raise ValueError("the bands of a Rule 4 table rise")
        if not 0 <= self.cap_pence < 100 or any(not 0 < pence < 100 for _, pence in self.bands):
            raise ValueError("a deduction leaves something of the winnings")

    def pence(self, odds: int) -> int:
        """What the withdrawal of one runner at `odds` takes off each pound won."""
        for longest, pence in self.bands:
            if odds <= longest:
                return pence
        return 0

    def deduction(self, withdrawals: Iterable[Withdrawal], priced_at: int) -> int:
        """The share of winnings, in ten-thousandths, that a price taken at that moment loses.

        Only for what was withdrawn afterwards: an earlier withdrawal is in the price already. A leg
        at starting price was priced at the off, so it normally loses nothing.
        """
        total = sum(self.pence(gone.odds) for gone in withdrawals if gone.at > priced_at)
        if total == 5 and self.waive_5p:
            return 0
        return min(total, self.cap_pence) * PENNY


def after_deduction(price: tuple[int, int], deduction: int) -> tuple[int, int]:
    """The price, as an exact ratio, with a share taken off its winnings."""
    num, den = price
    return den * ONE + (num - den) * (ONE - deduction), den * ONE


def after_reductions(price: tuple[int, int], reductions: Iterable[int]) -> tuple[int, int]:
    """The price with each reduction factor taken off what the one before left.

    Never brought below 1.01, the bottom of the ladder, and not raised to it either.
    """
    num, den = price
    for reduction in reductions:
        num, den = num * (ONE - reduction), den * ONE
    if num * ONE >= den * SHORTEST_STEP:
        return num, den
    shorter = price[0] * ONE < price[1] * SHORTEST_STEP
    return price if shorter else (SHORTEST_STEP, ONE)
