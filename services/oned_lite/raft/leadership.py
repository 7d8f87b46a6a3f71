"""Leading one term: exists from the moment an election is won until the term is over, and no longer.

Replication (Raft paper section 5.3), commit (5.4.2), check-quorum and read index (thesis section 6.4), hand-over (3.10)
and changes of membership (chapter 4). Messages are made when the driver takes them, so everything proposed in between
travels together.
"""

from collections import deque
from collections.abc import Sequence

from .core import Core
from .durability import After
from .hashes import Verdicts
from .membership import changed
from .messages import (
    AppendAccepted,
    AppendEntries,
    AppendRejected,
    CommitNotice,
    Diverged,
    Heartbeat,
    HeartbeatResponse,
    SnapshotResponse,
    TimeoutNow,
)
from .progress import Mode, OutgoingSnapshot, Progress
from .quorum import majority, quorum_value
from .reads import ReadQueue
from .types import (
    Busy,
    Configuration,
    Entry,
    EntryKind,
    MembershipChange,
    MembershipRefused,
    Promote,
    SnapshotMeta,
    encode_configuration,
)

FAREWELL_TIMEOUTS = 10  # election timeouts for which a removed server is still told that it was


class _Transfer:
    """A hand-over to `target`, given up at `deadline_ms`."""

    def __init__(self, target: int, deadline_ms: int) -> None:
        self.target = target
        self.deadline_ms = deadline_ms
        self.asked = False


