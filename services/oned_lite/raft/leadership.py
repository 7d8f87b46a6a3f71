"""Leading one term: exists from the moment an election is won until the term is over, and no longer.

Commit (Raft paper section 5.4.2), check-quorum and read index (thesis section 6.4), and the parts that have modules of
their own: `replication`, `handover`, `roster`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from .core import Core
from .durability import After
from .handover import Handover
from .hashes import Verdicts
from .messages import (
    AppendAccepted,
    AppendRejected,
    Diverged,
    HeartbeatResponse,
    SnapshotResponse,
    Welcome,
)
from .quorum import quorum_value
from .reads import ReadQueue
from .replication import Replication
from .roster import Roster
from .types import (
    ENTRY_OVERHEAD_BYTES,
    Busy,
    Demote,
    Entry,
    EntryKind,
    MembershipChange,
    MembershipRefused,
    encode_configuration,
)

Answer = AppendAccepted | AppendRejected | HeartbeatResponse | SnapshotResponse


class Leadership:
    """`first_index` is that of the first entry of this term."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.first_index = core.log.last_index + 1
        self.heartbeat_due_ms = core.now_ms
        self.replication = Replication(core)
        self.roster = Roster(core, self.replication, self.first_index)
        self.handover = Handover(core, self.replication)
        self._reads = ReadQueue()
        self._verdicts = Verdicts(core.server_id)
        self._round = 0
        self._uncommitted: deque[tuple[int, int]] = deque()  # last index and bytes of each proposal
        self._uncommitted_bytes = 0
        self._append_first()
        self._broadcast()

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
        core = self._core
        core.outbox.failed_reads.extend(self._reads.fail())
        undecided = core.log.slice(max(self.first_index, core.commit_index + 1), core.log.last_index)
        core.outbox.dropped.extend(entry.index for entry in undecided if entry.kind is not EntryKind.NOOP)

    # Time

    def tick(self) -> None:
        core = self._core
        self.handover.tick()
        if core.leadership is not self:
            return
        if core.now_ms >= self.heartbeat_due_ms:
            self.roster.tick()
            self._take_back_emptied()
            self._compare_states()
            self._broadcast()

    def hears_majority(self) -> bool:
        core = self._core
        return core.now_ms - self._quorum_value(self.replication.contact_ms) < core.config.election_timeout_ms

    def _broadcast(self) -> None:
        """A heartbeat to everybody. Its round speaks for every read that came before."""
        core = self._core
        self._round += 1
        self.heartbeat_due_ms = core.now_ms + core.config.heartbeat_ms
        self._reads.asked(self._round)
        self.replication.heartbeat(self._round)
        self._confirm_reads()

    def flush(self) -> None:
        """Send whatever may be sent now."""
        if self._reads.needs_round and self._answered_round() == self._round:
            self._broadcast()
        self.handover.proceed()
        self.replication.feed()

    def _take_back_emptied(self) -> None:
        """Voters that lost their disks become learners, and are told so once that is committed. Who promotes learners
        promotes them again: until then nothing relies on what they have forgotten."""
        core, current = self._core, self._core.configurations.current
        for server in filter(self.replication.emptied, current.members()):
            if server in current.voters:
                with suppress(Busy, MembershipRefused):
                    self.change_membership(Demote(server))
            elif core.configurations.current_index <= core.commit_index:
                core.send(server, Welcome(core.term, core.configurations.current_index), After.NOTHING)

    def _compare_states(self) -> None:
        core = self._core
        for found in self._verdicts.speak(core.configurations.current.voters):
            core.outbox.diverged.append(found)
            if found.server_id != core.server_id:
                core.send(found.server_id, Diverged(core.term, found.index, found.expected), After.NOTHING)

    def _quorum_value(self, of_server: Callable[[int], int]) -> int:
        return quorum_value([of_server(voter) for voter in self._core.configurations.current.voters])

    # Requests

    def propose(self, datas: Sequence[bytes]) -> int:
        self.handover.check_open()
        size = sum(map(len, datas)) + len(datas) * ENTRY_OVERHEAD_BYTES
        if self._uncommitted_bytes and self._uncommitted_bytes + size > self._core.config.uncommitted_bytes_max:
            raise Busy(f"{self._uncommitted_bytes} bytes are waiting to be committed")
        first = self._append(EntryKind.DATA, datas)
        self._uncommitted.append((self._core.log.last_index, size))
        self._uncommitted_bytes += size
        return first

    def change_membership(self, change: MembershipChange) -> int:
        self.handover.check_open()
        previous = self._core.configurations.current
        index = self._append(EntryKind.CONFIGURATION, (encode_configuration(self.roster.after(change)),))
        self.roster.changed_from(previous)
        return index

    def read(self, context: int) -> None:
        """The first entry of this term stands for everything committed before it."""
        self._reads.add(context, max(self._core.commit_index, self.first_index))

    def _append(self, kind: EntryKind, datas: Sequence[bytes]) -> int:
        core = self._core
        first = core.log.last_index + 1
        core.append([Entry(index, core.term, kind, data) for index, data in enumerate(datas, first)])
        return first

    # Answers

    def on_answer(self, sender: int, answer: Answer) -> None:
        match answer:
            case AppendAccepted():
                if self.replication.on_accepted(sender, answer):
                    self.advance_commit()
            case HeartbeatResponse():
                self._on_heartbeat_response(sender, answer)
            case AppendRejected():
                self.replication.on_rejected(sender, answer)
            case SnapshotResponse():
                self.replication.on_snapshot_response(sender, answer)

    def _on_heartbeat_response(self, sender: int, answer: HeartbeatResponse) -> None:
        ours = self._core.hashes.at(answer.applied_index)
        self._verdicts.note(sender, answer.applied_index, ours, answer.state_hash)
        news = self.replication.on_heartbeat_response(sender, answer)
        self._confirm_reads()
        if news:
            self.advance_commit()

    def advance_commit(self) -> None:
        """Commit what a majority of voters has durably, if it is of this term (Raft paper, section 5.4.2)."""
        core = self._core
        index = self._quorum_value(self.replication.match)
        if index <= core.commit_index or core.log.term_at(index) != core.term:
            return
        core.commit_to(index)
        while self._uncommitted and self._uncommitted[0][0] <= index:
            self._uncommitted_bytes -= self._uncommitted.popleft()[1]
        if self.roster.leaves_itself:
            self.handover.leave()

    # Reads

    def _answered_round(self) -> int:
        """The latest heartbeat round that a majority has answered."""
        own, progress = self._core.server_id, self.replication.progress

        def answered(voter: int) -> int:
            if voter == own:
                return self._round
            return 0 if progress[voter].emptied else progress[voter].round

        return self._quorum_value(answered)

    def _confirm_reads(self) -> None:
        self._reads.confirm(self._answered_round())
        self.release_reads()

    def release_reads(self) -> None:
        self._core.outbox.reads.extend(self._reads.release(self._core.applied_index))
