"""What a result would pay, before anybody is paid: reckoned from the ledger, changing nothing.

Singles that are alike (selection, price, stake) pay alike and are reckoned once; bets of several
lines, each-way and at the starting price are settled one by one with the functions that settle
them, as their actors have them now, and of each it is said what it is paid or that it stays open.
Whoever then settles says which preview was agreed to. Its name stands for the result and for the
bets that it was reckoned of, so that it can't be taken for anything else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from actors.base import Reason, Refused
from actors.bet import BetState, BetView, GetBet, Leg, Settling, less, single_pays
from actors.declaring import DeclareResult, ResultDeclared
from actors.fixture import Fixture
from actors.market import Exposure, GetExposure, GetMarket, MarketView
from actors.multiple import known_of
from actors.outcomes import SelectionsDecided, SettleSelections
from actors.previewed import DeclarePreviewed
from actors.results import VOID
from actors.runtime.addresses import BOOK, fixture_of
from actors.runtime.keys import fingerprint
from actors.slips.settling import Known, Settlement, settle
from actors.slips.slip import Slip
from gateway import api, problems
from gateway.desk import api as desk_api
from gateway.fixtures import market_of_view
from gateway.http import Call, granted
from gateway.problems import Problem
from gateway.results import asked, deciding, declaring, result_now
from gateway.services import Services
from ledger.desk_reads import AlikeRow, DeskReads, TotalRow

MAX_SLIPS = 1_000
"""Bets of several lines that are reckoned; each is asked for at its actor."""
MAX_SHOWN = 100
"""Of those, that are told one by one."""
AT_ONCE = 50
"""Of those, between which others have their turn."""
_OUTDATED = -1
"""The version of no result: who sends it is refused, unless the key has an answer already."""


class Looked(msgspec.Struct):
    """What a preview is made of."""

    market: MarketView
    results: dict[str, Settling]
    """Of every selection, by what its bets would be settled."""
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


class SlipAfter(msgspec.Struct):
    """A bet of several lines, and what it would be after the result."""

    bet: BetView
    first: str
    """The selection of its first leg here."""
    after: Settlement
    legs_open: int

    @property
    def change_minor(self) -> int:
        return self.after.paid_minor - self.bet.payout_minor


async def preview(
    services: Services, market_id: str, outcomes: desk_api.Outcomes
) -> desk_api.Preview:
    """What it would pay. Raises the problem with which the result itself would be refused."""
    looked = await _look(services, _declaring(market_id, outcomes))
    if isinstance(looked, Refused):
        raise problems.refused(looked)
    reads = DeskReads.beside(services.ledger)
    alike, all_alike = await reads.singles_on(market_id, looked.market.windows)
    slips, all_slips = await reads.slips_on(market_id, MAX_SLIPS)
    pays = await _singles_pay(looked, alike)
    after = await _slips_after(services, looked, slips)
    lines = {
        selection_id: _line(looked, selection_id, pays[selection_id], after)
        for selection_id in looked.results
    }
    paid = sum(line.paid_minor for line in lines.values())
    payout = sum(line.payout_minor for line in lines.values())
    slips_change = sum(one.change_minor for one in after)
    most_first = sorted(after, key=lambda one: -abs(one.change_minor))
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
        all_slips,
        slips_change,
        sum(_stays_open(one) for one in after),
        len(slips),
        all_alike and all_slips == len(slips),
        await _holds(services, market_id),
        looked.up_to_date,
        lines,
        [_slip_json(market_id, one) for one in most_first[:MAX_SHOWN]],
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
    declare = _declaring(market_id, body)
    looked = await _look(services, declare)
    agreed = not isinstance(looked, Refused) and looked.name == body.preview
    version = looked.market.result_version if isinstance(looked, Looked) and agreed else _OUTDATED
    answer = await services.router.ask(
        BOOK,
        fixture_id,
        DeclarePreviewed(fixture_id, market_id, declare, version),
        key=call.key,
        fingerprint=fingerprint("settle", (asked(declare), body.preview, body.reason)),
        by=call.staff.by,
        why=body.reason,
    )
    reply = answer.reply
    if isinstance(reply, Refused) and reply.reason is Reason.SUPERSEDED:
        raise Problem("preview_outdated")
    if isinstance(declare, SettleSelections):
        return result_now(granted(reply, SelectionsDecided, services))
    return result_now(granted(reply, ResultDeclared, services))


def _declaring(
    market_id: str, given: desk_api.Outcomes | desk_api.Settlement
) -> DeclareResult | SettleSelections:
    if not given.in_part:
        return declaring(market_id, given.results, cancelled=given.cancelled)
    if given.cancelled:
        raise Problem("invalid_request", "No part of a market is cancelled - at `$.in_part`.")
    return deciding(market_id, given.results)


async def _look(services: Services, message: DeclareResult | SettleSelections) -> Looked | Refused:
    """The market, the result as it would be, and the bets that it is for; or why it can't be."""
    fixture_id, market_id = message.fixture_id, message.market_id
    answer = await services.router.ask(BOOK, fixture_id, GetMarket(fixture_id, market_id))
    view = granted(answer.reply, MarketView, services)
    market, fixture = market_of_view(view), Fixture(fixture_id)
    # Decided on a copy, by the rules of the market itself.
    declared = message.decide(services.clock.now_ms(), market, fixture)
    if isinstance(declared, Refused):
        return declared
    assert isinstance(declared, ResultDeclared | SelectionsDecided)
    declared.apply(market, fixture)
    up_to_date = await services.ledger.all_caught_up()
    totals = await DeskReads.beside(services.ledger).totals_on(market_id)
    results = {name: market.settling(name, declared.version) for name in market.selections}
    cancelled = isinstance(message, DeclareResult) and message.cancelled
    return Looked(view, results, cancelled, totals, up_to_date)


