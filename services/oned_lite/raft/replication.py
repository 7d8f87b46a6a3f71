"""Bringing every other server's log up to the leader's (Raft paper sections 5.3 and 7, thesis section 10.2)."""

from collections.abc import Iterable

from .core import Core
from .durability import After
from .messages import (
    AppendAccepted,
    AppendEntries,
    AppendRejected,
    CommitNotice,
    Heartbeat,
    HeartbeatResponse,
    SnapshotResponse,
)
from .progress import Mode, OutgoingSnapshot, Progress
from .types import SnapshotMeta

Shared = dict[int, tuple[AppendEntries, int]]  # appends made for one peer, and their sizes, by their first index


class Replication:
    """What is under way to each peer. Appends are made in `feed`, so that all there is by then travels together."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.progress: dict[int, Progress] = {}

    def set_peers(self, wanted: Iterable[int]) -> None:
        core = self._core
        peers = set(wanted) - {core.server_id}
        for peer in sorted(peers - set(self.progress)):
            self.progress[peer] = Progress(core.log.last_index, core.now_ms)
        for peer in set(self.progress) - peers:
            del self.progress[peer]

    # What is known of others

    def match(self, server: int) -> int:
        """How much of this log `server` has durably. The leader's own disk is one among others (thesis 10.2.1)."""
        if server == self._core.server_id:
            return self._core.durability.index
        progress = self.progress[server]
        return 0 if progress.emptied else progress.match_index

    def contact_ms(self, server: int) -> int:
        if server == self._core.server_id:
            return self._core.now_ms
        progress = self.progress[server]
        return self._core.now_ms - self._core.config.election_timeout_ms if progress.emptied else progress.contact_ms

    def emptied(self, server: int) -> bool:
        return server in self.progress and self.progress[server].emptied

    def is_active(self, server: int) -> bool:
        """Whether the server was heard lately, and not only assumed to be there when the leadership began."""
        return server == self._core.server_id or (self._is_heard(server) and not self.emptied(server))

    def _is_heard(self, server: int) -> bool:
        core, progress = self._core, self.progress.get(server)
        if progress is None or not progress.heard:
            return False
        return core.now_ms - progress.contact_ms < core.config.election_timeout_ms

    def needed_index(self) -> int | None:
        """The log behind it is needed by servers that are being brought up to date; None if nobody needs any."""
        needed = [
            progress.match_index if progress.snapshot is None else progress.snapshot.meta.index
            for peer, progress in self.progress.items()
            if self._is_heard(peer) and (progress.mode is Mode.REPLICATE or progress.snapshot is not None)
        ]
        return min(needed, default=None)

    def heard(self, server: int) -> Progress | None:
        progress = self.progress.get(server)
        if progress is not None:
            progress.heard, progress.contact_ms = True, self._core.now_ms
        return progress

    def restart(self, peer: int) -> None:
        """Its connection closed or is new: whatever was under way over the old one is lost."""
        progress = self.progress.get(peer)
        if progress is not None:
            progress.probe()

    # Sending

    def heartbeat(self, round_number: int) -> None:
        core = self._core
        heartbeat = Heartbeat(core.term, core.commit_index, round_number)
        for peer, progress in self.progress.items():
            core.send(peer, heartbeat, After.NOTHING)
            progress.heartbeat_sent(round_number, core.commit_index)

    def feed(self) -> None:
        """Send whatever may be sent now. Peers that are equally far get the very same messages."""
        core, config = self._core, self._core.config
        shared: Shared = {}
        last_index, commit_index = core.log.last_index, core.commit_index
        for peer, progress in self.progress.items():
            if progress.may_send(last_index, config.inflight_max, config.inflight_bytes_max):
                self._feed(peer, progress, shared)
            if progress.mode is Mode.REPLICATE and progress.commit_sent < commit_index:
                core.send(peer, CommitNotice(core.term, commit_index), After.NOTHING)
                progress.commit_sent = commit_index

    def _feed(self, peer: int, progress: Progress, shared: Shared) -> None:
        """Append after append, as many as may be under way."""
        core, config = self._core, self._core.config
        while progress.may_send(core.log.last_index, config.inflight_max, config.inflight_bytes_max):
            made = shared.get(progress.next_index) or self._append_from(progress.next_index)
            if made is None:
                progress.need_snapshot()
                core.outbox.snapshot_wanted.append(peer)
                return
            shared[progress.next_index] = made
            append, size = made
            core.send(peer, append, After.NOTHING)
            progress.sent(append.prev_index + len(append.entries), size, append.commit)

    def _append_from(self, first: int) -> tuple[AppendEntries, int] | None:
        """The append that begins with entry `first` and its size; None if the log no longer reaches back so far."""
        core = self._core
        prev_term = core.log.term_at(first - 1)
        if prev_term is None:
            return None
        entries = core.log.batch(first, core.config.append_entries_max, core.config.append_bytes_max)
        append = AppendEntries(core.term, first - 1, prev_term, core.commit_index, entries)
        return append, sum(entry.size for entry in entries)

    def send_snapshot(self, peer: int, meta: SnapshotMeta, data: bytes) -> None:
        progress = self.progress.get(peer)
        if progress is None or progress.mode is not Mode.SNAPSHOT or progress.snapshot is not None:
            return
        if meta.index < self._core.log.base_index:
            progress.probe()  # compacted further in the meantime: a newer one is needed
            return
        progress.snapshot = OutgoingSnapshot(meta, data, self._core.config.snapshot_chunk_bytes)
        self._send_chunk(peer, progress)

    def _send_chunk(self, peer: int, progress: Progress) -> None:
        if progress.snapshot is not None:
            self._core.send(peer, progress.snapshot.chunk(self._core.term), After.NOTHING)

    # Answers

    def on_accepted(self, sender: int, answer: AppendAccepted) -> bool:
        """Whether more is durable there than was known."""
        progress = self.heard(sender)
        if progress is None:
            return False
        self._note_emptiness(sender, progress, answer.emptied)
        return progress.accepted(answer.index)

    def on_rejected(self, sender: int, answer: AppendRejected) -> None:
        progress = self.heard(sender)
        if progress is not None:
            self._note_emptiness(sender, progress, answer.emptied)
        if progress is not None and progress.believes(answer.prev_index, answer.last_index):
            progress.probe_from(self._core.log.last_at_most(answer.hint_index, answer.hint_term) + 1)

    def on_heartbeat_response(self, sender: int, answer: HeartbeatResponse) -> bool:
        """Whether more is durable there than was known: the answer to an append may have been lost."""
        progress = self.heard(sender)
        if progress is None:
            return False
        progress.applied_index = answer.applied_index
        self._note_emptiness(sender, progress, answer.emptied)
        if progress.heartbeat_answered(answer.round, answer.verified_index):
            self._send_chunk(sender, progress)
        return answer.accepted_index > progress.match_index and progress.accepted(answer.accepted_index)

    def _note_emptiness(self, server: int, progress: Progress, emptied: bool) -> None:
        """A voter does not get over it as one: an answer that says so is of an earlier life."""
        progress.emptied = emptied or (progress.emptied and server in self._core.configurations.current.voters)

    def on_snapshot_response(self, sender: int, answer: SnapshotResponse) -> None:
        progress = self.heard(sender)
        if progress is not None:
            self._note_emptiness(sender, progress, answer.emptied)
        snapshot = progress.snapshot if progress else None
        if progress is None or snapshot is None or snapshot.meta.index != answer.index:
            return
        if answer.received != snapshot.offset:
            snapshot.offset = answer.received
            self._send_chunk(sender, progress)
