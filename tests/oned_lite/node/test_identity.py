"""Who may do what is the same question on every server, and has the same answer once a change is committed."""

from __future__ import annotations

from services.oned_lite.policy import delegation
from services.oned_lite.policy.authentication import password_hash

from .cluster import EPOCH_S, Cluster

ALICE = "alice:secret"


def three_servers() -> tuple[Cluster, int, int]:
    """A cluster where alice has been served by the leader and by a follower."""
    cluster = Cluster(3)
    leader = cluster.elect()
    follower = (leader + 1) % 3
    assert cluster.call(follower, "one.user.allocate", "alice", "secret", "core", [1])[0] is True
    for server in (leader, follower):
        assert cluster.call(server, "one.user.info", -1, session=ALICE)[0] is True
    return cluster, leader, follower


def test_a_password_changed_on_the_leader_is_wrong_on_a_follower_that_knew_the_session() -> None:
    cluster, leader, follower = three_servers()
    assert cluster.call(leader, "one.user.passwd", 2, "other")[0] is True
    cluster.run(300)
    assert cluster.call(follower, "one.user.info", -1, session=ALICE)[2] == 0x100
    assert cluster.call(follower, "one.user.info", -1, session="alice:other")[0] is True


def test_a_rule_added_by_the_leader_counts_on_a_follower() -> None:
    cluster, leader, follower = three_servers()
    assert cluster.call(follower, "one.user.info", 0, session=ALICE)[0] is False
    assert cluster.call(leader, "one.acl.addrule", "100000002", "10100000000", "1")[0] is True
    cluster.run(300)
    assert cluster.call(follower, "one.user.info", 0, session=ALICE)[0] is True


def test_a_useless_token_is_removed_by_the_leader_even_if_it_was_only_used_to_read() -> None:
    cluster, leader, _ = three_servers()
    gid = cluster.call(leader, "one.group.allocate", "devs")[1]
    token = cluster.call(leader, "one.user.login", "alice", "scoped", 600, gid)[1]
    assert cluster.call(leader, "one.user.info", -1, session=f"alice:{token}")[2] == 0x100
    assert "scoped" not in cluster.call(leader, "one.user.info", 2)[1]


def test_a_server_token_is_good_on_every_server_and_after_a_change_of_leader() -> None:
    cluster, leader, follower = three_servers()
    stored = password_hash("other")
    assert cluster.call(leader, "one.user.passwd", 1, stored)[0] is True
    cluster.run(300)
    token = delegation.seal(stored, "serveradmin", "alice", EPOCH_S + 10_000)
    session = f"serveradmin:alice:{token}"
    assert cluster.call(follower, "one.user.info", -1, session=session)[0] is True
    cluster.kill(leader)
    answer = cluster.call(follower, "one.template.allocate", "NAME = t", session=session, within_ms=3000)
    assert answer == [True, 0, 0]
