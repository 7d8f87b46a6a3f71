"""The log as this server has it in memory, written or not.

Everything after `base_index` is held here; everything up to it is covered by a snapshot (or nothing was there yet). Four
things are true between calls: indexes are consecutive from `base_index + 1`, terms never fall, `base_index` is committed,
and whatever is in here was either handed out to be written or will be with the next output.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from .types import BrokenInvariant, Entry


class Log:
    def __init__(self, base_index: int, base_term: int, entries: Sequence[Entry] = ()) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self.size_bytes = 0
        self._entries: list[Entry] = []
        self.extend(entries)

    @property
    def last_index(self) -> int:
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`; None if it is compacted away or beyond the end."""
        offset = index - self.base_index - 1
        if 0 <= offset < len(self._entries):
            return self._entries[offset].term
        return self.base_term if offset == -1 else None

    def extend(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        if entries[0].index != self.last_index + 1 or entries[-1].index != self.last_index + len(entries):
            raise BrokenInvariant(f"entries {entries[0].index}..{entries[-1].index} do not follow {self.last_index}")
        if entries[0].term < self.last_term:
            raise BrokenInvariant(f"term {entries[0].term} at index {entries[0].index} falls from {self.last_term}")
        self._entries.extend(entries)
        self.size_bytes += sum(entry.size for entry in entries)

    def truncate(self, first: int) -> None:
        """Forget the entries from `first` on."""
        removed = self._entries[first - self.base_index - 1 :]
        del self._entries[first - self.base_index - 1 :]
        self.size_bytes -= sum(entry.size for entry in removed)

    def compact(self, index: int) -> None:
        """Forget the entries up to `index`, which is in the log."""
        term = self.term_at(index)
        if term is None:
            raise BrokenInvariant(f"cannot compact to {index}: the log is {self.base_index}..{self.last_index}")
        count = index - self.base_index
        self.size_bytes -= sum(entry.size for entry in self._entries[:count])
        del self._entries[:count]
        self.base_index, self.base_term = index, term

    def reset(self, index: int, term: int) -> None:
        """Begin anew behind a snapshot of everything up to `index`."""
        self._entries.clear()
        self.size_bytes = 0
        self.base_index, self.base_term = index, term

    def slice(self, first: int, last: int) -> list[Entry]:
        """The entries `first`..`last`, both included; both must be held here."""
        return self._entries[first - self.base_index - 1 : last - self.base_index]

    def batch(self, first: int, count_max: int, bytes_max: int) -> tuple[Entry, ...]:
        """Entries from `first` on within both limits, but one at least if there is one."""
        entries = self.slice(first, first + count_max - 1)
        size = 0
        for position, entry in enumerate(entries):
            size += entry.size
            if size > bytes_max and position:
                return tuple(entries[:position])
        return tuple(entries)

    def first_conflict(self, entries: Iterable[Entry]) -> Entry | None:
        """The first of `entries` that this log lacks or holds with another term."""
        return next((entry for entry in entries if self.term_at(entry.index) != entry.term), None)

    def last_at_most(self, index: int, term: int) -> int:
        """The last index at or before `index` whose term is at most `term`.

        Terms never fall along a log, so two logs can agree at most up to there (Raft paper, section 5.3). An answer
        before the base is all that can be said once the entries held here are ruled out.
        """
        if index <= self.base_index:
            return index if self.base_term <= term else min(index, self.base_index - 1)
        held = min(index, self.last_index) - self.base_index
        count = bisect_right(self._entries, term, hi=held, key=_term)
        return self.base_index + count if count or self.base_term <= term else self.base_index - 1

    def is_behind(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so is at least as up-to-date as this one (Raft paper, section 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)


def _term(entry: Entry) -> int:
    return entry.term
