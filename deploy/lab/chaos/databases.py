"""What the servers' databases hold once everything is quiet: every row of every replicated table, as SQL gives it.

The tables follow the state in memory in the background, so this waits until they have come to what is applied.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiomysql
import msgspec

from deploy.lab.chaos.cluster import Cluster
from deploy.lab.errors import LabError
from deploy.lab.parts import DATABASE

OWN = frozenset({"logdb", "onelite_state"})
"""Tables that are a server's own: what it has of the log, and how far its tables are."""
OWN_ROW = "RAFT_STATE"
"""Its term and vote, among the rows of system_attributes."""
WITHIN_S = 30.0
POLL_S = 0.2

Row = tuple[Any, ...]
"""Its cells, in the order of the columns."""


class Content(msgspec.Struct, frozen=True):
    """The rows of all tables, and the index of the log that they are at."""

    applied_index: int
    tables: dict[str, frozenset[Row]]


async def contents(cluster: Cluster, applied: int) -> dict[int, Content]:
    """Of each server's database, once all have what was `applied` and the same, or as they are when time is up."""
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while True:
        found = await asyncio.gather(*(_content(cluster, server) for server in cluster.servers))
        settled = all(content.applied_index >= applied and content.tables == found[0].tables for content in found)
        if settled or asyncio.get_running_loop().time() > deadline:
            return dict(zip(cluster.servers, found, strict=True))
        await asyncio.sleep(POLL_S)


async def _content(cluster: Cluster, server: int) -> Content:
    name = f"oned{server + 1}"
    try:
        if cluster.db == "sqlite":
            return await asyncio.to_thread(_sqlite, cluster.folder.data(name) / "one.db")
        password = cluster.folder.database_password.read_text().strip()
        return await _mariadb(cluster.folder.socket(f"mariadb{server + 1}"), password)
    except (sqlite3.Error, aiomysql.Error, OSError) as error:
        raise LabError(f"the database of {name} cannot be read after the run: {error}") from error


def _sqlite(path: Path) -> Content:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        (index,) = connection.execute(_APPLIED).fetchone() or (0,)
        return _made(index, {name: connection.execute(f"SELECT * FROM `{name}`").fetchall() for name in _shared(names)})


async def _mariadb(socket: Path, password: str) -> Content:
    connection = await aiomysql.connect(
        unix_socket=str(socket), user="oneadmin", password=password, db=DATABASE, autocommit=False
    )
    try:
        async with connection.cursor() as cursor:

            async def rows(statement: str) -> list[Row]:
                await cursor.execute(statement)
                return list(await cursor.fetchall())

            await cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            names = [name for (name,) in await rows("SHOW TABLES")]
            ((index,),) = await rows(_APPLIED) or [(0,)]
            return _made(index, {name: await rows(f"SELECT * FROM `{name}`") for name in _shared(names)})
    finally:
        connection.close()


_APPLIED = "SELECT value FROM onelite_state WHERE name = 'applied_index'"


def _shared(names: list[str]) -> list[str]:
    return [name for name in names if name not in OWN]


def _made(index: object, tables: Mapping[str, list[Row]]) -> Content:
    return Content(
        applied_index=int(str(index)),
        tables={name: frozenset(row for row in rows if row[:1] != (OWN_ROW,)) for name, rows in tables.items()},
    )
