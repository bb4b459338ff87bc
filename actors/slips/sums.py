"""Sums over every line of a system, without writing the lines out.

The sum over all k-subsets of legs of the product of their factors is the k-th elementary symmetric
polynomial: the coefficient of x**k in the product of (1 + factor x). It takes legs times folds
steps, where the lines are exponentially many. A factor num/den enters as (den + num x), so that
everything stays whole numbers over one denominator, the product of all den.

A line is told as well by the legs that it leaves out, so the powers may count those in the product
of (num + den x).
"""

from __future__ import annotations

from collections.abc import Sequence

Ratio = tuple[int, int]
"""A factor as numerator and positive denominator; it need not be in lowest terms."""


def sum_over_lines(factors: Sequence[Ratio], folds: Sequence[int]) -> int:
    """The numerator, over the product of all denominators, of the sum over the lines of `folds`.

    `folds` rise, and are between 1 and the number of factors.
    """
    terms, powers, _ = _polynomial(factors, folds)
    coefficients = _coefficients(terms, max(powers))
    return sum(coefficients[power] for power in powers)


def sums_by_leg(factors: Sequence[Ratio], folds: Sequence[int]) -> list[int]:
    """For each leg, the same over only the lines that it is in.

    The leg is divided out of the product of all, which is exact, and a line that it is in is then
    one of the others with it added.
    """
    terms, powers, left_out = _polynomial(factors, folds)
    coefficients = _coefficients(terms, max(powers))
    wanted = set(powers) if left_out else {power - 1 for power in powers}
    found = []
    for (num, _), (constant, linear) in zip(factors, terms, strict=True):
        total = without = 0
        if num:  # a line with a lost leg pays nothing
            for power, coefficient in enumerate(coefficients):
                without = (coefficient - linear * without) // constant
                if power in wanted:
                    total += without
        found.append(num * total)
    return found


def _polynomial(
    factors: Sequence[Ratio], folds: Sequence[int]
) -> tuple[list[tuple[int, int]], list[int], bool]:
    """Its terms (constant, linear), the powers of the folds, and whether they count legs left out.

    Whichever end is nearer: an accumulator, which leaves out none, is then one product.
    """
    legs = len(factors)
    if legs - folds[0] < folds[-1]:
        return list(factors), [legs - fold for fold in folds], True
    return [(den, num) for num, den in factors], list(folds), False


def _coefficients(terms: Sequence[tuple[int, int]], highest: int) -> list[int]:
    """Those of x**0 to x**highest in the product of (constant + linear x)."""
    found = [1] + [0] * highest
    for number, (constant, linear) in enumerate(terms, 1):
        for power in range(min(number, highest), 0, -1):
            found[power] = found[power] * constant + found[power - 1] * linear
        found[0] *= constant
    return found
