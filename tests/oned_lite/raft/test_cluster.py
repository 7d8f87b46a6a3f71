"""Whole clusters through the situations that stock oned handles badly. Times are those of the simulated clock."""

from functools import partial

import pytest

from services.oned_lite.raft import AddLearner, MembershipChange, Promote, RaftNode, Remove, Role

from .cluster import ELECTION_TIMEOUT_MS, Cluster
from .disk import Disk, State

SOON_MS = 20 * ELECTION_TIMEOUT_MS


def _led(seed: int = 0, size: int = 3) -> tuple[Cluster, RaftNode]:
    cluster = Cluster(seed, size)
    return cluster, _leader(cluster)


def _leader(cluster: Cluster) -> RaftNode:
    """The leader, once there is one that is ready."""

    def ready() -> bool:
        leader = cluster.leader()
        return leader is not None and leader.leader_ready

    assert cluster.run(SOON_MS, until=ready), "no leader"
    leader = cluster.leader()
    assert leader is not None
    return leader


def _write(cluster: Cluster, *datas: bytes) -> int:
    """Write through the leader and wait until everybody who is a member and alive has applied it."""
    leader = _leader(cluster)
    index = cluster.propose(leader.server_id, *datas)
    assert index is not None
    last = index + len(datas) - 1
    members = [server for server in cluster.alive() if server.server_id in leader.configuration]
    assert cluster.run(SOON_MS, until=lambda: all(server.state.index >= last for server in members)), "not applied"
    return last


def _change(cluster: Cluster, change: MembershipChange) -> None:
    """Change the membership as soon as the leader agrees to."""
    assert cluster.run(SOON_MS, until=lambda: cluster.change(_leader(cluster).server_id, change) is not None), "refused"


def _others(cluster: Cluster, leader: RaftNode) -> list[int]:
    return [server for server in cluster.servers if server != leader.server_id]


def _isolate(cluster: Cluster, server: int) -> None:
    for other in cluster.servers:
        cluster.network.blocked |= {(server, other), (other, server)}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_cluster_of_any_size_elects_a_leader_and_writes(size: int) -> None:
    cluster, _ = _led(size=size)
    _write(cluster, b"a", b"b")


def test_killed_leader_is_replaced_long_before_the_timeout() -> None:
    """Its closed connections tell; the vote takes a few round trips and writes."""
    delays = []
    for seed in range(50):
        cluster, leader = _led(seed)
        _write(cluster, b"known to all")
        cluster.crash(leader.server_id)
        killed_ms = cluster.now_ms
        assert _leader(cluster).server_id != leader.server_id
        delays.append(cluster.now_ms - killed_ms)
    delays.sort()
    assert delays[25] < ELECTION_TIMEOUT_MS / 2
    assert delays[-1] < ELECTION_TIMEOUT_MS * 3 / 2


def test_paused_leader_is_replaced_and_gives_way_when_it_wakes() -> None:
    for seed in range(20):
        cluster, leader = _led(seed)
        cluster.pause(leader.server_id)
        paused_ms = cluster.now_ms
        old = leader.server_id
        assert cluster.run(SOON_MS, until=partial(_leads_elsewhere, cluster, old))
        assert cluster.now_ms - paused_ms <= ELECTION_TIMEOUT_MS * 5 / 2
        _write_behind_its_back(cluster, old)
        cluster.servers[old].reads[-1] = cluster.invariants.highest_applied
        leader.read_index(-1, 0)  # asked while it still believes that it leads
        cluster.resume(old)
        assert leader.role is not Role.LEADER
        assert -1 not in cluster.servers[old].reads, "the read was neither answered nor failed"


def _leads_elsewhere(cluster: Cluster, old: int) -> bool:
    leader = cluster.leader()
    return leader is not None and leader.server_id != old and leader.leader_ready


def _write_behind_its_back(cluster: Cluster, paused: int) -> None:
    leader = cluster.leader()
    assert leader is not None
    index = cluster.propose(leader.server_id, b"newer")
    assert index is not None
    assert cluster.run(SOON_MS, until=lambda: cluster.servers[leader.server_id].state.index >= index)


def test_hand_over_loses_no_proposal_and_takes_no_timeout() -> None:
    for seed in range(20):
        cluster, leader = _led(seed)
        index = cluster.propose(leader.server_id, b"in flight")
        assert index is not None
        began_ms = cluster.now_ms
        cluster.transfer(leader.server_id)
        assert cluster.run(SOON_MS, until=partial(_leads_elsewhere, cluster, leader.server_id))
        assert cluster.now_ms - began_ms < ELECTION_TIMEOUT_MS / 2
        assert cluster.servers[leader.server_id].state.index >= index


