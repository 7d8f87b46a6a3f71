"""An upstream group: its peers in two tiers, the method, and the life of one request's turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.balancer.core.health import CheckSettings, Guards, ejection_allowed, panics
from services.balancer.core.peers import Peer, PeerSettings, Verdict
from services.balancer.core.retry import RetryPolicy, tries_for
from services.balancer.core.roster import Member, Passive, Times
from services.balancer.core.secure import TlsSettings
from services.balancer.core.selection import RoundRobin, Turn, method_named

SLOW_START_SCALE = 100  # weights are multiplied so that a ramp has steps


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """Idle connections to upstreams (nginx ``keepalive``, ``keepalive_timeout``, ``…_time``, ``…_requests``)."""

    connections: int = 32
    idle_s: float = 60.0
    life_s: float = 3600.0
    requests: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """One ``upstream`` block."""

    name: str
    servers: tuple[PeerSettings, ...]
    method: str = "round_robin"
    hash_key: str = ""
    keepalive: KeepAlive = field(default_factory=KeepAlive)
    checks: tuple[CheckSettings, ...] = ()
    guards: Guards = field(default_factory=Guards)
    tls: TlsSettings | None = None
    queue: int = 0
    queue_timeout_s: float = 60.0
    zone: bool = False


class Group:
    """A group of peers that serve the same thing. Mutable; owned by the event loop of its process."""

    shared = False  # whether other processes see the same state

    def __init__(self, settings: GroupSettings) -> None:
        self.name = settings.name
        self.peers: list[Peer] = []
        self.primaries: list[Peer] = []
        self.backups: list[Peer] = []
        self.single = False
        self.usable = 0
        self.panic = False
        self.scale = 1
        self._next_id = 0
        self.configure(settings)

    def configure(self, settings: GroupSettings) -> None:
        """Take new settings; peers that stay (same address) keep their state."""
        known = {peer.address: peer for peer in self.peers}
        self.settings = settings
        self.scale = SLOW_START_SCALE if any(server.slow_start_s for server in settings.servers) else 1
        self._method = method_named(settings.method, step=self.scale)
        plain = settings.method in ("round_robin", "least_conn")
        self._backup_method = self._method if plain else RoundRobin(self.scale)
        self.peers = []
        for server in settings.servers:
            peer = known.pop(server.address, None)
            if peer is None:
                peer = self._new_peer(server)
            elif peer.settings != server:
                peer.configure(server)
            if not settings.checks:
                peer.verdict = Verdict.UNCHECKED  # nobody would ever lift an old verdict
            self.peers.append(peer)
        self.refresh()

    def _new_peer(self, settings: PeerSettings) -> Peer:
        peer = self._peer(self._next_id, settings)
        self._next_id += 1
        if self.settings.checks:
            mandatory = any(check.mandatory for check in self.settings.checks)
            peer.verdict = Verdict.CHECKING if mandatory else Verdict.HEALTHY
        return peer

    def _peer(self, peer_id: int, settings: PeerSettings) -> Peer:
        return Peer(peer_id, settings)

    def refresh(self) -> None:
        """Recompute what selection reads after any change of peers, switches or verdicts."""
        self.primaries = [peer for peer in self.peers if not peer.backup]
        self.backups = [peer for peer in self.peers if peer.backup]
        self.single = len(self.peers) == 1
        self.usable = sum(not peer.down for peer in self.peers)
        self.panic = panics(self.primaries, self.settings.guards)
        for peer in self.peers:
            condemned = peer.verdict in (Verdict.UNHEALTHY, Verdict.CHECKING) and not self.panic
            peer.excluded = peer.down or peer.draining or condemned
            peer.look()
            if self.scale != 1 and peer.ramp_from is None:
                peer.weight = peer.settings.weight * self.scale

    # Runtime changes

    def add(self, settings: PeerSettings) -> Peer:
        """Add a server; raises ValueError when its address is taken."""
        if any(peer.address == settings.address for peer in self.peers):
            raise ValueError(f"{settings.address} is already in {self.name}")
        peer = self._new_peer(settings)
        self.peers.append(peer)
        self.refresh()
        return peer

    def remove(self, peer: Peer) -> None:
        """Take a server out; its requests in progress finish."""
        self.peers.remove(peer)
        self.refresh()

    def judge(self, peer: Peer, verdict: Verdict, now: float) -> bool:
        """Take the verdict of the active checks; false when the ejection cap keeps the peer in."""
        if verdict is Verdict.UNHEALTHY and peer.verdict is not Verdict.UNHEALTHY:
            if not ejection_allowed(self.primaries, self.settings.guards, int(now)):
                return False
            peer.stats.unhealthy += 1
        elif verdict is Verdict.HEALTHY and peer.verdict is not Verdict.HEALTHY:
            self.start_slowly(peer, now)
        peer.verdict = verdict
        self.refresh()
        return True

    def start_slowly(self, peer: Peer, now: float) -> None:
        """Begin the slow start of a peer that came back; with a single server there is none."""
        if peer.settings.slow_start_s and not self.single:
            peer.ramp_from = now

    def ramp(self, now: float) -> None:
        """Move weights of peers in slow start; called every now and then."""
        if self.scale != 1:
            for peer in self.peers:
                peer.ramp(now, self.scale)

    # Several processes, one group

    def roster(self) -> tuple[Member, ...]:
        """The group as it stands, for ``assume`` in another process."""
        return tuple(
            Member(
                id=peer.id,
                settings=peer.settings,
                draining=peer.draining,
                verdict=peer.verdict,
                ramp_from=peer.ramp_from,
                passive=passive(peer),
                times=Times(header_s=peer.stats.header_time_s, response_s=peer.stats.response_time_s),
            )
            for peer in self.peers
        )

    def assume(self, members: Iterable[Member]) -> None:
        """Become what another process says; what is known here of servers that stay is kept.

        Processes of one machine have the same clock, so a slow start is one for all of them.
        """
        known = {(peer.id, peer.address): peer for peer in self.peers}
        self.peers = []
        for member in members:
            peer = known.get((member.id, member.settings.address)) or self._peer(member.id, member.settings)
            if peer.settings != member.settings:
                peer.configure(member.settings)
            peer.draining = member.draining
            if member.verdict is not peer.verdict:
                peer.verdict = member.verdict
                peer.ramp_from = member.ramp_from
            self._next_id = max(self._next_id, member.id + 1)
            self.peers.append(peer)
        self.refresh()

    def succeed(self, before: Group) -> None:
        """Take the place of a group of the same name: servers that stay are known as they were."""
        self.assume(before.roster())
        self.configure(self.settings)
        if not self.shared:
            self.recall({peer.address: passive(peer) for peer in before.peers})
        for peer in self.peers:
            known = by_address(before.peers, peer.address)
            if known is not None:
                peer.stats = known.stats

    def recall(self, known: Mapping[str, Passive]) -> None:
        """Take the passive state of servers, by address, from who knew them before."""
        for peer in self.peers:
            remembered = known.get(peer.address)
            if remembered is not None:
                recall(peer, remembered)

    def observe(self) -> None:
        """Bring what is known of the peers up to date, where another process may know more."""

    def own_conns(self, peer: Peer) -> int:
        """Requests that this process has in progress at a peer."""
        return peer.conns

    # The life of one request's turn

    def turn(self, key: bytes = b"") -> Turn:
        return Turn(self.primaries, key)

    def tries_left(self, turn: Turn, policy: RetryPolicy) -> int:
        return tries_for(policy, self.usable) - turn.used

    def select(self, turn: Turn, now: int) -> Peer | None:
        """The peer for the next attempt, with the attempt accounted; None when none is live."""
        if self.single:
            peer = self._only()
            if peer is None:
                return None
        else:
            picked = self._method.pick(turn, now) if turn.peers is not self.backups else None
            if picked is None:
                picked = self._pick_backup(turn, now)
            if picked is None:
                return None
            peer = picked
            turn.tried |= peer.bit
        peer.select(now)
        return peer

    def _only(self) -> Peer | None:
        peer = self.peers[0]
        full = 0 < peer.max_conns <= peer.conns
        return None if peer.excluded or full else peer

    def _pick_backup(self, turn: Turn, now: int) -> Peer | None:
        if not self.backups:
            return None
        if turn.peers is not self.backups:
            turn.peers = self.backups
            turn.tried = 0
        return self._backup_method.pick(turn, now)

    def release(self, turn: Turn, peer: Peer, now: int, *, failed: bool) -> bool:
        """Account the end of an attempt; true when a failure leaves the peer unavailable (nginx says so every time)."""
        if self.single:
            # nginx never considers the only server of a group down, and never retries it.
            peer.conns -= 1
            peer.fails = 0
            peer.look()
            turn.used = self.usable
            return False
        turn.used += 1
        capped = failed and peer.fails + 1 >= peer.max_fails > 0
        if capped and not self._may_eject(peer, now):
            peer.conns -= 1
            return False
        was_out = peer.max_fails > 0 and peer.fails >= peer.max_fails
        tripped = peer.release(now, failed=failed)
        if tripped:
            peer.stats.unavail += 1
        elif was_out and peer.fails == 0:
            self.start_slowly(peer, now)
        return failed and 0 < peer.max_fails <= peer.fails

    def _may_eject(self, peer: Peer, now: int) -> bool:
        others: Sequence[Peer] = [other for other in self.primaries if other is not peer]
        return peer.unavailable(now) or not others or ejection_allowed(self.primaries, self.settings.guards, now)

    def has_room(self, now: int) -> bool:
        """Whether a request that waited would be given a peer."""
        return any(peer.eligible(0, now) for peer in self.peers)

    def full(self) -> bool:
        """Whether only connection limits keep requests out, so that waiting in the queue makes sense."""
        return any(not peer.excluded and 0 < peer.max_conns <= peer.conns for peer in self.peers)


def passive(peer: Peer) -> Passive:
    """What live requests have shown of a server here."""
    return Passive(
        fails=peer.fails,
        accessed=peer.accessed,
        checked=peer.checked,
        weight=peer.weight,
        effective_weight=peer.effective_weight,
        current_weight=peer.current_weight,
        ramp_from=peer.ramp_from,
    )


def recall(peer: Peer, remembered: Passive) -> None:
    peer.fails, peer.accessed, peer.checked = remembered.fails, remembered.accessed, remembered.checked
    if peer.weight == remembered.weight:
        peer.effective_weight = min(peer.weight, remembered.effective_weight)
        peer.current_weight = remembered.current_weight
    if peer.settings.slow_start_s:
        peer.ramp_from = remembered.ramp_from
    peer.look()


def by_address(peers: Iterable[Peer], address: str) -> Peer | None:
    return next((peer for peer in peers if peer.address == address), None)
