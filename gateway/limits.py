"""How often somebody may try to log in or to register, and how fast a player may bet.

Attempts are counted by where they come from, and right and wrong ones alike, before any password
is looked at; so nothing tells whether there is such an account.

    for one account from one address    a few; who has forgotten the password asks in vain
    from one address, for any account   more; many may be behind one
    for one account, from strangers     more; passwords are guessed at from many addresses

The last one is a stranger's only: an address from which somebody has come in stays known for a
while, and so does a device, by its cookie (`gateway.devices`), which has attempts of its own
whatever others do at its address. So whoever knows an e-mail address can keep its owner from a new
device, for as long as the guessing goes on, and from no other.

The generic cell rate algorithm: one time for each key says when its bucket is empty again, and an
attempt that would move it beyond the burst is refused with the time to wait. It runs in Valkey, on
Valkey's clock, so all gateways count together.

When Valkey can't be reached the door stays shut (503): guessing passwords must not become free by
overloading a cache, and without Valkey there would be no session to give out anyway.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from typing import Any, cast

import msgspec
import redis.asyncio

from gateway.problems import Problem

MAX_PACED = 100_000
"""Players that are remembered, those of the last minute aside."""
WINDOW_MS = 10 * 60 * 1000
"""The time in which the allowed number of attempts comes back."""
STRANGERS = 3
"""Times what one address may try for an account, that all strangers together may."""
KNOWN_MS = 30 * 24 * 3_600_000
"""How long an address is known from which somebody has come in."""

# KEYS: buckets. ARGV: for each the milliseconds that an attempt costs, and how many fit at once.
# Answers the milliseconds to wait, 0 for go ahead; nothing is counted unless every bucket agrees.
_GCRA = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends, wait = {}, 0
for i, key in ipairs(KEYS) do
  local cost, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  ends[i] = math.max(tonumber(redis.call('GET', key) or now), now) + cost
  wait = math.max(wait, ends[i] - burst * cost - now)
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', ends[i]), 'PX', string.format('%.0f', ends[i] - now))
end
return 0
"""


class Limit(msgspec.Struct, frozen=True):
    """`attempts` at once, and again over ten minutes."""

    key: str
    attempts: int


class Limits:
    """Counts attempts at the door."""

    def __init__(self, valkey: redis.asyncio.Redis, per_login: int, per_address: int) -> None:
        self._valkey = valkey
        self._script = valkey.register_script(_GCRA)
        self._per_login = per_login
        self._per_address = per_address

    async def attempt(self, what: str, address: str, who: str, device: str = "") -> None:
        """Count one attempt at an account, or raise the problem `rate_limited`.

        `device` is the number of one that has come in before, if it is one.
        """
        network = network_of(address)
        if device:
            # Of the address only the devices are counted, so that no stranger is in their way.
            await self.check(
                Limit(f"limit/{what}/device/{_hash(who, device)}", self._per_login),
                Limit(f"limit/{what}/devices/{_hash(network)}", self._per_address),
            )
            return
        limits = [
            # Registering looks at a password too.
            Limit(f"limit/account/{_hash(network, who)}", self._per_login),
            Limit(f"limit/{what}/{_hash(network)}", self._per_address),
        ]
        if not await self._valkey.exists(_known(address, who)):
            everybody = STRANGERS * self._per_login
            limits.append(Limit(f"limit/strangers/{_hash(who)}", everybody))
        await self.check(*limits)

    async def came_in(self, address: str, who: str) -> None:
        """Somebody has given the right password: the address is no stranger's."""
        await self._valkey.set(_known(address, who), b"", px=KNOWN_MS)

    async def check(self, *limits: Limit) -> None:
        arguments: list[Any] = []
        for limit in limits:
            arguments += [WINDOW_MS // limit.attempts, limit.attempts]
        answer = await self._script(keys=[limit.key for limit in limits], args=arguments)
        wait_ms = cast(int, answer)
        if wait_ms > 0:
            retry_after_s = -(-wait_ms // 1000)
            raise Problem(
                "rate_limited",
                f"Try again in {retry_after_s} seconds.",
                retry_after_s=retry_after_s,
            )


class Pace:
    """How fast each player may bet, by the same algorithm, counted in this gateway alone: asking
    anybody else would cost more than the bet."""

    def __init__(self, per_minute: int) -> None:
        """0: as fast as they like."""
        self._per_minute = per_minute
        self._cost_ms = 60_000 / per_minute if per_minute else 0.0
        self._ends: dict[str, float] = {}

    def check(self, player_id: str, now_ms: int) -> None:
        """Count one bet, or raise the problem `rate_limited`."""
        if not self._per_minute:
            return
        end = max(self._ends.get(player_id, 0.0), now_ms) + self._cost_ms
        wait_ms = end - now_ms - 60_000
        if wait_ms > 0:
            raise Problem(
                "rate_limited",
                f"At most {self._per_minute} bets a minute.",
                retry_after_s=math.ceil(wait_ms / 1000),
            )
        if len(self._ends) >= MAX_PACED:
            self._ends = {player: end for player, end in self._ends.items() if end > now_ms}
        self._ends[player_id] = end


def network_of(address: str) -> str:
    """What an address counts as: of IPv6 its /64, the least that anybody is given, in which there
    are addresses without end. A port is left off, which some proxies say too. What is no address
    is taken as it is."""
    bare = address.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        ip = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return bare
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))


def _known(address: str, who: str) -> str:
    return f"known/{_hash(network_of(address), who)}"


def _hash(*parts: str) -> str:
    """No address of anybody lies in Valkey."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
