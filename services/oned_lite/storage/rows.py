"""Change sets to columns and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from services.oned_lite.state import Change, Key, Table

from .port import StorageError
from .schema import BODY, KEY_LENGTH_MAX, NAME_LENGTH_MAX, ROW, Column, TableSpec, Type, table_specs

Cell = int | str | bytes | None
Cells = tuple[Cell, ...]


class Source(NamedTuple):
    """What the columns of a row are filled from."""

    row: msgspec.Struct
    key: Cells
    data: bytes
    body: str


Fill = Callable[[Source], Cell]
_INTEGER_MAX = {Type.INTEGER: 2**31 - 1, Type.BIGINT: 2**63 - 1}
_LENGTH_MAX = {Type.NAME: NAME_LENGTH_MAX, Type.KEY: KEY_LENGTH_MAX}


class Rows:
    """The stored shape of the tables a daemon knows."""

    def __init__(self, tables: Iterable[Table[Any]]) -> None:
        self.tables = {table.name: table for table in tables}
        self.specs = table_specs(self.tables.values())
        self._fills = {
            name: [_fill(self.tables[name], spec, one) for one in spec.columns] for name, spec in self.specs.items()
        }

    def key(self, spec: TableSpec, key: Key) -> Cells:
        """The cells of the primary key."""
        if spec.key == ("key",):
            return (msgspec.json.encode(key).decode(),)
        return key if isinstance(key, tuple) else (key,)

    def cells(self, change: Change, body: str) -> Cells:
        """All columns of a row that is not being deleted, in the schema's order."""
        assert change.row is not None
        key = self.key(self.specs[change.table], change.key)
        source = Source(self.tables[change.table].decode(change.row), key, change.row, body)
        return tuple([fill(source) for fill in self._fills[change.table]])

    def change(self, spec: TableSpec, cells: Sequence[Any]) -> Change:
        """From what `select_rows` gives."""
        *key, row = cells
        if spec.key == ("key",):
            return Change(spec.name, _json_key(spec, key[0]), row)
        return Change(spec.name, key[0] if len(key) == 1 else tuple(key), row)

    def by_table(
        self, changes: Sequence[Change], bodies: Mapping[int, str]
    ) -> Iterator[tuple[TableSpec, Iterator[Cells], list[Cells]]]:
        """(table, rows to write, keys to delete), the last version of each key. Unknown tables are left out, as the
        store does: a newer server's rows come by snapshot once this one is upgraded."""
        latest = {(change.table, change.key): number for number, change in enumerate(changes)}
        written: dict[str, list[int]] = {}
        deleted: dict[str, list[Cells]] = {}
        for (name, key), number in latest.items():
            if name not in self.specs:
                continue
            if changes[number].row is None:
                deleted.setdefault(name, []).append(self.key(self.specs[name], key))
            else:
                written.setdefault(name, []).append(number)
        for name in written.keys() | deleted.keys():
            cells = (self.cells(changes[number], bodies.get(number, "")) for number in written.get(name, ()))
            yield self.specs[name], cells, deleted.get(name, [])

    def of_snapshot(self, rows: Iterable[Change]) -> Iterator[tuple[TableSpec, Iterator[Cells]]]:
        """(table, its rows) for rows that come table by table; none is looked at before its turn."""
        for name, changes in groupby(rows, key=lambda change: change.table):
            if name in self.specs:
                yield self.specs[name], (self.cells(change, "") for change in changes)


def _json_key(spec: TableSpec, text: str) -> Key:
    try:
        return msgspec.json.decode(text, type=int | str | tuple[int, ...])
    except msgspec.DecodeError as error:
        raise StorageError(f"{spec.name}: {text!r} is no key") from error


def _fill(table: Table[Any], spec: TableSpec, column: Column) -> Fill:
    """How a column gets its value. A search column must never stop a write, so what does not fit is cut: the row itself is
    whole."""
    if column.name in spec.key:
        return _nth(spec.key.index(column.name))
    if column is BODY:
        return lambda source: source.body
    if column is ROW:
        return lambda source: source.data
    value = table.columns.get(column.name) or _attribute(column.source or column.name)
    if column.type in _INTEGER_MAX:
        return _integer(value, _INTEGER_MAX[column.type])
    return _text(value, _LENGTH_MAX.get(column.type))


def _nth(place: int) -> Fill:
    return lambda source: source.key[place]


def _integer(value: Callable[[Any], object], bound: int) -> Fill:
    def fill(source: Source) -> Cell:
        found = value(source.row)
        return max(-bound - 1, min(bound, int(found))) if isinstance(found, int) else 0

    return fill


def _text(value: Callable[[Any], object], length_max: int | None) -> Fill:
    def fill(source: Source) -> Cell:
        found = value(source.row)
        return "" if found is None else str(found)[:length_max]

    return fill


def _attribute(name: str) -> Callable[[Any], object]:
    def value(row: msgspec.Struct) -> object:
        found = getattr(row, name, None)
        return getattr(getattr(row, "permissions", None), name, None) if found is None else found

    return value
