"""The controller on scripted nights: a stage on which demand, deaths and silence are ours.

The stage does what the controller says, shows it what follows, and remembers everything it did.
"""

from __future__ import annotations

from random import Random

import pytest

from actors.runtime.addresses import home_of, partitions_of, scope_of, shard_name, spare_name
from actors.runtime.controller import (
    Action,
    AddShard,
    Bounds,
    Controller,
    DrainShard,
    IsolatePartition,
    MovePartition,
    Night,
    RemoveShard,
    ReplaceShard,
    Seen,
    State,
)

TICK_MS = 500
BORN_AFTER_MS = 2_000


class Stage:
    """A cluster that costs nothing. `demand` is the load that each partition makes, in cores."""

    def __init__(
        self,
        *,
        shards: int = 1,
        most: int = 4,
        spares: int = 1,
        partitions: int = 8,
        scopes: tuple[str, ...] = ("gb",),
    ) -> None:
        self.controller = Controller(Bounds(least=shards, most=most, hot_cpu=0.75))
        self.lag_ms = 0.0
        self.now_ms = 1_000_000
        self.states: dict[str, State] = {}
        self.owners: dict[str, str] = {}
        self.born_at: dict[str, int] = {}
        self.room = True
        self.did: list[tuple[int, Action]] = []
        for scope in scopes:
            names = [shard_name(scope, number) for number in range(shards)]
            self.states |= dict.fromkeys(names, State.LIVE)
            for number, partition in enumerate(partitions_of(scope, partitions)):
                self.owners[partition] = names[number % shards]
        self.states |= {spare_name(number): State.LIVE for number in range(spares)}
        self.demand = dict.fromkeys(self.owners, 0.01)

    def load(self, shard: str) -> float:
        return sum(self.demand[name] for name, owner in self.owners.items() if owner == shard)

    def night(self) -> Night:
        return Night(
            self.now_ms,
            tuple(
                Seen(
                    name=name,
                    state=state,
                    cpu=min(1.0, self.load(name)) if state is State.LIVE else 0.0,
                    lag_ms=self.lag_ms,
                    rates={
                        partition: 10_000 * self.demand[partition]
                        for partition, owner in self.owners.items()
                        if owner == name
                    },
                )
                for name, state in self.states.items()
            ),
            dict(self.owners),
            frozenset(map(scope_of, self.owners)) if self.room else frozenset(),
        )

    def pass_time(self, seconds: float) -> list[Action]:
        """What was done meanwhile."""
        done: list[Action] = []
        for _ in range(int(seconds * 1000 / TICK_MS)):
            self.now_ms += TICK_MS
            for name, at_ms in list(self.born_at.items()):
                if self.now_ms >= at_ms:
                    self.states[name] = State.LIVE
                    del self.born_at[name]
            for action in self.controller.decide(self.night()):
                self.do(action)
                done.append(action)
                self.did.append((self.now_ms, action))
        return done

    def do(self, action: Action) -> None:
        match action:
            case AddShard(shard):
                assert shard not in self.states
                self.states[shard] = State.STARTING
                self.born_at[shard] = self.now_ms + BORN_AFTER_MS
            case MovePartition(partition, shard) | IsolatePartition(partition, shard):
                assert self.states[shard] is State.LIVE
                assert home_of(shard) == scope_of(partition), "only a death uses a spare"
                self.owners[partition] = shard
            case ReplaceShard(shard, owners):
                assert self.states[shard] in (State.DEAD, State.SILENT)
                assert set(owners) == {name for name in owners if self.owners[name] == shard}
                for partition, owner in owners.items():
                    assert self.states[owner] is State.LIVE
                    self.owners[partition] = owner
            case DrainShard():
                pass
            case RemoveShard(shard):
                assert shard not in self.owners.values()
                del self.states[shard]

    def shards(self, scope: str = "gb") -> list[str]:
        return sorted(name for name in self.states if home_of(name) == scope)

    def counts(self) -> dict[str, int]:
        owners = list(self.owners.values())
        return {name: owners.count(name) for name in self.states}


def test_names() -> None:
    assert home_of(shard_name("gb", 3)) == "gb"
    assert home_of(shard_name("isle-of-man", 0)) == "isle-of-man"
    assert home_of(spare_name(2)) == ""


def test_a_quiet_evening_is_left_alone() -> None:
    stage = Stage(shards=2, scopes=("book", "gb"))
    assert stage.pass_time(600) == []


