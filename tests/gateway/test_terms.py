"""What markets offer beside a win at the price shown, over HTTP: placed, settled, settled again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest

from actors.bet import Settling
from actors.results import LOST, VOID, WON
from actors.terms import Off
from ledger.reads import LedgerReads
from ledger.verify import verify
from tests.gateway.backend import Backend, until
from tests.gateway.desk import Answer, Desk
from tests.gateway.test_risk import kim as kim
from tests.gateway.test_risk import waiting
from tests.gateway.test_slips import declare, pays
from tests.gateway.trading import Trader

EACH_WAY = {"each_way": {"places": 3, "divisor": 4}}
PRICES = {"a": 80_000, "b": 22_500, "c": 40_000, "d": 50_000, "e": 200_000}


async def race(desk: Desk, **terms: Any) -> str:
    opened = await desk.staff.post(
        f"/v1/staff/fixtures/{await desk.fixture()}/markets",
        {
            "market_key": "win",
            "name": "Winner",
            "kind": "win",
            "selections": [
                {"selection_id": of, "name": of.upper(), "odds": odds}
                for of, odds in PRICES.items()
            ],
            "terms": terms,
        },
    )
    market_id: str = opened["market_id"]
    return market_id


async def result(desk: Desk, market: str, **each: Any) -> Answer:
    answer = await desk.staff.post(f"/v1/staff/markets/{market}/result", {"results": each})
    assert answer.status == 200, answer.raw
    return answer


async def finish(desk: Desk, market: str, **positions: int) -> Answer:
    """How they came in; the others further back."""
    ran = dict.fromkeys(PRICES, 9) | positions
    return await result(desk, market, **{of: {"position": at} for of, at in ran.items()})


async def withdraw(desk: Desk, market: str, of: str, **more: Any) -> Answer:
    path = f"/v1/staff/markets/{market}/withdrawals"
    answer = await desk.staff.post(path, {"selection_id": of, **more})
    assert answer.status == 200, answer.raw
    return answer


def slip(kind: str, stake: int, *legs: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Each leg a market and a selection, at its first price."""
    on = [{"market_id": market, "selection_id": of, "odds": PRICES[of]} for market, of in legs]
    return {"kind": kind, "legs": on, "stake_minor": stake, "currency": "GBP", **more}


async def single(player: Desk, market: str, of: str, stake: int = 1_000) -> str:
    body = {"market_id": market, "selection_id": of, "stake_minor": stake, "currency": "GBP"}
    bet_id: str = (await player.post("/v1/bets", body | {"odds": PRICES[of]}))["bet_id"]
    return bet_id


# Each-way


async def test_each_way_is_placed_settled_and_settled_again(desk: Desk) -> None:
    market, player = await race(desk, **EACH_WAY), await desk.player()
    body = slip("single", 2_000, (market, "a"), each_way=True)
    quote = await player.ask("POST", "/v1/slips/quote", body)
    assert (quote["lines"]["lines"], quote["line_stake_minor"]) == (2, 1_000)
    placed = await player.post("/v1/slips", body, key="it")
    # 10.00 at 8.0 pays 80.00, and at 1 + 7/4 = 2.75 on the place 27.50.
    assert placed["potential_payout_minor"] == quote["potential_payout_minor"] == 10_750
    assert placed["legs"][0]["each_way"] == {"places": 3, "divisor": 4}
    assert (await player.post("/v1/slips", body, key="it")).json == placed.json
    told = await finish(desk, market, a=1, b=2, c=3)
    assert told["places"]["c"] == {"outcome": "won", "tied": 1, "places": 1}
    bet = await pays(player, placed["bet_id"], "won", 10_750)
    assert (bet["legs"][0]["outcome"], bet["legs"][0]["place"]) == ("won", "won")
    await finish(desk, market, b=1, a=2, c=3)
    await pays(player, placed["bet_id"], "partly_won", 2_750)
    # Two share the third place: half the stake at the place price.
    told = await finish(desk, market, b=1, c=2, a=3, d=3)
    assert told["places"]["a"] == {"outcome": "won", "tied": 2, "places": 1}
    await pays(player, placed["bet_id"], "partly_won", 1_375)
    await finish(desk, market, b=1, c=2, d=3)
    await pays(player, placed["bet_id"], "lost", 0)
    assert await player.cash() == 8_000
    listed = (await player.get("/v1/bets"))["items"][0]
    assert listed == (await player.get(f"/v1/bets/{placed['bet_id']}")).json


