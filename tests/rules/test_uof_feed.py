"""The whole path on one machine: our sport as UOF messages, over a bad line, recorded, and live."""

from __future__ import annotations

import asyncio
import builtins
import gzip
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from actors import outcomes
from actors.market import MarketStatus
from actors.results import payout_minor
from actors.trading import ChangePrices, OpenMarket
from gateway.feeds.simulated import Board
from gateway.feeds.simulated import Settings as BoardSettings
from gateway.feeds.uof import FEED, Settings
from gateway.feeds.uof.descriptions import shipped
from gateway.feeds.uof.live import (
    AmqpLine,
    Arrived,
    HttpApi,
    Live,
    LiveSettings,
    bindings,
)
from gateway.feeds.uof.local import CALM, Delivery, Faults, Local, Outage
from gateway.feeds.uof.messages import OddsChange, parse
from gateway.feeds.uof.producers import PRODUCERS, Recover
from gateway.feeds.uof.publisher import Publisher
from gateway.feeds.uof.replay import RecordingError, read, write, write_folder
from gateway.feeds.uof.session import Ages, AskEvent, AskFixture, Options, Request, Session
from tests.patience import PATIENCE_S
from tests.rehearsal import Rehearsal

T = 1_800_000_000_000
S = 1_000
BOARD = BoardSettings(seed=5, fixtures=5, total=5)
"""One fixture of each sport."""


def steps(board: BoardSettings = BOARD):
    return Board(board, "t", T).play()


def over_the_line(faults: Faults = CALM, options: Options = Options()):  # noqa: B008
    """The book at the end, the local feed, and what undoes or does by halves."""
    session = Session(options, shipped(), "t")
    local = Local(steps(), session, T, faults)
    local.delivered = []
    book, done = Rehearsal(), []
    for at_ms, said in local.play():
        book.now_ms = at_ms
        for one in said:
            if type(one).__module__ == outcomes.__name__:
                done.append(one)
            book.do(one)
    return book, local, done


@pytest.fixture(scope="module")
def direct() -> Rehearsal:
    """The board without any messages."""
    book = Rehearsal()
    for step in steps():
        for command in step.commands:
            book.do(command)
    return book


@pytest.fixture(scope="module")
def calm():
    return over_the_line()


def pairs(book: Rehearsal, local: Local, direct: Rehearsal):
    """Each market that came out of the line, and the one that went in."""
    for fixture_id, fixture in local.publisher.fixtures.items():
        for market_id, sent in fixture.markets.items():
            number = fixture.event_id.rpartition(":")[2]
            key = f"{sent.number}" + (f"__{sent.specifiers}" if sent.specifiers else "")
            ours = f"uof-sr_-match_-{number}-t:{key.replace('=', '_.')}"
            if ours in book.markets:
                names = {of: out.replace(":", "_-") for of, out in sent.outcomes.items()}
                yield book.markets[ours], direct.markets[market_id], names
        assert fixture_id in direct.fixtures


def test_what_comes_out_is_what_went_in(direct, calm):
    book, local, done = calm
    assert not book.refused
    assert not done
    assert len(book.markets) == len(direct.markets)
    compared = 0
    for ours, theirs, names in pairs(book, local, direct):
        compared += 1
        assert ours.status is theirs.status is MarketStatus.CLOSED
        assert ours.results.keys() == set(names.values())
        for of, result in theirs.results.items():
            same = ours.results[names[of]]
            assert payout_minor(6_000, 25_000, same) == payout_minor(6_000, 25_000, result)
            assert same.outcome is result.outcome
            assert ours.selections[names[of]].withdrawn == theirs.selections[of].withdrawn
            assert ours.selections[names[of]].odds == theirs.selections[of].odds
    assert compared == len(direct.markets)
    assert [f.phase for f in book.fixtures.values()] == [f.phase for f in direct.fixtures.values()]
    assert [f.sport for f in book.fixtures.values()] == [f.sport for f in direct.fixtures.values()]


def test_every_price_is_the_same_at_the_same_moment(direct, calm):
    book, local, _ = calm
    shown = {
        id(theirs): [
            sorted((names[of], odds) for of, odds in event.odds.items())
            for event in direct.events
            if type(event).__name__ == "PricesChanged"
            and event.market_id == theirs.market_id
            and event.odds
        ]
        for _, theirs, names in pairs(book, local, direct)
    }
    for ours, theirs, _ in pairs(book, local, direct):
        changes = [
            sorted(event.odds.items())
            for event in book.events
            if type(event).__name__ == "PricesChanged"
            and event.market_id == ours.market_id
            and event.odds
        ]
        assert changes == shown[id(theirs)]


