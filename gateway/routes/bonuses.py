"""Bonuses: what a player has, and giving and withdrawing them, which staff or a bonus engine do."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from actors.base import Command, Reason
from actors.bonus import BonusGiven, BonusWithdrawn, GiveBonus, WithdrawBonus
from actors.runtime.keys import fingerprint
from actors.slips.bonus import MAX_BOOST, Bonus, BonusKind
from actors.staff import Role
from actors.wallet import GetWallet, WalletView
from gateway import api, keys
from gateway.desk import api as desk_api
from gateway.desk.routes import desk_route
from gateway.http import Auth, Call, Route, T, granted
from gateway.risk_api import PlayerPath


class BonusPath(PlayerPath, frozen=True, forbid_unknown_fields=True):
    bonus_id: api.Id


class NewBonus(desk_api.Action, frozen=True, forbid_unknown_fields=True, kw_only=True):
    kind: BonusKind
    amount_minor: Annotated[
        api.Amount,
        Meta(description="The largest free stake, or the most that a boost adds to a payout"),
    ]
    currency: api.Currency
    expires_at: api.Moment
    boost: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_BOOST)] | UnsetType,
        Meta(description="Of a boost: added to the winnings, in ten-thousandths of them"),
    ] = UNSET


async def bonuses(call: Call) -> api.Bonuses:
    services = call.services
    question = GetWallet(call.player_id)
    answer = await services.router.ask(services.licence.code, call.player_id, question)
    wallet = granted(answer.reply, WalletView, services)
    return api.Bonuses([_bonus_json(bonus, wallet.currency) for bonus in wallet.bonuses])


async def give(call: Call) -> api.Bonus:
    path: PlayerPath = call.path
    body: NewBonus = call.body
    expires_at_ms = api.ms_of(body.expires_at)
    # Its id follows from the key: a repetition is the same bonus.
    bonus_id = keys.id_from(call.key)
    bonus = Bonus(bonus_id, body.kind, body.amount_minor, expires_at_ms, body.boost or 0)
    message = GiveBonus(path.player_id, body.currency, bonus)
    told = await _do(call, path.player_id, message, BonusGiven, body.reason)
    return _bonus_json(told.bonus, body.currency)


async def withdraw(call: Call) -> None:
    path: BonusPath = call.path
    body: desk_api.JustAction = call.body
    message = WithdrawBonus(path.player_id, path.bonus_id)
    await _do(call, path.player_id, message, BonusWithdrawn, body.reason)


async def _do(call: Call, player_id: str, message: Command, kind: type[T], reason: str) -> T:
    answer = await call.services.router.ask(
        call.services.licence.code,
        player_id,
        message,
        # Apart from the player's own, which are kept with the same wallet.
        key=keys.following(call.key, call.staff.by),
        fingerprint=fingerprint(type(message).__name__, (message, reason)),
        by=call.staff.by,
        why=reason,
    )
    return granted(answer.reply, kind, call.services)


def _bonus_json(bonus: Bonus, currency: str) -> api.Bonus:
    return api.Bonus(
        bonus.bonus_id,
        bonus.kind,
        bonus.amount_minor,
        currency,
        api.time_text(bonus.expires_at_ms),
        bonus.boost or UNSET,
    )


ROUTES = [
    Route(
        method="GET",
        path="/v1/bonuses",
        handle=bonuses,
        name="bonuses",
        summary="What the player can still use, each once, by a slip that names it",
        tag="Bets",
        reply=api.Bonuses,
        auth=Auth.PLAYER,
        codes=(Reason.UNKNOWN_PLAYER,),
    ),
    desk_route(
        "POST",
        "players/{player_id}/bonuses",
        give,
        "giveBonus",
        "Give a player a free stake or a boost, to be used once",
        role=Role.HEAD_TRADER,
        path_type=PlayerPath,
        body=NewBonus,
        reply=api.Bonus,
        status=201,
        codes=(
            Reason.UNKNOWN_PLAYER,
            Reason.CURRENCY_MISMATCH,
            Reason.OUT_OF_BOUNDS,
            Reason.ALREADY_EXISTS,
            Reason.TOO_MANY_BONUSES,
        ),
    ),
    desk_route(
        "POST",
        "players/{player_id}/bonuses/{bonus_id}/withdraw",
        withdraw,
        "withdrawBonus",
        "Withdraw a bonus that was not used",
        role=Role.HEAD_TRADER,
        status=204,
        path_type=BonusPath,
        body=desk_api.JustAction,
        codes=(Reason.UNKNOWN_BONUS,),
    ),
]
