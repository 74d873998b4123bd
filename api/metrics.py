"""The service's own metrics, and those of the ledger, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from witnesstree.ledger.base.catalogue import worded
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """Counted in memory since the process began; what of the ledger is counted, it is asked."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "witnesstree_http_requests_total",
            _about("http-requests"),
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "witnesstree_http_request_seconds",
            _about("http-seconds"),
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._accepted = Counter(
            "witnesstree_accepted_entries_total", _about("accepted-entries"), registry=registry
        )
        self._unsealed = Gauge(
            "witnesstree_backlog_entries", _about("backlog-entries"), registry=registry
        )
        self._ready = Gauge("witnesstree_ready", _about("ready"), ("check",), registry=registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method if route else "", route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def short(self, status: int) -> None:
        """Count a request that was answered on the short way (protocol.py)."""
        self._requests.labels("POST", "/v1/entries", status).inc()
        self._accepted.inc(status == 201)

    def accepted(self, entries: int) -> None:
        """Count entries that were accepted."""
        self._accepted.inc(entries)

    def backlog(self, entries: int) -> None:
        """Say how many entries wait to be sealed."""
        self._unsealed.set(entries)

    def readiness(self, checks: Iterable[tuple[str, bool]]) -> None:
        """Say which checks are well."""
        # An alarm that was taken back is no check any more.
        self._ready.clear()
        for name, is_well in checks:
            self._ready.labels(name).set(is_well)

    def text(self) -> bytes:
        """Return the metrics."""
        return generate_latest(self._registry)


def _about(name: str) -> str:
    return worded(message(f"metric-{name}"))
