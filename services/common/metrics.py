"""Metrics of one process, for Prometheus to scrape."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Registry:
    """The metrics of a service. Each process makes one and hands it down; there is no global one.

    The metrics of the process itself (memory, CPU time, open files) are in it from the start.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows. `name` ends in `_total`."""
        return Counter(name, help, labels, registry=self._registry)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(name, help, labels, registry=self._registry)

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """A distribution, by default of seconds from 1 ms to 10 s."""
        return Histogram(name, help, labels, buckets=buckets, registry=self._registry)

    def render(self) -> bytes:
        """All metrics in the text format; the answer's type is CONTENT_TYPE."""
        return generate_latest(self._registry)
