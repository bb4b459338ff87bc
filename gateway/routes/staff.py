"""What traders and other staff do: fixtures, markets, prices, results."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from msgspec import UNSET

from actors.base import Command, Reason
from actors.declaring import DeclareResult, ResultDeclared, SelectionWithdrawn
from actors.fixture import (
    ChangePhase,
    CreateFixture,
    Fixture,
    FixtureCreated,
    MatchModel,
    ModelSet,
    PhaseChanged,
    SetModel,
)
from actors.market import Exposure, GetExposure, Limits, Market, MarketStatus
from actors.outcomes import (
    AddSelection,
    PlacedVoided,
    ResultRolledBack,
    RollBackResult,
    RollBackVoid,
    SelectionAdded,
    SelectionsDecided,
    VoidPlaced,
    VoidRolledBack,
)
from actors.risk.settings import RiskSettings
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.slips.deductions import Rule4
from actors.terms import MarketTerms
from actors.trading import (
    ChangePrices,
    ChangeStatus,
    MarketOpened,
    OpenMarket,
    PricesChanged,
    StatusChanged,
    SwitchMarkets,
)
from gateway import api, keys, prices
from gateway.fixtures import fixture_json, market_json
from gateway.http import MAX_LARGE_BODY, Auth, Call, Route, T, granted
from gateway.problems import Problem
from gateway.results import (
    deciding,
    declaring,
    result_now,
    rolled_back_now,
    void_now,
    window_of,
    withdrawing,
    withdrawn_now,
)
from gateway.standing import Opening
from ledger.desk_reads import DeskReads

STAFF = "staff"
EARLIEST_START = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
LATEST_START = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


async def command(
    call: Call, fixture_id: str, message: Command, kind: type[T], asked: Any, key: str = ""
) -> T:
    """Send a command of the staff's; `asked` is what the client's key stands for."""
    answer = await call.services.router.ask(
        BOOK,
        fixture_id,
        message,
        key=key or call.key,
        fingerprint=fingerprint(type(message).__name__, asked),
        by=STAFF,
    )
    return granted(answer.reply, kind, call.services)


# Fixtures


async def create_fixture(call: Call) -> api.Fixture:
    body: api.NewFixture = call.body
    if not EARLIEST_START <= body.starts_at < LATEST_START:
        raise Problem("invalid_request", "A start before 1900 or after 2199 - at `$.starts_at`.")
    # Where no id is given it follows from the key, so that a repetition finds the same fixture.
    fixture_id = body.fixture_id or keys.id_from(call.key)
    starts_at_ms = api.ms_of(body.starts_at)
    message = CreateFixture(fixture_id, body.sport, body.competition, body.name, starts_at_ms)
    created = await command(call, fixture_id, message, FixtureCreated, message)
    fixture = Fixture()
    created.apply(fixture)
    return fixture_json(fixture, {})


async def change_phase(call: Call) -> api.PhaseNow:
    path: api.FixturePath = call.path
    body: api.PhaseChange = call.body
    message = ChangePhase(path.fixture_id, body.phase, body.score)
    changed = await command(call, path.fixture_id, message, PhaseChanged, message)
    return api.PhaseNow(changed.fixture_id, changed.seq, changed.phase, changed.score)


async def set_model(call: Call) -> api.ModelNow:
    path: api.FixturePath = call.path
    given: api.NewModel = call.body
    message = SetModel(path.fixture_id, MatchModel(*msgspec.structs.astuple(given)))
    told = await command(call, path.fixture_id, message, ModelSet, message)
    return api.ModelNow(told.fixture_id)


# Markets


async def open_market(call: Call) -> api.Market:
    """Opened, then priced: two commands, the second under a key that follows from the first. In
    between it is suspended, if it comes under a stop."""
    path: api.FixturePath = call.path
    body: api.NewMarket = call.body
    names = {selection.selection_id: selection.name for selection in body.selections}
    if len(names) != len(body.selections):
        raise Problem("invalid_request", "A selection is given twice - at `$.selections`.")
    limits = _limits(call.services.settings.risk, body)
    market_id = f"{path.fixture_id}:{body.market_key}"
    message = OpenMarket(
        path.fixture_id,
        market_id,
        body.name,
        body.kind,
        call.services.licence.currency,
        names,
        limits,
        MarketStatus(body.status),
        winners=body.winners,
        terms=_terms(body.terms),
    )
    opened = await command(call, path.fixture_id, message, MarketOpened, (path.fixture_id, body))
    fixture, market = Fixture(), Market()
    opened.apply(market, fixture)
    services = call.services
    stops = Opening(services.router, services.clock, DeskReads.beside(services.book))
    for cause in await stops.causes(path.fixture_id, STAFF):
        suspend = SwitchMarkets(path.fixture_id, [market_id], cause)
        await services.router.ask(BOOK, path.fixture_id, suspend, by=STAFF)
        if market.status is MarketStatus.OPEN:
            market.status = MarketStatus.SUSPENDED
    odds = {one.selection_id: one.odds for one in body.selections if one.odds is not None}
    if odds:
        first = ChangePrices(path.fixture_id, market_id, odds)
        key = keys.following(call.key, "prices")
        priced = await command(call, path.fixture_id, first, PricesChanged, first, key)
        priced.apply(market, fixture)
    return market_json(market)


def _limits(risk: RiskSettings, body: api.NewMarket) -> Limits:
    """Those of the market's kind, but for what is given."""
    given = {
        name: value
        for name in body.limits.__struct_fields__
        if (value := getattr(body.limits, name)) is not UNSET
    }
    limits = msgspec.structs.replace(risk.limit_table.of(body.kind), **given)
    if limits.min_stake_minor > limits.max_stake_minor:
        raise Problem("invalid_request", "The least stake is above the largest - at `$.limits`.")
    return limits


