"""What a gateway counts. No label names a player, a bet or a fixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ledger.reads import LagView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Whoever makes up methods must not make up time series.
_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})


class Metrics:
    """One registry for one gateway, so that several live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "grandstand_gateway_requests",
            "Requests answered",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "grandstand_gateway_request_seconds",
            "From the request's head to its answer",
            ("route", "method"),
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.frames = Counter(
            "grandstand_gateway_frames",
            "WebSocket frames received, and sent as one frame to one socket",
            ("direction",),
            registry=self.registry,
        )
        self.received = self.frames.labels("in")
        self.sent = self.frames.labels("out")
        self.bets = Counter(
            "grandstand_gateway_bets",
            "Bets asked for, by what became of them: `placed` or a problem's code",
            ("outcome",),
            registry=self.registry,
        )
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

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        method = method if method in _METHODS else "other"
        self.requests.labels(route, method, status).inc()
        self.latency.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
