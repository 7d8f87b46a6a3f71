"""One real node with the test as its whole world: its disk, its peers and its clock."""

import random
from collections.abc import Sequence
from typing import TypeVar

from services.oned_lite.raft import (
    Configuration,
    Divergence,
    Entry,
    EntryKind,
    HardState,
    Install,
    Message,
    Output,
    RaftConfig,
    RaftNode,
    ReadReady,
    Role,
    SnapshotMeta,
)
from services.oned_lite.raft.messages import (
    AppendAccepted,
    AppendEntries,
    Heartbeat,
    HeartbeatResponse,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)

ELECTION_TIMEOUT_MS = 1000
HEARTBEAT_MS = 100

M = TypeVar("M", bound=Message)


def log_of(*terms: int) -> list[Entry]:
    """A log whose n-th entry has the n-th of `terms`."""
    return [Entry(index, term, EntryKind.DATA, b"%d.%d" % (index, term)) for index, term in enumerate(terms, 1)]


class Subject:
    """`sent` and the other lists hold what came out since the last `forget`. Writes finish at once unless `holding`."""

    def __init__(
        self,
        *log_terms: int,
        server_id: int = 0,
        voters: Sequence[int] = (0, 1, 2),
        learners: Sequence[int] = (),
        term: int = 0,
        vote: int | None = None,
        snapshot: SnapshotMeta | None = None,
        applied: int = 0,
        seed: int = 0,
        **limits: int,
    ) -> None:
        self.now_ms = 0
        self.holding = False
        self.outputs: list[Output] = []
        self.sent: list[tuple[int, Message]] = []
        self.committed: list[Entry] = []
        self.reads: list[ReadReady] = []
        self.diverged: list[Divergence] = []
        config = RaftConfig(
            server_id=server_id,
            election_timeout_ms=ELECTION_TIMEOUT_MS,
            heartbeat_ms=HEARTBEAT_MS,
            **limits,
        )
        self.node = RaftNode(
            config,
            HardState(term or max(log_terms, default=0), vote),
            snapshot,
            Configuration(tuple(voters), tuple(learners)),
            [entry for entry in log_of(*log_terms) if snapshot is None or entry.index > snapshot.index],
            applied,
            random.Random(seed),
            0,
        )
        self.settle()

    # The world acts

    def receive(self, sender: int, *messages: Message) -> list[tuple[int, Message]]:
        """Deliver `messages`; returns what it sent upon them."""
        before = len(self.sent)
        for message in messages:
            self.node.receive(sender, message, self.now_ms)
            self.settle()
        return self.sent[before:]

    def wait(self, duration_ms: int) -> list[tuple[int, Message]]:
        before = len(self.sent)
        end_ms = self.now_ms + duration_ms
        while self.node.next_deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.node.next_deadline_ms)
            self.node.tick(self.now_ms)
            self.settle()
        self.now_ms = end_ms
        self.node.tick(end_ms)
        self.settle()
        return self.sent[before:]

    def jump(self, duration_ms: int) -> None:
        """The whole process stands still for a while."""
        self.now_ms += duration_ms

    def time_out(self) -> list[tuple[int, Message]]:
        """Let the election timer run out once."""
        return self.wait(max(self.node.next_deadline_ms - self.now_ms, 0))

    def hold_disk(self) -> None:
        self.holding = True

    def release_disk(self) -> list[tuple[int, Message]]:
        """Whatever was asked to be written is durable now; returns what was sent upon that."""
        before = len(self.sent)
        self.holding = False
        self.node.persisted(self.outputs[-1].ticket, self.now_ms)
        self.settle()
        return self.sent[before:]

    def settle(self) -> None:
        while output := self.node.take():
            self.outputs.append(output)
            self.sent += output.messages
            self.reads += output.reads
            self.diverged += output.diverged
            if output.needs_persist and not self.holding:
                self.node.persisted(output.ticket, self.now_ms)
            if output.install is not None:
                self.node.applied(output.install.meta.index, output.install.meta.index)
            for entry in output.committed:
                self.committed.append(entry)
                self.node.applied(entry.index, entry.index)

    # Shortcuts through elections

    def become_candidate(self) -> list[tuple[int, Message]]:
        before = len(self.sent)
        self.time_out()
        for peer, request in self.sent[before:]:
            if isinstance(request, PreVoteRequest):
                self.receive(peer, PreVoteResponse(request.term, True))
        return self.sent[before:]

    def become_leader(self) -> "Subject":
        """Elected by everybody, with nothing of its term acknowledged yet."""
        requests = self.become_candidate()
        for peer, request in requests:
            if isinstance(request, VoteRequest) and self.node.role is Role.CANDIDATE:
                self.receive(peer, VoteResponse(request.term, True))
        assert self.node.role is Role.LEADER
        return self

    def lead_with(self, *peers: int) -> "Subject":
        """Elected, and `peers` have the whole log."""
        self.become_leader()
        self.acknowledge(*peers)
        return self

    def acknowledge(self, *peers: int) -> None:
        for peer in peers:
            self.receive(peer, AppendAccepted(self.node.term, self.node.last_index))

    def answer_heartbeat(self, *peers: int) -> None:
        """The peers answer the latest heartbeat and are as far as they ever said."""
        for peer in peers:
            rounds = [message.round for to, message in self.sent if to == peer and isinstance(message, Heartbeat)]
            match = self.node.match_index(peer) or 0
            self.receive(peer, HeartbeatResponse(self.node.term, rounds[-1], self.node.last_index, match, 0, None))

    def append(self, leader: int, term: int, prev: tuple[int, int], *terms: int, commit: int = 0) -> list[Message]:
        """What it answers to an append of entries with `terms` after `prev` (index, term)."""
        first = prev[0] + 1
        entries = tuple(
            Entry(index, entry_term, EntryKind.DATA, b"%d.%d" % (index, entry_term))
            for index, entry_term in enumerate(terms, first)
        )
        sent = self.receive(leader, AppendEntries(term, *prev, commit, entries))
        return [message for peer, message in sent if peer == leader]

    # What came out

    def terms(self) -> list[int | None]:
        """The terms of its log, from the first entry it holds."""
        return [self.node.term_at(index) for index in range(self.node.first_index, self.node.last_index + 1)]

    def roles(self) -> list[Role]:
        """Every role it announced."""
        return [output.role_changed.role for output in self.outputs if output.role_changed is not None]

    def hard_states(self) -> list[HardState]:
        return [output.hard_state for output in self.outputs if output.hard_state is not None]

    def installs(self) -> list[Install]:
        return [output.install for output in self.outputs if output.install is not None]

    def wanted_snapshots(self) -> list[int]:
        return [peer for output in self.outputs for peer in output.snapshot_wanted]

    def dropped(self) -> list[int]:
        return [index for output in self.outputs for index in output.dropped]

    def failed_reads(self) -> list[int]:
        return [context for output in self.outputs for context in output.failed_reads]


def only(kind: type[M], sent: Sequence[tuple[int, Message] | Message]) -> list[M]:
    """The messages of one kind."""
    messages = [one[1] if isinstance(one, tuple) else one for one in sent]
    return [message for message in messages if isinstance(message, kind)]


def to(peer: int, sent: Sequence[tuple[int, Message]]) -> list[Message]:
    return [message for receiver, message in sent if receiver == peer]