def test_returning_server_does_not_disturb() -> None:
    cluster, leader = _led()
    lonely = _others(cluster, leader)[0]
    _isolate(cluster, lonely)
    cluster.run(50 * ELECTION_TIMEOUT_MS)
    cluster.network.blocked.clear()
    _write(cluster, b"a")
    now = cluster.leader()
    assert now is leader
    assert now.term == cluster.servers[lonely].disk.hard_state.term


def test_partial_partition_does_not_unseat_a_leader_that_has_a_majority() -> None:
    """One follower cannot reach the leader, but the other one: without pre-vote it would raise terms for ever."""
    cluster, leader = _led()
    cut_off = _others(cluster, leader)[0]
    cluster.network.blocked |= {(leader.server_id, cut_off), (cut_off, leader.server_id)}
    cluster.run(50 * ELECTION_TIMEOUT_MS)
    assert cluster.leader() is leader
    assert cluster.propose(leader.server_id, b"a") is not None


@pytest.mark.parametrize("outward", [True, False])
def test_leader_cut_off_in_one_direction_is_replaced(outward: bool) -> None:
    cluster, leader = _led()
    others = _others(cluster, leader)
    cut = {(leader.server_id, other) if outward else (other, leader.server_id) for other in others}
    cluster.network.blocked |= cut
    old = leader.server_id
    assert cluster.run(SOON_MS, until=lambda: leader.role is not Role.LEADER)
    assert cluster.run(SOON_MS, until=lambda: _leads_elsewhere(cluster, old))


def test_leader_without_a_majority_tells_its_writers_in_time() -> None:
    cluster, leader = _led(size=5)
    _isolate(cluster, leader.server_id)
    assert cluster.propose(leader.server_id, b"undecided") is not None
    cluster.run(ELECTION_TIMEOUT_MS + 50)
    assert leader.role is not Role.LEADER
    assert cluster.propose(leader.server_id, b"refused") is None


def test_follower_long_gone_gets_a_snapshot() -> None:
    cluster, leader = _led()
    gone = _others(cluster, leader)[0]
    cluster.crash(gone)
    for _ in range(20):
        _write(cluster, *[b"x"] * 10)
        for server in cluster.alive():
            cluster.compact(server.server_id)
    cluster.start(gone)
    last = _write(cluster, b"after")
    assert cluster.servers[gone].state.index >= last
    assert cluster.servers[gone].disk.base_index > 0


def test_new_server_starts_empty_and_is_promoted() -> None:
    cluster, leader = _led()
    _write(cluster, *[b"x"] * 100)
    for server in cluster.alive():
        cluster.compact(server.server_id)
    _change(cluster, AddLearner(3))
    cluster.add_server(3)
    assert cluster.run(SOON_MS, until=lambda: leader.learner_ready(3))
    _change(cluster, Promote(3))
    _write(cluster, b"four")
    assert leader.configuration.voters == (0, 1, 2, 3)
    newcomer = cluster.servers[3].node
    assert newcomer is not None
    assert newcomer.configuration == leader.configuration


def test_server_with_an_emptied_disk_is_filled_again() -> None:
    cluster, leader = _led()
    last = _write(cluster, *[b"x"] * 50)
    emptied = _others(cluster, leader)[0]
    cluster.crash(emptied)
    cluster.servers[emptied].disk = Disk()
    cluster.start(emptied)
    assert cluster.run(SOON_MS, until=lambda: cluster.servers[emptied].state.index >= last)
    assert cluster.leader() is leader


def test_emptied_server_does_not_elect_one_that_lacks_what_it_acknowledged() -> None:
    cluster, leader = _led()
    emptied, behind = _others(cluster, leader)
    _write(cluster, b"acknowledged by all")
    cluster.crash(behind)
    _write(cluster, b"acknowledged by the leader and one more")
    cluster.crash(leader.server_id)
    cluster.crash(emptied)
    cluster.servers[emptied].disk = Disk()
    cluster.start(emptied)
    cluster.start(behind)
    cluster.run(SOON_MS)
    assert cluster.leader() is None
    cluster.start(leader.server_id)
    _write(cluster, b"recovered")


