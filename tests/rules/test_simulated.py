"""The simulated board: always the same by its seed, never below its margin, true to its scores."""

from collections import Counter
from fractions import Fraction
from itertools import product, takewhile
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.base import Command
from actors.declaring import DeclareResult
from actors.fixture import ChangePhase, CreateFixture, Phase
from actors.market import MarketStatus
from actors.odds import MAX_ODDS, ONE
from actors.pricing.goals import GoalModel, Moment, final_scores
from actors.results import LOST, WON, Outcome, Result, payout_minor
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.matches import (
    SPORTS,
    AmericanFootball,
    Basketball,
    Football,
    HorseRace,
    Look,
    Match,
    Tennis,
    finish,
    spread,
    total,
)
from gateway.feeds.simulated import OVERROUND, RIVAL_KINDS, Board, Settings, odds_of
from tests.rehearsal import Rehearsal

START_MS = 1_800_000_000_000
MINUTE_MS = 60_000
EVERY_SPORT = (Football, Tennis, HorseRace, Basketball, AmericanFootball)


def board(seed: int = 1, **more) -> Board:
    return Board(Settings(seed=seed, **more), "t", START_MS)


def minutes_of(board: Board, minutes: int) -> list:
    end_ms = START_MS + minutes * MINUTE_MS
    return list(takewhile(lambda step: step.at_ms < end_ms, board.play()))


@pytest.fixture(scope="module")
def half_hour() -> list:
    return minutes_of(board(), 30)


def test_the_same_seed_and_start_are_the_same_board(half_hour):
    assert minutes_of(board(), 5) == [s for s in half_hour if s.at_ms < START_MS + 5 * MINUTE_MS]
    assert minutes_of(board(seed=2), 5) != minutes_of(board(), 5)


def test_the_board_is_full_of_sport_at_every_moment(half_hour):
    phases: dict[str, Phase] = {}
    sports: dict[str, str] = {}
    on_board = []
    for step in half_hour:
        for command in step.commands:
            if isinstance(command, CreateFixture):
                phases[command.fixture_id] = Phase.SCHEDULED
                sports[command.fixture_id] = command.sport
                assert command.starts_at_ms >= step.at_ms
            elif isinstance(command, ChangePhase):
                phases[command.fixture_id] = command.phase
        now = Counter(phases.values())
        on_board.append((step.at_ms, now[Phase.SCHEDULED], now[Phase.IN_PLAY]))
    assert {sport.sport for sport in EVERY_SPORT} == set(sports.values())
    settled_in = [row for row in on_board if row[0] > START_MS + MINUTE_MS]
    assert min(scheduled + live for _, scheduled, live in settled_in) >= 14
    assert max(scheduled + live for _, scheduled, live in settled_in) <= 16
    assert min(live for _, _, live in settled_in) >= 1
    assert Counter(phases.values())[Phase.ENDED] > 40


def test_a_visitor_sees_play_within_half_a_minute():
    started = {
        command.fixture_id
        for step in minutes_of(board(), 1)
        if step.at_ms < START_MS + 30_000
        for command in step.commands
        if isinstance(command, ChangePhase) and command.phase is Phase.IN_PLAY
    }
    assert len(started) >= 5


def test_prices_move_five_to_twenty_times_a_second(half_hour):
    changes = sum(isinstance(c, ChangePrices) for step in half_hour for c in step.commands)
    assert 5 <= changes / 1_800 <= 20


@pytest.mark.parametrize("seed", range(2))
def test_the_book_refuses_nothing_and_everything_that_starts_ends_with_its_results(seed):
    book = Rehearsal()
    for step in board(seed, fixtures=8, total=24).play():
        book.now_ms = step.at_ms
        for command in step.commands:
            book.do(command)
            _check(book, command)
    assert book.refused == []
    assert len(book.fixtures) == 24
    for fixture in book.fixtures.values():
        assert fixture.phase is Phase.ENDED
        assert fixture.score
        assert len(fixture.markets) >= 2
    for market in book.markets.values():
        assert market.status is MarketStatus.CLOSED
        assert market.results.keys() == market.selections.keys()
        if market.kind != "place" and market.terms.line_quarters is None:
            winners = [r for r in market.results.values() if r.outcome is Outcome.WON]
            assert sum(r.places / r.tied for r in winners) == pytest.approx(1)


