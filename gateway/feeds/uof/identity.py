"""What things are called: specifiers in one order, ids that are safe in a path, routing keys.

The feed names a market by its event, a number and specifiers such as `setnr=4|pointnr=45`, whose
order varies from message to message. Here they are sorted by name, so one market has one name.

Our ids may hold letters, digits, `_`, `-` and `.` only, 64 at most. Of the feed's characters `|`
becomes `__`, `=` becomes `_.`, `:` becomes `_-`, `_` becomes `_u` and any other `_x` with two hex
digits for each of its bytes in UTF-8: no two names become the same. What would be too long keeps
its beginning and ends in a hash.
"""

from __future__ import annotations

import hashlib
import re
from fractions import Fraction
from functools import lru_cache

import msgspec

MAX_SPECIFIERS = 32
MAX_ID = 64
DOUBLE_CHANCE = 10
_PLAIN = re.compile(r"[A-Za-z0-9-][A-Za-z0-9.-]*")
_MARKS = {"|": "__", "=": "_.", ":": "_-", "_": "_u"}
_NUMBER = re.compile(r"[+-]?\d{1,4}(\.\d{1,4})?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def canonical(text: str) -> str:
    """Specifiers sorted by name: "pointnr=45|setnr=4"; "" for none.

    Raises `ValueError` with what they should be, as for a name that comes twice.
    """
    return "|".join(f"{name}={value}" for name, value in sorted(specifiers(text).items()))


def specifiers(text: str) -> dict[str, str]:
    """The same as a dictionary."""
    found: dict[str, str] = {}
    for part in text.split("|") if text else ():
        name, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(name) or not value:
            raise ValueError("name=value, parted by |")
        if name in found:
            raise ValueError(f"without {name} twice")
        found[name] = value
    if len(found) > MAX_SPECIFIERS:
        raise ValueError(f"at most {MAX_SPECIFIERS} of them")
    return found


def line_of(text: str) -> int | None:
    """The line that specifiers tell in whole quarters: 10 for "total=2.5", -1 for "hcp=-0.25".

    None without one, or with one that is none, as the score "0:1" of a handicap of three ways.
    """
    found = specifiers(text)
    value = found.get("total") or found.get("hcp") or ""
    if not _NUMBER.fullmatch(value):
        return None
    quarters = Fraction(value) * 4
    return int(quarters) if quarters.denominator == 1 else None


def winners_of(number: int, text: str) -> int:
    """How many outcomes of a market win: two of a double chance, or as many as have a place."""
    places = specifiers(text).get("places", "")
    if places.isdecimal() and 1 <= len(places) <= 2:
        return max(1, int(places))
    return 2 if number == DOUBLE_CHANCE else 1


@lru_cache(maxsize=65_536)
def safe(name: str, longest: int = MAX_ID) -> str:
    """A name of the feed as an id of ours, at most `longest` characters (not below 24)."""
    made = name if _PLAIN.fullmatch(name) else "".join(map(_safe, name))
    if made.startswith("."):
        made = f"_x2e{made[1:]}"
    if len(made) <= longest:
        return made
    # "_h" is no beginning of any mark above, so no short name looks like this.
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{made[: longest - 18]}_h{digest}"


def _safe(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in ".-"):
        return character
    mark = _MARKS.get(character)
    return mark or "".join(f"_x{byte:02x}" for byte in character.encode())


def market_key(number: int, specifiers: str) -> str:
    """A market within its event: "18__total_.2.5"; the specifiers are canonical."""
    return safe(f"{number}|{specifiers}" if specifiers else str(number))


def fixture_id(event_id: str, run: str) -> str:
    """Of an event in one run: "uof-sr_-match_-7-r1"."""
    return f"uof-{safe(event_id, MAX_ID - 5 - len(run))}-{run}"


class RoutingKey(msgspec.Struct, frozen=True):
    """How a message is addressed: eight words, `-` where one does not apply.

    `priority.pre.live.message_type.sport_id.urn_type.event_id.node_id`, and for an event the sixth
    is such as `sr:match`, the seventh its number.
    """

    message_type: str
    priority: str = "-"
    """"hi" where time matters, "lo" where it doesn't."""
    pre: str = "-"
    """"pre" or "virt" where systems for prematch odds want it."""
    live: str = "-"
    """"live" where systems for live odds want it."""
    sport_id: str = "-"
    urn_type: str = "-"
    event_number: str = "-"
    node_id: str = "-"

    def __str__(self) -> str:
        return ".".join(
            (
                self.priority,
                self.pre,
                self.live,
                self.message_type,
                self.sport_id,
                self.urn_type,
                self.event_number,
                self.node_id,
            )
        )

    @property
    def event_id(self) -> str:
        """The event's URN; "" for a message of the system."""
        return "" if self.event_number == "-" else f"{self.urn_type}:{self.event_number}"

    @classmethod
    def parse(cls, text: str) -> RoutingKey:
        """Raises `ValueError`. The last word may be missing, as it is in some keys."""
        words = text.split(".")
        if len(words) == 7:
            words.append("-")
        if len(words) != 8 or not all(words):
            raise ValueError(f"{text!r} is no routing key: eight words, parted by points")
        priority, pre, live, message_type, *rest = words
        if priority not in ("hi", "lo", "-"):
            raise ValueError(f"{text!r} is no routing key: the priority is hi, lo or -")
        return cls(message_type, priority, pre, live, *rest)

    @classmethod
    def of(
        cls,
        message_type: str,
        event_id: str = "",
        *,
        sport_id: str = "-",
        pre: bool = False,
        live: bool = False,
        node_id: str = "-",
    ) -> RoutingKey:
        """The key under which such a message is sent."""
        if not event_id:
            return cls(message_type, node_id=node_id)
        urn_type, _, number = event_id.rpartition(":")
        return cls(
            message_type,
            "lo" if message_type in _NOT_URGENT else "hi",
            "pre" if pre else "-",
            "live" if live else "-",
            sport_id,
            urn_type,
            number,
            node_id,
        )


_NOT_URGENT = (
    "bet_settlement",
    "bet_cancel",
    "rollback_bet_settlement",
    "rollback_bet_cancel",
)