def test_rise_and_fall() -> None:
    stage = Stage(shards=1, most=4)
    stage.demand = dict.fromkeys(stage.owners, 0.3)  # 2.4 cores in all
    stage.pass_time(90)
    assert len(stage.shards()) == 4
    assert all(stage.load(shard) < 0.75 for shard in stage.shards())
    assert "spare-0" not in stage.owners.values()

    stage.demand = dict.fromkeys(stage.owners, 0.01)
    fallen = stage.pass_time(55)
    assert fallen == [], "a minute of quiet comes first"
    stage.pass_time(600)
    assert stage.shards() == ["shard-gb-0"]
    assert set(stage.owners.values()) == {"shard-gb-0"}
    kinds = [type(action) for _, action in stage.did]
    assert kinds.count(AddShard) == kinds.count(DrainShard) == kinds.count(RemoveShard) == 3


def test_nothing_is_done_for_a_moment_of_heat() -> None:
    stage = Stage(shards=1)
    for _ in range(20):
        stage.demand = dict.fromkeys(stage.owners, 0.12)
        assert stage.pass_time(2) == []
        stage.demand = dict.fromkeys(stage.owners, 0.02)
        assert stage.pass_time(2) == []


@pytest.mark.parametrize("period_s", [1, 5, 10, 20, 40])
def test_flapping_does_not_thrash(period_s: int) -> None:
    """Load that comes and goes: what was added stays, since it is never quiet for a minute."""
    stage = Stage(shards=1, most=4)
    for _ in range(600 // period_s // 2):
        stage.demand = dict.fromkeys(stage.owners, 0.2)
        stage.pass_time(period_s)
        stage.demand = dict.fromkeys(stage.owners, 0.01)
        stage.pass_time(period_s)
    kinds = [type(action) for _, action in stage.did]
    assert kinds.count(AddShard) <= 3
    assert RemoveShard not in kinds
    assert kinds.count(MovePartition) <= 16


def test_noise_moves_nothing_for_ever() -> None:
    """Once it is even, chance alone must not send partitions round and round."""
    random = Random(7)
    stage = Stage(shards=3, most=3, partitions=16)
    for _ in range(600):
        stage.demand = {name: random.uniform(0.02, 0.13) for name in stage.owners}
        stage.pass_time(1)
    assert len(stage.did) <= 10


def test_one_that_is_late_is_relieved_only_if_it_is_busy() -> None:
    stage = Stage(shards=1)
    stage.lag_ms = 500
    assert stage.pass_time(60) == [], "others keep it waiting"
    stage.demand = dict.fromkeys(stage.owners, 0.06)  # less than would make it hot by itself
    assert isinstance(stage.pass_time(10)[0], AddShard)


def test_bounds_are_kept() -> None:
    stage = Stage(shards=1, most=3)
    stage.demand = dict.fromkeys(stage.owners, 5.0)
    stage.pass_time(300)
    assert len(stage.shards()) == 3
    stage = Stage(shards=1, most=3)
    stage.room = False
    stage.demand = dict.fromkeys(stage.owners, 5.0)
    assert stage.pass_time(60) == []


def test_one_shard_at_a_time_is_added() -> None:
    stage = Stage(shards=1, most=8)
    stage.demand = dict.fromkeys(stage.owners, 0.9)
    for _ in range(100):
        stage.pass_time(0.5)
        starting = [name for name, state in stage.states.items() if state is State.STARTING]
        assert len(starting) <= 1


def test_a_hot_event_gets_a_shard_of_its_own() -> None:
    stage = Stage(shards=1, most=2, scopes=("book",))
    stage.demand["book-03"] = 0.8
    done = stage.pass_time(15)
    assert [type(action) for action in done] == [AddShard, IsolatePartition]
    assert stage.owners["book-03"] == "shard-book-1"
    assert stage.counts() == {"shard-book-0": 7, "shard-book-1": 1, "spare-0": 0}
    # It stays alone, however busy the other one is.
    for name in stage.owners:
        if name != "book-03":
            stage.demand[name] = 0.13
    stage.pass_time(60)
    assert stage.counts()["shard-book-1"] == 1


def test_where_no_shard_can_be_added_the_others_leave_the_hot_event() -> None:
    stage = Stage(shards=2, most=2, scopes=("book",))
    stage.demand["book-03"] = 0.9
    stage.pass_time(60)
    alone = stage.owners["book-03"]
    assert stage.counts()[alone] == 1
    settled = len(stage.did)
    stage.pass_time(120)
    assert len(stage.did) == settled, "alone and hot: nothing more can be done"


def test_dead_shard_is_replaced_by_the_spare_at_once() -> None:
    stage = Stage(shards=1, scopes=("book", "gb"))
    stage.pass_time(10)
    stage.states["shard-gb-0"] = State.DEAD
    [replaced] = stage.pass_time(0.5)
    assert isinstance(replaced, ReplaceShard)
    assert set(replaced.owners.values()) == {"spare-0"}
    assert len(replaced.owners) == 8
    assert stage.pass_time(30) == []
    # Ray has started it again: it has its partitions back, and the spare is spare.
    stage.states["shard-gb-0"] = State.LIVE
    stage.pass_time(20)
    assert stage.counts() == {"shard-book-0": 8, "shard-gb-0": 8, "spare-0": 0}


def test_a_dead_shard_that_had_nothing_takes_nobody_from_the_others() -> None:
    stage = Stage(shards=2, spares=1)
    stage.controller = Controller(Bounds(least=2, elastic=False))
    stage.owners = dict.fromkeys(stage.owners, "shard-gb-1")
    stage.states["shard-gb-0"] = State.DEAD
    assert stage.pass_time(30) == []
    # The spare was kept for the one whose death leaves something.
    stage.states["shard-gb-1"] = State.DEAD
    stage.pass_time(0.5)
    assert stage.counts() == {"shard-gb-0": 0, "shard-gb-1": 0, "spare-0": 8}


def test_two_deaths_and_one_spare() -> None:
    stage = Stage(shards=1, scopes=("book", "gb"))
    stage.states["shard-gb-0"] = stage.states["shard-book-0"] = State.DEAD
    done = stage.pass_time(5)
    assert len(done) == 1, "the other one waits for Ray"
    stage.states["shard-gb-0"] = stage.states["shard-book-0"] = State.LIVE
    stage.pass_time(20)
    assert stage.counts() == {"shard-book-0": 8, "shard-gb-0": 8, "spare-0": 0}


def test_without_a_spare_the_neighbours_share_it() -> None:
    stage = Stage(shards=3, spares=0, partitions=9)
    stage.states["shard-gb-1"] = State.DEAD
    stage.pass_time(0.5)
    assert sorted(stage.counts().values()) == [0, 4, 5]
    stage.states["shard-gb-1"] = State.LIVE
    stage.pass_time(30)
    assert stage.counts() == dict.fromkeys(stage.shards(), 3)


def test_a_spare_that_dies_is_replaced_too() -> None:
    stage = Stage(shards=1, spares=1)
    stage.states["shard-gb-0"] = State.DEAD
    stage.pass_time(1)
    stage.states["shard-gb-0"] = State.LIVE
    stage.states["spare-0"] = State.DEAD
    stage.pass_time(1)
    assert stage.counts()["shard-gb-0"] == 8


def test_a_shard_that_dies_again_and_again_is_waited_for_longer() -> None:
    stage = Stage(shards=1)
    stage.pass_time(5)
    for _ in range(40):
        stage.states["shard-gb-0"] = State.DEAD
        stage.pass_time(2)
        stage.states["shard-gb-0"] = State.LIVE
        stage.pass_time(8)
    moved = sum(isinstance(action, MovePartition) for _, action in stage.did)
    assert moved <= 16, "twice there and back at most"
    stage.pass_time(300)
    assert stage.counts()["shard-gb-0"] == 8


def test_silent_shard_is_replaced_and_harms_nothing_when_it_wakes() -> None:
    stage = Stage(shards=1, scopes=("book", "gb"))
    stage.states["shard-book-0"] = State.SILENT
    [replaced] = stage.pass_time(0.5)
    assert isinstance(replaced, ReplaceShard)
    assert replaced.shard == "shard-book-0"
    stage.pass_time(60)
    stage.states["shard-book-0"] = State.LIVE
    stage.pass_time(20)
    assert stage.counts() == {"shard-book-0": 8, "shard-gb-0": 8, "spare-0": 0}


def test_when_all_are_silent_it_is_the_controller_that_is_deaf() -> None:
    stage = Stage(shards=2, scopes=("book", "gb"))
    stage.states = dict.fromkeys(stage.states, State.SILENT)
    assert stage.pass_time(30) == []


def test_a_starting_shard_is_not_replaced() -> None:
    stage = Stage(shards=1)
    stage.states["shard-gb-0"] = State.STARTING
    assert stage.pass_time(60) == []


def test_heat_stops_a_drain() -> None:
    stage = Stage(shards=1, most=2, partitions=16)
    stage.demand = dict.fromkeys(stage.owners, 0.07)
    stage.pass_time(60)
    assert len(stage.shards()) == 2
    stage.demand = dict.fromkeys(stage.owners, 0.005)
    for _ in range(400):
        if any(isinstance(action, DrainShard) for action in stage.pass_time(0.5)):
            break
    stage.demand = dict.fromkeys(stage.owners, 0.1)
    stage.pass_time(60)
    assert len(stage.shards()) == 2
    assert all(count == 8 for name, count in stage.counts().items() if home_of(name))


def test_a_new_controller_goes_on_where_the_old_one_was() -> None:
    stage = Stage(shards=1, most=4)
    stage.demand = dict.fromkeys(stage.owners, 0.3)
    for _ in range(12):
        stage.pass_time(20)
        stage.controller = Controller(stage.controller.bounds)
    assert len(stage.shards()) == 4
    assert all(stage.load(shard) < 0.75 for shard in stage.shards())


@pytest.mark.parametrize("seed", range(10))
def test_nights_of_chance(seed: int) -> None:
    """Whatever happens, every partition has a live owner again soon, and the bounds hold."""
    random = Random(seed)
    stage = Stage(shards=2, most=4, spares=1, partitions=8, scopes=("book", "gb"))
    for _ in range(60):
        roll = random.random()
        name = random.choice(sorted(stage.states))
        if roll < 0.1 and stage.states[name] is State.LIVE:
            stage.states[name] = random.choice((State.DEAD, State.SILENT))
        elif roll < 0.4:
            stage.states[name] = State.LIVE
            stage.born_at.pop(name, None)
        elif roll < 0.5:
            scale = random.choice((0.005, 0.05, 0.2))
            stage.demand = {one: random.uniform(0, 2 * scale) for one in stage.owners}
        stage.pass_time(random.choice((0.5, 2, 10)))
        assert all(len(stage.shards(scope)) <= 4 for scope in ("book", "gb"))
    for name in stage.states:
        stage.states[name] = State.LIVE
    stage.demand = dict.fromkeys(stage.owners, 0.005)
    stage.pass_time(600)
    assert stage.shards("gb") == ["shard-gb-0", "shard-gb-1"]
    assert stage.counts()["spare-0"] == 0
    assert all(stage.counts()[one] for one in stage.shards("gb") + stage.shards("book"))


def test_one_that_is_not_elastic_replaces_the_dead_and_nothing_else() -> None:
    stage = Stage(shards=2)
    stage.controller = Controller(Bounds(least=2, elastic=False))
    stage.demand = dict.fromkeys(stage.owners, 0.4)
    assert stage.pass_time(60) == []
    stage.states["shard-gb-0"] = State.DEAD
    stage.pass_time(5)
    stage.states["shard-gb-0"] = State.LIVE
    stage.pass_time(30)
    assert stage.counts()["spare-0"] == 0


def test_the_one_that_died_gets_its_partitions_back() -> None:
    stage = Stage(shards=2)
    stage.demand = dict.fromkeys(stage.owners, 0.02)
    stage.states["shard-gb-0"] = State.DEAD
    stage.pass_time(10)
    assert stage.counts() == {"shard-gb-0": 0, "shard-gb-1": 4, "spare-0": 4}
    stage.states["shard-gb-0"] = State.LIVE
    stage.pass_time(10)
    assert stage.counts() == {"shard-gb-0": 4, "shard-gb-1": 4, "spare-0": 0}


def test_one_that_stays_away_is_not_waited_for_for_ever() -> None:
    stage = Stage(shards=2)
    stage.states["shard-gb-0"] = State.SILENT
    stage.pass_time(120)
    assert stage.counts() == {"shard-gb-0": 0, "shard-gb-1": 8, "spare-0": 0}


def test_an_owner_that_was_never_seen_is_waited_for() -> None:
    stage = Stage(shards=2)
    del stage.states["shard-gb-0"]
    assert stage.pass_time(30) == []
