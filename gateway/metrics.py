"""What a gateway counts. No label names a player, a bet or a fixture."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from actors.runtime.addresses import scope_of
from ledger.reads import LagView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Whoever makes up methods must not make up time series.
_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})


_OF_SHARDS = {
    "cpu": "Share of one core that a shard uses",
    "loop_lag_ms": "How late a shard's loop is",
    "waiting": "Entries of a shard that are not on their way to the journal yet",
    "actors": "Actors in a shard's memory",
}
_OF_ALL = {
    "spares": "Shards that wait for another one's death",
    "moves": "Partitions moved while in use, since the controller's process began",
    "move_pause_ms": "The longest that one of them did not serve",
    "replaced": "Dead or silent shards whose partitions were given to others",
}
_OF_RISK = {
    "done": ("step", "Steps of the coordinator of risk, since its process began"),
    "alerts": ("pattern", "Alerts raised, since the process began that watches for them"),
}
_COUNTED = frozenset({"moves", "replaced"})


class Elsewhere(Collector):
    """Figures that are kept elsewhere, and taken over when they are asked for."""

    def __init__(self) -> None:
        self.depths: Callable[[], Mapping[str, int]] = dict
        """Messages that wait in this gateway, by shard."""
        self.owners: Callable[[], Mapping[str, str]] = dict
        """Shard by partition, as far as this gateway knows."""
        self.settled: Mapping[str, int] = {}
        """What the settlement has done since its process began."""
        self.risk: Mapping[str, Mapping[str, int]] = {}
        """What the coordinator of risk has done, by step, and alerts by pattern."""
        self.cluster: Mapping[str, Mapping[str, float]] = {}
        """What the controller sees, by figure and shard."""

    def collect(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily(
            "grandstand_lane_depth",
            "Messages of this gateway that wait for a shard",
            None,
            ["shard"],
        )
        for shard, waiting in sorted(self.depths().items()):
            depth.add_metric([shard], waiting)
        owners = self.owners()
        partitions = GaugeMetricFamily(
            "grandstand_partitions", "Partitions that a shard has", None, ["shard"]
        )
        for shard, count in sorted(Tally(owners.values()).items()):
            partitions.add_metric([shard], count)
        shards = GaugeMetricFamily("grandstand_shards", "Shards with partitions", None, ["scope"])
        pairs = {(scope_of(partition), shard) for partition, shard in owners.items()}
        for scope, count in sorted(Tally(scope for scope, _ in pairs).items()):
            shards.add_metric([scope], count)
        yield from (depth, partitions, shards)
        for figure, by_shard in sorted(self.cluster.items()):
            if figure in _OF_SHARDS:
                family = GaugeMetricFamily(
                    f"grandstand_shard_{figure}", _OF_SHARDS[figure], None, ["shard"]
                )
                for shard, value in sorted(by_shard.items()):
                    family.add_metric([shard], value)
                yield family
        for figure, value in sorted(self.cluster.get("all", {}).items()):
            if figure in _OF_ALL:
                counted = CounterMetricFamily if figure in _COUNTED else GaugeMetricFamily
                yield counted(f"grandstand_{figure}", _OF_ALL[figure], value)
        for figure, counts in sorted(self.risk.items()):
            label, text = _OF_RISK[figure]
            counter = CounterMetricFamily(f"grandstand_risk_{figure}", text, None, [label])
            for name, count in sorted(counts.items()):
                counter.add_metric([name], count)
            yield counter
        if "settled" in self.settled:
            yield CounterMetricFamily(
                "grandstand_settled_bets",
                "Bets settled, since the settlement's process began",
                self.settled["settled"],
            )
        if "payout_minor" in self.settled:
            yield CounterMetricFamily(
                "grandstand_settled_payout_minor",
                "What it paid out, in minor units",
                self.settled["payout_minor"],
            )


class _Latency:
    """How long requests of one kind took."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_LATENCY_S) + 1)
        """By the bucket they belong in, the last without an end."""
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_LATENCY_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """Each with all that took no longer."""
        ends = [*map(floatToGoString, _LATENCY_S), "+Inf"]
        return list(zip(ends, accumulate(self.counts), strict=True))


