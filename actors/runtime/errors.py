"""Why a message got no answer. A refusal is an answer; these are not."""

from __future__ import annotations


class NoAnswer(Exception):
    """The base of all of them. `retry_after_s`: whole seconds after which to try again."""

    def __init__(self, why: str, retry_after_s: int = 1) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s


class Unavailable(NoAnswer):
    """It is not known whether the command was carried out: repeat it with the same key."""


class Overloaded(NoAnswer):
    """A queue on the way was full. Nothing was done."""


class KeyReused(Exception):
    """The key was used before, for another request. Nothing was done."""


class Faulty(Exception):
    """A decision failed in a way that it never should. Nothing was done."""
