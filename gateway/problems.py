"""Every problem that the API can answer with, by its code (RFC 9457, application/problem+json).

A refusal of an actor and the gateway's own complaints look the same to a client: a stable `code`,
the status and title of this table, a sentence, and whatever facts help with the next attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.base import Reason, Refused

CONTENT_TYPE = "application/problem+json"


class Kind(msgspec.Struct, frozen=True):
    """What all problems with one code have in common."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    # the request itself
    "invalid_request": Kind(400, "The request is not as documented"),
    "malformed_json": Kind(400, "The body is not JSON"),
    "invalid_cursor": Kind(400, "The cursor is not one of this list"),
    "idempotency_key_missing": Kind(400, "A change needs an Idempotency-Key header"),
    "idempotency_key_invalid": Kind(400, "The Idempotency-Key is not 1 to 128 visible characters"),
    "unknown_processor": Kind(400, "There is no such payment processor"),
    "unknown_method": Kind(400, "The payment processor has no such method"),
    "unauthenticated": Kind(401, "Log in first"),
    "forbidden": Kind(403, "The role does not allow that"),
    "not_found": Kind(404, "There is nothing here"),
    "method_not_allowed": Kind(405, "The method is not one of this resource"),
    "request_timeout": Kind(408, "The body did not arrive in time"),
    "body_too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The body has to be application/json"),
    "idempotency_key_reused": Kind(422, "The key was used for another request"),
    "upgrade_required": Kind(426, "This is a WebSocket"),
    "rate_limited": Kind(429, "Too many attempts"),
    # the server
    "overloaded": Kind(429, "Too much is waiting; nothing was done"),
    "internal_error": Kind(500, "The server failed"),
    "unavailable": Kind(503, "No answer; repeat it with the same key"),
    "payment_pending": Kind(503, "The processor has not answered; repeat it with the same key"),
    "too_many_sockets": Kind(503, "No room for another connection"),
    # risk
    "referred": Kind(409, "A trader was asked; nothing is held meanwhile"),
    "too_many_referrals": Kind(409, "Too many of the player's bets wait for a trader"),
    # the stream
    "already_logged_in": Kind(409, "This connection has a player already"),
    "too_many_subscriptions": Kind(409, "This connection follows too many fixtures"),
    # the desk
    "unknown_source": Kind(404, "There is no such source of prices"),
    "too_many_stops": Kind(409, "Too many stops stand: lift one first"),
    "preview_outdated": Kind(409, "The market has changed since the preview: look again"),
    # what actors refuse
    Reason.OUT_OF_BOUNDS: Kind(409, "A figure is out of its bounds"),
    Reason.EMAIL_TAKEN: Kind(409, "The e-mail address has an account"),
    Reason.UNDER_AGE: Kind(403, "Too young"),
    Reason.ALREADY_REGISTERED: Kind(409, "The player is registered"),
    Reason.BAD_CREDENTIALS: Kind(401, "E-mail address or password is wrong"),
    Reason.UNKNOWN_PLAYER: Kind(404, "There is no such player"),
    Reason.CURRENCY_MISMATCH: Kind(409, "The currency is another one here"),
    Reason.INSUFFICIENT_FUNDS: Kind(409, "The cash does not cover it"),
    Reason.BALANCE_LIMIT: Kind(409, "The balance would be too large"),
    Reason.DEBT_OUTSTANDING: Kind(409, "A debt has to be paid first"),
    Reason.PAYMENT_NOT_PENDING: Kind(409, "The payment is not under way"),
    Reason.PAYMENT_DECLINED: Kind(409, "The payment was declined"),
    Reason.TOO_MANY_PAYMENTS: Kind(409, "Too many payments are under way"),
    Reason.UNKNOWN_BONUS: Kind(404, "There is no such bonus, or it was used"),
    Reason.BONUS_EXPIRED: Kind(409, "The bonus has expired"),
    Reason.TOO_MANY_BONUSES: Kind(409, "The player has too many bonuses"),
    Reason.UNKNOWN_FIXTURE: Kind(404, "There is no such fixture"),
    Reason.UNKNOWN_MARKET: Kind(404, "There is no such market"),
    Reason.UNKNOWN_SELECTION: Kind(404, "There is no such selection"),
    Reason.MARKET_CLOSED: Kind(409, "The market is closed"),
    Reason.MARKET_SUSPENDED: Kind(409, "The market is suspended"),
    Reason.SELECTION_UNAVAILABLE: Kind(409, "The selection has no price"),
    Reason.PRICE_CHANGED: Kind(409, "The price has changed"),
    Reason.STAKE_TOO_SMALL: Kind(409, "The stake is too small"),
    Reason.STAKE_ABOVE_LIMIT: Kind(409, "The stake is above the market's limit"),
    Reason.LIABILITY_UNKNOWN: Kind(503, "The market is not ready yet; nothing was done"),
    Reason.LIABILITY_LIMIT: Kind(409, "The market has no room for that stake"),
    Reason.HOLD_EXPIRED: Kind(409, "It took too long; the stake was not taken"),
    Reason.PRICE_STALE: Kind(409, "The price is too old to be given"),
    Reason.REOFFER_EXPIRED: Kind(409, "The offer is over, or was on other terms"),
    Reason.REFERRAL_NEEDED: Kind(409, "A trader has to be asked"),
    Reason.UNKNOWN_REFERRAL: Kind(404, "There is no such referral"),
    Reason.REFERRAL_OVER: Kind(409, "The referral is decided, or its time has run out"),
    Reason.TOO_MANY_LEGS: Kind(409, "The slip has too many legs"),
    Reason.WRONG_LEG_COUNT: Kind(409, "That kind of bet has another number of legs"),
    Reason.DUPLICATE_LEG: Kind(409, "A selection is on the slip twice"),
    Reason.CORRELATED_LEGS: Kind(409, "Legs that depend on each other can't be combined"),
    Reason.EACH_WAY_UNAVAILABLE: Kind(409, "A leg can't be had each-way"),
    Reason.STARTING_PRICE_UNAVAILABLE: Kind(409, "A leg can't be had at the starting price"),
    Reason.BOOST_UNAVAILABLE: Kind(409, "The boost does not fit the slip"),
    Reason.UNEVEN_STAKE: Kind(409, "The stake can't be shared evenly by the lines"),
    Reason.NOTHING_OPEN: Kind(409, "Nothing of the bet is open"),
    Reason.CASH_OUT_SUSPENDED: Kind(409, "A leg can't be priced now"),
    Reason.CASH_OUT_TOO_SMALL: Kind(409, "There is nothing to pay for it"),
    Reason.OFFER_EXPIRED: Kind(409, "The offer has expired"),
    Reason.OFFER_OUTDATED: Kind(409, "The bet has changed since it was offered"),
    Reason.UNKNOWN_BET: Kind(404, "There is no such bet"),
    Reason.NOT_A_LEG: Kind(409, "The bet has no such leg"),
    Reason.SUPERSEDED: Kind(409, "A later version is known"),
    Reason.ALREADY_EXISTS: Kind(409, "It exists already"),
    Reason.WRONG_STATUS: Kind(409, "Its status does not allow that"),
    Reason.STALE_SEQUENCE: Kind(409, "A later sequence is known"),
    Reason.VERSION_CONFLICT: Kind(409, "It has changed since that version"),
    Reason.INCOMPLETE_RESULT: Kind(409, "Every selection needs a result"),
    Reason.UNKNOWN_MEMBER: Kind(404, "There is no such member of the staff"),
    Reason.MEMBER_DISABLED: Kind(403, "The member of the staff is disabled"),
    Reason.UNKNOWN_STOP: Kind(404, "There is no such stop"),
}

_RESERVED = frozenset({"type", "title", "status", "code", "detail", "request_id"})


class Problem(Exception):
    """Ends a request with an answer that is not a yes."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        facts: Mapping[str, int | str | list[int]] | None = None,
        headers: dict[str, str] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.kind = KINDS[code]
        self.detail = detail or f"{self.kind.title}."
        self.facts = dict(facts or {})
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, retry_after_s))

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """The members of the JSON document. A fact whose name is taken is `current_<name>`."""
        document: dict[str, Any] = {
            "type": f"/docs#{self.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "code": str(self.code),
            "detail": self.detail,
        }
        if request_id is not None:
            document["request_id"] = request_id
        for name, fact in self.facts.items():
            document[f"current_{name}" if name in _RESERVED else name] = fact
        return document


def refused(refusal: Refused) -> Problem:
    """What a client is told of an actor's refusal."""
    retry_after_s = 1 if refusal.reason is Reason.LIABILITY_UNKNOWN else None
    detail = f"{refusal.message[:1].upper()}{refusal.message[1:]}." if refusal.message else ""
    return Problem(refusal.reason, detail, facts=refusal.facts, retry_after_s=retry_after_s)
