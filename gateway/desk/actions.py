"""What the desk does: the one place where its wishes become commands.

Everything is done in somebody's name and for a reason, which stand in the audit. A stop reaches as
far as everything there is: its markets are suspended in one message a fixture, all at once, and
those that the ledger did not know of yet in a second round.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog
from msgspec import UNSET

from actors.base import Command
from actors.declaring import SelectionWithdrawn
from actors.errors import NoAnswer
from actors.fixture import FixtureView, GetFixture
from actors.market import GetMarket, Limits, MarketStatus, MarketView
from actors.outcomes import (
    PlacedVoided,
    ResultRolledBack,
    RollBackResult,
    RollBackVoid,
    VoidPlaced,
    VoidRolledBack,
)
from actors.results import Window
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.staff import GetMember, MemberView
from actors.stop import (
    GetStop,
    LiftStop,
    OrderStop,
    Reach,
    StopLifted,
    StopOrdered,
    StopView,
    cause_of,
)
from actors.trading import (
    ChangeLimits,
    ChangeStatus,
    GiveBackPrices,
    HoldPrices,
    LimitsChanged,
    PricesGivenBack,
    PricesHeld,
    StatusChanged,
    SwitchedMarkets,
    SwitchMarkets,
)
from gateway import api, keys, prices, standing
from gateway.desk import api as desk_api
from gateway.desk import members
from gateway.desk.board import limits_json
from gateway.feeds import all_feeds
from gateway.http import Call, T, granted
from gateway.problems import Problem
from gateway.results import rolled_back_now, void_now, withdrawing, withdrawn_now
from gateway.services import Services
from ledger.desk_reads import DeskReads
from ledger.journal import JournalUnavailable

log = structlog.get_logger()

MAX_ALIKE = 5
"""Stops of the same thing at a time, so that no market is suspended for more than it can be."""
ATTEMPTS = 3
"""Times that a fixture's markets are suspended where no answer comes."""
PAUSE_S = 0.1


async def command(
    call: Call, routing_id: str, message: Command, kind: type[T], asked: Any, reason: str
) -> T:
    """Send a command in the name of whoever asks; `asked` is what the key stands for."""
    answer = await call.services.router.ask(
        BOOK,
        routing_id,
        message,
        key=call.key,
        fingerprint=fingerprint(type(message).__name__, (asked, reason)),
        by=call.staff.by,
        why=reason,
    )
    return granted(answer.reply, kind, call.services)


# One market


async def hold_prices(call: Call, market_id: str, body: desk_api.HandPrices) -> api.PricesNow:
    prices.check(body.odds)
    for_ms = 0 if body.for_s is UNSET else body.for_s * 1000
    message = HoldPrices(fixture_of(market_id), market_id, body.odds, call.staff.by, for_ms)
    held = await command(call, message.fixture_id, message, PricesHeld, message, body.reason)
    return prices.now(held)


async def give_back_prices(call: Call, market_id: str, body: desk_api.GivenBack) -> api.PricesNow:
    named = sorted(set(body.selection_ids or []))
    message = GiveBackPrices(fixture_of(market_id), market_id, named)
    given = await command(call, message.fixture_id, message, PricesGivenBack, message, body.reason)
    return prices.now(given)


async def change_status(
    call: Call, market_id: str, status: MarketStatus, reason: str
) -> api.StatusNow:
    """Whether it is in play, and its bet delay, stay as they are. Opened, it is also let go where a
    runner was withdrawn."""
    fixture_id = fixture_of(market_id)
    market = await _market(call.services, market_id)
    message = ChangeStatus(
        fixture_id, market_id, status, market.in_play, market.bet_delay_ms, by_hand=True
    )
    asked = (market_id, status)
    changed = await command(call, fixture_id, message, StatusChanged, asked, reason)
    return api.StatusNow(
        changed.market_id, changed.seq, changed.status, changed.in_play, changed.bet_delay_ms
    )


async def change_limits(
    call: Call, market_id: str, body: desk_api.ChangedLimits
) -> desk_api.LimitsNow:
    fixture_id = fixture_of(market_id)
    wanted = {
        name: value
        for name in Limits.__struct_fields__
        if (value := getattr(body, name, UNSET)) is not UNSET
    }
    if not wanted:
        raise Problem("invalid_request", "No limit is given.")
    version = None if body.version is UNSET else body.version
    message = ChangeLimits(fixture_id, market_id, wanted, version)
    # As it was before there were versions, so that a repetition across a release is one.
    asked = (market_id, sorted(wanted.items()), *(() if version is None else (version,)))
    changed = await command(call, fixture_id, message, LimitsChanged, asked, body.reason)
    return desk_api.LimitsNow(market_id, limits_json(changed.limits, changed.version))


