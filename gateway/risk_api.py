"""What the desk takes and gives about risk, in the same manner as `gateway.desk.api`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.odds import ONE, Odds
from actors.risk.alerts import Pattern
from actors.risk.customer import MAX_FACTOR, MAX_KINDS
from actors.risk.referral import MAX_VALID_MS
from gateway import api
from gateway.desk import api as desk_api

Factor = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_FACTOR,
        description="In ten-thousandths of the limits that everybody has: 10000 changes nothing, "
        "0 takes no bets",
    ),
]

# Referrals


class ReferralPath(api.Query, frozen=True, forbid_unknown_fields=True):
    referral_id: api.Id


class ReferralSelection(api.Reply, frozen=True):
    market_id: str
    selection_id: str
    market_name: str
    selection_name: str
    odds_now: Annotated[int, Meta(description="0 where there are none")]


class ReferralLeg(api.Reply, frozen=True):
    """A leg of a slip: one selection, or several of a fixture under one price."""

    fixture_id: str
    fixture_name: str
    odds: Annotated[int, Meta(description="As asked for; 0 at the starting price")]
    selections: list[ReferralSelection]
    banker: bool | UnsetType = UNSET


class DeskReferral(api.Reply, frozen=True):
    """A bet that waits for a trader, with what the player is shown of it."""

    referral: api.Referral
    player_id: str
    fixture_id: str
    fixture_name: str
    market_name: str
    selection_name: str
    odds_now: Annotated[int, Meta(description="Of the selection; 0 where there are none")]
    legs: Annotated[
        list[ReferralLeg] | UnsetType,
        Meta(description="Of a slip; the fixture and the names beside are its first leg's"),
    ] = UNSET


ReferralsUpToDate = Annotated[
    bool,
    Meta(
        description="False while the ledger is late: one that was just asked for may be missing, "
        "and one that was just answered be there"
    ),
]


class DeskReferrals(api.Reply, frozen=True):
    now: Annotated[api.Time, Meta(description="By the server's clock, to reckon with")]
    up_to_date: ReferralsUpToDate
    items: list[DeskReferral]


class AcceptedReferral(desk_api.Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left out is as the player asked for it."""

    stake_minor: Annotated[
        api.Amount | UnsetType, Meta(description="At most what was asked for")
    ] = UNSET
    odds: Annotated[Odds | UnsetType, Meta(description="Of a single")] = UNSET
    valid_ms: Annotated[
        Annotated[int, Meta(gt=0, le=MAX_VALID_MS)] | UnsetType,
        Meta(description="How long the player can take it"),
    ] = UNSET


# Customers


class PlayerPath(api.Query, frozen=True, forbid_unknown_fields=True):
    player_id: api.Id


class Customer(api.Reply, frozen=True):
    """Never shown to the player."""

    player_id: str
    factor: Factor
    kinds: Annotated[dict[str, int], Meta(description="In place of it, for markets of some kinds")]
    changed_at: Annotated[
        api.Time | UnsetType, Meta(description="Where somebody has said anything")
    ] = UNSET
    refer_above_minor: Annotated[
        int | UnsetType, Meta(description="Stakes above it go to a trader, whatever the factor")
    ] = UNSET
    version: Annotated[int, Meta(description="To be sent with a change of them")] = 0


class NewFactors(desk_api.Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All factors of a customer, in place of those before."""

    factor: Factor
    kinds: Annotated[dict[api.Id, Factor], Meta(max_length=MAX_KINDS)] = msgspec.field(
        default_factory=dict
    )
    refer_above_minor: Annotated[
        api.Amount | UnsetType,
        Meta(description="Stakes above it go to a trader, whatever the factor; else none do"),
    ] = UNSET
    version: desk_api.Version = UNSET


# Hedges


class HedgesQuery(api.PageQuery, frozen=True, forbid_unknown_fields=True):
    market_id: api.MarketId | UnsetType = UNSET


class Hedge(api.Reply, frozen=True):
    hedge_id: str
    market_id: str
    selection_id: str
    exchange: str
    state: Annotated[str, Meta(description="ordered, made or lapsed")]
    stake_minor: api.Minor
    odds: int
    wins_minor: Annotated[int, Meta(description="Beyond its stake, commission taken off")]
    ordered_at: api.Time
    answered_at: api.Time | UnsetType = UNSET
    reference: Annotated[
        str | UnsetType, Meta(description="The exchange's name for it, or why it lapsed")
    ] = UNSET


class Hedges(api.PageOf, frozen=True):
    items: list[Hedge]


class MadeHedge(desk_api.Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bet that the house has made elsewhere."""

    selection_id: api.Id
    stake_minor: api.Amount
    odds: Odds
    commission: Annotated[int, Meta(ge=0, le=ONE, description="Of the win, in ten-thousandths")] = 0
    exchange: Annotated[api.Text, Meta(description="Where it was made")]
    reference: Annotated[api.Text, Meta(description="What it is called there")]
    hedge_id: Annotated[
        api.Id | UnsetType, Meta(description="Of the order that has led to it, where one has")
    ] = UNSET


class HedgePath(api.Query, frozen=True, forbid_unknown_fields=True):
    market_id: api.MarketId
    hedge_id: api.Id


class HedgeNow(api.Reply, frozen=True):
    market_id: str
    hedge_id: str
    state: Annotated[str, Meta(description="made or lapsed")]
    wins_minor: Annotated[int, Meta(description="Beyond its stake, commission taken off")]


class HedgeOrder(api.Reply, frozen=True):
    selection_id: str
    stake_minor: api.Minor
    odds: int
    commission: Annotated[int, Meta(description="Of the win, in ten-thousandths")]


class HedgeProposal(api.Reply, frozen=True):
    """What to lay off now, by the operator's settings. Nothing is ordered by it."""

    market_id: str
    exchange: Annotated[str, Meta(description="Empty where none is set up")]
    known: Annotated[bool, Meta(description="False while the liability is being read")]
    orders: list[HedgeOrder]
    before_minor: Annotated[int, Meta(description="The worst case by singles as it is,")]
    after_minor: Annotated[int, Meta(description="and as it would be")]
    placed_by_itself: Annotated[
        bool, Meta(description="Whether the house does it without being told")
    ]


# Alerts


class AlertsQuery(api.PageQuery, frozen=True, forbid_unknown_fields=True):
    pattern: Pattern | UnsetType = UNSET


class Alert(api.Reply, frozen=True):
    alert_id: str
    pattern: Pattern
    subject: Annotated[
        str,
        Meta(description="`player/<id>`, or `selection/<market id>/<selection id>`"),
    ]
    at: api.Time
    facts: Annotated[
        dict[str, int | str], Meta(description="What was seen; which facts depends on the pattern")
    ]


class Alerts(api.PageOf, frozen=True):
    items: list[Alert]


# The desk's stream


class ReferralsNow(desk_api.DeskTold, frozen=True, tag="referrals"):
    """All that wait, whenever that has changed."""

    now: api.Time
    up_to_date: ReferralsUpToDate
    items: list[DeskReferral]
