"""Whole nodes in one process: what clients see when servers come and go."""

from __future__ import annotations

import random
from typing import Any

import pytest

from services.common.xmlrpc import encode_response
from services.oned_lite.node import frames
from services.oned_lite.node.long_reads import ROWS_PER_TURN

from .cluster import ADMIN, Cluster


def hashes(cluster: Cluster, servers: int) -> int:
    """How many different states there are."""
    return len({cluster.nodes[n].status().state_hash for n in range(servers)})  # type: ignore[union-attr]


def test_one_server_alone_serves_at_once() -> None:
    cluster = Cluster(1)
    assert cluster.call(0, "one.template.allocate", "NAME = t") == [True, 0, 0]
    assert "<STATE>0</STATE>" in cluster.call(0, "one.zone.raftstatus")[1]


def test_a_write_through_a_follower_is_seen_by_its_next_read() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    follower = (leader + 1) % 3
    assert cluster.call(follower, "one.template.allocate", "NAME = t") == [True, 0, 0]
    assert "<NAME>t</NAME>" in cluster.call(follower, "one.template.info", 0)[1]


def test_an_answer_waits_until_the_follower_has_applied_what_it_tells_of_but_not_for_ever() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    follower = (leader + 1) % 3
    cluster.cut = {(follower, leader)}
    key = cluster.send(follower, "one.template.allocate", "NAME = t")
    far_ahead = frames.Forwarded(number=1, body=encode_response([True, 0, 0]), index=10_000)
    cluster.nodes[follower].frame(leader, frames.encode(far_ahead), cluster.moment())  # type: ignore[union-attr]
    cluster.run(500)
    assert key not in cluster.answers
    cluster.run(1000)
    assert cluster.answers[key] == [True, 0, 0]


def test_every_server_ends_with_the_same_state() -> None:
    cluster = Cluster(3)
    cluster.elect()
    for number in range(12):
        assert cluster.call(number % 3, "one.template.allocate", f"NAME = t{number}")[0] is True
    cluster.run(500)
    assert len({cluster.nodes[n].status().state_hash for n in range(3)}) == 1  # type: ignore[union-attr]


def test_requests_made_during_an_election_wait_for_the_new_leader() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    survivor = (leader + 1) % 3
    cluster.kill(leader)
    assert cluster.call(survivor, "one.template.allocate", "NAME = t", within_ms=3000) == [True, 0, 0]


def test_without_a_majority_writes_are_refused_at_once_and_reads_go_on() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    assert cluster.call(leader, "one.template.allocate", "NAME = t")[0] is True
    cluster.run(300)
    survivor, *others = [(leader + offset) % 3 for offset in range(3)]
    for other in others:
        cluster.kill(other)
    cluster.run(1500)
    refused = cluster.call(survivor, "one.template.allocate", "NAME = u", within_ms=20)
    assert refused == [False, "[one.template.allocate] Cannot process request, no leader found", 8192, -1, -1]
    assert cluster.call(survivor, "one.template.info", 0)[0] is True


def test_a_server_whose_database_failed_sends_writers_elsewhere_at_once() -> None:
    cluster = Cluster(3)
    sick = (cluster.elect() + 1) % 3
    node = cluster.nodes[sick]
    assert node is not None
    node.persist_failed(cluster.moment())
    refused = cluster.call(sick, "one.template.allocate", "NAME = t", within_ms=20)
    assert refused[:2] == [
        False,
        "[one.template.allocate] Cannot process request, the database of this server has failed",
    ]
    assert cluster.call(cluster.elect(), "one.template.allocate", "NAME = t")[0] is True


def test_writers_waiting_for_a_lost_majority_learn_that_their_outcome_is_unknown() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.isolate(leader)
    answer = cluster.call(leader, "one.template.allocate", "NAME = t", within_ms=3000)
    assert answer[0] is False
    assert "unknown" in answer[1]


