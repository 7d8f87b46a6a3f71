"""Change sets to columns and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.oned_lite.state import Change, Key, Table

from .port import StorageError
from .schema import KEY_LENGTH_MAX, NAME_LENGTH_MAX, Column, TableSpec, Type, table_specs

Cell = int | str | bytes | None
Cells = tuple[Cell, ...]
_INTEGER_MAX = {Type.INTEGER: 2**31 - 1, Type.BIGINT: 2**63 - 1}
_LENGTH_MAX = {Type.NAME: NAME_LENGTH_MAX, Type.KEY: KEY_LENGTH_MAX}


class Rows:
    """The stored shape of the tables a daemon knows."""

    def __init__(self, tables: Iterable[Table[Any]]) -> None:
        self.tables = {table.name: table for table in tables}
        self.specs = table_specs(self.tables.values())

    def key(self, spec: TableSpec, key: Key) -> Cells:
        """The cells of the primary key."""
        if spec.key == ("key",):
            return (msgspec.json.encode(key).decode(),)
        return key if isinstance(key, tuple) else (key,)

    def cells(self, change: Change, body: str) -> Cells:
        """All columns of a row that is not being deleted, in the schema's order."""
        table, spec = self.tables[change.table], self.specs[change.table]
        assert change.row is not None
        row = table.decode(change.row)
        given: dict[str, Cell] = {"body": body, "row": change.row}
        given.update(zip(spec.key, self.key(spec, change.key), strict=True))
        return tuple(
            given[column.name] if column.name in given else _computed(table, column, row) for column in spec.columns
        )

    def change(self, spec: TableSpec, cells: Sequence[Any]) -> Change:
        """From what `select_rows` gives."""
        *key, row = cells
        if spec.key == ("key",):
            return Change(spec.name, _json_key(spec, key[0]), row)
        return Change(spec.name, key[0] if len(key) == 1 else tuple(key), row)

    def by_table(
        self, changes: Sequence[Change], bodies: Mapping[int, str]
    ) -> Iterable[tuple[TableSpec, list[Cells], list[Cells]]]:
        """(table, rows to write, keys to delete), the last version of each key. Unknown tables are left out, as the
        store does: a newer server's rows come by snapshot once this one is upgraded."""
        latest = {(change.table, change.key): number for number, change in enumerate(changes)}
        written: dict[str, list[Cells]] = {}
        deleted: dict[str, list[Cells]] = {}
        for (name, key), number in latest.items():
            change = changes[number]
            if name not in self.specs:
                continue
            if change.row is None:
                deleted.setdefault(name, []).append(self.key(self.specs[name], key))
            else:
                written.setdefault(name, []).append(self.cells(change, bodies.get(number, "")))
        for name in written.keys() | deleted.keys():
            yield self.specs[name], written.get(name, []), deleted.get(name, [])


def _json_key(spec: TableSpec, text: str) -> Key:
    try:
        return msgspec.json.decode(text, type=int | str | tuple[int, ...])
    except msgspec.DecodeError as error:
        raise StorageError(f"{spec.name}: {text!r} is no key") from error


def _computed(table: Table[Any], column: Column, row: msgspec.Struct) -> Cell:
    """A search column. It must never stop a write, so what does not fit is cut: the row itself is whole."""
    function = table.columns.get(column.name)
    value = _attribute(row, column.source or column.name) if function is None else function(row)
    if column.type in _INTEGER_MAX:
        bound = _INTEGER_MAX[column.type]
        return max(-bound - 1, min(bound, int(value))) if isinstance(value, int) else 0
    text = "" if value is None else str(value)
    return text[: _LENGTH_MAX[column.type]] if column.type in _LENGTH_MAX else text


def _attribute(row: msgspec.Struct, name: str) -> object:
    value = getattr(row, name, None)
    return getattr(getattr(row, "permissions", None), name, None) if value is None else value
