"""The live stream from an exchange on this machine, which loses, repeats and reorders what it says.

Whatever it does, in the end the client knows exactly what the exchange knows, the book has the
prices and the results that follow from it, and meanwhile nothing that nobody vouches for is open.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from actors.fixture import Phase
from actors.market import MarketStatus
from actors.runtime.clock import WallClock
from gateway.feeds.betfair import (
    FEED,
    AgeLimits,
    Live,
    LiveSettings,
    MarketFilter,
    Recording,
    Settings,
)
from gateway.feeds.betfair.live import ERRORS, Remedy
from gateway.feeds.pump import pump
from tests.gateway.exchange import Exchange, known, plain, recorded_changes
from tests.patience import PATIENCE_S
from tests.rehearsal import Rehearsal

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "feeds"
GREYHOUNDS = ("1.197931750", "1.197931751")
HORSES = ("BASIC-1.132153978",)
APP_KEY, SESSION = "key-that-nobody-may-see", "token-that-nobody-may-see"

OPEN, SUSPENDED = MarketStatus.OPEN, MarketStatus.SUSPENDED


def changes_of(*names: str) -> list[list[dict]]:
    paths = [RECORDED / name for name in names]
    for path in paths:
        if not path.is_file():
            pytest.skip(f"the recording {path} is not on this machine")
    return recorded_changes(*paths)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETFAIR_APP_KEY", APP_KEY)
    monkeypatch.setenv("BETFAIR_SESSION", SESSION)


def live_settings(exchange: Exchange, **more: object) -> LiveSettings:
    plain_text = {"host": "127.0.0.1", "port": exchange.port, "tls": False}
    # Silence is a fault after 4.5 s, so that none is taken for one where the machine is busy.
    quick = {"retry_ms": 5, "longest_retry_ms": 50, "heartbeat_ms": 2_000}
    everything = ("EX_ALL_OFFERS", "EX_BEST_OFFERS_DISP", "EX_TRADED", "EX_LTP", "EX_MARKET_DEF")
    return LiveSettings(
        MarketFilter(event_type_ids=("7", "4339")),
        **plain_text | quick | {"fields": everything} | more,
    )


class Stage:
    """A client of an exchange, and the book that it speaks to."""

    def __init__(self, exchange: Exchange, source: Live) -> None:
        self.exchange = exchange
        self.source = source
        self.book = Rehearsal()
        self.pumping = asyncio.create_task(pump(source, self.book, WallClock()))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                assert not self.pumping.done() or condition(), self.source.failure
                await asyncio.sleep(0.002)

    async def in_step(self) -> None:
        """Until the client has heard all, and the book what follows."""
        at = self.exchange
        heard = self.source.subscription
        await self.until(lambda: at.connected and heard.in_step and heard.clk == f"c{at.published}")
        assert known(self.source.board) == plain(at.state)
        await self.until(self._said)

    def _said(self) -> bool:
        """Whether the book has the prices of the board, and those are the exchange's."""
        for market in self.source.board.markets.values():
            ours = self.book.markets.get(market.market_id)
            if ours is None or ours.status not in (market.status, MarketStatus.CANCELLED):
                return False
            odds = {of: max(0, odds) for of, odds in market.odds.items()}
            if {of: ours.selections[of].odds for of in odds} != odds:
                return False
        return True

    def statuses(self) -> set[MarketStatus]:
        return {market.status for market in self.book.markets.values()}

    async def suspended(self) -> None:
        await self.until(lambda: OPEN not in self.statuses() and bool(self.book.markets))

    async def opened(self) -> None:
        await self.until(lambda: self.statuses() == {OPEN})


@asynccontextmanager
async def staged(exchange: Exchange, **more: object) -> AsyncIterator[Stage]:
    settings = Settings(live=live_settings(exchange, **more))
    source = FEED.open(settings, "t", WallClock().now_ms())
    assert isinstance(source, Live)
    stage = Stage(exchange, source)
    try:
        yield stage
    finally:
        source.end()
        async with asyncio.timeout(PATIENCE_S):
            await stage.pumping
    assert OPEN not in stage.statuses()


