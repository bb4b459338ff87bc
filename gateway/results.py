"""A result: as staff give it, as the command that declares it, and as it is answered. The same of
a runner that is withdrawn, and of bets that are void by when they were accepted."""

from __future__ import annotations

import datetime as dt
from typing import Any

from msgspec import UNSET, UnsetType

from actors.declaring import DeclareResult, ResultDeclared, SelectionWithdrawn, WithdrawSelection
from actors.market import WITHDRAWAL
from actors.outcomes import (
    PlacedVoided,
    ResultRolledBack,
    SelectionsDecided,
    SettleSelections,
    VoidRolledBack,
)
from actors.results import Result, Window
from actors.runtime.addresses import fixture_of
from gateway import api
from gateway.desk import api as desk_api
from gateway.fixtures import results_json
from gateway.problems import Problem


def declaring(
    market_id: str, given: dict[str, api.NewResult], *, cancelled: bool = False
) -> DeclareResult:
    """The command that declares it. Raises `invalid_request`, which says where it is wrong."""
    results: dict[str, Result] = {}
    places: dict[str, Result] = {}
    starting_odds: dict[str, int] = {}
    positions: dict[str, int] = {}
    for selection_id, one in given.items():
        try:
            _only_one(one)
            if one.outcome:
                results[selection_id] = Result(one.outcome, one.tied, one.places)
            if one.position:
                positions[selection_id] = one.position
            if one.place:
                place = one.place
                places[selection_id] = Result(place.outcome, place.tied, place.places)
        except ValueError as wrong:
            where = f"$.results.{selection_id}"
            raise Problem("invalid_request", f"{wrong} - at `{where}`.") from None
        if one.starting_odds:
            starting_odds[selection_id] = one.starting_odds
    return DeclareResult(
        fixture_of(market_id),
        market_id,
        results,
        cancelled,
        places,
        starting_odds,
        positions,
        by_hand=True,
    )


def deciding(market_id: str, given: dict[str, api.NewResult]) -> SettleSelections:
    """The command that declares a part of it. Raises `invalid_request` as `declaring` does."""
    whole = declaring(market_id, given)
    for selection_id in whole.positions:
        why = "A position is only of a whole result: who shares it is not known yet"
        raise Problem("invalid_request", f"{why} - at `$.results.{selection_id}`.")
    return SettleSelections(
        whole.fixture_id, market_id, whole.results, whole.places, whole.starting_odds
    )


def _only_one(given: api.NewResult) -> None:
    """Raises ValueError for a result that says two things, or none."""
    if bool(given.outcome) == bool(given.position):
        raise ValueError("either an outcome or a position")
    if given.position and (given.place or given.tied > 1):
        raise ValueError("a position says everything else")


def asked(message: DeclareResult | SettleSelections) -> Any:
    """What a client's key stands for, whatever the order in which selections were given."""
    if isinstance(message, SettleSelections):
        parts = (message.results, message.places, message.starting_odds)
        return message.market_id, "in part", [sorted(part.items()) for part in parts]
    whole = (message.results, message.places, message.starting_odds, message.positions)
    return message.market_id, message.cancelled, [sorted(part.items()) for part in whole]


def result_now(declared: ResultDeclared | SelectionsDecided) -> api.ResultNow:
    return api.ResultNow(
        declared.market_id,
        declared.seq,
        declared.version,
        isinstance(declared, ResultDeclared) and declared.cancelled,
        results_json(declared.results),
        results_json(declared.places) or UNSET,
        declared.starting_odds or UNSET,
    )


def rolled_back_now(undone: ResultRolledBack) -> api.RolledBackNow:
    return api.RolledBackNow(
        undone.market_id, undone.seq, undone.version, undone.undecided, results_json(undone.results)
    )


# A runner that is withdrawn


def withdrawing(
    market_id: str, given: api.Withdrawal | desk_api.WithdrawRunner
) -> WithdrawSelection:
    odds = given.odds or 0
    return WithdrawSelection(
        fixture_of(market_id), market_id, given.selection_id, odds, given.reduction
    )


def withdrawn_now(withdrawn: SelectionWithdrawn) -> api.WithdrawnNow:
    return api.WithdrawnNow(
        withdrawn.market_id,
        withdrawn.seq,
        withdrawn.version,
        withdrawn.selection_id,
        withdrawn.gone.odds if withdrawn.gone else UNSET,
        WITHDRAWAL if withdrawn.renew else UNSET,
        withdrawn.renew or UNSET,
    )


# Bets that are void


def window_of(begin: dt.datetime | UnsetType, end: dt.datetime | UnsetType) -> Window:
    return Window(
        None if begin is UNSET else api.ms_of(begin), None if end is UNSET else api.ms_of(end)
    )


def void_now(changed: PlacedVoided | VoidRolledBack) -> api.VoidNow:
    return api.VoidNow(changed.market_id, changed.seq, changed.version)