def test_writers_do_not_wait_for_ever_for_others_that_are_there_and_do_not_write() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.slow_disks = {number for number in range(3) if number != leader}
    answer = cluster.call(leader, "one.template.allocate", "NAME = t", within_ms=12_000)
    assert "No majority had the change in time" in answer[1]
    assert cluster.leader() == leader
    cluster.slow_disks.clear()
    assert cluster.call(leader, "one.template.allocate", "NAME = u")[0] is True


def test_an_isolated_leader_never_answers_a_linearizable_read_from_stale_state() -> None:
    cluster = Cluster(3)
    old = cluster.elect()
    cluster.isolate(old)
    key = cluster.send(old, "one.system.version")
    cluster.run(3000)
    assert cluster.answers[key][0] is False  # type: ignore[index]


def test_a_linearizable_read_handed_to_a_leader_without_majority_is_not_answered_from_its_tables() -> None:
    cluster = Cluster(5)
    leader = cluster.elect()
    assert cluster.call(leader, "one.template.allocate", "NAME = t")[0] is True
    follower, *others = [(leader + offset) % 5 for offset in range(1, 5)]
    for other in others:
        cluster.cut |= {(leader, other), (other, leader), (follower, other), (other, follower)}
    key = cluster.send(follower, "one.template.info", 0, linearizable=True)
    cluster.run(5000)
    assert cluster.answers[key][0] is False  # type: ignore[index]


def test_an_answer_that_rests_on_a_write_under_way_waits_for_it() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.isolate(leader)
    cluster.send(leader, "one.template.allocate", "NAME = t")
    taken = cluster.send(leader, "one.template.allocate", "NAME = t")
    assert taken not in cluster.answers
    cluster.run(3000)
    assert "unknown" in cluster.answers[taken][1]  # type: ignore[index,operator]


def test_writes_that_were_lost_with_their_leadership_are_forgotten() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.isolate(leader)
    for number in range(10):
        cluster.send(leader, "one.template.allocate", f"NAME = t{number}")
    cluster.run(3000)
    cluster.heal()
    cluster.run(1000)
    successor = cluster.elect()
    assert cluster.nodes[successor].raft.transfer_leadership(leader, cluster.now_ms)  # type: ignore[union-attr]
    assert cluster.run(1000, until=lambda: cluster.leader() == leader)
    assert cluster.call(leader, "one.template.allocate", "NAME = t9") == [True, 0, 0]


def test_a_new_leader_decides_nothing_before_it_knows_all_that_was_written_before_it() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    others = [number for number in range(3) if number != leader]
    cluster.cut = {(other, leader) for other in others}
    for name in ("a", "b", "c"):
        cluster.send(leader, "one.template.allocate", f"NAME = {name}")
    cluster.kill(leader)
    asked = [cluster.send(other, "one.template.allocate", "NAME = c") for other in others]
    assert cluster.run(3000, until=lambda: all(key in cluster.answers for key in asked))
    assert all("already taken" in cluster.answers[key][1] for key in asked)  # type: ignore[index,operator]


def test_a_server_away_for_long_forgets_what_was_deleted_meanwhile() -> None:
    cluster = Cluster(3)
    cluster.retention_entries = 20
    for number in range(3):
        cluster.kill(number)
        cluster.start(number)
    leader = cluster.elect()
    assert cluster.call(leader, "one.template.allocate", "NAME = t") == [True, 0, 0]
    away = (leader + 1) % 3
    cluster.run(500)
    cluster.kill(away)
    assert cluster.call(leader, "one.template.delete", 0)[0] is True
    for number in range(60):
        assert cluster.call(leader, "one.template.allocate", f"NAME = t{number}")[0] is True
    cluster.start(away)
    cluster.run(2000)
    assert cluster.call(away, "one.template.info", 0)[0] is False
    assert len({cluster.nodes[n].status().state_hash for n in range(3)}) == 1  # type: ignore[union-attr]


