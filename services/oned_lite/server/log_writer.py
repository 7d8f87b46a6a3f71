"""Makes the log durable: while one commit is under way, what comes in meanwhile is gathered for the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from services.oned_lite.node.effects import Install, Persist
from services.oned_lite.raft.types import Entry, HardState
from services.oned_lite.storage.port import Storage

COMMIT_BYTES_MAX = 8 << 20
"""A commit takes no further writes once it has this much."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Several writes as one: term and vote, then entries, then possibly a snapshot that ends it."""

    hard_state: HardState | None
    entries: tuple[Entry, ...]
    install: Install | None


def gather(writes: Iterable[Persist]) -> list[Commit]:
    """The fewest commits that leave the same behind. Within a write, its snapshot comes before its entries."""
    commits: list[Commit] = []
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    for write in writes:
        hard_state = write.hard_state or hard_state
        if write.install is not None:
            commits.append(Commit(hard_state, (), write.install))  # the log before it is gone anyway
            hard_state, entries = None, ()
        entries = joined(entries, write.entries)
    if hard_state is not None or entries:
        commits.append(Commit(hard_state, entries, None))
    return commits


def joined(first: tuple[Entry, ...], then: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Both writes' entries, where the second cuts off what conflicts with it."""
    if not first or not then:
        return first or then
    kept = then[0].index - first[0].index
    return then if kept <= 0 else first[:kept] + then


class LogWriter:
    """One task runs it. `persisted` gets the ticket up to which everything is durable."""

    def __init__(
        self, storage: Storage, install: Callable[[Install], Awaitable[None]], persisted: Callable[[int], None]
    ) -> None:
        self._storage = storage
        self._install = install
        self._persisted = persisted
        self._waiting: deque[Persist] = deque()
        self._wake = asyncio.Event()
        self.commits = 0
        self.entries = 0

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    def add(self, write: Persist) -> None:
        self._waiting.append(write)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Raises StorageError: what is on disk then is uncertain."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._commit(self._next())

    def _next(self) -> list[Persist]:
        writes, size = [], 0
        while self._waiting and size < COMMIT_BYTES_MAX:
            write = self._waiting.popleft()
            writes.append(write)
            size += sum(entry.size for entry in write.entries)
        return writes

    async def _commit(self, writes: list[Persist]) -> None:
        for commit in gather(writes):
            if commit.hard_state is not None or commit.entries:
                await self._storage.persist(commit.hard_state, commit.entries)
            if commit.install is not None:
                await self._install(commit.install)
            self.commits += 1
            self.entries += len(commit.entries)
        self._persisted(writes[-1].ticket)
