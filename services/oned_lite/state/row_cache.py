"""Decoded rows that were used lately."""

from __future__ import annotations

import msgspec

from .table import Key

Place = tuple[str, Key]
"""A table's name and a key in it."""


class RowCache:
    """At most `rows_max` rows, in two generations: when the younger is full, the elder is dropped as a whole.

    Every step takes the same time however many rows there are. (To look for a dict's first key does not: it walks over
    all that were removed before it.)
    """

    def __init__(self, rows_max: int) -> None:
        self._generation_max = rows_max // 2
        self._young: dict[Place, msgspec.Struct] = {}
        self._old: dict[Place, msgspec.Struct] = {}

    def get(self, place: Place) -> msgspec.Struct | None:
        row = self._young.get(place)
        if row is None:
            row = self._old.get(place)
            if row is not None:
                self.put(place, row)
        return row

    def put(self, place: Place, row: msgspec.Struct) -> None:
        if len(self._young) >= self._generation_max:
            self._old, self._young = self._young, {}
        self._young[place] = row

    def take(self, place: Place) -> msgspec.Struct | None:
        """The row, which is forgotten."""
        old = self._old.pop(place, None)
        return self._young.pop(place, old)

    def clear(self) -> None:
        self._young, self._old = {}, {}
