"""Keeps the tables in the database up with the committed state, in the background: the last version of each row, many
entries to a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from services.common import logs
from services.oned_lite.node.effects import Applied, Install
from services.oned_lite.raft.types import SnapshotMeta
from services.oned_lite.state import Change, Key, Store
from services.oned_lite.storage.bodies import Bodies
from services.oned_lite.storage.port import Storage, StorageError

log = logs.get("storage")
GATHER_S = 0.2
"""How long changes are collected before they are written: what changes twice is written once."""
RENDER_ROWS = 25
"""Rows whose XML is made in one go, before others get their turn: some milliseconds."""
BODY_ROWS = 500
"""Rows of a snapshot that get their XML in one transaction."""
PURGE_ROWS = 1000
PURGE_PAUSE_S = 0.02
RETRY_MIN_S, RETRY_MAX_S = 0.2, 5.0


class _BareRows:
    """Rows of a snapshot that are in the database without their XML. `changed` are those that others have written since,
    or will."""

    def __init__(self, rows: Iterable[Change]) -> None:
        self.changed: set[tuple[str, Key]] = set()
        self._rows: Iterator[Change] = iter(rows)

    def some(self) -> list[Change]:
        """The next ones; none at the end."""
        unchanged = (change for change in self._rows if (change.table, change.key) not in self.changed)
        return list(islice(unchanged, BODY_ROWS))

    def put_back(self, rows: Sequence[Change]) -> None:
        self._rows = chain(rows, self._rows)


class TableWriter:
    """One task runs it. `written` gets the index that the tables have reached. `store` is read for the rows' XML."""

    def __init__(self, storage: Storage, store: Store, written: Callable[[int], None]) -> None:
        self._storage = storage
        self._store = store
        self._bodies = Bodies()
        self._written = written
        self._pending: dict[tuple[str, Key], Change] = {}
        self._bare: _BareRows | None = None
        self._busy = asyncio.Lock()
        self._wake = asyncio.Event()
        self._purge: SnapshotMeta | None = None
        self._closing = False
        self.index = store.applied_index
        self.written_index = store.applied_index

    @property
    def backlog(self) -> int:
        """Rows to be written."""
        return len(self._pending)

    def add(self, applied: Applied) -> None:
        for change in applied.change_set.changes:
            self._pending[change.table, change.key] = change
        if self._bare is not None:
            self._bare.changed.update((change.table, change.key) for change in applied.change_set.changes)
        self.index = applied.index
        self._wake.set()

    def take_over(self, former: TableWriter) -> None:
        """Writes what another writer of the same tables has left undone."""
        self._pending = former._pending | self._pending
        self._bare = former._bare
        self.index = max(self.index, former.index)
        self.written_index = former.written_index
        self._wake.set()

    def purge(self, meta: SnapshotMeta) -> None:
        """The log may be deleted up to `meta`, in no hurry."""
        self._purge = meta
        self._wake.set()

    async def install(self, install: Install) -> None:
        """Replaces log and tables by a snapshot. Raises StorageError."""
        async with self._busy:
            self._pending.clear()
            self._purge = None
            self._bare = _BareRows(install.rows)
            await self._storage.install(install.meta, install.rows)
            self.index = self.written_index = install.meta.index

    async def run(self) -> None:
        """Until `finish`, or cancelled."""
        pause_s = RETRY_MIN_S
        while not (self._closing and not self._pending):
            await self._wake.wait()
            self._wake.clear()
            if not self._closing:
                await asyncio.sleep(GATHER_S)
            try:
                await self._catch_up()
                pause_s = RETRY_MIN_S
            except StorageError as error:
                log.warning("tables are not written, trying again", reason=str(error), rows=len(self._pending))
                if self._closing:
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
                self._wake.set()

    def finish(self) -> None:
        """`run` is to end once everything is written."""
        self._closing = True
        self._wake.set()

    async def _catch_up(self) -> None:
        async with self._busy:
            if self._pending or self.index > self.written_index:
                await self._write()
        while self._purge is not None and not self._closing:
            async with self._busy:
                meta = self._purge
                if meta is not None and await self._storage.purge(meta, PURGE_ROWS) < PURGE_ROWS:
                    self._purge = None if self._purge is meta else self._purge
            await asyncio.sleep(PURGE_PAUSE_S)
            if self.index > self.written_index:
                self._wake.set()
                return
        if self._bare is not None and not self._closing:
            await self._write_bodies()
            self._wake.set()

    async def _write(self) -> None:
        """Everything pending in one transaction: only all of it together is the state at an index."""
        rows, self._pending = self._pending, {}
        index, changes = self.index, tuple(rows.values())
        try:
            await self._storage.write_rows(index, changes, await self._render(changes))
        except BaseException:
            self._pending = rows | self._pending
            raise
        self.written_index = index
        self._written(index)

    async def _write_bodies(self) -> None:
        """The XML of some rows of a snapshot, once the store has them. They are written as they are, so the index stays."""
        async with self._busy:
            bare = self._bare
            if bare is None or self._store.applied_index < self.written_index:
                return
            changes = bare.some()
            try:
                await self._storage.write_rows(self.written_index, changes, await self._render(changes))
            except BaseException:
                bare.put_back(changes)
                raise
            self._bare = bare if changes else None

    async def _render(self, changes: Sequence[Change]) -> dict[int, str]:
        bodies: dict[int, str] = {}
        for number, change in enumerate(changes):
            body = self._bodies.render(self._store, change)
            if body:
                bodies[number] = body
            if number % RENDER_ROWS == RENDER_ROWS - 1:
                await asyncio.sleep(0)
        return bodies
