"""What the API takes and gives, as Structs that decode, validate and document at once.

The OpenAPI document is made of these: a constraint written here is enforced and published. Amounts
are whole minor units of the currency beside them, odds whole ten-thousandths of the decimal price
(25000 is 2.5), times RFC 3339 in UTC with milliseconds.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.bet import BetState, PriceChange
from actors.fixture import Phase
from actors.market import MAX_BET_DELAY_MS, MAX_SELECTIONS, MarketStatus
from actors.odds import MAX_ODDS, ONE, Odds
from actors.results import Outcome
from actors.risk.referral import ReferralState
from actors.slips.bonus import BonusKind
from actors.slips.kinds import Kind
from actors.slips.slip import MAX_DIVISOR, MAX_JOINED, MAX_LEGS
from actors.trading import MAX_REOFFER_MS
from actors.wallet import Direction
from ledger.money import MAX_MINOR

# `$` alone would let a newline pass behind it, in Python but not in a browser.
_END = r"$(?!\n)"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# Not a leading dot: `..` in a path means the folder above.
_ID = "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}"
Id = Annotated[str, Meta(pattern=f"^{_ID}{_END}", examples=["ars-che-0412"])]
MarketId = Annotated[
    str,
    Meta(
        pattern=f"^{_ID}:{_ID}{_END}",
        description="The fixture's id, a colon, and the market's key within the fixture",
        examples=["ars-che-0412:match_result"],
    ),
]
# One line of text. A NUL, which Postgres can't store, is no more welcome than a line break.
Text = Annotated[str, Meta(min_length=1, max_length=100, pattern=rf"^[^\x00-\x1f\x7f]+{_END}")]
ShortText = Annotated[str, Meta(max_length=100, pattern=rf"^[^\x00-\x1f\x7f]*{_END}")]
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=rf"^[!-?A-~]{{1,64}}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+{_END}",
        description="Upper and lower case are the same address",
        examples=["ann@example.com"],
    ),
]
Password = Annotated[str, Meta(min_length=10, max_length=128)]
Currency = Annotated[str, Meta(pattern=rf"^[A-Z]{{3}}{_END}", description="ISO 4217")]
Amount = Annotated[
    int, Meta(gt=0, le=MAX_MINOR, description="Minor units: 1050 is 10.50 of a two-digit currency")
]
Minor = Annotated[int, Meta(description="Minor units")]
Time = Annotated[
    str,
    Meta(examples=["2026-11-22T08:42:33.353Z"], extra_json_schema={"format": "date-time"}),
]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Price = Annotated[
    int,
    Meta(ge=0, le=MAX_ODDS, description="Decimal odds times 10,000; 0 takes the price off"),
]
IdempotencyKey = Annotated[
    str,
    Meta(
        pattern=rf"^[!-~]{{1,128}}{_END}",
        description="Chosen by the client, new for each intention: repeating a request with its "
        "key never does it twice, and gives the first answer again",
        examples=["5d0f7c1e-8a55-4b44-9b0a-5b7f3f6f6a01"],
    ),
]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a URL."""


class Reply(msgspec.Struct, frozen=True):
    """What the server says."""


# Players and sessions


class Registration(Body, frozen=True, forbid_unknown_fields=True):
    name: Text
    birth_date: Annotated[dt.date, Meta(examples=["1990-05-17"])]
    email: Email
    password: Password


class Profile(Reply, frozen=True):
    player_id: str
    name: str
    email: str
    birth_date: Annotated[str, Meta(extra_json_schema={"format": "date"})]
    licence: str
    currency: str
    registered_at: Time


class Credentials(Body, frozen=True, forbid_unknown_fields=True):
    email: Email
    password: Annotated[str, Meta(min_length=1, max_length=128)]


class NewSession(Reply, frozen=True):
    token: Annotated[str, Meta(description="Shown this once: the server keeps only its hash")]
    player_id: str
    expires_at: Annotated[
        str,
        Meta(
            description="If nothing is asked with it until then; every use moves it on",
            extra_json_schema={"format": "date-time"},
        ),
    ]


# The wallet


