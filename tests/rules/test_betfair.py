"""Recordings of the exchange, turned into commands: three real ones, and what others may hold."""

import bz2
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.declaring import WithdrawSelection
from actors.fixture import CreateFixture, Phase
from actors.market import MAX_BET_DELAY_MS, MarketStatus
from actors.odds import ONE, down_to_ladder
from actors.results import LOST, VOID, WON, Outcome, Result
from actors.trading import ChangePrices, ChangeStatus, OpenMarket
from gateway.feeds.betfair import Recording, RecordingError, Settings, our_odds
from gateway.feeds.betfair.cache import RunnerBook
from gateway.feeds.betfair.messages import RunnerChange
from tests.rehearsal import Rehearsal

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "feeds"


def recorded(*names: str) -> Recording:
    paths = [RECORDED / name for name in names]
    for path in paths:
        if not path.is_file():
            pytest.skip(f"the recording {path} is not on this machine")
    return Recording(Settings(tuple(map(str, paths))), "t")


def replay(recording: Recording) -> Rehearsal:
    """The book after the whole recording; nothing of it may be refused."""
    book = Rehearsal()
    at_ms = 0
    for step in recording.convert():
        assert step.at_ms >= at_ms
        at_ms = book.now_ms = step.at_ms
        for command in step.commands:
            book.do(command)
    assert book.refused == []
    return book


def commands(recording: Recording, kind: type) -> list:
    return [
        command
        for step in recording.convert()
        for command in step.commands
        if isinstance(command, kind)
    ]


def outcomes(book: Rehearsal, market_id: str) -> dict[str, list[str]]:
    """Names by outcome."""
    market = book.markets[market_id]
    found: dict[str, list[str]] = {}
    for of, result in market.results.items():
        found.setdefault(str(result.outcome), []).append(market.selections[of].name)
    return found


# The real ones


def test_a_horse_race_with_two_removed_runners_and_an_in_play_minute():
    recording = recorded("BASIC-1.132153978")
    book = replay(recording)
    fixture = book.fixtures["bf-28270094-t"]
    assert (fixture.sport, fixture.competition, fixture.name) == (
        "Horse Racing",
        "Ham 14th Jun",
        "19:55 Hamilton",
    )
    assert fixture.starts_at_ms == 1_497_466_500_000
    assert fixture.phase is Phase.ENDED
    market = book.markets["bf-28270094-t:1.132153978"]
    assert (market.name, market.kind, len(market.selections)) == ("1m Hcap", "win", 14)
    found = outcomes(book, market.market_id)
    assert found["won"] == ["Brother Mcgonagall"]
    assert sorted(found["void"]) == ["Hellavashock", "Hymn For The Dudes"]
    assert len(found["lost"]) == 11
    assert market.in_play
    assert market.bet_delay_ms == 1_000
    summary = recording.summary
    assert (summary.messages, summary.removed_runners, summary.suspensions) == (480, 2, 3)
    assert summary.winners == ["1.132153978 Brother Mcgonagall"]
    assert summary.price_changes > 1_000
    assert summary.warnings == []


def test_removed_runners_are_withdrawn_when_it_happens():
    recording = recorded("BASIC-1.132153978")
    withdrawn = {
        command.selection_id: step.at_ms
        for step in recording.convert()
        for command in step.commands
        if type(command).__name__ == "WithdrawSelection"
    }
    assert withdrawn == {"11198538": 1_497_423_701_932, "9606433": 1_497_432_281_916}


def test_it_opens_goes_in_play_is_suspended_and_closes():
    changes = commands(recorded("BASIC-1.132153978"), ChangeStatus)
    assert [(c.status, c.in_play, c.bet_delay_ms) for c in changes] == [
        (MarketStatus.OPEN, False, 0),
        # While each of two is withdrawn.
        *[(MarketStatus.SUSPENDED, False, 0), (MarketStatus.OPEN, False, 0)] * 2,
        (MarketStatus.OPEN, True, 1_000),
        (MarketStatus.SUSPENDED, True, 1_000),
        (MarketStatus.CLOSED, True, 1_000),
    ]


