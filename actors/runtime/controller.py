"""The controller: how many shards there are, and which of them has which partition.

Pure: it is shown what can be seen of the cluster, some times a second, and says what to do. What it
remembers (since when a shard is hot, when it last did something) it finds again within a minute, so
a controller that starts again has lost nothing.

In the order of urgency:

- A dead or silent shard is *replaced*: its partitions go to a spare, or to its neighbours.
- A spare that stood in is *relieved* as soon as a shard of the scope is there again.
- A shard that stays hot is *relieved*. One partition that makes most of the load is isolated: it
  gets a shard of its own. Otherwise partitions move to shards with room, or a shard is added.
- A shard that has nothing *takes its part*.
- When it is quiet for long enough, the last shard that was added is *drained* and removed.

Nothing flaps: what is done on a rise needs seconds of heat, what is done on a fall a minute of
quiet; the load at which a shard goes is far below the one at which a shard comes; and after each
change of a scope its load is measured anew before the next.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import msgspec

from actors.runtime.addresses import home_of, number_of, scope_of, shard_name


class State(enum.StrEnum):
    STARTING = "starting"  # asked for, and not there yet
    LIVE = "live"
    SILENT = "silent"  # has not answered for a while, and may wake
    DEAD = "dead"  # its process is gone; Ray starts it again


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One shard as it was last seen."""

    name: str
    state: State = State.LIVE
    cpu: float = 0.0
    """Share of one core, from 0 to 1."""
    lag_ms: float = 0.0
    """How late its loop is."""
    waiting: int = 0
    """Items that it has not answered yet."""
    rates: Mapping[str, float] = {}
    """Items a second, by partition."""


class Night(msgspec.Struct, frozen=True):
    """What can be seen of the cluster at one moment."""

    now_ms: int
    shards: tuple[Seen, ...]
    owners: Mapping[str, str]
    """Shard by partition, as the directory has it."""
    roomy: frozenset[str] = frozenset()
    """Scopes for which another shard could be started: there is a place, or one can be made."""


class AddShard(msgspec.Struct, frozen=True, tag=True):
    shard: str
    why: str


class MovePartition(msgspec.Struct, frozen=True, tag=True):
    partition: str
    shard: str
    why: str


class IsolatePartition(msgspec.Struct, frozen=True, tag=True):
    """Move a partition with a hot event to a shard that has nothing else."""

    partition: str
    shard: str
    why: str


class ReplaceShard(msgspec.Struct, frozen=True, tag=True):
    """Give the partitions of a shard that does not answer to others, without asking it."""

    shard: str
    owners: Mapping[str, str]
    """The new shard of each partition."""
    why: str


class DrainShard(msgspec.Struct, frozen=True, tag=True):
    """From now on its partitions go to others, some at a time."""

    shard: str
    why: str


class RemoveShard(msgspec.Struct, frozen=True, tag=True):
    """It has nothing any more: end it for good."""

    shard: str
    why: str


Action = AddShard | MovePartition | IsolatePartition | ReplaceShard | DrainShard | RemoveShard


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """When the controller does something. Times in milliseconds, loads in shares of a core."""

    least: int = 1
    """Shards of a scope that are never removed."""
    most: int = 4
    """Shards that a scope may have."""
    hot_cpu: float = 0.6
    """So busy a shard is hot; or half as busy, and late by one of the two that follow. One that is
    late without being busy is kept waiting by others, such as the journal: more shards don't help.
    """
    hot_lag_ms: float = 100.0
    hot_waiting: int = 1_000
    hot_for_ms: int = 3_000
    quiet_for_ms: int = 60_000
    settle_ms: int = 3_000
    """After a change of a scope, until its load is measured anew."""
    back_for_ms: int = 3_000
    """How long a shard that died must live before it gets partitions again; doubled each time."""
    away_ms: int = 60_000
    """How long one that died is waited for before others take from the spare what it had."""
    forget_ms: int = 600_000
    """After so long alive, its deaths no longer count."""
    elastic: bool = True
    """Otherwise only the dead are replaced, and spares relieved."""
    moves: int = 4
    """Partitions of a scope that move in one go."""

    @property
    def cool_cpu(self) -> float:
        """Below it a hot shard has cooled, and up to it a shard may be filled."""
        return 0.75 * self.hot_cpu

    @property
    def quiet_cpu(self) -> float:
        """One shard fewer must leave the others at most this busy."""
        return 0.45 * self.hot_cpu