def test_the_scoreboard_shows_the_score(calm):
    scores = {fixture.sport: fixture.score for fixture in calm[0].fixtures.values()}
    home, _, away = scores["Football"].partition(" ")[0].partition("-")
    assert home.isdigit()
    assert away.isdigit()
    assert 2 <= len(scores["Tennis"].split()) <= 3


BAD = {
    "drop": {"drop": 0.04},
    "duplicate": {"duplicate": 0.5},
    "reorder": {"reorder": 0.4},
    "garble": {"garble": 0.03},
    "producer down": {
        "outages": (Outage(1, 40 * S, 75 * S), Outage(3, 5 * S, 31 * S), Outage(1, 99 * S, 103 * S))
    },
    "api down": {"drop": 0.02, "api_down": 0.6},
    "everything": {
        "drop": 0.03,
        "duplicate": 0.2,
        "reorder": 0.2,
        "garble": 0.01,
        "api_down": 0.3,
        "outages": (Outage(1, 60 * S, 100 * S), Outage(3, 30 * S, 45 * S)),
    },
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("seed", range(2))
def test_after_any_faults_all_results_are_those_of_the_run_without(calm, fault, seed):
    book, local, done = over_the_line(Faults(seed=seed, **BAD[fault]))
    assert not book.refused
    assert not done
    assert local.delivered != calm[1].delivered
    assert book.fixtures.keys() == calm[0].fixtures.keys()
    assert book.markets.keys() <= calm[0].markets.keys()
    # What opened and was decided while nothing could be heard was never offered.
    assert len(book.markets) >= 0.8 * len(calm[0].markets)
    for market_id, market in book.markets.items():
        assert market.results == calm[0].markets[market_id].results
        assert market.status is MarketStatus.CLOSED
    for fixture_id, fixture in book.fixtures.items():
        assert fixture.phase is calm[0].fixtures[fixture_id].phase


def test_the_same_seed_is_the_same_run():
    faults = Faults(seed=3, **BAD["everything"])
    one, other = over_the_line(faults), over_the_line(faults)
    assert one[0].events == other[0].events
    assert over_the_line(Faults(seed=4, **BAD["everything"]))[0].events != one[0].events


class Silent(Local):
    """Loses odds, stops and settlements without ever saying so."""

    def _send(self, sent, now_ms):
        lost = self._rng.random() < 0.1 and b"<alive" not in sent.body
        if not lost or self._calm:
            super()._send(sent, now_ms)


def test_loss_that_nobody_tells_of_is_healed_by_age():
    options = Options(ages=Ages(prematch_ms=60 * S, in_play_ms=20 * S))
    session = Session(options, shipped(), "t")
    local = Silent(steps(), session, T)
    book = Rehearsal()
    open_since: dict[str, int] = {}
    for at_ms, said in local.play():
        book.now_ms = at_ms
        for one in said:
            book.do(one)
            if isinstance(one, ChangePrices):
                open_since[one.market_id] = at_ms
    calm = over_the_line()[0]
    for market_id, market in book.markets.items():
        if market.results:
            assert market.results == calm.markets[market_id].results
        assert market.status is not MarketStatus.OPEN
    decided = sum(bool(market.results) for market in book.markets.values())
    assert decided >= len(book.markets) - 3


# Recordings


def said_by(source) -> list:
    return [(at_ms, tuple(map(repr, said))) for at_ms, said in source.play()]


def test_a_recording_says_what_was_said_live_in_each_of_its_forms(tmp_path, calm):
    _, local, _ = over_the_line(Faults(seed=1, **BAD["everything"]))
    plain, packed, folder = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "a"
    folder.mkdir()
    write(plain, local.delivered)
    write(packed, local.delivered)
    write_folder(folder, local.delivered)
    assert list(read(plain)) == list(read(packed)) == list(read(folder)) != []
    runs = [said_by(FEED.open(Settings((str(path),)), "t", 0)) for path in (plain, packed, folder)]
    assert runs[0] == runs[1] == runs[2]
    book = Rehearsal()
    for _, said in FEED.open(Settings((str(plain),)), "t", 0).play():
        for one in said:
            book.do(one)
    assert not book.refused
    for market_id, market in book.markets.items():
        assert market.status is not MarketStatus.OPEN
        if market.results:
            assert market.results == calm[0].markets[market_id].results


def test_recordings_of_producers_apart_are_merged(tmp_path, calm):
    _, local, _ = calm
    halves = [[d for d in local.delivered if (b'product="1"' in d.body) == live] for live in (0, 1)]
    for n, half in enumerate(halves):
        write(tmp_path / f"{n}.jsonl", half)
    files = tuple(str(tmp_path / f"{n}.jsonl") for n in (0, 1))
    book = Rehearsal()
    for _, said in FEED.open(Settings(files), "t", 0).play():
        for one in said:
            book.do(one)
    assert not book.refused
    assert {m: one.results for m, one in book.markets.items()} == {
        m: one.results for m, one in calm[0].markets.items()
    }


def test_an_event_without_a_document_is_called_by_its_id(tmp_path):
    said = [
        '<alive product="1" timestamp="%d" subscribed="1"/>',
        '<snapshot_complete product="1" timestamp="%d" request_id="99"/>',
        '<odds_change product="1" event_id="sr:match:7" timestamp="%d"><odds><market id="1"'
        ' status="1"><outcome id="1" odds="2.0" active="1"/></market></odds></odds_change>',
    ]
    keys = ["-.-.-.alive.-.-.-.-", "-.-.-.snapshot_complete.-.-.-.-"]
    keys.append("hi.-.live.odds_change.5.sr:match.7.-")
    path = tmp_path / "a.jsonl"
    deliveries = [
        Delivery(T + n, key, (xml % (T + n)).encode())
        for n, (key, xml) in enumerate(zip(keys, said, strict=True))
    ]
    write(path, deliveries)
    book = Rehearsal()
    opened = False
    for _, commands in FEED.open(Settings((str(path),)), "t", 0).play():
        for one in commands:
            book.do(one)
            statuses = {market.status for market in book.markets.values() if market.market_id}
            opened |= MarketStatus.OPEN in statuses
    [fixture] = book.fixtures.values()
    assert (fixture.name, fixture.sport) == ("sr:match:7", "Tennis")
    assert opened
    # When a recording is over nothing stays open.
    assert book.markets["uof-sr_-match_-7-t:1"].status is MarketStatus.SUSPENDED


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"at": 1, "key": "a"}\n', r"a\.jsonl:1: .*xml"),
        (b'{"at": 1, "key": "", "xml": "<x/>"}\n', "the answer recorded at 1: 'x' is no answer"),
        (b"{\n", r"a\.jsonl:1"),
        (None, "No such file"),
    ],
)
def test_a_bad_recording_is_refused(tmp_path, content, why):
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=why):
        FEED.open(Settings((str(path),)), "t", 0)


