"""Many markets of different size, laid end to end in one array, so that NumPy prices them at once.

A batch of a match result, a total and a race of eleven is `Markets([3, 2, 11])`: one array of 16
probabilities, and a second one wherever there is one number a market.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Markets:
    """How many selections each market has. Raises ValueError where one has fewer than two."""

    __slots__ = ("of", "sizes", "starts")

    def __init__(self, sizes: Sequence[int] | Ints) -> None:
        self.sizes: Ints = np.asarray(sizes, np.int64)
        if self.sizes.size and self.sizes.min() < 2:
            raise ValueError("a market has at least two selections")
        self.starts: Ints = np.cumsum(self.sizes) - self.sizes
        self.of: Ints = np.repeat(np.arange(self.sizes.size), self.sizes)
        """The market of each selection."""

    def __len__(self) -> int:
        return self.sizes.size

    @property
    def selections(self) -> int:
        return self.of.size

    def total(self, values: Floats) -> Floats:
        """Selections' values added up: one number a market."""
        sums: Floats = np.add.reduceat(values, self.starts)
        return sums

    def highest(self, values: Floats) -> Floats:
        tops: Floats = np.maximum.reduceat(values, self.starts)
        return tops

    def lowest(self, values: Floats) -> Floats:
        bottoms: Floats = np.minimum.reduceat(values, self.starts)
        return bottoms

    def any(self, flags: Flags) -> Flags:
        """Whether a market has one selection of which it is so."""
        found: Flags = np.logical_or.reduceat(flags, self.starts)
        return found

    def pick(self, chosen: Flags) -> tuple[Markets, Flags]:
        """Some of the markets, and which selections are theirs."""
        if chosen.all():
            return self, np.ones(self.selections, np.bool_)
        return Markets(self.sizes[chosen]), chosen[self.of]
