"""What a result would pay, before anybody is paid: reckoned from the ledger, changing nothing.

Singles that are alike (selection, price, stake) pay alike and are reckoned once; bets of several
lines are settled one by one with the functions that settle them, as their actors have them now.
Whoever then settles says which preview was agreed to. Its name stands for the result and for the
bets that it was reckoned of, so that it can't be taken for anything else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict

import msgspec
from msgspec.structs import astuple

from actors.base import Reason, Refused
from actors.bet import BetState, BetView, GetBet
from actors.fixture import Fixture
from actors.market import Exposure, GetExposure, GetMarket, MarketView, ResultDeclared
from actors.multiple import known_of
from actors.previewed import DeclarePreviewed
from actors.results import VOID, Result, is_void_by, payout_minor
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.slips.settling import Known, settle
from gateway import api, desk_api, problems
from gateway.fixtures import market_of_view, result_json
from gateway.http import Call, granted
from gateway.problems import Problem
from gateway.services import Services
from ledger.desk_reads import AlikeRow, DeskReads, TotalRow
from ledger.money import MAX_MINOR

MAX_SLIPS = 1_000
"""Bets of several lines that are reckoned; each is asked for at its actor."""
AT_ONCE = 50
"""Of those, between which others have their turn."""
CATCH_UP_S = 2.0
LOOK_AGAIN_S = 0.02
_OUTDATED = -1
"""The version of no result: who sends it is refused, unless the key has an answer already."""


class Looked(msgspec.Struct):
    """What a preview is made of."""

    market: MarketView
    results: dict[str, Result]
    """Of every selection, as they would be."""
    cancelled: bool
    totals: list[TotalRow]
    up_to_date: bool

    @property
    def name(self) -> str:
        """Stands for all of it: 128 bits."""
        what = (
            self.market.market_id,
            self.market.result_version,
            sorted(self.results.items()),
            self.cancelled,
            [astuple(row) for row in self.totals],
        )
        return hashlib.blake2b(msgspec.msgpack.encode(what), digest_size=16).hexdigest()


async def preview(
    services: Services, market_id: str, outcomes: desk_api.Outcomes
) -> desk_api.Preview:
    """What it would pay. Raises the problem with which the result itself would be refused."""
    results = given_results(outcomes.results)
    looked = await _look(services, market_id, results, outcomes.cancelled)
    if isinstance(looked, Refused):
        raise problems.refused(looked, services.clock.now_ms())
    reads = DeskReads.beside(services.ledger)
    alike, all_alike = await reads.singles_on(market_id, looked.market.windows)
    slips = await reads.slips_on(market_id, MAX_SLIPS + 1)
    reckoned = slips[:MAX_SLIPS]
    pays = await _singles_pay(looked, alike)
    changes = await _slips_change(services, looked, reckoned)
    lines = {
        selection_id: _line(looked.totals, selection_id, pays[selection_id], changes[selection_id])
        for selection_id in looked.results
    }
    paid = sum(line.paid_minor for line in lines.values())
    payout = sum(line.payout_minor for line in lines.values())
    slips_change = sum(line.slips_change_minor for line in lines.values())
    return desk_api.Preview(
        market_id,
        looked.name,
        looked.market.result_version,
        looked.cancelled,
        looked.market.currency,
        sum(line.bets for line in lines.values()),
        sum(line.stakes_minor for line in lines.values()),
        paid,
        payout,
        payout - paid + slips_change,
        sum(line.slips for line in lines.values()),
        slips_change,
        len(reckoned),
        all_alike and len(slips) == len(reckoned),
        await _holds(services, market_id),
        looked.up_to_date,
        lines,
    )


async def settle_as_previewed(
    call: Call, market_id: str, body: desk_api.Settlement
) -> api.ResultNow:
    """Declare the result, if it and its bets are still those of the preview.

    Raises the problem `preview_outdated` where they are not. Repeated with its key it gets the
    first answer, though by then the preview is of what was before: the market is asked all the same
    and knows its key.
    """
    services, fixture_id = call.services, fixture_of(market_id)
    results = given_results(body.results)
    looked = await _look(services, market_id, results, body.cancelled)
    agreed = not isinstance(looked, Refused) and looked.name == body.preview
    version = looked.market.result_version if isinstance(looked, Looked) and agreed else _OUTDATED
    message = DeclarePreviewed(fixture_id, market_id, results, body.cancelled, version)
    asked = (market_id, sorted(results.items()), body.cancelled, body.preview, body.reason)
    answer = await services.router.ask(
        BOOK,
        fixture_id,
        message,
        key=call.key,
        fingerprint=fingerprint("settle", asked),
        by=call.staff.by,
        why=body.reason,
    )
    reply = answer.reply
    if isinstance(reply, Refused) and reply.reason is Reason.SUPERSEDED:
        raise Problem("preview_outdated")
    declared = granted(reply, ResultDeclared, services)
    return api.ResultNow(
        declared.market_id,
        declared.seq,
        declared.version,
        declared.cancelled,
        {name: result_json(result) for name, result in declared.results.items()},
    )


def given_results(given: dict[str, api.NewResult]) -> dict[str, Result]:
    results = {}
    for selection_id, one in given.items():
        try:
            results[selection_id] = Result(one.outcome, one.tied, one.places)
        except ValueError as wrong:
            where = f"$.results.{selection_id}"
            raise Problem("invalid_request", f"{wrong} - at `{where}`.") from None
    return results


async def _look(
    services: Services, market_id: str, results: dict[str, Result], cancelled: bool
) -> Looked | Refused:
    """The market, the result as it would be, and the bets that it is for; or why it can't be."""
    fixture_id = fixture_of(market_id)
    answer = await services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
    view = granted(answer.reply, MarketView, services)
    market, fixture = market_of_view(view), Fixture(fixture_id)
    # Decided on a copy, by the rules of the market itself.
    message = DeclarePreviewed(fixture_id, market_id, results, cancelled, view.result_version)
    declared = message.decide(services.clock.now_ms(), market, fixture)
    if isinstance(declared, Refused):
        return declared
    assert isinstance(declared, ResultDeclared)
    known = market.results | declared.results
    up_to_date = await _caught_up(services)
    totals = await DeskReads.beside(services.ledger).totals_on(market_id)
    return Looked(
        view, {name: known[name] for name in market.selections}, cancelled, totals, up_to_date
    )


