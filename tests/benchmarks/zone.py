"""Zones to measure: three servers, each with a durable MariaDB of its own, or SQLite for a comparison."""

from __future__ import annotations

import tempfile
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.load import Plan
from tests.support.mariadb import MariadbServer, copied_server
from tests.support.oned import SESSION, Oned, OnedZone

GOOD = "<boolean>1</boolean>"
APPEND = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """A running zone and its databases (none for SQLite)."""

    zone: OnedZone
    databases: tuple[MariadbServer, ...]


@contextmanager
def running(db: str = "mariadb", raft: dict[str, Any] | None = None, size: int = 3) -> Iterator[Measured]:
    """A fresh zone in a temporary folder, and its end."""
    with tempfile.TemporaryDirectory(prefix="onelite-bench-") as name:
        folder = Path(name)
        databases = _databases(folder, size) if db == "mariadb" else ()
        try:
            zone = OnedZone(folder, size, (lambda n: _settings(databases[n])) if databases else None, raft)
            try:
                yield Measured(zone.start(), databases)
            finally:
                zone.kill()
        finally:
            for database in databases:
                database.stop()


def _databases(folder: Path, size: int) -> tuple[MariadbServer, ...]:
    template = MariadbServer(folder / "template")
    template.folder.mkdir()
    template.install()
    servers = tuple(copied_server(template.folder, f"db{number}") for number in range(size))
    for server in servers:
        server.start("--innodb-buffer-pool-size=256M")
    return servers


def _settings(database: MariadbServer) -> dict[str, Any]:
    return {"kind": "mariadb", "socket": str(database.socket), "user": database.user, "name": "opennebula"}


def make_users(leader: Oned, count: int, prefix: str = "bench") -> list[int]:
    """Users for clients to write to, one each."""
    return [int(leader.call("one.user.allocate", f"{prefix}{n}", "password", "core", [])[1]) for n in range(count)]


def updates(servers: Sequence[Oned], users: Sequence[int], seconds: float, requests: int = 0) -> Plan:
    """One client for each of `users`, which changes that user's template again and again, or `requests` times in all."""
    return Plan(
        ports=[server.port for server in servers],
        path="/RPC2",
        content_type="text/xml",
        bodies=[_call("one.user.update", user, "BENCH=COUNT", APPEND) for user in users],
        good=GOOD,
        connections=len(users),
        seconds=seconds,
        requests=requests,
    )


def infos(servers: Sequence[Oned], users: Sequence[int], connections: int, seconds: float, pause_s: float) -> Plan:
    """Readers of users."""
    return Plan(
        ports=[server.port for server in servers],
        path="/RPC2",
        content_type="text/xml",
        bodies=[_call("one.user.info", user) for user in users],
        good=GOOD,
        connections=connections,
        seconds=seconds,
        pause_s=pause_s,
    )


def _call(method: str, *arguments: str | int) -> str:
    return xmlrpc.client.dumps((SESSION, *arguments), method)


def until_caught_up(server: Oned, index: int, deadline_s: float = 300.0) -> float:
    """Waits until a server serves and has applied `index`; how many seconds it took."""
    began = time.monotonic()
    while True:
        health = server.health()
        if health.get("serving") and health.get("applied", 0) >= index:
            return time.monotonic() - began
        assert time.monotonic() - began < deadline_s, health
        time.sleep(0.02)