class _Scope:
    """What is known of one scope at one moment. Regular shards only; spares are apart."""

    def __init__(self, name: str, night: Night, draining: set[str]) -> None:
        self.name = name
        self.all = sorted(
            (shard for shard in night.shards if home_of(shard.name) == name),
            key=lambda shard: number_of(shard.name),
        )
        self.live = [
            shard for shard in self.all if shard.state is State.LIVE and shard.name not in draining
        ]
        self.partitions: dict[str, list[str]] = {shard.name: [] for shard in night.shards}
        for partition, owner in sorted(night.owners.items()):
            if scope_of(partition) == name:
                self.partitions.setdefault(owner, []).append(partition)
        self.load: dict[str, float] = {}
        for shard in night.shards:
            self._share_out(shard)
        self.busy = {
            shard.name: sum(self.load.get(name, 0.0) for name in self.partitions[shard.name])
            for shard in night.shards
        }

    def _share_out(self, shard: Seen) -> None:
        """Each partition's part of its shard's load: by what was asked of it."""
        mine = self.partitions[shard.name]
        asked = sum(shard.rates.get(name, 0.0) for name in mine)
        for name in mine:
            part = shard.rates.get(name, 0.0) / asked if asked else 1 / len(mine)
            self.load[name] = shard.cpu * part

    def move(self, partition: str, source: str, target: str) -> None:
        """From here on as if it had moved."""
        self.partitions[source].remove(partition)
        self.partitions[target].append(partition)
        self.busy[source] -= self.load.get(partition, 0.0)
        self.busy[target] += self.load.get(partition, 0.0)

    def coolest(self, but: str = "") -> str | None:
        """The live shard with the least load, and of those the one with the fewest partitions."""
        names = [shard.name for shard in self.live if shard.name != but]
        return min(
            names, key=lambda name: (self.busy[name], len(self.partitions[name])), default=None
        )

    def empty(self) -> str | None:
        names = [shard.name for shard in self.live if not self.partitions[shard.name]]
        return names[0] if names else None