def test_writes_made_while_leadership_is_handed_over_wait_for_what_comes_of_it() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.cut = {(leader, other) for other in range(3)}
    cluster.nodes[leader].hand_over(cluster.moment())  # type: ignore[union-attr]
    key = cluster.send(leader, "one.template.allocate", "NAME = t")
    cluster.heal()
    assert cluster.run(3000, until=lambda: key in cluster.answers)
    assert cluster.answers[key] == [True, 0, 0]


def test_a_leader_that_has_slept_may_be_asked_to_hand_over() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.now_ms += 60_000
    cluster.nodes[leader].hand_over(cluster.moment())  # type: ignore[union-attr]
    assert cluster.leader() is None


def test_a_server_that_is_elected_while_it_stops_hands_over_again() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    stopping, other = [number for number in range(3) if number != leader]
    cluster.kill(other)
    cluster.cut = {(stopping, leader)}
    cluster.send(stopping, "one.template.allocate", "NAME = t")
    cluster.nodes[stopping].stop(cluster.moment())  # type: ignore[union-attr]
    cluster.heal()
    cluster.nodes[leader].hand_over(cluster.moment())  # type: ignore[union-attr]
    assert cluster.run(300, until=lambda: cluster.leader() == stopping), "it still waits for the leader's answer"
    assert cluster.run(300, until=lambda: cluster.leader() == leader)


def test_writers_do_not_wait_for_a_leader_that_hangs_longer_than_for_a_new_one() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    follower = (leader + 1) % 3
    cluster.isolate(leader)
    answer = cluster.call(follower, "one.template.allocate", "NAME = t", within_ms=4000)
    assert "Cannot tell the outcome" in answer[1]


def test_a_killed_server_comes_back_and_catches_up() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.kill(leader)
    cluster.elect()
    for number in range(5):
        assert cluster.call(cluster.elect(), "one.template.allocate", f"NAME = t{number}")[0] is True
    cluster.start(leader)
    cluster.run(2000)
    assert len({cluster.nodes[n].status().state_hash for n in range(3)}) == 1  # type: ignore[union-attr]


def test_a_server_that_was_away_for_long_stands_in_for_one_that_is_killed() -> None:
    """It needs a snapshot, and nothing can be written before it has caught up."""
    cluster = Cluster(3, retention_entries=20)
    leader = cluster.elect()
    away, killed = (leader + 1) % 3, (leader + 2) % 3
    cluster.kill(away)
    for number in range(100):
        assert cluster.call(leader, "one.template.allocate", f"NAME = t{number}")[0] is True
    cluster.kill(killed)
    cluster.start(away)

    assert cluster.call(away, "one.template.allocate", "NAME = after")[0] is True
    assert cluster.disks[away].snapshot is not None
    cluster.start(killed)
    assert cluster.run(3000, until=lambda: hashes(cluster, 3) == 1)


@pytest.mark.parametrize("servers", [3, 5, 7])
@pytest.mark.parametrize("seed", range(2))
def test_a_zone_may_be_started_in_any_order(servers: int, seed: int) -> None:
    """Whoever is there waits for a majority; whoever comes later joins in."""
    cluster, rng = Cluster(servers, seed=seed, started=False), random.Random(seed)
    order = rng.sample(range(servers), servers)
    for place, number in enumerate(order):
        cluster.start(number)
        cluster.run(rng.randint(0, 4000))
        assert cluster.leader() is None or place >= servers // 2, "a leader without a majority"
    cluster.elect()
    for number in order:
        assert cluster.call(number, "one.template.allocate", f"NAME = t{number}")[0] is True
    assert cluster.run(3000, until=lambda: hashes(cluster, servers) == 1)


def test_acknowledged_writes_survive_the_restart_of_all_servers() -> None:
    cluster = Cluster(3)
    cluster.elect()
    assert cluster.call(0, "one.template.allocate", "NAME = t") == [True, 0, 0]
    for number in range(3):
        cluster.kill(number)
    for number in range(3):
        cluster.start(number)
    cluster.elect()
    assert cluster.call(1, "one.template.rename", 0, "u") == [True, 0, 0]