def _check(book: Rehearsal, command: Command) -> None:
    """What must hold after every command."""
    if isinstance(command, ChangePrices):
        market = book.markets[command.market_id]
        runners = [s for s in market.selections.values() if not s.withdrawn]
        if all(runner.odds for runner in runners):
            places = int(market.name[-2]) if market.kind == "place" else 1
            assert sum(ONE / runner.odds for runner in runners) > places
    if isinstance(command, ChangeStatus) and command.in_play:
        assert 1_000 <= command.bet_delay_ms <= 2_000
    if isinstance(command, DeclareResult):
        # Nobody could bet any more on what is known now, or the price was gone.
        market = book.markets[command.market_id]
        assert market.status is MarketStatus.CLOSED


@pytest.mark.parametrize("sport", EVERY_SPORT)
@pytest.mark.parametrize("seed", range(5))
def test_a_goal_suspends_before_it_is_shown_and_the_market_opens_again(sport, seed):
    match = sport(Random(seed))
    status, paused = "open", 0
    at_ms = -1
    for look in match.play():
        assert look.after_ms > at_ms
        at_ms = look.after_ms + look.pause_ms
        assert status == "open" or not match.offers, "nothing follows the last look but results"
        paused += look.pause_ms > 0
        status = "last" if look.last else "open"
    assert not match.offers
    assert (
        paused
        or sport is HorseRace
        or not any(int(n) for n in look.score.split()[0] if n.isdigit())
    )


def test_a_suspension_leads_the_step_that_shows_a_goal(half_hour):
    shown = 0
    for step in half_hour:
        kinds = [type(command) for command in step.commands]
        if DeclareResult in kinds and ChangeStatus in kinds:
            assert kinds.index(ChangeStatus) < kinds.index(DeclareResult)
            shown += 1
    assert shown


def pays(line: Fraction, margin: int) -> Fraction:
    """What one unit at evens on "the margin is above the line" pays, by the rule as it is told: on
    a quarter line, half of the stake is on each of the two lines beside it."""
    if line.denominator == 4:
        quarter = Fraction(1, 4)
        return (pays(line - quarter, margin) + pays(line + quarter, margin)) / 2
    return Fraction(2 if margin > line else 1 if margin == line else 0)


def paid(result: Result) -> Fraction:
    return Fraction(payout_minor(1_000, 20_000, result), 1_000)


def assert_lines(results: dict, offers: list, home: int, away: int) -> set[Outcome]:
    """Every total and handicap paid what it should; the kinds of outcome there were."""
    seen = set()
    for offer in offers:
        if offer.line_quarters is None:
            continue
        line, by = Fraction(offer.line_quarters, 4), results[offer.key]
        if "over" in by:
            assert paid(by["over"]) == pays(line, home + away), offer.key
            assert paid(by["under"]) == pays(-line, -home - away), offer.key
        else:
            assert paid(by["home"]) == pays(-line, home - away), offer.key
            assert paid(by["away"]) == pays(line, away - home), offer.key
        seen |= {result.outcome for result in by.values()}
    return seen


def played(match: Match) -> tuple[dict[str, dict[str, Result]], list, Look]:
    """All results, all offers there ever were, and the last look."""
    offers = {offer.key: offer for offer in match.offers}
    results: dict[str, dict[str, Result]] = {}
    for look in match.play():
        results |= look.results
        offers |= {offer.key: offer for offer in match.offers}
    return results, list(offers.values()), look


@pytest.mark.parametrize("seed", range(20))
def test_football_results_follow_from_the_score(seed):
    match = Football(Random(seed))
    results, offers, look = played(match)
    home, away = match.goals
    winner = "home" if home > away else "away" if home < away else "draw"
    assert results["result"][winner] == WON
    assert (results["total-2.5"]["over"] == WON) == (home + away > 2)
    assert (results["both"]["yes"] == WON) == bool(home and away)
    exact = f"{home}-{away}" if max(home, away) <= 4 else "other"
    assert [of for of, result in results["score"].items() if result == WON] == [exact]
    goals = [results[f"goal-{n}"] for n in range(1, home + away + 1)]
    assert sum(goal["home"] == WON for goal in goals) == home
    last = results.get(f"goal-{home + away + 1}")
    assert last is None or last["none"] == WON
    assert look.score == f"{home}-{away} 90'"
    assert_lines(results, offers, home, away)
    assert sum(len(offer.selections) for offer in Football(Random(seed)).offers) < 60


