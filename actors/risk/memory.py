"""A bounded memory that costs next to nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Keeps `most` values at most; what was not asked for of late is forgotten first.

    Of two halves the younger one fills up; then the older one is forgotten, and the younger is the
    older. What is asked for in the older moves to the younger. So the last half of `most` that
    were asked for are always there, and nothing is put in order when they are.
    """

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> None:
        if key not in self._young:
            self._old.pop(key, None)
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
        self._young[key] = value

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def values(self) -> Iterator[V]:
        yield from self._young.values()
        yield from self._old.values()
