"""one.system.sql and one.system.sqlquery.

Neither touches a server's database: that one follows the log, and may be MariaDB here and SQLite there. Queries see the
zone's objects as tables with OpenNebula's names (`user_pool`, `vm_pool`: the row's fields, permissions, and `body`, the
object's XML). Tables that people create live in an image which is replicated like any row. The zone's own tables can only
be read: what they show changes through the API.
"""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from services.oned_lite.model.errors import ApiError, ErrorCode, action
from services.oned_lite.model.kinds import kinds
from services.oned_lite.model.objects import Kind, PoolObject
from services.oned_lite.model.sql_tables import IMAGE_NAME, SQL_TABLES, SqlTables
from services.oned_lite.model.xml import text_element
from services.oned_lite.policy.caller import ONEADMIN_UID
from services.oned_lite.state import Reader
from services.oned_lite.state.table import scan

from .call import Call
from .method import MethodTable

METHODS = MethodTable("one.system")
PAGES_MAX = 512
"""2 MiB of tables of people's own."""
INSTRUCTIONS_MAX = 10_000_000
ROWS_MAX = 100_000
_PERMISSIONS = ("owner_u", "group_u", "other_u")
_NEVER = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA})
_READING = frozenset({sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})


@METHODS.add("sql")
def sql(call: Call, sql: str, federate: bool) -> int:
    """One statement on tables of people's own. `federate` makes no difference in a zone of its own."""
    _only_oneadmin(call)
    with _opened(call.tx, sql, writes=True) as connection:
        connection.execute(sql)
        connection.commit()
        connection.set_authorizer(None)
        image = connection.serialize()
    call.tx.put(SQL_TABLES, SqlTables(name=IMAGE_NAME, image=image))
    return 0


@METHODS.add("sqlquery", reads=True)
def sqlquery(call: Call, sql: str) -> str:
    """The rows of a SELECT. Values that begin like XML come base64-encoded, in `<COLUMN64>`."""
    _only_oneadmin(call)
    with _opened(call.tx, sql, writes=False) as connection:
        cursor = connection.execute(sql)
        columns = [_tag(column[0]) for column in cursor.description or ()]
        rows = "".join(_row_xml(columns, values) for values in cursor.fetchmany(ROWS_MAX))
    return f"<SQL_COMMAND>{text_element('QUERY', sql)}<RESULT>{rows}</RESULT></SQL_COMMAND>"


def _only_oneadmin(call: Call) -> None:
    if call.caller.uid != ONEADMIN_UID:
        raise ApiError(ErrorCode.AUTHORIZATION, f"User [{call.caller.uid}] not authorized to perform action on -.")


@contextmanager
def _opened(reader: Reader, statement: str, *, writes: bool) -> Iterator[sqlite3.Connection]:
    """People's tables, beside the zone's that the statement speaks of. What SQL does not like is an ACTION error without
    words, as in oned."""
    connection = sqlite3.connect(":memory:")
    try:
        stored = reader.get(SQL_TABLES, IMAGE_NAME)
        if stored is not None:
            connection.deserialize(stored.image)
        connection.execute(f"PRAGMA max_page_count = {PAGES_MAX}")
        connection.execute("ATTACH ':memory:' AS zone")
        for name in {*re.findall(r"\w+", statement.lower())} & kinds().keys():
            _load(connection, reader, kinds()[name])
        connection.commit()
        connection.set_authorizer(_authorizer(writes=writes))
        connection.set_progress_handler(lambda: 1, INSTRUCTIONS_MAX)
        yield connection
    except sqlite3.Error:
        raise action("") from None
    finally:
        connection.close()


def _authorizer(*, writes: bool) -> Any:
    def allows(what: int, _first: str | None, _second: str | None, database: str | None, _trigger: str | None) -> int:
        allowed = what in _READING or (writes and what not in _NEVER and database != "zone")
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return allows


def _load(connection: sqlite3.Connection, reader: Reader, kind: Kind[Any]) -> None:
    """A pool as a table of the attached database: one column for each plain field, some permissions, and the XML."""
    fields = [one.name for one in msgspec.structs.fields(kind.table.row_type) if one.type in (int, str, bool)]
    columns = [*fields, *_PERMISSIONS, "body"]
    connection.execute(f"CREATE TABLE zone.{kind.table.name} ({', '.join(columns)})")
    marks = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT INTO zone.{kind.table.name} VALUES ({marks})",
        (_cells(reader, kind, row, fields) for row in scan(reader, kind.table)),
    )


def _cells(reader: Reader, kind: Kind[Any], row: PoolObject, fields: Iterable[str]) -> list[object]:
    return [
        *(getattr(row, name) for name in fields),
        *(getattr(row.permissions, name) for name in _PERMISSIONS),
        kind.render(reader, row),
    ]


def _tag(column: str) -> str:
    """A column's name as an element: an expression without a name has signs that XML does not take."""
    tag = re.sub(r"[^\w.-]", "_", column)
    return tag if re.match(r"[A-Za-z_]", tag) else f"_{tag}"


def _row_xml(columns: list[str], values: tuple[object, ...]) -> str:
    return "<ROW>" + "".join(map(_value_xml, columns, values)) + "</ROW>"


def _value_xml(column: str, value: object) -> str:
    text = "" if value is None else value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if text.startswith("<"):
        return text_element(f"{column}64", base64.b64encode(text.encode()).decode())
    return text_element(column, text)