async def test_an_each_way_double(desk: Desk) -> None:
    on = [await race(desk, **EACH_WAY), await race(desk, each_way={"places": 2, "divisor": 5})]
    player = await desk.player()
    body = slip("double", 2_000, (on[0], "a"), (on[1], "c"), each_way=True)
    placed = await player.post("/v1/slips", body)
    await finish(desk, on[0], b=1, a=2)
    await finish(desk, on[1], b=1, c=2)
    # The place line alone: 2.75 x (1 + 3/5).
    await pays(player, placed["bet_id"], "partly_won", 4_400)


async def test_terms_are_the_markets_own(desk: Desk) -> None:
    plain, player = await race(desk), await desk.player()
    refused = await player.post("/v1/slips", slip("single", 200, (plain, "a"), each_way=True))
    refused.problem(409, "each_way_unavailable")
    market = await race(desk, **EACH_WAY)
    wrong = slip("single", 200, (market, "a"), each_way=True)
    wrong["legs"][0]["each_way"] = {"places": 5, "divisor": 1}
    (await player.post("/v1/slips", wrong)).problem(400, "invalid_request")
    odd = await player.post("/v1/slips", slip("single", 201, (market, "a"), each_way=True))
    odd.problem(409, "uneven_stake")
    assert await player.cash() == 10_000
    fixture = await player.get(f"/v1/fixtures/{market.partition(':')[0]}")
    assert fixture["markets"][0]["terms"]["each_way"] == {"places": 3, "divisor": 4}


@pytest.mark.parametrize(
    "terms",
    [
        {"each_way": {"places": 6, "divisor": 4}},
        {"rule_4": {}, "reduction_factors": True},
        {"ante_post": True, "rule_4": {}},
        {"ante_post": True, "starting_price": True},
    ],
)
async def test_terms_that_contradict_themselves(desk: Desk, terms: dict[str, Any]) -> None:
    body = {
        "market_key": "win",
        "name": "Winner",
        "kind": "win",
        "selections": [{"selection_id": of, "name": of} for of in PRICES],
        "terms": terms,
    }
    path = f"/v1/staff/fixtures/{await desk.fixture()}/markets"
    (await desk.staff.post(path, body)).problem(409, "out_of_bounds")


async def test_a_result_without_places_is_not_complete(desk: Desk) -> None:
    market = await race(desk, **EACH_WAY)
    path = f"/v1/staff/markets/{market}/result"
    lost = {"outcome": "lost"}
    answer = await desk.staff.post(path, {"results": dict.fromkeys(PRICES, lost)})
    answer.problem(409, "incomplete_result")
    for wrong in ({"outcome": "won", "position": 1}, {}, {"position": 1, "place": lost}):
        answer = await desk.staff.post(path, {"results": {"a": wrong}})
        answer.problem(400, "invalid_request")


# Withdrawals