def test_a_greyhound_race_with_its_full_ladder():
    recording = recorded("1.197931750")
    book = replay(recording)
    assert book.fixtures["bf-31389771-t"].sport == "Greyhound Racing"
    found = outcomes(book, "bf-31389771-t:1.197931750")
    assert found["won"] == ["2. Sandwood Jet"]
    assert len(found["lost"]) == 5
    assert recording.summary.messages == 166
    first = commands(recording, ChangePrices)[0]
    # Back prices 8.8 and 1.51 less five percent of their profit: 8.41 and 1.4845.
    assert first.odds["42930960"] == 84_000


def test_a_place_market_pays_both_in_full():
    book = replay(recorded("1.197931751"))
    market = book.markets["bf-31389771-t:1.197931751"]
    assert (market.kind, market.name) == ("place", "To Be Placed")
    winners = [of for of, result in market.results.items() if result == WON]
    assert sorted(winners) == ["37947503", "39823721"]
    assert outcomes(book, market.market_id)["won"] == ["2. Sandwood Jet", "6. Coolavanny Galiv"]


def test_win_and_place_together_are_one_fixture_that_ends_once():
    recording = recorded("1.197931750", "1.197931751")
    book = replay(recording)
    assert list(book.fixtures) == ["bf-31389771-t"]
    assert len(book.markets) == 2
    assert book.fixtures["bf-31389771-t"].phase is Phase.ENDED
    assert recording.summary.messages == 332
    assert len(recording.summary.winners) == 3


# Made ones: a recording is lines of JSON


def definition(*statuses: str, **more: object) -> dict:
    return {
        "eventId": "77",
        "eventTypeId": "7",
        "venue": "Testfield",
        "marketType": "WIN",
        "bettingType": "ODDS",
        "marketTime": "2024-01-01T12:00:00.000Z",
        "numberOfWinners": 1,
        "betDelay": 0,
        "inPlay": False,
        "status": "OPEN",
        "runners": [
            {"id": n, "status": status, "sortPriority": n} for n, status in enumerate(statuses, 1)
        ],
    } | more


def message(at_ms: int, *changes: dict) -> dict:
    return {"op": "mcm", "clk": "x", "pt": 1_700_000_000_000 + at_ms, "mc": list(changes)}


def defined(*statuses: str, market: str = "1.1", **more: object) -> dict:
    return {"id": market, "marketDefinition": definition(*statuses, **more)}


def traded(*ltp: float, market: str = "1.1", **more: object) -> dict:
    return {"id": market, "rc": [{"id": n, "ltp": p} for n, p in enumerate(ltp, 1)]} | more


@pytest.fixture
def record(tmp_path):
    """Writes a recording of those messages and opens it."""

    def write(*messages: dict | str, **settings: object) -> Recording:
        path = tmp_path / "recording"
        lines = [m if isinstance(m, str) else json.dumps(m) for m in messages]
        path.write_text("\n".join(lines))
        return Recording(Settings((str(path),), **settings), "t")

    return write


def only(book: Rehearsal):
    (market,) = book.markets.values()
    return market


def test_a_runner_that_joins_later_has_no_price_before(record):
    recording = record(
        message(0, defined("ACTIVE", "ACTIVE"), traded(2.0, 3.0, 4.0)),
        message(1, defined("ACTIVE", "ACTIVE", "ACTIVE")),
        message(2, defined("LOSER", "LOSER", "WINNER", status="CLOSED")),
    )
    market = only(replay(recording))
    assert market.results["3"] == WON
    first, second = commands(recording, ChangePrices)
    assert "3" not in first.odds
    assert second.odds == {"3": 38_500}  # 1 + 3 * 0.95


def test_removed_hidden_and_vacant_runners_are_void(record):
    book = replay(
        record(
            message(0, defined("ACTIVE", "REMOVED_VACANT", "ACTIVE", "ACTIVE")),
            message(1, defined("ACTIVE", "REMOVED_VACANT", "HIDDEN", "REMOVED")),
            message(2, defined("WINNER", "REMOVED_VACANT", "HIDDEN", "REMOVED", status="CLOSED")),
        )
    )
    assert only(book).results == {"1": WON, "2": VOID, "3": VOID, "4": VOID}


