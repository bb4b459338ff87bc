"""What the trader's desk takes and gives, in the same manner as `gateway.api`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.bet import BetState
from actors.fixture import Phase
from actors.market import MAX_SELECTIONS, MarketStatus
from actors.slips.kinds import Kind
from actors.staff import Role
from actors.stop import Reach
from actors.trading import MAX_HAND_MS, MAX_REOFFER_MS
from gateway import api
from ledger.money import MAX_MINOR

_END = r"$(?!\n)"

Login = Annotated[
    str,
    Meta(
        pattern=f"^[a-z0-9][a-z0-9._-]{{1,31}}{_END}",
        description="Lower case; in every record of what its member does, for ever",
        examples=["kim.doe"],
    ),
]
Why = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=200,
        pattern=rf"^[^\x00-\x20\x7f][^\x00-\x1f\x7f]*[^\x00-\x20\x7f]{_END}",
        description="Why it is done: it stands in the audit beside what was done",
        examples=["Goalkeeper injured in the warm-up"],
    ),
]
Target = Annotated[str, Meta(min_length=1, max_length=129, pattern=rf"^[^\x00-\x1f\x7f]+{_END}")]
"""The longest is a market's id."""
StopId = Annotated[str, Meta(pattern=f"^[0-9a-f]{{20}}{_END}")]
EntryId = Annotated[
    str,
    Meta(
        pattern=f"^[a-z][a-z0-9-]{{0,31}}\\.[0-9]{{1,9}}\\.[0-9]{{1,9}}{_END}",
        description="Its place in the journal: partition, block, number",
        examples=["book-03.1207.4"],
    ),
]


