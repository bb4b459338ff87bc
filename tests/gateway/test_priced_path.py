"""Our own sport as UOF messages, through session and odds engine into the book, with bets on it.

Publisher, XML, session, engine, pump, partitions, Postgres, projector, settlement and HTTP are the
real ones. And a live feed that is killed in the middle, and started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from actors.fixture import GetFixture
from actors.market import GetMarket, MarketStatus, MarketView
from actors.odds import ONE
from actors.results import Outcome
from actors.runtime.addresses import BOOK, fixture_of
from actors.trading import ChangePrices, OpenMarket
from gateway.feeds.feed import Source, Step
from gateway.feeds.priced import FEED, FeedSettings, MarginSettings, Settings
from gateway.feeds.pump import pump, unfinished
from gateway.feeds.simulated import Board
from gateway.feeds.simulated import Settings as BoardSettings
from gateway.feeds.uof import FEED as UOF
from gateway.feeds.uof.descriptions import shipped
from gateway.feeds.uof.live import Live
from gateway.feeds.uof.publisher import Publisher
from gateway.feeds.uof.session import Options, Session
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk
from tests.rules.test_uof_feed import Answering, Wire

T = 1_800_000_000_000
OVERROUND = 11_000
"""Of football here; the source's is 1.06."""
RUN = "priced"


class Between:
    """A source that lets somebody act between two of its steps, when all before have arrived."""

    def __init__(self, source: Source, act: Callable[[Step], Awaitable[None]]) -> None:
        self.source, self.act = source, act
        self.name, self.keys, self.live = source.name, source.keys, source.live

    async def steps(self) -> AsyncIterator[Step]:
        async for step in self.source.steps():
            yield step
            await self.act(step)


async def seen(backend: Backend, market_id: str) -> MarketView:
    fixture_id = fixture_of(market_id)
    answer = await backend.cluster.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
    assert isinstance(answer.reply, MarketView)
    return answer.reply


