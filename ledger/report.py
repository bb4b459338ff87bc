"""What `ledger verify` and `ledger rebuild` say: checks, what each counted, and what it found."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

MAX_FAULTS = 20
"""Faults that a check lists; the others it counts."""


class LedgerBusy(Exception):
    """A rebuild is under way, or where a rebuild was asked for, a verification."""


class Check(msgspec.Struct):
    """One question, asked of all there is: it never ends at the first fault."""

    name: str
    counted: int = 0
    """How many things were looked at."""
    faults: list[str] = []
    """The first `MAX_FAULTS`, one line each."""
    found: int = 0
    """How many faults there are."""

    @property
    def ok(self) -> bool:
        return self.found == 0

    @property
    def detail(self) -> str:
        """The faults, a line each; empty when all is well."""
        unlisted = self.found - len(self.faults)
        return "\n".join([*self.faults, *([f"and {unlisted} more"] if unlisted else [])])

    def fault(self, text: str) -> None:
        self.found += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(text)

    def compare(self, place: str, ledger: object, journal: object) -> None:
        """Count one comparison, and a fault unless both say the same."""
        self.counted += 1
        if ledger != journal:
            self.fault(f"{place}: the ledger has {ledger}, the journal makes {journal}")


class Report(msgspec.Struct, frozen=True):
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Report:
        return cls(tuple(checks))

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def check(self, name: str) -> Check:
        """The check of that name; raises KeyError."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)