def same_end(stage: Stage, *names: str) -> None:
    """The book ends as after a replay of the same recordings."""
    replayed = Rehearsal()
    for step in Recording(Settings(tuple(str(RECORDED / n) for n in names)), "t").convert():
        for command in step.commands:
            replayed.do(command)
    assert stage.book.markets.keys() == replayed.markets.keys()
    for market_id, market in replayed.markets.items():
        ours = stage.book.markets[market_id]
        assert (ours.status, ours.results) == (market.status, market.results)
        assert [s.withdrawn for s in ours.selections.values()] == [
            s.withdrawn for s in market.selections.values()
        ]
    assert stage.book.refused == []


# A good day


@pytest.mark.parametrize("names", [GREYHOUNDS, HORSES], ids=["greyhounds", "horses"])
async def test_a_recorded_day_live_ends_as_its_replay(names):
    async with Exchange(changes_of(*names)) as exchange:
        exchange.happen(3)
        async with staged(exchange) as stage:
            await stage.in_step()
            await stage.opened()
            exchange.rest()
            await stage.in_step()
            same_end(stage, *names)
            assert stage.source.connections == 1
            # More markets of the event may come: it ends when nothing was heard for an hour.
            (fixture,) = stage.book.fixtures.values()
            assert fixture.phase is not Phase.ENDED


async def test_what_the_client_asks_for():
    async with Exchange(changes_of(*HORSES)) as exchange:
        exchange.happen(3)
        async with staged(exchange, conflate_ms=50) as stage:
            await stage.in_step()
            exchange.drop()
            await stage.until(lambda: len(exchange.requests) == 4)
            await stage.in_step()
    hello, first, _, again = exchange.requests
    assert hello == {"op": "authentication", "id": 0, "appKey": APP_KEY, "session": SESSION}
    assert first == {
        "op": "marketSubscription",
        "id": 1,
        "marketFilter": {"eventTypeIds": ["7", "4339"]},
        "marketDataFilter": {
            "fields": [
                "EX_ALL_OFFERS",
                "EX_BEST_OFFERS_DISP",
                "EX_TRADED",
                "EX_LTP",
                "EX_MARKET_DEF",
            ],
            "ladderLevels": 3,
        },
        "conflateMs": 50,
        "heartbeatMs": 2_000,
        "segmentationEnabled": True,
    }
    assert again == first | {"id": 2, "initialClk": "i1", "clk": "c3"}


async def test_removed_runners_and_starting_prices_are_kept_with_their_figures():
    async with Exchange(changes_of(*HORSES)) as exchange, staged(exchange) as stage:
        await stage.until(lambda: exchange.connected)
        exchange.rest()
        await stage.in_step()
        summary = stage.source.summary
        # 7.14 and 5.55 per cent, as they stood when the runners were removed.
        assert summary.reductions == {
            "1.132153978 11198538": 714,
            "1.132153978 9606433": 555,
        }
        assert summary.starting_prices["1.132153978 12115648"] == 41_500


# Bad days


