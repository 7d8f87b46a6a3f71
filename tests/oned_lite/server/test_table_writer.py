"""The tables in the database follow the committed state."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.oned_lite.api.catalogue import TABLES
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.node.effects import Applied, Install
from services.oned_lite.raft.types import Configuration, Entry, EntryKind, SnapshotMeta
from services.oned_lite.server.table_writer import TableWriter
from services.oned_lite.state import Change, ChangeSet, Store
from services.oned_lite.storage.sqlite import SqliteStorage

DEADLINE_S = 15.0


@dataclass(slots=True)
class Bench:
    """A store, its database, and the writer between them."""

    folder: Path
    storage: SqliteStorage
    store: Store
    writer: TableWriter
    written: list[int]
    task: asyncio.Task[None]

    def apply(self, index: int, *changes: Change) -> None:
        change_set = ChangeSet(0, "test", changes)
        self.store.apply(index, change_set)
        self.writer.add(Applied(index, change_set))

    def names(self) -> dict[int, tuple[str, str]]:
        connection = sqlite3.connect(self.folder / "one.db")
        try:
            rows = connection.execute("SELECT oid, name, body FROM template_pool").fetchall()
        finally:
            connection.close()
        return {oid: (name, body) for oid, name, body in rows}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    storage = SqliteStorage(TABLES, tmp_path, busy_timeout_s=0.1)
    await storage.load()
    await storage.persist(None, [Entry(index, 1, EntryKind.NOOP, b"") for index in range(1, 5001)])
    store, written = Store(TABLES), list[int]()
    writer = TableWriter(storage, store, written.append)
    task = asyncio.create_task(writer.run())
    yield Bench(tmp_path, storage, store, writer, written, task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await storage.close()


def template(oid: int, name: str) -> Change:
    return Change("template_pool", oid, TEMPLATES.table.encode(VmTemplate(oid=oid, name=name, regtime=1)))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_changes_often_is_written_once(bench: Bench) -> None:
    for index in range(1, 1001):
        bench.apply(index, template(0, f"v{index}"))
    await until(lambda: bench.written[-1:] == [1000])

    assert len(bench.written) <= 2
    name, body = bench.names()[0]
    assert name == "v1000"
    assert "<NAME>v1000</NAME>" in body


async def test_entries_without_rows_move_the_index_on(bench: Bench) -> None:
    bench.apply(1, template(0, "a"))
    bench.apply(2)
    await until(lambda: bench.written[-1:] == [2])


async def test_a_write_that_fails_is_repeated(bench: Bench) -> None:
    somebody = sqlite3.connect(bench.folder / "one.db", isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    bench.apply(1, template(0, "a"), template(1, "b"))
    await until(lambda: bench.writer.backlog == 0)  # under way
    await until(lambda: bench.writer.backlog == 2)  # refused, and not forgotten
    bench.apply(2, template(1, "c"))
    assert bench.written == []
    somebody.close()

    await until(lambda: bench.written[-1:] == [2])

    assert {oid: name for oid, (name, _) in bench.names().items()} == {0: "a", 1: "c"}


async def test_a_restart_finds_the_index_that_the_rows_are_at(bench: Bench) -> None:
    bench.apply(1, template(0, "a"))
    await until(lambda: bench.written[-1:] == [1])
    bench.task.cancel()
    await bench.storage.close()
    again = SqliteStorage(TABLES, bench.folder)
    loaded = await again.load()
    await again.close()
    assert (loaded.applied_index, [change.key for change in loaded.rows]) == (1, [0])


async def test_the_end_waits_for_what_is_pending(bench: Bench) -> None:
    bench.apply(1, template(0, "last"))
    bench.writer.finish()
    async with asyncio.timeout(DEADLINE_S):
        await bench.task

    assert bench.written == [1]


async def test_a_snapshot_replaces_everything_and_its_xml_follows(bench: Bench) -> None:
    bench.apply(1, template(0, "old"))
    rows = (template(1, "new"), template(2, "newer"))

    await bench.writer.install(Install(SnapshotMeta(5000, 1, Configuration(voters=(0,))), rows))
    loaded = Store(TABLES)
    loaded.load(5000, rows)
    bench.store.replace_by(loaded)
    await bench.storage.persist(None, [Entry(5001, 1, EntryKind.NOOP, b"")])
    bench.apply(5001)

    await until(lambda: bench.written[-1:] == [5001])
    assert {oid: name for oid, (name, _) in bench.names().items()} == {1: "new", 2: "newer"}
    await until(lambda: all(body.startswith("<VMTEMPLATE>") for _, body in bench.names().values()))


async def test_xml_that_follows_a_snapshot_leaves_alone_what_has_changed_since(bench: Bench) -> None:
    rows = tuple(template(oid, f"t{oid}") for oid in range(600))
    await bench.writer.install(Install(SnapshotMeta(5000, 1, Configuration(voters=(0,))), rows))
    loaded = Store(TABLES)
    loaded.load(5000, rows)
    bench.store.replace_by(loaded)

    bench.apply(5001, template(3, "changed"), Change("template_pool", 599, None))

    await until(lambda: len(bench.names()) == 599 and all(body for _, body in bench.names().values()))
    assert bench.names()[3][0] == "changed"


async def test_the_log_is_purged_in_the_background(bench: Bench) -> None:
    bench.apply(5000, template(0, "a"))
    await until(lambda: bench.written[-1:] == [5000])

    bench.writer.purge(SnapshotMeta(4500, 1, Configuration(voters=(0,))))

    def left() -> int:
        connection = sqlite3.connect(bench.folder / "log.db")
        try:
            return int(connection.execute("SELECT count(*) FROM logdb").fetchone()[0])
        finally:
            connection.close()

    await until(lambda: left() == 500)
