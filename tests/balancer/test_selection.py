"""Selection methods against hand-computed vectors; the same vectors run against a real nginx elsewhere."""

from __future__ import annotations

from collections import Counter

import pytest

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.peers import Peer, PeerSettings
from services.balancer.core.selection import Turn, method_named


def group_of(*weights: int, method: str = "least_conn", backups: int = 0, **more: int) -> Group:
    servers = tuple(PeerSettings(address=f"10.0.0.{i}:80", weight=w, **more) for i, w in enumerate(weights))
    spare = tuple(PeerSettings(address=f"10.0.1.{i}:80", backup=True) for i in range(backups))
    return Group(GroupSettings(name="app", servers=servers + spare, method=method))


def name(peer: Peer | None) -> str:
    return "-" if peer is None else "abcdefgh"[peer.id]


def picks(group: Group, count: int, *, held: bool = False, now: int = 1000, key: bytes = b"") -> str:
    """Names of the peers picked by ``count`` requests, each ended at once unless ``held``."""
    out = ""
    for _ in range(count):
        turn = group.turn(key)
        peer = group.select(turn, now)
        out += name(peer)
        if peer is not None and not held:
            group.release(turn, peer, now, failed=False)
    return out


@pytest.mark.parametrize("method", ["least_conn", "round_robin"])
@pytest.mark.parametrize(("weights", "expected"), [((1, 1, 1), "abcabcabc"), ((5, 1, 1), "aabacaaaabacaa")])
def test_idle_peers_are_picked_by_smooth_weighted_round_robin(
    method: str, weights: tuple[int, ...], expected: str
) -> None:
    assert picks(group_of(*weights, method=method), len(expected)) == expected


@pytest.mark.parametrize(
    ("weights", "expected"), [((1, 1, 1), "abccbaabc"), ((2, 1), "ababaaaba"), ((3, 2, 1), "abcababcaaba")]
)
def test_held_requests_spread_by_connections_per_weight(weights: tuple[int, ...], expected: str) -> None:
    assert picks(group_of(*weights), len(expected), held=True) == expected


def test_a_down_peer_is_never_picked() -> None:
    group = group_of(1, 1, 1)
    group.peers[1].down = True
    group.refresh()
    assert set(picks(group, 6)) == {"a", "c"}


def test_a_full_peer_is_skipped_and_all_full_means_none() -> None:
    assert picks(group_of(1, 1, max_conns=2), 5, held=True) == "abba-"


def test_a_request_does_not_try_a_peer_twice() -> None:
    group = group_of(1, 1, 1)
    turn = group.turn()
    tried = [name(group.select(turn, 1000)) for _ in range(4)]
    assert sorted(tried) == ["-", "a", "b", "c"]


def test_backups_are_asked_only_after_the_primaries() -> None:
    group = group_of(1, 1, backups=1)
    turn = group.turn()
    assert [name(group.select(turn, 1000)) for _ in range(4)] == ["a", "b", "c", "-"]


def test_ip_hash_keeps_a_network_on_one_peer() -> None:
    group = group_of(1, 1, 1, method="ip_hash")
    first = picks(group, 1, key=bytes([10, 1, 2, 3]))
    assert picks(group, 5, key=bytes([10, 1, 2, 200])) == first * 5
    assert len({picks(group, 1, key=bytes([10, n, 0, 1])) for n in range(50)}) == 3


def test_consistent_hash_moves_only_keys_of_the_removed_peer() -> None:
    group = group_of(1, 1, 1, 1, method="hash consistent")
    keys = [b"/page/%d" % n for n in range(400)]
    before = {key: picks(group, 1, key=key) for key in keys}
    group.remove(group.peers[1])
    after = {key: picks(group, 1, key=key) for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert moved and all(before[key] == "b" for key in moved)


def test_a_pick_from_the_ring_lets_a_lowered_weight_grow_back() -> None:
    """As in nginx; requests without a key, which go round robin, show it."""
    group = group_of(5, 5, method="hash consistent", max_fails=3)
    key = next(key for key in (b"%d" % n for n in range(100)) if picks(group, 1, key=key) == "a")
    turn = group.turn(key)
    failing = group.select(turn, 1000)
    assert failing is group.peers[0]
    group.release(turn, failing, 1000, failed=True)
    assert picks(group, 1, key=key) == "a"
    assert picks(group, 4) == "abab"


def test_hash_falls_back_to_round_robin_when_its_peers_are_out() -> None:
    group = group_of(1, 1, method="hash")
    group.peers[0].down = True
    group.refresh()
    assert set(picks(group, 20, key=b"k")) == {"b"}


def test_random_two_prefers_the_less_busy() -> None:
    group = group_of(1, 1, method="random two")
    group.peers[0].conns = 50
    assert picks(group, 20) == "b" * 20


def test_random_respects_weights() -> None:
    group = group_of(9, 1, method="random")
    chosen = picks(group, 2000)
    assert 0.85 < chosen.count("a") / len(chosen) < 0.95


def test_weight_lowered_by_a_failure_grows_back_in_ties_only() -> None:
    group = group_of(4, 4, max_fails=4, fail_timeout_s=0)
    turn = Turn(group.primaries)
    peer = group.select(turn, 1000)
    assert peer is not None
    group.release(turn, peer, 1000, failed=True)
    assert peer.effective_weight == 3
    picks(group, 1, now=1002)
    assert peer.effective_weight == 4


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["random", "random two"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (3, 2, 1)])
def test_chance_is_spread_by_weight(method: str, weights: tuple[int, ...], seed: int) -> None:
    """Of two idle peers the one drawn second is taken, as in nginx. Seeds make the outcome the same every time."""
    group, total, draws = group_of(*weights), sum(weights), 20_000
    shares = [weight / total for weight in weights]
    if method == "random two":
        shares = [sum(other / total * weight / (total - other) for first, other in enumerate(weights) if first != second)
                  for second, weight in enumerate(weights)]  # fmt: skip
    chooser = method_named(method, seed=seed)
    drawn = Counter(name(chooser.pick(Turn(group.primaries), 1000)) for _ in range(draws))
    chi_square = sum(
        (drawn[peer] - draws * share) ** 2 / (draws * share) for peer, share in zip("abc", shares, strict=True)
    )
    assert chi_square < 13.8  # of two degrees of freedom; one honest draw in a thousand is above


def test_the_less_busy_of_two_is_taken() -> None:
    group, chooser = group_of(1, 1, 1, 4), method_named("random two", seed=1)
    for peer, conns in zip(group.peers, (0, 1, 2, 4), strict=True):
        peer.conns = conns
    group.peers[2].down = True
    group.refresh()
    drawn = Counter(name(chooser.pick(Turn(group.primaries), 1000)) for _ in range(6000))
    # a loses to nobody; b and d are equally busy for their weights, so the one drawn second is taken.
    expected = {"a": 8 / 15, "b": 5 / 15, "c": 0, "d": 2 / 15}
    assert all(abs(drawn[peer] / 6000 - share) < 0.03 for peer, share in expected.items())


def test_chance_does_not_go_on_for_ever() -> None:
    group, chooser = group_of(1, 1, 1), method_named("random two", seed=1)
    for peer in group.peers[1:]:
        peer.down = True
    group.refresh()
    assert {name(chooser.pick(Turn(group.primaries), 1000)) for _ in range(100)} == {"a"}