async def test_rule_4_takes_off_prices_from_before_the_withdrawal(desk: Desk) -> None:
    """10.00 at 8.0 with 40p in the pound (evens to 6/4: 2.25) is 10 + 70 x 0.6 = 52.00."""
    market, player = await race(desk, rule_4={}), await desk.player()
    before = await single(player, market, "a")
    double = await player.post("/v1/slips", slip("single", 1_000, (market, "a")))
    gone = await withdraw(desk, market, "b")
    assert gone["odds"] == 22_500
    await desk.status(market, "open")  # at the prices of before
    after = await single(player, market, "a")
    on_it = await player.get(f"/v1/bets/{before}")
    assert on_it["state"] == "open"
    await finish(desk, market, a=1)
    bet = await pays(player, before, "won", 5_200)
    assert bet["legs"][0]["deduction"] == 4_000
    bet = await pays(player, double["bet_id"], "won", 5_200)
    assert bet["legs"][0]["deduction"] == 4_000
    bet = await pays(player, after, "won", 8_000)
    assert "deduction" not in bet["legs"][0]
    # Corrected, and corrected back.
    await finish(desk, market, c=1)
    await pays(player, before, "lost", 0)
    await finish(desk, market, a=1, c=1)
    await pays(player, before, "won", 2_600)  # a dead heat of two, at the reduced price
    listed = (await player.get("/v1/bets"))["items"]
    assert [bet for bet in listed if bet["bet_id"] == before] == [
        (await player.get(f"/v1/bets/{before}")).json
    ]


async def test_several_withdrawals_take_no_more_than_the_cap(desk: Desk) -> None:
    market, player = await race(desk, rule_4={"cap_pence": 50}), await desk.player()
    first = await single(player, market, "a")
    await withdraw(desk, market, "b")  # 40p
    await desk.status(market, "open")
    second = await single(player, market, "a")
    await withdraw(desk, market, "c", odds=45_000)  # 20p by 7/2, not 25p by 3/1
    await finish(desk, market, a=1)
    await pays(player, first, "won", 1_000 + 3_500)
    await pays(player, second, "won", 1_000 + 5_600)


async def test_reduction_factors_cut_the_price_itself(desk: Desk) -> None:
    market, player = await race(desk, reduction_factors=True), await desk.player()
    on = await single(player, market, "a")
    await withdraw(desk, market, "b", reduction=2_530)
    await finish(desk, market, a=1)
    bet = await pays(player, on, "won", 5_976)  # 10.00 x 8.0 x 0.747
    assert bet["legs"][0]["reductions"] == [2_530]


async def test_no_price_of_before_a_withdrawal_can_be_bet_after_it(desk: Desk, kim: Trader) -> None:
    market, player = await race(desk, rule_4={}), await desk.player()
    fixture = market.partition(":")[0]
    board = await kim.watch(fixture)
    stream = await player.stream()
    await stream.ask("subscribe", fixtures=[fixture])
    key = uuid4().hex
    path, body = f"/v1/staff/markets/{market}/withdrawals", {"selection_id": "b"}
    gone = await desk.staff.post(path, body, key)
    assert (gone["suspended_for"], gone["unrenewed"]) == ("withdrawal", ["a", "c", "d", "e"])
    assert (await desk.staff.post(path, body, key)).json == gone.json
    assert (await stream.next("status"))["status"] == "suspended"
    on_it = {"market_id": market, "selection_id": "a", "stake_minor": 1_000, "currency": "GBP"}
    at_8 = on_it | {"odds": 80_000}
    (await player.post("/v1/bets", at_8)).problem(409, "market_suspended")

    async def seen() -> dict[str, Any]:
        event = await kim.read(f"fixtures/{fixture}")
        return next(one for one in event["fixture"]["markets"] if one["market_id"] == market)

    assert set((await seen())["causes"]) == {"withdrawal"}
    # Some are said again, by a feed and by hand: not all.
    await desk.prices(market, a=60_000, c=30_000)
    await kim.act(f"markets/{market}/prices", {"odds": {"d": 40_000}})
    (await player.post("/v1/bets", on_it | {"odds": 60_000})).problem(409, "market_suspended")
    old = [one["selection_id"] for one in (await seen())["selections"] if one.get("unrenewed")]
    assert old == ["e"]
    await desk.prices(market, e=200_000)  # as it was
    assert (await seen())["causes"] == {}
    await board.until(lambda known: known.get(market, {}).get("status") == "open")
    assert (await stream.next("status"))["status"] == "open"
    assert (await player.post("/v1/bets", on_it | {"odds": 60_000})).status == 201
    # Once more, and a trader opens it with what there is.
    await withdraw(desk, market, "c")
    assert (await kim.act(f"markets/{market}/status", {"status": "open"}))["status"] == "open"
    assert (await player.post("/v1/bets", on_it | {"odds": 60_000})).status == 201
    await board.ws.close()
    await stream.close()


