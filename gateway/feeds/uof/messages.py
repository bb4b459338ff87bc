"""What the Unified Odds Feed says: one Struct for each of its messages, and how they are read.

A message is one XML document. It is read by libxml2 with everything off that could make it read,
fetch or grow anything else, and a document that declares a type, an entity or another encoding
than UTF-8 is refused before that: libxml2 replaces entities in attributes whatever it is told.
Attributes and elements that are not known are left alone, because the feed adds to its messages;
one that is needed and missing, or that can't be what it should be, is an `UofError` that names the
message and the attribute.

Odds are whole ten-thousandths from the first moment on, cut off below; all times are milliseconds
since the Unix epoch by the feed's own clock.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from lxml import etree

from actors.odds import ONE
from gateway.feeds.uof.identity import canonical

MAX_BYTES = 8_000_000
"""The longest message that is read. The largest settlements of an event have about a megabyte."""
MAX_ODDS_DIGITS = 12
_SHORTEST_SHOWN = 60


class UofError(ValueError):
    """A message can't be read: which one, which attribute, and what is wrong with it."""


class MarketStatus(enum.IntEnum):
    """A market's status as the feed has it."""

    ACTIVE = 1
    INACTIVE = 0
    SUSPENDED = -1
    HANDED_OVER = -2
    """Suspended, until another producer sends odds."""
    SETTLED = -3
    CANCELLED = -4


class EventStatus(enum.IntEnum):
    """What a sporting event is doing; what is not known is None."""

    NOT_STARTED = 0
    LIVE = 1
    SUSPENDED = 2
    ENDED = 3
    CLOSED = 4
    CANCELLED = 5
    DELAYED = 6
    INTERRUPTED = 7
    POSTPONED = 8
    ABANDONED = 9


class Certainty(enum.IntEnum):
    LIVE_SCOUTED = 1
    CONFIRMED = 2


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    product: int
    """The producer that says it."""
    timestamp: int
    """When it was made."""


class Alive(Message, frozen=True, array_like=True, tag=True):
    subscribed: bool
    """False: messages of this producer may have been lost, a recovery is needed."""


class SnapshotComplete(Message, frozen=True, array_like=True, tag=True):
    request_id: int


class EventMessage(Message, frozen=True, array_like=True, tag=True):
    event_id: str
    request_id: int | None
    """Of the recovery that it answers."""


class Selection(msgspec.Struct, frozen=True, array_like=True):
    outcome_id: str
    odds: int
    """0 where there is none."""
    active: bool


class MarketOdds(msgspec.Struct, frozen=True, array_like=True):
    market_id: int
    specifiers: str
    """Canonical, as everywhere here."""
    status: MarketStatus | None
    """None: as it was."""
    cashout_status: int | None
    selections: tuple[Selection, ...]


class SportEventStatus(msgspec.Struct, frozen=True, array_like=True):
    status: EventStatus | None
    match_status: int | None
    home_score: str
    """"" where there is none; scores may be decimal in some sports."""
    away_score: str
    match_time: str
    """The clock as it stands on a scoreboard: "67:10"."""
    period_scores: tuple[tuple[str, str], ...]
    """Of each period, home and away."""
    game_score: tuple[str, str] | None = None
    """In tennis, the points of the game."""


class OddsChange(EventMessage, frozen=True, array_like=True, tag=True):
    status: SportEventStatus | None
    betting_status: int | None
    betstop_reason: int | None
    markets: tuple[MarketOdds, ...]


class BetStop(EventMessage, frozen=True, array_like=True, tag=True):
    groups: tuple[str, ...]
    """Markets of these groups; "all" are all."""
    market_status: MarketStatus


class OutcomeResult(msgspec.Struct, frozen=True, array_like=True):
    outcome_id: str
    result: int
    """1 won, 0 lost, -1 undecided yet."""
    void_factor: str
    """The part of the stake that is given back, as written: "0.5", "1"; "" for none."""
    dead_heat_factor: str
    """The part of the stake that stays at full odds, as written; "" for all of it."""


