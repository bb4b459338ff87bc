"""Devices that somebody has logged in from before: what their next log-in is counted by.

Whoever comes in with the right password is given a token in a cookie. It names the account and a
number of its own, and is signed, so nothing of it has to be kept. With it the next log-ins are
counted for that device alone, and what others do with the account's name does not concern it
(OWASP's "device cookies"). It lets nobody in: the password is asked for all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from actors.runtime.clock import Clock

COOKIE = "grandstand-device"
LIVES_MS = 180 * 24 * 3_600_000
"""After so long without a log-in a device is a stranger again."""
MAX_LENGTH = 256


class Devices:
    def __init__(self, secret: str, clock: Clock) -> None:
        """`secret` is one that all gateways have; what is signed with it is of no other use."""
        self._key = hmac.digest(secret.encode(), b"devices", "sha256")
        self._clock = clock

    def new(self, who: str, number: str = "") -> str:
        """A token for the device that `who` has just logged in from. A device that is known keeps
        its `number`: with a new one at each log-in it would never run out of attempts."""
        number, now_ms = number or secrets.token_hex(16), self._clock.now_ms()
        return f"{number}.{now_ms}.{self._signature(who, number, now_ms)}"

    def number(self, token: str, who: str) -> str:
        """Which device it is; empty if it is none that `who` has logged in from."""
        parts = token.split(".") if len(token) <= MAX_LENGTH else []
        if len(parts) != 3 or not (parts[1].isascii() and parts[1].isdigit()):
            return ""
        number, since_ms, signature = parts[0], int(parts[1]), parts[2]
        right = self._signature(who, number, since_ms)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogateescape")):
            return ""
        return number if self._clock.now_ms() < since_ms + LIVES_MS else ""

    def _signature(self, who: str, number: str, since_ms: int) -> str:
        # A cookie may have any bytes in it.
        said = f"{who}\0{number}\0{since_ms}".encode("utf-8", "surrogateescape")
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()
