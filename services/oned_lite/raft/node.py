"""A Raft server as a pure state machine: time, messages and completed writes in, one `Output` out.

The driver calls inputs as things happen and then `take` until it is false. Everything is synchronous and deterministic:
time is the `now_ms` of the calls (monotonic), randomness the generator given, and no call waits for anything. Nothing
here may be called from two threads.
"""

from collections.abc import Sequence
from random import Random

from .core import Core
from .election import Elections
from .follower import Follower
from .leadership import Answer, Leadership
from .messages import (
    AppendAccepted,
    AppendEntries,
    AppendRejected,
    CommitNotice,
    Diverged,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    LeaderMessage,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    SnapshotResponse,
    StaleTerm,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    Welcome,
)
from .output import Output
from .types import (
    Configuration,
    Entry,
    HardState,
    MembershipChange,
    NotLeader,
    RaftConfig,
    Role,
    SnapshotMeta,
)


class RaftNode:
    """One server. See `Output` for what the driver owes it.

    `snapshot` is what the durable log begins behind (None: at the very beginning) and `entries` all of the log after it;
    `configuration` is the one the cluster is founded with, used where there is no snapshot: the same on every founding
    server, empty on one that joins later. `applied_index` is what the durable state already contains.
    """

    def __init__(
        self,
        config: RaftConfig,
        hard_state: HardState,
        snapshot: SnapshotMeta | None,
        configuration: Configuration,
        entries: Sequence[Entry],
        applied_index: int,
        rng: Random,
        now_ms: int,
    ) -> None:
        self._core = Core(config, hard_state, snapshot, configuration, entries, applied_index, rng, now_ms)
        self._elections = Elections(self._core, self._lead)
        self._follower = Follower(self._core)
        if self._core.configurations.current.voters == (config.server_id,):
            self._elections.start()

    def _lead(self) -> None:
        core = self._core
        core.role = Role.LEADER
        core.leader_id = core.server_id
        core.leader_lost_ms = None
        core.leadership = Leadership(core)

    # Inputs

    def tick(self, now_ms: int) -> None:
        """Time has come to `now_ms`; nothing more need have happened. Due at `next_deadline_ms`, harmless before."""
        self._advance(now_ms)
        if self._core.leadership is not None:
            self._core.leadership.tick()
        else:
            self._elections.tick()

    def receive(self, sender: int, message: Message, now_ms: int) -> None:
        """A message came from `sender`, which the transport has authenticated."""
        self._advance(now_ms)
        if self._core.failed:
            return
        match message:
            case PreVoteRequest():
                self._elections.on_pre_vote_request(sender, message)
            case PreVoteResponse():
                self._elections.on_pre_vote_response(sender, message)
            case VoteRequest():
                self._elections.on_vote_request(sender, message)
            case AppendAccepted() | HeartbeatResponse() | AppendRejected() | SnapshotResponse():
                self._answered(sender, message)
            case VoteResponse() | StaleTerm():
                self._answered(sender, message)
            case _:
                self._from_leader(sender, message)

    def propose(self, datas: Sequence[bytes], now_ms: int) -> int:
        """Append entries; returns the index of the first, the others follow it. Raises NotLeader or Busy."""
        return self._lead_or_refuse(now_ms).propose(datas)

    def change_membership(self, change: MembershipChange, now_ms: int) -> int:
        """Append a configuration with one server more or less; returns its index. It is done when that is committed.

        Raises NotLeader, Busy, or MembershipRefused (one change at a time, learners first, a working majority after it).
        """
        return self._lead_or_refuse(now_ms).change_membership(change)

    def read_index(self, context: int, now_ms: int) -> None:
        """Ask for a linearizable read; `context` comes back in `reads` or `failed_reads`. Raises NotLeader."""
        self._lead_or_refuse(now_ms).read(context)

    def transfer_leadership(self, target: int | None, now_ms: int) -> bool:
        """Hand over to `target`, or to the server that is furthest. False if there is nobody. Raises NotLeader.

        Proposals are refused as Busy until it is done, or for one election timeout at most.
        """
        return self._lead_or_refuse(now_ms).handover.begin(target)

    @property
    def handing_over(self) -> bool:
        """Whether this server leads, but only until another one does: proposals are refused meanwhile."""
        leadership = self._core.leadership
        return leadership is not None and leadership.handover.under_way

    def persisted(self, ticket: int, now_ms: int) -> None:
        """Everything asked for by outputs up to `ticket` is durable."""
        self._advance(now_ms)
        core = self._core
        if core.failed:
            return
        for message in core.release(ticket):
            self.receive(core.server_id, message, now_ms)
        if core.leadership is not None:
            core.leadership.advance_commit()

    def persist_failed(self, now_ms: int) -> None:
        """A write failed or may have: from now on this server promises nothing, votes for nobody and leads nobody."""
        self._advance(now_ms)
        core = self._core
        if core.leadership is not None:
            core.leadership.handover.leave()
        else:
            core.become_follower(core.term)
        core.failed = True

    def applied(self, index: int, state_hash: int) -> None:
        """The state machine is at `index`, where its hash is `state_hash`. Told after every batch."""
        core = self._core
        core.applied_index = index
        core.hashes.add(index, state_hash)
        if core.leadership is not None:
            core.leadership.release_reads()

    def compact(self, meta: SnapshotMeta) -> None:
        """Entries up to `meta.index`, which is applied, may go; whoever still needs them gets a snapshot."""
        self._core.compact(meta)

    def peer_connected(self, peer: int) -> None:
        if self._core.leadership is not None:
            self._core.leadership.replication.restart(peer)

    def peer_disconnected(self, peer: int, now_ms: int) -> None:
        """The connection to `peer` was closed by its end. If it is the leader, an election begins at once."""
        self._advance(now_ms)
        if self._core.leadership is not None:
            self._core.leadership.replication.restart(peer)
        elif peer == self._core.leader_id:
            self._elections.leader_disconnected()

    def send_snapshot(self, peer: int, meta: SnapshotMeta, data: bytes, now_ms: int) -> None:
        """The snapshot asked for by `snapshot_wanted`. The same `data` may be offered to several; it is cut in chunks here.

        `meta` is `snapshot_meta(index)` of the state in `data`. Ignored if nobody waits for it any more.
        """
        self._advance(now_ms)
        if self._core.leadership is not None:
            self._core.leadership.replication.send_snapshot(peer, meta, data)

    def take(self) -> Output:
        """Everything to do since the last time. Call it until it is false."""
        if self._core.leadership is not None:
            self._core.leadership.flush()
        return self._core.collect()

    # Dispatch

    def _advance(self, now_ms: int) -> None:
        """A leader that wakes from a long pause must notice before it does anything else."""
        core = self._core
        core.now_ms = max(core.now_ms, now_ms)
        if core.leadership is not None and not core.leadership.hears_majority():
            core.become_follower(core.term)

    def _from_leader(self, sender: int, message: LeaderMessage) -> None:
        core, follower = self._core, self._follower
        if message.term < core.term:
            core.send(sender, StaleTerm(core.term))
            return
        follower.notice_emptiness(message)
        core.follow(sender, message.term)
        match message:
            case AppendEntries():
                follower.on_append(sender, message)
            case Heartbeat():
                follower.on_heartbeat(sender, message)
            case CommitNotice():
                follower.on_commit_notice(message)
            case InstallSnapshot():
                follower.on_install(sender, message)
            case Diverged():
                follower.on_diverged(message)
            case Welcome():
                follower.on_welcome(message)
            case TimeoutNow():
                self._elections.on_timeout_now()

    def _answered(self, sender: int, message: Answer | VoteResponse | StaleTerm) -> None:
        """Answers count in the term they were asked in. A newer one ends ours, unless strangers bring it."""
        core = self._core
        if message.term > core.term:
            if sender in core.configurations.current and not core.blank:
                core.become_follower(message.term)
            return
        if message.term < core.term:
            return
        if isinstance(message, VoteResponse):
            self._elections.on_vote_response(sender, message)
        elif core.leadership is not None and not isinstance(message, StaleTerm):
            core.leadership.on_answer(sender, message)

    def _lead_or_refuse(self, now_ms: int) -> Leadership:
        self._advance(now_ms)
        if self._core.leadership is None:
            raise NotLeader(self._core.leader_id)
        return self._core.leadership

    # Observers

    @property
    def server_id(self) -> int:
        return self._core.server_id

    @property
    def role(self) -> Role:
        return self._core.role

    @property
    def term(self) -> int:
        return self._core.term

    @property
    def vote(self) -> int | None:
        return self._core.vote

    @property
    def leader_id(self) -> int | None:
        return self._core.leader_id

    @property
    def leader_ready(self) -> bool:
        """Whether this server leads and has applied everything committed before its term."""
        leadership = self._core.leadership
        return leadership is not None and self._core.applied_index >= leadership.first_index

    @property
    def failed(self) -> bool:
        return self._core.failed

    @property
    def emptied(self) -> bool:
        """Whether this server had nothing on its disk and neither votes nor counts yet."""
        return self._core.emptied

    @property
    def removed(self) -> bool:
        """Whether this server knows that it no longer belongs to the cluster."""
        core = self._core
        committed = core.configurations.at(core.commit_index)
        return core.removed or (bool(committed.voters) and core.server_id not in committed)

    @property
    def votes(self) -> bool:
        """Whether this server counts towards majorities: not while it only learns, nor after it came with an empty disk."""
        core = self._core
        return core.server_id in core.configurations.current.voters and not (core.emptied or core.blank)

    @property
    def commit_index(self) -> int:
        return self._core.commit_index

    @property
    def applied_index(self) -> int:
        return self._core.applied_index

    @property
    def durable_index(self) -> int:
        return self._core.durability.index

    @property
    def last_index(self) -> int:
        return self._core.log.last_index

    @property
    def last_term(self) -> int:
        return self._core.log.last_term

    @property
    def first_index(self) -> int:
        """The oldest entry still held."""
        return self._core.log.base_index + 1

    @property
    def needed_index(self) -> int | None:
        """The log behind it is what servers that are being brought up to date still need, as far as this leader knows."""
        leadership = self._core.leadership
        return None if leadership is None else leadership.replication.needed_index()

    @property
    def log_bytes(self) -> int:
        return self._core.log.size_bytes

    @property
    def configuration(self) -> Configuration:
        return self._core.configurations.current

    @property
    def membership_changing(self) -> bool:
        return self._core.configurations.current_index > self._core.commit_index

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` is due, if nothing happens before."""
        leadership = self._core.leadership
        return self._core.election_deadline_ms if leadership is None else leadership.heartbeat_due_ms

    @property
    def has_quorum(self) -> bool:
        """Whether a working majority is known: a leader that hears one, or a follower that hears its leader."""
        core = self._core
        if core.leadership is not None:
            return core.leadership.hears_majority()
        return core.leader_id is not None and core.leader_contact_ms is not None

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`, None if it is not held (any more)."""
        return self._core.log.term_at(index)

    def snapshot_meta(self, index: int) -> SnapshotMeta:
        """What goes with a snapshot of the state at `index`, an applied entry not compacted away yet."""
        term = self._core.log.term_at(index)
        if term is None or index > self._core.applied_index:
            raise ValueError(f"no snapshot can be made at {index}")
        return SnapshotMeta(index, term, self._core.configurations.at(index))

    def learner_ready(self, server: int) -> bool:
        """Whether the learner has caught up, so that it may be promoted. Known to the leader only."""
        leadership = self._core.leadership
        return leadership is not None and leadership.roster.learner_ready(server)

    def match_index(self, server: int) -> int | None:
        """How much of the log `server` has durably, as far as this leader knows."""
        leadership = self._core.leadership
        if leadership is None or server not in leadership.replication.progress:
            return None
        return leadership.replication.progress[server].match_index
