"""What every payment processor promises: parametrised over what `gateway.payments` finds."""

from __future__ import annotations

import asyncio
import re
import time
from uuid import uuid4

import pytest

from actors.runtime.clock import now_ms
from actors.wallet import Direction
from gateway.payments import Processor, all_processors
from gateway.payments.bogus import Bogus
from gateway.payments.processor import Approved, Declined, NoAnswer, Order
from ledger.money import Money

ATTEMPTS = 5

METHODS = [
    pytest.param(processor, method, id=method)
    for processor in all_processors().values()
    for method in processor.methods
]
DIRECTIONS = list(Direction)


def order(
    method: str, direction: Direction = Direction.DEPOSIT, requested_ms_ago: int = 60_000
) -> Order:
    at_ms = now_ms() - requested_ms_ago
    return Order(uuid4().hex, "a-player", direction, Money(1_050, "GBP"), method, at_ms)


async def answer(processor: Processor, asked: Order) -> Approved | Declined:
    """Ask until there is an answer, as the cashier does."""
    for _ in range(ATTEMPTS):
        try:
            return await processor.move(asked)
        except NoAnswer:
            continue
    raise AssertionError(f"no answer in {ATTEMPTS} attempts")


@pytest.mark.parametrize("processor", all_processors().values(), ids=lambda one: one.name)
def test_names_fit_into_paths_and_accounts(processor: Processor) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,31}", processor.name)
    assert processor.methods
    assert len(set(processor.methods)) == len(processor.methods)
    for method in processor.methods:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,63}", method)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("processor", "method"), METHODS)
async def test_the_same_payment_gets_the_same_answer(
    processor: Processor, method: str, direction: Direction
) -> None:
    asked = order(method, direction)
    first = await answer(processor, asked)
    if isinstance(first, Approved):
        assert first.reference
    else:
        assert re.fullmatch(r"[a-z0-9_.-]{1,64}", first.code)
    assert await answer(processor, asked) == first
    assert set(await asyncio.gather(*(answer(processor, asked) for _ in range(5)))) == {first}


@pytest.mark.parametrize(("processor", "method"), METHODS)
async def test_two_payments_are_two(processor: Processor, method: str) -> None:
    one, other = await asyncio.gather(*(answer(processor, order(method)) for _ in range(2)))
    if isinstance(one, Approved) and isinstance(other, Approved):
        assert one.reference != other.reference


async def test_bogus_does_what_its_methods_say() -> None:
    now = now_ms()
    bogus = Bogus(slow_s=0.05, silent_s=60, now_ms=lambda: now)
    assert isinstance(await bogus.move(order("bogus-approved", requested_ms_ago=0)), Approved)
    assert isinstance(await bogus.move(order("bogus-declined", requested_ms_ago=0)), Declined)
    started = time.monotonic()
    assert isinstance(await bogus.move(order("bogus-slow", requested_ms_ago=0)), Approved)
    assert time.monotonic() - started > 0.03
    late = order("bogus-timeout", requested_ms_ago=0)
    for _ in range(2):
        with pytest.raises(NoAnswer):
            await bogus.move(late)
    # Another one, in another gateway and a minute later, that has never heard of it.
    other = Bogus(silent_s=60, now_ms=lambda: now_ms() + 60_000)
    assert await other.move(late) == Approved(f"bogus-{late.payment_id}")
