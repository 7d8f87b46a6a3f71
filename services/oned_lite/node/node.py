"""One server of the zone as a pure machine: events in, effects out.

The way of a request: `request` → `_route` → here (`_read`), at the leader (`Leader.serve`), handed on (`Forwarding`), or
waiting until there is a leader. Whoever drives the node calls `take` after each event and carries out what it returns.
"""

from __future__ import annotations

import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from services.common.xmlrpc import Fault, Value, decode_call
from services.oned_lite.api.catalogue import DUTIES, METHODS, TABLES, TIMERS
from services.oned_lite.lifecycle.work import WorkResult
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import internal
from services.oned_lite.model.user import USERS
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.raft.messages import decode as decode_message
from services.oned_lite.raft.messages import encode as encode_message
from services.oned_lite.raft.node import RaftNode
from services.oned_lite.raft.output import NOTHING, Output, RoleChange
from services.oned_lite.raft.types import BrokenInvariant, Entry, EntryKind, NotLeader, Role
from services.oned_lite.raft.types import Configuration as Founders
from services.oned_lite.state import ChangeSet, Store

from . import frames
from .clock import Moment
from .durable import Loaded
from .effects import Applied, Effects, Persist, RoleChanged
from .forwarding import Forwarding
from .gate import Request, serve
from .leader import Leader
from .long_reads import LongReads
from .membership import OFF_THE_ZONE, Membership
from .replica import Replica, encode_answer
from .requests import Client, Pending
from .settings import NodeSettings
from .snapshots import IncomingSnapshots, OutgoingSnapshots

EMPTY = ChangeSet(0, "", ())
HAND_OVER_MS = 2000
CATCHING_UP_FACTOR = 10
"""How many times the usual length the log may have for servers that are catching up."""
LEADING = ("solo", Role.LEADER.value)
"""Roles, as `NodeStatus` has them, of a server that decides writes."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What health checks and metrics tell. `serving`: reads from this server are good; `reason` why not. `voters` and
    `learners`: ids in the membership that counts now; `votes`: whether this server counts in it."""

    server_id: int
    role: str
    term: int
    leader_id: int | None
    commit_index: int
    applied_index: int
    last_index: int
    state_hash: int
    serving: bool
    reason: str
    waiting: int
    peers: tuple[int, ...]
    voters: tuple[int, ...]
    learners: tuple[int, ...]
    votes: bool