def test_nobody_gets_a_price_of_before_a_removal_uncut(record):
    racing = {"eventTypeId": "7", "marketType": "WIN"}
    recording = record(
        message(0, defined("ACTIVE", "ACTIVE", "ACTIVE", **racing), traded(2.0, 3.0, 4.0)),
        message(1, defined("ACTIVE", "ACTIVE", "REMOVED", **racing), traded(1.5, 2.0)),
    )
    *_, removal, _end = recording.convert()
    said = [(type(one).__name__, getattr(one, "status", None)) for one in removal.commands]
    assert said[:4] == [
        ("ChangeStatus", MarketStatus.SUSPENDED),
        ("WithdrawSelection", None),
        ("ChangePrices", None),
        ("ChangeStatus", MarketStatus.OPEN),
    ]


def test_after_a_removal_prices_that_are_the_same_are_said_again(record):
    racing = {"eventTypeId": "7", "marketType": "WIN"}
    runners = ("ACTIVE", "ACTIVE", "REMOVED")
    recording = record(
        message(0, defined("ACTIVE", "ACTIVE", "ACTIVE", **racing), traded(2.0, 3.0, 4.0)),
        message(1, defined(*runners, status="SUSPENDED", **racing)),
        message(2, traded(2.0, 2.5)),
        message(3, defined(*runners, **racing)),
    )
    book, found = Rehearsal(), []
    for step in recording.convert():
        for command in step.commands:
            book.do(command)
        found.append((only(book).status, only(book).unrenewed))
    one, two = list(only(book).selections)[:2]
    assert found[:4] == [
        (MarketStatus.OPEN, []),
        # That they are still there while it is suspended is no word of them.
        (MarketStatus.SUSPENDED, [one, two]),
        (MarketStatus.SUSPENDED, [one]),
        (MarketStatus.OPEN, []),
    ]
    assert recording.summary.price_changes == 4  # what is the same is no change
    assert book.refused == []


def test_a_removed_runner_whose_factor_is_no_number_is_withdrawn_all_the_same(record):
    racing = {"eventTypeId": "7", "marketType": "WIN"}
    gone = defined("ACTIVE", "ACTIVE", "REMOVED", **racing)
    gone["marketDefinition"]["runners"][2]["adjustmentFactor"] = "NaN"
    recording = record(
        message(0, defined("ACTIVE", "ACTIVE", "ACTIVE", **racing), traded(2.0, 3.0, 4.0)),
        message(1, gone),
    )
    [withdrawn] = commands(recording, WithdrawSelection)
    assert (withdrawn.selection_id, withdrawn.reduction) == ("3", 0)
    assert recording.summary.reductions == {}


def test_a_runner_that_comes_back_stays_withdrawn_with_a_warning(record):
    recording = record(
        message(0, defined("ACTIVE", "REMOVED"), traded(2.0, 3.0)),
        message(1, defined("ACTIVE", "ACTIVE")),
        message(2, defined("LOSER", "WINNER", status="CLOSED")),
    )
    assert only(replay(recording)).status is MarketStatus.CANCELLED
    assert any("came back" in warning for warning in recording.summary.warnings)