def test_a_cut_off_packed_recording_and_a_strange_file_are_refused(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"at": 1, "key": "a", "xml": ""}\n' * 99)[:-20])
    with pytest.raises(RecordingError):
        FEED.open(Settings((str(path),)), "t", 0)
    (tmp_path / "notes.xml").write_text("<a/>")
    with pytest.raises(RecordingError, match="not called"):
        FEED.open(Settings((str(tmp_path),)), "t", 0)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(("a",), simulated=BOARD),
        Settings(simulated=BOARD, live=LiveSettings("t", 1)),
    ],
)
def test_a_feed_has_one_source(settings):
    with pytest.raises(ValueError, match="either files, simulated or live"):
        FEED.open(settings, "t", T)


async def test_prices_are_known_by_their_producer():
    """So that the desk can stop one of them alone: 3 is before play, 1 in play."""
    source = FEED.open(Settings(simulated=BOARD), "t", T)
    authors: Counter[str] = Counter()
    async for step in source.steps():
        prices = [one for one in step.commands if isinstance(one, ChangePrices)]
        authors.update(step.parts[one.market_id] for one in prices)
        assert set(step.parts) <= {one.market_id for one in prices}
    assert set(authors) == {"1", "3"}


async def test_the_simulated_board_can_be_served_as_uof(calm):
    source = FEED.open(Settings(simulated=BOARD), "t", T)
    book = Rehearsal()
    async for step in source.steps():
        for command in step.commands:
            book.do(command)
    assert book.events == calm[0].events or len(book.events) == len(calm[0].events)


# Live


class Wire:
    """A line that brings what it is given, and is cut when it is told to be."""

    def __init__(self) -> None:
        self.arriving: asyncio.Queue[Arrived | None] = asyncio.Queue()
        self.connections = 0

    def put(self, *sent) -> None:
        for one in sent:
            self.arriving.put_nowait((one.key, one.body))

    async def messages(self) -> AsyncIterator[Arrived]:
        self.connections += 1
        while (arrived := await self.arriving.get()) is not None:
            yield arrived
        raise ConnectionError("cut")


