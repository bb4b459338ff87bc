"""The whole feed on one machine: publisher, a line with faults, and a session, on virtual time.

Everything that travels is bytes of XML under its routing key. The line may lose messages, double
them, deliver them late and so in another order, and cut a producer off for a while; the API may
fail. It tells of a loss as the real feed does: the producer's next alive says `subscribed="0"`,
until a recovery is accepted. Everything follows from one seed, and no clock is read.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterator
from random import Random

import msgspec

from gateway.feeds.feed import FeedCommand, Step
from gateway.feeds.uof.descriptions import parse_answer
from gateway.feeds.uof.messages import Message, parse
from gateway.feeds.uof.producers import Recover, State
from gateway.feeds.uof.publisher import ALIVE_MS, LIVE, PREMATCH, Publisher, Sent
from gateway.feeds.uof.session import AskEvent, AskFixture, Request, Session

PRODUCTS = (LIVE, PREMATCH)
LATENCY_MS = 40
"""From the publisher to the session, when all is well."""
API_MS = 120
LONGEST_TAIL_MS = 30 * 60_000
"""How long the line goes on after the last match, until nothing is missing."""


class Outage(msgspec.Struct, frozen=True):
    """A producer that can't be heard: after the start, in milliseconds."""

    product: int
    from_ms: int
    until_ms: int


class Faults(msgspec.Struct, frozen=True):
    """Chances from 0 to 1, each for one message or request."""

    seed: int = 0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Being late by up to `late_ms`, so that later messages arrive before."""
    late_ms: int = 3_000
    garble: float = 0.0
    """Being cut off in the middle, so that it can't be read."""
    api_down: float = 0.0
    """The request fails; half of the times without a word."""
    outages: tuple[Outage, ...] = ()


CALM = Faults()


class Delivery(msgspec.Struct, frozen=True):
    at_ms: int
    key: str
    body: bytes


