"""SQLite: two files in one folder, so that writing tables never holds up the durable commit of the log.

`log.db` has the log, term and vote (synchronous=FULL: each commit is on disk). `one.db` has the tables with the applied
index (synchronous=NORMAL: after a power cut they may be some entries behind, never torn; the log fills them up). Before
anything relies on the tables alone (purging the log, a snapshot) they are made durable.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change, Table

from . import logcodec
from .port import Loaded, StorageError
from .rows import Rows
from .schema import LOGDB, SCHEMA_VERSION, STATE, SYSTEM_ATTRIBUTES, TableSpec
from .sql import SQLITE, clear_rows, select_rows

T = TypeVar("T")
LOG_FILE = "log.db"
TABLES_FILE = "one.db"
BUSY_TIMEOUT_S = 4.0
"""How long a person's own transaction on our files may keep a write waiting."""


class SqliteStorage:
    """The storage port on a folder; without one everything is in memory and gone afterwards."""

    def __init__(
        self, tables: Iterable[Table[Any]], folder: Path | None, *, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self._rows = Rows(tables)
        self._log = _LogFile(_File(folder, LOG_FILE, busy_timeout_s))
        self._tables = _TablesFile(_File(folder, TABLES_FILE, busy_timeout_s), self._rows)

    async def load(self) -> Loaded:
        applied_index, installed = await self._tables.file.run(self._tables.open)
        changes = await self._tables.file.run(self._tables.read)
        hard_state, snapshot, entries = await self._log.file.run(lambda: self._log.open(installed))
        logcodec.check_sequence(snapshot, entries, applied_index)
        return Loaded(hard_state, snapshot, entries, applied_index, changes)

    async def persist(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        await self._log.file.run(lambda: self._log.write(hard_state, entries))

    async def write_rows(self, applied_index: int, changes: Sequence[Change], bodies: Mapping[int, str]) -> None:
        await self._tables.file.run(lambda: self._tables.write(applied_index, changes, bodies))

    async def install(self, meta: SnapshotMeta, rows: Iterable[Change]) -> None:
        """The tables come first and remember the snapshot: if the log is not reached, `load` finishes the job."""
        await self._tables.file.run(lambda: self._tables.replace(meta, rows))
        await self._log.file.run(lambda: self._log.restart_at(meta))

    async def purge(self, meta: SnapshotMeta, rows_max: int) -> int:
        if await self._tables.file.run(self._tables.make_durable) < meta.index:
            return 0
        return await self._log.file.run(lambda: self._log.purge(meta, rows_max))

    async def close(self) -> None:
        await self._log.file.close()
        await self._tables.file.close()


class _File:
    """One database file, its connection, and the only thread that touches it."""

    def __init__(self, folder: Path | None, name: str, busy_timeout_s: float) -> None:
        self._busy_timeout_s = busy_timeout_s
        self._closed = False
        self._path = ":memory:" if folder is None else str(folder / name)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{name}")
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in the thread. A failure of SQLite comes out as StorageError naming the file."""
        if self._closed:
            raise StorageError(f"{self._path}: closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{self._path}: {error}") from error

    def open(self, synchronous: str) -> sqlite3.Connection:
        if self._connection is not None and self._path != ":memory:":
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
            )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        return self._connection

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(f"{self._path}: not loaded, or lost by a failed write")
        return self._connection

    def commit(self, work: Callable[[sqlite3.Connection], T], *, fatal: bool) -> T:
        """`work` in one transaction. After a failure of a `fatal` one nobody knows what is on disk: the connection is
        given up, so that nothing more is written before it is read again."""
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if fatal:
                self._give_up()
            elif connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def create(self, specs: Iterable[TableSpec]) -> None:
        """Creates what is missing; columns that a newer version brings are added. Refuses another program's database."""
        existing = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if existing and STATE.name not in existing:
            raise StorageError(f"{self._path}: holds another program's tables; give an empty folder")

        def create(connection: sqlite3.Connection) -> None:
            for spec in (STATE, *specs):
                connection.execute(SQLITE.create_table(spec))
                if spec.name in existing:
                    self._add_columns(connection, spec)
                for statement in SQLITE.create_indexes(spec):
                    connection.execute(statement)
            _put(connection, "schema", str(SCHEMA_VERSION), keep=True)
            _put(connection, "opened", str(int(time.time())))  # a real write: a disk that is still full shows here

        self.commit(create, fatal=True)
        if (schema := int(_value(self.connection, "schema") or 0)) > SCHEMA_VERSION:
            raise StorageError(f"{self._path}: schema {schema} is of a newer version of oned-lite")

    def _add_columns(self, connection: sqlite3.Connection, spec: TableSpec) -> None:
        known = {row[1] for row in connection.execute(f"PRAGMA table_info(`{spec.name}`)")}
        for column in spec.columns:
            if column.name not in known:
                connection.execute(SQLITE.add_column(spec, column))

    def _give_up(self) -> None:
        if self._connection is not None and self._path != ":memory:":
            self._connection.close()
        self._connection = None

    async def close(self) -> None:
        if not self._closed:
            await self.run(self._give_up)
            self._closed = True
            self._executor.shutdown(wait=False)


class _LogFile:
    """The log, term and vote. Methods run in the file's thread."""

    def __init__(self, file: _File) -> None:
        self.file = file
        self._last_index = 0

    def open(self, installed: SnapshotMeta | None) -> tuple[HardState, SnapshotMeta | None, tuple[Entry, ...]]:
        """`installed` is the snapshot that the tables were last replaced by."""
        connection = self.file.open("FULL")
        self.file.create((LOGDB, SYSTEM_ATTRIBUTES))
        snapshot = _meta(connection)
        if installed is not None and (snapshot is None or snapshot.index < installed.index):
            self.restart_at(installed)
            snapshot = installed
        base = 0 if snapshot is None else snapshot.index
        rows = connection.execute(
            "SELECT log_index, term, sqlcmd FROM logdb WHERE log_index > ? ORDER BY log_index", (base,)
        )
        entries = tuple(logcodec.entry(*row) for row in rows)
        self._last_index = logcodec.last_index(snapshot, entries)
        return self._hard_state(connection), snapshot, entries

    def _hard_state(self, connection: sqlite3.Connection) -> HardState:
        row = connection.execute("SELECT body FROM system_attributes WHERE name = ?", (logcodec.RAFT_STATE,)).fetchone()
        return HardState() if row is None else logcodec.hard_state(row[0])

    def write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        now_s = int(time.time())

        def write(connection: sqlite3.Connection) -> None:
            if hard_state is not None:
                connection.execute(_PUT_RAFT_STATE, (logcodec.RAFT_STATE, logcodec.raft_state(hard_state)))
            if entries:
                if entries[0].index <= self._last_index:
                    connection.execute("DELETE FROM logdb WHERE log_index >= ?", (entries[0].index,))
                connection.executemany(_PUT_ENTRY, [logcodec.log_row(entry, now_s) for entry in entries])

        self.file.commit(write, fatal=True)
        if entries:
            self._last_index = entries[-1].index

    def restart_at(self, meta: SnapshotMeta) -> None:
        """An empty log that begins after the snapshot."""

        def restart(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM logdb")
            _put(connection, "snapshot", logcodec.snapshot_text(meta))

        self.file.commit(restart, fatal=True)
        self._last_index = meta.index

    def purge(self, meta: SnapshotMeta, rows_max: int) -> int:
        def purge(connection: sqlite3.Connection) -> int:
            held = _meta(connection)
            if held is None or held.index < meta.index:
                _put(connection, "snapshot", logcodec.snapshot_text(meta))
            return connection.execute(_PURGE, (meta.index, rows_max)).rowcount

        return self.file.commit(purge, fatal=True)


class _TablesFile:
    """The pool tables and the applied index. Methods run in the file's thread."""

    def __init__(self, file: _File, rows: Rows) -> None:
        self.file = file
        self._rows = rows

    def open(self) -> tuple[int, SnapshotMeta | None]:
        connection = self.file.open("NORMAL")
        self.file.create(self._rows.specs.values())
        return self._applied_index(connection), _meta(connection)

    def read(self) -> tuple[Change, ...]:
        return tuple(
            self._rows.change(spec, cells)
            for spec in self._rows.specs.values()
            for cells in self.file.connection.execute(select_rows(spec))
        )

    def write(self, applied_index: int, changes: Sequence[Change], bodies: Mapping[int, str]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            self._put_rows(connection, changes, bodies)
            _put(connection, "applied_index", str(applied_index))

        self.file.commit(write, fatal=False)

    def replace(self, meta: SnapshotMeta, rows: Iterable[Change]) -> None:
        def replace(connection: sqlite3.Connection) -> None:
            for spec in self._rows.specs.values():
                connection.execute(clear_rows(spec))
            for spec, cells in self._rows.of_snapshot(rows):
                connection.executemany(SQLITE.replace(spec), cells)
            _put(connection, "applied_index", str(meta.index))
            _put(connection, "snapshot", logcodec.snapshot_text(meta))

        self._commit_durably(replace)

    def make_durable(self) -> int:
        """Everything written so far reaches the disk. The applied index."""

        def touch(connection: sqlite3.Connection) -> int:
            applied_index = self._applied_index(connection)
            _put(connection, "applied_index", str(applied_index))
            return applied_index

        return self._commit_durably(touch)

    def _commit_durably(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.file.connection.execute("PRAGMA synchronous=FULL")
        try:
            return self.file.commit(work, fatal=False)
        finally:
            self.file.connection.execute("PRAGMA synchronous=NORMAL")

    def _put_rows(self, connection: sqlite3.Connection, changes: Sequence[Change], bodies: Mapping[int, str]) -> None:
        for spec, written, deleted in self._rows.by_table(changes, bodies):
            if deleted:
                connection.executemany(SQLITE.delete(spec), deleted)
            connection.executemany(SQLITE.replace(spec), written)

    def _applied_index(self, connection: sqlite3.Connection) -> int:
        return int(_value(connection, "applied_index") or 0)


_PUT_ENTRY = SQLITE.replace(LOGDB).replace("REPLACE", "INSERT", 1)
_PUT_RAFT_STATE = "REPLACE INTO system_attributes (name, body) VALUES (?, ?)"
_PURGE = (
    "DELETE FROM logdb WHERE log_index IN (SELECT log_index FROM logdb WHERE log_index <= ? ORDER BY log_index LIMIT ?)"
)


def _put(connection: sqlite3.Connection, name: str, value: str, *, keep: bool = False) -> None:
    verb = "INSERT OR IGNORE" if keep else "REPLACE"
    connection.execute(f"{verb} INTO onelite_state (name, value) VALUES (?, ?)", (name, value))


def _value(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM onelite_state WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _meta(connection: sqlite3.Connection) -> SnapshotMeta | None:
    text = _value(connection, "snapshot")
    return None if text is None else logcodec.snapshot_meta(text)