class Action(api.Body, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that staff do."""

    reason: Why


class JustAction(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """With nothing more to say than why."""


# Staff


class StaffCredentials(api.Body, frozen=True, forbid_unknown_fields=True):
    # Whatever it is, but nothing that a database can't be asked for.
    login: Annotated[str, Meta(min_length=1, max_length=32, pattern=rf"^[^\x00-\x1f\x7f]+{_END}")]
    password: Annotated[str, Meta(min_length=1, max_length=128)]


class Member(api.Reply, frozen=True):
    login: str
    name: str
    role: Role
    disabled: bool
    added_at: api.Time


class StaffSession(api.Reply, frozen=True):
    token: Annotated[str, Meta(description="Shown this once: the server keeps only its hash")]
    login: str
    name: str
    role: Role
    expires_at: api.Time


class WhoAmI(api.Reply, frozen=True):
    login: Annotated[str, Meta(description="Empty for the machine's own token")]
    name: str
    role: Role
    currency: str
    minor_digits: int


class Members(api.Reply, frozen=True):
    items: list[Member]


class NewMember(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    login: Login
    name: api.Text
    role: Role
    password: api.Password


class NewRole(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    role: Role


class NewPassword(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    password: api.Password


class MemberPath(api.Query, frozen=True, forbid_unknown_fields=True):
    login: Login


# The board


class BoardQuery(api.PageQuery, frozen=True, forbid_unknown_fields=True):
    sport: api.Text | UnsetType = UNSET
    phase: Annotated[
        Phase | UnsetType, Meta(description="All that are not over, where it is left out")
    ] = UNSET
    text: Annotated[
        api.Text | UnsetType, Meta(description="Part of a name, a competition or an id")
    ] = UNSET
    status: Annotated[
        MarketStatus | UnsetType, Meta(description="Fixtures with any market of that status")
    ] = UNSET
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class HeldByHand(api.Reply, frozen=True):
    """A price that somebody holds; the feed's is kept behind it."""

    by: str
    since: api.Time
    feed_odds: Annotated[
        api.Price, Meta(description="What is shown when it is given back, unless it is too old")
    ]
    until: Annotated[api.Time | UnsetType, Meta(description="Where it gives itself back")] = UNSET


class DeskSelection(api.Reply, frozen=True):
    selection_id: str
    name: str
    odds: api.Price
    withdrawn: bool
    bets: Annotated[int, Meta(description="Open, with those on their way")]
    stakes_minor: Annotated[int, Meta(description="Of open singles")]
    liability_minor: Annotated[int, Meta(description="What its winning costs beyond the stakes")]
    base_odds: Annotated[
        int | UnsetType, Meta(description="What the source gave, where the house moved it since")
    ] = UNSET
    hedged_minor: Annotated[int | UnsetType, Meta(description="What hedges win if it does")] = UNSET
    result: api.SelectionResult | UnsetType = UNSET
    place: Annotated[
        api.SelectionResult | UnsetType, Meta(description="How the place part came out")
    ] = UNSET
    starting_odds: int | UnsetType = UNSET
    hand: Annotated[HeldByHand | UnsetType, Meta(description="While it is held by hand")] = UNSET
    unrenewed: Annotated[
        bool | UnsetType,
        Meta(description="Its price is from before a withdrawal, and can't be bet at"),
    ] = UNSET


class DeskMarket(api.Reply, frozen=True):
    market_id: str
    name: str
    kind: str
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int
    causes: Annotated[
        dict[str, api.Time],
        Meta(description="For what it is suspended, and since when; `stop/<id>` is the desk's"),
    ]
    source: Annotated[
        str,
        Meta(description="Who has priced it last, but by hand; empty where nobody has"),
    ]
    priced_at: Annotated[
        api.Time | UnsetType,
        Meta(
            description="When the prices were last said; the house's own "
            "moves and prices by hand do not make them younger"
        ),
    ]
    stale: Annotated[bool, Meta(description="Too old to be bet at, whatever the status says")]
    odds_version: int
    result_version: int
    known: Annotated[bool, Meta(description="False while the liability is being read again")]
    holds: Annotated[int, Meta(description="Bets on their way")]
    worst_minor: Annotated[int, Meta(description="The most that the market can lose")]
    handle_minor: Annotated[int, Meta(description="Stakes of open singles")]
    selection_count: int
    selections: Annotated[
        list[DeskSelection], Meta(description="On the board the first few of them")
    ]
    terms: Annotated[
        api.Terms | UnsetType,
        Meta(description="What it offers beside a win at the price shown, where it does"),
    ] = UNSET
    voids: Annotated[
        list[VoidTimes] | UnsetType, Meta(description="When bets were accepted that are void")
    ] = UNSET


class VoidTimes(api.Reply, frozen=True, rename={"from_": "from"}):
    """Both included; what is left out has no bound."""

    from_: api.Time | UnsetType = UNSET
    until: api.Time | UnsetType = UNSET


class DeskFixture(api.Reply, frozen=True):
    fixture_id: str
    sport: str
    competition: str
    name: str
    starts_at: api.Time
    phase: Phase
    score: str
    seq: int
    market_count: int
    markets: Annotated[
        list[DeskMarket], Meta(description="On the board the first few that are not settled")
    ]


class BoardPage(api.PageOf, frozen=True):
    now: Annotated[api.Time, Meta(description="By the server's clock, to reckon ages with")]
    items: list[DeskFixture]


class DeskEvent(api.Reply, frozen=True):
    now: api.Time
    fixture: DeskFixture
    limits: Annotated[dict[str, DeskLimits], Meta(description="By market")]


class DeskLimits(api.Reply, frozen=True):
    """In minor units; 0 is no limit, but for the first three."""

    min_stake_minor: int
    max_stake_minor: int
    max_liability_minor: Annotated[int, Meta(description="For each selection, of singles")]
    max_market_liability_minor: Annotated[int, Meta(description="For the market's worst case")]
    refer_above_minor: Annotated[int, Meta(description="Stakes above it wait for a trader")]
    reoffer_ms: Annotated[int, Meta(description="How long a smaller stake is offered")]
    max_age_ms: Annotated[int, Meta(description="How old prices may be before play")]
    max_age_in_play_ms: int
    refer_up_to_minor: Annotated[int, Meta(description="And those above this are refused")]
    max_slip_liability_minor: Annotated[
        int, Meta(description="For each selection, of slips with a leg on it: beside its singles")
    ]
    version: Annotated[int, Meta(description="To be sent with a change of them")]


# Over time


class PricePoint(api.Reply, frozen=True):
    at: api.Time
    odds: api.Price


class PriceHistory(api.PageOf, frozen=True):
    market_id: str
    selections: Annotated[
        dict[str, list[PricePoint]],
        Meta(description="Each a time series, oldest first; the next page goes on backwards"),
    ]


class LiabilitySeries(api.Reply, frozen=True):
    stakes_minor: list[int]
    liability_minor: list[int]


class LiabilityHistory(api.Reply, frozen=True):
    """As of the ledger: the stakes of bets on their way are not in it."""

    market_id: str
    at: Annotated[
        list[api.Time],
        Meta(description="When it came to be so, oldest first; a figure stands until the next"),
    ]
    selections: Annotated[
        dict[str, LiabilitySeries],
        Meta(description="For each of those times a figure; of the selections with the largest"),
    ]
    worst_minor: Annotated[
        list[int],
        Meta(description="The most that the market could lose then, multiples and hedges included"),
    ]


class LiabilityQuery(api.Query, frozen=True, forbid_unknown_fields=True):
    points: Annotated[
        int,
        Meta(
            ge=2,
            le=500,
            description="Where there are more changes, into so many parts the time is cut; "
            "into fewer where a market has a thousand selections or more",
        ),
    ] = 240


class HistoryQuery(api.PageQuery, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 500


# Stops


class NewStop(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything needs no target; a market or an event its id, a source its name."""

    reach: Reach
    target: Target | UnsetType = UNSET


class Stop(api.Reply, frozen=True):
    stop_id: str
    reach: Reach
    target: str
    by: str
    reason: str
    ordered_at: api.Time
    lifted_at: api.Time | UnsetType = UNSET
    markets: Annotated[
        int | UnsetType, Meta(description="How many this request has suspended, or let go on")
    ] = UNSET


class Stops(api.PageOf, frozen=True):
    items: list[Stop]


class StopPath(api.Query, frozen=True, forbid_unknown_fields=True):
    stop_id: StopId


# What is done to a market


class HandPrices(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    odds: Annotated[dict[api.Id, api.Price], Meta(min_length=1, max_length=MAX_SELECTIONS)]
    for_s: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_HAND_MS // 1000)] | UnsetType,
        Meta(description="They give themselves back then; left out, somebody has to"),
    ] = UNSET


class GivenBack(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    selection_ids: Annotated[
        Annotated[list[api.Id], Meta(min_length=1, max_length=MAX_SELECTIONS)] | UnsetType,
        Meta(description="All that are held by hand, where they are left out"),
    ] = UNSET


class HandStatus(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    status: Literal["open", "suspended", "closed"]


_Limit = Annotated[int, Meta(ge=0, le=MAX_MINOR)]
_Age = Annotated[int, Meta(ge=0, le=24 * 3_600_000)]
Version = Annotated[
    Annotated[int, Meta(ge=0, le=2**53)] | UnsetType,
    Meta(
        description="As they were read: refused with `version_conflict`, and how they are, where "
        "they have changed since. Left out, nothing is compared"
    ),
]


class ChangedLimits(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is; 0 is no limit."""

    min_stake_minor: api.Amount | UnsetType = UNSET
    max_stake_minor: api.Amount | UnsetType = UNSET
    max_liability_minor: _Limit | UnsetType = UNSET
    max_market_liability_minor: _Limit | UnsetType = UNSET
    refer_above_minor: _Limit | UnsetType = UNSET
    reoffer_ms: Annotated[int, Meta(ge=0, le=MAX_REOFFER_MS)] | UnsetType = UNSET
    max_age_ms: _Age | UnsetType = UNSET
    max_age_in_play_ms: _Age | UnsetType = UNSET
    refer_up_to_minor: _Limit | UnsetType = UNSET
    max_slip_liability_minor: _Limit | UnsetType = UNSET
    version: Version = UNSET


class LimitsNow(api.Reply, frozen=True):
    market_id: str
    limits: DeskLimits


InPart = Annotated[
    bool,
    Meta(description="Selections that are left out stay as they are, undecided or not"),
]


class Outcomes(api.Body, frozen=True, forbid_unknown_fields=True):
    """Every selection's result, or that of some of them, or that the market is cancelled."""

    results: Annotated[dict[api.Id, api.NewResult], Meta(max_length=MAX_SELECTIONS)] = (
        msgspec.field(default_factory=dict)
    )
    cancelled: bool = False
    in_part: InPart = False


class PaysLine(api.Reply, frozen=True):
    """Of one selection. Bets that were bought back are in none of it."""

    bets: Annotated[int, Meta(description="Singles")]
    stakes_minor: api.Minor
    paid_minor: Annotated[int, Meta(description="What they have been paid, by a result before")]
    payout_minor: Annotated[int, Meta(description="What they are paid by this one")]
    slips: Annotated[int, Meta(description="Bets of several lines with a leg here")]
    slips_change_minor: Annotated[
        int, Meta(description="What those are paid at once; below zero, taken back")
    ]
    slips_open: Annotated[int, Meta(description="Of those, that stay open after it")]
    undecided: Annotated[bool | UnsetType, Meta(description="It has no result after it either")] = (
        UNSET
    )


class PaysSlip(api.Reply, frozen=True):
    """A bet of several lines, each-way or at the starting price, as the result would leave it."""

    bet_id: str
    player_id: str
    kind: Kind
    each_way: bool
    starting_price: Annotated[bool, Meta(description="A leg here is at the starting price")]
    legs: int
    legs_open: Annotated[int, Meta(description="Still to be decided after it")]
    stake_minor: api.Minor
    paid_minor: Annotated[int, Meta(description="What it has been paid so far")]
    payout_minor: Annotated[int, Meta(description="What it has been paid after it, all in all")]
    most_minor: Annotated[int, Meta(description="The same, if all its open legs win then")]
    state: Annotated[BetState, Meta(description="After it: `open` where it stays open")]


class Preview(api.Reply, frozen=True):
    """What a result would pay. Nothing is changed by it."""

    market_id: str
    preview: Annotated[
        str, Meta(description="Names what was looked at: the result, and the bets it is for")
    ]
    result_version: Annotated[int, Meta(description="That it would correct; 0 is the first")]
    cancelled: bool
    currency: str
    bets: int
    stakes_minor: api.Minor
    paid_minor: api.Minor
    payout_minor: api.Minor
    change_minor: Annotated[
        int, Meta(description="Paid out, less what is taken back of an earlier result")
    ]
    slips: int
    slips_change_minor: api.Minor
    slips_open: Annotated[int, Meta(description="Of the slips reckoned, that stay open after it")]
    slips_reckoned: Annotated[int, Meta(description="Of so many of the slips")]
    whole: Annotated[
        bool,
        Meta(description="False where there are too many bets to reckon all: more will be paid"),
    ]
    holds: Annotated[int, Meta(description="Bets on their way, which are not counted yet")]
    up_to_date: Annotated[
        bool, Meta(description="False when the ledger did not come up to now within two seconds")
    ]
    selections: dict[str, PaysLine]
    each_slip: Annotated[
        list[PaysSlip], Meta(description="The first few, those paid or taken back most before all")
    ]


class Settlement(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    results: Annotated[dict[api.Id, api.NewResult], Meta(max_length=MAX_SELECTIONS)] = (
        msgspec.field(default_factory=dict)
    )
    cancelled: bool = False
    in_part: InPart = False
    preview: Annotated[
        str, Meta(pattern=f"^[0-9a-f]{{32}}{_END}", description="Of the preview that is agreed to")
    ]


class WithdrawRunner(Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    selection_id: api.Id
    odds: api.LastOdds = UNSET
    reduction: api.Reduction = 0


# Taking back


class VoidBets(
    Action, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}
):
    """Bets accepted from one time to another, both included; one of the two may be left out."""

    from_: api.Moment | UnsetType = UNSET
    until: api.Moment | UnsetType = UNSET


# The audit


class AuditQuery(api.PageQuery, frozen=True, forbid_unknown_fields=True):
    """Of one market, one event with its markets, or all that staff did."""

    market_id: api.MarketId | UnsetType = UNSET
    fixture_id: api.Id | UnsetType = UNSET
    everybody: Annotated[
        bool, Meta(description="Feeds and the settlement too, of a market or an event")
    ] = False


class AuditLine(api.Reply, frozen=True):
    entry_id: str
    at: api.Time
    by: str
    reason: str
    about: Annotated[str, Meta(description="Such as `market/<id>`")]
    events: list[str]


class Audit(api.PageOf, frozen=True):
    items: list[AuditLine]


class EntryPath(api.Query, frozen=True, forbid_unknown_fields=True):
    entry_id: EntryId


class Entry(api.Reply, frozen=True):
    entry_id: str
    events: Annotated[
        list[dict[str, Any]], Meta(description="What happened, each with all its fields")
    ]


# The desk's stream


class DeskFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """From the page."""


class DeskLogin(DeskFrame, frozen=True, forbid_unknown_fields=True, tag="login"):
    token: Annotated[str, Meta(max_length=256)]


class Watch(DeskFrame, frozen=True, forbid_unknown_fields=True, tag="watch"):
    """Exactly these from here on; what is not there any more is passed over."""

    fixtures: Annotated[list[api.Id], Meta(max_length=100)]
    whole: Annotated[
        bool, Meta(description="All markets and selections, as an event shows them")
    ] = False


AnyDeskFrame = DeskLogin | Watch


class DeskTold(msgspec.Struct, frozen=True, tag_field="type"):
    """From the server."""


class DeskWelcome(DeskTold, frozen=True, tag="welcome"):
    login: str
    role: Role


class FixtureNow(DeskTold, frozen=True, tag="fixture"):
    """A fixture and those of its markets that have changed since they were last told."""

    now: api.Time
    fixture: DeskFixture


class DeskProblem(DeskTold, frozen=True, tag="problem"):
    problem: dict[str, Any]