async def withdraw_runner(
    call: Call, market_id: str, body: desk_api.WithdrawRunner
) -> api.WithdrawnNow:
    message = withdrawing(market_id, body)
    return withdrawn_now(
        await command(call, message.fixture_id, message, SelectionWithdrawn, message, body.reason)
    )


# Taking back


async def roll_back_result(call: Call, market_id: str, reason: str) -> api.RolledBackNow:
    fixture_id = fixture_of(market_id)
    message = RollBackResult(fixture_id, market_id)
    undone = await command(call, fixture_id, message, ResultRolledBack, message, reason)
    return rolled_back_now(undone)


async def void_placed(call: Call, market_id: str, window: Window, reason: str) -> api.VoidNow:
    fixture_id = fixture_of(market_id)
    message = VoidPlaced(fixture_id, market_id, window)
    return void_now(await command(call, fixture_id, message, PlacedVoided, message, reason))


async def roll_back_void(call: Call, market_id: str, window: Window, reason: str) -> api.VoidNow:
    fixture_id = fixture_of(market_id)
    message = RollBackVoid(fixture_id, market_id, window)
    return void_now(await command(call, fixture_id, message, VoidRolledBack, message, reason))


async def _market(services: Services, market_id: str) -> MarketView:
    fixture_id = fixture_of(market_id)
    answer = await services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
    return granted(answer.reply, MarketView, services)


# Stops


async def order_stop(call: Call, body: desk_api.NewStop) -> desk_api.Stop:
    """Suspend all that the stop reaches. Repeated with its key, it goes on where it broke off."""
    target = body.target or ""
    await _check_target(call.services, body.reach, target)
    # The id follows from the key, so that a repetition finds the same stop.
    stop_id = keys.id_from(f"{call.staff.by} {call.key}")
    await _check_alike(call.services, StopView(stop_id, body.reach, target, 0, 0))
    message = OrderStop(stop_id, body.reach, target)
    await command(call, stop_id, message, StopOrdered, message, body.reason)
    stop = await _stop(call.services, stop_id)
    switched = 0
    if not stop.lifted_at_ms:
        switched = await _suspend(call, stop, body.reason)
        stop = await _stop(call.services, stop_id)
        if stop.lifted_at_ms:
            # Meanwhile, by somebody else: what was suspended after that would stay so.
            places = await standing.stopped(DeskReads.beside(call.services.book), stop)
            await _switch(call, stop, places, body.reason, resume=True)
    return _stop_json(stop, call.staff.by, body.reason, switched)


async def _check_target(services: Services, reach: Reach, target: str) -> None:
    if bool(target) is (reach is Reach.EVERYTHING):
        raise Problem(
            "invalid_request", "Everything has no target, all else has one - at `$.target`."
        )
    if reach is Reach.MARKET:
        await _market(services, target)
    elif reach is Reach.EVENT:
        answer = await services.router.ask(BOOK, target, GetFixture(target))
        granted(answer.reply, FixtureView, services)
    elif reach is Reach.SOURCE and not await _is_source(services, target):
        raise Problem(
            "unknown_source", "It is none of the feeds, of the staff, or who has priced a market."
        )


async def _check_alike(services: Services, new: StopView) -> None:
    """Raises the problem `too_many_stops`, with those that could be lifted. Those of the last
    moment are not counted; and where the ledger can't be read, stopping comes first."""
    answer = await services.router.ask(BOOK, new.stop_id, GetStop(new.stop_id))
    if isinstance(answer.reply, StopView):
        return  # it is ordered again, whether the ledger has it yet or not
    try:
        rows = await DeskReads.beside(services.book).standing_stops()
    except JournalUnavailable:
        return
    stand = await asyncio.gather(*(_stop(services, row.stop_id) for row in rows))
    alike = [
        stop.stop_id
        for stop in stand
        if (stop.reach, stop.target) == (new.reach, new.target) and not stop.lifted_at_ms
    ]
    if len(alike) >= MAX_ALIKE:
        raise Problem(
            "too_many_stops",
            f"It is stopped {len(alike)} times already. Lift one of those stops first.",
            facts={"max_stops": MAX_ALIKE, "stops": ", ".join(alike)},
        )


