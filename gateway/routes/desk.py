"""The trader's desk: the board, what is done to markets, and what became of it."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from actors.base import Reason
from actors.market import MarketStatus
from actors.runtime.addresses import BOOK
from actors.staff import Role
from gateway import api
from gateway.desk import actions, members, preview
from gateway.desk import api as desk_api
from gateway.desk import board as desk_board
from gateway.desk import history as desk_history
from gateway.desk.routes import desk_route
from gateway.http import MAX_LARGE_BODY, Call, Route
from gateway.problems import Problem
from gateway.results import window_of
from ledger.desk_reads import DeskReads, newest_of

# Reading


async def board(call: Call) -> desk_api.BoardPage:
    return await desk_board.board(call.services, call.query)


async def event(call: Call) -> desk_api.DeskEvent:
    path: api.FixturePath = call.path
    return await desk_board.event(call.services, path.fixture_id)


async def prices(call: Call) -> desk_api.PriceHistory:
    path: api.MarketPath = call.path
    query: desk_api.HistoryQuery = call.query
    await desk_board.known_market(call.services, path.market_id)
    return await desk_history.price_history(
        call.services, path.market_id, query.cursor, query.limit
    )


async def liability(call: Call) -> desk_api.LiabilityHistory:
    path: api.MarketPath = call.path
    query: desk_api.LiabilityQuery = call.query
    return await desk_history.liability_history(call.services, path.market_id, query.points)


async def audit(call: Call) -> desk_api.Audit:
    query: desk_api.AuditQuery = call.query
    reads = DeskReads.beside(call.services.book)
    if query.market_id and query.fixture_id:
        raise Problem("invalid_request", "Of a market or of an event, not of both.")
    if query.market_id or query.fixture_id:
        owner = f"market/{query.market_id}" if query.market_id else f"fixture/{query.fixture_id}"
        beginning = None if query.market_id else f"market/{query.fixture_id}:"
        rows, next_cursor = await reads.audit_of(
            [owner], beginning, not query.everybody, query.cursor, query.limit
        )
    else:
        # Factors, bonuses and referrals are with the players, in their licence's ledger.
        both = (reads, DeskReads.beside(call.services.ledger))
        pages = [await one.audit_of_staff(query.cursor, query.limit) for one in both]
        rows, next_cursor = newest_of(pages, query.limit)
    return desk_api.Audit(
        next_cursor,
        [
            desk_api.AuditLine(
                f"{row.partition}.{row.seq}.{row.number}",
                api.time_text(row.at_ms),
                row.by,
                row.why,
                row.owner,
                row.events,
            )
            for row in rows
        ],
    )


async def entry(call: Call) -> desk_api.Entry:
    path: desk_api.EntryPath = call.path
    partition, seq, number = path.entry_id.split(".")
    if partition.startswith(f"{BOOK}-"):
        document = await call.services.book.document(partition, int(seq), int(number))
    else:
        # What players did is theirs.
        ledger = call.services.ledger
        document = await ledger.document(partition, int(seq), int(number), members.MACHINE)
    if document is None:
        raise Problem("not_found")
    return desk_api.Entry(path.entry_id, msgspec.json.decode(document))


async def stream(call: Call) -> web.StreamResponse:
    return await call.services.desk_streams.serve(call.request)


# Stops


async def stops(call: Call) -> desk_api.Stops:
    query: api.PageQuery = call.query
    return await actions.standing_stops(call.services, query.cursor, query.limit)


async def order_stop(call: Call) -> desk_api.Stop:
    return await actions.order_stop(call, call.body)


async def lift_stop(call: Call) -> desk_api.Stop:
    path: desk_api.StopPath = call.path
    return await actions.lift_stop(call, path.stop_id, call.body.reason)


# Markets


async def hold_prices(call: Call) -> api.PricesNow:
    path: api.MarketPath = call.path
    return await actions.hold_prices(call, path.market_id, call.body)


async def give_back_prices(call: Call) -> api.PricesNow:
    path: api.MarketPath = call.path
    return await actions.give_back_prices(call, path.market_id, call.body)


async def change_status(call: Call) -> api.StatusNow:
    path: api.MarketPath = call.path
    body: desk_api.HandStatus = call.body
    status = MarketStatus(body.status)
    return await actions.change_status(call, path.market_id, status, body.reason)


async def change_limits(call: Call) -> desk_api.LimitsNow:
    path: api.MarketPath = call.path
    return await actions.change_limits(call, path.market_id, call.body)


async def withdraw_runner(call: Call) -> api.WithdrawnNow:
    path: api.MarketPath = call.path
    return await actions.withdraw_runner(call, path.market_id, call.body)


async def roll_back_result(call: Call) -> api.RolledBackNow:
    path: api.MarketPath = call.path
    return await actions.roll_back_result(call, path.market_id, call.body.reason)


async def void_placed(call: Call) -> api.VoidNow:
    path: api.MarketPath = call.path
    body: desk_api.VoidBets = call.body
    window = window_of(body.from_, body.until)
    return await actions.void_placed(call, path.market_id, window, body.reason)


async def roll_back_void(call: Call) -> api.VoidNow:
    path: api.MarketPath = call.path
    body: desk_api.VoidBets = call.body
    window = window_of(body.from_, body.until)
    return await actions.roll_back_void(call, path.market_id, window, body.reason)


async def preview_settlement(call: Call) -> desk_api.Preview:
    path: api.MarketPath = call.path
    return await preview.preview(call.services, path.market_id, call.body)


async def settle(call: Call) -> api.ResultNow:
    path: api.MarketPath = call.path
    return await preview.settle_as_previewed(call, path.market_id, call.body)


def _read(path: str, handle: Any, name: str, summary: str, reply: Any, **more: Any) -> Route:
    return desk_route("GET", path, handle, name, summary, reply=reply, **more)


def _act(
    path: str, handle: Any, name: str, summary: str, body: Any, reply: Any, **more: Any
) -> Route:
    given = {"body": body, "reply": reply, "max_body": MAX_LARGE_BODY, **more}
    return desk_route("POST", path, handle, name, summary, **given)


_MARKET: dict[str, Any] = {"path_type": api.MarketPath}

ROUTES = [
    _read(
        "board",
        board,
        "deskBoard",
        "Events and markets with prices, liability and handle, soonest first",
        desk_api.BoardPage,
        query=desk_api.BoardQuery,
        codes=("invalid_cursor", Reason.UNKNOWN_FIXTURE, Reason.UNKNOWN_MARKET),
    ),
    _read(
        "fixtures/{fixture_id}",
        event,
        "deskEvent",
        "One event with all its markets, as of this moment",
        desk_api.DeskEvent,
        path_type=api.FixturePath,
        codes=(Reason.UNKNOWN_FIXTURE, Reason.UNKNOWN_MARKET),
    ),
    _read(
        "markets/{market_id}/prices",
        prices,
        "priceHistory",
        "The prices of a market over time",
        desk_api.PriceHistory,
        query=desk_api.HistoryQuery,
        codes=("invalid_cursor", Reason.UNKNOWN_FIXTURE, Reason.UNKNOWN_MARKET),
        **_MARKET,
    ),
    _read(
        "markets/{market_id}/liability",
        liability,
        "liabilityHistory",
        "Stakes and liability of a market over time, as its bets came and went",
        desk_api.LiabilityHistory,
        query=desk_api.LiabilityQuery,
        codes=(Reason.UNKNOWN_FIXTURE, Reason.UNKNOWN_MARKET),
        **_MARKET,
    ),
    _read(
        "audit",
        audit,
        "audit",
        "Who did what and why: of a market, of an event, or all that staff did; newest first",
        desk_api.Audit,
        query=desk_api.AuditQuery,
        codes=("invalid_cursor",),
    ),
    _read(
        "audit/{entry_id}",
        entry,
        "auditEntry",
        "One line of the audit in full",
        desk_api.Entry,
        path_type=desk_api.EntryPath,
    ),
    Route(
        method="GET",
        path="/v1/desk/stream",
        handle=stream,
        name="deskStream",
        summary="WebSocket, subprotocol grandstand.desk.v1: the fixtures watched, as they change",
        tag="Desk",
        status=101,
        codes=("upgrade_required", "too_many_sockets"),
    ),
    _read(
        "stops",
        stops,
        "stops",
        "Stops that stand, newest first",
        desk_api.Stops,
        query=api.PageQuery,
        codes=("invalid_cursor", Reason.UNKNOWN_STOP),
    ),
    _act(
        "stops",
        order_stop,
        "orderStop",
        "Suspend a market, an event, what a source prices, or everything",
        desk_api.NewStop,
        desk_api.Stop,
        status=201,
        role=Role.TRADER,
        codes=(
            Reason.UNKNOWN_FIXTURE,
            Reason.UNKNOWN_MARKET,
            "unknown_source",
            "too_many_stops",
        ),
    ),
    _act(
        "stops/{stop_id}/lift",
        lift_stop,
        "liftStop",
        "Let go on what the stop has suspended, and nothing else has",
        desk_api.JustAction,
        desk_api.Stop,
        role=Role.TRADER,
        path_type=desk_api.StopPath,
        codes=(Reason.UNKNOWN_STOP, Reason.WRONG_STATUS),
    ),
    _act(
        "markets/{market_id}/prices",
        hold_prices,
        "holdPrices",
        "Hold prices by hand until they are given back, or for some time; 0 takes one off",
        desk_api.HandPrices,
        api.PricesNow,
        role=Role.TRADER,
        codes=(
            Reason.UNKNOWN_MARKET,
            Reason.UNKNOWN_SELECTION,
            Reason.OUT_OF_BOUNDS,
            Reason.WRONG_STATUS,
        ),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/prices/give-back",
        give_back_prices,
        "giveBackPrices",
        "Give prices held by hand back to the feed: its last ones, unless they are too old",
        desk_api.GivenBack,
        api.PricesNow,
        role=Role.TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.UNKNOWN_SELECTION, Reason.WRONG_STATUS),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/status",
        change_status,
        "deskStatus",
        "Open, suspend or close a market; a stop that stands keeps it suspended",
        desk_api.HandStatus,
        api.StatusNow,
        role=Role.TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.WRONG_STATUS),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/limits",
        change_limits,
        "changeLimits",
        "Change limits of a market; those left out stay",
        desk_api.ChangedLimits,
        desk_api.LimitsNow,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.OUT_OF_BOUNDS, Reason.VERSION_CONFLICT),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/settlement/preview",
        preview_settlement,
        "previewSettlement",
        "What a result would pay, whole or in part, first or corrected; nothing is changed",
        desk_api.Outcomes,
        desk_api.Preview,
        role=Role.HEAD_TRADER,
        keyed=False,
        codes=(
            Reason.UNKNOWN_MARKET,
            Reason.UNKNOWN_SELECTION,
            Reason.INCOMPLETE_RESULT,
            Reason.OUT_OF_BOUNDS,
            Reason.WRONG_STATUS,
            Reason.UNKNOWN_BET,
        ),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/settlement",
        settle,
        "settle",
        "Declare the result that was previewed, whole or in part, or correct the last one by it",
        desk_api.Settlement,
        api.ResultNow,
        role=Role.HEAD_TRADER,
        codes=(
            Reason.UNKNOWN_MARKET,
            Reason.UNKNOWN_SELECTION,
            Reason.INCOMPLETE_RESULT,
            Reason.OUT_OF_BOUNDS,
            Reason.WRONG_STATUS,
            "preview_outdated",
        ),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/withdrawals",
        withdraw_runner,
        "deskWithdrawRunner",
        "Withdraw a runner: bets on it are void (ante-post lost), the others run on. Where that "
        "takes something off prices, the market is suspended until all were said again",
        desk_api.WithdrawRunner,
        api.WithdrawnNow,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.UNKNOWN_SELECTION, Reason.WRONG_STATUS),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/result/rollback",
        roll_back_result,
        "deskRollBackResult",
        "Take the result back, or the cancellation: bets settled by it are open again",
        desk_api.JustAction,
        api.RolledBackNow,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.WRONG_STATUS),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/voids",
        void_placed,
        "deskVoidPlaced",
        "Void the bets that were accepted in a certain time, whatever the result",
        desk_api.VoidBets,
        api.VoidNow,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.WRONG_STATUS, Reason.OUT_OF_BOUNDS),
        **_MARKET,
    ),
    _act(
        "markets/{market_id}/voids/rollback",
        roll_back_void,
        "deskRollBackVoid",
        "Undo that: its bets are open again, or settled by the result",
        desk_api.VoidBets,
        api.VoidNow,
        role=Role.HEAD_TRADER,
        codes=(Reason.UNKNOWN_MARKET, Reason.WRONG_STATUS),
        **_MARKET,
    ),
]
