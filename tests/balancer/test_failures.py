"""Passive accounting: nginx's quiet period with one live probe, and the guards around it."""

from __future__ import annotations

import pytest

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.health import CheckSettings, Guards, Tally
from services.balancer.core.peers import Peer, PeerSettings, State, Verdict
from services.balancer.core.retry import RetryPolicy

pytestmark = pytest.mark.interpreted_too

NO_GUARDS = Guards()


def group_of(count: int, guards: Guards = NO_GUARDS, **more: float) -> Group:
    servers = tuple(PeerSettings(address=f"10.0.0.{i}:80", **more) for i in range(count))  # type: ignore[arg-type]
    return Group(GroupSettings(name="app", servers=servers, guards=guards))


def play(peer: Peer, script: str) -> list[int]:
    """Run events such as ``100F 109S``: a request at a second that fails or succeeds; returns ``fails`` after each."""
    seen = []
    for event in script.split():
        now = int(event[:-1])
        assert peer.eligible(0, now), event
        peer.select(now)
        peer.release(now, failed=event[-1] == "F")
        seen.append(peer.fails)
    return seen


def test_fail_timeout_is_a_quiet_period_not_a_window() -> None:
    peer = Peer(0, PeerSettings(address="x:1", max_fails=3, fail_timeout_s=10))
    assert play(peer, "100F 109S 110F 120F") == [1, 1, 2, 3]
    assert [t for t in range(121, 132) if peer.eligible(0, t)] == [131]
    assert play(peer, "131S") == [0]


def test_a_failed_probe_buys_another_period() -> None:
    peer = Peer(0, PeerSettings(address="x:1", max_fails=3, fail_timeout_s=10))
    assert play(peer, "100F 111S 112F 113F 114F") == [1, 0, 1, 2, 3]
    assert not any(peer.eligible(0, t) for t in range(115, 125))
    assert play(peer, "125F") == [4]
    assert not any(peer.eligible(0, t) for t in range(126, 136))
    assert play(peer, "136S") == [0]


def test_while_one_request_probes_the_others_stay_away() -> None:
    peer = Peer(0, PeerSettings(address="x:1", max_fails=1, fail_timeout_s=10))
    play(peer, "100F")
    peer.select(111)
    assert not peer.eligible(0, 111)
    assert not peer.eligible(0, 121)
    assert peer.eligible(0, 122)


def test_max_fails_zero_switches_accounting_off() -> None:
    peer = Peer(0, PeerSettings(address="x:1", max_fails=0))
    play(peer, "100F 100F 100F")
    assert peer.state(100) is State.UP


def test_every_failure_that_leaves_a_peer_unavailable_is_told_as_nginx_logs_it() -> None:
    group = group_of(2, max_fails=2, fail_timeout_s=10)
    peer = group.peers[0]

    def told(now: int, *, failed: bool) -> bool:
        peer.select(now)
        return group.release(group.turn(), peer, now, failed=failed)

    assert [told(100, failed=True), told(101, failed=True), told(112, failed=True)] == [False, True, True]
    assert [told(123, failed=False), told(124, failed=True)] == [False, False]
    assert peer.stats.unavail == 1


def test_the_only_server_is_never_unavailable() -> None:
    group = group_of(1, max_fails=1)
    for _ in range(3):
        turn = group.turn()
        peer = group.select(turn, 100)
        assert peer is group.peers[0]
        group.release(turn, peer, 100, failed=True)
        assert group.tries_left(turn, RetryPolicy()) == 0


def test_unavail_and_unhealthy_are_told_apart() -> None:
    group = group_of(2, max_fails=1)
    passive, active = group.peers
    passive.select(100)
    passive.release(100, failed=True)
    group.judge(active, Verdict.UNHEALTHY, 100)
    assert (passive.state(101), active.state(101)) == (State.UNAVAIL, State.UNHEALTHY)
    assert group.select(group.turn(), 101) is None


def test_a_verdict_flips_only_after_enough_results_in_a_row() -> None:
    tally = Tally(Verdict.HEALTHY)
    check = CheckSettings(fails=3, passes=2)
    results = [tally.record(check, passed=passed) for passed in (False, False, True, False, False, False, True, True)]
    assert [str(v) for v in results] == ["healthy"] * 5 + ["unhealthy"] * 2 + ["healthy"]


def test_panic_ignores_verdicts_that_would_leave_too_few() -> None:
    group = group_of(3, Guards(panic=50))
    group.judge(group.peers[0], Verdict.UNHEALTHY, 0)
    assert group.peers[0].excluded and not group.panic
    group.judge(group.peers[1], Verdict.UNHEALTHY, 0)
    assert group.panic and not any(peer.excluded for peer in group.peers)
    group.judge(group.peers[1], Verdict.HEALTHY, 0)
    assert group.peers[0].excluded and not group.panic


@pytest.mark.parametrize(("percent", "out"), [(0, 4), (10, 1), (50, 2)])
def test_the_ejection_cap_bounds_how_many_are_out(percent: int, out: int) -> None:
    group = group_of(4, Guards(max_ejected=percent))
    for peer in group.peers:
        group.judge(peer, Verdict.UNHEALTHY, 0)
    assert sum(peer.excluded for peer in group.peers) == out


def test_the_ejection_cap_holds_for_passive_checks_too() -> None:
    group = group_of(4, Guards(max_ejected=25), max_fails=1)
    for _ in range(4):
        turn = group.turn()
        while (peer := group.select(turn, 100)) is not None:
            group.release(turn, peer, 100, failed=True)
    assert sum(peer.unavailable(100) for peer in group.peers) == 1


def test_slow_start_raises_the_weight_step_by_step() -> None:
    group = group_of(2, slow_start_s=10.0)
    peer = group.peers[0]
    group.judge(peer, Verdict.UNHEALTHY, 0)
    group.judge(peer, Verdict.HEALTHY, 100)
    shares = []
    for now in (100, 105, 110):
        group.ramp(now)
        shares.append(peer.weight / group.peers[1].weight)
    assert shares == [0.01, 0.5, 1.0]
