"""The coordinator of risk beside a gateway: it hears of bets, moves prices, suspends, lays off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from actors.base import Refused
from actors.market import Exposure, GetExposure, GetMarket, MarketView
from actors.risk.alerts import Rules
from actors.risk.desk import Curve
from actors.risk.settings import CurveClasses, HedgeSettings, RiskSettings
from actors.runtime.addresses import fixture_of
from actors.runtime.clock import WallClock
from actors.stop import LiftStop, cause_of
from actors.trading import ChangePrices, OpenMarket, SwitchMarkets
from gateway import standing
from gateway.coordinator import BY, Coordinator
from gateway.exchanges.bogus import EXCHANGE
from gateway.exchanges.exchange import BackOrder, Exchange, Matched, NoAnswer, Unmatched
from gateway.feeds.feed import Step
from gateway.feeds.pump import pump
from ledger.desk_reads import DeskReads
from ledger.money import Money
from ledger.risk_reads import RiskReads
from tests.contract.test_feeds import Told
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, slip
from tests.gateway.test_risk import market
from tests.gateway.trading import Trader, member
from tests.patience import PATIENCE_S

CURVE = Curve(points=((2_000, 0), (10_000, 2_000)), suspend_at=9_000, resume_below=6_000)
NO_HEDGES = HedgeSettings(exchange="")


def settings(hedges: HedgeSettings = NO_HEDGES, **alerts: int) -> RiskSettings:
    return RiskSettings(curves=CurveClasses(otherwise=CURVE), hedges=hedges, alerts=Rules(**alerts))


class Remembering:
    """An exchange as a real one is: it makes a bet once for each id, and may fall silent after."""

    name = "bogus"

    def __init__(self) -> None:
        self.orders: dict[str, BackOrder] = {}
        self.silent_after = False
        self.unwilling = False
        self.matches_nothing = False
        self.asked: Counter[str] = Counter()
        """By market: those of other tests are looked after, too."""

    async def quotes(self, market_id: str, currency: str, odds: Mapping[str, int]) -> Any:
        return await EXCHANGE.quotes(market_id, currency, odds)

    async def back(self, order: BackOrder) -> Matched | Unmatched:
        self.asked[order.market_id] += 1
        first = self.orders.setdefault(order.hedge_id, order)
        if self.silent_after:
            raise NoAnswer("the line is dead")
        if self.matches_nothing:
            return Matched(Money(0, order.stake.currency), order.odds, 0, "none")
        return Unmatched("no") if self.unwilling else await EXCHANGE.back(first)

    def made(self, market_id: str) -> list[str]:
        """The ids of the bets on a market."""
        return [name for name, order in self.orders.items() if order.market_id == market_id]


@asynccontextmanager
async def at_work(
    backend: Backend, of: RiskSettings, exchange: Exchange | None = None
) -> AsyncIterator[Coordinator]:
    coordinator = Coordinator(
        of,
        backend.cluster.router,
        WallClock(),
        RiskReads.beside(backend.reads["book"]),
        DeskReads.beside(backend.reads["book"]),
        {"gb": RiskReads.beside(backend.reads["gb"])},
        {"bogus": exchange or EXCHANGE},
        lambda: uuid4().hex,
    )
    task = asyncio.create_task(coordinator.run())
    try:
        yield coordinator
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


async def view(backend: Backend, market_id: str) -> MarketView:
    question = GetMarket(fixture_of(market_id), market_id)
    found = (await backend.cluster.router.ask("book", fixture_of(market_id), question)).reply
    assert isinstance(found, MarketView)
    return found


async def exposure(backend: Backend, market_id: str) -> Exposure:
    question = GetExposure(market_id)
    found = (await backend.cluster.router.ask("book", fixture_of(market_id), question)).reply
    assert isinstance(found, Exposure)
    return found


async def test_prices_move_and_the_market_is_suspended_and_resumed(
    desk: Desk, backend: Backend
) -> None:
    market_id = await market(desk, max_liability_minor=10_000, max_stake_minor=100_000)
    player = await desk.player(100_000)

    async def odds() -> dict[str, int]:
        return {one.selection_id: one.odds for one in (await view(backend, market_id)).selections}

    async def bet(stake: int) -> None:
        body = slip(market_id, stake_minor=stake, accept="any")
        assert (await player.post("/v1/bets", body)).status == 201

    async def shorter_than(most: int) -> bool:
        return (await odds())["home"] < most

    async with at_work(backend, settings()) as coordinator:
        await bet(4_000)  # 6,000 of 10,000: the price shortens by up to a tenth of probability
        await until(lambda: shorter_than(25_000), "the price has moved")
        moved = await odds()
        assert moved["draw"] > 32_000
        assert (await view(backend, market_id)).selections[0].base_odds == 25_000
        # A feed's price is moved in its turn, away from itself.
        await desk.prices(market_id, home=26_000)
        await until(lambda: shorter_than(26_000), "the new price has moved")
        assert (await view(backend, market_id)).selections[0].base_odds == 26_000

        room = 10_000 - (await exposure(backend, market_id)).lines["home"].liability_minor
        await bet(room * 10_000 // ((await odds())["home"] - 10_000))

        async def suspended() -> bool:
            return (await view(backend, market_id)).causes.keys() == {"liability"}

        await until(suspended, "the market is suspended at its hard limit")
        answer = await player.post("/v1/bets", slip(market_id, stake_minor=10, accept="any"))
        answer.problem(409, "market_suspended")
        assert coordinator.done["suspensions"] == 1

        # A larger limit, and it takes bets again.
        kim = await member(desk, "head_trader")
        limits = await kim.act(f"markets/{market_id}/limits", {"max_liability_minor": 1_000_000})
        assert limits.status == 200

        async def open_at_its_price() -> bool:
            now = await view(backend, market_id)
            return now.status == "open" and now.selections[0].odds == 26_000

        await until(open_at_its_price, "the market is open, and its prices are back")


async def test_prices_past_their_age_are_a_suspension_to_be_seen(
    desk: Desk, backend: Backend
) -> None:
    kim = await member(desk, "viewer")
    async with at_work(backend, settings()):
        market_id = await market(desk, max_age_ms=2_000)

        async def told() -> list[tuple[str, ...]]:
            """What happened to it, and by whom."""
            lines = (await kim.read(f"audit?market_id={market_id}&everybody=true"))["items"]
            return [(one["by"], *one["events"]) for one in reversed(lines)]

        async def is_(causes: set[str]) -> bool:
            return (await view(backend, market_id)).causes.keys() == causes

        await until(lambda: is_({"stale"}), "it is suspended when its prices are too old")
        await desk.prices(market_id, home=24_000)
        done = [("staff", "MarketOpened"), ("staff", "PricesChanged"), ("risk", "StatusChanged")]
        # With new prices it is open, and suspended when those are too old.
        done += [("staff", "PricesChanged"), ("risk", "StatusChanged"), ("risk", "StatusChanged")]

        async def all_done() -> bool:
            return await told() == done

        await until(all_done, "it was open for a while")
        assert await is_({"stale"})


async def test_a_market_that_opens_again_is_looked_at_again(desk: Desk, backend: Backend) -> None:
    market_id = await market(desk, max_liability_minor=10_000, max_stake_minor=100_000)
    player, kim = await desk.player(100_000), await member(desk, "head_trader")

    async def is_(causes: set[str]) -> bool:
        return (await view(backend, market_id)).causes.keys() == causes

    async with at_work(backend, settings()) as coordinator:
        body = slip(market_id, stake_minor=6_500, accept="any")
        assert (await player.post("/v1/bets", body)).status == 201
        await until(lambda: is_({"liability"}), "it is suspended at its hard limit")
        await desk.status(market_id, "closed")
        limits = {"max_liability_minor": 1_000_000, "max_age_ms": 600_000}
        assert (await kim.act(f"markets/{market_id}/limits", limits)).status == 200
        await until(lambda: market_id not in coordinator._looked, "it is forgotten")
        await desk.status(market_id, "open")
        await until(lambda: is_(set()), "nothing holds it any more")
        await until(lambda: market_id in coordinator._aging, "and its age is watched")


async def test_a_price_whose_time_by_hand_is_over_is_written_down_for_who_looks_on(
    desk: Desk, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.coordinator.WARM_UP_MS", -60_000)  # it hears nothing of the past
    kim = await member(desk, "trader")
    market_id = await market(desk, max_age_ms=3_600_000)
    await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 22_000}, "for_s": 1})

    async def is_known() -> bool:
        lines = (await kim.read(f"audit?market_id={market_id}"))["items"]
        return bool(lines) and lines[0]["events"] == ["PricesHeld"]

    async def given_back() -> bool:
        event = (await kim.read(f"fixtures/{fixture_of(market_id)}")).json
        home = event["fixture"]["markets"][0]["selections"][0]
        return home["odds"] == 25_000 and "hand" not in home

    async def written_down() -> bool:
        lines = (await kim.read(f"audit?market_id={market_id}&everybody=true"))["items"]
        return (lines[0]["by"], lines[0]["events"]) == (BY, ["PricesGivenBack"])

    await until(is_known, "the ledger has it")
    # Of a market that nobody has bet on.
    async with at_work(backend, settings()):
        await until(given_back, "the feed's price is shown")
        await until(written_down, "and it is written down")


# Stops


async def stop_of(kim: Trader, reach: str, fixture_id: str) -> str:
    target = {"event": fixture_id, "source": f"staff/{kim.login}", "everything": ""}[reach]
    stop = await kim.act("stops", {"reach": reach, **({"target": target} if target else {})})
    stop_id: str = stop["stop_id"]
    return stop_id


@pytest.fixture
async def trader(desk: Desk) -> Trader:
    """Who prices a market, and so is a source."""
    kim = await member(desk, "trader")
    market_id = await desk.market()
    moved = await kim.act(f"markets/{market_id}/prices", {"odds": {"home": 22_000}})
    assert moved.status == 200
    return kim


async def under(backend: Backend, market_id: str, stop_id: str) -> bool:
    now = await view(backend, market_id)
    return now.status == "suspended" and f"stop/{stop_id}" in now.causes


@pytest.mark.parametrize("reach", ["event", "source", "everything"])
async def test_what_is_opened_after_a_stop_is_under_it_until_it_is_lifted(
    desk: Desk, backend: Backend, trader: Trader, reach: str
) -> None:
    fixture_id = await desk.fixture()
    async with at_work(backend, settings()) as coordinator:
        stop_id = await stop_of(trader, reach, fixture_id)
        # By a feed, as it were: it neither asks nor waits.
        market_id = await opened_by_feed(backend, fixture_id, f"staff/{trader.login}")
        await until(lambda: under(backend, market_id, stop_id), "it is suspended for the stop")
        player = await desk.player()
        answer = await player.post("/v1/bets", slip(market_id, accept="any"))
        answer.problem(409, "market_suspended")
        assert coordinator.done["stopped"] >= 1
        assert (await trader.act(f"stops/{stop_id}/lift")).status == 200
        await until(lambda: is_free(backend, market_id), "and let go with it")


async def test_what_another_opens_is_not_under_the_stop_of_a_source(
    desk: Desk, backend: Backend, trader: Trader
) -> None:
    fixture_id = await desk.fixture()
    async with at_work(backend, settings()):
        stop_id = await stop_of(trader, "source", fixture_id)
        others = await opened_by_feed(backend, fixture_id, "feed:other", "others")
        mine = await opened_by_feed(backend, fixture_id, f"staff/{trader.login}", "mine")
        await until(lambda: under(backend, mine, stop_id), "the source's own is suspended")
        assert not (await view(backend, others)).causes
        # It is when the source prices it.
        prices = ChangePrices(fixture_id, others, {"home": 21_000})
        await backend.cluster.router.ask("book", fixture_id, prices, by=f"staff/{trader.login}")
        await until(lambda: under(backend, others, stop_id), "and what it prices")
        await trader.act(f"stops/{stop_id}/lift")


async def test_a_stop_that_was_lifted_leaves_no_market_behind(
    desk: Desk, backend: Backend, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lifts lets go what the ledger knows by then: here nothing, as if it were far behind."""
    fixture_id = await desk.fixture()
    async with at_work(backend, settings()):
        stop_id = await stop_of(trader, "event", fixture_id)
        market_id = await opened_by_feed(backend, fixture_id, "feed:any")
        await until(lambda: under(backend, market_id, stop_id), "it is suspended")
        await backend.cluster.router.ask("book", stop_id, LiftStop(stop_id))
        await until(lambda: is_free(backend, market_id), "nothing holds it")
    # And what one that has died since has suspended is found in the ledger by the next.
    monkeypatch.setattr(standing, "SWEEP_MS", 0)
    switch = SwitchMarkets(fixture_id, [market_id], cause_of(stop_id))
    await backend.cluster.router.ask("book", fixture_id, switch, by="risk")
    assert await under(backend, market_id, stop_id)
    async with at_work(backend, settings()):
        await until(lambda: is_free(backend, market_id), "nothing holds it now")


