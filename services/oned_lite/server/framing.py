"""Frames on the connections between servers: four bytes of length, then that many bytes."""

from __future__ import annotations

import asyncio
import socket
import struct

from .handshake import MESSAGE_BYTES_MAX

FRAME_BYTES_MAX = 256 << 20
"""More than the largest append, snapshot part or forwarded request."""
_LENGTH = struct.Struct("!I")
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 5, 2, 3
UNACKNOWLEDGED_MS = 3000
"""After so long without a word from the other system a new connection comes sooner than the old one's next repetition,
for which systems wait twice as long each time."""


def framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader, size_max: int = FRAME_BYTES_MAX) -> bytes:
    """Raises IncompleteReadError at the end of the connection, ValueError for a frame beyond the bound."""
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if size > size_max:
        raise ValueError(f"a frame of {size} bytes")
    return await reader.readexactly(size)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """A part of the handshake."""
    return await read_frame(reader, MESSAGE_BYTES_MAX)


def tune(writer: asyncio.StreamWriter) -> None:
    """Small messages at once; a machine that vanished without a word is noticed."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    )
    for name, value in options:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
