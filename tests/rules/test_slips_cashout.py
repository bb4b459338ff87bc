"""Cash-out: known offers, offers against lines written out, and parts that add up."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.base import Reason, Refused
from actors.odds import MAX_ODDS, MIN_ODDS
from actors.results import LOST, VOID, WON
from actors.slips.cashout import CashedOut, CashOutRules, Offer, accept, offer
from actors.slips.kinds import Kind
from actors.slips.settling import Known, settle
from actors.slips.slip import EachWay, Leg, Slip
from ledger.money import MAX_MINOR
from tests.rules import slip_lines
from tests.rules.slip_lines import Facts, facts_of, half_up, pays, slips

NOW = 1_800_000_000_000
RULES = CashOutRules()
"""A margin of 5 per cent."""
FAIR = CashOutRules(margin=0)

LEGS = tuple(
    Leg(name, f"{name}:m", "x", odds, each_way=EachWay(3, 5))
    for name, odds in (("a", 20_000), ("b", 30_000), ("c", 40_000))
)
A, B, C = (("a:m", "x"), ("b:m", "x"), ("c:m", "x"))
SINGLE = Slip(LEGS[1:2], Kind.SINGLE, 1_000)
DOUBLE = Slip(LEGS[:2], Kind.DOUBLE, 1_000)
PATENT = Slip(LEGS, Kind.PATENT, 700)
EACH_WAY = Slip((Leg("a", "a:m", "x", 110_000, each_way=EachWay(3, 5)),), Kind.SINGLE, 1_000,
                each_way=True)  # fmt: skip
AT_START = Slip((Leg("a", "a:m", "x", 0),), Kind.SINGLE, 1_000)


@pytest.mark.parametrize(
    ("slip", "known", "prices", "stake", "amount"),
    [
        # stake x (price at placement / price now) x (1 - margin): SPORTSBOOK.md
        (SINGLE, {}, (15_000,), 1_000, 1_900),
        (SINGLE, {}, (30_000,), 1_000, 950),
        (SINGLE, {}, (60_000,), 1_000, 475),
        (SINGLE, {}, (15_000,), 500, 950),
        (SINGLE, {}, (15_000,), 1, 1),  # 1.9
        # the product over open legs, known legs by their factor
        (DOUBLE, {}, (16_000, 24_000), 1_000, 1_484),  # 14.84375
        (DOUBLE, {A: Known(WON)}, (0, 20_000), 1_000, 2_850),
        (DOUBLE, {A: Known(VOID)}, (0, 20_000), 1_000, 1_425),
        # only lines that are open: C, AC, BC and ABC at 4 / 2
        (PATENT, {A: Known(WON), B: Known(VOID)}, (0, 0, 20_000), 700, 1_140),
        # win 11 / 6, place 3 / 2, half the stake on each
        (EACH_WAY, {}, (60_000,), 1_000, 1_583),
        # the win is lost, the place is open
        (EACH_WAY, {A: Known(LOST)}, (60_000,), 1_000, 712),  # 7.125
        # a starting price that is known by now
        (AT_START, {A: Known(starting_odds=30_000)}, (15_000,), 1_000, 1_900),
        # a free stake: the winnings of 20 have a chance of 1 in 2
        (replace(SINGLE, free_stake=True), {}, (20_000,), 1_000, 950),
        # what is worth more than the cap is worth the cap
        (replace(SINGLE, payout_cap_minor=1_100), {}, (15_000,), 1_000, 1_045),
        # after a withdrawal the price at placement is the one less the deduction
        (SINGLE, {B: Known(deduction=2_500)}, (15_000,), 1_000, 1_583),
    ],
)
def test_an_offer(
    slip: Slip, known: Facts, prices: tuple[int, ...], stake: int, amount: int
) -> None:
    offered = offer(slip, known, prices, stake, RULES, NOW)
    assert isinstance(offered, Offer)
    assert offered.amount_minor == amount
    assert offered.expires_at_ms == NOW + 5_000


@pytest.mark.parametrize(
    ("slip", "known", "prices", "stake", "reason"),
    [
        # each line breaks its own rule and, where that can be, those below it
        (SINGLE, {B: Known(WON)}, (0,), 0, Reason.OUT_OF_BOUNDS),
        (SINGLE, {B: Known(WON)}, (0,), 1_001, Reason.OUT_OF_BOUNDS),
        (SINGLE, {B: Known(WON)}, (0,), 1_000, Reason.NOTHING_OPEN),
        (DOUBLE, {A: Known(LOST)}, (0, 0), 1_000, Reason.NOTHING_OPEN),
        (DOUBLE, {}, (0, MAX_ODDS), 1, Reason.CASH_OUT_SUSPENDED),
        (DOUBLE, {}, (MAX_ODDS, MIN_ODDS - 1), 1, Reason.CASH_OUT_SUSPENDED),
        (AT_START, {}, (15_000,), 1_000, Reason.CASH_OUT_SUSPENDED),
        (DOUBLE, {}, (MAX_ODDS, MAX_ODDS), 1_000, Reason.CASH_OUT_TOO_SMALL),
    ],
)
def test_no_offer(
    slip: Slip, known: Facts, prices: tuple[int, ...], stake: int, reason: Reason
) -> None:
    refused = offer(slip, known, prices, stake, RULES, NOW)
    assert isinstance(refused, Refused)
    assert refused.reason is reason


OFFERED = Offer(500, 742, NOW + 5_000, 1_000, 0, (16_000, 24_000))


@pytest.mark.parametrize(
    ("slip", "known", "prices", "now", "answer"),
    [
        (DOUBLE, {}, (16_000, 24_000), 5_000, 742),
        (DOUBLE, {}, (15_000, 24_000), 5_000, 791),  # worth more by now: the player has it
        (
            DOUBLE,
            {},
            (17_000, 24_000),
            5_000,
            Refused(Reason.PRICE_CHANGED, facts={"amount_minor": 698}),
        ),
        (DOUBLE, {}, (15_000, 24_000), 5_001, Refused(Reason.OFFER_EXPIRED)),
        (
            replace(DOUBLE, stake_minor=900),
            {},
            (15_000, 24_000),
            0,
            Refused(Reason.OFFER_OUTDATED),
        ),
        (DOUBLE, {A: Known(WON)}, (0, 24_000), 0, Refused(Reason.OFFER_OUTDATED)),
        (DOUBLE, {}, (15_000, 0), 0, Refused(Reason.CASH_OUT_SUSPENDED, facts={"leg": 1})),
        (DOUBLE, {A: Known(LOST)}, (0, 24_000), 0, Refused(Reason.NOTHING_OPEN)),
    ],
)
def test_taking_an_offer(
    slip: Slip, known: Facts, prices: tuple[int, ...], now: int, answer: int | Refused
) -> None:
    assert offer(DOUBLE, {}, (16_000, 24_000), 500, RULES, NOW) == OFFERED
    taken = accept(slip, known, prices, OFFERED, RULES, NOW + now)
    if isinstance(answer, Refused):
        assert taken == answer
    else:
        rest = replace(DOUBLE, stake_minor=500, payout_cap_minor=MAX_MINOR // 2,
                       boost_cap_minor=MAX_MINOR // 2)  # fmt: skip
        assert taken == CashedOut(500, answer, answer, rest)


def test_an_offer_is_outdated_when_decided_lines_pay_something_else() -> None:
    known = {A: Known(WON)}
    offered = offer(PATENT, known, (0, 20_000, 20_000), 700, RULES, NOW)
    assert isinstance(offered, Offer)
    corrected = accept(PATENT, {A: Known(VOID)}, (0, 20_000, 20_000), offered, RULES, NOW)
    assert corrected == Refused(Reason.OFFER_OUTDATED)


def test_the_whole_slip_leaves_nothing_and_a_part_leaves_the_rest() -> None:
    known = {A: Known(WON), B: Known(VOID)}  # 5 of 29 are paid
    whole = taken_of(PATENT, known, (0, 0, 20_000), 700, RULES)
    assert whole == CashedOut(700, 1_140, 500 + 1_140, None)
    part = taken_of(PATENT, known, (0, 0, 20_000), 350, RULES)
    assert part.rest is not None
    assert (part.amount_minor, part.closed_minor) == (570, 250 + 570)
    settlement = settle(part.rest, known | {C: Known(WON)})
    assert settlement.paid_minor == 1_450


def test_the_rest_is_capped_by_what_the_part_had() -> None:
    """The cap of 16 and the boost's of 1 are both rounded down for the rest: 1 would be gained."""
    boosted = Leg("a", "a:m", "x", 17_497, boosted_odds=56_238)
    legs = (boosted, Leg("b", "b:m", "x", MAX_ODDS))
    slip = Slip(legs, Kind.SINGLE, 8, payout_cap_minor=16, boost_cap_minor=1)
    part = taken_of(slip, {A: Known(WON)}, (0, MIN_ODDS), 3, FAIR)
    assert (part.closed_minor, part.amount_minor) == (7, 3)
    assert part.rest is not None
    assert settle(part.rest, {A: Known(WON), B: Known(WON)}).paid_minor == 9


