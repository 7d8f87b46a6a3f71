"""What travels on the links between servers: consensus messages, and requests handed on to the leader."""

from __future__ import annotations

import msgspec


class Consensus(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """One Raft message, encoded."""

    message: bytes


class Forward(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A client's request for the leader: `call` is the XML-RPC call document. `number` comes back in the answer."""

    number: int
    call: bytes


class Forwarded(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The leader's answer, to be returned as is once this server has applied `index`."""

    number: int
    body: bytes
    index: int


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The server asked does not lead and has done nothing: ask another."""

    number: int


Frame = Consensus | Forward | Forwarded | Refused

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    return _encoder.encode(frame)


def decode(data: bytes) -> Frame:
    """Raises msgspec.DecodeError (a peer of another kind or version)."""
    return _decoder.decode(data)