class Wallet(Reply, frozen=True):
    currency: str
    minor_digits: Annotated[int, Meta(description="Digits of the currency's minor unit: GBP 2")]
    cash_minor: Annotated[int, Meta(description="What may be bet or withdrawn")]
    held_minor: Annotated[int, Meta(description="Stakes of open bets")]
    withdrawing_minor: Annotated[int, Meta(description="On its way out")]
    debt_minor: Annotated[int, Meta(description="Owed after a resettlement; paid off first")]
    version: Annotated[int, Meta(description="Rises with every change")]


class PageQuery(Query, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[
        str | None,
        Meta(description="`next_cursor` of the page before; none for the newest"),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class PageOf(Reply, frozen=True):
    """A page of a list. The other fields of a list's own page come with it."""

    next_cursor: Annotated[
        str | None, Meta(description="Asks for the next page; null when this is the last")
    ]


class OwnPage(PageOf, frozen=True):
    up_to_date: Annotated[
        bool,
        Meta(
            description="False when the list could not be brought up to this moment within two "
            "seconds: what happened last may be missing. Balances are always right"
        ),
    ]


class StatementLine(Reply, frozen=True):
    entry_id: str
    at: Time
    kind: Annotated[
        str, Meta(description="deposit, withdrawal, stake, payout, reversal and the like")
    ]
    amount_minor: Annotated[int, Meta(description="Positive came in, negative went out")]
    balance_after_minor: Minor
    currency: str
    reference: Annotated[str, Meta(description="The bet's or the payment's id")]


class Statement(OwnPage, frozen=True):
    items: list[StatementLine]


class PaymentLine(Reply, frozen=True):
    payment_id: str
    direction: Direction
    state: str
    amount_minor: Minor
    currency: str
    processor: str
    method: str
    requested_at: Time
    answered_at: Time | UnsetType = UNSET
    processor_code: Annotated[
        str | UnsetType, Meta(description="Why it failed, in the processor's words")
    ] = UNSET


class Payments(OwnPage, frozen=True):
    items: list[PaymentLine]


class PaymentRequest(Body, frozen=True, forbid_unknown_fields=True):
    amount_minor: Amount
    currency: Currency
    processor: Annotated[Id, Meta(examples=["bogus"])]
    method: Annotated[Id, Meta(examples=["bogus-approved"])]


class PaymentDone(Reply, frozen=True):
    payment_id: str
    state: Literal["completed"]
    amount_minor: Minor
    currency: str
    cash_after_minor: Minor


# Fixtures and markets


class SportCount(Reply, frozen=True):
    sport: str
    fixtures: int


FixturesUpToDate = Annotated[
    bool,
    Meta(
        description="False when a fixture that was created before this request may be missing: "
        "the list is made behind the fixtures, and is late. Ask again in a moment"
    ),
]


class Sports(Reply, frozen=True):
    up_to_date: FixturesUpToDate
    items: list[SportCount]


class SelectionResult(Reply, frozen=True):
    outcome: Outcome
    tied: int
    places: int


class Selection(Reply, frozen=True):
    selection_id: str
    name: str
    odds: Price
    withdrawn: bool
    result: SelectionResult | UnsetType = UNSET
    place: Annotated[
        SelectionResult | UnsetType,
        Meta(description="How the place part of each-way bets came out"),
    ] = UNSET
    starting_odds: Annotated[
        int | UnsetType, Meta(description="The starting price, once it is known")
    ] = UNSET


class StakeLimits(Reply, frozen=True):
    min_stake_minor: Minor
    max_stake_minor: Minor


class EachWayTerms(Body, frozen=True, forbid_unknown_fields=True):
    """The place part pays for so many places, at 1 + (odds - 1) / divisor."""

    places: Annotated[int, Meta(ge=1, le=MAX_SELECTIONS)]
    divisor: Annotated[int, Meta(ge=1, le=MAX_DIVISOR)]


class DeductionRule(Body, frozen=True, forbid_unknown_fields=True):
    """Rule 4 by Tattersalls' table, and where operators differ."""

    cap_pence: Annotated[
        int, Meta(ge=1, le=99, description="The most in the pound that several take")
    ] = 90
    waive_5p: Annotated[bool, Meta(description="A total of 5p is not taken")] = False


class Terms(Body, frozen=True, forbid_unknown_fields=True):
    """What a market offers beside a win at the price shown. Fixed when it is opened."""

    each_way: EachWayTerms | UnsetType = UNSET
    starting_price: Annotated[
        bool, Meta(description="Legs can be had at the price that is known at the off")
    ] = False
    ante_post: Annotated[bool, Meta(description="A withdrawn runner loses")] = False
    rule_4: Annotated[
        DeductionRule | UnsetType,
        Meta(description="What a withdrawal takes off the winnings at prices from before it"),
    ] = UNSET
    reduction_factors: Annotated[
        bool, Meta(description="A withdrawal takes its own factor off prices from before it")
    ] = False
    line_quarters: Annotated[
        Annotated[int, Meta(ge=-400, le=4_000)] | UnsetType,
        Meta(description="The line of a total or a handicap, in quarters: 10 is 2.5"),
    ] = UNSET


class Market(Reply, frozen=True):
    market_id: str
    name: str
    kind: str
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int
    odds_version: int
    limits: StakeLimits
    selections: list[Selection]
    terms: Terms | UnsetType = UNSET


class Fixture(Reply, frozen=True):
    fixture_id: str
    sport: str
    competition: str
    name: str
    starts_at: Time
    phase: Phase
    score: str
    seq: Annotated[
        int, Meta(description="Rises by one with every change to the fixture or to its markets")
    ]
    markets: list[Market]


class Fixtures(PageOf, frozen=True):
    up_to_date: FixturesUpToDate
    items: list[Fixture]


class FixturesQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    sport: Text | UnsetType = UNSET
    phase: Phase | UnsetType = UNSET


class FixturePath(Query, frozen=True, forbid_unknown_fields=True):
    fixture_id: Id


class MarketPath(Query, frozen=True, forbid_unknown_fields=True):
    market_id: MarketId


class SeriesQuery(Query, frozen=True, forbid_unknown_fields=True):
    selection_id: Id
    since: Annotated[
        Moment | UnsetType, Meta(description="From the first price on, where it is left out")
    ] = UNSET
    until: Annotated[Moment | UnsetType, Meta(description="Until now, where it is left out")] = (
        UNSET
    )
    points: Annotated[
        int,
        Meta(
            ge=2,
            le=1_000,
            description="Where there are more prices, into so many parts the time is cut",
        ),
    ] = 200


class PriceThen(Reply, frozen=True):
    at: Time
    odds: Price


class PriceSeries(Reply, frozen=True):
    market_id: str
    selection_id: str
    points: Annotated[
        list[PriceThen],
        Meta(
            description="Oldest first: the price that stood at the beginning, then all or the last "
            "one of every part of the time in which it changed. Each holds until the next."
        ),
    ]


# Bets


OfferTaken = Annotated[
    Id | UnsetType,
    Meta(
        description="Takes what was offered in place of a refused bet (`offer_id` of the problem), "
        "at exactly that stake and those odds. It is good once, until `offer_valid_until_ms`; then "
        "it is `reoffer_expired`"
    ),
]
ReferralTaken = Annotated[
    Id | UnsetType,
    Meta(
        description="Takes what a trader has accepted, at exactly that stake and those odds; once, "
        "until it expires; then it is `referral_over`"
    ),
]


class Slip(Body, frozen=True, forbid_unknown_fields=True):
    """A single."""

    market_id: MarketId
    selection_id: Id
    stake_minor: Amount
    currency: Currency
    odds: Annotated[Odds, Meta(description="The decimal odds times 10,000 that were shown")]
    accept: Annotated[
        PriceChange, Meta(description="Which changes of the price to take without asking again")
    ] = PriceChange.NONE
    offer_id: OfferTaken = UNSET
    referral_id: ReferralTaken = UNSET

    def __post_init__(self) -> None:
        if self.offer_id is not UNSET and self.referral_id is not UNSET:
            raise ValueError("an offer or a referral, not both")


class ReferredLeg(Reply, frozen=True):
    market_id: str
    selection_id: str
    odds: Annotated[
        int, Meta(description="As the leg would be placed, with what is joined; 0 at the SP")
    ]
    banker: bool | UnsetType = UNSET
    joined: list[JoinedSelection] | UnsetType = UNSET


class ReferredSlip(Reply, frozen=True):
    """Of a referral that is about a slip. A trader may accept less of it, never other prices."""

    lines: Lines
    legs: list[ReferredLeg]
    potential_payout_minor: Annotated[int, Meta(description="With the stake that was asked for")]


class Referral(Reply, frozen=True):
    """A bet that a trader was asked about. Nothing is held for it."""

    referral_id: str
    state: Annotated[
        ReferralState,
        Meta(description="Once `accepted`, it is placed with `referral_id` until it expires"),
    ]
    market_id: Annotated[str, Meta(description="Of a slip this and what is below: its first leg's")]
    selection_id: str
    stake_minor: Annotated[int, Meta(description="As it was asked for")]
    currency: str
    odds: int
    asked_at: Time
    expires_at: Annotated[
        Time,
        Meta(description="Until then a trader can answer, and then the player can take it"),
    ]
    accepted_stake_minor: Annotated[
        int | UnsetType, Meta(description="What the trader has agreed to, at most what was asked")
    ] = UNSET
    accepted_odds: int | UnsetType = UNSET
    bet_id: Annotated[str | UnsetType, Meta(description="The bet that it became")] = UNSET
    slip: Annotated[ReferredSlip | UnsetType, Meta(description="Not of a single")] = UNSET


class Referrals(OwnPage, frozen=True):
    items: list[Referral]


class DeadHeat(Reply, frozen=True):
    """So many shared fewer places: that part of the stake is paid at the full price."""

    tied: int
    places: int


class Leg(Reply, frozen=True):
    fixture_id: str
    market_id: str
    selection_id: str
    odds: Price
    fixture_name: str
    market_name: str
    selection_name: str
    in_play: bool
    asked: Annotated[
        int | UnsetType, Meta(description="The odds asked for, where the bet got others")
    ] = UNSET
    banker: Annotated[bool | UnsetType, Meta(description="In every line of a slip")] = UNSET
    joint: Annotated[
        int | UnsetType,
        Meta(description="The one price for this selection and its neighbours of the same `leg`"),
    ] = UNSET
    leg: Annotated[
        int | UnsetType, Meta(description="Where a leg of the slip has several selections: which")
    ] = UNSET
    outcome: Annotated[
        Outcome | UnsetType, Meta(description="Of a slip's leg, once it is known")
    ] = UNSET
    sp: Annotated[bool | UnsetType, Meta(description="At the starting price")] = UNSET
    each_way: EachWayTerms | UnsetType = UNSET
    ante_post: bool | UnsetType = UNSET
    place: Annotated[
        Outcome | UnsetType, Meta(description="Of an each-way leg's place part, once it is known")
    ] = UNSET
    starting_odds: Annotated[
        int | UnsetType, Meta(description="Of a leg at the starting price, once it is known")
    ] = UNSET
    deduction: Annotated[
        int | UnsetType,
        Meta(description="Taken off the winnings by withdrawals, in ten-thousandths: 2500 is 25p"),
    ] = UNSET
    reductions: Annotated[
        list[int] | UnsetType,
        Meta(description="Taken off the price by withdrawals, one after the other"),
    ] = UNSET
    withdrawn: Annotated[bool | UnsetType, Meta(description="It took no part")] = UNSET
    dead_heat: DeadHeat | UnsetType = UNSET
    place_dead_heat: Annotated[DeadHeat | UnsetType, Meta(description="Of the place part")] = UNSET


class Lines(Reply, frozen=True):
    """Of a bet of several lines."""

    kind: Kind
    folds: Annotated[list[int], Meta(description="How many of the free legs are in a line")]
    lines: int
    each_way: Annotated[
        bool | UnsetType, Meta(description="Half of the lines are on the places")
    ] = UNSET


class Bet(Reply, frozen=True):
    bet_id: str
    state: BetState
    stake_minor: Annotated[int, Meta(description="As it was placed")]
    currency: str
    potential_payout_minor: Annotated[
        int, Meta(description="The most it can pay, the stake and what it has paid included")
    ]
    payout_minor: Annotated[
        int, Meta(description="What it has paid; of a single that is open, what was cashed out")
    ]
    placed_at: Time
    legs: list[Leg]
    settled_at: Time | UnsetType = UNSET
    lines: Annotated[Lines | UnsetType, Meta(description="Not of a single")] = UNSET
    cashed_out_minor: Annotated[
        int | UnsetType, Meta(description="Of `payout_minor`, for what was bought back")
    ] = UNSET
    cash_after_minor: Annotated[
        int | UnsetType, Meta(description="In the answer to placing it: the cash that was left")
    ] = UNSET
    free_stake: Annotated[
        bool | UnsetType, Meta(description="The stake is the house's, and is not returned")
    ] = UNSET
    boosted_odds: Annotated[
        int | UnsetType, Meta(description="The price for the whole of it, with a boost")
    ] = UNSET
    corrections: Annotated[
        int | UnsetType, Meta(description="How often a result that settled it was corrected")
    ] = UNSET


class Bets(OwnPage, frozen=True):
    items: list[Bet]


class BetsQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    state: Annotated[
        Literal["open", "settled", "cashed_out"] | UnsetType,
        Meta(description="`settled`: by results; `cashed_out`: bought back in full"),
    ] = UNSET


class BetPath(Query, frozen=True, forbid_unknown_fields=True):
    bet_id: Id


# Slips of several lines


class JoinedSelection(Body, frozen=True, forbid_unknown_fields=True):
    market_id: MarketId
    selection_id: Id


class NewLeg(Body, frozen=True, forbid_unknown_fields=True):
    market_id: MarketId
    selection_id: Id
    odds: Annotated[
        Odds | UnsetType, Meta(description="The decimal odds times 10,000 that were shown")
    ] = UNSET
    banker: Annotated[bool, Meta(description="In every line, beside the folds")] = False
    sp: Annotated[bool, Meta(description="In place of odds: at the starting price")] = False
    joined: Annotated[
        list[JoinedSelection],
        Meta(
            max_length=MAX_JOINED - 1,
            description="Other selections on the same fixture, under one price with this one that "
            "a quote says. All of them have to win",
        ),
    ] = []


class NewSlip(Body, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    legs: Annotated[list[NewLeg], Meta(min_length=1, max_length=MAX_LEGS)]
    stake_minor: Annotated[
        int, Meta(gt=0, le=MAX_MINOR, description="On all lines together, as much on each")
    ]
    currency: Currency
    folds: Annotated[
        list[Annotated[int, Meta(ge=1, le=MAX_LEGS)]],
        Meta(max_length=MAX_LEGS, description="Of a system, rising; of no other kind"),
    ] = []
    accept: Annotated[
        PriceChange, Meta(description="Which changes of prices to take without asking again")
    ] = PriceChange.NONE
    each_way: Annotated[
        bool,
        Meta(
            description="As many lines again, on the places, by the terms of the markets; half of "
            "the stake is on those"
        ),
    ] = False
    bonus_id: Annotated[
        Id | UnsetType, Meta(description="One of the player's bonuses, used with this slip")
    ] = UNSET
    offer_id: OfferTaken = UNSET
    referral_id: ReferralTaken = UNSET

    def __post_init__(self) -> None:
        promises = (self.bonus_id, self.offer_id, self.referral_id)
        if sum(promise is not UNSET for promise in promises) > 1:
            raise ValueError("a bonus, an offer or a referral: one of them")


class SlipQuote(Reply, frozen=True):
    """What a slip would be at the odds it was asked for with. Nothing is held for it."""

    lines: Lines
    stake_minor: Minor
    line_stake_minor: Annotated[int, Meta(description="On each line")]
    potential_payout_minor: Minor
    currency: str
    odds: Annotated[
        list[int],
        Meta(description="Of each leg: as asked, or the house's price now for what is joined"),
    ]
    boosted_odds: Annotated[
        int | UnsetType, Meta(description="The price for the whole of it, with a boost")
    ] = UNSET


class Bonus(Reply, frozen=True):
    """What the house gives, to be used once."""

    bonus_id: str
    kind: BonusKind
    amount_minor: Annotated[
        int, Meta(description="The largest free stake, or the most that a boost adds to a payout")
    ]
    currency: str
    expires_at: Time
    boost: Annotated[
        int | UnsetType,
        Meta(description="Of the winnings, in ten-thousandths: 2500 is a quarter more"),
    ] = UNSET


class Bonuses(Reply, frozen=True):
    items: list[Bonus]


class CashOutQuery(Query, frozen=True, forbid_unknown_fields=True):
    stake_minor: Annotated[
        Amount | UnsetType, Meta(description="The part of the stake to buy back; all if left out")
    ] = UNSET


class CashOutOffer(Reply, frozen=True):
    bet_id: str
    stake_minor: Annotated[int, Meta(description="What of the stake it is for")]
    amount_minor: Annotated[int, Meta(description="Paid for that, beside what was paid before")]
    currency: str
    expires_at: Time
    offer: Annotated[str, Meta(description="To be sent back to take it")]


class TakeOffer(Body, frozen=True, forbid_unknown_fields=True):
    offer: Annotated[str, Meta(min_length=1, max_length=2_000, pattern="^[A-Za-z0-9_=-]+$")]


class CashedOut(Reply, frozen=True):
    bet_id: str
    stake_minor: Annotated[int, Meta(description="What of the stake was bought back")]
    amount_minor: Annotated[int, Meta(description="Paid: what was offered, or more")]
    currency: str
    state: BetState
    cash_after_minor: Minor


# Staff


class NewFixture(Body, frozen=True, forbid_unknown_fields=True):
    sport: Annotated[Text, Meta(examples=["Football"])]
    competition: Text
    name: Text
    starts_at: Annotated[Moment, Meta(examples=["2026-11-22T15:00:00Z"])]
    fixture_id: Annotated[
        Id | None, Meta(description="Where the house has a name for it; else one is made")
    ] = None


class PhaseChange(Body, frozen=True, forbid_unknown_fields=True):
    phase: Phase
    score: ShortText = ""


class PhaseNow(Reply, frozen=True):
    fixture_id: str
    seq: int
    phase: Phase
    score: str


Expected = Annotated[
    int, Meta(ge=100, le=90_000, description="Goals expected before the match, times 10,000")
]


class NewModel(Body, frozen=True, forbid_unknown_fields=True):
    """What to expect of a football match, and where it stands: prices selections together."""

    home: Expected
    away: Expected
    rho: Annotated[
        int, Meta(ge=-4_000, le=4_000, description="Dixon and Coles' rho, times 10,000")
    ] = 0
    home_goals: Annotated[int, Meta(ge=0, le=50)] = 0
    away_goals: Annotated[int, Meta(ge=0, le=50)] = 0
    half: Annotated[int, Meta(ge=1, le=2)] = 1
    minute: Annotated[
        int, Meta(ge=0, le=120, description="Counted on from 45 in the second half")
    ] = 0
    home_reds: Annotated[int, Meta(ge=0, le=4)] = 0
    away_reds: Annotated[int, Meta(ge=0, le=4)] = 0


class ModelNow(Reply, frozen=True):
    fixture_id: str


class NewSelection(Body, frozen=True, forbid_unknown_fields=True):
    selection_id: Id
    name: Text
    odds: Odds | None = None


class NewLimits(Body, frozen=True, forbid_unknown_fields=True):
    """What is left out is as the house has it for markets of that kind."""

    min_stake_minor: Amount | UnsetType = UNSET
    max_stake_minor: Amount | UnsetType = UNSET
    max_liability_minor: Annotated[
        Amount | UnsetType, Meta(description="Of singles, for each selection")
    ] = UNSET
    max_slip_liability_minor: Annotated[
        Amount | UnsetType, Meta(description="Of slips with a leg on it, for each selection")
    ] = UNSET
    max_market_liability_minor: Annotated[
        Amount | UnsetType, Meta(description="For the market's worst case, slips in full")
    ] = UNSET
    refer_above_minor: Annotated[
        Amount | UnsetType, Meta(description="Stakes above it wait for a trader,")
    ] = UNSET
    refer_up_to_minor: Annotated[
        Amount | UnsetType, Meta(description="and those above this are refused")
    ] = UNSET
    reoffer_ms: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_REOFFER_MS)] | UnsetType,
        Meta(description="How long an offer in place of a refused bet is good; 0: none is made"),
    ] = UNSET
    max_age_ms: Annotated[
        Annotated[int, Meta(ge=0, le=86_400_000)] | UnsetType,
        Meta(description="How old prices may be before play; 0: as old as they are"),
    ] = UNSET
    max_age_in_play_ms: Annotated[int, Meta(ge=0, le=86_400_000)] | UnsetType = UNSET


