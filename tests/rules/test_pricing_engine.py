"""The engine: what it publishes, when, and that it is always a book in the house's favour."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.odds import MAX_ODDS, ONE, SHORTEST_STEP, down_to_ladder
from actors.pricing.blend import Blending, Heard, Source
from actors.pricing.engine import (
    EVERY_CHANGE,
    NO_CURVE,
    Engine,
    Publishing,
    Repriced,
    Setup,
    due,
    price,
)
from actors.pricing.goals import GoalModel, Moment, derived, final_scores
from actors.pricing.ladder import STEPS
from actors.pricing.margin import Margin, Margins, Model
from actors.pricing.ragged import Markets
from actors.pricing.shift import Curve

SELECTIONS = ("home", "draw", "away")
MATCH = Setup("f1:1x2", "football", "match_result", SELECTIONS)
MARGINS = Margins(Margin(Model.MULTIPLICATIVE, 10_500))
SOURCES = {
    "feed": Source(removal=Model.MULTIPLICATIVE),
    "other": Source(removal=Model.MULTIPLICATIVE),
    "model": Source(max_age_ms=60_000),
}


def engine_of(publishing: Publishing = EVERY_CHANGE, curve: Curve = NO_CURVE) -> Engine:
    engine = Engine(MARGINS, Blending(SOURCES), publishing, curve)
    engine.open(MATCH)
    return engine


def say(engine: Engine, *chances: float, at_ms: int = 0) -> None:
    engine.model("f1:1x2", "model", dict(zip(SELECTIONS, chances, strict=True)), at_ms)


# One market's life


def test_a_fair_market_gets_the_margin_and_the_ladder() -> None:
    engine = engine_of()
    say(engine, 0.5, 0.3, 0.2)
    # 1 / 0.525 is 1.9047, 1 / 0.315 is 3.1746, 1 / 0.21 is 4.7619.
    told = Repriced("f1:1x2", {"home": 19_000, "draw": 31_500, "away": 47_000})
    assert engine.reprice(0) == [told]
    assert engine.published("f1:1x2") == told.odds


def test_only_what_changed_is_published() -> None:
    engine = engine_of()
    say(engine, 0.5, 0.3, 0.2)
    engine.reprice(0)
    assert engine.reprice(1) == []
    say(engine, 0.5, 0.3, 0.2, at_ms=2)
    assert engine.reprice(2) == []
    say(engine, 0.5, 0.25, 0.25, at_ms=3)
    assert engine.reprice(3) == [Repriced("f1:1x2", {"draw": 38_000, "away": 38_000}, 3)]


def test_somebody_else_s_margin_is_taken_off_first() -> None:
    engine = engine_of()
    # A book of 120 per cent of 0.5, 0.3 and 0.2.
    odds = {"home": 16_667, "draw": 27_778, "away": 41_667}
    engine.quote("f1:1x2", "feed", odds, 0)
    assert engine.reprice(0)[0].odds == {"home": 19_000, "draw": 31_500, "away": 47_000}


def test_prices_that_grow_old_go_off_the_board_without_anything_said() -> None:
    engine = engine_of()
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 1_000)
    assert len(engine.reprice(1_000)) == 1
    assert engine.reprice(11_000) == []
    assert engine.reprice(11_001) == [Repriced("f1:1x2", {"home": 0, "draw": 0, "away": 0}, 11_001)]
    assert engine.heard("f1:1x2") == {"feed": Heard.STALE}
    assert engine.reprice(12_000) == []
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 12_000)
    assert 0 not in engine.reprice(12_000)[0].odds.values()


def test_one_source_grows_old_and_the_other_speaks_alone() -> None:
    engine = engine_of()
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 0)
    engine.quote("f1:1x2", "other", {"home": 18_000, "draw": 34_000, "away": 45_000}, 5_000)
    both = engine.reprice(5_000)[0].odds
    alone = engine.reprice(10_001)[0].odds
    assert alone["home"] < both["home"]
    assert engine.heard("f1:1x2") == {"feed": Heard.STALE, "other": Heard.USED}


def test_it_says_when_it_has_to_be_asked_again() -> None:
    engine = engine_of()
    assert engine.due_ms() is None
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 0)
    engine.quote("f1:1x2", "other", {}, 0)
    engine.reprice(0)
    assert engine.due_ms() == 10_001
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 7_000)
    engine.reprice(7_000)
    assert engine.due_ms() == 17_001
    assert engine.as_of_ms("f1:1x2") == 7_000
    assert engine.reprice(17_000) == []
    assert engine.reprice(17_001)[0].odds == {"home": 0, "draw": 0, "away": 0}
    assert engine.due_ms() is None


def test_moments_that_do_not_hold_any_more_are_forgotten() -> None:
    engine = engine_of()
    for at_ms in range(3_000):
        say(engine, 0.5, 0.3, 0.2, at_ms=at_ms)
        engine.reprice(at_ms)
    assert len(engine._aging) <= 1_005
    assert engine.due_ms() == 2_999 + 60_001


def test_in_play_a_source_grows_old_sooner() -> None:
    sources = {"feed": Source(max_age_ms=60_000, max_age_in_play_ms=5_000)}
    engine = Engine(MARGINS, Blending(sources))
    engine.open(MATCH)
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 0)
    engine.reprice(0)
    assert engine.due_ms() == 60_001
    engine.play("f1:1x2", True)
    assert engine.reprice(5_000) == []
    assert engine.due_ms() == 5_001
    engine.play("f1:1x2", False)
    assert engine.reprice(6_000) == []


def test_a_selection_is_withdrawn_and_the_others_share_what_it_was_worth() -> None:
    engine = engine_of()
    engine.quote("f1:1x2", "feed", {"home": 18_000, "draw": 20_000, "away": 180_000}, 0)
    before = engine.reprice(0)[0].odds
    engine.withdraw("f1:1x2", "away")
    # 1 / 1.8 and 1 / 2 are 0.5263 and 0.4737 of what is left: 1 / 0.5526 and 1 / 0.4974.
    assert engine.reprice(1)[0].odds == {"home": 18_000, "draw": 20_000}
    assert set(engine.published("f1:1x2")) == {"home", "draw"} < set(before)
    with pytest.raises(ValueError, match=r"tuple\.index"):
        engine.withdraw("f1:1x2", "away")
    with pytest.raises(ValueError, match="at least two"):
        engine.withdraw("f1:1x2", "draw")


def test_margins_come_off_by_class_of_market() -> None:
    odds = {"home": 13_000, "draw": 60_000, "away": 100_000}
    told = {}
    for name, removals in (("own", {}), ("sport", {"football": Model.SHIN})):
        engine = Engine(MARGINS, Blending(SOURCES, removals=removals))
        for number, sport in enumerate(("football", "tennis")):
            engine.open(Setup(f"m{number}", sport, "any", SELECTIONS))
            engine.quote(f"m{number}", "feed", odds, 0)
        told[name] = [repriced.odds for repriced in engine.reprice(0)]
    assert told["own"][0] == told["own"][1] == told["sport"][1]
    # By Shin the favourite had less of the margin than its share.
    assert told["sport"][0]["home"] < told["own"][0]["home"]


def test_what_was_overtaken_is_not_heard() -> None:
    engine = engine_of()
    say(engine, 0.5, 0.3, 0.2, at_ms=5)
    say(engine, 0.2, 0.3, 0.5, at_ms=4)
    assert engine.reprice(5)[0].odds["home"] == 19_000


def test_of_one_moment_the_last_word_holds() -> None:
    engine = engine_of()
    say(engine, 0.2, 0.3, 0.5, at_ms=5)
    say(engine, 0.5, 0.3, 0.2, at_ms=5)
    assert engine.reprice(5)[0].odds["home"] == 19_000


def test_sources_that_contradict_each_other_leave_no_price() -> None:
    engine = engine_of()
    engine.quote("f1:1x2", "feed", {"home": 19_000, "draw": 34_000, "away": 40_000}, 0)
    engine.reprice(0)
    engine.quote("f1:1x2", "other", {"home": 40_000, "draw": 34_000, "away": 19_000}, 1)
    assert engine.reprice(1)[0].odds == {"home": 0, "draw": 0, "away": 0}


def test_the_impossible_and_the_certain_have_no_price() -> None:
    engine = engine_of()
    say(engine, 1.0, 0.0, 0.0)
    assert engine.reprice(0) == []  # none before, none now
    say(engine, 0.97, 0.03, 0.0, at_ms=1)
    # 0.97 with the margin is past 1.01.
    odds = engine.reprice(1)[0].odds
    assert odds.keys() == {"draw"}
    assert odds["draw"] == down_to_ladder(int(ONE / 0.0315))


def test_a_price_is_never_longer_than_the_house_allows() -> None:
    margins = Margins(Margin(Model.POWER, 10_500, 1_000_000))
    engine = Engine(margins, Blending(SOURCES))
    engine.open(MATCH)
    say(engine, 0.6, 0.399, 0.001)
    assert engine.reprice(0)[0].odds["away"] == 1_000_000


# Hysteresis


@pytest.mark.parametrize(
    ("min_steps", "at_once", "before", "after", "told"),
    [
        (1, True, (20_000, 20_000), (20_200, 19_900), True),
        (1, False, (20_000, 20_000), (20_000, 20_000), False),
        (2, False, (20_000, 20_000), (20_200, 19_900), False),
        (2, True, (20_000, 20_000), (20_200, 19_900), True),  # one has got shorter
        (2, True, (20_000, 20_000), (20_200, 20_000), False),  # one step longer can wait
        (2, True, (20_000, 20_000), (20_400, 20_000), True),
        (3, False, (1_000_000, 11_000), (1_200_000, 11_000), False),  # two steps of 100 to 1
        (3, False, (1_000_000, 11_000), (1_300_000, 11_000), True),
        (10, False, (20_000, 20_000), (0, 20_000), True),  # it went
        (10, False, (0, 20_000), (10_100, 20_000), True),  # and came
    ],
)
def test_when_a_move_is_worth_telling(
    min_steps: int, at_once: bool, before: tuple[int, int], after: tuple[int, int], told: bool
) -> None:
    rule = Publishing(min_steps, at_once)
    assert due(Markets([2]), np.array(after), np.array(before), rule).tolist() == [told]


def test_a_market_is_published_as_a_whole_or_not_at_all() -> None:
    engine = engine_of(Publishing(min_steps=2, shorten_at_once=False))
    say(engine, 0.5, 0.3, 0.2)
    engine.reprice(0)
    # Home one step longer, draw one shorter: nothing is told, and the old book stands.
    say(engine, 0.4975, 0.305, 0.1975, at_ms=1)
    assert engine.reprice(1) == []
    assert engine.published("f1:1x2")["home"] == 19_000
    # Now draw is two steps shorter, and the others come with it.
    say(engine, 0.4975, 0.311, 0.1915, at_ms=2)
    assert engine.reprice(2)[0].odds == {"home": 19_100, "draw": 30_500, "away": 49_000}


# Liability


def test_liability_shortens_one_price_and_lengthens_the_others() -> None:
    engine = engine_of(curve=Curve(((0.25, 0.0), (1.0, 0.5))))
    say(engine, 0.5, 0.3, 0.2)
    before = engine.reprice(0)[0].odds
    engine.liability("f1:1x2", {"home": 0.25})
    assert engine.reprice(1) == []
    engine.liability("f1:1x2", {"home": 0.8})
    after = engine.reprice(2)[0].odds
    assert after["home"] < before["home"]
    assert after["draw"] > before["draw"]
    assert after["away"] > before["away"]
    engine.liability("f1:1x2", {})
    assert engine.reprice(3)[0].odds == before


def test_a_move_by_hand() -> None:
    engine = Engine(MARGINS, Blending(SOURCES), curve=Curve(((0.0, 0.0), (1.0, math.log(4)))))
    engine.open(Setup("m", "tennis", "winner", ("one", "other")))
    engine.model("m", "model", {"one": 0.5, "other": 0.5}, 0)
    engine.liability("m", {"one": 1.0})
    # Evens become 4 to 1 on. Both given back alike on the scale of log-odds, that is 2 to 1 on
    # and 2 to 1 against: 2/3 and 1/3, with the margin 0.7 and 0.35.
    assert engine.reprice(0)[0].odds == {"one": 14_200, "other": 28_400}


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 2))
def test_more_liability_is_never_a_longer_price(one: float, other: float, place: int) -> None:
    prices = []
    for share in sorted((one, other)):
        engine = engine_of(curve=Curve(((0.0, 0.0), (0.5, 0.1), (1.0, 0.6))))
        say(engine, 0.5, 0.3, 0.2)
        engine.liability("f1:1x2", {SELECTIONS[place]: share})
        prices.append(engine.reprice(0)[0].odds[SELECTIONS[place]])
    assert prices[1] <= prices[0]


# Books


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    sizes = draw(st.lists(st.integers(2, 20), min_size=1, max_size=6))
    fair: list[float] = []
    for size in sizes:
        weights = draw(st.lists(st.floats(0.01, 30.0), min_size=size, max_size=size))
        fair += [weight / sum(weights) for weight in weights]
    return sizes, np.array(fair)


@settings(max_examples=60, deadline=None)
@given(market=markets(), models=st.lists(st.sampled_from(Model), min_size=6, max_size=6))
def test_what_is_published_never_pays_more_than_the_margin_allows(
    market: tuple[list[int], np.ndarray], models: list[Model]
) -> None:
    sizes, fair = market
    ragged = Markets(sizes)
    margins = [Margin(model, 10_600) for model in models[: len(sizes)]]
    odds = price(ragged, fair, margins, np.ones(len(sizes)))
    steps = set(STEPS.tolist())
    for start, size, margin in zip(ragged.starts.tolist(), sizes, margins, strict=True):
        book = odds[start : start + size].tolist()
        assert all(one == 0 or one in steps for one in book)
        if 0 not in book:
            assert sum(ONE / one for one in book) >= 1.06 - 1e-6
        # Alone it would have the same prices.
        alone = price(Markets([size]), fair[start : start + size], [margin], np.ones(1))
        assert alone.tolist() == book


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 3), st.integers(0, 3), st.floats(45.0, 96.0), st.floats(0.4, 2.5),
    st.floats(0.4, 2.5),
)  # fmt: skip
def test_every_market_of_a_match_in_play_is_priced(
    home: int, away: int, minute: float, home_expected: float, away_expected: float
) -> None:
    engine = Engine(Margins(), Blending(SOURCES))
    scores = final_scores(GoalModel(home_expected, away_expected), Moment(home, away, 2, minute))
    for number, market in enumerate(derived(scores)):
        setup = Setup(f"m{number}", "football", market.kind, market.selections, market.winners)
        engine.open(setup)
        chances = dict(zip(market.selections, market.probabilities, strict=True))
        engine.model(f"m{number}", "model", chances, 0)
    engine.reprice(0)
    for number, market in enumerate(derived(scores)):
        odds = engine.published(f"m{number}")
        for selection, chance in zip(market.selections, market.probabilities, strict=True):
            # Never better than fair, and never a price for what can't be.
            assert odds[selection] == 0 or SHORTEST_STEP <= odds[selection] <= MAX_ODDS
            assert odds[selection] * chance <= ONE + 1e-6
            if chance < 1e-7:
                assert odds[selection] == 0
            if 0.01 < chance < 0.9:
                assert odds[selection] > 0


# A naive engine beside it, over any order of events


class Engines(RuleBasedStateMachine):
    """Two markets, one source each for quotes, prices by plain Python; the answers add up."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(MARGINS, Blending({"feed": SOURCES["feed"]}))
        self.now_ms = 0
        self.said: dict[str, tuple[int, dict[str, int]]] = {}
        self.told: dict[str, dict[str, int]] = {}

    @rule(name=st.sampled_from(["m1", "m2"]))
    def open_or_close(self, name: str) -> None:
        if name in self.told:
            self.engine.close(name)
            self.said.pop(name, None)
            del self.told[name]
            with pytest.raises(KeyError):
                self.engine.published(name)
        else:
            self.engine.open(Setup(name, "football", "total", ("over", "under")))
            self.told[name] = {"over": 0, "under": 0}

    @precondition(lambda self: self.told)
    @rule(
        data=st.data(),
        over=st.sampled_from([0, 15_000, 19_000, 19_100, 21_000]),
        under=st.sampled_from([0, 17_000, 19_000, 26_000]),
        ago_ms=st.integers(0, 3_000),
    )
    def quote(self, data: st.DataObject, over: int, under: int, ago_ms: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.told)))
        at_ms = self.now_ms - ago_ms
        odds = {"over": over, "under": under}
        self.engine.quote(name, "feed", odds, at_ms)
        if name not in self.said or self.said[name][0] <= at_ms:
            self.said[name] = (at_ms, odds)

    @rule(passes_ms=st.integers(1, 7_000))
    def reprice(self, passes_ms: int) -> None:
        self.now_ms += passes_ms
        due_ms = self.engine.due_ms()
        if due_ms is not None and due_ms > self.now_ms and not self.engine._news:
            assert self.engine.reprice(self.now_ms) == []
        for market_id, odds, as_of_ms in self.engine.reprice(self.now_ms):
            assert odds
            assert as_of_ms <= self.now_ms
            if any(odds.values()):
                assert as_of_ms == self.said[market_id][0]
            for selection, now in odds.items():
                assert self.told[market_id][selection] != now  # only what changed
            self.told[market_id] |= odds
        for name, told in self.told.items():
            assert told == self.expected(name)

    def expected(self, name: str) -> dict[str, int]:
        none = {"over": 0, "under": 0}
        at_ms, odds = self.said.get(name, (0, none))
        if self.now_ms - at_ms > 10_000 or 0 in odds.values():
            return none
        book = sum(ONE / one for one in odds.values())
        if not 0.9 <= book <= 2.0:
            return none
        return {
            selection: down_to_ladder(int(one * book / 1.05 * (1 + 1e-9)))
            for selection, one in odds.items()
        }

    @invariant()
    def it_remembers_what_it_told(self) -> None:
        for name, told in self.told.items():
            assert self.engine.published(name) == told