@pytest.mark.parametrize("wrong", [{"margin": 10_000}, {"margin": -1}, {"valid_ms": -1}])
def test_rules_that_cannot_be_are_errors(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="margin"):
        CashOutRules(**wrong)


@pytest.mark.parametrize("prices", [(20_000,), (20_000, 20_000, 20_000)])
def test_there_is_a_price_for_each_leg(prices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        offer(DOUBLE, {}, prices, 1_000, RULES, NOW)


# Any slip


def taken_of(
    slip: Slip, known: Facts, prices: tuple[int, ...], stake: int, rules: CashOutRules
) -> CashedOut:
    """An offer for that, taken at once; where there is none the example is no example."""
    offered = offer(slip, known, prices, stake, rules, NOW)
    if isinstance(offered, Refused):
        reject()
    taken = accept(slip, known, prices, offered, rules, NOW)
    assert isinstance(taken, CashedOut)
    assert taken.amount_minor == offered.amount_minor
    return taken


def prices_of(slip: Slip) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[slip_lines.prices] * len(slip.legs))


def uncapped(slip: Slip) -> Slip:
    return replace(slip, payout_cap_minor=MAX_MINOR, boost_cap_minor=MAX_MINOR)


@settings(max_examples=200, deadline=None)
@given(slip=slips(most_legs=5), data=st.data())
def test_an_offer_is_for_the_lines_that_are_open(slip: Slip, data: st.DataObject) -> None:
    known = data.draw(facts_of(slip))
    now = data.draw(prices_of(slip))
    stake = data.draw(st.integers(1, slip.stake_minor))
    margin = data.draw(st.integers(0, 9_999))

    def worth(number: int, place: bool, odds: Fraction) -> tuple[Fraction, Fraction]:
        price = Fraction(now[number], 10_000)
        terms = slip.legs[number].each_way
        if place and terms:
            price = 1 + (price - 1) / terms.divisor
        return odds / price, 1 / price

    offered = offer(slip, known, now, stake, CashOutRules(margin), NOW)
    share = Fraction(stake, slip.stake_minor)
    value = pays(slip, known, worth) - pays(slip, known, worth, states=("paid",))
    amount = floor(value * share * (1 - Fraction(margin, 10_000)))
    standing = settle(slip, known)
    most = (standing.most_minor - standing.paid_minor) * stake // slip.stake_minor
    if isinstance(offered, Offer):
        assert offered.amount_minor == min(amount, most) > 0
    elif offered.reason is Reason.CASH_OUT_TOO_SMALL:
        assert min(amount, most) == 0
    elif offered.reason is Reason.NOTHING_OPEN:
        assert "open" not in slip_lines.states(slip, known)
    else:
        assert offered.reason is Reason.CASH_OUT_SUSPENDED
        assert any(leg.at_starting_price for leg in slip.legs)


