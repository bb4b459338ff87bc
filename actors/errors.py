"""Why a message got no answer. A refusal is an answer; these are not."""

from __future__ import annotations


class NoAnswer(Exception):
    """To be tried again. `retry_after_s`: after how many whole seconds."""

    def __init__(self, why: str, retry_after_s: int = 1) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s


class NothingDone(Exception):
    """Whatever was asked has not been done, and will not be."""


class Unavailable(NoAnswer):
    """It is not known whether the command was carried out: repeat it with the same key."""


class Overloaded(NoAnswer, NothingDone):
    """A queue on the way was full."""


class KeyReused(NothingDone):
    """The key was used before, for another request."""


class Faulty(NothingDone):
    """A decision failed in a way that it never should, and its partition starts again."""
