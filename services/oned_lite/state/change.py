"""A change set: everything one API call (or one step of a life cycle) changes, as one log entry."""

from __future__ import annotations

import msgspec


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The after-image of one row; `row` is None where the row goes away."""

    table: str
    key: int | str | tuple[int, ...]
    row: bytes | None


class ChangeSet(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`at`: the leader's clock in epoch seconds; `origin`: the method or duty that made it, for people and hooks."""

    at: int
    origin: str
    changes: tuple[Change, ...]

    def encode(self) -> bytes:
        return _encoder.encode(self)

    @staticmethod
    def decode(data: bytes) -> ChangeSet:
        """Raises msgspec.DecodeError (a corrupt log) where `data` is no change set."""
        return _decoder.decode(data)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ChangeSet)
