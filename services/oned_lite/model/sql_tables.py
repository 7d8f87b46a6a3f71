"""Tables that administrators made with one.system.sql (table sql_tables): one SQLite image for all of them."""

from __future__ import annotations

import msgspec

from services.oned_lite.state import Table

IMAGE_NAME = "main"


class SqlTables(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    image: bytes


SQL_TABLES: Table[SqlTables] = Table("sql_tables", SqlTables, key=lambda row: row.name)
