"""What a session says, as commands the book has today; the rest goes to the log for a trader."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from gateway.feeds.feed import FeedCommand
from gateway.feeds.uof.actions import BookAction
from gateway.feeds.uof.session import Said

log = structlog.get_logger()


def commands_of(said: Iterable[Said]) -> tuple[FeedCommand, ...]:
    """The commands in it, in order. An action has none: its market is closed or suspended by the
    command before it, and what has to become of bets is logged as `book_action`."""
    commands: list[FeedCommand] = []
    for one in said:
        if isinstance(one, BookAction):
            log.warning("book_action", action=type(one).__name__, what=repr(one))
        else:
            commands.append(one)
    return tuple(commands)
