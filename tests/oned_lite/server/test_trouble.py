"""A zone of real daemons beside clients that hang, a server that stands still, and one that comes back with nothing."""

from __future__ import annotations

import resource
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.oned import Oned, OnedZone, until

RETENTION = 50
HUNG_CLIENTS = 1000
PATIENCE_S = 2.0
"""Two election timeouts: who delays heartbeats for so long has another leader."""


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnedZone]:
    zone = OnedZone(tmp_path_factory.mktemp("zone"), raft={"log_retention_entries": RETENTION})
    yield zone.start()
    zone.kill()


def write(oned: Oned, count: int) -> None:
    for number in range(count):
        answer = oned.call("one.user.update", 0, f"N = {number}", 1)
        assert answer[0] is True, answer


def same_state(zone: OnedZone) -> bool:
    found = {(health.get("applied"), health.get("state_hash")) for health in (one.health() for one in zone.servers)}
    return len(found) == 1


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_clients_that_hang_delay_no_heartbeat(zone: OnedZone, many_files: None) -> None:
    leader, follower = zone.leader(), zone.followers()[0]
    term = leader.health()["term"]
    with ExitStack() as connections:
        for number in range(HUNG_CLIENTS):
            hung = connections.enter_context(socket.create_connection(("127.0.0.1", leader.port)))
            if number % 2:
                hung.sendall(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 1000\r\n\r\n<?xml")
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            write(follower, 1)
        assert leader.page("/healthz")[0] == 200
    assert (leader.leads(), leader.health()["term"]) == (True, term)


def test_a_server_that_stands_still_slows_nobody(zone: OnedZone) -> None:
    """Each write would take as long as the pause if the majority waited for everybody."""
    leader, (paused, other) = zone.leader(), zone.followers()
    term = leader.health()["term"]
    paused.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            write(leader, 10)
            write(other, 10)
        assert paused.process is not None and paused.process.poll() is None
        assert (leader.leads(), leader.health()["term"]) == (True, term)
    finally:
        paused.signal(signal.SIGCONT)
    until(lambda: same_state(zone))
    assert leader.health()["term"] == term


def test_a_server_that_lost_its_disk_is_filled_while_writes_go_on(zone: OnedZone) -> None:
    leader, empty = zone.leader(), zone.followers()[0]
    number = zone.servers.index(empty)
    empty.kill()
    folder = empty.log.parent / f"data{number}"
    shutil.rmtree(folder)
    write(leader, 4 * RETENTION)

    empty.start()
    while not empty.health().get("serving"):
        write(leader, 1)
    until(lambda: same_state(zone))

    write(leader, 1)
    until(lambda: min(stored(folder), default=0) > 1)  # what came before is not in its log: it was sent the state
    until(lambda: all(len(stored(leader.log.parent / f"data{n}")) <= 3 * RETENTION for n in range(3)))


def stored(folder: Path) -> list[int]:
    """The indexes in a server's log."""
    connection = sqlite3.connect(folder / "log.db")
    try:
        return [index for (index,) in connection.execute("SELECT log_index FROM logdb ORDER BY log_index")]
    finally:
        connection.close()


def test_five_servers_may_come_up_in_any_order(tmp_path: Path) -> None:
    zone = OnedZone(tmp_path, size=5)
    try:
        for number in (3, 0):
            zone.servers[number].start()
        until(lambda: all(zone.servers[number].page("/healthz")[0] == 503 for number in (3, 0)))
        for number in (4, 1, 2):
            zone.servers[number].start()
        write(zone.servers[3].ready(), 1)
        for server in zone.servers:
            server.ready()
        until(lambda: same_state(zone))
        until(lambda: zone.leader().health().get("voters") == [0, 1, 2, 3, 4])  # who came late learned first
    finally:
        zone.kill()