class MarketResult(msgspec.Struct, frozen=True, array_like=True):
    market_id: int
    specifiers: str
    void_reason: int | None
    outcomes: tuple[OutcomeResult, ...]


class BetSettlement(EventMessage, frozen=True, array_like=True, tag=True):
    certainty: Certainty
    markets: tuple[MarketResult, ...]


class MarketName(msgspec.Struct, frozen=True, array_like=True):
    """A market that something happens to as a whole."""

    market_id: int
    specifiers: str
    void_reason: int | None


class BetCancel(EventMessage, frozen=True, array_like=True, tag=True):
    start_ms: int | None
    """Bets placed before it stand; None: from the first."""
    end_ms: int | None
    """Bets placed after it stand; None: to the last."""
    superceded_by: str
    """The event to which everything has moved; "" for none."""
    markets: tuple[MarketName, ...]


class RollbackBetSettlement(EventMessage, frozen=True, array_like=True, tag=True):
    markets: tuple[MarketName, ...]


class RollbackBetCancel(EventMessage, frozen=True, array_like=True, tag=True):
    start_ms: int | None
    end_ms: int | None
    markets: tuple[MarketName, ...]


class FixtureChange(EventMessage, frozen=True, array_like=True, tag=True):
    change_type: int | None
    """1 new, 2 another start, 3 cancelled, 4 another format, 5 coverage; others as they come."""
    start_ms: int | None


# Reading

Element = Any
"""lxml is untyped."""

_PARSER = etree.XMLParser(
    # Over whatever a document says of itself, so that nothing hides in another encoding.
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
    collect_ids=False,
)
_URN = re.compile(r"[A-Za-z][A-Za-z0-9_]*:[A-Za-z][A-Za-z0-9_]*:-?[A-Za-z0-9_-]+")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


def document(body: bytes) -> Element:
    """The root element of an XML document. Raises `UofError` for what is no plain document."""
    if len(body) > MAX_BYTES:
        raise UofError(f"a document of {len(body)} bytes; at most {MAX_BYTES} are read")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise UofError("a document that declares a type or an entity is not read")
    try:
        root = etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        raise UofError(f"not XML: {error.msg}") from None
    except ValueError as error:
        raise UofError(f"not XML: {error}") from None
    if root is None:
        raise UofError("not XML: an empty document")
    return root


def parse(body: bytes) -> Message:
    """The message in `body`. Raises `UofError`."""
    root = document(body)
    read = _READERS.get(root.tag)
    if read is None:
        raise UofError(f"{_shown(str(root.tag))} is no message of the feed")
    return read(root)


def required(element: Element, name: str) -> str:
    value: str | None = element.get(name)
    if value is None:
        raise UofError(f"{path(element)} has no {name}")
    return value


def path(element: Element) -> str:
    """Where an element stands: "odds_change.odds.market"."""
    names = [str(element.tag), *(str(above.tag) for above in element.iterancestors())]
    return ".".join(reversed(names))


def _wrong(element: Element, name: str, value: str, should: str) -> UofError:
    return UofError(f"{path(element)}: {name} is {_shown(value)}; it is {should}")


def _shown(value: str) -> str:
    short = value if len(value) <= _SHORTEST_SHOWN else f"{value[:_SHORTEST_SHOWN]}..."
    return repr(short)


def integer(element: Element, name: str) -> int:
    value = required(element, name)
    if not _INTEGER.fullmatch(value):
        raise _wrong(element, name, value, "a whole number")
    return int(value)


def integer_or_none(element: Element, name: str) -> int | None:
    return None if element.get(name) is None else integer(element, name)


def _time(element: Element, name: str) -> int | None:
    value = integer_or_none(element, name)
    if value is not None and value < 0:
        raise _wrong(element, name, str(value), "a time, in milliseconds since 1970")
    return value


