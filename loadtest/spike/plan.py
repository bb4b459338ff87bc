"""The programme of the evening: which phase is when, and how much of everything there is.

Everything here is a function of the seconds since the evening began, so that the director, Locust,
the crowd and the report agree without speaking to each other.
"""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

MAX_MINUTES = 60
MAX_USERS = 20_000
MAX_SOCKETS = 5_000
MAX_OPEN_BETS = 5_000_000
MAX_PLAYERS = 100_000


class PhaseName(enum.StrEnum):
    QUIET = "quiet"
    RISE = "rise"
    IN_PLAY = "in_play"
    PAYOUTS = "payouts"
    WITHDRAWALS = "withdrawals"
    CALM = "calm"


TITLES = {
    PhaseName.QUIET: "Quiet evening",
    PhaseName.RISE: "Kick-off: the rise",
    PhaseName.IN_PLAY: "In play",
    PhaseName.PAYOUTS: "Final whistle: payouts",
    PhaseName.WITHDRAWALS: "Withdrawals",
    PhaseName.CALM: "Calm",
}


class Phase(msgspec.Struct, frozen=True):
    """A stretch of the evening, in seconds since it began."""

    name: PhaseName
    from_s: float
    to_s: float

    @property
    def title(self) -> str:
        return TITLES[self.name]


