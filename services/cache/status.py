"""`GET /healthz` and `GET /metrics` for people and probes: one short request per connection, nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from services.cache.commands import ProcessFacts, counts
from services.cache.store import ItemStore
from services.common.metrics import CONTENT_TYPE

REQUEST_TIMEOUT_S = 5.0
REQUEST_LIMIT = 8 * 1024
"""Longest request head in bytes."""

_LEVELS = {"limit_maxbytes": "limit_bytes", "bytes": "used_bytes", "curr_items": "items"}
"""Statistics that go up and down, and what they are called as metrics; all others only grow."""


class StatusPage:
    """Answers of the status port; reads the store and changes nothing."""

    def __init__(self, store: ItemStore, facts: Callable[[], ProcessFacts]) -> None:
        self._store = store
        self._facts = facts
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_StoreCollector(store, facts))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection (an `asyncio.start_server` callback)."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a client that cannot ask within the bounds is not owed an answer
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, target = head.split(b"\r\n", 1)[0].partition(b" ")
        path = target.split(b" ")[0].split(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"only GET\n")
        if path == b"/healthz":
            return _response("200 OK", "application/json", self._health(), method == b"HEAD")
        if path == b"/metrics":
            return _response("200 OK", CONTENT_TYPE, generate_latest(self._registry), method == b"HEAD")
        return _response("404 Not Found", "text/plain", b"here are /healthz and /metrics\n")

    def _health(self) -> bytes:
        facts = self._facts()
        report = {"status": "ok", "pid": facts.pid, "connections": facts.connections, "items": len(self._store)}
        return json.dumps(report).encode() + b"\n"


def _response(status: str, content_type: str, body: bytes, head_only: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)


class _StoreCollector(Collector):
    """Reads the store's counters when asked, so that the commands themselves keep one set of numbers only."""

    def __init__(self, store: ItemStore, facts: Callable[[], ProcessFacts]) -> None:
        self._store = store
        self._facts = facts

    def collect(self) -> Iterable[Metric]:
        facts = self._facts()
        yield GaugeMetricFamily("cache_connections", "Open client connections", value=facts.connections)
        yield CounterMetricFamily("cache_connections_opened", "Accepted connections", value=facts.total_connections)
        yield CounterMetricFamily("cache_connections_refused", "Refused connections", value=facts.refused_connections)
        for name, value in counts(self._store).items():
            level = _LEVELS.get(name)
            if level is not None:
                yield GaugeMetricFamily(f"cache_{level}", f"memcached's {name}", value=value)
            else:
                yield CounterMetricFamily(f"cache_{name}", f"memcached's {name}", value=value)