async def test_from_the_publisher_to_the_player(backend: Backend, desk: Desk) -> None:
    board = {
        "simulated": {"seed": 8, "fixtures": 1, "total": 1},
        "options": {"on_ladder": False, "bet_delay_ms": 0},
    }
    lead = FeedSettings("uof", msgspec.Raw(msgspec.json.encode(board)))
    margins = {"Football": MarginSettings(overround=OVERROUND)}
    source = FEED.open(Settings(lead, margins=margins), RUN, T)
    player = await desk.player(100_000)
    kinds: dict[str, str] = {}
    bets: dict[str, tuple[str, str]] = {}
    """Bets by market, with their selection."""
    books: list[float] = []

    async def act(step: Step) -> None:
        for command in step.commands:
            if isinstance(command, OpenMarket):
                kinds[command.market_id] = command.kind
        changed = {c.market_id for c in step.commands if isinstance(c, ChangePrices)}
        for market_id in changed:
            view = await seen(backend, market_id)
            odds = [one.odds for one in view.selections if one.odds]
            if len(odds) == len(view.selections):
                books.append(sum(ONE / price for price in odds) / view.winners)
            if view.status is MarketStatus.OPEN and odds and market_id not in bets:
                one = min(view.selections, key=lambda one: abs(one.odds - 2 * ONE))
                placed = await player.post(
                    "/v1/bets",
                    {
                        "market_id": market_id,
                        "selection_id": one.selection_id,
                        "stake_minor": 1_000,
                        "currency": "GBP",
                        "odds": one.odds,
                    },
                )
                assert placed.status == 201, placed.raw
                bets[market_id] = (placed["bet_id"], one.selection_id)

    tally = await pump(Between(source, act), backend.cluster.router, backend.cluster.clock, speed=0)
    assert not tally.refused
    assert {"match_result", "total", "handicap", "both_to_score", "correct_score"} <= set(
        kinds.values()
    )
    # The source's margin is gone and ours is on, rounded in the house's favour: at every price.
    assert len(books) > 100
    assert min(books) >= OVERROUND / ONE - 1e-9
    assert sum(books) / len(books) < 1.16
    assert len(bets) > 5
    lines = 0
    for market_id, (bet_id, selection_id) in bets.items():
        await player.settled(bet_id)
        view = await seen(backend, market_id)
        (result,) = [one.result for one in view.selections if one.selection_id == selection_id]
        bet = await player.get(f"/v1/bets/{bet_id}")
        assert result is not None
        odds = bet["legs"][0]["odds"]
        pays = {
            Outcome.WON: 1_000 * odds // ONE,
            Outcome.HALF_WON: (1_000 + 1_000 * odds // ONE) // 2,
            Outcome.VOID: 1_000,
            Outcome.HALF_LOST: 500,
            Outcome.LOST: 0,
        }
        assert abs(bet["payout_minor"] - pays[result.outcome]) <= 1, (market_id, result)
        lines += view.terms.line_quarters is not None
    assert lines >= 2


async def test_a_live_feed_killed_in_the_middle_leaves_nothing_open_behind(
    backend: Backend,
) -> None:
    clock = backend.cluster.clock
    router = backend.cluster.router
    publisher = Publisher()
    board = Board(BoardSettings(seed=4, fixtures=2, total=2), "x", clock.now_ms())
    playing = board.play()

    def started() -> tuple[Live, Wire]:
        """A process of the feed that knows nothing of any other."""
        wire, now_ms = Wire(), clock.now_ms()
        session = Session(Options(), shipped(), "killed", first_request=now_ms)
        api = Answering(wire, publisher, clock)
        return Live(session, wire, api, "uof", "killed", now_ms, clock), wire

    def publish(wire: Wire | None, count: int) -> None:
        """So many steps of the board as if they happened now; heard by nobody without a wire."""
        for _ in range(count):
            step = msgspec.structs.replace(next(playing), at_ms=clock.now_ms())
            sent = list(publisher.publish(step))
            if wire is not None:
                wire.put(*sent)

    def alive(wire: Wire) -> None:
        wire.put(*(publisher.alive(clock.now_ms(), product) for product in (1, 3)))

    async def markets(left: list[str]) -> dict[str, MarketView]:
        found = {}
        for fixture_id in left:
            question = GetFixture(fixture_id)
            for market_id in (await router.ask(BOOK, fixture_id, question)).reply.markets:
                found[market_id] = await seen(backend, market_id)
        return found

    first, wire = started()
    running = asyncio.create_task(pump(first, router, clock))
    publish(wire, 2)
    alive(wire)
    left: list[str] = []

    async def all_open() -> bool:
        left[:] = await unfinished(backend.reads[BOOK], UOF, "killed")
        now = await markets(left)
        return len(now) > 10 and all(one.status is MarketStatus.OPEN for one in now.values())

    await until(all_open, "everything is open")
    running.cancel()  # without a word
    await asyncio.gather(running, return_exceptions=True)
    before = await markets(left)
    # The match goes on: prices move, while nobody hears it.
    publish(None, 6)

    second, wire = started()
    quiet = asyncio.create_task(pump(second, router, clock, left=left))

    async def all_suspended() -> bool:
        now = await markets(left)
        return all(
            one.status is MarketStatus.SUSPENDED
            and not any(selection.odds for selection in one.selections)
            for one in now.values()
        )

    await until(all_suspended, "all that was left is suspended, and nothing was said")
    alive(wire)
    await until(all_open, "everything was said again")
    quiet.cancel()
    await asyncio.gather(quiet, return_exceptions=True)
    after = await markets(left)
    assert after.keys() == before.keys()
    for market_id, market in after.items():
        assert market.source_sequence > before[market_id].source_sequence
        for selection in market.selections:
            sent = _published(publisher, market_id, selection.selection_id)
            assert selection.odds == sent, (market_id, selection)


def _published(publisher: Publisher, market_id: str, selection_id: str) -> int:
    """What the publisher has last said of a selection, by the ids that the session gives."""
    for fixture in publisher.fixtures.values():
        for market in fixture.markets.values():
            key = (
                f"{market.number}|{market.specifiers}" if market.specifiers else f"{market.number}"
            )
            name = key.replace("|", "__").replace("=", "_.")
            event = fixture.event_id.replace(":", "_-")
            if market_id != f"uof-{event}-killed:{name}":
                continue
            for of, outcome in market.outcomes.items():
                if outcome.replace(":", "_-") == selection_id:
                    return market.odds.get(of, 0)
    raise AssertionError(f"{market_id} {selection_id} was never published")