def test_a_wrong_password_is_refused_with_or_without_a_leader() -> None:
    cluster = Cluster(3)
    cluster.elect()
    answer = cluster.call(0, "one.zone.raftstatus", session=ADMIN + "x")
    assert answer[:3] == [False, "[one.zone.raftstatus] User couldn't be authenticated, aborting call.", 256]


def test_a_server_that_gets_a_snapshot_while_writes_go_on_ends_with_the_same_state() -> None:
    cluster, leader, away = with_one_left_behind()

    cluster.start(away)
    for number in range(40, 60):
        assert cluster.call(leader, "one.template.allocate", f"NAME = t{number}")[0] is True
    assert cluster.run(3000, until=lambda: same_state(cluster))

    assert cluster.disks[away].snapshot is not None
    assert "<NAME>t59</NAME>" in cluster.call(away, "one.template.info", 59)[1]


def test_the_log_behind_a_snapshot_is_kept_until_its_receiver_has_it() -> None:
    """Or a zone that writes faster than a snapshot can be taken over would send one after the other."""
    cluster, leader, away = with_one_left_behind()
    cluster.slow_disks.add(away)
    cluster.start(away)
    cluster.run(500, until=lambda: cluster.unwritten(away))
    for number in range(40, 60):
        assert cluster.call(leader, "one.template.allocate", f"NAME = t{number}")[0] is True
    cluster.slow_disks.clear()

    assert cluster.run(3000, until=lambda: same_state(cluster))
    assert cluster.installed == 1


def with_one_left_behind() -> tuple[Cluster, int, int]:
    """A cluster, its leader, and a server that is down and needs more than the log holds."""
    cluster = Cluster(3, retention_entries=5)
    leader = cluster.elect()
    away = (leader + 1) % 3
    cluster.kill(away)
    for number in range(40):
        assert cluster.call(leader, "one.template.allocate", f"NAME = t{number}")[0] is True
    return cluster, leader, away


def same_state(cluster: Cluster) -> bool:
    return len({cluster.nodes[n].status().state_hash for n in cluster.up()}) == 1  # type: ignore[union-attr]


def test_a_long_list_is_of_one_moment_and_lets_others_have_their_turn() -> None:
    cluster = Cluster(1)
    for number in range(3 * ROWS_PER_TURN):
        cluster.call(0, "one.template.allocate", f"NAME = t{number}")

    listing = cluster.send(0, "one.templatepool.info", -2, -1, -1)
    assert listing not in cluster.answers
    assert cluster.call(0, "one.template.rename", 0, "other")[0] is True
    assert cluster.call(0, "one.template.delete", 1, False)[0] is True
    assert cluster.call(0, "one.template.allocate", "NAME = late")[0] is True
    assert listing not in cluster.answers, "the others had to wait for it"
    assert cluster.run(1000, until=lambda: listing in cluster.answers)

    assert names(cluster.answers[listing]) == {f"t{number}" for number in range(3 * ROWS_PER_TURN)}
    now = names(cluster.call(0, "one.templatepool.info", -2, -1, -1))
    assert {"other", "late"} <= now and not {"t0", "t1"} & now


def test_a_long_list_that_nobody_waits_for_is_not_made() -> None:
    cluster = Cluster(1)
    for number in range(2 * ROWS_PER_TURN):
        cluster.call(0, "one.template.allocate", f"NAME = t{number}")
    node = cluster.nodes[0]
    assert node is not None
    _, number = cluster.send(0, "one.templatepool.info", -2, -1, -1)
    assert node.status().waiting == 1
    node.drop_request(number)
    assert node.status().waiting == 0


def names(answer: Any) -> set[str]:
    assert answer[0] is True, answer
    return {part.split("</NAME>")[0] for part in answer[1].split("<NAME>")[1:]}