def _terms(given: api.Terms) -> MarketTerms:
    each_way, rule = given.each_way, given.rule_4
    return MarketTerms(
        each_way.places if each_way else 0,
        each_way.divisor if each_way else 0,
        given.starting_price,
        given.ante_post,
        Rule4(cap_pence=rule.cap_pence, waive_5p=rule.waive_5p) if rule else None,
        given.reduction_factors,
        None if given.line_quarters is UNSET else given.line_quarters,
    )


async def change_prices(call: Call) -> api.PricesNow:
    path: api.MarketPath = call.path
    body: api.PriceList = call.body
    prices.check(body.odds)
    fixture_id = fixture_of(path.market_id)
    message = ChangePrices(fixture_id, path.market_id, body.odds)
    return prices.now(await command(call, fixture_id, message, PricesChanged, message))


async def change_status(call: Call) -> api.StatusNow:
    path: api.MarketPath = call.path
    body: api.StatusChange = call.body
    fixture_id = fixture_of(path.market_id)
    said = (fixture_id, path.market_id, MarketStatus(body.status), body.in_play, body.bet_delay_ms)
    # As it was before it was said to be by hand, so that a repetition across a release is one.
    asked = (ChangeStatus.__name__, *said)
    message = ChangeStatus(*said, by_hand=True)
    changed = await command(call, fixture_id, message, StatusChanged, asked)
    return api.StatusNow(
        changed.market_id, changed.seq, changed.status, changed.in_play, changed.bet_delay_ms
    )


async def declare_result(call: Call) -> api.ResultNow:
    path: api.MarketPath = call.path
    body: api.ResultList = call.body
    return await _declare(call, declaring(path.market_id, body.results))


async def settle_selections(call: Call) -> api.ResultNow:
    path: api.MarketPath = call.path
    body: api.ResultList = call.body
    message = deciding(path.market_id, body.results)
    decided = await command(call, message.fixture_id, message, SelectionsDecided, message)
    return result_now(decided)


async def roll_back_result(call: Call) -> api.RolledBackNow:
    path: api.MarketPath = call.path
    fixture_id = fixture_of(path.market_id)
    message = RollBackResult(fixture_id, path.market_id)
    return rolled_back_now(await command(call, fixture_id, message, ResultRolledBack, message))


