"""Who belongs to the zone, as a function of committed rows: the leader brings consensus after them, one server at a time,
and every server learns from them where the others are (thesis chapter 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from services.common.settings import Address
from services.oned_lite.model.zone import LOCAL_ZONE, ZONES, Zone, ZoneServer
from services.oned_lite.raft.types import (
    AddLearner,
    Busy,
    Configuration,
    MembershipChange,
    MembershipRefused,
    NotLeader,
    Promote,
    Remove,
)
from services.oned_lite.state import Reader

from .effects import Peers
from .replica import Replica

OFF_THE_ZONE = "this server does not belong to the zone: it was removed, or is not added yet"


def changes(servers: Collection[int], now: Configuration, own_id: int) -> Iterator[MembershipChange]:
    """What would bring `now` nearer to `servers`, the most useful first; any of them may be refused. The leader's own
    removal is not among them: it hands over, and the next leader removes it."""
    yield from (AddLearner(server) for server in sorted(set(servers).difference(now.members())))
    yield from (Promote(server) for server in now.learners if server in servers)
    yield from (Remove(server) for server in now.learners if server not in servers)
    yield from (Remove(server) for server in now.voters if server not in servers and server != own_id)


def peer_addresses(
    zone: Mapping[int, ZoneServer], founding: Mapping[int, ZoneServer], now: Configuration, own_id: int
) -> tuple[tuple[int, Address], ...]:
    """Where to find the others: those of the `zone`, those on their way out, and, as long as this server takes no part,
    the `founding` ones of its settings, which know more."""
    known = {**founding, **zone}
    wanted = {*zone, *now.members()} if own_id in now.voters and zone else {*known, *now.members()}
    found = {server: known[server].peer_address for server in sorted(wanted & set(known)) if server != own_id}
    return tuple((server, address) for server, address in found.items() if address is not None)


def zone_servers(reader: Reader) -> dict[int, ZoneServer]:
    """As last committed; empty before there is anything, and for a server alone."""
    row = reader.get(ZONES.table, LOCAL_ZONE)
    return {} if row is None else {server.server_id: server for server in row.servers}


class Membership:
    """`advance` is for the leader, `watch` for every server; both are cheap enough for every tick."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._founding = {server.server_id: server for server in replica.settings.servers}
        self._told: Peers | None = None
        self._looked_at: tuple[Zone | None, Configuration, bool] | None = None
        self._warned_voters: tuple[int, ...] = ()
        self._last_voters: tuple[int, ...] = ()
        self._hand_over_ms = 0

    @property
    def servers(self) -> dict[int, ZoneServer]:
        return zone_servers(self._replica.store) or self._founding

    @property
    def left(self) -> bool:
        """Whether this server knows that it is no member and hears from nobody who still sees it as one."""
        raft = self._replica.raft
        return raft.leader_id is None and raft.removed

    def watch(self) -> None:
        """Tells where the others are, when that has changed."""
        replica = self._replica
        if replica.settings.solo:
            return
        own_id, now = replica.settings.raft.server_id, replica.raft.configuration
        looked_at = (replica.store.get(ZONES.table, LOCAL_ZONE), now, self.left)
        if looked_at == self._looked_at:
            return
        self._looked_at = looked_at
        peers = Peers(peer_addresses(zone_servers(replica.store), self._founding, now, own_id), self.left)
        if peers != self._told:
            self._told = replica.effects.peers = peers

    def advance(self, now_ms: int) -> None:
        """Begins one change, if one is due and the one before it is committed. Nothing is forced: what consensus refuses
        now, because a majority would be out of reach, is tried again."""
        raft, zone = self._replica.raft, zone_servers(self._replica.store)
        if self._replica.settings.solo or not zone or raft.membership_changing or raft.handing_over:
            return
        own_id = self._replica.settings.raft.server_id
        self._warn_of_even_size(raft.configuration)
        self._tell_of_lost_disks(raft.configuration)
        if any(self._changed(change, now_ms) for change in changes(zone.keys(), raft.configuration, own_id)):
            return
        if own_id not in zone and now_ms >= self._hand_over_ms:
            self._hand_over_ms = now_ms + 2 * self._replica.settings.raft.election_timeout_ms
            raft.transfer_leadership(None, now_ms)

    def _changed(self, change: MembershipChange, now_ms: int) -> bool:
        """Whether it is under way."""
        try:
            self._replica.raft.change_membership(change, now_ms)
        except (MembershipRefused, Busy, NotLeader):
            return False
        self._replica.effects.notices.append(f"membership: {_WORDS[type(change)]} server {change.server}")
        return True

    def _warn_of_even_size(self, now: Configuration) -> None:
        """Not while somebody is on the way to being a voter."""
        voters = now.voters
        if now.learners:
            return
        if len(voters) % 2 == 0 and voters != self._warned_voters:
            self._replica.effects.notices.append(
                f"{len(voters)} servers vote: no more failures are survived than with {len(voters) - 1}; "
                "add or remove one"
            )
        self._warned_voters = voters

    def _tell_of_lost_disks(self, now: Configuration) -> None:
        """Consensus itself makes learners of voters that came back with nothing; they are promoted like any other."""
        lost = [server for server in now.learners if server in self._last_voters]
        self._replica.effects.notices += [f"membership: lost its disk and learns anew: server {one}" for one in lost]
        self._last_voters = now.voters


_WORDS = {AddLearner: "added, to catch up first:", Promote: "caught up and votes now:", Remove: "removed:"}