@settings(max_examples=200, deadline=None)
@given(slip=slips(most_legs=4), data=st.data())
def test_what_is_left_settles_as_its_share_of_the_slip(slip: Slip, data: st.DataObject) -> None:
    """No money is lost or made: shares are exact, and each sum is rounded once."""
    known = data.draw(facts_of(slip))
    stake = data.draw(st.integers(1, slip.stake_minor))
    slip = uncapped(slip)
    taken = taken_of(slip, known, data.draw(prices_of(slip)), stake, RULES)
    before = settle(slip, known).paid_minor
    if taken.rest is None:
        assert taken.closed_minor == before + taken.amount_minor
        return
    assert taken.rest.stake_minor + taken.stake_minor == slip.stake_minor
    # What had been paid is parted between the two, to the last minor unit.
    assert taken.closed_minor + settle(taken.rest, known).paid_minor == before + taken.amount_minor
    left = Fraction(taken.rest.stake_minor, slip.stake_minor)
    final = known | data.draw(facts_of(slip))
    assume(settle(slip, final).paid_minor < MAX_MINOR)
    exact = pays(slip, final, slip_lines.won, states=("paid",)) * left
    assume(exact < taken.rest.payout_cap_minor)
    assert settle(taken.rest, final).paid_minor == half_up(exact)