class NewMarket(Body, frozen=True, forbid_unknown_fields=True):
    market_key: Id
    name: Text
    kind: Id
    selections: Annotated[list[NewSelection], Meta(min_length=1, max_length=MAX_SELECTIONS)]
    limits: NewLimits = NewLimits()
    status: Literal["open", "suspended"] = "open"
    terms: Terms = Terms()
    winners: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SELECTIONS,
            description="How many selections win; 0 where each of them stands for itself",
        ),
    ] = 1


class PriceList(Body, frozen=True, forbid_unknown_fields=True):
    odds: Annotated[dict[Id, Price], Meta(min_length=1, max_length=MAX_SELECTIONS)]


class PricesNow(Reply, frozen=True):
    market_id: str
    seq: int
    odds_version: int
    odds: dict[str, int]


class StatusChange(Body, frozen=True, forbid_unknown_fields=True):
    status: Literal["open", "suspended", "closed"]
    in_play: bool = False
    bet_delay_ms: Annotated[int, Meta(ge=0, le=MAX_BET_DELAY_MS)] = 0


class StatusNow(Reply, frozen=True):
    market_id: str
    seq: int
    status: MarketStatus
    in_play: bool
    bet_delay_ms: int


class NewPlace(Body, frozen=True, forbid_unknown_fields=True):
    outcome: Outcome
    tied: Annotated[
        int, Meta(ge=1, le=1_000, description="Winners in a dead heat that share `places`")
    ] = 1
    places: Annotated[int, Meta(ge=1, le=1_000)] = 1