async def lost_in_the_middle_of_a_line(exchange: Exchange) -> None:
    line = exchange.happen()[0]
    exchange.drop(line[: len(line) // 2])


async def lost_and_too_old_to_resume(exchange: Exchange) -> None:
    exchange.drop()
    exchange.happen(5)
    exchange.oldest = exchange.published


async def said_twice(exchange: Exchange) -> None:
    (line,) = exchange.happen()
    exchange.send(line)
    exchange.send(line)


async def said_again_later(exchange: Exchange) -> None:
    first, second, third = exchange.happen(3)
    for line in (first, second, third, first, second):
        exchange.send(line)


async def in_another_order(exchange: Exchange) -> None:
    first, second, third = exchange.happen(3)
    for line in (second, first, third):
        exchange.send(line)


async def one_not_said_at_all_and_then_lost(exchange: Exchange) -> None:
    exchange.happen()
    exchange.drop()


async def silent(exchange: Exchange) -> None:
    exchange.happen(2)
    exchange.silent = True


async def unreadable(exchange: Exchange) -> None:
    exchange.happen()
    exchange.send(b'{"op":"mcm","pt":"never"}\r\n')


async def a_price_that_is_no_number(exchange: Exchange) -> None:
    exchange.happen()
    runner = exchange.state["1.197931750"]["definition"]["runners"][0]["id"]
    change = {"id": "1.197931750", "rc": [{"id": runner, "atb": [["NaN", 5]]}]}
    exchange.send(exchange.line({"mc": [change], "clk": "c0"}))


async def nothing_wrong(exchange: Exchange) -> None:
    exchange.publish()


FAULTS = [
    lost_in_the_middle_of_a_line,
    lost_and_too_old_to_resume,
    said_twice,
    said_again_later,
    in_another_order,
    one_not_said_at_all_and_then_lost,
    unreadable,
    silent,
]


@pytest.mark.parametrize(
    ("fault", "connections", "images", "resumed", "repeats"),
    [
        (lost_in_the_middle_of_a_line, 2, 1, 1, 0),
        (lost_and_too_old_to_resume, 2, 2, 0, 0),
        (one_not_said_at_all_and_then_lost, 2, 1, 1, 0),
        (said_twice, 1, 1, 0, 1),
        (said_again_later, 1, 1, 0, 2),
        (in_another_order, 2, 2, 0, 0),
        (unreadable, 2, 2, 0, 0),
        (a_price_that_is_no_number, 2, 2, 0, 0),
        (silent, 2, 1, 1, 0),
    ],
)
async def test_after_a_fault_it_knows_what_the_exchange_knows(
    fault, connections, images, resumed, repeats
):
    sooner = {"heartbeat_ms": 500} if fault is silent else {}
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange, **sooner) as stage:
            await stage.in_step()
            await stage.opened()
            await fault(exchange)
            await stage.until(lambda: stage.source.connections == connections)
            await stage.in_step()
            await stage.opened()
            heard = stage.source.subscription
            assert (heard.images, heard.resumed, heard.repeats) == (images, resumed, repeats)
            exchange.rest()
            await stage.in_step()
            same_end(stage, *GREYHOUNDS)


@pytest.mark.parametrize("seed", range(6))
async def test_a_day_of_faults_ends_as_its_replay(seed):
    rng = Random(seed)
    loud = [fault for fault in FAULTS if fault is not silent]  # that one waits for seconds
    names = (GREYHOUNDS, HORSES)[seed % 2]
    async with Exchange(changes_of(*names)) as exchange:
        exchange.segmented = bool(seed % 3)
        exchange.happen(2)
        async with staged(exchange) as stage:
            await stage.in_step()
            while len(exchange.changes) - exchange.published > 60:
                exchange.publish(rng.randrange(50))
                await rng.choice([*loud, nothing_wrong])(exchange)
                if rng.random() < 0.7:
                    await stage.in_step()
                else:
                    await stage.until(lambda: exchange.connected)
            exchange.rest()
            await stage.in_step()
            same_end(stage, *names)


async def test_nothing_is_open_while_the_exchange_is_away():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as stage:
            await stage.in_step()
            await stage.opened()
            exchange.away = True
            exchange.drop()
            await stage.suspended()
            exchange.happen(20)
            exchange.away = False
            await stage.in_step()
            await stage.opened()


async def test_an_image_that_is_broken_off_between_its_segments_counts_for_nothing():
    async with Exchange(changes_of(*GREYHOUNDS, *HORSES)) as exchange:
        exchange.happen(500)  # the horses are years older: they come first
        assert len(exchange.state) == 3
        exchange.cut_images = 2
        async with staged(exchange) as stage:
            await stage.in_step()
            assert stage.source.connections == 3
            assert [request.get("clk") for request in exchange.requests[1::2]] == [None] * 3
            assert stage.source.subscription.images == 1


async def test_a_silent_exchange_is_left_and_its_markets_suspended_first():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange, heartbeat_ms=500) as stage:
            await stage.in_step()
            await stage.opened()
            exchange.away = exchange.silent = True
            await stage.suspended()
            assert stage.source.connections == 1
            exchange.away = False
            await stage.opened()


