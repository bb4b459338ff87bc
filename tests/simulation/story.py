"""A trace as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from actors.entries import decode_entries
from actors.runtime.wire import decode_items
from tests.simulation.evening import Evening

_LONGEST = 1_000


def story(evening: Evening) -> Iterator[str]:
    """Each line a moment: when, in seconds, and what happened."""
    for at_s, event, details in evening.simulation.trace:
        if event == "call" and details[2] in ("partitions_of", "view"):
            continue
        if event == "arrived" and details[2] in ("partitions_of", "view"):
            continue
        said = _told(event, details)
        yield f"{at_s:9.4f} {event:16} {said[:_LONGEST]}"


def _told(event: str, details: tuple[Any, ...]) -> str:
    if event == "call":
        source, target, method, arguments = details
        if method == "deliver":
            items = decode_items(arguments[0])
            what = ", ".join(
                f"{item.partition} {_short(item.message)} {item.key}" for item in items
            )
        else:
            what = f"{method} {', '.join(map(_short, arguments))}"
        return f"{source} -> {target}: {what}"
    if event in ("committed", "fenced off"):
        partition, seq, body = details
        entries = decode_entries(body)
        events = [_short(one) for entry in entries for one in entry.events]
        return f"{partition} block {seq}: {', '.join(events)}"
    return " ".join(map(_short, details))


def _short(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        fields = [str(getattr(value, name)) for name in value.__struct_fields__]
        said = " ".join(field for field in fields if len(field) < 40)
        return f"{type(value).__name__}({said[:160]})"
    return str(value)