async def _is_source(services: Services, source: str) -> bool:
    """Whether anything is, or can come to be, priced by it."""
    kind, _, login = source.partition("/")
    if source == members.MACHINE or kind in {f"feed:{name}" for name in all_feeds()}:
        return True
    if kind == members.MACHINE:
        answer = await services.router.ask(BOOK, login, GetMember(login))
        if isinstance(answer.reply, MemberView):
            return True
    return bool(await DeskReads.beside(services.book).tradable_of_source(source))


async def _suspend(call: Call, stop: StopView, reason: str) -> int:
    """How many markets are suspended now that were not so for this stop."""
    services = call.services
    reads = DeskReads.beside(services.book)
    first = await standing.reached(reads, stop)
    switched = await _switch(call, stop, first, reason, resume=False)
    if stop.reach is Reach.MARKET:
        return switched
    # What was opened a moment before the stop may not have been in the ledger yet.
    if not await services.book.all_caught_up():
        log.warning("ledger_is_late", what="a stop may have left new markets out")
    known = set(first)
    late = [place for place in await standing.reached(reads, stop) if place not in known]
    return switched + await _switch(call, stop, late, reason, resume=False)


async def lift_stop(call: Call, stop_id: str, reason: str) -> desk_api.Stop:
    """Let go on what this stop has suspended, and nothing else has."""
    services = call.services
    stop = await _stop(services, stop_id)
    switched = 0
    if not stop.lifted_at_ms:
        # Before it counts as lifted: should it break off, the stop still stands, to be lifted.
        places = await standing.stopped(DeskReads.beside(services.book), stop)
        switched = await _switch(call, stop, places, reason, resume=True)
    message = LiftStop(stop_id)
    await command(call, stop_id, message, StopLifted, message, reason)
    lifted = await _stop(services, stop_id)
    return _stop_json(lifted, call.staff.by, reason, switched)


async def standing_stops(services: Services, cursor: str | None, limit: int) -> desk_api.Stops:
    """Newest first. `by` and `reason` are those of the order. One that was lifted a moment ago is
    left out, so a page may have fewer than `limit`."""
    await services.book_is_new()  # or who has just ordered one misses it
    rows, next_cursor = await DeskReads.beside(services.book).stops_page(cursor, limit)
    stops = await asyncio.gather(*(_stop(services, row.stop_id) for row in rows))
    return desk_api.Stops(
        next_cursor,
        [
            _stop_json(stop, row.by, row.why)
            for stop, row in zip(stops, rows, strict=True)
            if not stop.lifted_at_ms
        ],
    )


async def _stop(services: Services, stop_id: str) -> StopView:
    answer = await services.router.ask(BOOK, stop_id, GetStop(stop_id))
    return granted(answer.reply, StopView, services)


async def _switch(
    call: Call, stop: StopView, places: Sequence[tuple[str, str]], reason: str, *, resume: bool
) -> int:
    """Suspend the markets for the stop, or resume them: how many changed by it.

    Raises the problem `unavailable` if any of them did not answer; the others are switched.
    """
    fixtures: defaultdict[str, list[str]] = defaultdict(list)
    for fixture_id, market_id in places:
        fixtures[fixture_id].append(market_id)
    cause = cause_of(stop.stop_id)
    done = await asyncio.gather(
        *(
            _switch_fixture(call, SwitchMarkets(fixture_id, market_ids, cause, resume), reason)
            for fixture_id, market_ids in fixtures.items()
        )
    )
    if None in done:
        raise Problem(
            "unavailable", f"{done.count(None)} fixtures did not answer.", retry_after_s=1
        )
    return sum(changed for changed in done if changed is not None)


async def _switch_fixture(call: Call, message: SwitchMarkets, reason: str) -> int | None:
    """How many of the markets changed, or None where no answer came."""
    services = call.services
    for _ in range(ATTEMPTS):
        try:
            answer = await services.router.ask(
                BOOK, message.fixture_id, message, by=call.staff.by, why=reason
            )
        except NoAnswer as lost:
            log.warning("markets_not_switched", fixture_id=message.fixture_id, why=str(lost))
            await services.clock.sleep(PAUSE_S)
            continue
        assert isinstance(answer.reply, SwitchedMarkets)
        return answer.reply.changed
    return None


def _stop_json(stop: StopView, by: str, reason: str, switched: int | None = None) -> desk_api.Stop:
    return desk_api.Stop(
        stop.stop_id,
        stop.reach,
        stop.target,
        by,
        reason,
        api.time_text(stop.ordered_at_ms),
        api.time_text(stop.lifted_at_ms) if stop.lifted_at_ms else UNSET,
        UNSET if switched is None else switched,
    )