async def void_placed(call: Call) -> api.VoidNow:
    path: api.MarketPath = call.path
    body: api.BetTimes = call.body
    fixture_id = fixture_of(path.market_id)
    message = VoidPlaced(fixture_id, path.market_id, window_of(body.from_, body.until))
    return void_now(await command(call, fixture_id, message, PlacedVoided, message))


async def roll_back_void(call: Call) -> api.VoidNow:
    path: api.MarketPath = call.path
    body: api.BetTimes = call.body
    fixture_id = fixture_of(path.market_id)
    message = RollBackVoid(fixture_id, path.market_id, window_of(body.from_, body.until))
    return void_now(await command(call, fixture_id, message, VoidRolledBack, message))


async def add_selection(call: Call) -> api.SelectionNow:
    path: api.MarketPath = call.path
    body: api.LateSelection = call.body
    fixture_id = fixture_of(path.market_id)
    message = AddSelection(fixture_id, path.market_id, body.selection_id, body.name)
    added = await command(call, fixture_id, message, SelectionAdded, message)
    return api.SelectionNow(added.market_id, added.seq, added.selection_id, added.name)


async def cancel_market(call: Call) -> api.ResultNow:
    path: api.MarketPath = call.path
    return await _declare(call, declaring(path.market_id, {}, cancelled=True))


async def _declare(call: Call, message: DeclareResult) -> api.ResultNow:
    return result_now(await command(call, message.fixture_id, message, ResultDeclared, message))


async def withdraw_selection(call: Call) -> api.WithdrawnNow:
    path: api.MarketPath = call.path
    body: api.Withdrawal = call.body
    message = withdrawing(path.market_id, body)
    withdrawn = await command(call, message.fixture_id, message, SelectionWithdrawn, message)
    return withdrawn_now(withdrawn)


async def exposure(call: Call) -> api.Exposure:
    path: api.MarketPath = call.path
    question = GetExposure(path.market_id)
    answer = await call.services.router.ask(BOOK, fixture_of(path.market_id), question)
    book = granted(answer.reply, Exposure, call.services)
    return api.Exposure(
        book.market_id,
        book.known,
        book.holds,
        {
            selection_id: api.ExposureLine(line.bets, line.stakes_minor, line.liability_minor)
            for selection_id, line in book.lines.items()
        },
    )


def _staff(
    path: str, handle: Any, name: str, summary: str, body: Any, reply: Any, *codes: str, **more: Any
) -> Route:
    """A change that staff make."""
    return Route(
        method="POST",
        path=f"/v1/staff/{path}",
        handle=handle,
        name=name,
        summary=summary,
        tag="Staff",
        body=body,
        reply=reply,
        auth=Auth.STAFF,
        max_body=MAX_LARGE_BODY,
        keyed=True,
        codes=codes,
        **more,
    )


_MARKET: dict[str, Any] = {"path_type": api.MarketPath}
_FIXTURE: dict[str, Any] = {"path_type": api.FixturePath}

