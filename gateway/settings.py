"""What a gateway is told when it starts."""

from __future__ import annotations

import msgspec

from actors.risk.settings import RiskSettings

MIN_STAFF_TOKEN = 16
"""Characters. A shorter one could be guessed."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times end in their unit. `ValueError` says which setting is no good."""

    valkey_url: str
    """redis://:password@host:port/database"""
    staff_token: str
    """Whoever has it is staff."""
    host: str = "127.0.0.1"
    port: int = 8080
    """Shared with the other gateways of the machine (SO_REUSEPORT); 0 takes a free one."""
    own_port: int | None = None
    """A second port that no other gateway shares, where probes and metrics ask this one; 0 takes a
    free one, None has none."""
    proxies: int = 0
    """Trusted proxies in front: the client's address is that many from the right in
    X-Forwarded-For, which is believed only then."""

    session_idle_s: int = 30 * 60
    """A session ends when nothing was asked with it for so long,"""
    session_max_s: int = 12 * 60 * 60
    """and in any case when it is so old."""
    attempts_per_login: int = 10
    """Log-ins and registrations from one address for one e-mail address, in ten minutes."""
    attempts_per_address: int = 100
    """The same from one address, whoever it is for."""
    bets_per_minute: int = 3_000
    """Of one player through one gateway, at once or spread over the minute; 0 is without limit."""
    password_threads: int = 2
    """Passwords hashed at once, 19 MiB of memory each."""

    max_sockets: int = 10_000
    processor_timeout_s: float = 20.0
    """How long a payment waits for its processor before the player is told to ask again."""
    sweep_interval_s: float = 30.0
    """How often payments that got stuck are taken up again; 0 leaves that to somebody else."""
    max_ledger_lag_ms: int = 300_000
    """Above it the gateway says that it is not ready."""
    risk: RiskSettings = RiskSettings()
    """Limits of new markets, how long referrals wait, and the like."""

    def __post_init__(self) -> None:
        if len(self.staff_token) < MIN_STAFF_TOKEN:
            raise ValueError(f"staff_token: at least {MIN_STAFF_TOKEN} characters are needed")
        for name in ("session_idle_s", "session_max_s", "attempts_per_login", "max_sockets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is less than 1")
        if not 1 <= self.attempts_per_login <= self.attempts_per_address:
            raise ValueError("attempts_per_address: less than attempts_per_login")
        if self.bets_per_minute < 0:
            raise ValueError(f"bets_per_minute: {self.bets_per_minute} is less than 0")
        if self.password_threads < 1:
            raise ValueError(f"password_threads: {self.password_threads} is less than 1")