async def test_late_data_is_not_bettable_in_play_while_it_still_is_before_the_start():
    changes = changes_of(*HORSES)
    in_play_from = next(
        n
        for n, said in enumerate(changes)
        if any(change.get("marketDefinition", {}).get("inPlay") for change in said)
    )
    async with Exchange(changes) as exchange:
        exchange.lag_ms = 8_000  # a start that is over counts as soon: 15 s, and 5 s in play
        exchange.happen(in_play_from)
        async with staged(exchange) as stage:
            await stage.opened()
            exchange.publish()
            await stage.suspended()
            await stage.in_step()
            (market,) = stage.book.markets.values()
            assert market.in_play
            exchange.lag_ms = 0
            await stage.opened()


async def test_what_the_exchange_says_is_late_is_suspended():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as stage:
            await stage.in_step()
            await stage.opened()
            exchange.late = True
            await stage.suspended()
            assert stage.source.connections == 1
            exchange.late = False
            await stage.opened()


async def test_a_defect_of_ours_leaves_nothing_open():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as stage:
            await stage.in_step()
            await stage.opened()
            stage.source.board.take = lambda *_: 1 // 0
            exchange.away = True
            exchange.publish()
            await stage.suspended()
            assert not stage.pumping.done()
            del stage.source.board.take
            exchange.away = False
            await stage.in_step()
            await stage.opened()


async def test_a_market_that_leaves_the_subscription_is_suspended():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as stage:
            await stage.in_step()
            await stage.opened()
            exchange.drop()
            del exchange.state["1.197931751"]
            exchange.oldest = exchange.published + 1
            await stage.until(lambda: stage.source.subscription.images == 2)
            await stage.until(
                lambda: (
                    {
                        market_id.rpartition(":")[2]: market.status
                        for market_id, market in stage.book.markets.items()
                    }
                    == {"1.197931750": OPEN, "1.197931751": SUSPENDED}
                )
            )


async def test_started_again_it_prices_what_is_on_the_board_already():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as before:
            await before.in_step()
            await before.opened()
        # As if it had been killed: nobody has suspended them.
        for market in before.book.markets.values():
            market.status = OPEN
        exchange.happen(20)
        async with staged(exchange) as after:
            after.book.fixtures, after.book.markets = before.book.fixtures, before.book.markets
            await after.in_step()
            await after.opened()
            for market in after.source.board.markets.values():
                shown = after.book.markets[market.market_id].selections
                assert {of: s.odds for of, s in shown.items()} == market.odds
            assert {refused.reason for _, refused in after.book.refused} == {"already_exists"}


async def test_started_again_it_adds_who_joined_and_withdraws_who_left_meanwhile():
    market_id = "1.132153978"
    async with Exchange(changes_of(*HORSES)) as exchange:
        exchange.happen(3)
        async with staged(exchange) as before:
            await before.in_step()
            await before.opened()
        book = before.book
        (market,) = book.markets.values()
        version = market.odds_version
        state = exchange.state[market_id]
        runners = state["definition"]["runners"]
        runners[0] |= {"status": "REMOVED", "adjustmentFactor": 22.12}
        runners[1] |= {"status": "REMOVED", "adjustmentFactor": 2.49}
        runners.append({"id": 7, "status": "ACTIVE", "sortPriority": 20, "name": "Late Comer"})
        state["runners"][7, 0] = {"atb": {5.0: [5.0, 10]}}
        for _ in range(2):
            async with staged(exchange) as after:
                after.book.fixtures, after.book.markets = book.fixtures, book.markets
                await after.in_step()
                await after.opened()
                # What was withdrawn before is not withdrawn again.
                assert {why.reason for _, why in after.book.refused} == {"already_exists"}
        late = market.selections["7"]
        assert (late.name, late.odds) == ("Late Comer", 48_000)
        gone = {of: one.reduction for of, one in market.gone.items()}
        # 22.12 per cent; and what is below 2.5 per cent cuts no price.
        assert gone == {str(runners[0]["id"]): 2_212, str(runners[1]["id"]): 0}
        settling = market.settling("7", market.result_version)
        assert settling.off is not None
        assert settling.off.reductions_of(version) == (2_212,)


