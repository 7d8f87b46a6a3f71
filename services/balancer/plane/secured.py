"""Connections with TLS: the event loop's transports, spoken to as our own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from services.balancer.plane.reactor import Reactor
from services.balancer.plane.transport import Endpoint, Transport, set_to_reset

HANDSHAKE_S: Final = 10


class Greeter:
    """Agrees on TLS with clients that were accepted; those with whom there is no agreement are gone.

    ``greetings`` are the handshakes in progress, each over within HANDSHAKE_S.
    """

    def __init__(
        self,
        reactor: Reactor,
        context: ssl.SSLContext,
        make: Callable[[], Endpoint],
        greetings: set[asyncio.Task[None]],
    ) -> None:
        self._reactor = reactor
        self._context = context
        self._make = make
        self._greetings = greetings

    def welcome(self, sock: socket.socket) -> None:
        task = self._reactor.loop.create_task(self._agree(sock))
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    async def _agree(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await self._reactor.loop.connect_accepted_socket(
                self._protocol, sock, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
            )

    def _protocol(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", Secured(self._reactor, self._make()))  # see acceleration.py


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
        sock = self._lower.get_extra_info("socket")
        if sock is not None:  # not lost already
            set_to_reset(sock)
        self._lower.abort()

    def remote(self) -> Any:
        return self._lower.get_extra_info("peername")

    def local(self) -> Any:
        return self._lower.get_extra_info("sockname")

    def tls(self) -> ssl.SSLObject | None:
        tls: ssl.SSLObject | None = self._lower.get_extra_info("ssl_object")
        return tls
