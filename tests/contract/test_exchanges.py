"""What every exchange promises: parametrised over what `gateway.exchanges` finds."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from actors.odds import MAX_ODDS, ONE, down_to_ladder
from actors.runtime.clock import now_ms
from gateway.exchanges import Exchange, all_exchanges
from gateway.exchanges.bogus import BETTER, Bogus
from gateway.exchanges.exchange import BackOrder, Matched, NoAnswer, Unmatched
from ledger.money import Money

ATTEMPTS = 5
OURS = {"a": 20_000, "b": 35_000, "c": 0}

exchanges = pytest.mark.parametrize("exchange", all_exchanges().values(), ids=lambda one: one.name)


def order(stake_minor: int = 500, odds: int = 20_400) -> BackOrder:
    return BackOrder(uuid4().hex, "f:m", "a", Money(stake_minor, "GBP"), odds, now_ms())


async def answer(exchange: Exchange, asked: BackOrder) -> Matched | Unmatched:
    """Ask until there is an answer, as a coordinator does."""
    for _ in range(ATTEMPTS):
        try:
            return await exchange.back(asked)
        except NoAnswer:
            continue
    raise AssertionError(f"no answer in {ATTEMPTS} attempts")


@exchanges
def test_names_fit_into_records(exchange: Exchange) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,31}", exchange.name)


@exchanges
async def test_quotes_are_of_what_was_asked_and_can_be_had(exchange: Exchange) -> None:
    quotes = await exchange.quotes("f:m", "GBP", OURS)
    assert {quote.selection_id for quote in quotes} <= OURS.keys()
    for quote in quotes:
        assert quote.odds == down_to_ladder(quote.odds) <= MAX_ODDS
        assert quote.size_minor > 0
        assert 0 <= quote.commission < ONE
        wanted = BackOrder(
            uuid4().hex, "f:m", quote.selection_id, Money(10, "GBP"), quote.odds, now_ms()
        )
        assert isinstance(await answer(exchange, wanted), Matched)


@exchanges
@pytest.mark.parametrize("stake_minor", [1, 500, 10**11])
@pytest.mark.parametrize("odds", [10_100, 20_400, MAX_ODDS])
async def test_no_more_is_matched_than_was_asked_and_at_no_shorter_price(
    exchange: Exchange, stake_minor: int, odds: int
) -> None:
    asked = order(stake_minor, odds)
    first = await answer(exchange, asked)
    if isinstance(first, Matched):
        assert 0 < first.stake.minor <= stake_minor
        assert first.stake.currency == "GBP"
        assert first.odds >= odds
        assert first.reference
    else:
        assert re.fullmatch(r"[a-z0-9_.-]{1,64}", first.code)
    assert await answer(exchange, asked) == first


@exchanges
async def test_two_orders_are_two(exchange: Exchange) -> None:
    one, other = [await answer(exchange, order()) for _ in range(2)]
    if isinstance(one, Matched) and isinstance(other, Matched):
        assert one.reference != other.reference


async def test_bogus_does_what_it_says() -> None:
    bogus = Bogus()
    quotes = {quote.selection_id: quote for quote in await bogus.quotes("f:m", "GBP", OURS)}
    assert quotes.keys() == {"a", "b"}
    assert quotes["a"].odds == down_to_ladder(20_000 * BETTER // ONE) > 20_000
    assert quotes["a"].size_minor == 100_000
    assert await bogus.quotes("f:m", "GBP", {"a": 1_100_000}) == []
    partly = await bogus.back(order(100_001))
    assert isinstance(partly, Matched)
    assert partly.stake == Money(100_000, "GBP")
    assert await bogus.back(order(odds=1_050_000)) == Unmatched("bogus_has_no_such_price")