# What it is refused


def refusal(code: str, text: str = "") -> dict:
    return {
        "statusCode": "FAILURE",
        "errorCode": code,
        "errorMessage": text,
        "connectionClosed": True,
    }


@pytest.mark.parametrize("op", ["authentication", "marketSubscription"])
@pytest.mark.parametrize("code", [*ERRORS, "SOMETHING_NEW"])
async def test_refusals(code, op):
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        exchange.answers[op] = [refusal(code)]
        remedy = ERRORS.get(code, (Remedy.LATER, ""))[0]
        source = Live(Settings(live=live_settings(exchange)), "t", 0)
        stage = Stage(exchange, source)
        if remedy in (Remedy.NOTHING, Remedy.SESSION):
            async with asyncio.timeout(PATIENCE_S):
                await stage.pumping
            assert source.failure.startswith(f"{code}: ")
            assert source.connections == 1
        else:
            await stage.in_step()
            assert source.connections == 2
            source.end()
            async with asyncio.timeout(PATIENCE_S):
                await stage.pumping
            assert source.failure == ""


async def test_a_clock_that_is_refused_is_forgotten():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as stage:
            await stage.in_step()
            exchange.answers["marketSubscription"] = [refusal("INVALID_CLOCK")]
            exchange.drop()
            await stage.until(lambda: stage.source.connections == 3)
            await stage.in_step()
        asked = [r for r in exchange.requests if r["op"] == "marketSubscription"]
        assert [request.get("clk") for request in asked] == [None, "c40", None]


async def test_a_final_refusal_in_the_middle_of_the_day_leaves_nothing_open():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange) as stage:
            await stage.in_step()
            await stage.opened()
            exchange.answers["authentication"] = [refusal("INVALID_APP_KEY")]
            exchange.drop()
            async with asyncio.timeout(PATIENCE_S):
                await stage.pumping
            assert "doesn't know the application key" in stage.source.failure
            assert stage.statuses() == {SUSPENDED}


async def test_a_session_in_a_file_may_be_renewed_there(tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        exchange.answers["authentication"] = [refusal("INVALID_SESSION_INFORMATION")] * 2
        async with staged(exchange, session=f"file:{token}") as stage:
            await stage.until(lambda: bool(exchange.requests))
            token.write_text("new\n")
            await stage.in_step()
        assert exchange.requests[0]["session"] == "old"
        assert exchange.requests[-2]["session"] == "new"


async def test_nothing_secret_is_logged_or_shown():
    with capture_logs() as logs:
        async with Exchange([]) as exchange:
            exchange.answers["authentication"] = [
                refusal("UNEXPECTED_ERROR", f"what is {APP_KEY} with {SESSION}?"),
                refusal("INVALID_APP_KEY", f"bad {APP_KEY}"),
            ]
            source = Live(Settings(live=live_settings(exchange)), "t", 0)
            assert [step async for step in source.steps()] == []
    said = f"{logs} {source.failure} {source.settings}"
    assert "what is *** with ***?" in said
    assert APP_KEY not in said
    assert SESSION not in said


@pytest.mark.parametrize(
    ("where", "why"),
    [("app_key", "there is no application key at"), ("session", "there is no session token at")],
)
async def test_without_secrets_it_ends_before_it_connects(where, why):
    async with Exchange([]) as exchange:
        source = Live(
            Settings(live=live_settings(exchange, **{where: "env:NOT_SET_ANYWHERE"})), "t", 0
        )
        assert [step async for step in source.steps()] == []
        assert source.failure == f"{why} env:NOT_SET_ANYWHERE"
        assert source.connections == 0


async def test_a_line_has_a_longest_length():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange, max_line_bytes=1_024) as stage:
            with capture_logs() as logs:
                await stage.until(lambda: stage.source.connections == 2)
            assert any("longer than" in str(entry.get("why")) for entry in logs)
            assert stage.book.markets == {}


