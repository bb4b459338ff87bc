"""Why a slip is refused: the ladder, rung by rung."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from msgspec.structs import replace

from actors.base import Reason, Refused
from actors.odds import MAX_ODDS
from actors.slips.kinds import Kind
from actors.slips.slip import (
    MAX_JOINED,
    MAX_LEGS,
    MAX_SYSTEM_LEGS,
    EachWay,
    Leg,
    Slip,
    lines_in,
    refuse,
)
from ledger.money import MAX_MINOR
from tests.rules.slip_lines import slips


def leg(name: str, **more: object) -> Leg:
    plain: dict[str, object] = {
        "fixture_id": name,
        "market_id": f"{name}:m",
        "selection_id": "a",
        "odds": 20_000,
    }
    return Leg(**(plain | more))  # type: ignore[arg-type]


def many(count: int) -> tuple[Leg, ...]:
    return tuple(leg(f"f{number}") for number in range(count))


A, B, C, D = (leg(name) for name in "abcd")
A2 = leg("a", market_id="a:goals")
BAD = leg("e", odds=9_999)
GROUPS = (frozenset({"a", "b:m"}),)


@pytest.mark.parametrize(
    ("slip", "reason"),
    [
        # each line breaks its own rule, and most break some of the rules below it
        (Slip((*many(MAX_LEGS), BAD), Kind.TRIXIE, 0), Reason.TOO_MANY_LEGS),
        (Slip((), Kind.SINGLE, 0), Reason.WRONG_LEG_COUNT),
        (Slip((A, A, BAD), Kind.DOUBLE, 0), Reason.OUT_OF_BOUNDS),
        (Slip((A, A), Kind.TRIXIE, 0), Reason.WRONG_LEG_COUNT),
        (Slip((A,), Kind.ACCUMULATOR, 0), Reason.WRONG_LEG_COUNT),
        (Slip((leg("a", banker=True),), Kind.SINGLE, 0), Reason.WRONG_LEG_COUNT),
        (Slip((A, B, leg("c", banker=True)), Kind.TRIXIE, 4), Reason.WRONG_LEG_COUNT),
        (Slip((A, A), Kind.SYSTEM, 0, (3,)), Reason.WRONG_LEG_COUNT),
        (
            Slip((*many(MAX_SYSTEM_LEGS), *many(1)), Kind.DOUBLE, 0),
            Reason.TOO_MANY_LEGS,
        ),
        (Slip((A, A), Kind.SINGLE, 0), Reason.DUPLICATE_LEG),
        (Slip((A, A2), Kind.DOUBLE, 0, each_way=True), Reason.CORRELATED_LEGS),
        (Slip((A, B), Kind.DOUBLE, 0, each_way=True), Reason.EACH_WAY_UNAVAILABLE),
        (Slip((A, B), Kind.SINGLE, 0, boosted_odds=50_000), Reason.BOOST_UNAVAILABLE),
        (Slip((A, B), Kind.DOUBLE, 0, boosted_odds=39_999), Reason.BOOST_UNAVAILABLE),
        (
            Slip((leg("a", odds=0),), Kind.SINGLE, 0, boosted_odds=30_000),
            Reason.BOOST_UNAVAILABLE,
        ),
        (Slip((A, B), Kind.DOUBLE, 0), Reason.OUT_OF_BOUNDS),
        (Slip((A, B), Kind.DOUBLE, MAX_MINOR + 1), Reason.OUT_OF_BOUNDS),
        (Slip((A, B), Kind.DOUBLE, 1, payout_cap_minor=0), Reason.OUT_OF_BOUNDS),
        (Slip((A, B), Kind.DOUBLE, 1, boost_cap_minor=-1), Reason.OUT_OF_BOUNDS),
        (Slip((A, B), Kind.SINGLE, 3, payout_cap_minor=2), Reason.STAKE_ABOVE_LIMIT),
        (Slip((A, B), Kind.SINGLE, 3), Reason.UNEVEN_STAKE),
    ],
)
def test_a_slip_is_refused(slip: Slip, reason: Reason) -> None:
    refused = refuse(slip)
    assert refused is not None
    assert refused.reason is reason


@pytest.mark.parametrize(
    "broken",
    [
        leg("a", odds=-1),
        leg("a", odds=MAX_ODDS + 1),
        leg("a", boosted_odds=19_999),
        leg("a", boosted_odds=MAX_ODDS + 1),
        leg("a", odds=0, boosted_odds=30_000),
        leg("a", odds=0, ante_post=True),
        leg("a", odds=0, joined=(("a:n", "x"),)),
        leg("a", each_way=EachWay(3, 5), joined=(("a:n", "x"),)),
        leg("a", each_way=EachWay(0, 5)),
        leg("a", each_way=EachWay(3, 0)),
        leg("a", odds=0, each_way=EachWay(3, 0)),
    ],
)
def test_a_leg_that_makes_no_sense_is_refused_by_its_number(broken: Leg) -> None:
    slip = Slip((B, broken), Kind.SINGLE, 2)
    assert refuse(slip) == Refused(Reason.OUT_OF_BOUNDS, facts={"leg": 1})


@pytest.mark.parametrize(
    ("slip", "correlated"),
    [
        (Slip((A, A2), Kind.SINGLE, 2), False),
        (Slip((A, A2), Kind.DOUBLE, 2), True),
        (Slip((A, A2, B), Kind.SYSTEM, 3, (1,)), False),
        (Slip((A, A2, B), Kind.SYSTEM, 6, (1, 2)), True),
        (Slip((replace(A, banker=True), A2, C), Kind.SINGLE, 2), True),
        (Slip((replace(A, banker=True), C, D), Kind.SINGLE, 2), False),
        (Slip((C, replace(A, banker=True), replace(A2, banker=True)), Kind.SINGLE, 2), True),
        # by the configured group: fixture a and market b:m
        (Slip((A, B), Kind.DOUBLE, 2), True),
        (Slip((A, replace(B, market_id="b:n")), Kind.DOUBLE, 2), False),
        (Slip((A, replace(B, market_id="b:n", joined=(("b:m", "x"),))), Kind.DOUBLE, 2), True),
        (Slip((A, B), Kind.SINGLE, 2), False),
        # a same-game multiple is one leg, with one price
        (Slip((replace(A, joined=(("a:goals", "a"),)),), Kind.SINGLE, 2), False),
    ],
)
def test_correlated_legs_share_no_line(slip: Slip, correlated: bool) -> None:
    refused = refuse(slip, GROUPS)
    assert (refused is not None and refused.reason is Reason.CORRELATED_LEGS) is correlated
    assert correlated or refused is None


def test_the_selections_of_joint_prices_count_too() -> None:
    wide = [
        leg(f"f{number}", joined=tuple((f"f{number}:{more}", "x") for more in range(15)))
        for number in range(4)
    ]
    refused = refuse(Slip(tuple(wide), Kind.ACCUMULATOR, 1))
    assert refused == Refused(Reason.TOO_MANY_LEGS, facts={"max_selections": MAX_LEGS})
    wider = leg("f", joined=tuple((f"f:{more}", "x") for more in range(MAX_JOINED)))
    refused = refuse(Slip((wider,), Kind.SINGLE, 1))
    assert refused is not None
    assert refused.reason is Reason.TOO_MANY_LEGS


def test_the_widest_slips_are_taken() -> None:
    assert refuse(Slip(many(MAX_LEGS), Kind.ACCUMULATOR, 1)) is None
    assert refuse(Slip(many(MAX_LEGS), Kind.SINGLE, MAX_LEGS)) is None
    wide = Slip(many(MAX_SYSTEM_LEGS), Kind.SYSTEM, 184_756, (10,))
    assert lines_in(wide) == 184_756
    assert refuse(wide) is None


@given(slips())
def test_a_slip_travels_as_it_is(slip: Slip) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(slip), type=Slip) == slip


def test_codes_that_actors_have_too_are_theirs() -> None:
    shared = (Reason.OUT_OF_BOUNDS, Reason.STAKE_ABOVE_LIMIT, Reason.PRICE_CHANGED)
    assert [Reason(code.value).name for code in shared] == [code.name for code in shared]
