"""The goal model against sums by hand, in fractions and over every score."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.odds import ONE
from actors.pricing.goals import (
    KICK_OFF,
    GoalModel,
    Moment,
    Scores,
    Tempo,
    derived,
    final_scores,
    fit,
    rho_bounds,
    still_expected,
)
from actors.pricing.lines import Chances, Count, over
from actors.results import LOST, VOID, WON, Outcome, Result, payout_minor

MODEL = GoalModel(1.5, 1.1, -0.1)
TEMPO = Tempo()


@st.composite
def models(draw: st.DrawFn) -> GoalModel:
    home, away = draw(st.floats(0.1, 4.0)), draw(st.floats(0.1, 4.0))
    low, high = rho_bounds(home, away)
    return GoalModel(home, away, draw(st.floats(low / 2, high / 2)))


moments = st.builds(
    Moment,
    st.integers(0, 4),
    st.integers(0, 4),
    st.just(2),
    st.floats(45.0, 100.0),
    st.none(),
    st.integers(0, 2),
    st.integers(0, 2),
)


def naive(model: GoalModel, home: int, away: int) -> float:
    """One score as Dixon and Coles (1997) write it."""
    tau = {
        (0, 0): 1 - model.home * model.away * model.rho,
        (0, 1): 1 + model.home * model.rho,
        (1, 0): 1 + model.away * model.rho,
        (1, 1): 1 - model.rho,
    }.get((home, away), 1.0)
    return (
        tau
        * math.exp(-model.home - model.away)
        * model.home**home
        * model.away**away
        / math.factorial(home)
        / math.factorial(away)
    )


# Scores


@settings(max_examples=50, deadline=None)
@given(models())
def test_every_score_is_the_one_of_the_paper(model: GoalModel) -> None:
    scores = final_scores(model)
    for home in range(8):
        for away in range(8):
            assert scores.at(home, away) == pytest.approx(naive(model, home, away), abs=1e-9)
    assert scores.more.sum() == pytest.approx(1.0)
    # The correction leaves what is expected of each side.
    goals = np.arange(scores.more.shape[0])
    assert scores.more.sum(axis=1) @ goals == pytest.approx(model.home, rel=1e-6)
    assert scores.more.sum(axis=0) @ goals == pytest.approx(model.away, rel=1e-6)


def test_a_match_by_hand() -> None:
    # Two sides of one goal each, independent: e^-2 for 0-0, 1-0, 0-1 and 1-1 alike.
    scores = final_scores(GoalModel(1.0, 1.0))
    each = math.exp(-2.0)
    assert [scores.at(*score) for score in ((0, 0), (1, 0), (0, 1), (1, 1))] == pytest.approx(
        [each] * 4
    )
    # Skellam (1946): a draw is e^-2 I0(2), and I0(2) is the sum of 1 / k!^2.
    bessel = sum(1 / math.factorial(k) ** 2 for k in range(20))
    home, draw, away = scores.match_result()
    assert draw == pytest.approx(each * bessel)
    assert home == pytest.approx(away)
    # Totals are Poisson with 2: under 2.5 is 5 e^-2.
    assert scores.over_under(10) == pytest.approx((1 - 5 * each, 5 * each))
    # Both score unless one of them does not: (1 - 1/e)^2; even is (1 + e^-4) / 2.
    assert scores.both_score()[0] == pytest.approx((1 - math.exp(-1)) ** 2)
    assert scores.odd_even()[1] == pytest.approx((1 + math.exp(-4)) / 2)


def test_a_negative_rho_makes_low_draws_likelier() -> None:
    plain, corrected = (final_scores(GoalModel(1.4, 1.1, rho)) for rho in (0.0, -0.1))
    assert corrected.at(0, 0) > plain.at(0, 0)
    assert corrected.at(1, 1) > plain.at(1, 1)
    assert corrected.match_result()[1] > plain.match_result()[1]


# Every market is the sum over the scores


def result_of_line(count: int, line_quarters: int) -> Result:
    """Settles a bet on more than a line as the trade does: two halves on the lines beside it."""
    halves = [line_quarters - line_quarters % 2, line_quarters + line_quarters % 2]
    ends = [(4 * count > line) - (4 * count < line) for line in halves]
    return {
        2: WON,
        1: Result(Outcome.HALF_WON),
        0: VOID,
        -1: Result(Outcome.HALF_LOST),
        -2: LOST,
    }[sum(ends)]


def fair_price(scores: Scores, results: dict[tuple[int, int], Result]) -> float:
    """The odds at which the payouts of `actors.results` are the stake on average, found by halving
    over real payouts of a large stake.
    """
    stake = 10**10
    low, high = ONE + 1, 10**9
    while high - low > 1:
        odds = (low + high) // 2
        paid = sum(
            scores.at(*score) * payout_minor(stake, odds, result)
            for score, result in results.items()
        )
        low, high = (odds, high) if paid < stake else (low, odds)
    return low / ONE


@settings(max_examples=12, deadline=None)
@given(model=models(), line=st.integers(-10, 16), moment=st.one_of(st.just(KICK_OFF), moments))
def test_lines_are_fair_by_the_settlement_that_pays_them(
    model: GoalModel, line: int, moment: Moment
) -> None:
    scores = final_scores(model, moment)
    sides = range(24)
    more = {(h, a): result_of_line(h + a, line) for h in sides for a in sides}
    start = {(h, a): result_of_line(h - a, -line) for h in sides for a in sides}
    for price, results in (
        (scores.over_under(line)[0], more),
        (scores.handicap(line)[0], start),
    ):
        if 0.005 < price < 0.995:
            assert 1 / price == pytest.approx(fair_price(scores, results), rel=1e-3)


@pytest.mark.parametrize(
    ("line", "chances"),
    [
        # Nothing, one, two or three with a quarter each.
        (6, Chances(0.5, 0, 0, 0, 0.5)),  # 1.5
        (8, Chances(0.25, 0, 0.25, 0, 0.5)),  # 2: hit, it is void
        (9, Chances(0.25, 0, 0, 0.25, 0.5)),  # 2.25: two lose half
        (7, Chances(0.25, 0.25, 0, 0, 0.5)),  # 1.75: two win half
        (-2, Chances(1.0, 0, 0, 0, 0)),
        (0, Chances(0.75, 0, 0.25, 0, 0)),
        (-1, Chances(0.75, 0.25, 0, 0, 0)),  # -0.25: none wins half
        (1, Chances(0.75, 0, 0, 0.25, 0)),  # 0.25: none loses half
        (14, Chances(0, 0, 0, 0, 1.0)),
    ],
)
def test_what_a_line_does(line: int, chances: Chances) -> None:
    assert over(Count(0, np.full(4, 0.25)), line) == chances


def test_a_quarter_line_by_hand() -> None:
    # 2.25 over a quarter each of 0 to 3: W = 1/4, L = 1/2 + 1/8, so 1 / o = (1/4) / (7/8).
    chances = over(Count(0, np.full(4, 0.25)), 9)
    assert chances.fair == pytest.approx(float(Fraction(2, 7)))
    assert chances.reversed().fair == pytest.approx(float(Fraction(5, 7)))
    # What is sure to come back is even.
    assert Chances(0, 0, 1.0, 0, 0).fair == 0.5


@settings(max_examples=30, deadline=None)
@given(model=models(), moment=st.one_of(st.just(KICK_OFF), moments))
def test_markets_are_sums_over_the_scores(model: GoalModel, moment: Moment) -> None:
    scores = final_scores(model, moment)
    sides = range(40)
    every = {(h, a): scores.at(h, a) for h in sides for a in sides}

    def chance(wins: object) -> float:
        return sum(p for score, p in every.items() if wins(*score))  # type: ignore[operator]

    assert scores.match_result() == pytest.approx(
        (chance(lambda h, a: h > a), chance(lambda h, a: h == a), chance(lambda h, a: h < a))
    )
    assert scores.double_chance() == pytest.approx(
        (chance(lambda h, a: h >= a), chance(lambda h, a: h != a), chance(lambda h, a: h <= a))
    )
    assert scores.both_score()[0] == pytest.approx(chance(lambda h, a: h > 0 and a > 0), abs=1e-12)
    assert scores.odd_even()[0] == pytest.approx(chance(lambda h, a: (h + a) % 2), abs=1e-12)
    exact = scores.correct_score(5)
    assert len(exact) == 37
    assert exact[2, 1] == scores.at(2, 1)
    assert exact[None] == pytest.approx(chance(lambda h, a: max(h, a) > 5), abs=1e-12)
    home, _, away = scores.match_result()
    if home + away > 1e-9:
        assert scores.draw_no_bet()[0] == pytest.approx(home / (home + away))


@settings(max_examples=30, deadline=None)
@given(model=models(), moment=moments)
def test_every_derived_market_adds_up_to_its_winners(model: GoalModel, moment: Moment) -> None:
    for market in derived(final_scores(model, moment)):
        assert sum(market.probabilities) == pytest.approx(market.winners, abs=1e-9)
        assert len(market.selections) == len(market.probabilities) == len(set(market.selections))
        assert all(-1e-12 <= chance <= 1 + 1e-12 for chance in market.probabilities)


# In play


def test_what_is_left_follows_the_curve() -> None:
    # 44 per cent before half-time; a rate of 0.76 + 0.48 t, so 0.76 t + 0.24 t^2 is behind at t.
    assert TEMPO.played(0.0) == 0.0
    assert TEMPO.played(0.5) == pytest.approx(0.44)
    assert TEMPO.played(1.0) == pytest.approx(1.0)
    assert TEMPO.played(0.75) == pytest.approx(0.705)
    assert still_expected(MODEL, KICK_OFF, TEMPO) == (1.5, 1.1)
    half_time = still_expected(MODEL, Moment(half=2, minute=45.0), TEMPO)
    assert half_time == pytest.approx((1.5 * 0.56, 1.1 * 0.56))
    # Added time stretches its half: minute 45 of 47 is not yet half-time.
    before = still_expected(MODEL, Moment(minute=45.0), TEMPO)
    assert before[0] > half_time[0]
    told = still_expected(MODEL, Moment(minute=45.0, added_minutes=0), TEMPO)
    assert told[0] == pytest.approx(1.5 * (1 - TEMPO.played(44.5 / 90)))


def test_until_the_whistle_something_can_happen() -> None:
    for minute in (90.0, 95.0, 110.0):
        home, away = still_expected(MODEL, Moment(half=2, minute=minute), TEMPO)
        assert 0.0 < home < 0.3
        assert 0.0 < away < 0.3
    assert final_scores(MODEL, Moment(1, 0, 2, 110.0)).match_result()[0] < 1.0


@given(st.floats(0.0, 46.0), st.floats(0.0, 46.0), st.sampled_from([1, 2]))
def test_less_is_left_as_time_goes_on(one: float, other: float, half: int) -> None:
    early, late = sorted((one, other))
    first, second = (
        still_expected(MODEL, Moment(half=half, minute=45.0 * (half - 1) + minute), TEMPO)
        for minute in (early, late)
    )
    assert first[0] >= second[0]
    assert first[1] >= second[1]


def test_a_man_more_scores_as_the_paper_says() -> None:
    ten = still_expected(MODEL, Moment(home_reds=1), TEMPO)
    assert ten == pytest.approx((1.5, 1.1 * 1.88))
    # One each is as none, two are the square, and another house may know better.
    assert still_expected(MODEL, Moment(home_reds=1, away_reds=1), TEMPO) == (1.5, 1.1)
    two = still_expected(MODEL, Moment(away_reds=2), Tempo(eleven=1.25, ten=0.8))
    assert two == pytest.approx((1.5 * 1.25**2, 1.1 * 0.8**2))


@settings(max_examples=15, deadline=None)
@given(model=models(), minute=st.floats(1.0, 44.0))
def test_prices_in_play_are_on_average_those_of_before(model: GoalModel, minute: float) -> None:
    # Over all scores that there may be at this minute, each as likely as the model has it: its
    # Poisson chance until then, times what the correction still makes of it.
    moment = Moment(minute=minute)
    left = still_expected(model, moment, TEMPO)
    gone = (model.home - left[0], model.away - left[1])
    mixed = np.zeros(3)
    weight = 0.0
    for home in range(16):
        for away in range(16):
            until = (
                math.exp(-gone[0] - gone[1])
                * gone[0] ** home
                * gone[1] ** away
                / math.factorial(home)
                / math.factorial(away)
            )
            then = sum(
                (tau - 1.0)
                * math.exp(-left[0] - left[1])
                * left[0] ** (h - home)
                * left[1] ** (a - away)
                for (h, a), tau in {
                    (0, 0): 1 - model.home * model.away * model.rho,
                    (0, 1): 1 + model.home * model.rho,
                    (1, 0): 1 + model.away * model.rho,
                    (1, 1): 1 - model.rho,
                }.items()
                if h >= home and a >= away
            )
            chance = until * (1.0 + then)
            scores = final_scores(model, Moment(home, away, 1, minute))
            mixed += chance * np.array(scores.match_result())
            weight += chance
    assert weight == pytest.approx(1.0, abs=1e-4)
    assert mixed.tolist() == pytest.approx(final_scores(model).match_result(), abs=1e-4)


def test_a_goal_moves_everything_the_right_way() -> None:
    level, ahead = (final_scores(MODEL, Moment(goals, 0, 2, 60.0)) for goals in (0, 1))
    assert ahead.match_result()[0] > level.match_result()[0]
    assert ahead.over_under(10)[0] > level.over_under(10)[0]
    assert ahead.at(0, 0) == 0.0
    assert ahead.correct_score(4)[0, 0] == 0.0
    # A handicap that counts from now on does not know the score.
    assert ahead.handicap(0, since=(1, 0))[0] < ahead.handicap(0)[0]
    assert ahead.handicap(-4)[0] == pytest.approx(ahead.handicap(0, since=(1, 0))[0])


# From prices back to the model


@settings(max_examples=25, deadline=None)
@example(home=0.375, away=2.0, rho=0.0, line=6)  # ran away to the bound of rho
@example(home=3.2, away=3.4, rho=0.05, line=18)  # leapt to where every match has many goals
@given(
    home=st.floats(0.3, 3.5),
    away=st.floats(0.3, 3.5),
    rho=st.floats(-0.15, 0.1),
    line=st.sampled_from([6, 8, 9, 10, 11, 14]),
)
def test_a_fit_finds_the_model_that_made_the_prices(
    home: float, away: float, rho: float, line: int
) -> None:
    low, high = rho_bounds(home, away)
    model = GoalModel(home, away, min(max(rho, low), high))
    scores = final_scores(model)
    fitted = fit(scores.match_result(), line, scores.over_under(line)[0])
    assert fitted.error < 1e-8
    again = final_scores(fitted.model)
    assert again.match_result() == pytest.approx(scores.match_result(), abs=1e-7)
    if max(home, away) < 2.0:  # where low scores are rare, rho is hardly to be seen
        assert fitted.model.home == pytest.approx(home, abs=1e-3)
        assert fitted.model.away == pytest.approx(away, abs=1e-3)
    given_rho = fit(scores.match_result(), line, scores.over_under(line)[0], model.rho)
    assert given_rho.error < 1e-8
    assert given_rho.model.rho == model.rho


def test_prices_that_no_match_has_leave_an_error() -> None:
    fitted = fit((0.05, 0.9, 0.05), 10, 0.9)
    assert fitted.error > 0.05


def test_what_can_not_be_is_an_error() -> None:
    for bad in ((0.0, 1.0), (1.0, 10.0), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            GoalModel(*bad)
    with pytest.raises(ValueError, match="rho"):
        GoalModel(3.0, 3.0, 0.2)
    with pytest.raises(ValueError, match="add up"):
        fit((0.5, 0.3, 0.3), 10, 0.5)
    with pytest.raises(ValueError, match="minute"):
        Moment(half=2, minute=30.0)
    with pytest.raises(ValueError, match="score"):
        Moment(home_goals=-1)
    with pytest.raises(ValueError, match="players"):
        Moment(home_reds=5)
    with pytest.raises(ValueError, match="half"):
        Tempo(first_half=0.9)
