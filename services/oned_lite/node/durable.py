"""What a database gives back to a server that starts."""

from __future__ import annotations

from dataclasses import dataclass

from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a server starts from.

    `snapshot` says up to where the log is compacted (None: from the beginning); `entries` follow it. `rows` are the
    tables as of `applied_index`, which lies at or after the snapshot and at or before the last entry.
    """

    hard_state: HardState
    snapshot: SnapshotMeta | None
    entries: tuple[Entry, ...]
    applied_index: int
    rows: tuple[Change, ...]

    @property
    def last_index(self) -> int:
        """The end of the log."""
        if self.entries:
            return self.entries[-1].index
        return 0 if self.snapshot is None else self.snapshot.index
