"""Statements made from the schema. Names are quoted with backticks, which both dialects take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .schema import KEY_LENGTH_MAX, NAME_LENGTH_MAX, Column, TableSpec, Type


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between SQLite and MariaDB: how a parameter is written, types, and what follows CREATE TABLE (…)."""

    parameter: str
    types: Mapping[Type, str]
    options: str = ""

    def create_table(self, spec: TableSpec) -> str:
        columns = ", ".join(self.column(spec, column) for column in spec.columns)
        key = ", ".join(map(quoted, spec.key))
        return f"CREATE TABLE IF NOT EXISTS {quoted(spec.name)} ({columns}, PRIMARY KEY ({key})){self.options}"

    def create_indexes(self, spec: TableSpec) -> list[str]:
        """One statement for each list of columns to search by."""
        statements = []
        for index in spec.indexes:
            name, columns = "_".join((spec.name, *index, "idx")), ", ".join(map(quoted, index))
            statements.append(f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {quoted(spec.name)} ({columns})")
        return statements

    def add_column(self, spec: TableSpec, column: Column) -> str:
        return f"ALTER TABLE {quoted(spec.name)} ADD COLUMN {self.column(spec, column)}"

    def column(self, spec: TableSpec, column: Column) -> str:
        return f"{quoted(column.name)} {self.types[column.type]}{' NOT NULL' if column.name in spec.key else ''}"

    def replace(self, spec: TableSpec) -> str:
        names = ", ".join(map(quoted, spec.column_names))
        marks = ", ".join([self.parameter] * len(spec.columns))
        return f"REPLACE INTO {quoted(spec.name)} ({names}) VALUES ({marks})"

    def delete(self, spec: TableSpec) -> str:
        where = " AND ".join(f"{quoted(name)} = {self.parameter}" for name in spec.key)
        return f"DELETE FROM {quoted(spec.name)} WHERE {where}"


def select_rows(spec: TableSpec) -> str:
    """Key columns, then the row."""
    names = ", ".join(map(quoted, (*spec.key, "row")))
    return f"SELECT {names} FROM {quoted(spec.name)} WHERE `row` IS NOT NULL"


def clear_rows(spec: TableSpec) -> str:
    """All replicated rows; what is a server's own stays."""
    return f"DELETE FROM {quoted(spec.name)} WHERE `row` IS NOT NULL"


def quoted(name: str) -> str:
    return f"`{name}`"


SQLITE = Dialect(
    parameter="?",
    types={
        Type.INTEGER: "INTEGER",
        Type.BIGINT: "INTEGER",
        Type.NAME: f"VARCHAR({NAME_LENGTH_MAX})",
        Type.KEY: f"VARCHAR({KEY_LENGTH_MAX})",
        Type.TEXT: "MEDIUMTEXT",
        Type.BYTES: "BLOB",
    },
)

MARIADB = Dialect(
    parameter="%s",
    types={
        Type.INTEGER: "INTEGER",
        Type.BIGINT: "BIGINT",
        Type.NAME: f"VARCHAR({NAME_LENGTH_MAX})",
        Type.KEY: f"VARCHAR({KEY_LENGTH_MAX})",
        Type.TEXT: "LONGTEXT",
        Type.BYTES: "LONGBLOB",
    },
    options=" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
)