@settings(max_examples=200, deadline=None)
@given(slip=slips(most_legs=4, starting_prices=False), data=st.data())
def test_cashing_out_never_pays_more_than_the_cap(slip: Slip, data: st.DataObject) -> None:
    known: Facts = {}
    closed = 0
    rest: Slip | None = slip
    for _ in range(3):
        known |= data.draw(facts_of(slip))
        assert rest is not None
        stake = data.draw(st.integers(1, rest.stake_minor))
        prices = data.draw(prices_of(slip))
        offered = offer(rest, known, prices, stake, FAIR, NOW)
        if isinstance(offered, Refused):
            break
        taken = accept(rest, known, prices, offered, FAIR, NOW)
        assert isinstance(taken, CashedOut)
        closed, rest = closed + taken.closed_minor, taken.rest
        left = 0 if rest is None else settle(rest, known).most_minor
        assert closed + left <= slip.payout_cap_minor
        if rest is None:
            break


@settings(max_examples=100, deadline=None)
@given(slip=slips(most_legs=4), data=st.data())
def test_parts_come_to_the_whole(slip: Slip, data: st.DataObject) -> None:
    """Cashed out in three parts at the same prices, a slip pays what it pays at once."""
    slip = replace(uncapped(slip), stake_minor=max(3, slip.stake_minor))
    known = data.draw(facts_of(slip))
    prices = data.draw(prices_of(slip))
    whole = taken_of(slip, known, prices, slip.stake_minor, RULES)
    assume(settle(slip, known).most_minor < MAX_MINOR // slip.stake_minor)
    closed, rest = 0, slip
    for stake in (1, 1 + (slip.stake_minor - 2) // 2):
        taken = taken_of(rest, known, prices, stake, RULES)
        assert taken.rest is not None
        closed, rest = closed + taken.closed_minor, taken.rest
    closed += taken_of(rest, known, prices, rest.stake_minor, RULES).closed_minor
    # Three amounts are rounded instead of one, each by half a minor unit at most; and what was
    # paid before is parted without any.
    assert abs(closed - whole.closed_minor) <= 2


@settings(max_examples=100, deadline=None)
@given(slip=slips(starting_prices=False), data=st.data())
def test_unmoved_prices_give_back_the_stake_less_the_margin(
    slip: Slip, data: st.DataObject
) -> None:
    plain = replace(
        uncapped(slip),
        free_stake=False,
        boosted_odds=0,
        legs=tuple(replace(leg, boosted_odds=0) for leg in slip.legs),
    )
    prices = tuple(leg.odds for leg in plain.legs)
    stake = data.draw(st.integers(1, plain.stake_minor))
    most = settle(plain, {}).most_minor
    assume(most < MAX_MINOR)
    offered = offer(plain, {}, prices, stake, FAIR, NOW)
    assert isinstance(offered, Offer)
    assert offered.amount_minor == stake