@pytest.mark.parametrize(
    ("statuses", "more", "expected"),
    [
        pytest.param(
            ("WINNER", "WINNER", "LOSER"),
            {},
            {"1": Result(Outcome.WON, 2, 1), "2": Result(Outcome.WON, 2, 1), "3": LOST},
            id="dead heat",
        ),
        pytest.param(
            ("WINNER", "WINNER", "WINNER"),
            {"numberOfWinners": 2, "marketType": "PLACE"},
            dict.fromkeys("123", Result(Outcome.WON, 3, 2)),
            id="dead heat for a place",
        ),
        pytest.param(
            ("PLACED", "WINNER", "LOSER"),
            {"numberOfWinners": 2, "marketType": "OTHER_PLACE"},
            {"1": WON, "2": WON, "3": LOST},
            id="placed is won in a place market",
        ),
        pytest.param(
            ("PLACED", "WINNER", "LOSER"),
            {},
            {"1": LOST, "2": WON, "3": LOST},
            id="placed is lost in a win market",
        ),
        pytest.param(
            ("WINNER", "WINNER", "LOSER"),
            {"numberOfWinners": 0},
            {"1": WON, "2": WON, "3": LOST},
            id="any number of winners",
        ),
        pytest.param(
            ("LOSER", "LOSER", "LOSER"),
            {"numberOfWinners": 0},
            dict.fromkeys("123", LOST),
            id="any number of winners, and none",
        ),
        pytest.param(("LOSER", "LOSER", "LOSER"), {}, None, id="no winner is void"),
        pytest.param(("REMOVED", "REMOVED", "REMOVED"), {}, None, id="all removed is void"),
        pytest.param(("ACTIVE", "ACTIVE", "REMOVED"), {}, None, id="never decided is void"),
        pytest.param(
            ("WINNER", "ACTIVE", "LOSER"), {}, {"1": WON, "2": VOID, "3": LOST}, id="one undecided"
        ),
    ],
)
def test_results(record, statuses, more, expected):
    book = replay(
        record(
            message(0, defined("ACTIVE", "ACTIVE", "ACTIVE", **more)),
            message(1, defined(*statuses, **more, status="CLOSED")),
        )
    )
    market = only(book)
    if expected is None:
        assert market.status is MarketStatus.CANCELLED
        assert set(market.results.values()) == {VOID}
    else:
        assert market.status is MarketStatus.CLOSED
        assert market.results == expected
    assert book.fixtures["bf-77-t"].phase is Phase.ENDED


def test_a_result_can_be_corrected_and_a_repeated_one_changes_nothing(record):
    market = only(
        replay(
            record(
                message(0, defined("ACTIVE", "ACTIVE")),
                message(1, defined("ACTIVE", "ACTIVE", status="CLOSED")),
                message(2, defined("WINNER", "LOSER", status="CLOSED")),
                message(3, defined("WINNER", "LOSER", status="CLOSED")),
                message(4, defined("LOSER", "WINNER", status="CLOSED")),
            )
        )
    )
    assert market.results == {"1": LOST, "2": WON}
    assert market.result_version == 2


def test_a_market_closed_without_result_may_open_again(record):
    recording = record(
        message(0, defined("ACTIVE", "ACTIVE"), traded(2.0, 2.0)),
        message(1, defined("ACTIVE", "ACTIVE", status="CLOSED")),
        message(2, defined("ACTIVE", "ACTIVE"), traded(3.0)),
        message(3, defined("WINNER", "LOSER", status="CLOSED")),
        message(4, defined("WINNER", "LOSER")),
    )
    book = replay(recording)
    assert only(book).results == {"1": WON, "2": LOST}
    assert only(book).selections["1"].odds == 29_000
    assert recording.summary.warnings == ["market 1.1 reopens: it stays closed"]


def test_a_recording_that_just_ends_leaves_its_market_suspended(record):
    recording = record(message(0, defined("ACTIVE", "ACTIVE"), traded(2.0, 2.0)))
    book = replay(recording)
    assert only(book).status is MarketStatus.SUSPENDED
    assert book.fixtures["bf-77-t"].phase is Phase.SCHEDULED
    assert "stays suspended" in recording.summary.warnings[0]


def test_suspension_comes_before_prices_and_reopening_after(record):
    recording = record(
        message(0, defined("ACTIVE", "ACTIVE"), traded(2.0, 2.0)),
        message(1, defined("ACTIVE", "ACTIVE", status="SUSPENDED"), traded(3.0)),
        message(2, defined("ACTIVE", "ACTIVE", status="OPEN"), traded(4.0)),
    )
    kinds = [[type(c).__name__ for c in step.commands] for step in recording.convert()]
    assert kinds[1] == ["ChangeStatus", "ChangePrices"]
    assert kinds[2] == ["ChangePrices", "ChangeStatus"]


