"""Settling a market in bulk: which bets are sent, how many at once, and what is done about a no."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, NamedTuple

import pytest

from actors.base import Reason, Refused
from actors.bet import BetSettled, SettleBet, SettleBets, SettledBets, Settling
from actors.declaring import CompleteSettlement
from actors.errors import Overloaded
from actors.holds import CountHolds, OpenHolds
from actors.results import LOST, WON, Result
from actors.settlement import PAGE, PAGES_UNDER_WAY, settle
from ledger.money import Money

MARKET = "f:m"


def results(version: int = 1, **known: Result) -> dict[str, Settling]:
    """Each with the version in which it was last changed."""
    return {name: Settling(name, result, version) for name, result in known.items()}


ONE_WON = results(s00000=WON)


class OnSelection(NamedTuple):
    selection_id: str
    bet_id: str
    player_id: str
    result_version: int = 0
    of_lines: bool = False


class Declared(NamedTuple):
    results: dict[str, Settling]
    version: int = 1
    fixture_id: str = "f"
    market_id: str = MARKET


class Ledger:
    """A licence's ledger that is up to date."""

    def __init__(self, bets: list[OnSelection]) -> None:
        self.bets = sorted(bets)
        self.reads = 0

    async def heads(self) -> dict[str, int]:
        return {"gb-00": 7}

    positions = heads

    async def bets_to_settle(
        self, market_id: str, first: str, last: str, after: tuple[str, str], limit: int
    ) -> list[OnSelection]:
        assert market_id == MARKET
        self.reads += 1
        within = [bet for bet in self.bets if first <= bet.selection_id <= last]
        return [bet for bet in within if bet[:2] > after][:limit]


class Answer(NamedTuple):
    reply: Any


class Clock:
    def __init__(self) -> None:
        self.slept = 0

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
        await asyncio.sleep(0)


