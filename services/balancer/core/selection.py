"""Which peer gets a request: nginx's methods, bit for bit where nginx is deterministic.

A method is an object with ``pick(turn, now)``. It looks only at ``turn.peers`` (one tier: primaries or backups) and never
changes a peer except for its round-robin weights. Sources: nginx upstream modules ``round_robin``, ``least_conn``,
``ip_hash``, ``hash``, ``random``.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from zlib import crc32

from services.balancer.core.peers import Peer, total_weight

MAX_MISSES = 20  # hashed and random picks fall back to round robin after this many unusable peers
POINTS_PER_WEIGHT = 160


class Turn:
    """One request's way through a group: the tier it is in, what it tried, and its hash key.

    ``used`` counts attempts. The defaults are those of the class because most turns never leave them.
    """

    tried = 0
    used = 0
    key = b""
    hash = -1
    rehash = 0
    misses = 0

    def __init__(self, peers: list[Peer], key: bytes = b"") -> None:
        self.peers = peers
        if key:
            self.key = key


class Method:
    """A selection method."""

    name = ""

    def pick(self, turn: Turn, now: int) -> Peer | None:
        """Return the peer for this attempt, or None when no peer of the tier is eligible."""
        raise NotImplementedError


class RoundRobin(Method):
    """Smooth weighted round robin: 5,1,1 gives a a b a c a a."""

    name = "round_robin"

    def __init__(self, step: int = 1) -> None:
        self._step = step  # how fast a weight lowered by failures grows back

    def pick(self, turn: Turn, now: int) -> Peer | None:
        tried = turn.tried
        return self.spin([peer for peer in turn.peers if peer.eligible(tried, now)])

    def spin(self, peers: Sequence[Peer]) -> Peer | None:
        """One step among ``peers``, all eligible."""
        total = 0
        best: Peer | None = None
        for peer in peers:
            weight = peer.effective_weight
            peer.current_weight += weight
            total += weight
            if weight < peer.weight:
                peer.effective_weight = min(peer.weight, weight + self._step)
            if best is None or peer.current_weight > best.current_weight:
                best = peer
        if best is not None:
            best.current_weight -= total
        return best


class LeastConn(Method):
    """Fewest requests in progress per weight; ties are settled by round robin among the tied."""

    name = "least_conn"

    def __init__(self, step: int = 1) -> None:
        self._round_robin = RoundRobin(step)

    def pick(self, turn: Turn, now: int) -> Peer | None:
        tried = turn.tried
        best: Peer | None = None
        tied: list[Peer] | None = None
        for peer in turn.peers:
            if (tried or peer.watched) and not peer.eligible(tried, now):
                continue
            if best is None:
                best = peer
                continue
            mine, least = peer.conns * best.weight, best.conns * peer.weight
            if mine < least:
                best = peer
                tied = None
            elif mine == least:
                if tied is None:
                    tied = [best]
                tied.append(peer)
        # Without a tie the round-robin weights stay untouched.
        return best if tied is None else self._round_robin.spin(tied)


class IpHash(Method):
    """The client's network (first three octets of IPv4, all of IPv6) decides."""

    name = "ip_hash"

    def __init__(self, step: int = 1) -> None:
        self._round_robin = RoundRobin(step)

    def pick(self, turn: Turn, now: int) -> Peer | None:
        """``turn.key`` is the packed address (4 or 16 bytes); all clients without one are the same to nginx."""
        address = turn.key[:3] if len(turn.key) == 4 else turn.key if len(turn.key) == 16 else bytes(3)
        total = total_weight(turn.peers)
        if turn.hash < 0:
            turn.hash = 89
        while turn.misses <= MAX_MISSES and total:
            for octet in address:
                turn.hash = (turn.hash * 113 + octet) % 6271
            peer = at_weight(turn.peers, turn.hash % total)
            if peer.eligible(turn.tried, now):
                return peer
            turn.misses += 1
        return self._round_robin.pick(turn, now)


class Hash(Method):
    """The hash of a key modulo the weights; a change of the group moves most keys."""

    name = "hash"

    def __init__(self, step: int = 1) -> None:
        self._round_robin = RoundRobin(step)

    def pick(self, turn: Turn, now: int) -> Peer | None:
        total = total_weight(turn.peers)
        if turn.hash < 0:
            turn.hash = 0
        while turn.misses <= MAX_MISSES and total and turn.key:
            salt = b"%d" % turn.rehash if turn.rehash else b""
            turn.hash += crc32(salt + turn.key) >> 16 & 0x7FFF
            turn.rehash += 1
            peer = at_weight(turn.peers, turn.hash % total)
            if peer.eligible(turn.tried, now):
                return peer
            turn.misses += 1
        return self._round_robin.pick(turn, now)


