"""One connection to MariaDB or MySQL: deadlines, transactions, and what a failure means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomysql
import pymysql

from services.oned_lite.raft.types import SnapshotMeta

from . import logcodec
from .port import StorageError
from .rows import Cell, Cells

UNKNOWN_DATABASE = 1049
STATEMENT_BYTES = 128 << 10
"""A multi-row statement ends at the first row that brings it here: others get their turn after each, some milliseconds."""
_SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', sql_notes = 0",
)


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is. `socket` comes before host and port."""

    user: str
    password: str = field(default="", repr=False)
    name: str = "opennebula"
    socket: str = ""
    host: str = "127.0.0.1"
    port: int = 3306
    connect_timeout_s: float = 5.0
    write_timeout_s: float = 30.0
    load_timeout_s: float = 600.0

    def __str__(self) -> str:
        return f"database {self.name} at {self.socket or f'{self.host}:{self.port}'}"


class Link:
    """A connection that is given up at the first failure: nobody knows what a broken transaction has done."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: aiomysql.Connection | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def connect(self, *, create_database: bool = False) -> None:
        """Opens it anew."""
        await self.close()
        async with self.guard(self._server.connect_timeout_s):
            try:
                self._connection = await self._open(self._server.name)
            except pymysql.err.OperationalError as error:
                if not create_database or error.args[0] != UNKNOWN_DATABASE:
                    raise
                self._connection = await self._open(None)
                await self.execute(f"CREATE DATABASE `{self._server.name.replace('`', '``')}` CHARACTER SET utf8mb4")
                await self._connection.select_db(self._server.name)
            for statement in _SESSION:
                await self.execute(statement)

    async def _open(self, database: str | None) -> aiomysql.Connection:
        server = self._server
        return await aiomysql.connect(
            unix_socket=server.socket or None,
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            db=database,
            charset="utf8mb4",
            autocommit=False,
            connect_timeout=server.connect_timeout_s,
        )

    @asynccontextmanager
    async def guard(self, timeout_s: float) -> AsyncIterator[None]:
        """What goes wrong inside, or takes too long, comes out as StorageError, and the connection is given up."""
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError as error:
            self._abort()
            raise StorageError(f"{self._server}: no answer within {timeout_s:g} s") from error
        except (pymysql.err.Error, OSError, RuntimeError, asyncio.IncompleteReadError) as error:
            self._abort()
            raise StorageError(f"{self._server}: {_reason(error)}") from error
        except BaseException:
            self._abort()
            raise

    @asynccontextmanager
    async def transaction(self, timeout_s: float | None = None) -> AsyncIterator[Link]:
        """Everything inside is committed at its end."""
        async with self.guard(self._server.write_timeout_s if timeout_s is None else timeout_s):
            yield self
            await self._open_connection().commit()

    async def execute(self, statement: str, values: Cells = ()) -> int:
        """How many rows were affected."""
        async with self._open_connection().cursor() as cursor:
            return int(await cursor.execute(self._filled(statement, values)))

    async def execute_many(self, statement: str, values: Iterable[Cells]) -> None:
        """One statement for each of `values`."""
        for cells in values:
            await self.execute(statement, cells)

    async def insert_many(self, statement: str, values: Iterable[Cells]) -> None:
        """An INSERT or REPLACE that ends in `VALUES (%s, …)`: many rows to a statement, up to STATEMENT_BYTES."""
        head, _, marks = statement.partition(" VALUES ")
        gathered: list[str] = []
        size = 0
        for cells in values:
            gathered.append(self._filled(marks, cells))
            size += len(gathered[-1])
            if size >= STATEMENT_BYTES:
                await self.execute(f"{head} VALUES {','.join(gathered)}")
                gathered, size = [], 0
        if gathered:
            await self.execute(f"{head} VALUES {','.join(gathered)}")

    async def query(self, statement: str, values: Cells = ()) -> list[tuple[Any, ...]]:
        async with self._open_connection().cursor() as cursor:
            await cursor.execute(self._filled(statement, values))
            return list(await cursor.fetchall())

    def _filled(self, statement: str, values: Cells) -> str:
        return statement % tuple(map(self._literal, values)) if values else statement

    def _literal(self, value: Cell) -> str:
        """Bytes as hexadecimal, here: aiomysql 0.3 cannot with PyMySQL 1.2.3 and later, and this is also the fastest."""
        if isinstance(value, bytes):
            return f"X'{value.hex()}'"
        if isinstance(value, int):
            return str(int(value))
        return str(self._open_connection().escape(value))

    async def value(self, name: str) -> str | None:
        """One of this server's own numbers."""
        rows = await self.query("SELECT value FROM onelite_state WHERE name = %s", (name,))
        return str(rows[0][0]) if rows else None

    async def put(self, name: str, value: str) -> None:
        await self.execute("REPLACE INTO onelite_state (name, value) VALUES (%s, %s)", (name, value))

    async def snapshot(self) -> SnapshotMeta | None:
        """Up to where the log is compacted."""
        text = await self.value("snapshot")
        return None if text is None else logcodec.snapshot_meta(text)

    async def columns(self) -> dict[str, set[str]]:
        """Names of columns by table, of all that the database holds."""
        rows = await self.query(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        )
        found: dict[str, set[str]] = {}
        for table, column in rows:
            found.setdefault(table, set()).add(column)
        return found

    async def close(self) -> None:
        """Leaves politely, within a second."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(1):
                await connection.ensure_closed()
        except (TimeoutError, OSError, pymysql.err.Error):
            connection.close()

    def _open_connection(self) -> aiomysql.Connection:
        if self._connection is None:
            raise StorageError(f"{self._server}: not connected, or lost by a failed write")
        return self._connection

    def _abort(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _reason(error: BaseException) -> str:
    """PyMySQL's errors are (number, text)."""
    return str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__
