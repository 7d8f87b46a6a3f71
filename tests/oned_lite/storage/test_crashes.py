"""What is left after kill -9, a full or locked disk, and other people's databases."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.oned_lite.raft.types import HardState
from services.oned_lite.storage.mariadb import MariadbStorage
from services.oned_lite.storage.mariadb_link import Server
from services.oned_lite.storage.port import Loaded, StorageError
from services.oned_lite.storage.sqlite import SqliteStorage
from tests.support.mariadb import MariadbServer, copied_server

from .rows import TABLES, by_place, counter, entries, note, snapshot, template
from .writer import ENTRIES_PER_STEP, write_for_ever

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own_server(mariadb_folder: Path, request: pytest.FixtureRequest) -> Iterator[MariadbServer]:
    server = copied_server(mariadb_folder, f"crash{abs(hash(request.node.nodeid)):x}")
    server.start()
    yield server
    server.kill()


def check(loaded: Loaded, acknowledged: int) -> None:
    """Everything acknowledged is there, in whole steps, and the tables are those of their index."""
    last = loaded.entries[-1].index if loaded.entries else 0
    assert last >= acknowledged * ENTRIES_PER_STEP
    assert last % ENTRIES_PER_STEP == 0, "half a batch"
    assert loaded.hard_state.term == last // ENTRIES_PER_STEP, "entries without their term"
    expected = [counter("a", loaded.applied_index), counter("b", loaded.applied_index)] if loaded.applied_index else []
    assert by_place(loaded.rows) == by_place(tuple(expected)), "rows are not of the applied index"


async def test_killing_the_process_leaves_whole_batches(tmp_path: Path) -> None:
    for _ in range(3):
        command = [sys.executable, "-m", "tests.oned_lite.storage.writer", str(tmp_path)]
        writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT)
        assert writer.stdout is not None
        for _ in range(30):
            acknowledged = int(await writer.stdout.readline())
        writer.kill()
        await writer.communicate()
        storage = SqliteStorage(TABLES, tmp_path)
        check(await storage.load(), acknowledged)
        await storage.close()


async def test_killing_the_database_leaves_whole_batches(own_server: MariadbServer) -> None:
    for _ in range(2):
        storage = MariadbStorage(TABLES, Server(user=own_server.user, socket=str(own_server.socket)))
        acknowledged: list[int] = []
        writing = asyncio.create_task(write_for_ever(storage, acknowledged.append))
        deadline = time.monotonic() + 20
        while len(acknowledged) < 30:
            assert time.monotonic() < deadline and not writing.done()
            await asyncio.sleep(0.01)
        own_server.kill()
        with pytest.raises(StorageError):
            await writing
        own_server.start()
        check(await storage.load(), acknowledged[-1])
        await storage.close()


async def test_after_a_lost_connection_nothing_is_written_until_it_is_loaded_again(own_server: MariadbServer) -> None:
    storage = MariadbStorage(TABLES, Server(user=own_server.user, socket=str(own_server.socket)))
    await storage.load()
    await storage.persist(HardState(1, 0), entries(1, 1))
    own_server.kill()
    with pytest.raises(StorageError):
        await storage.persist(None, entries(2, 2))
    own_server.start()

    with pytest.raises(StorageError):
        await storage.persist(None, entries(3, 3))
    assert (await storage.load()).entries == entries(1, 1)
    await storage.persist(None, entries(2, 2))
    await storage.close()


async def test_table_writes_come_back_by_themselves(own_server: MariadbServer) -> None:
    storage = MariadbStorage(TABLES, Server(user=own_server.user, socket=str(own_server.socket)))
    await storage.load()
    await storage.persist(None, entries(1, 2))
    own_server.kill()
    with pytest.raises(StorageError):
        await storage.write_rows(1, (template(0),), {})
    own_server.start()

    await storage.write_rows(2, (template(0), template(1)), {})

    assert by_place((await storage.load()).rows) == by_place((template(0), template(1)))
    await storage.close()


async def test_a_database_that_hangs_is_a_failed_write(own_server: MariadbServer) -> None:
    server = Server(user=own_server.user, socket=str(own_server.socket), write_timeout_s=0.3)
    storage = MariadbStorage(TABLES, server)
    await storage.load()
    with own_server.paused():
        with pytest.raises(StorageError, match="no answer within"):
            await storage.persist(None, entries(1, 1))
        await storage.close()


async def test_an_install_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    storage = SqliteStorage(TABLES, tmp_path, busy_timeout_s=0.1)
    await storage.load()
    await storage.persist(HardState(4, None), entries(1, 5))
    await storage.write_rows(5, (template(0), note(1)), {})
    somebody = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError):
        await storage.install(snapshot(50), (template(9),))
    somebody.close()
    await storage.close()

    storage = SqliteStorage(TABLES, tmp_path)
    loaded = await storage.load()
    await storage.close()

    assert (loaded.snapshot, loaded.entries, loaded.applied_index) == (snapshot(50), (), 50)
    assert loaded.hard_state == HardState(4, None)
    assert by_place(loaded.rows) == by_place((template(9),))


async def test_a_failed_log_write_closes_the_log(tmp_path: Path) -> None:
    storage = SqliteStorage(TABLES, tmp_path, busy_timeout_s=0.05)
    await storage.load()
    somebody = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        await storage.persist(None, entries(1, 1))
    somebody.close()

    with pytest.raises(StorageError, match="lost by a failed write"):
        await storage.persist(None, entries(1, 1))
    assert (await storage.load()).entries == ()
    await storage.close()


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere/one\.db"):
        await SqliteStorage(TABLES, tmp_path / "nowhere").load()


async def test_another_programs_sqlite_file_is_refused(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "one.db").execute("CREATE TABLE vm_pool (oid INTEGER)").connection.close()

    storage = SqliteStorage(TABLES, tmp_path)
    with pytest.raises(StorageError, match="another program"):
        await storage.load()
    await storage.close()


async def test_another_programs_database_is_refused(mariadb_server: MariadbServer) -> None:
    mariadb_server.execute("CREATE DATABASE stranger; CREATE TABLE stranger.vm_pool (oid INTEGER)")
    storage = MariadbStorage(TABLES, Server(user="root", socket=str(mariadb_server.socket), name="stranger"))

    with pytest.raises(StorageError, match="another program"):
        await storage.load()


async def test_a_gap_in_the_log_is_refused(tmp_path: Path) -> None:
    storage = SqliteStorage(TABLES, tmp_path)
    await storage.load()
    await storage.persist(None, entries(1, 5))
    await storage.close()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("DELETE FROM logdb WHERE log_index = 3")
    connection.close()

    storage = SqliteStorage(TABLES, tmp_path)
    with pytest.raises(StorageError, match="entry 3 is missing"):
        await storage.load()
    await storage.close()


async def test_columns_of_a_newer_version_are_added(tmp_path: Path) -> None:
    storage = SqliteStorage(TABLES, tmp_path)
    await storage.load()
    await storage.persist(None, entries(1, 1))
    await storage.write_rows(1, (template(3),), {})
    await storage.close()
    with sqlite3.connect(tmp_path / "one.db") as connection:
        connection.execute("ALTER TABLE template_pool DROP COLUMN other_u")
    connection.close()

    storage = SqliteStorage(TABLES, tmp_path)
    loaded = await storage.load()
    await storage.write_rows(1, (template(4),), {})
    await storage.close()

    assert by_place(loaded.rows) == by_place((template(3),))


async def test_people_find_opennebulas_columns(tmp_path: Path) -> None:
    storage = SqliteStorage(TABLES, tmp_path)
    await storage.load()
    await storage.persist(HardState(3, 1), entries(1, 1))
    await storage.write_rows(1, (template(4, "gold"),), {0: "<VMTEMPLATE><ID>4</ID></VMTEMPLATE>"})
    await storage.close()

    with sqlite3.connect(tmp_path / "one.db") as one, sqlite3.connect(tmp_path / "log.db") as logdb:
        row = one.execute("SELECT oid, name, uid, gid, owner_u, other_u, body FROM template_pool").fetchone()
        state = logdb.execute("SELECT body FROM system_attributes WHERE name = 'RAFT_STATE'").fetchone()
        kept = logdb.execute("SELECT log_index, term, fed_index, applied FROM logdb").fetchone()
    one.close()
    logdb.close()
    assert row == (4, "gold", 2, 100, 1, 0, "<VMTEMPLATE><ID>4</ID></VMTEMPLATE>")
    assert state == ("<TEMPLATE><TERM><![CDATA[3]]></TERM><VOTEDFOR><![CDATA[1]]></VOTEDFOR></TEMPLATE>",)
    assert kept == (1, 1, -1, 0)
