"""The committed state of one server, in memory."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeVar, cast

import msgspec

from .change import Change, ChangeSet
from .pin import Pin
from .recent import Recent
from .table import Key, Table

R = TypeVar("R", bound=msgspec.Struct)
_HASH_SPACE = 1 << 64
DECODED_ROWS_MAX = 32_000


class Store:
    """Committed rows as bytes, decoded on demand, with their indexes and a running hash.

    The hash is the sum (mod 2**64) of one hash per row, so it is the same for the same rows whatever way led there:
    by the log, by a snapshot or from the database.
    """

    def __init__(self, tables: Iterable[Table[Any]]) -> None:
        self.tables: dict[str, Table[Any]] = {table.name: table for table in tables}
        self.applied_index = 0
        self.state_hash = 0
        self._rows: dict[str, dict[Key, bytes]] = {name: {} for name in self.tables}
        self._indexes: dict[str, dict[str, dict[Hashable, set[Key]]]] = {
            name: {index: {} for index in table.indexes} for name, table in self.tables.items()
        }
        self._decoded: Recent[tuple[str, Key], msgspec.Struct] = Recent(DECODED_ROWS_MAX)
        self._sorted_keys: dict[str, list[Key]] = {}
        self._pins: list[Pin] = []

    # ------------------------------------------------------------------ reading
    def get(self, table: Table[R], key: Key) -> R | None:
        cached = self._decoded.get((table.name, key))
        if cached is not None:
            return cast(R, cached)
        data = self._rows[table.name].get(key)
        if data is None:
            return None
        row = table.decode(data)
        self._decoded.put((table.name, key), row)
        return row

    def keys(self, table: Table[R]) -> list[Key]:
        keys = self._sorted_keys.get(table.name)
        if keys is None:
            keys = self._sorted_keys[table.name] = sorted(self._rows[table.name])
        return keys

    def find(self, table: Table[R], index: str, value: Hashable) -> list[Key]:
        return sorted(self._indexes[table.name][index].get(value, ()))

    def count(self, table: Table[R]) -> int:
        return len(self._rows[table.name])

    def pin(self) -> Pin:
        """The state as it is now, to be read until `unpin` whatever is applied meanwhile (but not after `replace_by`)."""
        self._pins.append(Pin(self))
        return self._pins[-1]

    def unpin(self, pin: Pin) -> None:
        self._pins.remove(pin)

    # ------------------------------------------------------------------ applying
    def apply(self, index: int, change_set: ChangeSet) -> None:
        """Takes over the change set of log entry `index`. Rows of tables this version does not know are kept out:
        an older server in a rolling upgrade must not stop, and gets them by snapshot once it is upgraded."""
        for change in change_set.changes:
            self._put(change)
        self.applied_index = index

    def load(self, index: int, changes: Iterable[Change]) -> None:
        """Takes over a whole state, that at `index`, from the database. There is nothing here yet."""
        self.extend(changes)
        self.applied_index = index

    def extend(self, changes: Iterable[Change]) -> None:
        """More rows of a state that comes in parts, none of which is here yet."""
        for change in changes:
            table = self.tables.get(change.table)
            if table is not None and change.row is not None:
                self._insert_key(table.name, change.key)
                self._add(table, change.key, change.row, table.decode(change.row))

    def replace_by(self, other: Store) -> None:
        """Takes over everything that another store of the same tables has; that one is not to be used any more."""
        self.applied_index, self.state_hash = other.applied_index, other.state_hash
        self._rows, self._indexes = other._rows, other._indexes
        self._decoded, self._sorted_keys = other._decoded, other._sorted_keys

    def changes(self) -> Iterator[Change]:
        """Every row, in table and key order."""
        for name, table in self.tables.items():
            data = self._rows[name]
            for key in self.keys(table):
                yield Change(name, key, data[key])

    def frozen(self) -> list[tuple[str, list[Key], dict[Key, bytes]]]:
        """Name, keys in order and rows of each table as they are now; takes a few milliseconds for 100,000 rows."""
        return [(name, list(self.keys(table)), dict(self._rows[name])) for name, table in self.tables.items()]

    def _put(self, change: Change) -> None:
        table = self.tables.get(change.table)
        if table is None:
            return
        key: Key = change.key
        for pin in self._pins:
            pin.keep(table, key, self.get(table, key))
        before = self._rows[table.name].get(key)
        if before is not None:
            self._forget(table, key, before)
            if change.row is None:
                self._remove_key(table.name, key)
        elif change.row is not None:
            self._insert_key(table.name, key)
        if change.row is None:
            return
        row = table.decode(change.row)
        self._add(table, key, change.row, row)
        self._decoded.put((table.name, key), row)

    def _add(self, table: Table[Any], key: Key, data: bytes, row: msgspec.Struct) -> None:
        """Takes a row's new version into rows, hash and indexes."""
        self._rows[table.name][key] = data
        self.state_hash = (self.state_hash + row_hash(table.name, key, data)) % _HASH_SPACE
        for index, function in table.indexes.items():
            entries = self._indexes[table.name][index]
            for value in function(row):
                keys = entries.get(value)
                if keys is None:
                    entries[value] = {key}
                else:
                    keys.add(key)

    def _forget(self, table: Table[Any], key: Key, data: bytes) -> None:
        """Takes a row's old version out of rows, hash and indexes."""
        row = self._decoded.take((table.name, key)) or table.decode(data)
        del self._rows[table.name][key]
        self.state_hash = (self.state_hash - row_hash(table.name, key, data)) % _HASH_SPACE
        for index, function in table.indexes.items():
            entries = self._indexes[table.name][index]
            for value in function(row):
                keys = entries.get(value)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del entries[value]

    def _insert_key(self, name: str, key: Key) -> None:
        keys = self._sorted_keys.get(name)
        if keys is not None:
            insort(keys, key)

    def _remove_key(self, name: str, key: Key) -> None:
        keys = self._sorted_keys.get(name)
        if keys is not None:
            del keys[bisect_left(keys, key)]


def row_hash(table: str, key: Key, data: bytes) -> int:
    """64 bits over a row and its place."""
    digest = hashlib.blake2b(data, digest_size=8, key=f"{table}/{key}".encode()[:64])
    return int.from_bytes(digest.digest(), "big")
