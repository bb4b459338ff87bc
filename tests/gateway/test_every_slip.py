"""Every kind of slip over HTTP: placed, settled leg by leg, corrected, also after a part of it was
bought back and after what it won was withdrawn. What it pays is told by lines written out
(`tests.rules.slip_lines`), which share no arithmetic with what is tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from actors.results import LOST, VOID, WON, Outcome, Result
from actors.runtime.clock import now_ms
from actors.slips.kinds import Kind
from actors.slips.settling import Known
from actors.slips.slip import EachWay, Leg, Slip
from gateway import api
from ledger.money import MAX_MINOR
from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Desk, payment
from tests.rules.slip_lines import Facts, half_up, lines, pays, won

HALF_WON, HALF_LOST = Result(Outcome.HALF_WON), Result(Outcome.HALF_LOST)
DEAD_HEAT = Result(Outcome.WON, 2, 1)
EVENS_GONE = 22_500
"""A runner withdrawn at 2.25 takes 40p in the pound."""


class On(msgspec.Struct, frozen=True):
    """One leg: its market, how it comes out, and as what it is corrected."""

    first: Known
    then: Known
    odds: int = 25_000
    """0 at the starting price."""
    banker: bool = False
    terms: dict[str, Any] = {}
    joined: bool = False
    """With a selection of another market of its match, which wins."""


def on(first: Result = WON, then: Result = LOST, odds: int = 25_000, **more: Any) -> On:
    return On(Known(first), Known(then), odds, **more)


def placed(first: Result, place: Result, then: Known, odds: int = 80_000) -> On:
    terms = {"each_way": {"places": 2, "divisor": 4}}
    return On(Known(first, place), then, odds, terms=terms)


MIXED = (
    on(WON, LOST),
    on(HALF_WON, WON, 21_000),
    on(VOID, WON, 18_000),
    on(DEAD_HEAT, WON, 40_000),
    on(HALF_LOST, LOST),
    on(WON, VOID, 16_700),
    on(WON, HALF_LOST, 13_300),
    on(WON, LOST),
)


class Case(msgspec.Struct, frozen=True):
    kind: Kind
    legs: tuple[On, ...]
    folds: tuple[int, ...] = ()
    each_way: bool = False
    bonus: dict[str, Any] = {}
    plain: bool = False
    """As a bet of one leg, which is no slip to the API."""


def mixed(kind: Kind, legs: int, **more: Any) -> Case:
    return Case(kind, MIXED[:legs], **more)


CASES = {
    "bet": Case(Kind.SINGLE, (on(),), plain=True),
    "bet, dead heat": Case(Kind.SINGLE, (on(DEAD_HEAT, WON),), plain=True),
    "bet, Rule 4": Case(
        Kind.SINGLE,
        (On(Known(WON, deduction=4_000), Known(LOST, deduction=4_000), terms={"rule_4": {}}),),
        plain=True,
    ),
    "single": mixed(Kind.SINGLE, 1),
    "singles": mixed(Kind.SINGLE, 3),
    "double": mixed(Kind.DOUBLE, 2),
    "doubles": mixed(Kind.DOUBLE, 4),
    "treble": mixed(Kind.TREBLE, 3),
    "6-fold": mixed(Kind.ACCUMULATOR, 6),
    "trixie": mixed(Kind.TRIXIE, 3),
    "patent": mixed(Kind.PATENT, 3),
    "yankee": mixed(Kind.YANKEE, 4),
    "lucky 15": mixed(Kind.LUCKY_15, 4),
    "canadian": mixed(Kind.CANADIAN, 5),
    "lucky 31": mixed(Kind.LUCKY_31, 5),
    "heinz": mixed(Kind.HEINZ, 6),
    "lucky 63": mixed(Kind.LUCKY_63, 6),
    "super heinz": mixed(Kind.SUPER_HEINZ, 7),
    "goliath": mixed(Kind.GOLIATH, 8),
    "2 and 3 of 4": mixed(Kind.SYSTEM, 4, folds=(2, 3)),
    "2 of 3 with a banker": Case(
        Kind.SYSTEM, (replace(MIXED[0], banker=True), *MIXED[1:4]), folds=(2,)
    ),
    "each-way single": Case(
        Kind.SINGLE, (placed(LOST, DEAD_HEAT, Known(WON, WON)),), each_way=True
    ),
    "each-way patent": Case(
        Kind.PATENT,
        (
            placed(WON, WON, Known(LOST, WON)),
            placed(LOST, WON, Known(LOST, LOST), 60_000),
            placed(LOST, LOST, Known(VOID, VOID), 45_000),
        ),
        each_way=True,
    ),
    "Asian quarter lines": Case(
        Kind.DOUBLE,
        (
            on(HALF_WON, HALF_LOST, 19_000, terms={"line_quarters": 9}),
            on(HALF_LOST, HALF_WON, 20_500, terms={"line_quarters": -3}),
        ),
    ),
    "dead heats": Case(Kind.DOUBLE, (on(DEAD_HEAT, WON), on(Result(Outcome.WON, 3, 2), LOST))),
    "Rule 4": Case(
        Kind.TRIXIE,
        (
            On(Known(WON, deduction=4_000), Known(LOST, deduction=4_000), terms={"rule_4": {}}),
            *MIXED[1:3],
        ),
    ),
    "reduction factor": Case(
        Kind.DOUBLE,
        (
            On(
                Known(WON, reductions=(2_530,)),
                Known(VOID, reductions=(2_530,)),
                terms={"reduction_factors": True},
            ),
            MIXED[1],
        ),
    ),
    "ante-post": Case(
        Kind.PATENT,
        (
            On(Known(LOST, withdrawn=True), Known(VOID), terms={"ante_post": True}),
            *MIXED[1:3],
        ),
    ),
    "starting price": Case(
        Kind.DOUBLE,
        (
            On(
                Known(WON, starting_odds=65_000),
                Known(WON, starting_odds=60_000),
                0,
                terms={"starting_price": True},
            ),
            MIXED[1],
        ),
    ),
    "same game": Case(Kind.DOUBLE, (on(WON, LOST, joined=True), MIXED[1])),
    "boost": Case(Kind.DOUBLE, (on(), on()), bonus={"kind": "boost", "boost": 2_000}),
    "free stake": Case(Kind.TRIXIE, MIXED[:3], bonus={"kind": "free_stake"}),
}
UNIT = 20
"""On each line, in pence."""


def test_every_kind_is_here() -> None:
    assert {case.kind for case in CASES.values()} == set(Kind)


class Bet:
    """A slip at the API, the same in the model, and what is known of it."""

    def __init__(self, desk: Desk, case: Case) -> None:
        self.desk, self.case = desk, case
        self.facts: Facts = {}
        self.markets: list[str] = []
        self.others: dict[int, str] = {}
        """Of joined legs, the market of the other selection."""

    async def open(self) -> None:
        self.markets = list(await asyncio.gather(*(self._market(leg) for leg in self.case.legs)))
        legs = [
            Leg(
                market.partition(":")[0],
                market,
                "a",
                leg.odds,
                leg.banker,
                bool(leg.terms.get("ante_post")),
                each_way=EachWay(**leg.terms["each_way"]) if "each_way" in leg.terms else None,
            )
            for market, leg in zip(self.markets, self.case.legs, strict=True)
        ]
        for number, leg in enumerate(self.case.legs):
            if leg.joined:
                legs[number] = await self._join(number, legs[number])
        case = self.case
        one = Slip(tuple(legs), case.kind, 1, case.folds, case.each_way)
        self.slip = replace(one, stake_minor=UNIT * len(lines(one)))

    async def _market(self, leg: On) -> str:
        prices = {"a": leg.odds or 70_000, "b": 30_000, "c": EVENS_GONE}
        names = {"a": "home", "b": "draw", "c": "away"}
        body = {
            "market_key": "m",
            "name": "Winner",
            "kind": "match_result",
            "selections": [
                {"selection_id": of, "name": names[of], "odds": odds} for of, odds in prices.items()
            ],
            "terms": leg.terms,
        }
        return await self._opened(await self.desk.fixture(), body)

    async def _opened(self, fixture_id: str, body: dict[str, Any]) -> str:
        path = f"/v1/staff/fixtures/{fixture_id}/markets"
        opened: str = (await self.desk.staff.post(path, body))["market_id"]
        return opened

    async def _join(self, number: int, leg: Leg) -> Leg:
        """Two markets that the model of the match knows."""
        fixture_id = await self.desk.fixture()
        path = f"/v1/staff/fixtures/{fixture_id}/model"
        await self.desk.staff.post(path, {"home": 15_000, "away": 12_000})
        self.markets[number] = await self.desk.market(fixture_id, "m")
        goals = {
            "market_key": "goals",
            "name": "Goals",
            "kind": "total",
            "selections": [
                {"selection_id": of, "name": of, "odds": 19_000} for of in ("over", "under")
            ],
            "terms": {"line_quarters": 10},
        }
        other = self.others[number] = await self._opened(fixture_id, goals)
        joined = ((other, "over"),)
        return Leg(fixture_id, self.markets[number], "home", 50_000, leg.banker, joined=joined)

    def body(self, **more: Any) -> dict[str, Any]:
        legs = [
            {
                "market_id": leg.market_id,
                "selection_id": leg.selection_id,
                "banker": leg.banker,
                **({"odds": leg.odds} if leg.odds else {"sp": True}),
                "joined": [{"market_id": of[0], "selection_id": of[1]} for of in leg.joined],
            }
            for leg in self.slip.legs
        ]
        return {
            "kind": self.case.kind,
            "legs": legs,
            "stake_minor": self.slip.stake_minor,
            "currency": "GBP",
            "folds": list(self.case.folds),
            "each_way": self.case.each_way,
            "accept": "any",
            **more,
        }

    # What becomes known

    async def withdraw(self) -> None:
        """Runners that do not run, where that takes something off the others."""
        for market, leg in zip(self.markets, self.case.legs, strict=True):
            if leg.first.deduction or leg.first.reductions:
                path = f"/v1/staff/markets/{market}/withdrawals"
                reduction = sum(leg.first.reductions)
                body = {"selection_id": "c", "reduction": reduction}
                assert (await self.desk.staff.post(path, body)).status == 200

    async def tell(self, number: int, known: Known) -> None:
        """How a leg came out, for the first time or in place of what was said before."""
        market, leg = self.markets[number], self.slip.legs[number]
        path, staff = f"/v1/staff/markets/{market}", self.desk.staff
        before = self.facts.get(leg.selections[0])
        if known.withdrawn:
            answer = await staff.post(f"{path}/withdrawals", {"selection_id": "a"})
        elif before and before.withdrawn:
            answer = await staff.post(f"{path}/cancel", {})
        else:
            results = {of: {"outcome": "lost"} for of in self._others(number)}
            results[leg.selection_id] = _result_json(known, self.case.each_way)
            if self.case.each_way:
                for of in self._others(number):
                    results[of]["place"] = {"outcome": "lost"}  # type: ignore[assignment]
            answer = await staff.post(f"{path}/result", {"results": results})
        assert answer.status == 200, answer.raw
        self.facts[leg.selections[0]] = known
        if leg.joined and before is None:
            answer = await self.desk.result(self.others[number], over="won", under="lost")
            assert answer.status == 200, answer.raw
            self.facts[leg.joined[0]] = Known(WON)

    def _others(self, number: int) -> list[str]:
        if self.case.legs[number].joined:
            return ["draw", "away"]
        gone = self.case.legs[number].first
        return ["b"] if gone.deduction or gone.reductions else ["b", "c"]

    def paid(self, slip: Slip) -> int:
        """By the lines that are decided, written out."""
        return half_up(pays(slip, self.facts, won, states=("paid",)))


def _result_json(known: Known, each_way: bool) -> dict[str, Any]:
    assert known.result is not None
    found: dict[str, Any] = _outcome_json(known.result)
    if each_way and known.place is not None:
        found["place"] = _outcome_json(known.place)
    if known.starting_odds:
        found["starting_odds"] = known.starting_odds
    return found


def _outcome_json(result: Result) -> dict[str, Any]:
    return {"outcome": result.outcome, "tied": result.tied, "places": result.places}


async def has_paid(player: Desk, expected: Callable[[], dict[str, int]]) -> None:
    """Wait until every bet has paid what the model says."""
    seen: dict[str, int] = {}

    async def there() -> bool:
        for bet_id in expected():
            seen[bet_id] = (await player.get(f"/v1/bets/{bet_id}"))["payout_minor"]
        return seen == expected()

    try:
        await until(there, "it pays")
    except AssertionError:
        raise AssertionError(f"expected {expected()}, but {seen}") from None


@pytest.mark.parametrize("name", CASES)
async def test_placed_settled_bought_back_and_corrected(desk: Desk, name: str) -> None:
    case = CASES[name]
    of, player = Bet(desk, case), await desk.player(200_000)
    await of.open()
    if case.legs[0].joined:
        quote = await player.ask("POST", "/v1/slips/quote", of.body())
        legs = (replace(of.slip.legs[0], odds=quote["odds"][0]), *of.slip.legs[1:])
        of.slip = replace(of.slip, legs=legs)
    whole, part = await place(player, of), await place(player, of)
    slip, bought = of.slip, of.slip
    stake = 0 if slip.free_stake else slip.stake_minor
    assert await player.cash() == 200_000 - 2 * stake
    await of.withdraw()

    # Half of the second is bought back: of a bet of several legs, once one of them is known.
    closed = 0

    def expected() -> dict[str, int]:
        return {whole: of.paid(slip), part: closed + of.paid(bought)}

    for number, leg in enumerate(case.legs):
        if number == len(case.legs) // 2:
            closed, bought = await buy_half_back(player, of, part)
        await of.tell(number, leg.first)
        await has_paid(player, expected)
    await player.settled(whole)
    await player.settled(part)

    # What was won is withdrawn; then it was not won after all, or more of it, and then it was.
    cash = await player.cash()
    body = payment(cash, "bogus-approved")
    assert (await player.post("/v1/wallet/withdrawals", body)).status == 201
    so_far = sum(expected().values())
    for number, leg in enumerate(case.legs[:2]):
        for known in (leg.then, leg.first):
            if not (case.legs[number].first.withdrawn and known.withdrawn):
                await of.tell(number, known)
            await has_paid(player, expected)
            wallet = (await player.get("/v1/wallet")).json
            owed = sum(expected().values()) - so_far
            assert (wallet["cash_minor"], wallet["debt_minor"]) == (max(0, owed), max(0, -owed))
            assert wallet["held_minor"] == 0

    items = (await player.get("/v1/bets"))["items"]
    assert {item["bet_id"] for item in items} == {whole, part}
    for item in items:
        assert item == (await player.get(f"/v1/bets/{item['bet_id']}")).json
        assert item["corrections"] >= 1


async def place(player: Desk, of: Bet) -> str:
    """Place it, with a bonus of its own where it has one."""
    if of.case.plain:
        body = of.body()
        leg = body["legs"][0]
        bet = {"market_id": leg["market_id"], "selection_id": "a", "odds": leg["odds"]}
        bet |= {"stake_minor": body["stake_minor"], "currency": "GBP"}
        return str((await player.post("/v1/bets", bet))["bet_id"])
    body = of.body()
    if of.case.bonus:
        amount = of.slip.stake_minor
        body["bonus_id"] = await give(player, amount_minor=amount, **of.case.bonus)
    key = uuid4().hex
    placed = await player.post("/v1/slips", body, key=key)
    assert placed.status == 201, placed.raw
    assert (await player.post("/v1/slips", body, key=key)).json == placed.json
    if of.case.bonus:
        again = await player.post("/v1/slips", body)
        again.problem(404, "unknown_bonus")
        assert (await player.get("/v1/bonuses"))["items"] == []
        free, boosted = placed.json.get("free_stake", False), placed.json.get("boosted_odds", 0)
        cap = of.slip.stake_minor if boosted else MAX_MINOR
        of.slip = replace(of.slip, free_stake=free, boosted_odds=boosted, boost_cap_minor=cap)
    most = half_up(pays(of.slip, {}, won))
    assert placed["potential_payout_minor"] == most
    return str(placed["bet_id"])


async def give(player: Desk, **more: Any) -> str:
    path = f"/v1/desk/players/{player.player_id}/bonuses"
    expires_at = api.time_text(now_ms() + 3_600_000)
    body = {"currency": "GBP", "expires_at": expires_at, "reason": "for a slip of every kind"}
    given = await player.staff.post(path, body | more)
    assert given.status == 201, given.raw
    return str(given["bonus_id"])


async def buy_half_back(player: Desk, of: Bet, bet_id: str) -> tuple[int, Slip]:
    """What was paid for it, and the slip that is left; nothing where there is no price."""
    slip = of.slip
    half = slip.stake_minor // 2
    path = f"/v1/bets/{bet_id}/cash-out"
    offer = await player.get(f"{path}?stake_minor={half}")
    if offer.status != 200:
        assert offer.json["code"] in ("cash_out_suspended", "cash_out_too_small", "nothing_open")
        return 0, slip
    taken = await player.post(path, {"offer": offer["offer"]})
    assert taken["amount_minor"] == offer["amount_minor"]
    left = slip.stake_minor - half
    cap = slip.boost_cap_minor * left // slip.stake_minor
    rest = replace(slip, stake_minor=left, boost_cap_minor=cap)
    return of.paid(slip) - of.paid(rest) + int(taken["amount_minor"]), rest


async def test_the_ledgers_agree(backend: Backend) -> None:
    """After everything above."""
    for scope in ("gb", "book"):
        reads = backend.reads[scope]

        async def caught_up(reads: Any = reads) -> bool:
            return bool(await reads.heads() == await reads.positions())

        await until(caught_up, "the ledger has everything")
        report = await verify(backend.pools[scope], scope)
        assert report.ok, report