class Local:
    """Runs the steps of a feed through UOF messages to a session of its own."""

    def __init__(
        self, steps: Iterator[Step], session: Session, start_ms: int, faults: Faults = CALM
    ) -> None:
        self.session = session
        self.publisher = Publisher()
        self.delivered: list[Delivery] | None = None
        """What has arrived, when somebody wants to keep it."""
        self._steps = steps
        self._start_ms = start_ms
        self._faults = faults
        self._rng = Random(f"uof/{faults.seed}")
        self._coming: list[tuple[int, int, Sent | Request | None, bool]] = []
        """What happens next: a message arrives or a request reaches the API (and it works)."""
        self._number = 0
        self._lost = dict.fromkeys(PRODUCTS, False)
        """Whether something was lost since the last recovery: the alive says so."""
        self._over_ms: int | None = None
        self._last_at = dict.fromkeys(PRODUCTS, 0)

    def play(self) -> Iterator[tuple[int, list[FeedCommand]]]:
        """What the session says, and when, until the last match is over and nothing missing."""
        now_ms = self._start_ms
        self.session.answered(parse_answer(self.publisher.descriptions_document()), now_ms)
        alive_ms = now_ms
        step = next(self._steps, None)
        while True:
            due_ms = self.session.due_ms(now_ms)
            moments = [alive_ms]
            if due_ms is not None:
                moments.append(due_ms)
            if step is not None:
                moments.append(step.at_ms)
            if self._coming:
                moments.append(self._coming[0][0])
            now_ms = max(now_ms, min(moments))
            if alive_ms <= now_ms:
                alive_ms += ALIVE_MS
                for product in PRODUCTS:
                    alive = self.publisher.alive(
                        now_ms, product, subscribed=not self._lost[product]
                    )
                    self._send(alive, now_ms)
            while step is not None and step.at_ms <= now_ms:
                for sent in self.publisher.publish(step):
                    self._send(sent, now_ms)
                step = next(self._steps, None)
            self.session.tick(now_ms)
            while self._coming and self._coming[0][0] <= now_ms:
                _, _, what, works = heapq.heappop(self._coming)
                if isinstance(what, Sent):
                    self._arrive(what, now_ms)
                elif what is not None:
                    self._api(what, works, now_ms)
            for request in self.session.requests():
                works = self._calm or self._rng.random() >= self._faults.api_down
                self._later(now_ms + API_MS, request, works)
            said = self.session.take()
            if said:
                yield now_ms, said
            if step is None and self._over_ms is None:
                self._over_ms = now_ms
            if self._done(now_ms):
                return

    @property
    def _calm(self) -> bool:
        return self._over_ms is not None

    def _done(self, now_ms: int) -> bool:
        if self._over_ms is None or now_ms < self._over_ms + 3 * ALIVE_MS:
            return False
        up = all(
            producer.state is State.UP
            for product, producer in self.session.producers.items()
            if product in PRODUCTS
        )
        quiet = not any(self._lost.values()) and not self._coming
        return (up and quiet) or now_ms >= self._over_ms + LONGEST_TAIL_MS

    # The line

    def _send(self, sent: Sent, now_ms: int) -> None:
        product = _product(sent)
        at_ms = now_ms + LATENCY_MS
        if self._calm:
            self._later(max(at_ms, self._last_at[product]), sent)
            return
        faults, rng = self._faults, self._rng
        since_ms = now_ms - self._start_ms
        cut = any(
            outage.product == product and outage.from_ms <= since_ms < outage.until_ms
            for outage in faults.outages
        )
        # A system message that is lost takes nothing with it but itself.
        if cut or rng.random() < faults.drop:
            self._lost[product] = True
            return
        if rng.random() < faults.reorder:
            at_ms += rng.randint(1, faults.late_ms)
        if rng.random() < faults.garble:
            sent = msgspec.structs.replace(sent, body=sent.body[: len(sent.body) // 2])
            self._lost[product] = True
        self._last_at[product] = max(self._last_at[product], at_ms)
        self._later(at_ms, sent)
        if rng.random() < faults.duplicate:
            self._later(at_ms + rng.randint(0, faults.late_ms), sent)

    def _later(self, at_ms: int, what: Sent | Request, works: bool = True) -> None:
        self._number += 1
        heapq.heappush(self._coming, (at_ms, self._number, what, works))

    def _arrive(self, sent: Sent, now_ms: int) -> None:
        if self.delivered is not None:
            self.delivered.append(Delivery(now_ms, sent.key, sent.body))
        try:
            message: Message = parse(sent.body)
        except ValueError:
            self.session.unreadable(sent.key, now_ms)
            return
        self.session.hear(message, now_ms)

    # The API

    def _api(self, request: Request, works: bool, now_ms: int) -> None:
        if not works:
            if self._rng.random() < 0.5:
                self.session.failed(request)
            return
        self.session.accepted(request)
        answers: Iterator[Sent]
        match request:
            case Recover():
                self._lost[request.product] = False
                answers = self.publisher.recover(
                    request.product, request.request_id, request.after_ms, now_ms
                )
            case AskEvent():
                answers = self.publisher.recover_event(
                    request.product, request.event_id, request.request_id, now_ms
                )
            case AskFixture():
                document = self.publisher.fixture_document(request.event_id)
                if document is not None:
                    if self.delivered is not None:
                        self.delivered.append(Delivery(now_ms, "", document))
                    self.session.answered(parse_answer(document), now_ms)
                return
        for sent in answers:
            self._send(sent, now_ms)


def _product(sent: Sent) -> int:
    return int(sent.body.partition(b'product="')[2].partition(b'"')[0])


class LocalSource:
    """A `Local` as a source of commands."""

    live = False

    def __init__(self, local: Local, name: str, keys: str) -> None:
        self.local = local
        self.name = name
        self.keys = keys

    async def steps(self) -> AsyncIterator[Step]:
        for at_ms, said in self.local.play():
            yield Step(at_ms, tuple(said), self.local.session.parts)
