"""Placement between a market and a wallet that say what they are told to say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.base import Command, Question, Reason, Refused
from actors.bet import BetPlaced, PlaceBet, PriceChange
from actors.errors import Faulty, KeyReused, Overloaded, Unavailable
from actors.holds import ConfirmHold, Held, HoldStake, LookAgain, ReleaseHold
from actors.placement import BetRequest, LiabilityNotKnown, place
from actors.wallet import GetWallet, WalletView
from ledger.money import Money

REQUEST = BetRequest("f", "f:m", "home", Money(500, "GBP"), 20_000, PriceChange.BETTER)
HELD = Held(21_000, 7, 0, 99_000, "A v B", "Winner", "A", False)
IN_PLAY = msgspec.structs.replace(HELD, bet_delay_ms=2_000, in_play=True)


def wallet(cash_minor: int) -> WalletView:
    return WalletView("p", "GBP", cash_minor, 0, 0, 0, 1)


def placed(bet_id: str) -> BetPlaced:
    return BetPlaced(1_000, "p", bet_id, REQUEST.stake, (), 0, 500, 2)


class Answer(msgspec.Struct, frozen=True):
    reply: Any
    partition: str = "gb-03"
    block_seq: int = 41


class Script:
    """Answers by the kind of message; notes what was asked and told, and how long was waited."""

    def __init__(self, answers: dict[type, Any]) -> None:
        self.answers = answers
        self.asked: list[Any] = []
        self.told: list[Any] = []
        self.waited_s = 0.0

    async def ask(
        self, scope: str, routing_id: str, message: Command | Question, **_: Any
    ) -> Answer:
        assert (scope, routing_id) == (
            ("gb", "p") if isinstance(message, PlaceBet | GetWallet) else ("book", "f")
        )
        self.asked.append(message)
        answer = self.answers[type(message)]
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer)

    def tell(self, scope: str, routing_id: str, message: Question) -> None:
        assert (scope, routing_id) == ("book", "f")
        self.told.append(message)

    async def sleep(self, seconds: float) -> None:
        self.waited_s += seconds

    async def place(self, request: BetRequest = REQUEST) -> Any:
        return await place(
            self,
            self,
            request,
            bet_id="b",
            licence="gb",
            player_id="p",
            key="k",
            fingerprint=b"f",
        )

    @property
    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.asked]


async def test_a_placed_bet_is_confirmed_with_its_block() -> None:
    script = Script({HoldStake: HELD, PlaceBet: placed("b")})
    assert (await script.place()).bet_id == "b"
    [confirm] = script.told
    assert isinstance(confirm, ConfirmHold)
    bet = confirm.bet
    assert (bet.partition, bet.block_seq, bet.stake_minor, bet.odds) == ("gb-03", 41, 500, 21_000)


async def test_the_leg_has_the_price_and_the_names_of_the_market() -> None:
    script = Script({HoldStake: HELD, PlaceBet: placed("b")})
    await script.place()
    [leg] = script.asked[-1].legs
    assert (leg.odds, leg.odds_version, leg.fixture_name) == (21_000, 7, "A v B")
    assert (leg.market_name, leg.selection_name, leg.in_play) == ("Winner", "A", False)
    assert script.asked[-1].hold_expires_at_ms == 99_000


@pytest.mark.parametrize(
    "answer", [Refused(Reason.INSUFFICIENT_FUNDS), placed("of an earlier attempt")]
)
async def test_a_hold_whose_bet_was_not_placed_is_released(answer: Any) -> None:
    script = Script({HoldStake: HELD, PlaceBet: answer})
    assert await script.place() == answer
    assert script.told == [ReleaseHold("f:m", "b")]


async def test_the_wallet_keeps_the_refusal_of_the_market() -> None:
    refused = Refused(Reason.MARKET_SUSPENDED)
    script = Script({HoldStake: refused, PlaceBet: refused})
    assert await script.place() == refused
    assert script.asked[-1].refused == refused
    assert script.told == []


async def test_a_market_that_does_not_know_its_liability_leaves_no_answer() -> None:
    script = Script({HoldStake: Refused(Reason.LIABILITY_UNKNOWN)})
    with pytest.raises(LiabilityNotKnown):
        await script.place()
    assert script.kinds == ["HoldStake"]


async def test_in_play_the_delay_passes_and_the_price_is_looked_at_again() -> None:
    script = Script(
        {HoldStake: IN_PLAY, GetWallet: wallet(500), LookAgain: IN_PLAY, PlaceBet: placed("b")}
    )
    await script.place()
    assert script.waited_s == 2
    assert script.kinds == ["HoldStake", "GetWallet", "LookAgain", "PlaceBet"]


async def test_who_cannot_pay_does_not_hold_room_for_the_delay() -> None:
    refused = Refused(Reason.INSUFFICIENT_FUNDS, facts={"cash_minor": 499})
    script = Script({HoldStake: IN_PLAY, GetWallet: wallet(499), PlaceBet: refused})
    assert await script.place() == refused
    assert script.waited_s == 0
    assert script.told == [ReleaseHold("f:m", "b")]
    assert script.asked[-1].refused == refused


@pytest.mark.parametrize("nothing_done", [KeyReused("k"), Overloaded("full"), Faulty("a bug")])
async def test_the_room_is_given_back_when_nothing_was_done(nothing_done: Exception) -> None:
    script = Script({HoldStake: HELD, PlaceBet: nothing_done})
    with pytest.raises(type(nothing_done)):
        await script.place()
    assert script.told == [ReleaseHold("f:m", "b")]


async def test_the_hold_stays_when_it_is_not_known_what_was_done() -> None:
    script = Script({HoldStake: HELD, PlaceBet: Unavailable("no answer")})
    with pytest.raises(Unavailable):
        await script.place()
    assert script.told == []


# What was promised is one bet, however often its request is sent: each has the same hold


OFFERED = msgspec.structs.replace(REQUEST, offer_id="o")
SUSPENDED = Refused(Reason.MARKET_SUSPENDED)


@pytest.mark.parametrize(
    "answers",
    [
        {HoldStake: IN_PLAY, GetWallet: wallet(499), PlaceBet: placed("b")},
        {
            HoldStake: IN_PLAY,
            GetWallet: wallet(500),
            LookAgain: SUSPENDED,
            PlaceBet: placed("b"),
        },
        {HoldStake: SUSPENDED, PlaceBet: placed("b")},
    ],
)
async def test_a_second_sending_leaves_the_hold_of_the_first_to_its_confirmation(
    answers: dict[type, Any],
) -> None:
    script = Script(answers)
    assert await script.place(OFFERED) == placed("b")
    assert script.told == []


async def test_what_another_sending_may_have_done_is_not_given_back() -> None:
    script = Script({HoldStake: HELD, PlaceBet: Overloaded("full")})
    with pytest.raises(Overloaded):
        await script.place(OFFERED)
    assert script.told == []


async def test_the_wallets_no_gives_back_what_was_promised() -> None:
    script = Script({HoldStake: SUSPENDED, PlaceBet: SUSPENDED})
    assert await script.place(OFFERED) == SUSPENDED
    assert script.told == [ReleaseHold("f:m", "b")]