@pytest.mark.parametrize("path", ["/v1/bets", "/v1/slips"])
async def test_a_traders_yes_from_before_a_withdrawal_is_over(
    desk: Desk, kim: Trader, path: str
) -> None:
    market, player = await race(desk, rule_4={}), await desk.player()
    limits = {"refer_above_minor": 300, "refer_up_to_minor": 5_000}
    assert (await kim.act(f"markets/{market}/limits", limits)).status == 200
    asked = {"market_id": market, "selection_id": "a", "odds": 80_000, "currency": "GBP"}
    asked |= {"stake_minor": 900}
    if path == "/v1/slips":
        asked = slip("double", 900, (market, "a"), (await race(desk, rule_4={}), "c"))

    async def agreed() -> dict[str, Any]:
        """To the same bet, by a trader who is asked once more about his own yes."""
        referral_id = (await player.post(path, asked)).problem(409, "referred")["referral_id"]
        await waiting(kim, referral_id)
        accept, key = f"referrals/{referral_id}/accept", uuid4().hex
        first = await kim.act(accept, key=key)
        await desk.prices(market, e=190_000)
        assert (await kim.act(accept, key=key)).json == first.json
        return asked | {"referral_id": referral_id}

    taken = await agreed()
    await withdraw(desk, market, "b")
    await desk.status(market, "open")
    refused = (await player.post(path, taken)).problem(409, "reoffer_expired")
    assert "withdrawn since that price was given" in refused["detail"]
    assert await player.cash() == 10_000
    assert (await desk.staff.get(f"/v1/staff/markets/{market}/exposure"))["holds"] == 0
    # Asked for and agreed to since it is had, and uncut: both knew.
    placed = await player.post(path, await agreed())
    assert (placed.status, placed["legs"][0]["odds"]) == (201, 80_000)
    # Agreed to since, as it was asked for before, it is not: the price is still of before.
    referral_id = (await player.post(path, asked)).problem(409, "referred")["referral_id"]
    await waiting(kim, referral_id)
    await withdraw(desk, market, "c")
    await desk.prices(market, a=60_000, d=40_000, e=150_000)
    assert (await kim.act(f"referrals/{referral_id}/accept")).status == 200
    late = await player.post(path, asked | {"referral_id": referral_id})
    late.problem(409, "reoffer_expired")


async def test_nothing_is_taken_where_the_market_does_not_say_so(desk: Desk) -> None:
    market, player = await race(desk), await desk.player()
    on = await single(player, market, "a")
    assert "odds" not in (await withdraw(desk, market, "b")).json
    await finish(desk, market, a=1)
    await pays(player, on, "won", 8_000)


async def test_an_each_way_bet_is_reduced_on_both_parts(desk: Desk) -> None:
    market, player = await race(desk, **EACH_WAY, rule_4={}), await desk.player()
    placed = await player.post("/v1/slips", slip("single", 2_000, (market, "a"), each_way=True))
    await withdraw(desk, market, "b")
    await finish(desk, market, a=1)
    # The price is 1 + 7 x 0.6 = 5.2, and its place price 1 + 4.2 / 4 = 2.05.
    await pays(player, placed["bet_id"], "won", 5_200 + 2_050)