ROUTES = [
    _staff(
        "fixtures",
        create_fixture,
        "createFixture",
        "Create a fixture",
        api.NewFixture,
        api.Fixture,
        Reason.ALREADY_EXISTS,
        status=201,
    ),
    _staff(
        "fixtures/{fixture_id}/phase",
        change_phase,
        "changePhase",
        "Move a fixture on, or show another score",
        api.PhaseChange,
        api.PhaseNow,
        Reason.UNKNOWN_FIXTURE,
        Reason.WRONG_STATUS,
        **_FIXTURE,
    ),
    _staff(
        "fixtures/{fixture_id}/model",
        set_model,
        "setModel",
        "Say what to expect of a match, for prices of several of its selections together",
        api.NewModel,
        api.ModelNow,
        Reason.UNKNOWN_FIXTURE,
        Reason.WRONG_STATUS,
        Reason.OUT_OF_BOUNDS,
        **_FIXTURE,
    ),
    _staff(
        "fixtures/{fixture_id}/markets",
        open_market,
        "openMarket",
        "Open a market, with prices where they are given",
        api.NewMarket,
        api.Market,
        Reason.UNKNOWN_FIXTURE,
        Reason.UNKNOWN_MARKET,
        Reason.UNKNOWN_SELECTION,
        Reason.ALREADY_EXISTS,
        Reason.WRONG_STATUS,
        Reason.OUT_OF_BOUNDS,
        status=201,
        **_FIXTURE,
    ),
    _staff(
        "markets/{market_id}/prices",
        change_prices,
        "changePrices",
        "Change the prices of some selections; 0 takes one off the board",
        api.PriceList,
        api.PricesNow,
        Reason.UNKNOWN_MARKET,
        Reason.UNKNOWN_SELECTION,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/status",
        change_status,
        "changeStatus",
        "Open, suspend or close a market",
        api.StatusChange,
        api.StatusNow,
        Reason.UNKNOWN_MARKET,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/result",
        declare_result,
        "declareResult",
        "Declare how every selection came out; again, to correct it",
        api.ResultList,
        api.ResultNow,
        Reason.UNKNOWN_MARKET,
        Reason.UNKNOWN_SELECTION,
        Reason.INCOMPLETE_RESULT,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/cancel",
        cancel_market,
        "cancelMarket",
        "Cancel a market: every bet on it is void",
        api.Empty,
        api.ResultNow,
        Reason.UNKNOWN_MARKET,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/result/selections",
        settle_selections,
        "settleSelections",
        "Declare how some selections came out, while others are undecided; again, to correct it",
        api.ResultList,
        api.ResultNow,
        Reason.UNKNOWN_MARKET,
        Reason.UNKNOWN_SELECTION,
        Reason.INCOMPLETE_RESULT,
        Reason.WRONG_STATUS,
        Reason.OUT_OF_BOUNDS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/result/rollback",
        roll_back_result,
        "rollBackResult",
        "Take the result back, or the cancellation: bets settled by it are open again",
        api.Empty,
        api.RolledBackNow,
        Reason.UNKNOWN_MARKET,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/voids",
        void_placed,
        "voidPlaced",
        "Void the bets that were accepted in a certain time, whatever the result",
        api.BetTimes,
        api.VoidNow,
        Reason.UNKNOWN_MARKET,
        Reason.WRONG_STATUS,
        Reason.OUT_OF_BOUNDS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/voids/rollback",
        roll_back_void,
        "rollBackVoid",
        "Undo that: its bets are open again, or settled by the result",
        api.BetTimes,
        api.VoidNow,
        Reason.UNKNOWN_MARKET,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/selections",
        add_selection,
        "addSelection",
        "Add a selection, without a price yet",
        api.LateSelection,
        api.SelectionNow,
        Reason.UNKNOWN_MARKET,
        Reason.ALREADY_EXISTS,
        Reason.WRONG_STATUS,
        Reason.OUT_OF_BOUNDS,
        status=201,
        **_MARKET,
    ),
    _staff(
        "markets/{market_id}/withdrawals",
        withdraw_selection,
        "withdrawSelection",
        "Withdraw a runner: bets on it are void (ante-post lost), the others run on. Where that "
        "takes something off prices, the market is suspended until all were said again",
        api.Withdrawal,
        api.WithdrawnNow,
        Reason.UNKNOWN_MARKET,
        Reason.UNKNOWN_SELECTION,
        Reason.WRONG_STATUS,
        **_MARKET,
    ),
    Route(
        method="GET",
        path="/v1/staff/markets/{market_id}/exposure",
        handle=exposure,
        name="exposure",
        summary="Bets, stakes and liability of each selection",
        tag="Staff",
        reply=api.Exposure,
        auth=Auth.STAFF,
        path_type=api.MarketPath,
        codes=(Reason.UNKNOWN_MARKET,),
    ),
]