def urn(element: Element, name: str) -> str:
    value = required(element, name)
    if not _URN.fullmatch(value):
        raise _wrong(element, name, value, "a URN such as sr:match:1")
    return value


@lru_cache(maxsize=65_536)
def odds_of(text: str) -> int:
    """Decimal odds as whole ten-thousandths, cut off below; 0 for what pays nothing on top.

    Raises `ValueError` for what is no number. Prices repeat: the cache has nearly all of them.
    """
    if len(text) > 2 * MAX_ODDS_DIGITS or not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    whole, _, part = text.partition(".")
    odds = int(whole) * ONE + int(f"{part:0<4}"[:4])
    return odds if odds > ONE else 0


@lru_cache(maxsize=65_536)
def _canonical(text: str) -> str:
    return canonical(text)


def _market(element: Element) -> tuple[int, str]:
    """Its number and its specifiers."""
    try:
        number = int(element.get("id", ""))
    except ValueError:
        number = integer(element, "id")
    specifiers = element.get("specifiers")
    if not specifiers:
        return number, ""
    try:
        return number, _canonical(specifiers)
    except ValueError as error:
        raise _wrong(element, "specifiers", specifiers, str(error)) from None


def _head(root: Element) -> tuple[int, int, str, int | None]:
    return (
        integer(root, "product"),
        _timestamp(root),
        urn(root, "event_id"),
        integer_or_none(root, "request_id"),
    )


def _timestamp(root: Element) -> int:
    value = integer(root, "timestamp")
    if value <= 0:
        raise _wrong(root, "timestamp", str(value), "a time, in milliseconds since 1970")
    return value


def _alive(root: Element) -> Alive:
    subscribed = required(root, "subscribed")
    if subscribed not in ("0", "1"):
        raise _wrong(root, "subscribed", subscribed, "0 or 1")
    return Alive(integer(root, "product"), _timestamp(root), subscribed == "1")


def _snapshot_complete(root: Element) -> SnapshotComplete:
    return SnapshotComplete(integer(root, "product"), _timestamp(root), integer(root, "request_id"))


def _odds_change(root: Element) -> OddsChange:
    odds = root.find("odds")
    status = root.find("sport_event_status")
    return OddsChange(
        *_head(root),
        None if status is None else _event_status(status),
        None if odds is None else integer_or_none(odds, "betting_status"),
        None if odds is None else integer_or_none(odds, "betstop_reason"),
        () if odds is None else tuple(map(_market_odds, odds.iterchildren("market"))),
    )


_STATUSES = {str(int(status)): status for status in MarketStatus}


def _market_odds(element: Element) -> MarketOdds:
    number, specifiers = _market(element)
    text = element.get("status")
    status = None if text is None else _STATUSES.get(text)
    if text is not None and status is None:
        raise _wrong(element, "status", text, "1, 0, -1, -2, -3 or -4")
    return MarketOdds(
        number,
        specifiers,
        status,
        integer_or_none(element, "cashout_status"),
        tuple([_selection(outcome) for outcome in element.iterchildren("outcome")]),
    )


def _selection(element: Element) -> Selection:
    active = element.get("active")
    odds = element.get("odds")
    if active not in (None, "0", "1"):
        raise _wrong(element, "active", active, "0 or 1")
    try:
        return Selection(
            element.get("id") or required(element, "id"),
            odds_of(odds) if odds else 0,
            # An outcome without the flag is active where it has a price.
            active == "1" if active else bool(odds),
        )
    except ValueError as error:
        if isinstance(error, UofError):
            raise
        raise _wrong(element, "odds", odds, "decimal odds such as 1.85") from None


_EVENT_STATUSES: dict[int | None, EventStatus] = {int(one): one for one in EventStatus}