@pytest.mark.parametrize("sport", [Basketball, AmericanFootball])
@pytest.mark.parametrize("seed", range(20))
def test_points_games_are_never_level_and_follow_their_lines(sport, seed):
    match = sport(Random(seed))
    results, offers, _ = played(match)
    home, away = match.points
    assert home != away
    assert (results["winner"]["home"] == WON) == (home > away)
    assert_lines(results, offers, home, away)


def test_lines_come_out_in_every_way_there_is():
    seen: set[Outcome] = set()
    for seed in range(60):
        match = Football(Random(f"lines/{seed}"))
        results, offers, _ = played(match)
        seen |= assert_lines(results, offers, *match.goals)
    assert seen == set(Outcome)


@pytest.mark.parametrize("line", range(-20, 21))
def test_a_line_of_any_quarter_pays_as_the_naive_rule_does(line):
    for home, away in product(range(7), repeat=2):
        match = Football(Random(1))
        for offer in (total(abs(line), "goals"), spread(line, "A", "B")):
            match.offers = [offer]
            assert_lines(match.decide_line(offer, home, away), [offer], home, away)
            assert not match.offers


def test_a_match_is_priced_by_the_model_that_it_is_known_by():
    """What the fixture is told is what its prices come from: a joint price of one leg is fair."""
    match = Football(Random(3))
    for look in match.play():
        if look.pause_ms or look.last or not match.offers:
            continue
        chances, model = match.chances(), match.model()
        assert model.possible
        goals = GoalModel(model.home / ONE, model.away / ONE, model.rho / ONE)
        moment = Moment(model.home_goals, model.away_goals, model.half, float(model.minute))
        scores = final_scores(goals, moment)
        assert scores.match_result() == pytest.approx(tuple(chances["result"].values()), abs=1e-4)
        if "total-2.5" in chances:
            fair = tuple(chances["total-2.5"].values())
            assert scores.over_under(10) == pytest.approx(fair, abs=1e-4)


def test_goals_come_when_the_model_expects_them():
    """By half-time, of many matches, as many as the tempo says."""
    first = count = 0
    for seed in range(400):
        match = Football(Random(f"tempo/{seed}"))
        scorers = match._scorers()
        count += len(scorers)
        first += sum(minute <= match.HALVES[0] for minute, _ in scorers)
        assert all(1 <= minute <= sum(match.HALVES) for minute, _ in scorers)
    assert first / count == pytest.approx(match.TEMPO.first_half, abs=0.05)


def test_a_quiet_market_is_said_again_before_it_is_too_old(half_hour):
    """No market that is open to bets is ever older than its limit."""
    book = Rehearsal()
    confirmed = 0
    for step in half_hour:
        book.now_ms = step.at_ms
        for market in book.markets.values():
            priced = any(selection.odds for selection in market.selections.values())
            if market.status is MarketStatus.OPEN and priced:
                assert not market.stale(step.at_ms), (market.market_id, market.kind)
        for command in step.commands:
            book.do(command)
            confirmed += isinstance(command, ChangePrices) and not command.odds
    assert confirmed


def test_a_same_game_price_is_there_whenever_the_match_can_be_bet_on(half_hour):
    book = Rehearsal()
    looked = 0
    for step in half_hour:
        book.now_ms = step.at_ms
        for command in step.commands:
            book.do(command)
        for fixture_id in {command.fixture_id for command in step.commands}:
            fixture = book.fixtures[fixture_id]
            result = book.markets.get(f"{fixture_id}:result")
            if fixture.sport == "Football" and result.status is MarketStatus.OPEN:
                assert fixture.model_now(step.at_ms) is not None
                looked += 1
    assert looked > 100


@pytest.mark.parametrize("seed", range(20))
def test_tennis_is_the_best_of_three(seed):
    match = Tennis(Random(seed))
    results = {}
    for look in match.play():
        results |= look.results
    sets = [results[f"set-{n}"] for n in range(1, sum(match.sets) + 1)]
    assert max(match.sets) == 2
    assert sum(won["home"] == WON for won in sets) == match.sets[0]
    assert (results["winner"]["home"] == WON) == (match.sets[0] == 2)
    assert len(look.score.split()) == sum(match.sets)


