"""The committed state of one server, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeVar, cast

import msgspec

from .change import Change, ChangeSet
from .row_cache import RowCache
from .table import Key, Table

R = TypeVar("R", bound=msgspec.Struct)
_HASH_SPACE = 1 << 64
DECODED_ROWS_MAX = 32_000


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """All rows at `index`, in table and key order; `state_hash` says whether they arrived whole."""

    index: int
    state_hash: int
    rows: tuple[Change, ...]


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
        self._decoded = RowCache(DECODED_ROWS_MAX)
        self._sorted_keys: dict[str, list[Key]] = {}

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

    # ------------------------------------------------------------------ applying
    def apply(self, index: int, change_set: ChangeSet) -> None:
        """Takes over the change set of log entry `index`. Rows of tables this version does not know are kept out:
        an older server in a rolling upgrade must not stop, and gets them by snapshot once it is upgraded."""
        for change in change_set.changes:
            self._put(change)
        self.applied_index = index

    def load(self, index: int, changes: Iterable[Change]) -> None:
        """Replaces everything by `changes`, the state at `index` (from the database or a snapshot)."""
        for name in self.tables:
            self._rows[name].clear()
            for entries in self._indexes[name].values():
                entries.clear()
        self._decoded.clear()
        self._sorted_keys.clear()
        self.state_hash = 0
        for change in changes:
            self._put(change)
        self.applied_index = index

    def changes(self) -> Iterator[Change]:
        """Every row, in table and key order."""
        for name, table in self.tables.items():
            data = self._rows[name]
            for key in self.keys(table):
                yield Change(name, key, data[key])

    def snapshot(self) -> Snapshot:
        return Snapshot(self.applied_index, self.state_hash, tuple(self.changes()))

    def _put(self, change: Change) -> None:
        table = self.tables.get(change.table)
        if table is None:
            return
        key: Key = change.key
        before = self._rows[table.name].get(key)
        if before is not None:
            self._forget(table, key, before)
            if change.row is None:
                self._sorted_keys.pop(table.name, None)
        elif change.row is not None:
            self._insert_key(table.name, key)
        if change.row is None:
            return
        row = table.decode(change.row)
        self._rows[table.name][key] = change.row
        self.state_hash = (self.state_hash + row_hash(table.name, key, change.row)) % _HASH_SPACE
        for index, function in table.indexes.items():
            entries = self._indexes[table.name][index]
            for value in function(row):
                entries.setdefault(value, set()).add(key)
        self._decoded.put((table.name, key), row)

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
        """New ids are nearly always the highest: then the sorted list stays good."""
        keys = self._sorted_keys.get(name)
        if keys is None:
            return
        if not keys or keys[-1] < key:  # type: ignore[operator]
            keys.append(key)
        else:
            del self._sorted_keys[name]


def row_hash(table: str, key: Key, data: bytes) -> int:
    """64 bits over a row and its place."""
    digest = hashlib.blake2b(data, digest_size=8, key=f"{table}/{key}".encode()[:64])
    return int.from_bytes(digest.digest(), "big")
