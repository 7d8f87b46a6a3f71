"""What must be true after every step, whatever happened. One method per property, with its source."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.oned_lite.raft import Entry, HardState, Output, RaftNode, Role
from services.oned_lite.raft.messages import AppendAccepted, Message, VoteResponse
from services.oned_lite.raft.quorum import majority

from .disk import Disk


@dataclass(frozen=True)
class _Committed:
    term: int  # of the entry
    by_term: int  # of the server that said so


@dataclass
class Invariants:
    leaders: dict[int, int] = field(default_factory=dict)
    contents: dict[tuple[int, int], tuple[Entry, int]] = field(default_factory=dict)
    committed: dict[int, _Committed] = field(default_factory=dict)
    hashes: dict[int, int] = field(default_factory=dict)
    highest_applied: int = 0
    checked: dict[tuple[int, int], int] = field(default_factory=dict)  # what each leader had committed

    def took(self, node: RaftNode, output: Output, disks: Callable[[int], Disk]) -> None:
        """`node` gave `output`."""
        self.log_matching(node, output.entries)
        if node.role is Role.LEADER:
            self.election_safety(node)
        if output.role_changed and output.role_changed.role is Role.LEADER:
            self.election_was_won(node, disks)
            self.leader_completeness(node)
            self.checked[node.server_id, node.term] = node.commit_index
        for peer, message in output.messages:
            self.promises_are_durable(node, peer, message, disks(node.server_id))
        self.commit_in_bounds(node)
        self.committed_once(node, output.committed)
        self.applied_is_durable(node, output.committed, disks(node.server_id))
        if node.role is Role.LEADER:
            self.commit_is_replicated(node, disks)

    def election_safety(self, node: RaftNode) -> None:
        """At most one leader per term (Raft paper, figure 3)."""
        first = self.leaders.setdefault(node.term, node.server_id)
        assert first == node.server_id, f"servers {first} and {node.server_id} both lead term {node.term}"

    def election_was_won(self, node: RaftNode, disks: Callable[[int], Disk]) -> None:
        """A majority has the vote on disk, or has gone on to a later term (Raft paper, section 5.2)."""
        voters = node.configuration.voters
        held = {voter: disks(voter).hard_state for voter in voters}
        voted = [v for v in voters if held[v].term > node.term or held[v] == HardState(node.term, node.server_id)]
        assert len(voted) >= majority(len(voters)), f"server {node.server_id} leads term {node.term} with {held}"

    def log_matching(self, node: RaftNode, entries: Iterable[Entry]) -> None:
        """Entries of one index and term are equal, and so is everything before them (Raft paper, figure 3)."""
        for entry in entries:
            prev_term = node.term_at(entry.index - 1)
            if prev_term is None:
                continue
            known, known_prev = self.contents.setdefault((entry.index, entry.term), (entry, prev_term))
            assert known == entry, f"two entries {entry.index} of term {entry.term}"
            assert known_prev == prev_term, (
                f"entry {entry.index} of term {entry.term} follows {prev_term}, {known_prev}"
            )

    def leader_completeness(self, node: RaftNode) -> None:
        """A leader has every entry committed in earlier terms (Raft paper, figure 3)."""
        for index, committed in self.committed.items():
            if committed.by_term < node.term and index >= node.first_index:
                assert node.term_at(index) == committed.term, (
                    f"leader {node.server_id} of term {node.term} lacks entry {index}, committed in {committed.by_term}"
                )

    def promises_are_durable(self, node: RaftNode, peer: int, message: Message, disk: Disk) -> None:
        """Term, vote and log are on disk before anybody may rely on them (Raft paper, figure 2)."""
        if isinstance(message, VoteResponse) and message.granted:
            held = disk.hard_state
            assert held.term > message.term or (held.term, held.vote) == (message.term, peer), (
                f"server {node.server_id} voted for {peer} in term {message.term} with {held} on disk"
            )
        if isinstance(message, AppendAccepted):
            assert disk.last_index >= message.index, (
                f"server {node.server_id} acknowledged {message.index} with {disk.last_index} on disk"
            )

    def commit_in_bounds(self, node: RaftNode) -> None:
        assert node.applied_index <= node.commit_index <= node.last_index, (
            f"server {node.server_id}: applied {node.applied_index}, commit {node.commit_index}, last {node.last_index}"
        )

    def committed_once(self, node: RaftNode, entries: Iterable[Entry]) -> None:
        """No two servers commit different entries at one index (state machine safety, Raft paper, figure 3)."""
        for entry in entries:
            known = self.committed.setdefault(entry.index, _Committed(entry.term, node.term))
            assert known.term == entry.term, (
                f"server {node.server_id} commits entry {entry.index} of term {entry.term}, others that of {known.term}"
            )

    def applied_is_durable(self, node: RaftNode, entries: Sequence[Entry], disk: Disk) -> None:
        """A restart must find what was applied."""
        assert not entries or disk.last_index >= entries[-1].index, (
            f"server {node.server_id} applies {entries[-1].index} with {disk.last_index} on disk"
        )

    def commit_is_replicated(self, node: RaftNode, disks: Callable[[int], Disk]) -> None:
        """What a leader calls committed in its term is durable on a majority of its voters (Raft paper, section 5.4.2)."""
        index, key = node.commit_index, (node.server_id, node.term)
        if index <= self.checked[key]:
            return
        self.checked[key] = index
        assert node.term_at(index) == node.term, f"leader of term {node.term} counts replicas of older entry {index}"
        voters = node.configuration.voters
        holders = [
            voter for voter in voters if disks(voter).base_index > index or disks(voter).term_at(index) == node.term
        ]
        assert len(holders) >= majority(len(voters)), (
            f"entry {index} is committed with {holders} of {voters} holding it"
        )

    def applied(self, server: int, index: int, value: int) -> None:
        """Equal states at equal indexes."""
        known = self.hashes.setdefault(index, value)
        assert known == value, f"server {server} has another state at index {index}"
        self.highest_applied = max(self.highest_applied, index)
