"""MariaDB and MySQL: one connection for the log, one for the tables.

A write whose connection breaks is a failed write: the log's connection is not opened again before `load`, so that
nothing follows an uncertain commit. Table writes are after-images together with their index, so repeating one is
harmless, and their connection comes back by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.common import logs
from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change, Table

from . import logcodec
from .mariadb_link import Link, Server
from .port import Loaded, StorageError
from .rows import Rows
from .schema import LOGDB, SCHEMA_VERSION, STATE, SYSTEM_ATTRIBUTES
from .sql import MARIADB, clear_rows, select_rows

log = logs.get("storage")
PACKET_BYTES_WANTED = 64 << 20
"""Below this max_allowed_packet, large templates that the API takes do not fit into the database."""
SLOW_ROWS_PER_S = 1000
"""A database that writes many rows at once may take as long as this says: giving up would only begin again with more."""
_PUT_ENTRY = MARIADB.replace(LOGDB).replace("REPLACE", "INSERT", 1)
_PUT_RAFT_STATE = "REPLACE INTO system_attributes (name, body) VALUES (%s, %s)"


class MariadbStorage:
    """The storage port on a MariaDB or MySQL database."""

    def __init__(self, tables: Iterable[Table[Any]], server: Server) -> None:
        self._rows = Rows(tables)
        self._server = server
        self._log = Link(server)
        self._tables = Link(server)
        self._last_index = 0
        self._applied_index = 0

    async def load(self) -> Loaded:
        try:
            loaded = await self._connect_and_load()
        except BaseException:
            await self.close()
            raise
        self._last_index = logcodec.last_index(loaded.snapshot, loaded.entries)
        self._applied_index = loaded.applied_index
        return loaded

    async def _connect_and_load(self) -> Loaded:
        await self._log.connect(create_database=True)
        await self._tables.connect()
        async with self._log.guard(self._server.load_timeout_s):
            await self._create_tables()
            await self._check_settings()
            return await self._load()

    async def persist(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        now_s = int(time.time())
        async with self._log.transaction() as link:
            if hard_state is not None:
                await link.execute(_PUT_RAFT_STATE, (logcodec.RAFT_STATE, logcodec.raft_state(hard_state)))
            if entries:
                if entries[0].index <= self._last_index:
                    await link.execute("DELETE FROM logdb WHERE log_index >= %s", (entries[0].index,))
                await link.insert_many(_PUT_ENTRY, [logcodec.log_row(entry, now_s) for entry in entries])
        if entries:
            self._last_index = entries[-1].index

    async def write_rows(self, applied_index: int, changes: Sequence[Change], bodies: Mapping[int, str]) -> None:
        await self._reconnect_tables()
        timeout_s = self._server.write_timeout_s + len(changes) / SLOW_ROWS_PER_S
        async with self._tables.transaction(timeout_s) as link:
            await self._put_rows(link, changes, bodies)
            await link.put("applied_index", str(applied_index))
        self._applied_index = applied_index

    async def install(self, meta: SnapshotMeta, rows: Iterable[Change]) -> None:
        async with self._log.transaction(self._server.load_timeout_s) as link:
            for spec in self._rows.specs.values():
                await link.execute(clear_rows(spec))
            for spec, cells in self._rows.of_snapshot(rows):
                await link.insert_many(MARIADB.replace(spec), cells)
            await link.put("applied_index", str(meta.index))
            await link.execute("DELETE FROM logdb")
            await link.put("snapshot", logcodec.snapshot_text(meta))
        self._last_index = self._applied_index = meta.index

    async def purge(self, meta: SnapshotMeta, rows_max: int) -> int:
        if self._applied_index < meta.index:
            return 0
        await self._reconnect_tables()
        async with self._tables.transaction() as link:
            held = await link.snapshot()
            if held is None or held.index < meta.index:
                await link.put("snapshot", logcodec.snapshot_text(meta))
            return await link.execute(
                "DELETE FROM logdb WHERE log_index <= %s ORDER BY log_index LIMIT %s", (meta.index, rows_max)
            )

    async def close(self) -> None:
        await self._log.close()
        await self._tables.close()

    async def _reconnect_tables(self) -> None:
        if not self._tables.connected:
            await self._tables.connect()

    async def _create_tables(self) -> None:
        """Creates what is missing; columns that a newer version brings are added. Refuses another program's database."""
        columns = await self._log.columns()
        if columns and STATE.name not in columns:
            raise StorageError(f"{self._server}: holds another program's tables; give an empty database")
        for spec in (STATE, LOGDB, *(self._rows.specs | {SYSTEM_ATTRIBUTES.name: SYSTEM_ATTRIBUTES}).values()):
            if spec.name not in columns:
                await self._log.execute(MARIADB.create_table(spec))
                for statement in MARIADB.create_indexes(spec):
                    await self._log.execute(statement.replace(" IF NOT EXISTS", ""))
            for column in spec.columns:
                if column.name not in columns.get(spec.name, spec.column_names):
                    await self._log.execute(MARIADB.add_column(spec, column))
        if (schema := int(await self._log.value("schema") or 0)) > SCHEMA_VERSION:
            raise StorageError(f"{self._server}: schema {schema} is of a newer version of oned-lite")
        async with self._log.transaction() as link:
            await link.put("schema", str(SCHEMA_VERSION))

    async def _check_settings(self) -> None:
        names = ("innodb_flush_log_at_trx_commit", "max_allowed_packet")
        rows = await self._log.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN {names}")
        values = {name.lower(): int(value) for name, value in rows}
        if values.get(names[0], 1) != 1:
            log.warning(
                "the database does not sync its log: a power cut may lose acknowledged writes;"
                " set innodb_flush_log_at_trx_commit=1",
                database=str(self._server),
                value=values[names[0]],
            )
        if values.get(names[1], 0) < PACKET_BYTES_WANTED:
            log.warning(
                "large templates do not fit into the database; set max_allowed_packet=64M or more",
                database=str(self._server),
                value=values.get(names[1]),
            )

    async def _load(self) -> Loaded:
        snapshot = await self._log.snapshot()
        base = 0 if snapshot is None else snapshot.index
        rows = await self._log.query(
            "SELECT log_index, term, sqlcmd FROM logdb WHERE log_index > %s ORDER BY log_index", (base,)
        )
        entries = tuple(logcodec.entry(*row) for row in rows)
        changes: list[Change] = []
        for spec in self._rows.specs.values():
            changes += [self._rows.change(spec, cells) for cells in await self._log.query(select_rows(spec))]
        applied_index = int(await self._log.value("applied_index") or 0)
        logcodec.check_sequence(snapshot, entries, applied_index)
        return Loaded(await self._hard_state(), snapshot, entries, applied_index, tuple(changes))

    async def _hard_state(self) -> HardState:
        rows = await self._log.query("SELECT body FROM system_attributes WHERE name = %s", (logcodec.RAFT_STATE,))
        return logcodec.hard_state(rows[0][0]) if rows else HardState()

    async def _put_rows(self, link: Link, changes: Sequence[Change], bodies: Mapping[int, str]) -> None:
        for spec, written, deleted in self._rows.by_table(changes, bodies):
            if deleted:
                await link.execute_many(MARIADB.delete(spec), deleted)
            await link.insert_many(MARIADB.replace(spec), written)
