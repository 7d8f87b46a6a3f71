"""A database that takes time, loses what was not durable in a crash, and can be slow, stalled, failing, full or gone."""

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
    """Log writes are durable when their commit ends; table writes follow behind, always together with their index.

    `queued`: asked for and not durable, the first `committing` of them in the commit under way. `slow`: commits take up to
    0.4 s. `stalled`: they do not end. `failing`: the next one fails, and may have happened all the same. `full`: all fail,
    and have not happened.
    """

    hard_state: HardState = field(default_factory=HardState)
    snapshot: SnapshotMeta | None = None
    entries: list[Entry] = field(default_factory=list)
    applied_index: int = 0
    rows: dict[tuple[str, Key], Change] = field(default_factory=dict)
    queued: deque[Persist] = field(default_factory=deque)
    committing: int = 0
    unwritten: deque[Applied] = field(default_factory=deque)
    slow: bool = False
    stalled: bool = False
    failing: bool = False
    full: bool = False

    @property
    def troubled(self) -> bool:
        return self.slow or self.stalled or self.failing or self.full

    @property
    def last_index(self) -> int:
        if self.entries:
            return self.entries[-1].index
        return self.snapshot.index if self.snapshot else 0

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry is here, or something that covers it."""
        base = self.snapshot.index if self.snapshot else 0
        place = index - base - 1
        return place < 0 or (place < len(self.entries) and self.entries[place].term == term)

    # ------------------------------------------------------------------ the log
    def begin_commit(self) -> None:
        """Everything queued goes into one commit."""
        self.committing = len(self.queued)

    def end_commit(self) -> int:
        """What was in it is durable now; the ticket of the last write."""
        ticket = 0
        for _ in range(self.committing):
            persist = self.queued.popleft()
            self._write(persist)
            ticket = persist.ticket
        self.committing = 0
        return ticket

    def give_up(self, rng: random.Random) -> None:
        """The process ends, or a commit failed: any first part of what was under way may be durable, without anybody
        knowing, and the last write of that part may be torn."""
        kept = 0 if self.full else rng.randint(0, len(self.queued))
        for _ in range(kept):
            self._write(self.queued.popleft())
        if self.queued and not self.full and rng.random() < 0.5:
            self._write(_torn(self.queued[0], rng))
        self.queued.clear()
        self.committing = 0

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

    # ------------------------------------------------------------------ the tables
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


def _torn(persist: Persist, rng: random.Random) -> Persist:
    """The first part of a write: term and vote, and some of the entries. A snapshot comes whole or not at all."""
    if persist.install is not None:
        return Persist(persist.ticket, None, None, ())
    kept = persist.entries[: rng.randint(0, len(persist.entries))]
    return Persist(persist.ticket, persist.hard_state, None, kept)
