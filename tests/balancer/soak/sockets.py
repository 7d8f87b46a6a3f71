"""Ways to end a connection."""

from __future__ import annotations

import asyncio
import socket
import struct


def cut_off(writer: asyncio.StreamWriter) -> None:
    """With a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def half_close(writer: asyncio.StreamWriter) -> None:
    """Unless the other side was quicker."""
    if not writer.transport.is_closing():
        writer.write_eof()