class NewResult(Body, frozen=True, forbid_unknown_fields=True):
    """An outcome, or a position in the finish from which the outcome and the place follow."""

    outcome: Outcome | UnsetType = UNSET
    tied: Annotated[
        int, Meta(ge=1, le=1_000, description="Winners in a dead heat that share `places`")
    ] = 1
    places: Annotated[int, Meta(ge=1, le=1_000)] = 1
    position: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_SELECTIONS)] | UnsetType,
        Meta(description="In place of an outcome"),
    ] = UNSET
    place: Annotated[
        NewPlace | UnsetType,
        Meta(description="Beside an outcome: that of the place part, where the terms have one"),
    ] = UNSET
    starting_odds: Annotated[
        Odds | UnsetType, Meta(description="Needed of what pays at it, where the terms offer it")
    ] = UNSET


class ResultList(Body, frozen=True, forbid_unknown_fields=True):
    results: Annotated[dict[Id, NewResult], Meta(min_length=1, max_length=MAX_SELECTIONS)]


class ResultNow(Reply, frozen=True):
    market_id: str
    seq: int
    version: Annotated[int, Meta(description="Of the result; every correction is one higher")]
    cancelled: bool
    results: dict[str, SelectionResult]
    places: dict[str, SelectionResult] | UnsetType = UNSET
    starting_odds: dict[str, int] | UnsetType = UNSET


