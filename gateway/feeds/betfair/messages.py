"""The exchange's messages, as far as we need them: one JSON object a line.

Names and meanings are those of the Exchange Stream API's published schema. Prices and sizes are
read as decimals, exactly as they were written. "NaN" and "Infinity" are numbers to the exchange.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

Name = str | None
ByPrice = list[tuple[Decimal, Decimal]] | None
"""Price and size; a size of 0 removes the price."""
ByLevel = list[tuple[Decimal, Decimal, Decimal]] | None
"""Level, price and size; a size of 0 removes the level."""


class Runner(msgspec.Struct, rename="camel"):
    """A runner as its market's definition has it."""

    id: int | str
    hc: Decimal = Decimal(0)
    status: str = "ACTIVE"
    sort_priority: int = 0
    name: Name = None
    adjustment_factor: Decimal | None = None
    """The runner's share of the market in per cent. When it is removed, prices taken before are
    reduced by it."""
    bsp: Decimal | None = None
    """The starting price, once it is reconciled."""


class Definition(msgspec.Struct, rename="camel"):
    """What a market is, said whole each time that something about it changes."""

    event_id: Name = None
    event_type_id: Name = None
    event_name: Name = None
    competition_name: Name = None
    venue: Name = None
    name: Name = None
    country_code: Name = None
    timezone: Name = None
    market_type: Name = None
    betting_type: Name = None
    market_time: datetime | None = None
    number_of_winners: int | None = None
    status: str = "OPEN"
    in_play: bool = False
    bet_delay: int = 0
    """Seconds."""
    bsp_reconciled: bool = False
    version: int = 0
    """Rises with each definition of the market; 0 where the source leaves it out."""
    runners: list[Runner] = []

    @property
    def starts_at_ms(self) -> int:
        """0 where it is not known."""
        time = self.market_time
        if time is None:
            return 0
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)


class RunnerChange(msgspec.Struct):
    """What is new about the prices of one runner."""

    id: int | str
    hc: Decimal | None = None
    atb: ByPrice = None
    """Available to back."""
    atl: ByPrice = None
    """Available to lay."""
    spb: ByPrice = None
    """Offered at the starting price, to back."""
    spl: ByPrice = None
    trd: ByPrice = None
    """Traded at each price."""
    batb: ByLevel = None
    """The best available to back, as many levels as were asked for."""
    batl: ByLevel = None
    bdatb: ByLevel = None
    """The same with virtual bets, as the exchange's own pages show it."""
    bdatl: ByLevel = None
    ltp: Decimal | None = None
    """The last price traded."""
    tv: Decimal | None = None
    """All that was traded."""
    spn: Decimal | None = None
    """The starting price as it would be now, with the unmatched bets of the exchange (near)."""
    spf: Decimal | None = None
    """The same without them (far)."""


class MarketChange(msgspec.Struct, rename="camel"):
    id: str
    img: bool = False
    """Replaces all that was known of the market's prices."""
    con: bool = False
    """Several changes made one."""
    market_definition: Definition | None = None
    rc: list[RunnerChange] | None = None
    tv: Decimal | None = None


class Line(msgspec.Struct):
    """A line of a recording."""

    op: str = ""
    pt: int = 0
    """When it was published, in milliseconds since the Unix epoch."""
    mc: list[MarketChange] | None = None


class Message(msgspec.Struct, rename="camel"):
    """A line of the live stream, whatever it is about."""

    op: str = ""
    id: int | None = None
    """Of the request that it answers; a subscription's changes carry the subscription's."""
    # op: connection
    connection_id: str = ""
    # op: status
    status_code: str = ""
    error_code: Name = None
    error_message: Name = None
    connection_closed: bool = False
    # op: mcm
    ct: str | None = None
    """SUB_IMAGE, RESUB_DELTA or HEARTBEAT; nothing for an ordinary change."""
    clk: str | None = None
    initial_clk: str | None = None
    pt: int = 0
    heartbeat_ms: int | None = None
    conflate_ms: int | None = None
    """As granted, which may be something else than was asked for."""
    segment_type: str | None = None
    status: int | None = None
    """503 while the exchange itself knows that its data is late."""
    mc: list[MarketChange] | None = None


class MarketFilter(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Which markets to subscribe to; a list that is empty restricts nothing."""

    market_ids: tuple[str, ...] = ()
    event_type_ids: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    country_codes: tuple[str, ...] = ()
    market_types: tuple[str, ...] = ()
    venues: tuple[str, ...] = ()
    race_types: tuple[str, ...] = ()
    betting_types: tuple[str, ...] = ()
    turn_in_play_enabled: bool | None = None
    bsp_market: bool | None = None


class DataFilter(msgspec.Struct, frozen=True, rename="camel"):
    fields: tuple[str, ...]
    ladder_levels: int


class Authentication(
    msgspec.Struct, frozen=True, rename="camel", tag_field="op", tag="authentication"
):
    id: int
    app_key: str
    session: str

    def __repr__(self) -> str:
        return f"Authentication(id={self.id})"  # nothing secret, wherever it is shown


class MarketSubscription(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    tag_field="op",
    tag="marketSubscription",
    omit_defaults=True,
):
    id: int
    market_filter: MarketFilter
    market_data_filter: DataFilter
    conflate_ms: int
    heartbeat_ms: int
    segmentation_enabled: bool
    initial_clk: str | None = None
    clk: str | None = None


_ID = re.compile(r"[A-Za-z0-9_.-]{1,36}")
"""So that an event and a run fit into a fixture id."""


def selection_id(runner_id: int | str, hc: Decimal | None) -> str:
    """The runner, and its handicap where it has one: "123_-1.5"."""
    if not hc or not hc.is_finite():
        return str(runner_id)
    return f"{runner_id}_{hc.normalize():f}"


def bad_id(change: MarketChange) -> str | None:
    """The first id in it that can't be part of ours."""
    definition = change.market_definition
    ids = [change.id]
    if definition is not None:
        ids += [selection_id(runner.id, runner.hc) for runner in definition.runners]
        ids += [definition.event_id] if definition.event_id else []
    return next((value for value in ids if not is_id(value)), None)


def is_id(value: str) -> bool:
    """Whether it can be part of an id of ours."""
    return _ID.fullmatch(value) is not None