async def test_what_is_bought_back_is_worth_less_after_a_withdrawal(desk: Desk) -> None:
    market, player = await race(desk, rule_4={}), await desk.player()
    on = [await single(player, market, "a"), await single(player, market, "a")]
    path = f"/v1/bets/{on[0]}/cash-out"
    assert (await player.get(path))["amount_minor"] == 950
    await withdraw(desk, market, "b")
    await desk.prices(market, a=50_000, c=30_000, d=40_000, e=150_000)

    async def offered() -> bool:
        return bool((await player.get(path)).status == 200)

    await until(offered, "the withdrawal is settled")  # until then there is no offer
    offer = await player.get(path)
    assert offer["amount_minor"] == 988  # 10.00 x (5.2 / 5.0) x 0.95
    taken = await player.post(path, {"offer": offer["offer"]})
    assert taken["amount_minor"] == 988


async def test_ante_post_a_runner_that_does_not_run_loses(desk: Desk) -> None:
    market, player = await race(desk, ante_post=True), await desk.player()
    other = await race(desk)
    alone = await single(player, market, "b")
    double = await player.post("/v1/slips", slip("double", 100, (market, "b"), (other, "a")))
    assert double["legs"][0]["ante_post"] is True
    await withdraw(desk, market, "b")
    await pays(player, alone, "lost", 0)
    await pays(player, double["bet_id"], "lost", 0)
    # Abandoned, it is void all the same.
    await desk.staff.post(f"/v1/staff/markets/{market}/cancel", {})
    await pays(player, alone, "void", 1_000)


# The starting price


async def test_at_the_starting_price(desk: Desk) -> None:
    market, player = await race(desk, starting_price=True, rule_4={}), await desk.player()
    other = await desk.market()
    legs = [
        {"market_id": market, "selection_id": "a", "sp": True},
        {"market_id": other, "selection_id": "home", "odds": 25_000},
    ]
    body = {"kind": "double", "legs": legs, "stake_minor": 1_000, "currency": "GBP"}
    placed = await player.post("/v1/slips", body)
    assert placed.status == 201, placed.raw
    assert (placed["legs"][0]["sp"], placed["legs"][0]["odds"]) == (True, 0)
    # Until it is known it is taken for 100/1.
    assert placed["potential_payout_minor"] == 252_500
    await withdraw(desk, market, "b")  # before the off: the price has it in already
    path = f"/v1/staff/markets/{market}/result"
    ran = {of: {"position": at} for at, of in enumerate("acde", 1)}
    missing = await desk.staff.post(path, {"results": ran})
    assert missing.problem(409, "incomplete_result")["selection_id"] == "a"
    won = {"a": {"position": 1, "starting_odds": 65_000}}
    assert (await desk.staff.post(path, {"results": ran | won})).status == 200
    await declare(desk, other)
    bet = await pays(player, placed["bet_id"], "won", 16_250)
    assert bet["legs"][0]["starting_odds"] == 65_000
    # The price was another one: a correction like any other.
    won["a"]["starting_odds"] = 60_000
    assert (await desk.staff.post(path, {"results": ran | won})).status == 200
    await pays(player, placed["bet_id"], "won", 15_000)
    listed = (await player.get("/v1/bets"))["items"][0]
    assert listed == (await player.get(f"/v1/bets/{placed['bet_id']}")).json


async def test_a_starting_price_is_for_markets_that_offer_one(desk: Desk) -> None:
    plain, player = await race(desk), await desk.player()
    leg = {"market_id": plain, "selection_id": "a", "sp": True}
    body = {"kind": "single", "legs": [leg], "stake_minor": 100, "currency": "GBP"}
    (await player.post("/v1/slips", body)).problem(409, "starting_price_unavailable")
    leg["odds"] = 80_000
    (await player.post("/v1/slips", body)).problem(400, "invalid_request")
    market = await race(desk, starting_price=True)
    leg = {"market_id": market, "selection_id": "a", "sp": True}
    placed = await player.post("/v1/slips", body | {"legs": [leg]})
    no = await player.get(f"/v1/bets/{placed['bet_id']}/cash-out")
    no.problem(409, "cash_out_suspended")
    # What it can cost is in the book at 100/1.
    await until_exposed(desk, market, "a", 10_000)
    await desk.status(market, "open", in_play=True)
    (await player.post("/v1/slips", body | {"legs": [leg]})).problem(
        409, "starting_price_unavailable"
    )