class ConsistentHash(Method):
    """Ketama: each peer owns 160 points per weight on a ring, so a change of the group moves few keys."""

    name = "hash consistent"

    def __init__(self, step: int = 1) -> None:
        self._step = step  # a pick from the ring, too, lets a weight lowered by failures grow back
        self._round_robin = RoundRobin(step)
        self._ring_of: tuple[tuple[str, int], ...] = ()
        self._hashes: list[int] = []
        self._owners: list[str] = []

    def pick(self, turn: Turn, now: int) -> Peer | None:
        self._build(turn.peers)
        if turn.hash < 0:
            turn.hash = bisect_left(self._hashes, crc32(turn.key))
        by_address = {peer.address: peer for peer in turn.peers}
        while turn.misses <= MAX_MISSES and self._hashes and turn.key:
            peer = by_address[self._owners[turn.hash % len(self._owners)]]
            if peer.eligible(turn.tried, now):
                if peer.effective_weight < peer.weight:
                    peer.effective_weight = min(peer.weight, peer.effective_weight + self._step)
                return peer
            turn.hash += 1
            turn.misses += 1
        return self._round_robin.pick(turn, now)

    def _build(self, peers: Sequence[Peer]) -> None:
        ring_of = tuple((peer.address, peer.settings.weight) for peer in peers)
        if ring_of == self._ring_of:
            return
        points: dict[int, str] = {}
        for address, weight in ring_of:
            for point in ring_points(address, weight):
                points.setdefault(point, address)
        self._ring_of = ring_of
        self._hashes = sorted(points)
        self._owners = [points[point] for point in self._hashes]


class Random(Method):
    """A weighted random peer; with ``two``, the less busy of two."""

    def __init__(self, *, two: bool = False, step: int = 1, seed: int | None = None) -> None:
        self.name = "random two" if two else "random"
        self._two = two
        self._round_robin = RoundRobin(step)
        self._random = random.Random(seed)

    def pick(self, turn: Turn, now: int) -> Peer | None:
        first: Peer | None = None
        limits = list(accumulate(peer.weight for peer in turn.peers))
        while turn.misses <= MAX_MISSES and limits and limits[-1]:
            peer = turn.peers[bisect_left(limits, self._random.randrange(limits[-1]) + 1)]
            if peer is first or not peer.eligible(turn.tried, now):
                turn.misses += 1
                continue
            if not self._two:
                return peer
            if first is not None:
                return first if peer.conns * first.weight > first.conns * peer.weight else peer
            first = peer
        return self._round_robin.pick(turn, now)


def at_weight(peers: Sequence[Peer], offset: int) -> Peer:
    """The peer that owns ``offset`` when the peers' weights are laid end to end."""
    for peer in peers:
        if offset < peer.weight:
            return peer
        offset -= peer.weight
    raise IndexError(offset)


def ring_points(address: str, weight: int) -> list[int]:
    """Points of one server on the ketama ring; each point's hash feeds the next."""
    host, _, port = address.rpartition(":") if ":" in address and not address.startswith("unix:") else (address, "", "")
    base = crc32(host.encode() + b"\0" + port.encode())
    points: list[int] = []
    previous = 0
    for _ in range(weight * POINTS_PER_WEIGHT):
        previous = crc32(previous.to_bytes(4, "little"), base)
        points.append(previous)
    return points


def method_named(name: str, *, step: int = 1, seed: int | None = None) -> Method:
    """The method of a configuration name; raises KeyError for an unknown one."""
    if name.startswith("random"):
        return Random(two=name == "random two", step=step, seed=seed)
    return _MAKERS[name](step)


_MAKERS: dict[str, Callable[[int], Method]] = {
    "round_robin": RoundRobin,
    "least_conn": LeastConn,
    "ip_hash": IpHash,
    "hash": Hash,
    "hash consistent": ConsistentHash,
}


METHODS = ("round_robin", "least_conn", "ip_hash", "hash", "hash consistent", "random", "random two")
