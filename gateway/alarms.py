"""Watches the stream of bets and prices for patterns, and keeps what it notices.

`actors.risk.alerts` says what a pattern is. Here bets and prices of all partitions are brought in
the order of their times, with what the ledger knows of the players, and alerts are raised under
ids that follow from what they are about: whoever reads the same stretch again, after a restart,
raises nothing twice.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Protocol

import structlog

from actors.bet import BetPlaced
from actors.entries import AnyEvent
from actors.errors import NoAnswer
from actors.multiple import SlipPlaced
from actors.placement import Router
from actors.player import PlayerRegistered
from actors.risk.alerts import Alert, Placed, Priced, RaiseAlert, Rules, Watch, alert_id
from actors.risk.memory import Memory
from actors.trading import PricesChanged, PricesHeld

log = structlog.get_logger()

SETTLE_MS = 500
"""How long what was read waits for what happened before it in other partitions."""
MAX_WAITING = 200_000
"""Bets and prices that wait to be looked at; when there are more, the oldest are not."""
MAX_PLAYERS = 200_000
MAX_UNRAISED = 1_000
MAX_RAISED = 20_000
"""Alerts that are remembered, so that what goes on is not said again and again."""
_at_ms = attrgetter("at_ms")
_Heard = BetPlaced | SlipPlaced | PricesChanged | PricesHeld
_PRICES = (PricesChanged, PricesHeld)


class Players(Protocol):
    """What is read of one licence's players."""

    async def registered(self, player_ids: Sequence[str]) -> Mapping[str, int]: ...

    async def habits(
        self, player_ids: Sequence[str], before_ms: int
    ) -> Mapping[str, tuple[int, int]]: ...


class Alarms:
    """One licence's. What it leaves out is counted in `done`."""

    def __init__(
        self, licence: str, rules: Rules, router: Router, players: Players, done: Counter[str]
    ) -> None:
        self.raised: Counter[str] = Counter()
        """By pattern, since the process began."""
        self._done = done
        self._licence = licence
        self._rules = rules
        self._router = router
        self._players = players
        self._watch = Watch(rules)
        self._waiting: list[_Heard] = []
        """As they were heard; put in order when they are looked at."""
        self._registered: Memory[str, int] = Memory(MAX_PLAYERS)
        """When, in milliseconds since the epoch."""
        self._unraised: deque[tuple[str, Alert]] = deque(maxlen=MAX_UNRAISED)
        self._known: Memory[str, bool] = Memory(MAX_RAISED)
        """Alerts by their ids that need not be raised again."""
        self._minute = 0
        self._in_minute: Counter[str] = Counter()
        """How many of each pattern there were in that minute, counted from the epoch."""
        self._raising: asyncio.Task[None] | None = None

    def hear(self, event: AnyEvent) -> None:
        match event:
            case BetPlaced() | SlipPlaced():
                self._waiting.append(event)
            case PricesChanged(moved=False) | PricesHeld():
                self._waiting.append(event)
            case PlayerRegistered():
                self._registered.keep(event.player_id, event.at_ms)
            case _:
                pass

    async def look(self, now_ms: int) -> None:
        """Look at what has waited long enough, and raise what there is to be raised.

        Raises what the ledger raises when it can't be read: nothing is lost, call again.
        """
        self._waiting.sort(key=_at_ms)
        del self._waiting[:-MAX_WAITING]
        until = bisect.bisect_right(self._waiting, now_ms - SETTLE_MS, key=_at_ms)
        due = self._waiting[:until]
        await self._meet(due)
        # Whoever came while we waited stands behind them.
        del self._waiting[:until]
        for what in due:
            if isinstance(what, _PRICES):
                changed = Priced(what.at_ms, what.market_id, what.odds)
                self._note(self._watch.priced(changed))
            else:
                self._placed(what)
        if self._unraised and self._raising is None:
            # Beside: while the shards of some players are away, markets are looked at all the same.
            self._raising = asyncio.ensure_future(self._raise())

    def stop(self) -> None:
        """Raise nothing more; whoever comes after notices it again."""
        if self._raising is not None:
            self._raising.cancel()

    def _placed(self, bet: BetPlaced | SlipPlaced) -> None:
        registered_at_ms = self._registered.get(bet.player_id) or bet.at_ms
        stake_minor = _stake_minor(bet)
        # A slip is one bet of its player, whatever its legs.
        habit = True
        for leg in bet.legs:
            placed = Placed(
                bet.at_ms,
                bet.bet_id,
                bet.player_id,
                registered_at_ms,
                leg.market_id,
                leg.selection_id,
                stake_minor,
                leg.odds,
            )
            found = self._watch.placed(placed, habit=habit)
            if found:
                self._note(found)
            habit = False

    def _note(self, found: Sequence[Alert]) -> None:
        for alert in found:
            name = alert_id(alert, self._rules)
            if name not in self._known:
                self._known.keep(name, True)
                if self._has_room(alert):
                    self._unraised.append((name, alert))

    def _has_room(self, alert: Alert) -> bool:
        """Whether somebody could still read it, beside the others of the same minute."""
        minute = alert.at_ms // 60_000
        if minute != self._minute:
            self._minute = minute
            self._in_minute.clear()
        self._in_minute[alert.pattern] += 1
        too_many = self._in_minute[alert.pattern] - self._rules.max_a_minute
        if too_many > 0:
            self._done["alerts_left_out"] += 1
            if too_many == 1:
                log.warning("too_many_alerts", pattern=alert.pattern, licence=self._licence)
        return too_many <= 0

    async def _meet(self, due: Sequence[_Heard]) -> None:
        """Read of the players what is not known of them yet, and has to be."""
        strangers: set[str] = set()
        large: dict[str, int] = {}
        registered, least_minor = self._registered, self._rules.habit_min_minor
        for bet in due:
            if isinstance(bet, _PRICES):
                continue
            player_id = bet.player_id
            if registered.get(player_id) is None:
                strangers.add(player_id)
            if _stake_minor(bet) >= least_minor:
                large.setdefault(player_id, bet.at_ms)
        if strangers:
            found = await self._players.registered(sorted(strangers))
            for player_id, registered_at_ms in found.items():
                # Who is missing was registered a moment ago.
                self._registered.keep(player_id, registered_at_ms)
        unknown = [player_id for player_id in large if not self._watch.knows(player_id)]
        if unknown:
            before_ms = min(large[player_id] for player_id in unknown)
            habits = await self._players.habits(sorted(unknown), before_ms)
            for player_id in unknown:
                self._watch.know(player_id, *habits.get(player_id, (0, 0)))

    async def _raise(self) -> None:
        try:
            while self._unraised:
                name, alert = self._unraised[0]
                command = RaiseAlert(name, alert.pattern, alert.subject, alert.at_ms, alert.facts)
                await self._router.ask(self._licence, name, command, by="risk")
                if self._unraised[0][0] == name:  # else there were too many meanwhile
                    self._unraised.popleft()
                self.raised[alert.pattern] += 1
        except NoAnswer as missing:
            log.info("alert_waits", why=missing.why)
        except Exception:
            log.exception("alert_not_raised")
        finally:
            self._raising = None


def _stake_minor(bet: BetPlaced | SlipPlaced) -> int:
    return bet.stake.minor if isinstance(bet, BetPlaced) else bet.slip.stake_minor
