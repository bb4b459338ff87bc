"""Several sources blended: tables of who is heard, and the arithmetic against a naive one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.pricing.blend import Blend, Blending, Heard, Pool, Source, blend
from actors.pricing.margin import Model
from actors.pricing.ragged import Markets

NAN = math.nan
SOURCES = {name: Source(removal=Model.MULTIPLICATIVE) for name in "abcd"}


def blended(
    said: dict[str, list[float]],
    ages: dict[str, int] | None = None,
    winners: float = 1.0,
    **rule: object,
) -> Blend:
    """One market; what each source implies."""
    names = list(said)
    rows = np.array(list(said.values()))
    age_ms = np.array([[(ages or {}).get(name, 0)] for name in names])
    blending = Blending(**{"sources": SOURCES, **rule})  # type: ignore[arg-type]
    return blend(Markets([rows.shape[1]]), blending, names, rows, age_ms, winners)


def heard(result: Blend) -> list[Heard]:
    return [Heard(code) for code in result.heard[:, 0].tolist()]


# Who is heard


def test_what_one_of_them_holds_for_impossible_nobody_has_a_price_for() -> None:
    alone = blended({"a": [0.55, NAN, 0.5]}).probabilities.tolist()
    assert alone == pytest.approx([0.5238, 0.0, 0.4762], abs=2e-3)
    result = blended({"a": [0.55, NAN, 0.5], "b": [0.55, 0.02, NAN]})
    assert result.probabilities[1] < 1e-6
    both = blended({"a": [0.55, NAN, 0.5], "b": [0.53, 0.001, 0.51], "c": [NAN, NAN, NAN]})
    # b is complete: what a leaves out is as b has it.
    assert both.probabilities[1] > 5e-4
    split = blended({"a": [0.6, 0.4, 0.05, NAN], "b": [0.6, 0.4, NAN, 0.05]})
    assert split.probabilities[2] < 1e-6 > split.probabilities[3]
    assert split.priced.all()


@pytest.mark.parametrize(
    ("said", "ages", "expected"),
    [
        # one good source is enough
        ({"a": [0.55, 0.5]}, {}, [Heard.USED]),
        ({"a": [0.55, 0.5], "b": [NAN, NAN]}, {}, [Heard.USED, Heard.ABSENT]),
        # at its age limit a price is still good, then it is not; nor is one from the future
        ({"a": [0.55, 0.5]}, {"a": 10_000}, [Heard.USED]),
        ({"a": [0.55, 0.5]}, {"a": 10_001}, [Heard.STALE]),
        ({"a": [0.55, 0.5]}, {"a": -10_001}, [Heard.STALE]),
        ({"a": [0.55, 0.5], "b": [0.5, 0.52]}, {"a": 99_999}, [Heard.STALE, Heard.USED]),
        # books that nobody can mean
        ({"a": [0.4, 0.4]}, {}, [Heard.IMPLAUSIBLE]),
        ({"a": [0.99, 0.99, 0.5]}, {}, [Heard.IMPLAUSIBLE]),
        # a part of the market needs another source that has all of it
        ({"a": [0.5, NAN, 0.3]}, {}, [Heard.PARTIAL]),
        ({"a": [0.5, NAN, 0.3], "b": [0.5, 0.25, 0.3]}, {}, [Heard.USED, Heard.USED]),
        ({"a": [0.5, NAN, NAN], "b": [0.5, 0.25, 0.3]}, {}, [Heard.PARTIAL, Heard.USED]),
        # but not where what it prices is a whole book by itself: the rest is impossible
        ({"a": [0.55, NAN, 0.5]}, {}, [Heard.USED]),
        ({"a": [0.55, NAN, 0.5]}, {"a": 10_001}, [Heard.STALE]),
        ({"a": [1.0 - 1e-9, NAN, NAN]}, {}, [Heard.PARTIAL]),
        ({"a": [0.55, NAN, 0.5], "b": [0.53, NAN, 0.45]}, {}, [Heard.USED, Heard.USED]),
        # two that contradict each other: nobody knows which is wrong
        ({"a": [0.7, 0.35], "b": [0.35, 0.7]}, {}, [Heard.CONTRADICTED] * 2),
        # by more than 0.08 from each other, that is, not from the middle
        ({"a": [0.55, 0.45], "b": [0.46, 0.54]}, {}, [Heard.CONTRADICTED] * 2),
        ({"a": [0.53, 0.47], "b": [0.46, 0.54]}, {}, [Heard.USED] * 2),
        # of three the one far from the others
        (
            {"a": [0.55, 0.5], "b": [0.8, 0.25], "c": [0.54, 0.51]},
            {},
            [Heard.USED, Heard.OUTLIER, Heard.USED],
        ),
        # of four, two that are far off in different ways; but of two against two nobody is right
        (
            {"a": [0.5, 0.5], "b": [0.9, 0.1], "c": [0.51, 0.49], "d": [0.3, 0.7]},
            {},
            [Heard.USED, Heard.OUTLIER, Heard.USED, Heard.OUTLIER],
        ),
    ],
)
def test_who_is_heard(
    said: dict[str, list[float]], ages: dict[str, int], expected: list[Heard]
) -> None:
    result = blended(said, ages)
    assert heard(result) == expected
    assert result.priced.tolist() == [Heard.USED in expected]
    assert np.isnan(result.probabilities).all() == (Heard.USED not in expected)


def test_an_outlier_changes_nothing() -> None:
    plain = blended({"a": [0.55, 0.5], "c": [0.54, 0.51]})
    spoiled = blended({"a": [0.55, 0.5], "b": [0.8, 0.25], "c": [0.54, 0.51]})
    assert spoiled.probabilities.tolist() == pytest.approx(plain.probabilities.tolist())


def test_what_is_left_out_is_as_the_others_have_it() -> None:
    # b has 0.5, 0.25, 0.25; a knows only the first and the last, at 2 to 1. They share 0.75.
    result = blended({"a": [0.6, NAN, 0.3], "b": [0.5, 0.25, 0.25]}, pool=Pool.LINEAR)
    assert result.probabilities.tolist() == pytest.approx([0.5, 0.25, 0.25])
    result = blended({"a": [0.4, NAN, 0.4], "b": [0.5, 0.25, 0.25]}, pool=Pool.LINEAR, outlier=0.3)
    assert result.probabilities.tolist() == pytest.approx([0.4375, 0.25, 0.3125])


# The pools


def test_pools_by_hand() -> None:
    said = {"a": [0.5, 0.5], "b": [0.8, 0.2]}
    weights = {"a": Source(3), "b": Source(1)}
    linear = blended(said, sources=weights, pool=Pool.LINEAR, outlier=1.0)
    assert linear.probabilities.tolist() == pytest.approx([0.575, 0.425])
    # Log-odds 0 and log 4: a quarter of it is log of the root of 2.
    logs = blended(said, sources=weights, outlier=1.0)
    root = math.sqrt(2)
    assert logs.probabilities.tolist() == pytest.approx([root / (1 + root), 1 / (1 + root)])


@st.composite
def opinions(draw: st.DrawFn) -> tuple[int, dict[str, list[float]]]:
    size = draw(st.integers(2, 6))
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    said = {}
    for name in names:
        weights = draw(st.lists(st.floats(1.0, 20.0), min_size=size, max_size=size))
        book = draw(st.floats(1.0, 1.2))
        said[name] = [min(book * weight / sum(weights), 0.99) for weight in weights]
    return size, said


@settings(max_examples=60, deadline=None)
@given(opinions(), st.sampled_from(Pool))
def test_a_blend_is_the_naive_one(opinion: tuple[int, dict[str, list[float]]], pool: Pool) -> None:
    _, said = opinion
    weights = {name: Source(place + 1, removal=Model.MULTIPLICATIVE) for place, name in
               enumerate("abcd")}  # fmt: skip
    result = blended(said, sources=weights, pool=pool, outlier=1.0)
    fair = {name: [price / sum(prices) for price in prices] for name, prices in said.items()}
    heavy = sum(weights[name].weight for name in said)

    def mean(values: dict[str, float]) -> float:
        return sum(weights[name].weight * value for name, value in values.items()) / heavy

    if pool is Pool.LINEAR:
        columns = zip(*fair.values(), strict=True)
        expected = [mean(dict(zip(fair, column, strict=True))) for column in columns]
    else:
        logs = [
            mean({name: math.log(row[place] / (1 - row[place])) for name, row in fair.items()})
            for place in range(len(next(iter(fair.values()))))
        ]
        low, high = -50.0, 50.0
        for _ in range(200):
            middle = (low + high) / 2
            total = sum(1 / (1 + math.exp(-(log + middle))) for log in logs)
            low, high = (middle, high) if total < 1 else (low, middle)
        expected = [1 / (1 + math.exp(-(log + low))) for log in logs]
    assert result.probabilities.tolist() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(opinions(), min_size=1, max_size=4), st.sampled_from(Pool))
def test_markets_are_blended_as_if_each_were_alone(
    all_said: list[tuple[int, dict[str, list[float]]]], pool: Pool
) -> None:
    markets = Markets([size for size, _ in all_said])
    rule = Blending(SOURCES, pool)
    rows = np.array(
        [[value for size, said in all_said for value in said.get(name, [NAN] * size)]
         for name in "abcd"]
    )  # fmt: skip
    together = blend(markets, rule, "abcd", rows, np.zeros((4, len(all_said)), np.int64))
    alone = [
        blended({name: said.get(name, [NAN] * size) for name in "abcd"}, pool=pool)
        for size, said in all_said
    ]
    expected = [value for one in alone for value in one.probabilities.tolist()]
    assert together.probabilities.tolist() == pytest.approx(expected, nan_ok=True, abs=1e-12)
    assert together.heard.T.tolist() == [one.heard[:, 0].tolist() for one in alone]


@settings(max_examples=40, deadline=None)
@given(opinions(), st.sampled_from(Pool), st.floats(0.0, 0.3))
def test_a_blend_adds_up_and_lies_between_its_sources(
    opinion: tuple[int, dict[str, list[float]]], pool: Pool, outlier: float
) -> None:
    size, said = opinion
    result = blended(said, pool=pool, outlier=outlier + 0.01)
    if not result.priced[0]:
        return
    assert result.probabilities.sum() == pytest.approx(1.0, abs=1e-9)
    if pool is Pool.LINEAR:
        used = [
            [price / sum(prices) for price in prices]
            for prices, code in zip(said.values(), heard(result), strict=True)
            if code is Heard.USED
        ]
        for place in range(size):
            column = [row[place] for row in used]
            chance = result.probabilities[place]
            assert min(column) - 1e-9 <= chance <= max(column) + 1e-9


def test_two_winners_and_a_source_whose_margin_shin_can_not_know() -> None:
    sources = {"a": Source(removal=Model.SHIN), "b": Source(removal=Model.MULTIPLICATIVE)}
    said = {"a": [0.84, 0.735, 0.525], "b": [0.84, 0.735, 0.525]}
    result = blended(said, sources=sources, winners=2.0)
    assert heard(result) == [Heard.USED, Heard.USED]
    assert result.probabilities.sum() == pytest.approx(2.0, abs=1e-9)


def test_what_can_not_be_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such source"):
        blended({"z": [0.5, 0.5]})
    with pytest.raises(ValueError, match="between 0 and 1"):
        blended({"a": [0.5, 1.0]})
    with pytest.raises(ValueError, match="weight"):
        Source(0)
    with pytest.raises(ValueError, match="some time"):
        Source(max_age_ms=0)
    with pytest.raises(ValueError, match="contradict"):
        Blending({}, overrounds=(1.2, 1.1))
