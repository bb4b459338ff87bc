"""American football's margins and totals, against the normal distribution of the library."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.pricing.points import MAX_LEAD, Clock, PointModel, final_points

models = st.builds(PointModel, st.floats(-20.0, 20.0), st.floats(30.0, 60.0))


def test_the_paper_s_chance_of_winning() -> None:
    # Stern (1991): a favourite by p points wins with the normal probability of p / 13.86. A match
    # level at the end is worth a little more than half a win to him, which hardly shows.
    for spread in (1.0, 3.0, 7.0, 10.0):
        wins = final_points(PointModel(spread, 44.0)).moneyline()[0]
        assert wins == pytest.approx(NormalDist().cdf(spread / 13.86), abs=0.004)


@settings(max_examples=40, deadline=None)
@given(model=models, line=st.integers(-60, 60))
def test_a_spread_is_the_normal_with_half_points_to_spare(model: PointModel, line: int) -> None:
    normal = NormalDist(model.home_lead, model.lead_deviation)
    level_may_stand = PointModel(model.home_lead, model.total, ties=True)
    chances = final_points(level_may_stand).spread_chances(2 * line)
    if line % 2:  # half a point: no push
        expected = 1 - normal.cdf(-line / 2)
        assert chances.won == pytest.approx(expected, abs=1e-9)
        assert chances.void == 0.0
    else:
        hit = -line // 2
        assert chances.void == pytest.approx(
            normal.cdf(hit + 0.5) - normal.cdf(hit - 0.5), abs=1e-9
        )
        assert chances.won == pytest.approx(1 - normal.cdf(hit + 0.5), abs=1e-9)
    assert chances.won + chances.void + chances.lost == pytest.approx(1.0)


def test_a_total_by_hand() -> None:
    points = final_points(PointModel(3.0, 44.0))
    assert points.over_under(4 * 44) == pytest.approx((0.5, 0.5))
    normal = NormalDist(44.0, 13.4)
    assert points.over_under(4 * 47 + 2)[0] == pytest.approx(1 - normal.cdf(47.5), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(model=models, minutes=st.floats(0.0, 60.0), home=st.integers(0, 40), away=st.integers(0, 40))
def test_without_ties_none_is_left(model: PointModel, minutes: float, home: int, away: int) -> None:
    points = final_points(model, Clock(home, away, minutes))
    assert points.lead.at(0) == 0.0
    assert points.lead.mass.sum() == pytest.approx(1.0)
    assert points.lead.mass.min() >= 0.0
    assert sum(points.moneyline()) == pytest.approx(1.0)
    assert points.total.below(home + away) == 0.0


def test_in_play_it_is_stern_s_brownian_motion() -> None:
    # Stern (1994): ahead by l after a share t, home wins with the normal probability of
    # (l + (1 - t) mu) / sqrt((1 - t) sigma^2).
    model = PointModel(4.0, 44.0)
    for lead, minutes in ((7, 30.0), (-3, 15.0), (10, 45.0), (0, 20.0)):
        left = minutes / 60.0
        told = NormalDist().cdf((lead + left * 4.0) / (13.86 * math.sqrt(left)))
        clock = Clock(20 + max(lead, 0), 20 + max(-lead, 0), minutes)
        assert final_points(model, clock).moneyline()[0] == pytest.approx(told, abs=0.004)


def test_the_end_is_what_it_is() -> None:
    model = PointModel(3.0, 44.0)
    over = final_points(model, Clock(24, 20, 0.0))
    assert over.moneyline() == (1.0, 0.0)
    assert over.spread_chances(-16).void == 1.0
    assert over.over_under(4 * 43) == (1.0, 0.0)
    # Level, there is an overtime, in which the better side is only a little better.
    level = final_points(model, Clock(20, 20, 0.0))
    assert 0.5 < level.moneyline()[0] < 0.56
    tied = final_points(PointModel(3.0, 44.0, ties=True), Clock(20, 20, 0.0))
    assert tied.spread_chances(0).void == 1.0
    assert tied.moneyline() == (0.5, 0.5)


@settings(max_examples=30, deadline=None)
@given(model=models, lines=st.tuples(st.integers(-80, 80), st.integers(-80, 80)))
def test_a_bigger_start_is_never_worth_less(model: PointModel, lines: tuple[int, int]) -> None:
    points = final_points(model)
    less, more = sorted(lines)
    assert points.spread(2 * less)[0] <= points.spread(2 * more)[0] + 1e-9
    assert points.spread(2 * more)[0] + points.spread(2 * more)[1] == pytest.approx(1.0)


def test_the_margin_keeps_its_mean() -> None:
    points = final_points(PointModel(6.5, 44.0, ties=True))
    margins = np.arange(-MAX_LEAD, MAX_LEAD + 1)
    assert points.lead.mass @ margins == pytest.approx(6.5, abs=1e-6)
    deviation = math.sqrt(points.lead.mass @ (margins - 6.5) ** 2)
    assert deviation == pytest.approx(math.sqrt(13.86**2 + 1 / 12), rel=1e-4)


def test_what_can_not_be_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected to win"):
        PointModel(math.nan, 44.0)
    with pytest.raises(ValueError, match="points"):
        PointModel(3.0, 0.0)
    with pytest.raises(ValueError, match="deviation"):
        PointModel(3.0, 44.0, 0.5)
    with pytest.raises(ValueError, match="minutes"):
        Clock(0, 0, 61.0)
    with pytest.raises(ValueError, match="negative"):
        Clock(-1, 0)
    with pytest.raises(ValueError, match="score"):
        Clock(200, 0)