class Answering:
    """The publisher as an API; it can be down."""

    def __init__(self, wire: Wire, publisher: Publisher, clock) -> None:
        self.wire, self.publisher, self.clock = wire, publisher, clock
        self.down = False
        self.refused: asyncio.Queue[Request] = asyncio.Queue()
        self.asked: list[Request] = []
        self.closed = False

    async def ask(self, request: Request) -> list[bytes]:
        self.asked.append(request)
        if self.down:
            self.refused.put_nowait(request)
            raise ConnectionError("down")
        now = self.clock.now_ms()
        if isinstance(request, AskFixture):
            document = self.publisher.fixture_document(request.event_id)
            return [document] if document else []
        if isinstance(request, Recover):
            self.wire.put(*self.publisher.recover(request.product, request.request_id, None, now))
        return []

    async def descriptions(self) -> bytes:
        return self.publisher.descriptions_document()

    async def close(self) -> None:
        self.closed = True


class Clock:
    """Moved by hand; who sleeps gives way once."""

    def __init__(self) -> None:
        self.at = T

    def now_ms(self) -> int:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_live_messages_become_steps_and_a_cut_line_suspends():
    clock, wire, publisher = Clock(), Wire(), Publisher()
    api = Answering(wire, publisher, clock)
    live = Live(Session(Options(), shipped(), "t"), wire, api, "uof", "t", T, clock)
    book = Rehearsal()
    running = live.steps()

    async def until(condition) -> None:
        while not condition():
            step = await asyncio.wait_for(anext(running), PATIENCE_S)
            for command in step.commands:
                book.do(command)

    first = next(steps(BoardSettings(seed=5, fixtures=1, total=1)))
    wire.put(*publisher.publish(first), publisher.alive(T, 1), publisher.alive(T, 3))
    await until(
        lambda: (
            book.markets
            and all(market.status is MarketStatus.OPEN for market in book.markets.values())
        )
    )
    assert len(book.markets) == sum(isinstance(c, OpenMarket) for c in first.commands)
    wire.arriving.put_nowait(None)
    await until(lambda: all(m.status is MarketStatus.SUSPENDED for m in book.markets.values()))
    # The API is down at first, and is asked again when it may be.
    api.down = True
    clock.at += 31 * S
    wire.put(publisher.alive(clock.at, 1), publisher.alive(clock.at, 3))
    waiting = asyncio.create_task(anext(running))
    for _ in (1, 3):
        await asyncio.wait_for(api.refused.get(), PATIENCE_S)
    api.down = False
    clock.at += 31 * S
    wire.put(publisher.alive(clock.at, 1), publisher.alive(clock.at, 3))
    for command in (await asyncio.wait_for(waiting, PATIENCE_S)).commands:
        book.do(command)
    await until(lambda: all(m.status is MarketStatus.OPEN for m in book.markets.values()))
    asked = [r for r in api.asked if isinstance(r, Recover) and r.product == 3]
    assert len(asked) == len({request.request_id for request in asked}) == 3
    assert not book.refused
    assert wire.connections >= 2
    await running.aclose()
    assert api.closed


def test_the_addresses_of_the_api():
    api = HttpApi(LiveSettings("t", 1, api="https://x/v1/", node_id=4), PRODUCERS)
    assert api.addresses(Recover(1, 7, 99)) == [
        (
            "POST",
            "https://x/v1/liveodds/recovery/initiate_request?after=99&request_id=7&node_id=4",
        )
    ]
    assert api.addresses(Recover(3, 7, None))[0][1].endswith(
        "initiate_request?request_id=7&node_id=4"
    )
    assert api.addresses(AskEvent(3, "sr:match:7", 8)) == [
        (
            "POST",
            f"https://x/v1/pre/{what}/events/sr:match:7/initiate_request?request_id=8&node_id=4",
        )
        for what in ("odds", "stateful_messages")
    ]
    assert api.addresses(AskFixture("sr:match:7")) == [
        ("GET", "https://x/v1/sports/en/sport_events/sr:match:7/fixture.xml")
    ]


def test_a_session_hears_its_own_recoveries_only():
    assert bindings(None) == ("#",)
    assert all(str(7) in key or "-" in key for key in bindings(7))


def test_without_aio_pika_the_live_feed_says_what_to_install(monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "aio_pika":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'grandstand\[feeds\]'"):
        AmqpLine(LiveSettings("t", 1))


def test_published_messages_are_whole(calm):
    """Every market of an odds change says all its outcomes: the parser would take the rest off."""
    for delivery in calm[1].delivered:
        message = parse(delivery.body) if delivery.key else None
        if isinstance(message, OddsChange):
            for market in message.markets:
                assert market.selections or market.status == -2