class Leadership:
    def __init__(self, core: Core) -> None:
        self._core = core
        self.first_index = core.log.last_index + 1
        self.progress: dict[int, Progress] = {}
        self.reads = ReadQueue()
        self.verdicts = Verdicts(core.server_id)
        self.heartbeat_due_ms = core.now_ms
        self._round = 0
        self._transfer: _Transfer | None = None
        self._farewells: dict[int, int] = {}  # removed servers that still get the log, and until when
        self._uncommitted: deque[tuple[int, int]] = deque()  # last index and bytes of each proposal
        self._uncommitted_bytes = 0
        self._reconfigure()
        self._append_first()
        self.broadcast()

    def _append_first(self) -> None:
        """An entry of this term, without which nothing older may be committed (Raft paper, section 8).

        It is the configuration itself where no log holds one yet, so that servers joining later find it there.
        """
        configurations = self._core.configurations
        if configurations.from_log:
            self._append(EntryKind.NOOP, (b"",))
        else:
            self._append(EntryKind.CONFIGURATION, (encode_configuration(configurations.current),))

    def abandon(self) -> None:
        """The leadership is over: whoever waits for it has to know."""
        box, core = self._core.outbox, self._core
        box.failed_reads.extend(self.reads.fail())
        first = max(self.first_index, core.commit_index + 1)
        lost = core.log.slice(first, core.log.last_index)
        box.dropped.extend(entry.index for entry in lost if entry.kind is not EntryKind.NOOP)

    # Time

    def tick(self) -> None:
        core = self._core
        if not self.hears_majority():
            core.become_follower(core.term)
            return
        if self._transfer and core.now_ms >= self._transfer.deadline_ms:
            self._transfer = None
        stalled_ms = core.durability.stalled_since_ms()
        if stalled_ms is not None and core.now_ms - stalled_ms > core.config.persist_stall_ms:
            self.transfer(None)
        if core.now_ms >= self.heartbeat_due_ms:
            self._forget_removed()
            self._compare_states()
            self.broadcast()

    def hears_majority(self) -> bool:
        core = self._core
        contact_ms = [
            core.now_ms if voter == core.server_id else self.progress[voter].contact_ms
            for voter in core.configurations.current.voters
        ]
        return core.now_ms - quorum_value(contact_ms) < core.config.election_timeout_ms

    def broadcast(self) -> None:
        """A heartbeat to everybody. Its round speaks for every read that came before."""
        core = self._core
        self._round += 1
        self.heartbeat_due_ms = core.now_ms + core.config.heartbeat_ms
        self.reads.asked(self._round)
        heartbeat = Heartbeat(core.term, core.commit_index, self._round)
        for peer, progress in self.progress.items():
            core.send(peer, heartbeat, After.NOTHING)
            progress.heartbeat_sent(self._round)
        self._confirm_reads()

    def _compare_states(self) -> None:
        core = self._core
        for found in self.verdicts.speak(core.configurations.current.voters):
            core.outbox.diverged.append(found)
            if found.server_id != core.server_id:
                core.send(found.server_id, Diverged(core.term, found.index, found.expected), After.NOTHING)

    # Proposals

    def propose(self, datas: Sequence[bytes]) -> int:
        self._check_open()
        size = sum(map(len, datas))
        if self._uncommitted_bytes and self._uncommitted_bytes + size > self._core.config.uncommitted_bytes_max:
            raise Busy(f"{self._uncommitted_bytes} bytes are waiting to be committed")
        return self._append(EntryKind.DATA, datas)

    def _check_open(self) -> None:
        if self._transfer is not None:
            raise Busy(f"leadership is being handed over to server {self._transfer.target}")

    def _append(self, kind: EntryKind, datas: Sequence[bytes]) -> int:
        core = self._core
        first = core.log.last_index + 1
        core.append([Entry(index, core.term, kind, data) for index, data in enumerate(datas, first)])
        size = sum(map(len, datas))
        self._uncommitted.append((core.log.last_index, size))
        self._uncommitted_bytes += size
        return first

    # Replication

    def flush(self) -> None:
        """Send whatever may be sent now."""
        if self.reads.needs_round and self._answered_round() == self._round:
            self.broadcast()
        self._hand_over()
        shared: dict[int, tuple[AppendEntries, int]] = {}
        for peer, progress in self.progress.items():
            self._feed(peer, progress, shared)

    def _feed(self, peer: int, progress: Progress, shared: dict[int, tuple[AppendEntries, int]]) -> None:
        core, config = self._core, self._core.config
        while progress.may_send(core.log.last_index, config.inflight_max, config.inflight_bytes_max):
            append, size = shared.get(progress.next_index) or self._append_from(progress.next_index)
            if append is None:
                progress.need_snapshot()
                core.outbox.snapshot_wanted.append(peer)
                return
            shared[progress.next_index] = append, size
            core.send(peer, append, After.NOTHING)
            progress.sent(append.prev_index + len(append.entries), size)
            progress.commit_sent = core.commit_index
        if progress.mode is Mode.REPLICATE and progress.commit_sent < core.commit_index:
            core.send(peer, CommitNotice(core.term, core.commit_index), After.NOTHING)
            progress.commit_sent = core.commit_index

    def _append_from(self, first: int) -> tuple[AppendEntries, int] | tuple[None, int]:
        """The append that begins with entry `first` and its size; None if the log no longer reaches back so far."""
        core = self._core
        prev_term = core.log.term_at(first - 1)
        if prev_term is None:
            return None, 0
        entries = core.log.batch(first, core.config.append_entries_max, core.config.append_bytes_max)
        append = AppendEntries(core.term, first - 1, prev_term, core.commit_index, entries)
        return append, sum(entry.size for entry in entries)

    def on_accepted(self, sender: int, answer: AppendAccepted) -> None:
        progress = self._heard(sender)
        if progress is not None and progress.accepted(answer.index):
            self.advance_commit()

    def on_rejected(self, sender: int, answer: AppendRejected) -> None:
        progress = self._heard(sender)
        if progress is not None and progress.refuses(answer.prev_index, answer.last_index):
            progress.probe_from(self._core.log.last_at_most(answer.hint_index, answer.hint_term) + 1)

    def on_heartbeat_response(self, sender: int, answer: HeartbeatResponse) -> None:
        progress = self._heard(sender)
        if progress is None:
            return
        if progress.heartbeat_answered(answer.round, answer.verified_index):
            self._send_chunk(sender, progress)
        if answer.accepted_index > progress.match_index:
            self.on_accepted(sender, AppendAccepted(answer.term, answer.accepted_index))
        progress.applied_index = answer.applied_index
        ours = self._core.hashes.at(answer.applied_index)
        self.verdicts.note(sender, answer.applied_index, ours, answer.state_hash)
        self._confirm_reads()

    def _heard(self, sender: int) -> Progress | None:
        progress = self.progress.get(sender)
        if progress is not None:
            progress.heard, progress.contact_ms = True, self._core.now_ms
        return progress

    def connected(self, peer: int) -> None:
        self._restart(peer)

    def disconnected(self, peer: int) -> None:
        self._restart(peer)

    def _restart(self, peer: int) -> None:
        """Whatever was under way over the old connection is lost."""
        progress = self.progress.get(peer)
        if progress is not None:
            progress.probe()

    # Snapshots

    def send_snapshot(self, peer: int, meta: SnapshotMeta, data: bytes) -> None:
        progress = self.progress.get(peer)
        if progress is None or progress.mode is not Mode.SNAPSHOT or progress.snapshot is not None:
            return
        if meta.index < self._core.log.base_index:
            progress.probe()  # compacted further in the meantime: ask for a newer one
            return
        progress.snapshot = OutgoingSnapshot(meta, data, self._core.config.snapshot_chunk_bytes)
        self._send_chunk(peer, progress)

    def on_snapshot_response(self, sender: int, answer: SnapshotResponse) -> None:
        progress = self._heard(sender)
        snapshot = progress.snapshot if progress else None
        if progress is None or snapshot is None or snapshot.meta.index != answer.index:
            return
        if answer.received != snapshot.offset:
            snapshot.offset = answer.received
            self._send_chunk(sender, progress)

    def _send_chunk(self, peer: int, progress: Progress) -> None:
        if progress.snapshot is not None:
            self._core.send(peer, progress.snapshot.chunk(self._core.term), After.NOTHING)

    # Commit

    def advance_commit(self) -> None:
        """Commit what a majority of voters has durably, if it is of this term (Raft paper, section 5.4.2)."""
        core = self._core
        index = quorum_value([self._match(voter) for voter in core.configurations.current.voters])
        if index <= core.commit_index or core.log.term_at(index) != core.term:
            return
        core.commit_to(index)
        while self._uncommitted and self._uncommitted[0][0] <= index:
            self._uncommitted_bytes -= self._uncommitted.popleft()[1]
        self._leave_if_removed()

    def _match(self, voter: int) -> int:
        core = self._core
        return core.durability.index if voter == core.server_id else self.progress[voter].match_index

    # Reads

    def read(self, context: int) -> None:
        """The first entry of this term stands for everything committed before it."""
        self.reads.add(context, max(self._core.commit_index, self.first_index))

    def _answered_round(self) -> int:
        """The latest heartbeat round that a majority has answered."""
        core = self._core
        return quorum_value(
            [
                self._round if voter == core.server_id else self.progress[voter].round
                for voter in core.configurations.current.voters
            ]
        )

    def _confirm_reads(self) -> None:
        self.reads.confirm(self._answered_round())
        self.release_reads()

    def release_reads(self) -> None:
        self._core.outbox.reads.extend(self.reads.release(self._core.applied_index))

    # Hand-over

    def transfer(self, target: int | None) -> bool:
        """Begin to hand over to `target`, or to whoever is furthest. Whether there is anybody to hand over to."""
        core = self._core
        chosen = self.best_successor() if target is None else target
        voters = core.configurations.current.voters
        if chosen is None or chosen == core.server_id or chosen not in voters:
            return False
        if self._transfer is None or self._transfer.target != chosen:
            self._transfer = _Transfer(chosen, core.now_ms + core.config.election_timeout_ms)
        return True

    def best_successor(self) -> int | None:
        """The voter that was heard of lately and has most of the log."""
        voters = [voter for voter in self._core.configurations.current.voters if self._is_active(voter)]
        return max(voters, key=lambda voter: self.progress[voter].match_index, default=None)

    def _hand_over(self) -> None:
        """Tell the target to campaign, once it has everything and nothing is left undecided here."""
        core, transfer = self._core, self._transfer
        if transfer is None or transfer.asked or transfer.target not in self.progress:
            return
        caught_up = self.progress[transfer.target].match_index == core.log.last_index
        if caught_up and core.commit_index == core.log.last_index:
            transfer.asked = True
            core.send(transfer.target, TimeoutNow(core.term), After.NOTHING)

    def step_down(self) -> None:
        """Leave at once, with a word to the best successor."""
        core = self._core
        successor = self.best_successor()
        if successor is not None:
            core.send(successor, TimeoutNow(core.term), After.NOTHING)
        core.become_follower(core.term)

    # Membership

    def change_membership(self, change: MembershipChange) -> int:
        """Append the next configuration. It is in force here at once, so changes must not overlap."""
        core = self._core
        self._check_open()
        if core.configurations.current_index > core.commit_index:
            raise MembershipRefused("the previous change of membership is not committed yet")
        if core.commit_index < self.first_index:
            raise MembershipRefused("the leader has not committed an entry of its own term yet")
        if isinstance(change, Promote) and not self.learner_ready(change.server):
            raise MembershipRefused(f"server {change.server} cannot be promoted: it has not caught up")
        configuration = changed(core.configurations.current, change)
        self._check_survives(configuration)
        removed = set(core.configurations.current.members()) - {*configuration.members(), core.server_id}
        index = self._append(EntryKind.CONFIGURATION, (encode_configuration(configuration),))
        deadline_ms = core.now_ms + FAREWELL_TIMEOUTS * core.config.election_timeout_ms
        self._farewells.update(dict.fromkeys(removed, deadline_ms))
        self._reconfigure()
        return index

    def _check_survives(self, configuration: Configuration) -> None:
        """Refuse what would leave the cluster without a working majority."""
        voters = configuration.voters
        active = sum(1 for voter in voters if voter == self._core.server_id or self._is_active(voter))
        if active < majority(len(voters)):
            raise MembershipRefused(f"only {active} of the {len(voters)} voters would be reachable")

    def _reconfigure(self) -> None:
        core = self._core
        wanted = set(core.configurations.current.members()) | set(self._farewells)
        wanted.discard(core.server_id)
        for peer in wanted - set(self.progress):
            self.progress[peer] = Progress(core.log.last_index, core.now_ms)
        for peer in set(self.progress) - wanted:
            del self.progress[peer]

    def _forget_removed(self) -> None:
        """Stop sending to removed servers that know it, or that cannot be reached."""
        core = self._core
        for server, deadline_ms in list(self._farewells.items()):
            known = self.progress[server].applied_index >= core.configurations.current_index
            if server in core.configurations.current or known or core.now_ms >= deadline_ms:
                del self._farewells[server]
                self._reconfigure()

    def _leave_if_removed(self) -> None:
        core = self._core
        configurations = core.configurations
        if core.server_id not in configurations.current.voters and configurations.current_index <= core.commit_index:
            self.step_down()

    def learner_ready(self, server: int) -> bool:
        core = self._core
        progress = self.progress.get(server)
        if progress is None or server not in core.configurations.current.learners or not self._is_active(server):
            return False
        behind = core.log.last_index - progress.match_index
        return progress.mode is Mode.REPLICATE and behind <= core.config.append_entries_max

    def _is_active(self, server: int) -> bool:
        """Whether the server was heard lately, and not only assumed to be there when the leadership began."""
        progress = self.progress.get(server)
        core = self._core
        return (
            progress is not None
            and progress.heard
            and core.now_ms - progress.contact_ms < core.config.election_timeout_ms
        )