async def _caught_up(services: Services) -> bool:
    """Wait until the players' ledger has all that is in its journal now, for as long as it may."""
    heads = await services.ledger.heads()
    try:
        async with asyncio.timeout(CATCH_UP_S):
            while True:
                positions = await services.ledger.positions()
                if all(positions.get(name, 0) >= seq for name, seq in heads.items()):
                    return True
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        return False


async def _singles_pay(looked: Looked, alike: list[AlikeRow]) -> defaultdict[str, int]:
    """What the singles on each selection are paid."""
    pays: defaultdict[str, int] = defaultdict(int)
    for number, row in enumerate(alike):
        if not number % 10_000:
            await asyncio.sleep(0)
        result = VOID if row.voided else looked.results[row.selection_id]
        each = min(payout_minor(row.stake_minor, row.odds, result), MAX_MINOR)
        pays[row.selection_id] += row.bets * each
    return pays


async def _slips_change(
    services: Services, looked: Looked, slips: list[tuple[str, str]]
) -> defaultdict[str, int]:
    """What bets of several lines are paid at once, by the selection of their first leg here."""
    changes: defaultdict[str, int] = defaultdict(int)
    for start in range(0, len(slips), AT_ONCE):
        answers = await asyncio.gather(
            *(
                services.router.ask(services.licence.code, player_id, GetBet(player_id, bet_id))
                for player_id, bet_id in slips[start : start + AT_ONCE]
            )
        )
        for answer in answers:
            bet = granted(answer.reply, BetView, services)
            if bet.slip is None or bet.state is BetState.CASHED_OUT:
                continue
            here = _known_here(looked, bet)
            first = next(iter(here))[1]
            now = settle(bet.slip, known_of(bet.legs, bet.facts) | here)
            changes[first] += now.paid_minor - bet.payout_minor
    return changes


def _known_here(looked: Looked, bet: BetView) -> dict[tuple[str, str], Known]:
    """What the result says of the bet's legs on this market."""
    voided = is_void_by(looked.market.windows, bet.placed_at_ms)
    withdrawn = {one.selection_id for one in looked.market.selections if one.withdrawn}
    return {
        (leg.market_id, leg.selection_id): Known(VOID, VOID)
        if voided
        else Known(looked.results[leg.selection_id], withdrawn=leg.selection_id in withdrawn)
        for leg in bet.legs
        if leg.market_id == looked.market.market_id
    }


def _line(
    totals: list[TotalRow], selection_id: str, payout: int, slips_change: int
) -> desk_api.PaysLine:
    mine = [row for row in totals if row.selection_id == selection_id]
    singles = [row for row in mine if not row.of_lines]
    return desk_api.PaysLine(
        sum(row.bets for row in singles),
        sum(row.stakes_minor for row in singles),
        sum(row.paid_minor for row in singles),
        payout,
        sum(row.bets for row in mine if row.of_lines),
        slips_change,
    )


async def _holds(services: Services, market_id: str) -> int:
    answer = await services.router.ask(BOOK, fixture_of(market_id), GetExposure(market_id))
    return granted(answer.reply, Exposure, services).holds