def _event_status(element: Element) -> SportEventStatus:
    status = integer_or_none(element, "status")
    clock = element.find("clock")
    periods = element.find("period_scores")
    game = (element.get("home_gamescore"), element.get("away_gamescore"))
    return SportEventStatus(
        _EVENT_STATUSES.get(status),
        integer_or_none(element, "match_status"),
        element.get("home_score") or "",
        element.get("away_score") or "",
        "" if clock is None else clock.get("match_time") or "",
        ()
        if periods is None
        else tuple(
            (period.get("home_score") or "", period.get("away_score") or "")
            for period in periods.iterchildren("period_score")
        ),
        game if all(game) else None,
    )


def _bet_stop(root: Element) -> BetStop:
    groups = tuple(group for group in (root.get("groups") or "all").split("|") if group)
    text = root.get("market_status")
    status = MarketStatus.SUSPENDED if text is None else _STATUSES.get(text)
    if status is None or status is MarketStatus.ACTIVE:
        raise _wrong(root, "market_status", text, "0, -1, -2, -3 or -4")
    return BetStop(*_head(root), groups or ("all",), status)


def _bet_settlement(root: Element) -> BetSettlement:
    certainty = integer_or_none(root, "certainty")
    if certainty not in (None, *Certainty):
        raise _wrong(root, "certainty", str(certainty), "1 or 2")
    outcomes = root.find("outcomes")
    return BetSettlement(
        *_head(root),
        Certainty(certainty or Certainty.LIVE_SCOUTED),
        () if outcomes is None else tuple(map(_market_result, outcomes.iterchildren("market"))),
    )


def _market_result(element: Element) -> MarketResult:
    return MarketResult(
        *_market(element),
        integer_or_none(element, "void_reason"),
        tuple([_outcome_result(outcome) for outcome in element.iterchildren("outcome")]),
    )


def _outcome_result(element: Element) -> OutcomeResult:
    result = required(element, "result")
    if result not in ("1", "0", "-1"):
        raise _wrong(element, "result", result, "1, 0 or -1")
    factors = []
    for name in ("void_factor", "dead_heat_factor"):
        factor = element.get(name) or ""
        if factor and not _DECIMAL.fullmatch(factor):
            raise _wrong(element, name, factor, "a number from 0 to 1")
        factors.append(factor)
    return OutcomeResult(required(element, "id"), int(result), *factors)


def _named(root: Element) -> tuple[MarketName, ...]:
    return tuple(
        MarketName(*_market(element), integer_or_none(element, "void_reason"))
        for element in root.iterchildren("market")
    )


def _window(root: Element) -> tuple[int | None, int | None]:
    start_ms, end_ms = _time(root, "start_time"), _time(root, "end_time")
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise _wrong(root, "end_time", str(end_ms), f"not before start_time, {start_ms}")
    return start_ms, end_ms


def _bet_cancel(root: Element) -> BetCancel:
    superceded_by = urn(root, "superceded_by") if root.get("superceded_by") else ""
    return BetCancel(*_head(root), *_window(root), superceded_by, _named(root))


def _rollback_bet_settlement(root: Element) -> RollbackBetSettlement:
    return RollbackBetSettlement(*_head(root), _named(root))


def _rollback_bet_cancel(root: Element) -> RollbackBetCancel:
    return RollbackBetCancel(*_head(root), *_window(root), _named(root))


def _fixture_change(root: Element) -> FixtureChange:
    return FixtureChange(
        *_head(root), integer_or_none(root, "change_type"), _time(root, "start_time")
    )


_READERS: dict[str, Callable[[Element], Message]] = {
    "alive": _alive,
    "snapshot_complete": _snapshot_complete,
    "odds_change": _odds_change,
    "bet_stop": _bet_stop,
    "bet_settlement": _bet_settlement,
    "bet_cancel": _bet_cancel,
    "rollback_bet_settlement": _rollback_bet_settlement,
    "rollback_bet_cancel": _rollback_bet_cancel,
    "fixture_change": _fixture_change,
}
MESSAGES = tuple(_READERS)