class Window(msgspec.Struct, frozen=True):
    """A stretch of steady load in which the large market is in use, or left alone."""

    from_s: float
    to_s: float
    large: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is played. Times end in `_s` (seconds); a rate is in bets a second."""

    quiet_s: float = 30.0
    rise_s: float = 60.0
    in_play_s: float = 80.0
    payouts_s: float = 45.0
    withdrawals_s: float = 45.0
    calm_s: float = 25.0

    quiet_rate: float = 20.0
    rise_factor: float = 50.0
    after_share: float = 0.3
    """Of the peak: how much is bet on after the final whistle."""
    hot_share: float = 0.5
    """Of all bets: those that go to the one market of the night, until its whistle."""
    large_share: float = 0.05
    """Of all bets: those on the market with very many selections, while it is in use."""
    websocket_share: float = 0.65
    """Of all bets: those placed over WebSocket."""
    slip: int = 4
    """Bets that a WebSocket player sends at once."""
    pause_s: float = 2.0
    """How often a WebSocket player sends a slip; over HTTP one bet goes in half of it."""

    players: int = 2_000
    open_bets: int = 100_000
    """Placed on the hot market before the evening begins, to be settled at its whistle."""
    early_sockets: int = 64
    fixtures: int = 50
    selections: int = 20
    """Of each fixture's one market: 50 fixtures times 20 are a thousand prices."""
    sockets: int = 1_000
    """Each follows one fixture, so 20 selections."""
    changes_a_second: float = 3.0
    """Of every price, while the match is on."""
    large_selections: int = 20_000
    windows: int = 4
    """Of steady load, without and with the large market in turn."""
    settle_in_s: float = 6.0
    """At the end of the rise: what is left out before the first window."""
    processes: int = 1
    """Of Locust."""

    def __post_init__(self) -> None:
        """`ValueError` says what can't be played."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is negative")
        if self.end_s > MAX_MINUTES * 60:
            raise ValueError(f"an evening takes at most {MAX_MINUTES} minutes")
        if not self.quiet_rate or not self.rise_factor or not self.pause_s or not self.slip:
            raise ValueError("quiet_rate, rise_factor, pause_s and slip are above 0")
        for name in ("hot_share", "large_share", "websocket_share", "after_share"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is a share, at most 1")
        if self.players_at_peak > MAX_USERS:
            raise ValueError(f"at most {MAX_USERS} players at once; {self.players_at_peak} asked")
        bounds = {
            "sockets": MAX_SOCKETS,
            "open_bets": MAX_OPEN_BETS,
            "players": MAX_PLAYERS,
            "fixtures": 500,
            "selections": 1_000,
            "large_selections": 20_000,
            "early_sockets": 1_000,
            "processes": 16,
        }
        for name, most in bounds.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: from 1 to {most}")
        if self.fixtures < 2 or self.selections < 2:
            raise ValueError("at least 2 fixtures of 2 selections: one is the match of the night")

    # The times

    @property
    def phases(self) -> list[Phase]:
        phases, at_s = [], 0.0
        for name in PhaseName:
            length_s = getattr(self, f"{name.value}_s")
            phases.append(Phase(name, at_s, at_s + length_s))
            at_s += length_s
        return phases

    @property
    def end_s(self) -> float:
        return self.phases[-1].to_s

    @property
    def kick_off_s(self) -> float:
        """When prices begin to move, and the rise."""
        return self.phase(PhaseName.RISE).from_s

    @property
    def large_opens_s(self) -> float:
        """When the large market is opened: a third into the rise."""
        return self.kick_off_s + self.rise_s / 3

    @property
    def whistle_s(self) -> float:
        return self.phase(PhaseName.PAYOUTS).from_s

    def phase(self, name: PhaseName) -> Phase:
        return next(phase for phase in self.phases if phase.name is name)

    def phase_at(self, at_s: float) -> PhaseName:
        for phase in self.phases:
            if at_s < phase.to_s:
                return phase.name
        return PhaseName.CALM

    def large_windows(self) -> list[Window]:
        """Steady load, cut into equal stretches: without the large market, with it, and again.

        In turn, so that what drifts meanwhile (a fuller ledger, a warmer cache) is in both.
        """
        in_play = self.phase(PhaseName.IN_PLAY)
        start_s = min(in_play.from_s + self.settle_in_s, in_play.to_s)
        length_s = (in_play.to_s - start_s) / max(1, self.windows)
        return [
            Window(start_s + number * length_s, start_s + (number + 1) * length_s, number % 2 == 1)
            for number in range(self.windows)
        ]

    def large_in_use(self, at_s: float) -> bool:
        """Whether the large market is priced and bet on now: in the rise once it is open, and in
        every second window."""
        if self.large_opens_s <= at_s < self.phase(PhaseName.RISE).to_s:
            return True
        return any(one.large and one.from_s <= at_s < one.to_s for one in self.large_windows())

    # The amounts

    @property
    def peak_rate(self) -> float:
        return self.quiet_rate * self.rise_factor

    def rate_at(self, at_s: float) -> float:
        """Bets a second that are wanted: the curve of the evening."""
        match self.phase_at(at_s):
            case PhaseName.QUIET | PhaseName.CALM:
                return self.quiet_rate
            case PhaseName.RISE:
                share = (at_s - self.kick_off_s) / self.rise_s
                return self.quiet_rate + (self.peak_rate - self.quiet_rate) * share
            case PhaseName.IN_PLAY:
                return self.peak_rate
            case PhaseName.PAYOUTS | PhaseName.WITHDRAWALS:
                return max(self.quiet_rate, self.peak_rate * self.after_share)

    def users_for(self, rate: float) -> tuple[int, int]:
        """Players over HTTP and over WebSocket that together make the rate."""
        over_http = rate * (1 - self.websocket_share) * self.pause_s / 2
        over_websocket = rate * self.websocket_share * self.pause_s / self.slip
        return (
            max(1, round(over_http)) if self.websocket_share < 1 else 0,
            max(1, round(over_websocket)) if self.websocket_share else 0,
        )

    def players_over(self, way: str) -> int:
        """Players over `http` or `websocket` at the peak."""
        return self.users_for(self.peak_rate)[("http", "websocket").index(way)]

    @property
    def players_at_peak(self) -> int:
        return sum(self.users_for(self.peak_rate))

    def scaled(self, factor: float) -> Plan:
        """The same evening, with `factor` times as much of everything but time."""
        return msgspec.structs.replace(
            self,
            quiet_rate=self.quiet_rate * factor,
            open_bets=max(1, round(self.open_bets * factor)),
            sockets=max(1, round(self.sockets * factor)),
            players=max(1, round(self.players * factor)),
        )


def quick() -> Plan:
    """A small evening of about a minute, for tests."""
    return Plan(
        quiet_s=4.0,
        rise_s=8.0,
        in_play_s=14.0,
        payouts_s=6.0,
        withdrawals_s=4.0,
        calm_s=3.0,
        settle_in_s=2.0,
        quiet_rate=4.0,
        players=200,
        open_bets=2_000,
        early_sockets=16,
        fixtures=10,
        sockets=100,
        changes_a_second=2.0,
        large_selections=5_000,
    )


def write(plan: Plan, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))


def read(path: Path) -> Plan:
    return msgspec.json.decode(path.read_bytes(), type=Plan)
