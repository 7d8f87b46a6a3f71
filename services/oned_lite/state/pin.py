"""The committed state of one moment."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from .table import Key, Table
from .transaction import Layer

R = TypeVar("R", bound=msgspec.Struct)


class Pin(Layer):
    """The state as it was when it was pinned: rows that change afterwards are kept here as they were."""

    def keys(self, table: Table[R]) -> list[Key]:
        return list(super().keys(table))  # the store's own list goes on with the store

    def keep(self, table: Table[Any], key: Key, row: msgspec.Struct | None) -> None:
        """The row is about to change; `row` is what it is, None where there is none."""
        if key not in self._deltas.get(table.name, ()):
            self._set(table.name, key, row, 0)