async def _singles_pay(looked: Looked, alike: list[AlikeRow]) -> defaultdict[str, int]:
    """What the singles on each selection are paid."""
    pays: defaultdict[str, int] = defaultdict(int)
    places = looked.market.fixture_id, looked.market.market_id
    for number, row in enumerate(alike):
        if not number % 10_000:
            await asyncio.sleep(0)
        on = looked.results[row.selection_id]
        result = VOID if row.voided else on.result
        if result is None:
            continue  # it stays open
        leg = Leg(*places, row.selection_id, row.odds, row.odds_version, "", "", "")
        known = None if on.off is None else less(leg, Known(result), on.off)
        pays[row.selection_id] += row.bets * single_pays(leg, row.stake_minor, result, known)
    return pays


async def _slips_after(
    services: Services, looked: Looked, slips: list[tuple[str, str]]
) -> list[SlipAfter]:
    """Bets of several lines as the result would leave them."""
    found = []
    for start in range(0, len(slips), AT_ONCE):
        answers = await asyncio.gather(
            *(
                services.router.ask(services.licence.code, player_id, GetBet(player_id, bet_id))
                for player_id, bet_id in slips[start : start + AT_ONCE]
            )
        )
        for answer in answers:
            bet = granted(answer.reply, BetView, services)
            if bet.slip is not None and bet.state is not BetState.CASHED_OUT:
                found.append(_slip_after(looked, bet, bet.slip))
    return found


def _slip_after(looked: Looked, bet: BetView, slip: Slip) -> SlipAfter:
    here = {
        leg.selection: looked.results[leg.selection_id].for_bet_of(bet.placed_at_ms).known_of(leg)
        for leg in bet.legs
        if leg.market_id == looked.market.market_id
    }
    known = known_of(bet.legs, bet.facts) | here
    decided = sum(fact.result is not None for fact in known.values())
    return SlipAfter(bet, next(iter(here))[1], settle(slip, known), len(bet.legs) - decided)


def _stays_open(slip: SlipAfter) -> bool:
    return slip.after.lines_open > 0


def _slip_json(market_id: str, one: SlipAfter) -> desk_api.PaysSlip:
    slip = one.bet.slip
    assert slip is not None
    at_sp = any(
        leg.at_starting_price and market_id in (on for on, _ in leg.selections) for leg in slip.legs
    )
    return desk_api.PaysSlip(
        one.bet.bet_id,
        one.bet.player_id,
        slip.kind,
        slip.each_way,
        at_sp,
        len(one.bet.legs),
        one.legs_open,
        one.bet.stake_minor,
        one.bet.payout_minor,
        one.after.paid_minor,
        one.after.most_minor,
        BetState(one.after.state),
    )


def _line(
    looked: Looked, selection_id: str, payout: int, after: list[SlipAfter]
) -> desk_api.PaysLine:
    mine = [row for row in looked.totals if row.selection_id == selection_id]
    singles = [row for row in mine if not row.of_lines]
    slips = [one for one in after if one.first == selection_id]
    return desk_api.PaysLine(
        sum(row.bets for row in singles),
        sum(row.stakes_minor for row in singles),
        sum(row.paid_minor for row in singles),
        payout,
        sum(row.bets for row in mine if row.of_lines),
        sum(one.change_minor for one in slips),
        sum(_stays_open(one) for one in slips),
        looked.results[selection_id].result is None or UNSET,
    )


async def _holds(services: Services, market_id: str) -> int:
    answer = await services.router.ask(BOOK, fixture_of(market_id), GetExposure(market_id))
    return granted(answer.reply, Exposure, services).holds
