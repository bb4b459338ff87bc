"""Patterns in what is bet that somebody should look at.

    watch = Watch()
    watch.know(player, ...)   for every player who stakes as much as a habit is asked about
    watch.placed(bet)         for every placed bet, in the order of their times  -> alerts
    watch.priced(change)      for every change of prices                         -> alerts

Nothing is decided by an alert: a person looks at it. All memory is bounded, and what was not heard
of for long is forgotten; then an alert may be missed. Of the players of small stakes, who are most,
no habit is kept: the ledger knows it when one of them stakes much.
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from collections.abc import Sequence

import msgspec

from actors.base import Actor, Command, Event, Reason, Refused, ref
from actors.odds import ONE
from actors.risk.memory import Memory


class Pattern(enum.StrEnum):
    """The codes are stable."""

    NEW_ACCOUNTS = "new_accounts"
    """Many new accounts bet on the same selection within a short time."""
    STAKE_ABOVE_HABIT = "stake_above_habit"
    """A stake far above what the player usually bets."""
    BEFORE_PRICE_CHANGE = "before_price_change"
    """Bets on a selection in the seconds before its price became much shorter."""


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in milliseconds, shares in ten-thousandths."""

    new_account_ms: int = 7 * 24 * 3_600_000
    """How long an account is new."""
    accounts: int = 5
    accounts_window_ms: int = 10 * 60_000
    habit_bets: int = 5
    """Bets after which a player has a habit."""
    habit_factor: int = 10
    """How many times the usual stake is far above it."""
    habit_min_minor: int = 5_000
    """Smaller stakes are never far above a habit, whatever it is."""
    price_window_ms: int = 5_000
    price_share: int = 1_000
    """The part of the price that has to go."""
    max_a_minute: int = 20
    """Alerts of one pattern that are raised within a minute: who is told of more reads none."""
    max_selections: int = 20_000
    max_players: int = 200_000
    max_markets: int = 20_000
    max_recent: int = 200
    """Bets remembered of one selection or market."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            least = 0 if name in ("new_account_ms", "habit_min_minor") else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} is below {least}")
        if self.price_share > ONE:
            raise ValueError(f"price_share is above {ONE}, which is all of a price")


class Placed(msgspec.Struct, frozen=True):
    """What is looked at of a placed bet; of one with several legs, a line for each leg."""

    at_ms: int
    bet_id: str
    player_id: str
    registered_at_ms: int
    market_id: str
    selection_id: str
    stake_minor: int
    odds: int


class Priced(msgspec.Struct, frozen=True):
    """A change of prices: odds by selection, 0 where there is none any more."""

    at_ms: int
    market_id: str
    odds: dict[str, int]


class Alert(msgspec.Struct, frozen=True):
    pattern: Pattern
    subject: str
    """Whom or what it is about: `player/<id>`, or `selection/<market id>/<selection id>`."""
    at_ms: int
    facts: dict[str, int | str]


class _Habit(msgspec.Struct):
    bets: int = 0
    stakes_minor: int = 0


class _Newcomers(msgspec.Struct):
    """New accounts that bet on one selection of late."""

    recent: deque[tuple[int, str]]
    """When and who, once each."""
    said_in: int = -1
    """The window in which it was last said; in the same one it is not said again."""


_HABIT_BETS = 64
"""Bets that make a habit; when there are more, older ones count half."""


class Watch:
    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules = rules or Rules()
        self._newcomers: Memory[tuple[str, str], _Newcomers] = Memory(rules.max_selections)
        self._habits: Memory[str, _Habit] = Memory(rules.max_players)
        self._recent: Memory[str, deque[Placed]] = Memory(rules.max_markets)

    def placed(self, bet: Placed, *, habit: bool = True) -> Sequence[Alert]:
        """`habit`: not of a line of a bet that was counted before."""
        rules = self.rules
        recent = self._recent.get(bet.market_id)
        if recent is None:
            recent = deque(maxlen=rules.max_recent)
            self._recent.keep(bet.market_id, recent)
        recent.append(bet)
        found: list[Alert] = []
        if bet.at_ms - bet.registered_at_ms <= rules.new_account_ms:
            self._new_account(bet, found)
        if habit and (known := self._habits.get(bet.player_id)):
            self._above_habit(bet, known, found)
        return found

    def know(self, player_id: str, bets: int, stakes_minor: int) -> None:
        """From now on watch a player's habit; so far he has made so many bets, with such stakes
        together."""
        kept = min(bets, _HABIT_BETS)
        self._habits.keep(player_id, _Habit(kept, stakes_minor * kept // max(1, bets)))

    def knows(self, player_id: str) -> bool:
        """Whether the player's habit is watched."""
        return player_id in self._habits

    def _new_account(self, bet: Placed, found: list[Alert]) -> None:
        rules = self.rules
        place = (bet.market_id, bet.selection_id)
        newcomers = self._newcomers.get(place)
        if newcomers is None:
            newcomers = _Newcomers(deque(maxlen=rules.max_recent))
            self._newcomers.keep(place, newcomers)
        window = window_of(bet.at_ms, rules)
        if newcomers.said_in == window:
            return
        recent = newcomers.recent
        while recent and bet.at_ms - recent[0][0] > rules.accounts_window_ms:
            recent.popleft()
        if all(player_id != bet.player_id for _, player_id in recent):
            recent.append((bet.at_ms, bet.player_id))
        if len(recent) < rules.accounts:
            return
        facts: dict[str, int | str] = {"accounts": len(recent), "last_bet_id": bet.bet_id}
        recent.clear()  # in the next window it is as many again that are said
        newcomers.said_in = window
        subject = f"selection/{bet.market_id}/{bet.selection_id}"
        found.append(Alert(Pattern.NEW_ACCOUNTS, subject, bet.at_ms, facts))

    def _above_habit(self, bet: Placed, habit: _Habit, found: list[Alert]) -> None:
        rules = self.rules
        bets, stakes_minor = habit.bets, habit.stakes_minor
        if bets >= _HABIT_BETS:
            habit.bets //= 2
            habit.stakes_minor //= 2
        habit.bets += 1
        habit.stakes_minor += bet.stake_minor
        known = bets >= rules.habit_bets and bet.stake_minor >= rules.habit_min_minor
        if not known or bet.stake_minor * bets <= stakes_minor * rules.habit_factor:
            return
        facts: dict[str, int | str] = {
            "stake_minor": bet.stake_minor,
            "usual_minor": stakes_minor // bets,
            "bet_id": bet.bet_id,
        }
        found.append(Alert(Pattern.STAKE_ABOVE_HABIT, f"player/{bet.player_id}", bet.at_ms, facts))

    def priced(self, change: Priced) -> list[Alert]:
        """One alert for each player who was just in time."""
        recent = self._recent.get(change.market_id)
        if not recent:
            return []
        rules = self.rules
        while recent and change.at_ms - recent[0].at_ms > rules.price_window_ms:
            recent.popleft()
        early: dict[tuple[str, str], list[Placed]] = {}
        for bet in recent:
            odds = change.odds.get(bet.selection_id, bet.odds)
            if odds and odds * ONE <= bet.odds * (ONE - rules.price_share):
                early.setdefault((bet.player_id, bet.selection_id), []).append(bet)
        told = {bet.bet_id for bets in early.values() for bet in bets}
        if told:
            left = [bet for bet in recent if bet.bet_id not in told]
            self._recent.keep(change.market_id, deque(left, maxlen=rules.max_recent))
        return [
            Alert(
                Pattern.BEFORE_PRICE_CHANGE,
                f"player/{player_id}",
                change.at_ms,
                {
                    "market_id": change.market_id,
                    "selection_id": selection_id,
                    "bets": len(bets),
                    "stakes_minor": sum(bet.stake_minor for bet in bets),
                    "odds": bets[-1].odds,
                    "odds_after": change.odds[selection_id],
                    "last_bet_id": bets[-1].bet_id,
                },
            )
            for (player_id, selection_id), bets in early.items()
        ]


