"""Following: what a leader's messages do to this server (Raft paper sections 5.3 and 7)."""

from .core import Core
from .durability import After
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
    SnapshotResponse,
    Welcome,
)
from .output import Divergence, Install
from .types import SnapshotMeta


class IncomingSnapshot:
    """The chunks received so far of one leader's snapshot."""

    def __init__(self, term: int, meta: SnapshotMeta, total: int) -> None:
        self.key = (term, meta.index, total)
        self.data = bytearray()


class Follower:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._incoming: IncomingSnapshot | None = None

    def on_append(self, sender: int, append: AppendEntries) -> None:
        """Append if the logs agree at `prev_index`; the answer waits until the entries are durable."""
        core = self._core
        entries = append.entries
        end = append.prev_index + len(entries)
        if entries and (entries[0].index != append.prev_index + 1 or entries[-1].index != end):
            return
        if append.prev_index < core.commit_index:
            entries = entries[core.commit_index - append.prev_index :]  # every leader has what is committed
        elif core.log.term_at(append.prev_index) != append.prev_term:
            self._reject(sender, append)
            return
        conflict = core.log.first_conflict(entries)
        if conflict is not None:
            core.replace(entries[conflict.index - entries[0].index :])
        core.verified_index = max(core.verified_index, core.commit_index, end)
        self._commit(append.commit)
        self._accept(sender, max(end, core.commit_index))

    def _accept(self, sender: int, index: int) -> None:
        core = self._core
        core.send(sender, AppendAccepted(core.term, index, core.emptied), After.LOG)

    def _reject(self, sender: int, append: AppendEntries) -> None:
        core = self._core
        hint_index = core.log.last_at_most(append.prev_index, append.prev_term)
        hint_term = core.log.term_at(hint_index) or 0
        last_index = core.log.last_index
        answer = AppendRejected(core.term, append.prev_index, hint_index, hint_term, last_index, core.emptied)
        core.send(sender, answer)

    def on_heartbeat(self, sender: int, heartbeat: Heartbeat) -> None:
        core = self._core
        self._commit(heartbeat.commit)
        answer = HeartbeatResponse(
            core.term,
            heartbeat.round,
            core.verified_index,
            min(core.verified_index, core.durability.index),
            core.applied_index,
            core.hashes.at(core.applied_index),
            core.emptied,
        )
        core.send(sender, answer)

    def notice_emptiness(self, message: LeaderMessage) -> None:
        """A leader has committed something and this server has nothing: it was away since the beginning, or it has lost
        its disk. Before it follows, it must be known to be worth nothing."""
        if self._core.blank and _tells_of_commit(message):
            self._core.set_emptied(True)

    def on_welcome(self, welcome: Welcome) -> None:
        """Count again, once the log says that this server only learns: no older configuration can come back here."""
        core = self._core
        if core.emptied and core.verified_index >= welcome.index:
            core.set_emptied(False)

    def on_commit_notice(self, notice: CommitNotice) -> None:
        self._commit(notice.commit)

    def _commit(self, index: int) -> None:
        """Commit what the leader has, but never what was not checked to be the leader's."""
        core = self._core
        core.commit_to(max(core.commit_index, min(index, core.verified_index)))

    def on_install(self, sender: int, chunk: InstallSnapshot) -> None:
        core = self._core
        meta = chunk.meta
        if core.log.term_at(meta.index) == meta.term or meta.index <= core.commit_index:
            self._skip(sender, meta)
            return
        received = self._receive(chunk)
        if received < chunk.total:
            core.send(sender, SnapshotResponse(core.term, meta.index, received, core.emptied))
            return
        data, self._incoming = bytes(self._incoming.data) if self._incoming else b"", None
        core.install(meta)
        core.outbox.install = Install(meta, data)
        self._accept(sender, meta.index)

    def _skip(self, sender: int, meta: SnapshotMeta) -> None:
        """The log holds everything the snapshot covers, so the snapshot only tells that it is committed."""
        core = self._core
        self._incoming = None
        core.verified_index = max(core.verified_index, core.commit_index, meta.index)
        self._commit(meta.index)
        self._accept(sender, core.commit_index)

    def _receive(self, chunk: InstallSnapshot) -> int:
        """Keep the chunk if it is the next one. How many bytes are here."""
        core = self._core
        key = (chunk.term, chunk.meta.index, chunk.total)
        if self._incoming is None or self._incoming.key != key:
            self._incoming = IncomingSnapshot(chunk.term, chunk.meta, chunk.total)
        data = self._incoming.data
        end = chunk.offset + len(chunk.data)
        if chunk.offset == len(data) and end <= chunk.total <= core.config.snapshot_bytes_max:
            data += chunk.data
        return len(data)

    def on_diverged(self, diverged: Diverged) -> None:
        core = self._core
        ours = core.hashes.at(diverged.index)
        if ours is not None and ours != diverged.state_hash:
            core.outbox.diverged.append(
                Divergence(core.server_id, diverged.index, expected=diverged.state_hash, actual=ours)
            )


def _tells_of_commit(message: LeaderMessage) -> bool:
    match message:
        case AppendEntries() | Heartbeat() | CommitNotice():
            return message.commit > 0
        case _:
            return True