class Node:
    """`store`: the tables, where they are known better than the database has them; `loaded.rows` are ignored then."""

    def __init__(
        self, settings: NodeSettings, conf: Configuration, loaded: Loaded, moment: Moment, store: Store | None = None
    ) -> None:
        if store is None:
            store = Store(TABLES)
            store.load(loaded.applied_index, loaded.rows)
        raft = RaftNode(
            settings.raft,
            loaded.hard_state,
            loaded.snapshot,
            Founders(voters=settings.founders),
            loaded.entries,
            store.applied_index,
            random.Random(moment.seed),
            moment.ms,
        )
        self._replica = Replica(settings, conf, METHODS, store, raft)
        timers = [timer.configured(conf) for timer in TIMERS if settings.scheduler or timer.name != "scheduler"]
        self._leader = Leader(self._replica, DUTIES, timers)
        self._forwarding = Forwarding(self._replica)
        self._long_reads = LongReads(self._replica)
        self._membership = Membership(self._replica)
        self._held: deque[Pending] = deque()
        self._outgoing = OutgoingSnapshots(self._replica)
        self._incoming = IncomingSnapshots(self._replica)
        self._unapplied: list[Entry] = []
        self._connected: set[int] = set()
        self._diverged = ""
        self._stopping_ms: int | None = None
        raft.applied(store.applied_index, store.state_hash)
        self._membership.watch()

    # ------------------------------------------------------------------ events
    def request(
        self, request_id: int, method: str, arguments: list[Value], moment: Moment, *, linearizable: bool = False
    ) -> None:
        """A client's call. Exactly one `Reply` with its id follows, sooner or later."""
        settings = self._replica.settings
        deadline_ms = moment.ms + settings.hold_ms
        linearizable = linearizable or method in settings.linearizable
        self._route(Pending(Client(request_id), method, arguments, deadline_ms, linearizable), moment)

    def frame(self, sender: int, data: bytes, moment: Moment) -> None:
        """Something from the link to another server. Raises msgspec.DecodeError for what no server of ours sends."""
        match frames.decode(data):
            case frames.Consensus(message):
                self._replica.raft.receive(sender, decode_message(message), moment.ms)
            case frames.Forward(number, call):
                self._forwarded_here(sender, number, call, moment)
            case frames.Forwarded() as answer:
                self._forwarding.answered(answer, moment.ms)
            case frames.Refused(number):
                pending = self._forwarding.refused(number)
                if pending is not None:
                    self._held.append(pending)
        self._settle(moment)

    def peer_connected(self, peer: int, moment: Moment) -> None:
        self._connected.add(peer)
        self._replica.raft.peer_connected(peer)
        self._settle(moment)

    def peer_disconnected(self, peer: int, moment: Moment) -> None:
        self._connected.discard(peer)
        self._replica.raft.peer_disconnected(peer, moment.ms)
        self._held.extend(self._forwarding.link_lost(peer))
        self._settle(moment)

    def tick(self, moment: Moment) -> None:
        """Time has passed; every 10 to 20 ms is often enough."""
        self._replica.raft.tick(moment.ms)
        self._settle(moment)
        self._advance_snapshots(moment)
        self._leader.give_up_late(moment.ms)
        if self._leader.ready and self._stopping_ms is None:
            self._leader.run_timers(moment)
            self._membership.advance(moment.ms)
        if self._stopping_ms is not None and not self._replica.raft.handing_over:
            self.hand_over(moment)  # it may have been elected since it was told to stop
        self._held.extend(self._forwarding.tick(moment.ms))
        self._serve_held(moment)
        self._settle(moment)
        self._membership.watch()

    def persisted(self, ticket: int, moment: Moment) -> None:
        self._replica.raft.persisted(ticket, moment.ms)
        self._incoming.persisted(ticket)
        self._settle(moment)

    def tables_written(self, index: int, moment: Moment) -> None:
        """The tables in the database contain everything up to `index`: older entries are only kept for others."""
        raft, kept = self._replica.raft, self._entries_to_keep(index)
        if index - raft.first_index < 2 * kept:
            return
        meta = raft.snapshot_meta(index - kept)
        raft.compact(meta)
        self._replica.effects.purge = meta
        self._settle(moment)

    def _entries_to_keep(self, index: int) -> int:
        """Behind `index`: some for servers that come back, and more for those that are catching up right now, within
        bounds: a zone that writes faster than they can take over a snapshot would send them one after the other."""
        settings, raft = self._replica.settings, self._replica.raft
        needed = [one for one in (raft.needed_index, self._outgoing.index) if one is not None]
        catching_up = min(index - min(needed, default=index), CATCHING_UP_FACTOR * settings.log_retention_entries)
        kept = max(settings.log_retention_entries, catching_up)
        if raft.log_bytes > 2 * settings.log_retention_bytes:
            kept = min(kept, (raft.last_index - raft.first_index) // 2)
        return kept

    def persist_failed(self, moment: Moment) -> None:
        """A durable write failed or its outcome is uncertain: this server votes and leads no more until restarted."""
        self._replica.raft.persist_failed(moment.ms)
        self._settle(moment)

    def work_finished(self, result: WorkResult, moment: Moment) -> None:
        """A driver's answer. One that comes while this server stops is left to who leads next: it asks again."""
        if self._stopping_ms is not None:
            return
        self._leader.work_finished(result, moment)
        self._settle(moment)

    def drop_request(self, request_id: int) -> None:
        """The client has gone: a request that waits for a leader need not be made any more."""
        self._held = deque(one for one in self._held if one.client != Client(request_id))
        self._long_reads.drop(Client(request_id))

    def go_on(self, moment: Moment) -> None:
        """Makes some more of long answers (`Effects.unfinished`)."""
        self._long_reads.advance()
        self._replica.effects.unfinished = len(self._long_reads) > 0

    def hand_over(self, moment: Moment) -> None:
        """Lets another server lead, if this one does and there is one that can."""
        if self._replica.raft.role is Role.LEADER and not self._replica.settings.solo:
            with suppress(NotLeader):  # it has slept, and notices only now that it no longer leads
                self._replica.raft.transfer_leadership(None, moment.ms)
        self._settle(moment)

    def hurry(self, moment: Moment) -> None:
        """The wall clock was put forward: every timer of the leader is due."""
        self._leader.hurry(moment)

    def reset(self, moment: Moment) -> int | None:
        """Replaces everything by the objects of a fresh database: the index of that log entry, None where this server
        cannot lead it through now."""
        index = self._leader.reset(moment)
        self._settle(moment)
        return index

    def stop(self, moment: Moment) -> None:
        """Begins an orderly end: hands leadership over first. `stopped` says when it may go."""
        self._stopping_ms = moment.ms
        self.hand_over(moment)

    def stopped(self, now_ms: int) -> bool:
        if self._stopping_ms is None:
            return False
        raft, solo = self._replica.raft, self._replica.settings.solo
        leads = raft.role is Role.LEADER and not solo
        busy = self._leader.waiting + len(self._forwarding) + len(self._long_reads)
        if solo:
            busy += raft.last_index - self._replica.store.applied_index  # nobody else will apply it meanwhile
        return now_ms >= self._stopping_ms + HAND_OVER_MS or (not leads and not busy)

    def take(self) -> Effects:
        """Everything to do since the last time."""
        effects, self._replica.effects = self._replica.effects, Effects()
        return effects

    # ------------------------------------------------------------------ routing requests
    def _route(self, pending: Pending, moment: Moment) -> None:
        method = self._replica.methods.get(pending.method)
        if method is None or not (method.leader_only or pending.linearizable):
            self._read(pending, moment)
            return
        raft = self._replica.raft
        if self._leader.ready and raft.handing_over and self._room_to_hold():
            self._held.append(pending)  # for the next leader, or for us if it comes to nothing
        elif self._leader.ready:
            self._leader.serve(pending, moment)
            self._settle(moment)
        elif pending.client.peer is not None and raft.role is not Role.LEADER:
            self._replica.send(pending.client.peer, frames.Refused(pending.client.number))
        elif raft.leader_id in self._connected:
            self._forwarding.hand_on(pending, raft.leader_id, moment.ms)
        elif self._may_hold(pending, moment.ms):
            self._held.append(pending)
        else:
            self._replica.refuse(pending, internal(self._no_leader()))

    def _read(self, pending: Pending, moment: Moment) -> None:
        """From the tables of this server, whatever its role."""
        replica = self._replica
        request = Request(pending.method, pending.arguments, moment.epoch_s, moment.seed)
        pin = replica.store.pin()
        try:
            outcome = serve(
                replica.methods, pin, replica.conf, replica.cluster_status(), request, replica.sessions, in_pieces=True
            )
        except BaseException:
            replica.store.unpin(pin)
            raise
        if outcome.pieces is not None:
            self._long_reads.begin(pending, outcome.pieces, pin)
            return
        replica.store.unpin(pin)
        if outcome.transaction is not None and self._leader.ready:
            self._leader.serve(pending, moment)  # who logs in may leave a trace, and only the leader writes
            self._settle(moment)
            return
        if outcome.defect:
            replica.effects.defects.append(outcome.defect)
        replica.answer(pending.client, encode_answer(outcome.answer), replica.store.applied_index)

    def _may_hold(self, pending: Pending, now_ms: int) -> bool:
        """Worth waiting only while a majority is in reach, without which no leader will come, and while this server can
        hear of one: there are others that can if its own database has failed."""
        if now_ms >= pending.deadline_ms or self._stopping_ms is not None:
            return False
        if self.failed and not self._replica.settings.solo:
            return False
        return self._majority_in_reach() and self._room_to_hold()

    def _room_to_hold(self) -> bool:
        return len(self._held) < self._replica.settings.requests_max

    def _majority_in_reach(self) -> bool:
        voters = self._replica.raft.configuration.voters
        reached = sum(
            1 for voter in voters if voter in self._connected or voter == self._replica.settings.raft.server_id
        )
        return reached > len(voters) // 2

    def _no_leader(self) -> str:
        if self.failed:
            return "Cannot process request, the database of this server has failed"
        if self._replica.raft.role is Role.LEADER:
            return "Cannot process request, oned cluster is replicating log"
        if not self._majority_in_reach():
            return "Cannot process request, no leader found"
        return "Cannot process request, oned cluster in election mode"

    def _forwarded_here(self, sender: int, number: int, call: bytes, moment: Moment) -> None:
        try:
            method, arguments = decode_call(call)
        except Fault:
            self._replica.send(sender, frames.Refused(number))
            return
        # Reads too: one that is handed on is linearizable, and our tables may be older than what others have acknowledged.
        deadline_ms = moment.ms + self._replica.settings.hold_ms
        self._route(Pending(Client(number, sender), method, arguments, deadline_ms, linearizable=True), moment)

    def _serve_held(self, moment: Moment) -> None:
        """Tries every waiting request again; those that must still wait queue up anew."""
        for _ in range(len(self._held)):
            self._route(self._held.popleft(), moment)

    # ------------------------------------------------------------------ what consensus wants
    def _settle(self, moment: Moment) -> None:
        """Carries out everything consensus asks for, until it asks for nothing."""
        try:
            while (output := self._replica.raft.take()) is not NOTHING:
                self._carry_out(output, moment)
        except BrokenInvariant as broken:
            self._replica.effects.fatal = str(broken)

    def _carry_out(self, output: Output, moment: Moment) -> None:
        effects = self._replica.effects
        for peer, message in output.messages:
            effects.frames.append((peer, frames.encode(frames.Consensus(encode_message(message)))))
        if output.needs_persist:
            self._persist(output)
        if output.role_changed is not None:
            self._role_changed(output.role_changed, moment)
        if output.committed:
            self._apply(output.committed, moment)
        for ready in output.reads:
            self._leader.read_ready(ready.context)
        for context in output.failed_reads:
            computed = self._leader.read_failed(context)
            if computed is not None:
                self._held.append(computed.pending)
        for peer in output.snapshot_wanted:
            self._outgoing.wanted(peer)
        for divergence in output.diverged:
            if divergence.server_id == self._replica.settings.raft.server_id:
                self._diverged = f"state differs from the leader's at index {divergence.index}"

    def _persist(self, output: Output) -> None:
        install = None
        if output.install is not None:
            install = self._incoming.arrived(output.ticket, output.install)
        persist = Persist(output.ticket, output.hard_state, install, output.entries)
        self._replica.effects.persist.append(persist)

    def _apply(self, entries: tuple[Entry, ...], moment: Moment) -> None:
        replica = self._replica
        if self._incoming.under_way:
            self._unapplied += entries
            return
        for entry in entries:
            if entry.index <= replica.store.applied_index:
                continue
            change_set = ChangeSet.decode(entry.data) if entry.kind is EntryKind.DATA else EMPTY
            replica.store.apply(entry.index, change_set)
            replica.effects.applied.append(Applied(entry.index, change_set))
            self._leader.applied(entry.index, change_set)
            if entry.term == replica.raft.term and replica.raft.role is Role.LEADER and not self._leader.ready:
                self._leader.begin(moment)
                self._serve_held(moment)
        replica.raft.applied(replica.store.applied_index, replica.store.state_hash)
        self._forwarding.applied(replica.store.applied_index)

    def _role_changed(self, change: RoleChange, moment: Moment) -> None:
        if self._leader.ready and change.role is not Role.LEADER:
            self._held.extend(computed.pending for computed in self._leader.end())
        if change.leader_id is not None:
            self._forwarding.leader_changed(change.leader_id, moment.ms)
        self._replica.effects.roles.append(RoleChanged(change.role.value, change.term, change.leader_id))
        self._serve_held(moment)

    def _advance_snapshots(self, moment: Moment) -> None:
        if self._incoming.under_way:
            self._long_reads.finish()  # they read tables that will be replaced
        if self._incoming.advance():
            entries, self._unapplied = tuple(self._unapplied), []
            self._apply(entries, moment)
            self._settle(moment)
        if not self._incoming.under_way and self._outgoing.advance(moment.ms):
            self._settle(moment)

    # ------------------------------------------------------------------ for health checks
    def status(self) -> NodeStatus:
        replica, raft = self._replica, self._replica.raft
        reason = self._diverged or (OFF_THE_ZONE if self._membership.left else "")
        reason = reason or ("" if replica.store.count(USERS.table) else "no data yet: waiting for a leader")
        return NodeStatus(
            server_id=replica.settings.raft.server_id,
            role=self._role(),
            term=raft.term,
            leader_id=raft.leader_id,
            commit_index=raft.commit_index,
            applied_index=replica.store.applied_index,
            last_index=raft.last_index,
            state_hash=replica.store.state_hash,
            serving=not reason,
            reason=reason,
            waiting=self._leader.waiting + len(self._forwarding) + len(self._held) + len(self._long_reads),
            peers=tuple(sorted(self._connected)),
            voters=raft.configuration.voters,
            learners=raft.configuration.learners,
            votes=raft.votes,
        )

    def _role(self) -> str:
        if self._replica.settings.solo:
            return "solo"
        return "removed" if self._membership.left else self._replica.raft.role.value

    @property
    def failed(self) -> bool:
        """Whether a durable write failed: this server takes no part until it is started again."""
        return self._replica.raft.failed

    @property
    def servers(self) -> dict[int, ZoneServer]:
        """Those of the zone by id, with their addresses."""
        return self._membership.servers

    @property
    def raft(self) -> RaftNode:
        """Consensus, to be looked at only."""
        return self._replica.raft

    @property
    def store(self) -> Store:
        """The committed state, to be read only."""
        return self._replica.store
