"""Snapshots of the state: made for servers that need more than the log holds, and taken over from a leader.

Both happen a little with every tick, so that heartbeats and reads go on meanwhile however much there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from services.oned_lite.raft.output import Install as RaftInstall
from services.oned_lite.raft.types import Role, SnapshotMeta
from services.oned_lite.state import Change, Snapshot, SnapshotMaker, Store

from .effects import Install
from .replica import Replica

BLOCKS_PER_TICK = 3
"""A few milliseconds of work: the 100,000 rows of a large zone take a second."""


class OutgoingSnapshots:
    """The leader's side. One is made at a time, for all servers that wait for one."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._waiting: set[int] = set()
        self._under_way: tuple[SnapshotMeta, SnapshotMaker] | None = None

    @property
    def index(self) -> int | None:
        """That of the one under way: the log after it is still needed."""
        return None if self._under_way is None else self._under_way[0].index

    def wanted(self, peer: int) -> None:
        self._waiting.add(peer)

    def advance(self, now_ms: int) -> bool:
        """Whether one was given to consensus. Not while a snapshot is on its way in: the log then begins behind what the
        tables are at."""
        if self._replica.raft.role is not Role.LEADER:
            self._clear()
        if not self._waiting:
            return False
        if self._under_way is None:
            store = self._replica.store
            self._under_way = self._replica.raft.snapshot_meta(store.applied_index), SnapshotMaker(store)
        meta, maker = self._under_way
        if all(maker.step() for _ in range(BLOCKS_PER_TICK)):
            return False
        data = maker.data()
        for peer in sorted(self._waiting):
            self._replica.raft.send_snapshot(peer, meta, data, now_ms)
        self._clear()
        return True

    def _clear(self) -> None:
        self._waiting.clear()
        self._under_way = None


class _Loading:
    """The rows of a snapshot on their way into tables of their own."""

    def __init__(self, snapshot: Snapshot, store: Store) -> None:
        self.snapshot = snapshot
        self.store = store
        self.blocks: Iterator[tuple[Change, ...]] = snapshot.blocks()


class IncomingSnapshots:
    """A follower's side. `under_way` from the moment that a snapshot is durable until the tables are those of it: what is
    committed in between must wait, and reads are answered from the state before."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._arrived: deque[tuple[int, Snapshot]] = deque()
        self._loading: _Loading | None = None

    @property
    def under_way(self) -> bool:
        return self._loading is not None

    def arrived(self, ticket: int, install: RaftInstall) -> Install:
        """A whole one is here; `ticket` is that of the write that makes it durable. Raises msgspec.DecodeError."""
        snapshot = Snapshot(install.data)
        self._arrived.append((ticket, snapshot))
        return Install(install.meta, snapshot)

    def persisted(self, ticket: int) -> None:
        while self._arrived and self._arrived[0][0] <= ticket:
            self._loading = _Loading(self._arrived.popleft()[1], Store(self._replica.store.tables.values()))

    def advance(self) -> bool:
        """Whether it has come to its end by this step."""
        loading = self._loading
        if loading is None:
            return False
        for _ in range(BLOCKS_PER_TICK):
            block = next(loading.blocks, None)
            if block is None:
                self._finish(loading)
                return True
            loading.store.extend(block)
        return False

    def _finish(self, loading: _Loading) -> None:
        self._loading = None
        snapshot, store = loading.snapshot, loading.store
        if store.state_hash != snapshot.state_hash:
            self._replica.effects.fatal = f"the snapshot at index {snapshot.index} arrived damaged"
        store.applied_index = snapshot.index
        self._replica.store.replace_by(store)
        self._replica.raft.applied(snapshot.index, store.state_hash)
