"""A database that takes time, loses what was not durable in a crash, and can be slow or full."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from services.oned_lite.node.durable import Loaded
from services.oned_lite.node.effects import Applied, Persist
from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change, Key

from .invariants import Violation


@dataclass
class Disk:
    """Log writes are durable when `finish` has run; table writes follow behind, always together with their index."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: SnapshotMeta | None = None
    entries: list[Entry] = field(default_factory=list)
    applied_index: int = 0
    rows: dict[tuple[str, Key], Change] = field(default_factory=dict)
    queued: deque[Persist] = field(default_factory=deque)
    unwritten: deque[Applied] = field(default_factory=deque)
    slow: bool = False
    full: bool = False

    def finish(self) -> Persist:
        """The oldest queued write is durable now."""
        persist = self.queued.popleft()
        self._write(persist)
        return persist

    def crash(self, rng: random.Random) -> None:
        """A write under way may have become durable without anybody knowing; all later ones are gone."""
        if self.queued and not self.full and rng.random() < 0.5:
            self._write(self.queued[0])
        self.queued.clear()
        self.unwritten.clear()

    def write_tables(self, count: int) -> int:
        """Writes at most `count` applied entries into the tables, in one transaction; the index they are at then."""
        for _ in range(min(count, len(self.unwritten))):
            applied = self.unwritten.popleft()
            if applied.index <= self.applied_index:
                continue
            for change in applied.change_set.changes:
                if change.row is None:
                    self.rows.pop((change.table, change.key), None)
                else:
                    self.rows[change.table, change.key] = change
            self.applied_index = applied.index
        return self.applied_index

    def purge(self, meta: SnapshotMeta) -> None:
        if self.snapshot is None or meta.index > self.snapshot.index:
            self.snapshot = meta
            self.entries = [entry for entry in self.entries if entry.index > meta.index]

    def loaded(self) -> Loaded:
        return Loaded(
            self.hard_state, self.snapshot, tuple(self.entries), self.applied_index, tuple(self.rows.values())
        )

    def _write(self, persist: Persist) -> None:
        if persist.hard_state is not None:
            self._check_hard_state(persist.hard_state)
            self.hard_state = persist.hard_state
        if persist.install is not None:
            self.snapshot, self.entries = persist.install.meta, []
            self.applied_index = persist.install.meta.index
            self.rows = {(change.table, change.key): change for change in persist.install.rows}
            self.unwritten.clear()
        if persist.entries:
            first = persist.entries[0].index
            if first <= self.applied_index:
                raise Violation(f"entry {first} is overwritten after {self.applied_index} was applied")
            self.entries = [entry for entry in self.entries if entry.index < first] + list(persist.entries)

    def _check_hard_state(self, new: HardState) -> None:
        old = self.hard_state
        if new.term < old.term or (new.term == old.term and old.vote is not None and new.vote != old.vote):
            raise Violation(f"durable term and vote went from {old} to {new}")