def test_an_image_replaces_all_that_was_known(record):
    image = traded(img=True)
    image["rc"] = [{"id": 2, "atb": [[4, 10]]}]
    recording = record(message(0, defined("ACTIVE", "ACTIVE"), traded(2.0, 2.0)), message(1, image))
    assert commands(recording, ChangePrices)[-1].odds == {"1": 0, "2": 38_500}


def test_bet_delay_is_kept_within_what_the_book_allows(record):
    book = replay(record(message(0, defined("ACTIVE", "ACTIVE", inPlay=True, betDelay=300))))
    assert only(book).bet_delay_ms == MAX_BET_DELAY_MS
    assert book.fixtures["bf-77-t"].phase is Phase.IN_PLAY


def test_handicaps_are_selections_of_their_own(record):
    runners = [
        {"id": 9, "hc": hc, "status": "ACTIVE", "name": name, "sortPriority": n}
        for n, (hc, name) in enumerate([(-1.5, "Home"), (1.5, "Away"), (0.0, "Tie")])
    ]
    handicap = defined(marketType="HANDICAP", eventTypeId="1", eventName="Home v Away")
    handicap["marketDefinition"]["runners"] = runners
    handicap["rc"] = [{"id": 9, "hc": -1.5, "ltp": 3.0}, {"id": 9, "ltp": 2.0}]
    book = replay(record(message(0, handicap)))
    market = only(book)
    assert {of: (s.name, s.odds) for of, s in market.selections.items()} == {
        "9_-1.5": ("Home -1.5", 29_000),
        "9_1.5": ("Away +1.5", 0),
        "9": ("Tie", 19_500),
    }


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"bettingType": "ASIAN_HANDICAP_DOUBLE_LINE"}, "ASIAN_HANDICAP_DOUBLE_LINE"),
        ({"bettingType": "LINE"}, "LINE"),
        ({"marketType": "EACH_WAY", "eachWayDivisor": 4.0}, "each-way"),
    ],
)
def test_what_is_not_supported_is_left_out_with_a_warning(record, more, why):
    recording = record(
        message(
            0,
            defined("ACTIVE", "ACTIVE", market="1.2", **more),
            traded(2.0, 2.0, market="1.2"),
            defined("ACTIVE", "ACTIVE"),
        ),
        message(1, defined("WINNER", "LOSER", status="CLOSED")),
    )
    book = replay(recording)
    assert list(book.markets) == ["bf-77-t:1.1"]
    assert book.fixtures["bf-77-t"].phase is Phase.ENDED
    (warning,) = recording.summary.warnings
    assert "market 1.2 is left out" in warning
    assert why in warning


def test_a_market_that_is_never_defined_is_left_out(record):
    recording = record(message(0, traded(2.0), traded(2.0, market="1.9")), "")
    assert replay(recording).fixtures == {}
    assert recording.summary.warnings == [
        "market 1.1 has no marketDefinition: it is left out",
        "market 1.9 has no marketDefinition: it is left out",
    ]