class Empty(Body, frozen=True, forbid_unknown_fields=True):
    """Nothing: `{}`."""


LastOdds = Annotated[
    Odds | UnsetType,
    Meta(description="By which others are reduced; the price on the board if left out"),
]
Reduction = Annotated[
    int, Meta(ge=0, lt=ONE, description="Its factor in ten-thousandths: 2530 is 25.3 per cent")
]


class Withdrawal(Body, frozen=True, forbid_unknown_fields=True):
    selection_id: Id
    odds: LastOdds = UNSET
    reduction: Reduction = 0


class BetTimes(Body, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Bets accepted from one time to another, both included; one of the two may be left out."""

    from_: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET


class VoidNow(Reply, frozen=True):
    market_id: str
    seq: int
    version: Annotated[int, Meta(description="Of the result, which this is a change of, too")]


class RolledBackNow(Reply, frozen=True):
    market_id: str
    seq: int
    version: int
    undecided: Annotated[list[str], Meta(description="Selections that have no result any more")]
    results: dict[str, SelectionResult]


class LateSelection(Body, frozen=True, forbid_unknown_fields=True):
    selection_id: Id
    name: Text


class SelectionNow(Reply, frozen=True):
    market_id: str
    seq: int
    selection_id: str
    name: str


class WithdrawnNow(Reply, frozen=True):
    market_id: str
    seq: int
    version: int
    selection_id: str
    odds: Annotated[
        int | UnsetType, Meta(description="By which prices from before it are reduced")
    ] = UNSET
    suspended_for: Annotated[
        str | UnsetType,
        Meta(
            description="`withdrawal`: the market takes no bets until each of `unrenewed` was "
            "priced again, or somebody opens it; left out where no price is from before"
        ),
    ] = UNSET
    unrenewed: Annotated[
        list[str] | UnsetType, Meta(description="Selections with a price from before it")
    ] = UNSET


class ExposureLine(Reply, frozen=True):
    bets: int
    stakes_minor: Minor
    liability_minor: Annotated[int, Meta(description="What its winning costs beyond the stakes")]


class Exposure(Reply, frozen=True):
    market_id: str
    known: Annotated[bool, Meta(description="False while the totals are being read again")]
    holds: Annotated[int, Meta(description="Bets on their way, whose stakes are counted in")]
    selections: dict[str, ExposureLine]


# Problems and health


class Problem(Reply, frozen=True):
    """RFC 9457. What a refusal knows besides, such as the current `odds`, stands beside these."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(description="Stable: what programs look at")]
    detail: str
    request_id: Annotated[str | UnsetType, Meta(description="Names it in the server's log")] = UNSET
    offer_id: Annotated[
        str | UnsetType,
        Meta(
            description="Of a bet refused for its stake or its price, where another one can be had "
            "in its place: a smaller stake, or the price of now. Placed with this id, it is taken "
            "at these terms for as long as they are valid"
        ),
    ] = UNSET
    offer_stake_minor: Annotated[
        int | UnsetType, Meta(description="The stake to place it with")
    ] = UNSET
    offer_odds: Annotated[int | UnsetType, Meta(description="The odds to place it with")] = UNSET
    offer_leg_odds: Annotated[
        list[int] | UnsetType,
        Meta(description="Of a slip, in place of them: leg by leg, 0 at the starting price"),
    ] = UNSET
    offer_valid_until_ms: Annotated[
        int | UnsetType, Meta(description="Milliseconds since 1970, UTC")
    ] = UNSET
    referral_id: Annotated[
        str | UnsetType,
        Meta(description="Of a bet that is `referred`: what becomes of it is at /v1/referrals"),
    ] = UNSET
    referral_expires_at: Annotated[
        Time | UnsetType, Meta(description="How long a trader has to answer")
    ] = UNSET


class Ready(Reply, frozen=True):
    ready: bool
    checks: Annotated[dict[str, str], Meta(description="`ok`, or what is wrong, by part")]


class Live(Reply, frozen=True):
    live: bool


def time_text(at_ms: int) -> str:
    """2026-11-22T08:42:33.353Z, from milliseconds since the epoch."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{_second_text(seconds)}.{ms:03d}Z"


def ms_of(moment: dt.datetime) -> int:
    """Whole milliseconds since the epoch; what is smaller is cut off."""
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)


@lru_cache(maxsize=1_024)
def _second_text(seconds: int) -> str:
    """Most times that are shown are of the last few seconds."""
    return f"{dt.datetime.fromtimestamp(seconds, tz=dt.UTC):%Y-%m-%dT%H:%M:%S}"
