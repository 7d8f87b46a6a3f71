"""Servers that come and go at run time: rows first, consensus after them."""

from __future__ import annotations

from typing import Any

import pytest

from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.membership import changes, peer_addresses
from services.oned_lite.node.node import NodeStatus
from services.oned_lite.raft.types import AddLearner, Configuration, Promote, Remove

from .cluster import Cluster, member


# ---------------------------------------------------------------------- what is to be changed
@pytest.mark.parametrize(
    ("servers", "now", "expected"),
    [
        ({0, 1, 2}, Configuration((0, 1, 2)), []),
        ({0, 1, 2, 3}, Configuration((0, 1, 2)), [AddLearner(3)]),
        ({0, 1, 2, 3}, Configuration((0, 1, 2), (3,)), [Promote(3)]),
        ({0, 1}, Configuration((0, 1, 2), (3,)), [Remove(3), Remove(2)]),
        ({1, 2}, Configuration((0, 1, 2)), []),
        ({1, 2, 3}, Configuration((0, 1, 2)), [AddLearner(3)]),
    ],
    ids=["nothing", "a new server", "one that learns", "two to remove", "the leader itself", "add before handing over"],
)
def test_changes_bring_consensus_nearer_to_the_zone(
    servers: set[int], now: Configuration, expected: list[object]
) -> None:
    assert list(changes(servers, now, own_id=0)) == expected


def zone_of(*numbers: int) -> dict[int, ZoneServer]:
    return {number: member(number) for number in numbers}


def test_a_member_links_to_the_zone_and_to_those_on_their_way_out() -> None:
    now = Configuration((0, 1, 2))
    found = peer_addresses(zone_of(0, 1, 3), zone_of(0, 1, 2), now, own_id=0)
    assert [(peer, str(address)) for peer, address in found] == [
        (1, "127.0.20.22:2634"),
        (2, "127.0.20.23:2634"),
        (3, "127.0.20.24:2634"),
    ]


def test_a_server_that_joins_keeps_those_of_its_settings_whatever_the_old_log_says() -> None:
    found = peer_addresses(zone_of(0, 1), zone_of(5, 6, 7), Configuration((0, 1)), own_id=7)
    assert [peer for peer, _ in found] == [0, 1, 5, 6]


def test_an_endpoint_that_names_no_host_is_no_address() -> None:
    broken = ZoneServer(1, "x", "nowhere at all")
    elsewhere = ZoneServer(2, "y", "http://y:2633/RPC2", peer="[::1]:99")
    found = peer_addresses({1: broken, 2: elsewhere}, {}, Configuration((0,)), own_id=0)
    assert [(peer, str(address)) for peer, address in found] == [(2, "[::1]:99")]


# ---------------------------------------------------------------------- whole nodes
def status(cluster: Cluster, number: int) -> NodeStatus:
    node = cluster.nodes[number]
    assert node is not None
    return node.status()


def server(number: int) -> str:
    one = member(number)
    return f'SERVER = [ NAME = "{one.name}", ENDPOINT = "{one.endpoint}" ]'


def join(cluster: Cluster) -> int:
    """One more server that votes."""
    number = cluster.add()
    assert cluster.call(cluster.elect(), "one.zone.addserver", 0, server(number)) == [True, 0, 0]
    assert cluster.run(10_000, until=lambda: number in status(cluster, number).voters)
    return number


def remove(cluster: Cluster, number: int) -> None:
    assert cluster.call(number, "one.zone.delserver", 0, number) == [True, 0, 0]


def settled(cluster: Cluster, *members: int) -> bool:
    """All of them, and nobody else, vote, and all have the same state."""
    found = [status(cluster, number) for number in members]
    same = len({(one.applied_index, one.state_hash) for one in found}) == 1
    return same and all(one.voters == members and not one.learners for one in found)


def write(cluster: Cluster, through: int, name: str) -> Any:
    return cluster.call(through, "one.template.allocate", f"NAME = {name}")


def test_servers_that_are_added_catch_up_and_count() -> None:
    cluster = Cluster(3)
    cluster.elect()
    assert write(cluster, 0, "before")[0] is True
    assert (join(cluster), join(cluster)) == (3, 4)
    assert cluster.run(5000, until=lambda: settled(cluster, 0, 1, 2, 3, 4))

    cluster.kill(0)
    cluster.kill(1)
    cluster.elect()
    assert write(cluster, 4, "added") == [True, 1, 0]
    assert "before" in cluster.call(3, "one.templatepool.info", -2, -1, -1)[1]


def test_a_server_joins_by_snapshot_where_the_log_no_longer_reaches_back() -> None:
    cluster = Cluster(3, retention_entries=20)
    leader = cluster.elect()
    for number in range(100):
        assert write(cluster, leader, f"t{number}")[0] is True
    assert cluster.disks[leader].snapshot is not None

    new = join(cluster)

    assert cluster.run(5000, until=lambda: settled(cluster, 0, 1, 2, 3))
    assert cluster.disks[new].snapshot is not None


def test_a_server_that_has_joined_comes_back_after_a_restart() -> None:
    cluster = Cluster(3)
    cluster.elect()
    new = join(cluster)
    cluster.kill(new)
    assert write(cluster, cluster.elect(), "meanwhile")[0] is True
    cluster.start(new)
    assert cluster.run(5000, until=lambda: settled(cluster, 0, 1, 2, 3))