@pytest.mark.parametrize(
    ("more", "fixture", "market", "runners"),
    [
        (
            {},
            ("Horse Racing", "Testfield", "12:00 Testfield"),
            ("Win", "win"),
            ["Runner 1", "Runner 2", "Runner 3"],
        ),
        (
            {"eventTypeId": "4339", "timezone": "Australia/Sydney"},
            ("Greyhound Racing", "Testfield", "23:00 Testfield"),
            ("Win", "win"),
            ["Trap 1", "Trap 2", "Trap 3"],
        ),
        (
            {"eventTypeId": "1", "marketType": "MATCH_ODDS", "venue": None, "timezone": "No/Where"},
            ("Soccer", "Soccer", "Soccer event 77"),
            ("Match Odds", "match_result"),
            ["Home", "Away", "The Draw"],
        ),
        (
            {"eventTypeId": "1", "marketType": "OVER_UNDER_25", "eventName": "A v B"},
            ("Soccer", "Soccer", "A v B"),
            ("Over Under 25", "over_under_25"),
            ["Under 2.5", "Over 2.5", "Runner 3"],
        ),
        (
            {"eventTypeId": "4", "marketType": "MATCH_ODDS", "eventName": "A v B",
             "countryCode": "AU", "name": "Match"},
            ("Cricket", "AU", "A v B"),
            ("Match", "match_result"),
            ["Home", "Away", "The Draw"],
        ),
        (
            {"eventTypeId": "99", "venue": None, "marketType": None},
            ("Sport 99", "Sport 99", "Sport 99 event 77"),
            ("Market 1.1", "market"),
            ["Runner 1", "Runner 2", "Runner 3"],
        ),
    ],
)  # fmt: skip
def test_names_where_the_stream_has_none(record, more, fixture, market, runners):
    recording = record(message(0, defined("ACTIVE", "ACTIVE", "ACTIVE", **more)))
    (created,) = commands(recording, CreateFixture)
    (opened,) = commands(recording, OpenMarket)
    assert (created.sport, created.competition, created.name) == fixture
    assert (opened.name, opened.kind) == market
    assert list(opened.selections.values()) == runners


def test_other_messages_and_heartbeats_are_nothing(record):
    recording = record(
        {"op": "connection", "connectionId": "1"},
        {"op": "status", "id": 1, "statusCode": "SUCCESS"},
        {"op": "mcm", "ct": "HEARTBEAT", "pt": 1_700_000_000_000, "clk": "a"},
        "",
        message(1, defined("ACTIVE", "ACTIVE")),
        {"op": "ocm", "pt": 5, "oc": []},
    )
    assert len(commands(recording, CreateFixture)) == 1
    assert recording.summary.messages == 2


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (bz2.compress, "")])
def test_packed_recordings_are_read_whatever_they_are_called(tmp_path, pack, suffix):
    path = tmp_path / f"packed{suffix}"
    path.write_bytes(pack(json.dumps(message(0, defined("ACTIVE", "ACTIVE"))).encode()))
    replay(Recording(Settings((str(path),)), "t"))


def test_a_packed_recording_cut_off_is_read_as_far_as_it_goes(tmp_path):
    lines = [message(0, defined("ACTIVE", "ACTIVE"))]
    lines += [message(n, traded(2 + n / 100, 3 + n / 50)) for n in range(3_000)]
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode())[:-500])
    recording = Recording(Settings((str(path),)), "t")
    replay(recording)
    assert any("cut off" in warning for warning in recording.summary.warnings)


def test_a_last_line_cut_off_is_left_out(record):
    whole = json.dumps(message(1, traded(2.0, 2.0)))
    recording = record(message(0, defined("ACTIVE", "ACTIVE")), whole[:-9])
    book = replay(recording)
    assert only(book).odds_version == 0
    assert "line 2, the last, is cut off" in recording.summary.warnings[0]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"op":"mcm","pt":17000', "truncated"),
        ('{"op":"mcm","pt":"soon"}', r"Expected `int`, got `str` - at `\$.pt`"),
        ('{"op":"mcm","pt":1,"mc":[{"id":"a b"}]}', "'a b' can't be an id"),
        ('{"op":"mcm","mc":[{"id":"1.1"}]}', "no publish time"),
        ("[1]", "Expected `object`"),
        ("not json", "malformed"),
    ],
)
def test_a_broken_line_is_named_before_anything_is_sent(record, line, why):
    with pytest.raises(RecordingError, match=rf"recording:1: .*{why}"):
        record(line, message(0, defined("ACTIVE", "ACTIVE")))


def test_what_is_no_recording_is_refused(tmp_path, record):
    with pytest.raises(RecordingError, match="no recording was given"):
        Recording(Settings(()), "t")
    with pytest.raises(RecordingError, match="missing: No such file"):
        Recording(Settings((str(tmp_path / "missing"),)), "t")
    with pytest.raises(RecordingError, match="malformed"):
        record("hello")
    with pytest.raises(ValueError, match="margin_bp is 10000"):
        record(message(0), margin_bp=10_000)


# Prices


