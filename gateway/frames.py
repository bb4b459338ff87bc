"""The frames of the stream: what a client may say, and what it is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.fixture import Phase
from actors.market import MarketStatus
from gateway import api

SUBPROTOCOL = "grandstand.v1"
EVERY_FIXTURE = "*"

# Close codes. 1001 is RFC 6455's "going away": the server is being drained.
BAD_FRAME = 4000
NOT_LOGGED_IN = 4001
PROTOCOL = 4003
TOO_SLOW = 4008
DRAINING = 1001

MAX_PER_FRAME = 500
"""Fixtures, or markets, in one frame."""

FrameId = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Comes back in the answer")]
Followed = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}|\*)$(?!\n)",
        description="A fixture's id, or `*`",
    ),
]

FixtureNames = Annotated[list[Followed], Meta(min_length=1, max_length=MAX_PER_FRAME)]
MarketNames = Annotated[list[api.MarketId], Meta(min_length=1, max_length=MAX_PER_FRAME)]


FromSeq = Annotated[
    int,
    Meta(description="The frame stands for all changes of what is followed, from this to `seq`"),
]


# From the client


class ClientFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    id: FrameId


class Login(ClientFrame, frozen=True, forbid_unknown_fields=True, tag="login"):
    token: Annotated[str, Meta(max_length=256)]


class Topics(ClientFrame, frozen=True, forbid_unknown_fields=True):
    """What is followed: fixtures with all that is in them, single markets, or both."""

    fixtures: FixtureNames | UnsetType = UNSET
    markets: MarketNames | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.fixtures is UNSET and self.markets is UNSET:
            raise ValueError("neither `fixtures` nor `markets`")


class Subscribe(
    Topics,
    frozen=True,
    forbid_unknown_fields=True,
    tag="subscribe",
    rename={"since": "from"},
):
    """`from`: the last `seq` that is known of a fixture or market; what came after is sent, or a
    snapshot."""

    since: dict[str, Annotated[int, Meta(ge=0)]] = {}


class Unsubscribe(Topics, frozen=True, forbid_unknown_fields=True, tag="unsubscribe"):
    pass


class PlaceBet(ClientFrame, frozen=True, forbid_unknown_fields=True, tag="bet"):
    # Both are looked at where a mistake is a problem and not the end of the socket.
    key: Annotated[str, Meta(description="As the header `Idempotency-Key`: 1 to 128 characters")]
    bet: Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Slip"})]


class Ping(ClientFrame, frozen=True, forbid_unknown_fields=True, tag="ping"):
    pass


AnyClientFrame = Login | Subscribe | Unsubscribe | PlaceBet | Ping


# From the server: answers


class Answer(msgspec.Struct, frozen=True, tag_field="type"):
    id: int


class Ok(Answer, frozen=True, tag="ok"):
    pass


class Pong(Answer, frozen=True, tag="pong"):
    pass


class ProblemFrame(Answer, frozen=True, tag="problem"):
    problem: dict[str, Any]


class BetAnswer(Answer, frozen=True, tag="bet"):
    status: Literal[201]
    bet: api.Bet


# From the server: a fixture and what happens to it


class Pushed(msgspec.Struct, frozen=True, tag_field="type"):
    """Sent unasked."""


class Snapshot(Pushed, frozen=True, tag="snapshot"):
    fixture: api.Fixture


class MarketSnapshot(Pushed, frozen=True, tag="market_snapshot"):
    """To those who follow a market by itself. `seq` is the fixture's."""

    fixture_id: str
    seq: int
    market: api.Market


class FixtureAdded(Pushed, frozen=True, tag="fixture"):
    """To those who follow `*`."""

    fixture: api.Fixture


class Delta(msgspec.Struct, frozen=True, tag_field="type"):
    """One change of a fixture or of one of its markets.

    To those who follow the fixture, `seq` is one more than that of the change before it. Where
    `from_seq` is there, the frame stands for all changes from it to `seq`: of the fixture, or, to
    those who follow the market by itself, of the market. So nothing was missed as long as
    `from_seq` (or else `seq`) is at most one more than the last `seq` that is known.
    """

    fixture_id: str
    seq: int


class Prices(Delta, frozen=True, tag="prices"):
    market_id: str
    odds_version: int
    odds: dict[str, int]
    from_seq: FromSeq | UnsetType = UNSET


class MarketAdded(Delta, frozen=True, tag="market"):
    market: api.Market


class Status(Delta, frozen=True, tag="status"):
    market_id: str
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int
    from_seq: FromSeq | UnsetType = UNSET


class Withdrawn(Delta, frozen=True, tag="withdrawn"):
    market_id: str
    selection_id: str
    from_seq: FromSeq | UnsetType = UNSET


class Results(Delta, frozen=True, tag="result"):
    market_id: str
    results: dict[str, api.SelectionResult]
    status: MarketStatus
    from_seq: FromSeq | UnsetType = UNSET
    places: dict[str, api.SelectionResult] | UnsetType = UNSET
    starting_odds: dict[str, int] | UnsetType = UNSET
    undecided: Annotated[
        list[str] | UnsetType, Meta(description="Selections that have no result any more")
    ] = UNSET


class SelectionAdded(Delta, frozen=True, tag="selection"):
    market_id: str
    selection: api.Selection
    from_seq: FromSeq | UnsetType = UNSET


class Settled(Delta, frozen=True, tag="settled"):
    market_id: str
    status: MarketStatus
    from_seq: FromSeq | UnsetType = UNSET


class PhaseDelta(Delta, frozen=True, tag="phase"):
    phase: Phase
    score: str


# From the server: the player's own


class Balance(Pushed, frozen=True, tag="balance"):
    wallet: api.Wallet


class ReferralUpdate(Pushed, frozen=True, tag="referral_update"):
    """A trader was asked about a bet of the player, or has answered. That its time has run out is
    not told: `expires_at` says when."""

    referral: api.Referral


class BetUpdate(Pushed, frozen=True, tag="bet_update"):
    bet: api.Bet