class Router:
    """Says yes to everything, unless told otherwise; remembers what came."""

    def __init__(self, turn_away: int = 0, wrong: tuple[str, ...] = ()) -> None:
        self.turn_away = turn_away
        self.wrong = wrong
        self.sent: list[SettleBets] = []
        self.completed: list[CompleteSettlement] = []
        self.under_way = self.most = 0

    async def partitions(self, scope: str, routing_ids: list[str]) -> list[str]:
        return [f"{scope}-{routing_id[-1]}" for routing_id in routing_ids]

    async def ask(self, scope: str, routing_id: str, message: Any, **how: Any) -> Answer:
        if isinstance(message, CountHolds):
            return Answer(OpenHolds(whole=True, holds=0))
        if isinstance(message, CompleteSettlement):
            assert not self.under_way
            self.completed.append(message)
            return Answer(None)
        if self.turn_away:
            self.turn_away -= 1
            raise Overloaded("the queue is full")
        assert how == {"by": "settlement"}
        self.sent.append(message)
        self.under_way += len(message.bets)
        self.most = max(self.most, self.under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        self.under_way -= len(message.bets)
        wrong = [bet_id for _, bet_id, _ in message.bets if bet_id in self.wrong]
        return Answer(SettledBets(len(message.bets), 10 * len(message.bets), wrong))


def bets(count: int, selections: int) -> list[OnSelection]:
    return [
        OnSelection(f"s{number % selections:05}", f"bet-{number:05}", f"player-{number % 7}")
        for number in range(count)
    ]


async def test_every_bet_is_sent_once_with_the_result_of_its_selection():
    router, on = Router(), bets(1_730, 3)
    known = results(s00000=WON, s00001=LOST, s00002=LOST)
    done = await settle(router, Clock(), {"gb": Ledger(on)}, Declared(known))
    assert (done.bets, done.payout_minor) == (1_730, 17_300)
    sent = Counter(
        (player_id, bet_id, message.selections[number])
        for message in router.sent
        for player_id, bet_id, number in message.bets
    )
    assert sent == Counter((bet.player_id, bet.bet_id, known[bet.selection_id]) for bet in on)
    assert [message.version for message in router.completed] == [1]


async def test_who_travels_together_are_neighbours():
    router = Router()
    await settle(router, Clock(), {"gb": Ledger(bets(600, 1))}, Declared(ONE_WON))
    for message in router.sent:
        assert len({player_id for player_id, _, _ in message.bets}) == 1
    assert len(router.sent) == 2 * 7  # two pages


async def test_so_many_bets_are_under_way_at_once_and_no_more():
    router = Router()
    await settle(
        router,
        Clock(),
        {"gb": Ledger(bets(9_000, 2))},
        Declared(results(s00000=WON, s00001=LOST)),
    )
    assert PAGE < router.most <= PAGES_UNDER_WAY * PAGE


async def test_thousands_of_selections_take_no_more_reads_than_one():
    ledger = Ledger(bets(3_000, 2_000))
    known = results(**{bet.selection_id: LOST for bet in ledger.bets})
    done = await settle(Router(), Clock(), {"gb": ledger}, Declared(known))
    assert done.bets == 3_000
    assert ledger.reads == 3_000 // PAGE + 1


async def test_a_correction_leaves_the_bets_on_other_selections_alone():
    router = Router()
    on = [
        OnSelection("a", "bet-1", "player-1", 1),
        OnSelection("b", "bet-2", "player-1", 1),
        OnSelection("c", "bet-3", "player-1", 1),
        OnSelection("c", "bet-4", "player-1", 2),  # settled by this version before it was cut off
    ]
    declared = Declared(results(2, a=LOST, c=WON), version=2)
    await settle(router, Clock(), {"gb": Ledger(on)}, declared)
    assert sorted(bet_id for message in router.sent for _, bet_id, _ in message.bets) == [
        "bet-1",
        "bet-3",
    ]


async def test_a_version_that_changed_no_result_is_complete_at_once():
    router, ledger = Router(), Ledger(bets(10, 1))
    await settle(router, Clock(), {"gb": ledger}, Declared({}, version=3))
    assert not ledger.reads
    assert [message.version for message in router.completed] == [3]


async def test_a_full_queue_is_tried_again():
    router, clock = Router(turn_away=3), Clock()
    done = await settle(router, clock, {"gb": Ledger(bets(20, 1))}, Declared(ONE_WON))
    assert done.bets == 20
    assert clock.slept == 3


async def test_a_queue_that_stays_full_leaves_the_market_unsettled():
    router = Router(turn_away=1_000_000)
    with pytest.raises(Overloaded):
        await settle(router, Clock(), {"gb": Ledger(bets(2, 1))}, Declared(ONE_WON))
    assert not router.completed


async def test_a_bet_that_refuses_as_none_should_leaves_the_market_unsettled():
    router = Router(wrong=("bet-00003",))
    with pytest.raises(AssertionError, match="bet-00003"):
        await settle(router, Clock(), {"gb": Ledger(bets(9, 1))}, Declared(ONE_WON))
    assert not router.completed


def test_a_bulk_is_one_settlement_after_the_other():
    on = (Settling("a", WON, 4), Settling("b", LOST, 3))
    bulk = SettleBets(MARKET, on, [("p", "bet-1", 1), ("q", "bet-2", 0), ("p", "bet-3", 0)])
    assert bulk.cast() == ("wallet/p", "wallet/q", "bet/bet-1", "bet/bet-2", "bet/bet-3")
    assert list(bulk.each()) == [
        SettleBet("p", "bet-1", MARKET, "b", LOST, 3),
        SettleBet("q", "bet-2", MARKET, "a", WON, 4),
        SettleBet("p", "bet-3", MARKET, "a", WON, 4),
    ]
    stake = Money(100, "GBP")
    settled = BetSettled(1, "p", "bet-1", stake, MARKET, "a", WON, 4, 250, 0, 250, 0)
    superseded, unknown = Refused(Reason.SUPERSEDED), Refused(Reason.UNKNOWN_BET)
    assert bulk.sum_up([settled, superseded, unknown]) == SettledBets(1, 250, ["bet-3"])
