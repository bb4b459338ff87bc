"""What markets and selections are called, and what an event is: the documents of the feed's API.

The feed sends numbers; names come from the API's market descriptions, in which a name is a template
that is filled from the market's specifiers and from the event:

| in a template | becomes |
| --- | --- |
| `{total}` | the specifier as it is |
| `{!setnr}` | an ordinal: 1st, 2nd, 3rd, 11th |
| `{+hcp}`, `{-hcp}` | the number, or its negative, with its sign |
| `{(setnr+1)}`, `{!(setnr-1)}` | a sum or difference, also as an ordinal |
| `{$competitor1}`, `{$competitor2}`, `{$event}` | names of the event |
| `{%player}` | the name of the player or competitor whose URN the specifier is |

What can't be filled in stays what it is, in angle brackets and without the feed's marks: a bet
on a market with an ugly name is better than none. A `variant` specifier picks a description of its
own where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

import msgspec

from gateway.feeds.uof.identity import specifiers as split
from gateway.feeds.uof.messages import Element, UofError, document, integer, required, urn

MAX_NAME = 100
"""The longest name that is shown."""


class Card(msgspec.Struct, frozen=True):
    """A sporting event as it is announced."""

    event_id: str
    sport_id: str
    """"1" of sr:sport:1; "" where it is not said."""
    sport: str
    competition: str
    name: str
    starts_at_ms: int
    competitors: tuple[str, ...]
    """Home first."""
    names: dict[str, str] = {}
    """Of competitors by their URN."""


class Description(msgspec.Struct, frozen=True):
    market_id: int
    name: str
    groups: tuple[str, ...]
    outcomes: dict[str, str]
    """Templates by outcome id, in the order they are shown."""
    variant: str = ""


class Descriptions:
    """Market descriptions by number, and the names of players."""

    def __init__(self, found: Iterable[Description] = ()) -> None:
        self._found: dict[tuple[int, str], Description] = {}
        self.players: dict[str, str] = {}
        self.add(found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, found: Iterable[Description]) -> None:
        """A later description of the same market takes the place of an earlier one."""
        for description in found:
            self._found[description.market_id, description.variant] = description

    def of(self, market_id: int, specifiers: str) -> Description | None:
        variant = split(specifiers).get("variant", "")
        return self._found.get((market_id, variant)) or self._found.get((market_id, ""))

    def groups(self, market_id: int, specifiers: str) -> tuple[str, ...]:
        found = self.of(market_id, specifiers)
        return found.groups if found else ("all",)

    def market_name(self, market_id: int, specifiers: str, card: Card) -> str:
        found = self.of(market_id, specifiers)
        if found is None:
            return _short(f"Market {market_id} {specifiers}".strip())
        return _short(self._fill(found.name, specifiers, card))

    def outcome_ids(self, market_id: int, specifiers: str) -> tuple[str, ...]:
        """All outcomes such a market has, as far as its description says."""
        found = self.of(market_id, specifiers)
        return tuple(found.outcomes) if found else ()

    def outcome_name(self, market_id: int, specifiers: str, outcome_id: str, card: Card) -> str:
        found = self.of(market_id, specifiers)
        template = found.outcomes.get(outcome_id) if found else None
        if template is not None:
            return _short(self._fill(template, specifiers, card))
        return _short(self._called(outcome_id, card) or outcome_id)

    def _called(self, name: str, card: Card) -> str | None:
        """Of a player or competitor; several at once are parted by commas."""
        names = [card.names.get(one) or self.players.get(one) for one in name.split(",")]
        return None if None in names else " & ".join(filter(None, names))

    def _fill(self, template: str, specifiers: str, card: Card) -> str:
        values = split(specifiers)

        def filled(match: re.Match[str]) -> str:
            mark, inside = match[1], match[2]
            try:
                return self._value(mark, inside, values, card)
            except (KeyError, IndexError, InvalidOperation):
                return f"<{inside}>"

        return _TEMPLATE.sub(filled, template)

    def _value(self, mark: str, inside: str, values: Mapping[str, str], card: Card) -> str:
        if mark == "$":
            if inside == "event":
                return card.name
            number = _COMPETITOR.fullmatch(inside)
            if number is None:
                raise KeyError(inside)
            return card.competitors[int(number[1]) - 1]
        if mark == "%":
            value = values[inside]
            return self._called(value, card) or value
        sum_of = _SUM.fullmatch(inside)
        value = values[sum_of[1] if sum_of else inside]
        if sum_of:
            value = _plain(Decimal(value) + Decimal(f"{sum_of[2]}{sum_of[3]}"))
        if mark == "!":
            return ordinal(int(value)) if value.isdecimal() else value
        if mark in "+-" and mark:
            return signed(Decimal(value) if mark == "+" else -Decimal(value))
        return value


_TEMPLATE = re.compile(r"\{([$%!+-]?)([^{}]{1,60})\}")
_COMPETITOR = re.compile(r"competitor([1-9])")
_SUM = re.compile(r"\(([A-Za-z_]\w*)([+-])(\d{1,6})\)")


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10)
    return f"{number}{ending or 'th'}"


def signed(number: Decimal) -> str:
    """ "+1.5", "-0.25", and "0" without a sign."""
    if not number.is_finite():
        raise InvalidOperation
    return _plain(number) if not number or number < 0 else f"+{_plain(number)}"


def _plain(number: Decimal) -> str:
    if not number.is_finite():
        raise InvalidOperation
    text = f"{number + 0:f}"  # which takes the sign off a zero
    return text.rstrip("0").rstrip(".") if "." in text else text


def _short(name: str) -> str:
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return name[:MAX_NAME] or "?"


# What the API answers

Answer = Card | list[Description] | dict[str, str]
"""An event, market descriptions, or names of players by their URN."""


def parse_answer(body: bytes) -> Answer:
    """What a document of the API says. Raises `UofError`."""
    root = document(body)
    # The API puts its documents in a namespace, and not always the same.
    for element in root.iter("*"):
        element.tag = str(element.tag).rpartition("}")[2]
    if root.tag == "market_descriptions":
        return [_description(element) for element in root.iterchildren("market")]
    if root.tag == "fixtures_fixture":
        fixture = root.find("fixture")
        if fixture is None:
            raise UofError("fixtures_fixture has no fixture")
        return _card(fixture)
    if root.tag in ("player_profile", "competitor_profile"):
        people = [*root.iter("player"), *root.iter("competitor")]
        return {urn(one, "id"): required(one, "name") for one in people}
    raise UofError(f"{str(root.tag)[:60]!r} is no answer that is read here")


def _description(element: Element) -> Description:
    outcomes = element.find("outcomes")
    return Description(
        integer(element, "id"),
        required(element, "name"),
        tuple(group for group in (element.get("groups") or "all").split("|") if group),
        {}
        if outcomes is None
        else {
            required(outcome, "id"): required(outcome, "name")
            for outcome in outcomes.iterchildren("outcome")
        },
        element.get("variant") or "",
    )


def _card(fixture: Element) -> Card:
    event_id = urn(fixture, "id")
    tournament = fixture.find("tournament")
    sport = tournament.find("sport") if tournament is not None else None
    listed = fixture.find("competitors")
    competitors = [] if listed is None else list(listed.iterchildren("competitor"))
    names = {urn(one, "id"): required(one, "name") for one in competitors}
    sides = {one.get("qualifier"): names[one.get("id")] for one in competitors}
    ordered: tuple[str, ...]
    if {"home", "away"} <= sides.keys():
        ordered = (sides["home"], sides["away"])
    else:
        ordered = tuple(names.values())
    name = fixture.get("name") or (" v ".join(ordered) if len(ordered) == 2 else "")
    return Card(
        event_id,
        "" if sport is None else urn(sport, "id").rpartition(":")[2],
        _short("Sport" if sport is None else required(sport, "name")),
        _short("" if tournament is None else tournament.get("name") or ""),
        _short(name or event_id),
        _starts_at_ms(fixture),
        ordered,
        names,
    )


def _starts_at_ms(fixture: Element) -> int:
    text = fixture.get("start_time") or fixture.get("scheduled")
    if text is None:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UofError(f"fixture: start_time is {text[:60]!r}; it is a date and time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


@cache
def _shipped() -> tuple[Description, ...]:
    found = parse_answer((Path(__file__).parent / "descriptions.xml").read_bytes())
    assert isinstance(found, list)
    return tuple(found)


def shipped() -> Descriptions:
    """The commonest markets, as they come with the product."""
    return Descriptions(_shipped())
