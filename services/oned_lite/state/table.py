"""What a table is, and the reading side that committed state, overlay and transaction share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar, cast

import msgspec

Key = int | str | tuple[int, ...]
"""A row's primary key: an object id, a name, or a tuple of ids (history: VM id and sequence number)."""

R = TypeVar("R", bound=msgspec.Struct)
IndexFunction = Callable[[R], Iterable[Hashable]]
_encoder = msgspec.msgpack.Encoder()


class Table(Generic[R]):
    """One kind of row: its name (as in OpenNebula's schema), its type, its key and its secondary indexes.

    An index function yields the values under which a row is found: none, one, or several.
    """

    __slots__ = ("_decoder", "columns", "indexes", "key", "name", "row_type")

    def __init__(
        self,
        name: str,
        row_type: type[R],
        *,
        key: Callable[[R], Key],
        indexes: Mapping[str, IndexFunction[R]] | None = None,
        columns: Mapping[str, Callable[[R], int | str]] | None = None,
    ) -> None:
        self.name = name
        self.row_type = row_type
        self.key = key
        self.indexes: Mapping[str, IndexFunction[R]] = indexes or {}
        self.columns: Mapping[str, Callable[[R], int | str]] = columns or {}
        self._decoder = msgspec.msgpack.Decoder(row_type)

    def encode(self, row: R) -> bytes:
        """The row as it travels in the log and rests in the database (msgpack map, defaults left out)."""
        return _encoder.encode(row)

    def decode(self, data: bytes) -> R:
        return self._decoder.decode(data)

    def __repr__(self) -> str:
        return f"Table({self.name})"


class Reader(Protocol):
    """A consistent view of all tables. Keys come out in ascending order."""

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row with that key, or None."""
        ...

    def keys(self, table: Table[R]) -> list[Key]:
        """Every key of the table, ascending."""
        ...

    def find(self, table: Table[R], index: str, value: Hashable) -> list[Key]:
        """Keys of the rows which the index lists under `value`, ascending."""
        ...


def scan(reader: Reader, table: Table[R], *, descending: bool = False) -> Iterator[R]:
    """Every row of the table in key order."""
    keys = reader.keys(table)
    for key in reversed(keys) if descending else keys:
        yield cast(R, reader.get(table, key))


def rows(reader: Reader, table: Table[R], index: str, value: Hashable) -> list[R]:
    """The rows which the index lists under `value`, in key order."""
    return [cast(R, reader.get(table, key)) for key in reader.find(table, index, value)]