@pytest.mark.parametrize(
    ("price", "margin_bp", "odds"),
    [
        ("0", 500, 0),
        ("1", 500, 0),
        ("NaN", 500, 0),
        ("1.01", 500, 10_100),
        ("2", 500, 19_500),
        ("2.02", 500, 19_600),  # 1.969
        ("3", 500, 29_000),
        ("8.8", 500, 84_000),  # 8.41
        ("8.8", 0, 88_000),
        ("1000", 500, 9_500_000),  # 950.05
        ("1e99", 500, 9_500_000),
        ("2.860593788", 0, 28_600),
    ],
)
def test_our_price(price, margin_bp, odds):
    assert our_odds(Decimal(price), margin_bp) == odds


@given(
    st.decimals("1.01", "1000", places=2, allow_nan=False),
    st.integers(0, 9_999),
)
def test_our_price_is_never_better_than_the_exchanges(price, margin_bp):
    odds = our_odds(price, margin_bp)
    assert odds == down_to_ladder(odds)
    assert odds <= price * ONE


_level = st.integers(0, 9)
_price = st.sampled_from([Decimal(n) / 100 for n in (101, 150, 200, 202, 880, 1_000, 100_000)])
_size = st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("2"), Decimal("13002.5")])


@given(st.lists(st.lists(st.tuples(_price, _size), max_size=5), min_size=1, max_size=20))
def test_a_ladder_by_price_keeps_its_best(deltas):
    ladder, naive = RunnerBook(), {}
    for delta in deltas:
        ladder.hear(RunnerChange(1, atb=delta, batb=[(Decimal(0), Decimal(999), Decimal(1))]))
        naive.update(delta)
        best = [price for price, size in naive.items() if size]
        assert ladder.price() == max(best, default=0)


@given(
    st.lists(st.lists(st.tuples(_level, _price, _size), max_size=5), min_size=1, max_size=20),
    st.sampled_from(["batb", "bdatb"]),
)
def test_a_ladder_by_level_keeps_its_first(deltas, field):
    ladder, naive = RunnerBook(), {}
    for delta in deltas:
        levels = [(Decimal(level), price, size) for level, price, size in delta]
        ladder.hear(RunnerChange(1, ltp=Decimal(50), **{field: levels}))
        naive.update({level: (price, size) for level, price, size in delta})
        there = sorted(level for level, (_, size) in naive.items() if size)
        assert ladder.price() == (naive[there[0]][0] if there else 0)


def test_last_traded_counts_only_where_there_is_no_ladder():
    ladder = RunnerBook()
    assert ladder.price() == 0
    ladder.hear(RunnerChange(1, ltp=Decimal(5)))
    assert ladder.price() == 5
    ladder.hear(RunnerChange(1, atb=[(Decimal(4), Decimal(1))]))
    assert ladder.price() == 4
    ladder.hear(RunnerChange(1, atb=[(Decimal(4), Decimal(0))]))
    assert ladder.price() == 0


_statuses = st.sampled_from(["ACTIVE", "REMOVED", "HIDDEN", "WINNER", "LOSER", "PLACED"])


@given(
    st.lists(
        st.tuples(
            st.lists(_statuses, min_size=1, max_size=4),
            st.sampled_from(["OPEN", "SUSPENDED", "CLOSED", "INACTIVE"]),
            st.booleans(),
            st.integers(0, 60),
            st.sampled_from([1.01, 2.0, 7.4, 1000]),
            st.sampled_from(["1.1", "1.2"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_the_exchange_says_the_book_never_refuses_it(tmp_path_factory, said):
    lines = [
        message(
            n,
            defined(*runners, market=market, status=status, inPlay=in_play, betDelay=delay),
            traded(price, price, img=not n % 3, market=market),
        )
        for n, (runners, status, in_play, delay, price, market) in enumerate(said)
    ]
    path = tmp_path_factory.mktemp("any") / "recording"
    path.write_text("\n".join(map(json.dumps, lines)))
    book = replay(Recording(Settings((str(path),)), "t"))
    for market in book.markets.values():
        assert market.status is not MarketStatus.OPEN