async def test_a_coordinator_that_comes_late_finds_the_stops_that_stand(
    desk: Desk, backend: Backend, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.coordinator.WARM_UP_MS", -60_000)  # it hears nothing of the past
    fixture_id = await desk.fixture()
    stop_id = await stop_of(trader, "event", fixture_id)
    market_id = await opened_by_feed(backend, fixture_id, "feed:any")

    async def is_known() -> bool:
        reads = DeskReads.beside(backend.reads["book"])
        stands = any(row.stop_id == stop_id for row in await reads.standing_stops())
        return stands and bool(await reads.tradable(fixture_id))

    await until(is_known, "the ledger has the stop and the market")
    assert await is_free(backend, market_id)
    async with at_work(backend, settings()):
        await until(lambda: under(backend, market_id, stop_id), "it is suspended")
    assert (await trader.act(f"stops/{stop_id}/lift"))["markets"] == 1
    assert await is_free(backend, market_id)


class Watched:
    """The way to the actors, which notes how each market stood when it was priced."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.priced: dict[str, MarketView] = {}

    async def ask(self, scope: str, routing_id: str, message: Any, **named: Any) -> Any:
        if isinstance(message, ChangePrices):
            self.priced[message.market_id] = await view(self.backend, message.market_id)
        return await self.backend.cluster.router.ask(scope, routing_id, message, **named)

    def tell(self, *_: Any) -> None:
        raise AssertionError("a feed only asks")


@pytest.mark.parametrize("reach", ["event", "source", "everything"])
async def test_what_a_feed_opens_under_a_stop_has_no_price_before_it_is_suspended(
    desk: Desk, backend: Backend, trader: Trader, reach: str
) -> None:
    """Without a coordinator, that is."""
    fixture_id = await desk.fixture()
    reads = DeskReads.beside(backend.reads["book"])
    if reach == "source":
        first = await opened_by_feed(backend, fixture_id, "feed:told", "first")
        await until(lambda: is_source(backend, first, "feed:told"), "the ledger knows the source")
        stop = await trader.act("stops", {"reach": "source", "target": "feed:told"})
        stop_id: str = stop["stop_id"]
    else:
        stop_id = await stop_of(trader, reach, fixture_id)

    async def is_known() -> bool:
        return any(row.stop_id == stop_id for row in await reads.standing_stops())

    await until(is_known, "the ledger knows the stop")
    market_id = f"{fixture_id}:m"
    names = {"home": "Reds"}
    step = Step(
        0,
        (
            OpenMarket(fixture_id, market_id, "Late", "winner", "GBP", names),
            ChangePrices(fixture_id, market_id, {"home": 25_000}, 1),
        ),
    )
    router = Watched(backend)
    opening = standing.Opening(router, WallClock(), reads)
    told = Told(step)
    told.keys = f"told/{uuid4().hex}"
    tally = await pump(told, router, WallClock(), speed=0, stops=opening)
    assert (tally.accepted, tally.refused) == (2, Counter())
    assert router.priced[market_id].causes.keys() == {f"stop/{stop_id}"}
    # So does who opens one by hand: another source.
    by_hand = await desk.market(fixture_id, "by-hand")
    free = reach == "source"
    assert (await view(backend, by_hand)).causes.keys() == (set() if free else {f"stop/{stop_id}"})
    assert (await trader.act(f"stops/{stop_id}/lift")).status == 200
    async with at_work(backend, settings()):
        await until(lambda: is_free(backend, market_id), "it is let go with the stop")
        await until(lambda: is_free(backend, by_hand), "and so is that")


async def is_source(backend: Backend, market_id: str, source: str) -> bool:
    places = await DeskReads.beside(backend.reads["book"]).tradable_of_source(source)
    return market_id in [of for _, of in places]


async def opened_by_feed(backend: Backend, fixture_id: str, source: str, name: str = "late") -> str:
    """A market that is opened and priced as a feed does it, in two commands."""
    market_id = f"{fixture_id}:{name}"
    names = {"home": "Reds", "away": "Blues"}
    for message in (
        OpenMarket(fixture_id, market_id, "Late", "winner", "GBP", names),
        ChangePrices(fixture_id, market_id, {"home": 25_000, "away": 15_000}),
    ):
        answer = await backend.cluster.router.ask("book", fixture_id, message, by=source)
        assert not isinstance(answer.reply, Refused)
    return market_id


async def is_free(backend: Backend, market_id: str) -> bool:
    now = await view(backend, market_id)
    return now.status == "open" and not now.causes


HEDGES = HedgeSettings(place=True, above=5_000, down_to=3_000)


async def hedged(backend: Backend, market_id: str) -> int:
    """How many hedges are recorded of the home side."""
    line = (await exposure(backend, market_id)).hedged.get("home")
    return line.bets if line else 0


async def exposed_market(desk: Desk) -> str:
    market_id = await market(desk, max_liability_minor=10_000, max_stake_minor=100_000)
    player = await desk.player(100_000)
    assert (await player.post("/v1/bets", slip(market_id, stake_minor=5_000))).status == 201
    return market_id


async def test_liability_is_laid_off_down_to_its_target(desk: Desk, backend: Backend) -> None:
    exchange = Remembering()
    async with at_work(backend, settings(HEDGES), exchange):
        market_id = await exposed_market(desk)

        async def laid_off() -> bool:
            seen = await exposure(backend, market_id)
            return not seen.ordered and bool(seen.hedged) and seen.worst_minor <= 3_000

        await until(laid_off, "the worst case is at its target")
    assert exchange.asked[market_id] == 1 == await hedged(backend, market_id)


async def test_nothing_is_laid_off_that_nobody_wants_placed(desk: Desk, backend: Backend) -> None:
    exchange = Remembering()
    proposing = HedgeSettings(above=5_000, down_to=3_000)
    async with at_work(backend, settings(proposing), exchange) as coordinator:
        market_id = await exposed_market(desk)
        await until(lambda: coordinator.done["proposals"] > 0, "a hedge was proposed")
    assert not exchange.asked[market_id]


async def test_a_hedge_is_made_and_recorded_once_though_its_answer_was_lost(
    desk: Desk, backend: Backend
) -> None:
    exchange = Remembering()
    exchange.silent_after = True
    async with at_work(backend, settings(HEDGES), exchange):
        market_id = await exposed_market(desk)
        await until(lambda: bool(exchange.made(market_id)), "the exchange has made the bet")
    # It died before it knew: the order is written down, and nothing is recorded.
    seen = await exposure(backend, market_id)
    assert list(seen.ordered) == exchange.made(market_id)
    assert await hedged(backend, market_id) == 0
    exchange.silent_after = False
    async with at_work(backend, settings(HEDGES), exchange):

        async def recorded() -> bool:
            return await hedged(backend, market_id) == 1

        await until(recorded, "its successor has recorded the hedge")
    assert exchange.asked[market_id] >= 2  # for the same
    assert len(exchange.made(market_id)) == 1
    assert not (await exposure(backend, market_id)).ordered


class Slow(Remembering):
    """Says what can be had when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for_quotes, self.may_quote = asyncio.Event(), asyncio.Event()

    async def quotes(self, market_id: str, currency: str, odds: Mapping[str, int]) -> Any:
        found = await super().quotes(market_id, currency, odds)
        self.asked_for_quotes.set()
        await self.may_quote.wait()
        return found


async def test_two_coordinators_do_not_lay_off_the_same_liability_twice(
    desk: Desk, backend: Backend
) -> None:
    slow, quick = Slow(), Remembering()
    market_id = await exposed_market(desk)
    async with at_work(backend, settings(HEDGES), slow) as late:
        async with asyncio.timeout(PATIENCE_S):
            await slow.asked_for_quotes.wait()
        async with at_work(backend, settings(HEDGES), quick):

            async def recorded() -> bool:
                return await hedged(backend, market_id) == 1

            await until(recorded, "the other one has laid it off")
        slow.may_quote.set()
        await until(lambda: late.done["proposals"] > 0, "it proposes by what it saw before")
        await asyncio.sleep(0.2)
    assert not slow.made(market_id)
    assert await hedged(backend, market_id) == 1


@pytest.mark.parametrize("how", ["unwilling", "matches_nothing"])
async def test_what_an_exchange_will_not_have_lapses(
    desk: Desk, backend: Backend, how: str
) -> None:
    exchange = Remembering()
    setattr(exchange, how, True)
    async with at_work(backend, settings(HEDGES), exchange):
        market_id = await exposed_market(desk)

        async def lapsed() -> bool:
            asked = exchange.asked[market_id] > 0
            return asked and not (await exposure(backend, market_id)).ordered

        await until(lapsed, "the order has lapsed")
        player, before = await desk.player(), (await view(backend, market_id)).selections[0].odds
        assert (await player.post("/v1/bets", slip(market_id, accept="any"))).status == 201

        async def looked_at() -> bool:
            return (await view(backend, market_id)).selections[0].odds < before

        await until(looked_at, "the market is looked at again")
    # And it is not asked again at once, whatever is bet.
    assert exchange.asked[market_id] == 1


@pytest.fixture
async def kim(desk: Desk) -> Trader:
    return await member(desk, "viewer")


async def test_patterns_in_what_is_bet_are_raised_once(
    desk: Desk, backend: Backend, kim: Trader
) -> None:
    # Other tests bet in the same minute.
    of = settings(
        accounts=3, habit_bets=3, habit_factor=5, habit_min_minor=2_000, max_a_minute=10_000
    )
    market_id = await market(desk)
    regular = await desk.player(100_000)
    for _ in range(3):  # a habit from before anybody watched
        assert (await regular.post("/v1/bets", slip(market_id, stake_minor=100))).status == 201
    raised: list[Any] = []

    async def found(count: int) -> bool:
        items = (await kim.read("alerts?limit=200"))["items"]
        mine = (market_id, regular.player_id)
        raised[:] = [one for one in items if any(name in one["subject"] for name in mine)]
        return len(raised) == count

    async with at_work(backend, of) as coordinator:
        assert (await regular.post("/v1/bets", slip(market_id, stake_minor=3_000))).status == 201
        for _ in range(2):  # with the regular, who is new too, they are three
            assert (await (await desk.player()).post("/v1/bets", slip(market_id))).status == 201
        await desk.prices(market_id, home=20_000)
        await until(lambda: found(3), "alerts were raised")
        assert sum(coordinator.alerts.values()) >= 3
    patterns = {one["pattern"]: one["facts"] for one in raised}
    assert patterns["stake_above_habit"]["usual_minor"] == 100
    assert patterns["new_accounts"]["accounts"] == 3
    assert patterns["before_price_change"]["odds_after"] == 20_000
    # Its successor reads the same again, and raises nothing twice.
    async with at_work(backend, of) as coordinator:
        await until(lambda: sum(coordinator.alerts.values()) >= 3, "the same was noticed")
        await until(lambda: found(3), "and nothing more is kept")
