"""A book in memory to try a feed on: the real actors, without journal, shards or time.

It answers as the router does. Commands with a key are carried out once, and the first answer is
given again, refusals too.
"""

from __future__ import annotations

from actors.base import Actor, Command, Event, Question, Refused
from actors.fixture import Fixture
from actors.market import Market
from actors.runtime.router import Answer


class Rehearsal:
    def __init__(self) -> None:
        self.now_ms = 0
        """What the actors are told; set it as wanted."""
        self.fixtures: dict[str, Fixture] = {}
        self.markets: dict[str, Market] = {}
        self.events: list[Event] = []
        self.refused: list[tuple[Command, Refused]] = []
        self._answers: dict[tuple[str, str], Event] = {}

    async def ask(
        self,
        scope: str,
        routing_id: str,
        message: Command | Question,
        *,
        key: str = "",
        fingerprint: bytes = b"",
        by: str = "",
    ) -> Answer:
        if isinstance(message, Question):
            cast = [self._actor(ref) for ref in message.cast()]
            return Answer(message.answer(self.now_ms, *cast), scope, len(self.events))
        owner = message.cast()[0]
        first = self._answers.get((owner, key)) if key else None
        reply = first or self.do(message)
        if key:
            self._answers[owner, key] = reply
        return Answer(reply, scope, len(self.events))

    def tell(self, scope: str, routing_id: str, message: Question) -> None:
        """A question whose answer nobody waits for."""
        message.answer(self.now_ms, *[self._actor(ref) for ref in message.cast()])

    def do(self, command: Command) -> Event:
        """Decide and apply: the event, the last of them, or the refusal."""
        decision = command.decide(self.now_ms, *[self._actor(ref) for ref in command.cast()])
        events = decision if isinstance(decision, tuple) else (decision,)
        if isinstance(events[-1], Refused):
            self.refused.append((command, events[-1]))
            return events[-1]
        for event in events:
            event.apply(*[self._actor(ref) for ref in event.cast()])
            self.events.append(event)
        return events[-1]

    def _actor(self, ref: str) -> Actor:
        kind, _, actor_id = ref.partition("/")
        if kind == "fixture":
            return self.fixtures.setdefault(actor_id, Fixture())
        return self.markets.setdefault(actor_id, Market())
