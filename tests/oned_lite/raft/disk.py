"""A simulated disk: writes take time, complete in order, and are lost in a crash unless they had completed.

A write that was under way when its server crashed may or may not have reached the disk: a random prefix of them has.
"""

import random
from collections import deque
from dataclasses import dataclass, field

from services.oned_lite.raft import Entry, HardState, Output, SnapshotMeta


@dataclass(frozen=True)
class State:
    """The replicated state: a running hash of everything applied."""

    index: int = 0
    value: int = 0


@dataclass
class Disk:
    hard_state: HardState = field(default_factory=HardState)
    base: SnapshotMeta | None = None
    entries: list[Entry] = field(default_factory=list)
    state: State = field(default_factory=State)  # a checkpoint of the state, never ahead of the log
    pending: deque[tuple[Output, State | None]] = field(default_factory=deque)

    @property
    def base_index(self) -> int:
        return self.base.index if self.base else 0

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.entries)

    def term_at(self, index: int) -> int | None:
        if index == self.base_index:
            return self.base.term if self.base else 0
        offset = index - self.base_index - 1
        return self.entries[offset].term if 0 <= offset < len(self.entries) else None

    def complete(self) -> int:
        """Finish the oldest write; returns its ticket."""
        output, installed = self.pending.popleft()
        self._check_vote(output.hard_state)
        if output.hard_state is not None:
            self.hard_state = output.hard_state
        if output.install is not None and installed is not None:
            self.base, self.entries, self.state = output.install.meta, [], installed
        if output.entries:
            first = output.entries[0].index
            assert first > self.state.index, f"applied entry {first} rewritten"
            assert first <= self.last_index + 1, f"hole before entry {first}"
            del self.entries[first - self.base_index - 1 :]
            self.entries.extend(output.entries)
        return output.ticket

    def _check_vote(self, new: HardState | None) -> None:
        old = self.hard_state
        if new is not None:
            assert new.term >= old.term, f"durable term falls from {old.term} to {new.term}"
            assert new.term > old.term or old.vote in (None, new.vote), f"second vote in term {old.term}"

    def crash(self, rng: random.Random) -> None:
        for _ in range(rng.randint(0, len(self.pending))):
            self.complete()
        self.pending.clear()

    def checkpoint(self, state: State) -> None:
        """The state's tables catch up in the background, as far as the log is durable."""
        if self.base_index <= state.index <= self.last_index:
            self.state = state

    def compact(self, meta: SnapshotMeta) -> None:
        if self.base_index < meta.index <= self.state.index:
            del self.entries[: meta.index - self.base_index]
            self.base = meta