def test_a_new_server_that_is_down_is_no_voter_and_delays_nobody() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    assert cluster.call(leader, "one.zone.addserver", 0, server(3))[0] is True
    cluster.run(3000)
    assert (status(cluster, leader).voters, status(cluster, leader).learners) == ((0, 1, 2), (3,))
    assert write(cluster, leader, "t")[0] is True


def test_a_server_that_nobody_added_waits_quietly() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.add()
    cluster.run(10_000)
    assert cluster.leader() == leader
    assert (status(cluster, 3).serving, status(cluster, 3).role) == (False, "follower")


def test_a_removed_server_knows_it_and_stays_quiet() -> None:
    cluster = Cluster(5)
    leader = cluster.elect()
    gone = (leader + 1) % 5
    remove(cluster, gone)
    assert cluster.run(10_000, until=lambda: status(cluster, gone).role == "removed")
    term = status(cluster, leader).term
    cluster.run(10_000)

    found = status(cluster, gone)
    assert not found.serving and "does not belong to the zone" in found.reason
    assert cluster.peers[gone].quiet
    assert gone not in dict(cluster.peers[leader].addresses)
    assert (cluster.leader(), status(cluster, leader).term) == (leader, term)


def test_a_server_that_was_down_when_it_was_removed_hears_of_it_when_it_is_back() -> None:
    cluster = Cluster(5)
    leader = cluster.elect()
    gone = (leader + 1) % 5
    cluster.kill(gone)
    assert cluster.call(leader, "one.zone.delserver", 0, gone) == [True, 0, 0]
    cluster.run(30_000)

    cluster.start(gone)

    assert cluster.run(10_000, until=lambda: status(cluster, gone).role == "removed")
    assert cluster.leader() == leader


def test_the_leader_may_be_removed() -> None:
    cluster = Cluster(4)
    leader = cluster.elect()
    remove(cluster, leader)
    rest = [number for number in range(4) if number != leader]
    assert cluster.run(10_000, until=lambda: settled(cluster, *rest) and cluster.leader() in rest)
    assert cluster.run(10_000, until=lambda: status(cluster, leader).role == "removed")
    assert write(cluster, rest[0], "after")[0] is True


def test_a_removed_server_can_be_added_again() -> None:
    cluster = Cluster(3)
    cluster.elect()
    last = join(cluster)
    remove(cluster, last)
    assert cluster.run(10_000, until=lambda: status(cluster, last).role == "removed")
    assert write(cluster, 0, "meanwhile")[0] is True
    assert cluster.call(0, "one.zone.addserver", 0, server(last))[0] is True
    assert cluster.run(10_000, until=lambda: settled(cluster, 0, 1, 2, 3))
    assert status(cluster, last).serving


def test_every_server_of_a_zone_can_be_replaced() -> None:
    cluster = Cluster(3)
    cluster.elect()
    for old in range(3):
        join(cluster)
        remove(cluster, old)
        assert cluster.run(10_000, until=lambda old=old: status(cluster, old).role == "removed")
        cluster.kill(old)
        assert write(cluster, cluster.elect(), f"t{old}")[0] is True
    assert cluster.run(5000, until=lambda: settled(cluster, 3, 4, 5))


def test_servers_that_are_needed_for_a_majority_are_not_removed() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    dead, alive = [number for number in range(3) if number != leader]
    cluster.kill(dead)
    cluster.run(2000)
    assert cluster.call(leader, "one.zone.delserver", 0, alive)[0] is True
    cluster.run(2000)
    assert status(cluster, leader).voters == (0, 1, 2), "two voters, one of them dead, would be no majority"

    cluster.start(dead)
    rest = sorted((leader, dead))
    assert cluster.run(10_000, until=lambda: settled(cluster, *rest))


def test_an_id_is_not_given_away_before_its_server_has_left() -> None:
    cluster = Cluster(3)
    cluster.elect()
    cluster.kill(2)
    leader = cluster.elect()
    cluster.start(2)
    cluster.run(1000)
    cluster.kill(1 - leader)
    cluster.run(2000)
    assert cluster.call(leader, "one.zone.delserver", 0, 2)[0] is True
    assert cluster.call(leader, "one.zone.addserver", 0, server(3))[0] is True
    assert "<ID><![CDATA[3]]></ID>" in cluster.call(leader, "one.zone.info", 0)[1]


def test_even_sizes_are_warned_of_once() -> None:
    cluster = Cluster(3)
    cluster.elect()
    join(cluster)
    cluster.run(3000)
    assert sum("4 servers vote" in notice for notice in cluster.notices) == 1


def test_one_server_alone_does_not_care_about_servers_of_its_zone() -> None:
    cluster = Cluster(1)
    assert cluster.call(0, "one.zone.addserver", 0, server(0)) == [True, 0, 0]
    assert cluster.call(0, "one.zone.delserver", 0, 0) == [True, 0, 0]
    assert write(cluster, 0, "t")[0] is True


def test_a_peer_address_that_is_none_is_refused() -> None:
    cluster = Cluster(1)
    text = 'SERVER = [ NAME = a, ENDPOINT = "http://a:2633/RPC2", PEER = "a" ]'
    assert "expected HOST:PORT, got 'a'" in cluster.call(0, "one.zone.addserver", 0, text)[1]
    assert cluster.call(0, "one.zone.addserver", 0, text.replace('"a" ]', '"a:99" ]'))[0] is True
    assert "<PEER><![CDATA[a:99]]></PEER>" in cluster.call(0, "one.zone.info", 0)[1]