def test_emptied_server_does_not_elect_one_that_lacks_what_it_acknowledged_after_it_was_given_some_of_it() -> None:
    cluster, leader = _led()
    emptied, behind = _others(cluster, leader)
    _write(cluster, b"acknowledged by all")
    cluster.crash(behind)
    last = _write(cluster, *[b"acknowledged by the leader and one more"] * 60)
    cluster.crash(emptied)
    disk = cluster.servers[emptied].disk = Disk()
    cluster.start(emptied)
    assert cluster.run(SOON_MS, until=lambda: 0 < disk.last_index < last)
    cluster.crash(leader.server_id)
    cluster.start(behind)
    cluster.run(SOON_MS)
    assert cluster.leader() is None
    cluster.start(leader.server_id)
    _write(cluster, b"recovered")


def test_emptied_server_counts_for_nothing_until_it_was_made_a_learner() -> None:
    cluster, leader = _led()
    emptied, behind = _others(cluster, leader)
    committed = _write(cluster, b"acknowledged by all")
    cluster.crash(behind)
    cluster.crash(emptied)
    cluster.servers[emptied].disk = Disk()
    cluster.start(emptied)
    cluster.propose(leader.server_id, b"held by the leader alone")
    cluster.run(SOON_MS)
    assert cluster.servers[leader.server_id].state.index == committed
    cluster.start(behind)
    assert cluster.run(SOON_MS, until=lambda: emptied in _leader(cluster).configuration.learners)
    assert cluster.run(SOON_MS, until=partial(_leader(cluster).learner_ready, emptied))
    _change(cluster, Promote(emptied))
    cluster.crash(behind)
    _write(cluster, b"counts again")


def test_removed_server_knows_it_and_keeps_quiet() -> None:
    cluster, leader = _led()
    removed = _others(cluster, leader)[0]
    _change(cluster, Remove(removed))
    cluster.run(SOON_MS)
    node = cluster.servers[removed].node
    assert node is not None
    assert node.removed
    assert node.role is Role.FOLLOWER
    assert cluster.leader() is leader


def test_server_removed_while_away_learns_it_when_it_returns() -> None:
    cluster, leader = _led(size=4)
    removed = _others(cluster, leader)[0]
    cluster.crash(removed)
    _change(cluster, Remove(removed))
    cluster.run(SOON_MS)
    cluster.start(removed)
    cluster.run(SOON_MS)
    node = cluster.servers[removed].node
    assert node is not None
    assert node.removed
    assert cluster.leader() is leader


def test_leader_removes_itself() -> None:
    cluster, leader = _led()
    _change(cluster, Remove(leader.server_id))
    assert cluster.run(SOON_MS, until=lambda: _leads_elsewhere(cluster, leader.server_id))
    assert leader.removed
    _write(cluster, b"without it")


def test_cluster_grows_from_one_to_five_and_shrinks_again() -> None:
    cluster, leader = _led(size=1)
    for new in range(1, 5):
        _change(cluster, AddLearner(new))
        cluster.add_server(new)
        assert cluster.run(SOON_MS, until=partial(leader.learner_ready, new))
        _change(cluster, Promote(new))
        _write(cluster, b"%d" % new)
    for old in range(5):
        leader = _leader(cluster)
        if old != leader.server_id and len(leader.configuration.voters) > 2:
            _change(cluster, Remove(old))
            _write(cluster, b"without %d" % old)
    assert len(_leader(cluster).configuration.voters) == 2


def test_servers_may_start_in_any_order() -> None:
    cluster = Cluster(0, 3)
    for server in range(3):
        cluster.crash(server)
    for server in (2, 0, 1):
        cluster.start(server)
        cluster.run(3 * ELECTION_TIMEOUT_MS)
    assert _write(cluster, b"a") > 0


def test_failed_disk_of_the_leader_hands_over_at_once() -> None:
    cluster, leader = _led()
    began_ms = cluster.now_ms
    cluster.fail_disk(leader.server_id)
    assert cluster.run(SOON_MS, until=lambda: _leads_elsewhere(cluster, leader.server_id))
    assert cluster.now_ms - began_ms < ELECTION_TIMEOUT_MS / 2


def test_stalled_disk_of_the_leader_hands_over() -> None:
    cluster, leader = _led()
    cluster.servers[leader.server_id].disk_delay_max_ms = 10**9
    index = cluster.propose(leader.server_id, b"written by the others")
    assert index is not None
    assert cluster.run(SOON_MS, until=lambda: _leads_elsewhere(cluster, leader.server_id))
    successor = cluster.leader()
    assert successor is not None
    assert successor.applied_index > index


def test_states_are_equal_after_everything() -> None:
    cluster, _ = _led(size=5)
    _write(cluster, *[b"x"] * 200)
    states: set[State] = {server.state for server in cluster.alive()}
    assert len(states) == 1
