"""Watches the stream of bets and prices for patterns, and keeps what it notices.

`actors.risk.alerts` says what a pattern is. Here bets and prices of all partitions are brought in
the order of their times, with what the ledger knows of the players, and alerts are raised under
ids that follow from what they are about: whoever reads the same stretch again, after a restart,
raises nothing twice.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import structlog

from actors.bet import BetPlaced
from actors.entries import AnyEvent
from actors.errors import NoAnswer
from actors.multiple import SlipPlaced
from actors.placement import Router
from actors.player import PlayerRegistered
from actors.risk.alerts import Alert, Placed, Priced, RaiseAlert, Rules, Watch, alert_id
from actors.trading import PricesChanged

log = structlog.get_logger()

T = TypeVar("T")

SETTLE_MS = 500
"""How long what was read waits for what happened before it in other partitions."""
MAX_WAITING = 200_000
"""Bets and prices that wait to be looked at; when there are more, the oldest are not."""
MAX_PLAYERS = 200_000
MAX_UNRAISED = 1_000


class Players(Protocol):
    """What is read of one licence's players."""

    async def registered(self, player_ids: Sequence[str]) -> Mapping[str, int]: ...

    async def habits(
        self, player_ids: Sequence[str], before_ms: int
    ) -> Mapping[str, tuple[int, int]]: ...


class Alarms:
    """One licence's."""

    def __init__(self, licence: str, rules: Rules, router: Router, players: Players) -> None:
        self.raised: Counter[str] = Counter()
        """By pattern, since the process began."""
        self._licence = licence
        self._rules = rules
        self._router = router
        self._players = players
        self._watch = Watch(rules)
        self._waiting: list[tuple[int, int, Placed | Priced]] = []
        self._numbers = itertools.count()
        self._registered: OrderedDict[str, int] = OrderedDict()
        self._learned: OrderedDict[str, None] = OrderedDict()
        """Players whose habit was read."""
        self._unraised: deque[Alert] = deque(maxlen=MAX_UNRAISED)

    def hear(self, event: AnyEvent) -> None:
        match event:
            case BetPlaced():
                self._bet(event, event.stake.minor)
            case SlipPlaced():
                self._bet(event, event.slip.stake_minor)
            case PricesChanged() if not event.moved:
                self._put(event.at_ms, Priced(event.at_ms, event.market_id, event.odds))
            case PlayerRegistered():
                _keep(self._registered, event.player_id, event.at_ms)
            case _:
                pass

    def _bet(self, event: BetPlaced | SlipPlaced, stake_minor: int) -> None:
        for leg in event.legs:
            self._put(
                event.at_ms,
                Placed(
                    event.at_ms,
                    event.bet_id,
                    event.player_id,
                    0,
                    leg.market_id,
                    leg.selection_id,
                    stake_minor,
                    leg.odds,
                ),
            )

    def _put(self, at_ms: int, what: Placed | Priced) -> None:
        heapq.heappush(self._waiting, (at_ms, next(self._numbers), what))
        if len(self._waiting) > MAX_WAITING:
            heapq.heappop(self._waiting)

    async def look(self, now_ms: int) -> None:
        """Look at what has waited long enough, and raise what there is to be raised.

        Raises what the ledger raises when it can't be read: nothing is lost, call again.
        """
        due: list[Placed | Priced] = []
        while self._waiting and self._waiting[0][0] <= now_ms - SETTLE_MS:
            due.append(heapq.heappop(self._waiting)[2])
        try:
            await self._meet([what for what in due if isinstance(what, Placed)])
        except BaseException:
            for what in due:
                self._put(what.at_ms, what)
            raise
        told: str | None = None
        for what in due:
            if isinstance(what, Priced):
                found = self._watch.priced(what)
            else:
                # A slip is one bet of its player, whatever its legs.
                again, told = what.bet_id == told, what.bet_id
                found = self._placed(what, again=again)
            self._unraised.extend(found)
        await self._raise()

    def _placed(self, bet: Placed, *, again: bool) -> list[Alert]:
        registered_at_ms = self._registered.get(bet.player_id, bet.at_ms)
        whole = Placed(
            bet.at_ms,
            bet.bet_id,
            bet.player_id,
            registered_at_ms,
            bet.market_id,
            bet.selection_id,
            bet.stake_minor,
            bet.odds,
        )
        return self._watch.placed(whole, habit=not again)

    async def _meet(self, bets: Sequence[Placed]) -> None:
        """Read of the players what is not known of them yet."""
        strangers = {bet.player_id for bet in bets} - self._registered.keys()
        if strangers:
            found = await self._players.registered(sorted(strangers))
            for player_id in strangers:
                if player_id in found:  # else it was registered a moment ago
                    _keep(self._registered, player_id, found[player_id])
        large = {
            bet.player_id
            for bet in bets
            if bet.stake_minor >= self._rules.habit_min_minor and bet.player_id not in self._learned
        }
        if large:
            before_ms = min(bet.at_ms for bet in bets if bet.player_id in large)
            habits = await self._players.habits(sorted(large), before_ms)
            for player_id in large:
                self._watch.know(player_id, *habits.get(player_id, (0, 0)))
                _keep(self._learned, player_id, None)

    async def _raise(self) -> None:
        while self._unraised:
            alert = self._unraised[0]
            name = alert_id(alert, self._rules)
            command = RaiseAlert(name, alert.pattern, alert.subject, alert.at_ms, alert.facts)
            try:
                await self._router.ask(self._licence, name, command, by="risk")
            except NoAnswer as missing:
                log.info("alert_waits", pattern=alert.pattern, why=missing.why)
                return
            self._unraised.popleft()
            self.raised[alert.pattern] += 1


def _keep(memory: OrderedDict[str, T], name: str, value: T) -> None:
    memory[name] = value
    if len(memory) > MAX_PLAYERS:
        memory.popitem(last=False)