async def until_exposed(desk: Desk, market: str, of: str, liability: int) -> None:
    async def there() -> bool:
        book = await desk.staff.get(f"/v1/staff/markets/{market}/exposure")
        return bool(not book["holds"] and book["selections"][of]["liability_minor"] == liability)

    await until(there, f"{of} carries {liability}")


async def test_the_ledgers_agree(desk: Desk, backend: Backend) -> None:
    """After everything above, and with every kind of term open and settled."""
    player = await desk.player()
    markets = await asyncio.gather(
        race(desk, **EACH_WAY, rule_4={}, starting_price=True),
        race(desk, **EACH_WAY, reduction_factors=True),
        race(desk, ante_post=True),
    )
    legs = [(market, "a") for market in markets]
    placed = await player.post("/v1/slips", slip("patent", 700, *legs))
    both = await player.post("/v1/slips", slip("double", 200, *legs[:2], each_way=True))
    await single(player, markets[0], "a")
    await withdraw(desk, markets[0], "b")
    await withdraw(desk, markets[1], "c", reduction=1_000)
    await withdraw(desk, markets[2], "a")
    await finish_at(desk, markets[0])
    # 2 x 1.00 are lost with the ante-post leg; what is won so far is the single at 1 + 7 x 0.6.
    await pays(player, placed["bet_id"], "open", 520)
    assert (await player.get(f"/v1/bets/{both['bet_id']}"))["state"] == "open"
    for scope in ("gb", "book"):
        reads = backend.reads[scope]

        async def caught_up(reads: Any = reads) -> bool:
            return bool(await reads.heads() == await reads.positions())

        await until(caught_up, "the ledger has everything")
        report = await verify(backend.pools[scope], scope)
        assert report.ok, report


async def test_the_settlement_reads_in_the_ledger_what_the_journal_says(
    desk: Desk, backend: Backend
) -> None:
    """Settlement here goes by the journal; where there is a real one, by this."""
    market, player = (
        await race(desk, **EACH_WAY, rule_4={}, starting_price=True),
        await desk.player(),
    )
    bet_id = await single(player, market, "a")
    await withdraw(desk, market, "b")
    await finish_at(desk, market)
    await pays(player, bet_id, "won", 5_200)

    async def projected() -> bool:
        row = await backend.pools["book"].fetchrow(
            "select settled_version, result_version from market where market_id = $1", market
        )
        return bool(row and row[0] == row[1] == 2)

    await until(projected, "the ledger has the result")
    async with backend.pools["book"].acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "update market set settled_version = 0 where market_id = $1", market
        )
        reads = LedgerReads(cast(Any, Only(connection)))
        declared = {one.market_id: one for one in await reads.unsettled()}[market]
        await transaction.rollback()
    off, places = Off(((2, 4_000),)), [WON, WON, WON, LOST]
    assert (declared.version, set(declared.results)) == (2, set(PRICES))
    assert declared.results["b"] == Settling("b", VOID, 1, True, VOID)
    for of, result, place in zip("acde", [WON, LOST, LOST, LOST], places, strict=True):
        expected = Settling(of, result, 2, False, place, 70_000, off)
        assert declared.results[of] == expected


class Only:
    """A pool of one connection, so that reads see its transaction."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @contextlib.asynccontextmanager
    async def acquire(self, **_: Any) -> AsyncIterator[Any]:
        yield self.connection


async def finish_at(desk: Desk, market: str) -> None:
    """In the order of their names, at starting prices."""
    each = {of: {"position": at} for at, of in enumerate("acde", 1)}
    for one in each.values():
        one["starting_odds"] = 70_000
    await result(desk, market, **each)
