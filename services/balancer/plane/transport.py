"""What lies between the data plane and its sockets: who hears of events, and what can be done with a connection.

The rules are those of asyncio's protocols and transports: ``connection_lost`` comes once and last, and never from within a
command; a closed transport takes commands without effect. Bytes are sent at once as far as the socket takes them, and
only the rest waits.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any, Final

from services.balancer.plane.timers import Timed

WAITING_LIMIT: Final = 1 << 16  # bytes, unless the endpoint says otherwise
LOW_SHARE: Final = 4  # writing goes on when no more than this part of the limit is waiting, as with asyncio


class Endpoint(Timed):
    """Hears what happens on one connection (the methods of ``asyncio.Protocol``)."""

    __slots__ = ()

    def connection_made(self, transport: Transport) -> None:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The other side sends no more. True keeps the connection open for what we still have to send."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        raise NotImplementedError

    def pause_writing(self) -> None:
        """More than the limit is waiting to be sent; may come from within ``write``."""
        raise NotImplementedError

    def resume_writing(self) -> None:
        raise NotImplementedError


class Transport:
    """A connection. This one leads nowhere: it takes every command and does nothing."""

    __slots__ = ()

    def write(self, data: bytes) -> None: ...

    def write_eof(self) -> None:
        """Say that no more is sent, behind what is waiting."""

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def limit_waiting(self, size: int) -> None:
        """How many bytes may wait before the endpoint is told to pause."""

    def waiting_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """End once what is waiting has been sent."""

    def abort(self) -> None:
        """End now. What was sent before is still delivered."""

    def reset(self) -> None:
        """End now and drop what the other side has not got yet (nginx ``reset_timedout_connection``)."""

    def remote(self) -> Any:
        """The other side's address as Python's sockets give it, None when it is not known any more."""
        return None

    def local(self) -> Any:
        return None

    def tls(self) -> ssl.SSLObject | None:
        """What TLS agreed on; None without TLS."""
        return None


NOWHERE: Final = Transport()


def set_to_reset(sock: socket.socket) -> None:
    """Have closing drop what is not delivered, and say so."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