# Kept


def window_of(at_ms: int, rules: Rules) -> int:
    """Of new accounts; counted from the epoch."""
    return at_ms // rules.accounts_window_ms


def alert_id(alert: Alert, rules: Rules) -> str:
    """The same for the same thing, however often it is noticed.

    Of new accounts on a selection there is one alert in each of their windows; of a player's habit
    one for the bet; of bets before a price became shorter one for each such change.
    """
    facts = alert.facts
    which: tuple[int | str, ...]
    match alert.pattern:
        case Pattern.NEW_ACCOUNTS:
            which = (window_of(alert.at_ms, rules),)
        case Pattern.STAKE_ABOVE_HABIT:
            which = (facts["bet_id"],)
        case Pattern.BEFORE_PRICE_CHANGE:
            which = (facts["market_id"], facts["selection_id"], alert.at_ms)
    named = "\0".join(map(str, (alert.pattern, alert.subject, *which)))
    return hashlib.blake2b(named.encode(), digest_size=10).hexdigest()


class Raised(Actor):
    """An alert that somebody is to look at: once it is raised, nothing happens to it any more."""

    alert_id: str = ""
    alert: Alert | None = None


class RaiseAlert(Command, frozen=True, array_like=True, tag=True):
    """Keep an alert. Its id follows from what it is about, so that it is raised once."""

    alert_id: str
    pattern: Pattern
    subject: str
    noticed_at_ms: int
    facts: dict[str, int | str]

    def cast(self) -> tuple[str, ...]:
        return (ref("alert", self.alert_id),)

    def decide(self, now_ms: int, raised: Raised) -> Event:
        if raised.alert_id:
            return Refused(Reason.ALREADY_EXISTS)
        return AlertRaised(
            now_ms, self.alert_id, self.pattern, self.subject, self.noticed_at_ms, self.facts
        )


class AlertRaised(Event, frozen=True, array_like=True, tag=True):
    at_ms: int
    alert_id: str
    pattern: Pattern
    subject: str
    noticed_at_ms: int
    facts: dict[str, int | str]

    def cast(self) -> tuple[str, ...]:
        return (ref("alert", self.alert_id),)

    def apply(self, raised: Raised) -> None:
        raised.alert_id = self.alert_id
        raised.alert = Alert(self.pattern, self.subject, self.noticed_at_ms, self.facts)