TestEngines = Engines.TestCase
TestEngines.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# What is refused


def test_what_can_not_be_is_an_error() -> None:
    engine = engine_of()
    with pytest.raises(ValueError, match="open already"):
        engine.open(MATCH)
    with pytest.raises(KeyError):
        engine.quote("f2", "feed", {}, 0)
    with pytest.raises(ValueError, match="no such source"):
        engine.quote("f1:1x2", "nobody", {}, 0)
    with pytest.raises(ValueError, match="odds are from"):
        engine.quote("f1:1x2", "feed", {"home": 10_000}, 0)
    with pytest.raises(ValueError, match="every selection"):
        engine.model("f1:1x2", "model", {"home": 0.5, "away": 0.5}, 0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        say(engine, 1.2, -0.1, -0.1)
    with pytest.raises(ValueError, match="from 0 to 1"):
        engine.model("f1:1x2", "model", {"home": 0.5, "draw": 0.3, "nobody": 0.2}, 0)
    with pytest.raises(ValueError, match="add up to"):
        say(engine, 0.5, 0.3, 0.3)
    with pytest.raises(ValueError, match="each once"):
        Setup("m", "football", "total", ("over", "over"))
    with pytest.raises(ValueError, match="fewer win"):
        Setup("m", "football", "total", ("over", "under"), 2)
    with pytest.raises(ValueError, match="steps"):
        Publishing(0)
    shin = Engine(Margins(Margin(Model.SHIN, 10_500)), Blending(SOURCES))
    with pytest.raises(ValueError, match="one winner"):
        shin.open(Setup("m", "football", "double_chance", SELECTIONS, 2))
    heavy = Engine(Margins(Margin(Model.POWER, 15_000)), Blending(SOURCES))
    with pytest.raises(ValueError, match="so much margin"):
        heavy.open(Setup("m", "football", "double_chance", SELECTIONS, 2))