@pytest.mark.parametrize("sport", EVERY_SPORT)
def test_chances_of_a_market_add_up(sport):
    match: Match = sport(Random(4))
    for _ in range(200):
        match.reconsider()
    for _look in match.play():
        if not match.offers:
            break
        for key, chances in match.chances().items():
            places = match.places if key == "place" else 1
            assert all(-1e-9 <= chance <= 1 + 1e-9 for chance in chances.values())
            assert sum(chances.values()) == pytest.approx(places, abs=0.05)


@pytest.mark.parametrize("sport", [Football, Tennis, Basketball, AmericanFootball])
def test_prices_are_honest(sport):
    """What has a chance of p at the start comes true about p of the time."""
    expected = happened = 0.0
    for seed in range(200):
        match = sport(Random(f"honest/{seed}"))
        key = match.offers[0].key
        expected += match.chances()[key]["home"]
        for look in match.play():
            if key in look.results:
                happened += look.results[key]["home"] == WON
    assert happened / 200 == pytest.approx(expected / 200, abs=0.1)


@pytest.mark.parametrize(
    ("ends", "places", "expected"),
    [
        ({"1": 3.0, "2": 2.0, "3": 1.0}, 1, {"1": WON, "2": LOST, "3": LOST}),
        ({"1": 3.0, "2": 2.0, "3": 1.0}, 2, {"1": WON, "2": WON, "3": LOST}),
        (
            {"1": 3.0, "2": 3.0, "3": 1.0},
            1,
            {"1": Result(Outcome.WON, 2, 1), "2": Result(Outcome.WON, 2, 1), "3": LOST},
        ),
        ({"1": 3.0, "2": 3.0, "3": 1.0}, 2, {"1": WON, "2": WON, "3": LOST}),
        (
            {"1": 3.0, "2": 2.0, "3": 2.0},
            2,
            {"1": WON, "2": Result(Outcome.WON, 2, 1), "3": Result(Outcome.WON, 2, 1)},
        ),
        (
            {"1": 3.0, "2": 3.0, "3": 3.0},
            2,
            dict.fromkeys("123", Result(Outcome.WON, 3, 2)),
        ),
    ],
)
def test_a_finish(ends, places, expected):
    assert finish(ends, places) == expected


@given(st.floats(0, 1))
def test_odds_keep_the_margin(chance):
    odds = odds_of(chance)
    if odds and odds < MAX_ODDS:
        assert ONE / odds >= chance * OVERROUND * (1 - 1e-9)
    assert odds or chance < 1e-300 or chance > 0.93


def test_a_rival_prices_the_main_markets_of_the_same_matches_otherwise(half_hour):
    kinds, ours, theirs = {}, {}, {}
    for step in minutes_of(board(), 5):
        for command in step.commands:
            if isinstance(command, OpenMarket):
                kinds[command.market_id] = command.kind
            elif isinstance(command, ChangePrices):
                ours.setdefault((command.market_id, step.at_ms), command.odds)
    for step in minutes_of(board(rival="harbour", overround=10_900), 5):
        for command in step.commands:
            assert isinstance(command, ChangePrices)
            assert kinds[command.market_id] in RIVAL_KINDS
            theirs.setdefault((command.market_id, step.at_ms), command.odds)
    both = ours.keys() & theirs.keys()
    assert len(both) > 100
    assert sum(ours[at] != theirs[at] for at in both) > 0.9 * len(both)
    for at in both:
        complete = len(theirs[at]) >= 3 and all(theirs[at].values())
        if complete and kinds[at[0]] == "match_result":
            assert sum(ONE / odds for odds in theirs[at].values()) >= 1.09 - 1e-9


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"fixtures": 0}, "fixtures is 0"),
        ({"fixtures": 501}, "fixtures is 501"),
        ({"overround": 9_999}, "overround is 9999"),
        ({"overround": 20_000}, "overround is 20000"),
    ],
)
def test_bad_settings_are_refused(more, why):
    with pytest.raises(ValueError, match=why):
        board(**more)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_any_size_of_board_works(fixtures, total, seed):
    steps = list(board(seed, fixtures=fixtures, total=total).play())
    created = [c for s in steps for c in s.commands if isinstance(c, CreateFixture)]
    assert len(created) == total
    assert [s.at_ms for s in steps] == sorted(s.at_ms for s in steps)


def test_every_sport_has_a_place_on_the_board():
    assert set(SPORTS) == set(EVERY_SPORT)
