"""The daemon's numbers for Prometheus, read at the moment they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from services.common.metrics import CONTENT_TYPE

from .engine import Engine

ROLES = ("solo", "leader", "follower", "candidate", "pre-candidate", "removed")


def render(engine: Engine, connections: int) -> tuple[str, bytes]:
    """Content type and text."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_EngineCollector(engine, connections))
    return CONTENT_TYPE, generate_latest(registry)


class _EngineCollector(Collector):
    def __init__(self, engine: Engine, connections: int) -> None:
        self._engine = engine
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        yield from _node_metrics(self._engine)
        yield from _traffic_metrics(self._engine, self._connections)


def _node_metrics(engine: Engine) -> Iterator[Metric]:
    status = engine.status()
    if status is None:
        return
    role = GaugeMetricFamily("oned_role", "1 for the role this server has", labels=["role"])
    for name in ROLES:
        role.add_metric([name], name == status.role)
    yield role
    yield GaugeMetricFamily("oned_serving", "Whether answers from this server are good", value=status.serving)
    yield GaugeMetricFamily("oned_database_ok", "Whether the database takes writes", value=not engine.storage_problem)
    yield GaugeMetricFamily("oned_term", "Raft term", value=status.term)
    yield GaugeMetricFamily("oned_log_index", "Last entry of the log", value=status.last_index)
    yield GaugeMetricFamily("oned_commit_index", "Last committed entry", value=status.commit_index)
    yield GaugeMetricFamily("oned_applied_index", "Last applied entry", value=status.applied_index)
    yield GaugeMetricFamily("oned_peers", "Connected servers of the zone", value=len(status.peers))


def _traffic_metrics(engine: Engine, connections: int) -> Iterator[Metric]:
    calls = CounterMetricFamily("oned_calls", "XML-RPC calls taken on", labels=["method"])
    for method, count in engine.counters.calls.items():
        calls.add_metric([method], count)
    yield calls
    commits, entries = engine.commits()
    yield CounterMetricFamily("oned_log_commits", "Durable commits of the log", value=commits)
    yield CounterMetricFamily("oned_log_entries", "Log entries made durable", value=entries)
    yield GaugeMetricFamily("oned_connections", "Open client connections", value=connections)
    waiting = GaugeMetricFamily("oned_waiting", "What waits to be done", labels=["what"])
    for what, count in engine.backlog().items():
        waiting.add_metric([what], count)
    yield waiting
    late = HistogramMetricFamily(
        "oned_loop_late_seconds",
        "How late a timer of 20 ms came; `own`: counting only processor time that this process's loop took in one go",
        labels=["time"],
    )
    for name, histogram in (("wall", engine.lateness.wall), ("own", engine.lateness.own)):
        late.add_metric([name], list(histogram.cumulated()), histogram.sum_s)
    yield late
