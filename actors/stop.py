"""A stop: the desk has suspended something, from one market to all there is, and may lift it again.

The stop is written down first, and then its markets are suspended for it as their cause
(`market.SwitchMarkets`). So whatever breaks off in between is known and can be finished, two stops
of one market do not lift each other, and a market that was suspended before stays so.

It lives in the book's scope, in the partition of its own id.
"""

from __future__ import annotations

import enum

import msgspec

from actors.base import Actor, Command, Event, Question, Reason, Refused, ref
from actors.trading import MAX_CAUSE_LENGTH

MAX_STOP_ID = MAX_CAUSE_LENGTH - len("stop/")


def cause_of(stop_id: str) -> str:
    """The cause for which a market is suspended by a stop."""
    return f"stop/{stop_id}"


class Reach(enum.StrEnum):
    """What is stopped."""

    MARKET = "market"
    EVENT = "event"
    SOURCE = "source"
    """The markets that one feed has priced last, or one of the staff, who may have held a price
    there by hand instead."""
    EVERYTHING = "everything"


class Stop(Actor):
    stop_id: str = ""
    reach: Reach = Reach.MARKET
    target: str = ""
    """The id of the market or fixture, or the source; empty for everything."""
    ordered_at_ms: int = 0
    lifted_at_ms: int = 0
    """0 while it stands."""


class StopView(msgspec.Struct, frozen=True, array_like=True, tag=True):
    stop_id: str
    reach: Reach
    target: str
    ordered_at_ms: int
    lifted_at_ms: int


class GetStop(Question, frozen=True, array_like=True, tag=True):
    stop_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("stop", self.stop_id),)

    def answer(self, now_ms: int, stop: Stop) -> StopView | Refused:
        if not stop.stop_id:
            return Refused(Reason.UNKNOWN_STOP)
        return StopView(
            stop.stop_id, stop.reach, stop.target, stop.ordered_at_ms, stop.lifted_at_ms
        )


class OrderStop(Command, frozen=True, array_like=True, tag=True):
    stop_id: str
    reach: Reach
    target: str

    def cast(self) -> tuple[str, ...]:
        return (ref("stop", self.stop_id),)

    def decide(self, now_ms: int, stop: Stop) -> Event:
        if stop.stop_id:
            return Refused(Reason.ALREADY_EXISTS)
        if not 0 < len(self.stop_id) <= MAX_STOP_ID:
            return Refused(Reason.OUT_OF_BOUNDS, facts={"max_length": MAX_STOP_ID})
        if bool(self.target) is (self.reach is Reach.EVERYTHING):
            return Refused(Reason.OUT_OF_BOUNDS, "everything has no target, all else has one")
        return StopOrdered(now_ms, self.stop_id, self.reach, self.target)


class LiftStop(Command, frozen=True, array_like=True, tag=True):
    stop_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("stop", self.stop_id),)

    def decide(self, now_ms: int, stop: Stop) -> Event:
        if not stop.stop_id:
            return Refused(Reason.UNKNOWN_STOP)
        if stop.lifted_at_ms:
            return Refused(Reason.WRONG_STATUS, "the stop was lifted before")
        return StopLifted(now_ms, self.stop_id)


class StopEvent(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    stop_id: str

    def cast(self) -> tuple[str, ...]:
        return (ref("stop", self.stop_id),)


class StopOrdered(StopEvent, frozen=True, array_like=True, tag=True):
    reach: Reach
    target: str

    def apply(self, stop: Stop) -> None:
        stop.stop_id = self.stop_id
        stop.reach = self.reach
        stop.target = self.target
        stop.ordered_at_ms = self.at_ms


class StopLifted(StopEvent, frozen=True, array_like=True, tag=True):
    def apply(self, stop: Stop) -> None:
        stop.lifted_at_ms = self.at_ms
