"""What a leader knows of one other server, and how much it may have under way to it.

    PROBE ──accepted──▶ REPLICATE      one append at a time until the logs are known to agree, then a stream
      ▲                    │
      ├──rejected, silent, disconnected
      │                    │
    SNAPSHOT ◀── the next entry is compacted away

Nothing here runs on timers. A heartbeat carries a mark of what had been sent before it; when it is answered and the
follower has not seen that much, it was lost and the follower is probed again.
"""

from collections import deque
from enum import Enum

import msgspec

from .messages import InstallSnapshot
from .types import SnapshotMeta


class Mode(Enum):
    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class _Mark(msgspec.Struct, frozen=True):
    """What had been sent when heartbeat `round` left."""

    round: int
    probing: bool
    next_index: int
    snapshot_offset: int


class OutgoingSnapshot:
    """A snapshot on its way, one chunk at a time."""

    def __init__(self, meta: SnapshotMeta, data: bytes, chunk_bytes: int) -> None:
        self.meta = meta
        self.offset = 0
        self._data = data
        self._chunk_bytes = chunk_bytes

    def chunk(self, term: int) -> InstallSnapshot:
        data = self._data[self.offset : self.offset + self._chunk_bytes]
        return InstallSnapshot(term, self.meta, self.offset, len(self._data), data)

    def is_stuck(self, offset_before: int, verified_index: int) -> bool:
        """Whether a chunk must have been lost, and not just the whole be there and on its way to the receiver's disk."""
        return self.offset == offset_before and verified_index < self.meta.index


class Progress:
    """`match_index`: known to be durable there and equal to ours. `next_index`: the next to send. `emptied`: it lost its
    disk and counts for nothing (see `HardState`)."""

    def __init__(self, last_index: int, now_ms: int) -> None:
        self.mode = Mode.PROBE
        self.match_index = 0
        self.next_index = last_index + 1
        self.contact_ms = now_ms
        self.heard = False
        self.emptied = False
        self.round = 0
        self.commit_sent = 0
        self.applied_index = 0
        self.snapshot: OutgoingSnapshot | None = None
        self._probing = False
        self._inflight: deque[tuple[int, int]] = deque()  # last index and bytes of each unanswered append
        self._inflight_bytes = 0
        self._mark: _Mark | None = None

    def may_send(self, last_index: int, inflight_max: int, inflight_bytes_max: int) -> bool:
        """Whether an append should go out now. A probe goes out even when there is nothing to send with it."""
        if self.mode is Mode.REPLICATE:
            room = len(self._inflight) < inflight_max and self._inflight_bytes < inflight_bytes_max
            return room and self.next_index <= last_index
        return self.mode is Mode.PROBE and not self._probing

    def sent(self, last_index: int, size: int, commit: int) -> None:
        """An append up to `last_index` went out, with the commit index."""
        self.commit_sent = commit
        if self.mode is Mode.PROBE:
            self._probing = True
            return
        self.next_index = last_index + 1
        self._inflight.append((last_index, size))
        self._inflight_bytes += size

    def accepted(self, index: int) -> bool:
        """The follower's log is ours up to `index`. Whether that is news."""
        if self.mode is Mode.SNAPSHOT and (self.snapshot is None or index < self.snapshot.meta.index):
            return False
        while self._inflight and self._inflight[0][0] <= index:
            self._inflight_bytes -= self._inflight.popleft()[1]
        if self.mode is not Mode.REPLICATE:
            self._enter(Mode.REPLICATE)
            self.next_index = index + 1
        advanced = index > self.match_index
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, self.match_index + 1)
        return advanced

    def believes(self, prev_index: int, last_index: int) -> bool:
        """Whether a rejection of `prev_index` by a log that ends at `last_index` is news and not just late.

        A log shorter than the match is that of a server which lost its disk.
        """
        if self.mode is Mode.PROBE:
            return prev_index == self.next_index - 1
        return self.mode is Mode.REPLICATE and (prev_index > self.match_index or last_index < self.match_index)

    def probe_from(self, next_index: int) -> None:
        """Ask again whether the logs agree just before `next_index`. Believing in less than there is is always safe."""
        self._enter(Mode.PROBE)
        self.next_index = next_index
        self.match_index = min(self.match_index, next_index - 1)

    def probe(self) -> None:
        """Begin again behind what is known: nothing sent since can be relied on."""
        self._enter(Mode.PROBE)
        self.next_index = self.match_index + 1

    def need_snapshot(self) -> None:
        self._enter(Mode.SNAPSHOT)

    def heartbeat_sent(self, round_number: int, commit: int) -> None:
        self.commit_sent = commit
        if self._mark is None:
            offset = self.snapshot.offset if self.snapshot else 0
            self._mark = _Mark(round_number, self._probing, self.next_index, offset)

    def heartbeat_answered(self, round_number: int, verified_index: int) -> bool:
        """Notice what was lost. Whether the current snapshot chunk must be repeated."""
        self.round = max(self.round, round_number)
        mark = self._mark
        if mark is None or round_number < mark.round:
            return False
        self._mark = None
        if self.mode is Mode.PROBE:
            self._probing = self._probing and not mark.probing
        elif self.mode is Mode.SNAPSHOT:
            return self.snapshot is not None and self.snapshot.is_stuck(mark.snapshot_offset, verified_index)
        elif verified_index < min(mark.next_index - 1, self.next_index - 1):
            self.probe()
        return False

    def _enter(self, mode: Mode) -> None:
        self.mode = mode
        self.snapshot = None
        self._probing = False
        self._inflight.clear()
        self._inflight_bytes = 0
        self._mark = None
