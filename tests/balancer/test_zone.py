"""Groups whose state lies in shared memory: what several processes count together, and what a dead one leaves behind."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.health import Guards
from services.balancer.core.peers import PeerSettings, State, Verdict
from services.balancer.core.shared import SharedGroup
from services.balancer.plane.zone import KeptZone, ZoneMemory

NO_GUARDS = Guards()


class Zone:
    """The memory, and the groups of a keeper and two workers on it."""

    def __init__(self, memory: KeptZone, settings: GroupSettings) -> None:
        self.memory = memory
        self.keeper = SharedGroup(settings, memory, keeper=True)
        self.workers = []
        for column in (1, 2):
            memory.grant(column, (peer.id for peer in self.keeper.peers))
            group = SharedGroup(settings, ZoneMemory(os.dup(memory.fd), column))
            group.assume(self.keeper.roster())
            self.workers.append(group)

    def choose(self, worker: int, now: int = 100, *, failed: bool | None = None) -> str:
        """Have a worker select a server; with ``failed`` the request ends at once."""
        group = self.workers[worker]
        turn = group.turn()
        peer = group.select(turn, now)
        if peer is None:
            return "-"
        if failed is not None:
            group.release(turn, peer, now, failed=failed)
        return peer.address[0]


@pytest.fixture
def memory() -> Iterator[KeptZone]:
    memory = KeptZone.create("app")
    yield memory
    memory.close()


def settings(*weights: int, method: str = "least_conn", guards: Guards = NO_GUARDS, **more: float) -> GroupSettings:
    servers = tuple(
        PeerSettings(address=f"{name}:80", weight=weight, **more)  # type: ignore[arg-type]
        for name, weight in zip("abcdefg", weights, strict=False)
    )
    return GroupSettings(name="app", servers=servers, method=method, guards=guards, zone=True)


@pytest.mark.parametrize("method", ["least_conn", "round_robin"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (3, 2, 1)])
def test_workers_choose_as_one_process_would(memory: KeptZone, method: str, weights: tuple[int, ...]) -> None:
    zone, alone = Zone(memory, settings(*weights, method=method)), Group(settings(*weights, method=method))
    expected = []
    for _ in range(12):  # requests that stay: connections count
        peer = alone.select(alone.turn(), 100)
        assert peer is not None
        expected.append(peer.address[0])
    assert [zone.choose(index % 2) for index in range(12)] == expected


def test_failures_in_any_worker_count_for_all(memory: KeptZone) -> None:
    zone = Zone(memory, settings(1, 1, method="round_robin", max_fails=2, fail_timeout_s=10))
    assert [zone.choose(worker, failed=True) for worker in (0, 1, 0, 1)] == ["a", "b", "a", "b"]
    assert [zone.choose(worker, 105) for worker in (0, 1)] == ["-", "-"]
    zone.keeper.observe()
    assert [peer.state(105) for peer in zone.keeper.peers] == [State.UNAVAIL] * 2
    # one request of either worker is the probe, the others stay away
    assert sorted([zone.choose(0, 111), zone.choose(1, 111), zone.choose(0, 111), zone.choose(1, 111)]) == [
        "-", "-", "a", "b"
    ]  # fmt: skip


def test_connection_limits_hold_for_all_workers_together(memory: KeptZone) -> None:
    zone = Zone(memory, settings(1, 1, max_conns=1))
    assert [zone.choose(0), zone.choose(1), zone.choose(0), zone.choose(1)] == ["a", "b", "-", "-"]
    assert not zone.workers[0].has_room(100)


def test_connections_of_a_dead_worker_are_given_back(memory: KeptZone) -> None:
    zone = Zone(memory, settings(1, 1))
    for worker in (0, 0, 0, 1):
        zone.choose(worker)
    memory.strike_out(1, (peer.id for peer in zone.keeper.peers))
    zone.keeper.observe()
    assert sum(peer.conns for peer in zone.keeper.peers) == 1


def test_a_request_at_a_removed_server_ends_without_harm(memory: KeptZone) -> None:
    zone = Zone(memory, settings(1, 1))
    group = zone.workers[0]
    turn = group.turn()
    peer = group.select(turn, 100)
    assert peer is not None
    zone.keeper.remove(zone.keeper.peers[0])
    added = zone.keeper.add(PeerSettings(address="c:80"))
    group.assume(zone.keeper.roster())
    group.release(turn, peer, 100, failed=True)
    zone.keeper.observe()
    assert [other.fails for other in zone.keeper.peers] == [0, 0]
    assert added.id != peer.id and [other.address for other in group.peers] == ["b:80", "c:80"]


def test_verdicts_and_slow_starts_reach_every_worker(memory: KeptZone) -> None:
    zone = Zone(memory, settings(1, 1, slow_start_s=10.0))
    sick = zone.keeper.peers[0]
    for verdict, now in ((Verdict.UNHEALTHY, 50), (Verdict.HEALTHY, 100)):
        zone.keeper.judge(sick, verdict, now)
        for group in zone.workers:
            group.assume(zone.keeper.roster())
    for group in zone.workers:
        group.ramp(105)
        assert [peer.weight for peer in group.peers] == [50, 100]
    for group in zone.workers:
        group.ramp(110)
    assert [peer.weight for group in zone.workers for peer in group.peers] == [100] * 4


def test_the_ejection_cap_counts_what_all_workers_know(memory: KeptZone) -> None:
    zone = Zone(memory, settings(1, 1, 1, 1, guards=Guards(max_ejected=25), method="round_robin", max_fails=1))
    for index in range(8):
        zone.choose(index % 2, failed=True)
    zone.keeper.observe()
    assert sum(peer.unavailable(100) for peer in zone.keeper.peers) == 1
    assert not zone.keeper.judge(zone.keeper.peers[3], Verdict.UNHEALTHY, 100)


LOCKS_AND_DIES = """
import sys
from services.balancer.plane.zone import ZoneMemory
memory = ZoneMemory(int(sys.argv[1]), 1)
memory.lock()
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_process_that_dies_gives_the_lock_back(memory: KeptZone) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKS_AND_DIES, str(memory.fd)], pass_fds=[memory.fd],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    assert memory.holder() == process.pid
    with pytest.raises(BlockingIOError):
        fcntl.lockf(memory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.send_signal(signal.SIGSTOP)
    memory.lock()  # the keeper does without: it is the one who will end that process
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ZoneMemory(os.dup(memory.fd), 2).lock()  # would wait for ever
    memory.unlock()
    assert memory.holder() == 0