class Controller:
    """`decide` at every look; the actions are to be done in order, each whether or not others
    succeed: what was not done is decided again."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.draining: set[str] = set()
        self._hot_since: dict[str, int] = {}
        self._quiet_since: dict[str, int] = {}
        self._changed_at: dict[str, int] = {}
        self._replaced_at: dict[str, int] = {}
        self._live_since: dict[str, int] = {}
        self._deaths: dict[str, int] = {}

    def decide(self, night: Night) -> list[Action]:
        self._remember(night)
        actions: list[Action] = self._replace(night)
        replaced = {action.shard for action in actions if isinstance(action, ReplaceShard)}
        for name in sorted({scope_of(partition) for partition in night.owners}):
            scope = _Scope(name, night, self.draining)
            if any(scope.partitions.get(shard) for shard in replaced):
                self._changed_at[name] = self._replaced_at[name] = night.now_ms
                continue
            actions += self._look_after(scope, night)
        return actions

    def _remember(self, night: Night) -> None:
        """Since when each shard lives, and since when it is hot."""
        names = {shard.name for shard in night.shards}
        self.draining &= names
        for memory in (self._hot_since, self._live_since, self._deaths):
            for gone in set(memory) - names:
                del memory[gone]
        for shard in night.shards:
            if shard.state is not State.LIVE:
                if self._live_since.pop(shard.name, None) is not None:
                    self._deaths[shard.name] = self._deaths.get(shard.name, 0) + 1
                self._hot_since.pop(shard.name, None)
                continue
            since = self._live_since.setdefault(shard.name, night.now_ms)
            if night.now_ms - since >= self.bounds.forget_ms:
                self._deaths.pop(shard.name, None)
            if self._is_hot(shard):
                self._hot_since.setdefault(shard.name, night.now_ms)
            elif shard.cpu < self.bounds.cool_cpu:
                self._hot_since.pop(shard.name, None)

    def _is_hot(self, shard: Seen) -> bool:
        bounds = self.bounds
        late = shard.lag_ms >= bounds.hot_lag_ms or shard.waiting >= bounds.hot_waiting
        return shard.cpu >= bounds.hot_cpu / (2 if late else 1)

    # The dead and the silent

    def _replace(self, night: Night) -> list[Action]:
        states = {shard.name: shard.state for shard in night.shards}
        live = [shard for shard in night.shards if shard.state is State.LIVE]
        # When nobody answers it is the one who asks that has a problem.
        deaf = len(states) > 1 and all(state is State.SILENT for state in states.values())
        left: dict[str, list[str]] = {}
        for partition, owner in sorted(night.owners.items()):
            # One that was never seen may be about to be: it is waited for.
            state = states.get(owner, State.STARTING)
            if state is State.DEAD or (state is State.SILENT and not deaf):
                left.setdefault(owner, []).append(partition)
        idle = [
            shard.name
            for shard in live
            if not home_of(shard.name) and shard.name not in night.owners.values()
        ]
        actions: list[Action] = []
        for shard, partitions in left.items():
            takers = idle[:1] or _neighbours(scope_of(partitions[0]), live, night)
            idle = idle[1:]
            if not takers:
                continue  # it serves again when Ray has started it again
            owners = {
                partition: takers[number % len(takers)]
                for number, partition in enumerate(partitions)
            }
            why = f"{shard} is {states[shard]}"
            actions.append(ReplaceShard(shard, owners, why))
        return actions

    # The others

    def _look_after(self, scope: _Scope, night: Night) -> list[Action]:
        if night.now_ms - self._changed_at.get(scope.name, 0) < self.bounds.settle_ms:
            return []
        actions = self._relieve_spares(scope, night)
        if self.bounds.elastic:
            actions = (
                actions
                or self._relieve_hot(scope, night)
                or self._fill(scope, night)
                or self._shrink(scope, night)
            )
        if actions:
            self._changed_at[scope.name] = night.now_ms
            self._quiet_since.pop(scope.name, None)
            if not any(isinstance(action, AddShard) for action in actions):
                # Who still is hot after the moves has to be so anew. After an addition the heat
                # is still there when the new shard is, and tells what it is for.
                for shard in scope.all:
                    self._hot_since.pop(shard.name, None)
        return actions

    def _is_back(self, shard: str, now_ms: int) -> bool:
        """Whether a shard lives long enough to be given partitions."""
        deaths = self._deaths.get(shard, 0)
        wait_ms = self.bounds.back_for_ms * 2 ** min(deaths - 1, 6) if deaths else 0
        return now_ms - self._live_since.get(shard, now_ms) >= wait_ms

    def _relieve_spares(self, scope: _Scope, night: Night) -> list[Action]:
        """What a spare stands in for goes home, so that it is free for the next death.

        The one who died is waited for, for a while: it is the one with nothing to do.
        """
        scope.live = [shard for shard in scope.live if self._is_back(shard.name, night.now_ms)]
        leaving = sum(shard.name in self.draining for shard in scope.all)
        away = len(scope.live) + leaving < len(scope.all)
        if away and night.now_ms - self._replaced_at.get(scope.name, 0) < self.bounds.away_ms:
            return []
        actions: list[Action] = []
        for shard in night.shards:
            if home_of(shard.name) or shard.state is not State.LIVE or not scope.live:
                continue
            for partition in scope.partitions[shard.name][: self.bounds.moves]:
                target = min(
                    (one.name for one in scope.live),
                    key=lambda name: (len(scope.partitions[name]), scope.busy[name]),
                )
                scope.move(partition, shard.name, target)
                why = f"{shard.name} is to be spare again"
                actions.append(MovePartition(partition, target, why))
        return actions

    def _relieve_hot(self, scope: _Scope, night: Night) -> list[Action]:
        hot = [
            shard
            for shard in scope.all
            if shard.name in self._hot_since
            and night.now_ms - self._hot_since[shard.name] >= self.bounds.hot_for_ms
        ]
        if not hot:
            return []
        if self.draining & {shard.name for shard in scope.all}:
            # The quiet is over: whatever was draining stays.
            self.draining -= {shard.name for shard in scope.all}
            scope = _Scope(scope.name, night, self.draining)
        for shard in sorted(hot, key=lambda shard: -shard.cpu):
            if len(scope.partitions[shard.name]) > 1:
                actions = self._relieve(shard.name, scope, night)
                if actions:
                    return actions
        return []

    def _relieve(self, source: str, scope: _Scope, night: Night) -> list[Action]:
        hottest = max(scope.partitions[source], key=lambda name: scope.load[name])
        if scope.load[hottest] > scope.busy[source] / 2:
            empty = scope.empty()
            why = f"{hottest} makes most of the load of {source}"
            if empty is not None:
                scope.move(hottest, source, empty)
                return [IsolatePartition(hottest, empty, why)]
            return self._add(scope, night, why) or self._leave_alone(hottest, source, scope)
        why = f"{source} is hot"
        return self._even_out(source, scope, why) or self._add(scope, night, why)

    def _add(self, scope: _Scope, night: Night, why: str) -> list[Action]:
        starting = any(shard.state is State.STARTING for shard in scope.all)
        if starting or len(scope.all) >= self.bounds.most or scope.name not in night.roomy:
            return []
        taken = {number_of(shard.name) for shard in scope.all}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        return [AddShard(shard_name(scope.name, number), why)]

    def _leave_alone(self, hottest: str, source: str, scope: _Scope) -> list[Action]:
        """No shard is empty and none can be added: everybody else leaves the hot partition."""
        others = [name for name in scope.partitions[source] if name != hottest]
        why = f"{hottest} is left alone on {source}"
        return self._spread(others, source, scope, why, self.bounds.cool_cpu)

    def _even_out(self, source: str, scope: _Scope, why: str) -> list[Action]:
        """Move what makes the busiest of two shards less busy, as long as there is such a thing."""
        actions: list[Action] = []
        while len(actions) < self.bounds.moves and len(scope.partitions[source]) > 1:
            target = scope.coolest(but=source)
            if target is None:
                break
            gap = scope.busy[source] - scope.busy[target]
            fits = [name for name in scope.partitions[source] if scope.load[name] < 0.9 * gap]
            if not fits or gap < 0.2 * self.bounds.hot_cpu:
                break
            best = min(fits, key=lambda name: (abs(scope.load[name] - gap / 2), name))
            scope.move(best, source, target)
            actions.append(MovePartition(best, target, why))
        return actions

    def _spread(
        self, partitions: Iterable[str], source: str, scope: _Scope, why: str, most_cpu: float
    ) -> list[Action]:
        """Move partitions, the lightest first, to shards that stay below `most_cpu` with them."""
        actions: list[Action] = []
        for partition in sorted(partitions, key=lambda name: scope.load[name]):
            target = scope.coolest(but=source)
            if target is None or len(actions) == self.bounds.moves:
                break
            if scope.busy[target] + scope.load[partition] > most_cpu:
                break
            scope.move(partition, source, target)
            actions.append(MovePartition(partition, target, why))
        return actions

    def _fill(self, scope: _Scope, night: Night) -> list[Action]:
        """A shard that has nothing, new or back from the dead, takes its part."""
        target = scope.empty()
        if target is None or len(scope.live) < 2:
            return []
        count = sum(len(scope.partitions[shard.name]) for shard in scope.live)
        fair = count // len(scope.live)
        actions: list[Action] = []
        while len(scope.partitions[target]) < min(fair, self.bounds.moves):
            source = max(
                (shard.name for shard in scope.live if len(scope.partitions[shard.name]) > 1),
                key=lambda name: (len(scope.partitions[name]), scope.busy[name]),
            )
            gap = scope.busy[source] - scope.busy[target]
            best = min(
                scope.partitions[source], key=lambda name: (abs(scope.load[name] - gap / 2), name)
            )
            scope.move(best, source, target)
            actions.append(MovePartition(best, target, f"{target} has nothing"))
        return actions

    def _shrink(self, scope: _Scope, night: Night) -> list[Action]:
        """Drain the shard that was added last, if the others can easily do its work."""
        leaving = [shard for shard in scope.all if shard.name in self.draining]
        if leaving:
            return self._drain(leaving[0], scope)
        most = self.bounds.quiet_cpu * (len(scope.live) - 1)
        busy = any(self._is_hot(shard) for shard in scope.live)
        if (
            len(scope.all) <= self.bounds.least
            or len(scope.live) < len(scope.all)
            or busy
            or sum(scope.busy.values()) > most
        ):
            self._quiet_since.pop(scope.name, None)
            return []
        since = self._quiet_since.setdefault(scope.name, night.now_ms)
        if night.now_ms - since < self.bounds.quiet_for_ms:
            return []
        last = scope.all[-1]
        self.draining.add(last.name)
        return [DrainShard(last.name, f"{scope.name} is quiet")]

    def _drain(self, shard: Seen, scope: _Scope) -> list[Action]:
        mine = scope.partitions[shard.name]
        why = f"{shard.name} is draining"
        if not mine:
            self.draining.discard(shard.name)
            return [RemoveShard(shard.name, "it was drained")]
        return self._spread(mine, shard.name, scope, why, self.bounds.hot_cpu)


def _neighbours(scope: str, live: list[Seen], night: Night) -> list[str]:
    """Who else may take partitions of a scope: its other shards, or a spare that stands in."""
    regular = [shard.name for shard in live if home_of(shard.name) == scope]
    standing_in = {owner for name, owner in night.owners.items() if scope_of(name) == scope}
    return regular or [shard.name for shard in live if shard.name in standing_in]
