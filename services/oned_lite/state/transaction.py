"""Layers of not yet committed rows: a transaction's own writes, and the proposals in flight on a leader."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Hashable
from typing import Any, TypeVar

import msgspec

from .change import Change, ChangeSet
from .table import Key, Reader, Table

R = TypeVar("R", bound=msgspec.Struct)
Delta = dict[Key, tuple[msgspec.Struct | None, int]]
"""Rows of one table that differ from the base, each with the number of the layer that wrote it."""


class Layer:
    """A view that lays changed rows over a base view."""

    def __init__(self, base: Reader) -> None:
        self._base = base
        self._deltas: dict[str, Delta] = {}

    def get(self, table: Table[R], key: Key) -> R | None:
        delta = self._deltas.get(table.name)
        if delta is not None and key in delta:
            return delta[key][0]  # type: ignore[return-value]
        return self._base.get(table, key)

    def keys(self, table: Table[R]) -> list[Key]:
        delta = self._deltas.get(table.name)
        keys = self._base.keys(table)
        if not delta:
            return keys
        gone = {key for key, (row, _) in delta.items() if row is None}
        new = {key for key, (row, _) in delta.items() if row is not None}
        return sorted((set(keys) | new) - gone)

    def find(self, table: Table[R], index: str, value: Hashable) -> list[Key]:
        keys = self._base.find(table, index, value)
        delta = self._deltas.get(table.name)
        if not delta:
            return keys
        function = table.indexes[index]
        found = {key for key in keys if key not in delta}
        found.update(key for key, (row, _) in delta.items() if row is not None and value in function(row))  # type: ignore[arg-type]
        return sorted(found)

    def _set(self, table: str, key: Key, row: msgspec.Struct | None, number: int) -> None:
        self._deltas.setdefault(table, {})[key] = (row, number)


class Overlay(Layer):
    """What the leader has proposed and not yet applied: the view on which the next write is decided."""

    def __init__(self, base: Reader) -> None:
        super().__init__(base)
        self._in_flight: deque[tuple[int, tuple[tuple[str, Key], ...]]] = deque()

    def __len__(self) -> int:
        return len(self._in_flight)

    def add(self, index: int, rows: Rows) -> None:
        """The rows of the proposal at log `index`; indexes only grow."""
        for (table, key), row in rows.items():
            self._set(table, key, row, index)
        self._in_flight.append((index, tuple(rows)))

    def applied(self, index: int) -> None:
        """Everything up to `index` is in the base now."""
        while self._in_flight and self._in_flight[0][0] <= index:
            number, places = self._in_flight.popleft()
            for table, key in places:
                delta = self._deltas[table]
                held = delta.get(key)
                if held is not None and held[1] == number:
                    del delta[key]

    def clear(self) -> None:
        """Leadership is lost: what is in flight is no longer ours to build upon."""
        self._in_flight.clear()
        self._deltas.clear()


Rows = dict[tuple[str, Key], msgspec.Struct | None]


class Transaction(Layer):
    """One call's reads and writes. Dropping it undoes everything; `change_set()` makes it a log entry.

    `now` is the call's time in epoch seconds, decided on the leader; `random(n)` gives n bytes drawn for this call.
    """

    def __init__(self, base: Reader, *, now: int, seed: bytes = b"") -> None:
        super().__init__(base)
        self.now = now
        self._seed = seed
        self._drawn = 0
        self._tables: dict[str, Table[Any]] = {}
        self.rows: Rows = {}

    def put(self, table: Table[R], row: R) -> R:
        """Writes the after-image of a row, new or changed, and returns it."""
        self._write(table, table.key(row), row)
        return row

    def delete(self, table: Table[R], key: Key) -> None:
        self._write(table, key, None)

    def before(self, table: Table[R], key: Key) -> R | None:
        """The row as it was when the transaction began."""
        return self._base.get(table, key)

    def random(self, size: int) -> bytes:
        """`size` fresh bytes: the same for the same seed and the same sequence of draws."""
        if not self._seed:
            raise RuntimeError("this transaction was given no randomness")
        self._drawn += 1
        return hashlib.shake_256(self._seed + self._drawn.to_bytes(4, "big")).digest(size)

    def change_set(self, origin: str) -> ChangeSet:
        changes = tuple(
            Change(name, key, None if row is None else self._tables[name].encode(row))
            for (name, key), row in self.rows.items()
        )
        return ChangeSet(self.now, origin, changes)

    def savepoint(self) -> Savepoint:
        """Remembers the writes so far, for a step that may fail without failing the call."""
        return Savepoint(dict(self.rows), {name: dict(delta) for name, delta in self._deltas.items()})

    def roll_back(self, savepoint: Savepoint) -> None:
        """Forgets everything written since the savepoint was taken."""
        self.rows = savepoint.rows
        self._deltas = savepoint.deltas

    def _write(self, table: Table[Any], key: Key, row: msgspec.Struct | None) -> None:
        self._tables[table.name] = table
        self._set(table.name, key, row, 0)
        self.rows[table.name, key] = row


class Savepoint:
    """A transaction's writes at one moment."""

    __slots__ = ("deltas", "rows")

    def __init__(self, rows: Rows, deltas: dict[str, Delta]) -> None:
        self.rows = rows
        self.deltas = deltas
