"""The platform in one loop: the real hosts on a simulated cluster, with simulated databases.

    with Simulation(seed=7) as simulation:
        simulation.run(evening(simulation))

Directory, shards, projectors and settlement are the classes of `actors.runtime.hosts`, as Ray runs
them. What they take from outside (Ray, Postgres, Valkey, the clock) is replaced here while a
simulation is open, so one process has one simulation at a time.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from pkgutil import iter_modules
from random import Random
from types import ModuleType, TracebackType
from typing import Any, TypeVar

import structlog

from actors.runtime import hosts
from actors.runtime.addresses import BOOK, partitions_of, shard_name, spare_name
from actors.runtime.controller import Bounds
from actors.runtime.directory import Scope
from actors.runtime.simulated.database import (
    Database,
    SimulatedJournal,
    SimulatedProjector,
    SimulatedReads,
)
from actors.runtime.simulated.loop import START_MS, Process, SimulatedClock, VirtualLoop, current
from actors.runtime.simulated.network import DIRECTORY, Cluster, Lanes, Network
from ledger.journal import JournalUnavailable

_ERROR, _INFO = 40, 20

T = TypeVar("T")


HOSTS = (
    hosts.controller,
    hosts.directory,
    hosts.hosted,
    hosts.projector,
    hosts.settler,
    hosts.shard,
)
"""The modules in which the outside is replaced."""


class Simulation:
    """Everything of one run. `trace` has what happened, the same at each run of the seed."""

    def __init__(
        self,
        seed: int,
        *,
        licence: str = "gb",
        partitions: Mapping[str, int] | None = None,
        shards: Mapping[str, int] | None = None,
        ahead_ms: Mapping[str, int] | None = None,
        bounds: Mapping[str, float] | None = None,
        max_actors: int = 24,
        spares: int = 0,
        controlled: bool = True,
        verbose: bool = False,
    ) -> None:
        """`partitions` and `shards` are by scope; `ahead_ms` says how far the clock of a named
        process is ahead; `bounds` replaces constants, such as `actors.runtime.shard.MAX_LOADS`,
        so that short runs meet them. With `controlled` a controller replaces shards that die by
        spares or neighbours; without, they are started again. `verbose` adds to the trace what
        the hosts log.
        """
        self.seed = seed
        self.licence = licence
        self.scopes = [
            Scope(
                name,
                (partitions or {}).get(name, 2),
                tuple(shard_name(name, n) for n in range((shards or {}).get(name, 2))),
            )
            for name in (BOOK, licence)
        ]
        self.trace: list[tuple[float, str, tuple[Any, ...]]] = []
        self.loop = VirtualLoop(self.random("order"))
        self.network = Network(self.loop, self.random("network"), self.note)
        self.cluster = Cluster(self.network)
        self.databases = {
            scope.name: Database(
                scope.name,
                partitions_of(scope.name, scope.partitions),
                self.loop,
                self.random(f"database {scope.name}"),
                self.note,
            )
            for scope in self.scopes
        }
        self.complaints = self.loop.complaints
        self._ahead_ms = dict(ahead_ms or {})
        self._bounds = dict(bounds or {})
        self._max_actors = max_actors
        self.spares = [spare_name(number) for number in range(spares)]
        self._controlled = controlled
        self._verbose = verbose
        self._replaced: list[tuple[Any, str, Any]] = []
        self._logging: dict[str, Any] = {}

    # Taking the outside away

    def __enter__(self) -> Simulation:
        self._logging = structlog.get_config()
        structlog.configure(
            processors=[self._log],
            wrapper_class=structlog.make_filtering_bound_logger(_INFO if self._verbose else _ERROR),
        )
        outside: dict[str, Any] = {
            "cluster": self.cluster,
            "logs": _Nothing(),
            "until_open": self._until_open,
            "now_ms": lambda: START_MS + int(self.loop.now_s * 1000),
            "WallClock": SimulatedClock,
            "LaneServer": Lanes,
            "ValkeyAnnouncer": lambda _url: _Nobody(),
            "PostgresJournal": SimulatedJournal,
            "Projector": SimulatedProjector,
            "LedgerReads": SimulatedReads,
            "cpu_s": lambda: 0.0,
            "collector": _Nothing(),
        }
        for name, stand_in in outside.items():
            for module in HOSTS:
                if hasattr(module, name):
                    self.replace(module, name, stand_in)
        for path, bound in self._bounds.items():
            where, _, name = path.rpartition(".")
            self.replace(importlib.import_module(where), name, bound)
        return self

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Put something in the place of an attribute for as long as the simulation is open."""
        self._replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _failure: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self.loop.close()
        while self._replaced:
            setattr(*self._replaced.pop())
        structlog.configure(**self._logging)

    async def _until_open(self, dsn: str, _size: int) -> Database:
        return self.databases[dsn]

    # The platform

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Start the platform, and run until `work` is done. Raises `NeverEnds` if it can't be."""

        async def on_the_platform() -> T:
            self.start()
            return await work

        result: T = self.loop.run(on_the_platform())
        return result

    def start(self) -> None:
        """Begin with everything that `grandstand up` begins, but for the gateways."""
        config = hosts.HostConfig({name: name for name in self.databases}, "", self._max_actors)
        self.spawn(hosts.DirectoryHost, DIRECTORY, self.scopes)
        for scope in self.scopes:
            for name in scope.shards:
                self.spawn(hosts.ShardHost, name, scope.name, config, named=True)
            self.spawn(hosts.ProjectorHost, f"projector-{scope.name}", scope.name, scope.name)
        for name in self.spares:
            self.spawn(hosts.ShardHost, name, "", config, named=True)
        self.spawn(hosts.SettlerHost, "settlement", config)
        if self._controlled:
            self.spawn(hosts.ControllerHost, "controller", Bounds(elastic=False), config)

    def spawn(self, host: Any, name: str, *arguments: Any, named: bool = False) -> None:
        """Put a host on the cluster; with `named` it is told its name first."""
        arguments = (name, *arguments) if named else arguments
        self.network.spawn(host, name, *arguments, ahead_ms=self._ahead_ms.get(name, 0))

    @property
    def shards(self) -> Sequence[str]:
        """Names of all shards, spares among them."""
        return [shard for scope in self.scopes for shard in scope.shards] + self.spares

    def random(self, purpose: str) -> Random:
        """Chance that follows from the seed and from nothing else that is drawn."""
        return Random(f"{self.seed} {purpose}")

    # What is remembered

    def note(self, event: str, *details: Any) -> None:
        """Add to the trace."""
        self.trace.append((self.loop.now_s, event, details))

    def trace_hash(self) -> str:
        """Stands for all that happened: two runs of one seed have the same."""
        digest = hashlib.blake2b(digest_size=16)
        for at_s, event, details in self.trace:
            if event != "log":
                digest.update(repr((at_s, event, details)).encode())
        return digest.hexdigest()

    def _log(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        failure = event.pop("exc_info", None)
        said = " ".join(f"{name}={value}" for name, value in event.items())
        process = _current_name()
        if self._verbose:
            self.note("log", process, level, said)
        # That a database does not answer is no error, however loud it is logged.
        unavailable = failure and isinstance(sys.exc_info()[1], JournalUnavailable)
        if level in ("error", "critical", "exception") and not unavailable:
            if failure:
                said += "\n" + traceback.format_exc()
            self.complaints.append(f"{process}: {said}")
        raise structlog.DropEvent


def _current_name() -> str:
    try:
        process: Process = current()
    except LookupError:
        return "outside"
    return str(process)


def _modules_of(package: ModuleType) -> list[str]:
    names = [f"{package.__name__}.{module.name}" for module in iter_modules(package.__path__)]
    return [package.__name__, *sorted(names)]


class _Nothing:
    """Does whatever it is asked to do to the process as a whole: nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


class _Nobody:
    """Nobody watches: notices are hints, and go nowhere."""

    def announce(self, notices: Any) -> None:
        pass

    async def close(self) -> None:
        pass