async def test_only_so_many_markets_are_taken():
    async with Exchange(changes_of(*GREYHOUNDS)) as exchange:
        exchange.happen(40)
        async with staged(exchange, max_markets=1) as stage:
            await stage.opened()
            assert len(stage.book.markets) == 1
            assert stage.source.summary.warnings == [
                "there are more than 1 markets: narrow the filter"
            ]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine that nobody else trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "exchange")])
    now = datetime.datetime.fromtimestamp(WallClock().now_ms() / 1_000, datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


async def test_over_tls_the_certificate_is_looked_at(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with Exchange(changes_of(*GREYHOUNDS), tls=context) as exchange:
        exchange.happen(40)
        async with staged(exchange, tls=True, ca_file=str(certificate[0])) as stage:
            await stage.in_step()
            await stage.opened()
        exchange.requests.clear()
        with capture_logs() as logs:
            source = Live(Settings(live=live_settings(exchange, tls=True)), "t", 0)
            stage = Stage(exchange, source)
            await stage.until(lambda: any("CERTIFICATE_VERIFY_FAILED" in str(e) for e in logs))
            source.end()
            await stage.pumping
        assert exchange.requests == []


# What it may be told


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"fields": ("EX_PRICES", "EX_MARKET_DEF")}, "'EX_PRICES' is no field"),
        ({"fields": ("EX_ALL_OFFERS",)}, "need EX_MARKET_DEF"),
        ({"fields": ("EX_MARKET_DEF", "EX_TRADED")}, "have no price"),
        ({"ladder_levels": 11}, "ladder_levels is 11; it is from 1 to 10"),
        ({"conflate_ms": -1}, "conflate_ms is -1"),
        ({"heartbeat_ms": 499}, "heartbeat_ms is 499"),
        ({"retry_ms": 0}, "retry_ms is 0"),
        ({"max_line_bytes": 10}, "max_line_bytes is 10"),
        ({"ages": AgeLimits(in_play_ms=1_000)}, "would always be too old"),
        ({"conflate_ms": 4_000}, "would always be too old"),
        ({"host": "stream-api.betfair.com"}, "without tls the session token"),
        ({"app_key": "abcdefgh"}, 'app_key says where the secret is: "env:NAME"'),
    ],
)
def test_settings_that_can_not_be_right(more, why):
    live = LiveSettings(
        MarketFilter(),
        **{"host": "127.0.0.1", "port": 1, "tls": False, "heartbeat_ms": 1_000} | more,
    )
    with pytest.raises(ValueError, match=why) as refused:
        FEED.open(Settings(live=live), "t", 0)
    assert "abcdefgh" not in str(refused.value)


def test_recordings_and_live_do_not_mix():
    with pytest.raises(ValueError, match="not both"):
        FEED.open(Settings(("file",), live=LiveSettings(MarketFilter())), "t", 0)
    with pytest.raises(ValueError, match="can't be a run"):
        FEED.open(Settings(live=LiveSettings(MarketFilter())), "a b", 0)
    with pytest.raises(ValueError, match="margin_bp is -1"):
        FEED.open(Settings(margin_bp=-1, live=LiveSettings(MarketFilter())), "t", 0)