class _Requests:
    """Requests of one kind that were answered alike."""

    def __init__(self, latency: _Latency) -> None:
        self.count = 0
        self.latency = latency


class Counts(Collector):
    """What is counted with every bet: plain numbers, because a gateway is one thread and a lock for
    each of them is a hundredth of all it does."""

    def __init__(self) -> None:
        self.outcomes: Tally[str] = Tally()
        """Bets asked for, by what became of them."""
        self.received = 0
        """WebSocket frames, as `sent`."""
        self.sent = 0
        self._requests: dict[tuple[str, str, int], _Requests] = {}
        """By route, method and status."""
        self._latencies: dict[tuple[str, str], _Latency] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        requests = self._requests.get((route, method, status))
        if requests is None:
            requests = self._of(route, method if method in _METHODS else "other", status)
        requests.count += 1
        requests.latency.observe(seconds)

    def _of(self, route: str, method: str, status: int) -> _Requests:
        latency = self._latencies.setdefault((route, method), _Latency())
        return self._requests.setdefault((route, method, status), _Requests(latency))

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "grandstand_gateway_requests",
            "Requests answered",
            None,
            ["route", "method", "status"],
        )
        for (route, method, status), answered in sorted(self._requests.items()):
            requests.add_metric([route, method, str(status)], answered.count)
        took = HistogramMetricFamily(
            "grandstand_gateway_request_seconds",
            "From the request's head to its answer",
            labels=["route", "method"],
        )
        for kind, latency in sorted(self._latencies.items()):
            took.add_metric(kind, latency.buckets(), latency.sum_s)
        frames = CounterMetricFamily(
            "grandstand_gateway_frames",
            "WebSocket frames received, and sent; changes told in one turn count as one",
            None,
            ["direction"],
        )
        frames.add_metric(["in"], self.received)
        frames.add_metric(["out"], self.sent)
        bets = CounterMetricFamily(
            "grandstand_gateway_bets",
            "Bets asked for, by what became of them: `placed` or a problem's code",
            None,
            ["outcome"],
        )
        for outcome, count in sorted(self.outcomes.items()):
            bets.add_metric([outcome], count)
        yield from (requests, took, frames, bets)


class Metrics:
    """One registry for one gateway, so that several live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.elsewhere = Elsewhere()
        self.registry.register(self.elsewhere)
        self.counts = Counts()
        self.registry.register(self.counts)
        self.closed = Counter(
            "grandstand_gateway_sockets_closed",
            "WebSocket connections ended, by close code",
            ("code",),
            registry=self.registry,
        )
        self.push_delay = Histogram(
            "grandstand_gateway_push_delay_seconds",
            "From a change being decided to its frame being queued for every socket",
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.resyncs = Counter(
            "grandstand_gateway_resyncs",
            "Fixtures read again from the actors because a change was missed",
            registry=self.registry,
        )
        self.lag_blocks = Gauge(
            "grandstand_ledger_lag_blocks",
            "Blocks of the scope's journal that its ledger does not have yet",
            ("scope",),
            registry=self.registry,
        )
        self.lag_ms = Gauge(
            "grandstand_ledger_lag_ms",
            "Age of the oldest of them, 0 when there is none",
            ("scope",),
            registry=self.registry,
        )

    def lags(self, lags: Mapping[str, LagView]) -> None:
        """How far the ledgers are behind; of one that did not say, nothing is shown."""
        self.lag_blocks.clear()
        self.lag_ms.clear()
        for scope, lag in lags.items():
            self.lag_blocks.labels(scope).set(lag.blocks)
            self.lag_ms.labels(scope).set(lag.ms)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(f"grandstand_gateway_{name}", text, registry=self.registry).set_function(read)

    def bet(self, outcome: str) -> None:
        """A bet was asked for, and became `placed` or a problem."""
        self.counts.outcomes[outcome] += 1

    def text(self) -> bytes:
        return generate_latest(self.registry)
