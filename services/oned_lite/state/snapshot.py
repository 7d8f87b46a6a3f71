"""The whole state as bytes, made and read in blocks, so that nobody waits long for either.

Layout: blocks, each behind its length (4 bytes, big-endian). The first is the header, every other an array of rows in
table and key order.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .change import Change
from .store import Store

BLOCK_ROWS = 1000
BLOCK_BYTES = 256 << 10
"""A block ends at the first row that brings it here."""
_LENGTH_BYTES = 4


class _Header(msgspec.Struct, frozen=True, array_like=True):
    index: int
    state_hash: int


class Snapshot:
    """All rows at `index`; `state_hash` says whether they arrived whole. May be gone through more than once.

    Raises msgspec.DecodeError where the bytes are no snapshot, here or on the way.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        header = _header_decoder.decode(next(self._blocks(), b""))
        self.index = header.index
        self.state_hash = header.state_hash

    def blocks(self) -> Iterator[tuple[Change, ...]]:
        """The rows, some at a time."""
        encoded = self._blocks()
        next(encoded)
        return map(_block_decoder.decode, encoded)

    def __iter__(self) -> Iterator[Change]:
        return (change for block in self.blocks() for change in block)

    def _blocks(self) -> Iterator[memoryview]:
        view, position = memoryview(self._data), 0
        while position < len(view):
            begin = position + _LENGTH_BYTES
            position = begin + int.from_bytes(view[position:begin], "big")
            yield view[begin:position]


class SnapshotMaker:
    """Encodes the state as it is at the beginning, a block with each `step`, whatever becomes of the store meanwhile."""

    def __init__(self, store: Store) -> None:
        self.index = store.applied_index
        self._tables = store.frozen()
        self._blocks = self._encoded()
        self._parts: list[bytes] = []
        self._add(msgspec.msgpack.encode(_Header(store.applied_index, store.state_hash)))

    def step(self) -> bool:
        """Whether there was anything left to do."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self._add(block)
        return True

    def data(self) -> bytes:
        """The snapshot, once there is nothing left to do."""
        return b"".join(self._parts)

    def _add(self, block: bytes) -> None:
        self._parts += (len(block).to_bytes(_LENGTH_BYTES, "big"), block)

    def _encoded(self) -> Iterator[bytes]:
        block: list[Change] = []
        size = 0
        for change in self._rows():
            block.append(change)
            size += len(change.row or b"")
            if len(block) == BLOCK_ROWS or size >= BLOCK_BYTES:
                yield _encoder.encode(block)
                block, size = [], 0
        if block:
            yield _encoder.encode(block)

    def _rows(self) -> Iterator[Change]:
        return (Change(name, key, rows[key]) for name, keys, rows in self._tables for key in keys)


_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(_Header)
_block_decoder = msgspec.msgpack.Decoder(tuple[Change, ...])
