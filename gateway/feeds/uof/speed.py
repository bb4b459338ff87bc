"""How fast the feed is read: `python -m gateway.feeds.uof.speed [fixtures]`, on one core.

Messages of the simulated board, and one long odds change as a busy match has it, are read from XML
to commands of the book. Three figures each: XML to Structs alone, Structs to commands alone, both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from gateway.feeds.simulated import Board, Settings
from gateway.feeds.uof.descriptions import Card, shipped
from gateway.feeds.uof.local import Delivery, Local
from gateway.feeds.uof.messages import Alive, Message, OddsChange, SnapshotComplete, parse
from gateway.feeds.uof.session import Options, Session

START_MS = 1_800_000_000_000
LINES = 100
ROUNDS = 200


def board(fixtures: int) -> list[Delivery]:
    """What a session hears of so many fixtures, from the first to the last message."""
    steps = Board(Settings(fixtures=fixtures, total=fixtures), "speed", START_MS).play()
    local = Local(steps, Session(Options(), shipped(), "speed"), START_MS)
    local.delivered = []
    for _ in local.play():
        pass
    return [delivery for delivery in local.delivered if delivery.key]


def busy() -> list[Delivery]:
    """Odds changes of one match with a hundred totals, every price another each time."""
    found = []
    for n in range(ROUNDS):
        at_ms = START_MS + 100 * n
        markets = "".join(
            f'<market id="18" specifiers="total={line}.5" status="1" cashout_status="1">'
            f'<outcome id="12" odds="{1.5 + (n + line) % 90 / 100:.2f}" active="1"/>'
            f'<outcome id="13" odds="{1.6 + (n + line) % 80 / 100:.2f}" active="1"/></market>'
            for line in range(LINES)
        )
        body = (
            f'<odds_change product="1" event_id="sr:match:1" timestamp="{at_ms}">'
            f'<sport_event_status status="1" match_status="6"/><odds>{markets}</odds></odds_change>'
        )
        found.append(Delivery(at_ms, "hi.-.live.odds_change.1.sr:match.1.-", body.encode()))
    return found


def selections(messages: list[Message]) -> int:
    return sum(
        len(market.selections)
        for message in messages
        if isinstance(message, OddsChange)
        for market in message.markets
    )


def through(deliveries: list[Delivery], messages: list[Message] | None) -> Callable[[], int]:
    """A run from XML, or from `messages` where they are given; it counts commands."""

    def run() -> int:
        session = Session(Options(), shipped(), "speed")
        session.hear(Alive(1, START_MS, True), START_MS)
        session.hear(Alive(3, START_MS, True), START_MS)
        for request_id, product in ((1, 1), (2, 3)):
            session.hear(SnapshotComplete(product, START_MS, request_id), START_MS)
        for event in ["sr:match:1", *{f"sr:match:{n}" for n in range(2, 100)}]:
            card = Card(event, "1", "Football", "Cup", "A v B", START_MS, ("A", "B"))
            session.answered(card, START_MS)
        commands = 0
        for n, delivery in enumerate(deliveries):
            message = messages[n] if messages is not None else parse(delivery.body)
            session.hear(message, delivery.at_ms)
            commands += len(session.take())
        return commands

    return run


def measure(name: str, deliveries: list[Delivery]) -> None:
    messages = [parse(delivery.body) for delivery in deliveries]
    many, prices = len(messages), selections(messages)
    size = sum(len(delivery.body) for delivery in deliveries)
    write = sys.stdout.write
    write(f"{name}: {many:,} messages, {prices:,} selections, {size / 1e6:.1f} MB\n")
    for what, run in (
        ("XML to Structs", lambda: [parse(delivery.body) for delivery in deliveries]),
        ("Structs to commands", through(deliveries, messages)),
        ("XML to commands", through(deliveries, None)),
    ):
        spent = min(_timed(run) for _ in range(3))
        write(
            f"  {what:<20} {many / spent:>10,.0f} messages/s"
            f" {prices / spent:>11,.0f} selections/s\n"
        )


def _timed(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


if __name__ == "__main__":
    measure("simulated board", board(int(sys.argv[1]) if len(sys.argv) > 1 else 16))
    measure("busy match", busy())
