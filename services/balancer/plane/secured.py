"""Connections with TLS: the event loop's transports, spoken to as our own."""

from __future__ import annotations

import asyncio
import ssl
from itertools import islice
from typing import Any, Final

from services.balancer.plane.reactor import Reactor
from services.balancer.plane.transport import Endpoint, Transport, set_to_reset

HANDSHAKE_S: Final = 10.0


class Handshakes:
    """Those in progress. The event loop tells of the ones that succeed; the others are over after HANDSHAKE_S.

    ``over`` is set when there are none.
    """

    __slots__ = ("_begun", "_serial", "over")

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}
        self._serial = 0
        self.over = asyncio.Event()
        self.over.set()

    def begin(self, now: float) -> int:
        """Returns the number that ends it."""
        for number in list(islice(self._begun, 2)):  # two for each that comes: those that failed do not pile up
            if now - self._begun[number] > HANDSHAKE_S:
                del self._begun[number]
        self._serial += 1
        self._begun[self._serial] = now
        self.over.clear()
        return self._serial

    def end(self, number: int) -> None:
        self._begun.pop(number, None)
        if not self._begun:
            self.over.set()

    def last_s(self, now: float) -> float:
        """How long the last one may take still."""
        return max(self._begun.values(), default=now) + HANDSHAKE_S - now


class Secured(Transport):
    """A protocol to the event loop, and a transport to the endpoint behind it."""

    __slots__ = ("_endpoint", "_lower", "_reactor")

    def __init__(self, reactor: Reactor, endpoint: Endpoint) -> None:
        self._reactor = reactor
        self._endpoint = endpoint

    # As a protocol

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._lower = transport
        self._endpoint.connection_made(self)

    def data_received(self, data: bytes) -> None:
        self._reactor.now = self._reactor.loop.time()
        self._endpoint.data_received(data)

    def eof_received(self) -> bool:
        return self._endpoint.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.connection_lost(exc)

    def pause_writing(self) -> None:
        self._endpoint.pause_writing()

    def resume_writing(self) -> None:
        self._endpoint.resume_writing()

    # As a transport

    def write(self, data: bytes) -> None:
        self._lower.write(data)

    def write_eof(self) -> None:
        self._lower.write_eof()

    def can_write_eof(self) -> bool:
        return self._lower.can_write_eof()

    def pause_reading(self) -> None:
        self._lower.pause_reading()

    def resume_reading(self) -> None:
        self._lower.resume_reading()

    def limit_waiting(self, size: int) -> None:
        self._lower.set_write_buffer_limits(high=size)

    def waiting_bytes(self) -> int:
        return self._lower.get_write_buffer_size()

    def close(self) -> None:
        self._lower.close()

    def abort(self) -> None:
        self._lower.abort()

    def reset(self) -> None:
        set_to_reset(self._lower.get_extra_info("socket"))
        self._lower.abort()

    def remote(self) -> Any:
        return self._lower.get_extra_info("peername")

    def local(self) -> Any:
        return self._lower.get_extra_info("sockname")

    def tls(self) -> ssl.SSLObject | None:
        tls: ssl.SSLObject | None = self._lower.get_extra_info("ssl_object")
        return tls


class Greeted(Secured):
    """That of a client; to be made when its handshake begins."""

    __slots__ = ("_handshake", "_handshakes")

    def __init__(self, reactor: Reactor, endpoint: Endpoint, handshakes: Handshakes) -> None:
        super().__init__(reactor, endpoint)
        self._handshakes = handshakes
        self._handshake = handshakes.begin(reactor.loop.time())

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._handshakes.end(self._handshake)
        super().connection_made(transport)
